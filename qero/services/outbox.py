"""The worker's side of the outbox."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from qero.clients.factory import ServiceClient
from qero.clients.rpc import call
from qero.models.outbox import Completion, Failure, OutboxMessage, OutboxStats, QueuedMessage, Settlement
from qero.models.whatsapp import Connection


class Outbox:
    """Messages that are to leave the system, handed out under leases.

    A lease covers all messages of one claim. Reports are fenced by it: once it has ended they change nothing
    and say so, because the messages may belong to another worker or to a person by then. Service role only.
    """

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def claim(self, limit: int, worker: str) -> builtins.list[OutboxMessage]:
        """Lease up to `limit` due messages to `worker`, whose name must be unique among living processes.

        Not idempotent: each call leases other messages. Messages whose lease ended unreported become
        `unknown` rather than being handed out again, because they may have been sent; notifications and read receipts,
        which do no harm twice, are handed out again.

        Raises:
            InvalidInput: `invalid_value`, the limit or the name can't be used.
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.claim_outbox
        """
        return await call(self._client, "claim_outbox", builtins.list[OutboxMessage], p_limit=limit, p_worker=worker)

    async def release_lost_claims(self, worker: str, held_tokens: Sequence[int]) -> int:
        """Put back what `worker` was given in answers that never reached it; returns how many messages.

        Only for the worker itself, between claims: everything under its name whose lease it doesn't name goes back
        into the queue, uncounted. Idempotent.

        Raises:
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.release_lost_claims
        """
        return await call(self._client, "release_lost_claims", int, p_worker=worker, p_held_tokens=[*held_tokens])

    async def wait_seconds(self) -> float | None:
        """Seconds until the next due message may leave by the pace of its number; None when nothing is due.

        Raises:
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.get_outbox_wait
        """
        waits = await call(self._client, "get_outbox_wait", builtins.list[float])
        return waits[0] if waits else None

    async def complete(self, lease_token: int, results: Sequence[Completion]) -> builtins.list[Settlement]:
        """Report messages as sent, with the provider's ids.

        Returns one settlement for each: `sent`, `lease_lost` or `not_found`.

        Idempotent: the same report may be repeated when its answer was lost.

        Raises:
            InvalidInput: `invalid_value`, a report is malformed.
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.complete_outbox
        """
        return await call(
            self._client, "complete_outbox", builtins.list[Settlement], p_token=lease_token, p_results=[*results]
        )

    async def fail(self, lease_token: int, failures: Sequence[Failure]) -> builtins.list[Settlement]:
        """Report messages as not sent, or as not known to be.

        Returns one settlement for each: where it went, `lease_lost` or `not_found`.

        Idempotent: the same report may be repeated when its answer was lost.

        Raises:
            InvalidInput: `invalid_value`, a report is malformed.
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.fail_outbox
        """
        return await call(
            self._client, "fail_outbox", builtins.list[Settlement], p_token=lease_token, p_failures=[*failures]
        )

    async def extend_lease(self, lease_token: int, seconds: int) -> datetime:
        """Keep a lease for `seconds` from now; returns when it will end, by the database's clock.

        Idempotent: repeating it only moves the end.

        Raises:
            Conflict: `lease_lost`, it ended already; drop the batch.
            InvalidInput: `invalid_value`, the seconds aren't 1 to 600.
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.extend_lease
        """
        return await call(self._client, "extend_lease", datetime, p_token=lease_token, p_seconds=seconds)

    async def maintain(self) -> dict[str, int]:
        """Archive finished messages and clear what has run out, a bounded amount; returns how many of each.

        Raises:
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.maintain_outbox
        """
        return await call(self._client, "maintain_outbox", dict[str, int])

    async def enqueue(
        self,
        workspace_id: UUID,
        channel: Literal["whatsapp", "web_push"],
        messages: Sequence[tuple[str, str, Mapping[str, Any]]],
        *,
        connection_id: UUID | None = None,
        thread_ids: Sequence[UUID | None] | None = None,
        priority: int = 0,
        scheduled_at: datetime | None = None,
        automated: bool = False,
        max_attempts: int = 5,
    ) -> builtins.list[UUID]:
        """Queue messages of one sender; returns their ids in the order given.

        Idempotent by key: a repeated one returns its first message. Checks no 24-hour window: that is up to what
        decides to send.

        Args:
            messages: idempotency key (1 to 200 characters, unique in the workspace), recipient and payload of each.
            thread_ids: the thread of each, whose order is kept.
            priority: -100 to 100; higher goes first, among the messages of this sender.
            scheduled_at: not before.
            automated: cancelled when the customer replies first.

        Raises:
            Conflict: `idempotency_conflict`, a key belongs to a different message.
            InvalidInput: `invalid_value`, lengths, priority or attempts; `reference_not_found`, the workspace,
                connection or thread.
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.enqueue_outbox
        """
        return await call(
            self._client,
            "enqueue_outbox",
            builtins.list[UUID],
            p_workspace_id=workspace_id,
            p_channel=channel,
            p_recipients=[recipient for _, recipient, _ in messages],
            p_payloads=[payload for _, _, payload in messages],
            p_idempotency_keys=[key for key, _, _ in messages],
            p_connection_id=connection_id,
            p_thread_ids=None if thread_ids is None else [*thread_ids],
            p_priority=priority,
            p_scheduled_at=scheduled_at,
            p_automated=automated,
            p_max_attempts=max_attempts,
        )

    async def get(self, message_id: UUID) -> QueuedMessage:
        """One message and where it stands, also when it is archived.

        Raises:
            NotFound: `outbox_message_not_found`.
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.find_outbox_message
        """
        return await call(self._client, "find_outbox_message", QueuedMessage, p_id=message_id)

    async def list(
        self,
        status: Literal["queued", "processing", "failed", "dead", "unknown"],
        *,
        workspace_id: UUID | None = None,
        connection_id: UUID | None = None,
        limit: int = 50,
        before: QueuedMessage | None = None,
    ) -> builtins.list[QueuedMessage]:
        """Messages of one status, the latest first, at most `limit` (1 to 1000).

        By `scheduled_at` what is queued or processing; else by `settled_at`, which says of each, of `unknown` ones too,
        since when it is known to have ended so.

        Args:
            before: for the next page, the last message of the one before.

        Raises:
            InvalidInput: `invalid_value`, the status or the limit.
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.list_outbox
        """
        return await call(
            self._client,
            "list_outbox",
            builtins.list[QueuedMessage],
            p_status=status,
            p_workspace_id=workspace_id,
            p_connection_id=connection_id,
            p_limit=limit,
            p_before=before and (before.scheduled_at if status in ("queued", "processing") else before.settled_at),
            p_before_id=before and before.id,
        )

    async def cancel(self, message_ids: Sequence[UUID], reason: str = "Cancelled.") -> builtins.list[Settlement]:
        """Cancel messages that wait. What a worker has in hand is answered `processing` and may leave.

        Idempotent: what is settled is answered with its status.

        Raises:
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.cancel_outbox
        """
        return await call(
            self._client, "cancel_outbox", builtins.list[Settlement], p_ids=[*message_ids], p_reason=reason
        )

    async def retry(self, message_ids: Sequence[UUID], *, spread_seconds: int = 0) -> builtins.list[Settlement]:
        """Queue settled messages again with all their attempts, spread evenly over `spread_seconds` (at most a day).

        One whose outcome is unknown may reach the customer twice: name it only when a person has decided so. Sent
        messages stay sent. One of an older database that belongs to no number is answered `not_attributable` and stays
        as it is. Idempotent: what is queued stays so.

        Raises:
            InvalidInput: `invalid_value`, the spread.
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.retry_outbox
        """
        return await call(
            self._client,
            "retry_outbox",
            builtins.list[Settlement],
            p_ids=[*message_ids],
            p_spread_seconds=spread_seconds,
        )

    async def purge(
        self,
        status: Literal["failed", "dead", "unknown"],
        *,
        older_than: timedelta = timedelta(0),
        workspace_id: UUID | None = None,
        limit: int = 1000,
    ) -> int:
        """Delete messages that ended badly, the oldest first, at most `limit` (1 to 10,000); returns how many.

        What the team saw of them in the inbox stays.

        Raises:
            InvalidInput: `invalid_value`, the status or the limit.
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.purge_outbox
        """
        return await call(
            self._client,
            "purge_outbox",
            int,
            p_status=status,
            p_older_than=f"{older_than.total_seconds()} seconds",
            p_workspace_id=workspace_id,
            p_limit=limit,
        )

    async def stats(self, workspace_id: UUID | None = None) -> OutboxStats:
        """Depth and age, of each lane too, and what ended badly, by code; of one workspace where given.

        Raises:
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.get_outbox_stats
        """
        return await call(self._client, "get_outbox_stats", OutboxStats, p_workspace_id=workspace_id)

    async def pause_connection(self, connection_id: UUID, reason: str = "Paused by a person.") -> Connection:
        """Hold back everything queued for a number until it is resumed; it still receives.

        Idempotent.

        Raises:
            InvalidState: `connection_not_found`, none such, or it is disconnected.
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.pause_connection
        """
        return await call(self._client, "pause_connection", Connection, p_connection_id=connection_id, p_reason=reason)

    async def resume_connection(self, connection_id: UUID) -> Connection:
        """Let a paused number send again, at once; also ends a pause that the provider asked for.

        Idempotent.

        Raises:
            InvalidState: `connection_not_found`, none such, or it is disconnected.
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.resume_connection
        """
        return await call(self._client, "resume_connection", Connection, p_connection_id=connection_id)
