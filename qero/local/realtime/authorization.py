"""What the policies on realtime.messages allow the bearer of a token."""

from __future__ import annotations

from dataclasses import dataclass

from qero.local.realtime.database import Database
from qero.local.realtime.identity import Identity


@dataclass(frozen=True, slots=True)
class Policies:
    broadcast_read: bool
    broadcast_write: bool
    presence_read: bool
    presence_write: bool

    def revokes_reading_allowed_by(self, previous: Policies) -> bool:
        return (previous.broadcast_read and not self.broadcast_read) or (
            previous.presence_read and not self.presence_read
        )


PUBLIC = Policies(broadcast_read=True, broadcast_write=True, presence_read=True, presence_write=True)


async def policies_for(database: Database, topic: str, identity: Identity) -> Policies:
    """Ask the policies about a private channel, by probes that leave nothing behind.

    Raises:
        psycopg.Error: the database can't be reached.
    SQL: realtime.channel_policies
    """
    async with database.connection() as connection, connection.transaction(force_rollback=True):
        cursor = await connection.execute(
            "select probed_extension, may_read, may_write from realtime.channel_policies(%s, %s)",
            (topic, identity.claims),
        )
        allowed = {extension: (read, write) for extension, read, write in await cursor.fetchall()}
    return Policies(*allowed["broadcast"], *allowed["presence"])
