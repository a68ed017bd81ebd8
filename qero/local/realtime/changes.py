"""Turns committed rows into postgres_changes events for those who may see them, in commit order."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from qero.local.realtime.channels import Channel, Hub, Subscription
from qero.local.realtime.database import Connection, Database
from qero.local.realtime.pgoutput import ChangeKind, Relation
from qero.local.realtime.protocol import to_json
from qero.local.realtime.tables import REFUSALS, Column, Row, Table, read_table, render, visible

log = logging.getLogger(__name__)

CHANGES_PER_ROUND = 250
BATCHES_WAITING = 4
"""Beyond this the capture waits and the log stays where it is safest: in Postgres."""
MAX_RECORD_BYTES = 1024 * 1024
KEPT_VALUE_BYTES = 64
"""Values up to this size are kept when a record is too large to be sent whole."""

NO_PRIMARY_KEY = "Error 400: Bad Request, no primary key"
KEY_NOT_READABLE = "Error 401: Unauthorized"
RECORD_TOO_LARGE = "Error 413: Payload Too Large"


@dataclass(frozen=True, slots=True)
class RowChange:
    kind: ChangeKind
    relation: Relation
    new: Mapping[str, str | None]
    old: Mapping[str, str | None]
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Event:
    """The same data for one channel, under every id of its subscriptions that it concerns."""

    channel: Channel
    ids: tuple[int, ...]
    data: str


class ChangeFeed:
    """Works through captured rows one round at a time; all of a round is asked of the database together."""

    def __init__(self, database: Database, hub: Hub) -> None:
        self._database = database
        self._hub = hub
        self._batches: asyncio.Queue[Sequence[RowChange]] = asyncio.Queue(BATCHES_WAITING)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="realtime changes")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def put(self, changes: Sequence[RowChange]) -> None:
        if changes and any(channel.subscriptions for channel in self._hub.channels()):
            await self._batches.put(changes)

    async def _run(self) -> None:
        while True:
            batch = await self._batches.get()
            for start in range(0, len(batch), CHANGES_PER_ROUND):
                changes = batch[start : start + CHANGES_PER_ROUND]
                for event in await self._events_or_nothing(changes):
                    if not event.channel.subscriptions:
                        continue  # left while the database was asked
                    payload = f'{{"ids":{to_json(event.ids)},"data":{event.data}}}'
                    event.channel.push("postgres_changes", payload)
                # Lets the connections send what they were given before there is more of it.
                await asyncio.sleep(0)

    async def _events_or_nothing(self, changes: Sequence[RowChange]) -> list[Event]:
        try:
            return await self._events(changes)
        except Exception:
            # The feed goes on. If it was the database that went away, the capture makes clients join again.
            log.exception("%s changes were left out", len(changes))
            return []

    async def _events(self, changes: Sequence[RowChange]) -> list[Event]:
        subscriptions = self._hub.subscriptions()
        positions: dict[int, list[int]] = defaultdict(list)
        for position, change in enumerate(changes):
            positions[change.relation.oid].append(position)
        events: dict[int, list[Event]] = {}
        async with self._database.connection() as connection:
            for oid, of_table in positions.items():
                # A table renamed within a round: each change counts under the name it was written with.
                interested = [
                    s
                    for s in subscriptions
                    if any(
                        s.request.covers(changes[p].relation.schema, changes[p].relation.name)
                        and s.request.wants(changes[p].kind)
                        for p in of_table
                    )
                ]
                if not interested:
                    continue
                table = await read_table(connection, oid, {s.channel.identity.role for s in interested})
                if table is None:
                    continue
                try:
                    delivery = await _Delivery.prepare(connection, table, [changes[p] for p in of_table], interested)
                except REFUSALS as error:
                    log.warning("changes of %s.%s were left out: %s", table.schema, table.name, error)
                    continue
                for number, position in enumerate(of_table):
                    events[position] = delivery.events(number)
        return [event for position in sorted(events) for event in events[position]]


class _Delivery:
    """One table's changes of one round, with everything asked that decides who gets them."""

    def __init__(
        self,
        table: Table,
        changes: Sequence[RowChange],
        rows: Sequence[tuple[Row, Row]],
        subscriptions: Sequence[Subscription],
    ) -> None:
        self._table = table
        self._changes = changes
        self._rows = rows
        self._subscriptions = subscriptions
        self._visible: set[tuple[str, int]] = set()

    @classmethod
    async def prepare(
        cls,
        connection: Connection,
        table: Table,
        changes: Sequence[RowChange],
        subscriptions: Sequence[Subscription],
    ) -> _Delivery:
        conditions = {condition for s in subscriptions for condition in s.request.conditions}
        rendered = await render(connection, table, [*(c.new for c in changes), *(c.old for c in changes)], conditions)
        rows = list(zip(rendered[: len(changes)], rendered[len(changes) :], strict=True))
        delivery = cls(table, changes, rows, subscriptions)
        await delivery._ask_row_security(connection)
        return delivery

    async def _ask_row_security(self, connection: Connection) -> None:
        """Ask once for each token and row, however many subscriptions the token has."""
        if not self._table.row_security:
            return
        wanted: dict[str, set[int]] = defaultdict(set)
        for number, change in enumerate(self._changes):
            if change.kind is ChangeKind.DELETE:
                continue
            for subscription in self._subscriptions:
                role = subscription.channel.identity.role
                if self._error(change, role) is None and self._passes_filter(subscription, number):
                    wanted[subscription.channel.identity.claims].add(number)
        readers_of: dict[tuple[int, ...], list[str]] = defaultdict(list)
        for claims, numbers in wanted.items():
            readers_of[tuple(sorted(numbers))].append(claims)
        for ordered, readers in readers_of.items():
            keys = [[self._changes[number].new.get(column.name) for column in self._table.key] for number in ordered]
            found = await visible(connection, self._table, keys, readers)
            self._visible.update((claims, ordered[item]) for claims, item in found)

    def events(self, number: int) -> list[Event]:
        ids: dict[tuple[Channel, str], list[int]] = defaultdict(list)
        texts: dict[tuple[str, frozenset[str] | None], str] = {}
        for subscription in self._subscriptions:
            channel = subscription.channel
            if not self._concerns(subscription, number):
                continue
            variant = (channel.identity.role, subscription.request.columns)
            if variant not in texts:
                texts[variant] = self._data(number, *variant)
            of_channel = ids[channel, texts[variant]]
            if subscription.id not in of_channel:
                of_channel.append(subscription.id)
        return [Event(channel, tuple(numbers), data) for (channel, data), numbers in ids.items()]

    def _concerns(self, subscription: Subscription, number: int) -> bool:
        change, identity = self._changes[number], subscription.channel.identity
        if not self._passes_request(subscription, change):
            return False
        if self._error(change, identity.role) is not None:
            return True
        if not self._passes_filter(subscription, number):
            return False
        if change.kind is ChangeKind.DELETE or not self._table.row_security:
            return True
        return (identity.claims, number) in self._visible

    def _passes_request(self, subscription: Subscription, change: RowChange) -> bool:
        request = subscription.request
        return request.wants(change.kind) and request.covers(change.relation.schema, change.relation.name)

    def _passes_filter(self, subscription: Subscription, number: int) -> bool:
        change = self._changes[number]
        new, old = self._rows[number]
        row = old if change.kind is ChangeKind.DELETE else new
        return self._passes_request(subscription, change) and row.met.issuperset(subscription.request.conditions)

    def _error(self, change: RowChange, role: str) -> str | None:
        """Why the role can't be served at all, which its subscribers are told instead of the record."""
        if change.kind is ChangeKind.DELETE:
            return None
        if not self._table.key:
            return NO_PRIMARY_KEY
        if any(role not in column.readers for column in self._table.key):
            return KEY_NOT_READABLE
        return None

    def _data(self, number: int, role: str, selected: frozenset[str] | None) -> str:
        change = self._changes[number]
        error = self._error(change, role)
        if error is not None:
            return self._envelope(change, [], [error], record="{}", old_record="{}")
        columns = [
            column
            for column in self._table.columns.values()
            if role in column.readers and (selected is None or column.name in selected or column.is_key)
        ]
        new, old = self._rows[number]
        too_large = _size(new) + _size(old) > MAX_RECORD_BYTES
        old_columns = columns
        if change.kind is ChangeKind.DELETE and self._table.row_security:
            # Nobody can be asked any more who may see the row; its key gives nothing away.
            old_columns = [column for column in columns if column.is_key]
        return self._envelope(
            change,
            columns,
            [RECORD_TOO_LARGE] if too_large else None,
            record=_record(new, columns, too_large),
            old_record=_record(old, old_columns, too_large),
        )

    def _envelope(
        self,
        change: RowChange,
        columns: Iterable[Column],
        errors: Collection[str] | None,
        *,
        record: str,
        old_record: str,
    ) -> str:
        milliseconds = change.committed_at.microsecond // 1000
        parts = [
            f'"schema":{to_json(change.relation.schema)}',
            f'"table":{to_json(change.relation.name)}',
            f'"type":"{change.kind.value}"',
            f'"commit_timestamp":"{change.committed_at:%Y-%m-%dT%H:%M:%S}.{milliseconds:03d}Z"',
            f'"columns":{to_json([{"name": c.name, "type": c.short_type} for c in columns])}',
            f'"errors":{to_json(errors)}',
        ]
        if change.kind is not ChangeKind.DELETE:
            parts.append(f'"record":{record}')
        if change.kind is not ChangeKind.INSERT:
            parts.append(f'"old_record":{old_record}')
        return f"{{{','.join(parts)}}}"


def _size(row: Row) -> int:
    return sum(len(value) for value in row.values.values())


def _record(row: Row, columns: Iterable[Column], too_large: bool) -> str:
    members = (
        f"{to_json(column.name)}:{row.values[column.name]}"
        for column in columns
        if column.name in row.values and not (too_large and len(row.values[column.name]) > KEPT_VALUE_BYTES)
    )
    return f"{{{','.join(members)}}}"
