"""The application: problem-details errors, request ids, health, and the routers."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.middleware.base import RequestResponseEndpoint

from qero.clients.factory import Clients
from qero.errors import InvalidInput, QeroError
from qero.http import whatsapp
from qero.settings import Settings

PROBLEM_JSON = "application/problem+json"

log = structlog.get_logger("qero.http")


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
            yield

    app = FastAPI(title="qero", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.state.settings = settings
    app.include_router(whatsapp.router)
    app.middleware("http")(_with_request_id)
    app.exception_handler(QeroError)(_problem)
    app.exception_handler(RequestValidationError)(_invalid_request)

    @app.get("/healthz", include_in_schema=False)
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return app


async def _with_request_id(request: Request, respond: RequestResponseEndpoint) -> Response:
    request_id = request.headers.get("x-request-id", "")
    if not request_id.isascii() or not 1 <= len(request_id) <= 64 or not request_id.isprintable():
        request_id = uuid4().hex
    started = time.perf_counter()
    with structlog.contextvars.bound_contextvars(request_id=request_id):
        response = await respond(request)
        log.info(
            "http_request",
            method=request.method,
            path=request.url.path,
            status=response.status_code,
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
        )
    response.headers["x-request-id"] = request_id
    return response


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, QeroError)
    if error.status >= 500:
        log.error("request_failed", code=error.code, detail=error.detail, path=request.url.path)
    body = {
        "type": "about:blank",
        "title": error.message,
        "status": error.status,
        "code": error.code,
        "detail": error.hint,
        "errors": error.detail,
    }
    return JSONResponse(body, error.status, media_type=PROBLEM_JSON)


async def _invalid_request(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    fields = [{"field": ".".join(map(str, item["loc"][1:])), "problem": item["msg"]} for item in error.errors()]
    return await _problem(request, InvalidInput("invalid_value", detail={"fields": fields}))
