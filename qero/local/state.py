"""What a stack keeps in its folder: keys, and where it runs."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TextIO

from pydantic import BaseModel

from qero.local.keys import Keys

LOCK_SECONDS = 5
"""How long a folder that keeps vanishing is made again."""

Phase = Literal["starting", "ready", "failed", "stopped"]


class State(BaseModel):
    """The supervisor writes it at every step; whoever starts or asks reads it."""

    phase: Phase
    step: str = ""
    supervisor_pid: int
    supervisor_started: float = 0
    """The process's start time, so that a reused process id isn't taken for the supervisor."""
    port: int = 0
    database_port: int = 0
    pids: dict[str, int] = {}
    migrations: list[str] = []
    error: dict[str, object] | None = None
    written_at: float = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Home:
    """The folder of one stack, `.qero/local/<name>`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.logs = path / "logs"

    def create(self) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        ignore = self.path.parents[1] / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")

    def remove(self) -> None:
        """Delete the folder, and those around it that hold nothing else."""
        shutil.rmtree(self.path, ignore_errors=True)
        everything = self.path.parents[1]
        with contextlib.suppress(OSError):
            self.path.parent.rmdir()
            if [path.name for path in everything.iterdir()] == [".gitignore"]:
                shutil.rmtree(everything)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Held by whoever starts or removes the stack: a second one waits, and then finds it running or gone."""
        lock = self._lock()
        try:
            yield
        finally:
            lock.close()

    def _lock(self) -> TextIO:
        file = self.path / "start.lock"
        deadline = time.monotonic() + LOCK_SECONDS
        while True:
            try:
                self.create()
                lock = file.open("w")
            except (FileNotFoundError, FileExistsError):
                # Removed in between; what made way for it may be told as being there.
                if time.monotonic() > deadline:
                    raise
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if file.exists() and os.path.samestat(os.fstat(lock.fileno()), file.stat()):
                    return lock
            except FileNotFoundError:
                pass
            except BaseException:
                lock.close()
                raise
            # Removed while it was waited for: nobody else would see this lock.
            lock.close()

    def keys(self) -> Keys:
        """The stack's keys, made on first use and kept, so that a restart doesn't sign anybody out."""
        file = self.path / "keys.json"
        if file.exists():
            return Keys.model_validate_json(file.read_bytes())
        keys = Keys.generate()
        _write(file, keys.model_dump_json(indent=2), mode=0o600)
        return keys

    def state(self) -> State | None:
        try:
            return State.model_validate_json((self.path / "state.json").read_bytes())
        except FileNotFoundError:
            return None

    def write_state(self, state: State) -> None:
        stamped = state.model_copy(update={"written_at": time.time()})
        _write(self.path / "state.json", stamped.model_dump_json(indent=2), mode=0o644)


def _write(file: Path, text: str, *, mode: int) -> None:
    """Replace the file at once: a reader sees the old or the new text, never half of one."""
    staging = file.with_suffix(f".{os.getpid()}.tmp")
    descriptor = os.open(staging, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(text)
    staging.rename(file)
