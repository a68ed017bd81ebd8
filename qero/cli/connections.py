"""`qero connections`: the numbers that are connected."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from qero.cli import app, print_json, print_lines
from qero.cli.outbox import AsJson, ask
from qero.models.whatsapp import Connection

connections = typer.Typer(help="The numbers that are connected.", no_args_is_help=True)
app.add_typer(connections, name="connections")

ConnectionId = Annotated[UUID, typer.Argument(help="The number's id in qero.")]


@connections.command()
def pause(
    connection_id: ConnectionId,
    reason: Annotated[str, typer.Option(help="What others are shown.")] = "Paused by a person.",
    as_json: AsJson = False,
) -> None:
    """Hold back everything queued for a number until it is resumed; it still receives."""
    _print(ask(lambda service: service.pause_connection(connection_id, reason)), as_json=as_json)


@connections.command()
def resume(connection_id: ConnectionId, as_json: AsJson = False) -> None:
    """Let a paused number send again, at once; also ends a pause that Meta asked for."""
    _print(ask(lambda service: service.resume_connection(connection_id)), as_json=as_json)


def _print(connection: Connection, *, as_json: bool) -> None:
    if as_json:
        print_json(connection.model_dump(mode="json"))
    else:
        print_lines(f"{connection.display_phone_number or connection.phone_number_id}: {connection.status}")
