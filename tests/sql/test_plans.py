"""The hot queries use their indexes, judged by the plan and the rows it touched, never by time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg.types.json import Jsonb

from qero import Settings

THREADS = 4_000
MESSAGES = 20_000
EVENTS = 60_000

Node = dict[str, Any]


@dataclass(frozen=True)
class Large:
    """A transaction, never committed, in which one workspace among several has many rows."""

    connection: psycopg.Connection[Any]
    user: UUID
    workspace: UUID
    number: UUID
    thread: UUID
    lane: int

    def plan(self, query: str, **parameters: Any) -> list[Node]:
        """The nodes of the plan, after running it."""
        explain = f"explain (analyze, timing off, format json) {query}".encode()
        row = self.connection.execute(explain, parameters).fetchone()
        assert row is not None
        waiting, nodes = [row[0][0]["Plan"]], []
        while waiting:
            node = waiting.pop()
            nodes.append(node)
            waiting += node.get("Plans", [])
        return nodes

    def as_user(self) -> None:
        claims = json.dumps({"sub": str(self.user), "role": "authenticated"})
        self.connection.execute("select set_config('request.jwt.claims', %s, true)", [claims])
        self.connection.execute("set local role authenticated")


@pytest.fixture(scope="module")
def filled(settings: Settings) -> Iterator[Large]:
    with psycopg.connect(settings.require("db_url")) as connection:
        connection.execute("set local synchronous_commit = off")
        row = connection.execute(
            """
            with person as (
              insert into auth.users (id, email) values (gen_random_uuid(), gen_random_uuid() || '@example.com')
              returning id
            )
            select id from person
            """
        ).fetchone()
        assert row is not None
        user: UUID = row[0]
        spaces = []
        for _ in range(4):
            ids = connection.execute(
                """
                with workspace as (
                  insert into workspaces (slug, name) values ('w-' || substr(md5(random()::text), 1, 16), 'Large')
                  returning id
                ), number as (
                  insert into wa_phone_numbers (workspace_id, waba_id, phone_number_id)
                  select id, '1', (random() * 1e15)::bigint::text from workspace returning id, workspace_id
                ) select workspace_id, id from number
                """
            ).fetchone()
            assert ids is not None
            spaces.append(ids)
        connection.execute("insert into workspace_memberships values (%s, %s, 'owner')", [spaces[0][0], user])
        for index, (workspace, number) in enumerate(spaces):
            parameters = {"w": workspace, "n": number, "threads": THREADS if index == 0 else 20, "k": index}
            parameters["messages"] = MESSAGES if index == 0 else 200
            connection.execute(
                """
                with contact as (
                  insert into contacts (workspace_id, name, phone, created_at)
                  select %(w)s, 'c' || i, '+1555' || (1000000 + i), now() - i * interval '1 minute'
                  from generate_series(1, %(threads)s) as i
                  returning id, phone
                ), identity as (
                  insert into contact_identities (workspace_id, contact_id, kind, value)
                  select %(w)s, id, 'wa_id', substr(phone, 2) from contact
                )
                insert into wa_threads (workspace_id, connection_id, contact_id, last_message_at)
                select %(w)s, %(n)s, id, now() - random() * interval '30 days' from contact
                """,
                parameters,
            )
            connection.execute(
                """
                with numbered as (
                  select id, row_number() over (order by id) - 1 as position from wa_threads where connection_id = %(n)s
                )
                insert into wa_messages (workspace_id, connection_id, thread_id, direction, wa_message_id, type, body,
                  occurred_at)
                select %(w)s, %(n)s, numbered.id, 'in', 'wamid.' || %(k)s || '.' || i, 'text', 'x',
                  now() - i * interval '1 s'
                from generate_series(1, %(messages)s) as i
                -- Every fourth message is of the first thread: too many to sort for a page.
                join numbered on numbered.position = case when i %% 4 = 0 then 0 else i %% %(threads)s end
                """,
                parameters,
            )
            connection.execute(
                """
                with numbered as (
                  select id, row_number() over (order by id) - 1 as position from wa_threads where connection_id = %(n)s
                )
                insert into outbox_messages (workspace_id, channel, connection_id, thread_id, recipient, payload,
                  idempotency_key, status)
                select %(w)s, 'whatsapp', %(n)s, numbered.id, '+1', '{}', i,
                  case when i %% 20 = 0 then 'queued' else 'sent' end
                from generate_series(1, %(messages)s) as i join numbered on numbered.position = i %% %(threads)s
                """,
                parameters,
            )
        connection.execute(
            """
            insert into user_contact_settings (user_id, contact_id, workspace_id, status, follow_up_at)
            select %s, id, workspace_id, 'hot', now() + row_number() over () * interval '1 hour' from contacts
            where workspace_id = %s order by id limit 200
            """,
            [user, spaces[0][0]],
        )
        # In the order of arrival, a month of them, next year: what other tests have received came before.
        connection.execute(
            """
            insert into meta_webhook_events (workspace_id, event_key, kind, raw, status, received_at)
            select %s, 'key' || i, 'message', jsonb_build_object('filling', repeat('x', 500)),
              case when i %% 1000 = 0 then 'set_aside' else 'applied' end,
              now() + interval '1 year' - (%s - i) * interval '1 month' / %s
            from generate_series(1, %s) as i
            """,
            [spaces[0][0], EVENTS, EVENTS, EVENTS],
        )
        connection.execute("select brin_summarize_new_values('meta_webhook_events_id_received_at_idx')")
        connection.execute(
            """
            insert into private.outbox_ready (lane_id, rank, run_at, sequence, id)
            select lane_id, 0, now() - i * interval '1 s', -i, gen_random_uuid()
            from private.outbox_lanes, generate_series(1, 5000) as i where connection_id = any(%s)
            """,
            [[number for _, number in spaces]],
        )
        for table in (
            "contacts",
            "contact_identities",
            "wa_threads",
            "wa_messages",
            "outbox_messages",
            "meta_webhook_events",
            "private.outbox_ready",
            "user_contact_settings",
        ):
            connection.execute(f"analyze {table}".encode())
        thread = connection.execute(
            "select id from wa_threads where connection_id = %s order by id limit 1", [spaces[0][1]]
        ).fetchone()
        lane = connection.execute(
            "select lane_id from private.outbox_lanes where connection_id = %s", [spaces[0][1]]
        ).fetchone()
        assert thread is not None
        assert lane is not None
        yield Large(connection, user, spaces[0][0], spaces[0][1], thread[0], lane[0])
        connection.rollback()


@pytest.fixture
def large(filled: Large) -> Iterator[Large]:
    """Each test may drop what it likes."""
    filled.connection.execute("savepoint test")
    yield filled
    filled.connection.execute("rollback to savepoint test")


def uses(nodes: list[Node], index: str) -> bool:
    return any(node.get("Index Name") == index for node in nodes)


def scanned(nodes: list[Node], table: str) -> bool:
    return any(node["Node Type"] == "Seq Scan" and node.get("Relation Name") == table for node in nodes)


def sorts(nodes: list[Node]) -> set[str]:
    return {node["Node Type"] for node in nodes} & {"Sort", "Incremental Sort"}


def rows_read(nodes: list[Node], table: str) -> int:
    return sum(
        (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
        * node["Actual Loops"]
        for node in nodes
        if node.get("Relation Name") == table and "Scan" in node["Node Type"]
    )


HISTORY = """
select * from wa_messages where thread_id = %(thread)s and connection_id = %(number)s and workspace_id = %(workspace)s
order by occurred_at desc, sequence desc limit 20
"""
LIST = """
select * from wa_threads where workspace_id = %(workspace)s
order by last_message_hour desc, last_message_at desc, id desc limit 20
"""


def history(large: Large) -> list[Node]:
    large.as_user()
    return large.plan(HISTORY, thread=large.thread, number=large.number, workspace=large.workspace)


def thread_list(large: Large) -> list[Node]:
    large.as_user()
    return large.plan(LIST, workspace=large.workspace)


def of_inbox(large: Large, filter: str, order: str) -> list[Node]:
    """As list_threads asks, with the conditions it makes, where most conversations are over."""
    large.connection.execute(
        """
        update wa_threads
        set status = case when get_byte(uuid_send(id), 0) < 25 then 'open' else 'closed' end,
          unread_count = case when get_byte(uuid_send(id), 0) < 12 then 1 else 0 end, inbound_count = 1,
          waiting_since = case when get_byte(uuid_send(id), 0) < 12 then last_message_at end
        where workspace_id = %s
        """,
        [large.workspace],
    )
    large.connection.execute("analyze wa_threads")
    row = large.connection.execute(
        "select private.thread_conditions(%(w)s, %(f)s) || (private.thread_alternatives(%(w)s, %(f)s))[1]",
        {"w": large.workspace, "f": Jsonb(json.loads(filter))},
    ).fetchone()
    assert row is not None
    conditions = row[0].replace("%", "%%")
    return large.plan(f"select thread.* from wa_threads as thread where {conditions} order by {order} limit 20")


LATEST = "thread.last_message_hour desc, thread.last_message_at desc, thread.id desc"


def open_threads(large: Large) -> list[Node]:
    return of_inbox(large, '{"status": "open"}', LATEST)


def unread_threads(large: Large) -> list[Node]:
    return of_inbox(large, '{"unread": true}', LATEST)


def waiting_threads(large: Large) -> list[Node]:
    return of_inbox(large, '{"waiting": true}', "thread.waiting_since, thread.id")


MESSAGES_FOUND = """
with every as materialized (
  select id, occurred_at from wa_messages where workspace_id = %(workspace)s and body is not null
    and private.search_vector(search_language, body) @@ %(word)s::tsquery
    and (occurred_at, id) < ('infinity', 'ffffffff-ffff-ffff-ffff-ffffffffffff') and occurred_at >= %(since)s
), found as materialized (select every.* from every limit 2001)
select count(*) from found
"""


def message_search(large: Large) -> list[Node]:
    """As search_messages asks."""
    large.connection.execute(
        "update wa_messages set body = 'xylophone' where wa_message_id in ('wamid.0.77', 'wamid.0.78')"
    )
    large.connection.execute(
        "select gin_clean_pending_list(oid) from pg_class where relname = 'wa_messages_search_idx'"
    )
    large.connection.execute("analyze wa_messages")
    return large.plan(MESSAGES_FOUND, workspace=large.workspace, word="xylophone", since="-infinity")


def common_message_search(large: Large) -> list[Node]:
    """As search_messages asks of a span that should hold two pages."""
    large.connection.execute("update wa_messages set body = 'common' where workspace_id = %s", [large.workspace])
    large.connection.execute("analyze wa_messages")
    row = large.connection.execute(
        "select occurred_at from wa_messages where workspace_id = %s order by occurred_at desc offset 99 limit 1",
        [large.workspace],
    ).fetchone()
    assert row is not None
    return large.plan(MESSAGES_FOUND, workspace=large.workspace, word="common", since=row[0])


CONTACTS = """
select contact.id, settings.status from contacts as contact
left join user_contact_settings as settings
  on settings.user_id = (select auth.uid()) and settings.contact_id = contact.id
where contact.workspace_id = %(workspace)s and contact.deleted_at is null and (contact.created_at, contact.id) < (now(),
  '00000000-0000-0000-0000-000000000000')
order by contact.created_at desc, contact.id desc limit 20
"""


def contact_page(large: Large) -> list[Node]:
    """The first page or any other, under row security."""
    large.as_user()
    return large.plan(CONTACTS, workspace=large.workspace)


def contact_search(large: Large) -> list[Node]:
    """As the definer function asks, with the conditions it makes."""
    # What was inserted a moment ago still waits to be sorted into the index.
    large.connection.execute("select gin_clean_pending_list(oid) from pg_class where relname = 'contacts_search_idx'")
    row = large.connection.execute("""select private.people_conditions('{"search": "C3999 3999"}')""").fetchone()
    assert row is not None
    query = "select * from contacts as person where person.workspace_id = %(workspace)s and person.deleted_at is null"
    conditions = row[0].replace("%", "%%")
    return large.plan(f"{query}{conditions} order by created_at desc, id desc limit 20", workspace=large.workspace)


def follow_ups(large: Large) -> list[Node]:
    large.as_user()
    return large.plan(
        """
        select contact_id from user_contact_settings
        where user_id = (select auth.uid()) and follow_up_at >= '-infinity' and follow_up_at < now() + interval '9 h'
        order by follow_up_at, contact_id limit 20
        """
    )


def import_look_up(large: Large) -> list[Node]:
    """As the import asks of every row."""
    large.connection.execute("set local enable_seqscan = off")
    return large.plan(
        """
        select id from contacts where phone = %(phone)s and workspace_id is not distinct from %(workspace)s
          and deleted_at is null
        """,
        workspace=large.workspace,
        phone="+15551000077",
    )


def status_look_up(large: Large) -> list[Node]:
    return large.plan(
        "select id from wa_messages where connection_id = %(number)s and wa_message_id = %(wamid)s",
        number=large.number,
        wamid="wamid.0.77",
    )


def identity_look_up(large: Large) -> list[Node]:
    return large.plan(
        """
        select contact_id from contact_identities
        where workspace_id = %(workspace)s and kind = 'wa_id' and scope = '' and value = %(value)s
        """,
        workspace=large.workspace,
        value="15551000077",
    )


def count_of_a_day(large: Large) -> list[Node]:
    """The very statement inside webhook_event_stats."""
    row = large.connection.execute("select prosrc from pg_proc where proname = 'webhook_event_stats'").fetchone()
    assert row is not None
    found = re.search(r"\((\s*select \(event\.received_at.*?group by 1, 2, 3)", row[0], re.DOTALL)
    assert found, "the statement that counts looks different now"
    since = "(now() + interval '1 year' - interval '24 hours')"
    return large.plan(found[1].replace("v_since", since).replace("p_workspace_id", "null::uuid").replace("%", "%%"))


def event_look_up(large: Large) -> list[Node]:
    row = large.connection.execute(
        "select min(id) + 30000 from meta_webhook_events where event_key = 'key1'"
    ).fetchone()
    assert row is not None
    return large.plan("select raw from meta_webhook_events where id = any(%(ids)s)", ids=[row[0], row[0] + 1])


def set_aside(large: Large) -> list[Node]:
    return large.plan(
        """
        select id from meta_webhook_events where workspace_id = %(workspace)s and status = 'set_aside'
        order by id desc limit 50
        """,
        workspace=large.workspace,
    )


def claimed_lanes(large: Large) -> list[Node]:
    """The very statement with which claim_outbox finds what is due."""
    return large.plan(statement_of_claim(large, r"(with recursive served.*?)\n    into v_lane_ids") + " from class")


def claimed_messages(large: Large) -> list[Node]:
    """The very statement with which claim_outbox takes the messages of one lane."""
    query = statement_of_claim(large, r"from class cross join lateral \(\n(.*?)\) as found")
    return large.plan(
        query.replace("class.lane_id", "%(lane)s").replace("class.rank", "0::smallint").replace("class.room", "50")
        .replace("class.share", "50"),
        lane=large.lane,
    )  # fmt: skip


def statement_of_claim(large: Large, pattern: str) -> str:
    large.connection.execute("set local enable_seqscan = off")  # as the function itself has it
    row = large.connection.execute("select prosrc from pg_proc where proname = 'claim_outbox'").fetchone()
    assert row is not None
    found = re.search(pattern, row[0], re.DOTALL)
    assert found, "the statement looks different now"
    text: str = found[1]
    for variable, value in {
        "v_now": "clock_timestamp()", "v_microseconds": "(extract(epoch from now()) * 1000000)::bigint",
        "v_ahead": "250000", "v_second": "1020000", "v_class_count": "20", "p_limit": "50",
    }.items():  # fmt: skip
        text = text.replace(variable, value)
    return text


@dataclass(frozen=True)
class Guard:
    """What a good plan of one query looks like, and the statement that takes its index away."""

    question: Callable[[Large], list[Node]]
    table: str
    index: str
    rows: int
    drop: str
    may_sort: frozenset[str] = frozenset()

    def faults(self, nodes: list[Node]) -> list[str]:
        faults = []
        if not uses(nodes, self.index):
            faults.append(f"doesn't use {self.index}")
        if scanned(nodes, self.table):
            faults.append(f"scans {self.table}")
        if sorting := sorts(nodes) - self.may_sort:
            faults.append(f"has a {sorting}")
        if (read := rows_read(nodes, self.table)) > self.rows:
            faults.append(f"reads {read} rows")
        return faults


GUARDS = [
    Guard(
        history,
        "wa_messages",
        "wa_messages_thread_id_occurred_at_idx",
        20,
        "drop index wa_messages_thread_id_occurred_at_idx",
    ),
    # The index knows the hour, and the threads of one hour are sorted, about six here. Postgres sorts 32 rows at a time
    # and more only while the hour goes on.
    Guard(
        thread_list,
        "wa_threads",
        "wa_threads_workspace_id_last_message_hour_idx",
        32 + 20,
        "drop index wa_threads_workspace_id_last_message_hour_idx",
        may_sort=frozenset({"Incremental Sort"}),
    ),
    Guard(
        open_threads,
        "wa_threads",
        "wa_threads_workspace_id_status_last_message_hour_idx",
        32 + 20,
        "drop index wa_threads_workspace_id_status_last_message_hour_idx",
        may_sort=frozenset({"Incremental Sort"}),
    ),
    Guard(
        unread_threads,
        "wa_threads",
        "wa_threads_unread_workspace_id_last_message_hour_idx",
        32 + 20,
        "drop index wa_threads_unread_workspace_id_last_message_hour_idx",
        may_sort=frozenset({"Incremental Sort"}),
    ),
    Guard(
        waiting_threads,
        "wa_threads",
        "wa_threads_workspace_id_waiting_since_idx",
        32 + 20,
        "drop index wa_threads_workspace_id_waiting_since_idx",
        may_sort=frozenset({"Incremental Sort"}),
    ),
    Guard(
        message_search,
        "wa_messages",
        "wa_messages_search_idx",
        2,
        "drop index wa_messages_search_idx",
    ),
    Guard(
        common_message_search,
        "wa_messages",
        "wa_messages_workspace_id_occurred_at_idx",
        100,
        "drop index wa_messages_workspace_id_occurred_at_idx",
    ),
    Guard(
        contact_page,
        "contacts",
        "contacts_workspace_id_created_at_idx",
        20,
        "drop index contacts_workspace_id_created_at_idx",
    ),
    Guard(
        contact_search,
        "contacts",
        "contacts_search_idx",
        5,
        "drop index contacts_search_idx",
        may_sort=frozenset({"Sort"}),
    ),
    Guard(
        follow_ups,
        "user_contact_settings",
        "user_contact_settings_user_id_follow_up_at_idx",
        20,
        "drop index user_contact_settings_user_id_follow_up_at_idx",
    ),
    Guard(
        import_look_up,
        "contacts",
        "contacts_phone_workspace_id_idx",
        1,
        "drop index contacts_phone_workspace_id_idx",
    ),
    Guard(
        status_look_up,
        "wa_messages",
        "wa_messages_connection_id_wa_message_id_key",
        1,
        "alter table wa_messages drop constraint wa_messages_connection_id_wa_message_id_key",
    ),
    Guard(
        identity_look_up,
        "contact_identities",
        "contact_identities_value_key",
        1,
        "alter table contact_identities drop constraint contact_identities_value_key",
    ),
    # 2,000 came that day; a block range holds about as many again.
    Guard(
        count_of_a_day,
        "meta_webhook_events",
        "meta_webhook_events_id_received_at_idx",
        6_000,
        "drop index meta_webhook_events_id_received_at_idx",
        may_sort=frozenset({"Sort"}),
    ),
    Guard(
        event_look_up,
        "meta_webhook_events",
        "meta_webhook_events_id_received_at_idx",
        6_000,
        "drop index meta_webhook_events_id_received_at_idx",
    ),
    Guard(
        set_aside,
        "meta_webhook_events",
        "meta_webhook_events_set_aside_idx",
        50,
        "drop index meta_webhook_events_set_aside_idx",
    ),
    # One look for each lane that has work, whatever waits in it, and one that finds no more; twice, for the round
    # begins behind the lane served last.
    Guard(
        claimed_lanes,
        "outbox_ready",
        "outbox_ready_pkey",
        12,
        "alter table private.outbox_ready drop constraint outbox_ready_pkey",
        may_sort=frozenset({"Sort", "Incremental Sort"}),
    ),
    Guard(
        claimed_messages,
        "outbox_ready",
        "outbox_ready_pkey",
        50,
        "alter table private.outbox_ready drop constraint outbox_ready_pkey",
    ),
]


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.question.__name__)
def test_a_hot_query_reads_what_it_needs_by_its_index(guard: Guard, large: Large) -> None:
    assert guard.faults(guard.question(large)) == []


@pytest.mark.parametrize("guard", GUARDS, ids=lambda guard: guard.question.__name__)
def test_a_missing_index_is_noticed(guard: Guard, large: Large) -> None:
    large.connection.execute(guard.drop.encode())
    assert guard.faults(guard.question(large)) != []


def test_a_page_of_threads_reads_no_more_than_a_busy_hour_beyond_it(large: Large) -> None:
    busy = 500
    large.connection.execute(
        """
        update wa_threads
        set last_message_at = date_bin('1 hour', now(), '2000-01-01Z') + random() * interval '59 minutes'
        where id in (select id from wa_threads where workspace_id = %s order by id limit %s)
        """,
        [large.workspace, busy],
    )
    large.connection.execute("analyze wa_threads")

    nodes = thread_list(large)

    assert uses(nodes, "wa_threads_workspace_id_last_message_hour_idx")
    assert sorts(nodes) == {"Incremental Sort"}
    assert busy <= rows_read(nodes, "wa_threads") <= busy + 32
