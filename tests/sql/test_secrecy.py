"""What is somebody else's looks exactly like what doesn't exist: in statuses, bodies, counts, embeds and errors."""

from __future__ import annotations

from uuid import UUID, uuid4

import httpx
import pytest

from tests.sql.access import IDENTITIES, SECRET, Cast
from tests.support import digits

OUTSIDERS = ("stranger", "removed")


def anonymous(answer: httpx.Response, *secrets: object) -> tuple[int, str]:
    """Status and body with the ids that the caller sent taken out."""
    text = answer.text
    for secret in secrets:
        text = text.replace(str(secret), "<id>")
    return answer.status_code, text


@pytest.mark.parametrize("identity", OUTSIDERS)
async def test_rpcs_answer_alike_for_a_foreign_and_a_missing_row(identity: str, cast: Cast) -> None:
    missing = uuid4()
    thread, contact, workspace = cast.thread.id, cast.thread.contact_id, cast.workspace
    for function, foreign, arguments in (
        ("resolve_workspace", workspace.id, lambda ref: {"p_ref": str(ref)}),
        ("resolve_workspace", str(workspace.id).upper(), lambda ref: {"p_ref": str(ref).upper()}),
        ("resolve_connection_for_thread", thread, lambda ref: {"p_thread_id": ref}),
        (
            "send_whatsapp_text",
            thread,
            lambda ref: {"p_thread_id": ref, "p_body": "Hi", "p_idempotency_key": "key"},
        ),
        # What is wrong with the rest of the request tells as little.
        ("send_whatsapp_text", thread, lambda ref: {"p_thread_id": ref, "p_body": "", "p_idempotency_key": "key"}),
        ("update_contact_status", contact, lambda ref: {"p_contact_id": ref, "p_lead_status": "engaged"}),
        ("get_contact", contact, lambda ref: {"p_contact_id": ref}),
        ("update_contact", contact, lambda ref: {"p_contact_id": ref, "p_patch": {"nmae": 1}}),
        ("delete_contact", contact, lambda ref: {"p_contact_id": ref}),
        ("dismiss_contact_duplicate", contact, lambda ref: {"p_contact_id": ref, "p_duplicate_id": ref}),
        ("merge_contacts", contact, lambda ref: {"p_contact_id": ref, "p_duplicate_id": ref}),
        ("list_contact_timeline", contact, lambda ref: {"p_contact_id": ref, "p_limit": 0}),
        ("set_contact_settings", contact, lambda ref: {"p_contact_id": ref, "p_patch": {"status": "cold"}}),
        ("add_contact_note", contact, lambda ref: {"p_contact_id": ref, "p_body": ""}),
        ("log_call", contact, lambda ref: {"p_contact_id": ref, "p_outcome": "chatted"}),
        ("complete_follow_up", contact, lambda ref: {"p_id": ref}),
        ("create_contact", workspace.id, lambda ref: {"p_workspace_id": ref, "p_fields": []}),
        ("import_contacts", workspace.id, lambda ref: {"p_workspace_id": ref, "p_rows": {}}),
        ("list_contacts", workspace.id, lambda ref: {"p_workspace_id": ref}),
        ("list_contacts", workspace.id, lambda ref: {"p_workspace_id": ref, "p_search": "a"}),
        ("list_contacts", workspace.id, lambda ref: {"p_workspace_id": ref, "p_my_status": "hot"}),
        ("count_contacts", workspace.id, lambda ref: {"p_workspace_id": ref}),
        ("list_candidates", workspace.id, lambda ref: {"p_workspace_id": ref}),
        ("list_contact_duplicates", workspace.id, lambda ref: {"p_workspace_id": ref}),
        ("update_contact_status", contact, lambda ref: {"p_contact_id": ref, "p_lead_status": "no such status"}),
    ):
        first = await cast.rpc(identity, function, **arguments(foreign))
        second = await cast.rpc(identity, function, **arguments(missing))
        ids = (foreign, missing, str(missing).upper())
        assert anonymous(first, *ids) == anonymous(second, *ids), function
        assert first.status_code == 404, function
    first = await cast.rpc(identity, "resolve_workspace", p_ref=workspace.slug)
    second = await cast.rpc(identity, "resolve_workspace", p_ref="w-missing")
    assert anonymous(first, workspace.slug) == anonymous(second, "w-missing")
    assert first.json()["message"] == "workspace_not_found"


@pytest.mark.parametrize("identity", OUTSIDERS)
async def test_counts_leave_out_what_is_foreign(identity: str, cast: Cast) -> None:
    for table in (
        "contacts", "contact_identities", "contact_duplicates", "contact_notes", "contact_call_logs", "contact_events",
        "conversations", "tma_candidates", "user_contact_settings", "user_tma_settings",
        "wa_threads", "wa_messages", "wa_phone_numbers",
        "wa_templates", "meta_webhook_events", "outbox_messages",
    ):  # fmt: skip
        answer = await cast.request(
            identity, "HEAD", table, prefer="count=exact", workspace_id=f"eq.{cast.workspace.id}"
        )
        assert answer.headers["content-range"] == "*/0", table


async def test_the_same_count_shows_a_member_what_is_there(cast: Cast) -> None:
    answer = await cast.request(
        "viewer", "HEAD", "wa_threads", prefer="count=exact", workspace_id=f"eq.{cast.workspace.id}"
    )
    assert answer.headers["content-range"] == "0-0/1"


async def test_what_meta_sent_is_for_those_who_run_the_workspace(cast: Cast) -> None:
    for identity, seen in (("owner", True), ("admin", True), ("member", False), ("viewer", False), ("stranger", False)):
        answer = await cast.request(
            identity, "GET", "meta_webhook_events", select="raw", workspace_id=f"eq.{cast.workspace.id}"
        )
        assert (answer.status_code, "wamid" in answer.text) == (200, seen), identity


async def test_embeds_lead_to_nothing_foreign(cast: Cast) -> None:
    select = "id,contacts(id,contact_identities(value)),wa_messages(body),wa_phone_numbers(id)"
    mine = await cast.request("stranger", "GET", "wa_threads", select="id,workspace_id,wa_messages(id,workspace_id)")
    spaces = {row["workspace_id"] for thread in mine.json() for row in (thread, *thread["wa_messages"])}
    assert str(cast.foreign.id) in spaces
    assert str(cast.workspace.id) not in spaces
    seen = await cast.request("viewer", "GET", "wa_threads", select=select, workspace_id=f"eq.{cast.workspace.id}")
    assert seen.json()[0]["contacts"]["contact_identities"], "the same request shows a member what is there"
    for identity in OUTSIDERS:
        answer = await cast.request(
            identity, "GET", "wa_threads", select=select, workspace_id=f"eq.{cast.workspace.id}"
        )
        assert (answer.status_code, answer.json()) == (200, []), identity


async def test_no_answer_holds_a_secret(cast: Cast) -> None:
    """Only the worker's claim hands a ciphertext out, and only to the service."""
    for identity in IDENTITIES:
        for path in (
            "wa_phone_numbers?select=*",
            "wa_phone_numbers?select=*,wa_connection_secrets(*)",
            "wa_phone_numbers?select=access_token_ciphertext",
            "wa_threads?select=*,wa_phone_numbers(*)",
        ):
            answer = await cast.request(identity, "GET", path)
            assert SECRET not in answer.text, f"{identity} {path}"
        answer = await cast.rpc(identity, "resolve_connection_for_thread", p_thread_id=cast.thread.id)
        assert SECRET not in answer.text
        assert "ciphertext" not in answer.text
    sent = await cast.rpc(
        "member", "send_whatsapp_text", p_thread_id=cast.thread.id, p_body="Hello", p_idempotency_key=str(uuid4())
    )
    assert sent.status_code == 200
    assert SECRET not in sent.text
    claimed = await cast.rpc("service", "claim_outbox", p_limit=1000, p_worker="secrecy")
    assert SECRET in claimed.text, "the worker gets what it needs, so the searches above look for the right thing"


async def test_people_are_seen_by_their_colleagues_only(cast: Cast) -> None:
    async def seen_by(identity: str) -> set[UUID]:
        answer = await cast.request(identity, "GET", "profiles", select="id")
        return {UUID(row["id"]) for row in answer.json()}

    colleagues = await cast.world.rows(
        """
        select distinct theirs.user_id from workspace_memberships as mine
        join workspace_memberships as theirs using (workspace_id) where mine.user_id = %s
        """,
        cast.user_ids["viewer"],
    )
    assert {cast.user_ids[name] for name in ("owner", "admin", "member", "viewer")} <= {row[0] for row in colleagues}
    assert await seen_by("viewer") == {row[0] for row in colleagues}
    assert await seen_by("stranger") == {cast.user_ids["stranger"]}
    assert await seen_by("removed") == {cast.user_ids["removed"]}


async def test_refused_writes_tell_nothing_about_foreign_rows(cast: Cast) -> None:
    """A clash with a row of another workspace isn't even looked for."""
    phone = await cast.world.scalar("select phone from contacts where id = %s", cast.thread.contact_id)
    answers = set()
    for number in (phone, f"+{digits(11)}"):
        row = {
            "workspace_id": str(cast.workspace.id),
            "name": "Mallory",
            "phone": number,
            "created_by": str(cast.user_ids["stranger"]),
        }
        answers.add(anonymous(await cast.request("stranger", "POST", "contacts", row)))
    missing = {"workspace_id": str(uuid4()), "name": "Mallory", "created_by": str(cast.user_ids["stranger"])}
    answers.add(anonymous(await cast.request("stranger", "POST", "contacts", missing)))
    assert len(answers) == 1, answers
    [(status, text)] = answers
    assert (status, "42501" in text) == (403, True)


async def test_the_same_phone_in_two_workspaces_is_two_contacts(cast: Cast) -> None:
    phone = await cast.world.scalar("select phone from contacts where id = %s", cast.thread.contact_id)
    row = {
        "workspace_id": cast.foreign.id,
        "name": "Ada",
        "phone": phone,
        "created_by": cast.user_ids["stranger"],
    }
    assert (await cast.request("stranger", "POST", "contacts", row)).status_code == 201
    own = row | {"workspace_id": cast.workspace.id, "created_by": cast.user_ids["member"]}
    clash = await cast.request("member", "POST", "contacts", own)
    assert (clash.status_code, clash.json()["code"]) == (409, "23505")


async def test_only_colleagues_can_be_put_in_charge(cast: Cast) -> None:
    """A member of another workspace and nobody at all are refused alike."""
    answers = set()
    for somebody in (cast.user_ids["stranger"], cast.user_ids["removed"], uuid4()):
        row = {
            "workspace_id": cast.workspace.id,
            "name": "Ada",
            "assigned_to": somebody,
            "created_by": cast.user_ids["member"],
        }
        answers.add(anonymous(await cast.request("member", "POST", "contacts", row), somebody))
    [(status, text)] = answers
    assert (status, "23503" in text) == (409, True)


async def test_an_update_of_an_invisible_profile_changes_nothing(cast: Cast) -> None:
    await cast.request("stranger", "PATCH", "profiles", {"full_name": "Mallory"}, id=f"eq.{cast.user_ids['member']}")
    names = await cast.world.rows("select full_name from profiles where id = %s", cast.user_ids["member"])
    assert names == [("Member",)]
    refused = await cast.request(
        "member", "PATCH", "profiles", {"email": "x@example.com"}, id=f"eq.{cast.user_ids['member']}"
    )
    assert (refused.status_code, refused.json()["code"]) == (403, "42501")


async def test_a_contact_is_created_in_ones_own_name_only(cast: Cast) -> None:
    row = {"workspace_id": cast.workspace.id, "name": "Ada", "created_by": cast.user_ids["owner"]}
    answer = await cast.request("member", "POST", "contacts", row)
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")


async def test_deleted_contacts_are_gone_for_members(cast: Cast) -> None:
    [[contact_id]] = await cast.world.rows(
        "insert into contacts (workspace_id, name, deleted_at) values (%s, 'Gone', now()) returning id",
        cast.workspace.id,
    )
    assert (await cast.request("owner", "GET", "contacts", id=f"eq.{contact_id}")).json() == []
    answer = await cast.rpc("owner", "update_contact_status", p_contact_id=contact_id, p_lead_status="lost")
    missing = await cast.rpc("owner", "update_contact_status", p_contact_id=uuid4(), p_lead_status="lost")
    assert answer.status_code == missing.status_code == 404
    assert answer.json()["message"] == "contact_not_found"
