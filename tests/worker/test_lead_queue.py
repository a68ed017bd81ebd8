"""The lead queue end to end: what is prepared leaves once, what is taken doesn't, and everything agrees afterwards."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import Counter
from datetime import date
from typing import Any
from uuid import UUID

import pytest

from qero import LeadQueue, Leads, Media, Outbox, Threads
from qero.local.graph import GraphFault, Hang, batch, status_webhook, text_webhook
from qero.models.outbox import Failure, FailureAction
from qero.models.workspace import Workspace
from qero.services.lead_queue import export_all
from tests.services.leads import AGAIN, HELLO, leads_of, phone_of, queue_of, statuses, today
from tests.support import Number, User, World
from tests.worker.support import Post


async def team(post: Post, **settings: Any) -> tuple[Workspace, Number, User]:
    workspace = await post.world.workspace(owner="olga", bob="member")
    number = await post.world.number(workspace)
    await post.world.rows(
        "update wa_phone_numbers set messages_per_second = 10000 where id = %s returning 1", number.connection.id
    )
    post.graph.add_number(number.at_meta)
    olga = await post.world.user("olga")
    await queue_of(olga, workspace, **settings)
    return workspace, number, olga


async def start_all(queue: LeadQueue, workspace: Workspace) -> int:
    started = 0
    while True:
        answer = await queue.start(workspace.id, batch=200)
        started += answer.started
        if not answer.left:
            return started


async def sent_to(post: Post) -> Counter[str]:
    return Counter(message.to for message in post.graph.sent)


async def counted(world: World, workspace: Workspace) -> dict[str, int]:
    """Messages of the queue by status."""
    rows = await world.rows(
        "select status, count(*) from whatsapp_message_queue where workspace_id = %s group by 1", workspace.id
    )
    return dict(rows)


async def test_queue_leads_ledger_metrics_and_export_agree_with_what_meta_received(post: Post) -> None:
    world = post.world
    workspace, number, olga = await team(post, steps=[HELLO, AGAIN])
    queue, leads = LeadQueue(olga.client), Leads(olga.client)
    lead_ids = await leads_of(world, workspace, 500)
    prepared = await queue.prepare(workspace.id, day=today())
    assert (prepared.prepared, prepared.refused) == (500, 0)
    assert await start_all(queue, workspace) == 500

    # In the middle: some can't be reached, some are taken, some reply.
    unreachable = [await phone_of(world, lead_id) for lead_id in lead_ids[:5]]
    for phone in unreachable:
        post.graph.next_answer(GraphFault(131026), recipient=phone)
    taken = lead_ids[5:25]
    repliers = lead_ids[480:]
    worker = asyncio.create_task(post.worker(concurrency=20).run_once())
    bob = await world.user("bob")
    takeovers = await asyncio.gather(*(Leads(bob.client).take(lead_id) for lead_id in taken))
    replies = [text_webhook(number.at_meta, await phone_of(world, lead_id), "Tell me more") for lead_id in repliers]
    await world.receive(batch(*replies))
    await worker
    await post.worker(concurrency=20).run_once()

    # What each row says is what Meta has.
    received = await sent_to(post)
    assert set(received.values()) == {1}
    rows = await world.rows(
        """
        select message.status, contact.phone, lead.status, lead.control, run.status
        from whatsapp_message_queue as message join leads as lead on lead.id = message.lead_id
        join contacts as contact on contact.id = lead.contact_id
        join lead_processing_queue as run on run.lead_id = lead.id
        where message.workspace_id = %s
        """,
        workspace.id,
    )
    assert len(rows) == 500
    assert {phone for status, phone, *_ in rows if status == "sent"} == set(received)
    assert {phone for status, phone, *_ in rows if status == "failed"} == set(unreachable)
    agreed = {(status, lead, control, run) for status, _, lead, control, run in rows}
    assert agreed <= {
        ("sent", "contacted", "automation", "waiting"),
        ("sent", "engaged", "human", "cancelled"),
        ("cancelled", "engaged", "human", "cancelled"),
        ("failed", "pending", "human", "failed"),
    }
    assert all([(await leads.get(lead_id)).taken_by == bob.id for lead_id in taken])
    assert all([(await leads.get(lead_id)).replied_at for lead_id in repliers])
    for takeover in takeovers:
        assert takeover.cancelled + len(takeover.handed_over) <= 1

    # The metrics, the summary and the export count the same.
    counts = await counted(world, workspace)
    [of_olga] = await queue.metrics(workspace.id, user_id=olga.id)
    assert (of_olga.prepared, of_olga.replied) == (500, 20)
    assert (of_olga.sent, of_olga.failed, of_olga.cancelled) == (
        counts["sent"], counts["failed"], counts.get("cancelled", 0),
    )  # fmt: skip
    assert of_olga.first_sent_at is not None
    [of_bob] = await queue.metrics(workspace.id, user_id=bob.id)
    assert of_bob.taken == 20
    [line] = [line for line in (await queue.status(workspace.id)).users if line.user_id == olga.id]
    assert (line.sent, line.failed, line.queued, line.sending) == (counts["sent"], 5, 0, 0)
    text = "".join([page.csv async for page in export_all(queue, workspace.id)])
    exported = list(csv.DictReader(io.StringIO(text), strict=True))
    assert Counter(row["status"] for row in exported) == counts

    # Every transition is in the ledger, and leads from nothing to what is there now.
    broken = await world.scalar(
        """
        with step as (
          select queue_id, from_status, to_status, lag(to_status) over (partition by queue_id order by id) as before,
            lead(id) over (partition by queue_id order by id) is null as is_last
          from queue_ledger where workspace_id = %s and queue = 'whatsapp_message_queue'
        )
        select count(*) from step join whatsapp_message_queue as message on message.id = step.queue_id
        where step.from_status is distinct from step.before or (step.is_last and step.to_status <> message.status)
        """,
        workspace.id,
    )
    assert broken == 0
    assert await world.rows("select * from audit_queue() where kind <> 'set aside'") == []


async def test_nothing_reaches_a_taken_lead_after_the_takeover_was_answered(post: Post) -> None:
    """Raced a thousand times against starting, claiming, sending and settling."""
    world = post.world
    workspace, _, olga = await team(post, daily_capacity=2000)
    lead_ids = await leads_of(world, workspace, 1000)
    queue, leads = LeadQueue(olga.client), Leads(olga.client)
    await queue.prepare(workspace.id, day=today())
    # Some fail first and would be tried again.
    post.graph.next_answer(GraphFault(131000), times=100)
    stop = asyncio.Event()
    worker = asyncio.create_task(post.worker(concurrency=50).run(stop))
    starting = asyncio.create_task(start_all(queue, workspace))
    gate = asyncio.Semaphore(12)
    outcomes: dict[UUID, tuple[int, int, set[str]]] = {}

    async def take(lead_id: UUID) -> None:
        async with gate:
            takeover = await leads.take(lead_id)
        # What Meta has by the time of the answer; more may come only of what was reported.
        before = {str(message.opaque_id) for message in post.graph.sent}
        outcomes[lead_id] = takeover.cancelled, len(takeover.handed_over), before

    await asyncio.gather(*(take(lead_id) for lead_id in lead_ids))
    await starting
    stop.set()
    await worker
    await post.hurry()
    await post.worker().run_once()

    sent = {str(message.opaque_id) for message in post.graph.sent}
    assert len(sent) == len(post.graph.sent), "nothing twice"
    rows = await world.rows(
        "select lead_id, status, outbox_id::text from whatsapp_message_queue where workspace_id = %s", workspace.id
    )
    seen = Counter[str]()
    for lead_id, status, outbox_id in rows:
        cancelled, handed_over, before = outcomes[lead_id]
        if cancelled:
            assert (status, outbox_id in sent) == ("cancelled", False)
            seen["cancelled"] += 1
        elif handed_over:
            assert status in ("sent", "cancelled", "failed")
            seen["handed over"] += 1
        else:
            # It had been sent, and settled, before.
            assert outbox_id in before
            seen["sent before"] += 1
    assert sum(seen.values()) == 1000
    assert seen["cancelled"] > 0, seen
    assert (
        await world.scalar("select count(*) from leads where workspace_id = %s and taken_by is null", workspace.id) == 0
    )


async def test_what_a_worker_has_in_hand_is_reported_and_not_tried_again(post: Post) -> None:
    world = post.world
    workspace, _, olga = await team(post)
    [lead_id] = await leads_of(world, workspace, 1)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())
    await start_all(queue, workspace)
    outbox = Outbox(world.service)
    [message] = await outbox.claim(10, "a worker")

    takeover = await Leads(olga.client).take(lead_id, "They called.")

    assert takeover.cancelled == 0
    assert [item.outbox_id for item in takeover.handed_over] == [message.id]
    failure = Failure(id=message.id, action=FailureAction.RETRY, error_code="131000", error_text="Try again.")
    [settled] = await outbox.fail(message.lease_token, [failure])
    assert settled.outcome == "cancelled"
    assert await statuses(world, lead_id) == ("engaged", "human", olga.id, "cancelled", None)
    assert await outbox.claim(10, "a worker") == []


async def test_claims_that_never_arrived_are_not_sent_to_a_taken_lead(post: Post) -> None:
    workspace, _, olga = await team(post)
    [lead_id] = await leads_of(post.world, workspace, 1)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())
    await start_all(queue, workspace)
    outbox = Outbox(post.world.service)
    await outbox.claim(10, "a worker")
    await Leads(olga.client).take(lead_id)

    await outbox.release_lost_claims("a worker", [])

    assert await outbox.claim(10, "a worker") == []
    assert (await statuses(post.world, lead_id))[3] == "cancelled"


async def test_the_first_message_by_hand_takes_the_lead_as_well(post: Post) -> None:
    world = post.world
    workspace, number, olga = await team(post)
    thread, phone = await post.thread(number)
    contact_id = thread.contact_id
    lead_id = await world.scalar(
        "insert into leads (workspace_id, contact_id) values (%s, %s) returning id", workspace.id, contact_id
    )
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())
    await start_all(queue, workspace)
    bob = await world.user("bob")

    await Threads(bob.client).send_text(thread.id, "It's me, Bob.")
    await post.worker().run_once()

    assert [message.payload["type"] for message in post.graph.sent if message.to == phone] == ["text"]
    assert await statuses(world, lead_id) == ("engaged", "human", bob.id, "cancelled", None)
    events = await world.rows("select kind, actor_id from contact_events where contact_id = %s", contact_id)
    assert events == [("lead_taken", bob.id)]


async def test_other_replies_take_the_lead_too_and_a_read_receipt_does_not(post: Post) -> None:
    world = post.world
    workspace, number, olga = await team(post)
    thread, _ = await post.thread(number)
    lead_id = await world.scalar(
        "insert into leads (workspace_id, contact_id) values (%s, %s) returning id", workspace.id, thread.contact_id
    )
    await LeadQueue(olga.client).prepare(workspace.id, day=today())
    bob = await world.user("bob")
    message_id = await world.scalar("select id from wa_messages where thread_id = %s", thread.id)

    await Threads(bob.client).send_read_receipt(message_id)
    assert (await statuses(world, lead_id))[1:3] == ("automation", None)
    await Threads(bob.client).send_media(thread.id, "image", Media(link="https://example.com/price.png"))
    assert (await statuses(world, lead_id))[1:4] == ("human", bob.id, "cancelled")


@pytest.mark.parametrize("how", ["reply", "echo"])
async def test_a_lead_leaves_automation_when_the_conversation_goes_on(post: Post, how: str) -> None:
    world = post.world
    workspace, number, olga = await team(post, steps=[HELLO, AGAIN])
    waiting, queued = await leads_of(world, workspace, 2)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today(), limit=1)
    await start_all(queue, workspace)
    await post.worker().run_once()
    assert (await statuses(world, waiting))[4] == "waiting"
    await queue.prepare(workspace.id, day=today())

    for lead_id in (waiting, queued):
        phone = await phone_of(world, lead_id)
        webhook = text_webhook(number.at_meta, phone, "Yes?")
        if how == "echo":
            value = webhook["entry"][0]["changes"][0]["value"]
            [message] = value.pop("messages")
            value.pop("contacts", None)
            message["to"], message["from"] = message["from"], number.at_meta.display_phone_number
            value["message_echoes"] = [message]
            webhook["entry"][0]["changes"][0]["field"] = "smb_message_echoes"
        await world.receive(webhook)

    assert await statuses(world, waiting) == ("engaged", "human", None, "sent", "cancelled")
    assert await statuses(world, queued) == ("engaged", "human", None, "cancelled", "cancelled")
    assert (await queue.start(workspace.id)).left == 0
    [metrics] = await queue.metrics(workspace.id)
    assert metrics.replied == 2
    # Whoever takes it then has it.
    assert (await Leads(olga.client).take(waiting)).lead.taken_by == olga.id


async def test_a_follow_up_leaves_after_its_days_without_a_reply(post: Post) -> None:
    world = post.world
    workspace, number, olga = await team(post, steps=[HELLO, AGAIN])
    silent, talkative = await leads_of(world, workspace, 2)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())
    await start_all(queue, workspace)
    await post.worker().run_once()
    await world.receive(text_webhook(number.at_meta, await phone_of(world, talkative), "Yes"))

    async def due_on() -> date | None:
        found: date | None = await world.scalar("select next_on from lead_processing_queue where lead_id = %s", silent)
        return found

    on = await due_on()
    assert on is not None
    assert (on - today()).days == 3
    assert (await queue.prepare(workspace.id)).follow_ups == 0, "not yet"
    await world.rows("update lead_processing_queue set next_on = current_date where lead_id = %s returning 1", silent)
    prepared = await queue.prepare(workspace.id, day=today())
    assert (prepared.follow_ups, prepared.prepared) == (1, 0)
    await start_all(queue, workspace)
    await post.worker().run_once()

    names = [message.payload["template"]["name"] for message in post.graph.sent]
    assert names == ["hello", "hello", "still_there"]
    assert await statuses(world, silent) == ("contacted", "automation", None, "sent", "completed")
    assert (await queue.prepare(workspace.id)).follow_ups == 0


async def test_a_failure_that_comes_by_status_is_the_queues_too(post: Post) -> None:
    world = post.world
    workspace, _, olga = await team(post)
    [lead_id] = await leads_of(world, workspace, 1)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())
    await start_all(queue, workspace)
    await post.worker().run_once()
    assert (await statuses(world, lead_id))[:4] == ("contacted", "automation", None, "sent")

    await world.receive(status_webhook(post.graph.sent[-1], "failed", error_code=131026))

    assert (await statuses(world, lead_id))[:4] == ("pending", "human", None, "failed")
    [metrics] = await queue.metrics(workspace.id)
    assert (metrics.sent, metrics.failed) == (0, 1)


async def test_an_unknown_outcome_stays_sending_until_it_is_known(post: Post) -> None:
    world = post.world
    workspace, _, olga = await team(post)
    [lead_id] = await leads_of(world, workspace, 1)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())
    await start_all(queue, workspace)
    post.graph.next_answer(Hang())
    await post.worker().run_once()
    assert (await statuses(world, lead_id))[:4] == ("queued", "automation", None, "sending")

    await world.receive(status_webhook(post.graph.sent[-1], "delivered"))

    assert (await statuses(world, lead_id))[:4] == ("contacted", "automation", None, "sent")


async def test_an_unknown_outcome_that_is_purged_is_left_to_a_person_and_the_lead_can_be_queued_again(
    post: Post,
) -> None:
    world = post.world
    workspace, _, olga = await team(post, steps=[HELLO, AGAIN])
    [lead_id] = await leads_of(world, workspace, 1)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())
    await start_all(queue, workspace)
    post.graph.next_answer(Hang())
    await post.worker().run_once()

    assert await Outbox(world.service).purge("unknown", workspace_id=workspace.id) == 1

    assert await statuses(world, lead_id) == ("pending", "human", None, "failed", "failed")
    [failed] = await world.rows("select last_error from whatsapp_message_queue where lead_id = %s", lead_id)
    assert failed == ("outcome_unknown",)
    await Leads(olga.client).release(lead_id)
    assert (await queue.prepare(workspace.id)).prepared == 1


async def test_what_is_cancelled_in_the_outbox_waits_for_another_day_and_what_is_retried_follows(post: Post) -> None:
    world = post.world
    workspace, _, olga = await team(post)
    [lead_id] = await leads_of(world, workspace, 1)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())
    await start_all(queue, workspace)
    outbox_id = await world.scalar("select outbox_id from whatsapp_message_queue where lead_id = %s", lead_id)
    outbox = Outbox(world.service)
    await outbox.cancel([outbox_id])
    assert (await statuses(world, lead_id))[:5] == ("pending", "automation", None, "cancelled", None)

    await outbox.retry([outbox_id])
    assert (await statuses(world, lead_id))[3] == "sending"
    await post.worker().run_once()

    assert (await statuses(world, lead_id))[:4] == ("contacted", "automation", None, "sent")
