"""Requests for many ids: split, sent side by side with a bound, answered in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar
from uuid import UUID

from qero.errors import InvalidInput

T = TypeVar("T")


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
