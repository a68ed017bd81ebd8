"""A longer search for leaks than the tests make, on a stack of its own.

- Embeds: PostgREST is asked for every pair of tables, so that those through a third table and through views are found,
  and each is read as everybody: a caller's rows are of the caller's workspaces.
- Calls: functions with made-up arguments, ids of another tenant among them, and tables with made-up filters. No answer
  may hold anything of that tenant's that wasn't sent, describe a row that a check refused, or be a 5xx; and nothing of
  that tenant's may change.
- A stopwatch: how long an answer takes must not tell what is another tenant's from what isn't there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import math
import random
import re
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import httpx
import psycopg
import structlog

from proof._report import finish, progress
from qero import Clients, SecretBox
from qero.errors import REGISTRY
from qero.local.stack import temporary_stack
from tests.sql.access import IDENTITIES, SECRET, Cast, make_cast
from tests.sql.probing import everything_of, known, strangers_calls, tables_of_workspaces, unknown
from tests.sql.requests import answers
from tests.sql.test_access_embeds import foreign_within
from tests.sql.test_access_matrix import RPCS, SIGNED_IN, TABLES
from tests.support import APP_SECRET, VERIFY_TOKEN, World

PARAMETERS = """
select proname, p.name, format_type(p.type, null), p.position > pronargs - pronargdefaults as has_default
from pg_proc as function
cross join lateral unnest(
  coalesce(function.proargnames[1 : function.pronargs], '{}'), function.proargtypes::oid[]
) with ordinality as p (name, type, position)
where function.pronamespace = 'public'::regnamespace
  and has_function_privilege('authenticated', function.oid, 'execute')
"""
COLUMNS = """
select relation.relname, array_agg(attribute.attname)
from pg_class as relation join pg_attribute as attribute on attribute.attrelid = relation.oid
where relation.relnamespace = 'public'::regnamespace and attribute.attnum > 0 and not attribute.attisdropped
  and has_column_privilege('authenticated', relation.oid, attribute.attnum, 'select')
group by relation.relname
"""
# What Postgres and PostgREST say of what a caller wrote wrongly, or may not.
EXPECTED = re.compile(
    r"PT\d{3}|42501|PGRST\d+|22\w{3}|23503|23505|23514|23502|42703|42883|42704|42804|42846|428C9|54\d{3}"
)
WARM_UP = 2
ROUNDS, LEAST_ROUNDS = 400, 20
STOPWATCH_SECONDS = 240
"""No further rounds after so long."""
MISTAKES = 0.001
"""How likely it may be that any of the calls is blamed by chance."""
TOLERATED_MICROSECONDS = 50
"""Less can't be told from chance by anybody who asks over a network."""
OPERATORS_NOT_TRIED = ("operator",)
"""Operators see every workspace: they are tried in the tests, each right by itself."""


async def prove(*, quick: bool, seed: int) -> int:
    with temporary_stack(durable=False) as address:
        settings = address.settings(
            meta_app_secret=APP_SECRET, meta_verify_token=VERIFY_TOKEN, secret_keys=SecretBox.generate_key()
        )
        async with (
            Clients(settings) as clients,
            await psycopg.AsyncConnection.connect(address.db_url, autocommit=True) as database,
        ):
            mine, theirs = [await make_cast(World(settings, clients, database)) for _ in range(2)]
            before = await everything_of(theirs)
            embeds, problems = await every_embed(mine)
            progress(f"{embeds} embeds read as {len(IDENTITIES)} identities")
            codes, more = await made_up_calls(mine, theirs, 2_000 if quick else 30_000, random.Random(seed))
            problems += more
            after = await everything_of(theirs)
            problems += [f"{table}: another tenant's rows changed" for table in before if before[table] != after[table]]
            timed, more = await stopwatch(
                mine, theirs, rounds=LEAST_ROUNDS if quick else ROUNDS, seconds=STOPWATCH_SECONDS
            )
            problems += more
    figures = {"embeds": embeds, "calls": codes.total(), "answers": dict(codes.most_common()), "stopwatch": timed}
    return finish("access", figures, problems)


# --- Embeds ---


async def every_embed(cast: Cast) -> tuple[int, list[str]]:
    """How many embeds there are, and what is wrong with what they show."""
    columns = {table: ",".join(names) for table, names in await cast.world.rows(COLUMNS)}
    asked = await answers(
        {
            (outer, inner): partial(
                cast.request, "service", "GET", outer, select=f"{next(iter(cast.rows[outer]))},{inner}(*)", limit="0"
            )
            for outer, inner in product(TABLES, TABLES)
        }
    )
    found = []
    for (outer, inner), answer in asked.items():
        if answer.status_code == 300:
            found += [
                (outer, f"inside:{inner}!{relation['relationship'].partition(' ')[0]}", inner)
                for relation in answer.json()["details"]
            ]
        elif answer.is_success:
            found.append((outer, inner, inner))
    read = await answers(
        {
            (outer, name, inner, identity): partial(
                cast.request, identity, "GET", outer,
                select=f"{columns.get(outer, '*')},{name}({columns.get(inner, '*')})",
            )
            for outer, name, inner in dict.fromkeys(found)
            for identity in IDENTITIES if identity not in ("service", *OPERATORS_NOT_TRIED)
        }
    )  # fmt: skip
    problems = []
    for (outer, name, inner, identity), answer in read.items():
        where = f"{outer} with {name} as {identity}"
        refused = "refused" in (TABLES[table].select.outcome(identity) for table in (outer, inner))
        if refused == answer.is_success:
            problems.append(f"{where}: {answer.status_code} {answer.text[:200]}")
        elif answer.is_success:
            problems += [f"{where}: {row}" for row in await foreign_within(answer, cast, identity, outer, inner)]
    return len(set(found)), problems


# --- Calls ---


class Words:
    """Values to call with: one's own, another tenant's, and nonsense."""

    def __init__(self, mine: Cast, theirs: Cast, source: random.Random) -> None:
        self._source = source
        self.mine, self.theirs = [self._known(cast) for cast in (mine, theirs)]

    def _known(self, cast: Cast) -> list[str]:
        kinds = [*cast.rows, "user", "email", "slug", "phone", "endpoint"]
        words = {known(cast, kind) for kind in kinds} | {str(user) for user in cast.user_ids.values()}
        return sorted(word for word in words if len(word) > 7)

    def secrets(self) -> list[str]:
        """What only the other tenant's answers hold."""
        return [SECRET, *(word for word in self.theirs if word not in self.mine)]

    def id(self) -> str:
        choice = self._source.random()
        if choice < 0.1:
            return unknown("contacts")
        words = [word for word in (self.mine if choice < 0.55 else self.theirs) if re.fullmatch(r"[0-9a-f-]{36}", word)]
        return self._source.choice(words)

    def of(self, type_: str) -> Any:
        pick = self._source.choice
        if self._source.random() < 0.08:
            return pick([None, "", "x", -1, 0, 2**31, 2**63, [], {}, [None], {"a": None}, True, "\u0001", "x" * 20_000])
        match type_:
            case "uuid":
                return self.id()
            case "uuid[]":
                return [self.id() for _ in range(pick([0, 1, 2, 3]))]
            case "text[]":
                return [self._text() for _ in range(pick([0, 1, 2]))]
            case "jsonb":
                return self._json()
            case "boolean":
                return pick([True, False])
            case "integer" | "bigint":
                return pick([-1, 0, 1, 2, 50, 1000, 10**9])
            case "date" | "timestamp with time zone":
                return pick(["2026-01-01", "2100-01-01T00:00:00Z", "-infinity", "today", "1 BC"])
            case "interval":
                return pick(["1 day", "-1 second", "1000000 years"])
        return self._text()

    def _text(self) -> str:
        return str(self._source.choice([
            *self._source.sample(self.theirs, 3), *self._source.sample(self.mine, 3), "hot", "open", "group", "member",
            "owner", "meta_hub", "busy", "image", "%", "'", "\\", "🙂", "a" * 300, f"{self.id()}:1767225600000000",
        ]))  # fmt: skip

    def _json(self) -> Any:
        names = [
            "name", "email", "phone", "status", "assigned_to", "assignee", "assignee_id", "assignee_ids", "tags", "tag",
            "q", "client_id", "project_id", "user_id", "connection_id", "steps", "template", "follow_up_at", "id",
            "filters", "lead_status", "workspace_id", "created_by", "deleted_at", "score", "view_id", "link", "body",
        ]  # fmt: skip
        made = {name: self.of(self._source.choice(["uuid", "text", "text[]", "integer", "boolean"]))
                for name in self._source.sample(names, self._source.choice([0, 1, 2, 3]))}  # fmt: skip
        return [made] if self._source.random() < 0.2 else made


async def made_up_calls(mine: Cast, theirs: Cast, count: int, source: random.Random) -> tuple[Counter[str], list[str]]:
    """How often each code was answered, and the first answer of each kind that tells too much."""
    words = Words(mine, theirs, source)
    functions: dict[str, list[tuple[str, str, bool]]] = {}
    for function, parameter, type_, has_default in await mine.world.rows(PARAMETERS):
        functions.setdefault(function, []).append((parameter, type_, has_default))
    columns = dict(await mine.world.rows(COLUMNS))
    identities = [name for name in SIGNED_IN if name not in OPERATORS_NOT_TRIED]
    codes: Counter[str] = Counter()
    problems: dict[str, str] = {}
    said: set[str] = set()
    for start in range(0, count, 500):
        requests: dict[tuple[int, str, str], Callable[[], Awaitable[httpx.Response]]] = {}
        for number in range(min(500, count - start)):
            identity = source.choice(identities)
            if source.random() < 0.75:
                function = source.choice(list(functions))
                given = _arguments(mine, function, functions[function], words, source)
                requests[(number, f"{function} as {identity}", json.dumps(given, default=str))] = partial(
                    mine.rpc, identity, function, **given
                )
            else:
                table = source.choice(list(columns))
                asked = _question(table, columns, words, source)
                requests[(number, f"{table} as {identity}", json.dumps(asked))] = partial(
                    mine.request, identity, "GET", table, prefer=source.choice(["", "count=exact"]), **asked
                )
        answered = await answers(requests)
        said |= {secret for secret in words.secrets() if any(secret in sent for _, _, sent in requests)}
        for (_, name, sent), answer in answered.items():
            code = "ok" if answer.is_success else str(_body(answer).get("code"))
            codes[code] += 1
            found = _told_too_much(answer, code)
            for secret in words.secrets():
                if secret in answer.text and secret not in sent and not (
                    secret in said and await _is_written_elsewhere(secret, theirs)
                ):  # fmt: skip
                    found["showed something of another tenant"] = f"{secret} in {answer.text}"
            for kind, shown in found.items():
                problems.setdefault(f"{name.partition(' ')[0]}: {kind}", f"{name} {sent[:500]} → {shown[:500]}")
        progress(f"{min(start + 500, count)} of {count} calls")
    return codes, [f"{kind}: {text}" for kind, text in problems.items()]


def _arguments(
    mine: Cast, function: str, parameters: list[tuple[str, str, bool]], words: Words, source: random.Random
) -> dict[str, Any]:
    given: dict[str, Any] = dict(RPCS[function][1](mine)) if source.random() < 0.6 else {}
    for parameter, type_, has_default in parameters:
        if source.random() < (0.35 if parameter in given else 0.3 if has_default else 1):
            given[parameter] = words.of(type_)
    return given


def _question(table: str, columns: Mapping[str, list[str]], words: Words, source: random.Random) -> dict[str, str]:
    names = columns[table]
    column = source.choice(names)
    operator = source.choice(["eq", "neq", "gt", "lt", "like", "in", "is", "cs", "not.eq", "plfts"])
    value = str(words.of(source.choice(["uuid", "text", "integer"])))[:500]
    asked = {"select": "*" if table != "workspace_invitations" else "id", "limit": "20"}
    asked[column] = f"{operator}.{f'({value})' if operator == 'in' else value}"
    if source.random() < 0.5:
        asked["order"] = f"{source.choice(names)}.{source.choice(['asc', 'desc'])}"
    return asked


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        body = answer.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _told_too_much(answer: httpx.Response, code: str) -> dict[str, str]:
    found = {}
    text = answer.text
    if answer.status_code >= 500:
        found[f"answered {answer.status_code}"] = text
    elif not answer.is_success and not EXPECTED.fullmatch(code):
        found[f"raised {code}"] = text
    if code.startswith("PT") and _body(answer)["message"] not in REGISTRY:
        found["raised a code that isn't registered"] = text
    if "Failing row contains" in text:
        found["quoted a row"] = text
    return found


async def _is_written_elsewhere(word: str, theirs: Cast) -> bool:
    """Whether one of these calls has put it into a row of somebody else's, as a message's text perhaps."""
    workspaces = [theirs.workspace.id, theirs.foreign.id]
    for table in await tables_of_workspaces(theirs.world):
        query = (
            f"select exists (select from public.{table} as row where workspace_id <> all (%s) and row::text like %s)"
        )
        if await theirs.world.scalar(query, workspaces, f"%{word}%"):
            return True
    return False


# --- Stopwatch ---


async def stopwatch(mine: Cast, theirs: Cast, *, rounds: int, seconds: float) -> tuple[dict[str, Any], list[str]]:
    """How far each call's answers differ in time, and every difference that is certain and large enough to be used.

    Both calls of a pair are made in turn, in an order that changes. Of their differences the median is judged by an
    interval that holds whatever their distribution, so narrow as the rounds allow that there was time for.
    """
    calls = [probe for probe in strangers_calls(mine, theirs, "owner")
             if (await probe.theirs()).status_code == 404]  # fmt: skip
    microseconds: dict[str, list[float]] = {probe.name: [] for probe in calls}
    started = time.monotonic()
    for number in range(WARM_UP + rounds):
        if number >= WARM_UP + LEAST_ROUNDS and time.monotonic() - started > seconds:
            break
        if number % 10 == 0:
            progress(f"round {number} of {WARM_UP + rounds}, after {time.monotonic() - started:.0f} s")
        for probe in calls:
            pair = [probe.theirs, probe.missing][:: 1 if number % 2 else -1]
            taken = [await _microseconds(call) for call in pair]
            if number >= WARM_UP:
                first, second = taken if number % 2 else reversed(taken)
                microseconds[probe.name].append(first - second)
    problems = []
    medians, certain_within = {}, 0.0
    for name, differences in microseconds.items():
        low, high = median_between(differences, mistakes=MISTAKES / len(calls))
        medians[name] = round(statistics.median(differences))
        certain_within = max(certain_within, abs(low), abs(high))
        if low > TOLERATED_MICROSECONDS or high < -TOLERATED_MICROSECONDS:
            problems.append(f"{name} takes {low:+.0f} to {high:+.0f} µs for what is another tenant's")
    furthest = max(medians, key=lambda name: abs(medians[name]))
    figures = {
        "calls": len(calls), "rounds": min(map(len, microseconds.values())),
        "seconds": round(time.monotonic() - started), "furthest": furthest,
        "its_median_microseconds": medians[furthest],
        "all_certainly_within_microseconds": round(certain_within),
    }  # fmt: skip
    return figures, problems


def median_between(values: Sequence[float], *, mistakes: float) -> tuple[float, float]:
    """What the median of all there could be lies between, but for so small a share of mistakes, whatever its kind.

    How many of n values lie below the median is as if n coins had been thrown.
    """
    left_out, unlikely = 0, 0
    while 2 * (unlikely := unlikely + math.comb(len(values), left_out)) <= mistakes * 2 ** len(values):
        left_out += 1
    if left_out == 0:
        return -math.inf, math.inf
    ordered = sorted(values)
    return ordered[left_out - 1], ordered[-left_out]


async def _microseconds(call: Callable[[], Awaitable[httpx.Response]]) -> float:
    started = time.perf_counter()
    await call()
    return (time.perf_counter() - started) * 1e6


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="scripts/proof access", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few calls of each kind")
    parser.add_argument("--seed", type=int, default=1, help="other made-up calls")
    options = parser.parse_args(arguments)
    # Refusals are what it is about: only what breaks is worth a line.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    return asyncio.run(prove(quick=options.quick, seed=options.seed))
