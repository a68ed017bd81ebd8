"""The stack's keys and the one place that turns a token or API key into claims.

Both of hosted's generations exist side by side: the opaque `sb_publishable_…` / `sb_secret_…` keys, and the
legacy `anon` / `service_role` keys, which are JWTs signed with the project's secret.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

import jwt
from pydantic import BaseModel, ConfigDict

Claims = Mapping[str, Any]

LEGACY_KEY_LIFETIME_SECONDS = 10 * 365 * 24 * 3600
OPAQUE_KEY_TOKEN_SECONDS = 300


class InvalidToken(Exception):
    """The token or API key is unknown, forged, malformed or expired; the message says which."""


class Keys(BaseModel):
    """Every secret of one local stack. `repr` shows none of them."""

    model_config = ConfigDict(frozen=True)

    jwt_secret: str
    publishable: str
    secret: str
    anon: str
    service_role: str
    database_password: str

    def __repr__(self) -> str:
        return "Keys(…)"

    __str__ = __repr__

    @classmethod
    def generate(cls) -> Keys:
        jwt_secret = secrets.token_urlsafe(48)
        return cls(
            jwt_secret=jwt_secret,
            publishable=f"sb_publishable_{secrets.token_urlsafe(24)}",
            secret=f"sb_secret_{secrets.token_urlsafe(24)}",
            anon=_sign(jwt_secret, "anon", LEGACY_KEY_LIFETIME_SECONDS),
            service_role=_sign(jwt_secret, "service_role", LEGACY_KEY_LIFETIME_SECONDS),
            database_password=secrets.token_urlsafe(24),
        )

    def role_of_api_key(self, key: str | None) -> str | None:
        """The database role an API key of either generation stands for, or None for an unknown key."""
        if key is None:
            return None
        for known, role in (
            (self.publishable, "anon"),
            (self.anon, "anon"),
            (self.secret, "service_role"),
            (self.service_role, "service_role"),
        ):
            if secrets.compare_digest(key.encode(), known.encode()):
                return role
        return None

    def claims(self, token: str) -> Claims:
        """The verified claims of an API key (either generation) or a user's access token.

        Raises:
            InvalidToken: unknown key, bad signature, expired, or without `role` and `exp`.
        """
        role = self.role_of_api_key(token)
        if role is not None:
            return {"role": role, "iss": "supabase", "exp": int(time.time()) + LEGACY_KEY_LIFETIME_SECONDS}
        try:
            return jwt.decode(
                token,
                self.jwt_secret,
                algorithms=["HS256"],
                options={"verify_aud": False, "require": ["role", "exp"]},
            )
        except jwt.PyJWTError as error:
            raise InvalidToken(str(error)) from error

    def token_for_role(self, role: str) -> str:
        """A short-lived JWT for services that only understand JWTs (PostgREST)."""
        return _sign(self.jwt_secret, role, OPAQUE_KEY_TOKEN_SECONDS)


def _sign(jwt_secret: str, role: str, lifetime_seconds: int) -> str:
    now = int(time.time())
    return jwt.encode({"iss": "supabase", "role": role, "iat": now, "exp": now + lifetime_seconds}, jwt_secret, "HS256")
