"""A list over HTTP: what the routes add to the call of the database's API that they make.

Ours is a page of 50 contacts from `qero serve` in a process of its own: it verifies the token, knows the workspace by
its slug, asks, validates, tags, and answers. The floor is the same call of `list_contacts` sent straight to the API
with the same token. Both go over kept-alive connections from the same client, which parses the JSON; one request at a
time, and eight.
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

import httpx

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
        headers = {"authorization": f"Bearer {token}"}
        api = headers | {"apikey": settings.require("publishable_key")}
        async with _serving(settings) as routes, httpx.AsyncClient() as http:

            async def ours() -> object:
                answer = await http.get(f"{routes}/api/contacts?workspace=acme&limit={PAGE}", headers=headers)
                return answer.raise_for_status().json()["items"][PAGE - 1]

            async def floor() -> object:
                body = {"p_workspace_id": workspace_id, "p_limit": PAGE}
                answer = await http.post(f"{settings.supabase_url}/rest/v1/rpc/list_contacts", json=body, headers=api)
                return answer.raise_for_status().json()[PAGE - 1]

            medians = await interleaved(
                {
                    f"{name} {at_once}": _timed(ask, requests, at_once)
                    for at_once in (1, AT_ONCE)
                    for name, ask in (("ours", ours), ("floor", floor))
                },
                runs=runs,
            )
    return [
        Case(f"{PAGE} contacts, {at_once} at a time", medians[f"ours {at_once}"], "ms", runs,
             floor=medians[f"floor {at_once}"])
        for at_once in (1, AT_ONCE)
    ]  # fmt: skip


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
async def _serving(settings: Settings) -> AsyncIterator[str]:
    """The address of the routes, which run in a process of their own."""
    environment = {
        "SUPABASE_URL": settings.require("supabase_url"),
        "SUPABASE_PUBLISHABLE_KEY": settings.require("publishable_key"),
        "SUPABASE_SECRET_KEY": settings.require("secret_key"),
        "META_APP_SECRET": settings.require("meta_app_secret"),
        "META_VERIFY_TOKEN": settings.require("meta_verify_token"),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "qero", "serve", "--port", "0", env={**os.environ, **environment},
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stderr is not None
    port = json.loads(await asyncio.wait_for(process.stderr.readline(), 20))["port"]
    # Its log lines are part of its work; somebody has to read them.
    log = asyncio.create_task(process.stderr.read())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()
        await log
