"""`qero connections`: the WhatsApp numbers of a workspace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, app, out, print_json, print_lines
from qero.clients.factory import Clients, ServiceClient
from qero.errors import Conflict, InvalidState
from qero.models.whatsapp import Connection
from qero.services.connections import Connections
from qero.services.outbox import Outbox
from qero.services.workspaces import Workspaces
from qero.settings import Settings

connections = typer.Typer(help="The WhatsApp numbers of a workspace.", no_args_is_help=True)
app.add_typer(connections, name="connections")

WorkspaceArgument = Annotated[str, typer.Argument(help="The workspace's slug or uuid.")]
NumberArgument = Annotated[str, typer.Argument(help="The phone number, Meta's id of it, or the connection's uuid.")]


@connections.command("list")
def list_connections(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """List the numbers of a workspace, disconnected ones too. Needs SUPABASE_URL and both keys."""
    found = asyncio.run(_list(workspace))
    if as_json:
        print_json([connection.model_dump(mode="json") for connection in found])
    elif not found:
        print_lines(f"{workspace} has no number yet.")
    else:
        table = Table("number", "name", "phone number id", "business account", "status", "why", box=None)
        for connection in found:
            table.add_row(
                connection.display_phone_number or "", escape(connection.verified_name or ""),
                connection.phone_number_id, connection.waba_id, connection.status,
                escape(connection.status_reason or ""),
            )  # fmt: skip
        out.print(table)


@connections.command()
def disconnect(
    workspace: WorkspaceArgument,
    number: NumberArgument,
    reason: Annotated[str | None, typer.Option(help="Shown to the team; `disconnected` unless given.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Disconnect a number and forget its token. What is queued stays queued, for when it is connected again."""
    ended = asyncio.run(
        _ask(workspace, number, lambda service, id_: Connections(service).disconnect(id_, reason=reason))
    )
    if as_json:
        print_json(ended.model_dump(mode="json"))
    else:
        print_lines(f"{ended.display_phone_number or ended.phone_number_id} is {ended.status}: {ended.status_reason}")


@connections.command()
def pause(
    workspace: WorkspaceArgument,
    number: NumberArgument,
    reason: Annotated[str, typer.Option(help="What others are shown.")] = "Paused by a person.",
    as_json: JsonOption = False,
) -> None:
    """Hold back everything queued for a number until it is resumed; it still receives."""
    _print(
        asyncio.run(_ask(workspace, number, lambda service, id_: Outbox(service).pause_connection(id_, reason))),
        as_json=as_json,
    )


@connections.command()
def resume(workspace: WorkspaceArgument, number: NumberArgument, as_json: JsonOption = False) -> None:
    """Let a paused number send again, at once; also ends a pause that Meta asked for."""
    _print(
        asyncio.run(_ask(workspace, number, lambda service, id_: Outbox(service).resume_connection(id_))),
        as_json=as_json,
    )


async def _list(workspace: str) -> list[Connection]:
    async with Clients(Settings.load()) as clients:
        return await _connections_of(clients.service(), workspace)


async def _ask(
    workspace: str, number: str, question: Callable[[ServiceClient, UUID], Awaitable[Connection]]
) -> Connection:
    """What becomes of the one number that goes by that name."""
    async with Clients(Settings.load()) as clients:
        service = clients.service()
        return await question(service, _named(await _connections_of(service, workspace), number, workspace).id)


async def _connections_of(service: ServiceClient, workspace: str) -> list[Connection]:
    return await Connections(service).list(await Workspaces(service).resolve(workspace))


def _named(found: list[Connection], number: str, workspace: str) -> Connection:
    """The one connection that goes by that name.

    Raises:
        InvalidState: `connection_not_found`, naming the ones there are.
        Conflict: `conflict`, several share a phone number.
    """
    digits = _digits(number)
    matching = [
        connection
        for connection in found
        if number.lower() == str(connection.id)
        or (digits and digits in (connection.phone_number_id, _digits(connection.display_phone_number or "")))
    ]
    if not matching:
        numbers = [connection.display_phone_number or connection.phone_number_id for connection in found]
        raise InvalidState(
            "connection_not_found",
            f"{workspace} has no such number.",
            detail={"number": number, "numbers": numbers},
            hint=f"`qero connections list {workspace}` lists them.",
        )
    if len(matching) > 1:
        raise Conflict(
            "conflict",
            "Several connections share this phone number.",
            detail={"ids": [str(connection.id) for connection in matching]},
            hint="Name one by its uuid.",
        )
    return matching[0]


def _digits(text: str) -> str:
    """A phone number or id without what people write between the digits; empty for anything else."""
    bare = text.translate(str.maketrans("", "", " +-()."))
    try:
        UUID(text)
    except ValueError:
        return bare if bare.isascii() and bare.isdigit() else ""
    return ""


def _print(connection: Connection, *, as_json: bool) -> None:
    if as_json:
        print_json(connection.model_dump(mode="json"))
    else:
        print_lines(f"{connection.display_phone_number or connection.phone_number_id} is {connection.status}.")
