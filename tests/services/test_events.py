"""What Meta sent is kept, can be looked at, and takes effect once, however often it is applied again."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg.types.json import Jsonb

from qero import Connections, Events, InvalidInput, InvalidState, NotFound, QeroError
from qero.local.graph import batch, encode, new_wamid, text_webhook
from qero.models.webhook import parse_body
from tests.support import Number, World, digits

TEXT = "only for those who look"


@pytest.fixture
def events(world: World) -> Events:
    return Events(world.service)


@pytest.fixture
async def number(world: World) -> Number:
    return await world.number(await world.workspace())


def text(number: Number, body: str = TEXT, **more: Any) -> dict[str, Any]:
    return text_webhook(number.at_meta, f"+{digits(11)}", body, **more)


def account_event(number: Number, event: str = "PARTNER_REMOVED") -> dict[str, Any]:
    """An account's event that doesn't say when it happened."""
    change = {"field": "account_update", "value": {"event": event, "id": uuid4().hex}}
    return {"object": "whatsapp_business_account", "entry": [{"id": number.at_meta.waba_id, "changes": [change]}]}


async def stored(
    world: World, number: Number, webhook: Any, *, kind: str = "other", status: str = "kept", **columns: Any
) -> int:
    """An event that was recorded by an older version, which couldn't read it: it has had no effect."""
    [event] = parse_body(encode(webhook))
    row = {
        "workspace_id": number.connection.workspace_id,
        "phone_number_id": event.phone_number_id,
        "event_key": event.event_key,
        "kind": kind,
        "raw": event.raw,
        "status": status,
        **columns,
    }
    event_id: int = await world.scalar(
        f"insert into meta_webhook_events ({', '.join(row)}) values ({', '.join(['%s'] * len(row))}) returning id",
        *(Jsonb(value) if isinstance(value, dict | list) else value for value in row.values()),
    )
    return event_id


async def effect(world: World, number: Number) -> tuple[int, int]:
    """How many messages the number has, and how many of them count as unread."""
    [row] = await world.rows(
        "select count(*), (select coalesce(sum(unread_count), 0)::int from wa_threads where connection_id = %(n)s)"
        " from wa_messages where connection_id = %(n)s".replace("%(n)s", f"'{number.connection.id}'")
    )
    return row[0], row[1]


async def state(world: World, event_id: int) -> tuple[str, str, int, str | None]:
    [row] = await world.rows("select kind, status, attempts, error from meta_webhook_events where id = %s", event_id)
    return row[0], row[1], row[2], row[3]


# --- Looking ---


async def test_events_are_listed_newest_first_and_page_by_page(world: World, events: Events, number: Number) -> None:
    await world.receive(batch(*(text(number) for _ in range(5))))
    workspace_id = number.connection.workspace_id

    first = await events.list(workspace_id, limit=3)
    second = await events.list(workspace_id, before=first[-1].id, limit=3)

    ids = [event.id for event in first + second]
    assert (len(ids), ids) == (5, sorted(ids, reverse=True))
    assert await events.ids(workspace_id) == sorted(ids)
    assert {(event.kind, event.status, event.attempts) for event in first} == {("message", "applied", 1)}
    assert TEXT not in repr(first)
    with pytest.raises(InvalidInput) as error:
        await events.list(workspace_id, limit=1001)
    assert error.value.code == "invalid_value"


async def test_filters_narrow_the_list(world: World, events: Events, number: Number) -> None:
    other = await world.number(await world.workspace())
    await world.receive(batch(text(number), text(other)))
    kept = await stored(world, number, text(number))
    long_ago = datetime.now(UTC) - timedelta(days=40)
    old = await stored(world, number, text(number), received_at=long_ago)
    old_failure = await stored(world, number, text(number), status="set_aside", error="x", received_at=long_ago)
    workspace_id, phone_number_id = number.connection.workspace_id, number.at_meta.phone_number_id

    async def ids(**filters: Any) -> list[int]:
        return [event.id for event in await events.list(workspace_id, **filters)]

    assert await ids(kinds=["other"]) == [kept]
    assert await ids(status="kept") == [kept]
    assert await ids(status="kept", since=long_ago) == [old, kept]
    assert await ids(status="set_aside") == [old_failure], "of any age"
    assert await ids(status="set_aside", since=datetime.now(UTC) - timedelta(days=1)) == []
    assert await ids(kinds=["template", "account"]) == []
    assert len(await ids(phone_number_id=phone_number_id)) == 2
    assert await ids(phone_number_id=other.at_meta.phone_number_id) == []
    everywhere = await events.list(phone_number_id=other.at_meta.phone_number_id)
    assert [event.workspace_id for event in everywhere] == [other.connection.workspace_id]


async def test_one_event_is_shown_with_what_meta_sent(world: World, events: Events, number: Number) -> None:
    [outcome] = await world.receive(text(number))
    assert outcome.event_id is not None

    event = await events.get(outcome.event_id)

    assert event.raw["changes"][0]["value"]["messages"][0]["text"]["body"] == TEXT
    assert TEXT not in repr(event), "nor does it get into a log by accident"
    with pytest.raises(NotFound) as error:
        await events.get(0)
    assert (error.value.code, error.value.detail) == ("event_not_found", {"event_id": "0"})


async def test_orphans_are_listed_and_shown_while_they_wait(world: World, events: Events) -> None:
    at_meta = world.number_at_meta()
    webhook = text_webhook(at_meta, f"+{digits(11)}", TEXT)
    await world.receive(webhook)
    await world.receive(webhook)

    [orphan] = await events.orphans(phone_number_id=at_meta.phone_number_id)
    shown = await events.get_orphan(orphan.id)

    assert (orphan.kind, orphan.hits, orphan.processed_at) == ("message", 2, None)
    assert shown.event["body"] == TEXT
    assert TEXT not in repr([orphan, shown])
    assert await events.orphans(phone_number_id=at_meta.phone_number_id, before=orphan.id) == []
    assert await events.orphans(phone_number_id=at_meta.phone_number_id, kinds=["status"]) == []
    assert await events.orphans(phone_number_id=at_meta.phone_number_id, since=datetime.now(UTC)) == []
    await world.number(await world.workspace(), phone_number_id=at_meta.phone_number_id)
    assert await events.orphans(phone_number_id=at_meta.phone_number_id) == []
    assert (await events.get_orphan(orphan.id)).processed_at is not None
    with pytest.raises(NotFound):
        await events.get_orphan(0)


# --- Replaying ---


async def test_what_the_database_cannot_take_stays_set_aside(world: World, events: Events, number: Number) -> None:
    too_long = text(number, wamid=f"wamid.{secrets.token_hex(5000)}")
    [_, outcome] = await world.receive(batch(text(number), too_long))
    assert (outcome.outcome, outcome.event_id is None) == ("set_aside", False)
    before = await effect(world, number)

    [again] = await events.replay([outcome.event_id or 0])

    assert (again.outcome, again.reason) == ("set_aside", outcome.reason)
    assert await state(world, again.event_id) == ("message", "set_aside", 2, outcome.reason)
    assert await effect(world, number) == before == (1, 1)


@pytest.mark.parametrize(("kind", "status"), [("other", "kept"), ("malformed", "set_aside")])
async def test_what_is_read_better_today_takes_effect_once(
    kind: str, status: str, world: World, events: Events, number: Number
) -> None:
    webhook = text(number)
    event_id = await stored(world, number, webhook, kind=kind, status=status, error="It couldn't be read.")
    assert await effect(world, number) == (0, 0)

    first = await events.replay([event_id])
    second = await events.replay([event_id, event_id])
    [third] = await world.receive(webhook)

    assert [(answer.outcome, answer.reason) for answer in first] == [("applied", None)]
    assert [answer.outcome for answer in second] == ["applied"]
    assert third.outcome == "deduped", "its key stays"
    assert await state(world, event_id) == ("message", "applied", 2, None)
    assert await effect(world, number) == (1, 1)


async def test_replaying_at_the_same_moment_takes_effect_once(world: World, events: Events, number: Number) -> None:
    webhooks = [text(number) for _ in range(20)]
    ids = [await stored(world, number, webhook) for webhook in webhooks]

    answers, *_ = await asyncio.gather(
        events.replay(ids), events.replay(ids[::-1]), events.replay(ids[5:15]), world.receive(batch(*webhooks[:10]))
    )

    assert [answer.event_id for answer in answers] == ids, "in the order asked for"
    assert {answer.outcome for answer in answers} == {"applied"}
    assert await effect(world, number) == (20, 20)


async def test_a_message_that_is_there_already_counts_as_unread_once(
    world: World, events: Events, number: Number
) -> None:
    """An older version recorded it under another key, and without effect; then Meta sent it again."""
    webhook = text(number)
    event_id = await stored(world, number, webhook, event_key=f"other:{uuid4().hex}")
    await world.receive(webhook)

    [answer] = await events.replay([event_id])

    assert answer.outcome == "applied"
    assert await effect(world, number) == (1, 1)


async def test_what_took_effect_before_is_left_alone(world: World, events: Events, number: Number) -> None:
    [outcome] = await world.receive(text(number))

    [answer] = await events.replay([outcome.event_id or 0])

    assert (answer.outcome, answer.reason) == ("applied", "It had taken effect before.")
    assert await state(world, answer.event_id) == ("message", "applied", 1, None)


async def test_ids_that_are_not_there_are_named_and_nothing_is_replayed(
    world: World, events: Events, number: Number
) -> None:
    event_id = await stored(world, number, text(number))

    with pytest.raises(NotFound) as error:
        await events.replay([event_id, -1, 0])

    assert (error.value.code, error.value.detail) == ("event_not_found", {"event_ids": [-1, 0]})
    assert await state(world, event_id) == ("other", "kept", 1, None)
    assert await events.replay([]) == []


async def test_many_are_replayed_in_batches_that_say_how_far_they_are(
    world: World, events: Events, number: Number, logs: list[dict[str, Any]]
) -> None:
    ids = [await stored(world, number, text(number)) for _ in range(205)]
    nothing_in_it = await stored(world, number, text(number), raw={"id": "1", "changes": []})
    unknown = await stored(world, number, {"entry": [{"id": "1", "changes": [{"field": "new", "value": {"a": 1}}]}]})
    done: list[int] = []

    answers = await events.replay([*ids, nothing_in_it, unknown], progress=done.append)

    assert done == [100, 200, 207]
    assert [answer.outcome for answer in answers] == ["applied"] * 205 + ["set_aside", "kept"]
    assert answers[-2].reason == "there is nothing in it"
    assert await effect(world, number) == (205, 205)
    assert [event["applied"] for event in logs if event["event"] == "events_replayed"] == [100, 100, 5]
    assert TEXT not in json.dumps(logs, default=str), "logs say nothing of what people wrote"


async def test_one_item_that_turns_out_to_be_several_is_all_of_them(
    world: World, events: Events, number: Number
) -> None:
    webhook = text(number)
    value = webhook["entry"][0]["changes"][0]["value"]
    several = {**webhook["entry"][0]}
    messages = [{**value["messages"][0], "id": new_wamid()} for _ in range(3)]
    several["changes"] = [{"field": "messages", "value": {**value, "messages": messages, "unknown": 1}}]
    event_id = await stored(world, number, webhook, raw=several)

    answers = await events.replay([event_id])

    assert [(answer.event_id, answer.outcome) for answer in answers] == [(event_id, "applied")]
    assert await state(world, event_id) == ("message", "applied", 2, None)
    assert await effect(world, number) == (3, 3)


def refused(webhook: dict[str, Any]) -> dict[str, str]:
    """What is kept of an item that the database refused as a whole."""
    [event] = parse_body(encode(webhook))
    return {"base64": base64.b64encode(event.model_dump_json(exclude_none=True).encode()).decode()}


async def test_what_the_database_refused_as_a_whole_is_tried_by_itself(
    world: World, events: Events, number: Number
) -> None:
    event_id = await stored(world, number, text(number), status="set_aside", raw=refused(text(number)))
    beside = await stored(world, number, text(number))
    condition = f"kind <> 'message' or id <> {event_id}"
    await world.database.execute(
        f"alter table meta_webhook_events add constraint no_thanks check ({condition}) not valid".encode()
    )
    try:
        answers = await events.replay([event_id, beside])
    finally:
        await world.database.execute("alter table meta_webhook_events drop constraint no_thanks")

    assert [answer.outcome for answer in answers] == ["set_aside", "applied"]
    assert await state(world, event_id) == ("malformed", "set_aside", 2, "the database refused it: no_thanks")
    assert await effect(world, number) == (1, 1)
    [again] = await events.replay([event_id])
    assert again.outcome == "applied"
    assert await state(world, event_id) == ("message", "applied", 3, None)
    assert await effect(world, number) == (2, 2)


async def test_what_is_the_databases_own_fault_is_no_events(world: World, events: Events, number: Number) -> None:
    event_id = await stored(world, number, text(number), status="set_aside", raw=refused(text(number)))
    before = await state(world, event_id)
    await world.database.execute(
        """
        create function private.broken() returns trigger language plpgsql as
        $$ begin raise exception 'broken' using errcode = 'XX001'; end $$;
        """
    )
    await world.database.execute(
        f"create trigger broken before update on meta_webhook_events for each row"
        f" when (new.kind = 'message' and new.id = {event_id}) execute function private.broken()".encode()
    )
    try:
        with pytest.raises(QeroError) as error:
            await events.replay([event_id])
    finally:
        await world.database.execute("drop function private.broken cascade")

    assert error.value.code == "internal_error"
    assert await state(world, event_id) == before
    assert [answer.outcome for answer in await events.replay([event_id])] == ["applied"]


@pytest.mark.parametrize(("hours", "shown"), [(-1, "active"), (+1, "inactive")])
async def test_an_account_event_without_a_time_is_as_old_as_its_arrival(
    hours: int, shown: str, world: World, events: Events, number: Number
) -> None:
    received_at = datetime.now(UTC) + timedelta(hours=hours)
    event_id = await stored(world, number, account_event(number), received_at=received_at)

    [answer] = await events.replay([event_id])

    assert answer.outcome == "applied"
    assert await status_of(world, number.connection.id) == shown


async def status_of(world: World, connection_id: UUID) -> str:
    status: str = await world.scalar("select status from wa_phone_numbers where id = %s", connection_id)
    return status


# --- Orphans ---


async def deactivate(world: World, number: Number, status: str = "inactive") -> None:
    await world.database.execute(
        "update wa_phone_numbers set status = %s where id = %s", [status, number.connection.id]
    )


async def test_orphans_of_a_number_that_is_connected_by_now_take_effect(
    world: World, events: Events, number: Number
) -> None:
    """By hand, so that nobody has replayed them."""
    other = await world.number(await world.workspace())
    for each in (number, other):
        await deactivate(world, each)
        await world.receive(text(each))
        await world.receive(account_event(each, "SOMETHING_NEW"))
    phone_number_id = number.at_meta.phone_number_id
    with pytest.raises(InvalidState) as error:
        await events.replay_orphans(phone_number_id)
    assert (error.value.code, error.value.detail) == ("connection_not_found", {"phone_number_id": phone_number_id})
    await deactivate(world, number, "active")
    await deactivate(world, other, "active")

    [named] = await events.replay_orphans(phone_number_id)
    assert (named.phone_number_id, named.recorded, named.deduped, named.set_aside) == (phone_number_id, 2, 0, 0)
    assert await effect(world, number) == (1, 1)
    assert await effect(world, other) == (0, 0)

    account = f"waba:{other.at_meta.waba_id}"
    [of_account] = await events.replay_orphans(account)
    assert (of_account.phone_number_id, of_account.recorded) == (account, 1)
    rest = {answer.phone_number_id: answer.recorded for answer in await events.replay_orphans()}
    assert rest[other.at_meta.phone_number_id] == 1
    assert phone_number_id not in rest
    assert await effect(world, other) == (1, 1)
    [nothing] = await events.replay_orphans(phone_number_id)
    assert nothing.recorded == 0


async def test_orphans_replayed_while_more_comes_and_somebody_connects_take_effect_once(
    world: World, events: Events, number: Number
) -> None:
    webhooks = [text(number) for _ in range(30)]
    await deactivate(world, number)
    await world.receive(batch(*webhooks))
    await deactivate(world, number, "active")
    phone_number_id = number.at_meta.phone_number_id
    connect = Connections(world.service, world.secrets).connect(
        number.connection.workspace_id,
        waba_id=number.at_meta.waba_id,
        phone_number_id=phone_number_id,
        access_token="EAArenewed",
    )

    await asyncio.gather(
        *(events.replay_orphans(phone_number_id) for _ in range(3)),
        *(world.receive(batch(*webhooks[start::2])) for start in range(2)),
        connect,
    )

    assert await effect(world, number) == (30, 30)
    assert await events.orphans(phone_number_id=phone_number_id) == []


async def test_an_orphan_that_cannot_be_used_is_set_aside(world: World, events: Events, number: Number) -> None:
    await deactivate(world, number)
    await world.receive(text(number, wamid=f"wamid.{secrets.token_hex(5000)}"))
    await deactivate(world, number, "active")

    [answer] = await events.replay_orphans(number.at_meta.phone_number_id)

    assert (answer.recorded, answer.set_aside) == (0, 1)
    [event] = await events.list(number.connection.workspace_id, status="set_aside")
    assert event.error


async def test_an_orphan_without_a_time_does_not_end_the_connection_that_comes_after_it(
    world: World, number: Number
) -> None:
    await Connections(world.service).disconnect(number.connection.id)
    [outcome] = await world.receive(account_event(number))
    assert outcome.outcome == "orphan"

    again = await Connections(world.service, world.secrets).connect(
        number.connection.workspace_id,
        waba_id=number.at_meta.waba_id,
        phone_number_id=number.at_meta.phone_number_id,
        access_token="EAArenewed",
    )

    assert again.status == await status_of(world, number.connection.id) == "active"


@pytest.mark.parametrize("event", ["PARTNER_REMOVED", "PARTNER_APP_UNINSTALLED", "ACCOUNT_DELETED"])
async def test_the_end_of_the_business_relation_takes_the_tokens_too(event: str, world: World) -> None:
    workspace = await world.workspace()
    number, other = await world.number(workspace), await world.number(workspace)
    tokens = "select connection_id from private.wa_connection_secrets where connection_id = any(%s)"
    both = [number.connection.id, other.connection.id]
    assert len(await world.rows(tokens, both)) == 2

    await world.receive(account_event(number, event))

    assert await world.rows(tokens, both) == [(other.connection.id,)]
    assert await world.rows(
        "select status, status_reason from wa_phone_numbers where id = %s", number.connection.id
    ) == [("inactive", f"Meta: {event}")]
    assert await status_of(world, other.connection.id) == "active"


async def test_an_end_that_came_late_is_about_an_earlier_grant_and_leaves_the_token(
    world: World, number: Number
) -> None:
    late = account_event(number)
    late["entry"][0]["time"] = int((datetime.now(UTC) - timedelta(minutes=1)).timestamp())

    await world.receive(late)

    assert await status_of(world, number.connection.id) == "active"
    tokens = "select count(*) from private.wa_connection_secrets where connection_id = %s"
    assert await world.scalar(tokens, number.connection.id) == 1


# --- Counting ---


async def test_events_are_counted_by_day_kind_and_status(world: World, events: Events, number: Number) -> None:
    await world.receive(batch(text(number), text(number)))
    await stored(world, number, text(number))
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    await stored(world, number, text(number), status="set_aside", received_at=two_days_ago)
    workspace_id = number.connection.workspace_id

    recent = await events.stats(workspace_id)
    longer = await events.stats(workspace_id, since=two_days_ago - timedelta(hours=1))

    def counted(stats: Any) -> dict[tuple[str, str], int]:
        return {(count.kind, count.status): count.events for count in stats.counts}

    assert counted(recent) == {("message", "applied"): 2, ("other", "kept"): 1}
    assert counted(longer) == {**counted(recent), ("other", "set_aside"): 1}
    assert longer.counts[-1].day == two_days_ago.date()
    assert (recent.set_aside, longer.set_aside) == (1, 1), "of any age"
    assert datetime.now(UTC) - recent.since < timedelta(hours=24, minutes=5)
    assert (recent.orphans, (await events.stats(uuid4())).counts) == ([], [])


async def test_orphans_are_counted_by_number(world: World, events: Events, number: Number) -> None:
    at_meta = world.number_at_meta()
    webhook = text_webhook(at_meta, f"+{digits(11)}", TEXT)
    for received in (webhook, webhook, text_webhook(at_meta, f"+{digits(11)}", TEXT)):
        await world.receive(received)
    await deactivate(world, number)
    await world.receive(account_event(number))
    await deactivate(world, number, "active")

    waiting = {orphan.phone_number_id: orphan for orphan in (await events.stats()).orphans}

    unknown, known = waiting[at_meta.phone_number_id], waiting[f"waba:{number.at_meta.waba_id}"]
    assert (unknown.events, unknown.hits, unknown.is_connected) == (2, 3, False)
    assert (known.events, known.hits, known.is_connected) == (1, 1, True)
    assert unknown.oldest_at <= known.oldest_at
