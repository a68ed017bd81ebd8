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
-- Name: whatsapp_item; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.whatsapp_item AS (
	ordinal integer,
	event_id bigint,
	workspace_id uuid,
	connection_id uuid,
	waba_id text,
	kind text,
	direction text,
	occurred_at timestamp with time zone,
	wa_message_id text,
	target_id text,
	wa_id text,
	user_id text,
	new_wa_id text,
	new_user_id text,
	group_id text,
	profile_name text,
	type text,
	body text,
	content jsonb,
	context jsonb,
	is_placeholder boolean,
	status text,
	error_code integer,
	error_text text,
	outbox_id uuid,
	pricing jsonb,
	contact_id uuid,
	thread_id uuid,
	message_id uuid,
	is_known boolean
);

ALTER TYPE private.whatsapp_item OWNER TO postgres;

--
-- Name: whatsapp_record; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.whatsapp_record AS (
	ordinal integer,
	event_id bigint,
	workspace_id uuid,
	connection_id uuid,
	waba_id text
);

ALTER TYPE private.whatsapp_record OWNER TO postgres;

--
-- Name: answer_with_whatsapp_orphans(jsonb, integer[], jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.answer_with_whatsapp_orphans(p_events jsonb, p_ordinals integer[], p_answer jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_answer jsonb;
begin
  with orphan as materialized (
    select item.ordinal, p_events -> (item.ordinal - 1) as event from unnest(p_ordinals) as item (ordinal)
  ), addressed as materialized (
    select orphan.ordinal, orphan.event, orphan.event ->> 'event_key' as event_key,
      coalesce(orphan.event ->> 'phone_number_id', 'waba:' || coalesce(orphan.event ->> 'waba_id', '')) as address
    from orphan
  ), kept as (
    insert into public.orphan_webhook_events as known (phone_number_id, event_key, kind, event)
    select distinct on (addressed.address, addressed.event_key)
      addressed.address, addressed.event_key, addressed.event ->> 'kind', addressed.event
    from addressed
    order by addressed.address, addressed.event_key, addressed.ordinal
    on conflict on constraint orphan_webhook_events_phone_number_id_event_key_key do update
      set hits = known.hits + 1
    returning known.id, known.phone_number_id, known.event_key
  ), answer as (
    select entry.ordinal, coalesce(min(entry.event_id), min(kept.id)) as event_id, min(entry.reason) as reason,
      -- In the order of the alphabet what was deduped here gives way to what was recorded there.
      max(entry.outcome) as outcome
    from jsonb_to_recordset(p_answer) as entry (ordinal integer, event_id bigint, reason text, outcome text)
    left join addressed on addressed.ordinal = entry.ordinal
    left join kept on kept.phone_number_id = addressed.address and kept.event_key = addressed.event_key
    group by entry.ordinal
  )
  select jsonb_agg(to_jsonb(answer) order by answer.ordinal) into v_answer from answer;
  return v_answer;
end $$;

ALTER FUNCTION private.answer_with_whatsapp_orphans(p_events jsonb, p_ordinals integer[], p_answer jsonb) OWNER TO postgres;

--
-- Name: apply_or_set_aside_whatsapp_events(jsonb, private.whatsapp_record[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_or_set_aside_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_items private.whatsapp_item[];
  v_record private.whatsapp_record;
  v_problem text;
  v_failed jsonb;
begin
  begin
    perform private.apply_whatsapp_events(p_events, p_records);
    return null;
  exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
    -- One item is bad. Its siblings must not pay for it. The locks went with what was undone, and taking them item by
    -- item would have no order.
    v_items := private.whatsapp_items(p_events, p_records);
    perform private.lock_whatsapp_message_ids(v_items);
    perform private.lock_whatsapp_people(v_items);
    -- Those that it waited for may have made them meanwhile.
    v_items := private.whatsapp_items(p_events, p_records);
    perform private.lock_whatsapp_threads(v_items);
    perform private.lock_whatsapp_outbox(v_items);
  end;
  foreach v_record in array p_records loop
    begin
      perform private.apply_whatsapp_events(p_events, array[v_record]);
    exception when data_exception or integrity_constraint_violation or program_limit_exceeded then
      get stacked diagnostics v_problem = message_text;
      v_failed := coalesce(v_failed, '{}'::jsonb) || jsonb_build_object(v_record.event_id, v_problem);
    end;
  end loop;
  return v_failed;
end $$;

ALTER FUNCTION private.apply_or_set_aside_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]) OWNER TO postgres;

--
-- Name: apply_other_whatsapp_items(private.whatsapp_item[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_other_whatsapp_items(p_items private.whatsapp_item[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_item private.whatsapp_item;
begin
  for v_item in
    select item.* from unnest(p_items) as item
    where item.kind in ('preference', 'address_book', 'history_sync', 'template', 'account', 'number')
    order by item.occurred_at nulls first, item.ordinal
  loop
    if v_item.kind = 'preference' then
      update public.contacts as contact
      set marketing_opted_out = v_item.type = 'stop', marketing_preference_at = coalesce(v_item.occurred_at, now())
      where contact.id = v_item.contact_id
        and coalesce(v_item.occurred_at, now()) >= coalesce(contact.marketing_preference_at, '-infinity');
    elsif v_item.kind = 'address_book' then
      update public.contacts as contact set name = left(v_item.profile_name, 300)
      where contact.id = v_item.contact_id and contact.name is null and v_item.type is distinct from 'remove';
    elsif v_item.kind = 'history_sync' then
      update public.wa_phone_numbers as connection
      set history_progress = greatest(connection.history_progress, (v_item.content ->> 'progress')::smallint),
        history_status = case
          when v_item.content ? 'declined' or connection.history_status = 'declined' then 'declined'
          when (v_item.content ->> 'progress')::integer >= 100 or connection.history_status = 'complete' then 'complete'
          else 'syncing'
        end
      where connection.id = v_item.connection_id;
    elsif v_item.kind = 'template' then
      perform private.apply_whatsapp_template_event(v_item);
    else
      perform private.apply_whatsapp_account_event(v_item);
    end if;
  end loop;
end $$;

ALTER FUNCTION private.apply_other_whatsapp_items(p_items private.whatsapp_item[]) OWNER TO postgres;

--
-- Name: apply_whatsapp_account_event(private.whatsapp_item); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_whatsapp_account_event(p_item private.whatsapp_item) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_value constant jsonb := p_item.content;
  v_event constant text := v_value ->> 'event';
  v_at constant timestamptz := coalesce(p_item.occurred_at, now());
  v_number constant text := regexp_replace(
    coalesce(v_value ->> 'display_phone_number', v_value ->> 'phone_number', ''), '[^0-9]', '', 'g');
  v_numbers uuid[];
begin
  -- Some events concern one number of the account, which they name as people write it.
  v_numbers := array(
    select connection.id from public.wa_phone_numbers as connection
    where connection.workspace_id = p_item.workspace_id and connection.waba_id = p_item.waba_id
      and connection.deleted_at is null
      and (v_number = '' or regexp_replace(connection.display_phone_number, '[^0-9]', '', 'g') = v_number)
    order by connection.id);

  if p_item.type = 'phone_number_quality_update' then
    update public.wa_phone_numbers as connection
    set quality = v_event, messaging_limit = coalesce(v_value ->> 'max_daily_conversations_per_business',
        v_value ->> 'current_limit', connection.messaging_limit), quality_changed_at = v_at
    where connection.id = any (v_numbers) and v_at >= coalesce(connection.quality_changed_at, '-infinity');
  elsif p_item.type = 'phone_number_name_update' then
    update public.wa_phone_numbers as connection
    set verified_name = coalesce(v_value ->> 'requested_verified_name', connection.verified_name),
      name_changed_at = v_at
    where connection.id = any (v_numbers) and v_value ->> 'decision' = 'APPROVED'
      and v_at >= coalesce(connection.name_changed_at, '-infinity');
  elsif v_event in ('PARTNER_REMOVED', 'PARTNER_APP_UNINSTALLED', 'ACCOUNT_DELETED') then
    -- The tokens are worth nothing any more; connecting a number again brings a new one. Locked before anything of them
    -- changes, as everywhere, so that a number that somebody connects meanwhile stays connected.
    v_numbers := array(
      select connection.id from public.wa_phone_numbers as connection
      where connection.id = any (v_numbers) and v_at >= coalesce(connection.account_changed_at, '-infinity')
      order by connection.id
      for update);
    update public.wa_phone_numbers as connection set account_changed_at = v_at where connection.id = any (v_numbers);
    perform private.deactivate_connections(v_numbers, 'Meta: ' || v_event);
  elsif v_event = 'ACCOUNT_OFFBOARDED'
    or (v_event = 'DISABLED_UPDATE' and v_value #>> '{ban_info,waba_ban_state}' = 'DISABLE') then
    -- It still receives, and what is queued waits.
    update public.wa_phone_numbers as connection
    set status = case when connection.status = 'active' then 'paused' else connection.status end,
      status_reason = case when connection.status = 'active' then 'Meta: ' || v_event else connection.status_reason end,
      account_changed_at = v_at
    where connection.id = any (v_numbers) and v_at >= coalesce(connection.account_changed_at, '-infinity');
  elsif v_event = 'ACCOUNT_RECONNECTED'
    or (v_event = 'DISABLED_UPDATE' and v_value #>> '{ban_info,waba_ban_state}' = 'REINSTATE') then
    update public.wa_phone_numbers as connection
    set status = case when undone.pause then 'active' else connection.status end,
      status_reason = case when undone.pause then null else connection.status_reason end, account_changed_at = v_at
    from (
      select paused.id, paused.status = 'paused' and paused.status_reason = 'Meta: ' ||
        case v_event when 'ACCOUNT_RECONNECTED' then 'ACCOUNT_OFFBOARDED' else v_event end as pause
      from public.wa_phone_numbers as paused where paused.id = any (v_numbers)
    ) as undone
    where connection.id = undone.id and v_at >= coalesce(connection.account_changed_at, '-infinity');
  end if;
end $$;

ALTER FUNCTION private.apply_whatsapp_account_event(p_item private.whatsapp_item) OWNER TO postgres;

--
-- Name: apply_whatsapp_events(jsonb, private.whatsapp_record[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_items private.whatsapp_item[] := private.whatsapp_items(p_events, p_records);
  v_messages boolean;
  v_changes boolean;
  v_statuses boolean;
  v_others boolean;
  v_people_missing boolean;
  v_targets_missing boolean;
  v_outgoing boolean;
  v_early jsonb;
  v_early_records private.whatsapp_record[];
  v_touched uuid[];
  v_automated_threads uuid[];
begin
  select bool_or(item.kind in ('message', 'echo', 'history', 'call')),
    bool_or(item.kind in ('reaction', 'edit', 'revoke')),
    bool_or(item.kind = 'status'),
    bool_or(item.kind in ('identity', 'preference', 'address_book', 'history_sync', 'template', 'account', 'number')),
    bool_or(not item.is_known or item.kind = 'identity'
      or (item.thread_id is null and item.kind in ('message', 'echo', 'history', 'call'))),
    bool_or(item.message_id is null and item.kind in ('status', 'reaction', 'edit', 'revoke')),
    bool_or(item.kind in ('echo', 'history'))
  into v_messages, v_changes, v_statuses, v_others, v_people_missing, v_targets_missing, v_outgoing
  from unnest(v_items) as item;

  if v_messages or v_targets_missing then
    perform private.lock_whatsapp_message_ids(v_items);
  end if;
  if v_people_missing or v_others then
    perform private.lock_whatsapp_people(v_items);
  end if;
  if v_people_missing then
    perform private.ensure_whatsapp_threads(p_events, p_records);
  end if;
  if v_people_missing or v_targets_missing then
    -- What another transaction has brought meanwhile is there now, and its threads are to be locked before its messages.
    v_items := private.whatsapp_items(p_events, p_records);
  end if;
  if v_messages or v_changes then
    perform private.lock_whatsapp_threads(v_items);
  end if;
  if v_messages then
    perform private.store_whatsapp_messages(v_items);
  end if;
  if v_targets_missing and v_messages then
    v_items := private.whatsapp_items(p_events, p_records);
  end if;
  if v_messages or v_statuses then
    v_automated_threads := private.lock_whatsapp_outbox(v_items);
  end if;

  if v_changes then
    insert into public.wa_message_changes (connection_id, wa_message_id, kind, target_id, direction, actor, type, body,
      content, occurred_at)
    select item.connection_id, item.wa_message_id, item.kind, item.target_id, item.direction,
      case
        when item.direction = 'out' then 'business'
        when item.group_id is not null then coalesce(item.wa_id, item.user_id)
        else 'customer'
      end,
      case item.kind when 'edit' then item.type end, item.body, item.content, item.occurred_at
    from unnest(v_items) as item
    where item.kind in ('reaction', 'edit', 'revoke')
    order by item.connection_id, item.wa_message_id
    on conflict on constraint wa_message_changes_pkey do nothing;
  end if;
  if v_outgoing then
    -- What has waited for these messages.
    with early as (
      delete from public.wa_message_statuses as status using unnest(v_items) as item
      where item.direction = 'out' and item.kind in ('echo', 'history')
        and status.connection_id = item.connection_id and status.wa_message_id = item.wa_message_id
      returning item.workspace_id, status.*
    ), numbered as (
      select early.*, row_number() over () as ordinal from early
    )
    select jsonb_agg(to_jsonb(numbered) || '{"kind": "status"}' order by numbered.ordinal),
      array_agg(row(numbered.ordinal, null, numbered.workspace_id, numbered.connection_id, null)::private.whatsapp_record)
    into v_early, v_early_records from numbered;
    if v_early is not null then
      v_items := v_items || private.whatsapp_items(v_early, v_early_records);
      v_statuses := true;
    end if;
  end if;
  if v_changes or (v_messages and exists (
    select 1 from unnest(v_items) as item
    join public.wa_message_changes as change
      on change.connection_id = item.connection_id and change.target_id = item.wa_message_id)) then
    v_touched := array(
      select message.id
      from (
        select item.message_id as id from unnest(v_items) as item
        where item.kind in ('reaction', 'edit', 'revoke') and item.message_id is not null
        union
        select message.id from unnest(v_items) as item
        join public.wa_message_changes as change
          on change.connection_id = item.connection_id and change.target_id = item.wa_message_id
        join public.wa_messages as message
          on message.connection_id = item.connection_id and message.wa_message_id = item.wa_message_id
        where item.kind in ('message', 'echo', 'history')
      ) as message);
    if v_touched <> '{}' then
      perform 1 from public.wa_messages as message
      where message.id = any (v_touched || array(
        select item.message_id from unnest(v_items) as item where item.kind = 'status' and item.message_id is not null))
      order by message.id
      for no key update;
    end if;
  end if;
  if v_statuses then
    perform private.apply_whatsapp_statuses(v_items);
  end if;
  if v_touched <> '{}' then
    perform private.refresh_whatsapp_messages(v_touched);
  end if;
  if v_others then
    perform private.apply_other_whatsapp_items(v_items);
  end if;
  if v_automated_threads <> '{}' then
    perform private.cancel_automated_outbox(v_automated_threads, 'The conversation went on without it.');
  end if;
end $$;

ALTER FUNCTION private.apply_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]) OWNER TO postgres;

--
-- Name: apply_whatsapp_identity(private.whatsapp_item); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_whatsapp_identity(p_item private.whatsapp_item) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
  v_contact_id uuid;
  v_identity record;
begin
  select identity.contact_id into v_contact_id from public.contact_identities as identity
  where identity.workspace_id = p_item.workspace_id
    and ((identity.kind = 'wa_id' and identity.scope = ''
        and identity.value = any (private.whatsapp_number_forms(p_item.wa_id)))
      or (identity.kind = 'bsuid' and identity.scope = p_item.waba_id and identity.value = p_item.user_id))
  order by identity.kind = 'wa_id' desc, identity.value = p_item.wa_id desc
  limit 1;
  if v_contact_id is null and coalesce(p_item.wa_id, p_item.user_id) is null then
    return;
  elsif v_contact_id is null then
    -- The news is here before anything that the person wrote by the old number; maybe not before the new one.
    select identity.contact_id into v_contact_id from public.contact_identities as identity
    where identity.workspace_id = p_item.workspace_id
      and ((identity.kind = 'wa_id' and identity.scope = ''
          and identity.value = any (private.whatsapp_number_forms(p_item.new_wa_id)))
        or (identity.kind = 'bsuid' and identity.scope = p_item.waba_id and identity.value = p_item.new_user_id))
    order by identity.kind = 'wa_id' desc, identity.value = p_item.new_wa_id desc
    limit 1;
    if v_contact_id is null then
      v_contact_id := private.ensure_whatsapp_contact(
        p_item.workspace_id, p_item.waba_id, p_item.wa_id, p_item.user_id, null);
    end if;
  end if;

  for v_identity in
    select kind, scope, value from (values
      ('wa_id', '', p_item.wa_id), ('bsuid', p_item.waba_id, p_item.user_id),
      ('wa_id', '', p_item.new_wa_id), ('bsuid', p_item.waba_id, p_item.new_user_id)) as known (kind, scope, value)
    where value is not null
  loop
    insert into public.contact_identities (workspace_id, contact_id, kind, scope, value)
    values (p_item.workspace_id, v_contact_id, v_identity.kind, v_identity.scope, v_identity.value)
    on conflict on constraint contact_identities_value_key do nothing;
    perform private.report_duplicate_contacts(p_item.workspace_id, v_contact_id, identity.contact_id,
      'The number or id of one has become that of the other.')
    from public.contact_identities as identity
    where identity.workspace_id = p_item.workspace_id and identity.kind = v_identity.kind
      and identity.scope = v_identity.scope and identity.value = v_identity.value;
  end loop;

  -- The number is the person's, unless somebody has given the contact another one by hand.
  update public.contacts as contact set phone = '+' || p_item.new_wa_id
  where contact.id = v_contact_id and p_item.new_wa_id ~ '^[1-9][0-9]{6,14}$'
    and (contact.phone is null or substr(contact.phone, 2) = any (private.whatsapp_number_forms(p_item.wa_id)))
    and not exists (
      select 1 from public.contacts as other
      where other.workspace_id = p_item.workspace_id and other.phone = '+' || p_item.new_wa_id
        and other.deleted_at is null);
end $_$;

ALTER FUNCTION private.apply_whatsapp_identity(p_item private.whatsapp_item) OWNER TO postgres;

--
-- Name: apply_whatsapp_statuses(private.whatsapp_item[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_whatsapp_statuses(p_items private.whatsapp_item[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ranks constant text[] := array['pending', 'cancelled', 'unknown', 'sent', 'failed', 'delivered', 'read', 'played'];
  v_outbox_ids uuid[] := array(
    select item.outbox_id from unnest(p_items) as item
    where item.kind = 'status' and item.message_id is not null and item.outbox_id is not null);
begin
  if v_outbox_ids <> '{}' then
    perform private.lock_unsettled_outbox(v_outbox_ids);
  end if;

  update public.wa_messages as message
  set status = case when furthest.rank > message.status_rank then furthest.status else message.status end,
    wa_message_id = coalesce(message.wa_message_id, furthest.wa_message_id),
    -- Said with each status and hardly ever different; where it is, the same one in whatever order they come.
    pricing = greatest(message.pricing, furthest.pricing), updated_at = now()
  from (
    select distinct on (item.message_id) item.message_id, item.status, array_position(v_ranks, item.status) as rank,
      item.wa_message_id,
      first_value(item.pricing) over (partition by item.message_id order by item.pricing desc nulls last) as pricing
    from unnest(p_items) as item
    where item.kind = 'status' and item.message_id is not null and array_position(v_ranks, item.status) is not null
    -- Rows are locked in this order, as everywhere.
    order by item.message_id, array_position(v_ranks, item.status) desc
  ) as furthest
  where message.id = furthest.message_id and message.direction = 'out'
    and (furthest.rank > message.status_rank or message.wa_message_id is null
      or greatest(message.pricing, furthest.pricing) is distinct from message.pricing);
  if exists (select 1 from unnest(p_items) as item where item.kind = 'status' and item.error_code is not null) then
    -- Kept beside the status, whatever that is: the same one of several in whatever order they come.
    update public.wa_messages as message
    set error_code = failure.error_code, error_text = failure.error_text, updated_at = now()
    from (
      select distinct on (item.message_id) item.message_id, item.error_code, item.error_text
      from unnest(p_items) as item
      where item.kind = 'status' and item.message_id is not null and item.error_code is not null
      order by item.message_id, item.error_code desc, item.error_text desc nulls last
    ) as failure
    where message.id = failure.message_id and message.direction = 'out'
      and (message.error_code is null
        or (failure.error_code, coalesce(failure.error_text, '')) > (message.error_code, coalesce(message.error_text, '')));
  end if;

  if v_outbox_ids <> '{}' then
    perform private.settle_outbox_from_statuses(array_agg(proof.outbox_id), array_agg(proof.wa_message_id),
      array_agg(proof.status = 'failed'), array_agg(proof.error_code), array_agg(proof.error_text))
    from (
      select distinct on (message.outbox_id) message.outbox_id, item.wa_message_id, item.status, item.error_code,
        item.error_text
      from unnest(p_items) as item
      join public.wa_messages as message on message.id = item.message_id
      where item.kind = 'status' and message.outbox_id = any (v_outbox_ids)
        and message.outbox_id = item.outbox_id
      order by message.outbox_id, array_position(v_ranks, item.status) desc, item.ordinal
    ) as proof;
  end if;

  insert into public.wa_message_statuses as status
    (connection_id, wa_message_id, status, error_code, error_text, pricing, occurred_at)
  select distinct on (item.connection_id, item.wa_message_id, item.status)
    item.connection_id, item.wa_message_id, item.status, item.error_code, item.error_text,
    first_value(item.pricing) over (
      partition by item.connection_id, item.wa_message_id, item.status order by item.pricing desc nulls last),
    item.occurred_at
  from unnest(p_items) as item
  where item.kind = 'status' and item.message_id is null and array_position(v_ranks, item.status) is not null
  order by item.connection_id, item.wa_message_id, item.status, item.error_code desc nulls last,
    item.error_text desc nulls last
  -- Each participant of a group has statuses: what they say together, in whatever order they come.
  on conflict on constraint wa_message_statuses_pkey do update
    set pricing = greatest(status.pricing, excluded.pricing),
      error_code = case when (excluded.error_code, coalesce(excluded.error_text, ''))
          > (coalesce(status.error_code, -1), coalesce(status.error_text, ''))
        then excluded.error_code else status.error_code end,
      error_text = case when (excluded.error_code, coalesce(excluded.error_text, ''))
          > (coalesce(status.error_code, -1), coalesce(status.error_text, ''))
        then excluded.error_text else status.error_text end;
end $$;

ALTER FUNCTION private.apply_whatsapp_statuses(p_items private.whatsapp_item[]) OWNER TO postgres;

--
-- Name: apply_whatsapp_template_event(private.whatsapp_item); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_whatsapp_template_event(p_item private.whatsapp_item) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_value constant jsonb := p_item.content;
  v_at constant timestamptz := coalesce(p_item.occurred_at, now());
  v_new public.wa_templates;
begin
  v_new.status := case when p_item.type in ('message_template_status_update', 'template_status_update')
    then v_value ->> 'event' end;
  v_new.category := coalesce(v_value ->> 'new_category', v_value ->> 'message_template_category');
  v_new.quality := v_value ->> 'new_quality_score';
  v_new.components := case p_item.type when 'message_template_components_update' then v_value end;
  if v_value ->> 'message_template_id' is null then
    return;
  end if;
  insert into public.wa_templates as template (workspace_id, waba_id, template_id, name, language, status, rejected_reason,
    category, quality, components, status_changed_at, category_changed_at, quality_changed_at, components_changed_at)
  values (p_item.workspace_id, p_item.waba_id, v_value ->> 'message_template_id', v_value ->> 'message_template_name',
    v_value ->> 'message_template_language', v_new.status,
    case when v_new.status is not null then nullif(v_value ->> 'reason', 'NONE') end, v_new.category, v_new.quality,
    v_new.components,
    case when v_new.status is not null then v_at end, case when v_new.category is not null then v_at end,
    case when v_new.quality is not null then v_at end, case when v_new.components is not null then v_at end)
  on conflict on constraint wa_templates_template_id_key do update
  set name = coalesce(template.name, excluded.name), language = coalesce(template.language, excluded.language),
    (status, rejected_reason, status_changed_at) = (
      select (newer.row).status, (newer.row).rejected_reason, (newer.row).status_changed_at
      from (select case when excluded.status_changed_at >= coalesce(template.status_changed_at, '-infinity')
        then excluded else template end as row) as newer),
    (category, category_changed_at) = (
      select (newer.row).category, (newer.row).category_changed_at
      from (select case when excluded.category_changed_at >= coalesce(template.category_changed_at, '-infinity')
        then excluded else template end as row) as newer),
    (quality, quality_changed_at) = (
      select (newer.row).quality, (newer.row).quality_changed_at
      from (select case when excluded.quality_changed_at >= coalesce(template.quality_changed_at, '-infinity')
        then excluded else template end as row) as newer),
    (components, components_changed_at) = (
      select (newer.row).components, (newer.row).components_changed_at
      from (select case when excluded.components_changed_at >= coalesce(template.components_changed_at, '-infinity')
        then excluded else template end as row) as newer);
end $$;

ALTER FUNCTION private.apply_whatsapp_template_event(p_item private.whatsapp_item) OWNER TO postgres;

--
-- Name: cancel_automated_outbox(uuid[], text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  with cancelled as (
    update public.outbox_messages as outbox
    set status = 'cancelled', error_code = 'cancelled', error_text = p_reason, settled_at = now()
    where outbox.thread_id = any (p_thread_ids) and outbox.automated and outbox.status = 'queued'
    returning outbox.id, outbox.workspace_id
  )
  update public.wa_messages as message set status = 'cancelled', error_text = p_reason
  from cancelled
  where message.outbox_id = cancelled.id and message.workspace_id = cancelled.workspace_id
    and message.status = 'pending';
end $$;

ALTER FUNCTION private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) OWNER TO postgres;

--
-- Name: complete_whatsapp_messages(private.whatsapp_item[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.complete_whatsapp_messages(p_items private.whatsapp_item[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_filled uuid[];
  v_thread_ids uuid[];
  v_latest_at timestamptz[];
  v_bodies text[];
  v_inbound_at timestamptz[];
  v_replied_at timestamptz[];
  v_unread_counts integer[];
begin
  with incoming as materialized (
    select distinct on (item.connection_id, item.wa_message_id) item.*,
      bool_or(item.kind = 'echo') over same as is_echo, bool_and(item.kind = 'history') over same as is_history
    from unnest(p_items) as item
    where item.kind in ('message', 'echo', 'history', 'call') and item.thread_id is not null
    window same as (partition by item.connection_id, item.wa_message_id)
    order by item.connection_id, item.wa_message_id, item.is_placeholder, item.ordinal
  ), existing as materialized (
    select incoming.*, message.id, message.source, message.is_placeholder and not incoming.is_placeholder as is_content,
      message.source = 'history' and not incoming.is_history as is_live
    from incoming
    join public.wa_messages as message
      on message.connection_id = incoming.connection_id and message.wa_message_id = incoming.wa_message_id
        and message.direction = incoming.direction
  ), completed as (
    update public.wa_messages as message
    set type = case when existing.is_content then existing.type else message.type end,
      body = case when existing.is_content then existing.body else message.body end,
      content = case when existing.is_content then coalesce(existing.content, '{}'::jsonb) else message.content end,
      context = case when existing.is_content then existing.context else message.context end,
      occurred_at = case when existing.is_content then least(existing.occurred_at, now()) else message.occurred_at end,
      is_placeholder = message.is_placeholder and not existing.is_content,
      source = case when not existing.is_live then message.source when existing.is_echo then 'phone' else 'live' end,
      updated_at = now()
    from existing
    where message.id = existing.id and (existing.is_content or existing.is_live)
    returning message.thread_id, message.direction, message.source, message.occurred_at, message.sequence,
      message.body, existing.is_live
  ), latest as (
    select completed.thread_id, max(completed.occurred_at) as occurred_at,
      max(completed.occurred_at) filter (where completed.direction = 'in' and completed.source = 'live') as inbound_at,
      max(completed.occurred_at) filter (where completed.source <> 'history') as replied_at,
      count(*) filter (where completed.is_live and completed.direction = 'in' and completed.source = 'live')
        as unread_count,
      left((array_agg(completed.body order by completed.occurred_at desc, completed.sequence desc))[1], 200) as body
    from completed group by completed.thread_id
  )
  select array_agg(latest.thread_id), array_agg(latest.occurred_at), array_agg(latest.body),
    array_agg(latest.inbound_at), array_agg(latest.replied_at), array_agg(latest.unread_count::integer)
  into v_thread_ids, v_latest_at, v_bodies, v_inbound_at, v_replied_at, v_unread_counts
  from latest;
  perform private.move_whatsapp_threads(
    v_thread_ids, v_latest_at, v_bodies, v_inbound_at, v_replied_at, v_unread_counts);

  -- What the history says became of a message that the phone has sent.
  update public.wa_messages as message set status = furthest.status, updated_at = now()
  from (
    select distinct on (item.connection_id, item.wa_message_id) item.connection_id, item.wa_message_id, item.status
    from unnest(p_items) as item
    where item.kind in ('echo', 'history') and item.direction = 'out'
    order by item.connection_id, item.wa_message_id, private.wa_status_rank(item.status) desc
  ) as furthest
  where message.connection_id = furthest.connection_id and message.wa_message_id = furthest.wa_message_id
    and message.direction = 'out' and private.wa_status_rank(furthest.status) > message.status_rank;

  with shared as (
    select item.connection_id, item.wa_message_id, jsonb_agg(card.value) as cards
    from unnest(p_items) as item
    cross join lateral jsonb_array_elements(
      case jsonb_typeof(item.content -> 'contacts') when 'array' then item.content -> 'contacts' end) as card
    where item.kind = 'message' and item.type = 'contacts'
    group by 1, 2
  ), merged as (
    select message.id, (
      select jsonb_agg(card.value order by card.value)
      from (
        select old.value from jsonb_array_elements(message.content -> 'contacts') as old
        union select new.value from jsonb_array_elements(shared.cards) as new
      ) as card) as cards
    from shared
    join public.wa_messages as message
      on message.connection_id = shared.connection_id and message.wa_message_id = shared.wa_message_id
    where message.type = 'contacts' and jsonb_typeof(message.content -> 'contacts') = 'array'
      and not message.content -> 'contacts' @> shared.cards
  ), filled as (
    update public.wa_messages as message
    set content = jsonb_build_object('contacts', merged.cards),
      body = merged.cards #>> '{0,name,formatted_name}', updated_at = now()
    from merged where message.id = merged.id
    returning message.id
  )
  select array_agg(filled.id) into v_filled from filled;
  if v_filled is not null then
    perform private.refresh_whatsapp_messages(v_filled);
  end if;
end $$;

ALTER FUNCTION private.complete_whatsapp_messages(p_items private.whatsapp_item[]) OWNER TO postgres;

--
-- Name: connection_secret(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.connection_secret(p_connection_id uuid) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_ciphertext text;
  v_vault_secret_id uuid;
begin
  select secret.access_token_ciphertext, secret.vault_secret_id into v_ciphertext, v_vault_secret_id
  from private.wa_connection_secrets as secret where secret.connection_id = p_connection_id;
  if v_vault_secret_id is not null and private.has_vault() then
    execute 'select secret.decrypted_secret from vault.decrypted_secrets as secret where secret.id = $1'
      into v_ciphertext using v_vault_secret_id;
  end if;
  return v_ciphertext;
end $_$;

ALTER FUNCTION private.connection_secret(p_connection_id uuid) OWNER TO postgres;

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
    quality text,
    messaging_limit text,
    quality_changed_at timestamp with time zone,
    name_changed_at timestamp with time zone,
    account_changed_at timestamp with time zone,
    history_status text,
    history_progress smallint,
    deleted_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_phone_numbers_history_status_check CHECK ((history_status = ANY (ARRAY['syncing'::text, 'complete'::text, 'declined'::text]))),
    CONSTRAINT wa_phone_numbers_messages_per_second_check CHECK (((messages_per_second >= 1) AND (messages_per_second <= 10000))),
    CONSTRAINT wa_phone_numbers_phone_number_id_check CHECK ((phone_number_id ~ '^[0-9]{1,32}$'::text)),
    CONSTRAINT wa_phone_numbers_status_check CHECK ((status = ANY (ARRAY['active'::text, 'inactive'::text, 'paused'::text]))),
    CONSTRAINT wa_phone_numbers_waba_id_check CHECK ((waba_id ~ '^[0-9]{1,32}$'::text))
);

ALTER TABLE public.wa_phone_numbers OWNER TO postgres;

--
-- Name: deactivate_connections(uuid[], text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.deactivate_connections(p_connection_ids uuid[], p_reason text) RETURNS SETOF public.wa_phone_numbers
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  delete from private.wa_connection_secrets as secret where secret.connection_id = any (p_connection_ids);
  return query
  update public.wa_phone_numbers as connection set status = 'inactive', status_reason = left(p_reason, 500)
  where connection.id = any (p_connection_ids) and connection.status <> 'inactive'
  returning connection.*;
end $$;

ALTER FUNCTION private.deactivate_connections(p_connection_ids uuid[], p_reason text) OWNER TO postgres;

--
-- Name: delete_webhook_events(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.delete_webhook_events() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  delete from public.meta_webhook_events as event where event.workspace_id = old.id;
  return null;
end $$;

ALTER FUNCTION private.delete_webhook_events() OWNER TO postgres;

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
-- Name: ensure_whatsapp_contact(uuid, text, text, text, text, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text, p_source text DEFAULT 'whatsapp'::text) RETURNS uuid
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
  v_forms text[] := private.whatsapp_number_forms(p_wa_id);
  v_phone text := case when p_wa_id ~ '^[1-9][0-9]{6,14}$' then '+' || p_wa_id end;
  v_name text := nullif(left(btrim(p_name), 300), '');
  v_by_wa_id uuid;
  v_by_user_id uuid;
  v_by_phone uuid;
  v_contact_id uuid;
begin
  select identity.contact_id into v_by_wa_id from public.contact_identities as identity
  where identity.workspace_id = p_workspace_id and identity.kind = 'wa_id' and identity.scope = ''
    and identity.value = any (v_forms)
  order by identity.value = p_wa_id desc
  limit 1;
  select identity.contact_id into v_by_user_id from public.contact_identities as identity
  where identity.workspace_id = p_workspace_id and identity.kind = 'bsuid' and identity.scope = p_waba_id
    and identity.value = p_user_id;
  select contact.id into v_by_phone from public.contacts as contact
  where contact.workspace_id = p_workspace_id and contact.deleted_at is null
    and contact.phone = any (array(select '+' || form.value from unnest(v_forms) as form (value)))
  order by contact.phone = v_phone desc
  limit 1;

  v_contact_id := coalesce(v_by_wa_id, v_by_user_id, v_by_phone);
  if v_contact_id is null then
    insert into public.contacts (workspace_id, name, phone, source)
    values (p_workspace_id, v_name, v_phone, p_source)
    returning id into v_contact_id;
  else
    perform private.report_duplicate_contacts(p_workspace_id, v_contact_id, other.contact_id,
      'One sender on WhatsApp is known by the identities of both.')
    from unnest(array[v_by_user_id, v_by_phone]) as other (contact_id)
    where other.contact_id is not null;
    update public.contacts as contact
    set name = coalesce(contact.name, v_name),
      phone = case when v_by_phone is null then coalesce(contact.phone, v_phone) else contact.phone end
    where contact.id = v_contact_id
      and ((contact.name is null and v_name is not null)
        or (contact.phone is null and v_phone is not null and v_by_phone is null));
  end if;

  insert into public.contact_identities (workspace_id, contact_id, kind, scope, value)
  select p_workspace_id, v_contact_id, identity.kind, identity.scope, identity.value
  from (values ('wa_id', '', p_wa_id), ('bsuid', p_waba_id, p_user_id)) as identity (kind, scope, value)
  where identity.value is not null
  on conflict on constraint contact_identities_value_key do nothing;
  return v_contact_id;
end $_$;

ALTER FUNCTION private.ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text, p_source text) OWNER TO postgres;

--
-- Name: ensure_whatsapp_threads(jsonb, private.whatsapp_record[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.ensure_whatsapp_threads(p_events jsonb, p_records private.whatsapp_record[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_items private.whatsapp_item[] := private.whatsapp_items(p_events, p_records);
  v_identity private.whatsapp_item;
  v_sender record;
begin
  -- Some of them get a name or a number.
  perform 1 from public.contacts as contact
  where contact.id in (select item.contact_id from unnest(v_items) as item where not item.is_known)
  order by contact.id
  for no key update;

  -- Before whoever writes by a new number or id, so that nobody takes them for a new person.
  for v_identity in
    select item.* from unnest(v_items) as item where item.kind = 'identity'
    order by item.occurred_at nulls first, item.ordinal
  loop
    for v_sender in
      select distinct item.workspace_id, item.waba_id, item.wa_id, item.user_id, item.profile_name
      from unnest(v_items) as item
      where not item.is_known and item.workspace_id = v_identity.workspace_id
        and (item.wa_id = v_identity.wa_id or item.user_id = v_identity.user_id)
      order by item.wa_id nulls last, item.user_id nulls last, item.profile_name nulls last
      limit 1
    loop
      perform private.ensure_whatsapp_contact(v_sender.workspace_id, v_sender.waba_id, v_sender.wa_id, v_sender.user_id,
        v_sender.profile_name);
    end loop;
    perform private.apply_whatsapp_identity(v_identity);
  end loop;

  for v_sender in
    select distinct on (item.workspace_id, item.wa_id, item.user_id)
      item.workspace_id, item.waba_id, item.wa_id, item.user_id, item.profile_name,
      case item.kind when 'address_book' then 'address_book' else 'whatsapp' end as source
    from unnest(v_items) as item
    where not item.is_known
    -- Senders with both ids first: a later item of the same person may carry one of them alone.
    order by item.workspace_id, item.wa_id nulls last, item.user_id nulls last, item.profile_name nulls last
  loop
    perform private.ensure_whatsapp_contact(v_sender.workspace_id, v_sender.waba_id, v_sender.wa_id, v_sender.user_id,
      v_sender.profile_name, v_sender.source);
  end loop;

  insert into public.wa_threads (workspace_id, connection_id, contact_id, group_id, status)
  select item.workspace_id, item.connection_id, case when item.group_id is null then item.contact_id end, item.group_id,
    -- What was said long ago, or by the business itself, asks nobody for an answer.
    case when bool_or(item.kind in ('message', 'call')) then 'open' else 'closed' end
  from unnest(private.whatsapp_items(p_events, p_records)) as item
  where item.kind in ('message', 'echo', 'history', 'call') and item.thread_id is null
    and (item.contact_id is not null or item.group_id is not null)
  group by 1, 2, 3, 4
  order by 2, 3, 4
  on conflict do nothing;
end $$;

ALTER FUNCTION private.ensure_whatsapp_threads(p_events jsonb, p_records private.whatsapp_record[]) OWNER TO postgres;

--
-- Name: forget_vault_secret(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.forget_vault_secret() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
begin
  if private.has_vault() then
    execute 'delete from vault.secrets where id = $1' using old.vault_secret_id;
  end if;
  return null;
end $_$;

ALTER FUNCTION private.forget_vault_secret() OWNER TO postgres;

--
-- Name: has_vault(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.has_vault() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  -- One after the other: asking for what is inside a schema without usage on it is an error.
  if not exists (
    select from pg_namespace as namespace
    where namespace.nspname = 'vault' and has_schema_privilege(namespace.oid, 'usage')
  ) then
    return false;
  end if;
  return coalesce(
    has_function_privilege(to_regprocedure('vault.create_secret(text, text, text, uuid)'), 'execute')
      and has_function_privilege(to_regprocedure('vault.update_secret(uuid, text, text, text, uuid)'), 'execute')
      and has_table_privilege(to_regclass('vault.decrypted_secrets'), 'select')
      and has_table_privilege(to_regclass('vault.secrets'), 'delete'),
    false);
end $$;

ALTER FUNCTION private.has_vault() OWNER TO postgres;

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
-- Name: lock_unsettled_outbox(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_unsettled_outbox(p_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform 1 from public.outbox_messages as outbox
  where outbox.id = any (p_ids) and outbox.status in ('unknown', 'queued', 'processing')
  order by outbox.id
  for no key update;
end $$;

ALTER FUNCTION private.lock_unsettled_outbox(p_ids uuid[]) OWNER TO postgres;

--
-- Name: lock_whatsapp_message_ids(private.whatsapp_item[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_whatsapp_message_ids(p_items private.whatsapp_item[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform case when slot.alone then pg_advisory_xact_lock(slot.key) else pg_advisory_xact_lock_shared(slot.key) end
  from (
    select hashtextextended(item.connection_id::text,
        100 + (hashtext(coalesce(item.target_id, item.wa_message_id)) & 15)) as key,
      bool_or(item.kind in ('status', 'reaction', 'edit', 'revoke')) as alone
    from unnest(p_items) as item
    where item.kind in ('message', 'echo', 'history', 'call')
      or (item.kind in ('status', 'reaction', 'edit', 'revoke') and item.message_id is null)
    group by key
    order by key
  ) as slot;
end $$;

ALTER FUNCTION private.lock_whatsapp_message_ids(p_items private.whatsapp_item[]) OWNER TO postgres;

--
-- Name: lock_whatsapp_outbox(private.whatsapp_item[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_whatsapp_outbox(p_items private.whatsapp_item[]) RETURNS uuid[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ids uuid[] := array(
    select item.outbox_id from unnest(p_items) as item where item.kind = 'status' and item.outbox_id is not null);
  v_automated uuid[];
  v_threads uuid[];
begin
  select array_agg(outbox.id), array_agg(distinct outbox.thread_id) into v_automated, v_threads
  from public.outbox_messages as outbox
  where outbox.thread_id = any (array(
      select item.thread_id from unnest(p_items) as item where item.kind in ('message', 'echo', 'call')))
    and outbox.automated and outbox.status = 'queued';
  if v_automated is not null or v_ids <> '{}' then
    perform private.lock_unsettled_outbox(v_ids || v_automated);
  end if;
  return v_threads;
end $$;

ALTER FUNCTION private.lock_whatsapp_outbox(p_items private.whatsapp_item[]) OWNER TO postgres;

--
-- Name: lock_whatsapp_people(private.whatsapp_item[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_whatsapp_people(p_items private.whatsapp_item[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform case when people.alone then pg_advisory_xact_lock(people.key) else pg_advisory_xact_lock_shared(people.key) end
  from (
    select hashtextextended(item.workspace_id::text, 256) as key,
      bool_or(item.kind in (
        'identity', 'preference', 'address_book', 'history_sync', 'template', 'account', 'number')) as alone
    from unnest(p_items) as item
    where not item.is_known or item.kind in (
      'identity', 'preference', 'address_book', 'history_sync', 'template', 'account', 'number')
    group by key
    order by key
  ) as people;
  perform pg_advisory_xact_lock(slot.key)
  from (
    select distinct hashtextextended(item.workspace_id::text, hashtext(identity.kind || identity.canonical) & 255) as key
    from unnest(p_items) as item
    cross join lateral (values
      ('wa_id', '', item.wa_id,
        (select min(form.value) from unnest(private.whatsapp_number_forms(item.wa_id)) as form (value))),
      ('bsuid', item.waba_id, item.user_id, item.user_id)
    ) as identity (kind, scope, value, canonical)
    where identity.value is not null
      and not exists (
        select 1 from public.contact_identities as known
        where known.workspace_id = item.workspace_id and known.kind = identity.kind
          and known.scope = identity.scope and known.value = identity.value)
    order by key
  ) as slot;
end $$;

ALTER FUNCTION private.lock_whatsapp_people(p_items private.whatsapp_item[]) OWNER TO postgres;

--
-- Name: lock_whatsapp_threads(private.whatsapp_item[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_whatsapp_threads(p_items private.whatsapp_item[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform 1 from public.wa_threads as thread
  where thread.id in (
    select item.thread_id from unnest(p_items) as item
    where item.kind in ('message', 'echo', 'history', 'call', 'reaction', 'edit', 'revoke')
    union
    select message.thread_id from unnest(p_items) as item
    join public.wa_messages as message on message.id = item.message_id
    where item.kind in ('reaction', 'edit', 'revoke'))
  order by thread.id
  for no key update;
end $$;

ALTER FUNCTION private.lock_whatsapp_threads(p_items private.whatsapp_item[]) OWNER TO postgres;

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
-- Name: move_whatsapp_threads(uuid[], timestamp with time zone[], text[], timestamp with time zone[], timestamp with time zone[], integer[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_inbound_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  update public.wa_threads as thread
  set last_inbound_at = greatest(thread.last_inbound_at, latest.inbound_at),
    last_message_body = case
      when latest.occurred_at >= coalesce(thread.last_message_at, '-infinity') then latest.body
      else thread.last_message_body
    end,
    last_message_at = greatest(thread.last_message_at, latest.occurred_at),
    unread_count = thread.unread_count + latest.unread_count,
    -- A closed conversation is one that waits for the customer, who has just written.
    status = case when latest.unread_count > 0 and thread.status in ('closed', 'snoozed') then 'open'
      else thread.status end,
    snoozed_until = case when latest.unread_count > 0 then null else thread.snoozed_until end,
    automation_stopped_at = greatest(thread.automation_stopped_at, latest.replied_at), updated_at = now()
  from unnest(p_thread_ids, p_latest_at, p_bodies, p_inbound_at, p_replied_at, p_unread_counts)
    as latest (thread_id, occurred_at, body, inbound_at, replied_at, unread_count)
  where thread.id = latest.thread_id;
end $$;

ALTER FUNCTION private.move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_inbound_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]) OWNER TO postgres;

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
-- Name: refresh_whatsapp_messages(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.refresh_whatsapp_messages(p_message_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  update public.wa_messages as message
  set type = coalesce(edit.type, message.type), body = case when edit.type is null then message.body else edit.body end,
    content = coalesce(edit.content, message.content), edited_at = edit.occurred_at, revoked_at = (
      select min(change.occurred_at) from public.wa_message_changes as change
      where change.connection_id = message.connection_id and change.target_id = message.wa_message_id
        and change.kind = 'revoke' and change.direction = message.direction),
    reactions = (
      select jsonb_object_agg(reaction.actor, jsonb_build_object('emoji', reaction.body, 'at', reaction.occurred_at))
        filter (where reaction.body is not null)
      from (
        select distinct on (change.actor) change.actor, change.body, change.occurred_at
        from public.wa_message_changes as change
        where change.connection_id = message.connection_id and change.target_id = message.wa_message_id
          and change.kind = 'reaction'
        order by change.actor, change.occurred_at desc, change.wa_message_id desc
      ) as reaction)
  from public.wa_messages as shown
  left join lateral (
    select change.type, change.body, change.content, change.occurred_at from public.wa_message_changes as change
    where change.connection_id = shown.connection_id and change.target_id = shown.wa_message_id
      -- Nobody edits or revokes what the other side has written.
      and change.kind = 'edit' and change.direction = shown.direction
    order by change.occurred_at desc, change.wa_message_id desc
    limit 1
  ) as edit on true
  where shown.id = any (p_message_ids) and message.id = shown.id;
  -- In a statement of its own, which sees what the messages show now.
  update public.wa_threads as thread
  set last_message_body = latest.body
  from (
    select distinct message.thread_id from public.wa_messages as message where message.id = any (p_message_ids)
  ) as touched
  cross join lateral (
    select case when message.revoked_at is null then left(message.body, 200) end as body
    from public.wa_messages as message where message.thread_id = touched.thread_id
    order by message.occurred_at desc, message.sequence desc
    limit 1
  ) as latest
  where thread.id = touched.thread_id and thread.last_message_body is distinct from latest.body;
end $$;

ALTER FUNCTION private.refresh_whatsapp_messages(p_message_ids uuid[]) OWNER TO postgres;

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

CREATE FUNCTION private.replay_whatsapp_orphans(p_phone_number_id text, p_waba_id text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_orphans jsonb;
begin
  with replayed as (
    update public.orphan_webhook_events as orphan set processed_at = now()
    where orphan.processed_at is null and orphan.phone_number_id in (p_phone_number_id, 'waba:' || p_waba_id)
    returning orphan.id, orphan.kind, orphan.event, orphan.received_at
  )
  select jsonb_agg(
    case
      -- What doesn't say when it happened happened before it arrived, not now: a connection made since then stays.
      when replayed.kind in ('account', 'template', 'number') and replayed.event ->> 'occurred_at' is null
        then replayed.event || jsonb_build_object('occurred_at', replayed.received_at)
      else replayed.event
    end order by replayed.id)
  into v_orphans from replayed;
  if v_orphans is null then
    return '[]'::jsonb;
  end if;
  return public.ingest_whatsapp_events(v_orphans);
end $$;

ALTER FUNCTION private.replay_whatsapp_orphans(p_phone_number_id text, p_waba_id text) OWNER TO postgres;

--
-- Name: report_duplicate_contacts(uuid, uuid, uuid, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.report_duplicate_contacts(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid, p_reason text) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  insert into public.contact_duplicates (workspace_id, contact_id, duplicate_id, reason)
  select p_workspace_id, least(p_contact_id, p_other_id), greatest(p_contact_id, p_other_id), p_reason
  where p_contact_id <> p_other_id
  on conflict on constraint contact_duplicates_pkey do nothing
$$;

ALTER FUNCTION private.report_duplicate_contacts(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid, p_reason text) OWNER TO postgres;

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
-- Name: settle_outbox_from_statuses(uuid[], text[], boolean[], integer[], text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.settle_outbox_from_statuses(p_ids uuid[], p_provider_message_ids text[], p_failed boolean[], p_error_codes integer[], p_error_texts text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  update public.outbox_messages as outbox
  set status = case when proof.failed then 'failed' else 'sent' end,
    provider_message_id = coalesce(outbox.provider_message_id, proof.provider_message_id),
    error_code = case when proof.failed then coalesce(proof.error_code::text, outbox.error_code) end,
    error_text = case when proof.failed then coalesce(proof.error_text, outbox.error_text) end,
    settled_at = coalesce(outbox.settled_at, now())
  from unnest(p_ids, p_provider_message_ids, p_failed, p_error_codes, p_error_texts)
    as proof (id, provider_message_id, failed, error_code, error_text)
  where outbox.id = proof.id and outbox.status in ('unknown', 'queued', 'processing');
end $$;

ALTER FUNCTION private.settle_outbox_from_statuses(p_ids uuid[], p_provider_message_ids text[], p_failed boolean[], p_error_codes integer[], p_error_texts text[]) OWNER TO postgres;

--
-- Name: signup_state_hash(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.signup_state_hash(p_state text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select encode(sha256(convert_to(p_state, 'UTF8')), 'hex')
$$;

ALTER FUNCTION private.signup_state_hash(p_state text) OWNER TO postgres;

--
-- Name: store_connection_secret(uuid, text, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.store_connection_secret(p_connection_id uuid, p_ciphertext text, p_meta_user_id text DEFAULT NULL::text) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_vault_secret_id uuid;
begin
  if private.has_vault() then
    select secret.vault_secret_id into v_vault_secret_id from private.wa_connection_secrets as secret
    where secret.connection_id = p_connection_id for update;
    -- Somebody may have emptied the Vault by hand, and updating what isn't there says nothing.
    execute 'select secret.id from vault.secrets as secret where secret.id = $1'
      into v_vault_secret_id using v_vault_secret_id;
    if v_vault_secret_id is null then
      execute 'select vault.create_secret($1, null, $2)' into v_vault_secret_id
        using p_ciphertext, 'Encrypted access token of WhatsApp connection ' || p_connection_id;
    else
      execute 'select vault.update_secret($1, $2)' using v_vault_secret_id, p_ciphertext;
    end if;
  end if;
  insert into private.wa_connection_secrets (connection_id, access_token_ciphertext, vault_secret_id, meta_user_id)
  values (p_connection_id, case when v_vault_secret_id is null then p_ciphertext end, v_vault_secret_id,
    p_meta_user_id)
  on conflict (connection_id) do update
    set access_token_ciphertext = excluded.access_token_ciphertext, vault_secret_id = excluded.vault_secret_id,
      meta_user_id = excluded.meta_user_id, updated_at = now();
end $_$;

ALTER FUNCTION private.store_connection_secret(p_connection_id uuid, p_ciphertext text, p_meta_user_id text) OWNER TO postgres;

--
-- Name: store_whatsapp_messages(private.whatsapp_item[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.store_whatsapp_messages(p_items private.whatsapp_item[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_stored integer;
  v_thread_ids uuid[];
  v_latest_at timestamptz[];
  v_bodies text[];
  v_inbound_at timestamptz[];
  v_replied_at timestamptz[];
  v_unread_counts integer[];
begin
  with stored as (
    insert into public.wa_messages (workspace_id, connection_id, thread_id, direction, wa_message_id, type, body,
      content, context, is_placeholder, status, source, sender_contact_id, occurred_at)
    select item.workspace_id, item.connection_id, item.thread_id, item.direction, item.wa_message_id, item.type,
      item.body, coalesce(item.content, '{}'::jsonb), item.context, item.is_placeholder, item.status,
      case item.kind when 'history' then 'history' when 'echo' then 'phone' else 'live' end,
      case when item.group_id is not null and item.direction = 'in' then item.contact_id end,
      -- A clock that runs ahead must not hold the 24-hour window open.
      least(item.occurred_at, now())
    from unnest(p_items) as item
    where item.kind in ('message', 'echo', 'history', 'call') and item.thread_id is not null
    -- As they came: what a person writes within one second keeps its order.
    order by item.ordinal
    on conflict on constraint wa_messages_connection_id_wa_message_id_key do nothing
    returning thread_id, direction, source, occurred_at, sequence, body
  ), latest as (
    select stored.thread_id, max(stored.occurred_at) as occurred_at, count(*) as message_count,
      max(stored.occurred_at) filter (where stored.direction = 'in' and stored.source = 'live') as inbound_at,
      max(stored.occurred_at) filter (where stored.source <> 'history') as replied_at,
      count(*) filter (where stored.direction = 'in' and stored.source = 'live') as unread_count,
      left((array_agg(stored.body order by stored.occurred_at desc, stored.sequence desc))[1], 200) as body
    from stored group by stored.thread_id
  )
  select sum(latest.message_count), array_agg(latest.thread_id), array_agg(latest.occurred_at), array_agg(latest.body),
    array_agg(latest.inbound_at), array_agg(latest.replied_at), array_agg(latest.unread_count::integer)
  into v_stored, v_thread_ids, v_latest_at, v_bodies, v_inbound_at, v_replied_at, v_unread_counts
  from latest;
  perform private.move_whatsapp_threads(
    v_thread_ids, v_latest_at, v_bodies, v_inbound_at, v_replied_at, v_unread_counts);

  if coalesce(v_stored, 0) < (
    select count(*) from unnest(p_items) as item
    where item.kind in ('message', 'echo', 'history', 'call') and item.thread_id is not null
  ) then
    perform private.complete_whatsapp_messages(p_items);
  end if;
end $$;

ALTER FUNCTION private.store_whatsapp_messages(p_items private.whatsapp_item[]) OWNER TO postgres;

--
-- Name: wa_status_rank(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wa_status_rank(p_status text) RETURNS integer
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
  select array_position(
    array['pending', 'cancelled', 'unknown', 'sent', 'failed', 'delivered', 'read', 'played'], p_status)
$$;

ALTER FUNCTION private.wa_status_rank(p_status text) OWNER TO postgres;

--
-- Name: whatsapp_items(jsonb, private.whatsapp_record[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.whatsapp_items(p_events jsonb, p_records private.whatsapp_record[]) RETURNS private.whatsapp_item[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_items private.whatsapp_item[];
begin
  select array_agg(row(
    record.ordinal, record.event_id, record.workspace_id, record.connection_id, record.waba_id,
    item.kind, item.direction, item.occurred_at, item.wa_message_id, item.target_id, item.wa_id, item.user_id,
    item.new_wa_id, item.new_user_id, item.group_id, item.profile_name, item.type, item.body, item.content,
    item.context, coalesce(item.is_placeholder, false), item.status, item.error_code, item.error_text,
    -- Only a send whose outcome isn't known here has anything to learn from a status.
    case when message.is_unsettled then item.outbox_id end, item.pricing,
    coalesce(person.by_wa_id, person.by_user_id), thread.id, message.id,
    -- Who is gone from a phone's address book is made no contact for that.
    case when item.kind in ('message', 'echo', 'history', 'call', 'preference')
        or (item.kind = 'address_book' and item.type is distinct from 'remove')
      then (item.wa_id is null or person.by_wa_id is not null) and (item.user_id is null or person.by_user_id is not null)
        -- Two contacts that turn out to be one are reported.
        and coalesce(person.by_wa_id = person.by_user_id, true)
        -- Nor does anything keep the name of somebody who had none so far.
        and (item.profile_name is null or exists (
          select 1 from public.contacts as contact
          where contact.id = coalesce(person.by_wa_id, person.by_user_id) and contact.name is not null))
      else true end
  )::private.whatsapp_item order by record.ordinal)
  into v_items
  from rows from (jsonb_to_recordset(p_events) as (
    kind text, direction text, occurred_at timestamptz, wa_message_id text, target_id text, wa_id text, user_id text,
    new_wa_id text, new_user_id text, group_id text, profile_name text, type text, body text, content jsonb,
    context jsonb, is_placeholder boolean, status text, error_code integer, error_text text, outbox_id uuid,
    pricing jsonb)) with ordinality as item
  join unnest(p_records) as record on record.ordinal = item.ordinality
  left join lateral (
    select
      (select identity.contact_id from public.contact_identities as identity
       where identity.workspace_id = record.workspace_id and identity.kind = 'wa_id' and identity.scope = ''
         and identity.value = item.wa_id) as by_wa_id,
      (select identity.contact_id from public.contact_identities as identity
       where identity.workspace_id = record.workspace_id and identity.kind = 'bsuid' and identity.scope = record.waba_id
         and identity.value = item.user_id) as by_user_id
    -- Evaluated once, not wherever it is used.
    offset 0
  ) as person on item.kind <> 'status'
  left join lateral (
    select case when item.group_id is null
      then (select thread.id from public.wa_threads as thread
        where thread.workspace_id = record.workspace_id and thread.connection_id = record.connection_id
          and thread.contact_id = coalesce(person.by_wa_id, person.by_user_id))
      else (select thread.id from public.wa_threads as thread
        where thread.connection_id = record.connection_id and thread.group_id = item.group_id)
      end as id
    offset 0
  ) as thread on item.kind <> 'status'
  -- A status names its message by Meta's id, and the outbox row by the opaque id that the send carried: the second
  -- finds messages whose send was never answered.
  left join lateral (
    select message.id, message.status in ('pending', 'cancelled', 'unknown', 'failed') as is_unsettled
    from public.wa_messages as message
    where message.connection_id = record.connection_id
      and message.wa_message_id = coalesce(item.target_id, item.wa_message_id)
      and (item.kind <> 'status' or message.direction = 'out')
    union all
    select message.id, true from public.wa_messages as message
    where message.outbox_id = item.outbox_id and message.workspace_id = record.workspace_id
      and message.connection_id = record.connection_id and message.direction = 'out' and message.wa_message_id is null
    limit 1
  ) as message on item.kind in ('status', 'reaction', 'edit', 'revoke');
  return v_items;
end $$;

ALTER FUNCTION private.whatsapp_items(p_events jsonb, p_records private.whatsapp_record[]) OWNER TO postgres;

--
-- Name: whatsapp_number_forms(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.whatsapp_number_forms(p_wa_id text) RETURNS text[]
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    AS $_$
  select array_remove(array[
    p_wa_id,
    case
      when p_wa_id ~ '^55[1-9][0-9]9[6-9][0-9]{7}$' then left(p_wa_id, 4) || substr(p_wa_id, 6)
      -- Landlines begin with 2 to 5 and have no ninth digit.
      when p_wa_id ~ '^55[1-9][0-9][6-9][0-9]{7}$' then left(p_wa_id, 4) || '9' || substr(p_wa_id, 5)
      when p_wa_id ~ '^521[0-9]{10}$' then '52' || substr(p_wa_id, 4)
      when p_wa_id ~ '^52[0-9]{10}$' then '521' || substr(p_wa_id, 3)
      when p_wa_id ~ '^549[0-9]{10}$' then '54' || substr(p_wa_id, 4)
      when p_wa_id ~ '^54[0-9]{10}$' then '549' || substr(p_wa_id, 3)
    end], null)
$_$;

ALTER FUNCTION private.whatsapp_number_forms(p_wa_id text) OWNER TO postgres;

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
  ), connection as materialized (
    -- Each secret is opened once, however many messages leave by its number.
    select number.id, number.phone_number_id, private.connection_secret(number.id) as access_token_ciphertext
    from public.wa_phone_numbers as number
    where number.id in (select claimed.connection_id from claimed)
  )
  select v_lease.token, v_lease.expires_at, claimed.id, claimed.workspace_id, claimed.channel, claimed.connection_id,
    claimed.thread_id, claimed.recipient, claimed.payload, claimed.attempts, claimed.max_attempts,
    connection.phone_number_id, connection.access_token_ciphertext
  from claimed
  left join connection on connection.id = claimed.connection_id
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

--
-- Name: connect_wa_phone_number(uuid, text, text, text, text, text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text DEFAULT NULL::text, p_verified_name text DEFAULT NULL::text, p_meta_user_id text DEFAULT NULL::text) RETURNS public.wa_phone_numbers
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

ALTER FUNCTION public.connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text, p_verified_name text, p_meta_user_id text) OWNER TO postgres;

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
-- Name: deauthorize_meta_user(text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.deauthorize_meta_user(p_meta_user_id text) RETURNS SETOF public.wa_phone_numbers
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
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

ALTER FUNCTION public.deauthorize_meta_user(p_meta_user_id text) OWNER TO postgres;

--
-- Name: disconnect_wa_phone_number(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.disconnect_wa_phone_number(p_connection_id uuid, p_reason text DEFAULT NULL::text) RETURNS public.wa_phone_numbers
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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

ALTER FUNCTION public.disconnect_wa_phone_number(p_connection_id uuid, p_reason text) OWNER TO postgres;

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
  v_answer jsonb;
  v_records private.whatsapp_record[];
  v_orphans integer[];
  v_failed jsonb;
begin
  if jsonb_typeof(p_events) is distinct from 'array' then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_events"}', 'Send an array of events.');
  end if;

  -- Shared among webhooks, against connecting the number: either this sees the connection, or connecting sees this.
  perform pg_advisory_xact_lock_shared(address.key)
  from (
    select distinct hashtextextended(
      coalesce(item.phone_number_id, 'waba:' || coalesce(item.waba_id, '')), 1) as key
    from jsonb_to_recordset(p_events) as item (phone_number_id text, waba_id text)
    order by key
  ) as address;

  with input as materialized (
    select item.event_key, item.kind, item.phone_number_id, item.waba_id, item.reason, item.raw,
      item.ordinality::integer as ordinal
    from rows from (jsonb_to_recordset(p_events) as (
      event_key text, kind text, phone_number_id text, waba_id text, reason text, raw jsonb)) with ordinality as item
  ), address as materialized (
    select distinct input.phone_number_id, input.waba_id from input
  ), route as materialized (
    select address.phone_number_id, address.waba_id, connection.workspace_id, connection.id as connection_id,
      connection.waba_id as scope
    from address
    join public.wa_phone_numbers as connection
      on connection.phone_number_id = address.phone_number_id
        and connection.deleted_at is null and connection.status <> 'inactive'
    union all
    -- Account and template events name the business account only: they are for everybody with a number of it.
    select distinct address.phone_number_id, address.waba_id, connection.workspace_id, null::uuid, address.waba_id
    from address
    join public.wa_phone_numbers as connection
      on connection.waba_id = address.waba_id
        and connection.deleted_at is null and connection.status <> 'inactive'
    where address.phone_number_id is null
  ), routed as materialized (
    select input.*, route.workspace_id, route.connection_id, route.scope,
      -- Numbered before they are written: so what is written is told apart from what was there, also within the call.
      case when route.workspace_id is not null then nextval('public.meta_webhook_events_id_seq') end as id
    from input
    left join route on route.phone_number_id is not distinct from input.phone_number_id
      and route.waba_id is not distinct from input.waba_id
      -- A message for no number in particular is an orphan.
      and (input.phone_number_id is not null
        or input.kind in ('template', 'account', 'number', 'error', 'other', 'malformed'))
  ), recorded as (
    insert into public.meta_webhook_events (id, workspace_id, phone_number_id, event_key, kind, raw, status, error)
    select routed.id, routed.workspace_id, routed.phone_number_id, routed.event_key, routed.kind,
      coalesce(routed.raw, 'null'::jsonb),
      case routed.kind when 'malformed' then 'set_aside' when 'other' then 'kept' when 'error' then 'kept'
        else 'applied' end,
      routed.reason
    from routed
    where routed.id is not null
    order by routed.workspace_id, routed.event_key collate "C", routed.ordinal
    on conflict (workspace_id, event_key) do nothing
    returning id
  )
  select
    jsonb_agg(jsonb_build_object('ordinal', routed.ordinal, 'event_id', recorded.id, 'reason', routed.reason, 'outcome',
      case
        when routed.id is null then 'orphan'
        when recorded.id is null then 'deduped'
        when routed.kind = 'malformed' then 'set_aside'
        else 'recorded'
      end) order by routed.ordinal),
    array_agg(row(routed.ordinal, recorded.id, routed.workspace_id, routed.connection_id, routed.scope
      )::private.whatsapp_record order by routed.ordinal)
      filter (where recorded.id is not null and routed.kind not in ('other', 'error', 'malformed')),
    array_agg(routed.ordinal order by routed.ordinal) filter (where routed.id is null)
  into v_answer, v_records, v_orphans
  from routed left join recorded on recorded.id = routed.id;

  if v_orphans is not null or jsonb_array_length(v_answer) > jsonb_array_length(p_events) then
    v_answer := private.answer_with_whatsapp_orphans(p_events, v_orphans, v_answer);
  end if;

  if v_records is not null then
    v_failed := private.apply_or_set_aside_whatsapp_events(p_events, v_records);
  end if;
  if v_failed is not null then
    update public.meta_webhook_events as event set status = 'set_aside', error = failed.problem
    from jsonb_each_text(v_failed) as failed (event_id, problem)
    where event.id = failed.event_id::bigint;
    select jsonb_agg(case
        when answer.value ->> 'outcome' = 'recorded' and v_failed ? (answer.value ->> 'event_id')
          then answer.value || jsonb_build_object('outcome', 'set_aside', 'reason', v_failed -> (answer.value ->> 'event_id'))
        else answer.value
      end order by answer.ordinality)
    into v_answer from jsonb_array_elements(v_answer) with ordinality as answer;
  end if;
  return coalesce(v_answer, '[]'::jsonb);
end $$;

ALTER FUNCTION public.ingest_whatsapp_events(p_events jsonb) OWNER TO postgres;

--
-- Name: replay_orphan_events(text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.replay_orphan_events(p_phone_number_id text) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_is_account constant boolean := p_phone_number_id like 'waba:%';
  v_waba_id text;
  v_answer jsonb;
begin
  select connection.waba_id into v_waba_id from public.wa_phone_numbers as connection
  where (connection.phone_number_id = p_phone_number_id
      or (v_is_account and connection.waba_id = substr(p_phone_number_id, 6)))
    and connection.deleted_at is null and connection.status <> 'inactive'
  limit 1;
  -- As connecting it does: locked before the orphans are, so that neither can wait for the other.
  perform pg_advisory_xact_lock(hashtextextended(address.name, 1))
  from (values (p_phone_number_id), ('waba:' || v_waba_id)) as address (name)
  where address.name is not null
  group by address.name
  order by hashtextextended(address.name, 1);
  -- It stays connected until what waits for it is applied.
  perform 1 from public.wa_phone_numbers as connection
  where connection.waba_id = v_waba_id and (v_is_account or connection.phone_number_id = p_phone_number_id)
    and connection.deleted_at is null and connection.status <> 'inactive'
  order by connection.id
  for share;
  if not found then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('phone_number_id', p_phone_number_id),
      'Connect the number; what waits for it takes effect then.');
  end if;

  v_answer := private.replay_whatsapp_orphans(
    case when not v_is_account then p_phone_number_id end, v_waba_id);
  return (
    select jsonb_build_object(
      'recorded', count(*) filter (where item.value ->> 'outcome' = 'recorded'),
      'deduped', count(*) filter (where item.value ->> 'outcome' = 'deduped'),
      'set_aside', count(*) filter (where item.value ->> 'outcome' = 'set_aside'),
      'orphan', count(*) filter (where item.value ->> 'outcome' = 'orphan'))
    from jsonb_array_elements(v_answer) as item);
end $$;

ALTER FUNCTION public.replay_orphan_events(p_phone_number_id text) OWNER TO postgres;

--
-- Name: replay_whatsapp_events(jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.replay_whatsapp_events(p_events jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_records private.whatsapp_record[];
  v_failed jsonb;
  v_answer jsonb;
begin
  if jsonb_typeof(p_events) is distinct from 'array' then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_events"}', 'Send an array of events.');
  end if;
  perform 1 from public.meta_webhook_events as event
  where event.id in (select item.event_id from jsonb_to_recordset(p_events) as item (event_id bigint))
  order by event.id
  for no key update;

  select array_agg(row(item.ordinality, event.id, event.workspace_id, connection.id,
    coalesce(connection.waba_id, item.waba_id))::private.whatsapp_record order by item.ordinality)
  into v_records
  from rows from (jsonb_to_recordset(p_events) as (event_id bigint, kind text, waba_id text)) with ordinality as item
  join public.meta_webhook_events as event on event.id = item.event_id
  left join public.wa_phone_numbers as connection
    on connection.workspace_id = event.workspace_id and connection.phone_number_id = event.phone_number_id
      and connection.deleted_at is null
  where item.kind not in ('other', 'error', 'malformed')
    and (connection.id is not null or item.kind in ('template', 'account', 'number'));
  if v_records is not null then
    v_failed := private.apply_or_set_aside_whatsapp_events(p_events, v_records);
  end if;

  with replayed as (
    update public.meta_webhook_events as event
    set attempts = event.attempts + 1, kind = item.kind,
      error = case
        when item.kind = 'malformed' then item.reason
        when v_failed ? event.id::text then v_failed ->> event.id::text
        when item.kind in ('other', 'error') or item.is_taken then null
        else 'its number isn''t connected'
      end,
      status = case
        when item.kind in ('other', 'error') then 'kept'
        when item.is_taken and not coalesce(v_failed ? event.id::text, false) then 'applied'
        else 'set_aside'
      end
    from (
      select item.*, exists (
        select 1 from unnest(v_records) as record where record.event_id = item.event_id) as is_taken
      from jsonb_to_recordset(p_events) as item (event_id bigint, kind text, reason text)
    ) as item
    where event.id = item.event_id
    returning event.id, event.status, event.error
  )
  select jsonb_agg(jsonb_build_object('event_id', replayed.id, 'outcome', replayed.status, 'reason', replayed.error)
    order by replayed.id)
  into v_answer from replayed;
  return coalesce(v_answer, '[]'::jsonb);
end $$;

ALTER FUNCTION public.replay_whatsapp_events(p_events jsonb) OWNER TO postgres;

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
    id uuid DEFAULT (encode(set_bit(set_bit(OVERLAY(uuid_send(gen_random_uuid()) PLACING SUBSTRING(int8send(((EXTRACT(epoch FROM clock_timestamp()) * (1000)::numeric))::bigint) FROM 3) FROM 1 FOR 6), (52)::bigint, 1), (53)::bigint, 1), 'hex'::text))::uuid NOT NULL,
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
    status_rank integer GENERATED ALWAYS AS (array_position(ARRAY['pending'::text, 'cancelled'::text, 'unknown'::text, 'sent'::text, 'failed'::text, 'delivered'::text, 'read'::text, 'played'::text], status)) STORED,
    error_code integer,
    error_text text,
    sent_by uuid,
    outbox_id uuid,
    source text DEFAULT 'live'::text NOT NULL,
    is_placeholder boolean DEFAULT false NOT NULL,
    sender_contact_id uuid,
    context jsonb,
    pricing jsonb,
    reactions jsonb,
    edited_at timestamp with time zone,
    revoked_at timestamp with time zone,
    occurred_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_messages_direction_check CHECK ((direction = ANY (ARRAY['in'::text, 'out'::text]))),
    CONSTRAINT wa_messages_source_check CHECK ((source = ANY (ARRAY['live'::text, 'phone'::text, 'history'::text]))),
    CONSTRAINT wa_messages_status_check CHECK ((((direction = 'in'::text) AND (status IS NULL)) OR ((direction = 'out'::text) AND (status = ANY (ARRAY['pending'::text, 'cancelled'::text, 'unknown'::text, 'sent'::text, 'failed'::text, 'delivered'::text, 'read'::text, 'played'::text])))))
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
-- Name: start_meta_signup(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.start_meta_signup(p_workspace_id uuid, p_redirect_uri text DEFAULT NULL::text, OUT state text, OUT expires_at timestamp with time zone) RETURNS record
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
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
  values (private.signup_state_hash(start_meta_signup.state), p_workspace_id, v_user_id, p_redirect_uri,
    start_meta_signup.expires_at);
exception
  when check_violation then
    perform private.raise_error(400, 'invalid_value', '{"field": "redirect_uri"}',
      'Give an absolute URL of at most 2000 characters, or none.');
end $$;

ALTER FUNCTION public.start_meta_signup(p_workspace_id uuid, p_redirect_uri text, OUT state text, OUT expires_at timestamp with time zone) OWNER TO postgres;

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
    marketing_opted_out boolean DEFAULT false NOT NULL,
    marketing_preference_at timestamp with time zone,
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
-- Name: use_meta_signup_state(text, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.use_meta_signup_state(p_state text, p_user_id uuid, OUT workspace_id uuid, OUT redirect_uri text) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_hash text := private.signup_state_hash(p_state);
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

ALTER FUNCTION public.use_meta_signup_state(p_state text, p_user_id uuid, OUT workspace_id uuid, OUT redirect_uri text) OWNER TO postgres;

--
-- Name: webhook_event_stats(uuid, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.webhook_event_stats(p_workspace_id uuid DEFAULT NULL::uuid, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  v_since constant timestamptz := coalesce(p_since, now() - interval '24 hours');
begin
  return jsonb_build_object(
    'since', v_since,
    'counts', (
      select coalesce(jsonb_agg(to_jsonb(tally) order by tally.day desc, tally.kind, tally.status), '[]'::jsonb)
      from (
        select (event.received_at at time zone 'UTC')::date as day, event.kind, event.status, count(*) as events
        from public.meta_webhook_events as event
        where event.received_at >= v_since and (p_workspace_id is null or event.workspace_id = p_workspace_id)
        group by 1, 2, 3
      ) as tally),
    -- Whatever its age: somebody has to look at it.
    'set_aside', (
      select count(*) from public.meta_webhook_events as event
      where event.status = 'set_aside' and (p_workspace_id is null or event.workspace_id = p_workspace_id)),
    -- They belong to no workspace.
    'orphans', case when p_workspace_id is null then (
      select coalesce(jsonb_agg(to_jsonb(waiting) order by waiting.oldest_at), '[]'::jsonb)
      from (
        select orphan.phone_number_id, count(*) as events, sum(orphan.hits) as hits,
          min(orphan.received_at) as oldest_at,
          exists (
            select from public.wa_phone_numbers as connection
            where (connection.phone_number_id = orphan.phone_number_id
                or (orphan.phone_number_id like 'waba:%' and connection.waba_id = substr(orphan.phone_number_id, 6)))
              and connection.deleted_at is null and connection.status <> 'inactive') as is_connected
        from public.orphan_webhook_events as orphan
        where orphan.processed_at is null
        group by orphan.phone_number_id
      ) as waiting) else '[]'::jsonb end);
end $$;

ALTER FUNCTION public.webhook_event_stats(p_workspace_id uuid, p_since timestamp with time zone) OWNER TO postgres;

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
    access_token_ciphertext text,
    vault_secret_id uuid,
    meta_user_id text,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_connection_secrets_meta_user_id_check CHECK ((meta_user_id ~ '^[0-9]{1,32}$'::text)),
    CONSTRAINT wa_connection_secrets_one_place_check CHECK ((num_nonnulls(access_token_ciphertext, vault_secret_id) = 1))
);

ALTER TABLE private.wa_connection_secrets OWNER TO postgres;

--
-- Name: contact_duplicates; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contact_duplicates (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    duplicate_id uuid NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT contact_duplicates_order_check CHECK ((contact_id < duplicate_id)),
    CONSTRAINT contact_duplicates_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 300)))
);

ALTER TABLE public.contact_duplicates OWNER TO postgres;

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
-- Name: meta_signup_states; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.meta_signup_states (
    state_hash text NOT NULL,
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    redirect_uri text,
    expires_at timestamp with time zone NOT NULL,
    used_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT meta_signup_states_redirect_uri_check CHECK (((redirect_uri ~ '^https?://[^[:space:]]+$'::text) AND (length(redirect_uri) <= 2000))),
    CONSTRAINT meta_signup_states_state_hash_check CHECK ((state_hash ~ '^[0-9a-f]{64}$'::text))
);

ALTER TABLE public.meta_signup_states OWNER TO postgres;

--
-- Name: meta_webhook_events; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.meta_webhook_events (
    id bigint NOT NULL,
    workspace_id uuid NOT NULL,
    phone_number_id text,
    event_key text NOT NULL,
    kind text NOT NULL,
    raw jsonb NOT NULL,
    status text NOT NULL,
    attempts integer DEFAULT 1 NOT NULL,
    error text,
    received_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT meta_webhook_events_event_key_check CHECK (((length(event_key) >= 1) AND (length(event_key) <= 512))),
    CONSTRAINT meta_webhook_events_kind_check CHECK ((kind = ANY (ARRAY['message'::text, 'echo'::text, 'history'::text, 'reaction'::text, 'edit'::text, 'revoke'::text, 'status'::text, 'call'::text, 'identity'::text, 'preference'::text, 'address_book'::text, 'history_sync'::text, 'template'::text, 'account'::text, 'number'::text, 'error'::text, 'other'::text, 'malformed'::text]))),
    CONSTRAINT meta_webhook_events_status_check CHECK ((status = ANY (ARRAY['applied'::text, 'kept'::text, 'set_aside'::text])))
);

ALTER TABLE public.meta_webhook_events OWNER TO postgres;

--
-- Name: meta_webhook_events_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.meta_webhook_events ALTER COLUMN id ADD GENERATED BY DEFAULT AS IDENTITY (
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
    automated boolean DEFAULT false NOT NULL,
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
-- Name: wa_message_changes; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_message_changes (
    connection_id uuid NOT NULL,
    wa_message_id text NOT NULL,
    kind text NOT NULL,
    target_id text NOT NULL,
    direction text NOT NULL,
    actor text NOT NULL,
    type text,
    body text,
    content jsonb,
    occurred_at timestamp with time zone NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_message_changes_direction_check CHECK ((direction = ANY (ARRAY['in'::text, 'out'::text]))),
    CONSTRAINT wa_message_changes_kind_check CHECK ((kind = ANY (ARRAY['reaction'::text, 'edit'::text, 'revoke'::text])))
);

ALTER TABLE public.wa_message_changes OWNER TO postgres;

--
-- Name: wa_message_statuses; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_message_statuses (
    connection_id uuid NOT NULL,
    wa_message_id text NOT NULL,
    status text NOT NULL,
    error_code integer,
    error_text text,
    pricing jsonb,
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
-- Name: wa_templates; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_templates (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    waba_id text NOT NULL,
    template_id text NOT NULL,
    name text,
    language text,
    status text,
    category text,
    quality text,
    rejected_reason text,
    components jsonb,
    status_changed_at timestamp with time zone,
    category_changed_at timestamp with time zone,
    quality_changed_at timestamp with time zone,
    components_changed_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.wa_templates OWNER TO postgres;

--
-- Name: wa_threads; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_threads (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    contact_id uuid,
    group_id text,
    status text DEFAULT 'open'::text NOT NULL,
    assignee_id uuid,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    snoozed_until timestamp with time zone,
    last_inbound_at timestamp with time zone,
    last_message_at timestamp with time zone,
    last_message_hour timestamp with time zone GENERATED ALWAYS AS (date_bin('01:00:00'::interval, last_message_at, '2000-01-01 00:00:00+00'::timestamp with time zone)) STORED,
    last_message_body text,
    unread_count integer DEFAULT 0 NOT NULL,
    automation_stopped_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_threads_counterpart_check CHECK ((num_nonnulls(contact_id, group_id) = 1)),
    CONSTRAINT wa_threads_status_check CHECK ((status = ANY (ARRAY['open'::text, 'pending'::text, 'snoozed'::text, 'closed'::text]))),
    CONSTRAINT wa_threads_unread_count_check CHECK ((unread_count >= 0))
)
WITH (fillfactor='70');

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
-- Name: contact_duplicates contact_duplicates_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_duplicates
    ADD CONSTRAINT contact_duplicates_pkey PRIMARY KEY (workspace_id, contact_id, duplicate_id);

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
-- Name: meta_signup_states meta_signup_states_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.meta_signup_states
    ADD CONSTRAINT meta_signup_states_pkey PRIMARY KEY (state_hash);

--
-- Name: meta_webhook_events meta_webhook_events_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.meta_webhook_events
    ADD CONSTRAINT meta_webhook_events_pkey PRIMARY KEY (workspace_id, event_key);

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
-- Name: wa_message_changes wa_message_changes_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_message_changes
    ADD CONSTRAINT wa_message_changes_pkey PRIMARY KEY (connection_id, wa_message_id);

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
-- Name: wa_templates wa_templates_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_templates
    ADD CONSTRAINT wa_templates_pkey PRIMARY KEY (id);

--
-- Name: wa_templates wa_templates_template_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_templates
    ADD CONSTRAINT wa_templates_template_id_key UNIQUE (workspace_id, waba_id, template_id);

--
-- Name: wa_templates wa_templates_workspace_id_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_templates
    ADD CONSTRAINT wa_templates_workspace_id_id_key UNIQUE (workspace_id, id);

--
-- Name: wa_threads wa_threads_connection_id_contact_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_threads
    ADD CONSTRAINT wa_threads_connection_id_contact_id_key UNIQUE (workspace_id, connection_id, contact_id);

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
-- Name: wa_connection_secrets_meta_user_id_idx; Type: INDEX; Schema: private; Owner: postgres
--

CREATE INDEX wa_connection_secrets_meta_user_id_idx ON private.wa_connection_secrets USING btree (meta_user_id) WHERE (meta_user_id IS NOT NULL);

--
-- Name: contact_duplicates_workspace_id_duplicate_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_duplicates_workspace_id_duplicate_id_idx ON public.contact_duplicates USING btree (workspace_id, duplicate_id);

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
-- Name: meta_signup_states_expires_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX meta_signup_states_expires_at_idx ON public.meta_signup_states USING btree (expires_at);

--
-- Name: meta_signup_states_workspace_id_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX meta_signup_states_workspace_id_user_id_idx ON public.meta_signup_states USING btree (workspace_id, user_id, created_at DESC);

--
-- Name: meta_webhook_events_id_received_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX meta_webhook_events_id_received_at_idx ON public.meta_webhook_events USING brin (id, received_at);

--
-- Name: meta_webhook_events_set_aside_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX meta_webhook_events_set_aside_idx ON public.meta_webhook_events USING btree (workspace_id, id) WHERE (status = 'set_aside'::text);

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
-- Name: wa_message_changes_target_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_message_changes_target_id_idx ON public.wa_message_changes USING btree (connection_id, target_id);

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
-- Name: wa_messages_workspace_id_sender_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_messages_workspace_id_sender_contact_id_idx ON public.wa_messages USING btree (workspace_id, sender_contact_id) WHERE (sender_contact_id IS NOT NULL);

--
-- Name: wa_phone_numbers_phone_number_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX wa_phone_numbers_phone_number_id_idx ON public.wa_phone_numbers USING btree (phone_number_id) WHERE ((deleted_at IS NULL) AND (status <> 'inactive'::text));

--
-- Name: wa_phone_numbers_waba_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_phone_numbers_waba_id_idx ON public.wa_phone_numbers USING btree (waba_id);

--
-- Name: wa_threads_connection_id_group_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX wa_threads_connection_id_group_id_idx ON public.wa_threads USING btree (connection_id, group_id) WHERE (group_id IS NOT NULL);

--
-- Name: wa_threads_workspace_id_assignee_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_assignee_id_idx ON public.wa_threads USING btree (workspace_id, assignee_id) WHERE (assignee_id IS NOT NULL);

--
-- Name: wa_threads_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_contact_id_idx ON public.wa_threads USING btree (workspace_id, contact_id);

--
-- Name: wa_threads_workspace_id_last_message_hour_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_last_message_hour_idx ON public.wa_threads USING btree (workspace_id, last_message_hour DESC);

--
-- Name: workspace_memberships_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_memberships_user_id_idx ON public.workspace_memberships USING btree (user_id) INCLUDE (workspace_id, role);

--
-- Name: wa_connection_secrets wa_connection_secrets_forget_on_delete; Type: TRIGGER; Schema: private; Owner: postgres
--

CREATE TRIGGER wa_connection_secrets_forget_on_delete AFTER DELETE ON private.wa_connection_secrets FOR EACH ROW WHEN ((old.vault_secret_id IS NOT NULL)) EXECUTE FUNCTION private.forget_vault_secret();

--
-- Name: wa_connection_secrets wa_connection_secrets_forget_on_update; Type: TRIGGER; Schema: private; Owner: postgres
--

CREATE TRIGGER wa_connection_secrets_forget_on_update AFTER UPDATE OF vault_secret_id ON private.wa_connection_secrets FOR EACH ROW WHEN (((old.vault_secret_id IS DISTINCT FROM new.vault_secret_id) AND (old.vault_secret_id IS NOT NULL))) EXECUTE FUNCTION private.forget_vault_secret();

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

CREATE TRIGGER wa_messages_set_updated_at BEFORE UPDATE ON public.wa_messages FOR EACH ROW WHEN ((new.updated_at = old.updated_at)) EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_phone_numbers wa_phone_numbers_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_phone_numbers_set_updated_at BEFORE UPDATE ON public.wa_phone_numbers FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_templates wa_templates_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_templates_set_updated_at BEFORE UPDATE ON public.wa_templates FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_threads wa_threads_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_threads_set_updated_at BEFORE UPDATE ON public.wa_threads FOR EACH ROW WHEN ((new.updated_at = old.updated_at)) EXECUTE FUNCTION private.set_updated_at();

--
-- Name: workspace_memberships workspace_memberships_keep_an_owner; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE CONSTRAINT TRIGGER workspace_memberships_keep_an_owner AFTER DELETE OR UPDATE ON public.workspace_memberships DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((old.role = 'owner'::text)) EXECUTE FUNCTION private.keep_an_owner();

--
-- Name: workspace_memberships workspace_memberships_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_memberships_set_updated_at BEFORE UPDATE ON public.workspace_memberships FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: workspaces workspaces_delete_webhook_events; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspaces_delete_webhook_events AFTER DELETE ON public.workspaces FOR EACH ROW EXECUTE FUNCTION private.delete_webhook_events();

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
-- Name: contact_duplicates contact_duplicates_workspace_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_duplicates
    ADD CONSTRAINT contact_duplicates_workspace_id_contact_id_fkey FOREIGN KEY (workspace_id, contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

--
-- Name: contact_duplicates contact_duplicates_workspace_id_duplicate_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_duplicates
    ADD CONSTRAINT contact_duplicates_workspace_id_duplicate_id_fkey FOREIGN KEY (workspace_id, duplicate_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

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
-- Name: meta_signup_states meta_signup_states_workspace_id_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.meta_signup_states
    ADD CONSTRAINT meta_signup_states_workspace_id_user_id_fkey FOREIGN KEY (workspace_id, user_id) REFERENCES public.workspace_memberships(workspace_id, user_id) ON DELETE CASCADE;

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
-- Name: wa_message_changes wa_message_changes_connection_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_message_changes
    ADD CONSTRAINT wa_message_changes_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.wa_phone_numbers(id) ON DELETE CASCADE;

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
-- Name: wa_messages wa_messages_workspace_id_sender_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_messages
    ADD CONSTRAINT wa_messages_workspace_id_sender_contact_id_fkey FOREIGN KEY (workspace_id, sender_contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE SET NULL (sender_contact_id);

--
-- Name: wa_phone_numbers wa_phone_numbers_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_phone_numbers
    ADD CONSTRAINT wa_phone_numbers_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: wa_templates wa_templates_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_templates
    ADD CONSTRAINT wa_templates_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

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
-- Name: contact_duplicates; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.contact_duplicates ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_duplicates contact_duplicates_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY contact_duplicates_select_member ON public.contact_duplicates FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

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
-- Name: meta_signup_states; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.meta_signup_states ENABLE ROW LEVEL SECURITY;

--
-- Name: meta_signup_states meta_signup_states_all_service; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY meta_signup_states_all_service ON public.meta_signup_states TO service_role USING (true) WITH CHECK (true);

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
-- Name: wa_message_changes; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_message_changes ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_message_changes wa_message_changes_all_service; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_message_changes_all_service ON public.wa_message_changes TO service_role USING (true) WITH CHECK (true);

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
-- Name: wa_templates; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_templates ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_templates wa_templates_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_templates_select_member ON public.wa_templates FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

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
-- Name: FUNCTION answer_with_whatsapp_orphans(p_events jsonb, p_ordinals integer[], p_answer jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.answer_with_whatsapp_orphans(p_events jsonb, p_ordinals integer[], p_answer jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION private.answer_with_whatsapp_orphans(p_events jsonb, p_ordinals integer[], p_answer jsonb) TO service_role;

--
-- Name: FUNCTION apply_or_set_aside_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_or_set_aside_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.apply_or_set_aside_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]) TO service_role;

--
-- Name: FUNCTION apply_other_whatsapp_items(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_other_whatsapp_items(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.apply_other_whatsapp_items(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION apply_whatsapp_account_event(p_item private.whatsapp_item); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_whatsapp_account_event(p_item private.whatsapp_item) FROM PUBLIC;
GRANT ALL ON FUNCTION private.apply_whatsapp_account_event(p_item private.whatsapp_item) TO service_role;

--
-- Name: FUNCTION apply_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.apply_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]) TO service_role;

--
-- Name: FUNCTION apply_whatsapp_identity(p_item private.whatsapp_item); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_whatsapp_identity(p_item private.whatsapp_item) FROM PUBLIC;
GRANT ALL ON FUNCTION private.apply_whatsapp_identity(p_item private.whatsapp_item) TO service_role;

--
-- Name: FUNCTION apply_whatsapp_statuses(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_whatsapp_statuses(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.apply_whatsapp_statuses(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION apply_whatsapp_template_event(p_item private.whatsapp_item); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_whatsapp_template_event(p_item private.whatsapp_item) FROM PUBLIC;
GRANT ALL ON FUNCTION private.apply_whatsapp_template_event(p_item private.whatsapp_item) TO service_role;

--
-- Name: FUNCTION cancel_automated_outbox(p_thread_ids uuid[], p_reason text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) TO service_role;

--
-- Name: FUNCTION complete_whatsapp_messages(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.complete_whatsapp_messages(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.complete_whatsapp_messages(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION connection_secret(p_connection_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.connection_secret(p_connection_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION private.connection_secret(p_connection_id uuid) TO service_role;

--
-- Name: TABLE wa_phone_numbers; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_phone_numbers TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_phone_numbers TO service_role;

--
-- Name: FUNCTION deactivate_connections(p_connection_ids uuid[], p_reason text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.deactivate_connections(p_connection_ids uuid[], p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.deactivate_connections(p_connection_ids uuid[], p_reason text) TO service_role;

--
-- Name: FUNCTION delete_webhook_events(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.delete_webhook_events() FROM PUBLIC;

--
-- Name: FUNCTION end_lease_when_empty(p_token bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.end_lease_when_empty(p_token bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION private.end_lease_when_empty(p_token bigint) TO service_role;

--
-- Name: FUNCTION ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text, p_source text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text, p_source text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.ensure_whatsapp_contact(p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text, p_source text) TO service_role;

--
-- Name: FUNCTION ensure_whatsapp_threads(p_events jsonb, p_records private.whatsapp_record[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.ensure_whatsapp_threads(p_events jsonb, p_records private.whatsapp_record[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.ensure_whatsapp_threads(p_events jsonb, p_records private.whatsapp_record[]) TO service_role;

--
-- Name: FUNCTION forget_vault_secret(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.forget_vault_secret() FROM PUBLIC;

--
-- Name: FUNCTION has_vault(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.has_vault() FROM PUBLIC;

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
-- Name: FUNCTION lock_unsettled_outbox(p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_unsettled_outbox(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_unsettled_outbox(p_ids uuid[]) TO service_role;

--
-- Name: FUNCTION lock_whatsapp_message_ids(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_whatsapp_message_ids(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_whatsapp_message_ids(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION lock_whatsapp_outbox(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_whatsapp_outbox(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_whatsapp_outbox(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION lock_whatsapp_people(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_whatsapp_people(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_whatsapp_people(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION lock_whatsapp_threads(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_whatsapp_threads(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_whatsapp_threads(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION mirror_auth_user(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.mirror_auth_user() FROM PUBLIC;

--
-- Name: FUNCTION move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_inbound_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_inbound_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_inbound_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]) TO service_role;

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
-- Name: FUNCTION refresh_whatsapp_messages(p_message_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refresh_whatsapp_messages(p_message_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.refresh_whatsapp_messages(p_message_ids uuid[]) TO service_role;

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
-- Name: FUNCTION report_duplicate_contacts(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid, p_reason text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.report_duplicate_contacts(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.report_duplicate_contacts(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid, p_reason text) TO service_role;

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
-- Name: FUNCTION settle_outbox_from_statuses(p_ids uuid[], p_provider_message_ids text[], p_failed boolean[], p_error_codes integer[], p_error_texts text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.settle_outbox_from_statuses(p_ids uuid[], p_provider_message_ids text[], p_failed boolean[], p_error_codes integer[], p_error_texts text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.settle_outbox_from_statuses(p_ids uuid[], p_provider_message_ids text[], p_failed boolean[], p_error_codes integer[], p_error_texts text[]) TO service_role;

--
-- Name: FUNCTION signup_state_hash(p_state text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.signup_state_hash(p_state text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.signup_state_hash(p_state text) TO service_role;

--
-- Name: FUNCTION store_connection_secret(p_connection_id uuid, p_ciphertext text, p_meta_user_id text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.store_connection_secret(p_connection_id uuid, p_ciphertext text, p_meta_user_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.store_connection_secret(p_connection_id uuid, p_ciphertext text, p_meta_user_id text) TO service_role;

--
-- Name: FUNCTION store_whatsapp_messages(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.store_whatsapp_messages(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.store_whatsapp_messages(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION wa_status_rank(p_status text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wa_status_rank(p_status text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.wa_status_rank(p_status text) TO service_role;

--
-- Name: FUNCTION whatsapp_items(p_events jsonb, p_records private.whatsapp_record[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.whatsapp_items(p_events jsonb, p_records private.whatsapp_record[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.whatsapp_items(p_events jsonb, p_records private.whatsapp_record[]) TO service_role;

--
-- Name: FUNCTION whatsapp_number_forms(p_wa_id text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.whatsapp_number_forms(p_wa_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.whatsapp_number_forms(p_wa_id text) TO service_role;

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
-- Name: FUNCTION connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text, p_verified_name text, p_meta_user_id text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text, p_verified_name text, p_meta_user_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.connect_wa_phone_number(p_workspace_id uuid, p_waba_id text, p_phone_number_id text, p_access_token_ciphertext text, p_display_phone_number text, p_verified_name text, p_meta_user_id text) TO service_role;

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
-- Name: FUNCTION deauthorize_meta_user(p_meta_user_id text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.deauthorize_meta_user(p_meta_user_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.deauthorize_meta_user(p_meta_user_id text) TO service_role;

--
-- Name: FUNCTION disconnect_wa_phone_number(p_connection_id uuid, p_reason text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.disconnect_wa_phone_number(p_connection_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.disconnect_wa_phone_number(p_connection_id uuid, p_reason text) TO service_role;
GRANT ALL ON FUNCTION public.disconnect_wa_phone_number(p_connection_id uuid, p_reason text) TO authenticated;

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
-- Name: FUNCTION replay_orphan_events(p_phone_number_id text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.replay_orphan_events(p_phone_number_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.replay_orphan_events(p_phone_number_id text) TO service_role;

--
-- Name: FUNCTION replay_whatsapp_events(p_events jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.replay_whatsapp_events(p_events jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.replay_whatsapp_events(p_events jsonb) TO service_role;

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
-- Name: FUNCTION start_meta_signup(p_workspace_id uuid, p_redirect_uri text, OUT state text, OUT expires_at timestamp with time zone); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.start_meta_signup(p_workspace_id uuid, p_redirect_uri text, OUT state text, OUT expires_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.start_meta_signup(p_workspace_id uuid, p_redirect_uri text, OUT state text, OUT expires_at timestamp with time zone) TO authenticated;

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
-- Name: FUNCTION use_meta_signup_state(p_state text, p_user_id uuid, OUT workspace_id uuid, OUT redirect_uri text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.use_meta_signup_state(p_state text, p_user_id uuid, OUT workspace_id uuid, OUT redirect_uri text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.use_meta_signup_state(p_state text, p_user_id uuid, OUT workspace_id uuid, OUT redirect_uri text) TO service_role;

--
-- Name: FUNCTION webhook_event_stats(p_workspace_id uuid, p_since timestamp with time zone); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.webhook_event_stats(p_workspace_id uuid, p_since timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.webhook_event_stats(p_workspace_id uuid, p_since timestamp with time zone) TO service_role;

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
-- Name: TABLE contact_duplicates; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.contact_duplicates TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contact_duplicates TO service_role;

--
-- Name: TABLE contact_identities; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.contact_identities TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contact_identities TO service_role;

--
-- Name: TABLE meta_signup_states; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.meta_signup_states TO service_role;

--
-- Name: TABLE meta_webhook_events; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.meta_webhook_events TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.meta_webhook_events TO service_role;

--
-- Name: SEQUENCE meta_webhook_events_id_seq; Type: ACL; Schema: public; Owner: postgres
--

GRANT USAGE ON SEQUENCE public.meta_webhook_events_id_seq TO service_role;

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
-- Name: TABLE wa_message_changes; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_message_changes TO service_role;

--
-- Name: TABLE wa_message_statuses; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_message_statuses TO service_role;

--
-- Name: TABLE wa_templates; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_templates TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_templates TO service_role;

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
