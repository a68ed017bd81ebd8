"""Limits that hold across processes and restarts."""

from __future__ import annotations

from qero.clients.factory import ServiceClient
from qero.clients.rpc import call
from qero.models.outbox import RateLimitSlot


class RateLimits:
    """So many of something in so many seconds, whoever asks. Service role only."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def take(self, key: str, *, cap: int, window_seconds: int) -> RateLimitSlot:
        """Take one of `cap` slots of the key's present window; says whether there was one, and how many remain.

        A window begins with the first slot taken after the last one ended. Not idempotent: each call takes a slot.

        Args:
            key: 1 to 300 characters; keys with the same name share a limit.

        Raises:
            InvalidInput: `invalid_value`, the key, cap or window.
            PermissionDenied: `permission_denied`, not the service role.
        SQL: public.take_rate_limit_slot
        """
        [slot] = await call(
            self._client,
            "take_rate_limit_slot",
            list[RateLimitSlot],
            p_key=key,
            p_cap=cap,
            p_window_seconds=window_seconds,
        )
        return slot
