"""Inviting people to a workspace, and accepting that."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from fastapi import Request
from pydantic import Field

from qero.http.callers import Input, NamedWorkspace, User, WorkspaceRef, resolve
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.workspace import Invitation, MemberRole, NewInvitation, Role
from qero.services.invitations import InvitationAcceptance, Invitations
from qero.services.workspaces import Workspaces

router = Router(prefix="/api/invitations", tags=["workspaces"])


class Invite(Input):
    workspace: WorkspaceRef
    email: str
    role: Role = "member"
    expires_in_seconds: int = Field(7 * 86_400, ge=60, le=30 * 86_400)


class Accept(Input):
    token: str


@router.get("", responses=refusals(Workspaces.resolve, Invitations.list))
async def list_invitations(user: User, workspace_id: NamedWorkspace) -> list[Invitation]:
    """The workspace's invitations, the newest first; none for anybody but owners and admins."""
    return await Invitations(user).list(workspace_id)


@router.post("", status_code=201, responses=refusals(Workspaces.resolve, Invitations.create, writes=True))
async def invite(request: Request, user: User, new: Invite) -> NewInvitation:
    """Invites an address; the token in the answer is shown only here."""
    workspace_id = await resolve(request, user, new.workspace)
    expires_in = timedelta(seconds=new.expires_in_seconds)
    return await Invitations(user).create(workspace_id, new.email, new.role, expires_in=expires_in)


@router.delete("/{id}", responses=refusals(Invitations.revoke, writes=True))
async def revoke_invitation(user: User, id: UUID) -> Invitation:
    """Takes an invitation back."""
    return await Invitations(user).revoke(id)


@router.post("/accept", responses=refusals(InvitationAcceptance.accept, writes=True))
async def accept_invitation(user: User, accept: Accept) -> MemberRole:
    """Makes the caller a member, by the token that was sent to their address."""
    return await InvitationAcceptance(user).accept(accept.token)
