"""For whoever runs the server: is it alive, can it work, and what has it measured."""

from __future__ import annotations

import asyncio
import hmac
import time
from typing import Literal

from fastapi import Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from qero.clients.factory import Clients, bearer_token
from qero.errors import QeroError, Unavailable
from qero.http.metrics import Metrics
from qero.http.problems import no_such_route
from qero.http.routing import Router
from qero.services.workspaces import Workspaces
from qero.settings import Settings

# Probes, and whoever else knows the path, cost the database one question in so many seconds.
READY_SECONDS = 1.0
PATIENCE_SECONDS = 3.0

router = Router(include_in_schema=False)


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness:
    """Whether the database answers the service, asked at most once a second."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self._asking = asyncio.Lock()
        self._asked_at = float("-inf")
        self._problem: QeroError | None = None

    async def problem(self) -> QeroError | None:
        """Why the server can't work now; None if it can."""
        async with self._asking:
            if time.monotonic() - self._asked_at > READY_SECONDS:
                self._problem = await self._ask()
                self._asked_at = time.monotonic()
        return self._problem

    async def _ask(self) -> QeroError | None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await Workspaces(self._clients.service()).whoami()
        except TimeoutError:
            return Unavailable("database_unavailable", detail={"seconds": PATIENCE_SECONDS})
        except QeroError as error:
            # Whatever the reason, a balancer understands 503; the code says more to people.
            error.status = 503
            return error
        return None


@router.get("/healthz")
async def healthz() -> Health:
    """The process answers."""
    return Health()


@router.get("/readyz")
async def readyz(request: Request) -> Health:
    """The process answers, and the database answers it."""
    readiness: Readiness = request.app.state.readiness
    if (problem := await readiness.problem()) is not None:
        raise problem
    return Health()


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """The figures for Prometheus, for whoever has the token; without one set there is no such route."""
    settings: Settings = request.app.state.settings
    token = settings.metrics_token.get_secret_value() if settings.metrics_token else None
    given = bearer_token(request.headers) or ""
    if token is None or not hmac.compare_digest(given.encode(), token.encode()):
        raise no_such_route()
    measured: Metrics = request.app.state.metrics
    return Response(measured.text(), media_type=CONTENT_TYPE_LATEST)
