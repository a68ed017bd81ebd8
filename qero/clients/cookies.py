"""Reads the access token from the session cookies that Supabase's server-side helpers write.

The cookie is named `sb-<project>-auth-token`; sessions too long for one cookie come as `….0`, `….1`, and so on. The
value is JSON, percent-encoded, or `base64-` followed by base64url of JSON: an object with `access_token`, or in older
helpers an array whose first item is the token.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from qero.errors import NotAuthenticated

_COOKIE = re.compile(r"^(?P<base>sb-.+-auth-token)(?:\.(?P<chunk>\d+))?$")
_BASE64_PREFIX = "base64-"


def access_token_from_cookies(cookies: Mapping[str, str]) -> str | None:
    """The access token in the session cookies, or None when there is no session cookie.

    Raises:
        NotAuthenticated: `token_invalid`, a session cookie is there but can't be read (a chunk is missing, or it
            isn't a session); it is never taken for "not signed in".
    """
    chunks: dict[str, dict[int | None, str]] = {}
    for name, value in cookies.items():
        match = _COOKIE.match(name)
        if match and value:
            chunk = int(match["chunk"]) if match["chunk"] else None
            chunks.setdefault(match["base"], {})[chunk] = value
    if not chunks:
        return None
    if len(chunks) > 1:
        raise NotAuthenticated(
            "token_invalid",
            "Session cookies of several projects were sent.",
            detail={"cookies": sorted(chunks)},
            hint="Send only this project's session cookie, or a bearer token.",
        )
    [parts] = chunks.values()
    if None in parts:
        # A session that fits into one cookie again; chunks beside it are left over from a longer one.
        return _token_of(_decode(parts[None]))
    if set(parts) != set(range(len(parts))):
        raise NotAuthenticated("token_invalid", "A chunk of the session cookie is missing.")
    return _token_of(_decode("".join(parts[index] for index in range(len(parts)))))


def _decode(text: str) -> Any:
    text = unquote(text)
    try:
        if text.startswith(_BASE64_PREFIX):
            encoded = text.removeprefix(_BASE64_PREFIX)
            text = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)).decode()
        return json.loads(text)
    except (ValueError, binascii.Error, RecursionError) as error:
        raise NotAuthenticated("token_invalid", "The session cookie can't be read.") from error


def _token_of(session: Any) -> str:
    token = session.get("access_token") if isinstance(session, dict) else None
    if isinstance(session, list) and session:
        token = session[0]
    if not isinstance(token, str) or not token:
        raise NotAuthenticated("token_invalid", "The session cookie holds no access token.")
    return token
