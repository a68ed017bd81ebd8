"""Saved views: one user's own, in each workspace by itself, and shared ones."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from qero import (
    Conflict,
    Inbox,
    InvalidInput,
    NotFound,
    PermissionDenied,
    SavedViewPatch,
    SavedViews,
    ThreadFilter,
    ViewFilters,
)
from tests.support import World, post_rpc


async def views_of(world: World, name: str) -> SavedViews:
    return SavedViews((await world.user(name)).client)


async def names(views: SavedViews, workspace_id: Any) -> list[str]:
    return [view.name for view in await views.list(workspace_id)]


async def test_two_users_in_one_workspace_see_their_own(world: World) -> None:
    workspace = await world.workspace(bob="member")
    olga, bob = await views_of(world, "olga"), await views_of(world, "bob")
    hers = await olga.create(workspace.id, "Urgent", ViewFilters(status="open", tag="urgent"))
    await bob.create(workspace.id, "Urgent", ViewFilters(q="help"))
    await bob.create(workspace.id, "Mine", ViewFilters(assignee="me"))

    assert await names(olga, workspace.id) == ["Urgent"]
    assert await names(bob, workspace.id) == ["Mine", "Urgent"]
    for asking in (bob.rename(hers.id, "Stolen"), bob.delete(hers.id)):
        with pytest.raises(NotFound) as error:
            await asking
        assert error.value.code == "view_not_found"
    with pytest.raises(NotFound):
        await Inbox((await world.user("bob")).client).list(workspace.id, view_id=hers.id)
    assert (await olga.list(workspace.id)) == [hers]


async def test_one_user_in_two_workspaces_has_views_in_each(world: World) -> None:
    first, second = await world.workspace(), await world.workspace()
    olga = await views_of(world, "olga")
    view = await olga.create(first.id, "Open", ViewFilters(status=["open", "pending"]))
    await olga.create(second.id, "Open", ViewFilters(status="open"))
    await olga.create(second.id, "Other")

    assert await names(olga, first.id) == ["Open"]
    assert await names(olga, second.id) == ["Open", "Other"]
    with pytest.raises(NotFound) as error:
        await Inbox((await world.user("olga")).client).list(second.id, view_id=view.id)
    assert error.value.code == "view_not_found", "a view of one workspace isn't applied to another"


async def test_a_name_is_taken_once(world: World) -> None:
    workspace = await world.workspace()
    olga = await views_of(world, "olga")
    await olga.create(workspace.id, "Open")
    with pytest.raises(Conflict) as error:
        await olga.create(workspace.id, " Open ")
    assert (error.value.code, error.value.message) == ("view_name_taken", "View name already exists.")
    outcomes = await asyncio.gather(*(olga.create(workspace.id, "Same") for _ in range(4)), return_exceptions=True)
    assert sum(not isinstance(outcome, Conflict) for outcome in outcomes) == 1


async def test_a_view_is_renamed_changed_and_removed(world: World) -> None:
    workspace = await world.workspace()
    olga = await views_of(world, "olga")
    view = await olga.create(workspace.id, "Open", ViewFilters(status="open"))

    renamed = await olga.rename(view.id, "Everything open")
    assert (renamed.name, renamed.filters) == ("Everything open", view.filters)
    changed = await olga.update(view.id, SavedViewPatch(filters=ViewFilters(tag=["vip"])))
    assert changed.filters == ViewFilters(tag=["vip"])
    await olga.delete(view.id)
    assert await olga.list(workspace.id) == []
    with pytest.raises(NotFound):
        await olga.delete(view.id)


async def test_applying_a_view_is_filtering_by_hand(world: World) -> None:
    workspace = await world.workspace(bob="member")
    number = await world.number(workspace)
    threads = [await world.thread(number, text=text) for text in ("invoice", "parcel", "invoice and parcel")]
    user = await world.user("bob")
    inbox, views = Inbox(user.client), SavedViews(user.client)
    await inbox.assign([threads[0].id, threads[1].id], user.id)
    await inbox.tag([threads[1].id, threads[2].id], add=["vip"])
    await inbox.close([threads[1].id])
    for index, filters in enumerate(
        (
            ViewFilters(),
            ViewFilters(status="closed"),
            ViewFilters(assignee="me", status=["open", "closed"]),
            ViewFilters(assignee="unassigned", tag="vip", q="invoice"),
            ViewFilters(q="parcel"),
        )
    ):
        view = await views.create(workspace.id, f"View {index}", filters)
        by_hand = ThreadFilter(**filters.model_dump(exclude_none=True))

        applied = await inbox.list(workspace.id, view_id=view.id)
        assert applied == await inbox.list(workspace.id, by_hand)
        assert (await inbox.count(workspace.id, view_id=view.id)).count == len(applied.items)
        narrowed = await inbox.list(workspace.id, ThreadFilter(q="invoice"), view_id=view.id)
        wanted = {thread.id for thread in applied.items} & {threads[0].id, threads[2].id}
        assert {thread.id for thread in narrowed.items} == wanted


async def test_admins_share_views_and_me_is_whoever_applies_them(world: World) -> None:
    workspace = await world.workspace(anna="admin", bob="member")
    number = await world.number(workspace)
    thread = await world.thread(number)
    anna, bob = await views_of(world, "anna"), await views_of(world, "bob")
    with pytest.raises(PermissionDenied):
        await bob.create(workspace.id, "For all", shared=True)
    shared = await anna.create(workspace.id, "For all", ViewFilters(assignee="me"), shared=True, default=True)

    assert [view.id for view in await bob.list(workspace.id)] == [shared.id]
    bobs = Inbox((await world.user("bob")).client)
    await bobs.assign([thread.id], (await world.user("bob")).id)
    assert [found.id for found in (await bobs.list(workspace.id, view_id=shared.id)).items] == [thread.id]
    assert (await Inbox((await world.user("anna")).client).list(workspace.id, view_id=shared.id)).items == []
    with pytest.raises(NotFound):
        await bob.rename(shared.id, "Mine now")
    olga = await views_of(world, "olga")
    assert (await olga.rename(shared.id, "For everybody")).user_id == shared.user_id, "owners look after shared ones"


async def test_what_one_shared_is_no_longer_ones_own_to_change_without_the_role(world: World) -> None:
    workspace = await world.workspace(anna="admin")
    anna, views = await world.user("anna"), await views_of(world, "anna")
    shared = await views.create(workspace.id, "For all", shared=True)
    mine = await views.create(workspace.id, "Mine")
    set_role = "update workspace_memberships set role = %s where workspace_id = %s and user_id = %s returning 1"
    table = anna.client.table("wa_saved_views")

    async def written(view_id: Any) -> tuple[int, int]:
        """How many rows a change and a removal by table reach."""
        changed = await table.update({"name": f"{view_id}"}).eq("id", str(view_id)).execute()
        return len(changed.data), len((await table.delete().eq("id", str(view_id)).execute()).data)

    await world.rows(set_role, "member", workspace.id, anna.id)
    assert await written(shared.id) == (0, 0)
    assert await written(mine.id) == (1, 1)
    await world.rows(set_role, "admin", workspace.id, anna.id)
    assert await written(shared.id) == (1, 1)


async def test_a_viewer_removes_no_view_by_table(world: World) -> None:
    workspace = await world.workspace(bob="member")
    bob = await world.user("bob")
    view = await (await views_of(world, "bob")).create(workspace.id, "Mine")
    await world.rows(
        "update workspace_memberships set role = 'viewer' where workspace_id = %s and user_id = %s returning 1",
        workspace.id,
        bob.id,
    )
    answer = await bob.client.table("wa_saved_views").delete().eq("id", str(view.id)).execute()
    assert answer.data == []


async def test_one_view_is_the_default(world: World) -> None:
    workspace = await world.workspace()
    olga = await views_of(world, "olga")
    first = await olga.create(workspace.id, "First", default=True)
    second = await olga.create(workspace.id, "Second", default=True)
    assert [view.name for view in await olga.list(workspace.id) if view.is_default] == ["Second"]
    await olga.update(first.id, SavedViewPatch(is_default=True))
    assert [view.name for view in await olga.list(workspace.id) if view.is_default] == ["First"]
    assert not (await olga.update(first.id, SavedViewPatch(is_default=False))).is_default
    assert second.is_default


async def test_views_refuse_what_they_do_not_know(world: World) -> None:
    workspace = await world.workspace(vera="viewer")
    olga = await world.user("olga")
    for filters, code in (
        ({"unread": True}, "field_unknown"),
        ({"status": "gone"}, "invalid_value"),
        ({"assignee": "somebody"}, "invalid_value"),
        ({"tag": [1]}, "invalid_value"),
        ({"q": ""}, "invalid_value"),
        ([], "invalid_value"),
    ):
        answer = await post_rpc(
            world.clients.http, world.settings, "create_saved_view", olga.access_token,
            p_workspace_id=str(workspace.id), p_name="x", p_filters=filters,
        )  # fmt: skip
        assert (answer.status_code, answer.json()["message"]) == (400, code), filters
        row: dict[str, Any] = {"workspace_id": str(workspace.id), "name": "x", "filters": filters}
        direct = await world.clients.http.post(
            f"{world.settings.supabase_url}/rest/v1/wa_saved_views",
            headers={
                "apikey": world.settings.require("publishable_key"),
                "authorization": f"Bearer {olga.access_token}",
            },
            json=row,
        )
        assert direct.json()["code"] == "23514", "the table itself refuses it"
    with pytest.raises(PermissionDenied):
        await (await views_of(world, "vera")).create(workspace.id, "Mine")
    with pytest.raises(InvalidInput):
        await (await views_of(world, "olga")).create(workspace.id, " ")


async def test_views_of_a_workspace_one_has_left_are_out_of_reach(world: World) -> None:
    workspace = await world.workspace(bob="member")
    bob = await views_of(world, "bob")
    view = await bob.create(workspace.id, "Mine")
    await world.rows(
        "delete from workspace_memberships where workspace_id = %s and user_id = %s returning 1",
        workspace.id,
        (await world.user("bob")).id,
    )
    for asking in (bob.list(workspace.id), bob.rename(view.id, "Still mine"), bob.delete(view.id)):
        with pytest.raises(NotFound):
            await asking
    client = (await world.user("bob")).client
    assert (await client.table("wa_saved_views").select("*").eq("id", str(view.id)).execute()).data == []
