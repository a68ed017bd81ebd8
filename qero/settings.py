"""Everything qero reads from the environment, in one place.

Values come from the process environment, then from `.env.local` in the working directory. A missing value is reported
by name, with where to get it, when something needs it, so that a script without webhooks needs no Meta settings.
"""

from __future__ import annotations

import os
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from qero.errors import SettingsError

_WHERE: dict[str, tuple[str, str]] = {
    "supabase_url": ("SUPABASE_URL", "the project's API settings, or `qero local env`"),
    "publishable_key": ("SUPABASE_PUBLISHABLE_KEY", "the project's API keys, or `qero local env`"),
    "secret_key": ("SUPABASE_SECRET_KEY", "the project's API keys, or `qero local env`"),
    "db_url": ("SUPABASE_DB_URL", "the project's database settings (direct connection), or `qero local env`"),
    "meta_app_secret": ("META_APP_SECRET", "the Meta app's basic settings"),
    "meta_verify_token": ("META_VERIFY_TOKEN", "the token you chose for the webhook in the Meta app"),
    "meta_app_id": ("NEXT_PUBLIC_META_APP_ID", "the Meta app's basic settings"),
    "meta_config_id": ("NEXT_PUBLIC_META_CONFIG_ID", "the embedded signup configuration of the Meta app"),
    "secret_keys": ("QERO_SECRET_KEYS", "`qero secrets new-key`; keep it outside the database"),
    "vapid_public_key": ("VAPID_PUBLIC_KEY", "`qero push keys`"),
    "vapid_private_key": ("VAPID_PRIVATE_KEY", "`qero push keys`; keep it outside the database"),
    "vapid_subject": ("VAPID_SUBJECT", "you: `mailto:` and an address that push services may write to"),
}


ENV_FILE = ".env.local"


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not all("!" <= character <= "~" for character in value):
        raise ValueError("it should be a URL that starts with http:// or https://")
    return value


def _path_or_url(value: str) -> str:
    if value.startswith("/"):
        return _visible(value)
    try:
        return _url(value)
    except ValueError:
        raise ValueError("it should be a path that starts with /, or a URL") from None


def _stripped(value: Any) -> Any:
    """Pasted values often end in a line break, which no header takes and which nobody sees."""
    return value.strip() if isinstance(value, str) else value


def _key(value: SecretStr) -> SecretStr:
    _visible(value.get_secret_value())
    return value


def _visible(value: str) -> str:
    if not all("!" <= character <= "~" for character in value):
        raise ValueError("it holds characters that no key has, such as spaces or line breaks")
    return value


def _origins(value: Any) -> Any:
    """Origins as browsers send them: without a path, and without `*`, which would let every site in."""
    if not isinstance(value, str):
        return value
    given = [origin.strip().rstrip("/").lower() for origin in value.split(",") if origin.strip()]
    for origin in given:
        if urlsplit(_url(origin)).path or any(mark in origin for mark in "?#@"):
            raise ValueError("it should hold origins, like https://crm.example.com, with commas between them")
    return tuple(given)


Url = Annotated[str, BeforeValidator(_stripped), AfterValidator(_url)]
PathOrUrl = Annotated[str, BeforeValidator(_stripped), AfterValidator(_path_or_url)]
PublicKey = Annotated[str, BeforeValidator(_stripped), AfterValidator(_visible)]
# NoDecode: it is text with commas in the environment, and not JSON.
Origins = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_origins)]
Secret = Annotated[SecretStr, BeforeValidator(_stripped)]
SecretKey = Annotated[SecretStr, BeforeValidator(_stripped), AfterValidator(_key)]


def _from_env(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(BaseSettings):
    """qero's settings. Secrets are `SecretStr`: they show as stars in `repr`, logs and errors."""

    model_config = SettingsConfigDict(
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    supabase_url: Url | None = Field(None, validation_alias=_from_env("SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"))
    publishable_key: PublicKey | None = Field(
        None,
        validation_alias=_from_env(
            "SUPABASE_PUBLISHABLE_KEY",
            "NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY",
            "SUPABASE_ANON_KEY",
            "NEXT_PUBLIC_SUPABASE_ANON_KEY",
        ),
    )
    secret_key: SecretKey | None = Field(
        None, validation_alias=_from_env("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY")
    )
    jwt_secret: Secret | None = Field(
        None,
        validation_alias=_from_env("SUPABASE_JWT_SECRET"),
        description="Only for projects that still sign tokens with a shared secret; saves a request per new token.",
    )
    db_url: Secret | None = Field(None, validation_alias=_from_env("SUPABASE_DB_URL"))
    skip_db_backup: bool = Field(
        False, validation_alias=_from_env("SKIP_DB_BACKUP"), description="Push and restore without a backup."
    )

    meta_app_id: str | None = Field(None, validation_alias=_from_env("NEXT_PUBLIC_META_APP_ID", "META_APP_ID"))
    meta_config_id: str | None = Field(None, validation_alias=_from_env("NEXT_PUBLIC_META_CONFIG_ID", "META_CONFIG_ID"))
    meta_app_secret: Secret | None = Field(None, validation_alias=_from_env("META_APP_SECRET"))
    meta_verify_token: Secret | None = Field(None, validation_alias=_from_env("META_VERIFY_TOKEN"))
    meta_oauth_redirect_uri: PathOrUrl = Field(
        "/api/meta/oauth/callback",
        validation_alias=_from_env("META_OAUTH_REDIRECT_URI"),
        description="Where Meta sends browsers back to after a signup by redirect; a path comes after QERO_PUBLIC_URL.",
    )
    public_url: Url | None = Field(
        None, validation_alias=_from_env("QERO_PUBLIC_URL"), description="Where browsers reach the HTTP routes."
    )
    graph_url: Url = Field("https://graph.facebook.com", validation_alias=_from_env("META_GRAPH_URL"))
    graph_version: str = Field("v26.0", validation_alias=_from_env("META_GRAPH_VERSION"), pattern=r"^v\d+\.\d+$")

    secret_keys: Secret | None = Field(
        None,
        validation_alias=_from_env("QERO_SECRET_KEYS"),
        description="Comma-separated Fernet keys that encrypt connection tokens; the first encrypts, all decrypt.",
    )
    vapid_public_key: PublicKey | None = Field(None, validation_alias=_from_env("VAPID_PUBLIC_KEY"))
    vapid_private_key: SecretKey | None = Field(None, validation_alias=_from_env("VAPID_PRIVATE_KEY"))
    vapid_subject: str | None = Field(None, validation_alias=_from_env("VAPID_SUBJECT"))
    push_allowed_origins: str | None = Field(
        None,
        validation_alias=_from_env("QERO_PUSH_ALLOWED_ORIGINS"),
        description="Comma-separated origins of push services that aren't on the internet: for tests only.",
    )

    cors_origins: Origins = Field(
        (),
        validation_alias=_from_env("QERO_CORS_ORIGINS"),
        description="Comma-separated origins of pages elsewhere that may use the HTTP routes, cookies included.",
    )
    metrics_token: SecretKey | None = Field(
        None,
        validation_alias=_from_env("QERO_METRICS_TOKEN"),
        description="Whoever sends it as a bearer token may read /metrics of the HTTP routes.",
    )
    http_timeout_seconds: float = Field(
        30.0,
        validation_alias=_from_env("QERO_HTTP_TIMEOUT_SECONDS"),
        gt=0,
        le=3600,
        description="How long a request of the HTTP routes may take until its answer begins.",
    )

    request_timeout_seconds: float = Field(
        15.0, validation_alias=_from_env("QERO_REQUEST_TIMEOUT_SECONDS"), gt=0, le=3600
    )
    max_connections: int = Field(100, validation_alias=_from_env("QERO_MAX_CONNECTIONS"), gt=0)

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the settings.

        Raises:
            SettingsError: `setting_invalid`, naming the variable; never showing its value.
        """
        try:
            return cls(**overrides)
        except UnicodeDecodeError:
            raise SettingsError(
                "setting_invalid", f"{ENV_FILE} isn't UTF-8 text.", detail={"setting": ENV_FILE}
            ) from None
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            variable = _variable(str(problem["loc"][0]))
            message = problem["msg"].removeprefix("Value error, ")
            where = next((place for name, place in _WHERE.values() if name == _aliases(variable)[0]), None)
            raise SettingsError(
                "setting_invalid",
                f"{variable}: {message[0].lower()}{message[1:]}.",
                detail={"setting": variable},
                hint=f"Correct it in the environment or in {ENV_FILE}; the value comes from {where}."
                if where
                else None,
            ) from None

    def require(self, name: str) -> str:
        """The value of one setting as text.

        Raises:
            SettingsError: `setting_missing`, naming the environment variable and where its value comes from.
        """
        value = getattr(self, name)
        if value is None:
            variable, where = _WHERE[name]
            raise SettingsError(
                "setting_missing",
                f"{variable} is not set.",
                detail={"setting": variable},
                hint=f"Set it in the environment or in {ENV_FILE}; the value comes from {where}.",
            )
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)


def _aliases(name: str) -> list[str]:
    """The names a setting goes by, given any of them; the preferred one first."""
    for field_name, field in Settings.model_fields.items():
        alias = field.validation_alias
        names = [str(choice) for choice in alias.choices] if isinstance(alias, AliasChoices) else []
        if name == field_name or name in names:
            return names
    return [name]


def _variable(name: str) -> str:
    """The variable by which a setting was given, so that the error names the line to correct."""
    given = {**dotenv_values(ENV_FILE), **os.environ}
    names = _aliases(name)
    return next((variable for variable in names if given.get(variable)), names[0])
