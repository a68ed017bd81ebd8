"""What must hold of every object in the schemas public and private, each rule as a function that lists its breaches."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, LiteralString

import psycopg

Connection = psycopg.Connection[Any]
Check = Callable[[Connection], list[str]]

PUBLISHED = frozenset({"chat_messages", "chats", "contacts", "wa_messages", "wa_threads"})

TABLES_WITHOUT_WORKSPACE: Mapping[str, str] = {
    "public.profiles": "a person, who may be in any number of workspaces",
    "public.workspaces": "is the workspace",
    "public.orphan_webhook_events": "no workspace has the number yet",
    "public.wa_message_changes": "a part of one connection; refers to nothing else",
    "public.wa_message_statuses": "a part of one connection; refers to nothing else",
    "private.wa_connection_secrets": "a part of one connection; refers to nothing else",
    "private.outbox_leases": "one claim covers messages of many workspaces; only the service knows it",
    "private.outbox_ready": "a part of one lane, which names it; kept narrow",
    "private.outbox_waiting": "a part of one lane, which names it; kept narrow",
    "private.outbox_lines": "known by a hash only, and kept narrow",
    "private.chat_backlog": "a part of one chat, which names it; only migrations' owner knows it",
    "private.migration_rejects": "what was rejected may have none",
    "public.rate_limit_counters": "whatever the key names",
    "public.owner_members": "operates every workspace",
    "public.platform_admins": "operates every workspace",
    "public.owner_audit_log": "outlives the workspace, and operators belong to none",
    "private.audit_seals": "a part of the audit log",
    "public.push_subscriptions": "a person's device, whatever workspaces they are in",
    "public.notification_settings": "a person's own, whatever workspaces they are in",
    "private.push_allowed_origins": "allowances for tests",
}

IDS_WITHOUT_REFERENCE: Mapping[str, str] = {
    "public.chats.last_message_sender_id": "a copy of what the newest message says; the index that a reference needs"
    " would be written with every message",
    "public.meta_webhook_events.workspace_id": "would be checked for each item against the one row that all items of a"
    " workspace share; a number's workspace gives it, and a trigger removes the events of one that goes",
    "public.owner_audit_log.workspace_id": "outlives the workspace",
    "public.owner_audit_log.actor_id": "outlives the account",
    "public.workspace_token_ledger.workspace_id": "would be checked for each row against the one balance that all of a"
    " workspace share; what writes it has just changed that, and a trigger removes the rows of one that goes",
    "public.workspace_token_ledger.actor_id": "never changes, whatever becomes of the account",
    "public.queue_ledger.queue_id": "a row of one of three tables, which the row names",
    "public.queue_ledger.user_id": "never changes, whatever becomes of the account",
    "public.queue_ledger.actor_id": "never changes, whatever becomes of the account",
    "private.wa_connection_secrets.vault_secret_id": "a secret of the Vault extension, which a database may lack",
}

GRANTED_SEQUENCES: Mapping[str, str] = {
    "meta_webhook_events_id_seq: usage to service_role": "events are numbered before they are written",
}

# Policies for a role that bypasses row security anyway only say so in words; that counts as documented.
TABLES_WITHOUT_POLICY: Mapping[str, str] = {}

# These names are in production histories.
NAMED_BY_CONTRACT = frozenset(
    {"users_access_own_saved_views", "wa_saved_views_user_idx", "wa_saved_views_workspace_idx"}
)

DEFINER_LIST = Path(__file__).parent / "definer_functions.md"


def listed_definers() -> dict[str, frozenset[str]]:
    """By signature: the roles that may execute it."""
    listed = {}
    for line in DEFINER_LIST.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("| `"):
            assert len(cells) == 4, line
            assert cells[2], f"no reason: {line}"
            assert cells[3], f"no check of the caller: {line}"
            listed[cells[0].strip("`")] = frozenset(filter(None, (role.strip() for role in cells[1].split(","))))
    return listed


def _texts(connection: Connection, query: LiteralString, *parameters: Any) -> list[str]:
    return [str(row[0]) for row in connection.execute(query, parameters or None).fetchall()]


def tables_have_row_security(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select oid::regclass || ' has no row security' from pg_class
        where relnamespace in ('public'::regnamespace, 'private'::regnamespace) and relkind in ('r', 'p')
          and not relrowsecurity
        """,
    )


def tables_have_a_policy(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select relation.oid::regclass || ' has no policy' from pg_class as relation
        where relation.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
          and relation.relkind in ('r', 'p')
          and relation.relnamespace::regnamespace || '.' || relation.relname <> all (%s)
          and not exists (select from pg_policy where polrelid = relation.oid)
        """,
        list(TABLES_WITHOUT_POLICY),
    )


def views_use_the_rights_of_their_caller(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select oid::regclass || ' shows rows with the rights of its owner' from pg_class
        where relnamespace in ('public'::regnamespace, 'private'::regnamespace)
          and (relkind = 'm' or relkind = 'v' and not coalesce(reloptions @> '{security_invoker=true}'
            or reloptions @> '{security_invoker=on}', false))
        """,
    )


def functions_pin_the_search_path(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select oid::regprocedure || ' doesn''t pin an empty search_path' from pg_proc
        where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          and not coalesce('search_path=""' = any (proconfig), false)
          -- A procedure that pins it can't commit; nobody but the owner may call one.
          and not (prokind = 'p' and not prosecdef
            and not exists (
              select from aclexplode(coalesce(proacl, acldefault('f', proowner))) where grantee <> proowner))
        """,
    )


def definer_functions_are_listed(connection: Connection) -> list[str]:
    found = {
        name: frozenset(roles)
        for name, roles in connection.execute(
            """
            select namespace.nspname || '.' || function.proname
                || '(' || pg_get_function_identity_arguments(function.oid) || ')',
              array(
                select role from unnest(array['anon', 'authenticated', 'service_role']) as role
                where has_function_privilege(role, function.oid, 'execute'))
            from pg_proc as function join pg_namespace as namespace on namespace.oid = function.pronamespace
            where namespace.nspname in ('public', 'private') and function.prosecdef
            """
        )
    }
    listed = listed_definers()
    return [
        *(f"{name} is definer and not on the list" for name in sorted(found.keys() - listed.keys())),
        *(f"{name} is on the list and not definer" for name in sorted(listed.keys() - found.keys())),
        *(
            f"{name} may be executed by {sorted(found[name])}, listed are {sorted(listed[name])}"
            for name in sorted(found.keys() & listed.keys())
            if found[name] != listed[name]
        ),
        *(f"{name} is definer and open to anon" for name in sorted(found) if "anon" in found[name]),
    ]


def nothing_is_granted_to_everybody(connection: Connection) -> list[str]:
    """PUBLIC and anon have no privilege on any table, view, sequence, column or function, nor on schema private."""
    return _texts(
        connection,
        """
        with object as (
          select oid::regclass::text as name, relacl as acl,
            acldefault(case relkind when 'S' then 's'::"char" else 'r'::"char" end, relowner) as acl_default
          from pg_class
          where relnamespace in ('public'::regnamespace, 'private'::regnamespace)
            and relkind in ('r', 'p', 'v', 'm', 'f', 'S')
          union all
          select attrelid::regclass || '.' || attname, attacl, null from pg_attribute
          where attrelid in (
            select oid from pg_class where relnamespace in ('public'::regnamespace, 'private'::regnamespace))
          union all
          select oid::regprocedure::text, proacl, acldefault('f', proowner) from pg_proc
          where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
          union all
          select 'schema ' || nspname, nspacl, acldefault('n', nspowner) from pg_namespace where nspname = 'private'
        )
        select object.name || ': ' || lower(privilege.privilege_type) || ' is granted to '
          || case privilege.grantee when 0 then 'PUBLIC' else privilege.grantee::regrole::text end
        from object cross join lateral aclexplode(coalesce(object.acl, object.acl_default)) as privilege
        where privilege.grantee in (0, 'anon'::regrole)
        order by 1
        """,
    )


def only_the_owner_creates_in_our_schemas(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select role || ' may create objects in schema ' || schema
        from unnest(array['anon', 'authenticated', 'service_role']) as role,
          unnest(array['public', 'private']) as schema
        where has_schema_privilege(role, schema, 'create')
        """,
    )


def sequences_are_the_owners(connection: Connection) -> list[str]:
    """Identity columns need no grant on their sequence; with one, anybody could read and exhaust the numbers."""
    return [
        finding
        for finding in _texts(
            connection,
            """
            select sequence.oid::regclass || ': ' || privilege || ' to ' || role
            from pg_class as sequence, unnest(array['anon', 'authenticated', 'service_role']) as role,
              unnest(array['usage', 'select', 'update']) as privilege
            where sequence.relkind = 'S'
              and sequence.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
              and has_sequence_privilege(role, sequence.oid, privilege)
            """,
        )
        if finding not in GRANTED_SEQUENCES
    ]


def foreign_keys_are_indexed(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select key.conrelid::regclass || '.' || key.conname || ' has no index that begins with its columns'
        from pg_constraint as key
        where key.contype = 'f' and key.connamespace in ('public'::regnamespace, 'private'::regnamespace)
          and not exists (
            select from pg_index as index
            where index.indrelid = key.conrelid and index.indisvalid
              and (index.indkey::smallint[])[0 : cardinality(key.conkey) - 1] @> key.conkey
              -- A partial index may leave out rows without a reference, and no others.
              and (index.indpred is null or pg_get_expr(index.indpred, index.indrelid) ~ '^\\(\\w+ IS NOT NULL\\)$'))
        """,
    )


def tenant_rows_name_their_workspace(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select relation.oid::regclass || ' has no workspace_id that is never null' from pg_class as relation
        where relation.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
          and relation.relkind in ('r', 'p')
          and relation.relnamespace::regnamespace || '.' || relation.relname <> all (%s)
          and not exists (
            select from pg_attribute
            where attrelid = relation.oid and attname = 'workspace_id' and attnotnull and not attisdropped)
        """,
        list(TABLES_WITHOUT_WORKSPACE),
    )


def references_stay_within_the_workspace(connection: Connection) -> list[str]:
    """A reference between two tenant tables includes the workspace on both sides."""
    return _texts(
        connection,
        """
        with reference as (
          select key.conrelid, key.conname, key.confrelid,
            array(
              select attname from pg_attribute where attrelid = key.conrelid and attnum = any (key.conkey)) as here,
            array(
              select attname from pg_attribute where attrelid = key.confrelid and attnum = any (key.confkey)) as there
          from pg_constraint as key
          where key.contype = 'f' and key.connamespace in ('public'::regnamespace, 'private'::regnamespace)
        )
        select reference.conrelid::regclass || '.' || reference.conname || ' can refer to another workspace'
        from reference
        where exists (select from pg_attribute where attrelid = reference.conrelid and attname = 'workspace_id')
          and exists (select from pg_attribute where attrelid = reference.confrelid and attname = 'workspace_id')
          and not ('workspace_id' = any (reference.here) and 'workspace_id' = any (reference.there))
        """,
    )


def ids_are_references(connection: Connection) -> list[str]:
    """A column that holds the id of a row of ours is a foreign key."""
    return _texts(
        connection,
        """
        select attribute.attrelid::regclass || '.' || attribute.attname || ' is no foreign key'
        from pg_attribute as attribute join pg_class as relation on relation.oid = attribute.attrelid
        where relation.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
          and relation.relkind in ('r', 'p') and attribute.attnum > 0 and not attribute.attisdropped
          and attribute.atttypid = 'uuid'::regtype
          and attribute.attname <> 'id'
          and relation.relnamespace::regnamespace || '.' || relation.relname || '.' || attribute.attname <> all (%s)
          and not exists (
            select from pg_constraint as key
            where key.conrelid = relation.oid and key.contype = 'f' and attribute.attnum = any (key.conkey))
        """,
        list(IDS_WITHOUT_REFERENCE),
    )


def tables_have_a_primary_key(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select relation.oid::regclass || ' has no primary key' from pg_class as relation
        where relation.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
          and relation.relkind in ('r', 'p')
          and not exists (select from pg_index where indrelid = relation.oid and indisprimary)
        """,
    )


def triggers_are_enabled(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select trigger.tgrelid::regclass || '.' || trigger.tgname || ' is disabled or fires for replicas only'
        from pg_trigger as trigger join pg_proc as function on function.oid = trigger.tgfoid
        where (function.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
            or trigger.tgrelid in (
              select oid from pg_class where relnamespace in ('public'::regnamespace, 'private'::regnamespace)))
          and trigger.tgenabled not in ('O', 'A')
        """,
    )


def changes_are_dated(connection: Connection) -> list[str]:
    """A table with updated_at has the trigger that keeps it."""
    return _texts(
        connection,
        """
        select attribute.attrelid::regclass || '.updated_at is kept by no trigger'
        from pg_attribute as attribute join pg_class as relation on relation.oid = attribute.attrelid
        where relation.relnamespace = 'public'::regnamespace and relation.relkind in ('r', 'p')
          and attribute.attname = 'updated_at' and not attribute.attisdropped
          and not exists (
            select from pg_trigger
            where tgrelid = relation.oid and tgfoid = 'private.set_updated_at()'::regprocedure)
        """,
    )


def constraints_are_valid(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select conrelid::regclass || '.' || conname || ' was never validated' from pg_constraint
        where connamespace in ('public'::regnamespace, 'private'::regnamespace) and not convalidated
        """,
    )


def policies_name_their_roles(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select tablename || '.' || policyname || ' is for ' || array_to_string(roles, ', ') from pg_policies
        where schemaname in ('public', 'private')
          and roles <> '{authenticated}'::name[] and roles <> '{service_role}'::name[]
        """,
    )


def policies_ask_once_per_statement(connection: Connection) -> list[str]:
    """auth.uid() and our helpers stand in a sub-select, so that they aren't asked again for every row."""
    findings = []
    for table, policy, text in connection.execute(
        """
        select tablename, policyname, coalesce(qual, '') || ' ' || coalesce(with_check, '') from pg_policies
        where schemaname in ('public', 'private')
        """
    ):
        bare = re.sub(r"\(\s*SELECT (?:auth|private)\.\w+\([^()]*\) AS \w+\)", "", text)
        # Immutable: the planner asks, and no row does.
        bare = bare.replace("private.is_no_estimate()", "")
        if re.search(r"\b(auth|private|current_setting)\b[.(]", bare):
            findings.append(f"{table}.{policy} calls a function for every row: {' '.join(bare.split())}")
    return findings


def one_policy_per_action(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select tablename || ': ' || string_agg(policyname, ', ') || ' are all for ' || action || ' by ' || role
        from pg_policies, unnest(roles) as role,
          unnest(case cmd when 'ALL' then array['SELECT', 'INSERT', 'UPDATE', 'DELETE'] else array[cmd] end) as action
        where schemaname in ('public', 'private') and permissive = 'PERMISSIVE'
        group by schemaname, tablename, action, role having count(*) > 1
        """,
    )


def updates_are_checked(connection: Connection) -> list[str]:
    """An update policy says what a row may become, not only which rows may be touched."""
    return _texts(
        connection,
        """
        select tablename || '.' || policyname || ' has no with check' from pg_policies
        where schemaname in ('public', 'private') and cmd in ('UPDATE', 'ALL') and with_check is null
        """,
    )


def no_estimates_are_told(connection: Connection) -> list[str]:
    """The planner's estimates are made of everybody's rows; a table that members read says so to those who ask."""
    return _texts(
        connection,
        """
        select distinct policy.tablename || ' tells members what the planner expects of everybody''s rows'
        from pg_policies as policy
        where policy.schemaname = 'public' and policy.permissive = 'PERMISSIVE' and policy.cmd in ('SELECT', 'ALL')
          and 'authenticated' = any (policy.roles)
          and not exists (
            select from pg_policies as refusal
            where refusal.schemaname = policy.schemaname and refusal.tablename = policy.tablename
              and refusal.policyname = policy.tablename || '_select_unestimated'
              and refusal.permissive = 'RESTRICTIVE' and refusal.cmd = 'SELECT'
              and refusal.roles = '{authenticated}' and refusal.qual = 'private.is_no_estimate()')
        """,
    )


def what_members_write_clashes_with_their_own_rows_only(connection: Connection) -> list[str]:
    """No unique index that somebody else's row can be in spans columns that members fill in: a clash would show it."""
    return _texts(
        connection,
        """
        select index.indexrelid::regclass || ' shows by a clash what others have'
        from pg_index as index join pg_class as relation on relation.oid = index.indrelid
        cross join lateral (
          select array_agg(attribute.attname) as names,
            bool_or(has_column_privilege('authenticated', relation.oid, attribute.attnum, 'insert, update')) as writable
          from pg_attribute as attribute
          where attribute.attrelid = relation.oid
            and attribute.attnum = any ((index.indkey::smallint[])[0 : index.indnkeyatts - 1])
        ) as key
        where relation.relnamespace = 'public'::regnamespace and index.indisunique
          -- An expression may be made of any column.
          and (key.writable or 0 = any (index.indkey)
            and has_any_column_privilege('authenticated', relation.oid, 'insert, update'))
          and not coalesce(key.names, '{}') && array['workspace_id', 'user_id']::name[]
        """,
    )


def policies_are_named(connection: Connection) -> list[str]:
    return [
        f"{policy} should be {table}_{action}_<who>"
        for table, policy, action in connection.execute(
            "select tablename, policyname, lower(cmd) from pg_policies where schemaname in ('public', 'private')"
        )
        if not re.fullmatch(rf"{table}_{action}_[a-z]+", policy) and policy not in NAMED_BY_CONTRACT
    ]


def indexes_are_named(connection: Connection) -> list[str]:
    """<table>_<columns>_idx: columns in the index's order, tie-breakers left out; a partial one may say for what."""
    findings = []
    for table, name, columns, partial in connection.execute(
        """
        select relation.relname, index_relation.relname,
          array(
            select coalesce(attribute.attname, (regexp_match(pg_get_indexdef(index.indexrelid, position, false),
              '\\((\\w+)[,)]'))[1])
            from generate_series(1, index.indnkeyatts) as position
            left join pg_attribute as attribute
              on attribute.attrelid = index.indrelid and attribute.attnum = index.indkey[position - 1]
              and attribute.attnum > 0
            order by position),
          index.indpred is not null
        from pg_index as index
        join pg_class as relation on relation.oid = index.indrelid
        join pg_class as index_relation on index_relation.oid = index.indexrelid
        where relation.relnamespace in ('public'::regnamespace, 'private'::regnamespace)
          and not exists (select from pg_constraint where conindid = index.indexrelid and contype in ('p', 'u', 'x'))
        """
    ):
        optional = "".join(f"(?:_{column})?" for column in columns)
        purpose = "(?:_[a-z]+(?:_[a-z]+)?)?" if partial else ""
        pattern = rf"{table}(?=_\w+_idx){purpose}{optional}_idx"
        if not re.fullmatch(pattern, name) and name not in NAMED_BY_CONTRACT:
            findings.append(f"{name} isn't named for its columns {', '.join(columns)}")
    return findings


def constraints_are_named(connection: Connection) -> list[str]:
    endings = {"p": "pkey", "u": "key", "f": "fkey", "c": "check", "x": "excl"}
    findings = []
    for table, name, kind, columns in connection.execute(
        """
        select relation.relname, key.conname, key.contype::text,
          array(
            select attribute.attname from unnest(key.conkey) with ordinality as part (number, position)
            join pg_attribute as attribute on attribute.attrelid = key.conrelid and attribute.attnum = part.number
            order by part.position)
        from pg_constraint as key join pg_class as relation on relation.oid = key.conrelid
        where key.connamespace in ('public'::regnamespace, 'private'::regnamespace)
          and key.contype in ('p', 'u', 'f', 'c', 'x')
        """
    ):
        ending = endings[kind]
        middle = {"p": "", "f": "_" + "_".join(columns)}.get(kind, r"_\w+")
        if not re.fullmatch(rf"{table}{middle}_{ending}", name) or re.search(r"_(check|key|fkey)\d+$", name):
            findings.append(f"{table}: {name} should be {table}{middle}_{ending}")
    return findings


def functions_are_named(connection: Connection) -> list[str]:
    findings = []
    seen: set[str] = set()
    for schema, name, arguments in connection.execute(
        """
        select pronamespace::regnamespace::text, proname, coalesce(proargnames[1 : pronargs], '{}') from pg_proc
        where pronamespace in ('public'::regnamespace, 'private'::regnamespace)
        """
    ):
        if f"{schema}.{name}" in seen:
            findings.append(f"{schema}.{name} is overloaded")
        seen.add(f"{schema}.{name}")
        findings += [f"{schema}.{name}: {word} should begin with p_" for word in arguments if not word.startswith("p_")]
    return findings


def public_functions_are_described(connection: Connection) -> list[str]:
    return _texts(
        connection,
        """
        select oid::regprocedure || ' has no comment' from pg_proc
        where pronamespace = 'public'::regnamespace and obj_description(oid, 'pg_proc') is null
        """,
    )


def the_publication_is_exact(connection: Connection) -> list[str]:
    tables = set(
        _texts(
            connection,
            """
            select case schemaname when 'public' then tablename else schemaname || '.' || tablename end
            from pg_publication_tables where pubname = 'supabase_realtime' and schemaname in ('public', 'private')
            """,
        )
    )
    return [
        *(f"{table} is published" for table in sorted(tables - PUBLISHED)),
        *(f"{table} isn't published" for table in sorted(PUBLISHED - tables)),
        *_texts(
            connection,
            """
            select tablename || ' is published and no signed-in user may read it'
            from pg_publication_tables as published
            where pubname = 'supabase_realtime' and schemaname = 'public' and not exists (
              select from pg_policies as policy
              where policy.schemaname = published.schemaname and policy.tablename = published.tablename
                and policy.permissive = 'PERMISSIVE' and policy.cmd in ('SELECT', 'ALL')
                and 'authenticated' = any (policy.roles))
            """,
        ),
    ]


CHECKS: tuple[Check, ...] = (
    tables_have_row_security,
    tables_have_a_policy,
    views_use_the_rights_of_their_caller,
    functions_pin_the_search_path,
    definer_functions_are_listed,
    nothing_is_granted_to_everybody,
    only_the_owner_creates_in_our_schemas,
    sequences_are_the_owners,
    foreign_keys_are_indexed,
    tenant_rows_name_their_workspace,
    references_stay_within_the_workspace,
    ids_are_references,
    tables_have_a_primary_key,
    triggers_are_enabled,
    changes_are_dated,
    constraints_are_valid,
    policies_name_their_roles,
    policies_ask_once_per_statement,
    one_policy_per_action,
    updates_are_checked,
    no_estimates_are_told,
    what_members_write_clashes_with_their_own_rows_only,
    policies_are_named,
    indexes_are_named,
    constraints_are_named,
    functions_are_named,
    public_functions_are_described,
    the_publication_is_exact,
)
