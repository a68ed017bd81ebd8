"""Following one chat: every message once and in order, through whatever happens to the connection."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from uuid import UUID, uuid4

import stamina
from cachetools import TTLCache
from pydantic import ValidationError

from qero.chat.timeline import Change, MessageChanged, MessageReceived, Position, Timeline
from qero.clients.channel import Channel, open_channel
from qero.clients.factory import UserClient, require_user_client
from qero.errors import (
    InvalidState,
    NetworkError,
    NotAuthenticated,
    NotFound,
    QeroError,
    Unavailable,
)
from qero.logs import get_logger
from qero.models.chat import Attachment, ChatMember, ChatMessage, NewMessage
from qero.services.chats import Chats

T = TypeVar("T")
log = get_logger("qero.chat")

PAGE = 500
# What waits to be handed out; a slow reader holds up the session, which catches up later, and never fills the memory.
EVENTS_WAITING = 1_000
NEWS_WAITING = 10_000
SEND_BATCH = 20
# A connection that holds for so long was no attempt: the next pause is a short one again.
STEADY_SECONDS = 5.0
# Own messages are recognised for so long after they were sent.
OWN_MESSAGES = 10_000
OWN_SECONDS = 3600


class SessionState(StrEnum):
    """Where a session stands. Only CLOSED is for good."""

    CONNECTING = "CONNECTING"
    """Not live yet, for the first time."""
    SUBSCRIBED = "SUBSCRIBED"
    """Live: the channel is joined, changes flow, and everything before has been fetched."""
    RECONNECTING = "RECONNECTING"
    """Was live, and is going to be again."""
    CLOSED = "CLOSED"
    """Ended by its user, or by an error that waiting doesn't mend."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds. The defaults bring a session back within five seconds of the service."""

    join: float = 3.0
    """How long opening a channel may take."""
    quiet: float = 1.5
    """After so long without news a sign of life is asked for, and waited for as long."""
    call: float = 3.0
    """How long a call of the database may take. The first try of three has a third of it, the second two thirds: a
    connection that was kept for the next call may be as dead as the one whose loss has led to it."""
    first_pause: float = 0.2
    longest_pause: float = 1.5
    """Between attempts, which come at random moments within pauses that grow from the first to the longest."""
    first_probe: float = 2.0
    """After becoming live, when the database is asked whether anything was missed."""
    probe: float = 30.0
    """Afterwards, between such questions: a broadcast that is lost without a successor shows by nothing else."""
    receipts: float = 1.0
    """Messages that arrive within so long are confirmed together."""
    typing: float = 3.0
    """Saying that one is typing is repeated no sooner."""
    renew: float = 30.0
    """How long before its end a token is renewed."""


@dataclass(slots=True)
class Statistics:
    """What a session has met since it began."""

    messages: int = 0
    changes: int = 0
    echoes: int = 0
    """Own messages that came back and weren't handed out."""
    duplicates: int = 0
    """News of what was known already."""
    gaps: int = 0
    """Times that news showed something to be missing."""
    catch_ups: int = 0
    probes: int = 0
    connects: int = 0
    failed_connects: int = 0
    disconnects: int = 0
    renewals: int = 0
    sent: int = 0
    send_retries: int = 0
    refused: int = 0
    """Messages that the database didn't take."""
    receipts: int = 0
    last_problem: str | None = None


@dataclass(frozen=True, slots=True)
class ReceiptMoved:
    """Somebody's cursors have moved. Not repeated after a lost connection: `Chats.members` has what counts."""

    user_id: UUID
    last_delivered_seq: int
    last_read_seq: int


@dataclass(frozen=True, slots=True)
class Typing:
    """Somebody began to type, or stopped, by their own account. Never repeated."""

    user_id: UUID
    typing: bool


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """Who is there now, oneself included, by their own account."""

    user_ids: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class MemberLeft:
    """Somebody isn't in the chat any more, and hears nothing of it."""

    user_id: UUID


ChatEvent = MessageReceived | MessageChanged | ReceiptMoved | Typing | PresenceChanged | MemberLeft


@dataclass(slots=True)
class _Outgoing:
    message: NewMessage
    stored: asyncio.Future[ChatMessage]


class ChatSession:
    """A chat, live, as one of its members:

        async with ChatSession(client, chat_id) as session:
            async for event in session:
                ...

    It listens to the chat's broadcasts and fetches by `rev` whatever they don't bring, so that nothing is lost, doubled
    or out of order, through lost connections, half-open ones, restarts and outages of any length. Broadcasts that
    nobody else may send: what is handed out was written by who it says.

    Iterating ends when the session is closed, and raises what can't be mended: `chat_not_found` when the membership
    ends, `token_expired` when there is no `renew`.
    """

    def __init__(
        self,
        client: UserClient,
        chat_id: UUID,
        *,
        renew: Callable[[], Awaitable[UserClient]] | None = None,
        start: Position | None = None,
        source: Literal["broadcast", "postgres_changes"] = "broadcast",
        presence: bool = False,
        confirm_delivery: bool = True,
        own_messages: bool = False,
        pending: Sequence[NewMessage] = (),
        on_state: Callable[[SessionState], None] = lambda _: None,
        timings: Timings = Timings(),
    ) -> None:
        """
        Args:
            renew: gives a client with a fresh token; asked shortly before the one in use expires. Without it the
                session ends with its token.
            start: where an earlier session stood (`position`): what came since is handed out first. Otherwise only
                what comes from now on is.
            source: `postgres_changes` watches the table instead: for a Supabase without broadcast from the database.
                It costs the server more with every listener, and brings neither presence nor typing.
            presence: be seen by others who are there, and see them.
            confirm_delivery: move one's delivery cursor as messages arrive.
            own_messages: hand out what this session sent as well.
            pending: what an earlier session left unsent (`pending`).
            on_state: told every new state; must not raise.

        Raises:
            NotAuthenticated: `not_authenticated`, it isn't a user's client.
        """
        self.chat_id = chat_id
        self.statistics = Statistics()
        self._client = require_user_client(client)
        self._chats = Chats(client)
        self._renew = renew
        self._renewing = asyncio.Lock()
        self._renew_again_at = float("-inf")
        self._timeline = Timeline(start) if start else None
        self._position = start
        self._source = source
        self._presence = presence and source == "broadcast"
        self._confirm_delivery = confirm_delivery
        self._own_messages = own_messages
        self._on_state = on_state
        self._timings = timings
        self._state = SessionState.CONNECTING
        self._changed = asyncio.Condition()
        self._news: asyncio.Queue[Callable[[], Iterable[ChatEvent | None]] | Unavailable] = asyncio.Queue()
        self._events: asyncio.Queue[tuple[ChatEvent | None, Position] | None] = asyncio.Queue(EVENTS_WAITING)
        self._own: TTLCache[str, None] = TTLCache(OWN_MESSAGES, OWN_SECONDS)
        self._outgoing: deque[_Outgoing] = deque(_Outgoing(message, _future()) for message in pending)
        self._to_send = asyncio.Event()
        self._to_confirm = asyncio.Event()
        self._missed_news = False
        self._channel: Channel | None = None
        self._typed_at = float("-inf")
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: QeroError | None = None

    # Its life

    async def __aenter__(self) -> Self:
        """Start following, without waiting: `wait_until(SessionState.SUBSCRIBED)` waits until the session is live."""
        for task in (self._follow(), self._send_pending(), self._confirm()):
            self._tasks.add(asyncio.create_task(self._guarded(task), name=f"chat {self.chat_id}"))
        for outgoing in self._outgoing:
            self._own[outgoing.message.client_generated_id] = None
            self._to_send.set()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End every task and connection. What wasn't sent stays in `pending`; who waits for it is told. Repeatable."""
        tasks = self._tasks - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._end(None)

    async def _guarded(self, task: Awaitable[None]) -> None:
        """Whatever a task can't mend ends the session, and is raised where its events are read."""
        try:
            await task
        except QeroError as error:
            await self._end(error)
        except Exception as error:
            log.exception("chat_session_failed", chat_id=str(self.chat_id))
            await self._end(QeroError("internal_error", detail={"reason": repr(error)}))

    async def _end(self, error: QeroError | None) -> None:
        if self._state is SessionState.CLOSED:
            return
        self._error = error
        self._note(error)
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
        for outgoing in self._outgoing:
            _fail(outgoing.stored, error or InvalidState("session_closed"))
        await self._set_state(SessionState.CLOSED)
        with contextlib.suppress(asyncio.QueueFull):
            self._events.put_nowait(None)

    @property
    def state(self) -> SessionState:
        """Where the session stands now; `wait_until` waits for another."""
        return self._state

    @property
    def position(self) -> Position | None:
        """Where a later session can go on after the last event that was read; None before the first connection."""
        return self._position

    async def wait_until(self, *states: SessionState) -> SessionState:
        """Wait for one of the states; returns it. A session that has ended is in no other any more.

        Raises:
            QeroError: what ended the session, unless CLOSED is waited for.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._state in (*states, SessionState.CLOSED))
        if self._state not in states:
            raise self._error or InvalidState("session_closed")
        return self._state

    async def _set_state(self, state: SessionState) -> None:
        if state is not self._state:
            self._state = state
            log.debug("chat_session", chat_id=str(self.chat_id), state=state.value)
            self._on_state(state)
        async with self._changed:
            self._changed.notify_all()

    def _note(self, error: QeroError | None) -> None:
        if error is not None:
            self.statistics.last_problem = f"{error.code}: {error.detail.get('reason', error.message)}"

    # Reading

    def __aiter__(self) -> AsyncIterator[ChatEvent]:
        return self

    async def __anext__(self) -> ChatEvent:
        """
        Raises:
            NotFound: `chat_not_found`, one isn't a member (any more).
            NotAuthenticated: `token_expired` and the like, when there is no `renew` or it didn't help.
        """
        while self._state is not SessionState.CLOSED or not self._events.empty():
            entry = await self._events.get()
            if entry is None:
                break
            event, self._position = entry
            if isinstance(event, MessageReceived):
                self._to_confirm.set()
            if event is not None:
                return event
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    # Following

    async def _follow(self) -> None:
        pause = self._timings.first_pause
        refused = False
        while True:
            started = time.monotonic()
            try:
                await self._use_fresh_token(refused=refused)
                await self._listen()
            except NotAuthenticated as error:
                # Expired meanwhile, or revoked. A fresh one that is refused as well can't be helped.
                if refused or self._renew is None:
                    raise
                refused = True
                self._note(error)
            except Unavailable as error:
                self._note(error)
                log.info("chat_session_lost", chat_id=str(self.chat_id), reason=error.detail.get("reason"))
            if self._state is SessionState.SUBSCRIBED:
                refused = False
                self.statistics.disconnects += 1
                await self._set_state(SessionState.RECONNECTING)
            else:
                self.statistics.failed_connects += 1
            if time.monotonic() - started > STEADY_SECONDS:
                pause = self._timings.first_pause
            await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
            pause = min(pause * 2, self._timings.longest_pause)

    async def _listen(self) -> None:
        """Be live, until the connection is lost.

        Raises:
            Unavailable: it was, or it couldn't be made.
            NotFound: `chat_not_found`.
        """
        # A new one for each connection, so that nothing of the last one is taken for news.
        self._news = asyncio.Queue()
        self._missed_news = False
        by_table = self._source == "postgres_changes"
        try:
            opening = open_channel(
                self._client,
                f"chat-changes:{self.chat_id}" if by_table else f"chat:{self.chat_id}",
                self._hear,
                self._news.put_nowait,
                private=not by_table,
                presence_key=str(self._client.identity.user_id) if self._presence else None,
                table=("chat_messages", f"chat_id=eq.{self.chat_id}") if by_table else None,
                join_seconds=self._timings.join,
                quiet_seconds=self._timings.quiet,
            )
            async with opening as self._channel:
                self.statistics.connects += 1
                if self._presence:
                    await self._channel.track({"user_id": str(self._client.identity.user_id)})
                timeline = await self._catch_up()
                await self._set_state(SessionState.SUBSCRIBED)
                await self._stay(timeline)
        except Unavailable:
            if self._channel is None:
                # Being refused looks like any other failure to join: only the database says which it is.
                await self._call(lambda: self._chats.latest_seq(self.chat_id))
            raise
        finally:
            self._channel = None

    async def _stay(self, timeline: Timeline) -> None:
        now = time.monotonic
        probe_at = now() + self._timings.first_probe
        while True:
            seconds = min(probe_at - now(), self._seconds_to_renewal())
            news = None
            # Not wait_for: on Python 3.11 it can swallow a cancellation that comes together with news.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, seconds)):
                    news = await self._news.get()
            if isinstance(news, Unavailable):
                raise news
            if news is not None:
                await self._hand_out(news())
            # All that has come is looked at before anything is called missing.
            if self._news.empty() and (timeline.behind or self._missed_news):
                await self._catch_up()
            if now() >= probe_at:
                self.statistics.probes += 1
                await self._catch_up()
                probe_at = now() + self._timings.probe
            await self._use_fresh_token()

    def _hear(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Called by the connection, for everything that comes."""
        if self._news.qsize() >= NEWS_WAITING:
            self._missed_news = True
        elif kind == "presence":
            self._news.put_nowait(self._presence_changed)
        elif kind == "change" and payload.get("type") in ("INSERT", "UPDATE"):
            self._news.put_nowait(lambda: self._message(payload["record"]))
        elif kind == "broadcast":
            self._news.put_nowait(lambda: self._broadcast(str(payload.get("event")), payload.get("payload")))

    def _presence_changed(self) -> Iterable[ChatEvent]:
        if self._channel is not None:
            present = (_uuid(key) for key in self._channel.present())
            yield PresenceChanged(frozenset(user_id for user_id in present if user_id is not None))

    def _broadcast(self, event: str, payload: Any) -> Iterable[ChatEvent | None]:
        if event == "message":
            yield from self._message(payload)
            return
        user_id = _uuid(payload.get("user_id")) if isinstance(payload, dict) else None
        if user_id is None:
            return
        if event == "member_left":
            if user_id == self._client.identity.user_id:
                raise NotFound("chat_not_found", detail={"chat_id": str(self.chat_id)})
            yield MemberLeft(user_id)
        elif user_id == self._client.identity.user_id:
            return
        elif event == "typing":
            yield Typing(user_id, bool(payload.get("typing")))
        elif event == "receipt":
            yield ReceiptMoved(user_id, int(payload["last_delivered_seq"]), int(payload["last_read_seq"]))

    def _message(self, payload: Any) -> Iterable[ChatEvent | None]:
        try:
            message = ChatMessage.model_validate(payload)
        except ValidationError:
            # Too large for a broadcast and cut, or of a newer kind: the database has it whole.
            self._missed_news = True
            return
        if self._timeline is not None:
            yield from self._shown(self._timeline.receive(message))
            self.statistics.duplicates = self._timeline.duplicates
            self.statistics.gaps = self._timeline.gaps

    def _shown(self, changes: Iterable[Change]) -> Iterable[ChatEvent | None]:
        """What is handed out of it; None for an echo, which only moves the position."""
        for change in changes:
            if isinstance(change, MessageChanged):
                self.statistics.changes += 1
            elif change.message.client_generated_id in self._own and (
                change.message.sender_id == self._client.identity.user_id and not self._own_messages
            ):
                self.statistics.echoes += 1
                yield None
                continue
            else:
                self.statistics.messages += 1
            yield change

    async def _hand_out(self, events: Iterable[ChatEvent | None]) -> None:
        for event in events:
            position = self._timeline.position if self._timeline else Position(0, 0)
            await self._events.put((event, position))

    async def _catch_up(self) -> Timeline:
        """Fetch what changed since the last rev, however much it is; the first time, only find out where that is."""
        self._missed_news = False
        if self._timeline is None:
            page = await self._call(lambda: self._chats.messages(self.chat_id, limit=1))
            self._position = Position(page.latest_seq, page.latest_rev)
            self._timeline = Timeline(self._position)
            return self._timeline
        timeline = self._timeline
        self.statistics.catch_ups += 1
        while True:
            changes = await self._call(lambda: self._chats.changes(self.chat_id, timeline.rev, limit=PAGE))
            await self._hand_out(self._shown(timeline.catch_up(changes)))
            if not changes.has_more:
                return timeline

    # Asking the database

    async def _call(self, call: Callable[[], Awaitable[T]]) -> T:
        """A call within its time, repeated a few times before the connection is given up for it."""
        attempts = 3
        async for attempt in stamina.retry_context(
            on=_may_be_repeated, attempts=attempts, timeout=None, wait_initial=0.1, wait_max=1.0, wait_jitter=0.1
        ):
            with attempt:
                return await self._in_time(call, share=attempt.num / attempts)
        raise AssertionError("stamina ends by returning or raising")

    async def _in_time(self, call: Callable[[], Awaitable[T]], *, share: float = 1.0) -> T:
        seconds = self._timings.call * share
        try:
            async with asyncio.timeout(seconds):
                return await call()
        except TimeoutError:
            raise NetworkError("network_error", detail={"reason": f"no answer in {seconds:.3g} s"}) from None

    def _seconds_to_renewal(self) -> float:
        if self._renew is None:
            return float("inf")
        left = self._client.identity.expires_at - time.time() - self._timings.renew
        return max(left, self._renew_again_at - time.monotonic())

    async def _use_fresh_token(self, *, refused: bool = False) -> None:
        """
        Raises:
            NotAuthenticated: there is nothing to renew by, or what it gives is refused as well.
            Unavailable: it can't be asked now, and the token in use is good no more.
        """
        if self._renew is None and self._client.identity.expires_at <= time.time():
            raise NotAuthenticated("token_expired")
        if not refused and self._seconds_to_renewal() > 0:
            return
        try:
            await self._renew_token()
        except Unavailable as error:
            if refused or self._client.identity.expires_at <= time.time():
                raise
            self._note(error)
            self._renew_again_at = time.monotonic() + self._timings.longest_pause

    async def _renew_token(self) -> None:
        used = self._client
        async with self._renewing:
            if self._client is not used:
                return  # another task has done it
            if self._renew is None:
                raise NotAuthenticated("token_expired")
            client = await self._in_time(self._renew)
            self.statistics.renewals += 1
            self._client, self._chats = client, Chats(client)
        if self._channel is not None:
            await self._channel.renew(client.access_token)

    # Writing

    async def send(
        self,
        body: str | None,
        *,
        attachments: Sequence[Attachment] = (),
        mentions: Sequence[UUID] = (),
        reply_to: int | None = None,
        client_generated_id: str | None = None,
    ) -> ChatMessage:
        """Send a message after those that wait, and wait until it is stored, however long that takes.

        It is sent again until the database has answered, and is stored once. Cancelling the wait doesn't take it back.

        Raises:
            InvalidInput: `body_required`, `body_too_long`, `invalid_value`, `reference_not_found`: the message is
                given up, and those behind it are sent. As for PermissionDenied: `role_required`, viewers only read.
            QeroError: what ended the session; the message stays in `pending`.
        """
        return await self.queue(
            body, attachments=attachments, mentions=mentions, reply_to=reply_to,
            client_generated_id=client_generated_id,
        )  # fmt: skip

    def queue(
        self,
        body: str | None,
        *,
        attachments: Sequence[Attachment] = (),
        mentions: Sequence[UUID] = (),
        reply_to: int | None = None,
        client_generated_id: str | None = None,
    ) -> asyncio.Future[ChatMessage]:
        """As `send`, without waiting: the future has the stored message, or the error.

        Raises:
            QeroError: the session has ended.
        """
        if self._state is SessionState.CLOSED:
            raise self._error or InvalidState("session_closed")
        message = NewMessage(
            client_generated_id=client_generated_id or str(uuid4()), body=body, attachments=[*attachments],
            mentions=[*mentions], reply_to=reply_to,
        )  # fmt: skip
        outgoing = _Outgoing(message, _future())
        self._own[message.client_generated_id] = None
        self._outgoing.append(outgoing)
        self._to_send.set()
        return outgoing.stored

    @property
    def pending(self) -> list[NewMessage]:
        """What isn't known to be stored, in order."""
        return [outgoing.message for outgoing in self._outgoing]

    async def _send_pending(self) -> None:
        pause = self._timings.first_pause
        batch = SEND_BATCH
        while True:
            await self._to_send.wait()
            first = [*self._outgoing][:batch]
            if not first:
                self._to_send.clear()
                batch = SEND_BATCH
                continue
            try:
                await self._send_batch([outgoing.message for outgoing in first])
            except NotFound:
                raise
            except QeroError as error:
                self._note(error)
                if error.retryable or error.status in (401, 429):
                    self.statistics.send_retries += 1
                    await asyncio.sleep(random.uniform(0, pause))  # noqa: S311
                    pause = min(pause * 2, self._timings.longest_pause)
                    if isinstance(error, NotAuthenticated):
                        with contextlib.suppress(Unavailable):
                            await self._renew_token()
                elif len(first) > 1:
                    # One of them is refused, and so none was stored: one by one it shows which, and costs only itself.
                    batch = 1
                else:
                    self.statistics.refused += 1
                    self._outgoing.popleft()
                    _fail(first[0].stored, error)
            else:
                pause = self._timings.first_pause

    async def _send_batch(self, messages: list[NewMessage]) -> None:
        stored = await self._in_time(lambda: self._chats.send_many(self.chat_id, messages))
        self.statistics.sent += len(stored)
        for message in stored:
            outgoing = self._outgoing.popleft()
            if not outgoing.stored.done():
                outgoing.stored.set_result(message)

    async def mark_read(self, up_to_seq: int | None = None) -> ChatMember:
        """Say that one has read up to a number, or everything that this session has handed out.

        Raises:
            QeroError: as `Chats.mark_read`.
        """
        if up_to_seq is None and self._position is not None:
            up_to_seq = self._position.seq
        return await self._call(lambda: self._chats.mark_read(self.chat_id, up_to_seq))

    async def typing(self, typing: bool = True) -> None:
        """Tell the others that one is typing; often enough is every keystroke, and most of them cost nothing."""
        now = time.monotonic()
        if typing and now - self._typed_at < self._timings.typing:
            return
        self._typed_at = now if typing else float("-inf")
        await self._call(lambda: self._chats.set_typing(self.chat_id, typing))

    async def _confirm(self) -> None:
        confirmed = 0
        while True:
            await self._to_confirm.wait()
            await asyncio.sleep(self._timings.receipts)
            self._to_confirm.clear()
            position = self._position
            if not self._confirm_delivery or position is None or position.seq <= confirmed:
                continue
            try:
                await self._in_time(lambda seq=position.seq: self._chats.mark_delivered(self.chat_id, seq))  # type: ignore[misc]
            except (Unavailable, NotAuthenticated):
                self._to_confirm.set()  # with what arrives until then
                await asyncio.sleep(self._timings.longest_pause)
            else:
                confirmed = position.seq
                self.statistics.receipts += 1


def _may_be_repeated(error: Exception) -> bool:
    return isinstance(error, QeroError) and error.retryable


def _future() -> asyncio.Future[ChatMessage]:
    return asyncio.get_running_loop().create_future()


def _fail(stored: asyncio.Future[ChatMessage], error: QeroError) -> None:
    if not stored.done():
        stored.set_exception(error)
        stored.exception()  # perhaps nobody waits for it


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None
