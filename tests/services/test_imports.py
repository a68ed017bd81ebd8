"""Importing rows: what becomes of each, whatever is there already and however the file repeats itself."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from qero import Candidates, Contacts, InvalidInput, Unavailable
from qero.models.contact import ContactPatch
from qero.models.imports import ImportRow, RowOutcome
from qero.models.table_file import PeopleFile, international
from qero.models.workspace import Workspace
from qero.services.imports import import_all
from tests.services.people import contact_of, shared_rows
from tests.support import User, World, digits, post_rpc


@pytest.fixture
async def olga(world: World) -> User:
    return await world.user("olga")


@pytest.fixture
async def workspace(world: World, olga: User) -> Workspace:
    return await world.workspace()


def said(outcomes: Sequence[RowOutcome]) -> list[tuple[str, str]]:
    return [(outcome.outcome, "; ".join(outcome.problems)) for outcome in outcomes]


async def test_each_row_has_its_outcome_and_a_dry_run_says_the_same(
    world: World, olga: User, workspace: Workspace
) -> None:
    contacts = Contacts(olga.client)
    ada = await contact_of(olga, workspace, name="Ada", email="ada@example.com", tags=["a"], lead_status="engaged")
    bob = await contact_of(olga, workspace, name="Bob", phone="+491701111111")
    rows = [
        ImportRow(email="ADA@example.com ", phone="+49 170 2222222", tags=["b"]),
        ImportRow(phone="+491701111111", name="Robert"),
        ImportRow(phone="00491701111111", lead_status="lost"),
        ImportRow(email="ada@example.com", name="Another"),
        ImportRow(email="new@example.com", name="New", status_tags=["A"], lead_status="qualified"),
        ImportRow(email="ada@example.com", phone="+491701111111"),
        ImportRow(name="Nobody"),
        ImportRow(email="x", phone="0170", lead_status="booked", tags=[""], name="n" * 301),
        ImportRow(phone="+491701111111", email="other@example.com"),
    ]
    before = await shared_rows(world, workspace.id)

    tried = await contacts.import_rows(workspace.id, rows)
    assert await shared_rows(world, workspace.id) == before, "trying writes nothing"
    done = await contacts.import_rows(workspace.id, rows, dry_run=False)

    expected = [
        ("updated", ""),
        ("updated", ""),
        ("skipped", "it repeats row 2"),
        ("skipped", "it repeats row 1"),
        ("created", ""),
        ("invalid", f"its e-mail is one contact's and its phone another's: {ada.id}, {bob.id}"),
        ("invalid", "it has neither e-mail nor phone"),
        (
            "invalid",
            "name: longer than 300 characters; email: no e-mail address; phone: no number with its country, as "
            "+491701234567; lead_status: none of new, pending, queued, contacted, engaged, qualified, lost; "
            "tags: more than 50, or one that hasn't 1 to 100 characters",
        ),
        ("skipped", "it repeats row 2"),
    ]
    assert said(tried) == said(done) == expected
    assert [outcome.id for outcome in done[:2]] == [ada.id, bob.id]
    fresh = await contacts.get(ada.id)
    assert (fresh.name, fresh.phone, fresh.tags, fresh.lead_status) == ("Ada", "+491702222222", ["a", "b"], "engaged")
    assert (await contacts.get(bob.id)).name == "Robert"
    assert done[4].id is not None
    created = await contacts.get(done[4].id)
    assert (created.status_tags, created.lead_status, created.created_by) == (["A"], "qualified", olga.id)
    # The pair that one row names is reported for somebody to look at.
    [pair] = await contacts.duplicates(workspace.id)
    assert {pair.contact_id, pair.duplicate_id} == {ada.id, bob.id}

    settled = await shared_rows(world, workspace.id)
    again = await contacts.import_rows(workspace.id, rows, dry_run=False)
    assert {outcome.outcome for outcome in again} == {"skipped", "invalid"}
    assert await shared_rows(world, workspace.id) == settled, "repeating it changes nothing, not even a time"


@pytest.mark.parametrize("function", ["import_contacts", "import_candidates"])
@pytest.mark.parametrize("field", ["tags", "status_tags"])
async def test_a_tag_that_is_nothing_is_refused(
    world: World, olga: User, workspace: Workspace, function: str, field: str
) -> None:
    answer = await post_rpc(
        world.clients.http, world.settings, function, olga.access_token, p_workspace_id=str(workspace.id),
        p_rows=[{"email": "ada@example.com", field: ["A", None]}], p_dry_run=False,
    )  # fmt: skip

    [outcome] = answer.json()
    assert (outcome["outcome"], outcome["problems"][0][: len(field)]) == ("invalid", field)
    assert await shared_rows(world, workspace.id) == []


async def test_two_rows_that_name_one_contact_in_two_ways_count_once(olga: User, workspace: Workspace) -> None:
    ada = await contact_of(olga, workspace, email="ada@example.com", phone="+491701111111")
    rows = [ImportRow(email="ada@example.com", name="First"), ImportRow(phone="+491701111111", name="Second")]
    outcomes = await Contacts(olga.client).import_rows(workspace.id, rows, dry_run=False)
    assert said(outcomes) == [("updated", ""), ("skipped", "it is the contact of row 1")]
    assert (await Contacts(olga.client).get(ada.id)).name == "First"


async def test_somebody_known_on_whatsapp_is_not_made_again(world: World, olga: User, workspace: Workspace) -> None:
    number = await world.number(workspace)
    thread = await world.thread(number)
    assert thread.contact_id is not None
    contacts = Contacts(olga.client)
    known = (await contacts.get(thread.contact_id)).phone
    # Somebody has given the contact another number by hand; on WhatsApp it goes by the old one.
    other = f"+{digits(11)}"
    await contacts.update(thread.contact_id, ContactPatch(phone=other))
    [outcome] = await contacts.import_rows(workspace.id, [ImportRow(phone=known, name="Ada")], dry_run=False)
    assert (outcome.outcome, outcome.id) == ("updated", thread.contact_id)
    assert (await contacts.get(thread.contact_id)).phone == other


async def test_candidates_are_rated_with_a_b_and_c_only(olga: User, workspace: Workspace) -> None:
    candidates = Candidates(olga.client)
    rows = [
        ImportRow(email="ada@example.com", status_tags=["A", "B"]),
        ImportRow(email="bob@example.com", status_tags=["D"]),
        ImportRow(email="ada@example.com"),
    ]
    assert said(await candidates.import_rows(workspace.id, rows, dry_run=False)) == [
        ("created", ""), ("invalid", "status_tags: none of A, B, C"), ("skipped", "it repeats row 1"),
    ]  # fmt: skip
    later = [ImportRow(email="ada@example.com", status_tags=["C"], name="Ada")]
    assert said(await candidates.import_rows(workspace.id, later, dry_run=False)) == [("updated", "")]
    [ada] = (await candidates.list(workspace.id)).items
    assert (ada.name, ada.status_tags) == ("Ada", ["A", "B", "C"])
    assert said(await candidates.import_rows(workspace.id, later, dry_run=False)) == [("skipped", "nothing to change")]
    skipped = await candidates.import_rows(workspace.id, [ImportRow(email="ada@example.com", name="X")], update=False)
    assert said(skipped) == [("skipped", "it exists already")]


async def test_a_file_of_many_batches_counts_what_it_repeats_once(olga: User, workspace: Workspace) -> None:
    contacts = Contacts(olga.client)
    rows = [ImportRow(row=100 + n, email=f"p{n % 25}@example.com", name=f"N{n}") for n in range(60)]
    sent: list[int] = []

    async def send(batch: list[ImportRow]) -> list[RowOutcome]:
        sent.append(len(batch))
        return await contacts.import_rows(workspace.id, batch, dry_run=False)

    found = [entry async for batch in import_all(rows, send, batch=10) for entry in batch]

    assert [row.row for row, _ in found] == [row.row for row in rows], "in the order of the file"
    assert sum(sent) == 25
    assert [outcome.outcome for _, outcome in found] == ["created"] * 25 + ["skipped"] * 35
    assert found[25][1].problems == ["it repeats row 100"]
    assert {contact.name for contact in (await contacts.list(workspace.id)).items} == {f"N{n}" for n in range(25)}


async def test_a_number_with_its_country_in_either_way_repeats_the_other(olga: User, workspace: Workspace) -> None:
    async def send(batch: list[ImportRow]) -> list[RowOutcome]:
        return await Contacts(olga.client).import_rows(workspace.id, batch, dry_run=False)

    rows = [ImportRow(row=1, phone="+491702222222", name="First"), ImportRow(row=2, phone="0049 170 2222222", name="X")]
    found = [entry async for batch in import_all(rows, send, batch=1) for entry in batch]

    assert said([outcome for _, outcome in found]) == [("created", ""), ("skipped", "it repeats row 1")]


async def test_two_batches_are_on_their_way_at_once_but_one_that_repeats_waits() -> None:
    travelling: list[str] = []
    arrived = asyncio.Event()

    async def send(batch: list[ImportRow]) -> list[RowOutcome]:
        travelling.append(f"{batch[0].email} leaves")
        if batch[0].email == "p0@example.com":
            await arrived.wait()
        elif batch[0].email == "p2@example.com":
            arrived.set()
        travelling.append(f"{batch[0].email} is there")
        return [RowOutcome(outcome="created")] * len(batch)

    # The third batch repeats the second, which is still on its way when the first is there.
    rows = [ImportRow(row=n, email=f"p{n}@example.com") for n in (0, 1, 2, 3, 4, 3)]
    async with asyncio.timeout(10):
        found = [entry async for batch in import_all(rows, send, batch=2) for entry in batch]

    assert travelling[:2] == ["p0@example.com leaves", "p2@example.com leaves"]
    assert travelling.index("p4@example.com leaves") > travelling.index("p2@example.com is there")
    assert [outcome.outcome for _, outcome in found] == ["created"] * 5 + ["skipped"]
    assert [row.row for row, _ in found] == [0, 1, 2, 3, 4, 3]


async def test_an_error_ends_an_import_and_leaves_what_is_done(olga: User, workspace: Workspace) -> None:
    calls = 0

    async def send(batch: list[ImportRow]) -> list[RowOutcome]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise InvalidInput("invalid_value")
        return await Contacts(olga.client).import_rows(workspace.id, batch, dry_run=False)

    rows = [ImportRow(row=n, email=f"p{n}@example.com") for n in range(60)]
    told: list[int | None] = []

    async def listen() -> None:
        async for batch in import_all(rows, send, batch=10):
            assert {outcome.outcome for _, outcome in batch} == {"created"}
            told.extend(row.row for row, _ in batch)

    with pytest.raises(InvalidInput):
        await listen()
    assert told == [*range(10), *range(20, 30)], "what was on its way beside the failure is told too"
    assert (await Contacts(olga.client).count(workspace.id)).count == len(told), "and nothing else was sent"


async def test_a_batch_that_met_somebody_elses_is_sent_again(olga: User, workspace: Workspace) -> None:
    refused = [Unavailable("try_again"), Unavailable("network_error")]

    async def send(batch: list[ImportRow]) -> list[RowOutcome]:
        if refused:
            raise refused.pop()
        return await Contacts(olga.client).import_rows(workspace.id, batch, dry_run=False)

    rows = [ImportRow(row=n, email=f"p{n}@example.com") for n in range(3)]
    found = [outcome.outcome async for batch in import_all(rows, send) for _, outcome in batch]
    assert found == ["created"] * 3


@pytest.mark.parametrize(
    ("phone", "region", "expected"),
    [
        ("0170 1234567", "DE", "+491701234567"),
        ("(555) 234-5678", "US", "+15552345678"),
        ("+49 170 1234567", "US", "+49 170 1234567"),
        ("+44 (0)20 7946 0958", None, "+44 20 7946 0958"),
        ("0170 1234567", None, "0170 1234567"),
        ("1", "DE", "1"),
        ("call me", "DE", "call me"),
    ],
)
def test_numbers_without_their_country_get_it(phone: str, region: str | None, expected: str) -> None:
    assert international(phone, region) == expected


@pytest.mark.parametrize(
    ("header", "fields"),
    [
        ("Name,E-mail,Phone", {"name": 0, "email": 1, "phone": 2}),
        ("Vorname;Nachname;Telefon;E-Mail-Adresse", {"first_name": 0, "last_name": 1, "phone": 2, "email": 3}),
        ("Full Name\tMobile Phone\tLabels", {"name": 0, "phone": 1, "tags": 2}),
        ('"Email";"Email"', {"email": 0}),
        (" lead_status | email ", {"lead_status": 0, "email": 1}),
    ],
)
def test_columns_are_found_by_their_names(header: str, fields: dict[str, Any]) -> None:
    assert PeopleFile([f"{header}\n"]).columns.fields == fields
