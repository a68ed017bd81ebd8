"""Sends what the outbox holds: claim, send, settle."""

from __future__ import annotations

from qero.worker.channels import Channel, Decrypter, WhatsAppChannel
from qero.worker.worker import Summary, Worker, unique_worker_name

__all__ = ["Channel", "Decrypter", "Summary", "WhatsAppChannel", "Worker", "unique_worker_name"]
