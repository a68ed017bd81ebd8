"""What stands around every request, as plain ASGI: Starlette's own base class for middleware costs too much here."""

from __future__ import annotations

import asyncio
import os
import time
import traceback
from hashlib import blake2b

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from qero.errors import LimitExceeded, QeroError, Unavailable
from qero.http.metrics import Metrics
from qero.http.problems import problem
from qero.logs import get_logger
from qero.models.webhook import BODY_LIMIT_BYTES

log = get_logger("qero.http")

FILE_LIMIT_BYTES = 100 * 2**20


class Edge:
    """A request's id in logs and answer, one log line, bounds on body and time, its figures, and no naked crash."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        timeout_seconds: float | None,
        quiet_path: str,
        file_paths: str = "",
    ) -> None:
        """
        Args:
            file_paths: how the paths end that take a file, which may be as large as WhatsApp's largest, and take its
                time to arrive: each part of it has as long as a whole request.
            timeout_seconds: until the answer has to begin; how long it takes to send isn't bounded.
                None spares the clock, which costs as much as all the rest.
            quiet_path: a successful POST there is no line of its own.
        """
        self._app = app
        self._metrics = metrics
        self._timeout_seconds = timeout_seconds
        self._quiet_path = quiet_path
        self._file_paths = file_paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope["qero.request_id"] = _request_id(scope)
        started, received, status = time.perf_counter(), 0, 0
        complete = reading = False
        takes_file = self._file_paths and scope["path"].endswith(self._file_paths)
        limit = FILE_LIMIT_BYTES if takes_file else BODY_LIMIT_BYTES

        async def bounded() -> Message:
            nonlocal received, complete, reading
            reading = not complete
            message = await receive()
            reading = False
            received += len(message.get("body", b""))
            complete = not message.get("more_body")
            if takes_file and self._timeout_seconds is not None and not status and not clock.expired():
                clock.reschedule(asyncio.get_running_loop().time() + self._timeout_seconds)
            if received > limit:
                raise LimitExceeded("body_too_large", detail={"limit": limit})
            return message

        async def answer(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", request_id.encode())]
            await send(message)

        async def begin(message: Message) -> None:
            if not status and not clock.expired():
                clock.reschedule(None)
            await answer(message)

        async def refuse(error: QeroError) -> None:
            await problem(Request(scope), error)(scope, receive, answer)

        # By hand: structlog's own context manager costs four times as much.
        tokens = structlog.contextvars.bind_contextvars(request_id=request_id, user_id=None, workspace_id=None)
        clock = asyncio.timeout(self._timeout_seconds)
        try:
            try:
                if self._timeout_seconds is None:
                    await self._app(scope, bounded, answer)
                else:
                    async with clock:
                        await self._app(scope, bounded, begin)
            except ClientDisconnect:
                log.info("client_disconnected", path=scope["path"])
            except LimitExceeded as error:
                # Of what comes past the framework; within it, its own handlers answer this.
                if status:
                    raise
                await refuse(error)
            except Exception as error:
                if self._timeout_seconds is not None and clock.expired() and not status:
                    await refuse(_too_late(self._timeout_seconds, reading=reading))
                    return
                # Its text may quote what was sent: the place is enough to find it.
                place = traceback.extract_tb(error.__traceback__)[-1]
                log.error("request_crashed", error=type(error).__name__, place=f"{place.name}:{place.lineno}")
                if status:
                    raise
                await refuse(QeroError("internal_error"))
        finally:
            seconds = time.perf_counter() - started
            self._metrics.answered(scope, status, seconds)
            # Webhooks that are stored have a line for each call that stored them.
            quiet = status == 200 and scope["method"] == "POST" and scope["path"] == self._quiet_path
            (log.debug if quiet else log.info)(
                "http_request",
                method=scope["method"],
                path=scope["path"],
                status=status,
                duration_ms=round(seconds * 1000, 2),
            )
            structlog.contextvars.reset_contextvars(**tokens)


class Tagged:
    """An ETag on every JSON that is read, and 304 without it for whoever has it already.

    It costs the database as much; what is saved is the way to the client.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET":
            await self._app(scope, receive, send)
            return
        held: Message | None = None

        async def answer(message: Message) -> None:
            nonlocal held
            if message["type"] == "http.response.start" and _is_json(message):
                held = message
                return
            if held is not None:
                start, held = held, None
                if not message.get("more_body"):
                    start, message = _tagged(scope, start, message)
                await send(start)
            await send(message)

        await self._app(scope, receive, answer)


def _is_json(start: Message) -> bool:
    kind = Headers(raw=start["headers"]).get("content-type", "")
    return start["status"] == 200 and kind.startswith("application/json")


def _tagged(scope: Scope, start: Message, message: Message) -> tuple[Message, Message]:
    # Weak, because compressing changes the bytes and not what they say.
    tag = f'W/"{blake2b(message["body"], digest_size=12).hexdigest()}"'
    headers = MutableHeaders(raw=start["headers"])
    headers["etag"] = tag
    # Whoever keeps it asks again each time, and hands it to nobody else.
    headers["cache-control"] = "private, no-cache"
    headers.add_vary_header("authorization, cookie")
    known = Headers(scope=scope).get("if-none-match", "")
    if known.strip() != "*" and tag.removeprefix("W/") not in [
        given.strip().removeprefix("W/") for given in known.split(",")
    ]:
        return start, message
    del headers["content-length"], headers["content-type"]
    return {**start, "status": 304, "headers": headers.raw}, {**message, "body": b""}


def _too_late(seconds: float, *, reading: bool) -> QeroError:
    """Whose fault it was: the caller's, whose body is still being waited for, or ours."""
    if reading:
        return LimitExceeded("request_incomplete", detail={"seconds": seconds})
    return Unavailable("timed_out", "The request took longer than it may.", detail={"seconds": seconds})


def _request_id(scope: Scope) -> str:
    """The one that came with the request, if it can be logged and sent back; else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            given: str = value.decode("latin-1")
            if given.isascii() and 1 <= len(given) <= 64 and given.isprintable():
                return given
            break
    # A uuid says no more and costs five times as much.
    return os.urandom(16).hex()
