"""Contacts of a workspace, with what the caller has marked them with."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from uuid import UUID

from qero.clients.factory import UserClient, require_user_client
from qero.clients.rpc import call, call_encoded, execute
from qero.models.contact import (
    Contact,
    ContactDuplicate,
    ContactFilter,
    ContactPatch,
    Conversation,
    Count,
    DeletedContact,
    LeadStatus,
    MergedContact,
    MyContact,
    PeopleSort,
    TimelineItem,
)
from qero.models.imports import ImportRequest, ImportRow, RowOutcome
from qero.models.personal import ContactSettings, ContactSettingsPatch
from qero.models.row import Page


class Contacts:
    """Row security: contacts of the caller's workspaces, and the caller's own settings for them. Viewers only read.

    Raises:
        NotAuthenticated: `not_authenticated`, made with anything but a user's client.
    """

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def list(
        self,
        workspace_id: UUID,
        filter: ContactFilter | None = None,
        *,
        sort: PeopleSort = "created_at",
        descending: bool | None = None,
        after: str | None = None,
        limit: int = 50,
    ) -> Page[MyContact]:
        """A page of contacts with the caller's settings, filtered, ordered and paged in the database.

        Args:
            descending: None is the newest first, and names from A.
            after: the `next` of the page before, with the same filter and order.
            limit: 1 to 200.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, the limit, the cursor or the order.
        SQL: public.list_contacts
        """
        rows = await call(
            self._client,
            "list_contacts",
            builtins.list[MyContact],
            p_workspace_id=workspace_id,
            **_arguments(filter),
            p_sort=sort,
            p_descending=descending,
            p_after=after,
            p_limit=limit,
        )
        return Page.of(rows, limit)

    async def count(self, workspace_id: UUID, filter: ContactFilter | None = None, *, exact: bool = True) -> Count:
        """How many contacts there are; not `exact`, more than 5,000 are estimated, which is quick at any size.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, a filter.
        SQL: public.count_contacts
        """
        return await call(
            self._client, "count_contacts", Count, p_workspace_id=workspace_id, **_arguments(filter), p_exact=exact
        )

    async def get(self, contact_id: UUID) -> MyContact:
        """One contact with the caller's settings, as lists show it.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
        SQL: public.get_contact
        """
        return await call(self._client, "get_contact", MyContact, p_contact_id=contact_id)

    async def create(self, workspace_id: UUID, fields: ContactPatch) -> Contact:
        """Create a contact; it needs a name, an e-mail or a phone number. Not idempotent.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value` or `lead_status_invalid`, naming the field; `field_unknown`.
            Conflict: `contact_exists`, e-mail or phone is another contact's, which the detail names.
        SQL: public.create_contact
        """
        return await call(
            self._client,
            "create_contact",
            Contact,
            p_workspace_id=workspace_id,
            p_fields=fields.model_dump(mode="json", exclude_unset=True),
        )

    async def update(self, contact_id: UUID, patch: ContactPatch) -> Contact:
        """Change the named fields of exactly this contact; the others stay. Idempotent. Returns it fresh.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value` or `lead_status_invalid`, naming the field; `field_unknown`.
            Conflict: `contact_exists`, e-mail or phone is another contact's, which the detail names.
        SQL: public.update_contact
        """
        return await call(
            self._client,
            "update_contact",
            Contact,
            p_contact_id=contact_id,
            p_patch=patch.model_dump(mode="json", exclude_unset=True),
        )

    async def update_status(self, contact_id: UUID, lead_status: LeadStatus) -> Contact:
        """Set the lead status of exactly this contact; nothing else changes. Idempotent.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `lead_status_invalid`; the detail lists the allowed values.
        SQL: public.update_contact_status
        """
        return await call(
            self._client, "update_contact_status", Contact, p_contact_id=contact_id, p_lead_status=lead_status
        )

    async def set_settings(self, contact_id: UUID, patch: ContactSettingsPatch) -> ContactSettings:
        """Change the named keys of the caller's own settings for this contact. The contact itself stays. Idempotent.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, naming the key; `field_unknown`.
        SQL: public.set_contact_settings
        """
        return await call(
            self._client,
            "set_contact_settings",
            ContactSettings,
            p_contact_id=contact_id,
            p_patch=patch.model_dump(mode="json", exclude_unset=True),
        )

    async def delete(self, contact_id: UUID) -> DeletedContact:
        """Delete a contact with its notes, conversations, call logs and everybody's settings, in one transaction.

        Whoever it was becomes a new contact when they write again. Not idempotent: the second call finds nothing.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
        SQL: public.delete_contact
        """
        return await call(self._client, "delete_contact", DeletedContact, p_contact_id=contact_id)

    async def import_rows(
        self, workspace_id: UUID, rows: Sequence[ImportRow], *, dry_run: bool = True, update: bool = True
    ) -> builtins.list[RowOutcome]:
        """Create contacts, or update those with the same e-mail or phone; one outcome for each row, in order.

        What a row doesn't give stays; tags are added. Safe to repeat: what is there already is skipped.

        Args:
            rows: at most 5,000, each with an e-mail or a phone number. `qero.services.imports` sends any number.
            dry_run: only say what would become of each.
            update: False skips contacts that exist.

        Raises:
            NotFound: `workspace_not_found`.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `too_many_rows`, `invalid_value`.
            Unavailable: `try_again`, somebody changed the same contacts meanwhile; nothing was written.
        SQL: public.import_contacts
        """
        request = ImportRequest(p_workspace_id=workspace_id, p_rows=rows, p_dry_run=dry_run, p_update=update)
        return await call_encoded(self._client, "import_contacts", builtins.list[RowOutcome], request.encoded())

    async def duplicates(self, workspace_id: UUID, *, limit: int = 50) -> builtins.list[ContactDuplicate]:
        """Pairs that are likely one person, at most `limit` (1 to 1000), with the reason.

        Raises:
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, the limit.
        SQL: public.list_contact_duplicates
        """
        return await call(
            self._client,
            "list_contact_duplicates",
            builtins.list[ContactDuplicate],
            p_workspace_id=workspace_id,
            p_limit=limit,
        )

    async def dismiss_duplicate(self, contact_id: UUID, duplicate_id: UUID) -> None:
        """Say that two contacts are two people: `duplicates` lists the pair no more. Idempotent.

        Raises:
            NotFound: `contact_not_found`, either of them, also when they are of different workspaces.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, both are the same.
        SQL: public.dismiss_contact_duplicate
        """
        await call(
            self._client, "dismiss_contact_duplicate", type(None), p_contact_id=contact_id, p_duplicate_id=duplicate_id
        )

    async def merge(self, contact_id: UUID, duplicate_id: UUID) -> MergedContact:
        """Make two contacts one, in one transaction: everything of the duplicate moves to the first.

        The first keeps its fields and takes what it lacks. Whoever has settings for both keeps their status for the
        first, the earlier follow-up, and both notes. Not idempotent: the duplicate is gone after the first call.

        Raises:
            NotFound: `contact_not_found`, either of them, also when they are of different workspaces.
            PermissionDenied: `role_required`, viewers only read.
            InvalidState: `workspace_suspended`.
            InvalidInput: `invalid_value`, both are the same.
        SQL: public.merge_contacts
        """
        return await call(
            self._client, "merge_contacts", MergedContact, p_contact_id=contact_id, p_duplicate_id=duplicate_id
        )

    async def timeline(self, contact_id: UUID, *, after: str | None = None, limit: int = 50) -> Page[TimelineItem]:
        """What happened with a contact, the latest first: messages, notes, calls, changes of status, merges, takeovers.

        Args:
            after: the `next` of the page before.
            limit: 1 to 200.

        Raises:
            NotFound: `contact_not_found`, none such, or another workspace's.
            InvalidInput: `invalid_value`, the limit or the cursor.
        SQL: public.list_contact_timeline
        """
        rows = await call(
            self._client,
            "list_contact_timeline",
            builtins.list[TimelineItem],
            p_contact_id=contact_id,
            p_after=after,
            p_limit=limit,
        )
        return Page.of(rows, limit)

    async def conversations(self, contact_id: UUID) -> builtins.list[Conversation]:
        """A contact's threads over all channels, the latest activity first. Empty for a foreign contact.

        SQL: select on public.conversations
        """
        query = (
            self._client.table("conversations")
            .select("*")
            .eq("contact_id", str(contact_id))
            .order("last_message_at", desc=True)
            .order("id", desc=True)
        )
        return await execute(
            self._client,
            query,
            builtins.list[Conversation],
            operation="contacts.conversations",
            contact_id=str(contact_id),
        )


def _arguments(filter: ContactFilter | None) -> dict[str, object]:
    return {f"p_{name}": value for name, value in (filter or ContactFilter()).model_dump(mode="json").items()}
