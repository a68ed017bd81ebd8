"""Joined channels whose news a test can wait for, one after the other."""

from __future__ import annotations

import asyncio
from typing import Any, Literal
from uuid import uuid4

from realtime import AsyncRealtimeChannel, AsyncRealtimeClient
from realtime.types import RealtimePostgresChangesListenEvent, RealtimeSubscribeStates

from tests.support import World

PATIENCE_SECONDS = 30.0
Event = Literal["*", "INSERT", "UPDATE", "DELETE"]


class News:
    """What a callback was told, in order."""

    def __init__(self, about: str) -> None:
        self._about = about
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def __call__(self, *told: Any) -> None:
        self._queue.put_nowait(told[0] if len(told) == 1 else told)

    async def next(self) -> Any:
        try:
            return await asyncio.wait_for(self._queue.get(), PATIENCE_SECONDS)
        except TimeoutError:
            raise AssertionError(f"no {self._about} within {PATIENCE_SECONDS:g} s") from None

    def so_far(self) -> list[Any]:
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]


class Listener:
    """One channel of supabase-py's realtime client, with its states, changes and broadcasts."""

    def __init__(self, client: AsyncRealtimeClient, topic: str, **config: Any) -> None:
        self.client = client
        settled: Any = {
            "private": False,
            "broadcast": {"ack": False, "self": False},
            "presence": {"key": "", "enabled": False},
            **config,
        }
        self.channel: AsyncRealtimeChannel = client.channel(topic, {"config": settled})
        self.states = News("state of the channel")
        self.flowing = News("confirmation that changes flow")
        self.changes = News("change")
        self.broadcasts = News("broadcast")
        self.presence = News("change of presence")
        self.channel.on_system(self.flowing)
        self.channel.on_broadcast("*", self.broadcasts)
        if settled["presence"]["enabled"]:
            self.channel.on_presence_sync(lambda: self.presence(None))

    def watching(self, table: str, *, event: Event = "*", filter: str | None = None) -> Listener:
        self.channel.on_postgres_changes(
            RealtimePostgresChangesListenEvent(event),
            lambda payload: self.changes(payload["data"]),
            table=table,
            schema="public",
            filter=filter,
        )
        return self

    async def join(self) -> Listener:
        """Subscribe, and wait until changes flow where changes were asked for."""
        await self.channel.subscribe(self.states)
        state, error = await self.states.next()
        assert state is RealtimeSubscribeStates.SUBSCRIBED, error
        if self.channel.postgres_changes_callbacks:
            await self.flowing.next()
        return self

    async def refusal(self) -> str:
        """Subscribe, and the reason why that fails: in the answer, or afterwards."""
        await self.channel.subscribe(self.states)
        state, error = await self.states.next()
        if state is RealtimeSubscribeStates.SUBSCRIBED:
            state, error = await self.states.next()
        assert state is RealtimeSubscribeStates.CHANNEL_ERROR
        return str(error)


class Listeners:
    """Opens a connection for each listener, and closes all of them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._clients: list[AsyncRealtimeClient] = []

    async def client(self, token: str | None = None, *, key: str | None = None) -> AsyncRealtimeClient:
        """A connection as the bearer of `token`, or with an API key alone."""
        settings = self._world.settings
        client = AsyncRealtimeClient(
            f"{settings.require('supabase_url')}/realtime/v1", key or settings.require("publishable_key")
        )
        if token is not None:
            await client.set_auth(token)
        self._clients.append(client)
        return client

    async def of(self, name: str, topic: str | None = None, **config: Any) -> Listener:
        """A listener that the user of that name holds; it has still to join."""
        user = await self._world.user(name)
        return Listener(await self.client(user.access_token), topic or f"t-{uuid4()}", **config)

    async def close(self) -> None:
        for client in self._clients:
            for channel in client.get_channels():
                channel.rejoin_timer.reset()
                channel.join_push.destroy()
                for push in channel.messages_waiting_for_ack.values():
                    push.destroy()
            await client.close()
