"""What a script that only uses the services sees on its terminal."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import asyncio
from qero import Clients, QeroError, Settings, Workspaces

async def main():
    settings = Settings.load(supabase_url="http://127.0.0.1:9", publishable_key="p", secret_key="s")
    async with Clients(settings) as clients:
        try:
            await Workspaces(clients.service()).whoami()
        except QeroError as error:
            print(error.code)

asyncio.run(main())
"""


def test_a_library_call_prints_nothing_of_its_own() -> None:
    finished = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False)
    assert (finished.stdout, finished.stderr) == ("network_error\n", "")
