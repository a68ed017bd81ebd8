"""Meta's Graph API: sends WhatsApp messages and says what became of each, and asks what a signup needs to know.

A send ends in one of three ways, and telling them apart is the point of this module: accepted, certainly
refused, or not known. Graph has no idempotency key, so a message whose outcome isn't known must never be sent
again blindly; its opaque id comes back with the statuses and settles it. The other calls only ask, or may be repeated:
they return what they were asked for or raise a typed error.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Self, TypeVar
from urllib.parse import quote, urljoin

import httpx
from pydantic import TypeAdapter, ValidationError

from qero.errors import InvalidInput, InvalidState, NetworkError, QeroError, Unavailable, error_for
from qero.models.outbox import Accepted, FailureAction, Refused, Scope, SendOutcome, Unknown
from qero.models.signup import MetaPhoneNumber, TokenInfo
from qero.settings import Settings

T = TypeVar("T")
OPAQUE_ID_LIMIT = 512
DAY_SECONDS = 86_400.0
PAGE_SIZE = 100
PAGES_LIMIT = 50

# Nothing of the request can have left when one of these is raised. Every other transport error may come after
# Meta has read the request: httpx reports even a failed write only once it has also failed to read an answer.
_BEFORE_SENDING = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True)
class ErrorClass:
    """How messages refused with one of a group of codes are handled."""

    action: FailureAction
    scope: Scope = Scope.MESSAGE
    delay: Callable[[int], float] | None = None
    """Seconds until the next try, from the number of attempts made."""
    tries: int | None = None
    """Attempts after which the message fails whatever the queue still allows."""
    only: Callable[[Mapping[str, Any]], bool] | None = None
    """Payloads that the action suits; others fail."""
    advice: str | None = None


def _backoff(base: float, *, limit: float, at_least: float) -> Callable[[int], float]:
    """Exponential with jitter, so that messages refused together don't come back together, and not at once either."""

    def delay(attempts: int) -> float:
        ceiling = min(limit, base * 2.0 ** min(attempts - 1, 32))
        return at_least + random.uniform(0.0, ceiling)  # noqa: S311 (spreads load, guards nothing)

    return delay


def _pair_delay(attempts: int) -> float:
    return min(4.0**attempts, 3600.0)


def _has_linked_media(payload: Mapping[str, Any]) -> bool:
    content = payload.get(str(payload.get("type")))
    return isinstance(content, Mapping) and "link" in content


def _is_template(payload: Mapping[str, Any]) -> bool:
    return payload.get("type") == "template"


_SECONDS = _backoff(2.0, limit=60.0, at_least=1.0)
_MINUTES = _backoff(60.0, limit=900.0, at_least=60.0)

TRANSIENT = ErrorClass(FailureAction.RETRY, delay=_SECONDS)
PERMANENT = ErrorClass(FailureAction.FAIL)
BLOCKED = ErrorClass(FailureAction.PAUSE_CONNECTION, Scope.NUMBER)

# Graph's codes decide, never HTTP status or title: Meta documents both as unstable.
ERROR_CLASSES: tuple[tuple[ErrorClass, tuple[int | range, ...]], ...] = (
    (ErrorClass(FailureAction.RETRY, Scope.NUMBER, _SECONDS), (130429,)),
    (ErrorClass(FailureAction.RETRY, Scope.RECIPIENT, _pair_delay), (131056,)),
    (ErrorClass(FailureAction.RETRY, Scope.APP, _MINUTES), (4,)),
    (ErrorClass(FailureAction.RETRY, Scope.ACCOUNT, _MINUTES), (80007,)),
    (TRANSIENT, (1, 2, 131000, 131016, 133004)),
    (ErrorClass(FailureAction.RETRY, delay=_MINUTES), (131057, 134101)),
    (ErrorClass(FailureAction.RETRY, delay=_SECONDS, tries=2, only=_has_linked_media), (131053,)),
    (BLOCKED, (0, 3, 10, 190, range(200, 300), 131005)),  # authorisation
    (BLOCKED, (33, 131037, 131045, 133006, 133010)),  # the number itself
    (BLOCKED, (368, 131031)),  # policy
    (BLOCKED, (131042,)),  # billing
    (BLOCKED, (131048, 131064)),  # spam
    (ErrorClass(FailureAction.RETRY, delay=lambda _: DAY_SECONDS, only=_is_template), (131049,)),
    (PERMANENT, (100, 131008, 131009, 131021, 131026, 131050, 131051, 131062, 131063)),
    (PERMANENT, (130403, 130472, 130497, range(132000, 132017), 132068, 132069, 135000)),
    (ErrorClass(FailureAction.FAIL, advice="Send an approved template instead."), (131047,)),
)

_CLASS_OF_CODE: Mapping[int, ErrorClass] = {
    code: error_class
    for error_class, codes in ERROR_CLASSES
    for group in codes
    for code in (group if isinstance(group, range) else (group,))
}


@dataclass(frozen=True)
class MetaApp:
    """The app at Meta on whose behalf numbers are connected."""

    app_id: str
    config_id: str
    secret: str = field(repr=False)
    graph_version: str
    redirect_uri: str | None = None
    """Where Meta sends browsers back to after a signup by redirect; None while that isn't set up."""

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The app that the settings describe.

        META_OAUTH_REDIRECT_URI may be a path: then QERO_PUBLIC_URL comes before it.

        Raises:
            InvalidState: `signup_not_offered`, naming the settings that are missing.
        """
        needed = {
            "NEXT_PUBLIC_META_APP_ID": settings.meta_app_id,
            "NEXT_PUBLIC_META_CONFIG_ID": settings.meta_config_id,
            "META_APP_SECRET": settings.meta_app_secret,
            "QERO_SECRET_KEYS": settings.secret_keys,
        }
        if missing := [name for name, value in needed.items() if value is None]:
            raise InvalidState("signup_not_offered", detail={"missing": missing})
        redirect_uri = urljoin(settings.public_url or "", settings.meta_oauth_redirect_uri)
        return cls(
            settings.require("meta_app_id"),
            settings.require("meta_config_id"),
            settings.require("meta_app_secret"),
            settings.graph_version,
            redirect_uri if redirect_uri.startswith(("http://", "https://")) else None,
        )


class GraphClient:
    """Meta's Graph API for any number of connections: the token comes with each call and is kept nowhere."""

    def __init__(self, http: httpx.AsyncClient, *, base_url: str, version: str) -> None:
        self._http = http
        self._url = f"{base_url.rstrip('/')}/{version}"

    @classmethod
    def from_settings(cls, settings: Settings, http: httpx.AsyncClient) -> Self:
        """For META_GRAPH_URL and META_GRAPH_VERSION."""
        return cls(http, base_url=settings.graph_url, version=settings.graph_version)

    async def send_message(
        self,
        *,
        phone_number_id: str,
        access_token: str,
        recipient: str,
        payload: Mapping[str, Any],
        opaque_id: str,
        attempts: int = 1,
    ) -> SendOutcome:
        """Send one message from a number; what Meta or the network does is an outcome, never an exception.

        Not idempotent: after `Unknown` wait for a status that carries `opaque_id`.

        Args:
            recipient: `+` and a phone number with country code, or a business-scoped user id.
            payload: the body of `/messages` without product, recipient and opaque id; with `status`, it is a read
                receipt, which goes to nobody and is answered without an id.
            opaque_id: comes back with every status of the message; at most 512 characters.
            attempts: how often this message was tried, this time included; delays grow with it.

        Raises:
            InvalidInput: `invalid_value`, the opaque id is too long; nothing was sent.
        """
        if len(opaque_id) > OPAQUE_ID_LIMIT:
            raise InvalidInput("invalid_value", detail={"field": "opaque_id", "max_length": OPAQUE_ID_LIMIT})
        # The libraries below quote an unusable header in their errors: check the token before they see it.
        if not access_token or not all("!" <= character <= "~" for character in access_token):
            return Refused(
                action=FailureAction.PAUSE_CONNECTION,
                error_code="access_token_malformed",
                error_text="The connection's access token is empty or contains characters no token has.",
                scope=Scope.NUMBER,
            )
        body = {**payload, "messaging_product": "whatsapp"}
        if "status" not in payload:
            body |= {
                "recipient_type": "individual",
                ("to" if recipient.startswith("+") else "recipient"): recipient,
                "biz_opaque_callback_data": opaque_id,
            }
        try:
            response = await self._http.post(
                f"{self._url}/{quote(phone_number_id, safe='')}/messages",
                headers={"Authorization": f"Bearer {access_token}"},
                json=body,
                follow_redirects=False,
            )
        except _BEFORE_SENDING as error:
            return _refused(TRANSIENT, "not_sent", f"No connection to Graph ({type(error).__name__}).", attempts)
        except httpx.HTTPError as error:
            if "status" in payload:
                # Telling it twice does no harm, and no status will ever settle it.
                return _refused(TRANSIENT, "no_answer", f"No whole answer ({type(error).__name__}).", attempts)
            return Unknown(
                error_code="no_answer",
                error_text=f"The request left, but no whole answer came back ({type(error).__name__}).",
            )
        return _outcome_of(response, payload=payload, attempts=attempts, access_token=access_token)

    async def exchange_code(self, app: MetaApp, code: str, *, redirect_uri: str | None = None) -> str:
        """The access token behind a signup's code; within 30 seconds, and once.

        Args:
            redirect_uri: the very address that Meta sent the browser back to; None with the JavaScript SDK.

        Raises:
            InvalidInput: `signup_code_invalid`, it is unknown, used, too old or made for another address.
            InvalidState: `meta_refused`, the app's id or secret for instance.
            Unavailable: `unavailable`, `network_error`; the code may be used up.
        """
        query = {"client_id": app.app_id, "client_secret": app.secret, "code": code}
        if redirect_uri is not None:
            query["redirect_uri"] = redirect_uri
        body = await self._ask("GET", "oauth/access_token", query, secrets=(app.secret, code), refusals=_CODE_REFUSALS)
        return _read(str, body.get("access_token"), "oauth/access_token")

    async def debug_token(self, app: MetaApp, access_token: str) -> TokenInfo:
        """What Meta knows about a token: whether it is good, which app and user it is for, and what it opens.

        Raises:
            InvalidState: `meta_refused`.
            Unavailable: `unavailable`, `network_error`.
        """
        body = await self._ask(
            "GET", "debug_token", {"input_token": access_token},
            token=f"{app.app_id}|{app.secret}", secrets=(app.secret, access_token),
        )  # fmt: skip
        return _read(TokenInfo, body.get("data"), "debug_token")

    async def phone_numbers(self, waba_id: str, *, access_token: str) -> list[MetaPhoneNumber]:
        """Every phone number of a WhatsApp business account, which the token has to be able to read.

        Raises:
            PermissionDenied: `waba_not_yours`, it isn't; or there is no such account.
            InvalidState: `meta_refused`, the token has expired for instance.
            Unavailable: `unavailable`, `network_error`.
        """
        return await self._pages(
            f"{quote(waba_id, safe='')}/phone_numbers", _NUMBER_FIELDS, list[MetaPhoneNumber], access_token
        )

    async def _pages(self, path: str, fields: str, kind: type[list[T]], access_token: str) -> list[T]:
        """Everything that an edge of a business account lists."""
        operation = path.rpartition("/")[2]
        found: list[T] = []
        after: str | None = None
        for _ in range(PAGES_LIMIT):
            query = {"fields": fields, "limit": str(PAGE_SIZE)} | ({"after": after} if after else {})
            body = await self._ask("GET", path, query, token=access_token, refusals=_refusing("waba_not_yours"))
            found += _read(kind, body.get("data"), operation)
            paging = body.get("paging")
            if not isinstance(paging, Mapping) or not paging.get("next"):
                break
            after = _read(str, (paging.get("cursors") or {}).get("after"), operation)
        return found

    async def phone_number(self, phone_number_id: str, *, access_token: str) -> MetaPhoneNumber:
        """One phone number, which the token has to be able to read: the proof that it may be claimed.

        Raises:
            PermissionDenied: `phone_number_not_yours`, it isn't; or there is no such number.
            InvalidState: `meta_refused`, the token has expired for instance.
            Unavailable: `unavailable`, `network_error`.
        """
        body = await self._ask(
            "GET", quote(phone_number_id, safe=""), {"fields": _NUMBER_FIELDS},
            token=access_token, refusals=_refusing("phone_number_not_yours"),
        )  # fmt: skip
        return _read(MetaPhoneNumber, body, "phone_number")

    async def message_templates(self, waba_id: str, *, access_token: str) -> list[dict[str, Any]]:
        """Every message template of a WhatsApp business account, as Meta describes it.

        Raises:
            PermissionDenied: `waba_not_yours`, the token can't read it; or there is no such account.
            InvalidState: `meta_refused`, the token has expired for instance.
            Unavailable: `unavailable`, `network_error`.
        """
        return await self._pages(
            f"{quote(waba_id, safe='')}/message_templates", _TEMPLATE_FIELDS, list[dict[str, Any]], access_token
        )

    async def upload_media(
        self, phone_number_id: str, file: IO[bytes], *, mime_type: str, filename: str, access_token: str
    ) -> str:
        """Bring a file to Meta; returns the id under which the number may send it for 30 days.

        Raises:
            PermissionDenied: `phone_number_not_yours`, the token can't send from the number.
            InvalidState: `meta_refused`, the file isn't what it is said to be for instance.
            Unavailable: `unavailable`, `network_error`.
        """
        body = await self._ask(
            "POST", f"{quote(phone_number_id, safe='')}/media", {}, token=access_token,
            # Code 100 is also what a file gets that isn't what it is said to be.
            refusals={code: name for code, name in _refusing("phone_number_not_yours").items() if code != 100},
            form={
                "data": {"messaging_product": "whatsapp", "type": mime_type},
                "files": {"file": (filename, file, mime_type)},
            },
        )  # fmt: skip
        return _read(str, body.get("id"), "media")

    async def subscribe_app(self, waba_id: str, *, access_token: str) -> None:
        """Have Meta send the app the webhooks of a WhatsApp business account. Idempotent.

        Raises:
            PermissionDenied: `waba_not_yours`.
            InvalidState: `meta_refused`.
            Unavailable: `unavailable`, `network_error`.
        """
        path = f"{quote(waba_id, safe='')}/subscribed_apps"
        body = await self._ask("POST", path, {}, token=access_token, refusals=_refusing("waba_not_yours"))
        if body.get("success") is not True:
            raise QeroError("answer_unreadable", detail={"operation": "subscribed_apps"})

    async def _ask(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        token: str | None = None,
        secrets: tuple[str, ...] = (),
        refusals: Mapping[int, str] | None = None,
        form: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """One call that reads, or may be repeated.

        Args:
            form: the fields and files of a form, as httpx takes them.
            secrets: what an error must not quote, the token aside.
            refusals: the codes of ours that say more than `meta_refused`, by Graph's code.
        """
        operation = path.rpartition("/")[2] if "/" in path else "phone_number"
        # The libraries below quote an unusable header in their errors: check the token before they see it.
        if token is not None and not all("!" <= character <= "~" for character in token):
            raise QeroError("answer_unreadable", detail={"operation": operation, "problem": "a malformed access token"})
        try:
            response = await self._http.request(
                method,
                f"{self._url}/{path}",
                params=query,
                headers={"Authorization": f"Bearer {token}"} if token else {},
                follow_redirects=False,
                **(form or {}),
            )
        except httpx.HTTPError as error:
            # The cause holds the request, and with it the token.
            reason = type(error).__name__
            raise NetworkError("network_error", detail={"operation": operation, "reason": reason}) from None
        body = _json_object(response)
        if response.is_success and "error" not in body:
            return body
        raise _typed_refusal(response, body, operation, (*secrets, *([token] if token else [])), refusals or {})


_NUMBER_FIELDS = "id,display_phone_number,verified_name"
_TEMPLATE_FIELDS = "id,name,language,status,category,quality_score,rejected_reason,components"
_CODE_REFUSALS: Mapping[int, str] = {100: "signup_code_invalid"}
# What to wait out when the subject is a signup and not a message. Graph's code 1 isn't among them: it is also what a
# wrong app secret gets.
_BUSY = frozenset({2, 4, 17, 32, 341, 613, 80007, 80008})


def _refusing(code: str) -> Mapping[int, str]:
    """Graph says "no such object" and "no permission" for what is somebody else's."""
    return dict.fromkeys((10, 33, 100, 803, *range(200, 300)), code)


def _typed_refusal(
    response: httpx.Response,
    body: Mapping[str, Any],
    operation: str,
    secrets: tuple[str, ...],
    refusals: Mapping[int, str],
) -> QeroError:
    error = body.get("error")
    code = _error_code(error)
    detail: dict[str, Any] = {"operation": operation, "http_status": response.status_code}
    if not isinstance(error, Mapping) or code is None:
        # No verdict of Graph's: something in between answered, or Graph broke down.
        return Unavailable("unavailable", "Meta's Graph API gave no answer that can be read.", detail=detail)
    reason = _error_text(error)
    for secret in secrets:
        reason = reason.replace(secret, "[secret]")
    detail |= {"meta_code": code, "reason": reason[:500]}
    if isinstance(error.get("error_subcode"), int):
        detail["meta_subcode"] = error["error_subcode"]
    if response.status_code >= 500 or response.status_code == 429 or code in _BUSY or error.get("is_transient") is True:
        return Unavailable("unavailable", "Meta's Graph API can't answer just now.", detail=detail)
    return error_for(refusals.get(code, "meta_refused"), detail=detail)


def _read(kind: type[T], value: object, operation: str) -> T:
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        # The cause would show what was sent.
        raise QeroError("answer_unreadable", detail={"operation": operation}) from None


class _WithoutQuery(logging.Filter):
    """httpx logs whole URLs, and Graph takes secrets in the query of two calls."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(
                value.copy_with(query=None)
                if isinstance(value, httpx.URL) and not _SECRET_PARAMETERS.isdisjoint(value.params)
                else value
                for value in record.args
            )
        return True


_SECRET_PARAMETERS = frozenset({"client_secret", "input_token"})
logging.getLogger("httpx").addFilter(_WithoutQuery())


def _outcome_of(
    response: httpx.Response, *, payload: Mapping[str, Any], attempts: int, access_token: str
) -> SendOutcome:
    body = _json_object(response)
    if response.is_success:
        accepted = _accepted(body, payload)
        if accepted is not None:
            return accepted
    error = body.get("error")
    code = _error_code(error)
    if isinstance(error, Mapping) and code is not None:
        # Graph quotes a malformed token back.
        text = _error_text(error).replace(access_token, "[access token]")
        return _refused(_class_of(code, error, response.status_code), str(code), text, attempts, payload=payload)
    if response.is_success:
        return Unknown(
            error_code="answer_unreadable",
            error_text=f"Graph answered {response.status_code} without a message id that can be read.",
        )
    # No verdict of Graph's on the message: something in between answered, or Graph broke down. Meta asks for
    # 5xx and 429 to be repeated after a pause, and 3xx and other 4xx say that the request wasn't acted on.
    # Failing for good would lose a message over somebody else's trouble, so all of them back off; at worst it
    # ends as a dead letter.
    return _refused(
        TRANSIENT,
        f"http_{response.status_code}",
        f"HTTP {response.status_code} without an error of Graph's.",
        attempts,
    )


def _class_of(code: int, error: Mapping[str, Any], status: int) -> ErrorClass:
    # "Object does not exist, or missing permissions", said about the number: the same trouble as code 33, and
    # not the message's fault.
    if code == 100 and str(error.get("error_subcode")) == "33":
        return BLOCKED
    known = _CLASS_OF_CODE.get(code)
    if known is not None:
        return known
    return TRANSIENT if error.get("is_transient") is True or status == 429 or status >= 500 else PERMANENT


def _refused(
    error_class: ErrorClass, code: str, text: str, attempts: int, *, payload: Mapping[str, Any] | None = None
) -> Refused:
    exhausted = error_class.tries is not None and attempts >= error_class.tries
    unsuited = error_class.only is not None and not error_class.only(payload or {})
    action = FailureAction.FAIL if exhausted or unsuited else error_class.action
    return Refused(
        action=action,
        error_code=code,
        error_text=f"{text} {error_class.advice}" if error_class.advice else text,
        delay=error_class.delay(attempts) if action is FailureAction.RETRY and error_class.delay else None,
        scope=error_class.scope,
    )


def _json_object(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _accepted(body: Mapping[str, Any], payload: Mapping[str, Any]) -> Accepted | None:
    if "status" in payload and body.get("success") is True:
        # What was read stands for the receipt, which has no id of its own.
        return Accepted(provider_message_id=str(payload.get("message_id")))
    messages = body.get("messages")
    first: Any = messages[0] if isinstance(messages, list) and messages else None
    try:
        return Accepted.model_validate({"provider_message_id": first["id"]})
    except (ValidationError, TypeError, KeyError):
        return None


def _error_code(error: object) -> int | None:
    code = error.get("code") if isinstance(error, Mapping) else None
    if isinstance(code, str) and code.isascii() and code.isdigit() and len(code) < 10:
        return int(code)
    return code if isinstance(code, int) and not isinstance(code, bool) else None


def _error_text(error: Mapping[str, Any]) -> str:
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, Mapping) else None
    return ": ".join(text for text in (error.get("message"), details) if isinstance(text, str) and text)
