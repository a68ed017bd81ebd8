"""Everything the migrations make, as items that can be compared, and for each item the statements that make it.

`read_catalogue` reads them from a database. What qero's own migrations produce is kept in `catalogue.json`, which
`scripts/docs` writes and a test holds against the migrations, so that comparing needs no second database.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, LiteralString

import psycopg

SHIPPED_CATALOGUE = Path(__file__).with_name("catalogue.json")

_API_ROLES = "public, anon, authenticated, service_role"
_OTHERS = ("auth.", "realtime.")
_STANDALONE = ("schema", "type", "sequence", "table", "view", "function")
"""Kinds that may be somebody else's: an object of one of them is a whole, not a part of one of ours."""

# Every query gives name and parts, of what is in these schemas. With an empty search_path Postgres writes all names in
# full.

_QUERIES: dict[str, LiteralString] = {
    # Those that an index of ours is made with; the others may be there or not.
    "extension": """
        select quote_ident(object.extname), jsonb_build_object('schema', object.extnamespace::regnamespace::text,
          'used', exists (
            select from pg_depend as owned
            join pg_opclass as class on class.oid = owned.objid
            join pg_index as index on class.oid = any (index.indclass)
            join pg_class as relation on relation.oid = index.indrelid
            where owned.refobjid = object.oid and owned.classid = 'pg_opclass'::regclass and owned.deptype = 'e'
              and relation.relnamespace = any (%(schemas)s::oid[])))
        from pg_extension as object
    """,
    "schema": """
        select quote_ident(nspname), '{}'::jsonb from pg_namespace where nspname = 'private'
    """,
    "type": """
        select object.oid::regtype::text, jsonb_build_object('definition', case object.typtype
          when 'e' then (
            select 'enum (' || string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) || ')'
            from pg_enum where enumtypid = object.oid)
          else (
            select '(' || string_agg(quote_ident(attname) || ' ' || format_type(atttypid, atttypmod), ', '
              order by attnum) || ')'
            from pg_attribute where attrelid = object.typrelid and attnum > 0 and not attisdropped)
          end)
        from pg_type as object left join pg_class as relation on relation.oid = object.typrelid
        where object.typnamespace = any (%(schemas)s::oid[]) and (object.typtype = 'e' or relation.relkind = 'c')
          and not exists (select from pg_depend where objid = object.oid and deptype = 'e')
    """,
    "sequence": """
        select object.oid::regclass::text, jsonb_build_object(
          'definition', format('as %%s increment by %%s minvalue %%s maxvalue %%s start with %%s cache %%s%%s',
            format_type(sequence.seqtypid, null), sequence.seqincrement, sequence.seqmin, sequence.seqmax,
            sequence.seqstart, sequence.seqcache, case when sequence.seqcycle then ' cycle' else '' end))
        from pg_class as object join pg_sequence as sequence on sequence.seqrelid = object.oid
        where object.relnamespace = any (%(schemas)s::oid[])
          and not exists (select from pg_depend where objid = object.oid and deptype in ('a', 'i', 'e'))
    """,
    "table": """
        select object.oid::regclass::text, jsonb_build_object(
          'row_security', object.relrowsecurity, 'forced', object.relforcerowsecurity,
          'options', coalesce(to_jsonb(object.reloptions), '[]'),
          'replica_identity', object.relreplident)
        from pg_class as object
        where object.relnamespace = any (%(schemas)s::oid[]) and object.relkind in ('r', 'p')
          and not exists (select from pg_depend where objid = object.oid and deptype = 'e')
    """,
    "column": """
        select object.oid::regclass || '.' || quote_ident(attribute.attname), jsonb_build_object(
          'table', object.oid::regclass::text, 'column', quote_ident(attribute.attname),
          'position', attribute.attnum, 'type', format_type(attribute.atttypid, attribute.atttypmod),
          'not_null', attribute.attnotnull, 'identity', attribute.attidentity, 'generated', attribute.attgenerated,
          'expression', pg_get_expr(written.adbin, written.adrelid))
        from pg_class as object
        join pg_attribute as attribute on attribute.attrelid = object.oid
        left join pg_attrdef as written on written.adrelid = object.oid and written.adnum = attribute.attnum
        where object.relnamespace = any (%(schemas)s::oid[]) and object.relkind in ('r', 'p')
          and attribute.attnum > 0 and not attribute.attisdropped
          and not exists (select from pg_depend where objid = object.oid and deptype = 'e')
    """,
    "function": """
        select object.oid::regprocedure::text, jsonb_build_object(
          'definition', pg_get_functiondef(object.oid), 'returns', pg_get_function_result(object.oid),
          'kind', case object.prokind when 'p' then 'procedure' else 'function' end)
        from pg_proc as object
        where object.pronamespace = any (%(schemas)s::oid[]) and object.prokind in ('f', 'p', 'w')
          and not exists (select from pg_depend where objid = object.oid and deptype = 'e')
    """,
    "view": """
        select object.oid::regclass::text, jsonb_build_object(
          'definition', pg_get_viewdef(object.oid), 'materialized', object.relkind = 'm',
          'options', coalesce(to_jsonb(object.reloptions), '[]'))
        from pg_class as object
        where object.relnamespace = any (%(schemas)s::oid[]) and object.relkind in ('v', 'm')
          and not exists (select from pg_depend where objid = object.oid and deptype = 'e')
    """,
    "constraint": """
        select object.conrelid::regclass || '.' || quote_ident(object.conname), jsonb_build_object(
          'table', object.conrelid::regclass::text, 'constraint', quote_ident(object.conname),
          'type', object.contype, 'validated', object.convalidated,
          'definition', regexp_replace(pg_get_constraintdef(object.oid), ' NOT VALID$', ''))
        from pg_constraint as object
        where object.connamespace = any (%(schemas)s::oid[]) and object.conrelid <> 0
          and object.contype in ('p', 'u', 'x', 'c', 'f')
          and not exists (select from pg_depend where objid = object.oid and deptype = 'e')
    """,
    "index": """
        select object.oid::regclass::text, jsonb_build_object(
          'table', index.indrelid::regclass::text, 'definition', pg_get_indexdef(object.oid),
          'valid', index.indisvalid)
        from pg_index as index join pg_class as object on object.oid = index.indexrelid
        where object.relnamespace = any (%(schemas)s::oid[])
          and not exists (select from pg_depend where objid = object.oid and deptype = 'e')
          and not exists (select from pg_constraint where conindid = object.oid and contype in ('p', 'u', 'x'))
    """,
    "statistics": """
        select format('%%I.%%I', object.stxnamespace::regnamespace, object.stxname), jsonb_build_object(
          'table', object.stxrelid::regclass::text, 'definition', pg_get_statisticsobjdef(object.oid))
        from pg_statistic_ext as object
        where object.stxnamespace = any (%(schemas)s::oid[])
          and not exists (select from pg_depend where objid = object.oid and deptype = 'e')
    """,
    "policy": """
        select object.polrelid::regclass || '.' || quote_ident(object.polname), jsonb_build_object(
          'table', object.polrelid::regclass::text, 'policy', quote_ident(object.polname),
          'definition', concat_ws(' ',
            'as ' || case when object.polpermissive then 'permissive' else 'restrictive' end,
            'for ' || case object.polcmd when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update'
              when 'd' then 'delete' else 'all' end,
            'to ' || (
              select string_agg(case role when 0 then 'public' else quote_ident(pg_get_userbyid(role)) end, ', '
                order by pg_get_userbyid(role))
              from unnest(object.polroles) as role),
            'using (' || pg_get_expr(object.polqual, object.polrelid) || ')',
            'with check (' || pg_get_expr(object.polwithcheck, object.polrelid) || ')'))
        from pg_policy as object join pg_class as relation on relation.oid = object.polrelid
        where relation.relnamespace = any (%(schemas)s::oid[]) or relation.oid = to_regclass('realtime.messages')
    """,
    "trigger": """
        select object.tgrelid::regclass || '.' || quote_ident(object.tgname), jsonb_build_object(
          'table', object.tgrelid::regclass::text, 'trigger', quote_ident(object.tgname),
          'definition', pg_get_triggerdef(object.oid), 'enabled', object.tgenabled)
        from pg_trigger as object
        join pg_class as relation on relation.oid = object.tgrelid
        join pg_proc as function on function.oid = object.tgfoid
        where not object.tgisinternal
          and (relation.relnamespace = any (%(schemas)s::oid[]) or function.pronamespace = any (%(schemas)s::oid[]))
          -- There while chats of an older database are being numbered, and not to be taken away before.
          and function.oid is distinct from to_regprocedure('private.reserve_numbers()')
          and not exists (select from pg_depend where objid = object.oid and deptype = 'e')
    """,
    "grant": """
        with object as (
          select 'schema ' || quote_ident(nspname) as name, null as column_name, null as relation,
            coalesce(nspacl, acldefault('n', nspowner)) as acl, nspowner as owner
          from pg_namespace where nspname = 'private'
          union all
          select case relation.relkind when 'S' then 'sequence ' else 'table ' end || relation.oid::regclass, null,
            relation.oid::regclass::text,
            coalesce(relation.relacl,
              acldefault(case relation.relkind when 'S' then 's' else 'r' end::"char", relation.relowner)),
            relation.relowner
          from pg_class as relation
          where relation.relnamespace = any (%(schemas)s::oid[]) and relation.relkind in ('r', 'p', 'v', 'm', 'S')
            and not exists (select from pg_depend where objid = relation.oid and deptype = 'e')
          union all
          select 'table ' || relation.oid::regclass, quote_ident(attribute.attname), relation.oid::regclass::text,
            attribute.attacl, relation.relowner
          from pg_attribute as attribute join pg_class as relation on relation.oid = attribute.attrelid
          where relation.relnamespace = any (%(schemas)s::oid[]) and attribute.attacl is not null
            and not attribute.attisdropped
          union all
          select case function.prokind when 'p' then 'procedure ' else 'function ' end || function.oid::regprocedure,
            null, function.oid::regprocedure::text,
            coalesce(function.proacl, acldefault('f', function.proowner)), function.proowner
          from pg_proc as function
          where function.pronamespace = any (%(schemas)s::oid[]) and function.prokind in ('f', 'p', 'w')
            and not exists (select from pg_depend where objid = function.oid and deptype = 'e')
        )
        select object.name || coalesce('.' || object.column_name, '') || ' to '
            || case privilege.grantee when 0 then 'public' else pg_get_userbyid(privilege.grantee) end,
          jsonb_build_object('on', object.name, 'column', object.column_name, 'of', object.relation,
            'to', case privilege.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(privilege.grantee)) end,
            'privileges', jsonb_agg(distinct lower(privilege.privilege_type)))
        from object cross join lateral aclexplode(object.acl) as privilege
        -- Servers know this privilege from version 17 on; what can only be said there isn't said here.
        where privilege.grantee <> object.owner and privilege.privilege_type <> 'MAINTAIN'
          and pg_get_userbyid(privilege.grantee) not in ('postgres', 'supabase_admin')
        group by object.name, object.column_name, object.relation, privilege.grantee
    """,
    "publication": """
        select publication.pubname || ': ' || published.prrelid::regclass, jsonb_build_object(
          'publication', quote_ident(publication.pubname), 'table', published.prrelid::regclass::text)
        from pg_publication_rel as published
        join pg_publication as publication on publication.oid = published.prpubid
        join pg_class as relation on relation.oid = published.prrelid
        where relation.relnamespace = any (%(schemas)s::oid[]) and publication.pubname = 'supabase_realtime'
    """,
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One thing that migrations make. `parts` are what Postgres says about it."""

    kind: str
    name: str
    parts: Mapping[str, Any]

    @property
    def table(self) -> str | None:
        """The table, view or function it is a part of; None for one that is a whole."""
        of: str | None = self.parts.get("table") or self.parts.get("of")
        return of


Catalogue = Mapping[tuple[str, str], Item]


@dataclass(frozen=True)
class Difference:
    """One thing that isn't as the migrations make it.

    Attributes:
        problem: `missing`, `changed`, `extra`: there and not made by the migrations; `leftover`: what an upgrade set
            aside under the name `legacy_…`, which harms nothing.
        statements: what mends it, in order.
        loses_data: the statements drop something that rows may be in; a mending migration has them as comments.
        own: a whole object that the migrations don't know, so it may well be the project's own.
    """

    kind: str
    name: str
    problem: Literal["missing", "changed", "extra", "leftover"]
    statements: tuple[str, ...]
    wanted: str | None = None
    found: str | None = None
    loses_data: bool = False
    own: bool = False


def read_catalogue(connection: psycopg.Connection[Any]) -> Catalogue:
    """What stands in the schemas public and private, and what of ours hangs on tables of others."""
    with connection.transaction():
        connection.execute("set local search_path = ''")
        schemas = connection.execute("select oid from pg_namespace where nspname in ('public', 'private')")
        parameters = {"schemas": [oid for (oid,) in schemas]}
        items = [
            Item(kind, name, parts)
            for kind, query in _QUERIES.items()
            for name, parts in connection.execute(query, parameters)
        ]
    return {(item.kind, item.name): item for item in items}


def catalogue_json(catalogue: Catalogue) -> str:
    """The catalogue as a file: one item a line, the same for the same catalogue."""
    lines = (
        json.dumps({"kind": item.kind, "name": item.name, "parts": item.parts}, sort_keys=True, ensure_ascii=False)
        for _, item in sorted(catalogue.items())
    )
    return "[\n" + ",\n".join(lines) + "\n]\n"


def catalogue_from_json(text: str) -> Catalogue:
    return {(row["kind"], row["name"]): Item(row["kind"], row["name"], row["parts"]) for row in json.loads(text)}


def shipped_catalogue() -> Catalogue:
    """What the migrations that qero ships produce on an empty database."""
    return catalogue_from_json(SHIPPED_CATALOGUE.read_text("utf-8"))


def compare(wanted: Catalogue, found: Catalogue) -> list[Difference]:
    """Every difference, in an order in which the statements can be run."""
    differences = [
        *(_missing(item) for key, item in wanted.items() if key not in found and item.parts.get("used", True)),
        *(
            _changed(item, found[key], [other for other in wanted.values() if other.kind == "grant"])
            for key, item in wanted.items()
            if key in found and _comparable(item) != _comparable(found[key])
        ),
        *(_extra(item) for key, item in found.items() if key not in wanted and not _goes_with_its_table(item, wanted)),
    ]
    items = {**found, **wanted}
    return sorted(differences, key=lambda difference: _order(items[difference.kind, difference.name]))


def mending_migration(differences: Iterable[Difference]) -> str:
    """A migration that removes the differences, for a person to review: what could lose data stands there as a comment.

    The project's own objects are left alone.
    """
    lines = [
        "-- Purpose:   mends what `qero db verify` found. Review it, then push it like any other migration.",
        "-- Roll back: from the backup that the push makes.",
        "",
        "set lock_timeout = '5s';",
        "set check_function_bodies = off;",
    ]
    for difference in differences:
        if difference.own or difference.problem == "leftover":
            continue
        lines += ["", f"-- {difference.kind} {difference.name}: {difference.problem}"]
        for statement in difference.statements:
            text = statement if statement.endswith(";") else f"{statement};"
            if difference.loses_data:
                text = "\n".join(f"-- {line}" for line in text.splitlines())
            lines.append(text)
    return "\n".join([*lines, "", "notify pgrst, 'reload schema';", ""])


@dataclass(frozen=True)
class AddedIndex:
    """An index, of a constraint perhaps, with the statements that make it while writers go on; in no transaction."""

    name: str
    statements: tuple[str, ...]


def index_to_add(item: Item, lacking: Mapping[str, Item]) -> AddedIndex | None:
    """How an index or a unique constraint is made beside writers.

    Args:
        lacking: columns that the table hasn't yet. Those that the index needs are added, as long as they hold nothing,
            or an empty list.

    Returns: None for what is no index, or can't be made without the migrations.
    """
    definition, table = item.parts.get("definition", ""), item.table or ""
    needed = [column for name, column in lacking.items() if re.search(rf"\b{re.escape(name)}\b", definition)]
    if "private." in definition.replace(table, "") or any(map(_is_filled, needed)):
        return None
    columns = [f"alter table {table} add column if not exists {_empty_column(column)}" for column in needed]
    if item.kind == "index":
        create = definition.replace(" INDEX ", " INDEX CONCURRENTLY IF NOT EXISTS ", 1)
        return AddedIndex(item.name, (*columns, create))
    if item.kind == "constraint" and item.parts["type"] == "u" and definition.startswith("UNIQUE ("):
        schema, name = table.partition(".")[0], item.parts["constraint"]
        keys = definition.removeprefix("UNIQUE ")
        return AddedIndex(
            f"{schema}.{name}",
            (
                *columns,
                f"create unique index concurrently if not exists {name} on {table} {keys}",
                f"alter table {table} add constraint {name} unique using index {name}",
            ),
        )
    return None


def _is_filled(column: Item) -> bool:
    parts = column.parts
    return bool(parts["generated"] or parts["identity"]) or not (parts["expression"] is None or _is_empty_list(column))


def _is_empty_list(column: Item) -> bool:
    return re.fullmatch(r"'(\{\}|\[\])'::\S+", column.parts["expression"] or "") is not None


def _empty_column(column: Item) -> str:
    # Without a default there may be rows that have nothing to put there: whether it may be null is for a migration.
    return _column(column) if _is_empty_list(column) else f"{column.parts['column']} {column.parts['type']}"


def extensions_used(catalogue: Catalogue) -> list[str]:
    """Statements that install what indexes of ours are made with."""
    return [
        statement
        for item in catalogue.values()
        if item.kind == "extension" and item.parts["used"]
        for statement in _create(item)
    ]


def parts_elsewhere(catalogue: Catalogue) -> list[str]:
    """Statements that make what of ours hangs on tables of others, such as a trigger on auth.users, and what publishes
    our tables. They aren't in a dump of our schemas, and go when what they call goes."""
    elsewhere = [
        item
        for item in catalogue.values()
        if item.kind == "publication" or (item.kind in ("trigger", "policy") and (item.table or "").startswith(_OTHERS))
    ]
    return [
        statement
        for item in sorted(elsewhere, key=_order)
        for statement in ([_drop(item)] if item.kind == "policy" else []) + _create(item)
    ]


def _comparable(item: Item) -> dict[str, Any]:
    # Where a column stands in its table is history, not meaning; where an extension is installed, the project's choice.
    return {
        name: sorted(value) if name == "options" else value
        for name, value in item.parts.items()
        if name not in ("position", "schema", "used")
    }


def _goes_with_its_table(item: Item, wanted: Catalogue) -> bool:
    """A part of something that isn't ours is told by telling of the whole."""
    if item.kind == "extension":
        return True
    if item.table is None:
        return False
    is_ours = any((kind, item.table) in wanted for kind in ("table", "view", "sequence", "function"))
    return not is_ours and not item.table.startswith(_OTHERS)


def _order(item: Item) -> tuple[int, int, str, int, str]:
    """Policies and triggers need functions, these need types and tables, and some columns need functions."""
    kinds = ("extension", "schema", "type", "sequence", "table", "column", "function", "column that calls", "view",
             "constraint", "index", "statistics", "policy", "trigger", "grant", "publication")  # fmt: skip
    kind, within = item.kind, 0
    if kind == "column" and "private." in (item.parts["expression"] or ""):
        kind = "column that calls"
    if kind == "constraint":
        within = "puxcf".index(item.parts["type"])
    return kinds.index(kind), within, item.table or "", item.parts.get("position", 0), item.name


def _missing(item: Item) -> Difference:
    return Difference(item.kind, item.name, "missing", tuple(_create(item)), wanted=_text(item))


def _extra(item: Item) -> Difference:
    leftover = item.kind == "column" and item.parts["column"].startswith("legacy_")
    return Difference(
        item.kind,
        item.name,
        "leftover" if leftover else "extra",
        (_drop(item),),
        found=_text(item),
        loses_data=item.kind not in ("policy", "grant", "publication", "statistics", "trigger"),
        own=item.kind in _STANDALONE,
    )


def _changed(wanted: Item, found: Item, grants: Iterable[Item]) -> Difference:
    statements = _change(wanted, found)
    if statements[0].startswith("drop") and wanted.kind in ("function", "view"):
        statements += [_grant(item.parts) for item in grants if item.table == wanted.name]
    return Difference(
        wanted.kind,
        wanted.name,
        "changed",
        tuple(statements),
        wanted=_text(wanted),
        found=_text(found),
    )


def _text(item: Item) -> str:
    if item.kind == "column":
        return _column(item)
    return "; ".join(
        f"{name} {value}" if name != "definition" else str(value)
        for name, value in sorted(_comparable(item).items())
        if name not in ("table", "of", "on", "to", "constraint", "policy", "trigger", "publication", "kind")
        and value is not None
    )


def _column(item: Item) -> str:
    parts = item.parts
    words = [parts["column"], parts["type"]]
    if parts["generated"]:
        words.append(f"generated always as ({parts['expression']}) stored")
    elif parts["identity"]:
        words.append(f"generated {'always' if parts['identity'] == 'a' else 'by default'} as identity")
    elif parts["expression"] is not None:
        words.append(f"default {parts['expression']}")
    if parts["not_null"]:
        words.append("not null")
    return " ".join(words)


def _options(parts: Mapping[str, Any]) -> str:
    return f" with ({', '.join(parts['options'])})" if parts["options"] else ""


def _create(item: Item) -> list[str]:
    parts, name = item.parts, item.name
    match item.kind:
        case "extension":
            return [f"create extension if not exists {name} with schema {parts['schema']}"]
        case "schema":
            return [f"create schema {name}"]
        case "type":
            return [f"create type {name} as {parts['definition']}"]
        case "sequence":
            return [f"create sequence {name} {parts['definition']}", f"revoke all on sequence {name} from {_API_ROLES}"]
        case "table":
            return [
                f"create table {name} (){_options(parts)}",
                *_table_settings(name, parts),
                f"revoke all on table {name} from {_API_ROLES}",
            ]
        case "column":
            return [f"alter table {parts['table']} add column {_column(item)}"]
        case "function":
            return [
                parts["definition"].strip(),
                f"revoke all on {parts['kind']} {name} from {_API_ROLES}",
            ]
        case "view":
            kind = "materialized view" if parts["materialized"] else "view"
            return [
                f"create {kind} {name}{_options(parts)} as\n{parts['definition']}",
                f"revoke all on table {name} from {_API_ROLES}",
            ]
        case "constraint":
            add = f"alter table {parts['table']} add constraint {parts['constraint']} {parts['definition']}"
            if parts["type"] in "pux":
                return [add]
            # In two steps, so that the rows are read without keeping anybody from writing.
            return [f"{add} not valid", *([_validate(parts)] if parts["validated"] else [])]
        case "index" | "statistics":
            return [parts["definition"]]
        case "policy":
            return [f"create policy {parts['policy']} on {parts['table']} {parts['definition']}"]
        case "trigger":
            # In place of one that stands there: a table of others' lets us make triggers and drop none.
            create = parts["definition"].replace("CREATE TRIGGER", "CREATE OR REPLACE TRIGGER", 1)
            return [create, *([] if parts["enabled"] == "O" else [_enable(parts)])]
        case "grant":
            return [_grant(parts)]
        case "publication":
            return [f"alter publication {parts['publication']} add table {parts['table']}"]
    raise AssertionError(item.kind)


def _drop(item: Item) -> str:
    parts, name = item.parts, item.name
    match item.kind:
        case "column":
            return f"alter table {parts['table']} drop column {parts['column']}"
        case "function":
            return f"drop {parts['kind']} {name}"
        case "view":
            return f"drop {'materialized view' if parts['materialized'] else 'view'} {name}"
        case "constraint":
            return f"alter table {parts['table']} drop constraint {parts['constraint']}"
        case "policy":
            return f"drop policy if exists {parts['policy']} on {parts['table']}"
        case "trigger":
            return f"drop trigger if exists {parts['trigger']} on {parts['table']}"
        case "grant":
            return _revoke(parts)
        case "publication":
            return f"alter publication {parts['publication']} drop table {parts['table']}"
    return f"drop {item.kind} {name}"


def _change(wanted: Item, found: Item) -> list[str]:
    parts, standing = wanted.parts, found.parts
    match wanted.kind:
        case "type":
            return [f"-- Change it by hand: {wanted.name} should be {parts['definition']}"]
        case "sequence":
            return [f"alter sequence {wanted.name} {parts['definition']}"]
        case "table":
            return _table_settings(wanted.name, parts, standing)
        case "column":
            return _change_column(parts, standing)
        case "view" if not parts["materialized"]:
            options = _options(parts)
            return [f"create or replace view {wanted.name}{options} as\n{parts['definition']}"]
        case "function":
            definition = parts["definition"].strip()
            if parts["returns"] == standing["returns"] and parts["kind"] == standing["kind"]:
                return [definition]
            return [_drop(found), *_create(wanted)]
        case "constraint" if parts["definition"] == standing["definition"]:
            return [_validate(parts)]
        case "trigger" if parts["definition"] == standing["definition"]:
            return [_enable(parts)]
        case "trigger":
            return _create(wanted)
        case "grant":
            return [_revoke(standing), _grant(parts)]
    return [_drop(found), *_create(wanted)]


def _change_column(parts: Mapping[str, Any], standing: Mapping[str, Any]) -> list[str]:
    alter = f"alter table {parts['table']} alter column {parts['column']}"
    statements = []
    if parts["generated"] or standing["generated"]:
        return [
            f"alter table {parts['table']} drop column {parts['column']}",
            f"alter table {parts['table']} add column {_column(Item('column', '', parts))}",
        ]
    if parts["type"] != standing["type"]:
        statements.append(f"{alter} type {parts['type']} using {parts['column']}::{parts['type']}")
    if parts["identity"] != standing["identity"]:
        if standing["identity"]:
            statements.append(f"{alter} drop identity")
        if parts["identity"]:
            always = "always" if parts["identity"] == "a" else "by default"
            statements += [f"{alter} set not null", f"{alter} add generated {always} as identity"]
    elif parts["expression"] != standing["expression"]:
        default = parts["expression"]
        statements.append(f"{alter} drop default" if default is None else f"{alter} set default {default}")
    if parts["not_null"] != standing["not_null"]:
        statements.append(f"{alter} {'set' if parts['not_null'] else 'drop'} not null")
    return statements


def _table_settings(
    name: str, parts: Mapping[str, Any], standing: Mapping[str, Any] | None = None
) -> list[str]:  # fmt: skip
    """What sets a table as wanted, against what it is, or against what a new one is."""
    standing = standing or {"row_security": False, "forced": False, "options": parts["options"],
                            "replica_identity": "d"}  # fmt: skip
    statements = []
    if parts["row_security"] != standing["row_security"]:
        statements.append(f"{'enable' if parts['row_security'] else 'disable'} row level security")
    if parts["forced"] != standing["forced"]:
        statements.append(f"{'' if parts['forced'] else 'no '}force row level security")
    if parts["replica_identity"] != standing["replica_identity"]:
        words = {"d": "default", "f": "full", "n": "nothing"}
        statements.append(f"replica identity {words.get(parts['replica_identity'], 'default')}")
    if parts["options"] != standing["options"]:
        if surplus := {_option(text) for text in standing["options"]} - {_option(text) for text in parts["options"]}:
            statements.append(f"reset ({', '.join(sorted(surplus))})")
        if parts["options"]:
            statements.append(f"set ({', '.join(parts['options'])})")
    return [f"alter table {name} {statement}" for statement in statements]


def _option(text: str) -> str:
    return text.partition("=")[0]


def _validate(parts: Mapping[str, Any]) -> str:
    return f"alter table {parts['table']} validate constraint {parts['constraint']}"


def _enable(parts: Mapping[str, Any]) -> str:
    words = {"O": "enable", "A": "enable always", "R": "enable replica", "D": "disable"}
    return f"alter table {parts['table']} {words[parts['enabled']]} trigger {parts['trigger']}"


def _grant(parts: Mapping[str, Any]) -> str:
    return f"grant {_privileges(parts)} on {parts['on']} to {parts['to']}"


def _revoke(parts: Mapping[str, Any]) -> str:
    return f"revoke {_privileges(parts)} on {parts['on']} from {parts['to']}"


def _privileges(parts: Mapping[str, Any]) -> str:
    limited = f" ({parts['column']})" if parts["column"] else ""
    return ", ".join(f"{privilege}{limited}" for privilege in parts["privileges"])
