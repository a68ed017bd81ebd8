"""One websocket: reading its frames, and sending to it without ever waiting for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from qero.local.realtime.protocol import BadFrame, Request, Version, decode_binary, decode_text

log = logging.getLogger(__name__)

MAX_BACKLOG_BYTES = 16 * 1024 * 1024
GOING_AWAY = 1001
TRY_AGAIN_LATER = 1013
CLOSE_SECONDS = 1.0


class Connection:
    """Sending only queues. A client that reads too slowly is disconnected once its queue is full: it can
    reconnect and fetch what it missed, while waiting for it would hold up everybody else."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._queue: asyncio.Queue[str | bytes] = asyncio.Queue()
        self._backlog = 0
        self._close_code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.version = Version.of(websocket.query_params.get("vsn"))

    def send(self, frame: str | bytes) -> None:
        if self._close_code.done():
            return
        self._backlog += len(frame)
        if self._backlog > MAX_BACKLOG_BYTES:
            log.warning("a client that reads too slowly was disconnected")
            self.close(TRY_AGAIN_LATER)
            return
        self._queue.put_nowait(frame)

    def close(self, code: int) -> None:
        if not self._close_code.done():
            self._close_code.set_result(code)

    async def serve(self, handle: Callable[[Request], Awaitable[None]]) -> None:
        """Serve the client until either side has enough. Frames are handled one after the other."""
        await self._websocket.accept()
        reader = asyncio.create_task(self._read(handle))
        writer = asyncio.create_task(self._write())
        try:
            ends: set[asyncio.Future[Any]] = {reader, writer, self._close_code}
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            reader.cancel()
            writer.cancel()
            await asyncio.wait({reader, writer})
            self._queue = asyncio.Queue()
        if self._close_code.done():
            with suppress(TimeoutError, RuntimeError, WebSocketDisconnect):
                await asyncio.wait_for(self._websocket.close(self._close_code.result()), CLOSE_SECONDS)
        self.close(GOING_AWAY)

    async def _read(self, handle: Callable[[Request], Awaitable[None]]) -> None:
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            try:
                request = decode_text(text) if text is not None else decode_binary(message["bytes"])
            except BadFrame as error:
                log.warning("a frame was ignored: %s", error)
                continue
            try:
                await handle(request)
            except Exception:
                log.exception("%s on %s failed", request.event, request.topic)

    async def _write(self) -> None:
        with suppress(RuntimeError, WebSocketDisconnect):
            while True:
                frame = await self._queue.get()
                if isinstance(frame, str):
                    await self._websocket.send_text(frame)
                else:
                    await self._websocket.send_bytes(frame)
                self._backlog -= len(frame)
