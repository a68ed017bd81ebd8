"""Who may join a chat's private topic, and what they may do there."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from qero import Chats
from qero.models.chat import Chat
from tests.realtime.listening import Listeners
from tests.support import World


@pytest.fixture
async def chat(world: World) -> Chat:
    workspace = await world.workspace(owner="olga", bob="member", dave="admin")
    bob = await world.user("bob")
    return await Chats((await world.user("olga")).client).create(workspace.id, "group", "Sales", member_ids=[bob.id])


async def test_members_hear_what_is_written(world: World, listeners: Listeners, chat: Chat) -> None:
    bob = await (await listeners.of("bob", f"chat:{chat.id}", private=True)).join()
    sent = await Chats((await world.user("olga")).client).send(chat.id, "Hello")

    heard = await bob.broadcasts.next()
    assert (heard["event"], heard["payload"]["body"], heard["payload"]["seq"]) == ("message", "Hello", sent.seq)


@pytest.mark.parametrize("name", ["dave", "mallory"])
async def test_nobody_else_gets_in(listeners: Listeners, chat: Chat, name: str) -> None:
    assert "permissions" in await (await listeners.of(name, f"chat:{chat.id}", private=True)).refusal()


@pytest.mark.parametrize(
    "spelling",
    [
        lambda id_: f"chat:{str(id_).upper()}",
        lambda id_: f"chat:{id_.hex}",
        lambda id_: f"chat: {id_}",
        lambda id_: f"chat:{id_}:x",
        lambda id_: f"CHAT:{id_}",
        lambda id_: f"x\nchat:{id_}",
        lambda _: "chat:%",
    ],
)
async def test_a_topic_has_one_spelling(listeners: Listeners, chat: Chat, spelling: Callable[[UUID], str]) -> None:
    assert "permissions" in await (await listeners.of("olga", spelling(chat.id), private=True)).refusal()


async def test_a_public_channel_of_the_same_name_hears_nothing(world: World, listeners: Listeners, chat: Chat) -> None:
    mallory = await (await listeners.of("mallory", f"chat:{chat.id}")).join()
    bob = await (await listeners.of("bob", f"chat:{chat.id}", private=True)).join()
    await Chats((await world.user("olga")).client).send(chat.id, "Hello")
    await bob.broadcasts.next()
    assert mallory.broadcasts.so_far() == []


async def test_nobody_can_write_in_anothers_name(world: World, listeners: Listeners, chat: Chat) -> None:
    """What is broadcast comes from the database alone: not even members broadcast by themselves."""
    bob = await (await listeners.of("bob", f"chat:{chat.id}", private=True)).join()
    olga = await (await listeners.of("olga", f"chat:{chat.id}", private=True)).join()
    await olga.channel.send_broadcast("message", {"body": "I resign", "seq": 1, "rev": 1})
    await Chats((await world.user("olga")).client).send(chat.id, "Hello")

    heard = await bob.broadcasts.next()
    assert heard["payload"]["body"] == "Hello"
    assert bob.broadcasts.so_far() == []


async def test_watching_the_tables_shows_members_only(world: World, listeners: Listeners, chat: Chat) -> None:
    bob = await (await listeners.of("bob")).watching("chat_messages").join()
    others = [await (await listeners.of(name)).watching("chat_messages").join() for name in ("dave", "mallory")]
    await Chats((await world.user("olga")).client).send(chat.id, "Hello")
    assert (await bob.changes.next())["record"]["body"] == "Hello"
    assert [other.changes.so_far() for other in others] == [[], []]
