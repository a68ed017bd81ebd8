"""The realtime server's pure parts: frames, the decoder of the log, filters, presence, tokens."""

from __future__ import annotations

import json
import struct
import time
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest
from psycopg import sql

from qero.local.keys import Keys
from qero.local.realtime.channels import JoinConfig, subscription_id
from qero.local.realtime.filters import BadSubscription, Condition, parse_change_request, parse_filter
from qero.local.realtime.identity import TokenRefused, verify
from qero.local.realtime.pgoutput import (
    Begin,
    Change,
    ChangeKind,
    Relation,
    Unchanged,
    decode,
    old_values,
    values_by_column,
)
from qero.local.realtime.presence import Presence
from qero.local.realtime.protocol import (
    BadFrame,
    RelayedBroadcast,
    UserBroadcast,
    Version,
    decode_binary,
    decode_text,
    encode,
)


class TestFrames:
    def test_both_versions_of_a_text_frame_mean_the_same(self) -> None:
        as_object = '{"topic":"realtime:a","event":"phx_join","payload":{"config":{}},"ref":"1","join_ref":"1"}'

        assert decode_text(as_object) == decode_text('["1","1","realtime:a","phx_join",{"config":{}}]')

    def test_a_heartbeat_without_ref_is_read(self) -> None:
        request = decode_text('{"topic":"phoenix","event":"heartbeat","payload":{},"ref":null}')

        assert (request.topic, request.ref) == ("phoenix", None)

    def test_numeric_refs_become_text_because_replies_carry_text(self) -> None:
        assert decode_text('[1,2,"t","e",{}]').ref == "2"

    def test_a_payload_that_is_no_object_counts_as_empty(self) -> None:
        assert decode_text('[null,null,"t","e",[1]]').payload == {}

    @pytest.mark.parametrize("text", ["", "{", "null", "7", "[]", "[1,2,3,4,5]", "{}", '{"topic":1,"event":"e"}'])
    def test_a_malformed_text_frame_is_refused(self, text: str) -> None:
        with pytest.raises(BadFrame):
            decode_text(text)

    def test_an_object_frame_from_the_server_always_carries_ref(self) -> None:
        frame = json.loads(encode(Version.OBJECTS, "realtime:a", "system", "{}", join_ref="1"))

        assert frame == {"ref": None, "topic": "realtime:a", "event": "system", "payload": {}}

    def test_an_array_frame_keeps_its_order(self) -> None:
        frame = json.loads(encode(Version.ARRAYS, "realtime:a", "phx_reply", '{"x":1}', join_ref="1", ref="2"))

        assert frame == ["1", "2", "realtime:a", "phx_reply", {"x": 1}]

    @pytest.mark.parametrize(
        ("vsn", "version"),
        [(None, Version.OBJECTS), ("1.0.0", Version.OBJECTS), ("2.0.0", Version.ARRAYS)],
    )
    def test_the_version_comes_from_the_url(self, vsn: str | None, version: Version) -> None:
        assert Version.of(vsn) is version


def pushed(body: bytes, *, encoding: int = 1, event: str = "hi", meta: str = "") -> bytes:
    fields = [b"1", b"7", b"realtime:a", event.encode(), meta.encode()]
    return bytes([3, *map(len, fields), encoding]) + b"".join(fields) + body


class TestBinaryBroadcasts:
    def test_a_pushed_broadcast_is_read(self) -> None:
        request = decode_binary(pushed(b'{"n":1}', meta='{"id":"x"}'))

        assert (request.join_ref, request.ref, request.topic, request.event) == (
            "1",
            "7",
            "realtime:a",
            "broadcast",
        )
        assert request.payload == UserBroadcast("hi", '{"n":1}', {"id": "x"})

    def test_bytes_stay_bytes(self) -> None:
        assert decode_binary(pushed(b"\x00\xff", encoding=0)).payload == UserBroadcast("hi", b"\x00\xff", None)

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            b"\x03",
            b"\x04" + pushed(b"{}")[1:],
            pushed(b"")[:12],
            pushed(b"{"),
            pushed(b"\xff"),
            pushed(b"{}", meta="{"),
        ],
    )
    def test_a_malformed_binary_frame_is_refused(self, data: bytes) -> None:
        with pytest.raises(BadFrame):
            decode_binary(data)

    def test_newer_clients_receive_it_in_binary_form(self) -> None:
        frame = UserBroadcast("hi", '{"n":1}', {"id": "x"}).frame(Version.ARRAYS, "realtime:a")

        assert frame == bytes([4, 10, 2, 10, 1]) + b"realtime:a" + b"hi" + b'{"id":"x"}' + b'{"n":1}'

    def test_older_clients_receive_it_as_json(self) -> None:
        frame = UserBroadcast("hi", '{"n":1}', {"id": "x"}).frame(Version.OBJECTS, "realtime:a")

        assert isinstance(frame, str)
        assert json.loads(frame)["payload"] == {
            "type": "broadcast",
            "event": "hi",
            "payload": {"n": 1},
            "meta": {"id": "x"},
        }

    def test_older_clients_cannot_receive_bytes(self) -> None:
        assert UserBroadcast("hi", b"\x00").frame(Version.OBJECTS, "realtime:a") is None

    def test_an_event_too_long_for_the_binary_header_is_sent_as_json(self) -> None:
        frame = UserBroadcast("e" * 256, "{}").frame(Version.ARRAYS, "realtime:a")

        assert isinstance(frame, str)
        assert json.loads(frame)[4]["event"] == "e" * 256

    def test_a_json_broadcast_is_relayed_with_every_key(self) -> None:
        payload = {"type": "broadcast", "event": "hi", "payload": {"n": "ü"}, "extra": 1}

        assert json.loads(RelayedBroadcast(payload).frame(Version.ARRAYS, "realtime:a"))[4] == payload


def relation_message(*columns: tuple[str, bool], identity: bytes = b"d") -> bytes:
    body = struct.pack(">I", 42) + b"public\0" + b"notes\0" + identity + struct.pack(">H", len(columns))
    for name, is_key in columns:
        body += bytes([is_key]) + name.encode() + b"\0" + struct.pack(">Ii", 25, -1)
    return b"R" + body


def row(*values: str | Unchanged | None) -> bytes:
    body = struct.pack(">H", len(values))
    for value in values:
        if value is None:
            body += b"n"
        elif isinstance(value, Unchanged):
            body += b"u"
        else:
            body += b"t" + struct.pack(">I", len(value.encode())) + value.encode()
    return body


def change_message(kind: bytes, *parts: bytes) -> bytes:
    return kind + struct.pack(">I", 42) + b"".join(parts)


def decoded(data: bytes) -> Change:
    message = decode(data)
    assert isinstance(message, Change)
    return message


NOTES = Relation(42, "public", "notes", ("id", "body"), frozenset({"id"}))


class TestLogDecoder:
    def test_a_transaction_begins_with_the_time_of_its_commit(self) -> None:
        microseconds = 3_600_000_001

        message = decode(b"B" + struct.pack(">qqI", 0, microseconds, 7))

        assert message == Begin(datetime(2000, 1, 1, 1, 0, 0, 1, tzinfo=UTC))

    def test_a_relation_names_its_columns_and_its_identity(self) -> None:
        assert decode(relation_message(("id", True), ("body", False))) == NOTES

    def test_system_tables_come_without_schema(self) -> None:
        message = decode(b"R" + struct.pack(">I", 1) + b"\0" + b"pg_class\0" + b"d" + struct.pack(">H", 0))

        assert isinstance(message, Relation)
        assert message.schema == "pg_catalog"

    def test_an_insert_has_a_new_row(self) -> None:
        change = decoded(change_message(b"I", b"N", row("1", "über")))

        assert (change.kind, change.new, change.old) == (ChangeKind.INSERT, ("1", "über"), None)

    def test_nulls_and_unchanged_values_are_told_apart(self) -> None:
        change = decoded(change_message(b"U", b"N", row(None, Unchanged.VALUE)))

        assert change.new == (None, Unchanged.VALUE)
        assert values_by_column(NOTES, change.new) == {"id": None}

    def test_an_update_that_keeps_the_key_has_that_key_for_its_old_row(self) -> None:
        change = decoded(change_message(b"U", b"N", row("1", "new")))

        assert old_values(NOTES, change, {"id": "1", "body": "new"}) == {"id": "1"}

    def test_an_update_of_the_key_has_the_former_key_only(self) -> None:
        change = decoded(change_message(b"U", b"K", row("1", None), b"N", row("2", "new")))

        assert old_values(NOTES, change, {"id": "2", "body": "new"}) == {"id": "1"}

    def test_full_identity_keeps_nulls_of_the_old_row(self) -> None:
        change = decoded(change_message(b"U", b"O", row("1", None), b"N", row("1", "new")))

        assert old_values(NOTES, change, {"id": "1", "body": "new"}) == {"id": "1", "body": None}

    def test_a_delete_has_no_new_row(self) -> None:
        change = decoded(change_message(b"D", b"K", row("1", None)))

        assert (change.kind, change.new) == (ChangeKind.DELETE, None)
        assert old_values(NOTES, change, {}) == {"id": "1"}

    @pytest.mark.parametrize("data", [b"C" + bytes(25), b"T" + bytes(9), b"Y" + bytes(8), b"O" + bytes(9)])
    def test_kinds_nobody_needs_are_passed_over(self, data: bytes) -> None:
        assert decode(data) is None


class TestFilters:
    @pytest.mark.parametrize(
        ("text", "conditions"),
        [
            ("", ()),
            ("  ", ()),
            ("id=eq.5", (Condition("id", "eq", "5"),)),
            ("id=not.eq.5", (Condition("id", "eq", "5", negated=True),)),
            ("a=eq.x=y.z", (Condition("a", "eq", "x=y.z"),)),
            ("a=gt.1, b=lt.2", (Condition("a", "gt", "1"), Condition("b", "lt", "2"))),
            ("s=in.(a,b)", (Condition("s", "in", "{a,b}"),)),
            (
                's=in.("a,b",c),t=eq.1',
                (Condition("s", "in", '{"a,b",c}'), Condition("t", "eq", "1")),
            ),
            ('s=eq."a,b"', (Condition("s", "eq", "a,b"),)),
            ('s=eq."say \\"hi\\""', (Condition("s", "eq", 'say "hi"'),)),
            ('size=eq.5",id=eq.1', (Condition("size", "eq", '5"'), Condition("id", "eq", "1"))),
            ("at=is.null", (Condition("at", "is", "null"),)),
            ("v=eq.", (Condition("v", "eq", ""),)),
        ],
    )
    def test_a_filter_is_read(self, text: str, conditions: tuple[Condition, ...]) -> None:
        assert parse_filter(text) == conditions

    @pytest.mark.parametrize(
        "text",
        ["undefined", "id=foo.1", "id=eq", "=eq.1", "id=eq.1,", "id=in.1,2", "id=in.(1", "at=is.maybe"],
    )
    def test_an_unreadable_filter_is_refused(self, text: str) -> None:
        with pytest.raises(BadSubscription):
            parse_filter(text)

    @pytest.mark.parametrize(
        ("condition", "expression"),
        [
            (Condition("n", "gte", "5"), "coalesce((x >= %s::integer), false)"),
            (Condition("n", "in", "{1}"), "coalesce((x = any (%s::integer[])), false)"),
            (Condition("n", "is", "null", negated=True), "coalesce(not (x is null), false)"),
            (Condition("n", "isdistinct", "5"), "coalesce((x is distinct from %s::integer), false)"),
        ],
    )
    def test_values_reach_sql_as_parameters_only(self, condition: Condition, expression: str) -> None:
        composed = condition.expression(sql.SQL("x"), "integer")

        assert composed.as_string(None) == expression
        assert len(condition.parameters) == expression.count("%s")


class TestSubscriptions:
    def test_a_schema_alone_means_all_its_tables(self) -> None:
        request = parse_change_request({"event": "*", "schema": "public"})

        assert request.covers("public", "anything")
        assert not request.covers("private", "anything")
        assert all(request.wants(kind) for kind in ChangeKind)

    def test_a_table_alone_is_looked_for_in_public(self) -> None:
        request = parse_change_request({"event": "insert", "table": "notes"})

        assert request.covers("public", "notes")
        assert not request.wants(ChangeKind.DELETE)

    @pytest.mark.parametrize(
        "spec",
        [
            {"event": "*"},
            {"schema": "public", "filter": "id=eq.1"},
            {"table": "notes", "filter": 7},
            {"table": "notes", "select": "id"},
            {"schema": "public", "select": ["id"]},
        ],
    )
    def test_an_incomplete_request_is_refused(self, spec: dict[str, Any]) -> None:
        with pytest.raises(BadSubscription):
            parse_change_request(spec)

    def test_ids_are_equal_for_equal_specs_and_never_zero(self) -> None:
        first = subscription_id({"event": "*", "schema": "public"})

        assert first == subscription_id({"schema": "public", "event": "*"})
        assert first != subscription_id({"event": "INSERT", "schema": "public"})
        assert all(subscription_id({"table": str(number)}) > 0 for number in range(1000))

    def test_the_config_of_a_join_survives_nonsense(self) -> None:
        config = JoinConfig.parse({"broadcast": 7, "presence": {"key": ""}, "postgres_changes": [None, {"a": 1}]})

        assert not config.private
        assert config.presence_key
        assert config.change_specs == ({"a": 1},)

    def test_flags_may_be_text(self) -> None:
        assert JoinConfig.parse({"private": "True", "broadcast": {"self": "false"}}).private


class TestPresence:
    def test_members_of_one_key_are_kept_apart(self) -> None:
        presence = Presence()
        presence.track("alice", "phone", {"on": "phone"})
        presence.track("alice", "laptop", {"on": "laptop"})

        presence.untrack("alice", "phone")

        assert [meta["on"] for meta in presence.state()["alice"]["metas"]] == ["laptop"]

    def test_an_update_replaces_the_former_presence(self) -> None:
        presence = Presence()
        first = presence.track("alice", "phone", {"mood": "good"})
        second = presence.track("alice", "phone", {"mood": "better"})

        assert first is not None
        assert second is not None
        (joined,) = second["joins"]["alice"]["metas"]
        (left,) = second["leaves"]["alice"]["metas"]
        assert joined["phx_ref_prev"] == left["phx_ref"] == first["joins"]["alice"]["metas"][0]["phx_ref"]

    def test_tracking_the_same_again_changes_nothing(self) -> None:
        presence = Presence()
        presence.track("alice", "phone", {"mood": "good"})

        assert presence.track("alice", "phone", {"mood": "good"}) is None

    def test_nobody_is_left_behind(self) -> None:
        presence = Presence()
        presence.track("alice", "phone", {})

        assert presence.untrack("alice", "phone") is not None
        assert presence.untrack("alice", "phone") is None
        assert presence.state() == {}


class TestTokens:
    @pytest.fixture
    def keys(self) -> Keys:
        return Keys.generate()

    def token(self, keys: Keys, **claims: Any) -> str:
        claims = {"role": "authenticated", "exp": int(time.time()) + 60, **claims}
        return jwt.encode(
            {name: value for name, value in claims.items() if value is not None}, keys.jwt_secret, "HS256"
        )

    def test_a_user_is_known_by_the_claims(self, keys: Keys) -> None:
        identity = verify(keys, self.token(keys, sub="alice"))

        assert identity.role == "authenticated"
        assert json.loads(identity.claims)["sub"] == "alice"
        assert 0 < identity.seconds_left <= 60

    def test_an_api_key_stands_for_the_same_reader_at_any_time(
        self, keys: Keys, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = verify(keys, keys.publishable)
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 30)

        assert verify(keys, keys.publishable).claims == before.claims

    @pytest.mark.parametrize(
        ("claims", "reason"),
        [
            ({"exp": 1}, "InvalidJWTToken: Token has expired"),
            ({"role": None}, "InvalidJWTToken: Fields `role` and `exp` are required"),
            ({"exp": None}, "InvalidJWTToken: Fields `role` and `exp` are required"),
        ],
    )
    def test_a_refusal_says_why(self, keys: Keys, claims: dict[str, Any], reason: str) -> None:
        with pytest.raises(TokenRefused) as refusal:
            verify(keys, self.token(keys, **claims))

        assert refusal.value.reason.startswith(reason)

    def test_forged_and_malformed_tokens_are_told_apart(self, keys: Keys) -> None:
        with pytest.raises(TokenRefused) as forged:
            verify(keys, self.token(Keys.generate()))
        with pytest.raises(TokenRefused) as malformed:
            verify(keys, "no token at all")

        assert forged.value.reason.startswith("JwtSignatureError")
        assert malformed.value.reason.startswith("MalformedJWT")
