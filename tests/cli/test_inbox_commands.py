"""`qero inbox`, `qero templates` and `qero workspaces` as people and scripts start them."""

from __future__ import annotations

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from qero import Outbox, Settings, Threads
from qero.clients.graph import GraphClient
from qero.local.graph import GraphStandIn, text_webhook
from qero.models.whatsapp import Thread
from qero.models.workspace import Workspace
from qero.worker import WhatsAppChannel, Worker
from tests.cli.test_contacts_commands import run
from tests.http.office import expired
from tests.support import EMPTY_OUTBOX, User, World, digits
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


@pytest.fixture
async def thread(world: World, workspace: Workspace, graph: GraphStandIn) -> Thread:
    """Of a number that the stand-in for Graph knows."""
    number = await world.number(workspace)
    graph.add_number(number.at_meta)
    return await world.thread(number)


async def outbox_of(world: World, thread: Thread) -> Any:
    return await world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id)


@pytest.mark.parametrize(
    ("name", "size", "kind", "mime_type", "caption"),
    [
        ("Ada's picture.PNG", 5 * 2**20, "image", "image/png", "Look"),
        ("report 2026.xlsx", 17 * 2**20, "document",
         "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "Your report"),
        ("clip.3gp", 1000, "video", "video/3gpp", None),
        ("voice.opus", 1000, "audio", "audio/ogg; codecs=opus", None),
        ("sticker.webp", 1000, "sticker", "image/webp", None),
    ],
)  # fmt: skip
async def test_a_file_of_this_machine_reaches_the_customer_as_it_is(
    tmp_path: Path, env: dict[str, str], world: World, thread: Thread, graph: GraphStandIn,
    name: str, size: int, kind: str, mime_type: str, caption: str | None,
) -> None:  # fmt: skip
    await world.rows(EMPTY_OUTBOX)
    content = secrets.token_bytes(size)
    (tmp_path / name).write_bytes(content)
    arguments = (thread.id, *([caption] if caption else []), "--file", name, "--json")

    ended = await run(tmp_path, {**env, "META_GRAPH_URL": graph.url}, "inbox", "reply", *arguments)
    client = GraphClient(world.clients.http, base_url=graph.url, version=world.settings.graph_version)
    await Worker(Outbox(world.service), {"whatsapp": WhatsAppChannel(client, world.secrets)}).run_once()

    assert ended.code == 0, ended.err
    shown = json.loads(ended.out)
    assert (shown["type"], shown["status"]) == (kind, "pending")
    [file] = graph.uploaded
    assert (file.mime_type, file.filename, file.content) == (mime_type, name, content)
    [sent] = graph.sent
    described = {"caption": caption} if caption else {}
    named = {"filename": name} if kind == "document" else {}
    assert sent.payload[kind] == {"id": file.id, **described, **named}
    assert sent.phone_number_id == file.phone_number_id


async def test_a_file_is_sent_by_who_may_and_by_nobody_else(
    tmp_path: Path, env: dict[str, str], world: World, workspace: Workspace, thread: Thread, graph: GraphStandIn
) -> None:
    await world.workspace(owner="mallory")
    bob, vera, mallory = await world.user("bob"), await world.user("vera"), await world.user("mallory")
    row = {"workspace_id": str(workspace.id), "user_id": str(vera.id), "role": "viewer"}
    await world.service.table("workspace_memberships").insert(row).execute()
    (tmp_path / "a.png").write_bytes(b"x")

    async def refused(token: str | None, **changes: str | None) -> tuple[int, str]:
        given = {**env, "META_GRAPH_URL": graph.url, "QERO_ACCESS_TOKEN": token, **changes}
        set_ones = {name: value for name, value in given.items() if value is not None}
        ended = await run(tmp_path, set_ones, "inbox", "reply", thread.id, "--file", "a.png", "--json")
        return ended.code, ended.problem()["code"]

    assert await asyncio.gather(
        refused(vera.access_token),
        refused(mallory.access_token),
        refused(expired(world, bob)),
        refused(None),
        refused(bob.access_token, SUPABASE_SECRET_KEY=None),
        refused(bob.access_token, QERO_SECRET_KEYS=None),
        refused(bob.access_token, META_GRAPH_URL="http://127.0.0.1:9"),
    ) == [
        (1, "role_required"),
        (1, "thread_not_found"),
        (1, "token_expired"),
        (1, "not_authenticated"),
        (3, "setting_missing"),
        (3, "setting_missing"),
        (4, "network_error"),
    ]
    assert (graph.uploaded, graph.refused) == ([], [])
    assert await outbox_of(world, thread) == 0


async def test_what_is_no_file_that_whatsapp_takes_is_refused_and_nothing_is_queued(
    tmp_path: Path, env: dict[str, str], world: World, thread: Thread, graph: GraphStandIn
) -> None:
    (tmp_path / "folder").mkdir()
    for name, size in (("program.exe", 5), ("moving.gif", 5), ("empty.png", 0), ("large.png", 5 * 2**20 + 1),
                       ("still.webp", 100 * 1024 + 1)):  # fmt: skip
        with (tmp_path / name).open("wb") as file:
            file.truncate(size)

    async def refused(name: str) -> tuple[str, Any]:
        given = {**env, "META_GRAPH_URL": graph.url}
        ended = await run(tmp_path, given, "inbox", "reply", thread.id, "--file", name, "--json")
        assert ended.code == 1
        error = ended.problem()
        return error["code"], error["detail"].get("field") or error["detail"].get("path")

    names = ("program.exe", "moving.gif", "empty.png", "large.png", "still.webp", "invoce.pdf", "folder")
    assert dict(zip(names, await asyncio.gather(*map(refused, names)), strict=True)) == {
        "program.exe": ("invalid_value", "mime_type"),
        "moving.gif": ("invalid_value", "mime_type"),
        "empty.png": ("invalid_value", "bytes"),
        "large.png": ("invalid_value", "bytes"),
        "still.webp": ("invalid_value", "bytes"),
        "invoce.pdf": ("file_unusable", "invoce.pdf"),
        "folder": ("file_unusable", "folder"),
    }
    assert (graph.uploaded, graph.refused) == ([], [])
    assert await outbox_of(world, thread) == 0


async def test_a_link_and_what_meta_has_already_are_sent_without_being_uploaded(
    tmp_path: Path, env: dict[str, str], world: World, thread: Thread, graph: GraphStandIn
) -> None:
    async def kind(*arguments: str) -> str:
        given = {**env, "META_GRAPH_URL": graph.url}
        ended = await run(tmp_path, given, "inbox", "reply", thread.id, "--json", "--file", *arguments)
        assert ended.code == 0, ended.err
        return str(json.loads(ended.out)["type"])

    kinds = await asyncio.gather(
        kind("https://example.com/a.jpg?size=large"),
        kind("https://example.com/a.webp"),
        kind("https://example.com/invoice"),
        kind("1013859600285441"),
        kind("1013859600285441", "--kind", "audio"),
    )
    assert [*kinds] == ["image", "sticker", "document", "document", "audio"]
    assert graph.uploaded == []
    assert await outbox_of(world, thread) == 5


async def test_what_is_somebody_elses_or_nothing_ends_with_1_and_changes_nothing(
    tmp_path: Path, env: dict[str, str], world: World, workspace: Workspace, thread: Thread
) -> None:
    elsewhere = await world.workspace(owner="mallory")
    foreign = await world.thread(await world.number(elsewhere))
    [message] = await Threads(world.service).messages(foreign)
    before = await world.rows("select to_jsonb(thread)::text from wa_threads as thread where id = %s", foreign.id)

    async def code(*arguments: object) -> str:
        ended = await run(tmp_path, env, "inbox", *arguments, "--json")
        assert (ended.code, ended.out) == (1, ""), arguments
        return str(ended.problem()["code"])

    assert set(
        await asyncio.gather(
            code("show", uuid4()), code("show", foreign.id), code("reply", foreign.id, "Hi"),
            code("assign", thread.id, foreign.id), code("note", foreign.id, "Psst"), code("unread", foreign.id),
        )
    ) == {"thread_not_found"}  # fmt: skip
    assert await asyncio.gather(
        code("reply", thread.id, "👍", "--react", message.id),
        code("reply", thread.id, "This!", "--quote", message.id),
        code("reply", thread.id, "--template", uuid4()),
        code("reply", thread.id, "--canned", "none"),
        code("search", elsewhere.id, "hello"),
        code("list", workspace.slug, "--view", "None"),
        code("list", workspace.slug, "--after", "x"),
        code("canned", "delete", workspace.slug, "none"),
        code("assign", thread.id, "--to", (await world.user("mallory")).email),
        code("snooze", thread.id, "--until", "2020-01-01"),
    ) == [
        "message_not_found", "message_not_found", "template_not_found", "canned_response_not_found",
        "workspace_not_found", "view_not_found", "invalid_value", "canned_response_not_found", "member_not_found",
        "invalid_value",
    ]  # fmt: skip
    assert before == await world.rows(
        "select to_jsonb(thread)::text from wa_threads as thread where id = %s", foreign.id
    )
    assert await outbox_of(world, foreign) == await outbox_of(world, thread) == 0


async def test_a_reply_says_one_thing_and_is_not_cut_short(
    tmp_path: Path, env: dict[str, str], world: World, thread: Thread
) -> None:
    async def refused(*arguments: object) -> tuple[str, Any]:
        ended = await run(tmp_path, env, "inbox", "reply", thread.id, *arguments, "--json")
        assert ended.code == 1, ended.out
        return ended.problem()["code"], ended.problem()["detail"].get("field")

    assert await asyncio.gather(
        refused("Hi", "--template", uuid4()),
        refused("Hi", "--card", "Ada=+442071234567"),
        refused("Hi", "--button", "Yes", "--link", "https://example.com"),
        refused("--template", uuid4(), "--quote", uuid4()),
        refused("Hi", "--var", "1=Ada"),
        refused(),
        refused("x" * 4097),
        refused("x" * 1025, "--file", "https://example.com/a.png"),
        refused("--place", "nan,nan"),
        refused("--card", "Ada"),
    ) == [
        ("invalid_value", "reply"), ("invalid_value", "reply"), ("invalid_value", "reply"),
        ("invalid_value", "--quote"), ("invalid_value", "--var"), ("body_required", "body"), ("body_too_long", "body"),
        ("invalid_value", "content.caption"), ("invalid_value", "--place"), ("invalid_value", "--card"),
    ]  # fmt: skip
    assert await outbox_of(world, thread) == 0


async def test_beyond_the_window_and_without_a_number_nothing_is_queued_and_it_says_what_to_do(
    tmp_path: Path, env: dict[str, str], world: World, thread: Thread
) -> None:
    async def reply() -> Any:
        return await run(tmp_path, env, "inbox", "reply", thread.id, "Hi")

    await world.rows(
        "update wa_threads set last_inbound_at = now() - interval '25 hours' where id = %s returning 1", thread.id
    )
    late = await reply()
    assert late.code == 1
    assert "(window_closed)" in late.err
    assert "Send an approved template instead." in late.err
    shown = await run(tmp_path, env, "inbox", "show", thread.id)
    assert ", from then on only templates." in shown.out

    for change, code in (
        ("status = 'inactive'", "connection_inactive"),
        ("deleted_at = now()", "connection_not_found"),
    ):
        await world.rows(f"update wa_phone_numbers set {change} where id = %s returning 1", thread.connection_id)
        gone = await reply()
        assert gone.code == 1
        assert f"({code})" in gone.err
    assert await outbox_of(world, thread) == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "no-uuid"),
        ("list", "acme", "--status", "lost"),
        ("snooze", "00000000-0000-0000-0000-000000000000", "--until", "tomorrow"),
        ("settings", "acme", "--limit", "few"),
    ],
)
async def test_wrong_usage_ends_with_2(tmp_path: Path, env: dict[str, str], arguments: tuple[str, ...]) -> None:
    ended = await run(tmp_path, env, "inbox", *arguments)

    assert (ended.code, ended.out) == (2, "")
    assert "Usage:" in ended.err


async def test_a_customers_control_characters_do_nothing_to_the_terminal(
    tmp_path: Path, env: dict[str, str], world: World, workspace: Workspace
) -> None:
    number = await world.number(workspace)
    wicked = "Hi \x1b]0;owned\x07\x1b[2J\x9b1m [bold]there[/bold]\r"
    await world.receive(text_webhook(number.at_meta, f"+{digits(11)}", wicked, name="Ad\x1b[31ma"))
    [(thread_id,)] = await world.rows("select id from wa_threads where connection_id = %s", number.connection.id)

    for arguments in (("list", workspace.slug), ("show", thread_id), ("search", workspace.slug, "there")):
        ended = await run(tmp_path, env, "inbox", *arguments)
        assert ended.code == 0, ended.err
        assert not {"\x1b", "\x07", "\x9b", "\r"} & {*ended.out}
        assert "]0;owned" in ended.out
    as_json = await run(tmp_path, env, "inbox", "show", thread_id, "--json")
    assert json.loads(as_json.out)["messages"][0]["body"] == wicked, "programs get it as it is"


async def test_views_and_answers_are_changed_and_removed(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, thread: Thread
) -> None:
    async def inbox(*arguments: object) -> Any:
        ended = await run(tmp_path, env, "inbox", *arguments, "--json")
        assert ended.code == 0, ended.err
        return json.loads(ended.out)

    await inbox("views", "save", workspace.slug, "Mine", "--assignee", "me", "--tag", "vip")
    shared = await inbox("views", "change", workspace.slug, "Mine", "--shared", "--default")
    assert (shared["filters"]["assignee"], shared["is_shared"], shared["is_default"]) == ("me", True, True)
    changed = await inbox("views", "change", workspace.slug, "Mine", "--status", "open", "--no-shared")
    assert {name: value for name, value in changed["filters"].items() if value is not None} == {"status": ["open"]}
    assert (changed["is_shared"], changed["is_default"]) == (False, True)
    listed = await inbox("list", workspace.slug, "--view", "Mine")
    assert [found["id"] for found in listed["items"]] == [str(thread.id)]

    saved = await inbox("canned", "save", workspace.slug, "bye", "Bye!")
    assert await inbox("canned", "delete", workspace.slug, "bye") == {"deleted": saved["id"]}
    assert await inbox("canned", "list", workspace.slug) == []


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

    programs = await run(tmp_path, env, *arguments[:-2], "--json")
    assert programs.code == 2, "nobody was asked, so nothing is sent"
    tried = await run(tmp_path, env, *arguments, "--json", "--dry-run")
    assert json.loads(tried.out)["sendable"] == 1
    done = await run(tmp_path, env, *arguments, "--json", "--yes")
    assert (json.loads(done.out)["queued"], json.loads(done.out)["repeated"]) == (0, 1)
    for wrong, code in ((("--status", "lost"), 2), (("--assignee", "bob"), 1), (("--view", "None"), 1)):
        assert (await run(tmp_path, env, *arguments, *wrong, "--yes")).code == code
