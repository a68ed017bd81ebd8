"""Starts programs so that none outlives the stack, and finds free ports."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import pwd
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from qero.errors import QeroError

STOP_SECONDS = 15
_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Account:
    """The unprivileged account that runs what refuses to run as root."""

    name: str
    uid: int
    gid: int


def unprivileged_account() -> Account | None:
    """None for an ordinary user; for root, the `postgres` account if there is one, else `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(name, entry.pw_uid, entry.pw_gid)
    raise QeroError(
        "tool_missing",
        "Postgres can't run as root, and there is neither a `postgres` nor a `nobody` account.",
        hint="Create one, or run as an ordinary user.",
    )


def can_reach(account: Account, path: Path) -> bool:
    """Whether the account may pass through every folder down to `path`."""
    for folder in [path, *path.parents]:
        if not folder.exists():
            continue
        state = folder.stat()
        bit = 0o100 if state.st_uid == account.uid else 0o010 if state.st_gid == account.gid else 0o001
        if not state.st_mode & bit:
            return False
    return True


def before_exec(account: Account | None, death_signal: signal.Signals) -> Callable[[], None]:
    """What the child does before it becomes the program: change account, and ask to be signalled if we die.

    In this order: changing the account would clear the request. Where the system has no such request, the next start
    of the stack ends what an earlier one left.
    """
    # Loaded here, not in the child: between fork and exec only simple system calls are safe.
    library = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None

    def prepare() -> None:
        if account is not None:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
        if library is not None:
            library.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)

    return prepare


class Program:
    """A long-running program of the stack, with its output in a log file."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path, stop_signal: signal.Signals) -> None:
        self.name = name
        self.process = process
        self.log = log
        self._stop_signal = stop_signal

    @classmethod
    async def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str] | None = None,
        account: Account | None = None,
        cwd: Path | None = None,
    ) -> Program:
        stop_signal = stop_signal_of(name)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *[str(part) for part in command],
                stdin=asyncio.subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env={**_minimal_environment(), **(environment or {})},
                # Its own group: a Ctrl-C in the terminal reaches the supervisor, which stops things in order.
                start_new_session=True,
                preexec_fn=before_exec(account, stop_signal),
            )
        return cls(name, process, log, stop_signal)

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    async def stop(self) -> None:
        """End it: ask, wait, and only then kill."""
        if not self.running:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(self._stop_signal)
        try:
            await asyncio.wait_for(self.process.wait(), STOP_SECONDS)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self.process.kill()
            await self.process.wait()

    def last_lines(self, count: int = 15) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])
        except OSError:
            return ""


def end_leftovers(pids: Mapping[str, int], *, seen_at: float) -> None:
    """End programs that a killed supervisor left, and wait for those that are ending already.

    Args:
        seen_at: when they were known to run. A process that began later has only been given the same number.
    """
    left = []
    for name, pid in pids.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.create_time() > seen_at + 1:
                continue
            process.send_signal(stop_signal_of(name))
            left.append(process)
    stubborn = still_running(left, seconds=STOP_SECONDS)
    for process in stubborn:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    still_running(stubborn, seconds=STOP_SECONDS)


def still_running(processes: Sequence[psutil.Process], *, seconds: float = 0) -> list[psutil.Process]:
    """Those that haven't ended within so many seconds.

    One that has ended counts so at once: in containers nobody may ever collect it.
    """
    deadline = time.monotonic() + seconds
    while True:
        processes = [process for process in processes if not _has_ended(process)]
        if not processes or time.monotonic() >= deadline:
            return processes
        time.sleep(0.01)


def _has_ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stop_signal_of(name: str) -> signal.Signals:
    """Postgres's fast shutdown rolls open transactions back and stops, instead of waiting for clients to leave."""
    return signal.SIGINT if name == "postgres" else signal.SIGTERM


def _minimal_environment() -> dict[str, str]:
    """What programs get of ours: paths and language, none of the settings or secrets in our environment."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TZ", "SYSTEMROOT")
    return {name: os.environ[name] for name in kept if name in os.environ}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def port_is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
