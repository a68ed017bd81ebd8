"""WhatsApp threads: what customers and the team wrote, and replying."""

from __future__ import annotations

import builtins
from uuid import UUID, uuid4

from qero.clients.factory import Client
from qero.clients.rpc import call, execute, page_limit
from qero.models.inbox import UPLOAD_BEGINNING_BYTES, InboxThread, Media, MediaKind, UploadTarget, Variables
from qero.models.reply import Reply
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

    async def messages(self, thread: Thread | InboxThread, *, limit: int = 50) -> builtins.list[Message]:
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

    async def send_text(
        self, thread_id: UUID, body: str, *, quoting: UUID | None = None, idempotency_key: str | None = None
    ) -> Message:
        """Queue a text reply; it leaves by the thread's own number, after everything queued before it.

        Idempotent by key: repeating a request with its key returns the first message. Without a key each call is a
        new message.

        Args:
            body: 1 to 4096 characters.
            quoting: a message of the thread, of either side, that this answers: it is shown above the text.
            idempotency_key: 1 to 200 characters, unique within the workspace.

        Raises:
            NotFound: `thread_not_found`, none such, or another workspace's; `message_not_found`, what is quoted isn't
                in the thread or hasn't left yet.
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
            p_quoted_id=quoting,
        )

    async def send_media(
        self,
        thread_id: UUID,
        kind: MediaKind,
        media: Media,
        *,
        quoting: UUID | None = None,
        idempotency_key: str | None = None,
    ) -> Message:
        """Queue a picture, video, sound, document or sticker, as `send_text` does a text.

        Args:
            media: the id of a file uploaded to Meta (`MediaUploads`), or a link that Meta can fetch.
            quoting: a message of the thread that this answers.

        Raises:
            NotFound: `thread_not_found`; `message_not_found`, what is quoted.
            PermissionDenied: `role_required`, viewers only read.
            InvalidInput: `invalid_value`, the kind, the file or the key; `recipient_missing`.
            InvalidState: `window_closed` (the detail names templates), `connection_not_found`, `connection_inactive`,
                `workspace_suspended`.
            Conflict: `idempotency_conflict`.
        SQL: public.send_whatsapp_content
        """
        return await self._send(thread_id, kind, media.model_dump(exclude_none=True), quoting, idempotency_key)

    async def prepare_upload(
        self, thread_id: UUID, mime_type: str, size: int, *, beginning: bytes = b""
    ) -> UploadTarget:
        """Ask whether WhatsApp takes a file and the caller may send it here, before it is uploaded (`MediaUploads`).

        Args:
            size: in bytes.
            beginning: the first 32 bytes or more; only of stickers, which may be larger where they move.

        Raises:
            NotFound: `thread_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidInput: `invalid_value`: `mime_type` is none that WhatsApp takes, or `bytes` are more than the limit.
            InvalidState: `connection_not_found`, `connection_inactive`, `workspace_suspended`.
        SQL: public.prepare_media_upload
        """
        return await call(
            self._client,
            "prepare_media_upload",
            UploadTarget,
            p_thread_id=thread_id,
            p_mime_type=mime_type,
            p_bytes=size,
            p_beginning=f"\\x{beginning[:UPLOAD_BEGINNING_BYTES].hex()}",
        )

    async def send(
        self, thread_id: UUID, reply: Reply, *, quoting: UUID | None = None, idempotency_key: str | None = None
    ) -> Message:
        """Queue buttons, a list, a link, a request for the customer's place, a place or contact cards.

        What the customer chooses comes as a message of type `interactive`, with the id of the choice in its content.

        Args:
            quoting: a message of the thread that this answers.

        Raises as `send_media`:
            NotFound: `thread_not_found`; `message_not_found`, what is quoted.
            PermissionDenied: `role_required`.
            InvalidInput: `invalid_value`, naming what WhatsApp wouldn't take, or the key; `recipient_missing`.
            InvalidState: `window_closed`, `connection_not_found`, `connection_inactive`, `workspace_suspended`.
            Conflict: `idempotency_conflict`.
        SQL: public.send_whatsapp_content
        """
        return await self._send(thread_id, reply.kind, reply.content, quoting, idempotency_key)

    async def _send(
        self, thread_id: UUID, kind: str, content: object, quoting: UUID | None, idempotency_key: str | None
    ) -> Message:
        return await call(
            self._client,
            "send_whatsapp_content",
            Message,
            p_thread_id=thread_id,
            p_kind=kind,
            p_content=content,
            p_idempotency_key=str(uuid4()) if idempotency_key is None else idempotency_key,
            p_quoted_id=quoting,
        )

    async def send_template(
        self,
        thread_id: UUID,
        template_id: UUID,
        variables: Variables | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Message:
        """Queue an approved template, which needs no open window. Idempotent by key, as `send_text`.

        Args:
            variables: what `Templates.list` says it needs: `{"body": ["Ada", "42"]}` by number, or
                `{"body": {"name": "Ada"}}` by name; `{"header": {"link": …}}` for a file; `{"buttons": {"0": "17"}}`.
                `{contact.name}` and the like are filled in.

        Raises:
            NotFound: `thread_not_found`; `template_not_found`, also one of another business account.
            PermissionDenied: `role_required`, viewers only read.
            InvalidInput: `template_variables_invalid`, naming what is missing; `invalid_value`, the key or a
                template that can't be sent from here; `recipient_missing`.
            InvalidState: `template_not_approved`; `recipient_opted_out`, of marketing; `connection_not_found`,
                `connection_inactive`, `workspace_suspended`. Never `window_closed`.
            Conflict: `idempotency_conflict`.
        SQL: public.send_whatsapp_template
        """
        return await call(
            self._client,
            "send_whatsapp_template",
            Message,
            p_thread_id=thread_id,
            p_template_id=template_id,
            p_variables=variables or {},
            p_idempotency_key=str(uuid4()) if idempotency_key is None else idempotency_key,
        )

    async def react(self, message_id: UUID, emoji: str | None, *, idempotency_key: str | None = None) -> UUID:
        """Queue a reaction to a message, or with None take it back; returns its id in the outbox.

        The team sees it at once, also should Meta refuse it later. Idempotent by key.

        Raises:
            NotFound: `message_not_found`, none such, or one that hasn't left yet; `thread_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidInput: `invalid_value`, more than one emoji, or the key; `recipient_missing`.
            InvalidState: `window_closed`, `connection_not_found`, `connection_inactive`, `workspace_suspended`.
            Conflict: `idempotency_conflict`.
        SQL: public.react_to_whatsapp_message
        """
        return await call(
            self._client,
            "react_to_whatsapp_message",
            UUID,
            p_message_id=message_id,
            p_emoji=emoji,
            p_idempotency_key=str(uuid4()) if idempotency_key is None else idempotency_key,
        )

    async def send_read_receipt(self, message_id: UUID, *, typing: bool = False) -> UUID:
        """Queue that a customer's message, and all before it, was read; returns its id in the outbox. Idempotent.

        Args:
            typing: show too that somebody is answering, for 25 seconds.

        Raises:
            NotFound: `message_not_found`; `thread_not_found`, it went meanwhile.
            PermissionDenied: `role_required`, viewers only read.
            InvalidInput: `invalid_value`, the message is the team's own; `recipient_missing`.
            InvalidState: `window_closed`, `connection_not_found`, `connection_inactive`, `workspace_suspended`.
            Conflict: `idempotency_conflict`.
        SQL: public.send_whatsapp_read_receipt
        """
        return await call(self._client, "send_whatsapp_read_receipt", UUID, p_message_id=message_id, p_typing=typing)

    async def open(self, contact_id: UUID, connection_id: UUID) -> Thread:
        """The thread of a contact with a number, made when there is none: a template can begin it. Idempotent.

        Raises:
            NotFound: `contact_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `connection_not_found`, none such in the contact's workspace; `connection_inactive`,
                `workspace_suspended`.
        SQL: public.open_thread
        """
        return await call(self._client, "open_thread", Thread, p_contact_id=contact_id, p_connection_id=connection_id)
