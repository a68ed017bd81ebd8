"""Settings: every name they go by, which source wins, and errors that name the variable but never show its value."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import AliasChoices, SecretStr

from qero import Settings, SettingsError
from qero.settings import _WHERE

VALUES = {
    "supabase_url": "https://one.supabase.co",
    "public_url": "https://crm.example.com",
    "meta_oauth_redirect_uri": "/back",
    "graph_url": "https://graph.example",
    "graph_version": "v25.0",
}
NUMBERS = {"request_timeout_seconds": 3.5, "http_timeout_seconds": 4.5, "max_connections": 7}
FLAGS = {"skip_db_backup": True}
LISTS = {"cors_origins": ("https://one.example", "http://two.example:3000")}


def aliases(field: str) -> list[str]:
    alias = Settings.model_fields[field].validation_alias
    assert isinstance(alias, AliasChoices)
    return [str(name) for name in alias.choices]


ALIASES = [(field, name) for field in Settings.model_fields for name in aliases(field)]


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for _, name in ALIASES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def plain(settings: Settings, field: str) -> object:
    value = getattr(settings, field)
    return value.get_secret_value() if isinstance(value, SecretStr) else value


@pytest.mark.parametrize(("field", "name"), ALIASES)
def test_every_name_sets_its_setting(monkeypatch: pytest.MonkeyPatch, field: str, name: str) -> None:
    value = {**VALUES, **NUMBERS, **FLAGS, **LISTS}.get(field, "some-value")
    monkeypatch.setenv(name, ", ".join(value) if isinstance(value, tuple) else str(value))

    assert plain(Settings.load(), field) == value


@pytest.mark.parametrize(
    ("field", "names"),
    [
        ("supabase_url", ["SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"]),
        (
            "publishable_key",
            [
                "SUPABASE_PUBLISHABLE_KEY",
                "NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY",
                "SUPABASE_ANON_KEY",
                "NEXT_PUBLIC_SUPABASE_ANON_KEY",
            ],
        ),
        ("secret_key", ["SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"]),
        ("db_url", ["SUPABASE_DB_URL"]),
        ("meta_app_id", ["NEXT_PUBLIC_META_APP_ID", "META_APP_ID"]),
        ("meta_config_id", ["NEXT_PUBLIC_META_CONFIG_ID", "META_CONFIG_ID"]),
        ("meta_oauth_redirect_uri", ["META_OAUTH_REDIRECT_URI"]),
    ],
)
def test_the_promised_names_and_their_order(monkeypatch: pytest.MonkeyPatch, field: str, names: list[str]) -> None:
    assert aliases(field) == names
    for index, name in reversed(list(enumerate(names))):
        monkeypatch.setenv(name, f"https://value-{index}")
        assert plain(Settings.load(), field) == f"https://value-{index}", "the name listed first wins"


def test_the_environment_wins_over_the_file_and_an_argument_over_both(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env.local").write_text("SUPABASE_ANON_KEY=file\nMETA_APP_SECRET='from the file'\nUNRELATED=1\n")
    assert Settings.load().require("publishable_key") == "file"

    monkeypatch.setenv("SUPABASE_ANON_KEY", "environment")

    assert Settings.load().require("publishable_key") == "environment"
    assert Settings.load().require("meta_app_secret") == "from the file"
    assert Settings.load(publishable_key="argument").require("publishable_key") == "argument"


def test_an_empty_variable_counts_as_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_URL", "")
    monkeypatch.setenv("NEXT_PUBLIC_SUPABASE_URL", "https://one.supabase.co")

    assert Settings.load().supabase_url == "https://one.supabase.co"


def test_defaults() -> None:
    settings = Settings.load()

    assert settings.meta_oauth_redirect_uri == "/api/meta/oauth/callback"
    assert (settings.graph_url, settings.graph_version) == ("https://graph.facebook.com", "v26.0")


@pytest.mark.parametrize("field", sorted(_WHERE))
def test_a_missing_setting_is_named_with_where_to_get_it(field: str) -> None:
    variable, where = _WHERE[field]

    with pytest.raises(SettingsError) as error:
        Settings.load().require(field)

    assert variable == aliases(field)[0]
    assert error.value.code == "setting_missing"
    assert error.value.detail == {"setting": variable}
    assert variable in error.value.message
    assert where in (error.value.hint or "")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SUPABASE_URL", "one.supabase.co/hush"),
        ("SUPABASE_URL", "https://one supabase.co/hush"),
        ("SUPABASE_URL", "https://[hush"),
        ("SUPABASE_URL", "https://hush:123456789"),
        ("SUPABASE_URL", "ftp://hush"),
        ("NEXT_PUBLIC_SUPABASE_URL", "hush"),
        ("SUPABASE_SECRET_KEY", "hush\nhush"),
        ("SUPABASE_SERVICE_ROLE_KEY", "hush hush"),
        ("NEXT_PUBLIC_SUPABASE_ANON_KEY", "hush–hush"),
        ("META_GRAPH_URL", "graph/hush"),
        ("META_GRAPH_VERSION", "hush"),
        ("QERO_REQUEST_TIMEOUT_SECONDS", "hush"),
        ("QERO_REQUEST_TIMEOUT_SECONDS", "0"),
        ("QERO_REQUEST_TIMEOUT_SECONDS", "inf"),
        ("QERO_MAX_CONNECTIONS", "-3"),
        ("QERO_CORS_ORIGINS", "*"),
        ("QERO_CORS_ORIGINS", "https://one.example,https://hush.example/path"),
        ("QERO_CORS_ORIGINS", "https://hush@one.example"),
    ],
)
def test_a_malformed_setting_is_named_by_the_variable_that_holds_it_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    with pytest.raises(SettingsError) as error:
        Settings.load()

    assert error.value.code == "setting_invalid"
    assert error.value.detail == {"setting": variable}
    assert error.value.message.startswith(f"{variable}: ")
    assert "hush" not in repr(error.value.to_dict())
    assert error.value.__cause__ is None, "a cause would show the value in tracebacks"


def test_building_settings_by_hand_does_not_show_a_malformed_value_either() -> None:
    with pytest.raises(ValueError, match="supabase_url") as error:
        Settings(supabase_url="hush")

    assert "hush" not in str(error.value)


def test_a_malformed_line_of_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env.local").write_text("NEXT_PUBLIC_SUPABASE_URL=hush\n")

    with pytest.raises(SettingsError) as error:
        Settings.load()

    assert error.value.detail == {"setting": "NEXT_PUBLIC_SUPABASE_URL"}


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env.local").write_bytes(b"SUPABASE_URL=\xff\xfe\n")

    with pytest.raises(SettingsError) as error:
        Settings.load()

    assert (error.value.code, error.value.detail) == ("setting_invalid", {"setting": ".env.local"})


def test_a_pasted_line_break_around_a_value_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUPABASE_SECRET_KEY", " sb_secret_abc\n")
    monkeypatch.setenv("SUPABASE_URL", "https://one.supabase.co\n")

    assert Settings.load().require("secret_key") == "sb_secret_abc"
    assert Settings.load().require("supabase_url") == "https://one.supabase.co"


@pytest.mark.parametrize(
    ("variable", "field"),
    [
        ("SUPABASE_JWT_SECRET", "jwt_secret"),
        ("SUPABASE_DB_URL", "db_url"),
        ("META_APP_SECRET", "meta_app_secret"),
        ("META_VERIFY_TOKEN", "meta_verify_token"),
        ("QERO_SECRET_KEYS", "secret_keys"),
    ],
)
def test_a_pasted_line_break_around_a_secret_is_removed(
    monkeypatch: pytest.MonkeyPatch, variable: str, field: str
) -> None:
    monkeypatch.setenv(variable, " hush-hush\r\n")

    assert Settings.load().require(field) == "hush-hush"


@pytest.mark.parametrize(
    "field",
    [
        "secret_key",
        "jwt_secret",
        "db_url",
        "meta_app_secret",
        "meta_verify_token",
        "secret_keys",
        "vapid_private_key",
        "metrics_token",
    ],
)
def test_secrets_are_not_shown(field: str) -> None:
    settings = Settings.load(**{field: "hush-hush"})

    assert settings.require(field) == "hush-hush"
    for shown in (repr(settings), str(settings), settings.model_dump_json(), repr(settings.model_dump())):
        assert "hush" not in shown


def test_settings_are_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Settings.load().supabase_url = "https://two.supabase.co"  # type: ignore[misc]


@pytest.mark.parametrize("value", ["back", "javascript:alert(1)", "https://", "/a b"])
def test_the_address_to_come_back_to_is_a_path_or_a_url(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("META_OAUTH_REDIRECT_URI", value)

    with pytest.raises(SettingsError) as error:
        Settings.load()

    assert error.value.detail == {"setting": "META_OAUTH_REDIRECT_URI"}
    assert value not in str(error.value)
