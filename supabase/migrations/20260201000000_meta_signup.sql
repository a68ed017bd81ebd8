-- Purpose:   Meta's embedded signup: states that bind it to a user and a workspace; connecting WhatsApp numbers,
--            disconnecting them, and what happens when a Meta user withdraws the grant.
-- Needs:     20260122000000_wa_core, 20260131000000_wa_inbound.
-- Used by:   qero.services.signup, connections.
-- Raises:    PT401 not_authenticated · PT403 role_required · PT404 workspace_not_found · PT409 phone_number_taken,
--            connection_not_found, signup_state_expired, signup_state_used · PT400 signup_state_invalid, invalid_value.
-- Roll back: drop the functions below and table meta_signup_states; only signups under way are lost.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.meta_signup_states (state_hash text primary key);
alter table public.meta_signup_states
  add column if not exists workspace_id uuid,
  add column if not exists user_id uuid,
  add column if not exists redirect_uri text,
  add column if not exists expires_at timestamptz,
  add column if not exists used_at timestamptz,
  add column if not exists created_at timestamptz not null default now();
do $$
begin
  perform private.ensure_constraint('public.meta_signup_states', rule.name, rule.definition) from (values
    -- Whoever leaves the workspace takes their signups with them.
    ('meta_signup_states_workspace_id_user_id_fkey', 'foreign key (workspace_id, user_id)
      references public.workspace_memberships (workspace_id, user_id) on delete cascade'),
    ('meta_signup_states_state_hash_check', $check$check (state_hash ~ '^[0-9a-f]{64}$')$check$),
    ('meta_signup_states_redirect_uri_check', $check$check (
      redirect_uri ~ '^https?://[^[:space:]]+$' and length(redirect_uri) <= 2000)$check$)
  ) as rule (name, definition);
  perform private.ensure_not_null('public.meta_signup_states', 'workspace_id', 'user_id', 'expires_at');
end $$;
comment on table public.meta_signup_states is
  'Signups that were started: each state works once, for ten minutes, for the user and workspace it was made for.';
comment on column public.meta_signup_states.state_hash is
  'SHA-256 of the state; whoever reads this table can''t finish anybody''s signup.';
comment on column public.meta_signup_states.redirect_uri is
  'Where Meta sends the browser back to; the code is exchanged with the identical address. Null with the JavaScript SDK.';

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
create index if not exists meta_signup_states_workspace_id_user_id_idx
  on public.meta_signup_states (workspace_id, user_id, created_at desc);
create index if not exists meta_signup_states_expires_at_idx on public.meta_signup_states (expires_at);

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.meta_signup_states enable row level security;

-- Only the service reaches it; the policy says so in words, for people and for the advisor.
drop policy if exists meta_signup_states_all_service on public.meta_signup_states;
create policy meta_signup_states_all_service on public.meta_signup_states for all to service_role
  using (true) with check (true);

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.meta_signup_states from public, anon, authenticated, service_role;
grant select, insert, update, delete on table public.meta_signup_states to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions: signing up
------------------------------------------------------------------------------------------------------------------------
-- Definer: nobody but the service reaches the states, and a member of the workspace asks.
create or replace function public.start_meta_signup(
  p_workspace_id uuid, p_redirect_uri text default null, out state text, out expires_at timestamptz
)
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));

  -- The table stays small: what has expired goes, a bounded number at a time, and of one user's open ones all but the
  -- newest. What has expired only just now stays for a while, to be told apart from what never was.
  delete from public.meta_signup_states as old
  where old.state_hash in (
    select expired.state_hash from public.meta_signup_states as expired
    where expired.expires_at < now() - interval '1 hour'
    order by expired.expires_at limit 100 for update skip locked);
  delete from public.meta_signup_states as old
  where old.state_hash in (
    select mine.state_hash from public.meta_signup_states as mine
    where mine.workspace_id = p_workspace_id and mine.user_id = v_user_id
    order by mine.created_at desc offset 9 for update skip locked);

  start_meta_signup.state := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  start_meta_signup.expires_at := now() + interval '10 minutes';
  insert into public.meta_signup_states (state_hash, workspace_id, user_id, redirect_uri, expires_at)
  values (private.token_hash(start_meta_signup.state), p_workspace_id, v_user_id, p_redirect_uri,
    start_meta_signup.expires_at);
exception
  when check_violation then
    perform private.raise_error(400, 'invalid_value', '{"field": "redirect_uri"}',
      'Give an absolute URL of at most 2000 characters, or none.');
end $$;
comment on function public.start_meta_signup(uuid, text) is
  'A state for one signup of a number to a workspace, by the caller, an owner or admin, within ten minutes; it is shown only here.';

create or replace function public.use_meta_signup_state(
  p_state text, p_user_id uuid, out workspace_id uuid, out redirect_uri text
)
language plpgsql security invoker set search_path = '' as $$
declare
  v_hash text := private.token_hash(p_state);
  v_state public.meta_signup_states;
  v_role text;
begin
  -- One statement takes it: of two requests with the same state, one waits and then finds it used.
  update public.meta_signup_states as state set used_at = now()
  where state.state_hash = v_hash and state.user_id = p_user_id and state.used_at is null and state.expires_at > now()
  returning * into v_state;
  if not found then
    select state.* into v_state from public.meta_signup_states as state
    where state.state_hash = v_hash and state.user_id = p_user_id;
    if not found then
      perform private.raise_error(400, 'signup_state_invalid', '{"field": "state"}',
        'Start the signup again, and finish it as the same user.');
    elsif v_state.used_at is not null then
      perform private.raise_error(409, 'signup_state_used', '{"field": "state"}', 'Start the signup again.');
    end if;
    perform private.raise_error(409, 'signup_state_expired', jsonb_build_object('expired_at', v_state.expires_at),
      'Start the signup again, and finish it within ten minutes.');
  end if;

  select membership.role into v_role from public.workspace_memberships as membership
  where membership.workspace_id = v_state.workspace_id and membership.user_id = p_user_id;
  if v_role is null or v_role not in ('owner', 'admin') then
    perform private.raise_error(403, 'role_required',
      jsonb_build_object('role', v_role, 'needs', array['owner', 'admin']), 'Ask an owner or admin of the workspace.');
  end if;
  use_meta_signup_state.workspace_id := v_state.workspace_id;
  use_meta_signup_state.redirect_uri := v_state.redirect_uri;
end $$;
comment on function public.use_meta_signup_state(text, uuid) is
  'Uses a signup''s state up, once, by the user it was made for, and says which workspace it is about.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: connecting and disconnecting
------------------------------------------------------------------------------------------------------------------------
create or replace function public.connect_wa_phone_number(
  p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text,
  p_display_phone_number text default null, p_verified_name text default null, p_meta_user_id text default null
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
  -- From now on, for account events: what Meta said before, and what is replayed below, was about an earlier grant.
  if found then
    update public.wa_phone_numbers as connection
    set status = 'active', status_reason = null, account_changed_at = now(), waba_id = p_waba_id,
      display_phone_number = coalesce(p_display_phone_number, connection.display_phone_number),
      verified_name = coalesce(p_verified_name, connection.verified_name)
    where connection.id = v_connection.id returning * into v_connection;
  else
    insert into public.wa_phone_numbers
      (workspace_id, waba_id, phone_number_id, display_phone_number, verified_name, account_changed_at)
    values (p_workspace_id, p_waba_id, p_phone_number_id, p_display_phone_number, p_verified_name, now())
    returning * into v_connection;
  end if;
  perform private.store_connection_secret(v_connection.id, p_access_token_ciphertext, p_meta_user_id);
  perform private.replay_whatsapp_orphans(p_phone_number_id, p_waba_id);
  select connection.* into v_connection from public.wa_phone_numbers as connection
  where connection.id = v_connection.id;
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
      jsonb_build_object('fields', array['phone_number_id', 'waba_id', 'access_token', 'meta_user_id']),
      'Meta''s ids are digits only, and the access token is required.');
end $$;
comment on function public.connect_wa_phone_number(uuid, text, text, text, text, text, text) is
  'Connects a WhatsApp number to a workspace, or renews its token, and replays what arrived for it before.';

-- Ends connections that the caller has locked: nothing is sent or received by them any more, and their tokens are gone.
-- What waits in the outbox stays there, for the day the number is connected again.
create or replace function private.deactivate_connections(p_connection_ids uuid[], p_reason text)
returns setof public.wa_phone_numbers
language plpgsql security invoker set search_path = '' as $$
begin
  delete from private.wa_connection_secrets as secret where secret.connection_id = any (p_connection_ids);
  return query
  update public.wa_phone_numbers as connection set status = 'inactive', status_reason = left(p_reason, 500)
  where connection.id = any (p_connection_ids) and connection.status <> 'inactive'
  returning connection.*;
end $$;

-- Definer: members don't write connections, and nobody but the service reaches their secrets.
create or replace function public.disconnect_wa_phone_number(p_connection_id uuid, p_reason text default null)
returns public.wa_phone_numbers
language plpgsql security definer set search_path = '' as $$
declare
  v_is_service boolean := private.is_service();
  v_connection public.wa_phone_numbers;
begin
  if not v_is_service then
    perform private.require_user();
  end if;
  select connection.* into v_connection from public.wa_phone_numbers as connection
  where connection.id = p_connection_id and connection.deleted_at is null
    and (v_is_service or connection.workspace_id = any (array(select private.my_workspace_ids())))
  for update;
  if not found then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('connection_id', p_connection_id),
      'Check the id; it may belong to another workspace.');
  end if;
  perform private.require_role(v_connection.workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', v_connection.workspace_id));

  return coalesce(
    (select ended from private.deactivate_connections(
      array[v_connection.id], coalesce(nullif(btrim(p_reason), ''), 'disconnected')) as ended),
    v_connection);
end $$;
comment on function public.disconnect_wa_phone_number(uuid, text) is
  'Ends a connection and forgets its token; what is queued stays queued. Doing it again changes nothing.';

create or replace function public.deauthorize_meta_user(p_meta_user_id text) returns setof public.wa_phone_numbers
language plpgsql security invoker set search_path = '' as $$
begin
  return query
  select ended.*
  from private.deactivate_connections(array(
    -- Both rows are locked, so that a token that somebody else grants meanwhile isn't taken for the withdrawn one.
    select connection.id
    from public.wa_phone_numbers as connection
    join private.wa_connection_secrets as secret on secret.connection_id = connection.id
    where secret.meta_user_id = p_meta_user_id
    order by connection.id
    for update), 'deauthorized') as ended;
end $$;
comment on function public.deauthorize_meta_user(text) is
  'Ends every connection whose token a Meta user had granted and has now withdrawn, and returns them.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.deactivate_connections(uuid[], text), public.start_meta_signup(uuid, text),
  public.use_meta_signup_state(text, uuid),
  public.connect_wa_phone_number(uuid, text, text, text, text, text, text),
  public.disconnect_wa_phone_number(uuid, text), public.deauthorize_meta_user(text)
  from public, anon, authenticated, service_role;
grant execute on function
  private.deactivate_connections(uuid[], text), public.use_meta_signup_state(text, uuid),
  public.connect_wa_phone_number(uuid, text, text, text, text, text, text),
  public.disconnect_wa_phone_number(uuid, text), public.deauthorize_meta_user(text)
  to service_role;
grant execute on function public.start_meta_signup(uuid, text), public.disconnect_wa_phone_number(uuid, text)
  to authenticated;

notify pgrst, 'reload schema';
