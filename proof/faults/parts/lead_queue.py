"""The lead queue."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from proof.faults.office import Office, Part
from qero import ContactPatch, Contacts, LeadQueue, Leads, QeroError, QueueSettingsPatch
from qero.models.lead import Takeover
from tests.support import digits


class Automation(Part):
    """Leads come, are prepared and started; some are taken over, and some are of customers who write."""

    name = "lead queue"
    per_second = 0.5
    at_once = 2

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self._queue = LeadQueue(office.people["olga"])
        self._leads: list[UUID] = []
        self._taken: dict[UUID, tuple[datetime, Takeover]] = {}

    async def prepare(self) -> None:
        template = {"name": "spring_offer", "language": {"code": "en"}}
        await self._queue.settings(
            self.office.workspace.id,
            QueueSettingsPatch.model_validate(
                {"steps": [{"template": template}], "daily_capacity": 10_000, "sends_from": "00:00",
                 "sends_until": "23:59:59.999999", "timezone": "UTC"}
            ),
        )  # fmt: skip

    async def step(self) -> None:
        office = self.office
        olga = office.people["olga"]
        contacts = [await self._new_contact(f"+4930{digits(7)}") for _ in range(4)]
        leads = await office.insist(lambda: Leads(olga).create(office.workspace.id, contacts))
        self._leads += [lead.id for lead in leads]  # type: ignore[union-attr]
        await self._go_on()
        if self._leads and office.chance.random() < 0.5:
            await self._take(office.chance.choice(self._leads))
        office.counts["leads"] += len(contacts)

    async def _new_contact(self, phone: str) -> UUID:
        contacts = Contacts(self.office.people["olga"])
        fields = ContactPatch(name="A lead", phone=phone)
        # Not idempotent: if the answer was lost, the repetition says whose the number is already.
        made = await self.office.insist(
            lambda: contacts.create(self.office.workspace.id, fields), expected=("contact_exists",)
        )
        self.office.lead_phones.append(phone)
        return UUID(made.detail["contact_id"]) if isinstance(made, QeroError) else made.id

    async def _go_on(self) -> None:
        workspace_id, today = self.office.workspace.id, datetime.now(UTC).date()
        await self.office.insist(lambda: self._queue.prepare(workspace_id, day=today))
        await self.office.insist(lambda: self._queue.start(workspace_id))

    async def _take(self, lead_id: UUID) -> None:
        bob = Leads(self.office.people["bob"])
        takeover = await self.office.insist(lambda: bob.take(lead_id, "They called."), expected=("lead_taken",))
        if isinstance(takeover, Takeover) and lead_id not in self._taken:
            self._taken[lead_id] = (datetime.now(UTC), takeover)
            self.office.counts["leads taken over"] += 1

    async def finish(self) -> None:
        await self._go_on()

    async def judge(self) -> dict[str, list[str]]:
        workspace_id = self.office.workspace.id
        rows = await self.office.rows(
            """
            select message.id, message.status, outbox.status, message.lead_id, outbox.id
            from whatsapp_message_queue as message left join outbox_messages as outbox on outbox.id = message.outbox_id
            where message.workspace_id = %s
            """,
            workspace_id,
        )
        follows = {"sent": "sent", "failed": "failed", "dead": "failed", "cancelled": "cancelled", "unknown": "sending"}
        outbox_of = {(lead_id, str(outbox_id)) for _, _, _, lead_id, outbox_id in rows}
        ledger = await self.office.rows(
            """
            select id, from_status, lag(to_status) over (partition by queue, coalesce(queue_id, lead_id) order by id)
            from queue_ledger where workspace_id = %s and from_status is distinct from to_status
            """,
            workspace_id,
        )
        late = [
            f"lead {lead_id}: {message.opaque_id} left {message.sent_at - at} after the takeover"
            for lead_id, (at, takeover) in self._taken.items()
            for message in self.office.graph.sent
            if message.sent_at > at and (lead_id, message.opaque_id) in outbox_of
            and message.opaque_id not in {str(handed.outbox_id) for handed in takeover.handed_over}
        ]  # fmt: skip
        return {
            "the queue follows the outbox": [
                f"{id_} is {status}, and its message {outbox}"
                for id_, status, outbox, *_ in rows
                if status != (follows.get(outbox) if outbox else status) or (outbox is None and status == "sending")
            ],
            "nothing of automation's leaves after a takeover": late,
            "each transition follows the one before": [
                f"ledger {id_}: from {came_from}, after {before}"
                for id_, came_from, before in ledger
                if before is not None and came_from != before
            ],
        }
