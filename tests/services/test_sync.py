"""The same services from code that can't await."""

from __future__ import annotations

import pytest

from qero import NotFound, Settings, Workspaces
from qero.sync import blocking


def test_a_script_calls_services_without_awaiting(settings: Settings) -> None:
    with blocking(settings) as qero:
        workspaces = Workspaces(qero.clients.service())
        assert qero.run(workspaces.whoami).role == "service_role"
        with pytest.raises(NotFound) as error:
            qero.run(workspaces.resolve, "there-is-no-such-workspace")
    assert error.value.code == "workspace_not_found"
