"""The server as the gateway mounts it: its routes, and everything that runs behind them."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import psycopg
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from qero.local.keys import Keys
from qero.local.realtime.capture import Capture
from qero.local.realtime.changes import ChangeFeed
from qero.local.realtime.channels import Hub
from qero.local.realtime.connection import GOING_AWAY, Connection
from qero.local.realtime.database import Database
from qero.local.realtime.identity import verify
from qero.local.realtime.rest import BroadcastEndpoints
from qero.local.realtime.session import Backend, Session

log = logging.getLogger(__name__)

PREFIX = "/realtime/v1"
PURGE_EVERY_SECONDS = 60
CLOSE_SECONDS = 3.0

PURGE_MESSAGES = """
delete from realtime.messages
 where id in (select id from realtime.messages
               where inserted_at < timezone('utc', now()) - interval '1 hour' limit 5000)
"""


class Realtime:
    """A local look-alike of Supabase Realtime: broadcast, presence, private channels, postgres_changes.

    It speaks to the official clients as hosted does and decides with the database's own policies. It has no
    tenants, no replay of missed broadcasts, and of hosted's limits only those clients react to.
    """

    def __init__(self, *, dsn: str, keys: Keys) -> None:
        self._keys = keys
        self._database = Database(dsn)
        self._hub = Hub()
        self._feed = ChangeFeed(self._database, self._hub)
        self._capture = Capture(dsn, self._hub, self._feed, on_loss=self._rejoin_database_channels)
        self._backend = Backend(keys, self._database, self._hub, self._capture)
        self._sessions: dict[Session, asyncio.Event] = {}
        self._purge: asyncio.Task[None] | None = None

    @property
    def routes(self) -> list[BaseRoute]:
        broadcast = BroadcastEndpoints(self._backend)
        return [
            WebSocketRoute(f"{PREFIX}/websocket", self._serve_websocket),
            Route(f"{PREFIX}/api/broadcast", broadcast.batch, methods=["POST"]),
            Route(
                f"{PREFIX}/api/broadcast/{{topic:path}}/events/{{event:path}}",
                broadcast.single,
                methods=["POST"],
            ),
        ]

    async def start(self) -> None:
        """Start capturing changes; on return nothing committed from now on is missed.

        Raises:
            CaptureError: the database can't be reached, or isn't set up for capturing changes.
        """
        await self._capture.start()
        self._feed.start()
        self._purge = asyncio.create_task(self._purge_messages(), name="realtime purge")

    async def stop(self) -> None:
        """Disconnect everybody, end what runs, drop the slot.

        Channels are not closed one by one: clients take that for an end that is meant for good, while one
        connection lost makes them come back when the server does.
        """
        closed = [event.wait() for event in self._sessions.values()]
        for session in self._sessions:
            session.disconnect(GOING_AWAY)
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*closed), CLOSE_SECONDS)
        if self._purge is not None:
            self._purge.cancel()
            await asyncio.wait({self._purge})
        await self._feed.stop()
        await self._capture.stop()
        await self._database.close()

    async def _serve_websocket(self, websocket: WebSocket) -> None:
        key = websocket.headers.get("x-api-key") or websocket.query_params.get("apikey")
        if key is None or self._keys.role_of_api_key(key) is None:
            message = "API key is missing" if key is None else "Invalid API key"
            await websocket.send_denial_response(JSONResponse({"error": message}, 401))
            return
        session = Session(self._backend, Connection(websocket), verify(self._keys, key))
        self._sessions[session] = asyncio.Event()
        try:
            await session.serve()
        finally:
            self._sessions.pop(session).set()

    def _rejoin_database_channels(self) -> None:
        """Make clients that may have missed something join again, and so catch up.

        Channels that only pass messages between clients have missed nothing and stay.
        """
        for channel in self._hub.channels():
            if channel.config.private or channel.config.change_specs:
                channel.client.fail(channel)

    async def _purge_messages(self) -> None:
        """Keep realtime.messages small: what was broadcast is of no further use here."""
        while True:
            try:
                async with self._database.connection() as connection:
                    while (await connection.execute(PURGE_MESSAGES)).rowcount > 0:
                        pass
            except psycopg.Error as error:
                log.warning("old messages could not be deleted: %s", error)
            await asyncio.sleep(PURGE_EVERY_SECONDS)
