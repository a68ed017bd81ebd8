"""The routes as they are deployed: a real server on a port of its own, asked over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from qero import Settings
from qero.http import create_app
from qero.local.asgi import listen, serving
from qero.local.graph import encode, sign
from tests.support import APP_SECRET

WEBHOOK = "/api/webhooks/meta/whatsapp"
SEND_TEXT = "/api/meta/whatsapp/send-text"
SIGNUP_START = "/api/meta/oauth/start"
SIGNUP_CALLBACK = "/api/meta/oauth/callback"
DEAUTHORIZE = "/api/meta/oauth/deauthorize"


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the routes, which run until the block ends."""
    listener = listen()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(create_app(settings), listener), httpx.AsyncClient(base_url=address, timeout=20) as client:
        yield client


async def post_webhook(routes: httpx.AsyncClient, body: bytes | dict[str, Any], **headers: Any) -> httpx.Response:
    """Post a body as Meta does; a header given as None is left out."""
    raw = body if isinstance(body, bytes) else encode(body)
    signed = {"content-type": "application/json", "x-hub-signature-256": sign(raw, APP_SECRET)}
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    whole = {name: value for name, value in {**signed, **given}.items() if value is not None}
    return await routes.post(WEBHOOK, content=raw, headers=whole)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem an answer reports, after checking what every error promises."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    body: dict[str, Any] = answer.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, "about:blank")
    assert body["title"]
    assert body["detail"], "what to do next"
    assert isinstance(body["errors"], dict)
    return body
