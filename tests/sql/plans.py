"""The hot queries, the data they are asked of, and what their plans have to look like.

A question is asked of the function that a method of a service calls, as who calls it; every statement that ran inside
comes back with its plan. The suite asks of a few thousand rows, `scripts/proof scale` of millions.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID

import psycopg
from psycopg.conninfo import make_conninfo
from psycopg.errors import Diagnostic

from qero.local.postgres import SUPERUSER

Node = dict[str, Any]


@dataclass(frozen=True)
class Scale:
    """How many rows there are; four fifths of them, unless said otherwise, in the workspace that is asked about."""

    contacts: int
    threads: int
    messages: int
    events: int
    sent: int
    """Messages of the outbox that have left."""
    queued: int
    """Messages of the outbox that may leave: as many for each workspace."""
    chat_messages: int
    """Half of them in one chat."""
    others: int
    """Leads, candidates, notes, calls, ledgers, the audit log."""


SMALL = Scale(
    contacts=5_000, threads=5_000, messages=25_000, events=60_000, sent=20_000, queued=4_000, chat_messages=12_000,
    others=5_000,
)  # fmt: skip
FULL = Scale(
    contacts=1_000_000, threads=250_000, messages=5_000_000, events=1_000_000, sent=1_000_000, queued=100_000,
    chat_messages=1_000_000, others=250_000,
)  # fmt: skip

WORKSPACES = 4
BIG = (
    "contacts", "contact_identities", "wa_threads", "wa_messages", "outbox_messages", "outbox_ready", "outbox_lines",
    "outbox_problems", "meta_webhook_events", "user_contact_settings", "chat_messages", "leads",
    "whatsapp_message_queue", "queue_ledger", "tma_candidates", "contact_notes", "contact_call_logs",
    "contact_events", "workspace_token_ledger", "owner_audit_log", "orphan_webhook_events", "wa_thread_breaches",
)  # fmt: skip
# A page is 50; what is sorted for one may come from a busy hour of it.
PAGE = 200


@dataclass
class Large:
    """A connection to a database in which one workspace among several has many rows."""

    connection: psycopg.Connection[Any]
    scale: Scale
    user: UUID
    workspace: UUID
    number: UUID
    thread: UUID
    lane: int
    spaces: list[tuple[UUID, UUID]]
    milliseconds: float = 0.0
    """What the last question took, in the database."""
    _plans: list[Node] = field(default_factory=list)
    _latest_milliseconds: float = 0.0

    def plan(self, query: str, **parameters: Any) -> list[Node]:
        """The nodes of the plan, after running it."""
        explain = f"explain (analyze, timing off, format json) {query}".encode()
        row = self.connection.execute(explain, parameters).fetchone()
        assert row is not None
        self.milliseconds = row[0][0]["Execution Time"]
        return _nodes(row[0][0]["Plan"])

    def ask(self, query: str, role: Literal["authenticated", "service_role"], **more: Any) -> list[Node]:
        """The nodes of the plans of everything that ran for it, inside of functions too."""
        given = self.parameters() | more
        claims = {"sub": str(self.user), "role": role} if role == "authenticated" else {"role": role}
        self.connection.execute("select set_config('request.jwt.claims', %s, true)", [json.dumps(claims)])
        self.connection.execute("set local auto_explain.log_min_duration = 0")
        self.connection.execute(f"set local role {role}".encode())
        self._plans.clear()
        self.connection.execute(query.encode(), given)
        # The plan of a statement is told when the next one takes its place.
        self.connection.execute("select %s", [1])
        self.milliseconds = self._latest_milliseconds
        return [node for plan in self._plans for node in _nodes(plan)]

    def hear(self, notice: Diagnostic) -> None:
        """A plan, as the database tells it."""
        told, marked, text = (notice.message_primary or "").partition(" ms  plan:\n")
        if marked:
            # Those of what runs inside come before that of the question itself.
            self._latest_milliseconds = float(told.removeprefix("duration: "))
            self._plans.append(json.loads(text)["Plan"])

    def parameters(self) -> dict[str, Any]:
        """What questions name."""
        last = int(self.scale.contacts * 0.8) - 1
        return {
            "user": self.user, "workspace": self.workspace, "quiet": self.spaces[1][0], "number": self.number,
            "thread": self.thread,
            "lane": self.lane, "contact": id_of("contact", self.workspace, 1),
            "contacts": [id_of("contact", self.workspace, n) for n in range(1, 51)],
            "lead": id_of("lead", self.workspace, 1), "chat": id_of("chat", self.workspace, 1),
            "search": f"c{last} {last}", "deep": self.scale.chat_messages // 4,
            "late": int(self.scale.chat_messages * 0.8) // 2 - 150,
            "contact_after": self._cursor("contacts", "created_at"),
            "thread_after": self._cursor("wa_threads", "last_message_at"),
        }  # fmt: skip

    def _cursor(self, table: str, column: str) -> str:
        """Where the page in the middle of a list begins."""
        query = f"""
            select id || ':' || (extract(epoch from {column}) * 1000000)::bigint from {table}
            where workspace_id = %s and {column} < now() - interval '3 hours' order by {column} desc limit 1
        """
        row = self.connection.execute(query.encode(), [self.workspace]).fetchone()
        assert row is not None
        cursor: str = row[0]
        return cursor


def id_of(kind: str, workspace: UUID, number: int) -> UUID:
    """The id that `fill` gives."""
    return UUID(hashlib.md5(f"{workspace}:{kind}:{number}".encode(), usedforsecurity=False).hexdigest())


def _nodes(plan: Node) -> list[Node]:
    waiting, nodes = [plan], []
    while waiting:
        node = waiting.pop()
        nodes.append(node)
        waiting += node.get("Plans", [])
    return nodes


@contextmanager
def explaining(db_url: str, **options: Any) -> Iterator[psycopg.Connection[Any]]:
    """A connection that can tell the plans of what runs inside of functions.

    On hosted the tables' owner may ask for them; where the extension isn't loaded for everybody, the superuser may.
    """
    with psycopg.connect(db_url) as connection:
        row = connection.execute("select current_setting('auto_explain.log_min_duration', true)").fetchone()
    if row == (None,):
        db_url = make_conninfo(db_url, user=SUPERUSER)
    with psycopg.connect(db_url, prepare_threshold=None, **options) as connection:
        if row == (None,):
            connection.execute("load 'auto_explain'")
        for setting, value in {
            "log_analyze": "on", "log_timing": "off", "log_format": "json", "log_nested_statements": "on",
            "log_level": "notice",
        }.items():  # fmt: skip
            connection.execute("select set_config(%s, %s, false)", [f"auto_explain.{setting}", value])
        yield connection


# By table, what `fill` puts into it for each workspace: with its parameters, and ids that can be told beforehand.
ROWS = {
    "contacts": """
        insert into contacts (id, workspace_id, name, email, phone, lead_status, tags, assigned_to, created_at)
        select contact_id(i), %(w)s, 'c' || i, 'c' || i || '@example.com', '+1555' || (1000000 + i),
          (array['new', 'engaged', 'lost'])[1 + i %% 3], array['tag' || i %% (%(contacts)s / 100 + 1)],
          case when i %% (%(contacts)s / 100 + 1) = 0 then %(member)s::uuid end, now() - i * interval '1 minute'
        from generate_series(1, %(contacts)s) as i
    """,
    "contact_identities": """
        insert into contact_identities (workspace_id, contact_id, kind, value)
        select %(w)s, contact_id(i), 'wa_id', '1555' || (1000000 + i) from generate_series(1, %(contacts)s) as i
    """,
    # Six an hour, and most conversations are over. A fifth of those that are were the asker's.
    "wa_threads": """
        insert into wa_threads (id, workspace_id, connection_id, contact_id, last_message_at, last_inbound_at, status,
          assignee_id, tags, unread_count, inbound_count, waiting_since, last_message_body)
        select thread_id(i), %(w)s, %(n)s, contact_id(i), now() - random() * %(threads)s / 6 * interval '1 hour', now(),
          case when i %% 10 = 0 then 'open' else 'closed' end,
          case when i %% 400 = 0 or i %% 5 = 1 then %(user)s::uuid when i %% 20 = 0 then %(member)s::uuid end,
          case when i %% 5 = 0 then array['tag' || i / 5 %% (%(threads)s / 500 + 1)] else '{}' end,
          case when i %% 20 = 0 then 1 else 0 end, 1, case when i %% 20 = 0 then now() - i * interval '1 minute' end,
          'Where is my order?'
        from generate_series(1, %(threads)s) as i
    """,
    # Every fourth message is of the first thread: too many to sort for a page.
    "wa_messages": """
        insert into wa_messages (workspace_id, connection_id, thread_id, direction, wa_message_id, type, body, status,
          occurred_at)
        select %(w)s, %(n)s, thread_id(case when i %% 4 = 0 then 1 else 1 + i %% %(threads)s end),
          case when i %% 2 = 0 then 'in' else 'out' end, 'wamid.' || %(k)s || '.' || i, 'text',
          case when i in (77, 78) then 'xylophone' else 'order w' || i %% 20011 || ' from w' || i %% 101 end,
          case when i %% 2 = 1 then 'read' end, now() - i * interval '1 s'
        from generate_series(1, %(messages)s) as i
    """,
    "outbox_messages": """
        insert into outbox_messages (id, workspace_id, channel, connection_id, thread_id, recipient, payload,
          idempotency_key, status, attempts, created_at, settled_at, error_code)
        select outbox_id(i), %(w)s, 'whatsapp', %(n)s, thread_id(1 + i %% %(threads)s), '+1', '{}', 'sent:' || i,
          case when i %% 50 = 1 then 'failed' else 'sent' end, 1, now() - i * interval '1 s',
          now() - i * interval '1 s', case when i %% 50 = 1 then '131026' end
        from generate_series(1, %(sent)s) as i
    """,
    "outbox_problems": """
        insert into private.outbox_problems (id, workspace_id, status, error_code, settled_at)
        select outbox_id(i), %(w)s, 'failed', '131026', now() - i * interval '1 s'
        from generate_series(1, %(sent)s, 50) as i
    """,
    "user_contact_settings": """
        insert into user_contact_settings (user_id, contact_id, workspace_id, status, follow_up_at)
        select person.id, contact_id(person.place * 200 + i), %(w)s, (array['hot', 'working'])[1 + i %% 2],
          now() + (i - 20) * interval '1 hour'
        from (select id, row_number() over (order by id = %(user)s desc, id) - 1 as place from bulk_people) as person,
          generate_series(1, 200) as i
        where person.place * 200 + i <= %(contacts)s and (person.id <> %(user)s or %(k)s = 0)
    """,
    "chats": """
        insert into chats (id, workspace_id, kind, title, last_seq, last_rev, last_message_at)
        select chat_id(i), %(w)s, 'group', 'Chat ' || i, length.messages, length.messages, now() - i * interval '1 min'
        from generate_series(1, %(chats)s) as i
        cross join lateral (
          select case when i = 1 then %(chat_messages)s / 2 else %(chat_messages)s / 2 / %(chats)s end as messages
        ) as length
    """,
    # The one who asks is in the first 200; all others take turns, two in each.
    "chat_members": """
        insert into chat_members (workspace_id, chat_id, user_id)
        select %(w)s, chat_id(i), person.id
        from generate_series(1, %(chats)s) as i,
          (select id, row_number() over (order by id <> %(user)s, id) - 2 as place, count(*) over () - 1 as others
            from bulk_people) as person
        where case when person.id = %(user)s then i <= 200
          else person.place in (i %% person.others, (i + 1) %% person.others) end
    """,
    "chat_messages": """
        insert into chat_messages (workspace_id, chat_id, seq, rev, sender_id, client_generated_id, body, created_at)
        select %(w)s, chats.id, seq, seq, %(user)s, seq::text, 'Message ' || seq, now() - seq * interval '1 s'
        from chats, generate_series(1, chats.last_seq) as seq where chats.workspace_id = %(w)s
    """,
    "leads": """
        insert into leads (id, workspace_id, contact_id, score, status, control, created_at)
        select lead_id(i), %(w)s, contact_id(i), i %% 1000,
          (array['new', 'contacted', 'engaged', 'pending'])[1 + i %% 4],
          case when i %% 4 = 2 then 'human' else 'automation' end, now() - i * interval '1 minute'
        from generate_series(1, %(others)s) as i
    """,
    "whatsapp_message_queue": """
        insert into whatsapp_message_queue (workspace_id, lead_id, user_id, queue_day, body, status, sent_at, outbox_id)
        select %(w)s, lead_id(i), %(user)s, current_date - 1 - i %% 100, 'Hi', 'sent', now() - i * interval '1 min',
          outbox_id(i)
        from generate_series(1, %(others)s) as i
    """,
    "queue_ledger": """
        insert into queue_ledger (workspace_id, lead_id, queue, from_status, to_status, created_at)
        select %(w)s, lead_id(i), 'leads', 'new', 'queued', now() - i * interval '1 min'
        from generate_series(1, %(others)s) as i
    """,
    "tma_candidates": """
        insert into tma_candidates (workspace_id, name, email, created_at)
        select %(w)s, 'k' || i, 'k' || i || '@example.com', now() - i * interval '1 min'
        from generate_series(1, %(others)s) as i
    """,
    # A hundred of the first contact's.
    "contact_notes": """
        insert into contact_notes (workspace_id, contact_id, body, created_at)
        select %(w)s, contact_id(greatest(1, i - 100)), 'Note ' || i, now() - i * interval '1 min'
        from generate_series(1, %(others)s) as i
    """,
    "contact_call_logs": """
        insert into contact_call_logs (workspace_id, contact_id, outcome, called_at)
        select %(w)s, contact_id(greatest(1, i - 100)), 'answered', now() - i * interval '1 min'
        from generate_series(1, %(others)s) as i
    """,
    "contact_events": """
        insert into contact_events (workspace_id, contact_id, kind, occurred_at)
        select %(w)s, contact_id(greatest(1, i - 100)), 'lead_status_changed', now() - i * interval '1 min'
        from generate_series(1, %(others)s) as i
    """,
    "wa_thread_breaches": """
        insert into wa_thread_breaches (thread_id, connection_id, workspace_id, waiting_since, kind, target_seconds,
          created_at, answered_at)
        select thread_id(i), %(n)s, %(w)s, now() - i * interval '1 h', 'first_response', 60, now() - i * interval '1 h',
          case when i %% 1000 > 1 then now() end
        from generate_series(1, %(threads)s, 2) as i
    """,
    "workspace_token_ledger": """
        insert into workspace_token_ledger (workspace_id, delta, balance_after, reference_id)
        select %(w)s, 1, i, 'ref-' || i from generate_series(1, %(others)s) as i
    """,
}

QUEUED = """
    insert into outbox_messages (workspace_id, channel, connection_id, thread_id, recipient, payload, idempotency_key,
      scheduled_at)
    select %(w)s, 'whatsapp', %(n)s, thread_id(i), '+1', '{}', 'queued:' || i, now() - i * interval '1 s'
    from generate_series(1, %(queued)s) as i
"""
# In the order of arrival, a month of them, next year: what other tests have received came before.
EVENTS = """
    insert into meta_webhook_events (workspace_id, event_key, kind, raw, status, received_at)
    select %(w)s, 'key' || i, 'message', jsonb_build_object('filling', repeat('x', 500)),
      case when i %% 1000 = 0 then 'set_aside' else 'applied' end,
      now() + interval '1 year' - (%(events)s - i) * interval '1 month' / %(events)s
    from generate_series(1, %(events)s) as i
"""
ORPHANS = """
    insert into orphan_webhook_events (phone_number_id, event_key, kind, event)
    select '1' || i %% 50, 'key' || i, 'message', '{}' from generate_series(1, %(others)s) as i
"""
# One in ten is of a workspace where less happens.
AUDIT = """
    insert into owner_audit_log (action, workspace_id, after)
    select 'owner.tokens.granted', case when i %% 10 = 0 then %(quiet)s else %(w)s end, '{}'
    from generate_series(1, %(others)s) as i
"""


def fill(connection: psycopg.Connection[Any], scale: Scale, *, step: Callable[[str], None] = lambda _: None) -> Large:
    """Put everything there, and learn what there is. References and triggers are left out: every row is right."""
    connection.execute("set synchronous_commit = off")
    connection.execute(
        """
        create function pg_temp.id_of(kind text, workspace uuid, number bigint) returns uuid language sql immutable
        as $$ select md5(workspace || ':' || kind || ':' || number)::uuid $$
        """
    )
    people = min(int(scale.contacts * 0.8) // 200, 200)
    connection.execute(
        f"""
        create temp table bulk_people as with person as (
          insert into auth.users (id, email)
          select gen_random_uuid(), gen_random_uuid() || '@example.com' from generate_series(1, {people}) returning id)
        select id from person
        """.encode()
    )
    [(user,), (member,)] = connection.execute("select id from bulk_people order by id desc limit 2").fetchall()
    spaces: list[tuple[UUID, UUID]] = []
    for _ in range(WORKSPACES):
        row = connection.execute(
            """
            with workspace as (
              insert into workspaces (slug, name) values ('w-' || substr(md5(random()::text), 1, 16), 'Large')
              returning id
            )
            insert into wa_phone_numbers (workspace_id, waba_id, phone_number_id)
            select id, '1', (random() * 1e15)::bigint::text from workspace returning workspace_id, id
            """
        ).fetchone()
        assert row is not None
        spaces.append((row[0], row[1]))
    for person in (user, member):
        connection.execute("insert into workspace_memberships values (%s, %s, 'owner')", [spaces[0][0], person])
    for place, (workspace, number) in enumerate(spaces):
        share = 0.8 if place == 0 else 0.2 / (WORKSPACES - 1)
        given: dict[str, Any] = {
            **{name: max(int(count * share), 400) for name, count in vars(scale).items()},
            "w": workspace, "n": number, "k": place, "user": user, "member": member,
        }  # fmt: skip
        given["chats"] = max(given["others"] // 25, 200)
        connection.execute("set session_replication_role = replica")
        for table, rows in ROWS.items():
            step(f"{table} of workspace {place + 1}")
            connection.execute(_with_ids(rows), given)
        if place == 0:
            step("events")
            connection.execute(EVENTS.encode(), given)
            connection.execute(ORPHANS.encode(), given)
            connection.execute(AUDIT.encode(), {**given, "quiet": spaces[1][0]})
        connection.execute("set session_replication_role = origin")
        step(f"the outbox of workspace {place + 1}")
        given["queued"] = min(scale.queued // WORKSPACES, given["threads"])
        connection.execute(_with_ids(QUEUED), given)
    lane = connection.execute(
        "select lane_id from private.outbox_lanes where connection_id = %s", [spaces[0][1]]
    ).fetchone()
    assert lane is not None
    return Large(
        connection, scale, user, spaces[0][0], spaces[0][1], id_of("thread", spaces[0][0], 1), lane[0], spaces
    )  # fmt: skip


def _with_ids(statement: str) -> bytes:
    return re.sub(r"\b(contact|thread|outbox|chat|lead)_id\(", r"pg_temp.id_of('\1', %(w)s, ", statement).encode()


def settle(connection: psycopg.Connection[Any]) -> None:
    """What vacuum would do, as far as it goes inside a transaction: statistics, and indexes that are up to date."""
    own = {"outbox_problems", "outbox_ready", "outbox_lines", "outbox_lanes"}
    for table in ({*ROWS} | {"meta_webhook_events", "orphan_webhook_events", "owner_audit_log"}) - own:
        connection.execute(f"analyze public.{table}".encode())
    for table in own:
        connection.execute(f"analyze private.{table}".encode())
    connection.execute("select brin_summarize_new_values('meta_webhook_events_id_received_at_idx')")
    connection.execute(
        """
        select gin_clean_pending_list(index.oid) from pg_class as index
        join pg_am as method on method.oid = index.relam and method.amname = 'gin'
        where index.relkind = 'i' and index.relnamespace = 'public'::regnamespace
        """
    )


# --- What a plan is judged by ---


def ran(nodes: list[Node]) -> list[Node]:
    """Those that were run: a function may also ask for a plan only, and a branch may never be taken."""
    return [node for node in nodes if node.get("Actual Loops", 0) > 0]


def uses(nodes: list[Node], index: str) -> bool:
    return any(node.get("Index Name") == index for node in ran(nodes))


def scanned(nodes: list[Node]) -> set[str]:
    """The big tables that were read from one end to the other."""
    whole = [node["Relation Name"] for node in ran(nodes) if node["Node Type"] == "Seq Scan"]
    return {table for table in whole if table in BIG}


def rows_sorted(nodes: list[Node]) -> int:
    """How many rows went into the largest sort."""
    sorts = [node["Plans"][0] for node in ran(nodes) if node["Node Type"] in ("Sort", "Incremental Sort")]
    return max((int(below["Actual Rows"] * below["Actual Loops"]) for below in sorts), default=0)


def rows_read(nodes: list[Node], *tables: str) -> int:
    """How many rows of the big tables, or of those named, were looked at."""
    return sum(
        int(
            (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0))
            * node["Actual Loops"]
        )
        for node in ran(nodes)
        if "Scan" in node["Node Type"] and node.get("Relation Name") in (tables or BIG)
    )


# --- Questions ---

Question = Callable[[Large], list[Node]]


def member(query: str) -> Question:
    """Asked as a signed-in member."""
    return lambda large: large.ask(query, "authenticated")


def service(query: str) -> Question:
    """Asked as the service."""
    return lambda large: large.ask(query, "service_role")


def with_targets(query: str, role: Literal["authenticated", "service_role"]) -> Question:
    """Asked where conversations are to be answered within an hour."""

    def question(large: Large) -> list[Node]:
        large.connection.execute(
            "insert into inbox_settings (workspace_id, first_response_target_seconds, next_response_target_seconds)"
            " values (%s, 3600, 3600)",
            [large.workspace],
        )
        return large.ask(query, role)

    return question


def assigned_leads(large: Large) -> list[Node]:
    """A hundred leads for somebody who takes them."""
    large.connection.execute(
        "insert into user_queue_settings (workspace_id, user_id, daily_capacity) values (%s, %s, 100)",
        [large.workspace, large.user],
    )
    return large.ask("select assign_leads(%(workspace)s, 100)", "authenticated")


def started_messages(large: Large) -> list[Node]:
    """Fifty of the two hundred messages that somebody's queue has for today."""
    large.connection.execute(
        """
        insert into user_queue_settings (workspace_id, user_id, timezone, sends_from, sends_until)
        values (%s, %s, 'UTC', '00:00', '23:59:59')
        """,
        [large.workspace, large.user],
    )
    large.connection.execute(
        """
        insert into whatsapp_message_queue (workspace_id, lead_id, user_id, queue_day, template, scheduled_for)
        select workspace_id, id, %s, private.local_day('UTC', now()), '{"name": "hello", "language": {"code": "en"}}',
          now() - interval '1 day'
        from leads where workspace_id = %s and control = 'automation' order by score desc, id limit 200
        """,
        [large.user, large.workspace],
    )
    return large.ask("select start_automation(%(workspace)s, 50)", "authenticated")


def prepared_pushes(large: Large) -> list[Node]:
    """What a worker asks before it notifies: of a chat's news, of a conversation, and of customers' messages."""
    large.connection.execute(
        "insert into push_subscriptions (user_id, endpoint, p256dh, auth)"
        " values (%s, 'https://push.example.com/' || gen_random_uuid(), 'B' || repeat('A', 86), repeat('A', 22))",
        [large.user],
    )
    ids = large.connection.execute(
        """
        insert into outbox_messages (workspace_id, channel, recipient, payload, idempotency_key)
        select %(workspace)s, 'web_push', 'everybody', payload, 'push ' || payload::text from unnest(array[
          jsonb_build_object('kind', 'chat_message', 'chat_id', %(chat)s::uuid, 'seq', %(late)s::bigint),
          jsonb_build_object('kind', 'assignment', 'thread_id', %(thread)s::uuid),
          jsonb_build_object('kind', 'inbound_message', 'bucket',
            extract(epoch from now() - interval '1 day')::bigint / 3)
        ]) as event (payload)
        returning id
        """,
        large.parameters(),
    ).fetchall()
    return large.ask("select prepare_pushes(%(ids)s)", "service_role", ids=[id_ for (id_,) in ids])


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
    row = large.connection.execute("select min(id) from meta_webhook_events where event_key = 'key1'").fetchone()
    assert row is not None
    middle = row[0] + large.scale.events // 3
    return large.plan("select raw from meta_webhook_events where id = any(%(ids)s)", ids=[middle, middle + 1])


def claimed_lanes(large: Large) -> list[Node]:
    """The very statement with which claim_outbox finds what is due."""
    return large.plan(_statement_of_claim(large, r"(with recursive served.*?)\n    into v_lane_ids") + " from class")


def claimed_messages(large: Large) -> list[Node]:
    """The very statement with which claim_outbox takes the messages of one lane."""
    query = _statement_of_claim(large, r"from class cross join lateral \(\n(.*?)\) as found")
    return large.plan(
        query.replace("class.lane_id", "%(lane)s").replace("class.rank", "0::smallint").replace("class.room", "50")
        .replace("class.share", "50"),
        lane=large.lane,
    )  # fmt: skip


def _statement_of_claim(large: Large, pattern: str) -> str:
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


# --- The table ---


@dataclass(frozen=True)
class Guard:
    """One hot query, what a good plan of it looks like, and the statement that takes its index away."""

    name: str
    question: Question
    index: str | tuple[str, ...]
    """Which has to be used; of several, any: which is cheaper depends on how much the caller has."""
    rows: int | None = 400
    """Of the big tables that are looked at, at most; None where counting all of a workspace is what is asked."""
    sorts: int = 0
    """Rows that may go into one sort."""
    drop: str = ""
    large_only: bool = False
    """Of a few thousand rows, or without the maps that vacuum makes, reading all of the table is the better plan."""

    @property
    def breach(self) -> str:
        """Takes the index away."""
        return self.drop or f"drop index {', '.join(self.indexes)}"

    @property
    def indexes(self) -> tuple[str, ...]:
        return (self.index,) if isinstance(self.index, str) else self.index

    def faults(self, nodes: list[Node]) -> list[str]:
        faults = [f"scans {table}" for table in sorted(scanned(nodes))]
        if not any(uses(nodes, index) for index in self.indexes):
            faults.append(f"doesn't use {' or '.join(self.indexes)}")
        if (found := rows_sorted(nodes)) > self.sorts:
            faults.append(f"sorts {found} rows")
        if self.rows is not None and (read := rows_read(nodes)) > self.rows:
            faults.append(f"reads {read} rows")
        return faults


# What the caller has marked is little: either index leads to it.
MARKED = ("user_contact_settings_pkey", "user_contact_settings_user_id_follow_up_at_idx")
UNMARKED = f"alter table user_contact_settings drop constraint {MARKED[0]}; drop index {MARKED[1]}"

# Any that begins with the workspace serves to count.
OF_WORKSPACE = ("contacts_workspace_id_created_at_idx", "contacts_workspace_id_name_idx", "contacts_search_idx")

GUARDS = [
    # Threads and messages. The index knows the hour, and the threads of one hour are sorted, about six here.
    Guard(
        "Threads.list",
        member(
            """
            select * from wa_threads where workspace_id = %(workspace)s
            order by last_message_hour desc, last_message_at desc, id desc limit 50
            """
        ),
        "wa_threads_workspace_id_last_message_hour_idx", rows=100, sorts=PAGE,
    ),
    Guard(
        "Threads.messages",
        member(
            """
            select * from wa_messages
            where thread_id = %(thread)s and connection_id = %(number)s and workspace_id = %(workspace)s
            order by occurred_at desc, sequence desc limit 50
            """
        ),
        "wa_messages_thread_id_occurred_at_idx", rows=50,
    ),
    Guard(
        "Inbox.list", member("select * from list_threads(%(workspace)s)"),
        "wa_threads_workspace_id_last_message_hour_idx", sorts=PAGE,
    ),
    Guard(
        "Inbox.list, in the middle", member("select * from list_threads(%(workspace)s, p_after => %(thread_after)s)"),
        "wa_threads_workspace_id_last_message_hour_idx", sorts=PAGE,
    ),
    Guard(
        "Inbox.list, open", member("""select * from list_threads(%(workspace)s, '{"status": "open"}')"""),
        "wa_threads_workspace_id_status_last_message_hour_idx", sorts=PAGE,
    ),
    Guard(
        "Inbox.list, mine",
        member("""select * from list_threads(%(workspace)s, '{"status": "open", "assignee": "me"}')"""),
        "wa_threads_workspace_id_assignee_id_status_idx", sorts=PAGE,
    ),
    Guard(
        "Inbox.list, nobody's",
        member("""select * from list_threads(%(workspace)s, '{"status": "open", "assignee": "unassigned"}')"""),
        "wa_threads_workspace_id_status_last_message_hour_idx", sorts=PAGE,
    ),
    Guard(
        "Inbox.list, a contact",
        member("select * from list_threads(%(workspace)s, jsonb_build_object('contact_id', %(contact)s::uuid))"),
        "wa_threads_workspace_id_contact_id_idx", rows=50, sorts=PAGE,
    ),
    Guard(
        "Inbox.list, late",
        with_targets("""select * from list_threads(%(workspace)s, '{"breached": true}')""", "authenticated"),
        ("wa_threads_workspace_id_waiting_since_idx", "wa_threads_workspace_id_last_message_hour_idx"), rows=3_000,
        sorts=3_000,
    ),
    Guard(
        "Inbox.list, unread", member("""select * from list_threads(%(workspace)s, '{"unread": true}')"""),
        "wa_threads_unread_workspace_id_last_message_hour_idx", sorts=PAGE,
    ),
    Guard(
        "Inbox.list, a tag", member("""select * from list_threads(%(workspace)s, '{"tag": "tag7"}')"""),
        "wa_threads_workspace_id_tags_idx", sorts=PAGE,
    ),
    Guard(
        "Inbox.list, longest wait", member("select * from list_threads(%(workspace)s, p_sort => 'waiting_since')"),
        "wa_threads_workspace_id_waiting_since_idx", sorts=PAGE,
    ),
    Guard(
        "Inbox.count, open", member("""select count_threads(%(workspace)s, '{"status": "open"}')"""),
        "wa_threads_workspace_id_status_last_message_hour_idx", rows=None, large_only=True,
    ),
    Guard(
        "Inbox.count, unread, not exact",
        member("""select count_threads(%(workspace)s, '{"unread": true}', p_exact => false)"""),
        "wa_threads_unread_workspace_id_last_message_hour_idx", rows=11_000, large_only=True,
    ),
    Guard(
        "Inbox.counts", member("select get_inbox_counts(%(workspace)s)"),
        "wa_threads_workspace_id_waiting_since_idx", rows=None, large_only=True,
    ),
    Guard(
        "Inbox.search", member("select * from search_messages(%(workspace)s, 'xylophone')"),
        "wa_messages_search_idx", rows=20, sorts=PAGE,
    ),
    Guard(
        "Inbox.search, a word in all", member("select * from search_messages(%(workspace)s, 'order')"),
        "wa_messages_workspace_id_occurred_at_idx", rows=1_000, sorts=PAGE,
    ),
    Guard(
        "Inbox.list, search", member("""select * from list_threads(%(workspace)s, '{"q": "xylophone"}')"""),
        "wa_messages_search_idx", sorts=PAGE,
    ),
    Guard(
        "Inbox.breaches",
        member(
            "select * from wa_thread_breaches where workspace_id = %(workspace)s order by created_at desc limit 50"
        ),
        "wa_thread_breaches_workspace_id_created_at_idx", rows=50,
    ),
    Guard(
        "Upkeep.keep", with_targets("select keep_inbox()", "service_role"),
        "wa_threads_workspace_id_waiting_since_idx", rows=5_000, sorts=PAGE, large_only=True,
    ),
    Guard(
        "status look-up", status_look_up, "wa_messages_connection_id_wa_message_id_key", rows=1,
        drop="alter table wa_messages drop constraint wa_messages_connection_id_wa_message_id_key",
    ),
    Guard(
        "identity look-up", identity_look_up, "contact_identities_value_key", rows=1,
        drop="alter table contact_identities drop constraint contact_identities_value_key",
    ),
    # People
    Guard(
        "Contacts.list", member("select * from list_contacts(%(workspace)s)"),
        "contacts_workspace_id_created_at_idx", rows=PAGE + 50,
    ),
    Guard(
        "Contacts.list, in the middle",
        member("select * from list_contacts(%(workspace)s, p_after => %(contact_after)s)"),
        "contacts_workspace_id_created_at_idx", rows=PAGE + 50,
    ),
    Guard(
        "Contacts.list, by name", member("select * from list_contacts(%(workspace)s, p_sort => 'name')"),
        "contacts_workspace_id_name_idx", sorts=PAGE,
    ),
    Guard(
        "Contacts.list, search", member("select * from list_contacts(%(workspace)s, %(search)s)"),
        "contacts_search_idx", sorts=PAGE,
    ),
    Guard(
        "Contacts.list, a tag", member("select * from list_contacts(%(workspace)s, p_tags => '{tag7}')"),
        "contacts_search_idx", sorts=PAGE,
    ),
    Guard(
        "Contacts.list, a stage", member("select * from list_contacts(%(workspace)s, p_lead_statuses => '{lost}')"),
        "contacts_workspace_id_created_at_idx", sorts=PAGE,
    ),
    Guard(
        "Contacts.list, my status", member("select * from list_contacts(%(workspace)s, p_my_status => 'hot')"),
        MARKED, sorts=PAGE, drop=UNMARKED,
    ),
    Guard(
        "Contacts.list, due", member("select * from list_contacts(%(workspace)s, p_follow_up => 'due')"),
        MARKED, sorts=PAGE, drop=UNMARKED,
    ),
    Guard(
        "Contacts.count", member("select count_contacts(%(workspace)s)"),
        OF_WORKSPACE, rows=None, large_only=True,
    ),
    Guard(
        "Contacts.count, not exact", member("select count_contacts(%(workspace)s, p_exact => false)"),
        OF_WORKSPACE, rows=7_000, large_only=True,
    ),
    Guard(
        "Contacts.timeline", member("select * from list_contact_timeline(%(contact)s)"),
        "contact_notes_workspace_id_contact_id_idx", rows=600, sorts=600,
    ),
    Guard(
        "Contacts.conversations",
        member("select * from conversations where contact_id = %(contact)s order by last_message_at desc, id desc"),
        "wa_threads_workspace_id_contact_id_idx", rows=50, sorts=PAGE,
    ),
    Guard(
        "Notes.list",
        member(
            "select * from contact_notes where contact_id = %(contact)s order by created_at desc, id desc limit 50"
        ),
        "contact_notes_workspace_id_contact_id_idx", rows=PAGE, sorts=PAGE,
    ),
    Guard(
        "CallLogs.for_contacts", member("select get_call_logs(%(contacts)s)"),
        "contact_call_logs_workspace_id_contact_id_idx", sorts=PAGE,
    ),
    Guard(
        "FollowUps.list", member("select * from list_follow_ups(%(workspace)s, 'upcoming')"),
        MARKED, sorts=PAGE, drop=UNMARKED,
    ),
    Guard(
        "FollowUps.counts", member("select count_follow_ups(%(workspace)s)"),
        MARKED, sorts=PAGE, drop=UNMARKED,
    ),
    Guard(
        "Candidates.list", member("select * from list_candidates(%(workspace)s)"),
        "tma_candidates_workspace_id_created_at_idx", rows=PAGE,
    ),
    Guard(
        "Candidates.list, search", member("select * from list_candidates(%(workspace)s, 'k3777')"),
        "tma_candidates_workspace_id_search_text_idx", sorts=PAGE,
    ),
    Guard(
        "import look-up", import_look_up, "contacts_phone_workspace_id_idx", rows=WORKSPACES,
    ),
    # Team chat
    Guard(
        "Chats.list", member("select * from list_chats(%(workspace)s)"),
        "chat_members_user_id_workspace_id_chat_id_idx", rows=None, sorts=PAGE,
    ),
    Guard(
        "Chats.messages", member("select get_chat_messages(%(chat)s)"), "chat_messages_chat_id_seq_key", rows=100,
        sorts=PAGE, drop="alter table chat_messages drop constraint chat_messages_chat_id_seq_key",
    ),
    Guard(
        "Chats.messages, deep", member("select get_chat_messages(%(chat)s, p_before_seq => %(deep)s)"),
        "chat_messages_chat_id_seq_key", rows=100, sorts=PAGE,
        drop="alter table chat_messages drop constraint chat_messages_chat_id_seq_key",
    ),
    Guard(
        "Chats.changes", member("select get_chat_changes(%(chat)s, %(late)s)"),
        "chat_messages_chat_id_workspace_id_rev_idx", sorts=PAGE,
    ),
    Guard(
        "Chats.changes, since long ago", member("select get_chat_changes(%(chat)s, %(deep)s)"),
        "chat_messages_chat_id_workspace_id_rev_idx", sorts=PAGE, large_only=True,
    ),
    Guard(
        "Chats.statuses",
        member(
            """
            select *, status(chat_messages) from chat_messages where chat_id = %(chat)s and seq > %(deep)s
            order by seq limit 50
            """
        ),
        "chat_messages_chat_id_seq_key", rows=50,
        drop="alter table chat_messages drop constraint chat_messages_chat_id_seq_key", large_only=True,
    ),
    Guard(
        "Chats.unread_counts", member("select * from get_unread_counts(%(workspace)s)"),
        "chat_members_user_id_workspace_id_chat_id_idx", sorts=PAGE,
    ),
    # Notifications
    Guard(
        "Notifications.badge", member("select get_badge()"), "wa_threads_unread_assignee_id_idx", rows=2_000,
    ),
    Guard(
        "Pushes.prepare", prepared_pushes, "wa_messages_pkey", rows=2_500, sorts=PAGE,
        drop="alter table wa_messages drop constraint wa_messages_pkey cascade", large_only=True,
    ),
    # The lead queue
    Guard(
        "Leads.list",
        member("select * from leads where workspace_id = %(workspace)s order by id limit 50"),
        "leads_workspace_id_id_key", rows=50,
        drop="alter table leads drop constraint leads_workspace_id_id_key cascade",
    ),
    Guard(
        "Leads.ledger",
        member("select * from queue_ledger where lead_id = %(lead)s order by id desc limit 50"),
        "queue_ledger_workspace_id_lead_id_idx", rows=50, sorts=PAGE,
    ),
    Guard(
        "Leads.list, of a contact",
        member(
            "select * from leads where workspace_id = %(workspace)s and contact_id = %(contact)s order by id limit 50"
        ),
        "leads_workspace_id_contact_id_idx", rows=10, sorts=10,
    ),
    Guard(
        "Leads.assign", assigned_leads, "leads_free_workspace_id_score_idx", rows=1_000, sorts=PAGE, large_only=True,
    ),
    Guard(
        "LeadQueue.prepare",
        member(
            """
            with steps as materialized (
              select set_queue_settings(%(workspace)s, '{"steps": [{"body": "Hi"}]}'))
            select prepare_queue(%(workspace)s) from steps
            """
        ),
        "leads_free_workspace_id_score_idx", rows=3_000, sorts=3_000,
    ),
    Guard(
        "LeadQueue.start", started_messages, "whatsapp_message_queue_queued_user_id_queue_day_idx", rows=4_000,
        sorts=PAGE, large_only=True,
    ),
    Guard(
        "LeadQueue.status", member("select get_queue_status(%(workspace)s)"),
        "whatsapp_message_queue_workspace_id_queue_day_idx", sorts=PAGE,
    ),
    Guard(
        "LeadQueue.export",
        member("select export_queue(%(workspace)s, current_date - 60, current_date, p_limit => 100)"),
        "whatsapp_message_queue_workspace_id_queue_day_idx", rows=800, sorts=PAGE, large_only=True,
    ),
    # The outbox: one look for each lane that has work, whatever waits in it, and one that finds no more; twice, for
    # the round begins behind the lane served last.
    Guard(
        "claimed lanes", claimed_lanes, "outbox_ready_pkey", rows=12, sorts=20,
        drop="alter table private.outbox_ready drop constraint outbox_ready_pkey",
    ),
    Guard(
        "claimed messages", claimed_messages, "outbox_ready_pkey", rows=50,
        drop="alter table private.outbox_ready drop constraint outbox_ready_pkey",
    ),
    Guard(
        "Outbox.claim", service("select * from claim_outbox(50, 'a worker')"), "outbox_ready_pkey", sorts=PAGE,
        drop="alter table private.outbox_ready drop constraint outbox_ready_pkey",
    ),
    Guard(
        "Outbox.list, failed", service("select * from list_outbox('failed')"),
        "outbox_problems_settled_at_idx", sorts=PAGE, large_only=True,
    ),
    Guard(
        "Outbox.list, failed, of a workspace", service("select * from list_outbox('failed', %(workspace)s)"),
        ("outbox_problems_workspace_id_settled_at_idx", "outbox_problems_settled_at_idx"), sorts=PAGE, large_only=True,
    ),
    Guard(
        "Outbox.wait_seconds", service("select * from get_outbox_wait()"), "outbox_ready_pkey", rows=20,
        drop="alter table private.outbox_ready drop constraint outbox_ready_pkey",
    ),
    # Events: 2,000 or more came that day; a block range holds about as many again.
    Guard(
        "Events.stats", count_of_a_day, "meta_webhook_events_id_received_at_idx", rows=None, sorts=40_000,
    ),
    Guard(
        "event look-up", event_look_up, "meta_webhook_events_id_received_at_idx", rows=6_000,
    ),
    Guard(
        "Events.list",
        service(
            """
            select id from meta_webhook_events
            where received_at >= now() + interval '1 year' - interval '24 hours' order by id desc limit 50
            """
        ),
        "meta_webhook_events_id_received_at_idx", rows=None, sorts=40_000,
    ),
    Guard(
        "Events.orphans",
        service("select id from orphan_webhook_events where processed_at is null order by id desc limit 50"),
        "orphan_webhook_events_pkey", rows=50,
        drop="alter table orphan_webhook_events drop constraint orphan_webhook_events_pkey",
    ),
    Guard(
        "Events.orphans, of a number",
        service(
            """
            select id from orphan_webhook_events where processed_at is null and phone_number_id = '17'
            order by id desc limit 50
            """
        ),
        "orphan_webhook_events_unprocessed_idx", rows=50, large_only=True,
    ),
    Guard(
        "Events.list, set aside",
        service(
            """
            select id from meta_webhook_events where workspace_id = %(workspace)s and status = 'set_aside'
            order by id desc limit 50
            """
        ),
        "meta_webhook_events_set_aside_idx", rows=50,
    ),
    # Tokens and the log
    Guard(
        "Tokens.ledger",
        member("select * from workspace_token_ledger where workspace_id = %(workspace)s order by id desc limit 50"),
        "workspace_token_ledger_pkey", rows=50,
        drop="alter table workspace_token_ledger drop constraint workspace_token_ledger_pkey",
    ),
    Guard(
        "Audit.search", service("select * from search_audit_log(%(quiet)s)"),
        "owner_audit_log_workspace_id_idx", rows=50, large_only=True,
    ),
    Guard(
        "Audit.search, of all", service("select * from search_audit_log()"), "owner_audit_log_pkey", rows=50,
        drop="alter table owner_audit_log drop constraint owner_audit_log_pkey",
    ),
]  # fmt: skip
