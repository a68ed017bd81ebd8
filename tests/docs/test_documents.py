"""Documents that are generated, or that draw the code, say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import grimp
import pytest

from qero import Settings
from qero.errors import REGISTRY
from qero.local.toolchain import ensure_tools
from qero.ops import PLAYBOOK
from qero.ops.documents import generated_documents
from tests.sql.answers import answers_markdown

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generated(settings: Settings) -> dict[str, str]:
    pg_dump = ensure_tools().client_bin / "pg_dump"
    return generated_documents(settings.require("db_url"), pg_dump, ROOT, answers_markdown())


@pytest.mark.parametrize(
    "name",
    ["docs/errors.md", "docs/permissions.md", "docs/rollback.md", "docs/schema.sql", "qero/ops/catalogue.json"],
)
def test_a_generated_document_is_up_to_date(generated: dict[str, str], name: str) -> None:
    assert (ROOT / name).read_text() == generated[name], f"{name} is outdated: run scripts/docs"


def test_every_failure_of_the_runner_has_an_entry_in_the_playbook() -> None:
    entries = set(re.findall(r"^### ([a-z_]+)$", (ROOT / "docs" / "operations.md").read_text(), re.MULTILINE))
    files = [ROOT / "qero" / "cli" / "db.py", *(ROOT / "qero" / "ops").glob("*.py")]
    named = {code for file in files for code in re.findall(r'"([a-z_]+)"', file.read_text()) if code in REGISTRY}

    assert entries == PLAYBOOK
    assert named <= PLAYBOOK


def test_links_into_the_playbook_lead_somewhere() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    headings = {
        re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }

    assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_the_drawn_structure_matches_the_imports() -> None:
    drawing = (ROOT / "docs" / "architecture.md").read_text().split("```mermaid")[1].split("```")[0]
    drawn = set(re.findall(r"(\w+) --> (\w+)", drawing))
    graph = grimp.build_graph("qero")
    imports = {
        (importer.split(".")[1], imported.split(".")[1])
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if importer.count(".") and imported.count(".")
    }
    found = {(a, b) for a, b in imports if a != b and not a.startswith("__")}
    assert drawn == found


def test_links_between_documents_lead_somewhere() -> None:
    for document in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links {target}"
