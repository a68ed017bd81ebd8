"""Documents that are generated, or that draw the code, say what is so."""

from __future__ import annotations

import re
from pathlib import Path

import grimp
import pytest

from qero import Settings
from qero.local.toolchain import ensure_tools
from qero.ops.documents import generated_documents

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def generated(settings: Settings) -> dict[str, str]:
    return generated_documents(settings.require("db_url"), ensure_tools().client_bin / "pg_dump")


@pytest.mark.parametrize("name", ["docs/errors.md", "docs/permissions.md", "docs/schema.sql"])
def test_a_generated_document_is_up_to_date(generated: dict[str, str], name: str) -> None:
    assert (ROOT / name).read_text() == generated[name], f"{name} is outdated: run scripts/docs"


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
