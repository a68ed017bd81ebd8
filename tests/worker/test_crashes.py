"""Everything breaks at once, many times over; `scripts/bench crashes` does the same with 5,000 messages."""

from __future__ import annotations

import pytest

from bench.crashes import ordeal


@pytest.mark.parametrize("seed", [7])
async def test_nothing_is_lost_or_sent_twice_whatever_dies(seed: int) -> None:
    report = await ordeal(400, seed=seed)

    assert (report.lost, report.doubled, report.unexplained) == (0, 0, 0), report
    assert report.worker_kills > 0
    assert report.database_stops > 0
    assert report.states.keys() <= {"sent", "unknown", "dead"}, report
    assert report.states["sent"] > 300, report
