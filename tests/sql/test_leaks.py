"""Nothing about another tenant can be told from what is counted, refused, or asked for in an unusual way."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from qero import Settings
from tests.sql.access import IDENTITIES, Cast, make_cast
from tests.sql.probing import everything_of, known, probes, strangers_calls, unknown
from tests.sql.requests import answers, outcome_of
from tests.sql.test_access_matrix import SIGNED_IN, TABLES
from tests.support import EMPTY_OUTBOX, World, digits


@pytest.fixture(scope="module")
async def neighbours(settings: Settings, cast: Cast) -> AsyncIterator[Cast]:
    """The same cast once more, of other people. What all these calls have queued is gone afterwards."""
    yield await make_cast(World(settings, cast.world.clients, cast.world.database))
    await cast.world.database.execute(EMPTY_OUTBOX)


@pytest.mark.parametrize("identity", ["owner", "viewer"])
async def test_what_another_tenant_has_is_answered_like_what_nobody_has(
    identity: str, cast: Cast, neighbours: Cast
) -> None:
    before = await everything_of(neighbours)

    found = [await probe.difference() for probe in await probes(cast, neighbours, identity)]

    assert len(found) > 150
    assert [difference for difference in found if difference] == []
    assert await everything_of(neighbours) == before, "nothing of theirs has changed"


@pytest.mark.parametrize("identity", ["owner", "removed"])
async def test_everybodys_call_is_answered_to_a_stranger_as_if_nothing_were_there(
    identity: str, cast: Cast, neighbours: Cast
) -> None:
    before = await everything_of(neighbours)

    found = [await probe.difference() for probe in strangers_calls(cast, neighbours, identity)]

    assert [difference for difference in found if difference] == []
    assert await everything_of(neighbours) == before


async def test_the_search_would_notice(cast: Cast, neighbours: Cast) -> None:
    """To one's own the same call makes a difference; and the one thing that is told on purpose is found."""
    [own] = [probe for probe in await probes(cast, cast, "owner") if probe.name == "get_contact/p_contact_id"]
    assert await own.difference()
    slugs = {
        (await cast.rpc("owner", "create_workspace", p_slug=slug, p_name="Mine")).status_code
        for slug in (known(neighbours, "slug"), unknown("slug"))
    }
    assert len(slugs) == 2


# --- Counts ---


@pytest.mark.parametrize("table", sorted(TABLES))
async def test_no_member_learns_what_the_planner_expects(table: str, cast: Cast) -> None:
    column = next(iter(cast.rows[table]))
    found = await answers(
        {
            (identity, asking): partial(
                cast.request, identity, "GET", table, prefer=f"count={asking}", select=column, limit="1"
            )
            for identity in IDENTITIES
            for asking in ("planned", "exact")
        }
    )
    for (identity, asking), answer in found.items():
        may = TABLES[table].select.outcome(identity) != "refused"
        if asking == "planned" and may and identity in SIGNED_IN:
            assert answer.json().get("message") == "estimate_refused", f"{identity}: {answer.text}"
            assert answer.headers.get("content-range", "*/*").endswith("/*")
        else:
            assert (outcome_of(answer) != "refused") == may, f"{identity} {asking}: {answer.text}"


async def test_a_refusal_of_estimates_cannot_be_hidden_by_a_second_header(cast: Cast) -> None:
    """PostgREST uses the first preference that it is sent, and tells SQL of the last header alone."""
    world, token = cast.world, cast.tokens["member"]
    answer = await world.clients.http.get(
        f"{world.settings.supabase_url}/rest/v1/contacts?select=id",
        headers=[
            ("apikey", world.settings.require("publishable_key")),
            ("authorization", f"Bearer {token}"),
            ("prefer", "count=planned"),
            ("prefer", "handling=lenient"),
        ],
    )
    assert answer.json()["message"] == "estimate_refused"


async def test_an_estimated_count_is_exact_as_long_as_there_is_little(cast: Cast) -> None:
    estimated, exact = [
        await cast.request("member", "GET", "contacts", prefer=f"count={kind}", select="id", limit="1")
        for kind in ("estimated", "exact")
    ]
    assert estimated.headers["content-range"] == exact.headers["content-range"]


async def test_ones_own_counts_do_not_depend_on_what_others_have(cast: Cast, neighbours: Cast) -> None:
    """Neither an estimate of ours nor how it is filtered."""
    world = cast.world
    own, other = await world.workspace(owner="owner"), neighbours.workspace
    fill = """
        insert into contacts (workspace_id, name, tags)
        select %s, 'n' || i, case when i %% %s = 0 then '{}' else '{vip}' end::text[]
        from generate_series(1, %s) as i returning 1
    """
    await world.rows(fill, own.id, 5, 8000)
    await world.database.execute("analyze contacts")
    asked: list[dict[str, Any]] = [{}, {"p_tags": ["vip"]}, {"p_search": "n"}]

    async def counted() -> list[tuple[int, bool]]:
        bodies = [
            (await cast.rpc("owner", "count_contacts", p_workspace_id=own.id, p_exact=False, **filter)).json()
            for filter in asked
        ]
        return [(body["count"], body["is_exact"]) for body in bodies]

    before = await counted()
    await world.rows(fill, other.id, 1, 20_000)
    await world.database.execute("analyze contacts")
    after = await counted()
    await world.database.execute("delete from contacts where workspace_id = %s and name like 'n%%'", [other.id])

    assert after == before
    for (count, is_exact), real in zip(before, (8000, 6400, 8000), strict=True):
        assert not is_exact
        assert 0.8 * real < count < 1.25 * real


# --- Plans, errors, computed fields ---


@pytest.mark.parametrize("identity", IDENTITIES)
@pytest.mark.parametrize("form", ["json", "text"])
async def test_nobody_is_shown_a_plan(identity: str, form: str, cast: Cast) -> None:
    token = cast.tokens[identity]
    key = token if identity == "service" else cast.world.settings.require("publishable_key")
    answer = await cast.world.clients.http.get(
        f"{cast.world.settings.supabase_url}/rest/v1/contacts",
        headers={
            "apikey": key,
            "authorization": f"Bearer {token}",
            "accept": f"application/vnd.pgrst.plan+{form}; options=analyze|verbose",
        },
    )
    assert not answer.is_success, answer.text
    assert "Plan" not in re.sub(r"vnd\.pgrst\.plan", "", answer.text)


async def test_a_failing_row_is_not_described(cast: Cast) -> None:
    """What a member may write and a check refuses is named, not quoted: columns that nobody gave aren't shown."""
    row = {"workspace_id": cast.workspace.id, "name": "x" * 5000}
    answer = await cast.request("member", "POST", "clients", row)
    assert (answer.status_code, answer.json()["code"]) == (400, "23514")
    assert "Failing row" not in answer.text


async def test_a_reference_is_refused_alike_whosever_it_is(cast: Cast, neighbours: Cast) -> None:
    for table, column, kind in (
        ("projects", "client_id", "clients"),
        ("contacts", "assigned_to", "user"),
        ("user_contact_settings", "contact_id", "contacts"),
        ("user_tma_settings", "tma_id", "tma_candidates"),
    ):
        told = set()
        for word in (known(neighbours, kind), unknown(kind)):
            row = {"workspace_id": cast.workspace.id, column: word}
            if table in ("projects", "contacts"):
                row["name"] = "New"
            row["created_by" if table == "contacts" else "user_id"] = cast.user_ids["member"]
            if table == "projects":
                del row["user_id"]
            answer = await cast.request("member", "POST", table, row)
            told.add((answer.status_code, answer.text.replace(word, "<id>")))
        assert len(told) == 1, told
        assert "23503" in next(iter(told))[1], told


async def test_a_clash_is_with_ones_own_rows_only(cast: Cast, neighbours: Cast) -> None:
    """The same name, phone or shortcut that another tenant has is free."""
    for phone in (known(neighbours, "phone"), f"+{digits(11)}"):
        row = {"workspace_id": cast.workspace.id, "name": "Twin", "phone": phone, "created_by": cast.user_ids["member"]}
        assert (await cast.request("member", "POST", "contacts", row)).status_code == 201
    view = {"workspace_id": cast.workspace.id, "user_id": cast.user_ids["member"], "name": "Twin", "filters": {}}
    taken = view | {"id": known(neighbours, "wa_saved_views")}
    assert outcome_of(await cast.request("member", "POST", "wa_saved_views", taken)) == "refused"


async def test_a_computed_field_knows_no_more_than_its_caller(cast: Cast, neighbours: Cast) -> None:
    told = set()
    for chat_id in (known(neighbours, "chats"), unknown("chats")):
        answer = await cast.rpc("member", "status", p_message={"chat_id": chat_id, "seq": 1})
        told.add((answer.status_code, answer.text))
    assert len(told) == 1, told
    answer = await cast.request("stranger", "GET", "chat_messages", select="id,status")
    assert answer.json() == []
