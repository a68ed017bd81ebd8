"""Everything at once, while what it runs on is killed in turn; then every promise is checked against what is stored.

Customers' webhooks come in through two `qero serve`, replies and a lead queue go out through two `qero worker` to a
stand-in for Meta that now and then hides what became of a message, colleagues chat and follow live, tokens move,
contacts and follow-ups are written, devices are notified. All the while Postgres (at once, as in a crash), PostgREST,
the auth server, the process that holds gateway and realtime, a worker and a server are killed and started again. Only
processes that the proof has started are killed, each by its id.

In the end: every webhook that was answered 200 is applied once, every message that was queued has ended in a state and
was sent once unless its outcome was hidden, the balance is the ledger's sum, chats are numbered without gaps and every
follower saw every message once and in order, nothing is stuck, nobody was told anything but to come again, no log tells
a secret or what somebody wrote, and no process that lived on has grown.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg
import structlog
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from bench.report import machine
from proof._report import finish
from proof.faults.office import Office
from proof.faults.parts import PARTS, Automation, Chatter, Meta
from proof.faults.programs import Memory, Programs, grown
from qero import Clients, Outbox, QeroError, SecretBox
from qero.clients.webpush import VapidKeys
from qero.local.graph import GraphStandIn
from qero.local.push import PushServiceStandIn
from qero.local.stack import Address, Stack
from tests.support import APP_SECRET, VERIFY_TOKEN, World

KINDS = ("worker", "postgres", "server", "postgrest", "auth", "realtime")
SECONDS, QUICK_SECONDS = 600, 15
EVERY_SECONDS, QUICK_EVERY_SECONDS = 8.0, 1.5
RECOVERY_SECONDS = 120
SETTLE_SECONDS = 240
GROWTH_SHARE, GROWTH_MEGABYTES = 0.1, 15
"""A process may be larger in the last third of its life than in the first, by the larger of these."""
SECRETS = (
    "SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY", "SUPABASE_JWT_SECRET", "SUPABASE_DB_URL", "META_APP_SECRET",
    "META_VERIFY_TOKEN", "QERO_SECRET_KEYS", "VAPID_PRIVATE_KEY",
)  # fmt: skip
WRITTEN = ("A question (", "An answer (", "A remark (", "A better remark (")
"""How everything begins that customers and colleagues write."""
SHOWN = 20
"""So many examples of what is wrong are shown."""


@dataclass
class Report:
    """What was done, what was broken, and what didn't hold."""

    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    """Calls that had to be repeated, by code."""
    kills: Counter[str] = field(default_factory=Counter)
    recovery_seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """How long until the API and both servers answered again, after each kill."""
    memory: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """Of the longest life of each process: its median size in each third, in MB."""
    invariants: dict[str, int] = field(default_factory=dict)
    """How often each didn't hold."""
    wrong: list[str] = field(default_factory=list)

    def hold(self, name: str, broken: list[str]) -> None:
        self.invariants[name] = self.invariants.get(name, 0) + len(broken)
        self.wrong += [f"{name}: {what}" for what in broken[:SHOWN]]

    def figures(self) -> dict[str, Any]:
        return {
            "machine": machine(), "seconds": round(self.seconds, 1),
            "counts": dict(sorted(self.counts.items())), "kills": dict(self.kills),
            "recovery_seconds": {
                name: {"median": round(statistics.median(times), 2), "longest": round(max(times), 2)}
                for name, times in self.recovery_seconds.items()
            },
            "repeated_calls": self.repeated, "memory_mb": self.memory, "invariants": self.invariants,
        }  # fmt: skip


class View:
    """What is told while it runs."""

    def say(self, text: str) -> None: ...

    def tick(self, elapsed: float, office: Office, report: Report) -> None: ...


async def soak(
    seconds: float, *, seed: int = 1, rate: float = 1.0, every_seconds: float = EVERY_SECONDS, hurry: bool = False,
    view: View | None = None,
) -> Report:  # fmt: skip
    """Let everything work for so long on a stack of its own, killing something every few seconds.

    Args:
        seconds: at least; until each has been killed once in any case.
        rate: of the work; 1 is what two cores carry together.
        hurry: end the leases of killed workers and waits for retries before their time, when the work is over.
    """
    view = view or View()
    report = Report()
    started = time.monotonic()
    with TemporaryDirectory(prefix="qero-proof-") as name:
        folder = Path(name)
        stack = Stack(folder)
        view.say("starting a stack, two servers, two workers, and those who follow")
        address = await asyncio.to_thread(stack.up, with_me=True)
        try:
            async with contextlib.AsyncExitStack() as all_:
                graph = await all_.enter_async_context(GraphStandIn.serve())
                push = await all_.enter_async_context(PushServiceStandIn.serve())
                programs = Programs(stack, _environment(address, graph, push), folder)
                all_.push_async_callback(programs.stop)
                await programs.start()
                run = await _Run.open(all_, address, programs, graph, push, random.Random(seed), report, view)
                await run.work(seconds, rate=rate, every_seconds=every_seconds)
                await run.settle(hurry=hurry)
                await run.judge(folder, stack)
        finally:
            await asyncio.to_thread(stack.remove)
    report.seconds = time.monotonic() - started
    return report


def _environment(address: Address, graph: GraphStandIn, push: PushServiceStandIn) -> dict[str, str]:
    public, private = VapidKeys.generate()
    return {
        **address.environment(),
        "META_APP_SECRET": APP_SECRET, "META_VERIFY_TOKEN": VERIFY_TOKEN, "META_GRAPH_URL": graph.url,
        "QERO_SECRET_KEYS": SecretBox.generate_key(), "QERO_REQUEST_TIMEOUT_SECONDS": "5",
        "QERO_PUSH_ALLOWED_ORIGINS": push.url,
        "VAPID_PUBLIC_KEY": public, "VAPID_PRIVATE_KEY": private, "VAPID_SUBJECT": "mailto:ops@example.com",
    }  # fmt: skip


class _Run:
    def __init__(self, office: Office, programs: Programs, report: Report, view: View) -> None:
        self._office = office
        self._programs = programs
        self._report = report
        self._view = view
        self._memory = Memory()
        self._parts = [part(office) for part in PARTS]

    @classmethod
    async def open(
        cls, all_: contextlib.AsyncExitStack, address: Address, programs: Programs, graph: GraphStandIn,
        push: PushServiceStandIn, chance: random.Random, report: Report, view: View,
    ) -> _Run:  # fmt: skip
        """A team with everything that its parts need, before anything is killed."""
        settings = address.settings(
            meta_app_secret=APP_SECRET, secret_keys=programs.environment["QERO_SECRET_KEYS"],
            request_timeout_seconds=10,
        )  # fmt: skip
        clients = await all_.enter_async_context(Clients(settings))
        http = await all_.enter_async_context(httpx.AsyncClient(timeout=10))
        async with await psycopg.AsyncConnection.connect(address.db_url, autocommit=True) as database:
            world = World(settings, clients, database)
            workspace = await world.workspace(owner="olga", bob="member", nina="member")
            numbers = [await world.number(workspace) for _ in range(2)]
            for number in numbers:
                graph.add_number(number.at_meta)
            office = Office(
                world=world, clients=clients, graph=graph, push=push, http=http,
                servers=[server.url for server in programs.servers], workspace=workspace, numbers=numbers,
                unconnected=world.number_at_meta(),
                people={name: (await world.user(name)).client for name in ("olga", "bob", "nina")}, chance=chance,
            )  # fmt: skip
            run = cls(office, programs, report, view)
            for part in run._parts:
                all_.push_async_callback(part.close)
                await part.prepare()
            chatter = run._part(Chatter)
            for chat_id in chatter.chat_ids:
                log = await programs.follow(str(chat_id), office.people["nina"].access_token)
                chatter.add_terminal(log.stem, chat_id, log)
        return run

    def _part(self, kind: type[Any]) -> Any:
        return next(part for part in self._parts if isinstance(part, kind))

    async def work(self, seconds: float, *, rate: float, every_seconds: float) -> None:
        stop = asyncio.Event()
        until = time.monotonic() + seconds
        watching = asyncio.create_task(self._watch(seconds))
        working = [asyncio.create_task(part.work(stop, rate=rate)) for part in self._parts]
        try:
            await self._kill_in_turn(seconds, every_seconds)
            await asyncio.sleep(max(0.0, until - time.monotonic()))
        finally:
            stop.set()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
        self._view.say("what is under way is finished")
        async with asyncio.timeout(SETTLE_SECONDS):
            await asyncio.gather(*working)

    async def _watch(self, seconds: float) -> None:
        started = time.monotonic()
        while True:
            await asyncio.to_thread(self._memory.sample, self._programs.processes())
            self._view.tick(min(time.monotonic() - started, seconds), self._office, self._report)
            await asyncio.sleep(1)

    async def _kill_in_turn(self, seconds: float, every_seconds: float) -> None:
        started = time.monotonic()
        chance = self._office.chance
        waiting: list[str] = []
        while (elapsed := time.monotonic() - started) < seconds - every_seconds or self._report.kills.keys() < {*KINDS}:
            await asyncio.sleep(every_seconds * chance.uniform(0.6, 1.4))
            if not waiting:
                waiting = chance.sample(KINDS, len(KINDS))
            name = waiting.pop()
            if name == "realtime" and elapsed > seconds / 2 and self._report.kills[name]:
                continue  # its memory is watched from now on
            killed_at = time.monotonic()
            await self._programs.kill(name)
            self._report.kills[name] += 1
            took = await self._until_back(name, killed_at)
            self._report.recovery_seconds[name].append(took)
            self._view.say(f"killed {name}: everything answered again after {took:.1f} s")

    async def _until_back(self, name: str, killed_at: float) -> float:
        """Until the database answers through the API, and both servers say that they are ready."""
        outbox = Outbox(self._office.world.service)
        while True:
            problem: object = "the servers aren't ready"
            try:
                await outbox.stats()
                ready = [await self._office.http.get(f"{server}/readyz") for server in self._office.servers]
                if all(answer.status_code == 200 for answer in ready):
                    return time.monotonic() - killed_at
            except (QeroError, httpx.HTTPError) as error:
                problem = error
            if time.monotonic() - killed_at > RECOVERY_SECONDS:
                raise RuntimeError(f"{name} was killed, and {RECOVERY_SECONDS} s later: {problem!r}")
            await asyncio.sleep(0.1)

    async def settle(self, *, hurry: bool) -> None:
        """Let workers finish, and tell of everything that was sent, until nothing is left to do."""
        office, meta = self._office, self._part(Meta)
        office.graph.clear_faults()
        await self._part(Automation).finish()
        self._view.say("workers send what is left")
        await self._until_quiet(hurry=hurry)
        # What came for it before takes effect now, and may end some automation.
        await meta.connect_the_last()
        await self._until_quiet(hurry=hurry)
        await self._part(Chatter).finish()

    async def _until_quiet(self, *, hurry: bool) -> None:
        deadline = time.monotonic() + SETTLE_SECONDS
        while True:
            if hurry:
                await self._hurry()
            await self._part(Meta).finish()
            left = await self._office.scalar(
                """
                select count(*) from outbox_messages where status = 'processing'
                  or status = 'queued' and (channel = 'whatsapp' or scheduled_at < now())
                """
            )
            if left == 0 or time.monotonic() > deadline:
                return  # what is left is found stuck
            await asyncio.sleep(0.5)

    async def _hurry(self) -> None:
        """As if a minute were over: leases of killed workers end, and what waits for another try is due."""
        alive = [f"%:{worker.pid}:%" for worker in self._programs.workers]
        await self._office.rows(
            "update private.outbox_leases set expires_at = clock_timestamp() where not worker like any(%s)"
            " and claimed_at < clock_timestamp() - interval '2 s' returning 1",
            alive,
        )
        await self._office.rows(
            """
            with lanes as (update private.outbox_lanes set paused_until = least(paused_until, now())),
              moved as (
                update private.outbox_ready set run_at = clock_timestamp()
                where run_at between clock_timestamp() and clock_timestamp() + interval '1 hour' returning id, run_at)
            update outbox_messages as outbox set scheduled_at = moved.run_at from moved where outbox.id = moved.id
            returning 1
            """
        )

    async def judge(self, folder: Path, stack: Stack) -> None:
        report, office = self._report, self._office
        self._view.say("comparing what was answered with what is stored")
        for part in self._parts:
            for name, broken in (await part.judge()).items():
                report.hold(name, broken)
        report.hold("nobody is told anything but to come again", office.wrong)
        report.hold("what nobody killed lives", [f"{name} has ended" for name in self._programs.ended()])
        report.hold("nothing crashed", list(_crashes(folder)))
        words = {
            **{name: self._programs.environment[name] for name in SECRETS},
            **{f"{name}'s token": person.access_token for name, person in office.people.items()},
            **{
                f"the token of {number.at_meta.phone_number_id}": number.at_meta.access_token
                for number in office.numbers
            },
            **{f"{start}…": start for start in WRITTEN},
        }
        report.hold("logs tell no secret, and nothing that somebody wrote", list(_told(folder, words)))
        report.memory = self._memory.thirds()
        report.hold(
            "memory doesn't grow",
            [
                f"{name}: {parts} MB"
                for name, parts in grown(report.memory, share=GROWTH_SHARE, megabytes=GROWTH_MEGABYTES).items()
            ],
        )
        report.counts, report.repeated = dict(office.counts), dict(office.repeated)


def _crashes(folder: Path) -> Iterator[str]:
    """Lines of the logs that tell of a fault in the program, and not of one around it."""
    marks = ("Traceback", "_crashed", "internal_error", "schema_outdated", "chat_session_failed")
    for log in sorted(folder.glob("*.log")):
        for line in log.read_text(errors="replace").splitlines():
            if any(mark in line for mark in marks):
                yield f"{log.stem}: {line[:300]}"


def _told(folder: Path, words: Mapping[str, str]) -> Iterator[str]:
    """What logs of servers and workers hold of these; what followers print is for whoever runs them."""
    for log in sorted(folder.glob("*.log")):
        if not log.stem.startswith("follower"):
            text = log.read_text(errors="replace")
            yield from (f"{log.stem}: {name}" for name, word in words.items() if word in text)


class _Shown(View):
    """A bar with the figures, and a line for each kill, on standard error."""

    def __init__(self, seconds: float) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=Console(stderr=True),
            transient=True,
        )  # fmt: skip
        self._task = self._progress.add_task("starting", total=seconds)

    def __enter__(self) -> _Shown:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        self._progress.console.print(text, markup=False, highlight=False)

    def tick(self, elapsed: float, office: Office, report: Report) -> None:
        counts = office.counts
        text = (
            f"{counts['webhook items accepted']:,} items in, {len(office.graph.sent):,} sent, "
            f"{counts['chat messages']:,} chat messages, {counts['token moves']:,} token moves, "
            f"{report.kills.total()} kills, {len(office.wrong)} wrong"
        )
        self._progress.update(self._task, completed=elapsed, description=text)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/proof faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=SECONDS, help="how long everything works and is killed")
    parser.add_argument("--quick", action="store_true", help="each is killed once, and what waits is hurried")
    parser.add_argument("--seed", type=int, default=1, help="of what is done and killed when")
    parser.add_argument("--rate", type=float, default=1.0, help="how much of the work; 1 is what two cores carry")
    options = parser.parse_args(arguments)
    # What the parts meet is counted; a line for each would hide the rest.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    seconds = QUICK_SECONDS if options.quick else options.seconds
    every_seconds = QUICK_EVERY_SECONDS if options.quick else EVERY_SECONDS
    with _Shown(seconds) as shown:
        report = asyncio.run(
            soak(seconds, seed=options.seed, rate=options.rate, every_seconds=every_seconds, hurry=options.quick,
                 view=shown)
        )  # fmt: skip
    return finish("faults", report.figures(), report.wrong)
