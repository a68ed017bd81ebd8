"""Contacts over HTTP: the stories that a table of answers doesn't tell."""

from __future__ import annotations

import csv
import io
from typing import Any
from uuid import uuid4

import httpx
import pytest

from qero.models.workspace import Workspace
from tests.http.support import problem
from tests.services.people import contact_of
from tests.support import User, World


@pytest.fixture
async def bob(world: World) -> User:
    return await world.user("bob")


@pytest.fixture
async def workspace(world: World, bob: User) -> Workspace:
    return await world.workspace(bob="member")


def of(user: User) -> dict[str, str]:
    return {"authorization": f"Bearer {user.access_token}"}


async def test_a_workspace_is_named_by_slug_or_uuid(routes: httpx.AsyncClient, bob: User, workspace: Workspace) -> None:
    contact = await contact_of(bob, workspace)

    for name in (workspace.slug, str(workspace.id), str(workspace.id)):
        page = (await routes.get("/api/contacts", params={"workspace": name}, headers=of(bob))).json()
        assert [item["id"] for item in page["items"]] == [str(contact.id)]
        assert page["next"] is None


async def test_who_has_left_a_workspace_finds_it_gone_at_once(
    routes: httpx.AsyncClient, world: World, bob: User, workspace: Workspace
) -> None:
    query = {"workspace": workspace.slug}
    assert (await routes.get("/api/contacts", params=query, headers=of(bob))).status_code == 200

    await world.rows(
        "delete from workspace_memberships where user_id = %s and workspace_id = %s returning 1", bob.id, workspace.id
    )

    problem(await routes.get("/api/contacts", params=query, headers=of(bob)), 404, "workspace_not_found")


async def test_a_contact_is_created_marked_found_and_deleted(
    routes: httpx.AsyncClient, bob: User, workspace: Workspace
) -> None:
    body = {"workspace": workspace.slug, "name": "Ada", "phone": "+49 170 1234567", "tags": ["vip"]}
    created = (await routes.post("/api/contacts", json=body, headers=of(bob))).json()
    settings = {"contact_id": created["id"], "status": "hot", "follow_up_at": "2030-05-01T10:00:00+02:00"}
    await routes.patch("/api/contacts/personal-settings", json=settings, headers=of(bob))

    async def found(**query: Any) -> list[str]:
        params = {"workspace": workspace.slug, **query}
        page = (await routes.get("/api/contacts", params=params, headers=of(bob))).json()
        return [item["name"] for item in page["items"]]

    assert created["phone"] == "+491701234567"
    assert await found(my_status="hot", tag="vip", search="ada", follow_up="upcoming") == ["Ada"]
    assert await found(my_status="working") == []
    assert await found(tag=["vip", "new"]) == [], "all of the tags"
    query = {"workspace": workspace.slug, "id": created["id"]}
    deleted = await routes.delete("/api/contacts", params=query, headers=of(bob))
    assert deleted.json() == {
        "notes": 0, "conversations": 0, "messages": 0, "call_logs": 0, "leads": 0, "my_settings": 1,
    }  # fmt: skip
    problem(await routes.delete("/api/contacts", params=query, headers=of(bob)), 404, "contact_not_found")


async def test_a_contact_is_deleted_only_by_the_name_of_its_own_workspace(
    routes: httpx.AsyncClient, world: World, bob: User, workspace: Workspace
) -> None:
    other = await world.workspace(owner="bob")
    contact = await contact_of(bob, workspace)

    answer = await routes.delete(
        "/api/contacts", params={"workspace": other.slug, "id": str(contact.id)}, headers=of(bob)
    )

    problem(answer, 404, "contact_not_found")
    assert (await routes.get(f"/api/contacts/{contact.id}", headers=of(bob))).status_code == 200


async def test_a_status_that_is_none_is_refused_by_its_own_code_and_names_those_that_are(
    routes: httpx.AsyncClient, bob: User, workspace: Workspace
) -> None:
    contact = await contact_of(bob, workspace)

    answers = [
        await routes.patch(f"/api/contacts/{contact.id}", json={"lead_status": "booked"}, headers=of(bob)),
        await routes.put(f"/api/contacts/{contact.id}/lead-status", json={"lead_status": "booked"}, headers=of(bob)),
        await routes.get(
            "/api/contacts", params={"workspace": workspace.slug, "lead_status": "booked"}, headers=of(bob)
        ),
        await routes.get("/api/leads", params={"workspace": workspace.slug, "status": "booked"}, headers=of(bob)),
        await routes.patch(f"/api/leads/{uuid4()}", json={"status": "booked"}, headers=of(bob)),
    ]

    for answer in answers:
        assert "'qualified'" in problem(answer, 400, "lead_status_invalid")["errors"]["fields"][0]["problem"]
    # Another thing's status is its own.
    other = {"workspace": workspace.slug, "status": "booked"}
    problem(await routes.get("/api/inbox/threads", params=other, headers=of(bob)), 400, "invalid_value")


async def test_what_is_wrong_with_a_request_is_named_as_its_sender_knows_it(
    routes: httpx.AsyncClient, bob: User, workspace: Workspace
) -> None:
    named = {"workspace": workspace.slug}
    form = await routes.post("/api/contacts", params=named, data={"name": "Ada"}, headers=of(bob))
    broken = await routes.post(
        "/api/contacts", params=named, content="{bad", headers=of(bob) | {"content-type": "application/json"}
    )
    status = await routes.get("/api/contacts", params={**named, "my_status": "zzz"}, headers=of(bob))

    for answer, field in ((form, "body"), (broken, "body"), (status, "my_status")):
        fields = problem(answer, 400, "invalid_value")["errors"]["fields"]
        assert {named["field"] for named in fields} == {field}
    assert "Content-Type: application/json" in form.text


async def test_501_ids_are_too_many_and_500_are_answered_in_their_order(
    routes: httpx.AsyncClient, bob: User, workspace: Workspace
) -> None:
    contact = await contact_of(bob, workspace)
    await routes.post(f"/api/contacts/{contact.id}/call-logs", json={"outcome": "busy"}, headers=of(bob))
    ids = [str(uuid4()) for _ in range(250)] + [str(contact.id)] + [str(uuid4()) for _ in range(249)]

    answer = await routes.post("/api/contacts/call-logs", json={"contact_ids": ids}, headers=of(bob))
    refused = await routes.post("/api/contacts/call-logs", json={"contact_ids": [*ids, ids[0]]}, headers=of(bob))

    assert [item["contact_id"] for item in answer.json()] == ids
    assert [len(item["calls"]) for item in answer.json()] == [0] * 250 + [1] + [0] * 249
    assert problem(refused, 400, "too_many_ids")["errors"]["limit"] == 500


async def test_rows_are_tried_and_imported_and_every_one_is_answered(
    routes: httpx.AsyncClient, bob: User, workspace: Workspace
) -> None:
    rows = [{"name": "Ada", "email": "ada@example.com"}, {"name": "Nobody"}, {"row": 7, "email": "no e-mail"}]
    body = {"workspace": workspace.slug, "rows": rows}

    tried = (await routes.post("/api/contacts/import", json={**body, "dry_run": True}, headers=of(bob))).json()
    done = (await routes.post("/api/contacts/import", json=body, headers=of(bob))).json()
    again = (await routes.post("/api/contacts/import", json=body, headers=of(bob))).json()

    assert (tried["dry_run"], done["dry_run"]) == (True, False)
    for answer in (tried, done):
        assert [answer[name] for name in ("created", "updated", "skipped", "invalid")] == [1, 0, 0, 2]
        assert [(row["row"], row["outcome"]) for row in answer["rows"]] == [
            (1, "created"), (2, "invalid"), (7, "invalid"),
        ]  # fmt: skip
        assert all(row["problems"] for row in answer["rows"][1:])
    assert again["skipped"] == 1


async def test_a_file_is_imported_by_the_names_of_its_columns_and_rows_go_by_their_lines(
    routes: httpx.AsyncClient, bob: User, workspace: Workspace
) -> None:
    file = '\ufeffVorname;Handy\r\nAda;0170 1234567\r\n\r\n"Gra\u2028ce";oops\r\n'

    answer = await routes.post(
        "/api/contacts/import/csv",
        params={"workspace": workspace.slug, "region": "DE"},
        content=file.encode(),
        headers={**of(bob), "content-type": "text/csv"},
    )

    assert [(row["row"], row["outcome"]) for row in answer.json()["rows"]] == [(2, "created"), (4, "invalid")]


@pytest.mark.parametrize(
    "file", [b"", b"name\nAda\n", b"\xff\xfe", b"name," + b"x" * 200_000, b'email\n"' + b"x" * 200_000]
)
async def test_what_is_no_file_of_people_is_refused(
    routes: httpx.AsyncClient, bob: User, workspace: Workspace, file: bytes
) -> None:
    answer = await routes.post(
        "/api/contacts/import/csv",
        params={"workspace": workspace.slug},
        content=file,
        headers={**of(bob), "content-type": "text/csv"},
    )

    problem(answer, 400, "file_unreadable" if file else "invalid_value")


async def test_every_contact_is_downloaded_and_none_of_them_is_a_formula(
    routes: httpx.AsyncClient, bob: User, workspace: Workspace
) -> None:
    rows = [{"name": f'=cmd("{index}"), "x"\nnew line', "email": f"p{index}@example.com"} for index in range(450)]
    rows[0]["name"] = "+49 is no number"
    await routes.post("/api/contacts/import", json={"workspace": workspace.slug, "rows": rows}, headers=of(bob))
    await contact_of(bob, workspace, phone="+491709876543")

    answer = await routes.get("/api/contacts/export", params={"workspace": workspace.slug}, headers=of(bob))
    empty = await routes.get(
        "/api/contacts/export", params={"workspace": workspace.slug, "search": "nobody"}, headers=of(bob)
    )

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"] == 'attachment; filename="contacts.csv"'
    found = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert len({row["email"] for row in found if row["email"]}) == 450
    assert {row["name"][:2] for row in found if row["name"]} == {"'=", "'+"}
    assert [row["phone"] for row in found if row["phone"]] == ["+491709876543"]
    assert empty.text.count("\n") == 1, "the header alone"
    assert empty.text.startswith("id,workspace_id,name,")
