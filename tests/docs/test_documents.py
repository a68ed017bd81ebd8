"""Documents that are generated, or that draw the code, say what is so."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
import textwrap
from pathlib import Path
from typing import Any

import grimp
import psycopg
import pytest

from qero import Settings
from qero.clients.graph import ERROR_CLASSES
from qero.errors import REGISTRY
from qero.local.toolchain import ensure_tools
from qero.models.outbox import FailureAction
from qero.ops import PLAYBOOK
from qero.ops.documents import generated_documents
from tests.sql.answers import answers_markdown

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]


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
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text()):
            if "://" not in target:
                assert (document.parent / target).exists(), f"{document.name} links {target}"


KEYS = """
select child.relname, parent.relname, array(
    select attribute.attname from unnest(key.conkey) as number
    join pg_attribute as attribute on attribute.attrelid = child.oid and attribute.attnum = number),
  array(
    select attribute.attname from unnest(key.conkey) as number
    join pg_attribute as attribute on attribute.attrelid = child.oid and attribute.attnum = number
    where attribute.attnotnull),
  exists (
    select from pg_index as index where index.indrelid = child.oid and index.indisunique
      and index.indpred is null and index.indkey::smallint[] <@ key.conkey and key.conkey <@ index.indkey::smallint[])
from pg_constraint as key
join pg_class as child on child.oid = key.conrelid join pg_class as parent on parent.oid = key.confrelid
where key.contype = 'f' and child.relnamespace = 'public'::regnamespace
"""


async def test_the_data_model_is_drawn_as_the_database_has_it(database: psycopg.AsyncConnection[Any]) -> None:
    page = (ROOT / "docs" / "data-model.md").read_text()
    drawn = set(re.findall(r"^  (\w+) (\S+) (\w+) : (\w+)$", page, re.MULTILINE))
    keys = await (await database.execute(KEYS)).fetchall()
    tables = await (
        await database.execute(
            "select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
        )
    ).fetchall()

    found = set()
    for child, parent, columns, required, single in keys:
        lines = {
            (child, f"{'|o' if single else '}o'}--{'||' if column in required else 'o|'}", parent, column)
            for column in columns
        }
        # Who did something isn't drawn.
        assert lines & drawn or parent in ("profiles", "users"), f"{child}.{columns} refers to {parent}"
        found |= lines
    assert drawn <= found
    for (table,) in tables:
        assert re.search(rf"\b{table}\b", page), f"{table} is missing"


def test_python_in_the_documents_imports_what_there_is() -> None:
    for document in DOCUMENTS:
        for block in re.findall(r"^ *```python\n(.*?)^ *```", document.read_text(), re.MULTILINE | re.DOTALL):
            # Blocks of an interactive session hold answers as well.
            text = doctest.script_from_examples(block) if block.startswith(">>>") else textwrap.dedent(block)
            tree = compile(text, document.name, "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            for node in ast.walk(tree):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("qero"):
                    module = importlib.import_module(node.module or "")
                    assert all(hasattr(module, name.name) for name in node.names), block


def test_the_guide_to_messaging_names_every_code_that_is_not_the_end() -> None:
    page = (ROOT / "docs" / "messaging.md").read_text()
    table = page.split("## Retries")[1].split("## ")[0]
    for error_class, codes in ERROR_CLASSES:
        if error_class.action is not FailureAction.FAIL:
            for code in codes:
                text = f"{code.start}–{code.stop - 1}" if isinstance(code, range) else str(code)
                assert re.search(rf"\b{text}\b", table), f"{text} is missing"
