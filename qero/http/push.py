"""Web push: the caller's devices, and what they are notified of."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Request
from pydantic import BaseModel

from qero.errors import NotFound
from qero.http.callers import Input, User
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.push import Device, NotificationSettings, NotificationSettingsPatch
from qero.services.devices import Devices
from qero.services.notifications import Notifications
from qero.settings import Settings

router = Router(prefix="/api/push", tags=["web push"])


class Keys(Input):
    p256dh: str
    auth: str


class Subscription(Input):
    """What `PushSubscription.toJSON()` gives a page."""

    endpoint: str
    keys: Keys
    expirationTime: float | None = None  # noqa: N815  (browsers send it)


class KnownDevice(BaseModel):
    """A device without its keys, which nobody needs to see again."""

    id: UUID
    endpoint: str
    user_agent: str | None
    created_at: datetime
    updated_at: datetime


class Removed(BaseModel):
    removed: bool


class Badge(BaseModel):
    count: int


class PublicKey(BaseModel):
    public_key: str
    """For `pushManager.subscribe`, as its `applicationServerKey`."""


@router.get("/public-key", responses=refusals(codes=["not_found"], user=False))
async def get_public_key(request: Request) -> PublicKey:
    """The server's key, which a page subscribes with."""
    settings: Settings = request.app.state.settings
    if settings.vapid_public_key is None:
        raise NotFound("not_found", "Web push isn't set up here.", hint="Set VAPID_PUBLIC_KEY: `qero push keys`.")
    return PublicKey(public_key=settings.vapid_public_key)


@router.get("/subscriptions", response_model=list[KnownDevice], responses=refusals(Devices.list))
async def list_devices(user: User) -> list[Device]:
    """The caller's devices, the latest renewed first."""
    return await Devices(user).list()


@router.post(
    "/subscriptions", status_code=201, response_model=KnownDevice, responses=refusals(Devices.save, writes=True)
)
async def save_device(
    user: User, subscription: Subscription, user_agent: Annotated[str | None, Header(include_in_schema=False)] = None
) -> Device:
    """Notifies the caller on a device from now on; the same endpoint again renews it."""
    return await Devices(user).save(
        subscription.endpoint, p256dh=subscription.keys.p256dh, auth=subscription.keys.auth, user_agent=user_agent
    )


@router.delete("/subscriptions", responses=refusals(Devices.remove, writes=True))
async def remove_device(user: User, endpoint: Annotated[str, Query(max_length=4000)]) -> Removed:
    """Notifies the caller on a device no longer."""
    return Removed(removed=await Devices(user).remove(endpoint))


@router.get("/settings", responses=refusals(Notifications.set))
async def get_notification_settings(user: User) -> NotificationSettings:
    """What the caller is notified of."""
    return await Notifications(user).set()


@router.patch("/settings", responses=refusals(Notifications.set, writes=True))
async def set_notification_settings(user: User, patch: NotificationSettingsPatch) -> NotificationSettings:
    """Changes the named settings; the others stay."""
    return await Notifications(user).set(patch)


@router.get("/badge", responses=refusals(Notifications.badge))
async def get_badge(user: User) -> Badge:
    """What the app's icon shows."""
    return Badge(count=await Notifications(user).badge())
