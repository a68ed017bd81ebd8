"""Who a command acts as: the user whose access token the environment holds."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar

from qero.clients.factory import Clients, UserClient
from qero.errors import NotAuthenticated
from qero.settings import Settings

T = TypeVar("T")


async def signed_in(clients: Clients) -> UserClient:
    """The user's client.

    Raises:
        NotAuthenticated: `not_authenticated`, QERO_ACCESS_TOKEN isn't set; otherwise as `Clients.user`.
    """
    token = os.environ.get("QERO_ACCESS_TOKEN")
    if not token:
        raise NotAuthenticated(
            "not_authenticated",
            hint="Set QERO_ACCESS_TOKEN to a user's access token; with a local stack `qero local token EMAIL` has one.",
        )
    return await clients.user(token)


def ask(question: Callable[[UserClient], Awaitable[T]]) -> T:
    """The answer to one question, as the user."""

    async def asking() -> T:
        async with Clients(Settings.load()) as clients:
            return await question(await signed_in(clients))

    return asyncio.run(asking())
