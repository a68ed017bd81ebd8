"""The parameters that lists share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from qero.models.contact import PeopleSort

Sort = Annotated[PeopleSort, Query(description="The newest first, or by name.")]
Descending = Annotated[bool | None, Query(description="The other way round, or not.")]
After = Annotated[str | None, Query(max_length=2000, description="The `next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=200, description="How many at most.")]
LongLimit = Annotated[int, Query(ge=1, le=1000, description="How many at most.")]
