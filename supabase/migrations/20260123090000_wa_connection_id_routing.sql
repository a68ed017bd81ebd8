-- Purpose:   finds the connection of a webhook and of a thread, also of threads from before there were several numbers.
-- Needs:     20260122000000_wa_core.
-- Used by:   webhook receipt and every send; qero.services.connections.
-- Raises:    PT404 thread_not_found · PT409 connection_not_found, connection_inactive.
-- Roll back: drop the functions below; no data is lost.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Conversations from before there were several numbers
------------------------------------------------------------------------------------------------------------------------
-- Some older tables kept Meta's id of the number.
create or replace function private.names_numbers(p_table text) returns boolean
language sql stable security invoker set search_path = '' as $$
  select exists (
    select from pg_attribute as older
    where older.attrelid = format('public.%I', p_table)::regclass and older.attname = 'phone_number_id'
      and not older.attisdropped)
$$;

-- The number that such a thread came by, where there is no doubt: the one that the thread names, or else its messages, or
-- the only one that its workspace has ever had.
create or replace function private.connection_of_older_thread(p_thread_id uuid) returns uuid
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_table text;
  v_key text;
  v_named text[];
  v_connections uuid[];
begin
  for v_table, v_key in values ('wa_threads', 'id'), ('wa_messages', 'thread_id') loop
    if private.names_numbers(v_table) then
      execute format('select array_agg(distinct older.phone_number_id::text) from public.%I as older
        where older.%I = $1 and older.phone_number_id is not null', v_table, v_key) into v_named using p_thread_id;
    end if;
    exit when v_named is not null;
  end loop;
  select array_agg(connection.id) into v_connections from public.wa_threads as thread
  join public.wa_phone_numbers as connection on connection.workspace_id = thread.workspace_id
  where thread.id = p_thread_id
    and (v_named is null or (connection.phone_number_id = any (v_named) and connection.deleted_at is null));
  return case when cardinality(v_connections) = 1 and cardinality(v_named) > 1 is not true then v_connections[1] end;
end $$;

create or replace function private.attribute_thread(p_thread_id uuid) returns boolean
language plpgsql security invoker set search_path = '' as $$
declare
  v_thread public.wa_threads;
  v_connection_id uuid;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id for no key update;
  v_connection_id := coalesce(v_thread.connection_id, private.connection_of_older_thread(p_thread_id));
  if v_connection_id is null or (v_thread.connection_id is null and exists (
    -- Of two threads with one person by one number, a person says which goes on.
    select from public.wa_threads as other
    where other.workspace_id = v_thread.workspace_id and other.id <> p_thread_id
      and (other.contact_id = v_thread.contact_id or other.group_id = v_thread.group_id)
      and coalesce(other.connection_id, private.connection_of_older_thread(other.id)) = v_connection_id
  )) then
    return false;
  end if;
  update public.wa_threads as thread set connection_id = v_connection_id
  where thread.id = p_thread_id and thread.connection_id is null;
  execute format($sql$
    update public.wa_messages as message
    set connection_id = $1, workspace_id = coalesce(message.workspace_id, $2), type = coalesce(message.type, 'text'),
      occurred_at = coalesce(message.occurred_at, message.created_at)
    where message.thread_id = $3 and message.connection_id is null %s
  $sql$, case when private.names_numbers('wa_messages') then 'and (message.phone_number_id is null
    or message.phone_number_id::text = (
      select connection.phone_number_id from public.wa_phone_numbers as connection where connection.id = $1))' end)
  using v_connection_id, v_thread.workspace_id, p_thread_id;
  update public.wa_threads as thread
  set last_message_at = coalesce(thread.last_message_at, seen.last_at),
    last_inbound_at = coalesce(thread.last_inbound_at, seen.last_inbound_at)
  from (
    select max(message.occurred_at) as last_at,
      max(message.occurred_at) filter (where message.direction = 'in') as last_inbound_at
    from public.wa_messages as message where message.thread_id = p_thread_id
  ) as seen
  where thread.id = p_thread_id and num_nulls(thread.last_message_at, thread.last_inbound_at) > 0
    and seen.last_at is not null;
  return true;
exception when check_violation or unique_violation or foreign_key_violation then
  raise warning 'thread % stays without its number: %', p_thread_id, sqlerrm;
  return false;
end $$;
comment on function private.attribute_thread(uuid) is
  'Gives a thread and its messages from before there were several numbers theirs; false where it is in doubt.';

create or replace function private.attribute_batch(p_after uuid, p_limit integer) returns uuid
language plpgsql security invoker set search_path = '' as $$
declare
  v_thread_id uuid;
begin
  for v_thread_id in
    select thread.id from public.wa_threads as thread
    where thread.id > p_after and (thread.connection_id is null or exists (
      select from public.wa_messages as message where message.thread_id = thread.id and message.connection_id is null))
    order by thread.id limit p_limit
  loop
    perform private.attribute_thread(v_thread_id);
  end loop;
  return v_thread_id;
end $$;
comment on function private.attribute_batch(uuid, integer) is
  'Looks at the next threads beyond p_after that lack a number; returns the last of them, and null when there is none.';

-- A procedure that commits can't pin its search_path: everything here is named in full.
create or replace procedure private.attribute_conversations(p_batch_size integer default 100)
language plpgsql as $$
declare
  v_after uuid := '00000000-0000-0000-0000-000000000000';
begin
  if not exists (
    select from pg_catalog.pg_attribute
    where attrelid operator(pg_catalog.=) any (array['public.wa_threads', 'public.wa_messages']::pg_catalog.regclass[])
      and attname operator(pg_catalog.=) 'connection_id' and not attnotnull
  ) then
    return;
  end if;
  loop
    v_after := private.attribute_batch(v_after, p_batch_size);
    exit when v_after is null;
    commit;
  end loop;
  if not exists (select from public.wa_threads where connection_id is null) then
    perform private.ensure_not_null('public.wa_threads', 'workspace_id', 'connection_id');
  end if;
  if not exists (select from public.wa_messages where connection_id is null) then
    perform private.ensure_not_null('public.wa_messages', 'workspace_id', 'connection_id', 'thread_id', 'direction',
      'type', 'occurred_at');
  end if;
end $$;
comment on procedure private.attribute_conversations(integer) is
  'Gives conversations from before there were several numbers theirs where there is no doubt, in batches that are '
  'committed. Repeatable; call it after the push, outside a transaction.';

revoke all on function private.connection_of_older_thread(uuid), private.names_numbers(text),
  private.attribute_thread(uuid), private.attribute_batch(uuid, integer)
  from public, anon, authenticated, service_role;
revoke all on procedure private.attribute_conversations(integer) from public, anon, authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions
------------------------------------------------------------------------------------------------------------------------
create or replace function public.resolve_connection_for_webhook(p_phone_number_id text)
returns public.wa_phone_numbers
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_connection public.wa_phone_numbers;
begin
  -- A paused number still receives: what customers write never depends on the health of a token.
  select connection.* into v_connection from public.wa_phone_numbers as connection
  where connection.phone_number_id = p_phone_number_id
    and connection.deleted_at is null and connection.status <> 'inactive';
  if not found then
    perform private.raise_error(409, 'connection_not_found',
      jsonb_build_object('phone_number_id', left(p_phone_number_id, 50)),
      'Connect the number to a workspace; what arrives meanwhile is kept.');
  end if;
  return v_connection;
end $$;
comment on function public.resolve_connection_for_webhook(text) is
  'The connection that receives webhooks for Meta''s phone number id.';

create or replace function public.resolve_connection_for_thread(p_thread_id uuid)
returns public.wa_phone_numbers
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_connection public.wa_phone_numbers;
begin
  select connection.* into v_connection from public.wa_threads as thread
  left join public.wa_phone_numbers as connection
    on connection.workspace_id = thread.workspace_id and connection.id = thread.connection_id
  where thread.id = p_thread_id;
  if not found then
    perform private.raise_error(404, 'thread_not_found', jsonb_build_object('thread_id', p_thread_id),
      'Check the id; it may belong to another workspace.');
  elsif v_connection.id is null or v_connection.deleted_at is not null then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('thread_id', p_thread_id),
      'Connect the thread''s number again, then repeat the request.');
  elsif v_connection.status <> 'active' then
    perform private.raise_error(409, 'connection_inactive',
      jsonb_build_object('thread_id', p_thread_id, 'connection_id', v_connection.id,
        'status', v_connection.status, 'reason', v_connection.status_reason),
      'Reactivate the connection, then repeat the request.');
  end if;
  return v_connection;
end $$;
comment on function public.resolve_connection_for_thread(uuid) is
  'The number a thread''s replies leave by; refuses one that is gone or not active.';

revoke all on function public.resolve_connection_for_webhook(text), public.resolve_connection_for_thread(uuid)
  from public, anon, authenticated, service_role;
grant execute on function public.resolve_connection_for_webhook(text) to service_role;
grant execute on function public.resolve_connection_for_thread(uuid) to authenticated, service_role;

notify pgrst, 'reload schema';
