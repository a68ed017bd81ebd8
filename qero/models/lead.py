"""Leads: contacts that somebody, or automation, is to win."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from qero.models.row import Patch, Row

LeadStage = Literal["new", "pending", "queued", "contacted", "engaged", "qualified", "lost"]
"""How far a lead is in its pipeline; `queued` is set by preparing a day only."""


class Lead(Row):
    """Neither the contact's `lead_status`, which the team shares, nor anybody's own status."""

    id: UUID
    workspace_id: UUID
    contact_id: UUID | None
    client_id: UUID | None
    project_id: UUID | None
    user_id: UUID | None
    """Whose queue it is in; nobody's yet, it goes to who has room."""
    score: int
    status: LeadStage
    control: Literal["automation", "human"]
    taken_by: UUID | None
    """Who writes to them; None in human hands waits for whoever takes the lead."""
    taken_at: datetime | None
    replied_at: datetime | None
    reason: str | None
    """Why it was last changed."""
    created_at: datetime
    updated_at: datetime


class LeadFields(Patch):
    """What new leads begin with."""

    client_id: UUID | None = None
    project_id: UUID | None = None
    user_id: UUID | None = None
    score: int | None = None


class LeadPatch(LeadFields):
    """Fields of a lead to set; the ones not given stay."""

    status: LeadStage | None = None


class HandedOver(Row):
    """A message that couldn't be called back: a worker has it in hand, or nobody knows what became of it."""

    queue_id: UUID
    outbox_id: UUID | None
    status: str


class Takeover(Row):
    lead: Lead
    cancelled: int
    """How many queued messages won't leave."""
    handed_over: list[HandedOver]


class Client(Row):
    """A customer of the team, for whom leads are won."""

    id: UUID
    workspace_id: UUID
    name: str
    created_at: datetime


class Project(Row):
    id: UUID
    workspace_id: UUID
    client_id: UUID | None
    name: str
    created_at: datetime
