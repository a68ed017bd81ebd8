"""`qero contacts`: the contacts of a workspace as its members see them, in and out of files."""

from __future__ import annotations

import csv
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TextIO
from uuid import UUID

import typer
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from qero.cli import JsonOption, app, confirm, confirmed, err, out, print_json, print_lines
from qero.cli.session import ask
from qero.clients.batches import every_page
from qero.clients.factory import UserClient
from qero.errors import InvalidInput
from qero.models.contact import ContactFilter, LeadStatus, MyContact, PeopleSort
from qero.models.imports import ImportRow, RowOutcome
from qero.models.table_file import PeopleFile, csv_line
from qero.services.candidates import Candidates
from qero.services.contacts import Contacts
from qero.services.imports import import_all
from qero.services.workspaces import Workspaces

contacts = typer.Typer(
    help="The contacts of a workspace, as the user sees them whose access token is in QERO_ACCESS_TOKEN.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(contacts, name="contacts")

INVALID_SHOWN = 5

WorkspaceArgument = Annotated[str, typer.Argument(help="The workspace's slug or uuid.")]
ContactArgument = Annotated[UUID, typer.Argument(help="The contact's id.")]


class MyStatus(StrEnum):
    HOT = "hot"
    WORKING = "working"
    FOLLOW_UP = "follow_up"
    NONE = "none"


class Due(StrEnum):
    OVERDUE = "overdue"
    TODAY = "today"
    DUE = "due"
    UPCOMING = "upcoming"
    ANY = "any"


class Sort(StrEnum):
    CREATED_AT = "created_at"
    NAME = "name"


class Kind(StrEnum):
    CONTACTS = "contacts"
    CANDIDATES = "candidates"


Search = Annotated[str | None, typer.Option("--search", "-s", help="Words in name, e-mail or phone.")]
LeadStatuses = Annotated[list[str] | None, typer.Option("--lead-status", help="Any of these; repeat it.")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="All of these; repeat it.")]
AssignedTo = Annotated[UUID | None, typer.Option("--assigned-to", help="The id of the member in charge.")]
Mine = Annotated[MyStatus | None, typer.Option("--my-status", help="Your own status.")]
FollowUp = Annotated[Due | None, typer.Option("--follow-up", help="Your own follow-up is due then.")]
Sorting = Annotated[Sort, typer.Option("--sort", help="The newest first, or by name.")]


@contacts.command("list")
def list_contacts(
    workspace: WorkspaceArgument,
    search: Search = None,
    lead_status: LeadStatuses = None,
    tag: Tags = None,
    assigned_to: AssignedTo = None,
    my_status: Mine = None,
    follow_up: FollowUp = None,
    sort: Sorting = Sort.CREATED_AT,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many at most.")] = 50,
    after: Annotated[str | None, typer.Option(help="The cursor that the page before ended with.")] = None,
    count: Annotated[bool, typer.Option("--count", help="Only say how many there are.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List a page of contacts with your own status and follow-ups.

    Examples: `qero contacts list acme --search "ada"` · `qero contacts list acme --my-status hot --follow-up due`
    """
    filter = _filter(search, lead_status, tag, assigned_to, my_status, follow_up)

    async def read(client: UserClient) -> Any:
        workspace_id = await Workspaces(client).resolve(workspace)
        if count:
            return await Contacts(client).count(workspace_id, filter)
        return await Contacts(client).list(workspace_id, filter, sort=_sort(sort), after=after, limit=limit)

    answer = ask(read)
    if as_json:
        print_json(answer.model_dump(mode="json"))
        return
    if count:
        print_lines(str(answer.count))
        return
    if not answer.items:
        print_lines("No contact is like that.")
        return
    table = Table("id", "name", "e-mail", "phone", "lead status", "mine", "follow-up", "tags", box=None)
    for contact in answer.items:
        table.add_row(
            str(contact.id), escape(contact.name or ""), escape(contact.email or ""), contact.phone or "",
            contact.lead_status, contact.my_status or "", _day(contact), escape(", ".join(contact.tags)),
        )  # fmt: skip
    out.print(table)
    if answer.next:
        print_lines(f"More: --after {answer.next}")


@contacts.command()
def show(
    contact_id: ContactArgument,
    limit: Annotated[int, typer.Option(min=0, max=200, help="How much of what happened.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show one contact with its conversations and what happened last."""

    async def read(client: UserClient) -> dict[str, Any]:
        service = Contacts(client)
        return {
            "contact": (await service.get(contact_id)).model_dump(mode="json"),
            "conversations": [found.model_dump(mode="json") for found in await service.conversations(contact_id)],
            "timeline": []
            if limit == 0
            else [item.model_dump(mode="json") for item in (await service.timeline(contact_id, limit=limit)).items],
        }

    found = ask(read)
    if as_json:
        print_json(found)
        return
    table = Table(show_header=False, box=None)
    for name, value in found["contact"].items():
        if value not in (None, [], ""):
            table.add_row(name.replace("_", " "), escape(", ".join(value) if isinstance(value, list) else str(value)))
    out.print(table)
    for conversation in found["conversations"]:
        print_lines(f"{conversation['channel']}: {conversation['status']}, {conversation['unread_count']} unread")
    for item in found["timeline"]:
        detail = " ".join(f"{key}={value}" for key, value in item["detail"].items() if isinstance(value, str | int))
        print_lines(f"{item['occurred_at'][:16]}  {item['kind']}  {item['body'] or detail}")


@contacts.command("import")
def import_file(
    workspace: WorkspaceArgument,
    file: Annotated[Path, typer.Argument(help="A CSV file with a header.", exists=True, dir_okay=False)],
    kind: Annotated[Kind, typer.Option("--into", help="What the rows become.")] = Kind.CONTACTS,
    map_: Annotated[
        list[str] | None, typer.Option("--map", help="COLUMN=FIELD; COLUMN= ignores a column. Repeat it.")
    ] = None,
    region: Annotated[
        str | None, typer.Option("--region", help="The country of numbers written without one, as DE.")
    ] = None,
    encoding: Annotated[str, typer.Option("--encoding", help="Of the file.")] = "utf-8-sig",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would become of each row.")] = False,
    update: Annotated[bool, typer.Option("--update/--no-update", help="Change those that exist, or skip them.")] = True,
    report: Annotated[
        Path | None, typer.Option("--report", help="Write each row's outcome here, as .csv or .json.", dir_okay=False)
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Import without trying and asking first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Import people from a CSV file of any size: create them, or update those with the same e-mail or phone.

    First it tries the whole file without writing anything, says what would become of the rows, and asks. Safe to
    repeat: what is there already is skipped. Ends with 1 when rows are invalid; the others are imported all the same.

    Fields: name, first_name, last_name, email, phone, lead_status, tags, status_tags (several tags with commas).

    Examples: `qero contacts import acme people.csv --region DE --report outcome.csv` ·
    `qero contacts import acme crm.csv --map "Handy=phone" --map "Notes=" --yes`
    """
    mapping = dict(_mapped(entry) for entry in map_ or [])
    if report is not None and report.suffix.lower() not in (".csv", ".json"):
        raise InvalidInput(
            "invalid_value", "The report is a .csv or .json file.", detail={"field": "--report", "value": str(report)}
        )
    confirm = not (dry_run or yes or as_json)

    async def importing(client: UserClient) -> tuple[Imported, bool]:
        workspace_id = await Workspaces(client).resolve(workspace)
        service = Contacts(client) if kind is Kind.CONTACTS else Candidates(client)

        async def go(*, dry: bool) -> Imported:
            send = partial(service.import_rows, workspace_id, dry_run=dry, update=update)
            return await _import(file, send, mapping, region, encoding, report, "Trying" if dry else "Importing")

        if not confirm:
            return await go(dry=dry_run), dry_run
        tried = await go(dry=True)
        _summarise(tried, report, dry=True)
        if tried.tally["created"] + tried.tally["updated"] == 0 or not confirmed("Import them?"):
            return tried, True
        return await go(dry=False), False

    imported, dry = ask(importing)
    if as_json:
        print_json({
            "dry_run": dry, "rows": imported.tally.total(), **_outcomes(imported.tally),
            "first_invalid": [{"row": row, "problems": problems} for row, problems in imported.invalid],
            "ignored_columns": imported.people.columns.ignored,
        })  # fmt: skip
    elif not (confirm and dry):
        _summarise(imported, report, dry=dry)
    if imported.tally["invalid"]:
        raise typer.Exit(1)


@contacts.command()
def export(
    workspace: WorkspaceArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="A file; standard output unless given.")] = None,
    search: Search = None,
    lead_status: LeadStatuses = None,
    tag: Tags = None,
    assigned_to: AssignedTo = None,
    my_status: Mine = None,
    follow_up: FollowUp = None,
    sort: Sorting = Sort.CREATED_AT,
    as_json: JsonOption = False,
) -> None:
    """Export contacts as CSV, or JSON, however many, with your own status and follow-ups.

    A cell that a spreadsheet would take for a formula gets an apostrophe in front. `qero contacts import` reads the
    file back.

    Example: `qero contacts export acme --lead-status qualified -o qualified.csv`
    """
    filter = _filter(search, lead_status, tag, assigned_to, my_status, follow_up)

    async def exporting(client: UserClient, to: TextIO) -> None:
        workspace_id = await Workspaces(client).resolve(workspace)
        read = partial(Contacts(client).list, workspace_id, filter, sort=_sort(sort), limit=200)
        written = 0
        to.write("[" if as_json else csv_line(name for name in MyContact.model_fields if name != "cursor"))
        async for page in every_page(read):
            for contact in page.items:
                row = contact.model_dump(mode="json")
                to.write(f"{',' if written else ''}\n{json.dumps(row)}" if as_json else csv_line(row.values()))
                written += 1
        to.write("\n]\n" if as_json else "")

    if output is None:
        ask(lambda client: exporting(client, sys.stdout))
    else:
        with output.open("w", encoding="utf-8", newline="") as file:
            ask(lambda client: exporting(client, file))


@contacts.command()
def duplicates(
    workspace: WorkspaceArgument,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many at most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List pairs of contacts that are likely one person. `merge` makes one of two, `dismiss` says they are two."""

    async def read(client: UserClient) -> Any:
        return await Contacts(client).duplicates(await Workspaces(client).resolve(workspace), limit=limit)

    found = ask(read)
    if as_json:
        print_json([pair.model_dump(mode="json") for pair in found])
        return
    if not found:
        print_lines("None were found.")
        return
    table = Table("contact", "name", "duplicate", "name", "why", box=None)
    for pair in found:
        table.add_row(
            str(pair.contact_id), escape(pair.name or ""), str(pair.duplicate_id), escape(pair.duplicate_name or ""),
            escape(pair.reason),
        )  # fmt: skip
    out.print(table)


@contacts.command()
def dismiss(
    contact_id: Annotated[UUID, typer.Argument(help="One of the pair.")],
    duplicate_id: Annotated[UUID, typer.Argument(help="The other.")],
    as_json: JsonOption = False,
) -> None:
    """Say that two contacts are two people: `qero contacts duplicates` lists the pair no more."""
    ask(lambda client: Contacts(client).dismiss_duplicate(contact_id, duplicate_id))
    if as_json:
        print_json({"contact_id": str(contact_id), "duplicate_id": str(duplicate_id)})
    else:
        print_lines("They stay two; the pair isn't listed any more.")


@contacts.command()
def merge(
    contact_id: Annotated[UUID, typer.Argument(help="The contact that stays.")],
    duplicate_id: Annotated[UUID, typer.Argument(help="The one whose everything moves to it.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make two contacts one: conversations, notes, calls and everybody's follow-ups move. It can't be undone."""

    async def merging(client: UserClient) -> Any:
        service = Contacts(client)
        kept, lost = await service.get(contact_id), await service.get(duplicate_id)
        if not (yes or as_json):
            names = [contact.name or contact.email or contact.phone for contact in (lost, kept)]
            confirm(f"Merge {names[0]} into {names[1]} for good?")
        return await service.merge(contact_id, duplicate_id)

    merged = ask(merging)
    if as_json:
        print_json(merged.model_dump(mode="json"))
    else:
        moved = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in merged.moved.model_dump().items())
        print_lines(f"{merged.contact.name or merged.contact.id} has everything now; moved {moved}.")


def _filter(
    search: str | None,
    lead_status: list[str] | None,
    tag: list[str] | None,
    assigned_to: UUID | None,
    my_status: MyStatus | None,
    follow_up: Due | None,
) -> ContactFilter:
    allowed: tuple[str, ...] = LeadStatus.__args__  # type: ignore[attr-defined]
    for status in lead_status or []:
        if status not in allowed:
            raise InvalidInput("lead_status_invalid", detail={"value": status, "allowed": list(allowed)})
    return ContactFilter.model_validate(
        {
            "search": search,
            "lead_statuses": lead_status or None,
            "tags": tag or None,
            "assigned_to": assigned_to,
            "my_status": my_status,
            "follow_up": follow_up,
        }
    )


def _sort(sort: Sort) -> PeopleSort:
    return "name" if sort is Sort.NAME else "created_at"


def _day(contact: MyContact) -> str:
    return contact.follow_up_at.isoformat(sep=" ", timespec="minutes") if contact.follow_up_at else ""


def _mapped(entry: str) -> tuple[str, str]:
    column, separator, field = entry.rpartition("=")
    if not separator:
        raise InvalidInput("invalid_value", "Write --map COLUMN=FIELD.", detail={"field": "--map", "value": entry})
    return column.strip(), field.strip()


@dataclass
class Imported:
    """What became of a file's rows."""

    people: PeopleFile
    tally: Counter[str] = field(default_factory=Counter)
    invalid: list[tuple[int | None, list[str]]] = field(default_factory=list)
    """The first rows that are, and why."""


async def _import(
    path: Path,
    send: Callable[[list[ImportRow]], Awaitable[list[RowOutcome]]],
    mapping: dict[str, str],
    region: str | None,
    encoding: str,
    report: Path | None,
    verb: str,
) -> Imported:
    with _opened(path, mapping, region, encoding, verb) as (people, advance), _report(report) as write:
        imported = Imported(people)
        async for batch in import_all(people, send):
            for row, outcome in batch:
                imported.tally[outcome.outcome] += 1
                if outcome.outcome == "invalid" and len(imported.invalid) < INVALID_SHOWN:
                    imported.invalid.append((row.row, outcome.problems))
                write(row, outcome)
            advance()
    return imported


@contextmanager
def _opened(
    path: Path, mapping: dict[str, str], region: str | None, encoding: str, verb: str
) -> Iterator[tuple[PeopleFile, Callable[[], None]]]:
    """The people in the file, and what moves the bar on standard error; there is none where that is no terminal."""
    columns = (TextColumn(verb), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    try:
        file = path.open(encoding=encoding, newline="")
    except LookupError:
        raise InvalidInput("invalid_value", detail={"field": "--encoding", "value": encoding}) from None
    with file, Progress(*columns, console=err, transient=True, disable=not err.is_terminal) as progress:
        task = progress.add_task(verb, total=path.stat().st_size)
        people = PeopleFile(file, mapping=mapping, region=region)
        yield people, lambda: progress.update(task, completed=os.lseek(file.fileno(), 0, os.SEEK_CUR))


@contextmanager
def _report(path: Path | None) -> Iterator[Callable[[ImportRow, RowOutcome], None]]:
    """Writes each row's outcome as it comes."""
    if path is None:
        yield lambda _, __: None
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix.lower() == ".csv":
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["row", "outcome", "id", "problems"])
            yield lambda row, outcome: writer.writerow(
                [row.row, outcome.outcome, outcome.id or "", "; ".join(outcome.problems)]
            )
            return
        separator = iter(["\n"])

        def write(row: ImportRow, outcome: RowOutcome) -> None:
            entry = {"row": row.row, **outcome.model_dump(mode="json")}
            file.write(f"{next(separator, ',' + chr(10))}{json.dumps(entry)}")

        file.write("[")
        yield write
        file.write("\n]\n")


def _outcomes(tally: Counter[str]) -> dict[str, int]:
    return {name: tally[name] for name in ("created", "updated", "skipped", "invalid")}


def _summarise(imported: Imported, report: Path | None, *, dry: bool) -> None:
    if imported.people.columns.ignored:
        print_lines(f"Ignored columns: {', '.join(imported.people.columns.ignored)}")
    counts = ", ".join(f"{count} {name}" for name, count in _outcomes(imported.tally).items())
    print_lines(f"{imported.tally.total()} rows: {counts}{' (nothing is written yet)' if dry else ''}")
    print_lines(*(f"Row {row}: {'; '.join(problems)}" for row, problems in imported.invalid))
    if imported.tally["invalid"] > len(imported.invalid):
        where = f"{report} has" if report is not None else "--report FILE writes down"
        print_lines(f"… and {imported.tally['invalid'] - len(imported.invalid)} more: {where} what is wrong with each.")
