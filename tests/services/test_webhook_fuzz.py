"""Webhooks that are nearly right, with two tenants: never a failure, nothing lost, nothing at the neighbour's."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from qero import Clients, WebhookEndpoint
from qero.errors import QeroError
from qero.local.graph import sign
from qero.models.webhook import WebhookEvent, parse_body
from tests.support import APP_SECRET, VERIFY_TOKEN, Number, World
from tests.webhook_bodies import FIXTURES, NUMBER, WABA, slightly_wrong

# Whatever one tenant has of WhatsApp, counted by the tenant.
TABLES = ("contacts", "contact_identities", "contact_duplicates", "wa_threads", "wa_messages", "wa_templates",
          "meta_webhook_events", "outbox_messages")  # fmt: skip


@pytest.fixture
async def endpoint(clients: Clients) -> AsyncIterator[WebhookEndpoint]:
    async with WebhookEndpoint(clients.service(), app_secret=APP_SECRET, verify_token=VERIFY_TOKEN) as endpoint:
        yield endpoint


async def rows_of(world: World, number: Number) -> dict[str, int]:
    workspace = number.connection.workspace_id
    return {
        table: await world.scalar(f"select count(*) from {table} where workspace_id = %s", workspace)
        for table in TABLES
    }


async def is_kept(world: World, event: WebhookEvent, number: Number) -> bool:
    """Whether the item is where a person can find it; what is no tenant's is kept with what others have sent."""
    return bool(
        await world.scalar(
            "select exists (select from meta_webhook_events"
            " where workspace_id = %s and event_key = %s and raw = %s::jsonb)"
            " or exists (select from orphan_webhook_events where event_key = %s)",
            number.connection.workspace_id, event.event_key, json.dumps(event.raw), event.event_key,
        )
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_comes_for_one_tenant_is_answered_kept_and_not_seen_by_another(
    world: World, endpoint: WebhookEndpoint, seed: int
) -> None:
    mine, neighbour = await world.number(await world.workspace()), await world.number(await world.workspace())
    # The neighbour has conversations with the same people and, worse, with messages of the same ids.
    for path in sorted(FIXTURES.glob("*.json")):
        await post(endpoint, path.read_bytes(), neighbour)
    before = await rows_of(world, neighbour)
    assert before["wa_messages"] > 10
    source = random.Random(seed)
    events: dict[str, WebhookEvent] = {}
    outcomes: Counter[str] = Counter()

    for turn in range(200):
        raw = json.dumps(slightly_wrong(source)).encode()
        if turn % 3:
            # Otherwise most of it would have come before.
            raw = raw.replace(b"wamid.", f"wamid.{turn // 2}.".encode())
        try:
            parsed = parse_body(as_of(raw, mine))
        except QeroError:
            # Nothing that Meta could send; it's no failure of ours either.
            assert 400 <= (await post(endpoint, raw, mine))[0] < 500
            continue
        status, counts = await post(endpoint, raw, mine)
        assert status == 200
        assert sum(counts.values()) == len(parsed)
        outcomes.update(counts)
        for event in parsed:
            events.setdefault(event.event_key, event)

    assert outcomes["recorded"] > 150, "until one of them says that the app was removed"
    assert outcomes["deduped"] > 100
    assert await rows_of(world, neighbour) == before
    lost = [event for event in events.values() if not await is_kept(world, event, mine)]
    assert lost == []


async def post(endpoint: WebhookEndpoint, raw: bytes, number: Number) -> tuple[int, dict[str, int]]:
    body = as_of(raw, number)
    answer = await endpoint.receive({"X-Hub-Signature-256": sign(body, APP_SECRET)}, body)
    found: dict[str, Any] = json.loads(answer.body)
    return answer.status, found


def as_of(raw: bytes, number: Number) -> bytes:
    """The body as it would be, were it for this number and its business account."""
    return raw.replace(NUMBER.encode(), number.at_meta.phone_number_id.encode()).replace(
        WABA.encode(), number.at_meta.waba_id.encode()
    )
