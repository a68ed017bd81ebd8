"""How soon a chat session is back after each thing that can happen to its connection, with every message there once.

A session with the real client library, through a proxy that breaks connections; another member writes ten messages a
second all the while. Seconds count from the moment that the service can be reached again until the session is live and
has handed out a message that was written after that moment; for a connection that is lost without an outage, from the
loss. The last case counts what was lost, doubled or out of order, and joins beyond one for each fault.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from bench.realtime import members, tokens
from bench.report import Case, progress
from qero import Chats, ChatSession, Clients
from qero.chat import MessageReceived, SessionState
from qero.local.stack import temporary_stack
from tests.realtime.weather import Weather


async def run(*, quick: bool) -> list[Case]:
    away_seconds, rounds = (3, 1) if quick else (60, 3)
    with temporary_stack(durable=False) as address:
        settings = address.settings()
        async with Weather.over(settings.require("supabase_url"), seed=1) as weather:
            proxied = settings.model_copy(update={"supabase_url": weather.url})
            async with Clients(settings) as clients, Clients(proxied) as through_weather:
                # Each token is of the project that its client knows.
                [bobs_token, _] = await members(address, 1)
                [_, olgas_token] = tokens(address, 1, url=weather.url)
                bob = Chats(await clients.user(bobs_token))
                [chat] = await bob.list()
                session = ChatSession(await through_weather.user(olgas_token), chat.id)
                return await _Run(bob, session, weather, away_seconds, rounds).cases()


class _Run:
    def __init__(self, bob: Chats, session: ChatSession, weather: Weather, away_seconds: int, rounds: int) -> None:
        self._bob = bob
        self._session = session
        self._weather = weather
        self._away_seconds = away_seconds
        self._rounds = rounds
        self._seqs: list[int] = []
        self._there = asyncio.Condition()

    async def cases(self) -> list[Case]:
        faults: dict[str, Callable[[], Awaitable[None]]] = {
            "cut": self._cut,
            "half open": self._half_open,
            f"away for {self._away_seconds} s": self._go_away,
            f"unanswered for {self._away_seconds // 2} s": self._answer_nothing,
        }
        cases = []
        async with self._session:
            await self._session.wait_until(SessionState.SUBSCRIBED)
            reader, writer = asyncio.create_task(self._read()), asyncio.create_task(self._write())
            self._weather.drop = self._weather.double = 0.1
            for name, fault in faults.items():
                times = [await self._recovery(fault) for _ in range(self._rounds)]
                cases.append(Case(f"{name}/slowest recovery", max(times), "s", self._rounds))
                progress(f"{name}: {max(times):.2f} s")
            await self._weather.clear_up()
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)
            latest = (await self._bob.send(self._session.chat_id, "The last one.")).seq
            await self._until(latest)
            joins = self._session.statistics.disconnects - len(faults) * self._rounds
        await reader
        wrong = len(set(range(1, latest + 1)) ^ set(self._seqs)) + len(self._seqs) - len(set(self._seqs))
        wrong += self._seqs != sorted(self._seqs)
        return [
            *cases,
            Case(f"{latest} messages/lost, doubled or out of order", wrong, "messages", 1),
            Case("joins beyond one for each fault", joins, "joins", 1),
        ]

    async def _recovery(self, fault: Callable[[], Awaitable[None]]) -> float:
        lost = self._session.statistics.disconnects
        await fault()
        started = time.monotonic()
        while self._session.statistics.disconnects == lost:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await self._session.wait_until(SessionState.SUBSCRIBED)
        await self._until((await self._bob.send(self._session.chat_id, "After that.")).seq)
        return time.monotonic() - started

    async def _cut(self) -> None:
        self._weather.cut()

    async def _half_open(self) -> None:
        self._weather.half_open()

    async def _go_away(self) -> None:
        await self._weather.go_away()
        await asyncio.sleep(self._away_seconds)
        await self._come_back()

    async def _answer_nothing(self) -> None:
        self._weather.answers_nothing = True
        self._weather.cut()
        await asyncio.sleep(self._away_seconds / 2)
        await self._come_back()

    async def _come_back(self) -> None:
        await self._weather.clear_up()
        self._weather.drop = self._weather.double = 0.1

    async def _read(self) -> None:
        async for event in self._session:
            if isinstance(event, MessageReceived):
                self._seqs.append(event.message.seq)
                async with self._there:
                    self._there.notify_all()

    async def _until(self, seq: int) -> None:
        async with asyncio.timeout(60), self._there:
            await self._there.wait_for(lambda: bool(self._seqs) and self._seqs[-1] >= seq)

    async def _write(self) -> None:
        while True:
            await self._bob.send(self._session.chat_id, "Meanwhile.")
            await asyncio.sleep(0.1)
