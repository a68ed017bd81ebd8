"""Importing people over HTTP: the rows of one request, as JSON or as a CSV file, and what became of each."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from fastapi import Body, Depends, Query
from pydantic import BaseModel, Field

from qero.errors import InvalidInput
from qero.http.callers import Input, WorkspaceRef
from qero.models.imports import ImportRow, RowOutcome
from qero.models.table_file import PeopleFile


class ImportRows(Input):
    """At most 5,000 rows, each with an e-mail or a phone number."""

    workspace: WorkspaceRef
    rows: list[ImportRow]
    dry_run: bool = False
    """Only say what would become of each row."""
    update: bool = True
    """Change those that exist, or skip them."""


class ImportedRow(RowOutcome):
    row: int
    """Its own number where it has one, a file's line, or its place among the rows from 1."""


class Imported(BaseModel):
    dry_run: bool
    """Nothing was written."""
    created: int
    updated: int
    skipped: int
    invalid: int
    rows: list[ImportedRow] = Field(description="In the order in which they came.")


def rows_of_csv(
    file: Annotated[bytes, Body(media_type="text/csv", description="UTF-8, with a header.")],
    region: Annotated[
        str | None, Query(max_length=2, description="The country of phone numbers written without one, as DE.")
    ] = None,
) -> list[ImportRow]:
    """The rows of a file. Not async, so that a large one is read in a thread, beside other requests.

    Raises:
        InvalidInput: `file_unreadable`; `invalid_value`, the region.
    """
    try:
        text = file.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("file_unreadable", detail={"byte": error.start, "reason": error.reason}) from None
    return list(PeopleFile(io.StringIO(text, newline=""), region=region))


CsvRows = Annotated[list[ImportRow], Depends(rows_of_csv)]


def outcomes(rows: Sequence[ImportRow], found: Sequence[RowOutcome], *, dry_run: bool) -> Imported:
    """What became of the rows, each by its number, and how many had which outcome."""
    tally = Counter(outcome.outcome for outcome in found)
    numbers = [place if row.row is None else row.row for place, row in enumerate(rows, 1)]
    return Imported(
        dry_run=dry_run,
        created=tally["created"],
        updated=tally["updated"],
        skipped=tally["skipped"],
        invalid=tally["invalid"],
        rows=[
            ImportedRow(row=number, **outcome.model_dump())
            for number, outcome in zip(numbers, found, strict=True)
        ],
    )  # fmt: skip
