"""Databases of every older shape, with rows and with writers, end with the catalogue that the migrations make."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from qero import QeroError
from qero.ops.catalogue import compare, mending_migration, read_catalogue, shipped_catalogue
from qero.ops.checks import run_checks
from qero.ops.documents import schema_sql
from tests.ops.conftest import ROOT, Cluster, project
from tests.ops.shapes import BASE, SHAPES
from tests.ops.test_runner import Runs


@pytest.mark.parametrize("name", SHAPES)
def test_an_older_database_ends_like_a_new_one(name: str, cluster: Cluster, bare: str, tmp_path: Path) -> None:
    shape, runs = SHAPES[name], Runs(cluster, project(tmp_path), bare)
    with psycopg.connect(bare) as connection:
        connection.execute(shape.sql)

    with writers(bare, shape.writes) as written:
        done = upgrade(runs)
    assert "mended" not in done or shape.mended, "a push alone brings what is lacking"
    assert bool(written) == bool(shape.writes)
    if shape.kept:
        assert runs.scalar(shape.kept) > 0
    assert upgrade(runs) == [], "a second time changes nothing"

    # What was there before and nobody needs is all that is left over; a later migration may drop it.
    with psycopg.connect(bare, autocommit=True) as connection:
        left = compare(shipped_catalogue(), read_catalogue(connection))
        assert {item.problem for item in left} <= {"leftover"}, left
        for item in left:
            connection.execute(item.statements[0].encode())
    require_schema(cluster, bare)


def test_tables_of_which_only_the_key_stands_are_completed_by_a_push_alone(
    cluster: Cluster, bare: str, tmp_path: Path
) -> None:
    runs, wanted = Runs(cluster, project(tmp_path), bare), shipped_catalogue()
    keys = [item for item in wanted.values() if item.kind == "constraint" and item.parts["type"] == "p"]
    with psycopg.connect(bare, autocommit=True) as connection:
        for key in keys:
            if (table := key.table or "").startswith("public."):
                columns = [wanted["column", f"{table}.{name}"].parts for name in key_columns(key.parts["definition"])]
                named = ", ".join(f"{of['column']} {of['type']}" for of in columns)
                rule = f"constraint {key.parts['constraint']} {key.parts['definition']}"
                connection.execute(f"create table {table} ({named}, {rule})".encode())
                for of in columns:
                    alter = f"alter table {table} alter column {of['column']}"
                    if of["identity"]:
                        always = "always" if of["identity"] == "a" else "by default"
                        connection.execute(f"{alter} add generated {always} as identity".encode())
                    elif of["expression"]:
                        connection.execute(f"{alter} set default {of['expression']}".encode())

    report = runs.push()

    assert report.verification is not None
    assert (report.verification.notes, report.verification.failed_checks) == ((), [])
    require_schema(cluster, bare)


def key_columns(definition: str) -> list[str]:
    return definition.removeprefix("PRIMARY KEY (").removesuffix(")").split(", ")


def require_schema(cluster: Cluster, url: str) -> None:
    dumped = schema_sql(url, cluster.tools.client_bin / "pg_dump")
    assert without_order(dumped) == without_order((ROOT / "docs" / "schema.sql").read_text())


SEVERAL_NUMBERS: LiteralString = """
insert into public.workspaces (id, slug, name) values ('20000000-0000-0000-0000-000000000000', 'one', 'One');
create table public.contacts (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, name text, created_at timestamptz);
insert into public.contacts (id, workspace_id, name) select ('30000000-0000-0000-0000-00000000000' || n)::uuid,
  case when n < 7 then '10000000-0000-0000-0000-000000000000' else '20000000-0000-0000-0000-000000000000' end::uuid,
  'Contact ' || n
from generate_series(1, 9) as n;
create table public.wa_phone_numbers (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, waba_id text, phone_number_id text);
insert into public.wa_phone_numbers (workspace_id, waba_id, phone_number_id) values
  ('10000000-0000-0000-0000-000000000000', '1', '11'), ('10000000-0000-0000-0000-000000000000', '1', '12'),
  ('20000000-0000-0000-0000-000000000000', '2', '21');
create table public.wa_threads (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, contact_id uuid, phone_number_id text,
  said text);
create table public.wa_messages (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, thread_id uuid, direction text,
  wa_message_id text, phone_number_id text, body text, status text, created_at timestamptz not null default now());
insert into public.wa_threads (workspace_id, contact_id, phone_number_id, said)
select contact.workspace_id, contact.id, older.number, older.said from (values
  (1, '11', 'names 11'), (2, null, 'its messages name 12'), (3, null, 'names none'), (4, null, 'names both'),
  (5, '21', 'names another workspace''s'), (6, '11', 'names 11, and a message 12'), (7, null, 'only one there is'),
  (8, null, 'twice the same person'), (8, null, 'twice the same person')) as older (contact, number, said)
join public.contacts as contact on contact.name = 'Contact ' || older.contact;
insert into public.wa_messages (workspace_id, thread_id, direction, wa_message_id, phone_number_id, body)
select thread.workspace_id, thread.id, 'in', 'wamid.' || row_number() over (), named.number, named.number
from public.wa_threads as thread cross join lateral (
  select unnest(case thread.said when 'its messages name 12' then array['12', '12', null]
    when 'names both' then array['11', '12'] when 'names 11, and a message 12' then array['11', '12']
    else array[null, null] end) as number) as named;
create table public.outbox_messages (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, thread_id uuid, recipient text, payload jsonb,
  status text);
insert into public.outbox_messages (workspace_id, thread_id, recipient, payload, status)
select workspace_id, id, '49170', '{"type": "text"}', 'pending' from public.wa_threads;
"""


def test_conversations_get_their_number_where_there_is_no_doubt_and_the_others_are_told(
    cluster: Cluster, bare: str, tmp_path: Path
) -> None:
    runs = Runs(cluster, project(tmp_path), bare)
    with psycopg.connect(bare) as connection:
        connection.execute(BASE + SEVERAL_NUMBERS)

    error = runs.refused()

    assert error.code == "schema_differs"
    assert "column public.wa_threads.connection_id: changed" in error.detail["differences"]
    with psycopg.connect(bare, autocommit=True) as connection:
        found = connection.execute(
            """
            select said, phone_number from public.wa_threads
            left join (select id as number_id, phone_number_id as phone_number from public.wa_phone_numbers) as number
              on number_id = connection_id
            """
        )
        assert dict(found.fetchall()) == {
            "names 11": "11", "its messages name 12": "12", "names none": None, "names both": None,
            "names another workspace's": None, "names 11, and a message 12": "11", "only one there is": "21",
            "twice the same person": None,
        }  # fmt: skip
        [check] = [check for check in run_checks(connection) if check.name == "conversations_have_a_number"]
        assert check.found == (
            "acme: 3 threads, 7 messages; one: 2 threads, 4 messages; no WhatsApp number is known for them"
        )
        outbox = connection.execute("select status, count(*) from public.outbox_messages group by 1")
        assert dict(outbox.fetchall()) == {"queued": 4, "dead": 5}, "what belongs to no number isn't sent by surprise"

        # A person says which; the messages come along.
        connection.execute(
            """
            update public.wa_threads as thread set connection_id = number.id from public.wa_phone_numbers as number
            where thread.connection_id is null and number.workspace_id = thread.workspace_id
              and number.phone_number_id in ('12', '21') and said <> 'twice the same person';
            delete from public.wa_messages where thread_id in (
              select id from public.wa_threads where said = 'twice the same person');
            delete from public.wa_threads where said = 'twice the same person';
            update public.wa_messages set phone_number_id = null;
            """
        )
        connection.execute("alter table public.wa_threads drop column said, drop column phone_number_id")
        connection.execute("alter table public.wa_messages drop column phone_number_id")
    report = runs.push()
    assert report.verification is not None
    assert (report.verification.holds, report.verification.failed_checks) == (True, [])
    assert runs.scalar("select count(*) from public.wa_messages where connection_id is null") == 0
    require_schema(cluster, bare)


def test_what_was_unread_is_unread_for_everybody_and_counted_as_it_is_listed(
    cluster: Cluster, bare: str, tmp_path: Path
) -> None:
    with psycopg.connect(bare) as connection:
        connection.execute(SHAPES["conversations from before there were several numbers"].sql)
        connection.execute(
            """
            alter table public.wa_threads add column unread_count integer not null default 0;
            update public.wa_threads set unread_count = 3 where id in (select id from public.wa_threads limit 4)
            """
        )

    upgrade(Runs(cluster, project(tmp_path), bare))

    with psycopg.connect(bare) as connection:
        connection.execute(
            """
            insert into public.workspace_memberships (workspace_id, user_id, role)
              select id, '00000000-0000-0000-0000-000000000001', 'member' from public.workspaces;
            set request.jwt.claims = '{"sub": "00000000-0000-0000-0000-000000000001", "role": "authenticated"}'
            """
        )
        told = connection.execute(
            """
            select public.get_inbox_counts(id) ->> 'unread', public.count_threads(id, '{"unread": true}') ->> 'count',
              array(select my_unread_count from public.list_threads(id, '{"unread": true}'))
            from public.workspaces
            """
        )
        assert told.fetchall() == [("4", "4", [3, 3, 3, 3])]


def test_a_reply_finds_the_number_of_a_conversation_that_had_none(in_migrated: psycopg.Connection[Any]) -> None:
    in_migrated.execute(
        """
        alter table public.wa_threads alter column connection_id drop not null;
        insert into auth.users (id, email) values ('00000000-0000-0000-0000-000000000001', 'bob@example.com');
        insert into public.workspaces (slug, name) values ('acme', 'Acme');
        insert into public.workspace_memberships (workspace_id, user_id, role)
          select id, '00000000-0000-0000-0000-000000000001', 'member' from public.workspaces;
        insert into public.contacts (workspace_id, name, phone)
          select id, 'Ada', '+491701234567' from public.workspaces;
        insert into public.wa_threads (workspace_id, contact_id, last_inbound_at)
          select workspace_id, id, now() from public.contacts;
        insert into public.wa_phone_numbers (workspace_id, waba_id, phone_number_id) select id, '1', '11'
          from public.workspaces;
        set request.jwt.claims = '{"sub": "00000000-0000-0000-0000-000000000001", "role": "authenticated"}';
        """
    )

    in_migrated.execute("select public.send_whatsapp_text(id, 'On its way!', 'reply-1') from public.wa_threads")

    left_by = in_migrated.execute(
        """
        select phone_number_id, outbox.status from public.wa_phone_numbers as number
        join public.wa_threads as thread on thread.connection_id = number.id
        join public.outbox_messages as outbox on outbox.connection_id = number.id and outbox.thread_id = thread.id
        """
    )
    assert left_by.fetchall() == [("11", "queued")]


def upgrade(runs: Runs) -> list[str]:
    """Push, and do what the playbook says where something is different: what would mend it runs first, or afterwards.

    Returns: the migrations that were applied, and what was mended.
    """
    done: list[str] = []
    first: Path | None = None
    for _ in range(3):
        try:
            return done + runs.push(adopt=True, first=first, allowed=["locking"], backups=None).applied
        except QeroError as error:
            if error.code not in ("migration_failed", "schema_differs"):
                raise
            with psycopg.connect(runs.url, autocommit=True) as connection:
                mend = mending_migration(compare(shipped_catalogue(), read_catalogue(connection)))
                if error.code == "schema_differs":
                    connection.execute(mend.encode())
            first = runs.folder / "mend.sql" if error.code == "migration_failed" else None
            if first:
                first.write_text(mend)
            done.append("mended")
    raise AssertionError(done)


@contextmanager
def writers(url: str, statement: LiteralString | None) -> Iterator[list[int]]:
    """Somebody who writes all the time, and repeats what lost a deadlock; every write has to be taken in the end."""
    written: list[int] = []
    failed: list[str] = []
    stop = threading.Event()

    def write() -> None:
        with psycopg.connect(url, autocommit=True) as connection:
            while not stop.wait(0.01):
                try:
                    connection.execute(statement or "")
                    written.append(1)
                except psycopg.errors.DeadlockDetected:
                    continue
                except psycopg.Error as error:
                    failed.append(str(error))
                    return

    thread = threading.Thread(target=write)
    if statement:
        thread.start()
    try:
        yield written
    finally:
        stop.set()
        if statement:
            thread.join()
    assert failed == []


def without_order(schema: str) -> str:
    """A table's columns stand in the order in which they came, which is the only thing that may differ."""

    def in_order(match: re.Match[str]) -> str:
        lines = sorted(line.rstrip(",") for line in match[2].splitlines())
        return match[1] + "\n".join(lines) + match[3]

    return re.sub(r"(CREATE TABLE \S+ \(\n)(.*?)(\n\))", in_order, schema, flags=re.DOTALL)
