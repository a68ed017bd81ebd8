"""Requests for more than fits into one: ids in pieces side by side, and lists page after page."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TypeVar
from uuid import UUID

from qero.errors import InvalidInput
from qero.models.row import L, Page

T = TypeVar("T")

MOST_ROWS = 1000
"""What the API answers with at most, whatever a query asks for."""


def chunk_unique(ids: Iterable[UUID | str], size: int) -> list[list[UUID]]:
    """The ids in their order, each once, in pieces of at most `size`; text is trimmed, and empty text left out.

    Raises:
        InvalidInput: `invalid_value`, naming a text that is no uuid.
    """
    unique: dict[UUID, None] = {}
    for given in ids:
        if isinstance(given, UUID):
            unique[given] = None
        elif text := given.strip():
            try:
                unique[UUID(text)] = None
            except ValueError:
                raise InvalidInput("invalid_value", detail={"field": "ids", "value": text[:50]}) from None
    whole = list(unique)
    return [whole[start : start + size] for start in range(0, len(whole), size)]


async def in_parallel(work: Callable[[list[UUID]], Awaitable[T]], chunks: list[list[UUID]], *, bound: int) -> list[T]:
    """The answer to each chunk, in order, with at most `bound` of them under way. The first error ends all of them."""
    semaphore = asyncio.Semaphore(bound)

    async def one(chunk: list[UUID]) -> T:
        async with semaphore:
            return await work(chunk)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(chunk)) for chunk in chunks]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


async def every_row(read: Callable[[T | None], Awaitable[list[T]]]) -> list[T]:
    """A list that the API would cut off without a word, from its beginning to its end.

    Args:
        read: answers with the next `MOST_ROWS` rows behind the one given, which is None for the first.
    """
    found: list[T] = []
    while True:
        rows = await read(found[-1] if found else None)
        found += rows
        if len(rows) < MOST_ROWS:
            return found


async def every_page(read: Callable[..., Awaitable[Page[L]]]) -> AsyncIterator[Page[L]]:
    """A list from its beginning to its end, a page at a time.

    Args:
        read: answers with the page after the cursor `after`, which is None for the first.
    """
    after: str | None = None
    while True:
        page = await read(after=after)
        yield page
        if (after := page.next) is None:
            return
