"""How long a developer waits: the stack from nothing, the stack again, and the import.

The floor of the first is Postgres alone: initdb, start, answer, stop. The floor of the import is supabase-py's own.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.report import Case, interleaved
from qero.local.postgres import Postgres
from qero.local.processes import free_port
from qero.local.stack import Stack
from qero.local.state import Home
from qero.local.toolchain import ensure_tools


async def run(*, quick: bool) -> list[Case]:
    runs = 3 if quick else 5
    tools = ensure_tools()

    async def up(*, with_data: bool) -> float:
        with TemporaryDirectory(prefix="qero-bench-") as folder:
            stack = Stack(Path(folder))
            if with_data:
                await asyncio.to_thread(stack.up, with_me=True)
                await asyncio.to_thread(stack.down)
            started = time.perf_counter()
            await asyncio.to_thread(stack.up, with_me=True)
            seconds = time.perf_counter() - started
            await asyncio.to_thread(stack.remove)
        return seconds

    async def postgres_alone() -> float:
        with TemporaryDirectory(prefix="qero-bench-") as folder:
            home = Home(Path(folder, ".qero", "local", "default"))
            await asyncio.to_thread(home.create)
            postgres = Postgres(tools, home.path, home.keys(), port=free_port())
            started = time.perf_counter()
            await postgres.start()
            seconds = time.perf_counter() - started
            await postgres.stop()
            shutil.rmtree(postgres.folder)
        return seconds

    medians = await interleaved(
        {
            "fresh": partial(up, with_data=False),
            "again": partial(up, with_data=True),
            "postgres": postgres_alone,
            "import": _process("import qero"),
            "import floor": _process("import supabase"),
        },
        runs=runs,
        warm_up=1,
    )
    return [
        Case("up, from nothing", medians["fresh"], "s", runs, floor=medians["postgres"]),
        Case("up, with its data there", medians["again"], "s", runs),
        Case("import qero", medians["import"], "s", runs, floor=medians["import floor"]),
    ]


def _process(code: str) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        started = time.perf_counter()
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
        if await process.wait():
            raise RuntimeError(f"python -c {code!r} failed")
        return time.perf_counter() - started

    return measure
