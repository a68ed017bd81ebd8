"""Receives Meta's webhooks: whatever is answered with success is committed."""

from __future__ import annotations

import asyncio
import base64
import contextvars
import hashlib
import hmac
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias, cast
from urllib.parse import parse_qsl

from pydantic_core import to_json

from qero.clients.factory import ServiceClient
from qero.clients.rpc import call_encoded, reason_of_refusal, refuses_content
from qero.errors import (
    PROBLEM_JSON,
    InvalidInput,
    LimitExceeded,
    NotAuthenticated,
    PermissionDenied,
    QeroError,
    Unavailable,
)
from qero.logs import get_logger
from qero.models.webhook import BODY_LIMIT_BYTES, IngestAnswer, IngestOutcome, WebhookEvent, parse_body

CHALLENGE_LIMIT = 1000
# One call of the database takes at most this much, in this many calls at a time.
CALL_ITEMS = 1000
CALL_BYTES = 3 * 1024 * 1024
CALLS_AT_ONCE = 3
# Several calls at a time cost the database more for each item than one after the other: a further one begins only when
# somebody has waited this long, because what is under way takes its time.
PATIENCE_SECONDS = 0.02
# More than a few seconds' worth: who waits longer than that has given up.
HELD_BYTES = 32 * 1024 * 1024

OUTCOMES = ("recorded", "deduped", "orphan", "set_aside")

log = get_logger("qero.webhooks")


class Webhooks:
    """For the service. Verifies, takes apart and stores one webhook request at a time.

    A server that Meta posts to wants `WebhookEndpoint`, which stores many requests in one call.
    """

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def receive(self, body: bytes, signature: str | None, app_secret: str) -> list[IngestOutcome]:
        """Verify, take apart and store one webhook request; when this returns, everything in it is committed.

        Idempotent: an item that was seen before is answered `deduped`.

        Args:
            body: the request's bytes exactly as they came.
            signature: the header `X-Hub-Signature-256`.
            app_secret: the Meta app's secret.

        Raises:
            NotAuthenticated: `signature_invalid`; nothing was read.
            InvalidInput: `body_not_json`, `body_not_an_object`.
            LimitExceeded: `body_too_large`.
            Unavailable: nothing was stored; answer 5xx so that Meta sends it again.
        SQL: public.ingest_whatsapp_events
        """
        verify_signature(body, signature, app_secret)
        items = [_Item.of(event) for event in parse_body(body)]
        try:
            outcomes = await _store(self._client, items)
        except QeroError as error:
            raise _not_stored(error) from error
        stored = [outcome for outcome in outcomes if not isinstance(outcome, QeroError)]
        if len(stored) < len(outcomes):
            raise next(outcome for outcome in outcomes if isinstance(outcome, QeroError))
        return stored

    async def ingest(self, events: list[WebhookEvent]) -> list[IngestOutcome]:
        """Record each item once and apply it: one round trip and one transaction for all of them.

        Returns one outcome per item, in order: `recorded`, `deduped`, `orphan` (no workspace has the number yet; it
        takes effect when one connects it) or `set_aside` with a reason.

        SQL: public.ingest_whatsapp_events
        """
        return await _ingest(self._client, [_encode(event) for event in events])


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer a request with."""

    status: int
    headers: dict[str, str]
    body: bytes


class WebhookEndpoint:
    """The whole of Meta's webhook without a web framework: bytes in, an answer out. Make one per process.

        async with WebhookEndpoint(clients.service(), app_secret=..., verify_token=...) as webhook:

            async def on_request(request):
                if request.method == "GET":
                    answer = webhook.verify(request.query_string)
                else:
                    answer = await webhook.receive(request.headers, await request.body())
                return Response(answer.body, answer.status, answer.headers)

    Requests that come while others are being stored are stored together, in one call of the database: each is answered
    when the call that holds its items is committed, and what one of them brings never costs the others anything. With
    nothing under way a request is stored at once. A caller that stops waiting (its client has gone) stops nothing.
    """

    def __init__(
        self,
        client: ServiceClient,
        *,
        app_secret: str,
        verify_token: str,
        calls_at_once: int = CALLS_AT_ONCE,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        """
        Args:
            client: a service's client.
            app_secret: the Meta app's secret, with which Meta signs.
            verify_token: what was entered in Meta's app dashboard beside the address.
            calls_at_once: how many calls of the database may be under way.
            held_bytes: how much may wait to be stored; beyond that Meta is asked to come again.
        """
        self._app_secret = app_secret
        self._verify_token = verify_token
        self._queue = _Queue(client, calls_at_once=calls_at_once, held_bytes=held_bytes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Store what was accepted, and accept nothing more."""
        await self._queue.aclose()

    def verify(self, query: str | bytes) -> Answer:
        """Answer Meta's verification request (GET): its challenge as plain text, or a problem.

        403 `verify_token_invalid`, 400 `invalid_value` for a challenge of more than 1,000 characters.

        Args:
            query: the request's query string as it came.
        """
        text = query.decode("ascii", "replace") if isinstance(query, bytes) else query
        given = dict(parse_qsl(text, keep_blank_values=True, errors="replace"))
        try:
            challenge = answer_verification(
                given.get("hub.mode"), given.get("hub.verify_token"), given.get("hub.challenge"), self._verify_token
            )
        except QeroError as error:
            return _refuse(error)
        # Whatever the challenge is, no browser takes it for a page.
        headers = {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
        return Answer(200, headers, challenge.encode("utf-8", "replace"))

    async def receive(self, headers: Mapping[str, str] | Iterable[tuple[bytes, bytes]], body: bytes) -> Answer:
        """Store a webhook request (POST): 200 once all of it is committed, with how many items had which outcome.

        Otherwise a problem: 401 `signature_invalid` (nothing was read), 400 `body_not_json` or `body_not_an_object`,
        413 `body_too_large`, and 503 when it isn't stored, so that Meta sends it again; what it brings twice counts
        once. An item that the database can't take as it is, is set aside as text.

        Args:
            headers: names and values as text, or pairs of bytes as ASGI has them.
            body: the request's bytes exactly as they came. Stop reading at more than 3 MB: that is answered 413.

        SQL: public.ingest_whatsapp_events
        """
        try:
            if len(body) > BODY_LIMIT_BYTES:
                raise LimitExceeded("body_too_large", detail={"limit": BODY_LIMIT_BYTES})
            verify_signature(body, _signature(headers), self._app_secret)
            stored = await self._queue.store(body)
        except QeroError as error:
            return _refuse(error)
        if isinstance(stored, QeroError):
            return _refuse(stored)
        return Answer(200, {"content-type": "application/json"}, to_json(stored))


def verify_signature(body: bytes, signature: str | bytes | None, app_secret: str) -> None:
    """Check Meta's HMAC over the raw bytes.

    Raises:
        NotAuthenticated: `signature_invalid`.
    """
    expected = b"sha256=" + hmac.digest(app_secret.encode(), body, "sha256").hex().encode()
    # Bytes, because comparing text with a header that isn't ASCII raises.
    given = signature.encode("utf-8", "replace") if isinstance(signature, str) else signature or b""
    if not hmac.compare_digest(expected, given):
        raise NotAuthenticated("signature_invalid")


def answer_verification(mode: str | None, token: str | None, challenge: str | None, verify_token: str) -> str:
    """The text to answer Meta's verification request with.

    Raises:
        PermissionDenied: `verify_token_invalid`.
        InvalidInput: `invalid_value`, the challenge is too long.
    """
    if challenge is not None and len(challenge) > CHALLENGE_LIMIT:
        problem = {"field": "hub.challenge", "problem": f"It should have at most {CHALLENGE_LIMIT} characters."}
        raise InvalidInput("invalid_value", detail={"fields": [problem]})
    matches = hmac.compare_digest((token or "").encode("utf-8", "replace"), verify_token.encode())
    if mode != "subscribe" or not matches or challenge is None:
        raise PermissionDenied("verify_token_invalid")
    return challenge


@dataclass(frozen=True, slots=True)
class _Item:
    """One item on its way to the database, and where it belongs."""

    encoded: bytes
    phone_number_id: str | None
    waba_id: str | None

    @classmethod
    def of(cls, event: WebhookEvent) -> _Item:
        return cls(_encode(event), event.phone_number_id, event.waba_id)

    def set_aside(self, error: QeroError) -> _Item:
        """What is stored instead of an item that the database refuses: the same bytes, as text that it can't refuse."""
        event = WebhookEvent(
            event_key=f"malformed:{hashlib.sha256(self.encoded).hexdigest()}",
            kind="malformed",
            phone_number_id=self.phone_number_id,
            waba_id=self.waba_id,
            reason=reason_of_refusal(error),
            raw={"base64": base64.b64encode(self.encoded).decode()},
        )
        return _Item.of(event)


# How many items had which outcome, or why that can't be said. The error is no exception of the future's: many requests
# share one, and every place that raises an exception adds to it.
Stored: TypeAlias = dict[str, int] | QeroError


@dataclass(frozen=True, slots=True, eq=False)
class _Request:
    items: list[_Item]
    bytes: int
    due: float
    """When it has waited long enough for a call of its own, in the event loop's time."""
    stored: asyncio.Future[Stored] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def settle(self, stored: Stored) -> None:
        # A caller that has stopped waiting took its future with it.
        if not self.stored.done():
            self.stored.set_result(stored)


class _Queue:
    """Requests on their way to the database: those that come while calls are under way share the next one."""

    def __init__(self, client: ServiceClient, *, calls_at_once: int, held_bytes: int) -> None:
        self._client = client
        self._calls_at_once = calls_at_once
        self._held_bytes_limit = held_bytes
        self._held_bytes = 0
        self._waiting: deque[_Request] = deque()
        self._calls: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def store(self, body: bytes) -> Stored:
        """How many items had which outcome, once all are committed; or why they aren't.

        Raises:
            InvalidInput: `body_not_json`, `body_not_an_object`.
            LimitExceeded: `body_too_large`.
            Unavailable: too much is waiting, or the server is stopping.
        """
        if self._closed:
            raise Unavailable("unavailable", "The server is stopping.")
        # Before the costly part.
        if self._held_bytes + len(body) > self._held_bytes_limit:
            raise Unavailable(
                "unavailable",
                "Too many webhooks are waiting to be stored.",
                detail={"waiting_bytes": self._held_bytes, "limit": self._held_bytes_limit},
                hint="Nothing: Meta sends it again later.",
            )
        items = [_Item.of(event) for event in parse_body(body)]
        if not items:
            return dict.fromkeys(OUTCOMES, 0)
        due = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        request = _Request(items, sum(len(item.encoded) for item in items), due)
        self._held_bytes += request.bytes
        self._waiting.append(request)
        self._begin_calls()
        return await request.stored

    async def aclose(self) -> None:
        self._closed = True
        while self._calls:
            await asyncio.wait(self._calls)
        if self._timer is not None:
            self._timer.cancel()

    def _begin_calls(self) -> None:
        """Begin a call if none is under way, or if those that are keep somebody waiting; else look again then."""
        if not self._waiting or len(self._calls) >= self._calls_at_once:
            return
        loop = asyncio.get_running_loop()
        due = self._waiting[0].due
        if not self._calls or due <= loop.time():
            # In a context of its own: what is logged of it belongs to no single request.
            self._calls.add(loop.create_task(self._store_waiting(), context=contextvars.Context()))
        elif self._timer is None:
            self._timer = loop.call_at(due, self._lose_patience)

    def _lose_patience(self) -> None:
        self._timer = None
        self._begin_calls()

    async def _store_waiting(self) -> None:
        call = cast("asyncio.Task[None]", asyncio.current_task())
        try:
            while self._waiting:
                requests = list(self._take())
                try:
                    await self._store_together(requests)
                finally:
                    self._held_bytes -= sum(request.bytes for request in requests)
                if len(self._calls) > 1:
                    # The last one goes on with what waits.
                    break
        finally:
            # Here, not in a callback: a request that comes in between would wait for a call that has ended.
            self._calls.remove(call)
            self._begin_calls()

    def _take(self) -> Iterator[_Request]:
        """As many requests as fit into one call; the first in any case."""
        items = size = 0
        while self._waiting:
            request = self._waiting[0]
            items, size = items + len(request.items), size + request.bytes
            if items > len(request.items) and (items > CALL_ITEMS or size > CALL_BYTES):
                return
            yield self._waiting.popleft()

    async def _store_together(self, requests: list[_Request]) -> None:
        started = time.perf_counter()
        items = [item for request in requests for item in request.items]
        try:
            outcomes = await _store(self._client, items)
        except QeroError as error:
            outcomes = [_not_stored(error)] * len(items)
        except Exception as error:
            # Nobody must wait for ever, and whoever comes next must find the queue working.
            log.exception("webhooks_crashed")
            outcomes = [_not_stored(QeroError("internal_error", detail={"reason": type(error).__name__}))] * len(items)
        total: Counter[str] = Counter()
        start = 0
        for request in requests:
            end = start + len(request.items)
            stored = _counts(outcomes[start:end])
            start = end
            request.settle(stored)
            total.update({"not_stored": len(request.items)} if isinstance(stored, QeroError) else stored)
        log.info(
            "webhooks_stored",
            requests=len(requests),
            items=len(items),
            **total,
            duration_ms=round((time.perf_counter() - started) * 1000, 2),
        )
        if total["orphan"]:
            _log_orphans(items, outcomes)


async def _store(client: ServiceClient, items: Sequence[_Item]) -> list[IngestOutcome | QeroError]:
    """An outcome for each item, or why it couldn't be stored.

    Raises:
        QeroError: something that concerns all items alike; some of them may be stored.
    """
    try:
        return [*await _ingest(client, [item.encoded for item in items])]
    except QeroError as error:
        if not refuses_content(error):
            raise
        if len(items) > 1:
            # Somebody's item is bad, and nothing was stored for its sake: in halves, until it stands alone.
            middle = len(items) // 2
            return [*await _store(client, items[:middle]), *await _store(client, items[middle:])]
        [item] = items
        log.warning(
            "webhook_item_refused",
            code=error.code,
            detail=error.detail,
            phone_number_id=item.phone_number_id,
            waba_id=item.waba_id,
        )
        try:
            return [*await _ingest(client, [item.set_aside(error).encoded])]
        except QeroError as again:
            if not refuses_content(again):
                raise
            return [_not_stored(again)]


async def _ingest(client: ServiceClient, items: Sequence[bytes]) -> list[IngestOutcome]:
    arguments = b'{"p_events":[' + b",".join(items) + b"]}"
    answer = await call_encoded(client, "ingest_whatsapp_events", IngestAnswer, arguments)
    if len(answer.outcomes) != len(items):
        detail = {"operation": "ingest_whatsapp_events", "sent": len(items), "answered": len(answer.outcomes)}
        raise QeroError("answer_unreadable", detail=detail)
    return [
        IngestOutcome(outcome=outcome, event_id=event_id, reason=reason)
        for outcome, event_id, reason in zip(answer.outcomes, answer.event_ids, answer.reasons, strict=True)
    ]


def _encode(event: WebhookEvent) -> bytes:
    return to_json(event, exclude_none=True)


def _not_stored(error: QeroError) -> Unavailable:
    """Whatever the database refuses is no fault of the sender's, who has to send it again."""
    if isinstance(error, Unavailable):
        return error
    return Unavailable(
        "unavailable",
        "The webhook couldn't be stored.",
        detail={"code": error.code, **error.detail},
        hint=error.hint,
    )


def _counts(outcomes: Sequence[IngestOutcome | QeroError]) -> Stored:
    counts = dict.fromkeys(OUTCOMES, 0)
    for outcome in outcomes:
        if isinstance(outcome, QeroError):
            return outcome
        counts[outcome.outcome] += 1
    return counts


def _refuse(error: QeroError) -> Answer:
    if error.status >= 500:
        log.error("request_failed", code=error.code, detail=error.detail)
    else:
        log.warning("request_refused", code=error.code, status=error.status)
    return Answer(error.status, {"content-type": PROBLEM_JSON}, to_json(error.to_problem()))


def _log_orphans(items: Sequence[_Item], outcomes: Sequence[IngestOutcome | QeroError]) -> None:
    """The number or business account that nobody has connected, so that somebody does."""
    orphans = Counter(
        (item.phone_number_id, item.waba_id)
        for item, outcome in zip(items, outcomes, strict=True)
        if not isinstance(outcome, QeroError) and outcome.outcome == "orphan"
    )
    for (phone_number_id, waba_id), count in orphans.items():
        log.warning("orphan_event", phone_number_id=phone_number_id, waba_id=waba_id, count=count)


def _signature(headers: Mapping[str, str] | Iterable[tuple[bytes, bytes]]) -> str | bytes | None:
    pairs: Iterable[tuple[str | bytes, str | bytes]] = headers.items() if isinstance(headers, Mapping) else headers
    for name, value in pairs:
        if name.lower() in ("x-hub-signature-256", b"x-hub-signature-256"):
            return value
    return None
