"""The registry of error codes is consistent, and its documentation is the one that was generated from it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import qero.errors
from qero.errors import (
    REGISTRY,
    Conflict,
    InvalidInput,
    LimitExceeded,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    QeroError,
    Unavailable,
    error_for,
)
from qero.ops.documents import registry_markdown

ROOT = Path(__file__).parents[2]
CLASSES = [item for item in vars(qero.errors).values() if isinstance(item, type) and issubclass(item, QeroError)]


def test_the_documentation_is_the_registry() -> None:
    assert (ROOT / "docs" / "errors.md").read_text() == registry_markdown()


def test_the_table_has_a_whole_row_for_every_code() -> None:
    rows = [line for line in registry_markdown().splitlines() if line.startswith("| `")]

    assert [row.split("`")[1] for row in rows] == sorted(REGISTRY)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}, "a bar in a text would break its row"


@pytest.mark.parametrize("code", sorted(REGISTRY))
def test_every_code_says_what_it_means_and_what_to_do(code: str) -> None:
    spec = REGISTRY[code]
    error = error_for(code)

    assert re.fullmatch(r"[a-z][a-z0-9_]+", code)
    assert spec.meaning
    assert spec.remedy.endswith(".")
    assert type(error) is spec.error
    assert (error.code, error.status, error.message, error.hint) == (code, spec.status, spec.meaning, spec.remedy)
    assert json.loads(json.dumps(error.to_dict()))["code"] == code
    assert error.retryable == issubclass(spec.error, Unavailable)


@pytest.mark.parametrize("code", sorted(REGISTRY))
def test_class_and_status_say_the_same(code: str) -> None:
    spec = REGISTRY[code]
    statuses = {
        NotAuthenticated: {401},
        PermissionDenied: {403},
        NotFound: {404},
        Conflict: {409},
        InvalidInput: {400},
        LimitExceeded: {402, 408, 413, 429},
        Unavailable: {503},
    }
    wanted = next((status for base, status in statuses.items() if issubclass(spec.error, base)), {500})

    assert spec.status in wanted


@pytest.mark.parametrize("error", CLASSES)
def test_every_class_has_a_code_of_its_own_in_the_registry(error: type[QeroError]) -> None:
    assert isinstance(error(), error)
    assert issubclass(error, REGISTRY[error.default_code].error)
    assert error().status == REGISTRY[error.default_code].status


@pytest.mark.parametrize(
    ("status", "error"),
    [(400, InvalidInput), (401, NotAuthenticated), (403, PermissionDenied), (404, NotFound), (409, Conflict),
     (413, LimitExceeded), (422, InvalidInput), (429, LimitExceeded), (418, QeroError), (500, QeroError),
     (502, Unavailable), (503, Unavailable)],
)  # fmt: skip
def test_a_code_from_a_newer_database_is_classed_by_its_status(status: int, error: type[QeroError]) -> None:
    found = error_for("something_newer", status=status, hint="Do this.", detail={"a": 1})

    assert type(found) is error
    assert (found.code, found.status, found.message) == ("something_newer", status, "something newer")
    assert (found.hint, found.detail) == ("Do this.", {"a": 1})


def test_every_code_that_the_source_names_is_registered() -> None:
    pattern = re.compile(
        r"(?:NotAuthenticated|PermissionDenied|NotFound|Conflict|InvalidState|InvalidInput|LimitExceeded|Unavailable"
        r"|NetworkError|SettingsError|QeroError|error_for|one_row)\(\s*\"([a-z_]+)\""
    )
    named = {code: file.name for file in (ROOT / "qero").rglob("*.py") for code in pattern.findall(file.read_text())}

    assert len(named) > 20
    assert {code: file for code, file in named.items() if code not in REGISTRY} == {}


def test_every_code_that_sql_raises_is_registered_with_its_status() -> None:
    raised = {
        (code, int(status))
        for file in (ROOT / "supabase" / "migrations").glob("*.sql")
        for status, code in re.findall(r"raise_error\(\s*(\d{3}),\s*'(\w+)'", file.read_text())
    }

    assert len(raised) > 10
    assert {
        (code, status) for code, status in raised if code not in REGISTRY or REGISTRY[code].status != status
    } == set()
