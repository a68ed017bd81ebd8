"""The ways a message can leave. A channel sends one message and says what became of it."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import Protocol
from uuid import UUID

from qero.clients.graph import GraphClient
from qero.clients.secrets import Decrypter
from qero.clients.webpush import WebPushClient
from qero.errors import QeroError, SettingsError
from qero.logs import get_logger
from qero.models.outbox import Accepted, FailureAction, OutboxMessage, Refused, Scope, SendOutcome
from qero.models.push import Device, PreparedPush, PushResult
from qero.services.pushes import Pushes

UNREADABLE_SECRET_DELAY_SECONDS = 60.0
UNPREPARED_DELAY_SECONDS = 5.0
URGENT_KINDS = frozenset({"mention", "assignment", "follow_up"})

log = get_logger("qero.worker")


class Channel(Protocol):
    """Sends messages of one kind."""

    async def send(self, message: OutboxMessage) -> SendOutcome:
        """Send one message. An exception counts as an unknown outcome: return refusals, don't raise."""
        ...


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


class WebPushChannel:
    """Notifies devices. What a message says, and whether it is still wanted, is asked when it is sent.

    Messages that are claimed together ask in one call.
    """

    def __init__(self, pushes: Pushes, client: WebPushClient) -> None:
        self._pushes = pushes
        self._client = client
        self._waiting: dict[UUID, asyncio.Future[PreparedPush | None]] = {}
        self._asking: set[asyncio.Task[None]] = set()

    async def send(self, message: OutboxMessage) -> SendOutcome:
        """Send to the message's device; an event becomes messages for devices instead.

        A push service that says that a device is gone has it removed.
        """
        try:
            prepared = await self._prepare(message.id)
        except QeroError as error:
            return Refused(
                action=FailureAction.RELEASE,
                error_code=error.code,
                error_text=str(error),
                delay=UNPREPARED_DELAY_SECONDS,
            )
        if prepared is None or prepared.outcome == "unwanted":
            return Refused(
                action=FailureAction.CANCEL, error_code="unwanted", error_text="It was read, or nobody wants to know."
            )
        if prepared.outcome == "quiet":
            return Refused(
                action=FailureAction.RELEASE,
                error_code="quiet_hours",
                error_text="It waits until the quiet hours end.",
                delay=prepared.delay_seconds,
            )
        if prepared.device is None or prepared.push is None:
            return Accepted(provider_message_id="spread")
        outcome = await self._client.send(
            prepared.device,
            prepared.push,
            urgency="high" if prepared.push.get("kind") in URGENT_KINDS else "normal",
            attempts=message.attempts,
        )
        await self._record(prepared.device, outcome)
        return outcome

    async def _prepare(self, message_id: UUID) -> PreparedPush | None:
        answer: asyncio.Future[PreparedPush | None] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = answer
        if len(self._waiting) == 1:
            task = asyncio.create_task(self._ask())
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)
        return await answer

    async def _ask(self) -> None:
        """Ask about everything that waits by now: those that were claimed together began before this."""
        waiting, self._waiting = self._waiting, {}
        try:
            found = {prepared.id: prepared for prepared in await self._pushes.prepare([*waiting])}
        except Exception as error:
            for answer in waiting.values():
                if not answer.done():
                    answer.set_exception(error)
            return
        for message_id, answer in waiting.items():
            if not answer.done():
                answer.set_result(found.get(message_id))

    async def _record(self, device: Device, outcome: SendOutcome) -> None:
        """Note what is news about a device. What can't be noted is learned again with the next notification."""
        if isinstance(outcome, Accepted):
            if device.failure_count == 0:
                return
            result = PushResult(subscription_id=device.id, endpoint=device.endpoint, outcome="sent")
        else:
            gone = outcome.error_code in ("push_gone", "push_keys_unusable")
            result = PushResult(
                subscription_id=device.id,
                endpoint=device.endpoint,
                outcome="gone" if gone else "failed",
                error=f"{outcome.error_code}: {outcome.error_text}",
            )
        try:
            await self._pushes.record([result])
        except QeroError as error:
            log.warning("push_result_not_recorded", code=error.code, subscription_id=str(device.id))


def _paused(code: str, reason: str) -> Refused:
    return Refused(action=FailureAction.PAUSE_CONNECTION, error_code=code, error_text=reason, scope=Scope.NUMBER)
