"""Every error that SQL raises, provoked: its code, HTTP status, detail and hint as a caller gets them.

Each branch that raises runs here, so none of them hides a statement that can't be planned.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from qero.errors import REGISTRY
from tests.sql.access import Cast, new_chat_message, new_invitation, new_template
from tests.sql.conftest import RolledBack
from tests.sql.test_registry import RAISE
from tests.support import digits

Provocation = Callable[[Cast], Awaitable[httpx.Response]]


def calling(identity: str, function: str, **arguments: Any) -> Provocation:
    async def call(cast: Cast) -> httpx.Response:
        given = {name: value(cast) if callable(value) else value for name, value in arguments.items()}
        return await cast.rpc(identity, function, **given)

    return call


def sending(**arguments: Any) -> Provocation:
    given = {"p_thread_id": lambda cast: cast.thread.id, "p_body": "Hi", "p_idempotency_key": "a key", **arguments}
    return calling("member", "send_whatsapp_text", **given)


def content(kind: str, value: object) -> Provocation:
    return calling(
        "member",
        "send_whatsapp_content",
        p_thread_id=lambda cast: cast.thread.id,
        p_kind=kind,
        p_content=value,
        p_idempotency_key="k",
    )


def uploading(**changes: object) -> Provocation:
    given = {"p_thread_id": lambda cast: cast.thread.id, "p_mime_type": "image/png", "p_bytes": 1, **changes}
    return calling("member", "prepare_media_upload", **given)


async def own_thread(cast: Cast, **changes: str) -> UUID:
    """A thread of its own number, with columns of the thread or its connection changed by SQL expression."""
    number = await cast.world.number(cast.workspace)
    thread = await cast.world.thread(number)
    for column, expression in changes.items():
        table = "wa_threads" if column == "last_inbound_at" else "wa_phone_numbers"
        row_id = thread.id if table == "wa_threads" else number.connection.id
        await cast.world.rows(f"update {table} set {column} = {expression} where id = %s returning id", row_id)
    return thread.id


def to_thread(function: str, **changes: str) -> Provocation:
    async def call(cast: Cast) -> httpx.Response:
        thread_id = await own_thread(cast, **changes)
        if function == "send_whatsapp_text":
            return await sending(p_thread_id=thread_id, p_idempotency_key=str(uuid4()))(cast)
        return await calling("member", function, p_thread_id=thread_id)(cast)

    return call


async def same_key_twice(cast: Cast) -> httpx.Response:
    key = str(uuid4())
    assert (await sending(p_body="one", p_idempotency_key=key)(cast)).status_code == 200
    return await sending(p_body="two", p_idempotency_key=key)(cast)


async def another_message_with_the_key(cast: Cast) -> httpx.Response:
    given = {
        "p_workspace_id": cast.workspace.id,
        "p_channel": "web_push",
        "p_recipients": ["somebody"],
        "p_idempotency_keys": [str(uuid4())],
    }
    assert (await cast.rpc("service", "enqueue_outbox", **given, p_payloads=[{"n": 1}])).status_code == 200
    return await cast.rpc("service", "enqueue_outbox", **given, p_payloads=[{"n": 2}])


async def to_nobody(cast: Cast) -> httpx.Response:
    contact_id = await cast.insert("contacts", workspace_id=cast.workspace.id, name="Nobody")
    thread_id = await cast.insert(
        "wa_threads",
        workspace_id=cast.workspace.id,
        connection_id=cast.number.connection.id,
        contact_id=contact_id,
        last_inbound_at="now",
    )
    return await sending(p_thread_id=thread_id)(cast)


async def taken_slug(cast: Cast) -> httpx.Response:
    return await cast.rpc("stranger", "create_workspace", p_slug=cast.workspace.slug, p_name="Mine")


async def taken_number(cast: Cast) -> httpx.Response:
    return await connecting(
        p_workspace_id=lambda cast: cast.foreign.id, p_phone_number_id=lambda cast: cast.number.at_meta.phone_number_id
    )(cast)


def connecting(**arguments: Any) -> Provocation:
    given = {
        "p_workspace_id": lambda cast: cast.workspace.id,
        "p_waba_id": digits(15),
        "p_phone_number_id": digits(15),
        "p_access_token_ciphertext": "x",
        **arguments,
    }
    return calling("service", "connect_wa_phone_number", **given)


async def with_state(
    cast: Cast, change: str = "", *, identity: str = "owner", user: str | None = None
) -> httpx.Response:
    """Use a state that somebody started and that was then changed by SQL."""
    started = await cast.rpc(identity, "start_meta_signup", p_workspace_id=cast.workspace.id)
    state = started.json()["state"]
    await cast.world.rows(
        f"update meta_signup_states set {change or 'used_at = null'}"
        " where state_hash = encode(sha256(%s), 'hex') returning 1",
        state.encode(),
    )
    return await cast.rpc("service", "use_meta_signup_state", p_state=state, p_user_id=cast.user_ids[user or identity])


async def by_a_former_admin(cast: Cast) -> httpx.Response:
    role = "update workspace_memberships set role = %s where workspace_id = %s and user_id = %s returning 1"
    started = await cast.rpc("admin", "start_meta_signup", p_workspace_id=cast.workspace.id)
    await cast.world.rows(role, "member", cast.workspace.id, cast.user_ids["admin"])
    try:
        return await cast.rpc(
            "service",
            "use_meta_signup_state",
            p_state=started.json()["state"],
            p_user_id=cast.user_ids["admin"],
        )
    finally:
        await cast.world.rows(role, "admin", cast.workspace.id, cast.user_ids["admin"])


def gone_meanwhile(table: str, function: str, argument: str, removal: str, **arguments: Any) -> Provocation:
    """The row goes after the caller's role was checked and before it is touched."""

    async def call(cast: Cast) -> httpx.Response:
        row_id = await cast.insert(table, workspace_id=cast.workspace.id, name="Going")
        async with await psycopg.AsyncConnection.connect(cast.world.settings.require("db_url")) as other:
            await other.execute(removal.encode(), [row_id])
            answer = asyncio.create_task(cast.rpc("member", function, **{argument: row_id}, **arguments))
            await waiting_for_lock(cast)
            await other.commit()
            return await answer

    return call


DELETED = "update contacts set deleted_at = now() where id = %s"
REMOVED = "delete from tma_candidates where id = %s"


def in_workspace(function: str, **arguments: Any) -> Provocation:
    return calling("member", function, p_workspace_id=lambda cast: cast.workspace.id, **arguments)


def of_contact(function: str, **arguments: Any) -> Provocation:
    return calling("member", function, p_contact_id=lambda cast: cast.thread.contact_id, **arguments)


async def same_email_twice(cast: Cast, function: str) -> httpx.Response:
    fields = {"p_workspace_id": cast.workspace.id, "p_fields": {"email": f"{uuid4().hex}@example.com"}}
    assert (await cast.rpc("member", function, **fields)).status_code == 200
    return await cast.rpc("member", function, **fields)


async def imported_at_once(cast: Cast, table: str, function: str) -> httpx.Response:
    """The row that is about to get an e-mail loses it to another one meanwhile."""
    email, phone = f"{uuid4().hex}@example.com", f"+{digits(11)}"
    await cast.insert(table, workspace_id=cast.workspace.id, name="Ada", phone=phone)
    rows = [{"email": email, "phone": phone}]
    async with await psycopg.AsyncConnection.connect(cast.world.settings.require("db_url")) as other:
        await other.execute(
            f"insert into {table} (workspace_id, email) values (%s, %s)".encode(), [cast.workspace.id, email]
        )
        call = asyncio.create_task(
            cast.rpc("member", function, p_workspace_id=cast.workspace.id, p_rows=rows, p_dry_run=False)
        )
        await waiting_for_lock(cast)
        await other.commit()
        return await call


async def own_note(cast: Cast) -> str:
    answer = await cast.rpc("member", "add_contact_note", p_contact_id=cast.thread.contact_id, p_body="Mine")
    note_id: str = answer.json()["id"]
    return note_id


async def emptied_note(cast: Cast) -> httpx.Response:
    return await cast.rpc("member", "update_contact_note", p_note_id=await own_note(cast), p_body=" ")


async def waiting_for_lock(cast: Cast, count: int = 1) -> None:
    for _ in range(200):
        waiting = await cast.world.scalar(
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )
        if waiting >= count:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("nothing waited")


async def repeated_insert(cast: Cast) -> httpx.Response:
    row = new_chat_message(cast)
    assert (await cast.request("service", "POST", "chat_messages", row)).status_code == 201
    return await cast.request("service", "POST", "chat_messages", row)


def in_chat(identity: str, function: str, **arguments: Any) -> Provocation:
    return calling(identity, function, p_chat_id=lambda cast: cast.rows["chats"]["id"], **arguments)


def writing(**arguments: Any) -> Provocation:
    return in_chat("member", "send_message", **{"p_body": "Hi", "p_client_generated_id": "an id", **arguments})


def on_message(identity: str, function: str, *, deleted: bool = False, **arguments: Any) -> Provocation:
    async def call(cast: Cast) -> httpx.Response:
        message_id = await cast.insert("chat_messages", **new_chat_message(cast))
        if deleted:
            assert (await cast.rpc("member", "delete_message", p_message_id=message_id)).is_success
        return await cast.rpc(identity, function, p_message_id=message_id, **arguments)

    return call


async def in_direct_chat(cast: Cast) -> httpx.Response:
    opened = await cast.rpc(
        "member",
        "create_chat",
        p_workspace_id=cast.workspace.id,
        p_kind="direct",
        p_member_ids=[cast.user_ids["owner"]],
    )
    return await cast.rpc("member", "add_chat_members", p_chat_id=opened.json()["id"], p_user_ids=[])


async def removing_nobody(cast: Cast) -> httpx.Response:
    opened = await cast.rpc("member", "create_chat", p_workspace_id=cast.workspace.id, p_kind="group", p_title="Mine")
    return await cast.rpc("member", "remove_chat_member", p_chat_id=opened.json()["id"], p_user_id=uuid4())


def opening(**arguments: Any) -> Provocation:
    given = {"p_workspace_id": lambda cast: cast.workspace.id, "p_kind": "group", "p_title": "Mine", **arguments}
    return calling("member", "create_chat", **given)


def operating(function: str, **arguments: Any) -> Provocation:
    """A call by an operator about the cast's workspace."""
    return calling("operator", function, p_workspace_id=lambda cast: cast.workspace.id, **arguments)


async def in_a_suspended_workspace(cast: Cast) -> httpx.Response:
    workspace = await cast.world.workspace(owner="owner")
    await cast.rpc("operator", "set_workspace_status", p_workspace_id=workspace.id, p_status="suspended")
    return await cast.rpc("owner", "start_meta_signup", p_workspace_id=workspace.id)


async def an_owner_made_by_an_admin(cast: Cast) -> httpx.Response:
    return await cast.rpc(
        "admin",
        "set_member_role",
        p_workspace_id=cast.workspace.id,
        p_user_id=cast.user_ids["viewer"],
        p_role="owner",
    )


async def an_owner_removed_by_an_admin(cast: Cast) -> httpx.Response:
    return await cast.rpc("admin", "remove_member", p_workspace_id=cast.workspace.id, p_user_id=cast.user_ids["owner"])


async def same_reference_twice(cast: Cast) -> httpx.Response:
    reference = str(uuid4())
    deltas = {"p_workspace_id": cast.workspace.id, "p_reason": "test", "p_reference": reference}
    assert (await cast.rpc("operator", "apply_workspace_token_delta", **deltas, p_delta=1)).status_code == 200
    return await cast.rpc("operator", "apply_workspace_token_delta", **deltas, p_delta=2)


async def settled_twice(cast: Cast) -> httpx.Response:
    reservation_id = await cast.world.scalar(
        "select id from reserve_workspace_tokens(%s, 5, 'test')", cast.workspace.id
    )
    await cast.rpc("operator", "settle_token_reservation", p_reservation_id=reservation_id, p_amount=1)
    return await cast.rpc("operator", "settle_token_reservation", p_reservation_id=reservation_id, p_amount=2)


async def new_lead(cast: Cast, **values: Any) -> UUID:
    contact_id = await cast.insert("contacts", workspace_id=cast.workspace.id, name="Lead")
    lead_id: UUID = await cast.insert("leads", workspace_id=cast.workspace.id, contact_id=contact_id, **values)
    return lead_id


def on_lead(function: str, **arguments: Any) -> Provocation:
    async def call(cast: Cast) -> httpx.Response:
        return await cast.rpc("member", function, p_lead_id=await new_lead(cast), **arguments)

    return call


async def taken_by_another(cast: Cast, function: str) -> httpx.Response:
    lead_id = await new_lead(cast)
    assert (await cast.rpc("owner", "take_lead", p_lead_id=lead_id)).status_code == 200
    return await cast.rpc("member", function, p_lead_id=lead_id)


def in_queue(function: str, identity: str = "member", **arguments: Any) -> Provocation:
    return calling(identity, function, p_workspace_id=lambda cast: cast.workspace.id, **arguments)


async def preparing_yesterday(cast: Cast) -> httpx.Response:
    return await cast.rpc("member", "prepare_queue", p_workspace_id=cast.workspace.id, p_day="2020-01-01")


def within(identity: str, function: str, **arguments: Any) -> Provocation:
    return calling(identity, function, p_workspace_id=lambda cast: cast.workspace.id, **arguments)


def changing(*threads: Callable[[Cast], UUID], **patch: Any) -> Provocation:
    """A change of threads, the cast's unless told otherwise."""

    async def change(cast: Cast) -> httpx.Response:
        ids = [thread(cast) for thread in threads] or [cast.thread.id]
        return await cast.rpc("member", "update_threads", p_thread_ids=ids, p_patch=patch)

    return change


async def a_view_name_twice(cast: Cast) -> httpx.Response:
    name = uuid4().hex
    given = {"p_workspace_id": cast.workspace.id, "p_name": name}
    assert (await cast.rpc("member", "create_saved_view", **given)).status_code == 200
    return await cast.rpc("member", "create_saved_view", **given)


async def a_view_renamed_to_another(cast: Cast) -> httpx.Response:
    names = [uuid4().hex, uuid4().hex]
    ids = []
    for name in names:
        made = await cast.rpc("member", "create_saved_view", p_workspace_id=cast.workspace.id, p_name=name)
        ids.append(made.json()["id"])
    return await cast.rpc("member", "update_saved_view", p_view_id=ids[0], p_patch={"name": names[1]})


def changing_view(**patch: Any) -> Provocation:
    return calling(
        "member", "update_saved_view", p_view_id=lambda cast: cast.rows["wa_saved_views"]["id"], p_patch=patch
    )


async def rendering(cast: Cast, body: str) -> httpx.Response:
    """A canned response for a contact who has no e-mail address."""
    shortcut = uuid4().hex
    given = {"p_workspace_id": cast.workspace.id, "p_shortcut": shortcut, "p_body": body}
    assert (await cast.rpc("member", "save_canned_response", **given)).status_code == 200
    return await cast.rpc("member", "render_canned_response", p_thread_id=cast.thread.id, p_shortcut=shortcut)


async def an_answer_that_grows_too_long(cast: Cast) -> httpx.Response:
    await cast.world.rows(
        "update contacts set name = repeat('A', 300) where id = %s returning 1", cast.thread.contact_id
    )
    return await rendering(cast, "x" * 4000 + "{contact.name}")


async def reacting_to_what_has_not_left(cast: Cast) -> httpx.Response:
    sent = await sending(p_idempotency_key=str(uuid4()))(cast)
    return await cast.rpc(
        "member",
        "react_to_whatsapp_message",
        p_message_id=sent.json()["id"],
        p_emoji="👍",
        p_idempotency_key=str(uuid4()),
    )


async def reading_ones_own_message(cast: Cast) -> httpx.Response:
    sent = (await sending(p_idempotency_key=str(uuid4()))(cast)).json()
    await cast.world.rows(
        "update wa_messages set wa_message_id = %s where id = %s returning 1", uuid4().hex, sent["id"]
    )
    return await cast.rpc("member", "send_whatsapp_read_receipt", p_message_id=sent["id"])


async def template_of(cast: Cast, **fields: Any) -> UUID:
    """A template of the cast's number, approved unless told otherwise."""
    values = {
        "name": "hello",
        "language": "en",
        "status": "APPROVED",
        "category": "MARKETING",
        "components": Jsonb([{"type": "BODY", "text": "Hi {{1}}"}]),
        **fields,
    }
    given = {**new_template(cast), "waba_id": cast.number.connection.waba_id, **values}
    template_id: UUID = await cast.insert("wa_templates", **given)
    return template_id


def templating(variables: Any = None, **fields: Any) -> Provocation:
    """A template sent in the cast's thread."""

    async def send(cast: Cast) -> httpx.Response:
        return await cast.rpc(
            "member",
            "send_whatsapp_template",
            p_thread_id=cast.thread.id,
            p_template_id=await template_of(cast, **fields),
            p_variables={"body": ["Ada"]} if variables is None else variables,
            p_idempotency_key=str(uuid4()),
        )

    return send


async def marketing_to_who_wants_none(cast: Cast) -> httpx.Response:
    await cast.world.rows(
        "update contacts set marketing_opted_out = true where id = %s returning 1", cast.thread.contact_id
    )
    try:
        return await templating()(cast)
    finally:
        await cast.world.rows(
            "update contacts set marketing_opted_out = false where id = %s returning 1", cast.thread.contact_id
        )


def to_many(**arguments: Any) -> Provocation:
    async def send(cast: Cast) -> httpx.Response:
        given = {"p_idempotency_key": str(uuid4()), "p_variables": {"body": ["Ada"]}, **arguments}
        return await cast.rpc(
            "owner",
            "send_template_to_threads",
            p_workspace_id=cast.workspace.id,
            p_template_id=await template_of(cast),
            **given,
        )

    return send


async def a_thread_by_a_paused_number(cast: Cast) -> httpx.Response:
    number = await cast.world.number(cast.workspace)
    await cast.world.rows(
        "update wa_phone_numbers set status = 'paused' where id = %s returning 1", number.connection.id
    )
    return await cast.rpc(
        "member", "open_thread", p_contact_id=cast.thread.contact_id, p_connection_id=number.connection.id
    )


def inviting(identity: str = "owner", **arguments: Any) -> Provocation:
    return within(identity, "invite_member", **{"p_email": f"{uuid4().hex}@example.com", **arguments})


async def an_address_invited_twice(cast: Cast) -> httpx.Response:
    invite = inviting()
    assert (await invite(cast)).status_code == 200
    return await invite(cast)


async def accepting(cast: Cast, change: str = "", *, workspace_id: UUID | None = None) -> httpx.Response:
    """The stranger accepts an invitation that was changed by SQL meanwhile."""
    made = await cast.rpc(
        "service", "invite_member", p_workspace_id=workspace_id or cast.workspace.id, p_email=cast.emails["stranger"]
    )
    token, invitation_id = made.json()["token"], made.json()["id"]
    if change:
        await cast.world.rows(f"update workspace_invitations set {change} where id = %s returning 1", invitation_id)
    try:
        return await cast.rpc("stranger", "accept_invitation", p_token=token)
    finally:
        await cast.world.rows("delete from workspace_invitations where id = %s returning 1", invitation_id)


async def accepting_unverified(cast: Cast) -> httpx.Response:
    verified = "update auth.users set email_confirmed_at = {} where id = %s returning 1"
    await cast.world.rows(verified.format("null"), cast.user_ids["stranger"])
    try:
        return await accepting(cast)
    finally:
        await cast.world.rows(verified.format("now()"), cast.user_ids["stranger"])


async def accepting_where_all_is_suspended(cast: Cast) -> httpx.Response:
    workspace = await cast.world.workspace(owner="owner")
    await cast.rpc("operator", "set_workspace_status", p_workspace_id=workspace.id, p_status="suspended")
    return await accepting(cast, workspace_id=workspace.id)


async def revoking_what_was_accepted(cast: Cast) -> httpx.Response:
    invitation_id = await cast.insert("workspace_invitations", **{**new_invitation(cast), "accepted_at": "now"})
    return await cast.rpc("owner", "revoke_invitation", p_invitation_id=invitation_id)


async def templates_of_no_workspace(cast: Cast) -> httpx.Response:
    template = {"id": digits(15), "name": "hello"}
    return await cast.rpc(
        "service",
        "sync_templates",
        p_workspace_id=uuid4(),
        p_waba_id=digits(15),
        p_templates=[template],
        p_asked_at="2026-01-01T00:00:00Z",
    )


def subscribing(**arguments: Any) -> Provocation:
    given = {"p_endpoint": "https://push.example.com/x", "p_p256dh": "B" + "A" * 86, "p_auth": "A" * 22, **arguments}
    return calling("member", "save_push_subscription", **given)


def preferring(**settings: Any) -> Provocation:
    return calling("member", "set_notification_settings", p_patch=settings)


INSIDE = (
    None, "", "push.example.com/x", "http://push.example.com/x", "https://push.example.com:8443/x",
    "https://push.example.com", "https://user@push.example.com/x", "https://push.example.com\\@10.0.0.1/x",
    "https://127.0.0.1/x", "https://2130706433/x", "https://[::1]/x", "https://localhost/x", "https://db.internal/x",
    "https://printer.local/x", "https://intranet/x", "https://push.example.com/ x", "https://push.example.com/\n",
    "https://PUSH.example.com/x", f"https://push.example.com/{'x' * 2000}", "file:///etc/passwd",
)  # fmt: skip


async def planned_count(cast: Cast) -> httpx.Response:
    return await cast.request("member", "GET", "contacts", prefer="count=planned")


PROVOKED: list[tuple[str, str, Provocation, dict[str, Any]]] = [
    ("is_no_estimate", "estimate_refused", planned_count, {}),
    ("require_queue", "invalid_value", in_queue("set_queue_settings", "service"), {"field": "user_id"}),
    (
        "require_queue",
        "member_not_found",
        in_queue("set_queue_settings", "owner", p_user_id=str(UUID(int=1))),
        {"user_id": str(UUID(int=1))},
    ),
    ("check_queue_settings", "invalid_value", in_queue("set_queue_settings", p_patch=[]), {"field": "patch"}),
    *[
        (
            "check_queue_settings",
            "invalid_value",
            in_queue("set_queue_settings", p_patch={field: value}),
            {"field": field, "value": ..., "allowed": ...},
        )
        for field, value in (
            ("daily_capacity", -1),
            ("daily_capacity", 10_001),
            ("daily_capacity", None),
            ("batch_size", 0),
            ("timezone", "CEST"),
            ("timezone", "Mars/Olympus"),
            ("sends_from", "noon"),
            ("sends_until", None),
            ("paused", "yes"),
            ("takes_unassigned", None),
            ("connection_id", "x"),
            ("steps", {}),
            ("steps", [{"body": "Hi"}] * 11),
            ("steps", [1]),
            ("steps", [{}]),
            ("steps", [{"body": "Hi", "template": {}}]),
            ("steps", [{"body": " "}]),
            ("steps", [{"template": {"name": "hello"}}]),
            ("steps", [{"body": "Hi"}, {"body": "Hi"}]),
            ("steps", [{"body": "Hi"}, {"body": "Hi", "after_days": 0}]),
        )
    ],
    (
        "check_queue_settings",
        "field_unknown",
        in_queue("set_queue_settings", p_patch={"capacity": 1}),
        {"field": "capacity", "allowed": ...},
    ),
    (
        "set_queue_settings",
        "invalid_value",
        in_queue("set_queue_settings", p_patch={"sends_from": "20:00", "sends_until": "08:00"}),
        {"field": "sends_until", "value": "08:00:00", "allowed": "after sends_from"},
    ),
    (
        "set_queue_settings",
        "reference_not_found",
        in_queue("set_queue_settings", p_patch={"connection_id": str(UUID(int=0))}),
        {"field": "connection_id"},
    ),
    ("check_lead_fields", "invalid_value", on_lead("update_lead", p_patch=[]), {"field": "fields"}),
    (
        "check_lead_fields",
        "field_unknown",
        on_lead("update_lead", p_patch={"control": "human"}),
        {"field": "control", "allowed": ["status", "client_id", "project_id", "user_id", "score"]},
    ),
    (
        "check_lead_fields",
        "lead_status_invalid",
        on_lead("update_lead", p_patch={"status": "booked"}),
        {
            "field": "status",
            "value": "booked",
            "allowed": ["new", "pending", "contacted", "engaged", "qualified", "lost"],
        },
    ),
    (
        "check_lead_fields",
        "invalid_value",
        on_lead("update_lead", p_patch={"score": "high"}),
        {"field": "score", "value": "high", "allowed": "a whole number"},
    ),
    (
        "check_lead_fields",
        "invalid_value",
        on_lead("update_lead", p_patch={"client_id": "x"}),
        {"field": "client_id", "value": "x", "allowed": "an id"},
    ),
    *[
        (
            "check_lead_fields",
            "reference_not_found",
            on_lead("update_lead", p_patch={field: str(UUID(int=0))}),
            {"field": field, "value": str(UUID(int=0))},
        )
        for field in ("client_id", "project_id", "user_id")
    ],
    (
        "create_leads",
        "too_many_ids",
        in_queue("create_leads", p_contact_ids=[]),
        {"field": "contact_ids", "count": 0, "limit": 1000},
    ),
    (
        "create_leads",
        "contact_not_found",
        in_queue("create_leads", p_contact_ids=[str(UUID(int=0))]),
        {"contact_id": str(UUID(int=0))},
    ),
    (
        "require_role",
        "lead_not_found",
        calling("member", "take_lead", p_lead_id=str(UUID(int=0))),
        {"lead_id": str(UUID(int=0))},
    ),
    (
        "assign_leads",
        "invalid_value",
        in_queue("assign_leads", "owner", p_limit=0),
        {"field": "limit", "allowed": "1 to 10000"},
    ),
    (
        "prepare_queue",
        "invalid_value",
        in_queue("prepare_queue", p_limit=0),
        {"field": "limit", "allowed": "1 to 10000"},
    ),
    ("prepare_queue", "invalid_value", preparing_yesterday, {"field": "day", "value": "2020-01-01", "allowed": ...}),
    ("prepare_queue", "queue_message_missing", in_queue("prepare_queue"), {"user_id": ...}),
    (
        "start_automation",
        "invalid_value",
        in_queue("start_automation", p_batch=0),
        {"field": "batch", "allowed": "1 to 1000"},
    ),
    (
        "take_lead",
        "lead_taken",
        partial(taken_by_another, function="take_lead"),
        {"lead_id": ..., "taken_by": ..., "taken_at": ..., "name": ...},
    ),
    (
        "release_lead",
        "lead_taken",
        partial(taken_by_another, function="release_lead"),
        {"lead_id": ..., "taken_by": ..., "taken_at": ...},
    ),
    ("release_lead", "lead_not_taken", on_lead("release_lead"), {"lead_id": ...}),
    (
        "export_queue",
        "invalid_value",
        in_queue("export_queue", p_limit=0),
        {"field": "limit", "allowed": "1 to 10000"},
    ),
    ("export_queue", "invalid_value", in_queue("export_queue", p_after="x"), {"field": "after"}),
    ("assign_message_seq", "already_exists", repeated_insert, {"client_generated_id": ..., "id": ...}),
    ("check_view", "invalid_value", within("member", "create_saved_view", p_name=" "), {"field": "name"}),
    (
        "check_view",
        "invalid_value",
        within("member", "create_saved_view", p_name="x", p_filters={"status": "gone"}),
        {"field": "status"},
    ),
    (
        "check_view",
        "field_unknown",
        within("member", "create_saved_view", p_name="x", p_filters={"unread": True}),
        {"field": "unread", "allowed": ["status", "assignee", "tag", "q"]},
    ),
    ("create_saved_view", "view_name_taken", a_view_name_twice, {"name": ...}),
    ("update_saved_view", "view_name_taken", a_view_renamed_to_another, {"name": ...}),
    ("update_saved_view", "field_unknown", changing_view(user_id="x"), {"field": "user_id", "allowed": ...}),
    ("update_saved_view", "invalid_value", changing_view(is_default="yes"), {"fields": ["is_default", "is_shared"]}),
    (
        "view_filter",
        "view_not_found",
        within("member", "list_threads", p_view_id=str(UUID(int=0))),
        {"view_id": str(UUID(int=0))},
    ),
    (
        "thread_conditions",
        "invalid_value",
        within("member", "list_threads", p_filter={"assignee": "somebody"}),
        {"field": "assignee"},
    ),
    (
        "thread_conditions",
        "invalid_value",
        within("member", "count_threads", p_filter={"unread": "no"}),
        {"field": "unread"},
    ),
    (
        "thread_conditions",
        "field_unknown",
        within("member", "list_threads", p_filter={"colour": "red"}),
        {"field": "colour", "allowed": ...},
    ),
    (
        "list_threads",
        "invalid_value",
        within("member", "list_threads", p_sort="colour"),
        {"field": "sort", "value": "colour", "allowed": ...},
    ),
    (
        "list_threads",
        "invalid_value",
        within("member", "list_threads", p_limit=201),
        {"field": "limit", "allowed": "1 to 200"},
    ),
    ("list_threads", "invalid_value", within("member", "list_threads", p_after="x"), {"field": "after"}),
    ("search_messages", "invalid_value", within("member", "search_messages", p_query=" "), {"field": "query"}),
    (
        "search_messages",
        "invalid_value",
        within("member", "search_messages", p_query="x", p_limit=0),
        {"field": "limit", "allowed": "1 to 200"},
    ),
    (
        "search_messages",
        "invalid_value",
        within("member", "search_messages", p_query="x", p_after="x"),
        {"field": "after"},
    ),
    (
        "update_threads",
        "too_many_ids",
        changing(lambda cast: cast.thread.id, *[lambda _: uuid4()] * 500),
        {"field": "thread_ids", "limit": 500},
    ),
    ("update_threads", "field_unknown", changing(colour="red"), {"field": "colour", "allowed": ...}),
    ("update_threads", "invalid_value", changing(status="snoozed"), {"field": "status"}),
    (
        "update_threads",
        "invalid_value",
        changing(status="snoozed", snoozed_until="2020-01-01"),
        {"field": "snoozed_until"},
    ),
    ("update_threads", "invalid_value", changing(priority="red"), {"field": "priority"}),
    ("update_threads", "invalid_value", changing(add_tags=["x" * 101]), {"field": "add_tags"}),
    (
        "update_threads",
        "reference_not_found",
        changing(assignee_id=str(UUID(int=0))),
        {"field": "assignee_id", "id": str(UUID(int=0))},
    ),
    (
        "update_threads",
        "thread_not_found",
        changing(lambda cast: cast.thread.id, lambda cast: cast.foreign_thread.id),
        {"thread_id": ...},
    ),
    (
        "set_inbox_settings",
        "field_unknown",
        within("owner", "set_inbox_settings", p_patch={"colour": "red"}),
        {"field": "colour", "allowed": ...},
    ),
    (
        "set_inbox_settings",
        "invalid_value",
        within("owner", "set_inbox_settings", p_patch={"first_response_target_seconds": 0}),
        {"field": "first_response_target_seconds"},
    ),
    (
        "set_inbox_settings",
        "reference_not_found",
        within("owner", "set_inbox_settings", p_patch={"assignee_ids": [str(UUID(int=0))]}),
        {"field": "assignee_ids"},
    ),
    (
        "set_connection_language",
        "connection_not_found",
        calling("owner", "set_connection_language", p_connection_id=str(UUID(int=0)), p_language="german"),
        {"connection_id": str(UUID(int=0))},
    ),
    (
        "set_connection_language",
        "invalid_value",
        calling(
            "owner",
            "set_connection_language",
            p_connection_id=lambda cast: cast.number.connection.id,
            p_language="klingon",
        ),
        {"field": "language", "allowed": ...},
    ),
    (
        "keep_inbox",
        "invalid_value",
        calling("service", "keep_inbox", p_limit=0),
        {"field": "limit", "allowed": "1 to 10000"},
    ),
    ("send_whatsapp_content", "invalid_value", content("hologram", {"id": "1"}), {"field": "kind", "allowed": ...}),
    (
        "send_whatsapp_content",
        "invalid_value",
        content("audio", {"id": "1", "caption": "Audio has none"}),
        {"field": "content.caption", "kind": "audio"},
    ),
    *(
        ("send_whatsapp_content", "invalid_value", content(kind, value), {"field": field, "kind": kind})
        for kind, value, field in (
            ("image", None, "content"),
            ("image", {}, "content.id"),
            ("audio", {"id": "1", "voice": "yes"}, "content.voice"),
            ("interactive", {"type": "flow"}, "content.type"),
            ("interactive", {"type": "button", "body": {"text": "A"}}, "content.action"),
            ("interactive", {"type": "button", "body": "A", "action": {}}, "content.body"),
            ("interactive", {"type": "list", "body": {"text": "A"}, "action": {"buttons": "x"}}, "content.action"),
            ("location", [], "content"),
            ("location", {"latitude": "1", "longitude": 2}, "content.latitude"),
            ("contacts", {"name": {}}, "content.contacts"),
        )
    ),
    (
        "prepare_media_upload",
        "invalid_value",
        uploading(p_mime_type="application/x-msdownload"),
        {"field": "mime_type", "allowed": ...},
    ),
    (
        "prepare_media_upload",
        "invalid_value",
        uploading(p_bytes=5 * 2**20 + 1),
        {"field": "bytes", "kind": "image", "limit": 5 * 2**20},
    ),
    (
        "get_connection_token",
        "connection_not_found",
        calling("service", "get_connection_token", p_connection_id=str(UUID(int=0))),
        {"connection_id": str(UUID(int=0))},
    ),
    ("quoting", "message_not_found", sending(p_quoted_id=str(UUID(int=0))), {"message_id": str(UUID(int=0))}),
    ("whatsapp_target", "message_not_found", reacting_to_what_has_not_left, {"message_id": ...}),
    (
        "react_to_whatsapp_message",
        "invalid_value",
        calling(
            "member",
            "react_to_whatsapp_message",
            p_message_id=lambda cast: cast.rows["wa_messages"]["id"],
            p_emoji="a whole sentence",
            p_idempotency_key="k",
        ),
        {"field": "emoji"},
    ),
    ("send_whatsapp_read_receipt", "invalid_value", reading_ones_own_message, {"field": "message_id"}),
    (
        "save_canned_response",
        "invalid_value",
        within("member", "save_canned_response", p_shortcut="Not One!", p_body="x"),
        {"field": "shortcut"},
    ),
    (
        "save_canned_response",
        "invalid_value",
        within("member", "save_canned_response", p_shortcut="x", p_body=" "),
        {"field": "body"},
    ),
    (
        "render_canned_response",
        "canned_response_not_found",
        calling("member", "render_canned_response", p_thread_id=lambda cast: cast.thread.id, p_shortcut="none"),
        {"shortcut": "none"},
    ),
    (
        "render_canned_response",
        "invalid_value",
        partial(rendering, body="Is {contact.email} right?"),
        {"field": "contact"},
    ),
    (
        "render_canned_response",
        "body_too_long",
        an_answer_that_grows_too_long,
        {"field": "body", "length": ..., "limit": 4096},
    ),
    (
        "check_template_variables",
        "template_variables_invalid",
        templating({}),
        {"problems": ["body is missing"], "variables": {"body": ["1"]}},
    ),
    (
        "check_template_variables",
        "invalid_value",
        templating(components=Jsonb([{"type": "LIMITED_TIME_OFFER"}])),
        {"field": "template_id"},
    ),
    (
        "sendable_template",
        "template_not_approved",
        templating(status="PAUSED"),
        {
            "template_id": ...,
            "status": "PAUSED",
            "reason": None,
        },
    ),
    (
        "sendable_template",
        "template_not_found",
        calling(
            "member",
            "send_whatsapp_template",
            p_thread_id=lambda cast: cast.thread.id,
            p_template_id=str(UUID(int=0)),
            p_variables={},
            p_idempotency_key="k",
        ),
        {"template_id": str(UUID(int=0))},
    ),
    ("send_whatsapp_template", "template_not_found", templating(waba_id="1"), {"template_id": ...}),
    ("send_whatsapp_template", "recipient_opted_out", marketing_to_who_wants_none, {"contact_id": ...}),
    ("bulk_template", "invalid_value", to_many(p_limit=0), {"field": "limit", "allowed": "1 to 10000"}),
    (
        "send_template_to_threads",
        "invalid_value",
        to_many(p_idempotency_key="k" * 151),
        {"field": "idempotency_key"},
    ),
    ("sync_templates", "workspace_not_found", templates_of_no_workspace, {"workspace": ...}),
    (
        "open_thread",
        "connection_not_found",
        calling(
            "member",
            "open_thread",
            p_contact_id=lambda cast: cast.thread.contact_id,
            p_connection_id=lambda cast: cast.foreign_number.connection.id,
        ),
        {"connection_id": ...},
    ),
    (
        "open_thread",
        "connection_inactive",
        a_thread_by_a_paused_number,
        {"connection_id": ..., "status": "paused", "reason": None},
    ),
    ("invite_member", "invalid_value", inviting(p_email="nobody"), {"field": "email"}),
    ("invite_member", "invalid_value", inviting(p_role="king"), {"field": "role", "allowed": ...}),
    (
        "invite_member",
        "invalid_value",
        inviting(p_expires_in_seconds=1),
        {
            "field": "expires_in_seconds",
            "allowed": "60 to 2592000",
        },
    ),
    ("invite_member", "already_member", inviting(p_email=lambda cast: cast.emails["viewer"]), {"email": ...}),
    ("invite_member", "invitation_open", an_address_invited_twice, {"email": ...}),
    ("revoke_invitation", "invitation_used", revoking_what_was_accepted, {"invitation_id": ...}),
    (
        "accept_invitation",
        "invitation_not_found",
        calling("stranger", "accept_invitation", p_token="none"),
        {"field": "token"},
    ),
    (
        "accept_invitation",
        "invitation_for_another",
        partial(accepting, change="email = 'somebody@example.com'"),
        {"field": "token"},
    ),
    ("accept_invitation", "email_not_verified", accepting_unverified, {"field": "email"}),
    ("accept_invitation", "invitation_used", partial(accepting, change="accepted_at = now()"), {"invitation_id": ...}),
    (
        "accept_invitation",
        "invitation_revoked",
        partial(accepting, change="revoked_at = now()"),
        {
            "invitation_id": ...,
        },
    ),
    (
        "accept_invitation",
        "invitation_expired",
        partial(accepting, change="expires_at = now()"),
        {"invitation_id": ..., "expired_at": ...},
    ),
    (
        "accept_invitation",
        "workspace_suspended",
        accepting_where_all_is_suspended,
        {"workspace_id": ...},
    ),
    *(
        ("save_push_subscription", "push_endpoint_invalid", subscribing(p_endpoint=endpoint), {"field": "endpoint"})
        for endpoint in INSIDE
    ),
    ("save_push_subscription", "invalid_value", subscribing(p_p256dh="A" * 87), {"field": "p256dh"}),
    ("save_push_subscription", "invalid_value", subscribing(p_p256dh=None), {"field": "p256dh"}),
    ("save_push_subscription", "invalid_value", subscribing(p_auth="A" * 21), {"field": "auth"}),
    (
        "set_notification_settings",
        "invalid_value",
        calling("member", "set_notification_settings", p_patch=[]),
        {"field": "patch"},
    ),
    ("set_notification_settings", "field_unknown", preferring(user_id="me"), {"field": "user_id", "allowed": ...}),
    ("set_notification_settings", "invalid_value", preferring(notify_chats="some"), {"field": "notify_chats"}),
    ("set_notification_settings", "invalid_value", preferring(notify_inbound=None), {"field": "notify_inbound"}),
    ("set_notification_settings", "invalid_value", preferring(notify_follow_ups="yes"), {"field": "notify_follow_ups"}),
    ("set_notification_settings", "invalid_value", preferring(quiet_from="24:00"), {"field": "quiet_from"}),
    ("set_notification_settings", "invalid_value", preferring(quiet_from="22:00"), {"fields": ...}),
    (
        "set_notification_settings",
        "invalid_value",
        preferring(quiet_from="22:00", quiet_until="22:00"),
        {"fields": ...},
    ),
    ("assign_message_seq", "already_exists", repeated_insert, {"client_generated_id": ..., "id": ...}),
    (
        "require_chat_member",
        "chat_not_found",
        calling("member", "get_latest_seq", p_chat_id=str(UUID(int=0))),
        {"chat_id": str(UUID(int=0))},
    ),
    (
        "require_role",
        "role_required",
        in_chat("viewer", "set_typing"),
        {"role": "viewer", "needs": ["owner", "admin", "member"]},
    ),
    ("require_message_text", "body_required", writing(p_body=" \n "), {"field": "body"}),
    ("require_message_text", "body_required", on_message("member", "edit_message", p_body=None), {"field": "body"}),
    (
        "require_message_text",
        "body_too_long",
        writing(p_body="x" * 8001),
        {"field": "body", "length": 8001, "limit": 8000},
    ),
    ("require_message_parts", "invalid_value", writing(p_client_generated_id=None), {"field": "client_generated_id"}),
    (
        "require_message_parts",
        "invalid_value",
        writing(p_client_generated_id="x" * 101),
        {"field": "client_generated_id"},
    ),
    ("require_message_parts", "invalid_value", writing(p_attachments={"ref": "a"}), {"field": "attachments"}),
    ("require_message_parts", "invalid_value", writing(p_attachments=[{"name": "a"}]), {"field": "attachments"}),
    ("require_message_parts", "invalid_value", writing(p_attachments=[{"ref": "a"}] * 11), {"field": "attachments"}),
    (
        "require_message_parts",
        "invalid_value",
        writing(p_attachments=[{"ref": "a", "x": "x" * 20_000}]),
        {"field": "attachments"},
    ),
    (
        "require_message_parts",
        "reference_not_found",
        writing(p_mentions=[str(UUID(int=0))]),
        {"field": "mentions", "ids": [str(UUID(int=0))]},
    ),
    (
        "require_message_parts",
        "reference_not_found",
        writing(p_reply_to=10**6),
        {"field": "reply_to", "latest_seq": ...},
    ),
    ("require_message_parts", "reference_not_found", writing(p_reply_to=0), {"field": "reply_to", "latest_seq": ...}),
    (
        "add_to_chat",
        "reference_not_found",
        in_chat("member", "add_chat_members", p_user_ids=[str(UUID(int=0))]),
        {"field": "member_ids", "ids": [str(UUID(int=0))]},
    ),
    ("create_chat", "invalid_value", opening(p_kind="secret"), {"field": "kind", "allowed": ...}),
    ("create_chat", "invalid_value", opening(p_kind=None), {"field": "kind", "allowed": ...}),
    ("create_chat", "invalid_value", opening(p_title="  "), {"field": "title"}),
    ("create_chat", "invalid_value", opening(p_kind="direct"), {"field": "member_ids"}),
    ("add_chat_members", "chat_is_direct", in_direct_chat, {"chat_id": ...}),
    (
        "remove_chat_member",
        "role_required",
        in_chat("owner", "remove_chat_member", p_user_id=lambda cast: cast.user_ids["member"]),
        {"role": "member", "needs": ["owner"]},
    ),
    ("remove_chat_member", "reference_not_found", removing_nobody, {"field": "user_id", "ids": ...}),
    (
        "send_messages",
        "invalid_value",
        in_chat("member", "send_messages", p_messages={"body": "Hi"}),
        {"field": "messages"},
    ),
    (
        "send_messages",
        "invalid_value",
        in_chat("member", "send_messages", p_messages=[{}] * 101),
        {"field": "messages"},
    ),
    (
        "lock_own_message",
        "message_not_found",
        calling("member", "edit_message", p_message_id=str(UUID(int=0)), p_body="Hi"),
        {"message_id": str(UUID(int=0))},
    ),
    ("lock_own_message", "not_your_message", on_message("admin", "delete_message"), {"message_id": ...}),
    (
        "edit_message",
        "message_deleted",
        on_message("member", "edit_message", deleted=True, p_body="Hi"),
        {"message_id": ...},
    ),
    (
        "get_chat_messages",
        "invalid_value",
        in_chat("member", "get_chat_messages", p_limit=201),
        {"fields": ..., "allowed": "1 to 200"},
    ),
    (
        "get_chat_messages",
        "invalid_value",
        in_chat("member", "get_chat_messages", p_before_seq=1, p_after_seq=1),
        {"fields": ..., "allowed": "1 to 200"},
    ),
    (
        "get_chat_changes",
        "invalid_value",
        in_chat("member", "get_chat_changes", p_after_rev=-1),
        {"fields": ..., "allowed": "1 to 1000"},
    ),
    (
        "list_chats",
        "invalid_value",
        calling("member", "list_chats", p_limit=1001),
        {"field": "limit", "allowed": "1 to 1000"},
    ),
    (
        "require_operator",
        "operator_required",
        calling("owner", "list_operators"),
        {"needs": ["owner", "ops", "viewer"]},
    ),
    ("require_role", "workspace_suspended", in_a_suspended_workspace, {"workspace_id": ...}),
    (
        "add_operator",
        "account_not_found",
        calling("operator", "add_operator", p_email="nobody@example.com"),
        {"email": "nobody@example.com"},
    ),
    (
        "add_operator",
        "invalid_value",
        calling("operator", "add_operator", p_email="nobody@example.com", p_role="king"),
        {"field": "role", "allowed": ["owner", "ops", "viewer"]},
    ),
    (
        "remove_operator",
        "operator_not_found",
        calling("operator", "remove_operator", p_email=None),
        {"email": None},
    ),
    (
        "set_member_role",
        "invalid_value",
        calling("owner", "set_member_role", p_workspace_id=lambda cast: cast.workspace.id, p_user_id=None, p_role="x"),
        {"field": "role", "allowed": ...},
    ),
    (
        "set_member_role",
        "member_not_found",
        calling(
            "owner", "set_member_role", p_workspace_id=lambda cast: cast.workspace.id, p_user_id=None, p_role="viewer"
        ),
        {"workspace_id": ..., "user_id": None},
    ),
    ("set_member_role", "role_required", an_owner_made_by_an_admin, {"needs": ["owner"]}),
    (
        "remove_member",
        "member_not_found",
        calling("owner", "remove_member", p_workspace_id=lambda cast: cast.workspace.id, p_user_id=None),
        {"workspace_id": ..., "user_id": None},
    ),
    ("remove_member", "role_required", an_owner_removed_by_an_admin, {"needs": ["owner"]}),
    (
        "find_workspace",
        "workspace_not_found",
        calling("operator", "find_workspace", p_ref="no-such"),
        {"workspace": "no-such"},
    ),
    (
        "find_workspace",
        "workspace_not_found",
        calling("operator", "get_workspace_overview", p_workspace_id=None),
        {"workspace": None},
    ),
    (
        "check_entitlement_payload",
        "invalid_value",
        operating("set_workspace_entitlement_payload", p_key="k", p_enabled=True, p_payload=[1]),
        {"field": "payload"},
    ),
    *(
        (
            "check_entitlement_payload",
            "invalid_value",
            operating("set_workspace_entitlement_payload", p_key="k", p_enabled=True, p_payload={"limit": limit}),
            {"field": "payload.limit"},
        )
        for limit in ("many", True, -1, 1e300)
    ),
    (
        "check_entitlement_payload",
        "invalid_value",
        operating("set_workspace_entitlement_payload", p_key="k", p_enabled=True, p_payload={"period": "week"}),
        {"field": "payload.period", "allowed": ["day", "month", "year"]},
    ),
    *(
        (
            "write_entitlement",
            "invalid_value",
            operating(
                "set_workspace_entitlement_payload", p_key=key, p_enabled=enabled, p_payload=None, p_reason=reason
            ),
            {"fields": ["key", "enabled", "reason"]},
        )
        for key, enabled, reason in (
            (" ", True, None),
            (None, True, None),
            ("k" * 101, True, None),
            ("k", None, None),
            ("k", True, "r" * 501),
        )
    ),
    (
        "check_entitlement",
        "invalid_value",
        operating("check_entitlement", p_key="meta_hub", p_amount=-1),
        {"field": "amount"},
    ),
    ("use_entitlement", "invalid_value", operating("use_entitlement", p_key="x", p_amount=0), {"field": "amount"}),
    *(
        (
            "check_tokens",
            "invalid_value",
            operating("apply_workspace_token_delta", p_delta=delta, p_reason=reason),
            {"fields": ["amount", "reason"]},
        )
        for delta, reason in ((0, "r"), (None, "r"), (10**15 + 1, "r"), (1, None), (1, " "), (1, "r" * 501))
    ),
    (
        "refuse_reference",
        "reference_conflict",
        same_reference_twice,
        {"reference": ..., "amount": 2, "first_amount": 1},
    ),
    (
        "refuse_amount",
        "insufficient_tokens",
        operating("apply_workspace_token_delta", p_delta=-(10**12), p_reason="test"),
        {"balance": ..., "reserved": ..., "needed": 10**12},
    ),
    *(
        (
            "grant_workspace_tokens",
            "invalid_value",
            operating("grant_workspace_tokens", p_reason="r", **({"p_amount": 1} | given)),
            {"fields": ["amount", "priority", "expires_at"]},
        )
        for given in (
            {"p_amount": -1},
            {"p_priority": 101},
            {"p_priority": None},
            {"p_expires_at": "2020-01-01T00:00:00Z"},
            {"p_expires_at": "2100-01-01T00:00:00Z", "p_effective_at": "2100-01-01T00:00:00Z"},
        )
    ),
    (
        "reserve_workspace_tokens",
        "invalid_value",
        operating("reserve_workspace_tokens", p_amount=1, p_reason="r", p_seconds=0),
        {"fields": ["amount", "seconds"]},
    ),
    (
        "end_reservation",
        "reservation_not_found",
        calling("operator", "release_token_reservation", p_reservation_id=str(UUID(int=0))),
        {"reservation_id": str(UUID(int=0))},
    ),
    *(
        (
            "end_reservation",
            "invalid_value",
            calling(
                "operator",
                "settle_token_reservation",
                p_reservation_id=lambda cast: cast.settled_reservation,
                p_amount=amount,
            ),
            {"field": "amount", "reserved": 10},
        )
        for amount in (11, -1)
    ),
    (
        "end_reservation",
        "reservation_ended",
        settled_twice,
        {"reservation_id": ..., "status": "settled", "settled_amount": 1},
    ),
    (
        "settle_due_tokens",
        "invalid_value",
        calling("operator", "settle_due_tokens", p_limit=0),
        {"field": "limit", "allowed": "1 to 1000"},
    ),
    *(
        ("set_token_alerts", "invalid_value", operating("set_token_alerts", p_levels=levels), {"field": "levels"})
        for levels in (None, [-1], [None], [*range(21)])
    ),
    (
        "list_workspaces",
        "invalid_value",
        calling("operator", "list_workspaces", p_status="gone"),
        {"fields": ["limit", "status"]},
    ),
    (
        "set_workspace_status",
        "invalid_value",
        operating("set_workspace_status", p_status="gone"),
        {"fields": ["status", "reason"]},
    ),
    (
        "search_audit_log",
        "invalid_value",
        calling("operator", "search_audit_log", p_limit=1001),
        {"field": "limit", "allowed": "1 to 1000"},
    ),
    (
        "seal_audit_log",
        "invalid_value",
        calling("operator", "seal_audit_log", p_limit=0),
        {"field": "limit", "allowed": "1 to 10000"},
    ),
    (
        "verify_audit_log",
        "invalid_value",
        calling("operator", "verify_audit_log", p_limit=101),
        {"field": "limit", "allowed": "1 to 100"},
    ),
    ("create_workspace", "slug_taken", taken_slug, {"slug": ...}),
    (
        "create_workspace",
        "slug_invalid",
        calling("member", "create_workspace", p_slug=lambda _: f"a{str(uuid4())[1:]}", p_name="Mine"),
        {"field": "slug"},
    ),
    (
        "create_workspace",
        "slug_invalid",
        calling("member", "create_workspace", p_slug=None, p_name=""),
        {"field": "slug"},
    ),
    (
        "create_workspace",
        "slug_invalid",
        calling("member", "create_workspace", p_slug="Upper", p_name="Mine"),
        {"field": "slug"},
    ),
    (
        "create_workspace",
        "slug_invalid",
        calling("member", "create_workspace", p_slug="a", p_name="Mine"),
        {"field": "slug"},
    ),
    (
        "create_workspace",
        "invalid_value",
        calling("member", "create_workspace", p_slug=lambda _: f"w-{uuid4().hex}", p_name="  "),
        {"field": "name"},
    ),
    (
        "create_workspace",
        "invalid_value",
        calling("member", "create_workspace", p_slug=lambda _: f"w-{uuid4().hex}", p_name=None),
        {"field": "name"},
    ),
    (
        "resolve_workspace",
        "workspace_not_found",
        calling("member", "resolve_workspace", p_ref="no-such"),
        {"workspace": "no-such"},
    ),
    (
        "resolve_workspace",
        "workspace_not_found",
        calling("member", "resolve_workspace", p_ref=None),
        {"workspace": None},
    ),
    (
        "resolve_workspace",
        "workspace_not_found",
        calling("member", "resolve_workspace", p_ref="x" * 5000),
        {"workspace": "x" * 100},
    ),
    (
        "require_role",
        "contact_not_found",
        calling("member", "update_contact_status", p_contact_id=None, p_lead_status="new"),
        {"contact_id": None},
    ),
    (
        "require_role",
        "contact_not_found",
        calling("service", "update_contact_status", p_contact_id=None, p_lead_status="new"),
        {"contact_id": None},
    ),
    (
        "require_role",
        "role_required",
        calling(
            "viewer", "update_contact_status", p_contact_id=lambda cast: cast.thread.contact_id, p_lead_status="new"
        ),
        {"role": "viewer", "needs": ["owner", "admin", "member"]},
    ),
    (
        "checked_fields",
        "lead_status_invalid",
        calling(
            "member", "update_contact_status", p_contact_id=lambda cast: cast.thread.contact_id, p_lead_status="booked"
        ),
        {"field": "lead_status", "value": "booked", "allowed": ...},
    ),
    (
        "update_contact_status",
        "contact_not_found",
        gone_meanwhile("contacts", "update_contact_status", "p_contact_id", DELETED, p_lead_status="lost"),
        {"contact_id": ...},
    ),
    (
        "update_contact",
        "contact_not_found",
        gone_meanwhile("contacts", "update_contact", "p_contact_id", DELETED, p_patch={"name": "Ada"}),
        {"contact_id": ...},
    ),
    (
        "delete_contact",
        "contact_not_found",
        gone_meanwhile("contacts", "delete_contact", "p_contact_id", DELETED),
        {"contact_id": ...},
    ),
    (
        "update_candidate",
        "candidate_not_found",
        gone_meanwhile("tma_candidates", "update_candidate", "p_candidate_id", REMOVED, p_patch={"name": "Ada"}),
        {"candidate_id": ...},
    ),
    ("get_contact", "contact_not_found", calling("member", "get_contact", p_contact_id=None), {"contact_id": None}),
    (
        "get_candidate",
        "candidate_not_found",
        calling("member", "get_candidate", p_candidate_id=None),
        {"candidate_id": None},
    ),
    (
        "dismiss_contact_duplicate",
        "contact_not_found",
        of_contact("dismiss_contact_duplicate", p_duplicate_id=None),
        {"contact_id": ...},
    ),
    (
        "dismiss_contact_duplicate",
        "invalid_value",
        of_contact("dismiss_contact_duplicate", p_duplicate_id=lambda cast: cast.thread.contact_id),
        {"field": "duplicate_id"},
    ),
    ("merge_contacts", "contact_not_found", of_contact("merge_contacts", p_duplicate_id=None), {"contact_id": ...}),
    (
        "merge_contacts",
        "invalid_value",
        of_contact("merge_contacts", p_duplicate_id=lambda cast: cast.thread.contact_id),
        {"field": "duplicate_id"},
    ),
    ("checked_fields", "invalid_value", of_contact("update_contact", p_patch=[]), {"field": "fields"}),
    ("checked_fields", "invalid_value", of_contact("update_contact", p_patch={"tags": 1}), {"field": "tags"}),
    ("checked_fields", "invalid_value", of_contact("update_contact", p_patch={"source": None}), {"field": "source"}),
    (
        "checked_fields",
        "invalid_value",
        of_contact("update_contact", p_patch={"phone": "0170"}),
        {"field": "phone", "value": "0170"},
    ),
    (
        "checked_fields",
        "field_unknown",
        of_contact("update_contact", p_patch={"nmae": "Ada"}),
        {"field": "nmae", "allowed": ...},
    ),
    ("checked_person", "invalid_value", in_workspace("create_contact", p_fields={}), {"field": "name"}),
    ("checked_person", "invalid_value", in_workspace("create_candidate", p_fields={}), {"field": "name"}),
    (
        "refuse_contact",
        "contact_exists",
        partial(same_email_twice, function="create_contact"),
        {"field": "email", "contact_id": ...},
    ),
    (
        "refuse_contact",
        "invalid_value",
        of_contact("update_contact", p_patch={"assigned_to": str(UUID(int=0))}),
        {"field": "assigned_to"},
    ),
    (
        "refuse_candidate",
        "candidate_exists",
        partial(same_email_twice, function="create_candidate"),
        {"field": "email", "candidate_id": ...},
    ),
    (
        "refuse_candidate",
        "invalid_value",
        in_workspace("create_candidate", p_fields={"name": "Ada", "status_tags": ["D"]}),
        {"field": "status_tags", "allowed": ["A", "B", "C"]},
    ),
    ("add_contact_note", "invalid_value", of_contact("add_contact_note", p_body=" "), {"field": "body"}),
    ("update_contact_note", "invalid_value", emptied_note, {"field": "body"}),
    (
        "log_call",
        "invalid_value",
        of_contact("log_call", p_outcome="chatted"),
        {"field": "outcome", "value": "chatted", "allowed": ...},
    ),
    (
        "log_call",
        "invalid_value",
        of_contact("log_call", p_outcome="busy", p_duration_seconds=-1),
        {"field": "duration_seconds", "allowed": ...},
    ),
    ("log_call", "invalid_value", of_contact("log_call", p_outcome="busy", p_note="x" * 10001), {"field": "note"}),
    (
        "get_call_logs",
        "too_many_ids",
        calling("member", "get_call_logs", p_contact_ids=[str(UUID(int=0))] * 501),
        {"field": "contact_ids", "count": 501, "limit": 500},
    ),
    (
        "get_call_logs",
        "invalid_value",
        calling("member", "get_call_logs", p_contact_ids=[], p_limit=0),
        {"field": "limit", "allowed": ...},
    ),
    ("checked_settings", "invalid_value", of_contact("set_contact_settings", p_patch=[]), {"field": "patch"}),
    (
        "checked_settings",
        "field_unknown",
        of_contact("set_contact_settings", p_patch={"lead_status": "new"}),
        {"field": "lead_status", "allowed": ...},
    ),
    (
        "checked_settings",
        "invalid_value",
        of_contact("set_contact_settings", p_patch={"status": "A"}),
        {"field": "status", "value": "A", "allowed": ["hot", "working", "follow_up"]},
    ),
    *(
        (
            "checked_settings",
            "invalid_value",
            of_contact("set_contact_settings", p_patch={"follow_up_at": value}),
            {"field": "follow_up_at", "value": value},
        )
        for value in ("tomorrow at nine", "infinity", "1969-01-01T00:00:00Z", "")
    ),
    (
        "checked_settings",
        "invalid_value",
        of_contact("set_contact_settings", p_patch={"follow_up_note": "x" * 2001}),
        {"field": "follow_up_note", "limit": 2000},
    ),
    (
        "follow_up_range",
        "invalid_value",
        calling("member", "list_follow_ups", p_due="someday"),
        {"field": "due", "value": "someday", "allowed": ...},
    ),
    (
        "list_follow_ups",
        "invalid_value",
        calling("member", "list_follow_ups", p_limit=0),
        {"field": "limit", "allowed": ...},
    ),
    ("list_follow_ups", "invalid_value", calling("member", "list_follow_ups", p_after="x"), {"field": "after"}),
    (
        "move_follow_up",
        "follow_up_not_found",
        calling("member", "complete_follow_up", p_id=str(UUID(int=0))),
        {"id": str(UUID(int=0))},
    ),
    (
        "reschedule_follow_up",
        "invalid_value",
        calling("member", "reschedule_follow_up", p_id=None, p_at="infinity"),
        {"field": "at"},
    ),
    (
        "snooze_follow_up",
        "invalid_value",
        calling("member", "snooze_follow_up", p_id=None, p_seconds=0),
        {"field": "seconds", "allowed": ...},
    ),
    (
        "check_page",
        "invalid_value",
        in_workspace("list_contacts", p_sort="phone"),
        {"field": "sort", "value": "phone", "allowed": ["created_at", "name"]},
    ),
    ("check_page", "invalid_value", in_workspace("list_contacts", p_limit=201), {"field": "limit", "allowed": ...}),
    ("check_page", "invalid_value", in_workspace("list_contacts", p_after="x"), {"field": "after"}),
    (
        "check_my_status",
        "invalid_value",
        in_workspace("list_contacts", p_my_status="cold"),
        {"field": "my_status", "value": "cold", "allowed": ["hot", "working", "follow_up", "none"]},
    ),
    (
        "list_contact_timeline",
        "contact_not_found",
        calling("member", "list_contact_timeline", p_contact_id=None),
        {"contact_id": None},
    ),
    (
        "list_contact_timeline",
        "invalid_value",
        of_contact("list_contact_timeline", p_limit=0),
        {"field": "limit", "allowed": ...},
    ),
    ("list_contact_timeline", "invalid_value", of_contact("list_contact_timeline", p_after="x"), {"field": "after"}),
    (
        "list_contact_duplicates",
        "invalid_value",
        in_workspace("list_contact_duplicates", p_limit=1001),
        {"field": "limit", "allowed": ...},
    ),
    ("check_import", "invalid_value", in_workspace("import_contacts", p_rows={}), {"field": "rows"}),
    (
        "check_import",
        "too_many_rows",
        in_workspace("import_candidates", p_rows=[{}] * 5001),
        {"field": "rows", "count": 5001, "limit": 5000},
    ),
    (
        "import_contacts",
        "try_again",
        partial(imported_at_once, table="contacts", function="import_contacts"),
        {},
    ),
    (
        "import_candidates",
        "try_again",
        partial(imported_at_once, table="tma_candidates", function="import_candidates"),
        {},
    ),
    (
        "resolve_connection_for_webhook",
        "connection_not_found",
        calling("service", "resolve_connection_for_webhook", p_phone_number_id="0"),
        {"phone_number_id": "0"},
    ),
    (
        "resolve_connection_for_thread",
        "thread_not_found",
        calling("service", "resolve_connection_for_thread", p_thread_id=str(UUID(int=0))),
        {"thread_id": ...},
    ),
    (
        "resolve_connection_for_thread",
        "connection_not_found",
        to_thread("resolve_connection_for_thread", deleted_at="now()"),
        {"thread_id": ...},
    ),
    (
        "resolve_connection_for_thread",
        "connection_inactive",
        to_thread("resolve_connection_for_thread", status="'paused'", status_reason="'190'"),
        {"thread_id": ..., "connection_id": ..., "status": "paused", "reason": "190"},
    ),
    ("connect_wa_phone_number", "phone_number_taken", taken_number, {"phone_number_id": ...}),
    (
        "connect_wa_phone_number",
        "workspace_not_found",
        connecting(p_workspace_id=str(UUID(int=0))),
        {"workspace": str(UUID(int=0))},
    ),
    ("connect_wa_phone_number", "invalid_value", connecting(p_waba_id="abc"), {"fields": ...}),
    ("connect_wa_phone_number", "invalid_value", connecting(p_phone_number_id=None), {"fields": ...}),
    ("connect_wa_phone_number", "invalid_value", connecting(p_access_token_ciphertext=None), {"fields": ...}),
    ("connect_wa_phone_number", "invalid_value", connecting(p_meta_user_id="abc"), {"fields": ...}),
    (
        "disconnect_wa_phone_number",
        "connection_not_found",
        calling("service", "disconnect_wa_phone_number", p_connection_id=str(UUID(int=0))),
        {"connection_id": str(UUID(int=0))},
    ),
    (
        "start_meta_signup",
        "invalid_value",
        calling("owner", "start_meta_signup", p_workspace_id=lambda cast: cast.workspace.id, p_redirect_uri="/a/path"),
        {"field": "redirect_uri"},
    ),
    (
        "use_meta_signup_state",
        "signup_state_invalid",
        calling("service", "use_meta_signup_state", p_state="x", p_user_id=str(UUID(int=0))),
        {"field": "state"},
    ),
    ("use_meta_signup_state", "signup_state_invalid", partial(with_state, user="stranger"), {"field": "state"}),
    ("use_meta_signup_state", "signup_state_used", partial(with_state, change="used_at = now()"), {"field": "state"}),
    (
        "use_meta_signup_state",
        "signup_state_expired",
        partial(with_state, change="expires_at = now() - interval '1 second'"),
        {"expired_at": ...},
    ),
    ("use_meta_signup_state", "role_required", by_a_former_admin, {"role": "member", "needs": ["owner", "admin"]}),
    ("send_whatsapp_text", "body_required", sending(p_body=" \n\t "), {"field": "body"}),
    ("send_whatsapp_text", "body_required", sending(p_body=None), {"field": "body"}),
    (
        "send_whatsapp_text",
        "body_too_long",
        sending(p_body="x" * 4097),
        {"field": "body", "length": 4097, "limit": 4096},
    ),
    ("queue_whatsapp", "invalid_value", sending(p_idempotency_key="k" * 201), {"field": "idempotency_key"}),
    ("queue_whatsapp", "invalid_value", sending(p_idempotency_key=None), {"field": "idempotency_key"}),
    (
        "queue_whatsapp",
        "window_closed",
        to_thread("send_whatsapp_text", last_inbound_at="now() - interval '25 hours'"),
        {"thread_id": ..., "last_inbound_at": ..., "templates": []},
    ),
    (
        "queue_whatsapp",
        "window_closed",
        to_thread("send_whatsapp_text", last_inbound_at="null"),
        {"thread_id": ..., "last_inbound_at": None, "templates": []},
    ),
    ("queue_whatsapp", "recipient_missing", to_nobody, {"thread_id": ...}),
    ("queue_whatsapp", "idempotency_conflict", same_key_twice, {"idempotency_key": ...}),
    (
        "ingest_whatsapp_events",
        "invalid_value",
        calling("service", "ingest_whatsapp_events", p_events={"a": 1}),
        {"field": "p_events"},
    ),
    (
        "claim_outbox",
        "invalid_value",
        calling("service", "claim_outbox", p_limit=0, p_worker="w"),
        {"field": "p_limit", "allowed": "1 to 1000"},
    ),
    (
        "claim_outbox",
        "invalid_value",
        calling("service", "claim_outbox", p_limit=1, p_worker=""),
        {"field": "p_worker"},
    ),
    (
        "fail_outbox",
        "invalid_value",
        calling("service", "fail_outbox", p_token=1, p_failures=[{"id": str(UUID(int=0)), "action": "explode"}]),
        {"field": "action", "allowed": ...},
    ),
    (
        "enqueue_outbox",
        "invalid_value",
        calling(
            "service",
            "enqueue_outbox",
            p_workspace_id=lambda cast: cast.workspace.id,
            p_channel="web_push",
            p_recipients=["a"],
            p_payloads=[],
            p_idempotency_keys=["k"],
        ),
        {"fields": ...},
    ),
    ("enqueue_outbox", "idempotency_conflict", another_message_with_the_key, {"idempotency_key": ...}),
    (
        "find_outbox_message",
        "outbox_message_not_found",
        calling("service", "find_outbox_message", p_id=str(UUID(int=0))),
        {"id": str(UUID(int=0))},
    ),
    (
        "list_outbox",
        "invalid_value",
        calling("service", "list_outbox", p_status="sent"),
        {"fields": ..., "allowed": ...},
    ),
    (
        "retry_outbox",
        "invalid_value",
        calling("service", "retry_outbox", p_ids=[], p_spread_seconds=-1),
        {"field": "p_spread_seconds", "allowed": "0 to 86400"},
    ),
    (
        "purge_outbox",
        "invalid_value",
        calling("service", "purge_outbox", p_status="sent"),
        {"fields": ..., "allowed": ...},
    ),
    (
        "pause_connection",
        "connection_not_found",
        calling("service", "pause_connection", p_connection_id=str(UUID(int=0))),
        {"connection_id": str(UUID(int=0))},
    ),
    (
        "resume_connection",
        "connection_not_found",
        calling("service", "resume_connection", p_connection_id=str(UUID(int=0))),
        {"connection_id": str(UUID(int=0))},
    ),
    (
        "take_rate_limit_slot",
        "invalid_value",
        calling("service", "take_rate_limit_slot", p_key="k", p_cap=0, p_window_seconds=1),
        {"fields": ...},
    ),
    (
        "extend_lease",
        "invalid_value",
        calling("service", "extend_lease", p_token=1, p_seconds=601),
        {"field": "p_seconds", "allowed": "1 to 600"},
    ),
    ("extend_lease", "lease_lost", calling("service", "extend_lease", p_token=0, p_seconds=1), {"token": 0}),
    (
        "replay_whatsapp_events",
        "invalid_value",
        calling("service", "replay_whatsapp_events", p_events={"a": 1}),
        {"field": "p_events"},
    ),
    (
        "replay_orphan_events",
        "connection_not_found",
        calling("service", "replay_orphan_events", p_phone_number_id="0"),
        {"phone_number_id": "0"},
    ),
    (
        "replay_orphan_events",
        "connection_not_found",
        calling("service", "replay_orphan_events", p_phone_number_id=None),
        {"phone_number_id": None},
    ),
]


@pytest.mark.parametrize(
    ("function", "code", "provoke", "detail"), PROVOKED, ids=lambda value: value if isinstance(value, str) else ""
)
async def test_a_mistake_is_answered_with_its_code(
    function: str, code: str, provoke: Provocation, detail: dict[str, Any], cast: Cast
) -> None:
    answer = await provoke(cast)

    body = answer.json()
    assert (body["message"], answer.status_code) == (code, REGISTRY[code].status), f"{function}: {answer.text}"
    assert body["code"] == f"PT{REGISTRY[code].status}"
    assert body["hint"].endswith("."), "it says what to do"
    given = json.loads(body["details"])
    assert given.keys() == detail.keys()
    assert {name: value for name, value in given.items() if detail[name] is not ...} == {
        name: value for name, value in detail.items() if value is not ...
    }


# Raised where no API call gets; the tests that provoke them are named.
ELSEWHERE = {
    ("require_user", "not_authenticated"): "test_a_session_without_a_user_is_refused",
    ("refuse_change", "append_only"): "test_append_only_rows_stay_as_they_are",
    ("refuse_removal", "append_only"): "tests/sql/test_operators.py",
    ("refuse_ledger_removal", "append_only"): "tests/sql/test_lead_queue.py",
    ("keep_an_owner", "last_owner"): "tests/sql/test_workspaces.py",
}


async def test_every_raise_is_provoked(cast: Cast) -> None:
    bodies = await cast.world.rows(
        "select proname, prosrc from pg_proc where pronamespace in ('public'::regnamespace, 'private'::regnamespace)"
    )
    raised = {(name, code) for name, body in bodies for _, code in RAISE.findall(body)}
    provoked = {
        (function, code)
        for function, code, _, _ in PROVOKED
        if function != "require_role" or code in ("role_required", "workspace_suspended")
    }
    assert raised == provoked | ELSEWHERE.keys()


@pytest.mark.parametrize(
    "call",
    [
        "public.resolve_workspace('acme')",
        "public.create_workspace('acme', 'Acme')",
        "public.update_contact_status(gen_random_uuid(), 'new')",
        "public.list_contacts(gen_random_uuid())",
        "public.get_contact(gen_random_uuid())",
        "public.set_contact_settings(gen_random_uuid(), '{}')",
        "public.list_candidates(gen_random_uuid())",
        "public.get_candidate(gen_random_uuid())",
        "public.set_tma_settings(gen_random_uuid(), '{}')",
        "public.list_follow_ups()",
        "public.count_follow_ups()",
        "public.complete_follow_up(gen_random_uuid())",
        "public.reschedule_follow_up(gen_random_uuid(), now())",
        "public.snooze_follow_up(gen_random_uuid(), 60)",
        "public.get_call_logs('{}')",
        "public.list_contact_timeline(gen_random_uuid())",
        "public.send_whatsapp_text(gen_random_uuid(), 'Hi', 'key')",
        "public.start_meta_signup(gen_random_uuid())",
        "public.create_chat(gen_random_uuid(), 'group', 'Sales')",
        "public.send_message(gen_random_uuid(), 'Hi', 'id')",
        "public.list_chats()",
        "public.get_unread_counts()",
        "public.join_chat(gen_random_uuid())",
        "public.delete_message(gen_random_uuid())",
        "public.disconnect_wa_phone_number(gen_random_uuid())",
        "public.set_queue_settings(gen_random_uuid())",
        "public.create_leads(gen_random_uuid(), '{}')",
        "public.update_lead(gen_random_uuid(), '{}')",
        "public.assign_leads(gen_random_uuid())",
        "public.prepare_queue(gen_random_uuid())",
        "public.start_automation(gen_random_uuid())",
        "public.take_lead(gen_random_uuid())",
        "public.release_lead(gen_random_uuid())",
        "public.export_queue(gen_random_uuid())",
        "public.get_queue_status(gen_random_uuid())",
        "public.list_operators()",
        "public.check_entitlement(gen_random_uuid(), 'meta_hub')",
        "public.set_member_role(gen_random_uuid(), gen_random_uuid(), 'owner')",
        "public.list_saved_views(gen_random_uuid())",
        "public.create_saved_view(gen_random_uuid(), 'Mine')",
        "public.update_saved_view(gen_random_uuid(), '{}')",
        "public.list_threads(gen_random_uuid())",
        "public.search_messages(gen_random_uuid(), 'x')",
        "public.update_threads(array[gen_random_uuid()], '{}')",
        "public.mark_thread_read(gen_random_uuid())",
        "public.mark_thread_unread(gen_random_uuid())",
        "public.open_thread_chat(gen_random_uuid())",
        "public.react_to_whatsapp_message(gen_random_uuid(), 'x', 'key')",
        "public.preview_template_send(gen_random_uuid(), gen_random_uuid())",
        "public.invite_member(gen_random_uuid(), 'a@example.com')",
        "public.accept_invitation('token')",
        "public.save_push_subscription('https://push.example.com/x', '', '')",
        "public.remove_push_subscription('https://push.example.com/x')",
        "public.set_notification_settings()",
        "public.get_badge()",
    ],
)
def test_a_session_without_a_user_is_refused(call: str, rolled_back: RolledBack) -> None:
    """A token without a subject never gets as far as a row."""
    with rolled_back() as connection:
        connection.execute("set local role authenticated")
        connection.execute("""select set_config('request.jwt.claims', '{"role": "authenticated"}', true)""")

        with pytest.raises(psycopg.DatabaseError) as error:
            connection.execute(f"select {call}".encode())

    assert (error.value.sqlstate, error.value.diag.message_primary) == ("PT401", "not_authenticated")


@pytest.mark.parametrize(
    "statement", ["update public.planted set id = 2", "delete from public.planted", "truncate public.planted"]
)
def test_append_only_rows_stay_as_they_are(statement: str, rolled_back: RolledBack) -> None:
    """The trigger that ledgers and audit logs use stops even the tables' owner."""
    with rolled_back() as connection:
        connection.execute(
            """
            create table public.planted (id integer primary key);
            insert into public.planted values (1);
            create trigger planted_refuse_change before update or delete or truncate on public.planted
              for each statement execute function private.refuse_change();
            """
        )

        with pytest.raises(psycopg.DatabaseError) as error:
            connection.execute(statement.encode())

    assert (error.value.sqlstate, error.value.diag.message_primary) == ("PT409", "append_only")
    assert json.loads(error.value.diag.message_detail or "") == {"table": "planted"}
