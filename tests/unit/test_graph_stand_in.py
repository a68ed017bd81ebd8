"""The stand-in refuses what Meta would refuse, and its webhooks look and are signed like Meta's."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from qero.local.graph import (
    GraphFault,
    GraphStandIn,
    Hang,
    Number,
    batch,
    encode,
    fingerprint,
    sign,
    status_webhook,
    text_webhook,
)

NUMBER = Number("1234567890", "EAAfirst", display_phone_number="15550001111", waba_id="8856996819413533")
OTHER = Number("222", "EAAsecond")
PATH = f"/v26.0/{NUMBER.phone_number_id}/messages"
MESSAGE = {
    "messaging_product": "whatsapp",
    "to": "+250788123200",
    "type": "text",
    "text": {"body": "Hello"},
    "biz_opaque_callback_data": "row-1",
}


@pytest.fixture
async def graph() -> AsyncIterator[GraphStandIn]:
    async with GraphStandIn.serve([NUMBER, OTHER]) as stand_in:
        yield stand_in


async def post(
    graph: GraphStandIn,
    body: Any = MESSAGE,
    *,
    path: str = PATH,
    token: str | None = NUMBER.access_token,
    scheme: str = "Bearer",
    method: str = "POST",
) -> httpx.Response:
    headers = {"Authorization": f"{scheme} {token}"} if token else {}
    async with httpx.AsyncClient(base_url=graph.url, headers=headers) as http:
        return await http.request(method, path, json=body)


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in MESSAGE.items() if name != key}


def text(**content: Any) -> dict[str, Any]:
    return {**MESSAGE, "text": content}


def content(kind: str, value: Any) -> dict[str, Any]:
    return {"messaging_product": "whatsapp", "to": "+250788123200", "type": kind, kind: value}


def template(**changes: Any) -> dict[str, Any]:
    return content("template", {"name": "order_ready", "language": {"code": "en_US"}, **changes})


def body_parameter(**parameter: Any) -> dict[str, Any]:
    return template(components=[{"type": "body", "parameters": [parameter]}])


def interactive(kind: str, action: dict[str, Any], **more: Any) -> dict[str, Any]:
    return content("interactive", {"type": kind, "body": {"text": "Well?"}, "action": action, **more})


def buttons(*replies: tuple[str, str]) -> dict[str, Any]:
    return interactive(
        "button", {"buttons": [{"type": "reply", "reply": {"id": id_, "title": title}} for id_, title in replies]}
    )


def rows(count: int, **more: Any) -> dict[str, Any]:
    return {"rows": [{"id": str(index), "title": "A"} for index in range(count)], **more}


READ_RECEIPT = {"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.ABC"}
ANSWER_BUTTON = {"type": "reply", "reply": {"id": "yes", "title": "Yes"}}
CARD = {"name": {"formatted_name": "Ada", "first_name": "Ada"}}


@pytest.mark.parametrize(
    "body",
    [
        MESSAGE,
        without("type"),
        text(body="x" * 4096, preview_url=True),
        {**without("to"), "recipient": "US.13491208655302741918"},
        {
            **MESSAGE,
            "recipient": "US.1",
            "recipient_type": "individual",
            "context": {"message_id": "wamid.A"},
        },
        {**MESSAGE, "biz_opaque_callback_data": "x" * 512},
        template(),
        body_parameter(type="text", text="Ada", parameter_name="first_name"),
        template(
            components=[
                {
                    "type": "button",
                    "sub_type": "quick_reply",
                    "index": "0",
                    "parameters": [{"type": "payload", "payload": "p"}],
                }
            ]
        ),
        content("image", {"link": "https://example.com/a.png", "caption": "A"}),
        content("document", {"id": "555", "filename": "a.pdf"}),
        content("audio", {"id": "555"}),
        content("reaction", {"message_id": "wamid.A", "emoji": ""}),
        content("location", {"latitude": 1.5, "longitude": "30.1", "name": "Kigali"}),
        content("contacts", [CARD]),
        content(
            "interactive",
            {"type": "button", "body": {"text": "Sure?"}, "action": {"buttons": [ANSWER_BUTTON]}},
        ),
        interactive("list", {"button": "Choose", "sections": [{"rows": [{"id": "a", "title": "A"}]}]}),
        interactive("cta_url", {"name": "cta_url", "parameters": {"display_text": "Look", "url": "https://x.y"}}),
        interactive("location_request_message", {"name": "send_location"}),
        content("interactive", {"type": "flow", "action": {"name": "flow"}}),
    ],
)
async def test_what_meta_takes_is_taken_and_recorded(graph: GraphStandIn, body: dict[str, Any]) -> None:
    answer = await post(graph, body)

    assert answer.status_code == 200, answer.text
    [sent] = graph.sent
    assert sent.payload == body
    assert answer.json()["messages"][0]["id"] == sent.wamid


async def test_the_answer_has_metas_shape(graph: GraphStandIn) -> None:
    to_phone = (await post(graph)).json()
    to_user = (await post(graph, {**without("to"), "recipient": "US.1"})).json()

    assert to_phone == {
        "messaging_product": "whatsapp",
        "contacts": [{"input": "+250788123200", "wa_id": "250788123200"}],
        "messages": [{"id": graph.sent[0].wamid}],
    }
    assert to_user["contacts"] == [{"input": "US.1", "user_id": "US.1"}]
    assert graph.sent[0].wamid.startswith("wamid.")
    assert graph.sent[0].wamid != graph.sent[1].wamid
    assert graph.sent[0].opaque_id == "row-1"
    assert graph.sent[0].token_fingerprint == fingerprint(NUMBER.access_token)
    assert NUMBER.access_token not in repr(graph.sent) + repr(NUMBER)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (None, 100),
        ([MESSAGE], 100),
        (without("messaging_product"), 100),
        ({**MESSAGE, "messaging_product": "sms"}, 100),
        (without("to"), 100),
        ({**MESSAGE, "to": "250788123200"}, 131009),
        ({**MESSAGE, "to": "+0788123200"}, 131009),
        ({**MESSAGE, "to": 250788123200}, 131009),
        ({**without("to"), "recipient": "13491208655302741918"}, 131009),
        ({**MESSAGE, "recipient_type": "everyone"}, 131009),
        ({**MESSAGE, "type": "telegram"}, 131009),
        ({**MESSAGE, "type": ["text"]}, 131009),
        (without("text"), 131008),
        ({**MESSAGE, "text": "Hello"}, 131009),
        ({**MESSAGE, "image": {"id": "1"}}, 100),
        ({**MESSAGE, "colour": "green"}, 100),
        ({**MESSAGE, "biz_opaque_callback_data": "x" * 513}, 100),
        ({**MESSAGE, "context": {}}, 131008),
        (text(), 131008),
        (text(body=""), 131008),
        (text(body=7), 131009),
        (text(body="x" * 4097), 100),
        (text(body="a", preview_url="true"), 131009),
        (text(body="a", font="serif"), 100),
        (template(name=""), 131008),
        (template(name="Order Ready"), 131009),
        (template(language="en_US"), 131009),
        (template(language={}), 131008),
        (template(language={"code": "english!"}), 131009),
        (template(components={}), 131009),
        (template(components=["body"]), 131009),
        (template(components=[{"parameters": []}]), 131008),
        (template(components=[{"type": "button", "index": 0}]), 131008),
        (template(components=[{"type": "button", "sub_type": "url"}]), 131009),
        (body_parameter(type="text"), 100),
        (body_parameter(type="text", text=9999), 100),
        (body_parameter(type="emoji", emoji="x"), 131009),
        (content("image", {}), 131008),
        (content("image", {"id": "1", "link": "https://example.com"}), 131008),
        (content("image", {"link": "file:///etc/passwd"}), 131009),
        (content("audio", {"id": "1", "caption": "la"}), 100),
        (content("reaction", {"message_id": "wamid.A"}), 131008),
        (content("location", {"latitude": 91, "longitude": 0}), 131009),
        (content("location", {"latitude": 1}), 131008),
        (content("contacts", []), 131008),
        (content("contacts", [{"phones": []}]), 131008),
        (content("interactive", {"type": "button"}), 131008),
        (content("interactive", {"type": "hologram", "action": {}}), 131009),
        (content("interactive", {"type": "button", "action": {"buttons": [ANSWER_BUTTON]}}), 131008),
        (buttons(), 131009),
        (buttons(("1", "A"), ("2", "B"), ("3", "C"), ("4", "D")), 131009),
        (buttons(("1", "A"), ("1", "B")), 131009),
        (buttons(("1", "A"), ("2", "A")), 131009),
        (buttons(("1", "a title of 21 letters")), 100),
        (interactive("list", {"button": "Choose", "sections": [rows(6), rows(5)]}), 131008),
        (interactive("list", {"button": "Choose", "sections": [rows(6, title="1"), rows(5, title="2")]}), 131009),
        (interactive("list", {"button": "Choose", "sections": [rows(2, title="1"), rows(1, title="2")]}), 131009),
        (
            interactive("list", {"button": "Choose", "sections": [rows(1)]}, header={"type": "image", "image": {}}),
            131009,
        ),
        (interactive("cta_url", {"name": "cta_url", "parameters": {"display_text": "A", "url": "x.y"}}), 131009),
        (interactive("location_request_message", {"name": "send_money"}), 131009),
        (
            interactive("location_request_message", {"name": "send_location"}, header={"type": "text", "text": "A"}),
            131009,
        ),
        (content("contacts", [{"name": {"formatted_name": "Ada"}}]), 131008),
        ({**MESSAGE, "context": {"message_id": "17"}}, 131009),
        ({**READ_RECEIPT, "status": "delivered"}, 131009),
        ({"messaging_product": "whatsapp", "status": "read"}, 131008),
        ({**READ_RECEIPT, "typing_indicator": {"type": "dance"}}, 131009),
        ({**READ_RECEIPT, "to": "+250788123200"}, 100),
    ],
)
async def test_what_meta_refuses_is_refused_with_its_code(graph: GraphStandIn, body: Any, code: int) -> None:
    answer = await post(graph, body)

    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["code"] == code
    assert error["message"].startswith(f"(#{code}) ")
    assert error["type"] == "OAuthException"
    assert error["fbtrace_id"]
    assert "error_data" not in error or error["error_data"]["messaging_product"] == "whatsapp"
    assert not graph.sent
    assert not graph.read_receipts
    assert [(refused.code, refused.body) for refused in graph.refused] == [(code, body)]


@pytest.mark.parametrize(
    ("changes", "status", "code", "subcode"),
    [
        ({"token": None}, 401, 190, None),
        ({"token": "EAAunknown"}, 401, 190, None),
        ({"scheme": "Basic"}, 401, 190, None),
        ({"token": OTHER.access_token}, 401, 190, 467),
        ({"path": "/v26.0/999/messages"}, 400, 100, 33),
        ({"path": f"/v26.0/{NUMBER.phone_number_id}/messages/media"}, 400, 100, 33),
        ({"method": "GET"}, 400, 100, 33),
        ({"path": f"/v99.0/{NUMBER.phone_number_id}/messages"}, 400, 2500, None),
        ({"path": f"/{NUMBER.phone_number_id}/messages"}, 400, 2500, None),
    ],
)
async def test_only_the_numbers_own_token_may_post_to_its_messages(
    graph: GraphStandIn, changes: dict[str, Any], status: int, code: int, subcode: int | None
) -> None:
    answer = await post(graph, **changes)

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error.get("error_subcode")) == (status, code, subcode)
    assert graph.sent == []


async def test_a_body_that_is_not_json_is_refused(graph: GraphStandIn) -> None:
    async with httpx.AsyncClient(base_url=graph.url) as http:
        headers = {"Authorization": f"Bearer {NUMBER.access_token}"}
        form = await http.post(PATH, headers=headers, data={"messaging_product": "whatsapp"})
        broken = await http.post(PATH, headers={**headers, "Content-Type": "application/json"}, content="{")

    assert [answer.json()["error"]["code"] for answer in (form, broken)] == [100, 100]


async def test_read_receipts_are_taken_and_are_not_messages(graph: GraphStandIn) -> None:
    answer = await post(graph, {**READ_RECEIPT, "typing_indicator": {"type": "text"}})

    assert answer.json() == {"success": True}
    assert graph.sent == []
    assert graph.read_receipts[0]["message_id"] == "wamid.ABC"


async def test_faults_meet_only_whom_they_were_planned_for_and_end(graph: GraphStandIn) -> None:
    graph.next_answer(GraphFault(130429), phone_number_id=OTHER.phone_number_id)
    graph.next_answer(GraphFault(131056), times=2, recipient="+15550009999")
    stranger = {**MESSAGE, "to": "+15550009999"}

    codes = []
    for body, number in [
        (MESSAGE, NUMBER),
        (stranger, NUMBER),
        (MESSAGE, OTHER),
        (stranger, OTHER),
        (stranger, NUMBER),
    ]:
        path = f"/v26.0/{number.phone_number_id}/messages"
        answer = await post(graph, body, path=path, token=number.access_token)
        codes.append(answer.json().get("error", {}).get("code"))

    assert codes == [None, 131056, 130429, 131056, None]


async def test_a_fault_waits_for_a_valid_message(graph: GraphStandIn) -> None:
    graph.next_answer(GraphFault(131016))

    assert (await post(graph, text(body=""))).json()["error"]["code"] == 131008
    assert (await post(graph)).json()["error"]["code"] == 131016
    assert (await post(graph)).status_code == 200


async def test_planned_faults_can_be_taken_back(graph: GraphStandIn) -> None:
    graph.next_answer(GraphFault(131016), times=None)
    assert [(await post(graph)).status_code for _ in range(3)] == [503, 503, 503]

    graph.clear_faults()

    assert (await post(graph)).status_code == 200


async def test_the_stand_in_stops_while_a_request_hangs() -> None:
    async with GraphStandIn.serve([NUMBER]) as graph:
        graph.next_answer(Hang(accepts=False))
        async with httpx.AsyncClient(base_url=graph.url, timeout=0.2) as http:
            with pytest.raises(httpx.ReadTimeout):
                await http.post(PATH, json=MESSAGE, headers={"Authorization": f"Bearer {NUMBER.access_token}"})

    assert graph.sent == []


# --- Webhooks ---

AT = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


async def test_a_status_names_the_message_and_carries_its_opaque_id(graph: GraphStandIn) -> None:
    await post(graph)
    [sent] = graph.sent

    webhook = status_webhook(sent, "delivered", at=AT)

    assert webhook["object"] == "whatsapp_business_account"
    [entry] = webhook["entry"]
    [change] = entry["changes"]
    assert (entry["id"], change["field"]) == (NUMBER.waba_id, "messages")
    value = change["value"]
    assert value["messaging_product"] == "whatsapp"
    assert value["metadata"] == {"display_phone_number": "15550001111", "phone_number_id": "1234567890"}
    assert value["contacts"] == [{"wa_id": "250788123200"}]
    [status] = value["statuses"]
    assert {key: status[key] for key in ("id", "status", "timestamp", "recipient_id")} == {
        "id": sent.wamid,
        "status": "delivered",
        "timestamp": str(int(AT.timestamp())),
        "recipient_id": "250788123200",
    }
    assert status["biz_opaque_callback_data"] == "row-1"


async def test_a_status_for_a_user_id_names_no_phone_number(graph: GraphStandIn) -> None:
    await post(graph, {**without("to"), "recipient": "US.1"})

    [status] = status_webhook(graph.sent[0], "read")["entry"][0]["changes"][0]["value"]["statuses"]

    assert status["recipient_user_id"] == "US.1"
    assert "recipient_id" not in status


async def test_a_failed_status_carries_the_error_and_no_contacts(graph: GraphStandIn) -> None:
    await post(graph)

    value = status_webhook(graph.sent[0], "failed", error_code=131047)["entry"][0]["changes"][0]["value"]

    assert "contacts" not in value
    assert value["statuses"][0]["errors"][0]["code"] == 131047
    with pytest.raises(ValueError, match="error_code"):
        status_webhook(graph.sent[0], "failed")


def test_an_incoming_text_has_metas_shape() -> None:
    value = text_webhook(NUMBER, "+250788123200", "Hello", name="Kerry", user_id="US.1", wamid="wamid.A", at=AT)[
        "entry"
    ][0]["changes"][0]["value"]

    assert value["contacts"] == [{"profile": {"name": "Kerry"}, "wa_id": "250788123200", "user_id": "US.1"}]
    assert value["messages"] == [
        {
            "from": "250788123200",
            "from_user_id": "US.1",
            "id": "wamid.A",
            "timestamp": str(int(AT.timestamp())),
            "text": {"body": "Hello"},
            "type": "text",
        }
    ]


def test_a_person_who_hides_the_phone_number_has_no_from() -> None:
    value = text_webhook(NUMBER, "US.1", "Hello")["entry"][0]["changes"][0]["value"]

    assert value["messages"][0]["from_user_id"] == "US.1"
    assert "from" not in value["messages"][0]
    assert "wa_id" not in value["contacts"][0]


def test_a_batch_keeps_every_entry_in_order() -> None:
    first, second = text_webhook(NUMBER, "+250788123200", "1"), text_webhook(OTHER, "+250788123200", "2")

    assert batch(first, second, first)["entry"] == first["entry"] + second["entry"] + first["entry"]


def test_bytes_are_escaped_as_meta_does_and_signed_as_they_are() -> None:
    webhook = text_webhook(NUMBER, "+250788123200", "Muraho 👋 é https://example.com/a")

    body = encode(webhook)

    assert rb"Muraho \ud83d\udc4b \u00e9 https:\/\/example.com\/a" in body
    assert body.isascii()
    assert json.loads(body) == webhook
    expected = hmac.new(b"app secret", body, hashlib.sha256).hexdigest()
    assert sign(body, "app secret") == f"sha256={expected}"
    assert sign(body + b" ", "app secret") != sign(body, "app secret")
