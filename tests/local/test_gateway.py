"""The one port in front of everything: keys, what it refuses, and what it passes on unchanged."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest

from qero import Settings
from qero.local.asgi import listen, serving
from qero.local.gateway import gateway
from qero.local.keys import Keys
from qero.local.processes import free_port
from tests.support import World

ORIGIN = "https://app.example.com"


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=settings.require("supabase_url"), timeout=30) as http:
        yield http


@pytest.fixture
def service_key(settings: Settings) -> dict[str, str]:
    return {"apikey": settings.require("secret_key")}


async def contacts_of(world: World, count: int) -> str:
    """The id of a workspace with so many contacts, named 1, 2, …"""
    workspace = await world.workspace()
    await world.database.execute(
        "insert into contacts (workspace_id, name) select %s, n::text from generate_series(1, %s) n",
        [workspace.id, count],
    )
    return str(workspace.id)


async def test_a_browser_may_ask_from_any_origin(http: httpx.AsyncClient) -> None:
    preflight = await http.options(
        "/rest/v1/contacts",
        headers={
            "origin": ORIGIN,
            "access-control-request-method": "PATCH",
            "access-control-request-headers": "apikey,authorization,content-type,prefer,x-client-info",
        },
    )
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] in ("*", ORIGIN)
    assert "PATCH" in preflight.headers["access-control-allow-methods"]
    for header in ("apikey", "authorization", "content-type", "prefer", "x-client-info"):
        assert header in preflight.headers["access-control-allow-headers"]

    refused = await http.get("/rest/v1/contacts", headers={"origin": ORIGIN})
    assert refused.status_code == 401
    assert "access-control-allow-origin" in refused.headers, "a browser could not read the error otherwise"


@pytest.mark.parametrize("path", ["/rest/v1/contacts", "/rest/v1/rpc/whoami", "/auth/v1/user", "/auth/v1/token"])
async def test_without_a_known_key_nothing_is_let_through(http: httpx.AsyncClient, path: str) -> None:
    missing = await http.get(path)
    unknown = await http.get(path, headers={"apikey": "sb_publishable_unknown"})

    assert (missing.status_code, missing.json()["message"]) == (401, "No API key found in request")
    assert (unknown.status_code, unknown.json()["message"]) == (401, "Invalid API key")


@pytest.mark.parametrize(("method", "statement"), [("PATCH", "UPDATE"), ("DELETE", "DELETE")])
@pytest.mark.parametrize(
    "parameters", [{}, {"select": "id", "order": "id", "limit": "1"}, {"columns": "name"}, {"child.name": "eq.x"}]
)
async def test_a_change_of_every_row_at_once_is_refused(
    http: httpx.AsyncClient,
    world: World,
    service_key: dict[str, str],
    method: str,
    statement: str,
    parameters: dict[str, str],
) -> None:
    workspace_id = await contacts_of(world, 1)

    answer = await http.request(
        method, "/rest/v1/contacts", params=parameters, headers=service_key, json={"name": "overwritten"}
    )

    assert answer.status_code == 400
    assert answer.json() == {
        "code": "21000", "details": None, "hint": None, "message": f"{statement} requires a WHERE clause",
    }  # fmt: skip
    assert await world.rows("select name from contacts where workspace_id = %s", workspace_id) == [("1",)]


@pytest.mark.parametrize(
    "filter", [{"name": "eq.1"}, {"or": "(name.eq.1,name.eq.0)"}, {"not.or": "(name.eq.2,name.eq.3)"}]
)
async def test_a_change_with_any_kind_of_filter_passes(
    http: httpx.AsyncClient, world: World, service_key: dict[str, str], filter: dict[str, str]
) -> None:
    workspace_id = await contacts_of(world, 3)

    parameters = {**filter, "select": "name", "workspace_id": f"eq.{workspace_id}"}
    headers = {**service_key, "prefer": "return=representation"}
    changed = await http.patch("/rest/v1/contacts", params=parameters, headers=headers, json={"source": "import"})
    deleted = await http.delete("/rest/v1/contacts", params=parameters, headers=headers)

    assert (changed.status_code, changed.json()) == (200, [{"name": "1"}])
    assert (deleted.status_code, deleted.json()) == (200, [{"name": "1"}])
    assert await world.scalar("select count(*) from contacts where workspace_id = %s", workspace_id) == 2


async def test_ranges_and_counts_pass_both_ways(
    http: httpx.AsyncClient, world: World, service_key: dict[str, str]
) -> None:
    filter = {"workspace_id": f"eq.{await contacts_of(world, 5)}"}
    headers = {**service_key, "prefer": "count=exact"}

    page = await http.get(
        "/rest/v1/contacts", params={**filter, "select": "name", "order": "name"},
        headers={**headers, "range-unit": "items", "range": "1-2"},
    )  # fmt: skip
    head = await http.head("/rest/v1/contacts", params=filter, headers=headers)
    beyond = await http.get("/rest/v1/contacts", params=filter, headers={**headers, "range": "9-10"})

    assert (page.status_code, page.headers["content-range"]) == (206, "1-2/5")
    assert page.json() == [{"name": "2"}, {"name": "3"}]
    assert (head.status_code, head.headers["content-range"], head.content) == (200, "0-4/5", b"")
    assert (beyond.status_code, beyond.json()["code"]) == (416, "PGRST103")


async def test_schemas_and_singular_answers_are_asked_for_by_header(
    http: httpx.AsyncClient, world: World, service_key: dict[str, str]
) -> None:
    filter = {"workspace_id": f"eq.{await contacts_of(world, 2)}", "select": "name"}

    private = await http.get("/rest/v1/contacts", headers={**service_key, "accept-profile": "private"})
    single = await http.get(
        "/rest/v1/contacts", params=filter, headers={**service_key, "accept": "application/vnd.pgrst.object+json"}
    )

    assert (private.status_code, private.json()["code"]) == (406, "PGRST106")
    assert (single.status_code, single.json()["code"]) == (406, "PGRST116")


async def test_five_megabytes_pass_in_and_out(
    http: httpx.AsyncClient, world: World, service_key: dict[str, str]
) -> None:
    workspace_id = str((await world.workspace()).id)
    rows = [{"workspace_id": workspace_id, "name": str(n), "tags": ["x" * 5_000]} for n in range(1_000)]

    written = await http.post("/rest/v1/contacts", headers=service_key, json=rows)
    read = await http.get(
        "/rest/v1/contacts", params={"workspace_id": f"eq.{workspace_id}", "select": "tags"}, headers=service_key
    )

    assert written.status_code == 201
    assert len(read.content) > 5_000_000
    assert [len(row["tags"][0]) for row in read.json()] == [5_000] * 1_000


async def test_text_in_addresses_and_bodies_survives(
    http: httpx.AsyncClient, world: World, service_key: dict[str, str]
) -> None:
    workspace_id, name = str((await world.workspace()).id), 'æøå "100%" + & = # 中 😀'
    await http.post("/rest/v1/contacts", headers=service_key, json={"workspace_id": workspace_id, "name": name})

    found = await http.get(
        "/rest/v1/contacts", params={"workspace_id": f"eq.{workspace_id}", "name": f"eq.{name}", "select": "name"},
        headers=service_key,
    )  # fmt: skip

    assert found.json() == [{"name": name}]


async def test_what_is_not_there_is_404(http: httpx.AsyncClient, service_key: dict[str, str]) -> None:
    table = await http.get(f"/rest/v1/t{uuid4().hex}", headers=service_key)
    function = await http.post(f"/rest/v1/rpc/f{uuid4().hex}", headers=service_key, json={})
    elsewhere = await http.get("/storage/v1/object", headers=service_key)

    assert (table.status_code, function.status_code, elsewhere.status_code) == (404, 404, 404)
    assert function.json()["code"] == "PGRST202"


@pytest.fixture
async def without_upstream() -> AsyncIterator[tuple[str, Keys]]:
    """The address and keys of a gateway behind which nothing runs."""
    keys, listener = Keys.generate(), listen()
    nowhere = f"http://127.0.0.1:{free_port()}"
    health: dict[str, Any] = {"status": "ready"}
    app = gateway(keys=keys, rest_url=nowhere, auth_url=nowhere, routes=[], health=lambda: health)
    port = listener.getsockname()[1]
    async with serving(app, listener):
        yield f"http://127.0.0.1:{port}", keys


@pytest.mark.parametrize("path", ["/rest/v1/contacts", "/auth/v1/user"])
async def test_while_the_server_behind_is_down_the_answer_is_json_that_says_so(
    without_upstream: tuple[str, Keys], path: str
) -> None:
    url, keys = without_upstream

    async with httpx.AsyncClient() as http:
        answer = await http.get(url + path, headers={"apikey": keys.publishable})
        health = await http.get(f"{url}/health")

    assert answer.status_code in (502, 503)
    assert "upstream" in answer.json()["message"]
    assert health.json() == {"status": "ready"}
