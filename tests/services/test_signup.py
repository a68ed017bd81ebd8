"""Embedded signup from its start to a connected number, with a stand-in for Meta that checks as Meta does."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from qero import (
    Clients,
    Conflict,
    Connections,
    InvalidInput,
    InvalidState,
    PermissionDenied,
    QeroError,
    Settings,
    Signup,
    SignupCompletion,
    Unavailable,
)
from qero.clients.graph import GraphClient, MetaApp
from qero.local.asgi import listen
from qero.local.graph import GraphFault, GraphStandIn, Number, text_webhook
from qero.models.signup import SignupResult
from qero.models.workspace import Workspace
from tests.support import World, digits

BACK = "https://crm.example.com/api/meta/oauth/callback"


@dataclass
class Office:
    """A workspace of olga's that is about to connect a number, and Meta."""

    world: World
    graph: GraphStandIn
    app: MetaApp
    workspace: Workspace
    meta_user_id: str = field(default_factory=lambda: digits(15))

    def number(self, waba_id: str) -> Number:
        number = Number(digits(15), f"EAA{uuid4().hex}", f"1555{digits(7)}", waba_id)
        self.graph.add_number(number)
        return number

    async def start(self, *, by_redirect: bool = False, user: str = "olga") -> str:
        client = (await self.world.user(user)).client
        return (await Signup(client).start(self.workspace.id, self.app, by_redirect=by_redirect)).state

    def code(self, *waba_ids: str, **options: Any) -> str:
        """What Meta hands out when somebody has shared these accounts."""
        return self.graph.signup.grant(self.app.app_id, waba_ids=waba_ids, user_id=self.meta_user_id, **options)

    async def complete(self, state: str, code: str, *, user: str = "olga", **ids: str) -> SignupResult:
        service = self.world.service
        graph = GraphClient(self.world.clients.http, base_url=self.graph.url, version="v26.0")
        completion = SignupCompletion(service, graph, Connections(service, self.world.secrets))
        user_id = (await self.world.user(user)).id
        return await completion.complete(self.app, user_id=user_id, state=state, code=code, **ids)

    async def sign_up(self, *waba_ids: str, **ids: str) -> SignupResult:
        return await self.complete(await self.start(), self.code(*waba_ids), user="olga", **ids)

    async def stored(self) -> int:
        return int(
            await self.world.scalar("select count(*) from wa_phone_numbers where workspace_id = %s", self.workspace.id)
        )

    async def nothing_happened(self) -> None:
        assert await self.stored() == 0
        assert self.graph.signup.subscribed == []


@pytest.fixture(scope="module")
def world(settings: Settings, clients: Clients, database: psycopg.AsyncConnection[Any]) -> World:
    """The same people in all tests, for signing up is slow; each test makes its own workspace."""
    return World(settings, clients, database)


@pytest.fixture
async def office(world: World, graph: GraphStandIn) -> Office:
    app = MetaApp(digits(15), "config-1", f"secret-{uuid4().hex}", "v26.0", BACK)
    graph.signup.add_app(app.app_id, app.secret)
    return Office(world, graph, app, await world.workspace(anton="admin", bob="member"))


async def test_a_finished_signup_is_a_connection_that_sends_and_receives(office: Office) -> None:
    world, number = office.world, office.number(digits(15))
    await world.receive(text_webhook(number, f"+{digits(11)}", "Anybody there?"))

    result = await office.sign_up(number.waba_id, waba_id=number.waba_id, phone_number_id=number.phone_number_id)

    [connected] = result.numbers
    assert (result.workspace_id, result.waba_id) == (office.workspace.id, number.waba_id)
    assert (connected.outcome, connected.error) == ("connected", None)
    connection = connected.connection
    assert connection is not None
    assert (connection.status, connection.verified_name) == ("active", "Acme")
    assert connection.display_phone_number == f"+{number.display_phone_number}"
    assert office.graph.signup.subscribed == [(office.app.app_id, number.waba_id)]
    assert office.graph.signup.asked[0] == "GET oauth/access_token", "the code lives for 30 seconds"
    [[ciphertext, meta_user_id]] = await world.rows(
        "select private.connection_secret(connection_id), meta_user_id from private.wa_connection_secrets"
        " where connection_id = %s",
        connection.id,
    )
    assert office.graph.signup.phone_number_ids(world.secrets.decrypt(ciphertext)) == {number.phone_number_id}
    assert meta_user_id == office.meta_user_id
    waited = await world.rows("select body from wa_messages where connection_id = %s", connection.id)
    assert waited == [("Anybody there?",)], "what arrived before takes effect now"


async def test_coexistence_connects_every_number_it_can_and_says_what_became_of_each(office: Office) -> None:
    waba_id = digits(15)
    free, taken, hidden = [office.number(waba_id) for _ in range(3)]
    elsewhere = await office.world.workspace(owner="mallory")
    await office.world.number(elsewhere, phone_number_id=taken.phone_number_id)
    code = office.code(waba_id, hidden_phone_number_ids=[hidden.phone_number_id])

    result = await office.complete(await office.start(), code, waba_id=waba_id)

    outcomes = {
        number.phone_number_id: number.connection.phone_number_id if number.connection else (number.error or {})["code"]
        for number in result.numbers
    }
    assert outcomes == {
        free.phone_number_id: free.phone_number_id,
        taken.phone_number_id: "phone_number_taken",
        hidden.phone_number_id: "phone_number_not_yours",
    }
    assert await office.stored() == 1


async def test_a_number_that_is_taken_is_an_error_when_it_is_the_only_one(office: Office) -> None:
    number = office.number(digits(15))
    await office.world.number(await office.world.workspace(owner="mallory"), phone_number_id=number.phone_number_id)

    with pytest.raises(Conflict) as error:
        await office.sign_up(number.waba_id, waba_id=number.waba_id)

    assert error.value.code == "phone_number_taken"
    assert await office.stored() == 0


@pytest.mark.parametrize(
    "granular_scopes",
    [("whatsapp_business_management", "whatsapp_business_messaging"), ("whatsapp_business_messaging",)],
)
async def test_by_redirect_the_account_shared_last_is_found_in_the_token(
    office: Office, granular_scopes: tuple[str, ...]
) -> None:
    newest, older = office.number(digits(15)), office.number(digits(15))
    state = await office.start(by_redirect=True)
    code = office.code(newest.waba_id, older.waba_id, redirect_uri=BACK, granular_scopes=granular_scopes)

    result = await office.complete(state, code)

    assert [number.phone_number_id for number in result.numbers] == [newest.phone_number_id]


async def test_a_number_alone_finds_its_account_among_those_shared(office: Office) -> None:
    newest, older = office.number(digits(15)), office.number(digits(15))

    result = await office.sign_up(newest.waba_id, older.waba_id, phone_number_id=older.phone_number_id)

    assert result.waba_id == older.waba_id


async def test_a_token_that_names_no_account_needs_the_session_event(office: Office) -> None:
    number = office.number(digits(15))

    with pytest.raises(InvalidInput) as error:
        await office.complete(await office.start(), office.code(number.waba_id, granular_scopes=[]))

    assert error.value.code == "waba_id_required"
    assert "session event" in (error.value.hint or "")
    await office.nothing_happened()
    await office.complete(await office.start(), office.code(number.waba_id, granular_scopes=[]), waba_id=number.waba_id)


async def test_an_account_without_numbers_says_so(office: Office) -> None:
    with pytest.raises(InvalidState) as error:
        await office.sign_up(digits(15))

    assert error.value.code == "waba_without_numbers"
    await office.nothing_happened()


# --- Whose it is ---


async def test_what_the_token_cannot_read_cannot_be_claimed(office: Office) -> None:
    mine, theirs = office.number(digits(15)), office.number(digits(15))
    hidden = office.number(mine.waba_id)

    for ids, code in (
        ({"waba_id": theirs.waba_id}, "waba_not_yours"),
        ({"waba_id": theirs.waba_id, "phone_number_id": theirs.phone_number_id}, "waba_not_yours"),
        ({"waba_id": mine.waba_id, "phone_number_id": theirs.phone_number_id}, "phone_number_not_yours"),
        ({"phone_number_id": theirs.phone_number_id}, "phone_number_not_yours"),
        ({"waba_id": mine.waba_id, "phone_number_id": hidden.phone_number_id}, "phone_number_not_yours"),
        ({"waba_id": digits(15)}, "waba_not_yours"),
        ({"waba_id": "../me"}, "waba_not_yours"),
    ):
        granted = office.code(mine.waba_id, hidden_phone_number_ids=[hidden.phone_number_id])
        with pytest.raises(PermissionDenied) as error:
            await office.complete(await office.start(), granted, **ids)
        assert error.value.code == code, ids
    await office.nothing_happened()


async def test_a_state_of_somebody_else_reaches_nothing_at_meta(office: Office) -> None:
    number = office.number(digits(15))
    state, code = await office.start(), office.code(number.waba_id)

    for user in ("anton", "bob", "mallory"):
        with pytest.raises(InvalidInput) as error:
            await office.complete(state, code, user=user, waba_id=number.waba_id)
        assert error.value.code == "signup_state_invalid"
    assert office.graph.signup.asked == []
    await office.complete(state, code, waba_id=number.waba_id)
    with pytest.raises(InvalidState) as used:
        await office.complete(state, office.code(number.waba_id), waba_id=number.waba_id)
    assert used.value.code == "signup_state_used"


async def test_only_owners_and_admins_start_one(office: Office) -> None:
    assert await office.start(user="anton")
    with pytest.raises(PermissionDenied) as member:
        await office.start(user="bob")
    with pytest.raises(QeroError) as stranger:
        await office.start(user="mallory")

    assert (member.value.code, stranger.value.code) == ("role_required", "workspace_not_found")


# --- What Meta refuses ---


@pytest.mark.parametrize("trouble", ["unknown", "used", "late", "another address", "another app"])
async def test_a_code_that_meta_does_not_take_stores_nothing(office: Office, trouble: str) -> None:
    number = office.number(digits(15))
    code = office.code(number.waba_id)
    if trouble == "unknown":
        code = "AQnothing"
    elif trouble == "used":
        await office.complete(await office.start(), code, waba_id=number.waba_id)
    elif trouble == "late":
        office.graph.signup.pass_time(31)
    elif trouble == "another address":
        code = office.code(number.waba_id, redirect_uri=BACK)
    else:
        office.graph.signup.add_app("777", "another")
        code = office.graph.signup.grant("777", waba_ids=[number.waba_id])
    before = await office.stored()

    with pytest.raises(InvalidInput) as error:
        await office.complete(await office.start(), code, waba_id=number.waba_id)

    assert error.value.code == "signup_code_invalid"
    assert error.value.detail["reason"], "Meta's words"
    assert code not in str(error.value.to_dict())
    assert await office.stored() == before


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (GraphFault(200), "waba_not_yours"),
        (GraphFault(190), "meta_refused"),
        (GraphFault(368), "meta_refused"),
        (GraphFault(2), "unavailable"),
        (GraphFault(4), "unavailable"),
        (GraphFault(1, status=500), "unavailable"),
    ],
)
async def test_without_the_accounts_webhooks_nothing_is_stored(office: Office, fault: GraphFault, code: str) -> None:
    number = office.number(digits(15))
    office.graph.signup.fail("subscribed_apps", fault)

    with pytest.raises(QeroError) as error:
        await office.sign_up(number.waba_id, waba_id=number.waba_id)

    assert error.value.code == code
    assert error.value.hint
    await office.nothing_happened()


async def test_a_wrong_app_secret_is_meta_s_refusal_and_stays_secret(office: Office) -> None:
    number = office.number(digits(15))
    state = await office.start()
    office.app = MetaApp(office.app.app_id, "config-1", "a-wrong-secret", "v26.0")

    with pytest.raises(InvalidState) as error:
        await office.complete(state, office.code(number.waba_id), waba_id=number.waba_id)

    assert error.value.code == "meta_refused"
    assert "client secret" in error.value.detail["reason"]
    assert "a-wrong-secret" not in repr(error.value.to_dict()) + repr(office.app)


async def test_a_grant_withdrawn_at_once_stores_nothing(office: Office) -> None:
    number = office.number(digits(15))
    state, code = await office.start(), office.code(number.waba_id)
    office.graph.signup.fail("debug_token", GraphFault(190))

    with pytest.raises(InvalidState) as error:
        await office.complete(state, code, waba_id=number.waba_id)

    assert error.value.code == "meta_refused"
    await office.nothing_happened()


async def test_while_meta_is_away_it_is_unavailable(office: Office) -> None:
    with listen() as listener:
        office.graph.url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    with pytest.raises(Unavailable) as error:
        await office.sign_up(digits(15))

    assert error.value.code == "network_error"
    assert await office.stored() == 0


async def test_no_secret_is_logged(
    office: Office, logs: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    """httpx logs the address of every request, and the app's secret, the code and the token are in two of them."""
    caplog.set_level(logging.DEBUG)
    number = office.number(digits(15))
    state, code = await office.start(), office.code(number.waba_id)

    result = await office.complete(state, code, waba_id=number.waba_id)

    [connected] = result.numbers
    assert connected.connection is not None
    token = office.world.secrets.decrypt(
        await office.world.scalar("select private.connection_secret(%s)", connected.connection.id)
    )
    # Meta's own log, which the stand-in keeps in the same process, is none of ours.
    lines = [record.getMessage() for record in caplog.records if not record.name.startswith("uvicorn")]
    written = repr(logs) + repr(lines)
    assert "oauth/access_token" in written, "the requests are logged"
    for secret in (state, code, token, office.app.secret):
        assert secret not in written


# --- Withdrawing ---


async def test_whoever_withdraws_the_grant_ends_its_connections_until_somebody_signs_up_again(office: Office) -> None:
    number = office.number(digits(15))
    await office.sign_up(number.waba_id, waba_id=number.waba_id)
    connections = Connections(office.world.service, office.world.secrets)

    [ended] = await connections.deauthorize(office.meta_user_id)

    assert (ended.status, ended.status_reason) == ("inactive", "deauthorized")
    assert [found.status for found in await connections.list(office.workspace.id)] == ["inactive"]
    again = await office.sign_up(number.waba_id, waba_id=number.waba_id)
    assert again.numbers[0].connection is not None
    assert (again.numbers[0].connection.id, again.numbers[0].connection.status) == (ended.id, "active")


async def test_an_admin_disconnects_and_a_member_does_not(office: Office) -> None:
    number = await office.world.number(office.workspace)
    anton, bob, mallory = [(await office.world.user(name)).client for name in ("anton", "bob", "mallory")]

    with pytest.raises(PermissionDenied) as member:
        await Connections(bob).disconnect(number.connection.id)
    with pytest.raises(InvalidState) as stranger:
        await Connections(mallory).disconnect(number.connection.id)
    ended = await Connections(anton).disconnect(number.connection.id, reason="  ")

    assert (member.value.code, stranger.value.code) == ("role_required", "connection_not_found")
    assert (ended.status, ended.status_reason) == ("inactive", "disconnected")
    assert await Connections(mallory).list(office.workspace.id) == []
    assert [found.id for found in await Connections(bob).list(office.workspace.id)] == [number.connection.id]


# --- Settings ---


def offered(settings: Settings, **changes: Any) -> MetaApp:
    given = {"meta_app_id": "870", "meta_config_id": "12", **changes}
    return MetaApp.from_settings(settings.model_copy(update=given))


def test_signup_is_offered_only_when_everything_it_needs_is_set(settings: Settings) -> None:
    app = offered(settings)
    assert (app.app_id, app.config_id, app.redirect_uri) == ("870", "12", None)
    for name, variable in (
        ("meta_app_id", "NEXT_PUBLIC_META_APP_ID"),
        ("meta_config_id", "NEXT_PUBLIC_META_CONFIG_ID"),
        ("meta_app_secret", "META_APP_SECRET"),
        ("secret_keys", "QERO_SECRET_KEYS"),
    ):
        with pytest.raises(InvalidState) as error:
            offered(settings, **{name: None})
        assert (error.value.code, error.value.detail) == ("signup_not_offered", {"missing": [variable]})


@pytest.mark.parametrize(
    ("public_url", "redirect_uri", "whole"),
    [
        (None, "/api/meta/oauth/callback", None),
        ("https://crm.example.com", "/api/meta/oauth/callback", BACK),
        ("https://crm.example.com/", "/api/meta/oauth/callback", BACK),
        (None, "https://app.example.com/back", "https://app.example.com/back"),
        ("https://crm.example.com", "https://app.example.com/back", "https://app.example.com/back"),
    ],
)
def test_the_address_to_come_back_to_is_absolute_or_none(
    settings: Settings, public_url: str | None, redirect_uri: str, whole: str | None
) -> None:
    app = offered(settings, public_url=public_url, meta_oauth_redirect_uri=redirect_uri)

    assert app.redirect_uri == whole


async def test_by_redirect_needs_such_an_address(office: Office) -> None:
    office.app = MetaApp(office.app.app_id, "config-1", "x", "v26.0")

    with pytest.raises(InvalidState) as error:
        await office.start(by_redirect=True)

    assert error.value.detail == {"missing": ["QERO_PUBLIC_URL"]}
