"""Rows to import, and what became of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from qero.models.row import Row

Outcome = Literal["created", "updated", "skipped", "invalid"]


class ImportRow(BaseModel):
    """One row to import, as it was given: the database brings it to its normal form and judges it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    row: int | None = None
    """What outcomes call it when they speak of it; its place among the rows of the request unless given."""
    name: str | None = None
    email: str | None = None
    phone: str | None = None
    lead_status: str | None = None
    """Of contacts."""
    tags: list[str] | None = None
    status_tags: list[str] | None = None


class ImportRequest(BaseModel):
    """A batch of rows as the functions that import take it."""

    p_workspace_id: UUID
    p_rows: Sequence[ImportRow]
    p_dry_run: bool
    p_update: bool

    def encoded(self) -> bytes:
        """JSON, made once: a batch is large."""
        return self.model_dump_json(exclude_none=True).encode()


class RowOutcome(Row):
    """What became, or would become, of one row."""

    outcome: Outcome
    id: UUID | None = None
    """The contact's or the candidate's; None when it is invalid or would only be created."""
    problems: list[str] = Field(default_factory=list)
    """Why it is invalid or was skipped."""
