"""Workspaces and the caller's place in them."""

from __future__ import annotations

import builtins
from uuid import UUID

from qero.clients.batches import MOST_ROWS, every_row
from qero.clients.factory import Client
from qero.clients.rpc import call, execute
from qero.models.workspace import Member, MemberRole, Role, WhoAmI, Workspace


class Workspaces:
    """Row security: members see the workspaces they are in; the service sees all."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def resolve(self, ref: str) -> UUID:
        """The id of the workspace with this slug or uuid.

        Raises:
            NotFound: `workspace_not_found`, none such, or one the caller isn't in: the two look the same.
            NotAuthenticated: `not_authenticated`.
        SQL: public.resolve_workspace
        """
        return await call(self._client, "resolve_workspace", UUID, p_ref=ref)

    async def list(self) -> builtins.list[Workspace]:
        """The workspaces the caller is in, by slug: all of them, a thousand a request.

        SQL: select on public.workspaces
        """

        async def behind(last: Workspace | None) -> builtins.list[Workspace]:
            query = self._client.table("workspaces").select("*")
            if last is not None:
                query = query.gt("slug", last.slug)
            query = query.order("slug").limit(MOST_ROWS)
            return await execute(self._client, query, builtins.list[Workspace], operation="workspaces.list")

        return await every_row(behind)

    async def whoami(self) -> WhoAmI:
        """Who the API takes this client for, which workspaces it sees, and how many personal rows: for support.

        SQL: public.whoami
        """
        return await call(self._client, "whoami", WhoAmI)

    async def create(self, slug: str, name: str) -> Workspace:
        """Create a workspace; the caller, who has to be a user, becomes its owner.

        Not idempotent: the second call for a slug is refused.

        Raises:
            InvalidInput: `slug_invalid`, or `invalid_value` for the name.
            Conflict: `slug_taken`.
            PermissionDenied: `permission_denied`, the service can't own a workspace.
        SQL: public.create_workspace
        """
        return await call(self._client, "create_workspace", Workspace, p_slug=slug, p_name=name)

    async def members(self, workspace_id: UUID) -> builtins.list[Member]:
        """Who is in a workspace, and as what: owners first.

        Raises:
            NotFound: `workspace_not_found`.
        SQL: public.list_members
        """
        return await call(self._client, "list_members", builtins.list[Member], p_workspace_id=workspace_id)

    async def set_member_role(self, workspace_id: UUID, user_id: UUID, role: Role) -> MemberRole:
        """Give a member another role. Only owners make or unmake owners. Idempotent.

        Raises:
            NotFound: `workspace_not_found`, or `member_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `last_owner`, or `workspace_suspended`.
            InvalidInput: `invalid_value`, the role.
        SQL: public.set_member_role
        """
        return await call(
            self._client,
            "set_member_role",
            MemberRole,
            p_workspace_id=workspace_id,
            p_user_id=user_id,
            p_role=role,
        )

    async def remove_member(self, workspace_id: UUID, user_id: UUID) -> MemberRole:
        """Take a member out of a workspace, or, by one's own id, leave it; returns what they were.

        Raises:
            NotFound: `workspace_not_found`, or `member_not_found`, also when it was done before.
            PermissionDenied: `role_required`, only owners remove owners, and only they and admins others.
            InvalidState: `last_owner`, or `workspace_suspended`.
        SQL: public.remove_member
        """
        return await call(self._client, "remove_member", MemberRole, p_workspace_id=workspace_id, p_user_id=user_id)
