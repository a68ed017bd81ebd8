"""Receives Meta's webhooks: whatever is answered with success is committed."""

from __future__ import annotations

import hashlib
import hmac

from qero.clients.factory import ServiceClient
from qero.clients.rpc import call
from qero.errors import NotAuthenticated, PermissionDenied, QeroError, Unavailable
from qero.models.webhook import IngestOutcome, WebhookEvent, parse_body


class Webhooks:
    """For the service. Any web framework can call it: raw bytes and headers in, outcomes or a typed error out."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def receive(self, body: bytes, signature: str | None, app_secret: str) -> list[IngestOutcome]:
        """Verify, take apart and store one webhook request; when this returns, everything in it is committed.

        Idempotent: an item that was seen before is answered `deduped`.

        Args:
            body: the request's bytes exactly as they came.
            signature: the header `X-Hub-Signature-256`.
            app_secret: the Meta app's secret.

        Raises:
            NotAuthenticated: `signature_invalid`; nothing was read.
            InvalidInput: `body_not_json`, `body_not_an_object`.
            LimitExceeded: `body_too_large`.
            Unavailable: nothing was stored; answer 5xx so that Meta sends it again.
        SQL: public.ingest_whatsapp_events
        """
        verify_signature(body, signature, app_secret)
        events = parse_body(body)
        try:
            return await self.ingest(events)
        except QeroError as error:
            if error.status >= 500:
                raise
            # Whatever the database refuses now is no fault of the sender's, who has to send it again.
            raise Unavailable(
                "unavailable",
                "The webhook couldn't be stored.",
                detail={"code": error.code, **error.detail},
                hint=error.hint,
            ) from error

    async def ingest(self, events: list[WebhookEvent]) -> list[IngestOutcome]:
        """Record each item once and apply it: one round trip and one transaction for all of them.

        Returns one outcome per item, in order: `recorded`, `deduped`, `orphan` (no workspace has the number yet; it
        takes effect when one connects it) or `set_aside` with a reason.

        SQL: public.ingest_whatsapp_events
        """
        items = [event.model_dump(mode="json", exclude_none=True) for event in events]
        return await call(self._client, "ingest_whatsapp_events", list[IngestOutcome], p_events=items)


def verify_signature(body: bytes, signature: str | None, app_secret: str) -> None:
    """Check Meta's HMAC over the raw bytes.

    Raises:
        NotAuthenticated: `signature_invalid`.
    """
    expected = "sha256=" + hmac.new(app_secret.encode(), body, hashlib.sha256).hexdigest()
    # Bytes, because comparing text with a header that isn't ASCII raises.
    if not hmac.compare_digest(expected.encode(), (signature or "").encode("utf-8", "replace")):
        raise NotAuthenticated("signature_invalid")


def answer_verification(mode: str | None, token: str | None, challenge: str | None, verify_token: str) -> str:
    """The text to answer Meta's verification request with.

    Raises:
        PermissionDenied: `verify_token_invalid`.
    """
    matches = hmac.compare_digest((token or "").encode("utf-8", "replace"), verify_token.encode())
    if mode != "subscribe" or not matches or challenge is None:
        raise PermissionDenied("verify_token_invalid")
    return challenge
