"""Decoder for the messages of Postgres' `pgoutput` plugin, protocol version 1.

Knows bytes only: which columns a table has, and how its values are cast, is the reader's business.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum

POSTGRES_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class Unchanged(Enum):
    """Stands for a large value the statement didn't touch: its content isn't in the log."""

    VALUE = "unchanged"


Value = str | None | Unchanged


class ChangeKind(Enum):
    INSERT = "INSERT"
    UPDATE = "UPDATE"
    DELETE = "DELETE"


@dataclass(frozen=True, slots=True)
class Begin:
    committed_at: datetime


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as it was when the changes that follow were written. Sent before the first of them."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]
    key_columns: frozenset[str]
    """The columns of the replica identity; all of them when it is FULL."""


@dataclass(frozen=True, slots=True)
class Change:
    kind: ChangeKind
    relation_oid: int
    new: tuple[Value, ...] | None
    old: tuple[Value, ...] | None
    old_is_key: bool
    """Whether `old` holds the replica identity only; its other columns are then null without meaning it."""


Message = Begin | Relation | Change


def decode(data: bytes) -> Message | None:
    """One message, or None for kinds nobody here needs (commit, type, origin, truncate)."""
    kind = data[:1]
    if kind == b"B":
        (microseconds,) = struct.unpack_from(">q", data, 9)
        return Begin(POSTGRES_EPOCH + timedelta(microseconds=microseconds))
    if kind == b"R":
        return _Reader(data, 1).relation()
    if kind in (b"I", b"U", b"D"):
        return _Reader(data, 1).change(kind)
    return None


def values_by_column(relation: Relation, values: tuple[Value, ...]) -> dict[str, str | None]:
    """The values the log holds, unchanged ones left out."""
    return {
        name: value for name, value in zip(relation.columns, values, strict=True) if not isinstance(value, Unchanged)
    }


def old_values(relation: Relation, change: Change, new: Mapping[str, str | None]) -> dict[str, str | None]:
    """What is known of the row before the change: its replica identity, or all of it when that is FULL."""
    if change.old is not None:
        old = values_by_column(relation, change.old)
        if change.old_is_key:
            return {name: value for name, value in old.items() if name in relation.key_columns}
        return old
    if change.kind is ChangeKind.UPDATE:
        # No old row in the log means that the replica identity didn't change.
        return {name: value for name, value in new.items() if name in relation.key_columns}
    return {}


class _Reader:
    """A cursor over one message."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._offset = offset

    def relation(self) -> Relation:
        oid = self._integer(">I")
        schema = self._text()
        name = self._text()
        self._integer(">B")
        columns: list[str] = []
        key_columns: set[str] = set()
        for _ in range(self._integer(">H")):
            is_key = self._integer(">B") & 1
            column = self._text()
            self._integer(">I")
            self._integer(">i")
            columns.append(column)
            if is_key:
                key_columns.add(column)
        # pg_catalog is sent as an empty name.
        return Relation(oid, schema or "pg_catalog", name, tuple(columns), frozenset(key_columns))

    def change(self, kind: bytes) -> Change:
        relation_oid = self._integer(">I")
        old: tuple[Value, ...] | None = None
        new: tuple[Value, ...] | None = None
        old_is_key = False
        while self._offset < len(self._data):
            part = self._take(1)
            if part == b"N":
                new = self._row()
            else:
                old_is_key = part == b"K"
                old = self._row()
        name = {b"I": ChangeKind.INSERT, b"U": ChangeKind.UPDATE, b"D": ChangeKind.DELETE}[kind]
        return Change(name, relation_oid, new, old, old_is_key)

    def _row(self) -> tuple[Value, ...]:
        return tuple(self._value() for _ in range(self._integer(">H")))

    def _value(self) -> Value:
        kind = self._take(1)
        if kind == b"n":
            return None
        if kind == b"u":
            return Unchanged.VALUE
        return self._take(self._integer(">I")).decode()

    def _integer(self, layout: str) -> int:
        (value,) = struct.unpack_from(layout, self._data, self._offset)
        self._offset += struct.calcsize(layout)
        return int(value)

    def _take(self, size: int) -> bytes:
        taken = self._data[self._offset : self._offset + size]
        self._offset += size
        return taken

    def _text(self) -> str:
        end = self._data.index(b"\0", self._offset)
        text = self._data[self._offset : end].decode()
        self._offset = end + 1
        return text
