"""Many requests at once, and what becomes of what a request asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

import httpx

AT_ONCE = 12
Key = TypeVar("Key")


async def answers(requests: Mapping[Key, Callable[[], Awaitable[httpx.Response]]]) -> dict[Key, httpx.Response]:
    """The answer to each request, a dozen being under way at any moment."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(request: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        async with free:
            return await request()

    return dict(zip(requests, await asyncio.gather(*map(one, requests.values())), strict=True))


def outcome_of(answer: httpx.Response) -> str:
    """`rows`, `none` for an empty answer, `refused` by a missing right, or what it says instead."""
    if answer.status_code in (401, 403) and answer.json().get("code") == "42501":
        return "refused"
    if answer.status_code in (200, 201):
        return "rows" if answer.json() else "none"
    return f"{answer.status_code} {answer.text}"


def filters(key: Mapping[str, Any]) -> dict[str, str]:
    return {column: f"eq.{value}" for column, value in key.items()}


def rows_within(value: Any) -> Iterable[dict[str, Any]]:
    """Every object in an answer, those inside of others too."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from rows_within(item)
