"""Checks a channel's postgres_changes before they are served, so that nothing fails once changes flow."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import sql

from qero.local.realtime.capture import CHANGES_PUBLICATION
from qero.local.realtime.channels import Channel, Subscription, subscription_id
from qero.local.realtime.database import Connection, Database
from qero.local.realtime.filters import (
    MAX_IN_VALUES,
    BadSubscription,
    ChangeRequest,
    Condition,
    parse_change_request,
)
from qero.local.realtime.tables import REFUSALS, Table, read_table

PUBLISHED_TABLES = """
select c.oid
  from pg_publication_tables p
  join pg_namespace n on n.nspname = p.schemaname
  join pg_class c on c.relnamespace = n.oid and c.relname = p.tablename
 where p.pubname = %(publication)s
   and %(schema)s::text in ('*', p.schemaname) and %(table)s::text in ('*', p.tablename)
"""


async def checked_subscriptions(database: Database, channel: Channel) -> list[Subscription]:
    """The channel's subscriptions, all of them good.

    Raises:
        BadSubscription: one of them isn't.
        psycopg.OperationalError: the database can't be reached.
    """
    requests = [parse_change_request(spec) for spec in channel.config.change_specs]
    async with database.connection() as connection:
        for request in requests:
            oids = await _published_tables(connection, request)
            try:
                await _check(connection, request, oids, channel.identity.role)
            except REFUSALS as error:
                raise _refusal(request, error.diag.message_primary or str(error)) from error
            except BadSubscription as error:
                raise _refusal(request, str(error)) from error
    return [
        Subscription(subscription_id(spec), request, channel)
        for spec, request in zip(channel.config.change_specs, requests, strict=True)
    ]


def _refusal(request: ChangeRequest, reason: str) -> BadSubscription:
    return BadSubscription(
        "Unable to subscribe to changes with given parameters. An exception happened so please check your "
        f"connect parameters: [{request}]. Exception: {reason}"
    )


async def _published_tables(connection: Connection, request: ChangeRequest) -> list[int]:
    cursor = await connection.execute(
        PUBLISHED_TABLES,
        {"publication": CHANGES_PUBLICATION, "schema": request.schema, "table": request.table},
    )
    oids = [oid for (oid,) in await cursor.fetchall()]
    if not oids:
        raise BadSubscription(
            "Unable to subscribe to changes with given parameters. Please check Realtime is enabled for the "
            f"given connect parameters: [{request}]"
        )
    return oids


async def _check(connection: Connection, request: ChangeRequest, oids: Collection[int], role: str) -> None:
    if not request.conditions and request.columns is None:
        return
    for oid in oids:
        table = await read_table(connection, oid, [role])
        if table is not None:
            _check_columns(table, request.columns or (), role, "column for select")
            _check_columns(table, [c.column for c in request.conditions], role, "column for filter")
            for condition in request.conditions:
                await _check_value(connection, table, condition)


def _check_columns(table: Table, names: Collection[str], role: str, what: str) -> None:
    for name in names:
        column = table.columns.get(name)
        if column is None or role not in column.readers:
            raise BadSubscription(f"invalid {what} {name}")


async def _check_value(connection: Connection, table: Table, condition: Condition) -> None:
    """Evaluate the condition once: a value that can't be cast, or compared, fails here."""
    type_name = table.columns[condition.column].type_name
    # An operator is not called for null, and so wouldn't notice a malformed pattern.
    sample = "''::{}" if condition.operator in ("match", "imatch") else "null::{}"
    operand = sql.SQL(sample).format(sql.SQL(type_name))
    await connection.execute(
        sql.SQL("select {}").format(condition.expression(operand, type_name)), condition.parameters
    )
    if condition.operator == "in":
        cursor = await connection.execute(
            sql.SQL("select cardinality(%s::{}[])").format(sql.SQL(type_name)), condition.parameters
        )
        row = await cursor.fetchone()
        if row is not None and row[0] > MAX_IN_VALUES:
            raise BadSubscription(f"too many values for `in` filter. Maximum {MAX_IN_VALUES}")
