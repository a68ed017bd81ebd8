"""`qero queue` as team leads and scripts start it."""

from __future__ import annotations

import asyncio
import csv
import importlib
import json
import signal
from datetime import timedelta
from pathlib import Path

import pytest

from qero import Settings
from qero.models.workspace import Workspace
from tests.services.leads import leads_of, queue_of, statuses, today
from tests.support import User, World
from tests.worker.support import QERO, environment

commands = importlib.import_module("tests.cli.test_commands")
contacts_commands = importlib.import_module("tests.cli.test_contacts_commands")
run = contacts_commands.run


@pytest.fixture
async def olga(world: World) -> User:
    return await world.user("olga")


@pytest.fixture
async def workspace(world: World) -> Workspace:
    return await world.workspace(owner="olga", bob="member")


@pytest.fixture
def env(settings: Settings, olga: User) -> dict[str, str]:
    return {**environment(settings), "QERO_ACCESS_TOKEN": olga.access_token}


async def test_a_team_leads_day_from_preparing_to_the_figures(
    tmp_path: Path, env: dict[str, str], world: World, workspace: Workspace, olga: User
) -> None:
    bob = await world.user("bob")
    lead_ids = await leads_of(world, workspace, 9)
    await world.rows("update leads set contact_id = null where id = %s returning 1", lead_ids[0])
    await queue_of(olga, workspace, daily_capacity=5)
    await queue_of(bob, workspace, daily_capacity=2)
    await world.number(workspace)
    day = ("--day", str(today()))

    prepared = await run(tmp_path, env, "queue", "prepare", workspace.slug, "--everyone", *day)
    assert prepared.code == 0, prepared.err
    assert prepared.out.count(f"{today()} (UTC): ") == 2
    assert f"refused {lead_ids[0]}: contact missing" in prepared.out
    again = await run(tmp_path, env, "queue", "prepare", workspace.slug, *day, "--json")
    assert [(queue["prepared"], queue["room_left"]) for queue in json.loads(again.out)] == [(0, 0)]

    tried = await run(tmp_path, env, "queue", "start", workspace.slug, "--dry-run")
    assert tried.out == f"{today()}: 5 would be handed over, 0 failed, 0 cancelled, 0 put off, 5 left\n"
    started = await run(tmp_path, env, "queue", "start", workspace.slug, "--batch", "2", "--everyone", "--json")
    assert sorted((line["started"], line["left"]) for line in json.loads(started.out)) == [(2, 0), (5, 0)]

    status = await run(tmp_path, env, "queue", "status", workspace.slug)
    assert "Olga" in status.out
    assert "0/5" in status.out
    as_json = await run(tmp_path, env, "queue", "status", workspace.slug, "--json")
    assert {user["name"]: user["sending"] for user in json.loads(as_json.out)["users"]} == {"Olga": 5, "Bob": 2}

    taken = await run(tmp_path, env, "queue", "take", lead_ids[1], "--reason", "They called.")
    assert taken.out == "It is yours; 1 queued messages won't leave.\n"
    assert (await statuses(world, lead_ids[1]))[:3] == ("engaged", "human", olga.id)
    of_bob = {**env, "QERO_ACCESS_TOKEN": bob.access_token}
    refused = await run(tmp_path, of_bob, "queue", "take", lead_ids[1], "--json")
    assert (refused.code, refused.problem()["code"], refused.problem()["detail"]["name"]) == (1, "lead_taken", "Olga")
    released = await run(tmp_path, env, "queue", "release", lead_ids[1])
    assert released.out == "Given back; it is pending.\n"

    exported = await run(tmp_path, env, "queue", "export", workspace.slug, "-o", "queue.csv")
    assert exported.code == 0, exported.err
    with (tmp_path / "queue.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file, strict=True))
    assert sorted(row["status"] for row in rows) == ["cancelled"] + ["sending"] * 6
    nothing = await run(tmp_path, env, "queue", "export", workspace.slug, "--since", str(today() + timedelta(days=9)))
    assert nothing.out.startswith("queue_day,status,")
    assert nothing.out.count("\n") == 1

    metrics = await run(tmp_path, env, "queue", "metrics", workspace.slug)
    # Bob was served first, so the best lead was his.
    assert sorted(line.split()[1:6] for line in metrics.out.splitlines()[1:]) == [
        ["Bob", "2", "0", "0", "1"],
        ["Olga", "5", "0", "0", "0"],
    ]
    audited = await run(tmp_path, env, "queue", "audit", "--json")
    assert [finding for finding in json.loads(audited.out) if finding["kind"] != "set aside"] == []
    assert audited.code == 0


async def test_the_service_works_on_everybodys_queue_and_takes_nothing(
    tmp_path: Path, env: dict[str, str], world: World, workspace: Workspace, olga: User
) -> None:
    del env["QERO_ACCESS_TOKEN"]
    [lead_id] = await leads_of(world, workspace, 1)
    await queue_of(olga, workspace)

    prepared = await run(tmp_path, env, "queue", "prepare", workspace.slug, "--everyone", "--json")
    nobodys = await run(tmp_path, env, "queue", "prepare", workspace.slug, "--json")
    taken = await run(tmp_path, env, "queue", "take", lead_id, "--json")

    assert [queue["prepared"] for queue in json.loads(prepared.out)] == [1]
    assert (nobodys.code, nobodys.problem()["detail"]) == (1, {"field": "user_id"})
    assert (taken.code, taken.problem()["code"]) == (1, "permission_denied")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("prepare", "no-such"), "workspace_not_found"),
        (("status", "no-such"), "workspace_not_found"),
        (("take", "00000000-0000-0000-0000-000000000000"), "lead_not_found"),
        (("release", "00000000-0000-0000-0000-000000000000"), "lead_not_found"),
    ],
)
async def test_what_is_not_there_is_refused_with_its_code(
    tmp_path: Path, env: dict[str, str], arguments: tuple[str, ...], problem: str
) -> None:
    answer = await run(tmp_path, env, "queue", *arguments, "--json")

    assert (answer.code, answer.problem()["code"]) == (1, problem)


async def test_wrong_days_are_wrong_usage(tmp_path: Path, env: dict[str, str]) -> None:
    for arguments in (("prepare", "acme", "--day", "tomorrow"), ("metrics", "acme", "--since", "last week")):
        assert (await run(tmp_path, env, "queue", *arguments)).code == 2


async def test_a_watched_status_stays_until_it_is_interrupted(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, olga: User
) -> None:
    await queue_of(olga, workspace)
    process = await asyncio.create_subprocess_exec(
        QERO, "queue", "status", workspace.slug, "--watch", "--every", "0.2", cwd=tmp_path, env=env,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    views = 0
    async with asyncio.timeout(30):
        while views < 2:
            views += b"Olga" in await process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), 20)

    assert process.returncode == 130, err
