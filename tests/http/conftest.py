"""The routes over the session's stack, and what they log."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import structlog

from qero import Settings
from tests.http.support import serve


@pytest.fixture(scope="session")
async def routes(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(settings) as routes:
        yield routes


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
