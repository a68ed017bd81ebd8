"""The lead queue: a user's day of messages that automation writes, and what becomes of them."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from qero.models.row import LocalTime, Patch, Row

QueueStatus = Literal["queued", "sending", "sent", "failed", "cancelled"]


class Step(Row):
    """What automation writes at one step: free text, within 24 hours of the person's last message, or a template."""

    body: str | None = None
    template: dict[str, Any] | None = None
    """As Meta documents it: name, language, components."""
    after_days: int | None = None
    """Days without a reply since the step before; the first has none."""


class QueueSettings(Row):
    """How a user's queue is worked on."""

    workspace_id: UUID
    user_id: UUID
    daily_capacity: int
    batch_size: int
    timezone: str | None
    """Of days and hours; None is the profile's."""
    sends_from: LocalTime
    sends_until: LocalTime
    paused: bool
    takes_unassigned: bool
    """Whether leads that are nobody's may come into this queue."""
    connection_id: UUID | None
    """The number to write by; None is the one the contact last wrote to, or else the workspace's first."""
    steps: list[Step]


class QueueSettingsPatch(Patch):
    """Settings to change; the ones not given stay."""

    daily_capacity: int | None = None
    batch_size: int | None = None
    timezone: str | None = None
    sends_from: LocalTime | None = None
    sends_until: LocalTime | None = None
    paused: bool | None = None
    takes_unassigned: bool | None = None
    connection_id: UUID | None = None
    steps: list[dict[str, Any]] | None = None


class Refusal(Row):
    """A lead that automation can't write to, and why."""

    lead_id: UUID
    reason: Literal["contact_missing", "opted_out", "recipient_missing", "already_queued"]


class PreparedQueue(Row):
    """What preparing one day did."""

    user_id: UUID
    day: date
    timezone: str
    opens_at: datetime
    """When sending begins that day."""
    capacity: int
    prepared: int
    """New leads."""
    follow_ups: int
    """Leads who haven't replied to an earlier step."""
    carried_over: int
    """What earlier days left over."""
    room_left: int
    refused: int
    refusals: list[Refusal]
    """The first 1,000."""


class StartedAutomation(Row):
    """What starting one batch did, or would do."""

    user_id: UUID
    day: date
    dry_run: bool
    waits_for: Literal["resume", "sending_hours", "connection"] | None
    """Why nothing is sent now: the queue is paused, it isn't the hour, or no number is active."""
    opens_at: datetime | None
    started: int
    failed: int
    cancelled: int
    """Whose lead has left automation meanwhile."""
    put_off: int
    """Whose contact is written to today as another lead; they are left over for another day."""
    problems: dict[str, int]
    left: int
    """Still queued for today."""


class ExportPage(Row):
    csv: str = Field(repr=False)
    rows: int
    next: str | None
    """Pass it as `after`; None on the last page."""


class UserQueue(Row):
    """How one user's day stands."""

    user_id: UUID
    name: str
    capacity: int
    paused: bool
    queued: int
    sending: int
    sent: int
    failed: int
    cancelled: int
    taken: int
    replied: int
    first_sent_at: datetime | None
    last_sent_at: datetime | None


class QueueState(Row):
    """How a day of the queue stands."""

    day: date
    at: datetime
    users: list[UserQueue]
    problems: dict[str, int]
    """The ten most frequent reasons of failures."""


class QueueMetrics(Row):
    """What became of one user's queue of one day."""

    user_id: UUID
    day: date
    prepared: int
    sent: int
    failed: int
    cancelled: int
    taken: int
    replied: int
    first_sent_at: datetime | None
    last_sent_at: datetime | None


class LedgerEntry(Row):
    """One transition, as it was written down."""

    id: int
    lead_id: UUID
    queue: Literal["leads", "whatsapp_message_queue", "lead_processing_queue"]
    queue_id: UUID | None
    from_status: str | None
    to_status: str | None
    action: str | None
    actor_id: UUID | None
    """None is automation, a worker or the service."""
    reason: str | None
    created_at: datetime


class AuditFinding(Row):
    kind: Literal["missing constraint", "constraint not valid", "orphans", "inconsistent", "set aside"]
    table_name: str
    name: str
    rows: int | None
    remedy: str
