"""The soak in small; `scripts/proof faults` does it for ten minutes."""

from __future__ import annotations

from proof.faults import KINDS, QUICK_EVERY_SECONDS, QUICK_SECONDS, soak


async def test_nothing_is_lost_doubled_or_stuck_whatever_is_killed() -> None:
    report = await soak(QUICK_SECONDS, every_seconds=QUICK_EVERY_SECONDS, hurry=True)

    assert report.wrong == [], report
    assert report.kills.keys() == {*KINDS}, report
    assert report.counts["webhook items accepted"] > 0, report
    assert report.counts["messages sent"] > 0, report
