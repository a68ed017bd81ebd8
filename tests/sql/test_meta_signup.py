"""Signup states work once, for a while, for one user; disconnecting ends a number and nothing else."""

from __future__ import annotations

import asyncio
import time
from hashlib import sha256
from typing import Any
from uuid import UUID

import httpx

from qero import Connections
from tests.sql.access import Cast
from tests.support import User, World, digits


async def start(cast: Cast, identity: str = "owner", **arguments: Any) -> str:
    answer = await cast.rpc(identity, "start_meta_signup", p_workspace_id=cast.workspace.id, **arguments)
    assert answer.status_code == 200, answer.text
    state: str = answer.json()["state"]
    return state


async def as_user(user: User, function: str, **arguments: Any) -> Any:
    return (await user.client.rpc(function, arguments).execute()).data


async def use(cast: Cast, state: str, identity: str = "owner") -> httpx.Response:
    return await cast.rpc("service", "use_meta_signup_state", p_state=state, p_user_id=cast.user_ids[identity])


async def test_a_state_says_what_it_was_made_for_and_is_stored_hashed_only(cast: Cast) -> None:
    state = await start(cast, p_redirect_uri="https://crm.example.com/back")

    [row] = await cast.world.rows(
        "select row_to_json(state)::text, extract(epoch from expires_at - now()) from meta_signup_states as state"
        " where state_hash = %s",
        sha256(state.encode()).hexdigest(),
    )
    assert len(state) == 64
    assert state not in row[0]
    assert 590 < row[1] <= 600
    assert (await use(cast, state)).json() == {
        "workspace_id": str(cast.workspace.id),
        "redirect_uri": "https://crm.example.com/back",
    }


async def test_of_many_requests_with_one_state_one_gets_it(cast: Cast) -> None:
    state = await start(cast)

    answers = await asyncio.gather(*(use(cast, state) for _ in range(10)))

    codes = sorted(answer.json().get("message", "ok") for answer in answers)
    assert codes == ["ok"] + ["signup_state_used"] * 9


async def test_a_colleague_with_the_same_rights_cannot_use_it_and_does_not_use_it_up(cast: Cast) -> None:
    state = await start(cast)

    assert (await use(cast, state, "admin")).json()["message"] == "signup_state_invalid"
    assert (await use(cast, state)).status_code == 200


async def test_whoever_lost_the_role_is_refused_and_gets_it_back_with_the_role(cast: Cast) -> None:
    state = await start(cast, "admin")
    role = "update workspace_memberships set role = %s where workspace_id = %s and user_id = %s returning 1"
    await cast.world.rows(role, "viewer", cast.workspace.id, cast.user_ids["admin"])
    try:
        assert (await use(cast, state, "admin")).json()["message"] == "role_required"
    finally:
        await cast.world.rows(role, "admin", cast.workspace.id, cast.user_ids["admin"])
    assert (await use(cast, state, "admin")).status_code == 200


async def test_whoever_leaves_the_workspace_takes_their_states_along(people: World) -> None:
    workspace = await people.workspace(owner="owner", admin="admin")
    admin = await people.user("admin")
    answer = await as_user(admin, "start_meta_signup", p_workspace_id=str(workspace.id))

    await people.rows(
        "delete from workspace_memberships where workspace_id = %s and user_id = %s returning 1", workspace.id, admin.id
    )

    assert (await people.rows("select 1 from meta_signup_states where workspace_id = %s", workspace.id)) == []
    assert answer["state"]


async def test_starting_again_and_again_keeps_the_table_small(people: World) -> None:
    workspace = await people.workspace(owner="owner")
    owner = await people.user("owner")
    await people.rows(
        """
        insert into meta_signup_states (state_hash, workspace_id, user_id, expires_at)
        select encode(sha256(random()::text::bytea), 'hex'), %s, %s, now() - interval '2 hours'
        from generate_series(1, 120) returning 1
        """,
        workspace.id, owner.id,
    )  # fmt: skip

    states = []
    for _ in range(15):
        answer = await as_user(owner, "start_meta_signup", p_workspace_id=str(workspace.id))
        states.append(answer["state"])

    assert await people.scalar("select count(*) from meta_signup_states where workspace_id = %s", workspace.id) == 10
    newest = [sha256(state.encode()).hexdigest() for state in states[-10:]]
    assert await people.scalar("select count(*) from meta_signup_states where state_hash = any (%s)", newest) == 10


# --- Disconnecting ---


async def secrets_of(world: World, *connection_ids: UUID) -> int:
    return int(
        await world.scalar(
            "select count(*) from private.wa_connection_secrets where connection_id = any (%s)", list(connection_ids)
        )
    )


async def test_a_disconnected_number_loses_its_token_keeps_its_queue_and_can_be_connected_elsewhere(
    people: World,
) -> None:
    workspace = await people.workspace(owner="owner")
    number = await people.number(workspace)
    thread = await people.thread(number)
    owner = await people.user("owner")
    await as_user(owner, "send_whatsapp_text", p_thread_id=str(thread.id), p_body="Hi", p_idempotency_key="one")

    arguments = {"p_connection_id": str(number.connection.id), "p_reason": "moved away"}
    first = await as_user(owner, "disconnect_wa_phone_number", **arguments)
    again = await as_user(owner, "disconnect_wa_phone_number", **{**arguments, "p_reason": "other"})

    assert (first["status"], first["status_reason"]) == ("inactive", "moved away")
    assert again == first, "doing it again changes nothing"
    assert await secrets_of(people, number.connection.id) == 0
    claimed = await people.rows("select thread_id from claim_outbox(1000, 'w')")
    assert thread.id not in {row[0] for row in claimed}
    assert await people.scalar("select status from outbox_messages where thread_id = %s", thread.id) == "queued"

    elsewhere = await people.number(
        await people.workspace(owner="admin"), phone_number_id=number.at_meta.phone_number_id
    )
    assert elsewhere.connection.status == "active"


async def test_a_number_connected_again_sends_what_waited(people: World) -> None:
    workspace = await people.workspace(owner="owner")
    number = await people.number(workspace)
    thread = await people.thread(number)
    owner = await people.user("owner")
    await as_user(owner, "send_whatsapp_text", p_thread_id=str(thread.id), p_body="Hi", p_idempotency_key="one")
    await as_user(owner, "disconnect_wa_phone_number", p_connection_id=str(number.connection.id))

    again = await people.number(workspace, phone_number_id=number.at_meta.phone_number_id)

    assert again.connection.id == number.connection.id
    assert (again.connection.status, again.connection.status_reason) == ("active", None)
    claimed = await people.rows("select thread_id from claim_outbox(1000, 'w')")
    assert thread.id in {row[0] for row in claimed}


async def test_a_withdrawn_grant_ends_the_connections_of_that_grant_in_every_workspace(people: World) -> None:
    granter, other = digits(15), digits(15)
    ids = []
    for meta_user_id in (granter, granter, other, None):
        workspace = await people.workspace(owner="owner")
        [[connection_id]] = await people.rows(
            "select id from connect_wa_phone_number(%s, %s, %s, 'x', p_meta_user_id => %s)",
            workspace.id, digits(15), digits(15), meta_user_id,
        )  # fmt: skip
        ids.append(connection_id)

    ended = await people.rows("select id, status, status_reason from deauthorize_meta_user(%s)", granter)

    assert {row[0] for row in ended} == set(ids[:2])
    assert {row[1:] for row in ended} == {("inactive", "deauthorized")}
    assert await secrets_of(people, *ids[:2]) == 0
    assert await secrets_of(people, *ids[2:]) == 2
    assert await people.rows("select id from deauthorize_meta_user(%s)", granter) == []
    assert await people.rows("select id from deauthorize_meta_user(null)") == []


async def test_a_token_that_somebody_else_granted_meanwhile_survives(people: World) -> None:
    granter, other = digits(15), digits(15)
    workspace, waba_id, phone_number_id = await people.workspace(owner="owner"), digits(15), digits(15)
    connect = "select id from connect_wa_phone_number(%s, %s, %s, 'x', p_meta_user_id => %s)"
    [[connection_id]] = await people.rows(connect, workspace.id, waba_id, phone_number_id, granter)

    await people.rows(connect, workspace.id, waba_id, phone_number_id, other)

    assert await people.rows("select id from deauthorize_meta_user(%s)", granter) == []
    assert await people.scalar("select status from wa_phone_numbers where id = %s", connection_id) == "active"


async def test_what_meta_said_about_an_earlier_grant_does_not_end_the_new_one(people: World) -> None:
    """Removing the app ends the connection by its callback first, so Meta's webhook about it finds nobody and waits."""
    workspace = await people.workspace(owner="owner")
    number = await people.number(workspace)
    status = "select status from wa_phone_numbers where id = %s"

    def removed(seconds: int) -> dict[str, Any]:
        change = {"field": "account_update", "value": {"event": "PARTNER_REMOVED"}}
        entry = {"id": number.at_meta.waba_id, "time": int(time.time()) + seconds, "changes": [change]}
        return {"object": "whatsapp_business_account", "entry": [entry]}

    await Connections(people.service).disconnect(number.connection.id)
    [outcome] = await people.receive(removed(-60))
    assert outcome.outcome == "orphan"

    again = await Connections(people.service, people.secrets).connect(
        workspace.id,
        waba_id=number.at_meta.waba_id,
        phone_number_id=number.at_meta.phone_number_id,
        access_token="EAArenewed",
    )

    assert again.status == await people.scalar(status, number.connection.id) == "active"
    await people.receive(removed(+60))
    assert await people.scalar(status, number.connection.id) == "inactive"
