"""`qero worker`: sends what the outbox holds."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import asdict
from typing import Annotated

import httpx
import typer

from qero.cli import app, out, print_json
from qero.clients.factory import Clients
from qero.clients.graph import GraphClient
from qero.clients.secrets import SecretBox
from qero.services.outbox import Outbox
from qero.settings import Settings
from qero.worker import Summary, WhatsAppChannel, Worker


@app.command()
def worker(
    once: Annotated[bool, typer.Option("--once", help="Send what is due now, then end.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=500, help="How many sends at the same time.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Send what the outbox holds, until SIGTERM or Ctrl-C; what is being sent then is finished first.

    Any number of workers may run at once. Needs SUPABASE_URL, both keys and QERO_SECRET_KEYS.
    """
    summary = asyncio.run(_work(once=once, concurrency=concurrency))
    if as_json:
        print_json(asdict(summary))
    else:
        out.print(", ".join(f"{count} {name}" for name, count in asdict(summary).items()), highlight=False)


async def _work(*, once: bool, concurrency: int) -> Summary:
    settings = Settings.load()
    # A pool of its own: sends that hang must not keep the database's connections from those that report.
    meta = httpx.AsyncClient(
        timeout=httpx.Timeout(settings.request_timeout_seconds, connect=5.0),
        limits=httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency),
    )
    async with Clients(settings) as clients, meta:
        graph = GraphClient(meta, base_url=settings.graph_url, version=settings.graph_version)
        sender = Worker(
            Outbox(clients.service()),
            {"whatsapp": WhatsAppChannel(graph, SecretBox.from_settings(settings))},
            concurrency=concurrency,
        )
        if once:
            return await sender.run_once()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return await sender.run(stop)
