"""Databases from before personal settings: the migrations bring them here, twice without harm, and lose nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from qero.local.stack import temporary_stack
from tests.sql.test_repeating import MIGRATIONS

Connection = psycopg.Connection[Any]

# As it stood there: a contact has one status, whoever looks at it.
OLDER: LiteralString = """
create table public.contacts (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid references public.workspaces (id),
  name text, email text, phone text, lead_status text, status_tags text[],
  status text not null default 'working', follow_up_at timestamp, follow_up_note text,
  owner_code text not null, created_at timestamptz default now(),
  constraint contacts_status_check check (length(status) < 50)
);
create type public.tma_status as enum ('A', 'B', 'C', 'D');
create table public.tma_candidates (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid references public.workspaces (id),
  name text, status_tags text[], status public.tma_status, follow_up_at text, follow_up_note text
);
"""


@pytest.fixture(scope="module")
def bare_url() -> Iterator[str]:
    """A database as hosted hands it over, without a migration."""
    with temporary_stack(durable=False, migrate=False) as address:
        yield address.db_url


@pytest.fixture
def bare(bare_url: str) -> Iterator[Connection]:
    with psycopg.connect(bare_url) as connection:
        yield connection
        connection.rollback()


def push(connection: Connection, *, until: str = "~", since: str = "") -> None:
    for file in MIGRATIONS:
        if since <= file.name <= until:
            connection.execute(file.read_bytes())


def members(connection: Connection, slug: str, *roles: str) -> tuple[UUID, list[UUID]]:
    workspace, users = uuid4(), [uuid4() for _ in roles]
    connection.execute("insert into workspaces (id, slug, name) values (%s, %s, 'W')", [workspace, slug])
    for user, role in zip(users, roles, strict=True):
        connection.execute("insert into auth.users (id, email) values (%s, %s)", [user, f"{user.hex}@example.com"])
        connection.execute("insert into workspace_memberships values (%s, %s, %s)", [workspace, user, role])
    return workspace, users


def insert(connection: Connection, table: str, **values: Any) -> UUID:
    columns, places = ", ".join(values), ", ".join("%s" for _ in values)
    row = connection.execute(
        f"insert into {table} ({columns}) values ({places}) returning id".encode(), list(values.values())
    ).fetchone()
    assert row is not None
    id: UUID = row[0]
    return id


def rows(connection: Connection, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
    return connection.execute(query, parameters or None).fetchall()


CONTACT_SETTINGS: LiteralString = """
select user_id, contact_id, status, follow_up_at::text, follow_up_note from user_contact_settings
"""
CANDIDATE_SETTINGS: LiteralString = """
select user_id, tma_id, status, follow_up_at::text, follow_up_note from user_tma_settings
"""


def test_every_member_keeps_what_they_saw_and_bad_values_are_set_aside_and_told(bare: Connection) -> None:
    push(bare, until="002")
    bare.execute(OLDER)
    acme, people = members(bare, "acme", "owner", "member", "viewer")
    other, others = members(bare, "other", "owner")
    hot = insert(bare, "contacts", workspace_id=acme, name="Hot", status="hot", owner_code="x",
        follow_up_at="2026-03-01 09:30", follow_up_note="call")  # fmt: skip
    bad = insert(bare, "contacts", workspace_id=acme, name="Bad", status="HOT!", owner_code="x",
        follow_up_at="2026-04-01 10:00")  # fmt: skip
    worse = insert(bare, "contacts", workspace_id=acme, name="Worse", status="booked", owner_code="x")
    foreign = insert(bare, "contacts", workspace_id=other, name="Other", status="follow_up", owner_code="x")
    candidate = insert(
        bare, "tma_candidates", workspace_id=acme, name="C", status="A", follow_up_at="2026-05-01T08:00+02:00"
    )
    odd = insert(
        bare, "tma_candidates", workspace_id=acme, name="D", status="D", follow_up_at="next week", follow_up_note="n"
    )
    warnings: list[str] = []
    bare.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))

    push(bare, since="002")

    bare.execute("set timezone = 'UTC'")
    expected = {
        *((person, hot, "hot", "2026-03-01 09:30:00+00", "call") for person in people),
        *((person, bad, None, "2026-04-01 10:00:00+00", None) for person in people),
        *((person, foreign, "follow_up", None, None) for person in others),
    }
    assert set(rows(bare, CONTACT_SETTINGS)) == expected
    expected_candidates = {
        *((person, candidate, "A", "2026-05-01 06:00:00+00", None) for person in people),
        *((person, odd, None, None, "n") for person in people),
    }
    assert set(rows(bare, CANDIDATE_SETTINGS)) == expected_candidates
    rejects = rows(
        bare,
        "select source, reason, contents ->> 'id', contents - 'id' - 'workspace_id' from private.migration_rejects",
    )
    assert {(source, reason, UUID(id)): value for source, reason, id, value in rejects} == {
        ("public.contacts", "personal status unknown", bad): {"status": "HOT!"},
        ("public.contacts", "personal status unknown", worse): {"status": "booked"},
        ("public.tma_candidates", "personal status unknown", odd): {"status": "D"},
        ("public.tma_candidates", "follow-up not a time", odd): {"follow_up_at": "next week"},
    }
    assert [text for text in warnings if "migration_rejects" in text] == [
        "2 shared values of public.contacts fit no personal setting; they are in private.migration_rejects",
        "2 shared values of public.tma_candidates fit no personal setting; they are in private.migration_rejects",
    ]
    # What was shared still stands there, under another name, and stops nobody from adding a contact.
    assert set(rows(bare, "select legacy_status, legacy_follow_up_note from contacts where id = %s", hot)) == {
        ("hot", "call")
    }
    insert(bare, "contacts", workspace_id=acme, name="New")

    # Twice without harm, also after somebody has changed theirs.
    bare.execute(
        "update user_contact_settings set status = null where user_id = %s and contact_id = %s", [people[0], hot]
    )
    settled = rows(bare, CONTACT_SETTINGS)
    push(bare)
    assert sorted(rows(bare, CONTACT_SETTINGS), key=str) == sorted(settled, key=str)
    assert set(rows(bare, CANDIDATE_SETTINGS)) == expected_candidates
    assert rows(bare, "select count(*) from private.migration_rejects") == [(4,)]


def test_shared_columns_beside_the_new_shape_move_too_and_spare_settings_of_ones_own(bare: Connection) -> None:
    push(bare)
    acme, [olga, bob] = members(bare, "acme", "owner", "member")
    contact = insert(bare, "contacts", workspace_id=acme, name="Ada")
    bare.execute(
        "insert into user_contact_settings (user_id, contact_id, workspace_id, status) values (%s, %s, %s, 'working')",
        [olga, contact, acme],
    )
    bare.execute("alter table contacts add column status text, add column follow_up_at timestamptz")
    bare.execute("update contacts set status = 'hot', follow_up_at = '2026-03-01T09:30:00+01:00'")

    push(bare, since="022", until="022~")

    bare.execute("set timezone = 'UTC'")
    assert set(rows(bare, CONTACT_SETTINGS)) == {
        (olga, contact, "working", None, None),
        (bob, contact, "hot", "2026-03-01 08:30:00+00", None),
    }


def test_what_an_older_table_may_not_hold_is_kept_aside(bare: Connection) -> None:
    push(bare, until="002")
    bare.execute(OLDER)
    acme, _ = members(bare, "acme", "owner")
    first = insert(bare, "contacts", workspace_id=acme, email=" Ada@Example.com", phone="+49 170 1234567",
        owner_code="x", created_at="2020-01-01", status="hot")  # fmt: skip
    same = insert(bare, "contacts", workspace_id=acme, email="ada@example.com", phone="00491701234567", owner_code="x",
        created_at="2021-01-01", lead_status="booked", status="hot")  # fmt: skip
    bad = insert(
        bare, "contacts", workspace_id=acme, name=" ", email="nobody", phone="call me", owner_code="x", status="hot"
    )
    nowhere = insert(bare, "contacts", workspace_id=None, name="Nowhere", owner_code="x", status="hot")
    rated = insert(bare, "tma_candidates", workspace_id=acme, name="C", status_tags=["A", "Z"])

    push(bare, since="002")

    found = rows(bare, "select id, name, email, phone, lead_status, status_tags, source from contacts")
    assert {row[0]: row[1:] for row in found} == {
        first: (None, "ada@example.com", "+491701234567", "new", [], "manual"),
        same: (None, None, None, "new", [], "manual"),
        bad: (None, None, None, "new", [], "manual"),
    }
    assert rows(bare, "select status_tags from tma_candidates where id = %s", rated) == [(["A"],)]
    rejects = rows(bare, "select reason, contents ->> 'id', contents from private.migration_rejects")
    kept = {(reason, UUID(id)): contents for reason, id, contents in rejects}
    assert kept.keys() == {
        ("no workspace", nowhere), ("email taken", same), ("phone taken", same), ("email malformed", bad),
        ("phone malformed", bad), ("lead_status unknown", same), ("status_tags unknown", rated),
    }  # fmt: skip
    assert kept["phone malformed", bad]["phone"] == "call me"
    assert kept["lead_status unknown", same]["lead_status"] == "booked"


@pytest.mark.parametrize("table", ["contacts", "tma_candidates"])
def test_an_upgraded_table_has_every_rule_of_a_new_one(table: str, bare: Connection, catalogue: Connection) -> None:
    push(bare, until="002")
    bare.execute(OLDER)
    push(bare, since="002")
    query: LiteralString = """
        select 'constraint', conname::text, pg_get_constraintdef(oid) from pg_constraint
          where conrelid = %(table)s::text::regclass
        union all select 'index', indexname, indexdef from pg_indexes where 'public.' || tablename = %(table)s::text
        union all select 'policy', policyname, qual from pg_policies where 'public.' || tablename = %(table)s::text
        union all select 'trigger', tgname, pg_get_triggerdef(oid) from pg_trigger
          where tgrelid = %(table)s::text::regclass and not tgisinternal
        union all select 'column', attname, format_type(atttypid, atttypmod) || attnotnull from pg_attribute
          where attrelid = %(table)s::text::regclass and attnum > 0 and not attisdropped
    """
    wanted = set(catalogue.execute(query, {"table": f"public.{table}"}).fetchall())
    assert len(wanted) > 20
    assert wanted - set(bare.execute(query, {"table": f"public.{table}"}).fetchall()) == set()
