"""What the tests of access expect, as the sections of docs/permissions.md that say who gets what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tests.sql.access import MEMBERS
from tests.sql.test_access_matrix import OK, REFUSED, RPCS, TABLES

COLUMNS: Final = {
    "anon": "anon",
    "viewer": "viewer",
    "member": "member",
    "admin": "admin",
    "owner": "owner",
    "stranger": "elsewhere",
    "removed": "removed",
    "operator": "operator",
    "service": "service",
}
"""The identities of the tests, in the order and by the names of the page."""


def by_identity(*, anon: str, members: str, outside: str, service: str) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, outside) | dict.fromkeys(MEMBERS, members) | {"anon": anon, "service": service}


SEEN = by_identity(anon="refused", members="row", outside="nothing", service="row")
CHANGES: Mapping[str, Mapping[str, str]] = {
    "INSERT": SEEN,
    "UPDATE": SEEN,
    # Supabase's realtime asks no policy about a row that is gone.
    "DELETE": by_identity(anon="nothing", members="id", outside="id", service="id"),
}
"""What is told of each change to who watches a published table."""

TOPICS: Mapping[str, Mapping[str, str]] = {
    "join, and hear what the database broadcasts": by_identity(
        anon="refused", members="yes", outside="refused", service="yes"
    ),
    "broadcast": by_identity(anon="refused", members="refused", outside="refused", service="yes"),
    "see who is there": by_identity(anon="refused", members="yes", outside="refused", service="yes"),
    "be seen there": by_identity(anon="refused", members="yes", outside="refused", service="yes"),
}
"""What may be done with a chat's private topic."""

_INTRODUCTION = """\
## Who gets what

Each line was asked through PostgREST and realtime, with real tokens, by everybody: nobody signed in (`anon`), the four
roles of a workspace, the owner of another workspace (`elsewhere`), somebody who was a member and isn't any more
(`removed`), an operator of the platform who is in no workspace, and the service. What is asked for is a row of the
workspace; where rows are somebody's own, it is the member's.

- `rows`: it is there, or was changed. `none`: an empty answer, as if there were no such row.
- `refused`: the role has no right to ask, whatever row it is about (SQLSTATE 42501).
- `ok`: the function does it; anything else is the code that it is refused with ([errors](errors.md)). Where an id that
  doesn't exist was given, so that nothing happens to the next who asks, `…_not_found` is the answer to those who may.
- Counts are of the rows that an answer would have. The planner's estimates (`Prefer: count=planned`, and `estimated`
  beyond PostgREST's limit of rows) are made of everybody's rows, so members are refused them: `estimate_refused`.
"""


def answers_markdown() -> str:
    return "\n".join(
        [
            _INTRODUCTION,
            "### Tables and views",
            "",
            "`insert`, `update` and `delete` are of one row; which columns may be written is under *Grants on tables*.",
            "",
            _matrix(("table", "action"), _tables()),
            "",
            "### Functions",
            "",
            _matrix(("function",), _functions()),
            "",
            "### Changes of tables, live",
            "",
            "What realtime tells of a change in the tables of `supabase_realtime` (`chats`, `chat_messages`,",
            "`contacts`, `wa_messages`, `wa_threads`). `row`: the new row. `refused`: an error instead of it. `id`:",
            "that a row of that id is gone, and nothing else of it: Supabase's realtime tells that to whoever watches,",
            "since no row is left that a policy could be asked about. Ids are random.",
            "",
            _matrix(("change",), (((f"`{kind}`",), expected) for kind, expected in CHANGES.items())),
            "",
            "### Private topics",
            "",
            "`chat:<id>`, for a chat that the workspace's four are members of. Other private topics are open to nobody",
            "but the service; public ones carry nothing of qero's.",
            "",
            _matrix(("what",), (((what,), expected) for what, expected in TOPICS.items())),
            "",
        ]
    )


def _tables() -> Iterable[tuple[Sequence[str], Mapping[str, str]]]:
    for table, access in sorted(TABLES.items()):
        for action in ("select", "insert", "update", "delete"):
            rule = getattr(access, action)
            yield (f"`{table}`", action), {identity: rule.outcome(identity) for identity in COLUMNS}


def _functions() -> Iterable[tuple[Sequence[str], Mapping[str, str]]]:
    for function, (expected, _) in sorted(RPCS.items()):
        words = {OK: "ok", REFUSED: "refused"}
        yield (
            (f"`{function}`",),
            {identity: words.get(expected[identity], f"`{expected[identity]}`") for identity in COLUMNS},
        )


def _matrix(first: Sequence[str], rows: Iterable[tuple[Sequence[str], Mapping[str, str]]]) -> str:
    header = [*first, *COLUMNS.values()]
    lines = [header, ["---"] * len(header), *([*names, *(row[name] for name in COLUMNS)] for names, row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
