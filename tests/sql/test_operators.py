"""Who operates the platform, what nobody else may, and what is written down about it."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from qero import Connections, InvalidState, NotFound, Operators, Outbox, PermissionDenied, Workspaces
from qero.models.ops import AuditEntry
from qero.models.workspace import Workspace
from qero.services.audit import Audit
from qero.services.entitlements import Entitlements
from qero.services.tokens import Tokens
from tests.sql.access import Cast
from tests.sql.conftest import RolledBack
from tests.sql.requests import outcome_of
from tests.sql.test_access_matrix import KEPT, OPERATOR_RPC, RPCS, SHOWN, TABLES
from tests.support import User, World

OPS_RPCS = [name for name, (expected, _) in RPCS.items() if expected is OPERATOR_RPC]
NOT_OPERATORS = ("inactive owner", "owner without admin", "admin without owner", "owner by another e-mail", "no longer")


@pytest.fixture
def world(people: World) -> World:
    return people


@pytest.fixture
async def operator(world: World) -> User:
    user = await world.user("operator")
    await Operators(world.service).add(user.email)
    return user


@pytest.fixture(scope="module")
async def pretenders(people: World, cast: Cast) -> dict[str, str]:
    """Those who have only a part of what makes an operator: their tokens, by what is missing."""
    tokens = {}
    for name in NOT_OPERATORS:
        user = await people.user(name.replace(" ", "-"))
        await people.rows("select add_operator(%s)", user.email)
        tokens[name] = user.access_token
        statement = {
            "inactive owner": "update owner_members set active = false where user_id = %s returning 1",
            "owner without admin": "delete from platform_admins where user_id = %s returning 1",
            "admin without owner": "delete from owner_members where user_id = %s returning 1",
            "owner by another e-mail": "update owner_members set email = 'else@x.de' where user_id = %s returning 1",
            "no longer": "select remove_operator(email) from owner_members where user_id = %s",
        }[name]
        assert await people.rows(statement, user.id)
    cast.tokens |= tokens
    return tokens


# --- Refusals ---


def test_the_list_of_ops_functions_is_the_whole_of_it() -> None:
    assert len(OPS_RPCS) >= 20
    assert {"apply_workspace_token_delta", "set_workspace_entitlement", "search_audit_log"} <= set(OPS_RPCS)


@pytest.mark.parametrize("function", [*OPS_RPCS, "remove_operator"])
async def test_who_lacks_a_part_of_it_is_refused(function: str, cast: Cast, pretenders: dict[str, str]) -> None:
    arguments = RPCS[function][1](cast)
    for identity in (*pretenders, "member", "viewer", "admin", "stranger"):
        answer = await cast.rpc(identity, function, **arguments)
        assert (answer.status_code, answer.json()["message"]) == (403, "operator_required"), identity
    assert (await cast.rpc("anon", function, **arguments)).json()["code"] == "42501"


@pytest.mark.parametrize("table", [table for table, access in TABLES.items() if access in (KEPT, SHOWN)])
async def test_who_lacks_a_part_of_it_sees_no_row(table: str, cast: Cast, pretenders: dict[str, str]) -> None:
    for identity in pretenders:
        answer = await cast.request(identity, "GET", table)
        assert outcome_of(answer) == ("refused" if TABLES[table] is KEPT else "none"), identity


async def test_the_role_says_how_far_an_operator_goes(world: World) -> None:
    looker, doer = await world.user("looker"), await world.user("doer")
    await Operators(world.service).add(looker.email, "viewer")
    await Operators(world.service).add(doer.email, "ops")
    workspace = await world.workspace()

    assert (await Operators(looker.client).find_workspace(workspace.slug)).id == workspace.id
    assert (await Operators(looker.client).overview(workspace.id)).workspace.slug == workspace.slug
    with pytest.raises(PermissionDenied):
        await Tokens(looker.client).apply(workspace.id, 1, "mine")
    assert (await Tokens(doer.client).apply(workspace.id, 1, "theirs")).balance_after == 1
    with pytest.raises(PermissionDenied):
        await Operators(doer.client).add(looker.email, "owner")


async def test_an_operator_is_ended_and_made_again(world: World) -> None:
    user = await world.user("comes-and-goes")
    operators = Operators(world.service)
    assert (await operators.add(user.email.upper())).email == user.email
    assert (await operators.add(user.email)).active, "an upsert"
    await Operators(user.client).list()

    assert not (await operators.remove(user.email)).active
    with pytest.raises(PermissionDenied):
        await Operators(user.client).list()
    await operators.remove(user.email)
    [row] = [row for row in await operators.list() if row.user_id == user.id]
    assert (row.active, row.is_operator) == (False, False)

    assert (await operators.add(user.email, "viewer")).active
    [row] = [row for row in await Operators(user.client).list() if row.user_id == user.id]
    assert (row.role, row.is_operator) == ("viewer", True)
    assert [entry.action.removeprefix("owner.") for entry in await about(world, user.id)] == [
        "operator.added", "admin.added", "operator.deactivated", "admin.removed", "operator.reactivated", "admin.added",
    ]  # fmt: skip


def test_of_two_accounts_with_the_same_e_mail_none_is_guessed(rolled_back: RolledBack) -> None:
    with rolled_back() as connection:
        for email in ("twin@example.com", "Twin@example.com"):
            connection.execute("insert into auth.users (id, email) values (gen_random_uuid(), %s)", [email])
        with pytest.raises(psycopg.DatabaseError) as error:
            connection.execute("select add_operator('twin@example.com')")
    assert error.value.diag.message_primary == "account_not_found"


async def about(world: World, user_id: UUID) -> list[AuditEntry]:
    """The log about a person, oldest first."""
    return [*reversed(await Audit(world.service).search(text=str(user_id), limit=1000))]


# --- Append-only ---

ATTEMPTS = [
    "update {table} set reason = 'x'",
    "update {table} set reason = 'x' where false",
    "delete from {table}",
    "truncate {table}",
    "truncate workspaces cascade",
    "delete from {table} where workspace_id = '{workspace}'",
]


@pytest.mark.parametrize("role", ["postgres", "service_role", "authenticated", "anon", "superuser", "replica"])
@pytest.mark.parametrize("table", ["owner_audit_log", "workspace_token_ledger"])
@pytest.mark.parametrize("attempt", ATTEMPTS)
async def test_ledger_and_audit_are_changed_by_nobody(
    attempt: str, table: str, role: str, cast: Cast, world: World
) -> None:
    url = world.settings.require("db_url")
    if role in ("superuser", "replica"):
        url = url.replace("//postgres:", "//supabase_admin:")
    statement = attempt.format(table=table, workspace=cast.workspace.id)
    with psycopg.connect(url) as connection:
        if role in ("service_role", "authenticated", "anon"):
            connection.execute(f"set local role {role}".encode())
        elif role == "replica":
            connection.execute("set local session_replication_role = replica")
        with pytest.raises(psycopg.DatabaseError) as error:
            connection.execute(statement.encode())
        connection.rollback()
    refused_by_grant = role in ("service_role", "authenticated", "anon")
    assert error.value.sqlstate == ("42501" if refused_by_grant else "PT409")
    assert refused_by_grant or error.value.diag.message_primary == "append_only"


async def test_the_balance_cannot_be_removed_from_under_its_ledger(cast: Cast, rolled_back: RolledBack) -> None:
    with rolled_back() as connection, pytest.raises(psycopg.DatabaseError) as error:
        connection.execute("delete from workspace_token_balance where workspace_id = %s", [cast.workspace.id])
    assert error.value.diag.message_primary == "append_only"


async def test_the_ledger_goes_with_its_workspace_and_the_audit_stays(world: World, operator: User) -> None:
    workspace = await world.workspace()
    await Tokens(operator.client).apply(workspace.id, 5, "start")

    await world.rows("delete from workspaces where id = %s returning 1", workspace.id)

    assert await Tokens(world.service).ledger(workspace.id) == []
    log = await Audit(operator.client).search(workspace_id=workspace.id)
    assert [entry.action for entry in log] == [
        "owner.workspace.deleted", "owner.tokens.granted", "owner.member.added", "owner.workspace.created",
    ]  # fmt: skip
    assert (log[0].before or {})["slug"] == workspace.slug


# --- What is written down ---


async def test_every_action_of_an_operator_is_written_down(world: World, operator: User) -> None:
    workspace = await world.workspace()
    tokens, entitlements = Tokens(operator.client), Entitlements(operator.client)
    await entitlements.set(workspace.slug, "meta_hub", enabled=True, reason="owner grant")
    await entitlements.set_payload(workspace.id, "core_os", {"seats": 3})
    await tokens.apply(workspace.id, 100, "welcome", reference="r1")
    await tokens.apply(workspace.id, 100, "welcome", reference="r1")
    await tokens.apply(workspace.id, -30, "mistake")
    await tokens.grant(workspace.id, 7, "promotion", expires_at="2100-01-01T00:00:00Z")  # type: ignore[arg-type]
    await tokens.set_alerts(workspace.id, [10])
    await Operators(operator.client).set_workspace_status(workspace.id, "suspended", "unpaid")
    await Operators(operator.client).set_workspace_status(workspace.id, "suspended", "unpaid")
    await Operators(operator.client).set_workspace_status(workspace.id, "active")

    log = [*reversed(await Audit(operator.client).search(workspace_id=workspace.id, actor=operator.email))]

    assert [(entry.action.removeprefix("owner."), entry.reason) for entry in log] == [
        ("entitlement.enabled", "owner grant"), ("entitlement.enabled", None), ("tokens.granted", "welcome"),
        ("tokens.deducted", "mistake"), ("tokens.granted", "promotion"), ("tokens.alerts_set", None),
        ("workspace.suspended", "unpaid"), ("workspace.activated", None),
    ]  # fmt: skip
    assert {(entry.actor_id, entry.actor_email, entry.actor_role) for entry in log} == {
        (operator.id, operator.email, "authenticated")
    }
    assert (log[3].before, (log[3].after or {})["balance"]) == ({"balance": 100}, 70)


async def test_changes_of_members_are_written_down_whoever_makes_them(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    olga, bob = await world.user("olga"), await world.user("bob")
    await Workspaces(olga.client).set_member_role(workspace.id, bob.id, "admin")
    await Workspaces(olga.client).set_member_role(workspace.id, bob.id, "admin")
    await Workspaces(bob.client).remove_member(workspace.id, bob.id)

    log = [*reversed(await Audit(world.service).search(workspace_id=workspace.id, action="owner.member"))]

    told = [(entry.action.removeprefix("owner.member."), entry.actor_email, entry.actor_role) for entry in log]
    assert told == [
        ("added", olga.email, "authenticated"), ("added", None, "service_role"),
        ("role_changed", olga.email, "authenticated"), ("removed", bob.email, "authenticated"),
    ]  # fmt: skip
    assert [(entry.before or {}).get("role") for entry in log[2:]] == ["member", "admin"]
    assert (log[2].after or {})["role"] == "admin"


async def test_changes_of_connections_are_written_down(world: World) -> None:
    workspace = await world.workspace(owner="olga")
    number = await world.number(workspace)
    outbox, olga = Outbox(world.service), await world.user("olga")
    await outbox.pause_connection(number.connection.id, "Holidays")
    await outbox.resume_connection(number.connection.id)
    await world.rows("update wa_phone_numbers set quality = 'GREEN' where id = %s returning 1", number.connection.id)
    await Connections(olga.client).disconnect(number.connection.id)

    log = [*reversed(await Audit(world.service).search(workspace_id=workspace.id, action="owner.connection"))]

    assert [(entry.action.removeprefix("owner.connection."), entry.actor_email, entry.reason) for entry in log] == [
        ("connected", None, None), ("paused", None, "Holidays"), ("resumed", None, None),
        ("disconnected", olga.email, "disconnected"),
    ]  # fmt: skip


async def test_the_request_is_named_and_a_direct_connection_too(world: World, operator: User, cast: Cast) -> None:
    workspace = await world.workspace()
    answer = await world.clients.http.post(
        f"{world.settings.supabase_url}/rest/v1/rpc/apply_workspace_token_delta",
        headers={
            "apikey": world.settings.require("publishable_key"),
            "authorization": f"Bearer {operator.access_token}",
            "x-request-id": "request-17",
        },
        json={"p_workspace_id": str(workspace.id), "p_delta": 1, "p_reason": "test"},
    )
    assert answer.status_code == 200
    await world.rows("select apply_workspace_token_delta(%s, 1, 'by hand')", workspace.id)

    by_hand, by_request = await Audit(operator.client).search(workspace_id=workspace.id, action="owner.tokens")

    assert by_request.request_id == "request-17"
    assert (by_hand.actor_role, by_hand.actor_id, by_hand.request_id) == ("postgres", None, None)


async def test_the_log_is_searched_by_everything(world: World, operator: User) -> None:
    first, second = await world.workspace(), await world.workspace()
    word = uuid4().hex
    for workspace in (first, second):
        await Tokens(operator.client).apply(workspace.id, 1, f"because of {word}")
        await Entitlements(world.service).set(workspace.slug, word, enabled=True)
    audit = Audit(operator.client)

    async def found(**filters: Any) -> list[tuple[str, UUID | None]]:
        return [(entry.action, entry.workspace_id) for entry in await audit.search(text=word.upper(), **filters)]

    everything = await found()
    assert everything == [
        ("owner.entitlement.enabled", second.id), ("owner.tokens.granted", second.id),
        ("owner.entitlement.enabled", first.id), ("owner.tokens.granted", first.id),
    ]  # fmt: skip
    assert await found(workspace_id=first.id) == everything[2:]
    assert await found(action="owner.tokens") == await found(action="owner.tokens.granted") == everything[1::2]
    assert await found(action="owner.token") == []
    assert await found(actor=operator.email) == await found(actor=str(operator.id)) == everything[1::2]
    assert await found(actor="service_role") == everything[::2]
    newest = (await audit.search(text=word))[0]
    assert await found(until=newest.occurred_at) == await found(before_id=newest.id) == everything[1:]
    assert await found(since=newest.occurred_at) == everything[:1]
    assert await found(limit=1) == everything[:1]


# --- The chain ---


async def test_a_changed_row_breaks_its_seal_and_no_other(world: World, operator: User) -> None:
    """As the superuser, who alone can get past the triggers."""
    audit = Audit(operator.client)
    workspace = await world.workspace()
    seals = []
    for number in range(3):
        await Tokens(operator.client).apply(workspace.id, 1, f"entry {number}")
        seals.append(await audit.seal())
    first, second, third = seals
    assert first
    assert second
    assert third
    assert (second.number, third.number) == (first.number + 1, first.number + 2)
    assert (second.row_count, third.row_count) == (1, 1)
    assert await audit.seal() == third, "nothing came"

    async def broken() -> list[int]:
        verified = await audit.verify(after_number=first.number - 1, limit=100)
        return [seal.number for seal in verified if not seal.intact]

    assert await broken() == []
    superuser = world.settings.require("db_url").replace("//postgres:", "//supabase_admin:")
    async with await psycopg.AsyncConnection.connect(superuser, autocommit=True) as connection:
        for change, back in (
            ("update owner_audit_log set reason = 'nothing' where id = %s",
             "update owner_audit_log set reason = 'entry 1' where id = %s"),
            ("update owner_audit_log set occurred_at = occurred_at - interval '1 microsecond' where id = %s",
             "update owner_audit_log set occurred_at = occurred_at + interval '1 microsecond' where id = %s"),
        ):  # fmt: skip
            await connection.execute("alter table owner_audit_log disable trigger user")
            await connection.execute(change.encode(), [second.last_id])
            assert await broken() == [second.number]
            await connection.execute(back.encode(), [second.last_id])
            await connection.execute("alter table owner_audit_log enable trigger user")
            await connection.execute("alter table owner_audit_log enable always trigger owner_audit_log_refuse_change")
            assert await broken() == []


async def test_a_row_whose_writer_commits_late_is_sealed_later(world: World, operator: User) -> None:
    """Its id is older than the seal would be: sealing waits for it, or gives up and leaves everything as it is."""
    audit = Audit(operator.client)
    workspace = await world.workspace()
    await audit.seal()
    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as late:
        await late.execute("select apply_workspace_token_delta(%s, 1, 'late')", [workspace.id])
        sealing = asyncio.create_task(audit.seal())
        await world.until_waiting()
        await late.commit()
        seal = await sealing
    assert seal
    [entry] = await audit.search(workspace_id=workspace.id, action="owner.tokens")
    assert seal.last_id >= entry.id
    assert all(verified.intact for verified in await audit.verify(after_number=seal.number - 1))


# --- Workspaces ---


async def test_operators_find_every_workspace_and_its_state(world: World, operator: User) -> None:
    workspace = await world.workspace(owner="olga", bob="viewer")
    number = await world.number(workspace)
    await Tokens(operator.client).apply(workspace.id, 12, "start")
    await Entitlements(operator.client).set(workspace.slug, "meta_hub", enabled=True)
    operators = Operators(operator.client)

    [listed] = await operators.list_workspaces(search=workspace.slug[2:])
    assert (listed.id, listed.member_count, listed.connection_count, listed.token_balance) == (workspace.id, 2, 1, 12)
    assert [found.id for found in await operators.list_workspaces(search=str(workspace.id))] == [workspace.id]
    assert await operators.list_workspaces(search="w_%") == [], "no wildcards"
    page = await operators.list_workspaces(limit=2)
    assert (await operators.list_workspaces(after_slug=page[0].slug, limit=1))[0] == page[1]

    overview = await operators.overview(workspace.id)
    assert [(member.email, member.role) for member in overview.members] == [
        ((await world.user("olga")).email, "owner"), ((await world.user("bob")).email, "viewer"),
    ]  # fmt: skip
    assert [entitlement.key for entitlement in overview.entitlements] == ["meta_hub"]
    assert overview.tokens
    assert overview.tokens.balance == 12
    assert [connection.id for connection in overview.connections] == [number.connection.id]
    assert overview.queue.due == 0
    assert overview.recent_audit[0].action == "owner.entitlement.enabled"
    with pytest.raises(NotFound, match="Workspace not found"):
        await operators.find_workspace("no-such")
    with pytest.raises(NotFound):
        await operators.overview(UUID(int=0))


async def test_a_suspended_workspace_is_only_read(world: World, operator: User) -> None:
    workspace = await world.workspace(owner="olga", otto="owner", bob="viewer")
    number = await world.number(workspace)
    thread = await world.thread(number)
    olga, otto, bob = [await world.user(name) for name in ("olga", "otto", "bob")]
    await Operators(operator.client).set_workspace_status(workspace.id, "suspended", "unpaid")

    with pytest.raises(InvalidState) as error:
        await Workspaces(olga.client).set_member_role(workspace.id, bob.id, "admin")
    assert error.value.code == "workspace_suspended"
    contact = {"workspace_id": str(workspace.id), "name": "New", "created_by": str(olga.id)}
    answer = await world.clients.http.post(
        f"{world.settings.supabase_url}/rest/v1/contacts",
        headers={"apikey": world.settings.require("publishable_key"), "authorization": f"Bearer {olga.access_token}"},
        content=json.dumps(contact),
    )
    assert answer.status_code == 403
    for leaver in (bob, otto):
        await Workspaces(leaver.client).remove_member(workspace.id, leaver.id)  # leaving is always allowed
    [listed] = [row for row in await Workspaces(olga.client).list() if row.id == workspace.id]
    assert listed.status == "suspended"
    again = await world.thread(number, text="Are you there?", sender=await phone_of(world, thread.contact_id))
    assert again.id == thread.id, "what customers write still arrives"

    await Operators(operator.client).set_workspace_status(workspace.id, "active")
    answer = await world.clients.http.post(
        answer.request.url, headers=dict(answer.request.headers), content=json.dumps(contact)
    )
    assert answer.status_code == 201


async def phone_of(world: World, contact_id: UUID | None) -> str:
    phone: str = await world.scalar("select phone from contacts where id = %s", contact_id)
    return phone


async def test_nothing_of_a_suspended_workspace_is_sent_until_it_is_active_again(world: World, operator: User) -> None:
    workspace = await world.workspace()
    number = await world.number(workspace)
    outbox, operators = Outbox(world.service), Operators(operator.client)
    [waiting] = await queue(world, workspace, number.connection.id)

    await operators.set_workspace_status(workspace.id, "suspended")
    [later] = await queue(world, workspace, (await world.number(workspace)).connection.id)
    await outbox.resume_connection(number.connection.id)
    assert await claimable(world) & {waiting, later} == set()
    overview = await operators.overview(workspace.id)
    assert {lane.pause_reason for lane in overview.queue.lanes} == {"workspace_suspended"}

    await operators.set_workspace_status(workspace.id, "active")
    assert await claimable(world) >= {waiting, later}
    await outbox.cancel([waiting, later])


async def queue(world: World, workspace: Workspace, connection_id: UUID) -> list[UUID]:
    return await Outbox(world.service).enqueue(
        workspace.id, "whatsapp", [(str(uuid4()), "+15550001111", {"type": "text"})], connection_id=connection_id
    )


async def claimable(world: World) -> set[UUID]:
    """What a worker would get now; nothing is claimed."""
    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as connection:
        rows = await (await connection.execute("select id from claim_outbox(1000, 'looking')")).fetchall()
        await connection.rollback()
    return {id_ for (id_,) in rows}


# --- Members ---


async def test_one_owner_always_remains(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="admin")
    olga, bob = await world.user("olga"), await world.user("bob")
    for attempt in (
        Workspaces(olga.client).remove_member(workspace.id, olga.id),
        Workspaces(olga.client).set_member_role(workspace.id, olga.id, "viewer"),
        Workspaces(world.service).remove_member(workspace.id, olga.id),
    ):
        with pytest.raises(InvalidState) as error:
            await attempt
        assert error.value.code == "last_owner"

    await Workspaces(olga.client).set_member_role(workspace.id, bob.id, "owner")
    assert (await Workspaces(olga.client).remove_member(workspace.id, olga.id)).role == "owner"
    with pytest.raises(NotFound) as gone:
        await Workspaces(olga.client).resolve(workspace.slug)
    assert gone.value.code == "workspace_not_found"
