"""Webhooks take effect exactly once, however they overlap, and statuses only move forward."""

from __future__ import annotations

import asyncio
import random
import secrets
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests.support import Number, World, digits


@pytest.fixture
def world(people: World) -> World:
    return people


def message(
    number: Number, wa_id: str | None, *, user_id: str | None = None, wamid: str | None = None, **more: Any
) -> dict[str, Any]:
    wamid = wamid or f"wamid.{uuid4().hex}"
    event = {
        "event_key": f"message:{wamid}:{more.get('type', 'text')}",
        "kind": "message",
        "direction": "in",
        "phone_number_id": number.at_meta.phone_number_id,
        "waba_id": number.at_meta.waba_id,
        "wa_message_id": wamid,
        "occurred_at": "2026-11-01T10:00:00+00:00",
        "type": "text",
        "body": "Hello",
        "wa_id": wa_id,
        "user_id": user_id,
        **more,
    }
    return {name: value for name, value in event.items() if value is not None}


def status(number: Number, wamid: str, name: str, **more: Any) -> dict[str, Any]:
    return {
        "event_key": f"status:{wamid}:{name}",
        "kind": "status",
        "phone_number_id": number.at_meta.phone_number_id,
        "waba_id": number.at_meta.waba_id,
        "wa_message_id": wamid,
        "occurred_at": "2026-11-01T10:00:00+00:00",
        "status": name,
        **more,
    }


ANSWER = """
  ingest_whatsapp_events(%s) as answer (call),
  rows from (jsonb_array_elements_text(call -> 'outcomes'), jsonb_array_elements_text(call -> 'reasons'))
    as item (outcome, reason)
"""


async def ingest(world: World, *events: dict[str, Any]) -> list[tuple[str, str | None]]:
    rows = await world.rows(f"select outcome, reason from {ANSWER}", Jsonb(list(events)))
    return [(outcome, reason) for outcome, reason in rows]


async def in_parallel(world: World, batches: list[list[dict[str, Any]]]) -> list[list[str]]:
    """Each batch on a connection of its own, all at once."""

    async def one(batch: list[dict[str, Any]]) -> list[str]:
        async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as connection:
            query = f"select outcome from {ANSWER}".encode()
            return [row[0] for row in await (await connection.execute(query, [Jsonb(batch)])).fetchall()]

    return await asyncio.gather(*(one(batch) for batch in batches))


@pytest.mark.parametrize("seed", range(4))
async def test_overlapping_batches_of_new_senders_make_each_of_them_once(world: World, seed: int) -> None:
    chance = random.Random(seed)
    number = await world.number(await world.workspace())
    senders = [(digits(11), f"US.{uuid4().hex}") for _ in range(40)]
    # The same person comes with both ids, with the phone number only, and with the scoped id only.
    events = [message(number, wa_id, user_id=user_id) for wa_id, user_id in senders for _ in range(2)]
    events += [message(number, wa_id) for wa_id, _ in senders]
    batches = [chance.sample(events, 90) for _ in range(8)]
    wanted = {event["wa_message_id"] for batch in batches for event in batch}
    people = {event["wa_id"] for batch in batches for event in batch}

    answers = await in_parallel(world, batches)

    assert sum(answer.count("recorded") for answer in answers) == len(wanted)
    assert {outcome for answer in answers for outcome in answer} == {"recorded", "deduped"}
    workspace = number.connection.workspace_id
    for table, count in (("contacts", len(people)), ("wa_threads", len(people)), ("wa_messages", len(wanted))):
        found = await world.scalar(f"select count(*) from {table} where workspace_id = %s", workspace)
        assert found == count, table
    unread = await world.scalar("select sum(unread_count) from wa_threads where workspace_id = %s", workspace)
    assert unread == len(wanted)


@pytest.mark.parametrize("seed", range(4))
async def test_people_known_by_different_ids_here_and_there_do_not_deadlock(world: World, seed: int) -> None:
    """Half of the batches know a person by number and scoped id, the others by the scoped id alone."""
    chance = random.Random(seed)
    number = await world.number(await world.workspace())
    senders = [(digits(11), f"US.{uuid4().hex}") for _ in range(30)]
    batches = []
    for index in range(8):
        batch = [message(number, None if index % 2 else wa_id, user_id=user_id) for wa_id, user_id in senders]
        chance.shuffle(batch)
        batches.append(batch)

    answers = await in_parallel(world, batches)

    assert all(answer == ["recorded"] * 30 for answer in answers)
    workspace = number.connection.workspace_id
    assert await world.scalar("select count(*) from wa_messages where workspace_id = %s", workspace) == 240
    assert await world.scalar("select count(*) from contacts where workspace_id = %s", workspace) == 30
    alone = await world.scalar(
        "select count(*) from contacts where workspace_id = %s and not exists"
        " (select from contact_identities where contact_id = contacts.id)",
        workspace,
    )
    assert alone == 0


@pytest.mark.parametrize("seed", range(3))
async def test_placeholders_and_contents_may_cross(world: World, seed: int) -> None:
    """Webhooks that name the same messages in different orders, as placeholder here and with content there."""
    chance = random.Random(seed)
    number = await world.number(await world.workspace())
    wamids = [(f"wamid.{uuid4().hex}", digits(11)) for _ in range(30)]
    batches = []
    for index in range(6):
        batch = [
            message(number, wa_id, wamid=wamid, type="unsupported", body=None, is_placeholder=True)
            if (index + position) % 2
            else message(number, wa_id, wamid=wamid)
            for position, (wamid, wa_id) in enumerate(wamids)
        ]
        chance.shuffle(batch)
        batches.append(batch)

    await in_parallel(world, batches)

    rows = await world.rows(
        "select type, body, count(*) from wa_messages where connection_id = %s group by 1, 2", number.connection.id
    )
    assert rows == [("text", "Hello", 30)]


@pytest.mark.parametrize("known", [True, False])
async def test_a_bad_item_in_every_batch_costs_nothing_else(world: World, known: bool) -> None:
    """Falling back to one item at a time keeps the order in which everything is locked."""
    number = await world.number(await world.workspace())
    senders = [digits(11) for _ in range(20)]
    if known:
        await ingest(world, *(message(number, sender) for sender in senders))
    batches = []
    for seed in range(6):
        # Passes every check but one: it doesn't fit into the index.
        bad = message(number, digits(11), wamid=secrets.token_hex(5000), event_key=uuid4().hex)
        batch = [*(message(number, sender) for sender in senders), bad]
        random.Random(seed).shuffle(batch)
        batches.append(batch)

    answers = await in_parallel(world, batches)

    assert [(answer.count("recorded"), answer.count("set_aside")) for answer in answers] == [(20, 1)] * 6
    count = await world.scalar("select count(*) from wa_messages where connection_id = %s", number.connection.id)
    assert count == 6 * 20 + (20 if known else 0)
    set_aside = await world.rows(
        "select error from meta_webhook_events where phone_number_id = %s and status = 'set_aside'",
        number.at_meta.phone_number_id,
    )
    assert [reason is not None and "index" in reason for (reason,) in set_aside] == [True] * 6


async def outgoing(
    world: World, number: Number, *, state: str = "sent", outbox_state: str = "sent"
) -> tuple[UUID, UUID, str]:
    """An outgoing message, its outbox row and Meta's id."""
    thread = await world.thread(number)
    [[outbox_id]] = await world.rows(
        """
        insert into outbox_messages (workspace_id, channel, connection_id, thread_id, recipient, payload,
          idempotency_key, status, lease_token)
        values (%s, 'whatsapp', %s, %s, '+1', '{}', %s, %s, %s) returning id
        """,
        thread.workspace_id, thread.connection_id, thread.id, str(uuid4()), outbox_state, 0,
    )  # fmt: skip
    wamid = f"wamid.{uuid4().hex}"
    [[message_id]] = await world.rows(
        """
        insert into wa_messages (workspace_id, connection_id, thread_id, direction, type, occurred_at, status,
          wa_message_id, outbox_id)
        values (%s, %s, %s, 'out', 'text', now(), %s, %s, %s) returning id
        """,
        thread.workspace_id, thread.connection_id, thread.id, state, wamid if state == "sent" else None, outbox_id,
    )  # fmt: skip
    return message_id, outbox_id, wamid


async def shown(world: World, message_id: UUID) -> tuple[str, int | None]:
    [(name, code)] = await world.rows("select status, error_code from wa_messages where id = %s", message_id)
    return name, code


ORDER = ["sent", "failed", "delivered", "read", "played"]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("seed", range(6))
async def test_the_furthest_status_wins_in_any_order(world: World, seed: int, together: bool) -> None:
    number = await world.number(await world.workspace())
    message_id, _, wamid = await outgoing(world, number)
    names = random.Random(seed).sample(ORDER, 4)
    events = [
        status(number, wamid, name, **({"error_code": 131026, "error_text": "no"} if name == "failed" else {}))
        for name in names
    ]

    for batch in [events] if together else [[event] for event in events]:
        assert [outcome for outcome, _ in await ingest(world, *batch)] == ["recorded"] * len(batch)

    furthest = max(names, key=ORDER.index)
    assert await shown(world, message_id) == (furthest, 131026 if "failed" in names else None)


async def test_a_status_of_an_unknown_name_moves_nothing(world: World) -> None:
    number = await world.number(await world.workspace())
    message_id, _, wamid = await outgoing(world, number)
    answer = await ingest(world, status(number, wamid, "delivered"), status(number, wamid, "frobnicated"))
    assert [outcome for outcome, _ in answer] == ["recorded", "recorded"]
    assert await shown(world, message_id) == ("delivered", None)


@pytest.mark.parametrize("outbox_state", ["unknown", "queued", "processing"])
async def test_a_status_proves_that_a_send_arrived(world: World, outbox_state: str) -> None:
    """Whatever the worker believes or will say about it: the message isn't sent again."""
    number = await world.number(await world.workspace())
    message_id, outbox_id, wamid = await outgoing(world, number, state="pending", outbox_state=outbox_state)

    await ingest(world, status(number, wamid, "delivered", outbox_id=str(outbox_id)))

    assert await shown(world, message_id) == ("delivered", None)
    assert await world.rows(
        "select status, provider_message_id, settled_at is not null from outbox_messages where id = %s", outbox_id
    ) == [("sent", wamid, True)]
    # What the worker reports later gets the same answer, so it goes on with the rest of its batch.
    failure = Jsonb([{"id": str(outbox_id), "action": "retry", "error_code": "500", "error_text": "x"}])
    assert await world.rows("select outcome from fail_outbox(0, %s)", failure) == [("sent",)]
    report = Jsonb([{"id": str(outbox_id), "provider_message_id": wamid}])
    assert await world.rows("select outcome from complete_outbox(0, %s)", report) == [("sent",)]
    assert await shown(world, message_id) == ("delivered", None)


async def test_a_status_names_only_messages_of_its_own_number(world: World) -> None:
    workspace = await world.workspace()
    number, other = await world.number(workspace), await world.number(workspace)
    message_id, outbox_id, wamid = await outgoing(world, number, state="pending", outbox_state="unknown")

    await ingest(world, status(other, wamid, "delivered", outbox_id=str(outbox_id)))

    assert await shown(world, message_id) == ("pending", None)
    assert await world.scalar("select status from outbox_messages where id = %s", outbox_id) == "unknown"


async def test_statuses_and_reports_at_the_same_moment_do_not_deadlock(world: World) -> None:
    number = await world.number(await world.workspace())
    sent = [await outgoing(world, number, state="pending", outbox_state="processing") for _ in range(30)]
    url = world.settings.require("db_url")

    async def report(part: list[tuple[UUID, UUID, str]]) -> None:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            results = [{"id": str(outbox_id), "provider_message_id": wamid} for _, outbox_id, wamid in part]
            await connection.execute("select complete_outbox(0, %s)", [Jsonb(results)])

    shuffled = random.Random(1).sample(sent, len(sent))
    events = [status(number, wamid, "delivered", outbox_id=str(outbox_id)) for _, outbox_id, wamid in shuffled]
    await asyncio.gather(
        *(report(sent[start::3]) for start in range(3)),
        in_parallel(world, [events[:15], events[15:], *[[event] for event in events[:5]]]),
    )

    ids = [outbox_id for _, outbox_id, _ in sent]
    assert await world.rows("select status, count(*) from outbox_messages where id = any(%s) group by 1", ids) == [
        ("sent", 30)
    ]
    assert await world.rows("select status, count(*) from wa_messages where outbox_id = any(%s) group by 1", ids) == [
        ("delivered", 30)
    ]


async def test_no_orphan_is_lost_while_its_number_is_being_connected(world: World) -> None:
    workspace = await world.workspace()
    at_meta = world.number_at_meta()
    unknown = Number(connection=None, at_meta=at_meta)  # type: ignore[arg-type]
    url = world.settings.require("db_url")

    async with await psycopg.AsyncConnection.connect(url) as webhook:
        # The webhook has looked for the connection, found none, and isn't committed yet.
        await webhook.execute("select ingest_whatsapp_events(%s)", [Jsonb([message(unknown, digits(11))])])
        connecting = asyncio.create_task(world.number(workspace, phone_number_id=at_meta.phone_number_id))
        await asyncio.sleep(0.3)
        await webhook.commit()
        await connecting

    assert await world.scalar("select count(*) from wa_messages where workspace_id = %s", workspace.id) == 1


async def test_connecting_replays_what_came_for_the_business_account(world: World) -> None:
    workspace = await world.workspace()
    at_meta = world.number_at_meta()
    event = {"event_key": uuid4().hex, "kind": "other", "waba_id": at_meta.waba_id}
    assert await ingest(world, event) == [("orphan", None)]

    await world.rows(
        "select id from connect_wa_phone_number(%s, %s, %s, 'x')",
        workspace.id,
        at_meta.waba_id,
        at_meta.phone_number_id,
    )

    assert await world.rows(
        "select kind, event_key from meta_webhook_events where workspace_id = %s", workspace.id
    ) == [("other", event["event_key"])]
