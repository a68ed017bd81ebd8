"""What a session makes of news that is lost, late, doubled and out of order: thousands of runs on a made-up chat."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest

from qero.chat.timeline import Change, MessageChanged, MessageReceived, Position, Timeline
from qero.models.chat import ChatChanges, ChatMessage

CHAT, SENDER = uuid4(), uuid4()
RUNS = 500


def message(seq: int, rev: int, body: str | None = "x", *, deleted: bool = False) -> ChatMessage:
    now = datetime.now(UTC)
    return ChatMessage(
        id=UUID(int=seq), chat_id=CHAT, seq=seq, rev=rev, sender_id=SENDER, body=body, created_at=now,
        deleted_at=now if deleted else None,
    )  # fmt: skip


class Server:
    """The chat as the database has it."""

    def __init__(self) -> None:
        self.messages: list[ChatMessage] = []
        self.rev = 0

    def act(self, chance: random.Random) -> ChatMessage:
        """Somebody sends, edits or deletes; returns what is broadcast."""
        self.rev += 1
        if not self.messages or chance.random() < 0.7:
            self.messages.append(message(len(self.messages) + 1, self.rev))
            return self.messages[-1]
        # Mostly what is recent.
        index = max(0, len(self.messages) - 1 - int(chance.expovariate(0.3)))
        self.messages[index] = message(index + 1, self.rev, f"edited {self.rev}", deleted=chance.random() < 0.3)
        return self.messages[index]

    def changes(self, after_rev: int, limit: int) -> ChatChanges:
        changed = sorted((m for m in self.messages if m.rev > after_rev), key=lambda m: m.rev)[:limit]
        return ChatChanges(
            messages=changed, has_more=len(changed) == limit, latest_seq=len(self.messages), latest_rev=self.rev
        )


class Reader:
    """Whoever reads a session, and what they know by it."""

    def __init__(self) -> None:
        self.seqs: list[int] = []
        self.known: dict[int, ChatMessage] = {}

    def read(self, changes: Iterable[Change]) -> None:
        for change in changes:
            if isinstance(change, MessageReceived):
                self.seqs.append(change.message.seq)
            self.known[change.message.seq] = change.message


class Network:
    """Delivers news late, twice or not at all."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._on_its_way: list[ChatMessage] = []

    def take(self, news: ChatMessage) -> None:
        copies = self._chance.choices((0, 1, 2), (0.15, 0.7, 0.15))[0]
        self._on_its_way += [news] * copies

    def deliver(self, count: int) -> Iterator[ChatMessage]:
        for _ in range(min(count, len(self._on_its_way))):
            # Mostly the first; now and then one overtakes.
            yield self._on_its_way.pop(min(int(self._chance.expovariate(1.2)), len(self._on_its_way) - 1))

    def cut(self) -> None:
        self._on_its_way.clear()


@pytest.mark.parametrize("block", range(8))
def test_every_message_once_and_in_order_whatever_the_network_does(block: int) -> None:
    for run in range(RUNS):
        chance = random.Random(block * RUNS + run)
        server, reader, network = Server(), Reader(), Network(chance)
        timeline = Timeline(Position(0, 0))
        down = False

        def catch_up(
            timeline: Timeline,
            *,
            chance: random.Random = chance,
            server: Server = server,
            reader: Reader = reader,
            network: Network = network,
        ) -> None:
            while True:
                page = server.changes(timeline.rev, chance.randint(1, 8))
                reader.read(timeline.catch_up(page))
                if not page.has_more:
                    return
                if chance.random() < 0.5:
                    network.take(server.act(chance))  # people go on while pages are fetched

        for _ in range(chance.randint(10, 80)):
            news = server.act(chance)
            if not down:
                network.take(news)
            if chance.random() < 0.05:
                down = not down
                network.cut()
                if not down:
                    catch_up(timeline)
            for arrived in network.deliver(chance.randint(0, 3)):
                reader.read(timeline.receive(arrived))
            if timeline.behind and not down and chance.random() < 0.5:
                catch_up(timeline)
            if chance.random() < 0.02:
                # The program ends, and another one goes on where it was.
                timeline = Timeline(timeline.position)
                network.cut()
                catch_up(timeline)
        catch_up(timeline)  # the probe finds a tail that was lost

        assert reader.seqs == [*range(1, len(server.messages) + 1)], f"run {run}"
        assert [reader.known[m.seq] for m in server.messages] == server.messages, f"run {run}"
        assert not timeline.held
        assert not timeline.behind
        assert timeline.position == Position(len(server.messages), server.rev)


def test_trusting_the_broadcasts_alone_would_lose_messages() -> None:
    """The simulation is hard enough to tell the difference."""
    lost = 0
    for run in range(100):
        chance = random.Random(run)
        server, network = Server(), Network(chance)
        seen = set()
        for _ in range(40):
            network.take(server.act(chance))
            seen |= {news.seq for news in network.deliver(3)}
        lost += len(seen) < len(server.messages)
    assert lost > 90


def test_an_edited_message_waits_for_nobody_and_is_not_overtaken() -> None:
    """It is fetched at its latest rev, after messages that were sent later."""
    timeline = Timeline(Position(4, 4))
    changes = ChatChanges(
        messages=[message(6, 6), message(7, 7), message(5, 8)], has_more=False, latest_seq=7, latest_rev=8
    )

    assert [change.message.seq for change in timeline.catch_up(changes)] == [5, 6, 7]


def test_a_page_that_holds_something_back_moves_no_position() -> None:
    timeline = Timeline(Position(4, 4))
    first = ChatChanges(messages=[message(6, 6)], has_more=True, latest_seq=6, latest_rev=7)
    assert [*timeline.catch_up(first)] == []
    assert timeline.position == Position(4, 4)
    last = ChatChanges(messages=[message(5, 7)], has_more=False, latest_seq=6, latest_rev=7)
    assert [change.message.seq for change in timeline.catch_up(last)] == [5, 6]
    assert timeline.position == Position(6, 7)


def test_news_from_beyond_a_gap_is_kept_until_the_gap_is_closed() -> None:
    timeline = Timeline(Position(1, 1))
    assert [*timeline.receive(message(4, 4))] == []
    assert timeline.behind
    assert timeline.gaps == 1
    changes = ChatChanges(messages=[message(2, 2), message(3, 3)], has_more=False, latest_seq=3, latest_rev=3)
    assert [change.message.seq for change in timeline.catch_up(changes)] == [2, 3, 4]
    assert timeline.rev == 4
    assert [*timeline.receive(message(4, 4))] == []
    assert timeline.duplicates == 1


def test_an_edit_of_a_known_message_is_a_change() -> None:
    timeline = Timeline(Position(2, 2))
    [change] = timeline.receive(message(1, 3, "edited"))
    assert change == MessageChanged(change.message)
    assert change.message.body == "edited"
