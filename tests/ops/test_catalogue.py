"""Comparing a database with what the migrations make: every difference is found, and its statement mends it."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
import pytest

from qero.ops.catalogue import (
    catalogue_from_json,
    catalogue_json,
    compare,
    mending_migration,
    read_catalogue,
    shipped_catalogue,
)
from qero.ops.checks import run_checks
from qero.ops.documents import schema_sql
from tests.ops.conftest import ROOT, Cluster

Connection = psycopg.Connection[Any]

MUTATIONS: list[tuple[str, LiteralString, str]] = [
    (
        "a dropped policy",
        "drop policy contacts_select_member on public.contacts",
        "policy public.contacts.contacts_sel",
    ),
    (
        "a policy that lets more through",
        "alter policy contacts_select_member on public.contacts using (true)",
        "policy public.contacts.contacts_select_member",
    ),
    (
        "a policy too many",
        "create policy anyone on public.contacts for select to anon using (true)",
        "policy public.contacts.anyone",
    ),
    ("a grant too many", "grant select on public.contacts to anon", "grant table public.contacts to anon"),
    (
        "a grant of one column",
        "grant select (email) on public.contacts to anon",
        "grant table public.contacts.email to anon",
    ),
    (
        "a grant too few",
        "revoke select on public.workspaces from authenticated",
        "grant table public.workspaces to authenticated",
    ),
    ("a missing index", "drop index public.contacts_created_by_idx", "index public.contacts_created_by_idx"),
    (
        "an index on something else",
        "drop index public.contacts_created_by_idx;create index contacts_created_by_idx on public.contacts (source)",
        "index public.contacts_created_by_idx",
    ),
    (
        "a disabled trigger",
        "alter table public.workspace_memberships disable trigger workspace_memberships_keep_an_owner",
        "trigger public.workspace_memberships.workspace_memberships_keep_an_owner",
    ),
    (
        "a dropped trigger on somebody else's table",
        "drop function private.mirror_auth_user() cascade",
        "trigger auth.users.profiles_mirror_auth_users",
    ),
    (
        "a function that everybody may call",
        "grant execute on function public.whoami() to public",
        "grant function public.whoami() to public",
    ),
    (
        "a function that nobody knows",
        "create function public.planted() returns int language sql as 'select 1'",
        "function public.planted()",
    ),
    (
        "a function with another text",
        "create or replace function private.my_chat_ids() returns setof uuid language sql stable security definer "
        "set search_path = '' as 'select id from public.chats'",
        "function private.my_chat_ids()",
    ),
    (
        "a function with the caller's rights",
        "alter function private.my_chat_ids() security invoker",
        "function private.my_chat_ids()",
    ),
    (
        "row security switched off",
        "alter table public.contacts disable row level security",
        "table public.contacts",
    ),
    (
        "a dropped constraint",
        "alter table public.contacts drop constraint contacts_lead_status_check",
        "constraint public.contacts.contacts_lead_status_check",
    ),
    (
        "a constraint that was never validated",
        "alter table public.wa_threads drop constraint wa_threads_status_check;"
        "alter table public.wa_threads add constraint wa_threads_status_check "
        "check (status in ('open', 'pending', 'snoozed', 'closed')) not valid",
        "constraint public.wa_threads.wa_threads_status_check",
    ),
    (
        "a column of another type",
        "alter table public.contact_notes alter column body type varchar(9000)",
        "column public.contact_notes.body",
    ),
    (
        "a column that may be null",
        "alter table public.workspaces alter column name drop not null",
        "column public.workspaces.name",
    ),
    (
        "another default",
        "alter table public.wa_threads alter column status set default 'closed'",
        "column public.wa_threads.status",
    ),
    (
        "a column too many",
        "alter table public.contacts add column nickname text",
        "column public.contacts.nickname",
    ),
    (
        "a table that isn't shown live",
        "alter publication supabase_realtime drop table public.contacts",
        "publication supabase_realtime: public.contacts",
    ),
    (
        "a table that is shown live",
        "alter publication supabase_realtime add table public.outbox_messages",
        "publication supabase_realtime: public.outbox_messages",
    ),
    (
        "a view with its owner's rights",
        "alter view public.conversations set (security_invoker = false)",
        "view public.conversations",
    ),
    (
        "statistics",
        "drop statistics public.wa_messages_search_stats",
        "statistics public.wa_messages_search_stats",
    ),
    (
        "a policy of realtime's",
        "drop policy qero_chat_select_member on realtime.messages",
        "policy realtime.messages.qero_chat_select_member",
    ),
]


def test_the_migrations_make_what_is_shipped(in_migrated: Connection) -> None:
    assert compare(shipped_catalogue(), read_catalogue(in_migrated)) == []


@pytest.mark.parametrize(("fault", "named"), [row[1:] for row in MUTATIONS], ids=[row[0] for row in MUTATIONS])
def test_a_mutation_is_found_and_its_statements_mend_it(
    fault: LiteralString, named: str, in_migrated: Connection
) -> None:
    in_migrated.execute(fault)

    differences = compare(shipped_catalogue(), read_catalogue(in_migrated))

    assert [item for item in differences if f"{item.kind} {item.name}".startswith(named)], differences
    for difference in differences:
        for statement in difference.statements:
            in_migrated.execute(statement.encode())
    assert compare(shipped_catalogue(), read_catalogue(in_migrated)) == []


def test_the_statements_alone_make_the_whole_database(bare: str, cluster: Cluster) -> None:
    with psycopg.connect(bare, autocommit=True) as connection:
        migration = mending_migration(compare(shipped_catalogue(), read_catalogue(connection)))
        with connection.transaction():
            connection.execute(migration.encode())
        assert compare(shipped_catalogue(), read_catalogue(connection)) == []

    # Who was granted something first is all that may differ.
    dumped = schema_sql(bare, cluster.tools.client_bin / "pg_dump")
    assert sorted(dumped.splitlines()) == sorted((ROOT / "docs" / "schema.sql").read_text().splitlines())


def test_a_mending_migration_drops_nothing_by_itself(in_migrated: Connection) -> None:
    in_migrated.execute("alter table public.contacts add column nickname text, add column legacy_note text")
    in_migrated.execute("create table public.own (id int primary key)")
    in_migrated.execute("drop policy contacts_select_member on public.contacts")

    differences = compare(shipped_catalogue(), read_catalogue(in_migrated))
    migration = mending_migration(differences)

    assert {(item.name, item.problem, item.own) for item in differences if item.problem != "missing"} == {
        ("public.contacts.nickname", "extra", False),
        ("public.contacts.legacy_note", "leftover", False),
        ("public.own", "extra", True),
    }
    assert "-- alter table public.contacts drop column nickname;" in migration
    assert "legacy_note" not in migration
    assert "public.own" not in migration
    in_migrated.execute(migration.encode())
    assert {item.name for item in compare(shipped_catalogue(), read_catalogue(in_migrated))} == {
        "public.contacts.nickname", "public.contacts.legacy_note", "public.own",
    }  # fmt: skip


def test_a_catalogue_survives_its_file(in_migrated: Connection) -> None:
    catalogue = read_catalogue(in_migrated)

    assert catalogue_from_json(catalogue_json(catalogue)) == catalogue


FAULTS: list[tuple[LiteralString, str, str]] = [
    (
        "alter table public.workspace_entitlements alter column value set not null",
        "entitlements_value_nullable", "not null",
    ),
    ("alter table public.workspace_entitlements drop column value", "entitlements_value_nullable", "missing"),
    (
        """
        create or replace function public.check_entitlement_of(p_workspace uuid) returns table (workspace_id uuid)
        language plpgsql as $$ begin return query select p_workspace; end $$;
        alter function public.check_entitlement_of(uuid) rename to apply_workspace_token_delta;
        revoke all on function public.apply_workspace_token_delta(uuid) from public
        """,
        "entitlement_calls_unambiguous", "apply_workspace_token_delta(uuid)",
    ),
    (
        "with w as (insert into public.workspaces (slug, name) values ('acme', 'A') returning id), "
        "c as (insert into public.chats (workspace_id) select id from w returning id) "
        "select 1; insert into private.chat_backlog (chat_id) select id from public.chats",
        "chat_messages_numbered", "1 chats",
    ),
    (
        "alter table public.contacts add constraint contacts_odd_check check (name <> 'x') not valid",
        "constraints_valid", "contacts_odd_check",
    ),
    (
        """
        alter table public.wa_threads alter column connection_id drop not null;
        insert into public.workspaces (slug, name) values ('acme', 'A');
        insert into public.contacts (workspace_id, name) select id, 'Ada' from public.workspaces;
        insert into public.wa_threads (workspace_id, contact_id) select workspace_id, id from public.contacts
        """,
        "conversations_have_a_number", "acme: 1 threads, 0 messages",
    ),
    ("alter table public.contacts disable row level security", "row_security_everywhere", "contacts"),
    ("grant select on public.contacts to anon", "strangers_shut_out", "contacts"),
]  # fmt: skip


def test_the_named_checks_hold(in_migrated: Connection) -> None:
    assert {check.name: check.found for check in run_checks(in_migrated) if check.found} == {}


@pytest.mark.parametrize(("fault", "name", "found"), FAULTS)
def test_a_named_check_notices(fault: LiteralString, name: str, found: str, in_migrated: Connection) -> None:
    in_migrated.execute(fault)

    [check] = [check for check in run_checks(in_migrated) if check.found]

    assert check.name == name
    assert found in (check.found or "")


def test_the_named_checks_pass_over_what_isnt_there(bare: str) -> None:
    with psycopg.connect(bare, autocommit=True) as connection:
        assert [check for check in run_checks(connection) if check.found] == []
