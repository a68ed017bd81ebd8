"""What a session knows of a chat, and what a piece of news means for it. Pure logic: no clock, no network.

News may be lost, late, doubled and out of order. Two numbers settle everything: `rev` says whether something was
missed, of new messages and of edits alike, and `seq`, which has no gaps, in which order messages are handed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from qero.models.chat import ChatChanges, ChatMessage


@dataclass(frozen=True, slots=True)
class Position:
    """Where a session stands: every message up to `seq` was handed out, with every change up to `rev`."""

    seq: int
    rev: int


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A message that wasn't handed out before, in the order of the numbers. It may be deleted by now."""

    message: ChatMessage


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """A message that was handed out before has been edited, or deleted: `message` is what it is now."""

    message: ChatMessage


Change = MessageReceived | MessageChanged


class Timeline:
    """Turns news into changes: each message once and in order, each edit at least in its latest form."""

    def __init__(self, start: Position) -> None:
        self._seq = start.seq
        self._rev = start.rev
        self._position = start
        # New messages whose predecessors are still to come: an edited one is found at its latest rev, after others.
        self._held: dict[int, ChatMessage] = {}
        # News from beyond a gap, until what is missing has been fetched.
        self._beyond: dict[int, ChatMessage] = {}
        self._highest_rev = start.rev
        self.duplicates = 0
        self.gaps = 0

    @property
    def rev(self) -> int:
        """The last rev up to which nothing is missing: ask for changes after it."""
        return self._rev

    @property
    def behind(self) -> bool:
        """Something is known to be missing."""
        return self._highest_rev > self._rev

    @property
    def position(self) -> Position:
        """Where another session could go on: what is held back isn't counted."""
        return self._position

    def receive(self, message: ChatMessage) -> Iterator[Change]:
        """News of one message, from wherever it comes."""
        if message.rev <= self._rev:
            self.duplicates += 1
        elif message.rev == self._rev + 1:
            yield from self._apply(message)
            yield from self._go_on()
        else:
            self.gaps += not self.behind
            self._beyond[message.rev] = message
            self._highest_rev = max(self._highest_rev, message.rev)

    def catch_up(self, changes: ChatChanges) -> Iterator[Change]:
        """What was asked for after `rev`: complete, because revs are given out in the order of the commits."""
        for message in changes.messages:
            if message.rev > self._rev:
                yield from self._apply(message)
        if not changes.has_more and changes.latest_rev > self._rev:
            # Revs in between belong to messages that have changed again since.
            self._rev = changes.latest_rev
        self._highest_rev = max(self._highest_rev, changes.latest_rev)
        self._settle()
        yield from self._go_on()

    def _apply(self, message: ChatMessage) -> Iterator[Change]:
        self._rev = message.rev
        self._highest_rev = max(self._highest_rev, message.rev)
        if message.seq <= self._seq:
            self._settle()
            yield MessageChanged(message)
            return
        self._held[message.seq] = message
        while (following := self._held.pop(self._seq + 1, None)) is not None:
            self._seq = following.seq
            self._settle()
            yield MessageReceived(following)

    def _go_on(self) -> Iterator[Change]:
        for rev in sorted(self._beyond):
            if rev > self._rev + 1:
                return
            message = self._beyond.pop(rev)
            if rev == self._rev + 1:
                yield from self._apply(message)

    def _settle(self) -> None:
        self._position = Position(self._seq, self._position.rev if self._held else self._rev)

    @property
    def held(self) -> Mapping[int, ChatMessage]:
        """Messages that wait for an earlier one; none once the session has caught up."""
        return self._held
