"""A proxy in front of the stack that does to connections what networks do."""

from __future__ import annotations

import asyncio
import contextlib
import random
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

CHUNK = 65536
NEWS = (b'"event":"broadcast"', b'"event":"postgres_changes"')


@dataclass(eq=False)
class _Connection:
    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    frozen: bool = False
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def cut(self) -> None:
        self.near.transport.abort()
        self.far.transport.abort()


class Weather:
    """Passes everything on, until told otherwise. News on websockets can be dropped, doubled and delayed, too."""

    def __init__(self, target: str, *, seed: int = 0) -> None:
        parts = urlsplit(target)
        self._target = (str(parts.hostname), int(parts.port or 80))
        self._chance = random.Random(seed)
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.drop = 0.0
        self.double = 0.0
        self.delay_seconds = 0.0
        self.answers_nothing = False
        self.dropped = 0
        self.doubled = 0

    @classmethod
    @contextlib.asynccontextmanager
    async def over(cls, target: str, *, seed: int = 0) -> AsyncIterator[Self]:
        weather = cls(target, seed=seed)
        await weather.clear_up()
        try:
            yield weather
        finally:
            await weather.go_away()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def connections(self) -> int:
        return len(self._connections)

    async def clear_up(self) -> None:
        """Everything works again; what was broken stays broken until it is opened anew."""
        self.drop = self.double = self.delay_seconds = 0.0
        self.answers_nothing = False
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def go_away(self) -> None:
        """Nobody answers any more, and open connections are lost."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        while self._connections:
            await asyncio.gather(*(task for c in self._connections for task in c.tasks), return_exceptions=True)
            await asyncio.sleep(0)

    def cut(self) -> None:
        """Open connections are lost."""
        for connection in list(self._connections):
            connection.cut()

    def half_open(self) -> None:
        """Open connections stay open, and nothing comes through them any more."""
        for connection in self._connections:
            connection.frozen = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection(writer, far_writer, frozen=self.answers_nothing)
        self._connections.add(connection)
        connection.tasks = {
            asyncio.create_task(self._upwards(reader, connection)),
            asyncio.create_task(self._downwards(far_reader, connection)),
        }
        try:
            await asyncio.wait(connection.tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            connection.cut()
            await asyncio.wait(connection.tasks)
            self._connections.discard(connection)

    async def _upwards(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                # Without compression the frames that come back can be told apart.
                data = data.replace(b"Sec-WebSocket-Extensions:", b"X-Unused-----------------:")
                if not connection.frozen:
                    connection.far.write(data)
                    await connection.far.drain()

    async def _downwards(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        frames = False
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                data = await self._frame(reader) if frames else await reader.read(CHUNK)
                if not data:
                    return
                copies = 1
                if frames and any(mark in data for mark in NEWS):
                    if self._chance.random() < self.drop:
                        copies = 0
                        self.dropped += 1
                    elif self._chance.random() < self.double:
                        copies = 2
                        self.doubled += 1
                    await asyncio.sleep(self._chance.random() * self.delay_seconds)
                if not connection.frozen:
                    connection.near.write(data * copies)
                    await connection.near.drain()
                frames = frames or data.startswith(b"HTTP/1.1 101")

    async def _frame(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readexactly(2)
        size = head[1] & 0x7F
        if size == 126:
            head += await reader.readexactly(2)
            [size] = struct.unpack("!H", head[2:])
        elif size == 127:
            head += await reader.readexactly(8)
            [size] = struct.unpack("!Q", head[2:])
        return head + await reader.readexactly(size)
