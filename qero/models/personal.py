"""What one user marks contacts and candidates with, for themselves."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime

from qero.models.row import Listed, Patch, Row

ContactStatus = Literal["hot", "working", "follow_up"]
CandidateStatus = Literal["A", "B", "C"]


class ContactSettings(Row):
    """The caller's own settings for one contact."""

    contact_id: UUID
    workspace_id: UUID
    status: ContactStatus | None
    follow_up_at: datetime | None
    follow_up_note: str | None
    updated_at: datetime


class CandidateSettings(Row):
    """The caller's own settings for one candidate."""

    tma_id: UUID
    workspace_id: UUID
    status: CandidateStatus | None
    follow_up_at: datetime | None
    follow_up_note: str | None
    updated_at: datetime


class ContactSettingsPatch(Patch):
    """Settings to change; the ones not given stay, None clears one."""

    status: ContactStatus | None = None
    follow_up_at: AwareDatetime | None = None
    follow_up_note: str | None = None


class CandidateSettingsPatch(Patch):
    """Settings to change; the ones not given stay, None clears one."""

    status: CandidateStatus | None = None
    follow_up_at: AwareDatetime | None = None
    follow_up_note: str | None = None


class FollowUp(Listed):
    """Something the caller has planned to do about a contact or a candidate."""

    kind: Literal["contact", "candidate"]
    id: UUID
    """The contact's or the candidate's."""
    workspace_id: UUID
    name: str | None
    email: str | None
    phone: str | None
    status: ContactStatus | CandidateStatus | None
    follow_up_at: datetime
    follow_up_note: str | None
    bucket: Literal["overdue", "today", "upcoming"]
    """Overdue until now, today from now until midnight in the caller's time zone, upcoming after that."""


class FollowUpCounts(Row):
    overdue: int
    today: int
    upcoming: int


class MovedFollowUp(Row):
    """A follow-up after it was completed or moved."""

    kind: Literal["contact", "candidate"]
    id: UUID
    workspace_id: UUID
    status: ContactStatus | CandidateStatus | None
    follow_up_at: datetime | None
    follow_up_note: str | None
