"""Invitations to a workspace."""

from __future__ import annotations

import builtins
from datetime import timedelta
from uuid import UUID

from qero.clients.factory import Client, UserClient, require_user_client
from qero.clients.rpc import call, execute
from qero.models.workspace import Invitation, MemberRole, NewInvitation, Role

COLUMNS = "id,workspace_id,email,role,invited_by,accepted_by,expires_at,accepted_at,revoked_at,created_at"


class Invitations:
    """Row security: owners and admins see and make those of their workspaces; only owners invite owners."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(
        self, workspace_id: UUID, email: str, role: Role = "member", *, expires_in: timedelta = timedelta(days=7)
    ) -> NewInvitation:
        """Invite an address. The token in the answer accepts it and is shown only here: send it to the address.

        Not idempotent: an address has one open invitation.

        Args:
            expires_in: a minute to thirty days.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, the address, the role or the time.
            Conflict: `invitation_open`, revoke that first; `already_member`.
        SQL: public.invite_member
        """
        return await call(
            self._client,
            "invite_member",
            NewInvitation,
            p_workspace_id=workspace_id,
            p_email=email,
            p_role=role,
            p_expires_in_seconds=int(expires_in.total_seconds()),
        )

    async def list(self, workspace_id: UUID) -> builtins.list[Invitation]:
        """The invitations of a workspace, the newest first, at most 200. Empty for anybody but owners and admins.

        SQL: select on public.workspace_invitations
        """
        query = (
            self._client.table("workspace_invitations")
            .select(COLUMNS)
            .eq("workspace_id", str(workspace_id))
            .order("created_at", desc=True)
            .limit(200)
        )
        return await execute(
            self._client,
            query,
            builtins.list[Invitation],
            operation="invitations.list",
            workspace_id=str(workspace_id),
        )

    async def revoke(self, invitation_id: UUID) -> Invitation:
        """Take an invitation back. Idempotent.

        Raises:
            NotFound: `invitation_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `invitation_used`, somebody has accepted it; `workspace_suspended`.
        SQL: public.revoke_invitation
        """
        return await call(self._client, "revoke_invitation", Invitation, p_invitation_id=invitation_id)


class InvitationAcceptance:
    """For whoever was invited: a user with that e-mail address, confirmed.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def accept(self, token: str) -> MemberRole:
        """Become a member. A token works once; repeating the request that used it returns the membership.

        Raises:
            NotFound: `invitation_not_found`, the token is unknown.
            PermissionDenied: `invitation_for_another`, it was sent to another address; `email_not_verified`.
            InvalidState: `invitation_expired`, `invitation_revoked`, `invitation_used`, `workspace_suspended`.
        SQL: public.accept_invitation
        """
        return await call(self._client, "accept_invitation", MemberRole, p_token=token)
