"""`qero chat`: team chat in a terminal, as the user whose token is in QERO_ACCESS_TOKEN."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from qero.chat import (
    ChatEvent,
    ChatSession,
    MemberLeft,
    MessageChanged,
    MessageReceived,
    PresenceChanged,
    ReceiptMoved,
    SessionState,
    Typing,
)
from qero.cli import JsonOption, app, err, out, print_json, print_lines
from qero.cli.session import ask
from qero.clients.factory import UserClient
from qero.models.chat import ChatMessage, ListedChat
from qero.services.chats import Chats
from qero.services.workspaces import Workspaces

ChatArgument = Annotated[UUID, typer.Argument(help="The chat's id; `qero chat list` shows it.")]

chat = typer.Typer(help="Team chat, as the user whose access token is in QERO_ACCESS_TOKEN.", no_args_is_help=True)
app.add_typer(chat, name="chat")


@chat.command("list")
def list_chats(
    workspace: Annotated[str | None, typer.Option(help="Of one workspace: its slug or uuid.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List one's chats, the newest activity first, with what is unread.

    `qero chat list --workspace acme`
    """

    async def read(client: UserClient) -> tuple[list[ListedChat], dict[UUID, str]]:
        workspace_id = None if workspace is None else await Workspaces(client).resolve(workspace)
        chats = Chats(client)
        found = await chats.list(workspace_id, limit=limit)
        return found, await chats.names({id_ for listed in found for id_ in listed.other_member_ids})

    found, names = ask(read)
    if as_json:
        print_json([listed.model_dump(mode="json") for listed in found])
    elif not found:
        print_lines("No chats yet.")
    else:
        table = Table("chat", "kind", "called", "unread", "last", "", box=None)
        for listed in found:
            called = listed.title or ", ".join(names.get(id_, str(id_)) for id_ in listed.other_member_ids)
            unread = f"{listed.unread_count}" + (f" (@{listed.mention_count})" if listed.mention_count else "")
            table.add_row(
                str(listed.id), listed.kind, escape(called), unread if listed.unread_count else "",
                _when(listed.active_at), escape(listed.last_message_preview or ""),
            )  # fmt: skip
        out.print(table)


@chat.command()
def read(
    chat_id: ChatArgument,
    before: Annotated[int | None, typer.Option(help="Only messages before this number: the page above.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 20,
    mark: Annotated[bool, typer.Option("--mark", help="Say that one has read them.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show the latest messages, or those before a number, the oldest of them first.

    `qero chat read 6f9c… --limit 50 --mark`
    """

    async def read(client: UserClient) -> tuple[list[ChatMessage], bool, dict[UUID, str]]:
        chats = Chats(client)
        page = await chats.messages(chat_id, before_seq=before, limit=limit)
        if mark and page.messages:
            await chats.mark_read(chat_id, page.messages[0].seq)
        return page.messages[::-1], page.has_more, await chats.names(_senders(page.messages))

    messages, has_more, names = ask(read)
    if as_json:
        print_json({"messages": [message.model_dump(mode="json") for message in messages], "has_more": has_more})
        return
    if has_more:
        print_lines(f"… more before: --before {messages[0].seq}")
    print_lines(*(_line(message, names) for message in messages))
    if not messages:
        print_lines("Nothing there.")


@chat.command()
def send(
    chat_id: ChatArgument,
    text: Annotated[str, typer.Argument(help="What to say; `-` reads it from standard input.")],
    reply_to: Annotated[int | None, typer.Option(help="The number of the message that it answers.")] = None,
    id_: Annotated[
        str | None, typer.Option("--id", help="A name of your own for it: repeating the command is harmless then.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Send a message.

    `qero chat send 6f9c… "On it" --reply-to 17`

    `uptime | qero chat send 6f9c… - --id "uptime-$(date -I)"`
    """
    body = sys.stdin.read().rstrip("\n") if text == "-" else text
    sent = ask(lambda client: Chats(client).send(chat_id, body, reply_to=reply_to, client_generated_id=id_))
    if as_json:
        print_json(sent.model_dump(mode="json"))
    else:
        print_lines(f"Sent as number {sent.seq}.")


@chat.command()
def follow(
    chat_id: ChatArgument,
    history: Annotated[int, typer.Option(min=0, max=200, help="So many of the latest messages first.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show what is written, edited and deleted, who types, reads and is there, until Ctrl-C. Outages are bridged.

    With --json one object a line; what the connection does goes to standard error.
    """
    ask(lambda client: _follow(client, chat_id, history, as_json=as_json))


async def _follow(client: UserClient, chat_id: UUID, history: int, *, as_json: bool) -> None:
    chats = Chats(client)
    names = await chats.names([member.user_id for member in await chats.members(chat_id)])

    def on_state(state: SessionState) -> None:
        err.print(f"[dim]{state.value.lower()}[/]", highlight=False)

    async with ChatSession(client, chat_id, presence=True, own_messages=True, on_state=on_state) as session:
        await session.wait_until(SessionState.SUBSCRIBED)
        position = session.position
        if history and position is not None:
            page = await chats.messages(chat_id, before_seq=position.seq + 1, limit=history)
            for message in reversed(page.messages):
                _show(MessageReceived(message), names, as_json=as_json)
        async for event in session:
            unknown = _people(event) - names.keys()
            if unknown:
                names |= await chats.names(unknown)
            _show(event, names, as_json=as_json)


def _show(event: ChatEvent, names: dict[UUID, str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(_as_dict(event)), flush=True)  # noqa: T201
        return
    match event:
        case MessageReceived(message):
            print_lines(_line(message, names))
        case MessageChanged(message):
            print_lines(f"{_line(message, names)}  (number {message.seq} was changed)")
        case Typing(user_id, True):
            print_lines(f"… {names.get(user_id, user_id)} is typing")
        case ReceiptMoved(user_id, _, last_read):
            print_lines(f"✓ {names.get(user_id, user_id)} has read up to {last_read}")
        case PresenceChanged(user_ids):
            print_lines("there: " + ", ".join(sorted(str(names.get(user_id, user_id)) for user_id in user_ids)))
        case MemberLeft(user_id):
            print_lines(f"{names.get(user_id, user_id)} has left")


def _as_dict(event: ChatEvent) -> dict[str, object]:
    match event:
        case MessageReceived(message):
            return {"event": "message", "message": message.model_dump(mode="json")}
        case MessageChanged(message):
            return {"event": "changed", "message": message.model_dump(mode="json")}
        case Typing(user_id, typing):
            return {"event": "typing", "user_id": str(user_id), "typing": typing}
        case ReceiptMoved(user_id, delivered, last_read):
            return {
                "event": "receipt", "user_id": str(user_id), "last_delivered_seq": delivered,
                "last_read_seq": last_read,
            }  # fmt: skip
        case PresenceChanged(user_ids):
            return {"event": "presence", "user_ids": sorted(map(str, user_ids))}
        case MemberLeft(user_id):
            return {"event": "member_left", "user_id": str(user_id)}


def _people(event: ChatEvent) -> set[UUID]:
    match event:
        case MessageReceived(message) | MessageChanged(message):
            return _senders([message])
        case PresenceChanged(user_ids):
            return set(user_ids)
        case Typing(user_id) | ReceiptMoved(user_id) | MemberLeft(user_id):
            return {user_id}


def _senders(messages: Iterable[ChatMessage]) -> set[UUID]:
    return {message.sender_id for message in messages if message.sender_id is not None}


def _line(message: ChatMessage, names: dict[UUID, str]) -> str:
    who = "somebody" if message.sender_id is None else names.get(message.sender_id, str(message.sender_id))
    if message.deleted_at is not None:
        text = "(deleted)"
    else:
        text = " ".join(
            filter(None, [
                f"[to {message.reply_to}]" if message.reply_to else "", message.body,
                *(f"[{attachment.name or attachment.ref}]" for attachment in message.attachments),
                "(edited)" if message.edited_at else "",
            ])
        )  # fmt: skip
    return f"{message.seq:>5}  {_when(message.created_at)}  {who}: {text}"


def _when(moment: datetime) -> str:
    return f"{moment.astimezone():%Y-%m-%d %H:%M}"
