"""The routes over the session's stack, and what they log."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from qero import Settings
from tests.http.support import serve


@pytest.fixture(scope="session")
async def routes(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with serve(settings) as routes:
        yield routes
