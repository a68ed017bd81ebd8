"""Meta's embedded signup over HTTP, and Meta's word that somebody has withdrawn what they granted."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import parse_qs

import structlog
from fastapi import Depends, Query, Request
from pydantic import BaseModel, Field

from qero.clients.factory import Clients, UserClient
from qero.clients.graph import GraphClient, MetaApp
from qero.clients.secrets import SecretBox
from qero.errors import InvalidInput, PermissionDenied
from qero.http.callers import Input, User, WorkspaceRef, resolve
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.logs import get_logger
from qero.models.signup import SignupResult, SignupStart
from qero.services.connections import Connections
from qero.services.signup import Signup, SignupCompletion, user_of_signed_request
from qero.services.workspaces import Workspaces
from qero.settings import Settings

router = Router(prefix="/api/meta/oauth", tags=["signup"])
log = get_logger("qero.http")

FORM = "application/x-www-form-urlencoded"
SIGNED_REQUEST = {
    "type": "object", "properties": {"signed_request": {"type": "string"}}, "required": ["signed_request"],
}  # fmt: skip
FINISHING = ("signup_not_offered", "setting_missing", "setting_invalid")


async def meta_app(request: Request) -> MetaApp:
    """The app at Meta; without one there is no signup."""
    settings: Settings = request.app.state.settings
    return MetaApp.from_settings(settings)


App = Annotated[MetaApp, Depends(meta_app)]
MetaId = Annotated[str, Field(pattern=r"^[0-9]{1,32}$")]
Text = Annotated[str, Field(min_length=1, max_length=2000)]


class StartSignup(Input):
    workspace: WorkspaceRef
    flow: Literal["javascript", "redirect"] = "javascript"


class FinishSignup(Input):
    code: Text
    state: Text
    waba_id: MetaId | None = None
    phone_number_id: MetaId | None = None


class Deauthorized(BaseModel):
    """How many connections ended."""

    connections: int


@router.post("/start", responses=refusals(Workspaces.resolve, Signup.start, codes=["signup_not_offered"], writes=True))
async def start_signup(request: Request, user: User, app: App, signup: StartSignup) -> SignupStart:
    """Starts connecting a number to a workspace: what the browser opens Meta's dialog with."""
    workspace_id = await resolve(request, user, signup.workspace)
    return await Signup(user).start(workspace_id, app, by_redirect=signup.flow == "redirect")


@router.post("/callback", responses=refusals(SignupCompletion.complete, codes=FINISHING, writes=True))
async def finish_signup(request: Request, user: User, app: App, signup: FinishSignup) -> SignupResult:
    """Finishes a signup with the code that Meta handed out, and the ids of the session event where there are any."""
    return await _complete(request, user, app, signup)


@router.get("/callback", responses=refusals(SignupCompletion.complete, codes=[*FINISHING, "signup_declined"]))
async def return_from_signup(
    request: Request,
    user: User,
    app: App,
    state: Annotated[str | None, Query(max_length=2000)] = None,
    code: Annotated[str | None, Query(max_length=2000)] = None,
    error: Annotated[str | None, Query(max_length=200)] = None,
    error_description: Annotated[str | None, Query(max_length=1000)] = None,
) -> SignupResult:
    """Finishes a signup by redirect: where Meta sends the browser, with a code or with what went wrong."""
    if error is not None:
        raise PermissionDenied("signup_declined", detail={"error": error, "reason": error_description})
    missing = [name for name, value in (("state", state), ("code", code)) if not value]
    if not state or not code:
        raise InvalidInput("invalid_value", detail={"fields": missing})
    return await _complete(request, user, app, FinishSignup(code=code, state=state))


@router.post(
    "/deauthorize",
    responses=refusals(user_of_signed_request, Connections.deauthorize, writes=True, user=False),
    openapi_extra={"requestBody": {"required": True, "content": {FORM: {"schema": SIGNED_REQUEST}}}},
)
async def deauthorize(request: Request) -> Deauthorized:
    """Ends the connections of a Meta user who has removed the app: Meta's signed request, as a form."""
    settings: Settings = request.app.state.settings
    clients: Clients = request.app.state.clients
    [signed_request] = parse_qs((await request.body()).decode("ascii", "replace")).get("signed_request", [""])[:1]
    user_id = user_of_signed_request(signed_request, settings.require("meta_app_secret"))
    ended = await Connections(clients.service()).deauthorize(user_id)
    log.info("deauthorized", connection_ids=[str(connection.id) for connection in ended])
    return Deauthorized(connections=len(ended))


async def _complete(request: Request, user: UserClient, app: MetaApp, signup: FinishSignup) -> SignupResult:
    settings: Settings = request.app.state.settings
    clients: Clients = request.app.state.clients
    service = clients.service()
    graph = GraphClient.from_settings(settings, clients.http)
    completion = SignupCompletion(service, graph, Connections(service, SecretBox.from_settings(settings)))
    result = await completion.complete(app, user_id=user.identity.user_id, **signup.model_dump())
    structlog.contextvars.bind_contextvars(workspace_id=str(result.workspace_id))
    return result
