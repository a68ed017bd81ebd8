"""What the proof runs and kills: the stack's own programs, `qero serve`, `qero worker`, `qero chat follow`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from qero.local.processes import Program, free_port
from qero.local.stack import Stack

QERO = [sys.executable, "-m", "qero"]
READY_SECONDS = 60.0
SAMPLES = 90


class _Ours:
    """One `qero` process, which is started again at once when it has been killed."""

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self._arguments = arguments
        self._environment = environment
        self._folder = folder
        self.program: Program | None = None

    async def start(self) -> None:
        # In a folder of the proof's own, so that no .env.local of a project is read.
        self.program = await Program.start(
            self.name, [*QERO, *self._arguments], log=self._folder / f"{self.name}.log",
            environment=self._environment, cwd=self._folder,
        )  # fmt: skip

    @property
    def pid(self) -> int:
        assert self.program is not None
        return self.program.process.pid

    @property
    def running(self) -> bool:
        return self.program is not None and self.program.running

    async def kill(self) -> None:
        """As the kernel does when memory is short, and start it again."""
        assert self.program is not None
        with contextlib.suppress(ProcessLookupError):
            self.program.process.kill()
        await self.program.process.wait()
        await self.start()

    async def stop(self) -> None:
        if self.program is not None:
            await self.program.stop()


class Server(_Ours):
    def __init__(self, name: str, environment: Mapping[str, str], folder: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        super().__init__(name, ["serve", "--port", str(self.port)], environment, folder)


class Programs:
    """Everything that runs, by the names under which it is killed.

    Of servers and workers there are two each: one is killed again and again, and one never is, so that its memory can
    be watched. What holds the gateway and realtime is killed in the first half only, for the same reason.
    """

    def __init__(self, stack: Stack, environment: Mapping[str, str], folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.environment = environment
        self.servers = [Server(name, environment, folder) for name in ("server", "steady server")]
        arguments = ["worker", "--concurrency", "30"]
        self.workers = [_Ours(name, arguments, environment, folder) for name in ("worker", "steady worker")]
        self.followers: list[_Ours] = []

    async def start(self) -> None:
        for program in (*self.servers, *self.workers):
            await program.start()
        async with httpx.AsyncClient() as http:
            for server in self.servers:
                await self._until_answers(http, server)

    async def follow(self, chat_id: str, access_token: str) -> Path:
        """Follow a chat in a process of its own; the file into which it writes what it sees."""
        name = f"follower {len(self.followers) + 1}"
        follower = _Ours(
            name, ["chat", "follow", chat_id, "--history", "0", "--json"],
            {**self.environment, "QERO_ACCESS_TOKEN": access_token}, self._folder,
        )  # fmt: skip
        await follower.start()
        self.followers.append(follower)
        log = self._folder / f"{name}.log"
        deadline = time.monotonic() + READY_SECONDS
        # Whoever can't begin to follow is told so and ends; from now on it lives through everything.
        while "subscribed" not in log.read_text(errors="replace"):
            if not follower.running or time.monotonic() > deadline:
                raise RuntimeError(f"`qero chat follow` didn't begin; see {log}")
            await asyncio.sleep(0.1)
        return log

    async def stop(self) -> None:
        for program in (*self.followers, *self.workers, *self.servers):
            await program.stop()

    def ended(self) -> list[str]:
        """What has ended although nobody killed it."""
        return [
            program.name for program in (*self.followers, *self.workers, *self.servers) if not program.running
        ]  # fmt: skip

    async def kill(self, name: str) -> None:
        """Kill what goes by that name. What doesn't start again by itself is started again."""
        match name:
            case "worker":
                await self.workers[0].kill()
            case "server":
                await self.servers[0].kill()
            case "realtime":
                await self._kill_supervisor()
            case "postgres":
                # Immediate mode: nothing is rolled back or written in order, and the next start recovers.
                self._signal(name, signal.SIGQUIT)
            case _:
                self._signal(name, signal.SIGKILL)

    def _signal(self, name: str, number: signal.Signals) -> None:
        state = self._stack.running_state()
        # It may have been killed a moment ago and be starting; its number may then be another's.
        with contextlib.suppress(psutil.NoSuchProcess):
            if state is not None and psutil.Process(state.pids[name]).ppid() == state.supervisor_pid:
                os.kill(state.pids[name], number)

    async def _kill_supervisor(self) -> None:
        """The gateway and realtime are of the process that runs the rest: all of it ends, and the stack starts anew.

        `up` waits for what is still ending.
        """
        state = self._stack.running_state()
        assert state is not None, "the stack has ended by itself"
        os.kill(state.supervisor_pid, signal.SIGKILL)
        await asyncio.to_thread(self._stack.up, port=state.port, migrate=False, with_me=True)

    def processes(self) -> dict[str, int]:
        """The long-lived processes of ours, by name."""
        named = {program.name: program.pid for program in (*self.servers, *self.workers, *self.followers)}
        state = self._stack.running_state()
        return named if state is None else {**named, "gateway and realtime": state.supervisor_pid}

    async def _until_answers(self, http: httpx.AsyncClient, server: Server) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if (await http.get(f"{server.url}/readyz")).status_code == 200:
                    return
            if not server.running or time.monotonic() > deadline:
                raise RuntimeError(f"`qero serve` didn't become ready; see {self._folder}/{server.name}.log")
            await asyncio.sleep(0.1)


@dataclass
class _Life:
    started_at: float
    samples: list[float] = field(default_factory=list)


class Memory:
    """Resident memory of long-lived processes, a sample a second."""

    def __init__(self) -> None:
        self._lives: dict[str, dict[int, _Life]] = {}

    def sample(self, processes: Mapping[str, int]) -> None:
        now = time.monotonic()
        for name, pid in processes.items():
            with contextlib.suppress(psutil.Error):
                megabytes = psutil.Process(pid).memory_info().rss / 2**20
                self._lives.setdefault(name, {}).setdefault(pid, _Life(now)).samples.append(megabytes)

    def thirds(self, *, warm_up: float = 0.2) -> dict[str, tuple[float, float, float]]:
        """Of each one's longest life, without its beginning: the median of each third, in MB.

        Lives shorter than a minute and a half tell nothing.
        """
        found = {}
        for name, lives in self._lives.items():
            samples = max((life.samples for life in lives.values()), key=len)
            samples = samples[int(len(samples) * warm_up) :]
            if len(samples) >= SAMPLES:
                third = len(samples) // 3
                parts = (samples[:third], samples[third : 2 * third], samples[2 * third :])
                found[name] = tuple(round(sorted(part)[len(part) // 2], 1) for part in parts)
        return found  # type: ignore[return-value]


def grown(thirds: Mapping[str, tuple[float, float, float]], *, share: float, megabytes: float) -> dict[str, Any]:
    """Those whose last third lies above the first by more than a share and so many MB, and still rises."""
    return {
        name: parts
        for name, parts in thirds.items()
        if parts[2] - parts[0] > max(parts[0] * share, megabytes) and parts[2] > parts[1]
    }
