"""The application: the routers, what stands around them, and what they share."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from threading import Lock
from types import MappingProxyType
from typing import Any

from cachetools import TTLCache
from fastapi import APIRouter, FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from qero.clients.factory import Clients
from qero.clients.transport import AiohttpTransport
from qero.http import (
    call_logs,
    candidates,
    chats,
    contacts,
    follow_ups,
    health,
    inbox,
    invitations,
    leads,
    meta,
    notes,
    ops,
    push,
    saved_views,
    whatsapp,
    workspaces,
)
from qero.http.callers import RESOLVED_SECONDS, SESSION
from qero.http.edge import Edge, Tagged
from qero.http.health import Readiness
from qero.http.metrics import Metrics
from qero.http.problems import Problem, answer_with_problems
from qero.services.webhooks import WebhookEndpoint
from qero.settings import Settings

ROUTERS: Mapping[str, APIRouter] = MappingProxyType(
    {
        # Before contacts, whose /{id} would take its paths.
        "call_logs": call_logs.router,
        "contacts": contacts.router,
        "candidates": candidates.router,
        "follow_ups": follow_ups.router,
        "chats": chats.router,
        "whatsapp": whatsapp.router,
        "inbox": inbox.router,
        "saved_views": saved_views.router,
        "leads": leads.router,
        "push": push.router,
        "invitations": invitations.router,
        "meta": meta.router,
        "ops": ops.router,
        # These begin with no more than /api: whatever comes after them would wait for them.
        "workspaces": workspaces.router,
        "notes": notes.router,
        "health": health.router,
    }
)
"""Every router by its name. Each can be mounted without the others."""

GZIP_BYTES = 1000
# Servers commonly keep an idle connection for five seconds or longer.
IDLE_SECONDS = 3.0


def create_app(settings: Settings | None = None) -> FastAPI:
    """The ASGI app with Meta's webhook and every router mounted.

    Raises:
        SettingsError: `setting_missing`, without the Supabase URL, keys, or the Meta app's secret and verify token.
    """
    settings = settings or Settings.load()
    for name in ("supabase_url", "publishable_key", "secret_key", "meta_app_secret", "meta_verify_token"):
        settings.require(name)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(app, settings):
            yield

    app = _App(title="qero", lifespan=lifespan, openapi_url=None)
    app.router.routes.append(Route(whatsapp.WEBHOOK_PATH, whatsapp.webhook, methods=["GET", "POST"]))
    app.router.routes.append(Route("/openapi.json", app.describe, methods=["GET"]))
    mount(app, *ROUTERS.values())
    edge: dict[str, Any] = {
        "metrics": app.state.metrics,
        "timeout_seconds": settings.http_timeout_seconds,
        "quiet_path": whatsapp.WEBHOOK_PATH,
        "file_paths": inbox.FILES_PATH,
    }
    app.webhook = Edge(whatsapp.webhook, **edge | {"timeout_seconds": None})
    app.add_middleware(Tagged)
    app.add_middleware(GZipMiddleware, minimum_size=GZIP_BYTES, compresslevel=1)
    app.add_middleware(Edge, **edge)
    if settings.cors_origins:
        # The outermost, so that a page may read problems too.
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["DELETE", "GET", "PATCH", "POST", "PUT"],
            allow_headers=["authorization", "content-type", "if-none-match", "x-request-id"],
            expose_headers=["content-disposition", "etag", "x-request-id"],
            allow_credentials=True,
        )
    return app


def mount(app: FastAPI, *routers: APIRouter) -> None:
    """Add routers to an application, which then answers failures with problems and describes them.

    The application's lifespan has to be inside `running`.
    """
    for router in routers:
        app.include_router(router)
    app.state.metrics = Metrics()
    answer_with_problems(app)
    describe = app.openapi
    app.openapi = lambda: _described(describe())  # type: ignore[method-assign]


@asynccontextmanager
async def running(app: FastAPI, settings: Settings) -> AsyncIterator[None]:
    """What mounted routers need while they answer: the connection pool, and where Meta is set up, its webhook.

        @asynccontextmanager
        async def lifespan(app):
            async with running(app, Settings.load()):
                yield

    Raises:
        SettingsError: `setting_missing`, without the Supabase URL and keys.
    """
    # httpx's own transport takes several times as long for each call of the database.
    transport = AiohttpTransport(max_connections=settings.max_connections, idle_seconds=IDLE_SECONDS)
    async with Clients(settings, transport=transport) as clients:
        app.state.settings = settings
        app.state.clients = clients
        app.state.resolved_workspaces = TTLCache(10_000, RESOLVED_SECONDS)
        app.state.readiness = Readiness(clients)
        if settings.meta_app_secret is None or settings.meta_verify_token is None:
            yield
            return
        async with WebhookEndpoint(
            clients.service(),
            app_secret=settings.require("meta_app_secret"),
            verify_token=settings.require("meta_verify_token"),
        ) as app.state.webhook:
            yield


class _App(FastAPI):
    """FastAPI with a way past it for webhooks: at Meta's rate its layers would cost more than the work itself."""

    webhook: ASGIApp
    openapi_json: bytes | None = None

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.describing = Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == whatsapp.WEBHOOK_PATH and scope["method"] in ("GET", "POST"):
            scope["app"] = self
            scope["qero.route"] = whatsapp.WEBHOOK_PATH
            await self.webhook(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        description = super().openapi()
        description["paths"].setdefault(whatsapp.WEBHOOK_PATH, whatsapp.WEBHOOK_DESCRIPTION)
        return description

    def describe(self, request: Request) -> Response:
        """The description as JSON, made in a thread when it is first asked for: it takes a second or two."""
        with self.describing:
            if self.openapi_json is None:
                self.openapi_json = json.dumps(self.openapi()).encode()
        return Response(self.openapi_json, media_type="application/json")


def _described(description: dict[str, Any]) -> dict[str, Any]:
    """The description with what is so for every route, and without what the framework only supposes."""
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    schemas.setdefault("Problem", Problem.model_json_schema())
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    description["components"].setdefault("securitySchemes", {}).update(SESSION)
    for operations in description["paths"].values():
        for method, operation in operations.items():
            # Not where an application has routes of its own with a scheme of theirs.
            if operation.get("security") == [{"bearer": []}]:
                operation["security"].append({"session": []})
            answers = operation["responses"]
            # What a route can't take is answered 400.
            if "HTTPValidationError" in str(answers.get("422")):
                del answers["422"]
            if method == "get" and "application/json" in answers.get("200", {}).get("content", {}):
                answers["200"]["headers"] = {"ETag": {"schema": {"type": "string"}}}
                answers["304"] = {"description": "It is what the ETag in If-None-Match names."}
    return description
