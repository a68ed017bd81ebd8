"""Hears from the database that something was queued, where there is a direct connection to it."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import stamina

from qero.errors import SettingsError
from qero.logs import get_logger

CHANNEL = "qero_outbox"

log = get_logger("qero.worker")


async def listen(db_url: str, wake: asyncio.Event) -> None:
    """Set `wake` whenever something is queued, until cancelled.

    Needs a direct connection: behind a transaction pooler nothing is heard, and the worker's own looking has to do,
    as it does while a broken connection is being made anew.

    Raises:
        SettingsError: `setting_invalid`, the address can't be read.
    """
    while True:
        async for attempt in stamina.retry_context(on=psycopg.OperationalError, attempts=None, timeout=None):
            with attempt:
                try:
                    connection = await psycopg.AsyncConnection.connect(db_url, autocommit=True, connect_timeout=5)
                except psycopg.ProgrammingError:
                    # Its words may quote the address, and so the password.
                    raise SettingsError("setting_invalid", detail={"setting": "SUPABASE_DB_URL"}) from None
        with contextlib.suppress(psycopg.OperationalError):
            async with connection:
                await connection.execute(f"listen {CHANNEL}")
                wake.set()  # what was queued before is due too
                async for _ in connection.notifies():
                    wake.set()
        log.warning("wake_up_lost")
