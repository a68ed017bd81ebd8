"""Runs the real Supabase CLI to push migrations."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from qero.errors import QeroError, Unavailable

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


def push_migrations(supabase: Path, *, db_url: str, workdir: Path) -> list[str]:
    """Push what the database doesn't have yet.

    Args:
        supabase: the CLI's binary.
        db_url: a direct connection as the role that owns the migrations.
        workdir: holds `supabase/migrations`.

    Returns: the names of the migrations that were applied; none when everything was there already.

    Raises:
        QeroError: `migration_failed` with the CLI's words; the failing file was rolled back.
        Unavailable: `database_unavailable`.
    """
    address, password = without_password(db_url)
    with tempfile.TemporaryDirectory(prefix="qero-push-") as staging:
        # A copy, because the CLI writes beside what it reads, and an installed package is no place to write.
        shutil.copytree(workdir / "supabase" / "migrations", Path(staging) / "supabase" / "migrations")
        (Path(staging) / "supabase" / "config.toml").write_text('project_id = "qero"\n')
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": staging,
            # By environment, because other users of the machine can read a program's arguments.
            "PGPASSWORD": password,
            "SUPABASE_TELEMETRY_DISABLED": "1",
            "DO_NOT_TRACK": "1",
            "NO_COLOR": "1",
        }
        push = [str(supabase), "db", "push", "--workdir", staging, "--include-all", "--yes"]
        finished = _run([*push, f"--remote={address}"], environment)
        if finished.returncode != 0 and "unknown flag" in finished.stderr:
            # Version 2 of the CLI; later ones deprecate this flag, then drop it.
            finished = _run([*push, "--db-url", address], environment)
    output = finished.stdout + finished.stderr
    if "failed to connect" in output:
        raise Unavailable(
            "database_unavailable",
            detail={"output": output.strip()[-1000:]},
            hint="Check SUPABASE_DB_URL: host, port, user, password, and whether it needs ?sslmode=require.",
        )
    if finished.returncode != 0:
        raise QeroError(
            "migration_failed",
            detail={"workdir": str(workdir), "output": output.strip()[-3000:]},
            hint="Correct the migration that the output names, then repeat; it was rolled back as a whole.",
        )
    return re.findall(r"Applying migration ([\w.-]+\.sql)", output)


def _run(command: list[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PUSH_TIMEOUT_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise QeroError("migration_failed", f"Pushing took longer than {PUSH_TIMEOUT_SECONDS} s.") from error
    except OSError as error:
        raise QeroError(
            "tool_missing",
            "The Supabase CLI can't be run.",
            detail={"path": command[0], "reason": str(error)},
            hint="Install it and put it on PATH, or `pip install 'qero[local]'`.",
        ) from error


def without_password(db_url: str) -> tuple[str, str]:
    """A database URL without its password, and the password."""
    parts = urlsplit(db_url)
    userinfo, _, host = parts.netloc.rpartition("@")
    user = userinfo.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{user}@{host}" if user else host)), unquote(parts.password or "")
