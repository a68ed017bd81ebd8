"""Embedded signup at the stand-in for Meta's Graph API: codes, tokens, and what a token may read.

    graph.signup.add_app("870", "app-secret")
    code = graph.signup.grant("870", waba_ids=[number.waba_id], user_id="5501")

is what happens when somebody finishes Meta's dialog: the code is good for 30 seconds and once, and its token reads the
accounts named and their numbers.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from qero.local.graph_errors import GraphError, bearer, no_such_object, unparsable_token
from qero.local.graph_templates import TemplatesStandIn

if TYPE_CHECKING:
    from qero.local.graph import GraphFault, Number

CODE_SECONDS = 30.0
MANAGEMENT = "whatsapp_business_management"
MESSAGING = "whatsapp_business_messaging"


@dataclass
class Grant:
    """What a Meta user has given an app, and the token that stands for it."""

    app_id: str
    user_id: str
    waba_ids: tuple[str, ...]
    hidden_phone_number_ids: frozenset[str]
    """Numbers of those accounts that the token can't read all the same."""
    scopes: tuple[str, ...]
    granular_scopes: tuple[str, ...]
    access_token: str = field(default_factory=lambda: f"EAA{uuid4().hex}", repr=False)
    revoked: bool = False


@dataclass
class _Code:
    grant: Grant
    redirect_uri: str | None
    granted_at: float
    used: bool = False


class SignupStandIn:
    """Graph's part in a signup. `subscribed` keeps the pairs of app and business account that get webhooks."""

    def __init__(self, numbers: Mapping[str, Number], templates: TemplatesStandIn) -> None:
        self.subscribed: list[tuple[str, str]] = []
        self.asked: list[str] = []
        """Every request, in order, as its method and path."""
        self._numbers = numbers
        self._templates = templates
        self._apps: dict[str, str] = {}
        self._codes: dict[str, _Code] = {}
        self._grants: dict[str, Grant] = {}
        self._faults: dict[str, GraphFault] = {}
        self._ahead = 0.0

    def add_app(self, app_id: str, app_secret: str) -> None:
        """Know an app."""
        self._apps[app_id] = app_secret

    def grant(
        self,
        app_id: str,
        *,
        waba_ids: Sequence[str],
        user_id: str = "5500000001",
        redirect_uri: str | None = None,
        scopes: Sequence[str] = (MANAGEMENT, MESSAGING),
        granular_scopes: Sequence[str] | None = None,
        hidden_phone_number_ids: Collection[str] = (),
    ) -> str:
        """The code that Meta hands out when somebody has finished its dialog.

        Args:
            waba_ids: the business accounts shared, the newest first.
            redirect_uri: where Meta sent the browser; None in the JavaScript SDK's dialog.
            granular_scopes: the scopes whose targets `debug_token` names; all unless given.
        """
        code = f"AQ{uuid4().hex}"
        granular = scopes if granular_scopes is None else granular_scopes
        given = Grant(
            app_id, user_id, tuple(waba_ids), frozenset(hidden_phone_number_ids), tuple(scopes), tuple(granular)
        )
        self._codes[code] = _Code(given, redirect_uri, self._now())
        return code

    def pass_time(self, seconds: float) -> None:
        """Let codes age."""
        self._ahead += seconds

    def revoke(self, user_id: str) -> None:
        """A user withdraws what they granted: their tokens are no longer good."""
        for grant in self._grants.values():
            grant.revoked = grant.revoked or grant.user_id == user_id

    def fail(self, edge: str, fault: GraphFault) -> None:
        """Refuse the next request whose path ends so, e.g. `subscribed_apps`."""
        self._faults[edge] = fault

    def phone_number_ids(self, access_token: str) -> set[str]:
        """The numbers that a token granted here may send from."""
        grant = self._grants.get(access_token)
        if grant is None or grant.revoked or MESSAGING not in grant.scopes:
            return set()
        return {id_ for id_, number in self._numbers.items() if _reads(grant, number)}

    def answer(self, request: Request, path: str) -> Response:
        """Answer a request for `path`, which comes after the version."""
        self.asked.append(f"{request.method} {path}")
        fault = next((self._faults.pop(edge) for edge in list(self._faults) if path.endswith(edge)), None)
        if fault is not None:
            raise GraphError(
                fault.code, fault.details, subcode=fault.subcode, status=fault.status, is_transient=fault.is_transient
            )
        return JSONResponse(self._body(request, path))

    def _body(self, request: Request, path: str) -> dict[str, Any]:
        query = request.query_params
        match request.method, path.split("/"):
            case "GET", ["oauth", "access_token"]:
                return self._exchange(query)
            case "GET", ["debug_token"]:
                return self._debug(bearer(request), query)
            case "GET", [waba_id, "phone_numbers"]:
                self._grant_for(request, waba_id)
                numbers = [_shown(number, query.get("fields")) for number in self._numbers_of(request, waba_id)]
                return _page(numbers, query, request)
            case "GET", [waba_id, "message_templates"]:
                self._grant_for(request, waba_id)
                return _page(self._templates.shown(waba_id, query.get("fields")), query, request)
            case "POST", [waba_id, "subscribed_apps"]:
                grant = self._grant_for(request, waba_id)
                if (grant.app_id, waba_id) not in self.subscribed:
                    self.subscribed.append((grant.app_id, waba_id))
                return {"success": True}
            case "GET", [phone_number_id]:
                found = self._numbers.get(phone_number_id)
                if found is None or not _reads(self._granted(request), found):
                    raise no_such_object(request.method, phone_number_id)
                return _shown(found, query.get("fields"))
        self._granted(request)
        raise no_such_object(request.method, path.partition("/")[0])

    def _exchange(self, query: Mapping[str, str]) -> dict[str, Any]:
        if not query.get("client_id"):
            raise GraphError(101, message="Missing client_id parameter.")
        secret = self._apps.get(query["client_id"])
        if secret is None:
            raise GraphError(101, message="Error validating application. Cannot get application info.")
        if query.get("client_secret") != secret:
            raise GraphError(1, message="Error validating client secret.")
        code = self._codes.get(query.get("code", ""))
        if code is None or code.grant.app_id != query["client_id"]:
            raise GraphError(100, message="Invalid verification code format.")
        if code.used:
            raise GraphError(100, message="This authorization code has been used.", subcode=36009)
        if self._now() - code.granted_at > CODE_SECONDS:
            raise GraphError(100, message="This authorization code has expired.", subcode=36007)
        if query.get("redirect_uri") != code.redirect_uri:
            raise GraphError(
                100,
                message="Error validating verification code. Please make sure your redirect_uri is identical to the "
                "one you used in the OAuth dialog request",
                subcode=36008,
            )
        code.used = True
        self._grants[code.grant.access_token] = code.grant
        return {"access_token": code.grant.access_token, "token_type": "bearer"}

    def _debug(self, app_token: str, query: Mapping[str, str]) -> dict[str, Any]:
        app_id, _, secret = app_token.partition("|")
        if not secret or self._apps.get(app_id) != secret:
            raise unparsable_token()
        if not query.get("input_token"):
            raise GraphError(100, message="(#100) The parameter input_token is required")
        grant = self._grants.get(query["input_token"])
        if grant is None or grant.revoked:
            problem = {"code": 190, "message": "Invalid OAuth access token.", "subcode": 463}
            return {"data": {"error": problem, "is_valid": False, "scopes": []}}
        if grant.app_id != app_id:
            raise GraphError(100, message="(#100) The App_id in the input_token did not match the Viewing App")
        return {
            "data": {
                "app_id": grant.app_id,
                "type": "SYSTEM_USER",
                "application": "Stand-in",
                "expires_at": 0,
                "is_valid": True,
                "scopes": [*grant.scopes, "public_profile"],
                "granular_scopes": [
                    {"scope": scope, "target_ids": list(grant.waba_ids)} for scope in grant.granular_scopes
                ],
                "user_id": grant.user_id,
            }
        }

    def _granted(self, request: Request) -> Grant:
        token = bearer(request)
        grant = self._grants.get(token)
        if grant is None:
            # A token that came with a number reads that number's account.
            own = [number for number in self._numbers.values() if number.access_token == token]
            if not own:
                raise unparsable_token()
            both = (MANAGEMENT, MESSAGING)
            grant = Grant("", "", tuple(number.waba_id for number in own), frozenset(), both, both, token)
        if grant.revoked:
            raise GraphError(190, message="Error validating access token: the user has not authorized the application.")
        return grant

    def _grant_for(self, request: Request, waba_id: str) -> Grant:
        grant = self._granted(request)
        if waba_id not in grant.waba_ids:
            raise no_such_object(request.method, waba_id)
        if MANAGEMENT not in grant.scopes:
            raise GraphError(200, message="(#200) You do not have the necessary permissions required.")
        return grant

    def _numbers_of(self, request: Request, waba_id: str) -> list[Number]:
        grant = self._granted(request)
        return [number for number in self._numbers.values() if number.waba_id == waba_id and _listed(grant, number)]

    def _now(self) -> float:
        return time.monotonic() + self._ahead


def signed_request(user_id: str, app_secret: str) -> str:
    """What Meta posts when a user removes the app: the value of the form's only field."""
    payload = _base64url(
        json.dumps({"algorithm": "HMAC-SHA256", "issued_at": int(time.time()), "user_id": user_id}).encode()
    )
    signature = hmac.new(app_secret.encode(), payload.encode(), hashlib.sha256).digest()
    return f"{_base64url(signature)}.{payload}"


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _page(listed: list[dict[str, Any]], query: Mapping[str, str], request: Request) -> dict[str, Any]:
    limit = int(query.get("limit", "25"))
    first = int(query.get("after", "-1")) + 1
    page = listed[first : first + limit]
    body: dict[str, Any] = {"data": page}
    if page:
        last = first + len(page) - 1
        body["paging"] = {"cursors": {"before": str(first), "after": str(last)}}
        if last + 1 < len(listed):
            body["paging"]["next"] = str(request.url.include_query_params(after=last))
    return body


def _listed(grant: Grant, number: Number) -> bool:
    return number.waba_id in grant.waba_ids


def _reads(grant: Grant, number: Number) -> bool:
    return _listed(grant, number) and number.phone_number_id not in grant.hidden_phone_number_ids


def _shown(number: Number, fields: str | None) -> dict[str, Any]:
    known = {
        "id": number.phone_number_id,
        "display_phone_number": f"+{number.display_phone_number}",
        "verified_name": number.verified_name,
        "code_verification_status": "VERIFIED",
        "quality_rating": "GREEN",
    }
    wanted = fields.split(",") if fields else list(known)
    for name in wanted:
        if name not in known:
            raise GraphError(100, message=f"(#100) Tried accessing nonexisting field ({name})")
    return {name: known[name] for name in dict.fromkeys([*wanted, "id"])}
