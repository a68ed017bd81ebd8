"""A chat followed live, by a bot, a server or a terminal."""

from qero.chat.session import (
    ChatEvent,
    ChatSession,
    MemberLeft,
    PresenceChanged,
    ReceiptMoved,
    SessionState,
    Statistics,
    Timings,
    Typing,
)
from qero.chat.timeline import MessageChanged, MessageReceived, Position

__all__ = [
    "ChatEvent",
    "ChatSession",
    "MemberLeft",
    "MessageChanged",
    "MessageReceived",
    "Position",
    "PresenceChanged",
    "ReceiptMoved",
    "SessionState",
    "Statistics",
    "Timings",
    "Typing",
]
