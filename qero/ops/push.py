"""Runs the real Supabase CLI to push migrations."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from qero.errors import QeroError

PUSH_TIMEOUT_SECONDS = 600


def migrations_workdir(project: Path) -> Path:
    """The folder whose supabase/migrations are pushed: the project's own, else the ones qero ships."""
    if any((project / "supabase" / "migrations").glob("*.sql")):
        return project
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_bundled", package.parent):
        if any((folder / "supabase" / "migrations").glob("*.sql")):
            return folder
    raise QeroError(
        "migration_failed",
        "No migrations were found.",
        detail={"looked_in": str(project / "supabase" / "migrations")},
        hint="Run this from the project's folder, or reinstall qero.",
    )


def push_migrations(supabase: Path, *, db_url: str, workdir: Path, home: Path) -> list[str]:
    """Push what the database doesn't have yet.

    Args:
        supabase: the CLI's binary.
        db_url: a direct connection as the role that owns the migrations.
        workdir: holds `supabase/migrations`.
        home: where the CLI may keep its own files.

    Returns: the names of the migrations that were applied; none when everything was there already.

    Raises:
        QeroError: `migration_failed` with the CLI's words; the failing file was rolled back.
    """
    command = [
        str(supabase), "db", "push", f"--remote={db_url}", "--workdir", str(workdir), "--include-all", "--skip-vault",
        "--yes",
    ]  # fmt: skip
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": str(home),
        "SUPABASE_TELEMETRY_DISABLED": "1",
        "DO_NOT_TRACK": "1",
        "SUPABASE_INTERNAL_NO_UPDATE_CHECK": "1",
        "NO_COLOR": "1",
    }
    try:
        finished = subprocess.run(
            command, env=environment, cwd=workdir, capture_output=True, text=True, timeout=PUSH_TIMEOUT_SECONDS,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise QeroError("migration_failed", f"Pushing took longer than {PUSH_TIMEOUT_SECONDS} s.") from error
    output = _without_password(finished.stdout + finished.stderr, db_url)
    if finished.returncode != 0:
        raise QeroError(
            "migration_failed",
            detail={"workdir": str(workdir), "output": output.strip()[-3000:]},
            hint="Correct the migration that the output names, then repeat; it was rolled back as a whole.",
        )
    return re.findall(r"Applying migration ([\w.-]+\.sql)", output)


def _without_password(text: str, db_url: str) -> str:
    password = re.search(r"://[^:/]+:([^@]+)@", db_url)
    return text.replace(password[1], "***") if password else text
