"""How fast the worker sends, how soon it wakes, and what it tells of itself."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx

from qero import Settings
from qero.local.graph import GraphFault, Hang
from qero.local.processes import free_port
from qero.worker import Metrics, Summary, listen
from tests.worker.support import Post, until
from tests.worker.test_worker_process import start


async def test_a_number_keeps_its_pace_and_others_theirs(post: Post) -> None:
    slow, fast = await post.number(messages_per_second=20), await post.number(messages_per_second=60)
    await post.queue(await post.threads(slow, 30))
    await post.queue(await post.threads(fast, 90))

    assert (await post.worker(concurrency=200).run_once()).sent == 120, "what the pace holds back is still due now"

    for number, limit in ((slow, 20), (fast, 60)):
        moments = sorted(
            sent.sent_at.timestamp()
            for sent in post.graph.sent
            if sent.phone_number_id == number.at_meta.phone_number_id
        )
        most = max(sum(start <= moment < start + 1 for moment in moments) for start in moments)
        assert most <= limit + 3, "within any second, give or take what the way takes"
        assert moments[-1] - moments[0] > 1.2


async def test_a_throttled_number_waits_and_the_others_go_on(post: Post) -> None:
    throttled, healthy = await post.number(), await post.number()
    waiting = await post.queue(await post.threads(throttled, 5))
    await post.queue(await post.threads(healthy, 5))
    post.graph.next_answer(GraphFault(130429), times=None, phone_number_id=throttled.at_meta.phone_number_id)

    summary = await post.worker().run_once()

    assert summary == Summary(claimed=10, sent=5, queued=5), "asked once, and not again while it is paused"
    assert {(await post.row(message)).attempts for message in waiting} == {0}
    post.graph.clear_faults()
    await post.hurry()
    assert (await post.worker().run_once()).sent == 5


async def test_a_number_whose_sends_hang_keeps_its_own_places_only(post: Post) -> None:
    hanging, healthy = await post.number(messages_per_second=1000), await post.number(messages_per_second=1000)
    await post.queue(await post.threads(hanging, 10))
    others = await post.queue(await post.threads(healthy, 30))
    post.graph.next_answer(Hang(), times=None, phone_number_id=hanging.at_meta.phone_number_id)
    running = asyncio.create_task(post.worker(concurrency=60, number_concurrency=2).run_once())

    async def the_others_are_sent() -> bool:
        return all(post.sent(message) for message in others)

    await until(the_others_are_sent)
    hung = [sent for sent in post.graph.sent if sent.phone_number_id == hanging.at_meta.phone_number_id]
    assert len(hung) <= 2
    post.graph.clear_faults()
    summary = await running
    assert (summary.sent, summary.unknown) == (38, 2)


async def test_a_worker_that_listens_wakes_at_once(post: Post, settings: Settings) -> None:
    threads = await post.threads(await post.number(), 1)
    wake, stop = asyncio.Event(), asyncio.Event()
    listening = asyncio.create_task(listen(settings.require("db_url"), wake))
    await asyncio.wait_for(wake.wait(), 5)
    wake.clear()
    running = asyncio.create_task(post.worker(wake=wake).run(stop))
    await asyncio.sleep(2.5)  # it has slowed down to one look a second

    started = asyncio.get_running_loop().time()
    await post.queue(threads)
    await post.until_sent()

    assert asyncio.get_running_loop().time() - started < 0.5
    stop.set()
    assert (await running).sent == 1
    listening.cancel()


async def test_the_figures_tell_what_happened_and_name_nobody(post: Post) -> None:
    number = await post.number()
    thread, customer = await post.thread(number)
    await post.queue([thread.id], "a private word")
    await post.queue(await post.threads(number, 1))
    post.graph.next_answer(GraphFault(131026), recipient=customer)
    metrics = Metrics()

    await post.worker(metrics=metrics).run_once()
    port = metrics.serve(0)

    async with httpx.AsyncClient() as http:
        text = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
    assert 'qero_sends_total{channel="whatsapp",code="131026",outcome="fail"} 1.0' in text
    assert 'qero_settled_messages_total{outcome="sent"}' in text
    for private in (customer[1:], "a private word"):
        assert private not in text


async def test_the_process_serves_its_figures_and_the_state_of_the_outbox(post: Post, tmp_path: Path) -> None:
    number = await post.number()
    await post.world.rows(
        "update wa_phone_numbers set status = 'paused' where id = %s returning 1", number.connection.id
    )
    threads = await post.threads(number, 3)
    await post.world.rows(
        "update wa_phone_numbers set status = 'active' where id = %s returning 1", number.connection.id
    )
    await post.queue(threads)
    await post.world.rows("select id from pause_connection(%s)", number.connection.id)
    port = free_port()
    worker = await start(post, tmp_path, "--metrics-port", str(port))
    found = ""

    async def there() -> bool:
        nonlocal found
        try:
            async with httpx.AsyncClient() as http:
                found = (await http.get(f"http://127.0.0.1:{port}/metrics")).text
        except httpx.TransportError:
            return False
        return 'qero_outbox_messages{state="due"} 3.0' in found

    await until(there)
    assert f'connection_id="{number.connection.id}"' in found
    worker.terminate()
    await worker.communicate()
    assert post.graph.sent == []


async def test_a_dry_run_shows_what_is_queued_and_changes_nothing(post: Post, tmp_path: Path) -> None:
    [message] = await post.queue(await post.threads(await post.number(), 1), "a private word")

    worker = await start(post, tmp_path, "--dry-run")
    out, err = await worker.communicate()

    assert worker.returncode == 0, err
    assert [item["id"] for item in json.loads(out)] == [str(message.outbox_id)]
    assert b"a private word" not in out
    assert post.graph.sent == []
    assert (await post.row(message)).status == "queued"
