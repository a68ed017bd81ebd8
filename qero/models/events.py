"""Webhook events as they were recorded, for looking at them and for applying them again."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from qero.models.row import Row
from qero.models.webhook import EventKind

EventStatus = Literal["applied", "kept", "set_aside"]


class Event(Row):
    """One item of a webhook, without what it says."""

    id: int
    workspace_id: UUID
    phone_number_id: str | None
    """None for what names a business account only."""
    event_key: str
    kind: EventKind
    status: EventStatus
    """`applied`: took effect; `kept`: has no effect here; `set_aside`: could not be used."""
    attempts: int
    error: str | None
    """Why it is set aside."""
    received_at: datetime


class EventWithRaw(Event):
    raw: Any = Field(repr=False)
    """The item as Meta sent it, names and texts of people included."""


class Orphan(Row):
    """One item for a number or business account that no workspace had connected, without what it says."""

    id: int
    phone_number_id: str
    """Or `waba:<id>` for what names a business account only."""
    event_key: str
    kind: EventKind
    hits: int
    """How often Meta has sent it."""
    received_at: datetime
    processed_at: datetime | None
    """When it took effect."""


class OrphanWithEvent(Orphan):
    event: dict[str, Any] = Field(repr=False)
    """The item as qero read it then, and under `raw` as Meta sent it."""


class Replayed(Row):
    """What became of one event that was applied again."""

    event_id: int
    outcome: EventStatus
    reason: str | None
    """Why it is set aside still, or why nothing was done."""


class ReplayedOrphans(Row):
    """How many orphans of one number, or of its business account, had which outcome."""

    phone_number_id: str
    recorded: int
    deduped: int
    """The connection had them already."""
    set_aside: int


class EventCount(Row):
    day: date
    """In UTC."""
    kind: EventKind
    status: EventStatus
    events: int


class OrphanCount(Row):
    """The orphans that wait for one number or business account."""

    phone_number_id: str
    events: int
    hits: int
    """How often Meta has sent them, taken together."""
    oldest_at: datetime
    is_connected: bool
    """Whether they could take effect now."""


class EventStats(Row):
    since: datetime
    """What the counts begin with."""
    counts: list[EventCount]
    """By day, the latest first, then by kind and status."""
    set_aside: int
    """Of any age."""
    orphans: list[OrphanCount]
    """Of any age, the number that has waited longest first."""
