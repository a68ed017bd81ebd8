"""Connections, threads and messages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from qero.models.row import Row

MessageStatus = Literal["pending", "cancelled", "unknown", "sent", "failed", "delivered", "read", "played"]


class Connection(Row):
    """A WhatsApp number of a workspace. Its access token is never part of it."""

    id: UUID
    workspace_id: UUID
    waba_id: str
    phone_number_id: str
    display_phone_number: str | None
    verified_name: str | None
    status: Literal["active", "inactive", "paused"]
    status_reason: str | None
    search_languages: list[str] = Field(default_factory=lambda: ["simple"])
    """What its messages are searched in; the last is what new ones are indexed in."""


class Thread(Row):
    """The conversation of one contact with one number."""

    id: UUID
    workspace_id: UUID
    connection_id: UUID
    contact_id: UUID
    status: Literal["open", "pending", "snoozed", "closed"]
    assignee_id: UUID | None
    tags: list[str]
    priority: Literal["low", "normal", "high", "urgent"] = "normal"
    snoozed_until: datetime | None = None
    last_inbound_at: datetime | None
    """Free text may be sent for 24 hours from here."""
    last_message_at: datetime | None
    last_message_body: str | None
    unread_count: int


class Message(Row):
    id: UUID
    workspace_id: UUID
    connection_id: UUID
    thread_id: UUID
    direction: Literal["in", "out"]
    wa_message_id: str | None
    """Meta's id; None until Meta has accepted an outgoing message."""
    type: str
    body: str | None
    content: dict[str, Any]
    status: MessageStatus | None
    """Of outgoing messages; it only moves forward."""
    error_code: int | None
    error_text: str | None
    sent_by: UUID | None
    outbox_id: UUID | None
    context: dict[str, Any] | None = None
    """The message that it answers under `id`, as Meta names it; and whether it was forwarded, or came by an ad."""
    reactions: dict[str, Any] | None = None
    """Who reacts with what: `{"customer": {"emoji": "👍", …}}`, or `business`, or somebody of a group."""
    edited_at: datetime | None = None
    revoked_at: datetime | None = None
    occurred_at: datetime
