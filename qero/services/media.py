"""Files for customers, on their way to Meta."""

from __future__ import annotations

from typing import IO
from uuid import UUID

from qero.clients.factory import ServiceClient
from qero.clients.graph import GraphClient
from qero.clients.rpc import call
from qero.clients.secrets import SecretBox
from qero.errors import InvalidState
from qero.models.inbox import ConnectionToken


class MediaUploads:
    """Brings files to Meta, which keeps them for 30 days. For the service; the user asks `Threads.prepare_upload`."""

    def __init__(self, client: ServiceClient, graph: GraphClient, secrets: SecretBox) -> None:
        self._client = client
        self._graph = graph
        self._secrets = secrets

    async def upload(self, connection_id: UUID, file: IO[bytes], *, mime_type: str, filename: str) -> str:
        """Upload a file for a number; returns the id that `Media` takes.

        Raises:
            InvalidState: `connection_not_found`; `connection_inactive`, the number has no token; `meta_refused`, the
                file isn't what it is said to be for instance.
            SettingsError: `secret_undecryptable`, the token was encrypted with another key.
            PermissionDenied: `phone_number_not_yours`, the token can't send from the number.
            Unavailable: `unavailable`, `network_error`.
        SQL: public.get_connection_token
        """
        found = await call(self._client, "get_connection_token", ConnectionToken, p_connection_id=connection_id)
        if found.access_token_ciphertext is None:
            raise InvalidState("connection_inactive", detail={"connection_id": str(connection_id)})
        return await self._graph.upload_media(
            found.phone_number_id,
            file,
            mime_type=mime_type,
            filename=filename,
            access_token=self._secrets.decrypt(found.access_token_ciphertext),
        )
