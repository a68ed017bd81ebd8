"""Looking after inboxes: what was snoozed wakes, what waits is assigned, missed targets are noted."""

from __future__ import annotations

import asyncio
import random

from qero.errors import QeroError
from qero.logs import get_logger
from qero.services.upkeep import Upkeep

KEEP_SECONDS = 5.0

log = get_logger("qero.worker")


async def keep_inboxes(upkeep: Upkeep) -> None:
    """Look after inboxes every few seconds until cancelled; with many workers each does some of it."""
    while True:
        try:
            kept = await upkeep.keep()
            if any(kept.model_dump().values()):
                log.info("inbox_kept", **kept.model_dump())
        except QeroError as error:
            log.warning("upkeep_failed", code=error.code)
        await asyncio.sleep(KEEP_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 (spreads load)
