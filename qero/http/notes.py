"""Notes that a team keeps about its contacts."""

from __future__ import annotations

from uuid import UUID

from qero.http.callers import Input, User
from qero.http.lists import Limit
from qero.http.problems import refusals
from qero.http.routing import Router
from qero.models.contact import Note
from qero.services.notes import Notes

router = Router(prefix="/api", tags=["notes"])


class NoteText(Input):
    body: str
    """1 to 10,000 characters."""


@router.get("/contacts/{id}/notes", responses=refusals(Notes.list))
async def list_notes(user: User, id: UUID, limit: Limit = 50) -> list[Note]:
    """The latest notes about a contact; none of a foreign one."""
    return await Notes(user).list(id, limit=limit)


@router.post("/contacts/{id}/notes", status_code=201, responses=refusals(Notes.add, writes=True))
async def add_note(user: User, id: UUID, note: NoteText) -> Note:
    """Adds a note about a contact."""
    return await Notes(user).add(id, note.body)


@router.patch("/notes/{id}", responses=refusals(Notes.update, writes=True))
async def update_note(user: User, id: UUID, note: NoteText) -> Note:
    """Changes a note of the caller's own."""
    return await Notes(user).update(id, note.body)


@router.delete("/notes/{id}", status_code=204, responses=refusals(Notes.delete, writes=True))
async def delete_note(user: User, id: UUID) -> None:
    """Deletes a note."""
    await Notes(user).delete(id)
