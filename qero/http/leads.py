"""The lead queue: who automation writes to tomorrow, and who has taken over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from qero.http.callers import Input, NamedWorkspace, User, WorkspaceRef, resolve
from qero.http.downloads import file_download
from qero.http.lists import LongLimit
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.lead import Lead, LeadFields, LeadPatch, LeadStage, Takeover
from qero.models.lead_queue import (
    LedgerEntry,
    PreparedQueue,
    QueueMetrics,
    QueueSettings,
    QueueSettingsPatch,
    QueueState,
    StartedAutomation,
)
from qero.services.lead_queue import LeadQueue, export_all
from qero.services.leads import Leads
from qero.services.workspaces import Workspaces

router = Router(prefix="/api/leads", tags=["lead queue"])

OfUser = Annotated[UUID | None, Query(description="A member's queue; the caller's own unless given.")]


class NewLeads(LeadFields):
    workspace: WorkspaceRef
    contact_ids: list[UUID] = Field(description="1 to 1,000.")


class OfQueue(Input):
    workspace: WorkspaceRef
    user_id: UUID | None = Field(None, description="A member's queue; the caller's own unless given.")


class Prepare(OfQueue):
    day: date | None = Field(None, description="Tomorrow in the queue's time zone unless given.")
    limit: int | None = Field(None, description="At most so many, whatever the capacity.")


class Start(OfQueue):
    batch: int | None = Field(None, description="1 to 1,000; the queue's own unless given.")
    dry_run: bool = False


class Assign(Input):
    workspace: WorkspaceRef
    limit: int = 1000


class Reason(Input):
    reason: str | None = None


class Assigned(BaseModel):
    leads: dict[UUID, int]
    """How many went to whom."""


@router.get("", responses=refusals(Workspaces.resolve, Leads.list, codes=["lead_status_invalid"]))
async def list_leads(
    user: User,
    workspace_id: NamedWorkspace,
    status: LeadStage | None = None,
    user_id: UUID | None = None,
    contact_id: UUID | None = None,
    after: Annotated[UUID | None, Query(description="The last id of the page before.")] = None,
    limit: LongLimit = 50,
) -> list[Lead]:
    """Leads by id."""
    return await Leads(user).list(
        workspace_id, status=status, user_id=user_id, contact_id=contact_id, after=after, limit=limit
    )  # fmt: skip


@router.post("", status_code=201, responses=refusals(Workspaces.resolve, Leads.create, writes=True))
async def create_leads(request: Request, user: User, new: NewLeads) -> list[Lead]:
    """Makes a lead of each contact that isn't one yet; answers with the new ones."""
    workspace_id = await resolve(request, user, new.workspace)
    fields = new.model_dump(exclude_unset=True, exclude={"workspace", "contact_ids"})
    return await Leads(user).create(workspace_id, new.contact_ids, LeadFields(**fields))


@router.post("/assign", responses=refusals(Workspaces.resolve, Leads.assign, writes=True))
async def assign_leads(request: Request, user: User, asked: Assign) -> Assigned:
    """Gives leads that are nobody's to members who have room."""
    workspace_id = await resolve(request, user, asked.workspace)
    return Assigned(leads=await Leads(user).assign(workspace_id, limit=asked.limit))


# --- The queue ---


@router.get("/queue", responses=refusals(Workspaces.resolve, LeadQueue.status))
async def get_queue_status(user: User, workspace_id: NamedWorkspace, day: date | None = None) -> QueueState:
    """How a day stands for each user; today unless given."""
    return await LeadQueue(user).status(workspace_id, day=day)


@router.post("/queue/prepare", responses=refusals(Workspaces.resolve, LeadQueue.prepare, writes=True))
async def prepare_queue(request: Request, user: User, asked: Prepare) -> PreparedQueue:
    """Prepares tomorrow's queue within the daily capacity; safe to repeat."""
    workspace_id = await resolve(request, user, asked.workspace)
    return await LeadQueue(user).prepare(workspace_id, day=asked.day, limit=asked.limit, user_id=asked.user_id)


@router.post("/queue/start", responses=refusals(Workspaces.resolve, LeadQueue.start, writes=True))
async def start_automation(request: Request, user: User, asked: Start) -> StartedAutomation:
    """Turns a batch of today's queue into messages; repeat it until none is left."""
    workspace_id = await resolve(request, user, asked.workspace)
    return await LeadQueue(user).start(workspace_id, batch=asked.batch, dry_run=asked.dry_run, user_id=asked.user_id)


@router.get(
    "/queue/export",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        **refusals(Workspaces.resolve, LeadQueue.export),
    },
)
async def export_queue(
    user: User,
    workspace_id: NamedWorkspace,
    since: date | None = None,
    until: date | None = None,
    user_id: OfUser = None,
) -> StreamingResponse:
    """The queue with its leads as CSV, however long."""

    async def pages() -> AsyncIterator[str]:
        async for page in export_all(LeadQueue(user), workspace_id, since=since, until=until, user_id=user_id):
            yield page.csv

    return await file_download("queue.csv", pages())


@router.patch("/queue/settings", responses=refusals(Workspaces.resolve, LeadQueue.settings, writes=True))
async def set_queue_settings(
    user: User, workspace_id: NamedWorkspace, patch: QueueSettingsPatch, user_id: OfUser = None
) -> QueueSettings:
    """A queue's settings, after changing the named ones."""
    return await LeadQueue(user).settings(workspace_id, patch, user_id=user_id)


@router.get("/queue/metrics", responses=refusals(Workspaces.resolve, LeadQueue.metrics))
async def list_queue_metrics(
    user: User,
    workspace_id: NamedWorkspace,
    since: date | None = None,
    until: date | None = None,
    user_id: UUID | None = None,
    limit: LongLimit = 200,
) -> list[QueueMetrics]:
    """What became of each user's queue of each day, the latest first."""
    return await LeadQueue(user).metrics(workspace_id, since=since, until=until, user_id=user_id, limit=limit)


# --- One lead ---


@router.get("/{id}", responses=refusals(Leads.get))
async def get_lead(user: User, id: UUID) -> Lead:
    """One lead."""
    return await Leads(user).get(id)


@router.patch("/{id}", responses=refusals(Leads.update, writes=True))
async def update_lead(user: User, id: UUID, patch: LeadPatch) -> Lead:
    """Changes the named fields of a lead; engaged, qualified and lost end automation."""
    return await Leads(user).update(id, patch)


@router.post("/{id}/take", responses=refusals(Leads.take, writes=True))
async def take_lead(user: User, id: UUID, why: Reason) -> Takeover:
    """Takes a lead from automation: what is queued for them is cancelled."""
    return await Leads(user).take(id, why.reason)


@router.post("/{id}/release", responses=refusals(Leads.release, writes=True))
async def release_lead(user: User, id: UUID, why: Reason) -> Lead:
    """Gives a lead back to automation."""
    return await Leads(user).release(id, why.reason)


@router.get("/{id}/ledger", responses=refusals(Leads.ledger))
async def list_lead_ledger(
    user: User,
    id: UUID,
    before: Annotated[int | None, Query(description="The last id of the page before.")] = None,
    limit: LongLimit = 50,
) -> list[LedgerEntry]:
    """Every transition of a lead and its messages, the latest first."""
    return await Leads(user).ledger(id, before=before, limit=limit)
