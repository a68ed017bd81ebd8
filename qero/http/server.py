"""Serves the routes on a socket: in this process, or in several of its own that share it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from functools import partial

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from qero.errors import QeroError
from qero.http.app import create_app
from qero.logs import configure_logs
from qero.memory import spare_what_is_loaded

# Longer than any request takes; somebody who never sends the rest of one doesn't keep the server from ending.
SHUTDOWN_SECONDS = 35
# With which uvicorn ends a process that could not begin to serve.
STARTUP_FAILURE = 3
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


class Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again when it has finished, and the process would end by it.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.handle_exit)
        yield


def serve(app: FastAPI, listener: socket.socket) -> None:
    """Serve in this process until SIGTERM or SIGINT; what is under way is answered first.

    Raises:
        QeroError: `internal_error`, it ended while starting.
    """
    server = Server(_config(app))
    spare_what_is_loaded()
    server.run(sockets=[listener])
    if not server.started:
        raise _not_started()


def serve_in_processes(listener: socket.socket, workers: int, *, verbose: bool) -> None:
    """Serve in so many processes that share the socket, as `serve` does. One that dies is replaced.

    Raises:
        QeroError: `internal_error`, one ended while starting.
    """
    with _shared_metrics():
        app = partial(_application, verbose)
        supervisor = Multiprocess(_config(app, factory=True, workers=workers), sockets=[listener])
        supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise _not_started()


def _not_started() -> QeroError:
    return QeroError("internal_error", "The server ended while starting; its log says why.")


def _config(app: object, *, factory: bool = False, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        factory=factory,
        workers=workers,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def _application(verbose: bool) -> FastAPI:
    """The application in a process of its own, which has inherited nothing but the environment."""
    configure_logs(verbose=verbose)
    app = create_app()
    spare_what_is_loaded()
    return app


@contextlib.contextmanager
def _shared_metrics() -> Iterator[None]:
    """Where the processes put what they measured, so that each answers for all of them."""
    if os.environ.get(METRICS_FOLDER):
        yield
        return
    os.environ[METRICS_FOLDER] = folder = tempfile.mkdtemp(prefix="qero-metrics-")
    try:
        yield
    finally:
        del os.environ[METRICS_FOLDER]
        shutil.rmtree(folder, ignore_errors=True)
