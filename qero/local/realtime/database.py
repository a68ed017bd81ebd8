"""The realtime server's own connections to Postgres."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg import pq

log = logging.getLogger(__name__)

Connection = psycopg.AsyncConnection[tuple[Any, ...]]

SESSION_OPTIONS = {
    # Values travel as text from the log back into a cast: every session has to spell them alike.
    "timezone": "UTC",
    "datestyle": "ISO,YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    # Policies and the operators of extension types are found the way migrations find them.
    "search_path": "public,extensions",
    # A policy that takes longer hides its row instead of holding up everybody's changes.
    "statement_timeout": "10s",
    # Each read of a slot writes four lines to the server's log at level LOG otherwise.
    "log_min_messages": "fatal",
    "application_name": "qero_realtime",
}
CONNECT_TIMEOUT_SECONDS = 5


async def connect(dsn: str) -> Connection:
    options = " ".join(f"-c {name}={value}" for name, value in SESSION_OPTIONS.items())
    connection = await psycopg.AsyncConnection.connect(
        dsn, autocommit=True, options=options, connect_timeout=CONNECT_TIMEOUT_SECONDS
    )
    connection.add_notice_handler(_log_warning)
    return connection


def _log_warning(notice: psycopg.errors.Diagnostic) -> None:
    if notice.severity_nonlocalized == "WARNING":
        log.warning("%s", notice.message_primary)


class Database:
    """A few connections, opened when first needed and shared by everything that asks the database."""

    def __init__(self, dsn: str, *, size: int = 3) -> None:
        self._dsn = dsn
        self._free: list[Connection] = []
        self._slots = asyncio.Semaphore(size)
        self._closed = False

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """
        Raises:
            psycopg.OperationalError: the database can't be reached.
        """
        async with self._slots:
            connection = await self._idle_connection() or await connect(self._dsn)
            try:
                yield connection
            finally:
                idle = connection.info.transaction_status is pq.TransactionStatus.IDLE
                if connection.closed or self._closed or not idle:
                    await connection.close()
                else:
                    self._free.append(connection)

    async def close(self) -> None:
        self._closed = True
        while self._free:
            await self._free.pop().close()

    async def _idle_connection(self) -> Connection | None:
        while self._free:
            connection = self._free.pop()
            try:
                # After a restart of Postgres idle connections are dead without knowing it.
                await connection.execute("")
            except psycopg.OperationalError:
                await connection.close()
            else:
                return connection
        return None
