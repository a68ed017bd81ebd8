"""The outbox beside other Postgres queues: how fast it empties, and how fast it fills.

The floor of emptying is a hand-written skip-locked loop over a table with the same messages: no lanes, limits or
order. The peers are graphile-worker, pgqueuer and procrastinate at their best settings; they are installed into
`.qero/bench` by their own package managers, and each has a database of its own on the same server. Ours has all of it
on: 20 numbers with rate limits, fairness between them, and a line for each recipient. The floor of filling is a bare
`insert … select unnest` of the same rows into the floor's table.

The last cases say what is left of our own clean figure (which is their floor) under conditions that bring queues down.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import venv
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg

from bench.queues import skip_locked
from bench.report import Case, interleaved, progress
from qero.local.postgres import SUPERUSER
from qero.local.stack import temporary_stack
from qero.local.toolchain import ensure_tools

ROOT = Path(__file__).parents[1]
TOOLS = ROOT / ".qero" / "bench"
QUEUES = Path(__file__).parent / "queues"
PYTHON_PEERS = ("procrastinate==3.10.0", "pgqueuer==1.6.0", "asyncpg==0.32.0", "psycopg[binary,pool]", "uvloop")
NODE_PEERS = ("graphile-worker@0.17.3", "pg")
NUMBERS = 20
ENQUEUED_AT_ONCE = 1000
PAYLOAD = json.dumps({"type": "text", "text": {"body": "Hello there, this is a message."}})

Measure = Callable[[], Awaitable[float]]


async def run(*, quick: bool) -> list[Case]:
    count, runs = (4_000, 1) if quick else (50_000, 3)
    progress("installing the peers …")
    await asyncio.to_thread(_install_peers)
    with temporary_stack() as address:
        bench = _Bench(address.db_url, count)
        await asyncio.to_thread(bench.prepare)
        cases = []
        for batch, processes in ((100, 1), (500, 1), (100, 2), (500, 2)):
            medians = await interleaved(
                {
                    "ours": partial(bench.ours, batch, processes),
                    "skip locked": partial(bench.skip_locked, batch, processes),
                    "graphile-worker": partial(bench.graphile_worker, batch, processes),
                    "pgqueuer": partial(bench.pgqueuer, batch, processes),
                    "procrastinate": partial(bench.procrastinate, batch, processes),
                },
                runs=runs,
                warm_up=0 if quick else 1,
            )
            ours, floor = medians.pop("ours"), medians.pop("skip locked")
            cases.append(
                Case(
                    f"drain/{batch}/{processes}", ours, "messages/s", runs, floor=floor, peers=medians,
                    lower_is_better=False,
                )
            )  # fmt: skip
        medians = await interleaved({"ours": bench.fill, "bare insert": bench.fill_bare}, runs=runs)
        cases.append(
            Case(
                f"enqueue/{ENQUEUED_AT_ONCE}", medians["ours"], "messages/s", runs, floor=medians["bare insert"],
                lower_is_better=False,
            )
        )  # fmt: skip
        for name, condition in (
            ("a transaction open elsewhere", bench.with_an_open_transaction),
            ("200,000 waiting in other lanes", partial(bench.with_others_waiting, 2_000 if quick else 200_000)),
            ("1,000,000 finished rows", partial(bench.with_finished, 10_000 if quick else 1_000_000)),
        ):
            medians = await interleaved(
                {"clean": partial(bench.ours, 500, 1), name: condition},
                runs=runs,
                warm_up=0,
            )
            cases.append(
                Case(
                    f"drain/500/1 with {name}", medians[name], "messages/s", runs, floor=medians["clean"],
                    lower_is_better=False,
                )
            )  # fmt: skip
    return cases


class _Bench:
    def __init__(self, db_url: str, count: int) -> None:
        self._url = db_url
        self._count = count
        self._numbers: list[tuple[UUID, UUID]] = []
        self._others: list[tuple[UUID, UUID]] = []
        self._finished = 0

    def _peer_url(self, name: str) -> str:
        return self._url.replace("/postgres?", f"/{name}?")

    def prepare(self) -> None:
        superuser = self._url.replace("//postgres:", f"//{SUPERUSER}:")
        with psycopg.connect(superuser, autocommit=True) as connection:
            for name in ("graphile_worker", "pgqueuer", "procrastinate"):
                connection.execute(f"create database {name} owner postgres".encode())
        with self._connect() as connection:
            connection.execute(skip_locked.SCHEMA.encode())
            self._numbers = [self._number(connection) for _ in range(NUMBERS)]

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._url, autocommit=True)

    @staticmethod
    def _number(connection: psycopg.Connection[Any]) -> tuple[UUID, UUID]:
        row = connection.execute(
            """
            with workspace as (
              insert into workspaces (slug, name) values ('w-' || substr(md5(random()::text), 1, 20), 'Bench')
              returning id
            )
            insert into wa_phone_numbers (workspace_id, waba_id, phone_number_id, messages_per_second)
            select id, '1', (random() * 1e15)::bigint::text, 10000 from workspace returning workspace_id, id
            """
        ).fetchone()
        assert row is not None
        return row[0], row[1]

    # --- Filling ---

    def _fill(self, connection: psycopg.Connection[Any], count: int, numbers: list[tuple[UUID, UUID]]) -> float:
        """Queue messages in batches, number by number; the seconds it took."""
        batches = list(_batches(count))
        connection.execute("set role service_role")
        started = time.perf_counter()
        for index, (recipients, payloads, keys) in enumerate(batches):
            workspace_id, connection_id = numbers[index % len(numbers)]
            connection.execute(
                "select cardinality(public.enqueue_outbox(%s, 'whatsapp', %s, %s::jsonb[], %s, %s))",
                [workspace_id, recipients, payloads, keys, connection_id],
            )
        seconds = time.perf_counter() - started
        connection.execute("reset role")
        return seconds

    def _clear(self, connection: psycopg.Connection[Any]) -> None:
        connection.execute(
            "delete from public.outbox_messages where status = 'queued' or connection_id = any(%s)"
            if not self._finished
            else "delete from public.outbox_messages where status = 'queued' and connection_id = any(%s)",
            [[connection_id for _, connection_id in self._numbers]],
        )
        connection.execute("truncate private.outbox_ready, private.outbox_lines, private.outbox_waiting")
        connection.execute("truncate private.outbox_leases")

    async def fill(self) -> float:
        return await asyncio.to_thread(self._measure_fill)

    def _measure_fill(self) -> float:
        with self._connect() as connection:
            self._clear(connection)
            connection.execute("vacuum analyze public.outbox_messages")
            seconds = self._fill(connection, self._count, self._numbers)
            self._clear(connection)
        return self._count / seconds

    async def fill_bare(self) -> float:
        return await asyncio.to_thread(self._fill_skip_locked)

    def _fill_skip_locked(self) -> float:
        with self._connect() as connection:
            connection.execute("truncate skip_locked.messages")
            batches = list(_batches(self._count))
            started = time.perf_counter()
            for index, (recipients, payloads, keys) in enumerate(batches):
                workspace_id, connection_id = self._numbers[index % NUMBERS]
                connection.execute(skip_locked.ENQUEUE, [workspace_id, connection_id, recipients, payloads, keys])
            seconds = time.perf_counter() - started
            connection.execute("vacuum analyze skip_locked.messages")
        return self._count / seconds

    # --- Emptying ---

    async def ours(self, batch: int, processes: int) -> float:
        await asyncio.to_thread(self._fill_ours)
        return await self._drain([sys.executable, QUEUES / "ours.py", self._url, str(batch)], processes)

    def _fill_ours(self) -> None:
        with self._connect() as connection:
            self._clear(connection)
            self._fill(connection, self._count, self._numbers)
            connection.execute("vacuum analyze public.outbox_messages")
            connection.execute("vacuum analyze private.outbox_ready, private.outbox_lines, private.outbox_leases")

    async def skip_locked(self, batch: int, processes: int) -> float:
        await asyncio.to_thread(self._fill_skip_locked)
        return await self._drain([sys.executable, QUEUES / "skip_locked.py", self._url, str(batch)], processes)

    async def graphile_worker(self, batch: int, processes: int) -> float:
        command = [ensure_tools().node, TOOLS / "graphile_worker.mjs"]
        return await self._peer(command, "graphile_worker", batch, processes)

    async def pgqueuer(self, batch: int, processes: int) -> float:
        command = [TOOLS / "venv" / "bin" / "python", QUEUES / "pgqueuer_drain.py"]
        return await self._peer(command, "pgqueuer", batch, processes)

    async def procrastinate(self, batch: int, processes: int) -> float:
        command = [TOOLS / "venv" / "bin" / "python", QUEUES / "procrastinate_drain.py"]
        # A part is enough to know it, and takes as long.
        return await self._peer(command, "procrastinate", batch, processes, count=max(self._count // 25, 1000))

    async def _peer(
        self, command: Sequence[Path | str], name: str, batch: int, processes: int, *, count: int | None = None
    ) -> float:
        url, count = self._peer_url(name).replace("?sslmode=disable", ""), count or self._count
        filling = await asyncio.create_subprocess_exec(*command, "fill", url, str(count), str(batch))
        if await filling.wait():
            raise RuntimeError(f"{name} couldn't be filled")
        return await self._drain([*command, "drain", url, str(count), str(batch)], processes, count=count)

    async def _drain(self, command: Sequence[Path | str], processes: int, *, count: int | None = None) -> float:
        """Messages a second from when the first process starts to work until the last has nothing left."""
        running = [
            await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE, cwd=ROOT) for _ in range(processes)
        ]
        outputs = [(await process.communicate())[0] for process in running]
        if any(process.returncode for process in running):
            raise RuntimeError(f"{command[1]} failed")
        # Some print more than their report.
        reports = [json.loads(line) for output in outputs for line in output.splitlines() if line.startswith(b"{")]
        done = sum(report["done"] for report in reports) or count or self._count
        assert done == (count or self._count), f"{done} messages were drained"
        seconds: float = max(report["ended"] for report in reports) - min(report["started"] for report in reports)
        return float(done / seconds)

    # --- Conditions ---

    async def with_an_open_transaction(self) -> float:
        await asyncio.to_thread(self._fill_ours)
        with psycopg.connect(self._url) as holder:
            holder.execute("select txid_current()")
            return await self._drain([sys.executable, QUEUES / "ours.py", self._url, "500"], 1)

    async def with_others_waiting(self, count: int) -> float:
        await asyncio.to_thread(self._fill_ours)
        await asyncio.to_thread(self._fill_others, count)
        return await self._drain([sys.executable, QUEUES / "ours.py", self._url, "500"], 1)

    def _fill_others(self, count: int) -> None:
        with self._connect() as connection:
            if not self._others:
                self._others = [self._number(connection) for _ in range(NUMBERS)]
                connection.execute(
                    "update wa_phone_numbers set status = 'paused' where id = any(%s)",
                    [[id_ for _, id_ in self._others]],
                )
            self._fill(connection, count, self._others)
            connection.execute("vacuum analyze private.outbox_ready")

    async def with_finished(self, count: int) -> float:
        await asyncio.to_thread(self._finish, count)
        return await self.ours(500, 1)

    def _finish(self, count: int) -> None:
        if self._finished >= count:
            return
        with self._connect() as connection:
            self._clear(connection)
            workspace_id, connection_id = self._number(connection)
            connection.execute(
                """
                insert into public.outbox_messages (workspace_id, channel, connection_id, recipient, payload,
                  idempotency_key, status, attempts, settled_at, provider_message_id)
                select %s, 'whatsapp', %s, '+1555' || i, %s, 'done' || i, 'sent', 1, now(), 'wamid.' || i
                from generate_series(1, %s) as i
                """,
                [workspace_id, connection_id, PAYLOAD, count],
            )
            connection.execute("vacuum analyze public.outbox_messages")
        self._finished = count


def _batches(count: int) -> list[tuple[list[str], list[str], list[str]]]:
    run_id = uuid4().hex[:8]
    return [
        (
            [f"+1555{n:07d}" for n in range(start, start + ENQUEUED_AT_ONCE)],
            [PAYLOAD] * ENQUEUED_AT_ONCE,
            [f"{run_id}:{n}" for n in range(start, start + ENQUEUED_AT_ONCE)],
        )
        for start in range(0, count, ENQUEUED_AT_ONCE)
    ]


def _install_peers() -> None:
    """Install the peers where they are missing, with their own package managers and at fixed versions."""
    wanted = json.dumps([PYTHON_PEERS, NODE_PEERS])
    mark = TOOLS / "installed.json"
    if not mark.exists() or mark.read_text() != wanted:
        TOOLS.mkdir(parents=True, exist_ok=True)
        venv.create(TOOLS / "venv", with_pip=True, clear=True)
        _check([TOOLS / "venv" / "bin" / "python", "-m", "pip", "install", "--quiet", *PYTHON_PEERS])
        node = ensure_tools().node
        npm = node.parent.parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        (TOOLS / "package.json").write_text('{"private": true, "type": "module"}\n')
        _check([node, "--use-system-ca", npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", *NODE_PEERS])
        mark.write_text(wanted)
    (TOOLS / "graphile_worker.mjs").write_bytes((QUEUES / "graphile_worker.mjs").read_bytes())


def _check(command: Sequence[Path | str]) -> None:
    environment = {**os.environ, "PATH": os.pathsep.join([str(Path(command[0]).parent), os.environ.get("PATH", "")])}
    subprocess.run(command, cwd=TOOLS, env=environment, check=True, stdout=subprocess.DEVNULL)
