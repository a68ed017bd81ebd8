"""`qero secrets`: the keys that encrypt connection tokens."""

from __future__ import annotations

import typer

from qero.cli import app
from qero.clients.secrets import SecretBox

secrets = typer.Typer(help="Keys that encrypt what the database stores for us.", no_args_is_help=True)
app.add_typer(secrets, name="secrets")


@secrets.command("new-key")
def new_key() -> None:
    """Make a key for QERO_SECRET_KEYS. To rotate, put the new one first and keep the old ones behind it."""
    typer.echo(SecretBox.generate_key())
