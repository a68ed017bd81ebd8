"""The application: problem-details errors, request ids, body limits, health, and the routers."""

from __future__ import annotations

import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qero.clients.factory import Clients
from qero.errors import PROBLEM_JSON, InvalidInput, LimitExceeded, NotFound, QeroError, error_for
from qero.http import meta, whatsapp
from qero.logs import get_logger
from qero.models.webhook import BODY_LIMIT_BYTES
from qero.services.webhooks import WebhookEndpoint
from qero.settings import Settings

log = get_logger("qero.http")


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI app with every router mounted.

    Raises:
        SettingsError: `setting_missing`, without the Supabase URL, keys, or the Meta app's secret and verify token.
    """
    settings = settings or Settings.load()
    for name in ("supabase_url", "publishable_key", "secret_key", "meta_app_secret", "meta_verify_token"):
        settings.require(name)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with Clients(settings) as clients:
            app.state.clients = clients
            async with WebhookEndpoint(
                clients.service(),
                app_secret=settings.require("meta_app_secret"),
                verify_token=settings.require("meta_verify_token"),
            ) as app.state.webhook:
                yield

    app = _App(title="qero", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.router.routes.append(Route(whatsapp.WEBHOOK_PATH, whatsapp.webhook, methods=["GET", "POST"]))
    app.include_router(whatsapp.router)
    app.include_router(meta.router)
    app.add_middleware(_Edge)
    app.exception_handler(QeroError)(_problem)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_http_problem)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


class _App(FastAPI):
    """FastAPI with a way past it for webhooks: at Meta's rate its layers would cost more than the work itself."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._webhook = _Edge(whatsapp.webhook)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == whatsapp.WEBHOOK_PATH and scope["method"] in ("GET", "POST"):
            scope["app"] = self
            await self._webhook(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        description = super().openapi()
        description["paths"].setdefault(whatsapp.WEBHOOK_PATH, whatsapp.WEBHOOK_DESCRIPTION)
        return description


class _Edge:
    """Around every request: its id in logs and answer, one log line, a bound on the body, and no naked crash."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        started, received, status = time.perf_counter(), 0, 0

        async def bounded() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > BODY_LIMIT_BYTES:
                raise LimitExceeded("body_too_large", detail={"limit": BODY_LIMIT_BYTES})
            return message

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        # By hand: structlog's own context manager costs four times as much.
        tokens = structlog.contextvars.bind_contextvars(request_id=request_id, user_id=None, workspace_id=None)
        try:
            try:
                await self._app(scope, bounded, answer)
            except ClientDisconnect:
                log.info("client_disconnected", path=scope["path"])
            except LimitExceeded as error:
                # Of what comes past the framework; within it, its own handlers answer this.
                if status:
                    raise
                await (await _problem(Request(scope), error))(scope, receive, answer)
            except Exception as error:
                # Its text may quote what was sent: the place is enough to find it.
                place = traceback.extract_tb(error.__traceback__)[-1]
                log.error("request_crashed", error=type(error).__name__, place=f"{place.name}:{place.lineno}")
                if status:
                    raise
                request = Request(scope)
                await (await _problem(request, QeroError("internal_error")))(scope, receive, answer)
            # Webhooks that are stored have a line for each call that stored them.
            quiet = status == 200 and scope["method"] == "POST" and scope["path"] == whatsapp.WEBHOOK_PATH
            (log.debug if quiet else log.info)(
                "http_request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round((time.perf_counter() - started) * 1000, 2),
            )
        finally:
            structlog.contextvars.reset_contextvars(**tokens)


def _request_id(scope: Scope) -> str:
    """The one that came with the request, if it can be logged and sent back; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            if given.isascii() and 1 <= len(given) <= 64 and given.isprintable():
                return given
            break
    return uuid4().hex


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QeroError)
    if error.status >= 500:
        log.error("request_failed", code=error.code, detail=error.detail, path=request.url.path)
    return JSONResponse(error.to_problem(), error.status, media_type=PROBLEM_JSON)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [{"field": ".".join(map(str, item["loc"][1:])), "problem": item["msg"]} for item in error.errors()]
    return await _problem(request, InvalidInput("invalid_value", detail={"fields": fields}))


async def _http_problem(request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses by itself: unknown routes, wrong methods, bodies it couldn't read."""
    assert isinstance(error, HTTPException)
    problem: QeroError
    if isinstance(error.__cause__, QeroError):
        problem = error.__cause__
    elif error.status_code == 404:
        problem = NotFound("not_found", "There is no such route.", hint="Check the path; /openapi.json lists them.")
    elif error.status_code == 405:
        allowed = Headers(error.headers).get("allow", "")
        problem = InvalidInput(
            "invalid_value", "The route doesn't answer this method.",
            detail={"field": "method", "allowed": allowed.split(", ")}, hint=f"Use {allowed}.", status=405,
        )  # fmt: skip
    else:
        code = "invalid_value" if error.status_code < 500 else "internal_error"
        problem = error_for(code, str(error.detail))
        problem.status = error.status_code
    answer = await _problem(request, problem)
    answer.headers.update(error.headers or {})
    return answer
