"""Workspaces, and who the caller is in them."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import Field

from qero.models.row import Row

Role = Literal["owner", "admin", "member", "viewer"]


class Workspace(Row):
    id: UUID
    slug: str
    name: str
    status: Literal["active", "suspended"]
    created_at: datetime
    updated_at: datetime


class Membership(Row):
    """A workspace the caller is in, and as what."""

    id: UUID
    slug: str
    role: Role


class MemberRole(Row):
    """What somebody is in a workspace."""

    workspace_id: UUID
    user_id: UUID
    role: Role
    created_at: datetime
    updated_at: datetime


class Member(Row):
    """Somebody in a workspace, and as what."""

    user_id: UUID
    role: Role
    email: str | None
    full_name: str | None
    created_at: datetime


class Invitation(Row):
    """An address that was invited to a workspace."""

    id: UUID
    workspace_id: UUID
    email: str
    role: Role
    invited_by: UUID | None
    accepted_by: UUID | None
    expires_at: datetime
    accepted_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


class NewInvitation(Invitation):
    token: str = Field(repr=False)
    """Accepts the invitation; shown only here."""


class WhoAmI(Row):
    """Who the API takes a client for, and what it can see."""

    user_id: UUID | None
    email: str | None
    role: str
    """The role in the token: `authenticated`, or `service_role`."""
    database_role: str
    workspaces: list[Membership]
    personal_rows: dict[str, Any]
    """How many rows of each personal table are the caller's."""
