"""Leads and their queue: preparing, starting, taking, assigning, exporting, and every refusal."""

from __future__ import annotations

import asyncio
import csv
import io
from datetime import date, timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from qero import (
    Connections,
    Contacts,
    Inbox,
    InvalidInput,
    InvalidState,
    LeadFields,
    LeadPatch,
    LeadQueue,
    Leads,
    NotFound,
    PermissionDenied,
    QueueSettingsPatch,
)
from qero.local.graph import text_webhook
from qero.models.contact import ContactPatch
from qero.models.workspace import Workspace
from qero.services.lead_queue import export_all
from tests.services.leads import AGAIN, HELLO, leads_of, phone_of, queue_of, statuses, today
from tests.services.people import contact_of
from tests.sql.inbound import events
from tests.support import User, World, post_rpc, waits_for_a_lock
from tests.worker.support import until

Rows = list[tuple[Any, ...]]


@pytest.fixture
async def olga(world: World) -> User:
    return await world.user("olga")


@pytest.fixture
async def workspace(world: World) -> Workspace:
    return await world.workspace(owner="olga", bob="member", ann="admin", vic="viewer")


async def queued(world: World, workspace: Workspace) -> Rows:
    return await world.rows(
        "select user_id, queue_day, count(*) from whatsapp_message_queue where workspace_id = %s group by 1, 2",
        workspace.id,
    )


# --- Leads ---


async def test_leads_are_made_of_contacts_once_for_each_project(olga: User, workspace: Workspace) -> None:
    leads = Leads(olga.client)
    ada, bob = [await contact_of(olga, workspace) for _ in range(2)]
    client = await leads.add_client(workspace.id, "Engines Ltd")
    project = await leads.add_project(workspace.id, "Spring", client_id=client.id)

    made = await leads.create(workspace.id, [ada.id, bob.id, ada.id], LeadFields(score=7, client_id=client.id))
    again = await leads.create(workspace.id, [ada.id])
    of_project = await leads.create(workspace.id, [ada.id], LeadFields(project_id=project.id))

    assert {lead.contact_id for lead in made} == {ada.id, bob.id}
    assert {(lead.score, lead.client_id, lead.status, lead.control) for lead in made} == {
        (7, client.id, "new", "automation")
    }
    assert again == []
    assert len(of_project) == 1
    assert len(await leads.list(workspace.id, contact_id=ada.id)) == 2
    assert await leads.get(made[0].id) == made[0]


async def test_a_lead_is_none_of_strangers_business(world: World, workspace: Workspace) -> None:
    [lead_id] = await leads_of(world, workspace, 1)
    await world.workspace(owner="mallory")
    mallory = Leads((await world.user("mallory")).client)
    for call in (
        mallory.get(lead_id),
        mallory.take(lead_id),
        mallory.release(lead_id),
        mallory.update(lead_id, LeadPatch(score=1)),
    ):
        with pytest.raises(NotFound) as error:
            await call
        assert error.value.code == "lead_not_found"
    assert await mallory.list(workspace.id) == []
    assert await mallory.ledger(lead_id) == []
    viewer = Leads((await world.user("vic")).client)
    assert len(await viewer.list(workspace.id)) == 1
    with pytest.raises(PermissionDenied):
        await viewer.take(lead_id)


async def test_booked_is_no_status_and_the_error_says_which_are(world: World, olga: User, workspace: Workspace) -> None:
    [lead_id] = await leads_of(world, workspace, 1)
    answer = await post_rpc(
        world.clients.http, world.settings, "update_lead", olga.access_token, p_lead_id=str(lead_id),
        p_patch={"status": "booked"},
    )  # fmt: skip
    assert answer.status_code == 400
    assert answer.json()["message"] == "lead_status_invalid"
    assert '"allowed": ["new", "pending", "contacted", "engaged", "qualified", "lost"]' in answer.json()["details"]


async def test_the_contacts_own_status_stays_whatever_happens_to_the_lead(
    world: World, olga: User, workspace: Workspace
) -> None:
    contact = await contact_of(olga, workspace, name="Ada", phone="+491701234567", lead_status="qualified")
    [lead] = await Leads(olga.client).create(workspace.id, [contact.id])
    await queue_of(olga, workspace)
    await LeadQueue(olga.client).prepare(workspace.id)
    await Leads(olga.client).take(lead.id)

    assert (await Contacts(olga.client).get(contact.id)).lead_status == "qualified"


async def test_a_lead_goes_with_its_contact_and_moves_with_a_merge(
    world: World, olga: User, workspace: Workspace
) -> None:
    kept, lost = [await contact_of(olga, workspace) for _ in range(2)]
    [lead] = await Leads(olga.client).create(workspace.id, [lost.id])
    merged = await Contacts(olga.client).merge(kept.id, lost.id)
    assert merged.moved.leads == 1
    assert (await Leads(olga.client).get(lead.id)).contact_id == kept.id

    assert (await Contacts(olga.client).delete(kept.id)).leads == 1
    with pytest.raises(NotFound):
        await Leads(olga.client).get(lead.id)


# --- Preparing ---


async def test_the_best_leads_within_capacity_are_queued_for_tomorrow(
    world: World, olga: User, workspace: Workspace
) -> None:
    lead_ids = await leads_of(world, workspace, 12, olga)
    await queue_of(olga, workspace, daily_capacity=10)

    prepared = await LeadQueue(olga.client).prepare(workspace.id)

    assert (prepared.day, prepared.prepared, prepared.room_left) == (today() + timedelta(days=1), 10, 0)
    for lead_id in lead_ids[:10]:
        assert await statuses(world, lead_id) == ("queued", "automation", None, "queued", None)
    for lead_id in lead_ids[10:]:
        assert await statuses(world, lead_id) == ("new", "automation", None, None, None)
    ledger = await Leads(olga.client).ledger(lead_ids[0])
    assert {(entry.queue, entry.action, entry.from_status, entry.to_status, entry.actor_id) for entry in ledger} == {
        ("leads", "prepared", "new", "queued", olga.id),
        ("whatsapp_message_queue", "prepared", None, "queued", olga.id),
    }


async def test_preparing_from_two_tabs_and_by_two_people_at_once_exceeds_nothing(
    world: World, olga: User, workspace: Workspace
) -> None:
    """All draw on the same leads, several times each at once."""
    bob = await world.user("bob")
    await leads_of(world, workspace, 100)
    for user, capacity in ((olga, 30), (bob, 20)):
        await queue_of(user, workspace, daily_capacity=capacity)

    done = await asyncio.gather(
        *(LeadQueue(user.client).prepare(workspace.id) for user in (olga, bob) for _ in range(6)),
        *(LeadQueue(olga.client).prepare(workspace.id, limit=7) for _ in range(3)),
    )

    assert sum(queue.prepared for queue in done) == 50
    assert {(user, count) for user, _, count in await queued(world, workspace)} == {(olga.id, 30), (bob.id, 20)}
    twice = await world.rows(
        "select lead_id from whatsapp_message_queue where workspace_id = %s group by 1 having count(*) > 1",
        workspace.id,
    )
    assert twice == []


async def test_leads_that_cannot_be_written_to_are_refused_with_the_reason_and_keep_nobody_back(
    world: World, olga: User, workspace: Workspace
) -> None:
    lead_ids = await leads_of(world, workspace, 8, olga)
    opted_out, speechless, lost, deleted = lead_ids[:4]
    change = "update contacts set {} where id = (select contact_id from leads where id = %s) returning 1"
    await world.rows(change.format("marketing_opted_out = true"), opted_out)
    await world.rows(change.format("phone = null"), speechless)
    await world.rows("update leads set contact_id = null where id = %s returning 1", lost)
    await world.rows(change.format("deleted_at = now()"), deleted)
    await queue_of(olga, workspace, daily_capacity=3)

    prepared = await LeadQueue(olga.client).prepare(workspace.id)

    assert prepared.prepared == 3
    assert {refusal.lead_id: refusal.reason for refusal in prepared.refusals} == {
        opted_out: "opted_out",
        speechless: "recipient_missing",
        lost: "contact_missing",
        deleted: "contact_missing",
    }
    assert [(await statuses(world, lead_id))[0] for lead_id in lead_ids[4:]] == ["queued"] * 3 + ["new"]


async def test_follow_ups_that_cannot_be_written_end_and_leave_their_room_to_the_next(
    world: World, olga: User, workspace: Workspace
) -> None:
    await queue_of(olga, workspace, steps=[HELLO, AGAIN], daily_capacity=2)
    lead_ids = await leads_of(world, workspace, 8, olga)
    await world.rows("update leads set status = 'contacted' where id = any(%s) returning 1", lead_ids[:6])
    await world.rows(
        "insert into lead_processing_queue (workspace_id, lead_id, user_id, status, next_on)"
        " select %s, id, %s, 'waiting', current_date - 100 + place::integer"
        " from unnest(%s::uuid[]) with ordinality as lead (id, place) returning 1",
        workspace.id, olga.id, lead_ids[:6],
    )  # fmt: skip
    change = "update contacts set {} where id = (select contact_id from leads where id = %s) returning 1"
    for lead_id in lead_ids[:4]:
        await world.rows(change.format("marketing_opted_out = true"), lead_id)
    await world.rows(change.format("phone = null"), lead_ids[4])

    prepared = await LeadQueue(olga.client).prepare(workspace.id)

    assert (prepared.follow_ups, prepared.prepared) == (1, 1), "the last of them, then a new lead"
    assert {refusal.lead_id: refusal.reason for refusal in prepared.refusals} == {
        **dict.fromkeys(lead_ids[:4], "opted_out"),
        lead_ids[4]: "recipient_missing",
    }
    assert [(await statuses(world, lead_id))[4] for lead_id in lead_ids[:6]] == ["cancelled"] * 5 + ["queued"]


async def test_preparing_waits_for_nobody_who_is_just_replying(world: World, olga: User, workspace: Workspace) -> None:
    """Neither for their lead, nor for their step, nor for what the day before left over."""
    number = await world.number(workspace)
    await queue_of(olga, workspace, steps=[HELLO, AGAIN])
    new, follow_up, left_over, other = await leads_of(world, workspace, 4, olga)
    await world.rows("update leads set status = 'contacted' where id = any(%s) returning 1", [follow_up, left_over])
    await world.rows(
        "insert into lead_processing_queue (workspace_id, lead_id, user_id, status, next_on)"
        " values (%s, %s, %s, 'waiting', current_date) returning 1",
        workspace.id, follow_up, olga.id,
    )  # fmt: skip
    await world.rows(
        "insert into whatsapp_message_queue (workspace_id, lead_id, user_id, queue_day, body, scheduled_for)"
        " values (%s, %s, %s, current_date - 3, 'Hi', now()) returning 1",
        workspace.id, left_over, olga.id,
    )  # fmt: skip
    replies = [
        text_webhook(number.at_meta, await phone_of(world, lead_id), "Yes") for lead_id in (new, follow_up, left_over)
    ]

    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as webhook:
        await webhook.execute("select ingest_whatsapp_events(%s)", [events(*replies)])
        async with asyncio.timeout(10):
            prepared = await LeadQueue(olga.client).prepare(workspace.id)
        await webhook.commit()

    assert (prepared.prepared, prepared.follow_ups, prepared.carried_over) == (1, 0, 0)
    assert await statuses(world, other) == ("queued", "automation", None, "queued", "queued")
    for lead_id in (new, follow_up, left_over):
        assert (await statuses(world, lead_id))[:2] == ("engaged", "human")


async def test_a_lead_that_somebody_set_back_begins_anew(world: World, olga: User, workspace: Workspace) -> None:
    lead_id, *_ = await leads_of(world, workspace, 2, olga)
    await world.rows(
        "insert into lead_processing_queue (workspace_id, lead_id, step, status, next_on)"
        " values (%s, %s, 2, 'waiting', '2100-01-01') returning 1",
        workspace.id,
        lead_id,
    )
    await queue_of(olga, workspace, steps=[HELLO, AGAIN])

    assert (await LeadQueue(olga.client).prepare(workspace.id)).prepared == 2

    assert await statuses(world, lead_id) == ("queued", "automation", None, "queued", "queued")


async def test_more_bad_leads_than_a_page_keep_the_good_ones_back_no_longer(
    world: World, olga: User, workspace: Workspace
) -> None:
    lead_ids = await leads_of(world, workspace, 250, olga)
    await world.rows("update leads set contact_id = null where id = any(%s) returning 1", lead_ids[:240])
    await queue_of(olga, workspace, daily_capacity=5)

    prepared = await LeadQueue(olga.client).prepare(workspace.id)

    assert (prepared.prepared, prepared.refused) == (5, 240)


async def test_tomorrow_is_the_queues_own_in_every_zone(world: World, olga: User, workspace: Workspace) -> None:
    """Whatever the hour of this run, some of these zones are around midnight."""
    await leads_of(world, workspace, 60, olga)
    queue = LeadQueue(olga.client)
    for zone in [*(f"Etc/GMT{offset:+d}" for offset in range(-14, 13)), "Asia/Kathmandu", "America/St_Johns"]:
        await queue_of(olga, workspace, timezone=zone, sends_from="09:00", sends_until="18:00")
        before = today(zone)
        prepared = await queue.prepare(workspace.id, limit=1)
        assert prepared.day in (before + timedelta(days=1), today(zone) + timedelta(days=1)), zone
        assert prepared.opens_at.astimezone(prepared.opens_at.tzinfo) > prepared.opens_at - timedelta(seconds=1)


async def test_what_a_day_left_over_comes_first_on_the_next(world: World, olga: User, workspace: Workspace) -> None:
    left_over, *_ = await leads_of(world, workspace, 3, olga)
    await queue_of(olga, workspace, daily_capacity=2)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, limit=1)
    await world.rows(
        "update whatsapp_message_queue set queue_day = current_date - 2 where lead_id = %s returning 1", left_over
    )

    prepared = await queue.prepare(workspace.id)

    assert (prepared.carried_over, prepared.prepared, prepared.room_left) == (1, 1, 0)
    assert await queued(world, workspace) == [(olga.id, prepared.day, 2)]


# --- Starting ---


async def test_starting_waits_for_hours_a_pause_and_a_number(world: World, olga: User, workspace: Workspace) -> None:
    await leads_of(world, workspace, 2, olga)
    await queue_of(olga, workspace, sends_from="00:00", sends_until="00:00:01")
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())

    closed = await queue.start(workspace.id)
    assert (closed.waits_for, closed.started, closed.left) == ("sending_hours", 0, 2)
    assert closed.opens_at is not None
    await queue_of(olga, workspace, paused=True)
    assert (await queue.start(workspace.id)).waits_for == "resume"
    await queue_of(olga, workspace, paused=False)
    assert (await queue.start(workspace.id)).waits_for == "connection"
    number = await world.number(workspace)
    await world.rows("update wa_phone_numbers set status = 'paused' where id = %s returning 1", number.connection.id)
    assert (await queue.start(workspace.id)).waits_for == "connection"
    await world.rows("update wa_phone_numbers set status = 'active' where id = %s returning 1", number.connection.id)

    tried = await queue.start(workspace.id, dry_run=True)
    assert (tried.started, tried.left, tried.dry_run) == (2, 2, True)
    answers = [await queue.start(workspace.id, batch=1) for _ in range(3)]
    assert [(answer.started, answer.left) for answer in answers] == [(1, 1), (1, 0), (0, 0)]
    keys = await world.rows("select idempotency_key from outbox_messages where workspace_id = %s", workspace.id)
    ids = await world.rows("select 'queue:' || id from whatsapp_message_queue where workspace_id = %s", workspace.id)
    assert sorted(keys) == sorted(ids)


async def test_starting_at_once_from_many_places_queues_each_message_once(
    world: World, olga: User, workspace: Workspace
) -> None:
    await leads_of(world, workspace, 40, olga)
    await world.number(workspace)
    await queue_of(olga, workspace)
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())

    answers = await asyncio.gather(*(queue.start(workspace.id, batch=10) for _ in range(8)))

    assert sum(answer.started for answer in answers) == 40
    assert await world.scalar("select count(*) from outbox_messages where workspace_id = %s", workspace.id) == 40


async def test_a_contact_with_several_leads_is_written_to_once_a_day(
    world: World, olga: User, workspace: Workspace
) -> None:
    bob = await world.user("bob")
    mine, other = await leads_of(world, workspace, 2, olga)
    [colleagues] = await leads_of(world, workspace, 1, bob)
    await world.rows(
        "update leads set contact_id = (select contact_id from leads where id = %s) where id = any(%s) returning id",
        mine,
        [other, colleagues],
    )
    await world.number(workspace)
    for user in (olga, bob):
        await queue_of(user, workspace)
        await LeadQueue(user.client).prepare(workspace.id, day=today())

    tried = await LeadQueue(olga.client).start(workspace.id, dry_run=True)
    started = await LeadQueue(olga.client).start(workspace.id)
    bobs = await LeadQueue(bob.client).start(workspace.id)

    for answer in (tried, started):
        assert (answer.started, answer.put_off, answer.failed, answer.problems) == (1, 1, 0, {})
    assert (bobs.started, bobs.put_off) == (0, 1)
    assert (started.left, bobs.left) == (0, 0), "nobody asks for them again today"
    assert sorted([(await statuses(world, lead_id))[3] for lead_id in (mine, other)]) == ["queued", "sending"]
    assert (await statuses(world, colleagues))[3] == "queued"
    await world.rows(
        "update whatsapp_message_queue set queue_day = queue_day - 1, scheduled_for = scheduled_for - interval '1 day'"
        " where workspace_id = %s returning id",
        workspace.id,
    )
    assert (await LeadQueue(olga.client).start(workspace.id)).started == 1, "the next day's without preparing it again"


async def test_free_text_outside_the_window_fails_with_that_reason(
    world: World, olga: User, workspace: Workspace
) -> None:
    [lead_id] = await leads_of(world, workspace, 1, olga)
    await world.number(workspace)
    await queue_of(olga, workspace, steps=[{"body": "Hi!"}])
    queue = LeadQueue(olga.client)
    await queue.prepare(workspace.id, day=today())

    started = await queue.start(workspace.id)

    assert (started.started, started.failed, started.problems) == (0, 1, {"window_closed": 1})
    assert await statuses(world, lead_id) == ("pending", "human", None, "failed", None)
    assert await world.scalar("select count(*) from outbox_messages where workspace_id = %s", workspace.id) == 0


async def test_what_automation_writes_is_found_in_the_numbers_language(
    world: World, olga: User, workspace: Workspace
) -> None:
    number = await world.number(workspace)
    await Connections(olga.client).set_language(number.connection.id, "german")
    thread = await world.thread(number)
    assert thread.contact_id is not None
    await Leads(olga.client).create(workspace.id, [thread.contact_id], LeadFields(user_id=olga.id))
    await queue_of(olga, workspace, steps=[{"body": "Ihre Rechnungen sind da"}])
    await LeadQueue(olga.client).prepare(workspace.id, day=today())

    assert (await LeadQueue(olga.client).start(workspace.id)).started == 1

    page = await Inbox(olga.client).search(workspace.id, "Rechnung")
    assert [message.thread_id for message in page.items] == [thread.id]


async def test_starting_and_a_reply_do_not_deadlock(world: World, olga: User, workspace: Workspace) -> None:
    """What can't be sent fails together with its lead, while the other one's customer replies."""
    number = await world.number(workspace)
    await queue_of(olga, workspace, steps=[{"body": "Hi!"}])
    first, second = sorted(await leads_of(world, workspace, 2, olga))
    await LeadQueue(olga.client).prepare(workspace.id, day=today())
    reply = events(text_webhook(number.at_meta, await phone_of(world, second), "Yes"))
    url = world.settings.require("db_url")

    async with (
        await psycopg.AsyncConnection.connect(url) as somebody,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as user,
        await psycopg.AsyncConnection.connect(url, autocommit=True) as webhook,
    ):
        await somebody.execute("select from leads where id = %s for update", [first])
        claims = Jsonb({"sub": str(olga.id), "role": "authenticated"})
        await user.execute("select set_config('request.jwt.claims', %s::text, false)", [claims])
        starting = asyncio.create_task(user.execute("select start_automation(%s)", [workspace.id]))
        await until(partial(waits_for_a_lock, world, user))
        receiving = asyncio.create_task(webhook.execute("select ingest_whatsapp_events(%s)", [reply]))
        await until(partial(waits_for_a_lock, world, webhook))
        await somebody.rollback()
        async with asyncio.timeout(10):
            await asyncio.gather(starting, receiving)

    assert (await statuses(world, first))[:4] == ("pending", "human", None, "failed")
    assert (await statuses(world, second))[1] == "human"


# --- Taking ---


async def test_a_second_taker_is_told_who_has_the_lead_and_the_first_may_repeat(
    world: World, olga: User, workspace: Workspace
) -> None:
    [lead_id] = await leads_of(world, workspace, 1, olga)
    await queue_of(olga, workspace)
    await LeadQueue(olga.client).prepare(workspace.id)
    bob, ann = await world.user("bob"), await world.user("ann")

    takeover = await Leads(bob.client).take(lead_id, "They called.")

    assert (takeover.cancelled, takeover.handed_over) == (1, [])
    assert (takeover.lead.status, takeover.lead.control, takeover.lead.taken_by) == ("engaged", "human", bob.id)
    with pytest.raises(InvalidState) as error:
        await Leads(olga.client).take(lead_id)
    assert error.value.code == "lead_taken"
    assert (error.value.detail["taken_by"], error.value.detail["name"]) == (str(bob.id), "Bob")
    assert (await Leads(bob.client).take(lead_id)).lead == takeover.lead
    # Nothing is deleted, and the ledger says who and why.
    assert (await statuses(world, lead_id))[3:] == ("cancelled", None)
    entries = {(entry.queue, entry.action): entry for entry in await Leads(olga.client).ledger(lead_id)}
    assert entries["leads", "taken"].actor_id == bob.id
    assert entries["leads", "taken"].reason == "They called."
    assert entries["whatsapp_message_queue", "cancelled"].from_status == "queued"
    # A colleague can't give it back; an admin can, and automation begins anew.
    carl = await world.user("carl")
    await (
        world.service.table("workspace_memberships")
        .insert({"workspace_id": str(workspace.id), "user_id": str(carl.id), "role": "member"})
        .execute()
    )
    with pytest.raises(InvalidState) as error:
        await Leads(carl.client).release(lead_id)
    assert error.value.code == "lead_taken"
    assert (await Leads(ann.client).release(lead_id)).status == "pending"
    assert (await LeadQueue(olga.client).prepare(workspace.id)).prepared == 1


async def test_many_takers_at_once_leave_one(world: World, workspace: Workspace) -> None:
    [lead_id] = await leads_of(world, workspace, 1)
    users = [await world.user(name) for name in ("olga", "bob", "ann")]
    answers = await asyncio.gather(
        *(Leads(user.client).take(lead_id) for user in users for _ in range(4)), return_exceptions=True
    )
    taken = {answer.lead.taken_by for answer in answers if not isinstance(answer, BaseException)}
    assert len(taken) == 1
    refused = [answer for answer in answers if isinstance(answer, BaseException)]
    assert {getattr(answer, "code", answer) for answer in refused} == {"lead_taken"}
    assert len(refused) == 8


async def test_whoever_sets_a_lead_to_lost_ends_its_automation(world: World, olga: User, workspace: Workspace) -> None:
    [lead_id] = await leads_of(world, workspace, 1, olga)
    await queue_of(olga, workspace, steps=[HELLO, AGAIN])
    await LeadQueue(olga.client).prepare(workspace.id)

    lead = await Leads(olga.client).update(lead_id, LeadPatch(status="lost"))

    assert (lead.status, lead.control) == ("lost", "human")
    assert (await statuses(world, lead_id))[3:] == ("cancelled", "cancelled")
    assert (await Leads(olga.client).release(lead_id)).status == "lost"
    assert (await LeadQueue(olga.client).prepare(workspace.id)).prepared == 0


async def test_the_service_takes_nothing(world: World, workspace: Workspace) -> None:
    [lead_id] = await leads_of(world, workspace, 1)
    with pytest.raises(PermissionDenied):
        await Leads(world.service).take(lead_id)


# --- Several users ---


async def test_leads_are_assigned_to_the_contacts_own_then_in_turns_within_capacity(
    world: World, olga: User, workspace: Workspace
) -> None:
    bob, ann = await world.user("bob"), await world.user("ann")
    lead_ids = await leads_of(world, workspace, 12)
    for user, capacity in ((olga, 4), (bob, 3), (ann, 5)):
        await queue_of(user, workspace, daily_capacity=capacity, takes_unassigned=user is not ann)
    await world.rows(
        "update contacts set assigned_to = %s where id = (select contact_id from leads where id = %s) returning 1",
        bob.id,
        lead_ids[0],
    )
    leads = Leads(olga.client)

    assert await leads.assign(workspace.id) == {olga.id: 4, bob.id: 3}
    assert (await leads.get(lead_ids[0])).user_id == bob.id
    owners = [(await leads.get(lead_id)).user_id for lead_id in lead_ids]
    assert owners[7:] == [None] * 5, "the best first"
    assert {tuple(sorted(map(str, owners[at : at + 2]))) for at in (1, 3)} == {
        tuple(sorted(map(str, (olga.id, bob.id))))
    }
    assert await leads.assign(workspace.id) == {}
    with pytest.raises(PermissionDenied):
        await Leads(bob.client).assign(workspace.id)


async def test_an_admin_prepares_for_a_member_and_a_member_for_nobody_else(
    world: World, olga: User, workspace: Workspace
) -> None:
    bob, ann = await world.user("bob"), await world.user("ann")
    await leads_of(world, workspace, 3)
    await queue_of(bob, workspace, daily_capacity=2)

    prepared = await LeadQueue(ann.client).prepare(workspace.id, user_id=bob.id)

    assert (prepared.user_id, prepared.prepared) == (bob.id, 2)
    with pytest.raises(PermissionDenied):
        await LeadQueue(bob.client).prepare(workspace.id, user_id=olga.id)
    with pytest.raises(NotFound) as error:
        await LeadQueue(ann.client).prepare(workspace.id, user_id=uuid4())
    assert error.value.code == "member_not_found"
    service = await LeadQueue(world.service).prepare(workspace.id, user_id=bob.id)
    assert service.prepared == 0


async def test_settings_are_ones_own_and_checked(world: World, olga: User, workspace: Workspace) -> None:
    queue = LeadQueue(olga.client)
    settings = await queue.settings(workspace.id)
    assert (settings.daily_capacity, settings.paused, settings.steps) == (50, False, [])
    changed = await queue.settings(workspace.id, QueueSettingsPatch(timezone="Europe/Lisbon", paused=True))
    assert (changed.timezone, changed.paused, changed.daily_capacity) == ("Europe/Lisbon", True, 50)
    bob = await world.user("bob")
    seen = await bob.client.table("user_queue_settings").select("*").eq("workspace_id", str(workspace.id)).execute()
    assert seen.data == []
    with pytest.raises(InvalidInput) as error:
        await queue.settings(workspace.id, QueueSettingsPatch(daily_capacity=99_999))
    assert error.value.detail["allowed"] == "0 to 10000"


# --- Export ---

TRICKY = [
    'Ada, "the first"', "two\nlines\r\nand three", "=cmd()|' /C calc'!A0", "+SUM(1,2)", "-1", "@now", "\tTab",
    "🦊 Ünïcode", '"=1"', "plain",
]  # fmt: skip


async def test_the_csv_opens_in_a_strict_parser_whatever_the_names(
    world: World, olga: User, workspace: Workspace
) -> None:
    contacts, leads = Contacts(olga.client), Leads(olga.client)
    client = await leads.add_client(workspace.id, "=HYPERLINK(1)")
    for index, name in enumerate(TRICKY):
        fields = ContactPatch(name=name.strip(), phone=f"+4917012345{index:02}")
        contact = await contacts.create(workspace.id, fields)
        await world.rows("update contacts set name = %s where id = %s returning 1", name, contact.id)
        await leads.create(workspace.id, [contact.id], LeadFields(client_id=client.id))
    await queue_of(olga, workspace)
    queue = LeadQueue(olga.client)
    empty = await queue.export(workspace.id)
    assert (empty.rows, empty.next, empty.csv.count("\r\n")) == (0, None, 1)
    await queue.prepare(workspace.id)

    pages = [await queue.export(workspace.id, limit=3)]
    while pages[-1].next is not None:
        pages.append(await queue.export(workspace.id, after=pages[-1].next, limit=3))
    whole = "".join([page.csv async for page in export_all(queue, workspace.id)])

    assert "".join(page.csv for page in pages) == whole
    rows = list(csv.DictReader(io.StringIO(whole, newline=""), strict=True))
    assert len(rows) == len(TRICKY)
    assert None not in {key for row in rows for key in row}
    expected = {f"'{name}" if name[0] in "=+-@\t" else name for name in TRICKY}
    assert {row["name"] for row in rows} == expected
    assert {row["client"] for row in rows} == {"'=HYPERLINK(1)"}
    assert all(row["phone"].startswith("+49") for row in rows)
    assert {row["message"] for row in rows} == {"hello"}
    nothing = await queue.export(workspace.id, until=date(2020, 1, 1))
    assert nothing.csv == empty.csv


async def test_a_stranger_exports_nothing(world: World, workspace: Workspace) -> None:
    await world.workspace(owner="mallory")
    queue = LeadQueue((await world.user("mallory")).client)
    for call in (queue.export(workspace.id), queue.status(workspace.id), queue.prepare(workspace.id)):
        with pytest.raises(NotFound) as error:
            await call
        assert error.value.code == "workspace_not_found"
    assert await queue.metrics(workspace.id) == []
