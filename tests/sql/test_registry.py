"""SQL, the registry of errors and the services say the same."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from typing import Any

import psycopg
import pytest

from qero import services
from qero.errors import REGISTRY, QeroError, error_for
from tests.sql.conftest import RolledBack

Connection = psycopg.Connection[Any]

# Called by policies and by the functions that a method names, or for them: every function they reach counts as theirs.
_CALL = re.compile(r"\b(?:public|private)\.(\w+)\s*\(")
RAISE = re.compile(r"private\.raise_error\(\s*(\d{3}),\s*'([a-z_]+)',")
# require_role is told by its caller what to say when there is nothing to see.
_PASSED = re.compile(r"array\['owner'[^\]]*\],\s*'([a-z_]+)', jsonb_build_object")


def bodies(connection: Connection) -> dict[str, str]:
    return dict(
        connection.execute(
            "select proname, prosrc from pg_proc"
            " where pronamespace in ('public'::regnamespace, 'private'::regnamespace)"
        ).fetchall()
    )


def raised(connection: Connection) -> set[tuple[str, int]]:
    """Every code that a function of ours raises, with its HTTP status."""
    found = set()
    for body in bodies(connection).values():
        found |= {(code, int(status)) for status, code in RAISE.findall(body)}
        found |= {(code, 404) for code in _PASSED.findall(body)}
    return found


def unregistered(connection: Connection) -> list[str]:
    findings = []
    for code, status in sorted(raised(connection)):
        spec = REGISTRY.get(code)
        if spec is None:
            findings.append(f"{code} isn't in the registry")
        elif spec.status != status:
            findings.append(f"{code} is {status} in SQL and {spec.status} in the registry")
    for name, body in bodies(connection).items():
        calls = len(re.findall(r"private\.raise_error\(", body))
        understood = len(RAISE.findall(body)) + len(re.findall(r"private\.raise_error\(404, p_missing_code,", body))
        if calls != understood:
            findings.append(f"{name} raises a code that isn't written out")
        if re.search(r"\braise\s+exception\b", body) and name != "raise_error":
            findings.append(f"{name} raises by itself instead of by private.raise_error")
    return findings


def test_every_code_that_sql_raises_is_registered_with_its_status(catalogue: Connection) -> None:
    assert len(raised(catalogue)) > 15
    assert unregistered(catalogue) == []


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("perform private.raise_error(409, 'planted', '{}', 'Do.');", "planted isn't in the registry"),
        ("perform private.raise_error(404, 'window_closed', '{}', 'Do.');", "window_closed is 404 in SQL and 409"),
        ("perform private.raise_error(409, v_code, '{}', 'Do.');", "planted raises a code that isn't written out"),
        ("raise exception 'oh no';", "planted raises by itself"),
    ],
)
def test_an_unregistered_code_is_noticed(statement: str, named: str, rolled_back: RolledBack) -> None:
    with rolled_back() as connection:
        body = f"declare v_code text; begin {statement} end"
        connection.execute(f"create function private.planted() returns void language plpgsql as $${body}$$".encode())

        findings = unregistered(connection)

    assert [finding for finding in findings if named in finding], findings


def test_every_code_says_what_it_means_and_what_to_do() -> None:
    for code, spec in REGISTRY.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*", code), code
        assert spec.meaning.strip(), code
        assert spec.remedy.strip(), code
        built = error_for(code)
        assert (type(built), built.code, built.status) == (spec.error, code, spec.status)
        assert spec.remedy in str(built)


def test_every_class_of_errors_has_its_own_code_in_the_registry() -> None:
    classes = [QeroError]
    for error in classes:
        classes += error.__subclasses__()
        assert error.default_code in REGISTRY, error


def methods() -> dict[str, list[tuple[str, str]]]:
    """By the RPC their docstring names: the methods, with that docstring."""
    found: dict[str, list[tuple[str, str]]] = {}
    for module in pkgutil.iter_modules(services.__path__):
        loaded = importlib.import_module(f"{services.__name__}.{module.name}")
        for _, service in inspect.getmembers(loaded, inspect.isclass):
            if service.__module__ != loaded.__name__:
                continue
            for name, method in inspect.getmembers(service, inspect.iscoroutinefunction):
                text = inspect.getdoc(method) or ""
                for function in re.findall(r"^SQL: public\.(\w+)$", text, re.MULTILINE):
                    found.setdefault(function, []).append((f"{service.__name__}.{name}", text))
    return found


# Codes that the database can raise and the method can't provoke.
_NOT_FROM_HERE = {
    "Candidates.create": {"lead_status_invalid"},  # they have none
    "Candidates.list": {"role_required", "workspace_suspended"},  # every role reads
    "Candidates.update": {"lead_status_invalid"},
    "CallLogs.for_contacts": {"too_many_ids"},  # it asks for less at once
    "CallLogs.list": {"too_many_ids"},
    "Contacts.count": {"role_required", "workspace_suspended"},
    "Contacts.duplicates": {"role_required", "workspace_suspended"},
    "Contacts.list": {"role_required", "workspace_suspended"},
    "Contacts.update_status": {"field_unknown", "invalid_value"},  # it names one field, by its name
    "FollowUps.counts": {"invalid_value"},
    "LeadQueue.export": {"role_required", "workspace_suspended"},  # every role reads
    "LeadQueue.status": {"role_required", "workspace_suspended"},
    "Leads.create": {"lead_status_invalid"},  # new ones are new
    "Events.replay": {"invalid_value"},  # they always send an array
    "Events.replay_orphans": {"invalid_value"},
    "Entitlements.check": {"operator_required", "role_required", "workspace_suspended"},  # who can see it may ask
    "CannedResponses.render": {"role_required", "workspace_suspended"},
    "Inbox.count": {"role_required", "workspace_suspended"},
    "Inbox.counts": {"role_required", "workspace_suspended"},
    "Inbox.get": {"role_required", "workspace_suspended"},
    "Inbox.list": {"role_required", "workspace_suspended"},
    "Inbox.mark_read": {"role_required", "workspace_suspended"},
    "Inbox.mark_unread": {"role_required", "workspace_suspended"},
    "Inbox.search": {"role_required", "workspace_suspended"},
    "SavedViews.list": {"role_required", "workspace_suspended"},
    "Tokens.release": {"invalid_value", "workspace_not_found"},  # a reservation goes with its workspace
    "Tokens.settle": {"workspace_not_found"},
    "Tokens.settle_due": {"workspace_not_found"},
    "Workspaces.members": {"role_required", "workspace_suspended"},
    "Webhooks.ingest": {"invalid_value"},
    "Webhooks.receive": {"invalid_value"},
    "WebhookEndpoint.receive": {"invalid_value"},
}


def codes_of(function: str, all_bodies: dict[str, str]) -> set[str]:
    """The codes that a call of the function may end with, the ones of functions it calls included."""
    reached, waiting = set[str](), [function]
    while waiting:
        name = waiting.pop()
        if name in reached or name not in all_bodies:
            continue
        reached.add(name)
        waiting += _CALL.findall(all_bodies[name])
    codes = set()
    for name in reached:
        codes |= {code for _, code in RAISE.findall(all_bodies[name])} | set(_PASSED.findall(all_bodies[name]))
    return codes


def test_every_public_function_has_a_method_that_names_it_and_its_errors(catalogue: Connection) -> None:
    public = {
        name for (name,) in catalogue.execute("select proname from pg_proc where pronamespace = 'public'::regnamespace")
    }
    by_function, all_bodies = methods(), bodies(catalogue)
    assert public - by_function.keys() == set(), "these have no method"
    assert by_function.keys() - public == set(), "these methods name a function that isn't there"

    missing = []
    for function in sorted(public):
        for method, text in by_function[function]:
            # A client that acts for nobody can't be built.
            expected = codes_of(function, all_bodies) - {"not_authenticated"} - _NOT_FROM_HERE.get(method, set())
            documented = set(re.findall(r"`([a-z_]+)`", text))
            missing += [f"{method}: {code}" for code in sorted(expected - documented)]
    assert missing == []
