"""What tests of notifications need: devices at a stand-in for push services, and a worker that sends to them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from qero import Clients, Devices, Notifications, Outbox
from qero.clients.webpush import VapidKeys, WebPushClient
from qero.local.push import PushServiceStandIn, ReceivedPush, StandInDevice
from qero.models.push import Device, NotificationSettingsPatch
from qero.services.pushes import Pushes
from qero.worker import Summary, WebPushChannel, Worker
from tests.support import EMPTY_OUTBOX, HURRY, World


class Phones:
    """People's devices, and what they were notified of."""

    def __init__(self, world: World, service: PushServiceStandIn) -> None:
        self.world = world
        self.service = service
        self.public_key, self.private_key = VapidKeys.generate()
        self.keys = VapidKeys(self.private_key, subject="mailto:ops@example.com")
        self._of: dict[str, list[StandInDevice]] = {}

    async def allow(self) -> None:
        """Let the database take addresses of the stand-in, and nothing else be in the outbox."""
        await self.world.rows(EMPTY_OUTBOX)
        # A port may come again.
        await self.world.rows(
            "insert into private.push_allowed_origins values (%s)"
            " on conflict (origin) do update set origin = excluded.origin returning origin",
            self.service.url,
        )

    async def devices(self, name: str) -> Devices:
        return Devices((await self.world.user(name)).client)

    async def add(self, name: str, device: StandInDevice | None = None) -> StandInDevice:
        """A device of that person's, subscribed with our key."""
        device = device or self.service.subscribe(self.public_key)
        await (await self.devices(name)).save(device.endpoint, p256dh=device.p256dh, auth=device.auth)
        self._of.setdefault(name, []).append(device)
        return device

    async def stored(self, device: StandInDevice) -> Device:
        [row] = await self.world.rows(
            "select to_jsonb(push_subscriptions) from push_subscriptions where endpoint = %s", device.endpoint
        )
        return Device.model_validate(row[0])

    async def prefer(self, name: str, **settings: Any) -> None:
        await Notifications((await self.world.user(name)).client).set(NotificationSettingsPatch(**settings))

    def got(self, name: str) -> list[ReceivedPush]:
        """What that person's devices received, in order."""
        endpoints = {device.endpoint for device in self._of.get(name, [])}
        return [received for received in self.service.received if received.endpoint in endpoints]

    def bodies(self, name: str) -> list[str]:
        return [received.push["body"] for received in self.got(name)]

    async def deliver(self, clients: Clients | None = None, **options: Any) -> Summary:
        """Send everything that waits, whatever it waits for."""
        await self.hurry()
        async with self.client() as client:
            return await self.worker(client, clients, **options).run_once()

    def client(self, *, timeout_seconds: float = 1.0) -> WebPushClient:
        return WebPushClient(self.keys, allowed_origins=frozenset({self.service.url}), timeout_seconds=timeout_seconds)

    def worker(self, client: WebPushClient, clients: Clients | None = None, **options: Any) -> Worker:
        service = (clients or self.world.clients).service()
        return Worker(Outbox(service), {"web_push": WebPushChannel(Pushes(service), client)}, **options)

    async def hurry(self) -> None:
        """Make everything due, as if the seconds that events share were over: what happens from now on has its own."""
        await self.world.rows(
            "update outbox_messages set idempotency_key = idempotency_key || ':over' || sequence"
            " where channel = 'web_push' and status = 'queued' and not payload ? 'subscription_id' returning 1"
        )
        await self.world.rows(HURRY)

    async def rows(self, user_id: UUID | None = None) -> list[tuple[Any, ...]]:
        """Notifications of the outbox for devices: status, attempts, error and seconds until they are due."""
        return await self.world.rows(
            "select status, attempts, error_code, extract(epoch from scheduled_at - clock_timestamp())::float"
            " from outbox_messages where channel = 'web_push' and payload ? 'subscription_id'"
            " and (%s::uuid is null or payload ->> 'user_id' = %s::text) order by sequence",
            user_id, user_id,
        )  # fmt: skip
