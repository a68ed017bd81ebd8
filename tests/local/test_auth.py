"""supabase-py's auth calls, the user's and the administrator's, unchanged against the stack."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from supabase import AsyncClient, AsyncClientOptions, acreate_client
from supabase_auth.errors import AuthApiError, AuthWeakPasswordError

from qero import Settings
from tests.support import PASSWORD, World


def an_address() -> str:
    return f"user-{uuid4().hex[:12]}@example.com"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as http:
        yield http


@pytest.fixture
async def user(settings: Settings, http: httpx.AsyncClient) -> AsyncClient:
    """A client of an application: publishable key, nobody signed in yet."""
    options = AsyncClientOptions(httpx_client=http, auto_refresh_token=False)
    return await acreate_client(settings.require("supabase_url"), settings.require("publishable_key"), options)


class TestUsers:
    async def test_a_user_signs_up_and_is_mirrored_as_a_profile(self, user: AsyncClient, world: World) -> None:
        email = an_address()

        signed_up = await user.auth.sign_up(
            {"email": email, "password": PASSWORD, "options": {"data": {"full_name": "Ada"}}}
        )

        assert signed_up.user is not None
        assert signed_up.session is not None, "no confirmation is asked for"
        assert await world.rows("select email, full_name from profiles where id = %s", signed_up.user.id) == [
            (email, "Ada")
        ]
        assert (await user.table("profiles").select("email").execute()).data == [{"email": email}]

    async def test_an_address_signs_up_once(self, user: AsyncClient) -> None:
        email = an_address()
        await user.auth.sign_up({"email": email, "password": PASSWORD})

        with pytest.raises(AuthApiError) as error:
            await user.auth.sign_up({"email": email, "password": PASSWORD})

        assert (error.value.status, error.value.code) == (422, "user_already_exists")

    async def test_a_short_password_is_refused(self, user: AsyncClient) -> None:
        with pytest.raises(AuthWeakPasswordError) as error:
            await user.auth.sign_up({"email": an_address(), "password": "12345"})

        assert (error.value.status, error.value.code) == (422, "weak_password")

    async def test_a_session_names_the_user_and_the_project(self, user: AsyncClient, world: World) -> None:
        olga = await world.user("olga")

        session = (await user.auth.sign_in_with_password({"email": olga.email, "password": PASSWORD})).session

        assert session is not None
        claims = jwt.decode(session.access_token, options={"verify_signature": False})
        assert UUID(claims["sub"]) == olga.id
        assert (claims["aud"], claims["role"], claims["email"]) == ("authenticated", "authenticated", olga.email)
        assert claims["iss"] == f"{world.settings.supabase_url}/auth/v1"
        assert claims["session_id"]
        assert session.expires_in == pytest.approx(claims["exp"] - time.time(), abs=5)
        known = await user.auth.get_user()
        assert known is not None
        assert known.user.last_sign_in_at is not None

    @pytest.mark.parametrize("known", [True, False])
    async def test_a_wrong_password_and_an_unknown_address_look_alike(
        self, user: AsyncClient, world: World, known: bool
    ) -> None:
        email = (await world.user("olga")).email if known else an_address()

        with pytest.raises(AuthApiError) as error:
            await user.auth.sign_in_with_password({"email": email, "password": "wrong password"})

        assert (error.value.status, error.value.code) == (400, "invalid_credentials")
        assert error.value.message == "Invalid login credentials"

    async def test_a_session_is_refreshed_with_its_refresh_token_and_no_other(
        self, user: AsyncClient, world: World
    ) -> None:
        olga = await world.user("olga")
        first = (await user.auth.sign_in_with_password({"email": olga.email, "password": PASSWORD})).session
        assert first is not None

        second = (await user.auth.refresh_session()).session

        assert second is not None
        assert second.refresh_token != first.refresh_token
        assert second.user.id == first.user.id
        assert (await user.table("profiles").select("id").eq("id", str(olga.id)).execute()).data
        with pytest.raises(AuthApiError) as error:
            await user.auth.refresh_session(second.refresh_token[::-1])
        assert error.value.code in ("refresh_token_not_found", "validation_failed")

    async def test_a_user_changes_their_name_and_password(self, user: AsyncClient, world: World) -> None:
        email = an_address()
        await user.auth.sign_up({"email": email, "password": PASSWORD})

        updated = await user.auth.update_user({"data": {"full_name": "Ada Lovelace"}, "password": f"new {PASSWORD}"})

        assert updated.user.user_metadata["full_name"] == "Ada Lovelace"
        assert await world.scalar("select full_name from profiles where id = %s", updated.user.id) == "Ada Lovelace"
        with pytest.raises(AuthApiError):
            await user.auth.sign_in_with_password({"email": email, "password": PASSWORD})
        assert (await user.auth.sign_in_with_password({"email": email, "password": f"new {PASSWORD}"})).session

    async def test_after_signing_out_the_session_can_not_be_refreshed(self, user: AsyncClient, world: World) -> None:
        olga = await world.user("olga")
        session = (await user.auth.sign_in_with_password({"email": olga.email, "password": PASSWORD})).session
        assert session is not None

        await user.auth.sign_out()

        assert await user.auth.get_session() is None
        with pytest.raises(AuthApiError):
            await user.auth.refresh_session(session.refresh_token)

    async def test_an_expired_or_forged_token_opens_nothing(
        self, user: AsyncClient, world: World, http: httpx.AsyncClient
    ) -> None:
        secret = world.settings.jwt_secret
        assert secret is not None, "set SUPABASE_JWT_SECRET: an expired token has to be signed"
        claims = jwt.decode((await world.user("olga")).access_token, options={"verify_signature": False})
        expired = jwt.encode({**claims, "exp": int(time.time()) - 3600}, secret.get_secret_value(), "HS256")
        forged = jwt.encode(claims, "not the secret" * 4, "HS256")

        for token in (expired, forged):
            with pytest.raises(AuthApiError) as error:
                await user.auth.get_user(token)
            assert (error.value.status, error.value.code) == (403, "bad_jwt")
            answer = await http.get(
                f"{world.settings.supabase_url}/rest/v1/profiles",
                headers={"apikey": world.settings.require("publishable_key"), "authorization": f"Bearer {token}"},
            )
            assert answer.status_code == 401
            assert answer.json()["code"] in ("PGRST301", "PGRST303")


class TestAdministration:
    async def test_a_user_is_created_found_changed_and_deleted(self, world: World) -> None:
        admin, email = world.service.auth.admin, an_address()

        created = await admin.create_user(
            {
                "email": email.upper(),
                "password": PASSWORD,
                "email_confirm": True,
                "user_metadata": {"full_name": "Ada"},
                "app_metadata": {"plan": "pro"},
            }
        )
        user_id = created.user.id
        assert (created.user.email, created.user.role) == (email, "authenticated")
        assert created.user.email_confirmed_at is not None
        assert created.user.app_metadata == {"provider": "email", "providers": ["email"], "plan": "pro"}
        assert created.user.identities is not None
        assert [identity.provider for identity in created.user.identities] == ["email"]
        assert await world.rows("select email, full_name from profiles where id = %s", user_id) == [(email, "Ada")]

        assert (await admin.get_user_by_id(user_id)).user.id == user_id
        assert user_id in [user.id for user in await admin.list_users(page=1, per_page=10)]

        new_email = an_address()
        changed = await admin.update_user_by_id(
            user_id, {"email": new_email, "password": f"new {PASSWORD}", "user_metadata": {"full_name": "Eve"}}
        )
        assert (changed.user.email, changed.user.user_metadata["full_name"]) == (new_email, "Eve")
        assert await world.rows("select email, full_name from profiles where id = %s", user_id) == [(new_email, "Eve")]

        await admin.delete_user(user_id)
        with pytest.raises(AuthApiError) as error:
            await admin.get_user_by_id(user_id)
        assert (error.value.status, error.value.code) == (404, "user_not_found")
        assert await world.rows("select from profiles where id = %s", user_id) == []

    async def test_users_are_listed_page_by_page_newest_first(self, world: World) -> None:
        admin = world.service.auth.admin
        created = [(await admin.create_user({"email": an_address(), "password": PASSWORD})).user.id for _ in range(3)]

        pages = [[user.id for user in await admin.list_users(page=n, per_page=1)] for n in (1, 2, 3)]

        assert pages == [[user_id] for user_id in reversed(created)]

    async def test_an_address_belongs_to_one_user(self, world: World) -> None:
        with pytest.raises(AuthApiError) as error:
            await world.service.auth.admin.create_user({"email": (await world.user("olga")).email})

        assert (error.value.status, error.value.code) == (422, "email_exists")

    async def test_a_banned_user_can_not_sign_in_until_the_ban_is_lifted(self, user: AsyncClient, world: World) -> None:
        admin, email = world.service.auth.admin, an_address()
        user_id = (await admin.create_user({"email": email, "password": PASSWORD, "email_confirm": True})).user.id

        await admin.update_user_by_id(user_id, {"ban_duration": "24h"})
        with pytest.raises(AuthApiError) as error:
            await user.auth.sign_in_with_password({"email": email, "password": PASSWORD})
        await admin.update_user_by_id(user_id, {"ban_duration": "none"})

        assert error.value.code == "user_banned"
        assert (await user.auth.sign_in_with_password({"email": email, "password": PASSWORD})).session

    async def test_signing_a_user_out_ends_their_sessions(self, user: AsyncClient, world: World) -> None:
        email = an_address()
        session = (await user.auth.sign_up({"email": email, "password": PASSWORD})).session
        assert session is not None

        await world.service.auth.admin.sign_out(session.access_token, "global")

        with pytest.raises(AuthApiError):
            await user.auth.refresh_session(session.refresh_token)

    async def test_the_publishable_key_and_a_users_token_do_not_administer(
        self, user: AsyncClient, world: World
    ) -> None:
        olga = await world.user("olga")

        for client in (user, olga.client):
            with pytest.raises(AuthApiError) as error:
                await client.auth.admin.list_users()
            assert error.value.status in (401, 403)
            with pytest.raises(AuthApiError):
                await client.auth.admin.delete_user(str(olga.id))
        assert (await world.service.auth.admin.get_user_by_id(str(olga.id))).user.email == olga.email
