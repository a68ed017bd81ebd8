"""`qero whoami`: what the API makes of a token."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.table import Table

from qero.cli import JsonOption, app, out, print_json
from qero.cli.session import signed_in
from qero.clients.factory import Client, Clients
from qero.models.workspace import WhoAmI
from qero.services.workspaces import Workspaces
from qero.settings import Settings


@app.command()
def whoami(
    service: Annotated[bool, typer.Option("--service", help="Ask as the service instead of a user.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show who the API takes a token for, and which workspaces it sees.

    Reads the user's access token from QERO_ACCESS_TOKEN, so that it stays out of the shell's history.
    """
    answer = asyncio.run(_ask(service=service))
    if as_json:
        print_json(answer.model_dump(mode="json"))
        return
    table = Table(show_header=False, box=None)
    table.add_row("user", str(answer.user_id or "none"))
    table.add_row("e-mail", answer.email or "none")
    table.add_row("role", answer.role)
    for membership in answer.workspaces:
        table.add_row("workspace", f"{membership.slug} ({membership.role})")
    for name, count in answer.personal_rows.items():
        table.add_row(name, f"{count} rows")
    out.print(table)


async def _ask(*, service: bool) -> WhoAmI:
    async with Clients(Settings.load()) as clients:
        client: Client = clients.service() if service else await signed_in(clients)
        return await Workspaces(client).whoami()
