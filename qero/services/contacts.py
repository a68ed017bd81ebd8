"""Contacts of a workspace."""

from __future__ import annotations

import builtins
from uuid import UUID

from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call, execute, one_row, page_limit
from qero.models.contact import Contact, LeadStatus

PAGE_LIMIT = 200


class Contacts:
    """Row security: contacts of the caller's workspaces. Viewers only read.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def list(self, workspace_id: UUID, *, limit: int = 50) -> builtins.list[Contact]:
        """The newest contacts of a workspace, at most `limit` (1 to 200). Empty for a foreign workspace: resolve first.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.contacts
        """
        query = (
            self._client.table("contacts")
            .select("*")
            .eq("workspace_id", str(workspace_id))
            .order("created_at", desc=True)
            .order("id", desc=True)
            .limit(page_limit(limit, PAGE_LIMIT))
        )
        return await execute(
            self._client, query, list[Contact], operation="contacts.list", workspace_id=str(workspace_id)
        )

    async def get(self, contact_id: UUID) -> Contact:
        """One contact.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
        SQL: select on public.contacts
        """
        query = self._client.table("contacts").select("*").eq("id", str(contact_id))
        rows = await execute(self._client, query, list[Contact], operation="contacts.get", contact_id=str(contact_id))
        return one_row(rows, "contact_not_found", contact_id=contact_id)

    async def update_status(self, contact_id: UUID, lead_status: LeadStatus) -> Contact:
        """Set the lead status of exactly this contact; nothing else changes. Idempotent.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `lead_status_invalid`; the detail lists the allowed values.
        SQL: public.update_contact_status
        """
        return await call(
            self._client, "update_contact_status", Contact, p_contact_id=contact_id, p_lead_status=lead_status
        )
