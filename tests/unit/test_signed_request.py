"""Meta's signed request: who withdrew their grant, and whether it is Meta that says so."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest

from qero.errors import InvalidInput, NotAuthenticated
from qero.local.graph_signup import signed_request
from qero.services.signup import user_of_signed_request

SECRET = "the-app-secret"


def encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def signed(payload: Any, secret: str = SECRET) -> str:
    """Sign any payload the way Meta does."""
    text = encoded(payload if isinstance(payload, bytes) else json.dumps(payload).encode())
    return f"{encoded(hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest())}.{text}"


@pytest.mark.parametrize("user_id", ["1", "218471", "10222270944537964"])
def test_the_user_is_read(user_id: str) -> None:
    assert user_of_signed_request(signed_request(user_id, SECRET), SECRET) == user_id


def test_padding_does_not_matter() -> None:
    signature, _, payload = signed_request("218471", SECRET).partition(".")

    assert user_of_signed_request(f"{signature}=.{payload}", SECRET) == "218471"


@pytest.mark.parametrize(
    "request_text",
    [
        "",
        ".",
        "a.b",
        "no dots",
        "é.ü",
        "\x00.\ud800",
        signed_request("1", "another"),
        signed_request("1", ""),
        "." + signed_request("1", SECRET).partition(".")[2],
        signed_request("1", SECRET).partition(".")[0] + "." + signed_request("2", SECRET).partition(".")[2],
        signed_request("1", SECRET) + ".more",
        signed_request("1", SECRET).swapcase(),
    ],
    # By number: what is signed holds the time, and every process that runs tests has to name them alike.
    ids=[f"case {number}" for number in range(12)],
)
def test_what_meta_did_not_sign_is_not_believed(request_text: str) -> None:
    with pytest.raises(NotAuthenticated) as error:
        user_of_signed_request(request_text, SECRET)

    assert error.value.code == "signature_invalid"
    assert SECRET not in str(error.value.to_dict())


@pytest.mark.parametrize(
    "payload",
    [{}, {"user_id": None}, {"user_id": 7}, {"user_id": "abc"}, {"user_id": ""}, {"user_id": "٣"}, [], "x", b"", b"{"],
)
def test_what_names_no_user_says_so(payload: Any) -> None:
    with pytest.raises(InvalidInput) as error:
        user_of_signed_request(signed(payload), SECRET)

    assert error.value.detail == {"field": "signed_request.user_id"}
