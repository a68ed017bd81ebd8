"""What the API answers becomes a typed error: by real answers where the stack gives them, else by the same bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from qero import (
    Clients,
    Conflict,
    InvalidInput,
    InvalidState,
    NetworkError,
    NotAuthenticated,
    NotFound,
    Outbox,
    PermissionDenied,
    QeroError,
    Settings,
    Threads,
    Unavailable,
    Workspaces,
)
from qero.clients.rpc import call, execute
from qero.errors import LimitExceeded
from qero.local.asgi import listen, serving
from tests.support import World, digits

HUSH = "hush-hush"


async def failure(query: Any) -> QeroError:
    with pytest.raises(QeroError) as error:
        await query
    assert HUSH not in repr(error.value.to_dict()), "values of rows stay out of errors"
    json.dumps(error.value.to_dict())
    return error.value


def seen(error: QeroError) -> tuple[type[QeroError], str, int, bool]:
    return type(error), error.code, error.status, error.retryable


# --- Real answers ---


async def test_what_sql_raises_keeps_code_status_detail_and_hint(world: World) -> None:
    user = (await world.user("ada")).client

    error = await failure(Workspaces(user).resolve("no-such-workspace"))

    assert seen(error) == (NotFound, "workspace_not_found", 404, False)
    assert error.detail == {"workspace": "no-such-workspace"}
    assert error.hint == "Check the slug or id; only workspaces you belong to can be named."
    assert str(error) == f"Workspace not found [workspace_not_found] {error.hint}"


async def test_broken_constraints_are_named_and_values_are_not(world: World) -> None:
    workspace = await world.workspace()
    contacts = world.service.table("contacts")
    own = {"workspace_id": str(workspace.id)}
    phone = f"+{digits(11)}"

    def insert(**row: Any) -> Any:
        return execute(world.service, contacts.insert({**own, **row}), list[Any], operation="insert")

    await insert(phone=phone, name=HUSH)

    twice = await failure(insert(phone=phone, name=HUSH))
    assert seen(twice) == (Conflict, "already_exists", 409, False)
    assert twice.detail == {"sqlstate": "23505", "constraint": "contacts_phone_workspace_id_idx"}
    assert phone not in repr(twice.to_dict())

    refused = await failure(insert(email=HUSH))
    assert seen(refused) == (InvalidInput, "invalid_value", 400, False)
    assert refused.detail["constraint"] == "contacts_email_check"

    dangling = await failure(insert(workspace_id=str(uuid4()), name=HUSH))
    assert seen(dangling) == (InvalidInput, "reference_not_found", 400, False)
    assert dangling.detail["constraint"] == "contacts_workspace_id_fkey"

    nothing = await failure(insert(workspace_id=None, name=HUSH))
    assert seen(nothing) == (InvalidInput, "invalid_value", 400, False)
    assert (nothing.detail["column"], nothing.detail["relation"]) == ("workspace_id", "contacts")


async def test_values_of_the_wrong_type_say_what_is_wrong_and_not_the_value(world: World) -> None:
    wrong_type = await failure(call(world.service, "claim_outbox", list[Any], p_limit=HUSH, p_worker="w"))
    assert seen(wrong_type) == (InvalidInput, "invalid_value", 400, False)
    assert wrong_type.detail == {"sqlstate": "22P02", "problem": "invalid input syntax for type integer"}

    no_text = await failure(Workspaces(world.service).resolve("\x00"))
    assert seen(no_text) == (InvalidInput, "invalid_value", 400, False)


async def test_what_the_database_lacks_is_named_with_the_remedy(world: World) -> None:
    for query in (
        call(world.service, "no_such_function", int),
        call(world.service, "whoami", dict, p_unknown=1),
        execute(world.service, world.service.table("no_such_table").select("*"), list[Any], operation="x"),
        execute(world.service, world.service.table("contacts").select("no_such_column"), list[Any], operation="x"),
        execute(world.service, world.service.table("contacts").insert({"no_such_column": 1}), list[Any], operation="x"),
    ):
        error = await failure(query)
        assert seen(error) == (QeroError, "schema_outdated", 500, False)
        assert "no_such" in error.detail["problem"] or "p_unknown" in error.detail["problem"]
        assert "`qero db push`" in (error.hint or "")


async def test_missing_grants_and_row_security_are_permission_denied(world: World) -> None:
    workspace = await world.workspace(vera="viewer")
    vera = await world.user("vera")

    no_grant = await failure(Outbox(vera.client).claim(1, "w"))  # type: ignore[arg-type]
    assert seen(no_grant) == (PermissionDenied, "permission_denied", 403, False)

    row = {"workspace_id": str(workspace.id), "name": HUSH, "created_by": str(vera.id)}
    by_policy = await failure(execute(vera.client, vera.client.table("contacts").insert(row), list[Any], operation="x"))
    assert seen(by_policy) == (PermissionDenied, "permission_denied", 403, False)
    assert by_policy.detail["table"] == "contacts"


async def test_one_row_asked_for_and_none_there_is_not_found(world: World) -> None:
    query = world.service.table("contacts").select("*").eq("id", str(uuid4())).single()

    assert seen(await failure(execute(world.service, query, dict, operation="x"))) == (
        NotFound,
        "not_found",
        404,
        False,
    )


async def test_a_statement_that_takes_too_long_may_be_repeated(world: World) -> None:
    blocker = await psycopg.AsyncConnection.connect(world.settings.require("db_url"))
    async with blocker:
        await blocker.execute("lock table private.outbox_leases, private.outbox_ready in access exclusive mode")
        claiming = asyncio.create_task(failure(Outbox(world.service).claim(1, "w")))
        cancel = (
            "select pg_cancel_backend(pid) from pg_stat_activity "
            "where query like %s and state = 'active' and wait_event_type = 'Lock' and pid <> pg_backend_pid()"
        )
        while not claiming.done():
            await asyncio.sleep(0.02)
            await world.rows(cancel, '%"claim_outbox"%')
        await blocker.rollback()

    assert seen(await claiming) == (Unavailable, "timed_out", 503, True)


async def test_an_answer_of_another_shape_is_said_to_be_unreadable(world: World) -> None:
    error = await failure(call(world.service, "whoami", list[int]))

    assert seen(error) == (QeroError, "answer_unreadable", 500, False)
    assert error.detail["operation"] == "whoami"
    assert "input" not in repr(error.detail["problems"]).replace("Input should", "")


# --- Answers the stack doesn't give on request, byte for byte ---


class Api:
    """Answers every request with what the test says."""

    def __init__(self) -> None:
        self.answer: Callable[[], Response] = lambda: Response()
        self.app = Starlette(routes=[Route("/{path:path}", self._respond, methods=["GET", "POST", "DELETE"])])

    async def _respond(self, _: Request) -> Response:
        return self.answer()


@pytest.fixture(scope="module")
async def api() -> AsyncIterator[tuple[Api, Clients]]:
    api, listener = Api(), listen()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    settings = Settings(supabase_url=url, publishable_key="sb_publishable_x", secret_key="sb_secret_x")
    async with serving(api.app, listener), Clients(settings) as clients:
        yield api, clients


def postgrest(status: int, code: str | None, message: str, details: Any = None, hint: str | None = None) -> Response:
    return JSONResponse({"code": code, "message": message, "details": details, "hint": hint}, status)


ANSWERS: list[tuple[Response, tuple[type[QeroError], str, int, bool], dict[str, Any]]] = [
    (
        postgrest(409, "PT409", "connection_inactive", '{"thread_id": "t"}', "Reactivate it."),
        (InvalidState, "connection_inactive", 409, False),
        {"thread_id": "t"},
    ),
    (postgrest(418, "PT418", "unheard_of"), (QeroError, "unheard_of", 418, False), {}),
    (postgrest(413, "PT413", "unheard_of"), (LimitExceeded, "unheard_of", 413, False), {}),
    (postgrest(503, "PT503", "unheard_of", "not json"), (Unavailable, "unheard_of", 503, True), {"reason": "not json"}),
    (postgrest(500, "PTxyz", "unheard_of", "[1]"), (QeroError, "unheard_of", 500, False), {}),
    (
        postgrest(
            409, "23503",
            'update or delete on table "a" violates foreign key constraint "b_a_id_fkey" on table "b"',
            f"Key (id)=({HUSH}) is still referenced from table b.",
        ),
        (Conflict, "still_referenced", 409, False),
        {"sqlstate": "23503", "constraint": "b_a_id_fkey", "table": "a"},
    ),
    (
        postgrest(
            409, "23P01", 'conflicting key value violates exclusion constraint "c_excl"', f"Key ({HUSH}) conflicts."
        ),
        (Conflict, "conflict", 409, False),
        {"sqlstate": "23P01", "constraint": "c_excl"},
    ),
    (
        postgrest(400, "22003", f'value "{HUSH}" is out of range for type integer'),
        (InvalidInput, "invalid_value", 400, False),
        {"sqlstate": "22003", "problem": "value"},
    ),
    (postgrest(500, "40001", "could not serialize access"), (Unavailable, "try_again", 503, True),
     {"sqlstate": "40001"}),
    (postgrest(500, "40P01", "deadlock detected", f"Process {HUSH}"), (Unavailable, "try_again", 503, True),
     {"sqlstate": "40P01"}),
    (postgrest(500, "55P03", "canceling statement due to lock timeout"), (Unavailable, "try_again", 503, True),
     {"sqlstate": "55P03"}),
    (postgrest(500, "57014", "canceling statement due to statement timeout"), (Unavailable, "timed_out", 503, True),
     {"sqlstate": "57014"}),
    *[
        (postgrest(503, code, "down"), (Unavailable, "database_unavailable", 503, True), {"sqlstate": code})
        for code in ("53300", "57P01", "57P03", "08006", "58030", "PGRST000", "PGRST001", "PGRST002", "PGRST003")
    ],
    (postgrest(401, "PGRST301", "JWT expired"), (NotAuthenticated, "token_expired", 401, False), {}),
    (postgrest(401, "PGRST303", "JWT expired"), (NotAuthenticated, "token_expired", 401, False), {}),
    (postgrest(401, "PGRST303", "JWT not in audience"), (NotAuthenticated, "token_invalid", 401, False),
     {"sqlstate": "PGRST303", "problem": "JWT not in audience"}),
    (postgrest(401, "PGRST302", "Anonymous access is disabled"), (NotAuthenticated, "not_authenticated", 401, False),
     {"sqlstate": "PGRST302", "problem": "Anonymous access is disabled"}),
    (postgrest(400, "XX000", "surprise"), (QeroError, "internal_error", 500, False),
     {"sqlstate": "XX000", "message": "surprise"}),
    (JSONResponse({"message": "Invalid API key"}, 401), (NotAuthenticated, "api_key_invalid", 401, False), {}),
    (JSONResponse({"message": "An invalid response was received from the upstream server"}, 502),
     (Unavailable, "unavailable", 503, True),
     {"message": "An invalid response was received from the upstream server"}),
    (JSONResponse({}, 500), (Unavailable, "unavailable", 503, True), {"message": ""}),
    (Response("<html>Bad Gateway</html>", 502), (Unavailable, "unavailable", 503, True), {"http_status": 502}),
    (Response("<html>", 530), (Unavailable, "unavailable", 503, True), {"http_status": 530}),
    (Response("", 504), (Unavailable, "unavailable", 503, True), {"http_status": 504}),
    (Response("slow down", 429), (LimitExceeded, "rate_limited", 429, True), {}),
    (Response("nope", 401), (NotAuthenticated, "api_key_invalid", 401, False), {}),
    (Response("<html>", 404), (QeroError, "internal_error", 500, False),
     {"http_status": 404, "message": "Not Found"}),
]  # fmt: skip


@pytest.mark.parametrize(("answer", "wanted", "detail"), ANSWERS)
async def test_every_kind_of_answer(
    api: tuple[Api, Clients], answer: Response, wanted: tuple[type[QeroError], str, int, bool], detail: dict[str, Any]
) -> None:
    server, clients = api
    server.answer = lambda: answer

    error = await failure(call(clients.service(), "whoami", dict))

    assert seen(error) == wanted
    assert error.detail == detail


@pytest.mark.parametrize("body", ["<html>a captive portal</html>", "{", '{"id": 1} trailing'])
async def test_a_success_that_is_no_json_is_unreadable(api: tuple[Api, Clients], body: str) -> None:
    server, clients = api
    server.answer = lambda: Response(body, 200, media_type="text/html")

    for query in (
        call(clients.service(), "whoami", dict),
        execute(
            clients.service(), clients.service().table("contacts").select("*"), list[dict[str, Any]], operation="x"
        ),
    ):
        assert (await failure(query)).code == "answer_unreadable"


async def test_no_answer_is_a_network_error_that_says_which_call() -> None:
    settings = Settings(supabase_url="http://127.0.0.1:9", publishable_key="sb_publishable_x", secret_key="s")
    async with Clients(settings) as nowhere:
        error = await failure(Threads(nowhere.service()).send_text(uuid4(), HUSH))

    assert seen(error) == (NetworkError, "network_error", 503, True)
    assert error.detail == {"operation": "send_whatsapp_text", "reason": "ConnectError"}
