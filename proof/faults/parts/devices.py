"""Notifications, and lists over HTTP."""

from __future__ import annotations

from collections import Counter

from proof.faults.office import Office, Part
from qero import Devices
from qero.local.push import StandInDevice


class Phones(Part):
    """Members are notified on their devices of what the others do; somebody looks at the lists meanwhile."""

    name = "lists and notifications"
    per_second = 3.0

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self._devices: list[StandInDevice] = []

    async def prepare(self) -> None:
        await self.office.rows(
            "insert into private.push_allowed_origins values (%s) on conflict do nothing returning 1",
            self.office.push.url,
        )
        for client in self.office.people.values():
            device = self.office.push.subscribe()
            await Devices(client).save(device.endpoint, p256dh=device.p256dh, auth=device.auth)
            self._devices.append(device)

    async def step(self) -> None:
        user = self.office.people[self.office.chance.choice([*self.office.people])]
        path = self.office.chance.choice(["/api/contacts", "/api/inbox/threads", "/api/chats"])
        answer = await self.office.request(
            "GET", path, params={"workspace": self.office.workspace.slug},
            headers={"authorization": f"Bearer {user.access_token}"},
        )  # fmt: skip
        found = answer.json()
        if answer.status_code != 200 or not (found if isinstance(found, list) else found.get("items")):
            raise RuntimeError(f"{path} was answered {answer.status_code}: {answer.text[:300]}")
        self.office.counts["lists read"] += 1

    async def judge(self) -> dict[str, list[str]]:
        told = Counter(received.endpoint for received in self.office.push.received)
        self.office.counts["notifications"] = len(self.office.push.received)
        refused = {status: count for status, count in self.office.push.refused.items() if status != 410}
        return {
            "every device is notified": [device.endpoint for device in self._devices if not told[device.endpoint]],
            "push services refuse nothing": [f"{count} answered {status}" for status, count in refused.items()],
        }
