"""The process that runs one stack: starts everything in order, serves the gateway, stops everything in order.

`qero.local.stack` runs it as `python -m qero.local.supervisor <options as JSON>`. It restarts a program that dies. It
ends on SIGTERM, SIGINT or SIGHUP, or, when told to, as its standard input closes, so that a stack started for tests
goes with them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
from pydantic import BaseModel

from qero.errors import QeroError
from qero.local.asgi import listen, serving
from qero.local.auth import SERVER as AUTH_SERVER
from qero.local.auth.admin import admin_routes
from qero.local.gateway import gateway
from qero.local.postgres import SUPERUSER, Postgres
from qero.local.processes import Program, end_leftovers, free_port, port_is_free
from qero.local.realtime import Realtime
from qero.local.state import Home, State
from qero.local.toolchain import Tools, ensure_tools
from qero.ops.push import push_migrations

START_SECONDS = 30
RESTARTS_PER_PROGRAM = 20
RESTART_PAUSE_SECONDS = 0.5

log = logging.getLogger("qero.local")


class Options(BaseModel):
    """How to run a stack."""

    home: Path
    workdir: Path | None
    """Whose supabase/migrations are pushed; None leaves the database as hosted hands it over."""
    port: int = 0
    durable: bool = True
    default_grants: bool = False
    jwt_expiry_seconds: int = 3600
    stop_when_stdin_closes: bool = False


class Supervisor:
    """One stack, from its first program's start to its last one's end."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._home = Home(options.home)
        self._keys = self._home.keys()
        self._stop = asyncio.Event()
        self._watchers: list[asyncio.Task[None]] = []
        self._state = State(
            phase="starting", supervisor_pid=os.getpid(), supervisor_started=psutil.Process().create_time()
        )

    async def run(self) -> int:
        """Run until told to stop; 0 after a clean stop, 1 when the stack couldn't run (`state.json` says why)."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.add_signal_handler(number, self._stop.set)
        if self._options.stop_when_stdin_closes:
            threading.Thread(target=_call_when_stdin_closes, args=(loop, self._stop.set), daemon=True).start()
        previous = self._home.state()
        error: QeroError | None = None
        try:
            async with contextlib.AsyncExitStack() as stack:
                starting = asyncio.create_task(self._start(stack, previous))
                stopping = asyncio.create_task(self._stop.wait())
                try:
                    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
                    if not starting.done():
                        starting.cancel()
                        await asyncio.wait({starting})
                    else:
                        starting.result()
                        self._report(phase="ready", step="")
                        await self._until_stopped(stopping)
                finally:
                    # Before anything is stopped: a watcher would start it again.
                    for task in (stopping, *self._watchers):
                        task.cancel()
        except QeroError as caught:
            error = caught
        except Exception as caught:
            log.exception("the stack failed")
            error = QeroError(
                "stack_start_failed",
                detail={"reason": repr(caught), "log": str(self._home.logs / "supervisor.log")},
            )
        if error is not None:
            self._report(phase="failed", pids={}, error=error.to_dict())
            return 1
        self._report(phase="stopped", pids={})
        return 0

    async def _start(self, stack: contextlib.AsyncExitStack, previous: State | None) -> None:
        options, keys = self._options, self._keys
        if previous is not None:
            await asyncio.to_thread(end_leftovers, previous.pids, seen_at=previous.written_at)
        # The same addresses as last time where they are free, so that settings written from them stay right.
        listener = listen(options.port or _if_free(previous.port if previous else 0))
        stack.callback(listener.close)
        self._report(step="tools", port=listener.getsockname()[1])
        tools = await asyncio.to_thread(ensure_tools)

        database_port = _if_free(previous.database_port if previous else 0) or free_port()
        self._report(step="postgres", database_port=database_port)
        postgres = Postgres(
            tools, options.home, keys, port=database_port, durable=options.durable,
            default_grants=options.default_grants,
        )  # fmt: skip

        async def start_postgres() -> Program:
            await postgres.start()
            assert postgres.program is not None
            return postgres.program

        await self._keep_running(stack, "postgres", start_postgres)

        # Node is slowest to start, and needs only the tables that are there already.
        auth_port, rest_port, rest_admin_port = free_port(), free_port(), free_port()
        await self._keep_running(stack, "auth", lambda: self._start_auth(tools, postgres, auth_port))
        if options.workdir is not None:
            self._report(step="migrations")
            applied = await asyncio.to_thread(
                push_migrations, tools.supabase, db_url=postgres.url("postgres"), workdir=options.workdir
            )  # fmt: skip
            self._report(migrations=applied)
        self._report(step="api")
        await self._keep_running(
            stack, "postgrest", lambda: self._start_postgrest(tools, postgres, rest_port, rest_admin_port)
        )
        realtime = Realtime(dsn=postgres.url(SUPERUSER), keys=keys)
        auth_url = f"http://127.0.0.1:{auth_port}/auth/v1"
        app = gateway(
            keys=keys,
            rest_url=f"http://127.0.0.1:{rest_port}",
            auth_url=auth_url,
            routes=[*admin_routes(dsn=postgres.url(SUPERUSER), keys=keys), *realtime.routes],
            health=self._health,
        )
        await realtime.start()
        stack.push_async_callback(realtime.stop)
        await _until_answers("PostgREST", f"http://127.0.0.1:{rest_admin_port}/ready")
        await _until_answers("the auth server", f"{auth_url}/settings")
        await stack.enter_async_context(serving(app, listener))
        # Once more, so that connections are let go before the server that carries them goes.
        stack.push_async_callback(realtime.stop)

    async def _start_auth(self, tools: Tools, postgres: Postgres, port: int) -> Program:
        return await Program.start(
            "auth",
            [tools.node, AUTH_SERVER],
            log=self._home.logs / "auth.log",
            environment={
                "QERO_NODE_MODULES": str(tools.node_modules),
                "AUTH_DSN": postgres.url("supabase_auth_admin"),
                "PORT": str(port),
                "ISSUER": f"{self._state.url}/auth/v1",
                "JWT_SECRET": self._keys.jwt_secret,
                "JWT_EXPIRY": str(self._options.jwt_expiry_seconds),
            },
        )

    async def _start_postgrest(self, tools: Tools, postgres: Postgres, port: int, admin_port: int) -> Program:
        return await Program.start(
            "postgrest",
            [tools.postgrest],
            log=self._home.logs / "postgrest.log",
            environment={
                "PGRST_DB_URI": postgres.url("authenticator"),
                "PGRST_DB_SCHEMAS": "public",
                "PGRST_DB_EXTRA_SEARCH_PATH": "public,extensions",
                "PGRST_DB_ANON_ROLE": "anon",
                "PGRST_DB_MAX_ROWS": "1000",
                "PGRST_DB_POOL": "20",
                "PGRST_JWT_SECRET": self._keys.jwt_secret,
                "PGRST_SERVER_HOST": "127.0.0.1",
                "PGRST_SERVER_PORT": str(port),
                "PGRST_ADMIN_SERVER_PORT": str(admin_port),
                "PGRST_OPENAPI_SERVER_PROXY_URI": f"{self._state.url}/rest/v1",
                "PGRST_LOG_LEVEL": "warn",
            },
        )

    async def _keep_running(
        self, stack: contextlib.AsyncExitStack, name: str, start: Callable[[], Awaitable[Program]]
    ) -> None:
        """Start a program, stop it with the stack, and start it again should it die meanwhile."""
        current: Program = await start()

        async def stop() -> None:
            await current.stop()

        async def watch() -> None:
            nonlocal current
            for _ in range(RESTARTS_PER_PROGRAM):
                self._report(pids={**self._state.pids, name: current.process.pid})
                code = await current.process.wait()
                log.warning("%s ended with code %s; starting it again", name, code)
                while True:
                    await asyncio.sleep(RESTART_PAUSE_SECONDS)
                    try:
                        current = await start()
                        break
                    except QeroError as error:
                        log.warning("%s didn't start: %s", name, error)
            raise QeroError("stack_start_failed", f"{name} keeps dying.", detail={"log": str(current.log)})

        stack.push_async_callback(stop)
        self._watchers.append(asyncio.create_task(watch()))

    async def _until_stopped(self, stopping: asyncio.Task[Any]) -> None:
        done, _ = await asyncio.wait({stopping, *self._watchers}, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    def _health(self) -> dict[str, Any]:
        return {"status": self._state.phase, "programs": sorted(self._state.pids)}

    def _report(self, **changes: Any) -> None:
        self._state = self._state.model_copy(update=changes)
        self._home.write_state(self._state)


def _if_free(port: int) -> int:
    return port if port and port_is_free(port) else 0


def _call_when_stdin_closes(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    # Not through sys.stdin: a thread that waits there keeps the interpreter from ending.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)


async def _until_answers(name: str, url: str) -> None:
    async with httpx.AsyncClient(timeout=2) as http:
        for _ in range(START_SECONDS * 20):
            with contextlib.suppress(httpx.HTTPError):
                if (await http.get(url)).status_code == 200:
                    return
            await asyncio.sleep(0.05)
    raise QeroError("stack_start_failed", f"{name} didn't answer within {START_SECONDS} s.", detail={"url": url})


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return asyncio.run(Supervisor(Options.model_validate_json(sys.argv[1])).run())


if __name__ == "__main__":
    sys.exit(main())
