"""Everything qero reads from the environment, in one place.

Values come from the process environment, then from `.env.local` in the working directory. A missing value is reported
by name, with where to get it, when something needs it, so that a script without webhooks needs no Meta settings.
"""

from __future__ import annotations

from typing import Any

from pydantic import AliasChoices, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

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
    "vapid_public_key": ("VAPID_PUBLIC_KEY", "a VAPID key pair for web push"),
    "vapid_private_key": ("VAPID_PRIVATE_KEY", "a VAPID key pair for web push"),
}


def _from_env(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class Settings(BaseSettings):
    """qero's settings. Secrets are `SecretStr`: they show as stars in `repr`, logs and errors."""

    model_config = SettingsConfigDict(
        env_file=".env.local",
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        populate_by_name=True,
    )

    supabase_url: str | None = Field(
        None,
        validation_alias=_from_env("SUPABASE_URL", "NEXT_PUBLIC_SUPABASE_URL"),
        pattern=r"^https?://[^\s/]+",
    )
    publishable_key: str | None = Field(
        None,
        validation_alias=_from_env(
            "SUPABASE_PUBLISHABLE_KEY",
            "NEXT_PUBLIC_SUPABASE_PUBLISHABLE_KEY",
            "SUPABASE_ANON_KEY",
            "NEXT_PUBLIC_SUPABASE_ANON_KEY",
        ),
    )
    secret_key: SecretStr | None = Field(
        None, validation_alias=_from_env("SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY")
    )
    jwt_secret: SecretStr | None = Field(
        None,
        validation_alias=_from_env("SUPABASE_JWT_SECRET"),
        description="Only for projects that still sign tokens with a shared secret; saves a request per new token.",
    )
    db_url: SecretStr | None = Field(None, validation_alias=_from_env("SUPABASE_DB_URL"))

    meta_app_id: str | None = Field(None, validation_alias=_from_env("NEXT_PUBLIC_META_APP_ID", "META_APP_ID"))
    meta_config_id: str | None = Field(None, validation_alias=_from_env("NEXT_PUBLIC_META_CONFIG_ID", "META_CONFIG_ID"))
    meta_app_secret: SecretStr | None = Field(None, validation_alias=_from_env("META_APP_SECRET"))
    meta_verify_token: SecretStr | None = Field(None, validation_alias=_from_env("META_VERIFY_TOKEN"))
    meta_oauth_redirect_uri: str = Field(
        "/api/meta/oauth/callback", validation_alias=_from_env("META_OAUTH_REDIRECT_URI")
    )
    graph_url: str = Field(
        "https://graph.facebook.com",
        validation_alias=_from_env("META_GRAPH_URL"),
        pattern=r"^https?://[^\s/]+",
    )
    graph_version: str = Field("v26.0", validation_alias=_from_env("META_GRAPH_VERSION"), pattern=r"^v\d+\.\d+$")

    secret_keys: SecretStr | None = Field(
        None,
        validation_alias=_from_env("QERO_SECRET_KEYS"),
        description="Comma-separated Fernet keys that encrypt connection tokens; the first encrypts, all decrypt.",
    )
    vapid_public_key: str | None = Field(None, validation_alias=_from_env("VAPID_PUBLIC_KEY"))
    vapid_private_key: SecretStr | None = Field(None, validation_alias=_from_env("VAPID_PRIVATE_KEY"))

    request_timeout_seconds: float = Field(15.0, validation_alias=_from_env("QERO_REQUEST_TIMEOUT_SECONDS"), gt=0)
    max_connections: int = Field(100, validation_alias=_from_env("QERO_MAX_CONNECTIONS"), gt=0)

    @classmethod
    def load(cls, **overrides: Any) -> Settings:
        """Read the settings.

        Raises:
            SettingsError: `setting_invalid`, naming the variable; never showing its value.
        """
        try:
            return cls(**overrides)
        except ValidationError as error:
            problem = error.errors(include_input=False, include_url=False)[0]
            name = ".".join(str(part) for part in problem["loc"])
            raise SettingsError("setting_invalid", f"{name}: {problem['msg']}.", detail={"setting": name}) from None

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
                hint=f"Set it in the environment or in .env.local; the value comes from {where}.",
            )
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
