"""A channel of realtime on a connection of its own, until the first thing that goes wrong with it.

The client library reconnects and rejoins by itself, and in doing so gives up silently, notices a dead connection late
and confuses a channel with its successor. Here nothing is repaired: whoever needs a channel again opens another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient
from realtime.types import RealtimePostgresChangesListenEvent, RealtimeSubscribeStates
from websockets.exceptions import WebSocketException

from qero.clients.factory import UserClient
from qero.errors import Unavailable

CLOSE_SECONDS = 1.0

# What goes wrong is told by the errors; without a handler of the application's it would be printed as well.
logging.getLogger("realtime").addHandler(logging.NullHandler())

Receive = Callable[[str, Mapping[str, Any]], None]


class Channel:
    """A joined channel. What it receives goes to the function it was opened with."""

    def __init__(self, realtime: AsyncRealtimeClient, channel: AsyncRealtimeChannel) -> None:
        self._realtime = realtime
        self._channel = channel

    async def renew(self, access_token: str) -> None:
        """Go on with another token, before the one in use expires."""
        with _as_unavailable():
            await self._realtime.set_auth(access_token)

    async def track(self, payload: Mapping[str, Any]) -> None:
        """Be present, until the channel ends."""
        with _as_unavailable():
            await self._channel.track(dict(payload))

    def present(self) -> frozenset[str]:
        """The keys of those who are present."""
        return frozenset(self._channel.presence_state())


@contextlib.asynccontextmanager
async def open_channel(
    client: UserClient,
    topic: str,
    receive: Receive,
    on_broken: Callable[[Unavailable], None],
    *,
    private: bool = False,
    presence_key: str | None = None,
    table: tuple[str, str] | None = None,
    join_seconds: float,
    quiet_seconds: float,
) -> AsyncIterator[Channel]:
    """Join a channel; inside the block, what is committed reaches `receive`, and `on_broken` is told at most once.

    Args:
        receive: called with `broadcast` and its payload, `change` and a table's change, or `presence`.
        on_broken: called when the channel can't be relied on any more, for whatever reason.
        presence_key: what one is present as; None asks for no presence.
        table: a table's name and the filter of its rows, where its changes are wanted.
        quiet_seconds: after so long without news the far end is asked for a sign of life, for as long again.

    Raises:
        Unavailable: `realtime_unavailable`, with the server's reason.
    """
    realtime = AsyncRealtimeClient(
        str(client.realtime_url), client.supabase_key, auto_reconnect=False, max_retries=1,
        timeout=max(1, round(join_seconds)),
    )  # fmt: skip
    await realtime.set_auth(client.access_token)
    loop = asyncio.get_running_loop()
    joined: asyncio.Future[None] = loop.create_future()
    heard_at = loop.time()
    ended = False

    def break_off(reason: str) -> None:
        nonlocal ended
        error = Unavailable("realtime_unavailable", detail={"reason": reason})
        if not joined.done():
            joined.set_exception(error)
        elif not ended:
            ended = True
            on_broken(error)

    def hear(kind: str, payload: Mapping[str, Any]) -> None:
        nonlocal heard_at
        heard_at = loop.time()
        if not ended:
            receive(kind, payload)

    def on_state(state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if state is not RealtimeSubscribeStates.SUBSCRIBED:
            break_off(str(error or state.value))
        elif table is None and not joined.done():
            joined.set_result(None)

    def on_system(_: Any) -> None:
        # SUBSCRIBED comes before a table's changes flow; this says that they do.
        if not joined.done():
            joined.set_result(None)

    def on_deaf(listening: asyncio.Task[None]) -> None:
        # The client says nothing where its own handling of a lost connection fails.
        if not listening.cancelled():
            break_off(f"the connection ended: {listening.exception()}")

    async def watch() -> None:
        nonlocal heard_at
        while not ended:
            quiet_for = loop.time() - heard_at
            if quiet_for < quiet_seconds:
                await asyncio.sleep(quiet_seconds - quiet_for)
                continue
            connection = realtime._ws_connection
            try:
                async with asyncio.timeout(quiet_seconds):
                    if connection is None:
                        raise ConnectionError
                    await (await connection.ping())
                heard_at = loop.time()
            except (TimeoutError, OSError, WebSocketException):
                break_off(f"no sign of life for {2 * quiet_seconds:g} s")

    channel = realtime.channel(
        topic,
        {
            "config": {
                "private": private,
                "broadcast": {"ack": False, "self": False},
                "presence": {"key": presence_key or "", "enabled": presence_key is not None},
            }
        },
    )
    if table is None:
        channel.on_broadcast("*", lambda payload: hear("broadcast", payload))
    else:
        channel.on_system(on_system)
        channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent.All,
            lambda payload: hear("change", payload["data"]),
            table=table[0], schema="public", filter=table[1],
        )  # fmt: skip
    if presence_key is not None:
        channel.on_presence_sync(lambda: hear("presence", {}))
    watching: asyncio.Task[None] | None = None
    try:
        try:
            async with asyncio.timeout(join_seconds):
                await realtime.connect()
                if realtime._listen_task is not None:
                    realtime._listen_task.add_done_callback(on_deaf)
                await channel.subscribe(on_state)
                await joined
        except TimeoutError as error:
            reason = f"no confirmation within {join_seconds:g} s"
            raise Unavailable("realtime_unavailable", detail={"reason": reason}) from error
        except (OSError, WebSocketException) as error:
            raise Unavailable("realtime_unavailable", detail={"reason": str(error)}) from error
        watching = asyncio.create_task(watch(), name=f"liveness of {topic}")
        yield Channel(realtime, channel)
    finally:
        refused = joined.done() and joined.exception() is not None
        polite = joined.done() and not refused and not ended
        ended = True
        await _end(realtime, channel, watching, polite=polite)


@contextlib.contextmanager
def _as_unavailable() -> Any:
    try:
        yield
    except (OSError, WebSocketException) as error:
        raise Unavailable("realtime_unavailable", detail={"reason": str(error)}) from error


async def _end(
    realtime: AsyncRealtimeClient, channel: AsyncRealtimeChannel, watching: asyncio.Task[None] | None, *, polite: bool
) -> None:
    """Close the connection and end every task of it; the client's own `close` leaves timers running."""
    connection = realtime._ws_connection
    pushes = [channel.join_push, *channel.messages_waiting_for_ack.values(), *channel._push_buffer]
    tasks = {
        task
        for task in (
            watching, realtime._listen_task, realtime._heartbeat_task, channel.rejoin_timer.timer,
            *(push.timeout_task for push in pushes), *channel._background_tasks,
        )
        if task is not None
    }  # fmt: skip
    if connection is not None:
        # Closing waits for the other side's answer, which doesn't come from a dead one.
        if polite:
            with contextlib.suppress(TimeoutError, OSError, WebSocketException):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await realtime.close()
        connection.transport.abort()
    with contextlib.suppress(OSError, WebSocketException):
        await realtime.close()
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_SECONDS)
