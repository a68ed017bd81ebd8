"""Who is told what by realtime: every published table and every private topic, as everybody.

docs/permissions.md has the answers. That somebody hears nothing is shown without waiting: a mark that everybody hears
comes later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest
from realtime.exceptions import RealtimeHTTPError

from qero import Chats, Clients, Settings
from qero.models.workspace import Workspace
from tests.realtime.listening import Listener, Listeners
from tests.sql import access
from tests.sql.access import IDENTITIES, MEMBERS, Cast, make_cast
from tests.sql.answers import CHANGES, TOPICS
from tests.support import World, digits

PEOPLE = tuple(name for name in IDENTITIES if name not in ("anon", "service"))


@pytest.fixture(scope="module")
async def office(settings: Settings, clients: Clients, database: psycopg.AsyncConnection[Any]) -> Cast:
    return await make_cast(World(settings, clients, database))


@pytest.fixture(scope="module")
async def commons(office: Cast) -> Workspace:
    """A workspace that everybody is in: what happens there is a mark for all."""
    others: dict[str, Any] = dict.fromkeys((name for name in PEOPLE if name != "owner"), "viewer")
    return await office.world.workspace(owner="owner", **others)


@pytest.fixture
async def ears(office: Cast) -> AsyncIterator[Listeners]:
    listeners = Listeners(office.world)
    yield listeners
    await listeners.close()


async def listener(office: Cast, ears: Listeners, identity: str, topic: str | None = None, **config: Any) -> Listener:
    if identity in PEOPLE:
        return await ears.of(identity, topic, **config)
    key = office.world.settings.require("secret_key" if identity == "service" else "publishable_key")
    return Listener(await ears.client(key=key), topic or f"t-{uuid4()}", **config)


# --- Tables ---


async def new_contact(office: Cast) -> UUID:
    await office.insert("contacts", id=(row_id := uuid4()), **access.new_contact(office))
    return row_id


async def new_thread(office: Cast) -> UUID:
    contact_id = await office.insert("contacts", **access.new_contact(office))
    row = {"workspace_id": office.workspace.id, "connection_id": office.number.connection.id, "contact_id": contact_id}
    await office.insert("wa_threads", id=(row_id := uuid4()), **row)
    return row_id


async def new_message(office: Cast) -> UUID:
    await office.insert("wa_messages", id=(row_id := uuid4()), **access.new_message(office))
    return row_id


async def new_chat(office: Cast) -> UUID:
    """With its members from the first moment: nobody is told of a chat before they are in it."""
    row = access.new_chat(office)
    async with office.world.database.transaction():
        await office.insert("chats", **row)
        for name in MEMBERS:
            await office.insert("chat_members", **access.new_chat_member(office, office.user_ids[name], row["id"]))
    return UUID(str(row["id"]))


async def new_chat_message(office: Cast) -> UUID:
    await office.insert("chat_messages", id=(row_id := uuid4()), **access.new_chat_message(office))
    return row_id


TABLES: dict[str, tuple[Callable[[Cast], Awaitable[UUID]], LiteralString]] = {
    "contacts": (new_contact, "name = 'Changed'"),
    "wa_threads": (new_thread, "tags = '{changed}'"),
    "wa_messages": (new_message, "body = 'Changed'"),
    "chats": (new_chat, "title = 'Changed'"),
    "chat_messages": (new_chat_message, "body = 'Changed'"),
}
"""How a row comes into each published table, and how it changes."""


async def test_every_published_table_is_asked(office: Cast) -> None:
    rows = await office.world.rows(
        "select tablename from pg_publication_tables where pubname = 'supabase_realtime' and schemaname = 'public'"
    )
    assert {name for (name,) in rows} == TABLES.keys()


@pytest.mark.parametrize("table", TABLES)
async def test_changes_are_told_as_the_page_says(table: str, office: Cast, commons: Workspace, ears: Listeners) -> None:
    listening = {}
    for identity in IDENTITIES:
        listening[identity] = (await listener(office, ears, identity)).watching(table)
        if table != "contacts":
            listening[identity].watching("contacts")
        await listening[identity].join()

    make, change = TABLES[table]
    since = await office.world.scalar("select date_trunc('milliseconds', clock_timestamp())")
    told: dict[str, list[dict[str, Any]]] = {identity: [] for identity in IDENTITIES}
    # Row security is asked about the row as it is then: it stays until its owner has been told.
    row_id = await make(office)
    told["owner"] += await until(listening["owner"], since, "INSERT", table, row_id)
    await office.world.database.execute(f"update {table} set {change} where id = %s", [row_id])
    told["owner"] += await until(listening["owner"], since, "UPDATE", table, row_id)
    await office.world.database.execute(f"delete from {table} where id = %s", [row_id])
    mark = uuid4().hex
    await office.insert("contacts", workspace_id=commons.id, name=mark, phone=f"+{digits(11)}")

    for identity in IDENTITIES:
        told[identity] += await until_marked(listening[identity], since, table, mark)
    assert {identity: summary(changes, table, row_id) for identity, changes in told.items()} == {
        identity: {kind: CHANGES[kind][identity] for kind in CHANGES} for identity in IDENTITIES
    }


async def next_change(listening: Listener, since: datetime) -> dict[str, Any]:
    """The next one of those made since; what was made just before may be told to whoever has just joined, too."""
    while True:
        change: dict[str, Any] = await listening.changes.next()
        if datetime.fromisoformat(change["commit_timestamp"]) >= since:
            return change


async def until(listening: Listener, since: datetime, kind: str, table: str, row_id: UUID) -> list[dict[str, Any]]:
    """What somebody was told, up to that change."""
    told: list[dict[str, Any]] = []
    while not told or (told[-1]["type"], told[-1]["table"], told[-1]["record"].get("id")) != (kind, table, str(row_id)):
        told.append(await next_change(listening, since))
    return told


async def until_marked(listening: Listener, since: datetime, table: str, mark: str) -> list[dict[str, Any]]:
    """What somebody was told before the mark. Who may not read knows it by its turn: a thread has a contact, too."""
    told: list[dict[str, Any]] = []
    earlier = 1 if table in ("contacts", "wa_threads") else 0
    while True:
        change = await next_change(listening, since)
        if change["table"] == "contacts" and change["type"] == "INSERT":
            if change["record"].get("name") == mark or (change["errors"] and not earlier):
                return told
            earlier -= bool(change["errors"])
        told.append(change)


def summary(changes: list[dict[str, Any]], table: str, row_id: UUID) -> dict[str, str]:
    """By kind of change: what was told of that row."""
    found = dict.fromkeys(CHANGES, "nothing")
    for change in changes:
        if change["table"] != table:
            continue
        old, new = change.get("old_record") or {}, change.get("record") or {}
        if change["errors"]:
            assert not old
            assert not new
            found[change["type"]] = "refused"
        elif str(row_id) in (new.get("id"), old.get("id")):
            assert set(old) <= {"id"}
            found[change["type"]] = "row" if new else "id"
    return found


# --- Private topics ---


async def test_a_chats_topic_is_open_as_the_page_says(office: Cast, ears: Listeners) -> None:
    chat_id = office.rows["chats"]["id"]
    topic = f"chat:{chat_id}"
    joined: dict[str, Listener] = {}
    found: dict[str, dict[str, str]] = {what: {} for what in TOPICS}
    hears, broadcasts, sees, is_seen = TOPICS
    for identity in IDENTITIES:
        door = await listener(office, ears, identity, topic, private=True, presence={"key": identity, "enabled": True})
        await door.channel.subscribe(door.states)
        state, _ = await door.states.next()
        if state.value == "SUBSCRIBED":
            joined[identity] = door
        else:
            for what in (hears, sees, is_seen):
                found[what][identity] = "refused"
        try:
            await door.channel.http_send("planted", {"by": identity})
            found[broadcasts][identity] = "yes"
        except RealtimeHTTPError as error:
            found[broadcasts][identity] = "refused" if error.status in (401, 403) else str(error)

    await Chats((await office.world.user("member")).client).send(chat_id, "The last word")
    for identity, door in joined.items():
        while (news := await door.broadcasts.next())["event"] != "message":
            assert news["payload"]["by"] == "service"
        found[hears][identity] = "yes"
    for identity, door in joined.items():
        await door.channel.track({"name": identity})
    for identity, door in joined.items():
        found[sees][identity] = found[is_seen][identity] = "yes"
        await until_present(door, set(joined))

    assert found == TOPICS


async def until_present(door: Listener, everybody: set[str]) -> None:
    """Wait until somebody sees everybody who has joined; each change of presence may be the last one missing."""
    while set(door.channel.presence_state()) != everybody:
        await door.presence.next()


@pytest.mark.parametrize("identity", [name for name in IDENTITIES if name != "service"])
@pytest.mark.parametrize("topic", ["workspace:{workspace}", "contacts", "thread:{thread}", "chat:{missing}"])
async def test_other_private_topics_are_open_to_nobody(
    identity: str, topic: str, office: Cast, ears: Listeners
) -> None:
    name = topic.format(workspace=office.workspace.id, thread=office.thread.id, missing=uuid4())
    door = await listener(office, ears, identity, name, private=True)
    assert "permissions" in await door.refusal()
