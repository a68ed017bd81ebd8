"""Web push: encrypts a notification for one device, sends it to that device's push service, and says what became of it.

The address of a push service comes from a browser, which makes it input like any other: it has to be https, and to lead
to the internet. That is looked at where it is resolved for the connection, so a name can't lead elsewhere afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import re
import secrets
import socket
import time
from bisect import bisect_right
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from types import TracebackType
from typing import Any, Literal, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver
from cachetools import TTLCache
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02
from yarl import URL

from qero.clients.transport import EnvironmentProxies, address_of
from qero.errors import SettingsError
from qero.models.outbox import Accepted, FailureAction, Refused, SendOutcome
from qero.models.push import Device
from qero.settings import Settings

RECORD_SIZE = 4096
PLAIN_LIMIT = 3993
"""Bytes that push services take, which is 4,096 once they are encrypted."""
SHORT_LIMIT = 2000
"""For a push service that finds even that too long."""
TIME_TO_LIVE_SECONDS = 86_400
TOKEN_SECONDS = 12 * 3600
TOKEN_REUSE_SECONDS = 11 * 3600
LONGEST_DELAY_SECONDS = 86_400.0
WRONG_KEYS_DELAY_SECONDS = 300.0
ANSWER_LIMIT = 500

Urgency = Literal["very-low", "low", "normal", "high"]
_SUBJECT = re.compile(r"mailto:[^@\s]+@[^@\s]+\.[^@\s]+|https://[^/\s]+\.[^\s]+")
_CURVE = ec.SECP256R1()
_AGREEMENT = ec.ECDH()
_NAT64 = IPv6Network("64:ff9b::/96")


class VapidKeys:
    """The key pair by which push services know who sends, and a signed token for each, kept while it is good."""

    def __init__(self, private_key: str, *, subject: str, public_key: str | None = None) -> None:
        """
        Args:
            private_key: base64url of 32 bytes, as `generate` makes it.
            subject: whom a push service writes to about trouble: `mailto:…` or `https://…`.
            public_key: when given, has to be the other half.

        Raises:
            SettingsError: `setting_invalid`, naming the variable.
        """
        try:
            # Text only: given the path of a file that isn't there, the library would make up a new pair of keys, and
            # every subscription would be void.
            raw = _raw(private_key)
            self._vapid = Vapid02(ec.derive_private_key(int.from_bytes(raw), ec.SECP256R1()))
            usable = len(raw) == 32
        except ValueError:
            usable = False
        if not usable:
            # The cause would show the key.
            raise _unusable("VAPID_PRIVATE_KEY", "isn't a key of 32 bytes in base64url") from None
        self.public_key = _public_text(self._vapid.private_key)
        if public_key is not None and public_key.rstrip("=") != self.public_key:
            raise _unusable("VAPID_PUBLIC_KEY", "isn't the public half of VAPID_PRIVATE_KEY")
        if not _SUBJECT.fullmatch(subject) or "localhost" in subject:
            raise _unusable("VAPID_SUBJECT", "isn't mailto: and an address, or an https:// URL, that leads to people")
        self._subject = subject
        self._tokens: TTLCache[str, str] = TTLCache(maxsize=1024, ttl=TOKEN_REUSE_SECONDS)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The keys that the settings hold.

        Raises:
            SettingsError: `setting_missing`, `setting_invalid`.
        """
        return cls(
            settings.require("vapid_private_key"),
            subject=settings.require("vapid_subject"),
            public_key=settings.require("vapid_public_key"),
        )

    @staticmethod
    def generate() -> tuple[str, str]:
        """A new pair: the public and the private key."""
        private = ec.generate_private_key(ec.SECP256R1())
        return _public_text(private), _text(private.private_numbers().private_value.to_bytes(32))

    def authorization(self, origin: str) -> str:
        """The header that a push service at `origin` asks for. Signing costs a third of a push, so tokens are kept."""
        token = self._tokens.get(origin)
        if token is None:
            claims = {"aud": origin, "exp": int(time.time()) + TOKEN_SECONDS, "sub": self._subject}
            token = self._tokens[origin] = str(self._vapid.sign(claims)["Authorization"])
        return token


class WebPushClient:
    """Sends to any number of devices over one pool of connections.

    async with WebPushClient(VapidKeys.from_settings(settings)) as client:
        outcome = await client.send(device, {"kind": "test", "title": "Hello", "tag": "test"})
    """

    def __init__(
        self,
        keys: VapidKeys,
        *,
        allowed_origins: frozenset[str] = frozenset(),
        max_connections: int = 100,
        timeout_seconds: float = 10.0,
    ) -> None:
        """
        Args:
            allowed_origins: push services that needn't be on the internet, for tests; `https` isn't asked of them.
            timeout_seconds: for all of a send.
        """
        self._keys = keys
        self._allowed_origins = allowed_origins
        self._max_connections = max_connections
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._proxies = EnvironmentProxies()
        self._session: aiohttp.ClientSession | None = None

    @classmethod
    def from_settings(cls, settings: Settings, *, max_connections: int = 100) -> Self:
        """A client with the keys, and the allowances for tests, that the settings hold.

        Raises:
            SettingsError: `setting_missing`, `setting_invalid`.
        """
        origins = (settings.push_allowed_origins or "").split(",")
        return cls(
            VapidKeys.from_settings(settings),
            allowed_origins=frozenset(origin.strip().rstrip("/") for origin in origins if origin.strip()),
            max_connections=max_connections,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def send(
        self,
        device: Device,
        push: Mapping[str, Any],
        *,
        urgency: Urgency = "normal",
        ttl_seconds: int = TIME_TO_LIVE_SECONDS,
        attempts: int = 1,
    ) -> SendOutcome:
        """Send one notification; what the push service or the network does is an outcome, never an exception.

        May be repeated: a push service keeps one notification of each tag for a device that is away, and a device shows
        one. So an answer that never came is a reason to try again.

        Args:
            push: what the service worker receives; its `tag` says what it takes the place of. Its `body` is cut where
                the whole is too long.
            attempts: how often this was tried, this time included; delays grow with it.
        """
        try:
            # As it stands: a browser has encoded it, and doing so again is a good part of what a request costs.
            url = URL(device.endpoint, encoded=True)
            origin = str(url.origin())
        except ValueError:
            return _failed("push_address_refused", "The push service's address can't be read.")
        if refusal := self._refuse(origin, url):
            return refusal
        headers = {
            "Authorization": self._keys.authorization(origin),
            "Content-Encoding": "aes128gcm",
            "Content-Type": "application/octet-stream",
            "TTL": str(ttl_seconds),
            "Urgency": urgency,
            "Topic": _topic(str(push.get("tag", ""))),
        }
        outcome: SendOutcome | None = None
        for limit in (PLAIN_LIMIT, SHORT_LIMIT):
            try:
                body = _encrypt(device, fit(push, limit))
            except ValueError:
                return _failed("push_keys_unusable", "The subscription's keys aren't a browser's.")
            outcome = await self._post(url, body, headers, attempts)
            if not isinstance(outcome, Refused) or outcome.error_code != "push_too_large":
                break
        assert outcome is not None
        return outcome

    def _refuse(self, origin: str, url: URL) -> Refused | None:
        if origin in self._allowed_origins:
            return None
        if url.scheme != "https":
            return _failed("push_address_refused", "Push services are reached by https only.")
        try:
            literal = ip_address(url.host or "")
        except ValueError:
            return None  # a name, which is looked at when it is resolved
        return None if _is_public(literal) else _failed("push_address_refused", _NOT_PUBLIC)

    async def _post(self, url: URL, body: bytes, headers: Mapping[str, str], attempts: int) -> SendOutcome:
        try:
            async with self._open().post(
                url,
                data=body,
                headers=headers,
                # A redirect would lead past the checks.
                allow_redirects=False,
                proxy=self._proxies.of(url.scheme, url.host or ""),
            ) as response:
                said = b"" if response.status < 300 else await response.content.read(ANSWER_LIMIT)
                return _outcome_of(response.status, response.headers, said.decode("utf-8", "replace"), attempts)
        except aiohttp.ClientConnectorError as error:
            if isinstance(error.os_error, _NotPublicError):
                return _failed("push_address_refused", _NOT_PUBLIC)
            return _later("push_not_sent", f"No connection to the push service ({type(error).__name__}).", attempts)
        except aiohttp.InvalidURL:
            return _failed("push_address_refused", "The push service's address can't be read.")
        except TimeoutError:
            return _later("push_no_answer", f"No answer within {self._timeout.total:g} s.", attempts)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return _later("push_no_answer", f"The connection failed ({type(error).__name__}).", attempts)

    def _open(self) -> aiohttp.ClientSession:
        # Made at the first send, because it belongs to the running event loop.
        if self._session is None:
            allowed = {address_of(origin) for origin in self._allowed_origins} | self._proxies.addresses()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._max_connections, resolver=_PublicResolver(allowed)),
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=self._timeout,
            )
        return self._session


def fit(push: Mapping[str, Any], limit: int = PLAIN_LIMIT) -> bytes:
    """The notification as the service worker gets it, its body cut so that it takes at most `limit` bytes."""
    encoded = _encode(push)
    if len(encoded) <= limit:
        return encoded
    body = str(push.get("body", ""))

    def cut(length: int) -> bytes:
        return _encode({**push, "body": body[:length] + "…"})

    # Searched for, because a character takes one to six bytes.
    too_long = bisect_right(range(len(body)), limit, key=lambda length: len(cut(length)))
    return cut(max(too_long - 1, 0))


def _encode(push: Mapping[str, Any]) -> bytes:
    return json.dumps(push, ensure_ascii=False, separators=(",", ":")).encode()


@lru_cache(maxsize=10_000)
def _receiver(p256dh: str, auth: str) -> tuple[ec.EllipticCurvePublicKey, bytes, bytes]:
    """A subscription's key, as it is used and as it is written, and its secret."""
    key, secret = _raw(p256dh), _raw(auth)
    if len(secret) != 16:
        raise ValueError("the secret of a subscription has 16 bytes")
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, key), key, secret


def _encrypt(device: Device, plain: bytes) -> bytes:
    """The body by RFC 8291, one record of RFC 8188.

    Half of what pywebpush's own call takes goes into objects around four HMACs, and into reading the device's key again
    for every message; what is left is the agreement on a key, which each message has to have anew.
    """
    receiver, receiver_key, secret = _receiver(device.p256dh, device.auth)
    sender = ec.generate_private_key(_CURVE)
    sender_key = sender.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    salt = secrets.token_bytes(16)
    agreed = _hmac(secret, sender.exchange(_AGREEMENT, receiver))
    keys = _hmac(salt, _hmac(agreed, b"WebPush: info\0" + receiver_key + sender_key + b"\1"))
    key = _hmac(keys, b"Content-Encoding: aes128gcm\0\1")[:16]
    nonce = _hmac(keys, b"Content-Encoding: nonce\0\1")[:12]
    header = salt + RECORD_SIZE.to_bytes(4) + len(sender_key).to_bytes(1) + sender_key
    return header + AESGCM(key).encrypt(nonce, plain + b"\2", None)


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, "sha256")


def _raw(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _topic(tag: str) -> str:
    """At most 32 URL-safe characters, and nothing that a push service could read."""
    return _text(hashlib.sha256(tag.encode()).digest())[:32]


def _outcome_of(status: int, headers: Mapping[str, str], said: str, attempts: int) -> SendOutcome:
    text = f"The push service answered {status}: {said}".rstrip(": ")
    if 200 <= status < 300:
        # The name that the push service gives it would let whoever reads it withdraw the notification.
        return Accepted(provider_message_id="accepted")
    if status in (404, 410):
        return _failed("push_gone", text)
    if status == 413:
        return _failed("push_too_large", text)
    if status in (401, 403):
        # Our keys are wrong, or not the ones that the device subscribed with; that is no reason to forget the device.
        return _retry("push_keys_refused", text, WRONG_KEYS_DELAY_SECONDS)
    if status == 429 or status >= 500:
        asked = retry_after(headers.get("Retry-After"))
        code = "push_rate_limited" if status == 429 else "push_unavailable"
        return _later(code, text, attempts) if asked is None else _retry(code, text, asked)
    return _failed("push_refused", text)


def retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Seconds to wait by a Retry-After header, which is seconds or a date; None when it says neither."""
    if value is None:
        return None
    if value.strip().isdecimal():
        seconds = float(value)
    else:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        seconds = (moment.replace(tzinfo=moment.tzinfo or UTC) - (now or datetime.now(UTC))).total_seconds()
    return min(max(seconds, 1.0), LONGEST_DELAY_SECONDS)


def _later(code: str, text: str, attempts: int) -> Refused:
    delay = min(5.0 * 4.0 ** min(attempts - 1, 10), 900.0)
    return _retry(code, text, delay * random.uniform(0.75, 1.25))  # noqa: S311 (spreads load, guards nothing)


def _retry(code: str, text: str, delay: float) -> Refused:
    return Refused(action=FailureAction.RETRY, error_code=code, error_text=text, delay=delay)


def _failed(code: str, text: str) -> Refused:
    return Refused(action=FailureAction.FAIL, error_code=code, error_text=text)


_NOT_PUBLIC = "The push service's address isn't on the internet."


class _NotPublicError(OSError):
    """A name leads to an address that isn't on the internet."""


class _PublicResolver(AbstractResolver):
    """Refuses names that lead into a private network, at the very look-up that the connection is made with."""

    def __init__(self, allowed: set[tuple[str, int]]) -> None:
        self._allowed = allowed
        self._resolver = DefaultResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found: list[ResolveResult] = await self._resolver.resolve(host, port, family)
        if (host, port) not in self._allowed and not all(
            _is_public(ip_address(entry["host"].partition("%")[0])) for entry in found
        ):
            raise _NotPublicError(_NOT_PUBLIC)
        return found

    async def close(self) -> None:
        await self._resolver.close()


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        # Addresses that carry an older one lead where that leads.
        teredo = address.teredo
        inner = address.ipv4_mapped or address.sixtofour or (teredo and teredo[1])
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner:
            return _is_public(inner)
    return address.is_global and not address.is_multicast


def _public_text(private: ec.EllipticCurvePrivateKey) -> str:
    return _text(private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _unusable(variable: str, problem: str) -> SettingsError:
    return SettingsError("setting_invalid", f"{variable} {problem}.", detail={"setting": variable})
