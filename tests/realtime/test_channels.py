"""Broadcast, presence, and private channels that the policies on realtime.messages open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
from realtime.exceptions import RealtimeHTTPError
from realtime.types import RealtimeAcknowledgementStatus

from tests.realtime.listening import Listener, Listeners, News
from tests.support import World

NOISY: dict[str, Any] = {"broadcast": {"ack": True, "self": True}}


@pytest.fixture
async def topic_policies(world: World) -> AsyncIterator[str]:
    """A table that says who may do what with a topic, and policies that read it; its name."""
    table = f"channel_guests_{uuid4().hex[:12]}"
    rule = f"""exists (select from public.{table} as guest
                        where guest.user_id = (select auth.uid()) and guest.topic = (select realtime.topic())
                          and realtime.messages.extension = any (guest.%s))"""
    await world.database.execute(f"""
        create table public.{table} (topic text, user_id uuid, may_read text[], may_write text[]);
        grant select on public.{table} to authenticated;
        alter table public.{table} enable row level security;
        create policy {table}_select_guest on public.{table} for select to authenticated
          using (user_id = (select auth.uid()));
        create policy {table}_read on realtime.messages for select to authenticated using ({rule % "may_read"});
        create policy {table}_write on realtime.messages for insert to authenticated with check ({rule % "may_write"})
    """)  # type: ignore[call-overload,unused-ignore]
    yield table
    await world.database.execute(f"""
        drop policy {table}_read on realtime.messages;
        drop policy {table}_write on realtime.messages;
        drop table public.{table}
    """)  # type: ignore[call-overload,unused-ignore]


class Door:
    """Lets users into one private topic, each for what they are allowed."""

    def __init__(self, world: World, listeners: Listeners, table: str) -> None:
        self._world, self._listeners, self._table = world, listeners, table
        self.topic = f"room-{uuid4()}"

    async def admit(self, name: str, *, read: str = "{broadcast}", write: str = "{}") -> None:
        user = await self._world.user(name)
        await self._world.database.execute(
            f"insert into public.{self._table} values (%s, %s, %s, %s)",  # type: ignore[arg-type,unused-ignore]
            [self.topic, user.id, read, write],
        )

    async def show_out(self, name: str) -> None:
        user = await self._world.user(name)
        await self._world.database.execute(
            f"delete from public.{self._table} where user_id = %s",  # type: ignore[arg-type,unused-ignore]
            [user.id],
        )

    async def listener(self, name: str, **config: Any) -> Listener:
        return await self._listeners.of(name, self.topic, private=True, **config)


@pytest.fixture
def door(world: World, listeners: Listeners, topic_policies: str) -> Door:
    return Door(world, listeners, topic_policies)


async def acknowledged(listener: Listener, event: str, payload: dict[str, Any]) -> None:
    """Broadcast, and wait until the server says that it has done so."""
    answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    push = await listener.channel.push("broadcast", {"type": "broadcast", "event": event, "payload": payload})
    push.receive(RealtimeAcknowledgementStatus.Ok, lambda _: answered.set_result(None))
    await asyncio.wait_for(answered, 5)


class TestBroadcast:
    async def test_others_hear_it_and_the_sender_does_not(self, listeners: Listeners) -> None:
        topic = f"t-{uuid4()}"
        alice = await (await listeners.of("alice", topic)).join()
        bob = await (await listeners.of("bob", topic)).join()

        await alice.channel.send_broadcast("typing", {"who": "alice"})
        await bob.channel.send_broadcast("typing", {"who": "bob"})

        assert (await bob.broadcasts.next())["payload"] == {"who": "alice"}
        assert (await alice.broadcasts.next())["payload"] == {"who": "bob"}, "the first that she hears isn't her own"

    async def test_a_sender_who_asks_for_it_hears_itself_and_is_told_when_it_is_done(
        self, listeners: Listeners
    ) -> None:
        alice = await (await listeners.of("alice", **NOISY)).join()

        await acknowledged(alice, "typing", {"text": "æøå", "list": [1, None]})

        heard = await alice.broadcasts.next()
        assert (heard["event"], heard["payload"]) == ("typing", {"text": "æøå", "list": [1, None]})

    async def test_topics_do_not_mix(self, listeners: Listeners) -> None:
        topic = f"t-{uuid4()}"
        alice = await (await listeners.of("alice", topic, **NOISY)).join()
        elsewhere = await (await listeners.of("bob", f"{topic}-2", **NOISY)).join()

        await acknowledged(alice, "typing", {})
        await acknowledged(elsewhere, "own", {})

        assert (await elsewhere.broadcasts.next())["event"] == "own"

    async def test_it_can_be_sent_over_http_without_joining(self, world: World, listeners: Listeners) -> None:
        bob = await (await listeners.of("bob")).join()
        topic = bob.channel.topic.removeprefix("realtime:")
        alice = await listeners.of("alice", topic)

        await alice.channel.http_send("news", {"n": 1})

        heard = await bob.broadcasts.next()
        assert (heard["event"], heard["payload"]) == ("news", {"n": 1})


class TestPresence:
    async def test_everybody_knows_who_is_there_and_who_left(self, listeners: Listeners) -> None:
        topic = f"t-{uuid4()}"
        alice = await listeners.of("alice", topic, presence={"key": "alice", "enabled": True})
        joined, left = News("arrival"), News("departure")
        alice.channel.on_presence_join(lambda key, _, new: joined(key, new))
        alice.channel.on_presence_leave(lambda key, _, old: left(key, old))
        await alice.join()
        bob = await (await listeners.of("bob", topic, presence={"key": "bob", "enabled": True})).join()

        await alice.channel.track({"mood": "calm"})
        key, [arrived] = await joined.next()
        assert (key, arrived["mood"]) == ("alice", "calm")
        await bob.channel.track({"mood": "curious"})
        key, [arrived] = await joined.next()
        assert (key, arrived["mood"]) == ("bob", "curious")
        assert sorted(alice.channel.presence_state()) == ["alice", "bob"]

        await bob.client.close()
        key, [gone] = await left.next()
        assert (key, gone["mood"]) == ("bob", "curious")
        assert sorted(alice.channel.presence_state()) == ["alice"]

    async def test_a_latecomer_is_told_who_is_there(self, listeners: Listeners) -> None:
        topic = f"t-{uuid4()}"
        alice = await listeners.of("alice", topic, presence={"key": "alice", "enabled": True})
        synced = News("presence state")
        alice.channel.on_presence_sync(lambda: synced(dict(alice.channel.presence_state())))
        await alice.join()
        await alice.channel.track({"mood": "calm"})
        while not await synced.next():
            pass

        late = await listeners.of("bob", topic, presence={"key": "bob", "enabled": True})
        known = News("presence state")
        late.channel.on_presence_sync(lambda: known(dict(late.channel.presence_state())))
        await late.join()

        assert list(await known.next()) == ["alice"]


class TestPrivateChannels:
    async def test_without_a_policy_that_allows_it_nobody_gets_in(self, listeners: Listeners) -> None:
        listener = await listeners.of("mallory", private=True)

        assert "You do not have permissions to read from this Channel topic" in await listener.refusal()

    async def test_only_who_the_policies_admit_gets_in(self, door: Door) -> None:
        await door.admit("alice")

        await (await door.listener("alice")).join()

        assert "Unauthorized" in await (await door.listener("mallory")).refusal()

    async def test_who_may_read_but_not_write_is_heard_by_nobody(self, door: Door) -> None:
        await door.admit("alice", write="{broadcast}")
        await door.admit("bob")
        alice = await (await door.listener("alice", **NOISY)).join()
        bob = await (await door.listener("bob", **NOISY)).join()

        await bob.channel.send_broadcast("forbidden", {})
        await bob.channel.track({})
        await acknowledged(alice, "allowed", {})

        assert (await bob.broadcasts.next())["event"] == "allowed"
        assert [heard["event"] for heard in alice.broadcasts.so_far()] == ["allowed"]

    async def test_a_public_channel_of_the_same_name_is_another_channel(self, door: Door, listeners: Listeners) -> None:
        await door.admit("alice", write="{broadcast}")
        alice = await (await door.listener("alice", **NOISY)).join()
        mallory = await (await listeners.of("mallory", door.topic, **NOISY)).join()

        await acknowledged(alice, "for members", {})
        await acknowledged(mallory, "for everybody", {})

        assert (await mallory.broadcasts.next())["event"] == "for everybody"
        assert [heard["event"] for heard in alice.broadcasts.so_far()] == ["for members"]

    async def test_the_database_sends_to_it(self, door: Door, world: World) -> None:
        await door.admit("alice")
        alice = await (await door.listener("alice")).join()

        await world.database.execute('select realtime.send(\'{"n": 2, "id": "mine"}\', \'news\', %s)', [door.topic])

        heard = await alice.broadcasts.next()
        assert (heard["event"], heard["payload"]) == ("news", {"n": 2, "id": "mine"})

    async def test_what_the_database_rolled_back_was_never_sent(self, door: Door, world: World) -> None:
        await door.admit("alice")
        alice = await (await door.listener("alice")).join()
        send = "select realtime.send(jsonb_build_object('n', 1), %s, %s)"

        async with world.database.transaction(force_rollback=True):
            await world.database.execute(send, ["never", door.topic])
        await world.database.execute(send, ["happened", door.topic])

        assert (await alice.broadcasts.next())["event"] == "happened"

    async def test_over_http_only_those_may_send_who_may_write(self, door: Door) -> None:
        await door.admit("alice", write="{broadcast}")
        await door.admit("bob")
        bob = await (await door.listener("bob")).join()

        with pytest.raises(RealtimeHTTPError) as refused:
            await (await door.listener("bob")).channel.http_send("forbidden", {})
        assert refused.value.status == 403
        await (await door.listener("alice")).channel.http_send("allowed", {})

        assert (await bob.broadcasts.next())["event"] == "allowed"

    async def test_renewing_the_token_asks_the_policies_again(
        self, door: Door, world: World, listeners: Listeners
    ) -> None:
        await door.admit("alice")
        alice = await (await door.listener("alice")).join()
        await door.show_out("alice")

        session = await world.sign_in((await world.user("alice")).email)
        await alice.client.set_auth(session["access_token"])

        state, _ = await alice.states.next()
        assert state.value in ("CHANNEL_ERROR", "CLOSED")
