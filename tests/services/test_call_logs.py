"""Calls: logged one by one, read for many contacts at once, complete and in order."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from qero import CallLogs, Clients, InvalidInput, NotFound, PermissionDenied
from qero.clients.batches import chunk_unique
from tests.services.people import contact_of
from tests.support import World, post_rpc


class Counting(httpx.AsyncHTTPTransport):
    """The real network, with a note of how many ids each request asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[int] = []
        self.under_way = 0
        self.most_under_way = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if not request.url.path.endswith("/rpc/get_call_logs"):
            return await super().handle_async_request(request)
        self.asked.append(len(json.loads(request.content)["p_contact_ids"]))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return await super().handle_async_request(request)
        finally:
            self.under_way -= 1


async def test_1201_ids_come_back_complete_in_order_with_no_request_above_200(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    ids = [
        id
        for (id,) in await world.rows(
            "insert into contacts (workspace_id, name) select %s, i from generate_series(1, 1201) i returning id",
            workspace.id,
        )
    ]
    await world.rows(
        """
        insert into contact_call_logs (workspace_id, contact_id, outcome, note)
        select workspace_id, id, 'answered', name from contacts where workspace_id = %s returning 1
        """,
        workspace.id,
    )
    names = dict(await world.rows("select id, name from contacts where workspace_id = %s", workspace.id))
    # As they come from a list in a browser: as text, with white space, some of them again.
    given: list[UUID | str] = [f" {id} " if index % 3 else id for index, id in enumerate(ids)]
    given[50:50] = [str(ids[0]), "", "  ", ids[40]]
    counting = Counting()
    async with Clients(world.settings, transport=counting) as clients:
        found = await CallLogs(await clients.user(olga.access_token)).for_contacts(given)

    assert [entry.contact_id for entry in found] == ids
    assert [[call.note for call in entry.calls] for entry in found] == [[names[id]] for id in ids]
    assert sorted(counting.asked) == [1, 200, 200, 200, 200, 200, 200]
    assert 1 < counting.most_under_way <= 4


@pytest.mark.parametrize(("count", "status"), [(500, 200), (501, 400)])
async def test_more_than_500_ids_in_one_request_are_refused(count: int, status: int, world: World) -> None:
    olga = await world.user("olga")
    ids = [str(uuid4()) for _ in range(count)]
    answer = await post_rpc(world.clients.http, world.settings, "get_call_logs", olga.access_token, p_contact_ids=ids)
    assert answer.status_code == status
    if status == 400:
        assert answer.json()["message"] == "too_many_ids"
        assert json.loads(answer.json()["details"]) == {"field": "contact_ids", "count": 501, "limit": 500}
        assert "500" in answer.json()["hint"]


def test_ids_are_trimmed_deduplicated_and_split() -> None:
    ids = [uuid4() for _ in range(5)]
    assert chunk_unique([f"\t{ids[0]}\n", ids[1], ids[0], "", *ids], 2) == [ids[:2], ids[2:4], ids[4:]]
    assert chunk_unique([], 2) == []
    with pytest.raises(InvalidInput) as error:
        chunk_unique(["no uuid"], 2)
    assert error.value.detail == {"field": "ids", "value": "no uuid"}


async def test_the_latest_calls_come_first_and_foreign_contacts_have_none(world: World) -> None:
    workspace, foreign = await world.workspace(), await world.workspace(owner="mallory")
    olga, mallory = await world.user("olga"), await world.user("mallory")
    mine, theirs, missing = await contact_of(olga, workspace), await contact_of(mallory, foreign), uuid4()
    await CallLogs(mallory.client).log(theirs.id, "answered")
    now = datetime.now(UTC)
    for minutes in (30, 10, 20):
        await CallLogs(olga.client).log(
            mine.id, "no_answer", called_at=now - timedelta(minutes=minutes), note=f"{minutes}"
        )

    found = await CallLogs(olga.client).for_contacts([missing, mine.id, theirs.id], limit=2)

    assert [(entry.contact_id, [call.note for call in entry.calls]) for entry in found] == [
        (missing, []), (mine.id, ["10", "20"]), (theirs.id, [])
    ]  # fmt: skip
    assert [call.note for call in await CallLogs(olga.client).list(mine.id)] == ["10", "20", "30"]
    with pytest.raises(NotFound) as error:
        await CallLogs(olga.client).log(theirs.id, "answered")
    assert error.value.code == "contact_not_found"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"outcome": "chatted"}, "outcome"),
        ({"outcome": "busy", "duration_seconds": -1}, "duration_seconds"),
        ({"outcome": "busy", "duration_seconds": 86401}, "duration_seconds"),
        ({"outcome": "busy", "note": "x" * 10001}, "note"),
        ({"outcome": "busy", "called_at": datetime(1, 1, 1, tzinfo=UTC)}, "called_at"),
        ({"outcome": "busy", "called_at": datetime(9999, 1, 1, tzinfo=UTC)}, "called_at"),
    ],
)
async def test_a_call_says_what_is_wrong_with_it(arguments: dict[str, Any], field: str, world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    contact = await contact_of(olga, workspace)
    with pytest.raises(InvalidInput) as error:
        await CallLogs(olga.client).log(contact.id, **arguments)
    assert (error.value.code, error.value.detail["field"]) == ("invalid_value", field)


async def test_viewers_log_no_calls(world: World) -> None:
    workspace = await world.workspace(owner="olga", vera="viewer")
    contact = await contact_of(await world.user("olga"), workspace)
    with pytest.raises(PermissionDenied):
        await CallLogs((await world.user("vera")).client).log(contact.id, "busy")
