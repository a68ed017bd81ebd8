"""The inbox: finding threads, what each user has seen, what is done with them, and how long customers wait."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import psycopg
import pytest

from qero import (
    Chats,
    Connections,
    Inbox,
    InboxSettingsPatch,
    InvalidInput,
    NotFound,
    Opening,
    PermissionDenied,
    ThreadFilter,
    Threads,
    Upkeep,
)
from qero.local.graph import batch, echo_webhook, text_webhook
from qero.models.whatsapp import Thread
from tests.support import Number, User, World, digits


async def inbox_of(world: World, name: str = "olga") -> Inbox:
    return Inbox((await world.user(name)).client)


async def ids(inbox: Inbox, workspace_id: UUID, **filter: Any) -> list[UUID]:
    """Every thread that a filter means, page by page."""
    found: list[UUID] = []
    after = None
    while True:
        page = await inbox.list(workspace_id, ThreadFilter(**filter), after=after, limit=3)
        found += [thread.id for thread in page.items]
        if (after := page.next) is None:
            return found


async def hours_ago(world: World, thread: Thread, hours: float, column: str = "waiting_since") -> None:
    await world.rows(
        f"update wa_threads set {column} = now() - %s * interval '1 hour' where id = %s returning 1", hours, thread.id
    )


async def threads_of(world: World, number: Number, count: int) -> list[Thread]:
    """Threads of that many customers, the first the one who wrote first."""
    return [await world.thread(number) for _ in range(count)]


async def test_pages_go_from_the_latest_activity_back_without_gaps_or_repeats(world: World) -> None:
    workspace = await world.workspace()
    number = await world.number(workspace)
    threads = await threads_of(world, number, 8)
    for index, thread in enumerate(threads):
        # Several in one hour, and two at the very same moment.
        await world.rows(
            "update wa_threads set last_message_at = timestamptz '2026-03-01 12:00Z' - %s * interval '25 min'"
            " where id = %s returning 1",
            max(index, 1),
            thread.id,
        )
    inbox = await inbox_of(world)

    found = await ids(inbox, workspace.id)

    assert len(found) == len(set(found)) == 8
    assert set(found[:2]) == {threads[0].id, threads[1].id}
    assert found[2:] == [thread.id for thread in threads[2:]]


async def test_filters_mean_the_same_in_lists_counts_and_by_hand(world: World) -> None:
    workspace = await world.workspace(bob="member")
    number, other = await world.number(workspace), await world.number(workspace)
    bob = await world.user("bob")
    inbox = await inbox_of(world)
    threads = await threads_of(world, number, 4) + await threads_of(world, other, 4)
    for index, thread in enumerate(threads):
        if index % 2:
            await inbox.assign([thread.id], bob.id)
        await inbox.tag([thread.id], add=[f"tag{index % 3}", "all"])
        if index % 4 == 0:
            await inbox.close([thread.id])
        if index == 3:
            await inbox.set_priority([thread.id], "urgent")
        if index < 3:
            await inbox.mark_read(thread.id)
    everything = {thread.id: thread for thread in (await inbox.list(workspace.id)).items}
    assert len(everything) == 8

    for status, assignee, tag, connection in product(
        (None, "open", ["open", "closed"]),
        (None, "me", "unassigned", bob.id),
        (None, "all", ["all", "tag1"]),
        (None, other.connection.id),
    ):
        filter = ThreadFilter(status=status, assignee=assignee, tag=tag, connection_id=connection)
        by_hand = {
            thread.id
            for thread in everything.values()
            if (status is None or thread.status in ([status] if isinstance(status, str) else status))
            and (
                assignee is None
                or thread.assignee_id
                == {"me": (await world.user("olga")).id, "unassigned": None}.get(assignee, assignee)  # type: ignore[arg-type]
            )
            and (tag is None or {*([tag] if isinstance(tag, str) else tag)} <= {*thread.tags})
            and connection in (None, thread.connection_id)
        }
        page = await inbox.list(workspace.id, filter)
        assert {thread.id for thread in page.items} == by_hand, filter
        assert (await inbox.count(workspace.id, filter)).count == len(by_hand), filter

    assert await ids(inbox, workspace.id, priority=["urgent"]) == [threads[3].id]
    assert {*await ids(inbox, workspace.id, unread=True)} == {
        thread.id for thread in threads[3:] if thread != threads[4]
    }
    counts = await inbox.counts(workspace.id)
    assert (counts.open, counts.closed, counts.mine, counts.unread, counts.waiting) == (6, 2, 0, 4, 6)
    assert (await inbox.get(threads[3].id)).model_dump() == everything[threads[3].id].model_dump() | {
        "priority": "urgent"
    }


async def test_a_filter_cannot_break_out_of_its_query(world: World) -> None:
    workspace = await world.workspace()
    thread = await world.thread(await world.number(workspace), text="it's; drop table wa_threads; --")
    inbox = await inbox_of(world)
    hostile = "it's'; drop table wa_threads; --"

    assert await ids(inbox, workspace.id, tag=hostile) == []
    assert await ids(inbox, workspace.id, q="drop table wa_threads") == [thread.id]
    assert await ids(inbox, workspace.id, q=hostile) == [thread.id], "all of its words stand there"
    assert await ids(inbox, workspace.id, q="$1 %s {} \\ '") == []


async def test_unread_is_each_users_own(world: World) -> None:
    workspace = await world.workspace(bob="member", vera="viewer")
    number = await world.number(workspace)
    sender = f"+{digits(11)}"
    thread = await world.thread(number, sender=sender)
    await world.thread(number, sender=sender)
    olga, bob, vera = [await inbox_of(world, name) for name in ("olga", "bob", "vera")]

    async def unread(inbox: Inbox) -> int:
        shown = await inbox.get(thread.id)
        assert (shown.id in await ids(inbox, workspace.id, unread=True)) == (shown.my_unread_count > 0)
        assert (await inbox.counts(workspace.id)).unread == (shown.my_unread_count > 0)
        return shown.my_unread_count

    assert [await unread(one) for one in (olga, bob, vera)] == [2, 2, 2]
    assert await bob.mark_read(thread.id) == 2
    await vera.mark_read(thread.id)  # viewers have eyes too
    assert [await unread(one) for one in (olga, bob, vera)] == [2, 0, 0]

    await world.thread(number, sender=sender)
    assert [await unread(one) for one in (olga, bob, vera)] == [3, 1, 1]

    await Threads((await world.user("bob")).client).send_text(thread.id, "Yes?")
    assert [await unread(one) for one in (olga, bob, vera)] == [0, 0, 0], "answered: nobody has to look"


async def test_a_thread_is_marked_unread_by_one_user_for_themselves(world: World) -> None:
    workspace = await world.workspace(bob="member")
    number = await world.number(workspace)
    answered, seen = await threads_of(world, number, 2)
    olga, bob = await inbox_of(world), await inbox_of(world, "bob")
    await Threads((await world.user("olga")).client).send_text(answered.id, "Yes?")
    await olga.mark_read(seen.id)
    assert await ids(olga, workspace.id, unread=True) == []

    for thread in (answered, seen, seen):
        await olga.mark_unread(thread.id)

    assert {*await ids(olga, workspace.id, unread=True)} == {answered.id, seen.id}
    assert await ids(olga, workspace.id, unread=True, q="no such word") == []
    assert (await olga.count(workspace.id, ThreadFilter(unread=True))).count == 2
    assert (await olga.counts(workspace.id)).unread == 2
    assert (await olga.get(answered.id)).my_unread_count == 1
    assert (await bob.get(answered.id)).my_unread_count == 0
    assert await ids(bob, workspace.id, unread=True) == [seen.id]

    await olga.mark_read(answered.id)
    assert await ids(olga, workspace.id, unread=True) == [seen.id]


async def test_a_search_walks_back_from_the_newest_however_the_matches_lie(world: World) -> None:
    workspace = await world.workspace()
    thread = await world.thread(await world.number(workspace), text="Anything")
    # A word in most of the oldest messages and in hardly any since; many at one moment; one that is rare everywhere.
    await world.rows(
        """
        with made as (
          insert into wa_messages (workspace_id, connection_id, thread_id, direction, type, body, occurred_at)
          select workspace_id, connection_id, id, 'in', 'text',
            case when i <= 9000 then 'christmas' else 'spring' end || case when i %% 1000 = 0 then ' rarely' else '' end
              || case when i = 19000 then ' christmas' else '' end,
            timestamptz '2026-01-01 00:00Z' + case when i <= 6000 then i * interval '1 s' when i <= 9000
              then interval '7000 s' else i * interval '1 min' end
          from wa_threads, generate_series(1, 20000) as i where id = %s
          returning 1
        ) select count(*) from made
        """,
        thread.id,
    )
    await world.database.execute("analyze wa_messages")
    inbox = await inbox_of(world)

    for words, limit in (("christmas", 200), ("rarely", 7), ("spring", 200), ("christmas rarely", 2)):
        wanted = await world.rows(
            "select id from wa_messages where thread_id = %s and to_tsvector('simple', body)"
            " @@ websearch_to_tsquery('simple', %s) order by occurred_at desc, id desc limit 1000",
            thread.id, words,
        )  # fmt: skip
        found: list[UUID] = []
        after = None
        while len(found) < 1000:
            page = await inbox.search(workspace.id, words, limit=limit, after=after)
            found += [message.id for message in page.items]
            if (after := page.next) is None:
                break
        assert found == [id_ for (id_,) in wanted], words


async def test_messages_and_people_are_found_by_their_words(world: World) -> None:
    workspace = await world.workspace()
    number = await world.number(workspace)
    await Connections((await world.user("olga")).client).set_language(number.connection.id, "german")
    ada, bert = f"+{digits(11)}", f"+{digits(11)}"
    await world.receive(text_webhook(number.at_meta, ada, "Wo bleiben meine Rechnungen?", name="Ada Lovelace"))
    await world.receive(text_webhook(number.at_meta, bert, "Rechnung ist da, danke", name="Bert Brecht"))
    inbox = await inbox_of(world)

    async def names(query: str) -> set[str | None]:
        page = await inbox.list(workspace.id, ThreadFilter(q=query))
        assert (await inbox.count(workspace.id, ThreadFilter(q=query))).count == len(page.items)
        return {thread.contact_name for thread in page.items}

    assert await names("rechnung") == {"Ada Lovelace", "Bert Brecht"}
    assert await names("rechnungen -danke") == {"Ada Lovelace"}
    assert await names('"rechnung danke"') == set(), "they don't stand together"
    assert await names("lovelace") == {"Ada Lovelace"}
    assert await names(ada[-7:]) == {"Ada Lovelace"}
    assert await names("!!!") == set()

    page = await inbox.search(workspace.id, "Rechnung", limit=1)
    assert [message.excerpt for message in page.items] == ["«Rechnung» ist da, danke"]
    assert page.next is not None
    [older] = (await inbox.search(workspace.id, "Rechnung", after=page.next)).items
    assert (older.contact_name, older.excerpt) == ("Ada Lovelace", "Wo bleiben meine «Rechnungen»?")


async def test_search_stays_in_the_workspace(world: World) -> None:
    workspace, foreign = await world.workspace(), await world.workspace(owner="mallory")
    await world.thread(await world.number(workspace), text="Xylophone")
    await world.thread(await world.number(foreign), text="Xylophone")
    mallory = await inbox_of(world, "mallory")

    assert len((await mallory.search(foreign.id, "xylophone")).items) == 1
    for asking in (mallory.search(workspace.id, "xylophone"), mallory.list(workspace.id), mallory.counts(workspace.id)):
        with pytest.raises(NotFound) as error:
            await asking
        assert error.value.code == "workspace_not_found"


async def test_what_is_snoozed_comes_back_by_itself_or_with_the_customer(world: World) -> None:
    workspace = await world.workspace()
    number = await world.number(workspace)
    sender = f"+{digits(11)}"
    first, second = await world.thread(number, sender=sender), await world.thread(number)
    inbox = await inbox_of(world)
    tomorrow = datetime.now(UTC) + timedelta(days=1)

    snoozed = await inbox.snooze([first.id, second.id], tomorrow)
    assert {(thread.status, thread.snoozed_until) for thread in snoozed} == {("snoozed", tomorrow)}
    await Upkeep(world.service).keep()
    assert await ids(inbox, workspace.id, status="open") == []

    await world.thread(number, sender=sender)
    await hours_ago(world, second, 1, "snoozed_until")
    kept = await Upkeep(world.service).keep()

    assert kept.woken >= 1
    assert {*await ids(inbox, workspace.id, status="open")} == {first.id, second.id}
    assert (await inbox.get(first.id)).snoozed_until is None


async def test_closing_ends_the_wait_and_the_customer_opens_it_again(world: World) -> None:
    number = await world.number(await world.workspace())
    sender = f"+{digits(11)}"
    at = datetime.now(UTC).replace(microsecond=0)
    await world.receive(text_webhook(number.at_meta, sender, "Hello?", at=at - timedelta(minutes=9)))
    thread = await world.thread(number, sender=sender)
    inbox = await inbox_of(world)
    assert (await inbox.get(thread.id)).waiting_since == at - timedelta(minutes=9), "since the first unanswered message"

    [closed] = await inbox.close([thread.id])
    assert (closed.status, closed.unread_count) == ("closed", 0)
    assert (await inbox.get(thread.id)).waiting_since is None

    await world.receive(text_webhook(number.at_meta, sender, "One more thing", at=at + timedelta(seconds=5)))
    again = await inbox.get(thread.id)
    assert (again.status, again.my_unread_count, again.first_response_seconds) == ("open", 1, None)
    assert again.waiting_since is not None
    [reopened] = await inbox.reopen([thread.id], pending=True)
    assert reopened.status == "pending"


async def test_an_answer_ends_the_wait_and_says_how_long_the_first_one_took(world: World) -> None:
    workspace = await world.workspace()
    thread = await world.thread(await world.number(workspace))
    other = await world.thread(await world.number(workspace))
    inbox, threads = await inbox_of(world), Threads((await world.user("olga")).client)
    await hours_ago(world, thread, 2)
    page = await inbox.list(workspace.id, sort="waiting_since")
    assert [shown.id for shown in page.items] == [thread.id, other.id]

    await threads.send_text(thread.id, "Sorry!")
    await threads.send_text(thread.id, "Here is your answer.")

    shown = await inbox.get(thread.id)
    assert shown.waiting_since is None
    assert shown.first_response_seconds is not None
    assert 7195 <= shown.first_response_seconds <= 7260
    assert [shown.id for shown in (await inbox.list(workspace.id, sort="waiting_since")).items] == [other.id]
    await threads.send_text(other.id, "At once.")
    page = await inbox.list(workspace.id, sort="first_response_seconds", limit=1)
    assert [shown.id for shown in page.items] == [thread.id]
    page = await inbox.list(workspace.id, sort="first_response_seconds", limit=1, after=page.next)
    assert [shown.id for shown in page.items] == [other.id]


async def test_an_answer_from_the_phone_that_comes_to_light_late_was_still_the_first(world: World) -> None:
    number = await world.number(await world.workspace())
    sender = f"+{digits(11)}"
    asked = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=2)
    await world.receive(text_webhook(number.at_meta, sender, "Hello?", at=asked))
    thread = await world.thread_of(number, sender)
    inbox = await inbox_of(world)
    await Threads((await world.user("olga")).client).send_text(thread.id, "Hello!")

    async def took() -> int | None:
        return (await inbox.get(thread.id)).first_response_seconds

    assert (await took() or 0) >= 7200
    for minutes, seconds in ((20, 1200), (2, 120), (10, 120), (-5, 120)):
        await world.receive(echo_webhook(number.at_meta, sender, at=asked + timedelta(minutes=minutes)))
        assert await took() == seconds

    await inbox.close([thread.id])
    again = asked + timedelta(minutes=100)
    await world.receive(batch(
        text_webhook(number.at_meta, sender, "And now?", at=again),
        echo_webhook(number.at_meta, sender, at=again + timedelta(seconds=50)),
    ))  # fmt: skip
    assert await took() == 50


async def test_missed_targets_are_shown_noted_once_and_found_to_be_over(world: World) -> None:
    workspace = await world.workspace(bob="member")
    number = await world.number(workspace)
    late, punctual = await threads_of(world, number, 2)
    inbox, upkeep = await inbox_of(world), Upkeep(world.service)
    assert await ids(inbox, workspace.id, breached=True) == [], "without a target nothing is late"
    await inbox.set_settings(
        workspace.id, InboxSettingsPatch(first_response_target_seconds=3600, next_response_target_seconds=60)
    )
    bob = await world.user("bob")
    await inbox.assign([late.id], bob.id)
    await hours_ago(world, late, 2)

    assert await ids(inbox, workspace.id, breached=True) == [late.id]
    assert (await inbox.counts(workspace.id)).breached == 1
    shown = await inbox.get(late.id)
    assert shown.waiting_since is not None
    assert shown.answer_due_at == shown.waiting_since + timedelta(hours=1)
    await asyncio.gather(upkeep.keep(), upkeep.keep())
    [breach] = await inbox.breaches(workspace.id)
    assert (breach.thread_id, breach.kind, breach.target_seconds, breach.assignee_id, breach.answered_at) == (
        late.id, "first_response", 3600, bob.id, None,
    )  # fmt: skip

    await Threads(bob.client).send_text(late.id, "Sorry!")
    await upkeep.keep()
    [breach] = await inbox.breaches(workspace.id)
    assert breach.answered_at is not None
    assert punctual.id not in await ids(inbox, workspace.id, breached=True)


WEEK = [Opening(day=day, opens=time(9), closes=time(17)) for day in range(1, 6)]
LUNCH = [Opening(day=day, opens=time(9), closes=time(12)) for day in (1, 2)] + [
    Opening(day=1, opens=time(13), closes=time(17))
]


@pytest.mark.parametrize(
    ("hours", "since", "seconds", "due"),
    [
        (None, "2026-03-06 16:00+01", 7200, "2026-03-06 18:00+01"),
        (WEEK, "2026-03-06 16:00+01", 1800, "2026-03-06 16:30+01"),
        (WEEK, "2026-03-06 16:00+01", 7200, "2026-03-09 10:00+01"),  # Friday to Monday
        (WEEK, "2026-03-07 12:00+01", 3600, "2026-03-09 10:00+01"),
        (WEEK, "2026-03-09 03:00+01", 3600, "2026-03-09 10:00+01"),
        (WEEK, "2026-03-09 09:00+01", 8 * 3600, "2026-03-09 17:00+01"),
        (WEEK, "2026-03-02 09:00+01", 40 * 3600, "2026-03-06 17:00+01"),
        (WEEK, "2026-03-02 12:00+01", 80 * 3600, "2026-03-16 12:00+01"),
        (WEEK, "2026-03-27 16:00+01", 7200, "2026-03-30 10:00+02"),  # the clocks change in between
        (LUNCH, "2026-03-09 11:00+01", 2 * 3600, "2026-03-09 14:00+01"),
        (LUNCH, "2026-03-10 11:00+01", 5 * 3600, "2026-03-16 14:00+01"),
    ],
)
async def test_targets_count_business_hours_alone(
    hours: list[Opening] | None, since: str, seconds: int, due: str, world: World
) -> None:
    workspace = await world.workspace()
    thread = await world.thread(await world.number(workspace))
    inbox = await inbox_of(world)
    settings = await inbox.set_settings(
        workspace.id,
        InboxSettingsPatch(first_response_target_seconds=seconds, business_hours=hours, timezone="Europe/Berlin"),
    )
    assert (settings.business_hours, settings.timezone) == (hours, "Europe/Berlin")
    await world.rows("update wa_threads set waiting_since = %s where id = %s returning 1", since, thread.id)

    assert (await inbox.get(thread.id)).answer_due_at == datetime.fromisoformat(due)
    back = await world.scalar(
        "select private.business_moment(%s, -%s, settings.business_hours, settings.timezone)"
        " from inbox_settings as settings where workspace_id = %s",
        due, seconds, workspace.id,
    )  # fmt: skip
    forth = await world.scalar(
        "select private.business_moment(%s, %s, settings.business_hours, settings.timezone)"
        " from inbox_settings as settings where workspace_id = %s",
        back, seconds, workspace.id,
    )  # fmt: skip
    assert forth == datetime.fromisoformat(due), "what is late now is what was due by now"


@pytest.mark.parametrize(
    "hours",
    [
        [],
        [Opening(day=1, opens=time(9), closes=time(9, 30))],
        [Opening(day=1, opens=time(9), closes=time(8))],
        [Opening(day=1, opens=time(9), closes=time(12)), Opening(day=1, opens=time(11), closes=time(17))],
    ],
)
async def test_business_hours_have_to_make_sense(hours: list[Opening], world: World) -> None:
    workspace = await world.workspace()
    with pytest.raises(InvalidInput) as error:
        await (await inbox_of(world)).set_settings(workspace.id, InboxSettingsPatch(business_hours=hours))
    assert (error.value.code, error.value.detail["field"]) == ("invalid_value", "business_hours")


@pytest.mark.parametrize("policy", ["round_robin", "by_load"])
async def test_what_waits_is_shared_out(world: World, policy: Any) -> None:
    workspace = await world.workspace(bob="member", carl="member", vera="viewer")
    number = await world.number(workspace)
    inbox, upkeep = await inbox_of(world), Upkeep(world.service)
    bob, carl, vera = [(await world.user(name)).id for name in ("bob", "carl", "vera")]
    with pytest.raises(InvalidInput) as error:
        await inbox.set_settings(workspace.id, InboxSettingsPatch(assignee_ids=[vera]))
    assert error.value.code == "reference_not_found"
    # Bob has two already.
    await inbox.assign([thread.id for thread in await threads_of(world, number, 2)], bob)
    threads = await threads_of(world, number, 4)
    settings = await inbox.set_settings(
        workspace.id, InboxSettingsPatch(assignment_policy=policy, assignee_ids=[bob, carl])
    )
    assert settings == await inbox.settings(workspace.id)

    await asyncio.gather(*(upkeep.keep() for _ in range(3)))
    await upkeep.keep()

    charges = [(await inbox.get(thread.id)).assignee_id for thread in threads]
    assert (charges.count(bob), charges.count(carl)) == ((2, 2) if policy == "round_robin" else (1, 3))

    await inbox.set_settings(workspace.id, InboxSettingsPatch(assignment_limit=1))
    [more] = await threads_of(world, number, 1)
    await upkeep.keep()
    assert (await inbox.get(more.id)).assignee_id is None, "both have as many as they may"


async def test_nobody_is_put_in_charge_who_could_do_nothing(world: World) -> None:
    workspace = await world.workspace(vera="viewer")
    thread = await world.thread(await world.number(workspace))
    inbox = await inbox_of(world)
    for name in ("vera", "mallory"):
        with pytest.raises(InvalidInput) as error:
            await inbox.assign([thread.id], (await world.user(name)).id)
        assert error.value.code == "reference_not_found"
    with pytest.raises(PermissionDenied):
        await (await inbox_of(world, "vera")).close([thread.id])
    assert (await inbox.get(thread.id)).status == "open"


async def test_a_change_that_lost_a_deadlock_is_made_once_more(world: World) -> None:
    workspace = await world.workspace()
    number = await world.number(workspace)
    first, second = sorted(thread.id for thread in await threads_of(world, number, 2))
    inbox = await inbox_of(world)
    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as other:
        await other.execute("select from wa_threads where id = %s for update", [second])
        change = asyncio.create_task(inbox.tag([first, second], add=["late"]))
        async with asyncio.timeout(20):
            await world.until_waiting()
            # The change holds it until it is undone.
            await other.execute("select from wa_threads where id = %s for update", [first])
        assert not change.done()
        await other.commit()
    assert [thread.tags for thread in await change] == [["late"], ["late"]]


async def test_a_change_of_many_threads_is_all_or_nothing(world: World) -> None:
    workspace, foreign = await world.workspace(), await world.workspace(owner="mallory")
    thread = await world.thread(await world.number(workspace))
    theirs = await world.thread(await world.number(foreign))
    inbox = await inbox_of(world)

    with pytest.raises(NotFound) as error:
        await inbox.close([thread.id, theirs.id])

    assert error.value.detail == {"thread_id": str(theirs.id)}
    assert (await inbox.get(thread.id)).status == "open"


async def test_tags_are_added_and_taken_away(world: World) -> None:
    workspace = await world.workspace()
    thread = await world.thread(await world.number(workspace))
    inbox = await inbox_of(world)
    await inbox.tag([thread.id], add=["vip", "late", "vip"])
    [tagged] = await inbox.tag([thread.id], add=["paid"], remove=["late", "unknown"])
    assert tagged.tags == ["paid", "vip"]
    assert await ids(inbox, workspace.id, tag=["vip", "paid"]) == [thread.id]
    assert await ids(inbox, workspace.id, tag="late") == []


async def test_notes_are_a_channel_that_customers_never_see(world: World) -> None:
    workspace = await world.workspace(bob="member", vera="viewer")
    number = await world.number(workspace)
    sender = f"+{digits(11)}"
    thread = await world.thread(number, sender=sender)
    olga, bob = await world.user("olga"), await world.user("bob")

    note = await Inbox(olga.client).add_note(thread.id, "Ask Bob", mentions=[bob.id], client_generated_id="n1")
    again = await Inbox(olga.client).add_note(thread.id, "Ask Bob", mentions=[bob.id], client_generated_id="n1")

    assert again == note
    chats = Chats(bob.client)
    [chat] = [chat for chat in await chats.list(workspace.id) if chat.id == note.chat_id]
    assert (chat.kind, chat.mention_count) == ("channel", 1)
    assert {member.user_id: member.role for member in await chats.members(chat.id)} == {
        olga.id: "owner", bob.id: "member",
    }  # fmt: skip
    await chats.send(chat.id, "Done")
    opened = await asyncio.gather(*(Inbox(user.client).chat(thread.id) for user in (olga, bob) * 3))
    assert {one.id for one in opened} == {note.chat_id}
    assert [message.body for message in (await chats.messages(chat.id)).messages] == ["Done", "Ask Bob"]
    with pytest.raises(PermissionDenied):
        await (await inbox_of(world, "vera")).add_note(thread.id, "I was here")
    assert await world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id) == 0


async def test_two_who_open_the_notes_at_once_get_one_channel(world: World) -> None:
    workspace = await world.workspace(bob="member")
    thread = await world.thread(await world.number(workspace))
    users: list[User] = [await world.user(name) for name in ("olga", "bob")]
    opened = await asyncio.gather(*(Inbox(user.client).chat(thread.id) for user in users * 4))
    assert len({chat.id for chat in opened}) == 1
