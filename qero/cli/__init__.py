"""The `qero` command.

Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 a setting is missing or wrong · 4 something needed doesn't
answer (repeat later) · 130 interrupted. Of `qero db`: 5 migrations need a change first · 6 no backup could be made ·
7 a migration failed or a program took too long · 8 the database isn't as the migrations make it · 9 another run is
going on · 10 a tool is missing.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from contextlib import redirect_stdout
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn, TextIO

import typer
import typer.core
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from qero import __version__
from qero.errors import InvalidInput, QeroError, SettingsError, Unavailable
from qero.logs import configure_logs

EXIT_CODES = (
    "Exit codes: 0 done · 1 refused or failed · 2 wrong usage · 3 a setting is missing or wrong · "
    "4 something needed doesn't answer (repeat later) · 130 interrupted. Of qero db: 5 migrations need a change "
    "first · 6 no backup could be made · 7 a migration failed or a program took too long · 8 the database isn't as the "
    "migrations make it · 9 another run is going on · 10 a tool is missing"
)
_EXIT_CODES = {
    5: ("migration_refused", "migration_edited", "migration_file_missing", "migration_name_invalid",
        "migration_version_taken"),
    6: ("backup_failed", "backup_no_space", "backup_unreadable", "backup_needed"),
    7: ("migration_failed", "tool_timed_out"),
    8: ("schema_differs",),
    9: ("run_in_progress",),
    10: ("tool_missing",),
}  # fmt: skip


class Interrupted(Exception):
    """Ctrl-C, under a name that typer passes on instead of ending by itself."""


class Commands(typer.core.TyperGroup):
    """Commands that Ctrl-C ends in one way."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as interrupt:
            raise Interrupted from interrupt


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

app = typer.Typer(
    name="qero",
    cls=Commands,
    epilog=EXIT_CODES,
    help="Supabase-native services for WhatsApp-first CRM teams.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


class _Terminal(Console):
    """A console that shows what customers wrote, and doesn't do what control characters in it say.

    What other commands take, ids above all, is never cut off: tables break it in a narrow terminal, and are as wide as
    they need to be in files and pipes.
    """

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(text.translate(_HARMLESS), **options)

    def print(self, *objects: Any, **options: Any) -> None:
        for table in objects:
            if isinstance(table, Table):
                for column in table.columns:
                    column.overflow = "fold"
                    # Broken last, so that it can be copied.
                    column.no_wrap = column.header == "id"
        super().print(*objects, **options)


_HARMLESS = dict.fromkeys({*range(32), *range(127, 160)} - {*b"\t\n"}, "\N{REPLACEMENT CHARACTER}")
_AS_WIDE_AS_NEEDED = 100_000


def _console(stream: TextIO | None, *, stderr: bool = False) -> _Terminal:
    measured = "COLUMNS" in os.environ or (stream is not None and stream.isatty())
    return _Terminal(stderr=stderr, width=None if measured else _AS_WIDE_AS_NEEDED)


out = _console(sys.stdout)
err = _console(sys.stderr, stderr=True)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"qero {__version__}")  # noqa: T201
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_say_version, is_eager=True, help="Print the version and end."
    ),
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log every operation with its duration."),
) -> None:
    configure_logs(verbose=verbose)


def main() -> None:
    """Run the command; a typed error becomes its message, its remedy and an exit code."""
    _write_every_character()
    try:
        from qero.cli import (  # noqa: F401  (each adds its commands)
            chat,
            connections,
            contacts,
            db,
            doctor,
            events,
            followups,
            inbox,
            local,
            ops,
            outbox,
            push,
            queue,
            secrets,
            serve,
            templates,
            whoami,
            worker,
            workspaces,
        )

        app()
    except QeroError as error:
        _end_with(error)
    except OSError as error:
        _end_with(_file_error(error))
    except (Interrupted, KeyboardInterrupt):
        print("Interrupted.", file=sys.stderr)  # noqa: T201
        sys.exit(130)


def _write_every_character() -> None:
    """What customers are called is no reason to fail: files and pipes get UTF-8, as `--output` does."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(encoding=None if stream.isatty() else "utf-8", errors="backslashreplace")


def _end_with(error: QeroError) -> NoReturn:
    if "--json" in sys.argv:
        entry = _playbook_entry(error)
        problem = {**error.to_dict(), "playbook": entry} if entry else error.to_dict()
        print(json.dumps({"error": problem}), file=sys.stderr)  # noqa: T201
    else:
        _explain(error)
    sys.exit(exit_code(error))


def _playbook_entry(error: QeroError) -> str | None:
    """Where the playbook says more, for what goes wrong with `qero db`."""
    from qero.ops import PLAYBOOK

    return f"docs/operations.md#{error.code}" if "db" in sys.argv[1:3] and error.code in PLAYBOOK else None


def _file_error(error: OSError) -> QeroError:
    reason = error.strerror or str(error)
    if error.filename is None:
        return QeroError("internal_error", f"The system refused something: {reason}.", detail={"reason": repr(error)})
    path = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else str(error.filename)
    return QeroError("file_unusable", f"{path} can't be used: {reason}.", detail={"path": path, "reason": reason})


def exit_code(error: QeroError) -> int:
    """The exit code that says what kind of error it was."""
    if isinstance(error, SettingsError):
        return 3
    if isinstance(error, Unavailable):
        return 4
    return next((exit_code for exit_code, codes in _EXIT_CODES.items() if error.code in codes), 1)


def confirmed(question: str) -> bool:
    """The answer to a question about something that can't be undone, asked on standard error.

    Raises:
        InvalidInput: `invalid_value`, standard input is closed, so nobody can answer.
        Interrupted: by Ctrl-C.
    """
    # asyncio's own handler would wait for the answer before it heeds Ctrl-C.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with redirect_stdout(sys.stderr):  # `err=True` leaves a space on standard output
            return typer.confirm(question)
    except typer.Abort as end:
        err.print()
        if not isinstance(end.__context__, EOFError):
            raise Interrupted from None
        raise InvalidInput(
            "invalid_value", "Nobody is there to be asked; nothing was done.", detail={"field": "--yes"},
            hint="--yes goes on without asking.",
        ) from None  # fmt: skip
    finally:
        signal.signal(signal.SIGINT, handler)


def confirm(question: str) -> None:
    """Go on only if the answer is yes; otherwise the command ends with 1. Raises as `confirmed` does."""
    if not confirmed(question):
        raise typer.Abort


def print_json(value: object) -> None:
    """One JSON document on standard output, for programs."""
    print(json.dumps(value, indent=2, default=str))  # noqa: T201


def print_lines(*lines: str) -> None:
    """Plain text on standard output that no terminal's width breaks: paths and names stay whole."""
    if lines:
        out.print(*lines, sep="\n", highlight=False, markup=False, soft_wrap=True)


def _explain(error: QeroError) -> None:
    err.print(f"[bold red]Error[/]: {escape(error.message)} [dim]({error.code})[/]", highlight=False, soft_wrap=True)
    for name, value in error.detail.items():
        text = str(value).rstrip()
        err.print(
            f"  {name}: {text}" if "\n" not in text else f"  {name}:\n{text}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
    if error.hint:
        err.print(error.hint, highlight=False, markup=False, soft_wrap=True)
    if entry := _playbook_entry(error):
        err.print(f"More: {entry}", highlight=False, markup=False, soft_wrap=True)
