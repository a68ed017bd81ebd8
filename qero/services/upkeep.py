"""What has to be done about inboxes from time to time."""

from __future__ import annotations

from qero.clients.factory import ServiceClient
from qero.clients.rpc import call
from qero.models.inbox import KeptInbox


class Upkeep:
    """For the worker. Service role only."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def keep(self, *, limit: int = 500) -> KeptInbox:
        """Open what was snoozed until now, assign what waits, note which targets were missed: of each up to `limit`.

        Idempotent, and safe from any number of workers at once.

        Raises:
            InvalidInput: `invalid_value`, the limit isn't 1 to 10,000.
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.keep_inbox
        """
        return await call(self._client, "keep_inbox", KeptInbox, p_limit=limit)
