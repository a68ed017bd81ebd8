"""TMA candidates as members of a workspace see them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from qero.models.contact import FollowUpFilter
from qero.models.personal import CandidateStatus
from qero.models.row import Listed, Patch, Row


class Candidate(Row):
    id: UUID
    workspace_id: UUID
    name: str | None
    email: str | None
    phone: str | None
    """E.164, with the leading plus."""
    status_tags: list[CandidateStatus]
    """Ratings that the team shares."""
    tags: list[str]
    source: str
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime


class MyCandidate(Candidate, Listed):
    """A candidate with the caller's own settings, which nobody else sees."""

    my_status: CandidateStatus | None
    follow_up_at: datetime | None
    follow_up_note: str | None


class CandidatePatch(Patch):
    """Fields of a candidate to set; the ones not given stay."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    tags: list[str] | None = None
    status_tags: list[CandidateStatus] | None = None
    source: str | None = None


class CandidateFilter(Patch):
    """Which candidates to list; what isn't given doesn't matter."""

    search: str | None = None
    status_tags: list[CandidateStatus] | None = None
    """All of these."""
    tags: list[str] | None = None
    """All of these."""
    my_status: CandidateStatus | Literal["none"] | None = None
    """The caller's own."""
    follow_up: FollowUpFilter | None = None
    """The caller's own, due then."""
