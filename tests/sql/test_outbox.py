"""The outbox under many workers: nothing twice, order within a thread, and reports that count once."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from qero.models.whatsapp import Thread
from tests.support import EMPTY_OUTBOX, HURRY, Number, World


@pytest.fixture
def world(people: World) -> World:
    return people


@pytest.fixture(autouse=True)
async def empty_outbox(database: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    """What other tests left queued would be claimed too."""
    await database.execute(EMPTY_OUTBOX)
    yield
    await database.execute(EMPTY_OUTBOX)


async def queued(world: World, thread: Thread, count: int = 1, **columns: Any) -> list[UUID]:
    """Messages with their rows in the inbox, as sending makes them."""
    ids = []
    for _ in range(count):
        outbox_id = uuid4()
        await world.rows(
            """
            with outbox as (
              insert into outbox_messages (id, workspace_id, channel, connection_id, thread_id, recipient, payload,
                idempotency_key, max_attempts, priority, scheduled_at)
              values (%s, %s, 'whatsapp', %s, %s, '+1', '{}', %s, %s, %s, now() + make_interval(secs => %s))
              returning *
            )
            insert into wa_messages (workspace_id, connection_id, thread_id, direction, type, status, outbox_id,
              occurred_at)
            select workspace_id, connection_id, thread_id, 'out', 'text', 'pending', id, now() from outbox returning id
            """,
            outbox_id, thread.workspace_id, thread.connection_id, thread.id, str(uuid4()),
            columns.get("max_attempts", 5), columns.get("priority", 0), columns.get("due_in", 0),
        )  # fmt: skip
        ids.append(outbox_id)
    return ids


async def read_receipt(world: World, thread: Thread, *, max_attempts: int) -> UUID:
    receipt: UUID = await world.scalar(
        "insert into outbox_messages (workspace_id, channel, connection_id, thread_id, recipient, payload,"
        " idempotency_key, max_attempts) values (%s, 'whatsapp', %s, %s, '+1', %s, %s, %s) returning id",
        thread.workspace_id, thread.connection_id, thread.id, Jsonb({"status": "read", "message_id": "wamid.1"}),
        str(uuid4()), max_attempts,
    )  # fmt: skip
    return receipt


async def end_leases(world: World) -> None:
    await world.rows("update private.outbox_leases set expires_at = now() returning 1")


async def claim(world: World, limit: int = 100, worker: str = "w") -> list[tuple[int, UUID]]:
    rows = await world.rows("select lease_token, id from claim_outbox(%s, %s)", limit, worker)
    return [(token, message_id) for token, message_id in rows]


async def claim_one(world: World) -> tuple[int, UUID]:
    [claimed] = await claim(world)
    return claimed


async def complete(world: World, token: int, message_id: UUID) -> str:
    results = Jsonb([{"id": str(message_id), "provider_message_id": f"wamid.{message_id}"}])
    outcome: str = await world.scalar("select outcome from complete_outbox(%s, %s)", token, results)
    return outcome


async def fail(world: World, token: int, message_id: UUID, action: str, **more: Any) -> str:
    failure = {"id": str(message_id), "action": action, "error_code": "131000", "error_text": "It broke", **more}
    outcome: str = await world.scalar("select outcome from fail_outbox(%s, %s)", token, Jsonb([failure]))
    return outcome


async def state(world: World, message_id: UUID) -> tuple[str, str, int]:
    """Of the outbox row, of the message in the inbox, and the attempts."""
    [(outbox, shown, attempts)] = await world.rows(
        """
        select found ->> 'status', message.status, (found ->> 'attempts')::integer
        from wa_messages as message cross join find_outbox_message(message.outbox_id) as found
        where message.outbox_id = %s
        """,
        message_id,
    )
    return outbox, shown, attempts


@pytest.fixture
async def number(world: World) -> Number:
    return await world.number(await world.workspace())


@pytest.fixture
async def thread(world: World, number: Number) -> Thread:
    return await world.thread(number)


async def test_four_workers_share_everything_and_keep_the_order(world: World, number: Number) -> None:
    threads = [await world.thread(number) for _ in range(20)]
    order: dict[UUID, list[UUID]] = defaultdict(list)
    for _ in range(25):
        for thread in threads:
            order[thread.id] += await queued(world, thread)
    held: set[UUID] = set()
    taken: dict[UUID, list[UUID]] = defaultdict(list)
    deadline = time.monotonic() + 40

    async def work(name: str) -> int:
        done = 0
        async with await psycopg.AsyncConnection.connect(
            world.settings.require("db_url"), autocommit=True
        ) as connection:
            while sum(map(len, taken.values())) < 500 and time.monotonic() < deadline:
                rows = await (
                    await connection.execute("select lease_token, id, thread_id from claim_outbox(%s, %s)", [7, name])
                ).fetchall()
                for _, message_id, thread_id in rows:
                    assert thread_id not in held, "two messages of one thread are out at once"
                    held.add(thread_id)
                    taken[thread_id].append(message_id)
                if not rows:
                    await asyncio.sleep(0.002)
                    continue
                await asyncio.sleep(0)
                for _, _, thread_id in rows:
                    held.discard(thread_id)
                results = [{"id": str(row[1]), "provider_message_id": f"wamid.{row[1]}"} for row in rows]
                outcomes = await connection.execute(
                    "select outcome from complete_outbox(%s, %s)", [rows[0][0], Jsonb(results)]
                )
                assert {row[0] for row in await outcomes.fetchall()} == {"sent"}
                done += len(rows)
        return done

    shares = await asyncio.gather(*(work(f"worker {index}") for index in range(4)))

    assert sum(shares) == 500
    assert min(shares) > 0
    assert taken == order, "every message once, and each thread's in order"


async def test_a_later_message_waits_until_the_earlier_one_is_settled(world: World, thread: Thread) -> None:
    first, second = await queued(world, thread, 2, priority=0)
    urgent = (await queued(world, thread, priority=9))[0]
    token, claimed = await claim_one(world)
    assert claimed == first
    assert await claim(world) == []
    assert await fail(world, token, first, "retry", delay_seconds=3600) == "queued"
    assert await claim(world) == [], "a message that waits for its next try holds back what follows"
    await world.rows(HURRY)
    token, claimed = await claim_one(world)
    assert claimed == first
    assert await fail(world, token, first, "fail") == "failed"
    token, claimed = await claim_one(world)
    assert claimed == second, "a permanent failure lets the next go; urgency doesn't overtake within a thread"
    await complete(world, token, second)
    assert (await claim_one(world))[1] == urgent


async def test_messages_of_a_thread_are_numbered_in_the_order_in_which_they_become_visible(
    world: World, thread: Thread
) -> None:
    """A reply takes its number once the thread is its own; a smaller one that showed up later would be overtaken."""
    olga = await world.user("olga")
    claims = Jsonb({"sub": str(olga.id), "role": "authenticated"})
    last_number = "select last_value from outbox_messages_sequence_seq"
    url = world.settings.require("db_url")

    async with (
        await psycopg.AsyncConnection.connect(url) as ahead,
        await psycopg.AsyncConnection.connect(url) as reply,
    ):
        await ahead.execute("select from wa_threads where id = %s for no key update", [thread.id])
        before = await world.scalar(last_number)
        await reply.execute("select set_config('request.jwt.claims', %s::text, false)", [claims])
        query = "select outbox_id from send_whatsapp_text(%s, 'Hi', %s)"
        sending = asyncio.create_task(reply.execute(query, [thread.id, str(uuid4())]))
        await asyncio.sleep(0.3)
        assert not sending.done(), "it waits for its turn"
        assert await world.scalar(last_number) == before
        await ahead.commit()
        await sending

    assert await world.scalar(last_number) > before


async def test_priority_then_due_time_between_threads(world: World, number: Number) -> None:
    threads = [await world.thread(number) for _ in range(4)]
    [late] = await queued(world, threads[0], due_in=-1)
    [early] = await queued(world, threads[1], due_in=-10)
    [urgent] = await queued(world, threads[2], priority=5)
    await queued(world, threads[3], due_in=3600)
    assert [message_id for _, message_id in await claim(world)] == [urgent, early, late]


async def test_a_worker_that_vanishes_leaves_unknown_outcomes_behind(world: World, number: Number) -> None:
    one, two = await world.thread(number), await world.thread(number)
    [message_id], [proven] = await queued(world, one), await queued(world, two)
    claimed = await claim(world)
    assert len(claimed) == 2
    token = claimed[0][0]
    assert await state(world, message_id) == ("processing", "pending", 1)
    await world.rows("update private.outbox_leases set expires_at = now() where token = %s returning 1", token)

    assert await claim(world) == [], "it may have left, so it isn't handed out again"

    assert await state(world, message_id) == ("unknown", "unknown", 1)
    assert await world.scalar("select error_code from outbox_messages where id = %s", message_id) == "lease_expired"
    assert await complete(world, token, message_id) == "lease_lost"
    assert await fail(world, token, proven, "retry") == "lease_lost"
    with pytest.raises(psycopg.DatabaseError) as error:
        await world.rows("select extend_lease(%s, 60)", token)
    assert error.value.diag.message_primary == "lease_lost"
    assert await state(world, message_id) == ("unknown", "unknown", 1), "a lost lease changes nothing"
    assert await world.rows("select 1 from private.outbox_leases where token = %s", token) == []


async def test_a_read_receipt_whose_worker_vanished_is_sent_again_and_keeps_its_place(
    world: World, thread: Thread
) -> None:
    """Twice does no harm, and no status will ever settle it."""
    receipt = await read_receipt(world, thread, max_attempts=3)
    [behind] = await queued(world, thread)
    for _ in range(2):
        assert (await claim_one(world))[1] == receipt
        await end_leases(world)

    token, again = await claim_one(world)

    assert again == receipt
    assert await complete(world, token, receipt) == "sent"
    assert await world.scalar("select attempts from outbox_messages where id = %s", receipt) == 3
    assert (await claim_one(world))[1] == behind


async def test_a_read_receipt_that_no_worker_survives_lets_its_thread_go_on(world: World, thread: Thread) -> None:
    receipt = await read_receipt(world, thread, max_attempts=1)
    [behind] = await queued(world, thread)
    assert (await claim_one(world))[1] == receipt
    await end_leases(world)

    assert (await claim_one(world))[1] == behind

    assert await world.rows("select status, error_code from outbox_messages where id = %s", receipt) == [
        ("dead", "lease_expired")
    ]


async def test_a_lease_that_is_extended_holds(world: World, thread: Thread) -> None:
    await queued(world, thread)
    token, message_id = await claim_one(world)
    await world.rows(
        """
        update private.outbox_leases set expires_at = clock_timestamp() + interval '100 ms' where token = %s returning 1
        """,
        token,
    )
    remaining = await world.scalar("select extend_lease(%s, 60) - clock_timestamp() > interval '55 s'", token)
    assert remaining is True
    assert await world.scalar("select extend_lease(%s, 1) - clock_timestamp() > interval '55 s'", token), (
        "never shorter"
    )
    await asyncio.sleep(0.2)
    await claim(world)
    assert (await state(world, message_id))[0] == "processing"
    assert await complete(world, token, message_id) == "sent"
    with pytest.raises(psycopg.DatabaseError):
        await world.rows("select extend_lease(%s, 60)", token)


async def test_a_repeated_report_gets_the_first_answer(world: World, number: Number) -> None:
    threads = [await world.thread(number) for _ in range(2)]
    [first], [second] = [await queued(world, thread) for thread in threads]
    token = (await claim(world))[0][0]
    for _ in range(2):
        assert await complete(world, token, first) == "sent"
        assert await fail(world, token, second, "retry", delay_seconds=60) == "queued"
    assert await state(world, first) == ("sent", "sent", 1)
    assert await state(world, second) == ("queued", "pending", 1), "the attempt counts once"
    assert await complete(world, token + 1_000_000, first) == "lease_lost"
    assert await complete(world, token, uuid4()) == "not_found"
    assert await fail(world, token, uuid4(), "fail") == "not_found"


async def test_a_report_of_an_earlier_claim_is_refused(world: World, thread: Thread) -> None:
    await queued(world, thread)
    old, message_id = await claim_one(world)
    await fail(world, old, message_id, "release")
    new, _ = await claim_one(world)
    assert new != old
    assert await complete(world, old, message_id) == "lease_lost"
    assert await fail(world, old, message_id, "dead") == "lease_lost"
    assert (await state(world, message_id))[0] == "processing"


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("retry", ("queued", "pending", 1)),
        ("release", ("queued", "pending", 0)),
        ("pause_connection", ("queued", "pending", 0)),
        ("fail", ("failed", "failed", 1)),
        ("dead", ("dead", "failed", 1)),
        ("unknown", ("unknown", "unknown", 1)),
    ],
)
async def test_each_action(world: World, thread: Thread, action: str, expected: tuple[str, str, int]) -> None:
    await queued(world, thread)
    token, message_id = await claim_one(world)
    assert await fail(world, token, message_id, action, delay_seconds=30) == expected[0]
    assert await state(world, message_id) == expected
    [(code, text, settled, delay)] = await world.rows(
        """
        select error_code, error_text, settled_at is not null, extract(epoch from scheduled_at - now()) > 25
        from outbox_messages where id = %s
        """,
        message_id,
    )
    assert (code, text) == ("131000", "It broke")
    assert settled == (action in ("fail", "dead"))
    assert delay == (action in ("retry", "release"))
    shown = await world.rows("select error_code, error_text from wa_messages where outbox_id = %s", message_id)
    assert shown == [(131000, "It broke") if expected[1] != "pending" else (None, None)]


async def test_the_last_attempt_is_followed_by_none(world: World, thread: Thread) -> None:
    [message_id] = await queued(world, thread, max_attempts=2)
    for expected in ("queued", "dead"):
        token, _ = await claim_one(world)
        assert await fail(world, token, message_id, "retry", delay_seconds=-5) == expected
        # The database's clock may stand still within a statement; the next one is later.
        await asyncio.sleep(0.01)
    assert await state(world, message_id) == ("dead", "failed", 2)


async def test_a_paused_connection_keeps_its_queue_and_goes_on_later(world: World, number: Number) -> None:
    threads = [await world.thread(number) for _ in range(2)]
    other = await world.thread(await world.number(await world.workspace()))
    [first], [second] = [await queued(world, thread) for thread in threads]
    [elsewhere] = await queued(world, other)
    tokens = {message_id: token for token, message_id in await claim(world)}
    assert await fail(world, tokens[first], first, "pause_connection", error_text="190: token expired") == "queued"
    assert await fail(world, tokens[second], second, "release") == "queued"
    assert await fail(world, tokens[elsewhere], elsewhere, "release") == "queued"
    status = "select status, status_reason from wa_phone_numbers where id = %s"
    assert await world.rows(status, number.connection.id) == [("paused", "190: token expired")]

    claimed = await claim(world)
    assert [message_id for _, message_id in claimed] == [elsewhere]
    await complete(world, claimed[0][0], elsewhere)

    await world.rows(
        "select id from connect_wa_phone_number(%s, %s, %s, 'renewed')",
        number.connection.workspace_id, number.at_meta.waba_id, number.at_meta.phone_number_id,
    )  # fmt: skip
    assert await world.rows(status, number.connection.id) == [("active", None)]
    rows = await world.rows("select id, access_token_ciphertext from claim_outbox(10, 'w')")
    assert {(message_id, secret) for message_id, secret in rows} == {(first, "renewed"), (second, "renewed")}


async def test_an_early_status_is_applied_when_its_message_is_known(world: World, thread: Thread) -> None:
    [message_id] = await queued(world, thread)
    token, _ = await claim_one(world)
    wamid = f"wamid.{message_id}"
    for name in ("sent", "delivered"):
        await world.rows(
            """
            insert into wa_message_statuses (connection_id, wa_message_id, status, occurred_at)
            values (%s, %s, %s, now()) returning 1
            """,
            thread.connection_id, wamid, name,
        )  # fmt: skip
    assert await complete(world, token, message_id) == "sent"
    assert await state(world, message_id) == ("sent", "delivered", 1)
    assert await world.rows("select 1 from wa_message_statuses where wa_message_id = %s", wamid) == []
