"""Requests made from the description of the API, sent as real users, and what mustn't be among the answers."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.http.office import Office
from tests.support import World

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
KINDS = {
    "contact": ("contact", "twin"),
    "candidate": ("candidate",),
    "note": ("note",),
    "chat": ("chat", "channel"),
    "message": ("message",),
    "thread": ("thread",),
    "user": ("vera", "olga"),
    "workspace": ("workspace", "workspace_id"),
}
"""What ids are of, and what an office calls those."""
_KIND_OF_PATH = {"contacts": "contact", "candidates": "candidate", "notes": "note", "chats": "chat",
                 "followups": "contact"}  # fmt: skip
_KIND_OF_NAME = {"duplicate_id": "contact", "member_ids": "user", "mentions": "user", "assigned_to": "user"}
# No slash: what is behind one is another path.
_STRANGE = {True: st.text(st.characters(exclude_characters="/"), max_size=20), False: st.uuids().map(str)}


@dataclass
class Findings:
    """What came of all requests."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    problems: dict[str, str] = field(default_factory=dict)
    """The first of each kind, by operation and what is wrong with it."""

    def lines(self) -> list[str]:
        return [f"{name}\n{text}" for name, text in self.problems.items()]


async def fuzz(world: World, neighbours: World, routes: httpx.AsyncClient, *, count: int, start: int) -> Findings:
    """Send about `count` requests as a member, an owner, a viewer and an operator of one workspace.

    Half of them as the description wants them, half not. Ids are those of its rows, of another tenant's, and of none.
    No answer may be a 5xx or differ from the description; none but the operator's may hold anything of the other
    tenant, and nothing of that one's may change.

    Args:
        start: the seed; the same one makes much the same requests.
    """
    ours, theirs = await Office.open(world), await Office.open(neighbours)
    rows = [(office is ours, await office.fresh()) for office in (ours, ours, ours, theirs)]
    for kind, names in KINDS.items():
        real = [row[name] for is_ours, row in rows for name in names for _ in range(3 if is_ours else 4)]
        schemathesis.openapi.format(kind, st.sampled_from(real) | st.sampled_from(real) | _STRANGE[kind == "workspace"])
    description = (await routes.get("/openapi.json")).json()
    _name_kinds(description)
    before = await theirs.everything()

    findings = Findings()
    members = [ours.bob, ours.bob, ours.olga, ours.olga, ours.vera]
    # Operators may do anything to anybody: they come last.
    for of_ops, users in ((False, members), (True, [ours.bob, ours.oscar])):
        assert await theirs.everything() == before, "another tenant's rows changed"
        wanted = {path: each for path, each in description["paths"].items() if path.startswith("/api/ops") == of_ops}
        callers = [Caller(user.access_token, None if user is ours.oscar else theirs.mark) for user in users]
        share = round(count * len(wanted) / len(description["paths"]))
        await asyncio.to_thread(
            _send_all, {**description, "paths": wanted}, str(routes.base_url), callers, share, start, findings
        )
    return findings


@dataclass(frozen=True)
class Caller:
    token: str = field(repr=False)
    secret: str | None
    """What nobody may show them."""


def _send_all(
    description: dict[str, Any], address: str, callers: list[Caller], count: int, start: int, findings: Findings
) -> None:
    load_all_checks()
    found = schemathesis.openapi.from_dict(description).get_all_operations()
    operations = [result.ok() for result in found if isinstance(result, Ok)]
    each = math.ceil(count / len(operations) / len(GenerationMode))
    with requests.Session() as session:

        def send(case: Case[Any], caller: Caller) -> None:
            name = f"{case.method} {case.path}"
            answer = case.call(base_url=address, session=session, headers={"Authorization": f"Bearer {caller.token}"})
            findings.requests += 1
            findings.statuses[answer.status_code] += 1
            if caller.secret is not None and caller.secret in answer.text:
                findings.problems.setdefault(f"{name}: it holds something of another tenant", answer.text[:1000])
            try:
                case.validate_response(answer, checks=CHECKS)
            except FailureGroup as group:
                for failure in group.exceptions:
                    text = f"{failure}\n{case.as_curl_command()}\n{answer.text[:1000]}"
                    findings.problems.setdefault(f"{name}: {failure.title} ({answer.status_code})", text)

        for operation in operations:
            for mode in GenerationMode:
                run = settings(
                    max_examples=each,
                    phases=[Phase.generate],
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                )(seed(start)(given(operation.as_strategy(generation_mode=mode), st.sampled_from(callers))(send)))
                try:
                    run()
                except Unsatisfiable:
                    # There is no wrong way of asking for what takes no parameters.
                    assert mode is GenerationMode.NEGATIVE, operation.label


def _name_kinds(description: dict[str, Any]) -> None:
    """Say of every id what it is an id of, so that real ones are sent where they fit."""
    for path, operations in description["paths"].items():
        for operation in operations.values():
            for parameter in operation.get("parameters", ()):
                name = parameter["name"]
                _name_kind(parameter["schema"], _KIND_OF_PATH.get(path.split("/")[2], "") if name == "id" else name)
    for schema in description["components"]["schemas"].values():
        for name, field_ in schema.get("properties", {}).items():
            _name_kind(field_, name)


def _name_kind(schema: dict[str, Any], name: str) -> None:
    kind = _KIND_OF_NAME.get(name, name.removesuffix("s").removesuffix("_id"))
    if kind not in KINDS:
        return
    for choice in schema.get("anyOf", [schema]):
        text = choice.get("items", choice)
        if text.get("format") == "uuid" or (kind == "workspace" and text.get("type") == "string"):
            for bound in ("minLength", "maxLength"):
                text.pop(bound, None)
            text["format"] = kind
