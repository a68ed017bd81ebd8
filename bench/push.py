"""Notifications to a push service on this machine, in three ways: plain calls of pywebpush, its asynchronous call with
a shared session, and ours. The service runs in a process of its own, checks every token, and decrypts a sample.

The last case is the whole way of one message to a group: from the event in the outbox to 500 devices.
"""

from __future__ import annotations

import asyncio
import json
import logging
import multiprocessing
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from typing import Any
from uuid import uuid4

import aiohttp
import psycopg
import structlog
from pywebpush import webpush, webpush_async

from bench.report import Case, interleaved
from qero import Clients, Outbox
from qero.clients.webpush import TIME_TO_LIVE_SECONDS, VapidKeys, WebPushClient
from qero.local.push import PushServiceStandIn
from qero.local.stack import temporary_stack
from qero.models.outbox import Accepted
from qero.models.push import Device
from qero.services.pushes import Pushes
from qero.worker import WebPushChannel, Worker

CONCURRENCY = 50
SUBJECT = "mailto:ops@example.com"
PUSH = {
    "kind": "chat_message", "title": "Sales", "body": "Olga: " + "The price is 12. " * 10, "tag": f"chat:{uuid4()}",
    "workspace_id": str(uuid4()), "chat_id": str(uuid4()), "seq": 1017, "count": 3, "badge": 12,
}  # fmt: skip


async def run(*, quick: bool) -> list[Case]:
    public_key, private_key = VapidKeys.generate()
    async with _service(public_key, devices=500) as (origin, devices):
        cases = await _sending(private_key, origin, devices, count=100 if quick else 1000, runs=2 if quick else 7)
        cases += await _fan_out(private_key, origin, devices, runs=1 if quick else 5)
    return cases


async def _sending(private_key: str, origin: str, devices: list[Device], *, count: int, runs: int) -> list[Case]:
    data = json.dumps(PUSH)
    infos = [
        {"endpoint": device.endpoint, "keys": {"p256dh": device.p256dh, "auth": device.auth}} for device in devices
    ]
    headers = {"Urgency": "normal", "Topic": "a-topic"}
    keys = VapidKeys(private_key, subject=SUBJECT)
    async with (
        WebPushClient(keys, allowed_origins=frozenset({origin}), max_connections=CONCURRENCY) as client,
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONCURRENCY)) as session,
    ):

        def plainly(info: dict[str, Any]) -> None:
            webpush(
                info, data, vapid_private_key=private_key, vapid_claims={"sub": SUBJECT}, ttl=TIME_TO_LIVE_SECONDS,
                headers=dict(headers),
            )  # fmt: skip

        async def asynchronously(info: dict[str, Any]) -> None:
            answer = await webpush_async(
                info, data, vapid_private_key=private_key, vapid_claims={"sub": SUBJECT}, ttl=TIME_TO_LIVE_SECONDS,
                headers=dict(headers), aiohttp_session=session,
            )  # fmt: skip
            assert answer.status == 201

        async def ours(device: Device) -> None:
            assert isinstance(await client.send(device, PUSH), Accepted)

        async def plain_rate() -> float:
            started = time.perf_counter()
            for number in range(count // 5):
                await asyncio.to_thread(plainly, infos[number % len(infos)])
            return count // 5 / (time.perf_counter() - started)

        rates = await interleaved(
            {
                "webpush": plain_rate,
                "webpush_async, shared session": lambda: _rate(asynchronously, infos, count),
                "ours": lambda: _rate(ours, devices, count),
            },
            runs=runs,
        )
    return [
        Case(f"pushes, {CONCURRENCY} at once", rates.pop("ours"), "pushes/s", runs, peers=rates, lower_is_better=False)
    ]


async def _rate(send: Callable[[Any], Awaitable[None]], to: list[Any], count: int) -> float:
    async def some(mine: Iterable[int]) -> None:
        for number in mine:
            await send(to[number % len(to)])

    started = time.perf_counter()
    await asyncio.gather(*(some(range(first, count, CONCURRENCY)) for first in range(CONCURRENCY)))
    return count / (time.perf_counter() - started)


async def _fan_out(private_key: str, origin: str, devices: list[Device], *, runs: int) -> list[Case]:
    """One message to a chat with 250 others, two devices each: what a worker takes from the due event to the last."""
    # A worker of its own process would log to a file.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with temporary_stack() as address:
        settings = address.settings()
        async with (
            Clients(settings) as clients,
            await psycopg.AsyncConnection.connect(settings.require("db_url"), autocommit=True) as database,
            WebPushClient(
                VapidKeys(private_key, subject=SUBJECT),
                allowed_origins=frozenset({origin}),
                max_connections=CONCURRENCY,
            ) as client,
        ):
            await database.execute(_GROUP)
            columns = zip(*((device.endpoint, device.p256dh, device.auth) for device in devices), strict=True)
            await database.execute(_DEVICES, [list(column) for column in columns])
            service = clients.service()

            async def seconds() -> float:
                await database.execute(_MESSAGE)
                channel = WebPushChannel(Pushes(service), client)
                started = time.perf_counter()
                summary = await Worker(Outbox(service), {"web_push": channel}, concurrency=200).run_once()
                taken = time.perf_counter() - started
                assert summary.sent == len(devices) + 1, summary
                return taken

            found = await interleaved({"ours": seconds}, runs=runs)
    return [Case(f"one message to {len(devices)} devices", found["ours"], "s", runs)]


_GROUP = """
insert into auth.users (id, email)
select md5('person' || i)::uuid, 'p' || i || '@example.com' from generate_series(0, 250) as i;
insert into public.workspaces (id, slug, name) values (md5('workspace')::uuid, 'bench', 'Bench');
insert into public.workspace_memberships (workspace_id, user_id, role)
select md5('workspace')::uuid, md5('person' || i)::uuid, 'owner' from generate_series(0, 250) as i;
insert into public.chats (id, workspace_id, title) values (md5('chat')::uuid, md5('workspace')::uuid, 'Everybody');
insert into public.chat_members (workspace_id, chat_id, user_id)
select md5('workspace')::uuid, md5('chat')::uuid, md5('person' || i)::uuid from generate_series(0, 250) as i;
"""
_DEVICES = """
insert into public.push_subscriptions (user_id, endpoint, p256dh, auth)
select md5('person' || (1 + device.number %% 250))::uuid, device.endpoint, device.p256dh, device.auth
from unnest(%s::text[], %s::text[], %s::text[]) with ordinality as device (endpoint, p256dh, auth, number)
"""
_MESSAGE = """
insert into public.chat_messages (chat_id, sender_id, body)
values (md5('chat')::uuid, md5('person0')::uuid, 'The price is 12.');
with moved as (update private.outbox_ready set run_at = now() returning id)
update public.outbox_messages as outbox set scheduled_at = now(), idempotency_key = moved.id::text
from moved where outbox.id = moved.id;
"""


@asynccontextmanager
async def _service(public_key: str, *, devices: int) -> AsyncIterator[tuple[str, list[Device]]]:
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, public_key, devices), daemon=True
    )
    process.start()
    try:
        origin, found = await asyncio.to_thread(ours.recv)
        yield origin, [Device.model_validate(device) for device in found]
    finally:
        ours.send(None)
        await asyncio.to_thread(process.join, 10)


def _serve(pipe: Connection, public_key: str, count: int) -> None:
    async def serve() -> None:
        async with PushServiceStandIn.serve(decrypt_one_in=20) as service:
            devices = [service.subscribe(public_key) for _ in range(count)]
            row = {"user_id": uuid4(), "user_agent": None, "failure_count": 0, "last_error": None,
                   "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z"}  # fmt: skip
            pipe.send((
                service.url,
                [{**row, "id": uuid4(), "endpoint": device.endpoint, "p256dh": device.p256dh, "auth": device.auth}
                 for device in devices],
            ))  # fmt: skip
            await asyncio.to_thread(pipe.recv)

    asyncio.run(serve())
