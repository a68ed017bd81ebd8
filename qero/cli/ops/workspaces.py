"""`qero ops workspaces`: every workspace, what it has and how it does."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, confirm, out, print_json, print_lines
from qero.cli.ops import ReasonOption, WorkspaceArgument, YesOption, ops
from qero.cli.ops.audit import audit_table
from qero.cli.session import ask_as_either
from qero.clients.factory import Client
from qero.models.ops import WorkspaceOverview
from qero.models.workspace import Workspace
from qero.services.operators import Operators

workspaces = typer.Typer(help="Every workspace, what it has and how it does.", no_args_is_help=True)
ops.add_typer(workspaces, name="workspaces")


class Status(StrEnum):
    ACTIVE = "active"
    SUSPENDED = "suspended"


@workspaces.command("list")
def list_workspaces(
    search: Annotated[str | None, typer.Argument(help="A part of slug or name, or an id.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    after: Annotated[str | None, typer.Option(help="Go on after this slug.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List workspaces by slug."""
    found = ask_as_either(
        lambda client: Operators(client).list_workspaces(
            search=search, status=status.value if status else None, after_slug=after, limit=limit
        )
    )
    if as_json:
        print_json([workspace.model_dump(mode="json") for workspace in found])
    elif not found:
        print_lines("None found.")
    else:
        table = Table("slug", "name", "status", "members", "numbers", "tokens", "id", box=None)
        for workspace in found:
            table.add_row(
                workspace.slug, escape(workspace.name), workspace.status, str(workspace.member_count),
                str(workspace.connection_count), f"{workspace.token_balance:,}", str(workspace.id),
            )  # fmt: skip
        out.print(table)
        if len(found) == limit:
            print_lines(f"There may be more: --after {found[-1].slug}")


@workspaces.command()
def show(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Show a workspace: members, entitlements, tokens, numbers, what is queued, and its latest audit."""

    async def look(client: Client) -> WorkspaceOverview:
        operators = Operators(client)
        return await operators.overview((await operators.find_workspace(workspace)).id)

    found = ask_as_either(look)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_lines(
        f"{found.workspace.slug}  {found.workspace.name}  {found.workspace.status}", str(found.workspace.id), ""
    )
    members = Table("member", "name", "role", "since", box=None)
    for member in found.members:
        members.add_row(
            escape(member.email or str(member.user_id)), escape(member.full_name or ""), member.role,
            f"{member.since:%Y-%m-%d}",
        )  # fmt: skip
    out.print(members)
    print_lines("")
    if found.tokens:
        print_lines(f"{found.tokens.balance:,} tokens, {found.tokens.reserved:,} of them reserved")
    else:
        print_lines("No tokens yet")
    for entitlement in found.entitlements:
        print_lines(f"{'enabled ' if entitlement.enabled else 'disabled'}  {entitlement.key}")
    for connection in found.connections:
        why = f" ({connection.status_reason})" if connection.status_reason else ""
        print_lines(f"{connection.display_phone_number or connection.phone_number_id}  {connection.status}{why}")
    queue = found.queue
    print_lines(
        f"{queue.due} messages due, {queue.scheduled} scheduled, {queue.waiting} waiting, {queue.processing} in hand, "
        f"{sum(problem.count for problem in queue.problems)} ended badly",
        "",
    )
    out.print(audit_table(found.recent_audit))


@workspaces.command()
def suspend(
    workspace: WorkspaceArgument, reason: ReasonOption = None, yes: YesOption = False, as_json: JsonOption = False
) -> None:
    """Let members only read and hold back everything queued, until the workspace is activated again."""
    if not yes:
        confirm(f"Stop everybody in {workspace} from writing and sending?")
    _print(ask_as_either(lambda client: _set_status(client, workspace, "suspended", reason)), as_json=as_json)


@workspaces.command()
def activate(workspace: WorkspaceArgument, reason: ReasonOption = None, as_json: JsonOption = False) -> None:
    """End a suspension; what waited leaves."""
    _print(ask_as_either(lambda client: _set_status(client, workspace, "active", reason)), as_json=as_json)


async def _set_status(
    client: Client, workspace: str, status: Literal["active", "suspended"], reason: str | None
) -> Workspace:
    operators = Operators(client)
    return await operators.set_workspace_status((await operators.find_workspace(workspace)).id, status, reason)


def _print(workspace: Workspace, *, as_json: bool) -> None:
    if as_json:
        print_json(workspace.model_dump(mode="json"))
    else:
        print_lines(f"{workspace.slug} is {workspace.status}.")
