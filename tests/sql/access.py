"""Who is who in the access tests, and requests past every check that Python might make."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid4

import httpx
from psycopg.types.json import Jsonb

from qero.models.whatsapp import Thread
from qero.models.workspace import Workspace
from tests.support import Number, World, digits

IDENTITIES = ("anon", "owner", "admin", "member", "viewer", "stranger", "removed", "operator", "service")
MEMBERS = ("owner", "admin", "member", "viewer")
SECRET = "ciphertext-that-nobody-may-see"


@dataclass
class Cast:
    """One workspace with a row in every table, everybody who may or may not see it, and another workspace like it."""

    world: World
    workspace: Workspace
    foreign: Workspace
    tokens: dict[str, str]
    user_ids: dict[str, UUID]
    number: Number
    thread: Thread
    foreign_number: Number
    foreign_thread: Thread
    spare_number: Number
    """Disconnected by some test."""
    emails: dict[str, str]
    settled_reservation: UUID
    released_reservation: UUID
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    """What goes by another name than an id: a customer's phone, a member's device, the keys of messages."""
    spare_message_id: UUID = field(default_factory=uuid4)
    """In the chat; deleted by some test."""

    async def request(
        self,
        identity: str,
        method: str,
        path: str,
        body: Any = None,
        *,
        prefer: str = "",
        schema: str = "",
        **params: str,
    ) -> httpx.Response:
        token = self.tokens[identity]
        key = token if identity == "service" else self.world.settings.require("publishable_key")
        headers = {"apikey": key, "authorization": f"Bearer {token}"}
        if prefer:
            headers["prefer"] = prefer
        if schema:
            headers |= {"accept-profile": schema, "content-profile": schema}
        content = None if body is None else json.dumps(body, default=str)
        if content is not None:
            headers["content-type"] = "application/json"
        return await self.world.clients.http.request(
            method,
            f"{self.world.settings.supabase_url}/rest/v1/{path}",
            params=params,
            headers=headers,
            content=content,
        )

    async def rpc(self, identity: str, function: str, **arguments: Any) -> httpx.Response:
        return await self.request(identity, "POST", f"rpc/{function}", arguments)

    async def insert(self, table: str, **values: Any) -> Any:
        """The id, or the first column, of a row that no API may make; written by the tables' owner."""
        columns = ", ".join(values)
        places = ", ".join("%s" for _ in values)
        data = [Jsonb(value) if isinstance(value, dict) else value for value in values.values()]
        [row] = await self.world.rows(f"insert into {table} ({columns}) values ({places}) returning *", *data)
        return row[0]

    async def workspaces_of(self, identity: str) -> set[str]:
        """Every workspace that somebody is in, others than this one too."""
        query = "select workspace_id from workspace_memberships where user_id = %s"
        rows = await self.world.rows(query, self.user_ids.get(identity))
        return {str(workspace_id) for (workspace_id,) in rows}

    async def new_user(self) -> UUID:
        """Somebody who has signed up and is in no workspace."""
        user_id = uuid4()
        await self.insert("auth.users", id=user_id, email=f"{user_id.hex}@example.com")
        return user_id


async def make_cast(world: World) -> Cast:
    workspace = await world.workspace(owner="owner", admin="admin", member="member", viewer="viewer", removed="member")
    removed = await world.user("removed")
    await world.database.execute(
        "delete from workspace_memberships where workspace_id = %s and user_id = %s", [workspace.id, removed.id]
    )
    foreign = await world.workspace(owner="stranger")
    number, foreign_number = await world.number(workspace), await world.number(foreign)
    thread, foreign_thread = await world.thread(number), await world.thread(foreign_number)
    users = {name: await world.user(name) for name in IDENTITIES if name not in ("anon", "service")}
    await world.rows("select add_operator(%s)", users["operator"].email)
    await world.rows(
        """
        select set_workspace_entitlement_payload(%s, 'meta_hub', true, '{"limit": 100}', null, 'test'),
          use_entitlement(%s, 'meta_hub', 1), set_token_alerts(%s, '{950}'),
          apply_workspace_token_delta(%s, 1000, 'test'), apply_workspace_token_delta(%s, -60, 'test')
        """,
        *[workspace.id] * 5,
    )
    reserve = "select id from reserve_workspace_tokens(%s, 10, 'test')"
    cast = Cast(
        world,
        workspace,
        foreign,
        {
            "anon": world.settings.require("publishable_key"),
            "service": world.settings.require("secret_key"),
            **{name: user.access_token for name, user in users.items()},
        },
        {name: user.id for name, user in users.items()},
        number,
        thread,
        foreign_number,
        foreign_thread,
        await world.number(workspace),
        {name: user.email for name, user in users.items()},
        await world.scalar(reserve, workspace.id),
        await world.scalar(reserve, workspace.id),
    )
    outbox_id = await cast.insert("outbox_messages", **new_outbox(cast))
    orphan_id = await cast.insert("orphan_webhook_events", **new_orphan(cast))
    state_hash = await cast.insert("meta_signup_states", **new_signup_state(cast))
    counter_key = await cast.insert("rate_limit_counters", **new_counter())
    wamid = f"wamid.{uuid4().hex}"
    await cast.insert("wa_message_statuses", **(new_status(cast) | {"wa_message_id": wamid}))
    await cast.insert("wa_message_changes", **(new_change(cast) | {"wa_message_id": wamid}))
    template_id = await cast.insert("wa_templates", **new_template(cast))
    settings_id = await cast.insert("inbox_settings", workspace_id=workspace.id)
    await cast.insert("inbox_assignees", **new_assignee(cast, users["member"].id))
    view_id = await cast.insert("wa_saved_views", **new_view(cast, users["member"].id))
    await cast.insert("wa_thread_reads", **new_read(cast, users["member"].id))
    since = "2026-01-01T00:00:00Z"
    await cast.insert("wa_thread_breaches", **(new_breach(cast) | {"waiting_since": since}))
    canned_id = await cast.insert("canned_responses", **new_canned(cast))
    invitation_id = await cast.insert("workspace_invitations", **new_invitation(cast))
    duplicate = await new_duplicate(cast)
    await cast.insert("contact_duplicates", **duplicate)
    identity_id = await world.scalar("select id from contact_identities where contact_id = %s", thread.contact_id)
    message_id = await world.scalar("select id from wa_messages where thread_id = %s", thread.id)
    event_id = await world.scalar("select id from meta_webhook_events where workspace_id = %s", workspace.id)
    chat = new_chat(cast)
    chat_id = await cast.insert("chats", **chat)
    for name in MEMBERS:
        await cast.insert("chat_members", **new_chat_member(cast, cast.user_ids[name], chat_id))
    cast.rows["chats"] = {"id": chat_id}
    chat_message_id = await cast.insert("chat_messages", **new_chat_message(cast))
    cast.spare_message_id = await cast.insert("chat_messages", **new_chat_message(cast))
    await world.database.execute("select private.store_connection_secret(%s, %s)", [number.connection.id, SECRET])
    note_id = await cast.insert("contact_notes", **new_note(cast))
    log_id = await cast.insert("contact_call_logs", **new_call_log(cast))
    event_row_id = await cast.insert("contact_events", **new_contact_event(cast))
    candidate_id = await cast.insert("tma_candidates", **new_candidate(cast))
    await cast.insert("user_contact_settings", **new_contact_settings(cast, thread.contact_id, "member"))
    await cast.insert("user_tma_settings", **new_tma_settings(cast, candidate_id, "member"))
    client_id = await cast.insert("clients", **new_client(cast))
    project_id = await cast.insert("projects", **new_client(cast))
    lead_id = await cast.insert("leads", **new_lead(cast))
    cast.rows["leads"] = {"id": lead_id}
    queued_id = await cast.insert("whatsapp_message_queue", **new_queued(cast))
    run_id = await cast.insert("lead_processing_queue", **new_run(cast))
    await cast.insert("user_queue_settings", workspace_id=workspace.id, user_id=users["member"].id)
    await cast.insert("queue_performance_metrics", **new_queue_metrics(cast, users["member"].id))
    ledger_id = await cast.insert("queue_ledger", **new_ledger_entry(cast))
    await cast.rpc("member", "set_notification_settings")
    device_id = await cast.insert("push_subscriptions", **new_push_subscription(users["member"].id))
    grant_id = await world.scalar("select id from grant_workspace_tokens(%s, 10, 'test')", workspace.id)
    entry_id = await world.scalar("select min(id) from workspace_token_ledger where workspace_id = %s", workspace.id)
    alert_id = await world.scalar("select min(id) from workspace_token_alerts where workspace_id = %s", workspace.id)
    audit_id = await world.scalar("select min(id) from owner_audit_log where workspace_id = %s", workspace.id)
    cast.words = {
        "phone": await world.scalar("select phone from contacts where id = %s", thread.contact_id),
        "endpoint": await world.scalar("select endpoint from push_subscriptions where id = %s", device_id),
        "key": await world.scalar("select idempotency_key from outbox_messages where id = %s", outbox_id),
        "client_id": await world.scalar("select client_generated_id from chat_messages where id = %s", chat_message_id),
    }
    cast.rows |= {
        "clients": {"id": client_id},
        "projects": {"id": project_id},
        "leads": {"id": lead_id},
        "whatsapp_message_queue": {"id": queued_id},
        "lead_processing_queue": {"id": run_id},
        "user_queue_settings": {"workspace_id": workspace.id, "user_id": users["member"].id},
        "queue_performance_metrics": {"workspace_id": workspace.id, "user_id": users["member"].id},
        "queue_ledger": {"id": ledger_id},
        "canned_responses": {"id": canned_id},
        "contact_call_logs": {"id": log_id},
        "contact_events": {"id": event_row_id},
        "contact_notes": {"id": note_id},
        "conversations": {"id": thread.id},
        "tma_candidates": {"id": candidate_id},
        "user_contact_settings": {"contact_id": thread.contact_id},
        "user_tma_settings": {"tma_id": candidate_id},
        "chat_members": {"chat_id": chat_id, "user_id": users["member"].id},
        "chat_messages": {"id": chat_message_id},
        "contact_duplicates": {"duplicate_id": duplicate["duplicate_id"], "contact_id": duplicate["contact_id"]},
        "contact_identities": {"id": identity_id},
        "contacts": {"id": thread.contact_id},
        "inbox_assignees": {"workspace_id": workspace.id, "user_id": users["member"].id},
        "inbox_settings": {"workspace_id": settings_id},
        "meta_signup_states": {"state_hash": state_hash},
        "meta_webhook_events": {"id": event_id},
        "orphan_webhook_events": {"id": orphan_id},
        "outbox_messages": {"id": outbox_id},
        "owner_audit_log": {"id": audit_id},
        "owner_members": {"user_id": users["operator"].id},
        "platform_admins": {"user_id": users["operator"].id},
        "profiles": {"id": users["member"].id},
        "notification_settings": {"user_id": users["member"].id},
        "push_subscriptions": {"id": device_id},
        "wa_message_changes": {"wa_message_id": wamid},
        "rate_limit_counters": {"key": counter_key},
        "wa_message_statuses": {"wa_message_id": wamid},
        "wa_messages": {"id": message_id},
        "wa_phone_numbers": {"id": number.connection.id},
        "wa_saved_views": {"id": view_id},
        "wa_templates": {"id": template_id},
        "wa_thread_breaches": {"thread_id": thread.id, "waiting_since": since},
        "wa_thread_reads": {"thread_id": thread.id, "user_id": users["member"].id},
        "wa_threads": {"id": thread.id},
        "workspace_entitlement_usage": {"workspace_id": workspace.id, "key": "meta_hub"},
        "workspace_entitlements": {"workspace_id": workspace.id, "key": "meta_hub"},
        "workspace_token_alerts": {"id": alert_id},
        "workspace_token_balance": {"workspace_id": workspace.id},
        "workspace_token_grants": {"id": grant_id},
        "workspace_token_ledger": {"id": entry_id},
        "workspace_token_reservations": {"id": cast.settled_reservation},
        "workspace_memberships": {"workspace_id": workspace.id, "user_id": users["member"].id},
        "workspace_invitations": {"id": invitation_id},
        "workspaces": {"id": workspace.id},
    }
    return cast


def new_assignee(cast: Cast, user_id: UUID) -> dict[str, Any]:
    return {"workspace_id": cast.workspace.id, "user_id": user_id, "last_assigned_at": "2026-01-01T00:00:00Z"}


def new_view(cast: Cast, user_id: UUID) -> dict[str, Any]:
    return {"id": uuid4(), "workspace_id": cast.workspace.id, "user_id": user_id, "name": uuid4().hex, "filters": {}}


def new_read(cast: Cast, user_id: UUID) -> dict[str, Any]:
    return {**of_thread(cast), "user_id": user_id, "read_count": 0}


def new_breach(cast: Cast) -> dict[str, Any]:
    return {
        **of_thread(cast),
        "waiting_since": f"{digits(3)}0-01-01T00:00:00Z",
        "kind": "first_response",
        "target_seconds": 60,
    }


def of_thread(cast: Cast) -> dict[str, Any]:
    return {
        "thread_id": cast.thread.id,
        "connection_id": cast.thread.connection_id,
        "workspace_id": cast.thread.workspace_id,
    }


def new_canned(cast: Cast) -> dict[str, Any]:
    return {"id": uuid4(), "workspace_id": cast.workspace.id, "shortcut": uuid4().hex, "body": "Hello"}


def new_invitation(cast: Cast) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "workspace_id": cast.workspace.id,
        "email": f"{uuid4().hex}@example.com",
        "role": "member",
        "token_hash": uuid4().hex,
        "expires_at": "2100-01-01T00:00:00Z",
    }


def new_chat(cast: Cast) -> dict[str, Any]:
    return {"id": uuid4(), "workspace_id": cast.workspace.id, "kind": "group", "title": "Sales"}


def new_chat_member(cast: Cast, user_id: UUID, chat_id: UUID | None = None) -> dict[str, Any]:
    return {
        "workspace_id": cast.workspace.id,
        "chat_id": chat_id or cast.rows["chats"]["id"],
        "user_id": user_id,
    }


def new_chat_message(cast: Cast) -> dict[str, Any]:
    return {
        "workspace_id": cast.workspace.id,
        "chat_id": cast.rows["chats"]["id"],
        "sender_id": cast.user_ids["member"],
        "client_generated_id": str(uuid4()),
        "body": "Hello",
    }


def new_contact(cast: Cast) -> dict[str, Any]:
    return {"workspace_id": cast.workspace.id, "name": "New", "phone": f"+{digits(11)}"}


def new_candidate(cast: Cast) -> dict[str, Any]:
    return {"workspace_id": cast.workspace.id, "name": "New", "phone": f"+{digits(11)}"}


def new_note(cast: Cast) -> dict[str, Any]:
    return {"id": uuid4(), "workspace_id": cast.workspace.id, "contact_id": cast.thread.contact_id, "body": "Hello"}


def new_call_log(cast: Cast) -> dict[str, Any]:
    return {"id": uuid4(), "workspace_id": cast.workspace.id, "contact_id": cast.thread.contact_id, "outcome": "busy"}


def new_contact_event(cast: Cast) -> dict[str, Any]:
    return {"id": uuid4(), "workspace_id": cast.workspace.id, "contact_id": cast.thread.contact_id, "kind": "merged"}


def new_contact_settings(cast: Cast, contact_id: UUID | None, user: str) -> dict[str, Any]:
    return {
        "workspace_id": cast.workspace.id,
        "user_id": cast.user_ids[user],
        "contact_id": contact_id,
        "status": "hot",
    }


def new_tma_settings(cast: Cast, candidate_id: UUID, user: str) -> dict[str, Any]:
    return {"workspace_id": cast.workspace.id, "user_id": cast.user_ids[user], "tma_id": candidate_id, "status": "A"}


def new_client(cast: Cast) -> dict[str, Any]:
    return {"id": uuid4(), "workspace_id": cast.workspace.id, "name": "New"}


def new_lead(cast: Cast) -> dict[str, Any]:
    return {"id": uuid4(), "workspace_id": cast.workspace.id, "contact_id": cast.thread.contact_id, "status": "lost"}


def new_queued(cast: Cast) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "workspace_id": cast.workspace.id,
        "lead_id": cast.rows["leads"]["id"],
        "body": "Hello",
        "status": "cancelled",
    }


def new_run(cast: Cast) -> dict[str, Any]:
    return {
        "id": uuid4(),
        "workspace_id": cast.workspace.id,
        "lead_id": cast.rows["leads"]["id"],
        "status": "cancelled",
    }


def new_queue_metrics(cast: Cast, user_id: UUID) -> dict[str, Any]:
    return {"workspace_id": cast.workspace.id, "user_id": user_id, "day": "2026-01-01"}


def new_ledger_entry(cast: Cast) -> dict[str, Any]:
    return {"workspace_id": cast.workspace.id, "lead_id": cast.rows["leads"]["id"], "queue": "leads"}


async def new_duplicate(cast: Cast) -> dict[str, Any]:
    first, second = sorted([await cast.insert("contacts", **new_contact(cast)) for _ in range(2)])
    return {
        "workspace_id": cast.workspace.id,
        "contact_id": first,
        "duplicate_id": second,
        "reason": "Both are Ada.",
    }


def new_outbox(cast: Cast) -> dict[str, Any]:
    return {
        "workspace_id": cast.workspace.id,
        "channel": "whatsapp",
        "connection_id": cast.number.connection.id,
        "thread_id": cast.thread.id,
        "recipient": f"+{digits(11)}",
        "payload": {"type": "text"},
        "idempotency_key": str(uuid4()),
        "status": "cancelled",
    }


def new_push_subscription(user_id: UUID) -> dict[str, Any]:
    return {
        "user_id": user_id,
        "endpoint": f"https://push.example.com/{uuid4().hex}",
        "p256dh": "B" + "A" * 86,
        "auth": "A" * 22,
    }


def new_counter() -> dict[str, Any]:
    return {"key": uuid4().hex, "used": 1, "resets_at": "2100-01-01T00:00:00Z"}


def new_orphan(cast: Cast) -> dict[str, Any]:
    return {"phone_number_id": digits(15), "event_key": uuid4().hex, "kind": "message", "event": {}}


def new_status(cast: Cast) -> dict[str, Any]:
    return {
        "connection_id": cast.number.connection.id,
        "wa_message_id": f"wamid.{uuid4().hex}",
        "status": "sent",
        "occurred_at": "2026-01-01T00:00:00Z",
    }


def new_change(cast: Cast) -> dict[str, Any]:
    return {
        "connection_id": cast.number.connection.id,
        "wa_message_id": f"wamid.{uuid4().hex}",
        "kind": "reaction",
        "target_id": f"wamid.{uuid4().hex}",
        "direction": "in",
        "actor": "customer",
        "occurred_at": "2026-01-01T00:00:00Z",
    }


def new_template(cast: Cast) -> dict[str, Any]:
    return {"workspace_id": cast.workspace.id, "waba_id": digits(15), "template_id": digits(15)}


def new_message(cast: Cast) -> dict[str, Any]:
    return {
        "workspace_id": cast.workspace.id,
        "connection_id": cast.number.connection.id,
        "thread_id": cast.thread.id,
        "direction": "in",
        "wa_message_id": f"wamid.{uuid4().hex}",
        "type": "text",
        "body": "Hello",
        "occurred_at": "2026-01-01T00:00:00Z",
    }


def new_number(cast: Cast) -> dict[str, Any]:
    return {"workspace_id": cast.workspace.id, "waba_id": digits(15), "phone_number_id": digits(15)}


def new_event(cast: Cast) -> dict[str, Any]:
    return {
        "workspace_id": cast.workspace.id,
        "event_key": uuid4().hex,
        "kind": "other",
        "raw": {},
        "status": "kept",
    }


def new_signup_state(cast: Cast) -> dict[str, Any]:
    return {
        "state_hash": sha256(uuid4().bytes).hexdigest(),
        "workspace_id": cast.workspace.id,
        "user_id": cast.user_ids["admin"],
        "expires_at": "2100-01-01T00:00:00Z",
    }


def new_identity(cast: Cast) -> dict[str, Any]:
    return {
        "workspace_id": cast.workspace.id,
        "contact_id": cast.thread.contact_id,
        "kind": "wa_id",
        "value": digits(11),
    }


def new_ops_row(cast: Cast, table: str) -> dict[str, Any]:
    """A row of a table of the ops console, which only its functions write."""
    workspace = {"workspace_id": cast.workspace.id}
    match table:
        case "owner_audit_log":
            return {"action": "owner.tokens.granted", **workspace}
        case "workspace_entitlements":
            return {"key": uuid4().hex, **workspace}
        case "workspace_entitlement_usage":
            return {"key": "meta_hub", "period_start": f"{digits(3)}0-01-01T00:00:00Z", **workspace}
        case "workspace_token_ledger":
            # Of no workspace: whoever looks at balances finds every one of them explained.
            return {"delta": 1, "balance_after": 1, "reason": "test", "workspace_id": uuid4()}
        case "workspace_token_grants":
            return {"amount": 1, "remaining": 1, "reason": "test", **workspace}
        case "workspace_token_reservations":
            return {
                "amount": 1,
                "reason": "test",
                "expires_at": "2100-01-01T00:00:00Z",
                "status": "released",
                **workspace,
            }
        case "workspace_token_alerts":
            return {"level": 1, "balance": 1, **workspace}
    raise AssertionError(f"no row for {table}")
