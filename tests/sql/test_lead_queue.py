"""The queue's tables: days in every zone, a ledger that stays, and older databases brought to this shape."""

from __future__ import annotations

import json
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.sql.access import Cast, new_lead, new_ledger_entry
from tests.sql.conftest import RolledBack
from tests.sql.test_legacy_contacts import Connection, bare, bare_url, insert, members, push, rows

__all__ = ["bare", "bare_url"]

# --- Days ---


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("Europe/Berlin", "2026-03-28T22:59:59Z", "2026-03-28"),
        ("Europe/Berlin", "2026-03-28T23:00:00Z", "2026-03-29"),
        # Summer time has begun: midnight comes an hour earlier by UTC.
        ("Europe/Berlin", "2026-03-29T21:59:59Z", "2026-03-29"),
        ("Europe/Berlin", "2026-03-29T22:00:00Z", "2026-03-30"),
        ("Europe/Berlin", "2026-10-25T21:59:59Z", "2026-10-25"),
        ("Europe/Berlin", "2026-10-25T22:59:59Z", "2026-10-25"),
        ("Europe/Berlin", "2026-10-25T23:00:00Z", "2026-10-26"),
        ("America/New_York", "2026-01-01T04:59:59Z", "2025-12-31"),
        ("Pacific/Kiritimati", "2026-01-01T10:00:00Z", "2026-01-02"),
        ("Pacific/Pago_Pago", "2026-01-01T10:59:59Z", "2025-12-31"),
        ("Asia/Kathmandu", "2026-06-01T18:15:00Z", "2026-06-02"),
        ("UTC", "2026-06-01T23:59:59Z", "2026-06-01"),
    ],
)
def test_a_day_begins_at_the_zones_own_midnight(zone: str, at: str, day: str, rolled_back: RolledBack) -> None:
    with rolled_back() as connection:
        assert one(connection, "select private.local_day(%s, %s)::text", zone, at) == day


@pytest.mark.parametrize(
    ("zone", "day", "time", "moment"),
    [
        ("Europe/Berlin", "2026-03-28", "09:00", "2026-03-28 08:00:00+00"),
        ("Europe/Berlin", "2026-03-29", "09:00", "2026-03-29 07:00:00+00"),
        # There is no half past two that night, and there are two in autumn.
        ("Europe/Berlin", "2026-03-29", "02:30", "2026-03-29 01:30:00+00"),
        ("Europe/Berlin", "2026-10-25", "02:30", "2026-10-25 01:30:00+00"),
        ("America/Sao_Paulo", "2026-06-01", "08:00", "2026-06-01 11:00:00+00"),
        # Midnight doesn't exist where summer time begins with the day.
        ("Africa/Cairo", "2026-04-24", "00:00", "2026-04-23 22:00:00+00"),
    ],
)
def test_hours_are_those_of_the_clock_around_summer_time(
    zone: str, day: str, time: str, moment: str, rolled_back: RolledBack
) -> None:
    with rolled_back() as connection:
        connection.execute("set local timezone = 'UTC'")
        found = one(connection, "select private.local_moment(%s, %s, %s)::text", zone, day, time)
        assert found == moment


def one(connection: Connection, query: LiteralString, *parameters: Any) -> Any:
    row = connection.execute(query, parameters or None).fetchone()
    assert row is not None
    return row[0]


# --- The ledger ---


@pytest.mark.parametrize(
    "statement",
    ["update queue_ledger set reason = 'x'", "delete from queue_ledger", "truncate queue_ledger"],
)
async def test_the_ledger_is_never_changed_by_anybody(statement: str, cast: Cast, rolled_back: RolledBack) -> None:
    with rolled_back() as connection, pytest.raises(psycopg.DatabaseError) as error:
        connection.execute(statement.encode())

    assert (error.value.sqlstate, error.value.diag.message_primary) == ("PT409", "append_only")
    assert json.loads(error.value.diag.message_detail or "") == {"table": "queue_ledger"}


async def test_a_ledger_goes_with_its_lead(cast: Cast) -> None:
    lead_id = await cast.insert("leads", **new_lead(cast))
    await cast.insert("queue_ledger", **(new_ledger_entry(cast) | {"lead_id": lead_id}))
    await cast.world.database.execute("delete from leads where id = %s", [lead_id])
    assert await cast.world.rows("select 1 from queue_ledger where lead_id = %s", lead_id) == []


async def test_a_change_past_every_function_is_in_the_ledger_too(cast: Cast) -> None:
    """By trigger, so nobody has to remember."""
    lead_id = await cast.insert("leads", **new_lead(cast))
    update = await cast.request("service", "PATCH", "leads", {"status": "qualified"}, id=f"eq.{lead_id}")
    assert update.status_code == 204
    entries = await cast.world.rows(
        "select queue, from_status, to_status, action, actor_id from queue_ledger where lead_id = %s", lead_id
    )
    assert entries == [("leads", "lost", "qualified", "status_changed", None)]


async def test_an_account_that_is_deleted_leaves_the_ledger_whole(cast: Cast) -> None:
    user_id = await cast.new_user()
    lead_id = await cast.insert("leads", **(new_lead(cast) | {"user_id": user_id}))
    entry = new_ledger_entry(cast) | {"lead_id": lead_id, "actor_id": user_id, "user_id": user_id}
    await cast.insert("queue_ledger", **entry)
    await cast.world.database.execute("delete from auth.users where id = %s", [user_id])
    [(owner, actor)] = await cast.world.rows(
        "select lead.user_id, ledger.actor_id from leads as lead"
        " join queue_ledger as ledger on ledger.lead_id = lead.id and ledger.actor_id is not null where lead.id = %s",
        lead_id,
    )
    assert (owner, actor) == (None, user_id)


# --- Older databases ---

# As it stood there: no references, and statuses that nobody checked.
OLDER: LiteralString = """
create table public.clients (id uuid primary key default gen_random_uuid(), workspace_id uuid, name text);
create table public.leads (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, contact_id uuid, client_id uuid, user_id uuid,
  status varchar(30) default 'new', score integer default 0, phone text not null
);
create table public.user_queue_settings (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, user_id uuid, daily_capacity integer
);
create table public.whatsapp_message_queue (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, lead_id uuid, user_id uuid, client_id uuid,
  body text, status text, queue_day date, created_at timestamptz default now()
);
create table public.lead_processing_queue (
  id uuid primary key default gen_random_uuid(), lead_id uuid, user_id uuid, status text
);
create table public.queue_performance_metrics (
  id uuid primary key default gen_random_uuid(), workspace_id uuid, user_id uuid, day date, sent integer
);
"""

REJECTS: LiteralString = """
select source, reason, contents ->> 'id' from private.migration_rejects order by 1, 2, 3
"""


def test_an_older_queue_gets_its_references_and_loses_no_row_silently(bare: Connection) -> None:
    push(bare, until="022~")
    bare.execute(OLDER)
    acme, [olga, bob] = members(bare, "acme", "owner", "member")
    contact = insert(bare, "contacts", workspace_id=acme, name="Ada", phone="+491701234567")
    client = insert(bare, "clients", workspace_id=acme, name="Engines Ltd")
    nowhere = uuid4()

    def lead(**values: Any) -> UUID:
        return insert(bare, "leads", **{"workspace_id": acme, "contact_id": contact, "phone": "1", **values})

    good = lead(client_id=client, user_id=olga, status="contacted")
    dangling = lead(contact_id=nowhere, client_id=nowhere, user_id=nowhere)
    booked = lead(status="booked")
    homeless = lead(workspace_id=None, contact_id=None)
    moved_in = lead(workspace_id=None)

    def message(**values: Any) -> UUID:
        row = {"workspace_id": acme, "lead_id": good, "user_id": olga, "body": "Hi", "status": "queued",
            "queue_day": "2030-01-01"}  # fmt: skip
        return insert(bare, "whatsapp_message_queue", **(row | values))

    kept = message(created_at="2026-01-01")
    second = message(created_at="2026-01-02")
    of_nobody = message(lead_id=nowhere)
    delivered = message(status="delivered", user_id=nowhere, client_id=nowhere)
    in_hand = message(status="processing")
    empty = message(lead_id=booked, body=None)
    run = insert(bare, "lead_processing_queue", lead_id=good, status="in_progress")
    lost_run = insert(bare, "lead_processing_queue", lead_id=nowhere, status="done")
    insert(bare, "user_queue_settings", workspace_id=acme, user_id=bob, daily_capacity=20)
    twin = insert(bare, "user_queue_settings", workspace_id=acme, user_id=bob, daily_capacity=20)
    stranger = insert(bare, "user_queue_settings", workspace_id=acme, user_id=nowhere, daily_capacity=5)
    insert(bare, "queue_performance_metrics", workspace_id=acme, user_id=olga, day="2026-01-01", sent=7)
    warnings: list[str] = []
    bare.add_notice_handler(lambda notice: warnings.append(notice.message_primary or ""))

    push(bare, since="20250129")

    assert {id: (status, control) for id, status, control in rows(bare, "select id, status, control from leads")} == {
        good: ("contacted", "automation"),
        dangling: ("new", "automation"),
        booked: ("pending", "human"),
        moved_in: ("new", "automation"),
    }
    assert rows(bare, "select contact_id, client_id, user_id from leads where id = %s", dangling) == [(None,) * 3]
    assert rows(bare, "select workspace_id from leads where id = %s", moved_in) == [(acme,)]
    assert dict(rows(bare, "select id, status from whatsapp_message_queue")) == {
        kept: "queued",
        second: "cancelled",
        delivered: "sent",
        in_hand: "failed",
        empty: "cancelled",
    }
    assert rows(bare, "select status from lead_processing_queue where id = %s", run) == [("cancelled",)]
    assert rows(bare, "select daily_capacity from user_queue_settings") == [(20,)]
    assert rows(bare, "select sent, prepared from queue_performance_metrics") == [(7, 0)]
    rejects = {(source.removeprefix("public."), reason, UUID(id)) for source, reason, id in rows(bare, REJECTS)}
    twins = {entry for entry in rejects if entry[1] == "one of several"}
    assert len(twins) == 1
    assert rejects - twins == {
        ("leads", "contact_id names nothing", dangling),
        ("leads", "client_id names nothing", dangling),
        ("leads", "user_id names nothing", dangling),
        ("leads", "workspace_id names nothing", homeless),
        ("leads", "status unknown", booked),
        ("whatsapp_message_queue", "lead_id names nothing", of_nobody),
        ("whatsapp_message_queue", "user_id names nothing", delivered),
        ("whatsapp_message_queue", "client_id names nothing", delivered),
        ("whatsapp_message_queue", "status unknown", delivered),
        ("whatsapp_message_queue", "status unknown", in_hand),
        ("whatsapp_message_queue", "not to be sent", second),
        ("whatsapp_message_queue", "not to be sent", empty),
        ("lead_processing_queue", "workspace_id names nothing", lost_run),
        ("lead_processing_queue", "not to be continued", run),
        ("user_queue_settings", "user_id names nothing", stranger),
    }
    assert twin
    assert [text for text in warnings if "queue tables" in text] == [
        "16 rows of older queue tables couldn't stay as they were; they are in private.migration_rejects"
    ]
    # Every reference is there, and the audit tells only what was set aside.
    found = rows(bare, "select kind, sum(rows)::int from audit_queue() group by kind")
    assert found == [("set aside", 16)]

    # Twice without harm.
    settled = rows(bare, "select to_jsonb(leads) from leads order by id")
    push(bare)
    assert rows(bare, "select to_jsonb(leads) from leads order by id") == settled
    assert len(rows(bare, REJECTS)) == 16


def test_the_audit_lists_missing_constraints_orphans_and_what_is_inconsistent(rolled_back: RolledBack) -> None:
    with rolled_back() as connection:
        assert rows(connection, "select * from audit_queue() where kind <> 'set aside'") == []
        connection.execute(
            """
            alter table leads drop constraint leads_user_id_fkey;
            alter table leads drop constraint leads_status_check;
            alter table whatsapp_message_queue drop constraint whatsapp_message_queue_workspace_id_client_id_fkey;
            alter table projects drop constraint projects_workspace_id_client_id_fkey;
            alter table projects add constraint projects_workspace_id_client_id_fkey
              foreign key (workspace_id, client_id) references clients (workspace_id, id)
              on delete set null (client_id) not valid;
            with workspace as (
              insert into workspaces (slug, name) values ('audited', 'Audited') returning id
            )
            insert into leads (workspace_id, user_id, status)
            select workspace.id, gen_random_uuid(), status from workspace, unnest(array['booked', 'queued']) as status
            """
        )
        found = rows(connection, "select kind, table_name, name, rows from audit_queue() where kind <> 'set aside'")
        assert set(found) == {
            ("missing constraint", "leads", "leads_user_id_fkey", None),
            ("orphans", "leads", "user_id", 2),
            ("missing constraint", "leads", "leads_status_check", 1),
            (
                "missing constraint",
                "whatsapp_message_queue",
                "whatsapp_message_queue_workspace_id_client_id_fkey",
                None,
            ),
            ("constraint not valid", "projects", "projects_workspace_id_client_id_fkey", None),
            ("inconsistent", "leads", "queued without a message", 1),
        }
