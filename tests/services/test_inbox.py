"""The inbox: finding threads, what each user has seen, what is done with them, and how long customers wait."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest

from qero import (
    Chats,
    Connections,
    Inbox,
    InboxSettingsPatch,
    InvalidInput,
    NotFound,
    PermissionDenied,
    ThreadFilter,
    Threads,
    Upkeep,
)
from qero.local.graph import text_webhook
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
