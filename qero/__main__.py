"""`python -m qero` is the `qero` command."""

from __future__ import annotations

from qero.cli import main

if __name__ == "__main__":
    main()
