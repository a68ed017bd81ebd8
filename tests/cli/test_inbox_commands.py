"""`qero inbox`, `qero templates` and `qero workspaces` as people and scripts start them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from qero import Settings, Threads
from qero.local.graph import text_webhook
from qero.models.workspace import Workspace
from tests.cli.test_contacts_commands import run
from tests.support import User, World, digits
from tests.worker.support import environment


@pytest.fixture
async def olga(world: World) -> User:
    return await world.user("olga")


@pytest.fixture
async def workspace(world: World, olga: User) -> Workspace:
    return await world.workspace(bob="member")


@pytest.fixture
def env(settings: Settings, olga: User) -> dict[str, str]:
    return {**environment(settings), "QERO_ACCESS_TOKEN": olga.access_token}


async def test_a_conversation_is_worked_through(
    tmp_path: Path, env: dict[str, str], world: World, workspace: Workspace, olga: User
) -> None:
    number = await world.number(workspace)
    sender = f"+{digits(11)}"
    await world.receive(text_webhook(number.at_meta, sender, "Where is my parcel?", name="Ada"))
    thread = await world.thread_of(number, sender)

    async def inbox(*arguments: object, code: int = 0) -> str:
        ended = await run(tmp_path, env, "inbox", *arguments)
        assert ended.code == code, ended.err + ended.out
        return str(ended.out if code == 0 else ended.err)

    async def as_json(*arguments: object) -> Any:
        return json.loads(await inbox(*arguments, "--json"))

    listed = await inbox("list", workspace.slug, "--status", "open")
    assert "Ada" in listed
    assert str(thread.id) in listed
    assert (await inbox("list", workspace.slug, "--search", "parcel", "--count")).strip() == "1"
    assert "«parcel»" in await inbox("search", workspace.slug, "parcel")

    shown = await inbox("show", thread.id)
    assert "Where is my parcel?" in shown
    assert "No thread is like that." in await inbox("list", workspace.slug, "--unread")

    assert "1 assigned." in await inbox("assign", thread.id, "--to", (await world.user("bob")).email)
    assert "member_not_found" in await inbox("assign", thread.id, "--to", "nobody@example.com", code=1)
    await inbox("tag", thread.id, "--add", "parcel")
    await inbox("priority", thread.id, "--to", "high")
    await inbox("canned", "save", workspace.slug, "hi", "Hi {contact.first_name}!")
    assert "hi: Hi {contact.first_name}!" in await inbox("canned", "list", workspace.slug)
    assert (await as_json("reply", thread.id, "--canned", "hi"))["body"] == "Hi Ada!"
    assert "Queued" in await inbox("reply", thread.id, "On its way", "--key", "k1")
    messages = await Threads(olga.client).messages(thread)
    [asked] = [message for message in messages if message.body == "Where is my parcel?"]
    quoting = await as_json("reply", thread.id, "Fine?", "--button", "Yes", "--button", "n=No", "--quote", asked.id)
    assert (quoting["type"], quoting["context"]) == ("interactive", {"id": asked.wa_message_id})
    assert (await as_json("reply", thread.id, "Shop", "--place", "-1.9,30.1"))["body"] == "Shop"
    assert "invalid_value" in await inbox("reply", thread.id, "--place", "here", code=1)
    shown = await inbox("show", thread.id)
    assert "> Where is my parcel?" in shown
    assert "[interactive] Fine?" in shown
    await inbox("unread", thread.id)
    assert str(thread.id) in await inbox("list", workspace.slug, "--unread")
    assert "Noted" in await inbox("note", thread.id, "She is in a hurry")

    await inbox("views", "save", workspace.slug, "Parcels", "--tag", "parcel", "--default")
    assert [found["id"] for found in (await as_json("list", workspace.slug, "--view", "Parcels"))["items"]] == [
        str(thread.id)
    ]
    assert "view_name_taken" in await inbox("views", "save", workspace.slug, "Parcels", code=1)
    await inbox("views", "rename", workspace.slug, "Parcels", "Boxes")
    assert "Boxes" in await inbox("views", "list", workspace.slug)
    await inbox("views", "delete", workspace.slug, "Boxes")

    targets = ("--first-target", "90m", "--hours", "mon-tue 09:00-12:00", "--hours", "sat 10:00-12:00")
    assert "business hours: mon 09:00-12:00, tue 09:00-12:00, sat" in await inbox("settings", workspace.slug, *targets)
    changed = await as_json("settings", workspace.slug, "--policy", "by_load", "--hours", "always", "--limit", "5")
    assert (changed["first_response_target_seconds"], changed["assignment_limit"]) == (5400, 5)
    assert changed["business_hours"] is None
    assert "invalid_value" in await inbox("settings", workspace.slug, "--hours", "weekdays 9-5", code=1)

    [snoozed] = await as_json("snooze", thread.id, "--until", "2h")
    assert snoozed["status"] == "snoozed"
    await inbox("reopen", thread.id)
    assert "1 closed." in await inbox("close", thread.id)
    assert (await as_json("counts", workspace.slug))["closed"] == 1
    [message, *_] = await Threads(olga.client).messages(thread)
    assert message.body == "Shop"


async def test_a_workspace_is_made_and_people_are_invited(tmp_path: Path, env: dict[str, str], world: World) -> None:
    slug = f"w-{digits(10)}"
    nina = await world.user("nina")

    async def command(*arguments: object, env: dict[str, str] = env, code: int = 0) -> Any:
        ended = await run(tmp_path, env, "workspaces", *arguments, "--json")
        assert ended.code == code, ended.err + ended.out
        return json.loads(ended.out or ended.err)

    await command("create", slug, "Acme")
    assert slug in {workspace["slug"] for workspace in await command("list")}
    invitation = await command("invite", slug, nina.email, "--role", "admin", "--expires", "1h")
    member = await command("join", invitation["token"], env={**env, "QERO_ACCESS_TOKEN": nina.access_token})
    assert member["role"] == "admin"
    assert [listed["accepted_by"] for listed in await command("invitations", slug)] == [str(nina.id)]
    assert (await command("set-role", slug, nina.email, "viewer"))["role"] == "viewer"
    assert {listed["role"] for listed in await command("members", slug)} == {"owner", "viewer"}
    await command("remove", slug, nina.email)
    refused = await command("remove", slug, (await world.user("olga")).email, code=1)
    assert refused["error"]["code"] == "last_owner"
    other = await command("invite", slug, nina.email)
    assert (await command("revoke", other["id"]))["revoked_at"]


async def test_templates_are_listed_and_sent_after_asking(
    tmp_path: Path, env: dict[str, str], world: World, workspace: Workspace
) -> None:
    number = await world.number(workspace)
    sender = f"+{digits(11)}"
    await world.receive(text_webhook(number.at_meta, sender, "Hello", name="Ada"))
    template_id = await world.scalar(
        """
        insert into wa_templates (workspace_id, waba_id, template_id, name, language, status, category, components)
        values (%s, %s, '1', 'hello', 'en', 'APPROVED', 'UTILITY', '[{"type": "BODY", "text": "Hi {{1}}"}]')
        returning id
        """,
        workspace.id,
        number.connection.waba_id,
    )

    listed = await run(tmp_path, env, "templates", "list", workspace.slug)
    assert str(template_id) in listed.out
    arguments = ("templates", "send", workspace.slug, template_id, "--var", "1={contact.name}", "--key", "k")
    asked = await run(tmp_path, env, *arguments, answer="n\n")
    assert "1 of 1 threads would get it, as UTILITY." in asked.out
    assert "Hi Ada" in asked.out
    assert "queued" not in asked.out
    sent = await run(tmp_path, env, *arguments, answer="y\n")
    assert "1 queued, 0 were before." in sent.out
