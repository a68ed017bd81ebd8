"""docs/permissions.md says what the database grants, in both kinds of project."""

from __future__ import annotations

from pathlib import Path
from typing import Any, LiteralString

import psycopg
import pytest

from qero.ops.permissions import permissions_markdown
from tests.sql.answers import answers_markdown
from tests.sql.conftest import RolledBack

PAGE = Path(__file__).parents[2] / "docs" / "permissions.md"


def test_the_page_is_what_the_database_grants(catalogue: psycopg.Connection[Any]) -> None:
    assert permissions_markdown(catalogue, answers_markdown()) == PAGE.read_text(), "run scripts/docs"


@pytest.mark.parametrize(
    "change",
    [
        "grant delete on public.contacts to authenticated",
        "grant update (name) on public.contacts to authenticated",
        "grant select on sequence public.meta_webhook_events_id_seq to anon",
        "grant truncate on public.contacts to public",
        "grant execute on function private.set_updated_at() to public",
        "grant execute on function public.claim_outbox(integer, text) to authenticated",
        "revoke execute on function public.whoami() from service_role",
        "grant usage on schema private to anon",
        "alter policy contacts_select_member on public.contacts using (true)",
        "alter table public.contact_notes drop constraint contact_notes_workspace_id_contact_id_fkey",
        "alter function public.resolve_workspace(text) security definer",
    ],
)
def test_the_page_notices(change: LiteralString, rolled_back: RolledBack) -> None:
    with rolled_back() as connection:
        connection.execute(change)

        assert permissions_markdown(connection, answers_markdown()) != PAGE.read_text()
