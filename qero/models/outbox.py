"""What the outbox hands to a worker, how a send can end, and what the worker reports back."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field

from qero.models.row import Row

ERROR_TEXT_LIMIT = 1000


def _storable(text: str) -> str:
    """`text` as Postgres can hold it: a provider's words may contain U+0000 or half a surrogate pair."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode()[:ERROR_TEXT_LIMIT]


StorableText = Annotated[str, BeforeValidator(_storable)]


class OutboxMessage(Row):
    """One claimed message. Content and secret stay out of `repr`, and so out of logs."""

    lease_token: int
    lease_expires_at: datetime
    id: UUID
    workspace_id: UUID
    channel: str
    connection_id: UUID | None = None
    thread_id: UUID | None = None
    recipient: str = Field(repr=False)
    payload: dict[str, Any] = Field(repr=False)
    attempts: int
    """This one included."""
    max_attempts: int
    phone_number_id: str | None = None
    access_token_ciphertext: str | None = Field(None, repr=False)
    send_after_seconds: float = 0.0
    """Its moment by the pace of its number, counted from the claim; sooner is too soon."""
    pace_seconds: float = 0.0
    """What lies between two messages of its number."""


class FailureAction(StrEnum):
    """What becomes of a message that wasn't accepted."""

    RETRY = "retry"
    """Back into the queue after a delay; dead once its attempts are used up."""
    FAIL = "fail"
    """Failed for good, with the reason."""
    DEAD = "dead"
    """Put with the dead letters at once."""
    UNKNOWN = "unknown"
    """It may have been sent: never sent again until a status or a person settles it."""
    RELEASE = "release"
    """Back into the queue, at once or after a delay; sending hadn't begun, so the attempt doesn't count."""
    CANCEL = "cancel"
    """Nobody wants it any more."""
    PAUSE_CONNECTION = "pause_connection"
    """Back into the queue without counting the attempt, and its connection is paused with the reason."""


class Scope(StrEnum):
    """How far the cause of a refusal reaches."""

    MESSAGE = "message"
    RECIPIENT = "recipient"
    NUMBER = "number"
    ACCOUNT = "account"
    """Every number of the WhatsApp business account."""
    APP = "app"


class Accepted(Row):
    """The provider took the message and named it. That isn't delivery yet."""

    provider_message_id: Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[\x21-\x7e]+$")]


class Refused(Row):
    """The message was certainly not sent."""

    action: FailureAction
    error_code: StorableText
    error_text: StorableText
    delay: float | None = None
    """Seconds until the next try, for a retry."""
    scope: Scope = Scope.MESSAGE


class Unknown(Row):
    """The message may or may not have been sent."""

    error_code: StorableText
    error_text: StorableText


SendOutcome = Accepted | Refused | Unknown


class Completion(Row):
    """Reports one message as sent."""

    id: UUID
    provider_message_id: str


class Failure(Row):
    """Reports one message as not sent, or as not known to be sent."""

    id: UUID
    action: FailureAction
    error_code: StorableText
    error_text: StorableText
    delay_seconds: float | None = None
    scope: Scope = Scope.MESSAGE
    """How far a retry holds back: beyond the message, the numbers concerned pause, and it costs no attempt."""


class Settlement(Row):
    """What the outbox made of one report."""

    id: UUID
    outcome: Literal[
        "sent", "queued", "failed", "dead", "cancelled", "unknown", "processing", "lease_lost", "not_found",
        "not_attributable",
    ]  # fmt: skip


class LaneStats(Row):
    """What is queued for one sender: a number, or a workspace's channel without numbers."""

    workspace_id: UUID
    channel: str
    connection_id: UUID | None
    due: int
    scheduled: int
    waiting: int
    """Behind an earlier message of the same thread or recipient."""
    oldest_due_seconds: float
    connection_status: str
    paused_until: datetime | None
    """When the provider asked for a pause."""
    pause_reason: str | None


class ProblemCount(Row):
    status: Literal["failed", "dead", "unknown"]
    error_code: str
    count: int


class OutboxStats(Row):
    """The state of the outbox; lanes with something in them only."""

    due: int
    scheduled: int
    waiting: int
    processing: int
    oldest_due_seconds: float
    lanes: list[LaneStats]
    problems: list[ProblemCount]


class QueuedMessage(Row):
    """A message of the outbox as it is stored. Its content stays out of `repr`, and so out of logs."""

    id: UUID
    workspace_id: UUID
    channel: str
    connection_id: UUID | None
    thread_id: UUID | None
    recipient: str = Field(repr=False)
    payload: dict[str, Any] = Field(repr=False)
    status: Literal["queued", "processing", "sent", "failed", "dead", "cancelled", "unknown"]
    priority: int
    attempts: int
    max_attempts: int
    scheduled_at: datetime
    automated: bool
    provider_message_id: str | None
    error_code: str | None
    error_text: str | None
    created_at: datetime
    settled_at: datetime | None
    worker: str | None = None
    """Who has it in hand."""
    waits_for: UUID | None = None
    """The message of the same thread that has to be settled first."""
    paused_until: datetime | None = None


class RateLimitSlot(Row):
    """What became of a request for a slot."""

    allowed: bool
    remaining: int
    resets_at: datetime
