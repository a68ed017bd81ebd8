"""An outbox that holds only what the test queues, and what is logged meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from qero.local.graph import GraphStandIn
from tests.support import EMPTY_OUTBOX, World
from tests.worker.support import Post


@pytest.fixture
async def post(world: World, graph: GraphStandIn) -> AsyncIterator[Post]:
    await world.rows(EMPTY_OUTBOX)
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=1)) as http:
        yield Post(world, graph, http)
