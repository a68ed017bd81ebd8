"""Changes of tables reach those who may see the row, and nobody else.

That somebody hears nothing is shown without waiting: a change that they do hear comes later, and comes first.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from qero.models.workspace import Workspace
from tests.realtime.listening import Listeners
from tests.support import User, World


async def add_contact(world: World, workspace: Workspace, name: str, **values: Any) -> str:
    row = {"id": str(uuid4()), "workspace_id": str(workspace.id), "name": name, **values}
    await world.service.table("contacts").insert(row).execute()
    return str(row["id"])


async def remove_member(world: World, workspace: Workspace, user: User) -> None:
    memberships = world.service.table("workspace_memberships").delete()
    await memberships.eq("workspace_id", str(workspace.id)).eq("user_id", str(user.id)).execute()


async def test_a_member_is_told_of_an_insert_an_update_and_a_delete_in_order(
    world: World, listeners: Listeners
) -> None:
    workspace = await world.workspace(bob="viewer")
    bob = await (await listeners.of("bob")).watching("contacts").join()

    contact = world.service.table("contacts")
    contact_id = await add_contact(world, workspace, "Ada", tags=["a", "b"])
    inserted = await bob.changes.next()
    await contact.update({"name": "Ada Lovelace"}).eq("id", contact_id).execute()
    updated = await bob.changes.next()
    await contact.delete().eq("id", contact_id).execute()
    deleted = await bob.changes.next()

    assert (inserted["type"], inserted["schema"], inserted["table"]) == ("INSERT", "public", "contacts")
    assert inserted["errors"] is None
    assert inserted["record"]["id"] == contact_id
    assert inserted["record"]["tags"] == ["a", "b"], "an array arrives as an array"
    assert UUID(inserted["record"]["workspace_id"]) == workspace.id
    assert {"name": "name", "type": "text"} in inserted["columns"]
    assert (updated["type"], updated["record"]["name"], updated["old_record"]) == (
        "UPDATE",
        "Ada Lovelace",
        {"id": contact_id},
    )
    assert (deleted["type"], deleted["old_record"]) == ("DELETE", {"id": contact_id})


async def test_a_listener_asks_for_one_kind_of_change_only(world: World, listeners: Listeners) -> None:
    workspace = await world.workspace()
    olga = await (await listeners.of("olga")).watching("contacts", event="UPDATE").join()

    contact_id = await add_contact(world, workspace, "Ada")
    await world.service.table("contacts").update({"name": "Eve"}).eq("id", contact_id).execute()

    change = await olga.changes.next()
    assert (change["type"], change["record"]["name"]) == ("UPDATE", "Eve")


async def test_a_stranger_and_a_viewer_of_another_workspace_are_told_nothing(
    world: World, listeners: Listeners
) -> None:
    workspace = await world.workspace()
    theirs = await world.workspace(owner="mallory", vera="viewer")
    mallory = await (await listeners.of("mallory")).watching("contacts").join()
    vera = await (await listeners.of("vera")).watching("contacts").join()

    secret = await add_contact(world, workspace, "not for them")
    await world.service.table("contacts").update({"name": "still not"}).eq("id", secret).execute()
    await add_contact(world, theirs, "theirs")

    assert (await mallory.changes.next())["record"]["name"] == "theirs"
    assert (await vera.changes.next())["record"]["name"] == "theirs"


async def test_asking_for_a_foreign_workspace_by_filter_opens_nothing(world: World, listeners: Listeners) -> None:
    workspace, theirs = await world.workspace(), await world.workspace(owner="mallory")
    mallory = await listeners.of("mallory")
    mallory.watching("contacts", filter=f"workspace_id=in.({workspace.id},{theirs.id})")
    await mallory.join()

    await add_contact(world, workspace, "not for her")
    await add_contact(world, theirs, "hers")

    assert (await mallory.changes.next())["record"]["name"] == "hers"


async def test_who_was_removed_from_a_workspace_is_told_no_more_of_it_at_once_and_after_a_new_join(
    world: World, listeners: Listeners
) -> None:
    workspace = await world.workspace(bob="member")
    own = await world.workspace(owner="bob")
    before = await (await listeners.of("bob")).watching("contacts").join()
    await add_contact(world, workspace, "while a member")
    assert (await before.changes.next())["record"]["name"] == "while a member"

    await remove_member(world, workspace, await world.user("bob"))
    after = await (await listeners.of("bob")).watching("contacts").join()
    await add_contact(world, workspace, "no member any more")
    await add_contact(world, own, "his own")

    assert (await before.changes.next())["record"]["name"] == "his own"
    assert (await after.changes.next())["record"]["name"] == "his own"


async def test_a_row_that_is_hidden_by_an_update_is_not_shown_once_more(world: World, listeners: Listeners) -> None:
    workspace = await world.workspace()
    olga = await (await listeners.of("olga")).watching("contacts", event="UPDATE").join()
    gone, stays = await add_contact(world, workspace, "gone"), await add_contact(world, workspace, "stays")

    await world.service.table("contacts").update({"deleted_at": "2026-01-01T00:00:00Z"}).eq("id", gone).execute()
    await world.service.table("contacts").update({"name": "stayed"}).eq("id", stays).execute()

    assert (await olga.changes.next())["record"]["name"] == "stayed"


async def test_without_a_user_a_listener_learns_only_that_it_may_not_read(world: World, listeners: Listeners) -> None:
    workspace = await world.workspace()
    anyone = await listeners.of("olga")
    await anyone.client.set_auth(world.settings.require("publishable_key"))
    await anyone.watching("contacts").join()

    await add_contact(world, workspace, "Ada")

    change = await anyone.changes.next()
    assert (change["errors"], change["record"], change["columns"]) == (["Error 401: Unauthorized"], {}, [])


@pytest.mark.parametrize(
    ("filter", "seen"),
    [
        ("name=eq.Ada", ["Ada"]),
        ("name=neq.Ada", ["Eve", "O'Neil, Max"]),
        ("name=in.(Ada,Eve)", ["Ada", "Eve"]),
        ('name=in.(Ada,"O\'Neil, Max")', ["Ada", "O'Neil, Max"]),
        ("name=like.A%", ["Ada"]),
        ("phone=is.null", ["Eve", "O'Neil, Max"]),
        ("name=not.in.(Ada,Eve)", ["O'Neil, Max"]),
        ("name=gt.B,phone=is.null,name=lt.F", ["Eve"]),
    ],
)
async def test_a_filter_lets_through_what_matches(
    world: World, listeners: Listeners, filter: str, seen: list[str]
) -> None:
    workspace = await world.workspace()
    olga = await listeners.of("olga")
    olga.watching("contacts", event="INSERT", filter=f"workspace_id=eq.{workspace.id},{filter}")
    # The mark shows that everything before it has been dealt with.
    olga.watching("contacts", event="UPDATE", filter=f"workspace_id=eq.{workspace.id}")
    await olga.join()

    ada = await add_contact(world, workspace, "Ada", phone="+15551234567")
    await add_contact(world, workspace, "Eve")
    await add_contact(world, workspace, "O'Neil, Max")
    await world.service.table("contacts").update({"name": "the mark"}).eq("id", ada).execute()

    names = []
    while (change := await olga.changes.next())["type"] != "UPDATE":
        names.append(change["record"]["name"])
    assert names == seen


@pytest.mark.parametrize(
    ("table", "filter", "reason"),
    [
        ("wa_phone_numbers", None, "check Realtime is enabled"),
        ("no_such_table", None, "check Realtime is enabled"),
        ("contacts", "no_such_column=eq.1", "invalid column for filter no_such_column"),
        ("contacts", "workspace_id=eq.not-a-uuid", "invalid input syntax for type uuid"),
        ("contacts", "name=resembles.Ada", "Error parsing `filter` params"),
    ],
)
async def test_what_can_not_be_watched_is_refused_with_the_reason(
    listeners: Listeners, table: str, filter: str | None, reason: str
) -> None:
    listener = (await listeners.of("olga")).watching(table, filter=filter)

    assert reason in await listener.refusal()


async def test_a_large_transaction_arrives_whole_and_in_order(world: World, listeners: Listeners) -> None:
    workspace = await world.workspace()
    olga = await (await listeners.of("olga")).watching("contacts").join()

    await world.database.execute(
        "insert into contacts (workspace_id, name) select %s, n::text from generate_series(1, 3000) n", [workspace.id]
    )

    assert [(await olga.changes.next())["record"]["name"] for _ in range(3000)] == [str(n) for n in range(1, 3001)]


async def test_what_is_rolled_back_never_happened(world: World, listeners: Listeners) -> None:
    workspace = await world.workspace()
    olga = await (await listeners.of("olga")).watching("contacts").join()
    insert = "insert into contacts (workspace_id, name) values (%s, %s)"

    async with world.database.transaction(force_rollback=True):
        await world.database.execute(insert, [workspace.id, "never"])
    await world.database.execute(insert, [workspace.id, "happened"])

    assert (await olga.changes.next())["record"]["name"] == "happened"
