"""What a benchmark reports, and how it measures."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psutil

from qero.local.stack import Address


@dataclass(frozen=True)
class Case:
    """One comparison. For times, ratios are ours divided by floor: lower is better."""

    case: str
    ours: float
    unit: str
    runs: int
    floor: float | None = None
    peers: dict[str, float] = field(default_factory=dict)
    lower_is_better: bool = True

    def to_dict(self) -> dict[str, Any]:
        row: dict[str, Any] = {"case": self.case, "ours": _round(self.ours), "unit": self.unit, "runs": self.runs}
        if self.floor is not None:
            row["floor"] = _round(self.floor)
            row["ratio_to_floor"] = _round(self.ours / self.floor)
        if self.peers:
            best = min(self.peers.values()) if self.lower_is_better else max(self.peers.values())
            row["peers"] = {name: _round(value) for name, value in self.peers.items()}
            row["ratio_to_peer"] = _round(self.ours / best)
        return row


async def interleaved(
    measures: dict[str, Callable[[], Awaitable[float]]], *, runs: int, warm_up: int = 1
) -> dict[str, float]:
    """The median of each measure over `runs` rounds; each round takes them in turn, so that drift hits all alike."""
    samples: dict[str, list[float]] = {name: [] for name in measures}
    for number in range(-warm_up, runs):
        for name, measure in measures.items():
            value = await measure()
            if number >= 0:
                samples[name].append(value)
                progress(f"run {number + 1}/{runs} {name}: {value:.3g}")
    return {name: statistics.median(values) for name, values in samples.items()}


def postgrest_url(address: Address) -> str:
    """The API without the stack's gateway, which is written in Python and would take most of the time."""
    database = urlsplit(address.db_url).port
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "postgrest":
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                environment = process.environ()
                if urlsplit(environment["PGRST_DB_URI"]).port == database:
                    return f"http://127.0.0.1:{environment['PGRST_SERVER_PORT']}"
    raise RuntimeError("the stack has no PostgREST")


def machine() -> str:
    return f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python {platform.python_version()}"


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _round(value: float) -> float:
    return float(f"{value:.4g}")
