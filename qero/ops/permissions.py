"""Who may do what in the database, read from its catalogue: docs/permissions.md is this module's output, around what
the tests of access expect."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, LiteralString

import psycopg

ROLES = ("anon", "authenticated", "service_role")
PUBLIC = "PUBLIC"

_INTRODUCTION = """\
# Permissions

Who gets what from the API, what the database grants to its roles, and which rows each policy then lets through.
Generated from what the tests of access expect, and from the catalogue; a test compares it with the database in both
default-grant modes of hosted projects.

- `anon` is a request without a user, `authenticated` a signed-in user, `service_role` the holder of the secret key,
  who bypasses row security. `PUBLIC` would be everybody; it has nothing.
- Schema `private` isn't exposed by the API: its functions are granted because policies and invoker functions run as
  the caller.
- A function marked *definer* runs with its owner's rights and checks its caller itself.
"""

_TABLES: LiteralString = """
select namespace.nspname || '.' || relation.relname as name, coalesce(grantee.rolname, 'PUBLIC') as role,
  lower(privilege.privilege_type) as privilege, null::text as column_name
from pg_class as relation
join pg_namespace as namespace on namespace.oid = relation.relnamespace
cross join lateral aclexplode(coalesce(relation.relacl, acldefault(
  case relation.relkind when 'S' then 's'::"char" else 'r'::"char" end, relation.relowner))) as privilege
left join pg_roles as grantee on grantee.oid = privilege.grantee
where namespace.nspname in ('public', 'private') and relation.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  and privilege.grantee <> relation.relowner
  and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = relation.oid and deptype = 'e')
union all
select namespace.nspname || '.' || relation.relname, coalesce(grantee.rolname, 'PUBLIC'),
  lower(privilege.privilege_type), attribute.attname
from pg_attribute as attribute
join pg_class as relation on relation.oid = attribute.attrelid
join pg_namespace as namespace on namespace.oid = relation.relnamespace
cross join lateral aclexplode(attribute.attacl) as privilege
left join pg_roles as grantee on grantee.oid = privilege.grantee
where namespace.nspname in ('public', 'private') and not attribute.attisdropped
  and privilege.grantee <> relation.relowner
"""

_NAMES: LiteralString = """
select namespace.nspname || '.' || relation.relname
from pg_class as relation join pg_namespace as namespace on namespace.oid = relation.relnamespace
where namespace.nspname in ('public', 'private') and relation.relkind in ('r', 'p', 'v', 'm', 'f')
  and not exists (select from pg_depend where classid = 'pg_class'::regclass and objid = relation.oid and deptype = 'e')
order by namespace.nspname collate "C" desc, relation.relname collate "C"
"""

_FUNCTIONS: LiteralString = """
select namespace.nspname || '.' || function.proname || '(' || pg_get_function_identity_arguments(function.oid) || ')',
  function.prosecdef,
  coalesce((
    select array_agg(coalesce(grantee.rolname, 'PUBLIC') order by grantee.rolname collate "C")
    from aclexplode(coalesce(function.proacl, acldefault('f', function.proowner))) as privilege
    left join pg_roles as grantee on grantee.oid = privilege.grantee
    where privilege.privilege_type = 'EXECUTE' and privilege.grantee <> function.proowner), '{}')
from pg_proc as function join pg_namespace as namespace on namespace.oid = function.pronamespace
where namespace.nspname in ('public', 'private')
  and not exists (select from pg_depend where classid = 'pg_proc'::regclass and objid = function.oid and deptype = 'e')
order by namespace.nspname collate "C" desc, function.proname collate "C"
"""

_SCHEMAS: LiteralString = """
select coalesce(grantee.rolname, 'PUBLIC'), lower(privilege.privilege_type)
from pg_namespace as namespace
cross join lateral aclexplode(coalesce(namespace.nspacl, acldefault('n', namespace.nspowner))) as privilege
left join pg_roles as grantee on grantee.oid = privilege.grantee
where namespace.nspname = 'private' and privilege.grantee <> namespace.nspowner
order by 1, 2
"""

_EMBEDS: LiteralString = """
select here.relname, there.relname, string_agg('`' || key.conname || '`', ', ' order by key.conname collate "C")
from pg_constraint as key
join pg_class as here on here.oid = key.conrelid join pg_class as there on there.oid = key.confrelid
where key.contype = 'f' and here.relnamespace = 'public'::regnamespace and there.relnamespace = 'public'::regnamespace
group by here.relname, there.relname
order by here.relname collate "C", there.relname collate "C"
"""

_POLICIES: LiteralString = """
select schemaname || '.' || tablename, policyname, lower(cmd), array_to_string(roles, ', '), permissive = 'PERMISSIVE',
  qual, with_check
from pg_policies where schemaname in ('public', 'private')
order by schemaname collate "C" desc, tablename collate "C", policyname collate "C"
"""


def permissions_markdown(connection: psycopg.Connection[Any], answers: str) -> str:
    """docs/permissions.md for the database behind `connection`; nothing in it depends on the server's version.

    Args:
        connection: as the owner of the tables.
        answers: the sections on who gets what, which the tests of access check.
    """
    return "\n".join(
        [
            _INTRODUCTION,
            answers,
            "## Embeds",
            "",
            "What PostgREST puts into the rows of another table, by the foreign key that leads there, in both",
            "directions. An embed is refused where asking for either table would be, and shows of each what asking for",
            "it shows.",
            "",
            _table(("table", "refers to", "by"), connection.execute(_EMBEDS)),
            "",
            "## Schema private",
            "",
            _table(("role", "privilege"), ((role, privilege) for role, privilege in connection.execute(_SCHEMAS))),
            "",
            "## Grants on tables",
            "",
            _table(("table", *ROLES), _table_rows(connection)),
            "",
            "## Grants on functions",
            "",
            _table(
                ("function", "", *ROLES),
                (
                    (f"`{name}`", "definer" if definer else "", *("yes" if role in roles else "" for role in ROLES))
                    for name, definer, roles in connection.execute(_FUNCTIONS)
                ),
            ),
            "",
            *_others(connection),
            "## Row security",
            "",
            "Without a policy for an action, a role that is bound by row security sees and changes nothing.",
            "",
            _table(("table", "policy", "action", "role", "rows", "new rows"), _policy_rows(connection)),
            "",
        ]
    )


def _table_rows(connection: psycopg.Connection[Any]) -> Iterable[Sequence[str]]:
    granted = _grants(connection)
    for (name,) in connection.execute(_NAMES):
        yield (f"`{name}`", *(_privileges(granted.get((name, role), {})) for role in ROLES))


def _grants(connection: psycopg.Connection[Any]) -> dict[tuple[str, str], dict[str, list[str | None]]]:
    """By relation and role: each privilege with the columns it is limited to; None is the whole relation."""
    granted: dict[tuple[str, str], dict[str, list[str | None]]] = {}
    for name, role, privilege, column in connection.execute(_TABLES):
        granted.setdefault((name, role), {}).setdefault(privilege, []).append(column)
    return granted


def _privileges(granted: dict[str, list[str | None]]) -> str:
    order = ("select", "insert", "update", "delete")
    words = []
    for privilege in sorted(granted, key=lambda word: (order.index(word) if word in order else len(order), word)):
        columns = granted[privilege]
        limited = "" if None in columns else f" ({', '.join(sorted(str(column) for column in columns))})"
        words.append(f"{privilege}{limited}")
    return ", ".join(words)


def _others(connection: psycopg.Connection[Any]) -> list[str]:
    """Grants that the tables above have no place for: sequences, PUBLIC, other roles. There should be none."""
    tables = {name for (name,) in connection.execute(_NAMES)}
    lines = [
        f"- `{name}`: {_privileges(privileges)} to {role}"
        for (name, role), privileges in sorted(_grants(connection).items())
        if role not in ROLES or name not in tables
    ]
    lines += [
        f"- `{name}`: execute to {role}"
        for name, _, roles in connection.execute(_FUNCTIONS)
        for role in roles
        if role not in ROLES
    ]
    return ["## Sequences and other roles", "", *(lines or ["Nothing is granted."]), ""]


def _policy_rows(connection: psycopg.Connection[Any]) -> Iterable[Sequence[str]]:
    for table, policy, action, roles, permissive, using, check in connection.execute(_POLICIES):
        restrictive = "" if permissive else " (restrictive)"
        yield (f"`{table}`", f"`{policy}`{restrictive}", action, roles, _expression(using), _expression(check))


def _expression(text: str | None) -> str:
    return f"`{' '.join(text.split())}`".replace("|", "\\|") if text else ""


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
