"""What the worker's tests need: queued messages, a worker over the stand-in, and a network that fails on request."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx

from qero import Clients, Outbox, Settings, Threads
from qero.clients.graph import GraphClient
from qero.local.graph import GraphStandIn, SentMessage, batch, text_webhook
from qero.models.whatsapp import Message, Thread
from qero.worker import WhatsAppChannel, Worker
from tests.support import HURRY, Number, World, digits

QERO = Path(sys.executable).with_name("qero")


async def until(condition: Callable[[], Awaitable[bool]], *, seconds: float = 30) -> None:
    """Wait for an awaitable condition to hold."""
    deadline = time.monotonic() + seconds
    while not await condition():
        assert time.monotonic() < deadline, "it never happened"
        await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Row:
    """A message of the outbox as it is stored."""

    status: str
    attempts: int
    error_code: str | None
    seconds_until_due: float


class Post:
    """Numbers with customers, what is queued to them, and what reached them."""

    def __init__(self, world: World, graph: GraphStandIn, http: httpx.AsyncClient) -> None:
        self.world = world
        self.graph = graph
        self.http = http

    async def number(self, *, messages_per_second: int = 80) -> Number:
        number = await self.world.number(await self.world.workspace())
        await self.world.rows(
            "update wa_phone_numbers set messages_per_second = %s where id = %s returning id",
            messages_per_second,
            number.connection.id,
        )
        self.graph.add_number(number.at_meta)
        return number

    async def threads(self, number: Number, count: int) -> list[UUID]:
        """Threads of that many customers, who have all just written."""
        senders = [f"+{digits(11)}" for _ in range(count)]
        await self.world.receive(batch(*(text_webhook(number.at_meta, sender, "Hello") for sender in senders)))
        found = await self.world.rows(
            "select id from wa_threads where connection_id = %s order by created_at, id", number.connection.id
        )
        return [thread_id for (thread_id,) in found]

    async def thread(self, number: Number) -> tuple[Thread, str]:
        """A thread, and the phone number of its customer."""
        sender = f"+{digits(11)}"
        return await self.world.thread(number, sender=sender), sender

    async def queue(self, thread_ids: Sequence[UUID], body: str = "Hi") -> list[Message]:
        threads = Threads(self.world.service)
        return list(await asyncio.gather(*(threads.send_text(thread_id, body) for thread_id in thread_ids)))

    def worker(self, clients: Clients | None = None, **options: Any) -> Worker:
        service = (clients or self.world.clients).service()
        graph = GraphClient(self.http, base_url=self.graph.url, version="v26.0")
        return Worker(Outbox(service), {"whatsapp": WhatsAppChannel(graph, self.world.secrets)}, **options)

    async def row(self, message: Message) -> Row:
        [row] = await self.world.rows(
            "select status, attempts, error_code, extract(epoch from scheduled_at - clock_timestamp())::float"
            " from outbox_messages where id = %s",
            message.outbox_id,
        )
        return Row(*row)

    async def shown(self, message: Message) -> tuple[Any, ...]:
        """Status, code and text as the team sees them."""
        [row] = await self.world.rows(
            "select status, error_code, error_text from wa_messages where id = %s", message.id
        )
        return row

    async def hurry(self) -> None:
        """Make everything due that waits for a retry."""
        await self.world.rows(HURRY)

    async def end_leases(self) -> None:
        await self.world.rows("update private.outbox_leases set expires_at = clock_timestamp() returning token")

    async def until_sent(self, count: int = 1) -> None:
        """Wait until that many messages have reached their customers."""

        async def there() -> bool:
            return len(self.graph.sent) >= count

        await until(there)

    def sent(self, message: Message) -> list[SentMessage]:
        return [sent for sent in self.graph.sent if sent.opaque_id == str(message.outbox_id)]


class Proxy:
    """Stands between a client and the API, and breaks connections around requests that name something."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self.url = ""
        self.down = False
        self.drop_before: Counter[str] = Counter()
        """Requests to lose on their way, by part of their path: the database never hears of them."""
        self.drop_after: Counter[str] = Counter()
        """Answers to lose on their way: what they answer is committed."""
        self.seen: Counter[str] = Counter()
        self._open: set[asyncio.StreamWriter] = set()

    @classmethod
    @asynccontextmanager
    async def over(cls, settings: Settings) -> AsyncIterator[tuple[Proxy, Clients]]:
        """The proxy, and clients that reach the stack through it only."""
        proxy = cls(settings.require("supabase_url"))
        server = await asyncio.start_server(proxy._serve, "127.0.0.1", 0)
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with Clients(settings.model_copy(update={"supabase_url": proxy.url})) as clients:
            try:
                yield proxy, clients
            finally:
                server.close()
                proxy.cut()

    def cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        with contextlib.suppress(OSError):
            if not self.down:
                await self._relay(reader, writer)
        self._open.discard(writer)
        writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
        lose_answer = False

        async def back() -> None:
            while (data := await up_reader.read(65536)) and not lose_answer:
                writer.write(data)
            writer.transport.abort()

        answers = asyncio.create_task(back())
        try:
            while (data := await reader.read(65536)) and not self.down:
                line = data.split(b"\r\n", 1)[0].decode("latin-1")
                path = line.split(" ")[1].rpartition("/")[2] if line.endswith("HTTP/1.1") else ""
                self.seen[path] += 1
                if self.drop_before[path] > 0:
                    self.drop_before[path] -= 1
                    return
                if self.drop_after[path] > 0:
                    self.drop_after[path] -= 1
                    lose_answer = True
                up_writer.write(data)
        finally:
            if lose_answer:
                await answers
            answers.cancel()
            up_writer.transport.abort()


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """Variables for a `qero` process of its own: the stack's settings and nothing of this machine's."""
    named = {
        "SUPABASE_URL": "supabase_url",
        "SUPABASE_PUBLISHABLE_KEY": "publishable_key",
        "SUPABASE_SECRET_KEY": "secret_key",
        "SUPABASE_DB_URL": "db_url",
        "QERO_SECRET_KEYS": "secret_keys",
        "META_APP_SECRET": "meta_app_secret",
        "META_VERIFY_TOKEN": "meta_verify_token",
    }
    ours = {variable: settings.require(name) for variable, name in named.items()}
    return {"PATH": os.environ.get("PATH", ""), "HOME": os.environ.get("HOME", ""), "COLUMNS": "200", **ours, **more}
