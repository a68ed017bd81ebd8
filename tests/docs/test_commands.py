"""Every command that the documents print is one that there is, and does as printed what its line says.

`a | b | c` behind a command names several of them, which differ in their last word.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import pkgutil
import re
import shlex
import signal
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer

import qero.cli
from qero import (
    CannedResponses,
    Chats,
    Clients,
    LeadQueue,
    Leads,
    QueueSettingsPatch,
    SecretBox,
    Templates,
    TemplateSync,
    Workspaces,
)
from qero.clients.graph import GraphClient
from qero.local.graph import GraphStandIn, encode, text_webhook
from qero.local.graph_templates import TemplateAtMeta
from qero.local.processes import free_port
from qero.local.stack import Stack
from tests.services.people import contact_of
from tests.support import APP_SECRET, VERIFY_TOKEN, World

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "examples" / "pwa" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
]  # fmt: skip


def printed() -> list[str]:
    """Every line of a console block behind its prompt, once."""
    blocks = [
        block
        for document in DOCUMENTS
        for block in re.findall(r"^ *```console\n(.*?)^ *```", document.read_text(), re.MULTILINE | re.DOTALL)
    ]
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return list(dict.fromkeys(line.removeprefix("$ ") for line in lines if line.startswith("$ ")))


def commands(line: str) -> Iterator[list[str]]:
    """The commands of a line, each as its words, without what the shell does with their output."""
    for command in line.split(" && "):
        words = shlex.split(command, comments=True)
        while re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        words = words[: words.index(">")] if ">" in words else words
        first = words.index("|") if "|" in words else len(words)
        yield words[:first]
        for name in words[first + 1 :: 2]:
            yield [*words[: first - 1], name]


LINES = printed()
ALTERNATIVES = [line for line in LINES if " | " in line]
ELSEWHERE = {
    "scripts/demo": "it is run by itself",
    "scripts/test": "it is what runs this",
    "scripts/proof access": "it takes minutes",
    "scripts/proof advisors": "as above",
    "scripts/proof pythons": "as above",
    "make lock": "it asks a package index",
    "pip install '.[local,http]'": "the environment of the tests is made so",
    "npm install": "tests/browser serves the page, with the packages it needs",
    "python3 -m http.server 8088": "as above",
    "docker build -t qero .": "Docker isn't everywhere",
    "docker run --env-file .env -p 8000:8000 qero": "Docker isn't everywhere",
    "docker run --env-file .env qero qero worker": "Docker isn't everywhere",
    "export QERO_ACCESS_TOKEN=…": "it is set for all of them but the one before",
    "qero db restore": "tests/ops/test_backup.py has databases that may be restored",
    "qero db restore .qero/backups/20260131T… --replace": "as above",
}
"""What isn't run here, and why."""


def plain(line: str) -> str:
    """The line without its comment."""
    return re.sub(r"\s+# .*", "", line)


@pytest.mark.parametrize("line", [line for line in LINES if "qero" in line])
def test_the_command_line_knows_every_command_and_option(
    command_line: Any, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("webhook.json", "people.csv", "mend.sql"):
        (tmp_path / name).touch()
    for words in commands(line):
        if words[0] != "qero":
            continue
        if line in ALTERNATIVES:
            words = [*words, "--help"]
        words = [re.sub(r"^\w+…$|^LEAD$", "6f9c5d0e-0000-4000-8000-000000000000", word) for word in words]
        assert command_line.main(words[1:], prog_name="qero", standalone_mode=False) in (None, 0), line


@pytest.fixture(scope="module")
def command_line() -> Any:
    """All of it as it is, but for what its commands do."""
    # A command in use loads its own part only.
    for module in pkgutil.walk_packages(qero.cli.__path__, "qero.cli."):
        importlib.import_module(module.name)
    return without_effect(typer.main.get_command(qero.cli.app))


def without_effect(command: Any) -> Any:
    command.callback = None
    for each in getattr(command, "commands", {}).values():
        without_effect(each)
    return command


def test_what_is_not_run_here_is_there() -> None:
    makefile = (ROOT / "Makefile").read_text()
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for line in map(plain, LINES):
        words = shlex.split(line)
        if words[0].startswith("scripts/"):
            assert os.access(ROOT / words[0], os.X_OK)
        elif words[0] == "make":
            assert f"\n{words[1]}:" in makefile
        elif words[0] == "pip":
            assert set(re.findall(r"\w+", words[2])) <= extras.keys() | {"qero"}
    assert ELSEWHERE.keys() <= {plain(line) for line in LINES}


# --- As a newcomer, in a folder of one's own ---


@dataclass(frozen=True)
class Newcomer:
    folder: Path
    env: dict[str, str]
    names: dict[str, str]
    """What stands for the ids that the documents shorten."""

    async def run(self, line: str) -> tuple[int, str]:
        """What the shell makes of the line, and all it wrote. What runs until it is told to end is told so when it has
        written something."""
        for name, value in self.names.items():
            line = line.replace(name, value)
        env = {name: value for name, value in self.env.items() if name != "QERO_ACCESS_TOKEN" or not by_service(line)}
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", f"set -o pipefail; {'exec env ' if endless(line) else ''}{line}", cwd=self.folder, env=env,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        written = b""
        if endless(line):
            written = await asyncio.wait_for(process.stdout.readline(), 30)
            process.send_signal(signal.SIGINT)
        rest, _ = await asyncio.wait_for(process.communicate(b"y\n" * 3), 120)
        assert process.returncode is not None
        return process.returncode, (written + rest).decode()


def by_service(line: str) -> bool:
    return line.startswith("qero ops owners add")


def endless(line: str) -> bool:
    return "--watch" in line or "chat follow" in line or line.endswith("qero worker")


@pytest.fixture(scope="module")
async def newcomer(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Newcomer]:
    folder = tmp_path_factory.mktemp("newcomer")
    port = free_port()
    env = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(folder), "COLUMNS": "200",
        "QERO_SECRET_KEYS": SecretBox.generate_key(), "META_APP_SECRET": APP_SECRET, "META_VERIFY_TOKEN": VERIFY_TOKEN,
        "PORT": str(port),
    }  # fmt: skip
    started = Newcomer(folder, env, {})
    for line in ("qero local up", "qero local env > .env.local"):
        code, said = await started.run(line)
        assert code == 0, said
    try:
        settings = Stack(folder, "default").address().settings(
            meta_app_secret=APP_SECRET, meta_verify_token=VERIFY_TOKEN, secret_keys=env["QERO_SECRET_KEYS"]
        )  # fmt: skip
        async with (
            GraphStandIn.serve() as graph,
            Clients(settings) as clients,
            await psycopg.AsyncConnection.connect(settings.require("db_url"), autocommit=True) as database,
        ):
            ready = await furnished(World(settings, clients, database), graph, folder)
            env |= {"META_GRAPH_URL": graph.url, "QERO_ACCESS_TOKEN": ready.pop("token")}
            server = await asyncio.create_subprocess_exec(
                "qero", "serve", cwd=folder, env=env, stderr=asyncio.subprocess.PIPE
            )
            assert server.stderr is not None
            await asyncio.wait_for(server.stderr.readline(), 20)
            yield Newcomer(folder, env, {**ready, "localhost:8000": f"localhost:{port}"})
            server.send_signal(signal.SIGTERM)
            await server.communicate()
    finally:
        await started.run("qero local down")


async def furnished(world: World, graph: GraphStandIn, folder: Path) -> dict[str, str]:
    """A workspace with all that the documents speak of: the names they give it, and what those stand for."""
    olga = await world.user("olga")
    acme = await Workspaces(olga.client).create("acme", "Acme")
    number = await world.number(acme)
    graph.add_number(number.at_meta)
    thread = await world.thread(number, sender="+4915112345678")
    await world.rows("update wa_threads set tags = '{vip}' where id = %s returning id", thread.id)
    body = {"type": "BODY", "text": "Hi {{1}}"}
    graph.templates.add(number.at_meta.waba_id, TemplateAtMeta("hello", components=[body]))
    await TemplateSync(
        world.service, GraphClient(world.clients.http, base_url=graph.url, version="v26.0"), world.secrets
    ).sync(acme.id)
    [template] = await Templates(olga.client).list(acme.id)
    contact = await contact_of(olga, acme, name="Ada")
    [lead] = await Leads(olga.client).create(acme.id, [contact.id])
    step = {"template": {"name": "hello", "language": {"code": "en"}}}
    await LeadQueue(olga.client).settings(acme.id, QueueSettingsPatch(steps=[step]))
    await CannedResponses(olga.client).save(acme.id, "hi", "Hi!")
    chat = await Chats(olga.client).create(acme.id, "group", "Desk")
    await Chats(olga.client).send(chat.id, "Morning")
    queued = await world.scalar(
        """
        insert into outbox_messages
          (workspace_id, channel, connection_id, thread_id, recipient, payload, idempotency_key)
        values (%s, 'whatsapp', %s, %s, '+4915112345678', '{"type": "text", "text": {"body": "Hi"}}', 'k') returning id
        """,
        acme.id, number.connection.id, thread.id,
    )  # fmt: skip
    (folder / "webhook.json").write_bytes(encode(text_webhook(number.at_meta, "+4915112345678", "Hello")))
    (folder / "people.csv").write_text("name,phone\nGrace,0151 2345679\n")
    (folder / "mend.sql").write_text("set lock_timeout = '5s';\n")
    return {
        "token": olga.access_token,
        "you@example.com": olga.email,
        "chat follow 6f9c…": f"chat follow {chat.id}",
        "6f9c…": str(thread.id),
        "17aa…": str(template.id),
        "2c41…": str(queued),
        "LEAD": str(lead.id),
        "15550100001": number.at_meta.display_phone_number,
    }


INTERRUPTED = 130
RUN = [line for line in LINES if line not in ALTERNATIVES and plain(line) not in ELSEWHERE]
RUN.sort(key=lambda line: line.startswith("qero local down"))


@pytest.mark.parametrize("line", RUN)
async def test_a_command_runs_as_it_is_printed(newcomer: Newcomer, line: str) -> None:
    code, said = await newcomer.run(line)

    assert code in ((0, INTERRUPTED) if endless(line) else (0,)), said
    assert "Traceback" not in said
