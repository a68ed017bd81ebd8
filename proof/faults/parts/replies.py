"""What goes out to customers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from uuid import UUID, uuid4

from bench.crashes import FAULTS
from proof.faults.office import Office, Part, differences
from qero import Threads
from qero.local import graph


class Replies(Part):
    """The team answers; workers send. Now and then Meta hides what became of a message."""

    name = "replies"
    per_second = 8.0

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self._threads: dict[UUID, tuple[str, str]] = {}
        """By thread: its number, and its customer's phone."""
        self._answered: dict[str, tuple[UUID, UUID, str]] = {}
        """By key: the outbox message, the thread and the text."""

    async def prepare(self) -> None:
        rows = await self.office.rows(
            """
            select thread.id, number.phone_number_id, contact.phone
            from wa_threads as thread join contacts as contact on contact.id = thread.contact_id
            join wa_phone_numbers as number on number.id = thread.connection_id
            where thread.workspace_id = %s
            """,
            self.office.workspace.id,
        )
        self._threads = {thread_id: (number, phone) for thread_id, number, phone in rows}

    async def step(self) -> None:
        chance = self.office.chance
        if chance.random() < 0.04:
            self.office.graph.next_answer(chance.choice(FAULTS), times=chance.randint(1, 3))
            self.office.counts["answers of Meta's hidden, garbled or refused"] += 1
        thread_id, key = chance.choice([*self._threads]), f"reply:{uuid4()}"
        body = f"An answer ({key[-12:]})"
        user = self.office.people[chance.choice(["olga", "bob"])]
        if chance.random() < 0.5:
            message = await self.office.insist(lambda: Threads(user).send_text(thread_id, body, idempotency_key=key))
            outbox_id = message.outbox_id  # type: ignore[union-attr]
        else:
            answer = await self.office.request(
                "POST", "/api/meta/whatsapp/send-text",
                headers={"authorization": f"Bearer {user.access_token}"},
                json={"thread_id": str(thread_id), "body": body, "idempotency_key": key},
            )  # fmt: skip
            if answer.status_code != 202:
                raise RuntimeError(f"a reply was answered {answer.status_code}: {answer.text[:300]}")
            outbox_id = UUID(answer.json()["outbox_id"])
        assert outbox_id is not None
        self._answered[key] = (outbox_id, thread_id, body)
        self.office.counts["replies queued"] += 1

    async def judge(self) -> dict[str, list[str]]:
        sent = self.office.graph.sent
        got = Counter(message.opaque_id for message in sent)
        rows = await self.office.rows(
            """
            select idempotency_key, id, status, error_code, sequence, payload -> 'text' ->> 'body', thread_id
            from outbox_messages where workspace_id = %s and channel = 'whatsapp'
            """,
            self.office.workspace.id,
        )
        found = {key: (id_, thread_id, body) for key, id_, _, _, _, body, thread_id in rows if key in self._answered}
        states = Counter(status for _, _, status, *_ in rows)
        self.office.counts.update({f"messages {status}": count for status, count in states.items()})
        self.office.counts["messages that Meta got"] = len(sent)
        places = {str(id_): (thread_id, sequence) for _, id_, _, _, sequence, _, thread_id in rows}
        return {
            "every queued message is kept": differences("message", self._answered, found),
            "every message ends in a state": [
                f"{id_} is {status}" for _, id_, status, *_ in rows if status in ("queued", "processing")
            ],
            "sent once": [
                f"{id_} is {status}, and Meta got it {got[str(id_)]} times"
                for _, id_, status, *_ in rows
                if got[str(id_)] != (status == "sent")
            ],
            "what isn't sent says why": [
                f"{id_} is {status}"
                for _, id_, status, code, *_ in rows
                if status in ("failed", "dead", "unknown") and not code
            ],
            "by the right number to the right person": [
                f"{message.opaque_id} went to {message.to} by {message.phone_number_id}"
                for message in sent
                if (place := places.get(str(message.opaque_id))) and place[0] in self._threads
                and self._threads[place[0]] != (message.phone_number_id, message.to)
            ],
            "in order within a thread": list(_overtaken(sent, places)),
        }  # fmt: skip


def _overtaken(sent: list[graph.SentMessage], places: dict[str, tuple[UUID, int]]) -> Iterable[str]:
    latest: dict[UUID, int] = {}
    for message in sent:
        if (place := places.get(str(message.opaque_id))) is None:
            yield f"Meta got a message that the outbox doesn't know: {message.opaque_id}"
        elif place[0] is not None:
            if place[1] < latest.get(place[0], 0):
                yield f"{message.opaque_id} came after a later one of its thread"
            latest[place[0]] = place[1]
