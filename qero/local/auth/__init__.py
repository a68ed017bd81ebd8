"""GoTrue's part of the local stack: `server.mjs` signs users up and in, `admin.py` manages them."""

from __future__ import annotations

from pathlib import Path

SERVER = Path(__file__).parent / "server.mjs"
"""The Node program that serves /auth/v1; its header lists the environment it reads."""
