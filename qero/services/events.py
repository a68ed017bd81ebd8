"""Webhook events as they were recorded: looking at them, and applying them again."""

from __future__ import annotations

import base64
import builtins
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from pydantic_core import from_json

from qero.clients.batches import MOST_ROWS, every_row
from qero.clients.factory import ServiceClient
from qero.clients.rpc import Query, call, execute, one_row, page_limit, reason_of_refusal, refuses_content
from qero.errors import NotFound, QeroError
from qero.logs import get_logger
from qero.models.events import (
    Event,
    EventStats,
    EventStatus,
    EventWithRaw,
    Orphan,
    OrphanWithEvent,
    Replayed,
    ReplayedOrphans,
)
from qero.models.row import Row
from qero.models.webhook import EventKind, WebhookEvent, parse_entry

PAGE_LIMIT = 1000
REPLAY_BATCH = 100
RECENT = timedelta(hours=24)

_WITHOUT_EFFECT = {"other", "error", "malformed"}
# What Meta may send without saying when it happened.
_OF_THE_ACCOUNT = {"account", "template", "number"}
_COLUMNS = ",".join(Event.model_fields)
_ORPHAN_COLUMNS = ",".join(Orphan.model_fields)

T = TypeVar("T")
log = get_logger("qero.events")


class _Id(Row):
    id: int


class Events:
    """For the service. Lists say nothing of what people wrote; only `get` and `get_orphan` show an item itself."""

    def __init__(self, client: ServiceClient) -> None:
        self._client = client

    async def list(
        self,
        workspace_id: UUID | None = None,
        *,
        status: EventStatus | None = None,
        kinds: Sequence[EventKind] = (),
        phone_number_id: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> builtins.list[Event]:
        """Events of a workspace, or of all, the newest first, at most `limit` (1 to 1000).

        Args:
            since: when the first may have come; of the last 24 hours unless given, or of any age where only those that
                are set aside are asked for.
            before: the id of the last event of the page before.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.meta_webhook_events
        """
        query = self._matching(_COLUMNS, workspace_id, status, kinds, phone_number_id, since)
        if before is not None:
            query = query.lt("id", before)
        query = query.order("id", desc=True).limit(page_limit(limit, PAGE_LIMIT))
        return await execute(self._client, query, builtins.list[Event], operation="events.list")

    async def ids(
        self,
        workspace_id: UUID | None = None,
        *,
        status: EventStatus | None = None,
        kinds: Sequence[EventKind] = (),
        phone_number_id: str | None = None,
        since: datetime | None = None,
    ) -> builtins.list[int]:
        """The ids of all events that `list` would show page by page, the oldest first: what `replay` takes.

        SQL: select on public.meta_webhook_events
        """
        # Fixed for all pages.
        since = _since(status, since)

        async def behind(last: _Id | None) -> builtins.list[_Id]:
            query = self._matching("id", workspace_id, status, kinds, phone_number_id, since)
            if last is not None:
                query = query.gt("id", last.id)
            query = query.order("id").limit(MOST_ROWS)
            return await execute(self._client, query, builtins.list[_Id], operation="events.ids")

        return [row.id for row in await every_row(behind)]

    async def get(self, event_id: int) -> EventWithRaw:
        """One event with the item as Meta sent it.

        Raises:
            NotFound: `event_not_found`.
        SQL: select on public.meta_webhook_events
        """
        rows = await self._by_id([event_id], f"{_COLUMNS},raw", EventWithRaw)
        return one_row(rows, "event_not_found", event_id=str(event_id))

    async def orphans(
        self,
        *,
        kinds: Sequence[EventKind] = (),
        phone_number_id: str | None = None,
        since: datetime | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> builtins.list[Orphan]:
        """Events that still wait for their number to be connected, the newest first, at most `limit` (1 to 1000).

        Args:
            phone_number_id: Meta's, or `waba:<id>`.
            since: when the first may have come; of any age unless given.
            before: the id of the last event of the page before.

        Raises:
            InvalidInput: `invalid_value`, the limit.
        SQL: select on public.orphan_webhook_events
        """
        query = self._client.table("orphan_webhook_events").select(_ORPHAN_COLUMNS).is_("processed_at", "null")
        if kinds:
            query = query.in_("kind", kinds)
        if phone_number_id is not None:
            query = query.eq("phone_number_id", phone_number_id)
        if since is not None:
            query = query.gte("received_at", since.isoformat())
        if before is not None:
            query = query.lt("id", before)
        query = query.order("id", desc=True).limit(page_limit(limit, PAGE_LIMIT))
        return await execute(self._client, query, builtins.list[Orphan], operation="events.orphans")

    async def get_orphan(self, orphan_id: int) -> OrphanWithEvent:
        """One orphan, whether it waits still or not, with the item as Meta sent it.

        Raises:
            NotFound: `event_not_found`.
        SQL: select on public.orphan_webhook_events
        """
        query = self._client.table("orphan_webhook_events").select(f"{_ORPHAN_COLUMNS},event").eq("id", orphan_id)
        rows = await execute(self._client, query, builtins.list[OrphanWithEvent], operation="events.get_orphan")
        return one_row(rows, "event_not_found", orphan_id=str(orphan_id))

    async def replay(
        self, event_ids: Sequence[int], *, progress: Callable[[int], None] | None = None
    ) -> builtins.list[Replayed]:
        """Read events again as they are read today, and apply them: those set aside, and those without effect.

        Answers for each, in the order given. An event that took effect before is left alone. 100 at a time, each such
        batch in a transaction: what is done stays done when a later one fails.

        Idempotent: what an event says takes effect once, however often and by however many it is replayed.

        Args:
            progress: called after each batch with the number of events that are done.

        Raises:
            NotFound: `event_not_found`, naming the ids that aren't there; nothing is replayed then.
            QeroError: `internal_error`, it was the database's fault and no event's; repeat it when that is mended.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`; repeat it.
        SQL: public.replay_whatsapp_events
        """
        wanted = builtins.list(dict.fromkeys(event_ids))
        known = {row.id for ids in _batches(wanted, PAGE_LIMIT // 2) for row in await self._by_id(ids, "id", _Id)}
        if missing := [event_id for event_id in wanted if event_id not in known]:
            raise NotFound("event_not_found", detail={"event_ids": missing})
        answers: builtins.list[Replayed] = []
        for ids in _batches(wanted, REPLAY_BATCH):
            replayed = {answer.event_id: answer for answer in await self._replay_batch(ids)}
            answers += [replayed[event_id] for event_id in ids if event_id in replayed]
            log.info("events_replayed", **_count_outcomes(replayed.values()))
            if progress is not None:
                progress(len(answers))
        return answers

    async def replay_orphans(self, phone_number_id: str | None = None) -> builtins.list[ReplayedOrphans]:
        """Apply what waits for a number that is connected by now, or for all such numbers: each in one transaction.

        Connecting a number does this by itself. It is for what is left over, where a connection was changed by hand.

        Idempotent: what took effect doesn't wait any more.

        Args:
            phone_number_id: Meta's, which means its business account's orphans too; or `waba:<id>`, which means those
                alone.

        Raises:
            InvalidState: `connection_not_found`, no workspace has the number connected.
            Unavailable: `network_error`, `database_unavailable`, `try_again` or `timed_out`; repeat it.
        SQL: public.replay_orphan_events
        """
        numbers = [phone_number_id]
        if phone_number_id is None:
            numbers = [waiting.phone_number_id for waiting in (await self.stats()).orphans if waiting.is_connected]
        return [
            ReplayedOrphans(
                phone_number_id=number,
                **await call(self._client, "replay_orphan_events", dict[str, int], p_phone_number_id=number),
            )
            for number in numbers
            if number is not None
        ]

    async def stats(self, workspace_id: UUID | None = None, *, since: datetime | None = None) -> EventStats:
        """How many events came, by day, kind and status; how many are set aside; and for which numbers orphans wait.

        Args:
            workspace_id: of all workspaces unless given. Orphans belong to none, so that there are none with it.
            since: the last 24 hours unless given; a long time means reading much of a large table.

        SQL: public.webhook_event_stats
        """
        return await call(self._client, "webhook_event_stats", EventStats, p_workspace_id=workspace_id, p_since=since)

    def _matching(
        self,
        columns: str,
        workspace_id: UUID | None,
        status: EventStatus | None,
        kinds: Sequence[EventKind],
        phone_number_id: str | None,
        since: datetime | None,
    ) -> Any:
        query = self._client.table("meta_webhook_events").select(columns)
        if workspace_id is not None:
            query = query.eq("workspace_id", str(workspace_id))
        if status is not None:
            query = query.eq("status", status)
        if kinds:
            query = query.in_("kind", kinds)
        if phone_number_id is not None:
            query = query.eq("phone_number_id", phone_number_id)
        since = _since(status, since)
        return query if since is None else query.gte("received_at", since.isoformat())

    async def _by_id(self, ids: Sequence[int], columns: str, row: type[T]) -> builtins.list[T]:
        query: Query = self._client.table("meta_webhook_events").select(columns).in_("id", ids)
        return await execute(self._client, query, builtins.list[row], operation="events.by_id")  # type: ignore[valid-type]

    async def _replay_batch(self, ids: Sequence[int]) -> builtins.list[Replayed]:
        together: builtins.list[dict[str, Any]] = []
        answers: builtins.list[Replayed] = []
        for event in await self._by_id(ids, f"{_COLUMNS},raw", EventWithRaw):
            if event.status == "applied":
                answers.append(Replayed(event_id=event.id, outcome="applied", reason="It had taken effect before."))
            elif _was_refused(event.raw):
                answers += await self._replay_refused(event)
            else:
                together += _read_again(event, event.raw)
        return answers + (await self._apply(together) if together else [])

    async def _replay_refused(self, event: EventWithRaw) -> builtins.list[Replayed]:
        """By itself: the database refused the whole call that it came in, and may do so again."""
        try:
            items = _read_again(event, from_json(base64.b64decode(event.raw["base64"])).get("raw"))
            return await self._apply(items)
        except QeroError as error:
            if not refuses_content(error):
                raise
            reason = reason_of_refusal(error)
            return await self._apply([{"event_id": event.id, "kind": "malformed", "reason": reason}])

    async def _apply(self, items: Sequence[dict[str, Any]]) -> builtins.list[Replayed]:
        return await call(self._client, "replay_whatsapp_events", builtins.list[Replayed], p_events=items)


def _since(status: EventStatus | None, since: datetime | None) -> datetime | None:
    """Without an age the whole table would be read; those that are set aside have an index of their own."""
    return datetime.now(UTC) - RECENT if since is None and status != "set_aside" else since


def _was_refused(raw: Any) -> bool:
    return isinstance(raw, dict) and raw.keys() == {"base64"}


def _read_again(event: EventWithRaw, raw: Any) -> builtins.list[dict[str, Any]]:
    """What the item is to today's parser: one item, or several where it hadn't been taken apart before."""
    read = parse_entry(raw)
    usable = [item for item in read if item.kind not in _WITHOUT_EFFECT]
    items = usable or read[:1] or [_nothing(event)]
    return [_encoded(event, item) for item in items]


def _nothing(event: EventWithRaw) -> WebhookEvent:
    return WebhookEvent(event_key=event.event_key, kind="malformed", reason="there is nothing in it")


def _encoded(event: EventWithRaw, item: WebhookEvent) -> dict[str, Any]:
    if item.kind in _OF_THE_ACCOUNT and item.occurred_at is None:
        # It happened before it came, and not now.
        item = item.model_copy(update={"occurred_at": event.received_at})
    # Raw form and key are stored, and stay.
    encoded = item.model_dump(mode="json", exclude_none=True, exclude={"raw", "event_key"})
    return {"event_id": event.id, **encoded}


def _batches(ids: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(ids), size):
        yield ids[start : start + size]


def _count_outcomes(answers: Any) -> dict[str, int]:
    return {name: sum(answer.outcome == name for answer in answers) for name in ("applied", "kept", "set_aside")}
