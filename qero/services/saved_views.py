"""Filters of the inbox under a name."""

from __future__ import annotations

import builtins
from uuid import UUID

from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call
from qero.models.inbox import SavedView, SavedViewPatch, ViewFilters


class SavedViews:
    """Row security: the caller's own, in workspaces they are in; what others share is listed too.

    Applying one is `Inbox.list` and `Inbox.count` with its id.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def list(self, workspace_id: UUID) -> builtins.list[SavedView]:
        """The caller's views by name, then what others share.

        Raises:
            NotFound: `workspace_not_found`.
        SQL: public.list_saved_views
        """
        return await call(self._client, "list_saved_views", builtins.list[SavedView], p_workspace_id=workspace_id)

    async def create(
        self,
        workspace_id: UUID,
        name: str,
        filters: ViewFilters | None = None,
        *,
        default: bool = False,
        shared: bool = False,
    ) -> SavedView:
        """Keep a filter under a name of 1 to 100 characters. Not idempotent: a name is taken once.

        Args:
            default: the caller's inbox opens with it, instead of the one that did before.
            shared: everybody in the workspace sees it; for owners and admins.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`, viewers only read, and only owners and admins share.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, the name or a filter; `field_unknown`.
            Conflict: `view_name_taken`.
        SQL: public.create_saved_view
        """
        return await call(
            self._client,
            "create_saved_view",
            SavedView,
            p_workspace_id=workspace_id,
            p_name=name,
            p_filters=(filters or ViewFilters()).model_dump(mode="json", exclude_none=True),
            p_is_default=default,
            p_is_shared=shared,
        )

    async def update(self, view_id: UUID, patch: SavedViewPatch) -> SavedView:
        """Change the named fields of one's own view, or as owner or admin of a shared one. Idempotent.

        Raises:
            NotFound: `view_not_found`, none such, or another user's.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, `field_unknown`.
            Conflict: `view_name_taken`.
        SQL: public.update_saved_view
        """
        return await call(
            self._client,
            "update_saved_view",
            SavedView,
            p_view_id=view_id,
            p_patch=patch.model_dump(mode="json", exclude_unset=True, exclude_none=True),
        )

    async def rename(self, view_id: UUID, name: str) -> SavedView:
        """Give a view another name. Idempotent.

        Raises as `update`:
            NotFound: `view_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, `field_unknown`.
            Conflict: `view_name_taken`.
        SQL: public.update_saved_view
        """
        return await self.update(view_id, SavedViewPatch(name=name))

    async def delete(self, view_id: UUID) -> None:
        """Remove one's own view, or as owner or admin a shared one. Not idempotent: the second call finds nothing.

        Raises:
            NotFound: `view_not_found`, none such, or another user's.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
        SQL: public.delete_saved_view
        """
        await call(self._client, "delete_saved_view", type(None), p_view_id=view_id)
