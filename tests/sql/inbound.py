"""Webhook bodies as Meta writes them, one item each, for what one number can receive."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
from psycopg.types.json import Jsonb

from qero.local.graph import Number, batch, encode
from qero.models.webhook import parse_body
from tests.support import World

Webhook = dict[str, Any]
# An hour ago: within the 24-hour window, and never ahead of the database's clock.
START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)


def moment(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def timestamp(seconds: float) -> str:
    return str(int(moment(seconds).timestamp()))


def wamid() -> str:
    return f"wamid.{uuid4().hex}"


@dataclass(frozen=True)
class Meta:
    """What Meta says about one number; times are seconds after START."""

    number: Number

    def webhook(self, field: str, *, time: float | None = None, bare: bool = False, **value: Any) -> Webhook:
        metadata = {
            "display_phone_number": self.number.display_phone_number,
            "phone_number_id": self.number.phone_number_id,
        }
        envelope = {} if bare else {"messaging_product": "whatsapp", "metadata": metadata}
        entry: dict[str, Any] = {"id": self.number.waba_id}
        if time is not None:
            entry["time"] = int(timestamp(time))
        entry["changes"] = [{"field": field, "value": {**envelope, **value}}]
        return {"object": "whatsapp_business_account", "entry": [entry]}

    def message(
        self, sender: str | None, at: float, *, id: str | None = None, user_id: str | None = None,
        name: str | None = None, **item: Any,
    ) -> Webhook:  # fmt: skip
        """What a person sends; a text unless it says otherwise."""
        contacts: dict[str, Any] = {}
        if name is not None:
            person = {key: value for key, value in (("wa_id", sender), ("user_id", user_id)) if value is not None}
            contacts = {"contacts": [{"profile": {"name": name}, **person}]}
        return self.webhook("messages", **contacts, messages=[self._item("from", sender, user_id, at, id, item)])

    def placeholder(self, sender: str, at: float, id: str) -> Webhook:
        errors = [{"code": 131060, "title": "This message is currently unavailable."}]
        return self.message(sender, at, id=id, type="unsupported", errors=errors)

    def reaction(self, sender: str, at: float, target: str, emoji: str | None, **more: Any) -> Webhook:
        return self.message(sender, at, type="reaction", reaction=_reaction(target, emoji), **more)

    def edit(self, sender: str, at: float, target: str, body: str, **more: Any) -> Webhook:
        return self.message(sender, at, type="edit", edit=_edit(target, body), **more)

    def revoke(self, sender: str, at: float, target: str, **more: Any) -> Webhook:
        return self.message(sender, at, type="revoke", revoke={"original_message_id": target}, **more)

    def echo(
        self, recipient: str | None, at: float, *, id: str | None = None, user_id: str | None = None, **item: Any
    ) -> Webhook:
        """What the business writes on its phone."""
        whole = {"from": self.number.display_phone_number, **self._item("to", recipient, user_id, at, id, item)}
        return self.webhook("smb_message_echoes", message_echoes=[whole])

    def status(self, id: str, status: str, at: float, **item: Any) -> Webhook:
        return self.webhook(
            "messages", statuses=[{"id": id, "status": status, "timestamp": timestamp(at), "recipient_id": "1", **item}]
        )

    def history(
        self, customer: str, at: float, *, id: str | None = None, ours: str | None = None, **item: Any
    ) -> Webhook:
        """A message from before the number was connected; `ours` is the status of one that the business wrote."""
        whole = self._item("from", self.number.display_phone_number if ours else customer, None, at, id, item)
        whole["history_context"] = {"status": ours or "READ"}
        return self.webhook("history", history=[{"threads": [{"id": customer, "messages": [whole]}]}])

    def history_progress(self, progress: int) -> Webhook:
        metadata = {"phase": 0, "chunk_order": 1, "progress": progress}
        return self.webhook("history", history=[{"metadata": metadata, "threads": []}])

    def call(self, caller: str, at: float, event: str, id: str, **item: Any) -> Webhook:
        whole = {"id": id, "from": caller, "event": event, "timestamp": timestamp(at), "direction": "USER_INITIATED"}
        return self.webhook("calls", calls=[{**whole, **item}])

    def new_number(self, old: str, new: str, at: float) -> Webhook:
        system = {"type": "user_changed_number", "body": f"Ada changed from {old} to {new}", "wa_id": new}
        return self.message(old, at, type="system", system=system)

    def new_user_id(self, old: str, new: str, at: float, *, wa_id: str | None = None) -> Webhook:
        item = {"user_id": {"previous": old, "current": new}, "timestamp": timestamp(at)}
        return self.webhook("user_id_update", user_id_update=[item | ({"wa_id": wa_id} if wa_id else {})])

    def preference(self, person: str, at: float, value: str) -> Webhook:
        item = {"wa_id": person, "category": "marketing_messages", "value": value, "timestamp": timestamp(at)}
        return self.webhook("user_preferences", user_preferences=[item])

    def address_book(self, person: str, name: str | None, *, action: str = "add") -> Webhook:
        contact = {"phone_number": person} | ({"full_name": name} if name else {})
        item = {"type": "contact", "action": action, "contact": contact, "metadata": {"timestamp": timestamp(0)}}
        return self.webhook("smb_app_state_sync", state_sync=[item])

    def template(self, at: float, field: str = "message_template_status_update", **value: Any) -> Webhook:
        named = {
            "message_template_id": 17, "message_template_name": "hello", "message_template_language": "en_GB", **value,
        }  # fmt: skip
        return self.webhook(field, time=at, bare=True, **named)

    def account(self, at: float, event: str, field: str = "account_update", **value: Any) -> Webhook:
        return self.webhook(field, time=at, bare=True, event=event, **value)

    def _item(
        self, key: str, person: str | None, user_id: str | None, at: float, id: str | None, item: dict[str, Any]
    ) -> dict[str, Any]:
        who = {name: value for name, value in ((key, person), (f"{key}_user_id", user_id)) if value is not None}
        what = item if "type" in item else {"type": "text", "text": {"body": "Hello"}, **item}
        return {**who, "id": id or wamid(), "timestamp": timestamp(at), **what}


def text(body: str) -> dict[str, Any]:
    return {"type": "text", "text": {"body": body}}


def _reaction(target: str, emoji: str | None) -> dict[str, Any]:
    return {"message_id": target} | ({} if emoji is None else {"emoji": emoji})


def _edit(target: str, body: str) -> dict[str, Any]:
    return {"original_message_id": target, "message": text(body)}


def events(*webhooks: Webhook) -> Jsonb:
    return Jsonb([event.model_dump(mode="json", exclude_none=True) for event in parse_body(encode(batch(*webhooks)))])


async def writers(world: World, queues: Sequence[Sequence[Jsonb]]) -> list[str]:
    """Each queue on a connection of its own, call by call, all at once; every outcome."""

    async def write(queue: Sequence[Jsonb]) -> list[str]:
        outcomes: list[str] = []
        async with await psycopg.AsyncConnection.connect(
            world.settings.require("db_url"), autocommit=True
        ) as connection:
            for call in queue:
                [[answer]] = await (await connection.execute("select ingest_whatsapp_events(%s)", [call])).fetchall()
                outcomes += answer["outcomes"]
        return outcomes

    return [outcome for outcomes in await asyncio.gather(*map(write, queues)) for outcome in outcomes]
