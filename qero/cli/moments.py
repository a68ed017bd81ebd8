"""Moments as people write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import typer

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def past_moment(text: str | None) -> datetime | None:
    """A date, or how long ago: `30m`, `24h`, `7d`."""
    span = _span(text)
    return _date(text) if span is None else datetime.now(UTC) - span


def future_moment(text: str | None) -> datetime | None:
    """A date, or how long from now: `30m`, `24h`, `7d`."""
    span = _span(text)
    return _date(text) if span is None else datetime.now(UTC) + span


def span(text: str) -> timedelta:
    """How long something lasts: `30m`, `24h`, `7d`."""
    found = _span(text)
    if found is None:
        raise typer.BadParameter("give 30m, 24h or 7d")
    return found


def _span(text: str | None) -> timedelta | None:
    found = re.fullmatch(r"(\d{1,5})([mhd])", text or "")
    return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def _date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter("give 30m, 24h or 7d, or a date like 2026-01-31 or 2026-01-31T08:00+01:00") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
