"""The loop around the outbox: claim what is due, send it, report what became of it."""

from __future__ import annotations

import asyncio
import math
import os
import random
import secrets
import socket
import time
import traceback
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

import stamina

from qero.errors import QeroError
from qero.logs import get_logger
from qero.models.outbox import (
    Accepted,
    Completion,
    Failure,
    FailureAction,
    OutboxMessage,
    Refused,
    Scope,
    SendOutcome,
    Settlement,
    Unknown,
)
from qero.services.outbox import Outbox
from qero.worker.channels import Channel
from qero.worker.metrics import Metrics

LEASE_SECONDS = 60
"""What `claim_outbox` grants."""
SHORTEST_IDLE_SECONDS = 0.05
LONGEST_IDLE_SECONDS = 1.0
LONGEST_OUTAGE_PAUSE_SECONDS = 30.0
GATHER_SECONDS = 0.02
"""How long a finished send waits for others to be settled with."""
LAST_SETTLE_SECONDS = 5.0
MISSING_CHANNEL_DELAY_SECONDS = 60.0
LOST_CLAIM_SECONDS = 30.0
"""How long a claim whose answer was lost may still take effect."""
MAINTENANCE_SECONDS = 60.0
CATCH_UP_SECONDS = 0.05
CLAIM_LIMIT = 1000
"""What `claim_outbox` hands out at once, at most."""

log = get_logger("qero.worker")


@dataclass(frozen=True)
class Summary:
    """What became of the claimed messages, in the outbox's words."""

    claimed: int = 0
    sent: int = 0
    queued: int = 0
    """Back in the queue: to be retried, released, or waiting for their connection."""
    failed: int = 0
    dead: int = 0
    unknown: int = 0
    cancelled: int = 0
    """Not wanted any more when they were to be sent."""
    unsettled: int = 0
    """Not reported: the lease was lost, or the database stayed away until it ended."""


@dataclass(eq=False)
class _Batch:
    """The messages of one lease, and how many of them aren't settled yet."""

    token: int
    messages: Sequence[OutboxMessage]
    deadline: float
    """When the lease ends, by the monotonic clock; earlier than the database thinks, never later."""
    answered_at: float
    """When the claim was answered, by the monotonic clock."""
    open: int = field(init=False)
    sends: dict[asyncio.Task[SendOutcome], OutboxMessage] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.open = len(self.messages)

    def abandon(self) -> None:
        for send in self.sends:
            send.cancel()


class _Sender:
    """A number's places, and its pace at the moment of sending: claims are answered, and a busy process wakes, late."""

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self._turn = asyncio.Lock()
        self._next = 0.0
        self._latest: deque[float] = deque()
        """When the latest were sent, as many as the number may send in a second."""

    async def turn(self, pace_seconds: float) -> None:
        """Wait for the next turn: evenly, making up for a moment that was missed, and never too many in a second."""
        if not pace_seconds:
            return
        limit = math.ceil(1 / pace_seconds)
        if self._latest.maxlen != limit:
            self._latest = deque(self._latest, maxlen=limit)
        async with self._turn:
            await _sleep_until(self._next)
            if len(self._latest) == limit:
                await _sleep_until(self._latest[0] + limit * pace_seconds)
            now = time.monotonic()
            self._latest.append(now)
            self._next = max(self._next, now - CATCH_UP_SECONDS) + pace_seconds


class Worker:
    """Drains the outbox through its channels; any number may run, in one process or many.

    A crash never sends a message twice: one whose send may have begun and wasn't reported becomes `unknown`.
    """

    def __init__(
        self,
        outbox: Outbox,
        channels: Mapping[str, Channel],
        *,
        name: str | None = None,
        concurrency: int = 50,
        number_concurrency: int | None = None,
        grace_seconds: float = 20.0,
        send_timeout_seconds: float = 45.0,
        lease_seconds: int = LEASE_SECONDS,
        wake: asyncio.Event | None = None,
        metrics: Metrics | None = None,
    ) -> None:
        """
        Args:
            channels: by the name of the channel in `outbox_messages`.
            name: must be unique among living workers; made up when left out.
            concurrency: messages claimed and not yet settled, at most.
            number_concurrency: sends by one number at the same time, at most; as many as all when left out.
            grace_seconds: what sends that have begun get to finish after a stop.
            send_timeout_seconds: after this a send is given up and its outcome is unknown.
            lease_seconds: what each renewal asks for; a claim grants 60.
            wake: set by whoever learns that something was queued; the worker clears it.
            metrics: told what happens.
        """
        self.name = name or unique_worker_name()
        self._outbox = outbox
        self._channels = channels
        self._concurrency = concurrency
        self._grace_seconds = grace_seconds
        self._send_timeout_seconds = send_timeout_seconds
        self._lease_seconds = lease_seconds
        self._shortest_lease_seconds = min(lease_seconds, LEASE_SECONDS)
        self._counts: Counter[str] = Counter()
        self._batches: dict[asyncio.Task[None], _Batch] = {}
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()
        self._wake = wake or asyncio.Event()
        self._metrics = metrics or Metrics()
        self._senders: dict[UUID | None, _Sender] = {}
        self._sender_limit = number_concurrency or concurrency
        self._abandoned: set[int] = set()
        self._claims_lost_until = 0.0
        self._log = log.bind(worker=self.name)

    @property
    def totals(self) -> Summary:
        """Everything since this worker was made."""
        return _summary(self._counts)

    async def run_once(self) -> Summary:
        """Send everything that is due now, wait until it is settled, and return.

        Raises:
            QeroError: the claim failed; what had been claimed before is settled first.
        """
        before = self._counts.copy()
        await self._serve(asyncio.Event(), drain=True)
        return _summary(self._counts - before)

    async def run(self, stop: asyncio.Event) -> Summary:
        """Send what falls due until `stop` is set, or the task is cancelled.

        An empty outbox is asked again after 50 ms, then ever more rarely, down to once a second. After a stop
        nothing is claimed, sends that have begun get their grace, those that take longer are reported as
        `unknown`, and what was claimed but not begun goes back at once.

        Raises:
            QeroError: the claim failed and repeating it won't help; an outage is waited out.
        """
        before = self._counts.copy()
        self._log.info("worker_started", concurrency=self._concurrency)
        await self._serve(stop, drain=False)
        summary = _summary(self._counts - before)
        self._log.info("worker_stopped", claimed=summary.claimed, sent=summary.sent, unknown=summary.unknown)
        return summary

    async def _serve(self, stop: asyncio.Event, *, drain: bool) -> None:
        self._stop = stop
        idle = SHORTEST_IDLE_SECONDS
        outage = SHORTEST_IDLE_SECONDS
        maintenance = None if drain else asyncio.create_task(self._maintain())
        try:
            while not stop.is_set():
                self._changed.clear()
                self._wake.clear()
                free = self._concurrency - sum(batch.open for batch in self._batches.values())
                # Claims cost the same whatever their size, so they wait until half of the places are free.
                if free * 2 < self._concurrency:
                    await _first_of(stop, self._changed, timeout=None)
                    idle = SHORTEST_IDLE_SECONDS
                    continue
                try:
                    await self._release_lost_claims()
                    claimed = await self._claim(min(free, CLAIM_LIMIT))
                except QeroError as error:
                    if drain or not error.retryable:
                        raise
                    outage = min(outage * 2, LONGEST_OUTAGE_PAUSE_SECONDS)
                    self._log.warning("claim_failed", code=error.code, retry_seconds=outage)
                    await _first_of(stop, timeout=outage * random.uniform(0.5, 1.0))  # noqa: S311 (spreads load)
                    continue
                outage = SHORTEST_IDLE_SECONDS
                if claimed is not None and stop.is_set():
                    await self._release(claimed)
                elif claimed is not None:
                    self._begin(claimed)
                    idle = SHORTEST_IDLE_SECONDS
                elif drain:
                    if not await self._may_have_more():
                        return
                else:
                    await _first_of(stop, self._changed, self._wake, timeout=idle)
                    busy = self._changed.is_set() or self._wake.is_set()
                    idle = SHORTEST_IDLE_SECONDS if busy else min(idle * 2, LONGEST_IDLE_SECONDS)
        finally:
            if maintenance is not None:
                maintenance.cancel()
            await self._finish()

    async def _may_have_more(self) -> bool:
        """After an empty claim: wait for what may make something claimable; False when there is no such thing."""
        if self._batches or self._changed.is_set():
            await _first_of(self._stop, self._changed, timeout=None if self._batches else 0)
            return True
        wait = await self._outbox.wait_seconds()
        if wait is None:
            return False
        await _first_of(self._stop, timeout=wait + 0.001)
        return True

    async def _maintain(self) -> None:
        """Housekeeping now and then; with many workers each does some of it."""
        while True:
            await asyncio.sleep(MAINTENANCE_SECONDS * random.uniform(0.5, 1.5))  # noqa: S311 (spreads load)
            try:
                done = await self._outbox.maintain()
                self._log.debug("outbox_maintained", **done)
            except QeroError as error:
                self._log.warning("maintenance_failed", code=error.code)

    async def _release_lost_claims(self) -> None:
        """Put back what was claimed in answers that never came: this worker knows that it sent nothing of those."""
        if time.monotonic() >= self._claims_lost_until:
            return
        held = [batch.token for batch in self._batches.values()]
        released = await self._outbox.release_lost_claims(self.name, [*held, *self._abandoned])
        if released:
            self._log.warning("lost_claims_released", count=released)

    async def _claim(self, limit: int) -> _Batch | None:
        asked_at = time.monotonic()
        try:
            messages = await self._outbox.claim(limit, self.name)
        except (QeroError, asyncio.CancelledError):
            self._claims_lost_until = time.monotonic() + LOST_CLAIM_SECONDS
            raise
        answered_at = time.monotonic()
        self._metrics.claimed(len(messages), answered_at - asked_at)
        if not messages:
            return None
        self._counts["claimed"] += len(messages)
        batch = _Batch(messages[0].lease_token, messages, asked_at + self._shortest_lease_seconds, answered_at)
        self._log.info("outbox_claimed", lease=batch.token, ids=_ids(messages))
        return batch

    def _begin(self, batch: _Batch) -> None:
        task = asyncio.create_task(self._process(batch))
        self._batches[task] = batch
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        batch = self._batches.pop(task)
        self._counts["unsettled"] += batch.open
        if batch.open:
            self._abandoned.add(batch.token)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            self._log.error("batch_crashed", lease=batch.token, **_describe(error))

    async def _finish(self) -> None:
        if not self._batches:
            return
        _, late = await asyncio.wait(list(self._batches), timeout=self._grace_seconds)
        for task in late:
            self._batches[task].abandon()
        if late:
            _, stuck = await asyncio.wait(late, timeout=LAST_SETTLE_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)

    async def _process(self, batch: _Batch) -> None:
        renewal = asyncio.create_task(self._renew(batch))
        batch.sends = {
            asyncio.create_task(self._send_in_turn(message, batch.answered_at + message.send_after_seconds)): message
            for message in batch.messages
        }
        pending = set(batch.sends)
        try:
            while pending:
                await asyncio.wait({*pending, renewal}, return_when=asyncio.FIRST_COMPLETED)
                if renewal.done():
                    return
                done, pending = await asyncio.wait(pending, timeout=GATHER_SECONDS)
                if done and not await self._settle(batch, [(batch.sends[send], self._outcome(send)) for send in done]):
                    return
        finally:
            for task in (renewal, *pending):
                task.cancel()
            await asyncio.gather(renewal, *pending, return_exceptions=True)

    @staticmethod
    def _outcome(send: asyncio.Task[SendOutcome]) -> SendOutcome:
        if send.cancelled():
            return Unknown(error_code="worker_stopped", error_text="The worker stopped before an answer came.")
        return send.result()

    async def _renew(self, batch: _Batch) -> None:
        """Keep the lease; returns once it is lost."""
        while True:
            await asyncio.sleep(self._shortest_lease_seconds / 3)
            asked_at = time.monotonic()
            try:
                await self._outbox.extend_lease(batch.token, self._lease_seconds)
                batch.deadline = asked_at + self._lease_seconds
            except QeroError as error:
                lost = error.code == "lease_lost" or time.monotonic() >= batch.deadline
                self._log.warning("lease_lost" if lost else "lease_not_renewed", lease=batch.token, code=error.code)
                if lost:
                    return

    async def _send_in_turn(self, message: OutboxMessage, moment: float) -> SendOutcome:
        """Send at the message's moment and when its number has a place; a stop meanwhile puts it back."""
        has_begun = False
        try:
            await _sleep_until(moment)
            sender = self._senders.get(message.connection_id)
            if sender is None:
                sender = self._senders[message.connection_id] = _Sender(self._sender_limit)
            async with sender.places:
                await sender.turn(message.pace_seconds)
                if self._stop.is_set():
                    return _NOT_BEGUN
                has_begun = True
                return await self._send(message)
        except asyncio.CancelledError:
            # The grace is over. Of what still waited for its turn, the outcome is known: nothing left.
            if has_begun:
                raise
            return _NOT_BEGUN

    async def _send(self, message: OutboxMessage) -> SendOutcome:
        started = time.perf_counter()
        channel = self._channels.get(message.channel)
        outcome: SendOutcome
        problem: dict[str, str] = {}
        if channel is None:
            outcome = Refused(
                action=FailureAction.RELEASE,
                error_code="channel_missing",
                error_text=f"This worker has no channel named {message.channel}.",
                delay=MISSING_CHANNEL_DELAY_SECONDS,
            )
        else:
            try:
                async with asyncio.timeout(self._send_timeout_seconds):
                    outcome = await channel.send(message)
            except Exception as error:
                # The channel may have failed after the message left, so it must not be sent again.
                problem = _describe(error)
                outcome = Unknown(error_code="channel_error", error_text=f"The channel raised {problem['error']}.")
        seconds = time.perf_counter() - started
        self._metrics.sent(message.channel, outcome, seconds)
        self._report(message, outcome, duration_ms=round(seconds * 1000, 1), **problem)
        return outcome

    def _report(self, message: OutboxMessage, outcome: SendOutcome, **extra: object) -> None:
        # Ids, codes and durations only: the provider's words may quote what was sent.
        ids = {
            "id": str(message.id),
            "workspace_id": str(message.workspace_id),
            "connection_id": str(message.connection_id) if message.connection_id else None,
            "attempts": message.attempts,
        }
        match outcome:
            case Accepted():
                self._log.info("message_sent", provider_message_id=outcome.provider_message_id, **ids, **extra)
            case Refused(action=FailureAction.CANCEL):
                self._log.info("message_unwanted", code=outcome.error_code, **ids, **extra)
            case Refused():
                self._log.warning(
                    "message_refused",
                    action=outcome.action.value,
                    code=outcome.error_code,
                    scope=outcome.scope.value,
                    delay_seconds=outcome.delay,
                    **ids,
                    **extra,
                )
            case Unknown():
                self._log.error("message_outcome_unknown", code=outcome.error_code, **ids, **extra)

    async def _release(self, batch: _Batch) -> None:
        await self._settle(batch, [(message, _NOT_BEGUN) for message in batch.messages])
        self._counts["unsettled"] += batch.open

    async def _settle(self, batch: _Batch, results: Sequence[tuple[OutboxMessage, SendOutcome]]) -> bool:
        """Report results of one batch; False once its lease is known to be lost."""
        completions = [
            Completion(id=message.id, provider_message_id=outcome.provider_message_id)
            for message, outcome in results
            if isinstance(outcome, Accepted)
        ]
        failures = [_failure(message, outcome) for message, outcome in results if not isinstance(outcome, Accepted)]
        kept = True
        if completions:
            kept = await self._insist(batch, completions, lambda: self._outbox.complete(batch.token, completions))
        if failures and kept:
            kept = await self._insist(batch, failures, lambda: self._outbox.fail(batch.token, failures))
        return kept

    async def _insist(
        self,
        batch: _Batch,
        reports: Sequence[Completion | Failure],
        settle: Callable[[], Awaitable[list[Settlement]]],
    ) -> bool:
        """Repeat a report, which is fenced and idempotent, until it gets through or the lease has ended."""
        left = max(batch.deadline - time.monotonic(), 0.0)
        try:
            async for attempt in stamina.retry_context(
                on=_is_retryable, attempts=None, timeout=left, wait_initial=0.1, wait_max=5.0
            ):
                with attempt:
                    settlements = await settle()
        except QeroError as error:
            # The messages stay leased and become unknown when the lease ends: never sent again, never lost.
            self._log.error("settle_failed", lease=batch.token, code=error.code, ids=_ids(reports))
            return True
        for settlement in settlements:
            if settlement.outcome in ("lease_lost", "not_found"):
                self._log.error(settlement.outcome, lease=batch.token, id=str(settlement.id))
            else:
                self._counts[settlement.outcome] += 1
                self._metrics.settled(settlement.outcome)
                batch.open -= 1
        self._changed.set()
        return all(settlement.outcome != "lease_lost" for settlement in settlements)


_NOT_BEGUN = Refused(
    action=FailureAction.RELEASE,
    error_code="worker_stopped",
    error_text="The worker stopped before sending began.",
)


def unique_worker_name() -> str:
    """Host, process and a random part: a restarted worker must not pass for the one whose leases it finds."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


def _failure(message: OutboxMessage, outcome: Refused | Unknown) -> Failure:
    action, delay, scope = FailureAction.UNKNOWN, None, Scope.MESSAGE
    if isinstance(outcome, Refused):
        action, delay, scope = outcome.action, outcome.delay, outcome.scope
    return Failure(
        id=message.id,
        action=action,
        error_code=outcome.error_code,
        error_text=outcome.error_text,
        delay_seconds=delay,
        scope=scope,
    )


def _summary(counts: Mapping[str, int]) -> Summary:
    return Summary(**{name: counts.get(name, 0) for name in Summary.__dataclass_fields__})


def _ids(items: Sequence[OutboxMessage | Completion | Failure]) -> list[str]:
    return [str(item.id) for item in items]


def _is_retryable(error: Exception) -> bool:
    return isinstance(error, QeroError) and error.retryable


def _describe(error: BaseException) -> dict[str, str]:
    """Where an error arose, without its text, which may quote what was sent."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{frames[-1].name}:{frames[-1].lineno}" if frames else "unknown"
    return {"error": type(error).__name__, "place": place}


async def _sleep_until(moment: float) -> None:
    if (wait := moment - time.monotonic()) > 0:
        await asyncio.sleep(wait)


async def _first_of(*events: asyncio.Event, timeout: float | None) -> None:
    waiters = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiters, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiter in waiters:
            waiter.cancel()
