"""One Postgres cluster of the local stack: made with hosted's roles, schemas and grants, started, stopped."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
from psycopg import sql

from qero.errors import QeroError
from qero.local.keys import Keys
from qero.local.processes import Program, can_reach, unprivileged_account
from qero.local.sql import BOOTSTRAP, DEFAULT_GRANTS, FOLDER
from qero.local.toolchain import Tools

START_SECONDS = 30
SUPERUSER = "supabase_admin"
ROLES_WITH_PASSWORD = ("postgres", "authenticator", "supabase_auth_admin", SUPERUSER)
_READY_MARK = "qero-bootstrap-done"


class Postgres:
    """A cluster in one folder. `durable=False` trades safety in a power cut for speed: for tests only."""

    def __init__(
        self,
        tools: Tools,
        home: Path,
        keys: Keys,
        *,
        port: int,
        durable: bool = True,
        default_grants: bool = False,
    ) -> None:
        self._tools = tools
        self._home = home
        self._keys = keys
        self.port = port
        self._durable = durable
        self._default_grants = default_grants
        self._account = unprivileged_account()
        self.folder = data_folder(home)
        self.program: Program | None = None

    def url(self, role: str, database: str = "postgres") -> str:
        return f"postgresql://{role}:{self._keys.database_password}@127.0.0.1:{self.port}/{database}?sslmode=disable"

    async def start(self) -> None:
        """Create the cluster if there is none, start it, and bring it to hosted's shape.

        Raises:
            QeroError: `stack_start_failed` with the end of the log.
        """
        if not (self.folder / "PG_VERSION").exists():
            await asyncio.to_thread(self._create)
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            # Logical decoding feeds realtime; what it reads is what was flushed, so commits stay synchronous.
            "wal_level": "logical",
            "max_wal_senders": "10",
            "max_replication_slots": "10",
            "max_connections": "200",
            "shared_buffers": f"{_shared_buffers_mb()}MB",
            "password_encryption": "scram-sha-256",
            "log_min_messages": "warning",
            "log_line_prefix": "%m [%p] %u ",
            "jit": "off",
        }
        if not self._durable:
            settings |= {"fsync": "off", "full_page_writes": "off"}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.program = await Program.start(
            "postgres",
            [self._tools.postgres_bin / "postgres", "-D", self.folder, *arguments],
            log=self._home / "logs" / "postgres.log",
            account=self._account,
            cwd=self.folder,
        )
        await self._wait_until_ready()
        if not (self.folder / _READY_MARK).exists():
            await asyncio.to_thread(self._bootstrap)
            (self.folder / _READY_MARK).touch()

    async def stop(self) -> None:
        if self.program is not None:
            await self.program.stop()

    def _create(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True, mode=0o700)
        with tempfile.NamedTemporaryFile("w", suffix=".pw") as password_file:
            password_file.write(self._keys.database_password)
            password_file.flush()
            owner: dict[str, object] = {}
            if self._account is not None:
                os.chown(self.folder, self._account.uid, self._account.gid)
                os.chown(password_file.name, self._account.uid, self._account.gid)
                owner = {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
            finished = subprocess.run(  # type: ignore[call-overload]
                [
                    self._tools.postgres_bin / "initdb", "-D", self.folder, "-U", SUPERUSER,
                    "--pwfile", password_file.name, "--auth=scram-sha-256", "--locale=C.UTF-8", "--encoding=UTF8",
                    "--no-sync",
                ],
                cwd=self.folder, capture_output=True, text=True, check=False, **owner,
            )  # fmt: skip
        if finished.returncode != 0:
            raise QeroError(
                "stack_start_failed",
                "Postgres couldn't create its data.",
                detail={"output": finished.stderr[-2000:]},
            )

    async def _wait_until_ready(self) -> None:
        assert self.program is not None
        for _ in range(START_SECONDS * 20):
            if not self.program.running:
                break
            try:
                connection = await psycopg.AsyncConnection.connect(self.url(SUPERUSER), connect_timeout=2)
            except psycopg.OperationalError:
                await asyncio.sleep(0.05)
                continue
            await connection.close()
            return
        raise QeroError(
            "stack_start_failed",
            "Postgres didn't start.",
            detail={"log": str(self.program.log), "output": self.program.last_lines()},
        )

    def _bootstrap(self) -> None:
        files = [*BOOTSTRAP, *([DEFAULT_GRANTS] if self._default_grants else [])]
        with psycopg.connect(self.url(SUPERUSER), autocommit=True) as connection:
            for name in files:
                connection.execute((FOLDER / name).read_bytes())
            for role in ROLES_WITH_PASSWORD:
                connection.execute(
                    sql.SQL("alter role {} password {}").format(
                        sql.Identifier(role), sql.Literal(self._keys.database_password)
                    )
                )


def _shared_buffers_mb() -> int:
    """A quarter of the memory as on hosted, 1 GB at most: pages take memory only once they are used."""
    megabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    return max(128, min(megabytes // 4, 1024))


def data_folder(home: Path) -> Path:
    """Where the cluster lives: in the stack's folder, unless Postgres's account can't get there."""
    inside = home / "postgres"
    account = unprivileged_account()
    if account is None or can_reach(account, home):
        return inside
    name = hashlib.sha256(str(home).encode()).hexdigest()[:16]
    return Path("/var/tmp") / f"qero-postgres-{name}"  # noqa: S108  (kept across restarts, closed to others by mode)
