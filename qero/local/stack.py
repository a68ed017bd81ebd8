"""Starts, finds, stops and removes local stacks. The CLI, the demo and the tests all go through here."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psutil

from qero.errors import InvalidInput, QeroError, error_for
from qero.local.postgres import data_folder
from qero.local.processes import still_running
from qero.local.state import Home, State
from qero.local.supervisor import Options
from qero.local.toolchain import ensure_tools
from qero.ops.push import check_names, migration_files, migrations_workdir, push_migrations
from qero.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,49}")
UP_SECONDS = 120
DOWN_SECONDS = 45
ANSWER_SECONDS = 2


@dataclass(frozen=True)
class Address:
    """What a program needs to use a running stack."""

    url: str
    publishable_key: str
    secret_key: str = field(repr=False)
    anon_key: str
    service_role_key: str = field(repr=False)
    jwt_secret: str = field(repr=False)
    db_url: str = field(repr=False)

    def environment(self) -> dict[str, str]:
        """The variables that `Settings` and the Supabase clients read."""
        return {
            "SUPABASE_URL": self.url,
            "SUPABASE_PUBLISHABLE_KEY": self.publishable_key,
            "SUPABASE_SECRET_KEY": self.secret_key,
            "SUPABASE_ANON_KEY": self.anon_key,
            "SUPABASE_SERVICE_ROLE_KEY": self.service_role_key,
            "SUPABASE_JWT_SECRET": self.jwt_secret,
            "SUPABASE_DB_URL": self.db_url,
        }

    def settings(self, **overrides: object) -> Settings:
        return Settings.load(
            **{"supabase_url": self.url, "publishable_key": self.publishable_key, "secret_key": self.secret_key,
               "jwt_secret": self.jwt_secret, "db_url": self.db_url, **overrides}
        )  # fmt: skip


def project_folder(start: Path | None = None) -> Path:
    """The nearest folder upwards that has `supabase/` or `.qero/`; else the starting folder."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "supabase").is_dir() or (folder / ".qero").is_dir():
            return folder
    return start


class Stack:
    """One local stack, running or not. Its folder is `<project>/.qero/local/<name>`."""

    def __init__(self, project: Path, name: str = "default") -> None:
        if not _NAME.fullmatch(name):
            raise InvalidInput(
                "invalid_value",
                "The stack's name can't be used.",
                detail={"field": "name", "allowed": "1 to 50 letters a-z and A-Z, digits, dashes and underscores"},
                hint="Give a --name of 1 to 50 letters, digits, dashes and underscores that doesn't start with a dash.",
            )
        self.project = project
        self.home = Home(project / ".qero" / "local" / name)
        self._owned: subprocess.Popen[bytes] | None = None

    def up(
        self,
        *,
        port: int = 0,
        migrate: bool = True,
        durable: bool = True,
        default_grants: bool = False,
        jwt_expiry_seconds: int = 3600,
        with_me: bool = False,
        say: Callable[[str], None] = lambda _: None,
    ) -> Address:
        """Start the stack and push what migrations are missing; on a running stack only push.

        Args:
            port: the gateway's; 0 keeps the last one, or takes a free one.
            migrate: False leaves the database as hosted hands it over.
            durable: False switches fsync off, for tests.
            default_grants: True grants new tables to the API roles, as older hosted projects do; it takes effect when
                the data is made.
            jwt_expiry_seconds: the life of access tokens.
            with_me: stop the stack when this process ends, however it ends.
            say: told each step, for a progress display.

        Raises:
            QeroError: `port_in_use`, `tool_missing`, `tool_failed`, `migration_failed`, `stack_start_failed`,
                `migration_file_missing`, `migration_name_invalid`, `migration_version_taken`.
        """
        workdir = migrations_workdir(self.project) if migrate else None
        if workdir is not None:
            check_names(migration_files(workdir))
        tools = ensure_tools(say)
        with self.home.starting():
            running = self._settled_state()
            if running is not None:
                if port not in (0, running.port):
                    raise QeroError(
                        "port_in_use",
                        f"The stack is running already, on port {running.port}.",
                        detail={"port": running.port},
                        hint="Stop it with `qero local down`, then start it on the other port.",
                    )
                if workdir is not None:
                    say("migrations")
                    push_migrations(tools.supabase, db_url=self.address().db_url, workdir=workdir)
                return self.address()
            options = Options(
                home=self.home.path,
                workdir=workdir,
                port=port,
                durable=durable,
                default_grants=default_grants,
                jwt_expiry_seconds=jwt_expiry_seconds,
                stop_when_stdin_closes=with_me,
            )
            with (self.home.logs / "supervisor.log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", "qero.local.supervisor", options.model_dump_json()],
                    stdin=subprocess.PIPE if with_me else subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self.home.path,
                    start_new_session=True,
                )
            if with_me:
                if self._owned is not None:
                    self._owned.communicate()  # was killed
                self._owned = process
            try:
                return self._wait_until_ready(process, say)
            except KeyboardInterrupt:
                _end(process)
                raise

    def _settled_state(self) -> State | None:
        """The running stack's state; one that is still starting, because its `up` was interrupted, is waited for.

        So is one that is about to end: whoever has been killed lives on until the kernel has taken them apart.
        """
        deadline = time.monotonic() + UP_SECONDS
        while (state := self.running_state()) is not None and not _answers(state):
            if time.monotonic() > deadline:
                raise QeroError("stack_start_failed", detail={"log": str(self.home.logs / "supervisor.log")})
            time.sleep(0.02)
        return state

    def _wait_until_ready(self, process: subprocess.Popen[bytes], say: Callable[[str], None]) -> Address:
        said = ""
        deadline = time.monotonic() + UP_SECONDS
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            state = self.home.state()
            if state is not None and state.supervisor_pid == process.pid:
                if state.phase == "ready":
                    return self.address()
                if state.phase == "failed":
                    process.wait(DOWN_SECONDS)
                    raise _as_error(state.error or {})
                if state.step and state.step != said:
                    said = state.step
                    say(said)
            if ended:
                break
            time.sleep(0.02)
        _end(process)
        log = self.home.logs / "supervisor.log"
        try:
            output = log.read_text(errors="replace")
        except FileNotFoundError:
            raise QeroError(
                "stack_start_failed",
                "The stack was removed while it was starting.",
                detail={"home": str(self.home.path)},
                hint="Start it again with `qero local up`.",
            ) from None
        raise QeroError("stack_start_failed", detail={"log": str(log), "output": "\n".join(output.splitlines()[-15:])})

    def down(self) -> bool:
        """Stop the stack, keeping its data. False when it wasn't running.

        Raises:
            QeroError: `tool_failed`, it didn't stop in time.
        """
        state = self.running_state()
        if state is None:
            return False
        try:
            supervisor = psutil.Process(state.supervisor_pid)
            supervisor.terminate()
        except psutil.NoSuchProcess:
            return False
        if still_running([supervisor], seconds=DOWN_SECONDS):
            raise QeroError(
                "tool_failed", f"The stack didn't stop within {DOWN_SECONDS} s.",
                detail={"pid": state.supervisor_pid, "log": str(self.home.logs / "supervisor.log")},
            )  # fmt: skip
        if self._owned is not None:
            self._owned.communicate()
        self._owned = None
        return True

    def remove(self) -> None:
        """Stop the stack and delete everything of it: data, keys, logs."""
        self.down()
        if not self.home.path.exists():
            shutil.rmtree(data_folder(self.home.path), ignore_errors=True)
            return
        with self.home.starting():
            # Somebody may have started it in between.
            self.down()
            shutil.rmtree(data_folder(self.home.path), ignore_errors=True)
            self.home.remove()

    def reset(self, **options: object) -> Address:
        """Delete the data and start afresh, with the same keys and addresses. Takes and raises as `up`."""
        self.down()
        shutil.rmtree(data_folder(self.home.path), ignore_errors=True)
        return self.up(**options)  # type: ignore[arg-type]

    def running_state(self) -> State | None:
        """The state of the stack while its supervisor lives, else None."""
        state = self.home.state()
        if state is None or state.phase not in ("starting", "ready"):
            return None
        try:
            supervisor = psutil.Process(state.supervisor_pid)
            is_ours = abs(supervisor.create_time() - state.supervisor_started) < 1
        except psutil.NoSuchProcess:
            return None
        return state if is_ours and still_running([supervisor]) else None

    def address(self) -> Address:
        """
        Raises:
            QeroError: `stack_not_running`.
        """
        state = self.running_state()
        if state is None:
            raise QeroError("stack_not_running", detail={"home": str(self.home.path)})
        keys = self.home.keys()
        return Address(
            url=state.url,
            publishable_key=keys.publishable,
            secret_key=keys.secret,
            anon_key=keys.anon,
            service_role_key=keys.service_role,
            jwt_secret=keys.jwt_secret,
            db_url=f"postgresql://postgres:{keys.database_password}@127.0.0.1:{state.database_port}/postgres?sslmode=disable",
        )


def _answers(state: State) -> bool:
    if state.phase != "ready":
        return False
    try:
        return httpx.get(f"{state.url}/health", timeout=ANSWER_SECONDS, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _end(process: subprocess.Popen[bytes]) -> None:
    # Not by the Popen's own wait: an interrupt in the middle of its poll leaves its lock taken for ever.
    with contextlib.suppress(psutil.NoSuchProcess):
        supervisor = psutil.Process(process.pid)
        supervisor.terminate()
        if still_running([supervisor], seconds=DOWN_SECONDS):
            supervisor.kill()
    process.poll()


def _as_error(fields: dict[str, Any]) -> QeroError:
    """The error that the supervisor wrote down, in its own class again."""
    return error_for(
        fields.get("code", "stack_start_failed"),
        fields.get("message"),
        detail=fields.get("detail"),
        hint=fields.get("hint"),
    )


@contextmanager
def temporary_stack(**options: Any) -> Iterator[Address]:
    """A stack that exists while the block runs, and goes with this process. Takes and raises as `Stack.up`."""
    with TemporaryDirectory(prefix="qero-") as folder:
        stack = Stack(Path(folder))
        try:
            yield stack.up(with_me=True, **options)
        finally:
            stack.remove()
