"""Sends any number of rows to be imported, in batches, and tells what became of each."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from itertools import islice

import stamina

from qero.errors import QeroError
from qero.models.imports import ImportRow, RowOutcome

BATCH = 2000
ON_THEIR_WAY = 2
"""Batches: more would hold more rows, and a database with two cores has nothing left for them."""

Send = Callable[[list[ImportRow]], Awaitable[list[RowOutcome]]]
"""`Contacts.import_rows` or `Candidates.import_rows` with everything but the rows."""


async def import_all(
    rows: Iterable[ImportRow], send: Send, *, batch: int = BATCH
) -> AsyncIterator[list[tuple[ImportRow, RowOutcome]]]:
    """What became of the rows of each batch, in order, as soon as it is committed.

    A row that repeats the e-mail or phone of an earlier one is skipped, whatever batch that was in: the first counts.
    Two batches are on their way at a time, unless the second repeats something of the first, and a third is read.

    What may be repeated is, four times at most.

    Raises: what `send` raises, once what was on its way beside it has told what became of it; nothing after that is
    sent. Importing all of it again is safe.
    """
    seen: dict[str, int | None] = {}
    source = iter(rows)
    on_their_way: deque[tuple[list[ImportRow], asyncio.Future[list[RowOutcome]]]] = deque()
    failure: QeroError | None = None
    try:
        following = await asyncio.to_thread(_read, source, batch)
        while following or on_their_way:
            while (
                not failure and following and len(on_their_way) < ON_THEIR_WAY and not _repeats(following, on_their_way)
            ):
                fresh = [row for row in following if _first(row, seen) is None]
                on_their_way.append((following, asyncio.ensure_future(_answer(fresh, send))))
                # In a thread, so that the request leaves meanwhile.
                following = await asyncio.to_thread(_read, source, batch)
            waiting, answer = on_their_way.popleft()
            try:
                outcomes = await answer
            except QeroError as error:
                failure = failure or error
            else:
                yield _settled(waiting, outcomes, seen)
            if failure and not on_their_way:
                raise failure
    finally:
        await asyncio.gather(*(answer for _, answer in on_their_way), return_exceptions=True)


def _repeats(following: list[ImportRow], on_their_way: Iterable[tuple[list[ImportRow], object]]) -> bool:
    """Whether what to do about a row depends on an answer that isn't there yet."""
    keys = {key for rows, _ in on_their_way for row in rows for key in _keys(row)}
    return any(key in keys for row in following for key in _keys(row))


def _settled(
    waiting: list[ImportRow], answer: list[RowOutcome], seen: dict[str, int | None]
) -> list[tuple[ImportRow, RowOutcome]]:
    outcomes = iter(answer)
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
    return settled


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
        phone = "".join(character for character in row.phone if character.isdigit() or character == "+")
        yield f"+{phone[2:]}" if phone.startswith("00") else phone
