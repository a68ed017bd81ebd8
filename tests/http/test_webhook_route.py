"""Meta's webhook over HTTP: verified, stored, and answered 200 only when it is."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from qero import Settings
from qero.local.asgi import listen
from qero.local.graph import batch, encode, sign, text_webhook
from qero.models.webhook import BODY_LIMIT_BYTES
from tests.http.support import WEBHOOK, post_webhook, problem, serve
from tests.support import APP_SECRET, VERIFY_TOKEN, World, digits
from tests.worker.support import QERO, environment, until


async def stored(world: World, number: Any) -> int:
    count = await world.scalar(
        "select (select count(*) from meta_webhook_events where phone_number_id = %s)"
        " + (select count(*) from orphan_webhook_events where phone_number_id = %s)",
        number.at_meta.phone_number_id,
        number.at_meta.phone_number_id,
    )
    return int(count)


async def test_meta_verifies_the_address(routes: httpx.AsyncClient) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "<b>115</b>"}

    answer = await routes.get(WEBHOOK, params=query)

    assert (answer.status_code, answer.text) == (200, "<b>115</b>")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    "change",
    [
        {"hub.verify_token": "wrong"},
        {"hub.verify_token": ""},
        {"hub.verify_token": "é\x00😀"},
        {"hub.verify_token": None},
        {"hub.mode": "unsubscribe"},
        {"hub.mode": None},
        {"hub.challenge": None},
    ],
)
async def test_a_stranger_does_not_verify_it(routes: httpx.AsyncClient, change: dict[str, str | None]) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "115", **change}

    answer = await routes.get(WEBHOOK, params={name: value for name, value in query.items() if value is not None})

    problem(answer, 403, "verify_token_invalid")
    assert VERIFY_TOKEN not in answer.text


async def test_a_challenge_has_a_length_limit(routes: httpx.AsyncClient) -> None:
    query = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "x" * 1001}

    body = problem(await routes.get(WEBHOOK, params=query), 400, "invalid_value")

    assert body["errors"]["fields"][0]["field"] == "hub.challenge"


async def test_what_is_answered_200_is_committed_and_a_repeat_is_deduped(
    routes: httpx.AsyncClient, world: World
) -> None:
    number, unknown = await world.number(await world.workspace()), world.number_at_meta()
    bad = text_webhook(number.at_meta, f"+{digits(11)}", "no type")
    del bad["entry"][0]["changes"][0]["value"]["messages"][0]["type"]
    body = batch(
        text_webhook(number.at_meta, f"+{digits(11)}", "one / zwei – 東京"),
        bad,
        text_webhook(unknown, f"+{digits(11)}", "two"),
    )

    first = await post_webhook(routes, body)
    assert (first.status_code, first.json()) == (200, {"recorded": 1, "deduped": 0, "orphan": 1, "set_aside": 1})
    second = await post_webhook(routes, body)
    assert second.json() == {"recorded": 0, "deduped": 2, "orphan": 1, "set_aside": 0}

    assert await stored(world, number) == 2
    assert await world.rows("select body from wa_messages where connection_id = %s", number.connection.id) == [
        ("one / zwei – 東京",)
    ]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "¿"]
)
async def test_the_content_type_does_not_matter_the_signature_does(
    routes: httpx.AsyncClient, world: World, content_type: str | None
) -> None:
    number = await world.number(await world.workspace())
    body = text_webhook(number.at_meta, f"+{digits(11)}", "hello")
    encoded = content_type.encode() if content_type else None

    answer = await post_webhook(routes, body, content_type=encoded)

    assert answer.json()["recorded"] == 1


@pytest.mark.parametrize(
    "signature",
    [
        None,
        "",
        "sha256=",
        "sha256=" + "0" * 64,
        "sha1=da39a3ee5e6b4b0d3255bfef95601890afd80709",
        "garbage",
        "sha256=é".encode(),
        b"\xff\xfe\xfd",
        "x" * 5000,
    ],
)
async def test_without_the_right_signature_nothing_is_read_or_stored(
    routes: httpx.AsyncClient, world: World, signature: str | bytes | None
) -> None:
    number = await world.number(await world.workspace())
    body = text_webhook(number.at_meta, f"+{digits(11)}", "forged")

    problem(await post_webhook(routes, body, x_hub_signature_256=signature), 401, "signature_invalid")
    problem(await post_webhook(routes, b"not json", x_hub_signature_256=signature), 401, "signature_invalid")

    assert await stored(world, number) == 0


async def test_a_signature_belongs_to_one_body_and_one_secret(routes: httpx.AsyncClient, world: World) -> None:
    number = await world.number(await world.workspace())
    body = encode(text_webhook(number.at_meta, f"+{digits(11)}", "genuine"))
    for signature in (sign(body + b" ", APP_SECRET), sign(body, "another"), sign(body, ""), sign(body, APP_SECRET)[7:]):
        problem(await post_webhook(routes, body, x_hub_signature_256=signature), 401, "signature_invalid")
    problem(
        await post_webhook(routes, body.replace(b"genuine", b"altered"), x_hub_signature_256=sign(body, APP_SECRET)),
        401,
        "signature_invalid",
    )

    assert await stored(world, number) == 0


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "body_not_json"),
        (b"entry=1&changes=2", 400, "body_not_json"),
        (b'{"entry": [', 400, "body_not_json"),
        (b'{"entry": "\xff"}', 400, "body_not_json"),
        (b"[]", 400, "body_not_an_object"),
        (b"null", 400, "body_not_an_object"),
        (b" " * (BODY_LIMIT_BYTES + 1), 413, "body_too_large"),
        (b"[" * BODY_LIMIT_BYTES, 413, "body_too_large"),
        (b'{"a":' * (BODY_LIMIT_BYTES // 5), 413, "body_too_large"),
        (rb'{"x":"\ud800","a":' + b"[" * (BODY_LIMIT_BYTES - 100), 413, "body_too_large"),
    ],
    ids=lambda value: f"{value[:12]!r} {len(value)}" if isinstance(value, bytes) else None,
)
async def test_bodies_that_are_no_webhook(routes: httpx.AsyncClient, body: bytes, status: int, code: str) -> None:
    answer = problem(await post_webhook(routes, body), status, code)

    if code == "body_too_large":
        assert answer["errors"]


async def test_a_body_without_a_stated_length_is_bounded_too(routes: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> Any:
        nonlocal sent
        for _ in range(1000):
            sent += 65536
            yield b" " * 65536

    # The answer may come before everything is sent, and the connection then ends: either way it stops early.
    try:
        answer = await routes.post(WEBHOOK, content=endless())
    except httpx.TransportError:
        pass
    else:
        problem(answer, 413, "body_too_large")
    assert sent < 1000 * 65536 or answer.status_code == 413


async def test_an_envelope_without_items_is_accepted(routes: httpx.AsyncClient) -> None:
    answer = await post_webhook(routes, {"object": "whatsapp_business_account", "entry": []})

    assert (answer.status_code, answer.json()) == (200, {"recorded": 0, "deduped": 0, "orphan": 0, "set_aside": 0})


async def test_while_the_database_is_away_meta_is_told_to_come_again(
    settings: Settings, world: World, logs: list[dict[str, Any]]
) -> None:
    number = await world.number(await world.workspace())
    body = text_webhook(number.at_meta, f"+{digits(11)}", "a body that is nobody's business")
    with listen() as listener:
        nobody_there = f"http://127.0.0.1:{listener.getsockname()[1]}"

    async with serve(settings.model_copy(update={"supabase_url": nobody_there})) as cut_off:
        answer = await post_webhook(cut_off, body)

    problem(answer, 503, "network_error")
    assert "business" not in answer.text + repr(logs)
    assert {"event": "request_failed", "code": "network_error"}.items() <= next(
        event for event in logs if event["event"] == "request_failed"
    ).items()
    # And when it comes again, it is new.
    async with serve(settings) as back:
        assert (await post_webhook(back, body)).json()["recorded"] == 1


async def test_our_own_wrong_key_is_no_reason_for_meta_to_give_up(settings: Settings, world: World) -> None:
    number = await world.number(await world.workspace())
    wrong = settings.model_copy(update={"secret_key": SecretStr("sb_secret_of_another_project")})

    async with serve(wrong) as misconfigured:
        answer = await post_webhook(misconfigured, text_webhook(number.at_meta, f"+{digits(11)}", "x"))

    body = problem(answer, 503, "unavailable")
    assert body["errors"]["code"] == "api_key_invalid"
    assert "sb_secret_of" not in answer.text
    assert await stored(world, number) == 0


async def test_a_webhook_that_is_refused_leaves_its_request_id_and_the_reason(
    routes: httpx.AsyncClient, logs: list[dict[str, Any]]
) -> None:
    await post_webhook(routes, {"entry": []}, x_hub_signature_256="sha256=forged", x_request_id="req-2")

    refused, request = [event for event in logs if event.get("request_id") == "req-2"]
    assert (refused["event"], refused["code"], refused["level"]) == ("request_refused", "signature_invalid", "warning")
    assert (request["event"], request["status"], request["level"]) == ("http_request", 401, "info")


@contextlib.asynccontextmanager
async def raw_connection(routes: httpx.AsyncClient) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(routes.base_url.host, routes.base_url.port)
    try:
        yield reader, writer
    finally:
        writer.close()


def raw_request(body: bytes) -> bytes:
    return (
        f"POST {WEBHOOK} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
        f"x-hub-signature-256: {sign(body, APP_SECRET)}\r\n\r\n"
    ).encode() + body


async def test_what_was_received_is_stored_though_the_client_has_gone(routes: httpx.AsyncClient, world: World) -> None:
    number = await world.number(await world.workspace())
    async with raw_connection(routes) as (_, writer):
        writer.write(raw_request(encode(text_webhook(number.at_meta, f"+{digits(11)}", "gone"))))
        await writer.drain()

    async def there() -> bool:
        return await stored(world, number) == 1

    await until(there)


async def test_half_a_body_is_no_webhook(routes: httpx.AsyncClient, world: World, logs: list[dict[str, Any]]) -> None:
    number = await world.number(await world.workspace())
    async with raw_connection(routes) as (_, writer):
        writer.write(raw_request(encode(text_webhook(number.at_meta, f"+{digits(11)}", "cut")))[:-10])
        await writer.drain()

    async def noticed() -> bool:
        return any(event["event"] == "client_disconnected" for event in logs)

    await until(noticed)
    assert await stored(world, number) == 0


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(
    routes: httpx.AsyncClient, world: World
) -> None:
    number = await world.number(await world.workspace())
    body = encode(text_webhook(number.at_meta, f"+{digits(11)}", "again"))
    async with raw_connection(routes) as (reader, writer):
        writer.write(raw_request(body) * 2)

        answers = []
        for _ in range(2):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
            answers.append(json.loads(await reader.readexactly(length)))

    assert [(answer["recorded"], answer["deduped"]) for answer in answers] == [(1, 0), (0, 1)]


async def test_sigterm_in_the_middle_of_it_all_loses_nothing_that_was_answered(
    settings: Settings, world: World, tmp_path: Path
) -> None:
    number = await world.number(await world.workspace())
    server = await asyncio.create_subprocess_exec(
        QERO, "serve", "--port", "0", cwd=tmp_path, env=environment(settings), stderr=asyncio.subprocess.PIPE
    )
    assert server.stderr is not None
    port = json.loads(await asyncio.wait_for(server.stderr.readline(), 20))["port"]
    rest = asyncio.create_task(server.stderr.read())
    answered: list[str] = []

    async def post(client: httpx.AsyncClient) -> None:
        """One after the other, until nobody answers any more."""
        with contextlib.suppress(httpx.TransportError):
            while True:
                body = f"message {uuid4()}"
                answer = await post_webhook(client, text_webhook(number.at_meta, f"+{digits(11)}", body))
                if answer.status_code == 200:
                    answered.append(body)
                    if len(answered) == 200:
                        server.send_signal(signal.SIGTERM)

    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
        await asyncio.wait_for(asyncio.gather(*(post(client) for _ in range(30))), 30)
    logged = [json.loads(line) for line in (await asyncio.wait_for(rest, 20)).splitlines()]

    assert await server.wait() == 0
    kept = {body for (body,) in await world.rows(
        "select body from wa_messages where connection_id = %s", number.connection.id
    )}  # fmt: skip
    assert len(answered) >= 200
    assert set(answered) <= kept
    assert [event for event in logged if event["level"] in ("warning", "error")] == []
    assert sum(event["requests"] for event in logged if event["event"] == "webhooks_stored") >= len(answered)


async def test_a_webhook_leaves_ids_and_counts_in_the_logs_and_no_content(
    routes: httpx.AsyncClient, world: World, logs: list[dict[str, Any]]
) -> None:
    number = await world.number(await world.workspace())
    sender = f"+{digits(11)}"
    body = text_webhook(number.at_meta, sender, "a secret of the customer's", name="Ada Private")
    logs.clear()

    await post_webhook(routes, body, x_request_id="req-1")

    [line] = [event for event in logs if event["event"] == "http_request"]
    assert (line["request_id"], line["method"], line["path"], line["status"]) == ("req-1", "POST", WEBHOOK, 200)
    assert line["duration_ms"] > 0
    # At Meta's rate a line for each request would be the most of the work: there is one for each call that stores some.
    assert line["level"] == "debug"
    [stored] = [event for event in logs if event["event"] == "webhooks_stored"]
    assert (stored["level"], stored["requests"], stored["items"], stored["recorded"]) == ("info", 1, 1, 1)
    assert stored["duration_ms"] > 0
    assert "request_id" not in stored, "it belongs to no single one"
    for private in ("secret of the customer", "Ada Private", sender[1:], APP_SECRET, number.at_meta.access_token):
        assert private not in repr(logs)
