"""`qero serve`: the HTTP routes."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from qero.cli import app
from qero.errors import InvalidInput, QeroError
from qero.logs import get_logger
from qero.settings import Settings

log = get_logger("qero.http")


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, envvar="PORT", help="The port to listen on; 0 takes a free one.")
    ] = 8000,
    workers: Annotated[
        int, typer.Option(min=1, max=256, envvar="WEB_CONCURRENCY", help="How many processes; one uses one core.")
    ] = 1,
) -> None:
    """Serve the HTTP routes: contacts, follow-ups, chat, ops, replying, connecting numbers, and Meta's webhook.

    Needs SUPABASE_URL, both keys, META_APP_SECRET and META_VERIFY_TOKEN. Ends gracefully on SIGTERM: what is under way
    is answered first. docs/http.md has the routes and the settings.
    """
    try:
        from qero.http import create_app, server
    except ModuleNotFoundError as error:
        raise QeroError(
            "tool_missing", f"Serving needs {error.name}.", hint="Run `pip install 'qero[http]'`."
        ) from error

    routes = create_app(Settings.load())
    with _listen(host, port) as listener:
        log.info("serving", host=host, port=listener.getsockname()[1], workers=workers)
        if workers == 1:
            server.serve(routes, listener)
        else:
            verbose = bool(context.parent and context.parent.params["verbose"])
            server.serve_in_processes(listener, workers, verbose=verbose)


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
            hint="Free it, or choose another with --port; 0 takes a free one.",
        ) from error
    return listener
