"""`qero worker`: sends what the outbox holds."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import asdict
from typing import Annotated

import httpx
import typer
from rich.table import Table

from qero.cli import app, out, print_json, print_lines
from qero.clients.factory import Clients
from qero.clients.graph import GraphClient
from qero.clients.secrets import SecretBox
from qero.clients.transport import AiohttpTransport
from qero.clients.webpush import WebPushClient
from qero.errors import QeroError
from qero.logs import get_logger
from qero.memory import spare_what_is_loaded
from qero.models.outbox import QueuedMessage
from qero.services.outbox import Outbox
from qero.services.pushes import Pushes
from qero.services.upkeep import Upkeep
from qero.settings import Settings
from qero.worker import Channel, Metrics, Summary, WebPushChannel, WhatsAppChannel, Worker, keep_inboxes, listen

STATS_SECONDS = 15.0

log = get_logger("qero.worker")


@app.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="Send what is due now, then end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what is queued; send and change nothing.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=2000, help="How many messages in hand at the same time.")] = 50,
    number_concurrency: Annotated[
        int | None, typer.Option(min=1, max=2000, help="How many sends by one number at the same time.")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Answer Prometheus on this port; 0 takes a free one.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="The address to answer Prometheus on.")] = "127.0.0.1",
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Send what the outbox holds, until SIGTERM or Ctrl-C; what is being sent then is finished first.

    Any number of workers may run at once. Needs SUPABASE_URL, both keys and QERO_SECRET_KEYS. With SUPABASE_DB_URL, a
    direct connection, it is woken when something is queued; without, it looks at least once a second. With
    VAPID_PRIVATE_KEY, VAPID_PUBLIC_KEY and VAPID_SUBJECT it sends notifications too.
    """
    if dry_run:
        _show(asyncio.run(_queued()), as_json=as_json)
        return
    with asyncio.Runner(loop_factory=_event_loop()) as runner:
        summary = runner.run(
            _work(
                once=once,
                concurrency=concurrency,
                number_concurrency=number_concurrency,
                metrics_at=None if metrics_port is None else (metrics_host, metrics_port),
            )
        )
    if as_json:
        print_json(asdict(summary))
    else:
        out.print(", ".join(f"{count} {name}" for name, count in asdict(summary).items()), highlight=False)


def _event_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, which sends a fourth more, where there is one."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _work(
    *, once: bool, concurrency: int, number_concurrency: int | None, metrics_at: tuple[str, int] | None
) -> Summary:
    settings = Settings.load()
    metrics = Metrics()
    wake = asyncio.Event()
    # A pool of its own: sends that hang must not keep the database's connections from those that report.
    meta = httpx.AsyncClient(
        timeout=httpx.Timeout(settings.request_timeout_seconds, connect=5.0),
        transport=AiohttpTransport(max_connections=concurrency),
    )
    async with AsyncExitStack() as stack:
        clients = await stack.enter_async_context(Clients(settings))
        await stack.enter_async_context(meta)
        graph = GraphClient.from_settings(settings, meta)
        outbox = Outbox(clients.service())
        channels: dict[str, Channel] = {"whatsapp": WhatsAppChannel(graph, SecretBox.from_settings(settings))}
        if settings.vapid_private_key is not None:
            push = WebPushClient.from_settings(settings, max_connections=concurrency)
            channels["web_push"] = WebPushChannel(Pushes(clients.service()), await stack.enter_async_context(push))
        sender = Worker(
            outbox,
            channels,
            concurrency=concurrency,
            number_concurrency=number_concurrency,
            wake=wake,
            metrics=metrics,
        )
        spare_what_is_loaded()
        if once:
            return await sender.run_once()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        beside = [asyncio.create_task(keep_inboxes(Upkeep(clients.service())))]
        if settings.db_url is not None:
            beside.append(asyncio.create_task(listen(settings.require("db_url"), wake)))
        if metrics_at is not None:
            host, port = metrics_at
            log.info("metrics_served", host=host, port=metrics.serve(port, host))
            beside.append(asyncio.create_task(_watch(outbox, metrics)))
        for task in beside:
            # They go on until they are cancelled. One that ends failed: what is being sent is finished, then all ends.
            task.add_done_callback(lambda _: stop.set())
        try:
            summary = await sender.run(stop)
        finally:
            for task in beside:
                task.cancel()
            ended = await asyncio.gather(*beside, return_exceptions=True)
        for outcome in ended:
            if isinstance(outcome, Exception):
                raise outcome
        return summary


async def _watch(outbox: Outbox, metrics: Metrics) -> None:
    """Keep the figures of the whole outbox fresh."""
    while True:
        try:
            metrics.show(await outbox.stats())
        except QeroError as error:
            log.warning("stats_failed", code=error.code)
        await asyncio.sleep(STATS_SECONDS)


async def _queued() -> list[QueuedMessage]:
    async with Clients(Settings.load()) as clients:
        return await Outbox(clients.service()).list("queued", limit=200)


def _show(messages: list[QueuedMessage], *, as_json: bool) -> None:
    if as_json:
        print_json([message.model_dump(mode="json", exclude={"payload", "recipient"}) for message in messages])
        return
    if not messages:
        print_lines("Nothing is queued.")
        return
    table = Table("id", "channel", "connection", "due", "attempts", "priority", box=None)
    for message in messages:
        table.add_row(
            str(message.id),
            message.channel,
            str(message.connection_id or ""),
            message.scheduled_at.isoformat(timespec="seconds"),
            f"{message.attempts} of {message.max_attempts}",
            str(message.priority),
        )
    out.print(table)
