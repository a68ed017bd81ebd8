"""Profiles follow the accounts, and every workspace keeps an owner."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from qero import Workspaces
from qero.clients.rpc import execute
from qero.models.workspace import Workspace
from tests.support import World


async def profile(world: World, user_id: UUID) -> tuple[Any, ...] | None:
    rows = await world.rows("select email, full_name, timezone from profiles where id = %s", user_id)
    return rows[0] if rows else None


async def test_whoever_is_in_very_many_workspaces_sees_all_of_them(world: World) -> None:
    """The API answers with a thousand rows at most."""
    user, mark = await world.user("olga"), uuid4().hex[:8]
    await world.rows(
        """
        with many as (
          insert into workspaces (slug, name) select 'many-' || %s || '-' || i, 'Many' from generate_series(1, 1100) i
          returning id)
        insert into workspace_memberships (workspace_id, user_id, role) select id, %s, 'owner' from many
        returning workspace_id
        """,
        mark, user.id,
    )  # fmt: skip
    try:
        slugs = [workspace.slug for workspace in await Workspaces(user.client).list()]
    finally:
        await world.rows("delete from workspaces where slug like %s returning id", f"many-{mark}-%")

    assert len([slug for slug in slugs if slug.startswith(f"many-{mark}-")]) == 1100
    assert len(set(slugs)) == len(slugs)


async def test_a_profile_follows_its_account(world: World) -> None:
    ada = await world.user("ada")
    assert await profile(world, ada.id) == (ada.email, "Ada", "UTC")

    email = f"lovelace-{uuid4().hex[:12]}@example.com"
    await world.database.execute(
        """
        update auth.users
        set email = %s, raw_user_meta_data = '{"full_name": "Ada Lovelace", "timezone": "Europe/London"}' where id = %s
        """,
        [email, ada.id],
    )
    assert await profile(world, ada.id) == (email, "Ada Lovelace", "Europe/London")

    # A sign-in writes the account too, and must not bring back what the person changed since.
    await world.database.execute("update profiles set timezone = 'Asia/Tokyo' where id = %s", [ada.id])
    await world.database.execute("update auth.users set last_sign_in_at = now() where id = %s", [ada.id])
    assert await profile(world, ada.id) == (email, "Ada Lovelace", "Asia/Tokyo")

    await world.service.auth.admin.delete_user(str(ada.id))
    assert await profile(world, ada.id) is None


@pytest.mark.parametrize("zone", ['"Nowhere/Land"', '""', "42", '"EST5"', "null", f'"{"x" * 5000}"'])
async def test_nobodys_sign_up_fails_for_odd_data(world: World, zone: str) -> None:
    user_id = uuid4()
    await world.database.execute(
        "insert into auth.users (id, email, raw_user_meta_data) values (%s, %s, %s)",
        [user_id, f"{user_id.hex}@example.com", f'{{"full_name": "{"n" * 500}", "timezone": {zone}}}'],
    )
    assert await profile(world, user_id) == (f"{user_id.hex}@example.com", "n" * 200, "UTC")


async def test_a_person_sets_name_and_zone_and_a_zone_has_to_exist(world: World) -> None:
    ada = await world.user("ada")
    rows = ada.client.table("profiles").update({"timezone": "America/Sao_Paulo"}).eq("id", str(ada.id))
    await execute(ada.client, rows, list[dict[str, Any]], operation="test")
    assert (await profile(world, ada.id) or ())[2] == "America/Sao_Paulo"
    for zone in ("UTC", "America/Port-au-Prince", "America/Argentina/Buenos_Aires", "Etc/GMT+12"):
        assert await world.scalar("select private.is_timezone(%s)", zone), zone

    answer = await world.clients.http.patch(
        f"{world.settings.supabase_url}/rest/v1/profiles",
        params={"id": f"eq.{ada.id}"},
        headers={"apikey": world.settings.require("publishable_key"), "authorization": f"Bearer {ada.access_token}"},
        json={"timezone": "Nowhere/Land"},
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "23514")
    assert "profiles_timezone_check" in answer.json()["message"]


async def owned_by(world: World, *names: str) -> tuple[Workspace, list[UUID]]:
    workspace = await world.workspace(owner=names[0], **dict.fromkeys(names[1:], "owner"))  # type: ignore[arg-type]
    return workspace, [(await world.user(name)).id for name in names]


LEAVE = "delete from workspace_memberships where workspace_id = %s and user_id = %s"
STEP_DOWN = "update workspace_memberships set role = 'admin' where workspace_id = %s and user_id = %s"


@pytest.mark.parametrize("statement", [LEAVE, STEP_DOWN])
async def test_the_last_owner_stays(world: World, statement: str) -> None:
    workspace, [olga] = await owned_by(world, "olga")

    with pytest.raises(psycopg.DatabaseError) as error:
        await world.rows(statement + " returning 1", workspace.id, olga)

    assert (error.value.sqlstate, error.value.diag.message_primary) == ("PT409", "last_owner")
    assert json.loads(error.value.diag.message_detail or "") == {"workspace_id": str(workspace.id)}
    assert await Workspaces((await world.user("olga")).client).resolve(workspace.slug) == workspace.id


async def test_the_last_owners_account_cannot_be_deleted(world: World) -> None:
    _, [olga] = await owned_by(world, "olga")
    with pytest.raises(psycopg.DatabaseError) as error:
        await world.rows("delete from auth.users where id = %s returning 1", olga)
    assert error.value.diag.message_primary == "last_owner"


async def test_a_workspace_with_its_owner_can_go(world: World) -> None:
    workspace, [olga] = await owned_by(world, "olga")
    await world.rows("delete from workspaces where id = %s returning 1", workspace.id)
    assert await world.rows("select 1 from workspace_memberships where user_id = %s", olga) == []


async def test_ownership_is_handed_over_in_one_transaction(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    olga, bob = (await world.user("olga")).id, (await world.user("bob")).id
    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as connection:
        # In between nobody owns it: only the end counts.
        await connection.execute(STEP_DOWN, [workspace.id, olga])
        await connection.execute(
            "update workspace_memberships set role = 'owner' where workspace_id = %s and user_id = %s",
            [workspace.id, bob],
        )
    owners = "select user_id from workspace_memberships where workspace_id = %s and role = 'owner'"
    assert await world.rows(owners, workspace.id) == [(bob,)]


@pytest.mark.parametrize("second", [LEAVE, STEP_DOWN])
async def test_two_owners_leaving_at_once_leave_one_behind(world: World, second: str) -> None:
    workspace, owners = await owned_by(world, "olga", "otto")
    url = world.settings.require("db_url")

    async with (
        await psycopg.AsyncConnection.connect(url) as first_connection,
        await psycopg.AsyncConnection.connect(url) as second_connection,
    ):
        # Each sees the other still there.
        await first_connection.execute(LEAVE, [workspace.id, owners[0]])
        await second_connection.execute(second, [workspace.id, owners[1]])
        outcomes = await asyncio.gather(first_connection.commit(), second_connection.commit(), return_exceptions=True)

    refused = [outcome for outcome in outcomes if outcome is not None]
    assert len(refused) == 1
    assert isinstance(refused[0], psycopg.DatabaseError)
    assert refused[0].diag.message_primary == "last_owner"
    left = "select count(*) from workspace_memberships where workspace_id = %s and role = 'owner'"
    assert await world.scalar(left, workspace.id) == 1
