"""Contacts and candidates for tests, and everything an outsider could look at."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

from qero import Candidates, Contacts
from qero.models.candidate import Candidate, CandidatePatch
from qero.models.contact import Contact, ContactPatch
from qero.models.workspace import Workspace
from tests.support import User, World


async def contact_of(user: User, workspace: Workspace, **fields: Any) -> Contact:
    fields = fields or {"name": f"Person {uuid4().hex[:6]}"}
    return await Contacts(user.client).create(workspace.id, ContactPatch(**fields))


async def candidate_of(user: User, workspace: Workspace, **fields: Any) -> Candidate:
    fields = fields or {"name": f"Person {uuid4().hex[:6]}"}
    return await Candidates(user.client).create(workspace.id, CandidatePatch(**fields))


async def shared_rows(world: World, workspace_id: UUID) -> list[tuple[Any, ...]]:
    """Every column of every contact and candidate of a workspace, as the tables' owner sees them."""
    return await world.rows(
        """
        select to_jsonb(contact) from contacts as contact where workspace_id = %s
        union all select to_jsonb(candidate) from tma_candidates as candidate where workspace_id = %s order by 1
        """,
        workspace_id,
        workspace_id,
    )


async def personal_rows(world: World, workspace_id: UUID) -> list[tuple[Any, ...]]:
    return await world.rows(
        """
        select to_jsonb(settings) from user_contact_settings as settings where workspace_id = %s
        union all select to_jsonb(settings) from user_tma_settings as settings where workspace_id = %s order by 1
        """,
        workspace_id,
        workspace_id,
    )
