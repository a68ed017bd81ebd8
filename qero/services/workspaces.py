"""Workspaces and the caller's place in them."""

from __future__ import annotations

import builtins
from uuid import UUID

from qero.clients.factory import Client
from qero.clients.rpc import call, execute
from qero.models.workspace import WhoAmI, Workspace


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
        """The workspaces the caller is in, by slug.

        SQL: select on public.workspaces
        """
        query = self._client.table("workspaces").select("*").order("slug")
        return await execute(self._client, query, list[Workspace], operation="workspaces.list")

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
