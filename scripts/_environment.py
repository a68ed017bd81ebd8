"""Puts a script into the project's own virtual environment, which it makes and keeps up to date.

Only the standard library, and syntax that old Pythons can read: this runs before anything is installed.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".qero", "venv")
PYTHON = os.path.join(VENV, "bin", "python")
MINIMUM = (3, 11)


def enter() -> None:
    """Re-run the calling script inside the environment, installing it first where it is missing or outdated."""
    if os.environ.get("QERO_ENVIRONMENT") == ROOT and sys.prefix == VENV:
        return
    if sys.version_info < MINIMUM:
        _use_newer_python()
    with _lock():
        if _installed() != _wanted():
            _install()
    environment = {name: value for name, value in os.environ.items() if name not in ("VIRTUAL_ENV", "PYTHONHOME")}
    environment["QERO_ENVIRONMENT"] = ROOT
    environment["PATH"] = os.pathsep.join([os.path.dirname(PYTHON), environment.get("PATH", "")])
    sys.stdout.flush()
    os.execve(PYTHON, [PYTHON, *sys.argv], environment)


def _use_newer_python() -> None:
    for minor in range(14, MINIMUM[1] - 1, -1):
        found = shutil.which("python3.%d" % minor)
        if found:
            os.execv(found, [found, *sys.argv])
    sys.exit("Python 3.11 or newer is needed; this is %s. Install it and repeat." % sys.version.split()[0])


@contextlib.contextmanager
def _lock() -> "Iterator[None]":
    os.makedirs(os.path.dirname(VENV), exist_ok=True)
    ignore = os.path.join(os.path.dirname(VENV), ".gitignore")
    with open(ignore, "w") as file:
        file.write("*\n")
    with open(VENV + ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _wanted() -> str:
    digest = hashlib.sha256(("%s %s" % (ROOT, sys.version)).encode())
    for name in ("pyproject.toml", "requirements.lock"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def _installed() -> "str | None":
    try:
        with open(os.path.join(VENV, "installed")) as file:
            return file.read()
    except OSError:
        return None


def _install() -> None:
    sys.stderr.write("Installing qero's environment in .qero/venv (once per version of the lock file) …\n")
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", VENV], capture_output=True, text=True, check=False)
    if made.returncode:
        sys.exit(
            "Python couldn't make a virtual environment. On Debian and Ubuntu, install python3-venv and repeat.\n"
            + made.stdout
            + made.stderr
        )
    pip = [PYTHON, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check", "--no-input"]
    for arguments in (
        ["--require-hashes", "-r", os.path.join(ROOT, "requirements.lock")],
        ["--no-deps", "--editable", ROOT],
    ):
        if subprocess.run([*pip, *arguments], check=False, env=_pip_environment()).returncode:
            sys.exit("pip couldn't install the environment. Check that it reaches its index, then repeat.")
    with open(os.path.join(VENV, "installed"), "w") as file:
        file.write(_wanted())


def _pip_environment() -> "dict[str, str]":
    # The settings of an environment that happens to be active must not leak into this one.
    unwanted = ("VIRTUAL_ENV", "PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")
    return {name: value for name, value in os.environ.items() if name not in unwanted}
