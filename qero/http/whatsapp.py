"""WhatsApp: Meta's webhook, and replying."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from qero.clients.factory import Clients, UserClient
from qero.models.whatsapp import Message
from qero.services.threads import Threads
from qero.services.webhooks import Webhooks, answer_verification
from qero.settings import Settings

router = APIRouter()


async def user_client(request: Request) -> UserClient:
    """The client of the user behind the request, by bearer token or session cookies."""
    clients: Clients = request.app.state.clients
    client = await clients.user_from_request(request.headers, request.cookies)
    structlog.contextvars.bind_contextvars(user_id=str(client.identity.user_id))
    return client


User = Annotated[UserClient, Depends(user_client)]


class SendText(BaseModel):
    model_config = ConfigDict(extra="forbid")

    thread_id: UUID
    body: str
    idempotency_key: str | None = Field(None, min_length=1, max_length=200)


class Received(BaseModel):
    """How many items of a webhook request had which outcome."""

    recorded: int = 0
    deduped: int = 0
    orphan: int = 0
    set_aside: int = 0


@router.get("/api/webhooks/meta/whatsapp", response_class=PlainTextResponse)
async def verify_webhook(
    request: Request,
    mode: Annotated[str | None, Query(alias="hub.mode")] = None,
    token: Annotated[str | None, Query(alias="hub.verify_token")] = None,
    challenge: Annotated[str | None, Query(alias="hub.challenge", max_length=1000)] = None,
) -> Response:
    """Answers Meta's verification request with its challenge."""
    settings: Settings = request.app.state.settings
    return PlainTextResponse(
        answer_verification(mode, token, challenge, settings.require("meta_verify_token")),
        # Whatever the challenge is, no browser takes it for a page.
        headers={"x-content-type-options": "nosniff"},
    )


@router.post("/api/webhooks/meta/whatsapp")
async def receive_webhook(request: Request) -> Received:
    """Stores a signed webhook request; 200 only once everything in it is committed."""
    settings: Settings = request.app.state.settings
    clients: Clients = request.app.state.clients
    outcomes = await Webhooks(clients.service()).receive(
        await request.body(), request.headers.get("x-hub-signature-256"), settings.require("meta_app_secret")
    )
    counts = {name: sum(item.outcome == name for item in outcomes) for name in Received.model_fields}
    return Received(**counts)


@router.post("/api/meta/whatsapp/send-text", status_code=202)
async def send_text(user: User, message: SendText) -> Message:
    """Queues a text reply in a thread as the signed-in user."""
    queued = await Threads(user).send_text(message.thread_id, message.body, idempotency_key=message.idempotency_key)
    structlog.contextvars.bind_contextvars(workspace_id=str(queued.workspace_id))
    return queued
