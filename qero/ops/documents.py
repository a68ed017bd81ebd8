"""The documents that are generated, so that they can't disagree with what they describe."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import psycopg

from qero.errors import REGISTRY, QeroError
from qero.ops.catalogue import catalogue_json, read_catalogue
from qero.ops.permissions import permissions_markdown
from qero.ops.push import migration_files

SCHEMAS = ("public", "private")


def generated_documents(db_url: str, pg_dump: Path, project: Path, answers: str) -> dict[str, str]:
    """Each generated file's path within the project, with its text.

    Args:
        db_url: a migrated database, as the owner of the tables.
        pg_dump: of the database's major version or newer.
        project: whose migrations the database has.
        answers: who gets what, as the tests of access expect it.

    Raises:
        QeroError: `tool_failed`.
    """
    with psycopg.connect(db_url, autocommit=True) as connection:
        permissions = permissions_markdown(connection, answers)
        catalogue = catalogue_json(read_catalogue(connection))
    return {
        "docs/errors.md": registry_markdown(),
        "docs/rollback.md": rollback_markdown(migration_files(project)),
        "docs/permissions.md": permissions,
        "docs/schema.sql": schema_sql(db_url, pg_dump),
        "qero/ops/catalogue.json": catalogue,
    }


def registry_markdown() -> str:
    """docs/errors.md: every code with its class, HTTP status, meaning and remedy."""
    lines = [
        "# Errors",
        "",
        "Every error qero raises carries one of these codes. SQL raises the same codes, so a caller that talks to the",
        "RPCs directly sees the code as `message` and the HTTP status in the SQLSTATE (`PT404`).",
        "Retry only what is retryable (`error.retryable`); everything else needs a change first.",
        "",
        "| code | class | status | retryable | meaning | what to do |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for code in sorted(REGISTRY):
        spec = REGISTRY[code]
        retryable = "yes" if spec.error.retryable else ""
        lines.append(
            f"| `{code}` | {spec.error.__name__} | {spec.status} | {retryable} | {spec.meaning} | {spec.remedy} |"
        )
    return "\n".join(lines) + "\n"


def rollback_markdown(files: Iterable[Path]) -> str:
    """docs/rollback.md: what the head of each migration says about undoing it, the newest first, as it is done."""
    lines = [
        "# Rolling migrations back",
        "",
        "What each migration's head says. Undo the newest first, by a new migration; see [operations](operations.md).",
        "Where rows are lost, `qero db push` wants `--allow destructive` and makes a backup before.",
        "",
        "| migration | loses rows | how |",
        "| --- | --- | --- |",
    ]
    for file in sorted(files, reverse=True):
        head = file.read_text("utf-8").partition("\n\n")[0]
        said = re.search(r"^-- Roll back: +(.*(?:\n--  .*)*)", head, re.MULTILINE)
        how = " ".join(line.removeprefix("--").strip() for line in said[1].splitlines()) if said else ""
        loses = (
            "yes"
            if re.search(r"\blos(?:es|t)\b", how, re.IGNORECASE)
            and not re.search(r"\b(?:no data|nothing) is lost\b", how, re.IGNORECASE)
            else ""
        )
        lines.append(f"| `{file.stem}` | {loses} | {how.replace('|', chr(92) + '|')} |")
    return "\n".join(lines) + "\n"


def schema_sql(db_url: str, pg_dump: Path) -> str:
    """The schema that the migrations produce, as SQL, the same for the same schema."""
    command = [str(pg_dump), "--schema-only", "--no-comments", *(f"--schema={name}" for name in SCHEMAS), db_url]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise QeroError("tool_failed", "pg_dump failed.", detail={"output": finished.stderr[-1000:]})
    # Lines that name versions or are random have nothing to do with the schema.
    kept = [
        line
        for line in finished.stdout.splitlines()
        if not re.match(r"-- Dumped (from|by)|\\(un)?restrict |SET transaction_timeout", line)
    ]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip() + "\n"
