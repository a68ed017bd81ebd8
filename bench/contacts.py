"""Lists of contacts beside the same queries written by hand.

A million contacts in 50 workspaces, one of them with 600,000; ten of its members have marked 200 each. Ours is the
function that `Contacts.list` and `FollowUps.list` call, as a signed-in member. The floor is the same query written by
hand for the owner of the tables, whom row security doesn't concern, with an explicit condition on workspace and user;
it has to answer the same rows. Both go through the same driver, and both are planned each time. The last case has the
first page as its floor: a page at any depth should cost as much.
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

CRM = Path(__file__).parents[1] / "supabase" / "migrations" / "002_crm.sql"
MARKED = 200
MEMBERS = 10


@dataclass(frozen=True)
class Scale:
    contacts: int
    largest: int
    workspaces: int
    depth: int
    calls: int
    runs: int


FULL = Scale(contacts=1_000_000, largest=600_000, workspaces=50, depth=500_000, calls=40, runs=7)
QUICK = Scale(contacts=20_000, largest=12_000, workspaces=5, depth=10_000, calls=5, runs=2)

COLUMNS: LiteralString = """
select contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, contact.lead_status,
  contact.status_tags, contact.tags, contact.source, contact.marketing_opted_out, contact.assigned_to,
  contact.created_by, contact.created_at, contact.updated_at, settings.status, settings.follow_up_at,
  settings.follow_up_note
"""
PAGE: LiteralString = (
    COLUMNS
    + """
from contacts as contact
left join user_contact_settings as settings on settings.user_id = %(user)s and settings.contact_id = contact.id
where contact.workspace_id = %(workspace)s and contact.deleted_at is null
"""
)
NEWEST: LiteralString = " order by contact.created_at desc, contact.id desc limit 50"
BY_HAND: dict[str, LiteralString] = {
    "first page": PAGE + NEWEST,
    "at depth": PAGE + " and (contact.created_at, contact.id) < (%(at)s, %(id)s)" + NEWEST,
    "by my status": COLUMNS
    + """
      from user_contact_settings as settings join contacts as contact on contact.id = settings.contact_id
      where settings.user_id = %(user)s and settings.status = 'hot' and contact.workspace_id = %(workspace)s
        and contact.deleted_at is null
    """
    + NEWEST,
    "follow-ups due": """
      select 'contact', contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, settings.status,
        settings.follow_up_at, settings.follow_up_note
      from user_contact_settings as settings join contacts as contact on contact.id = settings.contact_id
      where settings.user_id = %(user)s and settings.workspace_id = %(workspace)s
        and settings.follow_up_at < (current_date + 1)::timestamp at time zone 'UTC'
      union all
      select 'candidate', candidate.id, candidate.workspace_id, candidate.name, candidate.email, candidate.phone,
        settings.status, settings.follow_up_at, settings.follow_up_note
      from user_tma_settings as settings join tma_candidates as candidate on candidate.id = settings.tma_id
      where settings.user_id = %(user)s and settings.workspace_id = %(workspace)s
        and settings.follow_up_at < (current_date + 1)::timestamp at time zone 'UTC'
      order by follow_up_at, id limit 50
    """,
    "search": PAGE + " and contact.search_text like '%%person%%' and contact.search_text like '%%4711%%'" + NEWEST,
    "search, a common word": PAGE + " and contact.search_text like '%%example%%'" + NEWEST,
}
OURS: dict[str, LiteralString] = {
    "first page": "select * from list_contacts(%(workspace)s)",
    "at depth": "select * from list_contacts(%(workspace)s, p_after => %(after)s)",
    "by my status": "select * from list_contacts(%(workspace)s, p_my_status => 'hot')",
    "follow-ups due": "select * from list_follow_ups(%(workspace)s, 'due')",
    "search": "select * from list_contacts(%(workspace)s, 'person 4711')",
    "search, a common word": "select * from list_contacts(%(workspace)s, 'example')",
}


async def run(*, quick: bool) -> list[Case]:
    scale = QUICK if quick else FULL
    with temporary_stack(durable=False) as address:
        with psycopg.connect(address.db_url, autocommit=True) as connection:
            user, workspace = fill(connection, scale)
            connection.execute("vacuum (analyze)")
            parameters = _parameters(connection, scale, user, workspace)
        with (
            psycopg.connect(address.db_url, autocommit=True, prepare_threshold=None) as owner,
            psycopg.connect(address.db_url, autocommit=True, prepare_threshold=None) as member,
        ):
            claims = json.dumps({"sub": str(user), "role": "authenticated"})
            member.execute("select set_config('request.jwt.claims', %s, false)", [claims])
            member.execute("set role authenticated")
            cases = []
            medians: dict[str, float] = {}
            for name in OURS:
                _compare(owner, member, name, parameters)
                measured = await interleaved(
                    {
                        "ours": partial(_timed, member, OURS[name], parameters, scale.calls),
                        "by hand": partial(_timed, owner, BY_HAND[name], parameters, scale.calls),
                    },
                    runs=scale.runs,
                )
                medians[name] = measured["ours"]
                cases.append(Case(name, measured["ours"], "ms", scale.runs, floor=measured["by hand"]))
            measured = await interleaved(
                {
                    "at depth": partial(_timed, member, OURS["at depth"], parameters, scale.calls),
                    "first page": partial(_timed, member, OURS["first page"], parameters, scale.calls),
                },
                runs=scale.runs,
            )
            cases.append(
                Case(
                    f"at depth {scale.depth} beside the first page", measured["at depth"], "ms", scale.runs,
                    floor=measured["first page"],
                )
            )  # fmt: skip
            return cases


def fill(connection: psycopg.Connection[Any], scale: Scale) -> tuple[UUID, UUID]:
    """The contacts, and the member and workspace to ask as and about."""
    progress(f"filling {scale.contacts:,} contacts …")
    # Built at once, an index on a million rows takes a fraction of the time.
    connection.execute("drop index contacts_search_idx")
    workspaces: list[UUID] = [
        row[0]
        for row in connection.execute(
            "insert into workspaces (slug, name) select 'w-' || i, 'W' from generate_series(1, %s) as i returning id",
            [scale.workspaces],
        )
    ]
    rest = (scale.contacts - scale.largest) // (scale.workspaces - 1)
    for index, workspace in enumerate(workspaces):
        connection.execute(
            """
            insert into contacts (workspace_id, name, email, phone, lead_status, tags, created_at)
            select %s, 'Person ' || i, 'person.' || i || '@example.com', '+1555' || (1000000 + i),
              (array['new', 'engaged', 'lost'])[1 + i %% 3], array['tag' || i %% 100], now() - i * interval '1 second'
            from generate_series(1, %s) as i
            """,
            [workspace, scale.largest if index == 0 else rest],
        )
    connection.execute(CRM.read_bytes())
    users: list[UUID] = [
        row[0]
        for row in connection.execute(
            """
            insert into auth.users (id, email) select gen_random_uuid(), 'member' || i || '@example.com'
            from generate_series(1, %s) as i returning id
            """,
            [MEMBERS],
        )
    ]
    for user in users:
        connection.execute("insert into workspace_memberships values (%s, %s, 'owner')", [workspaces[0], user])
        connection.execute(
            """
            insert into user_contact_settings (user_id, contact_id, workspace_id, status, follow_up_at)
            select %(user)s, id, workspace_id, (array['hot', 'working', 'follow_up'])[1 + row_number() over () %% 3],
              now() + (row_number() over () - 100) * interval '1 hour'
            from (
              select id, workspace_id from contacts where workspace_id = %(workspace)s
              order by md5(id::text || %(user)s) limit %(marked)s
            ) as chosen
            """,
            {"user": user, "workspace": workspaces[0], "marked": MARKED},
        )
    return users[0], workspaces[0]


def _parameters(connection: psycopg.Connection[Any], scale: Scale, user: UUID, workspace: UUID) -> dict[str, Any]:
    row = connection.execute(
        """
        select id, created_at, id || ':' || private.time_cursor(created_at) from contacts where workspace_id = %s
        order by created_at desc, id desc offset %s limit 1
        """,
        [workspace, scale.depth - 1],
    ).fetchone()
    assert row is not None
    return {"user": user, "workspace": workspace, "id": row[0], "at": row[1], "after": row[2]}


def _compare(
    owner: psycopg.Connection[Any], member: psycopg.Connection[Any], name: str, parameters: dict[str, Any]
) -> None:
    by_hand = owner.execute(BY_HAND[name], parameters).fetchall()
    ours = member.execute(OURS[name], parameters).fetchall()
    if not by_hand or [row[: len(by_hand[0])] for row in ours] != by_hand:
        raise RuntimeError(f"{name}: ours and the query by hand answer differently")


async def _timed(
    connection: psycopg.Connection[Any], query: LiteralString, parameters: dict[str, Any], calls: int
) -> float:
    """The median of some calls, in milliseconds."""
    times = []
    for _ in range(calls):
        started = time.perf_counter()
        connection.execute(query, parameters).fetchall()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000
