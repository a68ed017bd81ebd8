"""The worker end to end: through the API to the stand-in for Meta, at the pace of its numbers.

The floor of a rate is the number's limit, so the ratio says how much of it was used; "most in any second" has to stay
at or below it. One case has a number of the highest tier, one a number whose limit is out of reach, which shows what a
process can do, and one eight of different tiers at once. The first is a worker with nothing to do.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import psutil
import psycopg

from bench.report import Case, progress
from qero import Clients, Connections, Outbox, SecretBox, Settings
from qero.local.graph import GraphStandIn, Number
from qero.local.processes import free_port
from qero.local.stack import temporary_stack

TIERS = (20, 20, 40, 40, 80, 80, 80, 100)
QERO = Path(sys.executable).with_name("qero")


async def run(*, quick: bool) -> list[Case]:
    seconds = 5 if quick else 30
    # A pause of this process would look like one of the worker's, and a burst after it.
    gc.disable()
    with temporary_stack() as address:
        settings = address.settings(secret_keys=SecretBox.generate_key())
        async with Clients(settings) as clients, GraphStandIn.serve() as graph:
            bench = _Bench(settings, clients, graph, address.environment())
            cases = await bench.idle(seconds)
            cases += await bench.paced([1000], seconds, concurrency=600, number_concurrency=48)
            cases += await bench.paced([5000], seconds // 5, concurrency=600, number_concurrency=48)
            cases += await bench.paced(TIERS, seconds, concurrency=600, number_concurrency=24)
    return cases


class _Bench:
    def __init__(self, settings: Settings, clients: Clients, graph: GraphStandIn, environment: dict[str, str]) -> None:
        self._settings = settings
        self._clients = clients
        self._graph = graph
        self._environment = {
            **os.environ, **environment, "META_GRAPH_URL": graph.url,
            "QERO_SECRET_KEYS": settings.require("secret_keys"),
        }  # fmt: skip
        self._made = 0

    async def _number(self, messages_per_second: int) -> tuple[UUID, UUID, Number]:
        self._made += 1
        number = Number(str(10**14 + self._made), f"token-{self._made}", waba_id=str(10**14))
        self._graph.add_number(number)
        async with await psycopg.AsyncConnection.connect(self._settings.require("db_url"), autocommit=True) as database:
            row = await (
                await database.execute(
                    "insert into workspaces (slug, name) values (%s, 'Bench') returning id", [f"bench-{self._made}"]
                )
            ).fetchone()
            assert row is not None
            connection = await Connections(self._clients.service(), SecretBox.from_settings(self._settings)).connect(
                row[0],
                waba_id=number.waba_id,
                phone_number_id=number.phone_number_id,
                access_token=number.access_token,
            )
            await database.execute(
                "update wa_phone_numbers set messages_per_second = %s where id = %s",
                [messages_per_second, connection.id],
            )
        return row[0], connection.id, number

    async def paced(
        self, tiers: tuple[int, ...] | list[int], seconds: int, *, concurrency: int, number_concurrency: int
    ) -> list[Case]:
        """Keep every number busy for so many seconds, with one worker process."""
        numbers = []
        for tier in tiers:
            workspace_id, connection_id, number = await self._number(tier)
            numbers.append((tier, number))
            for start in range(0, tier * seconds, 1000):
                count = min(1000, tier * seconds - start)
                await Outbox(self._clients.service()).enqueue(
                    workspace_id,
                    "whatsapp",
                    [
                        (f"{n}", f"+1555{n:07d}", {"type": "text", "text": {"body": "Hello there."}})
                        for n in range(start, start + count)
                    ],
                    connection_id=connection_id,
                )
        self._graph.sent.clear()
        clock, ours = time.perf_counter(), time.process_time()
        with TemporaryDirectory() as folder:
            worker = await asyncio.create_subprocess_exec(
                QERO, "worker", "--once", "--json", "--concurrency", str(concurrency),
                "--number-concurrency", str(number_concurrency),
                env=self._environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            usage = psutil.Process(worker.pid)
            busy = asyncio.create_task(_cpu_seconds(usage))
            out, _ = await worker.communicate()
        clock = time.perf_counter() - clock
        summary = json.loads(out)
        progress(f"{summary} in {clock:.1f} s, {time.process_time() - ours:.1f} s of CPU in the stand-in")
        name = f"{len(tiers)} numbers" if len(tiers) > 1 else "1 number"
        cases = [Case(f"{name}: CPU of the worker", await busy / clock * 100, "% of a core", 1)]
        for tier, number in numbers:
            moments = sorted(
                sent.sent_at.timestamp() for sent in self._graph.sent if sent.phone_number_id == number.phone_number_id
            )
            assert len(moments) == tier * seconds, "all of them arrived"
            rate = (len(moments) - 1) / (moments[-1] - moments[0])
            label = f"{name}: {tier} a second"
            cases.append(Case(label, rate, "messages/s", 1, floor=tier, lower_is_better=False))
            cases.append(Case(f"{label}, most in any second", _most_in_a_second(moments), "messages", 1, floor=tier))
        return cases

    async def _claims(self, port: int) -> float:
        """How many claims a worker has made, by its own count."""
        text = (await self._clients.http.get(f"http://127.0.0.1:{port}/metrics")).raise_for_status().text
        [line] = [line for line in text.splitlines() if line.startswith("qero_claim_seconds_count")]
        return float(line.split()[1])

    async def idle(self, seconds: int) -> list[Case]:
        """What a worker costs that has nothing to do, metrics and wake-up included."""
        port = free_port()
        with TemporaryDirectory() as folder:
            worker = await asyncio.create_subprocess_exec(
                QERO, "worker", "--metrics-port", str(port), env=self._environment, cwd=folder,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            await asyncio.sleep(5)  # until it has slowed down
            usage = psutil.Process(worker.pid)
            cpu = sum(usage.cpu_times()[:2])
            claims = await self._claims(port)
            await asyncio.sleep(seconds)
            claims = await self._claims(port) - claims
            cpu = sum(usage.cpu_times()[:2]) - cpu
            worker.terminate()
            await worker.wait()
        return [
            Case("idle: claims", claims / seconds, "queries/s", 1),
            Case("idle: CPU", cpu / seconds * 100, "% of a core", 1),
        ]


async def _cpu_seconds(process: psutil.Process) -> float:
    """User and system time of a process until it ends."""
    seconds = 0.0
    while True:
        try:
            seconds = sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            return seconds
        await asyncio.sleep(0.2)


def _most_in_a_second(moments: list[float]) -> int:
    most = first = 0
    for index, moment in enumerate(moments):
        while moments[first] <= moment - 1:
            first += 1
        most = max(most, index - first + 1)
    return most
