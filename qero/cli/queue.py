"""`qero queue`: tomorrow's leads, today's messages, and who has taken over."""

from __future__ import annotations

import asyncio
import sys
from contextlib import nullcontext
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, TextIO, TypeVar
from uuid import UUID

import typer
from rich.console import Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from qero.cli import JsonOption, app, err, out, print_json, print_lines
from qero.cli.session import ask_as_either
from qero.clients.factory import Client, Clients
from qero.models.lead_queue import PreparedQueue, QueueState, StartedAutomation
from qero.services.lead_queue import LeadQueue, export_all
from qero.services.leads import Leads
from qero.services.workspaces import Workspaces
from qero.settings import Settings

T = TypeVar("T")

queue = typer.Typer(
    help="Tomorrow's leads, today's messages, and who has taken over: as the user whose access token is in "
    "QERO_ACCESS_TOKEN, or without one as the service.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(queue, name="queue")

WorkspaceArgument = Annotated[str, typer.Argument(help="The workspace's slug or uuid.")]
LeadArgument = Annotated[UUID, typer.Argument(help="The lead's id.")]
UserOption = Annotated[
    UUID | None, typer.Option("--user", help="A member's queue, by the id of the user; one's own unless given.")
]
EveryoneOption = Annotated[bool, typer.Option("--everyone", help="Every queue of the workspace, one after the other.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why; the ledger keeps it.")]


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("give a day like 2026-01-31") from error


DayOption = Annotated[str | None, typer.Option("--day", help="A day like 2026-01-31.")]
SinceOption = Annotated[str | None, typer.Option("--since", help="From this day on, like 2026-01-01.")]
UntilOption = Annotated[str | None, typer.Option("--until", help="Until this day, like 2026-01-31.")]


async def _whose(client: Client, workspace_id: UUID, user: UUID | None, everyone: bool) -> list[UUID | None]:
    if user is not None and everyone:
        raise typer.BadParameter("--everyone and --user exclude each other")
    if not everyone:
        return [user]
    return [line.user_id for line in (await LeadQueue(client).status(workspace_id)).users]


def _bar(*columns: Any) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *columns, TimeElapsedColumn(),
        console=err, transient=True, disable=not err.is_terminal,
    )  # fmt: skip


@queue.command()
def prepare(
    workspace: WorkspaceArgument,
    day: DayOption = None,
    limit: Annotated[int | None, typer.Option(min=1, max=10000, help="At most so many, whatever the capacity.")] = None,
    user: UserOption = None,
    everyone: EveryoneOption = False,
    as_json: JsonOption = False,
) -> None:
    """Queue a day, tomorrow unless given: what was left over, follow-ups, then the best leads, within the capacity.

    Safe to repeat. Says which leads were refused, and why.

    Examples: `qero queue prepare acme` · `qero queue prepare acme --everyone --day 2026-02-02`
    """
    chosen = _day(day)

    async def preparing(client: Client) -> list[PreparedQueue]:
        workspace_id = await Workspaces(client).resolve(workspace)
        done = []
        with _bar() as progress:
            whose = await _whose(client, workspace_id, user, everyone)
            for user_id in progress.track(whose, description="Preparing"):
                done.append(await LeadQueue(client).prepare(workspace_id, day=chosen, limit=limit, user_id=user_id))
        return done

    prepared = ask_as_either(preparing)
    if as_json:
        print_json([queue.model_dump(mode="json") for queue in prepared])
        return
    for queue in prepared:
        print_lines(
            f"{queue.day} ({queue.timezone}): {queue.prepared} leads, {queue.follow_ups} follow-ups, "
            f"{queue.carried_over} left over; room for {queue.room_left} of {queue.capacity}"
        )
        for refusal in queue.refusals[:20]:
            print_lines(f"  refused {refusal.lead_id}: {refusal.reason.replace('_', ' ')}")
        if queue.refused > 20:
            print_lines(f"  and {queue.refused - 20} more; --json lists them")


@queue.command()
def start(
    workspace: WorkspaceArgument,
    batch: Annotated[int | None, typer.Option(min=1, max=1000, help="How many at once; the queue's own else.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would become of today's queue.")] = False,
    user: UserOption = None,
    everyone: EveryoneOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hand today's queue to the outbox, batch by batch, within the sending hours; `qero worker` sends it.

    Examples: `qero queue start acme --dry-run` · `qero queue start acme --everyone`
    """

    async def starting(client: Client) -> list[StartedAutomation]:
        workspace_id = await Workspaces(client).resolve(workspace)
        service = LeadQueue(client)
        answers = []
        with _bar() as progress:
            for user_id in await _whose(client, workspace_id, user, everyone):
                answers.append(await _start_all(service, workspace_id, user_id, batch, dry_run, progress))
        return answers

    started = ask_as_either(starting)
    if as_json:
        print_json([answer.model_dump(mode="json") for answer in started])
        return
    for answer in started:
        verb = "would be handed over" if answer.dry_run else "handed over"
        print_lines(
            f"{answer.day}: {answer.started} {verb}, {answer.failed} failed, {answer.cancelled} cancelled, "
            f"{answer.put_off} put off, {answer.left} left"
        )
        for problem, count in answer.problems.items():
            print_lines(f"  {count} {problem.replace('_', ' ')}")
        if answer.waits_for:
            opens = f" from {answer.opens_at:%Y-%m-%d %H:%M %Z}" if answer.opens_at else ""
            print_lines(f"  waits for {answer.waits_for.replace('_', ' ')}{opens}")


async def _start_all(
    service: LeadQueue,
    workspace_id: UUID,
    user_id: UUID | None,
    batch: int | None,
    dry_run: bool,
    progress: Progress,
) -> StartedAutomation:
    """Batch after batch until none is left; the sums of all of them."""
    total = await service.start(workspace_id, batch=batch, dry_run=dry_run, user_id=user_id)
    if dry_run:
        return total
    done = _done(total)
    task = progress.add_task("Starting", total=done + total.left, completed=done)
    last = total
    while last.left and last.waits_for is None and _done(last):
        last = await service.start(workspace_id, batch=batch, user_id=user_id)
        problems = {
            name: total.problems.get(name, 0) + last.problems.get(name, 0) for name in {*total.problems, *last.problems}
        }
        total = last.model_copy(
            update={
                "started": total.started + last.started,
                "failed": total.failed + last.failed,
                "cancelled": total.cancelled + last.cancelled,
                "put_off": total.put_off + last.put_off,
                "problems": problems,
            }
        )
        progress.update(task, advance=_done(last))
    return total


def _done(answer: StartedAutomation) -> int:
    return answer.started + answer.failed + answer.cancelled + answer.put_off


@queue.command()
def status(
    workspace: WorkspaceArgument,
    day: DayOption = None,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep it on the screen until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.2, max=3600, help="Seconds between two looks.")] = 2.0,
    as_json: JsonOption = False,
) -> None:
    """Show how a day stands for each user, today unless given; `--watch` keeps it in view.

    Example: `qero queue status acme --watch`
    """
    chosen = _day(day)

    async def looking(client: Client) -> None:
        workspace_id = await Workspaces(client).resolve(workspace)
        service = LeadQueue(client)
        state = await service.status(workspace_id, day=chosen)
        if as_json:
            print_json(state.model_dump(mode="json"))
            return
        # What isn't a terminal gets one view after the other.
        with (
            Live(_view(state), console=out, auto_refresh=False) if watch and out.is_terminal else nullcontext() as live
        ):
            while True:
                if live is None:
                    out.print(_view(state))
                else:
                    live.update(_view(state), refresh=True)
                if not watch:
                    return
                await asyncio.sleep(every)
                state = await service.status(workspace_id, day=chosen)

    ask_as_either(looking)


def _view(state: QueueState) -> Group:
    table = Table("", "done", "queued", "sending", "sent", "failed", "replied", "taken", "last sent", box=None)
    for user in state.users:
        whole = user.queued + user.sending + user.sent + user.failed
        table.add_row(
            escape(user.name) + (" [yellow](paused)[/]" if user.paused else ""),
            _share(user.sent + user.failed, whole),
            *(f"{count:,}" for count in (user.queued, user.sending, user.sent)),
            f"[red]{user.failed:,}[/]" if user.failed else "0",
            f"{user.replied:,}", f"{user.taken:,}", _clock(user.last_sent_at),
        )  # fmt: skip
    lines = [
        Text(f"{count:,} failed: {problem}", style="red", no_wrap=True, overflow="ellipsis")
        for problem, count in state.problems.items()
    ]
    if not state.users:
        lines.append(Text("Nobody has a queue yet."))
    return Group(Text(f"{state.day}, as of {state.at:%H:%M:%S}Z", style="bold"), table, *lines)


def _share(done: int, whole: int, width: int = 20) -> str:
    filled = width * done // whole if whole else 0
    return f"[green]{'━' * filled}[/][dim]{'━' * (width - filled)}[/] {done:,}/{whole:,}"


def _clock(moment: datetime | None) -> str:
    return f"{moment.astimezone():%H:%M:%S}" if moment else ""


@queue.command()
def export(
    workspace: WorkspaceArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output unless given.")] = None,
    since: SinceOption = None,
    until: UntilOption = None,
    user: UserOption = None,
) -> None:
    """Export the queue with its leads as CSV, however long it is. A formula in a cell gets an apostrophe in front.

    Example: `qero queue export acme --since 2026-01-01 -o january.csv`
    """
    first, last = _day(since), _day(until)

    async def exporting(client: Client, to: TextIO) -> None:
        workspace_id = await Workspaces(client).resolve(workspace)
        with _bar() as progress:
            task = progress.add_task("Rows", total=None)
            async for page in export_all(LeadQueue(client), workspace_id, since=first, until=last, user_id=user):
                to.write(page.csv)
                progress.update(task, advance=page.rows)

    if output is None:
        ask_as_either(lambda client: exporting(client, sys.stdout))
    else:
        with output.open("w", encoding="utf-8", newline="") as file:
            ask_as_either(lambda client: exporting(client, file))


@queue.command()
def take(lead_id: LeadArgument, reason: ReasonOption = None, as_json: JsonOption = False) -> None:
    """Take a lead from automation: what is queued is cancelled, what a worker has in hand is reported.

    Example: `qero queue take 6f1c3f0e-… --reason "They called."`
    """
    takeover = ask_as_either(lambda client: Leads(client).take(lead_id, reason))
    if as_json:
        print_json(takeover.model_dump(mode="json"))
        return
    print_lines(f"It is yours; {takeover.cancelled} queued messages won't leave.")
    for message in takeover.handed_over:
        print_lines(f"Already handed over, it may still arrive: {message.outbox_id}")


@queue.command()
def release(lead_id: LeadArgument, reason: ReasonOption = None, as_json: JsonOption = False) -> None:
    """Give a lead back to automation, which begins anew with it."""
    lead = ask_as_either(lambda client: Leads(client).release(lead_id, reason))
    print_json(lead.model_dump(mode="json")) if as_json else print_lines(f"Given back; it is {lead.status}.")


@queue.command()
def metrics(
    workspace: WorkspaceArgument,
    since: SinceOption = None,
    until: UntilOption = None,
    user: UserOption = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many lines at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show what became of each user's queue of each day.

    Example: `qero queue metrics acme --since 2026-01-01`
    """
    first, last = _day(since), _day(until)

    async def reading(client: Client) -> tuple[Any, dict[UUID, str]]:
        workspace_id = await Workspaces(client).resolve(workspace)
        service = LeadQueue(client)
        names = {line.user_id: line.name for line in (await service.status(workspace_id)).users}
        found = await service.metrics(workspace_id, since=first, until=last, user_id=user, limit=limit)
        return found, names

    found, names = ask_as_either(reading)
    if as_json:
        print_json([line.model_dump(mode="json") for line in found])
        return
    if not found:
        print_lines("Nothing was prepared.")
        return
    columns = ("prepared", "sent", "failed", "cancelled", "replied", "taken")
    table = Table("day", "who", *columns, "first sent", "last sent", box=None)
    for line in found:
        table.add_row(
            str(line.day), escape(names.get(line.user_id, str(line.user_id))),
            *(f"{getattr(line, column):,}" for column in columns),
            _clock(line.first_sent_at), _clock(line.last_sent_at),
        )  # fmt: skip
    out.print(table)


@queue.command()
def audit(as_json: JsonOption = False) -> None:
    """List every constraint the queue's tables lack, every row that refers to nothing, and what migrations set aside.

    Needs SUPABASE_URL and both keys. Ends with 1 when something has to be mended.
    """

    async def auditing() -> Any:
        async with Clients(Settings.load()) as clients:
            return await LeadQueue(clients.service()).audit()

    findings = asyncio.run(auditing())
    if as_json:
        print_json([finding.model_dump(mode="json") for finding in findings])
    elif not findings:
        print_lines("Every constraint is there, and every row refers to something.")
    else:
        table = Table("what", "table", "name", "rows", "remedy", box=None)
        for finding in findings:
            rows = "" if finding.rows is None else f"{finding.rows:,}"
            table.add_row(finding.kind, finding.table_name, finding.name, rows, escape(finding.remedy))
        out.print(table)
    if any(finding.kind != "set aside" for finding in findings):
        raise typer.Exit(1)
