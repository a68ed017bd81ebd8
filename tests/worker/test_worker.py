"""The worker over the real outbox and the stand-in: everything leaves once, in order, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from qero import Clients, Connections, NetworkError, NotAuthenticated, Outbox, SecretBox, Settings, Threads
from qero.local.graph import Drop, Garbage, GraphFault, Hang, Slow, status_webhook
from qero.models.outbox import OutboxMessage, SendOutcome
from qero.worker import Summary, Worker
from tests.worker.support import Post, Proxy, until


async def test_everything_leaves_once_under_an_opaque_id_of_its_own(post: Post, logs: list[dict[str, Any]]) -> None:
    number = await post.number()
    body = "a private word for the customer"
    messages = await post.queue(await post.threads(number, 60), body)
    logs.clear()
    worker = post.worker(concurrency=20)

    summary = await worker.run_once()

    assert summary == Summary(claimed=60, sent=60)
    assert sorted(str(sent.opaque_id) for sent in post.graph.sent) == sorted(str(item.outbox_id) for item in messages)
    assert {sent.payload["text"]["body"] for sent in post.graph.sent} == {body}
    assert [await post.shown(message) for message in messages] == [("sent", None, None)] * 60
    assert await worker.run_once() == Summary()
    assert worker.totals == summary
    assert await post.world.scalar("select count(*) from private.outbox_leases where worker = %s", worker.name) == 0
    assert len([event for event in logs if event["event"] == "message_sent"]) == 60
    for private in (body, number.at_meta.access_token, *(sent.to[1:] for sent in post.graph.sent)):
        assert private not in repr(logs)


async def test_messages_of_a_thread_leave_in_their_order_also_around_a_retry(post: Post) -> None:
    number = await post.number()
    thread, customer = await post.thread(number)
    [other] = [thread_id for thread_id in await post.threads(number, 1) if thread_id != thread.id]
    for index in range(5):
        await post.queue([thread.id], f"part {index}")
    await post.queue([other], "of another thread")
    post.graph.next_answer(GraphFault(131016), recipient=customer)

    first = await post.worker().run_once()
    assert (first.sent, first.queued) == (1, 1), "what stands behind a retry waits; other threads don't"
    await post.hurry()
    await post.worker().run_once()

    sent = [item.payload["text"]["body"] for item in post.graph.sent if item.to == customer]
    assert sent == [f"part {index}" for index in range(5)]


async def test_a_transient_refusal_is_tried_again_after_a_growing_pause(post: Post) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    post.graph.next_answer(GraphFault(131057), times=2)

    for attempts in (1, 2):
        assert (await post.worker().run_once()).queued == 1
        row = await post.row(message)
        assert (row.status, row.attempts, row.error_code) == ("queued", attempts, "131057")
        assert 55 < row.seconds_until_due < 200, "a slow trouble waits for minutes"
        assert await post.shown(message) == ("pending", None, None)
        assert await post.worker().run_once() == Summary(), "not before its time"
        await post.hurry()

    assert (await post.worker().run_once()).sent == 1
    row = await post.row(message)
    assert (row.status, row.attempts, row.error_code) == ("sent", 3, None)


async def test_a_message_whose_attempts_are_used_up_is_a_dead_letter(post: Post) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    post.graph.next_answer(GraphFault(131000), times=None)

    tried = put_back = dead = 0
    while not dead:
        # More than once where the next time is but a moment away.
        summary = await post.worker().run_once()
        tried, put_back, dead = tried + summary.claimed, put_back + summary.queued, dead + summary.dead
        await post.hurry()

    assert (tried, put_back, dead) == (5, 4, 1)
    assert await post.worker().run_once() == Summary()
    row = await post.row(message)
    assert (row.status, row.attempts, row.error_code) == ("dead", 5, "131000")
    assert (await post.shown(message))[:2] == ("failed", 131000)
    assert len(post.graph.refused) == 5
    assert post.sent(message) == []


async def test_a_permanent_refusal_fails_with_its_reason_and_is_not_repeated(post: Post) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    post.graph.next_answer(GraphFault(131026, "The person uses an old app."))

    assert await post.worker().run_once() == Summary(claimed=1, failed=1)

    assert (await post.row(message)).status == "failed"
    status, code, text = await post.shown(message)
    assert (status, code) == ("failed", 131026)
    assert "old app" in text
    await post.hurry()
    assert await post.worker().run_once() == Summary()


@pytest.mark.parametrize(
    "fault", [Hang(), Drop(), Garbage(200), Garbage(200, b'{"messages": [{}]}', "application/json")]
)
async def test_an_unknown_outcome_is_never_resent_and_settled_by_a_status(post: Post, fault: Any) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    post.graph.next_answer(fault)

    assert await post.worker().run_once() == Summary(claimed=1, unknown=1)
    assert (await post.shown(message))[0] == "unknown"
    await post.hurry()
    assert await post.worker().run_once() == Summary()
    [sent] = post.sent(message)

    await post.world.receive(status_webhook(sent, "delivered"))

    assert (await post.row(message)).status == "sent"
    assert (await post.shown(message))[0] == "delivered"


async def test_trouble_with_a_connection_pauses_it_keeps_its_queue_and_leaves_others_alone(post: Post) -> None:
    revoked, healthy = await post.number(), await post.number()
    kept = await post.queue(await post.threads(revoked, 8))
    others = await post.queue(await post.threads(healthy, 8))
    post.graph.next_answer(GraphFault(190, "The token was revoked."), times=None,
                           phone_number_id=revoked.at_meta.phone_number_id)  # fmt: skip

    summary = await post.worker().run_once()

    assert (summary.sent, summary.failed, summary.dead) == (8, 0, 0)
    assert all(len(post.sent(message)) == 1 for message in others)
    for message in kept:
        row = await post.row(message)
        assert (row.status, row.attempts) == ("queued", 0), "a trouble that isn't its own costs a message no attempt"
    [(status, reason)] = await post.world.rows(
        "select status, status_reason from wa_phone_numbers where id = %s", revoked.connection.id
    )
    assert status == "paused"
    assert "revoked" in reason
    assert await post.worker().run_once() == Summary(), "a paused connection isn't tried"

    post.graph.clear_faults()
    await Connections(post.world.service, post.world.secrets).connect(
        revoked.connection.workspace_id,
        waba_id=revoked.at_meta.waba_id,
        phone_number_id=revoked.at_meta.phone_number_id,
        access_token=revoked.at_meta.access_token,
    )

    assert (await post.worker().run_once()).sent == 8
    assert all(len(post.sent(message)) == 1 for message in kept)


async def test_a_worker_with_the_wrong_keys_harms_no_number_and_leaves_its_messages_to_others(post: Post) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    box = post.world.secrets
    post.world.secrets = SecretBox([SecretBox.generate_key()])
    assert (await post.worker().run_once()).queued == 1
    row = await post.row(message)
    assert (row.status, row.attempts, row.error_code) == ("queued", 0, "secret_undecryptable")
    assert await post.worker().run_once() == Summary(), "it waits a while before it is tried again"

    post.world.secrets = box
    await post.hurry()

    assert (await post.worker().run_once()).sent == 1
    assert len(post.sent(message)) == 1


async def test_a_connection_without_a_token_is_paused_and_nothing_is_sent(post: Post) -> None:
    number = await post.number()
    [message] = await post.queue(await post.threads(number, 1))
    await post.world.rows(
        "delete from private.wa_connection_secrets where connection_id = %s returning 1", number.connection.id
    )

    assert (await post.worker().run_once()).queued == 1

    row = await post.row(message)
    assert (row.status, row.attempts, row.error_code) == ("queued", 0, "connection_incomplete")
    assert post.graph.sent == []
    assert post.graph.refused == []
    assert (
        await post.world.scalar("select status from wa_phone_numbers where id = %s", number.connection.id)
    ) == "paused"


@pytest.mark.parametrize("lost", ["drop_before", "drop_after"])
@pytest.mark.parametrize("report", ["complete_outbox", "fail_outbox"])
async def test_a_report_that_is_lost_on_its_way_is_repeated_and_the_message_is_not(
    post: Post, settings: Settings, lost: str, report: str
) -> None:
    messages = await post.queue(await post.threads(await post.number(), 6))
    if report == "fail_outbox":
        post.graph.next_answer(GraphFault(131026), times=None)
    async with Proxy.over(settings) as (proxy, clients):
        getattr(proxy, lost)[report] = 2
        summary = await post.worker(clients).run_once()
        assert getattr(proxy, lost)[report] == 0, "the faults happened"

    outcome, status = ("sent", "sent") if report == "complete_outbox" else ("failed", "failed")
    assert getattr(summary, outcome) == 6
    assert summary.unsettled == 0
    assert {(await post.row(message)).status for message in messages} == {status}
    assert len(post.graph.sent) + len(post.graph.refused) == 6


async def test_a_claim_whose_answer_is_lost_goes_back_and_is_sent(post: Post, settings: Settings) -> None:
    messages = await post.queue(await post.threads(await post.number(), 3))
    async with Proxy.over(settings) as (proxy, clients):
        proxy.drop_after["claim_outbox"] = 1
        worker = post.worker(clients)
        with pytest.raises(NetworkError):
            await worker.run_once()
        assert post.graph.sent == []
        assert {(await post.row(message)).status for message in messages} == {"queued"}

        assert (await worker.run_once()).sent == 3, "it knows that it sent nothing of what it never got"

    assert {(await post.row(message)).status for message in messages} == {"sent"}
    assert {(await post.row(message)).attempts for message in messages} == {1}
    assert len(post.graph.sent) == 3


async def test_a_claim_lost_with_its_worker_sends_nothing_and_its_messages_become_unknown(
    post: Post, settings: Settings
) -> None:
    messages = await post.queue(await post.threads(await post.number(), 3))
    async with Proxy.over(settings) as (proxy, clients):
        proxy.drop_after["claim_outbox"] = 1
        with pytest.raises(NetworkError):
            await post.worker(clients).run_once()
    assert post.graph.sent == []

    await post.end_leases()
    assert await post.worker().run_once() == Summary()

    assert {(await post.row(message)).status for message in messages} == {"unknown"}


async def test_while_the_database_is_away_what_was_sent_is_not_sent_again(post: Post, settings: Settings) -> None:
    messages = await post.queue(await post.threads(await post.number(), 3))
    async with Proxy.over(settings) as (proxy, clients):
        proxy.drop_before["complete_outbox"] = proxy.drop_before["extend_lease"] = 10**6
        summary = await post.worker(clients, lease_seconds=1).run_once()
    assert summary == Summary(claimed=3, unsettled=3)
    assert len(post.graph.sent) == 3

    await post.end_leases()
    assert await post.worker().run_once() == Summary()

    assert len(post.graph.sent) == 3
    assert {(await post.row(message)).status for message in messages} == {"unknown"}
    for message in messages:
        await post.world.receive(status_webhook(post.sent(message)[0], "delivered"))
        assert (await post.shown(message))[0] == "delivered"


async def test_a_worker_that_lost_its_lease_lets_go_and_reports_nothing(post: Post, logs: list[dict[str, Any]]) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    post.graph.next_answer(Hang())
    running = asyncio.create_task(post.worker(lease_seconds=1).run_once())

    await post.until_sent()
    await post.end_leases()
    assert await Outbox(post.world.service).claim(1, "another") == []
    started = time.monotonic()
    summary = await running

    assert time.monotonic() - started < 0.6, "it doesn't wait for an answer it may not report"
    assert summary == Summary(claimed=1, unsettled=1)
    assert (await post.row(message)).status == "unknown"
    assert "lease_lost" in [event["event"] for event in logs]


async def test_a_slow_send_keeps_its_lease(post: Post) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    post.graph.next_answer(Slow(0.9))
    running = asyncio.create_task(post.worker(lease_seconds=1).run_once())

    await post.until_sent()
    await post.world.rows(
        "update private.outbox_leases set expires_at = clock_timestamp() + interval '600 ms' returning token"
    )
    await asyncio.sleep(0.7)
    assert await Outbox(post.world.service).claim(1, "another") == [], "claiming takes up what others let go"

    assert (await running).sent == 1
    assert (await post.row(message)).status == "sent"


async def test_a_longer_lease_is_asked_for_before_the_claims_own_ends(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qero.worker.worker.LEASE_SECONDS", 0.3)
    await post.queue(await post.threads(await post.number(), 1))
    post.graph.next_answer(Slow(0.9))
    running = asyncio.create_task(post.worker(lease_seconds=600).run_once())
    await post.until_sent()

    async def is_longer() -> bool:
        return await post.world.rows(
            "select token from private.outbox_leases where expires_at > clock_timestamp() + interval '500 seconds'"
        ) != []  # fmt: skip

    await until(is_longer, seconds=0.8)
    assert (await running).sent == 1


async def test_a_stop_lets_begun_sends_finish_and_claims_nothing_more(post: Post) -> None:
    threads = await post.threads(await post.number(), 2)
    [begun] = await post.queue(threads[:1])
    post.graph.next_answer(Slow(0.6))
    stop = asyncio.Event()
    running = asyncio.create_task(post.worker().run(stop))

    await post.until_sent()
    stop.set()
    [later] = await post.queue(threads[1:])

    assert await running == Summary(claimed=1, sent=1)
    assert (await post.row(begun)).status == "sent"
    assert (await post.row(later)).status == "queued"


async def test_a_send_that_outlasts_the_grace_is_reported_as_unknown(post: Post) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    post.graph.next_answer(Hang())
    stop = asyncio.Event()
    running = asyncio.create_task(post.worker(grace_seconds=0.1).run(stop))

    await post.until_sent()
    stop.set()

    assert await running == Summary(claimed=1, unknown=1)
    row = await post.row(message)
    assert (row.status, row.error_code) == ("unknown", "worker_stopped")


async def test_what_waited_for_its_number_when_the_grace_ended_goes_back(post: Post) -> None:
    messages = await post.queue(await post.threads(await post.number(), 2))
    post.graph.next_answer(Hang())
    stop = asyncio.Event()
    running = asyncio.create_task(post.worker(grace_seconds=0.1, number_concurrency=1).run(stop))

    await post.until_sent()
    stop.set()

    assert await running == Summary(claimed=2, unknown=1, queued=1)
    assert sorted([(await post.row(message)).status for message in messages]) == ["queued", "unknown"]


async def test_what_was_claimed_and_not_begun_goes_back_at_once(post: Post) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    stop = asyncio.Event()
    blocker = await psycopg.AsyncConnection.connect(post.world.settings.require("db_url"))
    async with blocker:
        await blocker.execute("lock table public.outbox_messages in access exclusive mode")
        running = asyncio.create_task(post.worker().run(stop))
        await asyncio.sleep(0.3)
        stop.set()
        await blocker.rollback()
        summary = await running

    assert summary == Summary(claimed=1, queued=1)
    row = await post.row(message)
    assert (row.status, row.attempts) == ("queued", 0)
    assert post.graph.sent == []
    assert (await post.worker().run_once()).sent == 1


async def test_cancelling_is_a_stop_too(post: Post) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))
    post.graph.next_answer(Slow(0.5))
    running = asyncio.create_task(post.worker().run(asyncio.Event()))

    await post.until_sent()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert (await post.row(message)).status == "sent"


async def test_a_send_that_hangs_holds_up_nobody_else(post: Post) -> None:
    number = await post.number(messages_per_second=1000)
    thread, stuck = await post.thread(number)
    await post.queue([thread.id])
    others = [thread_id for thread_id in await post.threads(number, 80) if thread_id != thread.id]
    await post.queue(others)
    post.graph.next_answer(Hang(), recipient=stuck)
    running = asyncio.create_task(post.worker(concurrency=8).run_once())

    async def the_others_are_sent() -> bool:
        settled = await post.world.scalar(
            "select count(*) from outbox_messages where connection_id = %s and status = 'sent'", number.connection.id
        )
        return bool(settled == 80)

    await until(the_others_are_sent)
    assert not running.done(), "the hanging one is still waited for"
    assert await running == Summary(claimed=81, sent=80, unknown=1)


async def test_a_channel_that_raises_may_have_sent_so_the_outcome_is_unknown(
    post: Post, logs: list[dict[str, Any]]
) -> None:
    class Broken:
        async def send(self, message: OutboxMessage) -> SendOutcome:
            raise RuntimeError(f"could not send {message.payload} to {message.recipient}")

    thread, customer = await post.thread(await post.number())
    [message] = await post.queue([thread.id], "a private word")
    logs.clear()

    summary = await Worker(Outbox(post.world.service), {"whatsapp": Broken()}).run_once()

    assert summary == Summary(claimed=1, unknown=1)
    assert (await post.row(message)).error_code == "channel_error"
    [line] = [event for event in logs if event["event"] == "message_outcome_unknown"]
    assert (line["error"], line["place"].split(":")[0]) == ("RuntimeError", "send")
    assert "private word" not in repr(logs)
    assert customer[1:] not in repr(logs)


async def test_a_message_of_a_channel_this_worker_lacks_waits_for_one_that_has_it(post: Post) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1))

    summary = await Worker(Outbox(post.world.service), {}).run_once()

    assert summary == Summary(claimed=1, queued=1)
    row = await post.row(message)
    assert (row.status, row.error_code) == ("queued", "channel_missing")
    assert 50 < row.seconds_until_due <= 60


async def test_an_outage_of_the_database_is_waited_out(post: Post, settings: Settings) -> None:
    stop = asyncio.Event()
    async with Proxy.over(settings) as (proxy, clients):
        proxy.down = True
        running = asyncio.create_task(post.worker(clients).run(stop))
        [message] = await post.queue(await post.threads(await post.number(), 1))
        await asyncio.sleep(0.3)
        assert not running.done()
        proxy.down = False

        async def is_sent() -> bool:
            return (await post.row(message)).status == "sent"

        await until(is_sent)
        stop.set()
        assert (await running).sent == 1


async def test_trouble_that_waiting_does_not_mend_ends_the_worker(post: Post, settings: Settings) -> None:
    wrong = settings.model_copy(update={"secret_key": SecretStr("sb_secret_of_another_project")})
    async with Clients(wrong) as clients:
        with pytest.raises(NotAuthenticated) as error:
            await asyncio.wait_for(post.worker(clients).run(asyncio.Event()), 5)

    assert error.value.code == "api_key_invalid"


async def test_an_idle_worker_asks_ever_more_rarely_and_still_notices_soon(post: Post, settings: Settings) -> None:
    threads = await post.threads(await post.number(), 1)
    stop = asyncio.Event()
    async with Proxy.over(settings) as (proxy, clients):
        running = asyncio.create_task(post.worker(clients).run(stop))
        await asyncio.sleep(2.5)
        asked = proxy.seen["claim_outbox"]
        assert 4 <= asked <= 9, "after 50 ms, 100 ms, and so on, then once a second"
        [message] = await post.queue(threads)

        async def is_sent() -> bool:
            return bool(post.sent(message))

        await until(is_sent, seconds=1.5)
        stop.set()
        started = time.monotonic()
        await running
        assert time.monotonic() - started < 0.5, "an idle worker ends at once"


async def test_a_reply_queued_by_a_member_says_who_wrote_it_and_still_leaves(post: Post) -> None:
    thread, _ = await post.thread(await post.number())
    olga = await post.world.user("olga")
    message = await Threads(olga.client).send_text(thread.id, "Hi")

    await post.worker().run_once()

    assert message.sent_by == olga.id
    assert len(post.sent(message)) == 1
