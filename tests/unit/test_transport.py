"""Requests through aiohttp: the environment's proxy, errors that say whether anything left, lost connections."""

from __future__ import annotations

import asyncio
import io
import socket
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import jwt
import pytest
from pydantic import SecretStr

from qero import Clients, NetworkError, Settings, UserClient
from qero.clients.rpc import call
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


async def test_a_file_goes_on_as_it_is_read_with_its_length() -> None:
    seen = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        seen.append((b"transfer-encoding" in head, await reader.readexactly(length)))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
        await writer.drain()
        writer.close()

    content = bytes(range(256)) * 8 * 1024
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening, client() as http:
        port = listening.sockets[0].getsockname()[1]
        files = {"file": ("a.bin", io.BytesIO(content), "image/png")}
        sent = await http.post(f"http://127.0.0.1:{port}/", data={"type": "image/png"}, files=files)

    assert sent.text == "ok"
    [(is_chunked, body)] = seen
    assert not is_chunked
    assert content in body


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


async def test_a_connection_that_was_ended_while_it_idled_is_not_written_to() -> None:
    ended = threading.Event()
    bodies: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        """Promises to keep the connection, and ends it; then answers on another."""
        for _ in range(2):
            connection, _ = listener.accept()
            bodies.append(connection.recv(4096).rpartition(b"\r\n\r\n")[2])
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            connection.close()
            ended.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=serve, args=[listener])
        server.start()
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        async with client() as http:
            await http.post(address, content=b"first")
            # Holds up the event loop, as other work does: it hasn't seen the end when the next request comes.
            ended.wait(5)
            answer = await http.post(address, content=b"second")
        server.join(5)

    assert answer.text == "ok"
    assert bodies == [b"first", b"second"]


@asynccontextmanager
async def answering_the_second_time(seen: list[bytes]) -> AsyncIterator[int]:
    """Reads a first request and ends the connection without an answer."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            seen.append(await reader.readexactly(length))
            if len(seen) > 1:
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\n7")
            break
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


@asynccontextmanager
async def user_of(
    port: int, transport: httpx.AsyncBaseTransport | None, *, repeatable: bool = False
) -> AsyncIterator[UserClient]:
    """A client of whatever listens on the port, whose user's token is verified without asking it."""
    url, secret = f"http://127.0.0.1:{port}", "a secret that a project shares with its servers"
    settings = Settings(supabase_url=url, publishable_key="sb_publishable_x", jwt_secret=SecretStr(secret))
    claims = {"sub": str(uuid4()), "aud": "authenticated", "role": "authenticated", "iss": f"{url}/auth/v1"}
    async with Clients(settings, transport=transport) as clients:
        yield await clients.user(
            jwt.encode({**claims, "exp": int(time.time()) + 60}, secret, "HS256"), repeatable=repeatable
        )


@pytest.mark.parametrize("aiohttp", [False, True], ids=["httpx", "aiohttp"])
async def test_a_lost_call_is_made_once_more_where_it_changes_nothing(aiohttp: bool) -> None:
    seen: list[bytes] = []
    transport = AiohttpTransport(max_connections=2) if aiohttp else None
    async with answering_the_second_time(seen) as port, user_of(port, transport, repeatable=True) as user:
        assert await call(user, "count_things", int, p_of="x") == 7
    assert seen == [b'{"p_of":"x"}'] * 2


@pytest.mark.parametrize("aiohttp", [False, True], ids=["httpx", "aiohttp"])
async def test_a_lost_call_that_may_have_changed_something_is_not(aiohttp: bool) -> None:
    seen: list[bytes] = []
    transport = AiohttpTransport(max_connections=2) if aiohttp else None
    async with answering_the_second_time(seen) as port, user_of(port, transport) as user:
        with pytest.raises(NetworkError):
            await call(user, "change_things", int, p_of="x")
    assert seen == [b'{"p_of":"x"}']
