"""5,000,000 messages and 1,000,000 contacts: every list, count, search and claim keeps its plan.

The plans are those of what runs inside the functions that the services call, asked for as who calls them, and judged
by their nodes: which index is used, that no big table is read from one end to the other, how many rows are looked at,
and how many go into a sort. The test suite asks the same questions of a few thousand rows. Times are reported, the
median of a few calls on a warm cache, and judge nothing.

The database is one of its own, made for this and removed with all that is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
from rich.console import Console
from rich.markup import escape

from bench.report import machine
from proof._report import finish
from qero.local.keys import Keys
from qero.local.postgres import Postgres, data_folder
from qero.local.processes import free_port
from qero.local.toolchain import ensure_tools
from qero.ops.push import migrations_workdir, push_migrations
from tests.sql.plans import (
    FULL,
    GUARDS,
    ROWS,
    SMALL,
    Guard,
    Large,
    Node,
    Scale,
    explaining,
    fill,
    ran,
    rows_read,
    rows_sorted,
)  # fmt: skip

BYTES_NEEDED = 16 * 2**30
ROOM = Path("/var/tmp")
"""Where the database is made: on disk, whatever temporary files are kept in."""
RUNS = 5
LONG_MILLISECONDS = 2_000
"""What has taken so long altogether isn't asked again."""
QUESTION_SECONDS = 120
"""A question that takes longer is ended, and has failed."""

console = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    console.print(f"{time.strftime('%H:%M:%S')} {text}")


@asynccontextmanager
async def database() -> AsyncIterator[tuple[str, Path]]:
    """The address and folder of a Postgres as the local stack has it, with the migrations and nothing around it."""
    tools = ensure_tools()
    with TemporaryDirectory(prefix="qero-proof-", dir=ROOM, ignore_cleanup_errors=True) as name:
        home = Path(name)
        (home / "logs").mkdir()
        folder = data_folder(home)
        postgres = Postgres(tools, home, Keys.generate(), port=free_port(), durable=False)
        try:
            await postgres.start()
            workdir = migrations_workdir(home)
            await asyncio.to_thread(push_migrations, tools.supabase, db_url=postgres.url("postgres"), workdir=workdir)
            yield postgres.url("postgres"), folder
        finally:
            await postgres.stop()
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def built_at_once(connection: psycopg.Connection[Any]) -> Iterator[None]:
    """Without the indexes of big tables while they are filled: built afterwards, one takes a fraction of the time."""
    indexes = connection.execute(
        """
        select index.indexrelid::regclass::text, pg_get_indexdef(index.indexrelid)
        from pg_index as index
        where index.indrelid::regclass::name = any (
            array(select unnest(%s::text[]) union select 'private.' || unnest(%s::text[])))
          and not exists (select from pg_constraint as held where held.conindid = index.indexrelid)
        """,
        [[*ROWS], [*ROWS]],
    ).fetchall()
    for name, _ in indexes:
        connection.execute(f"drop index {name}".encode())
    yield
    connection.execute("set maintenance_work_mem = '512MB'")
    for name, definition in indexes:
        say(f"building {name}")
        connection.execute(definition.encode())


def asked(large: Large, guard: Guard) -> tuple[dict[str, Any], list[str]]:
    """The figures of one query, and what is wrong with its plans. Nothing of what it writes stays."""
    times: list[float] = []
    nodes: list[Node] = []
    try:
        while len(times) < RUNS and sum(times) < LONG_MILLISECONDS:
            with large.connection.transaction(force_rollback=True):
                large.connection.execute(f"set local statement_timeout = '{QUESTION_SECONDS} s'".encode())
                nodes = guard.question(large)
            times.append(large.milliseconds)
    except psycopg.DatabaseError as error:
        return {"index": guard.index}, [str(error).partition("\n")[0]]
    faults = guard.faults(nodes)
    if faults:
        faults.append(f"uses {', '.join(sorted({node['Index Name'] for node in ran(nodes) if 'Index Name' in node}))}")
    figures = {
        "ms": round(statistics.median(times), 2), "rows_read": rows_read(nodes),
        "rows_sorted": rows_sorted(nodes), "index": guard.index,
    }  # fmt: skip
    return figures, faults


async def run(scale: Scale) -> dict[str, Any]:
    """Fill a database and judge every plan."""
    started = time.monotonic()
    async with database() as (url, folder):
        with explaining(url, autocommit=True) as connection:
            with built_at_once(connection):
                large = fill(connection, scale, step=lambda text: say(f"filling {text}"))
            say("vacuum and analyze")
            connection.execute("vacuum (analyze)")
            connection.execute("select brin_summarize_new_values('meta_webhook_events_id_received_at_idx')")
            filled_seconds = time.monotonic() - started
            gigabytes = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 2**30
            say(f"{gigabytes:.1f} GB after {filled_seconds / 60:.0f} minutes")
            connection.add_notice_handler(large.hear)
            queries: dict[str, Any] = {}
            wrong: list[str] = []
            for guard in GUARDS:
                if guard.large_only and scale is SMALL:
                    continue
                figures, faults = asked(large, guard)
                queries[guard.name] = figures
                wrong += [f"{guard.name}: {fault}" for fault in faults]
                say(
                    f"{'[red]✗[/]' if faults else '[green]✓[/]'} {guard.name}: {figures.get('ms')} ms, "
                    f"{figures.get('rows_read')} rows read {escape('; '.join(faults))}"
                )
            counted = connection.execute(
                "select relname, reltuples::bigint from pg_class where relname = any(%s) and relkind = 'r'", [[*ROWS]]
            )
            return {
                "machine": machine(), "rows": dict(counted.fetchall()),
                "gigabytes": round(gigabytes, 1), "filled_seconds": round(filled_seconds),
                "seconds": round(time.monotonic() - started), "queries": queries, "wrong": wrong,
            }  # fmt: skip


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/proof scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="as few rows as the test suite has")
    parser.add_argument("--share", type=float, default=1.0, help="so much of the rows: 0.1 is half a million messages")
    options = parser.parse_args(arguments)
    scale = Scale(**{name: int(count * options.share) for name, count in vars(FULL).items()})
    needed = BYTES_NEEDED * options.share
    room = shutil.disk_usage(ROOM).free
    if not options.quick and room < needed:
        print(f"This needs {needed / 2**30:.0f} GB of disk; there are {room / 2**30:.1f}.", file=sys.stderr)
        return 2
    report = asyncio.run(run(SMALL if options.quick else scale))
    problems = report.pop("wrong")
    return finish("scale", report, problems)
