"""The inbox as one user: finding threads, what is done with them, and who is in charge."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID, uuid4

from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call, execute, page_limit
from qero.models.chat import Chat, ChatMessage
from qero.models.contact import Count
from qero.models.inbox import (
    Breach,
    FoundMessage,
    InboxCounts,
    InboxSettings,
    InboxSettingsPatch,
    InboxThread,
    Priority,
    ThreadFilter,
    ThreadSort,
)
from qero.models.row import Page
from qero.models.whatsapp import Thread

LIST_LIMIT = 200


class Inbox:
    """Row security: threads of the caller's workspaces, and what the caller has seen of them. Viewers only read.

    Replying is `Threads`, filters under a name are `SavedViews`.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def list(
        self,
        workspace_id: UUID,
        filter: ThreadFilter | None = None,
        *,
        view_id: UUID | None = None,
        sort: ThreadSort = "last_message_at",
        after: str | None = None,
        limit: int = 50,
    ) -> Page[InboxThread]:
        """A page of threads, filtered, ordered and paged in the database. Threads without any message aren't in it.

        Args:
            view_id: a saved view; with a filter beside it both hold.
            sort: the latest activity first, who has waited longest first, or the slowest first answer first; the last
                two leave out threads that have no such thing.
            after: the `next` of the page before, with the same filter and order.
            limit: 1 to 200.

        Raises:
            NotFound: `workspace_not_found`, or `view_not_found`.
            InvalidInput: `invalid_value`, naming the filter, the limit, the cursor or the order; `field_unknown`.
        SQL: public.list_threads
        """
        rows = await call(
            self._client,
            "list_threads",
            builtins.list[InboxThread],
            p_workspace_id=workspace_id,
            p_filter=_given(filter),
            p_view_id=view_id,
            p_sort=sort,
            p_after=after,
            p_limit=limit,
        )
        return Page.of(rows, limit)

    async def count(
        self,
        workspace_id: UUID,
        filter: ThreadFilter | None = None,
        *,
        view_id: UUID | None = None,
        exact: bool = True,
    ) -> Count:
        """How many threads a list would have; not `exact`, it stops at 5,000.

        Raises:
            NotFound: `workspace_not_found`, or `view_not_found`.
            InvalidInput: `invalid_value`, naming the filter; `field_unknown`.
        SQL: public.count_threads
        """
        return await call(
            self._client,
            "count_threads",
            Count,
            p_workspace_id=workspace_id,
            p_filter=_given(filter),
            p_view_id=view_id,
            p_exact=exact,
        )

    async def counts(self, workspace_id: UUID) -> InboxCounts:
        """How many threads have each status, are the caller's, unread by them, waiting, or waiting too long.

        Raises:
            NotFound: `workspace_not_found`.
        SQL: public.get_inbox_counts
        """
        return await call(self._client, "get_inbox_counts", InboxCounts, p_workspace_id=workspace_id)

    async def get(self, thread_id: UUID) -> InboxThread:
        """One thread, as lists show it.

        Raises:
            NotFound: `thread_not_found`, none such, or another workspace's.
        SQL: public.get_thread
        """
        return await call(self._client, "get_thread", InboxThread, p_thread_id=thread_id)

    async def search(
        self,
        workspace_id: UUID,
        query: str,
        *,
        thread_id: UUID | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[FoundMessage]:
        """Messages that hold all words of a query, the newest first.

        Words are found in their other forms too where the number's language is set (`Connections.set_language`).

        Args:
            query: 1 to 500 characters; "quotes" for a phrase, `or`, and `-` for what mustn't stand there.
            after: the `next` of the page before.
            limit: 1 to 200.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, the query, the limit or the cursor.
        SQL: public.search_messages
        """
        rows = await call(
            self._client,
            "search_messages",
            builtins.list[FoundMessage],
            p_workspace_id=workspace_id,
            p_query=query,
            p_thread_id=thread_id,
            p_after=after,
            p_limit=limit,
        )
        return Page.of(rows, limit)

    async def mark_read(self, thread_id: UUID) -> int:
        """The caller has seen everything in a thread; returns how many messages came in it. Idempotent.

        Nobody else sees a difference, and the customer is told nothing: that is `Threads.send_read_receipt`.

        Raises:
            NotFound: `thread_not_found`.
        SQL: public.mark_thread_read
        """
        return await call(self._client, "mark_thread_read", int, p_thread_id=thread_id)

    async def mark_unread(self, thread_id: UUID) -> None:
        """Have a thread be unread for the caller again, also one that is answered, until they mark it read. Idempotent.

        Nobody else sees a difference.

        Raises:
            NotFound: `thread_not_found`.
        SQL: public.mark_thread_unread
        """
        await call(self._client, "mark_thread_unread", type(None), p_thread_id=thread_id)

    async def assign(self, thread_ids: Sequence[UUID], assignee_id: UUID | None) -> builtins.list[Thread]:
        """Put a member in charge of threads, or nobody. Idempotent.

        All of up to 500 threads change, or none; they are of one workspace.

        Raises:
            NotFound: `thread_not_found`, naming one that is missing or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `reference_not_found`, they are no member, or a viewer; `too_many_ids`, `invalid_value`,
                `field_unknown`.
        SQL: public.update_threads
        """
        return await self._update(thread_ids, assignee_id=assignee_id)

    async def tag(
        self, thread_ids: Sequence[UUID], *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> builtins.list[Thread]:
        """Add tags to threads and take others away. Idempotent. At most 50 tags of 1 to 100 characters at once.

        Raises as `assign`:
            NotFound: `thread_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, naming the tags; `too_many_ids`, `field_unknown`, `reference_not_found`.
        SQL: public.update_threads
        """
        return await self._update(thread_ids, add_tags=[*add], remove_tags=[*remove])

    async def set_priority(self, thread_ids: Sequence[UUID], priority: Priority) -> builtins.list[Thread]:
        """Say how urgent threads are. Idempotent.

        Raises as `assign`:
            NotFound: `thread_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, `too_many_ids`, `field_unknown`, `reference_not_found`.
        SQL: public.update_threads
        """
        return await self._update(thread_ids, priority=priority)

    async def snooze(self, thread_ids: Sequence[UUID], until: datetime) -> builtins.list[Thread]:
        """Put threads away until a moment ahead, or until the customer writes; then they are open again. Idempotent.

        Raises as `assign`:
            NotFound: `thread_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, the moment has passed or is more than ten years away; `too_many_ids`,
                `field_unknown`, `reference_not_found`.
        SQL: public.update_threads
        """
        return await self._update(thread_ids, status="snoozed", snoozed_until=until)

    async def close(self, thread_ids: Sequence[UUID]) -> builtins.list[Thread]:
        """End conversations: nothing in them needs an answer. When the customer writes they are open again. Idempotent.

        Raises as `assign`:
            NotFound: `thread_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `too_many_ids`, `invalid_value`, `field_unknown`, `reference_not_found`.
        SQL: public.update_threads
        """
        return await self._update(thread_ids, status="closed")

    async def reopen(self, thread_ids: Sequence[UUID], *, pending: bool = False) -> builtins.list[Thread]:
        """Open threads that are closed or snoozed. Idempotent.

        Args:
            pending: they wait for somebody else than the customer.

        Raises as `assign`:
            NotFound: `thread_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `too_many_ids`, `invalid_value`, `field_unknown`, `reference_not_found`.
        SQL: public.update_threads
        """
        return await self._update(thread_ids, status="pending" if pending else "open")

    async def _update(self, thread_ids: Sequence[UUID], **patch: object) -> builtins.list[Thread]:
        return await call(
            self._client, "update_threads", builtins.list[Thread], p_thread_ids=[*thread_ids], p_patch=patch
        )

    async def chat(self, thread_id: UUID) -> Chat:
        """The channel with a thread's notes, made when there is none; the caller is in it afterwards. Idempotent.

        Everything that `Chats` and `ChatSession` do works with it. Customers see nothing of it.

        Raises:
            NotFound: `thread_not_found`.
            PermissionDenied: `role_required`, viewers don't write notes.
            InvalidState: `workspace_suspended`.
            InvalidInput: `reference_not_found`, the caller has just left the workspace.
        SQL: public.open_thread_chat
        """
        return await call(self._client, "open_thread_chat", Chat, p_thread_id=thread_id)

    async def add_note(
        self,
        thread_id: UUID,
        body: str,
        *,
        mentions: Sequence[UUID] = (),
        client_generated_id: str | None = None,
    ) -> ChatMessage:
        """Write a note about a thread that only colleagues see. Idempotent by `client_generated_id`.

        Args:
            body: 1 to 8000 characters.
            mentions: members of the workspace; they come into the thread's channel by it.

        Raises:
            NotFound: `thread_not_found`, or `chat_not_found` when the thread went meanwhile.
            PermissionDenied: `role_required`.
            InvalidState: `workspace_suspended`.
            InvalidInput: `body_required`, `body_too_long`, `invalid_value` for the id; `reference_not_found`, naming
                who is no member.
        SQL: public.add_thread_note
        """
        return await call(
            self._client,
            "add_thread_note",
            ChatMessage,
            p_thread_id=thread_id,
            p_body=body,
            p_client_generated_id=client_generated_id or str(uuid4()),
            p_mentions=[*mentions],
        )

    async def settings(self, workspace_id: UUID) -> InboxSettings:
        """How the workspace assigns conversations and how soon it means to answer.

        SQL: select on public.inbox_settings
        """
        query = self._client.table("inbox_settings").select("*").eq("workspace_id", str(workspace_id))
        rows = await execute(
            self._client,
            query,
            builtins.list[InboxSettings],
            operation="inbox.settings",
            workspace_id=str(workspace_id),
        )
        return rows[0] if rows else InboxSettings(workspace_id=workspace_id)

    async def set_settings(self, workspace_id: UUID, patch: InboxSettingsPatch) -> InboxSettings:
        """Change how the workspace assigns conversations, to whom, and how soon it means to answer. Idempotent.

        A worker assigns, wakes what was snoozed and notes missed targets, every few seconds.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`, only owners and admins.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, naming the setting; `field_unknown`; `reference_not_found`, an assignee is no
                member, or a viewer.
        SQL: public.set_inbox_settings
        """
        return await call(
            self._client,
            "set_inbox_settings",
            InboxSettings,
            p_workspace_id=workspace_id,
            p_patch=patch.model_dump(mode="json", exclude_unset=True),
        )

    async def breaches(self, workspace_id: UUID, *, limit: int = 50) -> builtins.list[Breach]:
        """Customers who waited longer than the target, the latest first, at most `limit` (1 to 200).

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.wa_thread_breaches
        """
        query = (
            self._client.table("wa_thread_breaches")
            .select("*")
            .eq("workspace_id", str(workspace_id))
            .order("created_at", desc=True)
            .limit(page_limit(limit, LIST_LIMIT))
        )
        return await execute(
            self._client, query, builtins.list[Breach], operation="inbox.breaches", workspace_id=str(workspace_id)
        )


def _given(filter: ThreadFilter | None) -> dict[str, object]:
    return {} if filter is None else filter.model_dump(mode="json", exclude_none=True)
