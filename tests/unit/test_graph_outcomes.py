"""What the Graph client makes of every answer, asked over real HTTP."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from qero.clients.graph import DAY_SECONDS, GraphClient
from qero.errors import InvalidInput
from qero.local.graph import Drop, Garbage, GraphFault, GraphStandIn, Hang, Number, Slow, fingerprint
from qero.models.outbox import Accepted, FailureAction, Refused, Scope, Unknown

PHONE_NUMBER_ID = "1234567890"
TOKEN = "EAAtoken-of-the-first-number"
RECIPIENT = "+250788123200"
TEXT = {"type": "text", "text": {"body": "Hello"}}
TEMPLATE = {"type": "template", "template": {"name": "order_ready", "language": {"code": "en_US"}}}
LINKED_IMAGE = {"type": "image", "image": {"link": "https://example.com/a.png"}}
UPLOADED_IMAGE = {"type": "image", "image": {"id": "5550001"}}


@pytest.fixture
async def graph() -> AsyncIterator[GraphStandIn]:
    numbers = [Number(PHONE_NUMBER_ID, TOKEN), Number("222", "EAAtoken-of-the-second")]
    async with GraphStandIn.serve(numbers) as stand_in:
        yield stand_in


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(timeout=5.0) as client:
        yield client


async def send(
    http: httpx.AsyncClient, url: str, payload: dict[str, Any] = TEXT, **changes: Any
) -> Accepted | Refused | Unknown:
    arguments: dict[str, Any] = {
        "phone_number_id": PHONE_NUMBER_ID,
        "access_token": TOKEN,
        "recipient": RECIPIENT,
        "opaque_id": "7d0d3c1e",
        **changes,
    }
    return await GraphClient(http, base_url=url, version="v26.0").send_message(payload=payload, **arguments)


async def refusal(http: httpx.AsyncClient, graph: GraphStandIn, fault: GraphFault, **changes: Any) -> Refused:
    graph.next_answer(fault)
    outcome = await send(http, graph.url, **changes)
    assert isinstance(outcome, Refused)
    return outcome


async def test_an_accepted_message_carries_everything_meta_needs(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    outcome = await send(http, graph.url)

    [sent] = graph.sent
    assert outcome == Accepted(provider_message_id=sent.wamid)
    assert sent.payload == {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": RECIPIENT,
        "type": "text",
        "text": {"body": "Hello"},
        "biz_opaque_callback_data": "7d0d3c1e",
    }
    assert (sent.phone_number_id, sent.token_fingerprint) == (PHONE_NUMBER_ID, fingerprint(TOKEN))


async def test_a_person_without_a_phone_number_is_addressed_by_user_id(
    http: httpx.AsyncClient, graph: GraphStandIn
) -> None:
    outcome = await send(http, graph.url, recipient="US.13491208655302741918")

    assert isinstance(outcome, Accepted)
    assert graph.sent[0].payload["recipient"] == "US.13491208655302741918"
    assert "to" not in graph.sent[0].payload


async def test_one_client_sends_for_many_numbers_each_with_its_own_token(
    http: httpx.AsyncClient, graph: GraphStandIn
) -> None:
    await send(http, graph.url)
    await send(http, graph.url, phone_number_id="222", access_token="EAAtoken-of-the-second")

    assert [(sent.phone_number_id, sent.token_fingerprint) for sent in graph.sent] == [
        (PHONE_NUMBER_ID, fingerprint(TOKEN)),
        ("222", fingerprint("EAAtoken-of-the-second")),
    ]


async def test_a_payload_cannot_redirect_a_message(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    await send(http, graph.url, {**TEXT, "to": "+15550009999", "biz_opaque_callback_data": "other"})

    assert (graph.sent[0].to, graph.sent[0].opaque_id) == (RECIPIENT, "7d0d3c1e")


async def test_an_opaque_id_that_meta_would_refuse_is_not_sent(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    with pytest.raises(InvalidInput) as error:
        await send(http, graph.url, opaque_id="x" * 513)

    assert error.value.detail["field"] == "opaque_id"
    assert graph.sent == []
    assert isinstance(await send(http, graph.url, opaque_id="x" * 512), Accepted)


# --- Graph's codes ---

RETRY, FAIL, PAUSE = FailureAction.RETRY, FailureAction.FAIL, FailureAction.PAUSE_CONNECTION

TABLE: list[tuple[FailureAction, Scope, list[int]]] = [
    (RETRY, Scope.NUMBER, [130429]),
    (RETRY, Scope.RECIPIENT, [131056]),
    (RETRY, Scope.APP, [4]),
    (RETRY, Scope.ACCOUNT, [80007]),
    (RETRY, Scope.MESSAGE, [1, 2, 131000, 131016, 133004]),
    (RETRY, Scope.MESSAGE, [131057, 134101]),
    (PAUSE, Scope.NUMBER, [0, 3, 10, 190, *range(200, 300), 131005]),
    (PAUSE, Scope.NUMBER, [33, 131037, 131045, 133006, 133010]),
    (PAUSE, Scope.NUMBER, [368, 131031, 131042, 131048, 131064]),
    (FAIL, Scope.MESSAGE, [100, 131008, 131009, 131021, 131026, 131051, 130403, 130472, 130497]),
    (FAIL, Scope.MESSAGE, [131050, 131062, 131063, *range(132000, 132017), 132068, 132069, 135000, 131047]),
]


@pytest.mark.parametrize(("action", "scope", "codes"), TABLE)
async def test_graphs_code_decides_what_happens(
    http: httpx.AsyncClient, graph: GraphStandIn, action: FailureAction, scope: Scope, codes: list[int]
) -> None:
    # The status contradicts the action, so that only the code can have decided.
    status = 400 if action is RETRY else 503
    for code in codes:
        outcome = await refusal(http, graph, GraphFault(code, status=status))

        assert (outcome.error_code, outcome.action, outcome.scope) == (str(code), action, scope)
        assert (outcome.delay is not None) == (action is RETRY)
        assert "Refused on request." in outcome.error_text
    assert graph.sent == []


@pytest.mark.parametrize("code", [132017, 131999, 300])
async def test_an_unlisted_code_fails_the_message(http: httpx.AsyncClient, graph: GraphStandIn, code: int) -> None:
    assert (await refusal(http, graph, GraphFault(code, status=400))).action is FAIL


@pytest.mark.parametrize(
    "fault",
    [
        GraphFault(999, status=503),
        GraphFault(999, status=429),
        GraphFault(999, status=400, is_transient=True),
    ],
)
async def test_an_unlisted_code_is_retried_where_graph_says_it_is_transient(
    http: httpx.AsyncClient, graph: GraphStandIn, fault: GraphFault
) -> None:
    assert (await refusal(http, graph, fault)).action is RETRY


@pytest.mark.parametrize("status", [200, 400, 500])
async def test_the_http_status_does_not_overrule_a_known_code(
    http: httpx.AsyncClient, graph: GraphStandIn, status: int
) -> None:
    assert (await refusal(http, graph, GraphFault(131026, status=status))).action is FAIL


async def test_a_code_written_as_text_counts_too(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    graph.next_answer(Garbage(400, b'{"error": {"code": "131056", "message": "slow down"}}'))

    outcome = await send(http, graph.url)

    assert isinstance(outcome, Refused)
    assert (outcome.error_code, outcome.error_text, outcome.scope) == (
        "131056",
        "slow down",
        Scope.RECIPIENT,
    )


async def test_a_number_that_graph_cannot_see_is_paused_though_its_code_is_that_of_a_bad_parameter(
    http: httpx.AsyncClient, graph: GraphStandIn
) -> None:
    outcome = await send(http, graph.url, phone_number_id="999")

    assert isinstance(outcome, Refused)
    assert (outcome.action, outcome.error_code) == (PAUSE, "100")


async def test_a_revoked_token_pauses_the_connection(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    graph.add_number(Number(PHONE_NUMBER_ID, "EAAa-new-token"))

    outcome = await send(http, graph.url)

    assert isinstance(outcome, Refused)
    assert (outcome.action, outcome.error_code) == (PAUSE, "190")


async def test_a_closed_window_is_answered_with_the_advice_to_use_a_template(
    http: httpx.AsyncClient, graph: GraphStandIn
) -> None:
    assert "template" in (await refusal(http, graph, GraphFault(131047))).error_text


async def test_marketing_over_the_limit_is_held_for_a_day(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    outcome = await refusal(http, graph, GraphFault(131049), payload=TEMPLATE)

    assert (outcome.action, outcome.delay) == (RETRY, DAY_SECONDS)
    assert (await refusal(http, graph, GraphFault(131049), payload=TEXT)).action is FAIL


async def test_linked_media_gets_two_tries_and_uploaded_media_one(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    fault = GraphFault(131053)
    assert (await refusal(http, graph, fault, payload=LINKED_IMAGE, attempts=1)).action is RETRY
    assert (await refusal(http, graph, fault, payload=LINKED_IMAGE, attempts=2)).action is FAIL
    assert (await refusal(http, graph, fault, payload=UPLOADED_IMAGE, attempts=1)).action is FAIL


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 4), (2, 16), (3, 64), (4, 256), (40, 3600)])
async def test_a_pair_limit_waits_four_to_the_power_of_the_attempts(
    http: httpx.AsyncClient, graph: GraphStandIn, attempts: int, seconds: int
) -> None:
    assert (await refusal(http, graph, GraphFault(131056), attempts=attempts)).delay == seconds


@pytest.mark.parametrize(
    ("code", "attempts", "least", "most"),
    [
        (131016, 1, 1, 3),
        (131016, 4, 1, 17),
        (131016, 50, 1, 61),
        (130429, 3, 1, 9),
        (80007, 1, 60, 120),
        (131057, 10, 60, 960),
    ],
)
async def test_delays_grow_with_the_attempts_and_are_spread(
    http: httpx.AsyncClient, graph: GraphStandIn, code: int, attempts: int, least: int, most: int
) -> None:
    delays = [(await refusal(http, graph, GraphFault(code), attempts=attempts)).delay or 0 for _ in range(40)]

    assert least <= min(delays) < least + (most - least) / 2 < max(delays) <= most


# --- Answers that aren't Graph's, and no answer at all ---


@pytest.mark.parametrize("status", [301, 403, 429, 500, 502, 503, 504])
async def test_an_answer_from_something_else_than_graph_is_retried(
    http: httpx.AsyncClient, graph: GraphStandIn, status: int
) -> None:
    graph.next_answer(Garbage(status))

    outcome = await send(http, graph.url)

    assert isinstance(outcome, Refused)
    assert (outcome.action, outcome.error_code) == (RETRY, f"http_{status}")
    assert graph.sent == []


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"null",
        b"[]",
        b'"wamid.1"',
        b'{"messages": []}',
        b'{"messages": {}}',
        b'{"messages": [null]}',
        b'{"messages": ["wamid.1"]}',
        b'{"messages": [{"id": null}]}',
        b'{"messages": [{"id": ""}]}',
        b'{"messages": [{"id": "\\u0000"}]}',
        b'{"messages": [{"id": "wamid.\\ud800"}]}',
        b'{"error": "broken"}',
        b'{"error": {"code": true}}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
async def test_a_success_that_cannot_be_read_is_unknown(
    http: httpx.AsyncClient, graph: GraphStandIn, body: bytes
) -> None:
    graph.next_answer(Garbage(200, body, "application/json"))

    outcome = await send(http, graph.url)

    assert isinstance(outcome, Unknown)
    assert outcome.error_code == "answer_unreadable"
    assert len(graph.sent) == 1


async def test_a_success_with_more_than_we_know_is_accepted(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    graph.next_answer(Garbage(201, b'{"messages": [{"id": "wamid.A=", "new": 1}, {}], "more": []}'))

    assert await send(http, graph.url) == Accepted(provider_message_id="wamid.A=")


async def test_no_answer_in_time_is_unknown(graph: GraphStandIn) -> None:
    graph.next_answer(Hang())

    async with httpx.AsyncClient(timeout=httpx.Timeout(5.0, read=0.2)) as impatient:
        outcome = await send(impatient, graph.url)

    assert isinstance(outcome, Unknown)
    assert outcome.error_code == "no_answer"
    assert len(graph.sent) == 1


async def test_a_connection_lost_before_the_answer_is_unknown(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    graph.next_answer(Drop())

    outcome = await send(http, graph.url)

    assert isinstance(outcome, Unknown)
    assert outcome.error_code == "no_answer"
    assert len(graph.sent) == 1
    assert isinstance(await send(http, graph.url), Accepted)


async def test_a_slow_answer_is_still_an_answer(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    graph.next_answer(Slow(0.2))

    assert isinstance(await send(http, graph.url), Accepted)


async def test_a_refused_connection_is_retried(http: httpx.AsyncClient) -> None:
    with socket.socket() as unused:
        # Bound but not listening: nobody else can take the port, and connecting to it is refused.
        unused.bind(("127.0.0.1", 0))

        outcome = await send(http, f"http://127.0.0.1:{unused.getsockname()[1]}")

    assert isinstance(outcome, Refused)
    assert (outcome.action, outcome.error_code) == (RETRY, "not_sent")


async def test_a_message_that_found_no_free_connection_is_retried(graph: GraphStandIn) -> None:
    limits = httpx.Limits(max_connections=1)
    timeout = httpx.Timeout(5.0, pool=0.1)
    async with (
        httpx.AsyncClient(limits=limits, timeout=timeout) as narrow,
        narrow.stream("GET", graph.url),
    ):
        outcome = await send(narrow, graph.url)

    assert isinstance(outcome, Refused)
    assert (outcome.action, outcome.error_code) == (RETRY, "not_sent")
    assert graph.sent == []


# --- Secrets ---


@pytest.mark.parametrize("token", ["", "line\nbreak", "with space", "tökén", "nul\x00"])
async def test_a_token_that_cannot_be_one_pauses_the_connection_and_is_never_quoted(
    http: httpx.AsyncClient, graph: GraphStandIn, token: str
) -> None:
    outcome = await send(http, graph.url, access_token=token)

    assert isinstance(outcome, Refused)
    assert outcome.action is PAUSE
    assert not token or token not in repr(outcome)
    assert graph.refused == []


async def test_a_token_that_graph_quotes_is_not_kept(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    outcome = await refusal(http, graph, GraphFault(190, f"Malformed access token {TOKEN}"))

    assert "Malformed access token" in outcome.error_text
    assert TOKEN not in repr(outcome)


async def test_graphs_words_are_kept_in_a_form_the_database_can_store(
    http: httpx.AsyncClient, graph: GraphStandIn
) -> None:
    graph.next_answer(Garbage(400, b'{"error": {"code": 131026, "message": "a\\u0000b\\ud800c' + b"x" * 5000 + b'"}}'))

    outcome = await send(http, graph.url)

    assert isinstance(outcome, Refused)
    assert outcome.action is FAIL
    assert outcome.error_text.startswith("ab?cx")
    assert len(outcome.error_text) == 1000


async def test_a_phone_number_id_cannot_reach_another_path(http: httpx.AsyncClient, graph: GraphStandIn) -> None:
    outcome = await send(http, graph.url, phone_number_id=f"../v26.0/{PHONE_NUMBER_ID}")

    assert isinstance(outcome, Refused)
    assert graph.sent == []
