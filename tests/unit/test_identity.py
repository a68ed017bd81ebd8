"""Who an access token belongs to: real keys, a real key set served over HTTP, and every way a token can be wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from qero import Clients, NetworkError, NotAuthenticated, Settings
from qero.clients import identity
from qero.clients.identity import Identity, TokenVerifier
from qero.local.asgi import listen, serving
from tests.support import World

SECRET = "a-shared-secret-of-at-least-thirty-two-bytes"
PUBLISHABLE = "sb_publishable_of_the_tests"
USER = UUID("6f2c1a50-1d3b-4a0e-9c41-0a5f2f6f9b10")
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey


class AuthServer:
    """What a verifier may ask: the key set, and who a token belongs to. Counts the questions."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.app = Starlette(
            routes=[Route("/auth/v1/.well-known/jwks.json", self._key_set), Route("/auth/v1/user", self._user)]
        )
        self.reset()

    def reset(self) -> None:
        self.url = self.address
        self.keys: list[dict[str, Any]] = []
        self.key_set_answer: Response | None = None
        self.user_answer: Response = JSONResponse({"id": str(USER)})
        self.delay = 0.0
        self.asked: dict[str, int] = {"keys": 0, "user": 0}
        self.headers: dict[str, str] = {}

    @property
    def issuer(self) -> str:
        return f"{self.url}/auth/v1"

    async def _key_set(self, _: Request) -> Response:
        self.asked["keys"] += 1
        await asyncio.sleep(self.delay)
        return self.key_set_answer or JSONResponse({"keys": self.keys})

    async def _user(self, request: Request) -> Response:
        self.asked["user"] += 1
        self.headers = dict(request.headers)
        return self.user_answer

    def publish(self, key: PrivateKey, key_id: str) -> None:
        algorithm = jwt.get_algorithm_by_name(algorithm_of(key))
        published: dict[str, Any] = algorithm.to_jwk(key.public_key(), as_dict=True)
        self.keys.append({**published, "kid": key_id, "alg": algorithm_of(key), "use": "sig"})


def algorithm_of(key: PrivateKey) -> str:
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return "ES256"
    return "RS256" if isinstance(key, rsa.RSAPrivateKey) else "EdDSA"


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5) as http:
        yield http


@pytest.fixture(scope="module")
async def running_server() -> AsyncIterator[AuthServer]:
    listener = listen()
    server = AuthServer(f"http://127.0.0.1:{listener.getsockname()[1]}")
    async with serving(server.app, listener):
        yield server


@pytest.fixture
def server(running_server: AuthServer) -> AuthServer:
    running_server.reset()
    return running_server


def claims(server: AuthServer, **changes: Any) -> dict[str, Any]:
    now = int(time.time())
    whole = {
        "iss": server.issuer,
        "sub": str(USER),
        "aud": "authenticated",
        "role": "authenticated",
        "email": "ada@example.com",
        "session_id": "s",
        "iat": now,
        "exp": now + 3600,
        **changes,
    }
    return {name: value for name, value in whole.items() if value is not ...}


def signed(claims: dict[str, Any], key: PrivateKey | str = SECRET, *, kid: str | None = None) -> str:
    algorithm = "HS256" if isinstance(key, str) else algorithm_of(key)
    return jwt.encode(claims, key, algorithm, headers={"kid": kid} if kid else None)


def handmade(header: dict[str, Any], claims: dict[str, Any], secret: bytes | None = None) -> str:
    """A token as no honest library makes it."""
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (header, claims)]
    signature = b"" if secret is None else hmac.new(secret, b".".join(parts), hashlib.sha256).digest()
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


def verifier(http: httpx.AsyncClient, server: AuthServer, *, secret: str | None = SECRET) -> TokenVerifier:
    return TokenVerifier(http, url=server.url, publishable_key=PUBLISHABLE, jwt_secret=secret)


async def refused(verifier: TokenVerifier, token: str) -> NotAuthenticated:
    with pytest.raises(NotAuthenticated) as error:
        await verifier.verify(token)
    assert token not in repr(error.value.to_dict())
    assert error.value.status == 401
    return error.value


async def test_a_token_signed_with_the_shared_secret_names_its_user(
    http: httpx.AsyncClient, server: AuthServer
) -> None:
    wanted = claims(server, is_anonymous=True)

    found = await verifier(http, server).verify(signed(wanted))

    assert found == Identity(USER, "ada@example.com", "s", wanted["exp"], is_anonymous=True)
    assert server.asked == {"keys": 0, "user": 0}, "no request is needed"


WRONG_CLAIMS: list[tuple[dict[str, Any], str]] = [
    ({"exp": int(time.time()) - 60}, "token_expired"),
    ({"exp": ...}, "token_invalid"),
    ({"exp": "tomorrow"}, "token_invalid"),
    ({"exp": float("inf")}, "token_invalid"),
    ({"exp": float("nan")}, "token_invalid"),
    ({"iat": int(time.time()) + 600}, "token_invalid"),
    ({"nbf": int(time.time()) + 600}, "token_invalid"),
    ({"aud": "somebody"}, "token_wrong_audience"),
    ({"aud": ["somebody", "else"]}, "token_wrong_audience"),
    ({"aud": ...}, "token_wrong_audience"),
    ({"aud": None}, "token_wrong_audience"),
    ({"role": "anon"}, "token_wrong_audience"),
    ({"role": "service_role"}, "token_wrong_audience"),
    ({"role": "supabase_admin"}, "token_wrong_audience"),
    ({"role": ...}, "token_wrong_audience"),
    ({"role": ["authenticated"]}, "token_wrong_audience"),
    ({"iss": "https://other.supabase.co/auth/v1"}, "token_wrong_audience"),
    ({"iss": ...}, "token_wrong_audience"),
    ({"sub": ...}, "token_invalid"),
    ({"sub": ""}, "token_invalid"),
    ({"sub": "somebody"}, "token_invalid"),
    ({"sub": None}, "token_invalid"),
]


@pytest.mark.parametrize(("change", "code"), WRONG_CLAIMS)
async def test_a_genuine_signature_does_not_excuse_wrong_claims(
    http: httpx.AsyncClient, server: AuthServer, change: dict[str, Any], code: str
) -> None:
    token = handmade({"alg": "HS256", "typ": "JWT"}, claims(server, **change), SECRET.encode())

    assert (await refused(verifier(http, server), token)).code == code
    if not {"iat", "nbf"} & set(change):  # those the auth server checks
        assert (await refused(verifier(http, server, secret=None), token)).code == code


async def test_a_clock_a_little_ahead_or_behind_is_forgiven(http: httpx.AsyncClient, server: AuthServer) -> None:
    now = int(time.time())

    for change in ({"exp": now - 2}, {"iat": now + 3}):
        assert (await verifier(http, server).verify(signed(claims(server, **change)))).user_id == USER


async def test_a_list_of_audiences_may_hold_others(http: httpx.AsyncClient, server: AuthServer) -> None:
    token = signed(claims(server, aud=["other", "authenticated"]))

    assert (await verifier(http, server).verify(token)).user_id == USER


@pytest.mark.parametrize(
    "token",
    ["x", "a.b", "a.b.c", "....", "Bearer x", "eyJ\n", "é.é.é", "\ud800", "\x00", "." * 20_000,
     "W10.W10.", base64.urlsafe_b64encode(b"[" * 50_000).decode() + ".e30.e30"],
)  # fmt: skip
@pytest.mark.parametrize("secret", [SECRET, None])
async def test_garbage_is_no_token(http: httpx.AsyncClient, server: AuthServer, token: str, secret: str | None) -> None:
    assert (await refused(verifier(http, server, secret=secret), token)).code == "token_invalid"
    assert server.asked == {"keys": 0, "user": 0}


@pytest.mark.parametrize("wedge", ["\n", " ", "é", "%0a", "\r\nX-Evil: 1"])
async def test_characters_that_decoders_skip_are_not_passed_on(
    http: httpx.AsyncClient, server: AuthServer, wedge: str
) -> None:
    token = signed(claims(server))

    error = await refused(verifier(http, server, secret=None), token[:30] + wedge + token[30:])

    assert error.code == "token_invalid"
    assert server.asked["user"] == 0


async def test_forged_signatures_are_refused(http: httpx.AsyncClient, server: AuthServer) -> None:
    genuine = signed(claims(server))
    head, _, signature = genuine.rpartition(".")
    other_body = signed(claims(server, sub=str(uuid4()))).split(".")[1]
    forgeries = [
        signed(claims(server), "another-secret-of-at-least-thirty-two-bytes"),
        f"{head}.",
        f"{head}.{signature[:-4]}AAAA",
        ".".join([genuine.split(".")[0], other_body, signature]),
    ]

    for forgery in forgeries:
        assert (await refused(verifier(http, server), forgery)).code == "token_invalid"


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", None, "HS512", "ES512", 7])
async def test_other_algorithms_are_refused_unasked(
    http: httpx.AsyncClient, server: AuthServer, algorithm: object
) -> None:
    for secret in (None, SECRET):
        token = handmade({"alg": algorithm, "typ": "JWT"}, claims(server))
        assert (await refused(verifier(http, server, secret=secret), token)).code == "token_invalid"
    assert server.asked == {"keys": 0, "user": 0}


@pytest.mark.parametrize("make", [lambda: ec.generate_private_key(ec.SECP256R1()),
                                  lambda: rsa.generate_private_key(65537, 2048),
                                  ed25519.Ed25519PrivateKey.generate])  # fmt: skip
async def test_published_keys_verify_locally(
    http: httpx.AsyncClient, server: AuthServer, make: Callable[[], PrivateKey]
) -> None:
    key, stranger = make(), make()
    server.publish(key, "one")
    checks = verifier(http, server, secret=None)

    for _ in range(3):
        assert (await checks.verify(signed(claims(server), key, kid="one"))).user_id == USER
    assert (await refused(checks, signed(claims(server), stranger, kid="one"))).code == "token_invalid"
    assert (await refused(checks, signed(claims(server, exp=1), key, kid="one"))).code == "token_expired"
    assert server.asked == {"keys": 1, "user": 0}


async def test_a_public_key_is_no_shared_secret(http: httpx.AsyncClient, server: AuthServer) -> None:
    key = rsa.generate_private_key(65537, 2048)
    server.publish(key, "one")
    server.user_answer = JSONResponse({"message": "invalid JWT"}, 403)
    public = key.public_key()
    for secret in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        json.dumps(server.keys[0]).encode(),
    ):
        for algorithm in ("HS256", "RS256"):
            token = handmade({"alg": algorithm, "kid": "one", "typ": "JWT"}, claims(server), secret)
            for shared in (None, SECRET):
                assert (await refused(verifier(http, server, secret=shared), token)).code == "token_invalid"


async def test_a_published_secret_verifies_nothing(http: httpx.AsyncClient, server: AuthServer) -> None:
    published = base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()
    server.keys.append({"kty": "oct", "kid": "one", "alg": "HS256", "k": published})

    token = handmade({"alg": "ES256", "kid": "one", "typ": "JWT"}, claims(server), SECRET.encode())

    assert (await refused(verifier(http, server), token)).code == "token_invalid"


async def test_a_new_key_is_fetched_when_a_token_names_it(
    http: httpx.AsyncClient, server: AuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "KEY_SET_MIN_SECONDS", 0.1)
    old, new = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    server.publish(old, "old")
    checks = verifier(http, server, secret=None)
    await checks.verify(signed(claims(server), old, kid="old"))

    server.publish(new, "new")
    await asyncio.sleep(0.11)

    assert (await checks.verify(signed(claims(server), new, kid="new"))).user_id == USER
    assert (await checks.verify(signed(claims(server), old, kid="old"))).user_id == USER
    assert server.asked["keys"] == 2


async def test_a_withdrawn_key_stops_counting_when_the_key_set_is_old(
    http: httpx.AsyncClient, server: AuthServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "KEY_SET_SECONDS", 0.1)
    old, new = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    server.publish(old, "old")
    checks = verifier(http, server, secret=None)
    await checks.verify(signed(claims(server), old, kid="old"))

    server.keys.clear()
    server.publish(new, "new")
    await asyncio.sleep(0.11)

    assert (await refused(checks, signed(claims(server), old, kid="old"))).code == "token_invalid"


async def test_forged_key_ids_cause_no_stampede(http: httpx.AsyncClient, server: AuthServer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    server.publish(key, "one")
    server.delay = 0.05
    checks = verifier(http, server, secret=None)
    genuine = signed(claims(server), key, kid="one")
    forged = [signed(claims(server), key, kid=str(number)) for number in range(100)]

    answers = await asyncio.gather(*(checks.verify(token) for token in (*forged, genuine)), return_exceptions=True)

    assert [type(answer) for answer in answers] == [NotAuthenticated] * 100 + [Identity]
    assert server.asked["keys"] == 1


@pytest.mark.parametrize(
    "answer",
    [JSONResponse({"keys": []}), JSONResponse([]), JSONResponse({"keys": 7}), JSONResponse({"keys": [{"kty": "?"}]}),
     Response("<html>")],
)  # fmt: skip
async def test_a_key_set_without_usable_keys_verifies_nothing(
    http: httpx.AsyncClient, server: AuthServer, answer: Response
) -> None:
    server.key_set_answer = answer
    token = signed(claims(server), ec.generate_private_key(ec.SECP256R1()), kid="one")

    assert (await refused(verifier(http, server), token)).code == "token_invalid"


async def test_an_auth_server_in_trouble_signs_nobody_out(http: httpx.AsyncClient, server: AuthServer) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    server.publish(key, "one")
    server.key_set_answer = JSONResponse({"message": "down"}, 503)
    server.user_answer = JSONResponse({"message": "down"}, 500)
    checks = verifier(http, server, secret=None)

    for token in (signed(claims(server), key, kid="one"), signed(claims(server))):
        with pytest.raises(NetworkError) as error:
            await checks.verify(token)
        assert error.value.retryable
        assert error.value.detail["status"] in (500, 503)
        assert token not in repr(error.value.to_dict())


async def test_a_dead_auth_server_is_a_network_error_and_everybody_learns_it_at_once(
    http: httpx.AsyncClient, server: AuthServer
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    listener = listen()
    # Nobody accepts on it, so each request waits for its whole time-out.
    server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient(timeout=0.3) as impatient:
        checks = verifier(impatient, server, secret=None)
        token = signed(claims(server), key, kid="one")
        started = time.monotonic()
        answers = await asyncio.gather(*(checks.verify(token) for _ in range(20)), return_exceptions=True)
        seconds = time.monotonic() - started
    listener.close()

    assert [type(answer) for answer in answers] == [NetworkError] * 20
    assert seconds < 2, "not one time-out after the other"
    with pytest.raises(NetworkError):
        await verifier(http, server, secret=None).verify(signed(claims(server)))


async def test_without_the_secret_the_auth_server_is_asked_once_and_only_about_plausible_tokens(
    http: httpx.AsyncClient, server: AuthServer
) -> None:
    checks = verifier(http, server, secret=None)
    token = signed(claims(server))

    for _ in range(3):
        assert (await checks.verify(token)).user_id == USER
    await refused(checks, signed(claims(server, exp=1)))
    await refused(checks, signed(claims(server, role="anon")))

    assert server.asked == {"keys": 0, "user": 1}
    assert (server.headers["apikey"], server.headers["authorization"]) == (PUBLISHABLE, f"Bearer {token}")


async def test_a_refusal_of_the_auth_server_is_not_remembered(http: httpx.AsyncClient, server: AuthServer) -> None:
    checks = verifier(http, server, secret=None)
    token = signed(claims(server))
    server.user_answer = JSONResponse({"msg": "Session from session_id claim in JWT does not exist"}, 403)
    assert (await refused(checks, token)).code == "token_invalid"

    server.user_answer = JSONResponse({"id": str(USER)})

    assert (await checks.verify(token)).user_id == USER


async def test_our_own_wrong_key_is_not_blamed_on_the_user(http: httpx.AsyncClient, server: AuthServer) -> None:
    server.user_answer = JSONResponse({"message": "Invalid API key"}, 401)

    error = await refused(verifier(http, server, secret=None), signed(claims(server)))

    assert error.code == "api_key_invalid"


# --- Against the stack's own auth server ---


def without_secret(settings: Settings) -> Settings:
    return settings.model_copy(update={"jwt_secret": None})


async def test_the_real_auth_server_vouches_for_a_token_until_the_user_signs_out(world: World) -> None:
    user = await world.user("ada")
    async with Clients(without_secret(world.settings)) as clients:
        assert (await clients.user(user.access_token)).identity.user_id == user.id

    await world.service.auth.admin.sign_out(user.access_token)

    async with Clients(without_secret(world.settings)) as clients:
        with pytest.raises(NotAuthenticated) as error:
            await clients.user(user.access_token)
    assert error.value.code == "token_invalid"


async def test_the_real_auth_server_does_not_vouch_for_a_forgery(world: World) -> None:
    user = await world.user("ada")
    forged = jwt.encode(jwt.decode(user.access_token, options={"verify_signature": False}), SECRET, "HS256")

    for settings in (world.settings, without_secret(world.settings)):
        async with Clients(settings) as clients:
            with pytest.raises(NotAuthenticated) as error:
                await clients.user(forged)
            assert error.value.code == "token_invalid"
