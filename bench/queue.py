"""The lead queue with a million leads: preparing a day, taking a lead, and getting the queue out as CSV.

Preparing is the whole call, committed, as the user: it finds the best leads of a million, checks each, moves them, and
writes a message, a run and two rows of the ledger for each. Its floor is a bare `insert … select` of as many rows into
the table of messages, with the same indexes and references and without the ledger. Taking is the whole call, committed,
of a lead whose message is in the outbox. The export goes through the API and into a file; its floor is
`COPY (select …) to stdout` of the same columns on a direct connection, into a file. Memory is the peak of
`qero queue export`.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

import psycopg

from bench.report import Case, interleaved, progress
from qero import Clients, LeadQueue, Workspaces
from qero.local.postgres import SUPERUSER
from qero.local.stack import Address, temporary_stack
from qero.services.lead_queue import export_all

PASSWORD = "a password for the benchmark"
QERO = Path(sys.executable).with_name("qero")

FILL = (
    """
    insert into contacts (workspace_id, name, phone)
    select %(workspace)s::uuid, 'Person ' || i, '+49170' || (1000000 + i) from generate_series(1, %(leads)s) as i
    """,
    """
    insert into leads (workspace_id, contact_id, user_id, score)
    select workspace_id, id, %(user)s::uuid, (random() * 100)::integer from contacts
    """,
)
FLOOR = """
insert into whatsapp_message_queue (workspace_id, lead_id, user_id, client_id, queue_day, priority, template,
  scheduled_for, reason)
select workspace_id, id, user_id, client_id, current_date + 1, score, '{"name": "hello", "language": {"code": "en"}}',
  now(), 'Prepared.'
from leads where workspace_id = %s and user_id = %s and control = 'automation' and status in ('new', 'pending')
order by score desc, created_at, id limit %s
"""
COPY = """
copy (
  select message.queue_day, message.status, message.step, message.id, message.lead_id, contact.name, contact.email,
    contact.phone, client.name, project.name, lead.score, lead.status, lead.control, profile.email,
    message.scheduled_for, message.sent_at, message.attempts, coalesce(message.last_error, message.reason),
    coalesce(message.body, message.template ->> 'name')
  from whatsapp_message_queue as message
  join leads as lead on lead.id = message.lead_id
  left join contacts as contact on contact.id = lead.contact_id
  left join clients as client on client.id = message.client_id
  left join projects as project on project.id = lead.project_id
  left join profiles as profile on profile.id = message.user_id
  order by message.queue_day, message.id
) to stdout (format csv, header)
"""


async def run(*, quick: bool) -> list[Case]:
    leads, sizes, rows, runs = (
        (20_000, (100, 1_000), 2_000, 1) if quick else (1_000_000, (100, 1_000, 10_000), 100_000, 5)
    )
    with temporary_stack() as address:
        async with Clients(address.settings()) as clients:
            bench = await _Bench.made(address, clients, leads)
            cases = []
            for size in sizes:
                medians = await interleaved(
                    {
                        "prepare": partial(asyncio.to_thread, bench.prepared, size),
                        "bare insert": partial(asyncio.to_thread, bench.inserted, size),
                    },
                    runs=runs,
                )
                cases.append(
                    Case(f"prepare {size:,} of {leads:,}", medians["prepare"], "ms", runs, floor=medians["bare insert"])
                )
            takes = await asyncio.to_thread(bench.taken, 50 if quick else 500)
            cases.append(Case("take", statistics.median(takes), "ms", len(takes)))
            await asyncio.to_thread(bench.fill_queue, rows)
            medians = await interleaved(
                {"export": bench.exported, "copy": partial(asyncio.to_thread, bench.copied)}, runs=runs
            )
            cases.append(Case(f"export {rows:,} rows", medians["export"], "s", runs, floor=medians["copy"]))
            whole = await asyncio.to_thread(bench.peak, "2020-01-01")
            tenth = await asyncio.to_thread(bench.peak, "2020-01-10")
            cases.append(Case(f"export {rows:,} rows, peak memory", whole, "MB", 1, floor=tenth))
    return cases


class _Bench:
    """One workspace, its owner, and everything in the owner's queue."""

    def __init__(self, address: Address, clients: Clients, token: str, user: str, workspace: str) -> None:
        self._address = address
        self._clients = clients
        self._token = token
        self._user = user
        self._workspace = workspace
        self._folder = TemporaryDirectory(prefix="qero-bench-")

    @classmethod
    async def made(cls, address: Address, clients: Clients, leads: int) -> _Bench:
        await clients.service().auth.admin.create_user(
            {"email": "olga@example.com", "password": PASSWORD, "email_confirm": True}
        )
        answer = await clients.http.post(
            f"{address.url}/auth/v1/token?grant_type=password",
            headers={"apikey": address.publishable_key},
            json={"email": "olga@example.com", "password": PASSWORD},
        )
        session = answer.raise_for_status().json()
        workspace = await Workspaces(await clients.user(session["access_token"])).create("bench", "Bench")
        bench = cls(address, clients, session["access_token"], session["user"]["id"], str(workspace.id))
        progress(f"making {leads:,} leads …")
        await asyncio.to_thread(bench._fill, leads)
        return bench

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._address.db_url, autocommit=True)

    def _fill(self, leads: int) -> None:
        superuser = self._address.db_url.replace("//postgres:", f"//{SUPERUSER}:")
        with psycopg.connect(superuser, autocommit=True) as connection:
            # Nothing here searches contacts, and making a million takes ten times as long with that index; nor is it
            # the references of these rows that are measured.
            connection.execute("drop index contacts_search_idx")
            connection.execute("set synchronous_commit = off")
            connection.execute("set session_replication_role = replica")
            for statement in FILL:
                connection.execute(statement, {"workspace": self._workspace, "user": self._user, "leads": leads})
        with self._connect() as connection:
            connection.execute(
                """
                insert into user_queue_settings (workspace_id, user_id, daily_capacity, sends_from, sends_until, steps)
                values (%s, %s, 10000, '00:00', '23:59:59.999999',
                  '[{"template": {"name": "hello", "language": {"code": "en"}}}]')
                """,
                [self._workspace, self._user],
            )
            connection.execute(
                "insert into wa_phone_numbers (workspace_id, waba_id, phone_number_id) values (%s, '1', '2')",
                [self._workspace],
            )
            connection.execute("vacuum (analyze)")

    def _as_user(self, connection: psycopg.Connection[Any]) -> None:
        claims = json.dumps({"sub": self._user, "role": "authenticated"})
        connection.execute("select set_config('request.jwt.claims', %s, false)", [claims])
        connection.execute("set role authenticated")

    def _empty(self, connection: psycopg.Connection[Any]) -> None:
        """Back to where nothing was prepared."""
        connection.execute("alter table leads disable trigger leads_record_updated")
        connection.execute(
            "update leads set status = 'new', control = 'automation', taken_by = null, taken_at = null"
            " where status <> 'new' or control <> 'automation'"
        )
        connection.execute("alter table leads enable trigger leads_record_updated")
        connection.execute("truncate whatsapp_message_queue, lead_processing_queue")
        connection.execute("delete from outbox_messages")
        for table in ("leads", "whatsapp_message_queue", "lead_processing_queue", "queue_ledger", "outbox_messages"):
            connection.execute(f"vacuum (analyze) {table}".encode())

    def prepared(self, size: int) -> float:
        with self._connect() as connection:
            self._empty(connection)
            self._as_user(connection)
            started = time.perf_counter()
            row = connection.execute("select prepare_queue(%s, null, %s)", [self._workspace, size]).fetchone()
            seconds = time.perf_counter() - started
        assert row is not None
        assert row[0]["prepared"] == size, row
        return seconds * 1000

    def inserted(self, size: int) -> float:
        with self._connect() as connection:
            self._empty(connection)
            record = "alter table whatsapp_message_queue {} trigger whatsapp_message_queue_record_inserted"
            connection.execute(record.format("disable").encode())
            started = time.perf_counter()
            connection.execute(FLOOR, [self._workspace, self._user, size])
            seconds = time.perf_counter() - started
            connection.execute(record.format("enable").encode())
        return seconds * 1000

    def taken(self, count: int) -> list[float]:
        with self._connect() as connection:
            self._empty(connection)
            self._as_user(connection)
            connection.execute("select prepare_queue(%s, current_date, %s)", [self._workspace, count])
            connection.execute("select start_automation(%s, 1000)", [self._workspace])
            leads = connection.execute("select id from leads where status = 'queued'").fetchall()
            times = []
            for (lead_id,) in leads:
                started = time.perf_counter()
                connection.execute("select take_lead(%s)", [lead_id])
                times.append((time.perf_counter() - started) * 1000)
        return times

    def fill_queue(self, rows: int) -> None:
        """Ten days with as many messages each."""
        with self._connect() as connection:
            self._empty(connection)
            connection.execute("set synchronous_commit = off")
            connection.execute(
                """
                insert into whatsapp_message_queue
                  (workspace_id, lead_id, user_id, queue_day, template, status, sent_at)
                select workspace_id, id, user_id, date '2020-01-01' + (row_number() over () * 10 / %s)::integer,
                  '{"name": "hello"}', 'sent', now()
                from leads limit %s
                """,
                [rows + 1, rows],
            )
            connection.execute("vacuum (analyze) whatsapp_message_queue")

    def _file(self, name: str) -> BinaryIO:
        return Path(self._folder.name, name).open("wb")

    async def exported(self) -> float:
        queue = LeadQueue(await self._clients.user(self._token))
        workspace = await Workspaces(self._clients.service()).resolve("bench")
        started = time.perf_counter()
        with self._file("ours.csv") as file:
            async for page in export_all(queue, workspace):
                file.write(page.csv.encode())
        return time.perf_counter() - started

    def copied(self) -> float:
        with self._connect() as connection, connection.cursor() as cursor:
            started = time.perf_counter()
            with self._file("floor.csv") as file, cursor.copy(COPY) as copy:
                for data in copy:
                    file.write(data)
            return time.perf_counter() - started

    def peak(self, since: str) -> float:
        """The most memory that the command needed, in MB."""
        process = subprocess.Popen(
            [QERO, "queue", "export", "bench", "--since", since, "-o", Path(self._folder.name, "command.csv")],
            env={**os.environ, **self._address.environment(), "QERO_ACCESS_TOKEN": self._token},
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"the export ended with {process.returncode}")
        return used.ru_maxrss / 1024
