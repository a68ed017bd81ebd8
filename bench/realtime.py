"""From commit to a subscriber's callback, on the local stack: `ChatSession` with 1, 50 and 500 members listening.

Everybody has a connection of their own to the server, in one process. A message is sent when the one before it has
reached everybody, and then the next: what is measured is the way of one message, not a queue. Times are taken from
the answer of `send_message`, which comes after the commit, to each subscriber's callback; one that is faster than the
answer counts as 0. `broadcast` is what a session listens to; `postgres_changes` asks row security once for each
subscriber.

The floor is the same for a broadcast without a database: a message from one client to the others of a public channel.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from contextlib import AsyncExitStack
from typing import Any
from uuid import UUID, uuid4

import jwt
import psycopg
from realtime import AsyncRealtimeClient

from bench.report import Case, progress
from qero import Chats, ChatSession, Clients
from qero.chat import MessageReceived, SessionState, Timings
from qero.local.stack import Address, temporary_stack

SENDER = UUID("10000000-0000-0000-0000-000000000001")
# On a machine that is busy with five hundred others a join takes its time.
PATIENT = Timings(join=60, quiet=60, call=60, first_probe=3600, probe=3600)


async def run(*, quick: bool) -> list[Case]:
    sizes, messages = ((1, 10), 10) if quick else ((1, 50, 500), 60)
    cases = []
    for size in sizes:
        with temporary_stack(durable=False) as address:
            async with Clients(address.settings()) as clients:
                tokens = await members(address, size)
                floor = await _floor(address, size, messages)
                sources: dict[str, Any] = {"broadcast": "broadcast"}
                if size <= 50:
                    sources["postgres_changes"] = "postgres_changes"
                for name, source in sources.items():
                    times = await _session_times(clients, tokens, source, messages)
                    for percent in (50, 99):
                        cases.append(
                            Case(
                                f"{name}/{size} subscribers/p{percent}", _percentile(times, percent), "ms",
                                len(times), floor=_percentile(floor, percent),
                            )
                        )  # fmt: skip
                        progress(f"{cases[-1].case}: {cases[-1].ours:.1f} ms")
    return cases


async def members(address: Address, size: int) -> list[str]:
    """A chat with so many members beside the sender; their tokens, the sender's first."""
    ids = _ids(size)
    async with await psycopg.AsyncConnection.connect(address.db_url, autocommit=True) as connection:
        await connection.execute(
            """
            insert into auth.users (id, email) select id, id || '@example.com' from unnest(%s::uuid[]) as id
            """,
            [ids],
        )
        await connection.execute(
            """
            with workspace as (insert into workspaces (slug, name) values ('bench', 'Bench') returning id),
              membership as (
                insert into workspace_memberships (workspace_id, user_id, role)
                select workspace.id, person, 'member' from workspace, unnest(%s::uuid[]) as person returning *)
            select count(*) from membership
            """,
            [ids],
        )
        await connection.execute("insert into chats (workspace_id, title) select id, 'Bench' from workspaces")
        await connection.execute(
            """
            insert into chat_members (workspace_id, chat_id, user_id)
            select chats.workspace_id, chats.id, user_id from chats, workspace_memberships
            """
        )
    return tokens(address, size)


def tokens(address: Address, size: int, *, url: str | None = None) -> list[str]:
    """The tokens of `members`, for the stack as it is seen at `url`."""
    settings = address.settings()
    secret = settings.jwt_secret
    if secret is None:
        raise RuntimeError("the local stack has a shared secret")
    common = {
        "aud": "authenticated", "role": "authenticated", "iss": f"{url or settings.supabase_url}/auth/v1",
        "exp": time.time() + 3600, "iat": time.time(),
    }  # fmt: skip
    return [jwt.encode({**common, "sub": str(id_)}, secret.get_secret_value(), "HS256") for id_ in _ids(size)]


def _ids(size: int) -> list[UUID]:
    return [UUID(int=SENDER.int + number) for number in range(size + 1)]


async def _session_times(clients: Clients, tokens: list[str], source: Any, messages: int) -> list[float]:
    sender = Chats(await clients.user(tokens[0]))
    [chat] = await sender.list()
    arrived: asyncio.Queue[tuple[str | None, float]] = asyncio.Queue()

    async def listen(session: ChatSession) -> None:
        async for event in session:
            if isinstance(event, MessageReceived):
                arrived.put_nowait((event.message.body, time.perf_counter()))

    async with AsyncExitStack() as stack:
        sessions = [
            await stack.enter_async_context(
                ChatSession(await clients.user(token), chat.id, source=source, confirm_delivery=False, timings=PATIENT)
            )
            for token in tokens[1:]
        ]
        await asyncio.gather(*(session.wait_until(SessionState.SUBSCRIBED) for session in sessions))
        progress(f"{len(sessions)} subscribers")
        listeners = [asyncio.create_task(listen(session)) for session in sessions]
        times = []
        for _ in range(messages):
            await sender.send(chat.id, "Hello")
            committed = time.perf_counter()
            for _ in sessions:
                _, at = await asyncio.wait_for(arrived.get(), 60)
                times.append(max(0.0, at - committed) * 1000)
    await asyncio.gather(*listeners)
    return times


async def _floor(address: Address, size: int, messages: int) -> list[float]:
    settings = address.settings()
    url, key = f"{settings.supabase_url}/realtime/v1", settings.require("publishable_key")
    arrived: asyncio.Queue[float] = asyncio.Queue()
    clients = [AsyncRealtimeClient(url, key, timeout=60) for _ in range(size + 1)]
    channels = [client.channel("floor") for client in clients]
    for channel in channels[1:]:
        channel.on_broadcast("message", lambda _: arrived.put_nowait(time.perf_counter()))
    for channel in channels:
        await channel.subscribe()
    times = []
    payload = {"body": "Hello", "id": str(uuid4()), "filling": json.dumps(list(range(100)))}
    for _ in range(messages):
        sent = time.perf_counter()
        await channels[0].send_broadcast("message", payload)
        for _ in range(size):
            times.append((await asyncio.wait_for(arrived.get(), 60) - sent) * 1000)
    for client in clients:
        await client.close()
    return times


def _percentile(times: list[float], percent: int) -> float:
    return statistics.quantiles(times, n=100, method="inclusive")[percent - 1]
