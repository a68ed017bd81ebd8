"""WhatsApp: Meta's webhook, replying, and the saved views of the inbox."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import structlog
from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from qero.clients.factory import Clients, UserClient
from qero.models.inbox import SavedView, ViewFilters
from qero.models.whatsapp import Message
from qero.services.saved_views import SavedViews
from qero.services.threads import Threads
from qero.services.webhooks import OUTCOMES, WebhookEndpoint
from qero.services.workspaces import Workspaces

WEBHOOK_PATH = "/api/webhooks/meta/whatsapp"

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


class NewView(BaseModel):
    model_config = ConfigDict(extra="forbid")

    workspace: str = Field(min_length=1, max_length=100)
    """Slug or uuid."""
    name: str
    filters: ViewFilters = Field(default_factory=ViewFilters)
    is_default: bool = False
    is_shared: bool = False


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
WEBHOOK_DESCRIPTION = {
    "get": {
        "summary": "Verify Webhook",
        "description": "Answers Meta's verification request with its challenge.",
        "parameters": [
            {"name": name, "in": "query", "required": True, "schema": {"type": "string"}}
            for name in ("hub.mode", "hub.verify_token", "hub.challenge")
        ],
        "responses": {"200": {"description": "The challenge.", "content": {"text/plain": {}}}},
    },
    "post": {
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
            }
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


@router.post("/api/meta/whatsapp/send-text", status_code=202)
async def send_text(user: User, message: SendText) -> Message:
    """Queues a text reply in a thread as the signed-in user."""
    queued = await Threads(user).send_text(message.thread_id, message.body, idempotency_key=message.idempotency_key)
    structlog.contextvars.bind_contextvars(workspace_id=str(queued.workspace_id))
    return queued


@router.get("/api/meta/whatsapp/saved-views")
async def list_views(user: User, workspace: Annotated[str, Query(min_length=1, max_length=100)]) -> list[SavedView]:
    """Lists the user's saved views of a workspace, and those that others share."""
    return await SavedViews(user).list(await _workspace_id(user, workspace))


@router.post("/api/meta/whatsapp/saved-views", status_code=201)
async def create_view(user: User, view: NewView) -> SavedView:
    """Keeps a filter of the inbox under a name."""
    return await SavedViews(user).create(
        await _workspace_id(user, view.workspace),
        view.name,
        view.filters,
        default=view.is_default,
        shared=view.is_shared,
    )


@router.delete("/api/meta/whatsapp/saved-views", status_code=204)
async def delete_view(user: User, id: UUID) -> None:
    """Removes a saved view."""
    await SavedViews(user).delete(id)


async def _workspace_id(user: UserClient, ref: str) -> UUID:
    workspace_id = await Workspaces(user).resolve(ref)
    structlog.contextvars.bind_contextvars(workspace_id=str(workspace_id))
    return workspace_id
