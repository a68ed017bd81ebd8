"""`qero outbox` and `qero connections pause | resume`, as an operator uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from qero.local.graph import GraphFault, GraphStandIn
from tests.cli.test_commands import Ended, run
from tests.support import EMPTY_OUTBOX, World
from tests.worker.support import Post, environment


@pytest.fixture
async def post(world: World, graph: GraphStandIn) -> Any:
    await world.database.execute(EMPTY_OUTBOX)
    async with httpx.AsyncClient(timeout=5) as http:
        yield Post(world, graph, http)


async def test_dead_letters_are_found_looked_at_retried_and_purged(post: Post, tmp_path: Path) -> None:
    env = environment(post.world.settings)

    async def qero(*arguments: str) -> Ended:
        return await run(tmp_path, *arguments, env=env)

    number = await post.number()
    messages = await post.queue(await post.threads(number, 3), "a private word")
    post.graph.next_answer(GraphFault(131026, "Too old an app."), times=3)
    assert (await post.worker().run_once()).failed == 3
    workspace = ("--workspace", str(number.connection.workspace_id))

    listed = await qero("outbox", "list", "failed", *workspace, "--json")
    assert {item["id"] for item in json.loads(listed.out)} == {str(message.outbox_id) for message in messages}
    assert "a private word" not in listed.out
    assert "131026" in (await qero("outbox", "list", "failed", *workspace)).out
    shown = json.loads((await qero("outbox", "show", str(messages[0].outbox_id))).out)
    assert (shown["status"], shown["error_code"], shown["payload"]["text"]["body"]) == (
        "failed", "131026", "a private word",
    )  # fmt: skip

    retried = await qero("outbox", "retry", "--all", "failed", *workspace, "--spread", "60", "--json")
    assert [item["outcome"] for item in json.loads(retried.out)] == ["queued"] * 3
    stats = json.loads((await qero("outbox", "stats", *workspace, "--json")).out)
    assert (stats["due"], stats["scheduled"]) == (1, 2)
    assert "1 due, 2 scheduled" in (await qero("outbox", "stats", *workspace)).out

    cancelled = await qero("outbox", "cancel", str(messages[2].outbox_id), "--reason", "No more")
    assert cancelled.out.split() == [str(messages[2].outbox_id), "cancelled"]
    assert (await post.shown(messages[2]))[0] == "cancelled"

    post.graph.next_answer(GraphFault(131026), times=None)
    await post.hurry()
    await post.worker().run_once()
    purged = await qero("outbox", "purge", "failed", "--older-than-days", "0", *workspace, "--yes", "--json")
    assert json.loads(purged.out) == {"purged": 2}
    missing = await qero("outbox", "show", str(messages[0].outbox_id))
    assert missing.code == 1
    assert "outbox_message_not_found" in missing.err
    for again in ("retry", "cancel"):
        nowhere = await qero("outbox", again, str(messages[0].outbox_id))
        assert (nowhere.code, nowhere.out.split()) == (1, [str(messages[0].outbox_id), "not_found"])


async def test_what_is_unknown_is_retried_by_name_only(tmp_path: Path, post: Post) -> None:
    for arguments in (["--all", "unknown"], [], ["--all", "dead", "00000000-0000-0000-0000-000000000000"]):
        ended = await run(tmp_path, "outbox", "retry", *arguments, env=environment(post.world.settings))
        assert ended.code == 1
        assert "invalid_value" in ended.err


async def test_a_number_is_paused_and_resumed(post: Post, tmp_path: Path) -> None:
    env = environment(post.world.settings)
    number = await post.number()
    await post.queue(await post.threads(number, 2))
    named = (str(number.connection.workspace_id), str(number.connection.id))

    paused = await run(tmp_path, "connections", "pause", *named, "--reason", "Holidays", "--json", env=env)
    assert json.loads(paused.out)["status_reason"] == "Holidays"
    assert (await post.worker().run_once()).claimed == 0

    assert "active" in (await run(tmp_path, "connections", "resume", *named, env=env)).out
    assert (await post.worker().run_once()).sent == 2
