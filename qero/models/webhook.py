"""Takes Meta's webhook bodies apart into items that are each recorded and applied on their own.

Tolerant on purpose: whatever Meta sends, known or not, becomes an item with its raw form, and an item that can't be
used is marked so, with the reason, without costing its siblings anything.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic_core import from_json

from qero.errors import InvalidInput, LimitExceeded
from qero.models.row import Row

BODY_LIMIT_BYTES = 3 * 1024 * 1024
KEY_LIMIT = 512
ID_LIMIT = 64
DEPTH_LIMIT = 200
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

EventKind = Literal[
    "message", "echo", "history", "reaction", "edit", "revoke", "status", "call", "identity", "preference",
    "address_book", "history_sync", "template", "account", "number", "error", "other", "malformed",
]  # fmt: skip

_CHANGES_OF_MESSAGES = {"reaction", "edit", "revoke"}
# Meta says later what these stand for, under the same id.
_PLACEHOLDERS = {"unsupported", "media_placeholder"}
_STATUSES = {"sent", "delivered", "read", "played", "failed"}
_TEMPLATE_FIELDS = {
    "message_template_status_update", "message_template_quality_update", "message_template_components_update",
    "template_category_update", "template_status_update",
}  # fmt: skip
HISTORY_DECLINED = 2593109
_NUMBER_FIELDS = {"phone_number_quality_update", "phone_number_name_update"}
_STATUS_OF_HISTORY = {
    "READ": "read", "PLAYED": "played", "DELIVERED": "delivered", "SENT": "sent", "PENDING": "pending",
    "ERROR": "failed",
}  # fmt: skip


class WebhookEvent(BaseModel):
    """One item of a webhook body, as `ingest_whatsapp_events` takes it."""

    model_config = ConfigDict(frozen=True)

    event_key: str
    """The same for the same item however often Meta sends it."""
    kind: EventKind
    phone_number_id: str | None = None
    waba_id: str | None = None
    occurred_at: datetime | None = None
    wa_message_id: str | None = None
    target_id: str | None = None
    """Of a reaction, edit or revocation: Meta's id of the message it is about."""
    direction: Literal["in", "out"] | None = None
    """Whether the customer or the business wrote; of everything that is a message or changes one."""
    wa_id: str | None = None
    """The customer's: who wrote, or for what the business wrote, to whom."""
    user_id: str | None = None
    """The customer's business-scoped user id."""
    new_wa_id: str | None = None
    new_user_id: str | None = None
    group_id: str | None = None
    profile_name: str | None = None
    type: str | None = None
    body: str | None = None
    content: dict[str, Any] | None = None
    is_placeholder: bool | None = None
    """Whether the content comes later under the same id."""
    context: dict[str, Any] | None = None
    """What a message came with beside its content: the message it answers, the ad it came from, errors."""
    status: str | None = None
    error_code: int | None = None
    error_text: str | None = None
    outbox_id: UUID | None = None
    """Of a status: the row that the message was sent from, which the send carried as its opaque id."""
    pricing: dict[str, Any] | None = None
    reason: str | None = None
    """Why a malformed item can't be used."""
    raw: Any = None
    """The item in the smallest entry of a body that says all of it: `parse_entry` gives the same item back."""


Outcome = Literal["recorded", "deduped", "orphan", "set_aside"]


class IngestOutcome(Row):
    """What became of one item."""

    outcome: Outcome
    event_id: int | None
    reason: str | None


class IngestAnswer(Row):
    """What `ingest_whatsapp_events` answers: an element of each list per item, in the order of the call."""

    outcomes: list[Outcome]
    event_ids: list[int | None]
    reasons: list[str | None]


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


def parse_entry(entry: Any) -> list[WebhookEvent]:
    """Every item of one entry of a body: what `raw` of an item holds gives this item again."""
    return list(_items_of_entry(entry))


@dataclass(frozen=True)
class _Place:
    """Where an item stands: what it shares with its siblings."""

    entry: dict[str, Any]
    field: str | None
    value: dict[str, Any]
    contacts: list[Any]
    phone_number_id: str | None
    waba_id: str | None

    @property
    def time(self) -> datetime | None:
        return _moment(self.entry.get("time"))

    def raw(self, name: str, items: list[Any], contact: Any = None) -> dict[str, Any]:
        """An entry with nothing but these items."""
        value: dict[str, Any] = {
            key: item for key, item in self.value.items() if key in ("messaging_product", "metadata")
        }
        if contact is not None:
            value["contacts"] = [contact]
        value[name] = items
        return self.entry_of({"value": value})

    def entry_of(self, change: dict[str, Any]) -> dict[str, Any]:
        envelope = {key: item for key, item in self.entry.items() if key in ("id", "time")}
        field = {} if self.field is None else {"field": self.field}
        return {**envelope, "changes": [{**field, **change}]}

    def event(self, kind: EventKind, event_key: str, raw: Any, **more: Any) -> WebhookEvent:
        return WebhookEvent(
            event_key=event_key, kind=kind, phone_number_id=self.phone_number_id, waba_id=self.waba_id, raw=raw, **more
        )

    def malformed(self, item: Any, reason: str, raw: Any) -> WebhookEvent:
        return self.event("malformed", _hash_key("malformed", self.phone_number_id, item), raw, reason=reason)


def _items(payload: dict[str, Any]) -> Iterator[WebhookEvent]:
    entries = payload.get("entry")
    # A body without a list of entries is no webhook; what it is instead is kept like an entry that is none.
    for entry in entries if isinstance(entries, list) else [payload]:
        yield from _items_of_entry(entry)


def _items_of_entry(entry: Any) -> Iterator[WebhookEvent]:
    changes, waba_id = _get(entry, "changes"), _id(_get(entry, "id"))
    if not isinstance(changes, list):
        yield _unusable(entry, "the entry has no list of changes", waba_id)
        return
    for change in changes:
        value = _get(change, "value")
        if not isinstance(change, dict) or not isinstance(value, dict):
            yield WebhookEvent(
                event_key=_hash_key("change", change), kind="other", type=_text(_get(change, "field")), waba_id=waba_id,
                raw={**entry, "changes": [change]},
            )  # fmt: skip
            continue
        place = _Place(
            entry=entry,
            field=_text(change.get("field")),
            value=value,
            contacts=_list(value.get("contacts")),
            phone_number_id=_id(_get(value.get("metadata"), "phone_number_id")),
            # An app that is removed from an account is told so in the name of the business, not of the account.
            waba_id=_id(_get(value.get("waba_info"), "waba_id")) or waba_id,
        )
        yield from _items_of_change(place, change)


def _items_of_change(place: _Place, change: dict[str, Any]) -> Iterator[WebhookEvent]:
    taken: set[str] = set()
    for name, fields, read in _LISTS:
        items = place.value.get(name)
        if isinstance(items, list) and (fields is None or place.field in fields):
            taken.add(name)
            for item in items:
                yield from read(place, item)
    # Whatever none of these is: other fields, unexpected shapes, and what stands beside the lists.
    rest = {name: item for name, item in place.value.items() if name not in taken}
    if not any(place.value[name] for name in taken) or not rest.keys() <= {"messaging_product", "metadata", "contacts"}:
        yield _whole_change(place, change if not taken else {**change, "value": rest})


def _whole_change(place: _Place, change: dict[str, Any]) -> WebhookEvent:
    kind: EventKind = (
        "template" if place.field in _TEMPLATE_FIELDS
        else "account" if place.field == "account_update"
        else "number" if place.field in _NUMBER_FIELDS
        else "other"
    )  # fmt: skip
    # With the entry's time: the same change may come again after another one, and means something then.
    key = _hash_key("change", place.waba_id, _text(place.entry.get("time")), change)
    more: dict[str, Any] = {}
    if kind != "other":
        more = {"content": change["value"], "occurred_at": place.time}
    return place.event(kind, key, place.entry_of(change), type=place.field, **more)


def _message(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    message_id, kind = _text(_get(item, "id")), _text(_get(item, "type"))
    sender, user_id = _person(_get(item, "from"), _get(item, "from_user_id"))
    only = place.contacts[0] if len(place.contacts) == 1 else None
    if sender is None and user_id is None and _get(only, "wa_id") is None:
        # For a person who hides their number the id can be with the contact only.
        user_id = _text(_get(only, "user_id"))
    profile = next((contact for contact in place.contacts if _is_sender(contact, sender, user_id)), None)
    raw = place.raw("messages", [item], profile if profile is not None else only)
    occurred_at = _moment(_get(item, "timestamp"))
    problem = (
        "the message has no id" if message_id is None
        else "the message has no type" if kind is None
        else "the message names no sender" if sender is None and user_id is None and kind != "system"
        else "the message's timestamp can't be read" if occurred_at is None
        else None
    )  # fmt: skip
    if message_id is None or kind is None or problem is not None:
        yield place.malformed(item, problem or "", raw)
        return
    event = partial(
        place.event,
        raw=raw,
        occurred_at=occurred_at,
        wa_message_id=message_id,
        wa_id=sender,
        user_id=user_id,
        group_id=_text(_get(item, "group_id")),
        direction="in",
        type=kind,
    )
    if kind == "system":
        yield _system(place, item, raw, event)
    elif kind in _CHANGES_OF_MESSAGES:
        yield _change_of_message(place, item, raw, event)
    else:
        shown, body, content = _content(item)
        yield event(
            "message",
            _message_key(place, message_id, kind, content),
            type=shown,
            body=body,
            content=content,
            is_placeholder=shown in _PLACEHOLDERS or None,
            context=_context(item),
            profile_name=_text(_get(_get(profile, "profile"), "name")),
        )


def _message_key(place: _Place, message_id: str, kind: str, content: dict[str, Any]) -> str:
    """Placeholder and content share an id and are two items; so do several contact cards sent at once."""
    content_class = "placeholder" if kind in _PLACEHOLDERS else "content"
    if kind == "contacts":
        content_class = _hash_key("contacts", content)
    return _key("message", place.phone_number_id, message_id, content_class)


def _echo(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    """What the business wrote in the WhatsApp app on its phone."""
    message_id, kind = _text(_get(item, "id")), _text(_get(item, "type"))
    recipient, user_id = _person(_get(item, "to"), _get(item, "to_user_id"))
    raw, occurred_at = place.raw("message_echoes", [item]), _moment(_get(item, "timestamp"))
    problem = (
        "the echo has no id" if message_id is None
        else "the echo has no type" if kind is None
        else "the echo names no recipient" if recipient is None and user_id is None and kind not in _CHANGES_OF_MESSAGES
        else "the echo's timestamp can't be read" if occurred_at is None
        else None
    )  # fmt: skip
    if message_id is None or kind is None or problem is not None:
        yield place.malformed(item, problem or "", raw)
        return
    event = partial(
        place.event,
        raw=raw,
        occurred_at=occurred_at,
        wa_message_id=message_id,
        wa_id=recipient,
        user_id=user_id,
        group_id=_text(_get(item, "group_id")),
        direction="out",
        type=kind,
    )
    if kind in _CHANGES_OF_MESSAGES:
        yield _change_of_message(place, item, raw, event)
    else:
        shown, body, content = _content(item)
        key = _key("echo", place.phone_number_id, message_id, "placeholder" if kind in _PLACEHOLDERS else "content")
        yield event(
            "echo",
            key,
            type=shown,
            body=body,
            content=content,
            context=_context(item),
            status="sent",
            is_placeholder=shown in _PLACEHOLDERS or None,
        )


def _change_of_message(
    place: _Place, item: dict[str, Any], raw: Any, event: Callable[..., WebhookEvent]
) -> WebhookEvent:
    kind: Any = item["type"]
    change = _get(item, kind)
    target_id = _text(_get(change, "message_id" if kind == "reaction" else "original_message_id"))
    if target_id is None:
        return place.malformed(item, f"the {kind} names no message", raw)
    key = _key(kind, place.phone_number_id, _text(item["id"]))
    if kind == "reaction":
        # Without an emoji it takes back what the person had given.
        return event("reaction", key, target_id=target_id, body=_text(_get(change, "emoji")))
    if kind == "revoke":
        return event("revoke", key, target_id=target_id)
    edited = _get(change, "message")
    if _text(_get(edited, "type")) is None:
        return place.malformed(item, "the edit has no message", raw)
    shown, body, content = _content(edited)
    return event("edit", key, target_id=target_id, type=shown, body=body, content=content)


def _system(place: _Place, item: dict[str, Any], raw: Any, event: Callable[..., WebhookEvent]) -> WebhookEvent:
    """A person's number or id has changed; everything else of type system is kept."""
    system, key = _get(item, "system"), _key("system", place.phone_number_id, _text(item["id"]))
    body = _text(_get(system, "body"))
    new_wa_id, new_user_id = _person(_get(system, "wa_id") or _get(system, "new_wa_id"), _get(system, "user_id"))
    known: dict[str, Any] = {}
    if new_user_id is not None and body is not None:
        # The old id is said in the text only, at its end; the name before it may hold anything.
        found = re.search(rf" from (\S+) to {re.escape(new_user_id)}$", body)
        if found:
            known = {"user_id": found[1]}
    if new_wa_id is None and new_user_id is None:
        return event("other", key, body=body)
    return event("identity", key, body=body, new_wa_id=new_wa_id, new_user_id=new_user_id, **known)


def _status(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    message_id, status = _text(_get(item, "id")), _text(_get(item, "status"))
    occurred_at, raw = _moment(_get(item, "timestamp")), place.raw("statuses", [item])
    if message_id is None or status is None or occurred_at is None:
        missing = "id" if message_id is None else "status" if status is None else "readable timestamp"
        yield place.malformed(item, f"the status has no {missing}", raw)
        return
    errors = _list(_get(item, "errors"))
    error = errors[0] if errors else None
    pricing = item.get("pricing")
    yield place.event(
        "status" if status in _STATUSES else "other",
        _key("status", place.phone_number_id, message_id, status, _participant(item)),
        raw,
        occurred_at=occurred_at,
        wa_message_id=message_id,
        status=status,
        error_code=_whole_number(_get(error, "code")),
        error_text=_text(_get(error, "title")) or _text(_get(error, "message")),
        outbox_id=_uuid(_get(item, "biz_opaque_callback_data")),
        pricing=pricing if isinstance(pricing, dict) else None,
    )


def _participant(item: dict[str, Any]) -> str | None:
    """Each participant of a group has statuses of their own."""
    return _text(item.get("recipient_participant_id")) or _text(item.get("recipient_participant_user_id"))


def _call(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    """Only a call that the customer makes says something about the customer; all are kept."""
    call_id, event = _text(_get(item, "id")), _text(_get(item, "event"))
    only = place.contacts[0] if len(place.contacts) == 1 else None
    caller, user_id = _person(_get(item, "from"), _get(item, "from_user_id"))
    occurred_at = _moment(_get(item, "timestamp"))
    raw = place.raw("calls", [item], only)
    incoming = _get(item, "direction") == "USER_INITIATED" and event in ("connect", "terminate")
    usable = call_id is not None and occurred_at is not None and (caller or user_id)
    yield place.event(
        "call" if incoming and usable else "other",
        _key("call", place.phone_number_id, call_id, event) if call_id else _hash_key("call", item),
        raw,
        occurred_at=occurred_at,
        wa_message_id=call_id,
        wa_id=caller,
        user_id=user_id,
        direction="in",
        type="call",
        is_placeholder=event == "connect" or None,
        # Not the session: it is of use to the one who picks up, and to nobody later.
        content={name: value for name, value in item.items() if name != "session"} if isinstance(item, dict) else None,
        profile_name=_text(_get(_get(only, "profile"), "name")) if _is_sender(only, caller, user_id) else None,
    )


def _call_status(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    yield place.event("other", _hash_key("call_status", place.phone_number_id, item), place.raw("statuses", [item]),
                      type="call_status")  # fmt: skip


def _history_chunk(place: _Place, chunk: Any) -> Iterator[WebhookEvent]:
    """Messages from before the number was connected, and how far their transfer is."""
    threads, errors = _get(chunk, "threads"), _get(chunk, "errors")
    if isinstance(errors, list) and errors:
        for error in errors:
            yield _error(place, error, place.raw("history", [{"errors": [error]}]))
        chunk = {name: item for name, item in chunk.items() if name != "errors"}
        if not chunk:
            return
    head = {name: item for name, item in chunk.items() if name != "threads"} if isinstance(threads, list) else chunk
    if head or not threads:
        progress = _whole_number(_get(_get(chunk, "metadata"), "progress"))
        yield place.event(
            "history_sync" if progress is not None else "other",
            _hash_key("history_sync", place.phone_number_id, head),
            place.raw("history", [head]),
            type="history",
            content={"progress": progress},
        )
    for thread in _list(threads):
        messages = _get(thread, "messages")
        if not isinstance(messages, list):
            yield place.malformed(thread, "the thread has no messages", place.raw("history", [{"threads": [thread]}]))
            continue
        for item in messages:
            raw = place.raw("history", [{"threads": [{**thread, "messages": [item]}]}])
            yield _history_message(place, thread.get("id"), item, raw)


def _history_message(place: _Place, thread_id: Any, item: Any, raw: Any) -> WebhookEvent:
    message_id, kind = _text(_get(item, "id")), _text(_get(item, "type"))
    customer, user_id = _person(thread_id, None)
    sender, sender_id = _person(_get(item, "from"), _get(item, "from_user_id"))
    occurred_at = _moment(_get(item, "timestamp"))
    problem = (
        "the message has no id" if message_id is None
        else "the message has no type" if kind is None
        else "the thread names no customer" if customer is None and user_id is None
        else "the message's timestamp can't be read" if occurred_at is None
        else None
    )  # fmt: skip
    if message_id is None or kind is None or problem is not None:
        return place.malformed(item, problem or "", raw)
    incoming = (sender or sender_id) == (customer or user_id) or (user_id is not None and sender_id == user_id)
    event = partial(
        place.event,
        raw=raw,
        occurred_at=occurred_at,
        wa_message_id=message_id,
        wa_id=customer,
        user_id=user_id,
        direction="in" if incoming else "out",
        type=kind,
    )
    if kind in _CHANGES_OF_MESSAGES:
        return _change_of_message(place, item, raw, event)
    shown, body, content = _content(item)
    status = _STATUS_OF_HISTORY.get((_text(_get(_get(item, "history_context"), "status")) or "").upper(), "sent")
    return event(
        "history",
        _key("history", place.phone_number_id, message_id, "placeholder" if kind in _PLACEHOLDERS else "content"),
        type=shown,
        body=body,
        content=content,
        is_placeholder=shown in _PLACEHOLDERS or None,
        context=_context(item),
        status=None if incoming else status,
    )


def _history_media(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    """What a media placeholder of the history stands for: it comes beside the threads, and later."""
    own = "".join(filter(str.isdecimal, _text(_get(place.value.get("metadata"), "display_phone_number")) or ""))
    sender, sender_id = _person(_get(item, "from"), _get(item, "from_user_id"))
    if sender is not None and sender == own:
        sender, sender_id = _person(_get(item, "to"), _get(item, "to_user_id"))
    yield _history_message(place, sender or sender_id, item, place.raw("messages", [item]))


def _address_book_entry(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    """A contact of the phone's address book was added, changed or removed."""
    contact, raw = _get(item, "contact"), place.raw("state_sync", [item])
    wa_id, user_id = _person(_get(contact, "phone_number"), _get(contact, "user_id"))
    known = _get(item, "type") == "contact" and (wa_id or user_id)
    yield place.event(
        "address_book" if known else "other",
        _hash_key("state_sync", place.phone_number_id, item),
        raw,
        type=_text(_get(item, "action")),
        occurred_at=_moment(_get(_get(item, "metadata"), "timestamp")),
        wa_id=wa_id,
        user_id=user_id,
        profile_name=_text(_get(contact, "full_name")) or _text(_get(contact, "first_name")),
    )


def _user_id_update(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    change = _get(item, "user_id")
    wa_id, user_id = _person(_get(item, "wa_id"), _get(change, "previous"))
    current = _text(_get(change, "current"))
    yield place.event(
        "identity" if current and (wa_id or user_id) else "other",
        _hash_key("user_id_update", place.phone_number_id, item),
        place.raw("user_id_update", [item]),
        type="user_id_update",
        occurred_at=_moment(_get(item, "timestamp")),
        wa_id=wa_id,
        user_id=user_id,
        new_user_id=current,
    )


def _preference(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    """What a person wants to be sent: whether marketing messages may come."""
    wa_id, user_id = _person(_get(item, "wa_id"), _get(item, "user_id"))
    known = _get(item, "category") == "marketing_messages" and isinstance(_get(item, "value"), str)
    yield place.event(
        "preference" if known and (wa_id or user_id) else "other",
        _hash_key("preference", place.phone_number_id, item),
        place.raw("user_preferences", [item]),
        type=_text(_get(item, "value")),
        occurred_at=_moment(_get(item, "timestamp")),
        wa_id=wa_id,
        user_id=user_id,
    )


def _errors(place: _Place, item: Any) -> Iterator[WebhookEvent]:
    yield _error(place, item, place.raw("errors", [item]))


def _error(place: _Place, item: Any, raw: Any) -> WebhookEvent:
    """Trouble that concerns no single message."""
    code = _whole_number(_get(item, "code"))
    # The business doesn't want to share what was said before; every other error leaves that open.
    declined = place.field == "history" and code == HISTORY_DECLINED
    return place.event(
        "history_sync" if declined else "error",
        _hash_key("error", place.phone_number_id, _text(place.entry.get("time")), item),
        raw,
        type=place.field,
        error_code=code,
        error_text=_text(_get(item, "title")) or _text(_get(item, "message")),
        content={"declined": True} if declined else None,
    )


# Lists within a change, the fields in which they are understood (None: in any), and how each item is read.
_LISTS: tuple[tuple[str, set[str] | None, Callable[[_Place, Any], Iterator[WebhookEvent]]], ...] = (
    ("messages", {"messages"}, _message),
    ("messages", {"history"}, _history_media),
    ("statuses", {"messages"}, _status),
    ("statuses", {"calls"}, _call_status),
    ("message_echoes", None, _echo),
    ("history", None, _history_chunk),
    ("calls", None, _call),
    ("state_sync", None, _address_book_entry),
    ("user_id_update", None, _user_id_update),
    ("user_preferences", None, _preference),
    ("errors", None, _errors),
)


def _person(number: Any, user_id: Any) -> tuple[str | None, str | None]:
    """A person's WhatsApp id and business-scoped id; who hides their number can come with the second in its place."""
    wa_id, scoped = _text(number), _text(user_id)
    digits = wa_id.removeprefix("+") if wa_id is not None else None
    if digits is not None and not (digits.isascii() and digits.isdecimal()):
        return None, scoped or wa_id
    return digits, scoped


def _is_sender(contact: Any, wa_id: str | None, user_id: str | None) -> bool:
    return (wa_id is not None and _text(_get(contact, "wa_id")) == wa_id) or (
        user_id is not None and _text(_get(contact, "user_id")) == user_id
    )


def _content(item: Any) -> tuple[str, str | None, dict[str, Any]]:
    """A message's type, what a list shows of it, and its content as an object."""
    kind = _text(_get(item, "type")) or ""
    content = _get(item, kind)
    if kind == "unknown" and _list(_get(item, "errors")):
        kind = "unsupported"  # its name in older versions
    return (
        kind,
        _shown_text(content),
        content if isinstance(content, dict) else {} if content is None else {kind: content},
    )


def _shown_text(content: Any) -> str | None:
    """The text, the caption, or the choice that was made."""
    if isinstance(content, list):  # contact cards
        content = _get(content[0] if content else None, "name")
    # Most messages are text: nothing else is looked for in those.
    if isinstance(body := _get(content, "body"), str) and body:
        return body
    chosen = _get(content, "button_reply") or _get(content, "list_reply")
    candidates = (
        _get(content, "caption"), _get(content, "text"), _get(chosen, "title"), _get(content, "name"),
        _get(content, "formatted_name"), _get(content, "filename"), _get(content, "address"),
        _get(_get(content, "nfm_reply"), "body"), _get(_get(content, "call_permission_reply"), "response"),
    )  # fmt: skip
    return next((text for text in candidates if isinstance(text, str) and text), None)


def _context(item: dict[str, Any]) -> dict[str, Any] | None:
    answered = item.get("context")
    beside = {name: item[name] for name in ("referral", "errors") if item.get(name)}
    return {**(answered if isinstance(answered, dict) else {}), **beside} or None


def _unusable(item: Any, reason: str, waba_id: str | None = None) -> WebhookEvent:
    return WebhookEvent(
        event_key=_hash_key("malformed", item), kind="malformed", reason=reason, raw=item, waba_id=waba_id
    )


def _key(*parts: str | None) -> str:
    key = ":".join(part or "" for part in parts)
    return key if len(key) <= KEY_LIMIT else f"{parts[0]}:{hashlib.sha256(key.encode()).hexdigest()}"


def _hash_key(kind: str, *parts: Any) -> str:
    return f"{kind}:{hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()}"


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


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value) if isinstance(value, str) and len(value) == 36 else None
    except ValueError:
        return None


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
