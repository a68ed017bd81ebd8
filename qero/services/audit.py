"""The audit log: who did what, and the seals that prove it unchanged."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from qero.clients.factory import Client
from qero.clients.rpc import call
from qero.models.ops import AuditEntry, AuditSeal, VerifiedSeal


class Audit:
    """For operators and the service. Nobody changes or removes a row, the owner of the database included."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def search(
        self,
        *,
        workspace_id: UUID | None = None,
        action: str | None = None,
        actor: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[AuditEntry]:
        """A page of the log, newest first.

        Args:
            action: `owner.tokens.granted`, or its beginning, `owner.tokens`.
            actor: e-mail or id of a user, or a role that acts without one: `service_role`.
            text: words in the reason, or in what was before and after.
            before_id: the last id of the page before.
            limit: 1 to 1,000.

        Raises:
            InvalidInput: `invalid_value`, the limit.
            PermissionDenied: `operator_required`.
        SQL: public.search_audit_log
        """
        return await call(
            self._client,
            "search_audit_log",
            list[AuditEntry],
            p_workspace_id=workspace_id,
            p_action=action,
            p_actor=actor,
            p_since=since,
            p_until=until,
            p_search=text,
            p_before_id=before_id,
            p_limit=limit,
        )

    async def seal(self, limit: int = 10_000) -> AuditSeal | None:
        """Seal what came since the last seal, at most `limit` (up to 10,000) rows; returns the newest seal.

        None while the log is empty. Waits a second for those who are writing. Idempotent when nothing came.

        Raises:
            Unavailable: `try_again`, somebody was writing for longer than a second.
            InvalidInput: `invalid_value`, the limit.
            PermissionDenied: `operator_required`.
        SQL: public.seal_audit_log
        """
        seals = await call(self._client, "seal_audit_log", list[AuditSeal], p_limit=limit)
        return seals[0] if seals else None

    async def verify(self, *, after_number: int = 0, limit: int = 10) -> list[VerifiedSeal]:
        """A page of seals in order, each with whether the rows it covers are what they were.

        Args:
            after_number: the last number of the page before.
            limit: 1 to 100.

        Raises:
            InvalidInput: `invalid_value`, the limit.
            PermissionDenied: `operator_required`.
        SQL: public.verify_audit_log
        """
        return await call(
            self._client, "verify_audit_log", list[VerifiedSeal], p_after_number=after_number, p_limit=limit
        )
