"""`qero ops entitlements`: what workspaces may use."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, out, print_json, print_lines
from qero.cli.moments import future_moment
from qero.cli.ops import ReasonOption, WorkspaceArgument, ops
from qero.cli.session import ask_as_either
from qero.clients.factory import Client
from qero.models.ops import Entitlement, EntitlementState
from qero.services.entitlements import Entitlements
from qero.services.operators import Operators

entitlements = typer.Typer(help="What workspaces may use, and how much of it.", no_args_is_help=True)
ops.add_typer(entitlements, name="entitlements")

KeyArgument = Annotated[str, typer.Argument(help="Of what: `meta_hub`, for example.")]
ExpiresOption = Annotated[
    str | None, typer.Option("--expires", help="30m, 24h or 7d from now, or a date; never unless given.")
]


@entitlements.command("list")
def list_entitlements(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """List a workspace's entitlements, disabled and expired ones too."""

    async def look(client: Client) -> list[Entitlement]:
        return await Entitlements(client).list((await Operators(client).find_workspace(workspace)).id)

    found = ask_as_either(look)
    if as_json:
        print_json([entitlement.model_dump(mode="json") for entitlement in found])
    elif not found:
        print_lines(f"{workspace} is entitled to nothing.")
    else:
        table = Table("key", "", "payload", "expires", "reason", box=None)
        for entitlement in found:
            table.add_row(
                escape(entitlement.key), "enabled" if entitlement.enabled else "disabled",
                escape(json.dumps(entitlement.payload)) if entitlement.payload else "",
                entitlement.expires_at.isoformat(timespec="minutes") if entitlement.expires_at else "",
                escape(entitlement.reason or ""),
            )  # fmt: skip
        out.print(table)


@entitlements.command()
def enable(
    workspace: WorkspaceArgument,
    key: KeyArgument,
    expires: ExpiresOption = None,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enable an entitlement; its payload stays as it is."""
    until = future_moment(expires)
    enabled = ask_as_either(
        lambda client: Entitlements(client).set(workspace, key, enabled=True, expires_at=until, reason=reason)
    )
    _print(enabled, workspace, as_json=as_json)


@entitlements.command()
def disable(
    workspace: WorkspaceArgument, key: KeyArgument, reason: ReasonOption = None, as_json: JsonOption = False
) -> None:
    """Disable an entitlement; its payload stays, for when it is enabled again."""
    _print(
        ask_as_either(lambda client: Entitlements(client).set(workspace, key, enabled=False, reason=reason)),
        workspace, as_json=as_json,
    )  # fmt: skip


@entitlements.command("set")
def set_payload(
    workspace: WorkspaceArgument,
    key: KeyArgument,
    payload: Annotated[
        str, typer.Argument(help="A JSON object; in it, limit and period (day, month, year) bound what is counted.")
    ] = "{}",
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it, without enabling it.")] = False,
    expires: ExpiresOption = None,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Set an entitlement with its payload."""
    until, given = future_moment(expires), _json_object(payload)

    async def write(client: Client) -> Entitlement:
        workspace_id = (await Operators(client).find_workspace(workspace)).id
        return await Entitlements(client).set_payload(
            workspace_id, key, given, enabled=not disabled, expires_at=until, reason=reason
        )

    _print(ask_as_either(write), workspace, as_json=as_json)


@entitlements.command()
def check(
    workspace: WorkspaceArgument,
    key: KeyArgument,
    amount: Annotated[int, typer.Option(min=0, help="Whether so much more would be granted.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Say whether a workspace may use something now, and why. Exits with 1 when it may not."""

    async def look(client: Client) -> EntitlementState:
        return await Entitlements(client).check((await Operators(client).find_workspace(workspace)).id, key, amount)

    state = ask_as_either(look)
    if as_json:
        print_json(state.model_dump(mode="json"))
    else:
        limit = "no limit" if state.limit is None else f"of {state.limit:,}"
        print_lines(f"{key}: {state.reason}, {state.usage:,} used, {limit}")
    raise typer.Exit(0 if state.granted else 1)


def _json_object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"the payload isn't JSON: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter("the payload has to be a JSON object")
    return value


def _print(entitlement: Entitlement, workspace: str, *, as_json: bool) -> None:
    if as_json:
        print_json(entitlement.model_dump(mode="json"))
        return
    until = f" until {entitlement.expires_at.isoformat(timespec='minutes')}" if entitlement.expires_at else ""
    print_lines(f"{entitlement.key} is {'enabled' if entitlement.enabled else 'disabled'} for {workspace}{until}.")
