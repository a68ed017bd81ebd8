"""Meta's embedded signup: what it is started with, what Meta says about a token, and what became of each number."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import ConfigDict, Field

from qero.models.row import Row
from qero.models.whatsapp import Connection


class SignupState(Row):
    """A state as it was made: the only time it is shown."""

    state: str = Field(repr=False)
    expires_at: datetime


class SignupStart(Row):
    """What a browser needs to open Meta's signup."""

    app_id: str
    config_id: str
    graph_version: str
    state: str = Field(repr=False)
    redirect_uri: str | None
    """Where Meta sends the browser back to; None for a signup by Meta's JavaScript SDK."""
    expires_at: datetime


class UsedState(Row):
    """What a state was made for."""

    workspace_id: UUID
    redirect_uri: str | None


class MetaRow(Row):
    """What Graph answers; it writes ids as text, and not everywhere."""

    model_config = ConfigDict(coerce_numbers_to_str=True)


class GranularScope(MetaRow):
    """A permission, and the objects it is limited to."""

    scope: str
    target_ids: list[str] = Field(default_factory=list)


class TokenInfo(MetaRow):
    """What Meta says about an access token."""

    is_valid: bool
    app_id: str | None = None
    user_id: str | None = None
    granular_scopes: list[GranularScope] = Field(default_factory=list)

    def waba_ids(self) -> list[str]:
        """The WhatsApp business accounts that the token was granted, the one shared last first.

        Newer tokens name them under messaging only, older ones under management too.
        """
        names = ("whatsapp_business_management", "whatsapp_business_messaging")
        found = [
            id_ for name in names for scope in self.granular_scopes if scope.scope == name for id_ in scope.target_ids
        ]
        return list(dict.fromkeys(found))


class MetaPhoneNumber(MetaRow):
    """A phone number as Meta describes it."""

    id: str
    display_phone_number: str | None = None
    verified_name: str | None = None


class SignupNumber(Row):
    """What became of one number of a signup."""

    phone_number_id: str
    display_phone_number: str | None
    outcome: Literal["connected", "refused"]
    connection: Connection | None = None
    error: dict[str, Any] | None = None
    """Why it isn't connected: code, message, detail and hint."""


class SignupResult(Row):
    """A finished signup: at least one number is connected."""

    workspace_id: UUID
    waba_id: str
    numbers: list[SignupNumber]
