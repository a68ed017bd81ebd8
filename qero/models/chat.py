"""Chats, their messages, and a member's place in them."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from qero.models.row import Row

ChatKind = Literal["direct", "group", "channel"]
ChatMessageStatus = Literal["sent", "delivered", "read"]


class Chat(Row):
    id: UUID
    workspace_id: UUID
    kind: ChatKind
    title: str | None = None
    """None for direct chats, which are called by who is in them."""
    created_at: datetime
    last_seq: int
    """The number of the newest message."""
    last_rev: int
    """The number of the latest change."""
    last_message_at: datetime | None = None
    last_message_sender_id: UUID | None = None
    last_message_preview: str | None = Field(None, repr=False)
    """What the newest message begins with; None when it was deleted or has no text."""


class ChatPlace(Row):
    """Where a chat stands in its members' lists."""

    id: UUID
    active_at: datetime
    """When the newest message was written, or else when the chat was opened."""


class ListedChat(ChatPlace, Chat):
    """A chat as its member's list shows it."""

    role: Literal["owner", "member"]
    last_delivered_seq: int
    last_read_seq: int
    muted_until: datetime | None = None
    unread_count: int
    mention_count: int
    """Unread messages that mention the caller."""
    other_member_ids: list[UUID]
    """Up to three, enough to call it by; `Chats.members` has all."""


class ChatMember(Row):
    """A member, with how far messages have come to them and have been read by them."""

    workspace_id: UUID
    chat_id: UUID
    user_id: UUID
    role: Literal["owner", "member"]
    last_delivered_seq: int
    last_read_seq: int
    muted_until: datetime | None = None
    joined_at: datetime


class Attachment(Row):
    """A file that is stored elsewhere, for example in Supabase Storage."""

    ref: str
    """Its path or address, 1 to 2000 characters."""
    name: str | None = None
    content_type: str | None = None
    size_bytes: int | None = None


class ChatMessage(Row):
    """A message as it is now. What people wrote stays out of `repr`, and so out of logs."""

    id: UUID
    chat_id: UUID
    seq: int
    """Its number in its chat: without gaps, in the order of sending. It never changes."""
    rev: int
    """The number of its latest change among all changes of its chat."""
    sender_id: UUID | None = None
    """None when the account is gone."""
    client_generated_id: str | None = None
    body: str | None = Field(None, repr=False)
    attachments: list[Attachment] = Field(default_factory=list, repr=False)
    mentions: list[UUID] = Field(default_factory=list)
    reply_to: int | None = None
    """The number of the message that it answers."""
    created_at: datetime
    edited_at: datetime | None = None
    deleted_at: datetime | None = None
    status: ChatMessageStatus | None = None
    """How far the slowest other member is; None in answers that don't say."""


class NewMessage(Row):
    """A message to be sent. Its `client_generated_id` makes sending it again harmless."""

    client_generated_id: str
    body: str | None = Field(None, repr=False)
    attachments: list[Attachment] = Field(default_factory=list, repr=False)
    mentions: list[UUID] = Field(default_factory=list)
    reply_to: int | None = None


class ChatPage(Row):
    """Messages newest first."""

    messages: list[ChatMessage]
    has_more: bool
    """There are more in the direction that was asked for: newer ones after `after_seq`, else older ones."""
    has_newer: bool
    latest_seq: int
    latest_rev: int


class ChatChanges(Row):
    """Messages that changed, each in its present form, in the order of their revs."""

    messages: list[ChatMessage]
    has_more: bool
    latest_seq: int
    latest_rev: int


class Unread(Row):
    chat_id: UUID
    unread_count: int
    mention_count: int
