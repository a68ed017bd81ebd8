"""TMA candidates of a workspace, with what the caller has marked them with."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from uuid import UUID

from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call, call_encoded
from qero.models.candidate import Candidate, CandidateFilter, CandidatePatch, MyCandidate
from qero.models.contact import PeopleSort
from qero.models.imports import ImportRequest, ImportRow, RowOutcome
from qero.models.personal import CandidateSettings, CandidateSettingsPatch
from qero.models.row import Page


class Candidates:
    """Row security: candidates of the caller's workspaces, and the caller's own settings for them. Viewers only read.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def list(
        self,
        workspace_id: UUID,
        filter: CandidateFilter | None = None,
        *,
        sort: PeopleSort = "created_at",
        descending: bool | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[MyCandidate]:
        """A page of candidates with the caller's settings, filtered, ordered and paged in the database.

        Args:
            descending: None is the newest first, and names from A.
            after: the `next` of the page before, with the same filter and order.
            limit: 1 to 200.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, the limit, the cursor or the order.
        SQL: public.list_candidates
        """
        arguments = (filter or CandidateFilter()).model_dump(mode="json")
        rows = await call(
            self._client,
            "list_candidates",
            builtins.list[MyCandidate],
            p_workspace_id=workspace_id,
            **{f"p_{name}": value for name, value in arguments.items()},
            p_sort=sort,
            p_descending=descending,
            p_after=after,
            p_limit=limit,
        )
        return Page.of(rows, limit)

    async def get(self, candidate_id: UUID) -> MyCandidate:
        """One candidate with the caller's settings, as lists show them.

        Raises:
            NotFound: `candidate_not_found`, none such, or another workspace's.
        SQL: public.get_candidate
        """
        return await call(self._client, "get_candidate", MyCandidate, p_candidate_id=candidate_id)

    async def create(self, workspace_id: UUID, fields: CandidatePatch) -> Candidate:
        """Create a candidate; it needs a name, an e-mail or a phone number. Not idempotent.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, naming the field; `field_unknown`.
            Conflict: `candidate_exists`, e-mail or phone is another candidate's, which the detail names.
        SQL: public.create_candidate
        """
        return await call(
            self._client,
            "create_candidate",
            Candidate,
            p_workspace_id=workspace_id,
            p_fields=fields.model_dump(mode="json", exclude_unset=True),
        )

    async def update(self, candidate_id: UUID, patch: CandidatePatch) -> Candidate:
        """Change the named fields of exactly this candidate; the others stay. Idempotent. Returns it fresh.

        Raises:
            NotFound: `candidate_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, naming the field; `field_unknown`.
            Conflict: `candidate_exists`, e-mail or phone is another candidate's, which the detail names.
        SQL: public.update_candidate
        """
        return await call(
            self._client,
            "update_candidate",
            Candidate,
            p_candidate_id=candidate_id,
            p_patch=patch.model_dump(mode="json", exclude_unset=True),
        )

    async def set_settings(self, candidate_id: UUID, patch: CandidateSettingsPatch) -> CandidateSettings:
        """Change the named keys of the caller's own settings for this candidate, who stays as they are. Idempotent.

        Raises:
            NotFound: `candidate_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, naming the key; `field_unknown`.
        SQL: public.set_tma_settings
        """
        return await call(
            self._client,
            "set_tma_settings",
            CandidateSettings,
            p_candidate_id=candidate_id,
            p_patch=patch.model_dump(mode="json", exclude_unset=True),
        )

    async def delete(self, candidate_id: UUID) -> None:
        """Delete a candidate with everybody's settings for them. Not idempotent: the second call finds nothing.

        Raises:
            NotFound: `candidate_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
        SQL: public.delete_candidate
        """
        await call(self._client, "delete_candidate", UUID, p_candidate_id=candidate_id)

    async def import_rows(
        self, workspace_id: UUID, rows: Sequence[ImportRow], *, dry_run: bool = True, update: bool = True
    ) -> builtins.list[RowOutcome]:
        """Create candidates, or update those with the same e-mail or phone; one outcome for each row, in order.

        What a row doesn't give stays; tags are added. Safe to repeat: what is there already is skipped.

        Args:
            rows: at most 5,000, each with an e-mail or a phone number. `qero.services.imports` sends any number.
            dry_run: only say what would become of each.
            update: False skips candidates that exist.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `too_many_rows`, `invalid_value`.
            Unavailable: `try_again`, somebody changed the same candidates meanwhile; nothing was written.
        SQL: public.import_candidates
        """
        request = ImportRequest(p_workspace_id=workspace_id, p_rows=rows, p_dry_run=dry_run, p_update=update)
        return await call_encoded(self._client, "import_candidates", builtins.list[RowOutcome], request.encoded())
