"""Moving tokens: `apply_workspace_token_delta` beside a bare `update … returning` and an insert of what it returns.

All run in the same database, durable, from pgbench with prepared statements, so that no client's time hides anything.
Ours checks the caller, keeps the reference unique, notices what is due, writes the audit log, and refuses to go below
zero. The floor moves a number and writes a row with an id, in one transaction, without any rule. The peer does so in
one statement, which nobody can do in less: it never learns whether there was a balance.
Hot is one workspace for all eight connections; spread is a random one of 1,000 for each call.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg

from bench.report import Case, interleaved
from qero.local.stack import temporary_stack
from qero.local.toolchain import ensure_tools

WORKSPACES = 1_000
CONNECTIONS = 8

FIRST = 100_000_000_000
"""Ids of workspaces are counted, so that a script can choose one."""

SCHEMA = (
    """
    create table private.bench_balance (workspace_id uuid primary key, balance bigint not null) with (fillfactor = 50)
    """,
    """
    create table private.bench_ledger (
      workspace_id uuid not null, id bigint generated always as identity, delta bigint not null,
      balance_after bigint not null, reason text, reference text, created_at timestamptz not null default now(),
      primary key (workspace_id, id)
    )
    """,
    f"""
    insert into workspaces (id, slug, name)
    select ('00000000-0000-4000-8000-' || ({FIRST} + i))::uuid, 'bench-' || i, 'Bench'
    from generate_series(0, {WORKSPACES - 1}) as i
    """,
    "insert into private.bench_balance select id, 0 from workspaces",
    "select count(apply_workspace_token_delta(id, 1, 'start')) from workspaces",
    "grant all on private.bench_balance, private.bench_ledger to service_role",
)
CHOOSE = """\\set workspace random({first}, {last})
\\set reference random(1, 9000000000000000000)
"""
OURS = """select * from public.apply_workspace_token_delta(
  ('00000000-0000-4000-8000-' || :workspace)::uuid, 5, 'bench', 'bench-' || :reference);
"""
FLOOR = """begin;
update private.bench_balance set balance = balance + 5
where workspace_id = ('00000000-0000-4000-8000-' || :workspace)::uuid returning balance \\gset
insert into private.bench_ledger (workspace_id, delta, balance_after, reason, reference)
values (('00000000-0000-4000-8000-' || :workspace)::uuid, 5, :balance, 'bench', 'bench-' || :reference);
commit;
"""
ONE_STATEMENT = """with moved as (
  update private.bench_balance set balance = balance + 5
  where workspace_id = ('00000000-0000-4000-8000-' || :workspace)::uuid
  returning workspace_id, balance
)
insert into private.bench_ledger (workspace_id, delta, balance_after, reason, reference)
select workspace_id, 5, balance, 'bench', 'bench-' || :reference from moved returning *;
"""


async def run(*, quick: bool) -> list[Case]:
    seconds, runs = (1, 1) if quick else (5, 5)
    with temporary_stack() as address, TemporaryDirectory(prefix="qero-bench-") as folder:
        with psycopg.connect(address.db_url, autocommit=True) as connection:
            for statement in SCHEMA:
                connection.execute(statement.encode())
            connection.execute("vacuum (analyze)")
        cases = []
        for name, workspaces in (("hot workspace", 1), ("1,000 workspaces", WORKSPACES)):
            medians = await interleaved(
                {
                    side: partial(_measure, address.db_url, Path(folder), CHOOSE + statement, workspaces, seconds)
                    for side, statement in (("ours", OURS), ("bare", FLOOR), ("one bare statement", ONE_STATEMENT))
                },
                runs=runs,
                warm_up=0 if quick else 1,
            )
            ours, floor = medians.pop("ours"), medians.pop("bare")
            cases.append(Case(name, ours, "deltas/s", runs, floor=floor, peers=medians, lower_is_better=False))
        with psycopg.connect(address.db_url, autocommit=True) as connection:
            assert connection.execute("select * from check_token_balances()").fetchall() == []
    return cases


async def _measure(db_url: str, folder: Path, script: str, workspaces: int, seconds: int) -> float:
    """Calls a second, by eight connections that each wait for their commit."""
    file = folder / "script.sql"
    file.write_text(script.format(first=FIRST, last=FIRST + workspaces - 1))
    pgbench = await asyncio.create_subprocess_exec(
        ensure_tools().client_bin / "pgbench", "--no-vacuum", "--protocol=prepared", f"--client={CONNECTIONS}",
        "--jobs=2", f"--time={seconds}", f"--file={file}", db_url,
        env={"PGOPTIONS": "-c role=service_role"}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, errors = await pgbench.communicate()
    found = re.search(rb"tps = ([0-9.]+) ", output)
    if pgbench.returncode or not found or b"number of failed transactions: 0 " not in output:
        raise RuntimeError((output + errors).decode())
    return float(found[1])
