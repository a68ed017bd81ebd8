"""The inbox: threads of every number, worked through together, and what customers are answered with."""

from __future__ import annotations

from tempfile import SpooledTemporaryFile
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Depends, Header, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from qero.clients.factory import Clients
from qero.clients.graph import GraphClient
from qero.clients.secrets import SecretBox
from qero.http.callers import Input, NamedWorkspace, User, WorkspaceRef, resolve
from qero.http.lists import After, Limit
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.chat import ChatMessage
from qero.models.contact import Count
from qero.models.inbox import (
    UPLOAD_BEGINNING_BYTES,
    Breach,
    CannedResponse,
    FoundMessage,
    InboxCounts,
    InboxSettings,
    InboxSettingsPatch,
    InboxThread,
    Media,
    MediaKind,
    Priority,
    ThreadFilter,
    ThreadSort,
    ThreadStatus,
    UploadedMedia,
    Variables,
)
from qero.models.reply import Reply
from qero.models.row import Page
from qero.models.template import BulkPreview, BulkResult, Template
from qero.models.whatsapp import Message, Thread
from qero.services.canned_responses import CannedResponses
from qero.services.inbox import Inbox
from qero.services.media import MediaUploads
from qero.services.templates import Templates
from qero.services.threads import Threads
from qero.services.workspaces import Workspaces
from qero.settings import Settings

router = Router(prefix="/api/inbox", tags=["inbox"])

FILES_PATH = "/files"
FILE = {"requestBody": {"required": True, "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}}

Key = Annotated[str | None, Field(min_length=1, max_length=200, description="Repeated, it is the first message again.")]
Quoted = Annotated[UUID | None, Field(description="A message of the thread that this answers.")]
ViewId = Annotated[UUID | None, Query(description="A saved view; with filters beside it both hold.")]


class Chosen(Input):
    """Of one workspace; all of them change, or none."""

    thread_ids: list[UUID] = Field(description="At most 500.")


class Assigned(Chosen):
    assignee_id: UUID | None = Field(description="Null takes them from whoever has them.")


class Tagged(Chosen):
    add: list[str] = Field(default_factory=list)
    remove: list[str] = Field(default_factory=list)


class Prioritised(Chosen):
    priority: Priority


class Snoozed(Chosen):
    until: AwareDatetime


class Reopened(Chosen):
    pending: bool = Field(False, description="They wait for somebody else than the customer.")


class NewThread(Input):
    contact_id: UUID
    connection_id: UUID


class NewNote(Input):
    body: str
    mentions: list[UUID] = Field(default_factory=list)
    client_generated_id: str | None = None


class MediaReply(Input):
    kind: MediaKind
    media: Media
    quoting: Quoted = None
    idempotency_key: Key = None


class OtherReply(Input):
    reply: Reply
    quoting: Quoted = None
    idempotency_key: Key = None


class TemplateReply(Input):
    template_id: UUID
    variables: Variables | None = None
    idempotency_key: Key = None


class Reaction(Input):
    emoji: str | None = Field(description="Null takes it back.")
    idempotency_key: Key = None


class ReadReceipt(Input):
    typing: bool = False


class Queued(BaseModel):
    outbox_id: UUID


class Seen(BaseModel):
    messages: int


class NewCannedResponse(Input):
    workspace: WorkspaceRef
    shortcut: str
    body: str


class Rendered(BaseModel):
    body: str


class ToMany(Input):
    """To every thread that the filter or the saved view means."""

    workspace: WorkspaceRef
    template_id: UUID
    filter: ThreadFilter | None = None
    view_id: UUID | None = None
    variables: Variables | None = None
    limit: int = 1000


class SentToMany(ToMany):
    idempotency_key: str | None = None


async def thread_filter(
    status: Annotated[list[ThreadStatus] | None, Query(description="Any of these.")] = None,
    assignee: Annotated[Literal["me", "unassigned"] | UUID | None, Query()] = None,
    tag: Annotated[list[str] | None, Query(description="All of these.")] = None,
    q: Annotated[str | None, Query(max_length=500, description="Words of a message or the contact.")] = None,
    connection_id: UUID | None = None,
    contact_id: UUID | None = None,
    priority: Annotated[list[Priority] | None, Query(description="Any of these.")] = None,
    unread: Annotated[Literal[True] | None, Query(description="By the caller.")] = None,
    waiting: Literal[True] | None = None,
    breached: Literal[True] | None = None,
) -> ThreadFilter:
    """Which threads."""
    return ThreadFilter(
        status=status, assignee=assignee, tag=tag, q=q, connection_id=connection_id, contact_id=contact_id,
        priority=priority, unread=unread, waiting=waiting, breached=breached,
    )  # fmt: skip


Filter = Annotated[ThreadFilter, Depends(thread_filter)]


# --- Threads ---


@router.get("/threads", responses=refusals(Workspaces.resolve, Inbox.list))
async def list_threads(
    user: User,
    workspace_id: NamedWorkspace,
    filter: Filter,
    view_id: ViewId = None,
    sort: ThreadSort = "last_message_at",
    after: After = None,
    limit: Limit = 50,
) -> Page[InboxThread]:
    """A page of threads."""
    return await Inbox(user).list(workspace_id, filter, view_id=view_id, sort=sort, after=after, limit=limit)


@router.post("/threads", responses=refusals(Threads.open, writes=True))
async def open_thread(user: User, new: NewThread) -> Thread:
    """The thread of a contact with a number, made when there is none: a template can begin it."""
    return await Threads(user).open(new.contact_id, new.connection_id)


@router.get("/threads/count", responses=refusals(Workspaces.resolve, Inbox.count))
async def count_threads(
    user: User,
    workspace_id: NamedWorkspace,
    filter: Filter,
    view_id: ViewId = None,
    exact: Annotated[bool, Query(description="Else many are estimated.")] = True,
) -> Count:
    """How many threads there are."""
    return await Inbox(user).count(workspace_id, filter, view_id=view_id, exact=exact)


@router.get("/counts", responses=refusals(Workspaces.resolve, Inbox.counts))
async def get_counts(user: User, workspace_id: NamedWorkspace) -> InboxCounts:
    """What stands beside an inbox's filters."""
    return await Inbox(user).counts(workspace_id)


@router.get("/search", responses=refusals(Workspaces.resolve, Inbox.search))
async def search_messages(
    user: User,
    workspace_id: NamedWorkspace,
    q: Annotated[str, Query(min_length=1, max_length=500)],
    thread_id: UUID | None = None,
    after: After = None,
    limit: Limit = 50,
) -> Page[FoundMessage]:
    """Messages that hold the words."""
    return await Inbox(user).search(workspace_id, q, thread_id=thread_id, after=after, limit=limit)


@router.post("/threads/assign", responses=refusals(Inbox.assign, writes=True))
async def assign_threads(user: User, changed: Assigned) -> list[Thread]:
    """Gives threads to a member, or to nobody."""
    return await Inbox(user).assign(changed.thread_ids, changed.assignee_id)


@router.post("/threads/tag", responses=refusals(Inbox.tag, writes=True))
async def tag_threads(user: User, changed: Tagged) -> list[Thread]:
    """Adds and removes tags."""
    return await Inbox(user).tag(changed.thread_ids, add=changed.add, remove=changed.remove)


@router.post("/threads/priority", responses=refusals(Inbox.set_priority, writes=True))
async def set_priority(user: User, changed: Prioritised) -> list[Thread]:
    """Sets how urgent threads are."""
    return await Inbox(user).set_priority(changed.thread_ids, changed.priority)


@router.post("/threads/snooze", responses=refusals(Inbox.snooze, writes=True))
async def snooze_threads(user: User, changed: Snoozed) -> list[Thread]:
    """Puts threads aside until then, or until the customer writes."""
    return await Inbox(user).snooze(changed.thread_ids, changed.until)


@router.post("/threads/close", responses=refusals(Inbox.close, writes=True))
async def close_threads(user: User, changed: Chosen) -> list[Thread]:
    """Closes threads; a customer's next message opens theirs again."""
    return await Inbox(user).close(changed.thread_ids)


@router.post("/threads/reopen", responses=refusals(Inbox.reopen, writes=True))
async def reopen_threads(user: User, changed: Reopened) -> list[Thread]:
    """Opens threads again."""
    return await Inbox(user).reopen(changed.thread_ids, pending=changed.pending)


@router.get("/threads/{id}", responses=refusals(Inbox.get))
async def get_thread(user: User, id: UUID) -> InboxThread:
    """One thread, as lists show it."""
    return await Inbox(user).get(id)


@router.get("/threads/{id}/messages", responses=refusals(Inbox.get, Threads.messages))
async def list_messages(user: User, id: UUID, limit: Limit = 50) -> list[Message]:
    """The newest messages of a thread."""
    return await Threads(user).messages(await Inbox(user).get(id), limit=limit)


@router.post("/threads/{id}/read", responses=refusals(Inbox.mark_read, writes=True))
async def mark_thread_read(user: User, id: UUID) -> Seen:
    """Says that the caller has seen a thread; nobody else notices."""
    return Seen(messages=await Inbox(user).mark_read(id))


@router.post("/threads/{id}/unread", status_code=204, responses=refusals(Inbox.mark_unread, writes=True))
async def mark_thread_unread(user: User, id: UUID) -> None:
    """Has a thread be unread for the caller, until they have seen it again; nobody else notices."""
    await Inbox(user).mark_unread(id)


@router.post("/threads/{id}/notes", status_code=201, responses=refusals(Inbox.add_note, writes=True))
async def add_thread_note(user: User, id: UUID, note: NewNote) -> ChatMessage:
    """Writes a note to the team; the customer sees nothing of it."""
    return await Inbox(user).add_note(
        id, note.body, mentions=note.mentions, client_generated_id=note.client_generated_id
    )


# --- Replies ---


@router.post("/threads/{id}/media", status_code=202, responses=refusals(Threads.send_media, writes=True))
async def send_media(user: User, id: UUID, reply: MediaReply) -> Message:
    """Queues a picture, video, sound, document or sticker."""
    return await Threads(user).send_media(
        id, reply.kind, reply.media, quoting=reply.quoting, idempotency_key=reply.idempotency_key
    )


@router.post("/threads/{id}/replies", status_code=202, responses=refusals(Threads.send, writes=True))
async def send_reply(user: User, id: UUID, reply: OtherReply) -> Message:
    """Queues buttons, a list, a link, a request for the customer's place, a place or contact cards."""
    return await Threads(user).send(id, reply.reply, quoting=reply.quoting, idempotency_key=reply.idempotency_key)


@router.post(
    "/threads/{id}" + FILES_PATH,
    status_code=201,
    responses=refusals(
        Threads.prepare_upload, MediaUploads.upload, codes=["setting_missing", "body_too_large"], writes=True
    ),
    openapi_extra=FILE,
)
async def upload_file(
    request: Request,
    user: User,
    id: UUID,
    content_type: Annotated[str, Header(max_length=200, description="What the file is, as image/png.")],
    # Every client says it by itself; whoever is told to name another hangs on it.
    content_length: Annotated[int, Header(ge=1, include_in_schema=False)],
    filename: Annotated[str, Query(min_length=1, max_length=240)] = "file",
) -> UploadedMedia:
    """Brings the file that is the body to Meta, to be sent in this thread by its id within 30 days."""
    settings: Settings = request.app.state.settings
    clients: Clients = request.app.state.clients
    body, beginning = request.stream(), b""
    with SpooledTemporaryFile(max_size=2**20) as file:
        # No more than it takes to know whether the rest is wanted.
        async for chunk in body:
            file.write(chunk)
            beginning += chunk
            if len(beginning) >= UPLOAD_BEGINNING_BYTES:
                break
        target = await Threads(user).prepare_upload(id, content_type, content_length, beginning=beginning)
        graph = GraphClient.from_settings(settings, clients.http)
        uploads = MediaUploads(clients.service(), graph, SecretBox.from_settings(settings))
        async for chunk in body:
            file.write(chunk)
        file.seek(0)
        media_id = await uploads.upload(target.connection_id, file, mime_type=target.mime_type, filename=filename)
    return UploadedMedia(kind=target.kind, id=media_id)


@router.post("/threads/{id}/template", status_code=202, responses=refusals(Threads.send_template, writes=True))
async def send_template(user: User, id: UUID, reply: TemplateReply) -> Message:
    """Queues an approved template, which needs no open window."""
    return await Threads(user).send_template(
        id, reply.template_id, reply.variables, idempotency_key=reply.idempotency_key
    )


@router.post("/messages/{id}/reaction", status_code=202, responses=refusals(Threads.react, writes=True))
async def react(user: User, id: UUID, reaction: Reaction) -> Queued:
    """Queues a reaction to a message, or its end."""
    queued = await Threads(user).react(id, reaction.emoji, idempotency_key=reaction.idempotency_key)
    return Queued(outbox_id=queued)


@router.post("/messages/{id}/read-receipt", status_code=202, responses=refusals(Threads.send_read_receipt, writes=True))
async def send_read_receipt(user: User, id: UUID, receipt: ReadReceipt) -> Queued:
    """Tells the customer that a message, and all before it, was read."""
    return Queued(outbox_id=await Threads(user).send_read_receipt(id, typing=receipt.typing))


# --- Canned responses and templates ---


@router.get("/canned-responses", responses=refusals(Workspaces.resolve, CannedResponses.list))
async def list_canned_responses(user: User, workspace_id: NamedWorkspace) -> list[CannedResponse]:
    """Answers that are given often, by their shortcuts."""
    return await CannedResponses(user).list(workspace_id)


@router.put("/canned-responses", responses=refusals(Workspaces.resolve, CannedResponses.save, writes=True))
async def save_canned_response(request: Request, user: User, new: NewCannedResponse) -> CannedResponse:
    """Keeps an answer under a shortcut."""
    workspace_id = await resolve(request, user, new.workspace)
    return await CannedResponses(user).save(workspace_id, new.shortcut, new.body)


@router.delete("/canned-responses/{id}", status_code=204, responses=refusals(CannedResponses.delete, writes=True))
async def delete_canned_response(user: User, id: UUID) -> None:
    """Removes an answer."""
    await CannedResponses(user).delete(id)


@router.get("/threads/{id}/canned-responses/{shortcut}", responses=refusals(CannedResponses.render))
async def render_canned_response(user: User, id: UUID, shortcut: str) -> Rendered:
    """An answer with the contact's name and the like filled in."""
    return Rendered(body=await CannedResponses(user).render(id, shortcut))


@router.get("/templates", responses=refusals(Workspaces.resolve, Templates.list))
async def list_templates(
    user: User,
    workspace_id: NamedWorkspace,
    status: Annotated[str | None, Query(max_length=50, description="In Meta's words: `APPROVED`.")] = None,
    search: Annotated[str | None, Query(max_length=200, description="A part of the name.")] = None,
) -> list[Template]:
    """The workspace's templates by name, with what each needs."""
    return await Templates(user).list(workspace_id, status=status, search=search)


@router.post("/templates/preview", responses=refusals(Workspaces.resolve, Templates.preview, writes=True))
async def preview_template(request: Request, user: User, to: ToMany) -> BulkPreview:
    """What sending a template to many would do now."""
    workspace_id = await resolve(request, user, to.workspace)
    return await Templates(user).preview(
        workspace_id, to.template_id, to.filter, view_id=to.view_id, variables=to.variables, limit=to.limit
    )


@router.post("/templates/send", status_code=202, responses=refusals(Workspaces.resolve, Templates.send, writes=True))
async def send_template_to_many(request: Request, user: User, to: SentToMany) -> BulkResult:
    """Queues a template to many threads; repeated with its key, none gets a second one."""
    workspace_id = await resolve(request, user, to.workspace)
    return await Templates(user).send(
        workspace_id, to.template_id, to.filter, view_id=to.view_id, variables=to.variables, limit=to.limit,
        idempotency_key=to.idempotency_key,
    )  # fmt: skip


# --- How the workspace works ---


@router.get("/settings", responses=refusals(Workspaces.resolve, Inbox.settings))
async def get_settings(user: User, workspace_id: NamedWorkspace) -> InboxSettings:
    """How the workspace shares out conversations, and how soon it means to answer."""
    return await Inbox(user).settings(workspace_id)


@router.patch("/settings", responses=refusals(Workspaces.resolve, Inbox.set_settings, writes=True))
async def set_settings(user: User, workspace_id: NamedWorkspace, patch: InboxSettingsPatch) -> InboxSettings:
    """Changes the named settings; the others stay."""
    return await Inbox(user).set_settings(workspace_id, patch)


@router.get("/breaches", responses=refusals(Workspaces.resolve, Inbox.breaches))
async def list_breaches(user: User, workspace_id: NamedWorkspace, limit: Limit = 50) -> list[Breach]:
    """Customers who waited longer than the target, the latest first."""
    return await Inbox(user).breaches(workspace_id, limit=limit)
