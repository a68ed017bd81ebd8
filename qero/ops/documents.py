"""The documents that are generated, so that they can't disagree with what they describe."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import psycopg

from qero.errors import QeroError, registry_markdown
from qero.ops.permissions import permissions_markdown

SCHEMAS = ("public", "private")


def generated_documents(db_url: str, pg_dump: Path) -> dict[str, str]:
    """Each generated file's path within the project, with its text.

    Args:
        db_url: a migrated database, as the owner of the tables.
        pg_dump: of the database's major version or newer.

    Raises:
        QeroError: `tool_failed`.
    """
    with psycopg.connect(db_url, autocommit=True) as connection:
        permissions = permissions_markdown(connection)
    return {
        "docs/errors.md": registry_markdown(),
        "docs/permissions.md": permissions,
        "docs/schema.sql": schema_sql(db_url, pg_dump),
    }


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
