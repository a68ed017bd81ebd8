"""A stand-in for push services, and an outbox that holds only what the test causes."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from qero.local.push import PushServiceStandIn
from tests.phones import Phones
from tests.support import World


@pytest.fixture
async def phones(world: World) -> AsyncIterator[Phones]:
    async with PushServiceStandIn.serve() as service:
        phones = Phones(world, service)
        await phones.allow()
        yield phones
