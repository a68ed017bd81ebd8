"""`qero serve`: the HTTP routes."""

from __future__ import annotations

from typing import Annotated

import typer

from qero.cli import app
from qero.errors import QeroError
from qero.settings import Settings


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port to listen on.")] = 8000,
) -> None:
    """Serve the HTTP routes: Meta's webhook, and replying.

    Needs SUPABASE_URL, both keys, META_APP_SECRET and META_VERIFY_TOKEN. Ends gracefully on SIGTERM.
    """
    try:
        import uvicorn

        from qero.http import create_app
    except ModuleNotFoundError as error:
        raise QeroError(
            "tool_missing", f"Serving needs {error.name}.", hint="Run `pip install 'qero[http]'`."
        ) from error
    uvicorn.run(create_app(Settings.load()), host=host, port=port, log_level="warning", access_log=False)
