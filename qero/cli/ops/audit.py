"""`qero ops audit`: who did what, exported, and proven unchanged."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, out, print_json, print_lines
from qero.cli.moments import past_moment
from qero.cli.ops import ops
from qero.cli.session import ask_as_either
from qero.clients.factory import Client
from qero.models.ops import AuditEntry, AuditSeal, VerifiedSeal
from qero.models.table_file import csv_line
from qero.services.audit import Audit
from qero.services.operators import Operators

audit = typer.Typer(help="Who did what, exported, and proven unchanged.", no_args_is_help=True)
ops.add_typer(audit, name="audit")

WorkspaceOption = Annotated[
    str | None, typer.Option("--workspace", "-w", help="Slug or uuid; also the uuid of one that is gone.")
]
ActionOption = Annotated[
    str | None, typer.Option("--action", help="`owner.tokens.granted`, or its beginning, `owner.tokens`.")
]
ActorOption = Annotated[
    str | None, typer.Option("--actor", help="E-mail or id, or a role that acts without one: service_role.")
]
SinceOption = Annotated[str | None, typer.Option("--since", help="30m, 24h or 7d ago, or a date.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="As --since.")]
SearchOption = Annotated[str | None, typer.Option("--search", help="Words in the reason, or before and after.")]


class Format(StrEnum):
    CSV = "csv"
    JSONL = "jsonl"


@audit.command("list")
def list_entries(
    workspace: WorkspaceOption = None,
    action: ActionOption = None,
    actor: ActorOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    search: SearchOption = None,
    before: Annotated[int | None, typer.Option(help="Go on after the last id of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what was done, newest first."""
    filters = _filters(action, actor, since, until, search)

    async def look(client: Client) -> list[AuditEntry]:
        return await Audit(client).search(
            workspace_id=await _workspace_id(client, workspace), before_id=before, limit=limit, **filters
        )

    entries = ask_as_either(look)
    if as_json:
        print_json([entry.model_dump(mode="json") for entry in entries])
    elif not entries:
        print_lines("Nothing found.")
    else:
        out.print(audit_table(entries))


@audit.command()
def export(
    format_: Annotated[Format, typer.Option("--format", help="csv opens in a spreadsheet.")] = Format.JSONL,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output unless given.")] = None,
    workspace: WorkspaceOption = None,
    action: ActionOption = None,
    actor: ActorOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    search: SearchOption = None,
) -> None:
    """Export what was done, newest first, row by row, however long the log is."""
    filters = _filters(action, actor, since, until, search)

    async def write(client: Client) -> int:
        workspace_id = await _workspace_id(client, workspace)
        count = 0
        with nullcontext(sys.stdout) if output is None else output.open("w", encoding="utf-8", newline="") as file:
            put = _writer(format_, file)
            async for entry in _every(Audit(client), workspace_id=workspace_id, **filters):
                put(entry)
                count += 1
        return count

    count = ask_as_either(write)
    if output is not None:
        print_lines(f"{count} rows in {output}")


@audit.command()
def seal(as_json: JsonOption = False) -> None:
    """Seal what came since the last seal. Run it from time to time, and keep the newest seal elsewhere."""

    async def all_of_it(client: Client) -> AuditSeal | None:
        service = Audit(client)
        newest = await service.seal()
        while newest and (again := await service.seal()) and again.number > newest.number:
            newest = again
        return newest

    newest = ask_as_either(all_of_it)
    if as_json:
        print_json(newest.model_dump(mode="json") if newest else None)
    else:
        print_lines(f"Sealed up to row {newest.last_id}: {_name(newest)}" if newest else "The log is empty.")


@audit.command()
def verify(
    expect: Annotated[
        str | None, typer.Option(metavar="NUMBER:HASH", help="A seal kept elsewhere: it has to be there unchanged.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare every sealed row with its seal. Exits with 1 when something was changed."""

    async def look(client: Client) -> tuple[list[str], VerifiedSeal | None, int]:
        service = Audit(client)
        broken, newest, count, kept = [], None, 0, expect is None
        while page := await service.verify(after_number=newest.number if newest else 0):
            broken += [_name(found) for found in page if not found.intact]
            kept = kept or any(_name(found) == expect for found in page)
            newest, count = page[-1], count + len(page)
        if not kept:
            broken.append(f"{expect} isn't there")
        return broken, newest, count

    broken, newest, count = ask_as_either(look)
    if as_json:
        print_json(
            {
                "intact": not broken,
                "broken": broken,
                "seals": count,
                "newest": _name(newest) if newest else None,
                "unsealed": newest.unsealed_count if newest else None,
            }
        )
    else:
        print_lines(*(f"Broken: {name}" for name in broken))
        if newest is None:
            print_lines("Nothing is sealed yet: `qero ops audit seal`.")
        else:
            print_lines(
                f"{count} seals, {'intact' if not broken else f'{len(broken)} broken'}, "
                f"{newest.unsealed_count} rows unsealed. Newest: {_name(newest)}"
            )
    raise typer.Exit(1 if broken else 0)


def audit_table(entries: list[AuditEntry]) -> Table:
    """A page of the log for people."""
    table = Table("id", "when", "who", "what", "about", "reason", box=None)
    for entry in entries:
        about = entry.after or entry.before or {}
        table.add_row(
            str(entry.id), entry.occurred_at.isoformat(timespec="seconds"),
            escape(entry.actor_email or str(entry.actor_id or entry.actor_role or "")),
            entry.action.removeprefix("owner."),
            escape(", ".join(f"{name} {value}" for name, value in about.items() if value not in (None, {}))),
            escape(entry.reason or ""),
        )  # fmt: skip
    return table


def _name(seal: AuditSeal) -> str:
    return f"{seal.number}:{seal.hash}"


def _filters(
    action: str | None, actor: str | None, since: str | None, until: str | None, search: str | None
) -> dict[str, Any]:
    return {
        "action": action, "actor": actor, "since": past_moment(since), "until": past_moment(until), "text": search,
    }  # fmt: skip


async def _workspace_id(client: Client, workspace: str | None) -> UUID | None:
    """The log outlives workspaces, so a uuid is taken as it is."""
    if workspace is None:
        return None
    try:
        return UUID(workspace)
    except ValueError:
        return (await Operators(client).find_workspace(workspace)).id


async def _every(service: Audit, **filters: Any) -> AsyncIterator[AuditEntry]:
    before_id = None
    while page := await service.search(before_id=before_id, limit=1000, **filters):
        for entry in page:
            yield entry
        before_id = page[-1].id


def _writer(format_: Format, file: IO[str]) -> Callable[[AuditEntry], Any]:
    if format_ is Format.JSONL:
        return lambda entry: file.write(entry.model_dump_json() + "\n")
    file.write(csv_line(AuditEntry.model_fields))
    return lambda entry: file.write(csv_line(entry.model_dump(mode="json").values()))
