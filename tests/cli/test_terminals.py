"""What the `qero` command writes to narrow terminals, files and pipes, and whom it asks."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from qero import Contacts, Settings
from qero.models.contact import Contact, ContactPatch
from qero.models.workspace import Workspace
from tests.support import User, World
from tests.worker.support import QERO, environment


@pytest.fixture
async def workspace(world: World) -> Workspace:
    return await world.workspace()


@pytest.fixture
async def zoe(world: World, workspace: Workspace) -> Contact:
    """A contact whose name isn't ASCII, and whose row is wider than a terminal."""
    contacts = Contacts((await world.user("olga")).client)
    person = ContactPatch(name="Zoë Ångström-Łukasiewicz of the purchasing department", email="zoe@example.com")
    return await contacts.create(workspace.id, person)


@pytest.fixture
async def env(world: World, settings: Settings) -> dict[str, str]:
    olga: User = await world.user("olga")
    return {"PATH": "/usr/bin:/bin", **environment(settings), "QERO_ACCESS_TOKEN": olga.access_token}


async def run(folder: Path, env: dict[str, str], *arguments: object) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        QERO, *map(str, arguments), cwd=folder, env=env, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, out.decode(), err.decode()


async def test_a_pipe_gets_a_row_on_one_line(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, zoe: Contact
) -> None:
    code, out, err = await run(tmp_path, env, "contacts", "list", workspace.slug)

    assert (code, err) == (0, "")
    [_, row] = out.splitlines()
    assert str(zoe.id) in row
    assert str(zoe.name) in row


@pytest.mark.parametrize("columns", [40, 80])
async def test_an_id_is_whole_in_a_narrow_terminal(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, zoe: Contact, columns: int
) -> None:
    code, out, _ = await run(tmp_path, {**env, "COLUMNS": str(columns)}, "contacts", "list", workspace.slug)

    assert code == 0
    assert str(zoe.id) in out
    assert max(map(len, out.splitlines())) <= columns


@pytest.mark.parametrize("command", ["list", "export"])
async def test_a_pipe_gets_every_character_whatever_the_locale(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, zoe: Contact, command: str
) -> None:
    ascii_only = {**env, "PYTHONIOENCODING": "ascii"}

    code, out, err = await run(tmp_path, ascii_only, "contacts", command, workspace.slug)

    assert (code, err) == (0, "")
    assert str(zoe.name) in out


async def test_where_nobody_can_be_asked_nothing_happens_and_the_way_on_is_said(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, zoe: Contact, world: World
) -> None:
    contacts = Contacts((await world.user("olga")).client)
    other = await contacts.create(workspace.id, ContactPatch(name="Zoe", email="zoe@example.org"))
    service = {name: value for name, value in env.items() if name != "QERO_ACCESS_TOKEN"}
    questions: list[tuple[dict[str, str], tuple[Any, ...]]] = [
        (env, ("contacts", "merge", zoe.id, other.id)),
        (service, ("ops", "workspaces", "suspend", workspace.slug, "--reason", "a test")),
        (service, ("outbox", "purge", "dead")),
    ]

    for environment_, question in questions:
        code, out, err = await run(tmp_path, environment_, *question)
        assert (code, out) == (1, ""), question
        assert "Nobody is there to be asked; nothing was done." in err
        assert "\n--yes goes on without asking.\n" in err

    assert (await contacts.get(other.id)).name == "Zoe"


@pytest.mark.parametrize("address", ["db.example.com", "https://example.supabase.co"])
async def test_what_is_no_database_address_is_answered_with_how_one_looks(tmp_path: Path, address: str) -> None:
    code, _, err = await run(tmp_path, {"PATH": "/usr/bin:/bin", "SUPABASE_DB_URL": address}, "db", "status")

    assert code == 3
    assert "SUPABASE_DB_URL can't be read. (setting_invalid)" in err
    assert "postgresql://user:password@host:5432/postgres" in err


async def test_ctrl_c_at_a_question_ends_as_everywhere_else(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, zoe: Contact, world: World
) -> None:
    other = await Contacts((await world.user("olga")).client).create(workspace.id, ContactPatch(name="Zoe"))

    process = await asyncio.create_subprocess_exec(
        QERO, "contacts", "merge", str(zoe.id), str(other.id), cwd=tmp_path, env=env, stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    await asyncio.wait_for(process.stderr.readuntil(b"[y/N]: "), 60)
    async with asyncio.timeout(60):
        # Not `communicate`, which would close standard input: whoever is asked still sits there. Between the question
        # and the wait for its answer a signal isn't heeded before the answer: no person is so quick.
        while process.returncode is None:
            process.send_signal(signal.SIGINT)
            await asyncio.wait([asyncio.ensure_future(process.wait())], timeout=5)

    assert (process.returncode, await process.stderr.read()) == (130, b"\nInterrupted.\n")
