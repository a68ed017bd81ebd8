"""Both generations of API keys open the same doors, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from supabase import AsyncClientOptions, PostgrestAPIError, acreate_client

from qero.local.stack import Address
from tests.support import PASSWORD

PUBLIC_KEYS = ("publishable_key", "anon_key")
SECRET_KEYS = ("secret_key", "service_role_key")


@pytest.fixture
async def http(granting: Address) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=granting.url) as http:
        yield http


async def sign_up(http: httpx.AsyncClient, key: str) -> str:
    """A new user's access token."""
    answer = await http.post(
        "/auth/v1/signup",
        headers={"apikey": key},
        json={"email": f"{uuid4().hex}@example.com", "password": PASSWORD},
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


async def database_role(http: httpx.AsyncClient, **headers: str) -> str:
    answer = await http.post("/rest/v1/rpc/whoami", headers=headers, json={})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["database_role"])


@pytest.mark.parametrize("name", SECRET_KEYS)
async def test_a_secret_key_of_either_generation_is_the_service(
    granting: Address, http: httpx.AsyncClient, name: str
) -> None:
    key = getattr(granting, name)
    service = await acreate_client(granting.url, key, AsyncClientOptions(httpx_client=http))

    whoami: Any = (await service.rpc("whoami", {}).execute()).data
    assert whoami["database_role"] == "service_role"
    assert isinstance(await service.auth.admin.list_users(), list)
    assert await database_role(http, apikey=key) == "service_role"


@pytest.mark.parametrize("name", PUBLIC_KEYS)
async def test_a_public_key_of_either_generation_alone_reads_nothing(
    granting: Address, http: httpx.AsyncClient, name: str
) -> None:
    anybody = await acreate_client(granting.url, getattr(granting, name), AsyncClientOptions(httpx_client=http))

    for query in (anybody.table("contacts").select("id"), anybody.rpc("whoami", {})):
        with pytest.raises(PostgrestAPIError) as error:
            await query.execute()
        assert error.value.code == "42501"


@pytest.mark.parametrize("name", PUBLIC_KEYS)
async def test_a_users_token_beside_a_public_key_of_either_generation_is_the_user(
    granting: Address, http: httpx.AsyncClient, name: str
) -> None:
    key = getattr(granting, name)

    token = await sign_up(http, key)

    assert await database_role(http, apikey=key, authorization=f"Bearer {token}") == "authenticated"


async def test_a_key_may_come_in_the_address(granting: Address, http: httpx.AsyncClient) -> None:
    answer = await http.get("/rest/v1/workspaces", params={"apikey": granting.secret_key, "select": "id"})

    assert (answer.status_code, answer.json()) == (200, [])


async def test_a_bearer_is_the_same_key_or_a_jwt(granting: Address, http: httpx.AsyncClient) -> None:
    legacy = {"apikey": granting.anon_key, "authorization": f"Bearer {granting.service_role_key}"}
    assert await database_role(http, **legacy) == "service_role"

    for bearer in (granting.secret_key, "sb_secret_unknown", "not.a.jwt"):
        headers = {"apikey": granting.publishable_key, "authorization": f"Bearer {bearer}"}
        answer = await http.post("/rest/v1/rpc/whoami", headers=headers, json={})
        assert answer.status_code == 401, f"{bearer[:10]}…: {answer.text}"


async def test_a_users_token_is_no_api_key(granting: Address, http: httpx.AsyncClient) -> None:
    token = await sign_up(http, granting.publishable_key)

    answer = await http.get("/rest/v1/workspaces", headers={"apikey": token, "authorization": f"Bearer {token}"})

    assert (answer.status_code, answer.json()["message"]) == (401, "Invalid API key")
