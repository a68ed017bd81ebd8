"""Takes Meta's webhook bodies apart into items that are each recorded and applied on their own.

Tolerant on purpose: whatever Meta sends, known or not, becomes an item with its raw form, and an item that can't be
used is marked so, with the reason, without costing its siblings anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from qero.errors import InvalidInput, LimitExceeded
from qero.models.row import Row

BODY_LIMIT_BYTES = 3 * 1024 * 1024
KEY_LIMIT = 512
ID_LIMIT = 64
DEPTH_LIMIT = 200
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# These change or annotate something that is there already; they are no messages of their own.
_NOT_SHOWN = {"reaction", "system", "edit", "revoke"}
# What a change of field "messages" consists of; anything beside it is kept as it came.
_TAKEN_APART = {"messaging_product", "metadata", "contacts", "messages", "statuses"}
_STATUSES = {"sent", "delivered", "read", "played", "failed"}


class WebhookEvent(BaseModel):
    """One item of a webhook body, as `ingest_whatsapp_events` takes it."""

    model_config = ConfigDict(frozen=True)

    event_key: str
    """The same for the same item however often Meta sends it."""
    kind: Literal["message", "status", "other", "malformed"]
    phone_number_id: str | None = None
    waba_id: str | None = None
    occurred_at: datetime | None = None
    wa_message_id: str | None = None
    wa_id: str | None = None
    user_id: str | None = None
    """The sender's business-scoped user id."""
    profile_name: str | None = None
    type: str | None = None
    body: str | None = None
    content: dict[str, Any] | None = None
    status: str | None = None
    error_code: int | None = None
    error_text: str | None = None
    opaque_id: str | None = None
    reason: str | None = None
    """Why a malformed item can't be used."""
    raw: Any = None


class IngestOutcome(Row):
    """What became of one item."""

    ordinal: int
    """The item's place in the call, from 1."""
    outcome: Literal["recorded", "deduped", "orphan", "set_aside"]
    event_id: int | None
    reason: str | None


def parse_body(body: bytes) -> list[WebhookEvent]:
    """Every item of a webhook body, in order.

    Raises:
        InvalidInput: `body_not_json`, `body_not_an_object`.
        LimitExceeded: `body_too_large`, over 3 MB or nested deeper than JSON from Meta ever is.
    """
    if len(body) > BODY_LIMIT_BYTES:
        raise LimitExceeded("body_too_large", detail={"bytes": len(body), "limit": BODY_LIMIT_BYTES})
    payload = _load(body)
    if not isinstance(payload, dict):
        raise InvalidInput("body_not_an_object", detail={"found": type(payload).__name__})
    return list(_items(payload))


def _load(body: bytes) -> Any:
    try:
        payload = from_json(body, allow_inf_nan=False)
    except ValueError as strict:
        if "recursion" in str(strict):
            raise LimitExceeded("body_too_large", detail={"reason": "nested too deeply"}) from strict
        # Half of a surrogate pair is no valid text, yet people's names and phones do send it.
        try:
            payload = _storable(json.loads(body, parse_constant=_refuse_constant))
        except (LimitExceeded, RecursionError) as error:
            raise LimitExceeded("body_too_large", detail={"reason": "nested too deeply"}) from error
        except ValueError as error:
            raise InvalidInput("body_not_json", detail={"problem": str(error)[:200]}) from error
        return payload
    return _storable(payload) if rb"\u0000" in body else payload


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _storable(value: Any, depth: int = 0) -> Any:
    """The value with what Postgres can't store in text (U+0000, half a surrogate pair) replaced."""
    if depth > DEPTH_LIMIT:
        raise LimitExceeded("body_too_large", detail={"reason": "nested too deeply"})
    if isinstance(value, str):
        return value.replace("\x00", REPLACEMENT).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, dict):
        return {_storable(name): _storable(item, depth + 1) for name, item in value.items()}
    return value


def _items(payload: dict[str, Any]) -> Iterator[WebhookEvent]:
    entries = payload.get("entry")
    if not isinstance(entries, list):
        yield _malformed(payload, "the body has no list of entries")
        return
    for entry in entries:
        changes, waba_id = _get(entry, "changes"), _id(_get(entry, "id"))
        if not isinstance(changes, list):
            yield _malformed(entry, "the entry has no list of changes", waba_id=waba_id)
            continue
        for change in changes:
            yield from _items_of_change(change, waba_id)


def _items_of_change(change: Any, waba_id: str | None) -> Iterator[WebhookEvent]:
    field, value = _text(_get(change, "field")), _get(change, "value")
    phone_number_id = _id(_get(_get(value, "metadata"), "phone_number_id"))
    route = {"phone_number_id": phone_number_id, "waba_id": waba_id}
    messages, statuses = (_get(value, name) if field == "messages" else None for name in ("messages", "statuses"))
    contacts = _list(_get(value, "contacts"))
    for item in _list(messages):
        yield _message(item, contacts, route)
    for item in _list(statuses):
        yield _status(item, route)
    # Whatever isn't a message or a status is kept as it is: other fields, calls, errors, unexpected shapes.
    unread = [name for name in ("messages", "statuses") if not isinstance(_get(value, name), list | None)]
    more = isinstance(value, dict) and not value.keys() <= _TAKEN_APART
    if not (messages or statuses) or unread or more:
        if isinstance(value, dict) and field == "messages":
            taken = {name for name in ("messages", "statuses") if isinstance(value.get(name), list)}
            change = {**change, "value": {name: item for name, item in value.items() if name not in taken}}
        yield WebhookEvent(event_key=_hash_key("change", change), kind="other", type=field, raw=change, **route)


def _message(item: Any, contacts: list[Any], route: dict[str, str | None]) -> WebhookEvent:
    message_id, kind = _text(_get(item, "id")), _text(_get(item, "type"))
    sender, user_id = _text(_get(item, "from")), _text(_get(item, "from_user_id"))
    if sender is not None and not sender.isdigit():
        # People with a username can come with their business-scoped id where their number used to be.
        sender, user_id = None, user_id or sender
    if sender is None and user_id is None and len(contacts) == 1 and _get(contacts[0], "wa_id") is None:
        # For a person who hides their number the id can be with the contact only.
        user_id = _text(_get(contacts[0], "user_id"))
    occurred_at = _moment(_get(item, "timestamp"))
    problem = (
        "the message has no id" if message_id is None
        else "the message has no type" if kind is None
        else "the message names no sender" if sender is None and user_id is None and kind not in _NOT_SHOWN
        else "the message's timestamp can't be read" if occurred_at is None
        else None
    )  # fmt: skip
    if message_id is None or problem is not None:
        return _malformed(item, problem or "", **route)
    profile = next((contact for contact in contacts if _is_sender(contact, sender, user_id)), None)
    content = _get(item, kind)
    content_class = "placeholder" if kind == "unsupported" else "content"
    return WebhookEvent(
        event_key=_key("message", route["phone_number_id"], message_id, content_class),
        kind="other" if kind in _NOT_SHOWN else "message",
        occurred_at=occurred_at,
        wa_message_id=message_id,
        wa_id=sender,
        user_id=user_id,
        profile_name=_text(_get(_get(profile, "profile"), "name")),
        type=kind,
        body=_shown_text(item, kind or ""),
        content=content if isinstance(content, dict) else {kind or "": content} if isinstance(content, list) else {},
        raw=item,
        **route,
    )


def _status(item: Any, route: dict[str, str | None]) -> WebhookEvent:
    message_id, status = _text(_get(item, "id")), _text(_get(item, "status"))
    occurred_at = _moment(_get(item, "timestamp"))
    if message_id is None or status is None or occurred_at is None:
        missing = "id" if message_id is None else "status" if status is None else "readable timestamp"
        return _malformed(item, f"the status has no {missing}", **route)
    errors = _get(item, "errors")
    error = errors[0] if isinstance(errors, list) and errors else None
    participant = _text(_get(item, "recipient_participant_id")) or ""
    return WebhookEvent(
        event_key=_key("status", route["phone_number_id"], message_id, status, participant),
        kind="status" if status in _STATUSES else "other",
        occurred_at=occurred_at,
        wa_message_id=message_id,
        status=status,
        error_code=_whole_number(_get(error, "code")),
        error_text=_text(_get(error, "title")) or _text(_get(error, "message")),
        opaque_id=_text(_get(item, "biz_opaque_callback_data")),
        raw=item,
        **route,
    )


def _is_sender(contact: Any, wa_id: str | None, user_id: str | None) -> bool:
    return (wa_id is not None and _text(_get(contact, "wa_id")) == wa_id) or (
        user_id is not None and _text(_get(contact, "user_id")) == user_id
    )


def _shown_text(item: Any, kind: str) -> str | None:
    """What a list shows of the message: its text, caption, or the choice that was made."""
    content = _get(item, kind)
    interactive = _get(content, "button_reply") or _get(content, "list_reply")
    if isinstance(content, list):  # contact cards
        content = _get(content[0] if content else None, "name")
    candidates = (
        _get(content, "body"), _get(content, "caption"), _get(content, "text"), _get(interactive, "title"),
        _get(content, "name"), _get(content, "formatted_name"),
    )  # fmt: skip
    return next((text for text in candidates if isinstance(text, str) and text), None)


def _malformed(
    item: Any, reason: str, *, phone_number_id: str | None = None, waba_id: str | None = None
) -> WebhookEvent:
    return WebhookEvent(
        event_key=_hash_key("malformed", item),
        kind="malformed",
        reason=reason,
        raw=item,
        phone_number_id=phone_number_id,
        waba_id=waba_id,
    )


def _key(*parts: str | None) -> str:
    key = ":".join(part or "" for part in parts)
    return key if len(key) <= KEY_LIMIT else f"{parts[0]}:{hashlib.sha256(key.encode()).hexdigest()}"


def _hash_key(kind: str, item: Any) -> str:
    return f"{kind}:{hashlib.sha256(json.dumps(item, sort_keys=True).encode()).hexdigest()}"


def _get(value: Any, name: Any) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: Any) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value else None


def _id(value: Any) -> str | None:
    """One of Meta's ids by which items are routed; anything longer can't be one, and no index would take it."""
    text = _text(value)
    return text if text is not None and len(text) <= ID_LIMIT else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _whole_number(value: Any) -> int | None:
    text = _text(value)
    return int(text) if text and text.isdecimal() and len(text) <= 9 else None


def _moment(value: Any) -> datetime | None:
    text = _text(value)
    if text is None or not text.isdecimal() or len(text) > 11:
        return None
    try:
        return datetime.fromtimestamp(int(text), UTC)
    except (ValueError, OverflowError, OSError):
        return None
