"""Tokens: the balance is the ledger's sum, never below zero, and each reference counts once, whatever happens."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from bench.ledger import attack
from qero import Conflict, InvalidState, LimitExceeded, NotFound, Tokens
from qero.models.workspace import Workspace
from tests.support import World


@pytest.fixture
def world(people: World) -> World:
    return people


@pytest.fixture
async def workspace(world: World) -> Workspace:
    return await world.workspace(owner="olga", bob="viewer")


@pytest.fixture
def tokens(world: World) -> Tokens:
    return Tokens(world.service)


async def deltas(tokens: Tokens, workspace: Workspace) -> list[int]:
    """The ledger, oldest first."""
    return [entry.delta for entry in reversed(await tokens.ledger(workspace.id))]


async def standing(tokens: Tokens, workspace: Workspace) -> tuple[int, int, int]:
    """Balance, reserved, and what is left of grants."""
    found = await tokens.balance(workspace.id)
    assert found
    return found.balance, found.reserved, found.granted


async def pass_time(world: World, workspace: Workspace) -> None:
    """Whatever is planned for later becomes due now."""
    for statement in (
        "update workspace_token_grants set effective_at = now() - interval '2 s' where workspace_id = %s",
        "update workspace_token_grants set expires_at = now() - interval '1 s'"
        " where workspace_id = %s and expires_at is not null",
        "update workspace_token_reservations set expires_at = now() - interval '1 s' where workspace_id = %s",
        "update workspace_token_balance set next_due_at = now() - interval '1 s' where workspace_id = %s",
    ):
        await world.database.execute(statement.encode(), [workspace.id])


SOON = datetime.now(UTC) + timedelta(hours=1)
LATER = datetime.now(UTC) + timedelta(hours=2)

# --- Deltas ---


async def test_granting_and_deducting_keeps_the_ledger(tokens: Tokens, workspace: Workspace, world: World) -> None:
    assert await tokens.balance(workspace.id) is None
    assert (await tokens.apply(workspace.id, 100, "welcome")).balance_after == 100
    entry = await tokens.apply(workspace.id, -30, " used ")
    assert (entry.delta, entry.balance_after, entry.reason, entry.reference_id) == (-30, 70, "used", None)

    bob = Tokens((await world.user("bob")).client)
    assert await deltas(bob, workspace) == [100, -30]
    assert (await bob.ledger(workspace.id, before_id=entry.id, limit=1))[0].delta == 100
    assert await standing(bob, workspace) == (70, 0, 0)
    assert await Tokens((await world.user("mallory")).client).ledger(workspace.id) == []


async def test_the_balance_never_falls_below_zero(tokens: Tokens, workspace: Workspace) -> None:
    with pytest.raises(LimitExceeded) as error:
        await tokens.apply(workspace.id, -1, "nothing there")
    assert (error.value.code, error.value.status) == ("insufficient_tokens", 402)
    await tokens.apply(workspace.id, 5, "start")
    with pytest.raises(LimitExceeded) as error:
        await tokens.apply(workspace.id, -6, "too much")
    assert error.value.detail == {"balance": 5, "reserved": 0, "needed": 6}
    await tokens.apply(workspace.id, -5, "all of it")
    assert await deltas(tokens, workspace) == [5, -5]


async def test_an_empty_reference_is_none_and_a_filled_one_counts_once(tokens: Tokens, workspace: Workspace) -> None:
    for reference in (None, "", "  "):
        await tokens.apply(workspace.id, 1, "seed", reference=reference)
    first = await tokens.apply(workspace.id, 10, "seed", reference="seed-1")
    await tokens.apply(workspace.id, 5, "later")
    assert await tokens.apply(workspace.id, 10, "another reason", reference=" seed-1 ") == first
    with pytest.raises(Conflict) as error:
        await tokens.apply(workspace.id, 11, "seed", reference="seed-1")
    assert error.value.code == "reference_conflict"
    assert error.value.detail == {"reference": "seed-1", "amount": 11, "first_amount": 10}
    assert await deltas(tokens, workspace) == [1, 1, 1, 10, 5]


async def test_a_reference_counts_once_for_each_workspace(tokens: Tokens, workspace: Workspace, world: World) -> None:
    other = await world.workspace()
    await tokens.apply(workspace.id, 1, "seed", reference="seed-1")
    assert (await tokens.apply(other.id, 2, "seed", reference="seed-1")).balance_after == 2


async def test_a_replay_is_answered_even_when_nothing_is_left(tokens: Tokens, workspace: Workspace) -> None:
    await tokens.apply(workspace.id, 5, "start")
    first = await tokens.apply(workspace.id, -5, "all of it", reference="r")
    assert await tokens.apply(workspace.id, -5, "all of it", reference="r") == first


async def test_the_same_reference_at_the_same_time_counts_once(tokens: Tokens, workspace: Workspace) -> None:
    entries = await asyncio.gather(*(tokens.apply(workspace.id, 7, "seed", reference="once") for _ in range(20)))
    assert len({entry.id for entry in entries}) == 1
    assert await standing(tokens, workspace) == (7, 0, 0)


async def test_the_second_of_two_waits_and_gets_the_firsts_answer(
    world: World, tokens: Tokens, workspace: Workspace
) -> None:
    """It had looked for the reference before the first one was committed."""
    await tokens.apply(workspace.id, 50, "start")
    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as first:
        cursor = await first.execute("select (apply_workspace_token_delta(%s, -20, 'x', 'same')).id", [workspace.id])
        second = asyncio.create_task(tokens.apply(workspace.id, -20, "x", reference="same"))
        for _ in range(200):
            if await world.scalar("select count(*) from pg_stat_activity where wait_event_type = 'Lock'"):
                break
            await asyncio.sleep(0.02)
        await first.commit()
        assert (await second).id == (await cursor.fetchone() or (None,))[0]
    assert await deltas(tokens, workspace) == [50, -20]
    assert await standing(tokens, workspace) == (30, 0, 0)


async def test_a_workspace_that_is_not_there_has_no_tokens(tokens: Tokens) -> None:
    for delta in (1, -1):
        with pytest.raises(NotFound, match="Workspace not found"):
            await tokens.apply(UUID(int=0), delta, "x", reference="r")


async def test_direct_calls_by_position_work(world: World, workspace: Workspace) -> None:
    for call in (
        f"apply_workspace_token_delta('{workspace.id}', 100, 'seed', '')",
        f"apply_workspace_token_delta('{workspace.id}', 50, 'seed', 'seed-1')",
        f"apply_workspace_token_delta('{workspace.id}', 50, 'seed', 'seed-1')",
        f"apply_workspace_token_delta('{workspace.id}', -20, 'seed', null)",
        f"apply_workspace_token_delta('{workspace.id}', -20, 'seed')",
    ):
        await world.rows(f"select {call}")
    assert (
        await world.scalar("select balance from workspace_token_balance where workspace_id = %s", workspace.id) == 110
    )


# --- Grants ---


async def test_grants_are_spent_by_priority_then_by_their_end_then_the_rest(
    tokens: Tokens, workspace: Workspace
) -> None:
    await tokens.apply(workspace.id, 100, "bought")
    names = {
        (await tokens.grant(workspace.id, 10, name, priority=priority, expires_at=ends)).id: name
        for name, priority, ends in (
            ("last", 90, None), ("soon", 50, SOON), ("first", 10, None), ("later", 50, LATER), ("for good", 50, None),
        )
    }  # fmt: skip
    assert await standing(tokens, workspace) == (150, 0, 50)

    async def left() -> dict[str, int]:
        return {names[grant.id]: grant.remaining for grant in await tokens.grants(workspace.id) if grant.remaining}

    await tokens.apply(workspace.id, -4, "used")
    assert await left() == {"first": 6, "soon": 10, "later": 10, "for good": 10, "last": 10}
    await tokens.apply(workspace.id, -21, "used")
    assert await left() == {"later": 5, "for good": 10, "last": 10}
    await tokens.apply(workspace.id, -18, "used")
    assert await left() == {"last": 7}
    await tokens.apply(workspace.id, -17, "used")
    assert await left() == {}
    assert await standing(tokens, workspace) == (90, 0, 0)
    assert {grant.status for grant in await tokens.grants(workspace.id)} == {"used"}


async def test_what_is_left_of_a_grant_expires(world: World, tokens: Tokens, workspace: Workspace) -> None:
    await tokens.apply(workspace.id, 5, "bought")
    await tokens.grant(workspace.id, 10, "promotion", expires_at=SOON)
    await tokens.apply(workspace.id, -4, "used")
    await pass_time(world, workspace)

    with pytest.raises(LimitExceeded):
        await tokens.apply(workspace.id, -6, "used")  # refused, and so undone with everything
    await tokens.apply(workspace.id, -5, "used")

    assert await deltas(tokens, workspace) == [5, 10, -4, -6, -5]
    [grant] = await tokens.grants(workspace.id)
    assert (grant.status, grant.remaining) == ("expired", 0)
    assert await standing(tokens, workspace) == (0, 0, 0)


async def test_what_time_does_is_nobodys_doing(world: World, workspace: Workspace) -> None:
    operator = await world.user("operator")
    await world.rows("select add_operator(%s)", operator.email)
    tokens = Tokens(operator.client)
    await tokens.grant(workspace.id, 10, "promotion", expires_at=SOON)
    await pass_time(world, workspace)
    await tokens.apply(workspace.id, 5, "bought")
    actors = [(entry.delta, entry.actor_id) for entry in reversed(await tokens.ledger(workspace.id))]
    assert actors == [(10, operator.id), (-10, None), (5, operator.id)]


async def test_a_grant_begins_when_it_says(world: World, tokens: Tokens, workspace: Workspace) -> None:
    grant = await tokens.grant(workspace.id, 10, "next month", effective_at=SOON, reference="g")
    assert grant.status == "scheduled"
    assert await standing(tokens, workspace) == (0, 0, 0)
    await pass_time(world, workspace)
    await tokens.apply(workspace.id, -3, "used")
    assert await deltas(tokens, workspace) == [10, -3]
    assert await standing(tokens, workspace) == (7, 0, 7)


async def test_nobody_has_to_touch_a_balance_for_its_grants_to_end(
    world: World, tokens: Tokens, workspace: Workspace
) -> None:
    await tokens.grant(workspace.id, 10, "promotion", expires_at=SOON)
    await pass_time(world, workspace)
    while await tokens.settle_due():
        pass
    assert await standing(tokens, workspace) == (0, 0, 0)
    assert await deltas(tokens, workspace) == [10, -10]


async def test_a_grants_reference_counts_once(tokens: Tokens, workspace: Workspace) -> None:
    first = await tokens.grant(workspace.id, 10, "promotion", reference="g")
    assert await tokens.grant(workspace.id, 10, "promotion", reference="g", priority=3) == first
    with pytest.raises(Conflict) as error:
        await tokens.grant(workspace.id, 11, "promotion", reference="g")
    assert error.value.code == "reference_conflict"
    assert await standing(tokens, workspace) == (10, 0, 10)


# --- Reservations ---


async def test_a_reservation_holds_and_is_settled_for_less(tokens: Tokens, workspace: Workspace) -> None:
    await tokens.apply(workspace.id, 10, "bought")
    reservation = await tokens.reserve(workspace.id, 8, "summary", reference="job-1")
    assert await tokens.reserve(workspace.id, 8, "summary", reference="job-1") == reservation
    assert await standing(tokens, workspace) == (10, 8, 0)
    with pytest.raises(LimitExceeded) as error:
        await tokens.apply(workspace.id, -3, "used")
    assert error.value.detail == {"balance": 10, "reserved": 8, "needed": 3}
    with pytest.raises(LimitExceeded):
        await tokens.reserve(workspace.id, 3, "another")

    settled = await tokens.settle(reservation.id, 5)
    assert (settled.status, settled.settled_amount) == ("settled", 5)
    assert await tokens.settle(reservation.id, 5) == settled
    assert await standing(tokens, workspace) == (5, 0, 0)
    for attempt in (tokens.settle(reservation.id, 4), tokens.release(reservation.id)):
        with pytest.raises(InvalidState) as ended:
            await attempt
        assert ended.value.code == "reservation_ended"
    [entry, _] = await tokens.ledger(workspace.id)
    assert (entry.delta, entry.reference_type, entry.reference_id) == (-5, "reservation", str(reservation.id))


async def test_a_released_reservation_costs_nothing(tokens: Tokens, workspace: Workspace) -> None:
    await tokens.apply(workspace.id, 10, "bought")
    reservation = await tokens.reserve(workspace.id, 10, "summary")
    assert (await tokens.release(reservation.id)).status == "released"
    assert (await tokens.release(reservation.id)).status == "released"
    assert await standing(tokens, workspace) == (10, 0, 0)
    assert await deltas(tokens, workspace) == [10]


async def test_a_reservation_that_nobody_ends_lets_go(world: World, tokens: Tokens, workspace: Workspace) -> None:
    await tokens.apply(workspace.id, 10, "bought")
    reservation = await tokens.reserve(workspace.id, 10, "summary", seconds=60)
    await pass_time(world, workspace)
    await tokens.apply(workspace.id, -10, "used")
    with pytest.raises(InvalidState) as error:
        await tokens.settle(reservation.id, 1)
    assert error.value.detail["status"] == "expired"
    assert (await tokens.release(reservation.id)).status == "expired"


async def test_a_reservation_keeps_what_it_holds_of_a_grant_that_ends(
    world: World, tokens: Tokens, workspace: Workspace
) -> None:
    await tokens.grant(workspace.id, 100, "promotion", expires_at=SOON)
    reservation = await tokens.reserve(workspace.id, 60, "summary", seconds=600)
    await world.database.execute(
        "update workspace_token_grants set effective_at = now() - interval '2 s', expires_at = now() - interval '1 s'"
        " where workspace_id = %s",
        [workspace.id],
    )
    await world.database.execute(
        "update workspace_token_balance set next_due_at = now() where workspace_id = %s", [workspace.id]
    )
    await tokens.apply(workspace.id, 50, "bought")
    assert await standing(tokens, workspace) == (110, 60, 60), "40 ended, 60 are held"
    await tokens.reserve(workspace.id, 10, "another")

    await tokens.settle(reservation.id, 45)

    # 15 of the grant were left; the other reservation holds 10 of them.
    assert await standing(tokens, workspace) == (60, 10, 10)
    assert await deltas(tokens, workspace) == [100, -40, 50, -45, -5]


# --- Alerts ---


async def test_an_alert_comes_once_for_each_level(tokens: Tokens, workspace: Workspace) -> None:
    await tokens.apply(workspace.id, 100, "bought")
    assert (await tokens.set_alerts(workspace.id, [20, 0, 50, 20])).alert_levels == [50, 20, 0]

    async def alerts() -> list[tuple[int, int]]:
        return [(alert.level, alert.balance) for alert in reversed(await tokens.alerts(workspace.id))]

    for delta in (-49, -1, -1, -9):
        await tokens.apply(workspace.id, delta, "used")
    assert await alerts() == [(50, 50)]
    await tokens.apply(workspace.id, -40, "used")
    assert await alerts() == [(50, 50), (20, 0), (0, 0)], "one step may reach two"
    await tokens.apply(workspace.id, 30, "bought")
    await tokens.apply(workspace.id, -15, "used")
    assert (await alerts())[3:] == [(20, 15)], "and again once there was more"


async def test_an_alert_comes_once_under_concurrency(tokens: Tokens, workspace: Workspace) -> None:
    await tokens.apply(workspace.id, 40, "bought")
    await tokens.set_alerts(workspace.id, [20])
    await asyncio.gather(*(tokens.apply(workspace.id, -1, "used") for _ in range(40)))
    assert len(await tokens.alerts(workspace.id)) == 1


# --- Under attack ---


async def test_sixteen_writers_killed_at_random_leave_a_true_ledger(world: World, workspace: Workspace) -> None:
    report = await attack(world.settings.require("db_url"), workspace.id, writers=16, seconds=6, seed=7)

    assert report.faults == []
    assert report.kills >= 20
    assert report.applied > 200
    assert min(report.replayed, report.refused, report.reservations, report.grants) > 0, report


async def test_the_check_finds_a_balance_that_the_ledger_does_not_explain(
    world: World, tokens: Tokens, workspace: Workspace
) -> None:
    await tokens.apply(workspace.id, 5, "start")
    assert workspace.id not in {found.workspace_id for found in await tokens.check()}
    change: Any = "update workspace_token_balance set balance = %s where workspace_id = %s"
    await world.database.execute(change, [6, workspace.id])
    assert [(found.balance, found.ledger_sum) for found in await tokens.check()
            if found.workspace_id == workspace.id] == [(6, 5)]  # fmt: skip
    await world.database.execute(change, [5, workspace.id])


async def test_the_hot_path_reads_no_more_than_its_rows(world: World, tokens: Tokens, workspace: Workspace) -> None:
    """The look for a reference goes by its index, however long the ledger is."""
    await tokens.apply(workspace.id, 1, "start")
    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as connection:
        await connection.execute(
            "insert into workspace_token_ledger (workspace_id, delta, balance_after, reason, reference_id)"
            " select %s, 1, 1, 'x', 'r' || i from generate_series(1, 20000) as i",
            [workspace.id],
        )
        await connection.execute("analyze workspace_token_ledger")
        for query in (
            "select 1 from workspace_token_ledger where workspace_id = %(w)s and reference_type = 'request'"
            " and reference_id = 'r77' and reference_type <> 'grant'",
            "select * from workspace_token_ledger where workspace_id = %(w)s order by id desc limit 20",
        ):
            cursor = await connection.execute(f"explain (analyze, format json) {query}".encode(), {"w": workspace.id})
            [plan] = (await cursor.fetchone() or [[]])[0]
            assert "Index" in plan["Plan"].get("Plans", [plan["Plan"]])[0]["Node Type"], plan
        await connection.rollback()
