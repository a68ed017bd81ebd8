"""Runs the real Supabase CLI to push migrations."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit, urlunsplit

from qero.errors import Conflict, InvalidInput, QeroError, Unavailable

PUSH_TIMEOUT_SECONDS = 600
_NAME = re.compile(r"(\d+)_.+\.sql", re.ASCII)


def migrations_workdir(project: Path) -> Path:
    """The folder whose supabase/migrations are pushed: the project's own, else the ones qero ships."""
    if migration_files(project):
        return project
    if shipped := _shipped_workdir():
        return shipped
    raise QeroError(
        "migration_failed",
        "No migrations were found.",
        detail={"looked_in": str(migrations_folder(project))},
        hint="Run this from the project's folder, or reinstall qero.",
    )


def migrations_folder(workdir: Path) -> Path:
    return workdir / "supabase" / "migrations"


def migration_files(workdir: Path) -> list[Path]:
    """Every SQL file among the migrations, whether or not its name is one that can be pushed."""
    folder = migrations_folder(workdir)
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() == ".sql" and file.is_file())


def check_names(files: Iterable[Path]) -> None:
    """
    Raises:
        InvalidInput: `migration_name_invalid`, names that the Supabase CLI would pass over.
        Conflict: `migration_version_taken`, two files of one version.
    """
    by_version: dict[str, list[str]] = {}
    invalid = []
    for file in files:
        if name := _NAME.fullmatch(file.name):
            by_version.setdefault(name[1], []).append(file.name)
        else:
            invalid.append(file.name)
    if invalid:
        raise InvalidInput("migration_name_invalid", detail={"files": invalid})
    if taken := {version: names for version, names in by_version.items() if len(names) > 1}:
        raise Conflict(
            "migration_version_taken",
            detail={"versions": list(taken), "files": [name for names in taken.values() for name in names]},
        )


def copy_migrations(project: Path) -> list[str]:
    """Copy the migrations that qero ships into the project's supabase/migrations: all of them or, on an error, none.

    Returns: the names of those that were copied; none when all were there already.

    Raises:
        Conflict: `already_exists`, the project has another file of a name; `migration_version_taken`, of a version.
    """
    shipped = _shipped_workdir()
    if shipped is None:
        raise QeroError("migration_failed", "qero's migrations weren't found.", hint="Reinstall qero.")
    files, folder = migration_files(shipped), migrations_folder(project)
    present = [file for file in files if (folder / file.name).exists()]
    if different := [file.name for file in present if (folder / file.name).read_bytes() != file.read_bytes()]:
        raise Conflict(
            "already_exists",
            "The project has another migration of this name; nothing was copied.",
            detail={"folder": str(folder), "files": different},
            hint="Keep it and leave out the copy, or rename it where no database has it yet, then repeat.",
        )
    missing = [file for file in files if file not in present]
    check_names({file.name: file for file in (*migration_files(project), *missing)}.values())
    folder.mkdir(parents=True, exist_ok=True)
    for file in missing:
        with (folder / file.name).open("xb") as copy:
            copy.write(file.read_bytes())
    return [file.name for file in missing]


def _shipped_workdir() -> Path | None:
    package = Path(__file__).resolve().parents[1]
    return next((folder for folder in (package / "_bundled", package.parent) if migration_files(folder)), None)


def push_migrations(supabase: Path, *, db_url: str, workdir: Path) -> list[str]:
    """Push what the database doesn't have yet.

    Args:
        supabase: the CLI's binary.
        db_url: a direct connection as the role that owns the migrations.
        workdir: holds `supabase/migrations`.

    Returns: the names of the migrations that were applied; none when everything was there already.

    Raises:
        QeroError: `migration_failed` with the CLI's words; the failing file was rolled back.
            `migration_file_missing` with the versions; nothing was pushed.
        InvalidInput: `migration_name_invalid`; nothing was pushed.
        Conflict: `migration_version_taken`; nothing was pushed.
        Unavailable: `database_unavailable`.
    """
    check_names(migration_files(workdir))
    address, password = without_password(db_url)
    with tempfile.TemporaryDirectory(prefix="qero-push-") as staging:
        # A copy, because the CLI writes beside what it reads, and an installed package is no place to write.
        shutil.copytree(migrations_folder(workdir), migrations_folder(Path(staging)))
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
    if finished.returncode != 0 and "not found in local migrations directory" in output:
        reverted = re.search(r"--status reverted((?: \d+)+)", output)
        raise QeroError(
            "migration_file_missing",
            detail={
                "migrations_from": str(migrations_folder(workdir)),
                "versions": reverted[1].split() if reverted else [],
            },
        )
    if finished.returncode != 0:
        raise QeroError(
            "migration_failed",
            detail={"workdir": str(workdir), "output": output.strip()[-3000:]},
            hint="Correct the migration that the output names, then repeat; it was rolled back as a whole.",
        )
    return re.findall(r"Applying migration (.+\.sql)\.\.\.", output)


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
