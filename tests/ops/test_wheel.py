"""What `pip install qero` brings, without a checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from qero.local.stack import temporary_stack

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked where Python finds it before the checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q"]
    subprocess.run([*pip, "wheel", "--no-deps", "-w", str(folder), str(ROOT)], check=True, capture_output=True)
    [wheel] = folder.glob("qero-*.whl")
    target = folder / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", str(target), str(wheel)], check=True, capture_output=True)
    return target


@pytest.fixture(scope="module")
def empty_database() -> Iterator[dict[str, str]]:
    """The environment of a project that has no migrations yet."""
    with temporary_stack(migrate=False, durable=False) as address:
        yield address.environment()


def qero(
    installed: Path, folder: Path, environment: dict[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "qero", *arguments],
        cwd=folder,
        env={**os.environ, **environment, "PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_installed_qero_pushes_its_migrations_from_an_empty_folder(
    installed: Path, empty_database: dict[str, str], tmp_path: Path
) -> None:
    first = qero(installed, tmp_path, empty_database, "db", "push", "--json")
    assert first.returncode == 0, first.stderr
    shipped = sorted(file.name for file in (ROOT / "supabase" / "migrations").glob("*.sql"))
    source = str(installed / "qero" / "_bundled" / "supabase" / "migrations")
    report = json.loads(first.stdout)
    assert (report["applied"], report["migrations_from"]) == (shipped, source)
    assert report["verification"]["holds"]

    again = qero(installed, tmp_path, empty_database, "db", "push", "--json")
    assert json.loads(again.stdout)["applied"] == []
    assert list(tmp_path.iterdir()) == [], "nothing is written into the user's folder"

    whoami = qero(installed, tmp_path, empty_database, "whoami", "--service", "--json")
    assert json.loads(whoami.stdout)["role"] == "service_role"


def test_an_installed_qero_starts_a_stack_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    up = qero(installed, tmp_path, {}, "local", "up", "--json")
    try:
        assert up.returncode == 0, up.stderr
        assert json.loads(up.stdout)["url"].startswith("http://127.0.0.1:")
    finally:
        down = qero(installed, tmp_path, {}, "local", "down", "--remove")
    assert down.returncode == 0, down.stderr


def test_a_wrong_password_is_an_error_that_never_shows_it(
    installed: Path, empty_database: dict[str, str], tmp_path: Path
) -> None:
    url = empty_database["SUPABASE_DB_URL"]
    password = url.split("@")[0].rsplit(":", 1)[1]
    wrong = {**empty_database, "SUPABASE_DB_URL": url.replace(password, "a-wrong-password")}

    refused = qero(installed, tmp_path, wrong, "db", "push")

    assert refused.returncode == 4
    assert "database_unavailable" in refused.stderr
    assert "password authentication failed" in refused.stderr
    assert "a-wrong-password" not in refused.stdout + refused.stderr
