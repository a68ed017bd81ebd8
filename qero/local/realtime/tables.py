"""What the database knows now about a table whose rows changed: columns, rights, values, visibility."""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql

from qero.local.realtime.database import Connection
from qero.local.realtime.filters import Condition

log = logging.getLogger(__name__)

READERS_PER_STATEMENT = 100
REFUSALS = (psycopg.DataError, psycopg.ProgrammingError, psycopg.errors.QueryCanceled)
"""What goes wrong with one table or one filter, and not with the connection."""

COLUMNS = """
select a.attname, format_type(a.atttypid, -1), t.typname, coalesce(a.attnum = any(i.indkey), false),
       array(select r.rolname::text from pg_roles r
              where r.rolname = any(%s) and has_column_privilege(r.oid, a.attrelid, a.attnum, 'select')),
       n.nspname, c.relname, c.relrowsecurity
  from pg_attribute a
  join pg_type t on t.oid = a.atttypid
  join pg_class c on c.oid = a.attrelid
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_index i on i.indrelid = a.attrelid and i.indisprimary
 where a.attrelid = %s::oid and a.attnum > 0 and not a.attisdropped
 order by a.attnum
"""


@dataclass(frozen=True, slots=True)
class Column:
    name: str
    type_name: str
    """For casts: without length or precision, which would cut a filter's value short."""
    short_type: str
    is_key: bool
    readers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Table:
    schema: str
    name: str
    row_security: bool
    columns: Mapping[str, Column]

    @property
    def key(self) -> tuple[Column, ...]:
        return tuple(column for column in self.columns.values() if column.is_key)


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the log: its values as JSON, and which of the asked conditions it meets."""

    values: Mapping[str, str]
    met: frozenset[Condition]


async def read_table(connection: Connection, oid: int, roles: Collection[str]) -> Table | None:
    """The table as it is now, or None if it is gone. Asked anew every time: rights and keys may change."""
    cursor = await connection.execute(COLUMNS, (list(roles), oid))
    rows = await cursor.fetchall()
    if not rows:
        return None
    *_, schema, name, row_security = rows[0]
    columns = {row[0]: Column(row[0], row[1], row[2], is_key=row[3], readers=frozenset(row[4])) for row in rows}
    return Table(schema, name, row_security, columns)


async def render(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, str | None]],
    conditions: Collection[Condition],
) -> list[Row]:
    """The rows' values as the database itself writes them in JSON, and the conditions each row meets.

    Raises:
        psycopg.Error: the values don't fit the table any more.
    """
    known = [condition for condition in conditions if condition.column in table.columns]
    try:
        return await _render(connection, table, rows, known)
    except REFUSALS:
        if not known:
            raise
    # One condition can't be evaluated; it must not take the others with it.
    rendered = await _render(connection, table, rows, [])
    for condition in known:
        try:
            alone = await _render(connection, table, rows, [condition])
        except REFUSALS as error:
            log.warning("filter on %s.%s.%s: %s", table.schema, table.name, condition.column, error)
        else:
            rendered = [Row(row.values, row.met | other.met) for row, other in zip(rendered, alone, strict=True)]
    return rendered


async def _render(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, str | None]],
    conditions: Sequence[Condition],
) -> list[Row]:
    columns = [column for column in table.columns.values() if any(column.name in row for row in rows)]
    if not columns:
        return [Row({}, frozenset()) for _ in rows]
    aliases = {column.name: sql.Identifier(f"c{number}") for number, column in enumerate(columns)}
    conditions = [condition for condition in conditions if condition.column in aliases]

    def typed(name: str) -> sql.Composed:
        return sql.SQL("log.{}::{}").format(aliases[name], sql.SQL(table.columns[name].type_name))

    outputs: list[sql.Composable] = [sql.SQL("to_jsonb({})::text").format(typed(column.name)) for column in columns]
    parameters: list[Any] = []
    for condition in conditions:
        type_name = table.columns[condition.column].type_name
        outputs.append(condition.expression(typed(condition.column), type_name))
        parameters += condition.parameters
    parameters += [[row.get(column.name) for row in rows] for column in columns]
    query = sql.SQL("select {} from unnest({}) with ordinality as log ({}, position) order by position").format(
        sql.SQL(", ").join(outputs),
        sql.SQL(", ").join(sql.SQL("%s::text[]") for _ in columns),
        sql.SQL(", ").join(aliases.values()),
    )
    cursor = await connection.execute(query, parameters)
    return [
        Row(
            {
                column.name: "null" if value is None else value
                for column, value in zip(columns, result, strict=False)
                if column.name in row
            },
            # A condition on a column the log doesn't hold for this row can't be met.
            frozenset(
                condition
                for condition, met in zip(conditions, result[len(columns) :], strict=True)
                if met and condition.column in row
            ),
        )
        for row, result in zip(rows, await cursor.fetchall(), strict=True)
    ]


async def visible(
    connection: Connection, table: Table, keys: Sequence[Sequence[str | None]], readers: Sequence[str]
) -> set[tuple[str, int]]:
    """Which of the rows with these primary keys each reader, given as claims, is allowed to see now.

    SQL: realtime.visible_rows
    """
    matches = sql.SQL(" and ").join(
        sql.SQL("wanted.{} = (key.value ->> {})::{}").format(
            sql.Identifier(column.name), sql.Literal(number), sql.SQL(column.type_name)
        )
        for number, column in enumerate(table.key)
    )
    # A subquery per key, not a join: no plan for it reads the whole table through its policies.
    query = sql.SQL(
        "select (key.position - 1)::integer"
        " from jsonb_array_elements($1) with ordinality as key (value, position)"
        " where (select true from {} wanted where {})"
    ).format(sql.Identifier(table.schema, table.name), matches)
    text = query.as_string(connection)
    found: set[tuple[str, int]] = set()
    for start in range(0, len(readers), READERS_PER_STATEMENT):
        some = list(readers[start : start + READERS_PER_STATEMENT])
        try:
            async with connection.transaction(force_rollback=True):
                cursor = await connection.execute(
                    "select reader, item from realtime.visible_rows(%s, %s::jsonb, %s::text[])",
                    (text, json.dumps(keys), some),
                )
                found.update((some[reader], item) for reader, item in await cursor.fetchall())
        except REFUSALS as error:
            log.warning("policies of %s.%s: %s", table.schema, table.name, error)
    return found
