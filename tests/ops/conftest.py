"""One Postgres with hosted's roles for all tests of the runner, and as many databases in it as they like."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from psycopg import sql

from qero.local.postgres import SUPERUSER, Postgres
from qero.local.processes import free_port
from qero.local.state import Home
from qero.local.toolchain import Tools, ensure_tools
from qero.ops.backup import Tools as BackupTools
from qero.ops.push import push_migrations
from qero.ops.target import Target

ROOT = Path(__file__).parents[2]


class Cluster:
    """Makes databases by copying one: `bare`, as hosted hands it over, or `migrated`."""

    def __init__(self, postgres: Postgres, tools: Tools) -> None:
        self._postgres = postgres
        self._count = 0
        self.tools = tools
        self.backup_tools = BackupTools([tools.client_bin])

    def database(self, template: str = "bare") -> str:
        """The URL of a new database, for the role that owns migrations."""
        self._count += 1
        name = f"copy_{self._count}"
        if template == "migrated" and not self._exists("migrated"):
            self._copy("migrated", "postgres")
            push_migrations(self.tools.supabase, db_url=self._postgres.url("postgres", "migrated"), workdir=ROOT)
        self._copy(name, "postgres" if template == "bare" else template)
        return self._postgres.url("postgres", name)

    def copy_of(self, url: str) -> str:
        """A copy of a database that nobody is connected to."""
        return self.database(Target.read(url).address.rpartition("/")[2].partition("?")[0])

    def superuser(self, url: str) -> str:
        return url.replace("//postgres:", f"//{SUPERUSER}:")

    def _exists(self, name: str) -> bool:
        with self._admin() as connection:
            found = connection.execute("select exists (select from pg_database where datname = %s)", [name]).fetchone()
        return bool(found and found[0])

    def _copy(self, name: str, template: str) -> None:
        with self._admin() as connection:
            connection.execute(
                sql.SQL("create database {} template {} owner postgres").format(
                    sql.Identifier(name), sql.Identifier(template)
                )
            )

    def _admin(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._postgres.url(SUPERUSER, "template1"), autocommit=True)


@pytest.fixture(scope="session")
async def cluster() -> AsyncIterator[Cluster]:
    tools = ensure_tools()
    with TemporaryDirectory(prefix="qero-cluster-") as folder:
        home = Home(Path(folder, ".qero", "local", "default"))
        home.create()
        postgres = Postgres(tools, home.path, home.keys(), port=free_port(), durable=False)
        await postgres.start()
        try:
            yield Cluster(postgres, tools)
        finally:
            await postgres.stop()


@pytest.fixture
def bare(cluster: Cluster) -> str:
    return cluster.database()


@pytest.fixture
def migrated(cluster: Cluster) -> str:
    return cluster.database("migrated")


@pytest.fixture
def in_migrated(migrated: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(migrated, autocommit=True) as connection:
        yield connection


def populate(url: str) -> None:
    """People, a workspace, contacts with odd text, a chat with messages, tokens: something in many tables."""
    with psycopg.connect(url) as connection:
        connection.execute(
            """
            insert into auth.users (id, email)
              select gen_random_uuid(), 'person-' || number || '@example.com' from generate_series(1, 3) as number;
            insert into public.workspaces (slug, name) values ('acme', 'Acme');
            insert into public.workspace_memberships (workspace_id, user_id, role)
              select workspaces.id, profiles.id, 'owner' from public.workspaces, public.profiles;
            insert into public.contacts (workspace_id, name)
              select id, E'Ada "Δ" \\\\. \\n\\t' || number from public.workspaces, generate_series(1, 500) as number;
            insert into public.chats (workspace_id, title) select id, 'All' from public.workspaces;
            insert into public.chat_messages (chat_id, workspace_id, body)
              select chats.id, chats.workspace_id, 'Message ' || number
              from public.chats, generate_series(1, 200) as number;
            """
        )


def fingerprint(url: str) -> str:
    """Of every row in the schemas that a backup holds: the same for the same data."""
    digest = hashlib.sha256()
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            """
            select format('%I.%I', schemaname, tablename) from pg_tables
            where schemaname in ('public', 'private', 'supabase_migrations') order by 1
            """
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(f"select t::text from {table} as t order by 1".encode()).fetchall()
            digest.update(repr((table, rows)).encode())
    return digest.hexdigest()


def project(folder: Path, *own: tuple[str, str]) -> Path:
    """A project with qero's migrations and some of its own."""
    migrations = folder / "supabase" / "migrations"
    migrations.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / "supabase" / "migrations").glob("*.sql"):
        (migrations / file.name).write_bytes(file.read_bytes())
    for name, text in own:
        (migrations / name).write_text(text)
    return folder
