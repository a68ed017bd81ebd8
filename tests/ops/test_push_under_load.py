"""A push to a database that is in use: the benchmark's small form."""

from __future__ import annotations

from bench.push_under_load import WRITES_PER_SECOND, measure
from qero.ops.runner import LOCK_TIMEOUT_SECONDS
from tests.ops.conftest import Cluster


async def test_two_hundred_writers_a_second_are_never_held_up_for_long_and_leave_no_gap(
    cluster: Cluster, bare: str
) -> None:
    measured = await measure(bare, cluster.tools, 20_000, 200, seconds_before=1)

    assert measured.report.verification is not None
    assert (measured.report.verification.holds, measured.report.verification.failed_checks) == (True, [])
    assert measured.wrong_chats == 0
    assert len(measured.during.latencies) > WRITES_PER_SECOND * measured.seconds * 0.5, "they went on all the time"
    assert max(measured.waits.push, measured.waits.writers) <= LOCK_TIMEOUT_SECONDS
