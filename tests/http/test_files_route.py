"""Files for customers over HTTP: who may bring which, and that Meta gets its very bytes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest

from qero import Outbox, Settings
from qero.clients.graph import GraphClient
from qero.local.graph import GraphStandIn
from qero.models.whatsapp import Thread
from qero.worker import WhatsAppChannel, Worker
from tests.http.office import expired
from tests.http.support import problem, serve
from tests.support import EMPTY_OUTBOX, Number, User, World

MB = 2**20
STILL = b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(20)
MOVING = b"RIFF\x00\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x02" + bytes(20)


@dataclass(frozen=True)
class Office:
    """Bob is a member, Vera a viewer; their workspace has a number that a stand-in for Graph knows."""

    world: World
    graph: GraphStandIn
    routes: httpx.AsyncClient
    number: Number
    thread: Thread
    bob: User

    async def bring(
        self,
        content: bytes | AsyncIterator[bytes],
        content_type: str | None = "image/png",
        *,
        token: str | None = None,
        thread: Thread | None = None,
        filename: str | None = None,
        length: int | None = None,
    ) -> httpx.Response:
        """Post a file as a browser does; as Bob, where no other token is given."""
        given = {"authorization": f"Bearer {self.bob.access_token if token is None else token}"}
        if content_type is not None:
            given["content-type"] = content_type
        if length is not None:
            given["content-length"] = str(length)
        return await self.routes.post(
            f"/api/inbox/threads/{(thread or self.thread).id}/files",
            params={} if filename is None else {"filename": filename},
            content=content,
            headers=given,
        )

    async def send(self, uploaded: dict[str, Any], **media: Any) -> httpx.Response:
        return await self.routes.post(
            f"/api/inbox/threads/{self.thread.id}/media",
            json={"kind": uploaded["kind"], "media": {"id": uploaded["id"], **media}},
            headers={"authorization": f"Bearer {self.bob.access_token}"},
        )

    async def work(self) -> None:
        graph = GraphClient(self.world.clients.http, base_url=self.graph.url, version=self.world.settings.graph_version)
        channel = WhatsAppChannel(graph, self.world.secrets)
        await Worker(Outbox(self.world.service), {"whatsapp": channel}).run_once()

    async def queued(self) -> Any:
        return await self.world.scalar("select count(*) from outbox_messages where thread_id = %s", self.thread.id)


@pytest.fixture
async def office(settings: Settings, world: World, graph: GraphStandIn) -> AsyncIterator[Office]:
    await world.rows(EMPTY_OUTBOX)
    number = await world.number(await world.workspace(bob="member", vera="viewer"))
    graph.add_number(number.at_meta)
    async with serve(settings.model_copy(update={"graph_url": graph.url})) as routes:
        yield Office(world, graph, routes, number, await world.thread(number), await world.user("bob"))


@pytest.mark.parametrize(
    ("content_type", "kind", "content", "at_meta"),
    [
        ("image/png", "image", secrets.token_bytes(5 * MB), "image/png"),
        ("image/jpeg", "image", b"\xff\xd8\xff", "image/jpeg"),
        ("Video/MP4", "video", secrets.token_bytes(2 * MB), "video/mp4"),
        ("audio/ogg; codecs=opus", "audio", secrets.token_bytes(1000), "audio/ogg; codecs=opus"),
        ("audio/ogg", "audio", b"OggS", "audio/ogg; codecs=opus"),
        ("application/pdf", "document", secrets.token_bytes(17 * MB), "application/pdf"),
        ("text/plain; charset=utf-8", "document", "Grüße\r\n".encode(), "text/plain"),
        ("image/webp", "sticker", STILL, "image/webp"),
        ("image/webp", "sticker", MOVING + secrets.token_bytes(400 * 1024), "image/webp"),
    ],
    ids=lambda given: given if isinstance(given, str) else None,
)
async def test_meta_gets_the_very_bytes_and_the_message_names_them(
    office: Office, content_type: str, kind: str, content: bytes, at_meta: str
) -> None:
    answer = await office.bring(content, content_type, filename="Ada's file.bin")

    assert answer.status_code == 201, answer.text
    [file] = office.graph.uploaded
    assert file.content == content
    assert (file.mime_type, file.filename) == (at_meta, "Ada's file.bin")
    assert file.phone_number_id == office.number.at_meta.phone_number_id
    assert answer.json() == {"kind": kind, "id": file.id}
    assert await office.queued() == 0, "bringing it sends nothing yet"

    sent = await office.send(answer.json())
    assert (sent.status_code, sent.json()["type"]) == (202, kind)
    await office.work()

    assert office.graph.refused == []
    [message] = office.graph.sent
    assert (message.payload["type"], message.payload[kind]) == (kind, {"id": file.id})
    assert message.phone_number_id == office.number.at_meta.phone_number_id


async def test_only_who_may_write_in_the_thread_brings_a_file(office: Office) -> None:
    world = office.world
    await world.workspace(owner="mallory")
    vera, mallory = await world.user("vera"), await world.user("mallory")

    problem(await office.bring(b"x", token=vera.access_token), 403, "role_required")
    foreign = problem(await office.bring(b"x", token=mallory.access_token), 404, "thread_not_found")
    problem(await office.bring(b"x", token=expired(world, office.bob)), 401, "token_expired")
    problem(await office.bring(b"x", token="garbage"), 401, "token_invalid")
    problem(await office.bring(b"x", token=world.settings.require("secret_key")), 401, "token_wrong_audience")
    nobody = await office.routes.post(
        f"/api/inbox/threads/{office.thread.id}/files", content=b"x", headers={"content-type": "image/png"}
    )
    problem(nobody, 401, "not_authenticated")

    assert foreign["errors"] == {"thread_id": str(office.thread.id)}
    assert (office.graph.uploaded, office.graph.refused) == ([], [])


async def test_a_viewer_learns_nothing_of_what_is_missing_behind(office: Office) -> None:
    vera = await office.world.user("vera")
    keyless = office.world.settings.model_copy(update={"secret_keys": None})
    async with serve(keyless) as routes:
        for user, status, code in ((vera, 403, "role_required"), (office.bob, 500, "setting_missing")):
            answer = await routes.post(
                f"/api/inbox/threads/{office.thread.id}/files",
                content=b"x",
                headers={"authorization": f"Bearer {user.access_token}", "content-type": "image/png"},
            )
            problem(answer, status, code)


@pytest.mark.parametrize(
    ("content_type", "content", "errors"),
    [
        ("image/gif", b"GIF89a", {"field": "mime_type"}),
        ("audio/opus", b"OggS", {"field": "mime_type"}),
        ("application/octet-stream", b"MZ", {"field": "mime_type"}),
        ("image/png", bytes(5 * MB + 1), {"field": "bytes", "kind": "image", "limit": 5 * MB}),
        ("video/mp4", bytes(16 * MB + 1), {"field": "bytes", "kind": "video", "limit": 16 * MB}),
        ("image/webp", STILL + bytes(100 * 1024), {"field": "bytes", "kind": "sticker", "limit": 100 * 1024}),
        ("image/webp", MOVING + bytes(500 * 1024), {"field": "bytes", "kind": "sticker", "limit": 500 * 1024}),
    ],
    ids=lambda given: given if isinstance(given, str) else None,
)
async def test_what_whatsapp_does_not_take_never_reaches_meta(
    office: Office, content_type: str, content: bytes, errors: dict[str, Any]
) -> None:
    refused = problem(await office.bring(content, content_type), 400, "invalid_value")

    assert {name: refused["errors"][name] for name in errors} == errors
    assert (office.graph.uploaded, office.graph.refused) == ([], [])


async def test_a_file_has_a_type_and_a_length(office: Office) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"no length"

    for answer, field in (
        (await office.bring(b""), "content-length"),
        (await office.bring(b"x", None), "content-type"),
        (await office.bring(chunks()), "content-length"),
        (await office.bring(b"x", filename=""), "filename"),
        (await office.bring(b"x", filename="x" * 241), "filename"),
    ):
        refused = problem(answer, 400, "invalid_value")
        assert refused["errors"]["fields"][0]["field"] == field
    assert office.graph.uploaded == []


@pytest.mark.parametrize(
    ("change", "code"),
    [("status = 'inactive'", "connection_inactive"), ("deleted_at = now()", "connection_not_found")],
)
async def test_no_file_is_brought_for_a_number_that_is_gone(office: Office, change: str, code: str) -> None:
    await office.world.rows(
        f"update wa_phone_numbers set {change} where id = %s returning 1", office.number.connection.id
    )

    problem(await office.bring(b"x"), 409, code)

    assert office.graph.uploaded == []


async def test_a_file_leaves_by_its_threads_own_number(office: Office) -> None:
    world = office.world
    other = await world.number(await world.workspace(bob="member"), waba_id=office.number.at_meta.waba_id)
    office.graph.add_number(other.at_meta)

    for number, thread in ((other, await world.thread(other)), (office.number, office.thread)):
        assert (await office.bring(b"x", thread=thread)).status_code == 201
        assert office.graph.uploaded[-1].phone_number_id == number.at_meta.phone_number_id


async def test_what_meta_refuses_is_said_and_what_it_cannot_answer_may_be_repeated(office: Office) -> None:
    office.graph.add_number(replace(office.number.at_meta, access_token="another-token"))
    refused = await office.bring(b"x")
    assert problem(refused, 409, "meta_refused")["errors"]["meta_code"] == 190
    assert office.number.at_meta.access_token not in refused.text

    async with serve(office.world.settings.model_copy(update={"graph_url": "http://127.0.0.1:9"})) as routes:
        answer = await routes.post(
            f"/api/inbox/threads/{office.thread.id}/files",
            content=b"x",
            headers={"authorization": f"Bearer {office.bob.access_token}", "content-type": "image/png"},
        )
        problem(answer, 503, "network_error")


async def test_a_file_may_take_longer_than_other_requests_while_it_goes_on_arriving(
    settings: Settings, office: Office
) -> None:
    async def slowly(pauses: list[float]) -> AsyncIterator[bytes]:
        yield bytes(64)
        for pause in pauses:
            await asyncio.sleep(pause)
            yield bytes(64)

    hurried = settings.model_copy(update={"graph_url": office.graph.url, "http_timeout_seconds": 0.6})
    async with serve(hurried) as routes:
        patient = Office(office.world, office.graph, routes, office.number, office.thread, office.bob)
        arrived = await patient.bring(slowly([0.3] * 4), length=320)
        stopped = await patient.bring(slowly([2]), length=128)

    assert arrived.status_code == 201, arrived.text
    assert office.graph.uploaded[0].content == bytes(320)
    problem(stopped, 408, "request_incomplete")
    assert len(office.graph.uploaded) == 1
