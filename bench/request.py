"""A request as a user: what qero adds to the bare HTTP call.

Ours builds the user's client from the access token, verifies it, asks, and validates the answer into models, as a
server function does for every request. The floor sends the same HTTP request with the same headers and parses JSON.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable

import httpx

from bench.report import Case, interleaved
from qero import Clients, Workspaces
from qero.local.stack import temporary_stack

PASSWORD = "a password for the benchmark"


async def run(*, quick: bool) -> list[Case]:
    requests, runs = (50, 3) if quick else (400, 5)
    with temporary_stack() as address:
        settings = address.settings()
        async with Clients(settings) as clients:
            token = await _member(clients, settings.require("supabase_url"), settings.require("publishable_key"))
            headers = {"apikey": settings.require("publishable_key"), "authorization": f"Bearer {token}"}
            rest = f"{settings.supabase_url}/rest/v1"

            async def select() -> object:
                return await Workspaces(await clients.user(token)).list()

            async def rpc() -> object:
                return await Workspaces(await clients.user(token)).resolve("acme")

            async with httpx.AsyncClient(limits=httpx.Limits(max_keepalive_connections=100)) as http:

                async def bare_select() -> object:
                    params = {"select": "*", "order": "slug.asc"}
                    return (await http.get(f"{rest}/workspaces", params=params, headers=headers)).json()

                async def bare_rpc() -> object:
                    return (
                        await http.post(f"{rest}/rpc/resolve_workspace", json={"p_ref": "acme"}, headers=headers)
                    ).json()

                medians = await interleaved(
                    {
                        "select": _timed(select, requests),
                        "bare select": _timed(bare_select, requests),
                        "rpc": _timed(rpc, requests),
                        "bare rpc": _timed(bare_rpc, requests),
                    },
                    runs=runs,
                )
    return [
        Case(f"{name}/{requests} in turn", medians[name], "ms", runs, floor=medians[f"bare {name}"])
        for name in ("select", "rpc")
    ]


def _timed(request: Callable[[], Awaitable[object]], count: int) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        times = []
        for _ in range(count):
            started = time.perf_counter()
            await request()
            times.append(time.perf_counter() - started)
        return statistics.median(times) * 1000

    return measure


async def _member(clients: Clients, url: str, key: str) -> str:
    await clients.service().auth.admin.create_user(
        {"email": "olga@example.com", "password": PASSWORD, "email_confirm": True}
    )
    answer = await clients.http.post(
        f"{url}/auth/v1/token?grant_type=password",
        headers={"apikey": key},
        json={"email": "olga@example.com", "password": PASSWORD},
    )
    token: str = answer.raise_for_status().json()["access_token"]
    await Workspaces(await clients.user(token)).create("acme", "Acme")
    return token
