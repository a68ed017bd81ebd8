"""Saved views of the inbox: filters under a name, in camelCase as pages write them."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from pydantic import ConfigDict, Field
from pydantic.alias_generators import to_camel

from qero.http.callers import Input, NamedWorkspace, User, WorkspaceRef, resolve
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.inbox import SavedView, SavedViewPatch, ViewFilters
from qero.services.saved_views import SavedViews
from qero.services.workspaces import Workspaces

router = Router(prefix="/api/meta/whatsapp/saved-views", tags=["inbox"])

ViewId = Annotated[UUID, Query(description="The view's id.")]


class NewView(Input):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)

    workspace: WorkspaceRef
    name: str
    filters: ViewFilters = Field(default_factory=ViewFilters)
    is_default: bool = False
    is_shared: bool = False


class ChangedView(SavedViewPatch):
    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


class ShownView(SavedView):
    """A filter under a name."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


@router.get("", response_model=list[ShownView], responses=refusals(Workspaces.resolve, SavedViews.list))
async def list_views(user: User, workspace_id: NamedWorkspace) -> list[SavedView]:
    """The caller's views of the workspace by name, then what others share."""
    return await SavedViews(user).list(workspace_id)


@router.post(
    "",
    status_code=201,
    response_model=ShownView,
    responses=refusals(Workspaces.resolve, SavedViews.create, writes=True),
)
async def create_view(request: Request, user: User, view: NewView) -> SavedView:
    """Keeps a filter of the inbox under a name."""
    workspace_id = await resolve(request, user, view.workspace)
    return await SavedViews(user).create(
        workspace_id, view.name, view.filters, default=view.is_default, shared=view.is_shared
    )


@router.patch("", response_model=ShownView, responses=refusals(SavedViews.update, writes=True))
async def update_view(user: User, id: ViewId, changed: ChangedView) -> SavedView:
    """Changes the named fields of a view; the others stay."""
    return await SavedViews(user).update(id, SavedViewPatch(**changed.model_dump(exclude_unset=True)))


@router.delete("", status_code=204, responses=refusals(SavedViews.delete, writes=True))
async def delete_view(user: User, id: ViewId) -> None:
    """Removes a view."""
    await SavedViews(user).delete(id)
