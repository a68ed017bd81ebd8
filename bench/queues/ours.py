"""Drains qero's outbox as its worker does: the next batch is claimed while the one before is completed."""

from __future__ import annotations

import json
import sys
import time
from queue import Queue
from threading import Thread
from typing import Any

import psycopg

Batch = list[tuple[Any, ...]]


def claim(url: str, batch: int, name: str, claimed: Queue[Batch]) -> None:
    """Hand over batch after batch, and an empty one at the end."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set role service_role")
        empty = 0
        while empty < 3:
            rows = connection.execute(
                "select lease_token, id::text, recipient, payload::text from public.claim_outbox(%s, %s)", [batch, name]
            ).fetchall()
            if rows:
                empty = 0
                claimed.put(rows)
            else:
                empty += 1
                time.sleep(0.002)
    claimed.put([])


def main(url: str, batch: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set role service_role")
        started = time.time()
        claimed: Queue[Batch] = Queue(maxsize=1)
        Thread(target=claim, args=(url, batch, f"bench {started}", claimed)).start()
        done = 0
        while rows := claimed.get():
            done += len(rows)
            results = json.dumps([{"id": row[1], "provider_message_id": f"wamid.{row[1]}"} for row in rows])
            connection.execute("select count(*) from public.complete_outbox(%s, %s)", [rows[0][0], results])
            ended = time.time()
        print(json.dumps({"started": started, "ended": ended if done else started, "done": done}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
