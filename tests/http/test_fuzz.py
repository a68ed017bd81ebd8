"""A few hundred requests made from the description of the API; `scripts/fuzz` sends ten thousand."""

from __future__ import annotations

from typing import Any

import httpx
import psycopg

from qero import Clients, Settings
from tests.http.fuzzing import fuzz
from tests.support import World

REQUESTS = 400


async def test_no_answer_is_a_crash_or_undocumented_or_holds_anything_of_another_tenant(
    routes: httpx.AsyncClient, settings: Settings, clients: Clients, database: psycopg.AsyncConnection[Any]
) -> None:
    world, neighbours = World(settings, clients, database), World(settings, clients, database)

    findings = await fuzz(world, neighbours, routes, count=REQUESTS, start=1)

    assert findings.lines() == []
    assert findings.requests >= REQUESTS
    assert {200, 400, 404} <= findings.statuses.keys()
