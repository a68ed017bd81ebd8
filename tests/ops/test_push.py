"""Pushing migrations, and copying those that qero ships, with the real command and the real Supabase CLI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from qero import Conflict, InvalidInput
from qero.local.stack import temporary_stack
from qero.ops.push import copy_migrations, migration_files, push_migrations

ROOT = Path(__file__).parents[2]
SHIPPED = [file.name for file in migration_files(ROOT)]


@pytest.fixture(scope="module")
def empty_database() -> Iterator[dict[str, str]]:
    with temporary_stack(migrate=False, durable=False) as address:
        yield address.environment()


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "supabase" / "migrations"
    folder.mkdir(parents=True)
    return folder


def qero(folder: Path, *arguments: str, environment: dict[str, str] | None = None, exit_code: int = 0) -> Any:
    finished = subprocess.run(
        [sys.executable, "-m", "qero", *arguments, "--json"], cwd=folder, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
    )  # fmt: skip
    assert finished.returncode == exit_code, finished.stdout + finished.stderr
    return json.loads(finished.stdout) if exit_code == 0 else json.loads(finished.stderr)["error"]


def push(folder: Path) -> list[str]:
    """A push that has to be refused before the CLI is run: there is none, and no database."""
    return push_migrations(folder / "no-cli", db_url="postgresql://u:p@127.0.0.1:1/postgres", workdir=folder)


def test_names_that_would_be_passed_over_are_refused_before_anything_is_pushed(migrations: Path) -> None:
    invalid = ["20990101000000-dash.sql", "20990101000001.sql", "20990101000002_shout.SQL", "notes.sql"]
    for name in [*invalid, "20990101000000_good.sql", "001_short.sql", "README.md"]:
        (migrations / name).write_text("select 1;\n")

    with pytest.raises(InvalidInput) as error:
        push(migrations.parents[1])

    assert (error.value.code, error.value.detail) == ("migration_name_invalid", {"files": invalid})
    assert "20260131120000_add_notes.sql" in str(error.value.hint)


def test_two_files_of_one_version_are_both_named(migrations: Path) -> None:
    for name in ["001_one.sql", "001_other.sql", "002_two.sql"]:
        (migrations / name).write_text("select 1;\n")

    with pytest.raises(Conflict) as error:
        push(migrations.parents[1])

    assert error.value.code == "migration_version_taken"
    assert error.value.detail == {"versions": ["001"], "files": ["001_one.sql", "001_other.sql"]}


def test_a_migration_whose_file_is_gone_is_named_and_copying_brings_it_back(
    migrations: Path, empty_database: dict[str, str]
) -> None:
    project = migrations.parents[1]
    shipped = qero(project, "db", "push", environment=empty_database)
    assert (shipped["applied"], shipped["migrations_from"]) == (SHIPPED, str(ROOT / "supabase" / "migrations"))
    (migrations / "20990101000000_own table.sql").write_text("create table public.own (id int primary key);\n")

    refused = qero(project, "db", "push", environment=empty_database, exit_code=5)

    versions = [name.partition("_")[0] for name in SHIPPED]
    assert (refused["code"], refused["detail"]["versions"]) == ("migration_file_missing", versions)
    assert "`qero db copy`" in refused["hint"]
    with psycopg.connect(empty_database["SUPABASE_DB_URL"]) as connection:
        assert connection.execute("select to_regclass('public.own')").fetchone() == (None,), "something was pushed"

    assert qero(project, "db", "copy") == {"copied": SHIPPED, "folder": str(migrations)}
    pushed = qero(project, "db", "push", "--allow", "row_security", "--allow", "grants", environment=empty_database)
    assert (pushed["applied"], pushed["migrations_from"]) == (["20990101000000_own table.sql"], str(migrations))


def test_copying_makes_the_folder_and_again_changes_nothing(tmp_path: Path) -> None:
    assert copy_migrations(tmp_path) == SHIPPED

    for name in SHIPPED:
        copied = tmp_path / "supabase" / "migrations" / name
        assert copied.read_bytes() == (ROOT / "supabase" / "migrations" / name).read_bytes()
    (tmp_path / "supabase" / "migrations" / SHIPPED[1]).unlink()
    assert copy_migrations(tmp_path) == [SHIPPED[1]]
    assert copy_migrations(tmp_path) == []


def test_copying_overwrites_nothing_and_then_copies_nothing(migrations: Path) -> None:
    mine = migrations / SHIPPED[-1]
    mine.write_text("select 'mine';\n")

    refused = qero(migrations.parents[1], "db", "copy", exit_code=1)

    assert (refused["code"], refused["status"], refused["detail"]["files"]) == ("already_exists", 409, [mine.name])
    assert mine.read_text() == "select 'mine';\n"
    assert list(migrations.iterdir()) == [mine]


def test_copying_beside_another_file_of_a_version_copies_nothing(migrations: Path) -> None:
    mine = migrations / f"{SHIPPED[0].partition('_')[0]}_mine.sql"
    mine.write_text("select 1;\n")

    with pytest.raises(Conflict) as error:
        copy_migrations(migrations.parents[1])

    assert error.value.code == "migration_version_taken"
    assert set(error.value.detail["files"]) == {SHIPPED[0], mine.name}
    assert list(migrations.iterdir()) == [mine]
