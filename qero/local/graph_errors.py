"""Graph's errors, as the stand-in answers with them."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse


class GraphError(Exception):
    """A refusal: Graph's code, with its usual title and HTTP status unless given."""

    def __init__(
        self,
        code: int,
        details: str | None = None,
        *,
        message: str | None = None,
        subcode: int | None = None,
        status: int | None = None,
        is_transient: bool | None = None,
    ) -> None:
        super().__init__(code, details)
        self.code = code
        self.details = details
        self.message = message or f"(#{code}) {TITLES.get(code, 'Error')}"
        self.subcode = subcode
        self.status = status or _status_of(code)
        self.is_transient = is_transient

    def answer(self) -> JSONResponse:
        """The answer in Meta's shape."""
        error: dict[str, Any] = {"message": self.message, "type": "OAuthException", "code": self.code}
        if self.subcode is not None:
            error["error_subcode"] = self.subcode
        if self.is_transient is not None:
            error["is_transient"] = self.is_transient
        if self.details is not None:
            error["error_data"] = {"messaging_product": "whatsapp", "details": self.details}
        error["fbtrace_id"] = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
        return JSONResponse({"error": error}, status_code=self.status)


TITLES: Mapping[int, str] = {
    1: "API Unknown",
    2: "API Service",
    4: "API Too Many Calls",
    10: "Permission Denied",
    33: "Parameter value is not valid",
    100: "Invalid parameter",
    190: "Access token has expired",
    368: "Temporarily blocked for policies violations",
    80007: "Rate limit issues",
    130403: "Permission denied",
    130429: "Rate limit hit",
    130472: "User's number is part of an experiment",
    131000: "Something went wrong",
    131005: "Access denied",
    131008: "Required parameter is missing",
    131009: "Parameter value is not valid",
    131016: "Service unavailable",
    131021: "Recipient cannot be sender",
    131026: "Message undeliverable",
    131031: "Business account locked",
    131042: "Business eligibility payment issue",
    131045: "Incorrect certificate",
    131047: "Re-engagement message",
    131048: "Spam rate limit hit",
    131049: "This message was not delivered to maintain healthy ecosystem engagement",
    131051: "Unsupported message type",
    131053: "Media upload error",
    131056: "(Business Account, Consumer Account) pair rate limit hit",
    131057: "Account in maintenance mode",
    132000: "Number of parameters does not match the expected number of params",
    132001: "Template name does not exist in the translation",
    132012: "Parameter format does not match format in the created template",
    132015: "Template is paused",
    132016: "Template is disabled",
    133010: "Phone number not registered",
    135000: "Generic user error",
}
_STATUSES: Mapping[int, int] = {
    2: 503,
    3: 500,
    10: 403,
    190: 401,
    368: 403,
    130429: 429,
    131000: 500,
    131005: 403,
    131016: 503,
    131031: 403,
    131045: 500,
    131056: 429,
    131057: 500,
    132001: 404,
    133004: 503,
}


def _status_of(code: int) -> int:
    return 403 if 200 <= code < 300 else _STATUSES.get(code, 400)


def bearer(request: Request) -> str:
    """The access token of a request, by header; Graph takes it as a parameter too, where it would end up in logs."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer" or not token:
        raise unparsable_token()
    return token


def unparsable_token() -> GraphError:
    """What an unknown token gets."""
    return GraphError(190, message="Invalid OAuth access token - Cannot parse access token")


def no_such_object(method: str, object_id: str) -> GraphError:
    """What a missing object gets, and one that the token may not see."""
    return GraphError(
        100,
        message=f"Unsupported {method.lower()} request. Object with ID '{object_id}' does not exist, cannot be loaded "
        "due to missing permissions, or does not support this operation.",
        subcode=33,
    )
