"""Connecting WhatsApp numbers to workspaces."""

from __future__ import annotations

from uuid import UUID

from qero.clients.factory import ServiceClient
from qero.clients.rpc import call
from qero.clients.secrets import SecretBox
from qero.models.whatsapp import Connection


class Connections:
    """For the service: it holds the key that encrypts access tokens."""

    def __init__(self, client: ServiceClient, secrets: SecretBox) -> None:
        self._client = client
        self._secrets = secrets

    async def connect(
        self,
        workspace_id: UUID,
        *,
        waba_id: str,
        phone_number_id: str,
        access_token: str,
        display_phone_number: str | None = None,
        verified_name: str | None = None,
    ) -> Connection:
        """Connect a number, or renew its token and reactivate it; what arrived for it before takes effect now.

        Idempotent. The token is encrypted here; the database never sees it in the clear.

        Raises:
            Conflict: `phone_number_taken`, it is connected elsewhere.
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, Meta's ids are digits only.
        SQL: public.connect_wa_phone_number
        """
        return await call(
            self._client,
            "connect_wa_phone_number",
            Connection,
            p_workspace_id=workspace_id,
            p_waba_id=waba_id,
            p_phone_number_id=phone_number_id,
            p_access_token_ciphertext=self._secrets.encrypt(access_token),
            p_display_phone_number=display_phone_number,
            p_verified_name=verified_name,
        )

    async def resolve_for_webhook(self, phone_number_id: str) -> Connection:
        """The connection that receives webhooks for Meta's phone number id; a paused one receives too.

        Raises:
            InvalidState: `connection_not_found`.
        SQL: public.resolve_connection_for_webhook
        """
        return await call(self._client, "resolve_connection_for_webhook", Connection, p_phone_number_id=phone_number_id)
