"""Message templates: Meta's list of them, and sending one to many."""

from __future__ import annotations

import builtins
from typing import Any
from uuid import UUID, uuid4

from qero.clients.factory import Client, ServiceClient
from qero.clients.graph import GraphClient
from qero.clients.rpc import call
from qero.clients.secrets import Decrypter
from qero.models.inbox import ThreadFilter, Variables
from qero.models.template import AccountToken, BulkPreview, BulkResult, Template, TemplateCounts


class Templates:
    """Row security: those of the caller's workspaces. Owners and admins send to many; one by one is `Threads`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def list(
        self, workspace_id: UUID, *, status: str | None = None, search: str | None = None
    ) -> builtins.list[Template]:
        """The templates of a workspace by name, with what each needs. Empty for a foreign workspace.

        Args:
            status: in Meta's words, `APPROVED` for instance; without one, all but deleted ones.
            search: a part of the name.

        SQL: public.list_templates
        """
        return await call(
            self._client,
            "list_templates",
            builtins.list[Template],
            p_workspace_id=workspace_id,
            p_status=status,
            p_search=search,
        )

    async def preview(
        self,
        workspace_id: UUID,
        template_id: UUID,
        filter: ThreadFilter | None = None,
        *,
        view_id: UUID | None = None,
        variables: Variables | None = None,
        limit: int = 1000,
    ) -> BulkPreview:
        """What `send` with the same arguments would do now: how many get it, who doesn't and why, and samples.

        Raises as `send`:
            NotFound: `workspace_not_found`, `template_not_found`, `view_not_found`.
            PermissionDenied: `role_required`.
            InvalidState: `template_not_approved`, `workspace_suspended`.
            InvalidInput: `template_variables_invalid`, `invalid_value`, `field_unknown`.
        SQL: public.preview_template_send
        """
        return await call(
            self._client,
            "preview_template_send",
            BulkPreview,
            **_bulk(workspace_id, template_id, filter, view_id, variables, limit),
        )

    async def send(
        self,
        workspace_id: UUID,
        template_id: UUID,
        filter: ThreadFilter | None = None,
        *,
        view_id: UUID | None = None,
        variables: Variables | None = None,
        limit: int = 1000,
        idempotency_key: str | None = None,
    ) -> BulkResult:
        """Queue a template to every thread that a filter or a saved view means, the latest activity first.

        They leave behind whatever people write. Idempotent by key: repeating it, a thread gets no second one; threads
        that have come to the filter since get their first.

        Args:
            variables: as for `Threads.send_template`; `{contact.name}`, `{contact.first_name}`, `{contact.email}` and
                `{contact.phone}` in them are filled in for each.
            limit: 1 to 10,000 threads.
            idempotency_key: 1 to 150 characters.

        Raises:
            NotFound: `workspace_not_found`, `template_not_found`, `view_not_found`.
            PermissionDenied: `role_required`, only owners and admins send to many.
            InvalidState: `template_not_approved`, `workspace_suspended`.
            InvalidInput: `template_variables_invalid`, naming what is missing; `invalid_value`, `field_unknown`.
        SQL: public.send_template_to_threads
        """
        return await call(
            self._client,
            "send_template_to_threads",
            BulkResult,
            **_bulk(workspace_id, template_id, filter, view_id, variables, limit),
            p_idempotency_key=str(uuid4()) if idempotency_key is None else idempotency_key,
        )


def _bulk(
    workspace_id: UUID,
    template_id: UUID,
    filter: ThreadFilter | None,
    view_id: UUID | None,
    variables: Variables | None,
    limit: int,
) -> dict[str, Any]:
    return {
        "p_workspace_id": workspace_id,
        "p_template_id": template_id,
        "p_filter": {} if filter is None else filter.model_dump(mode="json", exclude_none=True),
        "p_view_id": view_id,
        "p_variables": variables or {},
        "p_limit": limit,
    }


class TemplateSync:
    """Brings Meta's list of templates here. For the service."""

    def __init__(self, client: ServiceClient, graph: GraphClient, secrets: Decrypter) -> None:
        self._client = client
        self._graph = graph
        self._secrets = secrets

    async def sync(self, workspace_id: UUID) -> TemplateCounts:
        """Read every template of the business accounts whose numbers are active, and store them. Idempotent.

        What Meta doesn't have any more is shown as deleted. A webhook that comes meanwhile is taken for the news. An
        account whose token isn't stored is named in the answer, and its templates stay as they are.

        Raises:
            SettingsError: `secret_undecryptable`, the token was encrypted with another key.
            PermissionDenied: `waba_not_yours`, the token can't read the account.
            InvalidState: `meta_refused`.
            Unavailable: `unavailable`, `network_error`.
            NotFound: `workspace_not_found`, it went meanwhile.
        SQL: public.sync_templates
        """
        synced = gone = 0
        without_token: list[str] = []
        for account in await self._accounts(workspace_id):
            if account.access_token_ciphertext is None:
                without_token.append(account.waba_id)
                continue
            token = self._secrets.decrypt(account.access_token_ciphertext)
            found = await self._graph.message_templates(account.waba_id, access_token=token)
            counts = await call(
                self._client,
                "sync_templates",
                TemplateCounts,
                p_workspace_id=workspace_id,
                p_waba_id=account.waba_id,
                p_templates=found,
                p_asked_at=account.asked_at,
            )
            synced, gone = synced + counts.synced, gone + counts.gone
        return TemplateCounts(synced=synced, gone=gone, accounts_without_token=tuple(without_token))

    async def _accounts(self, workspace_id: UUID) -> list[AccountToken]:
        """SQL: public.get_account_tokens"""
        return await call(self._client, "get_account_tokens", list[AccountToken], p_workspace_id=workspace_id)
