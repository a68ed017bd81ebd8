--
-- PostgreSQL database dump
--

SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;

--
-- Name: private; Type: SCHEMA; Schema: -; Owner: postgres
--

CREATE SCHEMA private;

ALTER SCHEMA private OWNER TO postgres;

--
-- Name: public; Type: SCHEMA; Schema: -; Owner: pg_database_owner
--

CREATE SCHEMA public;

ALTER SCHEMA public OWNER TO pg_database_owner;

--
-- Name: apply_whatsapp_events(bigint[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_whatsapp_events(p_event_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_sender record;
begin
  perform private.lock_new_whatsapp_senders(p_event_ids);
  -- Senders with an identity that isn't known yet.
  for v_sender in
    with sender as materialized (
      select distinct on (event.workspace_id, coalesce(event.event ->> 'wa_id', event.event ->> 'user_id'))
        event.workspace_id, connection.waba_id, event.event ->> 'wa_id' as wa_id, event.event ->> 'user_id' as user_id,
        event.event ->> 'profile_name' as name
      from public.meta_webhook_events as event
      join public.wa_phone_numbers as connection on connection.id = event.connection_id
      where event.id = any (p_event_ids) and event.kind = 'message'
      order by event.workspace_id, coalesce(event.event ->> 'wa_id', event.event ->> 'user_id'),
        event.event ->> 'user_id' nulls last
    )
    select sender.* from sender
    where (sender.wa_id is not null and not exists (
        select 1 from public.contact_identities as identity
        where (identity.workspace_id, identity.kind, identity.scope, identity.value)
          = (sender.workspace_id, 'wa_id', '', sender.wa_id)))
      or (sender.user_id is not null and not exists (
        select 1 from public.contact_identities as identity
        where (identity.workspace_id, identity.kind, identity.scope, identity.value)
          = (sender.workspace_id, 'bsuid', sender.waba_id, sender.user_id)))
    -- Senders with a phone number first: a later item of the same person may carry the business-scoped id alone.
    order by sender.workspace_id, sender.wa_id nulls last, sender.user_id
  loop
    perform private.ensure_whatsapp_contact(
      v_sender.workspace_id, v_sender.waba_id, v_sender.wa_id, v_sender.user_id, v_sender.name);
  end loop;

  insert into public.wa_threads (workspace_id, connection_id, contact_id)
  select distinct event.workspace_id, event.connection_id, identity.contact_id
  from public.meta_webhook_events as event
  join public.wa_phone_numbers as connection on connection.id = event.connection_id
  cross join lateral private.whatsapp_sender(
    event.workspace_id, connection.waba_id, event.event ->> 'wa_id', event.event ->> 'user_id') as identity (contact_id)
  where event.id = any (p_event_ids) and event.kind = 'message' and identity.contact_id is not null
  order by event.connection_id, identity.contact_id
  on conflict on constraint wa_threads_connection_id_contact_id_key do nothing;

  with incoming as materialized (
    select distinct on (event.connection_id, event.event ->> 'wa_message_id')
      event.workspace_id, event.connection_id, event.event,
      -- A clock that runs ahead must not hold the 24-hour window open.
      least((event.event ->> 'occurred_at')::timestamptz, now()) as occurred_at, thread.id as thread_id,
      applied.position
    from unnest(p_event_ids) with ordinality as applied (event_id, position)
    join public.meta_webhook_events as event on event.id = applied.event_id and event.kind = 'message'
    join public.wa_phone_numbers as connection on connection.id = event.connection_id
    cross join lateral private.whatsapp_sender(
      event.workspace_id, connection.waba_id, event.event ->> 'wa_id', event.event ->> 'user_id') as identity (contact_id)
    join public.wa_threads as thread
      on thread.connection_id = event.connection_id and thread.contact_id = identity.contact_id
    order by event.connection_id, event.event ->> 'wa_message_id', event.event ->> 'type' = 'unsupported',
      applied.position
  ), locked as (
    select thread.id from public.wa_threads as thread
    where thread.id in (select incoming.thread_id from incoming)
    order by thread.id
    for no key update
  ), stored as (
    insert into public.wa_messages as message
      (workspace_id, connection_id, thread_id, direction, wa_message_id, type, body, content, occurred_at)
    select incoming.workspace_id, incoming.connection_id, incoming.thread_id, 'in', incoming.event ->> 'wa_message_id',
      incoming.event ->> 'type', incoming.event ->> 'body', coalesce(incoming.event -> 'content', '{}'::jsonb),
      incoming.occurred_at
    from incoming
    -- Threads are locked before, all of them: messages that two webhooks share can then be written in any order.
    where (select count(*) from locked) > 0
    -- As they came: what a person writes within one second keeps its order.
    order by incoming.position
    -- A placeholder of type unsupported can come first; the content that follows under the same id replaces it.
    on conflict on constraint wa_messages_connection_id_wa_message_id_key do update
      set type = excluded.type, body = excluded.body, content = excluded.content
      where message.type = 'unsupported' and excluded.type <> 'unsupported'
    returning message.thread_id, message.occurred_at, message.sequence, message.body,
      (message.xmax = 0)::integer as is_new
  )
  update public.wa_threads as thread
  set last_inbound_at = greatest(thread.last_inbound_at, latest.occurred_at),
    last_message_body = case
      when latest.occurred_at >= coalesce(thread.last_message_at, '-infinity') then latest.body
      else thread.last_message_body
    end,
    last_message_at = greatest(thread.last_message_at, latest.occurred_at),
    unread_count = thread.unread_count + latest.message_count,
    status = case when thread.status in ('closed', 'snoozed') then 'open' else thread.status end,
    snoozed_until = null
  from (
    select stored.thread_id, max(stored.occurred_at) as occurred_at, sum(stored.is_new) as message_count,
      left((array_agg(stored.body order by stored.occurred_at desc, stored.sequence desc))[1], 200) as body
    from stored group by stored.thread_id
  ) as latest
  where thread.id = latest.thread_id;

  perform private.apply_whatsapp_statuses(p_event_ids);
end $$;

ALTER FUNCTION private.apply_whatsapp_events(p_event_ids bigint[]) OWNER TO postgres;

--
-- Name: apply_whatsapp_statuses(bigint[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_whatsapp_statuses(p_event_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
begin
  -- Outbox rows before their messages, and by id, as every report of a worker locks them: a status often comes while
  -- its send is being reported.
  perform 1 from public.outbox_messages as outbox
  where outbox.id in (
      select (event.event ->> 'opaque_id')::uuid from public.meta_webhook_events as event
      where event.id = any (p_event_ids) and event.kind = 'status'
        and event.event ->> 'opaque_id' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$')
    and outbox.status in ('unknown', 'queued', 'processing')
  order by outbox.id
  for no key update;

  -- A status names its message by Meta's id, and the outbox row by the opaque id that the send carried: the second
  -- finds messages whose send was never answered. The furthest status of each message wins, whatever the order.
  with status as materialized (
    select event.workspace_id, event.connection_id, event.event ->> 'wa_message_id' as wa_message_id,
      event.event ->> 'status' as status, private.wa_status_rank(event.event ->> 'status') as rank,
      (event.event ->> 'error_code')::integer as error_code, event.event ->> 'error_text' as error_text,
      (event.event ->> 'occurred_at')::timestamptz as occurred_at,
      case when event.event ->> 'opaque_id' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'
        then (event.event ->> 'opaque_id')::uuid end as outbox_id
    from public.meta_webhook_events as event
    where event.id = any (p_event_ids) and event.kind = 'status'
  ), matched as materialized (
    select message.id, status.*
    from status
    cross join lateral (
      select message.id from public.wa_messages as message
      where message.connection_id = status.connection_id and message.wa_message_id = status.wa_message_id
      union
      select message.id from public.wa_messages as message
      where message.outbox_id = status.outbox_id and message.connection_id = status.connection_id
        and message.direction = 'out'
        and (message.wa_message_id is null or message.wa_message_id = status.wa_message_id)
    ) as message
  ), locked as (
    select message.id from public.wa_messages as message
    where message.id in (select matched.id from matched)
    order by message.id
    for no key update
  ), furthest as (
    select matched.id, matched.wa_message_id,
      (array_agg(matched.status order by matched.rank desc nulls last))[1] as status, max(matched.rank) as rank,
      max(matched.error_code) as error_code, max(matched.error_text) as error_text
    from matched join locked on locked.id = matched.id
    group by matched.id, matched.wa_message_id
  ), moved as (
    update public.wa_messages as message
    set status = case when furthest.rank > message.status_rank then furthest.status else message.status end,
      wa_message_id = coalesce(message.wa_message_id, furthest.wa_message_id),
      error_code = coalesce(furthest.error_code, message.error_code),
      error_text = coalesce(furthest.error_text, message.error_text)
    from furthest
    where message.id = furthest.id and message.direction = 'out'
      and (furthest.rank > message.status_rank or furthest.error_code is not null or message.wa_message_id is null)
  ), settled as (
    -- Proof that a send without an answer arrived, or that a message waiting for a retry had gone out after all. While
    -- a worker still has it in hand too: should the worker die or misjudge the send, nobody asks for this status again.
    update public.outbox_messages as outbox
    set status = case when furthest.status = 'failed' then 'failed' else 'sent' end,
      provider_message_id = coalesce(outbox.provider_message_id, furthest.wa_message_id),
      error_code = case when furthest.status = 'failed' then coalesce(furthest.error_code::text, outbox.error_code) end,
      error_text = case when furthest.status = 'failed' then coalesce(furthest.error_text, outbox.error_text) end,
      settled_at = coalesce(outbox.settled_at, now())
    from furthest
    join matched on matched.id = furthest.id and matched.outbox_id is not null
    where outbox.id = matched.outbox_id and outbox.workspace_id = matched.workspace_id
      and outbox.status in ('unknown', 'queued', 'processing')
  )
  insert into public.wa_message_statuses (connection_id, wa_message_id, status, error_code, error_text, occurred_at)
  select status.connection_id, status.wa_message_id, status.status, status.error_code, status.error_text,
    status.occurred_at
  from status
  where status.rank is not null
    and not exists (
      select 1 from matched
      where matched.connection_id = status.connection_id and matched.wa_message_id = status.wa_message_id)
  on conflict on constraint wa_message_statuses_pkey do nothing;
end $_$;

ALTER FUNCTION private.apply_whatsapp_statuses(p_event_ids bigint[]) OWNER TO postgres;

--
-- Name: end_lease_when_empty(bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.end_lease_when_empty(p_token bigint) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  delete from private.outbox_leases as lease
  where lease.token = p_token
    and not exists (
      select 1 from public.outbox_messages as outbox
      where outbox.lease_token = p_token and outbox.status = 'processing')
$$;

ALTER FUNCTION private.end_lease_when_empty(p_token bigint) OWNER TO postgres;

--
-- Name: ensure_whatsapp_contact(uuid, text, text, text, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
  v_contact_id uuid := private.whatsapp_sender(p_workspace_id, p_waba_id, p_wa_id, p_user_id);
  v_phone text := case when p_wa_id ~ '^[1-9][0-9]{6,14}$' then '+' || p_wa_id end;
begin
  if v_contact_id is null and v_phone is not null then
    select contact.id into v_contact_id from public.contacts as contact
    where contact.workspace_id = p_workspace_id and contact.phone = v_phone and contact.deleted_at is null;
  end if;
  if v_contact_id is null then
    insert into public.contacts (workspace_id, name, phone, source)
    values (p_workspace_id, nullif(left(btrim(p_name), 300), ''), v_phone, 'whatsapp')
    returning id into v_contact_id;
  end if;
  insert into public.contact_identities (workspace_id, contact_id, kind, scope, value)
  select p_workspace_id, v_contact_id, identity.kind, identity.scope, identity.value
  from (values ('wa_id', '', p_wa_id), ('bsuid', p_waba_id, p_user_id)) as identity (kind, scope, value)
  where identity.value is not null
  on conflict on constraint contact_identities_value_key do nothing;
  return v_contact_id;
end $_$;

ALTER FUNCTION private.ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text) OWNER TO postgres;

--
-- Name: is_service(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.is_service() RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce((select auth.role()) = 'service_role', false)
$$;

ALTER FUNCTION private.is_service() OWNER TO postgres;

--
-- Name: is_timezone(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.is_timezone(p_name text) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
begin
  perform timestamptz 'epoch' at time zone p_name;
  return p_name ~ '^(UTC|[A-Z][A-Za-z]+(/[A-Z][A-Za-z_-]+)+|Etc/GMT[+-][0-9]{1,2})$';
exception when invalid_parameter_value then
  return false;
end $_$;

ALTER FUNCTION private.is_timezone(p_name text) OWNER TO postgres;

--
-- Name: keep_an_owner(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.keep_an_owner() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform 1 from public.workspaces as workspace where workspace.id = old.workspace_id for no key update;
  if not found then
    return null;  -- the whole workspace is going
  end if;
  if not exists (
    select 1 from public.workspace_memberships as membership
    where membership.workspace_id = old.workspace_id and membership.role = 'owner'
  ) then
    perform private.raise_error(409, 'last_owner', jsonb_build_object('workspace_id', old.workspace_id),
      'Make someone else an owner first.');
  end if;
  return null;
end $$;

ALTER FUNCTION private.keep_an_owner() OWNER TO postgres;

--
-- Name: lock_new_whatsapp_senders(bigint[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_new_whatsapp_senders(p_event_ids bigint[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform pg_advisory_xact_lock(slot.key)
  from (
    select distinct hashtextextended(event.workspace_id::text, hashtext(identity.kind || identity.value) & 255) as key
    from public.meta_webhook_events as event
    join public.wa_phone_numbers as connection on connection.id = event.connection_id
    cross join lateral (values
      ('wa_id', '', event.event ->> 'wa_id'), ('bsuid', connection.waba_id, event.event ->> 'user_id')
    ) as identity (kind, scope, value)
    where event.id = any (p_event_ids) and event.kind = 'message' and identity.value is not null
      and not exists (
        select 1 from public.contact_identities as known
        where known.workspace_id = event.workspace_id and known.kind = identity.kind
          and known.scope = identity.scope and known.value = identity.value)
    order by key
  ) as slot;
end $$;

ALTER FUNCTION private.lock_new_whatsapp_senders(p_event_ids bigint[]) OWNER TO postgres;

--
-- Name: mirror_auth_user(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.mirror_auth_user() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_full_name text := left(coalesce(new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'name'), 200);
  v_timezone text := new.raw_user_meta_data ->> 'timezone';
begin
  -- Nobody's sign-up fails for a zone that Postgres doesn't know.
  if length(v_timezone) > 100 or not private.is_timezone(v_timezone) then
    v_timezone := null;
  end if;
  insert into public.profiles as profile (id, email, full_name, timezone)
  values (new.id, new.email, v_full_name, coalesce(v_timezone, 'UTC'))
  on conflict (id) do update
    set email = excluded.email, full_name = coalesce(v_full_name, profile.full_name),
      timezone = coalesce(v_timezone, profile.timezone)
    where (profile.email, profile.full_name, profile.timezone) is distinct from
      (excluded.email, coalesce(v_full_name, profile.full_name), coalesce(v_timezone, profile.timezone));
  return null;
end $$;

ALTER FUNCTION private.mirror_auth_user() OWNER TO postgres;

--
-- Name: my_workspace_ids(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.my_workspace_ids() RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
  select membership.workspace_id from public.workspace_memberships as membership
  where membership.user_id = (select auth.uid())
$$;

ALTER FUNCTION private.my_workspace_ids() OWNER TO postgres;

--
-- Name: my_workspace_ids_as(text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.my_workspace_ids_as(VARIADIC p_roles text[]) RETURNS SETOF uuid
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
  select membership.workspace_id from public.workspace_memberships as membership
  where membership.user_id = (select auth.uid()) and membership.role = any (p_roles)
$$;

ALTER FUNCTION private.my_workspace_ids_as(VARIADIC p_roles text[]) OWNER TO postgres;

--
-- Name: raise_error(integer, text, jsonb, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.raise_error(p_status integer, p_code text, p_detail jsonb DEFAULT '{}'::jsonb, p_hint text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  raise exception using
    errcode = 'PT' || p_status, message = p_code, detail = p_detail::text, hint = coalesce(p_hint, '');
end $$;

ALTER FUNCTION private.raise_error(p_status integer, p_code text, p_detail jsonb, p_hint text) OWNER TO postgres;

--
-- Name: refuse_change(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform private.raise_error(409, 'append_only', jsonb_build_object('table', tg_table_name),
    'Rows of this table are never changed or removed; add a correcting row instead.');
  return null;
end $$;

ALTER FUNCTION private.refuse_change() OWNER TO postgres;

--
-- Name: replay_whatsapp_orphans(text, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.replay_whatsapp_orphans(p_phone_number_id text, p_waba_id text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_orphans jsonb;
begin
  with replayed as (
    update public.orphan_webhook_events as orphan set processed_at = now()
    where orphan.processed_at is null
      and (orphan.phone_number_id = p_phone_number_id
        or (orphan.phone_number_id = 'waba:' || p_waba_id and 1 = (
          select count(distinct connection.workspace_id) from public.wa_phone_numbers as connection
          where connection.waba_id = p_waba_id and connection.deleted_at is null
            and connection.status <> 'inactive')))
    returning orphan.id, orphan.event
  )
  select jsonb_agg(replayed.event order by replayed.id) into v_orphans from replayed;
  if v_orphans is not null then
    perform public.ingest_whatsapp_events(v_orphans);
  end if;
end $$;

ALTER FUNCTION private.replay_whatsapp_orphans(p_phone_number_id text, p_waba_id text) OWNER TO postgres;

--
-- Name: require_role(uuid, text[], text, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.require_role(p_workspace_id uuid, p_roles text[], p_missing_code text, p_detail jsonb) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid;
  v_role text;
begin
  if private.is_service() then
    if p_workspace_id is null then
      perform private.raise_error(404, p_missing_code, p_detail, 'Check the id; it may belong to another workspace.');
    end if;
    return;
  end if;
  v_user_id := private.require_user();
  select membership.role into v_role from public.workspace_memberships as membership
  where membership.workspace_id = p_workspace_id and membership.user_id = v_user_id;
  if v_role is null then
    perform private.raise_error(404, p_missing_code, p_detail, 'Check the id; it may belong to another workspace.');
  elsif not v_role = any (p_roles) then
    perform private.raise_error(403, 'role_required', jsonb_build_object('role', v_role, 'needs', p_roles),
      'Ask an owner or admin of the workspace.');
  end if;
end $$;

ALTER FUNCTION private.require_role(p_workspace_id uuid, p_roles text[], p_missing_code text, p_detail jsonb) OWNER TO postgres;

--
-- Name: require_user(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.require_user() RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  if (select auth.uid()) is null then
    perform private.raise_error(401, 'not_authenticated', '{}', 'Send the access token of a signed-in user.');
  end if;
  return (select auth.uid());
end $$;

ALTER FUNCTION private.require_user() OWNER TO postgres;

--
-- Name: set_updated_at(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.set_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  new.updated_at := now();
  return new;
end $$;

ALTER FUNCTION private.set_updated_at() OWNER TO postgres;

--
-- Name: wa_status_rank(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wa_status_rank(p_status text) RETURNS smallint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
  select (case p_status
    when 'pending' then 0 when 'unknown' then 5 when 'sent' then 10 when 'failed' then 15
    when 'delivered' then 20 when 'read' then 30 when 'played' then 40
  end)::smallint
$$;

ALTER FUNCTION private.wa_status_rank(p_status text) OWNER TO postgres;

--
-- Name: whatsapp_sender(uuid, text, text, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.whatsapp_sender(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text) RETURNS uuid
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(
    (select identity.contact_id from public.contact_identities as identity
     where identity.workspace_id = p_workspace_id and identity.kind = 'wa_id' and identity.scope = ''
       and identity.value = p_wa_id),
    (select identity.contact_id from public.contact_identities as identity
     where identity.workspace_id = p_workspace_id and identity.kind = 'bsuid' and identity.scope = p_waba_id
       and identity.value = p_user_id))
$$;

ALTER FUNCTION private.whatsapp_sender(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text) OWNER TO postgres;

--
-- Name: claim_outbox(integer, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.claim_outbox(p_limit integer, p_worker text) RETURNS TABLE(lease_token bigint, lease_expires_at timestamp with time zone, id uuid, workspace_id uuid, channel text, connection_id uuid, thread_id uuid, recipient text, payload jsonb, attempts integer, max_attempts integer, phone_number_id text, access_token_ciphertext text)
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
#variable_conflict use_column
declare
  v_lease_seconds constant integer := 60;
  v_now timestamptz := clock_timestamp();
  v_ids uuid[];
  v_lease private.outbox_leases;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_limit", "allowed": "1 to 1000"}',
      'Claim 1 to 1000 messages at once.');
  elsif coalesce(p_worker, '') = '' then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_worker"}', 'Name the worker.');
  end if;

  -- A worker died or stalled with these in hand. They may have left, so they are never sent again blindly: a status
  -- with the opaque id settles them, or a person decides.
  with ended as (
    delete from private.outbox_leases as lease
    where lease.token in (
      select stale.token from private.outbox_leases as stale where stale.expires_at <= v_now for update skip locked)
    returning lease.token
  ), unknown as (
    update public.outbox_messages as outbox
    set status = 'unknown', lease_token = null, error_code = 'lease_expired',
      error_text = 'The worker stopped answering while this message was in its hands.'
    where outbox.lease_token in (select ended.token from ended) and outbox.status = 'processing'
    returning outbox.id
  )
  update public.wa_messages as message set status = 'unknown'
  where message.outbox_id in (select unknown.id from unknown) and message.status = 'pending';

  select array_agg(due.id) into v_ids
  from (
    select outbox.id from public.outbox_messages as outbox
    where outbox.status = 'queued' and outbox.scheduled_at <= v_now
      and (outbox.connection_id is null or exists (
        select 1 from public.wa_phone_numbers as connection
        where connection.id = outbox.connection_id and connection.status = 'active' and connection.deleted_at is null))
      -- Order within a thread: not before everything queued ahead of it is settled.
      and (outbox.thread_id is null or not exists (
        select 1 from public.outbox_messages as earlier
        where earlier.thread_id = outbox.thread_id and earlier.sequence < outbox.sequence
          and earlier.status in ('queued', 'processing')))
    order by outbox.priority desc, outbox.scheduled_at, outbox.sequence
    limit p_limit
    for update of outbox skip locked
  ) as due;
  if v_ids is null then
    return;
  end if;

  insert into private.outbox_leases (worker, expires_at)
  values (p_worker, v_now + make_interval(secs => v_lease_seconds)) returning * into v_lease;
  return query
  with claimed as (
    update public.outbox_messages as outbox
    set status = 'processing', lease_token = v_lease.token, attempts = outbox.attempts + 1
    where outbox.id = any (v_ids)
    returning outbox.*
  )
  select v_lease.token, v_lease.expires_at, claimed.id, claimed.workspace_id, claimed.channel, claimed.connection_id,
    claimed.thread_id, claimed.recipient, claimed.payload, claimed.attempts, claimed.max_attempts,
    connection.phone_number_id, secret.access_token_ciphertext
  from claimed
  left join public.wa_phone_numbers as connection on connection.id = claimed.connection_id
  left join private.wa_connection_secrets as secret on secret.connection_id = claimed.connection_id
  order by claimed.priority desc, claimed.scheduled_at, claimed.sequence;
end $$;

ALTER FUNCTION public.claim_outbox(p_limit integer, p_worker text) OWNER TO postgres;

--
-- Name: complete_outbox(bigint, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.complete_outbox(p_token bigint, p_results jsonb) RETURNS TABLE(id uuid, outcome text)
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
#variable_conflict use_column
begin
  return query
  with result as materialized (
    select result.id, result.provider_message_id
    from jsonb_to_recordset(p_results) as result (id uuid, provider_message_id text)
    order by result.id
  ), sent as (
    update public.outbox_messages as outbox
    set status = 'sent', provider_message_id = result.provider_message_id,
      settled_at = clock_timestamp(), error_code = null, error_text = null
    from result
    where outbox.id = result.id and outbox.lease_token = p_token and outbox.status = 'processing'
    returning outbox.id, outbox.connection_id, outbox.provider_message_id
  ), early as (
    delete from public.wa_message_statuses as status using sent
    where status.connection_id = sent.connection_id and status.wa_message_id = sent.provider_message_id
    returning sent.id as outbox_id, status.status, status.error_code, status.error_text
  ), furthest as (
    select early.outbox_id, (array_agg(early.status order by private.wa_status_rank(early.status) desc))[1] as status,
      max(early.error_code) as error_code, max(early.error_text) as error_text
    from early group by early.outbox_id
  ), shown as (
    update public.wa_messages as message
    set wa_message_id = coalesce(message.wa_message_id, sent.provider_message_id),
      status = case when private.wa_status_rank(coalesce(furthest.status, 'sent')) > message.status_rank
        then coalesce(furthest.status, 'sent') else message.status end,
      error_code = coalesce(furthest.error_code, message.error_code),
      error_text = coalesce(furthest.error_text, message.error_text)
    from sent left join furthest on furthest.outbox_id = sent.id
    where message.outbox_id = sent.id
    returning message.id
  )
  select result.id,
    case
      when sent.id is not null then 'sent'
      when outbox.id is null then 'not_found'
      when outbox.lease_token = p_token and outbox.status <> 'processing' then outbox.status
      else 'lease_lost'
    end
  from result
  left join sent on sent.id = result.id
  left join public.outbox_messages as outbox on outbox.id = result.id;
  perform private.end_lease_when_empty(p_token);
end $$;

ALTER FUNCTION public.complete_outbox(p_token bigint, p_results jsonb) OWNER TO postgres;

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: wa_phone_numbers; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_phone_numbers (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    waba_id text NOT NULL,
    phone_number_id text NOT NULL,
    display_phone_number text,
    verified_name text,
    status text DEFAULT 'active'::text NOT NULL,
    status_reason text,
    messages_per_second integer DEFAULT 80 NOT NULL,
    deleted_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_phone_numbers_messages_per_second_check CHECK (((messages_per_second >= 1) AND (messages_per_second <= 10000))),
    CONSTRAINT wa_phone_numbers_phone_number_id_check CHECK ((phone_number_id ~ '^[0-9]{1,32}$'::text)),
    CONSTRAINT wa_phone_numbers_status_check CHECK ((status = ANY (ARRAY['active'::text, 'inactive'::text, 'paused'::text]))),
    CONSTRAINT wa_phone_numbers_waba_id_check CHECK ((waba_id ~ '^[0-9]{1,32}$'::text))
);

ALTER TABLE public.wa_phone_numbers OWNER TO postgres;

--
-- Name: connect_wa_phone_number(uuid, text, text, text, text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text DEFAULT NULL::text, p_verified_name text DEFAULT NULL::text) RETURNS public.wa_phone_numbers
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

ALTER FUNCTION public.connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text, p_verified_name text) OWNER TO postgres;

--
-- Name: workspaces; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspaces (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    slug text NOT NULL,
    name text NOT NULL,
    status text DEFAULT 'active'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workspaces_name_check CHECK (((length(btrim(name)) >= 1) AND (length(btrim(name)) <= 200))),
    CONSTRAINT workspaces_slug_check CHECK (((slug ~ '^[a-z][a-z0-9-]{1,62}$'::text) AND (slug !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'::text))),
    CONSTRAINT workspaces_status_check CHECK ((status = ANY (ARRAY['active'::text, 'suspended'::text])))
);

ALTER TABLE public.workspaces OWNER TO postgres;

--
-- Name: create_workspace(text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.create_workspace(p_slug text, p_name text) RETURNS public.workspaces
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_user_id uuid := private.require_user();
  v_workspace public.workspaces;
begin
  insert into public.workspaces (slug, name) values (p_slug, btrim(p_name)) returning * into v_workspace;
  insert into public.workspace_memberships (workspace_id, user_id, role) values (v_workspace.id, v_user_id, 'owner');
  return v_workspace;
exception
  when unique_violation then
    perform private.raise_error(409, 'slug_taken', jsonb_build_object('slug', p_slug), 'Choose another slug.');
  when check_violation or not_null_violation then
    if p_slug is null
      or p_slug !~ '^[a-z][a-z0-9-]{1,62}$'
      or p_slug ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
      perform private.raise_error(400, 'slug_invalid', jsonb_build_object('field', 'slug'),
        'Use 2 to 63 lower-case letters, digits and dashes, starting with a letter, not shaped like a uuid.');
    end if;
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'name'),
      'Give the workspace a name of 1 to 200 characters.');
end $_$;

ALTER FUNCTION public.create_workspace(p_slug text, p_name text) OWNER TO postgres;

--
-- Name: extend_lease(bigint, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.extend_lease(p_token bigint, p_seconds integer) RETURNS timestamp with time zone
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_expires_at timestamptz;
begin
  if p_seconds is null or p_seconds not between 1 and 600 then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_seconds", "allowed": "1 to 600"}',
      'Extend a lease by 1 to 600 seconds.');
  end if;
  update private.outbox_leases as lease
  set expires_at = greatest(lease.expires_at, clock_timestamp() + make_interval(secs => p_seconds))
  where lease.token = p_token and lease.expires_at > clock_timestamp()
  returning lease.expires_at into v_expires_at;
  if not found then
    perform private.raise_error(409, 'lease_lost', jsonb_build_object('token', p_token),
      'Drop the batch; what was sent is settled by its status.');
  end if;
  return v_expires_at;
end $$;

ALTER FUNCTION public.extend_lease(p_token bigint, p_seconds integer) OWNER TO postgres;

--
-- Name: fail_outbox(bigint, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.fail_outbox(p_token bigint, p_failures jsonb) RETURNS TABLE(id uuid, outcome text)
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
#variable_conflict use_column
begin
  if exists (
    select 1 from jsonb_to_recordset(p_failures) as failure (action text)
    where failure.action is null
      or failure.action not in ('retry', 'release', 'pause_connection', 'fail', 'dead', 'unknown')
  ) then
    perform private.raise_error(400, 'invalid_value',
      '{"field": "action", "allowed": ["retry", "release", "pause_connection", "fail", "dead", "unknown"]}',
      'Use one of the allowed actions.');
  end if;
  return query
  with failure as materialized (
    select failure.* from jsonb_to_recordset(p_failures) as failure
      (id uuid, action text, error_code text, error_text text, delay_seconds double precision)
    order by failure.id
  ), settled as (
    update public.outbox_messages as outbox
    set status = case
        when failure.action in ('release', 'pause_connection') then 'queued'
        when failure.action = 'retry' and outbox.attempts < outbox.max_attempts then 'queued'
        when failure.action in ('retry', 'dead') then 'dead'
        when failure.action = 'fail' then 'failed'
        else 'unknown'
      end,
      attempts = case when failure.action in ('release', 'pause_connection') then outbox.attempts - 1
        else outbox.attempts end,
      scheduled_at = case
        when failure.action = 'retry' or (failure.action = 'release' and failure.delay_seconds is not null)
          then clock_timestamp() + make_interval(secs => greatest(coalesce(failure.delay_seconds, 0), 0))
        else outbox.scheduled_at
      end,
      settled_at = case when failure.action in ('fail', 'dead') then clock_timestamp() end,
      error_code = failure.error_code, error_text = left(failure.error_text, 2000)
    from failure
    where outbox.id = failure.id and outbox.lease_token = p_token and outbox.status = 'processing'
    returning outbox.id, outbox.status, outbox.connection_id, failure.action, failure.error_code, failure.error_text
  ), paused as (
    update public.wa_phone_numbers as connection
    set status = 'paused', status_reason = pausing.reason
    from (
      select settled.connection_id, min(left(settled.error_text, 500)) as reason
      from settled where settled.action = 'pause_connection' group by settled.connection_id
    ) as pausing
    where connection.id = pausing.connection_id and connection.status = 'active'
    returning connection.id
  ), shown as (
    update public.wa_messages as message
    set status = case when settled.status = 'unknown' then 'unknown' else 'failed' end,
      error_code = case when settled.error_code ~ '^[0-9]{1,9}$' then settled.error_code::integer end,
      error_text = left(settled.error_text, 2000)
    from settled
    where message.outbox_id = settled.id and settled.status in ('failed', 'dead', 'unknown')
      and message.status_rank < private.wa_status_rank('sent')
    returning message.id
  )
  select failure.id,
    case
      when settled.id is not null then settled.status
      when outbox.id is null then 'not_found'
      when outbox.lease_token = p_token and outbox.status <> 'processing' then outbox.status
      else 'lease_lost'
    end
  from failure
  left join settled on settled.id = failure.id
  left join public.outbox_messages as outbox on outbox.id = failure.id;
  perform private.end_lease_when_empty(p_token);
end $_$;

ALTER FUNCTION public.fail_outbox(p_token bigint, p_failures jsonb) OWNER TO postgres;

--
-- Name: ingest_whatsapp_events(jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.ingest_whatsapp_events(p_events jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_recorded jsonb;
  v_apply bigint[];
  v_event_id bigint;
  v_problem text;
begin
  if jsonb_typeof(p_events) is distinct from 'array' then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_events"}', 'Send an array of events.');
  end if;

  -- Shared among webhooks, against connecting the number: either this sees the connection, or connecting sees this.
  perform pg_advisory_xact_lock_shared(address.key)
  from (
    select distinct hashtextextended(
      coalesce(item.value ->> 'phone_number_id', 'waba:' || coalesce(item.value ->> 'waba_id', '')), 1) as key
    from jsonb_array_elements(p_events) as item
    order by key
  ) as address;

  with input as materialized (
    select item.ordinality::integer as ordinal, item.value as event, item.value ->> 'event_key' as event_key,
      item.value ->> 'kind' as kind, item.value ->> 'phone_number_id' as phone_number_id,
      item.value ->> 'waba_id' as waba_id
    from jsonb_array_elements(p_events) with ordinality as item
  ), routed as materialized (
    select input.*, route.workspace_id, route.connection_id
    from input
    left join lateral (
      (select connection.workspace_id, connection.id as connection_id
       from public.wa_phone_numbers as connection
       where connection.phone_number_id = input.phone_number_id
         and connection.deleted_at is null and connection.status <> 'inactive')
      union all
      -- Account and template events name the business account only: they belong to its workspace, if there is just one.
      (select (array_agg(distinct connection.workspace_id))[1], null::uuid
       from public.wa_phone_numbers as connection
       where input.phone_number_id is null and connection.waba_id = input.waba_id
         and connection.deleted_at is null and connection.status <> 'inactive'
       having count(distinct connection.workspace_id) = 1)
    ) as route on true
  ), recorded as (
    insert into public.meta_webhook_events (workspace_id, connection_id, event_key, kind, event, status, error)
    select routed.workspace_id, routed.connection_id, routed.event_key, routed.kind, routed.event,
      case routed.kind when 'malformed' then 'set_aside' when 'other' then 'kept' else 'applied' end,
      routed.event ->> 'reason'
    from routed
    where routed.workspace_id is not null
    order by routed.workspace_id, routed.event_key
    on conflict on constraint meta_webhook_events_workspace_id_event_key_key do nothing
    returning id, workspace_id, event_key, kind
  ), orphaned as (
    insert into public.orphan_webhook_events as orphan (phone_number_id, event_key, kind, event)
    select distinct on (coalesce(routed.phone_number_id, 'waba:' || coalesce(routed.waba_id, '')), routed.event_key)
      coalesce(routed.phone_number_id, 'waba:' || coalesce(routed.waba_id, '')), routed.event_key, routed.kind,
      routed.event
    from routed
    where routed.workspace_id is null
    order by 1, 2
    on conflict on constraint orphan_webhook_events_phone_number_id_event_key_key do update
      set hits = orphan.hits + 1
    returning orphan.id, orphan.phone_number_id, orphan.event_key
  ), answer as (
    select routed.ordinal,
      case
        when routed.workspace_id is null then 'orphan'
        when recorded.id is null or routed.ordinal <> min(routed.ordinal) over (
          partition by routed.workspace_id, routed.event_key) then 'deduped'
        when routed.kind = 'malformed' then 'set_aside'
        else 'recorded'
      end as outcome,
      coalesce(recorded.id, orphaned.id) as event_id, recorded.kind, routed.event ->> 'reason' as reason
    from routed
    left join recorded on recorded.workspace_id = routed.workspace_id and recorded.event_key = routed.event_key
    left join orphaned on routed.workspace_id is null and orphaned.event_key = routed.event_key
      and orphaned.phone_number_id = coalesce(routed.phone_number_id, 'waba:' || coalesce(routed.waba_id, ''))
  )
  select jsonb_agg(to_jsonb(answer)),
    array_agg(answer.event_id order by answer.ordinal)
      filter (where answer.outcome = 'recorded' and answer.kind in ('message', 'status'))
  into v_recorded, v_apply
  from answer;

  if v_apply is not null then
    begin
      perform private.apply_whatsapp_events(v_apply);
    exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
      -- One item is bad. Its siblings must not pay for it: apply them one by one. The locks went with what was undone,
      -- and taking them item by item would have no order.
      perform private.lock_new_whatsapp_senders(v_apply);
      perform 1 from public.wa_threads as thread
      where thread.id in (
        select known.id
        from public.meta_webhook_events as event
        join public.wa_phone_numbers as connection on connection.id = event.connection_id
        cross join lateral private.whatsapp_sender(event.workspace_id, connection.waba_id,
          event.event ->> 'wa_id', event.event ->> 'user_id') as identity (contact_id)
        join public.wa_threads as known
          on known.connection_id = event.connection_id and known.contact_id = identity.contact_id
        where event.id = any (v_apply) and event.kind = 'message')
      order by thread.id
      for no key update;
      foreach v_event_id in array v_apply loop
        begin
          perform private.apply_whatsapp_events(array[v_event_id]);
        exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
          get stacked diagnostics v_problem = message_text;
          update public.meta_webhook_events as event set status = 'set_aside', error = v_problem
          where event.id = v_event_id;
        end;
      end loop;
    end;
  end if;

  return coalesce((
    select jsonb_agg(jsonb_build_object(
      'ordinal', answer.ordinal,
      'outcome', case when event.id is not null then 'set_aside' else answer.outcome end,
      'event_id', answer.event_id,
      'reason', coalesce(event.error, answer.reason)) order by answer.ordinal)
    from jsonb_to_recordset(v_recorded) as answer (ordinal integer, outcome text, event_id bigint, reason text)
    left join public.meta_webhook_events as event
      on event.id = answer.event_id and answer.outcome = 'recorded' and event.status = 'set_aside'
  ), '[]'::jsonb);
end $$;

ALTER FUNCTION public.ingest_whatsapp_events(p_events jsonb) OWNER TO postgres;

--
-- Name: resolve_connection_for_thread(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.resolve_connection_for_thread(p_thread_id uuid) RETURNS public.wa_phone_numbers
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
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

ALTER FUNCTION public.resolve_connection_for_thread(p_thread_id uuid) OWNER TO postgres;

--
-- Name: resolve_connection_for_webhook(text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.resolve_connection_for_webhook(p_phone_number_id text) RETURNS public.wa_phone_numbers
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
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

ALTER FUNCTION public.resolve_connection_for_webhook(p_phone_number_id text) OWNER TO postgres;

--
-- Name: resolve_workspace(text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.resolve_workspace(p_ref text) RETURNS uuid
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
  v_id uuid;
begin
  if not private.is_service() then
    perform private.require_user();
  end if;
  if p_ref ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
    select workspace.id into v_id from public.workspaces as workspace where workspace.id = p_ref::uuid;
  else
    select workspace.id into v_id from public.workspaces as workspace where workspace.slug = p_ref;
  end if;
  if v_id is null then
    perform private.raise_error(404, 'workspace_not_found', jsonb_build_object('workspace', left(p_ref, 100)),
      'Check the slug or id; only workspaces you belong to can be named.');
  end if;
  return v_id;
end $_$;

ALTER FUNCTION public.resolve_workspace(p_ref text) OWNER TO postgres;

--
-- Name: wa_messages; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_messages (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    thread_id uuid NOT NULL,
    sequence bigint NOT NULL,
    direction text NOT NULL,
    wa_message_id text,
    type text NOT NULL,
    body text,
    content jsonb DEFAULT '{}'::jsonb NOT NULL,
    status text,
    status_rank smallint GENERATED ALWAYS AS (private.wa_status_rank(status)) STORED,
    error_code integer,
    error_text text,
    sent_by uuid,
    outbox_id uuid,
    occurred_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_messages_direction_check CHECK ((direction = ANY (ARRAY['in'::text, 'out'::text]))),
    CONSTRAINT wa_messages_status_check CHECK ((((direction = 'in'::text) AND (status IS NULL)) OR ((direction = 'out'::text) AND (status = ANY (ARRAY['pending'::text, 'unknown'::text, 'sent'::text, 'failed'::text, 'delivered'::text, 'read'::text, 'played'::text])))))
)
WITH (fillfactor='85');

ALTER TABLE public.wa_messages OWNER TO postgres;

--
-- Name: send_whatsapp_text(uuid, text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text) RETURNS public.wa_messages
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := (select auth.uid());
  v_thread public.wa_threads;
  v_connection public.wa_phone_numbers;
  v_recipient text;
  v_payload jsonb;
  v_outbox public.outbox_messages;
  v_message public.wa_messages;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_thread.workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));

  if p_body is null or p_body !~ '[^[:space:]]' then
    perform private.raise_error(400, 'body_required', '{"field": "body"}', 'Send at least one visible character.');
  elsif length(p_body) > 4096 then
    perform private.raise_error(400, 'body_too_long',
      jsonb_build_object('field', 'body', 'length', length(p_body), 'limit', 4096),
      'Split the text; WhatsApp takes at most 4096 characters.');
  elsif p_idempotency_key is null or length(p_idempotency_key) not between 1 and 200 then
    perform private.raise_error(400, 'invalid_value', '{"field": "idempotency_key"}',
      'Give each message its own key of 1 to 200 characters, and repeat it when you repeat the request.');
  end if;
  v_payload := jsonb_build_object('type', 'text', 'text', jsonb_build_object('body', p_body));

  -- A repeated request gets its first answer, even when the window or the connection has closed since.
  select outbox.* into v_outbox from public.outbox_messages as outbox
  where outbox.workspace_id = v_thread.workspace_id and outbox.idempotency_key = p_idempotency_key;
  if not found then
    -- Messages of one thread are numbered in the order in which they become visible: a smaller number that came to
    -- light later could overtake a message that is already on its way.
    select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id for no key update;
    v_connection := public.resolve_connection_for_thread(p_thread_id);
    if coalesce(v_thread.last_inbound_at, '-infinity') <= now() - interval '24 hours' then
      perform private.raise_error(409, 'window_closed',
        jsonb_build_object('thread_id', p_thread_id, 'last_inbound_at', v_thread.last_inbound_at),
        'Send an approved template instead.');
    end if;
    select coalesce(
      (select '+' || identity.value from public.contact_identities as identity
       where identity.workspace_id = v_thread.workspace_id and identity.contact_id = v_thread.contact_id
         and identity.kind = 'wa_id' order by identity.created_at desc, identity.id limit 1),
      (select contact.phone from public.contacts as contact where contact.id = v_thread.contact_id),
      (select identity.value from public.contact_identities as identity
       where identity.workspace_id = v_thread.workspace_id and identity.contact_id = v_thread.contact_id
         and identity.kind = 'bsuid' and identity.scope = v_connection.waba_id
       order by identity.created_at desc, identity.id limit 1)
    ) into v_recipient;
    if v_recipient is null then
      perform private.raise_error(400, 'recipient_missing', jsonb_build_object('thread_id', p_thread_id),
        'Add a phone number to the contact.');
    end if;
    insert into public.outbox_messages
      (workspace_id, channel, connection_id, thread_id, recipient, payload, idempotency_key, created_by)
    values (v_thread.workspace_id, 'whatsapp', v_connection.id, p_thread_id, v_recipient, v_payload,
      p_idempotency_key, v_user_id)
    on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing
    returning * into v_outbox;
    if found then
      insert into public.wa_messages (workspace_id, connection_id, thread_id, direction, type, body, content, status,
        sent_by, outbox_id, occurred_at)
      values (v_thread.workspace_id, v_connection.id, p_thread_id, 'out', 'text', p_body, v_payload, 'pending',
        v_user_id, v_outbox.id, now())
      returning * into v_message;
      update public.wa_threads as thread
      set last_message_at = greatest(thread.last_message_at, v_message.occurred_at),
        last_message_body = left(p_body, 200), unread_count = 0
      where thread.id = p_thread_id;
      return v_message;
    end if;
    -- Someone else won the race for this key between the look-up and the insert.
    select outbox.* into v_outbox from public.outbox_messages as outbox
    where outbox.workspace_id = v_thread.workspace_id and outbox.idempotency_key = p_idempotency_key;
  end if;

  if v_outbox.thread_id is distinct from p_thread_id or v_outbox.payload <> v_payload then
    perform private.raise_error(409, 'idempotency_conflict', jsonb_build_object('idempotency_key', p_idempotency_key),
      'Use a new key for a new message.');
  end if;
  select message.* into v_message from public.wa_messages as message where message.outbox_id = v_outbox.id;
  return v_message;
end $$;

ALTER FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text) OWNER TO postgres;

--
-- Name: contacts; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contacts (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    name text,
    email text,
    phone text,
    lead_status text DEFAULT 'new'::text NOT NULL,
    status_tags text[] DEFAULT '{}'::text[] NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    source text DEFAULT 'manual'::text NOT NULL,
    assigned_to uuid,
    created_by uuid,
    deleted_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT contacts_email_check CHECK (((length(email) <= 320) AND (email ~ '^[^@[:space:]]+@[^@[:space:]]+$'::text))),
    CONSTRAINT contacts_lead_status_check CHECK ((lead_status = ANY (ARRAY['new'::text, 'pending'::text, 'queued'::text, 'contacted'::text, 'engaged'::text, 'qualified'::text, 'lost'::text]))),
    CONSTRAINT contacts_name_check CHECK (((length(name) >= 1) AND (length(name) <= 300))),
    CONSTRAINT contacts_phone_check CHECK ((phone ~ '^\+[1-9][0-9]{6,14}$'::text))
);

ALTER TABLE public.contacts OWNER TO postgres;

--
-- Name: update_contact_status(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.update_contact_status(p_contact_id uuid, p_lead_status text) RETURNS public.contacts
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_allowed constant text[] := array['new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost'];
  v_contact public.contacts;
begin
  perform private.require_role(
    (select contact.workspace_id from public.contacts as contact
     where contact.id = p_contact_id and contact.deleted_at is null),
    array['owner', 'admin', 'member'], 'contact_not_found', jsonb_build_object('contact_id', p_contact_id));
  if p_lead_status is null or not p_lead_status = any (v_allowed) then
    perform private.raise_error(400, 'lead_status_invalid',
      jsonb_build_object('field', 'lead_status', 'value', left(p_lead_status, 50), 'allowed', v_allowed),
      'Use one of the allowed lead statuses.');
  end if;
  update public.contacts as contact set lead_status = p_lead_status
  where contact.id = p_contact_id and contact.deleted_at is null
  returning * into v_contact;
  if not found then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', p_contact_id),
      'The contact was deleted meanwhile.');
  end if;
  return v_contact;
end $$;

ALTER FUNCTION public.update_contact_status(p_contact_id uuid, p_lead_status text) OWNER TO postgres;

--
-- Name: whoami(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.whoami() RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select jsonb_build_object(
    'user_id', (select auth.uid()),
    'email', (select profile.email from public.profiles as profile where profile.id = (select auth.uid())),
    'role', (select auth.role()),
    'database_role', current_user,
    'workspaces', coalesce((
      select jsonb_agg(
        jsonb_build_object('id', workspace.id, 'slug', workspace.slug, 'role', membership.role)
        order by workspace.slug)
      from public.workspace_memberships as membership
      join public.workspaces as workspace on workspace.id = membership.workspace_id
      where membership.user_id = (select auth.uid())), '[]'::jsonb),
    'personal_rows', '{}'::jsonb
  )
$$;

ALTER FUNCTION public.whoami() OWNER TO postgres;

--
-- Name: outbox_leases; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.outbox_leases (
    token bigint NOT NULL,
    worker text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE private.outbox_leases OWNER TO postgres;

--
-- Name: outbox_leases_token_seq; Type: SEQUENCE; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_leases ALTER COLUMN token ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME private.outbox_leases_token_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: wa_connection_secrets; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.wa_connection_secrets (
    connection_id uuid NOT NULL,
    access_token_ciphertext text NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE private.wa_connection_secrets OWNER TO postgres;

--
-- Name: contact_identities; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contact_identities (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    kind text NOT NULL,
    scope text DEFAULT ''::text NOT NULL,
    value text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT contact_identities_kind_check CHECK ((kind = ANY (ARRAY['wa_id'::text, 'bsuid'::text]))),
    CONSTRAINT contact_identities_value_check CHECK (((length(value) >= 1) AND (length(value) <= 256)))
);

ALTER TABLE public.contact_identities OWNER TO postgres;

--
-- Name: meta_webhook_events; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.meta_webhook_events (
    id bigint NOT NULL,
    workspace_id uuid NOT NULL,
    connection_id uuid,
    event_key text NOT NULL,
    kind text NOT NULL,
    event jsonb NOT NULL,
    status text NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    error text,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT meta_webhook_events_event_key_check CHECK (((length(event_key) >= 1) AND (length(event_key) <= 512))),
    CONSTRAINT meta_webhook_events_kind_check CHECK ((kind = ANY (ARRAY['message'::text, 'status'::text, 'other'::text, 'malformed'::text]))),
    CONSTRAINT meta_webhook_events_status_check CHECK ((status = ANY (ARRAY['applied'::text, 'kept'::text, 'set_aside'::text])))
);

ALTER TABLE public.meta_webhook_events OWNER TO postgres;

--
-- Name: meta_webhook_events_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.meta_webhook_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.meta_webhook_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: orphan_webhook_events; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.orphan_webhook_events (
    id bigint NOT NULL,
    phone_number_id text NOT NULL,
    event_key text NOT NULL,
    kind text NOT NULL,
    event jsonb NOT NULL,
    hits integer DEFAULT 1 NOT NULL,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    processed_at timestamp with time zone
);

ALTER TABLE public.orphan_webhook_events OWNER TO postgres;

--
-- Name: orphan_webhook_events_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.orphan_webhook_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.orphan_webhook_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: outbox_messages; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.outbox_messages (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    sequence bigint NOT NULL,
    workspace_id uuid NOT NULL,
    channel text NOT NULL,
    connection_id uuid,
    thread_id uuid,
    recipient text NOT NULL,
    payload jsonb NOT NULL,
    idempotency_key text NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    priority smallint DEFAULT 0 NOT NULL,
    attempts integer DEFAULT 0 NOT NULL,
    max_attempts integer DEFAULT 5 NOT NULL,
    scheduled_at timestamp with time zone DEFAULT now() NOT NULL,
    lease_token bigint,
    provider_message_id text,
    error_code text,
    error_text text,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    settled_at timestamp with time zone,
    CONSTRAINT outbox_messages_channel_check CHECK ((channel = ANY (ARRAY['whatsapp'::text, 'web_push'::text]))),
    CONSTRAINT outbox_messages_idempotency_key_check CHECK (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 200))),
    CONSTRAINT outbox_messages_processing_check CHECK (((status <> 'processing'::text) OR (lease_token IS NOT NULL))),
    CONSTRAINT outbox_messages_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'processing'::text, 'sent'::text, 'failed'::text, 'dead'::text, 'cancelled'::text, 'unknown'::text]))),
    CONSTRAINT outbox_messages_thread_id_check CHECK (((thread_id IS NULL) OR (connection_id IS NOT NULL))),
    CONSTRAINT outbox_messages_whatsapp_check CHECK (((channel <> 'whatsapp'::text) OR (connection_id IS NOT NULL)))
)
WITH (fillfactor='75');

ALTER TABLE public.outbox_messages OWNER TO postgres;

--
-- Name: outbox_messages_sequence_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.outbox_messages ALTER COLUMN sequence ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outbox_messages_sequence_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: profiles; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.profiles (
    id uuid NOT NULL,
    email text,
    full_name text,
    timezone text DEFAULT 'UTC'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT profiles_full_name_check CHECK ((length(full_name) <= 200)),
    CONSTRAINT profiles_timezone_check CHECK (((length(timezone) <= 100) AND private.is_timezone(timezone)))
);

ALTER TABLE public.profiles OWNER TO postgres;

--
-- Name: wa_message_statuses; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_message_statuses (
    connection_id uuid NOT NULL,
    wa_message_id text NOT NULL,
    status text NOT NULL,
    error_code integer,
    error_text text,
    occurred_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_message_statuses_status_check CHECK ((private.wa_status_rank(status) IS NOT NULL))
);

ALTER TABLE public.wa_message_statuses OWNER TO postgres;

--
-- Name: wa_messages_sequence_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_messages ALTER COLUMN sequence ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.wa_messages_sequence_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: wa_threads; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_threads (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    status text DEFAULT 'open'::text NOT NULL,
    assignee_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    snoozed_until timestamp with time zone,
    last_inbound_at timestamp with time zone,
    last_message_at timestamp with time zone,
    last_message_body text,
    unread_count integer DEFAULT 0 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_threads_status_check CHECK ((status = ANY (ARRAY['open'::text, 'pending'::text, 'snoozed'::text, 'closed'::text]))),
    CONSTRAINT wa_threads_unread_count_check CHECK ((unread_count >= 0))
)
WITH (fillfactor='80');

ALTER TABLE public.wa_threads OWNER TO postgres;

--
-- Name: workspace_memberships; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspace_memberships (
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    role text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workspace_memberships_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text, 'viewer'::text])))
);

ALTER TABLE public.workspace_memberships OWNER TO postgres;

--
-- Name: outbox_leases outbox_leases_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_leases
    ADD CONSTRAINT outbox_leases_pkey PRIMARY KEY (token);

--
-- Name: wa_connection_secrets wa_connection_secrets_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.wa_connection_secrets
    ADD CONSTRAINT wa_connection_secrets_pkey PRIMARY KEY (connection_id);

--
-- Name: contact_identities contact_identities_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_identities
    ADD CONSTRAINT contact_identities_pkey PRIMARY KEY (id);

--
-- Name: contact_identities contact_identities_value_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_identities
    ADD CONSTRAINT contact_identities_value_key UNIQUE (workspace_id, kind, scope, value);

--
-- Name: contacts contacts_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY (id);

--
-- Name: contacts contacts_workspace_id_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_workspace_id_id_key UNIQUE (workspace_id, id);

--
-- Name: meta_webhook_events meta_webhook_events_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.meta_webhook_events
    ADD CONSTRAINT meta_webhook_events_pkey PRIMARY KEY (id);

--
-- Name: meta_webhook_events meta_webhook_events_workspace_id_event_key_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.meta_webhook_events
    ADD CONSTRAINT meta_webhook_events_workspace_id_event_key_key UNIQUE (workspace_id, event_key);

--
-- Name: orphan_webhook_events orphan_webhook_events_phone_number_id_event_key_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.orphan_webhook_events
    ADD CONSTRAINT orphan_webhook_events_phone_number_id_event_key_key UNIQUE (phone_number_id, event_key);

--
-- Name: orphan_webhook_events orphan_webhook_events_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.orphan_webhook_events
    ADD CONSTRAINT orphan_webhook_events_pkey PRIMARY KEY (id);

--
-- Name: outbox_messages outbox_messages_id_workspace_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.outbox_messages
    ADD CONSTRAINT outbox_messages_id_workspace_id_key UNIQUE (id, workspace_id);

--
-- Name: outbox_messages outbox_messages_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.outbox_messages
    ADD CONSTRAINT outbox_messages_pkey PRIMARY KEY (id);

--
-- Name: outbox_messages outbox_messages_workspace_id_idempotency_key_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.outbox_messages
    ADD CONSTRAINT outbox_messages_workspace_id_idempotency_key_key UNIQUE (workspace_id, idempotency_key);

--
-- Name: profiles profiles_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.profiles
    ADD CONSTRAINT profiles_pkey PRIMARY KEY (id);

--
-- Name: wa_message_statuses wa_message_statuses_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_message_statuses
    ADD CONSTRAINT wa_message_statuses_pkey PRIMARY KEY (connection_id, wa_message_id, status);

--
-- Name: wa_messages wa_messages_connection_id_wa_message_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_messages
    ADD CONSTRAINT wa_messages_connection_id_wa_message_id_key UNIQUE (connection_id, wa_message_id);

--
-- Name: wa_messages wa_messages_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_messages
    ADD CONSTRAINT wa_messages_pkey PRIMARY KEY (id);

--
-- Name: wa_phone_numbers wa_phone_numbers_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_phone_numbers
    ADD CONSTRAINT wa_phone_numbers_pkey PRIMARY KEY (id);

--
-- Name: wa_phone_numbers wa_phone_numbers_workspace_id_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_phone_numbers
    ADD CONSTRAINT wa_phone_numbers_workspace_id_id_key UNIQUE (workspace_id, id);

--
-- Name: wa_threads wa_threads_connection_id_contact_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_threads
    ADD CONSTRAINT wa_threads_connection_id_contact_id_key UNIQUE (connection_id, contact_id);

--
-- Name: wa_threads wa_threads_id_connection_id_workspace_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_threads
    ADD CONSTRAINT wa_threads_id_connection_id_workspace_id_key UNIQUE (id, connection_id, workspace_id);

--
-- Name: wa_threads wa_threads_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_threads
    ADD CONSTRAINT wa_threads_pkey PRIMARY KEY (id);

--
-- Name: wa_threads wa_threads_workspace_id_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_threads
    ADD CONSTRAINT wa_threads_workspace_id_id_key UNIQUE (workspace_id, id);

--
-- Name: workspace_memberships workspace_memberships_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_memberships
    ADD CONSTRAINT workspace_memberships_pkey PRIMARY KEY (workspace_id, user_id);

--
-- Name: workspaces workspaces_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspaces
    ADD CONSTRAINT workspaces_pkey PRIMARY KEY (id);

--
-- Name: workspaces workspaces_slug_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspaces
    ADD CONSTRAINT workspaces_slug_key UNIQUE (slug);

--
-- Name: contact_identities_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_identities_workspace_id_contact_id_idx ON public.contact_identities USING btree (workspace_id, contact_id);

--
-- Name: contacts_created_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_created_by_idx ON public.contacts USING btree (created_by) WHERE (created_by IS NOT NULL);

--
-- Name: contacts_workspace_id_assigned_to_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_workspace_id_assigned_to_idx ON public.contacts USING btree (workspace_id, assigned_to) WHERE (assigned_to IS NOT NULL);

--
-- Name: contacts_workspace_id_created_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_workspace_id_created_at_idx ON public.contacts USING btree (workspace_id, created_at DESC, id DESC) WHERE (deleted_at IS NULL);

--
-- Name: contacts_workspace_id_email_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX contacts_workspace_id_email_idx ON public.contacts USING btree (workspace_id, lower(email)) WHERE ((deleted_at IS NULL) AND (email IS NOT NULL));

--
-- Name: contacts_workspace_id_phone_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX contacts_workspace_id_phone_idx ON public.contacts USING btree (workspace_id, phone) WHERE ((deleted_at IS NULL) AND (phone IS NOT NULL));

--
-- Name: meta_webhook_events_set_aside_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX meta_webhook_events_set_aside_idx ON public.meta_webhook_events USING btree (workspace_id, id) WHERE (status = 'set_aside'::text);

--
-- Name: meta_webhook_events_workspace_id_connection_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX meta_webhook_events_workspace_id_connection_id_idx ON public.meta_webhook_events USING btree (workspace_id, connection_id);

--
-- Name: orphan_webhook_events_unprocessed_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX orphan_webhook_events_unprocessed_idx ON public.orphan_webhook_events USING btree (phone_number_id, id) WHERE (processed_at IS NULL);

--
-- Name: outbox_messages_created_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_created_by_idx ON public.outbox_messages USING btree (created_by) WHERE (created_by IS NOT NULL);

--
-- Name: outbox_messages_lease_token_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_lease_token_idx ON public.outbox_messages USING btree (lease_token) WHERE (status = 'processing'::text);

--
-- Name: outbox_messages_queued_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_queued_idx ON public.outbox_messages USING btree (priority DESC, scheduled_at, sequence) WHERE (status = 'queued'::text);

--
-- Name: outbox_messages_thread_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_thread_id_idx ON public.outbox_messages USING btree (thread_id, connection_id, workspace_id) WHERE (thread_id IS NOT NULL);

--
-- Name: outbox_messages_unsettled_thread_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_unsettled_thread_id_idx ON public.outbox_messages USING btree (thread_id, sequence) WHERE (status = ANY (ARRAY['queued'::text, 'processing'::text]));

--
-- Name: outbox_messages_workspace_id_connection_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_workspace_id_connection_id_idx ON public.outbox_messages USING btree (workspace_id, connection_id);

--
-- Name: wa_messages_outbox_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX wa_messages_outbox_id_idx ON public.wa_messages USING btree (outbox_id, workspace_id) WHERE (outbox_id IS NOT NULL);

--
-- Name: wa_messages_sent_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_messages_sent_by_idx ON public.wa_messages USING btree (sent_by) WHERE (sent_by IS NOT NULL);

--
-- Name: wa_messages_thread_id_occurred_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_messages_thread_id_occurred_at_idx ON public.wa_messages USING btree (thread_id, connection_id, workspace_id, occurred_at DESC, sequence DESC);

--
-- Name: wa_phone_numbers_phone_number_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX wa_phone_numbers_phone_number_id_idx ON public.wa_phone_numbers USING btree (phone_number_id) WHERE ((deleted_at IS NULL) AND (status <> 'inactive'::text));

--
-- Name: wa_phone_numbers_waba_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_phone_numbers_waba_id_idx ON public.wa_phone_numbers USING btree (waba_id);

--
-- Name: wa_threads_workspace_id_assignee_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_assignee_id_idx ON public.wa_threads USING btree (workspace_id, assignee_id) WHERE (assignee_id IS NOT NULL);

--
-- Name: wa_threads_workspace_id_connection_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_connection_id_idx ON public.wa_threads USING btree (workspace_id, connection_id);

--
-- Name: wa_threads_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_contact_id_idx ON public.wa_threads USING btree (workspace_id, contact_id);

--
-- Name: wa_threads_workspace_id_last_message_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_last_message_at_idx ON public.wa_threads USING btree (workspace_id, last_message_at DESC, id DESC);

--
-- Name: workspace_memberships_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_memberships_user_id_idx ON public.workspace_memberships USING btree (user_id) INCLUDE (workspace_id, role);

--
-- Name: contacts contacts_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER contacts_set_updated_at BEFORE UPDATE ON public.contacts FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: profiles profiles_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER profiles_set_updated_at BEFORE UPDATE ON public.profiles FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_messages wa_messages_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_messages_set_updated_at BEFORE UPDATE ON public.wa_messages FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_phone_numbers wa_phone_numbers_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_phone_numbers_set_updated_at BEFORE UPDATE ON public.wa_phone_numbers FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_threads wa_threads_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_threads_set_updated_at BEFORE UPDATE ON public.wa_threads FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: workspace_memberships workspace_memberships_keep_an_owner; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE CONSTRAINT TRIGGER workspace_memberships_keep_an_owner AFTER DELETE OR UPDATE ON public.workspace_memberships DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((old.role = 'owner'::text)) EXECUTE FUNCTION private.keep_an_owner();

--
-- Name: workspace_memberships workspace_memberships_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_memberships_set_updated_at BEFORE UPDATE ON public.workspace_memberships FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: workspaces workspaces_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspaces_set_updated_at BEFORE UPDATE ON public.workspaces FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_connection_secrets wa_connection_secrets_connection_id_fkey; Type: FK CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.wa_connection_secrets
    ADD CONSTRAINT wa_connection_secrets_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.wa_phone_numbers(id) ON DELETE CASCADE;

--
-- Name: contact_identities contact_identities_workspace_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_identities
    ADD CONSTRAINT contact_identities_workspace_id_contact_id_fkey FOREIGN KEY (workspace_id, contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

--
-- Name: contacts contacts_created_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: contacts contacts_workspace_id_assigned_to_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_workspace_id_assigned_to_fkey FOREIGN KEY (workspace_id, assigned_to) REFERENCES public.workspace_memberships(workspace_id, user_id) ON DELETE SET NULL (assigned_to);

--
-- Name: contacts contacts_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: meta_webhook_events meta_webhook_events_workspace_id_connection_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.meta_webhook_events
    ADD CONSTRAINT meta_webhook_events_workspace_id_connection_id_fkey FOREIGN KEY (workspace_id, connection_id) REFERENCES public.wa_phone_numbers(workspace_id, id) ON DELETE CASCADE;

--
-- Name: meta_webhook_events meta_webhook_events_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.meta_webhook_events
    ADD CONSTRAINT meta_webhook_events_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: outbox_messages outbox_messages_created_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.outbox_messages
    ADD CONSTRAINT outbox_messages_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: outbox_messages outbox_messages_thread_id_connection_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.outbox_messages
    ADD CONSTRAINT outbox_messages_thread_id_connection_id_workspace_id_fkey FOREIGN KEY (thread_id, connection_id, workspace_id) REFERENCES public.wa_threads(id, connection_id, workspace_id) ON DELETE CASCADE;

--
-- Name: outbox_messages outbox_messages_workspace_id_connection_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.outbox_messages
    ADD CONSTRAINT outbox_messages_workspace_id_connection_id_fkey FOREIGN KEY (workspace_id, connection_id) REFERENCES public.wa_phone_numbers(workspace_id, id) ON DELETE CASCADE;

--
-- Name: outbox_messages outbox_messages_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.outbox_messages
    ADD CONSTRAINT outbox_messages_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: profiles profiles_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.profiles
    ADD CONSTRAINT profiles_id_fkey FOREIGN KEY (id) REFERENCES auth.users(id) ON DELETE CASCADE;

--
-- Name: wa_message_statuses wa_message_statuses_connection_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_message_statuses
    ADD CONSTRAINT wa_message_statuses_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.wa_phone_numbers(id) ON DELETE CASCADE;

--
-- Name: wa_messages wa_messages_outbox_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_messages
    ADD CONSTRAINT wa_messages_outbox_id_workspace_id_fkey FOREIGN KEY (outbox_id, workspace_id) REFERENCES public.outbox_messages(id, workspace_id) ON DELETE SET NULL (outbox_id);

--
-- Name: wa_messages wa_messages_sent_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_messages
    ADD CONSTRAINT wa_messages_sent_by_fkey FOREIGN KEY (sent_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: wa_messages wa_messages_thread_id_connection_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_messages
    ADD CONSTRAINT wa_messages_thread_id_connection_id_workspace_id_fkey FOREIGN KEY (thread_id, connection_id, workspace_id) REFERENCES public.wa_threads(id, connection_id, workspace_id) ON DELETE CASCADE;

--
-- Name: wa_phone_numbers wa_phone_numbers_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_phone_numbers
    ADD CONSTRAINT wa_phone_numbers_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: wa_threads wa_threads_workspace_id_assignee_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_threads
    ADD CONSTRAINT wa_threads_workspace_id_assignee_id_fkey FOREIGN KEY (workspace_id, assignee_id) REFERENCES public.workspace_memberships(workspace_id, user_id) ON DELETE SET NULL (assignee_id);

--
-- Name: wa_threads wa_threads_workspace_id_connection_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_threads
    ADD CONSTRAINT wa_threads_workspace_id_connection_id_fkey FOREIGN KEY (workspace_id, connection_id) REFERENCES public.wa_phone_numbers(workspace_id, id) ON DELETE CASCADE;

--
-- Name: wa_threads wa_threads_workspace_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_threads
    ADD CONSTRAINT wa_threads_workspace_id_contact_id_fkey FOREIGN KEY (workspace_id, contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

--
-- Name: workspace_memberships workspace_memberships_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_memberships
    ADD CONSTRAINT workspace_memberships_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

--
-- Name: workspace_memberships workspace_memberships_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_memberships
    ADD CONSTRAINT workspace_memberships_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: outbox_leases; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_leases ENABLE ROW LEVEL SECURITY;

--
-- Name: outbox_leases outbox_leases_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY outbox_leases_all_service ON private.outbox_leases TO service_role USING (true) WITH CHECK (true);

--
-- Name: wa_connection_secrets; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.wa_connection_secrets ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_connection_secrets wa_connection_secrets_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY wa_connection_secrets_all_service ON private.wa_connection_secrets TO service_role USING (true) WITH CHECK (true);

--
-- Name: contact_identities; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.contact_identities ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_identities contact_identities_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY contact_identities_select_member ON public.contact_identities FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: contacts; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.contacts ENABLE ROW LEVEL SECURITY;

--
-- Name: contacts contacts_insert_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY contacts_insert_member ON public.contacts FOR INSERT TO authenticated WITH CHECK (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as))) AND (created_by = ( SELECT auth.uid() AS uid))));

--
-- Name: contacts contacts_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY contacts_select_member ON public.contacts FOR SELECT TO authenticated USING (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))) AND (deleted_at IS NULL)));

--
-- Name: meta_webhook_events; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.meta_webhook_events ENABLE ROW LEVEL SECURITY;

--
-- Name: meta_webhook_events meta_webhook_events_select_admin; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY meta_webhook_events_select_admin ON public.meta_webhook_events FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text]) AS my_workspace_ids_as))));

--
-- Name: orphan_webhook_events; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.orphan_webhook_events ENABLE ROW LEVEL SECURITY;

--
-- Name: orphan_webhook_events orphan_webhook_events_all_service; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY orphan_webhook_events_all_service ON public.orphan_webhook_events TO service_role USING (true) WITH CHECK (true);

--
-- Name: outbox_messages; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.outbox_messages ENABLE ROW LEVEL SECURITY;

--
-- Name: outbox_messages outbox_messages_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY outbox_messages_select_member ON public.outbox_messages FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: profiles; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.profiles ENABLE ROW LEVEL SECURITY;

--
-- Name: profiles profiles_select_colleague; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY profiles_select_colleague ON public.profiles FOR SELECT TO authenticated USING (((id = ( SELECT auth.uid() AS uid)) OR (id IN ( SELECT membership.user_id
   FROM public.workspace_memberships membership
  WHERE (membership.workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids)))))));

--
-- Name: profiles profiles_update_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY profiles_update_self ON public.profiles FOR UPDATE TO authenticated USING ((id = ( SELECT auth.uid() AS uid))) WITH CHECK ((id = ( SELECT auth.uid() AS uid)));

--
-- Name: wa_message_statuses; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_message_statuses ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_message_statuses wa_message_statuses_all_service; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_message_statuses_all_service ON public.wa_message_statuses TO service_role USING (true) WITH CHECK (true);

--
-- Name: wa_messages; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_messages ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_messages wa_messages_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_messages_select_member ON public.wa_messages FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: wa_phone_numbers; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_phone_numbers ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_phone_numbers wa_phone_numbers_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_phone_numbers_select_member ON public.wa_phone_numbers FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: wa_threads; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_threads ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_threads wa_threads_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_threads_select_member ON public.wa_threads FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: workspace_memberships; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_memberships ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_memberships workspace_memberships_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_memberships_select_member ON public.workspace_memberships FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: workspaces; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspaces ENABLE ROW LEVEL SECURITY;

--
-- Name: workspaces workspaces_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspaces_select_member ON public.workspaces FOR SELECT TO authenticated USING ((id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: SCHEMA private; Type: ACL; Schema: -; Owner: postgres
--

GRANT USAGE ON SCHEMA private TO authenticated;
GRANT USAGE ON SCHEMA private TO service_role;

--
-- Name: SCHEMA public; Type: ACL; Schema: -; Owner: pg_database_owner
--

GRANT USAGE ON SCHEMA public TO postgres;
GRANT USAGE ON SCHEMA public TO anon;
GRANT USAGE ON SCHEMA public TO authenticated;
GRANT USAGE ON SCHEMA public TO service_role;

--
-- Name: FUNCTION apply_whatsapp_events(p_event_ids bigint[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_whatsapp_events(p_event_ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.apply_whatsapp_events(p_event_ids bigint[]) TO service_role;

--
-- Name: FUNCTION apply_whatsapp_statuses(p_event_ids bigint[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_whatsapp_statuses(p_event_ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.apply_whatsapp_statuses(p_event_ids bigint[]) TO service_role;

--
-- Name: FUNCTION end_lease_when_empty(p_token bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.end_lease_when_empty(p_token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION private.end_lease_when_empty(p_token bigint) TO service_role;

--
-- Name: FUNCTION ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text) TO service_role;

--
-- Name: FUNCTION is_service(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.is_service() FROM PUBLIC;
GRANT ALL ON FUNCTION private.is_service() TO authenticated;
GRANT ALL ON FUNCTION private.is_service() TO service_role;

--
-- Name: FUNCTION is_timezone(p_name text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.is_timezone(p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.is_timezone(p_name text) TO authenticated;
GRANT ALL ON FUNCTION private.is_timezone(p_name text) TO service_role;

--
-- Name: FUNCTION keep_an_owner(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.keep_an_owner() FROM PUBLIC;

--
-- Name: FUNCTION lock_new_whatsapp_senders(p_event_ids bigint[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_new_whatsapp_senders(p_event_ids bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_new_whatsapp_senders(p_event_ids bigint[]) TO service_role;

--
-- Name: FUNCTION mirror_auth_user(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.mirror_auth_user() FROM PUBLIC;

--
-- Name: FUNCTION my_workspace_ids(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.my_workspace_ids() FROM PUBLIC;
GRANT ALL ON FUNCTION private.my_workspace_ids() TO authenticated;
GRANT ALL ON FUNCTION private.my_workspace_ids() TO service_role;

--
-- Name: FUNCTION my_workspace_ids_as(VARIADIC p_roles text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.my_workspace_ids_as(VARIADIC p_roles text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.my_workspace_ids_as(VARIADIC p_roles text[]) TO authenticated;
GRANT ALL ON FUNCTION private.my_workspace_ids_as(VARIADIC p_roles text[]) TO service_role;

--
-- Name: FUNCTION raise_error(p_status integer, p_code text, p_detail jsonb, p_hint text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.raise_error(p_status integer, p_code text, p_detail jsonb, p_hint text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.raise_error(p_status integer, p_code text, p_detail jsonb, p_hint text) TO authenticated;
GRANT ALL ON FUNCTION private.raise_error(p_status integer, p_code text, p_detail jsonb, p_hint text) TO service_role;

--
-- Name: FUNCTION refuse_change(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refuse_change() FROM PUBLIC;

--
-- Name: FUNCTION replay_whatsapp_orphans(p_phone_number_id text, p_waba_id text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.replay_whatsapp_orphans(p_phone_number_id text, p_waba_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.replay_whatsapp_orphans(p_phone_number_id text, p_waba_id text) TO service_role;

--
-- Name: FUNCTION require_role(p_workspace_id uuid, p_roles text[], p_missing_code text, p_detail jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.require_role(p_workspace_id uuid, p_roles text[], p_missing_code text, p_detail jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION private.require_role(p_workspace_id uuid, p_roles text[], p_missing_code text, p_detail jsonb) TO authenticated;
GRANT ALL ON FUNCTION private.require_role(p_workspace_id uuid, p_roles text[], p_missing_code text, p_detail jsonb) TO service_role;

--
-- Name: FUNCTION require_user(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.require_user() FROM PUBLIC;
GRANT ALL ON FUNCTION private.require_user() TO authenticated;
GRANT ALL ON FUNCTION private.require_user() TO service_role;

--
-- Name: FUNCTION set_updated_at(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.set_updated_at() FROM PUBLIC;

--
-- Name: FUNCTION wa_status_rank(p_status text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wa_status_rank(p_status text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.wa_status_rank(p_status text) TO service_role;

--
-- Name: FUNCTION whatsapp_sender(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.whatsapp_sender(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.whatsapp_sender(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text) TO service_role;

--
-- Name: FUNCTION claim_outbox(p_limit integer, p_worker text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.claim_outbox(p_limit integer, p_worker text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.claim_outbox(p_limit integer, p_worker text) TO service_role;

--
-- Name: FUNCTION complete_outbox(p_token bigint, p_results jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.complete_outbox(p_token bigint, p_results jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.complete_outbox(p_token bigint, p_results jsonb) TO service_role;

--
-- Name: TABLE wa_phone_numbers; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_phone_numbers TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_phone_numbers TO service_role;

--
-- Name: FUNCTION connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text, p_verified_name text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text, p_verified_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text, p_verified_name text) TO service_role;

--
-- Name: TABLE workspaces; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspaces TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.workspaces TO service_role;

--
-- Name: FUNCTION create_workspace(p_slug text, p_name text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.create_workspace(p_slug text, p_name text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.create_workspace(p_slug text, p_name text) TO authenticated;

--
-- Name: FUNCTION extend_lease(p_token bigint, p_seconds integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.extend_lease(p_token bigint, p_seconds integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.extend_lease(p_token bigint, p_seconds integer) TO service_role;

--
-- Name: FUNCTION fail_outbox(p_token bigint, p_failures jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.fail_outbox(p_token bigint, p_failures jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.fail_outbox(p_token bigint, p_failures jsonb) TO service_role;

--
-- Name: FUNCTION ingest_whatsapp_events(p_events jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.ingest_whatsapp_events(p_events jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.ingest_whatsapp_events(p_events jsonb) TO service_role;

--
-- Name: FUNCTION resolve_connection_for_thread(p_thread_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.resolve_connection_for_thread(p_thread_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.resolve_connection_for_thread(p_thread_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.resolve_connection_for_thread(p_thread_id uuid) TO service_role;

--
-- Name: FUNCTION resolve_connection_for_webhook(p_phone_number_id text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.resolve_connection_for_webhook(p_phone_number_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.resolve_connection_for_webhook(p_phone_number_id text) TO service_role;

--
-- Name: FUNCTION resolve_workspace(p_ref text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.resolve_workspace(p_ref text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.resolve_workspace(p_ref text) TO authenticated;
GRANT ALL ON FUNCTION public.resolve_workspace(p_ref text) TO service_role;

--
-- Name: TABLE wa_messages; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_messages TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_messages TO service_role;

--
-- Name: FUNCTION send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text) TO service_role;
GRANT ALL ON FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text) TO authenticated;

--
-- Name: TABLE contacts; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.contacts TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contacts TO service_role;

--
-- Name: COLUMN contacts.workspace_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(workspace_id) ON TABLE public.contacts TO authenticated;

--
-- Name: COLUMN contacts.name; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(name) ON TABLE public.contacts TO authenticated;

--
-- Name: COLUMN contacts.email; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(email) ON TABLE public.contacts TO authenticated;

--
-- Name: COLUMN contacts.phone; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(phone) ON TABLE public.contacts TO authenticated;

--
-- Name: COLUMN contacts.lead_status; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(lead_status) ON TABLE public.contacts TO authenticated;

--
-- Name: COLUMN contacts.tags; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(tags) ON TABLE public.contacts TO authenticated;

--
-- Name: COLUMN contacts.source; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(source) ON TABLE public.contacts TO authenticated;

--
-- Name: COLUMN contacts.assigned_to; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(assigned_to) ON TABLE public.contacts TO authenticated;

--
-- Name: COLUMN contacts.created_by; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(created_by) ON TABLE public.contacts TO authenticated;

--
-- Name: FUNCTION update_contact_status(p_contact_id uuid, p_lead_status text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.update_contact_status(p_contact_id uuid, p_lead_status text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_contact_status(p_contact_id uuid, p_lead_status text) TO authenticated;
GRANT ALL ON FUNCTION public.update_contact_status(p_contact_id uuid, p_lead_status text) TO service_role;

--
-- Name: FUNCTION whoami(); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.whoami() FROM PUBLIC;
GRANT ALL ON FUNCTION public.whoami() TO authenticated;
GRANT ALL ON FUNCTION public.whoami() TO service_role;

--
-- Name: TABLE outbox_leases; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.outbox_leases TO service_role;

--
-- Name: TABLE wa_connection_secrets; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.wa_connection_secrets TO service_role;

--
-- Name: TABLE contact_identities; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.contact_identities TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contact_identities TO service_role;

--
-- Name: TABLE meta_webhook_events; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.meta_webhook_events TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.meta_webhook_events TO service_role;

--
-- Name: TABLE orphan_webhook_events; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.orphan_webhook_events TO service_role;

--
-- Name: TABLE outbox_messages; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.outbox_messages TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.outbox_messages TO service_role;

--
-- Name: TABLE profiles; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.profiles TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.profiles TO service_role;

--
-- Name: COLUMN profiles.full_name; Type: ACL; Schema: public; Owner: postgres
--

GRANT UPDATE(full_name) ON TABLE public.profiles TO authenticated;

--
-- Name: COLUMN profiles.timezone; Type: ACL; Schema: public; Owner: postgres
--

GRANT UPDATE(timezone) ON TABLE public.profiles TO authenticated;

--
-- Name: TABLE wa_message_statuses; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_message_statuses TO service_role;

--
-- Name: TABLE wa_threads; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_threads TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_threads TO service_role;

--
-- Name: TABLE workspace_memberships; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspace_memberships TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.workspace_memberships TO service_role;

--
-- PostgreSQL database dump complete
--
