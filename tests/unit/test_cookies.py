"""Session cookies in every shape that Supabase's helpers write, and in shapes that nobody should."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable
from urllib.parse import quote

import pytest

from qero import NotAuthenticated
from qero.clients.cookies import access_token_from_cookies

NAME = "sb-abcdefgh-auth-token"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"
SESSION = json.dumps({"access_token": TOKEN, "refresh_token": "r", "user": {"name": "Zoë – 東京"}})


def base64_of(text: str) -> str:
    return "base64-" + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def chunked(text: str, size: int) -> dict[str, str]:
    return {f"{NAME}.{index}": text[start : start + size] for index, start in enumerate(range(0, len(text), size))}


ENCODINGS: list[Callable[[str], str]] = [str, quote, base64_of, lambda text: quote(base64_of(text))]


@pytest.mark.parametrize("encode", ENCODINGS)
@pytest.mark.parametrize(
    "session", [SESSION, json.dumps([TOKEN, "refresh", None, None, None]), json.dumps({"access_token": TOKEN})]
)
def test_the_token_is_read_in_every_encoding(encode: Callable[[str], str], session: str) -> None:
    assert access_token_from_cookies({"theme": "dark", NAME: encode(session)}) == TOKEN


@pytest.mark.parametrize("encode", ENCODINGS)
def test_chunks_are_joined_in_their_order_however_they_come(encode: Callable[[str], str]) -> None:
    chunks = list(chunked(encode(SESSION), 9).items())
    assert len(chunks) > 11, "enough for .10 to sort before .2 as text"
    random.Random(1).shuffle(chunks)

    assert access_token_from_cookies(dict(chunks)) == TOKEN


@pytest.mark.parametrize(
    "cookies",
    [
        {},
        {"theme": "dark"},
        {NAME: ""},
        {f"{NAME}-code-verifier": "base64-InZlcmlmaWVyIg"},
        {f"x-{NAME}": SESSION},
        {"sb--auth-token": SESSION},
    ],
)
def test_without_a_session_cookie_there_is_no_token(cookies: dict[str, str]) -> None:
    assert access_token_from_cookies(cookies) is None


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_missing_chunk_is_never_taken_for_nobody(missing: int) -> None:
    chunks = chunked(base64_of(SESSION), 40)
    assert len(chunks) >= 4
    del chunks[f"{NAME}.{missing}"]

    with pytest.raises(NotAuthenticated) as error:
        access_token_from_cookies(chunks)

    assert error.value.code == "token_invalid"
    assert "chunk" in error.value.message


@pytest.mark.parametrize(
    "value",
    [
        "garbage",
        "base64-",
        "base64-####",
        "base64-" + base64.urlsafe_b64encode(b"\xff\xfe").decode(),
        base64_of("not json"),
        "null",
        "[]",
        "{}",
        "[null]",
        "[7]",
        '"text"',
        '{"access_token": null}',
        '{"access_token": ""}',
        '{"access_token": {"a": 1}}',
        "[" * 100_000,
        "%",
        SESSION[:-20],
    ],
)
def test_a_session_that_cannot_be_read_is_an_error_that_shows_nothing_of_it(value: str) -> None:
    with pytest.raises(NotAuthenticated) as error:
        access_token_from_cookies({NAME: value})

    assert error.value.code == "token_invalid"
    assert TOKEN[:20] not in repr(error.value.to_dict())


def test_the_last_chunk_missing_is_noticed_by_the_session_that_ends_early() -> None:
    chunks = chunked(base64_of(SESSION), 60)
    del chunks[f"{NAME}.{len(chunks) - 1}"]

    with pytest.raises(NotAuthenticated):
        access_token_from_cookies(chunks)


def test_chunks_left_over_from_a_longer_session_do_not_count() -> None:
    stale = chunked(base64_of(SESSION.replace(TOKEN, "stale")), 40)

    assert access_token_from_cookies({**stale, NAME: base64_of(SESSION)}) == TOKEN


def test_cookies_of_several_projects_are_refused_rather_than_guessed() -> None:
    with pytest.raises(NotAuthenticated) as error:
        access_token_from_cookies({NAME: SESSION, "sb-other-auth-token.0": SESSION})

    assert error.value.detail == {"cookies": [NAME, "sb-other-auth-token"]}


def test_random_cookies_give_a_token_nothing_or_a_typed_error() -> None:
    source = random.Random(20)
    alphabet = 'abc{}[]":,0.%-_=\\ \x00é\ud800'
    for _ in range(3000):
        value = "".join(source.choices(alphabet, k=source.randrange(12)))
        value = source.choice(["", "base64-", '{"access_token":"']) + value
        names = [NAME, f"{NAME}.{source.randrange(3)}", f"{NAME}.{source.randrange(3)}"]
        cookies = dict.fromkeys(names[: source.randrange(4)], value)
        try:
            token = access_token_from_cookies(cookies)
        except NotAuthenticated:
            pass
        else:
            assert token is None or isinstance(token, str)
