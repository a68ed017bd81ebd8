"""Databases of every older shape, with rows and with writers, end with the catalogue that the migrations make."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import LiteralString

import psycopg
import pytest

from qero import QeroError
from qero.ops.catalogue import compare, mending_migration, read_catalogue, shipped_catalogue
from qero.ops.documents import schema_sql
from tests.ops.conftest import ROOT, Cluster, project
from tests.ops.test_runner import Runs

BASE: LiteralString = """
insert into auth.users (id, email)
  select ('00000000-0000-0000-0000-00000000000' || number)::uuid, number || '@example.com'
  from generate_series(1, 3) as number;
create table public.workspaces (
  id uuid primary key default gen_random_uuid(), slug text not null, name text not null,
  status text not null default 'active', created_at timestamptz not null default now(),
  updated_at timestamptz not null default now());
insert into public.workspaces (id, slug, name) values ('10000000-0000-0000-0000-000000000000', 'acme', 'Acme');
"""


@dataclass(frozen=True)
class Shape:
    """How a database stood.

    Attributes:
        writes: what goes on being written while it is upgraded; it has to work before, meanwhile and after.
        kept: counts that have to be the same afterwards.
    """

    sql: LiteralString
    writes: LiteralString | None = None
    kept: LiteralString | None = None


SHAPES: dict[str, Shape] = {
    "nothing but people and workspaces": Shape(BASE, kept="select count(*) from public.workspaces"),
    "entitlements with a value that may not be null": Shape(
        BASE
        + """
        create table public.workspace_entitlements (
          workspace_id uuid not null references public.workspaces (id), key text not null, value jsonb not null,
          primary key (workspace_id, key));
        insert into public.workspace_entitlements
        select id, key, value::jsonb from public.workspaces, (values
          ('yes', 'true'), ('no', 'false'), ('object', '{"limit": 3}'), ('number', '5'), ('list', '[1]')
        ) as t (key, value);
        create function public.set_workspace_entitlement(p_slug text, p_key text, p_enabled boolean)
        returns table (workspace_id uuid, balance bigint) language plpgsql as $$ begin return; end $$;
        create function public.apply_workspace_token_delta(p_workspace uuid, p_delta bigint, p_reason text,
          p_reference text)
        returns table (workspace_id uuid, balance bigint) language plpgsql as $$ begin return; end $$;
        """,
        kept="select count(*) from public.workspace_entitlements",
    ),
    "entitlements with a value of text": Shape(
        BASE
        + """
        create table public.workspace_entitlements (
          workspace_id uuid not null, key text not null, value text not null, primary key (workspace_id, key));
        insert into public.workspace_entitlements select id, 'plan', 'gold' from public.workspaces;
        """,
        kept='select count(*) from public.workspace_entitlements where payload = \'{"value": "gold"}\'',
    ),
    "contacts and candidates with a shared status": Shape(
        BASE
        + """
        create table public.contacts (
          id uuid primary key default gen_random_uuid(), workspace_id uuid references public.workspaces (id),
          name text, email text, phone text, lead_status text, status_tags text[],
          status text default 'working', follow_up_at timestamp, follow_up_note text,
          created_at timestamptz default now());
        create table public.tma_candidates (
          id uuid primary key default gen_random_uuid(), workspace_id uuid references public.workspaces (id),
          name text, status_tags text[], status text, follow_up_at timestamptz, follow_up_note text);
        insert into public.contacts (workspace_id, name, status) select id, 'Ada', 'hot' from public.workspaces;
        insert into public.contacts (workspace_id, name, status) select id, 'Bob', 'odd' from public.workspaces;
        insert into public.tma_candidates (workspace_id, name, status) select id, 'Cy', 'A' from public.workspaces;
        """,
        writes="insert into public.contacts (workspace_id, name) select id, 'Meanwhile' from public.workspaces",
        kept="select count(*) from public.contacts where name in ('Ada', 'Bob')",
    ),
    "chats whose messages have no numbers": Shape(
        BASE
        + """
        create table public.chats (
          id uuid primary key default gen_random_uuid(),
          workspace_id uuid not null references public.workspaces (id) on delete cascade,
          created_at timestamptz not null default now());
        create table public.chat_messages (
          id uuid primary key default gen_random_uuid(), chat_id uuid not null, sender_id uuid, body text,
          created_at timestamptz not null default now());
        insert into public.chats (workspace_id) select id from public.workspaces, generate_series(1, 3);
        insert into public.chat_messages (chat_id, body)
          select id, 'Message ' || number from public.chats, generate_series(1, 100) as number;
        """,
        writes="insert into public.chat_messages (chat_id, body) select id, 'Meanwhile' from public.chats",
        kept="select count(*) from public.chat_messages where body like 'Message %%'",
    ),
    "an outbox of an older shape": Shape(
        BASE
        + """
        create table public.outbox_messages (
          id uuid primary key default gen_random_uuid(), workspace_id uuid, recipient text, payload jsonb,
          status text not null default 'pending', created_at timestamptz not null default now());
        insert into public.outbox_messages (workspace_id, recipient, payload, status)
        select id, '+49170', '{}', stood from public.workspaces, unnest(array['pending', 'sent', 'odd']) as stood;
        """,
        kept="select count(*) from public.outbox_messages where status <> 'queued'",
    ),
    "tables half made by hand": Shape(
        """
        create schema private;
        create table public.profiles (id uuid primary key references auth.users (id) on delete cascade, email text);
        create table public.workspaces (id uuid primary key default gen_random_uuid(), slug text, name text);
        create table public.workspace_memberships (workspace_id uuid, user_id uuid, role text);
        create table public.wa_phone_numbers (id uuid primary key default gen_random_uuid(), workspace_id uuid);
        create table public.wa_threads (id uuid primary key default gen_random_uuid(), workspace_id uuid);
        alter table public.workspaces enable row level security;
        create policy anyone on public.workspaces for all to public using (true);
        grant all on public.workspaces to anon;
        insert into public.workspaces (slug, name) values ('acme', 'Acme');
        """,
        kept="select count(*) from public.workspaces",
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_an_older_database_ends_like_a_new_one(name: str, cluster: Cluster, bare: str, tmp_path: Path) -> None:
    shape, runs = SHAPES[name], Runs(cluster, project(tmp_path), bare)
    with psycopg.connect(bare) as connection:
        connection.execute(shape.sql)

    with writers(bare, shape.writes) as written:
        upgrade(runs)
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
    dumped = schema_sql(bare, cluster.tools.client_bin / "pg_dump")
    assert without_order(dumped) == without_order((ROOT / "docs" / "schema.sql").read_text())


def upgrade(runs: Runs) -> list[str]:
    """Push, and do what the playbook says where something is different: what would mend it runs first, or afterwards.

    Returns: the migrations that were applied, and what was mended.
    """
    done: list[str] = []
    first = ""
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
            first = mend if error.code == "migration_failed" else ""
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
