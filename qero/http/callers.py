"""Who asks, and about which workspace: what every route for users begins with."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

import structlog
from cachetools import TTLCache
from fastapi import Depends, Query, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from pydantic import BaseModel, ConfigDict, Field

from qero.clients.factory import Clients, UserClient, bearer_token
from qero.errors import PermissionDenied
from qero.services.workspaces import Workspaces
from qero.settings import Settings

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
# For so long a workspace is known by its slug without being asked for again; what is in it is asked for every time.
RESOLVED_SECONDS = 30

WorkspaceRef = Annotated[str, Field(min_length=1, max_length=100, description="The workspace's slug or uuid.")]


class Input(BaseModel):
    """The body of a request: what isn't known is refused."""

    model_config = ConfigDict(extra="forbid")


class Caller(SecurityBase):
    """Who asks, by bearer token or session cookies, as a dependency that describes itself.

    FastAPI's own schemes would be dependencies of it, and solved anew for each parameter that needs the caller.
    """

    scheme_name = "bearer"
    model = HTTPBearer(description="A user's access token.")

    async def __call__(self, request: Request) -> UserClient:
        """The client of the user behind the request.

        Raises:
            NotAuthenticated: as `Clients.user`.
            PermissionDenied: `cross_site_request`, a page of another site writes with the cookies of its visitor.
        """
        reads = request.method in SAFE_METHODS
        if not reads and bearer_token(request.headers) is None:
            refuse_other_sites(request)
        clients: Clients = request.app.state.clients
        client = await clients.user_from_request(
            request.headers, request.cookies, request_id=request.scope.get("qero.request_id"), repeatable=reads
        )
        structlog.contextvars.bind_contextvars(user_id=str(client.identity.user_id))
        return client


user_client = Caller()
SESSION = {
    "session": {
        "type": "apiKey", "in": "cookie", "name": "sb-PROJECT-auth-token", "description": "Supabase's session cookies.",
    }
}  # fmt: skip
"""The other way to say who asks, for the description: the chunks and older forms of the cookie are read too."""

User = Annotated[UserClient, Depends(user_client)]


def refuse_other_sites(request: Request) -> None:
    """Cookies come with whatever a browser sends, so the browser has to say that it was our own page that asked.

    Programs that aren't browsers send neither header, and nobody can make them use somebody else's cookies.

    Raises:
        PermissionDenied: `cross_site_request`.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    settings: Settings = request.app.state.settings
    if origin in settings.cors_origins or site in ("same-origin", "none"):
        return
    if site is None:
        own = {request.headers.get("host"), urlsplit(settings.public_url or "").netloc}
        if origin is None or urlsplit(origin).netloc in own - {None, ""}:
            return
    raise PermissionDenied("cross_site_request", detail={"origin": origin})


async def resolve(request: Request, user: UserClient, ref: str) -> UUID:
    """The id of the workspace with this slug or uuid, for half a minute without asking again.

    Raises:
        NotFound: `workspace_not_found`.
    """
    known: TTLCache[tuple[UUID, str], UUID] = request.app.state.resolved_workspaces
    workspace_id = known.get((user.identity.user_id, ref))
    if workspace_id is None:
        workspace_id = known[user.identity.user_id, ref] = await Workspaces(user).resolve(ref)
    structlog.contextvars.bind_contextvars(workspace_id=str(workspace_id))
    return workspace_id


async def named_workspace(request: Request, user: User, workspace: Annotated[WorkspaceRef, Query()]) -> UUID:
    """The workspace that the query names."""
    return await resolve(request, user, workspace)


async def maybe_named_workspace(
    request: Request, user: User, workspace: Annotated[WorkspaceRef | None, Query()] = None
) -> UUID | None:
    """The workspace that the query names, if it names one: all of the user's otherwise."""
    return None if workspace is None else await resolve(request, user, workspace)


NamedWorkspace = Annotated[UUID, Depends(named_workspace)]
MaybeNamedWorkspace = Annotated[UUID | None, Depends(maybe_named_workspace)]
