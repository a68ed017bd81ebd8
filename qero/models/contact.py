"""Contacts as members of a workspace see them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from qero.models.row import Row

LeadStatus = Literal["new", "pending", "queued", "contacted", "engaged", "qualified", "lost"]


class Contact(Row):
    id: UUID
    workspace_id: UUID
    name: str | None
    email: str | None
    phone: str | None
    """E.164, with the leading plus."""
    lead_status: LeadStatus
    status_tags: list[str]
    tags: list[str]
    source: str
    assigned_to: UUID | None
    created_at: datetime
    updated_at: datetime
