"""procrastinate over psycopg's pool, many jobs at the same time, finished ones deleted."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import procrastinate


async def main(action: str, url: str, count: int, concurrency: int) -> None:
    connector = procrastinate.PsycopgConnector(conninfo=url, min_size=4, max_size=8)
    app = procrastinate.App(connector=connector)

    async def do_nothing(n: int) -> None:
        pass

    noop = app.task(name="noop")(do_nothing)

    async with app.open_async():
        if action == "fill":
            if not await app.check_connection_async():
                await app.schema_manager.apply_schema_async()
            await connector.execute_query_async("truncate procrastinate_jobs cascade")
            for start in range(0, count, 1000):
                await noop.batch_defer_async(*({"n": n} for n in range(start, start + 1000)))
        else:
            started = time.time()
            await app.run_worker_async(
                wait=False,
                concurrency=concurrency,
                listen_notify=False,
                install_signal_handlers=False,
                delete_jobs="always",
            )
            print(json.dumps({"started": started, "ended": time.time(), "done": 0}))


if __name__ == "__main__":
    action, url, number, batch = sys.argv[1:5]
    asyncio.run(main(action, url, int(number), 30))
