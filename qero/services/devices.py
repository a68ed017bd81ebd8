"""The devices that the signed-in user is notified on."""

from __future__ import annotations

import builtins

from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call, execute
from qero.models.push import Device


class Devices:
    """Row security: the caller's own only. A device is what a browser's `PushManager.subscribe` answered.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def save(self, endpoint: str, *, p256dh: str, auth: str, user_agent: str | None = None) -> Device:
        """Notify the caller on a device from now on, in all their workspaces.

        Idempotent by endpoint: saving it again renews its keys, and one that was somebody else's is the caller's now.
        The 20 latest are kept.

        Args:
            endpoint: https, at a push service on the internet.
            p256dh: the subscription's key, base64 of 65 bytes.
            auth: the subscription's secret, base64 of 16 bytes.

        Raises:
            InvalidInput: `push_endpoint_invalid`; `invalid_value` for a key.
        SQL: public.save_push_subscription
        """
        return await call(
            self._client,
            "save_push_subscription",
            Device,
            p_endpoint=endpoint,
            p_p256dh=p256dh,
            p_auth=auth,
            p_user_agent=user_agent,
        )

    async def list(self) -> builtins.list[Device]:
        """The caller's devices, the latest renewed first; 20 at most.

        SQL: select on public.push_subscriptions
        """
        query = self._client.table("push_subscriptions").select("*").order("updated_at", desc=True).order("id")
        return await execute(self._client, query, list[Device], operation="devices.list")

    async def remove(self, endpoint: str) -> bool:
        """Notify the caller on a device no longer; False when it wasn't theirs. Idempotent.

        SQL: public.remove_push_subscription
        """
        return await call(self._client, "remove_push_subscription", bool, p_endpoint=endpoint)
