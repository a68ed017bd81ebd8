"""An outbox that holds only what the test queues, and what is logged meanwhile."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import structlog

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


@pytest.fixture
def logs() -> Iterator[list[dict[str, Any]]]:
    """Every event logged during the test, with its context."""
    events: list[dict[str, Any]] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, keep])
    yield events
    structlog.configure(**before)
