"""The hot queries use their indexes, judged by the plan and the rows it touched, never by time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from qero import Settings
from tests.sql.plans import GUARDS, SMALL, Guard, Large, explaining, fill, rows_read, rows_sorted, settle, uses

SMALL_GUARDS = [guard for guard in GUARDS if not guard.large_only]


@pytest.fixture(scope="module")
def filled(settings: Settings) -> Iterator[Large]:
    """In a transaction that is never committed."""
    with explaining(settings.require("db_url")) as connection:
        large = fill(connection, SMALL)
        settle(connection)
        connection.add_notice_handler(large.hear)
        yield large
        connection.rollback()


@pytest.fixture
def large(filled: Large) -> Iterator[Large]:
    """Each test may drop what it likes."""
    filled.connection.execute("savepoint test")
    yield filled
    filled.connection.execute("rollback to savepoint test")


@pytest.mark.parametrize("guard", SMALL_GUARDS, ids=lambda guard: guard.name)
def test_a_hot_query_reads_what_it_needs_by_its_index(guard: Guard, large: Large) -> None:
    assert guard.faults(guard.question(large)) == []


@pytest.mark.parametrize("guard", SMALL_GUARDS, ids=lambda guard: guard.name)
def test_a_missing_index_is_noticed(guard: Guard, large: Large) -> None:
    large.connection.execute(guard.breach.encode())
    assert guard.faults(guard.question(large)) != []


def test_a_page_of_threads_reads_no_more_than_a_busy_hour_beyond_it(large: Large) -> None:
    busy = 500
    large.connection.execute(
        """
        update wa_threads
        set last_message_at = date_bin('1 hour', now(), '2000-01-01Z') + random() * interval '59 minutes'
        where id in (select id from wa_threads where workspace_id = %s order by id limit %s)
        """,
        [large.workspace, busy],
    )
    large.connection.execute("analyze wa_threads")

    [guard] = [guard for guard in GUARDS if guard.name == "Threads.list"]
    nodes = guard.question(large)

    assert isinstance(guard.index, str)
    assert uses(nodes, guard.index)
    assert busy <= rows_sorted(nodes) <= busy + 64
    assert busy <= rows_read(nodes, "wa_threads") <= busy + 64


def test_the_figures_of_an_idle_workspace_read_nothing_of_the_others(large: Large) -> None:
    nodes = large.ask("select get_outbox_stats(gen_random_uuid())", "service_role")

    assert rows_read(nodes, "outbox_ready") == rows_read(nodes, "outbox_problems") == 0


def test_a_word_that_was_common_once_is_looked_up_after_a_short_walk(large: Large) -> None:
    found = 10_000
    large.connection.execute(
        """
        update wa_messages set body = 'christmas' where id in (
          select id from wa_messages where workspace_id = %s order by occurred_at limit %s)
        """,
        [large.workspace, found],
    )
    large.connection.execute("analyze wa_messages")

    nodes = large.ask("select * from search_messages(%(workspace)s, 'christmas')", "authenticated")

    assert uses(nodes, "wa_messages_workspace_id_occurred_at_idx")
    assert uses(nodes, "wa_messages_search_idx")
    assert found <= rows_read(nodes, "wa_messages") <= found * 1.15


def test_a_word_that_is_common_of_late_is_walked_to(large: Large) -> None:
    large.connection.execute(
        """
        update wa_messages set body = 'easter' where id in (
          select id from wa_messages where workspace_id = %s order by occurred_at desc limit %s)
        """,
        [large.workspace, 4_000],
    )
    large.connection.execute("analyze wa_messages")

    nodes = large.ask("select * from search_messages(%(workspace)s, 'easter')", "authenticated")

    assert uses(nodes, "wa_messages_workspace_id_occurred_at_idx")
    assert not uses(nodes, "wa_messages_search_idx")
    assert rows_read(nodes, "wa_messages") <= 400
