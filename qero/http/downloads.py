"""Files that are sent as they are read, however long they get."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from fastapi.responses import StreamingResponse

from qero.models.table_file import csv_line

# Lines that leave together: one at a time costs more than making it.
CHUNK_BYTES = 16 * 1024


async def csv_download(name: str, header: Sequence[str], rows: AsyncIterator[Sequence[object]]) -> StreamingResponse:
    """Rows as a CSV file. Raises as `file_download`."""

    async def pieces() -> AsyncIterator[str]:
        first = await anext(rows, None)
        held, size = [csv_line(header)], 0
        if first is not None:
            held.append(csv_line(first))
        async for row in rows:
            held.append(csv_line(row))
            size += len(held[-1])
            if size > CHUNK_BYTES:
                yield "".join(held)
                held, size = [], 0
        yield "".join(held)

    return await file_download(name, pieces())


async def file_download(name: str, pieces: AsyncIterator[str]) -> StreamingResponse:
    """A CSV file as an answer, of which only a piece is held at any time.

    The first piece is read before anything is answered, so that whatever refuses the request still is a problem. What
    fails later ends the connection: no client takes the piece for the whole.

    Raises: what reading the first piece raises.
    """
    first = await anext(pieces, "")

    async def all_of_it() -> AsyncIterator[str]:
        yield first
        async for piece in pieces:
            yield piece

    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    return StreamingResponse(all_of_it(), media_type="text/csv; charset=utf-8", headers=headers)
