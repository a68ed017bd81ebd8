"""The base of everything read from the database."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Row(BaseModel):
    """A frozen row. Columns that a newer database has are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
