"""The WhatsApp numbers of workspaces: connecting, finding and disconnecting them."""

from __future__ import annotations

import builtins
from uuid import UUID

from qero.clients.factory import Client
from qero.clients.rpc import call, execute
from qero.clients.secrets import SecretBox
from qero.errors import SettingsError
from qero.models.whatsapp import Connection


class Connections:
    """Members see their workspaces' numbers, owners and admins disconnect them; the rest is for the service."""

    def __init__(self, client: Client, secrets: SecretBox | None = None) -> None:
        """
        Args:
            secrets: encrypts access tokens; only connecting needs it.
        """
        self._client = client
        self._secrets = secrets

    async def list(self, workspace_id: UUID) -> builtins.list[Connection]:
        """The numbers of a workspace, disconnected ones too, by Meta's id.

        SQL: select on public.wa_phone_numbers
        """
        query = (
            self._client.table("wa_phone_numbers")
            .select("*")
            .eq("workspace_id", str(workspace_id))
            .is_("deleted_at", "null")
            .order("phone_number_id")
            .order("id")
        )
        return await execute(
            self._client, query, builtins.list[Connection], operation="connections.list", workspace_id=str(workspace_id)
        )

    async def connect(
        self,
        workspace_id: UUID,
        *,
        waba_id: str,
        phone_number_id: str,
        access_token: str,
        display_phone_number: str | None = None,
        verified_name: str | None = None,
        meta_user_id: str | None = None,
    ) -> Connection:
        """Connect a number, or renew its token and reactivate it; what arrived for it before takes effect now.

        For the service. Idempotent. The token is encrypted here; the database never sees it in the clear.

        Args:
            meta_user_id: whose grant the token is; when they withdraw it, the connection ends.

        Raises:
            SettingsError: `setting_missing`, there is no key to encrypt the token with.
            Conflict: `phone_number_taken`, it is connected elsewhere.
            NotFound: `workspace_not_found`.
            InvalidInput: `invalid_value`, Meta's ids are digits only.
        SQL: public.connect_wa_phone_number
        """
        if self._secrets is None:
            raise SettingsError("setting_missing", detail={"setting": "QERO_SECRET_KEYS"})
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
            p_meta_user_id=meta_user_id,
        )

    async def disconnect(self, connection_id: UUID, *, reason: str | None = None) -> Connection:
        """End a connection and forget its token. What is queued stays queued, for when the number is connected again.

        Idempotent: doing it again changes nothing, the reason included.

        Args:
            reason: shown to the team; `disconnected` unless given.

        Raises:
            InvalidState: `connection_not_found`, none such, or another workspace's.
            PermissionDenied: `role_required`, only owners and admins disconnect.
            InvalidState: `workspace_suspended`.
            NotFound: `workspace_not_found`, the caller has just left it.
        SQL: public.disconnect_wa_phone_number
        """
        return await call(
            self._client,
            "disconnect_wa_phone_number",
            Connection,
            p_connection_id=connection_id,
            p_reason=reason,
        )

    async def set_language(self, connection_id: UUID, language: str) -> Connection:
        """Say what a number's customers write in: messages from now on are found in other forms of a word too.

        What came before is found as it was. Idempotent.

        Args:
            language: one that Postgres has, `german` for instance, or `simple`, in which words are found as written.

        Raises:
            InvalidState: `connection_not_found`, none such, or another workspace's; `workspace_suspended`.
            PermissionDenied: `role_required`, only owners and admins.
            NotFound: `workspace_not_found`, the caller has just left it.
            InvalidInput: `invalid_value`; the detail lists the languages.
        SQL: public.set_connection_language
        """
        return await call(
            self._client, "set_connection_language", Connection, p_connection_id=connection_id, p_language=language
        )

    async def deauthorize(self, meta_user_id: str) -> builtins.list[Connection]:
        """End every connection whose token a Meta user granted and has withdrawn; returns the ones it ended.

        For the service. Idempotent.

        SQL: public.deauthorize_meta_user
        """
        return await call(self._client, "deauthorize_meta_user", builtins.list[Connection], p_meta_user_id=meta_user_id)

    async def resolve_for_webhook(self, phone_number_id: str) -> Connection:
        """The connection that receives webhooks for Meta's phone number id; a paused one receives too. For the service.

        Raises:
            InvalidState: `connection_not_found`.
        SQL: public.resolve_connection_for_webhook
        """
        return await call(self._client, "resolve_connection_for_webhook", Connection, p_phone_number_id=phone_number_id)
