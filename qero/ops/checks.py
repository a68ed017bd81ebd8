"""The named checks of the playbook: what a comparison of catalogues can't tell, or what people ask for by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg


@dataclass(frozen=True)
class Check:
    """One question with its answer; `found` is None when all is well."""

    name: str
    found: str | None
    remedy: str


@dataclass(frozen=True)
class _Question:
    """`query` gives one text: what is wrong, or null. It isn't asked where a relation that it reads is missing."""

    name: str
    reads: Sequence[str]
    query: LiteralString
    remedy: str


_QUESTIONS = (
    _Question(
        "entitlements_value_nullable", ["public.workspace_entitlements"],
        """
        select case count(*) filter (where not attnotnull) when 1 then null
          else 'workspace_entitlements.value is ' || case count(*) when 0 then 'missing' else 'not null' end end
        from pg_attribute
        where attrelid = to_regclass('public.workspace_entitlements') and attname = 'value' and not attisdropped
        """,
        "alter table public.workspace_entitlements add column if not exists value jsonb default '{}'::jsonb, "
        "alter column value drop not null;",
    ),
    _Question(
        "entitlement_calls_unambiguous", ["public.workspace_entitlements"],
        """
        select string_agg(oid::regprocedure::text, ', ') || ' may meet 42702' from pg_proc
        where pronamespace = 'public'::regnamespace and proretset and prolang = (
            select oid from pg_language where lanname = 'plpgsql')
          and proname in ('apply_workspace_token_delta', 'set_workspace_entitlement',
            'set_workspace_entitlement_payload', 'check_entitlement')
          and prosrc !~ '#variable_conflict use_column'
          and proargnames && array['balance', 'workspace_id']
        """,
        "Run 20260121200000_fix_ambiguous_column_refs again: `qero db push --adopt`.",
    ),
    _Question(
        "chat_messages_numbered", ["private.chat_backlog"],
        "select nullif(count(*), 0) || ' chats have messages without numbers' from private.chat_backlog",
        "call private.number_chat_messages();",
    ),
    _Question(
        "migrated_values_reviewed", ["private.migration_rejects"],
        "select nullif(count(*), 0) || ' values were set aside by migrations' from private.migration_rejects",
        "Look through private.migration_rejects, enter again what is needed, then delete the rows.",
    ),
    _Question(
        "conversations_have_a_number", ["public.wa_threads", "public.wa_messages", "public.workspaces"],
        """
        select case when exists (
            select from pg_attribute where attname = 'connection_id' and not attnotnull
              and attrelid in ('public.wa_threads'::regclass, 'public.wa_messages'::regclass)) then (
          select string_agg(format('%s: %s threads, %s messages', slug, threads, messages), '; ' order by slug)
            || '; no WhatsApp number is known for them'
          from (
            select coalesce(max(workspace.slug), 'no workspace') as slug, sum(older.threads) as threads,
              sum(older.messages) as messages
            from (
              select workspace_id, 1 as threads, 0 as messages from public.wa_threads where connection_id is null
              union all
              select workspace_id, 0, 1 from public.wa_messages where connection_id is null
            ) as older left join public.workspaces as workspace on workspace.id = older.workspace_id
            group by older.workspace_id
          ) as workspaces) end
        """,
        "Where there is one number: connect it, then `qero db push`. Otherwise say which, thread by thread: update"
        " public.wa_threads set connection_id = … where id = …; the push after that brings their messages along.",
    ),
    _Question(
        "constraints_valid", [],
        """
        select string_agg(conrelid::regclass || '.' || conname, ', ') || ': never validated' from pg_constraint
        where connamespace in ('public'::regnamespace, to_regnamespace('private')) and not convalidated
        """,
        "Mend the rows that break it, then: alter table … validate constraint …;",
    ),
    _Question(
        "indexes_valid", [],
        """
        select string_agg(indexrelid::regclass::text, ', ') || ': invalid' from pg_index
        join pg_class on pg_class.oid = indexrelid
        where relnamespace in ('public'::regnamespace, to_regnamespace('private')) and not indisvalid
        """,
        "drop index concurrently …, then create it again.",
    ),
    _Question(
        "row_security_everywhere", [],
        """
        select string_agg(oid::regclass::text, ', ') || ': no row security' from pg_class
        where relnamespace in ('public'::regnamespace, to_regnamespace('private')) and relkind in ('r', 'p')
          and not relrowsecurity
        """,
        "alter table … enable row level security;",
    ),
    _Question(
        "strangers_shut_out", ["public.workspaces"],
        """
        select string_agg(name, ', ') || ': open to whoever has the publishable key' from (
          select oid::regclass::text as name from pg_class
          where relnamespace = 'public'::regnamespace and relkind in ('r', 'p', 'v', 'm')
            and has_table_privilege('anon', oid, 'select, insert, update, delete')
          union all
          select oid::regprocedure::text from pg_proc
          where pronamespace = 'public'::regnamespace and has_function_privilege('anon', oid, 'execute')
            and not exists (select from pg_depend where objid = pg_proc.oid and deptype = 'e')
        ) as open
        """,
        "revoke all on … from public, anon;",
    ),
)  # fmt: skip


def run_checks(connection: psycopg.Connection[Any]) -> list[Check]:
    """Every check, in the order of the playbook."""
    checks = []
    for question in _QUESTIONS:
        row = connection.execute(
            "select coalesce(bool_and(to_regclass(name) is not null), true) from unnest(%s::text[]) as name",
            [list(question.reads)],
        ).fetchone()
        try:
            answer = connection.execute(question.query).fetchone() if row and row[0] else None
        except psycopg.errors.UndefinedColumn:
            # Half a table: the comparison of catalogues says so.
            answer = None
        checks.append(
            Check(question.name, str(answer[0]) if answer and answer[0] is not None else None, question.remedy)
        )
    return checks
