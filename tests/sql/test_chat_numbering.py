"""Numbers without gaps, in the order of the commits, whatever happens at once; and for what stood before them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from qero import Chats
from qero.local.stack import temporary_stack
from qero.models.chat import Chat
from tests.support import User, World

WRITERS = 8
MIGRATIONS = sorted((Path(__file__).parents[2] / "supabase" / "migrations").glob("*.sql"))


@pytest.fixture
def world(people: World) -> World:
    return people


async def group(world: World) -> Chat:
    workspace = await world.workspace(owner="olga", bob="member")
    bob = await world.user("bob")
    return await Chats((await world.user("olga")).client).create(workspace.id, "group", "Sales", member_ids=[bob.id])


@asynccontextmanager
async def connected(world: World, user: User) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection with the user's rights, as the API would give it, without the API's round trips."""
    connection = await psycopg.AsyncConnection.connect(world.settings.require("db_url"), autocommit=True)
    async with connection:
        claims = json.dumps({"sub": str(user.id), "role": "authenticated"})
        await connection.execute("select set_config('request.jwt.claims', %s, false)", [claims])
        await connection.execute("set role authenticated")
        yield connection


async def sent(connection: psycopg.AsyncConnection[Any], chat_id: UUID, client_generated_id: str) -> tuple[UUID, int]:
    cursor = await connection.execute(
        "select id, seq from public.send_message(%s, 'Hello', %s)", [chat_id, client_generated_id]
    )
    [(message_id, seq)] = await cursor.fetchall()
    return message_id, seq


async def test_eight_writers_leave_no_gap_and_a_reader_never_skips_one(world: World) -> None:
    chat = await group(world)
    messages = 20_000
    each = messages // WRITERS
    people = [await world.user("olga"), await world.user("bob")]

    async def write(person: User) -> None:
        async with connected(world, person) as connection:
            numbers = [(await sent(connection, chat.id, str(uuid4())))[1] for _ in range(each)]
        assert numbers == sorted(numbers)

    async def read() -> int:
        """Whatever is committed is a beginning without gaps, so what commits later has a higher number."""
        async with connected(world, people[1]) as connection:
            last = looks = 0
            while last < messages:
                cursor = await connection.execute(
                    "select seq, rev from public.chat_messages where chat_id = %s and seq > %s order by seq",
                    [chat.id, last],
                )
                seen = await cursor.fetchall()
                assert seen == [(last + 1 + i, last + 1 + i) for i in range(len(seen))]
                last += len(seen)
                looks += bool(seen)
                await asyncio.sleep(0.01)
            return looks

    reader = asyncio.create_task(read())
    await asyncio.gather(*(write(people[i % 2]) for i in range(WRITERS)))

    assert await asyncio.wait_for(reader, 30) > 20
    counters = "select last_seq, last_rev from chats where id = %s"
    assert await world.rows(counters, chat.id) == [(messages, messages)]
    disorder = """
        select count(*) from (
          select created_at < lag(created_at) over (order by seq) as earlier from chat_messages where chat_id = %s
        ) as message where earlier
    """
    assert await world.scalar(disorder, chat.id) == 0


async def test_eight_simultaneous_repetitions_are_one_message_and_burn_no_number(world: World) -> None:
    chat = await group(world)
    olga = await world.user("olga")
    async with AsyncExitStack() as stack:
        connections = [await stack.enter_async_context(connected(world, olga)) for _ in range(WRITERS)]
        for _ in range(200):
            client_generated_id = str(uuid4())
            answers = await asyncio.gather(
                *(sent(connection, chat.id, client_generated_id) for connection in connections)
            )
            assert len(set(answers)) == 1

    rows = await world.rows("select seq from chat_messages where chat_id = %s order by seq", chat.id)
    assert rows == [(seq,) for seq in range(1, 201)]
    assert await world.scalar("select last_seq from chats where id = %s", chat.id) == 200


async def test_a_message_that_is_refused_burns_no_number(world: World) -> None:
    chat = await group(world)
    async with connected(world, await world.user("olga")) as connection:
        for refused in ("'', 'a'", "'Hi', 'b', '[]', array[gen_random_uuid()]", "'Hi', 'c', '[]', '{}', 5"):
            with pytest.raises(psycopg.DatabaseError):
                await connection.execute(f"select public.send_message(%s, {refused})".encode(), [chat.id])
        async with connection.transaction(force_rollback=True):
            await sent(connection, chat.id, "rolled back")
        assert (await sent(connection, chat.id, "first"))[1] == 1


async def test_rows_that_the_service_inserts_are_numbered_too(world: World) -> None:
    chat = await group(world)
    olga = await world.user("olga")
    row = {"chat_id": str(chat.id), "sender_id": str(olga.id), "body": "Hello"}

    async def insert() -> None:
        await world.service.table("chat_messages").insert(row).execute()

    await asyncio.gather(*(insert() for _ in range(10)), *(Chats(olga.client).send(chat.id, "Hi") for _ in range(10)))

    rows = await world.rows("select seq, workspace_id from chat_messages where chat_id = %s order by seq", chat.id)
    assert rows == [(seq, chat.workspace_id) for seq in range(1, 21)]


async def test_direct_inserts_never_burn_a_number_on_a_conflict(world: World) -> None:
    chat = await group(world)
    statement = """
        insert into chat_messages (chat_id, sender_id, client_generated_id, body) values (%s, %s, 'same', 'Hi')
        on conflict do nothing
    """
    olga = await world.user("olga")
    await world.database.execute(statement, [chat.id, olga.id])
    with pytest.raises(psycopg.DatabaseError, match="already_exists"):
        await world.database.execute(statement, [chat.id, olga.id])

    assert await world.scalar("select last_seq from chats where id = %s", chat.id) == 1


LEGACY = """
create table public.chats (
  id uuid primary key default gen_random_uuid(), workspace_id uuid not null,
  created_at timestamptz not null default now());
create table public.chat_members (chat_id uuid not null, user_id uuid not null,
  constraint chat_members_pkey primary key (chat_id, user_id));
create table public.chat_messages (
  id uuid primary key default gen_random_uuid(), chat_id uuid not null, sender_id uuid, body text,
  created_at timestamptz not null default now());
insert into auth.users (id, email) values (gen_random_uuid(), 'olga@example.com');
insert into public.workspaces (slug, name) values ('acme', 'Acme');
insert into public.workspace_memberships (workspace_id, user_id, role)
  select workspaces.id, profiles.id, 'owner' from public.workspaces, public.profiles;
insert into public.chats (workspace_id) select id from public.workspaces, generate_series(1, 3);
insert into public.chat_members select chats.id, profiles.id from public.chats, public.profiles;
insert into public.chat_messages (chat_id, sender_id, body, created_at)
  select chats.id, profiles.id, 'Old ' || i, timestamptz '2025-01-01' + (i / 2) * interval '1 second'
  from public.chats, public.profiles, generate_series(1, 2000) as i;
"""


async def test_old_messages_are_numbered_in_batches_while_writers_go_on() -> None:
    """The tables stood before, without numbers. Writers that know nothing of numbers never stop."""
    with temporary_stack(migrate=False, durable=False) as address:
        url = address.db_url
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            earlier = [file for file in MIGRATIONS if file.name < "20251210"]
            chat_files = [file for file in MIGRATIONS if file.name.startswith("20251210")]
            for file in earlier:
                async with connection.transaction():
                    await connection.execute(file.read_bytes())
            await connection.execute(LEGACY)
            [chat_id] = (await (await connection.execute("select id from chats limit 1")).fetchone()) or [None]
            going = True
            written = asyncio.Event()

            async def write() -> None:
                async with await psycopg.AsyncConnection.connect(url, autocommit=True) as writer:
                    while going:
                        await writer.execute(
                            "insert into chat_messages (chat_id, sender_id, body) select %s, id, 'New' from profiles",
                            [chat_id],
                        )
                        written.set()

            writers = [asyncio.create_task(write()) for _ in range(2)]
            for file in chat_files:
                async with connection.transaction():
                    await connection.execute(file.read_bytes())
                written.clear()
                await written.wait()
            # Whoever writes in a chat counts its older messages; nobody has in the two others yet.
            reserved = "select last_seq > 2000 from chats order by id = %s desc"
            assert await _rows(connection, reserved, chat_id) == [(True,), (False,), (False,)]
            # It is interrupted, and goes on where it was.
            for _ in range(3):
                await connection.execute("select private.number_chat_batch(100)")
            await asyncio.gather(*(_number(url) for _ in range(2)))
            await _number(url)
            going = False
            await asyncio.gather(*writers)

            assert await _rows(connection, "select * from private.chat_backlog") == []
            gaps = """
                select chat.id from chats as chat join chat_messages as message on message.chat_id = chat.id
                group by chat.id
                having array_agg(message.seq order by message.seq)
                    <> array(select generate_series(1, chat.last_seq)) or chat.last_rev < chat.last_seq
            """
            assert await _rows(connection, gaps) == []
            disorder = """
                select seq from (
                  select seq, row_number() over (partition by chat_id order by created_at, id) as place, body
                  from chat_messages
                ) as message where body like 'Old%' and seq <> place
            """
            assert await _rows(connection, disorder) == []
            assert await _rows(connection, "select min(last_read_seq) >= 2000 from chat_members") == [(True,)]
            shown = "select distinct last_message_preview, last_message_sender_id is not null from chats where id <> %s"
            assert await _rows(connection, shown, chat_id) == [("Old 2000", True)]
            assert await _rows(connection, "select from pg_trigger where tgname = 'chats_reserve_numbers'") == []
            await connection.execute("call private.validate_constraints()")
            unfinished = """
                select conname from pg_constraint where not convalidated
                union all
                select attname from pg_attribute where attrelid = 'chat_messages'::regclass
                  and attname in ('seq', 'rev', 'workspace_id') and not attnotnull
            """
            assert await _rows(connection, unfinished) == []
            # Once everything is numbered, pushing again changes nothing.
            for file in chat_files:
                async with connection.transaction():
                    await connection.execute(file.read_bytes())
            assert await _rows(connection, gaps) == []


async def _number(url: str) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("call private.number_chat_messages(500)")


async def _rows(connection: psycopg.AsyncConnection[Any], query: str, *values: Any) -> list[tuple[Any, ...]]:
    return await (await connection.execute(query.encode(), values or None)).fetchall()
