"""`qero db`: migrations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qero.cli import app, err, out, print_json
from qero.cli.tools import supabase_cli
from qero.ops.push import migrations_workdir, push_migrations
from qero.settings import Settings

db = typer.Typer(help="Run migrations.", no_args_is_help=True)
app.add_typer(db, name="db")


@db.command()
def push(as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False) -> None:
    """Push the migrations that the database at SUPABASE_DB_URL lacks: the project's own, else the ones qero ships.

    Each migration is one transaction: a failing one leaves nothing of itself behind.
    """
    db_url = Settings.load().require("db_url")
    program = supabase_cli()
    with err.status("Pushing …"):
        applied = push_migrations(program, db_url=db_url, workdir=migrations_workdir(Path.cwd()))
    if as_json:
        print_json({"applied": applied})
    elif applied:
        out.print("Applied:", *applied, sep="\n  ", highlight=False)
    else:
        out.print("Nothing to do: the database has every migration.")
