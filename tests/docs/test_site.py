"""The documents become a site: every page is in it, and every link and heading it names is there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_site_is_built_from_the_documents_without_a_warning(tmp_path: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert made.returncode == 0, made.stderr
    pages = {page.stem for page in tmp_path.glob("*.html")}
    assert {page.stem for page in (ROOT / "docs").glob("*.md")} | {"index", "contributing", "changelog"} <= pages
    start = (tmp_path / "index.html").read_text()
    assert 'href="operations.html"' in start
    assert "](" not in (tmp_path / "hosting.html").read_text(), "what is in lists is rendered too"
