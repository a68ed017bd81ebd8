"""Contacts, and what the caller has marked them with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse

from qero.clients.batches import every_page
from qero.errors import error_for
from qero.http.callers import Input, NamedWorkspace, User, WorkspaceRef, resolve
from qero.http.downloads import csv_download
from qero.http.imports import CsvRows, Imported, ImportRows, outcomes
from qero.http.lists import After, Descending, Limit, LongLimit, Sort
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.contact import (
    Contact,
    ContactDuplicate,
    ContactFilter,
    ContactPatch,
    Conversation,
    Count,
    DeletedContact,
    FollowUpFilter,
    LeadStatus,
    MergedContact,
    MyContact,
    TimelineItem,
)
from qero.models.personal import ContactSettings, ContactSettingsPatch, ContactStatus
from qero.models.row import Page
from qero.services.contacts import Contacts
from qero.services.workspaces import Workspaces

router = Router(prefix="/api/contacts", tags=["contacts"])

COLUMNS = [name for name in MyContact.model_fields if name != "cursor"]
BY_FILTER = ("lead_status_invalid",)


class NewContact(ContactPatch):
    """A contact needs a name, an e-mail or a phone number."""

    workspace: WorkspaceRef


class PersonalSettings(ContactSettingsPatch):
    contact_id: UUID


class NewStatus(Input):
    lead_status: LeadStatus


class Merge(Input):
    duplicate_id: UUID
    """Whose everything moves to the contact of the path."""


async def contact_filter(
    search: Annotated[
        str | None, Query(max_length=500, description="Words that all occur in name, e-mail or phone.")
    ] = None,
    lead_status: Annotated[list[LeadStatus] | None, Query(description="Any of these.")] = None,
    tag: Annotated[list[str] | None, Query(description="All of these.")] = None,
    assigned_to: Annotated[UUID | None, Query(description="The id of the member in charge.")] = None,
    my_status: Annotated[ContactStatus | Literal["none"] | None, Query(description="The caller's own.")] = None,
    follow_up: Annotated[FollowUpFilter | None, Query(description="The caller's own is due then.")] = None,
) -> ContactFilter:
    """Which contacts."""
    return ContactFilter(
        search=search, lead_statuses=lead_status, tags=tag, assigned_to=assigned_to, my_status=my_status,
        follow_up=follow_up,
    )  # fmt: skip


Filter = Annotated[ContactFilter, Depends(contact_filter)]


@router.get("", responses=refusals(Workspaces.resolve, Contacts.list, codes=BY_FILTER))
async def list_contacts(
    user: User,
    workspace_id: NamedWorkspace,
    filter: Filter,
    sort: Sort = "created_at",
    descending: Descending = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[MyContact]:
    """A page of contacts with the caller's own status and follow-up."""
    return await Contacts(user).list(
        workspace_id, filter, sort=sort, descending=descending, after=after, limit=limit
    )  # fmt: skip


@router.post("", status_code=201, responses=refusals(Workspaces.resolve, Contacts.create, writes=True))
async def create_contact(request: Request, user: User, contact: NewContact) -> Contact:
    """Creates a contact."""
    workspace_id = await resolve(request, user, contact.workspace)
    fields = contact.model_dump(exclude_unset=True, exclude={"workspace"})
    return await Contacts(user).create(workspace_id, ContactPatch(**fields))


@router.delete("", responses=refusals(Workspaces.resolve, Contacts.get, Contacts.delete, writes=True))
async def delete_contact(
    user: User, workspace_id: NamedWorkspace, id: Annotated[UUID, Query(description="The contact's id.")]
) -> DeletedContact:
    """Deletes a contact of the workspace with all that belongs to it, and says how much that was."""
    contacts = Contacts(user)
    if (await contacts.get(id)).workspace_id != workspace_id:
        raise error_for("contact_not_found", detail={"contact_id": str(id)})
    return await contacts.delete(id)


@router.get("/count", responses=refusals(Workspaces.resolve, Contacts.count, codes=BY_FILTER))
async def count_contacts(
    user: User,
    workspace_id: NamedWorkspace,
    filter: Filter,
    exact: Annotated[bool, Query(description="Else more than 5,000 are estimated.")] = True,
) -> Count:
    """How many contacts there are."""
    return await Contacts(user).count(workspace_id, filter, exact=exact)


@router.get(
    "/export",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/csv": {"schema": {"type": "string"}}}},
        **refusals(Workspaces.resolve, Contacts.list, codes=BY_FILTER),
    },
)
async def export_contacts(
    user: User, workspace_id: NamedWorkspace, filter: Filter, sort: Sort = "created_at"
) -> StreamingResponse:
    """Every contact as CSV, however many, with the caller's own status and follow-up."""
    read = partial(Contacts(user).list, workspace_id, filter, sort=sort, limit=200)

    async def rows() -> AsyncIterator[list[object]]:
        async for page in every_page(read):
            for contact in page.items:
                yield [*contact.model_dump(mode="json").values()]

    return await csv_download("contacts.csv", COLUMNS, rows())


@router.get("/duplicates", responses=refusals(Workspaces.resolve, Contacts.duplicates))
async def list_duplicates(user: User, workspace_id: NamedWorkspace, limit: LongLimit = 50) -> list[ContactDuplicate]:
    """Pairs of contacts that are likely one person, with the reason."""
    return await Contacts(user).duplicates(workspace_id, limit=limit)


@router.post("/import", responses=refusals(Workspaces.resolve, Contacts.import_rows, writes=True))
async def import_contacts(request: Request, user: User, given: ImportRows) -> Imported:
    """Creates contacts, or updates those with the same e-mail or phone, and says what became of each row."""
    workspace_id = await resolve(request, user, given.workspace)
    found = await Contacts(user).import_rows(workspace_id, given.rows, dry_run=given.dry_run, update=given.update)
    return outcomes(given.rows, found, dry_run=given.dry_run)


@router.post(
    "/import/csv", responses=refusals(Workspaces.resolve, Contacts.import_rows, codes=["file_unreadable"], writes=True)
)
async def import_contacts_from_csv(
    user: User,
    workspace_id: NamedWorkspace,
    rows: CsvRows,
    dry_run: Annotated[bool, Query(description="Only say what would become of each row.")] = False,
    update: Annotated[bool, Query(description="Change those that exist, or skip them.")] = True,
) -> Imported:
    """As importing rows, from a file with a header, whose columns are found by their names."""
    found = await Contacts(user).import_rows(workspace_id, rows, dry_run=dry_run, update=update)
    return outcomes(rows, found, dry_run=dry_run)


@router.patch("/personal-settings", responses=refusals(Contacts.set_settings, writes=True))
async def set_personal_settings(user: User, settings: PersonalSettings) -> ContactSettings:
    """Changes the named keys of the caller's own settings for a contact, which nobody else sees."""
    patch = ContactSettingsPatch(**settings.model_dump(exclude_unset=True, exclude={"contact_id"}))
    return await Contacts(user).set_settings(settings.contact_id, patch)


@router.get("/{id}", responses=refusals(Contacts.get))
async def get_contact(user: User, id: UUID) -> MyContact:
    """One contact, as lists show it."""
    return await Contacts(user).get(id)


@router.patch("/{id}", responses=refusals(Contacts.update, writes=True))
async def update_contact(user: User, id: UUID, patch: ContactPatch) -> Contact:
    """Changes the named fields of a contact; the others stay."""
    return await Contacts(user).update(id, patch)


@router.put("/{id}/lead-status", responses=refusals(Contacts.update_status, writes=True))
async def set_lead_status(user: User, id: UUID, new: NewStatus) -> Contact:
    """Sets how far the team is with a contact; nothing else changes."""
    return await Contacts(user).update_status(id, new.lead_status)


@router.post("/{id}/merge", responses=refusals(Contacts.merge, writes=True))
async def merge_contacts(user: User, id: UUID, merge: Merge) -> MergedContact:
    """Makes two contacts one: everything of the duplicate moves. It can't be undone."""
    return await Contacts(user).merge(id, merge.duplicate_id)


@router.get("/{id}/timeline", responses=refusals(Contacts.timeline))
async def get_timeline(user: User, id: UUID, after: After = None, limit: Limit = 50) -> Page[TimelineItem]:
    """What happened with a contact, the latest first."""
    return await Contacts(user).timeline(id, after=after, limit=limit)


@router.get("/{id}/conversations", responses=refusals(Contacts.conversations))
async def list_conversations(user: User, id: UUID) -> list[Conversation]:
    """A contact's threads over all channels, the latest activity first; none of a foreign contact."""
    return await Contacts(user).conversations(id)
