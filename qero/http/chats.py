"""Team chat: the caller's chats, their messages, and how far the caller has read."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from qero.errors import InvalidInput
from qero.http.callers import Input, MaybeNamedWorkspace, User, WorkspaceRef, resolve
from qero.http.lists import Limit, LongLimit
from qero.http.problems import refusals
from qero.http.routing import Router
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
from qero.services.chats import Chats
from qero.services.workspaces import Workspaces

router = Router(prefix="/api/chats", tags=["chat"])

Seq = Annotated[int | None, Query(ge=0, description="The number of a message.")]


class NewChat(Input):
    workspace: WorkspaceRef
    kind: ChatKind
    title: str | None = None
    member_ids: list[UUID] = Field(default_factory=list, description="Others.")


class Message(Input):
    body: str | None = None
    client_generated_id: str | None = None
    attachments: list[Attachment] = Field(default_factory=list)
    mentions: list[UUID] = Field(default_factory=list)
    reply_to: int | None = Field(None, description="The number of the message that it answers.")


class Messages(Input):
    messages: list[NewMessage]


class Text(Input):
    body: str | None


class People(Input):
    user_ids: list[UUID]


class Muted(Input):
    until: AwareDatetime | None = Field(description="Null ends it.")


class UpTo(Input):
    up_to_seq: int | None = Field(None, description="All of them, unless given.")


class Typing(Input):
    typing: bool = True


class UnreadCount(BaseModel):
    unread_count: int


class LatestSeq(BaseModel):
    latest_seq: int


@router.get("", responses=refusals(Workspaces.resolve, Chats.list))
async def list_chats(
    user: User,
    workspace_id: MaybeNamedWorkspace,
    limit: LongLimit = 200,
    before: Annotated[AwareDatetime | None, Query(description="The last `active_at` of the page before …")] = None,
    before_id: Annotated[UUID | None, Query(description="… and the `id` beside it.")] = None,
) -> list[ListedChat]:
    """The caller's chats with the newest activity first; of all workspaces unless one is named."""
    if (before is None) != (before_id is None):
        raise InvalidInput("invalid_value", detail={"fields": ["before", "before_id"]}, hint="Give both, or neither.")
    place = None if before is None or before_id is None else ChatPlace(id=before_id, active_at=before)
    return await Chats(user).list(workspace_id, limit=limit, before=place)


@router.post("", status_code=201, responses=refusals(Workspaces.resolve, Chats.create, writes=True))
async def create_chat(request: Request, user: User, chat: NewChat) -> Chat:
    """Opens a chat with the caller in it; a direct chat with somebody is always the same."""
    workspace_id = await resolve(request, user, chat.workspace)
    return await Chats(user).create(workspace_id, chat.kind, chat.title, member_ids=chat.member_ids)


@router.get("/unread", responses=refusals(Workspaces.resolve, Chats.unread_counts))
async def list_unread(user: User, workspace_id: MaybeNamedWorkspace) -> list[Unread]:
    """Every chat of the caller with something unread, and how much."""
    return await Chats(user).unread_counts(workspace_id)


@router.patch("/messages/{message_id}", responses=refusals(Chats.edit, writes=True))
async def edit_message(user: User, message_id: UUID, text: Text) -> ChatMessage:
    """Gives the caller's own message another text; it keeps its number."""
    return await Chats(user).edit(message_id, text.body)


@router.delete("/messages/{message_id}", responses=refusals(Chats.delete, writes=True))
async def delete_message(user: User, message_id: UUID) -> ChatMessage:
    """Takes a message's content away; it keeps its number."""
    return await Chats(user).delete(message_id)


@router.get("/{id}/messages", responses=refusals(Chats.messages))
async def get_messages(
    user: User, id: UUID, before_seq: Seq = None, after_seq: Seq = None, around_seq: Seq = None, limit: Limit = 50
) -> ChatPage:
    """A page of messages, newest first: the latest, or before, after or around one."""
    return await Chats(user).messages(
        id, before_seq=before_seq, after_seq=after_seq, around_seq=around_seq, limit=limit
    )  # fmt: skip


@router.post("/{id}/messages", status_code=201, responses=refusals(Chats.send, writes=True))
async def send_message(user: User, id: UUID, message: Message) -> ChatMessage:
    """Writes a message; repeated with its `client_generated_id`, it is the first one again."""
    return await Chats(user).send(
        id, message.body, client_generated_id=message.client_generated_id, attachments=message.attachments,
        mentions=message.mentions, reply_to=message.reply_to,
    )  # fmt: skip


@router.post("/{id}/messages/batch", status_code=201, responses=refusals(Chats.send_many, writes=True))
async def send_messages(user: User, id: UUID, messages: Messages) -> list[ChatMessage]:
    """Writes up to 100 messages in their order: all of them, or none."""
    return await Chats(user).send_many(id, messages.messages)


@router.get("/{id}/changes", responses=refusals(Chats.changes))
async def get_changes(
    user: User,
    id: UUID,
    after_rev: Annotated[int, Query(ge=0, description="The number of a change.")],
    limit: LongLimit = 200,
) -> ChatChanges:
    """Messages sent, edited or deleted after a rev, each as it is now."""
    return await Chats(user).changes(id, after_rev, limit=limit)


@router.get("/{id}/unread-count", responses=refusals(Chats.unread_count))
async def get_unread_count(user: User, id: UUID) -> UnreadCount:
    """How many messages of others the caller hasn't read."""
    return UnreadCount(unread_count=await Chats(user).unread_count(id))


@router.get("/{id}/latest-seq", responses=refusals(Chats.latest_seq))
async def get_latest_seq(user: User, id: UUID) -> LatestSeq:
    """The number of the newest message; 0 when there is none."""
    return LatestSeq(latest_seq=await Chats(user).latest_seq(id))


@router.get("/{id}/members", responses=refusals(Chats.members))
async def list_members(user: User, id: UUID) -> list[ChatMember]:
    """The members with how far they have read; none of a chat that isn't the caller's."""
    return await Chats(user).members(id)


@router.post("/{id}/members", responses=refusals(Chats.add_members, writes=True))
async def add_members(user: User, id: UUID, people: People) -> list[ChatMember]:
    """Adds colleagues to a group or channel; answers with all its members."""
    return await Chats(user).add_members(id, people.user_ids)


@router.delete("/{id}/members/{user_id}", status_code=204, responses=refusals(Chats.remove_member, writes=True))
async def remove_member_of_chat(user: User, id: UUID, user_id: UUID) -> None:
    """Ends somebody's membership, as an owner of the chat."""
    await Chats(user).remove_member(id, user_id)


@router.post("/{id}/join", responses=refusals(Chats.join, writes=True))
async def join_chat(user: User, id: UUID) -> ChatMember:
    """Becomes a member of a channel of the caller's workspace."""
    return await Chats(user).join(id)


@router.post("/{id}/leave", status_code=204, responses=refusals(Chats.leave, writes=True))
async def leave_chat(user: User, id: UUID) -> None:
    """Ends the caller's membership; what they wrote stays."""
    await Chats(user).leave(id)


@router.post("/{id}/mute", responses=refusals(Chats.mute, writes=True))
async def mute_chat(user: User, id: UUID, muted: Muted) -> ChatMember:
    """Notifies the caller of nothing in a chat until then."""
    return await Chats(user).mute(id, muted.until)


@router.post("/{id}/delivered", responses=refusals(Chats.mark_delivered, writes=True))
async def mark_delivered(user: User, id: UUID, cursor: UpTo) -> ChatMember:
    """Says that messages up to a number, or all, have arrived."""
    return await Chats(user).mark_delivered(id, cursor.up_to_seq)


@router.post("/{id}/read", responses=refusals(Chats.mark_read, writes=True))
async def mark_read(user: User, id: UUID, cursor: UpTo) -> ChatMember:
    """Says that messages up to a number, or all, have been read."""
    return await Chats(user).mark_read(id, cursor.up_to_seq)


@router.post("/{id}/typing", status_code=204, responses=refusals(Chats.set_typing, writes=True))
async def set_typing(user: User, id: UUID, state: Typing) -> None:
    """Tells those who are there that the caller is typing, or no longer."""
    await Chats(user).set_typing(id, state.typing)
