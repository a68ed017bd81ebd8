"""What lint says about migrations before they are pushed, and that it says nothing about good ones."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest

from qero import InvalidInput
from qero.ops.lint import BIG_TABLE_ROWS, RULES, Finding, Standing, lint_migrations, read_standing, require_allowed
from qero.ops.push import migration_files
from tests.ops.conftest import ROOT
from tests.ops.test_runner import Runs, runs  # noqa: F401  (a fixture)

GOOD = """
-- Purpose: notes of one's own.
set lock_timeout = '5s';
create table public.own_notes (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  body text not null
);
create index own_notes_workspace_id_idx on public.own_notes (workspace_id);
alter table public.own_notes enable row level security;
revoke all on table public.own_notes from public, anon, authenticated, service_role;
grant select on table public.own_notes to authenticated;
create function public.count_own_notes() returns bigint language sql security invoker set search_path = '' as $$
  select count(*) from public.own_notes
$$;
revoke all on function public.count_own_notes() from public, anon, authenticated, service_role;
"""
BIG = Standing(
    rows={"public.wa_messages": BIG_TABLE_ROWS, "public.contacts": 10},
    names={"there_idx", "there_check"},
    indexed=[("public.contacts", ("created_by",))],
    columns={("public.wa_messages", "sequence")},
)
SET = "set lock_timeout = '5s';\n"

FAULTS = [
    ("syntax", "create tabel public.x ();", 1),
    ("destructive", SET + "drop table public.contacts;", 2),
    ("destructive", SET + "drop schema private cascade;", 2),
    ("destructive", SET + "alter table public.contacts\n  drop column email;", 2),
    ("destructive", "truncate public.contacts, public.contact_notes;", 1),
    ("destructive", "delete from public.contacts;", 1),
    ("destructive", "update public.contacts set name = null;", 1),
    ("destructive", SET + "drop type public.mood cascade;", 2),
    ("destructive", "\n\n-- why\ndo $$ begin execute 'drop table ' || 'x'; end $$;", 4),
    ("destructive", "do $$ begin alter table public.contacts drop column email; truncate x; end $$;", 1),
    ("locking", SET + "create index more_idx on public.wa_messages (type);", 2),
    ("locking", SET + "alter table public.wa_messages alter column type type varchar(20);", 2),
    ("locking", SET + "alter table public.wa_messages alter column body set not null;", 2),
    ("locking", SET + "alter table public.wa_messages add constraint more_check check (body <> '');", 2),
    ("locking", SET + "alter table public.wa_messages add constraint more_key unique (body);", 2),
    ("locking", SET + "alter table public.wa_messages add column token uuid default gen_random_uuid();", 2),
    ("locking", SET + "alter table public.wa_messages add column n bigint generated always as identity;", 2),
    (
        "locking",
        SET + "create table if not exists public.wa_messages ();\ncreate index x on public.wa_messages (type);",
        3,
    ),
    ("locking", "do $$ begin alter table public.wa_messages add n bigint generated always as identity; end $$;", 1),
    ("locking", "update public.wa_messages set body = '' where body is null;", 1),
    ("locking", SET + "lock table public.wa_messages in share mode;", 2),
    ("transaction", SET + "create index concurrently more_idx on public.contacts (name);", 2),
    ("transaction", "begin; select 1; commit;", 1),
    ("transaction", "vacuum full public.contacts;", 1),
    ("row_security", GOOD.replace("alter table public.own_notes enable row level security;", ""), 4),
    ("row_security", SET + "alter table public.contacts disable row level security;", 2),
    ("grants", GOOD.replace("revoke all on table", "-- revoke all on table"), 4),
    ("grants", GOOD.replace("revoke all on function", "-- revoke all on function"), 13),
    ("grants", "grant select on public.contacts to anon;", 1),
    ("grants", "grant execute on function public.whoami() to public;", 1),
    ("search_path", GOOD.replace(" set search_path = ''", ""), 13),
    ("foreign_key_index", GOOD.replace("create index", "-- create index"), 4),
    (
        "foreign_key_index",
        SET + "alter table public.contacts add column other_id uuid references public.chats (id);",
        2,
    ),
    ("lock_timeout", GOOD.replace("set lock_timeout", "-- set lock_timeout"), 1),
]


def lint(folder: Path, text: str, name: str = "20990101000000_x.sql") -> list[Finding]:
    file = folder / name
    file.write_text(text)
    return [finding for finding in lint_migrations([file], standing=BIG) if finding.rule != "squawk"]


def test_a_good_migration_is_passed_in_silence(tmp_path: Path) -> None:
    assert lint(tmp_path, GOOD) == []


@pytest.mark.parametrize(("rule", "text", "line"), FAULTS)
def test_a_fault_is_found_at_its_line(rule: str, text: str, line: int, tmp_path: Path) -> None:
    found = [(finding.rule, finding.line) for finding in lint(tmp_path, text)]

    assert (rule, line) in found


def test_every_rule_has_a_fault() -> None:
    assert {rule for rule, _, _ in FAULTS} == RULES.keys() - {"out_of_order", "squawk"}


@pytest.mark.parametrize(
    "text",
    [
        "create index if not exists there_idx on public.wa_messages (type);",
        "alter table public.wa_messages add constraint there_check check (body <> '');",
        "alter table public.wa_messages add constraint more_check check (body <> '') not valid;",
        "alter table public.wa_messages add column more text not null default 'x';",
        "alter table public.wa_messages add column at timestamptz default now();",
        "create index more_idx on public.contacts (name);",
        "alter table public.wa_messages add column if not exists sequence bigint generated always as identity;",
        "alter table public.contacts add constraint by_fkey foreign key (created_by) references public.profiles (id);",
        "delete from public.contacts where name is null;",
        "drop policy if exists x on public.contacts; drop function if exists public.x(); drop index public.y;",
        "create procedure private.work() language plpgsql as $$ begin commit; end $$;"
        "revoke all on procedure private.work() from public;",
    ],
)
def test_what_harms_nobody_is_passed(text: str, tmp_path: Path) -> None:
    assert lint(tmp_path, SET + text) == []


def test_a_later_file_may_finish_what_an_earlier_one_began(tmp_path: Path) -> None:
    begun, rest = GOOD.split("create index")
    first, second = tmp_path / "20990101000000_a.sql", tmp_path / "20990101000001_b.sql"
    first.write_text(begun)
    second.write_text(SET + "create index" + rest)

    rules = {finding.rule for finding in lint_migrations([first])} - {"squawk"}
    assert rules == {"row_security", "grants", "foreign_key_index"}
    assert [finding for finding in lint_migrations([first, second]) if finding.rule != "squawk"] == []


def test_squawk_is_heard_about_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "20990101000000_x.sql"
    file.write_text(SET + "alter table public.contacts\n  alter column name type varchar(10);")

    findings = [finding for finding in lint_migrations([file]) if finding.rule == "squawk"]

    assert any("changing-column-type" in finding.message for finding in findings), findings
    assert {finding.level for finding in findings} == {"warning"}


# What they drop holds nothing that isn't elsewhere, or is brought along in the same statement.
ACCEPTED = {
    ("022_personal_followups_fix.sql", "destructive", "a temporary table"),
    ("20260128231758_m1_reliability.sql", "destructive", "leases of an older shape, which end by themselves"),
}


def test_what_qero_ships_breaks_no_rule() -> None:
    found = {
        (finding.file, finding.rule) for finding in lint_migrations(migration_files(ROOT)) if finding.level == "error"
    }

    assert found == {(file, rule) for file, rule, _ in ACCEPTED}


def test_warnings_stop_nothing_and_what_is_allowed_neither() -> None:
    findings = [Finding(rule, "20990101000000_x.sql", 1, "m", "r") for rule in RULES]
    with pytest.raises(InvalidInput) as error:
        require_allowed(findings, ["destructive"])

    assert "destructive" not in error.value.detail["rules"]
    assert "lock_timeout" not in error.value.detail["rules"]
    require_allowed(findings, RULES)


def test_big_tables_are_known_from_the_database(runs: Runs) -> None:  # noqa: F811
    with psycopg.connect(runs.url, autocommit=True) as connection:
        connection.execute("analyze public.contacts")
        standing = read_standing(connection)

    assert standing.rows["public.contacts"] == 500
    assert "contacts_created_by_idx" in standing.names


def test_the_advisor_is_asked_about_the_database_as_it_stands(runs: Runs) -> None:  # noqa: F811
    code, out, err = runs.ended("lint", "--advisor", "--json")
    assert (code, json.loads(out)["advisor"]) == (0, []), err

    with psycopg.connect(runs.url) as connection:
        connection.execute("create table public.planted (id integer)")
    code, out, err = runs.ended("lint", "--advisor", "--json")
    assert code == 0, "it advises, and stops nothing"
    assert any("public.planted" in line for line in json.loads(out)["advisor"]), out
    assert "advisor: " in runs.ended("lint", "--advisor")[1]

    code, _, err = runs.ended("lint", "--advisor", "--json", SUPABASE_DB_URL="")
    assert (code, json.loads(err.splitlines()[-1])["error"]["code"]) == (3, "setting_missing")


def test_the_command_reads_what_would_be_pushed(runs: Runs) -> None:  # noqa: F811
    runs.write(GOOD, "20240101000000_late.sql")
    runs.write("drop table public.contacts;", "20990101000000_drop.sql")

    code, out, err = runs.ended("lint", "--json")
    said = json.loads(out)

    assert (code, said["files"]) == (5, ["20240101000000_late.sql", "20990101000000_drop.sql"]), err
    found = {(item["file"], item["rule"], item["level"]) for item in said["findings"]}
    assert ("20240101000000_late.sql", "out_of_order", "warning") in found
    assert ("20990101000000_drop.sql", "destructive", "error") in found
    assert runs.ended("lint", "--allow", "destructive")[0] == 0
    code, _, err = runs.ended("lint", "--allow", "everything")
    assert code == 1, err
    assert "--allow" in err
