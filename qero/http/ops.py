"""The ops console: every workspace, its entitlements and tokens, and what operators did. For operators only."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal
from uuid import UUID

import structlog
from fastapi import Depends, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import AwareDatetime, Field, JsonValue

from qero.http.callers import Input, User, WorkspaceRef
from qero.http.downloads import csv_download
from qero.http.lists import LongLimit
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.ops import (
    AuditEntry,
    AuditSeal,
    Entitlement,
    ListedWorkspace,
    Operator,
    OperatorRole,
    TokenAlert,
    TokenBalance,
    TokenEntry,
    TokenGrant,
    TokenReservation,
    VerifiedSeal,
    WorkspaceOverview,
)
from qero.models.workspace import Workspace
from qero.services.audit import Audit
from qero.services.entitlements import Entitlements
from qero.services.operators import Operators
from qero.services.tokens import Tokens

router = Router(prefix="/api/ops", tags=["ops"])

Status = Literal["active", "suspended"]
Reason = Annotated[str | None, Field(max_length=500)]


class NewOperator(Input):
    email: str
    role: OperatorRole = "owner"


class NewStatus(Input):
    status: Status
    reason: Reason = None


class NewEntitlement(Input):
    enabled: bool
    payload: dict[str, JsonValue] | None = Field(
        None, description="`limit` and `period` bound what is counted; left out, the payload stays."
    )
    expires_at: AwareDatetime | None = None
    reason: Reason = None


class TokenDelta(Input):
    delta: int = Field(description="Above 0 grants, below deducts.")
    reason: str
    reference: str | None = Field(None, description="Repeated, it counts once.")


class NewGrant(Input):
    amount: int
    reason: str
    reference: str | None = Field(None, description="Repeated, it counts once.")
    expires_at: AwareDatetime | None = None
    effective_at: AwareDatetime | None = None
    priority: int = Field(50, description="0 is spent first, 100 last.")


class AlertLevels(Input):
    levels: list[int]


class NewReservation(Input):
    amount: int
    reason: str
    reference: str | None = Field(None, description="Repeated, it counts once.")
    seconds: int = Field(900, description="Afterwards they are free again, should nobody settle or release them.")


class Cost(Input):
    amount: int = Field(description="What the work cost, at most what was reserved.")


async def any_workspace(user: User, workspace: Annotated[WorkspaceRef, Path()]) -> UUID:
    """The workspace of the path, whoever is in it."""
    found = (await Operators(user).find_workspace(workspace)).id
    structlog.contextvars.bind_contextvars(workspace_id=str(found))
    return found


AnyWorkspace = Annotated[UUID, Depends(any_workspace)]


# --- Operators ---


@router.get("/operators", responses=refusals(Operators.list))
async def list_operators(user: User) -> list[Operator]:
    """Everybody who is or was an operator."""
    return await Operators(user).list()


@router.post("/operators", responses=refusals(Operators.add, writes=True))
async def add_operator(user: User, operator: NewOperator) -> Operator:
    """Makes an account an operator, or again an active one."""
    return await Operators(user).add(operator.email, operator.role)


@router.delete("/operators", responses=refusals(Operators.remove, writes=True))
async def remove_operator(user: User, email: Annotated[str, Query()]) -> Operator:
    """Ends what an operator may do."""
    return await Operators(user).remove(email)


# --- Workspaces ---


@router.get("/workspaces", responses=refusals(Operators.list_workspaces))
async def list_every_workspace(
    user: User,
    search: Annotated[str | None, Query(max_length=200, description="A part of slug or name, or an id.")] = None,
    status: Status | None = None,
    after_slug: Annotated[str | None, Query(max_length=100, description="The last slug of the page before.")] = None,
    limit: LongLimit = 50,
) -> list[ListedWorkspace]:
    """Workspaces by slug, with how many members, connections and tokens each has."""
    return await Operators(user).list_workspaces(search=search, status=status, after_slug=after_slug, limit=limit)


@router.get("/workspaces/{workspace}", responses=refusals(Operators.find_workspace, Operators.overview))
async def get_workspace(user: User, workspace_id: AnyWorkspace) -> WorkspaceOverview:
    """All that operators see of a workspace at once."""
    return await Operators(user).overview(workspace_id)


@router.patch(
    "/workspaces/{workspace}",
    responses=refusals(Operators.find_workspace, Operators.set_workspace_status, writes=True),
)
async def set_workspace_status(user: User, workspace_id: AnyWorkspace, new: NewStatus) -> Workspace:
    """Suspends a workspace, or ends that."""
    return await Operators(user).set_workspace_status(workspace_id, new.status, new.reason)


# --- Entitlements ---


@router.get("/workspaces/{workspace}/entitlements", responses=refusals(Operators.find_workspace, Entitlements.list))
async def list_entitlements_of(user: User, workspace_id: AnyWorkspace) -> list[Entitlement]:
    """A workspace's entitlements, disabled and expired ones too."""
    return await Entitlements(user).list(workspace_id)


@router.put(
    "/workspaces/{workspace}/entitlements/{key}",
    responses=refusals(Operators.find_workspace, Entitlements.set, Entitlements.set_payload, writes=True),
)
async def set_entitlement(user: User, workspace_id: AnyWorkspace, key: str, new: NewEntitlement) -> Entitlement:
    """Sets an entitlement; without a payload, the one it has stays."""
    entitlements = Entitlements(user)
    given: dict[str, Any] = {"enabled": new.enabled, "expires_at": new.expires_at, "reason": new.reason}
    if "payload" not in new.model_fields_set:
        return await entitlements.set(str(workspace_id), key, **given)
    return await entitlements.set_payload(workspace_id, key, new.payload, **given)


# --- Tokens ---


@router.get("/workspaces/{workspace}/tokens", responses=refusals(Operators.find_workspace, Tokens.balance))
async def get_balance_of(user: User, workspace_id: AnyWorkspace) -> TokenBalance | None:
    """A workspace's balance; null before its first token."""
    return await Tokens(user).balance(workspace_id)


@router.post("/workspaces/{workspace}/tokens", responses=refusals(Operators.find_workspace, Tokens.apply, writes=True))
async def move_tokens(user: User, workspace_id: AnyWorkspace, move: TokenDelta) -> TokenEntry:
    """Grants or deducts tokens; answers with the ledger's row."""
    return await Tokens(user).apply(workspace_id, move.delta, move.reason, reference=move.reference)


@router.get("/workspaces/{workspace}/tokens/ledger", responses=refusals(Operators.find_workspace, Tokens.ledger))
async def list_ledger(
    user: User,
    workspace_id: AnyWorkspace,
    before_id: Annotated[int | None, Query(description="The last id of the page before.")] = None,
    limit: LongLimit = 50,
) -> list[TokenEntry]:
    """A page of a workspace's ledger, newest first."""
    return await Tokens(user).ledger(workspace_id, before_id=before_id, limit=limit)


@router.get("/workspaces/{workspace}/tokens/grants", responses=refusals(Operators.find_workspace, Tokens.grants))
async def list_grants(user: User, workspace_id: AnyWorkspace, limit: LongLimit = 50) -> list[TokenGrant]:
    """The newest grants that end, begin later or go first."""
    return await Tokens(user).grants(workspace_id, limit=limit)


@router.post(
    "/workspaces/{workspace}/tokens/grants", responses=refusals(Operators.find_workspace, Tokens.grant, writes=True)
)
async def grant_tokens(user: User, workspace_id: AnyWorkspace, grant: NewGrant) -> TokenGrant:
    """Grants tokens that end, begin later or are spent before others."""
    return await Tokens(user).grant(
        workspace_id, grant.amount, grant.reason, reference=grant.reference, expires_at=grant.expires_at,
        priority=grant.priority, effective_at=grant.effective_at,
    )  # fmt: skip


@router.post(
    "/workspaces/{workspace}/tokens/reservations",
    responses=refusals(Operators.find_workspace, Tokens.reserve, writes=True),
)
async def reserve_tokens(user: User, workspace_id: AnyWorkspace, new: NewReservation) -> TokenReservation:
    """Holds tokens for work that is about to cost them."""
    return await Tokens(user).reserve(
        workspace_id, new.amount, new.reason, reference=new.reference, seconds=new.seconds
    )  # fmt: skip


@router.post("/tokens/reservations/{id}/settle", responses=refusals(Tokens.settle, writes=True))
async def settle_reservation(user: User, id: UUID, cost: Cost) -> TokenReservation:
    """Deducts what the work cost and frees the rest."""
    return await Tokens(user).settle(id, cost.amount)


@router.post("/tokens/reservations/{id}/release", responses=refusals(Tokens.release, writes=True))
async def release_reservation(user: User, id: UUID) -> TokenReservation:
    """Frees what was reserved: the work cost nothing."""
    return await Tokens(user).release(id)


@router.get("/workspaces/{workspace}/tokens/alerts", responses=refusals(Operators.find_workspace, Tokens.alerts))
async def list_alerts(user: User, workspace_id: AnyWorkspace, limit: LongLimit = 50) -> list[TokenAlert]:
    """When a workspace's balance fell to a level, the newest first."""
    return await Tokens(user).alerts(workspace_id, limit=limit)


@router.put(
    "/workspaces/{workspace}/tokens/alerts",
    responses=refusals(Operators.find_workspace, Tokens.set_alerts, writes=True),
)
async def set_alerts(user: User, workspace_id: AnyWorkspace, alerts: AlertLevels) -> TokenBalance:
    """Sets at which balances a deduction leaves an alert; none ends them."""
    return await Tokens(user).set_alerts(workspace_id, alerts.levels)


# --- Audit ---


async def audit_filter(
    workspace_id: Annotated[UUID | None, Query(description="Also of one that is gone.")] = None,
    action: Annotated[str | None, Query(max_length=200, description="`owner.tokens.granted`, or a beginning.")] = None,
    actor: Annotated[str | None, Query(max_length=400, description="E-mail or id, or `service_role`.")] = None,
    since: AwareDatetime | None = None,
    until: AwareDatetime | None = None,
    search: Annotated[str | None, Query(max_length=500, description="Words in reason, before and after.")] = None,
) -> dict[str, Any]:
    """Which rows of the log."""
    return {
        "workspace_id": workspace_id, "action": action, "actor": actor, "since": since, "until": until, "text": search,
    }  # fmt: skip


AuditFilter = Annotated[dict[str, Any], Depends(audit_filter)]


@router.get("/audit", responses=refusals(Audit.search))
async def search_audit_log(
    user: User,
    filter: AuditFilter,
    before_id: Annotated[int | None, Query(description="The last id of the page before.")] = None,
    limit: LongLimit = 50,
) -> list[AuditEntry]:
    """A page of what was done, newest first."""
    return await Audit(user).search(**filter, before_id=before_id, limit=limit)


@router.get(
    "/audit/export",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}, **refusals(Audit.search)},
)
async def export_audit_log(user: User, filter: AuditFilter) -> StreamingResponse:
    """All that was done as CSV, newest first, however much."""
    audit = Audit(user)

    async def rows() -> AsyncIterator[list[object]]:
        before_id = None
        while page := await audit.search(**filter, before_id=before_id, limit=1000):
            for entry in page:
                yield [*entry.model_dump(mode="json").values()]
            before_id = page[-1].id

    return await csv_download("audit.csv", [*AuditEntry.model_fields], rows())


@router.get("/audit/seals", responses=refusals(Audit.verify))
async def verify_seals(
    user: User,
    after_number: Annotated[int, Query(ge=0, description="The last number of the page before.")] = 0,
    limit: Annotated[int, Query(ge=1, le=100, description="How many at most.")] = 10,
) -> list[VerifiedSeal]:
    """A page of seals in order, each with whether the rows it covers are what they were."""
    return await Audit(user).verify(after_number=after_number, limit=limit)


@router.post("/audit/seals", responses=refusals(Audit.seal, writes=True))
async def seal_audit_log(user: User) -> AuditSeal | None:
    """Seals what came since the last seal; answers with the newest, null while the log is empty."""
    return await Audit(user).seal()
