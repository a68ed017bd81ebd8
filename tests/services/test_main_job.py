"""One message's whole way: in by webhook, seen by realtime, answered through the outbox, and its statuses back."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from qero import (
    Clients,
    Conflict,
    Contacts,
    InvalidInput,
    InvalidState,
    NotAuthenticated,
    NotFound,
    Outbox,
    PermissionDenied,
    Settings,
    Threads,
    watch_table,
)
from qero.clients.graph import GraphClient
from qero.local.graph import Drop, GraphStandIn, batch, status_webhook, text_webhook
from qero.worker import WhatsAppChannel, Worker
from tests.support import World, digits


def worker(world: World, graph: GraphStandIn) -> Worker:
    client = GraphClient(world.clients.http, base_url=graph.url, version=world.settings.graph_version)
    return Worker(Outbox(world.service), {"whatsapp": WhatsAppChannel(client, world.secrets)})


async def test_a_message_becomes_contact_thread_and_message_and_a_member_sees_it_live(world: World) -> None:
    workspace = await world.workspace(bob="member")
    number = await world.number(workspace)
    bob = (await world.user("bob")).client
    sender = f"+{digits(11)}"

    async with watch_table(bob, "wa_messages", filter=f"workspace_id=eq.{workspace.id}") as changes:
        [outcome] = await world.receive(text_webhook(number.at_meta, sender, "Do you deliver?", name="Ada"))
        change = await changes.next(timeout=10)

    assert outcome.outcome == "recorded"
    assert change is not None
    assert (change["type"], change["record"]["body"]) == ("INSERT", "Do you deliver?")
    [thread] = await Threads(bob).list(workspace.id)
    assert (thread.connection_id, thread.unread_count, thread.last_message_body) == (
        number.connection.id,
        1,
        "Do you deliver?",
    )
    assert thread.last_inbound_at is not None
    [message] = await Threads(bob).messages(thread)
    assert (message.direction, message.body, message.status) == ("in", "Do you deliver?", None)
    assert await world.rows("select name, phone, source from contacts where id = %s", thread.contact_id) == [
        ("Ada", sender, "whatsapp")
    ]


async def test_a_stranger_sees_nothing_of_it_live_or_later(world: World) -> None:
    workspace = await world.workspace()
    number = await world.number(workspace)
    mallory = (await world.user("mallory")).client
    await world.workspace(owner="mallory")

    async with watch_table(mallory, "wa_messages") as changes:
        thread = await world.thread(number)
        own = await world.number(await world.workspace(owner="mallory"))
        await world.thread(own, text="mine")
        change = await changes.next(timeout=10)

    assert change is not None
    assert change["record"]["body"] == "mine", "the first change she sees is her own, so the other never came"
    assert await Threads(mallory).list(workspace.id) == []
    assert await Threads(mallory).messages(thread) == []
    with pytest.raises(NotFound) as error:
        await Threads(mallory).send_text(thread.id, "Hi")
    assert error.value.code == "thread_not_found"


async def test_a_reply_leaves_by_the_threads_own_number_and_its_statuses_only_move_forward(
    world: World, graph: GraphStandIn
) -> None:
    workspace = await world.workspace(bob="member")
    sales, support = await world.number(workspace), await world.number(workspace)
    for number in (sales, support):
        graph.add_number(number.at_meta)
    sender = f"+{digits(11)}"
    await world.thread(sales, sender=sender)
    thread = await world.thread(support, sender=sender)
    threads = Threads((await world.user("bob")).client)

    queued = await threads.send_text(thread.id, "We do!", idempotency_key="reply-1")
    repeated = await threads.send_text(thread.id, "We do!", idempotency_key="reply-1")
    assert repeated == queued
    assert queued.status == "pending"

    await worker(world, graph).run_once()

    [sent] = [message for message in graph.sent if message.opaque_id == str(queued.outbox_id)]
    assert (sent.phone_number_id, sent.to) == (support.at_meta.phone_number_id, sender)
    assert sent.payload["text"] == {"body": "We do!"}
    [message, _] = await threads.messages(thread)
    assert (message.status, message.wa_message_id) == ("sent", sent.wamid)

    for status, shown in (("read", "read"), ("delivered", "read"), ("sent", "read"), ("played", "played")):
        [outcome] = await world.receive(status_webhook(sent, status))  # type: ignore[arg-type]
        assert outcome.outcome == "recorded"
        [message, _] = await threads.messages(thread)
        assert message.status == shown, f"after {status}"


async def test_a_failure_keeps_its_code_and_text_beside_the_status(world: World, graph: GraphStandIn) -> None:
    number = await world.number(await world.workspace())
    graph.add_number(number.at_meta)
    thread = await world.thread(number)
    threads = Threads((await world.user("olga")).client)
    await threads.send_text(thread.id, "Anyone there?")
    await worker(world, graph).run_once()

    await world.receive(status_webhook(graph.sent[-1], "failed", error_code=131026))

    [message, _] = await threads.messages(thread)
    assert (message.status, message.error_code) == ("failed", 131026)
    assert message.error_text


async def test_repeats_a_batch_and_an_unknown_number(world: World) -> None:
    number = await world.number(await world.workspace())
    unknown = world.number_at_meta()
    first = text_webhook(number.at_meta, f"+{digits(11)}", "one")
    second = text_webhook(number.at_meta, f"+{digits(11)}", "two")
    third = text_webhook(unknown, f"+{digits(11)}", "three")

    once = await world.receive(batch(first, second, third))
    twice = await world.receive(batch(third, first, second, first))

    assert [outcome.outcome for outcome in once] == ["recorded", "recorded", "orphan"]
    assert [outcome.outcome for outcome in twice] == ["orphan", "deduped", "deduped", "deduped"]
    count = await world.scalar("select count(*) from wa_messages where connection_id = %s", number.connection.id)
    assert count == 2
    assert await world.rows(
        "select hits, processed_at from orphan_webhook_events where phone_number_id = %s", unknown.phone_number_id
    ) == [(2, None)]


async def test_what_a_person_writes_within_one_second_keeps_its_order(world: World) -> None:
    number = await world.number(await world.workspace())
    sender, at = f"+{digits(11)}", datetime.now(UTC)
    texts = [f"line {index}" for index in range(20)]

    await world.receive(batch(*[text_webhook(number.at_meta, sender, text, at=at) for text in texts]))

    threads = Threads((await world.user("olga")).client)
    [thread] = await threads.list(number.connection.workspace_id)
    assert [message.body for message in reversed(await threads.messages(thread))] == texts
    assert thread.last_message_body == texts[-1]


async def test_connecting_a_number_applies_what_arrived_before(world: World) -> None:
    workspace = await world.workspace()
    unknown = world.number_at_meta()
    await world.receive(text_webhook(unknown, f"+{digits(11)}", "Is anybody there?"))

    number = await world.number(workspace, phone_number_id=unknown.phone_number_id)

    assert await world.rows("select body from wa_messages where connection_id = %s", number.connection.id) == [
        ("Is anybody there?",)
    ]
    assert (
        await world.scalar(
            "select count(*) from orphan_webhook_events where phone_number_id = %s and processed_at is null",
            unknown.phone_number_id,
        )
        == 0
    )


async def test_one_bad_item_costs_its_siblings_nothing(world: World) -> None:
    number = await world.number(await world.workspace())
    good = text_webhook(number.at_meta, f"+{digits(11)}", "good")
    no_sender = text_webhook(number.at_meta, f"+{digits(11)}", "no sender")
    del no_sender["entry"][0]["changes"][0]["value"]["messages"][0]["from"]
    # Passes every check of the parser; the database refuses it.
    too_long = text_webhook(number.at_meta, f"+{digits(11)}", "x", wamid=f"wamid.{secrets.token_hex(5000)}")

    outcomes = await world.receive(batch(no_sender, good, too_long))

    assert [outcome.outcome for outcome in outcomes] == ["set_aside", "recorded", "set_aside"]
    assert outcomes[0].reason == "the message names no sender"
    assert outcomes[2].reason
    assert await world.rows("select body from wa_messages where connection_id = %s", number.connection.id) == [
        ("good",)
    ]
    kept = "select count(*) from meta_webhook_events where phone_number_id = %s and status = 'set_aside'"
    assert await world.scalar(kept, number.at_meta.phone_number_id) == 2


async def test_viewers_and_late_replies_are_refused_and_nothing_is_queued(world: World) -> None:
    workspace = await world.workspace(vera="viewer")
    number = await world.number(workspace)
    thread = await world.thread(number)

    with pytest.raises(PermissionDenied) as refused:
        await Threads((await world.user("vera")).client).send_text(thread.id, "Hi")
    assert refused.value.code == "role_required"

    await world.database.execute(
        "update wa_threads set last_inbound_at = now() - interval '24 hours 1 second' where id = %s", [thread.id]
    )
    with pytest.raises(InvalidState) as closed:
        await Threads((await world.user("olga")).client).send_text(thread.id, "Hi")
    assert closed.value.code == "window_closed"
    assert "template" in str(closed.value)
    assert await world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id) == 0


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ("status = 'inactive', status_reason = 'token revoked'", "connection_inactive"),
        ("deleted_at = now()", "connection_not_found"),
    ],
)
async def test_a_reply_by_a_number_that_is_gone_is_refused(world: World, change: str, code: str) -> None:
    number = await world.number(await world.workspace())
    thread = await world.thread(number)
    await world.database.execute(
        f"update wa_phone_numbers set {change} where id = %s",
        [number.connection.id],  # type: ignore[arg-type,unused-ignore]
    )

    with pytest.raises(InvalidState) as error:
        await Threads((await world.user("olga")).client).send_text(thread.id, "Hi")

    assert (error.value.code, error.value.status) == (code, 409)
    assert await world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id) == 0


async def test_a_status_settles_a_send_whose_answer_was_never_heard(world: World, graph: GraphStandIn) -> None:
    number = await world.number(await world.workspace())
    graph.add_number(number.at_meta)
    thread = await world.thread(number)
    threads = Threads((await world.user("olga")).client)
    queued = await threads.send_text(thread.id, "Did you get this?")
    graph.next_answer(Drop(), phone_number_id=number.at_meta.phone_number_id)

    await worker(world, graph).run_once()
    [message, _] = await threads.messages(thread)
    assert (message.status, message.wa_message_id) == ("unknown", None)
    await worker(world, graph).run_once()
    sent = [item for item in graph.sent if item.opaque_id == str(queued.outbox_id)]
    assert len(sent) == 1, "an unknown outcome is never sent again"

    await world.receive(status_webhook(sent[0], "delivered"))

    [message, _] = await threads.messages(thread)
    assert (message.status, message.wa_message_id) == ("delivered", sent[0].wamid)
    assert await world.scalar("select status from outbox_messages where id = %s", queued.outbox_id) == "sent"


async def test_an_idempotency_key_belongs_to_one_message(world: World) -> None:
    thread = await world.thread(await world.number(await world.workspace()))
    threads = Threads((await world.user("olga")).client)
    key = str(uuid4())
    await threads.send_text(thread.id, "one", idempotency_key=key)

    with pytest.raises(Conflict) as error:
        await threads.send_text(thread.id, "another", idempotency_key=key)

    assert error.value.code == "idempotency_conflict"


async def test_clients_is_closed_once(settings: Settings) -> None:
    async with Clients(settings) as clients:
        assert (await clients.service().table("workspaces").select("id").limit(1).execute()).data is not None
    with pytest.raises(RuntimeError):
        await clients.http.get("http://127.0.0.1")


async def test_a_batch_of_more_items_than_the_api_gives_rows_is_answered_item_by_item(world: World) -> None:
    number = await world.number(await world.workspace())
    sender = f"+{digits(11)}"
    webhooks = [text_webhook(number.at_meta, sender, f"line {index}") for index in range(1100)]

    outcomes = await world.receive(batch(*webhooks))

    assert len(outcomes) == 1100
    assert {outcome.outcome for outcome in outcomes} == {"recorded"}


async def test_a_clock_that_runs_ahead_does_not_hold_the_window_open(world: World) -> None:
    number = await world.number(await world.workspace())
    ahead = datetime.now(UTC) + timedelta(days=400)

    await world.receive(text_webhook(number.at_meta, f"+{digits(11)}", "from the future", at=ahead))

    [thread] = await Threads(world.service).list(number.connection.workspace_id)
    assert thread.last_inbound_at is not None
    assert thread.last_inbound_at <= datetime.now(UTC) + timedelta(seconds=5)


async def test_limits_and_keys_are_refused_rather_than_changed(world: World) -> None:
    thread = await world.thread(await world.number(await world.workspace()))
    threads = Threads((await world.user("olga")).client)
    for limit in (0, -1, 201):
        with pytest.raises(InvalidInput) as error:
            await threads.list(thread.workspace_id, limit=limit)
        assert error.value.detail["field"] == "limit"
    with pytest.raises(InvalidInput) as error:
        await threads.send_text(thread.id, "Hi", idempotency_key="")
    assert error.value.detail["field"] == "idempotency_key"


async def test_a_service_client_is_refused_where_a_user_is_needed(world: World) -> None:
    with pytest.raises(NotAuthenticated) as error:
        Contacts(world.service)  # type: ignore[arg-type]
    assert "clients.user" in str(error.value)
