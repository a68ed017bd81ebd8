"""A workspace with all that routes are about, and who asks for it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import jwt

from qero import (
    CannedResponses,
    Chats,
    Contacts,
    ContactSettingsPatch,
    Leads,
    Notes,
    Operators,
    SavedViews,
    Threads,
    Tokens,
)
from qero.models.workspace import Workspace
from tests.services.people import candidate_of, contact_of
from tests.support import User, World


def expired(world: World, user: User) -> str:
    """The user's token as it will be when its time is over."""
    claims = jwt.decode(user.access_token, options={"verify_signature": False})
    return jwt.encode({**claims, "exp": int(time.time()) - 60}, world.settings.require("jwt_secret"), "HS256")


@dataclass(frozen=True)
class Office:
    """Olga owns it, Bob is a member, Vera a viewer; Mallory has a workspace of her own, Oscar operates the platform."""

    world: World
    workspace: Workspace
    olga: User
    bob: User
    vera: User
    mallory: User
    oscar: User
    mark: str
    """In every text of the workspace."""
    fixed: dict[str, str]

    @classmethod
    async def open(cls, world: World) -> Office:
        workspace = await world.workspace(bob="member", vera="viewer")
        await world.workspace(owner="mallory")
        people = {name: await world.user(name) for name in ("olga", "bob", "vera", "mallory", "oscar")}
        await Operators(world.service).add(people["oscar"].email)
        mark = f"mark{uuid4().hex[:12]}"
        number = await world.number(workspace)
        thread = await world.thread(number, text=f"Hello {mark}")
        [message] = await Threads(world.service).messages(thread)
        tokens = Tokens(world.service)
        await tokens.apply(workspace.id, 1000, "welcome")
        held, held_too = [await tokens.reserve(workspace.id, 5, "summary", seconds=3600) for _ in range(2)]
        fixed = {name: str(people[name].id) for name in ("olga", "vera")} | {
            "workspace": workspace.slug,
            "workspace_id": str(workspace.id),
            "thread": str(thread.id),
            "wa_message": str(message.id),
            "connection": str(number.connection.id),
            "held": str(held.id),
            "held_too": str(held_too.id),
            "colleague": (await world.user("colleague")).email,
        }
        return cls(world, workspace, **people, mark=mark, fixed=fixed)

    async def fresh(self) -> dict[str, str]:
        """Rows that nobody has touched, by the names that paths and bodies call them."""
        bob, workspace_id = self.bob.client, self.workspace.id
        contact = await contact_of(self.bob, self.workspace, name=f"Ada {self.mark}")
        twin = await contact_of(self.bob, self.workspace, name=f"Ada too {self.mark}")
        candidate = await candidate_of(self.bob, self.workspace, name=f"Cleo {self.mark}")
        due = datetime.now(UTC) + timedelta(days=1)
        await Contacts(bob).set_settings(contact.id, ContactSettingsPatch(follow_up_at=due))
        note = await Notes(bob).add(contact.id, f"Likes {self.mark}")
        others = [self.olga.id, self.vera.id]
        chat = await Chats(bob).create(workspace_id, "group", f"Desk {self.mark}", member_ids=others)
        channel = await Chats(self.olga.client).create(
            workspace_id, "channel", f"News {self.mark}", member_ids=[self.bob.id]
        )
        [lead] = await Leads(bob).create(workspace_id, [twin.id])
        view = await SavedViews(bob).create(workspace_id, f"View {uuid4().hex[:8]} {self.mark}")
        canned = await CannedResponses(bob).save(workspace_id, uuid4().hex[:8], f"Hours {self.mark}")
        message = await Chats(bob).send(chat.id, f"Morning {self.mark}")
        return {
            **self.fixed,
            "contact": str(contact.id),
            "twin": str(twin.id),
            "candidate": str(candidate.id),
            "note": str(note.id),
            "lead": str(lead.id),
            "view": str(view.id),
            "canned": str(canned.id),
            "shortcut": canned.shortcut,
            "chat": str(chat.id),
            "channel": str(channel.id),
            "message": str(message.id),
        }

    async def everything(self) -> list[tuple[Any, ...]]:
        """Every row of the workspace, as the tables' owner sees them."""
        return await everything(self.world, self.workspace.id)


async def everything(world: World, workspace_id: UUID) -> list[tuple[Any, ...]]:
    """Every row of every table that belongs to the workspace."""
    tables = await world.rows(
        """
        select columns.table_name from information_schema.columns
        join information_schema.tables using (table_schema, table_name)
        where table_schema = 'public' and column_name = 'workspace_id' and table_type = 'BASE TABLE' order by 1
        """
    )
    query = " union all ".join(
        f"select '{name}', to_jsonb({name})::text from public.{name} where workspace_id = %s" for (name,) in tables
    )
    return await world.rows(f"{query} order by 1, 2", *[workspace_id] * len(tables))
