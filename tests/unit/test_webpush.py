"""Keys, addresses, sizes and times of web push, without a network."""

from __future__ import annotations

import base64
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiohttp.abc import ResolveResult

from qero import Settings, SettingsError
from qero.clients.webpush import VapidKeys, WebPushClient, fit, retry_after
from qero.local.push import PushServiceStandIn
from qero.models.outbox import FailureAction, Refused
from qero.models.push import Device, push_support
from qero.ops.doctor import examine

NOW = datetime(2026, 2, 16, 12, tzinfo=UTC)
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS {} like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148"
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


def device(endpoint: str) -> Device:
    stand_in = PushServiceStandIn("http://127.0.0.1:1").subscribe()
    return Device(
        id=uuid4(), user_id=uuid4(), endpoint=endpoint, p256dh=stand_in.p256dh, auth=stand_in.auth, user_agent=None,
        failure_count=0, last_error=None, created_at=NOW, updated_at=NOW,
    )  # fmt: skip


def keys() -> VapidKeys:
    return VapidKeys(VapidKeys.generate()[1], subject="mailto:ops@example.com")


def test_a_generated_pair_belongs_together() -> None:
    public_key, private_key = VapidKeys.generate()

    assert VapidKeys(private_key, subject="https://example.com/push", public_key=public_key).public_key == public_key
    raw = base64.urlsafe_b64decode(public_key + "==")
    assert (len(raw), raw[0]) == (65, 4)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"private_key": "/etc/vapid.pem"}, "VAPID_PRIVATE_KEY"),
        ({"private_key": ""}, "VAPID_PRIVATE_KEY"),
        ({"private_key": "A" * 43}, "VAPID_PRIVATE_KEY"),
        ({"private_key": VapidKeys.generate()[1][:-4]}, "VAPID_PRIVATE_KEY"),
        ({"public_key": VapidKeys.generate()[0]}, "VAPID_PUBLIC_KEY"),
        ({"subject": ""}, "VAPID_SUBJECT"),
        ({"subject": "ops@example.com"}, "VAPID_SUBJECT"),
        ({"subject": "mailto:ops@localhost"}, "VAPID_SUBJECT"),
        ({"subject": "https://localhost:8088"}, "VAPID_SUBJECT"),
    ],
)
def test_keys_that_wouldnt_work_are_named_and_not_shown(given: dict[str, str], named: str) -> None:
    private_key = VapidKeys.generate()[1]
    with pytest.raises(SettingsError) as refused:
        VapidKeys(**({"private_key": private_key, "subject": "mailto:ops@example.com"} | given))

    assert refused.value.detail == {"setting": named}
    assert (given.get("private_key") or private_key) not in str(refused.value)


def test_a_client_wants_all_three_settings() -> None:
    public_key, private_key = VapidKeys.generate()
    given = {"vapid_public_key": public_key, "vapid_private_key": private_key, "vapid_subject": "mailto:o@example.com"}
    assert WebPushClient.from_settings(Settings.load(**given, push_allowed_origins="http://127.0.0.1:1/, "))
    for missing in given:
        with pytest.raises(SettingsError) as refused:
            WebPushClient.from_settings(Settings.load(**{**given, missing: None}))
        assert refused.value.code == "setting_missing"


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example.com/x",
        "https://127.0.0.1/x",
        "https://10.1.2.3/x",
        "https://169.254.169.254/latest",
        "https://100.64.0.1/x",
        "https://0.0.0.0/x",
        "https://[::1]/x",
        "https://[fd00::1]/x",
        "https://[fe80::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://[64:ff9b::10.0.0.1]/x",
        "https://[2002:7f00:1::]/x",
        "https://224.0.0.1/x",
        "https://localhost/x",
        "https://127.1/x",
        "https://2130706433/x",
        "https://0x7f000001/x",
    ],
)
async def test_addresses_that_lead_inside_are_refused_before_anything_is_sent(endpoint: str) -> None:
    async with WebPushClient(keys()) as client:
        outcome = await client.send(device(endpoint), {"title": "x"})

    assert isinstance(outcome, Refused)
    assert (outcome.action, outcome.error_code) == (FailureAction.FAIL, "push_address_refused")


async def test_a_name_is_judged_by_the_address_that_it_leads_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """One address inside is enough, and the one that was looked at is the one that is connected to."""
    asked: list[str] = []

    async def resolve(_: Any, host: str, port: int = 0, family: Any = socket.AF_INET) -> list[ResolveResult]:
        asked.append(host)
        addresses = ["8.8.8.8", "10.0.0.7"] if host == "mixed.example.com" else ["192.168.1.1"]
        return [
            ResolveResult(hostname=host, host=address, port=port, family=socket.AF_INET, proto=0, flags=0)
            for address in addresses
        ]

    monkeypatch.setattr("qero.clients.webpush.DefaultResolver.resolve", resolve)
    async with WebPushClient(keys()) as client:
        for name in ("mixed.example.com", "inside.example.com"):
            outcome = await client.send(device(f"https://{name}/x"), {"title": "x"})
            assert isinstance(outcome, Refused)
            assert (outcome.action, outcome.error_code) == (FailureAction.FAIL, "push_address_refused")
    assert asked == ["mixed.example.com", "inside.example.com"]


async def test_a_push_service_that_cant_be_reached_is_tried_again() -> None:
    closed = "http://127.0.0.1:1"
    async with WebPushClient(keys(), allowed_origins=frozenset({closed})) as client:
        outcome = await client.send(device(f"{closed}/x"), {"title": "x"}, attempts=3)

    assert isinstance(outcome, Refused)
    assert (outcome.action, outcome.error_code) == (FailureAction.RETRY, "push_not_sent")
    assert outcome.delay is not None
    assert 60 <= outcome.delay <= 100


@pytest.mark.parametrize("size", [30, 100, 3992, 3993, 3994, 5000])
@pytest.mark.parametrize("text", ["x", "é", "\u2028", "😀", '"', "\\", "\x01"])
def test_what_is_too_long_is_cut_to_the_limit(size: int, text: str) -> None:
    push = {"title": "T", "body": text * 3000}

    cut = fit(push, size)

    assert len(cut) <= size
    if size < 3000:
        assert cut.decode().endswith('…"}')


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0", 1.0),
        ("Mon, 16 Feb 2026 12:01:00 GMT", 60.0),
        ("Mon, 16 Feb 2026 11:00:00 GMT", 1.0),
        ("Mon, 16 Feb 2026 12:01:00", 60.0),
        ("9999999", 86_400.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_both_forms_of_retry_after_are_understood(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, NOW) == seconds


@pytest.mark.parametrize(
    ("user_agent", "installed", "reason"),
    [
        (IPHONE.format("16_3_1"), True, "ios_too_old"),
        (IPHONE.format("15_8"), False, "ios_too_old"),
        (IPHONE.format("16_4"), False, "ios_not_installed"),
        (IPHONE.format("16_4"), True, "supported"),
        (IPHONE.format("26_1"), True, "supported"),
        (IPHONE.format("26_1"), False, "ios_not_installed"),
        (FIREFOX, False, "supported"),
    ],
)
def test_iphones_need_a_recent_system_and_an_installed_app(user_agent: str, installed: bool, reason: str) -> None:
    support = push_support(user_agent, installed=installed)

    assert (support.reason, support.supported) == (reason, reason == "supported")
    assert (support.remedy is None) == support.supported


def test_the_doctor_notices_keys_that_dont_belong_together(tmp_path: Path) -> None:
    settings = Settings.load(
        vapid_public_key=VapidKeys.generate()[0],
        vapid_private_key=VapidKeys.generate()[1],
        vapid_subject="mailto:o@x.org",
    )

    found = [finding for finding in examine(settings, tmp_path, None) if "VAPID" in finding.message]

    assert [(finding.check, finding.state) for finding in found] == [("settings", "problem")]


def test_nothing_of_a_device_that_is_secret_shows_in_its_repr() -> None:
    shown = repr(device("https://push.example.com/a-secret-path"))

    assert "a-secret-path" not in shown
    assert "p256dh" not in shown
