"""Team chat in the database, every statement run as the API runs it: role and claims set, in four round trips.

`send`: `send_message` with everything it does (membership, number, cursor, last message, broadcast) by eight writers,
over 1,000 chats and on a single one. The floor inserts the same row into a table with the same columns, indexes and
references, under a policy that lets in the chat's members alone, in their own name, with a number from a sequence. The
disk is left out (fsync is off): messages of one chat are committed one after the other, which would measure the disk.
The writers are eight connections of psycopg; `send, pgbench` is the same from C, where nothing but the database
takes time; `send, api` are requests to PostgREST, whose floor is its bare insert that answers nothing.

`history`: a page of 50 at depth 1,000,000 of a chat; its floor is the newest page. `mark read`: 1,000 unread messages;
its floor is one. `list`: the caller's chats with last message, counts and other members; its floor is the select of the
same columns but the members, which are in no row of it, by the owner of the tables, without row security. Both answer
JSON, as the API has it.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from hashlib import md5
from typing import Any, LiteralString
from uuid import uuid4

import aiohttp
import jwt
import psycopg

from bench.report import Case, interleaved, postgrest_url, progress
from qero.local.stack import Address, temporary_stack
from qero.local.toolchain import ensure_tools

WRITERS = 8
CHATS = 1_000
BODY = "Hello there, this is a message of an ordinary length."
ME = "10000000-0000-0000-0000-000000000001"
READER = "10000000-0000-0000-0000-000000000002"
DEEP, MARKED = "20000000-0000-0000-0000-000000000001", "20000000-0000-0000-0000-000000000002"


@dataclass(frozen=True)
class Scale:
    depth: int
    seconds: int
    """Of each run of writers."""
    calls: int
    runs: int


FULL = Scale(depth=1_000_000, seconds=3, calls=100, runs=3)
QUICK = Scale(depth=20_000, seconds=1, calls=30, runs=3)

FILL: tuple[LiteralString, ...] = (
    """
    insert into auth.users (id, email)
    select ('10000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, i || '@example.com'
    from generate_series(1, 9) as i
    """,
    "insert into workspaces (id, slug, name) values ('10000000-0000-0000-0000-000000000000', 'bench', 'Bench')",
    """
    insert into workspace_memberships (workspace_id, user_id, role)
    select workspaces.id, profiles.id, 'member' from workspaces, profiles
    """,
    # The first 1,000 are written to; the reader is in the first 200 and, as another member, in all of them.
    """
    insert into chats (id, workspace_id, kind, title)
    select md5('chat' || i)::uuid, '10000000-0000-0000-0000-000000000000', 'group', 'Chat ' || i
    from generate_series(1, 1000) as i
    """,
    """
    insert into chats (id, workspace_id, kind, title)
    select id, '10000000-0000-0000-0000-000000000000', 'group', 'Chat'
    from unnest(array['20000000-0000-0000-0000-000000000001', '20000000-0000-0000-0000-000000000002']::uuid[]) as id
    """,
    """
    insert into chat_members (workspace_id, chat_id, user_id)
    select chats.workspace_id, chats.id, profiles.id from chats, profiles
    where profiles.id <> '10000000-0000-0000-0000-000000000002'
    """,
    """
    insert into chat_members (workspace_id, chat_id, user_id)
    select workspace_id, id, '10000000-0000-0000-0000-000000000002' from chats order by id limit 200
    """,
    "alter table chat_messages disable trigger user",
    """
    insert into chat_messages (workspace_id, chat_id, seq, rev, sender_id, client_generated_id, body, created_at)
    select '10000000-0000-0000-0000-000000000000', '20000000-0000-0000-0000-000000000001', i, i,
      '10000000-0000-0000-0000-000000000003', i::text, 'Message ' || i, now() - (%(depth)s - i) * interval '1 s'
    from generate_series(1, %(depth)s + 1000) as i
    """,
    """
    insert into chat_messages (workspace_id, chat_id, seq, rev, sender_id, client_generated_id, body)
    select chats.workspace_id, chats.id, i, i, '10000000-0000-0000-0000-000000000003', i::text, 'Message ' || i
    from chats, generate_series(1, 20) as i where chats.id <> '20000000-0000-0000-0000-000000000001'
    """,
    """
    insert into chat_messages (workspace_id, chat_id, seq, rev, sender_id, client_generated_id, body)
    select '10000000-0000-0000-0000-000000000000', '20000000-0000-0000-0000-000000000002', i, i,
      '10000000-0000-0000-0000-000000000003', i::text, 'Message ' || i
    from generate_series(21, 2000) as i
    """,
    "alter table chat_messages enable trigger user",
    """
    update chats set last_seq = newest.seq, last_rev = newest.seq,
      last_message_at = now() - random() * interval '1 day',
      last_message_sender_id = '10000000-0000-0000-0000-000000000003', last_message_preview = 'Message ' || newest.seq
    from (select chat_id, max(seq) as seq from chat_messages group by chat_id) as newest where chats.id = newest.chat_id
    """,
    "create table bench_messages (like chat_messages including defaults including indexes including constraints)",
    """
    alter table bench_messages
      add foreign key (workspace_id, chat_id) references chats (workspace_id, id),
      add foreign key (sender_id) references profiles (id)
    """,
    "create sequence bench_seq",
    "alter table bench_messages enable row level security",
    """
    create function private.bench_is_member(p_chat_id uuid) returns boolean
    language plpgsql stable security definer set search_path = '' as $$
    begin
      return exists (
        select from public.chat_members as member where member.chat_id = p_chat_id and member.user_id = auth.uid());
    end $$
    """,
    """
    create policy bench_insert on bench_messages for insert to authenticated
    with check (sender_id = (select auth.uid()) and private.bench_is_member(chat_id))
    """,
    "grant execute on function private.bench_is_member(uuid) to authenticated",
    "grant insert on bench_messages to authenticated",
    "grant usage on sequence bench_seq to authenticated",
    """
    alter table bench_messages alter seq set default nextval('bench_seq'), alter rev set default currval('bench_seq')
    """,
    "notify pgrst, 'reload schema'",
    "vacuum (analyze)",
)

# With pgbench's variables, which psycopg's take the place of.
CLAIMS = """select set_config('role', 'authenticated', true), set_config('request.jwt.claims',
  '{"role": "authenticated", "sub": "10000000-0000-0000-0000-00000000000' || :user || '"}', true)"""
OURS = f"select * from public.send_message(md5('chat' || :chat)::uuid, '{BODY}', gen_random_uuid()::text)"
BARE = f"""with number as (select nextval('public.bench_seq') as next)
insert into public.bench_messages (workspace_id, chat_id, sender_id, client_generated_id, body, seq, rev)
select '10000000-0000-0000-0000-000000000000', md5('chat' || :chat)::uuid,
  ('10000000-0000-0000-0000-00000000000' || :user)::uuid, gen_random_uuid()::text, '{BODY}', next, next from number"""

# What PostgREST asks for: one value, which it passes on.
AS_JSON: LiteralString = "select coalesce(json_agg(item), '[]')::text from (%s) as item"
DENORMALISED: LiteralString = """
    select chat.id, chat.workspace_id, chat.kind, chat.title, chat.created_at, chat.last_seq, chat.last_rev,
      chat.last_message_at, chat.last_message_sender_id, chat.last_message_preview, member.role,
      member.last_delivered_seq, member.last_read_seq, member.muted_until, chat.last_seq - member.last_read_seq,
      member.unread_mention_count
    from chat_members as member join chats as chat on chat.id = member.chat_id
    where member.user_id = %s order by chat.last_message_at desc, chat.id desc limit 1000
"""


async def run(*, quick: bool) -> list[Case]:
    scale = QUICK if quick else FULL
    with temporary_stack(durable=False) as address:
        async with await psycopg.AsyncConnection.connect(address.db_url, autocommit=True) as connection:
            progress(f"filling {scale.depth:,} messages")
            for statement in FILL:
                await connection.execute(statement, {"depth": scale.depth} if "%(" in statement else None)
            bench = _Bench(address, connection, scale)
            medians = await interleaved(bench.measures(), runs=scale.runs)
    cases = [
        Case(
            f"send{name}", medians[f"send{name}"], "messages/s", scale.runs, floor=medians[f"bare insert{name}"],
            lower_is_better=False,
        )
        for client in ("", ", pgbench", ", api") for name in (f"{client}/1000 chats", f"{client}/1 chat")
    ]  # fmt: skip
    for case, floor in (
        (f"history/depth {scale.depth}", "history/depth 0"),
        ("mark read/1000", "mark read/1"),
        ("list/200 chats", "denormalised/200 chats"),
        ("list/1000 chats", "denormalised/1000 chats"),
    ):
        cases.append(Case(case, medians[case], "ms", scale.runs, floor=medians[floor]))
    return cases


class _Bench:
    def __init__(self, address: Address, connection: psycopg.AsyncConnection[Any], scale: Scale) -> None:
        self._url = address.db_url
        self._api = postgrest_url(address)
        now = int(time.time())
        self._tokens = {
            user: jwt.encode(
                {"role": "authenticated", "sub": f"{ME[:-1]}{user}", "aud": "authenticated", "iat": now,
                 "exp": now + 3600},
                address.jwt_secret,
            )
            for user in range(3, 10)
        }  # fmt: skip
        self._connection = connection
        self._scale = scale

    def measures(self) -> dict[str, Callable[[], Awaitable[float]]]:
        page = "select public.get_chat_messages(%s, p_before_seq => %s)"
        listed = AS_JSON % "select * from public.list_chats(p_limit => 1000)"
        denormalised = AS_JSON % DENORMALISED
        return {
            **{
                f"{name}{client}/{said}": partial(write, statement, chats)
                for client, write in (
                    ("", self._write),
                    (", pgbench", self._write_from_c),
                    (", api", self._write_through_api),
                )
                for chats, said in ((CHATS, "1000 chats"), (1, "1 chat"))
                for name, statement in (("send", OURS), ("bare insert", BARE))
            },
            "history/depth 0": partial(self._ask, ME, page, DEEP, None),
            f"history/depth {self._scale.depth}": partial(self._ask, ME, page, DEEP, 1000),
            "mark read/1": partial(self._mark_read, 1),
            "mark read/1000": partial(self._mark_read, 1000),
            "list/200 chats": partial(self._ask, READER, listed),
            "denormalised/200 chats": partial(self._ask, None, denormalised, READER),
            "list/1000 chats": partial(self._ask, ME, listed),
            "denormalised/1000 chats": partial(self._ask, None, denormalised, ME),
        }

    async def _write(self, statement: str, chats: int) -> float:
        """Messages a second of eight writers."""
        until = time.perf_counter() + self._scale.seconds
        written = await asyncio.gather(*(self._writer(statement, chats, until) for _ in range(WRITERS)))
        return sum(written) / self._scale.seconds

    async def _writer(self, statement: str, chats: int, until: float) -> int:
        written = 0
        queries = [query.replace(":user", "%(user)s").replace(":chat", "%(chat)s") for query in (CLAIMS, statement)]
        async with await psycopg.AsyncConnection.connect(self._url) as connection:
            while time.perf_counter() < until:
                values = {"user": str(random.randint(3, 9)), "chat": str(random.randint(1, chats))}
                for query in queries:
                    await connection.execute(query.encode(), values)
                await connection.commit()
                written += 1
        return written

    async def _write_from_c(self, statement: str, chats: int) -> float:
        """As `_write`, by pgbench."""
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write(
                f"\\set user random(3, 9)\n\\set chat random(1, {chats})\nbegin;\n{CLAIMS};\n{statement};\nend;\n"
            )
            script.flush()
            process = await asyncio.create_subprocess_exec(
                ensure_tools().client_bin / "pgbench", "--no-vacuum", f"--client={WRITERS}", "--jobs=2",
                "--protocol=prepared", f"--time={self._scale.seconds}", f"--file={script.name}", self._url,
                stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, err = await process.communicate()
        rate = re.search(r"^tps = ([\d.]+)", out.decode(), re.MULTILINE)
        failed = re.search(r"failed transactions: (\d+)", out.decode())
        if process.returncode or rate is None or failed is None or int(failed[1]):
            raise RuntimeError(f"{out.decode()}\n{err.decode()}")
        return float(rate[1])

    async def _write_through_api(self, statement: str, chats: int) -> float:
        """As `_write`, by requests to PostgREST."""
        until = time.perf_counter() + self._scale.seconds
        async with aiohttp.ClientSession(self._api) as api:
            written = await asyncio.gather(
                *(self._api_writer(api, chats, until, ours=statement == OURS) for _ in range(WRITERS))
            )
        return sum(written) / self._scale.seconds

    async def _api_writer(self, api: aiohttp.ClientSession, chats: int, until: float, *, ours: bool) -> int:
        written = 0
        while time.perf_counter() < until:
            user = random.randint(3, 9)
            chat = md5(f"chat{random.randint(1, chats)}".encode(), usedforsecurity=False).hexdigest()
            headers = {"authorization": f"Bearer {self._tokens[user]}"}
            if ours:
                path = "/rpc/send_message"
                body = {"p_chat_id": chat, "p_body": BODY, "p_client_generated_id": str(uuid4())}
            else:
                path = "/bench_messages"
                headers["prefer"] = "return=minimal"
                body = {
                    "workspace_id": f"{ME[:-1]}0", "chat_id": chat, "sender_id": f"{ME[:-1]}{user}",
                    "client_generated_id": str(uuid4()), "body": BODY,
                }  # fmt: skip
            async with api.post(path, json=body, headers=headers) as answer:
                if answer.status not in (200, 201):
                    raise RuntimeError(f"{answer.status}: {await answer.text()}")
                await answer.read()
            written += 1
        return written

    async def _ask(self, user: str | None, query: str, *parameters: Any) -> float:
        """The median time of a call, in milliseconds."""
        return statistics.median([await self._timed(user, query, *parameters) for _ in range(self._scale.calls)])

    async def _mark_read(self, unread: int) -> float:
        times = []
        for _ in range(self._scale.calls):
            await self._connection.execute(
                "update chat_members set last_read_seq = 2000 - %s, last_delivered_seq = 2000"
                " where chat_id = %s and user_id = %s",
                [unread, MARKED, ME],
            )
            times.append(await self._timed(ME, "select * from public.mark_messages_as_read(%s)", MARKED))
        return statistics.median(times)

    async def _timed(self, user: str | None, query: str, *parameters: Any) -> float:
        connection = self._connection
        started = time.perf_counter()
        if user is None:
            await (await connection.execute(query.encode(), parameters)).fetchall()
        else:
            claims = json.dumps({"role": "authenticated", "sub": user})
            async with connection.transaction():
                await connection.execute(
                    "select set_config('role', 'authenticated', true), set_config('request.jwt.claims', %s, true)",
                    [claims],
                )
                await (await connection.execute(query.encode(), parameters)).fetchall()
        return (time.perf_counter() - started) * 1000
