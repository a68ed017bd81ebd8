"""What a database has of the migrations: which are applied, which wait, and which were applied with another text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from qero.errors import Conflict, QeroError
from qero.ops.push import is_shipped, migration_files, migrations_folder, version_of


@dataclass(frozen=True)
class Plan:
    """What a push would do, by file name.

    Attributes:
        pending: not applied yet, in the order in which they will be.
        out_of_order: those of `pending` with a version below one that is applied.
        edited: applied, but with another text than the file has now.
        unknown: recorded as applied, without a text to compare.
        missing: versions that are applied and have no file.
        reapply: what has to run again to make up for `edited`: these and every later one that qero ships, because a
            later one may replace what an earlier one makes. Only files that qero ships are known to bear it.
    """

    pending: tuple[str, ...]
    out_of_order: tuple[str, ...]
    edited: tuple[str, ...]
    unknown: tuple[str, ...]
    missing: tuple[str, ...]
    reapply: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not (self.pending or self.edited or self.missing)


def recorded(connection: psycopg.Connection[Any]) -> dict[str, str | None]:
    """Each applied version with the text it was applied with, where the history keeps it."""
    found = connection.execute(
        """
        select string_agg(attname, ',') from pg_attribute
        where attrelid = to_regclass('supabase_migrations.schema_migrations') and attnum > 0 and not attisdropped
        """
    ).fetchone()
    columns = (found[0] or "").split(",") if found else []
    if "version" not in columns:
        return {}
    # Older versions of the CLI kept no text.
    query = (
        "select version, array_to_string(statements, ';') from supabase_migrations.schema_migrations"
        if "statements" in columns
        else "select version, null from supabase_migrations.schema_migrations"
    )
    return {str(version): text or None for version, text in connection.execute(query)}


def make_plan(files: Sequence[Path], applied: Mapping[str, str | None]) -> Plan:
    by_version = {version_of(file): file for file in files}
    pending = [file for version, file in by_version.items() if version not in applied]
    newest = max(applied, default="")
    edited = [
        file
        for version, file in by_version.items()
        if (text := applied.get(version)) is not None and _essence(text) != _essence(file.read_text("utf-8"))
    ]
    first = min((file.name for file in edited if is_shipped(file)), default=None)
    return Plan(
        pending=tuple(file.name for file in pending),
        out_of_order=tuple(file.name for file in pending if version_of(file) < newest),
        edited=tuple(file.name for file in edited),
        unknown=tuple(file.name for version, file in by_version.items() if applied.get(version, "") is None),
        missing=tuple(sorted(applied.keys() - by_version.keys())),
        reapply=tuple(
            file.name
            for version, file in by_version.items()
            if version in applied and first is not None and file.name >= first and is_shipped(file)
        ),
    )


def read_plan(connection: psycopg.Connection[Any], workdir: Path) -> Plan:
    return make_plan(migration_files(workdir), recorded(connection))


def require_complete_files(plan: Plan, workdir: Path) -> None:
    """
    Raises:
        QeroError: `migration_file_missing`, the database has migrations whose files are gone.
    """
    if plan.missing:
        raise QeroError(
            "migration_file_missing",
            detail={"migrations_from": str(migrations_folder(workdir)), "versions": list(plan.missing)},
        )


def require_unedited(plan: Plan, *, adopt: bool) -> None:
    """
    Args:
        adopt: what qero ships may be edited, because it is going to run again.

    Raises:
        Conflict: `migration_edited`, with the files.
    """
    own = [name for name in plan.edited if name not in plan.reapply]
    if own:
        raise Conflict(
            "migration_edited",
            detail={"files": own},
            hint="Bring back the text they were applied with, and put the change into a new migration.",
        )
    if plan.edited and not adopt:
        raise Conflict("migration_edited", detail={"files": list(plan.edited), "reapply": list(plan.reapply)})


def forget(connection: psycopg.Connection[Any], names: Iterable[str]) -> None:
    """Take migrations out of the history, so that the next push runs them: in one step, and safe to interrupt, because
    whatever isn't in the history is pending."""
    versions = [version_of(Path(name)) for name in names]
    connection.execute("delete from supabase_migrations.schema_migrations where version = any (%s)", [versions])


def _essence(text: str) -> str:
    """The text without what a splitter of statements may drop or add: white space, and the ends of statements."""
    return re.sub(r"[\s;]+", "", text)
