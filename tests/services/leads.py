"""Leads and queues for tests."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from qero import LeadQueue, QueueSettingsPatch
from qero.models.lead_queue import QueueSettings
from qero.models.workspace import Workspace
from tests.support import User, World, digits

HELLO: dict[str, Any] = {"template": {"name": "hello", "language": {"code": "en"}}}
AGAIN: dict[str, Any] = {"template": {"name": "still_there", "language": {"code": "en"}}, "after_days": 3}
ALWAYS: dict[str, Any] = {"sends_from": "00:00", "sends_until": "23:59:59.999999"}


def today(zone: str = "UTC") -> date:
    return datetime.now(ZoneInfo(zone)).date()


async def queue_of(user: User, workspace: Workspace, **settings: Any) -> QueueSettings:
    """The user's queue: open all day, one step unless told otherwise."""
    patch = QueueSettingsPatch.model_validate({"steps": [HELLO], "daily_capacity": 1000, **ALWAYS, **settings})
    return await LeadQueue(user.client).settings(workspace.id, patch)


async def leads_of(world: World, workspace: Workspace, count: int, user: User | None = None) -> list[UUID]:
    """New leads with a contact and a phone number each, the best first."""
    start = int(digits(9))
    rows = await world.rows(
        """
        with contact as (
          insert into contacts (workspace_id, name, phone)
          select %(workspace)s, 'Lead ' || i, '+1' || (%(start)s::bigint + i)::text || '0'
          from generate_series(1, %(count)s) as i returning id, phone
        )
        insert into leads (workspace_id, contact_id, user_id, score)
        select %(workspace)s, contact.id, %(user)s, 1000 - row_number() over (order by contact.phone)
        from contact returning id, score
        """.replace("%(workspace)s", f"'{workspace.id}'::uuid")
        .replace("%(start)s", str(start))
        .replace("%(count)s", str(count))
        .replace("%(user)s", f"'{user.id}'::uuid" if user else "null::uuid"),
    )
    return [lead_id for lead_id, _ in sorted(rows, key=lambda row: -row[1])]


async def phone_of(world: World, lead_id: UUID) -> str:
    phone: str = await world.scalar(
        "select phone from contacts as contact join leads as lead on lead.contact_id = contact.id where lead.id = %s",
        lead_id,
    )
    return phone


async def statuses(world: World, lead_id: UUID) -> tuple[Any, ...]:
    """Status, control and taker of a lead; status of its latest message and run."""
    [row] = await world.rows(
        """
        select lead.status, lead.control, lead.taken_by,
          (select status from whatsapp_message_queue where lead_id = lead.id order by created_at desc limit 1),
          (select status from lead_processing_queue where lead_id = lead.id order by created_at desc limit 1)
        from leads as lead where lead.id = %s
        """,
        lead_id,
    )
    return row
