"""Running the migrations on top of themselves changes nothing."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psycopg

import qero
from qero.local.toolchain import ensure_tools

MIGRATIONS = sorted((Path(__file__).parents[2] / "supabase" / "migrations").glob("*.sql"))


def schema_of(url: str) -> str:
    finished = subprocess.run(
        [
            ensure_tools().client_bin / "pg_dump",
            "--schema-only",
            "--no-subscriptions",
            "-n",
            "public",
            "-n",
            "private",
            url,
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    # The key that guards a restore against meta-commands is a new one for every dump.
    lines = (line for line in finished.stdout.splitlines() if not line.startswith(("\\restrict", "\\unrestrict")))
    return "\n".join(lines)


def triggers_on_auth(connection: psycopg.Connection[tuple[str]]) -> list[tuple[str]]:
    return connection.execute(
        "select pg_get_triggerdef(oid) from pg_trigger where tgrelid = 'auth.users'::regclass and not tgisinternal"
    ).fetchall()


def test_every_migration_runs_again_without_a_trace(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        before, before_on_auth = schema_of(database_url), triggers_on_auth(connection)
        assert "create table public.outbox_messages" in before.lower()

        for file in MIGRATIONS:
            with connection.transaction():
                connection.execute(file.read_bytes())

        assert schema_of(database_url) == before
        assert triggers_on_auth(connection) == before_on_auth
        published = connection.execute(
            "select count(*), count(distinct tablename) from pg_publication_tables where pubname = 'supabase_realtime'"
        ).fetchone()
    assert published is not None
    assert published[0] == published[1] > 0


def test_every_migration_bounds_its_locks_and_says_what_it_is() -> None:
    assert MIGRATIONS
    for file in MIGRATIONS:
        text = file.read_text()
        for part in ("-- Purpose:", "-- Needs:", "-- Used by:", "-- Raises:", "-- Roll back:", "set lock_timeout ="):
            assert part in text, f"{file.name} lacks {part}"


def test_what_a_migrations_head_names_is_there() -> None:
    package = Path(qero.__file__).parent
    for file in MIGRATIONS:
        head, _, body = file.read_text().partition("\n\n")
        said = dict(re.findall(r"(\w[\w ]*): +(.*)", re.sub(r"\n--  +", " ", head)))
        for used in re.findall(r"(?<![\w`])qero\.[^;]+", said["Used by"]):
            where, _, names = used.rstrip(".").rpartition(".")
            for name in names.split(", "):
                path = package.parent.joinpath(*where.split("."), name)
                assert path.is_dir() or path.with_suffix(".py").is_file(), f"{file.name} is used by {where}.{name}"
        raised = set(re.findall(r"private\.raise_error\(\s*\d+, '(\w+)'", body))
        listed = set(re.findall(r"\w+", said["Raises"]))
        assert raised <= listed, f"{file.name} raises {raised - listed}, which its head doesn't say"
