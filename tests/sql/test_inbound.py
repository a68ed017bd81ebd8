"""What each thing that Meta can say does here: a story per rule, in whatever order it is told."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest

from qero.local.graph import batch
from qero.models.whatsapp import Thread
from tests.sql.inbound import Meta, Webhook, moment, text, timestamp, wamid
from tests.support import Number, World, digits

Deliver = Callable[..., Awaitable[None]]
# Account events count from when the number was connected, which is just now.
LATER = 7200


@pytest.fixture
def world(people: World) -> World:
    return people


@pytest.fixture
async def number(world: World) -> Number:
    return await world.number(await world.workspace())


@pytest.fixture
def meta(number: Number) -> Meta:
    return Meta(number.at_meta)


@pytest.fixture
def ada() -> str:
    return digits(11)


@pytest.fixture(params=["in order", "backwards", "together", "together backwards"])
def deliver(request: pytest.FixtureRequest, world: World) -> Deliver:
    """Brings webhooks in one of the orders in which they may come, and then all of them once more."""

    async def bring(*webhooks: Webhook) -> None:
        ordered = webhooks[::-1] if "backwards" in request.param else webhooks
        for webhook in [batch(*ordered)] if "together" in request.param else ordered:
            assert {outcome.outcome for outcome in await world.receive(webhook)} == {"recorded"}
        for outcome in await world.receive(batch(*webhooks)):
            assert outcome.outcome == "deduped"

    return bring


async def columns(world: World, query: str, *parameters: Any) -> list[dict[str, Any]]:
    cursor = await world.database.execute(query, parameters)  # type: ignore[arg-type,unused-ignore]
    return [
        dict(zip([column.name for column in cursor.description or []], row, strict=True))
        for row in await cursor.fetchall()
    ]


async def messages(world: World, number: Number) -> list[dict[str, Any]]:
    return await columns(
        world, "select * from wa_messages where connection_id = %s order by occurred_at, sequence", number.connection.id
    )


async def the_message(world: World, number: Number) -> dict[str, Any]:
    [message] = await messages(world, number)
    return message


async def threads(world: World, number: Number) -> list[dict[str, Any]]:
    return await columns(
        world, "select * from wa_threads where connection_id = %s order by created_at, id", number.connection.id
    )


async def the_thread(world: World, number: Number) -> dict[str, Any]:
    [thread] = await threads(world, number)
    return thread


async def contacts(world: World, number: Number) -> list[dict[str, Any]]:
    return await columns(
        world,
        "select contact.*, (select array_agg(identity.value order by identity.value)"
        " from contact_identities as identity where identity.contact_id = contact.id) as identities"
        " from contacts as contact where workspace_id = %s order by created_at, id",
        number.connection.workspace_id,
    )


async def the_contact(world: World, number: Number) -> dict[str, Any]:
    [contact] = await contacts(world, number)
    return contact


async def connection(world: World, number: Number) -> dict[str, Any]:
    [row] = await columns(world, "select * from wa_phone_numbers where id = %s", number.connection.id)
    return row


def emojis(message: dict[str, Any]) -> dict[str, str]:
    return {actor: reaction["emoji"] for actor, reaction in (message["reactions"] or {}).items()}


# --- Messages ---


async def test_a_message_makes_its_sender_a_contact_and_opens_a_thread(
    world: World, number: Number, meta: Meta, ada: str
) -> None:
    await world.receive(meta.message(ada, 5, name="Ada", **text("Do you deliver?"), context={"id": "wamid.Before"}))

    contact, thread, message = (
        await the_contact(world, number),
        await the_thread(world, number),
        await the_message(world, number),
    )
    assert (contact["name"], contact["phone"], contact["source"]) == ("Ada", f"+{ada}", "whatsapp")
    assert contact["identities"] == [ada]
    assert (thread["contact_id"], thread["status"], thread["unread_count"]) == (contact["id"], "open", 1)
    assert thread["last_inbound_at"] == thread["last_message_at"] == thread["automation_stopped_at"] == moment(5)
    assert thread["last_message_body"] == "Do you deliver?"
    assert (message["direction"], message["type"], message["source"], message["status"]) == ("in", "text", "live", None)
    assert (message["context"], message["occurred_at"]) == ({"id": "wamid.Before"}, moment(5))


async def test_content_takes_the_place_of_its_placeholder(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()

    await deliver(meta.placeholder(ada, 1, id), meta.message(ada, 1, id=id, **text("Here it is")))

    message, thread = await the_message(world, number), await the_thread(world, number)
    assert (message["type"], message["body"], message["is_placeholder"]) == ("text", "Here it is", False)
    assert message["context"] is None, "the error was the placeholder's"
    assert (thread["unread_count"], thread["last_message_body"]) == (1, "Here it is")


async def test_a_placeholder_alone_is_shown(world: World, number: Number, meta: Meta, ada: str) -> None:
    await world.receive(meta.placeholder(ada, 1, wamid()))

    message = await the_message(world, number)
    assert (message["type"], message["is_placeholder"]) == ("unsupported", True)
    assert message["context"]["errors"][0]["code"] == 131060
    assert (await the_thread(world, number))["unread_count"] == 1


async def test_contact_cards_that_share_an_id_are_one_message_with_all_of_them(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()
    cards = [
        {"name": {"formatted_name": name}, "phones": [{"phone": "+44 7700 900002"}]} for name in ("Bob", "Cy", "Di")
    ]

    await deliver(*(meta.message(ada, 1, id=id, type="contacts", contacts=[card]) for card in cards))

    message, thread = await the_message(world, number), await the_thread(world, number)
    assert sorted(card["name"]["formatted_name"] for card in message["content"]["contacts"]) == ["Bob", "Cy", "Di"]
    assert message["body"] == message["content"]["contacts"][0]["name"]["formatted_name"]
    assert (thread["unread_count"], thread["last_message_body"]) == (1, message["body"])


async def test_a_message_reopens_what_was_closed_or_snoozed(world: World, number: Number, meta: Meta, ada: str) -> None:
    await world.receive(meta.message(ada, 1))
    for status in ("closed", "snoozed", "pending"):
        await world.rows(
            "update wa_threads set status = %s, snoozed_until = now() + interval '1 day', unread_count = 0"
            " where connection_id = %s returning id",
            status, number.connection.id,
        )  # fmt: skip
        await world.receive(meta.message(ada, 2))
        thread = await the_thread(world, number)
        wanted = "pending" if status == "pending" else "open"
        assert (thread["status"], thread["snoozed_until"], thread["unread_count"]) == (wanted, None, 1)


async def test_an_older_message_that_comes_late_moves_neither_window_nor_preview(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    await deliver(meta.message(ada, 1, **text("first")), meta.message(ada, 2, **text("second")))

    thread = await the_thread(world, number)
    assert (thread["last_message_body"], thread["last_inbound_at"], thread["unread_count"]) == ("second", moment(2), 2)


async def test_a_clock_that_runs_ahead_holds_no_window_open(world: World, number: Number, meta: Meta, ada: str) -> None:
    await world.receive(meta.message(ada, 30 * 86_400))

    assert await world.scalar(
        "select last_inbound_at <= now() from wa_threads where connection_id = %s", number.connection.id
    )


# --- Reactions, edits, revocations ---


async def test_everybody_has_one_reaction_and_the_latest_counts(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()

    await deliver(
        meta.message(ada, 1, id=id),
        meta.reaction(ada, 2, id, "👍"),
        meta.reaction(ada, 3, id, "🎉"),
        meta.echo(ada, 4, type="reaction", reaction={"message_id": id, "emoji": "🙏"}),
    )

    message = await the_message(world, number)
    assert emojis(message) == {"customer": "🎉", "business": "🙏"}
    assert datetime.fromisoformat(message["reactions"]["customer"]["at"]) == moment(3)
    thread = await the_thread(world, number)
    assert (thread["unread_count"], thread["last_message_at"]) == (1, moment(1)), "a reaction is no message"


@pytest.mark.parametrize("none", ["", None])
async def test_a_reaction_without_an_emoji_takes_back_what_was_given(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver, none: str | None
) -> None:
    id = wamid()

    await deliver(
        meta.message(ada, 1, id=id),
        meta.reaction(ada, 2, id, "👍"),
        meta.reaction(ada, 3, id, none),
        meta.echo(ada, 4, type="reaction", reaction={"message_id": id, "emoji": "🙏"}),
    )

    assert emojis(await the_message(world, number)) == {"business": "🙏"}


async def test_in_a_group_everybody_reacts_for_themselves(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id, bob = wamid(), digits(11)

    await deliver(
        meta.message(ada, 1, id=id, group_id="G.1", **text("Hello all")),
        meta.reaction(ada, 2, id, "👍", group_id="G.1"),
        meta.reaction(bob, 3, id, "🎉", group_id="G.1"),
    )

    assert emojis(await the_message(world, number)) == {ada: "👍", bob: "🎉"}


async def test_the_latest_edit_is_shown(world: World, number: Number, meta: Meta, ada: str, deliver: Deliver) -> None:
    id = wamid()

    await deliver(
        meta.message(ada, 1, id=id, **text("helo")),
        meta.edit(ada, 2, id, "hello"),
        meta.edit(ada, 3, id, "Hello!"),
    )

    message, thread = await the_message(world, number), await the_thread(world, number)
    assert (message["type"], message["body"], message["content"]) == ("text", "Hello!", {"body": "Hello!"})
    assert (message["edited_at"], message["occurred_at"]) == (moment(3), moment(1))
    assert (thread["last_message_body"], thread["unread_count"]) == ("Hello!", 1)


async def test_what_was_revoked_is_no_longer_previewed(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()

    await deliver(
        meta.message(ada, 1, **text("stays")),
        meta.message(ada, 2, id=id, **text("oops")),
        meta.edit(ada, 3, id, "Oops!"),
        meta.revoke(ada, 4, id),
        meta.revoke(ada, 5, id),
    )

    _, message = await messages(world, number)
    assert (message["revoked_at"], message["body"]) == (moment(4), "Oops!"), "what it said is kept"
    assert (await the_thread(world, number))["last_message_body"] is None


async def test_nobody_edits_or_revokes_what_the_other_side_wrote(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    theirs, ours = wamid(), wamid()

    await deliver(
        meta.message(ada, 1, id=theirs, **text("theirs")),
        meta.echo(ada, 2, id=ours, **text("ours")),
        meta.edit(ada, 3, ours, "changed"),
        meta.revoke(ada, 4, ours),
        meta.echo(ada, 5, type="edit", edit={"original_message_id": theirs, "message": text("changed")}),
        meta.echo(ada, 6, type="revoke", revoke={"original_message_id": theirs}),
    )

    found = [
        (message["body"], message["edited_at"], message["revoked_at"]) for message in await messages(world, number)
    ]
    assert found == [("theirs", None, None), ("ours", None, None)]
    assert (await the_thread(world, number))["last_message_body"] == "ours"


async def test_an_edit_of_what_was_a_placeholder_wins_over_its_content(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()

    await deliver(
        meta.placeholder(ada, 1, id), meta.message(ada, 1, id=id, **text("content")), meta.edit(ada, 2, id, "edited")
    )

    message = await the_message(world, number)
    assert (message["body"], message["is_placeholder"]) == ("edited", False)


async def test_changes_of_a_message_that_never_comes_do_no_harm(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    await deliver(
        meta.edit(ada, 1, "wamid.Gone", "x"),
        meta.revoke(ada, 2, "wamid.Gone"),
        meta.reaction(ada, 3, "wamid.Gone", "x"),
    )

    assert await messages(world, number) == []
    assert await threads(world, number) == []


# --- Echoes ---


async def test_an_echo_is_outgoing_from_the_phone_and_is_never_sent_again(
    world: World, number: Number, meta: Meta, ada: str
) -> None:
    await world.receive(meta.echo(ada, 5, **text("From my phone")))

    message, thread = await the_message(world, number), await the_thread(world, number)
    assert (message["direction"], message["source"], message["status"]) == ("out", "phone", "sent")
    assert (message["outbox_id"], message["body"]) == (None, "From my phone")
    assert (thread["unread_count"], thread["last_inbound_at"]) == (0, None), "no window, nothing to read"
    assert (thread["automation_stopped_at"], thread["last_message_body"]) == (moment(5), "From my phone")
    assert (await the_contact(world, number))["identities"] == [ada]
    assert await world.rows("select id from outbox_messages where connection_id = %s", number.connection.id) == []


async def test_an_echo_has_statuses_edits_and_revocations_like_any_message(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id, gone = wamid(), wamid()
    pricing = {"billable": True, "category": "service"}

    await deliver(
        meta.echo(ada, 1, id=id, **text("helo")),
        meta.status(id, "delivered", 2, pricing=pricing),
        meta.status(id, "failed", 2, errors=[{"code": 131026, "title": "Undeliverable"}]),
        meta.status(id, "read", 3, pricing=pricing),
        meta.echo(ada, 4, type="edit", edit={"original_message_id": id, "message": text("hello")}),
        meta.echo(ada, 5, id=gone, **text("gone")),
        meta.echo(ada, 6, type="revoke", revoke={"original_message_id": gone}),
    )

    first, second = await messages(world, number)
    assert (first["status"], first["body"], first["pricing"]) == ("read", "hello", pricing)
    assert (first["error_code"], first["error_text"]) == (131026, "Undeliverable"), "kept beside the success"
    assert (second["status"], second["revoked_at"]) == ("sent", moment(6))
    assert (
        await world.rows("select status from wa_message_statuses where connection_id = %s", number.connection.id) == []
    )


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["sent"], "sent"),
        (["sent", "failed"], "failed"),
        (["failed", "delivered"], "delivered"),
        (["read"], "read"),
        (["sent", "delivered", "read", "played"], "played"),
        (["played", "failed"], "played"),
    ],
)
async def test_the_furthest_status_is_shown(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver, names: list[str], shown: str
) -> None:
    id = wamid()

    await deliver(
        meta.echo(ada, 1, id=id),
        *(meta.status(id, name, 2, **({"errors": [{"code": 131049}]} if name == "failed" else {})) for name in names),
    )

    message = await the_message(world, number)
    assert (message["status"], message["error_code"]) == (shown, 131049 if "failed" in names else None)


async def test_the_pricing_shown_does_not_depend_on_which_status_came_first(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()

    await deliver(
        meta.echo(ada, 1, id=id),
        meta.status(id, "sent", 2, pricing={"category": "a guess"}),
        meta.status(id, "delivered", 3, pricing={"category": "the price"}),
        meta.status(id, "read", 4),
    )

    assert (await the_message(world, number))["pricing"] == {"category": "the price"}


async def test_a_status_for_a_message_that_never_comes_is_kept(world: World, number: Number, meta: Meta) -> None:
    [outcome] = await world.receive(meta.status("wamid.Unknown", "read", 1))

    assert outcome.outcome == "recorded"
    assert await world.rows(
        "select wa_message_id, status from wa_message_statuses where connection_id = %s", number.connection.id
    ) == [("wamid.Unknown", "read")]


# --- History ---


async def test_history_notifies_nobody_and_opens_no_window(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()

    await deliver(
        meta.history(ada, 1, **text("long ago")),
        meta.history(ada, 2, id=id, ours="DELIVERED", **text("answered")),
        meta.status(id, "read", 3),
        meta.history(ada, 4, ours="ERROR", **text("failed")),
    )

    found = [(message["direction"], message["source"], message["status"]) for message in await messages(world, number)]
    assert found == [("in", "history", None), ("out", "history", "read"), ("out", "history", "failed")]
    thread = await the_thread(world, number)
    assert (thread["status"], thread["unread_count"], thread["last_inbound_at"]) == ("closed", 0, None)
    assert thread["automation_stopped_at"] is None
    assert (thread["last_message_at"], thread["last_message_body"]) == (moment(4), "failed")


async def test_a_message_that_comes_live_and_with_the_history_counts_once_as_live(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()

    await deliver(meta.history(ada, 1, id=id, **text("hello")), meta.message(ada, 1, id=id, **text("hello")))

    message, thread = await the_message(world, number), await the_thread(world, number)
    assert message["source"] == "live"
    assert (thread["status"], thread["unread_count"], thread["last_inbound_at"]) == ("open", 1, moment(1))


async def test_an_echo_that_comes_with_the_history_too_is_from_the_phone_and_keeps_the_furthest_status(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()

    await deliver(meta.history(ada, 1, id=id, ours="READ"), meta.echo(ada, 1, id=id))

    message, thread = await the_message(world, number), await the_thread(world, number)
    assert (message["source"], message["status"]) == ("phone", "read")
    assert thread["automation_stopped_at"] == moment(1)


async def test_a_thread_that_waits_for_the_customer_is_closed_whoever_wrote_first(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    await deliver(meta.history(ada, 1), meta.echo(ada, 2))

    assert (await the_thread(world, number))["status"] == "closed"


async def test_the_media_of_the_history_comes_later(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    theirs, ours = wamid(), wamid()
    image = {"type": "image", "image": {"id": "1", "caption": "The receipt"}}
    media = {"from": ada, "id": theirs, "timestamp": timestamp(1), **image}
    sent = {"from": number.at_meta.display_phone_number, "to": ada, "id": ours, "timestamp": timestamp(2), **image}

    await deliver(
        meta.history(ada, 1, id=theirs, type="media_placeholder"),
        meta.history(ada, 2, id=ours, ours="READ", type="media_placeholder"),
        meta.webhook("history", messages=[media]),
        meta.webhook("history", messages=[sent]),
    )

    found = await messages(world, number)
    assert [(message["type"], message["body"], message["is_placeholder"]) for message in found] == [
        ("image", "The receipt", False)
    ] * 2
    assert [(message["direction"], message["source"], message["status"]) for message in found] == [
        ("in", "history", None), ("out", "history", "read"),
    ]  # fmt: skip
    assert (await the_thread(world, number))["unread_count"] == 0


async def test_the_connection_says_how_far_its_history_is(
    world: World, number: Number, meta: Meta, deliver: Deliver
) -> None:
    await deliver(meta.history_progress(0), meta.history_progress(55))
    row = await connection(world, number)
    assert (row["history_status"], row["history_progress"]) == ("syncing", 55)

    await deliver(meta.history_progress(100), meta.history_progress(80))
    row = await connection(world, number)
    assert (row["history_status"], row["history_progress"]) == ("complete", 100)


@pytest.mark.parametrize("within", [True, False])
async def test_a_business_that_declines_shares_no_history(
    world: World, number: Number, meta: Meta, deliver: Deliver, within: bool
) -> None:
    errors = [{"code": 2593109, "title": "Not shared"}]
    refusal = (
        meta.webhook("history", history=[{"errors": errors}]) if within else meta.webhook("history", errors=errors)
    )

    await deliver(meta.history_progress(0), refusal)

    assert (await connection(world, number))["history_status"] == "declined"


async def test_another_error_of_the_history_declines_nothing(world: World, number: Number, meta: Meta) -> None:
    await world.receive(meta.webhook("history", errors=[{"code": 2593107, "title": "Too often"}]))

    assert (await connection(world, number))["history_status"] is None


# --- Groups and calls ---


async def test_a_group_has_a_thread_of_its_own(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    bob = digits(11)

    await deliver(
        meta.message(ada, 1, **text("to you alone")),
        meta.message(ada, 2, name="Ada", group_id="G.1", **text("to all")),
        meta.message(bob, 3, name="Bob", group_id="G.1", **text("from Bob")),
    )

    people = {contact["phone"]: contact["id"] for contact in await contacts(world, number)}
    found = {thread["group_id"]: thread for thread in await threads(world, number)}
    assert found.keys() == {None, "G.1"}
    assert (found[None]["contact_id"], found[None]["last_message_body"]) == (people[f"+{ada}"], "to you alone")
    assert (found["G.1"]["contact_id"], found["G.1"]["unread_count"]) == (None, 2)
    senders = {message["body"]: message["sender_contact_id"] for message in await messages(world, number)}
    assert senders == {"to you alone": None, "to all": people[f"+{ada}"], "from Bob": people[f"+{bob}"]}


async def test_a_call_opens_the_window_and_is_one_bubble(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    id = wamid()

    await deliver(
        meta.call(ada, 1, "connect", id), meta.call(ada, 61, "terminate", id, status="COMPLETED", duration=60)
    )

    message, thread = await the_message(world, number), await the_thread(world, number)
    assert (message["type"], message["direction"], message["is_placeholder"]) == ("call", "in", False)
    assert (message["content"]["event"], message["content"]["duration"]) == ("terminate", 60)
    assert message["occurred_at"] == thread["last_inbound_at"] == thread["last_message_at"] == moment(61)
    assert (thread["status"], thread["unread_count"]) == ("open", 1)


async def test_a_call_of_ours_opens_nothing(world: World, number: Number, meta: Meta, ada: str) -> None:
    [outcome] = await world.receive(meta.call(ada, 1, "connect", wamid(), direction="BUSINESS_INITIATED"))

    assert outcome.outcome == "recorded"
    assert await messages(world, number) == []


# --- People ---


@pytest.mark.parametrize("hidden", [True, False])
async def test_a_person_with_both_ids_is_one_contact_however_they_come(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver, hidden: bool
) -> None:
    await deliver(
        meta.message(ada, 1, user_id="GB.1", name="Ada"),
        meta.message(None if hidden else ada, 2, user_id="GB.1" if hidden else None),
        meta.message(ada, 3, user_id="GB.1"),
    )

    contact = await the_contact(world, number)
    assert (contact["identities"], contact["phone"], contact["name"]) == (sorted([ada, "GB.1"]), f"+{ada}", "Ada")
    assert (await the_thread(world, number))["unread_count"] == 3


async def test_a_name_that_comes_later_is_the_contacts(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    await deliver(meta.history(ada, 1), meta.echo(ada, 2), meta.message(ada, 3, name="Ada"))

    assert (await the_contact(world, number))["name"] == "Ada"


async def test_two_contacts_that_turn_out_to_be_one_are_reported_and_not_merged(
    world: World, number: Number, meta: Meta, ada: str
) -> None:
    for webhook in (
        meta.message(ada, 1),
        meta.message(None, 2, user_id="GB.1"),
        meta.message(ada, 3, user_id="GB.1"),
        meta.message(ada, 4, user_id="GB.1"),
    ):
        await world.receive(webhook)

    first, second = await contacts(world, number)
    assert (first["identities"], second["identities"]) == ([ada], ["GB.1"])
    assert await world.rows(
        "select contact_id, duplicate_id from contact_duplicates where workspace_id = %s",
        number.connection.workspace_id,
    ) == [tuple(sorted([first["id"], second["id"]]))]
    unread = {thread["contact_id"]: thread["unread_count"] for thread in await threads(world, number)}
    assert unread == {first["id"]: 3, second["id"]: 1}, "the number decides"


@pytest.mark.parametrize("together", [True, False])
async def test_a_person_who_changes_their_number_stays_the_same_contact(
    world: World, number: Number, meta: Meta, ada: str, together: bool
) -> None:
    new = digits(11)
    story = [meta.message(ada, 1), meta.new_number(ada, new, 2), meta.message(new, 3)]

    for webhook in [story[0], batch(*story[1:])] if together else story:
        await world.receive(webhook)

    contact = await the_contact(world, number)
    assert (contact["identities"], contact["phone"]) == (sorted([ada, new]), f"+{new}")
    assert (await the_thread(world, number))["unread_count"] == 2


async def test_a_person_whose_user_id_changes_stays_the_same_contact(
    world: World, number: Number, meta: Meta, ada: str
) -> None:
    changed = {"type": "user_changed_user_id", "body": "Ada from A to B changed from GB.2 to GB.3", "user_id": "GB.3"}

    for webhook in (
        meta.message(None, 1, user_id="GB.1"),
        meta.new_user_id("GB.1", "GB.2", 2),
        meta.message(None, 3, user_id="GB.2"),
        meta.message(None, 4, type="system", system=changed),
        meta.message(None, 5, user_id="GB.3"),
        meta.message(ada, 6, user_id="GB.3"),
    ):
        [outcome] = await world.receive(webhook)
        assert outcome.outcome == "recorded"

    contact = await the_contact(world, number)
    assert contact["identities"] == sorted(["GB.1", "GB.2", "GB.3", ada])
    assert contact["phone"] == f"+{ada}"


async def test_a_new_number_that_is_already_somebody_is_reported(
    world: World, number: Number, meta: Meta, ada: str
) -> None:
    new = digits(11)
    for webhook in (meta.message(ada, 1), meta.message(new, 2), meta.new_number(ada, new, 3)):
        await world.receive(webhook)

    first, second = await contacts(world, number)
    assert (first["phone"], second["phone"]) == (f"+{ada}", f"+{new}")
    [row] = await columns(
        world, "select * from contact_duplicates where workspace_id = %s", number.connection.workspace_id
    )
    assert {row["contact_id"], row["duplicate_id"]} == {first["id"], second["id"]}


async def test_a_number_that_somebody_gave_the_contact_by_hand_stays(
    world: World, number: Number, meta: Meta, ada: str
) -> None:
    await world.receive(meta.message(ada, 1))
    await world.rows(
        "update contacts set phone = '+442071838750' where workspace_id = %s returning id",
        number.connection.workspace_id,
    )
    await world.receive(meta.new_number(ada, digits(11), 2))

    assert (await the_contact(world, number))["phone"] == "+442071838750"


@pytest.mark.parametrize(
    "forms", [("5511987654321", "551187654321"), ("5215512345678", "525512345678"), ("5491123456789", "541123456789")]
)
async def test_both_forms_of_a_number_are_one_person(
    world: World, number: Number, meta: Meta, deliver: Deliver, forms: tuple[str, str]
) -> None:
    await deliver(*(meta.message(form, index) for index, form in enumerate(forms)))

    assert (await the_contact(world, number))["identities"] == sorted(forms), "each as it was written"
    assert (await the_thread(world, number))["unread_count"] == 2


async def test_numbers_that_only_look_alike_are_two_people(world: World, number: Number, meta: Meta) -> None:
    # A landline of São Paulo, and what would be its mobile form.
    for sender in ("551122345678", "5511922345678"):
        await world.receive(meta.message(sender, 1))

    assert len(await contacts(world, number)) == 2


async def test_a_contact_added_by_hand_is_found_by_its_number(
    world: World, number: Number, meta: Meta, ada: str
) -> None:
    await world.rows(
        "insert into contacts (workspace_id, phone, source) values (%s, %s, 'manual') returning id",
        number.connection.workspace_id, f"+{ada}",
    )  # fmt: skip
    await world.receive(meta.message(ada, 1, name="Ada"))

    contact = await the_contact(world, number)
    assert (contact["source"], contact["name"], contact["identities"]) == ("manual", "Ada", [ada])


async def test_the_latest_preference_counts(
    world: World, number: Number, meta: Meta, ada: str, deliver: Deliver
) -> None:
    await deliver(meta.preference(ada, 1, "stop"), meta.preference(ada, 2, "resume"), meta.preference(ada, 3, "stop"))
    assert (await the_contact(world, number))["marketing_opted_out"] is True

    await deliver(meta.preference(ada, 4, "stop"), meta.preference(ada, 5, "resume"))
    contact = await the_contact(world, number)
    assert (contact["marketing_opted_out"], contact["marketing_preference_at"]) == (False, moment(5))


async def test_a_preference_without_a_time_is_of_now(world: World, number: Number, meta: Meta, ada: str) -> None:
    untimed = meta.preference(ada, 1, "stop")
    del untimed["entry"][0]["changes"][0]["value"]["user_preferences"][0]["timestamp"]

    await world.receive(untimed)
    await world.receive(meta.preference(ada, 2, "resume"))

    assert (await the_contact(world, number))["marketing_opted_out"] is True


async def test_the_address_book_names_people_and_opens_no_thread(
    world: World, number: Number, meta: Meta, ada: str
) -> None:
    stranger = digits(11)
    for webhook in (
        meta.address_book(ada, "Ada of the phone"),
        meta.address_book(ada, "Somebody else", action="edit"),
        meta.address_book(ada, None, action="remove"),
        meta.address_book(stranger, None, action="remove"),
    ):
        await world.receive(webhook)

    contact = await the_contact(world, number)
    assert (contact["name"], contact["phone"], contact["source"]) == ("Ada of the phone", f"+{ada}", "address_book")
    assert await threads(world, number) == []


# --- Accounts, numbers, templates ---


async def test_what_is_said_about_a_template_counts_by_when_it_was_said(
    world: World, number: Number, meta: Meta, deliver: Deliver
) -> None:
    await deliver(
        meta.template(1, event="PENDING", reason="NONE"),
        meta.template(2, event="REJECTED", reason="INVALID_FORMAT"),
        meta.template(3, event="APPROVED", reason="NONE"),
        meta.template(4, "message_template_quality_update", new_quality_score="GREEN"),
        meta.template(5, "message_template_quality_update", new_quality_score="RED"),
        meta.template(6, "template_category_update", new_category="UTILITY"),
        meta.template(7, "template_category_update", new_category="MARKETING"),
    )

    [template] = await columns(
        world, "select * from wa_templates where workspace_id = %s", number.connection.workspace_id
    )
    assert (template["template_id"], template["name"], template["language"]) == ("17", "hello", "en_GB")
    assert (template["status"], template["rejected_reason"]) == ("APPROVED", None)
    assert (template["quality"], template["category"]) == ("RED", "MARKETING")


async def test_what_concerns_an_account_concerns_every_workspace_with_a_number_of_it(
    world: World, number: Number, meta: Meta
) -> None:
    other = await world.number(await world.workspace(), waba_id=number.at_meta.waba_id)

    outcomes = await world.receive(batch(meta.template(1, event="APPROVED"), meta.account(LATER, "ACCOUNT_OFFBOARDED")))

    assert [outcome.outcome for outcome in outcomes] == ["recorded", "recorded"]
    for each in (number, other):
        workspace = each.connection.workspace_id
        assert await world.rows("select status from wa_templates where workspace_id = %s", workspace) == [("APPROVED",)]
        assert await world.rows(
            "select kind from meta_webhook_events where workspace_id = %s order by kind", workspace
        ) == [("account",), ("template",)]
        assert (await connection(world, each))["status"] == "paused"


async def test_a_number_is_paused_while_its_account_is_away(
    world: World, number: Number, meta: Meta, deliver: Deliver
) -> None:
    await deliver(meta.account(LATER + 1, "ACCOUNT_OFFBOARDED"))
    row = await connection(world, number)
    assert (row["status"], row["status_reason"]) == ("paused", "Meta: ACCOUNT_OFFBOARDED")

    await deliver(meta.account(LATER + 2, "ACCOUNT_RECONNECTED"), meta.account(LATER + 3, "ACCOUNT_OFFBOARDED"))
    assert (await connection(world, number))["status"] == "paused"

    await deliver(meta.account(LATER + 4, "ACCOUNT_OFFBOARDED"), meta.account(LATER + 5, "ACCOUNT_RECONNECTED"))
    row = await connection(world, number)
    assert (row["status"], row["status_reason"]) == ("active", None)


async def test_a_ban_pauses_and_its_end_resumes(world: World, number: Number, meta: Meta, deliver: Deliver) -> None:
    def ban(at: float, state: str) -> Webhook:
        return meta.account(at, "DISABLED_UPDATE", ban_info={"waba_ban_state": state})

    await deliver(ban(LATER + 1, "SCHEDULE_FOR_DISABLE"), ban(LATER + 2, "DISABLE"))
    assert (await connection(world, number))["status"] == "paused"
    [outcome] = await world.receive(meta.message(digits(11), 1))
    assert outcome.outcome == "recorded", "a paused number still receives"

    await deliver(ban(LATER + 4, "REINSTATE"))
    assert (await connection(world, number))["status"] == "active"


async def test_what_a_person_paused_meta_does_not_resume(world: World, number: Number, meta: Meta) -> None:
    await world.rows(
        "update wa_phone_numbers set status = 'paused', status_reason = 'by hand' where id = %s returning id",
        number.connection.id,
    )
    for webhook in (meta.account(LATER, "ACCOUNT_OFFBOARDED"), meta.account(LATER + 1, "ACCOUNT_RECONNECTED")):
        await world.receive(webhook)

    row = await connection(world, number)
    assert (row["status"], row["status_reason"]) == ("paused", "by hand")


async def test_an_app_that_is_removed_ends_the_connections_and_older_news_changes_nothing(
    world: World, number: Number, meta: Meta
) -> None:
    other = await world.number(await world.workspace(), waba_id=number.at_meta.waba_id)
    await world.receive(meta.account(-86_400, "PARTNER_REMOVED"))
    assert (await connection(world, number))["status"] == "active", "that was before it was connected"

    await world.receive(meta.account(LATER, "PARTNER_REMOVED"))

    for each in (number, other):
        row = await connection(world, each)
        assert (row["status"], row["status_reason"]) == ("inactive", "Meta: PARTNER_REMOVED")
    [outcome] = await world.receive(meta.message(digits(11), 1))
    assert outcome.outcome == "orphan", "kept for the day it is connected again"


async def test_an_event_of_one_number_leaves_the_others_of_the_account_alone(
    world: World, number: Number, meta: Meta
) -> None:
    other = await world.number(await world.workspace(), waba_id=number.at_meta.waba_id)
    written = number.at_meta.display_phone_number

    await world.receive(
        meta.account(LATER, "ACCOUNT_OFFBOARDED", phone_number=f"+{written[0]} {written[1:4]} {written[4:]}")
    )

    assert (await connection(world, number))["status"] == "paused"
    assert (await connection(world, other))["status"] == "active"


async def test_quality_and_name_of_a_number_count_by_when_they_were_said(
    world: World, number: Number, meta: Meta, deliver: Deliver
) -> None:
    shown = {"display_phone_number": number.at_meta.display_phone_number}
    quality, name = "phone_number_quality_update", "phone_number_name_update"

    await deliver(
        meta.account(1, "UPGRADE", quality, current_limit="TIER_1K", **shown),
        meta.account(2, "FLAGGED", quality, current_limit="TIER_10K", **shown),
        meta.webhook(name, time=3, bare=True, decision="APPROVED", requested_verified_name="Acme", **shown),
        meta.webhook(name, time=4, bare=True, decision="APPROVED", requested_verified_name="Acme Ltd", **shown),
        meta.webhook(name, time=5, bare=True, decision="REJECTED", requested_verified_name="Best", **shown),
    )

    row = await connection(world, number)
    assert (row["quality"], row["messaging_limit"], row["verified_name"]) == ("FLAGGED", "TIER_10K", "Acme Ltd")


# --- Automation ---


async def queued(world: World, thread: Thread, *, automated: bool, status: str = "queued") -> UUID:
    [[message_id]] = await world.rows(
        """
        with outbox as (
          insert into outbox_messages (id, workspace_id, channel, connection_id, thread_id, recipient, payload,
            idempotency_key, automated, status, lease_token)
          values (%s, %s, 'whatsapp', %s, %s, '+1', '{}', %s, %s, %s, %s) returning *)
        insert into wa_messages
          (workspace_id, connection_id, thread_id, direction, type, status, outbox_id, occurred_at)
        select workspace_id, connection_id, thread_id, 'out', 'text', 'pending', id, now() from outbox returning id
        """,
        uuid4(), thread.workspace_id, thread.connection_id, thread.id, str(uuid4()), automated, status,
        0 if status == "processing" else None,
    )  # fmt: skip
    return UUID(str(message_id))


@pytest.mark.parametrize("what", ["message", "echo", "call"])
async def test_a_reply_stops_the_automation_of_its_thread(world: World, number: Number, meta: Meta, what: str) -> None:
    ada, bob = digits(11), digits(11)
    thread, other = await world.thread(number, sender=f"+{ada}"), await world.thread(number, sender=f"+{bob}")
    cancelled = await queued(world, thread, automated=True)
    kept = [
        await queued(world, thread, automated=False),
        await queued(world, thread, automated=True, status="processing"),
        await queued(world, other, automated=True),
    ]

    await world.receive(
        {"message": meta.message(ada, 1), "echo": meta.echo(ada, 1), "call": meta.call(ada, 1, "connect", wamid())}[
            what
        ]
    )

    states = dict(await world.rows(
        "select message.id, message.status || ' ' || outbox.status from wa_messages as message"
        " join outbox_messages as outbox on outbox.id = message.outbox_id where message.connection_id = %s",
        number.connection.id,
    ))  # fmt: skip
    assert states.pop(cancelled) == "cancelled cancelled"
    assert [states[message_id] for message_id in kept] == ["pending queued", "pending processing", "pending queued"]


async def test_history_reactions_and_statuses_stop_no_automation(
    world: World, number: Number, meta: Meta, ada: str
) -> None:
    thread = await world.thread(number, sender=f"+{ada}")
    stopped_at = (await the_thread(world, number))["automation_stopped_at"]
    message_id = await queued(world, thread, automated=True)

    await world.receive(batch(
        meta.history(ada, 1), meta.reaction(ada, 2, "wamid.Any", "👍"), meta.status("wamid.Any", "read", 3),
        meta.preference(ada, 4, "stop"), meta.edit(ada, 5, "wamid.Any", "x"), meta.history(ada, 6, ours="READ"),
    ))  # fmt: skip

    assert await world.scalar("select status from wa_messages where id = %s", message_id) == "pending"
    assert (await the_thread(world, number))["automation_stopped_at"] == stopped_at


# --- What can't be used, and what comes too early ---


async def test_a_malformed_item_costs_its_siblings_nothing(world: World, number: Number, meta: Meta, ada: str) -> None:
    body = meta.message(ada, 1, **text("before"))
    items = body["entry"][0]["changes"][0]["value"]["messages"]
    items += [None, {"id": "wamid.NoType"}, {**items[0], "id": wamid(), "text": {"body": "after"}}]
    # No index takes an id of that length.
    items += [{**items[0], "id": "wamid." + secrets.token_hex(5000)}]

    outcomes = await world.receive(body)

    assert [outcome.outcome for outcome in outcomes] == ["recorded", "set_aside", "set_aside", "recorded", "set_aside"]
    assert [message["body"] for message in await messages(world, number)] == ["before", "after"]
    assert await world.rows(
        "select status, error is not null, count(*) from meta_webhook_events where phone_number_id = %s"
        " group by 1, 2 order by 1",
        number.at_meta.phone_number_id,
    ) == [("applied", False, 2), ("set_aside", True, 3)]


async def test_what_postgres_cannot_store_is_replaced(world: World, number: Number, meta: Meta, ada: str) -> None:
    await world.receive(meta.message(ada, 1, name="A\x00da", **text("nul \x00, half \ud83d")))

    assert (await the_message(world, number))["body"] == "nul \N{REPLACEMENT CHARACTER}, half \N{REPLACEMENT CHARACTER}"
    assert (await the_contact(world, number))["name"] == "A\N{REPLACEMENT CHARACTER}da"


async def test_long_ids_of_everything_harm_nobody_else(world: World, number: Number, meta: Meta, ada: str) -> None:
    long = "9" * 5000

    outcomes = await world.receive(batch(
        meta.message(long, 1), meta.message(None, 1, user_id=long), meta.message(ada, 1, group_id=long),
        meta.reaction(ada, 1, long, "x" * 5000), meta.edit(ada, 1, long, "x"), meta.status(long, "read", 1),
        meta.preference(long, 1, "stop"), meta.new_number(ada, long, 1), meta.address_book(long, long),
        meta.call(long, 1, "connect", long), meta.history(long, 1), meta.message(ada, 1, name="N" * 5000),
    ))  # fmt: skip

    assert {outcome.outcome for outcome in outcomes} <= {"recorded", "set_aside"}
    assert outcomes[-1].outcome == "recorded"
    assert len((await the_contact(world, number))["name"]) == 300


async def test_what_came_for_a_number_before_it_was_connected_takes_effect_then(world: World) -> None:
    at_meta, ada, id, ours = world.number_at_meta(), digits(11), wamid(), wamid()
    meta = Meta(at_meta)
    story = (
        meta.status(ours, "read", 3), meta.edit(ada, 2, id, "edited"), meta.message(ada, 1, id=id),
        meta.echo(ada, 2, id=ours), meta.preference(ada, 4, "stop"),
    )  # fmt: skip
    for webhook in (*story, *story):
        [outcome] = await world.receive(webhook)
        assert outcome.outcome == "orphan"

    number = await world.number(await world.workspace(), phone_number_id=at_meta.phone_number_id)

    found = [(message["body"], message["status"]) for message in await messages(world, number)]
    assert found == [("edited", None), ("Hello", "read")]
    assert (await the_contact(world, number))["marketing_opted_out"] is True
    assert await world.rows(
        "select hits, processed_at is not null, count(*) from orphan_webhook_events where phone_number_id = %s"
        " group by 1, 2",
        at_meta.phone_number_id,
    ) == [(2, True, 5)]
    assert {outcome.outcome for outcome in await world.receive(batch(*story))} == {"deduped"}


async def test_the_raw_form_is_kept_as_meta_sent_it(world: World, number: Number, meta: Meta, ada: str) -> None:
    body = meta.message(ada, 1, name="Ada", surprise={"deep": [1, None]})

    await world.receive(body)

    [[raw]] = await world.rows(
        "select raw from meta_webhook_events where phone_number_id = %s", number.at_meta.phone_number_id
    )
    assert json.loads(json.dumps(raw)) == body["entry"][0]
