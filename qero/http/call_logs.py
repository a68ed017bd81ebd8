"""Calls with contacts."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime, Field

from qero.errors import InvalidInput
from qero.http.callers import Input, User
from qero.http.lists import Limit
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.call_log import CallLog, CallOutcome, ContactCalls
from qero.services.call_logs import CallLogs

IDS_LIMIT = 500

router = Router(prefix="/api/contacts", tags=["calls"])


class OfContacts(Input):
    contact_ids: list[UUID] = Field(description="At most 500.")
    limit: int = Field(20, ge=1, le=200, description="Calls of each contact.")


class NewCall(Input):
    outcome: CallOutcome
    duration_seconds: int = 0
    note: str | None = None
    called_at: AwareDatetime | None = Field(None, description="Now, unless given.")


@router.post("/call-logs", responses=refusals(CallLogs.for_contacts, codes=["too_many_ids"], writes=True))
async def get_call_logs(user: User, asked: OfContacts) -> list[ContactCalls]:
    """The latest calls with each of many contacts, each once, in the order given; none of a foreign contact."""
    # The service takes any number; a request doesn't.
    if len(asked.contact_ids) > IDS_LIMIT:
        count = len(asked.contact_ids)
        raise InvalidInput("too_many_ids", detail={"field": "contact_ids", "count": count, "limit": IDS_LIMIT})
    return await CallLogs(user).for_contacts(asked.contact_ids, limit=asked.limit)


@router.get("/{id}/call-logs", responses=refusals(CallLogs.list))
async def list_calls(user: User, id: UUID, limit: Limit = 20) -> list[CallLog]:
    """The latest calls with one contact; none of a foreign contact."""
    return await CallLogs(user).list(id, limit=limit)


@router.post("/{id}/call-logs", status_code=201, responses=refusals(CallLogs.log, writes=True))
async def log_call(user: User, id: UUID, call: NewCall) -> CallLog:
    """Logs one call with a contact."""
    return await CallLogs(user).log(
        id, call.outcome, duration_seconds=call.duration_seconds, note=call.note, called_at=call.called_at
    )
