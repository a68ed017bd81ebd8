"""A list over HTTP: what the routes add to the call of the database's API that they make.

Ours is a page of 50 contacts from `qero serve` in a process of its own: it verifies the token, knows the workspace by
its slug, asks, validates, tags, and answers. The floor is the same call of `list_contacts` sent straight to the API
with the same token. Both go over kept-alive connections from the same client, which asks for no compression and parses
the JSON; one request at a time, and eight. Once more ours is compressed, which the API isn't asked for: on one machine
that saves nobody anything, and costs both ends. Times are those of whole requests; the last case is what the process of
`qero serve` itself works for one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from tempfile import TemporaryFile
from typing import IO

import httpx
import psutil

from bench.report import Case, interleaved
from qero import Clients, Contacts, ImportRow, Settings, Workspaces
from qero.local.stack import temporary_stack

PASSWORD = "a password for the benchmark"
CONTACTS = 2000
PAGE = 50
AT_ONCE = 8

Ask = Callable[[], Awaitable[object]]


async def run(*, quick: bool) -> list[Case]:
    requests, runs = (40, 3) if quick else (400, 7)
    with temporary_stack() as address:
        settings = address.settings(meta_app_secret="a-meta-app-secret", meta_verify_token="a-verify-token")
        async with Clients(settings) as clients:
            token, workspace_id = await _member(clients, settings)
        headers = {"authorization": f"Bearer {token}", "accept-encoding": "identity"}
        api = headers | {"apikey": settings.require("publishable_key")}
        async with _serving(settings) as (routes, process), httpx.AsyncClient() as http:

            async def ours(encoding: str = "identity") -> object:
                given = headers | {"accept-encoding": encoding}
                answer = await http.get(f"{routes}/api/contacts?workspace=acme&limit={PAGE}", headers=given)
                return answer.raise_for_status().json()["items"][PAGE - 1]

            async def floor() -> object:
                body = {"p_workspace_id": workspace_id, "p_limit": PAGE}
                answer = await http.post(f"{settings.supabase_url}/rest/v1/rpc/list_contacts", json=body, headers=api)
                return answer.raise_for_status().json()[PAGE - 1]

            async def own_work() -> float:
                before = sum(process.cpu_times()[:2])
                for _ in range(requests):
                    await ours()
                return (sum(process.cpu_times()[:2]) - before) / requests * 1000

            medians = await interleaved(
                {
                    "ours": _timed(ours, requests, 1),
                    "floor": _timed(floor, requests, 1),
                    "compressed": _timed(partial(ours, "gzip"), requests, 1),
                    "ours at once": _timed(ours, requests, AT_ONCE),
                    "floor at once": _timed(floor, requests, AT_ONCE),
                    "own work": own_work,
                },
                runs=runs,
            )

    def case(label: str, ours: str, floor: str | None = "floor") -> Case:
        return Case(f"{PAGE} contacts, {label}", medians[ours], "ms", runs, floor=medians[floor] if floor else None)

    return [
        case("1 at a time", "ours"),
        case(f"{AT_ONCE} at a time", "ours at once", "floor at once"),
        case("1 at a time, compressed", "compressed"),
        case("the server's own work", "own work", None),
    ]


def _timed(ask: Ask, count: int, at_once: int) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        times: list[float] = []

        async def in_turn() -> None:
            for _ in range(count // at_once):
                started = time.perf_counter()
                await ask()
                times.append(time.perf_counter() - started)

        await asyncio.gather(*(in_turn() for _ in range(at_once)))
        return statistics.median(times) * 1000

    return measure


async def _member(clients: Clients, settings: Settings) -> tuple[str, str]:
    """The token of somebody with a workspace full of contacts."""
    await clients.service().auth.admin.create_user(
        {"email": "olga@example.com", "password": PASSWORD, "email_confirm": True}
    )
    answer = await clients.http.post(
        f"{settings.supabase_url}/auth/v1/token?grant_type=password",
        headers={"apikey": settings.require("publishable_key")},
        json={"email": "olga@example.com", "password": PASSWORD},
    )
    token: str = answer.raise_for_status().json()["access_token"]
    olga = await clients.user(token)
    workspace = await Workspaces(olga).create("acme", "Acme")
    rows = [
        ImportRow(name=f"Person {number}", email=f"person{number}@example.com", tags=["vip"])
        for number in range(CONTACTS)
    ]
    await Contacts(olga).import_rows(workspace.id, rows, dry_run=False)
    return token, str(workspace.id)


@asynccontextmanager
async def _serving(settings: Settings) -> AsyncIterator[tuple[str, psutil.Process]]:
    """The address of the routes, and the process of their own that they run in."""
    environment = {
        "SUPABASE_URL": settings.require("supabase_url"),
        "SUPABASE_PUBLISHABLE_KEY": settings.require("publishable_key"),
        "SUPABASE_SECRET_KEY": settings.require("secret_key"),
        "META_APP_SECRET": settings.require("meta_app_secret"),
        "META_VERIFY_TOKEN": settings.require("meta_verify_token"),
    }
    # Its log lines are part of its work, and go to a file: read here, they would take the client's time.
    with TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "qero", "serve", "--port", "0", env={**os.environ, **environment}, stderr=log
        )  # fmt: skip
        try:
            yield f"http://127.0.0.1:{await _port(process, log)}", psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _port(process: asyncio.subprocess.Process, log: IO[bytes]) -> int:
    """What the first line of its log says."""
    async with asyncio.timeout(20):
        while process.returncode is None:
            said = os.pread(log.fileno(), 4096, 0)
            if b"\n" in said:
                return int(json.loads(said.splitlines()[0])["port"])
            await asyncio.sleep(0.05)
    raise RuntimeError("`qero serve` ended while starting")
