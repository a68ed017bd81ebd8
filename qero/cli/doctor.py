"""`qero doctor`: what is wrong, and how to mend it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, app, err, out, print_json
from qero.cli.tools import supabase_cli
from qero.errors import QeroError
from qero.ops.doctor import examine
from qero.settings import Settings

_MARKS = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}


@app.command()
def doctor(
    as_json: JsonOption = False,
) -> None:
    """Check settings, reachability, versions, migrations, the realtime publication and the advisor.

    Exits with 1 when there is a problem.
    """
    with err.status("Looking …"):
        findings = examine(Settings.load(), Path.cwd(), _supabase_cli())
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        table = Table("check", "", "found", "what to do", box=None)
        for finding in findings:
            table.add_row(finding.check, _MARKS[finding.state], escape(finding.message), escape(finding.remedy or ""))
        out.print(table)
    raise typer.Exit(1 if any(finding.state == "problem" for finding in findings) else 0)


def _supabase_cli() -> Path | None:
    try:
        return supabase_cli()
    except QeroError:
        return None
