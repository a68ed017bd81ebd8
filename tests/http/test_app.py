"""What every route shares: request ids, problems, logs, and the description of the API."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from qero import Settings, SettingsError
from qero.http import ROUTERS, create_app
from qero.local.asgi import listen, serving
from tests.http.support import SEND_TEXT, WEBHOOK, problem


async def test_a_request_id_is_echoed_or_made_and_logged(routes: httpx.AsyncClient, logs: list[dict[str, Any]]) -> None:
    given = await routes.get("/healthz", headers={"x-request-id": "from-the-proxy"})
    made = [await routes.get("/healthz") for _ in range(2)]

    ids = [answer.headers["x-request-id"] for answer in (given, *made)]
    assert ids[0] == "from-the-proxy"
    assert len(set(ids)) == 3
    assert [event["request_id"] for event in logs if event["event"] == "http_request"] == ids


@pytest.mark.parametrize("unusable", [b"", b"x" * 65, "é".encode(), b"a\tb"])
async def test_an_unusable_request_id_is_replaced(routes: httpx.AsyncClient, unusable: bytes) -> None:
    answer = await routes.get("/healthz", headers={b"x-request-id": unusable})

    assert len(answer.headers["x-request-id"]) == 32


async def test_requests_at_once_keep_their_ids(routes: httpx.AsyncClient, logs: list[dict[str, Any]]) -> None:
    ids = [f"req-{index}" for index in range(50)]

    answers = await asyncio.gather(*(routes.get(f"/none/{each}", headers={"x-request-id": each}) for each in ids))

    assert [answer.headers["x-request-id"] for answer in answers] == ids
    assert all(event["path"].endswith(f"/{event['request_id']}") for event in logs)


async def test_an_unknown_route_is_a_problem(routes: httpx.AsyncClient) -> None:
    for path in ("/", "/api", "/api/nothing", "/docs", f"{WEBHOOK}/more"):
        problem(await routes.get(path), 404, "not_found")


async def test_a_wrong_method_says_which_are_right(routes: httpx.AsyncClient) -> None:
    answer = await routes.delete(SEND_TEXT)

    assert problem(answer, 405, "invalid_value")["errors"]["allowed"] == ["POST"]
    assert answer.headers["allow"] == "POST"


async def test_a_crash_is_a_problem_that_shows_nothing_and_a_log_line_that_says_where(
    settings: Settings, logs: list[dict[str, Any]]
) -> None:
    app = create_app(settings)

    @app.get("/crash")
    async def crash() -> None:
        raise RuntimeError("words of the customer")

    listener = listen()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(app, listener), httpx.AsyncClient(base_url=address) as client:
        answer = await client.get("/crash")

    problem(answer, 500, "internal_error")
    [line] = [event for event in logs if event["event"] == "request_crashed"]
    assert (line["error"], line["place"].split(":")[0]) == ("RuntimeError", "crash")
    assert line["request_id"] == answer.headers["x-request-id"]
    assert "words of the customer" not in repr(logs) + answer.text


async def test_the_description_of_the_api_explains_every_route(routes: httpx.AsyncClient) -> None:
    description = (await routes.get("/openapi.json")).json()

    assert {WEBHOOK, SEND_TEXT, "/api/contacts", "/api/ops/audit"} <= description["paths"].keys()
    for path in description["paths"].values():
        for operation in path.values():
            assert operation["description"]


async def test_other_origins_are_not_let_in(routes: httpx.AsyncClient) -> None:
    headers = {"origin": "https://evil.example", "access-control-request-method": "POST"}

    answer = await routes.options(SEND_TEXT, headers=headers)

    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "missing", ["supabase_url", "publishable_key", "secret_key", "meta_app_secret", "meta_verify_token"]
)
def test_it_does_not_start_without_what_it_needs(settings: Settings, missing: str) -> None:
    with pytest.raises(SettingsError) as error:
        create_app(settings.model_copy(update={missing: None}))

    assert error.value.code == "setting_missing"


async def test_the_page_about_http_names_every_route_and_setting(routes: httpx.AsyncClient) -> None:
    page = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
    description = (await routes.get("/openapi.json")).json()

    for path in description["paths"]:
        # The page shortens what begins alike.
        beginning, end = "/".join(path.split("/")[:3]), path.rsplit("/", 1)[1]
        assert beginning in page, path
        assert end in page, path
    for setting in ("QERO_CORS_ORIGINS", "QERO_METRICS_TOKEN", "QERO_HTTP_TIMEOUT_SECONDS"):
        assert setting in page


def test_nothing_but_reading_a_file_leaves_the_event_loop() -> None:
    """Whatever isn't async runs in a thread, and going there costs more than most of it does."""

    def calls(dependant: Any) -> Iterator[Any]:
        yield dependant.call
        for dependency in dependant.dependencies:
            yield from calls(dependency)

    routes = [route for router in ROUTERS.values() for route in router.routes if isinstance(route, APIRoute)]
    found = {call for route in routes for call in calls(route.dependant)}

    assert routes
    assert {
        call.__name__
        for call in found
        if not inspect.iscoroutinefunction(call) and not inspect.iscoroutinefunction(type(call).__call__)
    } == {"rows_of_csv"}
