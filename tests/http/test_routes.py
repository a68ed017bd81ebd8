"""Every route over HTTP, as a member, a viewer, a stranger, somebody whose token has expired, and nobody."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from qero import Clients, Operators, Settings
from tests.http.office import Office, expired
from tests.http.support import problem
from tests.support import World

Answer = int | tuple[int, str]

REFUSED = (403, "role_required")
NO_WORKSPACE = (404, "workspace_not_found")
NO_CONTACT = (404, "contact_not_found")
NO_CANDIDATE = (404, "candidate_not_found")
NO_CHAT = (404, "chat_not_found")
NO_FOLLOW_UP = (404, "follow_up_not_found")
NO_THREAD = (404, "thread_not_found")
NO_MESSAGE = (404, "message_not_found")
NO_VIEW = (404, "view_not_found")
NO_LEAD = (404, "lead_not_found")
NO_INVITATION = (404, "invitation_not_found")
NO_OPERATOR = (403, "operator_required")
NO_SIGNUP = (409, "signup_not_offered")
AT = "2030-01-01T09:00:00Z"


@dataclass(frozen=True)
class Route:
    """A request, with names of the office's rows in braces, and how it is answered."""

    method: str
    path: str
    member: Answer
    viewer: Answer
    stranger: Answer
    query: dict[str, Any] | None = None
    body: Any = None
    csv: str | None = None
    described: str | None = None
    """The path of the description; the one of the request with other names in braces unless given."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def for_readers(path: str, stranger: Answer, **more: Any) -> Route:
    return Route("GET", path, 200, 200, stranger, **more)


def for_members(method: str, path: str, stranger: Answer, member: Answer = 200, **more: Any) -> Route:
    return Route(method, path, member, REFUSED, stranger, **more)


def for_operators(method: str, path: str, **more: Any) -> Route:
    return Route(method, path, NO_OPERATOR, NO_OPERATOR, NO_OPERATOR, **more)


IN = {"workspace": "{workspace}"}
PEOPLE = [{"name": "Grace", "email": "grace-{unique}@example.com"}]
CSV = "name,e-mail\nGrace,grace-{unique}@example.com\n"
ROW = "/api/contacts/{contact}"
CHAT = "/api/chats/{chat}"
THREAD = "/api/inbox/threads/{thread}"
VIEWS = "/api/meta/whatsapp/saved-views"
CHOSEN = {"thread_ids": ["{thread}"]}
OPS = "/api/ops/workspaces/{workspace}"

ROUTES = [
    # Workspaces
    for_readers("/api/me", 200),
    for_readers("/api/workspaces", 200),
    Route("POST", "/api/workspaces", 201, 201, 201, body={"slug": "w-{unique}", "name": "Another"}),
    Route(
        "PATCH", "/api/workspaces/members/{vera}", REFUSED, REFUSED, NO_WORKSPACE, query=IN, body={"role": "member"}
    ),
    Route("DELETE", "/api/workspaces/members/{olga}", REFUSED, REFUSED, NO_WORKSPACE, query=IN),
    for_readers("/api/workspaces/entitlements", NO_WORKSPACE, query=IN),
    for_readers("/api/workspaces/entitlements/core_os", NO_WORKSPACE, query=IN,
                described="/api/workspaces/entitlements/{}"),
    for_readers("/api/workspaces/tokens", NO_WORKSPACE, query=IN),
    for_readers("/api/workspaces/connections", NO_WORKSPACE, query=IN),
    # Contacts
    for_readers("/api/contacts", NO_WORKSPACE, query=IN),
    for_members("POST", "/api/contacts", NO_WORKSPACE, 201, body={**IN, "name": "Grace"}),
    for_members("DELETE", "/api/contacts", NO_WORKSPACE, query={**IN, "id": "{contact}"}),
    for_readers("/api/contacts/count", NO_WORKSPACE, query=IN),
    for_readers("/api/contacts/export", NO_WORKSPACE, query=IN),
    for_readers("/api/contacts/duplicates", NO_WORKSPACE, query=IN),
    for_members("POST", "/api/contacts/import", NO_WORKSPACE, body={**IN, "rows": PEOPLE}),
    for_members("POST", "/api/contacts/import/csv", NO_WORKSPACE, query=IN, csv=CSV),
    for_members(
        "PATCH", "/api/contacts/personal-settings", NO_CONTACT, body={"contact_id": "{contact}", "status": "hot"}
    ),
    for_readers(ROW, NO_CONTACT),
    for_members("PATCH", ROW, NO_CONTACT, body={"name": "Grace"}),
    for_members("PUT", ROW + "/lead-status", NO_CONTACT, body={"lead_status": "engaged"}),
    for_members("POST", ROW + "/merge", NO_CONTACT, body={"duplicate_id": "{twin}"}),
    for_readers(ROW + "/timeline", NO_CONTACT),
    for_readers(ROW + "/conversations", 200),
    Route("POST", "/api/contacts/call-logs", 200, 200, 200, body={"contact_ids": ["{contact}"]}),
    for_readers(ROW + "/call-logs", 200),
    for_members("POST", ROW + "/call-logs", NO_CONTACT, 201, body={"outcome": "busy"}),
    for_readers(ROW + "/notes", 200),
    for_members("POST", ROW + "/notes", NO_CONTACT, 201, body={"body": "Likes tea"}),
    Route("PATCH", "/api/notes/{note}", 200, (404, "note_not_found"), (404, "note_not_found"), body={"body": "No tea"}),
    for_members("DELETE", "/api/notes/{note}", (404, "note_not_found"), 204),
    # Candidates
    for_readers("/api/candidates", NO_WORKSPACE, query=IN),
    for_members("POST", "/api/candidates", NO_WORKSPACE, 201, body={**IN, "name": "Grace"}),
    for_members("POST", "/api/candidates/import", NO_WORKSPACE, body={**IN, "rows": PEOPLE}),
    for_members("POST", "/api/candidates/import/csv", NO_WORKSPACE, query=IN, csv=CSV),
    for_members(
        "PATCH", "/api/candidates/personal-settings", NO_CANDIDATE,
        body={"candidate_id": "{candidate}", "status": "A", "follow_up_at": AT},
    ),
    for_readers("/api/candidates/{candidate}", NO_CANDIDATE),
    for_members("PATCH", "/api/candidates/{candidate}", NO_CANDIDATE, body={"name": "Grace"}),
    for_members("DELETE", "/api/candidates/{candidate}", NO_CANDIDATE, 204),
    # Follow-ups: only Bob has one.
    for_readers("/api/followups", NO_WORKSPACE, query=IN),
    for_readers("/api/followups/counts", NO_WORKSPACE, query=IN),
    Route("PATCH", "/api/followups/{contact}", 200, NO_FOLLOW_UP, NO_FOLLOW_UP, body={"follow_up_at": AT}),
    Route("POST", "/api/followups/{contact}/snooze", 200, NO_FOLLOW_UP, NO_FOLLOW_UP, body={"seconds": 3600}),
    Route("POST", "/api/followups/{contact}/complete", 200, NO_FOLLOW_UP, NO_FOLLOW_UP),
    # Chat: Vera is in the group, and reads.
    for_readers("/api/chats", NO_WORKSPACE, query=IN),
    for_members("POST", "/api/chats", NO_WORKSPACE, 201, body={**IN, "kind": "group", "title": "Two"}),
    for_readers("/api/chats/unread", NO_WORKSPACE, query=IN),
    Route(
        "PATCH", "/api/chats/messages/{message}", 200, REFUSED, (404, "message_not_found"), body={"body": "Evening"}
    ),
    Route("DELETE", "/api/chats/messages/{message}", 200, REFUSED, (404, "message_not_found")),
    for_readers(CHAT + "/messages", NO_CHAT),
    for_members("POST", CHAT + "/messages", NO_CHAT, 201, body={"body": "Hello"}),
    for_members(
        "POST", CHAT + "/messages/batch", NO_CHAT, 201,
        body={"messages": [{"client_generated_id": "{unique}", "body": "Hello"}]},
    ),
    for_readers(CHAT + "/changes", NO_CHAT, query={"after_rev": 0}),
    for_readers(CHAT + "/unread-count", NO_CHAT),
    for_readers(CHAT + "/latest-seq", NO_CHAT),
    for_readers(CHAT + "/members", 200),
    for_members("POST", CHAT + "/members", NO_CHAT, body={"user_ids": ["{olga}"]}),
    for_members("DELETE", CHAT + "/members/{olga}", NO_CHAT, 204),
    for_members("POST", "/api/chats/{channel}/join", NO_CHAT),
    Route("POST", "/api/chats/{channel}/leave", 204, NO_CHAT, NO_CHAT),
    Route("POST", CHAT + "/mute", 200, 200, NO_CHAT, body={"until": AT}),
    Route("POST", CHAT + "/delivered", 200, 200, NO_CHAT, body={}),
    Route("POST", CHAT + "/read", 200, 200, NO_CHAT, body={"up_to_seq": 1}),
    for_members("POST", CHAT + "/typing", NO_CHAT, 204, body={}),
    # WhatsApp and signup
    for_members(
        "POST", "/api/meta/whatsapp/send-text", (404, "thread_not_found"), 202,
        body={"thread_id": "{thread}", "body": "Hi"},
    ),
    Route("POST", "/api/meta/oauth/start", NO_SIGNUP, NO_SIGNUP, NO_SIGNUP, body=IN),
    Route("POST", "/api/meta/oauth/callback", NO_SIGNUP, NO_SIGNUP, NO_SIGNUP, body={"code": "c", "state": "s"}),
    Route("GET", "/api/meta/oauth/callback", NO_SIGNUP, NO_SIGNUP, NO_SIGNUP, query={"code": "c", "state": "s"}),
    # Inbox
    for_readers("/api/inbox/threads", NO_WORKSPACE, query=IN),
    for_members(
        "POST", "/api/inbox/threads", NO_CONTACT, body={"contact_id": "{contact}", "connection_id": "{connection}"}
    ),
    for_readers("/api/inbox/threads/count", NO_WORKSPACE, query=IN),
    for_readers("/api/inbox/counts", NO_WORKSPACE, query=IN),
    for_readers("/api/inbox/search", NO_WORKSPACE, query={**IN, "q": "hello"}),
    for_members("POST", "/api/inbox/threads/assign", NO_THREAD, body={**CHOSEN, "assignee_id": None}),
    for_members("POST", "/api/inbox/threads/tag", NO_THREAD, body={**CHOSEN, "add": ["vip"]}),
    for_members("POST", "/api/inbox/threads/priority", NO_THREAD, body={**CHOSEN, "priority": "high"}),
    for_members("POST", "/api/inbox/threads/snooze", NO_THREAD, body={**CHOSEN, "until": AT}),
    for_members("POST", "/api/inbox/threads/close", NO_THREAD, body=CHOSEN),
    for_members("POST", "/api/inbox/threads/reopen", NO_THREAD, body=CHOSEN),
    for_readers(THREAD, NO_THREAD),
    for_readers(THREAD + "/messages", NO_THREAD),
    Route("POST", THREAD + "/read", 200, 200, NO_THREAD),
    Route("POST", THREAD + "/unread", 204, 204, NO_THREAD),
    for_members("POST", THREAD + "/notes", NO_THREAD, 201, body={"body": "Call back"}),
    for_members(
        "POST", THREAD + "/media", NO_THREAD, 202,
        body={"kind": "image", "media": {"link": "https://example.com/a.png"}},
    ),
    for_members(
        "POST", THREAD + "/replies", NO_THREAD, 202, body={"reply": {"type": "location_request", "body": "Where?"}}
    ),
    Route("POST", THREAD + "/files", (400, "invalid_value"), REFUSED, NO_THREAD, body={"it": "isn't a picture"}),
    Route("POST", THREAD + "/template", (404, "template_not_found"), REFUSED, NO_THREAD,
          body={"template_id": "{thread}"}),
    for_members("POST", "/api/inbox/messages/{wa_message}/reaction", NO_MESSAGE, 202, body={"emoji": "👍"}),
    for_members("POST", "/api/inbox/messages/{wa_message}/read-receipt", NO_MESSAGE, 202, body={}),
    for_readers("/api/inbox/canned-responses", NO_WORKSPACE, query=IN),
    for_members("PUT", "/api/inbox/canned-responses", NO_WORKSPACE, body={**IN, "shortcut": "hi", "body": "Hi!"}),
    for_members("DELETE", "/api/inbox/canned-responses/{canned}", (404, "canned_response_not_found"), 204),
    for_readers(THREAD + "/canned-responses/{shortcut}", NO_THREAD),
    for_readers("/api/inbox/templates", NO_WORKSPACE, query=IN),
    Route("POST", "/api/inbox/templates/preview", REFUSED, REFUSED, NO_WORKSPACE,
          body={**IN, "template_id": "{thread}"}),
    Route("POST", "/api/inbox/templates/send", REFUSED, REFUSED, NO_WORKSPACE, body={**IN, "template_id": "{thread}"}),
    for_readers("/api/inbox/settings", NO_WORKSPACE, query=IN),
    Route("PATCH", "/api/inbox/settings", REFUSED, REFUSED, NO_WORKSPACE, query=IN, body={"assignment_limit": 5}),
    for_readers("/api/inbox/breaches", NO_WORKSPACE, query=IN),
    for_readers(VIEWS, NO_WORKSPACE, query=IN),
    for_members("POST", VIEWS, NO_WORKSPACE, 201, body={**IN, "name": "Mine {unique}", "isDefault": True}),
    Route("PATCH", VIEWS, 200, NO_VIEW, NO_VIEW, query={"id": "{view}"}, body={"name": "Ours {unique}"}),
    Route("DELETE", VIEWS, 204, NO_VIEW, NO_VIEW, query={"id": "{view}"}),
    # Lead queue
    for_readers("/api/leads", NO_WORKSPACE, query=IN),
    for_members("POST", "/api/leads", NO_WORKSPACE, 201, body={**IN, "contact_ids": ["{contact}"]}),
    Route("POST", "/api/leads/assign", REFUSED, REFUSED, NO_WORKSPACE, body=IN),
    for_readers("/api/leads/queue", NO_WORKSPACE, query=IN),
    Route("POST", "/api/leads/queue/prepare", (409, "queue_message_missing"), REFUSED, NO_WORKSPACE, body=IN),
    for_members("POST", "/api/leads/queue/start", NO_WORKSPACE, body={**IN, "dry_run": True}),
    for_readers("/api/leads/queue/export", NO_WORKSPACE, query=IN),
    for_members("PATCH", "/api/leads/queue/settings", NO_WORKSPACE, query=IN, body={"daily_capacity": 7}),
    for_readers("/api/leads/queue/metrics", NO_WORKSPACE, query=IN),
    for_readers("/api/leads/{lead}", NO_LEAD),
    for_members("PATCH", "/api/leads/{lead}", NO_LEAD, body={"score": 7}),
    for_members("POST", "/api/leads/{lead}/take", NO_LEAD, body={}),
    Route("POST", "/api/leads/{lead}/release", (409, "lead_not_taken"), REFUSED, NO_LEAD, body={}),
    for_readers("/api/leads/{lead}/ledger", 200),
    # Web push: everybody's own
    for_readers("/api/push/subscriptions", 200),
    Route(
        "POST", "/api/push/subscriptions", 201, 201, 201,
        body={"endpoint": "https://push.example.com/{unique}", "keys": {"p256dh": "B" + "A" * 86, "auth": "A" * 22}},
    ),
    Route("DELETE", "/api/push/subscriptions", 200, 200, 200, query={"endpoint": "https://push.example.com/none"}),
    for_readers("/api/push/settings", 200),
    Route("PATCH", "/api/push/settings", 200, 200, 200, body={"notify_chats": "mentions"}),
    for_readers("/api/push/badge", 200),
    # Invitations
    for_readers("/api/invitations", NO_WORKSPACE, query=IN),
    Route("POST", "/api/invitations", REFUSED, REFUSED, NO_WORKSPACE, body={**IN, "email": "new@example.com"}),
    Route("DELETE", "/api/invitations/{lead}", NO_INVITATION, NO_INVITATION, NO_INVITATION),
    Route("POST", "/api/invitations/accept", NO_INVITATION, NO_INVITATION, NO_INVITATION, body={"token": "none"}),
    # Ops
    for_operators("GET", "/api/ops/operators"),
    for_operators("POST", "/api/ops/operators", body={"email": "{colleague}", "role": "viewer"}),
    for_operators("DELETE", "/api/ops/operators", query={"email": "{colleague}"}),
    for_operators("GET", "/api/ops/workspaces"),
    for_operators("GET", OPS),
    for_operators("PATCH", OPS, body={"status": "active"}),
    for_operators("GET", OPS + "/entitlements"),
    for_operators("PUT", OPS + "/entitlements/core_os", body={"enabled": True},
                  described=OPS + "/entitlements/{}"),
    for_operators("GET", OPS + "/tokens"),
    for_operators("POST", OPS + "/tokens", body={"delta": 5, "reason": "welcome"}),
    for_operators("GET", OPS + "/tokens/ledger"),
    for_operators("GET", OPS + "/tokens/grants"),
    for_operators("POST", OPS + "/tokens/grants", body={"amount": 5, "reason": "welcome", "expires_at": AT}),
    for_operators("POST", OPS + "/tokens/reservations", body={"amount": 5, "reason": "summary"}),
    for_operators("POST", "/api/ops/tokens/reservations/{held}/settle", body={"amount": 3}),
    for_operators("POST", "/api/ops/tokens/reservations/{held_too}/release"),
    for_operators("GET", OPS + "/tokens/alerts"),
    for_operators("PUT", OPS + "/tokens/alerts", body={"levels": [10]}),
    for_operators("GET", "/api/ops/audit"),
    for_operators("GET", "/api/ops/audit/export"),
    for_operators("GET", "/api/ops/audit/seals"),
    for_operators("POST", "/api/ops/audit/seals"),
]  # fmt: skip
# What has no user: Meta asks there, and tests of their own say what becomes of it.
WITHOUT_USERS = {
    ("GET", "/api/webhooks/meta/whatsapp"),
    ("POST", "/api/webhooks/meta/whatsapp"),
    ("POST", "/api/meta/oauth/deauthorize"),
    ("GET", "/api/push/public-key"),
}


@pytest.fixture(scope="module")
async def office(settings: Settings, clients: Clients, database: psycopg.AsyncConnection[Any]) -> Office:
    return await Office.open(World(settings, clients, database))


async def ask(
    routes: httpx.AsyncClient, route: Route, names: dict[str, str], token: str | None = None
) -> httpx.Response:
    """Send the route's request, with the rows' ids in place of their names."""

    def named(value: Any) -> Any:
        text = json.dumps(value)
        for name, id_ in {**names, "unique": uuid4().hex[:12]}.items():
            text = text.replace(f"{{{name}}}", id_)
        return json.loads(text)

    return await routes.request(
        route.method,
        named(route.path),
        params=named(route.query),
        json=named(route.body) if route.body is not None else None,
        content=named(route.csv),
        headers={
            **({"authorization": f"Bearer {token}"} if token else {}),
            **({"content-type": "text/csv"} if route.csv else {}),
        },
    )


def check(answer: httpx.Response, expected: Answer) -> None:
    if isinstance(expected, tuple):
        problem(answer, *expected)
    else:
        assert answer.status_code == expected, answer.text


def paths(route: Route) -> tuple[str, str]:
    return route.method, shape(route.described or route.path)


def shape(path: str) -> str:
    """The path without the names in its braces."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


async def test_every_described_route_is_in_the_table(routes: httpx.AsyncClient) -> None:
    description = (await routes.get("/openapi.json")).json()
    described = {
        (method.upper(), shape(path)) for path, operations in description["paths"].items() for method in operations
    }

    assert {paths(route) for route in ROUTES} | WITHOUT_USERS == described


def roles(route: Route, office: Office) -> Iterator[tuple[str, Answer]]:
    """Who asks, those who may least first."""
    yield office.mallory.access_token, route.stranger
    yield office.vera.access_token, route.viewer
    yield office.bob.access_token, route.member


@pytest.mark.parametrize("route", ROUTES, ids=str)
async def test_who_gets_which_answer(routes: httpx.AsyncClient, office: Office, route: Route) -> None:
    names = await office.fresh()
    before = await office.everything()

    problem(await ask(routes, route, names), 401, "not_authenticated")
    problem(await ask(routes, route, names, expired(office.world, office.bob)), 401, "token_expired")
    for token, expected in roles(route, office):
        answer = await ask(routes, route, names, token)
        check(answer, expected)
        if token == office.mallory.access_token:
            assert office.mark not in answer.text, "what isn't hers is nowhere in the answer"
        if isinstance(expected, tuple):
            assert await office.everything() == before, "who is refused changes nothing"


@pytest.mark.parametrize("route", [route for route in ROUTES if route.member == NO_OPERATOR], ids=str)
async def test_operators_get_theirs(routes: httpx.AsyncClient, office: Office, route: Route) -> None:
    await Operators(office.world.service).add(office.fixed["colleague"])

    answer = await ask(routes, route, office.fixed, office.oscar.access_token)

    assert answer.status_code == 200, answer.text


async def test_an_owner_changes_roles_and_ends_memberships(routes: httpx.AsyncClient, world: World) -> None:
    workspace = await world.workspace(owner="ada", cora="viewer")
    cora, headers = await world.user("cora"), {"authorization": f"Bearer {(await world.user('ada')).access_token}"}
    path, query = f"/api/workspaces/members/{cora.id}", {"workspace": str(workspace.id)}

    promoted = await routes.patch(path, params=query, json={"role": "member"}, headers=headers)
    removed = await routes.delete(path, params=query, headers=headers)

    assert (promoted.json()["role"], removed.json()["role"]) == ("member", "member")
    problem(await routes.delete(path, params=query, headers=headers), 404, "member_not_found")
