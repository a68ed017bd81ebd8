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
    PAUSE_CONNECTION = "pause_connection"
    """Back into the queue without counting the attempt, and its connection is paused with the reason."""


class Scope(StrEnum):
    """How far the cause of a refusal reaches."""

    MESSAGE = "message"
    RECIPIENT = "recipient"
    NUMBER = "number"
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


class Settlement(Row):
    """What the outbox made of one report."""

    id: UUID
    outcome: Literal["sent", "queued", "failed", "dead", "unknown", "lease_lost", "not_found"]
