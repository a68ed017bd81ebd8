"""Watching a table through realtime, without the gap between "subscribed" and "changes flow".

This is for tables of low traffic: every change is checked against row security once per subscriber.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Literal
from uuid import uuid4

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient
from realtime.types import RealtimePostgresChangesListenEvent, RealtimeSubscribeStates
from supabase import AsyncClient
from websockets.exceptions import WebSocketException

from qero.clients.factory import UserClient
from qero.errors import Unavailable

JOIN_SECONDS = 10
# The client gives up for good after this many attempts; outages are longer than its default of five allows.
RECONNECT_ATTEMPTS = 10_000


class TableChanges:
    """Changes of one table, in commit order, as `{"type", "table", "record", "old_record", …}`.

    A lost connection is opened again by itself; what is committed meanwhile is not delivered. Once the server has
    closed the channel for good (most often because the token expired), what was received before is still handed out.
    """

    def __init__(self) -> None:
        self._queue: asyncio.Queue[dict[str, Any] | Unavailable] = asyncio.Queue()

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]:
        return self

    async def __anext__(self) -> dict[str, Any]:
        """
        Raises:
            Unavailable: `realtime_unavailable`, the server closed the channel.
        """
        change = await self._queue.get()
        if isinstance(change, Unavailable):
            self._queue.put_nowait(change)
            raise change
        return change

    async def next(self, timeout: float) -> dict[str, Any] | None:
        """The next change, or None when none arrives within `timeout` seconds.

        Raises:
            Unavailable: `realtime_unavailable`, the server closed the channel.
        """
        try:
            return await asyncio.wait_for(anext(self), timeout)
        except TimeoutError:
            return None

    def put(self, payload: Any) -> None:
        self._queue.put_nowait(payload["data"])

    def end(self, error: Unavailable) -> None:
        self._queue.put_nowait(error)


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
    # The first connection is tried once: whoever calls decides whether to repeat.
    realtime = AsyncRealtimeClient(str(client.realtime_url), client.supabase_key, max_retries=1, timeout=JOIN_SECONDS)
    if isinstance(client, UserClient):
        await realtime.set_auth(client.access_token)
    changes = TableChanges()
    flowing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    reason = ""

    def on_system(_: Any) -> None:
        if not flowing.done():
            flowing.set_result(None)

    def on_state(state: RealtimeSubscribeStates, error: Exception | None) -> None:
        # A refusal comes here, whether of the channel or, later, of the table. A closing comes after its reason.
        nonlocal reason
        if state is RealtimeSubscribeStates.SUBSCRIBED:
            return
        reason = str(error or reason or state.value)
        if not flowing.done():
            flowing.set_exception(_unavailable(reason))
        elif state is RealtimeSubscribeStates.CLOSED:
            changes.end(_unavailable(reason))

    channel = realtime.channel(f"{table}:{uuid4()}")
    channel.on_system(on_system)
    channel.on_postgres_changes(
        RealtimePostgresChangesListenEvent(event), changes.put, table=table, schema=schema, filter=filter
    )
    try:
        try:
            async with asyncio.timeout(JOIN_SECONDS):
                await realtime.connect()
                realtime.max_retries = RECONNECT_ATTEMPTS
                await channel.subscribe(on_state)
                await flowing
        except TimeoutError as error:
            raise _unavailable(f"no confirmation within {JOIN_SECONDS} s") from error
        except (OSError, WebSocketException) as error:
            raise _unavailable(str(error)) from error
        yield changes
    finally:
        await _close(realtime, channel)


def _unavailable(reason: str) -> Unavailable:
    return Unavailable("realtime_unavailable", detail={"reason": reason})


async def _close(realtime: AsyncRealtimeClient, channel: AsyncRealtimeChannel) -> None:
    """Close the connection and end every timer, which the client's own `close` leaves running."""
    channel.rejoin_timer.reset()
    for push in (channel.join_push, *channel.messages_waiting_for_ack.values()):
        push.destroy()
    await realtime.close()
    # Tasks that were cancelled end in the loop's next turn.
    await asyncio.sleep(0)
