"""WhatsApp: Meta's webhook, and replying."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

import structlog
from pydantic import Field
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from qero.http.callers import Input, User
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.whatsapp import Message
from qero.services.threads import Threads
from qero.services.webhooks import OUTCOMES, WebhookEndpoint

WEBHOOK_PATH = "/api/webhooks/meta/whatsapp"

router = Router(tags=["whatsapp"])


class SendText(Input):
    thread_id: UUID
    body: str
    quoting: UUID | None = Field(None, description="A message of the thread that this answers.")
    idempotency_key: str | None = Field(None, min_length=1, max_length=200)


class _Webhook:
    """Meta's webhook as a plain ASGI application."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint: WebhookEndpoint = scope["app"].state.webhook
        if scope["method"] == "POST":
            answer = await endpoint.receive(scope["headers"], await _read_body(receive))
        else:
            answer = endpoint.verify(scope["query_string"])
        headers = [(name.encode(), value.encode()) for name, value in answer.headers.items()]
        headers.append((b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})


webhook = _Webhook()


def _refusals(*methods: Callable[..., Any], codes: Iterable[str] = (), writes: bool = False) -> dict[str, Any]:
    found = refusals(*methods, codes=codes, writes=writes, user=False)
    return {str(status): answer for status, answer in found.items()}


WEBHOOK_DESCRIPTION: dict[str, Any] = {
    "get": {
        "tags": ["whatsapp"],
        "operationId": "verify_webhook",
        "summary": "Verify Webhook",
        "description": "Answers Meta's verification request with its challenge.",
        "parameters": [
            {"name": name, "in": "query", "required": True, "schema": {"type": "string"}}
            for name in ("hub.mode", "hub.verify_token", "hub.challenge")
        ],
        "responses": {
            "200": {"description": "The challenge.", "content": {"text/plain": {}}},
            **_refusals(codes=["verify_token_invalid"]),
        },
    },
    "post": {
        "tags": ["whatsapp"],
        "operationId": "receive_webhook",
        "summary": "Receive Webhook",
        "description": "Stores a signed webhook request; 200 only once everything in it is committed, "
        "with how many items had which outcome.",
        "parameters": [{"name": "X-Hub-Signature-256", "in": "header", "required": True, "schema": {"type": "string"}}],
        "requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}},
        "responses": {
            "200": {
                "description": "Stored.",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "properties": {name: {"type": "integer"} for name in OUTCOMES},
                        }
                    }
                },
            },
            **_refusals(WebhookEndpoint.receive, writes=True),
        },
    },
}


async def _read_body(receive: Receive) -> bytes:
    parts = []
    while (message := await receive())["type"] == "http.request":
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)
    raise ClientDisconnect


@router.post("/api/meta/whatsapp/send-text", status_code=202, responses=refusals(Threads.send_text, writes=True))
async def send_text(user: User, message: SendText) -> Message:
    """Queues a text reply in a thread as the signed-in user."""
    queued = await Threads(user).send_text(
        message.thread_id, message.body, quoting=message.quoting, idempotency_key=message.idempotency_key
    )
    structlog.contextvars.bind_contextvars(workspace_id=str(queued.workspace_id))
    return queued
