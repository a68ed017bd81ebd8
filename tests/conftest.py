"""One stack for the whole run: a local one in a temporary folder, or the Supabase that the environment names."""

from __future__ import annotations

import logging
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import psycopg
import pytest
import structlog

from qero import Clients, SecretBox, Settings
from qero.local.graph import GraphStandIn
from qero.local.push import PushServiceStandIn
from qero.local.stack import temporary_stack
from tests.phones import Phones
from tests.support import APP_SECRET, VERIFY_TOKEN, World

OWN_SETTINGS = {
    "meta_app_secret": APP_SECRET,
    "meta_verify_token": VERIFY_TOKEN,
    "secret_keys": SecretBox.generate_key(),
}


@pytest.fixture(scope="session")
def settings() -> Iterator[Settings]:
    """Where the tests run. Set SUPABASE_URL, keys and SUPABASE_DB_URL to run them against another Supabase."""
    if os.environ.get("SUPABASE_URL"):
        settings = Settings.load(**OWN_SETTINGS)
        settings.require("db_url")
        yield settings
    else:
        with temporary_stack(durable=False) as address:
            yield address.settings(**OWN_SETTINGS)


@pytest.fixture(scope="session")
async def clients(settings: Settings) -> AsyncIterator[Clients]:
    async with Clients(settings) as clients:
        yield clients


@pytest.fixture(scope="session")
async def database(settings: Settings) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """The owner of the tables: only for arranging what no API offers, and for looking at the outcome."""
    connection = await psycopg.AsyncConnection.connect(settings.require("db_url"), autocommit=True)
    async with connection:
        yield connection


@pytest.fixture
def world(settings: Settings, clients: Clients, database: psycopg.AsyncConnection[Any]) -> World:
    return World(settings, clients, database)


@pytest.fixture
async def graph() -> AsyncIterator[GraphStandIn]:
    """A stand-in for Meta's Graph API that checks what it is sent."""
    async with GraphStandIn.serve() as graph:
        yield graph


@pytest.fixture
async def phones(world: World) -> AsyncIterator[Phones]:
    """Devices at a stand-in for push services, and an outbox that holds only what the test causes."""
    async with PushServiceStandIn.serve() as service:
        phones = Phones(world, service)
        await phones.allow()
        yield phones


@pytest.fixture
def logs() -> Iterator[list[dict[str, Any]]]:
    """Every event logged during the test, with its context."""
    events: list[dict[str, Any]] = []

    def keep(_: Any, __: str, event: Any) -> Any:
        events.append(dict(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, keep],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
    )
    yield events
    structlog.configure(**before)
