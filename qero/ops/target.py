"""The database that a command works on: how it is reached, what it is, and that only one run works on it at a time."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import psycopg

from qero.errors import Conflict, InvalidState, SettingsError, Unavailable
from qero.ops.push import CLI_SESSIONS, without_password

CONNECT_SECONDS = 10
_LOCK = 7_162_507_301
"""The number of the advisory lock that a run holds; it means nothing, and stays."""
_TRANSACTION_POOLER_PORT = 6543


@dataclass(frozen=True)
class Target:
    """A database by its address. Where it is shown, its password isn't."""

    db_url: str = field(repr=False)
    address: str
    password: str = field(repr=False)

    @classmethod
    def read(cls, db_url: str) -> Target:
        """
        Raises:
            SettingsError: `setting_invalid`, it can't be read, or leads to a pooler that keeps no session.
        """
        address, password = without_password(db_url)
        if urlsplit(address).port == _TRANSACTION_POOLER_PORT:
            raise SettingsError(
                "setting_invalid",
                f"SUPABASE_DB_URL leads to the transaction pooler (port {_TRANSACTION_POOLER_PORT}), "
                "where no lock outlives a statement.",
                detail={"setting": "SUPABASE_DB_URL"},
                hint="Use the direct connection, or the session pooler on port 5432.",
            )
        return cls(db_url, address, password)

    @property
    def label(self) -> str:
        """A name for files: where it is, and nothing secret."""
        parts = urlsplit(self.address)
        where = f"{parts.hostname or 'local'}-{parts.path.strip('/') or 'postgres'}"
        return "".join(character if character.isalnum() or character in "-." else "-" for character in where)

    def connect(self, purpose: str = "qero db") -> psycopg.Connection[Any]:
        """
        Raises:
            Unavailable: `database_unavailable`.
        """
        try:
            connection = psycopg.connect(
                self.db_url,
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                application_name=f"{purpose} by {_who()}",
                # A run can be silent for minutes while a backup or the CLI works.
                keepalives_idle=30,
                keepalives_interval=10,
                keepalives_count=3,
            )
            # What is done here takes as long as it takes; a role's own limit is meant for requests.
            connection.execute("set statement_timeout = 0")
        except psycopg.Error as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise Unavailable(
                "database_unavailable",
                detail={"reason": reason.replace(self.password, "***") if self.password else reason},
                hint="Check SUPABASE_DB_URL: host, port, user, password, and whether it needs ?sslmode=require.",
            ) from None
        return connection


@contextlib.contextmanager
def alone(target: Target, purpose: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that no other run has while the block runs, on whatever machine; it goes when the process goes.

    Raises:
        Conflict: `run_in_progress`, naming whose run it is.
        Unavailable: `database_unavailable`.
    """
    with target.connect(purpose) as connection:
        [taken] = connection.execute("select pg_try_advisory_lock(%s)", [_LOCK]).fetchone() or (False,)
        others = connection.execute(
            """
            select application_name, host(client_addr), backend_start::text, pid from pg_stat_activity
            where pid <> pg_backend_pid() and datname = current_database() and (
              (application_name = any (%(cli)s) and usename = current_user and state <> 'idle') or pid in (
              select pid from pg_locks
              where locktype = 'advisory' and granted and objsubid = 1
                and database = (select oid from pg_database where datname = current_database())
                and (classid::bigint << 32) | objid::bigint = %(lock)s))
            """,
            {"cli": list(CLI_SESSIONS), "lock": _LOCK},
        ).fetchone()
        # A run that was killed leaves the CLI behind, which ends by itself soon.
        if not taken or others:
            names = ("run", "address", "since", "pid")
            raise Conflict("run_in_progress", detail=dict(zip(names, others, strict=True)) if others else {})
        yield connection


def require_held(connection: psycopg.Connection[Any]) -> None:
    """Before each step: that nobody else can have started meanwhile.

    Raises:
        InvalidState: `run_lost`, the connection that held the lock is gone.
    """
    try:
        connection.execute("select 1")
    except psycopg.Error as error:
        raise InvalidState("run_lost") from error


def _who() -> str:
    try:
        user = getpass.getuser()
    except (OSError, KeyError):
        user = "?"
    return f"{user}@{socket.gethostname()}, process {os.getpid()}"[:40]
