"""An outbox that holds only what the test queues, and what is logged meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from qero.local.graph import GraphStandIn
from tests.support import World
from tests.worker.support import Post


@pytest.fixture
async def post(world: World, graph: GraphStandIn) -> AsyncIterator[Post]:
    # A worker serves every workspace, so what other tests left behind has to be out of its reach.
    await world.rows(
        "update outbox_messages set status = 'cancelled' where status in ('queued', 'processing') returning id"
    )
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=1)) as http:
        yield Post(world, graph, http)
