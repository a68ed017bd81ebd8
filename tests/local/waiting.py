"""Waiting for what no event announces: another process's end, a file's new content."""

from __future__ import annotations

import time
from collections.abc import Callable

import psutil


def until(condition: Callable[[], object], what: str, *, seconds: float = 60.0) -> None:
    """Return as soon as the condition holds; fail, saying what was waited for, if it doesn't in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


def alive(pids: list[int]) -> list[int]:
    """Those that still run; a process that has ended and only waits for its parent to notice doesn't count."""
    return [pid for pid in pids if psutil.pid_exists(pid) and _status(pid) != psutil.STATUS_ZOMBIE]


def _status(pid: int) -> str:
    try:
        return psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return psutil.STATUS_ZOMBIE
