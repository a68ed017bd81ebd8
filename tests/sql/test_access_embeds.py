"""What PostgREST embeds is what asking for it would show: every foreign key, in both directions, as everybody.

docs/permissions.md lists them; the keys are read from the catalogue, so that a new one is asked too.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import httpx
import pytest

from tests.sql.access import IDENTITIES, Cast
from tests.sql.requests import answers, filters, outcome_of, rows_within
from tests.sql.test_access_matrix import SHOWN, TABLES

KEYS = """
select key.conname, here.relname, there.relname
from pg_constraint as key
join pg_class as here on here.oid = key.conrelid join pg_class as there on there.oid = key.confrelid
where key.contype = 'f' and here.relnamespace = 'public'::regnamespace and there.relnamespace = 'public'::regnamespace
"""
READABLE = """
select relation.relname, array_agg(attribute.attname)
from pg_class as relation join pg_attribute as attribute on attribute.attrelid = relation.oid
where relation.relnamespace = 'public'::regnamespace and attribute.attnum > 0 and not attribute.attisdropped
  and has_column_privilege('authenticated', relation.oid, attribute.attnum, 'select')
group by relation.relname
"""
OWN = {"notification_settings", "push_subscriptions", "user_contact_settings", "user_queue_settings",
       "user_tma_settings", "wa_saved_views", "wa_thread_reads"}  # fmt: skip
"""Whose rows are shown to the user they name, and to nobody else."""
NOT_TO_ITSELF = ("PGRST200", "PGRST201")
"""Between a table and itself, the key's name doesn't say in which direction."""


@pytest.fixture(scope="module")
async def embeds(cast: Cast) -> list[tuple[str, str, str]]:
    """Key, table that is asked for, and table whose rows come inside."""
    keys = await cast.world.rows(KEYS)
    assert len(keys) > 60
    return [embed for key, here, there in keys for embed in ((key, here, there), (key, there, here))]


def expected(identity: str, outer: str, inner: str) -> str:
    outcomes = [TABLES[table].select.outcome(identity) for table in (outer, inner)]
    return "refused" if "refused" in outcomes else outcomes[0]


@pytest.mark.parametrize("table", sorted(TABLES))
async def test_an_embed_shows_what_asking_for_it_does(
    table: str, cast: Cast, embeds: list[tuple[str, str, str]]
) -> None:
    columns = {name: ",".join(names) for name, names in await cast.world.rows(READABLE)}
    asked = {
        (key, inner, identity): partial(
            cast.request, identity, "GET", table,
            select=f"{next(iter(cast.rows[table]))},inside:{inner}!{key}({columns.get(inner, '*')})",
            **filters(cast.rows[table]),
        )
        for key, outer, inner in embeds if outer == table
        for identity in IDENTITIES
    }  # fmt: skip
    found = await answers(asked)
    answered = {
        key: answer for key, answer in found.items()
        if key[1] != table or answer.is_success or answer.json()["code"] not in NOT_TO_ITSELF
    }  # fmt: skip

    assert {key: outcome_of(answer) for key, answer in answered.items()} == {
        (key, inner, identity): expected(identity, table, inner) for key, inner, identity in answered
    }
    for (key, inner, identity), answer in answered.items():
        if identity != "service" and answer.is_success:
            assert await foreign_within(answer, cast, identity, table, inner) == [], f"{key} as {identity}"


async def foreign_within(
    answer: httpx.Response, cast: Cast, identity: str, outer: str, inner: str
) -> list[dict[str, Any]]:
    """What is in an answer of a workspace that its reader isn't in, or of somebody else's own."""
    spaces, user_id = await cast.workspaces_of(identity), str(cast.user_ids.get(identity))
    sees_all = identity == "operator" and SHOWN.select in (TABLES[outer].select, TABLES[inner].select)
    return [
        row
        for row in rows_within(answer.json())
        if (row.get("workspace_id") not in (None, *spaces) and not sees_all)
        or (inner in OWN and row.get("user_id", user_id) != user_id)
    ]
