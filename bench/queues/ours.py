"""Drains qero's outbox: claim, then complete, one call each."""

from __future__ import annotations

import json
import sys
import time

import psycopg


def main(url: str, batch: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("set role service_role")
        started = time.time()
        done, empty = 0, 0
        while empty < 3:
            rows = connection.execute(
                "select lease_token, id, recipient, payload::text from public.claim_outbox(%s, %s)",
                [batch, f"bench {started}"],
            ).fetchall()
            if not rows:
                empty += 1
                time.sleep(0.002)
                continue
            empty, done = 0, done + len(rows)
            results = json.dumps([{"id": str(row[1]), "provider_message_id": f"wamid.{row[1]}"} for row in rows])
            connection.execute("select count(*) from public.complete_outbox(%s, %s)", [rows[0][0], results])
            ended = time.time()
        print(json.dumps({"started": started, "ended": ended if done else started, "done": done}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
