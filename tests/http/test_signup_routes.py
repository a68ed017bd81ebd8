"""Embedded signup over HTTP: as whom, what is refused, and Meta's word that somebody has withdrawn."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from qero import Clients, Settings
from qero.local.graph import GraphStandIn, Number
from qero.local.graph_signup import signed_request
from qero.models.workspace import Workspace
from tests.http.support import DEAUTHORIZE, SIGNUP_CALLBACK, SIGNUP_START, problem, serve
from tests.support import APP_SECRET, World, digits

APP_ID = "870"
BACK = f"https://crm.example.com{SIGNUP_CALLBACK}"


@dataclass
class Site:
    """The routes with signup set up, a workspace of olga's, and Meta with one number of hers."""

    routes: httpx.AsyncClient
    world: World
    graph: GraphStandIn
    workspace: Workspace
    number: Number
    meta_user_id: str

    async def headers(self, user: str | None) -> dict[str, str]:
        return {} if user is None else {"authorization": f"Bearer {(await self.world.user(user)).access_token}"}

    async def post(self, path: str, user: str | None = "olga", **body: Any) -> httpx.Response:
        return await self.routes.post(path, json=body, headers=await self.headers(user))

    async def start(self, user: str | None = "olga", **body: Any) -> httpx.Response:
        return await self.post(SIGNUP_START, user, **{"workspace": self.workspace.slug, **body})

    async def state(self, **body: Any) -> str:
        answer = await self.start(**body)
        assert answer.status_code == 200, answer.text
        state: str = answer.json()["state"]
        return state

    def code(self, redirect_uri: str | None = None) -> str:
        return self.graph.signup.grant(
            APP_ID, waba_ids=[self.number.waba_id], user_id=self.meta_user_id, redirect_uri=redirect_uri
        )

    async def statuses(self) -> list[str]:
        rows = await self.world.rows("select status from wa_phone_numbers where workspace_id = %s", self.workspace.id)
        return [status for (status,) in rows]


def with_signup(settings: Settings, graph: GraphStandIn, **changes: Any) -> Settings:
    given = {
        "meta_app_id": APP_ID,
        "meta_config_id": "12",
        "public_url": "https://crm.example.com",
        "graph_url": graph.url,
        **changes,
    }
    return settings.model_copy(update=given)


@pytest.fixture(scope="module")
def world(settings: Settings, clients: Clients, database: psycopg.AsyncConnection[Any]) -> World:
    """The same people in all tests, for signing up is slow; each test makes its own workspace."""
    return World(settings, clients, database)


@pytest.fixture
async def site(settings: Settings, world: World, graph: GraphStandIn) -> AsyncIterator[Site]:
    number = world.number_at_meta()
    graph.add_number(number)
    graph.signup.add_app(APP_ID, APP_SECRET)
    workspace = await world.workspace(anton="admin", bob="member", vera="viewer")
    async with serve(with_signup(settings, graph)) as routes:
        yield Site(routes, world, graph, workspace, number, digits(15))


async def test_a_signup_starts_with_what_the_browser_needs(site: Site) -> None:
    by_slug = (await site.start()).json()
    by_redirect = (await site.start(workspace=str(site.workspace.id), flow="redirect")).json()

    assert by_slug.keys() == {"app_id", "config_id", "graph_version", "state", "redirect_uri", "expires_at"}
    assert (by_slug["app_id"], by_slug["config_id"], by_slug["graph_version"]) == (APP_ID, "12", "v26.0")
    assert (by_slug["redirect_uri"], by_redirect["redirect_uri"]) == (None, BACK)
    assert by_slug["state"] != by_redirect["state"]


async def test_with_the_javascript_sdk_the_page_posts_code_and_ids(site: Site) -> None:
    answer = await site.post(
        SIGNUP_CALLBACK,
        code=site.code(),
        state=await site.state(),
        waba_id=site.number.waba_id,
        phone_number_id=site.number.phone_number_id,
    )

    assert answer.status_code == 200, answer.text
    [number] = answer.json()["numbers"]
    assert (number["outcome"], number["connection"]["workspace_id"]) == ("connected", str(site.workspace.id))
    assert "token" not in answer.text
    assert await site.statuses() == ["active"]


async def test_by_redirect_the_browser_brings_code_and_cookies(site: Site) -> None:
    session = json.dumps({"access_token": (await site.world.user("olga")).access_token})
    query = {"code": site.code(BACK), "state": await site.state(flow="redirect")}

    nobody = await site.routes.get(SIGNUP_CALLBACK, params=query)
    answer = await site.routes.get(SIGNUP_CALLBACK, params=query, headers={"cookie": f"sb-x-auth-token={session}"})

    problem(nobody, 401, "not_authenticated")
    assert answer.status_code == 200, answer.text
    assert answer.json()["waba_id"] == site.number.waba_id
    assert await site.statuses() == ["active"]


async def test_whoever_ended_it_at_meta_is_told_so(site: Site) -> None:
    query = {"error": "access_denied", "error_description": "Permissions error", "state": await site.state()}

    answer = await site.routes.get(SIGNUP_CALLBACK, params=query, headers=await site.headers("olga"))

    body = problem(answer, 403, "signup_declined")
    assert body["errors"] == {"error": "access_denied", "reason": "Permissions error"}


async def test_a_return_without_code_or_state_names_them(site: Site) -> None:
    answer = await site.routes.get(SIGNUP_CALLBACK, params={"code": ""}, headers=await site.headers("olga"))

    assert problem(answer, 400, "invalid_value")["errors"] == {"fields": ["state", "code"]}


@pytest.mark.parametrize(
    ("user", "status", "code"),
    [
        (None, 401, "not_authenticated"),
        ("bob", 403, "role_required"),
        ("vera", 403, "role_required"),
        ("mallory", 404, "workspace_not_found"),
    ],
)
async def test_only_owners_and_admins_start(site: Site, user: str | None, status: int, code: str) -> None:
    problem(await site.start(user), status, code)
    assert (await site.start("anton")).status_code == 200


async def test_a_state_serves_only_the_user_it_was_made_for(site: Site) -> None:
    state = await site.state()

    for user, status, code in ((None, 401, "not_authenticated"), ("anton", 400, "signup_state_invalid")):
        answer = await site.post(SIGNUP_CALLBACK, user, code=site.code(), state=state)
        problem(answer, status, code)
    assert site.graph.signup.asked == []
    assert (await site.post(SIGNUP_CALLBACK, code=site.code(), state=state)).status_code == 200
    problem(await site.post(SIGNUP_CALLBACK, code=site.code(), state=state), 409, "signup_state_used")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"code": ""}, "code"),
        ({"code": None}, "code"),
        ({"state": "x" * 2001}, "state"),
        ({"waba_id": "../me"}, "waba_id"),
        ({"waba_id": 7}, "waba_id"),
        ({"phone_number_id": "1" * 33}, "phone_number_id"),
        ({"access_token": "EAA"}, "access_token"),
    ],
)
async def test_bad_input_names_its_field_and_reaches_nothing(site: Site, change: dict[str, Any], field: str) -> None:
    body = {"code": "AQ", "state": "s", **change}

    answer = problem(await site.post(SIGNUP_CALLBACK, **body), 400, "invalid_value")

    assert answer["errors"]["fields"][0]["field"] == field
    assert site.graph.signup.asked == []


@pytest.mark.parametrize("state", ["unknown", "a\x00b", "é😀"])
async def test_no_state_is_odd_enough_to_crash(site: Site, state: str) -> None:
    answer = await site.post(SIGNUP_CALLBACK, code="AQ", state=state)

    assert answer.status_code == 400, answer.text
    assert site.graph.signup.asked == []


async def test_without_its_settings_signup_is_not_offered(settings: Settings, world: World) -> None:
    await world.workspace()
    headers = {"authorization": f"Bearer {(await world.user('olga')).access_token}"}
    async with serve(settings) as routes:
        for answer in (
            await routes.post(SIGNUP_START, json={"workspace": "x"}, headers=headers),
            await routes.post(SIGNUP_CALLBACK, json={"code": "AQ", "state": "s"}, headers=headers),
            await routes.get(SIGNUP_CALLBACK, params={"code": "AQ", "state": "s"}, headers=headers),
        ):
            body = problem(answer, 409, "signup_not_offered")
            assert body["errors"]["missing"] == ["NEXT_PUBLIC_META_APP_ID", "NEXT_PUBLIC_META_CONFIG_ID"]


async def test_a_refusal_of_meta_s_comes_with_its_reason_and_without_secrets(
    settings: Settings, site: Site, logs: list[dict[str, Any]]
) -> None:
    wrong = with_signup(settings, site.graph, meta_app_secret=SecretStr("a-wrong-secret"))
    async with serve(wrong) as routes:
        site.routes = routes
        answer = await site.post(SIGNUP_CALLBACK, code=site.code(), state=await site.state())

    body = problem(answer, 409, "meta_refused")
    assert body["errors"]["reason"]
    assert "a-wrong-secret" not in answer.text + repr(logs)


# --- Withdrawing ---


async def test_meta_s_signed_word_ends_the_connections_of_that_user(site: Site, logs: list[dict[str, Any]]) -> None:
    await site.post(SIGNUP_CALLBACK, code=site.code(), state=await site.state())
    logs.clear()

    first = await site.routes.post(DEAUTHORIZE, data={"signed_request": signed_request(site.meta_user_id, APP_SECRET)})
    again = await site.routes.post(DEAUTHORIZE, data={"signed_request": signed_request(site.meta_user_id, APP_SECRET)})

    assert (first.status_code, first.json()) == (200, {"connections": 1})
    assert (again.status_code, again.json()) == (200, {"connections": 0})
    assert await site.statuses() == ["inactive"]
    assert [len(event["connection_ids"]) for event in logs if event["event"] == "deauthorized"] == [1, 0]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"signed_request=",
        b"signed_request=%FF.%00",
        b"signed_request=a.b&signed_request=c.d",
        b"\xff\xfe",
        b'{"signed_request": "a.b"}',
    ],
)
async def test_anybody_else_s_word_ends_nothing(site: Site, content: bytes) -> None:
    await site.post(SIGNUP_CALLBACK, code=site.code(), state=await site.state())
    forged = f"signed_request={signed_request(site.meta_user_id, 'another-secret')}".encode()

    for body in (content, forged):
        problem(await site.routes.post(DEAUTHORIZE, content=body), 401, "signature_invalid")

    assert await site.statuses() == ["active"]
