"""What a proof prints: progress while it runs, and one JSON line at its end."""

from __future__ import annotations

import json
import sys
from typing import Any


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def finish(name: str, figures: dict[str, Any], problems: list[str]) -> int:
    """Print the outcome; 1 where something didn't hold, else 0."""
    for problem in problems:
        progress(f"✗ {problem}")
    print(json.dumps({"proof": name, **figures, "problems": problems}, ensure_ascii=False))
    return 1 if problems else 0
