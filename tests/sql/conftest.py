"""Connections to the migrated database: as new hosted projects hand it over, and as older ones do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from qero import Clients, Settings
from qero.local.stack import Stack
from tests.sql.access import Cast, make_cast
from tests.support import World

Connect = Callable[[], psycopg.Connection[Any]]
RolledBack = Callable[[], AbstractContextManager[psycopg.Connection[Any]]]


@pytest.fixture(scope="session")
def older_project_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The database of a second stack whose new tables and functions are granted to the API roles at once."""
    project = tmp_path_factory.mktemp("older-project")
    for folder in (project, project.parent, project.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o055)
    (project / "supabase").symlink_to(Path(__file__).parents[2] / "supabase")
    stack = Stack(project)
    address = stack.up(durable=False, default_grants=True, with_me=True)
    yield address.db_url
    stack.remove()


@pytest.fixture(params=["explicit grants", "automatic grants"])
def database_url(request: pytest.FixtureRequest, settings: Settings) -> str:
    """Both kinds of project in turn."""
    if request.param == "automatic grants":
        url: str = request.getfixturevalue("older_project_url")
        return url
    return settings.require("db_url")


@pytest.fixture(scope="session")
def people(settings: Settings, clients: Clients, database: psycopg.AsyncConnection[Any]) -> World:
    """A world whose people stay the same in all tests, for signing up is slow; each test makes its own workspaces."""
    return World(settings, clients, database)


@pytest.fixture(scope="module")
async def cast(people: World) -> Cast:
    return await make_cast(people)


@pytest.fixture
def catalogue(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield connection


@pytest.fixture
def rolled_back(settings: Settings) -> RolledBack:
    """A transaction of the tables' owner of which nothing remains."""

    @contextmanager
    def begin() -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(settings.require("db_url")) as connection:
            try:
                yield connection
            finally:
                connection.rollback()

    return begin
