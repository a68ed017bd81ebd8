"""`qero db`: migrations, backups, and whether a database is as the migrations make it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from qero.cli import JsonOption, app, confirm, err, print_json, print_lines
from qero.cli.tools import backup_tools, supabase_cli
from qero.errors import InvalidInput, NotFound, QeroError
from qero.ops.backup import (
    BACKUP_TIMEOUT_SECONDS,
    DEFAULT_KEEP,
    Backup,
    list_backups,
    make_backup,
    read_backup,
    restore_backup,
)
from qero.ops.catalogue import Catalogue, Difference, mending_migration, read_catalogue
from qero.ops.doctor import advisor_findings
from qero.ops.history import read_plan, recorded
from qero.ops.lint import RULES, Finding, Standing, lint_migrations, read_standing, require_allowed
from qero.ops.push import (
    PUSH_TIMEOUT_SECONDS,
    check_names,
    copy_migrations,
    migration_files,
    migrations_folder,
    migrations_workdir,
)
from qero.ops.runner import (
    PushOptions,
    Report,
    Verification,
    lint_plan,
    push,
    read_adoption,
    require_holds,
    verify,
)
from qero.ops.target import Target, alone
from qero.settings import Settings

db = typer.Typer(help="Run migrations, back up, verify.", no_args_is_help=True)
app.add_typer(db, name="db")

BackupsOption = Annotated[
    Path, typer.Option("--backups", help="The folder that backups are in.", file_okay=False)
]  # fmt: skip
KeepOption = Annotated[int, typer.Option("--keep", help="How many backups to keep; older ones are removed.", min=1)]
TimeoutOption = Annotated[
    float, typer.Option("--timeout", help="Seconds that each program which does the work may take.", min=1)
]  # fmt: skip
SkipOption = Annotated[
    bool | None, typer.Option("--skip-backup", help="Make no backup; SKIP_DB_BACKUP=1 says the same.")
]  # fmt: skip
AdoptOption = Annotated[
    bool,
    typer.Option(
        "--adopt",
        help="Bring an older or hand-made database into shape: run again qero's migrations that were applied with "
        "another text, and make the indexes that big tables lack first, while writers go on.",
    ),
]
AllowOption = Annotated[
    list[str] | None, typer.Option("--allow", help=f"A rule of lint to pass over: {', '.join(RULES)}.")
]  # fmt: skip
FreshOption = Annotated[
    bool,
    typer.Option("--fresh", help="Compare with a throw-away local database that this project's migrations make."),
]
DEFAULT_BACKUPS = Path(".qero", "backups")


@db.command("push")
def push_command(
    skip_backup: SkipOption = None,
    adopt: AdoptOption = False,
    allow: AllowOption = None,
    first: Annotated[
        Path | None,
        typer.Option(
            "--first",
            help="With --adopt: SQL that you have reviewed, to run before the migrations.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    fresh: FreshOption = False,
    backups: BackupsOption = DEFAULT_BACKUPS,
    keep: KeepOption = DEFAULT_KEEP,
    timeout_seconds: Annotated[
        float, typer.Option("--timeout", help="Seconds that the migrations may take, all together.", min=1)
    ] = PUSH_TIMEOUT_SECONDS,
    report_file: Annotated[
        Path | None,
        typer.Option("--report", help="Write what was done here as JSON, whatever the outcome.", dir_okay=False),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check, back up, push and verify the database at SUPABASE_DB_URL.

    Pushes what the database lacks: the project's own migrations, else the ones qero ships. Each is one transaction: a
    failing one leaves nothing of itself behind. It stops at the first failure; repeated, it goes on from there.
    """
    if first is not None and not adopt:
        raise InvalidInput("invalid_value", "--first goes with --adopt.", detail={"field": "--first"})
    settings = Settings.load()
    target = Target.read(settings.require("db_url"))
    workdir = migrations_workdir(Path.cwd())
    report = Report(target.address, str(migrations_folder(workdir)))
    skip = settings.skip_db_backup if skip_backup is None else skip_backup
    try:
        with err.status("…") as progress:
            options = PushOptions(
                backups=None if skip else backups,
                keep=keep,
                adopt=adopt,
                first=first,
                allowed=_rules(allow),
                expected=_fresh_catalogue(workdir) if fresh else None,
                push_timeout_seconds=timeout_seconds,
            )
            push(target, workdir, supabase_cli(), backup_tools(), options, report, progress.update)
    except BaseException as error:
        report.error = error.to_dict() if isinstance(error, QeroError) else {"code": type(error).__name__}
        raise
    finally:
        if report_file is not None:
            report_file.write_text(json.dumps(report.to_dict(), indent=2, default=str), "utf-8")
    if as_json:
        print_json(report.to_dict())
        return
    for step in report.steps:
        print_lines(f"{step.name:8} {step.state:8} {step.seconds:7.1f} s  {step.said}")
    _print_findings(report.findings)
    if report.applied:
        print_lines("Applied:", *(f"  {name}" for name in report.applied))
    else:
        print_lines("Nothing to do: the database has every migration.")
    print_lines(f"Migrations from {report.migrations_from}")
    if report.verification:
        _print_checks(report.verification)


@db.command()
def plan(adopt: AdoptOption = False, as_json: JsonOption = False) -> None:
    """Show what `qero db push` would do, and what stands in its way. Changes nothing."""
    target, workdir = _target(), migrations_workdir(Path.cwd())
    files = migration_files(workdir)
    check_names(files)
    with target.connect("qero db plan") as connection:
        planned = read_plan(connection, workdir)
        again = planned.reapply if adopt else ()
        indexes = read_adoption(connection) if adopt else []
        findings = lint_plan(connection, files, planned, again, indexes)
    statements = [statement for index in indexes for statement in index.statements]
    if as_json:
        print_json({**asdict(planned), "findings": _as_dicts(findings), "indexes": statements})
        return
    for title, names in (
        ("To apply", planned.pending),
        ("Applied with another text", planned.edited),
        ("To apply again" if adopt else "Would be applied again by --adopt", planned.reapply),
        ("Applied, and without a file", planned.missing),
        ("Recorded without a text, so taken as they are", planned.unknown),
        ("To run first, while writers go on", statements),
    ):
        if names:
            print_lines(f"{title}:", *(f"  {name}" for name in names))
    _print_findings(findings)
    if planned.is_empty:
        print_lines("Nothing to do: the database has every migration.")


@db.command()
def status(backups: BackupsOption = DEFAULT_BACKUPS, as_json: JsonOption = False) -> None:
    """Show where a database stands: its server, its migrations, its size, and the last backup."""
    target, workdir = _target(), migrations_workdir(Path.cwd())
    with target.connect("qero db status") as connection:
        planned, applied = read_plan(connection, workdir), recorded(connection)
        [size] = connection.execute("select pg_database_size(current_database())").fetchone() or (0,)
        server = connection.info.server_version
    newest = next(iter(list_backups(backups)), None)
    state = {
        "database": target.address,
        "server": f"{server // 10000}.{server % 10000}",
        "bytes": size,
        "migrations_from": str(migrations_folder(workdir)),
        "applied": len(applied),
        "pending": list(planned.pending),
        "edited": list(planned.edited),
        "missing": list(planned.missing),
        "last_backup": newest.to_dict() if newest else None,
    }
    if as_json:
        print_json(state)
        return
    print_lines(
        f"database    {target.address}",
        f"server      Postgres {state['server']}, {size / 2**20:,.0f} MB",
        f"migrations  {len(applied)} applied, {len(planned.pending)} pending, {len(planned.edited)} edited since,"
        f" {len(planned.missing)} without a file",
        f"            from {state['migrations_from']}",
        f"backup      {_age(newest)}",
    )


@db.command("backup")
def backup_command(
    backups: BackupsOption = DEFAULT_BACKUPS,
    keep: KeepOption = DEFAULT_KEEP,
    list_only: Annotated[bool, typer.Option("--list", help="Make none; list those there are.")] = False,
    timeout_seconds: TimeoutOption = BACKUP_TIMEOUT_SECONDS,
    as_json: JsonOption = False,
) -> None:
    """Back up the database at SUPABASE_DB_URL into a new folder, and read the backup to its end.

    By `supabase db dump` where Docker runs, else by pg_dump.
    """
    if list_only:
        found = list_backups(backups)
        if as_json:
            print_json([backup.to_dict() for backup in found])
        elif found:
            print_lines(*(f"{backup.path}  {_age(backup)}" for backup in found))
        else:
            print_lines(f"No backups in {backups}.")
        return
    target = _target()
    with err.status("…") as progress, alone(target, "qero db backup"):
        made = make_backup(
            target, backups, backup_tools(), keep=keep, say=progress.update, timeout_seconds=timeout_seconds
        )
    if as_json:
        print_json(made.to_dict() if made else None)
    elif made:
        print_lines(f"{made.path}  {_age(made)}")
    else:
        print_lines("Nothing to back up: the database has no tables of ours.")


@db.command()
def restore(
    path: Annotated[Path | None, typer.Argument(help="A backup's folder; without one, the newest backup.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Drop what stands in the schemas that the backup has.")
    ] = False,
    skip_backup: SkipOption = None,
    backups: BackupsOption = DEFAULT_BACKUPS,
    timeout_seconds: TimeoutOption = BACKUP_TIMEOUT_SECONDS,
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Bring the database at SUPABASE_DB_URL to what a backup holds, in one transaction.

    With --replace, what stands there is backed up first. Accounts are added where they are missing, never removed.
    """
    settings = Settings.load()
    target = Target.read(settings.require("db_url"))
    backup = read_backup(path) if path else next(iter(list_backups(backups)), None)
    if backup is None:
        raise NotFound("backup_not_found", detail={"folder": str(backups)})
    if replace and not yes:
        confirm(f"Replace what is in {target.address} by {backup.path}?")
    skip = settings.skip_db_backup if skip_backup is None else skip_backup
    with err.status("…") as progress, alone(target, "qero db restore"):
        if replace and not skip:
            # Nothing is removed: the one that is to be restored may be the oldest.
            make_backup(
                target, backups, backup_tools(), keep=sys.maxsize, say=progress.update, timeout_seconds=timeout_seconds
            )
        differences = restore_backup(
            target, backup, backup_tools(), replace=replace, say=progress.update, timeout_seconds=timeout_seconds
        )
    if as_json:
        print_json({"restored": backup.to_dict(), "differences": [asdict(item) for item in differences]})
        return
    print_lines(f"Restored {backup.path}  {_age(backup)}")
    _print_differences(differences)


@db.command("verify")
def verify_command(
    fresh: FreshOption = False,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", help="Write a migration that mends the differences, for you to review.", dir_okay=False
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Compare the database with what the migrations make, and ask the playbook's named checks.

    Every difference comes with the statement that mends it. Exits with 8 when there is one.
    """
    target, workdir = _target(), migrations_workdir(Path.cwd())
    with err.status("Looking …"):
        expected = _fresh_catalogue(workdir) if fresh else None
        with target.connect("qero db verify") as connection:
            verification = verify(connection, migration_files(workdir), expected)
    if write is not None and verification.differences:
        if write.exists():
            raise InvalidInput("file_unusable", f"{write} is there already.", detail={"path": str(write)})
        write.write_text(mending_migration(verification.differences), "utf-8")
    if as_json:
        print_json(verification.to_dict())
    else:
        _print_differences([*verification.differences, *verification.notes])
        _print_checks(verification)
        print_lines(
            "The database is as the migrations make it."
            if verification.holds
            else f"{len(verification.differences)} differences."
        )
        if write is not None and verification.differences:
            print_lines(f"Review {write}, then push it.")
    if not verification.holds and not as_json:
        require_holds(verification)
    raise typer.Exit(0 if verification.holds else 8)


@db.command()
def lint(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Migrations to read; without any, those that would be pushed.")
    ] = None,
    allow: AllowOption = None,
    advisor: Annotated[
        bool, typer.Option("--advisor", help="Ask Supabase's advisor about the database as it stands, too.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read migrations before they are pushed: what loses rows, locks big tables, or leaves something open.

    With SUPABASE_DB_URL set, it reads those that the database lacks, and knows which tables are big. Exits with 5 when
    there is something that would stop a push.
    """
    allowed = _rules(allow)
    settings = Settings.load()
    standing: Standing | None = None
    late: Sequence[str] = ()
    advice: list[str] = []
    candidates = files or migration_files(migrations_workdir(Path.cwd()))
    check_names(candidates)
    if settings.db_url is not None:
        target = Target.read(settings.require("db_url"))
        with target.connect("qero db lint") as connection:
            standing = read_standing(connection)
            planned = read_plan(connection, migrations_workdir(Path.cwd()))
        late = planned.out_of_order
        if not files:
            candidates = [file for file in candidates if file.name in {*planned.pending, *planned.edited}]
    if advisor:
        advice = advisor_findings(supabase_cli(), settings.require("db_url"))
    findings = lint_migrations(candidates, standing=standing, out_of_order=late)
    if as_json:
        print_json({"files": [file.name for file in candidates], "findings": _as_dicts(findings), "advisor": advice})
    else:
        _print_findings(findings)
        print_lines(*(f"advisor: {line}" for line in advice))
        print_lines(f"{len(candidates)} migrations read, {len(findings)} findings.")
    try:
        require_allowed(findings, allowed)
    except InvalidInput:
        raise typer.Exit(5) from None


@db.command("copy")
def copy_shipped(as_json: JsonOption = False) -> None:
    """Copy the migrations that qero ships into this folder's supabase/migrations, beside the project's own.

    A project that has migrations of its own gets only those pushed, so qero's have to be among them. A different file
    is never overwritten: then nothing is copied.
    """
    folder = migrations_folder(Path.cwd())
    copied = copy_migrations(Path.cwd())
    if as_json:
        print_json({"copied": copied, "folder": str(folder)})
    elif copied:
        print_lines(f"Copied to {folder}:", *(f"  {name}" for name in copied))
    else:
        print_lines(f"Nothing to do: {folder} has every migration that qero ships.")


def _target() -> Target:
    return Target.read(Settings.load().require("db_url"))


def _rules(names: Sequence[str] | None) -> frozenset[str]:
    if unknown := set(names or ()) - RULES.keys():
        raise InvalidInput(
            "invalid_value", "--allow names a rule that there isn't.",
            detail={"field": "--allow", "values": sorted(unknown), "allowed": list(RULES)},
        )  # fmt: skip
    return frozenset(names or ())


def _fresh_catalogue(workdir: Path) -> Catalogue:
    """What this project's migrations make of an empty database: one is started for it, and removed."""
    from qero.local.stack import Stack

    with TemporaryDirectory(prefix="qero-fresh-") as folder:
        shutil.copytree(migrations_folder(workdir), migrations_folder(Path(folder)))
        stack = Stack(Path(folder))
        try:
            address = stack.up(durable=False, with_me=True)
            with Target.read(address.db_url).connect() as connection:
                return read_catalogue(connection)
        finally:
            stack.remove()


def _as_dicts(findings: Sequence[Finding]) -> list[dict[str, object]]:
    return [{**asdict(finding), "level": finding.level} for finding in findings]


def _print_findings(findings: Sequence[Finding]) -> None:
    for item in findings:
        print_lines(f"{item.level}: {item.file}:{item.line} {item.rule}: {item.message}", f"  {item.remedy}")


def _print_differences(differences: Sequence[Difference]) -> None:
    for item in differences:
        print_lines(f"{item.problem}: {item.kind} {item.name}")
        if item.problem == "changed":
            print_lines(f"  is     {_short(item.found)}", f"  wanted {_short(item.wanted)}")
        print_lines(*(f"  mend   {_short(statement)}" for statement in item.statements))


def _print_checks(verification: Verification) -> None:
    for check in verification.failed_checks:
        print_lines(f"check {check.name}: {check.found}", f"  {check.remedy}")


def _short(text: str | None) -> str:
    line = " ".join((text or "").split())
    return line if len(line) <= 300 else f"{line[:300]} …"


def _age(backup: Backup | None) -> str:
    if backup is None:
        return "none"
    hours = (datetime.now(UTC) - backup.made_at).total_seconds() / 3600
    return (
        f"{backup.made_at:%Y-%m-%d %H:%M} UTC, {hours:.1f} hours old, {backup.bytes / 2**20:,.1f} MB, {backup.database}"
    )
