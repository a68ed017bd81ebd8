"""Threads as an inbox shows them, what they are filtered by, and how a workspace works through them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from qero.models.row import Listed, LocalTime, Patch, Row

ThreadStatus = Literal["open", "pending", "snoozed", "closed"]
ThreadSort = Literal["last_message_at", "waiting_since", "first_response_seconds"]
Priority = Literal["low", "normal", "high", "urgent"]
AssignmentPolicy = Literal["manual", "round_robin", "by_load"]


class InboxThread(Listed):
    """A thread as the caller's inbox shows it."""

    id: UUID
    workspace_id: UUID
    connection_id: UUID
    contact_id: UUID | None
    group_id: str | None
    contact_name: str | None
    contact_phone: str | None
    status: ThreadStatus
    assignee_id: UUID | None
    tags: list[str]
    priority: Priority
    snoozed_until: datetime | None
    last_inbound_at: datetime | None
    """Free text may be sent for 24 hours from here."""
    last_message_at: datetime | None
    last_message_body: str | None = Field(repr=False)
    unread_count: int
    """What came since the team last answered."""
    my_unread_count: int
    """What of that the caller hasn't seen; at least 1 where they marked the thread unread."""
    waiting_since: datetime | None
    """When the customer wrote what nobody has answered yet."""
    answer_due_at: datetime | None
    """Until when the workspace means to answer; None without a target, or when nobody waits."""
    first_response_seconds: int | None
    """How long the first answer of the present conversation took."""
    created_at: datetime


class ViewFilters(Patch):
    """What a saved view may hold; what isn't given doesn't matter."""

    status: ThreadStatus | list[ThreadStatus] | None = None
    """This, or any of these."""
    assignee: Literal["me", "unassigned"] | UUID | None = None
    """`me` is whoever applies the view."""
    tag: str | list[str] | None = None
    """This, or all of these."""
    q: str | None = None
    """Words that a message holds, or the contact's name, e-mail and phone."""


class ThreadFilter(ViewFilters):
    """Which threads to list, count or send to: everything that a view may hold, and more."""

    connection_id: UUID | None = None
    contact_id: UUID | None = None
    priority: Priority | list[Priority] | None = None
    unread: Literal[True] | None = None
    """By the caller."""
    waiting: Literal[True] | None = None
    breached: Literal[True] | None = None
    """The customer has waited longer than the workspace's target."""


class InboxCounts(Row):
    """What stands beside an inbox's filters."""

    open: int
    pending: int
    snoozed: int
    closed: int
    mine: int
    """Open and assigned to the caller."""
    unread: int
    """By the caller."""
    waiting: int
    breached: int


class FoundMessage(Listed):
    """A message that a search found."""

    id: UUID
    workspace_id: UUID
    thread_id: UUID
    contact_id: UUID | None
    contact_name: str | None
    direction: Literal["in", "out"]
    type: str
    excerpt: str = Field(repr=False)
    """What was found stands in « »."""
    occurred_at: datetime


class SavedView(Row):
    """A filter under a name."""

    id: UUID
    workspace_id: UUID
    user_id: UUID
    name: str
    filters: ViewFilters
    is_default: bool
    """What its user's inbox opens with; a shared one, that of everybody without one of their own."""
    is_shared: bool
    created_at: datetime
    updated_at: datetime


class SavedViewPatch(Patch):
    """Fields of a view to set; the ones not given stay."""

    name: str | None = None
    filters: ViewFilters | None = None
    is_default: bool | None = None
    is_shared: bool | None = None


class CannedResponse(Row):
    """An answer that is given often."""

    id: UUID
    workspace_id: UUID
    shortcut: str
    body: str
    """With `{contact.name}`, `{contact.first_name}`, `{contact.email}`, `{contact.phone}` where those are to stand."""
    created_by: UUID | None
    created_at: datetime
    updated_at: datetime


class Opening(Patch):
    """Hours of one day of the week."""

    day: Annotated[int, Field(ge=1, le=7)]
    """1 is Monday."""
    opens: LocalTime
    closes: LocalTime
    """On the same day."""


class InboxSettings(Row):
    """How a workspace shares out its conversations, and how soon it means to answer."""

    workspace_id: UUID
    assignment_policy: AssignmentPolicy = "manual"
    assignment_limit: int | None = None
    """How many open conversations somebody may have before nothing more is assigned to them."""
    first_response_target_seconds: int | None = None
    next_response_target_seconds: int | None = None
    business_hours: list[Opening] | None = None
    """The only time that targets count; None is always."""
    timezone: str = "UTC"
    """Of the business hours."""


class InboxSettingsPatch(Patch):
    """Settings to change; the ones not given stay, None takes a limit or target away."""

    assignment_policy: AssignmentPolicy | None = None
    assignment_limit: int | None = None
    assignee_ids: list[UUID] | None = None
    """Who takes part in the assignment: members who aren't viewers."""
    first_response_target_seconds: int | None = None
    next_response_target_seconds: int | None = None
    business_hours: list[Opening] | None = None
    """They don't overlap, and make an hour a week at least; None is always."""
    timezone: str | None = None
    """As Europe/Berlin."""


class Breach(Row):
    """A customer who waited longer than the target."""

    thread_id: UUID
    workspace_id: UUID
    kind: Literal["first_response", "next_response"]
    target_seconds: int
    waiting_since: datetime
    assignee_id: UUID | None
    """Who was in charge then."""
    answered_at: datetime | None
    """When the wait was found to be over."""
    created_at: datetime


class KeptInbox(Row):
    """What one round of upkeep did."""

    woken: int
    assigned: int
    breached: int
    answered: int


class Media(Patch):
    """A file to send: one that was uploaded to Meta, or one that Meta fetches from a link."""

    id: str | None = None
    link: str | None = None
    caption: str | None = None
    """Of pictures, videos and documents, up to 1024 characters."""
    filename: str | None = None
    """Of documents."""
    voice: bool | None = None
    """Of a sound: it is shown as a voice message, which is to be OGG with OPUS."""


MediaKind = Literal["image", "video", "audio", "document", "sticker"]


UPLOAD_BEGINNING_BYTES = 32
"""So much of a file says what there is to know about it before it is uploaded."""


class UploadTarget(Row):
    """What a file is sent as, and by which number."""

    kind: MediaKind
    mime_type: str
    """As Meta wants it named."""
    connection_id: UUID


class ConnectionToken(Row):
    """A number, and the encrypted token that it sends with."""

    phone_number_id: str
    access_token_ciphertext: str | None = Field(None, repr=False)


class UploadedMedia(Row):
    """A file that Meta has, for 30 days."""

    kind: MediaKind
    id: str


Variables = dict[str, Any]
"""For a template: `{"header": …, "body": ["Ada", "42"], "buttons": {"0": "order-17"}}`, as its `variables` say."""
