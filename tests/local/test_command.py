"""`qero local`, as a person types it: the real command in real folders."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import psycopg
import pytest

from qero import InvalidInput
from qero.local.postgres import data_folder
from qero.local.processes import Account, can_reach
from qero.local.stack import Stack
from tests.local.waiting import alive, until

ROOT = Path(__file__).parents[2]
PROGRAMS = {"postgres", "auth", "postgrest"}


class Project:
    """A folder in which somebody runs qero."""

    def __init__(self, folder: Path, command: tuple[str, ...] = (sys.executable, "-m", "qero"), **process: Any) -> None:
        self.folder = folder
        self._command = command
        self._process = process
        self._begun: list[subprocess.Popen[str]] = []

    def qero(self, *arguments: str, exit_code: int = 0) -> subprocess.CompletedProcess[str]:
        finished = subprocess.run(
            [*self._command, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=90, check=False,
            stdin=subprocess.DEVNULL, **self._process,
        )  # fmt: skip
        said = f"{arguments} ended with {finished.returncode}\n{finished.stdout}\n{finished.stderr}"
        assert finished.returncode == exit_code, said
        return finished

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command without waiting for its end."""
        begun = subprocess.Popen(
            [*self._command, *arguments], cwd=self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, **self._process,
        )  # fmt: skip
        self._begun.append(begun)
        return begun

    def json(self, *arguments: str, exit_code: int = 0) -> Any:
        return json.loads(self.qero(*arguments, "--json", exit_code=exit_code).stdout)

    def refusal(self, *arguments: str, exit_code: int = 1) -> Any:
        return json.loads(self.qero(*arguments, "--json", exit_code=exit_code).stderr)["error"]

    def up(self, *arguments: str) -> str:
        return str(self.json("local", "up", *arguments)["url"])

    def running(self) -> str:
        """The address of the folder's stack, started first where it doesn't run."""
        return self.up() if Stack(self.folder).running_state() is None else Stack(self.folder).address().url

    def environment(self, name: str = "default") -> dict[str, str]:
        return Stack(self.folder, name).address().environment()

    def state(self, name: str = "default") -> dict[str, Any]:
        state: dict[str, Any] = json.loads((self.folder / ".qero" / "local" / name / "state.json").read_text())
        return state

    def has_state(self) -> bool:
        return (self.folder / ".qero" / "local" / "default" / "state.json").exists()

    def processes(self, name: str = "default") -> list[int]:
        state = self.state(name)
        return [state["supervisor_pid"], *state["pids"].values()]

    def is_being_started(self) -> bool:
        """Whether an `up` is at work."""
        with (self.folder / ".qero" / "local" / "default" / "start.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def add_workspace(self, slug: str, name: str = "default") -> None:
        self._execute(name, "insert into workspaces (slug, name) values (%s, 'W')", slug)

    def workspaces(self, name: str = "default") -> set[str]:
        return {slug for (slug,) in self._execute(name, "select slug from workspaces")}

    def has_table(self, table: str) -> bool:
        return self._execute("default", "select to_regclass(%s) is not null", table) == [(True,)]

    def _execute(self, name: str, query: str, *parameters: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.environment(name)["SUPABASE_DB_URL"], autocommit=True) as connection:
            cursor = connection.execute(query, parameters)  # type: ignore[arg-type,call-overload,unused-ignore]
            return cursor.fetchall() if cursor.description else []

    def remove(self) -> None:
        for begun in self._begun:
            begun.kill()
            begun.communicate()
        for home in (self.folder / ".qero" / "local").glob("*"):
            Stack(self.folder, home.name).remove()


def processes_of(folder: Path) -> list[str]:
    """Command lines that mention the folder: programs and supervisors of its stacks."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = " ".join(process.info["cmdline"] or [])
        if str(folder) in command or str(data_folder(folder / ".qero" / "local" / "default")) in command:
            found.append(command)
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A folder shared by tests that each make sure first that its stack runs."""
    project = Project(tmp_path_factory.mktemp("project"))
    yield project
    project.remove()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    yield project
    project.remove()


def test_before_up_there_is_nothing_and_every_command_says_so(fresh: Project) -> None:
    assert fresh.json("local", "status", exit_code=1) == {"running": False}
    refusal = fresh.refusal("local", "env")
    assert (refusal["code"], refusal["hint"]) == ("stack_not_running", "Start it with `qero local up`.")
    assert "It wasn't running" in fresh.qero("local", "down").stdout
    assert list(fresh.folder.iterdir()) == []


@pytest.mark.parametrize("name", ["../elsewhere", "", "-n", "a b", "ünï", "line\n", "n" * 51])
def test_a_name_that_can_not_be_a_folder_is_refused_with_what_can(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput) as error:
        Stack(tmp_path, name)

    assert (error.value.code, error.value.detail["field"]) == ("invalid_value", "name")
    assert "1 to 50 letters" in str(error.value.hint)
    Stack(tmp_path, "n" * 50)


def test_a_port_that_does_not_exist_is_wrong_usage(fresh: Project) -> None:
    for command in (("local", "up"), ("serve",)):
        for port in ("70000", "-1"):
            assert "Invalid value for '--port'" in fresh.qero(*command, "--port", port, exit_code=2).stderr
    assert list(fresh.folder.iterdir()) == []


def test_help_shows_the_exit_codes(fresh: Project) -> None:
    shown = " ".join(fresh.qero("--help").stdout.split())

    assert "Exit codes: 0 done" in shown
    assert "130 interrupted" in shown


def test_a_folder_that_can_not_be_written_is_named_with_a_remedy(fresh: Project) -> None:
    (fresh.folder / ".qero").write_text("a file, where a folder has to be")

    refusal, shown = fresh.refusal("local", "up"), fresh.qero("local", "up", exit_code=1).stderr

    assert refusal["code"] == "file_unusable"
    assert refusal["detail"]["path"].startswith(str(fresh.folder / ".qero"))
    assert "work in another folder" in refusal["hint"]
    assert "Traceback" not in shown
    assert str(fresh.folder) in shown


def test_up_starts_everything_and_up_again_changes_nothing(project: Project) -> None:
    url = project.up()
    before = project.state()

    assert project.up() == url

    assert project.state() == before
    assert set(before["pids"]) == PROGRAMS
    assert sorted(path.name for path in (ROOT / "supabase" / "migrations").glob("*.sql")) == before["migrations"]
    assert httpx.get(f"{url}/health").json() == {"status": "ready", "programs": sorted(PROGRAMS)}


def test_status_shows_where_it_runs(project: Project) -> None:
    url = project.running()

    status = project.json("local", "status")

    assert (status["running"], status["phase"], f"http://127.0.0.1:{status['port']}") == (True, "ready", url)
    assert set(status["pids"]) == PROGRAMS


def test_env_gives_what_a_program_needs(project: Project) -> None:
    url = project.running()

    exported = f'eval "$({sys.executable} -m qero local env --export)" && echo $SUPABASE_URL $SUPABASE_SECRET_KEY'
    shell = subprocess.run(["sh", "-c", exported], cwd=project.folder, capture_output=True, text=True, check=True)

    shown_url, key = shell.stdout.split()
    assert shown_url == url
    assert httpx.get(f"{url}/rest/v1/workspaces", headers={"apikey": key}).status_code == 200


def test_a_token_is_a_users_and_makes_the_user_once(project: Project) -> None:
    url = project.running()
    environment = project.environment()
    first, again = (project.json("local", "token", "ann@example.com")["access_token"] for _ in range(2))
    exported = project.qero("local", "token", "ann@example.com", "--export").stdout

    assert exported.startswith("export QERO_ACCESS_TOKEN='ey")
    for token in (first, again):
        headers = {"apikey": environment["SUPABASE_PUBLISHABLE_KEY"], "authorization": f"Bearer {token}"}
        assert httpx.get(f"{url}/auth/v1/user", headers=headers).json()["email"] == "ann@example.com"
    assert "--password" in project.refusal("local", "token", "ann@example.com", "--password", "another")["hint"]
    assert project.refusal("local", "token", "nobody")["detail"]["field"] == "EMAIL"


def test_who_isnt_signed_in_is_told_how(project: Project) -> None:
    project.running()
    (project.folder / ".env.local").write_text(project.qero("local", "env").stdout)
    for command in (("whoami",), ("inbox", "list", "acme"), ("chat", "list")):
        assert "QERO_ACCESS_TOKEN" in project.refusal(*command)["hint"]


def test_psql_is_an_ordinary_role_unless_the_superuser_is_asked_for(project: Project) -> None:
    project.running()
    query = "select current_user, rolsuper from pg_roles where rolname = current_user"

    assert project.qero("local", "psql", "-XAtc", query).stdout == "postgres|f\n"
    assert project.qero("local", "psql", "--admin", "-XAtc", query).stdout == "supabase_admin|t\n"


def test_logs_show_every_program_and_name_them_when_one_is_unknown(project: Project) -> None:
    project.running()

    logs, unknown = project.qero("local", "logs"), project.qero("local", "logs", "nonsense", exit_code=1)

    for program in (*PROGRAMS, "supervisor"):
        assert f"{program}.log" in logs.stderr.replace("\n", "")
        assert program in unknown.stderr


def test_secrets_are_closed_to_other_accounts(project: Project) -> None:
    project.running()

    home = project.folder / ".qero" / "local" / "default"
    assert (home / "keys.json").stat().st_mode & 0o077 == 0
    assert data_folder(home).stat().st_mode & 0o077 == 0
    keys = json.loads((home / "keys.json").read_text())
    shown = (home / "state.json").read_text() + "".join(processes_of(project.folder))
    assert [name for name, value in keys.items() if value in shown] == []
    assert (project.folder / ".qero" / ".gitignore").read_text() == "*\n"


def test_keys_address_and_data_survive_a_restart_even_by_two_people_at_once(project: Project) -> None:
    project.running()
    before, processes = project.environment(), project.processes()
    project.add_workspace("survivor")

    project.qero("local", "down")
    assert alive(processes) == []
    with ThreadPoolExecutor(2) as pool:
        urls = list(pool.map(lambda _: project.up(), range(2)))

    assert urls == [before["SUPABASE_URL"]] * 2
    assert project.environment() == before
    assert "survivor" in project.workspaces()
    supervisors = [line for line in processes_of(project.folder) if "qero.local.supervisor" in line]
    assert len(supervisors) == 1


def test_reset_empties_the_data_and_keeps_keys_and_address(project: Project) -> None:
    project.running()
    before = project.environment()
    project.add_workspace("casualty")

    assert project.json("local", "reset")["url"] == before["SUPABASE_URL"]

    assert project.environment() == before
    assert project.workspaces() == set()


def test_reset_and_removal_at_once_end_with_an_answer_each(fresh: Project) -> None:
    fresh.up()
    for pause in (0.0, 0.7, 1.2):
        reset = fresh.begin("local", "reset", "--json")
        time.sleep(pause)
        removal = fresh.begin("local", "down", "--remove")
        _, said = reset.communicate(timeout=60)
        out, complaint = removal.communicate(timeout=60)

        assert "Traceback" not in said + complaint
        assert removal.returncode == 0, out + complaint
        assert reset.returncode == 0 or json.loads(said)["error"]["code"] == "stack_start_failed"
    fresh.qero("local", "down", "--remove")
    assert processes_of(fresh.folder) == []
    assert list(fresh.folder.iterdir()) == []


@pytest.mark.parametrize("step", ["postgres", "migrations"])
def test_ctrl_c_ends_what_up_has_started_and_the_next_up_works(fresh: Project, step: str) -> None:
    starting = fresh.begin("local", "up")

    def is_there() -> bool:
        assert starting.poll() is None, starting.communicate()
        return fresh.has_state() and fresh.state()["step"] == step

    until(is_there, f"the stack is at {step}")
    state = fresh.state()

    starting.send_signal(signal.SIGINT)
    out, said = starting.communicate(timeout=60)

    assert (starting.returncode, out) == (130, "")
    assert said.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in said
    assert alive([state["supervisor_pid"], *state["pids"].values()]) == []
    until(lambda: processes_of(fresh.folder) == [], "nothing of the stack runs", seconds=5)
    assert fresh.json("local", "status", exit_code=1) == {"running": False}
    fresh.up()
    assert fresh.has_table("workspaces")


def test_up_names_the_folder_whose_migrations_it_pushed(fresh: Project) -> None:
    own = fresh.folder / "supabase" / "migrations"
    own.mkdir(parents=True)
    (own / "20990101000000_own.sql").write_text("create table public.own (id int primary key);\n")

    assert fresh.json("local", "up")["migrations_from"] == str(own)

    assert (fresh.has_table("own"), fresh.has_table("workspaces")) == (True, False)
    assert f"Migrations from {own}" in fresh.qero("local", "up").stdout
    assert fresh.json("local", "up", "--no-migrate")["migrations_from"] is None


def test_up_says_which_migrations_have_no_file_any_more(fresh: Project) -> None:
    own = fresh.folder / "supabase" / "migrations"
    own.mkdir(parents=True)
    gone, other = own / "20990101000000_gone.sql", own / "20990102000000_other.sql"
    for file in (gone, other):
        file.write_text("select 1;\n")
    fresh.up()
    gone.unlink()

    running = fresh.refusal("local", "up", exit_code=5)
    fresh.qero("local", "down")
    stopped = fresh.refusal("local", "up", exit_code=5)

    for refusal in (running, stopped):
        assert (refusal["code"], refusal["detail"]["versions"]) == ("migration_file_missing", ["20990101000000"])
        for remedy in ("Bring the files back", "`qero local reset`", "`qero local up --no-migrate`"):
            assert remedy in refusal["hint"]
    fresh.up("--no-migrate")
    fresh.qero("local", "reset")
    fresh.up()


def test_stacks_stand_side_by_side_and_each_is_removed_without_a_trace(project: Project, fresh: Project) -> None:
    with ThreadPoolExecutor(2) as pool:
        named, elsewhere = pool.submit(project.up, "--name", "second"), pool.submit(fresh.up)
        urls = {project.running(), named.result(), elsewhere.result()}
    environments = [project.environment(), project.environment("second"), fresh.environment()]
    assert len(urls) == 3
    for variable in environments[0]:
        assert len({environment[variable] for environment in environments}) == 3, f"{variable} is shared"

    project.add_workspace("only-here", "second")
    assert "only-here" not in project.workspaces() | fresh.workspaces()
    of_another = {"apikey": environments[2]["SUPABASE_SECRET_KEY"]}
    assert httpx.get(f"{environments[0]['SUPABASE_URL']}/rest/v1/workspaces", headers=of_another).status_code == 401

    second, data = project.processes("second"), data_folder(project.folder / ".qero" / "local" / "second")
    assert data.exists()
    project.qero("local", "down", "--name", "second", "--remove")
    assert alive(second) == []
    assert not data.exists()
    assert [home.name for home in (project.folder / ".qero" / "local").iterdir()] == ["default"]
    assert Stack(project.folder).running_state(), "the other stack of the folder went too"

    processes, data = fresh.processes(), data_folder(fresh.folder / ".qero" / "local" / "default")
    assert data.exists()
    fresh.qero("local", "down", "--remove")
    assert alive(processes) == []
    assert processes_of(fresh.folder) == []
    assert not data.exists()
    assert list(fresh.folder.iterdir()) == []


def test_a_port_in_use_is_named_with_a_remedy_and_nothing_stays(fresh: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        refusal = fresh.refusal("local", "up", "--port", str(port))

    assert (refusal["code"], refusal["detail"]) == ("port_in_use", {"port": port})
    assert refusal["hint"] == "Free it, or leave out --port to take a free one."
    assert processes_of(fresh.folder) == []
    assert not data_folder(fresh.folder / ".qero" / "local" / "default").exists()


def test_a_broken_migration_is_named_and_leaves_nothing_half_done(fresh: Project) -> None:
    migrations = fresh.folder / "supabase" / "migrations"
    shutil.copytree(ROOT / "supabase" / "migrations", migrations)
    broken = migrations / "20990101000000_broken.sql"
    broken.write_text("create table public.half_done (id int primary key);\nselect no_such_column from workspaces;\n")

    refusal = fresh.refusal("local", "up", exit_code=7)

    assert refusal["code"] == "migration_failed"
    assert broken.name in refusal["detail"]["output"]
    assert "no_such_column" in refusal["detail"]["output"]
    assert refusal["hint"]
    assert processes_of(fresh.folder) == []
    assert Stack(fresh.folder).running_state() is None

    broken.write_text("create table public.whole (id int primary key);\n")
    fresh.up()
    assert (fresh.has_table("half_done"), fresh.has_table("whole")) == (False, True)
    assert fresh.state()["migrations"] == [broken.name], "what was pushed before the broken one stayed pushed"

    (migrations / "20990102000000_later.sql").write_text("create table public.later (id int primary key);\n")
    fresh.up()
    assert fresh.has_table("later"), "`up` pushes to a running stack too"


def test_a_killed_supervisor_takes_everything_along_and_the_next_up_works(project: Project) -> None:
    url = project.running()
    processes = project.processes()
    project.add_workspace("unharmed")

    # One that is killed lives on for a moment, in which it looks as if the stack were running.
    os.kill(processes[0], signal.SIGSTOP)
    with ThreadPoolExecutor(1) as pool:
        up = pool.submit(project.up)
        until(lambda: project.is_being_started() or up.done(), "`up` looks at the stack")
        os.kill(processes[0], signal.SIGKILL)

    assert up.result() == url
    assert alive(processes) == []
    assert "unharmed" in project.workspaces()
    again = project.processes()
    os.kill(again[0], signal.SIGKILL)
    until(lambda: not alive(again), f"every process of {project.state()['pids']} ends", seconds=5)
    assert Stack(project.folder).running_state() is None


def test_a_program_that_dies_is_started_again(project: Project) -> None:
    url = project.running()
    key = {"apikey": project.environment()["SUPABASE_SECRET_KEY"]}
    before = project.state()["pids"]

    for program in ("postgrest", "auth"):
        os.kill(before[program], signal.SIGKILL)

    def both_are_new() -> bool:
        now = project.state()["pids"]
        return all(now[program] != before[program] for program in ("postgrest", "auth"))

    until(both_are_new, "both are started again")
    for path in ("rest/v1/workspaces", "auth/v1/settings"):
        until(lambda path=path: httpx.get(f"{url}/{path}", headers=key).status_code == 200, f"{path} answers")  # type: ignore[misc]


def test_the_database_answers_only_with_the_password(project: Project) -> None:
    project.running()
    url = urlsplit(project.environment()["SUPABASE_DB_URL"])

    for role in ("postgres", "supabase_admin", "authenticator"):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(
                host=url.hostname, port=url.port, user=role, password="wrong", dbname="postgres", sslmode="disable"
            )


WITHOUT_PSUTIL = """
import sys

class NoPsutil:
    def find_spec(self, name, path=None, target=None):
        if name == "psutil":
            raise ModuleNotFoundError("No module named 'psutil'", name="psutil")

sys.meta_path.insert(0, NoPsutil())
from qero.cli import main
main()
"""


def test_without_the_extra_the_command_says_what_to_install(tmp_path: Path) -> None:
    bare = Project(tmp_path, (sys.executable, "-c", WITHOUT_PSUTIL))

    refusal = bare.refusal("local", "up", exit_code=10)

    assert (refusal["code"], refusal["message"]) == ("tool_missing", "The local stack needs psutil.")
    assert refusal["hint"] == "Run `pip install 'qero[local]'`."
    assert "Usage" in bare.qero("local", "--help").stdout, "the rest of the command works"


def interpreter_for_everybody() -> Path | None:
    """A Python of this version that an ordinary account may run, when the tests run as root."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam("nobody")
    account = Account(entry.pw_name, entry.pw_uid, entry.pw_gid)
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (
        Path(sys.executable).resolve(),
        *(Path(folder) / name for folder in ("/usr/bin", "/usr/local/bin")),
    ):
        if candidate.exists() and can_reach(account, candidate.resolve()) and can_reach(account, ROOT):
            return candidate
    return None


# An ordinary user's run has shown it already, in every other test.
if (python := interpreter_for_everybody()) is not None:

    def test_an_ordinary_user_runs_a_stack() -> None:
        nobody = pwd.getpwnam("nobody")
        with tempfile.TemporaryDirectory(prefix="qero-nobody-") as temporary:
            folder = Path(temporary)
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            project = Project(
                folder, (str(python), "-m", "qero"), user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[],
                env={
                    "HOME": str(folder),
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": os.pathsep.join([str(ROOT), sysconfig.get_path("purelib")]),
                    "QERO_CACHE_DIR": os.environ.get("QERO_CACHE_DIR", "/var/cache/qero"),
                },
            )  # fmt: skip
            try:
                url = project.up()
                assert {psutil.Process(pid).username() for pid in project.processes()} == {"nobody"}
                key = {"apikey": project.environment()["SUPABASE_SECRET_KEY"]}
                assert httpx.get(f"{url}/rest/v1/workspaces", headers=key).json() == []
                assert (folder / ".qero" / "local" / "default" / "postgres" / "PG_VERSION").exists()
                processes = project.processes()
                project.qero("local", "down", "--remove")
                assert alive(processes) == []
            finally:
                project.remove()
