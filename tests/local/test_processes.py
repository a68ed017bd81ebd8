"""What a killed supervisor left is found by number and age, and ended; nobody else's process is."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator

import psutil
import pytest

from qero.local.processes import end_leftovers, still_running
from tests.local.waiting import alive, until


@pytest.fixture
def program() -> Iterator[subprocess.Popen[bytes]]:
    program = subprocess.Popen(["sleep", "60"])
    yield program
    program.kill()
    program.wait()


def test_a_program_that_was_left_is_ended(program: subprocess.Popen[bytes]) -> None:
    end_leftovers({"auth": program.pid}, seen_at=time.time())

    assert alive([program.pid]) == []


def test_a_process_that_only_has_been_given_the_same_number_is_spared(program: subprocess.Popen[bytes]) -> None:
    end_leftovers({"auth": program.pid}, seen_at=time.time() - 60)

    assert alive([program.pid]) == [program.pid]


def test_a_number_that_nobody_has_any_more_is_passed_over(program: subprocess.Popen[bytes]) -> None:
    program.kill()
    program.wait()

    end_leftovers({"auth": program.pid}, seen_at=time.time())


def test_a_program_that_nobody_collects_counts_as_ended(program: subprocess.Popen[bytes]) -> None:
    process = psutil.Process(program.pid)
    assert still_running([process]) == [process]

    process.kill()
    until(lambda: process.status() == psutil.STATUS_ZOMBIE, "it ends, and nobody has waited for it")

    assert still_running([process]) == []
