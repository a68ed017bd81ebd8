"""`qero ops tokens`: balances, the ledger, grants and reservations."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, confirm, out, print_json, print_lines
from qero.cli.moments import future_moment
from qero.cli.ops import WorkspaceArgument, YesOption, ops
from qero.cli.session import ask_as_either
from qero.clients.factory import Client
from qero.models.ops import TokenBalance, TokenEntry, TokenGrant
from qero.services.operators import Operators
from qero.services.tokens import Tokens

tokens = typer.Typer(help="Balances, the ledger, grants and reservations.", no_args_is_help=True)
ops.add_typer(tokens, name="tokens")

AmountArgument = Annotated[int, typer.Argument(min=1, help="How many tokens.")]
NeededReason = Annotated[str, typer.Option("--reason", help="Why; the ledger and the audit log keep it.")]
ReferenceOption = Annotated[
    str | None, typer.Option("--reference", help="Names the request: repeated, it counts once.")
]


@tokens.command()
def balance(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Show a workspace's balance, what of it is reserved, and its grants."""

    async def look(client: Client) -> tuple[TokenBalance | None, list[TokenGrant]]:
        workspace_id = await _id(client, workspace)
        service = Tokens(client)
        return await service.balance(workspace_id), await service.grants(workspace_id)

    account, grants = ask_as_either(look)
    if as_json:
        print_json(
            {
                "balance": account.model_dump(mode="json") if account else None,
                "grants": [grant.model_dump(mode="json") for grant in grants],
            }
        )
        return
    if account is None:
        print_lines(f"{workspace} has had no tokens yet.")
        return
    print_lines(
        f"{account.balance:,} tokens: {account.balance - account.reserved:,} free, {account.reserved:,} reserved"
    )
    if grants:
        table = Table("grant", "left", "of", "priority", "from", "until", "", "reason", box=None)
        for grant in grants:
            table.add_row(
                str(grant.id), f"{grant.remaining:,}", f"{grant.amount:,}", str(grant.priority),
                grant.effective_at.isoformat(timespec="minutes"),
                grant.expires_at.isoformat(timespec="minutes") if grant.expires_at else "",
                grant.status, escape(grant.reason or ""),
            )  # fmt: skip
        out.print(table)


@tokens.command()
def ledger(
    workspace: WorkspaceArgument,
    before: Annotated[int | None, typer.Option(help="Go on after the last id of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show a workspace's ledger, newest first."""

    async def look(client: Client) -> list[TokenEntry]:
        return await Tokens(client).ledger(await _id(client, workspace), before_id=before, limit=limit)

    entries = ask_as_either(look)
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
        return
    table = Table("id", "when", "tokens", "balance", "reason", "reference", box=None)
    for entry in entries:
        table.add_row(
            str(entry.id), entry.created_at.isoformat(timespec="seconds"), f"{entry.delta:+,}",
            f"{entry.balance_after:,}", escape(entry.reason or ""),
            escape(f"{entry.reference_type} {entry.reference_id}" if entry.reference_id else ""),
        )  # fmt: skip
    out.print(table)


@tokens.command()
def grant(
    workspace: WorkspaceArgument,
    amount: AmountArgument,
    reason: NeededReason,
    reference: ReferenceOption = None,
    expires: Annotated[str | None, typer.Option(help="30m, 24h or 7d from now, or a date.")] = None,
    begins: Annotated[str | None, typer.Option(help="As --expires; at once unless given.")] = None,
    priority: Annotated[
        int | None,
        typer.Option(min=0, max=100, help="0 is spent first, 100 last; 50 for what expires or begins later."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Grant tokens: for good, or ones that expire, begin later or are spent before others."""
    until, start = future_moment(expires), future_moment(begins)

    async def give(client: Client) -> TokenEntry | TokenGrant:
        workspace_id = await _id(client, workspace)
        if until is None and start is None and priority is None:
            return await Tokens(client).apply(workspace_id, amount, reason, reference=reference)
        return await Tokens(client).grant(
            workspace_id, amount, reason, reference=reference, expires_at=until, effective_at=start,
            priority=50 if priority is None else priority,
        )  # fmt: skip

    given = ask_as_either(give)
    if as_json:
        print_json(given.model_dump(mode="json"))
    elif isinstance(given, TokenEntry):
        _print_entry(given)
    else:
        print_lines(f"Granted {given.amount:,}: {given.status}, {given.remaining:,} left.  {given.id}")


@tokens.command()
def deduct(
    workspace: WorkspaceArgument,
    amount: AmountArgument,
    reason: NeededReason,
    reference: ReferenceOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Take tokens away, never more than are free."""
    if not yes:
        confirm(f"Take {amount:,} tokens from {workspace}?")

    async def take(client: Client) -> TokenEntry:
        return await Tokens(client).apply(await _id(client, workspace), -amount, reason, reference=reference)

    entry = ask_as_either(take)
    print_json(entry.model_dump(mode="json")) if as_json else _print_entry(entry)


@tokens.command()
def alerts(
    workspace: WorkspaceArgument,
    levels: Annotated[list[int] | None, typer.Argument(min=0, help="Balances to be told about.")] = None,
    none: Annotated[bool, typer.Option("--none", help="Tell about none any more.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Set at which balances an alert is left, or show the alerts there were."""

    async def look_or_set(client: Client) -> tuple[TokenBalance | None, list[tuple[int, int, str]]]:
        service, workspace_id = Tokens(client), await _id(client, workspace)
        if levels or none:
            return await service.set_alerts(workspace_id, levels or []), []
        found = await service.alerts(workspace_id)
        return await service.balance(workspace_id), [
            (alert.level, alert.balance, alert.created_at.isoformat(timespec="seconds")) for alert in found
        ]

    account, left = ask_as_either(look_or_set)
    at = account.alert_levels if account else []
    if as_json:
        names = ("level", "balance", "created_at")
        print_json({"levels": at, "alerts": [dict(zip(names, alert, strict=True)) for alert in left]})
    else:
        print_lines(f"Alerts at {', '.join(f'{level:,}' for level in at)}." if at else "No alerts are set.")
        print_lines(*(f"{when}  fell to {balance:,}, level {level:,}" for level, balance, when in left))


@tokens.command()
def release(
    reservation_id: Annotated[UUID, typer.Argument(help="The reservation's id.")], as_json: JsonOption = False
) -> None:
    """Free what a reservation holds, without waiting for its end."""
    ended = ask_as_either(lambda client: Tokens(client).release(reservation_id))
    print_json(ended.model_dump(mode="json")) if as_json else print_lines(f"{ended.amount:,} tokens {ended.status}.")


@tokens.command("settle-due")
def settle_due(as_json: JsonOption = False) -> None:
    """Begin and end grants that are due where nothing else touches the balance; run it from time to time."""

    async def all_of_them(client: Client) -> int:
        settled = 0
        while count := await Tokens(client).settle_due(100):
            settled += count
        return settled

    settled = ask_as_either(all_of_them)
    print_json({"settled": settled}) if as_json else print_lines(f"Settled {settled} workspaces.")


@tokens.command()
def check(as_json: JsonOption = False) -> None:
    """Compare every balance with the sum of its ledger. Exits with 1 when one differs."""
    found = ask_as_either(lambda client: Tokens(client).check())
    if as_json:
        print_json([mismatch.model_dump(mode="json") for mismatch in found])
    elif not found:
        print_lines("Every balance is the sum of its ledger.")
    for mismatch in [] if as_json else found:
        print_lines(f"{mismatch.workspace_id}: balance {mismatch.balance:,}, ledger {mismatch.ledger_sum:,}")
    raise typer.Exit(1 if found else 0)


async def _id(client: Client, workspace: str) -> UUID:
    return (await Operators(client).find_workspace(workspace)).id


def _print_entry(entry: TokenEntry) -> None:
    print_lines(f"{entry.delta:+,} tokens, now {entry.balance_after:,}.  ledger {entry.id}")
