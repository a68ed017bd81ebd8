"""Programs that commands run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from qero.errors import QeroError
from qero.ops.backup import Tools

_INSTALLED = {
    "linux": ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin"),
    "darwin": ("/opt/homebrew/opt/libpq/bin", "/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/libpq/bin",
               "/Applications/Postgres.app/Contents/Versions/latest/bin"),
    "win32": ("C:/Program Files/PostgreSQL/*/bin",),
}  # fmt: skip
_DOCKER_SECONDS = 10


def supabase_cli() -> Path:
    """The Supabase CLI: the one on PATH, else the local stack's.

    Raises:
        QeroError: `tool_missing`.
    """
    if on_path := shutil.which("supabase"):
        return Path(on_path)
    try:
        from qero.local.toolchain import ensure_tools
    except ModuleNotFoundError as error:
        raise QeroError(
            "tool_missing",
            "The Supabase CLI isn't installed.",
            hint="Install it and put it on PATH, or `pip install 'qero[local]'`.",
        ) from error
    return ensure_tools().supabase


def backup_tools() -> Tools:
    """What backups are made with: the Supabase CLI where Docker runs, else Postgres's own programs: on PATH, where
    installers put them, and with the local stack."""
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    for pattern in _INSTALLED.get(sys.platform, ()):
        root = Path(pattern).anchor
        folders += sorted(Path(root).glob(pattern.removeprefix(root)), reverse=True)
    try:
        from qero.local.toolchain import client_programs

        folders.append(client_programs())
    except (ModuleNotFoundError, QeroError):
        pass  # an extra that nothing here depends on
    return Tools(client_folders=folders, supabase=supabase_cli() if _docker_runs() else None)


def _docker_runs() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        asked = subprocess.run(
            [docker, "info", "--format", "{{.ServerVersion}}"],
            capture_output=True,
            timeout=_DOCKER_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0 and bool(asked.stdout.strip())
