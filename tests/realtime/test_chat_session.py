"""A session on a chat, with the real client library and the real server, through bad weather."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import jwt
import psycopg
import pytest

from qero import Chats, ChatSession, Clients, NotAuthenticated, NotFound, UserClient
from qero.chat import (
    ChatEvent,
    MemberLeft,
    MessageChanged,
    MessageReceived,
    PresenceChanged,
    ReceiptMoved,
    SessionState,
    Timings,
    Typing,
)
from qero.errors import InvalidInput, InvalidState, PermissionDenied
from qero.local.stack import Stack
from qero.models.chat import Chat, ChatMessage, NewMessage
from tests.conftest import OWN_SETTINGS
from tests.realtime.test_tokens import expiring_token
from tests.realtime.weather import Weather
from tests.support import World

PATIENCE_SECONDS = 30.0
RECOVERY_SECONDS = 5.0
Source = Literal["broadcast", "postgres_changes"]


class Follower:
    """Reads a session to its end, and remembers."""

    def __init__(self, session: ChatSession) -> None:
        self.session = session
        self.events: list[ChatEvent] = []
        self.seqs: list[int] = []
        self.known: dict[int, ChatMessage] = {}
        self.error: BaseException | None = None
        self._news = asyncio.Condition()
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        try:
            async for event in self.session:
                self.events.append(event)
                if isinstance(event, MessageReceived | MessageChanged):
                    self.known[event.message.seq] = event.message
                if isinstance(event, MessageReceived):
                    self.seqs.append(event.message.seq)
                async with self._news:
                    self._news.notify_all()
        except Exception as error:
            self.error = error

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS), self._news:
            await self._news.wait_for(condition)

    async def until_has(self, message: ChatMessage) -> None:
        """Until the message was seen as it is now, or as it was later."""
        await self.until(lambda: message.seq in self.known and self.known[message.seq].rev >= message.rev)

    async def event(self, kind: type[Any]) -> Any:
        found: list[Any] = []

        def there() -> bool:
            found[:] = [event for event in self.events if isinstance(event, kind)]
            return bool(found)

        await self.until(there)
        self.events.remove(found[0])
        return found[0]

    async def end(self) -> BaseException | None:
        await asyncio.wait_for(self._task, PATIENCE_SECONDS)
        return self.error


class Scene:
    """Olga and Bob in a group. Olga's session goes through the weather, Bob's calls don't."""

    def __init__(self, world: World, weather: Weather, proxied: Clients, chat: Chat) -> None:
        self.world = world
        self.weather = weather
        self.proxied = proxied
        self.chat = chat
        self.states: list[SessionState] = []
        self._stack = AsyncExitStack()

    async def client(self, name: str, token: str | None = None) -> UserClient:
        """A client whose way to the stack is the proxy, which is the project that its token has to be of."""
        secret = self.world.settings.jwt_secret
        assert secret is not None, "set SUPABASE_JWT_SECRET: tokens are signed anew for the proxy"
        token = token or (await self.world.user(name)).access_token
        claims = jwt.decode(token, options={"verify_signature": False}) | {"iss": f"{self.weather.url}/auth/v1"}
        return await self.proxied.user(jwt.encode(claims, secret.get_secret_value(), "HS256"))

    async def bob(self) -> Chats:
        return Chats((await self.world.user("bob")).client)

    async def say(self, body: str = "Hello", **more: Any) -> ChatMessage:
        return await (await self.bob()).send(self.chat.id, body, **more)

    @asynccontextmanager
    async def following(self, name: str = "olga", **options: Any) -> AsyncIterator[Follower]:
        client = options.pop("client", None) or await self.client(name)
        session = ChatSession(client, self.chat.id, on_state=self.states.append, **options)
        async with session:
            await asyncio.wait_for(session.wait_until(SessionState.SUBSCRIBED), PATIENCE_SECONDS)
            follower = Follower(session)
            yield follower
        await follower.end()


@pytest.fixture
async def scene(world: World) -> AsyncIterator[Scene]:
    workspace = await world.workspace(owner="olga", bob="member", vera="viewer")
    ids = [(await world.user(name)).id for name in ("bob", "vera")]
    chat = await Chats((await world.user("olga")).client).create(workspace.id, "group", "Sales", member_ids=ids)
    async with Weather.over(world.settings.require("supabase_url")) as weather:
        settings = world.settings.model_copy(update={"supabase_url": weather.url})
        async with Clients(settings) as proxied:
            yield Scene(world, weather, proxied, chat)


async def test_messages_edits_and_deletions_arrive_live(scene: Scene) -> None:
    await scene.say("from before")
    async with scene.following() as olga:
        first = await scene.say("Hello")
        await (await scene.bob()).edit(first.id, "Hello!")
        deleted = await (await scene.bob()).delete(first.id)
        await olga.until_has(deleted)

        bodies = [event.message.body for event in olga.events if isinstance(event, MessageReceived | MessageChanged)]
        assert bodies == ["Hello", "Hello!", None]
        assert olga.seqs == [2], "what was written before the session isn't news"
        assert olga.session.statistics.messages == 1


@pytest.mark.parametrize("source", ["broadcast", "postgres_changes"])
async def test_everything_arrives_once_and_in_order_through_bad_weather(scene: Scene, source: Source) -> None:
    """Dropped, doubled, delayed; cut, half open, refused and unanswered; while people write, edit and delete."""
    await scene.say("from before")
    before = asyncio.all_tasks()
    recoveries: dict[str, float] = {}
    async with scene.following(source=source, timings=Timings(probe=3, quiet=1, call=2)) as olga:
        going = True

        async def write() -> None:
            bob = await scene.bob()
            number = 0
            while going:
                message = await bob.send(scene.chat.id, f"Message {number}")
                number += 1
                if number % 5 == 0:
                    await bob.edit(message.id, f"Message {number}, edited")
                if number % 7 == 0:
                    await bob.delete(message.id)
                await asyncio.sleep(0.03)

        async def recovered(fault: str, *, lost: int) -> None:
            """From the moment that the service can be reached until the session is live and everything is there."""
            started = time.monotonic()
            await olga.until_has(await scene.say(f"after {fault}"))
            # A probe may have brought it before the loss of the connection was noticed.
            await _until(lambda: olga.session.statistics.disconnects == lost, f"noticed: {fault}")
            await olga.session.wait_until(SessionState.SUBSCRIBED)
            recoveries[fault] = time.monotonic() - started

        writer = asyncio.create_task(write())
        scene.weather.drop, scene.weather.double, scene.weather.delay_seconds = 0.2, 0.2, 0.05
        await asyncio.sleep(2)
        await scene.weather.clear_up()
        await recovered("dropped, doubled and delayed", lost=0)

        scene.weather.cut()
        await recovered("cut", lost=1)

        scene.weather.half_open()
        await recovered("half open", lost=2)

        await scene.weather.go_away()
        await asyncio.sleep(3)
        await scene.weather.clear_up()
        await recovered("away for three seconds", lost=3)

        scene.weather.answers_nothing = True
        scene.weather.cut()
        await asyncio.sleep(4)
        await scene.weather.clear_up()
        await recovered("connections that nobody answers", lost=4)

        going = False
        await writer
        await olga.until_has(await scene.say("the last one"))
        await olga.session.wait_until(SessionState.SUBSCRIBED)

        latest = await (await scene.bob()).latest_seq(scene.chat.id)
        assert olga.seqs == [*range(2, latest + 1)]
        stored = {m.seq: m for m in (await (await scene.bob()).messages(scene.chat.id, limit=200)).messages}
        assert {seq: (m.rev, m.body) for seq, m in olga.known.items() if seq in stored} == {
            seq: (m.rev, m.body) for seq, m in stored.items() if seq > 1
        }
        assert max(recoveries.values()) < RECOVERY_SECONDS, recoveries
        assert scene.weather.dropped > 0
        assert scene.weather.doubled > 0
        # Four faults took the connection; each time it came back once, and stayed.
        assert scene.states.count(SessionState.SUBSCRIBED) == 5, scene.states
        assert olga.session.statistics.disconnects == 4
    assert scene.states[-1] is SessionState.CLOSED
    await scene.proxied.aclose()
    await _until(lambda: scene.weather.connections == 0, "every connection closed")
    assert {task.get_name() for task in asyncio.all_tasks() - before if "chat" in task.get_name()} == set()
    assert asyncio.all_tasks() <= before | _of_proxy()


def _of_proxy() -> set[asyncio.Task[Any]]:
    return {task for task in asyncio.all_tasks() if "Weather" in repr(task.get_coro())}


async def _until(condition: Callable[[], bool], what: str) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    assert condition(), what


async def test_a_kept_connection_that_is_dead_as_well_holds_nobody_up(scene: Scene) -> None:
    """The call that fetches what was missed goes out on a connection on which nothing comes back."""
    timings = Timings(quiet=0.5, call=4.5, first_probe=60)
    async with scene.following(timings=timings, confirm_delivery=False) as olga:
        scene.weather.half_open()
        started = time.monotonic()
        await olga.until_has(await scene.say("meanwhile"))
        assert time.monotonic() - started < 4, "noticed after one second, a first try of one and a half"
        assert olga.session.statistics.connects == 2


async def test_a_message_whose_broadcast_is_lost_and_that_nothing_follows_is_found(scene: Scene) -> None:
    async with scene.following(timings=Timings(first_probe=0.1, probe=1)) as olga:
        scene.weather.drop = 1.0
        await olga.until_has(await scene.say("nobody tells"))
        assert olga.session.statistics.probes > 0


async def test_a_session_outlives_its_token(scene: Scene) -> None:
    user = await scene.world.user("olga")
    renewed = 0

    async def renew() -> UserClient:
        nonlocal renewed
        renewed += 1
        return await scene.client("olga", expiring_token(scene.world, user, seconds=3 if renewed < 3 else 3600))

    short = await scene.client("olga", expiring_token(scene.world, user, seconds=3))
    async with scene.following(client=short, renew=renew, timings=Timings(renew=1.5)) as olga:
        for _ in range(12):
            await scene.say()
            await asyncio.sleep(0.4)
        await olga.until_has(await scene.say())
        assert olga.seqs == [*range(1, 14)]
        assert renewed == 3
        assert olga.session.statistics.disconnects == 0, "renewed in time, the connection stays"


async def test_a_token_that_expired_before_it_was_renewed_costs_a_connection_and_no_message(scene: Scene) -> None:
    user = await scene.world.user("olga")
    short = await scene.client("olga", expiring_token(scene.world, user, seconds=2))
    renew = lambda: scene.client("olga")  # noqa: E731
    async with scene.following(client=short, renew=renew, timings=Timings(renew=-1.5)) as olga:
        for _ in range(10):
            await scene.say()
            await asyncio.sleep(0.4)
        await olga.until_has(await scene.say())
        assert olga.seqs == [*range(1, 12)]
        assert (olga.session.statistics.disconnects, olga.session.statistics.renewals) == (1, 1)


async def test_without_another_token_the_session_ends_with_its_token(scene: Scene) -> None:
    short = await scene.client("olga", expiring_token(scene.world, await scene.world.user("olga"), seconds=1.5))
    async with scene.following(client=short) as olga:
        error = await olga.end()
        assert isinstance(error, NotAuthenticated)
        assert olga.session.state is SessionState.CLOSED
        with pytest.raises(NotAuthenticated):
            olga.session.queue("too late")


async def test_a_session_survives_a_restart_of_the_server(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    try:
        address = await asyncio.to_thread(stack.up, with_me=True, durable=False)
        settings = address.settings(**OWN_SETTINGS)
        async with Clients(settings) as clients:
            async with await psycopg.AsyncConnection.connect(address.db_url, autocommit=True) as database:
                world = World(settings, clients, database)
                workspace = await world.workspace(owner="olga", bob="member")
                olga, bob = await world.user("olga"), await world.user("bob")
            chat = await Chats(olga.client).create(workspace.id, "group", "Sales", member_ids=[bob.id])
            async with ChatSession(olga.client, chat.id) as session:
                await session.wait_until(SessionState.SUBSCRIBED)
                follower = Follower(session)
                await follower.until_has(await Chats(bob.client).send(chat.id, "before"))
                port = int(address.url.rsplit(":", 1)[1])
                await asyncio.to_thread(stack.down)
                waiting = session.queue("written while nobody was there")
                await session.wait_until(SessionState.RECONNECTING)
                await asyncio.to_thread(stack.up, port=port, with_me=True, durable=False)
                started = time.monotonic()
                await follower.until_has(await Chats(bob.client).send(chat.id, "after"))
                assert time.monotonic() - started < RECOVERY_SECONDS
                assert (await waiting).seq in (2, 3)
                assert sorted([*follower.seqs, (await waiting).seq]) == [1, 2, 3]
    finally:
        await asyncio.to_thread(stack.remove)


async def test_another_session_goes_on_where_one_stopped(scene: Scene) -> None:
    async with scene.following() as first:
        await first.until_has(await scene.say("one"))
        position = first.session.position
    two = await scene.say("two")
    await (await scene.bob()).edit(two.id, "two, edited")
    last = await scene.say("three")
    async with scene.following(start=position) as second:
        await second.until_has(last)
        assert second.seqs == [2, 3]
        assert second.known[2].body == "two, edited"


async def test_a_slow_reader_holds_up_only_itself(scene: Scene) -> None:
    session = ChatSession(await scene.client("olga"), scene.chat.id)
    async with session:
        await session.wait_until(SessionState.SUBSCRIBED)
        bob = await scene.bob()
        for _ in range(15):
            batch = [NewMessage(client_generated_id=str(uuid4()), body="x") for _ in range(100)]
            last = (await bob.send_many(scene.chat.id, batch))[-1]
        await asyncio.sleep(1)
        assert session.state is SessionState.SUBSCRIBED
        follower = Follower(session)
        await follower.until_has(last)
        assert follower.seqs == [*range(1, 1501)]
    await follower.end()


async def test_own_messages_are_stored_and_do_not_come_back(scene: Scene) -> None:
    async with scene.following() as olga:
        sent = await olga.session.send("Hello")
        await olga.until_has(await scene.say("Hi"))
        assert (sent.seq, olga.seqs) == (1, [2])
        assert olga.session.statistics.echoes == 1
    async with scene.following(own_messages=True) as olga:
        sent = await olga.session.send("Hello again")
        await olga.until_has(sent)


async def test_what_is_written_offline_is_sent_in_order_and_once(scene: Scene) -> None:
    async with scene.following() as olga:
        await scene.weather.go_away()
        waiting = [olga.session.queue(f"Line {i}") for i in range(30)]
        await olga.session.wait_until(SessionState.RECONNECTING)
        assert len(olga.session.pending) == 30
        await scene.weather.clear_up()
        stored = await asyncio.wait_for(asyncio.gather(*waiting), PATIENCE_SECONDS)
        assert [(m.seq, m.body) for m in stored] == [(i + 1, f"Line {i}") for i in range(30)]
        assert olga.session.pending == []
        assert olga.session.statistics.send_retries > 0


async def test_an_answer_that_is_lost_does_not_double_a_message(scene: Scene) -> None:
    async with scene.following(timings=Timings(call=0.5)) as olga:
        sending = []
        for _ in range(4):
            sending.append(olga.session.queue("Hello"))
            await asyncio.sleep(0.01)
            scene.weather.half_open()
        await asyncio.wait_for(asyncio.gather(*sending), PATIENCE_SECONDS)
    assert await (await scene.bob()).latest_seq(scene.chat.id) == 4


async def test_a_message_that_is_refused_is_given_up_and_the_rest_is_sent(scene: Scene) -> None:
    async with scene.following() as olga:
        waiting = [olga.session.queue(body) for body in ("one", " ", "two", "x" * 8001, "three")]
        results = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), PATIENCE_SECONDS)
        assert [getattr(result, "body", getattr(result, "code", None)) for result in results] == [
            "one", "body_required", "two", "body_too_long", "three",
        ]  # fmt: skip
        assert isinstance(results[1], InvalidInput)
        assert olga.session.statistics.refused == 2
    async with scene.following("vera") as vera:
        with pytest.raises(PermissionDenied):
            await vera.session.send("Viewers only read")
        await vera.until_has(await scene.say("Hello"))


async def test_what_a_session_leaves_unsent_another_one_sends(scene: Scene) -> None:
    async with scene.following() as olga:
        await scene.weather.go_away()
        waiting = olga.session.queue("Hello")
        await olga.session.wait_until(SessionState.RECONNECTING)
    with pytest.raises(InvalidState):
        await waiting
    [message] = olga.session.pending
    await scene.weather.clear_up()
    async with scene.following(pending=[message]) as again:
        await _until(lambda: again.session.pending == [], "sent")
    assert [m.body for m in (await (await scene.bob()).messages(scene.chat.id)).messages] == ["Hello"]


async def test_delivery_is_confirmed_in_batches_and_reading_when_told(scene: Scene) -> None:
    async with scene.following(timings=Timings(receipts=1)) as olga, scene.following("bob") as bob:
        said = [NewMessage(body="Hello", client_generated_id=str(uuid4())) for _ in range(10)]
        messages = await (await scene.bob()).send_many(scene.chat.id, said)
        await olga.until_has(messages[-1])
        moved = await bob.event(ReceiptMoved)
        assert (moved.last_delivered_seq, moved.last_read_seq) == (10, 0)
        assert olga.session.statistics.receipts == 1
        await olga.session.mark_read()
        assert (await bob.event(ReceiptMoved)).last_read_seq == 10


async def test_typing_and_presence(scene: Scene) -> None:
    olga_id, bob_id = [(await scene.world.user(name)).id for name in ("olga", "bob")]
    async with scene.following(presence=True) as olga:
        async with scene.following("bob", presence=True) as bob:
            await olga.until(lambda: PresenceChanged(frozenset({olga_id, bob_id})) in olga.events)
            for _ in range(20):
                await bob.session.typing()
            assert await olga.event(Typing) == Typing(bob_id, True)
            await bob.session.typing(False)
            assert await olga.event(Typing) == Typing(bob_id, False), "twenty keystrokes were one notice"
        await olga.until(lambda: olga.events[-1] == PresenceChanged(frozenset({olga_id})))


async def test_who_leaves_or_is_removed_hears_no_more(scene: Scene) -> None:
    bob_id = (await scene.world.user("bob")).id
    async with scene.following() as olga, scene.following("bob") as bob:
        await Chats((await scene.world.user("olga")).client).remove_member(scene.chat.id, bob_id)
        assert await olga.event(MemberLeft) == MemberLeft(bob_id)
        error = await bob.end()
        assert isinstance(error, NotFound)
        assert error.code == "chat_not_found"


@pytest.mark.parametrize("name", ["stranger", "former"])
async def test_who_is_not_a_member_gets_no_session(scene: Scene, name: str) -> None:
    async with ChatSession(await scene.client(name), scene.chat.id) as session:
        with pytest.raises(NotFound):
            await session.wait_until(SessionState.SUBSCRIBED)
        with pytest.raises(NotFound):
            await anext(session)


async def test_a_session_opened_during_an_outage_waits_for_the_service(scene: Scene) -> None:
    client = await scene.client("olga")
    await scene.weather.go_away()
    async with ChatSession(client, scene.chat.id) as session:
        await asyncio.sleep(1)
        assert session.state is SessionState.CONNECTING
        await scene.weather.clear_up()
        await asyncio.wait_for(session.wait_until(SessionState.SUBSCRIBED), RECOVERY_SECONDS)


async def test_closing_ends_a_loop_over_the_events(scene: Scene) -> None:
    async with scene.following() as olga:
        await olga.session.close()
        await olga.session.close()
        assert await olga.end() is None
