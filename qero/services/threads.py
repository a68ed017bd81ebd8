"""WhatsApp threads: what customers and the team wrote, and replying."""

from __future__ import annotations

import builtins
from uuid import UUID, uuid4

from qero.clients.factory import Client
from qero.clients.rpc import call, execute, page_limit
from qero.models.whatsapp import Connection, Message, Thread

PAGE_LIMIT = 200


class Threads:
    """Row security: threads of the caller's workspaces. Viewers only read."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list(self, workspace_id: UUID, *, limit: int = 50) -> builtins.list[Thread]:
        """The threads of a workspace with the newest activity first, at most `limit` (1 to 200).

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.wa_threads
        """
        query = (
            self._client.table("wa_threads")
            .select("*")
            .eq("workspace_id", str(workspace_id))
            # The hour first, because the index that gives the order is by the hour.
            .order("last_message_hour", desc=True)
            .order("last_message_at", desc=True)
            .order("id", desc=True)
            .limit(page_limit(limit, PAGE_LIMIT))
        )
        return await execute(
            self._client, query, list[Thread], operation="threads.list", workspace_id=str(workspace_id)
        )

    async def messages(self, thread: Thread, *, limit: int = 50) -> builtins.list[Message]:
        """The newest messages of a thread, newest first, at most `limit` (1 to 200).

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.wa_messages
        """
        query = (
            self._client.table("wa_messages")
            .select("*")
            # All three, because the index that gives the order without sorting begins with all three.
            .eq("thread_id", str(thread.id))
            .eq("connection_id", str(thread.connection_id))
            .eq("workspace_id", str(thread.workspace_id))
            .order("occurred_at", desc=True)
            .order("sequence", desc=True)
            .limit(page_limit(limit, PAGE_LIMIT))
        )
        return await execute(self._client, query, list[Message], operation="threads.messages", thread_id=str(thread.id))

    async def connection(self, thread_id: UUID) -> Connection:
        """The number the thread's replies leave by.

        Raises:
            NotFound: `thread_not_found`.
            InvalidState: `connection_not_found`, `connection_inactive`.
        SQL: public.resolve_connection_for_thread
        """
        return await call(self._client, "resolve_connection_for_thread", Connection, p_thread_id=thread_id)

    async def send_text(self, thread_id: UUID, body: str, *, idempotency_key: str | None = None) -> Message:
        """Queue a text reply; it leaves by the thread's own number, after everything queued before it.

        Idempotent by key: repeating a request with its key returns the first message. Without a key each call is a
        new message.

        Args:
            body: 1 to 4096 characters.
            idempotency_key: 1 to 200 characters, unique within the workspace.

        Raises:
            NotFound: `thread_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidInput: `body_required`, `body_too_long`, `recipient_missing`, `invalid_value` for the key.
            InvalidState: `window_closed` (send a template), `connection_not_found`, `connection_inactive`,
                `workspace_suspended`.
            Conflict: `idempotency_conflict`, the key belongs to a different message.
        SQL: public.send_whatsapp_text
        """
        return await call(
            self._client,
            "send_whatsapp_text",
            Message,
            p_thread_id=thread_id,
            p_body=body,
            p_idempotency_key=str(uuid4()) if idempotency_key is None else idempotency_key,
        )
