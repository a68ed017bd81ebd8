"""A browser for tests: Chromium from PATH, else Debian's, fetched by apt and unpacked beside the other tools.

Nothing is installed: apt gets folders of its own, so an ordinary user may do it, and the system stays as it is. The
headless builds that package registries carry know no notifications.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qero.errors import QeroError
from qero.local.toolchain import cache_directory

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PACKAGES = ("chromium", "fonts-dejavu-core")
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>{root}/usr/share/fonts</dir><dir>/usr/share/fonts</dir><cachedir>{root}/fonts-cache</cachedir></fontconfig>
"""


@dataclass(frozen=True)
class Chromium:
    """How to start it."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


def ensure_chromium() -> Chromium:
    """The browser, fetched first where there is none.

    Raises:
        QeroError: `tool_missing`, `tool_failed`.
    """
    for name in NAMES:
        if found := shutil.which(name):
            return Chromium((found,), dict(os.environ))
    root = cache_directory() / "chromium"
    if not root.exists():
        root.parent.mkdir(parents=True, exist_ok=True)
        with (root.parent / "chromium.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not root.exists():
                _fetch(root)
    libraries = sorted({str(library.parent) for library in (root / "usr" / "lib").rglob("*.so*")})
    return Chromium(
        (str(root / "usr" / "lib" / "chromium" / "chromium"),),
        {
            **os.environ,
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            "FONTCONFIG_FILE": str(root / "fonts.conf"),
        },
    )


def _fetch(root: Path) -> None:
    apt, unpack = shutil.which("apt-get"), shutil.which("dpkg-deb")
    if apt is None or unpack is None:
        raise QeroError(
            "tool_missing", "There is no Chromium, and no apt to fetch it with.", hint="Install it and put it on PATH."
        )
    staging = root.with_name(f"chromium.{os.getpid()}")
    try:
        for folder in ("lists/partial", "archives/partial"):
            (staging / "apt" / folder).mkdir(parents=True)
        command = [
            apt, "--quiet", "--yes", "--no-install-recommends", "-o", f"Dir::State={staging}/apt",
            "-o", f"Dir::Cache={staging}/apt", "-o", "Dir::State::status=/var/lib/dpkg/status",
            "-o", "Debug::NoLocking=true", "-o", "APT::Sandbox::User=root",
        ]  # fmt: skip
        _run([*command, "update"])
        _run([*command, "install", "--download-only", *PACKAGES])
        for package in sorted((staging / "apt" / "archives").glob("*.deb")):
            _run([unpack, "--extract", str(package), str(staging)])
        shutil.rmtree(staging / "apt")
        (staging / "fonts.conf").write_text(FONTS.format(root=root))
        staging.chmod(0o755)
        staging.rename(root)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _run(command: list[str]) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        raise QeroError(
            "tool_failed",
            f"{Path(command[0]).name} couldn't fetch Chromium.",
            detail={"output": finished.stderr[-2000:]},
            hint="Check that apt reaches its sources, or install Chromium and put it on PATH.",
        )
