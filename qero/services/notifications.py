"""What the signed-in user wants to be notified of."""

from __future__ import annotations

from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call
from qero.models.push import NotificationSettings, NotificationSettingsPatch


class Notifications:
    """Row security: the caller's own only. They hold for all devices and workspaces of the caller.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def set(self, patch: NotificationSettingsPatch | None = None) -> NotificationSettings:
        """Change the settings that the patch names, and return all of them; without a patch nothing changes.

        Quiet hours make what happens in them silent; follow-ups wait until they end. Idempotent.

        Raises:
            InvalidInput: `invalid_value` for a setting, or for quiet hours with one end or none between them;
                `field_unknown`.
        SQL: public.set_notification_settings
        """
        changes = {} if patch is None else patch.model_dump(mode="json", exclude_unset=True)
        return await call(self._client, "set_notification_settings", NotificationSettings, p_patch=changes)

    async def badge(self) -> int:
        """What the app's icon shows; every notification carries the same.

        Unread chat messages, muted chats aside, unread messages of customers in threads that are assigned to the
        caller, and follow-ups that are due.

        SQL: public.get_badge
        """
        return await call(self._client, "get_badge", int)
