"""What a connected client may ask for, and what it is answered."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from qero.local.keys import Keys
from qero.local.realtime.authorization import PUBLIC, Policies, policies_for
from qero.local.realtime.capture import Capture
from qero.local.realtime.channels import TOPIC_PREFIX, Channel, Hub, JoinConfig, subscription_id
from qero.local.realtime.connection import Connection
from qero.local.realtime.database import Database
from qero.local.realtime.filters import BadSubscription
from qero.local.realtime.identity import Identity, TokenRefused, verify
from qero.local.realtime.protocol import RelayedBroadcast, Request, UserBroadcast, Version, encode, to_json
from qero.local.realtime.subscriptions import checked_subscriptions

log = logging.getLogger(__name__)

MAX_CHANNELS = 100
OPAQUE_KEY_PREFIX = "sb_"
DATABASE_WAIT_SECONDS = 5.0
"""How long a join waits for a database that is restarting; clients give up after ten seconds."""
NO_DATABASE = "Realtime was unable to connect to the project database"


class Refused(Exception):
    """The reply to a join that fails; the message is its reason."""


@dataclass(frozen=True, slots=True)
class Backend:
    """What all sessions share."""

    keys: Keys
    database: Database
    hub: Hub
    capture: Capture


class Session:
    """One client's channels. Satisfies `channels.Client`."""

    def __init__(self, backend: Backend, connection: Connection, identity: Identity) -> None:
        self._backend = backend
        self._connection = connection
        self._identity = identity
        self._channels: dict[str, Channel] = {}

    @property
    def version(self) -> Version:
        return self._connection.version

    def send(self, frame: str | bytes) -> None:
        self._connection.send(frame)

    def disconnect(self, code: int) -> None:
        self._connection.close(code)

    async def serve(self) -> None:
        try:
            await self._connection.serve(self._handle)
        finally:
            for channel in list(self._channels.values()):
                self._forget(channel)

    def fail(self, channel: Channel) -> None:
        self._forget(channel)
        channel.push("phx_error", "{}", ref=channel.join_ref)

    async def _handle(self, request: Request) -> None:
        if request.topic == "phoenix":
            self._reply(request, "ok")
            return
        if request.event == "phx_join":
            await self._join(request)
            return
        channel = self._channels.get(request.topic)
        if channel is None:
            if request.event == "phx_leave":
                self._reply(request, "ok")
            else:
                self._reply(request, "error", {"reason": "unmatched topic"})
        elif request.event == "phx_leave":
            self._reply(request, "ok")
            self._close(channel)
        elif request.event == "broadcast":
            self._broadcast(channel, request)
        elif isinstance(request.payload, Mapping):
            if request.event == "presence":
                self._presence(channel, request, request.payload)
            elif request.event == "access_token":
                await self._renew_token(channel, request.payload.get("access_token"))

    # Joining and leaving

    async def _join(self, request: Request) -> None:
        # The channel of an earlier join ends with this one, whose reply goes first.
        previous = self._channels.get(request.topic)
        if previous is not None:
            self._forget(previous)
        try:
            channel = await self._channel(request)
        except Refused as refusal:
            self._reply(request, "error", {"reason": str(refusal)})
        else:
            self._channels[channel.topic] = channel
            self._backend.hub.enter(channel)
            self._expire_with_token(channel)
            specs = [{**spec, "id": subscription_id(spec)} for spec in channel.config.change_specs]
            self._reply(request, "ok", {"postgres_changes": specs})
            if channel.config.presence_enabled:
                self._backend.hub.push_presence_state(channel)
            self._start_subscribing(channel)
        if previous is not None:
            previous.push("phx_close", "{}", ref=previous.join_ref)

    async def _channel(self, request: Request) -> Channel:
        payload = request.payload if isinstance(request.payload, Mapping) else {}
        if not request.topic.startswith(TOPIC_PREFIX):
            raise Refused("unmatched topic")
        if request.topic == TOPIC_PREFIX:
            raise Refused("TopicNameRequired: You must provide a topic name")
        if len(self._channels) >= MAX_CHANNELS:
            raise Refused("ChannelRateLimitReached: Too many channels")
        config = JoinConfig.parse(payload.get("config"))
        try:
            identity = self._identity_for(payload.get("user_token") or payload.get("access_token"))
        except TokenRefused as refusal:
            raise Refused(refusal.reason) from refusal
        channel = Channel(
            client=self,
            topic=request.topic,
            join_ref=request.join_ref or request.ref,
            config=config,
            identity=identity,
            policies=PUBLIC,
            presence_authorized=config.presence_enabled,
        )
        if config.private or config.change_specs:
            await self._wait_for_database()
        if config.private:
            channel.policies = await self._policies(channel, identity)
            # A loss meanwhile was announced to the channels there were.
            await self._wait_for_database()
        return channel

    async def _wait_for_database(self) -> None:
        try:
            await asyncio.wait_for(self._backend.capture.running.wait(), DATABASE_WAIT_SECONDS)
        except TimeoutError as error:
            raise Refused(f"UnableToConnectToProject: {NO_DATABASE}") from error

    async def _policies(self, channel: Channel, identity: Identity) -> Policies:
        try:
            policies = await policies_for(self._backend.database, channel.name, identity)
        except psycopg.Error as error:
            log.warning("policies of %s: %s", channel.topic, error)
            raise Refused(NO_DATABASE) from error
        if not (policies.broadcast_read or (channel.presence_authorized and policies.presence_read)):
            raise Refused("Unauthorized: You do not have permissions to read from this Channel topic: " + channel.name)
        return policies

    def _identity_for(self, token: object) -> Identity:
        """The token's bearer; without a token, or with an API key for one, whoever opened the connection."""
        if isinstance(token, str) and token and not token.startswith(OPAQUE_KEY_PREFIX):
            return verify(self._backend.keys, token)
        return self._identity

    def _forget(self, channel: Channel) -> None:
        if self._channels.get(channel.topic) is channel:
            del self._channels[channel.topic]
        channel.subscriptions = []
        if channel.expiry is not None:
            channel.expiry.cancel()
        if channel.subscribing is not None:
            channel.subscribing.cancel()
        self._backend.hub.leave(channel)

    def _close(self, channel: Channel, message: str | None = None) -> None:
        if self._channels.get(channel.topic) is not channel:
            return
        if message is not None:
            channel.push_system("system", "error", message)
        self._forget(channel)
        channel.push("phx_close", "{}", ref=channel.join_ref)

    # Tokens

    def _expire_with_token(self, channel: Channel) -> None:
        if channel.expiry is not None:
            channel.expiry.cancel()
        channel.expiry = asyncio.get_running_loop().call_later(
            max(0.0, channel.identity.seconds_left), self._close, channel, "Token has expired 0 seconds ago"
        )

    async def _renew_token(self, channel: Channel, token: object) -> None:
        if not isinstance(token, str) or token.startswith(OPAQUE_KEY_PREFIX) or token == channel.identity.token:
            return
        try:
            identity = verify(self._backend.keys, token)
            policies = PUBLIC
            if channel.config.private:
                policies = await self._policies(channel, identity)
        except TokenRefused as refusal:
            self._close(channel, str(refusal))
            return
        except Refused as refusal:
            self._close(channel, str(refusal).removeprefix("Unauthorized: "))
            return
        if policies.revokes_reading_allowed_by(channel.policies):
            self._close(channel, f"You no longer have permission to read from this Channel topic: {channel.name}")
            return
        if self._channels.get(channel.topic) is not channel:
            return
        channel.identity, channel.policies = identity, policies
        self._expire_with_token(channel)
        self._start_subscribing(channel)

    # Changes

    def _start_subscribing(self, channel: Channel) -> None:
        if channel.subscribing is not None:
            channel.subscribing.cancel()
        if channel.config.change_specs:
            channel.subscribing = asyncio.create_task(self._subscribe(channel))

    async def _subscribe(self, channel: Channel) -> None:
        try:
            channel.subscriptions = await checked_subscriptions(self._backend.database, channel)
        except BadSubscription as error:
            channel.subscriptions = []
            channel.push_system("postgres_changes", "error", str(error))
        except psycopg.Error as error:
            log.warning("subscriptions of %s: %s", channel.topic, error)
            self.fail(channel)
        else:
            channel.push_system("postgres_changes", "ok", "Subscribed to PostgreSQL")

    # Broadcast and presence

    def _broadcast(self, channel: Channel, request: Request) -> None:
        if not channel.policies.broadcast_write:
            return
        payload = request.payload
        broadcast = payload if isinstance(payload, UserBroadcast) else RelayedBroadcast(payload)
        self._backend.hub.broadcast(
            channel.name,
            broadcast,
            private=channel.config.private,
            without=None if channel.config.own_broadcasts else channel,
        )
        if channel.config.acknowledge_broadcasts:
            self._reply(request, "ok")

    def _presence(self, channel: Channel, request: Request, payload: Mapping[str, Any]) -> None:
        event = str(payload.get("event", "")).lower()
        if event == "track":
            tracked = payload.get("payload", {})
            if not channel.policies.presence_write:
                self._reply(request, "error")
            elif not isinstance(tracked, dict):
                self._reply(request, "error", {"reason": "Presence track payload must be a map"})
            else:
                channel.presence_authorized = True
                self._reply(request, "ok")
                self._backend.hub.track(channel, tracked)
        elif event == "untrack":
            self._reply(request, "ok")
            self._backend.hub.untrack(channel)
        else:
            self._reply(request, "error")

    def _reply(self, request: Request, status: str, response: Mapping[str, Any] | None = None) -> None:
        payload = to_json({"status": status, "response": response or {}})
        self.send(encode(self.version, request.topic, "phx_reply", payload, join_ref=request.join_ref, ref=request.ref))
