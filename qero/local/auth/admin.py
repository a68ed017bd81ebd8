"""GoTrue's admin API over the auth tables: what `client.auth.admin` calls to manage users.

Only the service role gets in. Requests and answers have GoTrue's shape, errors included
(`{"code": 422, "error_code": "email_exists", "msg": …}`). Each request is one transaction and runs as
`supabase_auth_admin`, as on hosted, so that triggers on `auth.users` have no more rights here than there.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from qero.local.keys import InvalidToken, Keys

PREFIX = "/auth/v1"
PASSWORD_CHARACTERS_MIN = 6
PASSWORD_BYTES_MAX = 72
PER_PAGE = 50

Connection = AsyncConnection[DictRow]
Endpoint = Callable[[Request, Connection], Awaitable[Response]]

logger = logging.getLogger(__name__)

_USER = """
select jsonb_strip_nulls(jsonb_build_object(
         'email_confirmed_at', email_confirmed_at, 'phone_confirmed_at', phone_confirmed_at,
         'confirmed_at', confirmed_at, 'invited_at', invited_at, 'confirmation_sent_at', confirmation_sent_at,
         'recovery_sent_at', recovery_sent_at, 'email_change_sent_at', email_change_sent_at,
         'new_email', nullif(email_change, ''), 'new_phone', nullif(phone_change, ''),
         'last_sign_in_at', last_sign_in_at, 'banned_until', banned_until, 'deleted_at', deleted_at))
    || jsonb_build_object(
         'id', id, 'aud', coalesce(aud, ''), 'role', coalesce(role, ''),
         'email', coalesce(email, ''), 'phone', coalesce(phone, ''),
         'app_metadata', raw_app_meta_data, 'user_metadata', raw_user_meta_data,
         'created_at', created_at, 'updated_at', updated_at, 'is_anonymous', is_anonymous,
         'identities', (
           select coalesce(jsonb_agg(
               jsonb_strip_nulls(jsonb_build_object('email', i.email, 'last_sign_in_at', i.last_sign_in_at))
               || jsonb_build_object(
                    'identity_id', i.id, 'id', i.provider_id, 'user_id', i.user_id,
                    'provider', i.provider, 'identity_data', i.identity_data,
                    'created_at', i.created_at, 'updated_at', i.updated_at)
               order by i.created_at, i.provider), '[]')
             from auth.identities i
            where i.user_id = users.id)) as json
  from auth.users
"""

# The token columns are '' because GoTrue can't read a user whose tokens are null.
_INSERT_USER = """
insert into auth.users (id, aud, role, email, phone, encrypted_password,
                        raw_app_meta_data, raw_user_meta_data,
                        confirmation_token, recovery_token, email_change_token_new, email_change)
values (%(id)s, %(aud)s, '', %(email)s, %(phone)s, %(password)s,
        %(app_metadata)s, %(user_metadata)s, '', '', '', '')
"""

_SAVE_IDENTITY = """
insert into auth.identities as identity (provider_id, user_id, identity_data, provider, last_sign_in_at)
values (%(id)s::text, %(id)s, %(data)s, %(provider)s, now())
on conflict (provider_id, provider) do update
   set identity_data = identity.identity_data || excluded.identity_data, updated_at = now()
"""

_DURATION_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)")
_EMAIL = re.compile(r"[^\s@]+@[^\s@]+\.[^\s@.]+")
_PHONE = re.compile(r"[1-9][0-9]{1,14}")


class AuthRefused(Exception):
    """The request is turned down; `response` says why in GoTrue's words."""

    def __init__(self, status: int, error_code: str, message: str, **more: object) -> None:
        super().__init__(message)
        self.response = JSONResponse({"code": status, "error_code": error_code, "msg": message, **more}, status)


class UserParams(BaseModel):
    """The body of a create or update, with GoTrue's names. Empty strings count as absent."""

    id: str | None = None
    aud: str | None = None
    role: str | None = None
    email: str | None = None
    phone: str | None = None
    password: str | None = None
    password_hash: str | None = None
    email_confirm: bool | None = None
    phone_confirm: bool | None = None
    user_metadata: dict[str, Any] | None = None
    app_metadata: dict[str, Any] | None = None
    ban_duration: str | None = None

    def contacts(self) -> dict[str, tuple[str, bool]]:
        """The e-mail address and phone number given, in stored form, and whether each counts as confirmed."""
        found: dict[str, tuple[str, bool]] = {}
        if self.email:
            if len(self.email) > 255 or not _EMAIL.fullmatch(self.email):
                raise _invalid("Unable to validate email address: invalid format")
            found["email"] = (self.email.lower(), bool(self.email_confirm))
        if self.phone:
            phone = self.phone.replace(" ", "").removeprefix("+")
            if not _PHONE.fullmatch(phone):
                raise _invalid("Invalid phone number format (E.164 required)")
            found["phone"] = (phone, bool(self.phone_confirm))
        return found


def admin_routes(*, dsn: str, keys: Keys) -> list[BaseRoute]:
    """The routes under /auth/v1 that need the service role; mount them before the proxy to the auth server.

    Args:
        dsn: the superuser's, who may hash passwords (pgcrypto) and become `supabase_auth_admin`.
    """

    def route(path: str, method: str, endpoint: Endpoint) -> Route:
        async def guarded(request: Request) -> Response:
            try:
                _require_service_role(request, keys)
                async with await AsyncConnection.connect(dsn, row_factory=dict_row) as connection:
                    await connection.execute("set local timezone = 'UTC'")
                    await connection.execute("set local search_path = auth")
                    await _become_auth_admin(connection)
                    return await endpoint(request, connection)
            except AuthRefused as refused:
                return refused.response
            except psycopg.Error as error:
                return _database_refused(error)

        return Route(PREFIX + path, guarded, methods=[method])

    return [
        route("/admin/users", "GET", _list_users),
        route("/admin/users", "POST", _create_user),
        route("/admin/users/{user_id}", "GET", _get_user),
        route("/admin/users/{user_id}", "PUT", _update_user),
        route("/admin/users/{user_id}", "DELETE", _delete_user),
        route("/invite", "POST", _needs_mail),
        route("/admin/generate_link", "POST", _needs_mail),
    ]


# endpoints --------------------------------------------------------------------------------------------------


async def _list_users(request: Request, connection: Connection) -> Response:
    page, per_page = _positive(request, "page", 1), _positive(request, "per_page", PER_PAGE)
    rows = await connection.execute(
        f"{_USER} where aud = 'authenticated' order by created_at desc, id limit %s offset %s",
        [per_page, (page - 1) * per_page],
    )
    users = [row["json"] for row in await rows.fetchall()]
    count = await connection.execute("select count(*) from auth.users where aud = 'authenticated'")
    total: int = (await count.fetchall())[0]["count"]

    def link(to_page: int, relation: str) -> str:
        query = urlencode({"page": to_page, "per_page": per_page})
        return f'<{request.url.path}?{query}>; rel="{relation}"'

    last = -(-total // per_page)
    links = [*([link(page + 1, "next")] if page < last else []), link(last, "last")]
    return JSONResponse(
        {"users": users, "aud": "authenticated"},
        headers={"x-total-count": str(total), "link": ", ".join(links)},
    )


async def _get_user(request: Request, connection: Connection) -> Response:
    return JSONResponse(await _user(connection, _user_id(request)))


async def _create_user(request: Request, connection: Connection) -> Response:
    params = await _params(request)
    contacts = params.contacts()
    if not contacts:
        raise _invalid("Cannot create a user without either an email or phone")
    if params.password is not None and params.password_hash:
        raise _invalid("Only a password or a password hash should be provided")
    if params.password_hash and not params.password_hash.startswith(("$2a$", "$2b$", "$2y$")):
        raise _invalid("Only bcrypt password hashes are supported")

    user_id = _custom_id(params.id) if params.id else uuid4()
    await connection.execute(
        _INSERT_USER,
        {
            "id": user_id,
            "aud": params.aud or "authenticated",
            "email": contacts.get("email", (None,))[0],
            "phone": contacts.get("phone", (None,))[0],
            "password": params.password_hash or await _hashed(connection, params.password or secrets.token_urlsafe(48)),
            "app_metadata": Jsonb({"provider": next(iter(contacts)), "providers": list(contacts)}),
            "user_metadata": Jsonb(params.user_metadata or {}),
        },
    )
    for provider, (value, _) in contacts.items():
        await _save_identity(connection, user_id, provider, value, verified=False)
    # A second statement, as in GoTrue: insert triggers don't see the role, app_metadata or confirmations.
    await _save_changes(connection, user_id, params, {"role": params.role or "authenticated"})
    return JSONResponse(await _user(connection, user_id))


async def _update_user(request: Request, connection: Connection) -> Response:
    user_id = _user_id(request)
    await _user(connection, user_id, lock=True)
    params = await _params(request)
    contacts = params.contacts()

    changes: dict[str, object] = {provider: value for provider, (value, _) in contacts.items()}
    if params.password is not None:
        if len(params.password) < PASSWORD_CHARACTERS_MIN:
            raise AuthRefused(
                422,
                "weak_password",
                f"Password should be at least {PASSWORD_CHARACTERS_MIN} characters.",
                weak_password={"reasons": ["length"]},
            )
        changes["encrypted_password"] = await _hashed(connection, params.password)
        await connection.execute("delete from auth.sessions where user_id = %s", [user_id])
    for provider, (value, verified) in contacts.items():
        await _save_identity(connection, user_id, provider, value, verified=verified)
    await _save_changes(connection, user_id, params, changes)
    return JSONResponse(await _user(connection, user_id))


async def _delete_user(request: Request, connection: Connection) -> Response:
    user_id = _user_id(request)
    user = await _user(connection, user_id, lock=True)
    body = await _json_object(request) if await request.body() else {}
    if not body.get("should_soft_delete"):
        await connection.execute("delete from auth.users where id = %s", [user_id])
    elif "deleted_at" not in user:
        await _soft_delete(connection, user_id, user)
    return JSONResponse({})


async def _needs_mail(request: Request, connection: Connection) -> Response:
    # Not 501: supabase-js takes that for an outage and drops the message.
    raise AuthRefused(
        422,
        "not_implemented",
        "The local stack sends no mail and makes no mail links: "
        "create the user with a password and email_confirm instead.",
    )


# the user's rows --------------------------------------------------------------------------------------------


async def _user(connection: Connection, user_id: UUID, *, lock: bool = False) -> dict[str, Any]:
    """The user as GoTrue shows it.

    Raises:
        AuthRefused: `user_not_found`.
    """
    rows = await connection.execute(_USER + " where id = %s" + (" for update" if lock else ""), [user_id])
    row = await rows.fetchone()
    if row is None:
        raise AuthRefused(404, "user_not_found", "User not found")
    user: dict[str, Any] = row["json"]
    return user


async def _save_changes(connection: Connection, user_id: UUID, params: UserParams, changes: dict[str, object]) -> None:
    """Write `changes`, and what create and update have in common."""
    user = await _user(connection, user_id)
    app_metadata = _merged(user["app_metadata"], params.app_metadata)
    if params.app_metadata is None and changes.keys() & {"email", "phone"}:
        providers = [*(app_metadata.get("providers") or [])]
        providers += [name for name in ("email", "phone") if name in changes and name not in providers]
        app_metadata = {"provider": providers[0], **app_metadata, "providers": providers}
    changes["raw_app_meta_data"] = Jsonb(app_metadata)
    confirmed = {"email_verified": True} if params.email_confirm else {}
    changes["raw_user_meta_data"] = Jsonb(_merged(_merged(user["user_metadata"], confirmed), params.user_metadata))
    if params.role:
        changes["role"] = params.role
    if params.email_confirm:
        changes["email_confirmed_at"] = sql.SQL("now()")
    if params.phone_confirm:
        changes["phone_confirmed_at"] = sql.SQL("now()")
    if params.ban_duration:
        duration = _duration(params.ban_duration)
        changes["banned_until"] = sql.SQL("now() + {}").format(duration) if duration else None
    await _update(connection, user_id, changes)


async def _update(connection: Connection, user_id: UUID, changes: dict[str, object]) -> None:
    assignments = [
        sql.SQL("{} = {}").format(
            sql.Identifier(column), value if isinstance(value, sql.Composable) else sql.Literal(value)
        )
        for column, value in {**changes, "updated_at": sql.SQL("now()")}.items()
    ]
    await connection.execute(
        sql.SQL("update auth.users set {} where id = {}").format(sql.SQL(", ").join(assignments), user_id)
    )


async def _save_identity(connection: Connection, user_id: UUID, provider: str, value: str, *, verified: bool) -> None:
    data = {"sub": str(user_id), provider: value, "email_verified": False, "phone_verified": False}
    await connection.execute(
        _SAVE_IDENTITY,
        {"id": user_id, "provider": provider, "data": Jsonb({**data, f"{provider}_verified": verified})},
    )


async def _soft_delete(connection: Connection, user_id: UUID, user: dict[str, Any]) -> None:
    """Keep the row for those who refer to it, without anything that identifies the person."""

    def obscured(value: str) -> str:
        digest = hashlib.sha256(f"{user_id}{value}".encode()).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    tokens = ("confirmation_token", "recovery_token", "email_change_token_new", "email_change_token_current")
    await _update(
        connection,
        user_id,
        {
            **dict.fromkeys((*tokens, "phone_change_token", "email_change", "phone_change"), ""),
            "email": obscured(user["email"]),
            "phone": obscured(user["phone"])[:15],
            "encrypted_password": None,
            "raw_app_meta_data": Jsonb({}),
            "raw_user_meta_data": Jsonb({}),
            "deleted_at": sql.SQL("now()"),
        },
    )
    for identity in user["identities"]:
        await connection.execute(
            "update auth.identities set identity_data = '{}', provider_id = %s where id = %s",
            [obscured(f"{identity['provider']}:{identity['id']}"), identity["identity_id"]],
        )
    await connection.execute("delete from auth.mfa_factors where user_id = %s", [user_id])
    await connection.execute("delete from auth.sessions where user_id = %s", [user_id])


async def _become_auth_admin(connection: Connection) -> None:
    await connection.execute("set local role supabase_auth_admin")


async def _hashed(connection: Connection, password: str) -> str:
    if len(password.encode()) > PASSWORD_BYTES_MAX:
        raise _invalid(f"Password cannot be longer than {PASSWORD_BYTES_MAX} characters")
    # pgcrypto lives in a schema that supabase_auth_admin may not use, here as on hosted.
    await connection.execute("set local role none")
    rows = await connection.execute("select extensions.crypt(%s, extensions.gen_salt('bf', 10)) as hash", [password])
    hashed: str = (await rows.fetchall())[0]["hash"]
    await _become_auth_admin(connection)
    return hashed


# requests and refusals --------------------------------------------------------------------------------------


def _require_service_role(request: Request, keys: Keys) -> None:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.headers.get("apikey", "")
    if not token:
        raise AuthRefused(401, "no_authorization", "This endpoint requires a valid Bearer token")
    try:
        claims = keys.claims(token)
    except InvalidToken as error:
        raise AuthRefused(403, "bad_jwt", f"invalid JWT: unable to parse or verify signature, {error}") from error
    if claims["role"] != "service_role":
        raise AuthRefused(403, "not_admin", "User not allowed")


async def _json_object(request: Request) -> dict[str, Any]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise AuthRefused(400, "bad_json", "Could not parse request body as JSON")
    return body


async def _params(request: Request) -> UserParams:
    try:
        return UserParams.model_validate(await _json_object(request))
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise AuthRefused(400, "bad_json", f"Could not parse request body as JSON: {field}") from error


def _positive(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name) or str(default)
    if not text.isascii() or not text.isdigit():
        raise _invalid(f"Bad Pagination Parameters: {name}={text}")
    return max(1, int(text))


def _user_id(request: Request) -> UUID:
    try:
        return UUID(request.path_params["user_id"])
    except ValueError as error:
        raise AuthRefused(404, "validation_failed", "user_id must be an UUID") from error


def _custom_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise _invalid("ID must conform to the uuid v4 format") from error


def _duration(text: str) -> timedelta | None:
    """Go's notation ("24h", "1h30m"); None for "none", which lifts a ban."""
    if text == "none":
        return None
    parts = _DURATION_PART.findall(text)
    if "".join(number + unit for number, unit in parts) != text:
        raise _invalid(f'invalid format for ban duration: time: invalid duration "{text}"')
    return timedelta(seconds=sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts))


def _merged(metadata: dict[str, Any] | None, updates: dict[str, Any] | None) -> dict[str, Any]:
    """Top-level keys replace, null removes: metadata is never replaced as a whole."""
    merged = {**(metadata or {}), **(updates or {})}
    return {key: value for key, value in merged.items() if value is not None}


def _invalid(message: str) -> AuthRefused:
    return AuthRefused(400, "validation_failed", message)


def _database_refused(error: psycopg.Error) -> Response:
    constraint = error.diag.constraint_name
    if constraint == "users_email_partial_key":
        message = "A user with this email address has already been registered"
        return AuthRefused(422, "email_exists", message).response
    if constraint == "users_phone_key":
        return AuthRefused(422, "phone_exists", "Phone number already registered by another user").response
    logger.error("The auth admin API met a database error: %s", error)
    return AuthRefused(500, "unexpected_failure", "Database error managing the user").response
