"""The migrations leave the same rights whether or not the platform grants new objects to the API roles by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from qero.local.stack import Address

OWN_SCHEMAS = ("public", "private")

TABLES_FOR_ANON = """
select c.oid::regclass::text from pg_class c
 where c.relnamespace::regnamespace::text = any (%s)
   and case
         when c.relkind in ('r', 'p', 'v', 'm', 'f') then
           has_table_privilege('anon', c.oid, 'select, insert, update, delete, truncate, references, trigger')
           or has_any_column_privilege('anon', c.oid, 'select, insert, update, references')
         when c.relkind = 'S' then has_sequence_privilege('anon', c.oid, 'usage, select, update')
       end
"""
FUNCTIONS_FOR_ANON = """
select p.oid::regprocedure::text from pg_proc p
 where p.pronamespace::regnamespace::text = any (%s) and has_function_privilege('anon', p.oid, 'execute')
"""
EVERY_GRANT = """
select c.oid::regclass::text, array(select unnest(coalesce(c.relacl, '{}'))::text order by 1) from pg_class c
 where c.relnamespace::regnamespace::text = any (%s) and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
union all
select p.oid::regprocedure::text, array(select unnest(coalesce(p.proacl, acldefault('f', p.proowner)))::text order by 1)
  from pg_proc p where p.pronamespace::regnamespace::text = any (%s)
order by 1
"""


@pytest.fixture
async def granting_database(granting: Address) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    connection = await psycopg.AsyncConnection.connect(granting.db_url, autocommit=True)
    async with connection:
        yield connection


async def rows(connection: psycopg.AsyncConnection[Any], query: str) -> list[tuple[Any, ...]]:
    parameters = [list(OWN_SCHEMAS)] * query.count("%s")
    return await (await connection.execute(query, parameters)).fetchall()  # type: ignore[arg-type,unused-ignore]


async def test_that_stack_does_grant_what_is_created(granting_database: psycopg.AsyncConnection[Any]) -> None:
    async with granting_database.transaction(force_rollback=True):
        await granting_database.execute("create table public.canary (id int)")
        await granting_database.execute("create function public.sing() returns int language sql as 'select 1'")

        assert await rows(granting_database, TABLES_FOR_ANON) == [("canary",)]
        assert await rows(granting_database, FUNCTIONS_FOR_ANON) == [("sing()",)]


async def test_anon_has_no_right_on_any_table_or_function(granting_database: psycopg.AsyncConnection[Any]) -> None:
    assert await rows(granting_database, TABLES_FOR_ANON) == []
    assert await rows(granting_database, FUNCTIONS_FOR_ANON) == []


async def test_every_role_has_exactly_the_rights_that_it_has_without_default_grants(
    granting_database: psycopg.AsyncConnection[Any], database: psycopg.AsyncConnection[Any]
) -> None:
    granted = await rows(granting_database, EVERY_GRANT)

    assert len(granted) > 20
    assert granted == await rows(database, EVERY_GRANT)
