"""`qero outbox`: what is queued, what ended badly, and what to do about it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from rich.table import Table

from qero.cli import JsonOption, app, confirm, out, print_json, print_lines
from qero.clients.factory import Clients
from qero.errors import InvalidInput
from qero.models.outbox import Settlement
from qero.services.outbox import Outbox
from qero.settings import Settings

T = TypeVar("T")
OfWorkspace = Annotated[UUID | None, typer.Option("--workspace", help="Of one workspace, by its id.")]
OfConnection = Annotated[UUID | None, typer.Option("--connection", help="Of one number, by its id.")]
Ids = Annotated[list[UUID], typer.Argument(help="Ids of messages.")]

outbox = typer.Typer(help="What is queued, what ended badly, and what to do about it.", no_args_is_help=True)
app.add_typer(outbox, name="outbox")


class ListedStatus(StrEnum):
    QUEUED = "queued"
    PROCESSING = "processing"
    FAILED = "failed"
    DEAD = "dead"
    UNKNOWN = "unknown"


class EndedStatus(StrEnum):
    FAILED = "failed"
    DEAD = "dead"
    UNKNOWN = "unknown"


def ask(question: Callable[[Outbox], Awaitable[T]]) -> T:
    """The answer of the outbox to one question, as the service."""

    async def asking() -> T:
        async with Clients(Settings.load()) as clients:
            return await question(Outbox(clients.service()))

    return asyncio.run(asking())


@outbox.command("list")
def list_messages(
    status: Annotated[ListedStatus, typer.Argument(help="Which ones.")] = ListedStatus.DEAD,
    workspace: OfWorkspace = None,
    connection: OfConnection = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List messages, the latest first. Contents aren't shown; `qero outbox show` does."""
    found = ask(
        lambda service: service.list(status.value, workspace_id=workspace, connection_id=connection, limit=limit)
    )
    if as_json:
        print_json([message.model_dump(mode="json", exclude={"payload", "recipient"}) for message in found])
        return
    if not found:
        print_lines(f"None is {status.value}.")
        return
    table = Table("id", "workspace", "connection", "attempts", "due", "error", box=None)
    for message in found:
        table.add_row(
            str(message.id),
            str(message.workspace_id),
            str(message.connection_id or ""),
            f"{message.attempts} of {message.max_attempts}",
            message.scheduled_at.isoformat(timespec="seconds"),
            message.error_code or "",
        )
    out.print(table)


@outbox.command()
def show(message_id: Annotated[UUID, typer.Argument(help="Its id.")]) -> None:
    """Show one message with its content, and where it stands."""
    print_json(ask(lambda service: service.get(message_id)).model_dump(mode="json"))


@outbox.command()
def retry(
    message_ids: Annotated[list[UUID] | None, typer.Argument(help="Ids of messages.")] = None,
    status: Annotated[
        EndedStatus | None, typer.Option("--all", help="All of this status, at most 1,000 a call; not unknown ones.")
    ] = None,
    workspace: OfWorkspace = None,
    connection: OfConnection = None,
    spread: Annotated[int, typer.Option(min=0, max=86400, help="Spread them over so many seconds.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Queue messages again that ended badly. Exits with 1 when one that is named isn't there.

    One whose outcome is unknown may reach the customer twice: it has to be named by its id.
    """
    if (status is None) == (not message_ids) or status is EndedStatus.UNKNOWN:
        raise InvalidInput(
            "invalid_value",
            "Name messages by their ids, or all failed or dead ones, and not both.",
            detail={"field": "--all", "allowed": ["failed", "dead"]},
        )

    async def again(service: Outbox) -> list[Settlement]:
        ids = message_ids or [
            message.id
            for message in await service.list(
                "failed" if status is EndedStatus.FAILED else "dead",
                workspace_id=workspace,
                connection_id=connection,
                limit=1000,
            )
        ]
        return await service.retry(ids, spread_seconds=spread) if ids else []

    _print_outcomes(ask(again), as_json=as_json)


@outbox.command()
def cancel(
    message_ids: Ids,
    reason: Annotated[str, typer.Option(help="What the team is shown.")] = "Cancelled.",
    as_json: JsonOption = False,
) -> None:
    """Cancel messages that wait. What a worker has in hand may leave all the same.

    Exits with 1 when one isn't there.
    """
    _print_outcomes(ask(lambda service: service.cancel(message_ids, reason)), as_json=as_json)


@outbox.command()
def purge(
    status: Annotated[EndedStatus, typer.Argument(help="Which ones.")],
    older_than_days: Annotated[float, typer.Option(min=0, help="Settled at least so many days ago.")] = 30,
    workspace: OfWorkspace = None,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Delete messages that ended badly. What the team saw of them in the inbox stays."""
    if not yes:
        confirm(f"Delete {status.value} messages settled {older_than_days:g} or more days ago?")

    async def all_of_them(service: Outbox) -> int:
        purged = 0
        while True:
            count = await service.purge(
                status.value, older_than=timedelta(days=older_than_days), workspace_id=workspace, limit=1000
            )
            purged += count
            if count < 1000:
                return purged

    purged = ask(all_of_them)
    print_json({"purged": purged}) if as_json else print_lines(f"Purged {purged}.")


@outbox.command()
def stats(workspace: OfWorkspace = None, as_json: JsonOption = False) -> None:
    """Show depth and age, of each sender too, and what ended badly, by code."""
    found = ask(lambda service: service.stats(workspace))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_lines(
        f"{found.due} due, {found.scheduled} scheduled, {found.waiting} waiting their turn, {found.processing} in hand",
        f"oldest due: {found.oldest_due_seconds:.0f} s",
    )
    if found.lanes:
        table = Table("workspace", "channel", "connection", "due", "scheduled", "waiting", "oldest", "state", box=None)
        for lane in found.lanes:
            pause = f"until {lane.paused_until.isoformat(timespec='seconds')}" if lane.paused_until else ""
            table.add_row(
                str(lane.workspace_id),
                lane.channel,
                str(lane.connection_id or ""),
                str(lane.due),
                str(lane.scheduled),
                str(lane.waiting),
                f"{lane.oldest_due_seconds:.0f} s",
                f"{lane.connection_status} {pause}".strip(),
            )
        out.print(table)
    for problem in found.problems:
        print_lines(f"{problem.count} {problem.status} {problem.error_code}".rstrip())


def _print_outcomes(settlements: list[Settlement], *, as_json: bool) -> None:
    if as_json:
        print_json([settlement.model_dump(mode="json") for settlement in settlements])
    elif not settlements:
        print_lines("Nothing to do.")
    else:
        print_lines(*(f"{settlement.id}  {settlement.outcome}" for settlement in settlements))
    if any(settlement.outcome == "not_found" for settlement in settlements):
        raise typer.Exit(1)
