"""Calls with contacts."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from qero.models.row import Row

CallOutcome = Literal["answered", "no_answer", "busy", "voicemail", "callback_requested", "wrong_number", "failed"]


class CallLog(Row):
    id: UUID
    workspace_id: UUID
    contact_id: UUID
    user_id: UUID | None
    outcome: CallOutcome
    duration_seconds: int
    note: str | None
    called_at: datetime
    created_at: datetime


class ContactCalls(Row):
    """The latest calls with one contact; none when there are none, or no such contact."""

    contact_id: UUID
    calls: list[CallLog]
