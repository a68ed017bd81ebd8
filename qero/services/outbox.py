"""The worker's side of the outbox."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from qero.clients.factory import ServiceClient
from qero.clients.rpc import call
from qero.models.outbox import Completion, Failure, OutboxMessage, Settlement


class Outbox:
    """Messages that are to leave the system, handed out under leases.

    A lease covers all messages of one claim. Reports are fenced by it: once it has ended they change nothing
    and say so, because the messages may belong to another worker or to a person by then. Service role only.
    """

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def claim(self, limit: int, worker: str) -> list[OutboxMessage]:
        """Lease up to `limit` due messages to `worker`, whose name must be unique among living processes.

        Not idempotent: each call leases other messages. Messages whose lease ended unreported become
        `unknown` rather than being handed out again, because they may have been sent.

        Raises:
            InvalidInput: `invalid_value`, the limit or the name can't be used.
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.claim_outbox
        """
        return await call(self._client, "claim_outbox", list[OutboxMessage], p_limit=limit, p_worker=worker)

    async def complete(self, lease_token: int, results: Sequence[Completion]) -> list[Settlement]:
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
            self._client, "complete_outbox", list[Settlement], p_token=lease_token, p_results=list(results)
        )

    async def fail(self, lease_token: int, failures: Sequence[Failure]) -> list[Settlement]:
        """Report messages as not sent, or as not known to be.

        Returns one settlement for each: where it went, `lease_lost` or `not_found`.

        Idempotent: the same report may be repeated when its answer was lost.

        Raises:
            InvalidInput: `invalid_value`, a report is malformed.
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.fail_outbox
        """
        return await call(self._client, "fail_outbox", list[Settlement], p_token=lease_token, p_failures=list(failures))

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
