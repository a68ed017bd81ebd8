"""The worker's side of notifications."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from qero.clients.factory import ServiceClient
from qero.clients.rpc import call
from qero.models.push import PreparedPush, PushResult


class Pushes:
    """Who is told what, asked when it is to be sent. Service role only."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def prepare(self, message_ids: Sequence[UUID]) -> list[PreparedPush]:
        """What is to be done with each of these claimed messages; one that is gone has no answer.

        Events become a message for each device of those who are to know. Idempotent.

        Raises:
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.prepare_pushes
        """
        return await call(self._client, "prepare_pushes", list[PreparedPush], p_ids=[*message_ids])

    async def record(self, results: Sequence[PushResult]) -> None:
        """Note what push services said of devices; one that is gone is removed, with its present endpoint only.

        Raises:
            PermissionDenied: `permission_denied`, not the service role.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`.
        SQL: public.record_push_results
        """
        await call(self._client, "record_push_results", type(None), p_results=[*results])
