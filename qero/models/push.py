"""Devices, what people want to be notified of, and what a worker sends to a push service."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from qero.models.row import LocalTime, Patch, Row

ChatNotifications = Literal["all", "mentions", "none"]
InboundNotifications = Literal["all", "mine", "none"]


class Device(Row):
    """A subscription: where a person is notified. Its address and keys stay out of `repr`, and so out of logs."""

    id: UUID
    user_id: UUID
    endpoint: str = Field(repr=False)
    p256dh: str = Field(repr=False)
    auth: str = Field(repr=False)
    user_agent: str | None
    failure_count: int
    """Refusals in a row that weren't for good."""
    last_error: str | None
    created_at: datetime
    updated_at: datetime


class NotificationSettings(Row):
    """What one person is notified of, on all their devices."""

    notify_chats: ChatNotifications
    notify_inbound: InboundNotifications
    """Customers' messages: mine are those in threads that are assigned to one, or to nobody."""
    notify_assignments: bool
    notify_follow_ups: bool
    quiet_from: LocalTime | None
    """Quiet hours by the clock of the person's time zone; they may pass midnight."""
    quiet_until: LocalTime | None


class NotificationSettingsPatch(Patch):
    """Settings to change; the ones not given stay."""

    notify_chats: ChatNotifications = "all"
    notify_inbound: InboundNotifications = "mine"
    notify_assignments: bool = True
    notify_follow_ups: bool = True
    quiet_from: LocalTime | None = None
    quiet_until: LocalTime | None = None


class PreparedPush(Row):
    """What is to be done with one claimed notification."""

    id: UUID
    outcome: Literal["ready", "spread", "quiet", "unwanted"]
    """spread: it was an event, and is a message for each device now; quiet: not before `delay_seconds`."""
    delay_seconds: float | None
    push: dict[str, Any] | None = Field(repr=False)
    device: Device | None


class PushResult(Row):
    """What a push service said of one device."""

    subscription_id: UUID
    endpoint: str = Field(repr=False)
    outcome: Literal["sent", "failed", "gone"]
    error: str | None = None


class PushSupport(Row):
    """Whether a browser can be notified, and what the person has to do first where it can't yet."""

    supported: bool
    reason: Literal["supported", "ios_too_old", "ios_not_installed"]
    remedy: str | None = None


_IOS = re.compile(r"\b(?:iPhone|iPad|iPod)\b.* OS (\d+)[_.](\d+)")


def push_support(user_agent: str, *, installed: bool) -> PushSupport:
    """What a browser's user agent says about web push; the page itself asks for the interfaces.

    On iPhones and iPads, whatever the browser is called, web push takes iOS or iPadOS 16.4, an app that was added to
    the home screen, and a permission that is asked for in a tap. An iPad that says it is a Mac can't be told apart:
    the page recognises it by its touch screen.

    Args:
        installed: the page runs from the home screen: `matchMedia("(display-mode: standalone)").matches`.
    """
    version = _IOS.search(user_agent)
    if version and (int(version[1]), int(version[2])) < (16, 4):
        return PushSupport(supported=False, reason="ios_too_old", remedy="Update to iOS 16.4 or newer.")
    if version and not installed:
        return PushSupport(
            supported=False,
            reason="ios_not_installed",
            remedy="Tap Share, then Add to Home Screen, and open the app from there.",
        )
    return PushSupport(supported=True, reason="supported")
