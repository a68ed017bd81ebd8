"""`qero serve` in several processes."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
from pathlib import Path

import httpx

from qero import Settings
from tests.worker.support import QERO, environment


async def test_several_processes_share_a_port_their_figures_and_an_orderly_end(
    tmp_path: Path, settings: Settings
) -> None:
    env = environment(settings) | {"QERO_METRICS_TOKEN": "a-token", "TMPDIR": str(tmp_path)}
    server = await asyncio.create_subprocess_exec(
        QERO, "serve", "--port", "0", "--workers", "2", cwd=tmp_path, env=env, stderr=asyncio.subprocess.PIPE
    )
    assert server.stderr is not None
    started = json.loads(await asyncio.wait_for(server.stderr.readline(), 20))
    rest = asyncio.create_task(server.stderr.read())
    address = f"http://127.0.0.1:{started['port']}"

    async def health() -> int:
        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            return (await client.get("/healthz")).status_code

    # What comes before a process is there waits in the socket.
    assert {await health() for _ in range(60)} == {200}
    async with httpx.AsyncClient(base_url=address) as client:
        figures = (await client.get("/metrics", headers={"authorization": "Bearer a-token"})).text
    server.send_signal(signal.SIGTERM)
    logged = [json.loads(line) for line in (await asyncio.wait_for(rest, 30)).splitlines()]

    assert await server.wait() == 0
    [counted] = re.findall(r'request_seconds_count{method="GET",route="/healthz",status="200"} (\d+)', figures)
    assert int(counted) == 60, "each process answers for all"
    assert started["workers"] == 2
    assert {event["event"] for event in logged} == {"http_request"}
    assert os.listdir(tmp_path) == [], "the folder of the figures is gone"
