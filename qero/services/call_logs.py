"""Calls with contacts."""

from __future__ import annotations

import builtins
from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from qero.clients.batches import chunk_unique, in_parallel
from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call
from qero.models.call_log import CallLog, CallOutcome, ContactCalls

BATCH = 200
BATCHES_AT_ONCE = 4


class CallLogs:
    """Row security: calls of the caller's workspaces. Viewers only read.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def log(
        self,
        contact_id: UUID,
        outcome: CallOutcome,
        *,
        duration_seconds: int = 0,
        note: str | None = None,
        called_at: datetime | None = None,
    ) -> CallLog:
        """Log one call; now unless `called_at` says when. Not idempotent.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, naming the field.
        SQL: public.log_call
        """
        return await call(
            self._client,
            "log_call",
            CallLog,
            p_contact_id=contact_id,
            p_outcome=outcome,
            p_duration_seconds=duration_seconds,
            p_note=note,
            p_called_at=called_at,
        )

    async def list(self, contact_id: UUID, *, limit: int = 20) -> builtins.list[CallLog]:
        """The latest calls with one contact, at most `limit` (1 to 200). Empty for a foreign contact.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: public.get_call_logs
        """
        [found] = await self._ask([contact_id], limit)
        return found.calls

    async def for_contacts(self, contact_ids: Iterable[UUID | str], *, limit: int = 20) -> builtins.list[ContactCalls]:
        """The latest calls with each of any number of contacts, each once, in the order given.

        Asks in batches of at most 200 ids, at most 4 at once. The function itself takes 500 ids at most.

        Args:
            contact_ids: text is trimmed, and empty text left out.
            limit: calls of each contact, 1 to 200.

        Raises:
            InvalidInput: `invalid_value`, the limit, or a text that is no uuid.
        SQL: public.get_call_logs
        """
        batches = await in_parallel(
            lambda ids: self._ask(ids, limit), chunk_unique(contact_ids, BATCH), bound=BATCHES_AT_ONCE
        )
        return [found for batch in batches for found in batch]

    async def _ask(self, contact_ids: builtins.list[UUID], limit: int) -> builtins.list[ContactCalls]:
        return await call(
            self._client, "get_call_logs", builtins.list[ContactCalls], p_contact_ids=contact_ids, p_limit=limit
        )
