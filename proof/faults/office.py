"""What every part of the workload works with: a team with two numbers, Meta's stand-in, and how to insist on a call."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString, TypeVar

import httpx
import psycopg

from qero import Clients, QeroError, Settings, UserClient
from qero.local.graph import GraphStandIn
from qero.local.push import PushServiceStandIn
from qero.models.workspace import Workspace
from tests.support import Number, World

T = TypeVar("T")

PAUSE_SECONDS = 0.5
"""Before a call that has failed for a passing reason is repeated, on average."""
UNAVAILABLE = frozenset({429, 502, 503, 504})
"""Answers that ask to come again. A 500 would be a fault of the routes' own."""


@dataclass
class Office:
    """A team at work, and what it has met."""

    world: World
    clients: Clients
    graph: GraphStandIn
    push: PushServiceStandIn
    http: httpx.AsyncClient
    servers: Sequence[str]
    workspace: Workspace
    numbers: Sequence[Number]
    unconnected: Any
    """A number at Meta that is connected when everything is over."""
    people: dict[str, UserClient]
    chance: random.Random
    lead_phones: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    repeated: Counter[str] = field(default_factory=Counter)
    """Calls that were repeated, by the code that they failed with."""
    wrong: list[str] = field(default_factory=list)
    """What must not happen whatever dies: errors that don't say that repeating helps, and worse."""

    @property
    def settings(self) -> Settings:
        return self.world.settings

    def server(self) -> str:
        """Any of the servers, as a balancer would choose."""
        return self.chance.choice(self.servers)

    def blame(self, what: str) -> None:
        self.wrong.append(what)

    async def pause(self) -> None:
        await asyncio.sleep(self.chance.uniform(0.2, 1.8) * PAUSE_SECONDS)

    async def insist(self, call: Callable[[], Awaitable[T]], *, expected: Sequence[str] = ()) -> T | QeroError:
        """Repeat a call while its error says that repeating helps; answers its value, or an error that is expected.

        Raises:
            QeroError: another error, which counts as wrong.
        """
        while True:
            try:
                return await call()
            except QeroError as error:
                if error.code in expected:
                    return error
                if not error.retryable:
                    self.blame(f"a call failed for good: {error.code} {error.detail}")
                    raise
                self.repeated[error.code] += 1
                await self.pause()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """A request to any of the servers, repeated until it is answered for good."""
        while True:
            try:
                answer = await self.http.request(method, f"{self.server()}{path}", **options)
            except httpx.HTTPError as error:
                self.repeated[type(error).__name__] += 1
            else:
                if answer.status_code not in UNAVAILABLE:
                    return answer
                self.repeated[f"http {answer.status_code}"] += 1
            await self.pause()

    async def rows(self, query: LiteralString, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows as the owner of the tables sees them, on a connection of its own: earlier ones may have been killed."""
        url = self.settings.require("db_url")
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as database:
            return await (await database.execute(query, parameters)).fetchall()

    async def scalar(self, query: LiteralString, *parameters: Any) -> Any:
        [[value]] = await self.rows(query, *parameters)
        return value


class Part:
    """One kind of work that goes on all the while, and what has to hold of it in the end."""

    name: str
    per_second: float
    at_once = 20
    """Steps under way at the same time, at most: during an outage work waits for its answers, as people do."""

    def __init__(self, office: Office) -> None:
        self.office = office

    async def prepare(self) -> None:
        """Before anything is killed."""

    async def step(self) -> None:
        """One piece of work, until it is done."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Everything works again: what is still owed is done."""

    async def close(self) -> None:
        """Whatever has happened."""

    async def judge(self) -> dict[str, list[str]]:
        """Each invariant by its name, with what breaks it."""
        raise NotImplementedError

    async def work(self, stop: asyncio.Event, *, rate: float) -> None:
        """Begin steps at the part's pace until told to stop, and wait for those under way."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        steps: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            due = max(due + 1 / (self.per_second * rate), loop.time() - 1)
            try:
                async with asyncio.timeout(max(0.0, due - loop.time())):
                    await stop.wait()
            except TimeoutError:
                if len(steps) < self.at_once:
                    step = asyncio.create_task(self._guarded())
                    steps.add(step)
                    step.add_done_callback(steps.discard)
                else:
                    self.office.counts[f"{self.name}: held back"] += 1
        await asyncio.gather(*steps)

    async def _guarded(self) -> None:
        try:
            await self.step()
        except QeroError:
            pass  # noted already
        except Exception as error:
            self.office.blame(f"{self.name}: {error!r}")


def differences(what: str, expected: dict[Any, Any], found: dict[Any, Any]) -> list[str]:
    """Where two answers by the same keys differ."""
    return [
        f"{what} {key}: expected {expected.get(key)!r}, found {found.get(key)!r}"
        for key in expected.keys() | found.keys()
        if expected.get(key) != found.get(key)
    ]
