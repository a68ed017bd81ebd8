"""Webhook items into the database: `ingest_whatsapp_events` beside a bare insert of the same raw items.

The items come as Meta says they do, three statuses (sent, delivered, read) for each message sent and one message in for
each: texts of known people, who come with both of their ids. A tenth of the people are in conversation at the time, and
the statuses are about the messages sent last.
Ours routes, records and applies each: message, thread, status, everything that may have waited for it. The floor does
the least that keeps an item once: `insert … on conflict do nothing` into a table with nothing but its unique key. Once
from a connection to the database, and once through PostgREST, as the receipt of webhooks sends them.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg

from bench.report import Case, interleaved, postgrest_url, progress
from qero.local import graph
from qero.local.stack import temporary_stack
from qero.models.webhook import parse_body

Connection = psycopg.AsyncConnection[Any]
NUMBER = graph.Number("100000000000001", "unused", "15550001111", "200000000000001")
SIZES = (1, 10, 100)
PLACES = ("", " through the api")


@dataclass(frozen=True)
class Scale:
    threads: int
    messages: int
    items: dict[int, int]
    """Items a run, by batch size."""
    runs: int


FULL = Scale(threads=50_000, messages=1_000_000, items={1: 1_200, 10: 4_000, 100: 20_000}, runs=5)
QUICK = Scale(threads=2_000, messages=20_000, items={1: 100, 10: 500, 100: 2_000}, runs=3)


async def run(*, quick: bool) -> list[Case]:
    scale = QUICK if quick else FULL
    with temporary_stack() as address:
        key = address.service_role_key
        headers = {"apikey": key, "authorization": f"Bearer {key}", "content-type": "application/json"}
        async with (
            await psycopg.AsyncConnection.connect(address.db_url, autocommit=True) as connection,
            httpx.AsyncClient(base_url=postgrest_url(address), headers=headers, timeout=60) as api,
        ):
            workspace = await fill(connection, scale.threads, scale.messages)
            await connection.execute("set role service_role")
            items = _items(scale)
            measures: dict[str, Callable[[], Awaitable[float]]] = {}
            for size in SIZES:
                for name, batches in _batches(items, scale, size, workspace):
                    ours = name.startswith("ours")
                    send = _to_api(api, ours=ours) if name.endswith("api") else _to_database(connection, ours=ours)
                    measures[f"{name}/{size}"] = _measure(send, batches)
            medians = await interleaved(measures, runs=scale.runs)
            await _check(connection, scale)
    return [
        Case(
            f"items/batch of {size}{where}", medians[f"ours{where}/{size}"], "items/s", scale.runs,
            floor=medians[f"bare insert{where}/{size}"], lower_is_better=False,
        )
        for where in PLACES for size in SIZES
    ]  # fmt: skip


async def fill(connection: Connection, threads: int, messages: int) -> UUID:
    """One workspace whose people have written and been written to, with as many raw events, ours and the floor's."""
    progress(f"filling {messages:,} messages in {threads:,} threads")
    cursor = await connection.execute("insert into workspaces (slug, name) values ('bench', 'Bench') returning id")
    [workspace] = await cursor.fetchone() or [None]
    cursor = await connection.execute(
        """
        insert into wa_phone_numbers (workspace_id, waba_id, phone_number_id, display_phone_number)
        values (%s, %s, %s, %s) returning id
        """,
        [workspace, NUMBER.waba_id, NUMBER.phone_number_id, NUMBER.display_phone_number],
    )
    [number] = await cursor.fetchone() or [None]
    parameters = {"w": workspace, "n": number, "threads": threads, "messages": messages, "waba": NUMBER.waba_id}
    parameters["number"] = NUMBER.phone_number_id
    for statement in (
        """
        with person as (
          insert into contacts (workspace_id, name, phone)
          select %(w)s, 'Person ' || i, '+4477' || (10000000 + i) from generate_series(1, %(threads)s) as i
          returning id, phone
        ), identity as (
          insert into contact_identities (workspace_id, contact_id, kind, scope, value)
          select %(w)s, id, kind, scope, value from person cross join lateral (values
            ('wa_id', '', substr(phone, 2)), ('bsuid', %(waba)s, 'GB.' || substr(phone, 2))
          ) as known (kind, scope, value)
        )
        insert into wa_threads (workspace_id, connection_id, contact_id, last_inbound_at, last_message_at)
        select %(w)s, %(n)s, id, now(), now() - random() * interval '30 days' from person
        """,
        """
        with numbered as (
          select id, row_number() over (order by id) - 1 as position from wa_threads
        )
        insert into wa_messages (workspace_id, connection_id, thread_id, direction, wa_message_id, type, body, content,
          status, occurred_at)
        select %(w)s, %(n)s, numbered.id, case i %% 2 when 0 then 'in' else 'out' end, 'wamid.' || md5(i::text), 'text',
          'Message ' || i, jsonb_build_object('body', 'Message ' || i), case i %% 2 when 1 then 'sent' end,
          now() - (%(messages)s - i) * interval '1 s'
        from generate_series(1, %(messages)s) as i
        join numbered on numbered.position = i %% %(threads)s
        order by i
        """,
        """
        insert into meta_webhook_events (workspace_id, phone_number_id, event_key, kind, raw, status)
        select %(w)s, %(number)s, 'message:' || md5(i::text), 'message',
          jsonb_build_object('id', md5(i::text), 'filling', repeat('x', 300)), 'applied'
        from generate_series(1, %(messages)s) as i
        """,
        """
        create table public.bench_raw (workspace_id uuid not null, event_key text not null, raw jsonb not null,
          unique (workspace_id, event_key))
        """,
        "grant all on public.bench_raw to service_role",
        "insert into public.bench_raw select workspace_id, event_key, raw from meta_webhook_events",
        "notify pgrst, 'reload schema'",
    ):
        await connection.execute(statement, parameters)
    await connection.execute("vacuum (analyze)")
    assert isinstance(workspace, UUID)
    return workspace


def _items(scale: Scale) -> Iterator[dict[str, Any]]:
    """Items as the receipt of webhooks makes them, each once."""
    chance, now = random.Random(1), datetime.now(UTC)
    # An odd number is a message that was sent. Statuses are about those sent last, each going through all of them.
    sent = iter(range(scale.messages - 1, 0, -2))
    going: deque[tuple[int, graph.Status]] = deque()
    for index in range(10**9):
        person = f"4477{10_000_000 + chance.randint(1, scale.threads // 10)}"
        if index % 4 == 0:
            message = next(sent)
            going.extend((message, status) for status in ("sent", "delivered", "read"))
            webhook = graph.text_webhook(
                NUMBER, f"+{person}", f"Is order {index} on its way?", user_id=f"GB.{person}",
                at=now + timedelta(seconds=index // 1000),
            )  # fmt: skip
        else:
            message, status = going.popleft()
            known = graph.SentMessage(
                NUMBER.phone_number_id, NUMBER.display_phone_number, NUMBER.waba_id, "", f"+{person}", {}, str(uuid4()),
                _wamid(message), now,
            )  # fmt: skip
            webhook = graph.status_webhook(known, status)
        [event] = parse_body(graph.encode(webhook))
        yield event.model_dump(mode="json", exclude_none=True)


def _wamid(number: int) -> str:
    return f"wamid.{hashlib.md5(str(number).encode(), usedforsecurity=False).hexdigest()}"


def _batches(
    items: Iterator[dict[str, Any]], scale: Scale, size: int, workspace: UUID
) -> Iterator[tuple[str, Iterator[list[list[dict[str, Any]]]]]]:
    for where in PLACES:
        rounds = [
            [[next(items) for _ in range(size)] for _ in range(scale.items[size] // size)]
            for _ in range(scale.runs + 1)
        ]
        yield f"ours{where}", iter(rounds)
        yield f"bare insert{where}", iter(
            [[[{"workspace_id": str(workspace), "event_key": item["event_key"], "raw": item["raw"]} for item in batch]
              for batch in batches] for batches in rounds]
        )  # fmt: skip


def _to_database(connection: Connection, *, ours: bool) -> Callable[[str], Awaitable[object]]:
    statement = (
        b"select public.ingest_whatsapp_events(%s::jsonb)"
        if ours
        else b"insert into public.bench_raw (workspace_id, event_key, raw)"
        b" select item.workspace_id, item.event_key, item.raw"
        b" from jsonb_to_recordset(%s::jsonb) as item (workspace_id uuid, event_key text, raw jsonb)"
        b" on conflict do nothing"
    )
    return lambda batch: connection.execute(statement, [batch])


def _to_api(api: httpx.AsyncClient, *, ours: bool) -> Callable[[str], Awaitable[object]]:
    async def send(batch: str) -> None:
        if ours:
            answer = await api.post("/rpc/ingest_whatsapp_events", content=f'{{"p_events":{batch}}}')
        else:
            headers = {"prefer": "resolution=ignore-duplicates,return=minimal"}
            answer = await api.post("/bench_raw?on_conflict=workspace_id,event_key", content=batch, headers=headers)
        answer.raise_for_status()

    return send


def _measure(
    send: Callable[[str], Awaitable[object]], rounds: Iterator[list[list[dict[str, Any]]]]
) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        batches = [(len(batch), json.dumps(batch, separators=(",", ":"))) for batch in next(rounds)]
        started = time.perf_counter()
        for _, batch in batches:
            await send(batch)
        return sum(size for size, _ in batches) / (time.perf_counter() - started)

    return measure


async def _check(connection: Connection, scale: Scale) -> None:
    """Everything that was measured was done."""
    items = sum(scale.items.values()) * (scale.runs + 1) * len(PLACES)
    cursor = await connection.execute(
        """
        select (select count(*) from meta_webhook_events where status = 'applied') - %(m)s,
          (select count(*) from wa_messages) - %(m)s, (select count(*) from wa_messages where status = 'read'),
          (select count(*) from public.bench_raw) - %(m)s
        """,
        {"m": scale.messages},
    )
    found = await cursor.fetchone()
    if found != (items, items // 4, items // 4, items):
        raise RuntimeError(f"the database holds {found} of {items} items")
