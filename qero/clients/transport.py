"""Sends httpx's requests through aiohttp, which takes a fraction of the time where a process sends hundreds a second.

Its errors keep the one distinction that sending depends on: a `ConnectError`, `ConnectTimeout` or `ProxyError` means
that nothing of the request left; whatever else went wrong, it may have.
"""

from __future__ import annotations

import select
import sys
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from aiohttp.tracing import Trace


class EnvironmentProxies:
    """The proxies that the environment names: aiohttp would look for one, and for a netrc file, at every request."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], str | None] = {}

    def of(self, scheme: str, host: str) -> str | None:
        if (scheme, host) not in self._known:
            self._known[scheme, host] = None if proxy_bypass(host) else getproxies().get(scheme)
        return self._known[scheme, host]

    @staticmethod
    def addresses() -> set[tuple[str, int]]:
        """Where the proxies are."""
        return {address_of(proxy) for proxy in getproxies().values()}


def address_of(url: str) -> tuple[str, int]:
    """Host and port that a URL leads to."""
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


class AiohttpTransport(httpx.AsyncBaseTransport):
    """A pool of connections for `httpx.AsyncClient(transport=...)`. Redirects aren't followed, nothing is retried."""

    def __init__(self, *, max_connections: int, idle_seconds: float = 15.0) -> None:
        """
        Args:
            idle_seconds: for so long a connection is kept that nobody uses. Less than the server keeps one: a request
                that crosses its end on the way is an error, because it may have arrived.
        """
        self._max_connections = max_connections
        self._idle_seconds = idle_seconds
        self._session: aiohttp.ClientSession | None = None
        self._proxies = EnvironmentProxies()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and read its whole answer."""
        timeout = request.extensions.get("timeout", {})
        try:
            async with self._open().request(
                request.method,
                str(request.url),
                headers=request.headers.multi_items(),
                # What comes from a file goes on as it is read.
                data=await request.aread() if isinstance(request.stream, httpx.ByteStream) else request.stream,
                allow_redirects=False,
                proxy=self._proxies.of(request.url.scheme, request.url.host),
                timeout=aiohttp.ClientTimeout(
                    # aiohttp's `connect` covers the wait for a place in the pool as well.
                    connect=_sum(timeout.get("pool"), timeout.get("connect")),
                    sock_read=timeout.get("read"),
                ),
            ) as response:
                content = await response.read()
        except aiohttp.ConnectionTimeoutError as error:
            raise httpx.ConnectTimeout(str(error), request=request) from error
        except aiohttp.ClientProxyConnectionError as error:
            raise httpx.ProxyError(str(error), request=request) from error
        except aiohttp.ClientConnectorError as error:
            raise httpx.ConnectError(str(error), request=request) from error
        except aiohttp.InvalidURL as error:
            raise httpx.UnsupportedProtocol(str(error), request=request) from error
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error), request=request) from error
        except (aiohttp.ClientError, OSError) as error:
            raise httpx.ReadError(str(error), request=request) from error
        # aiohttp has undone the encoding already.
        headers = [
            (name, value)
            for name, value in response.raw_headers
            if name.lower() not in (b"content-encoding", b"content-length", b"transfer-encoding")
        ]
        return httpx.Response(response.status, headers=headers, content=content, request=request)

    async def aclose(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        # Made at the first request, because it belongs to the running event loop.
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=_Connector(
                    limit=self._max_connections,
                    limit_per_host=self._max_connections,
                    keepalive_timeout=self._idle_seconds,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


class _Connector(aiohttp.TCPConnector):
    """Hands out no connection that the other side has ended, also when the event loop hasn't come to notice yet.

    What is written on such a one never arrives, and nobody could tell that from what did.
    """

    async def _get(self, key: ConnectionKey, traces: list[Trace]) -> Connection | None:
        while (connection := await super()._get(key, traces)) is not None and _has_ended(connection):
            connection.close()
        return connection


def _has_ended(idle: Connection) -> bool:
    """Nothing was asked, so there is nothing to read but the end."""
    socket = idle.transport.get_extra_info("socket") if idle.transport is not None else None
    if socket is None:
        return True
    if sys.platform == "win32":
        return bool(select.select([socket.fileno()], [], [], 0)[0])
    # Not select, which knows no descriptors beyond 1024.
    poll = select.poll()
    poll.register(socket.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _sum(*seconds: float | None) -> float | None:
    return None if None in seconds else sum(part for part in seconds if part is not None)
