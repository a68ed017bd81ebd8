"""Personal status and follow-ups: saved, private, independent of each other and of everything shared."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from qero import Candidates, Contacts, FollowUps, NotAuthenticated, NotFound, PermissionDenied, QeroError, Workspaces
from qero.clients.rpc import call
from qero.models.candidate import CandidateFilter
from qero.models.contact import ContactFilter
from qero.models.personal import CandidateSettingsPatch, ContactSettingsPatch
from tests.services.people import candidate_of, contact_of, personal_rows, shared_rows
from tests.support import User, World, post_rpc

SOON = datetime(2030, 5, 1, 9, 30, tzinfo=UTC)
NOTE = "call about the contract that nobody else may know of"

READ_IN_A_FRESH_PROCESS = """
import asyncio, sys
from uuid import UUID
from qero import Clients, Contacts, Settings
async def main():
    async with Clients(Settings.load()) as clients:
        contacts = Contacts(await clients.user(sys.argv[1]))
        page = await contacts.list(UUID(sys.argv[2]))
        one = await contacts.get(UUID(sys.argv[3]))
        assert one.model_dump() == page.items[0].model_dump()
        print(one.model_dump_json())
asyncio.run(main())
"""


async def in_a_fresh_process(world: World, user: User, *arguments: object) -> Any:
    """What a process that has just started reads first."""
    settings = world.settings
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", READ_IN_A_FRESH_PROCESS, user.access_token, *map(str, arguments),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={
            "PATH": "/usr/bin:/bin",
            "SUPABASE_URL": settings.require("supabase_url"),
            "SUPABASE_PUBLISHABLE_KEY": settings.require("publishable_key"),
            "SUPABASE_JWT_SECRET": settings.require("jwt_secret"),
        },
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return json.loads(out)


async def test_a_saved_status_is_there_after_a_restart_in_list_and_detail(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    contact = await contact_of(olga, workspace)
    before = await in_a_fresh_process(world, olga, workspace.id, contact.id)
    assert (before["my_status"], before["follow_up_at"]) == (None, None)

    await Contacts(olga.client).set_settings(
        contact.id, ContactSettingsPatch(status="hot", follow_up_at=SOON, follow_up_note=NOTE)
    )

    after = await in_a_fresh_process(world, olga, workspace.id, contact.id)
    assert after["my_status"] == "hot"
    assert datetime.fromisoformat(after["follow_up_at"]) == SOON
    assert after["follow_up_note"] == NOTE


async def everything_seen_by(world: World, user: User, workspace_id: UUID, *ids: UUID) -> str:
    """All that a signed-in user can get out of the API about some people, as one text."""
    headers = {"apikey": world.settings.require("publishable_key"), "authorization": f"Bearer {user.access_token}"}
    texts = []
    for path in (
        "user_contact_settings?select=*",
        "user_tma_settings?select=*",
        "contacts?select=*,user_contact_settings(*)",
        "contacts?select=id,user_contact_settings!inner(*)",
        "tma_candidates?select=*,user_tma_settings(*)",
        "profiles?select=id,user_contact_settings(*),user_tma_settings(*)",
        "contact_events?select=*",
        "conversations?select=*",
    ):
        answer = await world.clients.http.get(f"{world.settings.supabase_url}/rest/v1/{path}", headers=headers)
        assert answer.status_code == 200, answer.text
        # Rows that nobody asked for in an order come in any.
        texts.append("\n".join(sorted(json.dumps(row, ensure_ascii=False) for row in answer.json())))
    for table in ("user_contact_settings", "user_tma_settings"):
        answer = await world.clients.http.head(
            f"{world.settings.supabase_url}/rest/v1/{table}?workspace_id=eq.{workspace_id}",
            headers={**headers, "prefer": "count=exact"},
        )
        texts.append(f"{table}: {answer.headers['content-range']}")
    asked: list[tuple[str, dict[str, Any]]] = [
        ("list_contacts", {"p_workspace_id": workspace_id}),
        ("list_contacts", {"p_workspace_id": workspace_id, "p_my_status": "hot"}),
        ("list_contacts", {"p_workspace_id": workspace_id, "p_follow_up": "any"}),
        ("list_contacts", {"p_workspace_id": workspace_id, "p_my_status": "none"}),
        ("count_contacts", {"p_workspace_id": workspace_id, "p_my_status": "hot"}),
        ("list_candidates", {"p_workspace_id": workspace_id}),
        ("list_candidates", {"p_workspace_id": workspace_id, "p_my_status": "A"}),
        ("list_follow_ups", {}),
        ("list_follow_ups", {"p_workspace_id": workspace_id}),
        ("count_follow_ups", {}),
        ("list_contact_duplicates", {"p_workspace_id": workspace_id}),
        ("whoami", {}),
        *(("get_contact", {"p_contact_id": id}) for id in ids),
        *(("get_candidate", {"p_candidate_id": id}) for id in ids),
        *(("list_contact_timeline", {"p_contact_id": id}) for id in ids),
        *(("complete_follow_up", {"p_id": id}) for id in ids),
        *(("snooze_follow_up", {"p_id": id, "p_seconds": 60}) for id in ids),
        *(("reschedule_follow_up", {"p_id": id, "p_at": "2031-01-01T00:00:00Z"}) for id in ids),
    ]
    for name, arguments in asked:
        given = {key: str(value) if isinstance(value, UUID) else value for key, value in arguments.items()}
        answer = await post_rpc(world.clients.http, world.settings, name, user.access_token, **given)
        texts.append(f"{name}: {answer.status_code} {answer.text}")
    return "\n".join(texts)


async def test_a_follow_up_is_invisible_to_colleague_and_admin_in_every_way_there_is_to_look(world: World) -> None:
    workspace = await world.workspace(owner="olga", adam="admin", bob="member", vera="viewer")
    olga, bob = await world.user("olga"), await world.user("bob")
    contact, candidate = await contact_of(olga, workspace), await candidate_of(olga, workspace)
    others = [await world.user(name) for name in ("olga", "adam", "vera")]
    before = [await everything_seen_by(world, user, workspace.id, contact.id, candidate.id) for user in others]

    await Contacts(bob.client).set_settings(
        contact.id, ContactSettingsPatch(status="hot", follow_up_at=SOON, follow_up_note=NOTE)
    )
    await Candidates(bob.client).set_settings(
        candidate.id, CandidateSettingsPatch(status="A", follow_up_at=SOON, follow_up_note=NOTE)
    )

    assert NOTE in await everything_seen_by(world, bob, workspace.id), "the same look shows Bob his own"
    after = [await everything_seen_by(world, user, workspace.id, contact.id, candidate.id) for user in others]
    assert after == before, "not a byte of what anybody else sees has changed"
    kept = await personal_rows(world, workspace.id)
    assert len(kept) == 2
    assert all(row[0]["follow_up_note"] == NOTE for row in kept), "and nobody has changed it"


async def test_nobody_writes_in_somebody_elses_name(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    olga, bob = await world.user("olga"), await world.user("bob")
    contact = await contact_of(olga, workspace)
    await Contacts(bob.client).set_settings(contact.id, ContactSettingsPatch(status="hot"))
    headers = {
        "apikey": world.settings.require("publishable_key"),
        "authorization": f"Bearer {olga.access_token}",
        "prefer": "return=representation",
    }
    rest = f"{world.settings.supabase_url}/rest/v1/user_contact_settings"
    row = {
        "user_id": str(bob.id),
        "contact_id": str(contact.id),
        "workspace_id": str(workspace.id),
        "status": "working",
    }

    written = await world.clients.http.post(rest, headers=headers, json=row)
    changed = await world.clients.http.patch(f"{rest}?user_id=eq.{bob.id}", headers=headers, json={"status": None})
    deleted = await world.clients.http.delete(f"{rest}?user_id=eq.{bob.id}", headers=headers)

    assert written.status_code == 403
    assert (changed.status_code, changed.json()) == (200, [])
    assert deleted.status_code == 403
    assert [row[0]["status"] for row in await personal_rows(world, workspace.id)] == ["hot"]


async def test_the_service_reaches_no_personal_row(world: World) -> None:
    rest = f"{world.settings.supabase_url}/rest/v1/user_contact_settings"
    key = world.settings.require("secret_key")
    answer = await world.clients.http.get(rest, headers={"apikey": key, "authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "42501")


async def test_a_follow_up_leaves_status_tags_and_ratings_alone_and_the_other_way_round(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    contact = await contact_of(
        olga, workspace, name="Ada", lead_status="qualified", tags=["vip"], status_tags=["A", "B"]
    )
    candidate = await candidate_of(olga, workspace, name="Ada", status_tags=["A", "C"])
    shared = await shared_rows(world, workspace.id)
    contacts, candidates, follow_ups = Contacts(olga.client), Candidates(olga.client), FollowUps(olga.client)

    await contacts.set_settings(contact.id, ContactSettingsPatch(status="working"))
    mine = await contacts.set_settings(contact.id, ContactSettingsPatch(follow_up_at=SOON, follow_up_note=NOTE))
    assert (mine.status, mine.follow_up_at, mine.follow_up_note) == ("working", SOON, NOTE)
    mine = await contacts.set_settings(contact.id, ContactSettingsPatch(status=None))
    assert (mine.status, mine.follow_up_at, mine.follow_up_note) == (None, SOON, NOTE)
    mine = await contacts.set_settings(contact.id, ContactSettingsPatch(status="hot", follow_up_note=None))
    assert (mine.status, mine.follow_up_at, mine.follow_up_note) == ("hot", SOON, None)
    done = await follow_ups.complete(contact.id)
    assert (done.kind, done.status, done.follow_up_at) == ("contact", "hot", None)
    assert await contacts.set_settings(contact.id, ContactSettingsPatch()) is not None
    assert (await contacts.get(contact.id)).my_status == "hot", "an empty patch changes nothing"
    await candidates.set_settings(candidate.id, CandidateSettingsPatch(status="B", follow_up_at=SOON))
    await follow_ups.complete(candidate.id)

    assert await shared_rows(world, workspace.id) == shared, "not even the time of the last change"


async def test_toggling_one_contact_leaves_every_other_unchanged(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    olga, bob = await world.user("olga"), await world.user("bob")
    contacts = [await contact_of(olga, workspace) for _ in range(12)]
    for user in (olga, bob):
        for contact in contacts:
            await Contacts(user.client).set_settings(
                contact.id, ContactSettingsPatch(status="working", follow_up_at=SOON)
            )
    shared, mine = await shared_rows(world, workspace.id), await personal_rows(world, workspace.id)

    toggled = contacts[5]
    await Contacts(bob.client).set_settings(toggled.id, ContactSettingsPatch(status="hot"))
    await Contacts(bob.client).update_status(toggled.id, "engaged")

    def others(rows: list[tuple[Any, ...]], key: str) -> list[Any]:
        return [row for (row,) in rows if row[key] != str(toggled.id)]

    assert others(await shared_rows(world, workspace.id), "id") == others(shared, "id")
    left = await personal_rows(world, workspace.id)
    assert others(left, "contact_id") == others(mine, "contact_id")
    of_toggled = {row["user_id"]: row["status"] for (row,) in left if row["contact_id"] == str(toggled.id)}
    assert of_toggled == {str(bob.id): "hot", str(olga.id): "working"}
    changed = {row["id"]: row["lead_status"] for (row,) in await shared_rows(world, workspace.id)}
    assert [id for id, status in changed.items() if status != "new"] == [str(toggled.id)]


def test_personal_services_need_a_user(world: World) -> None:
    for service in (Contacts, Candidates, FollowUps):
        with pytest.raises(NotAuthenticated):
            service(world.service)  # type: ignore[arg-type]


PERSONAL_CALLS: list[tuple[str, dict[str, Any]]] = [
    ("list_contacts", {"p_workspace_id": str(UUID(int=1))}),
    ("count_contacts", {"p_workspace_id": str(UUID(int=1))}),
    ("get_contact", {"p_contact_id": str(UUID(int=1))}),
    ("set_contact_settings", {"p_contact_id": str(UUID(int=1)), "p_patch": {}}),
    ("list_candidates", {"p_workspace_id": str(UUID(int=1))}),
    ("get_candidate", {"p_candidate_id": str(UUID(int=1))}),
    ("set_tma_settings", {"p_candidate_id": str(UUID(int=1)), "p_patch": {}}),
    ("list_follow_ups", {}),
    ("count_follow_ups", {}),
    ("complete_follow_up", {"p_id": str(UUID(int=1))}),
    ("reschedule_follow_up", {"p_id": str(UUID(int=1)), "p_at": "2030-01-01T00:00:00Z"}),
    ("snooze_follow_up", {"p_id": str(UUID(int=1)), "p_seconds": 60}),
]


@pytest.mark.parametrize(("function", "arguments"), PERSONAL_CALLS, ids=[name for name, _ in PERSONAL_CALLS])
async def test_a_client_without_a_user_gets_an_error_from_every_personal_call(
    function: str, arguments: dict[str, Any], world: World
) -> None:
    with pytest.raises(QeroError) as error:
        await call(world.service, function, object, **arguments)
    assert error.value.code in ("permission_denied", "not_authenticated")
    anonymous = await post_rpc(
        world.clients.http, world.settings, function, world.settings.require("publishable_key"), **arguments
    )
    assert anonymous.status_code in (401, 403)


async def test_what_is_not_there_and_what_is_not_yours_answer_alike(world: World) -> None:
    workspace, foreign = await world.workspace(owner="olga"), await world.workspace(owner="mallory")
    olga, mallory = await world.user("olga"), await world.user("mallory")
    theirs = await contact_of(olga, workspace)
    assert foreign.id != workspace.id
    answers = []
    for id in (theirs.id, uuid4()):
        for work in (
            lambda id: Contacts(mallory.client).get(id),
            lambda id: Contacts(mallory.client).set_settings(id, ContactSettingsPatch(status="hot")),
            lambda id: FollowUps(mallory.client).complete(id),
        ):
            with pytest.raises(NotFound) as error:
                await work(id)
            answers.append((error.value.code, str(error.value.to_dict()).replace(str(id), "<id>")))
    assert answers[:3] == answers[3:]


async def test_viewers_only_read(world: World) -> None:
    workspace = await world.workspace(owner="olga", vera="viewer")
    contact = await contact_of(await world.user("olga"), workspace)
    with pytest.raises(PermissionDenied) as error:
        await Contacts((await world.user("vera")).client).set_settings(contact.id, ContactSettingsPatch(status="hot"))
    assert error.value.code == "role_required"


async def test_who_leaves_sees_no_settings_any_more(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    bob = await world.user("bob")
    contact = await contact_of(await world.user("olga"), workspace)
    await Contacts(bob.client).set_settings(contact.id, ContactSettingsPatch(status="hot", follow_up_at=SOON))
    await world.rows(
        "delete from workspace_memberships where workspace_id = %s and user_id = %s returning 1", workspace.id, bob.id
    )

    assert (await FollowUps(bob.client).list()).items == []
    assert (await Workspaces(bob.client).whoami()).personal_rows["user_contact_settings"] == 0


async def test_whoami_counts_personal_rows(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    for contact in [await contact_of(olga, workspace) for _ in range(3)]:
        await Contacts(olga.client).set_settings(contact.id, ContactSettingsPatch(status="hot"))
    counted = (await Workspaces(olga.client).whoami()).personal_rows
    assert counted == {"user_contact_settings": 3, "user_tma_settings": 0}
    assert (await Workspaces(world.service).whoami()).personal_rows == {}


async def test_my_filters_are_mine(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    olga, bob = await world.user("olga"), await world.user("bob")
    first, second, third = [await contact_of(olga, workspace) for _ in range(3)]
    await Contacts(olga.client).set_settings(first.id, ContactSettingsPatch(status="hot"))
    await Contacts(olga.client).set_settings(second.id, ContactSettingsPatch(follow_up_at=SOON))
    await Contacts(bob.client).set_settings(third.id, ContactSettingsPatch(status="hot", follow_up_at=SOON))

    async def found(user: User, **filter: Any) -> set[UUID]:
        page = await Contacts(user.client).list(workspace.id, ContactFilter(**filter))
        counted = await Contacts(user.client).count(workspace.id, ContactFilter(**filter))
        assert (counted.count, counted.is_exact) == (len(page.items), True)
        return {contact.id for contact in page.items}

    assert await found(olga, my_status="hot") == {first.id}
    assert await found(bob, my_status="hot") == {third.id}
    assert await found(olga, follow_up="any") == {second.id}
    assert await found(olga, my_status="none") == {second.id, third.id}
    assert await found(bob, my_status="none") == {first.id, second.id}
    assert await found(olga, my_status="none", follow_up="upcoming") == {second.id}
    assert await found(olga, my_status="working") == set()

    candidate = await candidate_of(olga, workspace)
    await candidate_of(olga, workspace)
    await Candidates(olga.client).set_settings(candidate.id, CandidateSettingsPatch(status="B"))
    listed = await Candidates(olga.client).list(workspace.id, CandidateFilter(my_status="B"))
    assert [item.id for item in listed.items] == [candidate.id]
    assert listed.items[0].model_dump() == (await Candidates(olga.client).get(candidate.id)).model_dump()
    assert (await Candidates(bob.client).list(workspace.id, CandidateFilter(my_status="B"))).items == []


# --- One list of follow-ups ---


async def test_one_list_over_contacts_and_candidates_by_urgency(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    follow_ups = FollowUps(olga.client)
    now = datetime.now(UTC)
    times = [now - timedelta(days=2), now - timedelta(hours=1), now + timedelta(days=2), now + timedelta(days=30)]
    people = []
    for index, at in enumerate(times):
        if index % 2:
            candidate = await candidate_of(olga, workspace, name=f"N{index}")
            await Candidates(olga.client).set_settings(candidate.id, CandidateSettingsPatch(follow_up_at=at))
            people.append(candidate.id)
        else:
            contact = await contact_of(olga, workspace, name=f"N{index}")
            await Contacts(olga.client).set_settings(contact.id, ContactSettingsPatch(follow_up_at=at))
            people.append(contact.id)

    page = await follow_ups.list()
    assert [(item.id, item.name, item.kind, item.bucket) for item in page.items] == [
        (people[0], "N0", "contact", "overdue"),
        (people[1], "N1", "candidate", "overdue"),
        (people[2], "N2", "contact", "upcoming"),
        (people[3], "N3", "candidate", "upcoming"),
    ]
    collected, after = [], None
    while True:
        part = await follow_ups.list(workspace.id, after=after, limit=1)
        collected += part.items
        if (after := part.next) is None:
            break
    assert [item.id for item in collected] == people
    assert (await follow_ups.counts()).model_dump() == {"overdue": 2, "today": 0, "upcoming": 2}
    assert [item.id for item in (await follow_ups.list(due="due")).items] == people[:2]

    await follow_ups.snooze(people[0], timedelta(days=1, hours=1))
    await follow_ups.reschedule(people[1], now + timedelta(days=400))
    await follow_ups.complete(people[3])
    assert [item.id for item in (await follow_ups.list()).items] == [people[0], people[2], people[1]]
    with pytest.raises(NotFound) as error:
        await follow_ups.snooze(people[3], timedelta(hours=1))
    assert error.value.code == "follow_up_not_found"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles", "UTC"])
async def test_today_ends_at_midnight_in_my_time_zone(zone: str, world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    await world.rows("update profiles set timezone = %s where id = %s returning 1", zone, olga.id)
    [[midnight]] = await world.rows("select ((now() at time zone %s)::date + 1)::timestamp at time zone %s", zone, zone)
    for at in (midnight - timedelta(milliseconds=1), midnight):
        contact = await contact_of(olga, workspace)
        await Contacts(olga.client).set_settings(contact.id, ContactSettingsPatch(follow_up_at=at))

    assert [item.bucket for item in (await FollowUps(olga.client).list()).items] == ["today", "upcoming"]
    assert (await FollowUps(olga.client).counts()).model_dump() == {"overdue": 0, "today": 1, "upcoming": 1}
    assert len((await Contacts(olga.client).list(workspace.id, ContactFilter(follow_up="today"))).items) == 1
