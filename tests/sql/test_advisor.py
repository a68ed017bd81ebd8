"""Supabase's own security and performance advisor."""

from __future__ import annotations

import psycopg

from qero import Settings
from qero.local.toolchain import ensure_tools
from qero.ops.doctor import advisor_findings


def test_the_advisor_finds_nothing(database_url: str) -> None:
    assert advisor_findings(ensure_tools().supabase, database_url) == []


def test_the_advisor_does_look(settings: Settings) -> None:
    url = settings.require("db_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create table public.planted (id integer)")
        try:
            findings = advisor_findings(ensure_tools().supabase, url)
        finally:
            connection.execute("drop table public.planted")

    assert any("public.planted" in finding for finding in findings), findings
