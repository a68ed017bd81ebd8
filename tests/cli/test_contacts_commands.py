"""`qero contacts` and `qero followups` as people and scripts start them."""

from __future__ import annotations

import asyncio
import csv
import importlib
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from qero import Contacts, Settings
from qero.models.contact import ContactFilter, ContactPatch
from qero.models.personal import ContactSettingsPatch
from qero.models.workspace import Workspace
from tests.services.people import contact_of
from tests.support import User, World
from tests.worker.support import QERO, environment

commands = importlib.import_module("tests.cli.test_commands")

PEOPLE = """First Name;Last Name;E-mail;Mobile;Stage;Labels;Shoe size
Ada;Lovelace;ADA@example.com;0170 1234567;Engaged;vip, eu;38
Bob;;bob@example.com;+44 (0)20 7946 0958;;;
;;;;;;
Carl;;nobody;;;;
Dora;;dora@example.com;;booked;;
Eve;;ada@example.com;;;;
Nameless;;;;;;
"Fay
Two lines";;fay@example.com;;;;
"""


@pytest.fixture
async def olga(world: World) -> User:
    return await world.user("olga")


@pytest.fixture
async def workspace(world: World, olga: User) -> Workspace:
    return await world.workspace()


@pytest.fixture
def env(settings: Settings, olga: User) -> dict[str, str]:
    return {**environment(settings), "QERO_ACCESS_TOKEN": olga.access_token}


async def run(folder: Path, env: dict[str, str], *arguments: object, answer: str = "") -> Any:
    process = await asyncio.create_subprocess_exec(
        QERO, *map(str, arguments), cwd=folder, env={"PATH": "/usr/bin:/bin", "COLUMNS": "250", **env},
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await asyncio.wait_for(process.communicate(answer.encode()), 60)
    return commands.Ended(process.returncode, out.decode(), err.decode())


async def test_an_import_tries_first_asks_and_reports_each_row(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, olga: User
) -> None:
    (tmp_path / "people.csv").write_text(PEOPLE, encoding="utf-8-sig")
    arguments = ("contacts", "import", workspace.slug, "people.csv", "--region", "de", "--report", "outcome.csv")

    refused = await run(tmp_path, env, *arguments, answer="n\n")

    assert refused.code == 1, "some rows are invalid"
    assert "7 rows: 3 created, 0 updated, 1 skipped, 3 invalid (nothing is written yet)" in refused.out
    assert "Ignored columns: Shoe size" in refused.out
    assert (await Contacts(olga.client).list(workspace.id)).items == []

    unasked = await run(tmp_path, env, *arguments)

    assert unasked.code == 1
    assert "--yes goes on without asking" in unasked.err
    assert (await Contacts(olga.client).list(workspace.id)).items == []

    done = await run(tmp_path, env, *arguments, answer="y\n")

    assert done.code == 1
    [summary, *invalid] = done.out.splitlines()[-4:]
    assert summary == "7 rows: 3 created, 0 updated, 1 skipped, 3 invalid"
    assert [line.startswith("Row ") for line in invalid] == [True, True, True]
    assert invalid[-1] == "Row 8: it has neither e-mail nor phone"
    found = {contact.email: contact for contact in (await Contacts(olga.client).list(workspace.id)).items}
    assert found.keys() == {"ada@example.com", "bob@example.com", "fay@example.com"}
    ada = found["ada@example.com"]
    assert (ada.name, ada.phone, ada.lead_status, ada.tags) == (
        "Ada Lovelace",
        "+491701234567",
        "engaged",
        ["vip", "eu"],
    )
    assert found["bob@example.com"].phone == "+442079460958"
    assert ada.source == "import"
    with (tmp_path / "outcome.csv").open() as file:
        report = {int(row["row"]): row for row in csv.DictReader(file)}
    assert {number: row["outcome"] for number, row in report.items()} == {
        2: "created", 3: "created", 5: "invalid", 6: "invalid", 7: "skipped", 8: "invalid", 10: "created",
    }  # fmt: skip
    assert report[2]["id"] == str(ada.id)
    assert report[5]["problems"] == "email: no e-mail address"
    assert "booked" not in report[6]["problems"]
    assert "lead_status: none of new" in report[6]["problems"]
    assert report[7]["problems"] == "it repeats row 2"
    assert report[8]["problems"] == "it has neither e-mail nor phone"

    # Again, as a program: nothing is asked and nothing changes.
    again = await run(
        tmp_path,
        env,
        "contacts",
        "import",
        workspace.slug,
        "people.csv",
        "--region",
        "DE",
        "--json",
        "--report",
        "o.json",
    )
    assert (again.code, json.loads(again.out)) == (
        1,
        {
            "dry_run": False, "rows": 7, "created": 0, "updated": 0, "skipped": 4, "invalid": 3,
            "first_invalid": [{"row": row, "problems": [report[row]["problems"]]} for row in (5, 6, 8)],
            "ignored_columns": ["Shoe size"],
        },
    )  # fmt: skip
    outcomes = json.loads((tmp_path / "o.json").read_text())
    assert [row["row"] for row in outcomes] == [2, 3, 5, 6, 7, 8, 10]
    assert outcomes[0]["problems"] == ["nothing to change"]


async def test_columns_can_be_named_and_what_exists_left_alone(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, olga: User
) -> None:
    await contact_of(olga, workspace, name="Ada", email="ada@example.com")
    (tmp_path / "crm.csv").write_text("who,Kontakt,Notes\nAda L.,ada@example.com,x\nBob,bob@example.com,y\n", "latin-1")
    given = ("contacts", "import", workspace.slug, "crm.csv", "--map", "Kontakt=email", "--map", "who=name", "--yes")
    tried = await run(tmp_path, env, *given, "--dry-run")
    assert (tried.code, "1 created, 1 updated" in tried.out) == (0, True)
    kept = await run(tmp_path, env, *given, "--no-update")
    assert (kept.code, "1 created, 0 updated, 1 skipped" in kept.out) == (0, True)
    changed = await run(tmp_path, env, *given)
    assert "0 created, 1 updated, 1 skipped" in changed.out
    names = {contact.name for contact in (await Contacts(olga.client).list(workspace.id)).items}
    assert names == {"Ada L.", "Bob"}
    candidates = await run(tmp_path, env, *given, "--into", "candidates")
    assert "2 created" in candidates.out


@pytest.mark.parametrize(
    ("content", "options", "problem"),
    [
        (b"", [], "No column holds e-mails"),
        (b"name,shoe\nAda,38\n", [], "No column holds e-mails"),
        (b"email\nx\n", ["--map", "mail=email"], "There is no column 'mail'"),
        (b"email\nx\n", ["--map", "email=iban"], "There is no field 'iban'"),
        (b"email\nx\n", ["--map", "email"], "--map COLUMN=FIELD"),
        (b"email\nx\n", ["--region", "XX"], "region"),
        (b"email\nx\n", ["--encoding", "nonsense"], "--encoding"),
        (b"email\nx\n", ["--report", "out.txt"], ".csv or .json"),
        (b"email\n\xff\xfe\n", [], "line"),
        (b'email\n"' + b"x" * 200_000 + b'"\n', [], "line"),
    ],
)
async def test_a_file_that_cannot_be_read_is_explained(
    content: bytes, options: list[str], problem: str, tmp_path: Path, env: dict[str, str], workspace: Workspace
) -> None:
    (tmp_path / "file.csv").write_bytes(content)
    ended = await run(tmp_path, env, "contacts", "import", workspace.slug, "file.csv", "--yes", *options)
    assert ended.code == 1
    assert problem in ended.err
    assert "Traceback" not in ended.err


async def test_what_is_exported_can_be_imported_and_holds_no_formula(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, olga: User
) -> None:
    contacts = Contacts(olga.client)
    await contact_of(olga, workspace, name='=cmd|"/c calc"!A1', email="evil@example.com", phone="+4917012345678")
    ada = await contact_of(olga, workspace, name="Ada, the\n2nd", email="ada@example.com", tags=["a", "b"])
    await contacts.set_settings(ada.id, ContactSettingsPatch(status="hot"))
    await contacts.create(workspace.id, ContactPatch(name="Zoë", lead_status="lost", email="zoe@example.com"))

    exported = await run(tmp_path, env, "contacts", "export", workspace.slug, "--sort", "name", "-o", "all.csv")
    assert (exported.code, exported.out) == (0, "")
    with (tmp_path / "all.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["email"]: row for row in csv.DictReader(file)}
    assert rows["evil@example.com"]["name"].startswith("'=cmd")
    assert rows["evil@example.com"]["phone"] == "+4917012345678"
    assert (rows["ada@example.com"]["name"], rows["ada@example.com"]["tags"]) == ("Ada, the\n2nd", "a, b")
    assert rows["ada@example.com"]["my_status"] == "hot"
    assert "cursor" not in rows["ada@example.com"]

    back = await run(tmp_path, env, "contacts", "import", workspace.slug, "all.csv", "--dry-run", "--json")
    assert json.loads(back.out) | {"ignored_columns": []} == {
        "dry_run": True, "rows": 3, "created": 0, "updated": 1, "skipped": 2, "invalid": 0, "first_invalid": [],
        "ignored_columns": [],
    }, "only the name with the apostrophe differs"  # fmt: skip

    lost = await run(tmp_path, env, "contacts", "export", workspace.slug, "--lead-status", "lost", "--json")
    assert [contact["name"] for contact in json.loads(lost.out)] == ["Zoë"]
    empty = await run(tmp_path, env, "contacts", "export", workspace.slug, "--search", "nobody")
    assert next(csv.reader(io.StringIO(empty.out)))[:2] == ["id", "workspace_id"]
    assert len(empty.out.splitlines()) == 1


async def test_contacts_are_listed_shown_found_double_and_merged(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, olga: User
) -> None:
    first = await contact_of(olga, workspace, name="Ada Lovelace", email="ada@example.com")
    second = await contact_of(olga, workspace, name="Ada Lovelace", phone="+4917012345678")
    await contact_of(olga, workspace, name="Bob")
    await Contacts(olga.client).set_settings(first.id, ContactSettingsPatch(status="hot"))

    listed = await run(tmp_path, env, "contacts", "list", workspace.slug, "--search", "lovelace", "--json")
    assert {contact["id"] for contact in json.loads(listed.out)["items"]} == {str(first.id), str(second.id)}
    paged = await run(tmp_path, env, "contacts", "list", workspace.slug, "--limit", "2")
    assert paged.out.splitlines()[-1].startswith("More: --after ")
    rest = await run(
        tmp_path,
        env,
        "contacts",
        "list",
        workspace.slug,
        "--limit",
        "2",
        "--after",
        paged.out.split("--after ")[1].strip(),
    )
    assert str(first.id) in rest.out
    counted = await run(tmp_path, env, "contacts", "list", workspace.slug, "--my-status", "hot", "--count")
    assert counted.out == "1\n"
    wrong = await run(tmp_path, env, "contacts", "list", workspace.slug, "--lead-status", "booked", "--json")
    assert (wrong.code, wrong.problem()["code"]) == (1, "lead_status_invalid")
    missing = await run(tmp_path, env, "contacts", "show", uuid4(), "--json")
    assert missing.problem()["code"] == "contact_not_found"

    found = json.loads((await run(tmp_path, env, "contacts", "duplicates", workspace.slug, "--json")).out)
    assert [{pair["contact_id"], pair["duplicate_id"]} for pair in found] == [{str(first.id), str(second.id)}]
    third = await contact_of(olga, workspace, name="ada lovelace", email="other@example.com")
    said = await run(tmp_path, env, "contacts", "dismiss", third.id, second.id)
    assert (said.code, "stay two" in said.out) == (0, True)
    await Contacts(olga.client).delete(third.id)
    kept = await run(tmp_path, env, "contacts", "merge", first.id, second.id, answer="n\n")
    assert kept.code == 1
    assert "for good?" in kept.err
    merged = await run(tmp_path, env, "contacts", "merge", first.id, second.id, "--yes")
    assert (merged.code, "Ada Lovelace has everything now" in merged.out) == (0, True)
    shown = json.loads((await run(tmp_path, env, "contacts", "show", first.id, "--json")).out)
    assert (shown["contact"]["phone"], shown["contact"]["my_status"]) == ("+4917012345678", "hot")
    assert [item["kind"] for item in shown["timeline"]] == ["merged"]
    assert "Ada Lovelace" in (await run(tmp_path, env, "contacts", "show", first.id)).out


async def test_followups_are_listed_by_urgency_with_their_counts(
    tmp_path: Path, env: dict[str, str], workspace: Workspace, olga: User
) -> None:
    for name, days in (("Later", 40), ("Late", -2)):
        contact = await contact_of(olga, workspace, name=name)
        at = datetime.now(UTC) + timedelta(days=days)
        await Contacts(olga.client).set_settings(
            contact.id, ContactSettingsPatch(follow_up_at=at, follow_up_note=f"note of {name}")
        )
    shown = await run(tmp_path, env, "followups")
    assert shown.out.index("note of Late") < shown.out.index("note of Later")
    assert shown.out.splitlines()[-1] == "1 overdue, 0 today, 1 upcoming"
    due = json.loads(
        (await run(tmp_path, env, "followups", "--due", "due", "--workspace", workspace.slug, "--json")).out
    )
    assert [item["name"] for item in due["items"]] == ["Late"]
    assert due["counts"] == {"overdue": 1, "today": 0, "upcoming": 1}
    listed = await Contacts(olga.client).list(workspace.id, ContactFilter(follow_up="overdue"))
    assert [UUID(item["id"]) for item in due["items"]] == [contact.id for contact in listed.items]


async def test_without_a_token_every_command_says_so(tmp_path: Path, env: dict[str, str], workspace: Workspace) -> None:
    (tmp_path / "people.csv").write_text("email\nada@example.com\n")
    bare = {name: value for name, value in env.items() if name != "QERO_ACCESS_TOKEN"}
    for arguments in (
        ("contacts", "list", workspace.slug), ("contacts", "export", workspace.slug), ("followups",),
        ("contacts", "import", workspace.slug, "people.csv"),
    ):  # fmt: skip
        ended = await run(tmp_path, bare, *arguments, "--json")
        assert ended.code == 1
        assert json.loads(ended.err.splitlines()[-1])["error"]["code"] == "not_authenticated"
