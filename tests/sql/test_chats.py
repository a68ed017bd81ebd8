"""What people do in chats: cursors and counts, editing and deleting, coming and going, and who sees any of it."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from qero import Chats, NotAuthenticated, NotFound
from qero.errors import InvalidInput, InvalidState, PermissionDenied
from qero.models.chat import Attachment, Chat, ChatMessage, NewMessage
from tests.support import World, post_rpc


@pytest.fixture
def world(people: World) -> World:
    return people


class Office:
    """Olga's group with Bob and Carol; Dave is a colleague who isn't in it, Mallory is nobody here."""

    def __init__(self, world: World, chat: Chat) -> None:
        self.world = world
        self.chat = chat

    async def chats(self, name: str) -> Chats:
        return Chats((await self.world.user(name)).client)

    async def id(self, name: str) -> UUID:
        return (await self.world.user(name)).id

    async def send(self, name: str, body: str = "Hello", **more: Any) -> ChatMessage:
        return await (await self.chats(name)).send(self.chat.id, body, **more)

    async def counts(self, name: str) -> tuple[int, int]:
        """Unread messages and mentions, as every way of asking says alike."""
        chats = await self.chats(name)
        [listed] = [chat for chat in await chats.list(self.chat.workspace_id) if chat.id == self.chat.id]
        unread = [entry for entry in await chats.unread_counts(self.chat.workspace_id) if entry.chat_id == self.chat.id]
        assert listed.unread_count == await chats.unread_count(self.chat.id)
        assert unread == [] if listed.unread_count == 0 else unread[0].unread_count == listed.unread_count
        return listed.unread_count, listed.mention_count


@pytest.fixture
async def office(world: World) -> Office:
    workspace = await world.workspace(owner="olga", bob="member", carol="viewer", dave="admin")
    members = [(await world.user(name)).id for name in ("bob", "carol")]
    chat = await Chats((await world.user("olga")).client).create(workspace.id, "group", "Sales", member_ids=members)
    return Office(world, chat)


async def test_a_message_carries_attachments_mentions_and_what_it_answers(office: Office) -> None:
    bob = await office.id("bob")
    first = await office.send("olga", "Which price?")
    sent = await office.send(
        "bob",
        "See the file",
        attachments=[Attachment(ref="chat/price.pdf", name="price.pdf", content_type="application/pdf", size_bytes=9)],
        mentions=[await office.id("olga"), await office.id("olga")],
        reply_to=first.seq,
    )

    [found, _] = (await (await office.chats("carol")).messages(office.chat.id)).messages
    assert (found.seq, found.sender_id, found.body, found.reply_to) == (2, bob, "See the file", 1)
    assert found.attachments == sent.attachments
    assert found.attachments[0].ref == "chat/price.pdf"
    assert found.mentions == [await office.id("olga")]
    assert await office.counts("olga") == (1, 1)


async def test_repeating_a_send_returns_the_first_message_whatever_it_says(office: Office) -> None:
    first = await office.send("olga", "Hello", client_generated_id="once")
    again = await office.send("olga", "Hello?", client_generated_id="once")
    # Somebody else's ids are their own.
    other = await office.send("bob", "Hello", client_generated_id="once")

    assert (again.id, again.body, other.seq) == (first.id, "Hello", 2)


async def test_a_batch_is_written_in_order_or_not_at_all(office: Office) -> None:
    chats = await office.chats("olga")
    batch = [NewMessage(client_generated_id=str(uuid4()), body=f"Line {i}") for i in range(20)]
    sent = await chats.send_many(office.chat.id, batch)
    assert [(message.seq, message.body) for message in sent] == [(i + 1, f"Line {i}") for i in range(20)]
    assert [message.id for message in await chats.send_many(office.chat.id, batch)] == [m.id for m in sent]

    with pytest.raises(InvalidInput) as refused:
        await chats.send_many(
            office.chat.id, [NewMessage(client_generated_id="a", body="x"), NewMessage(client_generated_id="b")]
        )
    assert refused.value.code == "body_required"
    assert await chats.latest_seq(office.chat.id) == 20


async def test_editing_and_deleting_keep_the_number_and_move_the_rev(office: Office) -> None:
    olga, bob = await office.chats("olga"), await office.chats("bob")
    message = await office.send("bob", "Helo")
    later = await office.send("olga", "Hi")

    edited = await bob.edit(message.id, "Hello")
    assert (edited.seq, edited.rev, edited.body) == (1, 3, "Hello")
    assert edited.edited_at is not None
    assert (await bob.edit(message.id, "Hello")).rev == 3
    deleted = await olga.delete(message.id)  # she owns the chat
    assert (deleted.seq, deleted.rev, deleted.body) == (1, 4, None)
    assert (await bob.delete(message.id)).rev == 4
    with pytest.raises(InvalidState, match="deleted"):
        await bob.edit(message.id, "Again")
    with pytest.raises(PermissionDenied) as refused:
        await bob.edit(later.id, "I never said so")
    assert refused.value.code == "not_your_message"

    changes = await olga.changes(office.chat.id, 1)
    assert [(m.seq, m.rev, m.deleted_at is not None) for m in changes.messages] == [(2, 2, False), (1, 4, True)]
    assert (changes.has_more, changes.latest_rev) == (False, 4)


async def test_the_list_shows_what_the_newest_message_says_now(office: Office) -> None:
    chats = await office.chats("olga")

    async def preview() -> str | None:
        return (await chats.list(office.chat.workspace_id))[0].last_message_preview

    message = await office.send("olga", "Helo")
    await chats.edit(message.id, "Hello")
    assert await preview() == "Hello"
    await chats.delete(message.id)
    assert await preview() is None


async def test_the_list_has_the_newest_activity_first_and_pages(office: Office) -> None:
    chats = await office.chats("olga")
    workspace = office.chat.workspace_id
    made = [await chats.create(workspace, "group", f"Group {i}") for i in range(4)]
    await chats.send(made[1].id, "Hello")
    await office.send("olga")

    everything = await chats.list(workspace)
    assert [chat.id for chat in everything] == [office.chat.id, *(made[i].id for i in (1, 3, 2, 0))]
    assert set(everything[0].other_member_ids) == {await office.id("bob"), await office.id("carol")}
    pages, last = [], None
    while page := await chats.list(workspace, limit=2, before=last):
        pages += page
        last = page[-1]
    assert pages == everything


@pytest.mark.parametrize("seed", range(3))
async def test_counts_are_always_exact(office: Office, seed: int) -> None:
    """Whatever is sent, deleted and read, subtraction says the same as counting would."""
    chance = random.Random(seed)
    names = ("olga", "bob")
    mine = """
        select count(*) filter (where deleted_at is null), count(*) filter (where %(me)s = any (mentions))
        from chat_messages where chat_id = %(chat)s and seq > (
          select last_read_seq from chat_members where chat_id = %(chat)s and user_id = %(me)s)
    """
    for _ in range(60):
        name = chance.choice(names)
        chats = await office.chats(name)
        match chance.randrange(6):
            case 0 | 1 | 2:
                mentions = [await office.id(n) for n in (*names, "carol") if chance.random() < 0.4]
                await office.send(name, "Hello", mentions=mentions)
            case 3:
                written = await chats.messages(office.chat.id)
                own = [message for message in written.messages if message.sender_id == await office.id(name)]
                if own:
                    await chats.delete(chance.choice(own).id)
            case 4:
                await chats.mark_read(office.chat.id, chance.randrange(40))
            case 5:
                await (await office.chats("carol")).mark_read(office.chat.id, chance.randrange(40))
        for member in (*names, "carol"):
            cursor = await office.world.database.execute(mine, {"me": await office.id(member), "chat": office.chat.id})
            assert await office.counts(member) == await cursor.fetchone(), member


async def test_cursors_only_move_forward_and_never_beyond_what_is_there(office: Office) -> None:
    chats = await office.chats("bob")
    for _ in range(5):
        await office.send("olga")

    assert (await chats.mark_delivered(office.chat.id, 3)).last_delivered_seq == 3
    member = await chats.mark_read(office.chat.id, 4)
    assert (member.last_delivered_seq, member.last_read_seq) == (4, 4)
    version = "select xmin::text from chat_members where chat_id = %s and user_id = %s"
    before = await office.world.scalar(version, office.chat.id, member.user_id)
    for up_to in (4, 1, 0, -5):
        assert await chats.mark_read(office.chat.id, up_to) == member
        assert await chats.mark_delivered(office.chat.id, up_to) == member
    assert await office.world.scalar(version, office.chat.id, member.user_id) == before, "nothing was written"
    assert (await chats.mark_read(office.chat.id, 10**12)).last_read_seq == 5


async def test_a_messages_status_is_that_of_the_slowest_other_member(office: Office) -> None:
    olga, bob, carol = [await office.chats(name) for name in ("olga", "bob", "carol")]
    message = await office.send("olga")
    await office.send("bob")

    async def status() -> str | None:
        [by_rpc] = [m.status for m in (await olga.messages(office.chat.id)).messages if m.id == message.id]
        [by_column] = [m.status for m in await olga.statuses(office.chat.id, after_seq=0) if m.id == message.id]
        [by_change] = [m.status for m in (await olga.changes(office.chat.id, 0)).messages if m.id == message.id]
        assert by_rpc == by_column == by_change
        return by_rpc

    assert await status() == "sent"
    await carol.mark_delivered(office.chat.id)
    assert await status() == "delivered"  # Bob has answered, and so has read
    await carol.mark_read(office.chat.id, 1)
    assert await status() == "read"
    assert [m.status for m in (await bob.messages(office.chat.id, limit=1)).messages] == ["sent"]


async def test_pages_before_after_and_around(office: Office) -> None:
    chats = await office.chats("olga")
    for _ in range(3):
        await chats.send_many(
            office.chat.id, [NewMessage(client_generated_id=str(uuid4()), body="x") for _ in range(10)]
        )

    async def page(**where: Any) -> tuple[list[int], bool, bool]:
        found = await chats.messages(office.chat.id, **where)
        assert (found.latest_seq, found.latest_rev) == (30, 30)
        return [message.seq for message in found.messages], found.has_more, found.has_newer

    assert await page(limit=3) == ([30, 29, 28], True, False)
    assert await page(limit=30) == ([*range(30, 0, -1)], False, False)
    assert await page(before_seq=3, limit=5) == ([2, 1], False, True)
    assert await page(before_seq=1) == ([], False, True)
    assert await page(after_seq=28, limit=2) == ([30, 29], False, False)
    assert await page(after_seq=0, limit=2) == ([2, 1], True, True)
    assert await page(after_seq=30) == ([], False, False)
    assert await page(around_seq=15, limit=5) == ([17, 16, 15, 14, 13], True, True)
    assert await page(around_seq=30, limit=3) == ([30, 29, 28], True, False)


async def test_there_is_one_direct_chat_for_a_pair(office: Office) -> None:
    olga, bob = await office.chats("olga"), await office.chats("bob")
    workspace = office.chat.workspace_id
    first = await olga.create(workspace, "direct", member_ids=[await office.id("bob")])
    again = await bob.create(workspace, "direct", member_ids=[await office.id("olga")])
    assert first.id == again.id

    # Who left it comes back by opening it again.
    await bob.leave(first.id)
    await bob.create(workspace, "direct", member_ids=[await office.id("olga")])
    assert len(await olga.members(first.id)) == 2


async def test_channels_are_joined_and_left_and_never_stay_without_an_owner(office: Office) -> None:
    olga, bob, dave = [await office.chats(name) for name in ("olga", "bob", "dave")]
    channel = await olga.create(office.chat.workspace_id, "channel", "News")
    await olga.send(channel.id, "Welcome")
    joined = await dave.join(channel.id)
    assert (joined.last_read_seq, await dave.unread_count(channel.id)) == (1, 0)
    assert await dave.join(channel.id) == joined
    await bob.join(channel.id)

    await olga.leave(channel.id)
    roles = {member.user_id: member.role for member in await bob.members(channel.id)}
    assert roles == {await office.id("dave"): "owner", await office.id("bob"): "member"}
    await dave.remove_member(channel.id, await office.id("bob"))
    with pytest.raises(NotFound):
        await bob.messages(channel.id)

    await dave.leave(channel.id)
    assert (await bob.join(channel.id)).role == "owner", "nobody was there"
    assert (await olga.join(channel.id)).role == "member"


async def test_muting_is_ones_own(office: Office) -> None:
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=8)
    bob = await office.chats("bob")
    assert (await bob.mute(office.chat.id, until)).muted_until == until
    [listed] = await bob.list(office.chat.workspace_id)
    [other] = await (await office.chats("olga")).list(office.chat.workspace_id)
    assert (listed.muted_until, other.muted_until) == (until, None)
    assert (await bob.mute(office.chat.id, None)).muted_until is None


async def test_who_leaves_the_workspace_leaves_its_chats(office: Office) -> None:
    await office.send("bob", "Bye")
    await office.world.rows(
        "delete from workspace_memberships where user_id = %s and workspace_id = %s returning 1",
        await office.id("bob"),
        office.chat.workspace_id,
    )

    with pytest.raises(NotFound) as gone:
        await office.send("bob")
    assert gone.value.code == "chat_not_found"
    [message] = (await (await office.chats("olga")).messages(office.chat.id)).messages
    assert message.sender_id == await office.id("bob")


async def test_removing_a_member_and_mentioning_them_at_the_same_moment_do_not_deadlock(office: Office) -> None:
    world, workspace_id = office.world, str(office.chat.workspace_id)
    bob = await office.id("bob")
    token = {name: (await world.user(name)).access_token for name in ("olga", "dave")}
    http, settings = world.clients.http, world.settings
    async with await psycopg.AsyncConnection.connect(settings.require("db_url")) as other:
        await other.execute(
            "select from chat_members where chat_id = %s and user_id = %s for update", [office.chat.id, bob]
        )
        # Past the clients, which would make a call that lost a deadlock once more.
        removing = asyncio.create_task(
            post_rpc(http, settings, "remove_member", token["dave"], p_workspace_id=workspace_id, p_user_id=str(bob))
        )
        await world.until_waiting(1)
        mentioning = asyncio.create_task(
            post_rpc(
                http, settings, "send_message", token["olga"], p_chat_id=str(office.chat.id), p_body="Bob?",
                p_client_generated_id="bob", p_mentions=[str(bob)],
            )
        )  # fmt: skip
        await world.until_waiting(2)
        await other.rollback()

    assert [answer.status_code for answer in (await removing, await mentioning)] == [200, 200]


@pytest.mark.parametrize("limit", [0, -1, 1001, None])
async def test_a_list_refuses_a_limit_that_it_cannot_keep(office: Office, limit: int | None) -> None:
    olga = await office.world.user("olga")
    answer = await post_rpc(
        office.world.clients.http, office.world.settings, "list_chats", olga.access_token, p_limit=limit
    )
    assert (answer.status_code, answer.json()["message"]) == (400, "invalid_value")


@pytest.mark.parametrize("name", ["dave", "mallory"])
async def test_who_is_not_a_member_sees_nothing_of_a_chat(office: Office, name: str) -> None:
    """An admin of the workspace no more than a stranger: in tables, embeds, counts, and every RPC."""
    message = await office.send("olga", "Confidential")
    user = await office.world.user(name)
    for table, column in (("chats", "id"), ("chat_members", "chat_id"), ("chat_messages", "chat_id")):
        query = user.client.table(table).select("*", count="exact").eq(column, str(office.chat.id))  # type: ignore[arg-type]
        answer = await query.execute()
        assert (answer.data, answer.count) == ([], 0)
    embed = await user.client.table("workspaces").select("*, chats(*, chat_messages(*), chat_members(*))").execute()
    assert str(office.chat.id) not in str(embed.data)

    chats = Chats(user.client)
    assert str(office.chat.id) not in str(await chats.list()) + str(await chats.unread_counts())
    missing = uuid4()
    for ask in (chats.messages, chats.latest_seq, chats.unread_count, chats.mark_read, chats.leave, chats.set_typing,
                chats.join, lambda id_: chats.changes(id_, 0), lambda id_: chats.send(id_, "Hi")):  # fmt: skip
        answers = set()
        for chat_id in (office.chat.id, missing):
            with pytest.raises(NotFound) as refused:
                await ask(chat_id)
            answers.add((refused.value.code, str(refused.value.detail).replace(str(chat_id), "")))
        assert len(answers) == 1
    for change in (chats.delete, lambda id_: chats.edit(id_, "x")):
        with pytest.raises(NotFound, match="Message not found"):
            await change(message.id)
    status = await user.client.rpc("status", {"p_message": {"chat_id": str(office.chat.id), "seq": 0}}).execute()
    assert status.data == "sent", "which is what nobody's message would have"


async def test_everybody_of_a_large_chat_is_listed_and_named(office: Office) -> None:
    """The API answers with a thousand rows at most."""
    people = await office.world.rows(
        """
        insert into auth.users (id, email)
        select gen_random_uuid(), 'crowd-' || gen_random_uuid() || '@example.com' from generate_series(1, 1100)
        returning id
        """
    )
    await office.world.rows(
        """
        with colleagues as (
          insert into workspace_memberships (workspace_id, user_id, role) select %s, unnest(%s::uuid[]), 'member'
          returning workspace_id, user_id)
        insert into chat_members (workspace_id, chat_id, user_id) select workspace_id, %s, user_id from colleagues
        returning user_id
        """,
        office.chat.workspace_id, [user_id for (user_id,) in people], office.chat.id,
    )  # fmt: skip
    chats = await office.chats("bob")

    members = await chats.members(office.chat.id)
    assert len({member.user_id for member in members}) == len(members) == 1103
    assert members == sorted(members, key=lambda member: (member.joined_at, member.user_id))
    names = await chats.names([member.user_id for member in members])
    assert len(names) == 1103
    assert names[await office.id("olga")] == "Olga"


async def test_a_viewer_reads_and_marks_and_never_writes(office: Office) -> None:
    message = await office.send("olga")
    carol = await office.chats("carol")
    assert (await carol.mark_read(office.chat.id)).last_read_seq == 1
    with pytest.raises(PermissionDenied) as refused:
        await carol.send(office.chat.id, "Hi")
    assert refused.value.code == "role_required"
    with pytest.raises(PermissionDenied):
        await carol.edit(message.id, "Hi")


def test_a_service_client_is_refused(world: World) -> None:
    with pytest.raises(NotAuthenticated):
        Chats(world.service)  # type: ignore[arg-type]
