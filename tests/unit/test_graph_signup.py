"""What the Graph client asks for a signup, and what the stand-in for Meta makes of it, over real HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from qero.clients.graph import GraphClient, MetaApp
from qero.errors import InvalidInput, InvalidState, PermissionDenied, QeroError, Unavailable
from qero.local.asgi import listen, serving
from qero.local.graph import GraphFault, GraphStandIn, Number, fingerprint

WABA = "8856996819413533"
NUMBER = Number("1234567890", "EAAfirst", display_phone_number="15550001111", waba_id=WABA, verified_name="Acme")
OTHER = Number("222", "EAAsecond", waba_id="99")
APP = MetaApp("870", "12", "the-app-secret", "v26.0")
MESSAGE = {"messaging_product": "whatsapp", "to": "+250788123200", "type": "text", "text": {"body": "Hello"}}


@pytest.fixture
async def graph() -> AsyncIterator[GraphStandIn]:
    async with GraphStandIn.serve([NUMBER, OTHER]) as stand_in:
        stand_in.signup.add_app(APP.app_id, APP.secret)
        yield stand_in


@pytest.fixture
async def client(graph: GraphStandIn) -> AsyncIterator[GraphClient]:
    async with httpx.AsyncClient(timeout=5.0) as http:
        yield GraphClient(http, base_url=graph.url, version="v26.0")


async def token_for(graph: GraphStandIn, client: GraphClient, **options: Any) -> str:
    return await client.exchange_code(APP, graph.signup.grant(APP.app_id, **{"waba_ids": [WABA], **options}))


async def test_a_code_becomes_a_token_that_reads_subscribes_and_sends(graph: GraphStandIn, client: GraphClient) -> None:
    token = await token_for(graph, client, user_id="55")

    info = await client.debug_token(APP, token)
    assert (info.is_valid, info.app_id, info.user_id, info.waba_ids()) == (True, APP.app_id, "55", [WABA])
    [listed] = await client.phone_numbers(WABA, access_token=token)
    assert listed == await client.phone_number(NUMBER.phone_number_id, access_token=token)
    assert (listed.id, listed.display_phone_number, listed.verified_name) == ("1234567890", "+15550001111", "Acme")
    await client.subscribe_app(WABA, access_token=token)
    await client.subscribe_app(WABA, access_token=token)
    assert graph.signup.subscribed == [(APP.app_id, WABA)]
    await client.send_message(
        phone_number_id=NUMBER.phone_number_id, access_token=token, recipient="+250788123200",
        payload={"type": "text", "text": {"body": "Hello"}}, opaque_id="row-1",
    )  # fmt: skip
    assert [sent.token_fingerprint for sent in graph.sent] == [fingerprint(token)]
    assert graph.refused == []


async def test_a_code_works_once_for_30_seconds_and_for_one_address(graph: GraphStandIn, client: GraphClient) -> None:
    back = "https://crm.example.com/back"
    code = graph.signup.grant(APP.app_id, waba_ids=[WABA], redirect_uri=back)

    for redirect_uri in (None, back + "/", "https://evil.example/"):
        with pytest.raises(InvalidInput) as error:
            await client.exchange_code(APP, code, redirect_uri=redirect_uri)
        assert (error.value.code, error.value.detail["meta_subcode"]) == ("signup_code_invalid", 36008)
    assert await client.exchange_code(APP, code, redirect_uri=back)
    with pytest.raises(InvalidInput) as used:
        await client.exchange_code(APP, code, redirect_uri=back)
    assert used.value.detail["meta_subcode"] == 36009

    late = graph.signup.grant(APP.app_id, waba_ids=[WABA])
    graph.signup.pass_time(31)
    with pytest.raises(InvalidInput) as expired:
        await client.exchange_code(APP, late)
    assert expired.value.detail["meta_subcode"] == 36007


@pytest.mark.parametrize("app", [MetaApp("870", "12", "wrong", "v26.0"), MetaApp("1", "12", "the-app-secret", "v26.0")])
async def test_an_app_that_is_not_itself_is_refused(graph: GraphStandIn, client: GraphClient, app: MetaApp) -> None:
    code = graph.signup.grant(APP.app_id, waba_ids=[WABA])

    with pytest.raises(InvalidState) as exchanging:
        await client.exchange_code(app, code)
    with pytest.raises(InvalidState) as asking:
        await client.debug_token(app, "EAAx")

    assert (exchanging.value.code, asking.value.code) == ("meta_refused", "meta_refused")
    assert exchanging.value.detail["meta_code"] in (1, 101)
    assert asking.value.detail["meta_code"] == 190


async def test_a_token_nobody_granted_or_somebody_withdrew_is_not_valid(
    graph: GraphStandIn, client: GraphClient
) -> None:
    token = await token_for(graph, client, user_id="77")
    graph.signup.revoke("77")

    for unknown in (token, "EAAnothing"):
        assert (await client.debug_token(APP, unknown)).is_valid is False
        with pytest.raises(InvalidState) as error:
            await client.phone_numbers(WABA, access_token=unknown)
        assert (error.value.code, error.value.detail["meta_code"]) == ("meta_refused", 190)


async def test_what_the_token_does_not_cover_is_somebody_else_s(graph: GraphStandIn, client: GraphClient) -> None:
    token = await token_for(graph, client)
    for waba_id in (OTHER.waba_id, "404", "../me", ""):
        with pytest.raises(PermissionDenied) as listing:
            await client.phone_numbers(waba_id, access_token=token)
        with pytest.raises(PermissionDenied) as subscribing:
            await client.subscribe_app(waba_id, access_token=token)
        assert (listing.value.code, subscribing.value.code) == ("waba_not_yours", "waba_not_yours")
    for phone_number_id in (OTHER.phone_number_id, "404"):
        with pytest.raises(PermissionDenied) as reading:
            await client.phone_number(phone_number_id, access_token=token)
        assert reading.value.code == "phone_number_not_yours"
    assert graph.signup.subscribed == []

    only_messaging = await token_for(graph, client, scopes=["whatsapp_business_messaging"])
    with pytest.raises(PermissionDenied) as without_scope:
        await client.subscribe_app(WABA, access_token=only_messaging)
    assert without_scope.value.detail["meta_code"] == 200


async def test_numbers_come_in_pages_and_all_of_them(graph: GraphStandIn, client: GraphClient) -> None:
    for index in range(250):
        graph.add_number(Number(f"7{index:05}", f"EAA{index}", waba_id="500"))
    token = await token_for(graph, client, waba_ids=["500", "501"])

    found = await client.phone_numbers("500", access_token=token)

    assert [number.id for number in found] == [f"7{index:05}" for index in range(250)]
    assert graph.signup.asked.count("GET 500/phone_numbers") == 3
    assert await client.phone_numbers("501", access_token=token) == []


async def test_newer_tokens_name_their_accounts_under_messaging_only(graph: GraphStandIn, client: GraphClient) -> None:
    newer = await token_for(graph, client, waba_ids=["9", "8"], granular_scopes=["whatsapp_business_messaging"])
    silent = await token_for(graph, client, granular_scopes=[])

    assert (await client.debug_token(APP, newer)).waba_ids() == ["9", "8"]
    assert (await client.debug_token(APP, silent)).waba_ids() == []


@pytest.mark.parametrize(
    ("fault", "error", "code"),
    [
        (GraphFault(2), Unavailable, "unavailable"),
        (GraphFault(4), Unavailable, "unavailable"),
        (GraphFault(80008), Unavailable, "unavailable"),
        (GraphFault(131000), Unavailable, "unavailable"),
        (GraphFault(1, is_transient=True), Unavailable, "unavailable"),
        (GraphFault(100, status=429), Unavailable, "unavailable"),
        (GraphFault(1), InvalidState, "meta_refused"),
        (GraphFault(368), InvalidState, "meta_refused"),
        (GraphFault(10), PermissionDenied, "phone_number_not_yours"),
    ],
)
async def test_every_refusal_has_a_class(
    graph: GraphStandIn, client: GraphClient, fault: GraphFault, error: type[QeroError], code: str
) -> None:
    token = await token_for(graph, client)
    graph.signup.fail(NUMBER.phone_number_id, fault)

    with pytest.raises(error) as raised:
        await client.phone_number(NUMBER.phone_number_id, access_token=token)

    assert (raised.value.code, raised.value.detail["meta_code"]) == (code, fault.code)
    assert raised.value.hint
    assert token not in str(raised.value.to_dict())


async def test_a_reason_of_meta_s_that_quotes_the_token_is_told_without_it(
    graph: GraphStandIn, client: GraphClient
) -> None:
    token = await token_for(graph, client)
    graph.signup.fail("phone_numbers", GraphFault(190, details=f"Malformed access token {token}"))

    with pytest.raises(InvalidState) as error:
        await client.phone_numbers(WABA, access_token=token)

    assert error.value.detail["reason"].endswith("Malformed access token [secret]")


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (200, b"<html>", "answer_unreadable"),
        (200, b"{}", "answer_unreadable"),
        (200, b'{"access_token": 7, "data": "x", "id": null, "success": "yes"}', "answer_unreadable"),
        (200, b'{"error": {"code": 2, "message": "x"}}', "unavailable"),
        (302, b"", "unavailable"),
        (404, b"not here", "unavailable"),
        (502, b"<html>Bad Gateway</html>", "unavailable"),
    ],
)
async def test_an_answer_that_is_not_graph_s_is_told_apart(status: int, body: bytes, code: str) -> None:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": status, "headers": [(b"location", b"/elsewhere")]})
            await send({"type": "http.response.body", "body": body})

    listener = listen()
    address = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with serving(answer, listener), httpx.AsyncClient() as http:
        client = GraphClient(http, base_url=address, version="v26.0")
        for call in (
            client.exchange_code(APP, "AQ"),
            client.debug_token(APP, "EAA"),
            client.phone_numbers("1", access_token="EAA"),
            client.phone_number("1", access_token="EAA"),
            client.subscribe_app("1", access_token="EAA"),
        ):
            with pytest.raises(QeroError) as error:
                await call
            assert error.value.code == code


@pytest.mark.parametrize("token", ["EAA\nx", "é", "a b"])
async def test_a_token_that_is_none_is_not_sent_and_not_shown(client: GraphClient, token: str) -> None:
    with pytest.raises(QeroError) as error:
        await client.phone_number("1", access_token=token)

    assert error.value.code == "answer_unreadable"
    assert token not in repr(error.value.to_dict())


async def test_without_a_connection_it_is_unavailable() -> None:
    with listen() as listener:
        nobody_there = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with httpx.AsyncClient() as http:
        with pytest.raises(Unavailable) as error:
            await GraphClient(http, base_url=nobody_there, version="v26.0").exchange_code(APP, "AQsecret")

    assert (error.value.code, error.value.retryable) == ("network_error", True)
    assert "AQsecret" not in repr(error.value.to_dict())
    assert error.value.__cause__ is None, "the cause holds the request, and with it the secrets"


async def test_the_stand_in_refuses_what_meta_would(graph: GraphStandIn, client: GraphClient) -> None:
    token = await token_for(graph, client)
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=f"{graph.url}/v26.0") as http:
        for request, code in (
            (http.get("/oauth/access_token"), 101),
            (http.get("/oauth/access_token", params={"client_id": APP.app_id, "client_secret": APP.secret}), 100),
            (http.post("/oauth/access_token"), 190),
            (http.get("/debug_token", params={"input_token": token}), 190),
            (http.get("/debug_token", params={"input_token": token}, headers=headers), 190),
            (http.get("/debug_token", headers={"Authorization": f"Bearer {APP.app_id}|{APP.secret}"}), 100),
            (http.get(f"/{WABA}/phone_numbers"), 190),
            (http.get(f"/{NUMBER.phone_number_id}", params={"fields": "secret"}, headers=headers), 100),
            (http.delete(f"/{NUMBER.phone_number_id}", headers=headers), 100),
            (http.get(f"/{WABA}/subscribed_apps", headers=headers), 100),
            (http.post(f"/{OTHER.phone_number_id}/messages", json=MESSAGE, headers=headers), 190),
        ):
            answer = await request
            assert (answer.is_success, answer.json()["error"]["code"]) == (False, code), answer.request.url
