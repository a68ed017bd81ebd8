"""Importing 100,000 people from a CSV file: `qero contacts import` beside `COPY`.

Ours is the whole command, as a user, from its start to its end: reading and mapping the file, bringing half of the
phone numbers from their national to the international form, finding out whether each row is new, inserting, and
writing a report of every row. The second case imports the same file again, which changes nothing. The floor parses the
same file and copies the rows, in their final form, into the same table with the same indexes, as the owner of the
tables. The table is emptied before each, and realtime, which reads every row of it, has caught up. Memory is the
command's peak.
"""

from __future__ import annotations

import asyncio
import csv
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg

from bench.report import Case, interleaved, progress
from qero import Clients, Workspaces
from qero.local.stack import Address, temporary_stack

PASSWORD = "a password for the benchmark"
QERO = Path(sys.executable).with_name("qero")


async def run(*, quick: bool) -> list[Case]:
    rows, runs = (5_000, 1) if quick else (100_000, 3)
    with TemporaryDirectory() as folder, temporary_stack() as address:
        file = Path(folder) / "people.csv"
        _write(file, rows)
        async with Clients(address.settings()) as clients:
            token = await _member(clients, address)
        bench = _Bench(address, file, rows, token)
        medians = await interleaved(
            {"import": bench.imported, "again": bench.again, "copy": partial(asyncio.to_thread, bench.copied)},
            runs=runs,
            warm_up=0 if quick else 1,
        )
    name = f"{rows:,} rows"
    return [
        Case(name, medians["import"], "s", runs, floor=medians["copy"]),
        Case(f"{name} again", medians["again"], "s", runs, floor=medians["copy"]),
        Case(f"{name}, peak memory", statistics.median(bench.peaks), "MB", runs),
    ]


def _settle(connection: psycopg.Connection[Any]) -> None:
    """Wait until realtime has read what was written before: it shares the processor."""
    row = connection.execute("select pg_current_wal_lsn()").fetchone()
    assert row is not None
    behind = "select from pg_replication_slots where confirmed_flush_lsn < %s::pg_lsn"
    deadline = time.monotonic() + 120
    while connection.execute(behind, row).fetchone() is not None and time.monotonic() < deadline:
        time.sleep(0.2)


def _empty(connection: psycopg.Connection[Any]) -> None:
    """Away with all contacts. Nobody truncates the ledger of leads, which refers to them."""
    connection.execute("alter table queue_ledger disable trigger queue_ledger_refuse_change")
    connection.execute("truncate contacts cascade")
    connection.execute("alter table queue_ledger enable always trigger queue_ledger_refuse_change")


def _write(file: Path, rows: int) -> None:
    with file.open("w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["Name", "E-mail", "Phone", "Lead status", "Tags"])
        for number in range(rows):
            phone = f"+4917{10_000_000 + number}" if number % 2 else f"017{number % 10} {10_000_000 + number}"
            writer.writerow(
                [f"Person {number} Somebody", f"person.{number}@example.com", phone, "new", f"tag{number % 50}, import"]
            )


async def _member(clients: Clients, address: Address) -> str:
    await clients.service().auth.admin.create_user(
        {"email": "olga@example.com", "password": PASSWORD, "email_confirm": True}
    )
    answer = await clients.http.post(
        f"{address.url}/auth/v1/token?grant_type=password",
        headers={"apikey": address.publishable_key},
        json={"email": "olga@example.com", "password": PASSWORD},
    )
    token: str = answer.raise_for_status().json()["access_token"]
    await Workspaces(await clients.user(token)).create("bench", "Bench")
    return token


class _Bench:
    def __init__(self, address: Address, file: Path, rows: int, token: str) -> None:
        self._address = address
        self._file = file
        self._rows = rows
        self._token = token
        self.peaks: list[float] = []

    async def imported(self) -> float:
        return await asyncio.to_thread(self._command, "created", empty=True)

    async def again(self) -> float:
        return await asyncio.to_thread(self._command, "skipped", empty=False)

    def _command(self, outcome: str, *, empty: bool) -> float:
        with psycopg.connect(self._address.db_url, autocommit=True) as connection:
            if empty:
                _empty(connection)
            connection.execute("vacuum (analyze) contacts")
            _settle(connection)
        report = self._file.with_name("report.csv")
        started = time.perf_counter()
        process = subprocess.Popen(
            [QERO, "contacts", "import", "bench", self._file, "--region", "DE", "--yes", "--report", report],
            env={**os.environ, **self._address.environment(), "QERO_ACCESS_TOKEN": self._token},
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        output = process.stdout.read().decode()
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        process.stdout.close()
        if process.returncode or f"{self._rows} {outcome}" not in output:
            raise RuntimeError(f"the import ended with {process.returncode}: {output}")
        self.peaks.append(used.ru_maxrss / 1024)
        progress(f"peak memory {self.peaks[-1]:.0f} MB")
        return seconds

    def copied(self) -> float:
        with psycopg.connect(self._address.db_url, autocommit=True) as connection:
            _empty(connection)
            _settle(connection)
            row = connection.execute("select id from workspaces where slug = 'bench'").fetchone()
            assert row is not None
            started = time.perf_counter()
            self._copy(connection, str(row[0]))
            return time.perf_counter() - started

    def _copy(self, connection: psycopg.Connection[Any], workspace: str) -> None:
        copy = "copy contacts (workspace_id, name, email, phone, lead_status, tags, source) from stdin"
        with (
            self._file.open(encoding="utf-8", newline="") as lines,
            connection.cursor() as cursor,
            cursor.copy(copy) as into,
        ):
            reader = csv.reader(lines)
            next(reader)
            for name, email, phone, lead_status, tags in reader:
                number = phone if phone.startswith("+") else f"+49{phone[1:].replace(' ', '')}"
                into.write_row((workspace, name, email, number, lead_status, tags.split(", "), "import"))
