"""Serves an ASGI app inside a running event loop, on a socket that is open already."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Generator

import uvicorn
from starlette.types import ASGIApp

from qero.errors import QeroError

SHUTDOWN_SECONDS = 3


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Signals belong to whoever owns the event loop."""
        yield


def listen(port: int = 0) -> socket.socket:
    """A listening socket on 127.0.0.1; port 0 takes a free one.

    Raises:
        QeroError: `port_in_use`.
    """
    # Naming the protocol matters: asyncio switches Nagle's algorithm off (40 ms an answer) only where it is named.
    listener = socket.socket(proto=socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise QeroError("port_in_use", f"Port {port} is in use.", detail={"port": port}) from error
    listener.setblocking(False)
    return listener


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, listener: socket.socket) -> AsyncIterator[None]:
    """Serve `app` while the block runs; open requests get a moment to finish."""
    server = _Server(
        uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS)
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        while not server.started:
            if task.done():
                task.result()
                raise QeroError("stack_start_failed", "The HTTP server ended while starting.")
            await asyncio.sleep(0.005)
        yield
    finally:
        server.should_exit = True
        await task
