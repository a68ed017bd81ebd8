"""What the signed-in user has planned to do about contacts and candidates."""

from __future__ import annotations

import builtins
from datetime import datetime, timedelta
from uuid import UUID

from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call
from qero.models.contact import FollowUpFilter
from qero.models.personal import FollowUp, FollowUpCounts, MovedFollowUp
from qero.models.row import Page


class FollowUps:
    """Row security: the caller's own only, in workspaces they are in. One is scheduled by `Contacts.set_settings`.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def list(
        self,
        workspace_id: UUID | None = None,
        *,
        due: FollowUpFilter = "any",
        after: str | None = None,
        limit: int = 50,
    ) -> Page[FollowUp]:
        """The caller's follow-ups over contacts and candidates, the most urgent first; of all workspaces unless named.

        Args:
            due: overdue until now, today from now until midnight in the caller's time zone, upcoming after that;
                due is overdue or today.
            after: the `next` of the page before.
            limit: 1 to 200.

        Raises:
            InvalidInput: `invalid_value`, the limit, the cursor or `due`.
        SQL: public.list_follow_ups
        """
        rows = await call(
            self._client,
            "list_follow_ups",
            builtins.list[FollowUp],
            p_workspace_id=workspace_id,
            p_due=due,
            p_after=after,
            p_limit=limit,
        )
        return Page.of(rows, limit)

    async def counts(self, workspace_id: UUID | None = None) -> FollowUpCounts:
        """How many the caller has overdue, later today and upcoming, for a badge.

        SQL: public.count_follow_ups
        """
        return await call(self._client, "count_follow_ups", FollowUpCounts, p_workspace_id=workspace_id)

    async def complete(self, id: UUID) -> MovedFollowUp:
        """Clear the caller's follow-up for one contact or candidate, with its note; the personal status stays.

        Not idempotent: the second call finds none.

        Raises:
            NotFound: `follow_up_not_found`, none scheduled, or another user's.
        SQL: public.complete_follow_up
        """
        return await call(self._client, "complete_follow_up", MovedFollowUp, p_id=id)

    async def reschedule(self, id: UUID, at: datetime) -> MovedFollowUp:
        """Move the caller's follow-up for one contact or candidate; note and status stay. Idempotent.

        Raises:
            NotFound: `follow_up_not_found`, none scheduled, or another user's.
            InvalidInput: `invalid_value`, the time.
        SQL: public.reschedule_follow_up
        """
        return await call(self._client, "reschedule_follow_up", MovedFollowUp, p_id=id, p_at=at)

    async def snooze(self, id: UUID, delay: timedelta) -> MovedFollowUp:
        """Make the caller's follow-up due so long from now, a second to a year; note and status stay.

        Raises:
            NotFound: `follow_up_not_found`, none scheduled, or another user's.
            InvalidInput: `invalid_value`, the delay.
        SQL: public.snooze_follow_up
        """
        seconds = int(delay.total_seconds())
        return await call(self._client, "snooze_follow_up", MovedFollowUp, p_id=id, p_seconds=seconds)
