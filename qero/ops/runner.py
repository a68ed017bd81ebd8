"""`qero db push`, step by step, and what it has in common with looking: plan, status, verify."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg

from qero.errors import InvalidState, QeroError, Unavailable
from qero.ops.backup import BACKUP_TIMEOUT_SECONDS, DEFAULT_KEEP, Backup, Tools, make_backup
from qero.ops.catalogue import (
    AddedIndex,
    Catalogue,
    Difference,
    Item,
    compare,
    index_to_add,
    read_catalogue,
    shipped_catalogue,
)
from qero.ops.checks import Check, run_checks
from qero.ops.history import Plan, forget, read_plan, require_complete_files, require_unedited
from qero.ops.lint import Finding, Standing, has_parser, lint_migrations, read_standing, require_allowed
from qero.ops.push import PUSH_TIMEOUT_SECONDS, check_names, is_shipped, migration_files, push_migrations
from qero.ops.target import Target, alone, require_held

LOCK_ATTEMPTS = 6
LOCK_TIMEOUT_SECONDS = 5
"""How long a statement of a migration may wait for a lock, and everybody else behind it."""

Say = Callable[[str], None]


@dataclass
class Step:
    """One step of a push: `running`, then `done`, `skipped` or `failed`."""

    name: str
    state: str = "running"
    seconds: float = 0.0
    said: str = ""


@dataclass
class Report:
    """What a push did, also when it stopped in the middle."""

    database: str
    migrations_from: str
    steps: list[Step] = field(default_factory=list)
    applied: list[str] = field(default_factory=list)
    backup: Backup | None = None
    findings: list[Finding] = field(default_factory=list)
    verification: Verification | None = None
    error: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "backup": self.backup.to_dict() if self.backup else None,
            "findings": [{**asdict(finding), "level": finding.level} for finding in self.findings],
            "verification": self.verification.to_dict() if self.verification else None,
        }


@dataclass(frozen=True)
class Verification:
    """How the database compares with what the migrations make, and the named checks.

    Attributes:
        differences: what has to be mended.
        notes: what harms nothing: leftovers of an upgrade, and objects of the project's own.
    """

    differences: tuple[Difference, ...]
    notes: tuple[Difference, ...]
    checks: tuple[Check, ...]

    @property
    def failed_checks(self) -> list[Check]:
        return [check for check in self.checks if check.found is not None]

    @property
    def holds(self) -> bool:
        return not self.differences

    def to_dict(self) -> dict[str, Any]:
        return {"holds": self.holds, **asdict(self)}


@dataclass(frozen=True)
class PushOptions:
    """
    Attributes:
        backups: the folder for backups; None pushes without one.
        adopt: bring an older or hand-made database into shape: make indexes that big tables lack while writers go on,
            and run again what was applied with another text.
        first: a file of statements to run before, reviewed by a person; only with `adopt`.
        allowed: rules of lint that this push may break.
        expected: the catalogue to verify against; None is what qero ships.
    """

    backups: Path | None
    keep: int = DEFAULT_KEEP
    adopt: bool = False
    first: Path | None = None
    allowed: Collection[str] = ()
    expected: Catalogue | None = None
    push_timeout_seconds: float = PUSH_TIMEOUT_SECONDS
    backup_timeout_seconds: float = BACKUP_TIMEOUT_SECONDS


def push(
    target: Target, workdir: Path, supabase: Path, tools: Tools, options: PushOptions, report: Report, say: Say
) -> None:
    """Check, back up, push, verify; it stops at the first failure, and repeating it goes on from there.

    Args:
        report: filled in as it goes, so that it says how far a push came that failed.

    Raises:
        Conflict: `run_in_progress`, `migration_edited`, `migration_version_taken`.
        InvalidInput: `migration_refused` by lint, `migration_name_invalid`.
        InvalidState: `backup_needed`, `run_lost`.
        QeroError: `migration_file_missing`, `migration_failed`, `schema_differs`; all that `make_backup` raises.
        Unavailable: `database_unavailable`, `migration_locked_out`.
    """
    files = migration_files(workdir)
    with _step(report, "files", say) as step:
        check_names(files)
        step.said = f"{len(files)} migrations in {report.migrations_from}"
    with alone(target, "qero db push") as connection:
        with _step(report, "plan", say) as step:
            plan = read_plan(connection, workdir)
            require_complete_files(plan, workdir)
            require_unedited(plan, adopt=options.adopt)
            again = plan.reapply if options.adopt else ()
            step.said = f"{len(plan.pending)} to apply" + (f", {len(again)} to apply again" if again else "")
        if plan.pending or again:
            indexes = read_adoption(connection) if options.adopt else []
            with _step(report, "lint", say) as step:
                report.findings += lint_plan(connection, files, plan, again, indexes, options.first)
                require_allowed(report.findings, options.allowed)
                step.said = f"{len(report.findings)} findings"
            with _step(report, "backup", say) as step:
                report.backup = _backup(target, tools, options, report.findings, step, say)
            require_held(connection)
            if options.adopt:
                with _step(report, "adopt", say) as step:
                    adopt(connection, indexes, options.first, again, say)
                    step.said = f"{len(indexes)} indexes made beside writers"
            with _step(report, "push", say) as step:
                report.applied += _push(supabase, target, workdir, options, say)
                step.said = f"{len(report.applied)} applied"
            require_held(connection)
        # Without anything to push too: an earlier run may have been interrupted here.
        with _step(report, "backfill", say) as step:
            step.said = f"{len(backfill(connection, say))} procedures run"
        with _step(report, "verify", say) as step:
            report.verification = verify(connection, files, options.expected)
            require_holds(report.verification)
            failed = [check.name for check in report.verification.failed_checks]
            step.said = f"as the migrations make it{'; to look at: ' + ', '.join(failed) if failed else ''}"


def lint_plan(
    connection: psycopg.Connection[Any],
    files: Sequence[Path],
    plan: Plan,
    again: Collection[str],
    indexes: Sequence[AddedIndex],
    first: Path | None = None,
) -> list[Finding]:
    """What lint says about the files that a push would run. Those that qero ships were read before they were shipped;
    what could not be known then is how big the tables are.

    Args:
        indexes: what is made before, and so by no migration.
        first: what runs before all of them.
    """
    standing = read_standing(connection)
    standing = replace(standing, names={*standing.names, *(index.name.rpartition(".")[2] for index in indexes)})
    wanted = [file for file in files if file.name in {*plan.pending, *again}]
    own = [file for file in wanted if not is_shipped(file)]
    own = [first, *own] if first else own
    findings = lint_migrations(own, standing=standing, out_of_order=plan.out_of_order) if own else []
    shipped = [file for file in wanted if is_shipped(file)]
    if any(map(standing.is_big, standing.rows)) and has_parser():
        findings += [
            finding for finding in lint_migrations(shipped, standing=standing) if finding.rule == "locking"
        ]  # fmt: skip
    return findings


def verify(
    connection: psycopg.Connection[Any], files: Sequence[Path], expected: Catalogue | None = None
) -> Verification:
    """Compare the database with what the migrations make.

    Args:
        files: the project's migrations. Where some aren't qero's, objects that qero doesn't know may be theirs.
        expected: what they make; None is what qero ships.
    """
    has_own = expected is None and any(not is_shipped(file) for file in files)
    differences = compare(expected if expected is not None else shipped_catalogue(), read_catalogue(connection))
    notes = [
        difference for difference in differences if difference.problem == "leftover" or (difference.own and has_own)
    ]  # fmt: skip
    return Verification(
        differences=tuple(difference for difference in differences if difference not in notes),
        notes=tuple(notes),
        checks=tuple(run_checks(connection)),
    )


def require_holds(verification: Verification) -> None:
    """
    Raises:
        QeroError: `schema_differs`, with the first differences.
    """
    if not verification.holds:
        shown = [f"{item.kind} {item.name}: {item.problem}" for item in verification.differences[:20]]
        raise QeroError(
            "schema_differs", detail={"count": len(verification.differences), "differences": "\n".join(shown)}
        )


def read_adoption(connection: psycopg.Connection[Any]) -> list[AddedIndex]:
    return adoption(shipped_catalogue(), read_catalogue(connection), read_standing(connection))


def adoption(wanted: Catalogue, found: Catalogue, standing: Standing) -> list[AddedIndex]:
    """The indexes that big tables lack, to be made while writers go on, so that no migration makes them under a lock.

    Everything else is left to the migrations: they look at what a table lacks to know what its rows mean.
    """
    return [
        index
        for key, item in wanted.items()
        if key not in found and ("table", item.table or "") in found and standing.is_big(item.table or "")
        if (index := index_to_add(item, _lacking_columns(item.table or "", wanted, found))) is not None
    ]


def adopt(
    connection: psycopg.Connection[Any],
    indexes: Sequence[AddedIndex],
    first: Path | None,
    again: Collection[str],
    say: Say,
) -> None:
    """Make ready for migrations to run on an older or hand-made database.

    Args:
        indexes: made while writers go on.
        first: reviewed statements, run in one transaction with what follows.
        again: migrations that are taken out of the history.

    Raises:
        QeroError: `migration_failed`, in `first`.
        Unavailable: `migration_locked_out`.
    """
    for index in indexes:
        say(f"index {index.name}")
        _patiently(partial(_unless_locked, partial(_add_index, connection, index)), say)

    def in_one_transaction() -> None:
        with connection.transaction():
            connection.execute(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'".encode())
            if first:
                connection.execute(first.read_bytes())
            if again:
                forget(connection, again)

    _patiently(partial(_unless_locked, in_one_transaction), say)


def _lacking_columns(table: str, wanted: Catalogue, found: Catalogue) -> dict[str, Item]:
    return {
        item.parts["column"]: item
        for key, item in wanted.items()
        if item.kind == "column" and item.table == table and key not in found
    }


def _add_index(connection: psycopg.Connection[Any], index: AddedIndex) -> None:
    # One that was begun and not finished stands there, and is of no use.
    [is_invalid] = connection.execute(
        "select exists (select from pg_index where indexrelid = to_regclass(%s) and not indisvalid)", [index.name]
    ).fetchone() or (False,)
    if is_invalid:
        connection.execute(f"drop index concurrently {index.name}".encode())
    for statement in index.statements:
        # What is made concurrently waits for old transactions, and nobody waits behind it; everything else is bounded.
        limit = "0" if " concurrently " in statement.lower() else f"{LOCK_TIMEOUT_SECONDS}s"
        connection.execute(f"set lock_timeout = '{limit}'".encode())
        connection.execute(statement.encode())
    connection.execute("reset lock_timeout")


def _unless_locked(run: Callable[[], object]) -> None:
    try:
        run()
    except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected) as error:
        raise Unavailable("migration_locked_out", detail={"output": str(error)}) from error
    except psycopg.Error as error:
        raise QeroError("migration_failed", detail={"output": str(error)}) from error


def backfill(connection: psycopg.Connection[Any], say: Say) -> list[str]:
    """Run what migrations leave for afterwards: every procedure of schema private that can be called without arguments.
    They commit in batches while writers go on, can be interrupted and repeated, and do nothing where nothing is left.

    Returns: the procedures.

    Raises:
        QeroError: `migration_failed`.
        Unavailable: `migration_locked_out`.
    """
    procedures = connection.execute(
        """
        select format('%I.%I', nspname, proname) from pg_proc join pg_namespace on pg_namespace.oid = pronamespace
        where nspname = 'private' and prokind = 'p' and pronargs = pronargdefaults order by 1
        """
    ).fetchall()
    connection.execute(f"set lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'".encode())
    for (procedure,) in procedures:
        say(f"backfill {procedure}")
        _patiently(partial(_unless_locked, partial(connection.execute, f"call {procedure}()".encode())), say)
    connection.execute("reset lock_timeout")
    return [procedure for (procedure,) in procedures]


def _backup(
    target: Target, tools: Tools, options: PushOptions, findings: Sequence[Finding], step: Step, say: Say
) -> Backup | None:
    if options.backups is None:
        if any(finding.rule == "destructive" for finding in findings):
            raise InvalidState("backup_needed")
        step.state, step.said = "skipped", "as asked"
        return None
    backup = make_backup(
        target, options.backups, tools, keep=options.keep, say=say, timeout_seconds=options.backup_timeout_seconds
    )
    if backup is None:
        step.state, step.said = "skipped", "nothing there yet"
    else:
        step.said = f"{backup.path} ({backup.bytes / 2**20:,.1f} MB)"
    return backup


def _push(supabase: Path, target: Target, workdir: Path, options: PushOptions, say: Say) -> list[str]:
    applied: list[str] = []

    def run() -> None:
        applied.extend(
            push_migrations(
                supabase, db_url=target.db_url, workdir=workdir, timeout_seconds=options.push_timeout_seconds
            )
        )

    _patiently(run, say)
    return applied


def _patiently(run: Callable[[], None], say: Say) -> None:
    """Run what gives up on a lock after a while, again after a pause in which everybody else gets on."""
    for attempt in range(1, LOCK_ATTEMPTS + 1):
        try:
            return run()
        except Unavailable as error:
            if error.code != "migration_locked_out" or attempt == LOCK_ATTEMPTS:
                raise
            say(f"others hold a lock; attempt {attempt + 1} of {LOCK_ATTEMPTS}")
            time.sleep(min(2**attempt, 20) * random.uniform(0.5, 1))  # noqa: S311  (no secret)
    return None


@contextmanager
def _step(report: Report, name: str, say: Say) -> Iterator[Step]:
    step = Step(name)
    report.steps.append(step)
    say(name)
    started = time.monotonic()
    try:
        yield step
    except BaseException as error:
        step.state = "failed"
        step.said = error.code if isinstance(error, QeroError) else type(error).__name__
        raise
    else:
        step.state = "done" if step.state == "running" else step.state
    finally:
        step.seconds = round(time.monotonic() - started, 3)
