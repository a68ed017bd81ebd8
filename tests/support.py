"""What tests build their world from: users with real tokens, workspaces, connected numbers, webhooks from Meta."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg

from qero import Clients, Connections, SecretBox, ServiceClient, Settings, UserClient, Workspaces
from qero.clients.rpc import execute
from qero.local import graph
from qero.models.webhook import IngestOutcome
from qero.models.whatsapp import Connection, Thread
from qero.models.workspace import Role, Workspace
from qero.services.webhooks import Webhooks

APP_SECRET = "the-app-secret-of-the-tests"
VERIFY_TOKEN = "the-verify-token-of-the-tests"
PASSWORD = "correct horse battery staple"

EMPTY_OUTBOX = """
with cancelled as (update outbox_messages set status = 'cancelled' where status = 'queued'),
  ready as (delete from private.outbox_ready), waiting as (delete from private.outbox_waiting),
  lines as (delete from private.outbox_lines), leases as (delete from private.outbox_leases)
update private.outbox_lanes set paused_until = '-infinity', pause_count = 0, next_at_microseconds = 0 returning 1
"""
"""Nothing is queued or in a worker's hands any more: a worker serves every workspace, those of other tests too."""

HURRY = """
with lanes as (update private.outbox_lanes set paused_until = least(paused_until, now())),
  moved as (update private.outbox_ready set run_at = now() where run_at > now() returning id)
update outbox_messages as outbox set scheduled_at = now() from moved where outbox.id = moved.id returning outbox.id
"""
"""Makes everything due that waits for its time."""


async def waits_for_a_lock(world: World, connection: psycopg.AsyncConnection[Any]) -> bool:
    """Whether a statement on that connection waits for somebody's lock."""
    return bool(await world.scalar("select cardinality(pg_blocking_pids(%s)) > 0", connection.info.backend_pid))


def digits(count: int) -> str:
    """A random number of that many digits, without a leading zero."""
    return str(secrets.randbelow(9 * 10 ** (count - 1)) + 10 ** (count - 1))


@dataclass(frozen=True)
class User:
    id: UUID
    email: str
    access_token: str = field(repr=False)
    client: UserClient = field(repr=False)


@dataclass(frozen=True)
class Number:
    """A connected WhatsApp number, as we know it and as Meta does."""

    connection: Connection
    at_meta: graph.Number


class World:
    """Makes what a test needs, each with names and ids of its own, so that tests never meet."""

    def __init__(self, settings: Settings, clients: Clients, database: psycopg.AsyncConnection[Any]) -> None:
        self.settings = settings
        self.clients = clients
        self.database = database
        self.secrets = SecretBox.from_settings(settings)
        self._users: dict[str, User] = {}

    @property
    def service(self) -> ServiceClient:
        return self.clients.service()

    async def user(self, name: str) -> User:
        """The user of that name, signed up on first use."""
        if name not in self._users:
            self._users[name] = await self._sign_up(name)
        return self._users[name]

    async def _sign_up(self, name: str) -> User:
        email = f"{name}-{uuid4().hex[:12]}@example.com"
        created = await self.service.auth.admin.create_user(
            {"email": email, "password": PASSWORD, "email_confirm": True, "user_metadata": {"full_name": name.title()}}
        )
        token = (await self.sign_in(email))["access_token"]
        return User(UUID(created.user.id), email, token, await self.clients.user(token))

    async def sign_in(self, email: str) -> dict[str, Any]:
        answer = await self.clients.http.post(
            f"{self.settings.supabase_url}/auth/v1/token",
            params={"grant_type": "password"},
            headers={"apikey": self.settings.require("publishable_key")},
            json={"email": email, "password": PASSWORD},
        )
        answer.raise_for_status()
        session: dict[str, Any] = answer.json()
        return session

    async def workspace(self, *, owner: str = "olga", **members: Role) -> Workspace:
        """A workspace of `owner`, with further members by name: `workspace(owner="olga", bob="viewer")`."""
        workspace = await Workspaces((await self.user(owner)).client).create(f"w-{uuid4().hex[:12]}", "Acme")
        for name, role in members.items():
            user = await self.user(name)
            row = {"workspace_id": str(workspace.id), "user_id": str(user.id), "role": role}
            await self.service.table("workspace_memberships").insert(row).execute()
        return workspace

    async def number(
        self, workspace: Workspace, *, phone_number_id: str | None = None, waba_id: str | None = None
    ) -> Number:
        at_meta = self.number_at_meta(phone_number_id, waba_id)
        connection = await Connections(self.service, self.secrets).connect(
            workspace.id,
            waba_id=at_meta.waba_id,
            phone_number_id=at_meta.phone_number_id,
            access_token=at_meta.access_token,
            display_phone_number=at_meta.display_phone_number,
        )
        return Number(connection, at_meta)

    def number_at_meta(self, phone_number_id: str | None = None, waba_id: str | None = None) -> graph.Number:
        """A number that exists at Meta and is connected to no workspace."""
        return graph.Number(
            phone_number_id or digits(15), f"EAA{uuid4().hex}", f"1555{digits(7)}", waba_id or digits(15)
        )

    async def receive(self, webhook: dict[str, Any]) -> list[IngestOutcome]:
        """Post a webhook the way Meta does: encoded and signed."""
        body = graph.encode(webhook)
        return await Webhooks(self.service).receive(body, graph.sign(body, APP_SECRET), APP_SECRET)

    async def thread(self, number: Number, *, text: str = "Hello", sender: str | None = None) -> Thread:
        """The thread of a customer who has just written."""
        sender = sender or f"+{digits(11)}"
        [outcome] = await self.receive(graph.text_webhook(number.at_meta, sender, text))
        assert outcome.outcome in ("recorded", "deduped"), outcome
        query = (
            self.service.table("wa_threads")
            .select("*, contacts!inner(phone)")
            .eq("connection_id", str(number.connection.id))
            .eq("contacts.phone", sender)
        )
        [thread] = await execute(self.service, query, list[Thread], operation="thread")
        return thread

    async def thread_of(self, number: Number, sender: str) -> Thread:
        """The thread in which that sender's next message arrives, by whatever number the contact goes."""
        text = uuid4().hex
        [outcome] = await self.receive(graph.text_webhook(number.at_meta, sender, text))
        assert outcome.outcome == "recorded", outcome
        query = self.service.table("wa_threads").select("*, wa_messages!inner(body)").eq("wa_messages.body", text)
        [thread] = await execute(self.service, query, list[Thread], operation="thread_of")
        return thread

    async def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows as the owner of the tables sees them, for looking at the outcome."""
        return await (await self.database.execute(query, parameters)).fetchall()  # type: ignore[arg-type,call-overload,no-any-return,unused-ignore]

    async def scalar(self, query: str, *parameters: Any) -> Any:
        [[value]] = await self.rows(query, *parameters)
        return value

    async def until_waiting(self, count: int = 1) -> None:
        """Returns once so many connections wait for a lock that another one holds."""
        for _ in range(500):
            waiting = await self.scalar("select count(*) from pg_stat_activity where pg_blocking_pids(pid) <> '{}'")
            if waiting >= count:
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{waiting} waited, not {count}")


async def post_rpc(
    http: httpx.AsyncClient, settings: Settings, name: str, token: str, **arguments: Any
) -> httpx.Response:
    """Call an RPC over plain HTTP, past every check that Python might make."""
    return await http.post(
        f"{settings.supabase_url}/rest/v1/rpc/{name}",
        headers={"apikey": settings.require("publishable_key"), "authorization": f"Bearer {token}"},
        json=arguments,
    )
