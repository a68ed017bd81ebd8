"""Replying over HTTP: as whom, and what is refused."""

from __future__ import annotations

import base64
import json
import time
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import jwt
import pytest

from qero.models.whatsapp import Thread
from tests.http.support import SEND_TEXT, problem
from tests.support import World


async def send(
    routes: httpx.AsyncClient, thread: Thread, token: str | None = None, headers: Any = None, **changes: Any
) -> httpx.Response:
    given = {"authorization": f"Bearer {token}"} if token else {}
    body = {"thread_id": str(thread.id), "body": "Hi", **changes}
    return await routes.post(SEND_TEXT, json=body, headers={**given, **(headers or {})})


async def queued(world: World, thread: Thread) -> int:
    return int(await world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id))


@pytest.fixture
async def thread(world: World) -> Thread:
    return await world.thread(await world.number(await world.workspace(bob="member", vera="viewer")))


async def test_a_member_queues_a_reply_and_a_repeat_gets_the_first_answer(
    routes: httpx.AsyncClient, world: World, thread: Thread
) -> None:
    bob = await world.user("bob")

    first = await send(routes, thread, bob.access_token, idempotency_key="one")
    second = await send(routes, thread, bob.access_token, idempotency_key="one")

    assert first.status_code == 202
    assert first.json() == second.json()
    answer = first.json()
    assert (answer["body"], answer["status"], answer["sent_by"]) == ("Hi", "pending", str(bob.id))
    assert await queued(world, thread) == 1
    other = await send(routes, thread, bob.access_token, idempotency_key="one", body="Something else")
    problem(other, 409, "idempotency_conflict")
    assert await queued(world, thread) == 1


async def test_the_session_cookies_do_as_well(routes: httpx.AsyncClient, world: World, thread: Thread) -> None:
    token = (await world.user("bob")).access_token
    session = json.dumps({"access_token": token, "user": {"name": "Bob"}})
    whole = "base64-" + base64.urlsafe_b64encode(session.encode()).decode().rstrip("=")
    half = len(whole) // 2
    in_chunks = f"theme=dark; sb-x-auth-token.1={whole[half:]}; sb-x-auth-token.0={whole[:half]}"

    for cookies in (f"sb-x-auth-token={quote(session)}", in_chunks):
        assert (await send(routes, thread, headers={"cookie": cookies})).status_code == 202
    problem(await send(routes, thread, headers={"cookie": f"sb-x-auth-token.1={whole[half:]}"}), 401, "token_invalid")
    assert await queued(world, thread) == 2


async def test_nobody_and_pretenders_are_refused_and_nothing_is_queued(
    routes: httpx.AsyncClient, world: World, thread: Thread
) -> None:
    token = (await world.user("bob")).access_token
    claims = jwt.decode(token, options={"verify_signature": False})
    secret = world.settings.require("jwt_secret")
    old = jwt.encode({**claims, "exp": int(time.time()) - 60}, secret, "HS256")
    forged = jwt.encode(claims, "another-secret-of-at-least-thirty-two-bytes", "HS256")

    for given, code in (
        (None, "not_authenticated"),
        (old, "token_expired"),
        (forged, "token_invalid"),
        ("garbage", "token_invalid"),
        (world.settings.require("secret_key"), "token_wrong_audience"),
        (world.settings.require("publishable_key"), "token_wrong_audience"),
    ):
        answer = await send(routes, thread, given)
        problem(answer, 401, code)
        assert given is None or given not in answer.text
    assert await queued(world, thread) == 0


async def test_viewers_and_strangers_are_refused_and_nothing_is_queued(
    routes: httpx.AsyncClient, world: World, thread: Thread
) -> None:
    problem(await send(routes, thread, (await world.user("vera")).access_token), 403, "role_required")
    foreign = problem(await send(routes, thread, (await world.user("mallory")).access_token), 404, "thread_not_found")
    missing = await send(routes, thread, (await world.user("mallory")).access_token, thread_id=str(uuid4()))

    same = problem(missing, 404, "thread_not_found")
    assert {**foreign, "errors": None} == {**same, "errors": None}, "what isn't yours looks like what isn't there"
    assert await queued(world, thread) == 0


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        ({"body": ""}, "body_required", "body"),
        ({"body": " \n\t"}, "body_required", "body"),
        ({"body": "x" * 4097}, "body_too_long", "body"),
        ({"body": None}, "invalid_value", "body"),
        ({"body": 7}, "invalid_value", "body"),
        ({"body": "a\x00b"}, "invalid_value", None),
        ({"thread_id": "no-uuid"}, "invalid_value", "thread_id"),
        ({"thread_id": None}, "invalid_value", "thread_id"),
        ({"idempotency_key": ""}, "invalid_value", "idempotency_key"),
        ({"idempotency_key": "x" * 201}, "invalid_value", "idempotency_key"),
        ({"unknown": 1}, "invalid_value", "unknown"),
    ],
)
async def test_bad_input_names_its_field_and_queues_nothing(
    routes: httpx.AsyncClient, world: World, thread: Thread, change: dict[str, Any], code: str, field: str | None
) -> None:
    answer = problem(await send(routes, thread, (await world.user("bob")).access_token, **change), 400, code)

    errors = answer["errors"]
    found = errors["field"] if "field" in errors else errors["fields"][0]["field"] if "fields" in errors else None
    assert found == field
    assert await queued(world, thread) == 0


@pytest.mark.parametrize(
    ("raw", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (b"[]", "application/json"),
        (b"null", "application/json"),
        (b"\xff", "application/json"),
        (b'{"thread_id": "%s", "body": "\\ud800"}', "application/json"),
        (b'{"thread_id": "%s", "body": "Hi"}', "text/plain"),
        (b'{"thread_id": "%s", "body": "Hi"}', "application/x-www-form-urlencoded"),
        (b"[" * 200_000, "application/json"),
    ],
)
async def test_bodies_that_are_no_request_are_refused_and_queue_nothing(
    routes: httpx.AsyncClient, world: World, thread: Thread, raw: bytes, content_type: str
) -> None:
    headers = {"authorization": f"Bearer {(await world.user('bob')).access_token}", "content-type": content_type}
    content = raw.replace(b"%s", str(thread.id).encode())

    problem(await routes.post(SEND_TEXT, content=content, headers=headers), 400, "invalid_value")

    assert await queued(world, thread) == 0


async def test_a_body_of_any_size_is_not_read_to_its_end(routes: httpx.AsyncClient, thread: Thread) -> None:
    answer = await send(routes, thread, body="x" * (4 * 1024 * 1024))

    problem(answer, 413, "body_too_large")


async def test_the_logs_name_the_user_and_the_workspace_and_forget_them_with_the_request(
    routes: httpx.AsyncClient, world: World, thread: Thread, logs: list[dict[str, Any]]
) -> None:
    bob = await world.user("bob")
    logs.clear()

    await send(routes, thread, bob.access_token)
    await routes.get("/healthz")

    replied, checked = [event for event in logs if event["event"] == "http_request"]
    assert (replied["user_id"], replied["workspace_id"]) == (str(bob.id), str(thread.workspace_id))
    [call] = [event for event in logs if event["event"] == "database_call"]
    assert (call["user_id"], call["thread_id"]) == (str(bob.id), str(thread.id))
    assert checked["user_id"] is checked["workspace_id"] is None
