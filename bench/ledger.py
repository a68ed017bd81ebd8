"""The token ledger under attack: writers that are killed at random, with repeats of the same references.

Every writer grants, deducts, reserves, settles and releases on one workspace, with references that the others use too,
while its connection is cut at random; it then repeats what it wasn't answered. Afterwards the balance has to be the
ledger's sum, every row of the ledger has to follow from the one before, nothing may have been below zero, and each
reference has to count once, with everything that was answered in it.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import psycopg

from bench.report import Case, progress
from qero.local.stack import temporary_stack

Connection = psycopg.AsyncConnection[Any]
REFERENCES = 400
"""How many are tried at a time, half of them new: few enough that writers meet in them."""


@dataclass
class Report:
    """What an attack did, and what didn't hold."""

    applied: int = 0
    replayed: int = 0
    refused: int = 0
    grants: int = 0
    reservations: int = 0
    kills: int = 0
    faults: list[str] = field(default_factory=list)


async def run(*, quick: bool) -> list[Case]:
    with temporary_stack() as address:
        async with await psycopg.AsyncConnection.connect(address.db_url, autocommit=True) as connection:
            cursor = await connection.execute(
                "insert into workspaces (slug, name) values ('bench', 'Bench') returning id"
            )
            [workspace_id] = await cursor.fetchone() or [None]
        assert isinstance(workspace_id, UUID)
        seconds = 6 if quick else 60
        report = await attack(address.db_url, workspace_id, writers=16, seconds=seconds, seed=1)
    progress(str(report))
    name = f"16 writers, {seconds} s, {report.applied} applied, {report.replayed} replayed, {report.kills} kills"
    return [Case(f"{name}: what didn't hold", len(report.faults), "faults", 1)]


async def attack(db_url: str, workspace_id: UUID, *, writers: int, seconds: float, seed: int) -> Report:
    """Let writers loose on a workspace's tokens, then compare everything with everything."""
    crowd = _Crowd(db_url, workspace_id, time.monotonic() + seconds, Report())
    async with asyncio.TaskGroup() as tasks:
        for index in range(writers):
            tasks.create_task(crowd.write(random.Random(seed * 1000 + index)))
        tasks.create_task(crowd.kill(random.Random(seed)))
    async with await psycopg.AsyncConnection.connect(db_url, autocommit=True) as connection:
        await crowd.judge(connection)
    return crowd.report


class _Crowd:
    def __init__(self, db_url: str, workspace_id: UUID, until: float, report: Report) -> None:
        self._url = db_url
        self._workspace_id = workspace_id
        self._until = until
        self._pids: set[int] = set()
        self._answers: dict[str, set[int]] = defaultdict(set)
        """By reference: the ids of the ledger's rows that were answered."""
        self.report = report

    async def write(self, chance: random.Random) -> None:
        pending: Callable[[Connection], Awaitable[None]] | None = None
        while time.monotonic() < self._until:
            try:
                async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
                    self._pids.add(pid := connection.info.backend_pid)
                    try:
                        while time.monotonic() < self._until:
                            # What wasn't answered is repeated as it was.
                            pending = pending or self._choose(chance)
                            await pending(connection)
                            pending = None
                    finally:
                        self._pids.discard(pid)
            except psycopg.OperationalError:
                continue

    def _choose(self, chance: random.Random) -> Callable[[Connection], Awaitable[None]]:
        number = chance.randrange(REFERENCES) + max(0, self.report.applied - REFERENCES // 2)
        kind = chance.random()
        if kind < 0.8:
            return lambda connection: self._apply(connection, number)
        if kind < 0.9:
            ends = chance.choice([None, 0.05, 0.5])
            return lambda connection: self._grant(connection, number, chance.randrange(101), ends)
        return lambda connection: self._reserve(connection, number, chance)

    async def _apply(self, connection: Connection, number: int) -> None:
        reference = f"r{number}"
        try:
            cursor = await connection.execute(
                "select (entry).id from (select apply_workspace_token_delta(%s, %s, 'attack', %s) as entry) as answer",
                [self._workspace_id, _amount(number), reference],
            )
        except psycopg.DatabaseError as error:
            self._refuse(error)
            return
        [entry_id] = await cursor.fetchone() or [None]
        known = self._answers[reference]
        if known:
            self.report.replayed += 1
        else:
            self.report.applied += 1
        known.add(entry_id)

    async def _grant(self, connection: Connection, number: int, priority: int, ends: float | None) -> None:
        try:
            await connection.execute(
                "select grant_workspace_tokens(%s, %s, 'attack', %s, now() + make_interval(secs => %s), %s)",
                [self._workspace_id, abs(_amount(number)), f"g{number}", ends, priority],
            )
        except psycopg.DatabaseError as error:
            self._refuse(error)
            return
        self.report.grants += 1

    async def _reserve(self, connection: Connection, number: int, chance: random.Random) -> None:
        amount = abs(_amount(number))
        try:
            cursor = await connection.execute(
                "select (reserve_workspace_tokens(%s, %s, 'attack', %s, 1)).id",
                [self._workspace_id, amount, f"j{number}"],
            )
            [reservation_id] = await cursor.fetchone() or [None]
            match chance.randrange(3):
                case 0:
                    await connection.execute(
                        "select settle_token_reservation(%s, %s)", [reservation_id, chance.randint(1, amount)]
                    )
                case 1:
                    await connection.execute("select release_token_reservation(%s)", [reservation_id])
        except psycopg.DatabaseError as error:
            self._refuse(error)
            return
        self.report.reservations += 1

    def _refuse(self, error: psycopg.DatabaseError) -> None:
        """Count what the rules refuse; whatever else is wrong isn't for this one to swallow."""
        if error.diag.message_primary in ("insufficient_tokens", "reservation_ended"):
            self.report.refused += 1
        elif isinstance(error, psycopg.OperationalError):
            raise error
        else:
            self.report.faults.append(f"{error.sqlstate} {error}")

    async def kill(self, chance: random.Random) -> None:
        async with await psycopg.AsyncConnection.connect(self._url, autocommit=True) as connection:
            while time.monotonic() < self._until:
                await asyncio.sleep(chance.uniform(0.01, 0.1))
                if self._pids:
                    await connection.execute("select pg_terminate_backend(%s)", [chance.choice(sorted(self._pids))])
                    self.report.kills += 1

    async def judge(self, connection: Connection) -> None:
        cursor = await connection.execute(
            """
            select id, delta, balance_after, reference_type, reference_id from workspace_token_ledger
            where workspace_id = %s order by id
            """,
            [self._workspace_id],
        )
        counted: dict[str, int] = {}
        before = 0
        for entry_id, delta, after, kind, reference in await cursor.fetchall():
            if after != before + delta or after < 0:
                self.report.faults.append(f"row {entry_id}: {before} and {delta} make {after}")
            before = after
            if kind == "request":
                if reference in counted:
                    self.report.faults.append(f"{reference} counted twice")
                counted[reference] = entry_id
                if delta != _amount(int(reference[1:])):
                    self.report.faults.append(f"{reference} counted {delta}")
        for reference, answers in self._answers.items():
            if answers != {counted.get(reference)}:
                self.report.faults.append(f"{reference} was answered {answers} and counted {counted.get(reference)}")
        cursor = await connection.execute(
            """
            select account.balance, account.reserved, account.granted, (
                select coalesce(sum(reservation.amount), 0) from workspace_token_reservations as reservation
                where reservation.workspace_id = account.workspace_id and reservation.status = 'open'), (
                select coalesce(sum(token_grant.remaining), 0) from workspace_token_grants as token_grant
                where token_grant.workspace_id = account.workspace_id and token_grant.status = 'open')
            from workspace_token_balance as account where account.workspace_id = %s
            """,
            [self._workspace_id],
        )
        [balance, reserved, granted, open_reservations, open_grants] = await cursor.fetchone() or [0] * 5
        if (balance, reserved, granted) != (before, open_reservations, open_grants):
            self.report.faults.append(
                f"balance {balance} of {before}, reserved {reserved} of {open_reservations}, "
                f"granted {granted} of {open_grants}"
            )


def _amount(number: int) -> int:
    """What a reference is for, the same for everybody; a little more is taken than given."""
    size = number * 7919 % 40 + 1
    return size if number % 2 else -size
