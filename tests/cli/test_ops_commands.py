"""`qero ops`, as an operator uses it at a terminal and in scripts."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from qero import Operators
from qero.models.workspace import Workspace
from tests.cli.test_commands import Ended, run
from tests.support import User, World
from tests.worker.support import environment


class Terminal:
    """`qero ops`, as the service, or as the operator whose token it is."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self.folder = folder
        self.env = env

    async def __call__(self, *arguments: str) -> Ended:
        return await run(self.folder, "ops", *arguments, env=self.env)

    async def json(self, *arguments: str) -> Any:
        ended = await self(*arguments, "--json")
        assert ended.code == 0, ended
        return json.loads(ended.out)


@pytest.fixture
def service(world: World, tmp_path: Path) -> Terminal:
    return Terminal(tmp_path, environment(world.settings))


@pytest.fixture
async def operator(world: World) -> User:
    user = await world.user("operator")
    await Operators(world.service).add(user.email)
    return user


@pytest.fixture
def terminal(service: Terminal, operator: User) -> Terminal:
    return Terminal(service.folder, service.env | {"QERO_ACCESS_TOKEN": operator.access_token})


@pytest.fixture
async def workspace(world: World) -> Workspace:
    return await world.workspace(owner="olga", bob="viewer")


async def test_the_first_operator_is_made_by_the_service_and_ended(world: World, service: Terminal) -> None:
    user = await world.user("first")
    assert f"{user.email} operates the platform, as owner." in (await service("owners", "add", user.email)).out
    mine = Terminal(service.folder, service.env | {"QERO_ACCESS_TOKEN": user.access_token})
    [row] = [row for row in await mine.json("owners", "list") if row["email"] == user.email]
    assert row["is_operator"]
    assert user.email in (await mine("owners", "list")).out

    unasked = await service("owners", "remove", user.email)
    assert (unasked.code, unasked.out.strip()) == (1, "")
    assert "no longer an operator" in (await service("owners", "remove", user.email, "--yes")).out
    refused = await mine("owners", "list", "--json")
    assert refused.problem()["code"] == "operator_required"
    missing = await service("owners", "add", "nobody@example.com")
    assert (missing.code, "account_not_found" in missing.err) == (1, True)


async def test_a_member_is_refused(world: World, service: Terminal, workspace: Workspace) -> None:
    olga = await world.user("olga")
    mine = Terminal(service.folder, service.env | {"QERO_ACCESS_TOKEN": olga.access_token})
    for arguments in (["workspaces", "list"], ["tokens", "grant", workspace.slug, "5", "--reason", "mine"]):
        ended = await mine(*arguments)
        assert (ended.code, "operator_required" in ended.err) == (1, True)


async def test_workspaces_are_listed_shown_suspended_and_activated(
    terminal: Terminal, world: World, workspace: Workspace
) -> None:
    await world.number(workspace)
    [row] = await terminal.json("workspaces", "list", workspace.slug)
    assert (row["id"], row["member_count"], row["connection_count"]) == (str(workspace.id), 2, 1)
    assert workspace.slug in (await terminal("workspaces", "list", "--limit", "1000")).out
    shown = await terminal("workspaces", "show", str(workspace.id))
    assert (await world.user("olga")).email in shown.out
    assert "No tokens yet" in shown.out
    assert "connection.connected" in shown.out

    assert (await terminal("workspaces", "suspend", workspace.slug)).code == 1, "it asks"
    suspended = await terminal.json("workspaces", "suspend", workspace.slug, "--reason", "unpaid", "--yes")
    assert suspended["status"] == "suspended"
    assert [row["slug"] for row in await terminal.json("workspaces", "list", workspace.slug, "--status", "suspended")]
    assert "is active" in (await terminal("workspaces", "activate", workspace.slug)).out
    overview = await terminal.json("workspaces", "show", workspace.slug)
    assert [entry["action"] for entry in overview["recent_audit"][:2]] == [
        "owner.workspace.activated", "owner.workspace.suspended",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "arguments",
    [
        ["workspaces", "show", "no-such"],
        ["workspaces", "suspend", "no-such", "--yes"],
        ["tokens", "balance", "00000000-0000-0000-0000-000000000000"],
        ["tokens", "grant", "no-such", "5", "--reason", "x"],
        ["entitlements", "list", "no-such"],
        ["entitlements", "enable", "no-such", "meta_hub"],
        ["entitlements", "set", "no-such", "meta_hub"],
        ["audit", "list", "--workspace", "no-such"],
    ],
)
async def test_a_workspace_that_is_not_there_is_said_so(terminal: Terminal, arguments: list[str]) -> None:
    ended = await terminal(*arguments)
    assert (ended.code, ended.out) == (1, "")
    assert "Workspace not found (workspace_not_found)" in ended.err


async def test_tokens_are_granted_deducted_and_explained(
    terminal: Terminal, world: World, workspace: Workspace
) -> None:
    assert "no tokens yet" in (await terminal("tokens", "balance", workspace.slug)).out
    for _ in range(2):
        given = await terminal(
            "tokens", "grant", workspace.slug, "1000", "--reason", "welcome [bold]", "--reference", "r"
        )
        assert "+1,000 tokens, now 1,000." in given.out
    grant = await terminal.json(
        "tokens", "grant", workspace.slug, "50", "--reason", "promo", "--expires", "7d", "--priority", "3"
    )
    assert (grant["remaining"], grant["priority"], grant["status"]) == (50, 3, "open")
    assert (await terminal("tokens", "deduct", workspace.slug, "10", "--reason", "x")).code == 1, "it asks"
    assert (await terminal.json("tokens", "alerts", workspace.slug, "1045", "500"))["levels"] == [1045, 500]
    deducted = await terminal.json("tokens", "deduct", workspace.slug, "10", "--reason", "used", "--yes")
    assert (deducted["delta"], deducted["balance_after"]) == (-10, 1040)
    assert "fell to 1,040, level 1,045" in (await terminal("tokens", "alerts", workspace.slug)).out
    assert (await terminal.json("tokens", "alerts", workspace.slug, "--none"))["levels"] == []
    short = await terminal("tokens", "deduct", workspace.slug, "2000", "--reason", "x", "--yes", "--json")
    assert short.problem()["detail"] == {"balance": 1040, "reserved": 0, "needed": 2000}

    shown = await terminal("tokens", "balance", workspace.slug)
    assert "1,040 tokens: 1,040 free, 0 reserved" in shown.out
    assert "promo" in shown.out
    ledger = await terminal("tokens", "ledger", workspace.slug)
    assert "welcome [bold]" in ledger.out
    assert [row["delta"] for row in await terminal.json("tokens", "ledger", workspace.slug)] == [-10, 50, 1000]
    reservation = await world.scalar("select id from reserve_workspace_tokens(%s, 5, 'job')", workspace.id)
    assert "5 tokens released." in (await terminal("tokens", "release", str(reservation))).out
    assert "settled" in await terminal.json("tokens", "settle-due")
    assert "Every balance is the sum" in (await terminal("tokens", "check")).out


async def test_entitlements_are_set_and_checked(terminal: Terminal, workspace: Workspace) -> None:
    assert "entitled to nothing" in (await terminal("entitlements", "list", workspace.slug)).out
    assert (await terminal("entitlements", "check", workspace.slug, "meta_hub")).code == 1
    enabled = await terminal("entitlements", "enable", workspace.slug, "meta_hub", "--expires", "30d")
    assert f"meta_hub is enabled for {workspace.slug} until" in enabled.out
    payload = '{"limit": 5, "period": "month"}'
    await terminal.json("entitlements", "set", workspace.slug, "core_os", payload, "--reason", "owner grant")
    [core, hub] = await terminal.json("entitlements", "list", workspace.slug)
    assert (core["payload"], core["reason"], core["enabled"]) == (json.loads(payload), "owner grant", True)
    assert hub["expires_at"]
    assert "period" in (await terminal("entitlements", "list", workspace.slug)).out
    checked = await terminal("entitlements", "check", workspace.slug, "core_os", "--amount", "6")
    assert (checked.code, checked.out) == (1, "core_os: limit_reached, 0 used, of 5\n")
    assert (await terminal("entitlements", "check", workspace.slug, "core_os")).code == 0
    assert "disabled" in (await terminal("entitlements", "disable", workspace.slug, "core_os")).out
    for wrong in ("[1]", "{"):
        assert (await terminal("entitlements", "set", workspace.slug, "core_os", wrong)).code == 2


async def test_the_audit_log_is_read_and_exported(
    terminal: Terminal, service: Terminal, operator: User, workspace: Workspace
) -> None:
    reason = '=1+1, "quoted"\nand a second line'
    await terminal.json("tokens", "grant", workspace.slug, "5", "--reason", reason)
    await service.json("entitlements", "enable", workspace.slug, "meta_hub")
    of = ("--workspace", workspace.slug)

    listed = await terminal("audit", "list", *of, "--since", "1h")
    assert "tokens.granted" in listed.out
    assert operator.email in listed.out
    [entry] = await terminal.json("audit", "list", *of, "--actor", operator.email)
    assert (entry["action"], entry["reason"], entry["after"]["balance"]) == ("owner.tokens.granted", reason, 5)
    assert "Nothing found." in (await terminal("audit", "list", *of, "--until", "2020-01-01")).out

    lines = [json.loads(line) for line in (await terminal("audit", "export", *of)).out.splitlines()]
    assert [line["action"] for line in lines][:2] == ["owner.entitlement.enabled", "owner.tokens.granted"]
    exported = await terminal("audit", "export", "--format", "csv", *of, "--action", "owner.tokens")
    [row] = csv.DictReader(io.StringIO(exported.out))
    assert row["reason"] == "'" + reason, "no formula"
    assert json.loads(row["after"])["delta"] == 5
    assert "in log.csv" in (await terminal("audit", "export", "--format", "csv", "-o", "log.csv", *of)).out
    assert len((terminal.folder / "log.csv").read_text().splitlines()) >= len(lines)


async def test_the_log_is_sealed_and_verified(terminal: Terminal, workspace: Workspace) -> None:
    assert "Sealed up to row" in (await terminal("audit", "seal")).out
    await terminal.json("tokens", "grant", workspace.slug, "5", "--reason", "unsealed")
    seal = await terminal.json("audit", "seal")
    verified = await terminal.json("audit", "verify")
    assert (verified["intact"], verified["newest"]) == (True, f"{seal['number']}:{seal['hash']}")
    again = await terminal("audit", "verify", "--expect", verified["newest"])
    assert (again.code, "intact" in again.out) == (0, True)
    other = await terminal("audit", "verify", "--expect", f"{seal['number']}:{'0' * 64}")
    assert (other.code, "isn't there" in other.out) == (1, True)
