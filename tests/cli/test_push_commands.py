"""`qero push`: keys that work together, one's own devices, and a test that says what push services answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qero import Settings
from qero.clients.webpush import VapidKeys
from qero.local.push import PushFault
from tests.cli.test_commands import run
from tests.phones import Phones
from tests.worker.support import environment


@pytest.fixture
async def env(phones: Phones, settings: Settings) -> dict[str, str]:
    return environment(
        settings,
        QERO_ACCESS_TOKEN=(await phones.world.user("olga")).access_token,
        VAPID_PUBLIC_KEY=phones.public_key,
        VAPID_PRIVATE_KEY=phones.private_key,
        VAPID_SUBJECT="mailto:ops@example.com",
        QERO_PUSH_ALLOWED_ORIGINS=phones.service.url,
    )


async def test_keys_come_as_lines_for_the_environment(tmp_path: Path) -> None:
    ended = await run(tmp_path, "push", "keys")

    assert ended.code == 0
    given = dict(line.split("=", 1) for line in ended.out.splitlines())
    assert list(given) == ["VAPID_PUBLIC_KEY", "VAPID_PRIVATE_KEY", "VAPID_SUBJECT"]
    VapidKeys(given["VAPID_PRIVATE_KEY"], subject=given["VAPID_SUBJECT"], public_key=given["VAPID_PUBLIC_KEY"])


async def test_a_test_reaches_each_device_and_says_what_each_push_service_answers(
    tmp_path: Path, phones: Phones, env: dict[str, str]
) -> None:
    none = await run(tmp_path, "push", "test", env=env)
    assert (none.code, none.out.strip()) == (1, "No devices yet: subscribe with a browser first.")
    for _ in range(2):
        await phones.add("olga")
    await phones.add("bob")

    good = await run(tmp_path, "push", "test", env=env)

    assert (good.code, good.out.count("accepted")) == (0, 2)
    assert [received.push["kind"] for received in phones.got("olga")] == ["test", "test"]
    assert phones.got("bob") == []

    phones.service.next_answer(PushFault(410), device=phones._of["olga"][0])
    mixed = await run(tmp_path, "push", "test", "--json", env=env)
    assert mixed.code == 1
    assert sorted(device["answer"].split(":")[0] for device in json.loads(mixed.out)) == ["accepted", "push_gone"]


async def test_the_list_shows_ones_own_devices_and_no_secret(
    tmp_path: Path, phones: Phones, env: dict[str, str]
) -> None:
    device = await phones.add("olga")
    await phones.add("bob")

    for arguments in (["push", "list"], ["push", "list", "--json"]):
        ended = await run(tmp_path, *arguments, env=env)
        assert ended.code == 0
        assert phones.service.url.removeprefix("http://") in ended.out
        for secret in (device.endpoint, device.p256dh, device.auth):
            assert secret not in ended.out
    assert len(json.loads(ended.out)) == 1


async def test_a_missing_key_is_named(tmp_path: Path, env: dict[str, str]) -> None:
    del env["VAPID_SUBJECT"]

    ended = await run(tmp_path, "push", "test", "--json", env=env)

    assert ended.code == 3
    assert ended.problem()["detail"] == {"setting": "VAPID_SUBJECT"}
