"""Workers killed, Postgres restarted, Meta silent or garbled: nothing lost, nothing sent twice.

Two worker processes, whose clocks are ten minutes apart, drain the outbox while they are killed at random and started
again, Postgres is stopped the hard way, and the stand-in for Meta hangs, drops connections, answers garbage, or slowly.
Afterwards every message has to have ended in a state that says what happened, and the stand-in must have none twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import psycopg

from bench.report import Case, progress
from qero import Clients, Connections, Outbox, QeroError, SecretBox, Settings, Webhooks, Workspaces
from qero.local.graph import Drop, Garbage, GraphFault, GraphStandIn, Hang, Number, Slow, encode, sign, status_webhook
from qero.local.postgres import data_folder
from qero.local.stack import Stack

NUMBERS = 4
# The second worker's clock is ten minutes ahead of the first's, and of the database's.
CLOCK_AHEAD = """
import sys, time
wall, wall_ns = time.time, time.time_ns
time.time, time.time_ns = lambda: wall() + 600, lambda: wall_ns() + 600 * 10**9
from qero.cli import main
main()
"""
APP_SECRET = "the-app-secret-of-the-ordeal"
FAULTS = (
    Hang(), Hang(accepts=False), Drop(), Drop(accepts=False), Garbage(200), Garbage(502), Slow(0.5), Slow(2.0),
    GraphFault(131000), GraphFault(131016), GraphFault(130429),
)  # fmt: skip


@dataclass
class Report:
    """What became of the messages of an ordeal."""

    messages: int
    states: Counter[str] = field(default_factory=Counter)
    doubled: int = 0
    """Got by the stand-in more than once."""
    lost: int = 0
    """Said to be sent, and never got; or neither settled nor queued."""
    unexplained: int = 0
    """Unknown or dead without a reason."""
    worker_kills: int = 0
    database_stops: int = 0
    faults: int = 0
    settled_by_status: int = 0
    seconds: float = 0.0


async def run(*, quick: bool) -> list[Case]:
    report = await ordeal(300 if quick else 5_000, seed=1)
    progress(str(report))
    name = f"{report.messages} messages, {report.worker_kills} kills, {report.database_stops} database stops"
    return [
        Case(f"{name}: lost", report.lost, "messages", 1),
        Case(f"{name}: sent twice", report.doubled, "messages", 1),
        Case(f"{name}: without an explanation", report.unexplained, "messages", 1),
        Case(f"{name}: unknown until a status came", report.settled_by_status, "messages", 1),
    ]


async def ordeal(messages: int, *, seed: int) -> Report:
    """Put `messages` through everything, on a stack of their own."""
    report = Report(messages)
    chance = random.Random(seed)
    started = time.monotonic()
    with TemporaryDirectory(prefix="qero-ordeal-") as folder:
        stack = Stack(Path(folder))
        address = await asyncio.to_thread(stack.up, with_me=True)
        try:
            settings = address.settings(secret_keys=SecretBox.generate_key(), meta_app_secret=APP_SECRET)
            async with Clients(settings) as clients, GraphStandIn.serve() as graph:
                ids = await _queue(clients, settings, graph, messages, chance)
                environment = {
                    **os.environ, **address.environment(), "META_GRAPH_URL": graph.url,
                    "QERO_SECRET_KEYS": settings.require("secret_keys"), "QERO_REQUEST_TIMEOUT_SECONDS": "1.5",
                }  # fmt: skip
                async with _Crowd(environment, folder) as crowd:
                    await _torment(crowd, stack, graph, clients, report, chance)
                    graph.clear_faults()
                    await _settle(crowd, clients, settings, ids)
                await _prove(clients, settings, graph, report)
                await _judge(settings, graph, ids, report)
        finally:
            await asyncio.to_thread(stack.remove)
    report.seconds = time.monotonic() - started
    return report


async def _queue(
    clients: Clients, settings: Settings, graph: GraphStandIn, count: int, chance: random.Random
) -> list[UUID]:
    service = clients.service()
    owner = await service.auth.admin.create_user(
        {"email": "olga@example.com", "password": "a password for the ordeal", "email_confirm": True}
    )
    assert owner is not None
    session = await clients.http.post(
        f"{settings.supabase_url}/auth/v1/token?grant_type=password",
        headers={"apikey": settings.require("publishable_key")},
        json={"email": "olga@example.com", "password": "a password for the ordeal"},
    )
    user = await clients.user(session.raise_for_status().json()["access_token"])
    workspace = await Workspaces(user).create("ordeal", "Ordeal")
    ids: list[UUID] = []
    for index in range(NUMBERS):
        number = Number(str(10**14 + index), f"token-{index}", waba_id=str(10**14))
        graph.add_number(number)
        connection = await Connections(service, SecretBox.from_settings(settings)).connect(
            workspace.id,
            waba_id=number.waba_id,
            phone_number_id=number.phone_number_id,
            access_token=number.access_token,
        )
        await (
            service.table("wa_phone_numbers")
            .update({"messages_per_second": max(10, count // 100)})
            .eq("id", str(connection.id))
            .execute()
        )
        # Some recipients get several, which have to leave one after the other.
        ids += await Outbox(service).enqueue(
            workspace.id,
            "whatsapp",
            [
                (
                    f"{index}:{n}",
                    f"+1555{index}{chance.randrange(count):06d}",
                    {"type": "text", "text": {"body": f"{n}"}},
                )
                for n in range(count // NUMBERS)
            ],
            connection_id=connection.id,
        )
    return ids


class _Crowd:
    """Worker processes that are replaced when they die."""

    def __init__(self, environment: dict[str, str], folder: str) -> None:
        self._environment = environment
        self._log = Path(folder, "workers.log")
        self.running: list[asyncio.subprocess.Process] = []

    async def __aenter__(self) -> _Crowd:
        self.running = [await self._start(index) for index in range(2)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self.running:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _start(self, index: int) -> asyncio.subprocess.Process:
        command = [Path(sys.executable).with_name("qero")] if index == 0 else [sys.executable, "-c", CLOCK_AHEAD]
        with self._log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *command, "worker", "--concurrency", "60", env=self._environment, stdout=subprocess.DEVNULL, stderr=log
            )

    async def replace(self, index: int) -> None:
        """Kill one, wherever it is, and start another."""
        process = self.running[index]
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        self.running[index] = await self._start(index)

    async def revive(self) -> None:
        for index, process in enumerate(self.running):
            if process.returncode is not None:
                self.running[index] = await self._start(index)


async def _torment(
    crowd: _Crowd, stack: Stack, graph: GraphStandIn, clients: Clients, report: Report, chance: random.Random
) -> None:
    """Go on until most of the messages have met their fate."""
    stops = max(2, report.messages // 1500)
    first = ["fault", "kill", "fault", "stop", "fault"]
    while len(graph.sent) < report.messages * 0.85 and report.worker_kills < 60:
        await asyncio.sleep(chance.uniform(0.2, 1.2))
        await crowd.revive()
        match first.pop(0) if first else chance.choice(["kill", "kill", "fault", "fault", "fault", "stop"]):
            case "kill":
                await crowd.replace(chance.randrange(2))
                report.worker_kills += 1
                await asyncio.sleep(1.5)  # until the new one works
            case "fault":
                graph.next_answer(chance.choice(FAULTS), times=chance.randrange(1, 6))
                report.faults += 1
            case "stop" if report.database_stops < stops:
                # The way of a crash: no checkpoint, nobody is told.
                pid = int((data_folder(stack.home.path) / "postmaster.pid").read_text().split()[0])
                os.kill(pid, signal.SIGQUIT)
                report.database_stops += 1
                await _until_back(clients)


async def _until_back(clients: Clients) -> None:
    for _ in range(300):
        with contextlib.suppress(QeroError):
            await Outbox(clients.service()).stats()
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("the database didn't come back")


async def _settle(crowd: _Crowd, clients: Clients, settings: Settings, ids: list[UUID]) -> None:
    """Let the workers finish; leases of those that were killed are ended before their time."""
    await _until_back(clients)
    async with await psycopg.AsyncConnection.connect(settings.require("db_url"), autocommit=True) as database:
        await asyncio.sleep(3)
        names = (
            "select distinct worker from private.outbox_leases where claimed_at < clock_timestamp() - interval '3 s'"
        )
        for _ in range(600):
            await crowd.revive()
            alive = [f":{process.pid}:" for process in crowd.running]
            dead = [
                name
                for (name,) in await (await database.execute(names.encode())).fetchall()
                if not any(mark in name for mark in alive)
            ]
            await database.execute(
                "update private.outbox_leases set expires_at = clock_timestamp() where worker = any(%s)", [dead]
            )
            # What waits for a retry doesn't have to wait for long here.
            await database.execute(
                """
                with lane as (update private.outbox_lanes set paused_until = least(paused_until, now())),
                  moved as (
                    update private.outbox_ready set run_at = clock_timestamp() where run_at > clock_timestamp()
                    returning id, run_at)
                update outbox_messages as outbox set scheduled_at = moved.run_at from moved where outbox.id = moved.id
                """
            )
            row = await (
                await database.execute(
                    "select count(*) from outbox_messages where id = any(%s) and status = 'queued'", [ids]
                )
            ).fetchone()
            if row is not None and row[0] == 0:
                return
            await asyncio.sleep(0.2)
    raise RuntimeError("some messages are never settled")


async def _prove(clients: Clients, settings: Settings, graph: GraphStandIn, report: Report) -> None:
    """Meta's statuses come for everything that it accepted; those with an unknown outcome are settled by them."""
    async with await psycopg.AsyncConnection.connect(settings.require("db_url"), autocommit=True) as database:
        unknown = await (
            await database.execute("select id::text from outbox_messages where status = 'unknown'")
        ).fetchall()
    open_ids = {id_ for (id_,) in unknown}
    for sent in graph.sent:
        if sent.opaque_id in open_ids:
            body = encode(status_webhook(sent, "delivered"))
            await Webhooks(clients.service()).receive(body, sign(body, APP_SECRET), APP_SECRET)
            report.settled_by_status += 1


async def _judge(settings: Settings, graph: GraphStandIn, ids: list[UUID], report: Report) -> None:
    got = Counter(sent.opaque_id for sent in graph.sent)
    async with await psycopg.AsyncConnection.connect(settings.require("db_url"), autocommit=True) as database:
        rows = await (
            await database.execute("select id::text, status, error_code from outbox_messages where id = any(%s)", [ids])
        ).fetchall()
    report.doubled = sum(count > 1 for count in got.values())
    report.lost = len(ids) - len(rows)
    for id_, status, error_code in rows:
        report.states[status] += 1
        if status == "queued" or (status == "sent" and got[id_] == 0):
            report.lost += 1
        if status in ("unknown", "dead", "failed") and not error_code:
            report.unexplained += 1


__all__ = ["Report", "ordeal", "run"]
