"""Encrypts the secrets of connections, so that the database never holds a usable access token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from qero.errors import SettingsError
from qero.settings import Settings


class Decrypter(Protocol):
    """Opens stored secrets; raises `SettingsError` when it can't."""

    def decrypt(self, ciphertext: str) -> str: ...


class SecretBox:
    """Encrypts with the first key and decrypts with any, so a key is replaced by putting a new one first."""

    def __init__(self, keys: Sequence[str]) -> None:
        """
        Args:
            keys: Fernet keys as `generate_key` makes them, newest first.

        Raises:
            SettingsError: `setting_missing` without a key; `setting_invalid` for one that isn't a Fernet key.
        """
        if not keys:
            raise SettingsError("setting_missing", detail={"setting": "QERO_SECRET_KEYS"})
        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError:
            # The cause would show the key.
            raise SettingsError(
                "setting_invalid",
                "QERO_SECRET_KEYS holds something that isn't a Fernet key.",
                detail={"setting": "QERO_SECRET_KEYS"},
            ) from None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The box for the comma-separated keys in QERO_SECRET_KEYS. Raises as the constructor."""
        keys = settings.require("secret_keys").split(",")
        return cls([key.strip() for key in keys if key.strip()])

    @staticmethod
    def generate_key() -> str:
        """A new random key."""
        return Fernet.generate_key().decode()

    def encrypt(self, text: str) -> str:
        """`text` as ciphertext that only the configured keys open."""
        return self._fernet.encrypt(text.encode()).decode()

    def decrypt(self, ciphertext: str) -> str:
        """The text behind `ciphertext`.

        Raises:
            SettingsError: `secret_undecryptable`, none of the keys made it or it was altered.
        """
        try:
            return self._fernet.decrypt(ciphertext).decode()
        except (InvalidToken, ValueError):
            raise SettingsError("secret_undecryptable") from None
