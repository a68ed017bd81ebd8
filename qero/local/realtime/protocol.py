"""Phoenix frames: what clients send and what they are sent, in both versions of the protocol.

Version 1.0.0 frames are JSON objects, version 2.0.0 frames JSON arrays; 2.0.0 adds two binary kinds, one for
broadcasts a client pushes and one for broadcasts it receives.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol

PUSHED_BROADCAST_KIND = 3
BROADCAST_KIND = 4
OPAQUE_ENCODING = 0
JSON_ENCODING = 1
MAX_HEADER_FIELD_BYTES = 255


class BadFrame(ValueError):
    """A frame that doesn't follow the protocol; the message says how."""


class Version(Enum):
    OBJECTS = "1.0.0"
    ARRAYS = "2.0.0"

    @classmethod
    def of(cls, vsn: str | None) -> Version:
        return cls.ARRAYS if vsn is not None and vsn.startswith("2.") else cls.OBJECTS


class Broadcast(Protocol):
    """A broadcast on its way to subscribers."""

    def frame(self, version: Version, topic: str) -> str | bytes | None:
        """The frame for subscribers of `topic`, or None if their version can't carry this broadcast."""


@dataclass(frozen=True, slots=True)
class RelayedBroadcast:
    """A broadcast that arrived as a JSON object, handed on with every key it came with."""

    payload: Mapping[str, Any]

    def frame(self, version: Version, topic: str) -> str:
        return encode(version, topic, "broadcast", to_json(self.payload))


@dataclass(frozen=True, slots=True)
class UserBroadcast:
    """A broadcast whose body is passed on untouched: JSON text, or bytes only the clients understand."""

    event: str
    body: str | bytes
    meta: Mapping[str, Any] | None = None

    def frame(self, version: Version, topic: str) -> str | bytes | None:
        if version is Version.ARRAYS:
            binary = self._binary_frame(topic)
            if binary is not None:
                return binary
        if isinstance(self.body, bytes):
            return None
        meta = "" if self.meta is None else f',"meta":{to_json(self.meta)}'
        payload = f'{{"type":"broadcast","event":{to_json(self.event)},"payload":{self.body}{meta}}}'
        return encode(version, topic, "broadcast", payload)

    def _binary_frame(self, topic: str) -> bytes | None:
        header = [topic.encode(), self.event.encode(), to_json(self.meta).encode() if self.meta else b""]
        if any(len(field) > MAX_HEADER_FIELD_BYTES for field in header):
            return None
        if isinstance(self.body, bytes):
            body, encoding = self.body, OPAQUE_ENCODING
        else:
            body, encoding = self.body.encode(), JSON_ENCODING
        return bytes([BROADCAST_KIND, *map(len, header), encoding]) + b"".join(header) + body


@dataclass(frozen=True, slots=True)
class Request:
    """One frame from a client. A pushed broadcast in binary form has a UserBroadcast for its payload."""

    join_ref: str | None
    ref: str | None
    topic: str
    event: str
    payload: Mapping[str, Any] | UserBroadcast


def to_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def encode(
    version: Version,
    topic: str,
    event: str,
    payload: str,
    *,
    join_ref: str | None = None,
    ref: str | None = None,
) -> str:
    """A text frame around a payload that is JSON already, so that fan-out serialises it only once."""
    if version is Version.ARRAYS:
        return f"[{to_json(join_ref)},{to_json(ref)},{to_json(topic)},{to_json(event)},{payload}]"
    # The Python client refuses frames without `ref`; 1.0.0 frames from the server carry no join_ref.
    return f'{{"ref":{to_json(ref)},"topic":{to_json(topic)},"event":{to_json(event)},"payload":{payload}}}'


def decode_text(text: str) -> Request:
    """Either version's text frame; which of the two is plain from its shape.

    Raises:
        BadFrame: not JSON, or without topic and event.
    """
    try:
        frame = json.loads(text)
    except ValueError as error:
        raise BadFrame("not JSON") from error
    if isinstance(frame, list):
        if len(frame) < 5:
            raise BadFrame("an array frame needs five elements")
        join_ref, ref, topic, event, payload = frame[:5]
    elif isinstance(frame, dict):
        join_ref, ref, topic, event, payload = (
            frame.get(key) for key in ("join_ref", "ref", "topic", "event", "payload")
        )
    else:
        raise BadFrame("neither an object nor an array")
    if not isinstance(topic, str) or not isinstance(event, str):
        raise BadFrame("topic and event must be strings")
    return Request(_ref(join_ref), _ref(ref), topic, event, payload if isinstance(payload, dict) else {})


def decode_binary(data: bytes) -> Request:
    """A broadcast pushed in binary form.

    Raises:
        BadFrame: another kind, cut short, or with text that isn't UTF-8 or JSON where it has to be.
    """
    if len(data) < 7 or data[0] != PUSHED_BROADCAST_KIND:
        raise BadFrame("not a pushed broadcast")
    *sizes, encoding = data[1:7]
    fields: list[str] = []
    offset = 7
    try:
        for size in sizes:
            if offset + size > len(data):
                raise BadFrame("cut short")
            fields.append(data[offset : offset + size].decode())
            offset += size
        join_ref, ref, topic, event, meta = fields
        body: str | bytes = data[offset:]
        if encoding == JSON_ENCODING:
            # Parsed only to keep malformed JSON from every subscriber.
            body = data[offset:].decode()
            json.loads(body)
        payload = UserBroadcast(event, body, json.loads(meta) if meta else None)
    except BadFrame:
        raise
    except ValueError as error:
        raise BadFrame(str(error)) from error
    return Request(join_ref or None, ref or None, topic, "broadcast", payload)


def _ref(value: object) -> str | None:
    return None if value is None else str(value)
