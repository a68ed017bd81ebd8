"""Replies of every kind: by the thread's own number, within the window, checked by a stand-in as Meta checks them."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from qero import (
    Buttons,
    CannedResponses,
    Choice,
    ChoiceList,
    Connections,
    ContactCard,
    ContactCards,
    Inbox,
    InvalidInput,
    InvalidState,
    LinkButton,
    ListRow,
    ListSection,
    Location,
    LocationRequest,
    Media,
    MediaUploads,
    NotFound,
    Outbox,
    PermissionDenied,
    QeroError,
    Templates,
    TemplateSync,
    ThreadFilter,
    Threads,
)
from qero.clients.graph import GraphClient
from qero.local.graph import GraphFault, GraphStandIn, fingerprint, text_webhook
from qero.local.graph_templates import TemplateAtMeta
from qero.models.reply import Reply
from qero.models.template import Template
from qero.models.whatsapp import Message, Thread
from qero.worker import WhatsAppChannel, Worker
from tests.support import EMPTY_OUTBOX, Number, World, digits

HELLO: list[dict[str, Any]] = [
    {"type": "HEADER", "format": "TEXT", "text": "Order {{1}}"},
    {"type": "BODY", "text": "Hi {{1}}, {{2}} is ready.\nBye, {{1}}"},
    {"type": "FOOTER", "text": "Acme"},
    {"type": "BUTTONS", "buttons": [
        {"type": "QUICK_REPLY", "text": "Thanks"}, {"type": "URL", "text": "Track", "url": "https://example.com/{{1}}"},
    ]},
]  # fmt: skip
VARIABLES = {"header": ["17"], "body": ["Ada", "your order"], "buttons": {"1": "o17"}}


CARD = {"components": [
    {"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "In {{1}}"},
    {"type": "BUTTONS", "buttons": [{"type": "URL", "text": "Buy", "url": "https://example.com/{{1}}"}]},
]}  # fmt: skip
CARDS: list[dict[str, Any]] = [{"type": "BODY", "text": "Look, {{1}}"}, {"type": "CAROUSEL", "cards": [CARD, CARD]}]
RED = {"header": {"id": "1"}, "body": ["red"], "buttons": {"0": "red"}}
BLUE = {"header": {"link": "https://example.com/blue.png"}, "body": ["blue"], "buttons": {"0": "blue"}}


class Office:
    """A workspace with numbers that a stand-in for Graph knows, its worker, and its templates."""

    def __init__(self, world: World, graph: GraphStandIn) -> None:
        self.world = world
        self.graph = graph
        self.client = GraphClient(world.clients.http, base_url=graph.url, version=world.settings.graph_version)

    async def number(self, workspace: Any, **options: Any) -> Number:
        number = await self.world.number(workspace, **options)
        self.graph.add_number(number.at_meta)
        return number

    async def work(self) -> None:
        worker = Worker(Outbox(self.world.service), {"whatsapp": WhatsAppChannel(self.client, self.world.secrets)})
        await worker.run_once()

    async def sync(self, workspace_id: UUID) -> Any:
        return await TemplateSync(self.world.service, self.client, self.world.secrets).sync(workspace_id)

    async def template(self, number: Number, **fields: Any) -> Template:
        """A template that Meta has and that is synced."""
        made = TemplateAtMeta(**{"name": f"t_{uuid4().hex}", "components": HELLO, **fields})
        self.graph.templates.add(number.at_meta.waba_id, made)
        await self.sync(number.connection.workspace_id)
        found = await Templates(self.world.service).list(number.connection.workspace_id, search=made.name)
        return found[0]

    async def message(self, thread: Thread) -> Message:
        return (await Threads(self.world.service).messages(thread))[0]


@pytest.fixture
async def office(world: World, graph: GraphStandIn) -> Office:
    await world.rows(EMPTY_OUTBOX)
    return Office(world, graph)


REPLIES: tuple[Reply, ...] = (
    Buttons(body="Is it fine?", buttons=[Choice(id="y", title="Yes"), Choice(id="n", title="No")], footer="Acme"),
    ChoiceList(
        body="Which one?",
        button="Choose",
        header="Colours",
        sections=[
            ListSection(title="Warm", rows=[ListRow(id="r", title="Red"), ListRow(id="o", title="Orange")]),
            ListSection(title="Cold", rows=[ListRow(id="b", title="Blue", description="Like the sea")]),
        ],
    ),
    LinkButton(body="Look at it", title="Open", url="https://example.com/a?b=c"),
    LocationRequest(body="Where are you?"),
    Location(latitude=-1.94, longitude=30.06, name="Shop", address="KN 4 Ave"),
    ContactCards(contacts=[ContactCard(name="Ada Lovelace", phones=["+442071234567"], emails=["ada@example.com"])]),
)

Send = Callable[[Threads, Thread, Message, Template], Awaitable[Any]]
FREE_FORM: dict[str, Send] = {
    "text": lambda threads, thread, _, __: threads.send_text(thread.id, "Hi"),
    "media": lambda threads, thread, _, __: threads.send_media(thread.id, "image", Media(id="1", caption="Look")),
    "sticker": lambda threads, thread, _, __: threads.send_media(thread.id, "sticker", Media(id="1")),
    **{
        reply.type: lambda threads, thread, _, __, reply=reply: threads.send(thread.id, reply)  # type: ignore[misc]
        for reply in REPLIES
    },
    "quotation": lambda threads, thread, message, __: threads.send_text(thread.id, "This!", quoting=message.id),
    "reaction": lambda threads, _, message, __: threads.react(message.id, "👍"),
    "read receipt": lambda threads, _, message, __: threads.send_read_receipt(message.id),
}
EVERY_KIND = FREE_FORM | {
    "template": lambda threads, thread, _, template: threads.send_template(thread.id, template.id, VARIABLES)
}


@pytest.mark.parametrize("kind", EVERY_KIND)
async def test_a_reply_leaves_by_the_threads_own_number_and_token(kind: str, office: Office) -> None:
    world = office.world
    workspace = await world.workspace()
    waba_id = digits(15)
    numbers = [await office.number(workspace, waba_id=waba_id) for _ in range(2)]
    template = await office.template(numbers[0])
    sender = f"+{digits(11)}"
    threads = Threads((await world.user("olga")).client)

    for number in numbers:
        thread = await world.thread(number, sender=sender)
        await EVERY_KIND[kind](threads, thread, await office.message(thread), template)
        await office.work()

        assert office.graph.refused == []
        if kind == "read receipt":
            assert office.graph.read_receipts[-1]["phone_number_id"] == number.at_meta.phone_number_id
        else:
            sent = office.graph.sent[-1]
            assert (sent.phone_number_id, sent.to) == (number.at_meta.phone_number_id, sender)
            assert sent.token_fingerprint == fingerprint(number.at_meta.access_token)
    outcomes = await world.rows("select distinct status from outbox_messages where workspace_id = %s", workspace.id)
    assert outcomes == [("sent",)]


@pytest.mark.parametrize("kind", EVERY_KIND)
@pytest.mark.parametrize(
    ("change", "code"),
    [("status = 'inactive'", "connection_inactive"), ("deleted_at = now()", "connection_not_found")],
)
async def test_a_number_that_is_gone_sends_nothing(kind: str, change: str, code: str, office: Office) -> None:
    world = office.world
    number = await office.number(await world.workspace())
    template = await office.template(number)
    thread = await world.thread(number)
    message = await office.message(thread)
    await world.rows(f"update wa_phone_numbers set {change} where id = %s returning 1", number.connection.id)

    with pytest.raises(InvalidState) as error:
        await EVERY_KIND[kind](Threads((await world.user("olga")).client), thread, message, template)

    assert error.value.code == code
    assert await world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id) == 0
    assert await office.message(thread) == message


@pytest.mark.parametrize("kind", EVERY_KIND)
async def test_only_templates_leave_when_the_window_has_closed(kind: str, office: Office) -> None:
    world = office.world
    number = await office.number(await world.workspace())
    template = await office.template(number)
    thread = await world.thread(number)
    message = await office.message(thread)
    await world.rows(
        "update wa_threads set last_inbound_at = now() - interval '24 hours' where id = %s returning 1", thread.id
    )
    sending = EVERY_KIND[kind](Threads((await world.user("olga")).client), thread, message, template)

    if kind == "template":
        assert (await sending).body == "Hi Ada, your order is ready.\nBye, Ada"
        return
    with pytest.raises(InvalidState) as error:
        await sending
    assert (error.value.code, error.value.hint) == ("window_closed", "Send an approved template instead.")
    assert [suggested["id"] for suggested in error.value.detail["templates"]] == [str(template.id)]
    assert await world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id) == 0


async def test_a_file_is_shown_and_sent_once(office: Office) -> None:
    number = await office.number(await office.world.workspace())
    thread = await office.world.thread(number)
    threads = Threads((await office.world.user("olga")).client)
    media = Media(link="https://example.com/invoice.pdf", caption="Your invoice", filename="invoice.pdf")

    first = await threads.send_media(thread.id, "document", media, idempotency_key="m1")
    again = await threads.send_media(thread.id, "document", media, idempotency_key="m1")
    await office.work()

    assert again == first
    assert (first.type, first.body, first.status) == ("document", "Your invoice", "pending")
    [sent] = office.graph.sent
    assert sent.payload["document"] == media.model_dump(exclude_none=True, exclude={"id"})
    for kind, wrong in (
        ("image", Media()),
        ("image", Media(id="1", link="https://x.y/z")),
        ("audio", Media(link="ftp://x")),
    ):
        with pytest.raises(InvalidInput) as error:
            await threads.send_media(thread.id, kind, wrong)  # type: ignore[arg-type]
        assert error.value.code == "invalid_value"


@pytest.mark.parametrize("reply", REPLIES, ids=lambda reply: reply.type)
async def test_a_reply_of_any_kind_is_shown_as_the_customer_gets_it(reply: Reply, office: Office) -> None:
    thread = await office.world.thread(await office.number(await office.world.workspace()))
    threads = Threads((await office.world.user("olga")).client)

    first = await threads.send(thread.id, reply, idempotency_key="r1")
    again = await threads.send(thread.id, reply, idempotency_key="r1")
    await office.work()

    assert again == first
    assert office.graph.refused == []
    [sent] = office.graph.sent
    assert (sent.payload["type"], sent.payload[reply.kind]) == (first.type, reply.content)
    assert first.body in (getattr(reply, "body", None), "Shop", "Ada Lovelace")


TOO_MANY = [Choice(id=str(index), title=str(index)) for index in range(4)]
ROWS = [ListRow(id=str(index), title="A") for index in range(11)]


@pytest.mark.parametrize(
    ("reply", "field"),
    [
        (Buttons(body="", buttons=TOO_MANY[:1]), "content.body"),
        (Buttons(body="x" * 1025, buttons=TOO_MANY[:1]), "content.body"),
        (Buttons(body="A", buttons=[]), "content.action"),
        (Buttons(body="A", buttons=TOO_MANY), "content.action"),
        (Buttons(body="A", buttons=[Choice(id="1", title="x" * 21)]), "content.action"),
        (Buttons(body="A", buttons=[Choice(id="1", title="A"), Choice(id="2", title="A")]), "content.action"),
        (Buttons(body="A", buttons=TOO_MANY[:1], footer="x" * 61), "content.footer"),
        (Buttons(body="A", buttons=TOO_MANY[:1], header=" "), "content.header"),
        (ChoiceList(body="A", button="B", sections=[ListSection(rows=ROWS)]), "content.action"),
        (
            ChoiceList(body="A", button="B", sections=[ListSection(rows=ROWS[:1]), ListSection(rows=ROWS[1:2])]),
            "content.action",
        ),
        (ChoiceList(body="A", button="B", sections=[ListSection(rows=[ROWS[0], ROWS[0]])]), "content.action"),
        (LinkButton(body="A", title="B", url="javascript:alert(1)"), "content.action"),
        (Location(latitude=91, longitude=0), "content.latitude"),
        (Location(latitude=0, longitude=0, name=""), "content.name"),
        (ContactCards(contacts=[]), "content.contacts"),
        (ContactCards(contacts=[ContactCard(name="Ada", phones=[" "])]), "content.contacts"),
    ],
)
async def test_what_whatsapp_would_not_take_is_refused_before_it_is_queued(
    reply: Reply, field: str, office: Office
) -> None:
    thread = await office.world.thread(await office.number(await office.world.workspace()))

    with pytest.raises(InvalidInput) as error:
        await Threads((await office.world.user("olga")).client).send(thread.id, reply)

    assert (error.value.code, error.value.detail["field"]) == ("invalid_value", field)
    assert await office.world.scalar("select count(*) from outbox_messages where thread_id = %s", thread.id) == 0


async def test_a_reply_quotes_a_message_of_its_thread(office: Office) -> None:
    number = await office.number(await office.world.workspace())
    thread, elsewhere = await office.world.thread(number), await office.world.thread(number)
    threads = Threads((await office.world.user("olga")).client)
    asked = await office.message(thread)

    answer = await threads.send_text(thread.id, "Yes.", quoting=asked.id)
    await threads.send_media(thread.id, "image", Media(id="1"), quoting=asked.id)
    await office.work()

    assert answer.context == {"id": asked.wa_message_id}
    assert [sent.payload["context"] for sent in office.graph.sent] == [{"message_id": asked.wa_message_id}] * 2
    unsent = await threads.send_text(thread.id, "And this?")
    for quoted in ((await office.message(elsewhere)).id, uuid4(), unsent.id):
        with pytest.raises(NotFound) as error:
            await threads.send_text(thread.id, "No.", quoting=quoted)
        assert error.value.code == "message_not_found"


async def test_a_file_is_uploaded_for_the_threads_number_and_sent(office: Office) -> None:
    world = office.world
    workspace = await world.workspace(vera="viewer")
    number = await office.number(workspace)
    thread = await world.thread(number)
    threads = Threads((await world.user("olga")).client)
    uploads = MediaUploads(world.service, office.client, world.secrets)
    picture = b"\x89PNG\r\n\x1a\n\x00\xff" * 1000

    target = await threads.prepare_upload(thread.id, "image/png", len(picture))
    media_id = await uploads.upload(
        target.connection_id, io.BytesIO(picture), mime_type="image/png", filename="a picture.png"
    )
    await threads.send_media(thread.id, target.kind, Media(id=media_id))
    await office.work()

    assert (target.kind, target.connection_id) == ("image", number.connection.id)
    [file] = office.graph.uploaded
    assert (file.phone_number_id, file.content, file.filename) == (
        number.at_meta.phone_number_id, picture, "a picture.png",
    )  # fmt: skip
    assert office.graph.sent[-1].payload["image"] == {"id": file.id}
    for mime_type, size, field in (
        ("image/png", 5 * 2**20 + 1, "bytes"),
        ("image/png", 0, "bytes"),
        ("application/x-msdownload", 1, "mime_type"),
    ):
        with pytest.raises(InvalidInput) as error:
            await threads.prepare_upload(thread.id, mime_type, size)
        assert error.value.detail["field"] == field
    with pytest.raises(PermissionDenied):
        await Threads((await world.user("vera")).client).prepare_upload(thread.id, "image/png", 1)
    with pytest.raises(InvalidState) as refused:
        await uploads.upload(target.connection_id, io.BytesIO(b""), mime_type="image/png", filename="empty.png")
    assert refused.value.code == "meta_refused"


# As Meta documents them for the Cloud API.
LIMITS: dict[tuple[str, int], tuple[str, ...]] = {
    ("image", 5 * 2**20): ("image/jpeg", "image/png"),
    ("video", 16 * 2**20): ("video/mp4", "video/3gpp"),
    ("audio", 16 * 2**20): ("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg", "audio/ogg; codecs=opus"),
    ("document", 100 * 2**20): (
        "text/plain", "application/pdf", "application/msword", "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint", "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
    ),
    ("sticker", 100 * 2**10): ("image/webp",),
}  # fmt: skip
# The header of a WebP file that moves; other features have bits of their own beside.
MOVES = b"RIFF\x10\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x12"


@pytest.mark.parametrize(
    ("kind", "limit", "mime_type"),
    [(kind, limit, mime_type) for (kind, limit), mime_types in LIMITS.items() for mime_type in mime_types],
)
async def test_a_file_may_be_as_large_as_whatsapp_takes_and_not_a_byte_more(
    kind: str, limit: int, mime_type: str, office: Office
) -> None:
    thread = await office.world.thread(await office.number(await office.world.workspace()))
    threads = Threads((await office.world.user("olga")).client)

    assert (await threads.prepare_upload(thread.id, mime_type, limit)).kind == kind
    for size in (limit + 1, 0, -1):
        with pytest.raises(InvalidInput) as error:
            await threads.prepare_upload(thread.id, mime_type, size)
        assert error.value.detail == {"field": "bytes", "kind": kind, "limit": limit}


@pytest.mark.parametrize(
    ("beginning", "limit"),
    [
        (MOVES + bytes(100), 500 * 2**10),
        (MOVES, 500 * 2**10),
        (MOVES[:20] + b"\x10", 100 * 2**10),
        (MOVES[:20], 100 * 2**10),
        (MOVES.replace(b"VP8X", b"VP8L"), 100 * 2**10),
        (b"\x00" + MOVES, 100 * 2**10),
        (b"", 100 * 2**10),
    ],
)
async def test_a_sticker_may_be_larger_where_it_moves(beginning: bytes, limit: int, office: Office) -> None:
    thread = await office.world.thread(await office.number(await office.world.workspace()))
    threads = Threads((await office.world.user("olga")).client)

    target = await threads.prepare_upload(thread.id, "image/webp", limit, beginning=beginning)

    assert target.kind == "sticker"
    with pytest.raises(InvalidInput) as error:
        await threads.prepare_upload(thread.id, "image/webp", limit + 1, beginning=beginning)
    assert error.value.detail["limit"] == limit


async def test_a_reaction_is_shown_on_its_message_and_taken_back(office: Office) -> None:
    number = await office.number(await office.world.workspace())
    thread = await office.world.thread(number)
    threads = Threads((await office.world.user("olga")).client)
    message = await office.message(thread)

    async def shown() -> Any:
        return await office.world.scalar(
            "select reactions -> 'business' ->> 'emoji' from wa_messages where id = %s", message.id
        )

    await threads.react(message.id, "👍")
    assert await shown() == "👍"
    await threads.react(message.id, None)
    assert await shown() is None
    await office.work()

    assert [sent.payload["reaction"] for sent in office.graph.sent] == [
        {"message_id": message.wa_message_id, "emoji": emoji} for emoji in ("👍", "")
    ]
    assert await office.message(thread) == message, "the thread shows no new message"


async def test_a_read_receipt_is_sent_once_and_again_when_it_was_lost(office: Office) -> None:
    number = await office.number(await office.world.workspace())
    thread = await office.world.thread(number)
    threads = Threads((await office.world.user("olga")).client)
    message = await office.message(thread)

    first = await threads.send_read_receipt(message.id)
    assert await threads.send_read_receipt(message.id) == first
    await threads.send_read_receipt(message.id, typing=True)
    await office.work()

    bodies = [{**receipt} for receipt in office.graph.read_receipts]
    about = {
        "phone_number_id": number.at_meta.phone_number_id,
        "messaging_product": "whatsapp",
        "status": "read",
        "message_id": message.wa_message_id,
    }
    assert bodies == [about, {**about, "typing_indicator": {"type": "text"}}]


async def test_canned_responses_are_filled_in(office: Office) -> None:
    world = office.world
    workspace = await world.workspace(bob="member")
    number = await office.number(workspace)
    sender = f"+{digits(11)}"
    await world.receive(text_webhook(number.at_meta, sender, "Hello", name="Ada Lovelace"))
    thread = await world.thread(number, sender=sender)
    olga, bob = [CannedResponses((await world.user(name)).client) for name in ("olga", "bob")]

    saved = await olga.save(workspace.id, "hi", "Hi {contact.first_name}!")
    replaced = await bob.save(workspace.id, "hi", "Hello {contact.first_name}, your number is {contact.phone}.")

    assert replaced.id == saved.id
    assert await olga.list(workspace.id) == [replaced]
    assert await bob.render(thread.id, "hi") == f"Hello Ada, your number is {sender}."
    await olga.delete(saved.id)
    with pytest.raises(NotFound) as error:
        await bob.render(thread.id, "hi")
    assert error.value.code == "canned_response_not_found"


# --- Templates ---


async def test_templates_are_what_meta_has(office: Office) -> None:
    workspace = await office.world.workspace()
    number = await office.number(workspace)
    at_meta = [
        office.graph.templates.add(number.at_meta.waba_id, TemplateAtMeta(f"t_{index:03}", components=HELLO))
        for index in range(120)
    ]
    counts = await office.sync(workspace.id)
    assert (counts.synced, counts.gone) == (120, 0)
    templates = Templates((await office.world.user("olga")).client)
    found = await templates.list(workspace.id)
    assert [template.name for template in found] == [template.name for template in at_meta]
    assert (found[0].status, found[0].category, found[0].variables) == (
        "APPROVED", "UTILITY", {"header": ["1"], "body": ["1", "2"], "buttons": {"1": "url"}},
    )  # fmt: skip

    office.graph.templates.remove(number.at_meta.waba_id, at_meta[0])
    at_meta[1].status, at_meta[1].category = "PAUSED", "MARKETING"
    counts = await office.sync(workspace.id)

    assert (counts.synced, counts.gone) == (119, 1)
    found = await templates.list(workspace.id)
    assert (found[0].name, found[0].status, found[0].category) == ("t_001", "PAUSED", "MARKETING")
    assert [template.name for template in await templates.list(workspace.id, status="DELETED")] == ["t_000"]


async def test_an_account_without_a_token_is_named_and_the_others_are_synced(office: Office) -> None:
    workspace = await office.world.workspace()
    asked, mute, bare = [await office.number(workspace) for _ in range(3)]
    kept = await office.template(mute)
    office.graph.templates.add(asked.at_meta.waba_id, TemplateAtMeta("hello", components=HELLO))
    await office.world.rows(
        "update private.wa_connection_secrets set access_token_ciphertext = null, vault_secret_id = gen_random_uuid()"
        " where connection_id = %s returning 1",
        mute.connection.id,
    )
    await office.world.rows(
        "delete from private.wa_connection_secrets where connection_id = %s returning 1", bare.connection.id
    )

    counts = await office.sync(workspace.id)

    assert (counts.synced, counts.gone) == (1, 0)
    assert set(counts.accounts_without_token) == {mute.at_meta.waba_id, bare.at_meta.waba_id}
    assert {template.id for template in await Templates(office.world.service).list(workspace.id)} > {kept.id}


async def test_a_list_that_is_older_than_a_webhook_changes_nothing_that_it_said(office: Office) -> None:
    world = office.world
    workspace = await world.workspace()
    number = await office.number(workspace)
    template = await office.template(number)
    await world.rows(
        "update wa_templates set status = 'PAUSED', status_changed_at = now() + interval '1 minute'"
        " where id = %s returning 1",
        template.id,
    )
    await office.sync(workspace.id)
    [found] = await Templates(world.service).list(workspace.id)
    assert found.status == "PAUSED"


async def test_without_leave_to_read_the_account_nothing_is_synced(office: Office) -> None:
    workspace = await office.world.workspace()
    await office.number(workspace)
    office.graph.signup.fail("message_templates", GraphFault(100, subcode=33))
    with pytest.raises(QeroError) as error:
        await office.sync(workspace.id)
    assert error.value.code == "waba_not_yours"


@pytest.mark.parametrize(
    ("components", "variables", "problem"),
    [
        (HELLO, {}, "body is missing"),
        (HELLO, {**VARIABLES, "body": ["Ada"]}, "body 2 is missing"),
        (HELLO, {**VARIABLES, "body": ["Ada", "a\nb"]}, "body 2 is missing, or holds a line break"),
        (HELLO, {**VARIABLES, "body": ["Ada", "it", "more"]}, "body has more values"),
        (HELLO, {**VARIABLES, "buttons": {}}, "buttons 1 is missing"),
        (HELLO, {**VARIABLES, "footer": ["x"]}, "footer isn't part of it"),
        (
            [{"type": "HEADER", "format": "IMAGE"}],
            {"header": {"id": "1", "link": "https://x.y/z"}},
            "header needs the id",
        ),
        ([{"type": "BODY", "text": "Hi {{name}}"}], {"body": {"nom": "Ada"}}, "body name is missing"),
        (CARDS, {"body": ["Ada"]}, "carousel is missing"),
        (CARDS, {"body": ["Ada"], "carousel": [RED]}, "carousel 2: values are missing"),
        (CARDS, {"body": ["Ada"], "carousel": [RED, {**BLUE, "body": []}]}, "carousel 2: body 1 is missing"),
        (CARDS, {"body": ["Ada"], "carousel": [RED, BLUE, BLUE]}, "carousel has more values than cards"),
    ],
)
async def test_variables_have_to_be_those_of_the_template(
    components: Any, variables: Any, problem: str, office: Office
) -> None:
    number = await office.number(await office.world.workspace())
    template = await office.template(number, components=components)
    thread = await office.world.thread(number)

    with pytest.raises(InvalidInput) as error:
        await Threads((await office.world.user("olga")).client).send_template(thread.id, template.id, variables)

    assert error.value.code == "template_variables_invalid"
    assert any(found.startswith(problem) for found in error.value.detail["problems"]), error.value.detail


@pytest.mark.parametrize(
    ("components", "variables"),
    [
        ([{"type": "BODY", "text": "Hello!"}], {}),
        (HELLO, VARIABLES),
        ([{"type": "BODY", "text": "Hi {{name}}, {{thing}}!"}], {"body": {"thing": "tea", "name": "Ada"}}),
        (
            [{"type": "HEADER", "format": "IMAGE"}, {"type": "BODY", "text": "Look, {{1}}"}],
            {"header": {"link": "https://example.com/a.png"}, "body": ["Ada \\1 & Bert"]},
        ),
        (
            [{"type": "BODY", "text": "Save"}, {"type": "BUTTONS", "buttons": [{"type": "COPY_CODE", "example": "X"}]}],
            {"buttons": {"0": "SALE20"}},
        ),
        (CARDS, {"body": ["Ada"], "carousel": [RED, BLUE]}),
    ],
)
async def test_what_passes_here_passes_at_meta(components: Any, variables: Any, office: Office) -> None:
    number = await office.number(await office.world.workspace())
    template = await office.template(number, components=components)
    thread = await office.world.thread(number)
    threads = Threads((await office.world.user("olga")).client)

    sent = await threads.send_template(thread.id, template.id, variables)
    await office.work()

    assert office.graph.refused == []
    assert office.graph.sent[-1].payload["template"]["name"] == template.name
    assert sent.body
    assert "{{" not in sent.body


async def test_a_template_is_filled_in_from_the_contact(office: Office) -> None:
    number = await office.number(await office.world.workspace())
    sender = f"+{digits(11)}"
    await office.world.receive(text_webhook(number.at_meta, sender, "Hello", name='Ada  "Countess" Lovelace'))
    thread = await office.world.thread(number, sender=sender)
    template = await office.template(number, components=[{"type": "BODY", "text": "Dear {{1}}"}])
    threads = Threads((await office.world.user("olga")).client)

    sent = await threads.send_template(thread.id, template.id, {"body": ["{contact.name}"]})
    assert sent.body == 'Dear Ada "Countess" Lovelace'
    with pytest.raises(InvalidInput) as error:
        await threads.send_template(thread.id, template.id, {"body": ["{contact.email}"]})
    assert error.value.code == "template_variables_invalid"


async def test_a_contact_who_never_wrote_is_written_to_by_template(office: Office) -> None:
    world = office.world
    workspace = await world.workspace()
    number = await office.number(workspace)
    template = await office.template(number, components=[{"type": "BODY", "text": "Hello!"}])
    phone = f"+{digits(11)}"
    contact_id = await world.scalar(
        "insert into contacts (workspace_id, name, phone) values (%s, 'Ada', %s) returning id", workspace.id, phone
    )
    threads = Threads((await world.user("olga")).client)

    thread = await threads.open(contact_id, number.connection.id)
    assert await threads.open(contact_id, number.connection.id) == thread
    with pytest.raises(InvalidState):
        await threads.send_text(thread.id, "Hi")
    await threads.send_template(thread.id, template.id)
    await office.work()

    assert office.graph.sent[-1].to == phone


async def test_what_is_sent_to_many_is_found_in_the_numbers_language(office: Office) -> None:
    world = office.world
    workspace, olga = await world.workspace(), await world.user("olga")
    number = await office.number(workspace)
    await Connections(olga.client).set_language(number.connection.id, "german")
    template = await office.template(number, components=[{"type": "BODY", "text": "Ihre Rechnungen sind da"}])
    thread = await world.thread(number)

    await Templates(olga.client).send(workspace.id, template.id)

    page = await Inbox(olga.client).search(workspace.id, "Rechnung")
    assert [message.thread_id for message in page.items] == [thread.id]


async def test_sending_to_many_leaves_the_newest_message_on_top(office: Office) -> None:
    world = office.world
    workspace, olga = await world.workspace(), await world.user("olga")
    number = await office.number(workspace)
    template = await office.template(number, components=[{"type": "BODY", "text": "Hello!"}])
    thread = await world.thread(number)
    async with await psycopg.AsyncConnection.connect(world.settings.require("db_url")) as other:
        await other.execute("select from wa_threads where id = %s for update", [thread.id])
        sending = asyncio.create_task(Templates(olga.client).send(workspace.id, template.id))
        await world.until_waiting()
        newest = await other.execute(
            "update wa_threads set (last_message_at, last_message_body) = (clock_timestamp(), 'Wait!') where id = %s"
            " returning last_message_at",
            [thread.id],
        )
        [newest_at] = await newest.fetchone() or [None]
    assert (await sending).queued == 1

    shown = await Inbox(olga.client).get(thread.id)
    assert (shown.last_message_body, shown.last_message_at) == ("Wait!", newest_at)


async def test_sending_to_many_does_what_the_preview_says_and_only_once(office: Office) -> None:
    world = office.world
    workspace = await world.workspace(bob="member")
    number, elsewhere = await office.number(workspace), await office.number(workspace)
    template = await office.template(number, components=[{"type": "BODY", "text": "Hi {{1}}"}], category="MARKETING")
    threads: list[Thread] = []
    for index in range(6):
        sender = f"+{digits(11)}"
        where = elsewhere if index == 5 else number
        await world.receive(text_webhook(where.at_meta, sender, "Hello", name=f"Ada{index} Person"))
        threads.append(await world.thread_of(where, sender))
    await world.rows("update contacts set marketing_opted_out = true where id = %s returning 1", threads[0].contact_id)
    await world.rows("update contacts set name = null where id = %s returning 1", threads[1].contact_id)
    await world.rows("update wa_threads set status = 'closed' where id = %s returning 1", threads[2].id)
    templates = Templates((await world.user("olga")).client)
    arguments: dict[str, Any] = {"variables": {"body": ["{contact.first_name}"]}}
    open_ones = ThreadFilter(status="open")

    preview = await templates.preview(workspace.id, template.id, open_ones, **arguments)

    assert (preview.threads, preview.sendable, preview.category) == (5, 2, "MARKETING")
    assert preview.skipped == {"opted_out": 1, "variable_missing": 1, "other_account": 1}
    assert {sample.body for sample in preview.samples} == {"Hi Ada3", "Hi Ada4"}
    assert await world.scalar("select count(*) from outbox_messages where workspace_id = %s", workspace.id) == 0

    result = await templates.send(workspace.id, template.id, open_ones, **arguments, idempotency_key="sale")
    assert (result.queued, result.repeated, result.skipped) == (2, 0, preview.skipped)
    again = await templates.send(workspace.id, template.id, open_ones, **arguments, idempotency_key="sale")
    assert (again.queued, again.repeated) == (0, 2)
    await office.work()

    assert {sent.payload["template"]["components"][0]["parameters"][0]["text"] for sent in office.graph.sent} == {
        "Ada3", "Ada4",
    }  # fmt: skip
    assert len(office.graph.sent) == 2
    assert (
        await world.scalar(
            "select count(*) from wa_messages where workspace_id = %s and type = 'template' and status = 'sent'",
            workspace.id,
        )
        == 2
    )
    waiting = await world.scalar("select waiting_since from wa_threads where id = %s", threads[3].id)
    assert waiting is not None, "a campaign answers nobody"
    with pytest.raises(QeroError) as error:
        await Templates((await world.user("bob")).client).send(workspace.id, template.id)
    assert error.value.code == "role_required"
