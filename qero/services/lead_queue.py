"""The lead queue: preparing a user's day, starting it, following it, and getting it out as CSV."""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator
from datetime import date
from uuid import UUID

from qero.clients.factory import Client
from qero.clients.rpc import call, execute, page_limit
from qero.models.lead_queue import (
    AuditFinding,
    ExportPage,
    PreparedQueue,
    QueueMetrics,
    QueueSettings,
    QueueSettingsPatch,
    QueueState,
    StartedAutomation,
)

EXPORT_ROWS = 5000
PAGE_LIMIT = 1000


class LeadQueue:
    """Row security: the queues of the caller's workspaces. Viewers only look on.

    `user_id` names a member's queue, for owners, admins and the service; without it, it is the caller's own.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    async def settings(
        self, workspace_id: UUID, patch: QueueSettingsPatch | None = None, *, user_id: UUID | None = None
    ) -> QueueSettings:
        """A queue's settings, after changing the named ones. Idempotent.

        Raises:
            NotFound: `workspace_not_found`; `member_not_found`, only members who may write have a queue.
            PermissionDenied: `role_required`, viewers have none; others' are for owners and admins.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, naming the field and what is allowed; `field_unknown`;
                `reference_not_found`, the connection.
        SQL: public.set_queue_settings
        """
        return await call(
            self._client,
            "set_queue_settings",
            QueueSettings,
            p_workspace_id=workspace_id,
            p_patch=(patch or QueueSettingsPatch()).model_dump(mode="json", exclude_unset=True),
            p_user_id=user_id,
        )

    async def prepare(
        self, workspace_id: UUID, *, day: date | None = None, limit: int | None = None, user_id: UUID | None = None
    ) -> PreparedQueue:
        """Queue a day: what was left over, follow-ups that are due, then the best leads, within the daily capacity.

        In one transaction. Safe to repeat, from several tabs and by several people at once: nobody's capacity is
        exceeded and no lead is queued twice. A lead that can't be written to is refused with the reason and doesn't
        keep the others back.

        Args:
            day: tomorrow in the queue's time zone unless given; today or within the next month.
            limit: at most so many (1 to 10,000), whatever the capacity.

        Raises:
            NotFound: `workspace_not_found`, `member_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `queue_message_missing`, the queue has no steps; `workspace_suspended`.
            InvalidInput: `invalid_value`, the day or the limit.
        SQL: public.prepare_queue
        """
        return await call(
            self._client,
            "prepare_queue",
            PreparedQueue,
            p_workspace_id=workspace_id,
            p_day=day,
            p_limit=limit,
            p_user_id=user_id,
        )

    async def start(
        self, workspace_id: UUID, *, batch: int | None = None, dry_run: bool = False, user_id: UUID | None = None
    ) -> StartedAutomation:
        """Turn a batch of today's queue into outbox messages, which a worker sends; call it until none is left.

        Nothing is started while the queue is paused, outside its hours, or without an active number; the answer says
        so. Each message has the key `queue:<id>`, so none is sent twice, and a contact with several leads is written to
        once a day. The queue and its leads follow what becomes of the messages.

        Args:
            batch: 1 to 1,000; the queue's own unless given.
            dry_run: only say what would become of today's queue, whatever the hour.

        Raises:
            NotFound: `workspace_not_found`, `member_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, the batch.
        SQL: public.start_automation
        """
        return await call(
            self._client,
            "start_automation",
            StartedAutomation,
            p_workspace_id=workspace_id,
            p_batch=batch,
            p_dry_run=dry_run,
            p_user_id=user_id,
        )

    async def status(self, workspace_id: UUID, *, day: date | None = None) -> QueueState:
        """How a day stands for each user; today in the caller's time zone unless given.

        Raises:
            NotFound: `workspace_not_found`.
        SQL: public.get_queue_status
        """
        return await call(self._client, "get_queue_status", QueueState, p_workspace_id=workspace_id, p_day=day)

    async def export(
        self,
        workspace_id: UUID,
        *,
        since: date | None = None,
        until: date | None = None,
        user_id: UUID | None = None,
        after: str | None = None,
        limit: int = EXPORT_ROWS,
    ) -> ExportPage:
        """A page of the queue joined with its leads, as CSV by day; the first begins with the header.

        Text is quoted as RFC 4180 says, and a cell that a spreadsheet would take for a formula gets an apostrophe in
        front. `export_all` goes through all pages.

        Args:
            after: the `next` of the page before.
            limit: 1 to 10,000 rows.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, the limit or the cursor.
        SQL: public.export_queue
        """
        return await call(
            self._client,
            "export_queue",
            ExportPage,
            p_workspace_id=workspace_id,
            p_from=since,
            p_until=until,
            p_user_id=user_id,
            p_after=after,
            p_limit=limit,
        )

    async def metrics(
        self,
        workspace_id: UUID,
        *,
        since: date | None = None,
        until: date | None = None,
        user_id: UUID | None = None,
        limit: int = 200,
    ) -> builtins.list[QueueMetrics]:
        """What became of each user's queue of each day, the latest day first, at most `limit` (1 to 1000).

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.queue_performance_metrics
        """
        query = self._client.table("queue_performance_metrics").select("*").eq("workspace_id", str(workspace_id))
        if since is not None:
            query = query.gte("day", since.isoformat())
        if until is not None:
            query = query.lte("day", until.isoformat())
        if user_id is not None:
            query = query.eq("user_id", str(user_id))
        query = query.order("day", desc=True).order("user_id").limit(page_limit(limit, PAGE_LIMIT))
        return await execute(
            self._client,
            query,
            builtins.list[QueueMetrics],
            operation="lead_queue.metrics",
            workspace_id=str(workspace_id),
        )

    async def audit(self) -> builtins.list[AuditFinding]:
        """Every constraint the queue's tables lack, every row that refers to nothing, and what migrations set aside.

        For the service only; it counts the rows of every table.

        Raises:
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.audit_queue
        """
        return await call(self._client, "audit_queue", builtins.list[AuditFinding])


async def export_all(
    queue: LeadQueue,
    workspace_id: UUID,
    *,
    since: date | None = None,
    until: date | None = None,
    user_id: UUID | None = None,
) -> AsyncIterator[ExportPage]:
    """Every page of the export, one at a time, however many there are."""
    after = None
    while True:
        page = await queue.export(workspace_id, since=since, until=until, user_id=user_id, after=after)
        yield page
        if (after := page.next) is None:
            return
