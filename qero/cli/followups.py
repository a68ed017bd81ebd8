"""`qero followups`: what the user has planned to do about contacts and candidates."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, app, out, print_json, print_lines
from qero.cli.contacts import Due
from qero.cli.session import ask
from qero.clients.factory import UserClient
from qero.services.follow_ups import FollowUps
from qero.services.workspaces import Workspaces


@app.command()
def followups(
    workspace: Annotated[str | None, typer.Option("--workspace", help="Of one workspace, by its slug or uuid.")] = None,
    due: Annotated[
        Due, typer.Option("--due", help="Due then, in your own time zone; due is overdue or today.")
    ] = Due.ANY,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List your own follow-ups, the most urgent first, and how many there are. Nobody else sees them.

    Reads the access token from QERO_ACCESS_TOKEN. Example: `qero followups --due due`
    """

    async def read(client: UserClient) -> Any:
        workspace_id = await Workspaces(client).resolve(workspace) if workspace else None
        service = FollowUps(client)
        return await service.list(workspace_id, due=due.value, limit=limit), await service.counts(workspace_id)

    page, counts = ask(read)
    if as_json:
        print_json({**page.model_dump(mode="json"), "counts": counts.model_dump()})
        return
    if page.items:
        table = Table("when", "", "who", "phone", "mine", "note", "id", box=None)
        for item in page.items:
            table.add_row(
                item.follow_up_at.isoformat(sep=" ", timespec="minutes"), item.bucket,
                escape(item.name or item.email or ""), item.phone or "", item.status or "",
                escape(item.follow_up_note or ""), str(item.id),
            )  # fmt: skip
        out.print(table)
    print_lines(f"{counts.overdue} overdue, {counts.today} today, {counts.upcoming} upcoming")
