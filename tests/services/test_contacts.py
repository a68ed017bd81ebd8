"""Contacts: lists that page and search, patches of one row, deleting, merging, what happened with them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from qero import CallLogs, Candidates, Conflict, Contacts, FollowUps, InvalidInput, Notes, NotFound, Threads
from qero.models.candidate import CandidatePatch
from qero.models.contact import ContactFilter, ContactPatch, MyContact
from qero.models.imports import ImportRow
from qero.models.personal import CandidateSettingsPatch, ContactSettingsPatch
from qero.models.workspace import Workspace
from tests.services.people import candidate_of, contact_of, personal_rows, shared_rows
from tests.support import User, World, digits, post_rpc

SOON = datetime(2030, 5, 1, 9, 30, tzinfo=UTC)


async def all_pages(contacts: Contacts, workspace_id: UUID, **options: Any) -> list[MyContact]:
    found: list[MyContact] = []
    after = None
    while True:
        page = await contacts.list(workspace_id, after=after, **options)
        found += page.items
        if (after := page.next) is None:
            return found


# --- Lists ---


async def test_pages_join_without_gap_or_repetition_in_every_order(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    contacts = Contacts(olga.client)
    # Some share a moment, some a name, one has none.
    await world.rows(
        """
        insert into contacts (workspace_id, name, phone, created_at)
        select %s, case when i %% 7 = 0 then null else 'name ' || i / 3 end, '+1555' || (1000000 + i),
          now() - (i / 4) * interval '1 minute'
        from generate_series(1, 30) as i returning 1
        """,
        workspace.id,
    )
    marked = (await contacts.list(workspace.id, limit=9)).items
    for contact in marked:
        await contacts.set_settings(contact.id, ContactSettingsPatch(status="hot"))
    for filter, expected in ((None, 30), (ContactFilter(search="+1555"), 30), (ContactFilter(my_status="hot"), 9)):
        for sort in ("created_at", "name"):
            for descending in (False, True, None):
                found = await all_pages(
                    contacts, workspace.id, filter=filter, sort=sort, descending=descending, limit=4
                )
                assert len({contact.id for contact in found}) == len(found) == expected
                keys = [
                    (contact.created_at if sort == "created_at" else (contact.name or "").lower(), contact.id)
                    for contact in found
                ]
                down = descending if descending is not None else sort == "created_at"
                if sort == "created_at":
                    assert keys == sorted(keys, reverse=down)
                else:
                    whole = (await contacts.list(workspace.id, filter, sort="name", descending=down, limit=200)).items
                    assert [contact.id for contact in found] == [contact.id for contact in whole]


async def test_search_looks_through_name_email_and_phone(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    phone = f"+4917{digits(8)}"
    ada = await contact_of(olga, workspace, name="Ada Lovelace", email="ada@engine.example", phone=phone)
    bob = await contact_of(olga, workspace, name="Bob 100% \\ under_score")
    foreign = await world.workspace(owner="mallory")
    await contact_of(await world.user("mallory"), foreign, name="Ada Lovelace", email="ada@engine.example")

    async def found(search: str) -> list[UUID]:
        page = await Contacts(olga.client).list(workspace.id, ContactFilter(search=search))
        assert (await Contacts(olga.client).count(workspace.id, ContactFilter(search=search))).count == len(page.items)
        return [contact.id for contact in page.items]

    for search in (
        "ada", "LOVE", "lovelace ada", "engine.ex", phone, phone[3:], f"0{phone[3:]}",
        f"{phone[:5]} {phone[5:9]}-{phone[9:]}",
    ):  # fmt: skip
        assert await found(search) == [ada.id], search
    for search in ("100%", "under_", "\\"):
        assert await found(search) == [bob.id], search
    for search in ("lovelace bob", "a%a", "b_b", "'; drop table contacts"):
        assert await found(search) == [], search
    assert len(await found("  ")) == 2


async def test_filters_combine(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    mine = await contact_of(olga, workspace, name="Ada", tags=["vip", "eu"], lead_status="engaged", assigned_to=olga.id)
    await contact_of(olga, workspace, name="Bob", tags=["vip"], lead_status="lost")
    contacts = Contacts(olga.client)
    await contacts.set_settings(mine.id, ContactSettingsPatch(status="working"))
    for filter in (
        ContactFilter(tags=["eu", "vip"]),
        ContactFilter(lead_statuses=["engaged", "new"]),
        ContactFilter(assigned_to=olga.id),
        ContactFilter(my_status="working", tags=["vip"], lead_statuses=["engaged"], assigned_to=olga.id, search="ad"),
    ):
        assert [contact.id for contact in (await contacts.list(workspace.id, filter)).items] == [mine.id], filter
    for filter in (
        ContactFilter(my_status="working", search="bob"),
        ContactFilter(my_status="working", tags=["none"]),
        ContactFilter(my_status="working", lead_statuses=["lost"]),
        ContactFilter(tags=["vip"], lead_statuses=[]),
    ):
        assert (await contacts.list(workspace.id, filter)).items == [], filter


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"p_limit": 0}, "limit"),
        ({"p_limit": 201}, "limit"),
        ({"p_limit": None}, "limit"),
        ({"p_sort": "phone"}, "sort"),
        ({"p_sort": None}, "sort"),
        ({"p_after": "nonsense"}, "after"),
        ({"p_after": f"{UUID(int=1)}:now()"}, "after"),
        ({"p_after": f"{UUID(int=1)}:x", "p_sort": "created_at"}, "after"),
        ({"p_my_status": "cold"}, "my_status"),
        ({"p_follow_up": "someday"}, "due"),
    ],
)
async def test_a_list_says_what_is_wrong_with_the_question(arguments: dict[str, Any], field: str, world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    for function in ("list_contacts", "list_candidates"):
        answer = await post_rpc(
            world.clients.http,
            world.settings,
            function,
            olga.access_token,
            p_workspace_id=str(workspace.id),
            **arguments,
        )
        assert (answer.status_code, answer.json()["message"]) == (400, "invalid_value"), answer.text
        assert f'"field": "{field}"' in answer.json()["details"]


async def test_many_are_estimated_and_few_counted(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    await world.rows(
        "insert into contacts (workspace_id, name) select %s, 'n' || i from generate_series(1, 6000) as i returning 1",
        workspace.id,
    )
    await world.database.execute("analyze contacts")
    exact = await Contacts(olga.client).count(workspace.id)
    estimate = await Contacts(olga.client).count(workspace.id, exact=False)
    assert (exact.count, exact.is_exact) == (6000, True)
    assert not estimate.is_exact
    assert 5001 <= estimate.count < 12000
    few = await Contacts(olga.client).count(workspace.id, ContactFilter(search="n123"), exact=False)
    assert (few.count, few.is_exact) == (11, True)


# --- One contact ---


async def test_a_patch_changes_the_named_fields_of_one_contact(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    contacts = Contacts(olga.client)
    ada = await contact_of(olga, workspace, name="Ada", email="Ada@Example.com", tags=["a"])
    bystander = await contact_of(olga, workspace, name="Bob")
    assert ada.email == "ada@example.com"

    patched = await contacts.update(ada.id, ContactPatch(phone="+49 (170) 123-45.67", email=None))

    assert (patched.phone, patched.email, patched.name, patched.tags) == ("+491701234567", None, "Ada", ["a"])
    assert patched.updated_at > ada.updated_at
    fresh = await contacts.get(ada.id)
    assert fresh.model_dump(include=set(type(patched).model_fields)) == patched.model_dump()
    assert (await contacts.get(bystander.id)).updated_at == bystander.updated_at


@pytest.mark.parametrize(
    ("patch", "code", "field"),
    [
        ({"nmae": "Ada"}, "field_unknown", "nmae"),
        ({"status": "hot"}, "field_unknown", "status"),
        ({"follow_up_at": "2030-01-01"}, "field_unknown", "follow_up_at"),
        ({"workspace_id": str(UUID(int=1))}, "field_unknown", "workspace_id"),
        ({"name": ""}, "invalid_value", "name"),
        ({"name": 5}, "invalid_value", "name"),
        ({"email": "nobody"}, "invalid_value", "email"),
        ({"email": "  "}, "invalid_value", "email"),
        ({"phone": "0170 1234567"}, "invalid_value", "phone"),
        ({"phone": ""}, "invalid_value", "phone"),
        ({"tags": "vip"}, "invalid_value", "tags"),
        ({"tags": [1]}, "invalid_value", "tags"),
        ({"tags": None}, "invalid_value", "tags"),
        ({"source": None}, "invalid_value", "source"),
        ({"assigned_to": "somebody"}, "invalid_value", "assigned_to"),
        ({"assigned_to": str(UUID(int=1))}, "invalid_value", "assigned_to"),
        ({"lead_status": "booked"}, "lead_status_invalid", "lead_status"),
        ({"lead_status": None}, "lead_status_invalid", "lead_status"),
        ([], "invalid_value", "fields"),
    ],
)
async def test_a_bad_patch_changes_nothing_and_names_the_field(patch: Any, code: str, field: str, world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    contact = await contact_of(olga, workspace)
    before = await shared_rows(world, workspace.id)
    answer = await post_rpc(
        world.clients.http, world.settings, "update_contact", olga.access_token,
        p_contact_id=str(contact.id), p_patch=patch,
    )  # fmt: skip
    assert (answer.status_code, answer.json()["message"]) == (400, code), answer.text
    assert f'"field": "{field}"' in answer.json()["details"]
    assert await shared_rows(world, workspace.id) == before


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"name": "Ada", "tags": [None]}, "invalid_value", "tags"),
        ({"name": "Ada", "tags": ["x" * 101]}, "invalid_value", "tags"),
        ({"name": "Ada", "tags": [f"{n}" for n in range(51)]}, "invalid_value", "tags"),
        ({"name": "Ada", "source": ""}, "invalid_value", "source"),
        ({"name": " "}, "invalid_value", "name"),
        ({"phone": "0170"}, "invalid_value", "phone"),
        ({"name": "Ada", "lead_status": "booked"}, "lead_status_invalid", "lead_status"),
        ({}, "invalid_value", "name"),
    ],
)
async def test_a_contact_inserted_by_table_is_held_to_the_same_rules(
    fields: dict[str, Any], code: str, field: str, world: World
) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")

    answer = await insert_contact(world, olga, workspace, **fields)

    assert (answer.status_code, answer.json()["message"]) == (400, code)
    assert json.loads(answer.json()["details"])["field"] == field
    assert (await Contacts(olga.client).list(workspace.id)).items == []


async def test_a_contact_inserted_by_table_is_brought_to_its_normal_form(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")

    await insert_contact(
        world, olga, workspace, name=" Ada ", email=" ADA@Example.com", phone="0049 170 1234567", tags=["vip"]
    )

    [ada] = (await Contacts(olga.client).list(workspace.id)).items
    assert (ada.name, ada.email, ada.phone, ada.tags) == ("Ada", "ada@example.com", "+491701234567", ["vip"])
    assert (ada.lead_status, ada.source, ada.created_by) == ("new", "manual", olga.id)


async def insert_contact(world: World, user: User, workspace: Workspace, **fields: Any) -> httpx.Response:
    """Past every function, as row security lets members do."""
    return await world.clients.http.post(
        f"{world.settings.supabase_url}/rest/v1/contacts",
        headers={"apikey": world.settings.require("publishable_key"), "authorization": f"Bearer {user.access_token}"},
        json={"workspace_id": str(workspace.id), "created_by": str(user.id), **fields},
    )


async def test_what_is_another_contacts_is_refused_with_its_id(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    phone = f"+1{digits(10)}"
    ada = await contact_of(olga, workspace, email="ada@example.com", phone=phone)
    bob = await contact_of(olga, workspace, name="Bob")
    for fields, field in (({"email": "ADA@example.com"}, "email"), ({"phone": phone}, "phone")):
        with pytest.raises(Conflict) as created:
            await Contacts(olga.client).create(workspace.id, ContactPatch(**fields))
        with pytest.raises(Conflict) as updated:
            await Contacts(olga.client).update(bob.id, ContactPatch(**fields))
        for error in (created, updated):
            assert error.value.code == "contact_exists"
            assert error.value.detail == {"field": field, "contact_id": str(ada.id)}
    candidate = await candidate_of(olga, workspace, email="ada@example.com")
    with pytest.raises(Conflict) as conflict:
        await Candidates(olga.client).create(workspace.id, CandidatePatch(email="ada@example.com"))
    assert conflict.value.detail == {"field": "email", "candidate_id": str(candidate.id)}


async def test_a_candidate_is_updated_rated_and_deleted(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    candidates = Candidates(olga.client)
    ada = await candidate_of(olga, workspace, name="Ada", status_tags=["A"])
    await candidates.set_settings(ada.id, CandidateSettingsPatch(status="C", follow_up_at=SOON))
    rated = await candidates.update(ada.id, CandidatePatch(status_tags=["A", "B"], email="Ada@Example.com"))
    assert (rated.status_tags, rated.email) == (["A", "B"], "ada@example.com")
    assert (await candidates.get(ada.id)).my_status == "C", "ratings and personal status are two things"
    answer = await post_rpc(
        world.clients.http, world.settings, "update_candidate", olga.access_token,
        p_candidate_id=str(ada.id), p_patch={"status_tags": ["D"]},
    )  # fmt: skip
    assert (answer.status_code, answer.json()["message"]) == (400, "invalid_value")
    await candidates.delete(ada.id)
    with pytest.raises(NotFound) as error:
        await candidates.get(ada.id)
    assert error.value.code == "candidate_not_found"
    assert (await FollowUps(olga.client).list()).items == []


# --- Deleting ---


async def test_deleting_takes_everything_along_and_says_how_much(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    olga, bob = await world.user("olga"), await world.user("bob")
    number = await world.number(workspace)
    phone = f"+{digits(11)}"
    thread = await world.thread(number, sender=phone)
    assert thread.contact_id is not None
    await Threads(olga.client).send_text(thread.id, "Hello back")
    await Notes(olga.client).add(thread.contact_id, "Important")
    await CallLogs(olga.client).log(thread.contact_id, "answered", duration_seconds=30)
    await Contacts(bob.client).set_settings(thread.contact_id, ContactSettingsPatch(status="hot", follow_up_at=SOON))

    deleted = await Contacts(olga.client).delete(thread.contact_id)

    assert deleted.model_dump() == {
        "notes": 1, "conversations": 1, "messages": 2, "call_logs": 1, "leads": 0, "my_settings": 0
    }, "what Bob had isn't told"  # fmt: skip
    tables = await world.rows(
        """
        select relation.relname, attribute.attname from pg_attribute as attribute
        join pg_class as relation on relation.oid = attribute.attrelid
        where attribute.attname like '%%contact_id' and relation.relkind = 'r'
          and relation.relnamespace = 'public'::regnamespace
        """
    )
    assert len(tables) > 6
    for table, column in tables:
        left = await world.scalar(f"select count(*) from {table} where {column} = %s", thread.contact_id)
        assert left == 0, table
    assert await personal_rows(world, workspace.id) == []
    assert await world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id) == 0
    with pytest.raises(NotFound) as error:
        await Contacts(olga.client).delete(thread.contact_id)
    assert error.value.code == "contact_not_found"

    again = await world.thread(number, sender=phone, text="It's me again")
    assert again.contact_id not in (None, thread.contact_id), "whoever writes again is a new contact, and seen"
    page = await Contacts(olga.client).list(workspace.id)
    assert [contact.id for contact in page.items] == [again.contact_id]


# --- Merging ---


async def test_merging_moves_everything_to_the_survivor(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="member")
    olga, bob = await world.user("olga"), await world.user("bob")
    shared, other = await world.number(workspace), await world.number(workspace)
    phones = [f"+{digits(11)}", f"+{digits(11)}"]
    kept_thread = await world.thread(shared, sender=phones[0], text="from the old phone")
    lost_thread = await world.thread(shared, sender=phones[1], text="from the new phone")
    moved_thread = await world.thread(other, sender=phones[1], text="to your other number")
    survivor, duplicate = kept_thread.contact_id, lost_thread.contact_id
    assert survivor is not None
    assert duplicate is not None
    contacts, calls = Contacts(olga.client), CallLogs(olga.client)
    queued = await Threads(olga.client).send_text(lost_thread.id, "On its way")
    await contacts.update(survivor, ContactPatch(name="Ada", tags=["a"]))
    await contacts.update(duplicate, ContactPatch(name="A. L.", email="ada@example.com", tags=["b"], status_tags=["A"]))
    await Notes(olga.client).add(duplicate, "Prefers mornings")
    await calls.log(duplicate, "no_answer")
    later = SOON + timedelta(days=3)
    await contacts.set_settings(survivor, ContactSettingsPatch(status="hot", follow_up_at=later, follow_up_note="one"))
    await contacts.set_settings(
        duplicate, ContactSettingsPatch(status="working", follow_up_at=SOON, follow_up_note="two")
    )
    await Contacts(bob.client).set_settings(duplicate, ContactSettingsPatch(status="follow_up", follow_up_at=SOON))

    merged = await contacts.merge(survivor, duplicate)

    assert (merged.contact.name, merged.contact.email, merged.contact.phone) == ("Ada", "ada@example.com", phones[0])
    assert (merged.contact.tags, merged.contact.status_tags) == (["a", "b"], ["A"])
    assert merged.moved.model_dump() == {"conversations": 2, "notes": 1, "call_logs": 1, "leads": 0}
    with pytest.raises(NotFound):
        await contacts.get(duplicate)
    assert [contact.id for contact in (await contacts.list(workspace.id)).items] == [survivor]
    assert {thread.id for thread in await contacts.conversations(survivor)} == {kept_thread.id, moved_thread.id}
    messages = await Threads(olga.client).messages(kept_thread)
    assert {message.body for message in messages} == {"from the old phone", "from the new phone", "On its way"}
    assert [note.body for note in await Notes(olga.client).list(survivor)] == ["Prefers mornings"]
    assert len(await calls.list(survivor)) == 1
    mine, bobs = await contacts.get(survivor), await Contacts(bob.client).get(survivor)
    assert (mine.my_status, mine.follow_up_at, mine.follow_up_note) == ("hot", SOON, "one\ntwo")
    assert (bobs.my_status, bobs.follow_up_at, bobs.follow_up_note) == ("follow_up", SOON, None)
    kinds = [item.kind for item in (await contacts.timeline(survivor)).items]
    assert kinds.count("message") == 4
    assert {"note", "call", "merged"} <= set(kinds)

    # What was queued still leaves, once, in the thread's line.
    [[status, thread_id]] = await world.rows(
        "select status, thread_id from outbox_messages where id = %s", queued.outbox_id
    )
    assert (status, thread_id) == ("queued", kept_thread.id)
    ready = "select count(*) from private.outbox_ready as ready where ready.id = %s"
    assert await world.scalar(ready, queued.outbox_id) == 1

    # Both phones still reach the person, and what is imported again doesn't bring the duplicate back.
    for phone in phones:
        thread = await world.thread_of(shared, phone)
        assert (thread.id, thread.contact_id) == (kept_thread.id, survivor)
    rows = [ImportRow(email="ada@example.com", phone=phones[1], name="Ada")]
    outcomes = await contacts.import_rows(workspace.id, rows, dry_run=False)
    assert [(outcome.outcome, outcome.id) for outcome in outcomes] == [("skipped", survivor)]


@pytest.mark.parametrize(
    ("kept", "lost", "expected"),
    [
        (("closed", "low", None), ("pending", "urgent", None), ("pending", "urgent", None)),
        (("closed", "normal", None), ("snoozed", "low", SOON), ("snoozed", "normal", SOON)),
        (("snoozed", "high", SOON + timedelta(days=1)), ("snoozed", "high", SOON), ("snoozed", "high", SOON)),
        (("snoozed", "normal", SOON), ("closed", "normal", None), ("snoozed", "normal", SOON)),
        (("snoozed", "normal", SOON), ("pending", "normal", None), ("pending", "normal", None)),
        (("pending", "normal", None), ("open", "normal", None), ("open", "normal", None)),
        (("closed", "normal", None), ("closed", "normal", None), ("closed", "normal", None)),
    ],
)
async def test_of_two_conversations_that_become_one_the_state_that_asks_more_stays(
    world: World, kept: tuple[Any, ...], lost: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    number = await world.number(workspace)
    threads = [await world.thread(number) for _ in range(2)]
    for thread, state in zip(threads, (kept, lost), strict=True):
        await world.rows(
            "update wa_threads set (status, priority, snoozed_until) = (%s, %s, %s) where id = %s returning 1",
            *state,
            thread.id,
        )
    survivor, duplicate = (thread.contact_id for thread in threads)
    assert survivor is not None
    assert duplicate is not None

    await Contacts(olga.client).merge(survivor, duplicate)

    found = await world.rows(
        "select status, priority, snoozed_until from wa_threads where workspace_id = %s", workspace.id
    )
    assert found == [expected]


async def test_a_merge_knows_every_table_that_refers_to_contacts(world: World) -> None:
    """Whoever adds a reference to contacts has to say what a merge does with it."""
    [[body]] = await world.rows("select prosrc from pg_proc where proname = 'merge_contacts'")
    referring = await world.rows(
        "select distinct conrelid::regclass::text from pg_constraint"
        " where contype = 'f' and confrelid = 'contacts'::regclass"
    )
    assert len(referring) >= 8
    assert [table for (table,) in referring if f"public.{table.removeprefix('public.')}" not in body] == []


async def test_a_merge_is_within_one_workspace_and_of_two(world: World) -> None:
    workspace, foreign = await world.workspace(), await world.workspace(owner="mallory")
    olga, mallory = await world.user("olga"), await world.user("mallory")
    mine, theirs = await contact_of(olga, workspace), await contact_of(mallory, foreign)
    answers = set()
    for id in (theirs.id, uuid4()):
        for pair in ((mine.id, id), (id, mine.id)):
            with pytest.raises(NotFound) as error:
                await Contacts(olga.client).merge(*pair)
            answers.add(str(error.value.to_dict()).replace(str(id), "<id>"))
    assert len(answers) <= 2
    with pytest.raises(InvalidInput):
        await Contacts(olga.client).merge(mine.id, mine.id)


async def test_merging_a_chain_leads_to_the_last(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    contacts = Contacts(olga.client)
    first = await contact_of(olga, workspace, email="first@example.com")
    second = await contact_of(olga, workspace, email="second@example.com")
    third = await contact_of(olga, workspace, email="third@example.com")
    await contacts.merge(second.id, first.id)
    await contacts.merge(third.id, second.id)
    rows = [ImportRow(email="first@example.com"), ImportRow(email="second@example.com")]
    outcomes = await contacts.import_rows(workspace.id, rows)
    assert {outcome.id for outcome in outcomes} == {third.id}
    deleted = await contacts.delete(third.id)
    assert deleted.conversations == 0
    assert await world.scalar("select count(*) from contacts where workspace_id = %s", workspace.id) == 0


# --- Duplicates ---


async def test_likely_duplicates_are_found_with_the_reason(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    pairs = {
        name: [await contact_of(olga, workspace, **fields) for fields in both]
        for name, both in {
            "name": ({"name": "Ada Lovelace"}, {"name": "ada lovelace"}),
            "form": ({"phone": "+5511987654321"}, {"phone": "+551187654321"}),
            "known": ({"name": "X"}, {"name": "Y"}),
        }.items()
    }
    await contact_of(olga, workspace, name="Somebody else")
    first, second = sorted(contact.id for contact in pairs["known"])
    await world.rows(
        "insert into contact_duplicates values (%s, %s, %s, 'They said so.') returning 1", workspace.id, first, second
    )
    found = await Contacts(olga.client).duplicates(workspace.id)
    assert {(frozenset((pair.contact_id, pair.duplicate_id)), pair.reason) for pair in found} == {
        (frozenset(contact.id for contact in pairs["name"]), "They have the same name."),
        (frozenset(contact.id for contact in pairs["form"]), "Their numbers are two forms of one."),
        (frozenset(contact.id for contact in pairs["known"]), "They said so."),
    }
    await Contacts(olga.client).merge(first, second)
    assert len(await Contacts(olga.client).duplicates(workspace.id)) == 2
    assert len(await Contacts(olga.client).duplicates(workspace.id, limit=1)) == 1


async def test_a_pair_that_is_two_people_is_listed_no_more(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    contacts = Contacts(olga.client)
    for fields in ({"name": "Ada"}, {"name": "ada"}, {"phone": "+5511987654321"}, {"phone": "+551187654321"}):
        await contact_of(olga, workspace, **fields)
    known = sorted([(await contact_of(olga, workspace, name=name)).id for name in ("X", "Y")])
    await world.rows("insert into contact_duplicates values (%s, %s, %s, 'So.') returning 1", workspace.id, *known)
    for left in (2, 1, 0):
        pair = (await contacts.duplicates(workspace.id))[0]
        for ids in ((pair.contact_id, pair.duplicate_id), (pair.duplicate_id, pair.contact_id)):
            await contacts.dismiss_duplicate(*ids)
        assert len(await contacts.duplicates(workspace.id, limit=1000)) == left
    assert (await contacts.count(workspace.id)).count == 6


# --- Timeline ---


async def test_the_timeline_joins_all_kinds_in_pages(world: World) -> None:
    workspace, olga = await world.workspace(), await world.user("olga")
    number = await world.number(workspace)
    thread = await world.thread(number, text="first")
    assert thread.contact_id is not None
    contacts = Contacts(olga.client)
    await contacts.update_status(thread.contact_id, "engaged")
    note = await Notes(olga.client).add(thread.contact_id, "a note")
    await CallLogs(olga.client).log(thread.contact_id, "voicemail", note="left a word")
    await contacts.update_status(thread.contact_id, "qualified")
    await contacts.set_settings(thread.contact_id, ContactSettingsPatch(status="hot", follow_up_at=SOON))
    # Everything at one moment: then only the ids decide.
    for table, column in (("contact_notes", "created_at"), ("contact_call_logs", "called_at")):
        await world.rows(
            f"update {table} set {column} = '2026-01-01Z' where contact_id = %s returning 1", thread.contact_id
        )
    await world.rows(
        "insert into contact_notes (workspace_id, contact_id, body, created_at)"
        " select %s, %s, 'n' || i, '2026-01-01Z' from generate_series(1, 7) as i returning 1",
        workspace.id,
        thread.contact_id,
    )

    whole = (await contacts.timeline(thread.contact_id)).items
    assert sorted(item.kind for item in whole) == sorted(
        ["message", "call", "lead_status_changed", "lead_status_changed"] + ["note"] * 8
    )
    assert [item.occurred_at for item in whole] == sorted((item.occurred_at for item in whole), reverse=True)
    changes = [item.detail for item in whole if item.kind == "lead_status_changed"]
    assert changes == [{"from": "engaged", "to": "qualified"}, {"from": "new", "to": "engaged"}]
    assert {item.actor_id for item in whole if item.kind == "lead_status_changed"} == {olga.id}
    paged, after = [], None
    while True:
        page = await contacts.timeline(thread.contact_id, after=after, limit=2)
        paged += page.items
        if (after := page.next) is None:
            break
    assert [item.id for item in paged] == [item.id for item in whole]
    assert str(note.id) in {item.id for item in paged}


# --- Notes ---


async def test_notes_belong_to_their_author(world: World) -> None:
    workspace = await world.workspace(owner="olga", bob="member", carl="member")
    bob, carl, olga = await world.user("bob"), await world.user("carl"), await world.user("olga")
    contact = await contact_of(bob, workspace)
    note = await Notes(bob.client).add(contact.id, "  first  ")
    assert (note.body, note.author_id) == ("first", bob.id)
    assert (await Notes(bob.client).update(note.id, "second")).body == "second"
    for user in (carl, olga):
        with pytest.raises(NotFound) as error:
            await Notes(user.client).update(note.id, "mine")
        assert error.value.code == "note_not_found"
    await Notes(olga.client).delete(note.id)
    assert await Notes(bob.client).list(contact.id) == []
