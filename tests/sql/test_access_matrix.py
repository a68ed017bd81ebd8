"""Who may do what: every table and every RPC as everybody, through the API with real tokens.

`rows`: the row is there, or was changed. `none`: an empty answer, as if there were no such row. `refused`: the
database says that the role may not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from uuid import uuid4

import pytest

from tests.sql import access
from tests.sql.access import IDENTITIES, MEMBERS, Cast
from tests.sql.requests import filters, outcome_of
from tests.support import digits

Outcome = Literal["rows", "none", "refused"]
WRITERS = ("owner", "admin", "member")
EVERYBODY = tuple(name for name in IDENTITIES if name != "anon")
SIGNED_IN = tuple(name for name in EVERYBODY if name != "service")


@dataclass(frozen=True)
class Rule:
    """Who gets through; whoever isn't named is refused, or sees nothing where `grant` says that the role may ask."""

    may: tuple[str, ...] = ("service",)
    asks: tuple[str, ...] = ()

    def outcome(self, identity: str) -> Outcome:
        if identity in self.may:
            return "rows"
        return "none" if identity in self.asks else "refused"


SERVICE_ONLY = Rule()
NOBODY = Rule(may=())


def readable(*may: str) -> Rule:
    return Rule((*may, "service"), SIGNED_IN)


@dataclass(frozen=True)
class Access:
    select: Rule
    insert: Rule = SERVICE_ONLY
    update: Rule = SERVICE_ONLY
    delete: Rule = SERVICE_ONLY


NOBODY = Rule(())

# Each writes in their own name and reads their own; the settings asked for are the member's.
PERSONAL = Access(
    Rule(("member",), SIGNED_IN), insert=Rule(WRITERS), update=Rule(("member",), SIGNED_IN), delete=NOBODY
)
SHOWN = Access(readable(*MEMBERS, "operator"), NOBODY, NOBODY, NOBODY)
"""What the functions of the ops console write and members see."""
KEPT = Access(SERVICE_ONLY, NOBODY, NOBODY, NOBODY)
"""What the functions of the ops console write for themselves."""

TABLES: Mapping[str, Access] = {
    "clients": Access(readable(*MEMBERS), insert=Rule((*WRITERS, "service"))),
    "projects": Access(readable(*MEMBERS), insert=Rule((*WRITERS, "service"))),
    "leads": Access(readable(*MEMBERS)),
    "whatsapp_message_queue": Access(readable(*MEMBERS)),
    "lead_processing_queue": Access(readable(*MEMBERS)),
    # The settings asked for are the member's.
    "user_queue_settings": Access(readable("member")),
    "queue_performance_metrics": Access(readable(*MEMBERS), NOBODY, NOBODY, NOBODY),
    "queue_ledger": Access(readable(*MEMBERS), NOBODY, NOBODY, NOBODY),
    "canned_responses": Access(readable(*MEMBERS)),
    "contact_call_logs": Access(readable(*MEMBERS)),
    "contact_events": Access(readable(*MEMBERS)),
    "contact_notes": Access(readable(*MEMBERS)),
    "conversations": Access(readable(*MEMBERS), insert=NOBODY, update=NOBODY, delete=NOBODY),
    "tma_candidates": Access(readable(*MEMBERS)),
    "user_contact_settings": PERSONAL,
    "user_tma_settings": PERSONAL,
    "chat_members": Access(readable(*MEMBERS)),
    # Messages keep their place: nobody changes or removes them but by RPC.
    "chat_messages": Access(readable(*MEMBERS), update=Rule(()), delete=Rule(())),
    "chats": Access(readable(*MEMBERS)),
    "contact_duplicates": Access(readable(*MEMBERS)),
    "contact_identities": Access(readable(*MEMBERS)),
    "contacts": Access(readable(*MEMBERS), insert=Rule((*WRITERS, "service"))),
    "inbox_assignees": Access(readable(*MEMBERS)),
    "inbox_settings": Access(readable(*MEMBERS)),
    "meta_signup_states": Access(SERVICE_ONLY),
    "meta_webhook_events": Access(readable("owner", "admin")),
    "orphan_webhook_events": Access(SERVICE_ONLY),
    "outbox_messages": Access(readable(*MEMBERS)),
    "owner_audit_log": KEPT,
    "owner_members": KEPT,
    "platform_admins": KEPT,
    # The profile asked for is the member's.
    "profiles": Access(readable(*MEMBERS), update=Rule(("member", "service"), SIGNED_IN)),
    # Theirs alone; devices come by RPC.
    "notification_settings": Access(
        readable("member"), insert=NOBODY, update=Rule(("member",), SIGNED_IN), delete=NOBODY
    ),
    "push_subscriptions": Access(readable("member"), insert=NOBODY, delete=Rule(("service",), SIGNED_IN)),
    "wa_message_changes": Access(SERVICE_ONLY),
    "rate_limit_counters": Access(SERVICE_ONLY),
    "wa_message_statuses": Access(SERVICE_ONLY),
    "wa_messages": Access(readable(*MEMBERS)),
    "wa_phone_numbers": Access(readable(*MEMBERS)),
    "wa_saved_views": Access(
        Rule(("member",), SIGNED_IN),
        insert=Rule(WRITERS),
        update=Rule(("member",), SIGNED_IN),
        delete=Rule(("member",), SIGNED_IN),
    ),
    "wa_templates": Access(readable(*MEMBERS)),
    "wa_thread_breaches": Access(readable(*MEMBERS)),
    # What somebody has seen is theirs alone, and only a function writes it.
    "wa_thread_reads": Access(Rule(("member",), SIGNED_IN), NOBODY, NOBODY, NOBODY),
    "wa_threads": Access(readable(*MEMBERS)),
    "workspace_entitlement_usage": SHOWN,
    "workspace_entitlements": SHOWN,
    "workspace_invitations": Access(readable("owner", "admin")),
    "workspace_memberships": Access(readable(*MEMBERS)),
    "workspace_token_alerts": SHOWN,
    "workspace_token_balance": SHOWN,
    "workspace_token_grants": SHOWN,
    "workspace_token_ledger": SHOWN,
    "workspace_token_reservations": SHOWN,
    "workspaces": Access(readable(*MEMBERS)),
}

# A column that each identity tries to set to what it is already.
UPDATED = {
    "clients": "name",
    "projects": "name",
    "leads": "score",
    "whatsapp_message_queue": "priority",
    "lead_processing_queue": "step",
    "user_queue_settings": "paused",
    "queue_performance_metrics": "sent",
    "queue_ledger": "action",
    "canned_responses": "body",
    "contact_call_logs": "outcome",
    "contact_events": "kind",
    "contact_notes": "body",
    "conversations": "status",
    "tma_candidates": "name",
    "user_contact_settings": "status",
    "user_tma_settings": "status",
    "chat_members": "role",
    "chat_messages": "body",
    "chats": "title",
    "contact_duplicates": "reason",
    "contact_identities": "kind",
    "contacts": "lead_status",
    "inbox_assignees": "last_assigned_at",
    "inbox_settings": "assignment_policy",
    "meta_signup_states": "redirect_uri",
    "meta_webhook_events": "kind",
    "orphan_webhook_events": "hits",
    "outbox_messages": "priority",
    "owner_audit_log": "action",
    "owner_members": "role",
    "platform_admins": "created_at",
    "profiles": "full_name",
    "notification_settings": "notify_chats",
    "push_subscriptions": "failure_count",
    "wa_message_changes": "actor",
    "rate_limit_counters": "used",
    "wa_message_statuses": "status",
    "wa_messages": "body",
    "wa_phone_numbers": "status",
    "wa_saved_views": "name",
    "wa_templates": "status",
    "wa_thread_breaches": "kind",
    "wa_thread_reads": "read_count",
    "wa_threads": "status",
    "workspace_entitlement_usage": "used",
    "workspace_entitlements": "enabled",
    "workspace_invitations": "role",
    "workspace_memberships": "role",
    "workspace_token_alerts": "level",
    "workspace_token_balance": "balance",
    "workspace_token_grants": "remaining",
    "workspace_token_ledger": "delta",
    "workspace_token_reservations": "status",
    "workspaces": "name",
}


# Of a table that shows some of its columns only, one of those.
SHOWN_COLUMNS = {"workspace_invitations": "id"}


async def new_row(cast: Cast, table: str) -> dict[str, Any]:
    """A row that could be inserted, whoever it is that tries."""
    database = cast.world.database
    match table:
        case "inbox_assignees" | "wa_thread_reads" | "wa_saved_views":
            user_id = await cast.new_user()
            await cast.insert("workspace_memberships", workspace_id=cast.workspace.id, user_id=user_id, role="member")
            if table == "inbox_assignees":
                return access.new_assignee(cast, user_id)
            if table == "wa_thread_reads":
                return access.new_read(cast, user_id)
            # Members name no id.
            view = access.new_view(cast, cast.user_ids["member"])
            return {name: value for name, value in view.items() if name != "id"}
        case "inbox_settings":
            return {"workspace_id": await cast.insert("workspaces", slug=f"w-{uuid4().hex[:12]}", name="New")}
        case "wa_thread_breaches":
            return access.new_breach(cast)
        case "canned_responses":
            return access.new_canned(cast)
        case "workspace_invitations":
            return access.new_invitation(cast)
        case "chat_members":
            user_id = await cast.new_user()
            await cast.insert("workspace_memberships", workspace_id=cast.workspace.id, user_id=user_id, role="viewer")
            return access.new_chat_member(cast, user_id)
        case "chat_messages":
            return access.new_chat_message(cast)
        case "chats":
            return access.new_chat(cast)
        case "clients" | "projects":
            # Members name no id.
            return {name: value for name, value in access.new_client(cast).items() if name != "id"} | {
                "name": uuid4().hex
            }
        case "leads":
            return access.new_lead(cast)
        case "whatsapp_message_queue":
            return access.new_queued(cast)
        case "lead_processing_queue":
            return access.new_run(cast)
        case "user_queue_settings":
            return {"workspace_id": cast.workspace.id, "user_id": await cast.new_user()}
        case "queue_performance_metrics":
            return access.new_queue_metrics(cast, await cast.new_user())
        case "queue_ledger":
            return access.new_ledger_entry(cast)
        case "contact_duplicates":
            return await access.new_duplicate(cast)
        case "contact_call_logs":
            return access.new_call_log(cast)
        case "contact_events":
            return access.new_contact_event(cast)
        case "contact_notes":
            return access.new_note(cast)
        case "tma_candidates":
            return access.new_candidate(cast)
        case "user_contact_settings":
            contact_id = await cast.insert("contacts", **access.new_contact(cast))
            return access.new_contact_settings(cast, contact_id, "removed")
        case "user_tma_settings":
            candidate_id = await cast.insert("tma_candidates", **access.new_candidate(cast))
            return access.new_tma_settings(cast, candidate_id, "removed")
        case "contact_identities":
            return access.new_identity(cast)
        case "contacts":
            return access.new_contact(cast)
        case "meta_signup_states":
            return access.new_signup_state(cast)
        case "meta_webhook_events":
            return access.new_event(cast)
        case "orphan_webhook_events":
            return access.new_orphan(cast)
        case "outbox_messages":
            return access.new_outbox(cast)
        case "wa_message_changes":
            return access.new_change(cast)
        case "rate_limit_counters":
            return access.new_counter()
        case "wa_message_statuses":
            return access.new_status(cast)
        case "wa_messages":
            return access.new_message(cast)
        case "wa_phone_numbers":
            return access.new_number(cast)
        case "wa_templates":
            return access.new_template(cast)
        case "wa_threads" | "conversations":
            contact_id = await cast.insert("contacts", **access.new_contact(cast))
            return {
                "workspace_id": cast.workspace.id,
                "connection_id": cast.number.connection.id,
                "contact_id": contact_id,
            }
        case "workspaces":
            return {"slug": f"w-{uuid4().hex[:12]}", "name": "New"}
        case "workspace_memberships":
            user_id = await cast.new_user()
            return {"workspace_id": cast.workspace.id, "user_id": user_id, "role": "viewer"}
        case "owner_members":
            return {"user_id": await cast.new_user(), "email": "somebody@example.com"}
        case "platform_admins":
            return {"user_id": await cast.new_user()}
        case "workspace_token_balance":
            workspace = await cast.insert("workspaces", slug=f"w-{uuid4().hex[:12]}", name="New")
            return {"workspace_id": workspace}
        case "notification_settings":
            return {"user_id": await cast.new_user()}
        case "push_subscriptions":
            return access.new_push_subscription(await cast.new_user())
        case "profiles":
            user_id = await cast.new_user()
            await database.execute("delete from profiles where id = %s", [user_id])
            return {"id": user_id}
    return access.new_ops_row(cast, table)


async def test_the_matrix_knows_every_table(cast: Cast) -> None:
    rows = await cast.world.rows(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = any('{r,p,v,m,f}')"
    )
    assert {name for (name,) in rows} == TABLES.keys() == UPDATED.keys() == cast.rows.keys()


@pytest.mark.parametrize("table", TABLES)
async def test_select(table: str, cast: Cast) -> None:
    found = {
        identity: outcome_of(
            await cast.request(
                identity, "GET", table, select=SHOWN_COLUMNS.get(table, "*"), **filters(cast.rows[table])
            )
        )
        for identity in IDENTITIES
    }
    assert found == {identity: TABLES[table].select.outcome(identity) for identity in IDENTITIES}


@pytest.mark.parametrize("table", TABLES)
async def test_insert(table: str, cast: Cast) -> None:
    found = {}
    for identity in IDENTITIES:
        row = await new_row(cast, table)
        if table == "contacts" and identity in cast.user_ids:
            row["created_by"] = cast.user_ids[identity]
        if "user_id" in row and table.startswith(("user_", "wa_saved_views")) and identity in cast.user_ids:
            row["user_id"] = cast.user_ids[identity]
        found[identity] = outcome_of(await cast.request(identity, "POST", table, row, prefer="return=representation"))
    assert found == {identity: TABLES[table].insert.outcome(identity) for identity in IDENTITIES}


@pytest.mark.parametrize("table", TABLES)
async def test_update(table: str, cast: Cast) -> None:
    key = cast.rows[table]
    column = UPDATED[table]
    where = " and ".join(f"{name} = %s" for name in key)
    value = await cast.world.scalar(f"select {column} from {table} where {where}", *key.values())
    found = {
        identity: outcome_of(
            await cast.request(
                identity, "PATCH", table, {column: value}, prefer="return=representation", **filters(key)
            )
        )
        for identity in IDENTITIES
    }
    assert found == {identity: TABLES[table].update.outcome(identity) for identity in IDENTITIES}


@pytest.mark.parametrize("table", TABLES)
async def test_delete(table: str, cast: Cast) -> None:
    row = await new_row(cast, table)
    keys = ("id", "wa_message_id", "workspace_id", "user_id", "event_key", "slug", "state_hash", "key")
    names = [name for name in keys if name in row]
    await cast.insert("wa_threads" if table == "conversations" else table, **row)
    found = {
        identity: outcome_of(
            await cast.request(
                identity,
                "DELETE",
                table,
                prefer="return=representation",
                **filters({name: row[name] for name in names} | ({"phone": row["phone"]} if "phone" in row else {})
                    | ({"phone_number_id": row["phone_number_id"]} if table == "wa_phone_numbers" else {})
                    | ({"contact_id": row["contact_id"]} if table in (
                        "wa_threads", "contact_duplicates", "conversations", "user_contact_settings") else {})
                    | ({"name": row["name"]} if table in ("clients", "projects", "wa_saved_views") else {})
                    | ({"tma_id": row["tma_id"]} if "tma_id" in row else {})
                    | ({"template_id": row["template_id"]} if "template_id" in row else {})
                    | ({"value": row["value"]} if "value" in row else {})
                    | ({"idempotency_key": row["idempotency_key"]} if "idempotency_key" in row else {})),
            )
        )
        for identity in IDENTITIES
    }  # fmt: skip
    assert found == {identity: TABLES[table].delete.outcome(identity) for identity in IDENTITIES}


@pytest.mark.parametrize(
    "table",
    [
        "wa_connection_secrets", "outbox_lanes", "outbox_ready", "outbox_lines", "outbox_waiting", "outbox_leases",
        "outbox_problems", "outbox_archive", "migration_rejects", "chat_backlog", "audit_seals",
        "push_allowed_origins",
    ],
)  # fmt: skip
async def test_private_tables_are_out_of_reach_whatever_the_caller_asks_for(table: str, cast: Cast) -> None:
    for identity in IDENTITIES:
        assert (await cast.request(identity, "GET", table)).status_code == 404, identity
        answer = await cast.request(identity, "GET", table, schema="private")
        assert answer.status_code == 406, f"{identity}: {answer.text}"


Arguments = Callable[[Cast], Awaitable[dict[str, Any]]]

OK = "ok"
REFUSED = "42501"


def by_role(
    *,
    members: str = REFUSED,
    viewer: str | None = None,
    outside: str = REFUSED,
    operator: str | None = None,
    service: str = OK,
) -> dict[str, str]:
    """What each identity is told: `ok`, a code, or the refusal by grants."""
    return {
        "anon": REFUSED,
        "owner": members,
        "admin": members,
        "member": members,
        "viewer": viewer or members,
        "stranger": outside,
        "removed": outside,
        "operator": operator or outside,
        "service": service,
    }


SERVICE_RPC = by_role()
MEMBERS_RPC = by_role(members=OK, outside="workspace_not_found", service=REFUSED)
ADMIN_RPC = by_role(members=OK, viewer="role_required", outside="workspace_not_found") | {"member": "role_required"}
OPERATOR_RPC = by_role(members="operator_required", outside="operator_required", operator=OK)


def of_workspace(**arguments: Any) -> Callable[[Cast], dict[str, Any]]:
    return lambda cast: {"p_workspace_id": cast.workspace.id, **arguments}


IN_CHAT = by_role(members=OK, outside="chat_not_found", service=REFUSED)
WRITING_IN_CHAT = by_role(members=OK, viewer="role_required", outside="chat_not_found", service=REFUSED)


def chat(cast: Cast, **more: Any) -> dict[str, Any]:
    return {"p_chat_id": cast.rows["chats"]["id"], **more}


RPCS: Mapping[str, tuple[Mapping[str, str], Callable[[Cast], dict[str, Any]]]] = {
    "assign_leads": (
        by_role(members="role_required", outside="workspace_not_found") | {"owner": OK, "admin": OK},
        of_workspace(),
    ),
    "audit_queue": (SERVICE_RPC, lambda _: {}),
    "create_leads": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found"),
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_contact_ids": [cast.thread.contact_id]},
    ),
    "export_queue": (by_role(members=OK, outside="workspace_not_found"), of_workspace()),
    "get_queue_status": (by_role(members=OK, outside="workspace_not_found"), of_workspace()),
    # Nobody has said what to write, and the service has no queue of its own.
    "prepare_queue": (
        by_role(
            members="queue_message_missing",
            viewer="role_required",
            outside="workspace_not_found",
            service="invalid_value",
        ),
        of_workspace(),
    ),
    "release_lead": (
        by_role(members="lead_not_found", outside="lead_not_found", service=REFUSED),
        lambda _: {"p_lead_id": uuid4()},
    ),
    "set_queue_settings": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found", service="invalid_value"),
        of_workspace(),
    ),
    "start_automation": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found", service="invalid_value"),
        of_workspace(),
    ),
    # One has it, and the others are told so: that is tested elsewhere.
    "take_lead": (
        by_role(members="lead_not_found", outside="lead_not_found", service=REFUSED),
        lambda _: {"p_lead_id": uuid4()},
    ),
    "update_lead": (
        by_role(members=OK, viewer="role_required", outside="lead_not_found"),
        lambda cast: {"p_lead_id": cast.rows["leads"]["id"], "p_patch": {}},
    ),
    "add_contact_note": (
        by_role(members=OK, viewer="role_required", outside="contact_not_found"),
        lambda cast: {"p_contact_id": cast.thread.contact_id, "p_body": "Hello"},
    ),
    "accept_invitation": (
        by_role(members="invitation_not_found", outside="invitation_not_found", service=REFUSED),
        lambda _: {"p_token": "no token"},
    ),
    "add_thread_note": (
        by_role(members=OK, viewer="role_required", outside="thread_not_found", service=REFUSED),
        lambda cast: {"p_thread_id": cast.thread.id, "p_body": "Hello", "p_client_generated_id": str(uuid4())},
    ),
    "count_threads": (MEMBERS_RPC, of_workspace()),
    "create_saved_view": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found", service=REFUSED),
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_name": uuid4().hex},
    ),
    "delete_canned_response": (
        by_role(
            members="canned_response_not_found",
            outside="canned_response_not_found",
            service="canned_response_not_found",
        ),
        lambda _: {"p_response_id": uuid4()},
    ),
    "delete_saved_view": (
        by_role(members="view_not_found", outside="view_not_found", service=REFUSED),
        lambda _: {"p_view_id": uuid4()},
    ),
    "get_account_tokens": (SERVICE_RPC, of_workspace()),
    "get_inbox_counts": (MEMBERS_RPC, of_workspace()),
    "get_thread": (
        by_role(members=OK, outside="thread_not_found", service=REFUSED),
        lambda cast: {"p_thread_id": cast.thread.id},
    ),
    "invite_member": (
        ADMIN_RPC,
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_email": f"{uuid4().hex}@example.com"},
    ),
    "keep_inbox": (SERVICE_RPC, lambda _: {}),
    "list_members": (by_role(members=OK, outside="workspace_not_found"), of_workspace()),
    "list_saved_views": (MEMBERS_RPC, of_workspace()),
    "list_templates": (by_role(members=OK, outside=OK), of_workspace()),
    "list_threads": (MEMBERS_RPC, of_workspace()),
    "mark_thread_read": (
        by_role(members=OK, outside="thread_not_found", service=REFUSED),
        lambda cast: {"p_thread_id": cast.thread.id},
    ),
    "mark_thread_unread": (
        by_role(members=OK, outside="thread_not_found", service=REFUSED),
        lambda cast: {"p_thread_id": cast.thread.id},
    ),
    "get_connection_token": (SERVICE_RPC, lambda cast: {"p_connection_id": cast.number.connection.id}),
    "prepare_media_upload": (
        by_role(members=OK, viewer="role_required", outside="thread_not_found"),
        lambda cast: {"p_thread_id": cast.thread.id, "p_mime_type": "image/png", "p_bytes": 1},
    ),
    "open_thread": (
        by_role(members=OK, viewer="role_required", outside="contact_not_found"),
        lambda cast: {"p_contact_id": cast.thread.contact_id, "p_connection_id": cast.number.connection.id},
    ),
    "open_thread_chat": (
        by_role(members=OK, viewer="role_required", outside="thread_not_found", service=REFUSED),
        lambda cast: {"p_thread_id": cast.thread.id},
    ),
    "preview_template_send": (
        ADMIN_RPC | {"owner": "template_not_found", "admin": "template_not_found", "service": "template_not_found"},
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_template_id": uuid4()},
    ),
    "react_to_whatsapp_message": (
        by_role(members=OK, viewer="role_required", outside="message_not_found"),
        lambda cast: {
            "p_message_id": cast.rows["wa_messages"]["id"],
            "p_emoji": "👍",
            "p_idempotency_key": str(uuid4()),
        },
    ),
    "render_canned_response": (
        by_role(members="canned_response_not_found", outside="thread_not_found", service="canned_response_not_found"),
        lambda cast: {"p_thread_id": cast.thread.id, "p_shortcut": "none"},
    ),
    "revoke_invitation": (
        ADMIN_RPC | dict.fromkeys(("stranger", "removed", "operator"), "invitation_not_found"),
        lambda cast: {"p_invitation_id": cast.rows["workspace_invitations"]["id"]},
    ),
    "save_canned_response": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found"),
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_shortcut": uuid4().hex, "p_body": "Hello"},
    ),
    "search_messages": (MEMBERS_RPC, of_workspace(p_query="hello")),
    "send_template_to_threads": (
        ADMIN_RPC | {"owner": "template_not_found", "admin": "template_not_found", "service": "template_not_found"},
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_template_id": uuid4(), "p_idempotency_key": "k"},
    ),
    "send_whatsapp_content": (
        by_role(members=OK, viewer="role_required", outside="thread_not_found"),
        lambda cast: {
            "p_thread_id": cast.thread.id,
            "p_kind": "image",
            "p_content": {"id": "1"},
            "p_idempotency_key": str(uuid4()),
        },
    ),
    "send_whatsapp_read_receipt": (
        by_role(members=OK, viewer="role_required", outside="message_not_found"),
        lambda cast: {"p_message_id": cast.rows["wa_messages"]["id"]},
    ),
    "send_whatsapp_template": (
        by_role(
            members="template_not_found",
            viewer="role_required",
            outside="thread_not_found",
            service="template_not_found",
        ),
        lambda cast: {
            "p_thread_id": cast.thread.id,
            "p_template_id": uuid4(),
            "p_variables": {},
            "p_idempotency_key": str(uuid4()),
        },
    ),
    "set_connection_language": (
        ADMIN_RPC | dict.fromkeys(("stranger", "removed", "operator"), "connection_not_found"),
        lambda cast: {"p_connection_id": cast.number.connection.id, "p_language": "simple"},
    ),
    "set_inbox_settings": (ADMIN_RPC, of_workspace(p_patch={})),
    "sync_templates": (
        SERVICE_RPC,
        lambda cast: {
            "p_workspace_id": cast.workspace.id,
            "p_waba_id": digits(15),
            "p_templates": [],
            "p_asked_at": "2026-01-01T00:00:00Z",
        },
    ),
    "update_saved_view": (
        by_role(members="view_not_found", outside="view_not_found", service=REFUSED) | {"member": OK},
        lambda cast: {"p_view_id": cast.rows["wa_saved_views"]["id"], "p_patch": {}},
    ),
    "update_threads": (
        by_role(members=OK, viewer="role_required", outside="thread_not_found"),
        lambda cast: {"p_thread_ids": [cast.thread.id], "p_patch": {}},
    ),
    "complete_follow_up": (
        by_role(members="follow_up_not_found", outside="follow_up_not_found", service=REFUSED),
        lambda cast: {"p_id": cast.thread.contact_id},
    ),
    "count_contacts": (
        by_role(members=OK, outside="workspace_not_found", service=REFUSED),
        lambda cast: {"p_workspace_id": cast.workspace.id},
    ),
    "count_follow_ups": (by_role(members=OK, outside=OK, service=REFUSED), lambda _: {}),
    "create_candidate": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found"),
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_fields": {"name": "New"}},
    ),
    "create_contact": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found"),
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_fields": {"name": "New"}},
    ),
    # Nobody deletes twice what is there once: these find nothing, and what they may do is tested elsewhere.
    "delete_candidate": (
        by_role(members="candidate_not_found", outside="candidate_not_found", service="candidate_not_found"),
        lambda _: {"p_candidate_id": uuid4()},
    ),
    "delete_contact": (
        by_role(members="contact_not_found", outside="contact_not_found", service="contact_not_found"),
        lambda _: {"p_contact_id": uuid4()},
    ),
    "delete_contact_note": (
        by_role(members="note_not_found", outside="note_not_found", service="note_not_found"),
        lambda _: {"p_note_id": uuid4()},
    ),
    "get_call_logs": (by_role(members=OK, outside=OK), lambda cast: {"p_contact_ids": [cast.thread.contact_id]}),
    "get_candidate": (
        by_role(members=OK, outside="candidate_not_found", service=REFUSED),
        lambda cast: {"p_candidate_id": cast.rows["tma_candidates"]["id"]},
    ),
    "dismiss_contact_duplicate": (
        by_role(
            members="contact_not_found",
            viewer="role_required",
            outside="contact_not_found",
            service="contact_not_found",
        ),
        lambda cast: {"p_contact_id": cast.thread.contact_id, "p_duplicate_id": uuid4()},
    ),
    "get_contact": (
        by_role(members=OK, outside="contact_not_found", service=REFUSED),
        lambda cast: {"p_contact_id": cast.thread.contact_id},
    ),
    "import_candidates": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found"),
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_rows": []},
    ),
    "import_contacts": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found"),
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_rows": []},
    ),
    "list_candidates": (
        by_role(members=OK, outside="workspace_not_found", service=REFUSED),
        lambda cast: {"p_workspace_id": cast.workspace.id},
    ),
    "list_contact_duplicates": (
        by_role(members=OK, outside="workspace_not_found"),
        lambda cast: {"p_workspace_id": cast.workspace.id},
    ),
    "list_contact_timeline": (
        by_role(members=OK, outside="contact_not_found"),
        lambda cast: {"p_contact_id": cast.thread.contact_id},
    ),
    "list_contacts": (
        by_role(members=OK, outside="workspace_not_found", service=REFUSED),
        lambda cast: {"p_workspace_id": cast.workspace.id},
    ),
    "list_follow_ups": (by_role(members=OK, outside=OK, service=REFUSED), lambda _: {}),
    "log_call": (
        by_role(members=OK, viewer="role_required", outside="contact_not_found"),
        lambda cast: {"p_contact_id": cast.thread.contact_id, "p_outcome": "busy"},
    ),
    "merge_contacts": (
        by_role(
            members="contact_not_found",
            viewer="role_required",
            outside="contact_not_found",
            service="contact_not_found",
        ),
        lambda cast: {"p_contact_id": cast.thread.contact_id, "p_duplicate_id": uuid4()},
    ),
    "reschedule_follow_up": (
        by_role(members="follow_up_not_found", outside="follow_up_not_found", service=REFUSED),
        lambda cast: {"p_id": cast.thread.contact_id, "p_at": "2030-01-01T00:00:00Z"},
    ),
    "set_contact_settings": (
        by_role(members=OK, viewer="role_required", outside="contact_not_found", service=REFUSED),
        lambda cast: {"p_contact_id": cast.thread.contact_id, "p_patch": {}},
    ),
    "set_tma_settings": (
        by_role(members=OK, viewer="role_required", outside="candidate_not_found", service=REFUSED),
        lambda cast: {"p_candidate_id": cast.rows["tma_candidates"]["id"], "p_patch": {}},
    ),
    "snooze_follow_up": (
        by_role(members="follow_up_not_found", outside="follow_up_not_found", service=REFUSED),
        lambda cast: {"p_id": cast.thread.contact_id, "p_seconds": 60},
    ),
    "update_candidate": (
        by_role(members=OK, viewer="role_required", outside="candidate_not_found"),
        lambda cast: {"p_candidate_id": cast.rows["tma_candidates"]["id"], "p_patch": {}},
    ),
    "update_contact": (
        by_role(members=OK, viewer="role_required", outside="contact_not_found"),
        lambda cast: {"p_contact_id": cast.thread.contact_id, "p_patch": {}},
    ),
    # Nobody wrote it whom the matrix knows; only the service edits it.
    "update_contact_note": (
        by_role(members="note_not_found", outside="note_not_found"),
        lambda cast: {"p_note_id": cast.rows["contact_notes"]["id"], "p_body": "Hello"},
    ),
    "add_chat_members": (WRITING_IN_CHAT, lambda cast: chat(cast, p_user_ids=[])),
    "create_chat": (
        by_role(members=OK, viewer="role_required", outside="workspace_not_found", service=REFUSED),
        lambda cast: {"p_workspace_id": cast.workspace.id, "p_kind": "group", "p_title": "Mine"},
    ),
    "delete_message": (
        # The message is the member's, and nobody owns the chat.
        {
            **by_role(members="not_your_message", viewer="role_required", outside="message_not_found", service=REFUSED),
            "member": OK,
        },
        lambda cast: {"p_message_id": cast.spare_message_id},
    ),
    "edit_message": (
        {
            **by_role(members="not_your_message", viewer="role_required", outside="message_not_found", service=REFUSED),
            "member": OK,
        },
        lambda cast: {"p_message_id": cast.rows["chat_messages"]["id"], "p_body": "Hello"},
    ),
    "get_chat_changes": (IN_CHAT, lambda cast: chat(cast, p_after_rev=0)),
    "get_chat_messages": (IN_CHAT, chat),
    "get_latest_seq": (IN_CHAT, chat),
    "get_unread_count": (IN_CHAT, chat),
    "get_unread_counts": (by_role(members=OK, outside=OK, service=REFUSED), lambda _: {}),
    # The chat is a group: only channels are joined.
    "join_chat": (by_role(members="chat_not_found", outside="chat_not_found", service=REFUSED), chat),
    # Another chat than everybody's.
    "leave_chat": (
        by_role(members="chat_not_found", outside="chat_not_found", service=REFUSED),
        lambda _: {"p_chat_id": uuid4()},
    ),
    "list_chats": (by_role(members=OK, outside=OK, service=REFUSED), lambda _: {}),
    "mark_messages_as_delivered": (IN_CHAT, chat),
    "mark_messages_as_read": (IN_CHAT, chat),
    "mute_chat": (IN_CHAT, chat),
    "remove_chat_member": (
        by_role(members="role_required", outside="chat_not_found", service=REFUSED),
        lambda cast: chat(cast, p_user_id=uuid4()),
    ),
    "send_message": (
        WRITING_IN_CHAT,
        lambda cast: chat(cast, p_body="Hello", p_client_generated_id=str(uuid4())),
    ),
    "send_messages": (WRITING_IN_CHAT, lambda cast: chat(cast, p_messages=[])),
    "set_typing": (WRITING_IN_CHAT, chat),
    "status": (
        by_role(members=OK, outside=OK),
        # Whoever isn't in the chat sees no cursor, so everything looks unread.
        lambda cast: {"p_message": {"chat_id": cast.rows["chats"]["id"], "seq": 1}},
    ),
    "add_operator": (OPERATOR_RPC, lambda cast: {"p_email": cast.emails["operator"]}),
    "apply_workspace_token_delta": (OPERATOR_RPC, of_workspace(p_delta=1, p_reason="test")),
    "check_entitlement": (
        by_role(members=OK, outside="workspace_not_found", operator=OK),
        of_workspace(p_key="meta_hub"),
    ),
    "check_token_balances": (OPERATOR_RPC, lambda _: {}),
    "find_workspace": (OPERATOR_RPC, lambda cast: {"p_ref": cast.workspace.slug}),
    "get_workspace_overview": (OPERATOR_RPC, of_workspace()),
    "grant_workspace_tokens": (OPERATOR_RPC, of_workspace(p_amount=1, p_reason="test")),
    "list_operators": (OPERATOR_RPC, lambda _: {}),
    "list_workspaces": (OPERATOR_RPC, lambda _: {}),
    "release_token_reservation": (OPERATOR_RPC, lambda cast: {"p_reservation_id": cast.released_reservation}),
    "remove_member": (
        by_role(members="role_required", outside="workspace_not_found", service="member_not_found")
        | {"owner": "member_not_found", "admin": "member_not_found"},
        of_workspace(p_user_id=str(uuid4())),
    ),
    "remove_operator": (
        by_role(
            members="operator_required",
            outside="operator_required",
            operator="operator_not_found",
            service="operator_not_found",
        ),
        lambda _: {"p_email": "nobody@example.com"},
    ),
    "reserve_workspace_tokens": (OPERATOR_RPC, of_workspace(p_amount=1, p_reason="test")),
    "seal_audit_log": (OPERATOR_RPC, lambda _: {}),
    "search_audit_log": (OPERATOR_RPC, lambda _: {}),
    "set_member_role": (
        by_role(members="role_required", outside="workspace_not_found") | {"owner": OK, "admin": OK},
        lambda cast: {
            "p_workspace_id": cast.workspace.id,
            "p_user_id": cast.user_ids["viewer"],
            "p_role": "viewer",
        },
    ),
    "set_token_alerts": (OPERATOR_RPC, of_workspace(p_levels=[950])),
    "set_workspace_entitlement": (
        OPERATOR_RPC,
        lambda cast: {"p_slug": cast.workspace.slug, "p_key": "meta_hub", "p_enabled": True},
    ),
    "set_workspace_entitlement_payload": (
        OPERATOR_RPC,
        of_workspace(p_key="core_os", p_enabled=True, p_payload={}),
    ),
    "set_workspace_status": (OPERATOR_RPC, of_workspace(p_status="active")),
    "settle_due_tokens": (OPERATOR_RPC, lambda _: {}),
    "settle_token_reservation": (
        OPERATOR_RPC,
        lambda cast: {"p_reservation_id": cast.settled_reservation, "p_amount": 1},
    ),
    "use_entitlement": (OPERATOR_RPC, of_workspace(p_key="meta_hub")),
    "verify_audit_log": (OPERATOR_RPC, lambda _: {}),
    "get_badge": (by_role(members=OK, outside=OK, service=REFUSED), lambda _: {}),
    "prepare_pushes": (SERVICE_RPC, lambda _: {"p_ids": []}),
    "record_push_results": (SERVICE_RPC, lambda _: {"p_results": []}),
    "remove_push_subscription": (
        by_role(members=OK, outside=OK, service=REFUSED),
        lambda _: {"p_endpoint": "https://push.example.com/none"},
    ),
    "save_push_subscription": (
        by_role(members=OK, outside=OK, service=REFUSED),
        lambda cast: {
            f"p_{name}": value
            for name, value in access.new_push_subscription(cast.user_ids["member"]).items()
            if name != "user_id"
        },
    ),
    "set_notification_settings": (by_role(members=OK, outside=OK, service=REFUSED), lambda _: {"p_patch": {}}),
    "cancel_outbox": (SERVICE_RPC, lambda _: {"p_ids": []}),
    "claim_outbox": (SERVICE_RPC, lambda _: {"p_limit": 1, "p_worker": "matrix"}),
    "complete_outbox": (SERVICE_RPC, lambda _: {"p_token": 0, "p_results": []}),
    "connect_wa_phone_number": (
        SERVICE_RPC,
        lambda cast: {
            "p_workspace_id": cast.workspace.id,
            "p_waba_id": digits(15),
            "p_phone_number_id": digits(15),
            "p_access_token_ciphertext": "x",
        },
    ),
    "create_workspace": (
        by_role(members=OK, outside=OK, service=REFUSED),
        lambda _: {"p_slug": f"w-{uuid4().hex[:12]}", "p_name": "Mine"},
    ),
    "deauthorize_meta_user": (SERVICE_RPC, lambda _: {"p_meta_user_id": digits(15)}),
    "disconnect_wa_phone_number": (
        {**by_role(members=OK, viewer="role_required", outside="connection_not_found"), "member": "role_required"},
        lambda cast: {"p_connection_id": cast.spare_number.connection.id},
    ),
    "enqueue_outbox": (
        SERVICE_RPC,
        lambda cast: {
            "p_workspace_id": cast.workspace.id,
            "p_channel": "web_push",
            "p_recipients": [],
            "p_payloads": [],
            "p_idempotency_keys": [],
        },
    ),
    "extend_lease": (by_role(service="lease_lost"), lambda _: {"p_token": 0, "p_seconds": 60}),
    "fail_outbox": (SERVICE_RPC, lambda _: {"p_token": 0, "p_failures": []}),
    "find_outbox_message": (SERVICE_RPC, lambda cast: {"p_id": cast.rows["outbox_messages"]["id"]}),
    "get_outbox_stats": (SERVICE_RPC, lambda _: {}),
    "get_outbox_wait": (SERVICE_RPC, lambda _: {}),
    "ingest_whatsapp_events": (SERVICE_RPC, lambda _: {"p_events": []}),
    "replay_orphan_events": (by_role(service="connection_not_found"), lambda _: {"p_phone_number_id": digits(15)}),
    "replay_whatsapp_events": (SERVICE_RPC, lambda _: {"p_events": []}),
    "list_outbox": (SERVICE_RPC, lambda _: {"p_status": "dead"}),
    "maintain_outbox": (SERVICE_RPC, lambda _: {}),
    "pause_connection": (SERVICE_RPC, lambda cast: {"p_connection_id": cast.foreign_number.connection.id}),
    "purge_outbox": (SERVICE_RPC, lambda cast: {"p_status": "dead", "p_workspace_id": cast.workspace.id}),
    "release_lost_claims": (SERVICE_RPC, lambda _: {"p_worker": "matrix", "p_held_tokens": []}),
    "resolve_connection_for_thread": (
        by_role(members=OK, outside="thread_not_found"),
        lambda cast: {"p_thread_id": cast.thread.id},
    ),
    "resolve_connection_for_webhook": (
        SERVICE_RPC,
        lambda cast: {"p_phone_number_id": cast.number.connection.phone_number_id},
    ),
    "resolve_workspace": (
        by_role(members=OK, outside="workspace_not_found"),
        lambda cast: {"p_ref": cast.workspace.slug},
    ),
    "resume_connection": (SERVICE_RPC, lambda cast: {"p_connection_id": cast.foreign_number.connection.id}),
    "retry_outbox": (SERVICE_RPC, lambda _: {"p_ids": []}),
    "send_whatsapp_text": (
        by_role(members=OK, viewer="role_required", outside="thread_not_found"),
        lambda cast: {"p_thread_id": cast.thread.id, "p_body": "Hello", "p_idempotency_key": str(uuid4())},
    ),
    "start_meta_signup": (
        {
            **by_role(members=OK, viewer="role_required", outside="workspace_not_found", service=REFUSED),
            "member": "role_required",
        },
        lambda cast: {"p_workspace_id": cast.workspace.id},
    ),
    "take_rate_limit_slot": (SERVICE_RPC, lambda _: {"p_key": "matrix", "p_cap": 1000, "p_window_seconds": 1}),
    "update_contact_status": (
        by_role(members=OK, viewer="role_required", outside="contact_not_found"),
        lambda cast: {"p_contact_id": cast.thread.contact_id, "p_lead_status": "engaged"},
    ),
    "use_meta_signup_state": (
        by_role(service="signup_state_invalid"),
        lambda cast: {"p_state": uuid4().hex, "p_user_id": cast.user_ids["owner"]},
    ),
    "webhook_event_stats": (SERVICE_RPC, lambda cast: {"p_workspace_id": cast.workspace.id}),
    "whoami": (by_role(members=OK, outside=OK), lambda _: {}),
}


async def test_the_matrix_knows_every_function(cast: Cast) -> None:
    rows = await cast.world.rows(
        "select proname from pg_proc where pronamespace = 'public'::regnamespace and prorettype <> 'trigger'::regtype"
    )
    assert {name for (name,) in rows} == RPCS.keys()


@pytest.mark.parametrize("function", RPCS)
async def test_call(function: str, cast: Cast) -> None:
    expected, arguments = RPCS[function]
    found = {}
    for identity in IDENTITIES:
        answer = await cast.rpc(identity, function, **arguments(cast))
        body: Any = answer.json() if answer.content else None
        if answer.is_success:
            found[identity] = OK
        else:
            found[identity] = REFUSED if body["code"] == "42501" else body["message"]
    assert found == expected


async def test_no_function_of_private_can_be_called(cast: Cast) -> None:
    rows = await cast.world.rows("select proname from pg_proc where pronamespace = 'private'::regnamespace")
    assert len(rows) > 5
    for (name,) in rows:
        for identity in ("anon", "member", "service"):
            assert (await cast.rpc(identity, name)).status_code == 404, f"{name} as {identity}"
