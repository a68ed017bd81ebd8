"""Invitations: to one address, once, for a while."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from qero import Conflict, InvalidState, InvitationAcceptance, Invitations, NotFound, PermissionDenied, Workspaces
from qero.models.workspace import MemberRole
from tests.support import World


async def accept(world: World, name: str, token: str) -> MemberRole:
    return await InvitationAcceptance((await world.user(name)).client).accept(token)


async def test_an_invitation_lets_its_address_in_once(world: World) -> None:
    workspace = await world.workspace(anna="admin")
    nina = await world.user("nina")
    anna = Invitations((await world.user("anna")).client)

    invitation = await anna.create(workspace.id, f"  {nina.email.upper()} ", "viewer")

    assert (invitation.email, invitation.role) == (nina.email, "viewer")
    assert invitation.token not in repr(invitation)
    stored = await world.rows(
        "select to_jsonb(row)::text from workspace_invitations as row where id = %s", invitation.id
    )
    assert invitation.token not in stored[0][0]
    first, second = await asyncio.gather(*(accept(world, "nina", invitation.token) for _ in range(2)))
    assert first == second
    assert (first.user_id, first.role) == (nina.id, "viewer")
    [listed] = await anna.list(workspace.id)
    assert (listed.accepted_by, listed.accepted_at is not None) == (nina.id, True)
    assert [(member.email, member.role) for member in await Workspaces(nina.client).members(workspace.id)][-1] == (
        nina.email, "viewer",
    )  # fmt: skip

    await Workspaces(nina.client).remove_member(workspace.id, nina.id)
    with pytest.raises(InvalidState) as error:
        await accept(world, "nina", invitation.token)
    assert error.value.code == "invitation_used", "whoever left doesn't come back by the same token"


async def test_a_token_is_worth_nothing_to_anybody_else(world: World) -> None:
    workspace = await world.workspace()
    invitation = await Invitations((await world.user("olga")).client).create(workspace.id, "nina@example.com")
    with pytest.raises(PermissionDenied) as error:
        await accept(world, "mallory", invitation.token)
    assert error.value.code == "invitation_for_another"
    assert "nina" not in str(error.value.to_dict())
    assert [member.role for member in await Workspaces(world.service).members(workspace.id)] == ["owner"]


async def test_one_open_invitation_for_an_address_until_it_is_revoked_or_has_run_out(world: World) -> None:
    workspace = await world.workspace()
    nina = await world.user("nina")
    olga = Invitations((await world.user("olga")).client)
    outcomes = await asyncio.gather(*(olga.create(workspace.id, nina.email) for _ in range(4)), return_exceptions=True)
    [first] = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
    assert {outcome.code for outcome in outcomes if isinstance(outcome, Conflict)} == {"invitation_open"}

    revoked = await olga.revoke(first.id)
    assert revoked == await olga.revoke(first.id)
    with pytest.raises(InvalidState) as error:
        await accept(world, "nina", first.token)
    assert error.value.code == "invitation_revoked"

    second = await olga.create(workspace.id, nina.email, expires_in=timedelta(minutes=1))
    await world.rows("update workspace_invitations set expires_at = now() where id = %s returning 1", second.id)
    with pytest.raises(InvalidState) as error:
        await accept(world, "nina", second.token)
    assert error.value.code == "invitation_expired"

    third = await olga.create(workspace.id, nina.email)
    assert (await accept(world, "nina", third.token)).role == "member"
    with pytest.raises(Conflict) as taken:
        await olga.create(workspace.id, nina.email)
    assert taken.value.code == "already_member"


async def test_roles_decide_who_invites_whom(world: World) -> None:
    workspace = await world.workspace(anna="admin", bob="member")
    invitation = await Invitations((await world.user("olga")).client).create(workspace.id, "a@example.com", "owner")
    for name, role in (("anna", "owner"), ("bob", "viewer")):
        with pytest.raises(PermissionDenied) as error:
            await Invitations((await world.user(name)).client).create(workspace.id, "b@example.com", role)  # type: ignore[arg-type]
        assert error.value.code == "role_required"
    bob: Any = Invitations((await world.user("bob")).client)
    assert await bob.list(workspace.id) == []
    with pytest.raises(PermissionDenied):
        await bob.revoke(invitation.id)
    with pytest.raises(NotFound):
        await Invitations((await world.user("mallory")).client).revoke(invitation.id)
