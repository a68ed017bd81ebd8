"""Watching a table through realtime, without the gap between "subscribed" and "changes flow".

This is for tables of low traffic: every change is checked against row security once per subscriber.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal
from uuid import uuid4

from realtime import AsyncRealtimeClient
from realtime.types import RealtimePostgresChangesListenEvent, RealtimeSubscribeStates

from qero.clients.factory import UserClient
from qero.errors import Unavailable
from supabase import AsyncClient

JOIN_SECONDS = 10.0
# The client gives up for good after this many attempts; outages are longer than its default of five allows.
RECONNECT_ATTEMPTS = 10_000


class TableChanges:
    """Changes of one table, in commit order, as `{"type", "table", "record", "old_record", …}`."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        return await self._queue.get()

    async def next(self, timeout: float) -> dict[str, Any] | None:
        """The next change, or None when none arrives within `timeout` seconds."""
        try:
            return await asyncio.wait_for(self._queue.get(), timeout)
        except TimeoutError:
            return None

    def put(self, payload: Any) -> None:
        self._queue.put_nowait(payload["data"])


@contextlib.asynccontextmanager
async def watch_table(
    client: AsyncClient,
    table: str,
    *,
    filter: str | None = None,
    event: Literal["*", "INSERT", "UPDATE", "DELETE"] = "*",
    schema: str = "public",
) -> AsyncIterator[TableChanges]:
    """Receive what the client may see of a table's changes, from the moment the block is entered.

    Every change committed after entering is delivered: the block starts only once the server has confirmed that
    changes flow, which is later than the client library's SUBSCRIBED.

    Args:
        filter: for example `thread_id=eq.<uuid>`.

    Raises:
        Unavailable: `realtime_unavailable`, with the server's reason.
    """
    realtime = AsyncRealtimeClient(str(client.realtime_url), client.supabase_key, max_retries=RECONNECT_ATTEMPTS)
    if isinstance(client, UserClient):
        await realtime.set_auth(client.access_token)
    changes = TableChanges()
    flowing: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_system(_: Any) -> None:
        if not flowing.done():
            flowing.set_result(None)

    def on_state(state: RealtimeSubscribeStates, error: Exception | None) -> None:
        # A refusal comes here, whether of the channel or, later, of the table.
        if state is not RealtimeSubscribeStates.SUBSCRIBED and not flowing.done():
            flowing.set_exception(Unavailable("realtime_unavailable", detail={"reason": str(error or state.value)}))

    channel = realtime.channel(f"{table}:{uuid4()}")
    channel.on_system(on_system)
    channel.on_postgres_changes(
        RealtimePostgresChangesListenEvent(event), changes.put, table=table, schema=schema, filter=filter
    )
    try:
        try:
            await channel.subscribe(on_state)
            await asyncio.wait_for(asyncio.shield(flowing), JOIN_SECONDS)
        except TimeoutError as error:
            raise Unavailable(
                "realtime_unavailable", detail={"reason": f"no confirmation within {JOIN_SECONDS:g} s"}
            ) from error
        except OSError as error:
            raise Unavailable("realtime_unavailable", detail={"reason": str(error)}) from error
        yield changes
    finally:
        flowing.cancel()
        await realtime.close()
