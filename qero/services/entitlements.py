"""What workspaces may use, and how much of it."""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from qero.clients.factory import Client
from qero.clients.rpc import call, execute
from qero.models.ops import Entitlement, EntitlementState


class Entitlements:
    """Members see and check their own workspace's; operators and the service set and count."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list(self, workspace_id: UUID) -> builtins.list[Entitlement]:
        """A workspace's entitlements by key, disabled and expired ones too; none of a workspace the caller can't see.

        SQL: select on public.workspace_entitlements
        """
        query = (
            self._client.table("workspace_entitlements").select("*").eq("workspace_id", str(workspace_id)).order("key")
        )
        return await execute(
            self._client, query, builtins.list[Entitlement], operation="entitlements.list",
            workspace_id=str(workspace_id),
        )  # fmt: skip

    async def check(self, workspace_id: UUID, key: str, amount: int = 1) -> EntitlementState:
        """Whether the workspace may use `amount` more of something now, why, its limit, and what it has used.

        Raises:
            NotFound: `workspace_not_found`, none such, or one the caller isn't in.
            InvalidInput: `invalid_value`, an amount below 0.
        SQL: public.check_entitlement
        """
        [state] = await call(
            self._client,
            "check_entitlement",
            builtins.list[EntitlementState],
            p_workspace_id=workspace_id,
            p_key=key,
            p_amount=amount,
        )
        return state

    async def use(self, workspace_id: UUID, key: str, amount: int = 1) -> EntitlementState:
        """Count `amount` as used if the workspace may, and say so as `check` does, with the usage after it.

        Exact under concurrency: of two who come for the last one, one is granted. Not idempotent: each call counts.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, an amount below 1.
            PermissionDenied: `operator_required`, for operators and the service.
        SQL: public.use_entitlement
        """
        [state] = await call(
            self._client,
            "use_entitlement",
            builtins.list[EntitlementState],
            p_workspace_id=workspace_id,
            p_key=key,
            p_amount=amount,
        )
        return state

    async def set(
        self,
        workspace: str,
        key: str,
        *,
        enabled: bool,
        expires_at: datetime | None = None,
        reason: str | None = None,
    ) -> Entitlement:
        """Enable or disable an entitlement of the workspace with this slug or uuid; its payload stays. Idempotent.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, the key or the reason.
            PermissionDenied: `operator_required`.
        SQL: public.set_workspace_entitlement
        """
        return await call(
            self._client,
            "set_workspace_entitlement",
            Entitlement,
            p_slug=workspace,
            p_key=key,
            p_enabled=enabled,
            p_expires_at=expires_at,
            p_reason=reason,
        )

    async def set_payload(
        self,
        workspace_id: UUID,
        key: str,
        payload: Mapping[str, Any] | None,
        *,
        enabled: bool = True,
        expires_at: datetime | None = None,
        reason: str | None = None,
    ) -> Entitlement:
        """Set an entitlement with its payload; none is an empty one. Idempotent.

        Args:
            payload: in it, `limit` (0 or more) and `period` (`day`, `month` or `year` in UTC) bound what is counted.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, the key, the reason, or a limit or period that can't be read.
            PermissionDenied: `operator_required`.
        SQL: public.set_workspace_entitlement_payload
        """
        return await call(
            self._client,
            "set_workspace_entitlement_payload",
            Entitlement,
            p_workspace_id=workspace_id,
            p_key=key,
            p_enabled=enabled,
            p_payload=None if payload is None else dict(payload),
            p_expires_at=expires_at,
            p_reason=reason,
        )
