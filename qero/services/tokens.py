"""Tokens of workspaces: a balance that is always the sum of its ledger."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from qero.clients.factory import Client
from qero.clients.rpc import call, execute, page_limit
from qero.models.ops import (
    TokenAlert,
    TokenBalance,
    TokenEntry,
    TokenGrant,
    TokenMismatch,
    TokenReservation,
)


class Tokens:
    """Members see their own workspace's tokens; operators and the service move them.

    A reference counts once for each kind of request: repeated with the same amount, it returns what came of the first
    and changes nothing; with another amount it is refused. An empty one is none.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def balance(self, workspace_id: UUID) -> TokenBalance | None:
        """A workspace's balance; None before its first token, and for a workspace the caller can't see.

        SQL: select on public.workspace_token_balance
        """
        query = self._client.table("workspace_token_balance").select("*").eq("workspace_id", str(workspace_id))
        rows = await execute(
            self._client, query, list[TokenBalance], operation="tokens.balance", workspace_id=str(workspace_id)
        )
        return rows[0] if rows else None

    async def ledger(
        self, workspace_id: UUID, *, before_id: int | None = None, limit: int = 50
    ) -> builtins.list[TokenEntry]:
        """A page of the ledger, newest first.

        Args:
            before_id: the last id of the page before.
            limit: 1 to 1,000.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.workspace_token_ledger
        """
        query = self._client.table("workspace_token_ledger").select("*").eq("workspace_id", str(workspace_id))
        if before_id is not None:
            query = query.lt("id", before_id)
        query = query.order("id", desc=True).limit(page_limit(limit, 1000))
        return await execute(
            self._client, query, builtins.list[TokenEntry], operation="tokens.ledger", workspace_id=str(workspace_id)
        )

    async def grants(self, workspace_id: UUID, *, limit: int = 50) -> builtins.list[TokenGrant]:
        """The newest grants that end, begin later or go first; 1 to 1,000 of them.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.workspace_token_grants
        """
        query = self._client.table("workspace_token_grants").select("*").eq("workspace_id", str(workspace_id))
        query = query.order("created_at", desc=True).limit(page_limit(limit, 1000))
        return await execute(
            self._client, query, builtins.list[TokenGrant], operation="tokens.grants", workspace_id=str(workspace_id)
        )

    async def alerts(self, workspace_id: UUID, *, limit: int = 50) -> builtins.list[TokenAlert]:
        """When the balance fell to a level, the newest first; 1 to 1,000 of them.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.workspace_token_alerts
        """
        query = self._client.table("workspace_token_alerts").select("*").eq("workspace_id", str(workspace_id))
        query = query.order("id", desc=True).limit(page_limit(limit, 1000))
        return await execute(
            self._client, query, builtins.list[TokenAlert], operation="tokens.alerts", workspace_id=str(workspace_id)
        )

    async def apply(self, workspace_id: UUID, delta: int, reason: str, *, reference: str | None = None) -> TokenEntry:
        """Grant (above 0) or deduct (below 0) tokens; returns the ledger's row. Idempotent with a reference.

        Raises:
            LimitExceeded: `insufficient_tokens`, fewer are free: what reservations hold isn't.
            Conflict: `reference_conflict`, the reference was used for another amount.
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, the amount, or the reason, which is needed.
            PermissionDenied: `operator_required`.
        SQL: public.apply_workspace_token_delta
        """
        return await call(
            self._client,
            "apply_workspace_token_delta",
            TokenEntry,
            p_workspace_id=workspace_id,
            p_delta=delta,
            p_reason=reason,
            p_reference=reference,
        )

    async def grant(
        self,
        workspace_id: UUID,
        amount: int,
        reason: str,
        *,
        reference: str | None = None,
        expires_at: datetime | None = None,
        priority: int = 50,
        effective_at: datetime | None = None,
    ) -> TokenGrant:
        """Grant tokens that end, begin later or are spent before others. Idempotent with a reference.

        What is left of them when they end leaves the balance, except what reservations hold until those end.

        Args:
            priority: 0 is spent first, 100 last, and tokens from `apply` after all of them.

        Raises:
            Conflict: `reference_conflict`, the reference was used for another amount.
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, amount, reason, priority, or an end before the beginning.
            PermissionDenied: `operator_required`.
        SQL: public.grant_workspace_tokens
        """
        return await call(
            self._client,
            "grant_workspace_tokens",
            TokenGrant,
            p_workspace_id=workspace_id,
            p_amount=amount,
            p_reason=reason,
            p_reference=reference,
            p_expires_at=expires_at,
            p_priority=priority,
            p_effective_at=effective_at,
        )

    async def reserve(
        self, workspace_id: UUID, amount: int, reason: str, *, reference: str | None = None, seconds: int = 900
    ) -> TokenReservation:
        """Hold tokens for work that is about to cost them. Idempotent with a reference.

        Args:
            seconds: 1 to 604,800; afterwards the tokens are free again, should nobody settle or release.

        Raises:
            LimitExceeded: `insufficient_tokens`.
            Conflict: `reference_conflict`, the reference was used for another amount.
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, amount, reason or seconds.
            PermissionDenied: `operator_required`.
        SQL: public.reserve_workspace_tokens
        """
        return await call(
            self._client,
            "reserve_workspace_tokens",
            TokenReservation,
            p_workspace_id=workspace_id,
            p_amount=amount,
            p_reason=reason,
            p_reference=reference,
            p_seconds=seconds,
        )

    async def settle(self, reservation_id: UUID, amount: int) -> TokenReservation:
        """Deduct what the work cost, at most what was reserved, and free the rest. Idempotent with the same amount.

        Raises:
            InvalidState: `reservation_ended`, released, expired, or settled with another amount.
            NotFound: `reservation_not_found`.
            InvalidInput: `invalid_value`, below 1 or more than was reserved.
            PermissionDenied: `operator_required`.
        SQL: public.settle_token_reservation
        """
        return await call(
            self._client,
            "settle_token_reservation",
            TokenReservation,
            p_reservation_id=reservation_id,
            p_amount=amount,
        )

    async def release(self, reservation_id: UUID) -> TokenReservation:
        """Free what was reserved: the work cost nothing. Idempotent; an expired reservation is as good as released.

        Raises:
            InvalidState: `reservation_ended`, it was settled.
            NotFound: `reservation_not_found`.
            PermissionDenied: `operator_required`.
        SQL: public.release_token_reservation
        """
        return await call(self._client, "release_token_reservation", TokenReservation, p_reservation_id=reservation_id)

    async def set_alerts(self, workspace_id: UUID, levels: Sequence[int]) -> TokenBalance:
        """At which balances a deduction leaves an alert: once each time the balance falls to one. Idempotent.

        Args:
            levels: at most 20; none ends the alerts.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, more than 20, or one below 0.
            PermissionDenied: `operator_required`.
        SQL: public.set_token_alerts
        """
        return await call(
            self._client, "set_token_alerts", TokenBalance, p_workspace_id=workspace_id, p_levels=[*levels]
        )

    async def settle_due(self, limit: int = 100) -> int:
        """Begin and end grants, and free reservations that ran out, where nothing else touched the balance since.

        Whoever touches a balance does so first anyway; this is for those nobody touches. Idempotent.

        Returns how many workspaces had something due; repeat while it is `limit` (1 to 1,000).

        Raises:
            InvalidInput: `invalid_value`, the limit.
            PermissionDenied: `operator_required`.
        SQL: public.settle_due_tokens
        """
        return await call(self._client, "settle_due_tokens", int, p_limit=limit)

    async def check(self) -> builtins.list[TokenMismatch]:
        """Workspaces whose balance isn't the sum of their ledger: none, unless somebody went past the functions.

        Reads every ledger.

        Raises:
            PermissionDenied: `operator_required`.
        SQL: public.check_token_balances
        """
        return await call(self._client, "check_token_balances", builtins.list[TokenMismatch])
