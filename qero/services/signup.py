"""Meta's embedded signup: a user starts it and comes back with a code, and the service connects what it opens."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Protocol
from uuid import UUID

from pydantic_core import from_json

from qero.clients.factory import ServiceClient, UserClient, require_user_client
from qero.clients.graph import GraphClient, MetaApp
from qero.clients.rpc import call
from qero.errors import InvalidInput, InvalidState, NotAuthenticated, PermissionDenied, QeroError
from qero.models.signup import (
    MetaPhoneNumber,
    SignupNumber,
    SignupResult,
    SignupStart,
    SignupState,
    TokenInfo,
    UsedState,
)
from qero.models.whatsapp import Connection


class Signup:
    """For owners and admins of a workspace, who are about to connect a number."""

    def __init__(self, client: UserClient) -> None:
        self._client = require_user_client(client)

    async def start(self, workspace_id: UUID, app: MetaApp, *, by_redirect: bool = False) -> SignupStart:
        """What a browser needs to open Meta's dialog; the state in it is good once, for ten minutes, for this user.

        Each call makes a new state.

        Args:
            by_redirect: Meta sends the browser back to the app's address, instead of the JavaScript SDK handing the
                code over.

        Raises:
            PermissionDenied: `role_required`, only owners and admins connect numbers.
            InvalidState: `workspace_suspended`.
            NotFound: `workspace_not_found`.
            InvalidState: `signup_not_offered`, by redirect, while no absolute address is set.
            InvalidInput: `invalid_value`, the address of the redirect.
        SQL: public.start_meta_signup
        """
        redirect_uri = app.redirect_uri if by_redirect else None
        if by_redirect and redirect_uri is None:
            raise InvalidState(
                "signup_not_offered",
                "Signing up by redirect needs an absolute address to come back to.",
                detail={"missing": ["QERO_PUBLIC_URL"]},
            )
        made = await call(
            self._client,
            "start_meta_signup",
            SignupState,
            p_workspace_id=workspace_id,
            p_redirect_uri=redirect_uri,
        )
        return SignupStart(
            app_id=app.app_id,
            config_id=app.config_id,
            graph_version=app.graph_version,
            redirect_uri=redirect_uri,
            **made.model_dump(),
        )


class Connector(Protocol):
    """Connects a number whose ownership is proved."""

    async def connect(
        self,
        workspace_id: UUID,
        *,
        waba_id: str,
        phone_number_id: str,
        access_token: str,
        display_phone_number: str | None = None,
        verified_name: str | None = None,
        meta_user_id: str | None = None,
    ) -> Connection: ...


class SignupCompletion:
    """For the service: what happens when Meta has handed out a code."""

    def __init__(self, client: ServiceClient, graph: GraphClient, connections: Connector) -> None:
        self._client = client
        self._graph = graph
        self._connections = connections

    async def use_state(self, state: str, user_id: UUID) -> UsedState:
        """Use a state up, and learn which workspace it is about. Not idempotent: the second use is refused.

        Raises:
            InvalidInput: `signup_state_invalid`, it is unknown, or another user's.
            InvalidState: `signup_state_expired`, `signup_state_used`.
            PermissionDenied: `role_required`, the user is no longer an owner or admin.
        SQL: public.use_meta_signup_state
        """
        return await call(self._client, "use_meta_signup_state", UsedState, p_state=state, p_user_id=user_id)

    async def complete(
        self,
        app: MetaApp,
        *,
        user_id: UUID,
        state: str,
        code: str,
        waba_id: str | None = None,
        phone_number_id: str | None = None,
    ) -> SignupResult:
        """Exchange the code, prove whose the number is, subscribe the app, and connect.

        Nothing is stored before Meta has agreed to send the account's webhooks. Not idempotent: state and code work
        once, so after any error the signup starts again from the beginning; connecting a number twice is harmless.

        Args:
            user_id: whoever is signed in; the state has to be theirs.
            waba_id: the business account, from the JavaScript SDK's session event. Without it, the one that Meta
                says was shared last.
            phone_number_id: the number, from the same event. Without it (coexistence) every number of the account
                that the token reads is connected, and the result says what became of each.

        Raises:
            InvalidInput: `signup_state_invalid`; `signup_code_invalid`; `waba_id_required`, Meta doesn't say which
                account was shared.
            InvalidState: `signup_state_expired`, `signup_state_used`; `waba_without_numbers`; `meta_refused`, with
                Meta's reason.
            PermissionDenied: `role_required`; `waba_not_yours`, `phone_number_not_yours`, the token can't read it.
            Conflict: `phone_number_taken`, none could be connected, for it is connected elsewhere.
            Unavailable: `unavailable`, `network_error`.
        """
        used = await self.use_state(state, user_id)
        access_token = await self._graph.exchange_code(app, code, redirect_uri=used.redirect_uri)
        token = await self._graph.debug_token(app, access_token)
        if not token.is_valid or token.app_id != app.app_id:
            raise InvalidState("meta_refused", detail={"operation": "debug_token", "reason": "The token isn't valid."})
        waba_id, wanted = await self._account(token, access_token, waba_id, phone_number_id)

        readable: list[MetaPhoneNumber] = []
        connected: dict[str, Connection] = {}
        problems: dict[str, QeroError] = {}
        for number in wanted:
            # Being on the account's list proves nothing yet: whoever claims a number can read it.
            try:
                readable.append(await self._graph.phone_number(number.id, access_token=access_token))
            except PermissionDenied as error:
                problems[number.id] = error
        if readable:
            await self._graph.subscribe_app(waba_id, access_token=access_token)
        for number in readable:
            try:
                connected[number.id] = await self._connections.connect(
                    used.workspace_id,
                    waba_id=waba_id,
                    phone_number_id=number.id,
                    access_token=access_token,
                    display_phone_number=number.display_phone_number,
                    verified_name=number.verified_name,
                    meta_user_id=token.user_id,
                )
            except QeroError as error:
                problems[number.id] = error
        if not connected:
            raise next(iter(problems.values()))
        return SignupResult(
            workspace_id=used.workspace_id,
            waba_id=waba_id,
            numbers=[
                SignupNumber(
                    phone_number_id=number.id,
                    display_phone_number=number.display_phone_number,
                    outcome="connected" if number.id in connected else "refused",
                    connection=connected.get(number.id),
                    error=problems[number.id].to_dict() if number.id in problems else None,
                )
                for number in wanted
            ],
        )

    async def _account(
        self, token: TokenInfo, access_token: str, waba_id: str | None, phone_number_id: str | None
    ) -> tuple[str, list[MetaPhoneNumber]]:
        """The business account that the signup is about, and those of its numbers that are to be connected."""
        candidates = token.waba_ids() if waba_id is None else [waba_id]
        if not candidates:
            raise InvalidInput("waba_id_required", detail={"field": "waba_id"})
        if phone_number_id is None:
            numbers = await self._graph.phone_numbers(candidates[0], access_token=access_token)
            if not numbers:
                raise InvalidState("waba_without_numbers", detail={"waba_id": candidates[0]})
            return candidates[0], numbers
        for candidate in candidates:
            numbers = await self._graph.phone_numbers(candidate, access_token=access_token)
            if wanted := [number for number in numbers if number.id == phone_number_id]:
                return candidate, wanted
        raise PermissionDenied("phone_number_not_yours", detail={"phone_number_id": phone_number_id})


def user_of_signed_request(signed_request: str, app_secret: str) -> str:
    """The id of the Meta user whom a signed request is about, as Meta sends it when somebody removes the app.

    Raises:
        NotAuthenticated: `signature_invalid`; nothing in it was believed.
        InvalidInput: `invalid_value`, it is Meta's and names no user.
    """
    signature, _, payload = signed_request.partition(".")
    expected = hmac.new(app_secret.encode(), payload.encode("utf-8", "replace"), hashlib.sha256).digest()
    if not hmac.compare_digest(_decoded(signature), expected):
        raise NotAuthenticated(
            "signature_invalid",
            "The request isn't signed by the Meta app.",
            hint="Check META_APP_SECRET, and that the callback is the one of this app.",
        )
    try:
        content = from_json(_decoded(payload))
    except ValueError:
        content = None
    user_id = content.get("user_id") if isinstance(content, dict) else None
    if not isinstance(user_id, str) or not user_id.isascii() or not user_id.isdigit():
        raise InvalidInput("invalid_value", detail={"field": "signed_request.user_id"})
    return user_id


def _decoded(text: str) -> bytes:
    """base64url without its padding; empty for anything else."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        return b""
