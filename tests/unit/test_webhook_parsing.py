"""Taking Meta's webhook bodies apart: nothing is lost, nothing raises, and the same item always has the same key."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from typing import Any, get_args
from uuid import UUID

import pytest

from qero import InvalidInput, LimitExceeded, QeroError
from qero.models.webhook import BODY_LIMIT_BYTES, REPLACEMENT, EventKind, WebhookEvent, parse_body, parse_entry
from tests.support import World
from tests.webhook_bodies import FIXTURES, NUMBER, OTHER_NUMBER, anything, nearly_a_webhook, slightly_wrong

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)


def fixture(name: str) -> list[WebhookEvent]:
    return parse_body((FIXTURES / f"{name}.json").read_bytes())


def message(**changes: Any) -> dict[str, Any]:
    whole = {
        "from": "447700900001",
        "id": "wamid.X",
        "timestamp": "1767225600",
        "type": "text",
        "text": {"body": "Hello"},
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def status(**changes: Any) -> dict[str, Any]:
    whole = {"id": "wamid.X", "status": "sent", "timestamp": "1767225600", **changes}
    return {name: value for name, value in whole.items() if value is not ...}


def body(*messages: Any, **value: Any) -> dict[str, Any]:
    whole = {"metadata": {"phone_number_id": NUMBER}, "messages": list(messages), **value}
    whole = {name: part for name, part in whole.items() if part is not ...}
    return {"entry": [{"id": "800000000000001", "changes": [{"field": "messages", "value": whole}]}]}


def parse(payload: Any) -> list[WebhookEvent]:
    return parse_body(json.dumps(payload).encode())


def item_of(event: WebhookEvent, name: str = "messages") -> Any:
    """The one item that the raw entry of an event holds."""
    [change] = event.raw["changes"]
    [item] = change["value"][name]
    return item


def test_a_text_message() -> None:
    [event] = fixture("text")

    assert event.raw == {
        "id": "800000000000001",
        "changes": [json.loads((FIXTURES / "text.json").read_bytes())["entry"][0]["changes"][0]],
    }
    assert event.model_dump(exclude={"raw"}, exclude_none=True) == {
        "event_key": f"message:{NUMBER}:wamid.TEXT1:content",
        "kind": "message",
        "phone_number_id": NUMBER,
        "waba_id": "800000000000001",
        "occurred_at": MOMENT,
        "wa_message_id": "wamid.TEXT1",
        "direction": "in",
        "wa_id": "447700900001",
        "profile_name": "Ada Example",
        "type": "text",
        "body": "Do you deliver to Łódź? 🚚",
        "content": {"body": "Do you deliver to Łódź? 🚚"},
    }


def test_every_kind_of_message_shows_its_text_and_keeps_its_content() -> None:
    found = [(event.type, event.kind, event.body) for event in fixture("kinds")]

    assert found == [
        ("image", "message", "The receipt"),
        ("audio", "message", None),
        ("location", "message", "The shop"),
        ("contacts", "message", "Bob Card"),
        ("interactive", "message", "Yes, please"),
        ("interactive", "message", "Large"),
        ("button", "message", "Stop"),
        ("order", "message", "Two of these"),
        ("hologram", "message", None),
        ("reaction", "reaction", "👍"),
        ("reaction", "reaction", None),
        ("text", "edit", "Do you?"),
        ("revoke", "revoke", None),
        ("system", "identity", "Changed"),
    ]
    contents = [event.content for event in fixture("kinds")]
    assert contents[0] is not None
    assert contents[0]["id"] == "900001"
    assert contents[3] == {
        "contacts": [
            {
                "name": {"formatted_name": "Bob Card", "first_name": "Bob"},
                "phones": [{"phone": "+44 7700 900002"}],
            }
        ]
    }
    assert contents[8] == {"beam": 1}
    assert all(item_of(event)["id"] == event.wa_message_id for event in fixture("kinds"))
    assert [event.target_id for event in fixture("kinds")[9:]] == [
        "wamid.OUT1", "wamid.OUT1", "wamid.TEXT1", "wamid.TEXT1", None,
    ]  # fmt: skip


def test_what_the_business_writes_on_its_phone_is_an_echo() -> None:
    events = fixture("echoes")

    assert [(event.kind, event.type, event.body, event.target_id, event.status) for event in events] == [
        ("echo", "text", "From the phone", None, "sent"),
        ("edit", "text", "From my phone", "wamid.E1", None),
        ("revoke", "revoke", None, "wamid.E1", None),
        ("reaction", "reaction", "🙏", "wamid.TEXT1", None),
        ("echo", "unsupported", None, None, "sent"),
        ("malformed", None, None, None, None),
    ]
    assert {(event.direction, event.wa_id) for event in events[:5]} == {("out", "447700900001")}, (
        "the customer's number"
    )
    assert [event.is_placeholder for event in events] == [None] * 4 + [True, None]
    assert events[5].reason == "the echo names no recipient"


def test_history_is_taken_apart_into_messages_and_its_progress() -> None:
    events = fixture("history")

    assert [(event.kind, event.wa_message_id, event.direction, event.type, event.status) for event in events] == [
        ("history_sync", None, None, "history", None),
        ("history", "wamid.H1", "in", "text", None),
        ("history", "wamid.H2", "out", "text", "delivered"),
        ("history", "wamid.H3", "in", "media_placeholder", None),
        ("reaction", "wamid.H4", "out", "reaction", None),
        ("malformed", None, None, None, None),
        ("malformed", None, None, None, None),
        ("history_sync", None, None, "history", None),
        ("error", None, None, "history", None),
        ("history", "wamid.H3", "in", "image", None),
        ("history", "wamid.H6", "out", "video", "sent"),
    ]
    assert {event.wa_id for event in events if event.kind == "history"} == {"447700900001"}
    assert (events[3].is_placeholder, events[9].is_placeholder) == (True, None)
    assert events[3].event_key != events[9].event_key, "the media that a placeholder stands for comes later"
    assert (events[0].content, events[7].content) == ({"progress": 55}, {"declined": True})
    assert [event.reason for event in events[5:7]] == [
        "the message's timestamp can't be read", "the thread has no messages",
    ]  # fmt: skip
    [thread] = item_of(events[1], "history")["threads"]
    assert [message["id"] for message in thread["messages"]] == ["wamid.H1"], "nothing of its siblings"


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        ({"history": [{"errors": [{"code": 2593109}]}]}, ["history_sync"]),
        ({"history": [{"errors": [{"code": 2593109}], "threads": []}]}, ["history_sync", "other"]),
        ({"errors": [{"code": 2593109}]}, ["history_sync"]),
        ({"errors": [{"code": 2593107}, None]}, ["error", "error"]),
        ({"history": [{"threads": [], "surprise": 1}]}, ["other"]),
        ({"history": [None, {}, {"threads": []}, {"errors": []}, {"errors": 7}]}, ["other"] * 5),
        ({"history": []}, ["other"]),
    ],
)
def test_only_one_error_says_that_the_business_shares_no_history(value: dict[str, Any], kinds: list[str]) -> None:
    change = {"field": "history", "value": {"metadata": {"phone_number_id": NUMBER}, **value}}
    events = parse({"entry": [{"id": "1", "changes": [change]}]})

    assert [event.kind for event in events] == kinds
    assert all((event.content or {}).get("declined") for event in events if event.kind == "history_sync")
    assert all(parse_entry(event.raw) == [event] for event in events)


def test_a_call_of_a_customer_is_told_apart_from_one_of_ours() -> None:
    connect, terminate, ours, ringing = fixture("calls")

    assert [event.kind for event in (connect, terminate, ours, ringing)] == ["call", "call", "other", "other"]
    assert [(event.wa_message_id, event.is_placeholder) for event in (connect, terminate)] == [
        ("wacid.1", True), ("wacid.1", None),
    ]  # fmt: skip
    assert (connect.wa_id, connect.profile_name) == ("447700900001", "Ada Example")
    assert connect.content is not None
    assert "session" not in connect.content
    assert "session" in item_of(connect, "calls"), "what Meta sent stays whole"
    assert terminate.content is not None
    assert terminate.content["duration"] == 60


def test_what_is_said_about_people() -> None:
    known = {"wa_id", "user_id", "new_wa_id", "new_user_id", "profile_name"}
    found = [
        (event.kind, event.type, event.model_dump(include=known, exclude_none=True)) for event in fixture("people")
    ]

    assert found == [
        ("identity", "system", {"wa_id": "447700900001", "new_wa_id": "447700900005"}),
        ("identity", "system", {"wa_id": "447700900001", "user_id": "GB.old", "new_user_id": "GB.new"}),
        ("other", "system", {"wa_id": "447700900001"}),
        ("identity", "user_id_update", {"wa_id": "447700900001", "user_id": "GB.old", "new_user_id": "GB.new"}),
        ("preference", "stop", {"wa_id": "447700900001"}),
        ("preference", "resume", {"user_id": "GB.new"}),
        ("other", "stop", {"wa_id": "447700900001"}),
        ("address_book", "add", {"wa_id": "447700900002", "profile_name": "Bob in the book"}),
        ("address_book", "remove", {"wa_id": "447700900002"}),
        ("other", "add", {}),
    ]


def test_what_a_message_came_with_is_its_context() -> None:
    [event] = parse(
        body(message(group_id="G.1", context={"id": "wamid.OUT1", "forwarded": True}, referral={"ctwa": 1}))
    )

    assert (event.group_id, event.context) == (
        "G.1", {"id": "wamid.OUT1", "forwarded": True, "referral": {"ctwa": 1}},
    )  # fmt: skip


def test_several_contact_cards_under_one_id_are_an_item_each() -> None:
    cards = [
        message(id="wamid.C", type="contacts", contacts=[{"name": {"formatted_name": name}}]) for name in ("Bob", "Cy")
    ]

    events = parse(body(*cards, cards[0]))

    assert events[0].event_key != events[1].event_key
    assert events[0].event_key == events[2].event_key


def test_statuses() -> None:
    events = fixture("statuses")

    assert [(event.kind, event.wa_message_id, event.status, event.error_code) for event in events] == [
        ("status", "wamid.OUT1", "sent", None),
        ("status", "wamid.OUT1", "read", None),
        ("status", "wamid.OUT2", "failed", 131026),
        ("status", "wamid.OUT3", "delivered", None),
        ("status", "wamid.OUT3", "delivered", None),
        ("other", "wamid.OUT1", "in_orbit", None),
    ]
    assert [event.outbox_id for event in events[:2]] == [UUID("0b0b6a34-5d3f-4c59-9a4e-5a0d2ad3a001"), None]
    assert [event.pricing for event in events[:2]] == [{"billable": True, "category": "service"}, None]
    assert events[2].error_text == "Message undeliverable"
    assert len({event.event_key for event in events}) == 6, "each participant of a group has a status of their own"


@pytest.mark.parametrize("opaque", ["", "not-ours", "x" * 36, 7, None, {}, "0b0b6a345d3f4c599a4e5a0d2ad3a001"])
def test_an_opaque_id_of_somebody_else_is_none_of_ours(opaque: Any) -> None:
    [event] = parse(body(statuses=[status(biz_opaque_callback_data=opaque)], messages=...))

    assert (event.kind, event.outbox_id) == ("status", None)


def test_a_batch_over_entries_and_changes_loses_nothing_and_mixes_no_numbers() -> None:
    events = fixture("batch")

    assert [
        (event.kind, event.phone_number_id, event.wa_message_id or event.type, event.profile_name) for event in events
    ] == [
        ("message", NUMBER, "wamid.B1", "Ada Example"),
        ("message", NUMBER, "wamid.B2", "Bob Example"),
        ("message", NUMBER, "wamid.B1", "Ada Example"),
        ("status", OTHER_NUMBER, "wamid.OUT9", None),
        ("message", OTHER_NUMBER, "wamid.B3", "Cy Example"),
        ("malformed", OTHER_NUMBER, None, None),
        ("message", OTHER_NUMBER, "wamid.B4", "Cy Example"),
        ("account", None, "account_update", None),
    ]
    assert events[0].event_key == events[2].event_key, "a duplicate in one body has the same key"
    assert events[5].reason == "the message names no sender"
    assert item_of(events[5]) == {"id": "wamid.BAD", "type": "text"}
    assert [event.waba_id for event in events] == ["800000000000001"] * 4 + ["800000000000002"] * 4


def test_people_who_hide_their_number_are_known_by_their_id() -> None:
    assert [(event.kind, event.wa_id, event.user_id, event.profile_name) for event in fixture("username_only")] == [
        ("message", None, "GB.1234567890", "Hidden")
    ] * 3


def test_both_ids_of_a_sender_are_kept() -> None:
    [event] = parse(body(message(from_user_id="GB.1"), contacts=[{"user_id": "GB.1", "profile": {"name": "By id"}}]))

    assert (event.wa_id, event.user_id, event.profile_name) == ("447700900001", "GB.1", "By id")


def test_a_placeholder_and_its_content_are_two_items_of_one_message() -> None:
    placeholder, content = fixture("unsupported_then_content")

    assert (placeholder.wa_message_id, placeholder.type) == ("wamid.S1", "unsupported")
    assert (content.wa_message_id, content.body) == ("wamid.S1", "Here it is")
    assert placeholder.event_key != content.event_key


def test_numbers_nulls_and_missing_parts_do_no_harm() -> None:
    numbers, odd_text, nulls, no_route = fixture("bare")

    assert (numbers.kind, numbers.phone_number_id, numbers.wa_id) == ("message", NUMBER, "447700900001")
    assert (numbers.occurred_at, numbers.body, numbers.content) == (MOMENT, None, {})
    assert (odd_text.kind, odd_text.body, odd_text.content) == ("message", None, {"body": 7})
    assert nulls.kind == "other"
    assert (no_route.kind, no_route.phone_number_id, no_route.waba_id) == ("message", None, "800000000000001")


def test_what_is_no_message_is_kept_whole() -> None:
    events = fixture("account_events")

    assert [(event.kind, event.type, event.wa_message_id, event.waba_id) for event in events] == [
        ("template", "message_template_status_update", None, "800000000000001"),
        ("template", "message_template_quality_update", None, "800000000000001"),
        ("template", "template_category_update", None, "800000000000001"),
        ("number", "phone_number_quality_update", None, "800000000000001"),
        ("number", "phone_number_name_update", None, "800000000000001"),
        ("account", "account_update", None, "800000000000001"),
        # The entry is of the business that the account belonged to.
        ("account", "account_update", None, "800000000000001"),
        ("error", "messages", None, "800000000000001"),
        ("message", "text", "wamid.A1", "800000000000001"),
        ("error", "messages", None, "800000000000001"),
        ("other", "field_of_next_year", None, "800000000000001"),
        ("other", "smb_message_echoes", None, "800000000000001"),
    ]
    assert {event.occurred_at for event in events[:7]} == {MOMENT}, "the entry says when"
    assert [event.error_code for event in events if event.kind == "error"] == [130429, 131000]
    assert events[11].raw["changes"][0]["value"]["messages"][0]["id"] == "wamid.ECHO", "nobody's message to us"


def test_the_same_account_event_at_another_time_is_another_event() -> None:
    change = {"field": "account_update", "value": {"event": "ACCOUNT_OFFBOARDED"}}
    first, again, later = (
        parse({"entry": [{"id": "1", "time": time, "changes": [change]}]})[0]
        for time in (1767225600, 1767225600, 1767225700)
    )

    assert first.event_key == again.event_key != later.event_key


@pytest.mark.parametrize("name", ["messages", "statuses"])
@pytest.mark.parametrize("value", [{}, {"id": "x"}, "text", 7, True])
def test_a_list_that_is_none_is_kept(name: str, value: Any) -> None:
    events = parse(body(**{"messages": [message()], name: value}))

    assert events[-1].kind == "other"
    assert events[-1].raw["changes"][0]["value"][name] == value


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (message(id=...), "the message has no id"),
        (message(id=""), "the message has no id"),
        (message(id=None), "the message has no id"),
        (message(id={"a": 1}), "the message has no id"),
        (message(type=...), "the message has no type"),
        (message(type=True), "the message has no type"),
        (message(**{"from": ...}), "the message names no sender"),
        (message(**{"from": None}), "the message names no sender"),
        (message(timestamp=...), "the message's timestamp can't be read"),
        (message(timestamp="yesterday"), "the message's timestamp can't be read"),
        (message(timestamp="-5"), "the message's timestamp can't be read"),
        (message(timestamp="9" * 5000), "the message's timestamp can't be read"),
        (message(timestamp=1.5), "the message's timestamp can't be read"),
        (None, "the message has no id"),
        ("text", "the message has no id"),
        ([], "the message has no id"),
    ],
)
def test_a_malformed_message_is_set_aside_with_its_reason_and_costs_its_sibling_nothing(item: Any, reason: str) -> None:
    bad, good = parse(body(item, message(id="wamid.GOOD")))

    assert (bad.kind, bad.reason, item_of(bad), bad.phone_number_id) == ("malformed", reason, item, NUMBER)
    assert parse_entry(bad.raw) == [bad]
    assert (good.kind, good.wa_message_id) == ("message", "wamid.GOOD")


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (status(id=...), "the status has no id"),
        (status(status=...), "the status has no status"),
        (status(timestamp="soon"), "the status has no readable timestamp"),
        (7, "the status has no id"),
    ],
)
def test_a_malformed_status_is_set_aside_with_its_reason(item: Any, reason: str) -> None:
    bad, good = parse(body(statuses=[item, status(errors=[None])]))

    assert (bad.kind, bad.reason) == ("malformed", reason)
    assert (good.kind, good.error_code) == ("status", None)


@pytest.mark.parametrize(
    ("payload", "kinds"),
    [
        ({}, ["malformed"]),
        ({"entry": None}, ["malformed"]),
        ({"entry": {}}, ["malformed"]),
        ({"entry": []}, []),
        ({"entry": [None]}, ["malformed"]),
        ({"entry": [{"id": 5}]}, ["malformed"]),
        ({"entry": [{"changes": []}]}, []),
        ({"entry": [{"changes": [None, 7, {}]}]}, ["other", "other", "other"]),
        ({"entry": [{"changes": [{"field": "messages", "value": None}]}]}, ["other"]),
        ({"entry": [{"changes": [{"field": "messages", "value": {"messages": []}}]}]}, ["other"]),
        ({"entry": [{"changes": [{"field": None, "value": {"messages": [message()]}}]}]}, ["other"]),
    ],
)
def test_envelopes_of_any_shape(payload: Any, kinds: list[str]) -> None:
    assert [event.kind for event in parse(payload)] == kinds


def test_meta_escapes_slashes_and_unicode() -> None:
    raw = json.dumps(body(message(text={"body": "é http://x/ 😀"}))).replace("/", "\\/").encode()
    assert rb"\u00e9" in raw
    assert rb"\ud83d\ude00" in raw

    [event] = parse_body(raw)

    assert event.body == "é http://x/ 😀"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("a\x00b", f"a{REPLACEMENT}b"),
        ("a\ud83db", f"a{REPLACEMENT}b"),
        ("\ude00", REPLACEMENT),
        ("\ud83d\ude00 \ud83d", f"😀 {REPLACEMENT}"),
        (r"a\u0000b", r"a\u0000b"),
    ],
)
def test_what_postgres_cannot_store_is_replaced_everywhere(sent: str, stored: str) -> None:
    first = body(
        message(text={"body": sent}, id=f"wamid.{sent}", **{sent: sent}),
        contacts=[{"wa_id": "447700900001", "profile": {"name": sent}}],
    )

    [event] = parse(first)

    assert (event.body, event.profile_name, event.wa_message_id) == (stored, stored, f"wamid.{stored}")
    assert item_of(event)[stored] == stored
    event.model_dump_json().encode()


@pytest.mark.parametrize(
    "raw",
    [b"", b"no", b"{", b'{"a":1}x', b'{"a":NaN}', b'{"a":Infinity}', b'{"a":"\xff"}', b'{"a":"\x00"}', b"\xef\xbb\xbf",
     b'{"a":"\\ud800","b":NaN}', b'{"entry":' + b"9" * 5000 + b"}"],
)  # fmt: skip
def test_what_is_no_json_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_body(raw)

    assert error.value.code == "body_not_json"


@pytest.mark.parametrize("raw", [b"[]", b"null", b'"x"', b"7", b"true"])
def test_what_is_no_object_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput) as error:
        parse_body(raw)

    assert error.value.code == "body_not_an_object"


def test_a_body_is_bounded_in_size() -> None:
    start, end = b'{"entry":[],"x":"', b'"}'
    filling = b"x" * (BODY_LIMIT_BYTES - len(start) - len(end))
    assert parse_body(start + filling + end) == []

    with pytest.raises(LimitExceeded) as error:
        parse_body(start + filling + b"x" + end)

    assert error.value.status == 413
    assert error.value.detail == {"bytes": BODY_LIMIT_BYTES + 1, "limit": BODY_LIMIT_BYTES}


@pytest.mark.parametrize("odd", ["", r"\ud800", r"\u0000"])
@pytest.mark.parametrize("depth", [205, 300, 900, 100_000, 1_000_000])
def test_a_body_is_bounded_in_depth_also_where_the_tolerant_reader_reads_it(odd: str, depth: int) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        nested = opening * (depth // len(opening)) + "1" + closing * (depth // len(opening))
        if depth // len(opening) < 205:
            continue
        with pytest.raises(LimitExceeded) as error:
            parse_body(f'{{"odd":"{odd}","entry":{nested}}}'.encode())
        assert error.value.code == "body_too_large"


@pytest.mark.parametrize("odd", ["", "\ud800", "\x00"])
def test_deep_but_bounded_nesting_is_kept(odd: str) -> None:
    nested: Any = odd
    for _ in range(180):
        nested = [nested]

    [event] = parse(body(message(nested=nested)))

    json.dumps(event.model_dump(mode="json"))


def test_ids_that_no_index_would_take_do_not_reach_one() -> None:
    long = "9" * 10_000
    payload = body(message(id=long), metadata={"phone_number_id": long}, statuses=[status(id=long)])
    payload["entry"][0]["id"] = long

    events = parse(payload)

    assert [(event.phone_number_id, event.waba_id) for event in events] == [(None, None)] * 2
    assert all(len(event.event_key) <= 512 for event in events)
    assert item_of(events[0])["id"] == long


def test_the_key_is_of_the_item_and_not_of_its_surroundings() -> None:
    alone = parse(body(message(id="wamid.1")))
    among = parse(body(message(id="wamid.0"), message(id="wamid.1"), contacts=[{"wa_id": "447700900001"}]))
    elsewhere = parse(body(message(id="wamid.1"), metadata={"phone_number_id": OTHER_NUMBER}))

    assert alone[0].event_key == among[1].event_key
    assert alone[0].event_key != elsewhere[0].event_key
    # An item without an id goes by its content, whatever the order of its names.
    odd, same = {"type": "text", "from": "1"}, {"from": "1", "type": "text"}
    assert parse(body(odd))[0].event_key == parse(body(same))[0].event_key
    assert parse(body(odd))[0].event_key != parse(body({**odd, "from": "2"}))[0].event_key


def test_the_raw_form_of_every_kind_gives_the_same_item_again() -> None:
    events = [event for path in sorted(FIXTURES.glob("*.json")) for event in parse_body(path.read_bytes())]

    assert {event.kind for event in events} == {*get_args(EventKind)}
    for event in events:
        assert parse_entry(event.raw) == [event]
        assert parse_entry(json.loads(json.dumps(event.raw))) == [event], "also after it was stored"
        assert len(json.dumps(event.raw)) < 1500, "and nothing of its siblings"


# --- Anything at all ---


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("make", [anything, nearly_a_webhook, slightly_wrong])
def test_any_json_becomes_storable_events_or_a_typed_error(make: Any, seed: int) -> None:
    source = random.Random(seed)
    events = 0
    for _ in range(400):
        raw = json.dumps(make(source)).encode()
        try:
            first = parse_body(raw)
        except QeroError as error:
            json.dumps(error.to_dict())
            continue
        for event in first:
            text = json.dumps(event.model_dump(mode="json", exclude_none=True), allow_nan=False, ensure_ascii=False)
            assert "\x00" not in json.dumps(text)
            assert rb"\u0000" not in text.encode("utf-8"), "encoding fails on half a surrogate pair"
            assert 1 <= len(event.event_key) <= 512
            assert (event.kind == "malformed") == (event.reason is not None)
            assert parse_entry(event.raw) == [event], "the raw form of an item says all of it"
        assert first == parse_body(raw)
        events += len(first)
    assert events > 30


def test_broken_bytes_give_events_or_a_typed_error() -> None:
    source = random.Random(5)
    bodies = [file.read_bytes() for file in FIXTURES.glob("*.json")]
    for _ in range(1500):
        raw = bytearray(source.choice(bodies))
        for _ in range(source.randrange(1, 8)):
            raw[source.randrange(len(raw))] = source.randrange(256)
        try:
            events = parse_body(bytes(raw[: source.randrange(len(raw))] if source.random() < 0.2 else raw))
        except InvalidInput:
            continue
        for event in events:
            event.model_dump_json()


async def test_the_database_stores_whatever_the_parser_lets_through(world: World) -> None:
    number = await world.number(await world.workspace())
    source = random.Random(11)
    payloads = [make(source) for _ in range(40) for make in (nearly_a_webhook, slightly_wrong)]
    long = "".join(source.choices("0123456789", k=10_000))
    odd = body(
        message(id=long), message(**{"from": "GB.\x00\ud800"}), message(type="\x00"), statuses=[status(id="\x00")]
    )
    odd["entry"].append({"id": long, "changes": [{"field": "x", "value": {"n": 10**30, "d": 1e300}}]})
    odd["entry"].append(body(message(), metadata={"phone_number_id": long})["entry"][0])

    for payload in [*payloads, odd]:
        text = json.dumps(payload).replace(f'"{NUMBER}"', f'"{number.at_meta.phone_number_id}"')
        parsed = parse_body(text.encode())
        outcomes = await world.receive(json.loads(text))
        assert len(outcomes) == len(parsed)
        again = await world.receive(json.loads(text))
        assert {outcome.outcome for outcome in again} <= {"deduped", "orphan"}


def test_what_comes_beside_messages_is_kept_too() -> None:
    change = {
        "field": "messages",
        "value": {
            "metadata": {"phone_number_id": NUMBER},
            "messages": [message()],
            "calls": [{"id": "wacid.1", "event": "connect"}],
            "surprise": 1,
        },
    }

    found, call, rest = parse({"entry": [{"id": "1", "changes": [change]}]})

    assert [event.kind for event in (found, call, rest)] == ["message", "other", "other"]
    assert item_of(call, "calls") == {"id": "wacid.1", "event": "connect"}
    assert rest.raw["changes"][0]["value"] == {"metadata": {"phone_number_id": NUMBER}, "surprise": 1}
