"""Contacts, and what members have marked them with."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from proof.faults.office import Office, Part, differences
from qero import ContactPatch, Contacts, ContactSettingsPatch, FollowUps


class People(Part):
    """Contacts are renamed and marked, follow-ups moved; one's own list shows what one has just written."""

    name = "people"
    per_second = 6.0

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self._contacts: list[UUID] = []
        self._busy: set[tuple[str, UUID]] = set()
        self._names: dict[UUID, str] = {}
        self._settings: dict[tuple[UUID, UUID], tuple[Any, Any, Any]] = {}

    async def prepare(self) -> None:
        made = [
            await Contacts(self.office.people["olga"]).create(
                self.office.workspace.id, ContactPatch(name=f"Person {n}", email=f"person.{n}@example.com")
            )
            for n in range(40)
        ]
        self._contacts = [contact.id for contact in made]
        self._names = {contact.id: str(contact.name) for contact in made}

    async def step(self) -> None:
        chance = self.office.chance
        name, contact_id = chance.choice(["olga", "bob"]), chance.choice(self._contacts)
        renames = chance.random() < 0.3
        # One writer at a time for each thing, so that the last answer is what has to stand there.
        place = ("name" if renames else name, contact_id)
        if place in self._busy:
            return
        self._busy.add(place)
        contacts = Contacts(self.office.people[name])
        if renames:
            new = f"Person {uuid4().hex[:8]}"
            await self.office.insist(lambda: contacts.update(contact_id, ContactPatch(name=new)))
            self._names[contact_id] = new
        else:
            await self._mark(contacts, name, contact_id)
        self._busy.discard(place)
        self.office.counts["writes about people"] += 1

    async def _mark(self, contacts: Contacts, name: str, contact_id: UUID) -> None:
        chance = self.office.chance
        user = self.office.people[name]
        mine = (user.identity.user_id, contact_id)
        status, at, note = self._settings.get(mine, (None, None, None))
        moment = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=chance.randint(-48, 48))
        if at is not None and chance.random() < 0.3:
            await self.office.insist(lambda: FollowUps(user).reschedule(contact_id, moment))
            at = moment
        elif chance.random() < 0.5:
            status = chance.choice(["hot", "working", "follow_up", None])
            patch = ContactSettingsPatch(status=status)
            await self.office.insist(lambda: contacts.set_settings(contact_id, patch))
        else:
            at, note = moment, f"Call back ({uuid4().hex[:8]})"
            patch = ContactSettingsPatch(follow_up_at=at, follow_up_note=note)
            await self.office.insist(lambda: contacts.set_settings(contact_id, patch))
        self._settings[mine] = (status, at, note)
        shown = await self.office.insist(lambda: contacts.get(contact_id))
        found = (shown.my_status, shown.follow_up_at, shown.follow_up_note)  # type: ignore[union-attr]
        if found != (status, at, note):
            self.office.blame(f"{name} wrote {(status, at, note)} and then saw {found}")

    async def judge(self) -> dict[str, list[str]]:
        names = dict(await self.office.rows("select id, name from contacts where id = any(%s)", self._contacts))
        rows = await self.office.rows(
            """
            select user_id, contact_id, status, follow_up_at, follow_up_note from user_contact_settings
            where contact_id = any(%s) and (status is not null or follow_up_at is not null)
            """,
            self._contacts,
        )
        wanted = {key: value for key, value in self._settings.items() if value != (None, None, None)}
        return {
            "the last answered name stands": differences("contact", self._names, names),
            "the last answered settings stand": differences(
                "settings", wanted, {(user, contact): rest for user, contact, *rest_ in rows if (rest := tuple(rest_))}
            ),
        }
