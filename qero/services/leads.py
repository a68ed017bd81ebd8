"""Leads: who automation writes to until a person takes over."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from uuid import UUID

from qero.clients.factory import Client
from qero.clients.rpc import call, execute, one_row, page_limit
from qero.models.lead import Client as LeadClient
from qero.models.lead import Lead, LeadFields, LeadPatch, LeadStage, Project, Takeover
from qero.models.lead_queue import LedgerEntry

PAGE_LIMIT = 1000


class Leads:
    """Row security: leads of the caller's workspaces. Viewers only read."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(
        self, workspace_id: UUID, contact_ids: Sequence[UUID], fields: LeadFields | None = None
    ) -> builtins.list[Lead]:
        """Make a lead of each contact that isn't an open one of the same project yet; returns the new ones.

        Idempotent: repeating it makes none.

        Args:
            contact_ids: 1 to 1,000.

        Raises:
            NotFound: `workspace_not_found`, or `contact_not_found`, naming one; then none is made.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `too_many_ids`; `invalid_value`, `reference_not_found` or `field_unknown`, naming the field.
        SQL: public.create_leads
        """
        return await call(
            self._client,
            "create_leads",
            builtins.list[Lead],
            p_workspace_id=workspace_id,
            p_contact_ids=[*contact_ids],
            p_fields=(fields or LeadFields()).model_dump(mode="json", exclude_unset=True),
        )

    async def get(self, lead_id: UUID) -> Lead:
        """One lead.

        Raises:
            NotFound: `lead_not_found`, none such, or another workspace's.
        SQL: select on public.leads
        """
        query = self._client.table("leads").select("*").eq("id", str(lead_id))
        rows = await execute(self._client, query, builtins.list[Lead], operation="leads.get", lead_id=str(lead_id))
        return one_row(rows, "lead_not_found", lead_id=lead_id)

    async def list(
        self,
        workspace_id: UUID,
        *,
        status: LeadStage | None = None,
        user_id: UUID | None = None,
        contact_id: UUID | None = None,
        after: UUID | None = None,
        limit: int = 50,
    ) -> builtins.list[Lead]:
        """Leads of a workspace by id, at most `limit` (1 to 1000).

        Args:
            after: the last id of the page before.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.leads
        """
        query = self._client.table("leads").select("*").eq("workspace_id", str(workspace_id))
        for column, value in (("status", status), ("user_id", user_id), ("contact_id", contact_id)):
            if value is not None:
                query = query.eq(column, str(value))
        if after is not None:
            query = query.gt("id", str(after))
        query = query.order("id").limit(page_limit(limit, PAGE_LIMIT))
        return await execute(
            self._client, query, builtins.list[Lead], operation="leads.list", workspace_id=str(workspace_id)
        )

    async def update(self, lead_id: UUID, patch: LeadPatch) -> Lead:
        """Change the named fields of exactly this lead; the others stay. Idempotent. Returns it fresh.

        Engaged, qualified and lost end automation: what is queued for the lead is cancelled, and the caller has it.

        Raises:
            NotFound: `lead_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `lead_status_invalid`, with the allowed values; `invalid_value`, `reference_not_found` or
                `field_unknown`, naming the field.
        SQL: public.update_lead
        """
        return await call(
            self._client,
            "update_lead",
            Lead,
            p_lead_id=lead_id,
            p_patch=patch.model_dump(mode="json", exclude_unset=True),
        )

    async def assign(self, workspace_id: UUID, *, limit: int = 1000) -> dict[UUID, int]:
        """Give leads that are nobody's to members who take such; returns how many went to whom.

        The contact's own member comes first; the rest goes round in turns, the best lead first, to whoever has room
        within their daily capacity. Idempotent where nothing is left.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`, owners and admins assign.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, the limit isn't 1 to 10,000.
        SQL: public.assign_leads
        """
        return await call(self._client, "assign_leads", dict[UUID, int], p_workspace_id=workspace_id, p_limit=limit)

    async def take(self, lead_id: UUID, reason: str | None = None) -> Takeover:
        """Take a lead from automation, and with it every other lead of the same contact. Only for a user.

        What is queued for them is cancelled, never deleted; what a worker has in hand may still leave and is reported
        as handed over. Nothing else of automation's leaves after this has returned. Idempotent for who has it.

        Raises:
            NotFound: `lead_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read; `permission_denied`, the service is no person.
            InvalidState: `lead_taken`, the detail says by whom; `workspace_suspended`.
        SQL: public.take_lead
        """
        return await call(self._client, "take_lead", Takeover, p_lead_id=lead_id, p_reason=reason)

    async def release(self, lead_id: UUID, reason: str | None = None) -> Lead:
        """Give a lead back to automation, which begins anew with it the next day that is prepared. Only for a user.

        Whoever took it may, and owners and admins. One that is qualified or lost stays so.

        Raises:
            NotFound: `lead_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read; `permission_denied`, the service is no person.
            InvalidState: `lead_not_taken`, automation has it; `lead_taken`, somebody else has; `workspace_suspended`.
        SQL: public.release_lead
        """
        return await call(self._client, "release_lead", Lead, p_lead_id=lead_id, p_reason=reason)

    async def ledger(self, lead_id: UUID, *, before: int | None = None, limit: int = 50) -> builtins.list[LedgerEntry]:
        """Every transition of a lead and its messages, the latest first, at most `limit` (1 to 1000).

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.queue_ledger
        """
        query = self._client.table("queue_ledger").select("*").eq("lead_id", str(lead_id))
        if before is not None:
            query = query.lt("id", before)
        query = query.order("id", desc=True).limit(page_limit(limit, PAGE_LIMIT))
        return await execute(
            self._client, query, builtins.list[LedgerEntry], operation="leads.ledger", lead_id=str(lead_id)
        )

    async def add_client(self, workspace_id: UUID, name: str) -> LeadClient:
        """Add a client to win leads for. Not idempotent.

        Raises:
            PermissionDenied: `permission_denied`, viewers only read, and workspaces of others and suspended ones can't
                be written.
            InvalidInput: `invalid_value`, a name of 1 to 300 characters.
        SQL: insert on public.clients
        """
        query = self._client.table("clients").insert({"workspace_id": str(workspace_id), "name": name})
        rows = await execute(
            self._client, query, builtins.list[LeadClient], operation="leads.add_client", workspace_id=str(workspace_id)
        )
        return one_row(rows, "not_found", workspace_id=workspace_id)

    async def add_project(self, workspace_id: UUID, name: str, *, client_id: UUID | None = None) -> Project:
        """Add a project, of a client where given. Not idempotent.

        Raises:
            PermissionDenied: `permission_denied`, viewers only read, and workspaces of others and suspended ones can't
                be written.
            InvalidInput: `invalid_value`, a name of 1 to 300 characters; `reference_not_found`, the client.
        SQL: insert on public.projects
        """
        row = {
            "workspace_id": str(workspace_id),
            "name": name,
            "client_id": None if client_id is None else str(client_id),
        }
        query = self._client.table("projects").insert(row)
        rows = await execute(
            self._client, query, builtins.list[Project], operation="leads.add_project", workspace_id=str(workspace_id)
        )
        return one_row(rows, "not_found", workspace_id=workspace_id)
