"""Builds the two kinds of client: one per signed-in user, one for the service. Both share one connection pool.

`UserClient` and `ServiceClient` are different types on purpose: a service that reads personal rows takes a
`UserClient`, so a client with the wrong trust level doesn't type-check, and can't be built without a verified user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import httpx
from supabase import AsyncClient, AsyncClientOptions

from qero.clients.cookies import access_token_from_cookies
from qero.clients.identity import Identity, TokenVerifier
from qero.errors import NotAuthenticated
from qero.settings import Settings

Send = Callable[[httpx.Request], Awaitable[httpx.Response]]
Post = Callable[[str, bytes], Awaitable[httpx.Response]]


class _LateClient(AsyncClient):
    """A Supabase client that calls functions by itself until it is built, which is when anything else is asked of it.

    Building one takes as long as a call does, and most requests make one for a single call.
    """

    send: Send
    post: Post
    """Calls a function of the database with arguments that are encoded already."""

    def __init__(self, url: str, key: str, options: Callable[[], AsyncClientOptions]) -> None:
        self._late = (url, key, options)

    @property
    def is_built(self) -> bool:
        """Whether it may have been given headers that `post` doesn't know."""
        return "_late" not in self.__dict__

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            late = self.__dict__.pop("_late", None)
            if late is None:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            url, key, options = late
            super().__init__(url, key, options())
            return getattr(self, name)


class UserClient(_LateClient):
    """A Supabase client that acts as one verified user; row security decides what it sees."""

    identity: Identity
    access_token: str
    repeatable: bool = False
    """What it asks changes nothing: a call whose connection ends before the answer is made once more."""


class ServiceClient(_LateClient):
    """A Supabase client with the secret key: it bypasses row security. Keep it on the server."""


Client = UserClient | ServiceClient


def bearer_token(headers: Mapping[str, str]) -> str | None:
    """The bearer token among a request's headers."""
    authorization = next((value for name, value in headers.items() if name.lower() == "authorization"), "")
    scheme, _, token = authorization.partition(" ")
    return (token.strip() or None) if scheme.lower() == "bearer" else None


def require_user_client(client: UserClient) -> UserClient:
    """The client itself, for services that mean nothing without a user.

    Raises:
        NotAuthenticated: `not_authenticated`, it is a service client or one made elsewhere.
    """
    given: object = client
    if not isinstance(given, UserClient):
        raise NotAuthenticated(
            "not_authenticated",
            f"This needs a user's client and got a {type(given).__name__}.",
            hint="Make one with `clients.user(access_token)`.",
        )
    return given


class Clients:
    """The process-wide factory. Make one at start-up, close it at shutdown.

    One `httpx.AsyncClient` serves every client made here, so a client per request costs no connection. Clients never
    share headers, so tokens can't mix.

        async with Clients(Settings.load()) as clients:
            user = await clients.user(access_token)
            service = clients.service()
    """

    def __init__(self, settings: Settings, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """
        Args:
            settings: needs `supabase_url` and the publishable key; `service()` also needs the secret key.
            transport: replaces httpx's own, for callers that already pool connections.

        Raises:
            SettingsError: `setting_missing`, naming the variable.
        """
        self._settings = settings
        self._url = settings.require("supabase_url").rstrip("/")
        self._publishable_key = settings.require("publishable_key")
        self.http = httpx.AsyncClient(
            transport=transport,
            timeout=httpx.Timeout(settings.request_timeout_seconds, connect=5.0),
            limits=httpx.Limits(
                max_connections=settings.max_connections, max_keepalive_connections=settings.max_connections
            ),
        )
        self._send: Send = self.http.send if transport is None else partial(_send_through, transport)
        self._extensions = {"timeout": self.http.timeout.as_dict()}
        self._verifier = TokenVerifier(
            self.http,
            url=self._url,
            publishable_key=self._publishable_key,
            jwt_secret=settings.jwt_secret.get_secret_value() if settings.jwt_secret else None,
        )
        self._service: ServiceClient | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the pool; every client made here stops working."""
        await self.http.aclose()

    async def user(
        self, access_token: str | None, *, request_id: str | None = None, repeatable: bool = False
    ) -> UserClient:
        """A client for the user whose access token this is, verified before anything is sent.

        Args:
            request_id: sent along with every call, so that the audit log names it.
            repeatable: it is only read with; a call whose connection ends before the answer is made once more.

        Raises:
            NotAuthenticated: `not_authenticated` without a token; `token_expired`, `token_invalid` or
                `token_wrong_audience` (an API key or another audience) otherwise.
            NetworkError: `network_error`, the auth server couldn't be asked.
        """
        access_token = (access_token or "").strip()
        if not access_token:
            raise NotAuthenticated("not_authenticated")
        identity = await self._verifier.verify(access_token)
        headers = _headers(access_token, request_id)
        client = UserClient(self._url, self._publishable_key, partial(self._options, headers))
        client.send = self._send
        client.post = partial(self._post, self._publishable_key, headers)
        client.identity = identity
        client.access_token = access_token
        client.repeatable = repeatable
        return client

    async def user_from_request(
        self,
        headers: Mapping[str, str],
        cookies: Mapping[str, str] | None = None,
        *,
        request_id: str | None = None,
        repeatable: bool = False,
    ) -> UserClient:
        """A client for the user behind a web request: its bearer token, or else Supabase's session cookies.

        Args:
            request_id: as `user`.
            repeatable: as `user`.

        Raises: as `user`.
        """
        token = bearer_token(headers) or access_token_from_cookies(cookies or {})
        return await self.user(token, request_id=request_id, repeatable=repeatable)

    def service(self) -> ServiceClient:
        """The service client (one per factory): bypasses row security, never signs in.

        Raises:
            SettingsError: `setting_missing` without SUPABASE_SECRET_KEY or SUPABASE_SERVICE_ROLE_KEY.
        """
        if self._service is None:
            secret_key = self._settings.require("secret_key")
            headers = _headers(secret_key)
            self._service = ServiceClient(self._url, secret_key, partial(self._options, headers))
            self._service.send = self._send
            self._service.post = partial(self._post, secret_key, headers)
        return self._service

    def _options(self, headers: Mapping[str, str]) -> AsyncClientOptions:
        options = AsyncClientOptions(
            auto_refresh_token=False,
            persist_session=False,
            httpx_client=self.http,
            postgrest_client_timeout=self.http.timeout,
        )
        options.headers = {**options.headers, **headers}
        return options

    async def _post(self, key: str, headers: Mapping[str, str], function: str, arguments: bytes) -> httpx.Response:
        """Call a function as the client's own builder does, without what that prepares for filters."""
        return await self._send(
            httpx.Request(
                "POST",
                f"{self._url}/rest/v1/rpc/{function}",
                headers={**headers, "apikey": key, "Content-Type": "application/json"},
                content=arguments,
                extensions=self._extensions,
            )
        )


def _headers(token: str, request_id: str | None = None) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {token}"}
    if request_id is not None:
        headers["X-Request-Id"] = request_id
    return headers


async def _send_through(transport: httpx.AsyncBaseTransport, request: httpx.Request) -> httpx.Response:
    """One request without what httpx's client does around each: cookies and redirects, which no API here uses.

    It takes twice as long as sending does.
    """
    answer = await transport.handle_async_request(request)
    await answer.aread()
    return answer
