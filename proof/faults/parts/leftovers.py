"""What nothing may remain of."""

from __future__ import annotations

from proof.faults.office import Part
from qero import Outbox


class Leftovers(Part):
    """No work: what nothing may remain of in the end."""

    name = "leftovers"
    per_second = 1.0

    async def step(self) -> None:
        """Ask what people who look after it ask."""
        await self.office.insist(Outbox(self.office.world.service).stats)

    async def judge(self) -> dict[str, list[str]]:
        rows = await self.office.rows(
            """
            select what, found from (
              select 'leases that have ended', (
                select count(*) from private.outbox_leases where expires_at < now() - interval '5 s')
              union all select 'ready and due', (
                select count(*) from private.outbox_ready where run_at < now() - interval '5 s')
              union all select 'waiting', (select count(*) from private.outbox_waiting)
              union all select 'lines with a head', (
                select count(*) from private.outbox_lines where head is not null or has_waiting)
              union all select 'messages in hand', (
                select count(*) from outbox_messages where status = 'processing'
                  or status = 'queued' and (channel = 'whatsapp' or scheduled_at < now() - interval '5 s'))
              union all select 'paused numbers', (select count(*) from wa_phone_numbers where status <> 'active')
              union all select 'queued for leads', (
                select count(*) from whatsapp_message_queue where status = 'queued')
              union all select 'transactions prepared', (select count(*) from pg_prepared_xacts)
              union all select 'sessions idle in a transaction', (
                select count(*) from pg_stat_activity
                where state like 'idle in transaction%%' and state_change < now() - interval '20 s')
            ) as left_over (what, found) where found > 0
            """
        )
        return {"nothing is stuck": [f"{found} {what}" for what, found in rows]}
