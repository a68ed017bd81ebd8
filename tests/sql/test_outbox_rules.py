"""The outbox's rules beyond one message: turns, paces, places in line, pauses, and what people may do about it all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Literal
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from qero import Conflict, InvalidInput, NotFound, Outbox, RateLimits
from qero.clients.graph import ERROR_CLASSES
from qero.models.outbox import FailureAction, QueuedMessage, Scope
from tests.sql.inbound import Meta, Webhook, events
from tests.support import EMPTY_OUTBOX, HURRY, Number, World, digits, waits_for_a_lock
from tests.worker.support import until


@pytest.fixture
def world(people: World) -> World:
    return people


@pytest.fixture(autouse=True)
async def empty_outbox(database: psycopg.AsyncConnection[Any]) -> AsyncIterator[None]:
    await database.execute(EMPTY_OUTBOX)
    yield
    await database.execute(EMPTY_OUTBOX)


@pytest.fixture
def outbox(world: World) -> Outbox:
    return Outbox(world.service)


@pytest.fixture
async def number(world: World) -> Number:
    return await fast_number(world)


async def fast_number(world: World, messages_per_second: int = 1000) -> Number:
    number = await world.number(await world.workspace())
    await world.rows(
        "update wa_phone_numbers set messages_per_second = %s where id = %s returning id",
        messages_per_second,
        number.connection.id,
    )
    return number


async def enqueue(outbox: Outbox, number: Number, count: int = 1, *, to: str | None = None, **more: Any) -> list[UUID]:
    messages = [(str(uuid4()), to or f"+{digits(11)}", {"type": "text"}) for _ in range(count)]
    return await outbox.enqueue(
        number.connection.workspace_id, "whatsapp", messages, connection_id=number.connection.id, **more
    )


async def claim(outbox: Outbox, limit: int = 1000, worker: str = "w") -> tuple[int, list[UUID]]:
    messages = await outbox.claim(limit, worker)
    return (messages[0].lease_token if messages else 0), [message.id for message in messages]


async def fail(world: World, token: int, ids: list[UUID], action: str, **more: Any) -> set[str]:
    failures = [{"id": str(id_), "action": action, "error_code": "1", "error_text": "It broke", **more} for id_ in ids]
    return {
        outcome for (outcome,) in await world.rows("select outcome from fail_outbox(%s, %s)", token, Jsonb(failures))
    }


async def complete(world: World, token: int, ids: list[UUID]) -> set[str]:
    results = [{"id": str(id_), "provider_message_id": f"wamid.{id_}"} for id_ in ids]
    return {
        outcome for (outcome,) in await world.rows("select outcome from complete_outbox(%s, %s)", token, Jsonb(results))
    }


async def show(world: World, ids: list[UUID]) -> None:
    """What the team sees of messages in threads, as sending writes it."""
    await world.rows(
        "insert into wa_messages (workspace_id, connection_id, thread_id, direction, type, status, outbox_id,"
        " occurred_at) select workspace_id, connection_id, thread_id, 'out', 'text', 'pending', id, now()"
        " from outbox_messages where id = any(%s) returning 1",
        ids,
    )


def failed_status(number: Number, id_: UUID, code: int) -> Webhook:
    errors = [{"code": code, "title": "Not delivered"}]
    return Meta(number.at_meta).status(f"wamid.{id_}", "failed", 2, biz_opaque_callback_data=str(id_), errors=errors)


async def columns(world: World, id_: UUID, *names: str) -> tuple[Any, ...]:
    [row] = await world.rows(f"select {', '.join(names)} from outbox_messages where id = %s", id_)
    return row


# --- Queuing ---


async def test_a_repeated_key_returns_the_first_message_and_another_message_is_refused(
    outbox: Outbox, number: Number
) -> None:
    workspace, connection = number.connection.workspace_id, number.connection.id
    first, second = (str(uuid4()), "+15550001111", {"n": 1}), (str(uuid4()), "+15550002222", {"n": 2})
    ids = await outbox.enqueue(workspace, "whatsapp", [first, second], connection_id=connection)

    third = (str(uuid4()), "+15550003333", {"n": 3})
    again = await outbox.enqueue(workspace, "whatsapp", [second, third, first, third], connection_id=connection)

    assert again[0] == ids[1]
    assert again[2] == ids[0]
    assert again[1] == again[3], "a key twice in one call is one message"
    with pytest.raises(Conflict) as error:
        await outbox.enqueue(workspace, "whatsapp", [(first[0], "+15559999999", {"n": 1})], connection_id=connection)
    assert error.value.code == "idempotency_conflict"
    assert sorted((await claim(outbox))[1]) == sorted({*ids, again[1]})


async def test_what_belongs_to_no_workspace_or_number_is_refused(outbox: Outbox, number: Number) -> None:
    for workspace_id, connection_id in ((uuid4(), None), (number.connection.workspace_id, uuid4())):
        with pytest.raises(InvalidInput) as error:
            await outbox.enqueue(workspace_id, "web_push", [(str(uuid4()), "x", {})], connection_id=connection_id)
        assert error.value.code == "reference_not_found"


async def test_a_scheduled_message_holds_up_nobody_and_takes_its_place_when_it_is_due(
    world: World, outbox: Outbox, number: Number
) -> None:
    thread = await world.thread(number)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    [later] = await enqueue(outbox, number, thread_ids=[thread.id], scheduled_at=tomorrow)
    [now] = await enqueue(outbox, number, thread_ids=[thread.id])

    token, ids = await claim(outbox)
    assert ids == [now], "what is scheduled for later doesn't stand before what is due"

    await world.rows(HURRY)
    assert await claim(outbox) == (0, []), "now it is due, and waits for what is on its way"
    assert (await outbox.get(later)).waits_for == now
    await complete(world, token, ids)
    assert (await claim(outbox))[1] == [later]


async def test_a_retry_put_off_for_long_lets_the_rest_of_its_thread_go_first(
    world: World, outbox: Outbox, number: Number
) -> None:
    thread = await world.thread(number)
    first, second = await enqueue(outbox, number, 2, thread_ids=[thread.id, thread.id])
    token, ids = await claim(outbox)
    assert ids == [first]

    assert await fail(world, token, ids, "retry", delay_seconds=86_400) == {"queued"}

    token, ids = await claim(outbox)
    assert ids == [second]
    await complete(world, token, ids)
    await world.rows(HURRY)
    assert (await claim(outbox))[1] == [first]


# --- Turns and paces ---


async def test_a_small_lane_does_not_wait_behind_a_large_one(world: World, outbox: Outbox) -> None:
    large = await fast_number(world, 10_000)
    small = [await fast_number(world) for _ in range(9)]
    await enqueue(outbox, large, 1000)
    few = [id_ for number in small for id_ in await enqueue(outbox, number, 10)]

    claimed = [(await claim(outbox, 50))[1] for _ in range(2)]

    assert {*claimed[0], *claimed[1]} >= {*few}, "all of the small ones are among the first hundred"
    assert [len(ids) for ids in claimed] == [50, 50], "and what they leave over goes to the large one"


async def test_lanes_take_turns_when_there_are_more_than_a_claim_serves(world: World, outbox: Outbox) -> None:
    numbers = [await fast_number(world) for _ in range(6)]
    for number in numbers:
        await enqueue(outbox, number, 4)

    served: Counter[UUID | None] = Counter()
    for _ in range(6):
        served.update(message.connection_id for message in await outbox.claim(2, "w"))

    assert sorted(served.values()) == [2] * 6


async def test_a_number_sends_at_its_pace_however_many_ask(world: World, outbox: Outbox) -> None:
    number = await fast_number(world, 20)
    await enqueue(outbox, number, 100)
    started = asyncio.get_running_loop().time()
    moments: list[float] = []

    async def work(name: str) -> None:
        while (asked := asyncio.get_running_loop().time()) < started + 1:
            messages = await outbox.claim(10, name)
            moments.extend(asked - started + message.send_after_seconds for message in messages)
            await asyncio.sleep(0.01)

    await asyncio.gather(work("one"), work("two"))

    moments.sort()
    within_a_second = [moment for moment in moments if moment <= 1]
    assert 18 <= len(within_a_second) <= 21
    assert len(moments) <= 29, "no more than 0.4 s ahead"


async def test_one_recipient_gets_a_burst_of_forty_five_and_then_one_in_six_seconds(
    world: World, outbox: Outbox, number: Number
) -> None:
    recipient = f"+{digits(11)}"
    await enqueue(outbox, number, 30, to=recipient)
    queued_later = 0
    sent = 0
    started = asyncio.get_running_loop().time()
    while True:
        token, ids = await claim(outbox)
        if not ids:
            break
        assert len(ids) == 1, "they go one after the other"
        assert await complete(world, token, ids) == {"sent"}
        sent += 1
        if queued_later < 30:
            # Also when nothing waits while the last one leaves.
            await enqueue(outbox, number, 1, to=recipient)
            queued_later += 1

    seconds = asyncio.get_running_loop().time() - started
    assert 45 <= sent <= 45 + seconds / 6, "and one more for every six seconds that this took"
    [(wait,)] = await world.rows("select extract(epoch from run_at - now())::float from private.outbox_ready")
    assert 0 < wait <= 6
    others = await enqueue(outbox, number, 3)
    assert sorted((await claim(outbox))[1]) == sorted(others), "other recipients don't wait"


# --- Pauses ---


async def test_a_throttled_number_pauses_once_and_its_messages_lose_no_attempt(
    world: World, outbox: Outbox, number: Number
) -> None:
    other = await fast_number(world)
    mine, others = await enqueue(outbox, number, 5), await enqueue(outbox, other, 5)
    token, ids = await claim(outbox)
    assert len(ids) == 10

    assert await fail(world, token, mine, "retry", scope="number", delay_seconds=1) == {"queued"}
    assert await fail(world, token, others, "release") == {"queued"}

    assert sorted((await claim(outbox))[1]) == sorted(others)
    assert {await columns(world, id_, "attempts", "status") for id_ in mine} == {(0, "queued")}
    lane = (
        "select pause_count, extract(epoch from paused_until - now()) from private.outbox_lanes"
        " where connection_id = %s"
    )
    [(count, seconds)] = await world.rows(lane, number.connection.id)
    assert count == 1
    assert 1 < seconds <= 2.5

    await world.rows(HURRY)
    token, ids = await claim(outbox)
    await fail(world, token, ids, "retry", scope="number")
    [(count, seconds)] = await world.rows(lane, number.connection.id)
    assert count == 2, "each pause in a row is longer"
    assert 2.5 < seconds <= 5

    await outbox.resume_connection(number.connection.id)
    assert sorted((await claim(outbox))[1]) == sorted(mine)


@pytest.mark.parametrize(
    ("scope", "reaches_sibling", "reaches_stranger"), [("account", True, False), ("app", True, True)]
)
async def test_a_wider_throttle_pauses_every_number_concerned_for_minutes(
    world: World, outbox: Outbox, scope: str, reaches_sibling: bool, reaches_stranger: bool
) -> None:
    number, sibling, stranger = [await fast_number(world) for _ in range(3)]
    await world.rows(
        "update wa_phone_numbers set waba_id = %s where id = %s returning id",
        number.connection.waba_id, sibling.connection.id,
    )  # fmt: skip
    token_of = {}
    for one in (number, sibling, stranger):
        await enqueue(outbox, one, 2)
        token_of[one.connection.id] = await claim(outbox, 1000)
    for one in (sibling, stranger):
        token, ids = token_of[one.connection.id]
        await fail(world, token, ids, "release")
    token, ids = token_of[number.connection.id]

    await fail(world, token, ids, "retry", scope=scope)

    left = {message.connection_id for message in await outbox.claim(1000, "w")}
    assert (sibling.connection.id not in left) == reaches_sibling
    assert (stranger.connection.id not in left) == reaches_stranger
    lanes = (await outbox.stats()).lanes
    pauses = [lane.paused_until - datetime.now(UTC) for lane in lanes if lane.paused_until]
    assert min(pauses) > timedelta(seconds=60)


async def test_a_pause_by_hand_keeps_the_queue_and_a_resume_lets_it_go(outbox: Outbox, number: Number) -> None:
    ids = await enqueue(outbox, number, 3)
    paused = await outbox.pause_connection(number.connection.id, "Holidays")
    assert (paused.status, paused.status_reason) == ("paused", "Holidays")
    assert await claim(outbox) == (0, [])

    assert (await outbox.resume_connection(number.connection.id)).status == "active"
    assert sorted((await claim(outbox))[1]) == sorted(ids)


@pytest.mark.parametrize("code", [131042, 130429, 131056])
async def test_an_error_that_comes_by_status_only_holds_back_what_would_meet_the_same(
    world: World, outbox: Outbox, number: Number, code: int
) -> None:
    thread = await world.thread(number)
    [first] = await enqueue(outbox, number, thread_ids=[thread.id])
    await show(world, [first])
    token, ids = await claim(outbox)
    await complete(world, token, ids)

    await world.receive(failed_status(number, first, code))

    assert await columns(world, first, "status", "error_code") == ("failed", str(code))
    assert [message.id for message in await outbox.list("failed", connection_id=number.connection.id)] == [first]
    await enqueue(outbox, number, thread_ids=[thread.id])
    others = await enqueue(outbox, number, 2)
    claimed = (await claim(outbox))[1]
    assert sorted(claimed) == (sorted(others) if code == 131056 else [])
    status = await world.scalar("select status from wa_phone_numbers where id = %s", number.connection.id)
    assert status == ("paused" if code == 131042 else "active")


async def test_sql_and_python_class_errors_alike(world: World) -> None:
    for error_class, groups in ERROR_CLASSES:
        codes = [code for group in groups for code in (group if isinstance(group, range) else (group,))]
        found = {await world.scalar("select private.whatsapp_error_scope(%s)", code) for code in codes}
        if error_class.action is FailureAction.PAUSE_CONNECTION:
            assert found == {"connection"}, codes
        elif error_class.scope is Scope.MESSAGE:
            assert found == {None}, codes
        else:
            assert found == {error_class.scope.value}, codes


# --- Crashes ---


async def test_only_claims_that_their_worker_never_got_go_back(world: World, outbox: Outbox, number: Number) -> None:
    lost, held, elsewhere = await enqueue(outbox, number, 3)
    tokens = {}
    for worker in ("w", "w", "other"):
        token, [id_] = await claim(outbox, 1, worker)
        tokens[id_] = token

    assert await outbox.release_lost_claims("w", [tokens[held]]) == 1

    assert await claim(outbox, worker="third") != (0, [])
    assert (await outbox.get(lost)).worker == "third"
    assert (await outbox.get(lost)).attempts == 1, "the lost claim wasn't an attempt"
    assert (await outbox.get(held)).worker == "w"
    assert (await outbox.get(elsewhere)).worker == "other"
    assert await complete(world, tokens[lost], [lost]) == {"lease_lost"}


async def test_a_message_settled_by_a_status_while_in_hand_lets_its_thread_go_on(
    world: World, outbox: Outbox, number: Number
) -> None:
    thread = await world.thread(number)
    first, second = await enqueue(outbox, number, 2, thread_ids=[thread.id] * 2)
    token, ids = await claim(outbox)
    assert ids == [first]

    await world.rows(
        "select private.settle_outbox_from_statuses(%s, %s, %s, %s, %s)",
        [first], ["wamid.1"], [False], [None], [None],
    )  # fmt: skip

    other, ids = await claim(outbox)
    assert ids == [second]
    assert await fail(world, token, [first], "retry") == {"sent"}, "the report of the first changes nothing"
    assert await complete(world, other, ids) == {"sent"}


async def test_a_message_deleted_or_settled_behind_the_queues_back_is_dropped_and_its_line_goes_on(
    world: World, outbox: Outbox, number: Number
) -> None:
    recipient = f"+{digits(11)}"
    ids = await enqueue(outbox, number, 3, to=recipient)
    await world.rows("delete from outbox_messages where id = %s returning 1", ids[0])
    await world.rows("update outbox_messages set status = 'cancelled' where id = %s returning 1", ids[1])

    assert (await claim(outbox))[1] == [ids[2]]


async def test_a_deleted_number_takes_what_is_queued_along(world: World, outbox: Outbox, number: Number) -> None:
    await enqueue(outbox, number, 3)
    await world.rows("delete from wa_phone_numbers where id = %s returning 1", number.connection.id)

    assert await claim(outbox) == (0, [])
    assert await world.scalar("select count(*) from private.outbox_ready") == 0
    assert (
        await world.scalar("select count(*) from outbox_messages where connection_id = %s", number.connection.id) == 0
    )


async def test_a_deleted_number_leaves_no_lines_behind(world: World, outbox: Outbox, number: Number) -> None:
    thread = await world.thread(number)
    await enqueue(outbox, number, 3, thread_ids=[thread.id] * 3)
    await enqueue(outbox, number, 3, to=f"+{digits(11)}")
    await enqueue(outbox, number)
    other = await fast_number(world)
    await enqueue(outbox, other, 2, to=f"+{digits(11)}")

    await world.rows("delete from wa_phone_numbers where id = %s returning 1", number.connection.id)

    assert await world.scalar("select count(*) from private.outbox_waiting") == 1
    assert await world.rows("select has_waiting from private.outbox_lines") == [(True,)], "those of the other number"


# --- People ---


async def test_what_waits_can_be_cancelled_and_what_is_in_hand_says_so(
    world: World, outbox: Outbox, number: Number
) -> None:
    thread = await world.thread(number)
    head, behind, last = await enqueue(outbox, number, 3, thread_ids=[thread.id] * 3)
    [other] = await enqueue(outbox, number)
    token, ids = await claim(outbox, 1)
    assert ids == [head]

    outcomes = await outbox.cancel([head, behind, other, uuid4()], "Not any more.")

    assert [item.outcome for item in outcomes] == ["processing", "cancelled", "cancelled", "not_found"]
    assert await columns(world, behind, "status", "error_text") == ("cancelled", "Not any more.")
    assert await claim(outbox) == (0, [])
    await complete(world, token, [head])
    assert (await claim(outbox))[1] == [last]
    assert [item.outcome for item in await outbox.cancel([head, behind])] == ["sent", "cancelled"]


async def test_cancelling_and_claiming_at_once_never_both_succeed(world: World, outbox: Outbox, number: Number) -> None:
    ids = await enqueue(outbox, number, 200)
    claimed: list[UUID] = []
    cancelled: list[UUID] = []

    async def claim_all() -> None:
        while len(claimed) + len(cancelled) < 200:
            claimed.extend((await claim(outbox, 7))[1])

    async def cancel_all() -> None:
        for start in range(0, 200, 5):
            outcomes = await outbox.cancel(ids[start : start + 5])
            cancelled.extend(item.id for item in outcomes if item.outcome == "cancelled")

    await asyncio.wait_for(asyncio.gather(claim_all(), cancel_all()), 30)

    assert not {*claimed} & {*cancelled}
    assert sorted(claimed + cancelled) == sorted(ids)


async def test_dead_letters_are_listed_retried_over_time_and_purged(
    world: World, outbox: Outbox, number: Number
) -> None:
    ids = await enqueue(outbox, number, 10, max_attempts=1)
    token, claimed = await claim(outbox)
    assert await fail(world, token, claimed, "retry") == {"dead"}
    workspace = number.connection.workspace_id
    listed = await outbox.list("dead", workspace_id=workspace)
    assert {message.id for message in listed} == {*ids}
    assert {(message.status, message.error_code, message.attempts) for message in listed} == {("dead", "1", 1)}
    assert (await outbox.stats(workspace)).problems[0].count == 10

    settled = await outbox.retry(ids[:5], spread_seconds=100)

    assert {item.outcome for item in settled} == {"queued"}
    times = await world.rows(
        "select round(extract(epoch from scheduled_at - now())) from outbox_messages where id = any(%s)"
        " order by sequence",
        ids[:5],
    )
    assert [int(seconds) for (seconds,) in times] == pytest.approx([0, 20, 40, 60, 80], abs=2)
    assert (await claim(outbox))[1] == [ids[0]]
    assert len(await outbox.list("dead", workspace_id=workspace)) == 5

    assert await outbox.purge("dead", workspace_id=workspace, older_than=timedelta(days=1)) == 0
    assert await outbox.purge("dead", workspace_id=workspace) == 5
    with pytest.raises(NotFound):
        await outbox.get(ids[9])


async def pages(outbox: Outbox, number: Number, status: Literal["queued", "processing", "unknown"]) -> list[UUID]:
    """Every message of that status, read two by two."""
    found: list[QueuedMessage] = []
    while page := await outbox.list(
        status, connection_id=number.connection.id, limit=2, before=found[-1] if found else None
    ):
        found += page
    return [message.id for message in found]


async def test_pages_of_any_status_leave_out_and_repeat_nothing(world: World, outbox: Outbox, number: Number) -> None:
    ids = sorted(await enqueue(outbox, number, 7))
    assert len(await world.rows("select distinct scheduled_at from outbox_messages where id = any(%s)", ids)) == 1
    assert sorted(await pages(outbox, number, "queued")) == ids

    token, _ = await claim(outbox)
    assert sorted(await pages(outbox, number, "processing")) == ids

    await fail(world, token, ids, "unknown")
    assert sorted(await pages(outbox, number, "unknown")) == ids
    assert None not in {message.settled_at for message in await outbox.list("unknown")}


async def test_what_belongs_to_no_number_stays_dead_and_keeps_nobody_from_being_retried(
    world: World, outbox: Outbox, number: Number
) -> None:
    """An older database held it; it can't leave by any number."""
    [dead] = await enqueue(outbox, number)
    token, ids = await claim(outbox)
    await fail(world, token, ids, "dead")
    nobodys = await world.scalar(
        "insert into outbox_messages (workspace_id, channel, recipient, payload, idempotency_key, status, error_code)"
        " values (%s, 'whatsapp', '+1', '{}', 'older', 'dead', 'not_attributable') returning id",
        number.connection.workspace_id,
    )

    settled = await outbox.retry([nobodys, dead])

    assert [(item.id, item.outcome) for item in settled] == [(nobodys, "not_attributable"), (dead, "queued")]
    assert (await columns(world, nobodys, "status")) == ("dead",)
    assert (await claim(outbox))[1] == [dead]


async def test_a_status_and_a_report_that_pause_the_same_number_do_not_deadlock(
    world: World, outbox: Outbox, number: Number
) -> None:
    """Meta throttles a number: the worker hears it in its answers, and a status tells of a message in its hands."""
    threads = [await world.thread(number) for _ in range(2)]
    first, second = sorted(await enqueue(outbox, number, 2, thread_ids=[thread.id for thread in threads]))
    await show(world, [first, second])
    token, ids = await claim(outbox)
    assert sorted(ids) == [first, second]
    failures = [
        {"id": str(id_), "action": "retry", "error_code": "130429", "error_text": "Slower", "scope": "number"}
        for id_ in (first, second)
    ]
    status = events(failed_status(number, second, 130429))
    url = world.settings.require("db_url")
    async with (
        await psycopg.AsyncConnection.connect(url) as somebody,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as worker,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as webhook,
    ):
        await somebody.execute("select from outbox_messages where id = %s for update", [first])
        report = asyncio.create_task(worker.execute("select * from fail_outbox(%s, %s)", [token, Jsonb(failures)]))
        await until(partial(waits_for_a_lock, world, worker))
        receipt = asyncio.create_task(webhook.execute("select ingest_whatsapp_events(%s)", [status]))
        await until(partial(waits_for_a_lock, world, webhook))
        await somebody.rollback()
        async with asyncio.timeout(10):
            await asyncio.gather(report, receipt)

    assert (await outbox.get(first)).status == "queued"
    assert (await outbox.get(second)).status == "failed"
    [lane] = (await outbox.stats(number.connection.workspace_id)).lanes
    assert lane.paused_until is not None


async def test_a_retried_message_shows_as_pending_again_and_a_sent_one_stays_sent(
    world: World, outbox: Outbox, number: Number
) -> None:
    thread = await world.thread(number)
    [id_] = await enqueue(outbox, number, thread_ids=[thread.id])
    await show(world, [id_])
    token, ids = await claim(outbox)
    await fail(world, token, ids, "fail")
    shown = "select status, error_text from wa_messages where outbox_id = %s"
    assert await world.rows(shown, id_) == [("failed", "It broke")]

    await outbox.retry([id_])

    assert await world.rows(shown, id_) == [("pending", None)]
    token, ids = await claim(outbox)
    assert ids == [id_]
    await complete(world, token, ids)
    assert await world.rows(shown, id_) == [("sent", None)]
    assert [item.outcome for item in await outbox.retry([id_])] == ["sent"]
    assert await claim(outbox) == (0, [])


async def test_the_figures_say_what_waits_where(world: World, outbox: Outbox, number: Number) -> None:
    recipient = f"+{digits(11)}"
    await enqueue(outbox, number, 3, to=recipient)
    await enqueue(outbox, number, 4)
    await enqueue(outbox, number, 2, scheduled_at=datetime.now(UTC) + timedelta(hours=1))
    await claim(outbox, 1)

    stats = await outbox.stats(number.connection.workspace_id)

    assert (stats.due, stats.scheduled, stats.waiting, stats.processing) == (4, 2, 2, 1)
    [lane] = stats.lanes
    assert (lane.connection_id, lane.due, lane.connection_status) == (number.connection.id, 4, "active")
    assert {message.status for message in await outbox.list("processing")} == {"processing"}
    assert len(await outbox.list("queued", workspace_id=number.connection.workspace_id)) == 8


async def test_finished_messages_are_archived_and_can_still_be_looked_up(
    world: World, outbox: Outbox, number: Number
) -> None:
    done, dead, queued = await enqueue(outbox, number, 3)
    token, _ = await claim(outbox)
    await complete(world, token, [done])
    await fail(world, token, [dead], "dead")
    await fail(world, token, [queued], "release")
    await world.rows(
        "update outbox_messages set created_at = now() - interval '40 days',"
        " settled_at = settled_at - interval '31 days' where id = any(%s) returning 1",
        [done, dead, queued],
    )

    async def gone() -> bool:
        await outbox.maintain()
        return not await world.rows("select 1 from outbox_messages where id = any(%s)", [done, dead])

    await until(gone)

    assert (await outbox.get(done)).status == "sent"
    assert (await outbox.get(dead)).error_code == "1"
    assert await outbox.list("dead", workspace_id=number.connection.workspace_id) == []
    assert (await claim(outbox))[1] == [queued], "what is queued stays, however old"


# --- Rate limits ---


async def test_a_limit_is_exact_under_concurrency_and_says_what_is_left(world: World) -> None:
    limits = RateLimits(world.service)
    key = str(uuid4())

    slots = await asyncio.gather(*(limits.take(key, cap=20, window_seconds=60) for _ in range(50)))

    allowed = [slot for slot in slots if slot.allowed]
    assert sorted(slot.remaining for slot in allowed) == list(range(20))
    assert {slot.remaining for slot in slots if not slot.allowed} == {0}
    [resets_at] = {slot.resets_at for slot in slots}
    assert 50 < (resets_at - datetime.now(UTC)).total_seconds() <= 60

    await world.rows("update rate_limit_counters set resets_at = clock_timestamp() where key = %s returning 1", key)
    assert (await limits.take(key, cap=20, window_seconds=60)).remaining == 19, "a new window"


# --- An older table ---

OLDER = """
create table public.outbox_messages (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, thread_id uuid, to_number text not null default '1',
  recipient text, payload jsonb,
  status text not null default 'pending' check (status in ('pending', 'sending', 'done')),
  attempts integer, idempotency_key text, created_at timestamptz default now()
);
"""


async def test_an_older_table_is_upgraded_in_place_and_nothing_is_sent_by_surprise(
    world: World, outbox: Outbox, number: Number
) -> None:
    from tests.sql.test_repeating import MIGRATIONS

    [migration] = [file for file in MIGRATIONS if file.name.endswith("m1_reliability.sql")]
    thread = await world.thread(number)
    workspace = number.connection.workspace_id
    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as connection:
        await connection.execute(
            "drop table public.outbox_messages cascade; drop table private.outbox_leases, private.outbox_lanes,"
            " private.outbox_ready, private.outbox_lines, private.outbox_waiting, private.outbox_problems cascade"
        )
        await connection.execute("update wa_messages set outbox_id = null where outbox_id is not null")
        await connection.execute(OLDER)
        ids = {}
        for name, row in {
            "attributable": (None, thread.id, "+15550001111", "pending", "k"),
            "same key": (workspace, thread.id, "+15550001111", "pending", "k"),
            "in hand": (workspace, thread.id, "+15550001111", "sending", None),
            "done": (workspace, None, "+15550001111", "done", "d"),
            "no number": (workspace, None, "+15550001111", "pending", None),
            "no recipient": (workspace, thread.id, None, "pending", None),
            "no workspace": (None, None, "+15550001111", "pending", None),
        }.items():
            cursor = await connection.execute(
                "insert into outbox_messages (workspace_id, thread_id, recipient, payload, status, idempotency_key)"
                " values (%s, %s, %s, '{}', %s, %s) returning id",
                row,
            )
            [ids[name]] = await cursor.fetchone() or [None]
        for _ in range(2):
            await connection.execute(migration.read_bytes())

        cursor = await connection.execute("select id, status, connection_id from outbox_messages")
        found = {id_: (status, connection_id) for id_, status, connection_id in await cursor.fetchall()}
        mine = number.connection.id
        assert {name: found.get(id_) for name, id_ in ids.items()} == {
            "attributable": ("queued", mine), "same key": ("queued", mine), "in hand": ("unknown", mine),
            "done": ("sent", None), "no number": ("dead", None), "no recipient": ("dead", mine), "no workspace": None,
        }  # fmt: skip
        cursor = await connection.execute(
            "select contents ->> 'id' from private.migration_rejects where source = 'public.outbox_messages'"
        )
        assert await cursor.fetchall() == [(str(ids["no workspace"]),)]
        cursor = await connection.execute("select id from claim_outbox(100, 'w')")
        assert len(await cursor.fetchall()) == 1, "the thread's first; the second waits behind it"
        await connection.rollback()
