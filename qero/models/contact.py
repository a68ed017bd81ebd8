"""Contacts as members of a workspace see them, and what belongs to them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from qero.models.personal import ContactStatus
from qero.models.row import Listed, Patch, Row

LeadStatus = Literal["new", "pending", "queued", "contacted", "engaged", "qualified", "lost"]
FollowUpFilter = Literal["overdue", "today", "due", "upcoming", "any"]
PeopleSort = Literal["created_at", "name"]


class Contact(Row):
    id: UUID
    workspace_id: UUID
    name: str | None
    email: str | None
    phone: str | None
    """E.164, with the leading plus."""
    lead_status: LeadStatus
    status_tags: list[str]
    """Ratings of quality that the team shares."""
    tags: list[str]
    source: str
    marketing_opted_out: bool = False
    assigned_to: UUID | None
    created_by: UUID | None = None
    created_at: datetime
    updated_at: datetime


class MyContact(Contact, Listed):
    """A contact with the caller's own settings, which nobody else sees."""

    my_status: ContactStatus | None
    follow_up_at: datetime | None
    follow_up_note: str | None


class ContactPatch(Patch):
    """Fields of a contact to set; the ones not given stay."""

    name: str | None = None
    email: str | None = None
    phone: str | None = None
    """With its country: `+491701234567`; spaces, dashes and brackets are taken out."""
    lead_status: LeadStatus | None = None
    tags: list[str] | None = None
    status_tags: list[str] | None = None
    source: str | None = None
    assigned_to: UUID | None = None


class ContactFilter(Patch):
    """Which contacts to list or count; what isn't given doesn't matter."""

    search: str | None = None
    """Words that all occur in name, e-mail or phone."""
    lead_statuses: list[LeadStatus] | None = None
    """Any of these."""
    tags: list[str] | None = None
    """All of these."""
    assigned_to: UUID | None = None
    my_status: ContactStatus | Literal["none"] | None = None
    """The caller's own."""
    follow_up: FollowUpFilter | None = None
    """The caller's own, due then; `due` is overdue or today, in the caller's time zone."""


class Count(Row):
    count: int
    is_exact: bool


class DeletedContact(Row):
    """How much went with a contact."""

    notes: int
    conversations: int
    messages: int
    call_logs: int
    leads: int = 0
    my_settings: int
    """The caller's own; whether others had any isn't told."""


class ContactDuplicate(Row):
    """Two contacts that are likely one person."""

    contact_id: UUID
    duplicate_id: UUID
    name: str | None
    duplicate_name: str | None
    reason: str


class MovedRows(Row):
    conversations: int = 0
    notes: int = 0
    call_logs: int = 0
    leads: int = 0


class MergedContact(Row):
    contact: Contact
    moved: MovedRows


class Conversation(Row):
    """A thread with one person, whatever its channel."""

    id: UUID
    workspace_id: UUID
    contact_id: UUID
    channel: str
    connection_id: UUID | None
    status: str
    assignee_id: UUID | None
    tags: list[str]
    unread_count: int
    last_message_body: str | None
    last_message_at: datetime | None
    last_inbound_at: datetime | None
    created_at: datetime


class TimelineItem(Listed):
    """Something that happened with a contact: a message, note, call, change of status, merge or takeover."""

    kind: str
    id: str
    occurred_at: datetime
    actor_id: UUID | None
    body: str | None
    detail: dict[str, Any]


class Note(Row):
    id: UUID
    workspace_id: UUID
    contact_id: UUID
    author_id: UUID | None
    body: str
    created_at: datetime
    updated_at: datetime
