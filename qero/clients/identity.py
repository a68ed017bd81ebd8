"""Verifies access tokens, so that nothing personal ever runs without a user.

Projects with asymmetric signing keys are verified locally against the published keys; projects that still share a
secret are verified with it where it is configured, and otherwise by asking the auth server. A token that was found good
is remembered for a short while.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import re
import time
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import jwt
from cachetools import TTLCache

from qero.errors import NetworkError, NotAuthenticated

USER_AUDIENCE = "authenticated"
USER_ROLE = "authenticated"
ASYMMETRIC_ALGORITHMS = ("ES256", "RS256", "EdDSA")
KEY_SET_SECONDS = 600
# A key set is fetched again for an unknown key id at most this often, so that forged ids can't cause a stampede.
KEY_SET_MIN_SECONDS = 10
VERIFIED_SECONDS = 30
# While the auth server is down, those who wait for the key set are told at once instead of one time-out after another.
KEY_SET_FAILURE_SECONDS = 1
CLOCK_LEEWAY_SECONDS = 5
_TOKEN = re.compile(r"[A-Za-z0-9._=-]+")


@dataclass(frozen=True)
class Identity:
    """Who a verified access token belongs to."""

    user_id: UUID
    email: str | None
    session_id: str | None
    expires_at: int
    """Unix time in seconds."""
    is_anonymous: bool = False


class TokenVerifier:
    """One per process; keeps the project's public keys, and for 30 seconds which tokens were found good."""

    def __init__(
        self, http: httpx.AsyncClient, *, url: str, publishable_key: str, jwt_secret: str | None = None
    ) -> None:
        self._http = http
        self._auth_url = f"{url.rstrip('/')}/auth/v1"
        self._publishable_key = publishable_key
        self._jwt_secret = jwt_secret
        self._key_set: jwt.PyJWKSet | None = None
        self._key_set_at = float("-inf")
        self._key_set_lock = asyncio.Lock()
        self._key_set_failure: tuple[float, NetworkError] | None = None
        self._verified: TTLCache[bytes, Identity] = TTLCache(maxsize=10_000, ttl=VERIFIED_SECONDS)

    async def verify(self, token: str) -> Identity:
        """The identity behind a user's access token.

        Raises:
            NotAuthenticated: `token_expired`, `token_invalid`, or `token_wrong_audience` for API keys, service
                tokens and tokens of another audience, role or project.
            NotAuthenticated: `api_key_invalid`, the auth server refused qero's own publishable key.
            NetworkError: `network_error`, the auth server couldn't be asked.
        """
        if token.startswith("sb_"):
            raise NotAuthenticated("token_wrong_audience")
        if not _TOKEN.fullmatch(token):
            raise NotAuthenticated("token_invalid")
        fingerprint = hashlib.sha256(token.encode()).digest()
        known = self._verified.get(fingerprint)
        if known is not None and known.expires_at + CLOCK_LEEWAY_SECONDS > time.time():
            return known
        identity = self._verified[fingerprint] = await self._verify(token)
        return identity

    async def _verify(self, token: str) -> Identity:
        try:
            header = jwt.get_unverified_header(token)
            unverified = jwt.decode(token, options={"verify_signature": False})
        except (jwt.PyJWTError, ValueError, RecursionError) as error:
            raise NotAuthenticated("token_invalid") from error
        # The cheap refusals come first: they need no key and no request.
        _check_claims(unverified, issuer=self._auth_url)
        algorithm = header.get("alg")
        if algorithm in ASYMMETRIC_ALGORITHMS:
            claims = _decode(token, await self._public_key(header.get("kid")), str(algorithm))
        elif algorithm == "HS256" and self._jwt_secret is not None:
            claims = _decode(token, self._jwt_secret, "HS256")
        elif algorithm == "HS256":
            await self._ask_auth_server(token)
            claims = unverified
        else:
            raise NotAuthenticated("token_invalid", "The access token uses a signing algorithm that isn't accepted.")
        return _identity(claims)

    async def _public_key(self, key_id: str | None) -> jwt.PyJWK:
        async with self._key_set_lock:
            age = time.monotonic() - self._key_set_at
            known = self._find_key(key_id)
            if age > KEY_SET_SECONDS or (known is None and age > KEY_SET_MIN_SECONDS):
                self._key_set = await self._fetch_key_set()
                self._key_set_at = time.monotonic()
                known = self._find_key(key_id)
        if known is None:
            raise NotAuthenticated(
                "token_invalid", "The access token is signed with a key this project doesn't publish."
            )
        return known

    async def _fetch_key_set(self) -> jwt.PyJWKSet | None:
        if self._key_set_failure is not None and time.monotonic() - self._key_set_failure[0] < KEY_SET_FAILURE_SECONDS:
            raise self._key_set_failure[1]
        try:
            answer = await self._get("/.well-known/jwks.json")
            if answer.status_code != 200:
                raise self._no_verdict("/.well-known/jwks.json", answer)
        except NetworkError as error:
            self._key_set_failure = (time.monotonic(), error)
            raise
        try:
            return jwt.PyJWKSet.from_dict(answer.json())
        except (jwt.PyJWTError, ValueError, AttributeError, TypeError):
            return None

    def _find_key(self, key_id: str | None) -> jwt.PyJWK | None:
        keys = self._key_set.keys if self._key_set else []
        # A published secret would verify whatever anybody signs with it.
        return next((key for key in keys if key.key_id == key_id and key.key_type != "oct"), None)

    async def _ask_auth_server(self, token: str) -> None:
        answer = await self._get("/user", authorization=f"Bearer {token}")
        if answer.status_code == 401 and "api key" in answer.text.lower():
            raise NotAuthenticated("api_key_invalid")
        if answer.status_code in (401, 403, 404):
            raise NotAuthenticated("token_invalid")
        if answer.status_code != 200:
            raise self._no_verdict("/user", answer)

    def _no_verdict(self, path: str, answer: httpx.Response) -> NetworkError:
        return NetworkError(
            "network_error",
            "The auth server couldn't verify the access token.",
            detail={"url": f"{self._auth_url}{path}", "status": answer.status_code},
        )

    async def _get(self, path: str, **headers: str) -> httpx.Response:
        try:
            return await self._http.get(f"{self._auth_url}{path}", headers={"apikey": self._publishable_key, **headers})
        except httpx.HTTPError as error:
            raise NetworkError(
                "network_error",
                "The auth server can't be reached.",
                detail={"url": f"{self._auth_url}{path}", "reason": type(error).__name__},
            ) from error


def _decode(token: str, key: jwt.PyJWK | str, algorithm: str) -> dict[str, Any]:
    try:
        return jwt.decode(token, key, algorithms=[algorithm], audience=USER_AUDIENCE, leeway=CLOCK_LEEWAY_SECONDS)
    except jwt.ExpiredSignatureError as error:
        raise NotAuthenticated("token_expired") from error
    except jwt.PyJWTError as error:
        raise NotAuthenticated("token_invalid") from error


def _check_claims(claims: dict[str, Any], *, issuer: str) -> None:
    audience = claims.get("aud")
    audiences = audience if isinstance(audience, list) else [audience]
    if claims.get("role") != USER_ROLE or USER_AUDIENCE not in audiences:
        raise NotAuthenticated("token_wrong_audience")
    if claims.get("iss") != issuer:
        raise NotAuthenticated("token_wrong_audience", "The access token was issued by another project.")
    expires_at = claims.get("exp")
    if not isinstance(expires_at, int | float) or not math.isfinite(expires_at):
        raise NotAuthenticated("token_invalid", "The access token has no expiry.")
    if expires_at + CLOCK_LEEWAY_SECONDS <= time.time():
        raise NotAuthenticated("token_expired")


def _identity(claims: dict[str, Any]) -> Identity:
    try:
        user_id = UUID(str(claims["sub"]))
    except (KeyError, ValueError) as error:
        raise NotAuthenticated("token_invalid", "The access token names no user.") from error
    return Identity(
        user_id=user_id,
        email=claims.get("email") or None,
        session_id=claims.get("session_id"),
        expires_at=int(claims["exp"]),
        is_anonymous=bool(claims.get("is_anonymous", False)),
    )
