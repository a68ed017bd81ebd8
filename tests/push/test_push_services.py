"""What push services answer, and what becomes of the notification, the device, and everybody else's."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from uuid import UUID

import pytest

from qero import Chats, Settings
from qero.clients.webpush import PLAIN_LIMIT, VapidKeys, WebPushClient
from qero.local.push import Drop, Hang, PushFault, StandInDevice
from qero.models.outbox import Accepted, FailureAction, Refused
from qero.models.push import PushResult
from qero.services.pushes import Pushes
from tests.phones import Phones
from tests.worker.support import Proxy, until

PUSH = {"kind": "test", "title": "Hello", "body": "There", "tag": "test"}


class Line:
    """Olga writes to Bob, who has a phone and a laptop."""

    def __init__(self, phones: Phones, chat_id: UUID, phone: StandInDevice, laptop: StandInDevice) -> None:
        self.phones = phones
        self.chat_id = chat_id
        self.phone = phone
        self.laptop = laptop

    async def say(self, body: str = "Hello") -> None:
        await Chats((await self.phones.world.user("olga")).client).send(self.chat_id, body)

    async def bobs(self) -> set[str]:
        return {device.endpoint for device in await (await self.phones.devices("bob")).list()}

    async def row(self, device: StandInDevice) -> tuple[Any, ...]:
        """Status, attempts, error and seconds until it is due, of the message for that device."""
        [row] = await self.phones.world.rows(
            "select status, attempts, error_code, extract(epoch from scheduled_at - clock_timestamp())::float"
            " from outbox_messages join push_subscriptions as device on device.id::text = recipient"
            " where endpoint = %s",
            device.endpoint,
        )
        return row


@pytest.fixture
async def line(phones: Phones) -> Line:
    workspace = await phones.world.workspace(owner="olga", bob="member")
    bob = await phones.world.user("bob")
    chat = await Chats((await phones.world.user("olga")).client).create(workspace.id, "direct", member_ids=[bob.id])
    return Line(phones, chat.id, await phones.add("bob"), await phones.add("bob"))


async def test_a_text_at_the_limit_arrives_whole_and_a_longer_one_is_cut(phones: Phones) -> None:
    device = await phones.stored(await phones.add("olga"))
    frame = len(b'{"body":"","tag":"t"}')
    async with phones.client() as client:
        for length in (PLAIN_LIMIT - frame, PLAIN_LIMIT - frame + 1, 20_000):
            assert isinstance(await client.send(device, {"body": "x" * length, "tag": "t"}), Accepted)
        assert isinstance(await client.send(device, {"body": "ü€😀" * 3000, "tag": "t"}), Accepted)

    exact, longer, longest, wide = phones.service.received
    assert exact.size == PLAIN_LIMIT
    assert len(exact.push["body"]) == PLAIN_LIMIT - frame
    for cut in (longer, longest, wide):
        assert PLAIN_LIMIT - 8 <= cut.size <= PLAIN_LIMIT
        assert cut.push["body"].endswith("…")


async def test_one_that_a_push_service_finds_too_long_is_sent_shorter(phones: Phones) -> None:
    device = await phones.stored(await phones.add("olga"))
    phones.service.next_answer(PushFault(413))
    async with phones.client() as client:
        assert isinstance(await client.send(device, {"body": "x" * 5000, "tag": "t"}), Accepted)
        phones.service.next_answer(PushFault(413), times=None)
        outcome = await client.send(device, PUSH)

    assert phones.service.received[0].size <= 2000
    assert isinstance(outcome, Refused)
    assert (outcome.action, outcome.error_code) == (FailureAction.FAIL, "push_too_large")


async def test_tokens_are_signed_once_for_each_push_service(phones: Phones) -> None:
    devices = [await phones.stored(await phones.add("olga")) for _ in range(5)]
    async with phones.client() as client:
        for device in devices:
            await client.send(device, PUSH)

    assert len(phones.service.tokens) == 1
    assert len({received.topic for received in phones.service.received}) == 1


@pytest.mark.parametrize("status", [404, 410])
async def test_a_device_that_is_gone_is_removed_and_no_other(line: Line, status: int) -> None:
    line.phones.service.next_answer(PushFault(status), device=line.phone)
    await line.say()

    summary = await line.phones.deliver()

    assert (summary.failed, len(line.phones.got("bob"))) == (1, 1)
    assert await line.bobs() == {line.laptop.endpoint}
    await line.say("Again")
    await line.phones.deliver()
    assert line.phones.bodies("bob") == ["Hello", "Again"]


async def test_a_device_that_came_back_meanwhile_stays(line: Line) -> None:
    """What is removed is the subscription that was sent to, not one that has taken its place."""
    device = await line.phones.stored(line.phone)
    await line.phones.world.rows(
        "update push_subscriptions set endpoint = endpoint || '-new' where id = %s returning id", device.id
    )

    result = PushResult(subscription_id=device.id, endpoint=device.endpoint, outcome="gone")
    await Pushes(line.phones.world.service).record([result])

    assert await line.bobs() == {f"{line.phone.endpoint}-new", line.laptop.endpoint}


async def test_patience_is_had_for_as_long_as_it_is_asked_for(line: Line) -> None:
    later = datetime.now(UTC) + timedelta(seconds=300)
    line.phones.service.next_answer(PushFault(429, retry_after="120"), device=line.phone)
    line.phones.service.next_answer(PushFault(503, retry_after=format_datetime(later, usegmt=True)), device=line.laptop)
    await line.say()

    assert (await line.phones.deliver()).queued == 2
    status, attempts, code, wait = await line.row(line.phone)
    assert (status, attempts, code) == ("queued", 1, "push_rate_limited")
    assert 115 < wait <= 120
    status, attempts, code, wait = await line.row(line.laptop)
    assert (status, attempts, code) == ("queued", 1, "push_unavailable")
    assert 290 < wait <= 300
    device = await line.phones.stored(line.phone)
    assert (device.failure_count, (device.last_error or "")[:17]) == (1, "push_rate_limited")

    await line.phones.deliver()

    assert len(line.phones.got("bob")) == 2
    device = await line.phones.stored(line.phone)
    assert (device.failure_count, device.last_error) == (0, None), "what works again has no failures"


@pytest.mark.parametrize(
    ("fault", "code"),
    [(PushFault(500), "push_unavailable"), (Hang(), "push_no_answer"), (Drop(), "push_no_answer")],
)
async def test_trouble_that_passes_is_tried_again(line: Line, fault: Any, code: str) -> None:
    line.phones.service.next_answer(fault, device=line.phone)
    await line.say()

    await line.phones.deliver()
    status, attempts, found, wait = await line.row(line.phone)
    assert (status, attempts, found) == ("queued", 1, code)
    assert 2 < wait < 8
    await line.phones.deliver()

    assert len(line.phones.got("bob")) == 2


async def test_trouble_that_stays_ends_after_five_tries_and_keeps_the_device(line: Line) -> None:
    line.phones.service.next_answer(PushFault(503), times=None, device=line.phone)
    await line.say()

    for _ in range(5):
        await line.phones.deliver()

    assert (await line.row(line.phone))[:3] == ("dead", 5, "push_unavailable")
    assert (await line.phones.stored(line.phone)).failure_count == 5
    assert len(await line.bobs()) == 2


async def test_a_push_service_that_doesnt_know_our_key_loses_us_no_device(line: Line) -> None:
    """The device subscribed with another key, or ours isn't configured right: nobody but us is to blame."""
    _, private_key = VapidKeys.generate()
    line.phones.keys = VapidKeys(private_key, subject="mailto:ops@example.com")
    await line.say()

    assert (await line.phones.deliver()).queued == 2
    assert (await line.row(line.phone))[1:3] == (1, "push_keys_refused")
    assert len(await line.bobs()) == 2
    assert line.phones.service.refused == {403: 2}


async def test_an_expired_token_is_refused(phones: Phones, monkeypatch: pytest.MonkeyPatch) -> None:
    device = await phones.stored(await phones.add("olga"))
    for shift, accepted in ((-13 * 3600, False), (13 * 3600, False), (0, True)):
        keys = VapidKeys(phones.private_key, subject="mailto:ops@example.com")
        with monkeypatch.context() as patch:
            now = time.time() + shift
            patch.setattr("qero.clients.webpush.time.time", lambda now=now: now)
            keys.authorization(phones.service.url)
        async with WebPushClient(keys, allowed_origins=frozenset({phones.service.url})) as client:
            outcome = await client.send(device, PUSH)
        assert isinstance(outcome, Accepted) is accepted, shift


async def test_keys_that_no_browser_has_are_removed_with_their_device(line: Line) -> None:
    """65 bytes that begin right and are no point of the curve."""
    await line.phones.world.rows(
        "update push_subscriptions set p256dh = 'B' || repeat('A', 86) where endpoint = %s returning id",
        line.phone.endpoint,
    )
    await line.say()

    summary = await line.phones.deliver()

    assert (summary.sent, summary.failed) == (2, 1)
    assert await line.bobs() == {line.laptop.endpoint}


async def test_a_redirect_leads_nowhere(phones: Phones) -> None:
    device = await phones.stored(await phones.add("olga"))
    elsewhere = phones.service.subscribe()
    phones.service.next_answer(PushFault(307, location=elsewhere.endpoint))
    async with phones.client() as client:
        outcome = await client.send(device, PUSH)

    assert isinstance(outcome, Refused)
    assert (outcome.action, outcome.error_code) == (FailureAction.FAIL, "push_refused")
    assert phones.service.received == []


async def test_one_bad_device_among_five_hundred_delays_none(phones: Phones) -> None:
    """Bob has taken part in a survey of phones. One of them never answers, one drops every connection."""
    world = phones.world
    workspace = await world.workspace(owner="olga", bob="member")
    bob = await world.user("bob")
    devices = [phones.service.subscribe(phones.public_key) for _ in range(500)]
    async with world.database.cursor() as cursor:
        await cursor.executemany(
            "insert into push_subscriptions (user_id, endpoint, p256dh, auth) values (%s, %s, %s, %s)",
            [(bob.id, device.endpoint, device.p256dh, device.auth) for device in devices],
        )
    phones.service.next_answer(Hang(), times=None, device=devices[0])
    phones.service.next_answer(Drop(), times=None, device=devices[1])
    chat = await Chats((await world.user("olga")).client).create(workspace.id, "direct", member_ids=[bob.id])
    await Chats((await world.user("olga")).client).send(chat.id, "Hello")
    await phones.hurry()

    async with phones.client(timeout_seconds=30) as client:
        stop = asyncio.Event()
        running = asyncio.create_task(phones.worker(client, concurrency=50, grace_seconds=0.1).run(stop))

        async def all_others() -> bool:
            return len(phones.service.received) >= 498

        await until(all_others, seconds=20)
        stop.set()
        await running

    assert len({received.endpoint for received in phones.service.received}) == 498


async def test_a_worker_that_dies_with_notifications_in_hand_loses_none(line: Line, settings: Settings) -> None:
    await line.say()
    await line.phones.hurry()
    async with Proxy.over(settings) as (proxy, clients):
        proxy.drop_before["complete_outbox"] = proxy.drop_before["extend_lease"] = 10**6
        await line.phones.deliver(clients, lease_seconds=1)
    await line.phones.world.rows(
        "update private.outbox_leases set expires_at = clock_timestamp() - interval '1 s' returning token"
    )

    summary = await line.phones.deliver()

    assert summary.unknown == 0
    assert summary.sent >= 1
    assert len(line.phones.got("bob")) >= 2, "told twice rather than never; the second takes the place of the first"
    assert {row[0] for row in await line.phones.rows((await line.phones.world.user("bob")).id)} == {"sent"}


async def test_while_the_database_is_away_nothing_is_sent_and_nothing_lost(line: Line, settings: Settings) -> None:
    await line.say()
    async with Proxy.over(settings) as (proxy, clients):
        proxy.drop_before["prepare_pushes"] = 1
        assert (await line.phones.deliver(clients)).queued == 1

    await line.phones.deliver()

    assert len(line.phones.got("bob")) == 2
