"""User and service clients over one pool: no user, no client; and no client ever speaks with another's token."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import httpx
import jwt
import pytest
from pydantic import SecretStr

from qero import (
    Clients,
    Contacts,
    NetworkError,
    NotAuthenticated,
    QeroError,
    ServiceClient,
    Settings,
    SettingsError,
    Threads,
    UserClient,
    Workspaces,
)
from qero.clients.rpc import execute
from qero.local.asgi import listen
from tests.support import World


def expired(token: str, secret: str, seconds: int = 120) -> str:
    claims = jwt.decode(token, options={"verify_signature": False})
    return jwt.encode({**claims, "exp": int(time.time()) - seconds}, secret, "HS256")


NOT_USERS: list[tuple[str, Callable[[World], Awaitable[str | None]], str]] = []


def not_a_user(code: str) -> Callable[[Callable[[World], Awaitable[str | None]]], None]:
    def remember(make: Callable[[World], Awaitable[str | None]]) -> None:
        NOT_USERS.append((make.__name__, make, code))

    return remember


@not_a_user("not_authenticated")
async def nobody(world: World) -> str | None:
    return None


@not_a_user("not_authenticated")
async def empty(world: World) -> str | None:
    return ""


@not_a_user("token_invalid")
async def garbage(world: World) -> str | None:
    return "garbage"


@not_a_user("token_wrong_audience")
async def publishable_key(world: World) -> str | None:
    return world.settings.require("publishable_key")


@not_a_user("token_wrong_audience")
async def secret_key(world: World) -> str | None:
    return world.settings.require("secret_key")


def legacy_key(world: World, role: str) -> str:
    now = int(time.time())
    claims = {"iss": "supabase", "role": role, "iat": now, "exp": now + 3600}
    return jwt.encode(claims, world.settings.require("jwt_secret"), "HS256")


@not_a_user("token_wrong_audience")
async def anon_key(world: World) -> str | None:
    return legacy_key(world, "anon")


@not_a_user("token_wrong_audience")
async def service_role_key(world: World) -> str | None:
    return legacy_key(world, "service_role")


@not_a_user("token_expired")
async def yesterdays_token(world: World) -> str | None:
    return expired((await world.user("ada")).access_token, world.settings.require("jwt_secret"))


@pytest.mark.parametrize(("make", "code"), [(make, code) for _, make, code in NOT_USERS],
                         ids=[name for name, _, _ in NOT_USERS])  # fmt: skip
async def test_without_a_verified_user_there_is_no_user_client(
    world: World, make: Callable[[World], Awaitable[str | None]], code: str
) -> None:
    token = await make(world)

    with pytest.raises(NotAuthenticated) as error:
        await world.clients.user(token)

    assert error.value.code == code
    assert error.value.hint
    assert not token or token not in repr(error.value.to_dict())


async def test_a_request_without_a_session_is_refused_before_anything_is_read_or_written(world: World) -> None:
    for headers, cookies in (
        ({}, {}),
        ({"Authorization": "Basic YTpi"}, {}),
        ({"Authorization": "Bearer"}, {}),
        ({"Authorization": "Bearer   "}, {"theme": "dark"}),
    ):
        with pytest.raises(NotAuthenticated) as error:
            await world.clients.user_from_request(headers, cookies)
        assert error.value.code == "not_authenticated"


async def test_the_bearer_token_wins_over_the_cookies(world: World) -> None:
    ada, bob = await world.user("ada"), await world.user("bob")
    session = f'{{"access_token": "{bob.access_token}"}}'
    cookies = {"sb-x-auth-token": session}

    by_both = await world.clients.user_from_request({"authorization": f"bearer {ada.access_token}"}, cookies)
    by_cookie = await world.clients.user_from_request({"cookie": "parsed elsewhere"}, cookies)

    assert by_both.identity.user_id == ada.id
    assert by_cookie.identity.user_id == bob.id
    with pytest.raises(NotAuthenticated):
        # A bad token isn't quietly replaced by a good cookie.
        await world.clients.user_from_request({"AUTHORIZATION": "Bearer garbage"}, cookies)


async def test_a_token_that_expires_in_use_is_an_error_and_never_an_empty_list(world: World) -> None:
    ada = await world.user("ada")
    workspace = await world.workspace(owner="ada")
    thread = await world.thread(await world.number(workspace))
    stale = await world.clients.user(ada.access_token)
    # What PostgREST is sent once the hour is over; it forgives clocks half a minute.
    stale.postgrest.headers["Authorization"] = (
        f"Bearer {expired(ada.access_token, world.settings.require('jwt_secret'))}"
    )

    calls: list[Callable[[], Awaitable[object]]] = [
        Workspaces(stale).list,
        Workspaces(stale).whoami,
        lambda: Workspaces(stale).resolve(workspace.slug),
        lambda: Contacts(stale).list(workspace.id),
        lambda: Contacts(stale).update_status(thread.contact_id, "engaged"),
        lambda: Threads(stale).list(workspace.id),
        lambda: Threads(stale).send_text(thread.id, "lost?"),
    ]
    for call in calls:
        with pytest.raises(NotAuthenticated) as error:
            await call()
        assert error.value.code == "token_expired"

    assert await world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id) == 0
    assert await world.scalar("select lead_status from contacts where id = %s", thread.contact_id) == "new"


async def test_a_forged_token_at_the_api_is_an_error_and_never_an_empty_list(world: World) -> None:
    ada = await world.user("ada")
    forged = await world.clients.user(ada.access_token)
    claims = jwt.decode(ada.access_token, options={"verify_signature": False})
    token = jwt.encode(claims, "somebody-elses-secret-of-thirty-two-bytes", "HS256")
    forged.postgrest.headers["Authorization"] = f"Bearer {token}"

    with pytest.raises(NotAuthenticated) as error:
        await Workspaces(forged).list()

    assert error.value.code == "token_invalid"


async def test_two_hundred_requests_at_once_never_mix_tokens(world: World) -> None:
    users = [await world.user(name) for name in ("ada", "bob")]
    for user in ("ada", "bob"):
        await world.workspace(owner=user)
    own = {user.id: [row.slug for row in await Workspaces(user.client).list()] for user in users}
    assert all(own.values())
    assert not set(own[users[0].id]) & set(own[users[1].id])

    async def ask(index: int) -> None:
        user = users[index % 2]
        client = await world.clients.user(user.access_token) if index % 3 else user.client
        answer = await Workspaces(client).whoami()
        assert (answer.user_id, answer.role) == (user.id, "authenticated")
        assert [row.slug for row in await Workspaces(client).list()] == own[user.id]

    async def ask_as_service() -> None:
        answer = await Workspaces(world.service).whoami()
        assert (answer.user_id, answer.role) == (None, "service_role")

    await asyncio.gather(*(ask(index) for index in range(200)), *(ask_as_service() for _ in range(40)))


async def test_the_service_client_never_signs_in_and_shows_no_user(settings: Settings, world: World) -> None:
    token = (await world.user("ada")).access_token
    seen: list[httpx.Request] = []

    class Watched(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            seen.append(request)
            return await super().handle_async_request(request)

    async with Clients(settings, transport=Watched()) as clients:
        service = clients.service()
        user = await clients.user(token)
        await asyncio.gather(
            *(Workspaces(client).whoami() for client in (service, user, service, user)),
            service.auth.admin.list_users(page=1, per_page=1),
        )
        assert clients.service() is service

    secret = settings.require("secret_key")
    pairs = {(request.headers["apikey"], request.headers["authorization"]) for request in seen}
    assert pairs == {(secret, f"Bearer {secret}"), (settings.require("publishable_key"), f"Bearer {token}")}
    assert {request.headers["apikey"] for request in seen if "/admin/" in request.url.path} == {secret}


async def test_the_two_kinds_of_client_are_different_types(world: World) -> None:
    user = (await world.user("ada")).client

    assert type(user) is UserClient
    assert type(world.service) is ServiceClient
    assert not isinstance(world.service, UserClient)


async def test_a_clients_own_token_is_out_of_its_repr(world: World) -> None:
    ada = await world.user("ada")

    assert ada.access_token not in repr(ada.client)
    assert world.settings.require("secret_key") not in repr(world.service)


@pytest.mark.parametrize("missing", ["supabase_url", "publishable_key", "secret_key"])
async def test_a_missing_setting_is_named_when_it_is_needed(settings: Settings, missing: str) -> None:
    with pytest.raises(SettingsError) as error:
        async with Clients(settings.model_copy(update={missing: None})) as clients:
            clients.service()

    assert error.value.code == "setting_missing"
    assert error.value.detail == {
        "setting": missing.upper() if missing == "supabase_url" else f"SUPABASE_{missing}".upper()
    }


async def test_closing_ends_every_client_also_after_an_error(settings: Settings) -> None:
    with pytest.raises(QeroError):
        async with Clients(settings) as clients:
            raise QeroError("internal_error")

    assert clients.http.is_closed
    with pytest.raises(RuntimeError, match="closed"):
        await Workspaces(clients.service()).whoami()


async def test_a_server_that_is_not_there_is_a_network_error(settings: Settings) -> None:
    with listen() as listener:
        nobody_there = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with Clients(settings.model_copy(update={"supabase_url": nobody_there})) as clients:
        with pytest.raises(NetworkError) as error:
            await Workspaces(clients.service()).whoami()

    assert error.value.retryable
    assert error.value.detail == {"operation": "whoami", "reason": "ConnectError"}


async def test_a_wrong_key_is_said_to_be_wrong_and_not_shown(settings: Settings) -> None:
    wrong = "sb_secret_of_another_project"
    async with Clients(settings.model_copy(update={"secret_key": SecretStr(wrong)})) as clients:
        for query in (
            Workspaces(clients.service()).whoami(),
            execute(
                clients.service(), clients.service().table("workspaces").select("id"), list[object], operation="list"
            ),
        ):
            with pytest.raises(NotAuthenticated) as error:
                await query
            assert error.value.code == "api_key_invalid"
            assert wrong not in repr(error.value.to_dict())
