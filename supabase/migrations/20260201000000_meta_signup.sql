-- Purpose:   connects WhatsApp numbers to workspaces.
-- Needs:     20260122000000_wa_core, 20260131000000_wa_inbound.
-- Used by:   qero.services.connections.
-- Raises:    PT404 workspace_not_found · PT409 phone_number_taken · PT400 invalid_value.
-- Roll back: drop the functions below; no data is lost.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Functions
------------------------------------------------------------------------------------------------------------------------
create or replace function public.connect_wa_phone_number(
  p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text,
  p_display_phone_number text default null, p_verified_name text default null
) returns public.wa_phone_numbers
language plpgsql security invoker set search_path = '' as $$
declare
  v_connection public.wa_phone_numbers;
begin
  -- Waits for webhooks that are being set aside for want of this connection, so that the replay below sees them all.
  perform pg_advisory_xact_lock(hashtextextended(address.name, 1))
  from (values (p_phone_number_id), ('waba:' || p_waba_id)) as address (name)
  where address.name is not null
  order by hashtextextended(address.name, 1);
  select connection.* into v_connection from public.wa_phone_numbers as connection
  where connection.workspace_id = p_workspace_id and connection.phone_number_id = p_phone_number_id
    and connection.deleted_at is null
  for update;
  if found then
    update public.wa_phone_numbers as connection
    set status = 'active', status_reason = null, waba_id = p_waba_id,
      display_phone_number = coalesce(p_display_phone_number, connection.display_phone_number),
      verified_name = coalesce(p_verified_name, connection.verified_name)
    where connection.id = v_connection.id returning * into v_connection;
  else
    insert into public.wa_phone_numbers (workspace_id, waba_id, phone_number_id, display_phone_number, verified_name)
    values (p_workspace_id, p_waba_id, p_phone_number_id, p_display_phone_number, p_verified_name)
    returning * into v_connection;
  end if;
  insert into private.wa_connection_secrets (connection_id, access_token_ciphertext)
  values (v_connection.id, p_access_token_ciphertext)
  on conflict (connection_id) do update
    set access_token_ciphertext = excluded.access_token_ciphertext, updated_at = now();
  perform private.replay_whatsapp_orphans(p_phone_number_id, p_waba_id);
  return v_connection;
exception
  when unique_violation then
    perform private.raise_error(409, 'phone_number_taken', jsonb_build_object('phone_number_id', p_phone_number_id),
      'Disconnect the number where it is in use before connecting it here.');
  when foreign_key_violation then
    perform private.raise_error(404, 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id),
      'Check the workspace''s id.');
  when check_violation or not_null_violation then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('fields', array['phone_number_id', 'waba_id', 'access_token']),
      'Meta''s ids are digits only, and the access token is required.');
end $$;
comment on function public.connect_wa_phone_number(uuid, text, text, text, text, text) is
  'Connects a WhatsApp number to a workspace, or renews its token, and replays what arrived for it before.';

revoke all on function public.connect_wa_phone_number(uuid, text, text, text, text, text)
  from public, anon, authenticated, service_role;
grant execute on function public.connect_wa_phone_number(uuid, text, text, text, text, text) to service_role;

notify pgrst, 'reload schema';
