"""What the routes count and measure, in Prometheus's text format."""

from __future__ import annotations

import os
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.types import Scope

from qero.http.problems import METHODS

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
UNROUTED = "none"
# The library has no types.
_add_every_process: Callable[[CollectorRegistry], object] = MultiProcessCollector


class Metrics:
    """One application's figures.

    Several processes of one server share theirs by files in the folder that PROMETHEUS_MULTIPROC_DIR names, so that any
    of them answers for all.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Histogram(
            "qero_http_request_seconds", "Time until a request was answered", ["method", "route", "status"],
            registry=self._registry, buckets=_SECONDS,
        )  # fmt: skip
        # Finding a child by its labels costs several times what observing does.
        self._children: dict[tuple[str, str, int], Histogram] = {}

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count a request under its route's pattern, never its path: nobody can make up figures without end."""
        route = str(scope.get("qero.route") or getattr(scope.get("route"), "path", UNROUTED))
        key = (str(scope["method"]) if scope["method"] in METHODS else "OTHER", route, status)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = self._requests.labels(*key)
        child.observe(seconds)

    def text(self) -> bytes:
        """Everything measured so far, as Prometheus reads it."""
        if not os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            return generate_latest(self._registry)
        shared = CollectorRegistry()
        _add_every_process(shared)
        return generate_latest(shared)
