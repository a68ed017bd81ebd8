"""Sends any number of rows to be imported, in batches, and tells what became of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import islice

import stamina

from qero.errors import QeroError
from qero.models.imports import ImportRow, RowOutcome

BATCH = 2000

Send = Callable[[list[ImportRow]], Awaitable[list[RowOutcome]]]
"""`Contacts.import_rows` or `Candidates.import_rows` with everything but the rows."""


async def import_all(
    rows: Iterable[ImportRow], send: Send, *, batch: int = BATCH
) -> AsyncIterator[list[tuple[ImportRow, RowOutcome]]]:
    """What became of the rows of each batch, as soon as it is committed.

    A row that repeats the e-mail or phone of an earlier one is skipped, whatever batch that was in: the first counts.
    Holds one batch of rows, and reads the next while one is on its way.

    What may be repeated is, four times at most.

    Raises: what `send` raises; the batches before are imported. Importing all of it again is safe.
    """
    seen: dict[str, int | None] = {}
    source = iter(rows)
    waiting = list(islice(source, batch))
    answer = _sent(waiting, send, seen)
    while waiting:
        try:
            # In a thread, so that the request leaves meanwhile.
            following = await asyncio.to_thread(_read, source, batch)
        except BaseException:
            await asyncio.gather(answer, return_exceptions=True)
            raise
        outcomes = iter(await answer)
        settled = []
        for row in waiting:
            if (first := _first(row, seen)) is None:
                settled.append((row, next(outcomes)))
            else:
                settled.append((row, RowOutcome(outcome="skipped", problems=[f"it repeats row {first}"])))
        for row, outcome in settled:
            if outcome.outcome != "invalid":
                for key in _keys(row):
                    seen.setdefault(key, row.row)
        waiting = following
        answer = _sent(waiting, send, seen)
        # The next batch leaves before somebody looks at this one.
        await asyncio.sleep(0)
        try:
            yield settled
        except BaseException:
            await asyncio.gather(answer, return_exceptions=True)
            raise


def _sent(waiting: list[ImportRow], send: Send, seen: dict[str, int | None]) -> asyncio.Future[list[RowOutcome]]:
    """The answer to the rows that repeat no earlier one, on its way."""
    return asyncio.ensure_future(_answer([row for row in waiting if _first(row, seen) is None], send))


async def _answer(fresh: list[ImportRow], send: Send) -> list[RowOutcome]:
    if fresh:
        # Somebody may write the same people at the same time, or the network fail: sending them again is safe.
        async for attempt in stamina.retry_context(on=_may_be_repeated, attempts=4, timeout=60):
            with attempt:
                return await send(fresh)
    return []


def _may_be_repeated(error: Exception) -> bool:
    return isinstance(error, QeroError) and error.retryable


def _read(source: Iterator[ImportRow], count: int) -> list[ImportRow]:
    return list(islice(source, count))


def _first(row: ImportRow, seen: dict[str, int | None]) -> int | None:
    """The number of the earlier row that this one repeats."""
    return min((number for key in _keys(row) if (number := seen.get(key)) is not None), default=None)


def _keys(row: ImportRow) -> Iterator[str]:
    if row.email:
        yield row.email.strip().lower()
    if row.phone:
        yield "".join(character for character in row.phone if character.isdigit() or character == "+")
