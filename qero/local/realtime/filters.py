"""What a postgres_changes subscription asks for, and its filter as SQL.

A filter is a comma-separated list of `column=operator.value`, all of which must hold; `not.` before the
operator negates it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from qero.local.realtime.pgoutput import ChangeKind

MAX_IN_VALUES = 100
IS_VALUES = frozenset({"null", "true", "false", "unknown"})
OPERATORS: Mapping[str, str] = {
    "eq": "=",
    "neq": "<>",
    "lt": "<",
    "lte": "<=",
    "gt": ">",
    "gte": ">=",
    "like": "like",
    "ilike": "ilike",
    "match": "~",
    "imatch": "~*",
    "in": "= any",
    "is": "is",
    "isdistinct": "is distinct from",
}


class BadSubscription(ValueError):
    """A subscription that can't be served; the message is for the client."""


@dataclass(frozen=True, slots=True)
class Condition:
    column: str
    operator: str
    value: str
    negated: bool = False

    def expression(self, operand: sql.Composable, type_name: str) -> sql.Composed:
        """A boolean expression over `operand`, with one placeholder per entry of `parameters`.

        `type_name` is the column's type as the catalogue spells it, never something a client sent.
        """
        type_sql = sql.SQL(type_name)
        if self.operator == "is":
            right: sql.Composable = sql.SQL(self.value)
        elif self.operator == "in":
            right = sql.SQL("(%s::{}[])").format(type_sql)
        else:
            right = sql.SQL("%s::{}").format(type_sql)
        comparison = sql.SQL("({} {} {})").format(operand, sql.SQL(OPERATORS[self.operator]), right)
        whole = sql.SQL("not {}").format(comparison) if self.negated else comparison
        # Comparing with null is neither true nor false, and only true lets a row through.
        return sql.SQL("coalesce({}, false)").format(whole)

    @property
    def parameters(self) -> tuple[str, ...]:
        return () if self.operator == "is" else (self.value,)


@dataclass(frozen=True, slots=True)
class ChangeRequest:
    """One entry of a join's postgres_changes. `*` for schema or table means any."""

    kind: ChangeKind | None
    schema: str
    table: str
    conditions: tuple[Condition, ...]
    columns: frozenset[str] | None

    def covers(self, schema: str, table: str) -> bool:
        return self.schema in ("*", schema) and self.table in ("*", table)

    def wants(self, kind: ChangeKind) -> bool:
        return self.kind is None or self.kind is kind

    def __str__(self) -> str:
        event = "*" if self.kind is None else self.kind.value
        filters = ", ".join(f"{c.column} {c.operator} {c.value}" for c in self.conditions)
        return f"event: {event}, schema: {self.schema}, table: {self.table}, filters: [{filters}]"


def parse_change_request(spec: Mapping[str, Any]) -> ChangeRequest:
    """
    Raises:
        BadSubscription: neither schema nor table, an unreadable filter, or columns chosen of any table.
    """
    schema, table, text = spec.get("schema"), spec.get("table"), spec.get("filter")
    if not isinstance(schema, str) and not isinstance(table, str):
        raise BadSubscription(
            "No subscription params provided. Please provide at least a `schema` or `table` to subscribe to"
        )
    if text is not None and not (isinstance(text, str) and isinstance(table, str)):
        raise BadSubscription("Error parsing `filter` params: a filter is a string and needs a `table`")
    request = ChangeRequest(
        kind=_kind(spec.get("event")),
        schema=schema if isinstance(schema, str) else "public",
        table=table if isinstance(table, str) else "*",
        conditions=parse_filter(text or ""),
        columns=_columns(spec.get("select")),
    )
    if request.columns is not None and "*" in (request.schema, request.table):
        raise BadSubscription(
            "Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name."
        )
    return request


def parse_filter(text: str) -> tuple[Condition, ...]:
    """
    Raises:
        BadSubscription: an empty condition, an unknown operator, or a value its operator can't take.
    """
    if not text.strip():
        return ()
    return tuple(_condition(part.strip()) for part in _split_conditions(text.strip()))


def _kind(event: object) -> ChangeKind | None:
    name = event.upper() if isinstance(event, str) else "*"
    return ChangeKind(name) if name in ChangeKind.__members__ else None


def _columns(select: object) -> frozenset[str] | None:
    if isinstance(select, str):
        raise BadSubscription("Error parsing `select` params: expected a list of column names")
    names = [name for name in select if isinstance(name, str)] if isinstance(select, list) else []
    return frozenset(names) or None


def _split_conditions(text: str) -> list[str]:
    """Split at the commas that are neither inside parentheses nor inside a quoted value."""
    parts, start, depth, quoted, escaped = [], 0, 0, False, False
    for position, character in enumerate(text):
        if quoted:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                quoted = False
        elif character == '"':
            # Elsewhere a quote is part of the value: `size=eq.5"`.
            quoted = position > 0 and text[position - 1] in ".(,"
        elif character == "(":
            depth += 1
        elif character == ")":
            depth = max(depth - 1, 0)
        elif character == "," and depth == 0:
            parts.append(text[start:position])
            start = position + 1
    return [*parts, text[start:]]


def _condition(text: str) -> Condition:
    if not text:
        raise BadSubscription(
            "Error parsing `filter` params: filter must not contain empty segments (check for extra commas)"
        )
    match = re.fullmatch(r"([^=]+)=(not\.)?([^.]*)\.(.*)", text, re.DOTALL)
    if match is None or match[3] not in OPERATORS:
        raise BadSubscription(f"Error parsing `filter` params: {text}")
    column, negated, operator, value = match[1].strip(), match[2] is not None, match[3], match[4]
    if operator == "in":
        if not (value.startswith("(") and value.endswith(")") and len(value) > 1):
            raise BadSubscription("Error parsing `filter` params: `in` filter value must be wrapped by parentheses")
        return Condition(column, operator, f"{{{value[1:-1]}}}", negated)
    if operator == "is" and value not in IS_VALUES:
        raise BadSubscription("invalid value for is filter: must be null, true, false, or unknown")
    return Condition(column, operator, _unquoted(value), negated)


def _unquoted(value: str) -> str:
    match = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', value, re.DOTALL)
    return value if match is None else re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL)
