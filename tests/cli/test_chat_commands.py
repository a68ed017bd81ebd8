"""`qero chat`, as a person uses it in a terminal."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from uuid import uuid4

from qero import Chats
from tests.cli.test_commands import Ended, run
from tests.support import World
from tests.worker.support import environment


async def test_a_chat_is_listed_written_to_and_read(world: World, tmp_path: Path) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    olga, bob = await world.user("olga"), await world.user("bob")
    chat = await Chats(olga.client).create(workspace.id, "group", "Sales", member_ids=[bob.id])

    async def qero(name: str, *arguments: str) -> Ended:
        env = environment(world.settings) | {"QERO_ACCESS_TOKEN": (await world.user(name)).access_token}
        return await run(tmp_path, "chat", *arguments, env=env)

    first = await qero("olga", "send", str(chat.id), "Who takes it?", "--id", "once")
    assert first.out.strip() == "Sent as number 1."
    again = await qero("olga", "send", str(chat.id), "Who takes it?", "--id", "once", "--json")
    assert json.loads(again.out)["seq"] == 1
    assert "Sent as number 2." in (await qero("bob", "send", str(chat.id), "I do", "--reply-to", "1")).out

    [listed] = json.loads((await qero("olga", "list", "--workspace", workspace.slug, "--json")).out)
    assert (listed["unread_count"], listed["last_message_preview"]) == (1, "I do")
    shown = (await qero("olga", "list", "--workspace", workspace.slug)).out
    assert "Sales" in shown
    assert str(chat.id) in shown
    messages = (await qero("olga", "read", str(chat.id), "--mark")).out
    assert "Olga: Who takes it?" in messages
    assert "Bob: [to 1] I do" in messages
    assert "--before 2" in (await qero("olga", "read", str(chat.id), "--limit", "1")).out
    assert await Chats(olga.client).unread_count(chat.id) == 0

    missing = await qero("olga", "read", str(uuid4()))
    assert (missing.code, "chat_not_found" in missing.err) == (1, True)
    assert (await qero("olga", "send", str(chat.id), " ", "--json")).code == 1
    nobody = await run(tmp_path, "chat", "list", env=environment(world.settings))
    assert (nobody.code, "not_authenticated" in nobody.err) == (1, True)


async def test_following_shows_what_is_written(world: World, tmp_path: Path) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    olga, bob = await world.user("olga"), await world.user("bob")
    chat = await Chats(olga.client).create(workspace.id, "group", "Sales", member_ids=[bob.id])
    await Chats(bob.client).send(chat.id, "from before")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "qero", "chat", "follow", str(chat.id), "--json", cwd=tmp_path,
        env=environment(world.settings) | {"QERO_ACCESS_TOKEN": olga.access_token},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None

    async def message() -> str:
        assert process.stdout is not None
        async with asyncio.timeout(15):
            async for line in process.stdout:
                event = json.loads(line)
                if event["event"] in ("message", "changed"):
                    return f"{event['event']}: {event['message']['body']}"
        raise AssertionError("it ended")

    assert await message() == "message: from before"
    sent = await Chats(bob.client).send(chat.id, "Hello")
    assert await message() == "message: Hello"
    await Chats(bob.client).edit(sent.id, "Hello!")
    assert await message() == "changed: Hello!"
    process.send_signal(2)
    _, err = await process.communicate()
    assert process.returncode == 130, err
    assert b"subscribed" in err
