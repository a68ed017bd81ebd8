"""Team chat."""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID, uuid4

from proof.faults.office import Office, Part, differences
from qero import Chats, ChatSession, QeroError
from qero.chat import MessageChanged, MessageReceived, SessionState

CATCH_UP_SECONDS = 60


@dataclass
class _Follower:
    """What one follower of a chat has seen."""

    first: int
    seqs: list[int] = field(default_factory=list)
    bodies: dict[int, str | None] = field(default_factory=dict)

    def see(self, seq: int, body: str | None, *, new: bool) -> None:
        if new:
            self.seqs.append(seq)
        self.bodies[seq] = body


class Chatter(Part):
    """Three colleagues write and edit in two chats, follow them live, and a terminal follows each as well."""

    name = "chat"
    per_second = 6.0

    def __init__(self, office: Office) -> None:
        super().__init__(office)
        self.chat_ids: list[UUID] = []
        self._sessions: list[tuple[str, ChatSession]] = []
        self._followers: dict[str, tuple[UUID, _Follower]] = {}
        self._terminals: dict[str, tuple[UUID, Path]] = {}
        self._readers: list[asyncio.Task[None]] = []
        self._stored: dict[str, tuple[UUID, int]] = {}
        """By the sender's id: chat and number that were answered."""
        self._texts: dict[UUID, tuple[int, str]] = {}
        """Of messages that were edited: number and the last text that was answered."""
        self._editing: set[UUID] = set()
        self._mine: list[tuple[str, UUID, int]] = []
        self._all = contextlib.AsyncExitStack()

    async def prepare(self) -> None:
        people = self.office.people
        others = [client.identity.user_id for name, client in people.items() if name != "olga"]
        for title in ("Team", "Deliveries"):
            chat = await Chats(people["olga"]).create(self.office.workspace.id, "group", title, member_ids=others)
            self.chat_ids.append(chat.id)
            for name, client in people.items():
                session = await self._all.enter_async_context(ChatSession(client, chat.id, own_messages=True))
                await session.wait_until(SessionState.SUBSCRIBED)
                follower = _Follower(first=0)
                self._followers[f"{name} in {title}"] = (chat.id, follower)
                self._sessions.append((name, session))
                self._readers.append(asyncio.create_task(self._read(session, follower)))

    def add_terminal(self, name: str, chat_id: UUID, log: Path) -> None:
        """A `qero chat follow`, whose output is read in the end. It may have begun after the first messages."""
        self._terminals[name] = (chat_id, log)

    async def _read(self, session: ChatSession, follower: _Follower) -> None:
        try:
            async for event in session:
                match event:
                    case MessageReceived(message):
                        follower.see(message.seq, message.body, new=True)
                    case MessageChanged(message):
                        follower.see(message.seq, message.body, new=False)
        except QeroError as error:
            self.office.blame(f"a chat session ended: {error.code} {error.detail}")

    async def step(self) -> None:
        chance = self.office.chance
        if self._mine and chance.random() < 0.1:
            await self._edit(*chance.choice(self._mine))
            return
        name, session = chance.choice(self._sessions)
        key = str(uuid4())
        message = await session.send(f"A remark ({key[:8]})", client_generated_id=key)
        self._stored[key] = (message.chat_id, message.seq)
        self._mine.append((name, message.id, message.seq))
        self.office.counts["chat messages"] += 1

    async def _edit(self, name: str, message_id: UUID, seq: int) -> None:
        if message_id in self._editing:
            return
        self._editing.add(message_id)
        body = f"A better remark ({uuid4().hex[:8]})"
        await self.office.insist(lambda: Chats(self.office.people[name]).edit(message_id, body))
        self._texts[message_id] = (seq, body)
        self._editing.discard(message_id)
        self.office.counts["chat edits"] += 1

    async def finish(self) -> None:
        """Whoever follows has to have seen the last message; one more brings news to all."""
        for chat_id in self.chat_ids:
            _, session = next(pair for pair in self._sessions if pair[1].chat_id == chat_id)
            last = await session.send("That was all.")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CATCH_UP_SECONDS):
                    while not all(  # noqa: ASYNC110
                        follower.seqs and follower.seqs[-1] >= last.seq
                        for of, follower in (*self._followers.values(), *self._seen_in_terminals().values())
                        if of == chat_id
                    ):
                        await asyncio.sleep(0.5)
        statistics = [session.statistics for _, session in self._sessions]
        self.office.counts["chat sessions' reconnects"] = sum(each.disconnects for each in statistics)
        await self.close()

    async def close(self) -> None:
        await self._all.aclose()
        await asyncio.gather(*self._readers)

    def _seen_in_terminals(self) -> dict[str, tuple[UUID, _Follower]]:
        found = {}
        for name, (chat_id, log) in self._terminals.items():
            follower = _Follower(first=-1)
            for line in log.read_text(errors="replace").splitlines():
                if not line.startswith('{"event": "') or '"message": {' not in line:
                    continue
                event = json.loads(line)
                follower.see(event["message"]["seq"], event["message"]["body"], new=event["event"] == "message")
            found[name] = (chat_id, follower)
        return found

    async def judge(self) -> dict[str, list[str]]:
        gaps, unseen, outdated = [], [], []
        stored: dict[str, tuple[UUID, int]] = {}
        edited: dict[UUID, tuple[int, str]] = {}
        for chat_id in self.chat_ids:
            rows = await self.office.rows(
                "select seq, rev, client_generated_id, body, id from chat_messages where chat_id = %s order by seq",
                chat_id,
            )
            seqs, revs = [row[0] for row in rows], [row[1] for row in rows]
            if seqs != [*range(1, len(rows) + 1)] or len(set(revs)) != len(revs):
                gaps.append(f"chat {chat_id} has {len(rows)} messages, numbered to {max(seqs)}")
            stored |= {key: (chat_id, seq) for seq, _, key, _, _ in rows if key in self._stored}
            edited |= {id_: (seq, body) for seq, _, _, body, id_ in rows if id_ in self._texts}
            latest = {row[0]: row[3] for row in rows}
            for name, (of, follower) in {**self._followers, **self._seen_in_terminals()}.items():
                if of != chat_id:
                    continue
                first = follower.first if follower.first >= 0 else (follower.seqs or [1])[0] - 1
                if follower.seqs != [*range(first + 1, len(rows) + 1)]:
                    unseen.append(f"{name} saw {len(follower.seqs)} messages of {len(rows) - first}, or out of order")
                outdated += differences(f"{name} shows", {s: latest[s] for s in follower.bodies}, follower.bodies)
        return {
            "numbers without gaps": gaps,
            "what was answered is stored under its number": differences("message", self._stored, stored),
            "the last edit counts": differences("message", self._texts, edited),
            "each follower saw each message once and in order": unseen,
            "each follower has the latest text": outdated,
        }
