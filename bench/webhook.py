"""Meta's webhooks at Meta's rate: one event a request, each signed, answered 200 once it is committed.

`qero serve`, the database, its API and the generator that plays Meta share the machine. Half of the events are texts of
known customers, half are statuses of messages that were sent; no event comes twice. Once the generator sends as fast as
it is answered (capacity), and once at the rate that Meta asks for at 1,000 messages a second, answered or not: times
then count from the moment at which an event was due. After each run the database has to hold exactly what was answered.

The floor is the same generator against an application that checks the signature and answers 200, in a server with the
same settings: no database, nothing stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg
import uvicorn
from pydantic import TypeAdapter

from bench.report import Case, progress
from qero import Clients, Connections, SecretBox, Settings, Webhooks, Workspaces
from qero.local import graph
from qero.local.processes import free_port
from qero.local.stack import temporary_stack
from qero.models.webhook import parse_body
from qero.services.webhooks import verify_signature

PATH = "/api/webhooks/meta/whatsapp"
SECRET = "a-meta-app-secret-for-the-benchmark"
PASSWORD = "a password for the benchmark"
NUMBER = graph.Number("106540352242901", "EAA-token", "15550100001", "102290129340398")
RATE = 3300
CONNECTIONS = 200
THREADS = 2000
STATUSES: tuple[graph.Status, ...] = ("sent", "delivered", "read")


async def run(*, quick: bool) -> list[Case]:
    runs, seconds = (1, 3) if quick else (3, 10)
    results: dict[str, list[Result]] = {}
    with temporary_stack() as address, TemporaryDirectory() as folder:
        settings = address.settings(
            meta_app_secret=SECRET, meta_verify_token="a-verify-token", secret_keys=SecretBox.generate_key()
        )
        async with (
            _Business.open(settings) as business,
            _server([sys.executable, "-m", "qero", "serve"], _environment(settings)) as ours,
            _server([sys.executable, "-m", "bench.webhook", "floor"], {}) as floor,
        ):
            for number in range(-1, runs):
                for load, rate in (("capacity", None), ("offered", RATE)):
                    for name, port in (("ours", ours), ("floor", floor)):
                        # The first round warms up, at the rate at which caches and plans are made in earnest.
                        length = seconds if number >= 0 else 2
                        bodies = await business.bodies((rate or 12_000) * length)
                        result = await _generate(Path(folder), bodies, port=port, rate=rate, seconds=length)
                        if result.refused:
                            raise RuntimeError(f"{load} {name}: {result.refused} weren't answered 200")
                        if name == "ours":
                            await business.check(bodies[: result.answered], result)
                        if number >= 0:
                            results.setdefault(f"{load} {name}", []).append(result)
                        progress(f"run {number + 1}/{runs} {load} {name}: {result}")

    def median(name: str, figure: str) -> float:
        return statistics.median(float(getattr(result, figure)) for result in results[name])

    def case(load: str, label: str, figure: str, unit: str) -> Case:
        ours, floor = median(f"{load} ours", figure), median(f"{load} floor", figure)
        return Case(label, ours, unit, runs, floor=floor, lower_is_better=unit == "ms")

    return [
        case("capacity", f"{CONNECTIONS} connections", "rate", "events/s"),
        case("offered", f"{RATE} events/s offered", "rate", "events/s"),
        case("offered", f"{RATE} events/s offered, p50", "p50_ms", "ms"),
        case("offered", f"{RATE} events/s offered, p99", "p99_ms", "ms"),
    ]


class _Business:
    """A workspace with a connected number and customers who have written before."""

    def __init__(self, database: psycopg.AsyncConnection[Any]) -> None:
        self._database = database
        self._batches = 0

    @classmethod
    @asynccontextmanager
    async def open(cls, settings: Settings) -> AsyncIterator[_Business]:
        async with (
            Clients(settings) as clients,
            await psycopg.AsyncConnection.connect(settings.require("db_url"), autocommit=True) as database,
        ):
            service = clients.service()
            await service.auth.admin.create_user(
                {"email": "olga@example.com", "password": PASSWORD, "email_confirm": True}
            )
            session = await clients.http.post(
                f"{settings.supabase_url}/auth/v1/token?grant_type=password",
                headers={"apikey": settings.require("publishable_key")},
                json={"email": "olga@example.com", "password": PASSWORD},
            )
            olga = await clients.user(session.raise_for_status().json()["access_token"])
            workspace = await Workspaces(olga).create("acme", "Acme")
            await Connections(service, SecretBox.from_settings(settings)).connect(
                workspace.id,
                waba_id=NUMBER.waba_id,
                phone_number_id=NUMBER.phone_number_id,
                access_token=NUMBER.access_token,
                display_phone_number=NUMBER.display_phone_number,
            )
            for start in range(0, THREADS, 500):
                first = [graph.text_webhook(NUMBER, _customer(start + index), "Hello") for index in range(500)]
                await Webhooks(service).ingest(parse_body(graph.encode(graph.batch(*first))))
            yield cls(database)

    async def bodies(self, count: int) -> list[bytes]:
        """So many webhooks that nobody has sent yet: by turns a text, and a status of an earlier reply."""
        self._batches += 1
        mark = f"wamid.{self._batches}"
        await self._database.execute(
            """
            insert into wa_messages (workspace_id, connection_id, thread_id, direction, wa_message_id, type, body,
              status, occurred_at)
            select thread.workspace_id, thread.connection_id, thread.id, 'out', %s || '.out.' || number, 'text', 'Hi',
              'pending', now()
            from generate_series(0, %s) as number
            join (select row_number() over () - 1 as place, wa_threads.* from wa_threads) as thread
              on thread.place = number %% %s
            """,
            (mark, count // 2 // len(STATUSES), THREADS),
        )
        await self._database.execute("vacuum analyze wa_messages")
        return [graph.encode(_text(mark, n) if n % 2 else _status(mark, n // 2)) for n in range(count)]

    async def check(self, answered: list[bytes], result: Result) -> None:
        """The database holds what was answered and nothing else, and each text is a message."""
        mark = f"wamid.{self._batches}"
        if result.answered > len(answered):
            raise RuntimeError("there were too few bodies")
        expected = {event.event_key for body in answered for event in parse_body(body)}
        rows = await self._database.execute(
            "select event_key from meta_webhook_events where event_key like %s", (f"%{mark}.%",)
        )
        stored = {key for (key,) in await rows.fetchall()}
        if stored != expected:
            raise RuntimeError(f"{len(expected - stored)} answered and not stored, {len(stored - expected)} too many")
        rows = await self._database.execute(
            "select count(*) from wa_messages where direction = 'in' and wa_message_id like %s", (f"{mark}.in.%",)
        )
        if await rows.fetchone() != (len(answered) // 2,):
            raise RuntimeError("not every text became a message")


def _customer(index: int) -> str:
    return f"+4915{index:08d}"


def _text(mark: str, number: int) -> dict[str, Any]:
    return graph.text_webhook(
        NUMBER, _customer(number * 7919 % THREADS), f"Is it open today? ({number})", wamid=f"{mark}.in.{number}"
    )


def _status(mark: str, number: int) -> dict[str, Any]:
    message, step = divmod(number, len(STATUSES))
    sent = graph.SentMessage(
        phone_number_id=NUMBER.phone_number_id, display_phone_number=NUMBER.display_phone_number,
        waba_id=NUMBER.waba_id, token_fingerprint="", to=_customer(message % THREADS), payload={}, opaque_id=None,
        wamid=f"{mark}.out.{message}", sent_at=datetime.now(UTC),
    )  # fmt: skip
    return graph.status_webhook(sent, STATUSES[step])


# --- Processes ---


def _environment(settings: Settings) -> dict[str, str]:
    return {
        "SUPABASE_URL": settings.require("supabase_url"),
        "SUPABASE_PUBLISHABLE_KEY": settings.require("publishable_key"),
        "SUPABASE_SECRET_KEY": settings.require("secret_key"),
        "META_APP_SECRET": SECRET,
        "META_VERIFY_TOKEN": settings.require("meta_verify_token"),
    }


@asynccontextmanager
async def _server(command: list[str], environment: dict[str, str]) -> AsyncIterator[int]:
    """The port of a server in a process of its own."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *command, "--port", str(port), env={**os.environ, **environment}, stderr=subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient() as http:
            deadline = time.monotonic() + 20
            while True:
                try:
                    await http.get(f"http://127.0.0.1:{port}/healthz")
                    break
                except httpx.HTTPError:
                    if process.returncode is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"{command} doesn't answer") from None
                    await asyncio.sleep(0.05)
        yield port
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


def _serve_floor(port: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        if scope["method"] == "POST":
            verify_signature(body, dict(scope["headers"])[b"x-hub-signature-256"], SECRET)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, lifespan="off")


# --- The generator ---


@dataclass(frozen=True)
class Result:
    answered: int
    refused: int
    rate: float
    p50_ms: float
    p99_ms: float
    late_p99_ms: float
    """How late the generator itself was."""


async def _generate(folder: Path, bodies: list[bytes], *, port: int, rate: int | None, seconds: int) -> Result:
    """Run the generator in a process of its own."""
    file = folder / "bodies"
    file.write_bytes(b"\n".join(bodies))
    options = json.dumps({"file": str(file), "port": port, "rate": rate, "seconds": seconds})
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.webhook", "generate", options, stdout=subprocess.PIPE
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), seconds * 4 + 30)
    finally:
        if process.returncode is None:
            process.kill()
    return TypeAdapter(Result).validate_json(output)


class _Connection(asyncio.Protocol):
    """One kept-alive connection with one request on it at a time."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._answer = b""
        self._transport: Any = None
        self._due = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def post(self, body: bytes, due: float) -> None:
        self._due = due
        self._transport.write(
            b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
            b"x-hub-signature-256: %b\r\ncontent-length: %d\r\n\r\n%b"
            % (PATH.encode(), graph.sign(body, SECRET).encode(), len(body), body)
        )

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, ended, rest = self._answer.partition(b"\r\n\r\n")
        if not ended:
            return
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        if len(rest) < length:
            return
        self._answer = b""
        self._load.answered(self, self._due, head.startswith(b"HTTP/1.1 200"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._load.lost()


class _Load:
    def __init__(self, bodies: Iterator[bytes], *, rate: int | None, seconds: int) -> None:
        self._bodies = bodies
        self._rate = rate
        self._seconds = seconds
        # In turn, so that none idles until the server closes it.
        self._idle: deque[_Connection] = deque()
        self._overdue: deque[tuple[bytes, float]] = deque()
        self._under_way = 0
        self._times: list[float] = []
        self._lateness: list[float] = []
        self._refused = 0
        self._offering = True
        self._done = asyncio.Event()

    async def run(self, port: int) -> Result:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            _, connection = await loop.create_connection(lambda: _Connection(self), "127.0.0.1", port)
            self._idle.append(connection)
        started = time.perf_counter()
        if self._rate is None:
            for connection in self._idle:
                self._post(connection, next(self._bodies), time.perf_counter())
            await asyncio.sleep(self._seconds)
        else:
            await self._offer(started, self._rate)
        self._offering = False
        if self._under_way or self._overdue:
            await self._done.wait()
        elapsed = time.perf_counter() - started
        times = statistics.quantiles(self._times, n=100)
        late = statistics.quantiles(self._lateness, n=100)[98] if self._lateness else 0
        answered = len(self._times) - self._refused
        return Result(answered, self._refused, answered / elapsed, times[49] * 1000, times[98] * 1000, late * 1000)

    async def _offer(self, started: float, rate: int) -> None:
        total, offered = rate * self._seconds, 0
        while offered < total:
            now = time.perf_counter()
            due_by_now = min(total, int((now - started) * rate) + 1)
            for number in range(offered, due_by_now):
                due = started + number / rate
                self._lateness.append(now - due)
                body = next(self._bodies)
                if self._idle:
                    self._post(self._idle.popleft(), body, due)
                else:
                    self._overdue.append((body, due))
            offered = due_by_now
            await asyncio.sleep(0.001)

    def _post(self, connection: _Connection, body: bytes, due: float) -> None:
        self._under_way += 1
        connection.post(body, due)

    def answered(self, connection: _Connection, due: float, well: bool) -> None:
        now = time.perf_counter()
        self._times.append(now - due)
        self._refused += not well
        self._under_way -= 1
        if self._overdue:
            self._post(connection, *self._overdue.popleft())
        elif self._rate is None and self._offering:
            self._post(connection, next(self._bodies), now)
        else:
            self._idle.append(connection)
            if not self._offering and not self._under_way:
                self._done.set()

    def lost(self) -> None:
        # What was under way on it is never answered, and the count of refusals says so.
        if not self._done.is_set() and (self._offering or self._under_way):
            self._refused += 1


def _main(role: str, *arguments: str) -> None:
    if role == "floor":
        _serve_floor(int(arguments[-1]))
        return
    options = json.loads(arguments[0])
    bodies = Path(options["file"]).read_bytes().split(b"\n")
    # Without end, because the floor may get through more than there are: it doesn't care.
    load = _Load(cycle(bodies), rate=options["rate"], seconds=options["seconds"])
    with asyncio.Runner(loop_factory=uvicorn.Config("", loop="auto").get_loop_factory()) as runner:
        print(json.dumps(asdict(runner.run(load.run(options["port"])))))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        _main(*sys.argv[1:])
