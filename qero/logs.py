"""Structured logs on standard error: JSON lines for programs, readable lines on a terminal. Never bodies or secrets."""

from __future__ import annotations

import logging
import sys
from typing import Any

import structlog

if not structlog.is_configured():
    # Until the application says otherwise, a library says nothing on standard output, and only what is wrong at all.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def get_logger(name: str) -> Any:
    """A logger that follows the application's structlog configuration."""
    return structlog.get_logger(name)


def configure_logs(*, verbose: bool = False, json: bool | None = None) -> None:
    """Set up logging for a command or server.

    Args:
        verbose: also log every call to the database with its duration.
        json: one JSON object a line; by default when standard error is no terminal.
    """
    as_json = not sys.stderr.isatty() if json is None else json
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if verbose else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
