"""Team chat as one user: chats, messages, and how far one has read."""

from __future__ import annotations

import builtins
from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from qero.clients.batches import MOST_ROWS, chunk_unique, every_row, in_parallel
from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call, execute, page_limit
from qero.models.chat import (
    Attachment,
    Chat,
    ChatChanges,
    ChatKind,
    ChatMember,
    ChatMessage,
    ChatPage,
    ChatPlace,
    ListedChat,
    NewMessage,
    Unread,
)
from qero.models.row import Row

LIST_LIMIT = 1000


class _Person(Row):
    id: UUID
    full_name: str | None = None
    email: str | None = None


class Chats:
    """Row security: chats the user is a member of. Viewers of a workspace read and don't write.

    A chat one isn't in looks like one that doesn't exist: `chat_not_found`.
    """

    def __init__(self, client: UserClient) -> None:
        """
        Raises:
            NotAuthenticated: `not_authenticated`, it isn't a user's client.
        """
        self._client = require_user_client(client)

    async def create(
        self, workspace_id: UUID, kind: ChatKind, title: str | None = None, *, member_ids: Sequence[UUID] = ()
    ) -> Chat:
        """Open a chat with the caller in it.

        A direct chat is with one other person and is idempotent: for a pair there is one. Groups and channels need a
        title of 1 to 200 characters, and each call makes another; colleagues may join a channel by themselves.

        Args:
            member_ids: others, all members of the workspace; at most 1,000.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value` for kind, title or members; `reference_not_found`, naming who isn't there.
        SQL: public.create_chat
        """
        return await call(
            self._client,
            "create_chat",
            Chat,
            p_workspace_id=workspace_id,
            p_kind=kind,
            p_title=title,
            p_member_ids=[*member_ids],
        )

    async def list(
        self, workspace_id: UUID | None = None, *, limit: int = 200, before: ChatPlace | None = None
    ) -> builtins.list[ListedChat]:
        """The caller's chats with the newest activity first, at most `limit` (1 to 1000).

        Args:
            before: for the next page, the last chat of the one before.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: public.list_chats
        """
        return await call(
            self._client,
            "list_chats",
            builtins.list[ListedChat],
            p_workspace_id=workspace_id,
            p_limit=page_limit(limit, LIST_LIMIT),
            p_before=before and before.active_at,
            p_before_id=before and before.id,
        )

    async def members(self, chat_id: UUID) -> builtins.list[ChatMember]:
        """All members of a chat with their cursors, longest first; none when it isn't the caller's.

        SQL: select on public.chat_members
        """

        async def behind(last: ChatMember | None) -> builtins.list[ChatMember]:
            query = self._client.table("chat_members").select("*").eq("chat_id", str(chat_id))
            if last is not None:
                query = query.gt("user_id", str(last.user_id))
            query = query.order("user_id").limit(MOST_ROWS)
            return await execute(
                self._client, query, builtins.list[ChatMember], operation="chats.members", chat_id=str(chat_id)
            )

        return sorted(await every_row(behind), key=lambda member: (member.joined_at, member.user_id))

    async def names(self, user_ids: Collection[UUID]) -> dict[UUID, str]:
        """What people are called, or else their addresses; colleagues only. A hundred a request, four at once.

        SQL: select on public.profiles
        """

        async def of(ids: Sequence[UUID]) -> builtins.list[_Person]:
            query = self._client.table("profiles").select("id, full_name, email").in_("id", [str(id_) for id_ in ids])
            return await execute(self._client, query, builtins.list[_Person], operation="chats.names")

        found = await in_parallel(of, chunk_unique(user_ids, 100), bound=4)
        people = [person for batch in found for person in batch]
        return {person.id: person.full_name or person.email or str(person.id) for person in people}

    async def add_members(self, chat_id: UUID, user_ids: Sequence[UUID]) -> builtins.list[ChatMember]:
        """Add colleagues to a group or channel; returns all its members. They see what was written before.

        Idempotent: who is in it stays so.

        Raises:
            NotFound: `chat_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidInput: `reference_not_found`, naming who isn't in the workspace.
            InvalidState: `workspace_suspended`; `chat_is_direct`.
        SQL: public.add_chat_members
        """
        return await call(
            self._client, "add_chat_members", builtins.list[ChatMember], p_chat_id=chat_id, p_user_ids=[*user_ids]
        )

    async def join(self, chat_id: UUID) -> ChatMember:
        """Become a member of a channel of one's workspace. Idempotent.

        Raises:
            NotFound: `chat_not_found`, no channel of the caller's workspaces.
            PermissionDenied: `role_required`, viewers are added by others.
            InvalidState: `workspace_suspended`.
            InvalidInput: `reference_not_found`, the membership of the workspace has just ended.
        SQL: public.join_chat
        """
        return await call(self._client, "join_chat", ChatMember, p_chat_id=chat_id)

    async def leave(self, chat_id: UUID) -> None:
        """End one's membership. What one wrote stays; the longest member owns a chat that lost its owner.

        Raises:
            NotFound: `chat_not_found`, one isn't in it (any more).
        SQL: public.leave_chat
        """
        await call(self._client, "leave_chat", type(None), p_chat_id=chat_id)

    async def remove_member(self, chat_id: UUID, user_id: UUID) -> None:
        """End somebody's membership, as an owner of the chat.

        Raises:
            NotFound: `chat_not_found`.
            PermissionDenied: `role_required`, owners of the chat only.
            InvalidState: `workspace_suspended`.
            InvalidInput: `reference_not_found`, they aren't in it (any more).
        SQL: public.remove_chat_member
        """
        await call(self._client, "remove_chat_member", type(None), p_chat_id=chat_id, p_user_id=user_id)

    async def mute(self, chat_id: UUID, until: datetime | None) -> ChatMember:
        """Be notified of nothing in a chat until then; None ends it. Unread counts go on. Idempotent.

        Raises:
            NotFound: `chat_not_found`.
        SQL: public.mute_chat
        """
        return await call(self._client, "mute_chat", ChatMember, p_chat_id=chat_id, p_until=until)

    async def send(
        self,
        chat_id: UUID,
        body: str | None,
        *,
        client_generated_id: str | None = None,
        attachments: Sequence[Attachment] = (),
        mentions: Sequence[UUID] = (),
        reply_to: int | None = None,
    ) -> ChatMessage:
        """Write a message; it gets the chat's next number, and one's own cursor moves up to it.

        Idempotent by `client_generated_id`: repeating it returns the first message, whatever else the request says.
        Without one each call is a new message.

        Args:
            body: 1 to 8000 characters; may be left out beside attachments.
            client_generated_id: 1 to 100 characters, unique among what one sends to the chat.
            attachments: at most 10, and 20,000 characters in all.
            mentions: members of the chat, at most 50.
            reply_to: the number of a message of the chat.

        Raises:
            NotFound: `chat_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `body_required`, `body_too_long`, `invalid_value` for the id or the attachments,
                `reference_not_found` for a mention or the reply.
        SQL: public.send_message
        """
        return await call(
            self._client,
            "send_message",
            ChatMessage,
            p_chat_id=chat_id,
            p_body=body,
            p_client_generated_id=str(uuid4()) if client_generated_id is None else client_generated_id,
            p_attachments=[*attachments],
            p_mentions=[*mentions],
            p_reply_to=reply_to,
        )

    async def send_many(self, chat_id: UUID, messages: Sequence[NewMessage]) -> builtins.list[ChatMessage]:
        """Write up to 100 messages in the order given, in one transaction: all of them, or none.

        Idempotent by each `client_generated_id`, as `send`.

        Raises:
            NotFound: `chat_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, too many; or, for the first that is refused, `body_required`,
                `body_too_long`, `invalid_value`, `reference_not_found`.
        SQL: public.send_messages
        """
        return await call(
            self._client, "send_messages", builtins.list[ChatMessage], p_chat_id=chat_id, p_messages=[*messages]
        )

    async def edit(self, message_id: UUID, body: str | None) -> ChatMessage:
        """Give one's own message another text; it keeps its number. Idempotent.

        Raises:
            NotFound: `message_not_found`, or `chat_not_found` when the membership has just ended.
            PermissionDenied: `not_your_message`; `role_required`, viewers only read.
            InvalidInput: `body_required`, `body_too_long`.
            InvalidState: `workspace_suspended`; `message_deleted`.
        SQL: public.edit_message
        """
        return await call(self._client, "edit_message", ChatMessage, p_message_id=message_id, p_body=body)

    async def delete(self, message_id: UUID) -> ChatMessage:
        """Take a message's content away, one's own or as an owner of the chat; it keeps its number. Idempotent.

        Raises:
            NotFound: `message_not_found`, or `chat_not_found` when the membership has just ended.
            PermissionDenied: `not_your_message`; `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
        SQL: public.delete_message
        """
        return await call(self._client, "delete_message", ChatMessage, p_message_id=message_id)

    async def messages(
        self,
        chat_id: UUID,
        *,
        before_seq: int | None = None,
        after_seq: int | None = None,
        around_seq: int | None = None,
        limit: int = 50,
    ) -> ChatPage:
        """A page of at most `limit` messages (1 to 200), newest first: the latest, or before, after or around one.

        Each says how far the slowest other member is. A page costs the same however far back it lies.

        Raises:
            NotFound: `chat_not_found`.
            InvalidInput: `invalid_value`, the limit, or more than one place to read from.
        SQL: public.get_chat_messages
        """
        return await call(
            self._client,
            "get_chat_messages",
            ChatPage,
            p_chat_id=chat_id,
            p_before_seq=before_seq,
            p_after_seq=after_seq,
            p_around_seq=around_seq,
            p_limit=limit,
        )

    async def changes(self, chat_id: UUID, after_rev: int, *, limit: int = 200) -> ChatChanges:
        """Messages sent, edited or deleted after a rev, each as it is now, in the order of their revs.

        Asking again from the last rev until `has_more` is false catches up, however much is written meanwhile.

        Args:
            limit: 1 to 1000.

        Raises:
            NotFound: `chat_not_found`.
            InvalidInput: `invalid_value`, the rev or the limit.
        SQL: public.get_chat_changes
        """
        return await call(
            self._client, "get_chat_changes", ChatChanges, p_chat_id=chat_id, p_after_rev=after_rev, p_limit=limit
        )

    async def mark_delivered(self, chat_id: UUID, up_to_seq: int | None = None) -> ChatMember:
        """Say that messages up to a number, or all, have arrived. Never moves back. Idempotent.

        Raises:
            NotFound: `chat_not_found`.
        SQL: public.mark_messages_as_delivered
        """
        return await call(
            self._client, "mark_messages_as_delivered", ChatMember, p_chat_id=chat_id, p_up_to_seq=up_to_seq
        )

    async def mark_read(self, chat_id: UUID, up_to_seq: int | None = None) -> ChatMember:
        """Say that messages up to a number, or all, have been read. Never moves back. Idempotent.

        Raises:
            NotFound: `chat_not_found`.
        SQL: public.mark_messages_as_read
        """
        return await call(self._client, "mark_messages_as_read", ChatMember, p_chat_id=chat_id, p_up_to_seq=up_to_seq)

    async def unread_count(self, chat_id: UUID) -> int:
        """How many messages of others the caller hasn't read; deleted ones don't count.

        Raises:
            NotFound: `chat_not_found`.
        SQL: public.get_unread_count
        """
        return await call(self._client, "get_unread_count", int, p_chat_id=chat_id)

    async def unread_counts(self, workspace_id: UUID | None = None) -> builtins.list[Unread]:
        """Every chat of the caller with something unread, and how much.

        SQL: public.get_unread_counts
        """
        return await call(self._client, "get_unread_counts", builtins.list[Unread], p_workspace_id=workspace_id)

    async def latest_seq(self, chat_id: UUID) -> int:
        """The number of the newest message; 0 when there is none.

        Raises:
            NotFound: `chat_not_found`.
        SQL: public.get_latest_seq
        """
        return await call(self._client, "get_latest_seq", int, p_chat_id=chat_id)

    async def statuses(self, chat_id: UUID, *, after_seq: int, limit: int = 50) -> builtins.list[ChatMessage]:
        """Messages after a number, oldest first, each with how far the slowest other member is; `limit` 1 to 200.

        For looking again at the ones shown when a cursor has moved; `messages` says it along too.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.chat_messages
        SQL: public.status
        """
        query = (
            self._client.table("chat_messages")
            .select("*,status")
            .eq("chat_id", str(chat_id))
            .gt("seq", after_seq)
            .order("seq")
            .limit(page_limit(limit, 200))
        )
        return await execute(self._client, query, list[ChatMessage], operation="chats.statuses", chat_id=str(chat_id))

    async def set_typing(self, chat_id: UUID, typing: bool = True) -> None:
        """Tell those who are there that one is typing, or no longer. Nothing is kept; call it every few seconds.

        Raises:
            NotFound: `chat_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
        SQL: public.set_typing
        """
        await call(self._client, "set_typing", type(None), p_chat_id=chat_id, p_typing=typing)
