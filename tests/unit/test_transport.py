"""httpx's requests through aiohttp: the environment's proxy, and errors that say whether anything left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from qero.clients.transport import AiohttpTransport
from qero.local.processes import free_port


@asynccontextmanager
async def server(seen: list[str]) -> AsyncIterator[int]:
    """Answers every request, and keeps its first line."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n\r\n")).decode().splitlines()[0])
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=AiohttpTransport(max_connections=2), timeout=5)


@pytest.fixture(autouse=True)
def no_proxy_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


async def test_requests_go_through_the_proxy_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    async with server(seen) as port, client() as http:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        answers = [await http.get("http://graph.invalid/v1") for _ in range(2)]
    assert [answer.text for answer in answers] == ["ok", "ok"]
    assert seen == ["GET http://graph.invalid/v1 HTTP/1.1"] * 2


async def test_hosts_that_the_environment_excepts_are_asked_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    async with server(seen) as port, client() as http:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        answer = await http.get(f"http://127.0.0.1:{port}/v1")
    assert (answer.text, seen) == ("ok", ["GET /v1 HTTP/1.1"])


async def test_what_never_left_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async with client() as http:
        with pytest.raises(httpx.ConnectError):
            await http.get(f"http://127.0.0.1:{free_port()}/")
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
        with pytest.raises(httpx.ProxyError):
            await http.get("http://graph.invalid/")
