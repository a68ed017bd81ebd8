"""`qero db`: migrations."""

from __future__ import annotations

from pathlib import Path

import typer

from qero.cli import JsonOption, app, err, print_json, print_lines
from qero.cli.tools import supabase_cli
from qero.ops.push import copy_migrations, migrations_folder, migrations_workdir, push_migrations
from qero.settings import Settings

db = typer.Typer(help="Run migrations.", no_args_is_help=True)
app.add_typer(db, name="db")


@db.command()
def push(as_json: JsonOption = False) -> None:
    """Push the migrations that the database at SUPABASE_DB_URL lacks: the project's own, else the ones qero ships.

    Each migration is one transaction: a failing one leaves nothing of itself behind.
    """
    db_url = Settings.load().require("db_url")
    workdir = migrations_workdir(Path.cwd())
    source = str(migrations_folder(workdir))
    program = supabase_cli()
    with err.status("Pushing …"):
        applied = push_migrations(program, db_url=db_url, workdir=workdir)
    if as_json:
        print_json({"applied": applied, "migrations_from": source})
        return
    if applied:
        print_lines("Applied:", *(f"  {name}" for name in applied))
    else:
        print_lines("Nothing to do: the database has every migration.")
    print_lines(f"Migrations from {source}")


@db.command("copy")
def copy_shipped(as_json: JsonOption = False) -> None:
    """Copy the migrations that qero ships into this folder's supabase/migrations, beside the project's own.

    A project that has migrations of its own gets only those pushed, so qero's have to be among them. A different file
    is never overwritten: then nothing is copied.
    """
    folder = migrations_folder(Path.cwd())
    copied = copy_migrations(Path.cwd())
    if as_json:
        print_json({"copied": copied, "folder": str(folder)})
    elif copied:
        print_lines(f"Copied to {folder}:", *(f"  {name}" for name in copied))
    else:
        print_lines(f"Nothing to do: {folder} has every migration that qero ships.")
