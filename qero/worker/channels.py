"""The ways a message can leave. A channel sends one message and says what became of it."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from qero.clients.graph import GraphClient
from qero.errors import SettingsError
from qero.models.outbox import FailureAction, OutboxMessage, Refused, Scope, SendOutcome

UNREADABLE_SECRET_DELAY_SECONDS = 60.0


class Channel(Protocol):
    """Sends messages of one kind."""

    async def send(self, message: OutboxMessage) -> SendOutcome:
        """Send one message. An exception counts as an unknown outcome: return refusals, don't raise."""
        ...


class Decrypter(Protocol):
    """Opens stored secrets; raises `SettingsError` when it can't."""

    def decrypt(self, ciphertext: str) -> str: ...


class WhatsAppChannel:
    """Sends from the number of the message's own connection, with that connection's token."""

    def __init__(self, graph: GraphClient, cipher: Decrypter) -> None:
        self._graph = graph
        # A number's ciphertext stays the same from message to message. The tokens in use are in memory anyway.
        self._decrypt = lru_cache(maxsize=1024)(cipher.decrypt)

    async def send(self, message: OutboxMessage) -> SendOutcome:
        """Send through Graph.

        A connection without a token is paused and keeps its queue. A token that this worker's keys can't open is
        this worker's trouble, not the number's: the message goes back for a worker that can.
        """
        if message.phone_number_id is None or message.access_token_ciphertext is None:
            return _paused("connection_incomplete", "The connection has no phone number id or no access token.")
        try:
            access_token = self._decrypt(message.access_token_ciphertext)
        except SettingsError as error:
            return Refused(
                action=FailureAction.RELEASE,
                error_code=error.code,
                error_text=str(error),
                delay=UNREADABLE_SECRET_DELAY_SECONDS,
                scope=Scope.NUMBER,
            )
        return await self._graph.send_message(
            phone_number_id=message.phone_number_id,
            access_token=access_token,
            recipient=message.recipient,
            payload=message.payload,
            opaque_id=str(message.id),
            attempts=message.attempts,
        )


def _paused(code: str, reason: str) -> Refused:
    return Refused(action=FailureAction.PAUSE_CONNECTION, error_code=code, error_text=reason, scope=Scope.NUMBER)
