"""Entitlements: the calls of the playbook, what checking and using them says, and older tables."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from qero import Entitlements, InvalidInput, NotFound, Operators
from qero.models.workspace import Workspace
from tests.sql.conftest import RolledBack
from tests.sql.test_repeating import MIGRATIONS
from tests.support import World


@pytest.fixture
def world(people: World) -> World:
    return people


@pytest.fixture
async def workspace(world: World) -> Workspace:
    return await world.workspace(owner="olga", bob="viewer")


async def state(world: World, workspace: Workspace, key: str = "meta_hub") -> tuple[bool, Any, str | None]:
    [row] = await world.rows(
        "select enabled, payload, reason from workspace_entitlements where workspace_id = %s and key = %s",
        workspace.id, key,
    )  # fmt: skip
    return row[0], row[1], row[2]


async def actions(world: World, workspace: Workspace) -> list[str]:
    """What the audit log says of the workspace's entitlements, oldest first."""
    rows = await world.rows(
        "select action from owner_audit_log where workspace_id = %s and action like 'owner.entitlement.%%' order by id",
        workspace.id,
    )
    return [action.removeprefix("owner.entitlement.") for (action,) in rows]


# --- The calls of the playbook, from a direct connection ---


async def test_the_playbooks_calls_work_as_they_stand_there(world: World, workspace: Workspace) -> None:
    await world.rows(f"select set_workspace_entitlement('{workspace.slug}','meta_hub',true,null,'owner grant')")
    assert await state(world, workspace) == (True, {}, "owner grant")

    await world.rows(
        f"select set_workspace_entitlement_payload('{workspace.id}','core_os',true,'{{}}'::jsonb,null,'owner grant')"
    )
    assert await state(world, workspace, "core_os") == (True, {}, "owner grant")
    assert await actions(world, workspace) == ["enabled", "enabled"]


async def test_the_seed_stories(world: World, workspace: Workspace) -> None:
    async def payload_call(payload: str, reason: str = "null") -> None:
        await world.rows(
            f"select set_workspace_entitlement_payload('{workspace.id}','meta_hub',true,{payload},null,{reason})"
        )

    async def call(enabled: str, reason: str) -> None:
        await world.rows(f"select set_workspace_entitlement('{workspace.slug}','meta_hub',{enabled},null,{reason})")

    await payload_call("null")
    assert await state(world, workspace) == (True, {}, None), "no payload"
    await payload_call("'null'::jsonb")
    assert await state(world, workspace) == (True, {}, None), "an empty payload"
    await payload_call("""'{"seats": 3, "limit": 10}'::jsonb""", "'first'")
    await payload_call("""'{"seats": 5, "limit": 10}'::jsonb""", "'edited'")
    assert await state(world, workspace) == (True, {"seats": 5, "limit": 10}, "edited"), "an edited payload"
    await call("false", "'unpaid'")
    assert await state(world, workspace) == (False, {"seats": 5, "limit": 10}, "unpaid"), "disabled with a reason"
    await call("false", "null")
    assert await state(world, workspace) == (False, {"seats": 5, "limit": 10}, None), "and without"
    await call("false", "''")
    await call("false", "null")
    assert await state(world, workspace) == (False, {"seats": 5, "limit": 10}, None), "repeated"
    await call("true", "'paid'")
    assert await actions(world, workspace) == ["enabled", "updated", "updated", "disabled", "updated", "enabled"]


async def test_both_calls_take_fewer_arguments_and_names(world: World, workspace: Workspace) -> None:
    await world.rows("select set_workspace_entitlement(%s, 'a', true)", workspace.slug)
    await world.rows("select set_workspace_entitlement(%s, 'b', true)", str(workspace.id))
    await world.rows("select set_workspace_entitlement_payload(%s, 'c', true, '{}')", workspace.id)
    await world.rows(
        "select set_workspace_entitlement(p_enabled => true, p_key => ' d ', p_slug => %s, p_expires_at => now())",
        workspace.slug,
    )
    assert [entitlement.key for entitlement in await Entitlements(world.service).list(workspace.id)] == [*"abcd"]


async def test_a_workspace_that_is_not_there_is_said_so(world: World) -> None:
    with pytest.raises(NotFound, match="Workspace not found"):
        await Entitlements(world.service).set("no-such", "meta_hub", enabled=True)
    with pytest.raises(NotFound, match="Workspace not found"):
        await Entitlements(world.service).set_payload(UUID(int=0), "meta_hub", {})


async def test_no_call_is_ambiguous(world: World) -> None:
    """One function for each name, so that a call of the playbook with bare literals can mean only one."""
    rows = await world.rows(
        "select proname, count(*) from pg_proc where pronamespace = 'public'::regnamespace"
        " and proname ~ 'entitlement|token' group by 1 having count(*) > 1"
    )
    assert rows == []


# --- Checking and using ---


async def test_checking_says_why_and_how_much(world: World, workspace: Workspace) -> None:
    service = Entitlements(world.service)
    bob = Entitlements((await world.user("bob")).client)

    async def says() -> tuple[bool, str, int | None, int]:
        found = await bob.check(workspace.id, "messages")
        assert found == await service.check(workspace.id, "messages")
        return found.granted, found.reason, found.limit, found.usage

    assert await says() == (False, "not_entitled", None, 0)
    await service.set_payload(workspace.id, "messages", None)
    assert await says() == (True, "granted", None, 0)
    assert (await service.use(workspace.id, "messages", 7)).usage == 7
    await service.set_payload(workspace.id, "messages", {"limit": 10})
    assert await says() == (True, "granted", 10, 7)
    assert (await bob.check(workspace.id, "messages", 3)).granted
    assert (await bob.check(workspace.id, "messages", 4)).reason == "limit_reached"
    assert not (await service.use(workspace.id, "messages", 4)).granted
    assert (await service.use(workspace.id, "messages", 3)).usage == 10
    assert await says() == (False, "limit_reached", 10, 10)
    assert (await bob.check(workspace.id, "messages", 0)).granted, "nothing more is no more than the limit"

    await service.set(workspace.slug, "messages", enabled=False)
    assert await says() == (False, "disabled", 10, 10)
    await world.rows("select set_workspace_entitlement(%s, 'messages', true, now())", workspace.slug)
    assert await says() == (False, "expired", 10, 10)
    await Operators(world.service).set_workspace_status(workspace.id, "suspended")
    assert await says() == (False, "workspace_suspended", 10, 10)


async def test_a_limit_is_for_its_period(world: World, workspace: Workspace) -> None:
    service = Entitlements(world.service)
    for period in ("day", "month", "year"):
        await service.set_payload(workspace.id, period, {"limit": 2, "period": period})
        assert (await service.use(workspace.id, period, 2)).granted
        assert (await service.use(workspace.id, period)).reason == "limit_reached"
        await world.rows(
            "update workspace_entitlement_usage set period_start = period_start - %s::interval"
            " where workspace_id = %s and key = %s returning 1",
            f"1 {period}", workspace.id, period,
        )  # fmt: skip
        assert (await service.check(workspace.id, period)).usage == 0, "the next one begins with nothing"


async def test_the_last_one_goes_to_one_of_many(world: World, workspace: Workspace) -> None:
    service = Entitlements(world.service)
    await service.set_payload(workspace.id, "messages", {"limit": 20})

    states = await asyncio.gather(*(service.use(workspace.id, "messages") for _ in range(50)))

    assert sorted(found.usage for found in states if found.granted) == list(range(1, 21))
    assert {(found.reason, found.usage) for found in states if not found.granted} == {("limit_reached", 20)}


async def test_a_stranger_learns_nothing(world: World, workspace: Workspace) -> None:
    await Entitlements(world.service).set(workspace.slug, "meta_hub", enabled=True)
    mallory = Entitlements((await world.user("mallory")).client)
    assert await mallory.list(workspace.id) == []
    for workspace_id in (workspace.id, UUID(int=1)):
        with pytest.raises(NotFound) as error:
            await mallory.check(workspace_id, "meta_hub")
        assert error.value.code == "workspace_not_found"


async def test_a_limit_that_cannot_be_read_is_refused(world: World, workspace: Workspace) -> None:
    with pytest.raises(InvalidInput):
        await Entitlements(world.service).set_payload(workspace.id, "messages", {"limit": "many"})


# --- Older tables and functions ---

OPS_MIGRATIONS = [
    file for file in MIGRATIONS
    if file.name.startswith(("20260118000000_", "20260120_", "20260121200000_", "20260205100000_"))
]  # fmt: skip

FORGET = """
drop table workspace_entitlements, workspace_entitlement_usage, workspace_token_balance, workspace_token_ledger,
  workspace_token_grants, workspace_token_reservations, workspace_token_alerts cascade;
"""

OLDER = """
create table workspace_entitlements (
  id uuid not null default gen_random_uuid(), workspace_id uuid not null, key text not null,
  value {type} not null, note text not null, {more} unique (workspace_id, key)
);
alter table workspace_entitlements enable row level security;
create policy "everybody reads" on workspace_entitlements for select using (true);
grant all on workspace_entitlements to anon, authenticated;
"""

SHAPES: list[tuple[str, str, str, list[tuple[str, bool, Any]]]] = [
    # type of value, further columns, what is inserted, and what becomes of it: key, enabled, payload
    ("boolean", "", "('a', true), ('b', false)", [("a", True, {}), ("b", False, {})]),
    (
        "jsonb",
        "",
        """('a', 'true'), ('b', 'false'), ('c', '{"limit": 5}'), ('d', '7'), ('e', '["x"]'), ('f', '"y"'),
          ('g', 'null')""",
        [
            ("a", True, {}), ("b", False, {}), ("c", True, {"limit": 5}), ("d", True, {"value": 7}),
            ("e", True, {"value": ["x"]}), ("f", True, {"value": "y"}), ("g", False, {}),
        ],
    ),
    ("json", "", """('a', '{"limit": 5}')""", [("a", True, {"limit": 5})]),
    ("text", "", "('a', 'gold')", [("a", True, {"value": "gold"})]),
    ("integer", "", "('a', 3)", [("a", True, {"value": 3})]),
    ("text[]", "", "('a', '{x,y}')", [("a", True, {"value": ["x", "y"]})]),
    (
        "jsonb",
        "enabled boolean, payload jsonb,",
        """('a', 'true'), ('b', '{"limit": 5}')""",
        [("a", True, {}), ("b", False, {"limit": 5})],
    ),
    (
        "jsonb",
        """enabled boolean not null default true, payload jsonb not null default '{"kept": 1}',""",
        """('a', '{"limit": 5}'), ('b', 'false')""",
        [("a", True, {"kept": 1}), ("b", False, {"kept": 1})],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "more", "rows", "expected"), SHAPES)
async def test_older_values_become_enabled_and_payload(
    type_: str, more: str, rows: str, expected: list[tuple[str, bool, Any]], world: World, workspace: Workspace,
    rolled_back: RolledBack,
) -> None:  # fmt: skip
    with rolled_back() as connection:
        fresh = columns(connection)
        connection.execute(FORGET)
        connection.execute(OLDER.format(type=type_, more=more).encode())
        connection.execute(
            f"insert into workspace_entitlements (workspace_id, note, key, value)"
            f" select %s, 'n', given.key, given.value::{type_} from (values {rows}) as given (key, value)".encode(),
            [workspace.id],
        )
        for _ in range(2):
            migrate(connection)
            found = connection.execute(
                "select key, enabled, payload from workspace_entitlements where workspace_id = %s order by key",
                [workspace.id],
            ).fetchall()
            assert found == expected
        assert fresh.items() <= columns(connection).items()
        # It works from now on, whatever else the older table wanted to know.
        connection.execute(
            "select set_workspace_entitlement(%s, 'a', false, null, 'off'), set_workspace_entitlement(%s, 'new', true)",
            [workspace.slug, workspace.slug],
        )
        migrate(connection)
        assert connection.execute(
            "select key, enabled from workspace_entitlements where workspace_id = %s and key in ('a', 'new')"
            " order by key",
            [workspace.id],
        ).fetchall() == [("a", False), ("new", True)], "value is never read again"
        assert connection.execute(
            "select string_agg(policyname, ' ') from pg_policies where tablename = 'workspace_entitlements'"
        ).fetchone() == ("workspace_entitlements_select_member",)
        assert connection.execute(
            "select has_table_privilege('anon', 'workspace_entitlements', 'select'),"
            " has_table_privilege('authenticated', 'workspace_entitlements', 'update')"
        ).fetchone() == (False, False)


UNREADABLE: dict[str, dict[str, Any]] = {
    "a word": {"limit": "unlimited", "seats": 3},
    "less than none": {"limit": -1},
    "an object": {"limit": {"seats": 3}},
    "more than can be counted": {"limit": 10**30},
    "no period": {"limit": 5, "period": "forever"},
}
READABLE: dict[str, dict[str, Any]] = {
    "a number": {"limit": 5, "period": "month"}, "in quotes": {"limit": "5"},
    "of a week": {"limit": 5, "period": "week"}, "none": {"seats": 3}, "null": {"limit": None},
}  # fmt: skip


async def test_a_limit_that_nobody_can_read_is_set_aside_and_stops_no_check(
    workspace: Workspace, rolled_back: RolledBack
) -> None:
    with rolled_back() as connection:
        for key, payload in (UNREADABLE | READABLE).items():
            connection.execute(
                "insert into workspace_entitlements (workspace_id, key, enabled, payload) values (%s, %s, true, %s)",
                [workspace.id, key, Jsonb(payload)],
            )
        for _ in range(2):
            migrate(connection)

        payloads = dict(
            connection.execute(
                "select key, payload from workspace_entitlements where workspace_id = %s", [workspace.id]
            ).fetchall()
        )
        assert payloads == READABLE | {key: {} for key in UNREADABLE} | {"a word": {"seats": 3}}
        rejects = connection.execute(
            "select contents ->> 'key', contents -> 'payload' from private.migration_rejects"
            " where source = 'public.workspace_entitlements' and contents ->> 'workspace_id' = %s",
            [str(workspace.id)],
        ).fetchall()
        assert sorted(rejects) == sorted(UNREADABLE.items())
        for key in payloads:
            checked = connection.execute("select granted from check_entitlement(%s, %s)", [workspace.id, key])
            assert checked.fetchone() == (True,), key


def migrate(connection: psycopg.Connection[Any]) -> None:
    for file in OPS_MIGRATIONS:
        connection.execute(file.read_bytes())


def columns(connection: psycopg.Connection[Any]) -> dict[tuple[str, str], tuple[str, bool, str | None]]:
    """Of the ops tables: type, whether it may be null, default."""
    rows = connection.execute(
        """
        select relation.relname, attribute.attname, format_type(attribute.atttypid, attribute.atttypmod),
          attribute.attnotnull, pg_get_expr(adbin, adrelid)
        from pg_attribute as attribute join pg_class as relation on relation.oid = attribute.attrelid
        left join pg_attrdef on adrelid = attrelid and adnum = attnum
        where relation.relnamespace = 'public'::regnamespace and relation.relkind = 'r'
          and relation.relname ~ '^(owner_|platform_|workspace_(ent|tok))' and attnum > 0 and not attisdropped
        """
    ).fetchall()
    return {(table, column): (type_, required, default) for table, column, type_, required, default in rows}


OLDER_FUNCTIONS = """
create table workspace_token_balance (workspace_id uuid primary key, balance integer not null default 0);
create table workspace_token_ledger (
  id bigserial primary key, workspace_id uuid not null, delta integer not null, balance_after integer not null,
  reason text, kind text not null
);
create function apply_workspace_token_delta(p_workspace_id uuid, p_delta integer, p_reason text, p_reference text)
returns table (workspace_id uuid, balance integer) language plpgsql as $$
begin
  insert into workspace_token_balance (workspace_id, balance) values (p_workspace_id, p_delta)
  on conflict (workspace_id) do update set balance = balance + p_delta;
  return query select workspace_id, balance from workspace_token_balance;
end $$;
create function set_workspace_entitlement(slug text, key text, enabled boolean, payload jsonb, reason text)
returns void language sql as '';
"""


async def test_older_functions_and_ledgers_give_way(
    world: World, workspace: Workspace, rolled_back: RolledBack
) -> None:
    other = await world.workspace()
    with rolled_back() as connection:
        fresh = columns(connection)
        connection.execute(FORGET)
        connection.execute(OLDER_FUNCTIONS)
        with pytest.raises(psycopg.errors.AmbiguousColumn), connection.transaction():
            connection.execute("select apply_workspace_token_delta(%s, 5, 'x', '')", [workspace.id])
        connection.execute("insert into workspace_token_balance values (%s, 30), (%s, 0)", [workspace.id, other.id])
        connection.execute(
            "insert into workspace_token_ledger (workspace_id, delta, balance_after, kind) values (%s, 20, 20, 'x')",
            [workspace.id],
        )
        for _ in range(2):
            migrate(connection)

        assert fresh.items() <= columns(connection).items()
        assert connection.execute(
            "select delta, reference_type from workspace_token_ledger order by id"
        ).fetchall() == [(20, "request"), (10, "opening")], "what the balance had and the ledger didn't say"
        assert connection.execute("select * from check_token_balances()").fetchall() == []
        row = connection.execute(
            "select (apply_workspace_token_delta(%s, 5, 'x', '')).balance_after", [workspace.id]
        ).fetchone()
        assert row == (35,)
        connection.execute(
            f"select set_workspace_entitlement('{workspace.slug}','meta_hub',true,null,'owner grant')".encode()
        )


async def test_half_made_tables_are_completed(world: World, workspace: Workspace, rolled_back: RolledBack) -> None:
    operator = await world.user("half-made")
    with rolled_back() as connection:
        fresh = columns(connection)
        connection.execute(FORGET)
        connection.execute("drop table owner_members, platform_admins, owner_audit_log cascade")
        connection.execute("create table owner_members (user_id uuid, role text check (role in ('boss', 'owner')))")
        connection.execute("create table platform_admins (id serial primary key, user_id uuid not null)")
        connection.execute("create table owner_audit_log (id bigserial primary key, action text, what text not null)")
        connection.execute("create table workspace_token_grants (workspace_id uuid, amount integer)")
        connection.execute(
            "create table workspace_token_ledger (id uuid primary key default gen_random_uuid(), workspace_id uuid)"
        )
        connection.execute("insert into owner_members values (%s, 'owner')", [operator.id])
        for _ in range(2):
            migrate(connection)

        assert fresh.items() <= columns(connection).items()
        row = connection.execute("select email, active from owner_members").fetchone()
        assert row == (operator.email, True)
        connection.execute("select add_operator(%s, 'ops')", [operator.email])
        connection.execute(
            "select grant_workspace_tokens(%s, 5, 'x'), set_workspace_entitlement(%s, 'meta_hub', true)",
            [workspace.id, workspace.slug],
        )
        count = connection.execute("select count(*) from owner_audit_log").fetchone()
        assert count
        assert count[0] >= 3


def test_the_playbooks_check_of_the_value_column(catalogue: psycopg.Connection[Any]) -> None:
    row = catalogue.execute(
        "select data_type, is_nullable, column_default from information_schema.columns"
        " where table_schema = 'public' and table_name = 'workspace_entitlements' and column_name = 'value'"
    ).fetchone()
    assert row == ("jsonb", "YES", "'{}'::jsonb")


async def test_the_value_column_may_be_written_by_older_code(world: World, workspace: Workspace) -> None:
    await world.rows(
        "insert into workspace_entitlements (workspace_id, key, value) values (%s, 'old', %s) returning 1",
        workspace.id, Jsonb({"limit": 1}),
    )  # fmt: skip
    assert (await Entitlements(world.service).check(workspace.id, "old")).reason == "disabled"
