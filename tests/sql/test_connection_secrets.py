"""Where a connection's encrypted token is kept: in the table, or in Supabase Vault where the database has it.

The Vault is an extension that the local stack can't install. Where it is missing, these tests make a stand-in for it,
inside a transaction that is rolled back: schema `vault` with the extension's table, view and functions as version 0.3
documents them, owned by a role of its own, with the grants that hosted projects give, and with AES by pgcrypto in the
place of the extension's own encryption. Against a database that has the Vault, they use the real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, LiteralString
from uuid import UUID, uuid4

import psycopg
import pytest

from tests.sql.conftest import RolledBack
from tests.support import digits

Connection = psycopg.Connection[Any]

VAULT: LiteralString = """
create role vault_stand_in_owner;
do $$
begin
  execute 'grant vault_stand_in_owner to current_user' || case
    when current_setting('server_version_num')::integer >= 160000 then ' with inherit false, set true' else '' end;
end $$;
create schema vault authorization vault_stand_in_owner;
grant usage on schema extensions to vault_stand_in_owner;
set local role vault_stand_in_owner;
create table vault.secrets (
  id uuid primary key default gen_random_uuid(),
  name text,
  description text not null default '',
  secret text not null,
  key_id uuid,
  nonce bytea default sha256(gen_random_uuid()::text::bytea),
  created_at timestamptz not null default current_timestamp,
  updated_at timestamptz not null default current_timestamp
);
create unique index on vault.secrets (name) where name is not null;
create function vault._crypto_aead_det_decrypt(
  message bytea, additional bytea, key_id bigint, context bytea default 'pgsodium', nonce bytea default null
) returns bytea
language sql immutable as $$ select extensions.decrypt(message, sha256(additional || nonce || context), 'aes') $$;
create view vault.decrypted_secrets as
select secrets.id, secrets.name, secrets.description, secrets.secret,
  convert_from(
    vault._crypto_aead_det_decrypt(
      decode(secrets.secret, 'base64'), convert_to(secrets.id::text, 'utf8'), 0, 'pgsodium', secrets.nonce),
    'utf8') as decrypted_secret,
  secrets.key_id, secrets.nonce, secrets.created_at, secrets.updated_at
from vault.secrets;
create function vault.wrapped(text, uuid, bytea) returns text
language sql immutable as $$
  select encode(
    extensions.encrypt(
      convert_to($1, 'utf8'), sha256(convert_to($2::text, 'utf8') || $3 || 'pgsodium'::bytea), 'aes'),
    'base64')
$$;
create function vault.create_secret(
  new_secret text, new_name text default null, new_description text default '', new_key_id uuid default null
) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  v_id uuid;
begin
  insert into vault.secrets (secret, name, description) values (new_secret, new_name, new_description)
  returning id into v_id;
  update vault.secrets set secret = vault.wrapped(new_secret, id, nonce) where id = v_id;
  return v_id;
end $$;
create function vault.update_secret(
  secret_id uuid, new_secret text default null, new_name text default null, new_description text default null,
  new_key_id uuid default null
) returns void
language plpgsql security definer set search_path = '' as $$
begin
  update vault.secrets
  set secret = coalesce(vault.wrapped(new_secret, id, nonce), secret), name = coalesce(new_name, name),
    description = coalesce(new_description, description), updated_at = now()
  where id = secret_id;
end $$;
revoke all on all functions in schema vault from public;
grant usage on schema vault to postgres, service_role;
grant select, delete on vault.secrets, vault.decrypted_secrets to postgres, service_role;
grant execute on function vault.create_secret, vault.update_secret, vault._crypto_aead_det_decrypt
  to postgres, service_role;
reset role;
"""
NUMBER: LiteralString = """
with workspace as (
  insert into public.workspaces (slug, name) values ('w-' || left(md5(random()::text), 12), 'Acme') returning id
)
insert into public.wa_phone_numbers (workspace_id, waba_id, phone_number_id) select id, %s, %s from workspace
returning id, workspace_id
"""


def one(connection: Connection, query: LiteralString, *parameters: Any) -> Any:
    row = connection.execute(query, parameters).fetchone()
    return None if row is None else row[0] if len(row) == 1 else row


@contextmanager
def as_service(connection: Connection) -> Iterator[None]:
    """As the API calls: the role, and nothing of the owner's rights."""
    connection.execute("set local role service_role")
    yield
    connection.execute("reset role")


def store(connection: Connection, connection_id: UUID, ciphertext: str) -> None:
    with as_service(connection):
        connection.execute("select private.store_connection_secret(%s, %s)", [connection_id, ciphertext])


def read(connection: Connection, connection_id: UUID) -> Any:
    with as_service(connection):
        return one(connection, "select private.connection_secret(%s)", connection_id)


def kept(connection: Connection, connection_id: UUID) -> tuple[Any, Any]:
    """The ciphertext in the table, and the id in the Vault."""
    row: tuple[Any, Any] = one(
        connection,
        "select access_token_ciphertext, vault_secret_id from private.wa_connection_secrets where connection_id = %s",
        connection_id,
    )
    return row


def number(connection: Connection) -> tuple[UUID, UUID]:
    row: tuple[UUID, UUID] = one(connection, NUMBER, digits(15), digits(15))
    return row


@pytest.fixture
def without_vault(rolled_back: RolledBack) -> Iterator[Connection]:
    with rolled_back() as connection:
        if one(connection, "select to_regnamespace('vault') is not null"):
            connection.execute(
                "create or replace function private.has_vault() returns boolean"
                " language sql stable set search_path = '' as 'select false'"
            )
        yield connection


@pytest.fixture
def with_vault(rolled_back: RolledBack) -> Iterator[Connection]:
    with rolled_back() as connection:
        if one(connection, "select to_regnamespace('vault') is null"):
            connection.execute(VAULT)
        yield connection


def test_without_a_vault_the_table_keeps_the_ciphertext(without_vault: Connection) -> None:
    connection_id, _ = number(without_vault)
    assert read(without_vault, connection_id) is None

    store(without_vault, connection_id, "first")
    store(without_vault, connection_id, "second")

    assert kept(without_vault, connection_id) == ("second", None)
    assert read(without_vault, connection_id) == "second"


def test_with_a_vault_the_table_keeps_the_id_only_and_the_vault_wraps_it_again(with_vault: Connection) -> None:
    connection_id, _ = number(with_vault)

    store(with_vault, connection_id, "ciphertext")

    ciphertext, secret_id = kept(with_vault, connection_id)
    assert (ciphertext, read(with_vault, connection_id)) == (None, "ciphertext")
    stored, description = one(with_vault, "select secret, description from vault.secrets where id = %s", secret_id)
    assert "ciphertext" not in stored
    assert str(connection_id) in description


def test_renewing_a_token_updates_its_one_secret(with_vault: Connection) -> None:
    connection_id, _ = number(with_vault)
    before = one(with_vault, "select count(*) from vault.secrets")
    store(with_vault, connection_id, "first")
    _, secret_id = kept(with_vault, connection_id)

    store(with_vault, connection_id, "second")

    assert kept(with_vault, connection_id) == (None, secret_id)
    assert read(with_vault, connection_id) == "second"
    assert one(with_vault, "select count(*) from vault.secrets") == before + 1


@pytest.mark.parametrize("what", ["secret", "connection", "workspace"])
def test_nothing_stays_in_the_vault_of_what_is_gone(with_vault: Connection, what: str) -> None:
    connection_id, workspace_id = number(with_vault)
    store(with_vault, connection_id, "ciphertext")
    _, secret_id = kept(with_vault, connection_id)

    with as_service(with_vault):
        if what == "secret":
            with_vault.execute("select private.deactivate_connections(array[%s::uuid], 'gone')", [connection_id])
        elif what == "connection":
            with_vault.execute("delete from public.wa_phone_numbers where id = %s", [connection_id])
        else:
            with_vault.execute("delete from public.workspaces where id = %s", [workspace_id])

    assert one(with_vault, "select count(*) from vault.secrets where id = %s", secret_id) == 0
    assert read(with_vault, connection_id) is None


def test_a_vault_that_was_emptied_by_hand_means_no_token_until_it_is_renewed(with_vault: Connection) -> None:
    connection_id, _ = number(with_vault)
    store(with_vault, connection_id, "first")
    with_vault.execute("delete from vault.secrets where id = %s", [kept(with_vault, connection_id)[1]])
    assert read(with_vault, connection_id) is None

    store(with_vault, connection_id, "second")

    assert read(with_vault, connection_id) == "second"


def test_a_token_from_before_the_vault_moves_in_when_it_is_renewed(with_vault: Connection) -> None:
    connection_id, _ = number(with_vault)
    with_vault.execute(
        "insert into private.wa_connection_secrets (connection_id, access_token_ciphertext) values (%s, 'first')",
        [connection_id],
    )
    assert read(with_vault, connection_id) == "first"

    store(with_vault, connection_id, "second")

    assert kept(with_vault, connection_id)[0] is None
    assert read(with_vault, connection_id) == "second"


def test_a_worker_gets_the_token_from_the_vault(with_vault: Connection) -> None:
    with as_service(with_vault):
        connection_id, workspace_id = number(with_vault)
        store(with_vault, connection_id, "ciphertext")
        key = str(uuid4())
        with_vault.execute("set local role service_role")
        with_vault.execute(
            "insert into public.outbox_messages"
            " (workspace_id, channel, connection_id, recipient, payload, idempotency_key, priority)"
            " values (%s, 'whatsapp', %s, '+15550001111', '{}', %s, 32767)",
            [workspace_id, connection_id, key],
        )

        claimed = with_vault.execute(
            "select access_token_ciphertext from public.claim_outbox(1000, 'w') where connection_id = %s",
            [connection_id],
        ).fetchall()

    assert claimed == [("ciphertext",)]


def test_a_secret_is_in_one_place_and_never_in_none_or_two(rolled_back: RolledBack) -> None:
    for ciphertext, secret_id in ((None, None), ("x", uuid4())):
        with rolled_back() as connection:
            connection_id, _ = number(connection)
            with pytest.raises(psycopg.errors.CheckViolation):
                connection.execute(
                    "insert into private.wa_connection_secrets"
                    " (connection_id, access_token_ciphertext, vault_secret_id) values (%s, %s, %s)",
                    [connection_id, ciphertext, secret_id],
                )
