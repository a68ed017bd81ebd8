"""The official JavaScript client, unchanged, does what it does on hosted: one program, its steps looked at here."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from qero import Clients, Settings
from qero.local.toolchain import ensure_tools
from tests.support import PASSWORD, World

PROGRAM = Path(__file__).with_name("supabase_js.mjs")
PROGRAM_SECONDS = 60


class Run:
    """What the program printed. Asking for a step that failed or never came shows all of it."""

    def __init__(self, email: str, workspace_id: str, lines: list[dict[str, Any]], errors: str) -> None:
        self.email = email
        self.workspace_id = workspace_id
        self._lines = {line["step"]: line for line in lines}
        self._errors = errors

    def __getitem__(self, step: str) -> Any:
        line = self._lines.get(step, {})
        if "seen" not in line:
            reason = line.get("failed", "the program ended before it")
            pytest.fail(f"step `{step}`: {reason}\nsteps: {list(self._lines)}\n{self._errors}", pytrace=False)
        return line["seen"]


@pytest.fixture(scope="module")
async def js(settings: Settings, clients: Clients, database: psycopg.AsyncConnection[Any]) -> Run:
    world = World(settings, clients, database)
    olga, workspace, foreign = await world.user("olga"), await world.workspace(), await world.workspace(owner="eve")
    tools = ensure_tools()
    program = await asyncio.create_subprocess_exec(
        str(tools.node), str(PROGRAM),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={
            "NODE_MODULES": str(tools.node_modules),
            "SUPABASE_URL": settings.require("supabase_url"),
            "SUPABASE_KEY": settings.require("publishable_key"),
            "EMAIL": olga.email,
            "PASSWORD": PASSWORD,
            "WORKSPACE_ID": str(workspace.id),
            "FOREIGN_WORKSPACE_ID": str(foreign.id),
        },
    )  # fmt: skip
    try:
        output, errors = await asyncio.wait_for(program.communicate(), PROGRAM_SECONDS)
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    lines = [json.loads(line) for line in output.decode().splitlines() if line.startswith("{")]
    return Run(olga.email, str(workspace.id), lines, errors.decode())


def test_it_runs_to_its_end(js: Run) -> None:
    assert js["end"] is True


def test_a_wrong_password_is_refused(js: Run) -> None:
    assert js["wrong password"] == {"name": "AuthApiError", "status": 400, "code": "invalid_credentials"}


def test_it_signs_in(js: Run) -> None:
    assert js["sign in"] == {"email": js.email, "verified": True, "role": "authenticated"}


def test_it_reads_its_own_rows_only(js: Run) -> None:
    assert js["select"] == {"data": [{"id": js.workspace_id}], "error": None, "status": 200}
    assert js["count"] == {"count": 1, "status": 200}


def test_it_calls_functions_and_understands_their_errors(js: Run) -> None:
    assert js["rpc"] == {"email": js.email, "database_role": "authenticated"}
    refused = js["rpc refused"]
    assert (refused["status"], refused["data"]) == (404, None)
    assert (refused["error"]["code"], refused["error"]["message"]) == ("PT404", "workspace_not_found")
    assert refused["error"]["hint"]
    assert "workspace" in json.loads(refused["error"]["details"])


def test_it_inserts_what_it_may(js: Run) -> None:
    assert js["insert"] == {"data": {"name": "Ada", "tags": ["vip"]}, "error": None, "status": 201}


def test_it_is_told_why_a_row_is_refused(js: Run) -> None:
    refused = js["insert refused"]
    assert (refused["status"], refused["error"]["code"]) == (400, "PT400")
    assert refused["error"]["message"] == "invalid_value"
    assert json.loads(refused["error"]["details"]) == {"field": "phone", "value": "1"}
    assert refused["error"]["hint"]
    assert js["insert elsewhere"] == {"code": "42501", "status": 403}


def test_an_update_without_filter_is_refused(js: Run) -> None:
    refused = js["update without filter"]
    assert refused["status"] == 400
    assert (refused["error"]["code"], refused["error"]["message"]) == ("21000", "UPDATE requires a WHERE clause")


def test_it_sees_changes_live(js: Run) -> None:
    assert js["changes"] == {"eventType": "INSERT", "errors": None, "name": "Grace"}


def test_it_broadcasts(js: Run) -> None:
    assert js["broadcast"] == {"acknowledged": "ok", "payload": {"text": "æøå"}}


def test_it_knows_who_is_present(js: Run) -> None:
    assert js["presence"] == {"tracked": "ok", "key": "me", "mood": "calm", "present": ["me"]}


def test_it_is_kept_out_of_private_channels_and_unpublished_tables(js: Run) -> None:
    denied = js["private channel"]
    assert denied["state"] == "CHANNEL_ERROR"
    assert "You do not have permissions to read" in denied["error"]
    assert js["refused table"] == {"status": "error", "extension": "postgres_changes"}


def test_it_changes_its_user(js: Run) -> None:
    assert js["update user"] == "dark"


def test_it_refreshes_its_session(js: Run) -> None:
    assert js["refresh"] == {"same_user": True, "new_refresh_token": True, "still_reads": 1}


def test_after_signing_out_it_reads_nothing_and_can_not_refresh(js: Run) -> None:
    assert js["sign out"] == {"reading": {"code": "42501", "status": 401}, "refreshing_fails": True}
