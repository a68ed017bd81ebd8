"""Runs the real Supabase CLI to push migrations."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, urlencode, urlunsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from qero.errors import Conflict, InvalidInput, QeroError, SettingsError, Unavailable

PUSH_TIMEOUT_SECONDS = 600
_NAME = re.compile(r"(\d+)_.+\.sql", re.ASCII)
_LOCKED_OUT = ("55P03", "40P01")
"""A lock that wasn't to be had in time, and a deadlock: somebody else's work was in the way."""
_OTHER_SHAPE = ("42703", "42804", "42883")
"""No such column, another type, no operator for such types: a table isn't what the migration takes it for."""
_APPLICATION_NAME = "qero db push"
CLI_SESSIONS = (_APPLICATION_NAME, "@effect/sql-pg")
"""What the CLI's sessions are called in the database, by version 2, which takes our word, and by later ones."""
_PASSED_ON = frozenset(
    ["PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",
     "PROGRAMDATA", "DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY",
     "SSL_CERT_FILE", "PGPASSFILE", "PGSSLMODE", "PGSSLROOTCERT", "PGSERVICE", "PGSERVICEFILE"]
)  # fmt: skip


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


def version_of(file: Path) -> str:
    """The digits that a migration's name starts with."""
    return file.name.partition("_")[0]


def is_shipped(file: Path) -> bool:
    """Whether it is one of qero's own migrations, to the letter."""
    shipped = _shipped_workdir()
    if shipped is None:
        return False
    own = migrations_folder(shipped) / file.name
    return own.is_file() and own.read_bytes().split() == file.read_bytes().split()


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


def push_migrations(
    supabase: Path, *, db_url: str, workdir: Path, timeout_seconds: float = PUSH_TIMEOUT_SECONDS
) -> list[str]:
    """Push what the database doesn't have yet.

    Args:
        supabase: the CLI's binary.
        db_url: a direct connection as the role that owns the migrations.
        workdir: holds `supabase/migrations`.
        timeout_seconds: for all of them together.

    Returns: the names of the migrations that were applied; none when everything was there already.

    Raises:
        QeroError: `migration_failed` with the CLI's words; the failing file was rolled back.
            `migration_file_missing` with the versions; nothing was pushed.
        InvalidInput: `migration_name_invalid`; nothing was pushed.
        Conflict: `migration_version_taken`; nothing was pushed.
        Unavailable: `database_unavailable`; `migration_locked_out`, which a repetition may mend.
    """
    check_names(migration_files(workdir))
    with tempfile.TemporaryDirectory(prefix="qero-push-") as staging:
        # A copy, because the CLI writes beside what it reads, and an installed package is no place to write.
        shutil.copytree(migrations_folder(workdir), migrations_folder(Path(staging)))
        (Path(staging) / "supabase" / "config.toml").write_text('project_id = "qero"\n')
        finished = run_supabase(
            supabase,
            ["db", "push", "--workdir", staging, "--include-all", "--yes"],
            db_url=db_url,
            home=Path(staging),
            timeout_seconds=timeout_seconds,
        )
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
    if finished.returncode != 0 and any(f"SQLSTATE {state}" in output for state in _LOCKED_OUT):
        raise Unavailable("migration_locked_out", detail={"output": output.strip()[-3000:]})
    if finished.returncode != 0:
        raise QeroError(
            "migration_failed",
            detail={"workdir": str(workdir), "output": output.strip()[-3000:]},
            hint="A table stands there in another shape: `qero db verify --write mend.sql` writes what would mend it; "
            "review it, then `qero db push --adopt --first mend.sql`."
            if any(f"SQLSTATE {state}" in output for state in _OTHER_SHAPE)
            else "Correct the migration that the output names, then repeat; it was rolled back as a whole.",
        )
    return re.findall(r"Applying migration (.+\.sql)\.\.\.", output)


def run_supabase(
    supabase: Path, arguments: list[str], *, db_url: str, home: Path, timeout_seconds: float
) -> subprocess.CompletedProcess[str]:
    """Run a command of the Supabase CLI against a database, with the flag that its version knows.

    Raises:
        QeroError: `tool_missing`; `tool_timed_out`.
    """
    address, password = without_password(db_url)
    environment = {
        **child_environment(password),
        "HOME": str(home),
        "PGAPPNAME": _APPLICATION_NAME,
        "SUPABASE_TELEMETRY_DISABLED": "1",
        "DO_NOT_TRACK": "1",
        "NO_COLOR": "1",
    }
    command = [str(supabase), *arguments]
    finished = _run([*command, f"--remote={address}"], environment, timeout_seconds)
    if finished.returncode != 0 and "unknown flag" in finished.stderr:
        # Version 2 of the CLI; later ones deprecate this flag, then drop it.
        finished = _run([*command, "--db-url", address], environment, timeout_seconds)
    return finished


def child_environment(password: str) -> dict[str, str]:
    """What a program needs to reach a database. The password comes by environment, because other users of the machine
    can read a program's arguments; of ours, it gets no other secret."""
    kept = {name: value for name, value in os.environ.items() if name.upper() in _PASSED_ON}
    if password:
        return {**kept, "PGPASSWORD": password}
    return {"PGPASSFILE": str(Path.home() / ".pgpass"), **kept}


def _run(command: list[str], environment: dict[str, str], timeout_seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise QeroError(
            "tool_timed_out",
            f"`{' '.join([Path(command[0]).name, *command[1:3]])}` took longer than {timeout_seconds:g} s.",
            detail={"timeout_seconds": timeout_seconds},
        ) from error
    except OSError as error:
        raise QeroError(
            "tool_missing",
            "The Supabase CLI can't be run.",
            detail={"path": command[0], "reason": str(error)},
            hint="Install it and put it on PATH, or `pip install 'qero[local]'`.",
        ) from error


def without_password(db_url: str) -> tuple[str, str]:
    """A database's address as a URL without its password, and the password.

    Raises:
        SettingsError: `setting_invalid`; it never shows what it stumbled over.
    """
    try:
        parts = {name: str(value) for name, value in conninfo_to_dict(db_url).items() if value is not None}
    except psycopg.ProgrammingError:
        parts = {"host": "@"}
    if "@" in parts.get("host", "") or not parts:
        # The driver's own words would quote the part it stumbled over, which is the password more often than not.
        raise SettingsError(
            "setting_invalid",
            "SUPABASE_DB_URL can't be read.",
            detail={"setting": "SUPABASE_DB_URL"},
            hint="Write it as postgresql://user:password@host:5432/postgres, and percent-encode special characters of "
            "the password (@ is %40, / is %2F, % is %25, a space is %20).",
        )
    user, password, host = parts.pop("user", ""), parts.pop("password", ""), parts.pop("host", "")
    port, database = parts.pop("port", ""), parts.pop("dbname", "")
    place = (f"[{host}]" if ":" in host else quote(host, safe="")) + (f":{port}" if port else "")
    netloc = f"{quote(user, safe='')}@{place}" if user else place
    return urlunsplit(("postgresql", netloc, "/" + quote(database), urlencode(parts), "")), password
