"""What the caller has planned to do about contacts and candidates."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Query
from pydantic import AwareDatetime, Field

from qero.http.callers import Input, MaybeNamedWorkspace, User
from qero.http.lists import After, Limit
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.contact import FollowUpFilter
from qero.models.personal import FollowUp, FollowUpCounts, MovedFollowUp
from qero.models.row import Page
from qero.services.follow_ups import FollowUps
from qero.services.workspaces import Workspaces

router = Router(prefix="/api/followups", tags=["follow-ups"])


class Rescheduled(Input):
    follow_up_at: AwareDatetime


class Snoozed(Input):
    seconds: int = Field(ge=1, le=366 * 86_400, description="From now; at most a year.")


@router.get("", responses=refusals(Workspaces.resolve, FollowUps.list))
async def list_follow_ups(
    user: User,
    workspace_id: MaybeNamedWorkspace,
    due: Annotated[FollowUpFilter, Query(description="In the caller's time zone; due is overdue or today.")] = "any",
    after: After = None,
    limit: Limit = 50,
) -> Page[FollowUp]:
    """The caller's own over contacts and candidates, the most urgent first; of all workspaces unless one is named."""
    return await FollowUps(user).list(workspace_id, due=due, after=after, limit=limit)


@router.get("/counts", responses=refusals(Workspaces.resolve, FollowUps.counts))
async def count_follow_ups(user: User, workspace_id: MaybeNamedWorkspace) -> FollowUpCounts:
    """How many the caller has overdue, later today and upcoming, for a badge."""
    return await FollowUps(user).counts(workspace_id)


@router.patch("/{id}", responses=refusals(FollowUps.reschedule, writes=True))
async def reschedule_follow_up(user: User, id: UUID, new: Rescheduled) -> MovedFollowUp:
    """Moves the caller's follow-up for the contact or candidate of that id; note and status stay."""
    return await FollowUps(user).reschedule(id, new.follow_up_at)


@router.post("/{id}/snooze", responses=refusals(FollowUps.snooze, writes=True))
async def snooze_follow_up(user: User, id: UUID, snoozed: Snoozed) -> MovedFollowUp:
    """Makes the caller's follow-up due so long from now; note and status stay."""
    return await FollowUps(user).snooze(id, timedelta(seconds=snoozed.seconds))


@router.post("/{id}/complete", responses=refusals(FollowUps.complete, writes=True))
async def complete_follow_up(user: User, id: UUID) -> MovedFollowUp:
    """Clears the caller's follow-up with its note; the personal status stays."""
    return await FollowUps(user).complete(id)
