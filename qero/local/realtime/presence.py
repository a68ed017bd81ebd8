"""Who is present in a room, in the shape Phoenix clients merge into their own copy."""

from __future__ import annotations

import secrets
from collections.abc import Hashable, Mapping
from typing import Any

Meta = Mapping[str, Any]
Metas = dict[str, dict[str, list[Meta]]]


class Presence:
    """Presences by key. Several members may share a key, each with one presence of its own."""

    def __init__(self) -> None:
        self._presences: dict[str, dict[Hashable, Meta]] = {}

    def state(self) -> Metas:
        return {key: {"metas": list(members.values())} for key, members in self._presences.items()}

    def track(self, key: str, member: Hashable, payload: Mapping[str, Any]) -> dict[str, Metas] | None:
        """The difference this makes to everybody's copy, or None if it makes none."""
        previous = self._presences.get(key, {}).get(member)
        if previous is not None and _payload(previous) == dict(payload):
            return None
        meta: dict[str, Any] = {**payload, "phx_ref": secrets.token_urlsafe(9)}
        if previous is not None:
            meta["phx_ref_prev"] = previous["phx_ref"]
        self._presences.setdefault(key, {})[member] = meta
        return _difference(key, joined=meta, left=previous)

    def untrack(self, key: str, member: Hashable) -> dict[str, Metas] | None:
        members = self._presences.get(key, {})
        previous = members.pop(member, None)
        if not members:
            self._presences.pop(key, None)
        return None if previous is None else _difference(key, joined=None, left=previous)


def _payload(meta: Meta) -> dict[str, Any]:
    return {name: value for name, value in meta.items() if name not in ("phx_ref", "phx_ref_prev")}


def _difference(key: str, *, joined: Meta | None, left: Meta | None) -> dict[str, Metas]:
    return {
        "joins": {} if joined is None else {key: {"metas": [joined]}},
        "leaves": {} if left is None else {key: {"metas": [left]}},
    }
