"""Webhooks that meet: what belongs together finds itself, and nobody waits for ever."""

from __future__ import annotations

import random
import secrets
from uuid import UUID

import pytest

from qero.local.graph import batch
from tests.sql.inbound import Meta, Webhook, events, text, wamid, writers
from tests.support import Number, World, digits

# Of account events: after the number was connected.
LATER = 7200


@pytest.fixture
def world(people: World) -> World:
    return people


@pytest.fixture
async def number(world: World) -> Number:
    return await world.number(await world.workspace())


@pytest.fixture
def meta(number: Number) -> Meta:
    return Meta(number.at_meta)


async def test_an_echo_and_its_status_always_find_each_other(world: World, number: Number, meta: Meta) -> None:
    ada = digits(11)
    ids = [wamid() for _ in range(200)]
    echoes = [events(meta.echo(ada, 1, id=id)) for id in ids]
    statuses = [events(meta.status(id, "read", 2)) for id in ids]
    # Each writer has an echo where the other has its status, so that both commit at about the same moment.
    first = [pair[index % 2] for index, pair in enumerate(zip(echoes, statuses, strict=True))]
    second = [pair[1 - index % 2] for index, pair in enumerate(zip(echoes, statuses, strict=True))]

    assert set(await writers(world, [first, second])) == {"recorded"}

    connection = number.connection.id
    assert await world.rows(
        "select status, count(*) from wa_messages where connection_id = %s group by 1", connection
    ) == [("read", 200)]
    assert await world.rows("select 1 from wa_message_statuses where connection_id = %s", connection) == []


@pytest.mark.parametrize("known", [True, False])
async def test_a_message_and_what_changes_it_always_find_each_other(
    world: World, number: Number, meta: Meta, known: bool
) -> None:
    """Whether the sender and the thread are there already, or made by the same calls."""
    people = [digits(11) for _ in range(200)]
    if known:
        people = [people[0]] * 200
        await world.receive(meta.message(people[0], 0, name="Ada"))
    ids = [wamid() for _ in people]
    contents = [events(meta.message(ada, 1, id=id)) for ada, id in zip(people, ids, strict=True)]
    edits = [events(meta.edit(ada, 2, id, "edited")) for ada, id in zip(people, ids, strict=True)]
    reactions = [events(meta.reaction(ada, 3, id, "👍")) for ada, id in zip(people, ids, strict=True)]
    kinds = [contents, edits, reactions]
    queues = [[kinds[(index + turn) % 3][index] for index in range(200)] for turn in range(3)]

    assert set(await writers(world, queues)) == {"recorded"}

    assert await world.rows(
        "select body, reactions -> 'customer' ->> 'emoji', count(*) from wa_messages"
        " where connection_id = %s and wa_message_id = any(%s) group by 1, 2",
        number.connection.id, ids,
    ) == [("edited", "👍", 200)]  # fmt: skip


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize("seed", range(3))
async def test_batches_of_everything_in_any_order_do_not_wait_for_each_other(world: World, seed: int, bad: int) -> None:
    chance = random.Random(seed)
    workspace = await world.workspace()
    numbers = [await world.number(workspace) for _ in range(2)]
    other = await world.number(await world.workspace())
    people = [(digits(11), f"GB.{digits(8)}") for _ in range(12)]
    bodies: list[Webhook] = []
    for number in (*numbers, other):
        meta = Meta(number.at_meta)
        for at, (ada, user_id) in enumerate(people):
            id, ours, call, old = wamid(), wamid(), wamid(), wamid()
            bodies += [
                meta.placeholder(ada, at, id),
                meta.message(ada, at, id=id, name="Ada", user_id=user_id),
                meta.message(None, at, user_id=user_id, **text("hidden")),
                meta.reaction(ada, at, id, "👍"),
                meta.edit(ada, at, id, "edited"),
                meta.revoke(ada, at, id),
                meta.echo(ada, at, id=ours),
                meta.echo(ada, at, type="reaction", reaction={"message_id": id, "emoji": "🙏"}),
                meta.status(ours, "delivered", at),
                meta.status(ours, "failed", at, errors=[{"code": 131026}]),
                meta.history(ada, -1000, id=old, ours="SENT"),
                meta.status(old, "read", at),
                meta.call(ada, at, "connect", call),
                meta.call(ada, at + 1, "terminate", call),
                meta.message(ada, at, group_id="G.1"),
                meta.new_number(ada, chance.choice(people)[0], at),
                meta.new_user_id(user_id, chance.choice(people)[1], at),
                meta.preference(ada, at, chance.choice(["stop", "resume"])),
                meta.address_book(ada, "Ada of the phone"),
                meta.history_progress(at),
                meta.template(at, event="APPROVED", message_template_id=at % 4),
                meta.account(LATER + at, chance.choice(["ACCOUNT_OFFBOARDED", "ACCOUNT_RECONNECTED"])),
                meta.account(at, "UPGRADE", "phone_number_quality_update", current_limit=str(at)),
            ]
    queues = []
    for _ in range(8):
        picked = chance.sample(bodies, len(bodies) // 2)
        # What fits into no index has the items of its batch applied one by one.
        picked += [Meta(other.at_meta).message(people[0][0], 1, id=f"wamid.{secrets.token_hex(5000)}")] * bad
        chance.shuffle(picked)
        queues.append([events(*picked[start : start + 40]) for start in range(0, len(picked), 40)])

    outcomes = await writers(world, queues)

    assert set(outcomes) - {"set_aside"} == {"recorded", "deduped"}
    assert outcomes.count("set_aside") == 8 * bad


async def queue_automated(world: World, number: Number, *, each: int) -> list[list[UUID]]:
    """Messages for every thread of a number; their ids, thread by thread and in the order in which they leave."""
    rows = await world.rows(
        """
        with outbox as (
          insert into outbox_messages (id, workspace_id, channel, connection_id, thread_id, recipient, payload,
            idempotency_key, automated, status)
          select gen_random_uuid(), thread.workspace_id, 'whatsapp', thread.connection_id, thread.id, '+1', '{}',
            gen_random_uuid()::text, true, 'queued'
          from wa_threads as thread cross join generate_series(1, %s) where thread.connection_id = %s returning *
        ), shown as (
          insert into wa_messages
            (workspace_id, connection_id, thread_id, direction, type, status, outbox_id, occurred_at)
          select workspace_id, connection_id, thread_id, 'out', 'text', 'pending', id, now() from outbox)
        select array_agg(id order by sequence) from outbox group by thread_id
        """,
        each, number.connection.id,
    )  # fmt: skip
    return [ids for (ids,) in rows]


@pytest.mark.parametrize("seed", range(4))
async def test_replies_and_statuses_of_what_is_still_queued_do_not_wait_for_each_other(
    world: World, number: Number, meta: Meta, seed: int
) -> None:
    """A reply cancels the thread's automated messages, while statuses settle them and others."""
    chance = random.Random(seed)
    people = [digits(11) for _ in range(30)]
    await world.receive(batch(*(meta.message(ada, 0) for ada in people)))
    queued = await queue_automated(world, number, each=3)
    bodies = [meta.message(ada, 1) for ada in people]
    bodies += [
        meta.status(wamid(), "delivered", 2, biz_opaque_callback_data=str(outbox_id))
        for thread in queued
        for outbox_id in thread
    ]
    queues = []
    for _ in range(6):
        picked = chance.sample(bodies, len(bodies))
        queues.append([events(*picked[start : start + 20]) for start in range(0, len(picked), 20)])

    assert set(await writers(world, queues)) == {"recorded", "deduped"}

    assert set(
        await world.rows(
            "select message.status, outbox.status from wa_messages as message"
            " join outbox_messages as outbox on outbox.id = message.outbox_id where message.connection_id = %s",
            number.connection.id,
        )
    ) <= {("delivered", "sent"), ("delivered", "cancelled")}


async def test_statuses_of_neighbours_in_many_lines_do_not_wait_for_each_other(
    world: World, number: Number, meta: Meta
) -> None:
    """Each of two calls settles the first message of some threads and the second one of the others."""
    await world.receive(batch(*(meta.message(digits(11), 0) for _ in range(40))))
    for _ in range(5):
        queued = await queue_automated(world, number, each=3)
        calls = [
            events(
                *(
                    meta.status(wamid(), "delivered", 2, biz_opaque_callback_data=str(ids[(index + turn) % 2]))
                    for index, ids in enumerate(queued)
                )
            )
            for turn in range(2)
        ]

        assert await writers(world, [[call] for call in calls]) == ["recorded"] * 80

        settled = [outbox_id for ids in queued for outbox_id in ids[:2]]
        assert set(await world.rows("select status from outbox_messages where id = any(%s)", settled)) == {("sent",)}
        # The third of each thread is what may leave now.
        thirds = [ids[2] for ids in queued]
        assert await world.scalar("select count(*) from private.outbox_ready where id = any(%s)", thirds) == 40
        await world.rows("select id from cancel_outbox(%s)", thirds)
