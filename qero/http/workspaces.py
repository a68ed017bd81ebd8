"""The caller's workspaces, and what those may use."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query

from qero.http.callers import Input, NamedWorkspace, User
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.ops import Entitlement, EntitlementState, TokenBalance
from qero.models.whatsapp import Connection
from qero.models.workspace import MemberRole, Role, WhoAmI, Workspace
from qero.services.connections import Connections
from qero.services.entitlements import Entitlements
from qero.services.tokens import Tokens
from qero.services.workspaces import Workspaces

router = Router(prefix="/api", tags=["workspaces"])


class NewWorkspace(Input):
    slug: str
    name: str


class NewRole(Input):
    role: Role


@router.get("/me", responses=refusals(Workspaces.whoami))
async def whoami(user: User) -> WhoAmI:
    """Who the caller is, in which workspaces as what, and how many personal rows they have."""
    return await Workspaces(user).whoami()


@router.get("/workspaces", responses=refusals(Workspaces.list))
async def list_workspaces(user: User) -> list[Workspace]:
    """The workspaces that the caller is in."""
    return await Workspaces(user).list()


@router.post("/workspaces", status_code=201, responses=refusals(Workspaces.create, writes=True))
async def create_workspace(user: User, workspace: NewWorkspace) -> Workspace:
    """Creates a workspace, which the caller then owns."""
    return await Workspaces(user).create(workspace.slug, workspace.name)


@router.patch(
    "/workspaces/members/{user_id}", responses=refusals(Workspaces.resolve, Workspaces.set_member_role, writes=True)
)
async def set_member_role(user: User, workspace_id: NamedWorkspace, user_id: UUID, new: NewRole) -> MemberRole:
    """Gives a member of the workspace another role."""
    return await Workspaces(user).set_member_role(workspace_id, user_id, new.role)


@router.delete(
    "/workspaces/members/{user_id}", responses=refusals(Workspaces.resolve, Workspaces.remove_member, writes=True)
)
async def remove_member(user: User, workspace_id: NamedWorkspace, user_id: UUID) -> MemberRole:
    """Takes a member out of the workspace; by the caller's own id, leaves it."""
    return await Workspaces(user).remove_member(workspace_id, user_id)


@router.get("/workspaces/entitlements", responses=refusals(Workspaces.resolve, Entitlements.list))
async def list_entitlements(user: User, workspace_id: NamedWorkspace) -> list[Entitlement]:
    """What the workspace may use, disabled and expired entitlements too."""
    return await Entitlements(user).list(workspace_id)


@router.get("/workspaces/entitlements/{key}", responses=refusals(Workspaces.resolve, Entitlements.check))
async def check_entitlement(
    user: User,
    workspace_id: NamedWorkspace,
    key: str,
    amount: Annotated[int, Query(ge=0, description="How much more of it.")] = 1,
) -> EntitlementState:
    """Whether the workspace may use so much more of something now, why, its limit, and what it has used."""
    return await Entitlements(user).check(workspace_id, key, amount)


@router.get("/workspaces/tokens", responses=refusals(Workspaces.resolve, Tokens.balance))
async def get_token_balance(user: User, workspace_id: NamedWorkspace) -> TokenBalance | None:
    """The workspace's tokens; null before its first."""
    return await Tokens(user).balance(workspace_id)


@router.get("/workspaces/connections", responses=refusals(Workspaces.resolve, Connections.list))
async def list_connections(user: User, workspace_id: NamedWorkspace) -> list[Connection]:
    """The WhatsApp numbers of the workspace, disconnected ones too."""
    return await Connections(user).list(workspace_id)
