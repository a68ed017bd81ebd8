"""Channels live as long as their token does, and no longer."""

from __future__ import annotations

import time

import jwt
import pytest
from realtime import AsyncRealtimeClient
from realtime.types import RealtimeSubscribeStates
from websockets.exceptions import InvalidStatus

from tests.realtime.listening import Listener, Listeners
from tests.support import User, World


def expiring_token(world: World, user: User, *, seconds: float) -> str:
    """The user's own token, signed anew with another end."""
    secret = world.settings.jwt_secret
    assert secret is not None, "set SUPABASE_JWT_SECRET: a token that expires soon has to be signed"
    claims = jwt.decode(user.access_token, options={"verify_signature": False})
    return jwt.encode({**claims, "exp": time.time() + seconds}, secret.get_secret_value(), "HS256")


async def test_a_channel_is_closed_when_its_token_expires(world: World, listeners: Listeners) -> None:
    token = expiring_token(world, await world.user("olga"), seconds=2)
    olga = await Listener(await listeners.client(token), "t").join()

    states = [(await olga.states.next())[0], (await olga.states.next())[0]]

    assert states == [RealtimeSubscribeStates.CHANNEL_ERROR, RealtimeSubscribeStates.CLOSED]


async def test_a_channel_whose_token_is_renewed_in_time_stays_open(world: World, listeners: Listeners) -> None:
    user = await world.user("olga")
    workspace = await world.workspace()
    renewing = await listeners.client(expiring_token(world, user, seconds=2.5))
    renewed = await Listener(renewing, "renewed").watching("contacts").join()
    # Expires after the first would have, and so tells when to look.
    clock = await Listener(await listeners.client(expiring_token(world, user, seconds=3)), "clock").join()

    await renewing.set_auth(user.access_token)
    await renewed.flowing.next()
    assert (await clock.states.next())[0] is RealtimeSubscribeStates.CHANNEL_ERROR

    await world.service.table("contacts").insert({"workspace_id": str(workspace.id), "name": "Ada"}).execute()
    assert (await renewed.changes.next())["record"]["name"] == "Ada"
    assert renewed.states.so_far() == []


async def test_nobody_joins_with_a_token_that_is_expired_or_forged(world: World, listeners: Listeners) -> None:
    user = await world.user("olga")
    expired = Listener(await listeners.client(expiring_token(world, user, seconds=-60)), "t")
    forged_token = jwt.encode({"role": "service_role", "exp": time.time() + 60}, "not the secret" * 4, "HS256")
    forged = Listener(await listeners.client(forged_token), "t")

    assert "Token has expired" in await expired.refusal()
    assert "JwtSignatureError" in await forged.refusal()


async def test_renewing_with_a_forged_token_closes_the_channel(world: World, listeners: Listeners) -> None:
    olga = await (await listeners.of("olga")).join()

    await olga.client.set_auth(
        jwt.encode({"role": "service_role", "exp": time.time() + 60}, "not the secret" * 4, "HS256")
    )

    assert (await olga.states.next())[0] is RealtimeSubscribeStates.CHANNEL_ERROR
    assert (await olga.states.next())[0] is RealtimeSubscribeStates.CLOSED


@pytest.mark.parametrize("key", ["sb_publishable_unknown", None])
async def test_a_connection_without_a_known_key_is_refused(world: World, key: str | None) -> None:
    client = AsyncRealtimeClient(f"{world.settings.require('supabase_url')}/realtime/v1", key, max_retries=1)

    with pytest.raises(InvalidStatus) as refused:
        await client.connect()

    assert refused.value.response.status_code == 401
