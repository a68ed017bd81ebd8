"""pgqueuer over asyncpg and uvloop, draining in batches."""

import json
import sys
import time
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer import PgQueuer
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode


async def fill(url: str, count: int) -> None:
    connection = await asyncpg.connect(url)
    queries = Queries.from_asyncpg_connection(connection)
    if not await queries.schema_is_installed():
        await queries.install()
    await queries.clear_queue()
    for start in range(0, count, 1000):
        await queries.enqueue(["noop"] * 1000, [b"%d" % n for n in range(start, start + 1000)], [0] * 1000)
    await connection.execute("vacuum analyze pgqueuer")
    await connection.close()


async def drain(url: str, batch: int) -> None:
    connection = await asyncpg.connect(url)
    queue = PgQueuer.from_asyncpg_connection(connection)

    async def noop(job: Any) -> None:
        pass

    queue.entrypoint("noop")(noop)

    started = time.time()
    await queue.qm.run(
        batch_size=batch,
        dequeue_timeout=timedelta(seconds=1),
        mode=QueueExecutionMode.drain,
        max_concurrent_tasks=batch * 2,
    )
    print(json.dumps({"started": started, "ended": time.time(), "done": 0}))
    await connection.close()


if __name__ == "__main__":
    action, url, number, batch = sys.argv[1:5]
    uvloop.run(fill(url, int(number)) if action == "fill" else drain(url, int(batch)))
