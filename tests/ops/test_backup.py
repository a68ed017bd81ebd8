"""Backups are whole or not there, and a restore ends as the backup or as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from qero import InvalidState, NotFound, QeroError, Unavailable
from qero.ops.backup import Tools, list_backups, make_backup, read_backup, restore_backup
from qero.ops.catalogue import compare, read_catalogue, shipped_catalogue
from qero.ops.documents import schema_sql
from qero.ops.target import Target
from tests.ops.conftest import ROOT, Cluster, fingerprint, populate


@pytest.fixture
def populated(migrated: str) -> str:
    populate(migrated)
    return migrated


def program(folder: Path, name: str, code: str) -> Path:
    """A program of that name that stands where the real one would."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    file.write_text(f"#!{sys.executable}\nimport os, sys\n{textwrap.dedent(code)}")
    file.chmod(0o755)
    return file


def passing_on(real: Path, instead: str) -> str:
    """Answers --version and everything else as the real program, but does `instead` when it is asked to work."""
    asked = "any(word in sys.argv for word in ('--version', '--list'))"
    return f"if {asked}:\n    os.execv({str(real)!r}, sys.argv)\n{instead}\n"


def test_a_backup_restores_to_an_identical_database(
    populated: str, bare: str, cluster: Cluster, tmp_path: Path
) -> None:
    backup = make_backup(Target.read(populated), tmp_path, cluster.backup_tools)
    assert backup is not None

    assert restore_backup(Target.read(bare), backup, cluster.backup_tools, replace=False) == []

    assert fingerprint(bare) == fingerprint(populated)
    pg_dump = cluster.tools.client_bin / "pg_dump"
    assert schema_sql(bare, pg_dump) == schema_sql(populated, pg_dump) == (ROOT / "docs" / "schema.sql").read_text()
    with psycopg.connect(bare, autocommit=True) as connection:
        assert compare(shipped_catalogue(), read_catalogue(connection)) == []
        connection.execute("insert into auth.users (id, email) values (gen_random_uuid(), 'new@example.com')")
        found = connection.execute("select count(*) from public.profiles where email = 'new@example.com'").fetchone()
        assert found == (1,), "what hangs on Supabase's tables is back as well"
        live = connection.execute(
            "select count(*) from pg_publication_tables where pubname = 'supabase_realtime'"
        ).fetchone()
        assert live is not None
        assert live[0] > 3


def test_a_restore_in_place_undoes_everything_since(populated: str, cluster: Cluster, tmp_path: Path) -> None:
    before = fingerprint(populated)
    backup = make_backup(Target.read(populated), tmp_path, cluster.backup_tools)
    assert backup is not None
    with psycopg.connect(populated, autocommit=True) as connection:
        connection.execute("delete from public.contacts")
        connection.execute("alter table public.contacts drop column name cascade")
        connection.execute("create table public.later (id int)")
        connection.execute("create type public.mood as enum ('good')")

    with pytest.raises(InvalidState) as refused:
        restore_backup(Target.read(populated), backup, cluster.backup_tools, replace=False)
    assert refused.value.code == "restore_refused"

    assert restore_backup(Target.read(populated), backup, cluster.backup_tools, replace=True) == []
    assert fingerprint(populated) == before


def test_accounts_that_were_deleted_come_back_and_new_ones_stay(
    populated: str, cluster: Cluster, tmp_path: Path
) -> None:
    backup = make_backup(Target.read(populated), tmp_path, cluster.backup_tools)
    assert backup is not None
    with psycopg.connect(populated, autocommit=True) as connection:
        connection.execute("delete from public.workspaces")
        connection.execute("delete from auth.users where email = 'person-1@example.com'")
        connection.execute("insert into auth.users (id, email) values (gen_random_uuid(), 'later@example.com')")

    restore_backup(Target.read(populated), backup, cluster.backup_tools, replace=True)

    with psycopg.connect(populated) as connection:
        emails = {email for (email,) in connection.execute("select email from auth.users").fetchall()}
    assert emails == {*(f"person-{number}@example.com" for number in (1, 2, 3)), "later@example.com"}


def test_rows_and_counts_agree_while_writers_go_on(populated: str, bare: str, cluster: Cluster, tmp_path: Path) -> None:
    writer = f"""
import psycopg
with psycopg.connect({populated!r}, autocommit=True) as connection:
    while True:
        connection.execute("insert into public.contacts (workspace_id, name) select id, 'More' from public.workspaces")
        print("x", flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", writer], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            backup = make_backup(Target.read(populated), tmp_path, cluster.backup_tools)
        finally:
            process.kill()
    assert backup is not None
    assert backup.rows["public.contacts"] > 500

    assert restore_backup(Target.read(bare), backup, cluster.backup_tools, replace=False) == []


def test_a_restore_that_breaks_off_leaves_the_database_as_it_was(
    populated: str, cluster: Cluster, tmp_path: Path
) -> None:
    backup = make_backup(Target.read(populated), tmp_path, cluster.backup_tools)
    assert backup is not None
    before = fingerprint(populated)
    whole = (backup.path / "dump.pgc").read_bytes()
    (backup.path / "dump.pgc").write_bytes(whole[: len(whole) * 2 // 3])

    with pytest.raises(QeroError) as broken:
        restore_backup(Target.read(populated), backup, cluster.backup_tools, replace=True)
    assert broken.value.code in ("backup_unreadable", "restore_failed")
    assert fingerprint(populated) == before

    (backup.path / "dump.pgc").write_bytes(whole)
    (backup.path / "users.copy").write_text("not a row\n")
    with pytest.raises(QeroError) as refused:
        restore_backup(Target.read(populated), backup, cluster.backup_tools, replace=True)
    assert refused.value.code == "restore_failed"
    assert "qero_users" in refused.value.detail["output"]
    assert fingerprint(populated) == before


def test_a_restore_of_other_rows_than_were_counted_leaves_no_trace(
    populated: str, cluster: Cluster, tmp_path: Path
) -> None:
    backup = make_backup(Target.read(populated), tmp_path, cluster.backup_tools)
    assert backup is not None
    with psycopg.connect(populated, autocommit=True) as connection:
        connection.execute("delete from public.contacts")
    before = fingerprint(populated)
    counted = {**backup.rows, "public.contacts": backup.rows["public.contacts"] + 1}

    with pytest.raises(QeroError) as error:
        restore_backup(
            Target.read(populated), replace(backup, rows=counted), cluster.backup_tools, replace=True
        )  # fmt: skip

    assert error.value.code == "restore_failed"
    assert "public.contacts has" in error.value.detail["output"]
    assert fingerprint(populated) == before


def test_what_takes_too_long_is_ended_and_said_so(populated: str, cluster: Cluster, tmp_path: Path) -> None:
    target = Target.read(populated)
    backup = make_backup(target, tmp_path / "backups", cluster.backup_tools)
    assert backup is not None
    before = fingerprint(populated)
    real = cluster.tools.client_bin
    waiting = "import time; time.sleep(60)"
    slow_reader, slow_writer = tmp_path / "reader", tmp_path / "writer"
    program(slow_reader, "pg_dump", f"os.execv({str(real / 'pg_dump')!r}, sys.argv)")
    program(slow_reader, "pg_restore", passing_on(real / "pg_restore", waiting))
    program(slow_writer, "pg_restore", f"os.execv({str(real / 'pg_restore')!r}, sys.argv)")
    program(slow_writer, "psql", passing_on(real / "psql", waiting))

    with pytest.raises(QeroError) as reading:
        make_backup(target, tmp_path / "backups", Tools([slow_reader]), timeout_seconds=5)
    with pytest.raises(QeroError) as restoring:
        restore_backup(target, backup, Tools([slow_writer]), replace=True, timeout_seconds=1)

    assert [error.value.code for error in (reading, restoring)] == ["tool_timed_out"] * 2
    assert "pg_restore took longer than 5 s." in str(reading.value)
    assert "psql took longer than 1 s." in str(restoring.value)
    assert [found.path for found in list_backups(tmp_path / "backups")] == [backup.path]
    assert fingerprint(populated) == before


def test_nothing_stays_of_a_backup_that_failed(
    populated: str, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Target.read(populated)
    make_backup(target, tmp_path / "backups", cluster.backup_tools)
    [kept] = list_backups(tmp_path / "backups")
    real = cluster.tools.client_bin
    full = tmp_path / "full"
    program(full, "pg_dump", passing_on(
        real / "pg_dump",
        "print('pg_dump: error: could not write to file: No space left on device', file=sys.stderr); sys.exit(1)",
    ))  # fmt: skip
    program(full, "pg_restore", passing_on(real / "pg_restore", "sys.exit(0)"))
    short = tmp_path / "short"
    program(
        short,
        "pg_dump",
        passing_on(
            real / "pg_dump", "open([a[7:] for a in sys.argv if a.startswith('--file=')][0], 'w').write('PGDMP')"
        ),
    )
    shutil.copy(full / "pg_restore", short / "pg_restore")

    for folder, code, words in ((full, "backup_failed", "No space left"), (short, "backup_unreadable", "")):
        with pytest.raises(QeroError) as error:
            make_backup(target, tmp_path / "backups", Tools([folder]), keep=1)
        assert error.value.code == code
        assert words in str(error.value.detail)

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 9, 1))
    with pytest.raises(QeroError) as error:
        make_backup(target, tmp_path / "backups", cluster.backup_tools, keep=1)
    assert error.value.code == "backup_no_space"
    assert error.value.detail["free_bytes"] == 1
    assert [path.name for path in (tmp_path / "backups").iterdir() if path.is_dir()] == [kept.path.name]


def test_the_newest_are_kept_and_found_by_their_time(populated: str, cluster: Cluster, tmp_path: Path) -> None:
    made = [make_backup(Target.read(populated), tmp_path, cluster.backup_tools, keep=2) for _ in range(3)]

    assert [backup.path for backup in list_backups(tmp_path)] == [made[2].path, made[1].path]  # type: ignore[union-attr]
    assert read_backup(list_backups(tmp_path)[0].path) == made[2]
    assert (tmp_path / ".gitignore").read_text() == "*\n"
    assert os.stat(list_backups(tmp_path)[0].path).st_mode & 0o077 == 0
    with pytest.raises(NotFound):
        read_backup(tmp_path / "nowhere")


def test_a_database_without_tables_of_ours_has_no_backup(bare: str, cluster: Cluster, tmp_path: Path) -> None:
    assert make_backup(Target.read(bare), tmp_path, cluster.backup_tools) is None
    assert list_backups(tmp_path) == []


def test_programs_that_are_too_old_are_passed_over_and_named(populated: str, cluster: Cluster, tmp_path: Path) -> None:
    program(tmp_path / "old", "pg_dump", "print('pg_dump (PostgreSQL) 15.4')")
    tools = Tools([tmp_path / "none", tmp_path / "old"])

    with pytest.raises(QeroError) as error:
        make_backup(Target.read(populated), tmp_path / "backups", tools)

    assert error.value.code == "tool_missing"
    assert f"{tmp_path / 'old' / 'pg_dump'} (15)" in error.value.message
    assert make_backup(
        Target.read(populated), tmp_path / "backups", Tools([*tools.client_folders, cluster.tools.client_bin])
    )


def test_a_password_is_in_no_argument_and_no_file(populated: str, cluster: Cluster, tmp_path: Path) -> None:
    target = Target.read(populated)
    assert target.password
    real = cluster.tools.client_bin / "pg_dump"
    spy = tmp_path / "spy"
    program(
        spy, "pg_dump",
        f"open({str(tmp_path / 'seen')!r}, 'a').write(repr(sys.argv))\nos.execv({str(real)!r}, sys.argv)",
    )  # fmt: skip

    backup = make_backup(target, tmp_path / "backups", Tools([spy, cluster.tools.client_bin]))

    assert backup is not None
    seen = (tmp_path / "seen").read_text()
    assert target.address in seen
    assert target.password not in seen
    for file in backup.path.iterdir():
        assert target.password.encode() not in file.read_bytes(), file
    assert target.password not in repr(target) + repr(backup)


SUPABASE = """
import subprocess
words = sys.argv[1:]
assert words[:2] == ["db", "dump"], words
option = lambda name: words[words.index(name) + 1]
url = [word[9:] for word in words if word.startswith("--remote=")][0]
command = [{pg_dump!r}, "--no-owner", url, "--file", option("--file")]
command += [f"--schema={{name}}" for name in option("--schema").split(",")]
command += ["--data-only"] if "--data-only" in words else ["--schema-only"]
done = subprocess.run(command).returncode
with open(option("--file")) as file:
    text = file.read()
with open(option("--file"), "w") as file:
    file.write(text.replace("CREATE SCHEMA ", "CREATE SCHEMA IF NOT EXISTS "))
sys.exit(done)
"""


def test_what_the_supabase_cli_dumps_restores_as_well(
    populated: str, bare: str, cluster: Cluster, tmp_path: Path
) -> None:
    # Docker is nothing that a test can count on: this writes what the CLI has its container write.
    supabase = program(tmp_path, "supabase", SUPABASE.format(pg_dump=str(cluster.tools.client_bin / "pg_dump")))
    tools = Tools([cluster.tools.client_bin], supabase)

    backup = make_backup(Target.read(populated), tmp_path / "backups", tools)

    assert backup is not None
    assert backup.kind == "supabase"
    # Only a superuser may pass over triggers; hosted lets its owner do so too.
    assert restore_backup(Target.read(cluster.superuser(bare)), backup, tools, replace=False) is not None
    assert fingerprint(bare) == fingerprint(populated)


def test_a_database_that_isnt_there_is_said_without_its_password(populated: str) -> None:
    url = populated.rpartition("/")[0] + "/nowhere?sslmode=disable"

    with pytest.raises(Unavailable) as error:
        Target.read(url).connect()

    assert error.value.code == "database_unavailable"
    assert Target.read(url).password not in repr(error.value.to_dict())


@pytest.mark.parametrize(
    ("url", "address", "password"),
    [
        ("postgresql://postgres:p%40ss@db.example.com:5432/postgres?sslmode=require",
         "postgresql://postgres@db.example.com:5432/postgres?sslmode=require", "p@ss"),
        ("host=db.example.com user=postgres password='p ss' dbname=postgres",
         "postgresql://postgres@db.example.com/postgres", "p ss"),
        ("postgresql://postgres@[::1]/postgres?password=secret", "postgresql://postgres@[::1]/postgres", "secret"),
        ("postgresql://postgres.ref:x@pooler.example.com:5432/postgres",
         "postgresql://postgres.ref@pooler.example.com:5432/postgres", "x"),
    ],
)  # fmt: skip
def test_every_way_to_write_an_address_is_taken_and_its_password_taken_out(
    url: str, address: str, password: str
) -> None:
    target = Target.read(url)

    assert (target.address, target.password) == (address, password)


@pytest.mark.parametrize(
    "url",
    ["postgresql://postgres:p@ss@db.example.com/postgres", "postgresql://u:p@db.example.com:6543/postgres", "nonsense"],
)
def test_an_address_that_cant_be_used_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(QeroError) as error:
        Target.read(url)

    assert error.value.code == "setting_invalid"
    assert "ss@" not in str(error.value.to_dict())
