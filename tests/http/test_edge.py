"""What stands around every route: time, size, compression, ETags, other sites, figures, and readiness."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from pydantic import SecretStr

from qero import Settings
from qero.http import ROUTERS, create_app, mount, running
from qero.local.asgi import listen, serving
from qero.models.workspace import Workspace
from tests.http.support import SEND_TEXT, problem, serve
from tests.services.people import contact_of
from tests.support import User, World

ORIGIN = "https://crm.example.com"


@asynccontextmanager
async def serve_app(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    listener = listen()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(app, listener), httpx.AsyncClient(base_url=address, timeout=20) as client:
        yield client


@pytest.fixture
async def bob(world: World) -> User:
    return await world.user("bob")


@pytest.fixture
async def workspace(world: World, bob: User) -> Workspace:
    return await world.workspace(bob="member")


def of(user: User, **headers: str) -> dict[str, str]:
    return {"authorization": f"Bearer {user.access_token}", **headers}


def cookie_of(user: User) -> str:
    return f"sb-x-auth-token={quote(json.dumps({'access_token': user.access_token}))}"


# --- Time and size ---


async def test_what_takes_too_long_ends_in_a_problem_and_what_has_begun_may_take_its_time(settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"http_timeout_seconds": 0.3}))

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    @app.get("/long")
    async def long() -> StreamingResponse:
        async def lines() -> AsyncIterator[str]:
            yield "a"
            await asyncio.sleep(0.5)
            yield "b"

        return StreamingResponse(lines(), media_type="text/csv")

    async with serve_app(app) as client:
        slow_answer, long_answer = await asyncio.gather(client.get("/slow"), client.get("/long"))

    assert problem(slow_answer, 503, "timed_out")["errors"] == {"seconds": 0.3}
    assert long_answer.text == "ab"


async def test_a_body_that_stops_half_way_is_given_up(settings: Settings, bob: User) -> None:
    app = create_app(settings.model_copy(update={"http_timeout_seconds": 0.3}))

    async def half() -> AsyncIterator[bytes]:
        yield b'{"thread_id": '
        await asyncio.sleep(1)
        yield b""

    async with serve_app(app) as client:
        headers = of(bob) | {"content-type": "application/json"}
        answer = await client.post(SEND_TEXT, content=half(), headers=headers)

    problem(answer, 408, "request_incomplete")


@pytest.mark.parametrize("path", ["/api/contacts/import", "/api/contacts/import/csv?workspace=x", "/api/chats"])
async def test_a_body_of_more_than_3_mb_is_refused_whatever_its_length_says(
    routes: httpx.AsyncClient, bob: User, path: str
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(64):
            yield b"x" * 64 * 1024

    problem(await routes.post(path, content=endless(), headers=of(bob)), 413, "body_too_large")


# --- ETags and compression ---


async def test_an_unchanged_list_is_not_sent_again(routes: httpx.AsyncClient, bob: User, workspace: Workspace) -> None:
    query = {"workspace": workspace.slug}
    first = await routes.get("/api/contacts", params=query, headers=of(bob))
    tag = first.headers["etag"]

    again = await routes.get("/api/contacts", params=query, headers=of(bob) | {"if-none-match": f'"other", {tag}'})
    await contact_of(bob, workspace)
    changed = await routes.get("/api/contacts", params=query, headers=of(bob) | {"if-none-match": tag})

    assert first.headers["cache-control"] == "private, no-cache"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert again.headers["x-request-id"]
    assert changed.status_code == 200
    assert changed.headers["etag"] != tag


async def test_a_tag_does_not_let_somebody_else_in(
    routes: httpx.AsyncClient, world: World, bob: User, workspace: Workspace
) -> None:
    query, mallory = {"workspace": workspace.slug}, await world.user("mallory")
    tag = (await routes.get("/api/contacts", params=query, headers=of(bob))).headers["etag"]

    for given in (tag, "*"):
        problem(await routes.get("/api/contacts", params=query, headers={"if-none-match": given}), 401,
                "not_authenticated")  # fmt: skip
        answer = await routes.get("/api/contacts", params=query, headers=of(mallory) | {"if-none-match": given})
        problem(answer, 404, "workspace_not_found")


async def test_long_answers_are_compressed_for_who_takes_it_and_mean_the_same(
    routes: httpx.AsyncClient, bob: User, workspace: Workspace
) -> None:
    for _ in range(5):
        await contact_of(bob, workspace)
    query = {"workspace": workspace.slug}

    packed = await routes.get("/api/contacts", params=query, headers=of(bob) | {"accept-encoding": "gzip"})
    plain = await routes.get("/api/contacts", params=query, headers=of(bob) | {"accept-encoding": "identity"})

    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.json() == plain.json()
    assert packed.headers["etag"] == plain.headers["etag"]


# --- Other sites ---


async def write(routes: httpx.AsyncClient, **headers: str) -> httpx.Response:
    """A request that may write, and whose body is refused after whoever sent it was let in."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await routes.post(SEND_TEXT, json={}, headers=given)


async def test_cookies_write_only_for_pages_of_the_same_site(routes: httpx.AsyncClient, bob: User) -> None:
    own = str(routes.base_url).rstrip("/")
    cookie = cookie_of(bob)

    for headers in (
        {},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
        {"origin": own},
        {"origin": own, "sec_fetch_site": "same-origin"},
    ):
        problem(await write(routes, cookie=cookie, **headers), 400, "invalid_value")
    for headers in (
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"origin": ORIGIN},
        {"origin": "null"},
        {"origin": own, "sec_fetch_site": "cross-site"},
        {"origin": f"{own}.evil.example"},
    ):
        problem(await write(routes, cookie=cookie, **headers), 403, "cross_site_request")


async def test_a_token_writes_from_anywhere_and_cookies_read_from_anywhere(
    routes: httpx.AsyncClient, bob: User
) -> None:
    elsewhere = {"origin": ORIGIN, "sec-fetch-site": "cross-site"}

    problem(await routes.post(SEND_TEXT, json={}, headers=of(bob) | elsewhere), 400, "invalid_value")
    assert (await routes.get("/api/me", headers={"cookie": cookie_of(bob), **elsewhere})).status_code == 200


async def test_the_address_behind_a_proxy_is_our_own_too(settings: Settings, bob: User) -> None:
    async with serve(settings.model_copy(update={"public_url": ORIGIN})) as routes:
        problem(await write(routes, cookie=cookie_of(bob), origin=ORIGIN), 400, "invalid_value")


async def test_pages_of_listed_origins_are_let_in_and_no_others(settings: Settings, bob: User) -> None:
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    async with serve(settings.model_copy(update={"cors_origins": (ORIGIN,)})) as routes:
        asked = await routes.options(SEND_TEXT, headers={"origin": ORIGIN, **preflight})
        refused = await routes.options(SEND_TEXT, headers={"origin": "https://evil.example", **preflight})
        written = await write(routes, cookie=cookie_of(bob), origin=ORIGIN, sec_fetch_site="cross-site")
        foreign = await write(routes, cookie=cookie_of(bob), origin="https://evil.example")

    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in refused.headers
    problem(written, 400, "invalid_value")
    assert written.headers["access-control-allow-origin"] == ORIGIN, "its page may read the problem"
    problem(foreign, 403, "cross_site_request")
    assert "access-control-allow-origin" not in foreign.headers


# --- For whoever runs the server ---


async def test_it_is_ready_while_the_database_answers(routes: httpx.AsyncClient, settings: Settings) -> None:
    assert (await routes.get("/readyz")).json() == {"status": "ok"}
    async with serve(settings.model_copy(update={"supabase_url": "http://127.0.0.1:9"})) as lost:
        problem(await lost.get("/readyz"), 503, "network_error")
        assert (await lost.get("/healthz")).json() == {"status": "ok"}
    async with serve(settings.model_copy(update={"secret_key": SecretStr("sb_secret_wrong")})) as wrong:
        problem(await wrong.get("/readyz"), 503, "api_key_invalid")


async def test_figures_are_for_who_has_the_token_and_name_routes_not_paths(
    routes: httpx.AsyncClient, settings: Settings, bob: User, workspace: Workspace
) -> None:
    contact = await contact_of(bob, workspace)
    token = {"authorization": "Bearer a-token"}
    async with serve(settings.model_copy(update={"metrics_token": SecretStr("a-token")})) as measured:
        await measured.get(f"/api/contacts/{contact.id}", headers=of(bob))
        await measured.get("/nothing/here")
        await measured.request("PROPFIND", "/nothing/here")
        await measured.post("/api/webhooks/meta/whatsapp")
        text = (await measured.get("/metrics", headers=token)).text
        problem(await measured.get("/metrics"), 404, "not_found")

    for line in (
        'qero_http_request_seconds_count{method="GET",route="/api/contacts/{id}",status="200"} 1.0',
        'qero_http_request_seconds_count{method="GET",route="none",status="404"} 1.0',
        'qero_http_request_seconds_count{method="OTHER",route="none",status="404"} 1.0',
        'qero_http_request_seconds_count{method="POST",route="/api/webhooks/meta/whatsapp",status="401"} 1.0',
    ):
        assert line in text
    assert str(contact.id) not in text
    problem(await routes.get("/metrics", headers=token), 404, "not_found")


async def test_the_audit_log_names_the_request(
    routes: httpx.AsyncClient, world: World, bob: User, workspace: Workspace
) -> None:
    headers = {"authorization": f"Bearer {(await world.user('olga')).access_token}", "x-request-id": "req-of-olga"}

    await routes.delete(f"/api/workspaces/members/{bob.id}", params={"workspace": workspace.slug}, headers=headers)

    assert await world.scalar(
        "select request_id from owner_audit_log where workspace_id = %s order by id desc limit 1", workspace.id
    ) == "req-of-olga"  # fmt: skip


# --- Routers by themselves ---


@pytest.mark.parametrize("name", ROUTERS)
async def test_a_router_is_mounted_in_an_application_of_ones_own(settings: Settings, name: str) -> None:
    without_meta = settings.model_copy(update={"meta_app_secret": None, "meta_verify_token": None})

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(app, without_meta):
            yield

    app = FastAPI(lifespan=lifespan)
    mount(app, ROUTERS[name])
    async with serve_app(app) as client:
        description = (await client.get("/openapi.json")).json()
        for path, operations in description["paths"].items():
            assert urlsplit(path).path.startswith("/api/")
            for method, operation in operations.items():
                if operation.get("security"):
                    answer = await client.request(method, path)
                    assert answer.json()["code"] == "not_authenticated", answer.text
        assert (await client.get("/nothing")).json()["code"] == "not_found"


async def test_every_refusal_of_the_description_has_its_codes(routes: httpx.AsyncClient) -> None:
    description: dict[str, Any] = (await routes.get("/openapi.json")).json()

    assert "HTTPValidationError" not in json.dumps(description)
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            refusals = {status: answer for status, answer in answers.items() if status >= "400"}
            assert {"400", "500", "503"} <= refusals.keys(), path
            assert ("401" in refusals) or path in ("/api/webhooks/meta/whatsapp", "/api/push/public-key")
            if method != "get":
                assert {"408", "413"} <= refusals.keys(), path
            for answer in refusals.values():
                schema = answer["content"]["application/problem+json"]["schema"]
                assert schema["allOf"][1]["properties"]["code"]["enum"]
