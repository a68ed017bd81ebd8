"""The migrations on every Postgres that hosted projects have, in both modes of default grants.

On each version they are pushed by the Supabase CLI as the non-superuser `postgres`; then Supabase's security and
performance advisor, the catalogue's rules of tests/sql, and docs/permissions.md are asked. Where a Postgres comes with
plpgsql_check, every function's body is checked too. `--tests` runs the tests of the SQL on each version as well.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from proof._report import finish, progress
from qero.local.keys import Keys
from qero.local.postgres import SUPERUSER, Postgres
from qero.local.processes import free_port
from qero.local.state import Home
from qero.local.toolchain import Tools, ensure_tools, installed_packages
from qero.ops.doctor import advisor_findings
from qero.ops.permissions import permissions_markdown
from qero.ops.push import migration_files, push_migrations
from tests.sql.answers import answers_markdown
from tests.sql.catalogue import CHECKS

ROOT = Path(__file__).parents[1]
PACKAGED = (15, 16)
"""The versions that proof/postgres brings along; the local stack's own is the newest."""
DEBIAN = Path("/usr/lib/postgresql")
"""Where Debian keeps its Postgres of each version, with plpgsql_check if that is installed."""

VAULT = """
create schema vault;
create table vault.secrets (id uuid primary key, name text unique, description text, secret text);
create view vault.decrypted_secrets as select *, secret as decrypted_secret from vault.secrets;
create function vault.create_secret(new_secret text, new_name text, new_description text) returns uuid
  language sql as 'select gen_random_uuid()';
create function vault.update_secret(secret_id uuid, new_secret text) returns void language sql as 'select';
"""
"""What plpgsql_check has to know of Supabase's Vault, which bodies use where it is there."""

CHECK_BODIES = """
select distinct function.oid::regprocedure::text, coalesce(finding.lineno, 0), finding.level, finding.message,
  finding.detail
from pg_proc as function
join pg_language as language on language.oid = function.prolang and language.lanname = 'plpgsql'
left join pg_trigger as trigger on trigger.tgfoid = function.oid and not trigger.tgisinternal
cross join lateral plpgsql_check_function_tb(
  function.oid, relid => coalesce(trigger.tgrelid, 0), fatal_errors => false, security_warnings => true,
  oldtable => trigger.tgoldtable, newtable => trigger.tgnewtable) as finding
where function.pronamespace in ('public'::regnamespace, 'private'::regnamespace)
  and (function.prorettype <> 'trigger'::regtype or trigger.oid is not null)
order by 1, 2
"""

ACCEPTED: Mapping[str, str] = {
    r'target type is different .* cast "text" value to ': "a literal where a variable is declared",
    r"control reached end of function without RETURN": "its last statement raises, by private.raise_error",
    r'name of parameter "limit" is reserved keyword': "the field of an answer",
    r'OUT variable "\w+" is maybe unmodified cannot to determine': "what is returned comes from a query made as text",
    r'composite OUT variable "outbox" is not single': "a message and its row of the outbox",
    r"record_message_transitions\(\).*old_rows": "asked for updates only, by the other of its triggers",
    r"get_(contact|candidate)\(.* too few attributes": "the cursor of a list is no part of a detail",
    r"get_chat_changes\(.* cast \"record\[\]\"": "every field is named, and tests read them",
    r"page_of_(contacts|candidates)\(.* is not sanitized": "made of literals by quote_literal, in people_conditions",
    r"audit_queue\(\).* is not sanitized": "made of names that the function itself lists",
    r"ensure_constraint\(.* is not sanitized": "the text of a migration, and nothing else may call it",
    r"validate_constraints\(\).* is not sanitized": "made of the columns' names by %I",
}
"""Findings of plpgsql_check that are none, and why."""

TESTS = ("tests/sql", "tests/services")


@dataclass(frozen=True)
class Version:
    """One set of Postgres programs."""

    name: str
    programs: Path

    @property
    def checks_bodies(self) -> bool:
        return (self.programs.parent / "lib" / "plpgsql_check.so").exists()


def versions(tools: Tools) -> Iterator[Version]:
    packages = installed_packages(ROOT / "proof" / "postgres", progress)
    for major in PACKAGED:
        yield Version(str(major), packages / f"postgres-{major}" / "native" / "bin")
    yield Version("17", tools.postgres_bin)
    for folder in sorted(DEBIAN.glob("*/lib/plpgsql_check.so")):
        yield Version(f"Debian's {folder.parents[1].name}", folder.parents[1] / "bin")


@asynccontextmanager
async def running(tools: Tools, version: Version, *, default_grants: bool) -> AsyncIterator[Postgres]:
    """A Postgres of that version in hosted's shape, without migrations."""
    with tempfile.TemporaryDirectory(prefix="qero-proof-", dir="/var/tmp", ignore_cleanup_errors=True) as folder:
        home = Home(Path(folder))
        home.create()
        postgres = Postgres(
            replace(tools, postgres_bin=version.programs), home.path, Keys.generate(), port=free_port(), durable=False,
            default_grants=default_grants,
        )  # fmt: skip
        await postgres.start()
        try:
            yield postgres
        finally:
            await postgres.stop()


async def prove(tools: Tools, version: Version, *, default_grants: bool) -> list[str]:
    """Push, ask everybody, and say what they found."""
    async with running(tools, version, default_grants=default_grants) as postgres:
        url = postgres.url("postgres")
        applied = await asyncio.to_thread(push_migrations, tools.supabase, db_url=url, workdir=ROOT)
        findings = [] if len(applied) == len(migration_files(ROOT)) else [f"only {len(applied)} migrations were pushed"]
        with psycopg.connect(url, autocommit=True) as connection:
            findings += pushed_by_a_superuser(connection)
            findings += [f"{check.__name__}: {breach}" for check in CHECKS for breach in check(connection)]
            if permissions_markdown(connection, answers_markdown()) != (ROOT / "docs" / "permissions.md").read_text():
                findings.append("docs/permissions.md doesn't say what this database grants")
        findings += await asyncio.to_thread(advisor_findings, tools.supabase, url)
        if version.checks_bodies:
            with psycopg.connect(postgres.url(SUPERUSER), autocommit=True) as connection:
                findings += body_findings(connection)
        return findings


def pushed_by_a_superuser(connection: psycopg.Connection[Any]) -> list[str]:
    return [
        f"{name} belongs to {owner}, which is a superuser"
        for name, owner in connection.execute(
            """
            select relation.oid::regclass::text, relation.relowner::regrole::text
            from pg_class as relation join pg_roles as owner on owner.oid = relation.relowner
            where relation.relnamespace in ('public'::regnamespace, 'private'::regnamespace) and owner.rolsuper
            """
        )
    ]


def body_findings(connection: psycopg.Connection[Any]) -> list[str]:
    """What plpgsql_check has to say about the functions' bodies; only a superuser can create it."""
    connection.execute("create extension plpgsql_check with schema extensions")
    connection.execute(VAULT)
    connection.execute("set search_path = extensions, pg_catalog")
    found = [
        f"{name}, line {line}: {level}: {message} {detail or ''}".rstrip()
        for name, line, level, message, detail in connection.execute(CHECK_BODIES)
    ]
    return [finding for finding in found if not any(re.search(accepted, finding) for accepted in ACCEPTED)]


def run_tests(version: Version) -> list[str]:
    """The tests of the SQL on stacks of that version."""
    environment = {**os.environ, "QERO_POSTGRES_BIN": str(version.programs)}
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", *TESTS]
    finished = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    progress(f"  {finished.stdout.strip().splitlines()[-1]}")
    failed = [line for line in finished.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed or ([] if finished.returncode == 0 else [finished.stdout[-2000:]])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/proof advisors", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the local stack's own version")
    parser.add_argument("--only", metavar="MAJOR", help="only Postgres of this version, such as 15")
    parser.add_argument("--tests", action="store_true", help="run tests/sql and tests/services on each version, too")
    options = parser.parse_args(arguments)
    tools = ensure_tools(progress)
    found = [
        version for version in versions(tools)
        if (not options.quick or version.programs == tools.postgres_bin)
        and (options.only is None or version.name.endswith(options.only))
    ]  # fmt: skip
    problems, proved, checked = [], [], []
    for version in found:
        for default_grants in (False, True):
            name = f"Postgres {version.name}, {'automatic' if default_grants else 'explicit'} grants"
            findings = asyncio.run(prove(tools, version, default_grants=default_grants))
            progress(f"{'✓' if not findings else '✗'} {name}")
            problems += [f"{name}: {finding}" for finding in findings]
            proved.append(name)
        if version.checks_bodies:
            checked.append(version.name)
        if options.tests:
            problems += [f"Postgres {version.name}: {failure}" for failure in run_tests(version)]
    if not checked:
        progress("plpgsql_check isn't installed here: apt-get install postgresql-15 postgresql-15-plpgsql-check")
    return finish("advisors", {"proved": proved, "plpgsql_check": checked}, problems)
