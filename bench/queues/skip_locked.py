"""Drains a table of the same messages the way people write it by hand: skip locked, one row locked and marked each."""

from __future__ import annotations

import json
import sys
import time

import psycopg

SCHEMA = """
create schema if not exists skip_locked;
drop table if exists skip_locked.messages;
create table skip_locked.messages (
  id uuid primary key default gen_random_uuid(), sequence bigint generated always as identity,
  workspace_id uuid not null, channel text not null, connection_id uuid, recipient text not null,
  payload jsonb not null, idempotency_key text not null, status text not null default 'queued',
  attempts integer not null default 0, scheduled_at timestamptz not null default now(), locked_until timestamptz,
  provider_message_id text, created_at timestamptz not null default now(), settled_at timestamptz,
  unique (workspace_id, idempotency_key)
);
create index on skip_locked.messages (scheduled_at, sequence) where status = 'queued';
"""
ENQUEUE = """
insert into skip_locked.messages (workspace_id, channel, connection_id, recipient, payload, idempotency_key)
select %s, 'whatsapp', %s, * from unnest(%s::text[], %s::jsonb[], %s::text[])
"""
CLAIM = """
with due as (
  select id from skip_locked.messages where status = 'queued' and scheduled_at <= now()
  order by scheduled_at, sequence limit %s for update skip locked
)
update skip_locked.messages as message
set status = 'processing', locked_until = now() + interval '60 s', attempts = attempts + 1
from due where message.id = due.id returning message.id::text, message.recipient, message.payload::text
"""
COMPLETE = """
update skip_locked.messages as message
set status = 'sent', settled_at = now(), locked_until = null, provider_message_id = result.provider_message_id
from unnest(%s::uuid[], %s::text[]) as result (id, provider_message_id) where message.id = result.id
"""


def main(url: str, batch: int) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        started = time.time()
        done, empty = 0, 0
        while empty < 3:
            rows = connection.execute(CLAIM, [batch]).fetchall()
            if not rows:
                empty += 1
                time.sleep(0.002)
                continue
            empty, done = 0, done + len(rows)
            ids = [row[0] for row in rows]
            connection.execute(COMPLETE, [ids, [f"wamid.{message_id}" for message_id in ids]])
            ended = time.time()
        print(json.dumps({"started": started, "ended": ended if done else started, "done": done}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
