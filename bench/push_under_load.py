"""How long writers wait while migrations are pushed to a big database.

The database has chats from before messages had numbers: 5,000,000 messages, and 200 more a second by ten connections
while `qero db push --adopt` brings it up, from the first migration to the last, and numbers the messages. Each write is
due at a moment of its own, so one that comes late because another was stuck counts as late; one that lost a deadlock is
repeated, and that is counted in.

`p99` and `longest` are of the writers' inserts; their floor is the same writers on the same database before the push.
`longest lock wait` is what pg_locks, asked every 50 ms, saw any session of the push, or any writer, wait at most: it
may not be longer than the lock timeout. Afterwards every chat's numbers have to be without a gap.
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
from qero.local.toolchain import Tools, ensure_tools
from qero.ops.backup import Tools as BackupTools
from qero.ops.push import CLI_SESSIONS, migrations_workdir
from qero.ops.runner import LOCK_TIMEOUT_SECONDS, PushOptions, Report, push
from qero.ops.target import Target

WRITERS = 10
WRITES_PER_SECOND = 200
_WRITER = "bench writer"

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


# A chat whose numbers aren't 1, 2, 3 … up to its last, or whose older messages aren't numbered by their time.
GAPS: LiteralString = """
select count(*) from (
  select message.chat_id from public.chat_messages as message
  join public.chats as chat on chat.id = message.chat_id
  group by message.chat_id, chat.last_seq
  having count(distinct message.seq) <> chat.last_seq or max(message.seq) <> chat.last_seq
    or count(*) <> chat.last_seq
  union all
  select chat_id from (
    select chat_id, seq < lag(seq) over (partition by chat_id order by created_at, id) as earlier
    from public.chat_messages where body <> 'Meanwhile'
  ) as message where earlier
) as wrong
"""


@dataclass
class Writing:
    """What the writers met: the seconds from when each write was due to when it was done."""

    latencies: list[float] = field(default_factory=list)
    repeated: int = 0

    @property
    def p99(self) -> float:
        return statistics.quantiles(self.latencies, n=100)[98]

    @property
    def longest(self) -> float:
        return max(self.latencies)


@dataclass
class Waits:
    """The longest that a session was seen to wait for a lock, in seconds."""

    push: float = 0.0
    writers: float = 0.0


@dataclass(frozen=True)
class Measured:
    before: Writing
    during: Writing
    waits: Waits
    report: Report
    seconds: float
    wrong_chats: int


async def run(*, quick: bool) -> list[Case]:
    messages = 100_000 if quick else 5_000_000
    with temporary_stack(durable=False, migrate=False) as address:
        measured = await measure(address.db_url, ensure_tools(), messages, 2_000, seconds_before=5 if quick else 20)
    before, during, waits = measured.before, measured.during, measured.waits
    if max(waits.push, waits.writers) > LOCK_TIMEOUT_SECONDS:
        raise RuntimeError(f"a statement waited longer than the lock timeout: {waits}")
    if measured.wrong_chats:
        raise RuntimeError(f"{measured.wrong_chats} chats have gaps in their numbers")
    name = f"push/{messages}/{WRITES_PER_SECOND} writes a second"
    return [
        Case(f"{name}, p99 of writes", during.p99 * 1000, "ms", 1, floor=before.p99 * 1000),
        Case(f"{name}, longest write", during.longest, "s", 1, floor=before.longest),
        Case(f"{name}, longest lock wait of a writer", waits.writers, "s", 1),
        Case(f"{name}, longest lock wait of the push", waits.push, "s", 1),
        Case(f"{name}, whole push", measured.seconds, "s", 1),
    ]


async def measure(url: str, tools: Tools, messages: int, chats: int, *, seconds_before: float) -> Measured:
    """Fill an empty database, write to it, then push while writing on."""
    await asyncio.to_thread(_fill, url, messages, chats)
    before = await _write(url, asyncio.create_task(asyncio.sleep(seconds_before)))
    progress(f"before: p99 {before.p99 * 1000:.1f} ms, longest {before.longest * 1000:.0f} ms")
    watching, watched = asyncio.Event(), asyncio.Event()
    waits = asyncio.create_task(_watch_locks(url, watching, watched))
    await watching.wait()
    started = time.perf_counter()
    pushing = asyncio.create_task(asyncio.to_thread(_push, url, tools))
    during = await _write(url, pushing)
    seconds = time.perf_counter() - started
    watched.set()
    progress(
        f"during: {len(during.latencies)} writes, p99 {during.p99 * 1000:.1f} ms, longest {during.longest:.2f} s, "
        f"{during.repeated} repeated, {await waits}, push took {seconds:.0f} s"
    )
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        [wrong] = await (await connection.execute(GAPS)).fetchone() or (0,)
    return Measured(before, during, await waits, await pushing, seconds, wrong)


def _fill(url: str, messages: int, chats: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(OLDER)
        connection.execute(
            "insert into public.chats (workspace_id) select id from public.workspaces, generate_series(1, %s)", [chats]
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


def _push(url: str, tools: Tools) -> Report:
    target = Target.read(url)
    report = Report(target.address, "")
    with TemporaryDirectory(prefix="qero-bench-") as folder:
        options = PushOptions(backups=Path(folder), adopt=True)
        try:
            push(target, migrations_workdir(Path.cwd()), tools.supabase, BackupTools([tools.client_bin]), options,
                 report, progress)  # fmt: skip
        except QeroError as error:
            progress(f"{error} {error.detail}")
            raise
        finally:
            for step in report.steps:
                progress(f"  {step.name}: {step.state}, {step.seconds:.1f} s, {step.said}")
    return report


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
    async with await psycopg.AsyncConnection.connect(url, autocommit=True, application_name=_WRITER) as connection:
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


async def _watch_locks(url: str, watching: asyncio.Event, watched: asyncio.Event) -> Waits:
    waits = Waits()
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        watching.set()
        while not watched.is_set():
            rows = await connection.execute(
                """
                select
                  coalesce(max(waited) filter (where name like 'qero db%%' or name = any (%(cli)s)), 0)::float,
                  coalesce(max(waited) filter (where name = %(writer)s), 0)::float
                from (
                  select activity.application_name as name,
                    extract(epoch from clock_timestamp() - held.waitstart) as waited
                  from pg_locks as held join pg_stat_activity as activity using (pid) where not held.granted
                ) as waiting
                """,
                {"cli": list(CLI_SESSIONS), "writer": _WRITER},
            )
            push_waits, writer_waits = await rows.fetchone() or (0.0, 0.0)
            waits.push, waits.writers = max(waits.push, push_waits), max(waits.writers, writer_waits)
            await asyncio.sleep(0.05)
    return waits
