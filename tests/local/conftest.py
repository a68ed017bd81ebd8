"""A second stack, for what needs another kind than the run's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qero.local.stack import Address, temporary_stack


@pytest.fixture(scope="session")
def granting() -> Iterator[Address]:
    """A stack that grants whatever a migration creates to the API roles, as older hosted projects do."""
    with temporary_stack(durable=False, default_grants=True) as address:
        yield address
