"""TMA candidates, and what the caller has marked them with."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query, Request

from qero.http.callers import NamedWorkspace, User, WorkspaceRef, resolve
from qero.http.imports import CsvRows, Imported, ImportRows, outcomes
from qero.http.lists import After, Descending, Limit, Sort
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.candidate import Candidate, CandidateFilter, CandidatePatch, MyCandidate
from qero.models.contact import FollowUpFilter
from qero.models.personal import CandidateSettings, CandidateSettingsPatch, CandidateStatus
from qero.models.row import Page
from qero.services.candidates import Candidates
from qero.services.workspaces import Workspaces

router = Router(prefix="/api/candidates", tags=["candidates"])


class NewCandidate(CandidatePatch):
    """A candidate needs a name, an e-mail or a phone number."""

    workspace: WorkspaceRef


class PersonalCandidateSettings(CandidateSettingsPatch):
    candidate_id: UUID


async def candidate_filter(
    search: Annotated[
        str | None, Query(max_length=500, description="Words that all occur in name, e-mail or phone.")
    ] = None,
    status_tag: Annotated[list[CandidateStatus] | None, Query(description="All of these.")] = None,
    tag: Annotated[list[str] | None, Query(description="All of these.")] = None,
    my_status: Annotated[CandidateStatus | Literal["none"] | None, Query(description="The caller's own.")] = None,
    follow_up: Annotated[FollowUpFilter | None, Query(description="The caller's own is due then.")] = None,
) -> CandidateFilter:
    """Which candidates."""
    return CandidateFilter(
        search=search, status_tags=status_tag, tags=tag, my_status=my_status, follow_up=follow_up
    )  # fmt: skip


@router.get("", responses=refusals(Workspaces.resolve, Candidates.list))
async def list_candidates(
    user: User,
    workspace_id: NamedWorkspace,
    filter: Annotated[CandidateFilter, Depends(candidate_filter)],
    sort: Sort = "created_at",
    descending: Descending = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[MyCandidate]:
    """A page of candidates with the caller's own status and follow-up."""
    return await Candidates(user).list(
        workspace_id, filter, sort=sort, descending=descending, after=after, limit=limit
    )  # fmt: skip


@router.post("", status_code=201, responses=refusals(Workspaces.resolve, Candidates.create, writes=True))
async def create_candidate(request: Request, user: User, candidate: NewCandidate) -> Candidate:
    """Creates a candidate."""
    workspace_id = await resolve(request, user, candidate.workspace)
    fields = candidate.model_dump(exclude_unset=True, exclude={"workspace"})
    return await Candidates(user).create(workspace_id, CandidatePatch(**fields))


@router.post("/import", responses=refusals(Workspaces.resolve, Candidates.import_rows, writes=True))
async def import_candidates(request: Request, user: User, given: ImportRows) -> Imported:
    """Creates candidates, or updates those with the same e-mail or phone, and says what became of each row."""
    workspace_id = await resolve(request, user, given.workspace)
    found = await Candidates(user).import_rows(workspace_id, given.rows, dry_run=given.dry_run, update=given.update)
    return outcomes(given.rows, found, dry_run=given.dry_run)


@router.post(
    "/import/csv",
    responses=refusals(Workspaces.resolve, Candidates.import_rows, codes=["file_unreadable"], writes=True),
)
async def import_candidates_from_csv(
    user: User,
    workspace_id: NamedWorkspace,
    rows: CsvRows,
    dry_run: Annotated[bool, Query(description="Only say what would become of each row.")] = False,
    update: Annotated[bool, Query(description="Change those that exist, or skip them.")] = True,
) -> Imported:
    """As importing rows, from a file with a header, whose columns are found by their names."""
    found = await Candidates(user).import_rows(workspace_id, rows, dry_run=dry_run, update=update)
    return outcomes(rows, found, dry_run=dry_run)


@router.patch("/personal-settings", responses=refusals(Candidates.set_settings, writes=True))
async def set_candidate_settings(user: User, settings: PersonalCandidateSettings) -> CandidateSettings:
    """Changes the named keys of the caller's own settings for a candidate, which nobody else sees."""
    patch = CandidateSettingsPatch(**settings.model_dump(exclude_unset=True, exclude={"candidate_id"}))
    return await Candidates(user).set_settings(settings.candidate_id, patch)


@router.get("/{id}", responses=refusals(Candidates.get))
async def get_candidate(user: User, id: UUID) -> MyCandidate:
    """One candidate, as lists show them."""
    return await Candidates(user).get(id)


@router.patch("/{id}", responses=refusals(Candidates.update, writes=True))
async def update_candidate(user: User, id: UUID, patch: CandidatePatch) -> Candidate:
    """Changes the named fields of a candidate; the others stay."""
    return await Candidates(user).update(id, patch)


@router.delete("/{id}", status_code=204, responses=refusals(Candidates.delete, writes=True))
async def delete_candidate(user: User, id: UUID) -> None:
    """Deletes a candidate with everybody's settings for them."""
    await Candidates(user).delete(id)
