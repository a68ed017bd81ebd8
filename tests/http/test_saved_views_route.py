"""Saved views over HTTP: kept, listed and removed, and what is refused."""

from __future__ import annotations

import httpx

from tests.http.support import problem
from tests.support import World

VIEWS = "/api/meta/whatsapp/saved-views"


async def test_views_are_kept_listed_and_removed(routes: httpx.AsyncClient, world: World) -> None:
    workspace = await world.workspace(bob="member")
    bob = {"authorization": f"Bearer {(await world.user('bob')).access_token}"}
    olga = {"authorization": f"Bearer {(await world.user('olga')).access_token}"}
    view = {"workspace": workspace.slug, "name": "Mine", "filters": {"status": "open", "assignee": "me"}}

    made = await routes.post(VIEWS, json=view, headers=bob)

    assert made.status_code == 201
    listed = await routes.get(VIEWS, params={"workspace": str(workspace.id)}, headers=bob)
    assert listed.json() == [made.json()]
    assert made.json()["filters"]["assignee"] == "me"
    assert (await routes.get(VIEWS, params={"workspace": workspace.slug}, headers=olga)).json() == []
    refused = problem(await routes.post(VIEWS, json=view, headers=bob), 409, "view_name_taken")
    assert refused["title"] == "View name already exists."
    gone = {"id": made.json()["id"]}
    problem(await routes.delete(VIEWS, params=gone, headers=olga), 404, "view_not_found")
    assert (await routes.delete(VIEWS, params=gone, headers=bob)).status_code == 204
    problem(await routes.delete(VIEWS, params=gone, headers=bob), 404, "view_not_found")


async def test_what_is_not_ones_own_or_not_known_is_refused(routes: httpx.AsyncClient, world: World) -> None:
    workspace = await world.workspace()
    mallory = {"authorization": f"Bearer {(await world.user('mallory')).access_token}"}
    olga = {"authorization": f"Bearer {(await world.user('olga')).access_token}"}

    foreign = await routes.get(VIEWS, params={"workspace": workspace.slug}, headers=mallory)
    problem(foreign, 404, "workspace_not_found")
    problem(await routes.get(VIEWS, params={"workspace": workspace.slug}), 401, "not_authenticated")
    view = {"workspace": workspace.slug, "name": "Mine", "filters": {"colour": "red"}}
    problem(await routes.post(VIEWS, json=view, headers=olga), 400, "invalid_value")
