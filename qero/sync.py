"""For scripts that aren't async: one event loop in the background, and plain calls.

with blocking(Settings.load()) as qero:
    service = qero.run(qero.clients.service)
    workspaces = qero.run(Workspaces(service).list)
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from qero.clients.factory import Clients
from qero.settings import Settings

T = TypeVar("T")


class Blocking:
    """Runs qero's coroutines to their end, from code that can't await. Safe to use from several threads."""

    def __init__(self, portal: BlockingPortal, clients: Clients) -> None:
        self._portal = portal
        self.clients = clients

    def run(self, function: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Call `function` in the event loop and wait for its result. Raises what it raises."""
        return self._portal.call(function, *arguments)


@contextmanager
def blocking(settings: Settings) -> Iterator[Blocking]:
    """An event loop with a client factory, until the block ends.

    Raises:
        SettingsError: `setting_missing`, as `Clients`.
    """
    with start_blocking_portal() as portal:
        clients = portal.call(Clients, settings)
        try:
            yield Blocking(portal, clients)
        finally:
            portal.call(clients.aclose)
