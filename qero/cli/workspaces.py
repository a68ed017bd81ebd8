"""`qero workspaces`: the workspaces of a user, who is in them, and who is invited."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any
from uuid import UUID

import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, app, out, print_json, print_lines
from qero.cli.moments import span
from qero.cli.session import ask, member_named
from qero.clients.factory import UserClient
from qero.models.workspace import Invitation
from qero.services.invitations import InvitationAcceptance, Invitations
from qero.services.workspaces import Workspaces

workspaces = typer.Typer(
    help="The workspaces of the user whose access token is in QERO_ACCESS_TOKEN, their members and invitations.",
    no_args_is_help=True,
)
app.add_typer(workspaces, name="workspaces")

WorkspaceArgument = Annotated[str, typer.Argument(help="The workspace's slug or uuid.")]
MemberArgument = Annotated[str, typer.Argument(help="The member's e-mail or id.")]


class RoleName(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"
    VIEWER = "viewer"


@workspaces.command("list")
def list_workspaces(as_json: JsonOption = False) -> None:
    """List the workspaces you are in."""
    found = ask(lambda client: Workspaces(client).list())
    if as_json:
        print_json([workspace.model_dump(mode="json") for workspace in found])
        return
    for workspace in found:
        print_lines(f"{workspace.slug}  {workspace.name}  {workspace.status}  {workspace.id}")


@workspaces.command()
def create(
    slug: Annotated[str, typer.Argument(help="2 to 63 lower-case letters, digits and dashes.")],
    name: Annotated[str, typer.Argument(help="What people call it.")],
    as_json: JsonOption = False,
) -> None:
    """Create a workspace; you become its owner."""
    made = ask(lambda client: Workspaces(client).create(slug, name))
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        print_lines(f"{made.slug} is yours: {made.id}")


@workspaces.command()
def members(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """List who is in a workspace, and as what."""

    async def read(client: UserClient) -> Any:
        return await Workspaces(client).members(await Workspaces(client).resolve(workspace))

    found = ask(read)
    if as_json:
        print_json([member.model_dump(mode="json") for member in found])
        return
    table = Table("role", "e-mail", "name", "id", box=None)
    for member in found:
        table.add_row(member.role, escape(member.email or ""), escape(member.full_name or ""), str(member.user_id))
    out.print(table)


@workspaces.command()
def invite(
    workspace: WorkspaceArgument,
    email: Annotated[str, typer.Argument(help="Whom.")],
    role: Annotated[RoleName, typer.Option("--role", help="As what; only owners invite owners.")] = RoleName.MEMBER,
    expires: Annotated[str, typer.Option("--expires", help="How long it is good: 30m, 24h, 7d.")] = "7d",
    as_json: JsonOption = False,
) -> None:
    """Invite an address. The token is shown once: send it to them, and `qero workspaces join` takes it."""
    good_for = span(expires)

    async def inviting(client: UserClient) -> Any:
        workspace_id = await Workspaces(client).resolve(workspace)
        return await Invitations(client).create(workspace_id, email, role.value, expires_in=good_for)

    made = ask(inviting)
    if as_json:
        print_json(made.model_dump(mode="json"))
    else:
        print_lines(f"{made.email} is invited as {made.role} until {made.expires_at.isoformat(timespec='minutes')}.",
                    f"Token, shown only now: {made.token}")  # fmt: skip


@workspaces.command()
def invitations(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """List invitations, the newest first; for owners and admins."""

    async def read(client: UserClient) -> list[Invitation]:
        return await Invitations(client).list(await Workspaces(client).resolve(workspace))

    found = ask(read)
    if as_json:
        print_json([invitation.model_dump(mode="json") for invitation in found])
        return
    table = Table("e-mail", "role", "state", "good until", "id", box=None)
    for invitation in found:
        state = "accepted" if invitation.accepted_at else "revoked" if invitation.revoked_at else "open"
        table.add_row(
            escape(invitation.email), invitation.role, state,
            invitation.expires_at.isoformat(sep=" ", timespec="minutes"), str(invitation.id),
        )  # fmt: skip
    out.print(table)


@workspaces.command()
def revoke(
    invitation_id: Annotated[UUID, typer.Argument(help="The invitation's id.")], as_json: JsonOption = False
) -> None:
    """Take an invitation back."""
    revoked = ask(lambda client: Invitations(client).revoke(invitation_id))
    if as_json:
        print_json(revoked.model_dump(mode="json"))
    else:
        print_lines(f"The invitation of {revoked.email} is worth nothing any more.")


@workspaces.command()
def join(
    token: Annotated[str, typer.Argument(help="What the invitation came with.")], as_json: JsonOption = False
) -> None:
    """Accept an invitation, with the account whose e-mail address was invited."""
    member = ask(lambda client: InvitationAcceptance(client).accept(token))
    if as_json:
        print_json(member.model_dump(mode="json"))
    else:
        print_lines(f"You are {member.role} of {member.workspace_id}.")


@workspaces.command("set-role")
def set_role(
    workspace: WorkspaceArgument,
    member: MemberArgument,
    role: Annotated[RoleName, typer.Argument(help="What they are to be.")],
    as_json: JsonOption = False,
) -> None:
    """Give a member another role; the last owner stays one."""

    async def setting(client: UserClient) -> Any:
        workspace_id = await Workspaces(client).resolve(workspace)
        user_id = await member_named(client, workspace_id, member)
        return await Workspaces(client).set_member_role(workspace_id, user_id, role.value)

    changed = ask(setting)
    if as_json:
        print_json(changed.model_dump(mode="json"))
    else:
        print_lines(f"{member} is {changed.role}.")


@workspaces.command()
def remove(workspace: WorkspaceArgument, member: MemberArgument, as_json: JsonOption = False) -> None:
    """Take a member out of a workspace; naming yourself, leave it. The last owner stays."""

    async def removing(client: UserClient) -> Any:
        workspace_id = await Workspaces(client).resolve(workspace)
        return await Workspaces(client).remove_member(workspace_id, await member_named(client, workspace_id, member))

    gone = ask(removing)
    if as_json:
        print_json(gone.model_dump(mode="json"))
    else:
        print_lines(f"{member} was {gone.role} and is no longer in it.")
