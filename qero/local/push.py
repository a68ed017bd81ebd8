"""A stand-in for push services: checks what it is sent as browser vendors' do, decrypts it as the browser would, and
fails when told to.

    async with PushServiceStandIn.serve() as service:
        device = service.subscribe()
        ...  # save device.endpoint, device.p256dh and device.auth; send
        assert service.received[0].push == {...}
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import http_ece
import jwt
from aiohttp import web
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from qero.local.asgi import listen

BODY_LIMIT = 4096
LONGEST_TOKEN_SECONDS = 86_400
_AUTHORIZATION = re.compile(r"vapid t=([\w.-]+), ?k=([\w-]+)")
_TOPIC = re.compile(r"[\w-]{1,32}")
_URGENCIES = ("very-low", "low", "normal", "high")


@dataclass(frozen=True)
class StandInDevice:
    """What a browser's `PushManager.subscribe` answers, with the keys that it keeps to itself."""

    endpoint: str
    p256dh: str
    auth: str
    private_key: ec.EllipticCurvePrivateKey = field(repr=False)
    application_server_key: str | None
    """The only public key whose owner may send to it; None accepts any."""


@dataclass(frozen=True)
class ReceivedPush:
    """A notification that the stand-in accepted."""

    endpoint: str
    push: dict[str, Any]
    size: int
    """Of the plain text, in bytes."""
    ttl_seconds: int
    urgency: str | None
    topic: str | None


@dataclass(frozen=True)
class PushFault:
    """Answer with this status."""

    status: int
    retry_after: str | None = None
    location: str | None = None


@dataclass(frozen=True)
class Hang:
    """Never answer."""


@dataclass(frozen=True)
class Drop:
    """Close the connection instead of answering."""


@dataclass
class _Planned:
    fault: PushFault | Hang | Drop
    times: int | None
    endpoint: str | None


class PushServiceStandIn:
    """`received` keeps what was accepted, `refused` how often which status was answered."""

    def __init__(self, url: str, *, decrypt_one_in: int = 1) -> None:
        """
        Args:
            decrypt_one_in: look into only one body of so many; for measuring who sends, not this.
        """
        self.url = url
        self.received: list[ReceivedPush] = []
        self.refused: Counter[int] = Counter()
        self.tokens: dict[str, int] = {}
        """Every token that was good, and until when."""
        self._decrypt_one_in = decrypt_one_in
        self._turn = 0
        self.asked: asyncio.Event = asyncio.Event()
        """Set by every request, whatever becomes of it."""
        self._devices: dict[str, StandInDevice] = {}
        self._faults: list[_Planned] = []

    @classmethod
    @asynccontextmanager
    async def serve(cls, *, port: int = 0, decrypt_one_in: int = 1) -> AsyncIterator[PushServiceStandIn]:
        """Run on 127.0.0.1 in this event loop until the block ends; without a port, on a free one."""
        with listen(port) as listener:
            service = cls(f"http://127.0.0.1:{listener.getsockname()[1]}", decrypt_one_in=decrypt_one_in)
            app = web.Application(client_max_size=64 * 1024)
            app.router.add_post("/push/{id}", service._answer)
            # Requests that hang are ended at once.
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
            await runner.setup()
            try:
                await web.SockSite(runner, listener).start()
                yield service
            finally:
                await runner.cleanup()

    def subscribe(self, application_server_key: str | None = None) -> StandInDevice:
        """A new device, whose owner lets this key's holder send to it; without a key, anybody."""
        private = ec.generate_private_key(ec.SECP256R1())
        public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        endpoint = f"{self.url}/push/{uuid4().hex}"
        device = StandInDevice(endpoint, _text(public), _text(uuid4().bytes), private, application_server_key)
        self._devices[endpoint] = device
        return device

    def forget(self, device: StandInDevice) -> None:
        """The browser has unsubscribed: from now on it is gone."""
        del self._devices[device.endpoint]

    def next_answer(
        self, fault: PushFault | Hang | Drop, *, times: int | None = 1, device: StandInDevice | None = None
    ) -> None:
        """Plan a fault for the next requests, to one device where given; `times=None` means for ever."""
        self._faults.append(_Planned(fault, times, device.endpoint if device else None))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.set()
        endpoint = f"{self.url}{request.path}"
        planned = next((plan for plan in self._faults if plan.times != 0 and plan.endpoint in (None, endpoint)), None)
        if planned is not None:
            if planned.times is not None:
                planned.times -= 1
            return await self._fail(request, planned.fault)
        device = self._devices.get(endpoint)
        body = await request.read()
        status = 410 if device is None else self._check(request, body, device)
        if status != 201:
            self.refused[status] += 1
            return web.Response(status=status)
        return web.Response(status=201, headers={"Location": f"{self.url}/message/{uuid4().hex}"})

    async def _fail(self, request: web.Request, fault: PushFault | Hang | Drop) -> web.StreamResponse:
        if isinstance(fault, Hang):
            await asyncio.Event().wait()
        if isinstance(fault, PushFault):
            self.refused[fault.status] += 1
            given = {"Retry-After": fault.retry_after, "Location": fault.location}
            return web.Response(
                status=fault.status, text="no", headers={name: text for name, text in given.items() if text is not None}
            )
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    def _check(self, request: web.Request, body: bytes, device: StandInDevice) -> int:
        """The status that vendors answer with; 201 remembers the notification."""
        if status := self._check_sender(request, device):
            return status
        headers = request.headers
        topic, urgency = headers.get("Topic"), headers.get("Urgency")
        if not headers.get("TTL", "").isdecimal() or (urgency is not None and urgency not in _URGENCIES):
            return 400
        if topic is not None and not _TOPIC.fullmatch(topic):
            return 400
        if len(body) > BODY_LIMIT:
            return 413
        if headers.get("Content-Encoding") != "aes128gcm":
            return 415
        self._turn += 1
        if self._turn % self._decrypt_one_in:
            return 201
        try:
            plain = http_ece.decrypt(body, private_key=device.private_key, auth_secret=_bytes(device.auth))
        except (http_ece.ECEException, InvalidTag, ValueError):
            return 400
        push = json.loads(plain)
        self.received.append(ReceivedPush(device.endpoint, push, len(plain), int(headers["TTL"]), urgency, topic))
        return 201

    def _check_sender(self, request: web.Request, device: StandInDevice) -> int | None:
        given = _AUTHORIZATION.fullmatch(request.headers.get("Authorization", ""))
        if given is None:
            return 401
        token, key = given.groups()
        if device.application_server_key not in (None, key):
            return 403
        if self.tokens.get(token, 0) > time.time():
            return None
        try:
            public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), _bytes(key))
            claims = jwt.decode(
                token, public, algorithms=["ES256"], audience=self.url, options={"require": ["aud", "exp", "sub"]}
            )
        except (jwt.InvalidTokenError, ValueError):
            return 403
        subject = urlsplit(str(claims["sub"]))
        if claims["exp"] > time.time() + LONGEST_TOKEN_SECONDS or "localhost" in claims["sub"]:
            return 403
        if subject.scheme not in ("mailto", "https") or not (subject.path or subject.netloc):
            return 403
        self.tokens[token] = claims["exp"]
        return None


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
