"""Every column is shown to, and taken from, exactly the roles that docs/permissions.md says, through the API."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.sql.access import Cast
from tests.sql.requests import answers, outcome_of

ROLES = {"member": "authenticated", "service": "service_role"}
UNWRITABLE = ("428C9", "0A000")
"""What Postgres fills in by itself, and what a view makes up, takes a value from nobody, whatever their rights."""

RIGHTS = """
select relation.relname, attribute.attname,
  array(select action from unnest('{select,insert,update}'::text[]) as action
    where has_column_privilege(%s, relation.oid, attribute.attnum, action)),
  attribute.attgenerated <> '' or attribute.attidentity = 'a'
from pg_class as relation join pg_attribute as attribute on attribute.attrelid = relation.oid
where relation.relnamespace = 'public'::regnamespace and relation.relkind = any ('{r,p,v,m,f}')
  and attribute.attnum > 0 and not attribute.attisdropped
"""

Request = Callable[[], Awaitable[httpx.Response]]
Columns = dict[tuple[str, str], tuple[frozenset[str], bool]]


@pytest.fixture(scope="module")
async def rights(cast: Cast) -> dict[str, Columns]:
    """By identity: what may be done with each column of each table, and whether Postgres fills it in."""
    return {
        identity: {
            (table, column): (frozenset(actions), generated)
            for table, column, actions, generated in await cast.world.rows(RIGHTS, role)
        }
        for identity, role in ROLES.items()
    }


def asking(cast: Cast, identity: str, action: str, table: str, columns: list[str]) -> Request:
    """A request that touches these columns and no row."""
    match action:
        case "select":
            return partial(cast.request, identity, "GET", table, select=",".join(columns), limit="0")
        case "insert":
            return partial(cast.request, identity, "POST", table, [], columns=",".join(columns))
    key, _ = next(iter(cast.rows[table].items()))
    nowhere = {key: "is.null"}
    return partial(cast.request, identity, "PATCH", table, dict.fromkeys(columns), **nowhere)


def is_allowed(answer: httpx.Response) -> bool:
    if answer.is_success:
        return True
    code = answer.json()["code"]
    assert code in ("42501", *UNWRITABLE), answer.text
    return code in UNWRITABLE


@pytest.mark.parametrize("identity", ROLES)
@pytest.mark.parametrize("action", ["select", "insert", "update"])
async def test_every_column_answers_as_the_page_says(
    identity: str, action: str, cast: Cast, rights: dict[str, Columns]
) -> None:
    allowed: dict[str, list[str]] = {}
    refused = []
    for (table, column), (actions, generated) in rights[identity].items():
        if action in actions and not generated:
            allowed.setdefault(table, []).append(column)
        elif action not in actions:
            refused.append((table, column))
    found = await answers(
        {(table, ""): asking(cast, identity, action, table, columns) for table, columns in allowed.items()}
        | {(table, column): asking(cast, identity, action, table, [column]) for table, column in refused}
    )

    assert len(found) > 20
    wrong = {key: answer.text for key, answer in found.items() if is_allowed(answer) == bool(key[1])}
    assert {key: text for key, text in wrong.items() if not any(code in text for code in UNWRITABLE)} == {}


@pytest.mark.parametrize("by", ["order", "filter", "alias", "within another table's rows"])
async def test_a_hidden_column_can_be_asked_for_in_no_way(by: str, cast: Cast, rights: dict[str, Columns]) -> None:
    shown = {table for (table, _), (actions, _) in rights["member"].items() if "select" in actions}
    hidden = [key for key, (actions, _) in rights["member"].items() if "select" not in actions and key[0] in shown]
    assert ("workspace_invitations", "token_hash") in hidden
    for table, column in hidden:
        request = {
            "order": {"select": "id", "order": column},
            "filter": {"select": "id", column: "is.null"},
            "alias": {"select": f"id,other:{column}::text"},
            "within another table's rows": {"select": f"id,{table}({column})"},
        }[by]
        asked = "workspaces" if by.startswith("within") else table
        for identity in ("owner", "stranger"):
            answer = await cast.request(identity, "GET", asked, **request)
            assert outcome_of(answer) == "refused", f"{identity} {table}.{column}: {answer.text}"


async def test_nobody_sees_what_there_is_without_a_user(cast: Cast) -> None:
    """The description of the API, as anybody with the publishable key gets it, names nothing of ours."""
    described: dict[str, Any] = (await cast.request("anon", "GET", "")).json()
    assert [path for path in described.get("paths", {}) if path != "/"] == []
    members = (await cast.request("member", "GET", "")).json()
    assert "/contacts" in members["paths"]
    assert "/owner_audit_log" not in members["paths"]


async def test_no_role_reads_by_writing(cast: Cast) -> None:
    """What `return=representation` shows is what its reader may see: a column without a right refuses the write."""
    row = {"workspace_id": str(cast.workspace.id), "email": f"{uuid4().hex}@example.com", "role": "member"}
    answer = await cast.request("owner", "POST", "workspace_invitations", row, prefer="return=representation")
    assert outcome_of(answer) == "refused"
