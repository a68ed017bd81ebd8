"""Reads migrations before they are pushed: what would lose rows, stop writers, or leave something open.

Statements are parsed by Postgres's own parser. In the text of a `do` block, an `alter table` that stands there word for
word is read for locks; what is put together there is only searched for words.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import psycopg

from qero.errors import InvalidInput, QeroError
from qero.ops.push import is_shipped, version_of

BIG_TABLE_ROWS = 100_000
"""Reading a table of this size under a lock takes long enough for people to notice."""

RULES: Mapping[str, str] = {
    "syntax": "It isn't SQL that Postgres can parse.",
    "destructive": "It loses rows or columns that a rollback can't bring back.",
    "locking": "It keeps a big table locked while it reads or rewrites it.",
    "transaction": "It can't run as one transaction, which is how a migration is applied.",
    "row_security": "A new table has no row security.",
    "grants": "What is new isn't revoked from everybody, so it depends on the project's default grants.",
    "search_path": "A new function doesn't pin its search_path.",
    "foreign_key_index": "A foreign key has no index that begins with its columns.",
    "lock_timeout": "It waits for locks without a limit, and everybody else behind it.",
    "out_of_order": "It is older than what is applied already.",
    "squawk": "squawk has something to say.",
}
WARNINGS = frozenset({"lock_timeout", "out_of_order", "squawk"})
"""Rules whose findings are told and stop nothing."""

_EXPOSED = ("public", "private")
_DYNAMIC_LOSS = re.compile(r"\b(drop\s+(?:table|column|schema|materialized\s+view)|truncate)\b", re.IGNORECASE)
_DYNAMIC_ROW_SECURITY = re.compile(r"alter table (?:%s|%I)\S* enable row level security", re.IGNORECASE)
_WRITTEN_OUT = re.compile(r"\balter\s+table\s[^;$]+;", re.IGNORECASE)
_HEAD = re.compile(r"(?:\s+|--[^\n]*\n|/\*.*?\*/)*", re.DOTALL)


@dataclass(frozen=True)
class Finding:
    """One thing that a migration does and shouldn't, or should on purpose only."""

    rule: str
    file: str
    line: int
    message: str
    remedy: str

    @property
    def level(self) -> Literal["error", "warning"]:
        return "warning" if self.rule in WARNINGS else "error"


@dataclass(frozen=True)
class Standing:
    """What the database has already that decides whether a statement locks, or does anything at all."""

    rows: Mapping[str, int] = field(default_factory=dict)
    names: Collection[str] = frozenset()
    """Indexes and constraints; a statement that makes one of these again does nothing, or fails."""
    indexed: Collection[tuple[str, tuple[str, ...]]] = ()
    """By table, the columns of each index."""
    columns: Collection[tuple[str, str]] = frozenset()
    """By table; `add column if not exists` does nothing about one of these."""

    def is_big(self, table: str) -> bool:
        return self.rows.get(table, 0) >= BIG_TABLE_ROWS


def read_standing(connection: psycopg.Connection[Any]) -> Standing:
    rows = connection.execute(
        """
        select format('%s.%s', nspname, relname), greatest(reltuples, 0)::bigint
        from pg_class join pg_namespace on pg_namespace.oid = relnamespace
        where relkind in ('r', 'p') and nspname !~ '^pg_'
        """
    )
    names = connection.execute(
        "select relname::text from pg_class where relkind = 'i' union select conname from pg_constraint"
    )
    indexed = connection.execute(
        """
        select format('%s.%s', nspname, relname), array(
          select attname::text from unnest(indkey::smallint[]) with ordinality as key (number, place)
          join pg_attribute on attrelid = indrelid and attnum = key.number order by place)
        from pg_index join pg_class on pg_class.oid = indrelid join pg_namespace on pg_namespace.oid = relnamespace
        where nspname !~ '^pg_' and indisvalid
        """
    )
    columns = connection.execute(
        """
        select format('%s.%s', nspname, relname), attname::text
        from pg_attribute join pg_class on pg_class.oid = attrelid join pg_namespace on pg_namespace.oid = relnamespace
        where relkind in ('r', 'p') and nspname !~ '^pg_' and attnum > 0 and not attisdropped
        """
    )
    return Standing(
        rows=dict(rows.fetchall()),
        names=frozenset(name for (name,) in names),
        indexed=[(table, tuple(of)) for table, of in indexed],
        columns=frozenset((table, column) for table, column in columns),
    )


def lint_migrations(
    files: Sequence[Path], *, standing: Standing | None = None, out_of_order: Iterable[str] = ()
) -> list[Finding]:
    """What is to be said about these migrations, in the order of the files.

    Args:
        files: those that are going to be pushed.
        standing: what the database has; without it nothing is said about locks.
        out_of_order: names of files that are older than what is applied.

    Raises:
        QeroError: `tool_missing`, the parser isn't installed.
    """
    findings: list[Finding] = []
    standing = standing or Standing()
    made = _Made(indexed=list(standing.indexed))
    for file in files:
        text = file.read_text("utf-8")
        found = list(_Reader(file.name, text, standing, made).findings())
        # qero's own come in later under old names; that is what the names are kept for.
        if file.name in out_of_order and not is_shipped(file):
            found.insert(0, Finding("out_of_order", file.name, 1, "Its version is older than one that is applied.",
                                    "Give it a newer version, if no database has it yet."))  # fmt: skip
        findings += found
    findings += _unmade(made)
    return sorted([*findings, *_squawk(files)], key=lambda finding: (version_of(Path(finding.file)), finding.line))


def require_allowed(findings: Iterable[Finding], allowed: Collection[str]) -> None:
    """
    Raises:
        InvalidInput: `migration_refused` with every finding that isn't a warning and whose rule isn't allowed.
    """
    refused = [finding for finding in findings if finding.level == "error" and finding.rule not in allowed]
    if refused:
        raise InvalidInput(
            "migration_refused",
            detail={
                "findings": "\n".join(f"  {item.file}:{item.line} {item.rule}: {item.message}" for item in refused),
                "rules": sorted({item.rule for item in refused}),
            },
        )


@dataclass
class _Made:
    """What the files make and do about it, all together: a later one may finish what an earlier one began."""

    tables: dict[str, tuple[str, int]] = field(default_factory=dict)
    secured: set[str] = field(default_factory=set)
    functions: dict[str, tuple[str, int]] = field(default_factory=dict)
    revoked: set[str] = field(default_factory=set)
    foreign_keys: list[tuple[str, tuple[str, ...], str, int]] = field(default_factory=list)
    indexed: list[tuple[str, tuple[str, ...]]] = field(default_factory=list)
    secures_by_text: bool = False


def _unmade(made: _Made) -> Iterator[Finding]:
    for table, (file, line) in made.tables.items():
        if table not in made.secured and not made.secures_by_text:
            yield Finding("row_security", file, line, f"{table} has no row security.",
                          f"Add: alter table {table} enable row level security;")  # fmt: skip
        if table not in made.revoked:
            yield Finding("grants", file, line, f"{table} isn't revoked from anybody.",
                          f"Add: revoke all on table {table} from public, anon, authenticated, service_role;"
                          " then grant what is needed.")  # fmt: skip
    for function, (file, line) in made.functions.items():
        if function not in made.revoked:
            yield Finding("grants", file, line, f"{function} may be executed by everybody.",
                          f"Add: revoke all on function {function}(…) from public, anon, authenticated, service_role;"
                          " then grant what is needed.")  # fmt: skip
    for table, columns, file, line in made.foreign_keys:
        begins = any(
            on == table and set(index[: len(columns)]) == set(columns) for on, index in made.indexed
        )  # fmt: skip
        if not begins:
            yield Finding("foreign_key_index", file, line,
                          f"{table} ({', '.join(columns)}) refers to another table without an index.",
                          f"Add: create index on {table} ({', '.join(columns)});")  # fmt: skip


class _Reader:
    """Goes through one file's statements."""

    def __init__(self, name: str, text: str, standing: Standing, made: _Made) -> None:
        self._name = name
        self._text = text
        self._standing = standing
        self._made = made
        self._line = 1
        self._new: set[str] = set()
        """Tables that this file makes: nobody waits for a lock on one. None that stands there already."""

    def findings(self) -> Iterator[Finding]:
        pglast = _parser()
        try:
            statements = pglast.parse_sql(self._text)
        except pglast.parser.ParseError as error:
            at = error.args[1] if len(error.args) > 1 and isinstance(error.args[1], int) else 0
            self._line = self._text.count("\n", 0, at) + 1
            yield self._finding("syntax", f"{error.args[0]}.", "Correct the statement.")
            return
        bounded = changes = False
        for raw in statements:
            start = raw.stmt_location or 0
            head = _HEAD.match(self._text, start)
            self._line = self._text.count("\n", 0, head.end() if head else start) + 1
            statement = raw.stmt
            kind = type(statement).__name__
            bounded = bounded or (kind == "VariableSetStmt" and statement.name == "lock_timeout")
            changes = changes or kind in ("AlterTableStmt", "IndexStmt", "CreateStmt", "DropStmt", "CreateTrigStmt")
            if read := _READERS.get(kind):
                yield from read(self, statement)
        if changes and not bounded:
            self._line = 1
            yield self._finding("lock_timeout", "It sets no lock_timeout.", "Begin with: set lock_timeout = '5s';")

    def _finding(self, rule: str, message: str, remedy: str) -> Finding:
        return Finding(rule, self._name, self._line, message, remedy)

    def _loss(self, what: str) -> Finding:
        return self._finding("destructive", f"It {what}.",
                             "Keep it for a later migration that does nothing else; push that with a fresh backup and"
                             " --allow destructive.")  # fmt: skip

    def _locks(self, table: str, what: str, remedy: str) -> Iterator[Finding]:
        if table not in self._new and self._standing.is_big(table):
            rows = self._standing.rows[table]
            yield self._finding("locking", f"{what} {table}, which has about {rows:,} rows.", remedy)

    def create_table(self, statement: Any) -> Iterator[Finding]:
        table = _table(statement.relation)
        if table not in self._standing.rows:
            self._new.add(table)
        if table.startswith(_EXPOSED):
            self._made.tables.setdefault(table, (self._name, self._line))
        for element in statement.tableElts or ():
            if type(element).__name__ == "ColumnDef":
                self._column(table, element)
            else:
                self._constraint(table, element, ())
        return iter(())

    def _column(self, table: str, column: Any) -> None:
        for constraint in column.constraints or ():
            self._constraint(table, constraint, (column.colname,))

    def _constraint(self, table: str, constraint: Any, of: tuple[str, ...]) -> None:
        kind = constraint.contype.name
        if kind == "CONSTR_FOREIGN":
            columns = tuple(_word(name) for name in constraint.fk_attrs or ()) or of
            self._made.foreign_keys.append((table, columns, self._name, self._line))
        elif kind in ("CONSTR_PRIMARY", "CONSTR_UNIQUE"):
            self._made.indexed.append((table, tuple(_word(name) for name in constraint.keys or ()) or of))

    def alter_table(self, statement: Any) -> Iterator[Finding]:
        table = _table(statement.relation)
        for command in statement.cmds or ():
            what = command.subtype.name
            if what == "AT_EnableRowSecurity":
                self._made.secured.add(table)
            elif what == "AT_DisableRowSecurity":
                yield self._finding("row_security", f"It takes row security off {table}.", "Leave it on.")
            elif what == "AT_DropColumn":
                yield self._loss(f"drops column {command.name} of {table}")
            elif what == "AT_AlterColumnType":
                yield from self._locks(table, "It rewrites", "Add a column, fill it in batches, then switch over.")
            elif what == "AT_SetNotNull":
                yield from self._locks(table, "It reads", "Add a check (… is not null) not valid, validate it, then set"
                                       " not null: that reads nothing any more.")  # fmt: skip
            elif what == "AT_AddColumn":
                self._column(table, command.def_)
                is_there = command.missing_ok and (table, command.def_.colname) in self._standing.columns
                if _is_computed(command.def_) and not is_there:
                    yield from self._locks(table, "It rewrites", "Add the column without a default, then fill it in"
                                           " batches.")  # fmt: skip
            elif what == "AT_AddConstraint":
                self._constraint(table, command.def_, ())
                yield from self._adds(table, command.def_)

    def _adds(self, table: str, constraint: Any) -> Iterator[Finding]:
        kind = constraint.contype.name
        if constraint.conname in self._standing.names:
            return
        if kind in ("CONSTR_FOREIGN", "CONSTR_CHECK") and not constraint.skip_validation:
            yield from self._locks(table, "It reads", "Add it not valid, and validate it in a statement of its own.")
        elif kind in ("CONSTR_PRIMARY", "CONSTR_UNIQUE") and not constraint.indexname:
            yield from self._locks(table, "It indexes", "Create the unique index concurrently first, outside of the"
                                   " migration, then add the constraint using it.")  # fmt: skip

    def create_index(self, statement: Any) -> Iterator[Finding]:
        table = _table(statement.relation)
        self._made.indexed.append((table, tuple(element.name or "" for element in statement.indexParams)))
        if statement.concurrent:
            yield self._finding(
                "transaction",
                "An index can't be created concurrently in a transaction.",
                "Create it by hand, then let the migration say `create index if not exists`.",
            )
        elif statement.idxname not in self._standing.names:
            remedy = "Create it concurrently by hand first: the migration then finds it there."
            yield from self._locks(table, "It keeps writers out while it indexes", remedy)

    def drop(self, statement: Any) -> Iterator[Finding]:
        kind = statement.removeType.name
        if kind in ("OBJECT_TABLE", "OBJECT_SCHEMA", "OBJECT_MATVIEW", "OBJECT_FOREIGN_TABLE"):
            names = ", ".join(".".join(map(_word, name)) if isinstance(name, tuple) else _word(name)
                              for name in statement.objects)  # fmt: skip
            yield self._loss(f"drops {names}")
        elif statement.behavior.name == "DROP_CASCADE" and kind in (
            "OBJECT_TYPE",
            "OBJECT_SEQUENCE",
            "OBJECT_EXTENSION",
        ):
            yield self._loss("drops what depends on a type, sequence or extension, columns included")

    def truncate(self, statement: Any) -> Iterator[Finding]:
        yield self._loss(f"empties {', '.join(map(_table, statement.relations))}")

    def delete(self, statement: Any) -> Iterator[Finding]:
        if statement.whereClause is None:
            yield self._loss(f"deletes every row of {_table(statement.relation)}")

    def update(self, statement: Any) -> Iterator[Finding]:
        table = _table(statement.relation)
        if statement.whereClause is None:
            yield self._loss(f"overwrites every row of {table}")
        yield from self._locks(table, "It changes rows in one transaction of", "Do it in batches that commit, after the"
                               " push: a procedure.")  # fmt: skip

    def create_function(self, statement: Any) -> Iterator[Finding]:
        name = ".".join(map(_word, statement.funcname))
        options = {option.defname: option.arg for option in statement.options or ()}
        self._made.functions.setdefault(name, (self._name, self._line))
        pinned = any(
            option.defname == "set" and getattr(option.arg, "name", "") == "search_path"
            for option in statement.options or ()
        )
        commits = statement.is_procedure and re.search(r"\bcommit\b", str(options.get("as", "")), re.IGNORECASE)
        if not pinned and not commits:
            yield self._finding("search_path", f"{name} doesn't pin its search_path.",
                                "Add: set search_path = '' and name everything with its schema.")  # fmt: skip

    def grant(self, statement: Any) -> Iterator[Finding]:
        for item in statement.objects or ():
            kind = type(item).__name__
            name = (
                _table(item) if kind == "RangeVar"
                else ".".join(map(_word, item.objname)) if kind == "ObjectWithArgs"
                else ""
            )  # fmt: skip
            grantees = {grantee.rolename or "public" for grantee in statement.grantees or ()}
            if not statement.is_grant:
                self._made.revoked.add(name)
            elif name.startswith(_EXPOSED) and grantees & {"public", "anon"}:
                yield self._finding("grants", f"It lets everybody use {name}.",
                                    "Grant it to authenticated or service_role, or allow it on purpose.")  # fmt: skip

    def do(self, statement: Any) -> Iterator[Finding]:
        text = " ".join(str(_word(option.arg)) for option in statement.args if option.defname == "as")
        self._made.secures_by_text = self._made.secures_by_text or bool(_DYNAMIC_ROW_SECURITY.search(text))
        code = re.sub(r"--[^\n]*", "", text)
        for match in _DYNAMIC_LOSS.finditer(code):
            yield self._loss(f"says “{' '.join(match[0].split())}” in a do block")
        pglast = _parser()
        for match in _WRITTEN_OUT.finditer(code):
            with suppress(pglast.parser.ParseError):
                [raw] = pglast.parse_sql(match[0])
                yield from (finding for finding in self.alter_table(raw.stmt) if finding.rule == "locking")

    def transaction(self, statement: Any) -> Iterator[Finding]:
        yield self._finding("transaction", "It begins or ends a transaction.", "Leave it out: a migration is one.")

    def whole_table(self, statement: Any) -> Iterator[Finding]:
        yield self._finding("transaction", "It needs a connection of its own, or rewrites whole tables.",
                            "Run it by hand, outside of a migration.")  # fmt: skip

    def lock(self, statement: Any) -> Iterator[Finding]:
        for relation in statement.relations:
            yield from self._locks(_table(relation), "It locks", "Lock rows instead, or work in batches.")


_READERS: Mapping[str, Callable[[_Reader, Any], Iterator[Finding]]] = {
    "CreateStmt": _Reader.create_table,
    "AlterTableStmt": _Reader.alter_table,
    "IndexStmt": _Reader.create_index,
    "DropStmt": _Reader.drop,
    "TruncateStmt": _Reader.truncate,
    "DeleteStmt": _Reader.delete,
    "UpdateStmt": _Reader.update,
    "CreateFunctionStmt": _Reader.create_function,
    "GrantStmt": _Reader.grant,
    "DoStmt": _Reader.do,
    "TransactionStmt": _Reader.transaction,
    "VacuumStmt": _Reader.whole_table,
    "ClusterStmt": _Reader.whole_table,
    "LockStmt": _Reader.lock,
}


def has_parser() -> bool:
    return find_spec("pglast") is not None


def _parser() -> Any:
    try:
        import pglast
    except ModuleNotFoundError as error:
        raise QeroError(
            "tool_missing", "Migrations can't be read without Postgres's parser.", detail={"tool": "pglast"},
            hint="Run `pip install 'qero[lint]'`; only migrations that qero ships are pushed without.",
        ) from error  # fmt: skip
    return pglast


def _table(relation: Any) -> str:
    return f"{relation.schemaname or 'public'}.{relation.relname}"


def _word(node: Any) -> str:
    return str(getattr(node, "sval", node))


def _is_computed(column: Any) -> bool:
    """Whether adding it writes every row: a default that isn't a constant, or one that is generated."""
    for constraint in column.constraints or ():
        kind = constraint.contype.name
        if kind in ("CONSTR_GENERATED", "CONSTR_IDENTITY"):
            return True
        if kind == "CONSTR_DEFAULT" and type(constraint.raw_expr).__name__ == "FuncCall":
            # now() and its kin are worked out once for all rows.
            return _word(constraint.raw_expr.funcname[-1]) not in (
                "now",
                "statement_timestamp",
                "transaction_timestamp",
            )
    return False


def _squawk(files: Sequence[Path]) -> list[Finding]:
    """squawk's findings about files that qero doesn't ship; none where it isn't installed."""
    own = [file for file in files if not is_shipped(file)]
    beside = Path(sys.executable).with_name("squawk")
    program = str(beside) if beside.exists() else shutil.which("squawk")
    if not own or program is None:
        return []
    with tempfile.NamedTemporaryFile("w", suffix=".toml", delete=False) as settings:
        settings.write("assume_in_transaction = true\n")
    try:
        finished = subprocess.run(
            [program, "--config", settings.name, "--reporter", "Json", *map(str, own)],
            capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        reported = json.loads(finished.stdout or "[]")
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise QeroError("tool_failed", "squawk couldn't be run.", detail={"reason": repr(error)}) from error
    finally:
        Path(settings.name).unlink()
    return [
        Finding("squawk", Path(item["file"]).name, int(item.get("line", 0)) + 1,
                f"{item['rule_name']}: {item['message']}", item.get("help") or "See squawk's page about the rule.")
        for item in reported
    ]  # fmt: skip
