"""`qero db push` as a whole: what it does, where it stops, and that repeating it goes on from there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import namedtuple
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from qero import Conflict, InvalidInput, InvalidState, QeroError
from qero.ops import lint, runner
from qero.ops.backup import list_backups, restore_backup
from qero.ops.catalogue import compare, read_catalogue, shipped_catalogue
from qero.ops.history import read_plan, recorded
from qero.ops.push import CLI_SESSIONS, migration_files
from qero.ops.runner import PushOptions, Report, push
from qero.ops.target import Target, alone
from tests.ops.conftest import ROOT, Cluster, fingerprint, populate, project
from tests.ops.shapes import SHAPES
from tests.ops.test_backup import passing_on, program

SHIPPED = [file.name for file in migration_files(ROOT)]
OWN = "20990101000000_own.sql"
OWN_TABLE = """
set lock_timeout = '5s';
create table public.own (id bigint generated always as identity primary key, note text);
alter table public.own enable row level security;
revoke all on table public.own from public, anon, authenticated, service_role;
"""


class Runs:
    """Pushes a project to a database, in this process or as the command."""

    def __init__(self, cluster: Cluster, folder: Path, url: str) -> None:
        self.cluster = cluster
        self.folder = folder
        self.url = url
        self.target = Target.read(url)
        self.backups = folder / "backups"

    def push(self, **options: Any) -> Report:
        report = Report(self.target.address, str(self.folder))
        supabase = options.pop("supabase", self.cluster.tools.supabase)
        push(
            self.target, self.folder, supabase, self.cluster.backup_tools,
            PushOptions(**{"backups": self.backups, **options}), report, lambda _: None,
        )  # fmt: skip
        return report

    def refused(self, **options: Any) -> QeroError:
        with pytest.raises(QeroError) as error:
            self.push(**options)
        return error.value

    def command(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "qero", "db", *arguments], cwd=self.folder, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SUPABASE_DB_URL": self.url, **environment},
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def ended(self, *arguments: str, **environment: str) -> tuple[int, str, str]:
        process = self.command(*arguments, **environment)
        out, err = process.communicate(timeout=300)
        return process.returncode, out, err

    def write(self, text: str, name: str = OWN) -> Path:
        file = self.folder / "supabase" / "migrations" / name
        file.write_text(text)
        return file

    def scalar(self, query: str) -> Any:
        with psycopg.connect(self.url) as connection:
            row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


@pytest.fixture
def runs(cluster: Cluster, tmp_path: Path, migrated: str) -> Runs:
    """A migrated database with rows, and a project with qero's migrations."""
    populate(migrated)
    return Runs(cluster, project(tmp_path), migrated)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)


def test_from_nothing_and_again(cluster: Cluster, bare: str, tmp_path: Path) -> None:
    runs = Runs(cluster, project(tmp_path), bare)

    first = runs.push()
    again = runs.push()

    assert first.applied == SHIPPED
    assert [(step.name, step.state) for step in first.steps] == [
        ("files", "done"), ("plan", "done"), ("lint", "done"), ("backup", "skipped"), ("push", "done"),
        ("backfill", "done"), ("verify", "done"),
    ]  # fmt: skip
    assert first.verification is not None
    assert (first.verification.holds, first.verification.failed_checks) == (True, [])
    assert again.applied == []
    assert [step.name for step in again.steps] == ["files", "plan", "backfill", "verify"]
    with psycopg.connect(bare) as connection:
        assert compare(shipped_catalogue(), read_catalogue(connection)) == []


def test_ones_own_migration_is_backed_up_before_and_noted_after(runs: Runs) -> None:
    before = fingerprint(runs.url)
    runs.write(OWN_TABLE)

    report = runs.push()

    assert report.applied == [OWN]
    assert report.verification is not None
    assert [(note.kind, note.name, note.own) for note in report.verification.notes] == [
        ("table", "public.own", True)
    ]  # fmt: skip
    [backup] = list_backups(runs.backups)
    assert report.backup == backup
    restore_backup(runs.target, backup, runs.cluster.backup_tools, replace=True)
    assert fingerprint(runs.url) == before


def test_the_command_reports_and_never_shows_the_password(runs: Runs) -> None:
    runs.write(OWN_TABLE)

    code, out, err = runs.ended("push", "--json", "--report", "report.json")

    assert code == 0, err
    report = json.loads(out)
    assert json.loads((runs.folder / "report.json").read_text()) == report
    assert (report["applied"], report["verification"]["holds"], report["error"]) == ([OWN], True, None)
    assert Path(report["backup"]["path"]).parent.name == "backups"
    assert runs.target.password not in out + err
    code, out, _ = runs.ended("status", "--json")
    status = json.loads(out)
    assert (code, status["applied"], status["pending"]) == (0, len(SHIPPED) + 1, [])
    assert status["last_backup"]["rows"]["public.contacts"] == 500
    assert runs.ended("plan")[1].strip() == "Nothing to do: the database has every migration."
    assert runs.ended("verify")[0] == 0


def test_the_commands_back_up_list_and_restore(runs: Runs) -> None:
    before = fingerprint(runs.url)
    code, out, err = runs.ended("restore", "--replace", "--yes", "--json")
    assert (code, json.loads(err.splitlines()[-1])["error"]["code"]) == (1, "backup_not_found")

    code, out, err = runs.ended("backup", "--json")
    assert code == 0, err
    made = json.loads(out)
    assert made["rows"]["public.contacts"] == 500
    assert [found["path"] for found in json.loads(runs.ended("backup", "--list", "--json")[1])] == [made["path"]]
    with psycopg.connect(runs.url) as connection:
        connection.execute("delete from public.contacts")
    code, out, err = runs.ended("restore", "--json")
    assert (code, json.loads(err.splitlines()[-1])["error"]["code"]) == (1, "restore_refused")
    code, out, err = runs.ended("restore", made["path"], "--replace", "--yes", "--json")
    assert (code, json.loads(out)["differences"]) == (0, []), err
    assert fingerprint(runs.url) == before
    assert len(json.loads(runs.ended("backup", "--list", "--json")[1])) == 2, "what stood there was backed up first"


def test_a_throw_away_database_knows_ones_own_migrations(runs: Runs) -> None:
    runs.write(OWN_TABLE)
    runs.push()
    with psycopg.connect(runs.url) as connection:
        connection.execute("alter table public.own disable row level security")

    code, out, err = runs.ended("verify", "--fresh", "--json")

    assert code == 8, err
    assert [(item["name"], item["statements"]) for item in json.loads(out)["differences"]] == [
        ("public.own", ["alter table public.own enable row level security"])
    ]
    assert json.loads(out)["notes"] == []


@pytest.mark.parametrize(
    ("refused", "said"), [("--remote", "unknown flag: --remote"), ("--db-url", "unknown flag: --db-url")]
)
def test_each_version_of_the_cli_gets_the_flag_that_it_knows(
    refused: str, said: str, runs: Runs, tmp_path: Path
) -> None:
    runs.write(OWN_TABLE)
    supabase = program(
        tmp_path / "older", "supabase",
        f"if any(word.startswith({refused!r}) for word in sys.argv):\n"
        f"    sys.exit({said!r})\n"
        f"os.execv({str(runs.cluster.tools.supabase)!r}, sys.argv)",
    )  # fmt: skip

    assert runs.push(supabase=supabase).applied == [OWN]


# Where it stops -------------------------------------------------------------------------------------------------------


def test_without_the_supabase_cli_nothing_is_done(runs: Runs, tmp_path: Path) -> None:
    runs.write(OWN_TABLE)

    assert runs.refused(supabase=tmp_path / "nowhere").code == "tool_missing"

    assert runs.scalar("select to_regclass('public.own')") is None
    assert runs.push().applied == [OWN]


def test_a_wrong_password_stops_before_anything(runs: Runs) -> None:
    wrong = runs.url.replace(runs.target.password, "a-wrong-password")

    code, out, err = runs.ended("push", SUPABASE_DB_URL=wrong)

    assert (code, out) == (4, "")
    assert "password authentication failed" in err
    assert "a-wrong-password" not in err


def test_a_full_disk_stops_before_the_push(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.write(OWN_TABLE)
    usage = namedtuple("usage", "total used free")
    with monkeypatch.context() as full:
        full.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 0))
        assert runs.refused().code == "backup_no_space"
    assert runs.scalar("select to_regclass('public.own')") is None

    assert runs.push().applied == [OWN]


def test_a_broken_migration_leaves_nothing_of_itself_and_is_finished_once_mended(runs: Runs) -> None:
    runs.write(OWN_TABLE)
    broken = runs.write("set lock_timeout = '5s'; update public.own set note = 'x' where id = 1; select 1 / 0;",
                        "20990101000001_broken.sql")  # fmt: skip

    error = runs.refused()

    assert (error.code, "division by zero" in error.detail["output"]) == ("migration_failed", True)
    assert runs.scalar("select to_regclass('public.own')") is not None, "the one before it stays"
    broken.write_text("set lock_timeout = '5s'; update public.own set note = 'x' where id = 1;")
    assert runs.push().applied == ["20990101000001_broken.sql"]


def test_a_run_that_is_killed_is_taken_up_by_the_next(runs: Runs) -> None:
    runs.write(OWN_TABLE + "select pg_sleep(4);")
    process = runs.command("push")
    with psycopg.connect(runs.url, autocommit=True) as connection:
        working = "select count(*) from pg_stat_activity where application_name = any (%s) and wait_event = 'PgSleep'"
        wait_until(lambda: connection.execute(working, [list(CLI_SESSIONS)]).fetchone() == (1,))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

        # The CLI goes on by itself; until it has ended, nobody begins.
        assert runs.refused().code == "run_in_progress"
        wait_until(lambda: connection.execute(working, [list(CLI_SESSIONS)]).fetchone() == (0,))
    report = wait_until(lambda: _or_none(runs.push))

    assert report.verification is not None
    assert report.verification.holds
    assert runs.scalar("select to_regclass('public.own')") is not None


def _or_none(run: Any) -> Any:
    try:
        return run()
    except Conflict:
        return None


def wait_until(question: Any, seconds: float = 120) -> Any:
    deadline = time.monotonic() + seconds
    while not (answer := question()):
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
    return answer


def test_a_run_that_is_killed_while_it_backs_up_leaves_no_backup_and_no_lock(runs: Runs, tmp_path: Path) -> None:
    runs.write(OWN_TABLE)
    marker = tmp_path / "dumping"
    slow = program(tmp_path / "slow", "pg_dump", passing_on(
        runs.cluster.tools.client_bin / "pg_dump",
        f"import time\nopen({str(marker)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)",
    ))  # fmt: skip

    process = runs.command("push", PATH=f"{slow.parent}:{os.environ['PATH']}")
    wait_until(lambda: marker.exists() and marker.read_text())
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    os.kill(int(marker.read_text()), signal.SIGKILL)

    assert list_backups(runs.backups) == []
    assert runs.scalar("select to_regclass('public.own')") is None
    assert wait_until(lambda: _or_none(runs.push)).applied == [OWN]
    assert len(list_backups(runs.backups)) == 1


def test_a_run_that_is_killed_while_it_numbers_messages_is_finished_by_the_next(
    cluster: Cluster, bare: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = Runs(cluster, project(tmp_path), bare)
    with psycopg.connect(bare) as connection:
        connection.execute(SHAPES["chats whose messages have no numbers"].sql)

    def killed(*_: Any, **__: Any) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(runner, "backfill", killed)
        with pytest.raises(KeyboardInterrupt):
            runs.push(backups=None)
    assert runs.scalar("select count(*) from private.chat_backlog") == 3
    with psycopg.connect(bare) as holder, psycopg.connect(bare, autocommit=True) as looking:
        holder.execute("select from public.chats order by id limit 1 for update")
        process = runs.command("push", "--skip-backup")
        at_work = "select count(*) from pg_stat_activity where query like 'call%%' and wait_event_type = 'Lock'"
        wait_until(lambda: looking.execute(at_work).fetchone() == (1,))
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()

        # Its session is still at work, and holds the lock until it has ended.
        assert runs.refused(backups=None).code == "run_in_progress"
    report = wait_until(lambda: _or_none(partial(runs.push, backups=None)))

    assert report.verification is not None
    assert report.verification.holds
    assert runs.scalar("select count(*) from public.chat_messages where seq is null") == 0


def test_two_runs_exclude_each_other(runs: Runs) -> None:
    runs.write(OWN_TABLE)
    with alone(runs.target, "qero db push"):
        error = runs.refused()
        code, _, err = runs.ended("push", "--json")

    assert error.code == "run_in_progress"
    assert error.detail["run"].startswith("qero db push by ")
    assert (code, json.loads(err.splitlines()[-1])["error"]["code"]) == (9, "run_in_progress")
    assert runs.push().applied == [OWN]


def test_what_differs_afterwards_is_said_and_mended_by_a_migration_that_a_person_reviews(runs: Runs) -> None:
    runs.write(OWN_TABLE)
    with psycopg.connect(runs.url) as connection:
        connection.execute("drop policy contacts_select_member on public.contacts")
        connection.execute("grant select on public.contacts to anon")

    code, _, err = runs.ended("push")
    assert code == 8
    assert "policy public.contacts.contacts_select_member: missing" in err

    code, out, _ = runs.ended("verify", "--write", "supabase/migrations/20990101000002_mend.sql")
    assert code == 8
    assert "create policy contacts_select_member" in out
    assert runs.push().applied == ["20990101000002_mend.sql"]
    assert runs.ended("verify")[0] == 0


def test_a_lock_that_others_hold_is_asked_for_again(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.write("set lock_timeout = '200ms'; alter table public.contacts add column extra text;")
    asked = threading.Event()
    monkeypatch.setattr(time, "sleep", lambda _: asked.set())
    with psycopg.connect(runs.url) as holder:
        holder.execute("lock table public.contacts in access exclusive mode")

        def let_go() -> None:
            asked.wait(30)
            holder.rollback()

        letting_go = threading.Thread(target=let_go)
        letting_go.start()

        error = runs.refused(backups=None)
        letting_go.join()

    assert error.code == "schema_differs", "it was pushed, and the column is one too many"
    assert runs.scalar("select count(*) from pg_attribute where attname = 'extra'") == 1


def test_a_lock_that_is_never_let_go_ends_the_push(runs: Runs, quick: None) -> None:
    runs.write("set lock_timeout = '20ms'; alter table public.contacts add column extra text;")
    with psycopg.connect(runs.url) as holder:
        holder.execute("lock table public.contacts in access exclusive mode")

        error = runs.refused(backups=None)

    assert (error.code, error.retryable) == ("migration_locked_out", True)
    assert runs.scalar("select count(*) from pg_attribute where attname = 'extra'") == 0


def test_what_loses_rows_needs_a_flag_and_a_backup(runs: Runs) -> None:
    runs.write(OWN_TABLE)
    runs.push()
    runs.write("set lock_timeout = '5s'; drop table public.own;", "20990101000003_drop.sql")

    error = runs.refused()
    assert error.code == "migration_refused"
    assert isinstance(error, InvalidInput)
    assert "20990101000003_drop.sql:1 destructive: It drops public.own." in error.detail["findings"]
    without = runs.refused(allowed=["destructive"], backups=None)
    assert (without.code, isinstance(without, InvalidState)) == ("backup_needed", True)

    report = runs.push(allowed=["destructive"])
    assert report.applied == ["20990101000003_drop.sql"]
    assert report.backup is not None
    assert report.backup.rows["public.own"] == 0


# Applied with another text -------------------------------------------------------------------------------------------


def rewrite_history(url: str, version: str) -> None:
    """As if the version had been applied with another text, before the file was rewritten."""
    with psycopg.connect(url) as connection:
        connection.execute(
            "update supabase_migrations.schema_migrations set statements = array['select 1'] where version = %s",
            [version],
        )


def test_the_history_says_what_was_applied(runs: Runs) -> None:
    with psycopg.connect(runs.url) as connection:
        assert list(recorded(connection)) == [name.partition("_")[0] for name in SHIPPED]
        plan = read_plan(connection, runs.folder)

    assert plan.is_empty
    assert (plan.edited, plan.unknown, plan.reapply) == ((), (), ())


def test_an_edited_migration_is_noticed_and_adopting_runs_it_and_those_after_it_again(runs: Runs) -> None:
    edited = SHIPPED[3]
    rewrite_history(runs.url, edited.partition("_")[0])
    with psycopg.connect(runs.url) as connection:
        # What the rewritten file has and its older text hadn't.
        connection.execute("drop function public.get_chat_messages; drop policy chats_select_member on public.chats")
    before = runs.scalar("select count(*) from public.contacts")

    error = runs.refused()
    assert (error.code, error.detail) == ("migration_edited", {"files": [edited], "reapply": SHIPPED[3:]})
    code, out, _ = runs.ended("plan", "--adopt", "--json")
    assert (code, json.loads(out)["reapply"]) == (0, SHIPPED[3:])
    assert runs.scalar("select to_regproc('public.get_chat_messages')") is None
    report = runs.push(adopt=True)
    assert report.applied == SHIPPED[3:]
    assert report.verification is not None
    assert report.verification.holds
    assert runs.scalar("select count(*) from public.contacts") == before
    assert runs.push().applied == []


def test_a_table_in_another_shape_is_mended_first_by_what_a_person_has_reviewed(runs: Runs) -> None:
    rewrite_history(runs.url, "20260122000000")
    with psycopg.connect(runs.url) as connection:
        # Where a column only lacks, the migrations add it; they don't change what it is.
        connection.execute("alter table public.wa_threads drop column unread_count cascade, add unread_count text")
        connection.execute("drop policy wa_threads_select_member on public.wa_threads")

    error = runs.refused(adopt=True)
    assert (error.code, "--first mend.sql" in str(error.hint)) == ("migration_failed", True)
    code, _, _ = runs.ended("verify", "--write", "mend.sql")
    assert code == 8
    code, _, err = runs.ended("push", "--adopt", "--first", "mend.sql")

    assert code == 0, err
    assert runs.ended("verify")[0] == 0


def test_what_runs_first_is_read_by_lint_too(runs: Runs) -> None:
    rewrite_history(runs.url, "20260122000000")
    first = runs.folder / "mend.sql"
    first.write_text("set lock_timeout = '5s';\ndrop table public.contact_notes;")

    error = runs.refused(adopt=True, first=first)

    assert (error.code, error.detail["rules"]) == ("migration_refused", ["destructive"])
    assert "mend.sql:2 destructive: It drops public.contact_notes." in error.detail["findings"]
    assert runs.scalar("select to_regclass('public.contact_notes')") is not None
    first.write_text("set lock_timeout = '5s';\ncomment on table public.contact_notes is 'Reviewed.';")
    assert runs.push(adopt=True, first=first).applied
    assert runs.scalar("select obj_description('public.contact_notes'::regclass)") == "Reviewed."


def test_a_big_table_gets_its_indexes_while_writers_go_on(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lint, "BIG_TABLE_ROWS", 100)
    rewrite_history(runs.url, SHIPPED[3].partition("_")[0])
    with psycopg.connect(runs.url, autocommit=True) as connection:
        connection.execute("analyze public.chat_messages")
        connection.execute("drop index public.chat_messages_chat_id_workspace_id_rev_idx")
        connection.execute("alter table public.chat_messages drop constraint chat_messages_client_generated_id_key")

    report = runs.push(adopt=True)

    [adopted] = [step for step in report.steps if step.name == "adopt"]
    assert adopted.said == "2 indexes made beside writers"
    assert report.verification is not None
    assert report.verification.holds


def test_an_edited_migration_of_ones_own_is_refused_in_any_case(runs: Runs) -> None:
    runs.write(OWN_TABLE)
    runs.push()
    runs.write(OWN_TABLE + "-- and more\ncreate index own_note_idx on public.own (note);")

    for adopt in (False, True):
        error = runs.refused(adopt=adopt)
        assert (error.code, error.detail["files"]) == ("migration_edited", [OWN])
    assert "new migration" in str(error.hint)


def test_white_space_and_line_ends_are_no_edit(runs: Runs) -> None:
    runs.write(OWN_TABLE)
    runs.push()
    runs.write(OWN_TABLE.replace("\n", "\r\n") + "\n\n")

    assert runs.push().applied == []


def test_adopting_that_is_killed_half_way_is_finished_by_any_push(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite_history(runs.url, SHIPPED[2].partition("_")[0])

    def killed(*_: Any, **__: Any) -> list[str]:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr(runner, "push_migrations", killed)
        with pytest.raises(KeyboardInterrupt):
            runs.push(adopt=True)

    assert runs.push().applied == SHIPPED[2:]


def test_a_history_without_texts_is_taken_as_it_is(runs: Runs) -> None:
    with psycopg.connect(runs.url) as connection:
        connection.execute("update supabase_migrations.schema_migrations set statements = null")
    with psycopg.connect(runs.url) as connection:
        assert read_plan(connection, runs.folder).unknown == tuple(SHIPPED)
        connection.execute("alter table supabase_migrations.schema_migrations drop column statements")
        assert read_plan(connection, runs.folder).unknown == tuple(SHIPPED)
        connection.rollback()

    assert runs.push().applied == []


# From every earlier version ------------------------------------------------------------------------------------------


def test_from_every_earlier_version_the_same_catalogue(cluster: Cluster, bare: str) -> None:
    wanted = shipped_catalogue()
    for file in migration_files(ROOT):
        url = cluster.copy_of(bare)
        with psycopg.connect(url, autocommit=True) as connection:
            populate_what_there_is(connection)
            for later in migration_files(ROOT):
                if later.name >= file.name:
                    with connection.transaction():
                        connection.execute(later.read_bytes())
            assert compare(wanted, read_catalogue(connection)) == [], f"from before {file.name}"
        with psycopg.connect(bare, autocommit=True) as connection, connection.transaction():
            connection.execute(file.read_bytes())


def populate_what_there_is(connection: psycopg.Connection[Any]) -> None:
    """A row or some in the first tables, so that later migrations don't meet an empty database."""
    if connection.execute("select to_regclass('public.contacts') is not null").fetchone() == (True,):
        connection.execute("insert into public.workspaces (slug, name) values ('acme', 'Acme')")
        connection.execute("insert into public.contacts (workspace_id, name) select id, 'Ada' from public.workspaces")
