"""`qero events`: what Meta has sent, what became of it, and applying it again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, get_args
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from qero.cli import JsonOption, app, err, out, print_json, print_lines
from qero.cli.moments import past_moment
from qero.clients.factory import Clients, ServiceClient
from qero.errors import QeroError
from qero.models.events import (
    Event,
    EventStats,
    EventStatus,
    EventWithRaw,
    Orphan,
    OrphanWithEvent,
    Replayed,
    ReplayedOrphans,
)
from qero.models.webhook import EventKind, WebhookEvent, parse_body
from qero.services.events import Events
from qero.services.workspaces import Workspaces
from qero.settings import Settings

events = typer.Typer(
    help="What Meta has sent, what became of it, and applying it again. Only `show` prints what people wrote.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(events, name="events")

_STATUSES: tuple[str, ...] = get_args(EventStatus)
_KINDS: tuple[str, ...] = get_args(EventKind)


def _one_of(allowed: tuple[str, ...]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in allowed:
            raise typer.BadParameter(f"{text!r} is none of {', '.join(allowed)}")
        return text

    return check


WorkspaceOption = Annotated[
    str | None, typer.Option("--workspace", "-w", help="The workspace's slug or uuid; all unless given.")
]
StatusOption = Annotated[
    str | None,
    typer.Option(
        "--status",
        parser=_one_of(_STATUSES),
        metavar="STATUS",
        help="applied: took effect; kept: has no effect here; set_aside: could not be used.",
    ),
]
KindOption = Annotated[
    list[str] | None,
    typer.Option(
        "--kind",
        parser=_one_of(_KINDS),
        metavar="KIND",
        help=f"{', '.join(_KINDS)}. Give it again for further ones.",
    ),
]
NumberOption = Annotated[
    str | None,
    typer.Option("--number", help="Meta's id of the phone number; of orphans also `waba:` and the account's id."),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        help="30m, 24h, 7d, or a date; the last 24 hours unless given, of any age for `set_aside` and orphans.",
    ),
]
OrphansOption = Annotated[bool, typer.Option("--orphans", help="What waits for its number to be connected instead.")]


@events.command("list")
def list_events(
    workspace: WorkspaceOption = None,
    status: StatusOption = None,
    kind: KindOption = None,
    number: NumberOption = None,
    since: SinceOption = None,
    orphans: OrphansOption = False,
    before: Annotated[int | None, typer.Option(help="Go on after the last id of the page before.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List events, the newest first, without what they say. Needs SUPABASE_URL and both keys.

    `qero events list --workspace acme --status set_aside`

    `qero events list --kind template --kind account --since 7d --json`

    `qero events list --orphans`
    """
    if orphans and (workspace or status):
        raise typer.BadParameter("orphans belong to no workspace and have no status")
    kinds: Any = kind or ()
    moment = past_moment(since)
    found: Sequence[Event | Orphan] = (
        asyncio.run(_orphans(kinds, number, moment, before, limit))
        if orphans
        else asyncio.run(_list(workspace, status, kinds, number, moment, before, limit))
    )
    if as_json:
        print_json([event.model_dump(mode="json") for event in found])
    elif not found:
        print_lines("No events.")
    else:
        out.print(_table(found))
        if len(found) == limit:
            err.print(f"Further ones: --before {found[-1].id}", highlight=False)


@events.command()
def show(
    event_id: Annotated[int, typer.Argument(help="The number that `list` shows.")],
    orphan: Annotated[bool, typer.Option("--orphan", help="It is the number of an orphan.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one event whole: what became of it, why, and the item as Meta sent it, with names, numbers and texts.

    `qero events show 1207`
    """
    event = asyncio.run(_show(event_id, orphan=orphan))
    if as_json:
        print_json(event.model_dump(mode="json"))
        return
    raw = event.raw if isinstance(event, EventWithRaw) else event.event.get("raw")
    fields = event.model_dump(mode="json", exclude={"raw", "event"})
    width = max(map(len, fields))
    print_lines(*(f"{name:<{width}}  {'' if value is None else value}" for name, value in fields.items()), "raw:")
    print_json(raw)


@events.command()
def replay(
    event_ids: Annotated[list[int] | None, typer.Argument(help="The numbers that `list` shows.", metavar="ID")] = None,
    workspace: WorkspaceOption = None,
    status: Annotated[
        str | None,
        typer.Option(
            "--status",
            parser=_one_of(("set_aside", "kept")),
            metavar="STATUS",
            help="All that are set_aside, or kept.",
        ),
    ] = None,
    kind: KindOption = None,
    number: NumberOption = None,
    since: SinceOption = None,
    orphans: Annotated[
        bool, typer.Option("--orphans", help="What waits though its number is connected by now, or one --number's.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read events again as this version of qero reads them, and apply them; says of each what happened.

    What an event says takes effect once, however often it is replayed. Ends with 1 when some stay set aside.

    `qero events replay 1207 1208`

    `qero events replay --workspace acme --status set_aside`

    `qero events replay --status kept --kind other --since 7d`

    `qero events replay --orphans`
    """
    filters = any((workspace, kind, since))
    if orphans and (event_ids or status or filters):
        raise typer.BadParameter("--orphans goes with --number only")
    if not orphans and bool(event_ids) == bool(status):
        raise typer.BadParameter("name events by their ids, or give --status or --orphans")
    if event_ids and (filters or number):
        raise typer.BadParameter("events that are named by their ids are chosen already")
    if orphans:
        _end_with_orphans(asyncio.run(_replay_orphans(number)), as_json=as_json)
    else:
        kinds: Any = kind or ()
        _end_with_events(
            asyncio.run(_replay(event_ids, workspace, status, kinds, number, past_moment(since))), as_json=as_json
        )


@events.command()
def stats(workspace: WorkspaceOption = None, since: SinceOption = None, as_json: JsonOption = False) -> None:
    """Count events by day, kind and status, those set aside, and orphans by number.

    `qero events stats --since 7d`
    """
    found = asyncio.run(_stats(workspace, past_moment(since)))
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    print_lines(f"Since {_when(found.since)}:")
    if found.counts:
        table = Table("day", "kind", "status", "events", box=None)
        for count in found.counts:
            table.add_row(str(count.day), count.kind, count.status, f"{count.events:,}")
        out.print(table)
    else:
        print_lines("no events.")
    print_lines("", f"Set aside, of any age: {found.set_aside:,}")
    if workspace is None:
        print_lines(f"Orphans, of any age: {sum(orphan.events for orphan in found.orphans):,}")
    if found.orphans:
        table = Table("number", "events", "received", "waiting since", "", box=None)
        for orphan in found.orphans:
            table.add_row(
                orphan.phone_number_id, f"{orphan.events:,}", f"{orphan.hits:,} times", _when(orphan.oldest_at),
                "connected: `qero events replay --orphans`" if orphan.is_connected else "",
            )  # fmt: skip
        out.print(table)


@events.command()
def parse(
    files: Annotated[
        list[Path], typer.Argument(help="Webhook bodies as Meta sends them, or folders of `.json` files.", exists=True)
    ],
    as_json: JsonOption = False,
) -> None:
    """Say how qero reads webhook bodies: each item's kind, ids and reason, without what it says. Needs no database.

    `qero events parse body.json`

    `qero events parse captured/ --json`
    """
    read: list[tuple[Path, list[WebhookEvent]]] = []
    unread: list[tuple[Path, QeroError]] = []
    for file in _files(files):
        try:
            read.append((file, parse_body(file.read_bytes())))
        except QeroError as error:
            unread.append((file, error))
    counts = Counter(event.kind for _, items in read for event in items)
    if as_json:
        print_json(
            {
                "items": [{"file": str(file), **_parsed(event)} for file, items in read for event in items],
                "counts": dict(sorted(counts.items())),
                "unreadable": [{"file": str(file), **problem.to_dict()} for file, problem in unread],
            }
        )
    else:
        for file, items in read:
            print_lines(str(file))
            for event in items:
                parsed = _parsed(event)
                rest = "  ".join(f"{name}={value}" for name, value in parsed.items() if name != "kind")
                print_lines(f"  {parsed['kind']:<12}  {rest}")
        print_lines("", *(f"{count:>6}  {name}" for name, count in sorted(counts.items())))
        for file, problem in unread:
            err.print(f"{file}: {problem}", highlight=False, markup=False, soft_wrap=True)
    if unread:
        raise typer.Exit(1)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        yield from sorted(path.rglob("*.json")) if path.is_dir() else [path]


def _parsed(event: WebhookEvent) -> dict[str, Any]:
    """What an item is, without anything that a person wrote."""
    return event.model_dump(
        mode="json",
        exclude_none=True,
        include={
            "kind", "type", "direction", "status", "occurred_at", "phone_number_id", "waba_id", "wa_message_id",
            "target_id", "group_id", "error_code", "outbox_id", "is_placeholder", "event_key", "reason",
        },
    )  # fmt: skip


def _when(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _table(found: Sequence[Event | Orphan]) -> Table:
    table: Table | None = None
    for event in found:
        if isinstance(event, Event):
            table = table or Table("id", "received", "kind", "status", "tries", "number", "workspace", "why", box=None)
            table.add_row(
                str(event.id), _when(event.received_at), event.kind, event.status, str(event.attempts),
                event.phone_number_id or "", str(event.workspace_id), escape(event.error or ""),
            )  # fmt: skip
        else:
            table = table or Table("id", "received", "kind", "times", "number", box=None)
            table.add_row(
                str(event.id), _when(event.received_at), event.kind, str(event.hits), escape(event.phone_number_id)
            )
    return table or Table()


def _end_with_events(answers: list[Replayed], *, as_json: bool) -> None:
    counts = Counter[str](answer.outcome for answer in answers)
    if as_json:
        print_json([answer.model_dump(mode="json") for answer in answers])
    else:
        for answer in answers:
            print_lines(f"{answer.event_id}  {answer.outcome}" + (f": {answer.reason}" if answer.reason else ""))
        said = [f"{counts[name]} {name.replace('_', ' ')}" for name in _STATUSES]
        print_lines(", ".join(said) if answers else "Nothing to replay.")
    if counts["set_aside"]:
        raise typer.Exit(1)


def _end_with_orphans(answers: list[ReplayedOrphans], *, as_json: bool) -> None:
    if as_json:
        print_json([answer.model_dump(mode="json") for answer in answers])
    elif not answers:
        print_lines("Nothing to replay: no orphan's number is connected.")
    else:
        for answer in answers:
            print_lines(
                f"{answer.phone_number_id}  {answer.recorded} recorded, {answer.deduped} deduped, "
                f"{answer.set_aside} set aside"
            )
    if any(answer.set_aside for answer in answers):
        raise typer.Exit(1)


@asynccontextmanager
async def _service() -> AsyncIterator[ServiceClient]:
    async with Clients(Settings.load()) as clients:
        yield clients.service()


async def _workspace_id(service: ServiceClient, workspace: str | None) -> UUID | None:
    return None if workspace is None else await Workspaces(service).resolve(workspace)


async def _list(
    workspace: str | None, status: Any, kinds: Any, number: str | None, since: datetime | None, before: int | None,
    limit: int,
) -> list[Event]:  # fmt: skip
    async with _service() as service:
        return await Events(service).list(
            await _workspace_id(service, workspace),
            status=status, kinds=kinds, phone_number_id=number, since=since, before=before, limit=limit,
        )  # fmt: skip


async def _orphans(
    kinds: Any, number: str | None, since: datetime | None, before: int | None, limit: int
) -> list[Orphan]:
    async with _service() as service:
        return await Events(service).orphans(
            kinds=kinds, phone_number_id=number, since=since, before=before, limit=limit
        )


async def _show(event_id: int, *, orphan: bool) -> EventWithRaw | OrphanWithEvent:
    async with _service() as service:
        found = Events(service)
        return await found.get_orphan(event_id) if orphan else await found.get(event_id)


async def _replay(
    event_ids: list[int] | None, workspace: str | None, status: Any, kinds: Any, number: str | None,
    since: datetime | None,
) -> list[Replayed]:  # fmt: skip
    async with _service() as service:
        recorded = Events(service)
        ids = event_ids or await recorded.ids(
            await _workspace_id(service, workspace), status=status, kinds=kinds, phone_number_id=number, since=since
        )
        columns = (TextColumn("Replaying"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=err, transient=True) as bar:
            task = bar.add_task("", total=len(ids))
            return await recorded.replay(ids, progress=lambda done: bar.update(task, completed=done))


async def _replay_orphans(number: str | None) -> list[ReplayedOrphans]:
    async with _service() as service:
        return await Events(service).replay_orphans(number)


async def _stats(workspace: str | None, since: datetime | None) -> EventStats:
    async with _service() as service:
        return await Events(service).stats(await _workspace_id(service, workspace), since=since)
