"""The database a hosted Supabase project starts with, as SQL for a fresh Postgres 15, 16 or 17.

`BOOTSTRAP` is the order in which the superuser `supabase_admin` runs the files, each safe to run again:

- `roles.sql`: the roles, their memberships and settings; the database goes to `postgres`, a non-superuser
- `schemas.sql`: extensions, the empty publication `supabase_realtime`, PostgREST's reload on DDL
- `auth.sql`: schema `auth`: users, sessions, identities, and `auth.uid()` and its kin
- `storage.sql`: schema `storage`, so that migrations with buckets and storage policies apply
- `realtime.sql`: schema `realtime`: messages, `send`, `broadcast_changes`

`DEFAULT_GRANTS` comes after them, only where new objects in `public` are to be granted to the API roles
automatically, as older hosted projects do. Without it nothing is granted, as on new ones.

No file sets a password: whoever runs them does (`alter role … password`), for `postgres`, `authenticator` and
`supabase_auth_admin`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent

BOOTSTRAP = ("roles.sql", "schemas.sql", "auth.sql", "storage.sql", "realtime.sql")
DEFAULT_GRANTS = "default_grants.sql"
