"""Programs that commands run."""

from __future__ import annotations

import shutil
from pathlib import Path

from qero.errors import QeroError


def supabase_cli() -> Path:
    """The Supabase CLI: the one on PATH, else the local stack's.

    Raises:
        QeroError: `tool_missing`.
    """
    if on_path := shutil.which("supabase"):
        return Path(on_path)
    try:
        from qero.local.toolchain import ensure_tools
    except ModuleNotFoundError as error:
        raise QeroError(
            "tool_missing",
            "The Supabase CLI isn't installed.",
            hint="Install it and put it on PATH, or `pip install 'qero[local]'`.",
        ) from error
    return ensure_tools().supabase
