"""Looks at everything qero needs and says what is wrong and how to mend it."""

from __future__ import annotations

import json
import platform
import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import httpx
import psycopg

from qero.clients.secrets import SecretBox
from qero.clients.webpush import VapidKeys
from qero.errors import QeroError
from qero.ops.checks import run_checks
from qero.ops.history import read_plan
from qero.ops.push import migration_files, migrations_workdir, run_supabase, without_password
from qero.settings import Settings

MINIMUM_POSTGRES = 15
_COMMITTING_PROCEDURES = ("attribute_conversations", "number_chat_messages", "validate_constraints")
REALTIME_TABLES = ("contacts", "wa_threads", "wa_messages", "chats", "chat_messages")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    check: str
    state: Literal["ok", "warning", "problem"]
    message: str
    remedy: str | None = None


def examine(settings: Settings, project: Path, supabase_cli: Path | None) -> list[Finding]:
    """Every finding, in the order in which to mend problems. Never raises for what it finds."""
    findings = [_versions(), *_settings(settings)]
    if settings.supabase_url and settings.publishable_key:
        findings += _api(settings)
    if settings.db_url:
        database = _database(settings, project)
        findings += database
        if database[-1].check != "database":
            findings.append(_advisor(settings.require("db_url"), supabase_cli))
    return findings


def _versions() -> Finding:
    packages = ", ".join(f"{name} {version(name)}" for name in ("qero", "supabase", "postgrest", "realtime"))
    return Finding("versions", "ok", f"Python {platform.python_version()} on {sys.platform}; its packages {packages}")


def _settings(settings: Settings) -> list[Finding]:
    findings = []
    for name, needed_for in (
        ("supabase_url", "everything"),
        ("publishable_key", "everything"),
        ("secret_key", "the worker, webhooks and scripts"),
        ("db_url", "migrations and the checks below"),
        ("secret_keys", "connecting numbers and sending"),
        ("meta_app_secret", "receiving webhooks"),
        ("meta_verify_token", "receiving webhooks"),
    ):
        try:
            settings.require(name)
        except QeroError as error:
            essential = needed_for == "everything"
            findings.append(
                Finding(
                    "settings", "problem" if essential else "warning",
                    f"{error.message} It is needed for {needed_for}.", error.hint,
                )
            )  # fmt: skip
    if settings.vapid_private_key is not None:
        try:
            VapidKeys.from_settings(settings)
        except QeroError as error:
            findings.append(Finding("settings", "problem", f"{error.message} Nobody is notified.", error.hint))
    return findings or [Finding("settings", "ok", "every setting is there")]


def _api(settings: Settings) -> list[Finding]:
    url, key = settings.require("supabase_url").rstrip("/"), settings.require("publishable_key")
    remedy = "Check SUPABASE_URL and the keys; for a local stack run `qero local up`, then `qero local env`."
    findings = []
    keys = {"publishable key": key}
    if settings.secret_key:
        keys["secret key"] = settings.require("secret_key")
    for name, path in (("auth", "/auth/v1/settings"), ("rest", "/rest/v1/workspaces?select=id&limit=1")):
        for key_name, value in keys.items():
            headers = {"apikey": value, "authorization": f"Bearer {value}"}
            try:
                answer = httpx.get(f"{url}{path}", headers=headers, timeout=10)
            except httpx.HTTPError as error:
                return [Finding("api", "problem", f"{url} can't be reached ({type(error).__name__}).", remedy)]
            # A missing table, or to anyone but the service a refusal by grants, shows that the key itself was taken.
            accepted = (
                answer.status_code < 300
                or '"PGRST205"' in answer.text
                or ('"42501"' in answer.text and key_name == "publishable key")
            )
            findings.append(
                Finding("api", "ok", f"{name} accepts the {key_name}") if accepted
                else Finding("api", "problem", f"{name} answers {answer.status_code} to the {key_name}.", remedy)
            )  # fmt: skip
    return findings


def _database(settings: Settings, project: Path) -> list[Finding]:
    db_url = settings.require("db_url")
    try:
        without_password(db_url)
    except QeroError as error:
        return [Finding("database", "problem", error.message, error.hint)]
    try:
        with psycopg.connect(db_url, connect_timeout=10, autocommit=True) as connection:
            connection.execute("set statement_timeout = '10s'")
            return [
                check(connection)
                for check in (
                    _server_version,
                    lambda db: _pending_migrations(db, project),
                    _publication,
                    lambda db: _connections(db, settings),
                    _playbook,
                )
            ]
    except psycopg.Error as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [
            Finding(
                "database", "problem", f"The database can't be reached: {_without_secrets(reason, db_url)}",
                "Check SUPABASE_DB_URL: host, port, password, and whether it needs ?sslmode=require.",
            )
        ]  # fmt: skip


def _server_version(connection: psycopg.Connection) -> Finding:
    major = connection.info.server_version // 10000
    if major < MINIMUM_POSTGRES:
        return Finding("database", "problem", f"Postgres {major} is too old.", "Upgrade to Postgres 15 or newer.")
    return Finding("database", "ok", f"Postgres {major} answers as {connection.info.user}")


def _pending_migrations(connection: psycopg.Connection, project: Path) -> Finding:
    workdir = migrations_workdir(project)
    plan = read_plan(connection, workdir)
    if plan.pending:
        return Finding(
            "migrations", "problem", f"{len(plan.pending)} pending: {', '.join(plan.pending)}",
            "Push them with `qero db push`; locally `qero local up` does.",
        )  # fmt: skip
    if plan.edited:
        return Finding(
            "migrations", "warning", f"applied with another text than they have now: {', '.join(plan.edited)}",
            "`qero db plan --adopt` shows what running qero's again would do.",
        )  # fmt: skip
    return Finding("migrations", "ok", f"all {len(migration_files(workdir))} applied")


def _publication(connection: psycopg.Connection) -> Finding:
    rows = connection.execute(
        "select tablename from pg_publication_tables where pubname = 'supabase_realtime' and schemaname = 'public'"
    ).fetchall()
    missing = sorted(set(REALTIME_TABLES) - {str(row[0]) for row in rows})
    if missing:
        return Finding(
            "realtime", "problem", f"Not in the publication supabase_realtime: {', '.join(missing)}",
            f"Run: alter publication supabase_realtime add table {', '.join('public.' + name for name in missing)};",
        )  # fmt: skip
    return Finding("realtime", "ok", "the publication has every table that realtime serves")


def _connections(connection: psycopg.Connection, settings: Settings) -> Finding:
    [exists] = _first(connection, "select to_regprocedure('private.connection_secret(uuid)') is not null")
    if not exists:
        return Finding("connections", "ok", "no number is connected yet")
    rows = connection.execute(
        """
        select number.phone_number_id, number.status, number.status_reason, private.connection_secret(number.id)
        from public.wa_phone_numbers as number
        where number.deleted_at is null and number.status <> 'inactive'
        order by number.phone_number_id
        """
    ).fetchall()
    paused = [f"{number} ({reason or 'no reason given'})" for number, status, reason, _ in rows if status == "paused"]
    if paused:
        return Finding(
            "connections", "problem", f"Paused, so nothing is sent: {', '.join(paused[:5])}",
            "Mend the reason, then `qero connections resume`; where its token was refused, connect the number again.",
        )  # fmt: skip
    if settings.secret_keys is not None:
        box = SecretBox.from_settings(settings)
        unreadable = [str(number) for number, _, _, ciphertext in rows if not _opens(box, ciphertext)]
        if unreadable:
            return Finding(
                "connections", "problem",
                f"No access token that QERO_SECRET_KEYS can decrypt: {', '.join(unreadable[:5])}",
                "Put the key they were encrypted with back into QERO_SECRET_KEYS, or connect the numbers again.",
            )  # fmt: skip
    return Finding("connections", "ok", f"{len(rows)} numbers connected, none paused")


def _playbook(connection: psycopg.Connection) -> Finding:
    failed = [check for check in run_checks(connection) if check.found]
    if failed:
        return Finding(
            "playbook", "warning", "; ".join(f"{check.name}: {check.found}" for check in failed),
            " ".join(check.remedy for check in failed[:3]),
        )  # fmt: skip
    return Finding("playbook", "ok", "the named checks of `qero db verify` hold")


def _opens(box: SecretBox, ciphertext: str | None) -> bool:
    try:
        return ciphertext is not None and bool(box.decrypt(ciphertext))
    except QeroError:
        return False


def _advisor(db_url: str, supabase_cli: Path | None) -> Finding:
    if supabase_cli is None:
        return Finding(
            "advisor", "warning", "The Supabase CLI isn't installed, so the advisor didn't run.",
            "Install it, or `pip install 'qero[local]'`.",
        )  # fmt: skip
    try:
        found = advisor_findings(supabase_cli, db_url)
    except QeroError as error:
        return Finding("advisor", "warning", error.message, error.hint)
    if found:
        return Finding(
            "advisor", "problem", "; ".join(found[:5]) + (" …" if len(found) > 5 else ""),
            "Run `supabase db advisors` for the whole list, and mend it by a migration.",
        )  # fmt: skip
    return Finding("advisor", "ok", "Supabase's security and performance advisor has no findings")


def advisor_findings(supabase_cli: Path, db_url: str) -> list[str]:
    """What Supabase's security and performance advisor has to say about a database, one line a finding.

    Raises:
        QeroError: `tool_failed` with the CLI's words; `tool_missing`, `tool_timed_out`.
    """
    command = ["db", "advisors", "--type", "all", "--level", "info", "--fail-on", "none", "--output-format", "json"]
    finished = run_supabase(supabase_cli, command, db_url=db_url, home=Path.home(), timeout_seconds=120)
    try:
        results = json.loads(finished.stdout)["results"]
    except (ValueError, KeyError) as error:
        raise QeroError(
            "tool_failed", "The advisor couldn't be run.", detail={"output": finished.stderr.strip()[-1000:]}
        ) from error
    return [f"{item['name']}: {item['detail']}" for item in results if not _is_accepted(item)]


def _is_accepted(item: dict[str, str]) -> bool:
    """An index that nothing has used yet says something about the traffic, not about the schema, and a procedure that
    commits can't pin its search_path; these name everything in full, and only their owner may call them."""
    return item["name"] == "unused_index" or (
        item["name"] == "function_search_path_mutable"
        and any(f"private.{name}" in item["detail"] for name in _COMMITTING_PROCEDURES)
    )


def _first(connection: psycopg.Connection, query: str) -> tuple[object, ...]:
    row = connection.execute(query).fetchone()  # type: ignore[arg-type, call-overload, unused-ignore]
    assert row is not None
    return tuple(row)


def _without_secrets(text: str, db_url: str) -> str:
    password = re.search(r"://[^:/]+:([^@]+)@", db_url)
    return text.replace(password[1], "***") if password else text
