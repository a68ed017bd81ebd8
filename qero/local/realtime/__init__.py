"""The local stack's realtime server."""

from qero.local.realtime.server import Realtime

__all__ = ["Realtime"]
