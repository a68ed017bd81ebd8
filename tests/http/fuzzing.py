"""Requests made from the description of the API, sent as real users, and what mustn't be among the answers."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import Case
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.failures import FailureGroup
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
ROWS = 5


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
    known = [await office.fresh() for office in (ours, theirs) for _ in range(ROWS)]
    ids = sorted({id_ for names in known for id_ in names.values() if _is_uuid(id_)})
    schemathesis.openapi.format("uuid", st.sampled_from(ids) | st.uuids().map(str))
    refs = [str(ours.workspace.id), ours.workspace.slug, str(theirs.workspace.id), theirs.workspace.slug]
    schemathesis.openapi.format("workspace", st.sampled_from(refs * 3) | st.text(max_size=20))
    description = (await routes.get("/openapi.json")).json()
    _mark_workspaces(description)
    before = await theirs.everything()

    findings = Findings()
    callers = [(ours.bob, 4), (ours.olga, 3), (ours.vera, 1), (ours.oscar, 2)]
    for caller, share in callers:
        if caller is ours.oscar:
            assert await theirs.everything() == before, "another tenant's rows changed"
        wanted = {
            path: operations
            for path, operations in description["paths"].items()
            if (caller is not ours.oscar or path.startswith("/api/ops"))
        }
        await asyncio.to_thread(
            _send_all,
            {**description, "paths": wanted},
            str(routes.base_url),
            caller.access_token,
            count * share // 10,
            start,
            None if caller is ours.oscar else theirs.mark,
            findings,
        )
    return findings


def _send_all(
    description: dict[str, Any],
    address: str,
    token: str,
    count: int,
    start: int,
    secret: str | None,
    findings: Findings,
) -> None:
    load_all_checks()
    found = schemathesis.openapi.from_dict(description).get_all_operations()
    operations = [operation for result in found if (operation := result.ok())]
    each = math.ceil(count / len(operations) / len(GenerationMode))
    with requests.Session() as session:

        def send(case: Case[Any]) -> None:
            name = f"{case.method} {case.path}"
            answer = case.call(base_url=address, session=session, headers={"Authorization": f"Bearer {token}"})
            findings.requests += 1
            findings.statuses[answer.status_code] += 1
            if secret is not None and secret in answer.text:
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
                )(seed(start)(given(case=operation.as_strategy(generation_mode=mode))(send)))
                try:
                    run()
                except Unsatisfiable:
                    # There is no wrong way of asking for what takes no parameters.
                    assert mode is GenerationMode.NEGATIVE, operation.label


def _mark_workspaces(description: Any) -> None:
    """Name the format of everything that is called workspace, so that names of real ones are sent."""
    if isinstance(description, list):
        for item in description:
            _mark_workspaces(item)
        return
    if not isinstance(description, dict):
        return
    if description.get("name") == "workspace" and "schema" in description:
        _name_format(description["schema"])
    if "workspace" in (properties := description.get("properties", {})):
        _name_format(properties["workspace"])
    for item in description.values():
        _mark_workspaces(item)


def _name_format(schema: dict[str, Any]) -> None:
    for choice in schema.get("anyOf", [schema]):
        if choice.get("type") == "string":
            for bound in ("minLength", "maxLength"):
                choice.pop(bound, None)
            choice["format"] = "workspace"


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
