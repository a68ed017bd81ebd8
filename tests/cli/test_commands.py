"""The `qero` command as people and scripts start it: output, exit codes, and no secret in either."""

from __future__ import annotations

import asyncio
import importlib
import json
import pkgutil
import secrets
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import psycopg
import pytest
import typer
from pydantic import SecretStr

import qero.cli
from qero import Clients, SecretBox, Settings
from qero.local.asgi import listen
from qero.local.graph import Number, batch, encode, text_webhook
from qero.local.stack import temporary_stack
from qero.ops.doctor import examine
from tests.support import VERIFY_TOKEN, World, digits
from tests.worker.support import QERO, environment


@dataclass(frozen=True)
class Ended:
    code: int | None
    out: str
    err: str

    def problem(self) -> dict[str, Any]:
        """The error that a command with --json ended with."""
        assert self.out == "", "nothing half-written on standard output"
        error: dict[str, Any] = json.loads(self.err.splitlines()[-1])["error"]
        return error


async def run(folder: Path, *arguments: str, env: dict[str, str] | None = None) -> Ended:
    given = {"PATH": "/usr/bin:/bin", "COLUMNS": "200", **(env or {})}
    process = await asyncio.create_subprocess_exec(
        QERO, *arguments, cwd=folder, env=given, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return Ended(process.returncode, out.decode(), err.decode())


@pytest.fixture
def env(settings: Settings) -> dict[str, str]:
    return environment(settings)


def free_port() -> int:
    with listen() as listener:
        port: int = listener.getsockname()[1]
        return port


# --- Help and usage ---


def commands(command: Any, path: str = "qero") -> Iterator[tuple[str, Any]]:
    yield path, command
    for name, subcommand in getattr(command, "commands", {}).items():
        yield from commands(subcommand, f"{path} {name}")


async def test_help_lists_the_commands(tmp_path: Path) -> None:
    whole, of_one = await asyncio.gather(run(tmp_path, "--help"), run(tmp_path, "worker", "--help"))

    assert (whole.code, of_one.code) == (0, 0)
    for name in (
        "chat",
        "connections",
        "contacts",
        "doctor",
        "events",
        "followups",
        "local",
        "ops",
        "queue",
        "push",
        "secrets",
        "serve",
        "whoami",
        "worker",
    ):
        assert name in whole.out
    assert "Usage: qero worker [OPTIONS]" in of_one.out
    assert "SIGTERM" in of_one.out


async def test_the_version_is_the_packages(tmp_path: Path) -> None:
    said = await run(tmp_path, "--version")

    assert (said.code, said.out) == (0, f"qero {version('qero')}\n")


def test_every_command_and_option_explains_itself() -> None:
    for module in pkgutil.iter_modules(qero.cli.__path__):
        importlib.import_module(f"qero.cli.{module.name}")
    found = list(commands(typer.main.get_command(qero.cli.app)))

    assert len(found) >= 15
    for path, command in found:
        assert (command.help or "").endswith((".", "`")), path
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{path} {parameter.name}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nothing"],
        ["worker", "--concurrency", "0"],
        ["serve", "--port", "x"],
        ["events", "list", "--kind", "gossip"],
        ["events", "list", "--since", "yesterday"],
        ["events", "list", "--orphans", "--workspace", "acme"],
        ["events", "replay"],
        ["events", "replay", "1", "--status", "kept"],
        ["events", "replay", "1", "--workspace", "acme"],
        ["events", "replay", "--orphans", "--since", "1d"],
    ],
)
async def test_wrong_usage_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    answer = await run(tmp_path, *arguments)

    assert (answer.code, answer.out) == (2, "")
    assert "Usage:" in answer.err


# --- Settings ---


@pytest.mark.parametrize(
    ("command", "missing"),
    [
        (["whoami", "--service"], "SUPABASE_URL"),
        (["worker", "--once"], "QERO_SECRET_KEYS"),
        (["serve"], "META_VERIFY_TOKEN"),
    ],
)
async def test_a_missing_setting_ends_with_3_and_its_name(
    tmp_path: Path, env: dict[str, str], command: list[str], missing: str
) -> None:
    del env[missing]

    answer = await run(tmp_path, *command, env=env)

    assert answer.code == 3
    assert answer.out == ""
    assert f"Error: {missing} is not set. (setting_missing)" in answer.err
    assert ".env.local" in answer.err


async def test_a_malformed_setting_ends_with_3_and_is_not_shown(tmp_path: Path, env: dict[str, str]) -> None:
    for change in ({"SUPABASE_URL": "hush"}, {"SUPABASE_SECRET_KEY": "hush hush"}, {"QERO_SECRET_KEYS": "hush"}):
        answer = await run(tmp_path, "worker", "--once", "--json", env={**env, **change})

        assert answer.code == 3
        assert answer.problem()["code"] == "setting_invalid"
        assert answer.problem()["detail"] == {"setting": next(iter(change))}
        assert "hush" not in answer.err


async def test_settings_come_from_the_folders_file(tmp_path: Path, env: dict[str, str]) -> None:
    (tmp_path / ".env.local").write_text("".join(f"{name}='{value}'\n" for name, value in env.items() if "_" in name))

    assert (await run(tmp_path, "whoami", "--service")).code == 0


# --- whoami ---


async def test_whoami_of_a_user(tmp_path: Path, env: dict[str, str], world: World) -> None:
    workspace = await world.workspace(owner="ada")
    ada = await world.user("ada")
    env["QERO_ACCESS_TOKEN"] = ada.access_token

    for_people, for_programs = await asyncio.gather(
        run(tmp_path, "whoami", env=env), run(tmp_path, "whoami", "--json", env=env)
    )

    assert (for_people.code, for_programs.code) == (0, 0)
    for word in (str(ada.id), ada.email, "authenticated", f"{workspace.slug} (owner)"):
        assert word in for_people.out
    answer = json.loads(for_programs.out)
    assert (answer["user_id"], answer["email"], answer["role"]) == (str(ada.id), ada.email, "authenticated")
    assert [item["slug"] for item in answer["workspaces"]] == [workspace.slug]


async def test_whoami_of_the_service(tmp_path: Path, env: dict[str, str]) -> None:
    answer = await run(tmp_path, "whoami", "--service", "--json", env=env)

    assert answer.code == 0
    assert (json.loads(answer.out)["user_id"], json.loads(answer.out)["role"]) == (None, "service_role")


@pytest.mark.parametrize(
    ("token", "code"), [(None, "not_authenticated"), ("garbage", "token_invalid"), ("secret", "token_wrong_audience")]
)
async def test_whoami_without_a_user_ends_with_1(
    tmp_path: Path, env: dict[str, str], token: str | None, code: str
) -> None:
    if token is not None:
        env["QERO_ACCESS_TOKEN"] = env["SUPABASE_SECRET_KEY"] if token == "secret" else token

    for_people, for_programs = await asyncio.gather(
        run(tmp_path, "whoami", env=env), run(tmp_path, "whoami", "--json", env=env)
    )

    assert (for_people.code, for_programs.code, for_people.out) == (1, 1, "")
    assert f"({code})" in for_people.err
    assert "Traceback" not in for_people.err
    error = for_programs.problem()
    assert error["code"] == code
    assert error["hint"]
    assert env["SUPABASE_SECRET_KEY"] not in for_people.err + for_programs.err


async def test_a_wrong_key_ends_with_1_and_a_dead_server_with_4(tmp_path: Path, env: dict[str, str]) -> None:
    wrong = {**env, "SUPABASE_SECRET_KEY": "sb_secret_of_another_project"}
    dead = {**env, "SUPABASE_URL": f"http://127.0.0.1:{free_port()}"}

    refused, unreachable = await asyncio.gather(
        run(tmp_path, "whoami", "--service", "--json", env=wrong),
        run(tmp_path, "whoami", "--service", "--json", env=dead),
    )

    assert (refused.code, refused.problem()["code"]) == (1, "api_key_invalid")
    assert (unreachable.code, unreachable.problem()["code"]) == (4, "network_error")
    assert "another_project" not in refused.err


# --- doctor ---


async def test_doctor_finds_a_good_stack_good_and_notices_what_stops_sending(tmp_path: Path) -> None:
    key = SecretBox.generate_key()
    with temporary_stack(durable=False) as address:
        settings = address.settings(meta_app_secret="secret", meta_verify_token=VERIFY_TOKEN, secret_keys=key)
        env = environment(settings)
        answer = await run(tmp_path, "doctor", "--json", env=env)

        findings = json.loads(answer.out)
        assert [finding for finding in findings if finding["state"] != "ok"] == []
        assert answer.code == 0
        assert [finding["check"] for finding in findings] == [
            "versions",
            "settings",
            *["api"] * 4,
            "database",
            "migrations",
            "realtime",
            "connections",
            "playbook",
            "advisor",
        ]

        with psycopg.connect(address.db_url, autocommit=True) as database:
            async with Clients(settings) as clients:
                world = World(settings, clients, await psycopg.AsyncConnection.connect(address.db_url, autocommit=True))
                await world.number(await world.workspace())
                await world.database.close()
            assert problems(await run(tmp_path, "doctor", "--json", env=env)) == []
            wrong_keys = {**env, "QERO_SECRET_KEYS": SecretBox.generate_key()}
            [unreadable] = problems(await run(tmp_path, "doctor", "--json", env=wrong_keys))
            assert "QERO_SECRET_KEYS" in unreadable
            database.execute("update wa_phone_numbers set status = 'paused', status_reason = 'token revoked'")
            [paused] = problems(await run(tmp_path, "doctor", "--json", env=env))
            assert "token revoked" in paused
            database.execute(
                "insert into private.migration_rejects (source, reason, contents) values ('a table', 'no place', '{}')"
            )
            told = json.loads((await run(tmp_path, "doctor", "--json", env=env)).out)
            [playbook] = [finding for finding in told if finding["check"] == "playbook"]
            assert (playbook["state"], "1 values were set aside" in playbook["message"]) == ("warning", True)
        not_secret = {**env, "SUPABASE_SECRET_KEY": address.publishable_key}
        assert any("secret key" in text for text in problems(await run(tmp_path, "doctor", "--json", env=not_secret)))


def problems(answer: Ended) -> list[str]:
    return [finding["message"] for finding in json.loads(answer.out) if finding["state"] == "problem"]


async def test_doctor_shows_people_what_to_do_word_for_word(tmp_path: Path) -> None:
    answer = await run(tmp_path, "doctor", env={"SUPABASE_DB_URL": "postgresql://u:p@127.0.0.1:1/postgres"})

    assert answer.code == 1
    assert "SUPABASE_URL is not set. It is needed for everything." in answer.out
    assert "The database can't be reached" in answer.out


@pytest.mark.parametrize(
    ("change", "check", "says", "remedy"),
    [
        ({"publishable_key": "sb_publishable_wrong"}, "api", "401 to the publishable key", "qero local env"),
        ({"secret_key": SecretStr("sb_secret_wrong")}, "api", "401 to the secret key", "SUPABASE_URL and the keys"),
        ({"supabase_url": "http://127.0.0.1:9"}, "api", "can't be reached", "qero local up"),
        ({"supabase_url": None}, "settings", "SUPABASE_URL is not set", "API settings"),
        ({"publishable_key": None}, "settings", "SUPABASE_PUBLISHABLE_KEY is not set", ".env.local"),
    ],
)
def test_each_problem_is_named_with_its_remedy(
    tmp_path: Path, settings: Settings, change: dict[str, Any], check: str, says: str, remedy: str
) -> None:
    findings = examine(settings.model_copy(update={"db_url": None, **change}), tmp_path, None)

    problems = [finding for finding in findings if finding.state == "problem"]
    assert {finding.check for finding in problems} == {check}
    assert says in problems[0].message
    assert remedy in str(problems[0].remedy)
    assert "wrong" not in repr(findings)


async def test_a_wrong_database_password_is_a_problem_and_not_shown(tmp_path: Path, env: dict[str, str]) -> None:
    address = env["SUPABASE_DB_URL"].replace(f":{urlsplit(env['SUPABASE_DB_URL']).password}@", ":hush-hush@")

    answer = await run(tmp_path, "doctor", "--json", env={**env, "SUPABASE_DB_URL": address})

    assert answer.code == 1
    [problem] = [finding for finding in json.loads(answer.out) if finding["state"] == "problem"]
    assert problem["check"] == "database"
    assert "password" in problem["message"] + problem["remedy"]
    assert "hush" not in answer.out + answer.err


@pytest.mark.parametrize("password", [quote("hush@hush/%", safe=""), "hush@hush", "hush hush", "hush%zz", "hush/hush"])
def test_no_password_is_shown_however_it_breaks_the_address(tmp_path: Path, settings: Settings, password: str) -> None:
    port = urlsplit(settings.require("db_url")).port
    address = f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres?sslmode=disable"

    findings = examine(settings.model_copy(update={"db_url": SecretStr(address)}), tmp_path, None)

    [problem] = [finding for finding in findings if finding.state == "problem"]
    assert problem.check == "database"
    assert problem.remedy
    assert "hush" not in repr(findings)


async def test_doctor_with_a_malformed_setting_ends_with_3(tmp_path: Path, env: dict[str, str]) -> None:
    answer = await run(tmp_path, "doctor", "--json", env={**env, "SUPABASE_URL": "hush"})

    assert (answer.code, answer.problem()["code"]) == (3, "setting_invalid")


# --- connections ---


async def test_connections_are_listed_and_disconnected_by_any_name_of_theirs(
    tmp_path: Path, env: dict[str, str], world: World
) -> None:
    workspace = await world.workspace()
    first, second, third = [await world.number(workspace) for _ in range(3)]
    # Whoever looks after the numbers needs no key to their tokens.
    del env["QERO_SECRET_KEYS"]

    listed = await run(tmp_path, "connections", "list", workspace.slug, "--json", env=env)
    ended = await asyncio.gather(
        run(tmp_path, "connections", "disconnect", workspace.slug, f"+{first.at_meta.display_phone_number}", env=env),
        run(
            tmp_path, "connections", "disconnect", str(workspace.id), second.at_meta.phone_number_id, "--json",
            "--reason", "moved away", env=env,
        ),
        run(tmp_path, "connections", "disconnect", workspace.slug, str(third.connection.id), env=env),
    )  # fmt: skip
    for_people = await run(tmp_path, "connections", "list", workspace.slug, env=env)

    assert {item["id"] for item in json.loads(listed.out)} == {
        str(number.connection.id) for number in (first, second, third)
    }
    assert [answer.code for answer in ended] == [0, 0, 0]
    assert ended[0].out == f"{first.at_meta.display_phone_number} is inactive: disconnected\n"
    assert json.loads(ended[1].out)["status_reason"] == "moved away"
    assert for_people.out.count("inactive") == 3
    assert "moved away" in for_people.out
    empty = await world.workspace()
    assert (await run(tmp_path, "connections", "list", empty.slug, env=env)).out == f"{empty.slug} has no number yet.\n"


async def test_a_number_or_workspace_that_is_not_there_ends_with_1_and_says_what_is(
    tmp_path: Path, env: dict[str, str], world: World
) -> None:
    number = await world.number(await world.workspace())
    slug = (await world.workspace()).slug
    theirs, nowhere = await asyncio.gather(
        run(tmp_path, "connections", "disconnect", slug, number.at_meta.phone_number_id, "--json", env=env),
        run(tmp_path, "connections", "list", "no-such", "--json", env=env),
    )

    assert (theirs.code, theirs.problem()["code"]) == (1, "connection_not_found")
    assert theirs.problem()["hint"] == f"`qero connections list {slug}` lists them."
    assert (nowhere.code, nowhere.problem()["code"]) == (1, "workspace_not_found")


# --- events ---


async def test_events_are_listed_shown_and_counted(tmp_path: Path, env: dict[str, str], world: World) -> None:
    number = await world.number(await world.workspace())
    slug = await world.scalar("select slug from workspaces where id = %s", number.connection.workspace_id)
    secret = "what Ada wrote"
    outcomes = await world.receive(batch(*(text_webhook(number.at_meta, f"+{digits(11)}", secret) for _ in range(3))))
    ids = [outcome.event_id or 0 for outcome in outcomes]
    await world.receive(text_webhook(orphan := world.number_at_meta(), f"+{digits(11)}", secret))

    listed, for_people, nothing, orphans, shown, shown_json, counted, counted_json = await asyncio.gather(
        run(tmp_path, "events", "list", "-w", slug, "--kind", "message", "--kind", "echo", "--json", env=env),
        run(tmp_path, "events", "list", "--workspace", slug, "--since", "1h", "--limit", "2", env=env),
        run(tmp_path, "events", "list", "--workspace", slug, "--status", "set_aside", env=env),
        run(tmp_path, "-v", "events", "list", "--orphans", "--number", orphan.phone_number_id, "--json", env=env),
        run(tmp_path, "events", "show", str(ids[0]), env=env),
        run(tmp_path, "events", "show", str(ids[0]), "--json", env=env),
        run(tmp_path, "events", "stats", env=env),
        run(tmp_path, "events", "stats", "--workspace", slug, "--since", "2020-01-31", "--json", env=env),
    )

    newest = sorted(ids, reverse=True)
    assert [event["id"] for event in json.loads(listed.out)] == newest
    assert [line.split()[0] for line in for_people.out.splitlines()] == ["id", *(str(id) for id in newest[:2])]
    assert f"--before {newest[1]}" in for_people.err
    assert nothing.out == "No events.\n"
    [waiting] = json.loads(orphans.out)
    assert (waiting["kind"], waiting["hits"]) == ("message", 1)
    assert "attempts         1" in shown.out
    assert secret in shown.out
    assert secret in json.dumps(json.loads(shown_json.out)["raw"])
    assert orphan.phone_number_id in counted.out
    assert [(count["kind"], count["events"]) for count in json.loads(counted_json.out)["counts"]] == [("message", 3)]
    for answer in (listed, for_people, orphans, counted, counted_json):
        assert answer.code == 0
        assert secret not in answer.out + answer.err
    of_orphan = await run(tmp_path, "events", "show", str(waiting["id"]), "--orphan", env=env)
    assert secret in of_orphan.out
    missing = await run(tmp_path, "events", "show", "0", "--json", env=env)
    assert (missing.code, missing.problem()["code"]) == (1, "event_not_found")


async def test_replaying_says_what_happened_and_ends_with_1_while_some_stay_set_aside(
    tmp_path: Path, env: dict[str, str], world: World
) -> None:
    number = await world.number(await world.workspace())
    slug = await world.scalar("select slug from workspaces where id = %s", number.connection.workspace_id)
    good = text_webhook(number.at_meta, f"+{digits(11)}", "Hello")
    too_long = text_webhook(number.at_meta, f"+{digits(11)}", "x", wamid=f"wamid.{secrets.token_hex(5000)}")
    usable, bad = [outcome.event_id for outcome in await world.receive(batch(good, too_long))]
    await world.database.execute("delete from wa_messages where connection_id = %s", [number.connection.id])
    await world.database.execute(
        "update meta_webhook_events set kind = 'other', status = 'kept' where id = %s", [usable]
    )

    kept = await run(tmp_path, "-v", "events", "replay", "-w", slug, "--status", "kept", "--kind", "other", env=env)
    named = await run(tmp_path, "events", "replay", str(usable), str(bad), "--json", env=env)
    set_aside = await run(tmp_path, "events", "replay", "--workspace", slug, "--status", "set_aside", env=env)
    nothing = await run(tmp_path, "events", "replay", "--workspace", slug, "--status", "kept", env=env)
    unknown = await run(tmp_path, "events", "replay", str(usable), "0", "--json", env=env)

    assert (kept.code, kept.out) == (0, f"{usable}  applied\n1 applied, 0 kept, 0 set aside\n")
    assert "Hello" not in kept.out + kept.err
    assert named.code == 1
    assert [(answer["event_id"], answer["outcome"]) for answer in json.loads(named.out)] == [
        (usable, "applied"), (bad, "set_aside"),
    ]  # fmt: skip
    assert set_aside.code == 1
    assert f"{bad}  set_aside: index row" in set_aside.out
    assert (nothing.code, nothing.out) == (0, "Nothing to replay.\n")
    assert (unknown.code, unknown.problem()["detail"]) == (1, {"event_ids": [0]})
    assert await world.scalar("select count(*) from wa_messages where connection_id = %s", number.connection.id) == 1


async def test_orphans_are_replayed_once_their_number_is_connected(
    tmp_path: Path, env: dict[str, str], world: World
) -> None:
    number = await world.number(await world.workspace())
    status = "update wa_phone_numbers set status = %s where id = %s"
    await world.database.execute(status, ["inactive", number.connection.id])
    await world.receive(text_webhook(number.at_meta, f"+{digits(11)}", "Hello"))
    phone_number_id = number.at_meta.phone_number_id

    too_early = await run(tmp_path, "events", "replay", "--orphans", "--number", phone_number_id, "--json", env=env)
    await world.database.execute(status, ["active", number.connection.id])
    replayed = await run(tmp_path, "events", "replay", "--orphans", "--number", phone_number_id, env=env)

    assert (too_early.code, too_early.problem()["code"]) == (1, "connection_not_found")
    assert (replayed.code, replayed.out) == (0, f"{phone_number_id}  1 recorded, 0 deduped, 0 set aside\n")


async def test_bodies_in_files_are_read_without_a_database(tmp_path: Path) -> None:
    at_meta = Number("1" * 15, "EAAtoken", "15550001111", "2" * 15)
    folder = tmp_path / "captured"
    folder.mkdir()
    first = text_webhook(at_meta, "+15550002222", "what Ada wrote", wamid="wamid.A")
    second = text_webhook(at_meta, "+15550002222", "more", wamid="wamid.B")
    del second["entry"][0]["changes"][0]["value"]["messages"][0]["timestamp"]
    (folder / "both.json").write_bytes(encode(batch(first, second)))
    (folder / "broken.json").write_text("{")
    (folder / "notes.txt").write_text("not looked at")

    read = await run(tmp_path, "events", "parse", "captured/both.json")
    all_of_it = await run(tmp_path, "events", "parse", "captured", "--json")
    missing = await run(tmp_path, "events", "parse", "nowhere.json")

    assert read.code == 0
    assert "wa_message_id=wamid.A" in read.out
    assert "reason=the message's timestamp can't be read" in read.out
    assert [line.split() for line in read.out.splitlines()[-2:]] == [["1", "malformed"], ["1", "message"]]
    found = json.loads(all_of_it.out)
    assert all_of_it.code == 1
    assert [(item["kind"], item["phone_number_id"]) for item in found["items"]] == [
        ("message", at_meta.phone_number_id), ("malformed", at_meta.phone_number_id),
    ]  # fmt: skip
    assert found["counts"] == {"malformed": 1, "message": 1}
    assert [(item["file"], item["code"]) for item in found["unreadable"]] == [("captured/broken.json", "body_not_json")]
    assert "Ada" not in read.out + all_of_it.out
    assert missing.code == 2


# --- worker, secrets ---


async def test_worker_once_reports_what_it_did(tmp_path: Path, env: dict[str, str], world: World) -> None:
    await world.rows("update outbox_messages set status = 'cancelled' where status = 'queued' returning id")

    for_programs, for_people = await asyncio.gather(
        run(tmp_path, "worker", "--once", "--json", env=env), run(tmp_path, "worker", "--once", env=env)
    )

    assert (for_programs.code, for_people.code) == (0, 0)
    assert set(json.loads(for_programs.out).values()) == {0}
    assert for_people.out.startswith("0 claimed, 0 sent, ")


async def test_a_new_key_is_whole_even_in_a_narrow_terminal_and_usable(tmp_path: Path) -> None:
    answer = await run(tmp_path, "secrets", "new-key", env={"COLUMNS": "20"})

    assert answer.code == 0
    key = answer.out.strip()
    box = SecretBox([key])
    assert box.decrypt(box.encrypt("token")) == "token"
    assert (await run(tmp_path, "secrets", "new-key")).out.strip() != key


# --- serve ---


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_serve_answers_and_ends_well_on_a_signal(
    tmp_path: Path, env: dict[str, str], number: signal.Signals
) -> None:
    process = await asyncio.create_subprocess_exec(
        QERO, "serve", "--port", "0", cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    started = json.loads(await asyncio.wait_for(process.stderr.readline(), 20))
    assert started["event"] == "serving"
    query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "115"}

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{started['port']}") as client:
        assert (await client.get("/healthz")).json() == {"status": "ok"}
        assert (await client.get("/api/webhooks/meta/whatsapp", params=query)).text == "115"
        process.send_signal(number)
        out, err = await asyncio.wait_for(process.communicate(), 20)

    assert (process.returncode, out) == (0, b""), err
    assert {json.loads(line)["event"] for line in err.splitlines()} == {"http_request"}
    assert VERIFY_TOKEN.encode() not in err


async def test_serve_says_why_it_cannot_listen(tmp_path: Path, env: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        in_use, unknown = await asyncio.gather(
            run(tmp_path, "serve", "--port", str(port), env=env),
            run(tmp_path, "serve", "--host", "no.such.host.invalid", env=env),
        )

    assert in_use.code == 1
    assert "(port_in_use)" in in_use.err
    assert str(port) in in_use.err
    assert unknown.code == 1
    assert "no.such.host.invalid" in unknown.err
    assert "Traceback" not in in_use.err + unknown.err
