"""`qero templates`: message templates, and sending one to many."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any
from uuid import UUID

import httpx
import typer
from rich.markup import escape
from rich.table import Table

from qero.cli import JsonOption, app, confirmed, out, print_json, print_lines
from qero.cli.inbox import (
    Assignee,
    Search,
    Statuses,
    TagOption,
    given_filters,
    given_variables,
    named_view,
)
from qero.cli.session import ask
from qero.clients.factory import Clients, UserClient
from qero.clients.graph import GraphClient
from qero.clients.secrets import SecretBox
from qero.models.inbox import ThreadFilter
from qero.models.template import TemplateCounts
from qero.services.templates import Templates, TemplateSync
from qero.services.workspaces import Workspaces
from qero.settings import Settings

templates = typer.Typer(help="Message templates, as Meta has approved them.", no_args_is_help=True)
app.add_typer(templates, name="templates")

WorkspaceArgument = Annotated[str, typer.Argument(help="The workspace's slug or uuid.")]


@templates.command("list")
def list_templates(
    workspace: WorkspaceArgument,
    status: Annotated[str | None, typer.Option("--status", help="In Meta's words, as APPROVED.")] = None,
    search: Annotated[str | None, typer.Option("--search", "-s", help="A part of the name.")] = None,
    as_json: JsonOption = False,
) -> None:
    """List the templates of a workspace, what each needs, and what Meta charges it as."""

    async def read(client: UserClient) -> Any:
        return await Templates(client).list(await Workspaces(client).resolve(workspace), status=status, search=search)

    found = ask(read)
    if as_json:
        print_json([template.model_dump(mode="json") for template in found])
        return
    if not found:
        print_lines("There is none; `qero templates sync` asks Meta.")
        return
    table = Table("name", "language", "status", "category", "variables", "id", box=None)
    for template in found:
        table.add_row(
            template.name or "", template.language or "", template.status or "", template.category or "",
            escape(str(template.variables or "")), str(template.id),
        )  # fmt: skip
    out.print(table)


@templates.command()
def sync(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """Ask Meta for the templates of a workspace's business accounts, as the service: needs the secret key and
    QERO_SECRET_KEYS, and asks nobody's role."""
    counts = asyncio.run(_sync(workspace))
    if as_json:
        print_json(counts.model_dump())
    else:
        print_lines(f"{counts.synced} templates; {counts.gone} are gone.")
        for waba_id in counts.accounts_without_token:
            print_lines(f"Business account {waba_id} wasn't asked about: it has no token. Connect its number again.")


@templates.command()
def send(
    workspace: WorkspaceArgument,
    template_id: Annotated[UUID, typer.Argument(help="The template's id.")],
    status: Statuses = None,
    assignee: Assignee = None,
    tag: TagOption = None,
    search: Search = None,
    view: Annotated[str | None, typer.Option("--view", help="A saved view, by name or id.")] = None,
    variable: Annotated[
        list[str] | None, typer.Option("--var", help="PLACE=VALUE: 1={contact.first_name}, header.1=…, buttons.0=…")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10000, help="To how many threads at most.")] = 1000,
    key: Annotated[
        str | None, typer.Option("--key", help="Repeating the command with its key sends nothing twice.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Send without showing and asking first.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Send a template to every thread that a filter means; says first how many that are, and asks.

    Example: `qero templates send acme 17aa… --tag vip --var 1={contact.first_name} --key sale-2026`
    """
    if as_json and not (yes or dry_run):
        raise typer.BadParameter("with --json nobody is asked: say --yes, or --dry-run to see what would be sent")
    filter = ThreadFilter.model_validate(given_filters(status, assignee, tag, search))
    variables = given_variables(variable or [])

    async def sending(client: UserClient) -> Any:
        workspace_id = await Workspaces(client).resolve(workspace)
        view_id = None if view is None else (await named_view(client, workspace_id, view)).id
        service = Templates(client)
        if dry_run or not yes:
            preview = await service.preview(
                workspace_id, template_id, filter, view_id=view_id, variables=variables, limit=limit
            )
            if as_json:
                return preview
            print_lines(
                f"{preview.sendable} of {preview.threads} threads would get it, as {preview.category}."
                + "".join(f"\n  not: {count} {reason.replace('_', ' ')}" for reason, count in preview.skipped.items())
                + "".join(f"\n  {sample.contact_name or ''}: {sample.body}" for sample in preview.samples)
            )
            if dry_run or preview.sendable == 0 or not confirmed("Send it?"):
                return None
        return await service.send(
            workspace_id, template_id, filter,
            view_id=view_id, variables=variables, limit=limit, idempotency_key=key,
        )  # fmt: skip

    answer = ask(sending)
    if as_json:
        print_json(answer.model_dump(mode="json"))
    elif answer is not None:
        print_lines(f"{answer.queued} queued, {answer.repeated} were before.")


async def _sync(workspace: str) -> TemplateCounts:
    settings = Settings.load()
    async with Clients(settings) as clients, httpx.AsyncClient(timeout=settings.request_timeout_seconds) as http:
        service = clients.service()
        graph = GraphClient.from_settings(settings, http)
        workspace_id = await Workspaces(service).resolve(workspace)
        return await TemplateSync(service, graph, SecretBox.from_settings(settings)).sync(workspace_id)
