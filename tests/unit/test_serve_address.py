"""What `qero serve` says about an address that it can't have."""

from __future__ import annotations

import socket

import pytest

from qero.cli.serve import _listen
from qero.errors import QeroError


def test_a_taken_port_is_refused_with_the_option_that_mends_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(QeroError) as refusal:
            _listen("127.0.0.1", port)

    assert refusal.value.code == "port_in_use"
    assert refusal.value.hint == "Free it, or choose another with --port; 0 takes a free one."
    with _listen("127.0.0.1", 0) as free:
        assert free.getsockname()[1] > 0
