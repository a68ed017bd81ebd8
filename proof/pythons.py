"""qero in a clean environment of every Python that it says it runs on.

The wheel is built once. In each Python that is found on PATH it is installed with all its extras, by the hashes of
requirements.lock; every module of it is imported, its command is run in an empty folder, and
tests/unit run. Of a Python that isn't here, pip says whether everything is to be had for it, and mypy whether
the source is right for it.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

from proof._report import finish, progress

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
PIP = ["-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet"]
IMPORT_ALL = """
import importlib, pkgutil, pathlib, qero
assert "site-packages" in qero.__file__, qero.__file__
for module in pkgutil.walk_packages(qero.__path__, "qero."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
assert (pathlib.Path(qero.__file__).parent / "py.typed").exists()
"""


def versions() -> list[str]:
    """Those that the package names."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    matches = [re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", line) for line in classifiers]
    return [match[1] for match in matches if match]


def run(command: list[str | Path], folder: Path) -> list[str]:
    """What a command that failed has said."""
    finished = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if finished.returncode == 0:
        return []
    said = (finished.stdout + finished.stderr).strip()[-2000:]
    return [f"{' '.join(map(str, command))[:120]} ended with {finished.returncode}: {said}"]


def found(version: str) -> str | None:
    """The Python of that version on PATH; some put a name there without one."""
    interpreter = shutil.which(f"python{version}")
    return interpreter if interpreter and not run([interpreter, "-c", ""], ROOT) else None


def built(folder: Path) -> Path:
    subprocess.run([sys.executable, *PIP, "wheel", "--no-deps", "-w", folder, ROOT], check=True)
    [wheel] = folder.glob("qero-*.whl")
    return wheel


def prove(interpreter: str, wheel: Path, folder: Path) -> list[str]:
    """Install it there and use it; the first step that fails is the last."""
    python = folder / "venv" / "bin" / "python"
    empty = folder / "empty"
    empty.mkdir(parents=True)
    steps: list[tuple[list[str | Path], Path]] = [
        ([interpreter, "-m", "venv", folder / "venv"], folder),
        ([python, *PIP, "install", "--require-hashes", "-r", LOCK], folder),
        ([python, *PIP, "install", "--no-deps", wheel], folder),
        ([python, *PIP, "check"], folder),
        ([python, "-c", IMPORT_ALL], empty),
        ([folder / "venv" / "bin" / "qero", "--version"], empty),
        ([python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit"], ROOT),
    ]
    for command, where in steps:
        if problems := run(command, where):
            return problems
    return []


def prove_from_afar(version: str, folder: Path) -> list[str]:
    """What can be said of a Python that isn't here."""
    install = ["install", "--dry-run", "--no-deps", "--require-hashes", "--python-version", version]
    return [
        *run([sys.executable, *PIP, *install, "--target", folder / version, "-r", LOCK], folder),
        *run([sys.executable, "-m", "mypy", f"--cache-dir={folder / 'mypy'}", "--python-version", version], ROOT),
    ]


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/proof pythons", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only what is found here")
    options = parser.parse_args(arguments)
    problems, proved, from_afar = [], [], []
    with tempfile.TemporaryDirectory(prefix="qero-proof-") as name:
        folder = Path(name)
        wheel = built(folder)
        for version in versions():
            interpreter = found(version)
            if interpreter is None and options.quick:
                continue
            if interpreter is not None:
                findings = prove(interpreter, wheel, folder / f"python{version}")
                proved.append(version)
            else:
                findings = prove_from_afar(version, folder)
                from_afar.append(version)
            progress(f"{'✗' if findings else '✓'} Python {version}{'' if interpreter else ', which is not here'}")
            problems += [f"Python {version}: {finding}" for finding in findings]
    return finish("pythons", {"proved": proved, "from_afar": from_afar}, problems)
