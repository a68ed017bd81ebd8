"""Who is notified of what: never of one's own doing, never of what one has read, never against one's settings."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from uuid import UUID

import psycopg
import pytest

from qero import (
    Chats,
    ContactPatch,
    Contacts,
    ContactSettingsPatch,
    FollowUps,
    Inbox,
    Notifications,
    NotificationSettingsPatch,
)
from qero.clients.rpc import execute
from qero.local.graph import batch, text_webhook
from qero.local.push import PushFault
from qero.models.chat import Chat
from qero.models.whatsapp import Thread
from qero.models.workspace import Workspace
from tests.phones import Phones
from tests.support import Number, World, digits


class Office:
    """Olga owns the workspace and a group with Bob and Carol; Dave is a viewer beside it. All but Dave have a phone."""

    def __init__(self, phones: Phones, chat: Chat) -> None:
        self.phones = phones
        self.world = phones.world
        self.chat = chat

    async def chats(self, name: str) -> Chats:
        return Chats((await self.world.user(name)).client)

    async def say(self, name: str, body: str, *, mentions: list[str] | None = None) -> UUID:
        ids = [(await self.world.user(other)).id for other in mentions or []]
        return (await (await self.chats(name)).send(self.chat.id, body, mentions=ids)).id

    async def thread(self, number: Number, *, sender: str | None = None, text: str = "Hello") -> Thread:
        return await self.world.thread(number, sender=sender, text=text)

    async def assign(self, thread: Thread, name: str | None, *, by: str = "olga") -> None:
        """As somebody's request does it: the database knows who asks."""
        user_id = (await self.world.user(name)).id if name else None
        claims = f'{{"sub": "{(await self.world.user(by)).id}", "role": "authenticated"}}'
        async with await psycopg.AsyncConnection.connect(self.world.settings.require("db_url")) as connection:
            await connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
            await connection.execute("update wa_threads set assignee_id = %s where id = %s", [user_id, thread.id])


@pytest.fixture
async def office(phones: Phones) -> Office:
    world = phones.world
    workspace = await world.workspace(owner="olga", bob="member", carol="member", dave="viewer")
    members = [(await world.user(name)).id for name in ("bob", "carol")]
    chat = await Chats((await world.user("olga")).client).create(workspace.id, "group", "Sales", member_ids=members)
    for name in ("olga", "bob", "carol"):
        await phones.add(name)
    return Office(phones, chat)


# --- Chat messages ---


async def test_others_are_notified_on_every_device_and_the_sender_on_none(office: Office) -> None:
    await office.phones.add("bob")
    await office.say("olga", "The price is 12.")

    summary = await office.phones.deliver()

    assert (summary.sent, summary.cancelled) == (4, 0), "the event, and a message for each device"
    assert len(office.phones.got("bob")) == 2
    assert office.phones.got("olga") == []
    [received] = office.phones.got("carol")
    assert received.push == {
        "kind": "chat_message",
        "title": "Sales",
        "body": "Olga: The price is 12.",
        "tag": f"chat:{office.chat.id}",
        "workspace_id": str(office.chat.workspace_id),
        "chat_id": str(office.chat.id),
        "seq": 1,
        "count": 1,
        "badge": 1,
    }
    assert (received.ttl_seconds, received.urgency) == (86_400, "normal")
    assert (await office.phones.deliver()).claimed == 0, "once"


async def test_nothing_leaves_within_the_first_two_seconds(office: Office) -> None:
    await office.say("olga", "Hello")

    async with office.phones.client() as client:
        assert (await office.phones.worker(client).run_once()).claimed == 0
    [(wait,)] = await office.world.rows(
        "select extract(epoch from scheduled_at - created_at)::float from outbox_messages where recipient = %s",
        f"chat:{office.chat.id}",
    )
    assert 1.9 < wait <= 5.1


async def test_a_direct_chat_is_called_by_who_writes(office: Office) -> None:
    bob = await office.world.user("bob")
    chat = await (await office.chats("olga")).create(office.chat.workspace_id, "direct", member_ids=[bob.id])
    await (await office.chats("olga")).send(chat.id, "Lunch?")

    await office.phones.deliver()

    [received] = office.phones.got("bob")
    assert (received.push["title"], received.push["body"]) == ("Olga", "Lunch?")
    assert office.phones.got("carol") == []


async def test_a_burst_is_one_notification_that_shows_the_latest(office: Office) -> None:
    await office.world.rows(
        "select pg_sleep(3 - (extract(epoch from clock_timestamp())::numeric %% 3)::float)"
    )  # so that all of them fall into the same three seconds
    for number in range(1, 6):
        await office.say("olga", f"Line {number}")

    await office.phones.deliver()

    [received] = office.phones.got("bob")
    assert (received.push["body"], received.push["count"], received.push["badge"]) == ("Olga: Line 5", 5, 5)


async def test_who_has_read_meanwhile_isnt_disturbed(office: Office) -> None:
    await office.say("olga", "Hello")
    await (await office.chats("bob")).mark_read(office.chat.id)

    await office.phones.deliver()

    assert office.phones.got("bob") == []
    assert office.phones.bodies("carol") == ["Olga: Hello"]


async def test_who_reads_between_the_event_and_the_sending_isnt_disturbed(office: Office) -> None:
    """A push service that asks for patience gives people time to read."""
    await office.say("olga", "Hello")
    office.phones.service.next_answer(PushFault(503), times=2)
    await office.phones.deliver()
    await (await office.chats("bob")).mark_read(office.chat.id)

    summary = await office.phones.deliver()

    assert (summary.sent, summary.cancelled) == (1, 1)
    assert office.phones.got("bob") == []
    assert office.phones.bodies("carol") == ["Olga: Hello"]


async def test_a_muted_chat_is_silent_until_the_end_of_that(office: Office) -> None:
    await (await office.chats("bob")).mute(office.chat.id, datetime.now(UTC) + timedelta(hours=1))
    await (await office.chats("carol")).mute(office.chat.id, datetime.now(UTC) - timedelta(hours=1))
    await office.say("olga", "Hello", mentions=["bob"])

    await office.phones.deliver()

    assert office.phones.got("bob") == []
    assert len(office.phones.got("carol")) == 1


async def test_who_wants_mentions_only_gets_those(office: Office) -> None:
    await office.phones.prefer("bob", notify_chats="mentions")
    await office.phones.prefer("carol", notify_chats="none")
    await office.say("olga", "Hello")
    await office.phones.deliver()
    assert office.phones.got("bob") == []

    await office.say("olga", "Bob and Carol?", mentions=["bob", "carol"])
    await office.phones.deliver()

    [received] = office.phones.got("bob")
    assert (received.push["kind"], received.push["seq"], received.urgency) == ("mention", 2, "high")
    assert received.push["badge"] == 2, "the badge counts what is unread, whatever one is told about"
    assert office.phones.got("carol") == []


@pytest.mark.parametrize("hours", [(-1, 1), (-20, 1)], ids=["within a day", "past midnight"])
async def test_quiet_hours_are_silent(office: Office, hours: tuple[int, int]) -> None:
    """By the clock of the person's own time zone."""
    await office.world.rows("update profiles set timezone = 'Asia/Tokyo' where full_name = 'Bob' returning 1")
    here = datetime.now(UTC) + timedelta(hours=9)
    start, end = ((here + timedelta(hours=offset)).time().replace(microsecond=0) for offset in hours)
    await office.phones.prefer("bob", quiet_from=start, quiet_until=end)
    await office.phones.prefer("carol", quiet_from=end, quiet_until=start)
    await office.say("olga", "Hello")

    await office.phones.deliver()

    assert office.phones.got("bob") == []


async def test_a_message_that_was_deleted_again_is_kept_to_oneself(office: Office) -> None:
    message_id = await office.say("olga", "Oops")
    await (await office.chats("olga")).delete(message_id)

    assert (await office.phones.deliver()).cancelled == 1
    assert office.phones.service.received == []


async def test_whoever_has_left_the_chat_or_the_workspace_hears_nothing(office: Office) -> None:
    await office.say("olga", "Hello")
    await (await office.chats("bob")).leave(office.chat.id)
    await office.world.rows(
        "delete from workspace_memberships where user_id = %s returning 1", (await office.world.user("carol")).id
    )

    await office.phones.deliver()

    assert office.phones.service.received == []


async def test_a_message_that_is_repeated_notifies_once(office: Office) -> None:
    chats = await office.chats("olga")
    for _ in range(2):
        await chats.send(office.chat.id, "Hello", client_generated_id="once")
        await office.phones.deliver()

    assert len(office.phones.got("bob")) == 1


async def test_where_nobody_has_a_device_nothing_is_queued(phones: Phones) -> None:
    world = phones.world
    workspace = await world.workspace(owner="olga", bob="member")
    await phones.add("olga")
    chat = await Chats((await world.user("olga")).client).create(
        workspace.id, "group", "Sales", member_ids=[(await world.user("bob")).id]
    )
    await Chats((await world.user("olga")).client).send(chat.id, "Hello")

    assert await world.scalar("select count(*) from outbox_messages where workspace_id = %s", workspace.id) == 0


# --- Customers' messages, assignments ---


async def test_a_customers_message_is_for_whoever_has_the_thread(office: Office) -> None:
    number = await office.world.number(await _workspace_of(office))
    sender = f"+{digits(11)}"
    thread = await office.thread(number, sender=sender)
    await office.phones.add("dave")
    await office.phones.deliver()
    assert {name: len(office.phones.got(name)) for name in ("olga", "bob", "carol", "dave")} == {
        "olga": 1, "bob": 1, "carol": 1, "dave": 0,
    }, "nobody has it yet: whoever may answer is told"  # fmt: skip

    await office.assign(thread, "bob", by="bob")
    await office.phones.prefer("carol", notify_inbound="all")
    await office.world.receive(text_webhook(number.at_meta, sender, "Are you there?"))
    await office.phones.deliver()

    assert office.phones.bodies("olga") == ["Hello"]
    assert office.phones.bodies("bob") == office.phones.bodies("carol") == ["Hello", "Are you there?"]
    received = office.phones.got("bob")[-1]
    assert received.push == {
        "kind": "inbound_message",
        "title": "Ada Example",
        "body": "Are you there?",
        "tag": f"thread:{thread.id}",
        "workspace_id": str(thread.workspace_id),
        "thread_id": str(thread.id),
        "contact_id": str(thread.contact_id),
        "count": 2,
        "badge": 2,
    }


async def test_a_customers_message_that_was_read_or_unwanted_disturbs_nobody(office: Office) -> None:
    number = await office.world.number(await _workspace_of(office))
    for name in ("olga", "carol"):
        await office.phones.prefer(name, notify_inbound="none")
    thread = await office.thread(number)
    await office.world.rows("update wa_threads set unread_count = 0 where id = %s returning id", thread.id)

    await office.phones.deliver()
    assert office.phones.service.received == []

    await office.phones.prefer("carol", notify_inbound="all")
    thread = await office.thread(number)
    await Inbox((await office.world.user("carol")).client).mark_read(thread.id)
    await office.phones.deliver()
    assert {name: len(office.phones.got(name)) for name in ("olga", "bob", "carol")} == {
        "olga": 0, "bob": 1, "carol": 0,
    }, "what one has read is still unread to another"  # fmt: skip


async def test_a_batch_of_webhooks_is_one_event_and_a_notification_for_each_thread(office: Office) -> None:
    number = await office.world.number(await _workspace_of(office))
    senders = [f"+{digits(11)}" for _ in range(3)]
    await office.world.rows("select pg_sleep(3 - (extract(epoch from clock_timestamp())::numeric %% 3)::float)")
    await office.world.receive(
        batch(*(text_webhook(number.at_meta, sender, f"{n}") for sender in senders for n in range(4)))
    )

    assert await office.world.scalar(
        "select count(*) from outbox_messages where workspace_id = %s and channel = 'web_push'",
        office.chat.workspace_id,
    ) == 1  # fmt: skip
    await office.phones.deliver()
    assert [(received.push["body"], received.push["count"]) for received in office.phones.got("bob")] == [("3", 4)] * 3

    await office.thread(number)
    await office.phones.deliver()
    assert len(office.phones.got("bob")) == 4, "the next event tells of nothing that was told"


async def test_an_assignment_is_told_to_the_assignee_by_others_only(office: Office) -> None:
    number = await office.world.number(await _workspace_of(office))
    threads = [await office.thread(number) for _ in range(3)]
    await office.phones.deliver()
    office.phones.service.received.clear()

    await office.assign(threads[0], "bob", by="olga")
    await office.assign(threads[1], "bob", by="bob")
    await office.assign(threads[2], "carol", by="olga")
    await office.assign(threads[2], None, by="olga")
    await office.phones.deliver()

    [received] = office.phones.service.received
    assert received == office.phones.got("bob")[0]
    assert (received.push["kind"], received.push["thread_id"]) == ("assignment", str(threads[0].id))
    assert (received.push["body"], received.urgency) == ("Assigned to you", "high")

    await office.phones.prefer("carol", notify_assignments=False)
    await office.assign(threads[2], "carol", by="olga")
    await office.phones.deliver()
    assert office.phones.got("carol") == []


# --- Follow-ups ---


async def _plan(office: Office, name: str, at: datetime | None, *, note: str | None = None, contact: UUID) -> None:
    contacts = Contacts((await office.world.user(name)).client)
    await contacts.set_settings(contact, ContactSettingsPatch(follow_up_at=at, follow_up_note=note))


async def _contact(office: Office, name: str) -> UUID:
    contacts = Contacts((await office.world.user("olga")).client)
    return (await contacts.create(office.chat.workspace_id, ContactPatch(name=name))).id


async def _workspace_of(office: Office) -> Workspace:
    query = office.world.service.table("workspaces").select("*").eq("id", str(office.chat.workspace_id))
    [workspace] = await execute(office.world.service, query, list[Workspace], operation="workspace")
    return workspace


async def test_a_follow_up_reminds_its_user_when_it_is_due(office: Office) -> None:
    contact = await _contact(office, "Ada Example")
    due = datetime.now(UTC) + timedelta(hours=3)
    await _plan(office, "bob", due, note="Ask about the boat", contact=contact)
    [(scheduled_at, payload)] = await office.world.rows(
        "select scheduled_at, payload from outbox_messages where workspace_id = %s", office.chat.workspace_id
    )
    assert scheduled_at == due
    assert str(contact) not in str(payload), "what it is about isn't the service's business"

    await office.phones.deliver()

    [received] = office.phones.service.received
    assert received == office.phones.got("bob")[0]
    assert received.push | {"tag": ""} == {
        "kind": "follow_up",
        "title": "Ada Example",
        "body": "Ask about the boat",
        "tag": "",
        "workspace_id": str(office.chat.workspace_id),
        "contact_id": str(contact),
        "count": 1,
        "badge": 0,
    }


async def test_a_follow_up_that_was_moved_or_done_reminds_nobody_at_its_old_time(office: Office) -> None:
    moved, done = await _contact(office, "Ada"), await _contact(office, "Grace")
    now = datetime.now(UTC)
    await _plan(office, "bob", now + timedelta(hours=1), contact=moved)
    await _plan(office, "bob", now + timedelta(hours=2), contact=done)
    follow_ups = FollowUps((await office.world.user("bob")).client)
    await follow_ups.complete(done)
    await follow_ups.reschedule(moved, now + timedelta(hours=3))

    summary = await office.phones.deliver()

    assert summary.cancelled == 2
    assert [received.push["title"] for received in office.phones.got("bob")] == ["Ada"]


async def test_follow_ups_of_one_moment_are_one_notification(office: Office) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    for name in ("Ada", "Grace"):
        await _plan(office, "bob", at, contact=await _contact(office, name))

    await office.phones.deliver()

    [received] = office.phones.got("bob")
    assert (received.push["title"], received.push["body"]) == ("2 follow-ups are due", "Ada, Grace")
    assert "contact_id" not in received.push


async def test_a_follow_up_waits_for_the_end_of_quiet_hours(office: Office) -> None:
    contact = await _contact(office, "Ada")
    now = datetime.now(UTC)
    await office.phones.prefer(
        "bob",
        quiet_from=(now - timedelta(hours=1)).time().replace(microsecond=0),
        quiet_until=(now + timedelta(hours=2)).time().replace(microsecond=0),
    )
    await _plan(office, "bob", now + timedelta(seconds=60), contact=contact)

    assert (await office.phones.deliver()).queued == 1
    [(wait, attempts)] = await office.world.rows(
        "select extract(epoch from scheduled_at - now())::float, attempts from outbox_messages where workspace_id = %s",
        office.chat.workspace_id,
    )
    assert 7190 < wait < 7201
    assert attempts == 0
    await office.phones.prefer("bob", quiet_from=None, quiet_until=None)
    await office.phones.deliver()

    assert len(office.phones.got("bob")) == 1


async def test_follow_ups_from_before_the_first_device_are_told_too(phones: Phones) -> None:
    world = phones.world
    workspace = await world.workspace(owner="olga")
    contacts = Contacts((await world.user("olga")).client)
    contact = (await contacts.create(workspace.id, ContactPatch(name="Ada"))).id
    await contacts.set_settings(contact, ContactSettingsPatch(follow_up_at=datetime.now(UTC) + timedelta(hours=1)))
    assert await world.scalar("select count(*) from outbox_messages where workspace_id = %s", workspace.id) == 0

    await phones.add("olga")
    await phones.deliver()

    assert [received.push["title"] for received in phones.got("olga")] == ["Ada"]


async def test_who_wants_no_reminders_gets_none(office: Office) -> None:
    await office.phones.prefer("bob", notify_follow_ups=False)
    at = datetime.now(UTC) + timedelta(hours=1)
    await _plan(office, "bob", at, contact=await _contact(office, "Ada"))

    assert (await office.phones.deliver()).cancelled == 1
    assert office.phones.service.received == []


async def test_colleagues_see_nothing_of_notifications_in_the_outbox(office: Office) -> None:
    await office.say("olga", "Hello")
    await _plan(office, "bob", datetime.now(UTC) + timedelta(hours=1), contact=await _contact(office, "Ada"))
    assert await office.world.scalar(
        "select count(*) from outbox_messages where workspace_id = %s", office.chat.workspace_id
    ) == 2  # fmt: skip

    for name in ("olga", "bob", "dave"):
        client = (await office.world.user(name)).client
        query = client.table("outbox_messages").select("id").eq("workspace_id", str(office.chat.workspace_id))
        assert (await query.execute()).data == [], name


# --- Badge ---


async def test_the_badge_counts_what_waits_for_one(office: Office) -> None:
    bob = Notifications((await office.world.user("bob")).client)
    assert await bob.badge() == 0
    for _ in range(2):
        await office.say("olga", "Hello")
    thread = await office.thread(await office.world.number(await _workspace_of(office)))
    await office.assign(thread, "bob")
    await _plan(office, "bob", datetime.now(UTC) - timedelta(hours=1), contact=await _contact(office, "Ada"))

    assert await bob.badge() == 4
    await (await office.chats("bob")).mute(office.chat.id, datetime.now(UTC) + timedelta(hours=1))
    assert await bob.badge() == 2
    assert await Notifications((await office.world.user("carol")).client).badge() == 2


# --- Devices and settings ---


async def test_saving_a_device_is_repeatable_and_it_moves_with_who_is_signed_in(phones: Phones) -> None:
    device = await phones.add("olga")
    await phones.add("olga", device)
    [mine] = await (await phones.devices("olga")).list()
    assert (mine.endpoint, mine.p256dh, mine.failure_count) == (device.endpoint, device.p256dh, 0)

    await phones.add("bob", device)

    assert await (await phones.devices("olga")).list() == []
    assert [moved.id for moved in await (await phones.devices("bob")).list()] == [mine.id]
    assert await (await phones.devices("olga")).remove(device.endpoint) is False
    assert await (await phones.devices("bob")).remove(device.endpoint) is True
    assert await (await phones.devices("bob")).remove(device.endpoint) is False


async def test_a_device_that_changed_hands_isnt_told_what_was_for_its_former_user(office: Office) -> None:
    [device] = office.phones._of["bob"]
    await office.say("olga", "For Bob's eyes")
    office.phones.service.next_answer(PushFault(503), times=1, device=device)
    await office.phones.deliver()
    await office.phones.add("dave", device)

    await office.phones.deliver()

    assert office.phones.got("dave") == []


async def test_the_twenty_latest_devices_are_kept(phones: Phones) -> None:
    devices = [await phones.add("olga") for _ in range(21)]

    kept = {device.endpoint for device in await (await phones.devices("olga")).list()}

    assert kept == {device.endpoint for device in devices[1:]}


async def test_settings_change_by_name_and_start_with_everything_on(world: World) -> None:
    notifications = Notifications((await world.user("olga")).client)
    before = await notifications.set()
    assert (before.notify_chats, before.notify_inbound, before.quiet_from) == ("all", "mine", None)
    assert before.notify_assignments
    assert before.notify_follow_ups

    patch = NotificationSettingsPatch(notify_inbound="none", quiet_from=time(22), quiet_until=time(7, 30))
    after = await notifications.set(patch)

    assert (after.notify_chats, after.notify_inbound) == ("all", "none")
    assert (after.quiet_from, after.quiet_until) == (time(22), time(7, 30))
    assert await notifications.set() == after
