"""`qero serve`: the HTTP routes."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Annotated

import typer

from qero.cli import app
from qero.errors import InvalidInput, QeroError
from qero.logs import get_logger
from qero.settings import Settings

# Longer than any request takes; somebody who never sends the rest of one doesn't keep the server from ending.
SHUTDOWN_SECONDS = 20

log = get_logger("qero.http")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 takes a free one.")] = 8000,
) -> None:
    """Serve the HTTP routes: Meta's webhook, replying, and connecting numbers.

    Needs SUPABASE_URL, both keys, META_APP_SECRET and META_VERIFY_TOKEN. Ends gracefully on SIGTERM.
    """
    try:
        import uvicorn

        from qero.http import create_app
    except ModuleNotFoundError as error:
        raise QeroError(
            "tool_missing", f"Serving needs {error.name}.", hint="Run `pip install 'qero[http]'`."
        ) from error

    class Server(uvicorn.Server):
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            # uvicorn's own raises the signal again when it has finished, and the process would end by it.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self.handle_exit)
            yield

    routes = create_app(Settings.load())
    with _listen(host, port) as listener:
        server = Server(
            uvicorn.Config(routes, log_level="warning", access_log=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS)
        )
        log.info("serving", host=host, port=listener.getsockname()[1])
        server.run(sockets=[listener])
    if not server.started:
        raise QeroError("internal_error", "The server ended while starting; its log says why.")


def _listen(host: str, port: int) -> socket.socket:
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise InvalidInput(
            "invalid_value", "The address to listen on isn't known.", detail={"field": "host", "host": host}
        ) from error
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise QeroError(
            "port_in_use",
            f"{host}:{port} can't be listened on ({error.strerror}).",
            detail={"host": host, "port": port},
        ) from error
    return listener
