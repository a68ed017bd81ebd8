"""`qero ops`: operators, workspaces, entitlements, tokens and the audit log.

Acts as the operator whose access token is in QERO_ACCESS_TOKEN, so that the audit log names a person; without one, as
the service.
"""

from __future__ import annotations

from typing import Annotated

import typer

from qero.cli import app

WorkspaceArgument = Annotated[str, typer.Argument(help="The workspace's slug or uuid.")]
ReasonOption = Annotated[str | None, typer.Option("--reason", help="Why; the audit log keeps it.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Don't ask.")]

ops = typer.Typer(
    help="Operators, workspaces, entitlements, tokens and the audit log. Acts as the operator whose access token is in "
    "QERO_ACCESS_TOKEN, else as the service.",
    no_args_is_help=True,
)
app.add_typer(ops, name="ops")


from qero.cli.ops import audit, entitlements, owners, tokens, workspaces  # noqa: E402, F401  (each adds its commands)
