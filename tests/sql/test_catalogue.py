"""Every rule of the catalogue holds in both kinds of project, and every rule notices a breach."""

from __future__ import annotations

from typing import Any, LiteralString

import psycopg
import pytest

from tests.sql import catalogue as rules
from tests.sql.catalogue import CHECKS, Check
from tests.sql.conftest import RolledBack


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_rule_holds(check: Check, catalogue: psycopg.Connection[Any]) -> None:
    assert check(catalogue) == []


TENANT_TABLE: LiteralString = """
create table public.planted (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  contact_id uuid,
  updated_at timestamptz
);
"""

FAULTS: list[tuple[Check, LiteralString, str]] = [
    (rules.tables_have_row_security, TENANT_TABLE, "planted"),
    (
        rules.tables_have_row_security,
        "alter table private.wa_connection_secrets disable row level security",
        "private.wa_connection_secrets",
    ),
    (rules.tables_have_a_policy, TENANT_TABLE, "planted"),
    (rules.views_use_the_rights_of_their_caller, "create view public.planted as select 1 as one", "planted"),
    (
        rules.functions_pin_the_search_path,
        "create function private.planted() returns int language sql as 'select 1'",
        "planted",
    ),
    (
        rules.functions_pin_the_search_path,
        "alter function public.whoami() set search_path = public",
        "whoami",
    ),
    (
        rules.definer_functions_are_listed,
        "create function public.planted() returns int language sql security definer as 'select 1'",
        "public.planted() is definer and not on the list",
    ),
    (
        rules.definer_functions_are_listed,
        "grant execute on function private.keep_an_owner() to authenticated",
        "private.keep_an_owner() may be executed",
    ),
    (
        rules.definer_functions_are_listed,
        "grant execute on function public.send_whatsapp_text(uuid, text, text, uuid) to anon",
        "open to anon",
    ),
    (
        rules.definer_functions_are_listed,
        "alter function private.require_role(uuid, text[], text, jsonb) security invoker",
        "on the list and not definer",
    ),
    (
        rules.nothing_is_granted_to_everybody,
        "create function private.planted() returns int language sql as 'select 1'",
        "planted(): execute is granted to PUBLIC",
    ),
    (rules.nothing_is_granted_to_everybody, "grant select on public.contacts to anon", "contacts: select"),
    (rules.nothing_is_granted_to_everybody, "grant select (slug) on public.workspaces to anon", "workspaces.slug"),
    (rules.nothing_is_granted_to_everybody, "grant usage on schema private to anon", "schema private: usage"),
    (rules.nothing_is_granted_to_everybody, "grant truncate on public.contacts to public", "contacts: truncate"),
    (
        rules.only_the_owner_creates_in_our_schemas,
        "grant create on schema private to service_role",
        "service_role",
    ),
    (
        rules.sequences_are_the_owners,
        "grant select on sequence public.meta_webhook_events_id_seq to authenticated",
        "meta_webhook_events_id_seq",
    ),
    (
        rules.foreign_keys_are_indexed,
        "drop index public.contact_identities_workspace_id_contact_id_idx",
        "contact_identities_workspace_id_contact_id_fkey",
    ),
    (
        rules.foreign_keys_are_indexed,
        """
        drop index public.contacts_created_by_idx;
        create index contacts_created_by_idx on public.contacts (created_by) where source = 'manual'
        """,
        "contacts_created_by_fkey",
    ),
    (
        rules.tenant_rows_name_their_workspace,
        "create table public.planted (id uuid primary key)",
        "planted",
    ),
    (
        rules.tenant_rows_name_their_workspace,
        "alter table public.contacts alter column workspace_id drop not null",
        "contacts",
    ),
    (
        rules.references_stay_within_the_workspace,
        TENANT_TABLE + "alter table public.planted add foreign key (contact_id) references public.contacts (id)",
        "planted_contact_id_fkey",
    ),
    (rules.ids_are_references, TENANT_TABLE, "planted.contact_id"),
    (
        rules.tables_have_a_primary_key,
        "create table public.planted (workspace_id uuid)",
        "planted",
    ),
    (
        rules.triggers_are_enabled,
        "alter table public.workspace_memberships disable trigger workspace_memberships_keep_an_owner",
        "workspace_memberships_keep_an_owner",
    ),
    (rules.changes_are_dated, TENANT_TABLE, "planted"),
    (rules.changes_are_dated, "drop trigger contacts_set_updated_at on public.contacts", "contacts"),
    (
        rules.constraints_are_valid,
        "alter table public.contacts add constraint contacts_source_check check (source <> '') not valid",
        "contacts_source_check",
    ),
    (
        rules.policies_name_their_roles,
        "create policy contacts_delete_anyone on public.contacts for delete using (false)",
        "contacts_delete_anyone",
    ),
    (
        rules.policies_ask_once_per_statement,
        """
        create policy contacts_delete_self on public.contacts for delete to authenticated
        using (created_by = auth.uid())
        """,
        "contacts_delete_self",
    ),
    (
        rules.policies_ask_once_per_statement,
        """
        create policy contacts_delete_self on public.contacts for delete to authenticated
        using (array[workspace_id] <@ array(select private.my_workspace_ids()) and private.is_service())
        """,
        "contacts_delete_self",
    ),
    (
        rules.one_policy_per_action,
        "create policy contacts_all_member on public.contacts for all to authenticated using (true) with check (true)",
        "contacts_select_member",
    ),
    (
        rules.updates_are_checked,
        "create policy contacts_update_self on public.contacts for update to authenticated using (true)",
        "contacts_update_self",
    ),
    (
        rules.no_estimates_are_told,
        "drop policy contacts_select_unestimated on public.contacts",
        "contacts tells members",
    ),
    (
        rules.no_estimates_are_told,
        TENANT_TABLE + "create policy planted_select_member on public.planted for select to authenticated using (true)",
        "planted tells members",
    ),
    (
        rules.what_members_write_clashes_with_their_own_rows_only,
        "grant insert (id) on public.wa_saved_views to authenticated",
        "wa_saved_views_pkey",
    ),
    (
        rules.what_members_write_clashes_with_their_own_rows_only,
        "create unique index planted_idx on public.contacts (lower(email)) where email = 'nobody'",
        "planted_idx",
    ),
    (
        rules.policies_are_named,
        """create policy "Members can read" on public.contacts for delete to authenticated using (true)""",
        "Members can read",
    ),
    (
        rules.indexes_are_named,
        "create index planted_idx on public.contacts (source)",
        "planted_idx",
    ),
    (
        rules.indexes_are_named,
        "create index contacts_name_idx on public.contacts (source)",
        "contacts_name_idx",
    ),
    (
        rules.constraints_are_named,
        "alter table public.contacts add check (source <> ''), add check (source <> 'x')",
        "contacts_source_check1",
    ),
    (
        rules.constraints_are_named,
        "alter table public.contacts add constraint planted unique (id, source)",
        "planted",
    ),
    (
        rules.functions_are_named,
        "create function public.whoami(p_more int) returns int language sql as 'select 1'",
        "public.whoami is overloaded",
    ),
    (
        rules.functions_are_named,
        "create function public.planted(more int) returns int language sql as 'select 1'",
        "more should begin with p_",
    ),
    (
        rules.public_functions_are_described,
        "create function public.planted() returns int language sql as 'select 1'",
        "planted()",
    ),
    (
        rules.the_publication_is_exact,
        "alter publication supabase_realtime add table public.outbox_messages",
        "outbox_messages is published",
    ),
    (
        rules.the_publication_is_exact,
        "alter publication supabase_realtime drop table public.contacts",
        "contacts isn't published",
    ),
    (
        rules.the_publication_is_exact,
        "drop policy wa_messages_select_member on public.wa_messages",
        "wa_messages is published and no signed-in user may read it",
    ),
]


@pytest.mark.parametrize(("check", "fault", "named"), FAULTS)
def test_a_breach_is_noticed(check: Check, fault: LiteralString, named: str, rolled_back: RolledBack) -> None:
    with rolled_back() as connection:
        connection.execute(fault)

        findings = check(connection)

    assert [finding for finding in findings if named in finding], findings


def test_every_rule_has_a_breach() -> None:
    assert {check for check, _, _ in FAULTS} == set(CHECKS)
