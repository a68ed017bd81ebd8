"""`qero ops owners`: who operates the platform."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, confirm, out, print_json, print_lines
from qero.cli.ops import YesOption, ops
from qero.cli.session import ask_as_either
from qero.services.operators import Operators

owners = typer.Typer(help="Who operates the platform.", no_args_is_help=True)
ops.add_typer(owners, name="owners")

EmailArgument = Annotated[str, typer.Argument(help="The e-mail of the person's account.")]


class Role(StrEnum):
    OWNER = "owner"
    OPS = "ops"
    VIEWER = "viewer"


@owners.command("list")
def list_owners(as_json: JsonOption = False) -> None:
    """List operators, former ones too."""
    found = ask_as_either(lambda client: Operators(client).list())
    if as_json:
        print_json([operator.model_dump(mode="json") for operator in found])
    elif not found:
        print_lines("There is no operator yet. `qero ops owners add` makes one.")
    else:
        table = Table("e-mail", "role", "operates", "since", "user id", box=None)
        for operator in found:
            table.add_row(
                escape(operator.email or ""), operator.role or "", "yes" if operator.is_operator else "no",
                f"{operator.created_at:%Y-%m-%d}", str(operator.user_id),
            )  # fmt: skip
        out.print(table)


@owners.command()
def add(
    email: EmailArgument,
    role: Annotated[Role, typer.Option(help="viewer looks, ops acts, owner also names operators.")] = Role.OWNER,
    as_json: JsonOption = False,
) -> None:
    """Make somebody with an account an operator, or again an active one."""
    operator = ask_as_either(lambda client: Operators(client).add(email, role.value))
    if as_json:
        print_json(operator.model_dump(mode="json", exclude={"is_operator"}))
    else:
        print_lines(f"{operator.email} operates the platform, as {operator.role}.")


@owners.command()
def remove(email: EmailArgument, yes: YesOption = False, as_json: JsonOption = False) -> None:
    """End what somebody may do as an operator, at once."""
    if not yes:
        confirm(f"Take {email} everything an operator may do?")
    operator = ask_as_either(lambda client: Operators(client).remove(email))
    if as_json:
        print_json(operator.model_dump(mode="json", exclude={"is_operator"}))
    else:
        print_lines(f"{operator.email} is no longer an operator.")
