"""A stand-in for Meta's Graph API: checks what it is sent as Meta does, remembers it, and fails when told to.

This is sending; what embedded signup asks is in `graph_signup`, as `graph.signup`, and the templates of accounts are in
`graph_templates`, as `graph.templates`.

    async with GraphStandIn.serve([Number("1234567890", access_token="token")]) as graph:
        client = GraphClient(http, base_url=graph.url, version="v26.0")
        ...
        body = encode(status_webhook(graph.sent[0], "delivered"))
        headers = {"X-Hub-Signature-256": sign(body, app_secret)}

It is stricter than Meta in one point: a phone number needs its `+`. Without one Meta guesses a country, and
the message may reach somebody else.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Literal
from uuid import uuid4

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from qero.local.asgi import listen
from qero.local.graph_errors import TITLES, GraphError, bearer, no_such_object, unparsable_token
from qero.local.graph_signup import SignupStandIn
from qero.local.graph_templates import TemplatesStandIn

SUPPORTED_VERSIONS = frozenset(f"v{major}.0" for major in range(20, 27))

Status = Literal["sent", "delivered", "read", "played", "failed"]


@dataclass(frozen=True)
class Number:
    """A business phone number that the stand-in answers for."""

    phone_number_id: str
    access_token: str = field(repr=False)
    display_phone_number: str = "15550001111"
    waba_id: str = "102290129340398"
    verified_name: str = "Acme"


@dataclass(frozen=True)
class SentMessage:
    """A message the stand-in accepted."""

    phone_number_id: str
    display_phone_number: str
    waba_id: str
    token_fingerprint: str
    to: str
    """The recipient as it was sent: `+` and a phone number, or a business-scoped user id."""
    payload: Mapping[str, Any]
    """The whole request body."""
    opaque_id: str | None
    wamid: str
    sent_at: datetime


@dataclass(frozen=True)
class UploadedFile:
    """A file the stand-in was given."""

    id: str
    phone_number_id: str
    mime_type: str
    filename: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class Refusal:
    """A request the stand-in refused."""

    path: str
    status: int
    code: int
    message: str
    details: str | None
    body: Any


@dataclass(frozen=True)
class GraphFault:
    """Refuse with one of Graph's errors; the HTTP status is Meta's usual one unless given."""

    code: int
    details: str = "Refused on request."
    subcode: int | None = None
    status: int | None = None
    is_transient: bool | None = None


@dataclass(frozen=True)
class Garbage:
    """Answer with something that isn't Graph's JSON. With a 2xx the message was accepted all the same."""

    status: int = 502
    body: bytes = b"<html><body>Bad Gateway</body></html>"
    content_type: str = "text/html"


@dataclass(frozen=True)
class Hang:
    """Never answer; the connection stays open until the client gives up or the stand-in stops."""

    accepts: bool = True


@dataclass(frozen=True)
class Drop:
    """Close the connection instead of answering."""

    accepts: bool = True


@dataclass(frozen=True)
class Slow:
    """Accept, and answer after so many seconds."""

    seconds: float


Fault = GraphFault | Garbage | Hang | Drop | Slow


@dataclass
class _PlannedFault:
    fault: Fault
    times: int | None
    phone_number_id: str | None
    recipient: str | None

    def take(self, phone_number_id: str, recipient: str) -> bool:
        if self.times == 0 or self.phone_number_id not in (None, phone_number_id):
            return False
        if self.recipient not in (None, recipient):
            return False
        if self.times is not None:
            self.times -= 1
        return True


class _NoAnswer(Response):
    """Answers nothing and returns when the connection has gone."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass


class _Server(uvicorn.Server):
    """Runs inside somebody else's event loop: leaves signals alone, says when it listens, stops at once."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()
        self.stopping = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def main_loop(self) -> None:
        await self.stopping.wait()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def drop(self, client: tuple[str, int] | None = None) -> None:
        """Close the connection of one client, or every connection."""
        for connection in list(self.server_state.connections):
            transport = connection.transport
            if client is None or transport.get_extra_info("peername")[:2] == client:
                transport.abort()


class GraphStandIn:
    """Graph's `/messages` for a set of numbers, and what a signup asks.

    `sent`, `uploaded`, `read_receipts` and `refused` keep everything that came, in order.
    """

    def __init__(self, numbers: Iterable[Number] = ()) -> None:
        self.sent: list[SentMessage] = []
        self.uploaded: list[UploadedFile] = []
        self.read_receipts: list[Mapping[str, Any]] = []
        self.refused: list[Refusal] = []
        self.url = ""
        self._numbers: dict[str, Number] = {}
        self.templates = TemplatesStandIn()
        self.signup = SignupStandIn(self._numbers, self.templates)
        self._faults: list[_PlannedFault] = []
        self._server: _Server | None = None
        for number in numbers:
            self.add_number(number)
        self.app = Starlette(
            routes=[Route("/{path:path}", self._answer, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])]
        )

    @classmethod
    @asynccontextmanager
    async def serve(cls, numbers: Iterable[Number] = (), *, port: int = 0) -> AsyncIterator[GraphStandIn]:
        """Run on 127.0.0.1 in this event loop until the block ends; without a port, on a free one."""
        stand_in = cls(numbers)
        with listen(port) as listener:
            stand_in.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            server = _Server(
                uvicorn.Config(stand_in.app, lifespan="off", log_config=None, access_log=False, proxy_headers=False)
            )
            stand_in._server = server
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                await server.listening.wait()
                yield stand_in
            finally:
                # Requests that hang would otherwise keep the server from ending.
                server.drop()
                server.stopping.set()
                await serving

    def add_number(self, number: Number) -> None:
        """Answer for a number, or replace what is known of it: a new token makes the old one invalid."""
        self._numbers[number.phone_number_id] = number

    def next_answer(
        self,
        fault: Fault,
        *,
        times: int | None = 1,
        phone_number_id: str | None = None,
        recipient: str | None = None,
    ) -> None:
        """Plan a fault for the next valid messages, of one number or to one recipient where given.

        Faults apply in the order they were planned; `times=None` means until `clear_faults`.
        """
        self._faults.append(_PlannedFault(fault, times, phone_number_id, recipient))

    def clear_faults(self) -> None:
        """Forget every planned fault."""
        self._faults.clear()

    async def _answer(self, request: Request) -> Response:
        body: Any = None
        try:
            path = _path_of(request)
            if not path.endswith(("/messages", "/media")):
                return self.signup.answer(request, path)
            number, token = self._authorise(request, path)
            if path.endswith("/media"):
                file = _upload(number, await request.body(), request.headers.get("content-type", ""))
                self.uploaded.append(file)
                return JSONResponse({"id": file.id})
            body = _json(await request.body(), request.headers.get("content-type", ""))
            if not isinstance(body, dict):
                raise GraphError(100, "The request body must be a JSON object.")
            if body.get("status") is not None:
                _check_read_receipt(body)
                self.read_receipts.append({"phone_number_id": number.phone_number_id, **body})
                return JSONResponse({"success": True})
            _check_message(body)
            if body.get("type") == "template":
                self.templates.check(number.waba_id, body["template"])
            return await self._accept(request, number, token, body)
        except GraphError as error:
            self.refused.append(Refusal(request.url.path, error.status, error.code, error.message, error.details, body))
            return error.answer()

    def _authorise(self, request: Request, path: str) -> tuple[Number, str]:
        phone_number_id, _, edge = path.partition("/")
        token = bearer(request)
        granted = self.signup.phone_number_ids(token)
        owned = {id_ for id_, number in self._numbers.items() if number.access_token == token or id_ in granted}
        if not owned:
            raise unparsable_token()
        if request.method != "POST" or "/" in edge or phone_number_id not in self._numbers:
            raise no_such_object(request.method, phone_number_id)
        if phone_number_id not in owned:
            raise GraphError(
                190,
                message="Error validating access token: it has no access to this phone number.",
                subcode=467,
            )
        return self._numbers[phone_number_id], token

    async def _accept(self, request: Request, number: Number, token: str, body: dict[str, Any]) -> Response:
        recipient = str(body.get("to") or body["recipient"])
        planned = next((plan for plan in self._faults if plan.take(number.phone_number_id, recipient)), None)
        fault = planned.fault if planned else None
        if isinstance(fault, GraphFault):
            raise GraphError(
                fault.code,
                fault.details,
                subcode=fault.subcode,
                status=fault.status,
                is_transient=fault.is_transient,
            )
        if isinstance(fault, Garbage) and not 200 <= fault.status < 300:
            return Response(fault.body, fault.status, media_type=fault.content_type)
        if not isinstance(fault, Hang | Drop) or fault.accepts:
            self._record(number, token, recipient, body)
        if isinstance(fault, Garbage):
            return Response(fault.body, fault.status, media_type=fault.content_type)
        if isinstance(fault, Hang):
            return _NoAnswer()
        if isinstance(fault, Drop):
            if self._server is not None and request.client is not None:
                self._server.drop((request.client.host, request.client.port))
            return _NoAnswer()
        sent = self.sent[-1]
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.seconds)
        message = {"id": sent.wamid}
        if body.get("type") == "template":
            message["message_status"] = "accepted"
        return JSONResponse(
            {
                "messaging_product": "whatsapp",
                "contacts": [{"input": recipient, **_person(recipient)}],
                "messages": [message],
            }
        )

    def _record(self, number: Number, token: str, recipient: str, body: dict[str, Any]) -> None:
        self.sent.append(
            SentMessage(
                phone_number_id=number.phone_number_id,
                display_phone_number=number.display_phone_number,
                waba_id=number.waba_id,
                token_fingerprint=fingerprint(token),
                to=recipient,
                payload=body,
                opaque_id=body.get("biz_opaque_callback_data"),
                wamid=new_wamid(),
                sent_at=datetime.now(UTC),
            )
        )


def _path_of(request: Request) -> str:
    """The path behind the version."""
    version, _, path = str(request.path_params["path"]).partition("/")
    if version not in SUPPORTED_VERSIONS:
        raise GraphError(2500, message=f"Unknown path components: /{request.path_params['path']}")
    return path


def fingerprint(access_token: str) -> str:
    """Tells tokens apart without showing them."""
    return hashlib.sha256(access_token.encode()).hexdigest()[:16]


def new_wamid() -> str:
    """A message id in the shape of Meta's."""
    return f"wamid.{base64.b64encode(b'HBgL' + uuid4().bytes).decode()}"


# --- Webhooks ---


def status_webhook(
    sent: SentMessage,
    status: Status,
    *,
    at: datetime | None = None,
    error_code: int | None = None,
    error_details: str = "Message undeliverable.",
) -> dict[str, Any]:
    """The webhook with which Meta reports what became of a message; `failed` needs an error code."""
    item: dict[str, Any] = {
        "id": sent.wamid,
        "status": status,
        "timestamp": _timestamp(at),
        **_person(sent.to, phone_key="recipient_id", user_key="recipient_user_id"),
    }
    if sent.opaque_id is not None:
        item["biz_opaque_callback_data"] = sent.opaque_id
    value: dict[str, Any] = {}
    if status == "failed":
        if error_code is None:
            raise ValueError("a failed status names its error_code")
        title = TITLES.get(error_code, "Error")
        item["errors"] = [
            {
                "code": error_code,
                "title": title,
                "message": title,
                "error_data": {"details": error_details},
                "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
            }
        ]
    else:
        # Meta leaves the contacts out of failed statuses.
        value["contacts"] = [_person(sent.to)]
        item["conversation"] = {"id": sent.wamid[-32:], "origin": {"type": "service"}}
        item["pricing"] = {
            "billable": False,
            "pricing_model": "PMP",
            "type": "regular",
            "category": "service",
        }
    return _webhook(sent.waba_id, sent.phone_number_id, sent.display_phone_number, {**value, "statuses": [item]})


def text_webhook(
    number: Number,
    sender: str,
    text: str,
    *,
    name: str = "Ada Example",
    user_id: str | None = None,
    wamid: str | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """The webhook with which Meta delivers a text message.

    Args:
        sender: `+` and a phone number, or a business-scoped user id for a person who hides theirs.
        user_id: the sender's business-scoped user id beside the phone number.
    """
    person = _person(sender) | ({"user_id": user_id} if user_id else {})
    origin = _person(sender, phone_key="from", user_key="from_user_id")
    if user_id:
        origin["from_user_id"] = user_id
    message = {
        **origin,
        "id": wamid or new_wamid(),
        "timestamp": _timestamp(at),
        "text": {"body": text},
        "type": "text",
    }
    value = {"contacts": [{"profile": {"name": name}, **person}], "messages": [message]}
    return _webhook(number.waba_id, number.phone_number_id, number.display_phone_number, value)


def echo_webhook(number: Number, recipient: str, text: str = "Hi", *, at: datetime | None = None) -> dict[str, Any]:
    """The webhook with which Meta tells what somebody wrote in the WhatsApp app on the business's phone."""
    message = {
        "from": number.display_phone_number,
        **_person(recipient, phone_key="to", user_key="to_user_id"),
        "id": new_wamid(),
        "timestamp": _timestamp(at),
        "type": "text",
        "text": {"body": text},
    }
    echoed = _webhook(
        number.waba_id, number.phone_number_id, number.display_phone_number, {"message_echoes": [message]}
    )
    echoed["entry"][0]["changes"][0]["field"] = "smb_message_echoes"
    return echoed


def batch(*webhooks: Mapping[str, Any]) -> dict[str, Any]:
    """Several webhooks in one request, as Meta sends them under load."""
    entries = [entry for webhook in webhooks for entry in webhook["entry"]]
    return {"object": "whatsapp_business_account", "entry": entries}


def encode(webhook: Mapping[str, Any]) -> bytes:
    """A webhook's raw bytes as Meta writes and signs them: ASCII only, slashes escaped too."""
    return json.dumps(webhook, separators=(",", ":")).replace("/", "\\/").encode()


def sign(body: bytes, app_secret: str) -> str:
    """The value of `X-Hub-Signature-256` for raw bytes."""
    return f"sha256={hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()}"


def _webhook(waba_id: str, phone_number_id: str, display_phone_number: str, value: dict[str, Any]) -> dict[str, Any]:
    metadata = {"display_phone_number": display_phone_number, "phone_number_id": phone_number_id}
    change = {"value": {"messaging_product": "whatsapp", "metadata": metadata, **value}, "field": "messages"}
    return {"object": "whatsapp_business_account", "entry": [{"id": waba_id, "changes": [change]}]}


def _person(recipient: str, *, phone_key: str = "wa_id", user_key: str = "user_id") -> dict[str, str]:
    return {phone_key: recipient[1:]} if recipient.startswith("+") else {user_key: recipient}


def _timestamp(at: datetime | None) -> str:
    return str(int((at or datetime.now(UTC)).timestamp()))


# --- What Meta checks ---

_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_USER_ID = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")
_TEMPLATE_NAME = re.compile(r"[a-z0-9_]{1,512}")
_LANGUAGE = re.compile(r"[a-z]{2,3}(_[A-Z]{2,4})?")

_ENVELOPE = frozenset(
    {"messaging_product", "recipient_type", "to", "recipient", "type", "context", "biz_opaque_callback_data"}
)
_MEDIA_KEYS: Mapping[str, frozenset[str]] = {
    "audio": frozenset({"id", "link", "voice"}),
    "document": frozenset({"id", "link", "caption", "filename"}),
    "image": frozenset({"id", "link", "caption"}),
    "sticker": frozenset({"id", "link"}),
    "video": frozenset({"id", "link", "caption"}),
}
_INTERACTIVE_TYPES = frozenset(
    {
        "address_message",
        "button",
        "call_permission_request",
        "carousel",
        "catalog_message",
        "cta_url",
        "flow",
        "list",
        "location_request_message",
        "product",
        "product_list",
        "voice_call",
    }
)
# The key that a template parameter of each type must carry.
_PARAMETER_KEYS: Mapping[str, str] = {
    "action": "action",
    "coupon_code": "coupon_code",
    "currency": "currency",
    "date_time": "date_time",
    "document": "document",
    "image": "image",
    "limited_time_offer": "limited_time_offer",
    "location": "location",
    "payload": "payload",
    "text": "text",
    "video": "video",
}


# What may be uploaded, and how many bytes of it.
_OFFICE = "application/vnd.openxmlformats-officedocument"
_UPLOADS: Mapping[str, int] = {
    **dict.fromkeys(("image/jpeg", "image/png"), 5 << 20),
    **dict.fromkeys(("video/mp4", "video/3gpp"), 16 << 20),
    **dict.fromkeys(("audio/aac", "audio/amr", "audio/mpeg", "audio/mp4", "audio/ogg; codecs=opus"), 16 << 20),
    "image/webp": 500 << 10,
    **dict.fromkeys(("text/plain", "application/pdf", "application/msword", "application/vnd.ms-excel",
        "application/vnd.ms-powerpoint", f"{_OFFICE}.wordprocessingml.document", f"{_OFFICE}.spreadsheetml.sheet",
        f"{_OFFICE}.presentationml.presentation"), 100 << 20),
}  # fmt: skip
_STILL_STICKER = 100 << 10


def _upload(number: Number, raw: bytes, content_type: str) -> UploadedFile:
    if not content_type.startswith("multipart/form-data"):
        raise GraphError(100, "A file is uploaded as multipart/form-data.")
    form = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {content_type}\r\n\r\n".encode() + raw)
    parts = {str(part.get_param("name", header="content-disposition")): part for part in form.iter_parts()}
    fields = {name: bytes(part.get_payload(decode=True)) for name, part in parts.items()}
    if fields.get("messaging_product") != b"whatsapp":
        raise GraphError(100, message="(#100) The parameter messaging_product is required.")
    content, mime_type = fields.get("file"), fields.get("type", b"").decode()
    if content is None:
        raise GraphError(100, message="(#100) The parameter file is required.")
    if mime_type not in _UPLOADS or str(parts["file"]["content-type"]).replace('"', "") != mime_type:
        raise GraphError(100, f"Param file must be a file with one of the types that are taken; received {mime_type}.")
    is_still = mime_type == "image/webp" and not (content[12:16] == b"VP8X" and content[20] & 2)
    if not 0 < len(content) <= (_STILL_STICKER if is_still else _UPLOADS[mime_type]):
        raise GraphError(131053, "The file is empty or too large.")
    filename = parts["file"].get_filename() or ""
    return UploadedFile(str(secrets.randbelow(10**15)), number.phone_number_id, mime_type, filename, content)


def _json(raw: bytes, content_type: str) -> Any:
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise GraphError(100, "The request body must be application/json.")
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        raise GraphError(100, "The request body is not valid JSON.") from None


def _check_message(body: dict[str, Any]) -> None:
    _check_product(body)
    if body.get("recipient_type", "individual") != "individual":
        raise _invalid("recipient_type must be individual.")
    _check_recipient(body)
    kind = body.get("type", "text")
    check = _CONTENT_CHECKS.get(kind) if isinstance(kind, str) else None
    if check is None:
        raise _invalid("type must be one of " + ", ".join(sorted(_CONTENT_CHECKS)) + ".")
    _check_keys(body, _ENVELOPE | {kind})
    if "context" in body:
        _check_keys(body["context"] if isinstance(body["context"], dict) else {}, frozenset({"message_id"}), "context")
        if not _string(_object(body, "context"), "message_id").startswith("wamid."):
            raise _invalid("context.message_id must be the id of a message.")
    opaque_id = body.get("biz_opaque_callback_data")
    if opaque_id is not None and not (isinstance(opaque_id, str) and len(opaque_id) <= 512):
        raise _too_long("biz_opaque_callback_data", 512)
    check(_object(body, kind))


def _check_product(body: dict[str, Any]) -> None:
    if "messaging_product" not in body:
        raise GraphError(100, message="(#100) The parameter messaging_product is required.")
    if body["messaging_product"] != "whatsapp":
        raise GraphError(100, "messaging_product must be whatsapp.")


def _check_recipient(body: dict[str, Any]) -> None:
    if body.get("to"):
        # `to` wins where both are given.
        if not _matches(_PHONE, body["to"]):
            raise _invalid("to must be + and a phone number with country code.")
    elif not body.get("recipient"):
        raise GraphError(100, message="(#100) The parameter to is required.")
    elif not _matches(_USER_ID, body["recipient"]):
        raise _invalid("recipient must be a business-scoped user id.")


def _check_read_receipt(body: dict[str, Any]) -> None:
    _check_product(body)
    _check_keys(body, frozenset({"messaging_product", "status", "message_id", "typing_indicator"}))
    if body["status"] != "read":
        raise _invalid("status must be read.")
    if not _string(body, "message_id").startswith("wamid."):
        raise _invalid("message_id must be the id of a message.")
    if "typing_indicator" in body and body["typing_indicator"] != {"type": "text"}:
        raise _invalid("typing_indicator.type must be text.")


def _check_text(text: dict[str, Any]) -> None:
    _check_keys(text, frozenset({"body", "preview_url"}), "text")
    if len(_string(text, "body")) > 4096:
        raise _too_long("text['body']", 4096)
    if not isinstance(text.get("preview_url", False), bool):
        raise _invalid("text.preview_url must be a boolean.")


def _check_media(kind: str) -> Callable[[dict[str, Any]], None]:
    def check(media: dict[str, Any]) -> None:
        _check_keys(media, _MEDIA_KEYS[kind], kind)
        if ("id" in media) == ("link" in media):
            raise _missing(f"{kind} needs either id or link.")
        if "link" in media and not _string(media, "link").startswith(("http://", "https://")):
            raise _invalid(f"{kind}.link must be a URL.")
        if "id" in media:
            _string(media, "id")
        if "caption" in media and len(_string(media, "caption")) > 1024:
            raise _too_long(f"{kind}['caption']", 1024)

    return check


def _check_template(template: dict[str, Any]) -> None:
    _check_keys(template, frozenset({"name", "language", "components", "namespace"}), "template")
    if not _TEMPLATE_NAME.fullmatch(_string(template, "name")):
        raise _invalid("template.name must be lower-case letters, digits and underscores.")
    language = _object(template, "language")
    _check_keys(language, frozenset({"code", "policy"}), "template.language")
    if not _LANGUAGE.fullmatch(_string(language, "code")):
        raise _invalid("template.language.code must be a language code.")
    components = template.get("components", [])
    if not isinstance(components, list):
        raise _invalid("template.components must be an array.")
    for component in components:
        _check_component(component)


def _check_component(component: Any) -> None:
    if not isinstance(component, dict):
        raise _invalid("template.components must contain objects.")
    allowed = {"type", "parameters", "sub_type", "index", "cards"}
    _check_keys(component, frozenset(allowed), "template.components")
    kind = _string(component, "type").lower()
    if kind not in ("header", "body", "button", "carousel", "limited_time_offer", "order_status"):
        raise _invalid(f"{kind} is not a type of template component.")
    if kind == "button":
        _string(component, "sub_type")
        if not re.fullmatch(r"[0-9]", str(component.get("index"))):
            raise _invalid("A button component needs an index from 0 to 9.")
    for card in _objects(component, "cards", 10) if kind == "carousel" else ():
        _check_keys(card, frozenset({"card_index", "components"}), "cards")
        for part in _objects(card, "components", 10):
            _check_component(part)
    parameters = component.get("parameters", [])
    if not isinstance(parameters, list):
        raise _invalid("parameters must be an array.")
    for parameter in parameters:
        if not isinstance(parameter, dict):
            raise _invalid("parameters must contain objects.")
        parameter_kind = _string(parameter, "type").lower()
        key = _PARAMETER_KEYS.get(parameter_kind)
        if key is None:
            raise _invalid(f"{parameter_kind} is not a type of template parameter.")
        value = parameter.get(key)
        if not value or (key == "text" and not isinstance(value, str)):
            raise GraphError(100, f"Parameter '{key}' is mandatory for component parameter type '{parameter_kind}'")


def _check_reaction(reaction: dict[str, Any]) -> None:
    _check_keys(reaction, frozenset({"message_id", "emoji"}), "reaction")
    if not _string(reaction, "message_id").startswith("wamid."):
        raise _invalid("reaction.message_id must be the id of a message.")
    # An empty emoji takes the reaction back.
    if not isinstance(reaction.get("emoji"), str):
        raise _missing("reaction.emoji is required.")


def _check_location(location: dict[str, Any]) -> None:
    _check_keys(location, frozenset({"latitude", "longitude", "name", "address"}), "location")
    for key, limit in (("latitude", 90), ("longitude", 180)):
        try:
            degrees = float(location[key])
        except KeyError:
            raise _missing(f"location.{key} is required.") from None
        except (TypeError, ValueError):
            raise _invalid(f"location.{key} must be a number.") from None
        if not -limit <= degrees <= limit:
            raise _invalid(f"location.{key} is out of range.")


def _check_interactive(interactive: dict[str, Any]) -> None:
    _check_keys(interactive, frozenset({"type", "header", "body", "footer", "action"}), "interactive")
    kind = _string(interactive, "type")
    if kind not in _INTERACTIVE_TYPES:
        raise _invalid("interactive.type is not known.")
    action = _object(interactive, "action")
    check = _ACTION_CHECKS.get(kind)
    if check is None:
        if "body" in interactive:
            _check_limit(_object(interactive, "body"), "text", 4096)
        return
    _check_limit(_object(interactive, "body"), "text", 4096 if kind == "list" else 1024)
    if "footer" in interactive:
        _check_limit(_object(interactive, "footer"), "text", 60)
    if "header" in interactive:
        _check_header(_object(interactive, "header"), kind)
    check(action)


def _check_header(header: dict[str, Any], kind: str) -> None:
    header_kind = _string(header, "type")
    if kind == "location_request_message" or (kind == "list" and header_kind != "text"):
        raise _invalid(f"interactive of type {kind} takes no header of type {header_kind}.")
    _check_keys(header, frozenset({"type", header_kind}), "header")
    if header_kind == "text":
        _check_limit(header, "text", 60)
    elif header_kind in ("image", "video", "document"):
        _check_media(header_kind)(_object(header, header_kind))
    else:
        raise _invalid("header.type is not known.")


def _check_buttons(action: dict[str, Any]) -> None:
    _check_keys(action, frozenset({"buttons"}), "action")
    buttons = _objects(action, "buttons", 3)
    for button in buttons:
        _check_keys(button, frozenset({"type", "reply"}), "buttons")
        if _string(button, "type") != "reply":
            raise _invalid("buttons.type must be reply.")
        reply = _object(button, "reply")
        _check_keys(reply, frozenset({"id", "title"}), "reply")
        _check_limit(reply, "id", 256)
        _check_limit(reply, "title", 20)
    for key in ("id", "title"):
        if len({button["reply"][key] for button in buttons}) < len(buttons):
            raise _invalid(f"Each button needs a {key} of its own.")


def _check_list(action: dict[str, Any]) -> None:
    _check_keys(action, frozenset({"button", "sections"}), "action")
    _check_limit(action, "button", 20)
    sections = _objects(action, "sections", 10)
    rows: list[dict[str, Any]] = []
    for section in sections:
        _check_keys(section, frozenset({"title", "rows"}), "sections")
        if len(sections) > 1 or "title" in section:
            _check_limit(section, "title", 24)
        rows += _objects(section, "rows", 10)
    if len(rows) > 10:
        raise _invalid("A list has at most 10 rows.")
    for row in rows:
        _check_keys(row, frozenset({"id", "title", "description"}), "rows")
        _check_limit(row, "id", 200)
        _check_limit(row, "title", 24)
        if "description" in row:
            _check_limit(row, "description", 72)
    if len({row["id"] for row in rows}) < len(rows):
        raise _invalid("Each row needs an id of its own.")


def _check_link(action: dict[str, Any]) -> None:
    _check_keys(action, frozenset({"name", "parameters"}), "action")
    if _string(action, "name") != "cta_url":
        raise _invalid("action.name must be cta_url.")
    parameters = _object(action, "parameters")
    _check_keys(parameters, frozenset({"display_text", "url"}), "parameters")
    _check_limit(parameters, "display_text", 20)
    if not _string(parameters, "url").startswith(("http://", "https://")):
        raise _invalid("parameters.url must be a URL.")


def _check_location_request(action: dict[str, Any]) -> None:
    if action != {"name": "send_location"}:
        raise _invalid("action.name must be send_location.")


_ACTION_CHECKS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "button": _check_buttons,
    "cta_url": _check_link,
    "list": _check_list,
    "location_request_message": _check_location_request,
}


_NAME_PARTS = ("first_name", "last_name", "middle_name", "prefix", "suffix")


def _check_contacts(contacts: Any) -> None:
    if not isinstance(contacts, list) or not contacts:
        raise _missing("contacts must be a non-empty array.")
    for contact in contacts:
        if not isinstance(contact, dict):
            raise _invalid("contacts must contain objects.")
        allowed = {"name", "phones", "emails", "org", "urls", "addresses", "birthday"}
        _check_keys(contact, frozenset(allowed), "contacts")
        name = _object(contact, "name")
        _check_keys(name, frozenset({"formatted_name", *_NAME_PARTS}), "name")
        _string(name, "formatted_name")
        if not any(name.get(part) for part in _NAME_PARTS):
            raise _missing("name needs at least one part beside formatted_name.")
        for key in ("phones", "emails", "urls", "addresses"):
            if not isinstance(contact.get(key, []), list):
                raise _invalid(f"contacts.{key} must be an array.")


_CONTENT_CHECKS: Mapping[str, Callable[[Any], None]] = {
    "contacts": _check_contacts,
    "interactive": _check_interactive,
    "location": _check_location,
    "reaction": _check_reaction,
    "template": _check_template,
    "text": _check_text,
    **{kind: _check_media(kind) for kind in _MEDIA_KEYS},
}


def _check_keys(value: dict[str, Any], allowed: frozenset[str], parameter: str | None = None) -> None:
    for key in value:
        if key not in allowed:
            where = f' on param "{parameter}"' if parameter else ""
            raise GraphError(100, f'Unexpected key "{key}"{where}.', message="(#100) Invalid parameter")


def _object(parent: dict[str, Any], key: str) -> Any:
    """The object under `key`; contact cards, the one content that is an array, are checked by their own."""
    if key not in parent:
        raise _missing(f"{key} is required.")
    if not isinstance(parent[key], dict) and key != "contacts":
        raise _invalid(f"{key} must be an object.")
    return parent[key]


def _objects(parent: dict[str, Any], key: str, limit: int) -> list[dict[str, Any]]:
    value = parent.get(key)
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _missing(f"{key} must be an array of objects.")
    if not 1 <= len(value) <= limit:
        raise _invalid(f"{key} must have 1 to {limit} items.")
    return value


def _check_limit(parent: dict[str, Any], key: str, limit: int) -> None:
    if len(_string(parent, key)) > limit:
        raise _too_long(key, limit)


def _string(parent: dict[str, Any], key: str) -> str:
    value = parent.get(key)
    if value is None or value == "":
        raise _missing(f"Parameter {key} is missing or empty.")
    if not isinstance(value, str):
        raise _invalid(f"{key} must be a string.")
    return value


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _missing(details: str) -> GraphError:
    return GraphError(131008, details)


def _invalid(details: str) -> GraphError:
    return GraphError(131009, details)


def _too_long(parameter: str, limit: int) -> GraphError:
    return GraphError(100, message=f"(#100) Param {parameter} must be at most {limit} characters long.")
