"""Calls of every function that members may call, with ids of another tenant and with ids of nothing.

Whatever can be told from the answers is told by them alone: both have to be the same, to the letter.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import httpx

from tests.sql.access import Cast
from tests.sql.test_access_matrix import RPCS
from tests.support import World, digits

# What the ids are of that a parameter takes.
KINDS: Mapping[str, str] = {
    "p_assigned_to": "user",
    "p_before_id": "chats",
    "p_candidate_id": "tma_candidates",
    "p_chat_id": "chats",
    "p_connection_id": "wa_phone_numbers",
    "p_contact_id": "contacts",
    "p_contact_ids": "contacts",
    "p_duplicate_id": "contacts",
    "p_id": "contacts",
    "p_invitation_id": "workspace_invitations",
    "p_lead_id": "leads",
    "p_member_ids": "user",
    "p_mentions": "user",
    "p_message_id": "wa_messages",
    "p_note_id": "contact_notes",
    "p_quoted_id": "wa_messages",
    "p_reservation_id": "workspace_token_reservations",
    "p_response_id": "canned_responses",
    "p_template_id": "wa_templates",
    "p_thread_id": "wa_threads",
    "p_thread_ids": "wa_threads",
    "p_user_id": "user",
    "p_user_ids": "user",
    "p_view_id": "wa_saved_views",
    "p_workspace_id": "workspaces",
}
OF_CHAT = ("delete_message", "edit_message")
"""Their p_message_id is of the team's chat."""

# Text that tells whose it is, and ids inside of objects: by function and parameter, what is sent for an id or a name.
WORDS: Mapping[tuple[str, str], tuple[str, Callable[[str], Any]]] = {
    ("count_contacts", "p_search"): ("phone", lambda word: word),
    ("count_threads", "p_filter"): ("user", lambda word: {"assignee": word}),
    ("create_contact", "p_fields"): ("user", lambda word: {"name": "New", "assigned_to": word}),
    ("create_leads", "p_fields"): ("clients", lambda word: {"client_id": word}),
    ("create_saved_view", "p_filters"): ("user", lambda word: {"assignee": word}),
    ("import_candidates", "p_rows"): ("phone", lambda word: [{"name": "New", "phone": word}]),
    ("import_contacts", "p_rows"): ("phone", lambda word: [{"name": "New", "phone": word}]),
    ("invite_member", "p_email"): ("email", lambda word: word),
    ("list_candidates", "p_search"): ("phone", lambda word: word),
    ("list_contacts", "p_search"): ("phone", lambda word: word),
    ("list_contacts", "p_after"): ("contacts", lambda word: f"{word}:1767225600000000"),
    ("list_threads", "p_filter"): ("user", lambda word: {"assignee": word}),
    ("remove_push_subscription", "p_endpoint"): ("endpoint", lambda word: word),
    ("resolve_workspace", "p_ref"): ("slug", lambda word: word),
    ("search_messages", "p_query"): ("phone", lambda word: word),
    ("send_message", "p_client_generated_id"): ("client_id", lambda word: word),
    ("send_whatsapp_text", "p_idempotency_key"): ("key", lambda word: word),
    ("set_inbox_settings", "p_patch"): ("user", lambda word: {"assignee_ids": [word]}),
    ("set_queue_settings", "p_patch"): ("wa_phone_numbers", lambda word: {"connection_id": word}),
    ("update_contact", "p_patch"): ("user", lambda word: {"assigned_to": word}),
    ("update_lead", "p_patch"): ("projects", lambda word: {"project_id": word}),
    ("update_threads", "p_patch"): ("user", lambda word: {"assignee_id": word}),
}

# Slugs are one name space, as addresses are: whoever wants one learns that it is taken.
TOLD: frozenset[tuple[str, str]] = frozenset({("create_workspace", "p_slug")})

FUNCTIONS = """
select proname, p.name, format_type(p.type, null)
from pg_proc as function
cross join lateral unnest(
  coalesce(function.proargnames[1 : function.pronargs], '{}'), function.proargtypes::oid[]) as p (name, type)
where function.pronamespace = 'public'::regnamespace
  and has_function_privilege('authenticated', function.oid, 'execute')
  and format_type(p.type, null) in ('uuid', 'uuid[]')
order by proname, p.name
"""


@dataclass(frozen=True)
class Probe:
    """One call, and the same with something that doesn't exist in place of what is another tenant's."""

    name: str
    theirs: Callable[[], Awaitable[httpx.Response]]
    missing: Callable[[], Awaitable[httpx.Response]]
    sent: tuple[str, ...]
    """Whatever one call sent and the other didn't."""

    async def difference(self) -> str | None:
        """What tells one from the other, or None."""
        first, second = self._told(await self.theirs()), self._told(await self.missing())
        return None if first == second else f"{self.name}\n  theirs:  {first}\n  missing: {second}"

    def _told(self, answer: httpx.Response) -> str:
        text = f"{answer.status_code} {answer.headers.get('content-range')} {answer.text}"
        for word in sorted(self.sent, key=len, reverse=True):
            text = text.replace(word, "<sent>")
        text = re.sub(r"\b[0-9a-f]{32,64}\b", "<secret>", text)
        # One's own numbers go on with every message.
        text = re.sub(r'"(seq|rev|sequence)":\d+', "<number>", text)
        text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<id>", text)
        return re.sub(r"\d{4}-\d\d-\d\d[T ][\d:.]+(\+[\d:]+|Z)?", "<time>", text)


def known(cast: Cast, kind: str) -> str:
    """The id or name of something of that kind in a cast's workspace."""
    match kind:
        case "user":
            return str(cast.user_ids["member"])
        case "email":
            return cast.emails["viewer"]
        case "slug":
            return cast.workspace.slug
        case "phone" | "endpoint" | "key" | "client_id":
            return cast.words[kind]
    return str(next(iter(cast.rows[kind].values())))


def unknown(kind: str) -> str:
    match kind:
        case "email":
            return f"{uuid4().hex}@example.com"
        case "slug":
            return f"w-{uuid4().hex[:12]}"
        case "phone":
            return f"+{digits(11)}"
        case "endpoint":
            return f"https://push.example.com/{uuid4().hex}"
    return str(uuid4())


async def probes(mine: Cast, theirs: Cast, identity: str) -> list[Probe]:
    """For every parameter that names something: a caller's own call, with that one thing another tenant's."""
    found = []
    for function, parameter, type_ in await mine.world.rows(FUNCTIONS):
        kind = "chat_messages" if function in OF_CHAT and parameter == "p_message_id" else KINDS[parameter]
        words = known(theirs, kind), unknown(kind)
        found.append(_probe(mine, identity, function, parameter, words, list if type_ == "uuid[]" else None))
    for (function, parameter), (kind, shape) in WORDS.items():
        found.append(_probe(mine, identity, function, parameter, (known(theirs, kind), unknown(kind)), shape=shape))
    return [probe for probe in found if tuple(probe.name.split("/")) not in TOLD]


def _probe(
    mine: Cast,
    identity: str,
    function: str,
    parameter: str,
    words: tuple[str, str],
    many: type[list[str]] | None = None,
    shape: Callable[[str], Any] = lambda word: word,
) -> Probe:
    calls, sent = [], list(words)
    for word in words:
        given = {**RPCS[function][1](mine), parameter: [word] if many else shape(word)}
        sent += _texts(given)
        calls.append(partial(mine.rpc, identity, function, **given))
    return Probe(f"{function}/{parameter}", calls[0], calls[1], tuple(sent))


def strangers_calls(mine: Cast, theirs: Cast, identity: str) -> list[Probe]:
    """Everybody's call of the access matrix, by somebody from elsewhere, and the same with every id another one."""
    found = []
    for function, (_, arguments) in RPCS.items():
        given = arguments(theirs)
        others: dict[str, str] = {}
        calls = (
            partial(mine.rpc, identity, function, **given),
            partial(mine.rpc, identity, function, **_with_other_ids(given, others)),
        )
        found.append(Probe(f"{function}/all", *calls, (*_texts(given), *others.values())))
    return found


def _with_other_ids(value: Any, others: dict[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _with_other_ids(item, others) for name, item in value.items()}
    if isinstance(value, list):
        return [_with_other_ids(item, others) for item in value]
    try:
        return others.setdefault(str(UUID(str(value))), str(uuid4()))
    except ValueError:
        if isinstance(value, str) and re.fullmatch(r"w-[0-9a-f]{12}", value):
            return others.setdefault(value, unknown("slug"))
        return value


def _texts(value: Any) -> Iterator[str]:
    """Every text in what is sent that is long enough to be known again."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str | UUID) and len(str(value)) > 5:
        yield str(value)


DIGEST = """
select coalesce(md5(string_agg(md5(row::text), '' order by md5(row::text))), '')
from public.{table} as row where row.workspace_id = %s
"""


async def tables_of_workspaces(world: World) -> list[str]:
    """Every table with rows of workspaces."""
    tables = await world.rows(
        "select relation.relname from pg_class as relation join pg_attribute on attrelid = relation.oid"
        " where relation.relnamespace = 'public'::regnamespace and relation.relkind = 'r'"
        " and attname = 'workspace_id' and not attisdropped"
    )
    return [table for (table,) in tables]


async def everything_of(cast: Cast) -> dict[str, str]:
    """A digest of each table's rows of the cast's workspace."""
    tables = await tables_of_workspaces(cast.world)
    return {table: await cast.world.scalar(DIGEST.format(table=table), cast.workspace.id) for table in tables}
