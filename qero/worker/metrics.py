"""What a worker counts and measures, in Prometheus's text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from qero.models.outbox import Accepted, OutboxStats, Refused, SendOutcome

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One worker's figures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._claims = Histogram("qero_claim_seconds", "Time of a claim", registry=self.registry, buckets=_SECONDS)
        self._claimed = Counter("qero_claimed_messages", "Messages claimed", registry=self.registry)
        self._sends = Histogram(
            "qero_send_seconds", "Time of a send", ["channel"], registry=self.registry, buckets=_SECONDS
        )
        self._outcomes = Counter(
            "qero_sends", "Sends by outcome and code", ["channel", "outcome", "code"], registry=self.registry
        )
        self._settled = Counter(
            "qero_settled_messages", "Reports by their outcome", ["outcome"], registry=self.registry
        )
        self._depth = Gauge("qero_outbox_messages", "Messages in the outbox", ["state"], registry=self.registry)
        self._oldest = Gauge("qero_outbox_oldest_due_seconds", "Age of the oldest due message", registry=self.registry)
        lane = ["workspace_id", "channel", "connection_id"]
        self._lane_due = Gauge("qero_lane_due_messages", "Due messages of a lane", lane, registry=self.registry)
        self._lane_oldest = Gauge(
            "qero_lane_oldest_due_seconds", "Age of the oldest due message of a lane", lane, registry=self.registry
        )
        self._problems = Gauge(
            "qero_outbox_problems", "Messages that ended badly, by code", ["status", "code"], registry=self.registry
        )

    def serve(self, port: int, host: str = "127.0.0.1") -> int:
        """Answer `GET /metrics` until the process ends; port 0 takes a free one. Returns the port."""
        server, _ = start_http_server(port, host, self.registry)
        return int(server.server_port)

    def claimed(self, count: int, seconds: float) -> None:
        self._claims.observe(seconds)
        self._claimed.inc(count)

    def sent(self, channel: str, outcome: SendOutcome, seconds: float) -> None:
        self._sends.labels(channel).observe(seconds)
        match outcome:
            case Accepted():
                self._outcomes.labels(channel, "accepted", "").inc()
            case Refused():
                self._outcomes.labels(channel, outcome.action.value, outcome.error_code).inc()
            case _:
                self._outcomes.labels(channel, "unknown", outcome.error_code).inc()

    def settled(self, outcome: str) -> None:
        self._settled.labels(outcome).inc()

    def show(self, stats: OutboxStats) -> None:
        """Take over the state of the whole outbox."""
        for state in ("due", "scheduled", "waiting", "processing"):
            self._depth.labels(state).set(getattr(stats, state))
        self._oldest.set(stats.oldest_due_seconds)
        for gauge in (self._lane_due, self._lane_oldest, self._problems):
            gauge.clear()
        for lane in stats.lanes:
            labels = (str(lane.workspace_id), lane.channel, str(lane.connection_id or ""))
            self._lane_due.labels(*labels).set(lane.due)
            self._lane_oldest.labels(*labels).set(lane.oldest_due_seconds)
        for problem in stats.problems:
            self._problems.labels(problem.status, problem.error_code).set(problem.count)
