"""Sends what the outbox holds: claim, send, settle."""

from __future__ import annotations

from qero.clients.secrets import Decrypter
from qero.worker.channels import Channel, WebPushChannel, WhatsAppChannel
from qero.worker.metrics import Metrics
from qero.worker.upkeep import keep_inboxes
from qero.worker.waking import listen
from qero.worker.worker import Summary, Worker, unique_worker_name

__all__ = [
    "Channel",
    "Decrypter",
    "Metrics",
    "Summary",
    "WebPushChannel",
    "WhatsAppChannel",
    "Worker",
    "keep_inboxes",
    "listen",
    "unique_worker_name",
]
