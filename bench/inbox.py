"""The inbox beside the same queries written by hand.

200,000 threads and 5,000,000 messages in five workspaces, four fifths of them in the one that is asked about. Ours is
the function that a method of `Inbox` calls, as a signed-in member. The floor is the same query written by hand for
the owner of the tables, whom row security doesn't concern, with an explicit condition on workspace and user; it has to
answer the same rows. Both go through the same driver, and both are planned each time. The floor of a search for
messages is the bare look-up of the newest 50 by a `websearch_to_tsquery`, which brings ids without names and excerpts;
where that is the smaller part, a word that every message holds, the same page written by hand stands beside it as well.
"""

from __future__ import annotations

import json
import statistics
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID

import psycopg

from bench.report import Case, interleaved, progress
from qero.local.stack import temporary_stack

CORE = Path(__file__).parents[1] / "supabase" / "migrations" / "20260122000000_wa_core.sql"
WORKSPACES = 5


@dataclass(frozen=True)
class Scale:
    threads: int
    messages: int
    calls: int
    runs: int


FULL = Scale(threads=200_000, messages=5_000_000, calls=20, runs=5)
QUICK = Scale(threads=4_000, messages=40_000, calls=5, runs=2)

SHOWN: LiteralString = """
select thread.id, thread.workspace_id, thread.connection_id, thread.contact_id, thread.group_id, contact.name,
  contact.phone, thread.status, thread.assignee_id, thread.tags, thread.priority, thread.snoozed_until,
  thread.last_inbound_at, thread.last_message_at, thread.last_message_body, thread.unread_count,
  greatest(least(thread.unread_count, thread.inbound_count - coalesce(mine.read_count, 0)), 0)::integer,
  thread.waiting_since, thread.waiting_since + make_interval(secs => case when thread.first_response_seconds is null
    then settings.first_response_target_seconds else settings.next_response_target_seconds end),
  thread.first_response_seconds, thread.created_at
from wa_threads as thread
left join contacts as contact on contact.id = thread.contact_id
left join inbox_settings as settings on settings.workspace_id = thread.workspace_id
left join wa_thread_reads as mine on mine.thread_id = thread.id and mine.connection_id = thread.connection_id
  and mine.workspace_id = thread.workspace_id and mine.user_id = %(user)s
where thread.workspace_id = %(workspace)s
"""
LATEST: LiteralString = " order by thread.last_message_hour desc, thread.last_message_at desc, thread.id desc limit 50"
UNREAD: LiteralString = " and thread.has_unread and thread.inbound_count > coalesce(mine.read_count, 0)"
FOUND: LiteralString = """
 and (thread.id in (
    select message.thread_id from wa_messages as message where message.workspace_id = %(workspace)s
      and message.body is not null and private.search_vector(message.search_language, message.body)
        @@ websearch_to_tsquery('simple', '{}')))
"""
COUNT: LiteralString = "select count(*) from wa_threads as thread where thread.workspace_id = %(workspace)s"
HIT: LiteralString = """
  from wa_messages as message where message.workspace_id = %(workspace)s and message.body is not null
    and private.search_vector(message.search_language, message.body) @@ websearch_to_tsquery('simple', '{}')
  order by message.occurred_at desc, message.id desc limit 50
"""
PAGE: LiteralString = """
select message.id, message.workspace_id, message.thread_id, thread.contact_id, contact.name, message.direction,
  message.type,
  ts_headline(coalesce(message.search_language, 'simple')::regconfig, message.body,
    websearch_to_tsquery('simple', '{}'), 'StartSel=«, StopSel=», MaxWords=30, MinWords=10'), message.occurred_at
from (select message.*"""
PAGE += (
    HIT.rstrip()
    + """) as message
join wa_threads as thread on thread.id = message.thread_id
left join contacts as contact on contact.id = thread.contact_id
order by message.occurred_at desc, message.id desc
"""
)
# Of a word that was common once Postgres expects some in each page, and would read back for minutes.
LONG_AGO: LiteralString = """
with found as materialized (
  select message.id, message.occurred_at from wa_messages as message
  where message.workspace_id = %(workspace)s and message.body is not null
    and private.search_vector(message.search_language, message.body) @@ websearch_to_tsquery('simple', 'christmas')
) select id from found order by occurred_at desc, id desc limit 50
"""

# By name: ours, and by hand.
LISTS: dict[str, tuple[LiteralString, LiteralString]] = {
    "first page": ("select * from list_threads(%(workspace)s)", SHOWN + LATEST),
    "at depth": (
        "select * from list_threads(%(workspace)s, p_after => %(after)s)",
        SHOWN
        + """ and (thread.last_message_hour, thread.last_message_at, thread.id)
          < (date_bin('1 hour', %(at)s, '2000-01-01 00:00:00+00'), %(at)s, %(id)s)"""
        + LATEST,
    ),
    "open": (
        """select * from list_threads(%(workspace)s, '{"status": "open"}')""",
        SHOWN + " and thread.status = 'open'" + LATEST,
    ),
    "mine, open": (
        """select * from list_threads(%(workspace)s, '{"status": "open", "assignee": "me"}')""",
        SHOWN + " and thread.status = 'open' and thread.assignee_id = %(user)s" + LATEST,
    ),
    "a tag": (
        """select * from list_threads(%(workspace)s, '{"tag": "tag7"}')""",
        SHOWN + " and thread.tags <> '{}' and thread.tags @> '{tag7}'" + LATEST,
    ),
    "unread": ("""select * from list_threads(%(workspace)s, '{"unread": true}')""", SHOWN + UNREAD + LATEST),
    "longest wait": (
        "select * from list_threads(%(workspace)s, p_sort => 'waiting_since')",
        SHOWN + " and thread.waiting_since is not null order by thread.waiting_since, thread.id limit 50",
    ),
    "a saved view": (
        "select * from list_threads(%(workspace)s, p_view_id => %(view)s)",
        SHOWN + " and thread.status = 'open' and thread.assignee_id is null" + LATEST,
    ),
}
COUNTS: dict[str, tuple[LiteralString, LiteralString]] = {
    "count, open": (
        """select (count_threads(%(workspace)s, '{"status": "open"}') ->> 'count')::bigint""",
        COUNT + " and thread.status = 'open'",
    ),
    "count, a tag": (
        """select (count_threads(%(workspace)s, '{"tag": "tag7"}') ->> 'count')::bigint""",
        COUNT + " and thread.tags <> '{}' and thread.tags @> '{tag7}'",
    ),
    "count, unread": (
        """select (count_threads(%(workspace)s, '{"unread": true}') ->> 'count')::bigint""",
        """select count(*) from wa_threads as thread
           left join wa_thread_reads as mine on mine.thread_id = thread.id
             and mine.connection_id = thread.connection_id and mine.workspace_id = thread.workspace_id
             and mine.user_id = %(user)s
           where thread.workspace_id = %(workspace)s"""
        + UNREAD,
    ),
    "all counts": (
        """select counts ->> 'open', counts ->> 'pending', counts ->> 'snoozed', counts ->> 'closed', counts ->> 'mine',
             counts ->> 'unread', counts ->> 'waiting', counts ->> 'breached'
           from get_inbox_counts(%(workspace)s) as counts""",
        """select (count(*) filter (where thread.status = 'open'))::text,
             (count(*) filter (where thread.status = 'pending'))::text,
             (count(*) filter (where thread.status = 'snoozed'))::text,
             (count(*) filter (where thread.status = 'closed'))::text,
             (count(*) filter (where thread.status = 'open' and thread.assignee_id = %(user)s))::text,
             (count(*) filter (where thread.has_unread
               and thread.inbound_count > coalesce(mine.read_count, 0)))::text,
             count(thread.waiting_since)::text, '0'
           from wa_threads as thread
           left join wa_thread_reads as mine on mine.thread_id = thread.id
             and mine.connection_id = thread.connection_id and mine.workspace_id = thread.workspace_id
             and mine.user_id = %(user)s
           where thread.workspace_id = %(workspace)s""",
    ),
}
SEARCH: LiteralString = "select * from search_messages(%(workspace)s, %(words)s)"
WORDS = {
    "a rare word": "w4711",
    "two words": "invoice w77",
    "a word in one of a hundred": "w77",
    "a common word": "invoice",
    "a word of late": "easter",
    "a word in all": "order",
}


async def run(*, quick: bool) -> list[Case]:
    scale = QUICK if quick else FULL
    with temporary_stack(durable=False) as address:
        with psycopg.connect(address.db_url, autocommit=True) as connection:
            parameters = fill(connection, scale)
        with (
            psycopg.connect(address.db_url, autocommit=True, prepare_threshold=None) as owner,
            psycopg.connect(address.db_url, autocommit=True, prepare_threshold=None) as member,
        ):
            claims = json.dumps({"sub": str(parameters["user"]), "role": "authenticated"})
            member.execute("select set_config('request.jwt.claims', %s, false)", [claims])
            member.execute("set role authenticated")
            cases = []
            for name, (ours, by_hand) in (LISTS | COUNTS).items():
                _compare(name, owner.execute(by_hand, parameters), member.execute(ours, parameters))
                cases.append(await _case(name, scale, owner, member, ours, by_hand, parameters))
            for name, words in WORDS.items():
                bare = ("select message.id" + HIT).replace("{}", words)
                given = {**parameters, "words": words}
                _compare(name, owner.execute(bare.encode(), given), member.execute(SEARCH, given))
                cases.append(await _case(f"search messages, {name}", scale, owner, member, SEARCH, bare, given))
                threads: LiteralString = (
                    "select * from list_threads(%(workspace)s, jsonb_build_object('q', %(words)s::text))"
                )
                by_hand = SHOWN + FOUND.replace("{}", words) + LATEST
                _compare(name, owner.execute(by_hand.encode(), given), member.execute(threads, given))
                cases.append(await _case(f"search threads, {name}", scale, owner, member, threads, by_hand, given))
            page = PAGE.replace("{}", words)
            _compare(name, owner.execute(page.encode(), given), member.execute(SEARCH, given))
            cases.append(
                await _case(f"search messages, {name}, by its page", scale, owner, member, SEARCH, page, given)
            )
            given = {**parameters, "words": "christmas"}
            name = "search messages, a word of long ago"
            cases.append(await _case(name, scale, owner, member, SEARCH, LONG_AGO, given))
            if not quick:
                explain(owner, parameters)
            return cases


def fill(connection: psycopg.Connection[Any], scale: Scale) -> dict[str, Any]:
    """Everything that the queries ask about; answers what they are asked with."""
    progress(f"filling {scale.threads:,} threads and {scale.messages:,} messages …")
    # Built at once, an index takes a fraction of the time, and so does a reference that is checked at once.
    connection.execute(
        """
        set statement_timeout = 0;
        set max_parallel_workers_per_gather = 0;
        set work_mem = '256MB';
        set maintenance_work_mem = '512MB';
        alter publication supabase_realtime drop table wa_messages, wa_threads;
        alter table wa_messages drop constraint wa_messages_thread_id_connection_id_workspace_id_fkey;
        alter table wa_messages disable trigger user;
        drop index wa_messages_search_idx, wa_messages_workspace_id_occurred_at_idx,
          wa_messages_thread_id_occurred_at_idx, wa_threads_workspace_id_tags_idx
        """
    )
    user, view = _members(connection)
    spaces = connection.execute(
        """
        with workspace as (
          insert into workspaces (slug, name) select 'w-' || i, 'W' from generate_series(1, %s) as i returning id
        )
        insert into wa_phone_numbers (workspace_id, waba_id, phone_number_id)
        select id, '1', (row_number() over ())::text from workspace returning workspace_id, id
        """,
        [WORKSPACES],
    ).fetchall()
    for index, (workspace, number) in enumerate(spaces):
        # Four fifths are in the first.
        share = 0.8 if index == 0 else 0.2 / (WORKSPACES - 1)
        given = {
            "w": workspace, "n": number, "threads": int(scale.threads * share), "messages": int(scale.messages * share),
        }  # fmt: skip
        if index == 0:
            connection.execute("insert into workspace_memberships values (%s, %s, 'owner')", [workspace, user])
        connection.execute(
            """
            with contact as (
              insert into contacts (workspace_id, name, phone)
              select %(w)s, 'Person ' || i, '+1555' || (1000000 + i) from generate_series(1, %(threads)s) as i
              returning id, phone
            ), numbered as (
              select id, substr(phone, 6)::integer - 1000000 as i from contact
            )
            insert into wa_threads (workspace_id, connection_id, contact_id, status, assignee_id, tags,
              unread_count, inbound_count, waiting_since, last_inbound_at, last_message_at, last_message_body,
              first_response_seconds)
            select %(w)s, %(n)s, id,
              case when i %% 10 = 0 then 'open' when i %% 97 = 0 then 'pending' else 'closed' end,
              case when i %% 30 = 0 and %(first)s then %(user)s::uuid end,
              case when i %% 5 = 0 then array['tag' || i %% 500 / 5] else '{}' end,
              case when i %% 20 = 0 then 2 else 0 end, 25, case when i %% 20 = 0 then now() - i * interval '7 s' end,
              now() - i * interval '7 s', now() - i * interval '7 s', 'Where is my order?', i %% 5000
            from numbered
            """,
            {**given, "user": user, "first": index == 0},
        )
        progress(f"messages of workspace {index + 1} …")
        # The oldest first, as they come; ids in the same order.
        connection.execute(
            """
            with thread as materialized (
              select array_agg(id order by last_message_at desc) as ids from wa_threads where connection_id = %(n)s
            )
            insert into wa_messages (id, workspace_id, connection_id, thread_id, direction, type, body, status,
              occurred_at)
            select (lpad(to_hex((extract(epoch from now() - i * interval '1 s') * 1000)::bigint), 12, '0')
                || '7000' || to_hex(%(first_id)s) || right(gen_random_uuid()::text, 12))::uuid,
              %(w)s, %(n)s, thread.ids[i %% %(threads)s + 1], case when i %% 2 = 0 then 'in' else 'out' end, 'text',
              'order w' || i %% 20011 || ' from w' || i %% 101 || ' about w' || i / 7 %% 3001 || ' is late'
                || case when i %% 10 = 0 then ' and the invoice is wrong' else '' end
                || case when i > %(messages)s * 0.9 and i %% 3 = 0 then ' for christmas' else '' end
                || case when i < %(messages)s * 0.02 and i %% 3 = 0 then ' for easter' else '' end,
              case when i %% 2 = 1 then 'read' end, now() - i * interval '1 s'
            from thread, generate_series(%(messages)s, 1, -1) as i
            """,
            {**given, "first_id": 0x8000 + index},
        )
    first = spaces[0][0]
    connection.execute(
        """
        insert into wa_thread_reads select id, connection_id, workspace_id, %(user)s, inbound_count from wa_threads
        where workspace_id = %(w)s and (has_unread and substr(id::text, 1, 1) < '8' or substr(id::text, 1, 2) = 'ff')
        """,
        {"user": user, "w": first},
    )
    connection.execute(
        """insert into wa_saved_views (id, workspace_id, user_id, name, filters)
           values (%s, %s, %s, 'Mine', '{"status": "open", "assignee": "unassigned"}')""",
        [view, first, user],
    )
    progress("indexes …")
    connection.execute("alter table wa_messages enable trigger user")
    connection.execute(
        """
        alter table wa_messages add constraint wa_messages_thread_id_connection_id_workspace_id_fkey
          foreign key (thread_id, connection_id, workspace_id)
          references wa_threads (id, connection_id, workspace_id) on delete cascade
        """
    )
    connection.execute(CORE.read_bytes().replace(b"set statement_timeout = '60s';", b""))
    progress("vacuum …")
    connection.execute("vacuum (analyze)")
    row = connection.execute(
        """
        select id, last_message_at, id || ':' || (extract(epoch from last_message_at) * 1000000)::bigint
        from wa_threads where workspace_id = %s order by last_message_hour desc, last_message_at desc, id desc
        offset %s limit 1
        """,
        [first, int(scale.threads * 0.4)],
    ).fetchone()
    assert row is not None
    return {"user": user, "workspace": first, "view": view, "id": row[0], "at": row[1], "after": row[2]}


def explain(owner: psycopg.Connection[Any], parameters: dict[str, Any]) -> None:
    """The plans of what ours runs, for the docs: to standard error."""
    searches = {
        f"search for {name}": ("", "select message.id" + HIT.replace("{}", words)) for name, words in WORDS.items()
    }
    for name, (_, by_hand) in {**LISTS, **searches}.items():
        plan = owner.execute(("explain (analyze, costs off, timing off, summary off) " + by_hand).encode(), parameters)
        progress(f"--- {name}\n" + "\n".join(str(row[0]) for row in plan.fetchall()))


def _members(connection: psycopg.Connection[Any]) -> tuple[UUID, UUID]:
    row = connection.execute(
        """
        insert into auth.users (id, email) values (gen_random_uuid(), 'member@example.com')
        returning id, gen_random_uuid()
        """
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _compare(name: str, by_hand: psycopg.Cursor[Any], ours: psycopg.Cursor[Any]) -> None:
    wanted, found = by_hand.fetchall(), ours.fetchall()
    if not wanted or [row[: len(wanted[0])] for row in found] != wanted:
        raise RuntimeError(f"{name}: ours and the query by hand answer differently")


async def _case(
    name: str,
    scale: Scale,
    owner: psycopg.Connection[Any],
    member: psycopg.Connection[Any],
    ours: str,
    by_hand: str,
    parameters: dict[str, Any],
) -> Case:
    measured = await interleaved(
        {
            "ours": partial(_timed, member, ours, parameters, scale.calls),
            "by hand": partial(_timed, owner, by_hand, parameters, scale.calls),
        },
        runs=scale.runs,
    )
    return Case(name, measured["ours"], "ms", scale.runs, floor=measured["by hand"])


async def _timed(connection: psycopg.Connection[Any], query: str, parameters: dict[str, Any], calls: int) -> float:
    """The median of some calls, in milliseconds."""
    times: list[float] = []
    while len(times) < calls and sum(times) < 0.5:
        started = time.perf_counter()
        connection.execute(query.encode(), parameters).fetchall()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000
