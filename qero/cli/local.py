"""`qero local`: the Docker-free Supabase stack."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer
from rich.table import Table
from supabase import AuthApiError

from qero.cli import JsonOption, app, err, out, print_json, print_lines
from qero.clients.factory import Clients
from qero.errors import InvalidInput, NotAuthenticated, QeroError
from qero.ops.push import migrations_folder, migrations_workdir
from qero.settings import Settings

if TYPE_CHECKING:
    from qero.local.stack import Stack

local = typer.Typer(
    help="Run the whole Supabase surface that qero uses on this machine, without Docker.",
    no_args_is_help=True,
)
app.add_typer(local, name="local")

Name = Annotated[str, typer.Option("--name", "-n", help="Which stack of this project.")]

PASSWORD = "a local password"  # noqa: S105  (no secret: the stack answers on this machine only)

DefaultGrants = Annotated[
    bool,
    typer.Option(
        "--default-grants", help="Make the database grant new tables to the API roles, as older hosted projects do."
    ),
]

STEPS = {
    "tools": "Finding the tools",
    "postgres": "Starting Postgres",
    "migrations": "Pushing migrations with the Supabase CLI",
    "api": "Starting the API, auth and realtime",
}


@local.command()
def up(
    name: Name = "default",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="The stack's port; 0 keeps the last one or takes a free one.")
    ] = 0,
    migrate: Annotated[bool, typer.Option(help="Push the migrations that the database lacks.")] = True,
    default_grants: DefaultGrants = False,
    as_json: JsonOption = False,
) -> None:
    """Start the stack, or push new migrations to the running one.

    Example: `qero local up && eval "$(qero local env --export)"`
    """
    started = time.monotonic()
    with _progress(quiet=as_json) as say:
        stack = _stack(name)
        source = str(migrations_folder(migrations_workdir(stack.project))) if migrate else None
        address = stack.up(port=port, migrate=migrate, default_grants=default_grants, say=say)
    if as_json:
        seconds = round(time.monotonic() - started, 2)
        print_json({"url": address.url, "seconds": seconds, "migrations_from": source})
        return
    out.print(f"[green]Ready[/] in {time.monotonic() - started:.1f} s at {address.url}", highlight=False)
    if source is not None:
        print_lines(f"Migrations from {source}")
    out.print("[dim]Keys and addresses: qero local env · Database: qero local psql · Stop: qero local down[/]")


@local.command()
def down(
    name: Name = "default",
    remove: Annotated[bool, typer.Option("--remove", help="Also delete its data, keys and logs.")] = False,
) -> None:
    """Stop the stack, keeping its data."""
    stack = _stack(name)
    was_running = stack.down()
    if remove:
        stack.remove()
    out.print(("Stopped" if was_running else "It wasn't running") + (", and removed." if remove else "."))


@local.command()
def reset(name: Name = "default", default_grants: DefaultGrants = False, as_json: JsonOption = False) -> None:
    """Delete the stack's data and start afresh, with the same keys and address."""
    with _progress(quiet=as_json) as say:
        address = _stack(name).reset(default_grants=default_grants, say=say)
    if as_json:
        print_json({"url": address.url})
    else:
        out.print(f"[green]Fresh[/] at {address.url}", highlight=False)


@local.command()
def status(name: Name = "default", as_json: JsonOption = False) -> None:
    """Show whether the stack runs, and where. Exits with 1 when it doesn't."""
    stack = _stack(name)
    state = stack.running_state()
    if as_json:
        print_json({"running": state is not None, **(state.model_dump() if state else {})})
    elif state is None:
        out.print(f"Not running ({stack.home.path}). Start it with `qero local up`.")
    else:
        table = Table(show_header=False, box=None)
        table.add_row("phase", state.phase)
        table.add_row("url", state.url)
        table.add_row("database port", str(state.database_port))
        for program, pid in state.pids.items():
            table.add_row(program, f"process {pid}")
        table.add_row("folder", str(stack.home.path))
        out.print(table)
    raise typer.Exit(0 if state else 1)


@local.command()
def env(
    name: Name = "default",
    export: Annotated[bool, typer.Option("--export", help="Write lines for a shell to evaluate.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Print the stack's address and keys, for .env.local or a shell.

    Example: `qero local env > .env.local`
    """
    environment = _stack(name).address().environment()
    if as_json:
        print_json(environment)
        return
    for variable, value in environment.items():
        sys.stdout.write(f"{'export ' if export else ''}{variable}='{value}'\n")


@local.command()
def token(
    email: Annotated[str, typer.Argument(help="Whose; there is a user of this address afterwards.")],
    password: Annotated[str, typer.Option(help="The user's password, for one that wasn't made by this.")] = PASSWORD,
    export: Annotated[bool, typer.Option("--export", help="Write a line for a shell to evaluate.")] = False,
    name: Name = "default",
    as_json: JsonOption = False,
) -> None:
    """Print a user's access token, good for an hour, and make the user if there is none: who commands then act as.

    Example: `eval "$(qero local token olga@example.com --export)" && qero whoami`
    """
    access_token = asyncio.run(_sign_in(_stack(name).address().settings(), email, password))
    if as_json:
        print_json({"access_token": access_token})
    else:
        print_lines(f"export QERO_ACCESS_TOKEN='{access_token}'" if export else access_token)


async def _sign_in(settings: Settings, email: str, password: str) -> str:
    async with Clients(settings) as clients:
        try:
            await clients.service().auth.admin.create_user(
                {"email": email, "password": password, "email_confirm": True}
            )
        except AuthApiError as error:
            if error.code != "email_exists":
                raise InvalidInput("invalid_value", error.message, detail={"field": "EMAIL", "value": email}) from error
        # Not by the service's client, which would be the user's from then on.
        answer = await clients.http.post(
            f"{settings.require('supabase_url')}/auth/v1/token?grant_type=password",
            headers={"apikey": settings.require("publishable_key")},
            json={"email": email, "password": password},
        )
    if answer.status_code == 400:
        raise NotAuthenticated("not_authenticated", f"{email} has another password.", hint="Say it with --password.")
    access_token: str = answer.raise_for_status().json()["access_token"]
    return access_token


@local.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(
    context: typer.Context,
    name: Name = "default",
    admin: Annotated[bool, typer.Option(help="As the superuser instead of `postgres`.")] = False,
) -> None:
    """Open psql on the stack's database; further arguments go to psql.

    Example: `qero local psql -c 'select * from workspaces'`
    """
    parts = urlsplit(_stack(name).address().db_url)
    from qero.local.toolchain import ensure_tools

    program = ensure_tools().client_bin / "psql"
    environment = {
        **os.environ,
        "PGPASSWORD": parts.password or "",
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": "supabase_admin" if admin else "postgres",
        "PGDATABASE": "postgres",
        "PGSSLMODE": "disable",
    }
    sys.stdout.flush()
    os.execve(program, [str(program), *context.args], environment)  # noqa: S606


@local.command()
def logs(
    program: Annotated[
        str | None, typer.Argument(help="postgres, postgrest, auth or supervisor; all when left out.")
    ] = None,
    name: Name = "default",
    lines: Annotated[int, typer.Option("--lines", "-l", help="How many lines of each.")] = 50,
) -> None:
    """Show the ends of the stack's logs."""
    folder = _stack(name).home.logs
    files = sorted(folder.glob(f"{program or '*'}.log"))
    if not files:
        known = ", ".join(sorted(file.stem for file in folder.glob("*.log"))) or "none yet"
        raise QeroError("not_found", f"There is no log of {program or 'this stack'}.", hint=f"Logs: {known}.")
    for file in files:
        err.print(f"[bold]{file.stem}[/] [dim]{file}[/]", highlight=False)
        sys.stdout.write("\n".join(file.read_text(errors="replace").splitlines()[-lines:]) + "\n")


def _stack(name: str) -> Stack:
    # Imported here: an installation without the extra has every other command.
    try:
        from qero.local.stack import Stack, project_folder
    except ModuleNotFoundError as error:
        raise QeroError(
            "tool_missing", f"The local stack needs {error.name}.", hint="Run `pip install 'qero[local]'`."
        ) from error
    return Stack(project_folder(), name)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    if quiet:
        yield lambda _: None
        return
    with err.status("Starting") as spinner:

        def say(step: str) -> None:
            spinner.update(STEPS.get(step, step))

        yield say
