"""Listeners for every test of realtime."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.realtime.listening import Listeners
from tests.support import World


@pytest.fixture
async def listeners(world: World) -> AsyncIterator[Listeners]:
    listeners = Listeners(world)
    yield listeners
    await listeners.close()
