"""Postgres dies, the supervisor starts it again, and subscriptions go on by themselves."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import psutil
import psycopg
from realtime.types import RealtimeSubscribeStates

from qero import Clients, Workspaces
from qero.local.stack import Stack
from tests.conftest import OWN_SETTINGS
from tests.local.waiting import until
from tests.realtime.listening import Listeners
from tests.support import World


async def test_a_subscription_survives_the_death_of_postgres(tmp_path: Path) -> None:
    stack = Stack(tmp_path)
    try:
        address = await asyncio.to_thread(stack.up, with_me=True, durable=False)
        settings = address.settings(**OWN_SETTINGS)
        async with Clients(settings) as clients:
            async with await psycopg.AsyncConnection.connect(address.db_url, autocommit=True) as database:
                world = World(settings, clients, database)
                workspace = await world.workspace()
            listeners = Listeners(world)
            olga = await (await listeners.of("olga")).watching("contacts").join()

            state = stack.running_state()
            assert state is not None
            psutil.Process(state.pids["postgres"]).send_signal(signal.SIGKILL)

            def postgres_is_another() -> bool:
                now = stack.running_state()
                assert now is not None, "the supervisor went too"
                return now.pids["postgres"] != state.pids["postgres"]

            await asyncio.to_thread(until, postgres_is_another, "the supervisor starts Postgres again")
            assert (await olga.states.next())[0] is RealtimeSubscribeStates.CHANNEL_ERROR
            assert (await olga.states.next())[0] is RealtimeSubscribeStates.SUBSCRIBED
            await olga.flowing.next()
            async with await psycopg.AsyncConnection.connect(address.db_url, autocommit=True) as database:
                await database.execute("insert into contacts (workspace_id, name) values (%s, 'Ada')", [workspace.id])

            assert (await olga.changes.next())["record"]["name"] == "Ada"
            await listeners.close()
            # The API and the auth server are back as well.
            await world.sign_in((await world.user("olga")).email)
            assert [w.id for w in await Workspaces((await world.user("olga")).client).list()] == [workspace.id]
    finally:
        await asyncio.to_thread(stack.remove)
