"""No row can refer to a row of another workspace, not even when the owner of the tables writes it."""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID, uuid4

import pytest
from psycopg import errors, sql

from tests.sql.access import Cast, make_cast

# Each reference of a tenant's row, and a statement that points it at another workspace's row. %(…)s are ids of here
# (`workspace`, `row`) and of there (the parents' names).
CROSSINGS: dict[str, LiteralString] = {
    "projects_workspace_id_client_id_fkey": """
        insert into projects (workspace_id, client_id, name) values (%(workspace)s, %(foreign_client)s, 'x')
    """,
    "leads_workspace_id_contact_id_fkey": """
        insert into leads (workspace_id, contact_id) values (%(workspace)s, %(foreign_contact)s)
    """,
    "leads_workspace_id_client_id_fkey": """
        insert into leads (workspace_id, client_id) values (%(workspace)s, %(foreign_client)s)
    """,
    "leads_workspace_id_project_id_fkey": """
        insert into leads (workspace_id, project_id) values (%(workspace)s, %(foreign_project)s)
    """,
    "user_queue_settings_workspace_id_connection_id_fkey": """
        insert into user_queue_settings (workspace_id, user_id, connection_id)
        values (%(workspace)s, %(own)s, %(foreign_connection)s)
    """,
    "whatsapp_message_queue_workspace_id_lead_id_fkey": """
        insert into whatsapp_message_queue (workspace_id, lead_id, body, status)
        values (%(workspace)s, %(foreign_lead)s, 'x', 'cancelled')
    """,
    "whatsapp_message_queue_workspace_id_client_id_fkey": """
        insert into whatsapp_message_queue (workspace_id, lead_id, client_id, body, status)
        values (%(workspace)s, %(lead)s, %(foreign_client)s, 'x', 'cancelled')
    """,
    "whatsapp_message_queue_outbox_id_workspace_id_fkey": """
        insert into whatsapp_message_queue (workspace_id, lead_id, outbox_id, body, status)
        values (%(workspace)s, %(lead)s, %(foreign_outbox)s, 'x', 'cancelled')
    """,
    "lead_processing_queue_workspace_id_lead_id_fkey": """
        insert into lead_processing_queue (workspace_id, lead_id, status)
        values (%(workspace)s, %(foreign_lead)s, 'cancelled')
    """,
    "lead_processing_queue_workspace_id_client_id_fkey": """
        insert into lead_processing_queue (workspace_id, lead_id, client_id, status)
        values (%(workspace)s, %(lead)s, %(foreign_client)s, 'cancelled')
    """,
    "lead_processing_queue_workspace_id_project_id_fkey": """
        insert into lead_processing_queue (workspace_id, lead_id, project_id, status)
        values (%(workspace)s, %(lead)s, %(foreign_project)s, 'cancelled')
    """,
    "queue_ledger_workspace_id_lead_id_fkey": """
        insert into queue_ledger (workspace_id, lead_id, queue) values (%(workspace)s, %(foreign_lead)s, 'leads')
    """,
    "contacts_workspace_id_merged_into_fkey": """
        update contacts set deleted_at = now(), merged_into = %(foreign_contact)s where id = %(first_contact)s
    """,
    "contact_notes_workspace_id_contact_id_fkey": """
        insert into contact_notes (workspace_id, contact_id, body) values (%(workspace)s, %(foreign_contact)s, 'x')
    """,
    "contact_call_logs_workspace_id_contact_id_fkey": """
        insert into contact_call_logs (workspace_id, contact_id, outcome)
        values (%(workspace)s, %(foreign_contact)s, 'busy')
    """,
    "contact_events_workspace_id_contact_id_fkey": """
        insert into contact_events (workspace_id, contact_id, kind)
        values (%(workspace)s, %(foreign_contact)s, 'merged')
    """,
    "user_contact_settings_workspace_id_contact_id_fkey": """
        insert into user_contact_settings (user_id, workspace_id, contact_id)
        values (%(member)s, %(workspace)s, %(foreign_contact)s)
    """,
    "user_tma_settings_workspace_id_tma_id_fkey": """
        insert into user_tma_settings (user_id, workspace_id, tma_id)
        values (%(member)s, %(workspace)s, %(foreign_candidate)s)
    """,
    "chat_members_workspace_id_chat_id_fkey": """
        insert into chat_members (workspace_id, chat_id, user_id) values (%(workspace)s, %(foreign_chat)s, %(own)s)
    """,
    "chat_members_user_id_workspace_id_fkey": """
        insert into chat_members (workspace_id, chat_id, user_id) values (%(workspace)s, %(chat)s, %(member)s)
    """,
    "chat_messages_chat_id_workspace_id_fkey": """
        insert into chat_messages (workspace_id, chat_id, body) values (%(workspace)s, %(foreign_chat)s, 'x')
    """,
    "contacts_workspace_id_assigned_to_fkey": "update contacts set assigned_to = %(member)s where id = %(contact)s",
    "contact_identities_workspace_id_contact_id_fkey": """
        insert into contact_identities (workspace_id, contact_id, kind, value)
        values (%(workspace)s, %(foreign_contact)s, 'wa_id', '1')
    """,
    "contact_duplicates_workspace_id_contact_id_fkey": """
        insert into contact_duplicates (workspace_id, contact_id, duplicate_id, reason)
        values (%(workspace)s, %(foreign_contact)s, %(last_contact)s, 'x')
    """,
    "contact_duplicates_workspace_id_duplicate_id_fkey": """
        insert into contact_duplicates (workspace_id, contact_id, duplicate_id, reason)
        values (%(workspace)s, %(first_contact)s, %(foreign_contact)s, 'x')
    """,
    "wa_threads_workspace_id_connection_id_fkey": """
        insert into wa_threads (workspace_id, connection_id, contact_id)
        values (%(workspace)s, %(foreign_connection)s, %(contact)s)
    """,
    "wa_threads_workspace_id_contact_id_fkey": """
        insert into wa_threads (workspace_id, connection_id, contact_id)
        values (%(workspace)s, %(connection)s, %(foreign_contact)s)
    """,
    "wa_threads_workspace_id_assignee_id_fkey": "update wa_threads set assignee_id = %(member)s where id = %(thread)s",
    "wa_messages_thread_id_connection_id_workspace_id_fkey": """
        insert into wa_messages (workspace_id, connection_id, thread_id, direction, type, occurred_at)
        values (%(workspace)s, %(connection)s, %(foreign_thread)s, 'in', 'text', now())
    """,
    "wa_messages_workspace_id_sender_contact_id_fkey": """
        update wa_messages set sender_contact_id = %(foreign_contact)s where thread_id = %(thread)s
    """,
    "wa_messages_outbox_id_workspace_id_fkey": """
        update wa_messages set outbox_id = %(foreign_outbox)s where thread_id = %(thread)s
    """,
    "meta_signup_states_workspace_id_user_id_fkey": """
        insert into meta_signup_states (state_hash, workspace_id, user_id, expires_at)
        values (repeat('0', 64), %(workspace)s, %(member)s, now())
    """,
    # The reference is the lane's: a message can't be written without one.
    "outbox_lanes_workspace_id_connection_id_fkey": """
        insert into outbox_messages (workspace_id, channel, connection_id, recipient, payload, idempotency_key)
        values (%(workspace)s, 'whatsapp', %(foreign_connection)s, '+1', '{}', 'x')
    """,
    "outbox_messages_thread_id_connection_id_workspace_id_fkey": """
        insert into outbox_messages (workspace_id, channel, connection_id, thread_id, recipient, payload,
          idempotency_key)
        values (%(workspace)s, 'whatsapp', %(connection)s, %(foreign_thread)s, '+1', '{}', 'x')
    """,
    "outbox_problems_id_workspace_id_fkey": """
        insert into private.outbox_problems (id, workspace_id, status)
        values (%(foreign_outbox)s, %(workspace)s, 'dead')
    """,
    "inbox_assignees_workspace_id_user_id_fkey": """
        insert into inbox_assignees (workspace_id, user_id) values (%(workspace)s, %(member)s)
    """,
    "wa_thread_reads_thread_id_connection_id_workspace_id_fkey": """
        insert into wa_thread_reads (thread_id, connection_id, workspace_id, user_id, read_count)
        values (%(foreign_thread)s, %(connection)s, %(workspace)s, %(own)s, 0)
    """,
    "wa_thread_reads_workspace_id_user_id_fkey": """
        insert into wa_thread_reads (thread_id, connection_id, workspace_id, user_id, read_count)
        values (%(thread)s, %(connection)s, %(workspace)s, %(member)s, 0)
    """,
    "wa_thread_breaches_thread_id_connection_id_workspace_id_fkey": """
        insert into wa_thread_breaches (thread_id, connection_id, workspace_id, waiting_since, kind, target_seconds)
        values (%(foreign_thread)s, %(connection)s, %(workspace)s, now(), 'first_response', 1)
    """,
    "chats_thread_id_connection_id_workspace_id_fkey": """
        update chats set thread_id = %(foreign_thread)s, connection_id = %(connection)s where id = %(chat)s
    """,
    "workspace_entitlement_usage_workspace_id_key_fkey": """
        with foreign_entitlement as (
          insert into workspace_entitlements (workspace_id, key) values (%(foreign)s, 'foreign')
        )
        insert into workspace_entitlement_usage (workspace_id, key, period_start)
        values (%(workspace)s, 'foreign', now())
    """,
}


async def ids(cast: Cast) -> dict[str, Any]:
    foreign_outbox = await cast.insert(
        "outbox_messages",
        workspace_id=cast.foreign.id,
        channel="web_push",
        recipient="x",
        payload={},
        idempotency_key=str(uuid4()),
        status="cancelled",
    )
    # A pair names the smaller id first.
    first, last = UUID(int=uuid4().int >> 64), UUID(int=2**128 - 1 - (uuid4().int >> 64))
    for contact_id in (first, last):
        await cast.insert("contacts", id=contact_id, workspace_id=cast.workspace.id, name="Ada")
    foreign_chat = await cast.insert("chats", workspace_id=cast.foreign.id, kind="group", title="Theirs")
    foreign_client = await cast.insert("clients", workspace_id=cast.foreign.id, name="Theirs")
    foreign_project = await cast.insert("projects", workspace_id=cast.foreign.id, name="Theirs")
    foreign_lead = await cast.insert("leads", workspace_id=cast.foreign.id)
    return {
        "lead": cast.rows["leads"]["id"],
        "foreign_client": foreign_client,
        "foreign_project": foreign_project,
        "foreign_lead": foreign_lead,
        "workspace": cast.workspace.id,
        "chat": cast.rows["chats"]["id"],
        "foreign_chat": foreign_chat,
        "own": cast.user_ids["owner"],
        "foreign": cast.foreign.id,
        "contact": cast.thread.contact_id,
        "first_contact": first,
        "last_contact": last,
        "connection": cast.number.connection.id,
        "thread": cast.thread.id,
        "member": cast.user_ids["stranger"],
        "foreign_contact": cast.foreign_thread.contact_id,
        "foreign_connection": cast.foreign_number.connection.id,
        "foreign_thread": cast.foreign_thread.id,
        "foreign_outbox": foreign_outbox,
        "foreign_candidate": await cast.insert("tma_candidates", workspace_id=cast.foreign.id, name="Ada"),
    }


@pytest.mark.parametrize("key", CROSSINGS)
async def test_a_reference_into_another_workspace_is_refused(key: str, cast: Cast) -> None:
    with pytest.raises(errors.ForeignKeyViolation) as error:
        await cast.world.database.execute(CROSSINGS[key], await ids(cast))

    assert error.value.diag.constraint_name == key


async def test_every_reference_between_tenants_rows_is_tried(cast: Cast) -> None:
    rows = await cast.world.rows(
        r"""
        select key.conname from pg_constraint as key
        where key.contype = 'f' and key.connamespace in ('public'::regnamespace, 'private'::regnamespace)
          and key.confrelid <> 'public.workspaces'::regclass
          -- What names nothing but the workspace can't name another one's row.
          and pg_get_constraintdef(key.oid) !~ '^FOREIGN KEY \(workspace_id\) '
          and exists (select from pg_attribute where attrelid = key.conrelid and attname = 'workspace_id')
          and exists (select from pg_attribute where attrelid = key.confrelid and attname = 'workspace_id')
        """
    )
    assert {name for (name,) in rows} == CROSSINGS.keys()


@pytest.mark.parametrize("table", ["contacts", "wa_threads", "wa_phone_numbers", "outbox_messages"])
async def test_a_row_with_children_cannot_move_to_another_workspace(table: str, cast: Cast) -> None:
    row_id = {
        "contacts": cast.thread.contact_id,
        "wa_threads": cast.thread.id,
        "wa_phone_numbers": cast.number.connection.id,
        "outbox_messages": cast.rows["outbox_messages"]["id"],
    }[table]
    statement = sql.SQL("update {} set workspace_id = %s where id = %s").format(sql.Identifier(table))
    with pytest.raises(errors.ForeignKeyViolation):
        await cast.world.database.execute(statement, [cast.foreign.id, row_id])


async def test_a_threads_message_leaves_by_the_threads_own_number(cast: Cast) -> None:
    other = await cast.world.number(cast.workspace)
    with pytest.raises(errors.ForeignKeyViolation):
        await cast.insert(
            "outbox_messages",
            workspace_id=cast.workspace.id,
            channel="whatsapp",
            connection_id=other.connection.id,
            thread_id=cast.thread.id,
            recipient="+1",
            payload={},
            idempotency_key=str(uuid4()),
        )


async def test_who_leaves_is_no_longer_in_charge_and_still_the_author(cast: Cast) -> None:
    leaver = await cast.new_user()
    await cast.insert("workspace_memberships", workspace_id=cast.workspace.id, user_id=leaver, role="member")
    contact = await cast.insert(
        "contacts", workspace_id=cast.workspace.id, name="Ada", assigned_to=leaver, created_by=leaver
    )
    await cast.world.database.execute("update wa_threads set assignee_id = %s where id = %s", [leaver, cast.thread.id])

    await cast.world.database.execute("delete from workspace_memberships where user_id = %s", [leaver])

    assert await cast.world.rows(
        "select workspace_id, assigned_to, created_by from contacts where id = %s", contact
    ) == [(cast.workspace.id, None, leaver)]
    assert await cast.world.rows("select workspace_id, assignee_id from wa_threads where id = %s", cast.thread.id) == [
        (cast.workspace.id, None)
    ]


async def test_deleting_a_workspace_takes_all_of_it(cast: Cast) -> None:
    world = cast.world
    doomed = await make_cast(world)
    await world.database.execute("delete from workspaces where id = %s", [doomed.workspace.id])

    tables = await world.rows(
        "select attrelid::regclass::text from pg_attribute join pg_class on pg_class.oid = attrelid"
        " where attname = 'workspace_id' and relnamespace = 'public'::regnamespace and relkind = 'r'"
    )
    assert len(tables) > 5
    for (table,) in tables:
        if table == "owner_audit_log":
            continue  # outlives it
        assert await world.scalar(f"select count(*) from {table} where workspace_id = %s", doomed.workspace.id) == 0
    assert await world.scalar("select count(*) from wa_threads where workspace_id = %s", doomed.foreign.id) == 1


async def test_raw_events_go_with_their_workspace_and_no_other(cast: Cast) -> None:
    """No foreign key holds them, a trigger removes them; whoever deletes needs no right to them."""
    world = cast.world
    doomed = await make_cast(world)
    count = "select count(*) from meta_webhook_events where workspace_id = %s"
    assert await world.scalar(count, doomed.workspace.id) > 0
    kept = await world.scalar(count, doomed.foreign.id)

    answer = await cast.request("service", "DELETE", "workspaces", id=f"eq.{doomed.workspace.id}")

    assert answer.status_code == 204
    assert await world.scalar(count, doomed.workspace.id) == 0
    assert await world.scalar(count, doomed.foreign.id) == kept > 0
