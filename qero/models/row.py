"""The base of everything read from the database."""

from __future__ import annotations

from datetime import time
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

# JSON schema's own format of a time wants an offset.
LocalTime = Annotated[time, WithJsonSchema({"type": "string", "pattern": r"^\d\d:\d\d(:\d\d(\.\d+)?)?$"})]
"""A time of day by somebody's clock, as 09:00."""


class Row(BaseModel):
    """A frozen row. Columns that a newer database has are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Patch(BaseModel):
    """Fields to change, by name: what isn't given stays as it is, None empties it. Unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Listed(Row):
    """A row of a list: it knows where the page behind it begins."""

    cursor: str | None = Field(default=None, exclude=True, repr=False)


L = TypeVar("L", bound=Listed)


class Page(BaseModel, Generic[L]):
    """One page of a list, and where the next begins."""

    model_config = ConfigDict(frozen=True)

    items: list[L]
    next: str | None
    """Pass it as `after`; None on the last page."""

    @classmethod
    def of(cls, rows: list[L], limit: int) -> Page[L]:
        """The page of these rows; a full one may have another behind it."""
        return cls(items=rows, next=rows[-1].cursor if len(rows) == limit else None)
