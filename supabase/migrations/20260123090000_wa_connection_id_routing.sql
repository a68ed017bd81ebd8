-- Purpose:   finds the connection of a webhook and of a thread, and connects numbers.
-- Needs:     20260122000000_wa_core.
-- Used by:   webhook receipt and every send; qero.services.connections.
-- Raises:    PT404 thread_not_found · PT409 connection_not_found, connection_inactive, phone_number_taken.
-- Roll back: drop the functions below; no data is lost.

set lock_timeout = '5s';
set statement_timeout = '60s';

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
