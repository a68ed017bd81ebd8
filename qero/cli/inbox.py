"""`qero inbox`: the threads of a workspace as one user works through them."""

from __future__ import annotations

import mimetypes
import os
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from datetime import datetime, time, timedelta
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any, cast
from uuid import UUID

import httpx
import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, app, out, print_json, print_lines
from qero.cli.moments import future_moment, span
from qero.cli.session import ask, member_named
from qero.clients.factory import Clients, UserClient
from qero.clients.graph import GraphClient
from qero.clients.secrets import SecretBox
from qero.errors import InvalidInput, NotFound
from qero.models.inbox import (
    UPLOAD_BEGINNING_BYTES,
    CannedResponse,
    InboxSettings,
    InboxSettingsPatch,
    InboxThread,
    Media,
    MediaKind,
    Opening,
    SavedView,
    SavedViewPatch,
    ThreadFilter,
    Variables,
    ViewFilters,
)
from qero.models.reply import (
    Buttons,
    Choice,
    ChoiceList,
    ContactCard,
    ContactCards,
    LinkButton,
    ListRow,
    ListSection,
    Location,
    LocationRequest,
    Reply,
)
from qero.models.whatsapp import Message, Thread
from qero.services.canned_responses import CannedResponses
from qero.services.inbox import Inbox
from qero.services.media import MediaUploads
from qero.services.saved_views import SavedViews
from qero.services.threads import Threads
from qero.services.workspaces import Workspaces
from qero.settings import Settings

inbox = typer.Typer(
    help="The threads of a workspace, as the user works through them whose access token is in QERO_ACCESS_TOKEN.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(inbox, name="inbox")
views = typer.Typer(help="Filters under a name.", no_args_is_help=True)
inbox.add_typer(views, name="views")
canned = typer.Typer(help="Answers that are given often.", no_args_is_help=True)
inbox.add_typer(canned, name="canned")

WorkspaceArgument = Annotated[str, typer.Argument(help="The workspace's slug or uuid.")]
ThreadArgument = Annotated[UUID, typer.Argument(help="The thread's id.")]
ThreadArguments = Annotated[list[UUID], typer.Argument(help="The ids of threads of one workspace, up to 500.")]
ViewArgument = Annotated[str, typer.Argument(help="The view's name or id.")]
LimitOption = Annotated[int, typer.Option(min=1, max=200, help="How many at most.")]


# The same on every machine; Python's own list lacks some of what WhatsApp takes, and has 3GP for sound.
_MIME_TYPES = mimetypes.MimeTypes()
for _type, _endings in {
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": [".pptx"],
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": [".xlsx"],
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": [".docx"],
    "audio/amr": [".amr"],
    "audio/mp4": [".m4a"],
    "audio/ogg": [".ogg", ".oga", ".opus"],
    "image/webp": [".webp"],
    "video/3gpp": [".3gp", ".3gpp"],
}.items():
    for _ending in _endings:
        _MIME_TYPES.add_type(_type, _ending)


class Status(StrEnum):
    OPEN = "open"
    PENDING = "pending"
    SNOOZED = "snoozed"
    CLOSED = "closed"


class Urgency(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    URGENT = "urgent"


class Policy(StrEnum):
    MANUAL = "manual"
    ROUND_ROBIN = "round_robin"
    BY_LOAD = "by_load"


class Order(StrEnum):
    LAST_MESSAGE_AT = "last_message_at"
    WAITING_SINCE = "waiting_since"
    FIRST_RESPONSE_SECONDS = "first_response_seconds"


class Kind(StrEnum):
    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    DOCUMENT = "document"
    STICKER = "sticker"


Statuses = Annotated[list[Status] | None, typer.Option("--status", help="Any of these; repeat it.")]
Assignee = Annotated[str | None, typer.Option("--assignee", help="me, unassigned, or the id of a member.")]
TagOption = Annotated[list[str] | None, typer.Option("--tag", help="All of these; repeat it.")]
Search = Annotated[str | None, typer.Option("--search", "-s", help="Words of a message, or of the contact.")]


@inbox.command("list")
def list_threads(
    workspace: WorkspaceArgument,
    status: Statuses = None,
    assignee: Assignee = None,
    tag: TagOption = None,
    search: Search = None,
    unread: Annotated[bool, typer.Option("--unread", help="What you haven't seen.")] = False,
    waiting: Annotated[bool, typer.Option("--waiting", help="Where the customer waits for an answer.")] = False,
    breached: Annotated[bool, typer.Option("--breached", help="Where they wait longer than the target.")] = False,
    view: Annotated[str | None, typer.Option("--view", help="A saved view, by name or id.")] = None,
    sort: Annotated[
        Order, typer.Option("--sort", help="Latest activity, longest wait or slowest first answer first.")
    ] = Order.LAST_MESSAGE_AT,
    limit: LimitOption = 50,
    after: Annotated[str | None, typer.Option(help="The cursor that the page before ended with.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List a page of threads.

    Examples: `qero inbox list acme --status open --assignee me` · `qero inbox list acme --sort waiting_since` ·
    `qero inbox list acme --search "invoice -paid"`
    """
    filter = ThreadFilter.model_validate(
        {
            **given_filters(status, assignee, tag, search),
            "unread": unread or None, "waiting": waiting or None, "breached": breached or None,
        }
    )  # fmt: skip

    async def read(client: UserClient) -> Any:
        workspace_id = await Workspaces(client).resolve(workspace)
        view_id = None if view is None else (await named_view(client, workspace_id, view)).id
        service = Inbox(client)
        if count:
            return await service.count(workspace_id, filter, view_id=view_id)
        return await service.list(workspace_id, filter, view_id=view_id, sort=sort.value, after=after, limit=limit)

    answer = ask(read)
    if as_json:
        print_json(answer.model_dump(mode="json"))
    elif count:
        print_lines(str(answer.count))
    elif not answer.items:
        print_lines("No thread is like that.")
    else:
        table = Table("id", "who", "status", "unread", "waiting since", "tags", "last message", box=None)
        for thread in answer.items:
            table.add_row(
                str(thread.id), escape(_name(thread)), thread.status, str(thread.my_unread_count or ""),
                _when(thread.waiting_since) if thread.waiting_since else "",
                escape(", ".join(thread.tags)), escape((thread.last_message_body or "")[:60].replace("\n", " ")),
            )  # fmt: skip
        out.print(table)
        if answer.next:
            print_lines(f"More: --after {answer.next}")


@inbox.command()
def counts(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Say how many threads have each status, are yours, unread, waiting, or waiting too long."""

    async def read(client: UserClient) -> Any:
        return await Inbox(client).counts(await Workspaces(client).resolve(workspace))

    answer = ask(read).model_dump()
    if as_json:
        print_json(answer)
    else:
        print_lines(", ".join(f"{value} {name}" for name, value in answer.items()))


@inbox.command()
def show(
    thread_id: ThreadArgument,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many messages.")] = 20,
    read: Annotated[bool, typer.Option("--read/--unread", help="Whether you have seen it now.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Show a thread and its latest messages. Colleagues and the customer learn nothing of it."""

    async def reading(client: UserClient) -> tuple[InboxThread, list[Message]]:
        service = Inbox(client)
        thread = await service.get(thread_id)
        messages = await Threads(client).messages(thread, limit=limit)
        if read:
            await service.mark_read(thread_id)
        return thread, messages

    thread, messages = ask(reading)
    if as_json:
        print_json(
            {
                "thread": thread.model_dump(mode="json"),
                "messages": [message.model_dump(mode="json") for message in messages],
            }
        )
        return
    facts = [thread.status, *thread.tags, *([thread.priority] if thread.priority != "normal" else [])]
    print_lines(f"{_name(thread)} ({', '.join(facts)})")
    quotable = {message.wa_message_id: message for message in messages if message.wa_message_id}
    for message in reversed(messages):
        print_lines(*_shown(message, quotable.get(str((message.context or {}).get("id")))))
    if thread.last_inbound_at is None:
        print_lines("Only templates can be sent: the customer has never written.")
    else:
        # Whether that is over is for the database to say, whose clock need not be this machine's.
        window_ends = _when(thread.last_inbound_at + timedelta(hours=24))
        print_lines(f"Until {window_ends} anything can be sent, from then on only templates.")


@inbox.command()
def unread(thread_id: ThreadArgument, as_json: JsonOption = False) -> None:
    """Have a thread be unread for you, until you look at it again. Colleagues see no difference."""
    ask(lambda client: Inbox(client).mark_unread(thread_id))
    if as_json:
        print_json({"unread": str(thread_id)})
    else:
        print_lines("Unread until you look at it again.")


@inbox.command()
def search(
    workspace: WorkspaceArgument,
    query: Annotated[str, typer.Argument(help='Words; "quotes", or and - as on the web.')],
    limit: LimitOption = 20,
    after: Annotated[str | None, typer.Option(help="The cursor that the page before ended with.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Find messages, the newest first."""

    async def read(client: UserClient) -> Any:
        workspace_id = await Workspaces(client).resolve(workspace)
        return await Inbox(client).search(workspace_id, query, after=after, limit=limit)

    page = ask(read)
    if as_json:
        print_json(page.model_dump(mode="json"))
        return
    for found in page.items:
        text = found.excerpt.replace("\n", " ")
        sign = "←" if found.direction == "in" else "→"
        print_lines(f"{_when(found.occurred_at)} {sign} {found.contact_name or ''}: {text}  {found.thread_id}")
    if not page.items:
        print_lines("Nothing was found.")
    elif page.next:
        print_lines(f"More: --after {page.next}")


@inbox.command()
def reply(
    thread_id: ThreadArgument,
    text: Annotated[str | None, typer.Argument(help="What to write; with a file, its caption.")] = None,
    shortcut: Annotated[str | None, typer.Option("--canned", help="A canned response, by its shortcut.")] = None,
    template: Annotated[UUID | None, typer.Option("--template", help="A template, by its id.")] = None,
    variable: Annotated[
        list[str] | None, typer.Option("--var", help="PLACE=VALUE of the template: 1=Ada, header.1=…, buttons.0=…")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", help="A file to upload, a link to one, or the id of one that Meta has.")
    ] = None,
    kind: Annotated[
        Kind | None, typer.Option("--kind", help="What a link or an id is; a document unless its name says more.")
    ] = None,
    button: Annotated[
        list[str] | None, typer.Option("--button", help="A button under the text, as ID=TITLE or TITLE; up to three.")
    ] = None,
    row: Annotated[
        list[str] | None, typer.Option("--row", help="A row of a list to choose from, as --button; up to ten.")
    ] = None,
    link: Annotated[str | None, typer.Option("--link", help="A button under the text that opens this page.")] = None,
    title: Annotated[str, typer.Option("--title", help="What stands on the button of a list or a link.")] = "Open",
    place: Annotated[str | None, typer.Option("--place", help="LATITUDE,LONGITUDE; the text is its name.")] = None,
    ask_place: Annotated[bool, typer.Option("--ask-place", help="Ask where the customer is.")] = False,
    card: Annotated[list[str] | None, typer.Option("--card", help="A contact card, as NAME=PHONE; repeat it.")] = None,
    quote: Annotated[UUID | None, typer.Option("--quote", help="Answer this message, which is shown above.")] = None,
    react: Annotated[UUID | None, typer.Option("--react", help="React to this message with the text.")] = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Repeating the command with its key sends nothing twice.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Queue a reply by the thread's own number: a text, a file, a template, buttons, a list, a place, a reaction …

    Free-form replies need a message of the customer's within 24 hours; templates don't. Uploading a file needs the
    service's keys too.

    Examples: `qero inbox reply 6f9c… "On its way!"` · `qero inbox reply 6f9c… "Fine?" --button Yes --button No` ·
    `qero inbox reply 6f9c… --template 17aa… --var 1=Ada` · `qero inbox reply 6f9c… "Your invoice" --file invoice.pdf`
    """
    given = (shortcut, template, file, react, button, row, link, place, ask_place or None, card)
    if sum(one is not None for one in given) > 1 or (text and (shortcut or template or card)):
        raise InvalidInput("invalid_value", "Say one thing at a time.", detail={"field": "reply"})
    if quote and (template or react):
        raise InvalidInput("invalid_value", "A template or a reaction quotes nothing.", detail={"field": "--quote"})
    if variable and not template:
        raise InvalidInput("invalid_value", "Only a template has places to fill in.", detail={"field": "--var"})
    other = _reply(text or "", button, row, link, title, place, ask_place=ask_place, cards=card)

    async def sending(client: UserClient) -> Any:
        threads = Threads(client)
        if template is not None:
            return await threads.send_template(
                thread_id, template, given_variables(variable or []), idempotency_key=key
            )
        if file is not None:
            media_kind, media = await _media(threads, thread_id, file, kind, opened, caption=text or None)
            return await threads.send_media(thread_id, media_kind, media, quoting=quote, idempotency_key=key)
        if other is not None:
            return await threads.send(thread_id, other, quoting=quote, idempotency_key=key)
        if react is not None:
            return await threads.react(react, text, idempotency_key=key)
        body = text or ""
        if shortcut is not None:
            body = await CannedResponses(client).render(thread_id, shortcut)
        return await threads.send_text(thread_id, body, quoting=quote, idempotency_key=key)

    with nullcontext() if file is None or _is_elsewhere(file) else Path(file).open("rb") as opened:
        sent = ask(sending)
    if as_json:
        print_json({"outbox_id": str(sent)} if isinstance(sent, UUID) else sent.model_dump(mode="json"))
    else:
        print_lines(f"Queued: {sent if isinstance(sent, UUID) else sent.id}")


@inbox.command()
def assign(
    thread_ids: ThreadArguments,
    to: Annotated[str, typer.Option("--to", help="me, nobody, or the id or e-mail of a member.")] = "me",
    as_json: JsonOption = False,
) -> None:
    """Put somebody in charge of threads, or nobody."""

    async def assigning(client: UserClient) -> list[Thread]:
        service = Inbox(client)
        return await service.assign(thread_ids, await _member(client, service, thread_ids[0], to))

    _done(ask(assigning), "assigned" if to != "nobody" else "unassigned", as_json=as_json)


@inbox.command()
def tag(
    thread_ids: ThreadArguments,
    add: Annotated[list[str] | None, typer.Option("--add", help="A tag to add; repeat it.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", help="A tag to take away; repeat it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Add tags to threads and take others away."""
    _done(
        _update(lambda service: service.tag(thread_ids, add=add or [], remove=remove or [])), "tagged", as_json=as_json
    )


@inbox.command()
def priority(
    thread_ids: ThreadArguments,
    urgency: Annotated[Urgency, typer.Option("--to", help="How urgent they are.")],
    as_json: JsonOption = False,
) -> None:
    """Say how urgent threads are."""
    _done(_update(lambda service: service.set_priority(thread_ids, urgency.value)), urgency.value, as_json=as_json)


@inbox.command()
def snooze(
    thread_ids: ThreadArguments,
    until: Annotated[str, typer.Option("--until", help="30m, 24h, 7d, or a date like 2026-01-31T08:00+01:00.")],
    as_json: JsonOption = False,
) -> None:
    """Put threads away until a moment ahead, or until the customer writes."""
    moment = future_moment(until)
    assert moment is not None
    _done(_update(lambda service: service.snooze(thread_ids, moment)), "snoozed", as_json=as_json)


@inbox.command()
def close(thread_ids: ThreadArguments, as_json: JsonOption = False) -> None:
    """End conversations: nothing in them needs an answer. They open again when the customer writes."""
    _done(_update(lambda service: service.close(thread_ids)), "closed", as_json=as_json)


@inbox.command()
def reopen(
    thread_ids: ThreadArguments,
    pending: Annotated[bool, typer.Option("--pending", help="They wait for somebody else than the customer.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Open threads that are closed or snoozed."""
    _done(
        _update(lambda service: service.reopen(thread_ids, pending=pending)),
        "pending" if pending else "open",
        as_json=as_json,
    )


@inbox.command()
def note(
    thread_id: ThreadArgument,
    text: Annotated[str, typer.Argument(help="What colleagues are to know.")],
    mention: Annotated[list[UUID] | None, typer.Option("--mention", help="The id of a member; repeat it.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a note about a thread that only colleagues see. `qero chat` shows and follows them."""
    written = ask(lambda client: Inbox(client).add_note(thread_id, text, mentions=mention or []))
    if as_json:
        print_json(written.model_dump(mode="json"))
    else:
        print_lines(f"Noted in chat {written.chat_id}.")


@inbox.command()
def settings(
    workspace: WorkspaceArgument,
    policy: Annotated[
        Policy | None, typer.Option("--policy", help="Assignment by hand, in turn, or to whoever has the fewest.")
    ] = None,
    assignee: Annotated[
        list[str] | None, typer.Option("--assignee", help="Who takes part: the id or e-mail of a member; repeat it.")
    ] = None,
    limit: Annotated[
        str | None, typer.Option("--limit", help="How many open threads somebody may have; none for no limit.")
    ] = None,
    first: Annotated[
        str | None, typer.Option("--first-target", help="How soon the first answer is due: 15m, 4h, 2d or none.")
    ] = None,
    following: Annotated[
        str | None, typer.Option("--next-target", help="How soon every other answer is due: 15m, 4h, 2d or none.")
    ] = None,
    hours: Annotated[
        list[str] | None,
        typer.Option("--hours", help="When targets count: mon-fri 09:00-17:00; repeat it; always for all the time."),
    ] = None,
    timezone: Annotated[str | None, typer.Option("--timezone", help="Of the hours, as Europe/Berlin.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Show how the workspace shares out threads and how soon it means to answer; with options, change that.

    Example: `qero inbox settings acme --first-target 1h --hours "mon-fri 09:00-17:00" --timezone Europe/Berlin`
    """
    patch: dict[str, Any] = {
        "assignment_policy": policy and policy.value,
        "assignment_limit": limit and _whole_number(limit),
        "first_response_target_seconds": first and _seconds(first),
        "next_response_target_seconds": following and _seconds(following),
        "business_hours": hours and [opening for entry in hours for opening in _openings(entry)],
        "timezone": timezone,
    }
    given = {name: None if value in ("none", []) else value for name, value in patch.items() if value is not None}

    async def setting(client: UserClient) -> InboxSettings:
        service = Inbox(client)
        workspace_id = await Workspaces(client).resolve(workspace)
        if assignee is not None:
            given["assignee_ids"] = [await member_named(client, workspace_id, name) for name in assignee]
        if not given:
            return await service.settings(workspace_id)
        return await service.set_settings(workspace_id, InboxSettingsPatch.model_validate(given))

    shown = ask(setting).model_dump(mode="json", exclude={"workspace_id"})
    if as_json:
        print_json(shown)
    else:
        print_lines(*(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in shown.items()))


@views.command("list")
def list_views(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """List your views, and those that others share."""

    async def read(client: UserClient) -> Any:
        return await SavedViews(client).list(await Workspaces(client).resolve(workspace))

    found = ask(read)
    if as_json:
        print_json([view.model_dump(mode="json") for view in found])
        return
    table = Table("name", "filters", "", "id", box=None)
    for view in found:
        filters = view.filters.model_dump(mode="json", exclude_none=True)
        marks = [name for name, holds in (("default", view.is_default), ("shared", view.is_shared)) if holds]
        table.add_row(
            escape(view.name), escape(", ".join(f"{name}={value}" for name, value in filters.items())),
            ", ".join(marks), str(view.id),
        )  # fmt: skip
    out.print(table)


@views.command("save")
def save_view(
    workspace: WorkspaceArgument,
    name: Annotated[str, typer.Argument(help="What to call it.")],
    status: Statuses = None,
    assignee: Assignee = None,
    tag: TagOption = None,
    search: Search = None,
    default: Annotated[bool, typer.Option("--default", help="Your inbox opens with it.")] = False,
    shared: Annotated[bool, typer.Option("--shared", help="The workspace sees it; for owners and admins.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Keep a filter under a name."""
    filters = ViewFilters.model_validate(given_filters(status, assignee, tag, search))

    async def saving(client: UserClient) -> SavedView:
        workspace_id = await Workspaces(client).resolve(workspace)
        return await SavedViews(client).create(workspace_id, name, filters, default=default, shared=shared)

    _show_view(ask(saving), as_json=as_json)


@views.command("rename")
def rename_view(
    workspace: WorkspaceArgument,
    view: ViewArgument,
    name: Annotated[str, typer.Argument(help="Its new name.")],
    as_json: JsonOption = False,
) -> None:
    """Give a view another name."""

    async def renaming(client: UserClient) -> SavedView:
        workspace_id = await Workspaces(client).resolve(workspace)
        patch = SavedViewPatch(name=name)
        return await SavedViews(client).update((await named_view(client, workspace_id, view)).id, patch)

    _show_view(ask(renaming), as_json=as_json)


@views.command("change")
def change_view(
    workspace: WorkspaceArgument,
    view: ViewArgument,
    status: Statuses = None,
    assignee: Assignee = None,
    tag: TagOption = None,
    search: Search = None,
    default: Annotated[
        bool | None, typer.Option("--default/--no-default", help="Whether your inbox opens with it.")
    ] = None,
    shared: Annotated[
        bool | None, typer.Option("--shared/--no-shared", help="Whether the workspace sees it; for owners and admins.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Give a view another filter, in place of its whole one, or make it shared or the default."""
    filters = ViewFilters.model_validate(given_filters(status, assignee, tag, search))
    changed = None if filters == ViewFilters() else filters

    async def changing(client: UserClient) -> SavedView:
        workspace_id = await Workspaces(client).resolve(workspace)
        patch = SavedViewPatch(filters=changed, is_default=default, is_shared=shared)
        return await SavedViews(client).update((await named_view(client, workspace_id, view)).id, patch)

    _show_view(ask(changing), as_json=as_json)


@views.command("delete")
def delete_view(workspace: WorkspaceArgument, view: ViewArgument, as_json: JsonOption = False) -> None:
    """Remove a view."""

    async def deleting(client: UserClient) -> SavedView:
        found = await named_view(client, await Workspaces(client).resolve(workspace), view)
        await SavedViews(client).delete(found.id)
        return found

    gone = ask(deleting)
    if as_json:
        print_json({"deleted": str(gone.id)})
    else:
        print_lines(f"{gone.name} is gone.")


@canned.command("list")
def list_canned(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """List the canned responses of a workspace."""

    async def read(client: UserClient) -> Any:
        return await CannedResponses(client).list(await Workspaces(client).resolve(workspace))

    found = ask(read)
    if as_json:
        print_json([response.model_dump(mode="json") for response in found])
        return
    for response in found:
        print_lines(f"{response.shortcut}: {response.body}")


@canned.command("save")
def save_canned(
    workspace: WorkspaceArgument,
    shortcut: Annotated[str, typer.Argument(help="Lower-case letters, digits, dashes and underscores.")],
    text: Annotated[str, typer.Argument(help="The answer; {contact.first_name} and the like are filled in.")],
    as_json: JsonOption = False,
) -> None:
    """Keep an answer under a shortcut, in place of the one before."""

    async def saving(client: UserClient) -> Any:
        return await CannedResponses(client).save(await Workspaces(client).resolve(workspace), shortcut, text)

    saved = ask(saving)
    if as_json:
        print_json(saved.model_dump(mode="json"))
    else:
        print_lines(f"{saved.shortcut} is saved.")


@canned.command("delete")
def delete_canned(
    workspace: WorkspaceArgument,
    shortcut: Annotated[str, typer.Argument(help="What it is called by.")],
    as_json: JsonOption = False,
) -> None:
    """Remove an answer."""

    async def deleting(client: UserClient) -> CannedResponse:
        service = CannedResponses(client)
        for response in await service.list(await Workspaces(client).resolve(workspace)):
            if response.shortcut == shortcut:
                await service.delete(response.id)
                return response
        raise NotFound("canned_response_not_found", detail={"shortcut": shortcut})

    gone = ask(deleting)
    if as_json:
        print_json({"deleted": str(gone.id)})
    else:
        print_lines(f"{gone.shortcut} is gone.")


def _when(moment: datetime) -> str:
    """By the clock of whoever reads it."""
    return moment.astimezone().isoformat(sep=" ", timespec="minutes")


def _shown(message: Message, quoted: Message | None) -> list[str]:
    """A message as lines: what it answers, itself, and how people react."""
    sign, state = ("←", "") if message.direction == "in" else ("→", f" [{message.status}]")
    problem = f" {message.error_code}: {message.error_text}" if message.error_code else ""
    text = "(deleted)" if message.revoked_at else message.body or ""
    kind = f"[{message.type}] " if message.type != "text" else ""
    edited = " (edited)" if message.edited_at and not message.revoked_at else ""
    lines = [f"{_when(message.occurred_at)} {sign} {kind}{text}{edited}{state}{problem}  {message.id}"]
    if (message.context or {}).get("id"):
        lines.insert(0, f"    > {(quoted.body or quoted.type)[:80] if quoted else 'an earlier message'}")
    if message.reactions:
        lines.append("    " + " ".join(f"{given['emoji']} {who}" for who, given in message.reactions.items()))
    return lines


def _pair(entry: str) -> tuple[str, str]:
    """ID=TITLE, or TITLE, which is its own id."""
    before, separator, after = entry.partition("=")
    return (before, after) if separator else (entry, entry)


def _reply(
    text: str,
    buttons: Sequence[str] | None,
    rows: Sequence[str] | None,
    link: str | None,
    title: str,
    place: str | None,
    *,
    ask_place: bool,
    cards: Sequence[str] | None,
) -> Reply | None:
    """The reply that the options describe; None when they describe none of its kinds.

    Raises:
        InvalidInput: `invalid_value`, the place isn't two numbers, or a card has no number.
    """
    if buttons is not None:
        return Buttons(body=text, buttons=[Choice(id=id_, title=title) for id_, title in map(_pair, buttons)])
    if rows is not None:
        listed = [ListRow(id=id_, title=row_title) for id_, row_title in map(_pair, rows)]
        return ChoiceList(body=text, button=title, sections=[ListSection(rows=listed)])
    if link is not None:
        return LinkButton(body=text, title=title, url=link)
    if place is not None:
        try:
            latitude, longitude = map(float, place.split(","))
            return Location(latitude=latitude, longitude=longitude, name=text or None)
        except ValueError:
            problem = "Write --place LATITUDE,LONGITUDE."
            raise InvalidInput("invalid_value", problem, detail={"field": "--place", "value": place}) from None
    if ask_place:
        return LocationRequest(body=text)
    if cards is not None:
        for entry in cards:
            if "=" not in entry:
                problem = "Write --card NAME=PHONE."
                raise InvalidInput("invalid_value", problem, detail={"field": "--card", "value": entry})
        return ContactCards(contacts=[ContactCard(name=name, phones=[phone]) for name, phone in map(_pair, cards)])
    return None


def _is_elsewhere(file: str) -> bool:
    """A link, or the id of what Meta has already, which is a number; else a file of this machine."""
    return "://" in file or (file.isdecimal() and not Path(file).exists())


async def _media(
    threads: Threads, thread_id: UUID, file: str, kind: Kind | None, opened: IO[bytes] | None, *, caption: str | None
) -> tuple[MediaKind, Media]:
    """What kind a file is and where Meta finds it; a file of this machine is uploaded.

    Raises:
        SettingsError: `setting_missing`, uploading needs the service's keys.
        as `Threads.prepare_upload` and `MediaUploads.upload`.
    """
    mime_type, packing = _MIME_TYPES.guess_type(file if opened else file.partition("?")[0])
    if mime_type is None or packing:
        mime_type = "application/octet-stream"
    if opened is None:
        guessed = "sticker" if mime_type == "image/webp" else mime_type.partition("/")[0]
        named = cast(MediaKind, guessed if guessed in ("image", "video", "audio", "sticker") else "document")
        where = {"link": file} if "://" in file else {"id": file}
        return kind.value if kind else named, Media(**where, caption=caption)
    settings = Settings.load()
    name = Path(file).name
    beginning = opened.read(UPLOAD_BEGINNING_BYTES)
    opened.seek(0)
    size = os.fstat(opened.fileno()).st_size
    target = await threads.prepare_upload(thread_id, mime_type, size, beginning=beginning)
    async with Clients(settings) as clients, httpx.AsyncClient(timeout=settings.request_timeout_seconds) as http:
        graph = GraphClient.from_settings(settings, http)
        uploads = MediaUploads(clients.service(), graph, SecretBox.from_settings(settings))
        media_id = await uploads.upload(target.connection_id, opened, mime_type=target.mime_type, filename=name)
    return target.kind, Media(id=media_id, caption=caption, filename=name if target.kind == "document" else None)


def given_variables(entries: list[str]) -> Variables:
    """`1=Ada` is the body's; `header.link=…` and `buttons.0=…` name another part.

    Raises:
        InvalidInput: `invalid_value`, an entry isn't PLACE=VALUE.
    """
    variables: dict[str, dict[str, str]] = {}
    for entry in entries:
        place, separator, value = entry.partition("=")
        if not separator or not place:
            raise InvalidInput("invalid_value", "Write --var PLACE=VALUE.", detail={"field": "--var", "value": entry})
        part, dot, name = place.partition(".")
        if dot and part in ("header", "body", "buttons"):
            variables.setdefault(part, {})[name] = value
        else:
            variables.setdefault("body", {})[place] = value
    return dict(variables)


def given_filters(
    status: Sequence[Status] | None, assignee: str | None, tag: Sequence[str] | None, search: str | None
) -> dict[str, Any]:
    if assignee not in (None, "me", "unassigned"):
        try:
            UUID(assignee)
        except ValueError:
            raise InvalidInput("invalid_value", detail={"field": "--assignee", "value": assignee}) from None
    return {"status": [*status] if status else None, "assignee": assignee, "tag": [*tag] if tag else None, "q": search}


async def named_view(client: UserClient, workspace_id: UUID, name: str) -> SavedView:
    """The view that goes by that name or id; one's own before a shared one.

    Raises:
        NotFound: `view_not_found`.
    """
    for view in await SavedViews(client).list(workspace_id):
        if name in (view.name, str(view.id)):
            return view
    raise NotFound("view_not_found", detail={"view": name})


async def _member(client: UserClient, service: Inbox, thread_id: UUID, name: str) -> UUID | None:
    """Who goes by that name.

    Raises:
        NotFound: `member_not_found`.
    """
    if name == "me":
        return client.identity.user_id
    if name == "nobody":
        return None
    return await member_named(client, (await service.get(thread_id)).workspace_id, name)


def _seconds(text: str) -> int | str:
    return text if text == "none" else int(span(text).total_seconds())


def _whole_number(text: str) -> int | str:
    if text != "none" and not re.fullmatch("[0-9]{1,9}", text):
        raise typer.BadParameter("give a whole number, or none")
    return text if text == "none" else int(text)


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _openings(text: str) -> list[Opening]:
    """What `mon-fri 09:00-17:00` or `sat 10:00-12:00` means; nothing, of `always`.

    Raises:
        InvalidInput: `invalid_value`, it is written in another way.
    """
    if text == "always":
        return []
    days, _, times = text.partition(" ")
    first, _, last = days.partition("-")
    opens, _, closes = times.partition("-")
    try:
        numbers = range(_DAYS.index(first) + 1, _DAYS.index(last or first) + 2)
        return [Opening(day=day, opens=time.fromisoformat(opens), closes=time.fromisoformat(closes)) for day in numbers]
    except ValueError:
        problem = 'Write --hours "mon-fri 09:00-17:00", or --hours always.'
        raise InvalidInput("invalid_value", problem, detail={"field": "--hours", "value": text}) from None


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(f"{_DAYS[one['day'] - 1]} {one['opens'][:5]}-{one['closes'][:5]}" for one in value)
    return "none" if value is None else str(value)


def _update(change: Callable[[Inbox], Awaitable[list[Thread]]]) -> list[Thread]:
    return ask(lambda client: change(Inbox(client)))


def _done(threads: list[Thread], what: str, *, as_json: bool) -> None:
    if as_json:
        print_json([thread.model_dump(mode="json") for thread in threads])
    else:
        print_lines(f"{len(threads)} {what}.")


def _show_view(view: SavedView, *, as_json: bool) -> None:
    if as_json:
        print_json(view.model_dump(mode="json"))
    else:
        print_lines(f"{view.name} is saved: {view.id}")


def _name(thread: InboxThread) -> str:
    return thread.contact_name or thread.contact_phone or thread.group_id or "somebody"
