"""A conversation ends the same in whatever order, batches and copies Meta tells it, to however many listeners."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from qero.local.graph import batch
from tests.sql.inbound import Meta, Webhook, events, text, writers
from tests.support import Number, World


@pytest.fixture
def world(people: World) -> World:
    return people


@dataclass(frozen=True)
class Person:
    """Meta names a person by some of their ids each time, but never by ids of which nothing says that they belong
    together: those are two people until something says it."""

    names: tuple[dict[str, str], ...]
    profile: str | None = None


ADA = Person(({"sender": "447700900001"},), "Ada")
BOTH = Person(({"sender": "447700900002", "user_id": "GB.2"}, {"sender": "447700900002"}), "Bob")
SHY = Person(({"sender": "447700900003", "user_id": "GB.3"}, {"user_id": "GB.3"}), "Cy")
HIDDEN = Person(({"user_id": "GB.4"},), "Di")
NAMELESS = Person(({"sender": "447700900005"},))
BRAZILIAN = Person(({"sender": "5511987654321"}, {"sender": "551187654321"}), "Edu")
PEOPLE = (ADA, BOTH, SHY, HIDDEN, NAMELESS, BRAZILIAN)
ONLY_IN_THE_ADDRESS_BOOK = "447700900009"


class Story:
    """Tells one number's conversations; each thing in a second of its own, with ids that the seed decides."""

    def __init__(self, meta: Meta, chance: random.Random, *, moving: bool) -> None:
        self.meta = meta
        self.chance = chance
        self.at = 0
        self.told: list[Webhook] = []
        for _ in range(40):
            happens = chance.choice([
                self.message, self.message, self.placeholder, self.cards, self.echo, self.echo, self.history, self.call,
                self.group, self.preference,
            ])  # fmt: skip
            happens(chance.choice(PEOPLE))
        self.told.append(meta.address_book(ONLY_IN_THE_ADDRESS_BOOK, "In the book"))
        self.told += [meta.history_progress(progress) for progress in (0, 50, 100)]
        self.told += [meta.template(self.now(), event=event) for event in ("PENDING", "REJECTED", "APPROVED")]
        self.told.append(meta.status("wamid.Unknown", "read", self.now()))
        self.told.append(meta.edit("447700900001", self.now(), "wamid.Unknown", "x", id=self.id()))
        if moving:
            self.move()

    def now(self) -> int:
        self.at += 1
        return self.at

    def id(self) -> str:
        return f"wamid.{self.chance.getrandbits(64):016x}"

    def by(self, person: Person) -> dict[str, Any]:
        ids = self.chance.choice(person.names)
        name = person.profile if self.chance.random() < 0.7 else None
        return {"sender": ids.get("sender"), "user_id": ids.get("user_id"), "name": name}

    def to(self, person: Person) -> dict[str, Any]:
        ids = self.chance.choice(person.names)
        return {"recipient": ids.get("sender"), "user_id": ids.get("user_id")}

    def tell(self, webhook: Webhook) -> None:
        self.told.append(webhook)

    def message(self, person: Person) -> None:
        id = self.id()
        self.tell(self.meta.message(**self.by(person), at=self.now(), id=id, **text(f"message {self.at}")))
        self.changes(id, person)

    def placeholder(self, person: Person) -> None:
        id, at = self.id(), self.now()
        errors = [{"code": 131060, "title": "Unavailable"}]
        self.tell(self.meta.message(**self.by(person), at=at, id=id, type="unsupported", errors=errors))
        if self.chance.random() < 0.8:
            self.tell(self.meta.message(**self.by(person), at=at, id=id, **text(f"content {at}")))
        self.changes(id, person)

    def cards(self, person: Person) -> None:
        id, at = self.id(), self.now()
        for name in ("Zoe", "Bob", "Cy"):
            card = {"name": {"formatted_name": name}}
            self.tell(self.meta.message(**self.by(person), at=at, id=id, type="contacts", contacts=[card]))

    def echo(self, person: Person) -> None:
        id = self.id()
        self.tell(self.meta.echo(**self.to(person), at=self.now(), id=id, **text(f"echo {self.at}")))
        self.changes(id, person)
        self.statuses(id)

    def history(self, person: Person) -> None:
        customer = person.names[0].get("sender")
        if customer is None or person is SHY:
            return
        id, at = self.id(), self.now()
        ours = self.chance.choice([None, "READ", "SENT", "ERROR"])
        said = text(f"history {at}")
        self.tell(self.meta.history(customer, at, id=id, ours=ours, **said))
        if self.chance.random() < 0.4:
            who = {"sender": customer, "user_id": None, "name": None}
            self.tell(
                self.meta.echo(customer, at, id=id, **said) if ours else self.meta.message(**who, at=at, id=id, **said)
            )
        self.changes(id, person)
        if ours:
            self.statuses(id)

    def call(self, person: Person) -> None:
        caller = person.names[0].get("sender")
        if caller is None or person is SHY:
            return
        id = self.id()
        self.tell(self.meta.call(caller, self.now(), "connect", id))
        self.tell(self.meta.call(caller, self.now(), "terminate", id, status="COMPLETED"))

    def group(self, person: Person) -> None:
        id = self.id()
        self.tell(
            self.meta.message(**self.by(person), at=self.now(), id=id, group_id="G.1", **text(f"group {self.at}"))
        )
        who = {**self.by(self.chance.choice((ADA, NAMELESS))), "name": None}
        reaction = {"message_id": id, "emoji": self.chance.choice(["👍", "🎉"])}
        self.tell(
            self.meta.message(**who, at=self.now(), id=self.id(), type="reaction", group_id="G.1", reaction=reaction)
        )

    def preference(self, _: Person) -> None:
        self.tell(self.meta.preference("447700900001", self.now(), self.chance.choice(["stop", "resume"])))

    def changes(self, id: str, person: Person) -> None:
        for _ in range(self.chance.choice([0, 0, 1, 3])):
            at, kind = self.now(), self.chance.choice(["reaction", "reaction", "edit", "edit", "revoke"])
            said: dict[str, Any] = {
                "reaction": {"reaction": {"message_id": id, "emoji": self.chance.choice(["👍", "🎉", ""])}},
                "edit": {"edit": {"original_message_id": id, "message": text(f"edit {at}")}},
                "revoke": {"revoke": {"original_message_id": id}},
            }
            if self.chance.random() < 0.5:
                self.tell(
                    self.meta.message(**{**self.by(person), "name": None}, at=at, id=self.id(), type=kind, **said[kind])
                )
            else:
                self.tell(self.meta.echo(**self.to(person), at=at, id=self.id(), type=kind, **said[kind]))

    def statuses(self, id: str) -> None:
        for name in self.chance.sample(["sent", "failed", "delivered", "read", "played"], self.chance.randrange(4)):
            more: dict[str, Any] = {"pricing": {"of": name}} if self.chance.random() < 0.5 else {}
            if name == "failed":
                more["errors"] = [{"code": self.chance.choice([131026, 131049]), "title": "No"}]
            self.tell(self.meta.status(id, name, self.now(), **more))

    def move(self) -> None:
        """A person changes the number, and a hidden one their id, while they write."""
        old, new, last = "447700900021", "447700900022", "447700900023"
        self.tell(self.meta.message(old, self.now(), id=self.id(), name="Flo"))
        self.tell(self.meta.new_number(old, new, self.now()))
        self.tell(self.meta.message(new, self.now(), id=self.id()))
        self.tell(self.meta.new_number(new, last, self.now()))
        self.tell(self.meta.message(last, self.now(), id=self.id()))
        self.tell(self.meta.message(None, self.now(), id=self.id(), user_id="GB.7"))
        self.tell(self.meta.new_user_id("GB.7", "GB.8", self.now()))
        self.tell(self.meta.message(None, self.now(), id=self.id(), user_id="GB.8"))


async def told(world: World, seed: int, *, moving: bool) -> tuple[list[Number], list[Webhook]]:
    """Two numbers of one business account in a new workspace, and the story of a seed as told to them."""
    workspace = await world.workspace()
    first = await world.number(workspace)
    numbers = [first, await world.number(workspace, waba_id=first.at_meta.waba_id)]
    chance = random.Random(seed)
    stories = [
        Story(Meta(number.at_meta), chance, moving=moving and index == 0) for index, number in enumerate(numbers)
    ]
    return numbers, [webhook for story in stories for webhook in story.told]


CONTACT = """
  (select array_agg(identity.kind || ' ' || identity.value order by identity.kind, identity.value)
   from contact_identities as identity where identity.contact_id = {})
"""
STATE = {
    "contacts": f"""
        select {CONTACT.format("contact.id")}, contact.name, regexp_replace(contact.phone, '^\\+55119', '+5511'),
          contact.source, contact.marketing_opted_out, contact.marketing_preference_at
        from contacts as contact join wa_phone_numbers as number using (workspace_id) where number.id = %(id)s""",
    "duplicates": """
        select 1 from contact_duplicates join wa_phone_numbers as number using (workspace_id)
        where number.id = %(id)s""",
    "threads": f"""
        select {CONTACT.format("thread.contact_id")}, thread.group_id, thread.status, thread.last_inbound_at,
          thread.last_message_at, thread.last_message_body, thread.unread_count, thread.inbound_count,
          thread.waiting_since, thread.answered_at, thread.automation_stopped_at
        from wa_threads as thread where thread.connection_id = %(id)s""",
    "messages": f"""
        select message.wa_message_id, {CONTACT.format("thread.contact_id")}, thread.group_id,
          {CONTACT.format("message.sender_contact_id")}, message.direction, message.type, message.body, message.content,
          message.context, message.is_placeholder, message.status, message.error_code, message.error_text,
          message.source, message.pricing, message.reactions, message.edited_at, message.revoked_at,
          message.occurred_at, message.outbox_id
        from wa_messages as message join wa_threads as thread on thread.id = message.thread_id
        where message.connection_id = %(id)s""",
    "changes": """
        select wa_message_id, kind, target_id, direction, actor, type, body, content, occurred_at
        from wa_message_changes where connection_id = %(id)s and wa_message_id is not null""",
    "parked statuses": "select wa_message_id, status from wa_message_statuses where connection_id = %(id)s",
    "templates": """
        select template_id, template.status, rejected_reason, status_changed_at
        from wa_templates as template join wa_phone_numbers as number using (workspace_id) where number.id = %(id)s
          and template.waba_id = number.waba_id""",
    "connection": "select status, history_status, history_progress from wa_phone_numbers where id = %(id)s",
}


async def state(world: World, numbers: Sequence[Number]) -> dict[str, list[list[str]]]:
    """All that a workspace shows, without what is made anew each time."""
    found: dict[str, list[list[str]]] = {}
    for name, query in STATE.items():
        found[name] = []
        for number in numbers:
            cursor = await world.database.execute(query.encode(), {"id": number.connection.id})
            found[name].append(sorted(map(repr, await cursor.fetchall())))
    return found


def differences(wanted: dict[str, list[list[str]]], found: dict[str, list[list[str]]]) -> list[str]:
    """The rows that are only in one of them."""
    return [
        f"{sign} {name}: {row}"
        for name in STATE
        for one, other in zip(wanted[name], found[name], strict=True)
        for sign, here, there in (("missing", one, other), ("surplus", other, one))
        for row in (Counter(here) - Counter(there)).elements()
    ]


def split(chance: random.Random, webhooks: Sequence[Webhook]) -> list[Webhook]:
    """Batches of one to fifty."""
    batches, start = [], 0
    while start < len(webhooks):
        size = chance.choice([1, 1, 2, 5, 20, 50])
        batches.append(batch(*webhooks[start : start + size]))
        start += size
    return batches


@pytest.mark.parametrize("seed", range(6))
async def test_a_conversation_ends_the_same_however_it_is_told(world: World, seed: int) -> None:
    numbers, webhooks = await told(world, seed, moving=False)
    await writers(world, [[events(webhook) for webhook in webhooks]])
    wanted = await state(world, numbers)
    assert sum(map(len, wanted["messages"])) > 50
    assert wanted["duplicates"] == [[], []]

    for turn, listeners in enumerate((1, 1, 4)):
        chance = random.Random(f"{seed}/{turn}")
        numbers, webhooks = await told(world, seed, moving=False)
        webhooks += chance.sample(webhooks, len(webhooks) // 3)
        chance.shuffle(webhooks)
        calls = [events(body) for body in split(chance, webhooks)]
        outcomes = await writers(world, [calls[index::listeners] for index in range(listeners)])
        assert set(outcomes) == {"recorded", "deduped"}
        assert differences(wanted, await state(world, numbers)) == []


@pytest.mark.parametrize("seed", range(4))
async def test_people_who_change_their_ids_stay_themselves_in_whatever_batches(world: World, seed: int) -> None:
    numbers, webhooks = await told(world, seed, moving=True)
    await writers(world, [[events(webhook) for webhook in webhooks]])
    wanted = await state(world, numbers)
    assert wanted["duplicates"] == [[], []]
    assert "wa_id 447700900021', 'wa_id 447700900022', 'wa_id 447700900023'" in repr(wanted["contacts"])

    for turn in range(3):
        numbers, webhooks = await told(world, seed, moving=True)
        calls = [events(body) for body in split(random.Random(f"{seed}/{turn}"), webhooks)]
        if turn == 2:
            calls = [events(batch(*webhooks))]
        await writers(world, [[*calls, *calls]])
        assert differences(wanted, await state(world, numbers)) == []
