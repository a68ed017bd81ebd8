"""What failures are answered with: problem details (RFC 9457) that carry qero's codes, in the OpenAPI too."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable
from typing import Any, Literal

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import BaseRoute, Match

from qero.errors import PROBLEM_JSON, REGISTRY, InvalidInput, NotFound, QeroError, error_for
from qero.logs import get_logger
from qero.models.contact import LeadStatus
from qero.models.lead import LeadStage

METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")
# What any route may meet, and what any route for users may.
_ANYWHERE = ("invalid_value", "internal_error", "unavailable", "timed_out")
_OF_USERS = (
    "not_authenticated", "token_expired", "token_invalid", "token_wrong_audience", "api_key_invalid", "network_error",
    "database_unavailable", "try_again", "rate_limited",
)  # fmt: skip
_OF_WRITES = ("body_too_large", "request_incomplete")
_OF_WRITES_BY_USERS = ("cross_site_request",)


def _expected(values: Any) -> str:
    """What pydantic says that it expected instead, in place of a value that is none of these."""
    try:
        TypeAdapter(values).validate_python(None)
    except ValidationError as error:
        return str(error.errors()[0]["ctx"]["expected"])
    raise TypeError(f"{values} is no Literal")


# Sets of values that have a code of their own wherever another is refused, whatever the field is called.
_CODES_OF_VALUES = {_expected(values): "lead_status_invalid" for values in (LeadStatus, LeadStage)}
_NAME = re.compile(r"`([a-z_]+)`")

Responses = dict[int | str, dict[str, Any]]
log = get_logger("qero.http")


class Problem(BaseModel):
    """Why a request was refused, and what to do next."""

    type: Literal["about:blank"]
    title: str
    """One sentence for a person."""
    status: int
    code: str
    """Branch on this, never on the text."""
    detail: str | None
    """What to do next."""
    errors: dict[str, Any]
    """Which field, row or limit."""


def refusals(
    *methods: Callable[..., Any], codes: Iterable[str] = (), writes: bool = False, user: bool = True
) -> Responses:
    """How a route that calls these methods of services may refuse, by status: the codes that their docstrings name.

    Args:
        codes: further ones, which the route itself answers.
        writes: it takes a body, or changes something.
        user: it needs one.
    """
    found = {*codes, *_ANYWHERE}
    for method in methods:
        found |= set(_NAME.findall(inspect.getdoc(method) or "")) & REGISTRY.keys()
    if user:
        found |= set(_OF_USERS)
    if writes:
        found |= {*_OF_WRITES, *(_OF_WRITES_BY_USERS if user else ())}
    by_status: dict[int, list[str]] = {}
    for code in sorted(found):
        by_status.setdefault(REGISTRY[code].status, []).append(code)
    return {status: _response(codes) for status, codes in sorted(by_status.items())}


def _response(codes: list[str]) -> dict[str, Any]:
    schema = {"allOf": [{"$ref": "#/components/schemas/Problem"}, {"properties": {"code": {"enum": codes}}}]}
    return {
        "description": "\n".join(f"- `{code}`: {REGISTRY[code].meaning}" for code in codes),
        "content": {PROBLEM_JSON: {"schema": schema}},
    }


def answer_with_problems(app: FastAPI) -> None:
    """Make an application answer every failure with a problem: what qero raises, and what the framework refuses."""
    app.exception_handler(QeroError)(_typed)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_refused_by_framework)


def problem(request: Request, error: QeroError) -> JSONResponse:
    """The answer that says what went wrong."""
    if error.status >= 500:
        log.error("request_failed", code=error.code, detail=error.detail, path=request.url.path)
    return JSONResponse(error.to_problem(), error.status, media_type=PROBLEM_JSON)


async def _typed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QeroError)
    return problem(request, error)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    items = error.errors()
    fields = [{"field": _field(item), "problem": item["msg"]} for item in items]
    if items[0]["loc"] == ("body",) and "json" not in request.headers.get("content-type", ""):
        fields[0]["problem"] = "It has to be JSON, with the header Content-Type: application/json."
    # As the database would say it, which is asked only where the form of the request is right.
    codes = {
        _CODES_OF_VALUES.get(item["ctx"]["expected"], "invalid_value")
        if item["type"] == "literal_error"
        else "invalid_value"
        for item in items
    }
    code = codes.pop() if len(codes) == 1 else "invalid_value"
    return problem(request, InvalidInput(code, detail={"fields": fields}))


def _field(item: dict[str, Any]) -> str:
    """Its path in the request, without the alternatives of a union that pydantic names in between."""
    within, *path = map(str, item["loc"])
    if item["type"] == "json_invalid":
        return within
    return ".".join(part for part in path if re.fullmatch(r"[\w.-]+", part)) or within


def no_such_route() -> NotFound:
    return NotFound("not_found", "There is no such route.", hint="Check the path; /openapi.json lists them.")


async def _refused_by_framework(request: Request, error: Exception) -> JSONResponse:
    """Unknown routes, wrong methods, bodies that couldn't be read."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    refused: QeroError
    if isinstance(error.__cause__, QeroError):
        refused = error.__cause__
    elif error.status_code == 404:
        refused = no_such_route()
    elif error.status_code == 405:
        methods = _methods(request)
        headers = {"allow": ", ".join(methods)}
        refused = InvalidInput(
            "invalid_value", "The route doesn't answer this method.",
            detail={"field": "method", "allowed": methods}, hint=f"Use {headers['allow']}.", status=405,
        )  # fmt: skip
    else:
        code = "invalid_value" if error.status_code < 500 else "internal_error"
        refused = error_for(code, str(error.detail))
        refused.status = error.status_code
    answer = problem(request, refused)
    answer.headers.update(headers)
    return answer


def _methods(request: Request) -> list[str]:
    """All that the path answers; each route of the framework knows its own only."""
    routes: list[BaseRoute] = request.app.router.routes
    return [
        method
        for method in METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    ]
