"""Notes that a team keeps about its contacts."""

from __future__ import annotations

import builtins
from uuid import UUID

from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call, execute, page_limit
from qero.models.contact import Note

PAGE_LIMIT = 200


class Notes:
    """Row security: notes of the caller's workspaces. Viewers only read; nobody edits somebody else's.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def list(self, contact_id: UUID, *, limit: int = 50) -> builtins.list[Note]:
        """The latest notes about a contact, at most `limit` (1 to 200). Empty for a foreign contact.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.contact_notes
        """
        query = (
            self._client.table("contact_notes")
            .select("*")
            .eq("contact_id", str(contact_id))
            .order("created_at", desc=True)
            .order("id", desc=True)
            .limit(page_limit(limit, PAGE_LIMIT))
        )
        return await execute(
            self._client, query, builtins.list[Note], operation="notes.list", contact_id=str(contact_id)
        )

    async def add(self, contact_id: UUID, body: str) -> Note:
        """Add a note of 1 to 10,000 characters. Not idempotent.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, the body.
        SQL: public.add_contact_note
        """
        return await call(self._client, "add_contact_note", Note, p_contact_id=contact_id, p_body=body)

    async def update(self, note_id: UUID, body: str) -> Note:
        """Change a note of the caller's own. Idempotent.

        Raises:
            NotFound: `note_not_found`, none such, another's, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, the body.
        SQL: public.update_contact_note
        """
        return await call(self._client, "update_contact_note", Note, p_note_id=note_id, p_body=body)

    async def delete(self, note_id: UUID) -> None:
        """Delete a note: its author may, and owners and admins. Not idempotent: the second call finds nothing.

        Raises:
            NotFound: `note_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, somebody else's.
            InvalidState: `workspace_suspended`.
        SQL: public.delete_contact_note
        """
        await call(self._client, "delete_contact_note", UUID, p_note_id=note_id)
