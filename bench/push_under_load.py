"""How long writers wait while migrations are pushed to a big database.

The database has chats from before messages had numbers: 5,000,000 messages, and 200 more a second by ten connections
while `qero db push --adopt` brings it up, from the first migration to the last, and numbers the messages. Each write is
due at a moment of its own, so one that comes late because another was stuck counts as late; one that lost a deadlock is
repeated, and that is counted in.

`p99` and `longest` are of the writers' inserts; their floor is the same writers on the same database before the push.
`longest lock wait` is what pg_stat_activity, asked every 50 ms, saw any session of the push wait for a lock at most.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, LiteralString

import psycopg

from bench.report import Case, progress
from qero import QeroError
from qero.local.stack import temporary_stack
from qero.local.toolchain import ensure_tools
from qero.ops.backup import Tools
from qero.ops.push import CLI_SESSIONS, migrations_workdir
from qero.ops.runner import PushOptions, Report, push
from qero.ops.target import Target

WRITERS = 10
WRITES_PER_SECOND = 200
CHATS = 2_000
LOCK_TIMEOUT_SECONDS = 5

# As it stood before: people, chats and messages, and no numbers.
OLDER: LiteralString = """
create table public.workspaces (
  id uuid primary key default gen_random_uuid(), slug text not null, name text not null,
  status text not null default 'active', created_at timestamptz not null default now(),
  updated_at timestamptz not null default now());
create table public.chats (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  created_at timestamptz not null default now());
create table public.chat_messages (
  id uuid primary key default gen_random_uuid(), chat_id uuid not null, sender_id uuid, body text,
  created_at timestamptz not null default now());
insert into public.workspaces (slug, name) values ('bench', 'Bench');
"""


@dataclass
class Writing:
    """What the writers met: the seconds from when each write was due to when it was done."""

    latencies: list[float] = field(default_factory=list)
    repeated: int = 0

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.latencies, n=100)[98]


async def run(*, quick: bool) -> list[Case]:
    messages = 100_000 if quick else 5_000_000
    with temporary_stack(durable=False, migrate=False) as address:
        url = address.db_url
        await asyncio.to_thread(_fill, url, messages)
        before = await _write(url, asyncio.create_task(asyncio.sleep(5 if quick else 20)))
        progress(f"before: p99 {before.p99 * 1000:.1f} ms, longest {max(before.latencies) * 1000:.0f} ms")
        watching, watched = asyncio.Event(), asyncio.Event()
        waits = asyncio.create_task(_watch_locks(url, watching, watched))
        await watching.wait()
        started = time.perf_counter()
        during = await _write(url, asyncio.create_task(asyncio.to_thread(_push, url)))
        seconds = time.perf_counter() - started
        watched.set()
        longest_wait = await waits
        progress(f"during: {len(during.latencies)} writes, {during.repeated} repeated, push took {seconds:.0f} s")
        if longest_wait > LOCK_TIMEOUT_SECONDS + 1:
            raise RuntimeError(f"a statement of the push waited {longest_wait:.1f} s for a lock")
    name = f"push/{messages}/{WRITES_PER_SECOND} writes a second"
    return [
        Case(f"{name}, p99 of writes", during.p99 * 1000, "ms", 1, floor=before.p99 * 1000),
        Case(f"{name}, longest write", max(during.latencies), "s", 1),
        Case(f"{name}, longest lock wait of the push", longest_wait, "s", 1),
        Case(f"{name}, whole push", seconds, "s", 1),
    ]


def _fill(url: str, messages: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(OLDER)
        connection.execute(
            "insert into public.chats (workspace_id) select id from public.workspaces, generate_series(1, %s)", [CHATS]
        )
        step = min(messages, 500_000)
        for done in range(0, messages, step):
            connection.execute(
                """
                insert into public.chat_messages (chat_id, body, created_at)
                select chats[1 + number %% cardinality(chats)], 'A message of an ordinary length, ' || number,
                  timestamptz '2025-01-01' + number * interval '1 second'
                from generate_series(%s::bigint, %s) as number,
                  (select array_agg(id) as chats from public.chats) as chat
                """,
                [done, done + step - 1],
            )
            progress(f"{done + step:,} messages")
        connection.execute("vacuum (analyze)")


def _push(url: str) -> None:
    tools = ensure_tools()
    target = Target.read(url)
    report = Report(target.address, "")
    with TemporaryDirectory(prefix="qero-bench-") as folder:
        options = PushOptions(backups=Path(folder), adopt=True, allowed=["locking"])
        try:
            push(
                target,
                migrations_workdir(Path.cwd()),
                tools.supabase,
                Tools([tools.client_bin]),
                options,
                report,
                progress,
            )
        except QeroError as error:
            progress(f"{error} {error.detail}")
            # What an older database keeps of its own is told, and doesn't concern what is measured here.
            if error.code != "schema_differs":
                raise
        for step in report.steps:
            progress(f"  {step.name}: {step.state}, {step.seconds:.1f} s, {step.said}")


async def _write(url: str, until: asyncio.Task[Any]) -> Writing:
    writing = Writing()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        rows = await (await connection.execute("select id from public.chats")).fetchall()
    chats = [row[0] for row in rows]
    async with asyncio.TaskGroup() as group:
        for number in range(WRITERS):
            group.create_task(_writer(url, chats, number, until, writing))
    await until
    return writing


async def _writer(url: str, chats: list[Any], number: int, until: asyncio.Task[Any], writing: Writing) -> None:
    pace = WRITERS / WRITES_PER_SECOND
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        due = time.perf_counter() + pace * number / WRITERS
        count = number
        while not until.done():
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            written = False
            while not written:
                try:
                    await connection.execute(
                        "insert into public.chat_messages (chat_id, body) values (%s, 'Meanwhile')",
                        [chats[count % len(chats)]],
                    )
                    written = True
                except psycopg.errors.DeadlockDetected:
                    writing.repeated += 1
            writing.latencies.append(time.perf_counter() - due)
            due += pace
            count += WRITERS


async def _watch_locks(url: str, watching: asyncio.Event, watched: asyncio.Event) -> float:
    longest = 0.0
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        watching.set()
        while not watched.is_set():
            rows = await connection.execute(
                """
                select coalesce(max(extract(epoch from clock_timestamp() - held.waitstart)), 0)
                from pg_locks as held join pg_stat_activity as activity using (pid)
                where not held.granted
                  and (activity.application_name like 'qero db%%' or activity.application_name = any (%s))
                """,
                [list(CLI_SESSIONS)],
            )
            [waited] = await rows.fetchone() or (0,)
            longest = max(longest, float(waited))
            await asyncio.sleep(0.05)
    return longest
