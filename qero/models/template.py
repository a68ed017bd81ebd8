"""Message templates, and sending one to many."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import Field

from qero.models.row import Row


class Template(Row):
    """A message template as Meta last described it, in Meta's words."""

    id: UUID
    workspace_id: UUID
    waba_id: str
    template_id: str
    name: str | None
    language: str | None
    status: str | None
    """Only APPROVED ones can be sent."""
    category: str | None
    """What Meta charges it as: MARKETING, UTILITY or AUTHENTICATION."""
    quality: str | None
    rejected_reason: str | None
    components: list[dict[str, Any]]
    variables: dict[str, Any]
    """What has to be given to send it: the places of header and body, the kind of a header's file, the buttons; under
    `carousel`, the same of each card."""
    updated_at: datetime


class AccountToken(Row):
    """A business account and the encrypted token that reads it."""

    waba_id: str
    access_token_ciphertext: str | None = Field(None, repr=False)
    asked_at: datetime
    """Now, by the database's clock: what is read of the account afterwards is at least as new."""


class TemplateCounts(Row):
    """How many templates a sync stored, and how many Meta doesn't have any more."""

    synced: int
    gone: int
    accounts_without_token: tuple[str, ...] = ()
    """Business accounts that Meta couldn't be asked about, by its ids: the newest number's token isn't there."""


class Sample(Row):
    """What one customer would read."""

    thread_id: UUID
    contact_name: str | None
    body: str | None


class BulkPreview(Row):
    """What sending a template to many would do."""

    threads: int
    """How many the filter means, up to the limit."""
    sendable: int
    skipped: dict[str, int]
    """How many don't get it, by the reason."""
    category: str | None
    samples: list[Sample]


class BulkResult(Row):
    """What became of sending a template to many."""

    queued: int
    repeated: int
    """Had been queued before under the same key."""
    skipped: dict[str, int]
