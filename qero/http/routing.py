"""Routers that are quick to pass over."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.routing import Match
from starlette.types import Scope


class Router(APIRouter):
    """FastAPI's, which is asked about each of its routes only where the path is one of its own.

    Its own way of asking costs several microseconds for each route of every router before the right one.
    """

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        # Anywhere in it: an application may include the router behind a prefix of its own.
        return super().matches(scope) if self.prefix in scope["path"] else (Match.NONE, {})
