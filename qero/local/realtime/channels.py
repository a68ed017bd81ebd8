"""Joined channels, and the hub that knows them all and hands messages out."""

from __future__ import annotations

import asyncio
import uuid
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from qero.local.realtime.authorization import Policies
from qero.local.realtime.filters import ChangeRequest
from qero.local.realtime.identity import Identity
from qero.local.realtime.presence import Presence
from qero.local.realtime.protocol import Broadcast, Version, encode, to_json

TOPIC_PREFIX = "realtime:"


class Client(Protocol):
    """The far end of a channel."""

    @property
    def version(self) -> Version: ...

    def send(self, frame: str | bytes) -> None: ...

    def fail(self, channel: Channel) -> None:
        """Drop the channel and let the client know that it should join again."""


@dataclass(frozen=True, slots=True)
class JoinConfig:
    """The `config` of a join. Whatever is missing or of another type counts as not asked for."""

    private: bool
    acknowledge_broadcasts: bool
    own_broadcasts: bool
    presence_enabled: bool
    presence_key: str
    change_specs: tuple[Mapping[str, Any], ...]

    @classmethod
    def parse(cls, config: object) -> JoinConfig:
        root = _mapping(config)
        broadcast, presence = _mapping(root.get("broadcast")), _mapping(root.get("presence"))
        specs = root.get("postgres_changes")
        key = presence.get("key")
        return cls(
            private=_flag(root.get("private")),
            acknowledge_broadcasts=_flag(broadcast.get("ack")),
            own_broadcasts=_flag(broadcast.get("self")),
            presence_enabled=_flag(presence.get("enabled")),
            presence_key=str(key) if key not in (None, "") else str(uuid.uuid1()),
            change_specs=tuple(s for s in specs if isinstance(s, dict)) if isinstance(specs, list) else (),
        )


def subscription_id(spec: Mapping[str, Any]) -> int:
    """Equal for equal specs, and never 0: the Python client takes that for no id."""
    return zlib.crc32(to_json(dict(sorted(spec.items()))).encode()) % (2**27 - 1) + 1


@dataclass(eq=False, slots=True)
class Subscription:
    """One entry of a channel's postgres_changes that is being served."""

    id: int
    request: ChangeRequest
    channel: Channel


@dataclass(eq=False, slots=True)
class Channel:
    client: Client
    topic: str
    join_ref: str | None
    config: JoinConfig
    identity: Identity
    policies: Policies
    presence_authorized: bool
    """Presence is withheld from members of a private channel until they ask for it."""
    subscriptions: list[Subscription] = field(default_factory=list)
    expiry: asyncio.TimerHandle | None = None
    subscribing: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return self.topic.removeprefix(TOPIC_PREFIX)

    @property
    def reads_presence(self) -> bool:
        return self.policies.presence_read and (self.presence_authorized or not self.config.private)

    def push(self, event: str, payload: str, *, ref: str | None = None) -> None:
        self.client.send(encode(self.client.version, self.topic, event, payload, join_ref=self.join_ref, ref=ref))

    def push_system(self, extension: str, status: str, message: str) -> None:
        self.push(
            "system",
            to_json({"extension": extension, "status": status, "message": message, "channel": self.name}),
        )


class Room:
    """The channels of one topic. Public and private channels of the same name are different rooms."""

    def __init__(self) -> None:
        self.members: dict[Channel, None] = {}
        self.presence = Presence()


class Hub:
    def __init__(self) -> None:
        self._rooms: dict[tuple[str, bool], Room] = {}

    @property
    def is_empty(self) -> bool:
        return not self._rooms

    def enter(self, channel: Channel) -> None:
        self._rooms.setdefault(_room_key(channel), Room()).members[channel] = None

    def leave(self, channel: Channel) -> None:
        key = _room_key(channel)
        room = self._rooms.get(key)
        if room is None or channel not in room.members:
            return
        del room.members[channel]
        self._push_presence(room, room.presence.untrack(channel.config.presence_key, channel))
        if not room.members:
            del self._rooms[key]

    def channels(self) -> Iterator[Channel]:
        for room in list(self._rooms.values()):
            yield from list(room.members)

    def subscriptions(self) -> list[Subscription]:
        return [subscription for channel in self.channels() for subscription in channel.subscriptions]

    def broadcast(self, name: str, broadcast: Broadcast, *, private: bool, without: Channel | None = None) -> None:
        room = self._rooms.get((name, private))
        if room is None:
            return
        frames: dict[Version, str | bytes | None] = {}
        for channel in list(room.members):
            if channel is without or not channel.policies.broadcast_read:
                continue
            version = channel.client.version
            if version not in frames:
                frames[version] = broadcast.frame(version, channel.topic)
            frame = frames[version]
            if frame is not None:
                channel.client.send(frame)

    def push_presence_state(self, channel: Channel) -> None:
        if channel.reads_presence:
            channel.push("presence_state", to_json(self._rooms[_room_key(channel)].presence.state()))

    def track(self, channel: Channel, payload: Mapping[str, Any]) -> None:
        room = self._rooms[_room_key(channel)]
        self._push_presence(room, room.presence.track(channel.config.presence_key, channel, payload))

    def untrack(self, channel: Channel) -> None:
        room = self._rooms[_room_key(channel)]
        self._push_presence(room, room.presence.untrack(channel.config.presence_key, channel))

    def _push_presence(self, room: Room, difference: Mapping[str, Any] | None) -> None:
        if difference is None:
            return
        payload = to_json(difference)
        for channel in list(room.members):
            if channel.reads_presence:
                channel.client.send(encode(channel.client.version, channel.topic, "presence_diff", payload))


def _room_key(channel: Channel) -> tuple[str, bool]:
    return channel.name, channel.config.private


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _flag(value: object) -> bool:
    return value is True or (isinstance(value, str) and value.lower() == "true")
