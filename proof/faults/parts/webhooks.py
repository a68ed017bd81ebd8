"""What comes in from Meta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

from proof.faults.office import Office, Part, differences
from qero.local import graph
from qero.models.webhook import parse_body
from tests.support import APP_SECRET, digits

CUSTOMERS = 150
WEBHOOK = "/api/webhooks/meta/whatsapp"


class Meta(Part):
    """Customers write to two numbers and to one that nobody has connected; statuses come for everything sent."""

    name = "webhooks"
    per_second = 12.0
    at_once = 40

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self.customers = [f"+{digits(11)}" for _ in range(CUSTOMERS)]
        self.texts: dict[str, tuple[str, str, str]] = {}
        """Of each text that was answered 200, by Meta's id: number, sender and body."""
        self._keys: dict[str, str] = {}
        """Of each item that was answered 200, by its key: what has to become of it."""
        self._bodies: list[bytes] = []
        self._told = 0
        self._answered_statuses: set[str] = set()

    async def prepare(self) -> None:
        greetings = [
            self._text(number.at_meta, customer) for number in self.office.numbers for customer in self.customers
        ]
        for start in range(0, len(greetings), 100):
            await self._deliver(greetings[start : start + 100])

    async def step(self) -> None:
        chance = self.office.chance
        if self._bodies and chance.random() < 0.1:
            # Meta repeats itself, after days too.
            await self._post(chance.choice(self._bodies))
            return
        webhooks = [self._text(self._number(), self._sender()) for _ in range(chance.randint(1, 5))]
        if chance.random() < 0.05:
            broken = self._text(self.office.numbers[0].at_meta, self.customers[0])
            del broken["entry"][0]["changes"][0]["value"]["messages"][0]["from"]
            webhooks.append(broken)
        await self._deliver([*webhooks, *self._statuses()])

    async def finish(self) -> None:
        """Statuses of what was sent since, until there is nothing new; and the last number is connected."""
        while statuses := self._statuses():
            await self._deliver(statuses)

    async def connect_the_last(self) -> None:
        world, at_meta = self.office.world, self.office.unconnected
        await world.number(
            self.office.workspace, phone_number_id=at_meta.phone_number_id, waba_id=at_meta.waba_id
        )  # fmt: skip

    def _number(self) -> graph.Number:
        if self.office.chance.random() < 0.02:
            number: graph.Number = self.office.unconnected
            return number
        return self.office.chance.choice(self.office.numbers).at_meta

    def _sender(self) -> str:
        chance = self.office.chance
        if self.office.lead_phones and chance.random() < 0.03:
            return chance.choice(self.office.lead_phones)
        if chance.random() < 0.1:
            self.customers.append(f"+{digits(11)}")
        return chance.choice(self.customers)

    def _text(self, number: graph.Number, sender: str) -> dict[str, Any]:
        return graph.text_webhook(number, sender, f"A question ({uuid4().hex[:12]})", wamid=graph.new_wamid())

    def _statuses(self) -> list[dict[str, Any]]:
        """Of what Meta has accepted since the last time, in any order."""
        sent = self.office.graph.sent[self._told : self._told + 20]
        self._told += len(sent)
        webhooks = [
            graph.status_webhook(message, status) for message in sent for status in ("sent", "delivered", "read")
        ]  # fmt: skip
        self.office.chance.shuffle(webhooks)
        return webhooks

    async def _deliver(self, webhooks: Iterable[dict[str, Any]]) -> None:
        """Deliver them as one request, however often it takes."""
        body = graph.encode(graph.batch(*webhooks))
        outcomes = await self._post(body)
        events = parse_body(body)
        if sum(outcomes.values()) != len(events):
            self.office.blame(f"of {len(events)} items the answer counted {outcomes}")
        for event in events:
            expected = "set_aside" if event.kind == "malformed" else "applied"
            self._keys[str(event.event_key)] = expected
            if event.kind == "message" and event.wa_message_id is not None:
                self.texts[event.wa_message_id] = (
                    str(event.phone_number_id), f"+{event.wa_id}", str(event.body)
                )  # fmt: skip
            if event.kind == "status" and event.wa_message_id is not None:
                self._answered_statuses.add(event.wa_message_id)
        self._bodies.append(body)
        self.office.counts["webhook items accepted"] += len(events)

    async def _post(self, body: bytes) -> dict[str, int]:
        headers = {"x-hub-signature-256": graph.sign(body, APP_SECRET), "content-type": "application/json"}
        answer = await self.office.request("POST", WEBHOOK, content=body, headers=headers)
        self.office.counts["webhooks answered"] += 1
        if answer.status_code != 200:
            raise RuntimeError(f"a webhook was answered {answer.status_code}: {answer.text[:300]}")
        found: dict[str, int] = answer.json()
        return found

    async def judge(self) -> dict[str, list[str]]:
        workspace_id = self.office.workspace.id
        stored = dict(
            await self.office.rows(
                "select event_key, case when status = 'kept' then 'applied' else status end"
                " from meta_webhook_events where workspace_id = %s",
                workspace_id,
            )
        )
        messages = await self.office.rows(
            """
            select message.wa_message_id, number.phone_number_id, contact.phone, message.body
            from wa_messages as message
            join wa_threads as thread on thread.id = message.thread_id
            join contacts as contact on contact.id = thread.contact_id
            join wa_phone_numbers as number on number.id = message.connection_id
            where message.workspace_id = %s and message.direction = 'in'
            """,
            workspace_id,
        )
        found = {row[0]: row[1:] for row in messages}
        shown = dict(
            await self.office.rows(
                "select wa_message_id, status from wa_messages where workspace_id = %s and direction = 'out'"
                " and wa_message_id is not null",
                workspace_id,
            )
        )
        waiting = await self.office.scalar("select count(*) from orphan_webhook_events where processed_at is null")
        senders = {sender for _, sender, _ in self.texts.values()}
        people = await self.office.scalar(
            "select count(*) from contacts where phone = any(%s) and deleted_at is null", [*senders]
        )
        return {
            "every accepted item is applied once": differences("item", self._keys, stored),
            "every text is a message, in the right thread, once": [
                *differences("text", self.texts, found),
                *([f"{len(messages)} rows of {len(found)} texts"] if len(messages) != len(found) else []),
            ],
            "statuses show": [
                f"message {wamid} shows {shown[wamid]}"
                for wamid in self._answered_statuses & shown.keys()
                if shown[wamid] != "read"
            ],
            "no orphans wait": [f"{waiting} wait"] if waiting else [],
            "every customer is one contact": [f"{len(senders)} senders, {people} contacts"]
            if people != len(senders)
            else [],
        }
