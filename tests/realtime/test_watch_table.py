"""`watch_table` loses nothing that is committed inside its block, says why it can't, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit

import psutil
import pytest

from qero import Clients, Settings, Unavailable, watch_table
from tests.realtime.test_tokens import expiring_token
from tests.support import World


def open_sockets(settings: Settings) -> int:
    """How many connections this process holds to the gateway, which realtime shares with everything else."""
    port = urlsplit(settings.require("supabase_url")).port
    connections = psutil.Process().net_connections("tcp")
    return sum(bool(c.raddr and c.raddr.port == port and c.status == psutil.CONN_ESTABLISHED) for c in connections)


async def test_nothing_committed_after_entering_is_lost(world: World) -> None:
    workspace = await world.workspace()
    olga = (await world.user("olga")).client
    insert = "insert into contacts (workspace_id, name) values (%s, %s)"

    for attempt in range(20):
        async with watch_table(olga, "contacts", filter=f"workspace_id=eq.{workspace.id}") as changes:
            await world.database.execute(insert, [workspace.id, f"at entry {attempt}"])
            change = await changes.next(timeout=5)

        assert change is not None, f"lost at attempt {attempt}"
        assert change["record"]["name"] == f"at entry {attempt}"


async def test_changes_can_be_iterated_and_arrive_in_commit_order(world: World) -> None:
    workspace = await world.workspace()
    names = [str(n) for n in range(50)]

    async with watch_table((await world.user("olga")).client, "contacts", event="INSERT") as changes:
        for name in names:
            await world.database.execute(
                "insert into contacts (workspace_id, name) values (%s, %s)", [workspace.id, name]
            )
        seen = []
        async with asyncio.timeout(5):
            async for change in changes:
                seen.append(change["record"]["name"])
                if len(seen) == len(names):
                    break

    assert seen == names


async def test_the_service_may_watch_too(world: World) -> None:
    workspace = await world.workspace()

    async with watch_table(world.service, "contacts", filter=f"workspace_id=eq.{workspace.id}") as changes:
        await world.database.execute("insert into contacts (workspace_id, name) values (%s, 'Ada')", [workspace.id])
        change = await changes.next(timeout=5)

    assert change is not None
    assert change["record"]["name"] == "Ada"


async def test_next_gives_none_when_nothing_happens_in_time(world: World) -> None:
    async with watch_table((await world.user("olga")).client, "contacts") as changes:
        assert await changes.next(timeout=0.05) is None


@pytest.mark.parametrize(
    ("table", "filter", "reason"),
    [
        ("wa_phone_numbers", None, "check Realtime is enabled"),
        ("contacts", "no_such_column=eq.1", "invalid column for filter"),
    ],
)
async def test_a_refused_table_is_unavailable_with_the_servers_reason(
    world: World, table: str, filter: str | None, reason: str
) -> None:
    with pytest.raises(Unavailable) as error:
        async with watch_table((await world.user("olga")).client, table, filter=filter):
            pytest.fail("the block was entered")

    assert error.value.code == "realtime_unavailable"
    assert reason in error.value.detail["reason"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"secret_key": "sb_secret_unknown"}, "401"), ({"supabase_url": "http://127.0.0.1:9"}, "connect call failed")],
)
async def test_a_wrong_key_or_address_is_unavailable_at_once(world: World, change: dict[str, str], reason: str) -> None:
    async with Clients(world.settings.model_copy(update=change)) as clients:
        with pytest.raises(Unavailable) as error:
            async with asyncio.timeout(2), watch_table(clients.service(), "contacts"):
                pytest.fail("the block was entered")

    assert error.value.code == "realtime_unavailable"
    assert reason in error.value.detail["reason"].lower()


async def test_when_the_token_expires_the_watcher_is_told_instead_of_waiting_for_ever(world: World) -> None:
    workspace = await world.workspace()
    client = await world.clients.user(expiring_token(world, await world.user("olga"), seconds=2.5))

    async with watch_table(client, "contacts", filter=f"workspace_id=eq.{workspace.id}") as changes:
        await world.database.execute("insert into contacts (workspace_id, name) values (%s, 'Ada')", [workspace.id])
        first = await changes.next(timeout=5)
        for _ in range(2):
            with pytest.raises(Unavailable) as error:
                await changes.next(timeout=5)

    assert first is not None
    assert "Token has expired" in error.value.detail["reason"]


@pytest.mark.parametrize("ending", ["normally", "by an error inside", "by a refusal"])
async def test_no_task_and_no_socket_is_left_after_the_block(world: World, ending: str) -> None:
    client = (await world.user("olga")).client
    tasks, sockets = asyncio.all_tasks(), open_sockets(world.settings)

    with contextlib.suppress(Unavailable, ZeroDivisionError):
        async with watch_table(client, "wa_phone_numbers" if ending == "by a refusal" else "contacts"):
            assert open_sockets(world.settings) == sockets + 1
            if ending == "by an error inside":
                raise ZeroDivisionError

    assert asyncio.all_tasks() - tasks == set()
    assert open_sockets(world.settings) == sockets
