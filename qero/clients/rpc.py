"""The one place where an answer of the API becomes a value or a typed error."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar
from uuid import UUID

import httpx
from postgrest import APIError
from postgrest.exceptions import APIErrorFromJSON, generate_default_error_message
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json
from supabase import AsyncClient

from qero.clients.factory import Post, Send, ServiceClient, UserClient
from qero.errors import (
    Conflict,
    InvalidInput,
    LimitExceeded,
    NetworkError,
    NotAuthenticated,
    NotFound,
    PermissionDenied,
    QeroError,
    Unavailable,
    error_for,
)
from qero.logs import get_logger

# The connection ended before the answer did. No time-outs: who is slow isn't helped by being asked twice.
_LOST = (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError)
# Serialization failures and deadlocks: everything is undone, and what stood in the way has gone on, so the same call
# is made once more.
_UNDONE = ("40001", "40P01")

T = TypeVar("T")
log = get_logger("qero")


class Query(Protocol):
    """Anything the Supabase client can execute: a table query or an RPC with filters."""

    async def execute(self) -> Any: ...


async def call(client: AsyncClient, function: str, result: type[T], **arguments: Any) -> T:
    """Call one RPC and validate its answer as `result` (a model, a scalar, `list[Model]`, or `type(None)`).

    Raises:
        QeroError: the class and code that the registry gives for what the database raised.
        QeroError: `answer_unreadable` when the answer doesn't fit `result`.
    """
    ids = {name.removeprefix("p_"): str(value) for name, value in arguments.items() if name.endswith("_id")}
    try:
        encoded = to_json(arguments)
    except PydanticSerializationError:
        raise _half_a_pair(function) from None
    return await call_encoded(client, function, result, encoded, **ids)


async def call_encoded(client: AsyncClient, function: str, result: type[T], arguments: bytes, **ids: str) -> T:
    """As `call`, with the arguments as one JSON object that is encoded already: large ones are encoded only once.

    Args:
        ids: what the log names beside the user: ids only, never content.
    """
    with _reported(client, function, ids):
        post: Post = partial(_post_by, client)
        if isinstance(client, UserClient | ServiceClient) and not client.is_built:
            post = client.post
        try:
            answer = await post(function, arguments)
        except _LOST:
            # It may have arrived: only what changes nothing can be asked twice. Queries of tables the client's own way
            # repeats by itself.
            if not getattr(client, "repeatable", False):
                raise
            answer = await post(function, arguments)
        problem = _problem(answer)
        if problem is not None and problem["code"] in _UNDONE:
            problem = _problem(answer := await post(function, arguments))
        if problem is not None:
            raise APIError(problem)
        # A function that returns nothing is answered with an empty body. The client's own way would take the JSON apart
        # into objects, which then are validated: this does both at once.
        return _adapter(result).validate_json(answer.content or b"null")


def _problem(answer: httpx.Response) -> dict[str, Any] | None:
    if answer.is_success:
        return None
    try:
        return APIErrorFromJSON.model_validate_json(answer.content).model_dump()
    except ValidationError:
        return generate_default_error_message(answer)


async def _post_by(client: AsyncClient, function: str, arguments: bytes) -> httpx.Response:
    """As the client's own builder asks."""
    request = client.rpc(function).request
    headers = {**request.headers, "content-type": "application/json"}
    post = request.session.build_request("POST", str(request.path), content=arguments, headers=headers)
    send: Send = getattr(client, "send", request.session.send)
    return await send(post)


async def execute(client: AsyncClient, query: Query, result: type[T], *, operation: str, **ids: str) -> T:
    """Run a built query and validate its data as `result`. Raises as `call`.

    Args:
        operation: what the log calls it.
        ids: what the log names beside the user: ids only, never content.
    """
    with _reported(client, operation, ids):
        return _adapter(result).validate_python((await query.execute()).data)


@contextmanager
def _reported(client: AsyncClient, operation: str, ids: Mapping[str, str]) -> Iterator[None]:
    """Makes typed errors of whatever goes wrong, and logs how the operation ended."""
    started = time.perf_counter()
    outcome = "ok"
    try:
        yield
    except APIError as error:
        typed = error_from_api(error)
        outcome = typed.code
        raise typed from error
    except httpx.HTTPError as error:
        outcome = "network_error"
        raise NetworkError("network_error", detail={"operation": operation, "reason": type(error).__name__}) from error
    except UnicodeEncodeError:
        outcome = "invalid_value"
        raise _half_a_pair(operation) from None
    except ValidationError as error:
        outcome = "answer_unreadable"
        problems = error.errors(include_input=False, include_url=False, include_context=False)
        raise QeroError("answer_unreadable", detail={"operation": operation, "problems": problems[:3]}) from error
    finally:
        log.debug(
            "database_call",
            operation=operation,
            outcome=outcome,
            # The service acts for a user whom it names.
            **{"user_id": _user_id(client), **ids},
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
        )


def _half_a_pair(operation: str) -> InvalidInput:
    """Nothing was sent. Its cause would show the whole text."""
    problem = "a text holds half a surrogate pair"
    return InvalidInput("invalid_value", detail={"operation": operation, "problem": problem})


def _user_id(client: AsyncClient) -> str | None:
    identity = getattr(client, "identity", None)
    return None if identity is None else str(identity.user_id)


def _adapter(result: type[T]) -> TypeAdapter[T]:
    """Building one costs far more than using it, and a program asks for few types."""
    adapter: TypeAdapter[T] | None = _adapters.get(result)
    if adapter is None:
        adapter = _adapters[result] = TypeAdapter(result)
    return adapter


_adapters: dict[Any, TypeAdapter[Any]] = {}


def error_from_api(error: APIError) -> QeroError:
    """The typed error for an answer of PostgREST, or of whatever stood in its place."""
    raw_code = str(error.code or "")
    message = error.message or ""
    if raw_code.startswith("PT"):
        return error_for(message, detail=_detail(error.details), hint=error.hint, status=_status_of_sqlstate(raw_code))
    if raw_code in ("PGRST301", "PGRST303") and "expired" in message:
        return NotAuthenticated("token_expired")
    if raw_code == "23503" and message.startswith("update or delete"):
        return Conflict("still_referenced", detail=_safe_detail(error, raw_code))
    known = _KNOWN.get(raw_code)
    if known is not None:
        error_class, code = known
        return error_class(code, detail=_safe_detail(error, raw_code))
    if raw_code.isdigit() and len(raw_code) == 3:
        return _error_of_http_status(int(raw_code), message)
    if raw_code.startswith(("53", "57P", "08", "58")) or raw_code in (
        "PGRST000",
        "PGRST001",
        "PGRST002",
        "PGRST003",
    ):
        return Unavailable("database_unavailable", detail={"sqlstate": raw_code})
    if raw_code.startswith("22"):
        return InvalidInput("invalid_value", detail=_safe_detail(error, raw_code))
    if "api key" in message.lower():
        return NotAuthenticated("api_key_invalid")
    if not raw_code:
        # PostgREST always names a code: this came from something in front of it.
        return Unavailable("unavailable", detail={"message": message[:200]})
    return QeroError("internal_error", detail={"sqlstate": raw_code, "message": message})


# What Postgres and PostgREST answer to content that they can't take and that no class of error names: cardinality,
# limits of the server, an exception of a function, JSON that isn't any.
_OF_CONTENT = ("21", "54", "P0", "PGRST102")


def refuses_content(error: QeroError) -> bool:
    """Whether it was for what was sent, so that something else may fare better."""
    if error.retryable or isinstance(error, NotAuthenticated | PermissionDenied):
        return False
    return error.status < 500 or str(error.detail.get("sqlstate", "")).startswith(_OF_CONTENT)


def reason_of_refusal(error: QeroError) -> str:
    """What is noted beside content that the database can't take."""
    problem = error.detail.get("problem") or error.detail.get("constraint") or error.message
    return f"the database refused it: {problem}"


_KNOWN: Mapping[str, tuple[type[QeroError], str]] = {
    "23505": (Conflict, "already_exists"),
    "23503": (InvalidInput, "reference_not_found"),
    "23514": (InvalidInput, "invalid_value"),
    "23502": (InvalidInput, "invalid_value"),
    "23P01": (Conflict, "conflict"),
    "40001": (Unavailable, "try_again"),
    "40P01": (Unavailable, "try_again"),
    "55P03": (Unavailable, "try_again"),
    "57014": (Unavailable, "timed_out"),
    "42501": (PermissionDenied, "permission_denied"),
    "42P01": (QeroError, "schema_outdated"),
    "42703": (QeroError, "schema_outdated"),
    "42883": (QeroError, "schema_outdated"),
    # JSON has no words for infinity and for what is no number.
    "PGRST102": (InvalidInput, "invalid_value"),
    "PGRST116": (NotFound, "not_found"),
    "PGRST202": (QeroError, "schema_outdated"),
    "PGRST203": (QeroError, "schema_outdated"),
    "PGRST204": (QeroError, "schema_outdated"),
    "PGRST205": (QeroError, "schema_outdated"),
    "PGRST300": (Unavailable, "unavailable"),
    "PGRST301": (NotAuthenticated, "token_invalid"),
    "PGRST302": (NotAuthenticated, "not_authenticated"),
    "PGRST303": (NotAuthenticated, "token_invalid"),
}


def _error_of_http_status(status: int, message: str) -> QeroError:
    if status == 401:
        return NotAuthenticated("api_key_invalid")
    if status == 429:
        return LimitExceeded("rate_limited", hint="Wait a moment, then repeat.", retryable=True)
    if status >= 500:
        return Unavailable("unavailable", detail={"http_status": status})
    return error_for("internal_error", detail={"http_status": status, "message": message[:200]})


def _status_of_sqlstate(sqlstate: str) -> int:
    digits = sqlstate.removeprefix("PT")
    return int(digits) if digits.isdigit() else 500


def _detail(details: Any) -> dict[str, Any]:
    if isinstance(details, str):
        try:
            details = json.loads(details)
        except ValueError:
            return {"reason": details}
    return details if isinstance(details, dict) else {}


def _safe_detail(error: APIError, sqlstate: str) -> dict[str, Any]:
    """Names the constraint or column, never the row: Postgres puts whole rows of values into its detail."""
    detail: dict[str, Any] = {"sqlstate": sqlstate}
    message = error.message or ""
    if sqlstate.startswith("22"):
        # What stands in quotes here is the value itself.
        detail["problem"] = re.split(r'[:"]', message, maxsplit=1)[0].strip()
    elif sqlstate.startswith(("42", "PGRST")):
        # These name tables, columns and functions, and no values.
        detail["problem"] = message
    for kind, name in re.findall(r'(constraint|column|relation|table) "([^"]+)"', message):
        detail.setdefault(kind, name)
    return detail


def page_limit(limit: int, maximum: int) -> int:
    """The limit of a page, checked rather than silently changed.

    Raises:
        InvalidInput: `invalid_value`, naming the limit and what is allowed.
    """
    if not 1 <= limit <= maximum:
        raise InvalidInput("invalid_value", detail={"field": "limit", "value": limit, "allowed": f"1 to {maximum}"})
    return limit


def one_row(rows: list[T], code: str, **ids: UUID | str) -> T:
    """The single row of an answer.

    Raises:
        NotFound: `code`, when there is none: what isn't there and what isn't yours look the same.
    """
    if not rows:
        raise error_for(code, detail={name: str(value) for name, value in ids.items()})
    return rows[0]
