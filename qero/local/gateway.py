"""One port in front of everything, as hosted has it: /rest/v1, /auth/v1 and /realtime/v1, guarded by API keys."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from qero.local.keys import Keys
from qero.logs import get_logger

log = get_logger("qero.local.gateway")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
_NOT_FORWARDED = {
    "host", "connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "te", "trailer",
    "authorization", "apikey", "accept-encoding", "x-forwarded-for",
}  # fmt: skip
# Links in mails and the key set are opened by browsers and libraries that have no API key.
_AUTH_WITHOUT_KEY = ("verify", "callback", "authorize", ".well-known/")
_NEEDS_FILTER = {"PATCH": "UPDATE", "DELETE": "DELETE"}
_NO_FILTER = {"select", "columns", "on_conflict", "order", "limit", "offset", "apikey"}


def gateway(
    *,
    keys: Keys,
    rest_url: str,
    auth_url: str,
    routes: Sequence[BaseRoute],
    health: Callable[[], dict[str, Any]],
) -> Starlette:
    """The ASGI app; `routes` (realtime, the auth admin API) come before what is passed on."""
    tokens = _RoleTokens(keys)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=200, max_keepalive_connections=200)
        async with httpx.AsyncClient(timeout=httpx.Timeout(120, connect=5), limits=limits) as upstream:
            app.state.upstream = upstream
            yield

    async def rest(request: Request) -> Response:
        key, bearer = _api_key(request), _bearer(request)
        role = keys.role_of_api_key(key)
        if role is None:
            return _refuse_key(request)
        # The key once more as bearer is fine; anything else has to be a JWT, which PostgREST verifies.
        token = tokens.of(role) if bearer in (None, key) else bearer
        if _lacks_filter(request):
            # Hosted's database refuses it, by a module that Postgres builds from package registries don't carry.
            message = f"{_NEEDS_FILTER[request.method]} requires a WHERE clause"
            return JSONResponse({"code": "21000", "details": None, "hint": None, "message": message}, 400)
        return await _pass_on(request, f"{rest_url}/{request.path_params['path']}", f"Bearer {token}")

    async def auth(request: Request) -> Response:
        path = request.path_params["path"]
        if not path.startswith(_AUTH_WITHOUT_KEY) and keys.role_of_api_key(_api_key(request)) is None:
            return _refuse_key(request)
        return await _pass_on(request, f"{auth_url}/{path}", request.headers.get("authorization"))

    async def healthz(_: Request) -> Response:
        return JSONResponse(health())

    return Starlette(
        lifespan=lifespan,
        routes=[
            *routes,
            Route("/rest/v1/{path:path}", rest, methods=METHODS),
            Route("/auth/v1/{path:path}", auth, methods=METHODS),
            Route("/health", healthz),
        ],
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=[*METHODS, "OPTIONS"],
                allow_headers=["*"],
                expose_headers=[
                    "Content-Range",
                    "Content-Location",
                    "Preference-Applied",
                    "X-Total-Count",
                    "Link",
                ],
                max_age=86400,
            )
        ],
    )


async def _pass_on(request: Request, url: str, authorization: str | None) -> Response:
    headers = [(name, value) for name, value in request.headers.items() if name not in _NOT_FORWARDED]
    # PostgREST and the auth server sit next door: compressing for them would only cost time.
    headers.append(("accept-encoding", "identity"))
    if authorization is not None:
        headers.append(("authorization", authorization))
    upstream: httpx.AsyncClient = request.app.state.upstream
    forwarded = upstream.build_request(
        request.method,
        f"{url}?{query}" if (query := _query(request)) else url,
        headers=headers,
        content=await request.body(),
    )
    try:
        try:
            answer = await upstream.send(forwarded)
        except (httpx.RemoteProtocolError, httpx.ReadError):
            # The connection was closed while the request was on its way. As other proxies do: what changes nothing is
            # asked again.
            if request.method not in ("GET", "HEAD"):
                raise
            answer = await upstream.send(forwarded)
    except httpx.TimeoutException:
        return JSONResponse({"message": "The upstream server is timing out"}, 504)
    except httpx.HTTPError as error:
        log.warning("upstream_failed", method=request.method, path=request.url.path, error=repr(error))
        return JSONResponse({"message": "An invalid response was received from the upstream server"}, 502)
    response = Response(answer.content, answer.status_code)
    for name, value in answer.headers.multi_items():
        if name not in _NOT_FORWARDED and not name.startswith("access-control-"):
            response.headers.append(name, value)
    return response


def _lacks_filter(request: Request) -> bool:
    """Whether the request would change every row of a table. `child.name=eq.x` filters what is returned, no more."""
    if request.method not in _NEEDS_FILTER or request.path_params["path"].startswith("rpc/"):
        return False
    return all(
        name in _NO_FILTER or ("." in name and name not in ("not.and", "not.or")) for name in request.query_params
    )


def _api_key(request: Request) -> str | None:
    return request.headers.get("apikey") or request.query_params.get("apikey")


def _query(request: Request) -> str:
    """The query as it was written, without a key in it: PostgREST would take that for a filter."""
    return "&".join(part for part in request.url.query.split("&") if part.partition("=")[0] != "apikey")


def _bearer(request: Request) -> str | None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _refuse_key(request: Request) -> Response:
    if _api_key(request) is None:
        hint = "No `apikey` request header or url param was found."
        return JSONResponse({"message": "No API key found in request", "hint": hint}, 401)
    hint = "Double check the key; `qero local env` prints this stack's keys."
    return JSONResponse({"message": "Invalid API key", "hint": hint}, 401)


class _RoleTokens:
    """Short-lived JWTs for API keys that aren't JWTs, signed again before they expire."""

    _RENEW_SECONDS = 60

    def __init__(self, keys: Keys) -> None:
        self._keys = keys
        self._tokens: dict[str, tuple[float, str]] = {}

    def of(self, role: str) -> str:
        signed_at, token = self._tokens.get(role, (float("-inf"), ""))
        if time.monotonic() - signed_at > self._RENEW_SECONDS:
            token = self._keys.token_for_role(role)
            self._tokens[role] = (time.monotonic(), token)
        return token
