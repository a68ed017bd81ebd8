"""Operators, entitlements, tokens and the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from qero.models.outbox import OutboxStats
from qero.models.row import Row
from qero.models.workspace import Role, Workspace

OperatorRole = Literal["owner", "ops", "viewer"]


class Operator(Row):
    """Somebody in one of the tables that say who operates the platform."""

    user_id: UUID
    email: str | None
    role: OperatorRole | None
    """owner: everything; ops: all but naming operators; viewer: only looks."""
    active: bool
    is_operator: bool = False
    """All of it holds: active, with the account's own e-mail, and in both tables."""
    created_at: datetime
    updated_at: datetime | None


class ListedWorkspace(Row):
    """A workspace as operators find it."""

    id: UUID
    slug: str
    name: str
    status: Literal["active", "suspended"]
    created_at: datetime
    member_count: int
    connection_count: int
    token_balance: int


class WorkspaceMember(Row):
    user_id: UUID
    email: str | None
    full_name: str | None
    role: Role
    since: datetime


class Entitlement(Row):
    workspace_id: UUID
    key: str
    enabled: bool
    payload: dict[str, Any]
    """`limit` and `period` (day, month or year in UTC, or none for good) bound what is counted; the rest is free."""
    expires_at: datetime | None
    reason: str | None
    granted_by: UUID | None
    """The operator who set it last."""
    created_at: datetime
    updated_at: datetime


class EntitlementState(Row):
    """What a workspace may use of something now."""

    granted: bool
    reason: Literal["granted", "not_entitled", "disabled", "expired", "limit_reached", "workspace_suspended"]
    limit: int | None
    usage: int
    """In the limit's present period."""


class TokenBalance(Row):
    """Tokens of a workspace. `balance` is the sum of its ledger."""

    workspace_id: UUID
    balance: int
    reserved: int
    """Held by reservations; what is left may be spent."""
    granted: int
    """The part that comes from open grants with an expiry or a priority; spent first."""
    alert_levels: list[int]
    next_due_at: datetime | None
    """When the next grant begins or ends, or the next reservation runs out."""


class TokenEntry(Row):
    """A row of a workspace's ledger."""

    workspace_id: UUID
    id: int
    delta: int
    balance_after: int
    reason: str | None
    reference_type: Literal["request", "grant", "reservation", "opening"]
    reference_id: str | None
    actor_id: UUID | None
    created_at: datetime


class TokenGrant(Row):
    id: UUID
    workspace_id: UUID
    amount: int
    remaining: int
    priority: int
    """0 is spent first, 100 last; of the same priority, what ends first."""
    effective_at: datetime
    expires_at: datetime | None
    status: Literal["scheduled", "open", "used", "expired"]
    reason: str | None
    reference: str | None
    created_by: UUID | None
    created_at: datetime


class TokenReservation(Row):
    id: UUID
    workspace_id: UUID
    amount: int
    settled_amount: int | None
    status: Literal["open", "settled", "released", "expired"]
    reason: str | None
    reference: str | None
    expires_at: datetime
    created_by: UUID | None
    created_at: datetime
    ended_at: datetime | None


class TokenAlert(Row):
    """The balance fell to one of the levels to be told about."""

    workspace_id: UUID
    id: int
    level: int
    balance: int
    created_at: datetime


class TokenMismatch(Row):
    """A balance that its ledger doesn't explain."""

    workspace_id: UUID
    balance: int
    ledger_sum: int


class AuditEntry(Row):
    """Who did what, and what was before and after."""

    id: int
    occurred_at: datetime
    action: str
    actor_id: UUID | None
    actor_email: str | None
    actor_role: str | None
    """As what they came: authenticated, service_role, or the database role of a direct connection."""
    workspace_id: UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    reason: str | None
    request_id: str | None


class AuditSeal(Row):
    """Seals the rows since the seal before it: whoever changes one of them breaks it."""

    number: int
    last_id: int
    row_count: int
    hash: str
    sealed_at: datetime


class VerifiedSeal(AuditSeal):
    intact: bool
    unsealed_count: int
    """Rows of the log that came after the newest seal."""


class OverviewConnection(Row):
    id: UUID
    phone_number_id: str
    display_phone_number: str | None
    status: str
    status_reason: str | None
    quality: str | None


class WorkspaceOverview(Row):
    """All that operators see of a workspace at once."""

    workspace: Workspace
    members: list[WorkspaceMember]
    entitlements: list[Entitlement]
    tokens: TokenBalance | None
    connections: list[OverviewConnection]
    queue: OutboxStats
    recent_audit: list[AuditEntry]
