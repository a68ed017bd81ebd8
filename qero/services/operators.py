"""Who operates the platform, and what operators see and do of every workspace."""

from __future__ import annotations

import builtins
from typing import Literal
from uuid import UUID

from qero.clients.factory import Client
from qero.clients.rpc import call
from qero.models.ops import ListedWorkspace, Operator, OperatorRole, WorkspaceOverview
from qero.models.workspace import Workspace


class Operators:
    """For operators of the platform and the service; everybody else is refused.

    An operator is active, has the account's own e-mail, and is in both tables that say so. The role says how far it
    goes: `viewer` looks, `ops` acts, `owner` also names operators.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def add(self, email: str, role: OperatorRole = "owner") -> Operator:
        """Make the account with this e-mail an operator, or again an active one, with this role. Idempotent.

        Raises:
            NotFound: `account_not_found`, the person has to sign up first.
            InvalidInput: `invalid_value`, the role.
            PermissionDenied: `operator_required`, only owners and the service name operators.
        SQL: public.add_operator
        """
        return await call(self._client, "add_operator", Operator, p_email=email, p_role=role)

    async def remove(self, email: str) -> Operator:
        """End what an operator may do, at once; the row stays, inactive. Idempotent.

        Raises:
            NotFound: `operator_not_found`.
            PermissionDenied: `operator_required`, only owners and the service name operators.
        SQL: public.remove_operator
        """
        return await call(self._client, "remove_operator", Operator, p_email=email)

    async def list(self) -> builtins.list[Operator]:
        """Everybody in either table of operators, by e-mail, inactive ones too.

        Raises:
            PermissionDenied: `operator_required`.
        SQL: public.list_operators
        """
        return await call(self._client, "list_operators", builtins.list[Operator])

    async def find_workspace(self, ref: str) -> Workspace:
        """The workspace with this slug or uuid, whoever is in it.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `operator_required`.
        SQL: public.find_workspace
        """
        return await call(self._client, "find_workspace", Workspace, p_ref=ref)

    async def list_workspaces(
        self,
        *,
        search: str | None = None,
        status: Literal["active", "suspended"] | None = None,
        after_slug: str | None = None,
        limit: int = 50,
    ) -> builtins.list[ListedWorkspace]:
        """Workspaces by slug, with how many members, connections and tokens each has.

        Args:
            search: a part of slug or name, or an id.
            after_slug: the last slug of the page before.
            limit: 1 to 1,000.

        Raises:
            InvalidInput: `invalid_value`, limit or status.
            PermissionDenied: `operator_required`.
        SQL: public.list_workspaces
        """
        return await call(
            self._client,
            "list_workspaces",
            builtins.list[ListedWorkspace],
            p_search=search,
            p_status=status,
            p_after_slug=after_slug,
            p_limit=limit,
        )

    async def overview(self, workspace_id: UUID) -> WorkspaceOverview:
        """A workspace's members, entitlements, balance, connections, what is queued, and its latest audit.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `operator_required`.
        SQL: public.get_workspace_overview
        """
        return await call(self._client, "get_workspace_overview", WorkspaceOverview, p_workspace_id=workspace_id)

    async def set_workspace_status(
        self, workspace_id: UUID, status: Literal["active", "suspended"], reason: str | None = None
    ) -> Workspace:
        """Suspend a workspace, or end that. Idempotent.

        While it is suspended its members only read, nothing is sent, and it is entitled to nothing. What customers
        write still arrives, and what is queued leaves when it is active again.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, the status, or a reason of more than 500 characters.
            PermissionDenied: `operator_required`.
        SQL: public.set_workspace_status
        """
        return await call(
            self._client,
            "set_workspace_status",
            Workspace,
            p_workspace_id=workspace_id,
            p_status=status,
            p_reason=reason,
        )
