"""Who a command acts as: the user whose access token the environment holds, or the service; and who is meant."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import TypeVar
from uuid import UUID

from qero.clients.factory import Client, Clients, UserClient
from qero.errors import NotAuthenticated, NotFound
from qero.services.workspaces import Workspaces
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


def ask_as_either(question: Callable[[Client], Awaitable[T]]) -> T:
    """The answer to one question, as the user, or without a token as the service."""

    async def asking() -> T:
        async with Clients(Settings.load()) as clients:
            token = os.environ.get("QERO_ACCESS_TOKEN")
            return await question(await clients.user(token) if token else clients.service())

    return asyncio.run(asking())


async def member_named(client: UserClient, workspace_id: UUID, name: str) -> UUID:
    """The member of a workspace who goes by that e-mail or id.

    Raises:
        NotFound: `member_not_found`; otherwise as `Workspaces.members`.
    """
    for member in await Workspaces(client).members(workspace_id):
        if name.lower() in (str(member.user_id), (member.email or "").lower()):
            return member.user_id
    raise NotFound("member_not_found", detail={"member": name})
