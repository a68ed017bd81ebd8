"""Meta's webhook without a framework: requests share calls of the database, and never each other's troubles."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from qero import Clients, WebhookEndpoint
from qero.local.asgi import listen, serving
from qero.local.graph import batch, encode, sign, text_webhook
from qero.models.webhook import BODY_LIMIT_BYTES
from qero.services.webhooks import Answer
from tests.support import APP_SECRET, VERIFY_TOKEN, Number, World, digits
from tests.worker.support import Proxy, until

RPC = "ingest_whatsapp_events"
NOTHING = {"recorded": 0, "deduped": 0, "orphan": 0, "set_aside": 0}


def endpoint_of(clients: Clients, **options: Any) -> WebhookEndpoint:
    return WebhookEndpoint(clients.service(), app_secret=APP_SECRET, verify_token=VERIFY_TOKEN, **options)


@pytest.fixture
async def endpoint(clients: Clients) -> AsyncIterator[WebhookEndpoint]:
    async with endpoint_of(clients) as endpoint:
        yield endpoint


@pytest.fixture
async def number(world: World) -> Number:
    return await world.number(await world.workspace())


def text(number: Number, body: str = "Hello", **more: Any) -> dict[str, Any]:
    return text_webhook(number.at_meta, f"+{digits(11)}", body, **more)


def post(endpoint: WebhookEndpoint, webhook: bytes | dict[str, Any]) -> asyncio.Task[Answer]:
    """Post as Meta does. Tasks, so that several come at the same moment."""
    body = webhook if isinstance(webhook, bytes) else encode(webhook)
    return asyncio.ensure_future(endpoint.receive({"X-Hub-Signature-256": sign(body, APP_SECRET)}, body))


async def counts(answer: asyncio.Task[Answer]) -> dict[str, int]:
    given = await answer
    assert (given.status, given.headers["content-type"]) == (200, "application/json"), given.body
    found: dict[str, int] = json.loads(given.body)
    return found


def code(answer: Answer, status: int) -> str:
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json"), answer.body
    problem = json.loads(answer.body)
    assert problem.keys() == {"type", "title", "status", "code", "detail", "errors"}
    return str(problem["code"])


def stored_calls(logs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in logs if event["event"] == "webhooks_stored"]


async def bodies(world: World, number: Number) -> set[str]:
    rows = await world.rows("select body from wa_messages where connection_id = %s", number.connection.id)
    assert len(rows) == len(set(rows))
    return {body for (body,) in rows}


@asynccontextmanager
async def refusing(database: psycopg.AsyncConnection[Any], condition: str) -> AsyncIterator[None]:
    """The database refuses what is so, as it may do for reasons that nobody thought of."""
    await database.execute(
        f"alter table meta_webhook_events add constraint no_thanks check (not ({condition})) not valid".encode()
    )
    try:
        yield
    finally:
        await database.execute("alter table meta_webhook_events drop constraint no_thanks")


# --- Together ---


async def test_requests_that_come_together_are_stored_together_and_each_is_answered_for_itself(
    endpoint: WebhookEndpoint, world: World, number: Number, logs: list[dict[str, Any]]
) -> None:
    unknown = world.number_at_meta()
    again = text(number, "sent twice")
    several = [
        *(post(endpoint, text(number, f"message {index}")) for index in range(197)),
        post(endpoint, again),
        post(endpoint, batch(again, text(number, "beside"), text_webhook(unknown, f"+{digits(11)}", "lost"))),
        post(endpoint, {"object": "whatsapp_business_account", "entry": []}),
    ]

    found = [await counts(answer) for answer in several]

    assert found[:198] == [{**NOTHING, "recorded": 1}] * 198
    assert found[198:] == [{"recorded": 1, "deduped": 1, "orphan": 1, "set_aside": 0}, NOTHING]
    assert await bodies(world, number) == {*(f"message {index}" for index in range(197)), "sent twice", "beside"}
    calls = stored_calls(logs)
    assert len(calls) == sum(event.get("operation") == RPC for event in logs) < 5
    assert sum(call["requests"] for call in calls) == 199, "the empty one needs none"
    assert sum(call["items"] for call in calls) == 201


async def test_one_call_takes_a_thousand_items_at_most(
    endpoint: WebhookEndpoint, number: Number, logs: list[dict[str, Any]]
) -> None:
    sender = f"+{digits(11)}"
    said = [[text_webhook(number.at_meta, sender, "Hello") for _ in range(501)] for _ in range(3)]
    answers = [post(endpoint, batch(*messages)) for messages in said]

    assert [(await counts(answer))["recorded"] for answer in answers] == [501] * 3
    assert sorted(call["items"] for call in stored_calls(logs)) == [501] * 3


async def test_a_call_that_hangs_does_not_hold_up_the_next(
    endpoint: WebhookEndpoint, world: World, number: Number
) -> None:
    sender, other = f"+{digits(11)}", await world.number(await world.workspace())
    thread = await world.thread(number, sender=sender)
    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as somebody:
        await somebody.execute("select from wa_threads where id = %s for update", (thread.id,))
        held_up = post(endpoint, text_webhook(number.at_meta, sender, "waits for the row"))
        await asyncio.sleep(0)  # it comes first

        assert (await counts(post(endpoint, text(other))))["recorded"] == 1
        assert not held_up.done()

    assert (await counts(held_up))["recorded"] == 1


async def test_an_orphan_leaves_a_line_in_the_logs_for_its_number(
    endpoint: WebhookEndpoint, world: World, logs: list[dict[str, Any]]
) -> None:
    one, two = world.number_at_meta(), world.number_at_meta()
    sent = [post(endpoint, text_webhook(number, f"+{digits(11)}", "private words")) for number in (one, two, one)]

    assert [(await counts(answer))["orphan"] for answer in sent] == [1, 1, 1]

    lines = [event for event in logs if event["event"] == "orphan_event"]
    assert sorted((line["phone_number_id"], line["count"]) for line in lines) == sorted(
        [(one.phone_number_id, 2), (two.phone_number_id, 1)]
    )
    assert {line["level"] for line in lines} == {"warning"}
    assert "private words" not in repr(logs)


# --- What the database refuses ---


async def test_an_item_that_the_database_refuses_is_set_aside_and_its_neighbours_do_not_notice(
    endpoint: WebhookEndpoint, world: World, number: Number, logs: list[dict[str, Any]]
) -> None:
    poison = f"poison-{secrets.token_hex(8)}"
    first, last = [text(number, f"message {index}") for index in range(40)], text(number, "after")
    mixed = batch(text(number, "before it"), text(number, poison), text(number, "behind it"))

    async with refusing(world.database, f"raw::text like '%{poison}%'"):
        answers = [post(endpoint, webhook) for webhook in (*first, mixed, last)]
        found = [await counts(answer) for answer in answers]

    assert found == [{**NOTHING, "recorded": 1}] * 40 + [
        {"recorded": 2, "deduped": 0, "orphan": 0, "set_aside": 1},
        {**NOTHING, "recorded": 1},
    ]
    assert len(await bodies(world, number)) == 43
    [(error, raw)] = await world.rows(
        "select error, raw from meta_webhook_events where phone_number_id = %s and status = 'set_aside'",
        number.at_meta.phone_number_id,
    )
    assert "no_thanks" in error
    kept = json.loads(base64.b64decode(raw["base64"]))
    assert (kept["kind"], kept["body"]) == ("message", poison), "nothing of it is lost"
    assert poison not in repr(logs)
    assert sum(event.get("operation") == RPC for event in logs) < 20, "it is found by halves, not one by one"


async def test_what_cannot_even_be_set_aside_is_asked_for_again_alone(
    endpoint: WebhookEndpoint, world: World, number: Number
) -> None:
    other, refused = await world.number(await world.workspace()), text(number)
    condition = f"phone_number_id = '{number.at_meta.phone_number_id}'"

    async with refusing(world.database, condition):
        well, badly = post(endpoint, text(other)), post(endpoint, refused)
        assert (await counts(well))["recorded"] == 1
        assert code(await badly, 503) == "unavailable"

    assert (await counts(post(endpoint, refused)))["recorded"] == 1


# --- Away ---


async def test_while_the_database_is_away_everybody_is_asked_to_come_again_and_nothing_is_lost(
    endpoint: WebhookEndpoint, world: World, number: Number, logs: list[dict[str, Any]]
) -> None:
    with listen() as listener:
        nobody_there = f"http://127.0.0.1:{listener.getsockname()[1]}"
    sent = [text(number, f"message {index}") for index in range(50)]

    async with (
        Clients(world.settings.model_copy(update={"supabase_url": nobody_there})) as clients,
        endpoint_of(clients) as cut_off,
    ):
        answers = await asyncio.gather(*(post(cut_off, webhook) for webhook in sent))

    assert {code(answer, 503) for answer in answers} == {"network_error"}
    assert sum(event["event"] == "request_failed" for event in logs) == 50
    assert [(await counts(post(endpoint, webhook)))["recorded"] for webhook in sent] == [1] * 50


async def test_an_answer_lost_after_the_commit_is_deduped_when_meta_comes_again(world: World, number: Number) -> None:
    sent = [text(number, f"message {index}") for index in range(20)]
    async with Proxy.over(world.settings) as (proxy, clients), endpoint_of(clients) as endpoint:
        proxy.drop_after[RPC] = 1

        lost = await asyncio.gather(*(post(endpoint, webhook) for webhook in sent))
        again = [await counts(post(endpoint, webhook)) for webhook in sent]

    assert {code(answer, 503) for answer in lost} == {"network_error"}
    assert again == [{**NOTHING, "deduped": 1}] * 20
    assert len(await bodies(world, number)) == 20


async def test_our_own_wrong_key_sets_nothing_aside(world: World, number: Number) -> None:
    wrong = world.settings.model_copy(update={"secret_key": None, "publishable_key": "sb_publishable_of_another"})
    async with (
        Clients(wrong.model_copy(update={"secret_key": world.settings.jwt_secret})) as clients,
        endpoint_of(clients) as endpoint,
    ):
        answers = await asyncio.gather(*(post(endpoint, text(number)) for _ in range(3)))

    assert {code(answer, 503) for answer in answers} == {"unavailable"}
    assert await bodies(world, number) == set()


async def test_a_gateway_that_throttles_sets_nothing_aside(world: World, number: Number) -> None:
    asked = 0

    async def pass_on(request: Request) -> Response:
        nonlocal asked
        asked += 1
        if asked == 1:
            return Response("slow down", 429)
        headers = {name: request.headers[name] for name in ("apikey", "authorization", "content-type")}
        url = f"{world.settings.supabase_url}{request.url.path}"
        answer = await world.clients.http.post(url, content=await request.body(), headers=headers)
        return Response(answer.content, answer.status_code, media_type="application/json")

    listener, webhook = listen(), text(number)
    gateway = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with (
        serving(Starlette(routes=[Route("/{path:path}", pass_on, methods=["POST"])]), listener),
        Clients(world.settings.model_copy(update={"supabase_url": gateway})) as clients,
        endpoint_of(clients) as endpoint,
    ):
        assert code(await post(endpoint, webhook), 503) == "unavailable"
        assert asked == 1
        assert (await counts(post(endpoint, webhook)))["recorded"] == 1


# --- Coming and going ---


async def test_a_caller_that_stops_waiting_stops_nothing(
    endpoint: WebhookEndpoint, world: World, number: Number
) -> None:
    stays, goes = post(endpoint, text(number, "stays")), post(endpoint, text(number, "goes"))
    await asyncio.sleep(0)
    goes.cancel()

    assert (await counts(stays))["recorded"] == 1
    assert goes.cancelled()
    assert await bodies(world, number) == {"stays", "goes"}


async def test_when_too_much_waits_meta_is_asked_to_come_again_at_once(
    clients: Clients, world: World, number: Number, logs: list[dict[str, Any]]
) -> None:
    webhooks = [text(number, f"message {index}") for index in range(100)]
    async with endpoint_of(clients, held_bytes=20_000) as endpoint:
        answers = await asyncio.gather(*(post(endpoint, webhook) for webhook in webhooks))
        refused = [webhook for webhook, answer in zip(webhooks, answers, strict=True) if answer.status != 200]
        again = [await counts(post(endpoint, webhook)) for webhook in refused]

    assert 50 < len(refused) < 100
    assert {code(answer, 503) for answer in answers if answer.status != 200} == {"unavailable"}
    assert again == [{**NOTHING, "recorded": 1}] * len(refused), "nothing of these was kept"
    assert len(await bodies(world, number)) == 100


async def test_closing_finishes_what_was_accepted_and_accepts_nothing_more(
    clients: Clients, world: World, number: Number
) -> None:
    endpoint = endpoint_of(clients)
    accepted = [post(endpoint, text(number, f"message {index}")) for index in range(30)]
    await asyncio.sleep(0)

    await endpoint.aclose()

    assert len(await bodies(world, number)) == 30
    assert [(await counts(answer))["recorded"] for answer in accepted] == [1] * 30
    assert code(await post(endpoint, text(number)), 503) == "unavailable"


# --- What is no webhook ---


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-hub-signature-256": "sha256=é"},
        {"X-Hub-Signature-256": "sha256=\udc80"},
        [(b"x-hub-signature-256", b"\xff\xfe")],
        [(b"x-hub-signature", b"sha256=" + b"0" * 64)],
    ],
)
async def test_the_signature_is_checked_before_anything_is_read(endpoint: WebhookEndpoint, headers: Any) -> None:
    for body in (b"not json", encode({"entry": []})):
        assert code(await endpoint.receive(headers, body), 401) == "signature_invalid"


async def test_headers_are_taken_as_asgi_and_as_frameworks_have_them(endpoint: WebhookEndpoint) -> None:
    body = encode({"entry": []})
    signature = sign(body, APP_SECRET)

    for headers in (
        {"X-HUB-SIGNATURE-256": signature},
        [(b"content-type", b"application/json"), (b"x-hub-signature-256", signature.encode())],
    ):
        assert (await endpoint.receive(headers, body)).status == 200


async def test_what_is_signed_and_no_webhook_says_what_is_wrong(endpoint: WebhookEndpoint) -> None:
    assert code(await post(endpoint, b"{"), 400) == "body_not_json"
    assert code(await post(endpoint, b"[]"), 400) == "body_not_an_object"
    assert code(await post(endpoint, b" " * (BODY_LIMIT_BYTES + 1)), 413) == "body_too_large"


def test_meta_verifies_the_address_and_a_stranger_does_not(clients: Clients) -> None:
    endpoint = endpoint_of(clients)
    query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "<b>é</b>"}

    answer = endpoint.verify(urlencode(query).encode())

    assert (answer.status, answer.body.decode()) == (200, "<b>é</b>")
    assert answer.headers == {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    assert endpoint.verify(urlencode(query)).body == answer.body
    assert code(endpoint.verify(urlencode({**query, "hub.verify_token": "é"})), 403) == "verify_token_invalid"
    assert code(endpoint.verify(b"\xff&hub.mode=subscribe"), 403) == "verify_token_invalid"
    assert code(endpoint.verify(urlencode({**query, "hub.challenge": "x" * 1001})), 400) == "invalid_value"


async def test_a_request_that_comes_while_a_call_ends_is_not_forgotten(
    endpoint: WebhookEndpoint, world: World, number: Number
) -> None:
    """One sender after the other, each as soon as it is answered: every moment of a call is hit by somebody."""

    async def send(name: int) -> None:
        for index in range(15):
            assert (await counts(post(endpoint, text(number, f"{name}/{index}"))))["recorded"] == 1

    async with asyncio.timeout(30):
        await asyncio.gather(*(send(name) for name in range(8)))

    async def there() -> bool:
        return len(await bodies(world, number)) == 120

    await until(there)
