"""Who a channel acts as: a verified token, in the form the database is asked with."""

from __future__ import annotations

import time
from dataclasses import dataclass

import jwt

from qero.local.keys import InvalidToken, Keys
from qero.local.realtime.protocol import to_json


class TokenRefused(Exception):
    """A token that opens nothing. `str()` is what a client that has a channel is told."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.reason = f"{code}: {message}"
        """What a client that wants to join is told."""


@dataclass(frozen=True, slots=True)
class Identity:
    token: str
    role: str
    claims: str
    """The claims as JSON, keys sorted: equal for every channel of the same token."""
    expires_at: float

    @property
    def seconds_left(self) -> float:
        return self.expires_at - time.time()


def verify(keys: Keys, token: str) -> Identity:
    """
    Raises:
        TokenRefused: expired, forged or malformed.
    """
    try:
        claims = keys.claims(token)
    except InvalidToken as error:
        raise _refusal(error, token) from error
    shown = dict(sorted(claims.items()))
    if keys.role_of_api_key(token) is not None:
        # Made up from the clock, it would keep equal readers apart.
        del shown["exp"]
    return Identity(
        token=token,
        role=str(claims["role"]),
        claims=to_json(shown),
        expires_at=float(claims["exp"]),
    )


def _refusal(error: InvalidToken, token: str) -> TokenRefused:
    cause = error.__cause__
    if isinstance(cause, jwt.ExpiredSignatureError):
        return TokenRefused("InvalidJWTToken", f"Token has expired {_seconds_expired(token)} seconds ago")
    if isinstance(cause, jwt.MissingRequiredClaimError):
        return TokenRefused("InvalidJWTToken", "Fields `role` and `exp` are required in JWT")
    if isinstance(cause, jwt.InvalidSignatureError):
        return TokenRefused("JwtSignatureError", "Failed to validate JWT signature")
    return TokenRefused("MalformedJWT", "The token provided is not a valid JWT")


def _seconds_expired(token: str) -> int:
    claims = jwt.decode(token, options={"verify_signature": False})
    return max(0, int(time.time() - claims["exp"]))
