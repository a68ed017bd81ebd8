"""The fixtures of webhook bodies, and bodies that are nearly like them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FIXTURES = Path(__file__).parent / "fixtures" / "whatsapp"
# As the fixtures have them.
NUMBER, OTHER_NUMBER, WABA = "700000000000001", "700000000000002", "800000000000001"

NAMES = [
    "entry",
    "changes",
    "field",
    "value",
    "messages",
    "statuses",
    "contacts",
    "metadata",
    "phone_number_id",
    "id",
    "from",
    "from_user_id",
    "user_id",
    "wa_id",
    "profile",
    "name",
    "timestamp",
    "type",
    "text",
    "body",
    "errors",
    "code",
    "title",
    "status",
    "recipient_participant_id",
    "biz_opaque_callback_data",
    "interactive",
    "message_echoes",
    "history",
    "threads",
    "state_sync",
    "user_preferences",
    "user_id_update",
    "calls",
    "event",
    "edit",
    "revoke",
    "reaction",
    "message_id",
    "original_message_id",
    "message",
    "group_id",
    "system",
    "time",
    "waba_info",
    "waba_id",
    "zz",
]
WORDS = [
    "text",
    "messages",
    "1767225600",
    "447700900001",
    "wamid.X",
    "unsupported",
    "reaction",
    "sent",
    "failed",
    "GB.1",
    "contacts",
    "edit",
    "revoke",
    "system",
    "history",
    "calls",
    "smb_message_echoes",
    "account_update",
    "٣",
    "²",
]
NUMBERS = [0, -1, 7, 1767225600, 10**25, 1e300, 1.5]
LEAVES: list[Any] = [None, True, False, "", "\x00", "\ud800", "x" * 3000, [], {}, *WORDS, *NUMBERS]


def anything(source: random.Random, depth: int = 0) -> Any:
    kind = source.random()
    if depth > 5 or kind < 0.3:
        return source.choice(LEAVES)
    if kind < 0.55:
        return [anything(source, depth + 1) for _ in range(source.randrange(4))]
    return {source.choice(NAMES): anything(source, depth + 1) for _ in range(source.randrange(6))}


def nearly_a_webhook(source: random.Random) -> Any:
    """A real body with parts replaced, removed or repeated."""
    payload = json.loads(source.choice(sorted(FIXTURES.glob("*.json"))).read_bytes())
    for _ in range(source.randrange(1, 6)):
        node: Any = payload
        while isinstance(node, dict | list) and node:
            place: Any = source.choice(list(node) if isinstance(node, dict) else range(len(node)))
            if source.random() < 0.25 or not isinstance(node[place], dict | list):
                action = source.randrange(3)
                if action == 0:
                    node[place] = anything(source, 3)
                elif action == 1:
                    del node[place]
                elif isinstance(node, list):
                    node.append(node[place])
                else:
                    node[source.choice(NAMES)] = node[place]
                break
            node = node[place]
    return payload


def slightly_wrong(source: random.Random) -> Any:
    """A real body with a part or two changed anywhere, mostly deep within its items."""
    payload = json.loads(source.choice(sorted(FIXTURES.glob("*.json"))).read_bytes())
    for _ in range(source.randrange(1, 3)):
        container, place = source.choice(list(_places(payload)))
        action = source.randrange(4)
        if action == 0:
            container[place] = source.choice(LEAVES)
        elif action == 1:
            container[place] = anything(source, 4)
        elif action == 2:
            del container[place]
        elif isinstance(container, dict):
            container[source.choice(NAMES)] = container[place]
        else:
            container.append(container[place])
    return payload


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    for place in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, place
        if isinstance(value[place], dict | list):
            yield from _places(value[place])
