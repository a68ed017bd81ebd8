"""`qero worker` as it is deployed: processes of their own, ended by signals."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path

from qero.local.graph import Slow
from tests.worker.support import QERO, Post, environment


async def start(post: Post, folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        QERO, "worker", "--json", *arguments, cwd=folder,
        env=environment(post.world.settings, META_GRAPH_URL=post.graph.url),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def test_two_processes_share_three_hundred_messages_and_send_none_twice(post: Post, tmp_path: Path) -> None:
    number = await post.number()
    body = "a private word for the customer"
    messages = await post.queue(await post.threads(number, 300), body)

    workers = [await start(post, tmp_path, "--once", "--concurrency", "10") for _ in range(2)]
    outputs = [await asyncio.wait_for(worker.communicate(), 60) for worker in workers]

    assert [worker.returncode for worker in workers] == [0, 0], outputs
    assert len(post.graph.sent) == 300
    assert {str(message.outbox_id) for message in messages} == {sent.opaque_id for sent in post.graph.sent}
    shares = [json.loads(out)["sent"] for out, _ in outputs]
    assert sum(shares) == 300
    assert min(shares) > 0, "both took part"
    logged = b"".join(err for _, err in outputs).decode()
    assert len([line for line in logged.splitlines() if json.loads(line)["event"] == "message_sent"]) == 300
    for private in (body, number.at_meta.access_token, *(sent.to[1:] for sent in post.graph.sent)):
        assert private not in logged


async def test_sigterm_finishes_what_is_being_sent_and_leaves_the_rest_queued(post: Post, tmp_path: Path) -> None:
    messages = await post.queue(await post.threads(await post.number(), 12))
    post.graph.next_answer(Slow(1.0), times=None)
    worker = await start(post, tmp_path, "--concurrency", "4")
    await post.until_sent(4)

    worker.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(worker.communicate(), 20)

    assert worker.returncode == 0, err
    summary = json.loads(out)
    rows = [await post.row(message) for message in messages]
    assert sorted({row.status for row in rows}) == ["queued", "sent"]
    assert summary["sent"] == sum(row.status == "sent" for row in rows) == len(post.graph.sent)
    assert (summary["unknown"], summary["unsettled"]) == (0, 0)
    assert {row.attempts for row in rows if row.status == "queued"} == {0}
    assert json.loads(err.splitlines()[-1])["event"] == "worker_stopped"


async def test_what_fails_beside_the_sending_ends_the_process_with_its_error(post: Post, tmp_path: Path) -> None:
    worker = await asyncio.create_subprocess_exec(
        QERO, "worker", "--json", cwd=tmp_path,
        env=environment(post.world.settings, SUPABASE_DB_URL="postgresql://postgres:s3cret@localhost/x?nonsense=1"),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, err = await asyncio.wait_for(worker.communicate(), 20)
    finally:
        if worker.returncode is None:
            worker.kill()

    assert worker.returncode == 3, err
    events = [json.loads(line) for line in err.splitlines()]
    assert [event.get("event") for event in events if "event" in event][-1] == "worker_stopped"
    assert events[-1]["error"]["detail"] == {"setting": "SUPABASE_DB_URL"}
    assert b"s3cret" not in err


async def test_a_killed_process_sends_nothing_twice(post: Post, tmp_path: Path) -> None:
    messages = await post.queue(await post.threads(await post.number(), 6))
    post.graph.next_answer(Slow(1.0), times=None)
    worker = await start(post, tmp_path, "--concurrency", "3")
    await post.until_sent(3)
    worker.kill()
    await worker.communicate()
    post.graph.clear_faults()

    await post.end_leases()
    await post.worker().run_once()

    assert len(post.graph.sent) == len({sent.opaque_id for sent in post.graph.sent}) == 6
    assert sorted([(await post.row(message)).status for message in messages]) == ["sent"] * 3 + ["unknown"] * 3
