"""Answers that a team gives often."""

from __future__ import annotations

import builtins
from uuid import UUID

from qero.clients.factory import Client
from qero.clients.rpc import call, execute
from qero.models.inbox import CannedResponse


class CannedResponses:
    """Row security: those of the caller's workspaces. Viewers only read."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list(self, workspace_id: UUID) -> builtins.list[CannedResponse]:
        """The canned responses of a workspace by shortcut. Empty for a foreign workspace.

        SQL: select on public.canned_responses
        """
        query = (
            self._client.table("canned_responses").select("*").eq("workspace_id", str(workspace_id)).order("shortcut")
        )
        return await execute(
            self._client,
            query,
            builtins.list[CannedResponse],
            operation="canned_responses.list",
            workspace_id=str(workspace_id),
        )

    async def save(self, workspace_id: UUID, shortcut: str, body: str) -> CannedResponse:
        """Keep an answer under a shortcut, in place of the one before. Idempotent.

        Args:
            shortcut: 1 to 50 lower-case letters, digits, dashes and underscores.
            body: 1 to 4096 characters; `{contact.name}`, `{contact.first_name}`, `{contact.email}` and
                `{contact.phone}` are filled in when it is rendered.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, the shortcut or the body.
        SQL: public.save_canned_response
        """
        return await call(
            self._client,
            "save_canned_response",
            CannedResponse,
            p_workspace_id=workspace_id,
            p_shortcut=shortcut,
            p_body=body,
        )

    async def delete(self, response_id: UUID) -> None:
        """Remove a canned response. Not idempotent: the second call finds nothing.

        Raises:
            NotFound: `canned_response_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
        SQL: public.delete_canned_response
        """
        await call(self._client, "delete_canned_response", type(None), p_response_id=response_id)

    async def render(self, thread_id: UUID, shortcut: str) -> str:
        """The answer as it would be sent in a thread, with what is known of its contact; nothing is sent.

        Raises:
            NotFound: `thread_not_found`, or `canned_response_not_found`.
            InvalidInput: `invalid_value`, the contact lacks what it names; `body_too_long`.
        SQL: public.render_canned_response
        """
        return await call(self._client, "render_canned_response", str, p_thread_id=thread_id, p_shortcut=shortcut)
