"""Reads what the database commits, through a temporary logical replication slot.

The slot is polled with SQL: no driver this project uses speaks the replication protocol, and an empty poll
costs less than a millisecond.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress

import psycopg

from qero.local.realtime.changes import ChangeFeed, RowChange
from qero.local.realtime.channels import Hub
from qero.local.realtime.database import Connection, connect
from qero.local.realtime.pgoutput import (
    Begin,
    Change,
    ChangeKind,
    Message,
    Relation,
    decode,
    old_values,
    values_by_column,
)
from qero.local.realtime.protocol import UserBroadcast

log = logging.getLogger(__name__)

CHANGES_PUBLICATION = "supabase_realtime"
MESSAGES_PUBLICATION = "supabase_realtime_messages_publication"
MESSAGES_TABLE = ("realtime", "messages")

BUSY_POLL_SECONDS = 0.02
IDLE_POLL_SECONDS = 0.05
IDLE_AFTER_EMPTY_POLLS = 250
# With nobody listening the slot only has to move on, so that Postgres can recycle its log.
UNHEARD_POLL_SECONDS = 0.25
MESSAGES_PER_POLL = 2000
"""Postgres stops at the end of the transaction that reaches this, never inside one."""
BYTES_PER_SNAPSHOT = 1024 * 1024
RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 5.0)
STOP_SECONDS = 5.0

READ_SLOT = """
select data from pg_logical_slot_get_binary_changes(
  %s, null, %s, 'proto_version', '1', 'publication_names', %s)
"""


class CaptureError(RuntimeError):
    """Changes can't be captured; the message says what to set right."""


class Capture:
    """Feeds committed rows to the change feed and rows of realtime.messages to the hub as broadcasts."""

    def __init__(self, dsn: str, hub: Hub, feed: ChangeFeed, *, on_loss: Callable[[], None]) -> None:
        self._dsn = dsn
        self._hub = hub
        self._feed = feed
        self._on_loss = on_loss
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.running = asyncio.Event()
        """Set while nothing that is committed can be missed."""

    async def start(self) -> None:
        """
        Raises:
            CaptureError: the database can't be reached, or isn't set up for capturing changes.
        """
        slot = await _Slot.create(self._dsn)
        self.running.set()
        self._task = asyncio.create_task(self._run(slot), name="realtime capture")

    async def stop(self) -> None:
        self._stopping.set()
        if self._task is None:
            return
        # Left to finish its poll the task can drop the slot; cancelled, it would lose its connection.
        await asyncio.wait({self._task}, timeout=STOP_SECONDS)
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    async def _run(self, slot: _Slot | None) -> None:
        while slot is not None:
            try:
                await self._read_until_stopped(slot)
                return
            except psycopg.Error as error:
                log.warning("change capture lost: %s", error)
                self.running.clear()
                self._on_loss()
            finally:
                await slot.drop()
            slot = await self._reconnect()
            self.running.set()

    async def _reconnect(self) -> _Slot | None:
        for seconds in itertools.chain(RETRY_SECONDS, itertools.repeat(RETRY_SECONDS[-1])):
            if await self._stopped_within(seconds):
                break
            try:
                slot = await _Slot.create(self._dsn)
            except CaptureError as error:
                log.warning("change capture not back yet: %s", error)
            else:
                log.warning("change capture is back")
                return slot
        return None

    async def _read_until_stopped(self, slot: _Slot) -> None:
        transactions = _Transactions()
        empty_polls = 0
        while True:
            data = [] if await slot.skip(lambda: self._hub.is_empty) else await slot.read()
            changes = list(transactions.changes(data))
            self._broadcast([change for change in changes if _is_message(change)])
            await self._feed.put([change for change in changes if not _is_message(change)])
            empty_polls = 0 if data else empty_polls + 1
            if self._stopping.is_set() or (not data and await self._stopped_within(self._pause(empty_polls))):
                return

    def _pause(self, empty_polls: int) -> float:
        if self._hub.is_empty:
            return UNHEARD_POLL_SECONDS
        return BUSY_POLL_SECONDS if empty_polls < IDLE_AFTER_EMPTY_POLLS else IDLE_POLL_SECONDS

    async def _stopped_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    def _broadcast(self, messages: Iterable[RowChange]) -> None:
        for message in messages:
            row = message.new
            topic, event, payload = row.get("topic"), row.get("event"), row.get("payload")
            if topic is None or event is None or payload is None or message.kind is not ChangeKind.INSERT:
                continue
            self._hub.broadcast(
                topic,
                UserBroadcast(event, payload, {"id": row.get("id")}),
                private=row.get("private") == "t",
            )


def _is_message(change: RowChange) -> bool:
    return (change.relation.schema, change.relation.name) == MESSAGES_TABLE


class _Slot:
    """A temporary slot and the one session it lives in."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._connection = connection
        self._name = name
        self._snapshot_at = "0/0"

    @classmethod
    async def create(cls, dsn: str) -> _Slot:
        try:
            connection = await connect(dsn)
        except psycopg.Error as error:
            raise CaptureError(f"Postgres can't be reached: {error}") from error
        name = f"qero_realtime_{uuid.uuid4().hex[:12]}"
        try:
            # Naming a publication that is missing would fail only at the first change.
            cursor = await connection.execute(
                "select pubname from pg_publication where pubname in (%s, %s)",
                (CHANGES_PUBLICATION, MESSAGES_PUBLICATION),
            )
            found = {row[0] for row in await cursor.fetchall()}
            missing = {CHANGES_PUBLICATION, MESSAGES_PUBLICATION} - found
            if missing:
                raise CaptureError(f"publication missing: {', '.join(sorted(missing))}")
            await connection.execute(
                "select pg_create_logical_replication_slot(%s, 'pgoutput', temporary => true)", (name,)
            )
            # Reading a very large transaction takes as long as it takes.
            await connection.execute("set statement_timeout = 0")
        except psycopg.Error as error:
            await connection.close()
            raise CaptureError(f"no replication slot to be had: {error}") from error
        except CaptureError:
            await connection.close()
            raise
        return cls(connection, name)

    async def read(self) -> list[bytes]:
        publications = f"{CHANGES_PUBLICATION},{MESSAGES_PUBLICATION}"
        cursor = await self._connection.execute(READ_SLOT, (self._name, MESSAGES_PER_POLL, publications), binary=True)
        return [row[0] for row in await cursor.fetchall()]

    async def skip(self, unheard: Callable[[], bool]) -> bool:
        """Pass over what is committed without decoding it, if nobody listens; False when somebody does."""
        if not unheard():
            return False
        cursor = await self._connection.execute(
            "select lsn::text, lsn - %s::pg_lsn > %s from pg_current_wal_flush_lsn() as lsn",
            (self._snapshot_at, BYTES_PER_SNAPSHOT),
        )
        [(end, is_far)] = await cursor.fetchall()
        # Asked again once the end is known: who has come since hears everything after that.
        if not unheard():
            return False
        if is_far:
            # Reading begins at the last snapshot in the log, and Postgres writes one every 15 seconds only.
            await self._connection.execute("select pg_log_standby_snapshot()")
            self._snapshot_at = end
        await self._connection.execute("select pg_replication_slot_advance(%s, %s::pg_lsn)", (self._name, end))
        return True

    async def drop(self) -> None:
        with suppress(psycopg.Error):
            await self._connection.execute("select pg_drop_replication_slot(%s)", (self._name,))
        await self._connection.close()


class _Transactions:
    """Joins the log's messages: which table a change is of, and when it was committed."""

    def __init__(self) -> None:
        self._relations: dict[int, Relation] = {}
        self._begin: Begin | None = None

    def changes(self, data: Iterable[bytes]) -> Iterable[RowChange]:
        for item in data:
            try:
                change = self._change(decode(item))
            except (ValueError, LookupError, ArithmeticError):
                log.exception("a change that can't be read was left out")
                continue
            if change is not None:
                yield change

    def _change(self, message: Message | None) -> RowChange | None:
        if isinstance(message, Begin):
            self._begin = message
        elif isinstance(message, Relation):
            self._relations[message.oid] = message
        elif isinstance(message, Change) and self._begin is not None:
            relation = self._relations[message.relation_oid]
            written = {} if message.new is None else values_by_column(relation, message.new)
            old = old_values(relation, message, written)
            # What an update didn't touch is as it was, as far as the log holds it.
            new = {**old, **written} if message.kind is ChangeKind.UPDATE else written
            return RowChange(message.kind, relation, new, old, self._begin.committed_at)
        return None
