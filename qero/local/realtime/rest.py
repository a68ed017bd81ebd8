"""Broadcasts sent by HTTP, for senders that hold no websocket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import psycopg
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qero.local.realtime.authorization import policies_for
from qero.local.realtime.identity import Identity, TokenRefused, verify
from qero.local.realtime.protocol import RelayedBroadcast, UserBroadcast
from qero.local.realtime.session import Backend


class BroadcastEndpoints:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def batch(self, request: Request) -> Response:
        """Send each of `messages`. Those to private topics the caller may not write to are left out."""
        identity = self._identity(request)
        if identity is None:
            return _unauthorized()
        try:
            messages = _messages(json.loads(await request.body()))
        except ValueError as error:
            return JSONResponse({"errors": {"messages": [str(error)]}}, 422)
        may_write: dict[str, bool] = {}
        for message in messages:
            topic, private = message["topic"], message.get("private") is True
            if private and topic not in may_write:
                may_write[topic] = await self._may_write(topic, identity)
            if private and not may_write[topic]:
                continue
            payload = {"type": "broadcast", "event": message["event"], "payload": message["payload"]}
            if isinstance(message.get("id"), str):
                payload["meta"] = {"id": message["id"]}
            self._backend.hub.broadcast(topic, RelayedBroadcast(payload), private=private)
        return Response(status_code=202)

    async def single(self, request: Request) -> Response:
        """Send the request's body, JSON or bytes, to the topic and event of its path."""
        identity = self._identity(request)
        if identity is None:
            return _unauthorized()
        body = await request.body()
        content_type = request.headers.get("content-type", "").partition(";")[0].strip()
        content: str | bytes
        if content_type == "application/octet-stream":
            content = body
        elif content_type == "application/json":
            try:
                content = body.decode()
                json.loads(content)
            except ValueError:
                return JSONResponse({"message": "Payload is not JSON"}, 422)
        else:
            return JSONResponse({"message": "Unsupported Media Type"}, 415)
        topic, private = request.path_params["topic"], request.query_params.get("private") == "true"
        if private and not await self._may_write(topic, identity):
            return JSONResponse({"message": "Unauthorized"}, 403)
        self._backend.hub.broadcast(topic, UserBroadcast(request.path_params["event"], content), private=private)
        return Response(status_code=202)

    def _identity(self, request: Request) -> Identity | None:
        scheme, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = bearer.strip() if scheme.lower() == "bearer" else request.headers.get("apikey", "")
        try:
            return verify(self._backend.keys, token)
        except TokenRefused:
            return None

    async def _may_write(self, topic: str, identity: Identity) -> bool:
        try:
            policies = await policies_for(self._backend.database, topic, identity)
        except psycopg.Error:
            return False
        return policies.broadcast_write


def _messages(body: object) -> list[Mapping[str, Any]]:
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list):
        raise ValueError("can't be blank")
    for message in messages:
        if not isinstance(message, dict):
            raise ValueError("is invalid")
        if not all(isinstance(message.get(key), str) for key in ("topic", "event")):
            raise ValueError("each message needs a topic and an event")
        if not isinstance(message.get("payload"), dict):
            raise ValueError("each message needs a payload that is an object")
    return messages


def _unauthorized() -> Response:
    return JSONResponse({"message": "Unauthorized"}, 401)
