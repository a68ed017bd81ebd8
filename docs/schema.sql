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
-- Name: follow_up; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.follow_up AS (
	kind text,
	id uuid,
	workspace_id uuid,
	name text,
	email text,
	phone text,
	status text,
	follow_up_at timestamp with time zone,
	follow_up_note text,
	bucket text,
	cursor text
);

ALTER TYPE private.follow_up OWNER TO postgres;

--
-- Name: found_message; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.found_message AS (
	id uuid,
	workspace_id uuid,
	thread_id uuid,
	contact_id uuid,
	contact_name text,
	direction text,
	type text,
	excerpt text,
	occurred_at timestamp with time zone,
	cursor text
);

ALTER TYPE private.found_message OWNER TO postgres;

--
-- Name: inbox_thread; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.inbox_thread AS (
	id uuid,
	workspace_id uuid,
	connection_id uuid,
	contact_id uuid,
	group_id text,
	contact_name text,
	contact_phone text,
	status text,
	assignee_id uuid,
	tags text[],
	priority text,
	snoozed_until timestamp with time zone,
	last_inbound_at timestamp with time zone,
	last_message_at timestamp with time zone,
	last_message_body text,
	unread_count integer,
	my_unread_count integer,
	waiting_since timestamp with time zone,
	answer_due_at timestamp with time zone,
	first_response_seconds integer,
	created_at timestamp with time zone,
	cursor text
);

ALTER TYPE private.inbox_thread OWNER TO postgres;

--
-- Name: listed_template; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.listed_template AS (
	id uuid,
	workspace_id uuid,
	waba_id text,
	template_id text,
	name text,
	language text,
	status text,
	category text,
	quality text,
	rejected_reason text,
	components jsonb,
	variables jsonb,
	updated_at timestamp with time zone
);

ALTER TYPE private.listed_template OWNER TO postgres;

--
-- Name: my_candidate; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.my_candidate AS (
	id uuid,
	workspace_id uuid,
	name text,
	email text,
	phone text,
	status_tags text[],
	tags text[],
	source text,
	created_by uuid,
	created_at timestamp with time zone,
	updated_at timestamp with time zone,
	my_status text,
	follow_up_at timestamp with time zone,
	follow_up_note text,
	cursor text
);

ALTER TYPE private.my_candidate OWNER TO postgres;

--
-- Name: my_contact; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.my_contact AS (
	id uuid,
	workspace_id uuid,
	name text,
	email text,
	phone text,
	lead_status text,
	status_tags text[],
	tags text[],
	source text,
	marketing_opted_out boolean,
	assigned_to uuid,
	created_by uuid,
	created_at timestamp with time zone,
	updated_at timestamp with time zone,
	my_status text,
	follow_up_at timestamp with time zone,
	follow_up_note text,
	cursor text
);

ALTER TYPE private.my_contact OWNER TO postgres;

--
-- Name: timeline_item; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.timeline_item AS (
	kind text,
	id text,
	occurred_at timestamp with time zone,
	actor_id uuid,
	body text,
	detail jsonb,
	cursor text
);

ALTER TYPE private.timeline_item OWNER TO postgres;

--
-- Name: wanted_push; Type: TYPE; Schema: private; Owner: postgres
--

CREATE TYPE private.wanted_push AS (
	id uuid,
	user_id uuid,
	marker text,
	push jsonb,
	quiet_seconds double precision
);

ALTER TYPE private.wanted_push OWNER TO postgres;

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

SET default_tablespace = '';

SET default_table_access_method = heap;

--
-- Name: chats; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.chats (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    kind text DEFAULT 'group'::text NOT NULL,
    title text,
    direct_key text,
    created_by uuid,
    last_seq bigint DEFAULT 0 NOT NULL,
    last_rev bigint DEFAULT 0 NOT NULL,
    last_message_at timestamp with time zone,
    last_message_sender_id uuid,
    last_message_preview text,
    first_member_ids uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    thread_id uuid,
    connection_id uuid,
    CONSTRAINT chats_direct_key_check CHECK (((kind = 'direct'::text) = (direct_key IS NOT NULL))),
    CONSTRAINT chats_kind_check CHECK ((kind = ANY (ARRAY['direct'::text, 'group'::text, 'channel'::text]))),
    CONSTRAINT chats_last_seq_check CHECK (((last_seq >= 0) AND (last_rev >= last_seq))),
    CONSTRAINT chats_title_check CHECK (((length(title) >= 1) AND (length(title) <= 200)))
)
WITH (fillfactor='70');

ALTER TABLE public.chats OWNER TO postgres;

--
-- Name: add_to_chat(public.chats, uuid[], text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.add_to_chat(p_chat public.chats, p_user_ids uuid[], p_role text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_unknown uuid[];
begin
  select array_agg(wanted.user_id) into v_unknown from unnest(p_user_ids) as wanted (user_id)
  where not exists (
    select 1 from public.workspace_memberships as membership
    where membership.workspace_id = p_chat.workspace_id and membership.user_id = wanted.user_id);
  if v_unknown is not null or cardinality(p_user_ids) > 1000 then
    perform private.raise_error(400, 'reference_not_found',
      jsonb_build_object('field', 'member_ids', 'ids', v_unknown),
      'Name at most 1,000 people at once, all of them members of the workspace.');
  end if;
  -- Whoever comes in sees everything, and has nothing of it to read.
  insert into public.chat_members (workspace_id, chat_id, user_id, role, last_delivered_seq, last_read_seq)
  select distinct p_chat.workspace_id, p_chat.id, wanted.user_id, p_role, p_chat.last_seq, p_chat.last_seq
  from unnest(p_user_ids) as wanted (user_id)
  on conflict (chat_id, user_id) do nothing;
end $$;

ALTER FUNCTION private.add_to_chat(p_chat public.chats, p_user_ids uuid[], p_role text) OWNER TO postgres;

--
-- Name: advance_leads(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.advance_leads(p_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  perform 1 from public.leads as lead
  where lead.id = any (array(
    select message.lead_id from public.whatsapp_message_queue as message where message.id = any (p_ids)))
  order by lead.id
  for no key update;
  update public.leads as lead
  set status = case
      when message.status = 'sent' and lead.status in ('new', 'pending', 'queued') then 'contacted'
      when message.status = 'failed' and message.step = 1 and lead.status in ('queued', 'contacted') then 'pending'
      else lead.status
    end,
    control = case when message.status = 'failed' then 'human' else lead.control end,
    reason = coalesce(message.last_error, 'Step ' || message.step || ' was sent.'), updated_at = now()
  from public.whatsapp_message_queue as message
  where message.id = any (p_ids) and lead.id = message.lead_id and lead.control = 'automation';
  update public.lead_processing_queue as run
  set step = message.step,
    status = case when message.status = 'failed' then 'failed' when next.days is null then 'completed' else 'waiting' end,
    next_on = case when message.status = 'sent' then private.local_day(
      private.queue_timezone(message.workspace_id, message.user_id), message.sent_at) + next.days end,
    reason = coalesce(message.last_error, 'Step ' || message.step || ' was sent.'), updated_at = now()
  from public.whatsapp_message_queue as message
  left join public.user_queue_settings as settings
    on settings.workspace_id = message.workspace_id and settings.user_id = message.user_id
  cross join lateral (
    select (settings.steps -> message.step ->> 'after_days')::integer as days) as next
  where message.id = any (p_ids) and run.lead_id = message.lead_id and run.status in ('queued', 'waiting');
end $$;

ALTER FUNCTION private.advance_leads(p_ids uuid[]) OWNER TO postgres;

--
-- Name: after_leaving_chat(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.after_leaving_chat() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  if not exists (select 1 from public.chats as chat where chat.id = old.chat_id) then
    return null;  -- the whole chat is going
  end if;
  if old.role = 'owner' and not exists (
    select 1 from public.chat_members as member where member.chat_id = old.chat_id and member.role = 'owner'
  ) then
    update public.chat_members as member set role = 'owner'
    where member.chat_id = old.chat_id and member.user_id = (
      select next.user_id from public.chat_members as next where next.chat_id = old.chat_id
      order by next.joined_at, next.user_id limit 1);
  end if;
  perform private.tell_chat(old.chat_id, 'member_left', jsonb_build_object('user_id', old.user_id));
  return null;
end $$;

ALTER FUNCTION private.after_leaving_chat() OWNER TO postgres;

--
-- Name: chat_members; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.chat_members (
    chat_id uuid NOT NULL,
    user_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    role text DEFAULT 'member'::text NOT NULL,
    last_delivered_seq bigint DEFAULT 0 NOT NULL,
    last_read_seq bigint DEFAULT 0 NOT NULL,
    unread_deleted_count integer DEFAULT 0 NOT NULL,
    unread_mention_count integer DEFAULT 0 NOT NULL,
    muted_until timestamp with time zone,
    joined_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT chat_members_counts_check CHECK (((unread_deleted_count >= 0) AND (unread_mention_count >= 0))),
    CONSTRAINT chat_members_cursors_check CHECK (((last_read_seq >= 0) AND (last_delivered_seq >= last_read_seq))),
    CONSTRAINT chat_members_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'member'::text])))
)
WITH (fillfactor='70');

ALTER TABLE public.chat_members OWNER TO postgres;

--
-- Name: chat_messages; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.chat_messages (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    chat_id uuid NOT NULL,
    sender_id uuid,
    body text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    workspace_id uuid NOT NULL,
    seq bigint NOT NULL,
    rev bigint NOT NULL,
    client_generated_id text,
    attachments jsonb DEFAULT '[]'::jsonb NOT NULL,
    mentions uuid[] DEFAULT '{}'::uuid[] NOT NULL,
    reply_to bigint,
    edited_at timestamp with time zone,
    deleted_at timestamp with time zone,
    CONSTRAINT chat_messages_attachments_check CHECK (
CASE jsonb_typeof(attachments)
    WHEN 'array'::text THEN (jsonb_array_length(attachments) <= 10)
    ELSE false
END),
    CONSTRAINT chat_messages_body_check CHECK (((length(body) >= 1) AND (length(body) <= 8000))),
    CONSTRAINT chat_messages_client_generated_id_check CHECK (((length(client_generated_id) >= 1) AND (length(client_generated_id) <= 100))),
    CONSTRAINT chat_messages_mentions_check CHECK ((cardinality(mentions) <= 50)),
    CONSTRAINT chat_messages_reply_to_check CHECK (((reply_to > 0) AND (reply_to < seq))),
    CONSTRAINT chat_messages_seq_check CHECK (((seq > 0) AND (rev >= seq)))
);

ALTER TABLE public.chat_messages OWNER TO postgres;

--
-- Name: append_message(public.chat_members, text, text, jsonb, uuid[], bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.append_message(p_member public.chat_members, p_body text, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint) RETURNS public.chat_messages
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_message public.chat_messages;
begin
  p_attachments := coalesce(p_attachments, '[]');
  p_mentions := coalesce(p_mentions, '{}');
  perform private.require_message_text(p_body, p_attachments <> '[]');
  -- A plain text pays for nothing more.
  if p_attachments <> '[]' or p_mentions <> '{}' or p_reply_to is not null
    or coalesce(length(p_client_generated_id), 0) not between 1 and 100 then
    perform private.require_message_parts(p_member.chat_id, p_client_generated_id, p_attachments, p_mentions,
      p_reply_to);
    p_mentions := array(select distinct mention from unnest(p_mentions) as mention);
  end if;
  -- The lock on the chat's row comes as late as can be, and everything under it is one statement. Whoever waits for it
  -- gets the number after this one, once this one is committed.
  with counted as (
    update public.chats as chat
    set last_seq = chat.last_seq + 1, last_rev = chat.last_rev + 1,
      -- Taken under the lock, so that times follow the numbers.
      last_message_at = clock_timestamp(), last_message_sender_id = p_member.user_id,
      last_message_preview = left(nullif(p_body, ''), 120)
    where chat.id = p_member.chat_id
    returning chat.last_seq, chat.last_rev, chat.last_message_at
  ), message as (
    insert into public.chat_messages (workspace_id, chat_id, sender_id, client_generated_id, body, attachments,
      mentions, reply_to, created_at, seq, rev)
    select p_member.workspace_id, p_member.chat_id, p_member.user_id, p_client_generated_id, nullif(p_body, ''),
      p_attachments, p_mentions, p_reply_to, counted.last_message_at, counted.last_seq, counted.last_rev
    from counted
    on conflict (sender_id, client_generated_id, chat_id) do nothing
    returning *
  ), cursors as (
    -- Whoever writes has read what stands above.
    update public.chat_members as member
    set last_delivered_seq = message.seq, last_read_seq = message.seq, unread_deleted_count = 0,
      unread_mention_count = 0
    from message where member.chat_id = message.chat_id and member.user_id = message.sender_id
  )
  select message.* into v_message from message;
  if not found then
    -- A repetition: the number goes back before anybody has seen it, and the first message is the answer.
    update public.chats as chat
    set last_seq = chat.last_seq - 1, last_rev = chat.last_rev - 1, last_message_at = latest.created_at,
      last_message_sender_id = latest.sender_id, last_message_preview = left(latest.body, 120)
    from public.chat_messages as latest
    where chat.id = p_member.chat_id and latest.chat_id = chat.id and latest.seq = chat.last_seq - 1;
    select message.* into v_message from public.chat_messages as message
    where message.sender_id = p_member.user_id and message.client_generated_id = p_client_generated_id
      and message.chat_id = p_member.chat_id;
  elsif p_mentions <> '{}' then
    perform private.count_mentions(v_message);
  end if;
  return v_message;
end $$;

ALTER FUNCTION private.append_message(p_member public.chat_members, p_body text, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint) OWNER TO postgres;

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
    perform private.lock_whatsapp_threads(v_items, private.whatsapp_leads(v_items));
    perform private.lock_whatsapp_outbox(v_items, private.whatsapp_leads(v_items));
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
  v_lead_ids uuid[] := '{}';
  v_settled uuid[];
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
  if v_messages then
    v_lead_ids := private.whatsapp_leads(v_items);
  end if;
  if v_messages or v_changes then
    perform private.lock_whatsapp_threads(v_items, v_lead_ids);
  end if;
  if v_messages then
    perform private.store_whatsapp_messages(v_items);
  end if;
  if v_targets_missing and v_messages then
    v_items := private.whatsapp_items(p_events, p_records);
  end if;
  if v_messages or v_statuses then
    v_automated_threads := private.lock_whatsapp_outbox(v_items, v_lead_ids);
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
  if v_statuses then
    v_settled := array(
      select message.outbox_id from unnest(v_items) as item
      join public.wa_messages as message on message.id = item.message_id
      where item.kind = 'status' and (item.status = 'failed' or item.outbox_id is not null)
        and message.outbox_id is not null);
    perform private.follow_lead_messages(v_settled) where v_settled <> '{}';
  end if;
  if v_lead_ids <> '{}' then
    perform private.stop_threads(private.lead_threads(v_lead_ids));
    perform private.end_automation(v_lead_ids, private.lead_outbox(v_lead_ids), 'The conversation went on without it.',
      null, now());
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
-- Name: apply_workspace_status(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.apply_workspace_status() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  if new.status = 'suspended' then
    update private.outbox_lanes as lane set paused_until = lane.paused_until where lane.workspace_id = new.id;
  else
    update private.outbox_lanes as lane set paused_until = '-infinity', pause_count = 0, pause_reason = null
    where lane.workspace_id = new.id and lane.pause_reason = 'workspace_suspended';
    perform private.wake_outbox_workers();
  end if;
  return null;
end $$;

ALTER FUNCTION private.apply_workspace_status() OWNER TO postgres;

--
-- Name: are_two_people(uuid, uuid, uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.are_two_people(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid) RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return exists (
    select 1 from public.contact_duplicates as known
    where known.workspace_id = p_workspace_id and known.contact_id = least(p_contact_id, p_other_id)
      and known.duplicate_id = greatest(p_contact_id, p_other_id) and known.dismissed_at is not null);
end $$;

ALTER FUNCTION private.are_two_people(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid) OWNER TO postgres;

--
-- Name: assign_message_seq(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.assign_message_seq() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_existing_id uuid;
begin
  new.created_at := coalesce(new.created_at, clock_timestamp());
  update public.chats as chat
  set last_seq = chat.last_seq + 1, last_rev = chat.last_rev + 1, last_message_at = new.created_at,
    last_message_sender_id = new.sender_id, last_message_preview = left(new.body, 120)
  where chat.id = new.chat_id
  returning coalesce(new.workspace_id, chat.workspace_id), chat.last_seq, chat.last_rev
  into new.workspace_id, new.seq, new.rev;
  -- An error, because skipping the row or leaving it to `on conflict` would hide that it is there, or burn its number.
  select message.id into v_existing_id from public.chat_messages as message
  where message.sender_id = new.sender_id and message.client_generated_id = new.client_generated_id
    and message.chat_id = new.chat_id;
  if found then
    perform private.raise_error(409, 'already_exists',
      jsonb_build_object('client_generated_id', new.client_generated_id, 'id', v_existing_id),
      'Read the message that the detail names.');
  end if;
  update public.chat_members as member
  set last_delivered_seq = new.seq, last_read_seq = new.seq, unread_deleted_count = 0, unread_mention_count = 0
  where member.chat_id = new.chat_id and member.user_id = new.sender_id;
  perform private.count_mentions(new);
  return new;
end $$;

ALTER FUNCTION private.assign_message_seq() OWNER TO postgres;

--
-- Name: assign_waiting_threads(uuid, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.assign_waiting_threads(p_workspace_id uuid, p_limit integer) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_settings public.inbox_settings;
  v_thread record;
  v_user_id uuid;
  v_assigned integer := 0;
begin
  select settings.* into v_settings from public.inbox_settings as settings
  where settings.workspace_id = p_workspace_id and settings.assignment_policy <> 'manual'
  for no key update skip locked;
  if not found then
    return 0;
  end if;
  for v_thread in
    select thread.id from public.wa_threads as thread
    where thread.workspace_id = p_workspace_id and thread.waiting_since is not null and thread.assignee_id is null
      and thread.status in ('open', 'pending')
    order by thread.waiting_since, thread.id
    limit p_limit
    for no key update skip locked
  loop
    select assignee.user_id into v_user_id
    from public.inbox_assignees as assignee
    join public.workspace_memberships as member
      on member.workspace_id = assignee.workspace_id and member.user_id = assignee.user_id and member.role <> 'viewer'
    cross join lateral (
      select count(*) as threads from public.wa_threads as thread
      where thread.workspace_id = assignee.workspace_id and thread.assignee_id = assignee.user_id
        and thread.status in ('open', 'pending')
    ) as load
    where assignee.workspace_id = p_workspace_id
      and load.threads < coalesce(v_settings.assignment_limit, 2147483647)
    order by case v_settings.assignment_policy when 'by_load' then load.threads end, assignee.last_assigned_at,
      assignee.user_id
    limit 1;
    exit when not found;
    update public.wa_threads as thread set assignee_id = v_user_id where thread.id = v_thread.id;
    update public.inbox_assignees as assignee set last_assigned_at = clock_timestamp()
    where assignee.workspace_id = p_workspace_id and assignee.user_id = v_user_id;
    v_assigned := v_assigned + 1;
  end loop;
  return v_assigned;
end $$;

ALTER FUNCTION private.assign_waiting_threads(p_workspace_id uuid, p_limit integer) OWNER TO postgres;

--
-- Name: audit(text, uuid, jsonb, jsonb, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.audit(p_action text, p_workspace_id uuid, p_before jsonb, p_after jsonb, p_reason text) RETURNS void
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    AS $$
  insert into public.owner_audit_log (action, workspace_id, before, after, reason)
  values (p_action, p_workspace_id, p_before, p_after, p_reason)
$$;

ALTER FUNCTION private.audit(p_action text, p_workspace_id uuid, p_before jsonb, p_after jsonb, p_reason text) OWNER TO postgres;

--
-- Name: audit_row(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.audit_row() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_old jsonb;
  v_new jsonb;
  v_row jsonb;
  v_workspace_id uuid;
  v_action text;
begin
  if tg_op <> 'INSERT' then
    select jsonb_object_agg(part.key, part.value) into v_old
    from jsonb_each(to_jsonb(old)) as part where part.key = any (tg_argv);
  end if;
  if tg_op <> 'DELETE' then
    select jsonb_object_agg(part.key, part.value) into v_new
    from jsonb_each(to_jsonb(new)) as part where part.key = any (tg_argv);
  end if;
  if v_old is not distinct from v_new then
    return null;
  end if;
  v_row := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
  v_workspace_id := (case tg_table_name when 'workspaces' then v_row ->> 'id' else v_row ->> 'workspace_id' end)::uuid;
  if tg_op = 'DELETE' and tg_table_name <> 'workspaces' and v_workspace_id is not null
    and not exists (select 1 from public.workspaces as workspace where workspace.id = v_workspace_id) then
    return null;
  end if;

  v_action := case tg_table_name
    when 'workspaces' then 'owner.workspace.' || case tg_op
      when 'INSERT' then 'created'
      when 'DELETE' then 'deleted'
      else case
        when v_old ->> 'status' = v_new ->> 'status' then 'updated'
        when v_new ->> 'status' = 'active' then 'activated'
        else v_new ->> 'status' end end
    when 'workspace_memberships' then 'owner.member.' || case tg_op
      when 'INSERT' then 'added' when 'DELETE' then 'removed' else 'role_changed' end
    when 'workspace_entitlements' then 'owner.entitlement.' || case
      when tg_op = 'DELETE' then 'removed'
      when tg_op = 'UPDATE' and v_old ->> 'enabled' = v_new ->> 'enabled' then 'updated'
      when (v_new ->> 'enabled')::boolean then 'enabled'
      else 'disabled' end
    when 'owner_members' then 'owner.operator.' || case
      when tg_op = 'INSERT' then 'added'
      when tg_op = 'DELETE' then 'removed'
      when v_old ->> 'active' = v_new ->> 'active' then 'updated'
      when (v_new ->> 'active')::boolean then 'reactivated'
      else 'deactivated' end
    when 'platform_admins' then 'owner.admin.' || case tg_op when 'INSERT' then 'added' else 'removed' end
    when 'wa_phone_numbers' then 'owner.connection.' || case
      when tg_op = 'INSERT' then 'connected'
      when tg_op = 'DELETE' or v_old ->> 'deleted_at' is null and v_new ->> 'deleted_at' is not null then 'deleted'
      when v_old ->> 'status' = v_new ->> 'status' then 'updated'
      when v_new ->> 'status' = 'paused' then 'paused'
      when v_new ->> 'status' = 'inactive' then 'disconnected'
      when v_old ->> 'status' = 'paused' then 'resumed'
      else 'connected' end
  end;
  perform private.audit(v_action, v_workspace_id, v_old, v_new,
    coalesce(nullif(current_setting('qero.reason', true), ''), v_row ->> 'reason', v_row ->> 'status_reason'));
  return null;
end $$;

ALTER FUNCTION private.audit_row() OWNER TO postgres;

--
-- Name: audit_seal_hash(text, bigint, bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.audit_seal_hash(p_previous_hash text, p_after_id bigint, p_last_id bigint) RETURNS TABLE(hash text, row_count bigint)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET "TimeZone" TO 'UTC'
    SET "DateStyle" TO 'ISO'
    AS $$
  select encode(sha256(convert_to(coalesce(p_previous_hash, '') || coalesce(string_agg(
      jsonb_build_array(entry.id, entry.occurred_at, entry.action, entry.actor_id, entry.actor_email, entry.actor_role,
        entry.workspace_id, entry.before, entry.after, entry.reason, entry.request_id)::text,
      E'\n' order by entry.id), ''), 'UTF8')), 'hex'), count(*)
  from public.owner_audit_log as entry where entry.id > p_after_id and entry.id <= p_last_id
$$;

ALTER FUNCTION private.audit_seal_hash(p_previous_hash text, p_after_id bigint, p_last_id bigint) OWNER TO postgres;

--
-- Name: automated_leads(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.automated_leads(p_contact_ids uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return array(
    select lead.id from public.leads as lead
    where lead.contact_id = any (p_contact_ids) and lead.control = 'automation' order by lead.id);
end $$;

ALTER FUNCTION private.automated_leads(p_contact_ids uuid[]) OWNER TO postgres;

--
-- Name: badge_of(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.badge_of(p_user_id uuid) RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  return
    (select coalesce(sum(greatest(chat.last_seq - member.last_read_seq - member.unread_deleted_count, 0)), 0)::bigint
     from public.chat_members as member join public.chats as chat on chat.id = member.chat_id
     where member.user_id = p_user_id and coalesce(member.muted_until, '-infinity') <= now())
    + (select coalesce(sum(mine.unread_count), 0) from private.thread_unread as mine
       where mine.user_id = p_user_id and mine.assignee_id = p_user_id)
    + (select count(*) from public.user_contact_settings as settings
       where settings.user_id = p_user_id and settings.follow_up_at <= now())
    + (select count(*) from public.user_tma_settings as settings
       where settings.user_id = p_user_id and settings.follow_up_at <= now());
end $$;

ALTER FUNCTION private.badge_of(p_user_id uuid) OWNER TO postgres;

--
-- Name: begin_takeover(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.begin_takeover(p_thread_id uuid, OUT p_lead_ids uuid[], OUT p_outbox_ids uuid[]) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_thread public.wa_threads;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  p_lead_ids := private.automated_leads(array[v_thread.contact_id]);
  if p_lead_ids <> '{}' then
    perform pg_advisory_xact_lock_shared(hashtextextended(v_thread.workspace_id::text, 512));
    p_outbox_ids := private.lock_automation(p_lead_ids);
  end if;
end $$;

ALTER FUNCTION private.begin_takeover(p_thread_id uuid, OUT p_lead_ids uuid[], OUT p_outbox_ids uuid[]) OWNER TO postgres;

--
-- Name: broadcast_message(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.broadcast_message() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform realtime.send(to_jsonb(new), 'message', 'chat:' || new.chat_id, true);
  return null;
end $$;

ALTER FUNCTION private.broadcast_message() OWNER TO postgres;

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
-- Name: bulk_template(uuid, uuid, jsonb, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.bulk_template(p_workspace_id uuid, p_template_id uuid, p_variables jsonb, p_limit integer) RETURNS public.wa_templates
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_template public.wa_templates := private.sendable_template(p_workspace_id, p_template_id);
begin
  if not coalesce(p_limit between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Send to 1 to 10,000 threads at once.');
  end if;
  perform private.check_template_variables(v_template, coalesce(p_variables, '{}'));
  return v_template;
end $$;

ALTER FUNCTION private.bulk_template(p_workspace_id uuid, p_template_id uuid, p_variables jsonb, p_limit integer) OWNER TO postgres;

--
-- Name: business_moment(timestamp with time zone, integer, jsonb, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.business_moment(p_from timestamp with time zone, p_seconds integer, p_hours jsonb, p_timezone text) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_week integer;
  v_weeks integer;
  v_rest integer;
  v_from timestamptz;
begin
  if p_hours is null or p_from is null or p_seconds is null then
    return p_from + make_interval(secs => p_seconds);
  end if;
  select extract(epoch from sum(hours.closes - hours.opens))::integer into v_week
  from jsonb_to_recordset(p_hours) as hours (opens time, closes time);
  v_weeks := (abs(p_seconds) - 1) / v_week;
  v_rest := abs(p_seconds) - v_weeks * v_week;
  v_from := ((p_from at time zone p_timezone) + make_interval(days => sign(p_seconds)::integer * v_weeks * 7))
    at time zone p_timezone;
  return (
    select case when p_seconds > 0 then counted.closes_at - make_interval(secs => counted.seconds - v_rest)
      else counted.opens_at + make_interval(secs => counted.seconds - v_rest) end
    from (
      select opening.*, extract(epoch from sum(opening.closes_at - opening.opens_at) over (
        order by sign(p_seconds) * extract(epoch from opening.opens_at))) as seconds
      from (
        select case when p_seconds > 0 then greatest(span.opens_at, v_from) else span.opens_at end as opens_at,
          case when p_seconds > 0 then span.closes_at else least(span.closes_at, v_from) end as closes_at
        from generate_series(-8, 8) as days (offset_days)
        join jsonb_to_recordset(p_hours) as hours (day integer, opens time, closes time)
          on hours.day = extract(isodow from (v_from at time zone p_timezone)::date + days.offset_days)
        cross join lateral (
          select ((v_from at time zone p_timezone)::date + days.offset_days + hours.opens) at time zone p_timezone as opens_at,
            ((v_from at time zone p_timezone)::date + days.offset_days + hours.closes) at time zone p_timezone as closes_at
        ) as span
      ) as opening
      where opening.closes_at > opening.opens_at
    ) as counted
    where counted.seconds >= v_rest
    order by counted.seconds
    limit 1);
end $$;

ALTER FUNCTION private.business_moment(p_from timestamp with time zone, p_seconds integer, p_hours jsonb, p_timezone text) OWNER TO postgres;

--
-- Name: caller_role(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.caller_role() RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return case current_setting('role') when 'none' then session_user::text else current_setting('role') end;
end $$;

ALTER FUNCTION private.caller_role() OWNER TO postgres;

--
-- Name: cancel_automated_outbox(uuid[], text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ids uuid[] := array(
    select outbox.id from public.outbox_messages as outbox
    where outbox.thread_id = any (p_thread_ids) and outbox.automated and outbox.status = 'queued');
begin
  if v_ids <> '{}' then
    perform private.cancel_queued_outbox(v_ids, p_reason);
  end if;
end $$;

ALTER FUNCTION private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) OWNER TO postgres;

--
-- Name: cancel_ended_automation(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.cancel_ended_automation(p_outbox_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_ids uuid[] := array(
    select outbox.id from public.outbox_messages as outbox
    join public.wa_threads as thread on thread.id = outbox.thread_id
    where outbox.id = any (p_outbox_ids) and outbox.automated and outbox.status = 'queued'
      and thread.automation_stopped_at >= outbox.created_at);
begin
  if v_ids <> '{}' then
    perform private.cancel_queued_outbox(v_ids, 'The conversation went on without it.');
  end if;
end $$;

ALTER FUNCTION private.cancel_ended_automation(p_outbox_ids uuid[]) OWNER TO postgres;

--
-- Name: cancel_queued_outbox(uuid[], text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.cancel_queued_outbox(p_ids uuid[], p_reason text) RETURNS uuid[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ids uuid[];
  v_line_ids bigint[];
  v_sequences bigint[];
begin
  perform 1 from public.outbox_messages as outbox
  where outbox.id = any (p_ids) and outbox.status = 'queued' order by outbox.id for no key update;
  v_ids := private.withdraw_outbox(p_ids);
  with cancelled as (
    update public.outbox_messages as outbox
    set status = 'cancelled', error_code = 'cancelled', error_text = left(p_reason, 2000), settled_at = now()
    where outbox.id = any (v_ids) and outbox.status = 'queued'
    returning outbox.id, outbox.workspace_id, outbox.line_id, outbox.sequence
  ), shown as (
    update public.wa_messages as message set status = 'cancelled', error_text = left(p_reason, 2000)
    from cancelled
    where message.outbox_id = cancelled.id and message.workspace_id = cancelled.workspace_id
      and message.status = 'pending'
  )
  select array_agg(cancelled.id), array_agg(cancelled.line_id), array_agg(cancelled.sequence)
  into v_ids, v_line_ids, v_sequences from cancelled;
  if v_ids is not null then
    perform private.leave_outbox_lines(v_line_ids, v_sequences, false);
    perform private.follow_lead_messages(v_ids);
  end if;
  return coalesce(v_ids, '{}');
end $$;

ALTER FUNCTION private.cancel_queued_outbox(p_ids uuid[], p_reason text) OWNER TO postgres;

--
-- Name: check_entitlement_payload(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.check_entitlement_payload(p_payload jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if jsonb_typeof(p_payload) <> 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "payload"}', 'Send a JSON object, or none.');
  elsif jsonb_typeof(p_payload -> 'limit') not in ('number', 'null')
    or jsonb_typeof(p_payload -> 'limit') = 'number'
      and (p_payload ->> 'limit')::numeric not between 0 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_value', '{"field": "payload.limit"}',
      'A limit is a number from 0 to 9007199254740991; leave it out where there is none.');
  elsif coalesce(p_payload ->> 'period', 'day') not in ('day', 'month', 'year') then
    perform private.raise_error(400, 'invalid_value',
      '{"field": "payload.period", "allowed": ["day", "month", "year"]}',
      'A limit is for a day, a month or a year in UTC; leave the period out where it is for good.');
  end if;
end $$;

ALTER FUNCTION private.check_entitlement_payload(p_payload jsonb) OWNER TO postgres;

--
-- Name: check_import(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.check_import(p_rows jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  if jsonb_typeof(p_rows) is distinct from 'array' then
    perform private.raise_error(400, 'invalid_value', '{"field": "rows"}', 'Send an array of rows.');
  elsif jsonb_array_length(p_rows) > 5000 then
    perform private.raise_error(400, 'too_many_rows',
      jsonb_build_object('field', 'rows', 'count', jsonb_array_length(p_rows), 'limit', 5000),
      'Send at most 5,000 rows at once.');
  end if;
end $$;

ALTER FUNCTION private.check_import(p_rows jsonb) OWNER TO postgres;

--
-- Name: check_lead_fields(uuid, jsonb, text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.check_lead_fields(p_workspace_id uuid, p_fields jsonb, p_allowed text[]) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
  -- Only preparing a day queues a lead.
  v_statuses constant text[] := array['new', 'pending', 'contacted', 'engaged', 'qualified', 'lost'];
  v_field text;
  v_text text;
begin
  if jsonb_typeof(p_fields) is distinct from 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "fields"}', 'Send an object of fields by name.');
  end if;
  for v_field in select * from jsonb_object_keys(p_fields) loop
    v_text := p_fields ->> v_field;
    if not v_field = any (p_allowed) then
      perform private.raise_error(400, 'field_unknown',
        jsonb_build_object('field', left(v_field, 100), 'allowed', p_allowed), 'Use the fields that are allowed.');
    elsif v_field = 'status' then
      if not coalesce(v_text = any (v_statuses), false) then
        perform private.raise_error(400, 'lead_status_invalid',
          jsonb_build_object('field', 'status', 'value', left(v_text, 50), 'allowed', v_statuses),
          'Use one of the allowed lead statuses.');
      end if;
    elsif v_field = 'score' then
      if not coalesce(v_text ~ '^-?[0-9]{1,9}$', false) then
        perform private.raise_error(400, 'invalid_value',
          jsonb_build_object('field', 'score', 'value', left(v_text, 50), 'allowed', 'a whole number'),
          'Give the score as a whole number.');
      end if;
    elsif v_text is not null then
      if not pg_input_is_valid(v_text, 'uuid') then
        perform private.raise_error(400, 'invalid_value',
          jsonb_build_object('field', v_field, 'value', left(v_text, 100), 'allowed', 'an id'), 'Give an id.');
      elsif not (case v_field
        when 'client_id' then exists (
          select from public.clients as client where (client.workspace_id, client.id) = (p_workspace_id, v_text::uuid))
        when 'project_id' then exists (
          select from public.projects as project
          where (project.workspace_id, project.id) = (p_workspace_id, v_text::uuid))
        else exists (
          select from public.workspace_memberships as membership
          where (membership.workspace_id, membership.user_id) = (p_workspace_id, v_text::uuid)
            and membership.role <> 'viewer')
        end)
      then
        perform private.raise_error(400, 'reference_not_found',
          jsonb_build_object('field', v_field, 'value', v_text), 'Check the id that the detail names.');
      end if;
    end if;
  end loop;
end $_$;

ALTER FUNCTION private.check_lead_fields(p_workspace_id uuid, p_fields jsonb, p_allowed text[]) OWNER TO postgres;

--
-- Name: check_my_status(text, text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.check_my_status(p_my_status text, p_allowed text[]) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if p_my_status <> all (p_allowed) then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'my_status', 'value', left(p_my_status, 50), 'allowed', p_allowed),
      'Use one of the allowed statuses.');
  end if;
end $$;

ALTER FUNCTION private.check_my_status(p_my_status text, p_allowed text[]) OWNER TO postgres;

--
-- Name: check_page(text, text, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.check_page(p_sort text, p_after text, p_limit integer) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
begin
  if p_sort is null or p_sort not in ('created_at', 'name') then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'sort', 'value', left(p_sort, 50), 'allowed', array['created_at', 'name']),
      'Sort by one of the allowed fields.');
  elsif not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 at once.');
  elsif p_after is not null and (not pg_input_is_valid(left(p_after, 36), 'uuid') or substr(p_after, 37, 1) <> ':'
    or (p_sort = 'created_at' and substr(p_after, 38) !~ '^-?[0-9]{1,17}$'))
  then
    perform private.raise_error(400, 'invalid_value', '{"field": "after"}',
      'Send the cursor of the page before, with the same sorting.');
  end if;
end $_$;

ALTER FUNCTION private.check_page(p_sort text, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: check_queue_settings(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.check_queue_settings(p_patch jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
  v_allowed constant text[] := array['daily_capacity', 'batch_size', 'timezone', 'sends_from', 'sends_until', 'paused',
    'takes_unassigned', 'connection_id', 'steps'];
  v_field text;
  v_value jsonb;
  v_text text;
  v_expected text;
begin
  if jsonb_typeof(p_patch) is distinct from 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "patch"}', 'Send an object of fields by name.');
  end if;
  for v_field, v_value in select * from jsonb_each(p_patch) loop
    v_text := p_patch ->> v_field;
    v_expected := case v_field
      when 'daily_capacity' then case when not coalesce(
        v_text ~ '^[0-9]{1,5}$' and v_text::integer <= 10000, false) then '0 to 10000' end
      when 'batch_size' then case when not coalesce(
        v_text ~ '^[0-9]{1,4}$' and v_text::integer between 1 and 1000, false) then '1 to 1000' end
      when 'timezone' then case when v_text is not null and (length(v_text) > 100 or not private.is_timezone(v_text))
        then 'a zone like Europe/Berlin' end
      when 'sends_from' then case when v_text is null or not pg_input_is_valid(v_text, 'time')
        then 'a time like 09:00' end
      when 'sends_until' then case when v_text is null or not pg_input_is_valid(v_text, 'time')
        then 'a time like 18:00' end
      when 'paused' then case when jsonb_typeof(v_value) <> 'boolean' then 'true or false' end
      when 'takes_unassigned' then case when jsonb_typeof(v_value) <> 'boolean' then 'true or false' end
      when 'connection_id' then case when v_text is not null and not pg_input_is_valid(v_text, 'uuid')
        then 'the id of a connection' end
      when 'steps' then private.queue_steps_problem(v_value)
      else 'unknown'
    end;
    if v_expected = 'unknown' then
      perform private.raise_error(400, 'field_unknown',
        jsonb_build_object('field', left(v_field, 100), 'allowed', v_allowed), 'Use the fields that are allowed.');
    elsif v_expected is not null then
      perform private.raise_error(400, 'invalid_value',
        jsonb_build_object('field', v_field, 'value', left(v_text, 100), 'allowed', v_expected),
        'Correct the field that the detail names.');
    end if;
  end loop;
end $_$;

ALTER FUNCTION private.check_queue_settings(p_patch jsonb) OWNER TO postgres;

--
-- Name: check_template_variables(public.wa_templates, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.check_template_variables(p_template public.wa_templates, p_variables jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
declare
  v_wanted constant jsonb := private.template_variables(p_template.components);
  v_problems jsonb;
begin
  if exists (
    select from jsonb_array_elements(private.template_components(p_template.components)) as component
    where component.value ->> 'type' not in ('HEADER', 'BODY', 'FOOTER', 'BUTTONS', 'CAROUSEL'))
  then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'template_id'),
      'Templates with offers can''t be sent from here; send them through the outbox.');
  end if;
  select jsonb_agg(problem.text order by problem.text) into v_problems
  from private.template_problems(v_wanted, p_variables) as problem (text);
  if v_problems is not null then
    perform private.raise_error(400, 'template_variables_invalid',
      jsonb_build_object('problems', v_problems, 'variables', v_wanted),
      'Give a value for each place that the template has, and no other.');
  end if;
end $$;

ALTER FUNCTION private.check_template_variables(p_template public.wa_templates, p_variables jsonb) OWNER TO postgres;

--
-- Name: check_tokens(bigint, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.check_tokens(p_amount bigint, p_reason text) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if p_amount is null or p_amount = 0 or abs(p_amount) > 1000000000000000
    or coalesce(length(btrim(p_reason)), 0) not between 1 and 500 then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["amount", "reason"]}',
      'Move 1 to 1000000000000000 tokens, with a reason of 1 to 500 characters.');
  end if;
end $$;

ALTER FUNCTION private.check_tokens(p_amount bigint, p_reason text) OWNER TO postgres;

--
-- Name: check_view(text, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.check_view(p_name text, p_filters jsonb) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
declare
  v_wrong constant text := private.wrong_view_filter(p_filters);
begin
  if not coalesce(length(btrim(p_name)) between 1 and 100, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "name"}', 'Give the view a name of 1 to 100 characters.');
  elsif v_wrong in ('filters', 'status', 'assignee', 'tag', 'q') then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', v_wrong),
      'A status is open, pending, snoozed or closed; an assignee me, unassigned or an id; tag and q are text.');
  elsif v_wrong is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_wrong, 100), 'allowed', array['status', 'assignee', 'tag', 'q']),
      'Use the filters that are allowed.');
  end if;
end $$;

ALTER FUNCTION private.check_view(p_name text, p_filters jsonb) OWNER TO postgres;

--
-- Name: checked_fields(jsonb, text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.checked_fields(p_fields jsonb, p_allowed text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
  v_lead_statuses constant text[] := array['new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost'];
  v_field text;
  v_value jsonb;
  v_text text;
  v_checked jsonb := '{}';
begin
  if jsonb_typeof(p_fields) is distinct from 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "fields"}', 'Send an object of fields by name.');
  end if;
  for v_field, v_value in select * from jsonb_each(p_fields) loop
    if not v_field = any (p_allowed) then
      perform private.raise_error(400, 'field_unknown',
        jsonb_build_object('field', left(v_field, 100), 'allowed', p_allowed), 'Use the fields that are allowed.');
    end if;
    v_text := p_fields ->> v_field;
    if v_field in ('tags', 'status_tags') then
      if jsonb_typeof(v_value) is distinct from 'array' or jsonb_array_length(v_value) > 50 or exists (
        select from jsonb_array_elements(v_value) as tag
        where jsonb_typeof(tag.value) <> 'string' or length(tag.value #>> '{}') not between 1 and 100)
      then
        perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', v_field),
          'Send at most 50 tags, each a text of 1 to 100 characters.');
      end if;
    elsif v_field = 'lead_status' then
      if not coalesce(v_text = any (v_lead_statuses), false) then
        perform private.raise_error(400, 'lead_status_invalid',
          jsonb_build_object('field', 'lead_status', 'value', left(v_text, 50), 'allowed', v_lead_statuses),
          'Use one of the allowed lead statuses.');
      end if;
    elsif v_value <> 'null'::jsonb then
      v_text := case v_field when 'email' then private.normal_email(v_text) when 'phone' then private.normal_phone(v_text)
        else btrim(v_text) end;
      if jsonb_typeof(v_value) <> 'string'
        or (v_field = 'name' and length(v_text) not between 1 and 300)
        or (v_field = 'email' and not coalesce(
          length(v_text) <= 320 and v_text ~ '^[^@[:space:]]+@[^@[:space:]]+$', false))
        or (v_field = 'phone' and not coalesce(v_text ~ '^\+[1-9][0-9]{6,14}$', false))
        or (v_field = 'source' and length(v_text) not between 1 and 100)
        or (v_field = 'assigned_to' and not pg_input_is_valid(v_text, 'uuid'))
      then
        perform private.raise_error(400, 'invalid_value',
          jsonb_build_object('field', v_field, 'value', left(v_text, 100)),
          case v_field
            when 'name' then 'Give a name of 1 to 300 characters.'
            when 'email' then 'Give an e-mail address.'
            when 'phone' then 'Give the phone number with its country, as +491701234567.'
            when 'assigned_to' then 'Give the id of a member.'
            else 'Give a text of 1 to 100 characters.' end);
      end if;
      v_value := to_jsonb(v_text);
    elsif v_field = 'source' then
      perform private.raise_error(400, 'invalid_value', '{"field": "source"}', 'Give a text of 1 to 100 characters.');
    end if;
    v_checked := v_checked || jsonb_build_object(v_field, v_value);
  end loop;
  return v_checked;
end $_$;

ALTER FUNCTION private.checked_fields(p_fields jsonb, p_allowed text[]) OWNER TO postgres;

--
-- Name: checked_settings(jsonb, text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.checked_settings(p_patch jsonb, p_statuses text[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_allowed constant text[] := array['status', 'follow_up_at', 'follow_up_note'];
  v_unknown text;
begin
  if jsonb_typeof(p_patch) is distinct from 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "patch"}', 'Send an object of settings by name.');
  end if;
  select key into v_unknown from jsonb_object_keys(p_patch) as key where key <> all (v_allowed) limit 1;
  if v_unknown is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_unknown, 100), 'allowed', v_allowed), 'Use the fields that are allowed.');
  end if;
  if p_patch ->> 'status' <> all (p_statuses) then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'status', 'value', left(p_patch ->> 'status', 50), 'allowed', p_statuses),
      'Use one of the allowed statuses, or null for none.');
  end if;
  if p_patch ->> 'follow_up_at' is not null and not coalesce(
    case when pg_input_is_valid(p_patch ->> 'follow_up_at', 'timestamptz')
      then (p_patch ->> 'follow_up_at')::timestamptz >= '1970-01-01T00:00:00Z'
        and (p_patch ->> 'follow_up_at')::timestamptz < '3000-01-01T00:00:00Z' end, false)
  then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'follow_up_at', 'value', left(p_patch ->> 'follow_up_at', 50)),
      'Give a time with its zone, or null for none.');
  end if;
  if length(p_patch ->> 'follow_up_note') > 2000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "follow_up_note", "limit": 2000}',
      'Write at most 2,000 characters.');
  end if;
  return p_patch || case when p_patch ? 'follow_up_note'
    then jsonb_build_object('follow_up_note', nullif(btrim(p_patch ->> 'follow_up_note'), '')) else '{}' end;
end $$;

ALTER FUNCTION private.checked_settings(p_patch jsonb, p_statuses text[]) OWNER TO postgres;

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
  v_first_inbound_at timestamptz[];
  v_inbound_at timestamptz[];
  v_answered_at timestamptz[];
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
      -- When it came may be another time now.
      min(timestamptz '-infinity') filter (where completed.direction = 'in' and completed.source = 'live')
        as first_inbound_at,
      max(completed.occurred_at) filter (where completed.direction = 'in' and completed.source = 'live') as inbound_at,
      max(completed.occurred_at) filter (where completed.direction = 'out' and completed.source = 'phone') as answered_at,
      max(completed.occurred_at) filter (where completed.source <> 'history') as replied_at,
      count(*) filter (where completed.is_live and completed.direction = 'in' and completed.source = 'live')
        as unread_count,
      left((array_agg(completed.body order by completed.occurred_at desc, completed.sequence desc))[1], 200) as body
    from completed group by completed.thread_id
  )
  select array_agg(latest.thread_id), array_agg(latest.occurred_at), array_agg(latest.body),
    array_agg(latest.first_inbound_at), array_agg(latest.inbound_at), array_agg(latest.answered_at),
    array_agg(latest.replied_at), array_agg(latest.unread_count::integer)
  into v_thread_ids, v_latest_at, v_bodies, v_first_inbound_at, v_inbound_at, v_answered_at, v_replied_at,
    v_unread_counts
  from latest;
  perform private.move_whatsapp_threads(
    v_thread_ids, v_latest_at, v_bodies, v_first_inbound_at, v_inbound_at, v_answered_at, v_replied_at,
    v_unread_counts);

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

--
-- Name: count_mentions(public.chat_messages); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.count_mentions(p_message public.chat_messages) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  update public.chat_members as member set unread_mention_count = member.unread_mention_count + 1
  where member.chat_id = p_message.chat_id and member.user_id = any (p_message.mentions)
    and member.user_id is distinct from p_message.sender_id
$$;

ALTER FUNCTION private.count_mentions(p_message public.chat_messages) OWNER TO postgres;

--
-- Name: count_of_contacts(uuid, jsonb, uuid[], uuid[], boolean); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.count_of_contacts(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_exact boolean) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_query text;
  v_count bigint;
  v_plan jsonb;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  v_query := 'select 1 from public.contacts as person where person.workspace_id = $1 and person.deleted_at is null'
    || case when p_only is null then '' else ' and person.id = any ($2)' end
    || case when p_without is null then '' else ' and person.id <> all ($3)' end
    || private.people_conditions(p_filter);
  execute 'select count(*) from (' || v_query || case when p_exact then '' else ' limit 5001' end || ') as found'
    into v_count using p_workspace_id, p_only, p_without;
  if not p_exact and v_count > 5000 then
    execute 'explain (format json) ' || v_query into v_plan using p_workspace_id, p_only, p_without;
    return jsonb_build_object(
      'count', greatest(v_count, (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::bigint), 'is_exact', false);
  end if;
  return jsonb_build_object('count', v_count, 'is_exact', true);
end $_$;

ALTER FUNCTION private.count_of_contacts(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_exact boolean) OWNER TO postgres;

--
-- Name: count_queue_transitions(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.count_queue_transitions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  insert into public.queue_performance_metrics as metrics
    (workspace_id, user_id, day, prepared, sent, failed, cancelled, taken, replied, first_sent_at, last_sent_at)
  select counted.workspace_id, counted.user_id, counted.day, counted.prepared, counted.sent, counted.failed,
    counted.cancelled, counted.taken, counted.replied, counted.sent_at, counted.sent_at
  from (
    select entry.workspace_id, entry.user_id, entry.day,
      count(*) filter (where entry.is_message and entry.from_status is null) as prepared,
      count(*) filter (where entry.is_message and entry.to_status = 'sent')
        - count(*) filter (where entry.is_message and entry.from_status = 'sent') as sent,
      count(*) filter (where entry.is_message and entry.to_status = 'failed')
        - count(*) filter (where entry.is_message and entry.from_status = 'failed') as failed,
      count(*) filter (where entry.is_message and entry.to_status = 'cancelled')
        - count(*) filter (where entry.is_message and entry.from_status = 'cancelled') as cancelled,
      count(*) filter (where entry.action = 'taken') as taken,
      count(*) filter (where entry.action = 'replied') as replied,
      max(entry.created_at) filter (where entry.is_message and entry.to_status = 'sent') as sent_at
    from (
      select ledger.*, ledger.queue = 'whatsapp_message_queue' as is_message from new_rows as ledger
      where ledger.user_id is not null and ledger.day is not null
    ) as entry
    group by entry.workspace_id, entry.user_id, entry.day
    order by entry.workspace_id, entry.user_id, entry.day
  ) as counted
  where (counted.prepared, counted.sent, counted.failed, counted.cancelled, counted.taken, counted.replied)
    <> (0, 0, 0, 0, 0, 0)
    -- Counted for people who are still there.
    and exists (select from auth.users as account where account.id = counted.user_id)
  on conflict on constraint queue_performance_metrics_pkey do update
    set prepared = metrics.prepared + excluded.prepared, sent = metrics.sent + excluded.sent,
      failed = metrics.failed + excluded.failed, cancelled = metrics.cancelled + excluded.cancelled,
      taken = metrics.taken + excluded.taken, replied = metrics.replied + excluded.replied,
      first_sent_at = least(metrics.first_sent_at, excluded.first_sent_at),
      last_sent_at = greatest(metrics.last_sent_at, excluded.last_sent_at), updated_at = now();
  return null;
end $$;

ALTER FUNCTION private.count_queue_transitions() OWNER TO postgres;

--
-- Name: cursor_time(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.cursor_time(p_cursor text) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
  select timestamptz 'epoch' + p_cursor::bigint * interval '1 microsecond'
$$;

ALTER FUNCTION private.cursor_time(p_cursor text) OWNER TO postgres;

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
    search_languages text[] DEFAULT '{simple}'::text[] NOT NULL,
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
-- Name: delete_outbox_lane(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.delete_outbox_lane() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  delete from private.outbox_ready as ready where ready.lane_id = old.lane_id;
  delete from public.outbox_messages as outbox
  where outbox.workspace_id = old.workspace_id and outbox.channel = old.channel
    and (outbox.connection_id = old.connection_id or (outbox.connection_id is null and old.connection_id is null));
  return null;
end $$;

ALTER FUNCTION private.delete_outbox_lane() OWNER TO postgres;

--
-- Name: delete_token_ledger(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.delete_token_ledger() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  delete from public.workspace_token_ledger as entry where entry.workspace_id = old.workspace_id;
  return null;
end $$;

ALTER FUNCTION private.delete_token_ledger() OWNER TO postgres;

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
-- Name: end_automation(uuid[], uuid[], text, uuid, timestamp with time zone); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.end_automation(p_lead_ids uuid[], p_outbox_ids uuid[], p_reason text, p_taken_by uuid, p_replied_at timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  if p_outbox_ids <> '{}' then
    perform private.cancel_queued_outbox(p_outbox_ids, p_reason);
  end if;
  perform 1 from public.leads as lead where lead.id = any (p_lead_ids) order by lead.id for no key update;
  update public.leads as lead
  set control = 'human', status = case when lead.status in ('qualified', 'lost') then lead.status else 'engaged' end,
    taken_by = p_taken_by, taken_at = case when p_taken_by is not null then clock_timestamp() end,
    replied_at = coalesce(p_replied_at, lead.replied_at), reason = p_reason
  where lead.id = any (p_lead_ids) and lead.taken_by is null and (lead.control = 'automation' or p_taken_by is not null);
  if exists (
    select from public.whatsapp_message_queue as message
    where message.lead_id = any (p_lead_ids) and message.status = 'queued'
  ) then
    update public.whatsapp_message_queue as message set status = 'cancelled', reason = p_reason, updated_at = now()
    where message.lead_id = any (p_lead_ids) and message.status = 'queued';
  end if;
  if exists (
    select from public.lead_processing_queue as run
    where run.lead_id = any (p_lead_ids) and run.status in ('queued', 'waiting')
  ) then
    update public.lead_processing_queue as run
    set status = 'cancelled', next_on = null, reason = p_reason, updated_at = now()
    where run.lead_id = any (p_lead_ids) and run.status in ('queued', 'waiting');
  end if;
end $$;

ALTER FUNCTION private.end_automation(p_lead_ids uuid[], p_outbox_ids uuid[], p_reason text, p_taken_by uuid, p_replied_at timestamp with time zone) OWNER TO postgres;

--
-- Name: end_outbox_leases(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.end_outbox_leases() RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ids uuid[];
  v_line_ids bigint[];
  v_heads bigint[];
  v_again uuid[];
begin
  with ended as (
    delete from private.outbox_leases as lease
    where lease.token in (
      select stale.token from private.outbox_leases as stale
      where stale.expires_at <= clock_timestamp() for update skip locked)
    returning lease.ids
  ), held as materialized (
    select distinct held.id from ended cross join unnest(ended.ids) as held (id) order by held.id
  ), unknown as (
    update public.outbox_messages as outbox
    set status = 'unknown', attempts = outbox.attempts + 1, lease_token = null, error_code = 'lease_expired',
      error_text = 'The worker stopped answering while this message was in its hands.'
    from held where outbox.id = held.id and outbox.status = 'queued' and outbox.channel <> 'web_push'
    returning outbox.id, outbox.line_id, outbox.sequence
  ), notification as (
    update public.outbox_messages as outbox
    set status = case when outbox.attempts + 1 < outbox.max_attempts then 'queued' else 'dead' end,
      attempts = outbox.attempts + 1, lease_token = null, error_code = 'lease_expired',
      error_text = 'The worker stopped answering while this message was in its hands.',
      settled_at = case when outbox.attempts + 1 >= outbox.max_attempts then clock_timestamp() end
    from held where outbox.id = held.id and outbox.status = 'queued' and outbox.channel = 'web_push'
    returning outbox.id
  ), shown as (
    update public.wa_messages as message set status = 'unknown'
    from unknown where message.outbox_id = unknown.id and message.status = 'pending'
  )
  select array_agg(unknown.id), array_agg(unknown.line_id), array_agg(unknown.sequence),
    (select array_agg(notification.id) from notification)
  into v_ids, v_line_ids, v_heads, v_again from unknown;
  if v_ids is not null then
    perform private.note_outbox_problems(v_ids);
    perform private.leave_outbox_lines(v_line_ids, v_heads, true);
    perform private.follow_lead_messages(v_ids);
  end if;
  if v_again is not null then
    perform private.return_outbox(v_again);
    perform private.note_outbox_problems(v_again);
  end if;
end $$;

ALTER FUNCTION private.end_outbox_leases() OWNER TO postgres;

--
-- Name: workspace_token_reservations; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspace_token_reservations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    amount bigint NOT NULL,
    settled_amount bigint,
    status text DEFAULT 'open'::text NOT NULL,
    reason text,
    reference text,
    expires_at timestamp with time zone NOT NULL,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT workspace_token_reservations_amount_check CHECK ((amount > 0)),
    CONSTRAINT workspace_token_reservations_settled_amount_check CHECK (((settled_amount >= 0) AND (settled_amount <= amount))),
    CONSTRAINT workspace_token_reservations_status_check CHECK ((status = ANY (ARRAY['open'::text, 'settled'::text, 'released'::text, 'expired'::text])))
);

ALTER TABLE public.workspace_token_reservations OWNER TO postgres;

--
-- Name: end_reservation(uuid, bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.end_reservation(p_reservation_id uuid, p_amount bigint) RETURNS public.workspace_token_reservations
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_status text := case when p_amount = 0 then 'released' else 'settled' end;
  v_reservation public.workspace_token_reservations;
begin
  select reservation.* into v_reservation from public.workspace_token_reservations as reservation
  where reservation.id = p_reservation_id;
  if not found then
    perform private.raise_error(404, 'reservation_not_found', jsonb_build_object('reservation_id', p_reservation_id),
      'Check the id of the reservation.');
  elsif p_amount not between 0 and v_reservation.amount then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'amount', 'reserved', v_reservation.amount),
      'Settle at least 1 and at most what was reserved; deduct what goes beyond it by itself.');
  end if;
  perform private.lock_token_balance(v_reservation.workspace_id);
  update public.workspace_token_reservations as reservation
  set status = v_status, settled_amount = p_amount, ended_at = now()
  where reservation.id = p_reservation_id and reservation.status = 'open'
  returning * into v_reservation;
  if not found then
    select reservation.* into v_reservation from public.workspace_token_reservations as reservation
    where reservation.id = p_reservation_id;
    if v_reservation.status = 'expired' and p_amount = 0
      or (v_reservation.status, v_reservation.settled_amount) = (v_status, p_amount) then
      return v_reservation;
    end if;
    perform private.raise_error(409, 'reservation_ended',
      jsonb_build_object('reservation_id', p_reservation_id, 'status', v_reservation.status,
        'settled_amount', v_reservation.settled_amount),
      'Deduct what the work cost by itself, with a reference of its own.');
  end if;
  if p_amount > 0 then
    perform private.post_tokens(v_reservation.workspace_id, -p_amount, v_reservation.reason, 'reservation',
      p_reservation_id::text, p_released => v_reservation.amount);
  else
    update public.workspace_token_balance as account set reserved = account.reserved - v_reservation.amount
    where account.workspace_id = v_reservation.workspace_id;
  end if;
  -- What the reservation held of a grant that has ended meanwhile ends now.
  perform private.plan_token_balance(v_reservation.workspace_id);
  perform private.lock_token_balance(v_reservation.workspace_id);
  return v_reservation;
end $$;

ALTER FUNCTION private.end_reservation(p_reservation_id uuid, p_amount bigint) OWNER TO postgres;

--
-- Name: ended_grant_tokens(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.ended_grant_tokens(p_workspace_id uuid) RETURNS bigint
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(sum(token_grant.remaining), 0)::bigint - (
    select account.reserved from public.workspace_token_balance as account
    where account.workspace_id = p_workspace_id)
  from public.workspace_token_grants as token_grant
  where token_grant.workspace_id = p_workspace_id and token_grant.status = 'open' and token_grant.expires_at <= now()
$$;

ALTER FUNCTION private.ended_grant_tokens(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: ensure_outbox_lane(uuid, uuid, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.ensure_outbox_lane(p_workspace_id uuid, p_connection_id uuid, p_channel text) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_lane_id integer;
begin
  for v_try in 1..2 loop
    if p_connection_id is null then
      select lane.lane_id into v_lane_id from private.outbox_lanes as lane
      where lane.workspace_id = p_workspace_id and lane.connection_id is null and lane.channel = p_channel
      for key share;
    else
      select lane.lane_id into v_lane_id from private.outbox_lanes as lane
      where lane.workspace_id = p_workspace_id and lane.connection_id = p_connection_id and lane.channel = p_channel
      for key share;
    end if;
    exit when found;
    insert into private.outbox_lanes (workspace_id, connection_id, channel)
    values (p_workspace_id, p_connection_id, p_channel)
    on conflict on constraint outbox_lanes_sender_key do nothing;
  end loop;
  return v_lane_id;
end $$;

ALTER FUNCTION private.ensure_outbox_lane(p_workspace_id uuid, p_connection_id uuid, p_channel text) OWNER TO postgres;

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
-- Name: entitlement_state(uuid, text, bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.entitlement_state(p_workspace_id uuid, p_key text, p_amount bigint, OUT granted boolean, OUT reason text, OUT "limit" bigint, OUT usage bigint, OUT period_start timestamp with time zone) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
#variable_conflict use_variable
declare
  v_entitlement public.workspace_entitlements;
  v_status text;
begin
  select workspace.status into v_status from public.workspaces as workspace where workspace.id = p_workspace_id;
  select entitlement.* into v_entitlement from public.workspace_entitlements as entitlement
  where entitlement.workspace_id = p_workspace_id and entitlement.key = btrim(p_key);
  if v_entitlement.key is not null then
    period_start := coalesce(
      date_trunc(v_entitlement.payload ->> 'period', now(), 'UTC'), timestamptz '-infinity');
    select used.used into usage from public.workspace_entitlement_usage as used
    where used.workspace_id = p_workspace_id and used.key = v_entitlement.key and used.period_start = period_start;
    "limit" := floor((v_entitlement.payload ->> 'limit')::numeric);
  end if;
  usage := coalesce(usage, 0);
  reason := case
    when v_status = 'suspended' then 'workspace_suspended'
    when v_entitlement.key is null then 'not_entitled'
    when not v_entitlement.enabled then 'disabled'
    when v_entitlement.expires_at <= now() then 'expired'
    when usage + p_amount > "limit" then 'limit_reached'
    else 'granted' end;
  granted := reason = 'granted';
end $$;

ALTER FUNCTION private.entitlement_state(p_workspace_id uuid, p_key text, p_amount bigint, OUT granted boolean, OUT reason text, OUT "limit" bigint, OUT usage bigint, OUT period_start timestamp with time zone) OWNER TO postgres;

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
    merged_into uuid,
    deleted_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    search_text text GENERATED ALWAYS AS (lower(((((COALESCE(name, ''::text) || ' '::text) || COALESCE(email, ''::text)) || ' '::text) || COALESCE(phone, ''::text)))) STORED,
    CONSTRAINT contacts_email_check CHECK (((length(email) <= 320) AND (email ~ '^[^@[:space:]]+@[^@[:space:]]+$'::text))),
    CONSTRAINT contacts_lead_status_check CHECK ((lead_status = ANY (ARRAY['new'::text, 'pending'::text, 'queued'::text, 'contacted'::text, 'engaged'::text, 'qualified'::text, 'lost'::text]))),
    CONSTRAINT contacts_merged_into_check CHECK (((merged_into IS NULL) OR ((merged_into <> id) AND (deleted_at IS NOT NULL)))),
    CONSTRAINT contacts_name_check CHECK (((length(name) >= 1) AND (length(name) <= 300))),
    CONSTRAINT contacts_phone_check CHECK ((phone ~ '^\+[1-9][0-9]{6,14}$'::text))
);

ALTER TABLE public.contacts OWNER TO postgres;

--
-- Name: filled_text(text, public.contacts); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.filled_text(p_text text, p_contact public.contacts) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
declare
  v_value record;
begin
  for v_value in
    select * from (values
      ('{contact.name}', p_contact.name),
      ('{contact.first_name}', split_part(btrim(p_contact.name), ' ', 1)),
      ('{contact.email}', p_contact.email),
      ('{contact.phone}', p_contact.phone)
    ) as known (place, value)
    where strpos(p_text, known.place) > 0
  loop
    p_text := replace(p_text, v_value.place, nullif(v_value.value, ''));
  end loop;
  return p_text;
end $$;

ALTER FUNCTION private.filled_text(p_text text, p_contact public.contacts) OWNER TO postgres;

--
-- Name: filled_variables(jsonb, public.contacts); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.filled_variables(p_variables jsonb, p_contact public.contacts) RETURNS jsonb
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if strpos(p_variables::text, '{contact.') = 0 then
    return p_variables;
  end if;
  -- As they stand inside of JSON.
  p_contact.name := substr(to_jsonb(regexp_replace(btrim(p_contact.name), '\s+', ' ', 'g'))::text, 2);
  p_contact.name := left(p_contact.name, -1);
  p_contact.email := left(substr(to_jsonb(p_contact.email)::text, 2), -1);
  return private.filled_text(p_variables::text, p_contact)::jsonb;
end $$;

ALTER FUNCTION private.filled_variables(p_variables jsonb, p_contact public.contacts) OWNER TO postgres;

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
-- Name: find_workspace(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.find_workspace(p_ref text) RETURNS public.workspaces
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
  v_workspace public.workspaces;
begin
  if p_ref ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
    select workspace.* into v_workspace from public.workspaces as workspace where workspace.id = p_ref::uuid;
  else
    select workspace.* into v_workspace from public.workspaces as workspace where workspace.slug = p_ref;
  end if;
  if v_workspace.id is null then
    perform private.raise_error(404, 'workspace_not_found', jsonb_build_object('workspace', left(p_ref, 100)),
      'Check the slug or id.');
  end if;
  return v_workspace;
end $_$;

ALTER FUNCTION private.find_workspace(p_ref text) OWNER TO postgres;

--
-- Name: first_connection(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.first_connection(p_workspace_id uuid) RETURNS uuid
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select number.id from public.wa_phone_numbers as number
  where number.workspace_id = p_workspace_id and number.status = 'active' and number.deleted_at is null
  order by number.created_at, number.id limit 1
$$;

ALTER FUNCTION private.first_connection(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: first_message_id(bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.first_message_id(p_seconds bigint) RETURNS uuid
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select (lpad(to_hex(p_seconds * 1000), 12, '0') || '70008000000000000000')::uuid
$$;

ALTER FUNCTION private.first_message_id(p_seconds bigint) OWNER TO postgres;

--
-- Name: first_response_seconds(uuid, uuid, uuid, timestamp with time zone, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.first_response_seconds(p_thread_id uuid, p_connection_id uuid, p_workspace_id uuid, p_waiting_since timestamp with time zone, p_counted integer) RETURNS integer
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return least(p_counted, (
    select extract(epoch from min(message.occurred_at) - p_waiting_since)::integer from public.wa_messages as message
    where message.thread_id = p_thread_id and message.connection_id = p_connection_id
      and message.workspace_id = p_workspace_id and message.direction = 'out' and message.source = 'phone'
      and message.occurred_at > p_waiting_since));
end $$;

ALTER FUNCTION private.first_response_seconds(p_thread_id uuid, p_connection_id uuid, p_workspace_id uuid, p_waiting_since timestamp with time zone, p_counted integer) OWNER TO postgres;

--
-- Name: follow_deduction(uuid, bigint, bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.follow_deduction(p_workspace_id uuid, p_delta bigint, p_balance bigint) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform private.spend_token_grants(p_workspace_id);
  insert into public.workspace_token_alerts (workspace_id, level, balance)
  select p_workspace_id, level, p_balance
  from public.workspace_token_balance as account cross join unnest(account.alert_levels) as level
  where account.workspace_id = p_workspace_id and level >= p_balance and level < p_balance - p_delta;
end $$;

ALTER FUNCTION private.follow_deduction(p_workspace_id uuid, p_delta bigint, p_balance bigint) OWNER TO postgres;

--
-- Name: follow_lead_messages(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.follow_lead_messages(p_outbox_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_settled uuid[];
begin
  with outcome as materialized (
    select message.id, message.lead_id, message.status as from_status, outbox.attempts, outbox.settled_at,
      case
        when outbox.status in ('failed', 'dead') or (outbox.status = 'sent' and shown.status = 'failed') then 'failed'
        when outbox.status in ('sent', 'cancelled') then outbox.status
        else 'sending'
      end as status,
      case
        when outbox.status = 'unknown' then 'outcome_unknown'
        when outbox.status = 'sent' and shown.status = 'failed' then concat_ws(': ', shown.error_code, shown.error_text)
        when outbox.status = 'sent' then ''
        else concat_ws(': ', outbox.error_code, outbox.error_text)
      end as error
    from public.whatsapp_message_queue as message
    join public.outbox_messages as outbox
      on outbox.id = message.outbox_id and outbox.workspace_id = message.workspace_id
    left join public.wa_messages as shown
      on shown.outbox_id = outbox.id and shown.workspace_id = outbox.workspace_id
    where message.outbox_id = any (p_outbox_ids)
    order by message.id
    for no key update of message
  ), moved as (
    update public.whatsapp_message_queue as message
    set status = outcome.status, attempts = outcome.attempts, last_error = nullif(left(outcome.error, 2000), ''),
      sent_at = case when outcome.status = 'sent' then coalesce(message.sent_at, outcome.settled_at, now()) end,
      updated_at = now()
    from outcome
    where message.id = outcome.id
      and (message.status, message.attempts, coalesce(message.last_error, ''))
        <> (outcome.status, outcome.attempts, left(outcome.error, 2000))
      -- Tried again though the lead has been queued anew: it shows when it is sent.
      and (outcome.status <> 'sending' or outcome.from_status = 'sending' or not exists (
        select from public.whatsapp_message_queue as other
        where other.lead_id = outcome.lead_id and other.status in ('queued', 'sending')))
    returning message.id, message.status
  )
  select array_agg(moved.id) into v_settled from moved where moved.status in ('sent', 'failed');
  perform private.advance_leads(v_settled) where v_settled is not null;
end $$;

ALTER FUNCTION private.follow_lead_messages(p_outbox_ids uuid[]) OWNER TO postgres;

--
-- Name: follow_up_range(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.follow_up_range(p_due text, OUT p_from timestamp with time zone, OUT p_to timestamp with time zone) RETURNS record
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_zone constant text := coalesce(
    (select profile.timezone from public.profiles as profile where profile.id = (select auth.uid())), 'UTC');
  v_midnight constant timestamptz := ((now() at time zone v_zone)::date + 1)::timestamp at time zone v_zone;
begin
  case p_due
    when 'overdue' then p_from := '-infinity'; p_to := now();
    when 'today' then p_from := now(); p_to := v_midnight;
    when 'due' then p_from := '-infinity'; p_to := v_midnight;
    when 'upcoming' then p_from := v_midnight; p_to := 'infinity';
    when 'any' then p_from := '-infinity'; p_to := 'infinity';
    else
      perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'due', 'value', left(p_due, 50),
        'allowed', array['overdue', 'today', 'due', 'upcoming', 'any']), 'Use one of the allowed values.');
  end case;
end $$;

ALTER FUNCTION private.follow_up_range(p_due text, OUT p_from timestamp with time zone, OUT p_to timestamp with time zone) OWNER TO postgres;

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
-- Name: hold_back_outbox(uuid[], integer[], text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.hold_back_outbox(p_ids uuid[], p_error_codes integer[], p_error_texts text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_connection_ids uuid[];
  v_scopes text[];
  v_reasons text[];
begin
  select array_agg(outbox.connection_id), array_agg(private.whatsapp_error_scope(failure.error_code)),
    array_agg(concat_ws(': ', failure.error_code, failure.error_text))
  into v_connection_ids, v_scopes, v_reasons
  from unnest(p_ids, p_error_codes, p_error_texts) as failure (id, error_code, error_text)
  join public.outbox_messages as outbox on outbox.id = failure.id
  where private.whatsapp_error_scope(failure.error_code) is not null;
  if v_connection_ids is null then
    return;
  end if;
  perform private.pause_outbox_lanes(v_connection_ids, v_scopes, v_reasons);
  update public.wa_phone_numbers as connection set status = 'paused', status_reason = left(cause.reason, 500)
  from unnest(v_connection_ids, v_scopes, v_reasons) as cause (connection_id, scope, reason)
  where cause.scope = 'connection' and connection.id = cause.connection_id and connection.status = 'active';
  -- This recipient has had too much: as if its burst were used up, and a little more.
  update private.outbox_lines as line
  set next_at = greatest(line.next_at, clock_timestamp() + (private.outbox_pace()).p_lead + interval '16 s')
  from public.outbox_messages as outbox
  join unnest(p_ids, p_error_codes) as failure (id, error_code) on failure.id = outbox.id
  where private.whatsapp_error_scope(failure.error_code) = 'recipient' and line.line_id = outbox.line_id;
end $$;

ALTER FUNCTION private.hold_back_outbox(p_ids uuid[], p_error_codes integer[], p_error_texts text[]) OWNER TO postgres;

--
-- Name: hold_suspended_lane(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.hold_suspended_lane() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  if exists (
    select 1 from public.workspaces as workspace
    where workspace.id = new.workspace_id and workspace.status = 'suspended'
  ) then
    new.paused_until := timestamptz '3000-01-01 00:00:00+00';
    new.pause_reason := 'workspace_suspended';
  end if;
  return new;
end $$;

ALTER FUNCTION private.hold_suspended_lane() OWNER TO postgres;

--
-- Name: import_rows(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.import_rows(p_rows jsonb) RETURNS TABLE(place integer, label integer, name text, email text, phone text, lead_status text, tags text[], status_tags text[], problems text[], repeats integer)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $_$
  with given as materialized (
    select item.ordinality::integer as place, coalesce(item."row", item.ordinality::integer) as label,
      nullif(btrim(item.name), '') as name, nullif(lower(btrim(item.email)), '') as email,
      -- Most numbers are in their normal form already.
      case when item.phone ~ '^\+[1-9][0-9]{6,14}$' then item.phone else private.normal_phone(item.phone) end as phone,
      nullif(btrim(item.lead_status), '') as lead_status,
      case when jsonb_typeof(item.tags) = 'array' then array(select jsonb_array_elements_text(item.tags)) end as tags,
      case when jsonb_typeof(item.status_tags) = 'array'
        then array(select jsonb_array_elements_text(item.status_tags)) end as status_tags
    from rows from (jsonb_to_recordset(p_rows) as (
      "row" integer, name text, email text, phone text, lead_status text, tags jsonb, status_tags jsonb))
      with ordinality as item
  ), checked as materialized (
    select given.*, array_remove(array[
      -- By a name alone it couldn't be found again, and repeating the import would double it.
      case when num_nonnulls(given.email, given.phone) = 0 then 'it has neither e-mail nor phone' end,
      case when length(given.name) > 300 then 'name: longer than 300 characters' end,
      case when length(given.email) > 320 or given.email !~ '^[^@[:space:]]+@[^@[:space:]]+$'
        then 'email: no e-mail address' end,
      case when given.phone !~ '^\+[1-9][0-9]{6,14}$' then 'phone: no number with its country, as +491701234567' end,
      case when given.lead_status not in ('new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost')
        then 'lead_status: none of new, pending, queued, contacted, engaged, qualified, lost' end,
      case when cardinality(given.tags) > 50 or exists (
        select from unnest(given.tags) as tag where length(tag) not between 1 and 100)
        then 'tags: more than 50, or one that hasn''t 1 to 100 characters' end,
      case when cardinality(given.status_tags) > 50 or exists (
        select from unnest(given.status_tags) as tag where length(tag) not between 1 and 100)
        then 'status_tags: more than 50, or one that hasn''t 1 to 100 characters' end
    ], null) as problems
    from given
  )
  select checked.place, checked.label, checked.name, checked.email, checked.phone, checked.lead_status, checked.tags,
    checked.status_tags, checked.problems,
    case
      when checked.problems <> '{}' then null
      when checked.email is not null and first_value(checked.place) over email_twins < checked.place
        then first_value(checked.label) over email_twins
      when checked.phone is not null and first_value(checked.place) over phone_twins < checked.place
        then first_value(checked.label) over phone_twins
    end
  from checked
  window
    email_twins as (partition by checked.email, checked.problems = '{}' order by checked.place),
    phone_twins as (partition by checked.phone, checked.problems = '{}' order by checked.place)
$_$;

ALTER FUNCTION private.import_rows(p_rows jsonb) OWNER TO postgres;

--
-- Name: invitation_token_hash(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.invitation_token_hash(p_token text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select encode(sha256(convert_to(p_token, 'UTF8')), 'hex')
$$;

ALTER FUNCTION private.invitation_token_hash(p_token text) OWNER TO postgres;

--
-- Name: is_business_hours(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.is_business_hours(p_hours jsonb) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
begin
  return coalesce(jsonb_typeof(p_hours) = 'array' and jsonb_array_length(p_hours) <= 50 and (
    select bool_and(coalesce(jsonb_typeof(given.value) = 'object' and given.value - '{day, opens, closes}'::text[] = '{}'
      and given.value -> 'day' <@ '[1, 2, 3, 4, 5, 6, 7]' and jsonb_typeof(given.value -> 'day') = 'number'
      and given.value ->> 'opens' ~ '^[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$'
      and given.value ->> 'closes' ~ '^[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$'
      and pg_input_is_valid(given.value ->> 'opens', 'time') and pg_input_is_valid(given.value ->> 'closes', 'time'),
      false))
    from jsonb_array_elements(case jsonb_typeof(p_hours) when 'array' then p_hours end) as given)
    and (
      select bool_and(opening.closes > opening.opens and opening.opens >= coalesce(opening.closed_before, '00:00'))
        and sum(opening.closes - opening.opens) >= interval '1 hour'
      from (
        select hours.*, lag(hours.closes) over (partition by hours.day order by hours.opens) as closed_before
        from jsonb_to_recordset(p_hours) as hours (day integer, opens time, closes time)
      ) as opening), false);
end $_$;

ALTER FUNCTION private.is_business_hours(p_hours jsonb) OWNER TO postgres;

--
-- Name: is_my_chat_topic(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.is_my_chat_topic(p_topic text) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $_$
  select case when p_topic ~ '^chat:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then exists (
    select 1 from public.chat_members as member
    where member.chat_id = substr(p_topic, 6)::uuid and member.user_id = (select auth.uid())
  ) else false end
$_$;

ALTER FUNCTION private.is_my_chat_topic(p_topic text) OWNER TO postgres;

--
-- Name: is_operator(text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.is_operator(p_roles text[] DEFAULT ARRAY['owner'::text, 'ops'::text, 'viewer'::text]) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
  select exists (
    select 1 from public.owner_members as operator
    join public.platform_admins as admin on admin.user_id = operator.user_id
    join auth.users as account on account.id = operator.user_id
    where operator.user_id = (select auth.uid()) and operator.active and operator.role = any (p_roles)
      and lower(operator.email) = lower(account.email))
$$;

ALTER FUNCTION private.is_operator(p_roles text[]) OWNER TO postgres;

--
-- Name: is_push_endpoint(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.is_push_endpoint(p_endpoint text) RETURNS boolean
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $_$
  select coalesce(
    length(p_endpoint) <= 2000 and p_endpoint ~ '^https?://[!-~]+$' and (
      (p_endpoint ~ '^https://([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}(:443)?/'
        and p_endpoint !~ '^https://[^/:]*\.(local|localhost|internal|intranet|lan|home|corp|private|test|example|invalid|onion|arpa)[:/]')
      or exists (
        select 1 from private.push_allowed_origins as allowed where starts_with(p_endpoint, allowed.origin || '/'))),
    false)
$_$;

ALTER FUNCTION private.is_push_endpoint(p_endpoint text) OWNER TO postgres;

--
-- Name: is_search_language(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.is_search_language(p_language text) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
  select exists (
    select from pg_ts_config as configuration
    where configuration.cfgname = p_language and configuration.cfgnamespace = 'pg_catalog'::regnamespace)
$$;

ALTER FUNCTION private.is_search_language(p_language text) OWNER TO postgres;

--
-- Name: is_service(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.is_service() RETURNS boolean
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return coalesce(auth.role() = 'service_role', false);
end $$;

ALTER FUNCTION private.is_service() OWNER TO postgres;

--
-- Name: is_text(jsonb, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.is_text(p_value jsonb, p_limit integer) RETURNS boolean
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  return coalesce(jsonb_typeof(p_value) = 'string' and length(btrim(p_value #>> '{}', E' \t\r\n')) > 0
    and length(p_value #>> '{}') <= p_limit, false);
end $$;

ALTER FUNCTION private.is_text(p_value jsonb, p_limit integer) OWNER TO postgres;

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
-- Name: keep_first_members(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.keep_first_members() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  update public.chats as chat
  set first_member_ids = array(
    select member.user_id from public.chat_members as member where member.chat_id = chat.id
    order by member.joined_at, member.user_id limit 4)
  where chat.id in (select distinct changed.chat_id from changed);
  return null;
end $$;

ALTER FUNCTION private.keep_first_members() OWNER TO postgres;

--
-- Name: keep_whatsapp_orphans(jsonb, integer[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.keep_whatsapp_orphans(p_events jsonb, p_ordinals integer[]) RETURNS bigint[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ids bigint[];
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
  )
  select array_agg(kept.id order by addressed.ordinal) into v_ids
  from addressed
  join kept on kept.phone_number_id = addressed.address and kept.event_key = addressed.event_key;
  return v_ids;
end $$;

ALTER FUNCTION private.keep_whatsapp_orphans(p_events jsonb, p_ordinals integer[]) OWNER TO postgres;

--
-- Name: inbox_settings; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.inbox_settings (
    workspace_id uuid NOT NULL,
    assignment_policy text DEFAULT 'manual'::text NOT NULL,
    assignment_limit integer,
    first_response_target_seconds integer,
    next_response_target_seconds integer,
    business_hours jsonb,
    timezone text DEFAULT 'UTC'::text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT inbox_settings_assignment_limit_check CHECK (((assignment_limit >= 1) AND (assignment_limit <= 100000))),
    CONSTRAINT inbox_settings_assignment_policy_check CHECK ((assignment_policy = ANY (ARRAY['manual'::text, 'round_robin'::text, 'by_load'::text]))),
    CONSTRAINT inbox_settings_business_hours_check CHECK (((business_hours IS NULL) OR private.is_business_hours(business_hours))),
    CONSTRAINT inbox_settings_first_response_target_seconds_check CHECK (((first_response_target_seconds >= 1) AND (first_response_target_seconds <= 31536000))),
    CONSTRAINT inbox_settings_next_response_target_seconds_check CHECK (((next_response_target_seconds >= 1) AND (next_response_target_seconds <= 31536000))),
    CONSTRAINT inbox_settings_timezone_check CHECK (((length(timezone) <= 100) AND private.is_timezone(timezone)))
);

ALTER TABLE public.inbox_settings OWNER TO postgres;

--
-- Name: late_before(public.inbox_settings, boolean); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.late_before(p_settings public.inbox_settings, p_is_first boolean) RETURNS timestamp with time zone
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return private.business_moment(now(), -case when p_is_first then p_settings.first_response_target_seconds
    else p_settings.next_response_target_seconds end, p_settings.business_hours, p_settings.timezone);
end $$;

ALTER FUNCTION private.late_before(p_settings public.inbox_settings, p_is_first boolean) OWNER TO postgres;

--
-- Name: lead_outbox(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lead_outbox(p_lead_ids uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return array(
    select message.outbox_id from public.whatsapp_message_queue as message
    where message.lead_id = any (p_lead_ids) and message.status = 'sending' and message.outbox_id is not null
    union
    select outbox.id from public.outbox_messages as outbox
    where outbox.thread_id = any (private.lead_threads(p_lead_ids)) and outbox.automated and outbox.status = 'queued');
end $$;

ALTER FUNCTION private.lead_outbox(p_lead_ids uuid[]) OWNER TO postgres;

--
-- Name: lead_threads(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lead_threads(p_lead_ids uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return array(
    select thread.id from public.leads as lead
    join public.wa_threads as thread on thread.workspace_id = lead.workspace_id and thread.contact_id = lead.contact_id
    where lead.id = any (p_lead_ids));
end $$;

ALTER FUNCTION private.lead_threads(p_lead_ids uuid[]) OWNER TO postgres;

--
-- Name: leave_outbox_lines(bigint[], bigint[], boolean); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.leave_outbox_lines(p_line_ids bigint[], p_heads bigint[], p_counts boolean) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_now timestamptz := clock_timestamp();
  v_step interval := (private.outbox_pace()).p_step;
  v_lead interval := (private.outbox_pace()).p_lead;
  v_line_ids bigint[];
begin
  with leaver as materialized (
    select leaver.* from unnest(p_line_ids, p_heads) as leaver (line_id, head)
    where leaver.line_id is not null order by leaver.line_id
  ), line as (
    update private.outbox_lines as line
    set head = null,
      next_at = case when p_counts then greatest(line.next_at, v_now) + v_step else line.next_at end
    from leaver where line.line_id = leaver.line_id and line.head = leaver.head
    returning line.line_id, line.has_waiting
  )
  select array_agg(line.line_id order by line.line_id) into v_line_ids from line where line.has_waiting;
  if v_line_ids is null then
    return;
  end if;

  -- The lines are ours now: whoever joins them waits for this to end, and whoever joined is seen.
  with first as (
    delete from private.outbox_waiting as waiting
    using unnest(v_line_ids) as line (line_id)
    where waiting.line_id = line.line_id and waiting.place = (
      select min(other.place) from private.outbox_waiting as other where other.line_id = line.line_id)
    returning waiting.*
  ), line as (
    update private.outbox_lines as line
    set head = first.sequence,
      has_waiting = exists (
        select 1 from private.outbox_waiting as other
        where other.line_id = first.line_id and other.place > first.place)
    from first where line.line_id = first.line_id
    returning first.*, greatest(first.run_at, line.next_at - v_lead) as paced_at
  ), ready as (
    insert into private.outbox_ready (lane_id, rank, run_at, sequence, id, line_id)
    select line.lane_id, line.rank, line.paced_at, line.sequence, line.id, line.line_id from line
  )
  update public.outbox_messages as outbox set scheduled_at = line.paced_at
  from line where outbox.id = line.id and line.paced_at > line.run_at;
end $$;

ALTER FUNCTION private.leave_outbox_lines(p_line_ids bigint[], p_heads bigint[], p_counts boolean) OWNER TO postgres;

--
-- Name: local_day(text, timestamp with time zone); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.local_day(p_timezone text, p_at timestamp with time zone DEFAULT now()) RETURNS date
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
  select (p_at at time zone p_timezone)::date
$$;

ALTER FUNCTION private.local_day(p_timezone text, p_at timestamp with time zone) OWNER TO postgres;

--
-- Name: local_moment(text, date, time without time zone); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.local_moment(p_timezone text, p_day date, p_time time without time zone) RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
  select (p_day + p_time) at time zone p_timezone
$$;

ALTER FUNCTION private.local_moment(p_timezone text, p_day date, p_time time without time zone) OWNER TO postgres;

--
-- Name: lock_automation(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_automation(p_lead_ids uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_ids uuid[];
begin
  perform private.stop_threads(private.lead_threads(p_lead_ids));
  v_ids := private.lead_outbox(p_lead_ids);
  perform private.lock_unsettled_outbox(v_ids) where v_ids <> '{}';
  return v_ids;
end $$;

ALTER FUNCTION private.lock_automation(p_lead_ids uuid[]) OWNER TO postgres;

--
-- Name: lock_own_message(uuid, boolean); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_own_message(p_message_id uuid, p_for_all_owners boolean) RETURNS public.chat_messages
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_message public.chat_messages;
  v_member public.chat_members;
begin
  select message.* into v_message from public.chat_messages as message
  join public.chat_members as member on member.chat_id = message.chat_id and member.user_id = v_user_id
  where message.id = p_message_id;
  if not found then
    perform private.raise_error(404, 'message_not_found', jsonb_build_object('message_id', p_message_id),
      'Check the id; only messages of your chats can be named.');
  end if;
  v_member := private.require_chat_writer(v_message.chat_id);
  if v_message.sender_id is distinct from v_user_id and not (p_for_all_owners and v_member.role = 'owner') then
    perform private.raise_error(403, 'not_your_message', jsonb_build_object('message_id', p_message_id),
      'Only who wrote a message changes it; owners of the chat may delete it.');
  end if;
  -- The chat first, as in sending: changes of one chat happen one after the other.
  perform 1 from public.chats as chat where chat.id = v_message.chat_id for no key update;
  select message.* into v_message from public.chat_messages as message where message.id = p_message_id for update;
  return v_message;
end $$;

ALTER FUNCTION private.lock_own_message(p_message_id uuid, p_for_all_owners boolean) OWNER TO postgres;

--
-- Name: workspace_token_balance; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspace_token_balance (
    workspace_id uuid NOT NULL,
    balance bigint DEFAULT 0 NOT NULL,
    reserved bigint DEFAULT 0 NOT NULL,
    granted bigint DEFAULT 0 NOT NULL,
    has_grants boolean DEFAULT false NOT NULL,
    alert_levels bigint[] DEFAULT '{}'::bigint[] NOT NULL,
    next_due_at timestamp with time zone,
    CONSTRAINT workspace_token_balance_balance_check CHECK ((balance >= 0)),
    CONSTRAINT workspace_token_balance_granted_check CHECK (((granted >= 0) AND (granted <= balance))),
    CONSTRAINT workspace_token_balance_reserved_check CHECK (((reserved >= 0) AND (reserved <= balance)))
)
WITH (fillfactor='50');

ALTER TABLE public.workspace_token_balance OWNER TO postgres;

--
-- Name: lock_token_balance(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_token_balance(p_workspace_id uuid) RETURNS public.workspace_token_balance
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_account public.workspace_token_balance;
  v_due record;
  v_released bigint;
  v_amount bigint;
begin
  insert into public.workspace_token_balance (workspace_id)
  values ((private.find_workspace(p_workspace_id::text)).id)
  on conflict do nothing;
  select account.* into v_account from public.workspace_token_balance as account
  where account.workspace_id = p_workspace_id for no key update;
  if v_account.next_due_at is null or v_account.next_due_at > now() then
    return v_account;
  end if;

  with ended as (
    update public.workspace_token_reservations as reservation set status = 'expired', ended_at = now()
    where reservation.workspace_id = p_workspace_id and reservation.status = 'open' and reservation.expires_at <= now()
    returning reservation.amount
  )
  select coalesce(sum(ended.amount), 0) into v_released from ended;
  update public.workspace_token_balance as account set reserved = account.reserved - v_released
  where account.workspace_id = p_workspace_id and v_released > 0;

  for v_due in
    update public.workspace_token_grants as token_grant set status = 'open'
    where token_grant.workspace_id = p_workspace_id and token_grant.status = 'scheduled'
      and token_grant.effective_at <= now()
    returning token_grant.*
  loop
    perform private.post_tokens(p_workspace_id, v_due.amount, v_due.reason, 'grant', v_due.id::text,
      p_granted => v_due.amount, p_by_time => true);
  end loop;

  v_amount := private.ended_grant_tokens(p_workspace_id);
  for v_due in
    select token_grant.id, token_grant.remaining from public.workspace_token_grants as token_grant
    where token_grant.workspace_id = p_workspace_id and token_grant.status = 'open' and token_grant.expires_at <= now()
    order by token_grant.expires_at, token_grant.id
  loop
    exit when v_amount <= 0;
    update public.workspace_token_grants as token_grant
    set remaining = token_grant.remaining - least(v_due.remaining, v_amount),
      status = case when v_due.remaining <= v_amount then 'expired' else 'open' end
    where token_grant.id = v_due.id;
    perform private.post_tokens(p_workspace_id, -least(v_due.remaining, v_amount), 'Expired', 'grant', v_due.id::text,
      p_by_time => true);
    v_amount := v_amount - v_due.remaining;
  end loop;
  return private.plan_token_balance(p_workspace_id);
end $$;

ALTER FUNCTION private.lock_token_balance(p_workspace_id uuid) OWNER TO postgres;

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
-- Name: wrong_view_filter(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wrong_view_filter(p_filters jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
begin
  return case when jsonb_typeof(p_filters) is distinct from 'object' then 'filters' else (
    select min(filter.key) from jsonb_each(p_filters) as filter
    where case filter.key
      when 'status' then not coalesce(
        case jsonb_typeof(filter.value)
          when 'array' then filter.value <> '[]' and filter.value <@ '["open", "pending", "snoozed", "closed"]'
          when 'string' then filter.value <@ '["open", "pending", "snoozed", "closed"]'
        end, false)
      when 'assignee' then not coalesce(jsonb_typeof(filter.value) = 'string' and (
        filter.value #>> '{}' in ('me', 'unassigned') or pg_input_is_valid(filter.value #>> '{}', 'uuid')), false)
      when 'tag' then not coalesce(
        case jsonb_typeof(filter.value)
          when 'array' then filter.value <> '[]' and not jsonb_path_exists(filter.value, '$[*] ? (@.type() != "string")')
          when 'string' then length(filter.value #>> '{}') between 1 and 100
        end, false)
      when 'q' then not coalesce(
        jsonb_typeof(filter.value) = 'string' and length(btrim(filter.value #>> '{}')) between 1 and 500, false)
      else true
    end) end;
end $_$;

ALTER FUNCTION private.wrong_view_filter(p_filters jsonb) OWNER TO postgres;

--
-- Name: wa_saved_views; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_saved_views (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    user_id uuid DEFAULT auth.uid() NOT NULL,
    name text NOT NULL,
    filters jsonb DEFAULT '{}'::jsonb NOT NULL,
    is_default boolean DEFAULT false NOT NULL,
    is_shared boolean DEFAULT false NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_saved_views_filters_check CHECK ((private.wrong_view_filter(filters) IS NULL)),
    CONSTRAINT wa_saved_views_name_check CHECK (((name = btrim(name)) AND ((length(name) >= 1) AND (length(name) <= 100))))
);

ALTER TABLE public.wa_saved_views OWNER TO postgres;

--
-- Name: lock_view(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_view(p_view_id uuid) RETURNS public.wa_saved_views
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_view public.wa_saved_views;
begin
  select view.* into v_view from public.wa_saved_views as view
  where view.id = p_view_id and (view.user_id = v_user_id
    or (view.is_shared and view.workspace_id in (select private.my_workspace_ids_as('owner', 'admin'))))
  for no key update;
  perform private.require_role(v_view.workspace_id,
    case when v_view.is_shared then array['owner', 'admin'] else array['owner', 'admin', 'member'] end,
    'view_not_found', jsonb_build_object('view_id', p_view_id));
  return v_view;
end $$;

ALTER FUNCTION private.lock_view(p_view_id uuid) OWNER TO postgres;

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
-- Name: lock_whatsapp_outbox(private.whatsapp_item[], uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_whatsapp_outbox(p_items private.whatsapp_item[], p_lead_ids uuid[]) RETURNS uuid[]
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
  if p_lead_ids <> '{}' then
    v_ids := v_ids || private.lead_outbox(p_lead_ids);
  end if;
  if v_automated is not null or v_ids <> '{}' then
    perform private.lock_unsettled_outbox(v_ids || v_automated);
  end if;
  return v_threads;
end $$;

ALTER FUNCTION private.lock_whatsapp_outbox(p_items private.whatsapp_item[], p_lead_ids uuid[]) OWNER TO postgres;

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
-- Name: lock_whatsapp_threads(private.whatsapp_item[], uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.lock_whatsapp_threads(p_items private.whatsapp_item[], p_lead_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_others uuid[] := '{}';
begin
  if p_lead_ids <> '{}' then
    v_others := private.lead_threads(p_lead_ids);
  end if;
  perform 1 from public.wa_threads as thread
  where thread.id in (
    select item.thread_id from unnest(p_items) as item
    where item.kind in ('message', 'echo', 'history', 'call', 'reaction', 'edit', 'revoke')
    union
    select message.thread_id from unnest(p_items) as item
    join public.wa_messages as message on message.id = item.message_id
    where item.kind in ('reaction', 'edit', 'revoke')
    union
    select other.id from unnest(v_others) as other (id))
  order by thread.id
  for no key update;
end $$;

ALTER FUNCTION private.lock_whatsapp_threads(p_items private.whatsapp_item[], p_lead_ids uuid[]) OWNER TO postgres;

--
-- Name: media_limits(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.media_limits() RETURNS TABLE(kind text, max_bytes bigint, mime_types text[])
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  values
    ('image', 5 * 1048576::bigint, array['image/jpeg', 'image/png']),
    ('video', 16 * 1048576::bigint, array['video/mp4', 'video/3gpp']),
    ('audio', 16 * 1048576::bigint, array['audio/aac', 'audio/amr', 'audio/mpeg', 'audio/mp4', 'audio/ogg']),
    ('sticker', 500 * 1024::bigint, array['image/webp']),
    ('document', 100 * 1048576::bigint, array['text/plain', 'application/pdf', 'application/msword',
      'application/vnd.ms-excel', 'application/vnd.ms-powerpoint',
      'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
      'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
      'application/vnd.openxmlformats-officedocument.presentationml.presentation'])
$$;

ALTER FUNCTION private.media_limits() OWNER TO postgres;

--
-- Name: merge_threads(uuid, uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.merge_threads(p_from uuid, p_into uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_waiting uuid[] := private.withdraw_threads(array[p_from]);
begin
  update public.outbox_messages as outbox set thread_id = p_into where outbox.thread_id = p_from;
  -- They join the line of their new thread.
  perform private.queue_outbox(v_waiting) where v_waiting <> '{}';
  update public.wa_messages as message set thread_id = p_into where message.thread_id = p_from;
  update public.wa_threads as thread
  set status = case when 'open' in (thread.status, old.status) then 'open' else thread.status end,
    snoozed_until = case when 'open' in (thread.status, old.status) then null else thread.snoozed_until end,
    assignee_id = coalesce(thread.assignee_id, old.assignee_id),
    tags = array(select distinct tag from unnest(thread.tags || old.tags) as tag order by tag),
    last_inbound_at = greatest(thread.last_inbound_at, old.last_inbound_at),
    last_message_body = case when old.last_message_at > coalesce(thread.last_message_at, '-infinity')
      then old.last_message_body else thread.last_message_body end,
    last_message_at = greatest(thread.last_message_at, old.last_message_at),
    unread_count = thread.unread_count + old.unread_count,
    inbound_count = thread.inbound_count + old.inbound_count,
    waiting_since = least(thread.waiting_since, old.waiting_since),
    answered_at = greatest(thread.answered_at, old.answered_at),
    first_waiting_since = case when thread.first_response_seconds is null and old.first_response_seconds is not null
      then old.first_waiting_since else coalesce(thread.first_waiting_since, old.first_waiting_since) end,
    first_response_seconds = coalesce(thread.first_response_seconds, old.first_response_seconds),
    automation_stopped_at = greatest(thread.automation_stopped_at, old.automation_stopped_at)
  from public.wa_threads as old
  where thread.id = p_into and old.id = p_from;
  insert into public.wa_thread_reads as mine (thread_id, connection_id, workspace_id, user_id, read_count, is_marked_unread)
  select p_into, old.connection_id, old.workspace_id, old.user_id, old.read_count, old.is_marked_unread
  from public.wa_thread_reads as old where old.thread_id = p_from
  on conflict on constraint wa_thread_reads_pkey do update set read_count = mine.read_count + excluded.read_count,
    is_marked_unread = mine.is_marked_unread or excluded.is_marked_unread;
  update public.wa_thread_breaches as breach set thread_id = p_into
  where breach.thread_id = p_from and not exists (
    select from public.wa_thread_breaches as known
    where known.thread_id = p_into and known.waiting_since = breach.waiting_since);
  update public.chats as chat set thread_id = p_into
  where chat.thread_id = p_from and not exists (select from public.chats as own where own.thread_id = p_into);
  -- Where both have notes, those of the one that goes stay a channel by themselves.
  update public.chats as chat set thread_id = null, connection_id = null where chat.thread_id = p_from;
  delete from public.wa_threads as thread where thread.id = p_from;
end $$;

ALTER FUNCTION private.merge_threads(p_from uuid, p_into uuid) OWNER TO postgres;

--
-- Name: messages_as_json(uuid, public.chat_messages[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.messages_as_json(p_chat_id uuid, p_messages public.chat_messages[]) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_delivered_by uuid[];
  v_delivered bigint[];
  v_read_by uuid[];
  v_read bigint[];
begin
  select array_agg(slow.user_id), array_agg(slow.last_delivered_seq) into v_delivered_by, v_delivered
  from (
    select member.user_id, member.last_delivered_seq from public.chat_members as member
    where member.chat_id = p_chat_id order by member.last_delivered_seq, member.user_id limit 2
  ) as slow;
  select array_agg(slow.user_id), array_agg(slow.last_read_seq) into v_read_by, v_read
  from (
    select member.user_id, member.last_read_seq from public.chat_members as member
    where member.chat_id = p_chat_id order by member.last_read_seq, member.user_id limit 2
  ) as slow;
  return (
    select coalesce(jsonb_agg(to_jsonb(message) || jsonb_build_object('status', case
      when message.seq <= v_read[case when v_read_by[1] = message.sender_id then 2 else 1 end] then 'read'
      when message.seq <= v_delivered[case when v_delivered_by[1] = message.sender_id then 2 else 1 end]
        then 'delivered'
      else 'sent' end)), '[]')
    from unnest(p_messages) as message);
end $$;

ALTER FUNCTION private.messages_as_json(p_chat_id uuid, p_messages public.chat_messages[]) OWNER TO postgres;

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
-- Name: move_cursors(public.chat_members, bigint, boolean); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.move_cursors(p_member public.chat_members, p_up_to_seq bigint, p_read boolean) RETURNS public.chat_members
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_last_seq bigint;
  v_seq bigint;
  v_deleted_count integer := 0;
  v_mention_count integer := 0;
begin
  -- Locked before anything is counted: whoever sends or deletes meanwhile counts after this.
  select member.* into p_member from public.chat_members as member
  where member.chat_id = p_member.chat_id and member.user_id = p_member.user_id for no key update;
  select chat.last_seq into v_last_seq from public.chats as chat where chat.id = p_member.chat_id;
  v_seq := least(coalesce(p_up_to_seq, v_last_seq), v_last_seq);
  if v_seq <= p_member.last_read_seq or (not p_read and v_seq <= p_member.last_delivered_seq) then
    return p_member;
  end if;
  if not p_read then
    update public.chat_members as member set last_delivered_seq = v_seq
    where member.chat_id = p_member.chat_id and member.user_id = p_member.user_id
    returning * into p_member;
  else
    if v_seq < v_last_seq and p_member.unread_deleted_count + p_member.unread_mention_count > 0 then
      select count(*) filter (where message.deleted_at is not null),
        count(*) filter (where p_member.user_id = any (message.mentions))
      into v_deleted_count, v_mention_count
      from public.chat_messages as message
      where message.chat_id = p_member.chat_id and message.seq > v_seq and message.seq <= v_last_seq
        and (message.deleted_at is not null or message.mentions <> '{}');
    end if;
    update public.chat_members as member
    set last_read_seq = v_seq, last_delivered_seq = greatest(member.last_delivered_seq, v_seq),
      unread_deleted_count = v_deleted_count, unread_mention_count = v_mention_count
    where member.chat_id = p_member.chat_id and member.user_id = p_member.user_id
    returning * into p_member;
  end if;
  perform private.tell_chat(p_member.chat_id, 'receipt', jsonb_build_object('user_id', p_member.user_id,
    'last_delivered_seq', p_member.last_delivered_seq, 'last_read_seq', p_member.last_read_seq));
  return p_member;
end $$;

ALTER FUNCTION private.move_cursors(p_member public.chat_members, p_up_to_seq bigint, p_read boolean) OWNER TO postgres;

--
-- Name: move_follow_up(uuid, timestamp with time zone, boolean); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.move_follow_up(p_id uuid, p_at timestamp with time zone, p_is_done boolean) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_user_id constant uuid := private.require_user();
  v_moved jsonb;
begin
  update public.user_contact_settings as settings
  set follow_up_at = p_at, follow_up_note = case when p_is_done then null else settings.follow_up_note end
  where settings.user_id = v_user_id and settings.contact_id = p_id and settings.follow_up_at is not null
  returning to_jsonb(settings) || jsonb_build_object('kind', 'contact', 'id', settings.contact_id) into v_moved;
  if not found then
    update public.user_tma_settings as settings
    set follow_up_at = p_at, follow_up_note = case when p_is_done then null else settings.follow_up_note end
    where settings.user_id = v_user_id and settings.tma_id = p_id and settings.follow_up_at is not null
    returning to_jsonb(settings) || jsonb_build_object('kind', 'candidate', 'id', settings.tma_id) into v_moved;
  end if;
  if not found then
    perform private.raise_error(404, 'follow_up_not_found', jsonb_build_object('id', p_id),
      'Schedule a follow-up for this contact or candidate first.');
  end if;
  return v_moved;
end $$;

ALTER FUNCTION private.move_follow_up(p_id uuid, p_at timestamp with time zone, p_is_done boolean) OWNER TO postgres;

--
-- Name: move_whatsapp_threads(uuid[], timestamp with time zone[], text[], timestamp with time zone[], timestamp with time zone[], timestamp with time zone[], timestamp with time zone[], integer[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_first_inbound_at timestamp with time zone[], p_inbound_at timestamp with time zone[], p_answered_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]) RETURNS void
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
    inbound_count = thread.inbound_count + latest.unread_count,
    answered_at = greatest(thread.answered_at, latest.answered_at),
    -- The earliest message after the latest answer. Only where one came late, or an earlier one got another time, the
    -- messages have to be asked.
    waiting_since = case
      when latest.answered_at is null
        and coalesce(latest.first_inbound_at > coalesce(thread.answered_at, '-infinity'), true)
        then least(thread.waiting_since, latest.first_inbound_at)
      when greatest(thread.last_inbound_at, latest.inbound_at)
        > coalesce(greatest(thread.answered_at, latest.answered_at), '-infinity')
        then (
          select min(message.occurred_at) from public.wa_messages as message
          where message.thread_id = thread.id and message.connection_id = thread.connection_id
            and message.workspace_id = thread.workspace_id and message.direction = 'in' and message.source = 'live'
            and message.occurred_at > coalesce(greatest(thread.answered_at, latest.answered_at), '-infinity'))
    end,
    first_waiting_since = case
      when latest.unread_count > 0 and thread.status = 'closed'
        then coalesce(nullif(latest.first_inbound_at, '-infinity'), latest.inbound_at)
      when thread.first_response_seconds is null
        and latest.first_inbound_at > coalesce(thread.answered_at, '-infinity')
        then least(thread.first_waiting_since, latest.first_inbound_at)
      else thread.first_waiting_since
    end,
    first_response_seconds = case
      when latest.unread_count > 0 and thread.status = 'closed'
        then case when latest.answered_at is not null then private.first_response_seconds(
          thread.id, thread.connection_id, thread.workspace_id, nullif(latest.first_inbound_at, '-infinity'), null) end
      when latest.answered_at is not null
        then private.first_response_seconds(thread.id, thread.connection_id, thread.workspace_id, coalesce(
          thread.first_waiting_since, thread.waiting_since, nullif(latest.first_inbound_at, '-infinity')),
          thread.first_response_seconds)
      else thread.first_response_seconds
    end,
    -- A closed conversation is one that waits for the customer, who has just written.
    status = case when latest.unread_count > 0 and thread.status in ('closed', 'snoozed') then 'open'
      else thread.status end,
    snoozed_until = case when latest.unread_count > 0 then null else thread.snoozed_until end,
    automation_stopped_at = greatest(thread.automation_stopped_at, latest.replied_at), updated_at = now()
  from unnest(p_thread_ids, p_latest_at, p_bodies, p_first_inbound_at, p_inbound_at, p_answered_at, p_replied_at,
      p_unread_counts)
    as latest (thread_id, occurred_at, body, first_inbound_at, inbound_at, answered_at, replied_at, unread_count)
  where thread.id = latest.thread_id;
end $$;

ALTER FUNCTION private.move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_first_inbound_at timestamp with time zone[], p_inbound_at timestamp with time zone[], p_answered_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]) OWNER TO postgres;

--
-- Name: my_chat_ids(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.my_chat_ids() RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  return query select member.chat_id from public.chat_members as member where member.user_id = (select auth.uid());
end $$;

ALTER FUNCTION private.my_chat_ids() OWNER TO postgres;

--
-- Name: my_workspace_ids(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.my_workspace_ids() RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10
    SET search_path TO ''
    AS $$
begin
  return query
  select membership.workspace_id from public.workspace_memberships as membership
  where membership.user_id = (select auth.uid());
end $$;

ALTER FUNCTION private.my_workspace_ids() OWNER TO postgres;

--
-- Name: my_workspace_ids_as(text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.my_workspace_ids_as(VARIADIC p_roles text[]) RETURNS SETOF uuid
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 10
    SET search_path TO ''
    AS $$
begin
  return query
  select membership.workspace_id from public.workspace_memberships as membership
  join public.workspaces as workspace on workspace.id = membership.workspace_id
  where membership.user_id = (select auth.uid()) and membership.role = any (p_roles) and workspace.status = 'active';
end $$;

ALTER FUNCTION private.my_workspace_ids_as(VARIADIC p_roles text[]) OWNER TO postgres;

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
-- Name: name_of(public.profiles); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.name_of(p_profile public.profiles) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select left(coalesce(nullif(p_profile.full_name, ''), p_profile.email, 'Somebody'), 100)
$$;

ALTER FUNCTION private.name_of(p_profile public.profiles) OWNER TO postgres;

--
-- Name: newest_messages_found(uuid, tsquery, uuid, timestamp with time zone, uuid, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.newest_messages_found(p_workspace_id uuid, p_query tsquery, p_thread_id uuid, p_until timestamp with time zone, p_until_id uuid, p_limit integer) RETURNS uuid[]
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
  v_most constant integer := 2000;
  v_found constant text := 'select message.id, message.occurred_at from public.wa_messages as message'
    || ' where message.workspace_id = ' || quote_literal(p_workspace_id) || '::uuid and message.body is not null'
    || ' and private.search_vector(message.search_language, message.body) @@ ' || quote_literal(p_query) || '::tsquery'
    || coalesce(' and message.thread_id = ' || quote_literal(p_thread_id) || '::uuid', '');
  v_oldest timestamptz;
  v_until timestamptz := p_until;
  v_until_id uuid := p_until_id;
  v_since timestamptz;
  v_span interval;
  v_plan jsonb;
  v_expected double precision;
  v_count integer;
  v_ids uuid[];
  v_page uuid[] := '{}';
begin
  select message.occurred_at into v_oldest from public.wa_messages as message
  where message.workspace_id = p_workspace_id and message.body is not null order by message.occurred_at limit 1;
  if v_until is null then
    v_until_id := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    select message.occurred_at into v_until from public.wa_messages as message
    where message.workspace_id = p_workspace_id and message.body is not null order by message.occurred_at desc limit 1;
  end if;
  execute 'explain (format json) ' || v_found into v_plan;
  v_expected := (v_plan #>> '{0,Plan,Plan Rows}')::double precision;
  if v_expected > v_most then
    v_span := greatest((v_until - v_oldest) * (1.5 * p_limit / v_expected), interval '1 second');
  end if;
  loop
    v_since := coalesce(v_until - v_span, '-infinity');
    -- The limit stands apart, so that Postgres plans for a span that holds fewer: it would walk back for long otherwise. A
    -- second that alone holds too many can't be shortened.
    execute 'with every as materialized (' || v_found || ' and (message.occurred_at, message.id) < ($1, $2)'
        || ' and message.occurred_at >= $3), found as materialized (select every.* from every'
        || case when v_span <= interval '1 second' then '' else ' limit ' || v_most + 1 end
        || ') select (select count(*) from found), array(select one.id from found as one'
        || ' order by one.occurred_at desc, one.id desc limit ' || p_limit || ')'
      into v_count, v_ids using v_until, v_until_id, v_since;
    if v_count > v_most and coalesce(v_span > interval '1 second', true) then
      v_span := greatest(coalesce(v_span, v_until - v_oldest) / 8, interval '1 second');
      continue;
    end if;
    v_page := v_page || v_ids;
    exit when cardinality(v_page) >= p_limit or v_since <= v_oldest or v_oldest is null;
    v_until := v_since;
    v_until_id := '00000000-0000-0000-0000-000000000000';
    v_span := v_span * 8;
  end loop;
  return v_page[:p_limit];
end $_$;

ALTER FUNCTION private.newest_messages_found(p_workspace_id uuid, p_query tsquery, p_thread_id uuid, p_until timestamp with time zone, p_until_id uuid, p_limit integer) OWNER TO postgres;

--
-- Name: normal_email(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.normal_email(p_email text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
  select nullif(lower(btrim(p_email)), '')
$$;

ALTER FUNCTION private.normal_email(p_email text) OWNER TO postgres;

--
-- Name: normal_phone(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.normal_phone(p_phone text) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
  select nullif(regexp_replace(regexp_replace(p_phone, '[[:space:]().\-/]', '', 'g'), '^00', '+'), '')
$$;

ALTER FUNCTION private.normal_phone(p_phone text) OWNER TO postgres;

--
-- Name: note_outbox_problems(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.note_outbox_problems(p_ids uuid[]) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  insert into private.outbox_problems (id, workspace_id, status, error_code, settled_at)
  select outbox.id, outbox.workspace_id, outbox.status, outbox.error_code, clock_timestamp()
  from public.outbox_messages as outbox
  where outbox.id = any (p_ids) and outbox.status in ('failed', 'dead', 'unknown')
  order by outbox.id
  on conflict on constraint outbox_problems_pkey do update
    set status = excluded.status, error_code = excluded.error_code
$$;

ALTER FUNCTION private.note_outbox_problems(p_ids uuid[]) OWNER TO postgres;

--
-- Name: notify_of_assignment(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.notify_of_assignment() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_bucket bigint := private.push_bucket();
begin
  insert into public.outbox_messages (workspace_id, channel, recipient, payload, idempotency_key, scheduled_at)
  select new.workspace_id, 'web_push', 'user:' || new.assignee_id,
    jsonb_build_object('kind', 'assignment', 'thread_id', new.id, 'user_id', new.assignee_id),
    'push:assignment:' || new.id || ':' || new.assignee_id || ':' || v_bucket, private.push_due(v_bucket)
  -- Nobody has to be told what they have just done.
  where new.assignee_id is distinct from (select auth.uid()) and exists (
    select 1 from public.push_subscriptions as subscription where subscription.user_id = new.assignee_id)
  on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing;
  return null;
end $$;

ALTER FUNCTION private.notify_of_assignment() OWNER TO postgres;

--
-- Name: notify_of_chat_messages(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.notify_of_chat_messages() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_bucket bigint;
begin
  if not exists (select 1 from public.push_subscriptions) then
    return null;
  end if;
  v_bucket := private.push_bucket();
  insert into public.outbox_messages (workspace_id, channel, recipient, payload, idempotency_key, scheduled_at)
  select sent.workspace_id, 'web_push', 'chat:' || sent.chat_id,
    jsonb_build_object('kind', 'chat_message', 'chat_id', sent.chat_id, 'seq', min(sent.seq)),
    'push:chat:' || sent.chat_id || ':' || v_bucket, private.push_due(v_bucket)
  from inserted as sent
  where not exists (
      select 1 from public.outbox_messages as outbox
      where outbox.workspace_id = sent.workspace_id
        and outbox.idempotency_key = 'push:chat:' || sent.chat_id || ':' || v_bucket)
    and exists (
      select 1 from public.chat_members as member
      join public.push_subscriptions as subscription on subscription.user_id = member.user_id
      where member.chat_id = sent.chat_id and member.user_id is distinct from sent.sender_id)
  group by sent.workspace_id, sent.chat_id
  on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing;
  return null;
end $$;

ALTER FUNCTION private.notify_of_chat_messages() OWNER TO postgres;

--
-- Name: notify_of_follow_up(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.notify_of_follow_up() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  insert into public.outbox_messages (workspace_id, channel, recipient, payload, idempotency_key, scheduled_at)
  select new.workspace_id, 'web_push', 'user:' || new.user_id,
    jsonb_build_object('kind', 'follow_up', 'user_id', new.user_id, 'at', private.time_cursor(new.follow_up_at)),
    'push:follow_up:' || new.user_id || ':' || private.time_cursor(new.follow_up_at), new.follow_up_at
  where new.follow_up_at > now() and exists (
    select 1 from public.push_subscriptions as subscription where subscription.user_id = new.user_id)
  on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing;
  return null;
end $$;

ALTER FUNCTION private.notify_of_follow_up() OWNER TO postgres;

--
-- Name: notify_of_inbound_messages(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.notify_of_inbound_messages() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_bucket bigint;
begin
  if not exists (select 1 from public.push_subscriptions) then
    return null;
  end if;
  v_bucket := private.push_bucket();
  -- Which threads it is about is found by the ids of the messages, which begin with the time.
  insert into public.outbox_messages (workspace_id, channel, recipient, payload, idempotency_key, scheduled_at)
  select came.workspace_id, 'web_push', 'workspace:' || came.workspace_id,
    jsonb_build_object('kind', 'inbound_message', 'bucket', v_bucket), 'push:inbound:' || v_bucket,
    private.push_due(v_bucket)
  from (
    select distinct inserted.workspace_id from inserted where inserted.direction = 'in' and inserted.source = 'live'
  ) as came
  where not exists (
      select 1 from public.outbox_messages as outbox
      where outbox.workspace_id = came.workspace_id and outbox.idempotency_key = 'push:inbound:' || v_bucket)
    and exists (
      select 1 from public.workspace_memberships as membership
      join public.push_subscriptions as subscription on subscription.user_id = membership.user_id
      where membership.workspace_id = came.workspace_id)
  order by came.workspace_id
  on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing;
  return null;
end $$;

ALTER FUNCTION private.notify_of_inbound_messages() OWNER TO postgres;

--
-- Name: number_chat_batch(integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.number_chat_batch(p_limit integer) RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_backlog private.chat_backlog;
  v_count bigint;
begin
  select backlog.* into v_backlog from private.chat_backlog as backlog
  order by backlog.chat_id limit 1 for update skip locked;
  if not found then
    return 0;
  end if;
  with batch as (
    select message.id, row_number() over (order by message.created_at, message.id) as position
    from public.chat_messages as message
    where message.chat_id = v_backlog.chat_id and message.seq is null
    order by message.created_at, message.id limit p_limit
  )
  update public.chat_messages as message
  set seq = v_backlog.numbered_count + batch.position,
    -- One that was edited before its turn has its rev already.
    rev = coalesce(message.rev, v_backlog.numbered_count + batch.position),
    workspace_id = coalesce(message.workspace_id, chat.workspace_id)
  from batch cross join public.chats as chat
  where message.id = batch.id and chat.id = v_backlog.chat_id;
  get diagnostics v_count = row_count;
  if v_count < p_limit then
    delete from private.chat_backlog where chat_id = v_backlog.chat_id;
  else
    update private.chat_backlog set numbered_count = numbered_count + v_count where chat_id = v_backlog.chat_id;
  end if;
  return v_count + 1;
end $$;

ALTER FUNCTION private.number_chat_batch(p_limit integer) OWNER TO postgres;

--
-- Name: number_chat_messages(integer); Type: PROCEDURE; Schema: private; Owner: postgres
--

CREATE PROCEDURE private.number_chat_messages(IN p_batch_size integer DEFAULT 5000)
    LANGUAGE plpgsql
    AS $$
declare
  v_constraint record;
begin
  loop
    exit when private.number_chat_batch(p_batch_size) operator(pg_catalog.=) 0;
    commit;
  end loop;
  if exists (select 1 from private.chat_backlog) then
    return;  -- others are at work
  end if;
  -- Checked without holding anybody up, so that saying "not null" reads no table.
  if exists (
    select 1 from pg_catalog.pg_attribute
    where attrelid operator(pg_catalog.=) 'public.chat_messages'::pg_catalog.regclass
      and attname operator(pg_catalog.=) 'seq' and not attnotnull
  ) then
    alter table public.chat_messages drop constraint if exists chat_messages_numbered_check;
    alter table public.chat_messages add constraint chat_messages_numbered_check
      check (workspace_id is not null and seq is not null and rev is not null) not valid;
    commit;
    alter table public.chat_messages validate constraint chat_messages_numbered_check;
    commit;
    alter table public.chat_messages alter column workspace_id set not null, alter column seq set not null,
      alter column rev set not null;
    alter table public.chat_messages drop constraint chat_messages_numbered_check;
    commit;
  end if;
  for v_constraint in
    select conrelid::pg_catalog.regclass as relation, conname from pg_catalog.pg_constraint
    where not convalidated and conrelid operator(pg_catalog.=) any (array[
      'public.chats', 'public.chat_members', 'public.chat_messages']::pg_catalog.regclass[])
  loop
    begin
      execute pg_catalog.format('alter table %s validate constraint %I', v_constraint.relation, v_constraint.conname);
    exception when check_violation or foreign_key_violation then
      raise warning '%: rows from before break %: correct them, then call this again', v_constraint.relation,
        v_constraint.conname;
    end;
  end loop;
end $$;

ALTER PROCEDURE private.number_chat_messages(IN p_batch_size integer) OWNER TO postgres;

--
-- Name: outbox_pace(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.outbox_pace(OUT p_step interval, OUT p_lead interval) RETURNS record
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select interval '6 s', interval '264 s'
$$;

ALTER FUNCTION private.outbox_pace(OUT p_step interval, OUT p_lead interval) OWNER TO postgres;

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
    line_id bigint GENERATED ALWAYS AS (
CASE
    WHEN (thread_id IS NOT NULL) THEN uuid_hash_extended(thread_id, (0)::bigint)
    WHEN (channel = 'whatsapp'::text) THEN hashtextextended(recipient, uuid_hash_extended(connection_id, (1)::bigint))
    ELSE NULL::bigint
END) STORED,
    CONSTRAINT outbox_messages_channel_check CHECK ((channel = ANY (ARRAY['whatsapp'::text, 'web_push'::text]))),
    CONSTRAINT outbox_messages_idempotency_key_check CHECK (((length(idempotency_key) >= 1) AND (length(idempotency_key) <= 200))),
    CONSTRAINT outbox_messages_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'processing'::text, 'sent'::text, 'failed'::text, 'dead'::text, 'cancelled'::text, 'unknown'::text]))),
    CONSTRAINT outbox_messages_thread_id_check CHECK (((thread_id IS NULL) OR (connection_id IS NOT NULL))),
    CONSTRAINT outbox_messages_whatsapp_check CHECK (((channel <> 'whatsapp'::text) OR (connection_id IS NOT NULL) OR (status <> ALL (ARRAY['queued'::text, 'processing'::text]))))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_cost_delay='0');

ALTER TABLE public.outbox_messages OWNER TO postgres;

--
-- Name: outbox_report_outcome(bigint, boolean, public.outbox_messages); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.outbox_report_outcome(p_token bigint, p_held boolean, p_outbox public.outbox_messages) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select case
    when p_outbox.id is null then 'not_found'
    when p_held then p_outbox.status
    when p_outbox.lease_token is distinct from p_token then 'lease_lost'
    when exists (
      select 1 from private.outbox_leases as lease
      where lease.token <> p_token and p_outbox.id = any (lease.ids)) then 'lease_lost'
    else p_outbox.status
  end
$$;

ALTER FUNCTION private.outbox_report_outcome(p_token bigint, p_held boolean, p_outbox public.outbox_messages) OWNER TO postgres;

--
-- Name: outbox_turn(integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.outbox_turn(p_served integer DEFAULT NULL::integer) RETURNS integer
    LANGUAGE sql SECURITY DEFINER
    SET search_path TO ''
    AS $$
  select case
    when p_served is null then (select last_value from private.outbox_turn)
    else setval('private.outbox_turn', p_served)
  end::integer
$$;

ALTER FUNCTION private.outbox_turn(p_served integer) OWNER TO postgres;

--
-- Name: tma_candidates; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.tma_candidates (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    name text,
    email text,
    phone text,
    status_tags text[] DEFAULT '{}'::text[] NOT NULL,
    tags text[] DEFAULT '{}'::text[] NOT NULL,
    source text DEFAULT 'manual'::text NOT NULL,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    search_text text GENERATED ALWAYS AS (lower(((((COALESCE(name, ''::text) || ' '::text) || COALESCE(email, ''::text)) || ' '::text) || COALESCE(phone, ''::text)))) STORED,
    CONSTRAINT tma_candidates_email_check CHECK (((length(email) <= 320) AND (email ~ '^[^@[:space:]]+@[^@[:space:]]+$'::text))),
    CONSTRAINT tma_candidates_name_check CHECK (((length(name) >= 1) AND (length(name) <= 300))),
    CONSTRAINT tma_candidates_phone_check CHECK ((phone ~ '^\+[1-9][0-9]{6,14}$'::text)),
    CONSTRAINT tma_candidates_status_tags_check CHECK ((status_tags <@ ARRAY['A'::text, 'B'::text, 'C'::text]))
);

ALTER TABLE public.tma_candidates OWNER TO postgres;

--
-- Name: page_of_candidates(uuid, jsonb, uuid[], uuid[], text, boolean, text, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.page_of_candidates(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer) RETURNS SETOF public.tma_candidates
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50
    SET search_path TO ''
    AS $_$
begin
  if not exists (
    select from public.workspace_memberships as membership
    where membership.user_id = (select auth.uid()) and membership.workspace_id = p_workspace_id)
  then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  end if;
  return query execute 'select person.* from public.tma_candidates as person where person.workspace_id = $1'
    || case when p_only is null then '' else ' and person.id = any ($2)' end
    || case when p_without is null then '' else ' and person.id <> all ($3)' end
    || private.people_conditions(p_filter) || private.people_page(p_sort, p_descending, p_after, p_limit)
    using p_workspace_id, p_only, p_without;
end $_$;

ALTER FUNCTION private.page_of_candidates(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: page_of_contacts(uuid, jsonb, uuid[], text, boolean, text, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.page_of_contacts(p_workspace_id uuid, p_filter jsonb, p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer) RETURNS SETOF public.contacts
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50
    SET search_path TO ''
    AS $_$
begin
  if not exists (
    select from public.workspace_memberships as membership
    where membership.user_id = (select auth.uid()) and membership.workspace_id = p_workspace_id)
  then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  end if;
  return query execute 'select person.* from public.contacts as person where person.workspace_id = $1'
    || ' and person.deleted_at is null' || case when p_without is null then '' else ' and person.id <> all ($2)' end
    || private.people_conditions(p_filter) || private.people_page(p_sort, p_descending, p_after, p_limit)
    using p_workspace_id, p_without;
end $_$;

ALTER FUNCTION private.page_of_contacts(p_workspace_id uuid, p_filter jsonb, p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: pause_outbox_lanes(uuid[], text[], text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.pause_outbox_lanes(p_connection_ids uuid[], p_scopes text[], p_reasons text[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_now timestamptz := clock_timestamp();
begin
  with cause as materialized (
    select cause.*, connection.waba_id
    from unnest(p_connection_ids, p_scopes, p_reasons) as cause (connection_id, scope, reason)
    join public.wa_phone_numbers as connection on connection.id = cause.connection_id
    where cause.scope in ('number', 'account', 'app')
  ), affected as materialized (
    select lane.lane_id, bool_or(cause.scope <> 'number') as for_minutes, min(cause.reason) as reason
    from private.outbox_lanes as lane
    join public.wa_phone_numbers as connection on connection.id = lane.connection_id
    join cause on cause.connection_id = lane.connection_id
      or (cause.scope = 'account' and cause.waba_id = connection.waba_id) or cause.scope = 'app'
    where lane.paused_until <= v_now
    group by lane.lane_id
  ), locked as materialized (
    select lane.lane_id, affected.for_minutes, affected.reason,
      case when lane.paused_until < v_now - interval '10 min' then 1 else lane.pause_count + 1 end as pause_count
    from private.outbox_lanes as lane join affected on affected.lane_id = lane.lane_id
    where lane.paused_until <= v_now
    order by lane.lane_id
    for no key update of lane
  )
  update private.outbox_lanes as lane
  set pause_count = locked.pause_count, pause_reason = left(locked.reason, 500),
    paused_until = v_now + (0.75 + random() / 2) * make_interval(secs => case
      when locked.for_minutes then least(60 * 2 ^ locked.pause_count, 900)
      else least(2 ^ locked.pause_count, 300)
    end)
  from locked where lane.lane_id = locked.lane_id;
end $$;

ALTER FUNCTION private.pause_outbox_lanes(p_connection_ids uuid[], p_scopes text[], p_reasons text[]) OWNER TO postgres;

--
-- Name: people_conditions(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.people_conditions(p_filter jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
declare
  v_conditions text := '';
  v_pattern text;
begin
  if p_filter ? 'search' then
    foreach v_pattern in array private.search_patterns(p_filter ->> 'search') loop
      v_conditions := v_conditions || ' and person.search_text like ' || quote_literal(v_pattern);
    end loop;
  end if;
  if p_filter ? 'lead_statuses' then
    v_conditions := v_conditions || ' and person.lead_status = any ('
      || quote_literal(array(select jsonb_array_elements_text(p_filter -> 'lead_statuses'))::text) || ')';
  end if;
  if p_filter ? 'tags' then
    v_conditions := v_conditions || ' and person.tags @> '
      || quote_literal(array(select jsonb_array_elements_text(p_filter -> 'tags'))::text);
  end if;
  if p_filter ? 'status_tags' then
    v_conditions := v_conditions || ' and person.status_tags @> '
      || quote_literal(array(select jsonb_array_elements_text(p_filter -> 'status_tags'))::text);
  end if;
  if p_filter ? 'assigned_to' then
    v_conditions := v_conditions || ' and person.assigned_to = ' || quote_literal(p_filter ->> 'assigned_to');
  end if;
  return v_conditions;
end $$;

ALTER FUNCTION private.people_conditions(p_filter jsonb) OWNER TO postgres;

--
-- Name: people_page(text, boolean, text, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.people_page(p_sort text, p_descending boolean, p_after text, p_limit integer) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
declare
  v_key constant text := case p_sort when 'name' then 'lower(coalesce(person.name, ''''))' else 'person.created_at' end;
  v_direction constant text := case when p_descending then ' desc' else '' end;
begin
  return case when p_after is null then '' else
      ' and (' || v_key || ', person.id) ' || case when p_descending then '<' else '>' end || ' ('
      || case p_sort when 'name' then quote_literal(substr(p_after, 38))
        else quote_literal(private.cursor_time(substr(p_after, 38))::text) || '::timestamptz' end
      || ', ' || quote_literal(left(p_after, 36)) || '::uuid)' end
    || ' order by ' || v_key || v_direction || ', person.id' || v_direction || ' limit ' || p_limit;
end $$;

ALTER FUNCTION private.people_page(p_sort text, p_descending boolean, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: personal_rows(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.personal_rows() RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  if private.is_service() then
    return '{}'::jsonb;
  end if;
  return jsonb_build_object(
    'user_contact_settings', (select count(*) from public.user_contact_settings),
    'user_tma_settings', (select count(*) from public.user_tma_settings));
end $$;

ALTER FUNCTION private.personal_rows() OWNER TO postgres;

--
-- Name: plan_token_balance(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.plan_token_balance(p_workspace_id uuid) RETURNS public.workspace_token_balance
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_account public.workspace_token_balance;
begin
  update public.workspace_token_balance as account
  set next_due_at = (
      select min(due.at) from (
        select case token_grant.status when 'scheduled' then token_grant.effective_at else token_grant.expires_at end
        from public.workspace_token_grants as token_grant
        where token_grant.workspace_id = p_workspace_id and token_grant.status in ('scheduled', 'open')
          and (token_grant.status = 'scheduled' or token_grant.expires_at > now())
        union all
        select reservation.expires_at from public.workspace_token_reservations as reservation
        where reservation.workspace_id = p_workspace_id and reservation.status = 'open'
        union all
        select now() where private.ended_grant_tokens(p_workspace_id) > 0
      ) as due (at)),
    has_grants = exists (
      select 1 from public.workspace_token_grants as token_grant
      where token_grant.workspace_id = p_workspace_id and token_grant.status in ('scheduled', 'open'))
  where account.workspace_id = p_workspace_id
  returning account.* into v_account;
  return v_account;
end $$;

ALTER FUNCTION private.plan_token_balance(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: post_tokens(uuid, bigint, text, text, text, bigint, bigint, boolean); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.post_tokens(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference_type text, p_reference_id text, p_granted bigint DEFAULT 0, p_released bigint DEFAULT 0, p_by_time boolean DEFAULT false) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_account public.workspace_token_balance;
begin
  update public.workspace_token_balance as account
  set balance = account.balance + p_delta, reserved = account.reserved - p_released,
    granted = greatest(account.granted + p_granted + least(p_delta, 0), 0)
  where account.workspace_id = p_workspace_id
  returning account.* into v_account;
  insert into public.workspace_token_ledger
    (workspace_id, delta, balance_after, reason, reference_type, reference_id, actor_id)
  values (p_workspace_id, p_delta, v_account.balance, p_reason, p_reference_type, p_reference_id,
    case when not p_by_time then (select auth.uid()) end);
  if p_delta < 0 then
    perform private.follow_deduction(p_workspace_id, p_delta, v_account.balance);
  end if;
end $$;

ALTER FUNCTION private.post_tokens(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference_type text, p_reference_id text, p_granted bigint, p_released bigint, p_by_time boolean) OWNER TO postgres;

--
-- Name: push_bucket(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.push_bucket() RETURNS bigint
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  return floor(extract(epoch from clock_timestamp()) / 3)::bigint;
end $$;

ALTER FUNCTION private.push_bucket() OWNER TO postgres;

--
-- Name: push_due(bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.push_due(p_bucket bigint) RETURNS timestamp with time zone
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select to_timestamp((p_bucket + 1) * 3 + 2)
$$;

ALTER FUNCTION private.push_due(p_bucket bigint) OWNER TO postgres;

--
-- Name: put_back_leads(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.put_back_leads(p_outbox_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_lead_ids uuid[] := array(
    select message.lead_id from public.whatsapp_message_queue as message
    where message.outbox_id = any (p_outbox_ids) and message.status = 'cancelled');
begin
  if v_lead_ids = '{}' then
    return;
  end if;
  perform 1 from public.leads as lead where lead.id = any (v_lead_ids) order by lead.id for no key update;
  update public.leads as lead set status = 'pending', reason = 'Its message was cancelled.'
  where lead.id = any (v_lead_ids) and lead.status = 'queued' and lead.control = 'automation';
  update public.lead_processing_queue as run set status = 'cancelled', reason = 'Its message was cancelled.'
  where run.lead_id = any (v_lead_ids) and run.status = 'queued';
end $$;

ALTER FUNCTION private.put_back_leads(p_outbox_ids uuid[]) OWNER TO postgres;

--
-- Name: queue_inserted_outbox(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.queue_inserted_outbox() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ids uuid[] := array(select inserted.id from inserted);
begin
  if v_ids <> '{}' then
    perform private.queue_outbox(v_ids);
    perform private.wake_outbox_workers();
  end if;
  return null;
end $$;

ALTER FUNCTION private.queue_inserted_outbox() OWNER TO postgres;

--
-- Name: queue_outbox(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.queue_outbox(p_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_now timestamptz := clock_timestamp();
  v_lead interval := (private.outbox_pace()).p_lead;
  v_sender record;
  v_lane_id integer;
begin
  insert into private.outbox_lines as line (line_id, head, has_waiting)
  select outbox.line_id, min(outbox.sequence), count(*) > 1
  from public.outbox_messages as outbox
  where outbox.id = any (p_ids) and outbox.status = 'queued' and outbox.line_id is not null
    and outbox.scheduled_at <= v_now
  group by outbox.line_id order by outbox.line_id
  on conflict (line_id) do update
    set head = coalesce(line.head, excluded.head),
      has_waiting = line.has_waiting or line.head is not null or excluded.has_waiting;

  for v_sender in
    select outbox.workspace_id, outbox.connection_id, outbox.channel, array_agg(outbox.id) as ids
    from public.outbox_messages as outbox where outbox.id = any (p_ids)
    group by outbox.workspace_id, outbox.connection_id, outbox.channel
  loop
    v_lane_id := private.ensure_outbox_lane(v_sender.workspace_id, v_sender.connection_id, v_sender.channel);
    with message as materialized (
      select outbox.id, outbox.sequence, outbox.line_id, outbox.scheduled_at, -outbox.priority as rank,
        outbox.line_id is not null and outbox.scheduled_at > v_now as joins,
        line.line_id is null or line.head = outbox.sequence as is_head,
        greatest(outbox.scheduled_at, line.next_at - v_lead) as run_at
      from public.outbox_messages as outbox
      left join private.outbox_lines as line on line.line_id = outbox.line_id and outbox.scheduled_at <= v_now
      where outbox.id = any (v_sender.ids) and outbox.status = 'queued'
    ), ready as (
      insert into private.outbox_ready (lane_id, rank, run_at, sequence, id, line_id, joins)
      select v_lane_id, message.rank, message.run_at, message.sequence, message.id, message.line_id, message.joins
      from message where message.is_head
    ), waiting as (
      insert into private.outbox_waiting (line_id, lane_id, rank, run_at, sequence, id)
      select message.line_id, v_lane_id, message.rank, message.scheduled_at, message.sequence, message.id
      from message where not message.is_head
      order by message.sequence
    )
    update public.outbox_messages as outbox set scheduled_at = message.run_at
    from message
    where outbox.id = message.id and message.is_head and message.run_at > message.scheduled_at;
  end loop;
end $$;

ALTER FUNCTION private.queue_outbox(p_ids uuid[]) OWNER TO postgres;

--
-- Name: queue_references(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.queue_references() RETURNS TABLE(table_name text, constraint_name text, columns text[], target text, target_columns text[], on_delete text)
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  values
    ('clients', 'clients_workspace_id_fkey', array['workspace_id'], 'public.workspaces', array['id'], 'cascade'),
    ('projects', 'projects_workspace_id_fkey', array['workspace_id'], 'public.workspaces', array['id'], 'cascade'),
    ('projects', 'projects_workspace_id_client_id_fkey', array['workspace_id', 'client_id'], 'public.clients',
      array['workspace_id', 'id'], 'set null (client_id)'),
    ('leads', 'leads_workspace_id_fkey', array['workspace_id'], 'public.workspaces', array['id'], 'cascade'),
    ('leads', 'leads_workspace_id_contact_id_fkey', array['workspace_id', 'contact_id'], 'public.contacts',
      array['workspace_id', 'id'], 'cascade'),
    ('leads', 'leads_workspace_id_client_id_fkey', array['workspace_id', 'client_id'], 'public.clients',
      array['workspace_id', 'id'], 'set null (client_id)'),
    ('leads', 'leads_workspace_id_project_id_fkey', array['workspace_id', 'project_id'], 'public.projects',
      array['workspace_id', 'id'], 'set null (project_id)'),
    ('leads', 'leads_user_id_fkey', array['user_id'], 'auth.users', array['id'], 'set null'),
    ('leads', 'leads_taken_by_fkey', array['taken_by'], 'auth.users', array['id'], 'set null'),
    ('user_queue_settings', 'user_queue_settings_workspace_id_fkey', array['workspace_id'], 'public.workspaces',
      array['id'], 'cascade'),
    ('user_queue_settings', 'user_queue_settings_user_id_fkey', array['user_id'], 'auth.users', array['id'], 'cascade'),
    ('whatsapp_message_queue', 'whatsapp_message_queue_workspace_id_lead_id_fkey', array['workspace_id', 'lead_id'],
      'public.leads', array['workspace_id', 'id'], 'cascade'),
    ('whatsapp_message_queue', 'whatsapp_message_queue_workspace_id_client_id_fkey',
      array['workspace_id', 'client_id'], 'public.clients', array['workspace_id', 'id'], 'set null (client_id)'),
    ('whatsapp_message_queue', 'whatsapp_message_queue_user_id_fkey', array['user_id'], 'auth.users', array['id'],
      'set null'),
    ('lead_processing_queue', 'lead_processing_queue_workspace_id_lead_id_fkey', array['workspace_id', 'lead_id'],
      'public.leads', array['workspace_id', 'id'], 'cascade'),
    ('lead_processing_queue', 'lead_processing_queue_workspace_id_client_id_fkey',
      array['workspace_id', 'client_id'], 'public.clients', array['workspace_id', 'id'], 'set null (client_id)'),
    ('lead_processing_queue', 'lead_processing_queue_workspace_id_project_id_fkey',
      array['workspace_id', 'project_id'], 'public.projects', array['workspace_id', 'id'], 'set null (project_id)'),
    ('lead_processing_queue', 'lead_processing_queue_user_id_fkey', array['user_id'], 'auth.users', array['id'],
      'set null'),
    ('queue_performance_metrics', 'queue_performance_metrics_workspace_id_fkey', array['workspace_id'],
      'public.workspaces', array['id'], 'cascade'),
    ('queue_performance_metrics', 'queue_performance_metrics_user_id_fkey', array['user_id'], 'auth.users',
      array['id'], 'cascade'),
    ('queue_ledger', 'queue_ledger_workspace_id_lead_id_fkey', array['workspace_id', 'lead_id'], 'public.leads',
      array['workspace_id', 'id'], 'cascade')
$$;

ALTER FUNCTION private.queue_references() OWNER TO postgres;

--
-- Name: queue_rules(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.queue_rules() RETURNS TABLE(table_name text, constraint_name text, definition text)
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $_$
  values
    ('clients', 'clients_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('clients', 'clients_name_check', 'check (length(name) between 1 and 300)'),
    ('projects', 'projects_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('projects', 'projects_name_check', 'check (length(name) between 1 and 300)'),
    ('leads', 'leads_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('leads', 'leads_status_check', $check$check (
      status in ('new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost'))$check$),
    ('leads', 'leads_control_check', $check$check (control in ('automation', 'human'))$check$),
    ('leads', 'leads_taken_by_check', $check$check (taken_by is null or control = 'human')$check$),
    ('user_queue_settings', 'user_queue_settings_pkey', 'primary key (workspace_id, user_id)'),
    ('user_queue_settings', 'user_queue_settings_daily_capacity_check', 'check (daily_capacity between 0 and 10000)'),
    ('user_queue_settings', 'user_queue_settings_batch_size_check', 'check (batch_size between 1 and 1000)'),
    ('user_queue_settings', 'user_queue_settings_timezone_check',
      'check (length(timezone) <= 100 and private.is_timezone(timezone))'),
    ('user_queue_settings', 'user_queue_settings_window_check', 'check (sends_from < sends_until)'),
    ('user_queue_settings', 'user_queue_settings_steps_check', $check$check (
      jsonb_typeof(steps) = 'array' and jsonb_array_length(steps) <= 10)$check$),
    ('whatsapp_message_queue', 'whatsapp_message_queue_status_check', $check$check (
      status in ('queued', 'sending', 'sent', 'failed', 'cancelled'))$check$),
    -- What is still to be sent says what, for whom and when; older rows that have ended may not.
    ('whatsapp_message_queue', 'whatsapp_message_queue_content_check', $check$check (
      num_nonnulls(body, template) = 1 or status not in ('queued', 'sending'))$check$),
    ('whatsapp_message_queue', 'whatsapp_message_queue_queue_day_check', $check$check (
      (queue_day is not null and scheduled_for is not null) or status <> 'queued')$check$),
    ('whatsapp_message_queue', 'whatsapp_message_queue_body_check', 'check (length(body) between 1 and 4096)'),
    ('whatsapp_message_queue', 'whatsapp_message_queue_step_check', 'check (step between 1 and 10)'),
    ('lead_processing_queue', 'lead_processing_queue_status_check', $check$check (
      status in ('queued', 'waiting', 'completed', 'failed', 'cancelled'))$check$),
    ('lead_processing_queue', 'lead_processing_queue_next_on_check', $check$check (
      next_on is not null or status <> 'waiting')$check$),
    ('lead_processing_queue', 'lead_processing_queue_step_check', 'check (step between 1 and 10)'),
    ('queue_performance_metrics', 'queue_performance_metrics_pkey', 'primary key (workspace_id, user_id, day)'),
    ('queue_ledger', 'queue_ledger_queue_check', $check$check (
      queue in ('leads', 'whatsapp_message_queue', 'lead_processing_queue'))$check$)
$_$;

ALTER FUNCTION private.queue_rules() OWNER TO postgres;

--
-- Name: queue_steps_problem(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.queue_steps_problem(p_steps jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $_$
  select case
    when jsonb_typeof(p_steps) is distinct from 'array' or jsonb_array_length(p_steps) > 10 then 'at most 10 steps'
    else (
      select min('step ' || step.place || ': ' || problem.text)
      from jsonb_array_elements(p_steps) with ordinality as step (value, place)
      cross join lateral (
        select case
          when jsonb_typeof(step.value) <> 'object' then 'an object'
          when (step.value ? 'body') = (step.value ? 'template') then 'either body or template'
          when step.value ? 'body' and not coalesce(jsonb_typeof(step.value -> 'body') = 'string'
            and step.value ->> 'body' ~ '[^[:space:]]' and length(step.value ->> 'body') <= 4096, false)
            then 'a body of 1 to 4096 characters'
          when step.value ? 'template' and not coalesce(
            jsonb_typeof(step.value #> '{template,name}') = 'string'
            and jsonb_typeof(step.value #> '{template,language,code}') = 'string', false)
            then 'a template with name and language.code, as Meta documents it'
          when step.place > 1 and not coalesce(step.value ->> 'after_days' ~ '^[0-9]{1,3}$'
            and (step.value ->> 'after_days')::integer between 1 and 365, false) then 'after_days of 1 to 365'
        end as text) as problem
      where problem.text is not null)
  end
$_$;

ALTER FUNCTION private.queue_steps_problem(p_steps jsonb) OWNER TO postgres;

--
-- Name: queue_timezone(uuid, uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.queue_timezone(p_workspace_id uuid, p_user_id uuid) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(
    (select settings.timezone from public.user_queue_settings as settings
     where settings.workspace_id = p_workspace_id and settings.user_id = p_user_id),
    (select profile.timezone from public.profiles as profile where profile.id = p_user_id),
    'UTC')
$$;

ALTER FUNCTION private.queue_timezone(p_workspace_id uuid, p_user_id uuid) OWNER TO postgres;

--
-- Name: queue_whatsapp(uuid, jsonb, text, boolean); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.queue_whatsapp(p_thread_id uuid, p_payload jsonb, p_idempotency_key text, p_needs_window boolean, OUT outbox public.outbox_messages, OUT is_new boolean) RETURNS record
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_thread public.wa_threads;
  v_connection public.wa_phone_numbers;
  v_recipient text;
  v_taken_leads uuid[] := '{}';
  v_automatic uuid[];
begin
  if p_idempotency_key is null or length(p_idempotency_key) not between 1 and 200 then
    perform private.raise_error(400, 'invalid_value', '{"field": "idempotency_key"}',
      'Give each message its own key of 1 to 200 characters, and repeat it when you repeat the request.');
  end if;
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  -- A repeated request gets its first answer, even when the window or the connection has closed since.
  select known.* into outbox from public.outbox_messages as known
  where known.workspace_id = v_thread.workspace_id and known.idempotency_key = p_idempotency_key;
  is_new := false;
  if not found then
    -- A person who writes takes the lead. A receipt, which has no type, says nothing.
    if (select auth.uid()) is not null and p_payload ? 'type' then
      select takeover.p_lead_ids, takeover.p_outbox_ids into v_taken_leads, v_automatic
      from private.begin_takeover(p_thread_id) as takeover;
    end if;
    -- Messages of one thread are numbered in the order in which they become visible: a smaller number that came to
    -- light later could overtake a message that is already on its way.
    select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id for no key update;
    v_connection := public.resolve_connection_for_thread(p_thread_id);
    if p_needs_window and coalesce(v_thread.last_inbound_at, '-infinity') <= now() - interval '24 hours' then
      perform private.raise_error(409, 'window_closed',
        jsonb_build_object('thread_id', p_thread_id, 'last_inbound_at', v_thread.last_inbound_at,
          'templates', private.suggest_templates(v_connection)),
        'Send an approved template instead.');
    end if;
    v_recipient := private.whatsapp_recipient(v_thread.contact_id, v_connection);
    if v_recipient is null then
      perform private.raise_error(400, 'recipient_missing', jsonb_build_object('thread_id', p_thread_id),
        'Add a phone number to the contact.');
    end if;
    insert into public.outbox_messages
      (workspace_id, channel, connection_id, thread_id, recipient, payload, idempotency_key, created_by)
    values (v_thread.workspace_id, 'whatsapp', v_connection.id, p_thread_id, v_recipient, p_payload,
      p_idempotency_key, (select auth.uid()))
    on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing
    returning * into outbox;
    is_new := found;
    if not is_new then
      -- Someone else won the race for this key between the look-up and the insert.
      select known.* into outbox from public.outbox_messages as known
      where known.workspace_id = v_thread.workspace_id and known.idempotency_key = p_idempotency_key;
    elsif v_taken_leads <> '{}' then
      perform private.end_automation(v_taken_leads, v_automatic, 'A person wrote to them.', (select auth.uid()));
    end if;
  end if;
  if outbox.thread_id is distinct from p_thread_id or outbox.payload <> p_payload then
    perform private.raise_error(409, 'idempotency_conflict', jsonb_build_object('idempotency_key', p_idempotency_key),
      'Use a new key for a new message.');
  end if;
end $$;

ALTER FUNCTION private.queue_whatsapp(p_thread_id uuid, p_payload jsonb, p_idempotency_key text, p_needs_window boolean, OUT outbox public.outbox_messages, OUT is_new boolean) OWNER TO postgres;

--
-- Name: quiet_seconds(time without time zone, time without time zone, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.quiet_seconds(p_from time without time zone, p_until time without time zone, p_timezone text) RETURNS double precision
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select extract(epoch from
    (clock.local::date + p_until + case when clock.local::time >= p_until then interval '1 day' else '0' end)
      at time zone p_timezone - clock_timestamp())
  from (select clock_timestamp() at time zone p_timezone as local) as clock
  where case
    when p_from < p_until then clock.local::time >= p_from and clock.local::time < p_until
    else clock.local::time >= p_from or clock.local::time < p_until
  end
$$;

ALTER FUNCTION private.quiet_seconds(p_from time without time zone, p_until time without time zone, p_timezone text) OWNER TO postgres;

--
-- Name: quoting(uuid, uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.quoting(p_thread_id uuid, p_message_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_wa_message_id text;
begin
  if p_message_id is null then
    return '{}';
  end if;
  select message.wa_message_id into v_wa_message_id from public.wa_messages as message
  where message.id = p_message_id and message.thread_id = p_thread_id;
  if v_wa_message_id is null then
    perform private.raise_error(404, 'message_not_found', jsonb_build_object('message_id', p_message_id),
      'Answer a message of the same thread that has been received or sent.');
  end if;
  return jsonb_build_object('context', jsonb_build_object('message_id', v_wa_message_id));
end $$;

ALTER FUNCTION private.quoting(p_thread_id uuid, p_message_id uuid) OWNER TO postgres;

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
-- Name: record_lead_status(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.record_lead_status() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  insert into public.contact_events (workspace_id, contact_id, kind, actor_id, detail)
  values (new.workspace_id, new.id, 'lead_status_changed',
    (select profile.id from public.profiles as profile where profile.id = (select auth.uid())),
    jsonb_build_object('from', old.lead_status, 'to', new.lead_status));
  return null;
end $$;

ALTER FUNCTION private.record_lead_status() OWNER TO postgres;

--
-- Name: record_lead_transitions(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.record_lead_transitions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_nestloop TO 'off'
    SET enable_hashjoin TO 'on'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  with entry as materialized (
    select new_row.*, old_row.status as from_status,
      case
        when new_row.taken_by <> coalesce(old_row.taken_by, '00000000-0000-0000-0000-000000000000') then 'taken'
        when new_row.control = 'automation' and old_row.control = 'human' then 'released'
        when new_row.control = 'human' and old_row.control = 'automation' then
          case when new_row.replied_at is distinct from old_row.replied_at then 'replied' else 'left_to_people' end
        when new_row.status = old_row.status then 'assigned'
        when new_row.status = 'queued' then 'prepared'
        when new_row.status = 'contacted' then 'contacted'
        when old_row.status = 'queued' and new_row.status = 'pending' then 'put_back'
        else 'status_changed'
      end as action
    from new_rows as new_row join old_rows as old_row on old_row.id = new_row.id
    where (new_row.status, new_row.control, new_row.taken_by, new_row.user_id)
      is distinct from (old_row.status, old_row.control, old_row.taken_by, old_row.user_id)
  ), shown as (
    insert into public.contact_events (workspace_id, contact_id, kind, actor_id, detail)
    select entry.workspace_id, entry.contact_id, 'lead_' || entry.action,
      (select profile.id from public.profiles as profile where profile.id = (select auth.uid())),
      jsonb_strip_nulls(jsonb_build_object('lead_id', entry.id, 'taken_by', entry.taken_by, 'reason', entry.reason))
    from entry where entry.action in ('taken', 'released') and entry.contact_id is not null
  )
  insert into public.queue_ledger (workspace_id, lead_id, queue, queue_id, user_id, day, from_status, to_status, action,
    actor_id, reason)
  select entry.workspace_id, entry.id, 'leads', entry.id, counted.user_id,
    case when entry.action in ('taken', 'replied')
      then private.local_day(private.queue_timezone(entry.workspace_id, counted.user_id)) end,
    entry.from_status, entry.status, entry.action, (select auth.uid()), entry.reason
  from entry
  cross join lateral (
    select case entry.action when 'taken' then entry.taken_by else entry.user_id end as user_id) as counted;
  return null;
end $$;

ALTER FUNCTION private.record_lead_transitions() OWNER TO postgres;

--
-- Name: record_message_transitions(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.record_message_transitions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_nestloop TO 'off'
    SET enable_hashjoin TO 'on'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  if tg_op = 'INSERT' then
    insert into public.queue_ledger (workspace_id, lead_id, queue, queue_id, user_id, day, to_status, action, actor_id,
      reason)
    select new_row.workspace_id, new_row.lead_id, 'whatsapp_message_queue', new_row.id, new_row.user_id,
      new_row.queue_day, new_row.status, 'prepared', (select auth.uid()), new_row.reason
    from new_rows as new_row;
  else
    insert into public.queue_ledger (workspace_id, lead_id, queue, queue_id, user_id, day, from_status, to_status,
      action, actor_id, reason)
    select new_row.workspace_id, new_row.lead_id, 'whatsapp_message_queue', new_row.id, new_row.user_id,
      new_row.queue_day, old_row.status, new_row.status,
      case new_row.status when 'sending' then case old_row.status when 'queued' then 'started' else 'retried' end
        when 'queued' then 'put_back' else new_row.status end,
      (select auth.uid()), coalesce(new_row.last_error, new_row.reason)
    from new_rows as new_row join old_rows as old_row on old_row.id = new_row.id
    where new_row.status <> old_row.status;
  end if;
  return null;
end $$;

ALTER FUNCTION private.record_message_transitions() OWNER TO postgres;

--
-- Name: record_run_transitions(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.record_run_transitions() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_nestloop TO 'off'
    SET enable_hashjoin TO 'on'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  insert into public.queue_ledger (workspace_id, lead_id, queue, queue_id, user_id, from_status, to_status, action,
    actor_id, reason)
  select new_row.workspace_id, new_row.lead_id, 'lead_processing_queue', new_row.id, new_row.user_id, old_row.status,
    new_row.status, case new_row.status when 'queued' then 'prepared' else new_row.status end, (select auth.uid()),
    new_row.reason
  from new_rows as new_row join old_rows as old_row on old_row.id = new_row.id
  where new_row.status <> old_row.status;
  return null;
end $$;

ALTER FUNCTION private.record_run_transitions() OWNER TO postgres;

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
-- Name: refuse_amount(public.workspace_token_balance, bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.refuse_amount(p_account public.workspace_token_balance, p_amount bigint) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if p_account.balance - p_account.reserved < p_amount then
    perform private.raise_error(402, 'insufficient_tokens',
      jsonb_build_object('balance', p_account.balance, 'reserved', p_account.reserved, 'needed', p_amount),
      'Grant tokens first, or ask for fewer.');
  end if;
end $$;

ALTER FUNCTION private.refuse_amount(p_account public.workspace_token_balance, p_amount bigint) OWNER TO postgres;

--
-- Name: refuse_candidate(text, uuid, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.refuse_candidate(p_constraint text, p_workspace_id uuid, p_fields jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_field constant text := case p_constraint when 'tma_candidates_email_workspace_id_idx' then 'email' else 'phone' end;
begin
  if p_constraint = 'tma_candidates_status_tags_check' then
    perform private.raise_error(400, 'invalid_value', '{"field": "status_tags", "allowed": ["A", "B", "C"]}',
      'Rate with A, B or C.');
  end if;
  perform private.raise_error(409, 'candidate_exists',
    jsonb_build_object('field', v_field, 'candidate_id', (
      select candidate.id from public.tma_candidates as candidate
      where candidate.workspace_id = p_workspace_id
        and ((v_field = 'email' and lower(candidate.email) = p_fields ->> 'email')
          or (v_field = 'phone' and candidate.phone = p_fields ->> 'phone')))),
    'Use the candidate that the detail names.');
end $$;

ALTER FUNCTION private.refuse_candidate(p_constraint text, p_workspace_id uuid, p_fields jsonb) OWNER TO postgres;

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
-- Name: refuse_contact(text, uuid, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.refuse_contact(p_constraint text, p_workspace_id uuid, p_fields jsonb) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_field constant text := case p_constraint when 'contacts_email_workspace_id_idx' then 'email' else 'phone' end;
begin
  if p_constraint = 'contacts_workspace_id_assigned_to_fkey' then
    perform private.raise_error(400, 'invalid_value', '{"field": "assigned_to"}', 'Only a member can be in charge.');
  end if;
  perform private.raise_error(409, 'contact_exists',
    jsonb_build_object('field', v_field, 'contact_id', (
      select contact.id from public.contacts as contact
      where contact.workspace_id = p_workspace_id and contact.deleted_at is null
        and ((v_field = 'email' and lower(contact.email) = p_fields ->> 'email')
          or (v_field = 'phone' and contact.phone = p_fields ->> 'phone')))),
    'Use the contact that the detail names, or merge the two.');
end $$;

ALTER FUNCTION private.refuse_contact(p_constraint text, p_workspace_id uuid, p_fields jsonb) OWNER TO postgres;

--
-- Name: refuse_ledger_removal(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.refuse_ledger_removal() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  if exists (select from public.leads as lead where lead.id = old.lead_id) then
    perform private.raise_error(409, 'append_only', jsonb_build_object('table', tg_table_name),
      'Rows of this table are never changed or removed; add a correcting row instead.');
  end if;
  return old;
end $$;

ALTER FUNCTION private.refuse_ledger_removal() OWNER TO postgres;

--
-- Name: refuse_reference(text, bigint, bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.refuse_reference(p_reference text, p_amount bigint, p_first_amount bigint) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if p_amount <> p_first_amount then
    perform private.raise_error(409, 'reference_conflict',
      jsonb_build_object('reference', p_reference, 'amount', p_amount, 'first_amount', p_first_amount),
      'Use a new reference for something new; repeat one only with the same amount.');
  end if;
end $$;

ALTER FUNCTION private.refuse_reference(p_reference text, p_amount bigint, p_first_amount bigint) OWNER TO postgres;

--
-- Name: refuse_removal(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.refuse_removal() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  if exists (select 1 from public.workspaces as workspace where workspace.id = old.workspace_id) then
    perform private.raise_error(409, 'append_only', jsonb_build_object('table', tg_table_name),
      'Rows of this table are never changed or removed; add a correcting row instead.');
  end if;
  return old;
end $$;

ALTER FUNCTION private.refuse_removal() OWNER TO postgres;

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
  return public.ingest_whatsapp_events(coalesce(v_orphans, '[]'));
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
-- Name: require_chat_member(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.require_chat_member(p_chat_id uuid) RETURNS public.chat_members
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_member public.chat_members;
begin
  select member.* into v_member from public.chat_members as member
  where member.chat_id = p_chat_id and member.user_id = v_user_id;
  if not found then
    perform private.raise_error(404, 'chat_not_found', jsonb_build_object('chat_id', p_chat_id),
      'Check the id; only chats you are a member of can be named.');
  end if;
  return v_member;
end $$;

ALTER FUNCTION private.require_chat_member(p_chat_id uuid) OWNER TO postgres;

--
-- Name: require_chat_writer(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.require_chat_writer(p_chat_id uuid) RETURNS public.chat_members
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  perform private.require_role(v_member.workspace_id, array['owner', 'admin', 'member'], 'chat_not_found',
    jsonb_build_object('chat_id', p_chat_id));
  return v_member;
end $$;

ALTER FUNCTION private.require_chat_writer(p_chat_id uuid) OWNER TO postgres;

--
-- Name: require_message_parts(uuid, text, jsonb, uuid[], bigint); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.require_message_parts(p_chat_id uuid, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint) RETURNS void
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_unknown uuid[];
  v_latest bigint;
begin
  if coalesce(length(p_client_generated_id), 0) not between 1 and 100 then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'client_generated_id'),
      'Name each message by an id of your own of 1 to 100 characters; a uuid is fine.');
  end if;
  if p_attachments <> '[]' and (
    jsonb_typeof(p_attachments) <> 'array' or length(p_attachments::text) > 20000
    or jsonb_array_length(p_attachments) > 10
    or exists (
      select 1 from jsonb_array_elements(p_attachments) as attachment
      where (jsonb_typeof(attachment.value) = 'object' and jsonb_typeof(attachment.value -> 'ref') = 'string'
        and length(attachment.value ->> 'ref') between 1 and 2000) is not true)
  ) then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'attachments'),
      'Give up to 10 objects, each with a "ref" of 1 to 2000 characters, and 20,000 characters in all.');
  end if;
  if p_mentions <> '{}' then
    select array_agg(mention.user_id) into v_unknown from unnest(p_mentions) as mention (user_id)
    where not exists (
      select 1 from public.chat_members as member
      where member.chat_id = p_chat_id and member.user_id = mention.user_id);
    if v_unknown is not null or cardinality(p_mentions) > 50 then
      perform private.raise_error(400, 'reference_not_found',
        jsonb_build_object('field', 'mentions', 'ids', v_unknown), 'Mention at most 50 people, all in the chat.');
    end if;
  end if;
  if p_reply_to is not null then
    -- Numbers have no gaps and never go away, so this needs neither a look at the message nor a lock.
    select chat.last_seq into v_latest from public.chats as chat where chat.id = p_chat_id;
    if p_reply_to not between 1 and v_latest then
      perform private.raise_error(400, 'reference_not_found',
        jsonb_build_object('field', 'reply_to', 'latest_seq', v_latest),
        'Reply to a message by its number in this chat.');
    end if;
  end if;
end $$;

ALTER FUNCTION private.require_message_parts(p_chat_id uuid, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint) OWNER TO postgres;

--
-- Name: require_message_text(text, boolean); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.require_message_text(p_body text, p_has_attachments boolean) RETURNS void
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if not p_has_attachments and coalesce(p_body, '') !~ '\S' then
    perform private.raise_error(400, 'body_required', jsonb_build_object('field', 'body'),
      'Write something, or attach something.');
  elsif length(p_body) > 8000 then
    perform private.raise_error(400, 'body_too_long',
      jsonb_build_object('field', 'body', 'length', length(p_body), 'limit', 8000), 'Send it in several messages.');
  end if;
end $$;

ALTER FUNCTION private.require_message_text(p_body text, p_has_attachments boolean) OWNER TO postgres;

--
-- Name: require_operator(text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.require_operator(p_roles text[]) RETURNS void
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_role name := private.caller_role();
begin
  if v_role = 'service_role' then
    return;
  elsif v_role = 'authenticated' then
    perform private.require_user();
    if private.is_operator(p_roles) then
      return;
    end if;
  elsif pg_has_role(v_role, current_user, 'member') then  -- a definer function's user is the owner of the tables
    return;
  end if;
  perform private.raise_error(403, 'operator_required', jsonb_build_object('needs', p_roles),
    'Ask an operator of the platform; `qero ops owners add` makes one.');
end $$;

ALTER FUNCTION private.require_operator(p_roles text[]) OWNER TO postgres;

--
-- Name: user_queue_settings; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.user_queue_settings (
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    daily_capacity integer DEFAULT 50 NOT NULL,
    batch_size integer DEFAULT 100 NOT NULL,
    timezone text,
    sends_from time without time zone DEFAULT '09:00:00'::time without time zone NOT NULL,
    sends_until time without time zone DEFAULT '18:00:00'::time without time zone NOT NULL,
    paused boolean DEFAULT false NOT NULL,
    takes_unassigned boolean DEFAULT true NOT NULL,
    connection_id uuid,
    steps jsonb DEFAULT '[]'::jsonb NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT user_queue_settings_batch_size_check CHECK (((batch_size >= 1) AND (batch_size <= 1000))),
    CONSTRAINT user_queue_settings_daily_capacity_check CHECK (((daily_capacity >= 0) AND (daily_capacity <= 10000))),
    CONSTRAINT user_queue_settings_steps_check CHECK (((jsonb_typeof(steps) = 'array'::text) AND (jsonb_array_length(steps) <= 10))),
    CONSTRAINT user_queue_settings_timezone_check CHECK (((length(timezone) <= 100) AND private.is_timezone(timezone))),
    CONSTRAINT user_queue_settings_window_check CHECK ((sends_from < sends_until))
);

ALTER TABLE public.user_queue_settings OWNER TO postgres;

--
-- Name: require_queue(uuid, uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.require_queue(p_workspace_id uuid, p_user_id uuid) RETURNS public.user_queue_settings
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id constant uuid := coalesce(p_user_id, (select auth.uid()));
  v_settings public.user_queue_settings;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    case when v_user_id = (select auth.uid()) then array['owner', 'admin', 'member'] else array['owner', 'admin'] end,
    'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  if v_user_id is null then
    perform private.raise_error(400, 'invalid_value', '{"field": "user_id"}', 'Say whose queue it is.');
  end if;
  select settings.* into v_settings from public.user_queue_settings as settings
  where settings.workspace_id = p_workspace_id and settings.user_id = v_user_id;
  if not exists (
    select from public.workspace_memberships as membership
    where membership.workspace_id = p_workspace_id and membership.user_id = v_user_id and membership.role <> 'viewer'
  ) then
    perform private.raise_error(404, 'member_not_found', jsonb_build_object('user_id', v_user_id),
      'Only members who may write have a queue.');
  end if;
  if v_settings.user_id is null then
    insert into public.user_queue_settings (workspace_id, user_id) values (p_workspace_id, v_user_id)
    on conflict on constraint user_queue_settings_pkey do nothing;
    select settings.* into v_settings from public.user_queue_settings as settings
    where settings.workspace_id = p_workspace_id and settings.user_id = v_user_id;
  end if;
  return v_settings;
end $$;

ALTER FUNCTION private.require_queue(p_workspace_id uuid, p_user_id uuid) OWNER TO postgres;

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
  v_status text;
begin
  if private.is_service() then
    if p_workspace_id is null then
      perform private.raise_error(404, p_missing_code, p_detail, 'Check the id; it may belong to another workspace.');
    end if;
    return;
  end if;
  v_user_id := private.require_user();
  select membership.role, workspace.status into v_role, v_status
  from public.workspace_memberships as membership
  join public.workspaces as workspace on workspace.id = membership.workspace_id
  where membership.workspace_id = p_workspace_id and membership.user_id = v_user_id;
  if v_role is null then
    perform private.raise_error(404, p_missing_code, p_detail, 'Check the id; it may belong to another workspace.');
  elsif not v_role = any (p_roles) then
    perform private.raise_error(403, 'role_required', jsonb_build_object('role', v_role, 'needs', p_roles),
      'Ask an owner or admin of the workspace.');
  elsif v_status = 'suspended' and not 'viewer' = any (p_roles) then
    perform private.raise_error(409, 'workspace_suspended', jsonb_build_object('workspace_id', p_workspace_id),
      'Ask the operators of the platform; until they activate it again, everything can be read.');
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
declare
  v_user_id constant uuid := auth.uid();
begin
  if v_user_id is null then
    perform private.raise_error(401, 'not_authenticated', '{}', 'Send the access token of a signed-in user.');
  end if;
  return v_user_id;
end $$;

ALTER FUNCTION private.require_user() OWNER TO postgres;

--
-- Name: return_outbox(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.return_outbox(p_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_left_lines bigint[];
  v_left_heads bigint[];
begin
  with returned as (
    insert into private.outbox_ready (lane_id, rank, run_at, sequence, id, line_id, joins)
    select lane.lane_id, -outbox.priority, outbox.scheduled_at, outbox.sequence, outbox.id, outbox.line_id,
      outbox.line_id is not null and outbox.scheduled_at > clock_timestamp() + interval '1 hour'
    from public.outbox_messages as outbox
    join private.outbox_lanes as lane
      on lane.workspace_id = outbox.workspace_id and lane.channel = outbox.channel
        and lane.connection_id is not distinct from outbox.connection_id
    where outbox.id = any (p_ids) and outbox.status = 'queued'
    returning line_id, sequence, joins
  )
  select array_agg(returned.line_id), array_agg(returned.sequence) into v_left_lines, v_left_heads
  from returned where returned.joins;
  perform private.leave_outbox_lines(v_left_lines, v_left_heads, false)
  where v_left_lines is not null;
  perform private.cancel_ended_automation(p_ids);
end $$;

ALTER FUNCTION private.return_outbox(p_ids uuid[]) OWNER TO postgres;

--
-- Name: schedule_follow_up_pushes(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.schedule_follow_up_pushes(p_user_id uuid) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  insert into public.outbox_messages (workspace_id, channel, recipient, payload, idempotency_key, scheduled_at)
  select due.workspace_id, 'web_push', 'user:' || p_user_id,
    jsonb_build_object('kind', 'follow_up', 'user_id', p_user_id, 'at', private.time_cursor(due.follow_up_at)),
    'push:follow_up:' || p_user_id || ':' || private.time_cursor(due.follow_up_at), due.follow_up_at
  from (
    select settings.workspace_id, settings.follow_up_at from public.user_contact_settings as settings
    where settings.user_id = p_user_id and settings.follow_up_at > now()
    union
    select settings.workspace_id, settings.follow_up_at from public.user_tma_settings as settings
    where settings.user_id = p_user_id and settings.follow_up_at > now()
  ) as due
  order by due.follow_up_at
  on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing
$$;

ALTER FUNCTION private.schedule_follow_up_pushes(p_user_id uuid) OWNER TO postgres;

--
-- Name: search_patterns(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.search_patterns(p_search text) RETURNS text[]
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
declare
  v_search constant text := lower(btrim(p_search));
begin
  if v_search ~ '^[+0-9(][0-9 ()./-]*$' and v_search ~ '[0-9]' then
    return array['%' || ltrim(regexp_replace(v_search, '[^0-9]', '', 'g'), '0') || '%'];
  end if;
  return array(
    select '%' || replace(replace(replace(word.value, '\', '\\'), '%', '\%'), '_', '\_') || '%'
    from regexp_split_to_table(v_search, '\s+') as word (value) where word.value <> '');
end $_$;

ALTER FUNCTION private.search_patterns(p_search text) OWNER TO postgres;

--
-- Name: search_query(uuid, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.search_query(p_workspace_id uuid, p_text text) RETURNS tsquery
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_language text;
  v_query tsquery := websearch_to_tsquery('pg_catalog.simple', p_text);
begin
  for v_language in
    select distinct language.name from public.wa_phone_numbers as connection
    cross join lateral unnest(connection.search_languages) as language (name)
    where connection.workspace_id = p_workspace_id and language.name <> 'simple'
  loop
    v_query := v_query || websearch_to_tsquery(('pg_catalog.' || v_language)::regconfig, p_text);
  end loop;
  return v_query;
end $$;

ALTER FUNCTION private.search_query(p_workspace_id uuid, p_text text) OWNER TO postgres;

--
-- Name: search_vector(text, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.search_vector(p_language text, p_text text) RETURNS tsvector
    LANGUAGE plpgsql IMMUTABLE COST 1000 PARALLEL SAFE
    SET search_path TO ''
    AS $$
begin
  return to_tsvector(('pg_catalog.' || coalesce(p_language, 'simple'))::regconfig, left(p_text, 50000));
end $$;

ALTER FUNCTION private.search_vector(p_language text, p_text text) OWNER TO postgres;

--
-- Name: sendable_messages(public.user_queue_settings, uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.sendable_messages(p_settings public.user_queue_settings, p_ids uuid[]) RETURNS TABLE(id uuid, contact_id uuid, connection_id uuid, thread_id uuid, recipient text, body text, payload jsonb, problem text)
    LANGUAGE sql STABLE
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
  select message.id, contact.id, connection.id, thread.id, person.recipient, message.body,
    case when message.body is null then jsonb_build_object('type', 'template', 'template', message.template)
      else jsonb_build_object('type', 'text', 'text', jsonb_build_object('body', message.body)) end,
    case
      when lead.control <> 'automation' then 'not_automated'
      when contact.id is null or contact.deleted_at is not null then 'contact_missing'
      when contact.marketing_opted_out then 'opted_out'
      when person.recipient is null then 'recipient_missing'
      when message.body is not null and coalesce(thread.last_inbound_at, '-infinity') <= now() - interval '24 hours'
        then 'window_closed'
    end
  from public.whatsapp_message_queue as message
  join public.leads as lead on lead.id = message.lead_id
  left join public.contacts as contact
    on contact.workspace_id = lead.workspace_id and contact.id = lead.contact_id
  left join public.wa_phone_numbers as connection
    on connection.id = coalesce(p_settings.connection_id,
      (select latest.connection_id from public.wa_threads as latest
       join public.wa_phone_numbers as number on number.id = latest.connection_id
       where latest.workspace_id = lead.workspace_id and latest.contact_id = lead.contact_id
         and number.status = 'active' and number.deleted_at is null
       order by latest.last_message_at desc nulls last, latest.id limit 1),
      private.first_connection(p_settings.workspace_id))
  left join public.wa_threads as thread
    on thread.workspace_id = lead.workspace_id and thread.connection_id = connection.id
      and thread.contact_id = lead.contact_id
  cross join lateral (
    select coalesce(
      (select '+' || identity.value from public.contact_identities as identity
       where identity.workspace_id = lead.workspace_id and identity.contact_id = contact.id
         and identity.kind = 'wa_id' order by identity.created_at desc, identity.id limit 1),
      contact.phone,
      (select identity.value from public.contact_identities as identity
       where identity.workspace_id = lead.workspace_id and identity.contact_id = contact.id
         and identity.kind = 'bsuid' and identity.scope = connection.waba_id
       order by identity.created_at desc, identity.id limit 1)) as recipient
  ) as person
  where message.id = any (p_ids) and message.status = 'queued'
$$;

ALTER FUNCTION private.sendable_messages(p_settings public.user_queue_settings, p_ids uuid[]) OWNER TO postgres;

--
-- Name: sendable_template(uuid, uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.sendable_template(p_workspace_id uuid, p_template_id uuid) RETURNS public.wa_templates
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_template public.wa_templates;
begin
  select template.* into v_template from public.wa_templates as template
  where template.workspace_id = p_workspace_id and template.id = p_template_id;
  if not found then
    perform private.raise_error(404, 'template_not_found', jsonb_build_object('template_id', p_template_id),
      'Check the id, or sync the templates.');
  elsif v_template.status is distinct from 'APPROVED' or v_template.components is null then
    perform private.raise_error(409, 'template_not_approved',
      jsonb_build_object('template_id', p_template_id, 'status', v_template.status, 'reason', v_template.rejected_reason),
      'Send one that Meta has approved, or sync the templates if it has meanwhile.');
  end if;
  return v_template;
end $$;

ALTER FUNCTION private.sendable_template(p_workspace_id uuid, p_template_id uuid) OWNER TO postgres;

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
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  v_ids uuid[];
  v_failed uuid[];
  v_line_ids bigint[];
  v_sequences bigint[];
begin
  perform private.hold_back_outbox(p_ids, p_error_codes, p_error_texts) where true = any (p_failed);

  with settled as (
    update public.outbox_messages as outbox
    set status = case when proof.failed then 'failed' else 'sent' end,
      provider_message_id = coalesce(outbox.provider_message_id, proof.provider_message_id),
      error_code = case when proof.failed then coalesce(proof.error_code::text, outbox.error_code) end,
      error_text = case when proof.failed then coalesce(proof.error_text, outbox.error_text) end,
      settled_at = coalesce(outbox.settled_at, now())
    from (
      select distinct on (proof.id) proof.*
      from unnest(p_ids, p_provider_message_ids, p_failed, p_error_codes, p_error_texts)
        as proof (id, provider_message_id, failed, error_code, error_text)
      -- What was delivered didn't fail.
      order by proof.id, proof.failed
    ) as proof
    where outbox.id = proof.id
      and (outbox.status in ('unknown', 'queued', 'processing') or (outbox.status = 'sent' and proof.failed
        and outbox.provider_message_id is not distinct from proof.provider_message_id))
    returning outbox.id, outbox.status, outbox.line_id, outbox.sequence
  )
  select array_agg(settled.id), array_agg(settled.id) filter (where settled.status = 'failed'),
    array_agg(settled.line_id), array_agg(settled.sequence)
  into v_ids, v_failed, v_line_ids, v_sequences from settled;
  if v_ids is null then
    return;
  end if;
  delete from private.outbox_problems as problem where problem.id = any (v_ids);
  perform private.note_outbox_problems(v_failed) where v_failed is not null;
  perform private.withdraw_outbox(v_ids);
  perform private.leave_outbox_lines(v_line_ids, v_sequences, true);
end $$;

ALTER FUNCTION private.settle_outbox_from_statuses(p_ids uuid[], p_provider_message_ids text[], p_failed boolean[], p_error_codes integer[], p_error_texts text[]) OWNER TO postgres;

--
-- Name: show_sent_outbox(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.show_sent_outbox(p_ids uuid[]) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
  with sent as materialized (
    select outbox.id, outbox.connection_id, outbox.provider_message_id from public.outbox_messages as outbox
    where outbox.id = any (p_ids) and outbox.thread_id is not null
    order by outbox.id
  ), early as (
    delete from public.wa_message_statuses as status using sent
    where status.connection_id = sent.connection_id and status.wa_message_id = sent.provider_message_id
    returning sent.id as outbox_id, status.status, status.error_code, status.error_text, status.pricing
  ), furthest as (
    select early.outbox_id, (array_agg(early.status order by private.wa_status_rank(early.status) desc))[1] as status,
      max(early.error_code) as error_code,
      (array_agg(early.error_text order by early.error_code desc nulls last))[1] as error_text,
      (array_agg(early.pricing order by early.pricing desc nulls last))[1] as pricing
    from early group by early.outbox_id
  )
  update public.wa_messages as message
  set wa_message_id = coalesce(message.wa_message_id, sent.provider_message_id),
    pricing = greatest(message.pricing, furthest.pricing),
    status = case when private.wa_status_rank(coalesce(furthest.status, 'sent')) > message.status_rank
      then coalesce(furthest.status, 'sent') else message.status end,
    error_code = coalesce(furthest.error_code, message.error_code),
    error_text = coalesce(furthest.error_text, message.error_text)
  from sent left join furthest on furthest.outbox_id = sent.id
  where message.outbox_id = sent.id
$$;

ALTER FUNCTION private.show_sent_outbox(p_ids uuid[]) OWNER TO postgres;

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
    search_language text,
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
WITH (fillfactor='60');

ALTER TABLE public.wa_messages OWNER TO postgres;

--
-- Name: show_whatsapp_reply(public.outbox_messages, text, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.show_whatsapp_reply(p_outbox public.outbox_messages, p_type text, p_body text) RETURNS public.wa_messages
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_message public.wa_messages;
begin
  insert into public.wa_messages (workspace_id, connection_id, thread_id, direction, type, body, content, context, status,
    search_language, sent_by, outbox_id, occurred_at)
  select p_outbox.workspace_id, p_outbox.connection_id, p_outbox.thread_id, 'out', p_type, p_body, p_outbox.payload,
    -- As it stands with what comes in.
    case when p_outbox.payload ? 'context' then jsonb_build_object('id', p_outbox.payload #> '{context,message_id}') end,
    'pending', nullif(connection.search_languages[cardinality(connection.search_languages)], 'simple'),
    p_outbox.created_by, p_outbox.id, now()
  from public.wa_phone_numbers as connection where connection.id = p_outbox.connection_id
  returning * into v_message;
  update public.wa_threads as thread
  set last_message_at = greatest(thread.last_message_at, v_message.occurred_at),
    last_message_body = left(p_body, 200), unread_count = 0, waiting_since = null,
    answered_at = greatest(thread.answered_at, thread.last_inbound_at),
    first_response_seconds = coalesce(thread.first_response_seconds,
      extract(epoch from now() - thread.waiting_since)::integer)
  where thread.id = p_outbox.thread_id;
  return v_message;
end $$;

ALTER FUNCTION private.show_whatsapp_reply(p_outbox public.outbox_messages, p_type text, p_body text) OWNER TO postgres;

--
-- Name: shrink_outbox_lease(bigint, uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.shrink_outbox_lease(p_token bigint, p_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
declare
  v_left uuid[];
begin
  select array_agg(held.id) into v_left
  from (
    select held.id from private.outbox_leases as lease cross join unnest(lease.ids) as held (id)
    where lease.token = p_token
    except select settled.id from unnest(p_ids) as settled (id)
  ) as held;
  if v_left is null then
    delete from private.outbox_leases as lease where lease.token = p_token;
  else
    update private.outbox_leases as lease set ids = v_left
    where lease.token = p_token and cardinality(lease.ids) > cardinality(v_left);
  end if;
end $$;

ALTER FUNCTION private.shrink_outbox_lease(p_token bigint, p_ids uuid[]) OWNER TO postgres;

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
-- Name: spend_token_grants(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.spend_token_grants(p_workspace_id uuid) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  with account as (
    select known.granted from public.workspace_token_balance as known where known.workspace_id = p_workspace_id
  ), open as (
    select token_grant.id, token_grant.remaining,
      sum(token_grant.remaining) over () - (select account.granted from account) as excess,
      sum(token_grant.remaining) over (
        order by coalesce(token_grant.expires_at <= now(), false) desc, token_grant.priority, token_grant.expires_at,
          token_grant.created_at, token_grant.id) - token_grant.remaining as before
    from public.workspace_token_grants as token_grant
    where token_grant.workspace_id = p_workspace_id and token_grant.status = 'open'
  )
  update public.workspace_token_grants as token_grant
  set remaining = open.remaining - least(open.remaining, open.excess - open.before),
    status = case when open.remaining <= open.excess - open.before then 'used' else 'open' end
  from open where open.id = token_grant.id and open.excess > open.before;
  update public.workspace_token_balance as account set has_grants = false
  where account.workspace_id = p_workspace_id and account.granted = 0 and not exists (
    select 1 from public.workspace_token_grants as token_grant
    where token_grant.workspace_id = p_workspace_id and token_grant.status in ('open', 'scheduled'));
end $$;

ALTER FUNCTION private.spend_token_grants(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: stop_threads(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.stop_threads(p_thread_ids uuid[]) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  update public.wa_threads as thread
  set automation_stopped_at = greatest(thread.automation_stopped_at, clock_timestamp()), updated_at = now()
  from (
    select found.id from public.wa_threads as found where found.id = any (p_thread_ids)
    order by found.id for no key update
  ) as locked
  where thread.id = locked.id;
end $$;

ALTER FUNCTION private.stop_threads(p_thread_ids uuid[]) OWNER TO postgres;

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
  v_first_inbound_at timestamptz[];
  v_inbound_at timestamptz[];
  v_answered_at timestamptz[];
  v_replied_at timestamptz[];
  v_unread_counts integer[];
begin
  with stored as (
    insert into public.wa_messages (workspace_id, connection_id, thread_id, direction, wa_message_id, type, body,
      content, context, is_placeholder, search_language, status, source, sender_contact_id, occurred_at)
    select item.workspace_id, item.connection_id, item.thread_id, item.direction, item.wa_message_id, item.type,
      item.body, coalesce(item.content, '{}'::jsonb), item.context, item.is_placeholder,
      (select nullif(connection.search_languages[cardinality(connection.search_languages)], 'simple')
       from public.wa_phone_numbers as connection where connection.id = item.connection_id), item.status,
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
      min(stored.occurred_at) filter (where stored.direction = 'in' and stored.source = 'live') as first_inbound_at,
      max(stored.occurred_at) filter (where stored.direction = 'in' and stored.source = 'live') as inbound_at,
      max(stored.occurred_at) filter (where stored.direction = 'out' and stored.source = 'phone') as answered_at,
      max(stored.occurred_at) filter (where stored.source <> 'history') as replied_at,
      count(*) filter (where stored.direction = 'in' and stored.source = 'live') as unread_count,
      left((array_agg(stored.body order by stored.occurred_at desc, stored.sequence desc))[1], 200) as body
    from stored group by stored.thread_id
  )
  select sum(latest.message_count), array_agg(latest.thread_id), array_agg(latest.occurred_at), array_agg(latest.body),
    array_agg(latest.first_inbound_at), array_agg(latest.inbound_at), array_agg(latest.answered_at),
    array_agg(latest.replied_at), array_agg(latest.unread_count::integer)
  into v_stored, v_thread_ids, v_latest_at, v_bodies, v_first_inbound_at, v_inbound_at, v_answered_at, v_replied_at,
    v_unread_counts
  from latest;
  perform private.move_whatsapp_threads(
    v_thread_ids, v_latest_at, v_bodies, v_first_inbound_at, v_inbound_at, v_answered_at, v_replied_at,
    v_unread_counts);

  if coalesce(v_stored, 0) < (
    select count(*) from unnest(p_items) as item
    where item.kind in ('message', 'echo', 'history', 'call') and item.thread_id is not null
  ) then
    perform private.complete_whatsapp_messages(p_items);
  end if;
end $$;

ALTER FUNCTION private.store_whatsapp_messages(p_items private.whatsapp_item[]) OWNER TO postgres;

--
-- Name: stray_key(jsonb, text[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.stray_key(p_value jsonb, p_allowed text[]) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
begin
  if jsonb_typeof(p_value) is distinct from 'object' then
    return '';
  end if;
  return (select min(given.key) from jsonb_object_keys(p_value) as given (key) where given.key <> all (p_allowed));
end $$;

ALTER FUNCTION private.stray_key(p_value jsonb, p_allowed text[]) OWNER TO postgres;

--
-- Name: suggest_templates(public.wa_phone_numbers); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.suggest_templates(p_connection public.wa_phone_numbers) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(jsonb_agg(jsonb_build_object('id', known.id, 'name', known.name, 'language', known.language)), '[]')
  from (
    select template.id, template.name, template.language from public.wa_templates as template
    where template.workspace_id = (p_connection).workspace_id and template.waba_id = (p_connection).waba_id
      and template.status = 'APPROVED'
    order by template.name, template.language
    limit 5
  ) as known
$$;

ALTER FUNCTION private.suggest_templates(p_connection public.wa_phone_numbers) OWNER TO postgres;

--
-- Name: tell_chat(uuid, text, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.tell_chat(p_chat_id uuid, p_event text, p_payload jsonb) RETURNS void
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  select realtime.send(p_payload, p_event, 'chat:' || p_chat_id, true)
$$;

ALTER FUNCTION private.tell_chat(p_chat_id uuid, p_event text, p_payload jsonb) OWNER TO postgres;

--
-- Name: template_components(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.template_components(p_components jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select case jsonb_typeof(p_components)
    when 'array' then p_components
    when 'object' then (
      select coalesce(jsonb_agg(part.component order by part.place), '[]')
      from (values
        (1, case when p_components ? 'message_template_title' then jsonb_build_object('type', 'HEADER', 'format', 'TEXT',
          'text', p_components -> 'message_template_title') end),
        (2, jsonb_build_object('type', 'BODY', 'text', coalesce(p_components ->> 'message_template_element', ''))),
        (3, case when p_components ? 'message_template_footer' then jsonb_build_object('type', 'FOOTER',
          'text', p_components -> 'message_template_footer') end),
        (4, case when jsonb_typeof(p_components -> 'message_template_buttons') = 'array' then jsonb_build_object(
          'type', 'BUTTONS', 'buttons', (
            select jsonb_agg(jsonb_build_object('type', button.value -> 'message_template_button_type',
              'text', button.value -> 'message_template_button_text', 'url', button.value -> 'message_template_button_url'))
            from jsonb_array_elements(p_components -> 'message_template_buttons') as button)) end)
      ) as part (place, component)
      where part.component is not null)
    else '[]'
  end
$$;

ALTER FUNCTION private.template_components(p_components jsonb) OWNER TO postgres;

--
-- Name: template_parts(jsonb, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.template_parts(p_wanted jsonb, p_variables jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $_$
  with component as (
    select 1 as place, jsonb_build_object('type', 'header', 'parameters', jsonb_build_array(jsonb_build_object(
      'type', p_wanted ->> 'header', p_wanted ->> 'header', p_variables -> 'header'))) as value
    where jsonb_typeof(p_wanted -> 'header') = 'string'
    union all
    select 2, jsonb_build_object('type', part.name, 'parameters', (
      select jsonb_agg(jsonb_build_object('type', 'text', 'text',
          private.template_value(p_variables -> part.name, place.value))
        || case when place.value ~ '^[0-9]+$' then '{}'::jsonb
          else jsonb_build_object('parameter_name', place.value) end order by place.ordinality)
      from jsonb_array_elements_text(p_wanted -> part.name) with ordinality as place))
    from (values ('header'), ('body')) as part (name)
    where jsonb_typeof(p_wanted -> part.name) = 'array'
    union all
    select 3, jsonb_build_object('type', 'button', 'sub_type', button.value, 'index', button.key,
      'parameters', jsonb_build_array(case button.value
        when 'copy_code' then jsonb_build_object('type', 'coupon_code', 'coupon_code', p_variables -> 'buttons' -> button.key)
        else jsonb_build_object('type', 'text', 'text', p_variables -> 'buttons' -> button.key) end))
    from jsonb_each_text(coalesce(p_wanted -> 'buttons', '{}')) as button
    union all
    select 4, jsonb_build_object('type', 'carousel', 'cards', (
      select jsonb_agg(jsonb_build_object('card_index', card.ordinality - 1, 'components', coalesce(
        private.template_parts(card.value, p_variables -> 'carousel' -> (card.ordinality - 1)::integer), '[]'))
        order by card.ordinality)
      from jsonb_array_elements(p_wanted -> 'carousel') with ordinality as card))
    where p_wanted ? 'carousel'
  )
  select jsonb_agg(component.value order by component.place, component.value ->> 'type' desc, component.value ->> 'index')
  from component
$_$;

ALTER FUNCTION private.template_parts(p_wanted jsonb, p_variables jsonb) OWNER TO postgres;

--
-- Name: template_payload(public.wa_templates, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.template_payload(p_template public.wa_templates, p_variables jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select jsonb_build_object('type', 'template', 'template', jsonb_strip_nulls(jsonb_build_object(
    'name', p_template.name, 'language', jsonb_build_object('code', p_template.language),
    'components', private.template_parts(private.template_variables(p_template.components), p_variables))))
$$;

ALTER FUNCTION private.template_payload(p_template public.wa_templates, p_variables jsonb) OWNER TO postgres;

--
-- Name: template_places(text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.template_places(p_text text) RETURNS text[]
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select coalesce(array_agg(place.name order by place.first), '{}')
  from (
    select found.name[1] as name, min(found.place) as first
    from regexp_matches(p_text, '\{\{\s*(\w+)\s*\}\}', 'g') with ordinality as found (name, place)
    group by found.name[1]
  ) as place
$$;

ALTER FUNCTION private.template_places(p_text text) OWNER TO postgres;

--
-- Name: template_problems(jsonb, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.template_problems(p_wanted jsonb, p_variables jsonb) RETURNS SETOF text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
begin
  if jsonb_typeof(p_variables) is distinct from 'object' then
    return query select 'values are missing';
    return;
  end if;
  return query
  select problem.text
  from (
    -- Parts that aren't there, or of another shape.
    select given.key || ' isn''t part of it' as text from jsonb_each(p_variables) as given where not p_wanted ? given.key
    union all
    select part.name || ' is missing' from jsonb_object_keys(p_wanted) as part (name) where not p_variables ? part.name
    union all
    select 'header needs the id of an uploaded ' || (p_wanted ->> 'header') || ' or a link to one'
    where jsonb_typeof(p_wanted -> 'header') = 'string' and p_variables ? 'header' and not coalesce(
      (p_variables -> 'header' ? 'id') <> (p_variables -> 'header' ? 'link'), false)
    union all
    -- Values: none may be missing, and Meta takes no line breaks.
    select part.name || ' ' || place.name || ' is missing, or holds a line break, a tab or five spaces'
    from (values ('header'), ('body')) as part (name)
    cross join lateral jsonb_array_elements_text(
      case jsonb_typeof(p_wanted -> part.name) when 'array' then p_wanted -> part.name else '[]' end) as place (name)
    where p_variables ? part.name
      and not coalesce(private.template_value(p_variables -> part.name, place.name) !~ '[\n\r\t]|     |^$', false)
    union all
    select part.name || ' has more values than places' from (values ('header'), ('body')) as part (name)
    where jsonb_typeof(p_wanted -> part.name) = 'array' and p_variables ? part.name
      and case jsonb_typeof(p_variables -> part.name)
        when 'array' then jsonb_array_length(p_variables -> part.name)
        when 'object' then (select count(*) from jsonb_object_keys(p_variables -> part.name))
      end > jsonb_array_length(p_wanted -> part.name)
    union all
    select 'buttons ' || button.name || ' is missing'
    from jsonb_object_keys(coalesce(p_wanted -> 'buttons', '{}')) as button (name)
    where p_variables ? 'buttons' and coalesce(p_variables -> 'buttons' ->> button.name, '') = ''
    union all
    select 'carousel ' || card.ordinality || ': ' || inside.text
    from jsonb_array_elements(p_wanted -> 'carousel') with ordinality as card
    cross join lateral private.template_problems(
      card.value, p_variables -> 'carousel' -> (card.ordinality - 1)::integer) as inside (text)
    where p_variables ? 'carousel'
    union all
    select 'carousel has more values than cards'
    where p_wanted ? 'carousel' and jsonb_path_exists(p_variables, '$.carousel[$cards]',
      jsonb_build_object('cards', jsonb_array_length(p_wanted -> 'carousel')))
  ) as problem;
end $_$;

ALTER FUNCTION private.template_problems(p_wanted jsonb, p_variables jsonb) OWNER TO postgres;

--
-- Name: template_recipients(uuid, public.wa_templates, jsonb, uuid, jsonb, integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.template_recipients(p_workspace_id uuid, p_template public.wa_templates, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) RETURNS TABLE(thread_id uuid, connection_id uuid, contact_name text, recipient text, variables jsonb, reason text)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
#variable_conflict use_column
declare
  v_page constant text := ' order by thread.last_message_hour desc, thread.last_message_at desc, thread.id desc limit '
    || p_limit;
begin
  return query execute 'select found.id, found.connection_id, found.name, found.recipient, found.variables, case
      when found.contact_id is null then ''group''
      when found.waba_id is distinct from ($2).waba_id then ''other_account''
      when found.connection_status is null then ''connection_not_found''
      when found.connection_status <> ''active'' then ''connection_inactive''
      when ($2).category = ''MARKETING'' and found.marketing_opted_out then ''opted_out''
      when found.recipient is null then ''recipient_missing''
      when found.variables is null then ''variable_missing''
    end
    from (
      select thread.id, thread.connection_id, thread.contact_id, contact.name, contact.marketing_opted_out,
        connection.waba_id, case when connection.deleted_at is null then connection.status end as connection_status,
        private.whatsapp_recipient(thread.contact_id, connection) as recipient,
        private.filled_variables($1, contact) as variables
      from (select thread.* from (' || private.threads_found('thread.*', p_workspace_id, p_filter, p_view_id, v_page)
        || ') as thread' || v_page || ') as thread
      join public.wa_phone_numbers as connection on connection.id = thread.connection_id
      left join public.contacts as contact on contact.id = thread.contact_id
    ) as found'
    using p_variables, p_template;
end $_$;

ALTER FUNCTION private.template_recipients(p_workspace_id uuid, p_template public.wa_templates, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) OWNER TO postgres;

--
-- Name: template_text(public.wa_templates, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.template_text(p_template public.wa_templates, p_variables jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $$
declare
  v_text text := (
    select component.value ->> 'text'
    from jsonb_array_elements(private.template_components(p_template.components)) as component
    where component.value ->> 'type' = 'BODY' limit 1);
  v_place text;
begin
  foreach v_place in array private.template_places(v_text) loop
    v_text := regexp_replace(v_text, '\{\{\s*' || v_place || '\s*\}\}',
      replace(private.template_value(p_variables -> 'body', v_place), '\', '\\'), 'g');
  end loop;
  return v_text;
end $$;

ALTER FUNCTION private.template_text(p_template public.wa_templates, p_variables jsonb) OWNER TO postgres;

--
-- Name: template_value(jsonb, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.template_value(p_given jsonb, p_place text) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $_$
  select case
    when jsonb_typeof(p_given) = 'object' then p_given ->> p_place
    when jsonb_typeof(p_given) = 'array' and p_place ~ '^[1-9][0-9]?$' then p_given ->> (p_place::integer - 1)
  end
$_$;

ALTER FUNCTION private.template_value(p_given jsonb, p_place text) OWNER TO postgres;

--
-- Name: template_variables(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.template_variables(p_components jsonb) RETURNS jsonb
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select coalesce(jsonb_object_agg(lower(part.kind), part.places), '{}')
  from (
    select component.value ->> 'type' as kind, case
        when component.value ->> 'type' = 'HEADER' and component.value ->> 'format' <> 'TEXT'
          then to_jsonb(lower(component.value ->> 'format'))
        when component.value ->> 'type' = 'BUTTONS' then (
          select jsonb_object_agg(button.ordinality - 1, case when button.value ->> 'type' = 'COPY_CODE'
            then 'copy_code' else 'url' end)
          from jsonb_array_elements(component.value -> 'buttons') with ordinality as button
          where button.value ->> 'type' in ('COPY_CODE', 'OTP')
            or (button.value ->> 'type' = 'URL' and button.value ->> 'url' like '%{{%'))
        when component.value ->> 'type' = 'CAROUSEL' then (
          select jsonb_agg(private.template_variables(card.value -> 'components') order by card.ordinality)
          from jsonb_array_elements(component.value -> 'cards') with ordinality as card)
        else nullif(to_jsonb(private.template_places(component.value ->> 'text')), '[]')
      end as places
    from jsonb_array_elements(private.template_components(p_components)) as component
    where component.value ->> 'type' in ('HEADER', 'BODY', 'BUTTONS', 'CAROUSEL')
  ) as part
  where part.places is not null
$$;

ALTER FUNCTION private.template_variables(p_components jsonb) OWNER TO postgres;

--
-- Name: thread_alternatives(uuid, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.thread_alternatives(p_workspace_id uuid, p_filter jsonb) RETURNS text[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_user_id constant text := quote_nullable((select auth.uid())) || '::uuid';
  v_unread text[] := array[''];
  v_pattern text;
  v_contact text := '';
begin
  if p_filter ? 'unread' then
    v_unread[1] := ' and thread.has_unread and not exists (
        select from public.wa_thread_reads as mine
        where mine.thread_id = thread.id and mine.connection_id = thread.connection_id
          and mine.workspace_id = thread.workspace_id and mine.user_id = ' || v_user_id || '
          and mine.read_count >= thread.inbound_count)';
    if exists (
      select from public.wa_thread_reads as mine
      where mine.is_marked_unread and mine.workspace_id = p_workspace_id and mine.user_id = (select auth.uid()))
    then
      v_unread[2] := ' and thread.id in (select mine.thread_id from public.wa_thread_reads as mine where mine.is_marked_unread
        and mine.workspace_id = ' || quote_literal(p_workspace_id) || '::uuid and mine.user_id = ' || v_user_id || ')';
    end if;
  end if;
  if not p_filter ? 'q' then
    return v_unread;
  end if;
  foreach v_pattern in array private.search_patterns(p_filter ->> 'q') loop
    v_contact := v_contact || ' and person.search_text like ' || quote_literal(v_pattern);
  end loop;
  return array(select unread.condition || found.condition from unnest(v_unread) as unread (condition), unnest(array[
    ' and thread.id in (select message.thread_id from public.wa_messages as message where message.workspace_id = '
      || quote_literal(p_workspace_id) || '::uuid and message.body is not null'
      || ' and private.search_vector(message.search_language, message.body) @@ '
      || quote_literal(private.search_query(p_workspace_id, p_filter ->> 'q')::text) || '::tsquery)',
    ' and thread.contact_id in (select person.id from public.contacts as person where person.workspace_id = '
      || quote_literal(p_workspace_id) || '::uuid and person.deleted_at is null' || v_contact || ')'
  ]) as found (condition));
end $$;

ALTER FUNCTION private.thread_alternatives(p_workspace_id uuid, p_filter jsonb) OWNER TO postgres;

--
-- Name: thread_chat(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.thread_chat(p_thread_id uuid) RETURNS public.chats
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_thread public.wa_threads;
  v_chat public.chats;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_thread.workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  insert into public.chats as chat (workspace_id, kind, title, created_by, thread_id, connection_id)
  select v_thread.workspace_id, 'channel',
    left(coalesce(nullif(btrim(contact.name), ''), contact.phone, 'Notes'), 200), v_user_id, v_thread.id,
    v_thread.connection_id
  from (values (1)) as one left join public.contacts as contact on contact.id = v_thread.contact_id
  where not exists (select from public.chats as known where known.thread_id = p_thread_id)
  on conflict (thread_id, connection_id, workspace_id) where thread_id is not null do nothing;
  select chat.* into v_chat from public.chats as chat where chat.thread_id = p_thread_id;
  perform private.add_to_chat(v_chat, array[v_user_id], 'member');
  return v_chat;
end $$;

ALTER FUNCTION private.thread_chat(p_thread_id uuid) OWNER TO postgres;

--
-- Name: thread_conditions(uuid, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.thread_conditions(p_workspace_id uuid, p_filter jsonb) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
  v_user_id constant text := quote_nullable((select auth.uid())) || '::uuid';
  v_conditions text := 'thread.workspace_id = ' || quote_literal(p_workspace_id) || '::uuid';
  v_wrong text;
  v_settings public.inbox_settings;
begin
  if p_filter = '{}' then
    return v_conditions;
  end if;
  v_wrong := private.wrong_view_filter(
    p_filter - '{connection_id, contact_id, priority, unread, waiting, breached}'::text[]);
  if v_wrong is null and p_filter ?| '{connection_id, contact_id, priority, unread, waiting, breached}' then
    select min(filter.key) into v_wrong from jsonb_each(p_filter) as filter
    where case
      when filter.key in ('connection_id', 'contact_id')
        then not coalesce(pg_input_is_valid(filter.value #>> '{}', 'uuid'), false)
      when filter.key = 'priority' then not filter.value <@ '["low", "normal", "high", "urgent"]'
      when filter.key in ('unread', 'waiting', 'breached') then filter.value <> 'true'
    end;
  end if;
  if v_wrong in ('filters', 'status', 'assignee', 'tag', 'q', 'connection_id', 'contact_id', 'priority', 'unread',
    'waiting', 'breached')
  then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', v_wrong),
      'A status is open, pending, snoozed or closed; an assignee me, unassigned or an id; tag and q are text.');
  elsif v_wrong is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_wrong, 100), 'allowed', array['status', 'assignee', 'tag', 'q',
        'connection_id', 'contact_id', 'priority', 'unread', 'waiting', 'breached']),
      'Use the filters that are allowed.');
  end if;

  if jsonb_typeof(p_filter -> 'status') = 'string' then
    v_conditions := v_conditions || ' and thread.status = ' || quote_literal(p_filter ->> 'status');
  elsif p_filter ? 'status' then
    v_conditions := v_conditions || ' and thread.status = any ('
      || quote_literal(array(select jsonb_array_elements_text(p_filter -> 'status'))::text) || ')';
  end if;
  if p_filter ? 'assignee' then
    v_conditions := v_conditions || case p_filter ->> 'assignee'
      when 'unassigned' then ' and thread.assignee_id is null'
      when 'me' then ' and thread.assignee_id = ' || v_user_id
      else ' and thread.assignee_id = ' || quote_literal(p_filter ->> 'assignee') || '::uuid'
    end;
  end if;
  if p_filter ? 'tag' then
    v_conditions := v_conditions || $q$ and thread.tags <> '{}' and thread.tags @> $q$ || quote_literal(
      case jsonb_typeof(p_filter -> 'tag')
        when 'array' then array(select jsonb_array_elements_text(p_filter -> 'tag'))
        else array[p_filter ->> 'tag']
      end::text);
  end if;
  if p_filter ? 'connection_id' then
    v_conditions := v_conditions || ' and thread.connection_id = ' || quote_literal(p_filter ->> 'connection_id');
  end if;
  if p_filter ? 'contact_id' then
    v_conditions := v_conditions || ' and thread.contact_id = ' || quote_literal(p_filter ->> 'contact_id');
  end if;
  if p_filter ? 'priority' then
    v_conditions := v_conditions || ' and thread.priority = any (' || quote_literal(case
      jsonb_typeof(p_filter -> 'priority')
        when 'array' then array(select jsonb_array_elements_text(p_filter -> 'priority'))
        else array[p_filter ->> 'priority']
      end::text) || ')';
  end if;
  if p_filter ? 'waiting' then
    v_conditions := v_conditions || ' and thread.waiting_since is not null';
  end if;
  if p_filter ? 'breached' then
    select settings.* into v_settings from public.inbox_settings as settings
    where settings.workspace_id = p_workspace_id;
    -- Late is who has waited since before a moment that is the same for all. Without a target nothing is late.
    v_conditions := v_conditions || ' and thread.waiting_since < case when thread.first_response_seconds is null then '
      || quote_nullable(private.late_before(v_settings, true)) || '::timestamptz else '
      || quote_nullable(private.late_before(v_settings, false)) || '::timestamptz end';
  end if;
  return v_conditions;
end $_$;

ALTER FUNCTION private.thread_conditions(p_workspace_id uuid, p_filter jsonb) OWNER TO postgres;

--
-- Name: threads_found(text, uuid, jsonb, uuid, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.threads_found(p_columns text, p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_page text) RETURNS text
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_filters jsonb[] := array[coalesce(p_filter, '{}')];
  v_filter jsonb;
  v_conditions text := '';
  v_alternatives text[] := array[''];
begin
  if p_view_id is not null then
    v_filters := v_filters || private.view_filter(p_workspace_id, p_view_id);
  end if;
  foreach v_filter in array v_filters loop
    v_conditions := v_conditions || case v_conditions when '' then '' else ' and ' end
      || private.thread_conditions(p_workspace_id, v_filter);
    v_alternatives := array(
      select one.condition || other.condition
      from unnest(v_alternatives) as one (condition),
        unnest(private.thread_alternatives(p_workspace_id, v_filter)) as other (condition));
  end loop;
  return (
    select string_agg('(select ' || p_columns || ' from public.wa_threads as thread where ' || v_conditions
      || alternative.condition || p_page || ')', ' union ')
    from unnest(v_alternatives) as alternative (condition));
end $$;

ALTER FUNCTION private.threads_found(p_columns text, p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_page text) OWNER TO postgres;

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
    priority text DEFAULT 'normal'::text NOT NULL,
    snoozed_until timestamp with time zone,
    last_inbound_at timestamp with time zone,
    last_message_at timestamp with time zone,
    last_message_hour timestamp with time zone GENERATED ALWAYS AS (date_bin('01:00:00'::interval, last_message_at, '2000-01-01 00:00:00+00'::timestamp with time zone)) STORED,
    last_message_body text,
    unread_count integer DEFAULT 0 NOT NULL,
    has_unread boolean GENERATED ALWAYS AS ((unread_count > 0)) STORED,
    inbound_count bigint DEFAULT 0 NOT NULL,
    waiting_since timestamp with time zone,
    answered_at timestamp with time zone,
    first_waiting_since timestamp with time zone,
    first_response_seconds integer,
    automation_stopped_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_threads_counterpart_check CHECK ((num_nonnulls(contact_id, group_id) = 1)),
    CONSTRAINT wa_threads_priority_check CHECK ((priority = ANY (ARRAY['low'::text, 'normal'::text, 'high'::text, 'urgent'::text]))),
    CONSTRAINT wa_threads_status_check CHECK ((status = ANY (ARRAY['open'::text, 'pending'::text, 'snoozed'::text, 'closed'::text]))),
    CONSTRAINT wa_threads_unread_count_check CHECK ((unread_count >= 0))
)
WITH (fillfactor='70');

ALTER TABLE public.wa_threads OWNER TO postgres;

--
-- Name: threads_shown(public.wa_threads[], text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.threads_shown(p_threads public.wa_threads[], p_sort text) RETURNS SETOF private.inbox_thread
    LANGUAGE plpgsql STABLE ROWS 50
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
begin
  return query
  select thread.id, thread.workspace_id, thread.connection_id, thread.contact_id, thread.group_id, contact.name,
    contact.phone, thread.status, thread.assignee_id, thread.tags, thread.priority, thread.snoozed_until,
    thread.last_inbound_at, thread.last_message_at, thread.last_message_body, thread.unread_count,
    coalesce(mine.unread_count, 0), thread.waiting_since,
    -- For most a sum; asked of a function only where it is more.
    case when settings.business_hours is null
      then thread.waiting_since + make_interval(secs => case when thread.first_response_seconds is null
        then settings.first_response_target_seconds else settings.next_response_target_seconds end)
      else private.business_moment(thread.waiting_since, case when thread.first_response_seconds is null
        then settings.first_response_target_seconds else settings.next_response_target_seconds end,
        settings.business_hours, settings.timezone) end,
    thread.first_response_seconds, thread.created_at,
    thread.id || ':' || case p_sort
      when 'first_response_seconds' then thread.first_response_seconds
      else (extract(epoch from
        case p_sort when 'waiting_since' then thread.waiting_since else thread.last_message_at end) * 1000000)::bigint
    end
  from unnest(p_threads) with ordinality as thread
  left join public.contacts as contact on contact.id = thread.contact_id
  left join public.inbox_settings as settings on settings.workspace_id = thread.workspace_id
  left join private.thread_unread as mine on mine.thread_id = thread.id and mine.user_id = (select auth.uid())
  order by thread.ordinality;
end $$;

ALTER FUNCTION private.threads_shown(p_threads public.wa_threads[], p_sort text) OWNER TO postgres;

--
-- Name: time_cursor(timestamp with time zone); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.time_cursor(p_at timestamp with time zone) RETURNS text
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    SET search_path TO ''
    AS $$
  select ((extract(epoch from p_at) * 1000000)::bigint)::text
$$;

ALTER FUNCTION private.time_cursor(p_at timestamp with time zone) OWNER TO postgres;

--
-- Name: view_filter(uuid, uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.view_filter(p_workspace_id uuid, p_view_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_filter jsonb;
begin
  select view.filters into v_filter from public.wa_saved_views as view
  where view.id = p_view_id and view.workspace_id = p_workspace_id
    and (view.user_id = (select auth.uid()) or view.is_shared);
  if not found then
    perform private.raise_error(404, 'view_not_found', jsonb_build_object('view_id', p_view_id),
      'Check the id; a view is its user''s own unless it is shared.');
  end if;
  return v_filter;
end $$;

ALTER FUNCTION private.view_filter(p_workspace_id uuid, p_view_id uuid) OWNER TO postgres;

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
-- Name: wake_outbox_workers(); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wake_outbox_workers() RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_now bigint := extract(epoch from clock_timestamp()) * 1000;
begin
  if v_now - (select last_value from private.outbox_woken) not between 0 and 19 then
    perform setval('private.outbox_woken', v_now);
    perform pg_notify('qero_outbox', '');
  end if;
end $$;

ALTER FUNCTION private.wake_outbox_workers() OWNER TO postgres;

--
-- Name: wanted_chat_pushes(uuid[], jsonb[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wanted_chat_pushes(p_ids uuid[], p_payloads jsonb[]) RETURNS SETOF private.wanted_push
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return query
  select asked.id, member.user_id, latest.seq::text,
    jsonb_build_object(
      'kind', case when unread.is_mention then 'mention' else 'chat_message' end,
      'title', case when chat.kind = 'direct' then private.name_of(sender) else chat.title end,
      'body', case when chat.kind = 'direct' then '' else private.name_of(sender) || ': ' end
        || coalesce(left(latest.body, 300), 'sent a file'),
      'tag', 'chat:' || chat.id, 'workspace_id', chat.workspace_id, 'chat_id', chat.id, 'seq', latest.seq,
      'count', unread.count),
    private.quiet_seconds(settings.quiet_from, settings.quiet_until, profile.timezone)
  from unnest(p_ids, p_payloads) as asked (id, payload)
  join public.chats as chat on chat.id = (asked.payload ->> 'chat_id')::uuid
  join public.chat_members as member
    on member.chat_id = chat.id
      and member.user_id = coalesce((asked.payload ->> 'user_id')::uuid, member.user_id)
  join public.profiles as profile on profile.id = member.user_id
  left join public.notification_settings as settings on settings.user_id = member.user_id
  cross join lateral (
    select count(*) as count, max(message.seq) as seq, bool_or(member.user_id = any (message.mentions)) as is_mention
    from public.chat_messages as message
    where message.chat_id = chat.id
      -- Who has been away for long isn't told more than an app shows at once.
      and message.seq >= greatest((asked.payload ->> 'seq')::bigint, member.last_read_seq + 1, chat.last_seq - 99)
      and message.sender_id is distinct from member.user_id and message.deleted_at is null
      and (coalesce(settings.notify_chats, 'all') = 'all' or member.user_id = any (message.mentions))
  ) as unread
  join public.chat_messages as latest on latest.chat_id = chat.id and latest.seq = unread.seq
  left join public.profiles as sender on sender.id = latest.sender_id
  where asked.payload ->> 'kind' = 'chat_message'
    and member.last_read_seq < chat.last_seq and coalesce(member.muted_until, '-infinity') <= now()
    and coalesce(settings.notify_chats, 'all') <> 'none'
    and exists (select 1 from public.push_subscriptions as device where device.user_id = member.user_id);
end $$;

ALTER FUNCTION private.wanted_chat_pushes(p_ids uuid[], p_payloads jsonb[]) OWNER TO postgres;

--
-- Name: wanted_follow_up_pushes(uuid[], jsonb[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wanted_follow_up_pushes(p_ids uuid[], p_payloads jsonb[]) RETURNS SETOF private.wanted_push
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  return query
  select asked.id, membership.user_id, asked.payload ->> 'at',
    jsonb_build_object(
      'kind', 'follow_up',
      'title', case when due.count = 1 then left(coalesce(due.name, 'Follow-up'), 100)
        else due.count || ' follow-ups are due' end,
      'body', case when due.count = 1 then coalesce(left(due.note, 300), 'Follow-up is due')
        else left(due.names, 300) end,
      'tag', 'follow_up:' || (asked.payload ->> 'at'), 'workspace_id', membership.workspace_id,
      'contact_id', due.contact_id, 'candidate_id', due.candidate_id, 'count', due.count),
    private.quiet_seconds(settings.quiet_from, settings.quiet_until, profile.timezone)
  from unnest(p_ids, p_payloads) as asked (id, payload)
  join public.outbox_messages as outbox on outbox.id = asked.id
  join public.workspace_memberships as membership
    on membership.workspace_id = outbox.workspace_id and membership.user_id = (asked.payload ->> 'user_id')::uuid
  join public.profiles as profile on profile.id = membership.user_id
  left join public.notification_settings as settings on settings.user_id = membership.user_id
  cross join lateral (
    select count(*) as count, min(planned.name) as name, min(planned.note) as note,
      string_agg(planned.name, ', ' order by planned.name) as names,
      case when count(*) = 1 then min(planned.contact_id::text) end as contact_id,
      case when count(*) = 1 then min(planned.candidate_id::text) end as candidate_id
    from (
      select coalesce(contact.name, contact.phone, contact.email) as name, mine.follow_up_note as note,
        mine.contact_id, null::uuid as candidate_id
      from public.user_contact_settings as mine join public.contacts as contact on contact.id = mine.contact_id
      where mine.user_id = membership.user_id and mine.workspace_id = membership.workspace_id
        and mine.follow_up_at = private.cursor_time(asked.payload ->> 'at')
      union all
      select coalesce(candidate.name, candidate.phone, candidate.email), mine.follow_up_note, null, mine.tma_id
      from public.user_tma_settings as mine join public.tma_candidates as candidate on candidate.id = mine.tma_id
      where mine.user_id = membership.user_id and mine.workspace_id = membership.workspace_id
        and mine.follow_up_at = private.cursor_time(asked.payload ->> 'at')
    ) as planned
  ) as due
  where asked.payload ->> 'kind' = 'follow_up' and due.count > 0 and coalesce(settings.notify_follow_ups, true)
    and exists (select 1 from public.push_subscriptions as device where device.user_id = membership.user_id);
end $$;

ALTER FUNCTION private.wanted_follow_up_pushes(p_ids uuid[], p_payloads jsonb[]) OWNER TO postgres;

--
-- Name: wanted_thread_pushes(uuid[], jsonb[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wanted_thread_pushes(p_ids uuid[], p_payloads jsonb[]) RETURNS SETOF private.wanted_push
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  return query
  select asked.id, membership.user_id,
    case asked.payload ->> 'kind' when 'assignment' then asked.id::text
      else private.time_cursor(thread.last_inbound_at) || ':' || mine.unread_count end,
    jsonb_build_object(
      'kind', asked.payload ->> 'kind',
      'title', left(coalesce(contact.name, contact.phone, 'A group'), 100),
      'body', case asked.payload ->> 'kind' when 'assignment' then 'Assigned to you'
        else coalesce(thread.last_message_body, 'New message') end,
      'tag', 'thread:' || thread.id, 'workspace_id', thread.workspace_id, 'thread_id', thread.id,
      'contact_id', thread.contact_id, 'count', greatest(mine.unread_count, 1)),
    private.quiet_seconds(settings.quiet_from, settings.quiet_until, profile.timezone)
  from unnest(p_ids, p_payloads) as asked (id, payload)
  cross join lateral (
    select (asked.payload ->> 'thread_id')::uuid as thread_id where asked.payload ? 'thread_id'
    union
    select message.thread_id
    from public.outbox_messages as event
    join public.wa_messages as message on message.workspace_id = event.workspace_id
    where event.id = asked.id and not asked.payload ? 'thread_id' and asked.payload ->> 'kind' = 'inbound_message'
      and message.id >= private.first_message_id((asked.payload ->> 'bucket')::bigint * 3 - 10)
      and message.id < private.first_message_id((asked.payload ->> 'bucket')::bigint * 3 + 3)
      and message.direction = 'in' and message.source = 'live'
  ) as news
  join public.wa_threads as thread on thread.id = news.thread_id
  left join public.contacts as contact on contact.id = thread.contact_id
  join public.workspace_memberships as membership
    on membership.workspace_id = thread.workspace_id
      and membership.user_id = coalesce((asked.payload ->> 'user_id')::uuid, membership.user_id)
  join public.profiles as profile on profile.id = membership.user_id
  join private.thread_unread as mine on mine.thread_id = thread.id and mine.user_id = membership.user_id
  left join public.notification_settings as settings on settings.user_id = membership.user_id
  where exists (select 1 from public.push_subscriptions as device where device.user_id = membership.user_id)
    and case asked.payload ->> 'kind'
      when 'assignment' then thread.assignee_id = membership.user_id and coalesce(settings.notify_assignments, true)
      when 'inbound_message' then mine.unread_count > 0 and case coalesce(settings.notify_inbound, 'mine')
        when 'all' then true
        when 'mine' then thread.assignee_id = membership.user_id
          or (thread.assignee_id is null and membership.role <> 'viewer')
      end
    end;
end $$;

ALTER FUNCTION private.wanted_thread_pushes(p_ids uuid[], p_payloads jsonb[]) OWNER TO postgres;

--
-- Name: whatsapp_error_scope(integer); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.whatsapp_error_scope(p_code integer) RETURNS text
    LANGUAGE sql IMMUTABLE
    SET search_path TO ''
    AS $$
  select case
    when p_code in (0, 3, 10, 190, 131005, 33, 131037, 131045, 133006, 133010, 368, 131031, 131042, 131048, 131064)
      or p_code between 200 and 299 then 'connection'
    when p_code = 130429 then 'number'
    when p_code = 80007 then 'account'
    when p_code = 4 then 'app'
    when p_code = 131056 then 'recipient'
  end
$$;

ALTER FUNCTION private.whatsapp_error_scope(p_code integer) OWNER TO postgres;

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
  cross join lateral (
    select
      case when item.wa_id is not null then (
        select identity.contact_id from public.contact_identities as identity
        where identity.workspace_id = record.workspace_id and identity.kind = 'wa_id' and identity.scope = ''
          and identity.value = item.wa_id) end as by_wa_id,
      case when item.user_id is not null then (
        select identity.contact_id from public.contact_identities as identity
        where identity.workspace_id = record.workspace_id and identity.kind = 'bsuid' and identity.scope = record.waba_id
          and identity.value = item.user_id) end as by_user_id
    -- Evaluated once, not wherever it is used; and with conditions inside, not on the join, where they come too late.
    offset 0
  ) as person
  cross join lateral (
    select case
      when item.kind = 'status' then null
      when item.group_id is null
      then (select thread.id from public.wa_threads as thread
        where thread.workspace_id = record.workspace_id and thread.connection_id = record.connection_id
          and thread.contact_id = coalesce(person.by_wa_id, person.by_user_id))
      else (select thread.id from public.wa_threads as thread
        where thread.connection_id = record.connection_id and thread.group_id = item.group_id)
      end as id
    offset 0
  ) as thread
  -- A status names its message by Meta's id, and the outbox row by the opaque id that the send carried: the second
  -- finds messages whose send was never answered.
  left join lateral (
    select message.id, message.status in ('pending', 'cancelled', 'unknown', 'failed') as is_unsettled
    from public.wa_messages as message
    where item.kind in ('status', 'reaction', 'edit', 'revoke')
      and message.connection_id = record.connection_id
      and message.wa_message_id = coalesce(item.target_id, item.wa_message_id)
      and (item.kind <> 'status' or message.direction = 'out')
    union all
    select message.id, true from public.wa_messages as message
    where message.outbox_id = item.outbox_id and message.workspace_id = record.workspace_id and message.direction = 'out'
      -- Written so that no index offers all messages of the number that have no id yet.
      and message.connection_id is not distinct from record.connection_id and coalesce(message.wa_message_id, '') = ''
    limit 1
  ) as message on true;
  return v_items;
end $$;

ALTER FUNCTION private.whatsapp_items(p_events jsonb, p_records private.whatsapp_record[]) OWNER TO postgres;

--
-- Name: whatsapp_leads(private.whatsapp_item[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.whatsapp_leads(p_items private.whatsapp_item[]) RETURNS uuid[]
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return private.automated_leads(array(
    select item.contact_id from unnest(p_items) as item
    where item.kind in ('message', 'echo', 'call') and item.group_id is null and item.contact_id is not null));
end $$;

ALTER FUNCTION private.whatsapp_leads(p_items private.whatsapp_item[]) OWNER TO postgres;

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
-- Name: whatsapp_recipient(uuid, public.wa_phone_numbers); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.whatsapp_recipient(p_contact_id uuid, p_connection public.wa_phone_numbers) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select coalesce(
    (select '+' || identity.value from public.contact_identities as identity
     where identity.workspace_id = (p_connection).workspace_id and identity.contact_id = p_contact_id
       and identity.kind = 'wa_id' order by identity.created_at desc, identity.id limit 1),
    (select contact.phone from public.contacts as contact where contact.id = p_contact_id),
    (select identity.value from public.contact_identities as identity
     where identity.workspace_id = (p_connection).workspace_id and identity.contact_id = p_contact_id
       and identity.kind = 'bsuid' and identity.scope = (p_connection).waba_id
     order by identity.created_at desc, identity.id limit 1))
$$;

ALTER FUNCTION private.whatsapp_recipient(p_contact_id uuid, p_connection public.wa_phone_numbers) OWNER TO postgres;

--
-- Name: whatsapp_target(uuid); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.whatsapp_target(p_message_id uuid) RETURNS public.wa_messages
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_message public.wa_messages;
begin
  select message.* into v_message from public.wa_messages as message where message.id = p_message_id;
  perform private.require_role(v_message.workspace_id, array['owner', 'admin', 'member'], 'message_not_found',
    jsonb_build_object('message_id', p_message_id));
  if v_message.wa_message_id is null then
    perform private.raise_error(404, 'message_not_found', jsonb_build_object('message_id', p_message_id),
      'Name a message that has been received or sent; this one hasn''t left yet.');
  end if;
  return v_message;
end $$;

ALTER FUNCTION private.whatsapp_target(p_message_id uuid) OWNER TO postgres;

--
-- Name: withdraw_outbox(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.withdraw_outbox(p_ids uuid[]) RETURNS uuid[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_ids uuid[] := '{}';
  v_found uuid[];
begin
  for v_round in 1..2 loop
    with message as materialized (
      select outbox.id, outbox.line_id, outbox.sequence, -outbox.priority as rank, outbox.scheduled_at, lane.lane_id
      from public.outbox_messages as outbox
      join private.outbox_lanes as lane
        on lane.workspace_id = outbox.workspace_id and lane.channel = outbox.channel
          and lane.connection_id is not distinct from outbox.connection_id
      where outbox.id = any (p_ids) and outbox.id <> all (v_ids)
    ), ready as (
      delete from private.outbox_ready as ready using message
      where ready.lane_id = message.lane_id and ready.rank = message.rank and ready.run_at = message.scheduled_at
        and ready.sequence = message.sequence
      returning ready.id
    ), waiting as (
      delete from private.outbox_waiting as waiting using message
      where waiting.line_id = message.line_id and waiting.id = message.id
      returning waiting.id
    )
    select array_agg(gone.id) into v_found
    from (select ready.id from ready union all select waiting.id from waiting) as gone;
    v_ids := v_ids || coalesce(v_found, '{}');
  end loop;
  return v_ids;
end $$;

ALTER FUNCTION private.withdraw_outbox(p_ids uuid[]) OWNER TO postgres;

--
-- Name: withdraw_threads(uuid[]); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.withdraw_threads(p_thread_ids uuid[]) RETURNS uuid[]
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  select private.withdraw_outbox(array(
    select outbox.id from public.outbox_messages as outbox
    where outbox.thread_id = any (p_thread_ids) and outbox.status = 'queued'
    order by outbox.id for update))
$$;

ALTER FUNCTION private.withdraw_threads(p_thread_ids uuid[]) OWNER TO postgres;

--
-- Name: workspace_entitlements; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspace_entitlements (
    workspace_id uuid NOT NULL,
    key text NOT NULL,
    enabled boolean DEFAULT false NOT NULL,
    payload jsonb DEFAULT '{}'::jsonb NOT NULL,
    expires_at timestamp with time zone,
    reason text,
    granted_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    value jsonb DEFAULT '{}'::jsonb,
    CONSTRAINT workspace_entitlements_key_check CHECK (((key = btrim(key)) AND ((length(key) >= 1) AND (length(key) <= 100)))),
    CONSTRAINT workspace_entitlements_payload_check CHECK ((jsonb_typeof(payload) = 'object'::text))
);

ALTER TABLE public.workspace_entitlements OWNER TO postgres;

--
-- Name: write_entitlement(uuid, text, boolean, jsonb, timestamp with time zone, text); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.write_entitlement(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone, p_reason text) RETURNS public.workspace_entitlements
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_operator_id uuid := (select auth.uid());
  v_reason text := nullif(btrim(p_reason), '');
  v_entitlement public.workspace_entitlements;
begin
  if coalesce(length(btrim(p_key)), 0) not between 1 and 100 or p_enabled is null or length(v_reason) > 500 then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["key", "enabled", "reason"]}',
      'A key has 1 to 100 characters, enabled is true or false, and a reason has at most 500 characters.');
  end if;
  perform private.check_entitlement_payload(coalesce(p_payload, '{}'));
  insert into public.workspace_entitlements as entitlement
    (workspace_id, key, enabled, payload, expires_at, reason, granted_by)
  values (p_workspace_id, btrim(p_key), p_enabled, coalesce(p_payload, '{}'), p_expires_at, v_reason, v_operator_id)
  on conflict (workspace_id, key) do update
    set enabled = excluded.enabled, payload = coalesce(p_payload, entitlement.payload),
      expires_at = excluded.expires_at, reason = excluded.reason, granted_by = excluded.granted_by
    where (entitlement.enabled, entitlement.payload, entitlement.expires_at, entitlement.reason, entitlement.granted_by)
      is distinct from
      (excluded.enabled, coalesce(p_payload, entitlement.payload), excluded.expires_at, excluded.reason,
        excluded.granted_by);
  select entitlement.* into v_entitlement from public.workspace_entitlements as entitlement
  where entitlement.workspace_id = p_workspace_id and entitlement.key = btrim(p_key);
  return v_entitlement;
end $$;

ALTER FUNCTION private.write_entitlement(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone, p_reason text) OWNER TO postgres;

--
-- Name: wrong_content(text, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wrong_content(p_kind text, p_content jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
declare
  v_stray text;
begin
  if p_kind = 'interactive' then
    return private.wrong_interactive(p_content);
  elsif p_kind = 'location' then
    v_stray := private.stray_key(p_content, array['latitude', 'longitude', 'name', 'address']);
    return case
      when v_stray is not null then v_stray
      when not coalesce(jsonb_typeof(p_content -> 'latitude') = 'number'
        and (p_content ->> 'latitude')::numeric between -90 and 90, false) then 'latitude'
      when not coalesce(jsonb_typeof(p_content -> 'longitude') = 'number'
        and (p_content ->> 'longitude')::numeric between -180 and 180, false) then 'longitude'
      when p_content ? 'name' and not private.is_text(p_content -> 'name', 1000) then 'name'
      when p_content ? 'address' and not private.is_text(p_content -> 'address', 1000) then 'address'
    end;
  elsif p_kind = 'contacts' then
    return case when jsonb_typeof(p_content) is distinct from 'array' or not (
      select count(*) between 1 and 50 and bool_and(
        private.stray_key(card.value,
          array['name', 'phones', 'emails', 'org', 'urls', 'addresses', 'birthday']) is null
        and private.stray_key(card.value -> 'name', array['formatted_name', 'first_name', 'last_name', 'middle_name',
          'prefix', 'suffix']) is null
        and private.is_text(card.value #> '{name,formatted_name}', 300)
        -- Meta wants a part of the name beside the whole.
        and (private.is_text(card.value #> '{name,first_name}', 300) or private.is_text(card.value #> '{name,last_name}', 300))
        and not exists (
          select from jsonb_path_query(card.value, '$.phones[*]') as phone (value)
          where private.stray_key(phone.value, array['phone', 'type', 'wa_id']) is not null
            or not private.is_text(phone.value -> 'phone', 40))
        and not exists (
          select from jsonb_path_query(card.value, '$.emails[*]') as email (value)
          where private.stray_key(email.value, array['email', 'type']) is not null
            or not private.is_text(email.value -> 'email', 320)))
      from jsonb_array_elements(case jsonb_typeof(p_content) when 'array' then p_content else '[]' end) as card
    ) then 'contacts' end;
  end if;
  return private.wrong_media(p_kind, p_content);
end $_$;

ALTER FUNCTION private.wrong_content(p_kind text, p_content jsonb) OWNER TO postgres;

--
-- Name: wrong_interactive(jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wrong_interactive(p_value jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
declare
  v_type constant text := p_value ->> 'type';
  v_header constant text := p_value #>> '{header,type}';
  v_action constant jsonb := p_value -> 'action';
  v_stray text := private.stray_key(p_value, array['type', 'body', 'action']
    || case v_type when 'location_request_message' then '{}' else array['header', 'footer'] end);
  v_is_right boolean;
begin
  if v_stray is not null then
    return v_stray;
  elsif v_type is null or v_type not in ('button', 'list', 'cta_url', 'location_request_message') then
    return 'type';
  elsif private.stray_key(p_value -> 'body', array['text']) is not null
    or not private.is_text(p_value #> '{body,text}', case v_type when 'list' then 4096 else 1024 end)
  then
    return 'body';
  elsif p_value ? 'footer' and (private.stray_key(p_value -> 'footer', array['text']) is not null
    or not private.is_text(p_value #> '{footer,text}', 60))
  then
    return 'footer';
  elsif p_value ? 'header' and not coalesce(private.stray_key(p_value -> 'header', array['type', v_header]) is null
    and case
      when v_header = 'text' then private.is_text(p_value #> '{header,text}', 60)
      when v_type <> 'list' and v_header in ('image', 'video', 'document')
        then private.wrong_media(v_header, p_value -> 'header' -> v_header) is null
    end, false)
  then
    return 'header';
  end if;
  v_is_right := case v_type
    when 'button' then private.stray_key(v_action, array['buttons']) is null and (
      select count(*) between 1 and 3 and count(distinct button.value #> '{reply,id}') = count(*)
        and count(distinct button.value #> '{reply,title}') = count(*)
        and bool_and(private.stray_key(button.value, array['type', 'reply']) is null
          and button.value -> 'type' = '"reply"'
          and private.stray_key(button.value -> 'reply', array['id', 'title']) is null
          and private.is_text(button.value #> '{reply,id}', 256) and private.is_text(button.value #> '{reply,title}', 20))
      from jsonb_path_query(v_action, '$.buttons[*]') as button (value))
    when 'list' then private.stray_key(v_action, array['button', 'sections']) is null
      and private.is_text(v_action -> 'button', 20) and (
        -- Several sections need titles to be told apart.
        select count(*) between 1 and 10 and bool_and(private.stray_key(section.value, array['title', 'rows']) is null
          and jsonb_path_exists(section.value, '$.rows[*]')
          and (private.is_text(section.value -> 'title', 24)
            or (not section.value ? 'title' and not jsonb_path_exists(v_action, '$.sections[1]'))))
        from jsonb_path_query(v_action, '$.sections[*]') as section (value)
      ) and (
        select count(*) between 1 and 10 and count(distinct choice.value -> 'id') = count(*)
          and bool_and(private.stray_key(choice.value, array['id', 'title', 'description']) is null
            and private.is_text(choice.value -> 'id', 200) and private.is_text(choice.value -> 'title', 24)
            and (not choice.value ? 'description' or private.is_text(choice.value -> 'description', 72)))
        from jsonb_path_query(v_action, '$.sections[*].rows[*]') as choice (value))
    when 'cta_url' then private.stray_key(v_action, array['name', 'parameters']) is null
      and v_action -> 'name' = '"cta_url"'
      and private.stray_key(v_action -> 'parameters', array['display_text', 'url']) is null
      and private.is_text(v_action #> '{parameters,display_text}', 20)
      and private.is_text(v_action #> '{parameters,url}', 2000)
      and v_action #>> '{parameters,url}' ~ '^https?://[^[:space:]]+$'
    else v_action = '{"name": "send_location"}'
  end;
  return case when not coalesce(v_is_right, false) then 'action' end;
end $_$;

ALTER FUNCTION private.wrong_interactive(p_value jsonb) OWNER TO postgres;

--
-- Name: wrong_media(text, jsonb); Type: FUNCTION; Schema: private; Owner: postgres
--

CREATE FUNCTION private.wrong_media(p_kind text, p_media jsonb) RETURNS text
    LANGUAGE plpgsql IMMUTABLE
    SET search_path TO ''
    AS $_$
declare
  v_stray constant text := private.stray_key(p_media, array['id', 'link']
    || case when p_kind in ('image', 'video', 'document') then array['caption'] else '{}' end
    || case p_kind when 'document' then array['filename'] when 'audio' then array['voice'] else '{}' end);
begin
  return case
    when v_stray is not null then v_stray
    when (p_media ? 'id') = (p_media ? 'link') then 'id'
    when p_media ? 'id' and not private.is_text(p_media -> 'id', 240) then 'id'
    when p_media ? 'link' and not (private.is_text(p_media -> 'link', 2000)
      and p_media ->> 'link' ~ '^https?://[^[:space:]]+$') then 'link'
    when p_media ? 'caption' and not private.is_text(p_media -> 'caption', 1024) then 'caption'
    when p_media ? 'filename' and not private.is_text(p_media -> 'filename', 240) then 'filename'
    when p_media ? 'voice' and jsonb_typeof(p_media -> 'voice') <> 'boolean' then 'voice'
  end;
end $_$;

ALTER FUNCTION private.wrong_media(p_kind text, p_media jsonb) OWNER TO postgres;

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
-- Name: accept_invitation(text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.accept_invitation(p_token text) RETURNS public.workspace_memberships
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_email text;
  v_is_verified boolean;
  v_invitation public.workspace_invitations;
  v_member public.workspace_memberships;
begin
  -- Of two requests with one token the second waits here, and finds it used.
  select invitation.* into v_invitation from public.workspace_invitations as invitation
  where invitation.token_hash = private.invitation_token_hash(p_token) for no key update;
  if not found then
    perform private.raise_error(404, 'invitation_not_found', '{"field": "token"}',
      'Check the link, or ask for another invitation.');
  end if;
  select lower(account.email), account.email_confirmed_at is not null into v_email, v_is_verified
  from auth.users as account where account.id = v_user_id;
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = v_invitation.workspace_id and member.user_id = v_user_id;
  if v_email is distinct from v_invitation.email then
    perform private.raise_error(403, 'invitation_for_another', '{"field": "token"}',
      'Sign in with the address that was invited.');
  elsif not v_is_verified then
    perform private.raise_error(403, 'email_not_verified', '{"field": "email"}',
      'Confirm the address by the link that was sent to it, then accept again.');
  elsif v_invitation.accepted_at is not null then
    -- Whoever repeats the request that let them in gets its answer.
    if v_invitation.accepted_by = v_user_id and v_member.user_id is not null then
      return v_member;
    end if;
    perform private.raise_error(409, 'invitation_used', jsonb_build_object('invitation_id', v_invitation.id),
      'Ask for another invitation.');
  elsif v_invitation.revoked_at is not null then
    perform private.raise_error(409, 'invitation_revoked', jsonb_build_object('invitation_id', v_invitation.id),
      'Ask for another invitation.');
  elsif v_invitation.expires_at <= now() then
    perform private.raise_error(409, 'invitation_expired',
      jsonb_build_object('invitation_id', v_invitation.id, 'expired_at', v_invitation.expires_at),
      'Ask for another invitation.');
  elsif exists (
    select from public.workspaces as workspace
    where workspace.id = v_invitation.workspace_id and workspace.status = 'suspended')
  then
    perform private.raise_error(409, 'workspace_suspended',
      jsonb_build_object('workspace_id', v_invitation.workspace_id),
      'Ask the operators of the platform; until they activate it again, nobody joins.');
  end if;
  -- Whoever got in by another way meanwhile stays what they are.
  insert into public.workspace_memberships (workspace_id, user_id, role)
  values (v_invitation.workspace_id, v_user_id, v_invitation.role)
  on conflict on constraint workspace_memberships_pkey do nothing;
  update public.workspace_invitations as invitation set accepted_at = now(), accepted_by = v_user_id
  where invitation.id = v_invitation.id;
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = v_invitation.workspace_id and member.user_id = v_user_id;
  return v_member;
end $$;

ALTER FUNCTION public.accept_invitation(p_token text) OWNER TO postgres;

--
-- Name: add_chat_members(uuid, uuid[]); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.add_chat_members(p_chat_id uuid, p_user_ids uuid[]) RETURNS SETOF public.chat_members
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
  v_chat public.chats;
begin
  select chat.* into v_chat from public.chats as chat where chat.id = v_member.chat_id;
  if v_chat.kind = 'direct' then
    perform private.raise_error(409, 'chat_is_direct', jsonb_build_object('chat_id', p_chat_id),
      'Make a group for more people.');
  end if;
  perform private.add_to_chat(v_chat, coalesce(p_user_ids, '{}'), 'member');
  return query select member.* from public.chat_members as member where member.chat_id = p_chat_id
    order by member.joined_at, member.user_id;
end $$;

ALTER FUNCTION public.add_chat_members(p_chat_id uuid, p_user_ids uuid[]) OWNER TO postgres;

--
-- Name: contact_notes; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contact_notes (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    author_id uuid,
    body text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT contact_notes_body_check CHECK (((length(body) >= 1) AND (length(body) <= 10000)))
);

ALTER TABLE public.contact_notes OWNER TO postgres;

--
-- Name: add_contact_note(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.add_contact_note(p_contact_id uuid, p_body text) RETURNS public.contact_notes
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id constant uuid := (
    select contact.workspace_id from public.contacts as contact
    where contact.id = p_contact_id and contact.deleted_at is null);
  v_note public.contact_notes;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  if not coalesce(length(btrim(p_body)) between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "body"}', 'Write 1 to 10,000 characters.');
  end if;
  insert into public.contact_notes (workspace_id, contact_id, author_id, body)
  values (v_workspace_id, p_contact_id, (select auth.uid()), btrim(p_body))
  returning * into v_note;
  return v_note;
end $$;

ALTER FUNCTION public.add_contact_note(p_contact_id uuid, p_body text) OWNER TO postgres;

--
-- Name: owner_members; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.owner_members (
    user_id uuid NOT NULL,
    email text NOT NULL,
    role text DEFAULT 'owner'::text NOT NULL,
    active boolean DEFAULT true NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT owner_members_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'ops'::text, 'viewer'::text])))
);

ALTER TABLE public.owner_members OWNER TO postgres;

--
-- Name: add_operator(text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.add_operator(p_email text, p_role text DEFAULT 'owner'::text) RETURNS public.owner_members
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_account_id uuid;
  v_account_email text;
  v_operator public.owner_members;
begin
  perform private.require_operator(array['owner']);
  if p_role is null or p_role not in ('owner', 'ops', 'viewer') then
    perform private.raise_error(400, 'invalid_value', '{"field": "role", "allowed": ["owner", "ops", "viewer"]}',
      'Choose one of the allowed roles.');
  end if;
  -- Of two accounts with the same e-mail, which single sign-on allows, none is guessed.
  select min(account.id::text)::uuid, min(account.email) into v_account_id, v_account_email
  from auth.users as account
  where lower(account.email) = lower(btrim(p_email))
  having count(*) = 1;
  if not found then
    perform private.raise_error(404, 'account_not_found', jsonb_build_object('email', left(p_email, 320)),
      'Check the e-mail; an operator needs an account of their own first.');
  end if;
  insert into public.owner_members as operator (user_id, email, role) values (v_account_id, v_account_email, p_role)
  on conflict (user_id) do update set email = excluded.email, role = excluded.role, active = true
  returning * into v_operator;
  insert into public.platform_admins (user_id) values (v_account_id) on conflict do nothing;
  return v_operator;
end $$;

ALTER FUNCTION public.add_operator(p_email text, p_role text) OWNER TO postgres;

--
-- Name: add_thread_note(uuid, text, text, uuid[]); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.add_thread_note(p_thread_id uuid, p_body text, p_client_generated_id text, p_mentions uuid[] DEFAULT '{}'::uuid[]) RETURNS public.chat_messages
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_chat public.chats := private.thread_chat(p_thread_id);
begin
  -- Whoever is mentioned can read it.
  if p_mentions <> '{}' then
    perform private.add_to_chat(v_chat, p_mentions, 'member');
  end if;
  return private.append_message(private.require_chat_writer(v_chat.id), p_body, p_client_generated_id, '[]',
    coalesce(p_mentions, '{}'), null);
end $$;

ALTER FUNCTION public.add_thread_note(p_thread_id uuid, p_body text, p_client_generated_id text, p_mentions uuid[]) OWNER TO postgres;

--
-- Name: workspace_token_ledger; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspace_token_ledger (
    workspace_id uuid NOT NULL,
    id bigint NOT NULL,
    delta bigint NOT NULL,
    balance_after bigint NOT NULL,
    reason text,
    reference_type text DEFAULT 'request'::text NOT NULL,
    reference_id text,
    actor_id uuid DEFAULT auth.uid(),
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workspace_token_ledger_balance_after_check CHECK ((balance_after >= 0)),
    CONSTRAINT workspace_token_ledger_delta_check CHECK ((delta <> 0)),
    CONSTRAINT workspace_token_ledger_reference_type_check CHECK ((reference_type = ANY (ARRAY['request'::text, 'grant'::text, 'reservation'::text, 'opening'::text])))
);

ALTER TABLE public.workspace_token_ledger OWNER TO postgres;

--
-- Name: apply_workspace_token_delta(uuid, bigint, text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.apply_workspace_token_delta(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference text DEFAULT NULL::text) RETURNS public.workspace_token_ledger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_reference text := nullif(btrim(p_reference), '');
  v_reason text := btrim(p_reason);
  v_entry public.workspace_token_ledger;
  v_account public.workspace_token_balance;
  v_has_moved boolean;
  v_has_more boolean;
begin
  if current_setting('role') <> 'service_role' then
    perform private.require_operator(array['owner', 'ops']);
  end if;
  if p_delta is null or p_delta = 0 or abs(p_delta) > 1000000000000000
    or coalesce(length(v_reason), 0) not between 1 and 500 then
    perform private.check_tokens(p_delta, p_reason);
  end if;
  loop
    with moved as (
      update public.workspace_token_balance as account
      set balance = account.balance + p_delta, granted = greatest(account.granted + least(p_delta, 0), 0)
      where account.workspace_id = p_workspace_id and account.balance + p_delta >= account.reserved
        and (account.next_due_at is null or account.next_due_at > now())
      returning account.balance, account.has_grants or account.alert_levels <> '{}' as has_more
    ), entry as (
      insert into public.workspace_token_ledger (workspace_id, delta, balance_after, reason, reference_id)
      select p_workspace_id, p_delta, moved.balance, v_reason, v_reference from moved
      on conflict do nothing
      returning *
    ), audited as (
      insert into public.owner_audit_log (action, workspace_id, before, after, reason)
      select case when p_delta > 0 then 'owner.tokens.granted' else 'owner.tokens.deducted' end, p_workspace_id,
        jsonb_build_object('balance', entry.balance_after - p_delta),
        jsonb_build_object('balance', entry.balance_after, 'delta', p_delta, 'ledger_id', entry.id,
          'reference', v_reference),
        v_reason
      from entry
    )
    select true, moved.has_more, entry.workspace_id, entry.id, entry.delta, entry.balance_after, entry.reason,
      entry.reference_type, entry.reference_id, entry.actor_id, entry.created_at
    into v_has_moved, v_has_more, v_entry.workspace_id, v_entry.id, v_entry.delta, v_entry.balance_after,
      v_entry.reason, v_entry.reference_type, v_entry.reference_id, v_entry.actor_id, v_entry.created_at
    from moved left join entry on true;
    if v_entry.id is not null then
      if v_has_more and p_delta < 0 then
        perform private.follow_deduction(p_workspace_id, p_delta, v_entry.balance_after);
      end if;
      return v_entry;
    end if;

    -- The reference is in the ledger already: as if the balance had never moved.
    if v_has_moved then
      update public.workspace_token_balance as account
      set balance = account.balance - p_delta,
        granted = (
          select coalesce(sum(token_grant.remaining), 0) from public.workspace_token_grants as token_grant
          where token_grant.workspace_id = p_workspace_id and token_grant.status = 'open')
      where account.workspace_id = p_workspace_id;
    end if;
    v_account := private.lock_token_balance(p_workspace_id);
    select earlier.workspace_id, earlier.id, earlier.delta, earlier.balance_after, earlier.reason,
      earlier.reference_type, earlier.reference_id, earlier.actor_id, earlier.created_at
    into v_entry.workspace_id, v_entry.id, v_entry.delta, v_entry.balance_after, v_entry.reason,
      v_entry.reference_type, v_entry.reference_id, v_entry.actor_id, v_entry.created_at
    from public.workspace_token_ledger as earlier
    where earlier.workspace_id = p_workspace_id and earlier.reference_type = 'request'
      and earlier.reference_id = v_reference;
    if found then
      perform private.refuse_reference(v_reference, p_delta, v_entry.delta);
      return v_entry;
    end if;
    perform private.refuse_amount(v_account, -p_delta);
  end loop;
end $$;

ALTER FUNCTION public.apply_workspace_token_delta(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference text) OWNER TO postgres;

--
-- Name: assign_leads(uuid, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.assign_leads(p_workspace_id uuid, p_limit integer DEFAULT 1000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_assigned jsonb;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  if not coalesce(p_limit between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Assign 1 to 10,000 leads at once.');
  end if;
  perform pg_advisory_xact_lock(hashtextextended(p_workspace_id::text, 512));
  with taker as materialized (
    -- Whoever takes leads has room for as many as they can write to in a day, less those that wait for them already.
    select settings.user_id, settings.daily_capacity - (
      select count(*) from (
        select from public.leads as lead
        where lead.workspace_id = p_workspace_id and lead.user_id = settings.user_id and lead.control = 'automation'
          and lead.status in ('new', 'pending')
        limit settings.daily_capacity) as waiting) as room
    from public.user_queue_settings as settings
    join public.workspace_memberships as membership
      on membership.workspace_id = settings.workspace_id and membership.user_id = settings.user_id
        and membership.role <> 'viewer'
    where settings.workspace_id = p_workspace_id and settings.takes_unassigned and not settings.paused
  ), lead as materialized (
    select lead.id, lead.score, lead.created_at, contact.assigned_to
    from public.leads as lead
    left join public.contacts as contact
      on contact.workspace_id = lead.workspace_id and contact.id = lead.contact_id
    where lead.workspace_id = p_workspace_id and lead.user_id is null and lead.control = 'automation'
      and lead.status in ('new', 'pending')
    order by lead.score desc, lead.created_at, lead.id
    limit p_limit
  ), own as (
    -- Whoever looks after the contact comes first.
    select lead.id, taker.user_id from lead join taker on taker.user_id = lead.assigned_to
  ), slot as (
    select taker.user_id, row_number() over (order by turn.number, taker.user_id) as place
    from taker
    cross join lateral generate_series(1, least(p_limit, taker.room - (
      select count(*) from own where own.user_id = taker.user_id))) as turn (number)
  ), rest as (
    select lead.id, row_number() over (order by lead.score desc, lead.created_at, lead.id) as place
    from lead where not exists (select from own where own.id = lead.id)
  ), decided as materialized (
    select own.id, own.user_id from own
    union all
    select rest.id, slot.user_id from rest join slot on slot.place = rest.place
  ), locked as materialized (
    select lead.id, decided.user_id from public.leads as lead join decided on decided.id = lead.id
    where lead.user_id is null
    order by lead.id for no key update of lead
  ), assigned as (
    update public.leads as lead set user_id = locked.user_id, reason = 'Assigned in turn.'
    from locked where lead.id = locked.id
    returning locked.user_id
  )
  select coalesce(jsonb_object_agg(counted.user_id, counted.count), '{}') into v_assigned
  from (select assigned.user_id, count(*) from assigned group by assigned.user_id) as counted;
  return v_assigned;
end $$;

ALTER FUNCTION public.assign_leads(p_workspace_id uuid, p_limit integer) OWNER TO postgres;

--
-- Name: audit_queue(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.audit_queue() RETURNS TABLE(kind text, table_name text, name text, rows bigint, remedy text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
#variable_conflict use_column
declare
  v_reference record;
  v_rule record;
  v_valid boolean;
  v_rows bigint;
begin
  for v_reference in
    select reference.* from private.queue_references() as reference
    union all
    select later.* from (values
      ('user_queue_settings', 'user_queue_settings_workspace_id_connection_id_fkey',
        array['workspace_id', 'connection_id'], 'public.wa_phone_numbers', array['workspace_id', 'id'], ''),
      ('whatsapp_message_queue', 'whatsapp_message_queue_outbox_id_workspace_id_fkey',
        array['workspace_id', 'outbox_id'], 'public.outbox_messages', array['workspace_id', 'id'], '')
    ) as later
  loop
    select key.convalidated into v_valid from pg_catalog.pg_constraint as key
    where key.conrelid = format('public.%I', v_reference.table_name)::regclass
      and key.conname = v_reference.constraint_name;
    if v_valid is not true then
      return query select case when v_valid is null then 'missing constraint' else 'constraint not valid' end,
        v_reference.table_name, v_reference.constraint_name, null::bigint,
        case when v_valid is null then 'Add it again, as 20250129000000_queue_fks_and_ledger does.'
          else format('alter table public.%I validate constraint %I;', v_reference.table_name,
            v_reference.constraint_name) end;
    end if;
    execute format('select count(*) from public.%I as here where %s and not exists (select from %s as target where %s)',
      v_reference.table_name,
      (select string_agg(format('here.%I is not null', part.name), ' and ')
       from unnest(v_reference.columns) as part (name)),
      v_reference.target,
      (select string_agg(format('target.%I = here.%I', pair.there, pair.here), ' and ')
       from unnest(v_reference.columns, v_reference.target_columns) as pair (here, there)))
    into v_rows;
    if v_rows > 0 then
      return query select 'orphans', v_reference.table_name,
        v_reference.columns[cardinality(v_reference.columns)], v_rows,
        format('%s has no such row: empty the column or remove the rows.', v_reference.target);
    end if;
  end loop;
  for v_rule in select rule.* from private.queue_rules() as rule loop
    select key.convalidated into v_valid from pg_catalog.pg_constraint as key
    where key.conrelid = format('public.%I', v_rule.table_name)::regclass and key.conname = v_rule.constraint_name;
    if v_valid is not true then
      v_rows := null;
      if v_rule.definition like 'check%' then
        execute format('select count(*) from public.%I where not %s', v_rule.table_name, substr(v_rule.definition, 6))
        into v_rows;
      end if;
      return query select case when v_valid is null then 'missing constraint' else 'constraint not valid' end,
        v_rule.table_name, v_rule.constraint_name, v_rows,
        'Mend the rows that break it, then add or validate it, as 20250129000000_queue_fks_and_ledger does.';
    end if;
  end loop;
  return query
  select 'inconsistent', 'leads', 'queued without a message', count(*), 'Set their status to pending.'
  from public.leads as lead
  where lead.status = 'queued' and not exists (
    select from public.whatsapp_message_queue as message
    where message.lead_id = lead.id and message.status in ('queued', 'sending'))
  having count(*) > 0;
  return query
  select 'inconsistent', 'whatsapp_message_queue', 'sending without an outbox message', count(*),
    'Set their status to failed; whether they left can''t be known.'
  from public.whatsapp_message_queue as message
  where message.status = 'sending' and message.outbox_id is null
  having count(*) > 0;
  return query
  select 'set aside', substr(reject.source, 8), reject.reason, count(*),
    'They are in private.migration_rejects, as they stood.'
  from private.migration_rejects as reject
  where reject.source in ('public.clients', 'public.projects', 'public.leads', 'public.user_queue_settings',
    'public.whatsapp_message_queue', 'public.lead_processing_queue', 'public.queue_performance_metrics',
    'public.queue_ledger')
  group by reject.source, reject.reason
  order by 2, 3;
end $$;

ALTER FUNCTION public.audit_queue() OWNER TO postgres;

--
-- Name: cancel_outbox(uuid[], text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.cancel_outbox(p_ids uuid[], p_reason text DEFAULT 'Cancelled.'::text) RETURNS TABLE(id uuid, outcome text)
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
#variable_conflict use_column
declare
  v_ids uuid[];
begin
  v_ids := private.cancel_queued_outbox(p_ids, p_reason);
  perform private.put_back_leads(v_ids);
  return query
  select asked.id,
    case
      when asked.id = any (v_ids) then 'cancelled'
      when outbox.id is null then 'not_found'
      when outbox.status = 'queued' then 'processing'
      else outbox.status
    end
  from unnest(p_ids) as asked (id) left join public.outbox_messages as outbox on outbox.id = asked.id;
end $$;

ALTER FUNCTION public.cancel_outbox(p_ids uuid[], p_reason text) OWNER TO postgres;

--
-- Name: check_entitlement(uuid, text, bigint); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.check_entitlement(p_workspace_id uuid, p_key text, p_amount bigint DEFAULT 1) RETURNS TABLE(granted boolean, reason text, "limit" bigint, usage bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  if private.caller_role() = 'authenticated' and not private.is_operator() then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  else
    perform private.require_operator(array['owner', 'ops', 'viewer']);
  end if;
  if p_amount is null or p_amount not between 0 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_value', '{"field": "amount"}', 'Ask for 0 or more.');
  end if;
  return query
  select state.granted, state.reason, state."limit", state.usage
  from private.entitlement_state((private.find_workspace(p_workspace_id::text)).id, p_key, p_amount) as state;
end $$;

ALTER FUNCTION public.check_entitlement(p_workspace_id uuid, p_key text, p_amount bigint) OWNER TO postgres;

--
-- Name: check_token_balances(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.check_token_balances() RETURNS TABLE(workspace_id uuid, balance bigint, ledger_sum bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
#variable_conflict use_column
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  return query
  select account.workspace_id, account.balance, coalesce(ledger.sum, 0)::bigint
  from public.workspace_token_balance as account
  left join (
    select entry.workspace_id, sum(entry.delta) as sum from public.workspace_token_ledger as entry group by 1
  ) as ledger on ledger.workspace_id = account.workspace_id
  where account.balance <> coalesce(ledger.sum, 0);
end $$;

ALTER FUNCTION public.check_token_balances() OWNER TO postgres;

--
-- Name: claim_outbox(integer, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.claim_outbox(p_limit integer, p_worker text) RETURNS TABLE(lease_token bigint, lease_expires_at timestamp with time zone, id uuid, workspace_id uuid, channel text, connection_id uuid, thread_id uuid, recipient text, payload jsonb, attempts integer, max_attempts integer, phone_number_id text, access_token_ciphertext text, send_after_seconds double precision, pace_seconds double precision)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET join_collapse_limit TO '1'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
  v_lease_seconds constant integer := 60;
  v_class_count constant integer := 10;
  -- How far ahead of its pace a number's messages are handed out; the worker waits until each one's moment.
  v_ahead constant bigint := 400000;
  -- A second of the pace is a little longer than one of the clock, so that delays on the way don't exceed the limit.
  v_second constant bigint := 1030000;
  v_now timestamptz := clock_timestamp();
  v_microseconds bigint := extract(epoch from v_now) * 1000000;
  v_lane_ids integer[];
  v_served integer[];
  v_ranks smallint[];
  v_rooms bigint[];
  v_taken record;
  v_ids uuid[];
  v_taken_lanes integer[];
  v_line_ids bigint[];
  v_sequences bigint[];
  v_lease private.outbox_leases;
  v_found integer;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_limit", "allowed": "1 to 1000"}',
      'Claim 1 to 1000 messages at once.');
  elsif coalesce(p_worker, '') = '' then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_worker"}', 'Name the worker.');
  end if;

  if exists (select 1 from private.outbox_leases as lease where lease.expires_at <= v_now) then
    perform private.end_outbox_leases();
  end if;

  -- More than once only where all that was taken turned out to be settled already, or to join a line first.
  for v_round in 1..20 loop
    -- Lanes with something due, from behind the one served last: one look into the index for each lane and priority,
    -- cut off once there are enough, so that the cost doesn't grow with the backlog.
    with recursive served as materialized (
      select private.outbox_turn() as lane_id
    ), behind (lane_id, rank, run_at) as (
      (select ready.lane_id, ready.rank, ready.run_at from private.outbox_ready as ready
       where ready.lane_id > (select served.lane_id from served)
       order by ready.lane_id, ready.rank, ready.run_at limit 1)
      union all
      select following.* from behind cross join lateral (
        select ready.lane_id, ready.rank, ready.run_at from private.outbox_ready as ready
        where (ready.lane_id, ready.rank) > (behind.lane_id, behind.rank)
        order by ready.lane_id, ready.rank, ready.run_at limit 1) as following
    ), before (lane_id, rank, run_at) as (
      (select ready.lane_id, ready.rank, ready.run_at from private.outbox_ready as ready
       where ready.lane_id <= (select served.lane_id from served)
       order by ready.lane_id, ready.rank, ready.run_at limit 1)
      union all
      select following.* from before cross join lateral (
        select ready.lane_id, ready.rank, ready.run_at from private.outbox_ready as ready
        where (ready.lane_id, ready.rank) > (before.lane_id, before.rank)
          and ready.lane_id <= (select served.lane_id from served)
        order by ready.lane_id, ready.rank, ready.run_at limit 1) as following
    ), class as materialized (
      select lane.lane_id, found.rank, found.turn, number.room
      from (select behind.*, 0 as turn from behind union all select before.*, 1 from before) as found
      join private.outbox_lanes as lane on lane.lane_id = found.lane_id
      left join public.wa_phone_numbers as connection on connection.id = lane.connection_id
      cross join lateral (
        select case
          when lane.connection_id is null then p_limit
          when connection.status = 'active' and connection.deleted_at is null then
            (v_microseconds + greatest(v_ahead, v_second / connection.messages_per_second)
              - greatest(lane.next_at_microseconds, v_microseconds)) * connection.messages_per_second / v_second
        end as room
      ) as number
      where found.run_at <= v_now and lane.paused_until <= v_now and number.room >= 1
      limit greatest(1, least(p_limit / 10, v_class_count))
      for no key update of lane skip locked
    )
    select array_agg(class.lane_id order by class.turn, class.lane_id, class.rank),
      array_agg(class.rank order by class.turn, class.lane_id, class.rank),
      array_agg(class.room order by class.turn, class.lane_id, class.rank)
    into v_lane_ids, v_ranks, v_rooms from class;
    if v_lane_ids is null then
      return;
    end if;
    perform private.outbox_turn(v_lane_ids[cardinality(v_lane_ids)]);
    v_served := array(select distinct served.lane_id from unnest(v_lane_ids) as served (lane_id));

    v_ids := '{}';
    v_taken_lanes := '{}';
    v_line_ids := '{}';
    v_sequences := '{}';
    -- Each lane gets an equal share; what one doesn't use goes to the others.
    while v_lane_ids is not null and cardinality(v_ids) < p_limit loop
      with class as materialized (
        select class.*, ceil((p_limit - cardinality(v_ids))::numeric / cardinality(v_lane_ids))::bigint as share
        from unnest(v_lane_ids, v_ranks, v_rooms) with ordinality as class (lane_id, rank, room, turn)
      ), candidate as materialized (
        select found.tid, class.lane_id, class.room,
          row_number() over (partition by class.lane_id order by class.rank, found.run_at, found.sequence) as place
        from class cross join lateral (
          select ready.ctid as tid, ready.run_at, ready.sequence from private.outbox_ready as ready
          where ready.lane_id = class.lane_id and ready.rank = class.rank and ready.run_at <= v_now
          order by ready.run_at, ready.sequence limit least(class.room, class.share)) as found
      ), chosen as materialized (
        select candidate.tid from candidate where candidate.place <= candidate.room
        order by candidate.place limit p_limit - cardinality(v_ids)
      ), taken as materialized (
        delete from private.outbox_ready as ready where ready.ctid = any (array(select chosen.tid from chosen))
        returning ready.*
      ), remaining as (
        select class.*, class.room - (select count(*) from taken where taken.lane_id = class.lane_id) as room_left,
          (select count(*) from taken where taken.lane_id = class.lane_id and taken.rank = class.rank) as used
        from class
      ), more as (
        select remaining.* from remaining
        where remaining.room_left >= 1 and remaining.used >= least(remaining.room, remaining.share)
      )
      select batch.*, next.*
      from (
        select array_agg(taken.id order by taken.rank, taken.run_at, taken.sequence) filter (where not taken.joins)
            as ids,
          array_agg(taken.lane_id order by taken.rank, taken.run_at, taken.sequence) filter (where not taken.joins)
            as lane_ids,
          array_agg(taken.line_id order by taken.rank, taken.run_at, taken.sequence) filter (where not taken.joins)
            as line_ids,
          array_agg(taken.sequence order by taken.rank, taken.run_at, taken.sequence) filter (where not taken.joins)
            as sequences,
          array_agg(taken.id) filter (where taken.joins) as joining
        from taken
      ) as batch
      cross join (
        select array_agg(more.lane_id order by more.turn) as more_lane_ids,
          array_agg(more.rank order by more.turn) as more_ranks,
          array_agg(more.room_left order by more.turn) as more_rooms
        from more
      ) as next
      into v_taken;
      if v_taken.joining is not null then
        perform private.queue_outbox(v_taken.joining);
      end if;
      v_ids := v_ids || coalesce(v_taken.ids, '{}');
      v_taken_lanes := v_taken_lanes || coalesce(v_taken.lane_ids, '{}');
      v_line_ids := v_line_ids || coalesce(v_taken.line_ids, '{}');
      v_sequences := v_sequences || coalesce(v_taken.sequences, '{}');
      v_lane_ids := v_taken.more_lane_ids;
      v_ranks := v_taken.more_ranks;
      v_rooms := v_taken.more_rooms;
    end loop;
    continue when v_ids = '{}';

    update private.outbox_lanes as lane
    set next_at_microseconds = greatest(lane.next_at_microseconds, v_microseconds)
      + used.count * v_second / connection.messages_per_second
    from (select taken.lane_id, count(*) from unnest(v_taken_lanes) as taken (lane_id) group by taken.lane_id) as used,
      public.wa_phone_numbers as connection
    where lane.lane_id = used.lane_id and connection.id = lane.connection_id;

    insert into private.outbox_leases (worker, expires_at, ids)
    values (p_worker, v_now + make_interval(secs => v_lease_seconds), v_ids) returning * into v_lease;
    return query
    with sender as materialized (
      select lane.lane_id, lane.next_at_microseconds - v_microseconds as next_in, connection.messages_per_second as rate,
        connection.phone_number_id,
        -- Opened once, however many messages leave by the number.
        private.connection_secret(connection.id) as access_token_ciphertext
      from unnest(v_served) as served (lane_id)
      join private.outbox_lanes as lane on lane.lane_id = served.lane_id
      left join public.wa_phone_numbers as connection on connection.id = lane.connection_id
    ), taken as materialized (
      select batch.*, row_number() over (partition by batch.lane_id order by batch.turn desc) as places_left
      from unnest(v_ids, v_taken_lanes) with ordinality as batch (id, lane_id, turn)
    )
    select v_lease.token, v_lease.expires_at, outbox.id, outbox.workspace_id, outbox.channel, outbox.connection_id,
      outbox.thread_id, outbox.recipient, outbox.payload, outbox.attempts + 1, outbox.max_attempts,
      sender.phone_number_id, sender.access_token_ciphertext,
      coalesce(greatest(sender.next_in - taken.places_left * v_second / sender.rate, 0), 0)::double precision / 1000000,
      coalesce(v_second / 1000000.0 / sender.rate, 0)::double precision
    from taken
    join sender on sender.lane_id = taken.lane_id
    join public.outbox_messages as outbox on outbox.id = taken.id and outbox.status = 'queued'
    order by taken.turn;
    get diagnostics v_found = row_count;
    exit when v_found = cardinality(v_ids);

    -- Some were settled, or deleted, since they were queued.
    select array_agg(taken.id) filter (where outbox.id is not null) as ids,
      array_agg(taken.line_id) filter (where outbox.id is null) as line_ids,
      array_agg(taken.sequence) filter (where outbox.id is null) as sequences
    into v_taken
    from unnest(v_ids, v_line_ids, v_sequences) as taken (id, line_id, sequence)
    left join public.outbox_messages as outbox on outbox.id = taken.id and outbox.status = 'queued';
    perform private.leave_outbox_lines(v_taken.line_ids, v_taken.sequences, false);
    if v_taken.ids is not null then
      update private.outbox_leases as lease set ids = v_taken.ids where lease.token = v_lease.token;
      exit;
    end if;
    delete from private.outbox_leases as lease where lease.token = v_lease.token;
  end loop;
end $$;

ALTER FUNCTION public.claim_outbox(p_limit integer, p_worker text) OWNER TO postgres;

--
-- Name: complete_follow_up(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.complete_follow_up(p_id uuid) RETURNS jsonb
    LANGUAGE sql
    SET search_path TO ''
    AS $$
  select private.move_follow_up(p_id, null, true)
$$;

ALTER FUNCTION public.complete_follow_up(p_id uuid) OWNER TO postgres;

--
-- Name: complete_outbox(bigint, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.complete_outbox(p_token bigint, p_results jsonb) RETURNS TABLE(id uuid, outcome text)
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
#variable_conflict use_column
declare
  v_held uuid[];
  v_sent uuid[];
  v_line_ids bigint[];
  v_sequences bigint[];
  v_in_threads boolean;
  v_automated boolean;
begin
  select lease.ids into v_held from private.outbox_leases as lease where lease.token = p_token for update;

  -- What is both held and reported, found by sorting: a join's plan would depend on what the planner expects.
  with result as materialized (
    select either.id, max(either.provider_message_id) as provider_message_id
    from (
      select result.id, result.provider_message_id, 1 as reported, 0 as held
      from jsonb_to_recordset(p_results) as result (id uuid, provider_message_id text)
      union all
      select held.id, null, 0, 1 from unnest(v_held) as held (id)
    ) as either
    group by either.id having sum(either.reported) > 0 and sum(either.held) > 0
    order by either.id
  ), sent as (
    update public.outbox_messages as outbox
    set status = 'sent', attempts = outbox.attempts + 1, lease_token = p_token,
      provider_message_id = result.provider_message_id, settled_at = clock_timestamp(),
      error_code = null, error_text = null
    from result
    where outbox.id = result.id and outbox.status = 'queued'
    returning outbox.id, outbox.thread_id, outbox.line_id, outbox.sequence, outbox.automated
  )
  select array_agg(sent.id), array_agg(sent.line_id), array_agg(sent.sequence), bool_or(sent.thread_id is not null),
    bool_or(sent.automated)
  into v_sent, v_line_ids, v_sequences, v_in_threads, v_automated from sent;

  if v_in_threads then
    perform private.show_sent_outbox(v_sent);
  end if;
  if v_sent is not null then
    perform private.leave_outbox_lines(v_line_ids, v_sequences, true);
  end if;
  if v_automated then
    perform private.follow_lead_messages(v_sent);
  end if;
  if cardinality(v_sent) = jsonb_array_length(p_results) then
    if cardinality(v_sent) = cardinality(v_held) then
      delete from private.outbox_leases as lease where lease.token = p_token;
    else
      perform private.shrink_outbox_lease(p_token, v_sent);
    end if;
    return query select sent.id, 'sent' from unnest(v_sent) as sent (id);
    return;
  end if;

  -- Repetitions, and messages that a status or a person settled first: the lines of those are left all the same.
  perform private.leave_outbox_lines(array_agg(outbox.line_id), array_agg(outbox.sequence), true)
  from jsonb_to_recordset(p_results) as result (id uuid)
  join unnest(v_held) as held (id) on held.id = result.id
  join public.outbox_messages as outbox on outbox.id = result.id;
  return query
  select result.id, private.outbox_report_outcome(p_token, result.id = any (v_held), outbox)
  from jsonb_to_recordset(p_results) as result (id uuid)
  left join public.outbox_messages as outbox on outbox.id = result.id;
  perform private.shrink_outbox_lease(p_token, array_agg(result.id))
  from jsonb_to_recordset(p_results) as result (id uuid);
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
-- Name: count_contacts(uuid, text, text[], text[], uuid, text, text, boolean); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.count_contacts(p_workspace_id uuid, p_search text DEFAULT NULL::text, p_lead_statuses text[] DEFAULT NULL::text[], p_tags text[] DEFAULT NULL::text[], p_assigned_to uuid DEFAULT NULL::uuid, p_my_status text DEFAULT NULL::text, p_follow_up text DEFAULT NULL::text, p_exact boolean DEFAULT true) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_range record := private.follow_up_range(coalesce(p_follow_up, 'any'));
begin
  perform private.check_my_status(p_my_status, array['hot', 'working', 'follow_up', 'none']);
  return private.count_of_contacts(p_workspace_id,
    jsonb_strip_nulls(jsonb_build_object('search', p_search, 'lead_statuses', p_lead_statuses, 'tags', p_tags,
      'assigned_to', p_assigned_to)),
    case when p_follow_up is not null or p_my_status <> 'none' then array(
      select marked.contact_id from public.user_contact_settings as marked
      where marked.user_id = (select auth.uid())
        and (p_my_status is null or marked.status is not distinct from nullif(p_my_status, 'none'))
        and (p_follow_up is null or (marked.follow_up_at >= v_range.p_from and marked.follow_up_at < v_range.p_to))) end,
    case when p_my_status = 'none' then array(
      select marked.contact_id from public.user_contact_settings as marked
      where marked.user_id = (select auth.uid()) and marked.status is not null) end,
    coalesce(p_exact, true));
end $$;

ALTER FUNCTION public.count_contacts(p_workspace_id uuid, p_search text, p_lead_statuses text[], p_tags text[], p_assigned_to uuid, p_my_status text, p_follow_up text, p_exact boolean) OWNER TO postgres;

--
-- Name: count_follow_ups(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.count_follow_ups(p_workspace_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_user_id constant uuid := private.require_user();
  v_midnight constant timestamptz := (private.follow_up_range('upcoming')).p_from;
begin
  return (
    select jsonb_build_object(
      'overdue', count(*) filter (where due.follow_up_at < now()),
      'today', count(*) filter (where due.follow_up_at >= now() and due.follow_up_at < v_midnight),
      'upcoming', count(*) filter (where due.follow_up_at >= v_midnight))
    from (
      select settings.follow_up_at from public.user_contact_settings as settings
      where settings.user_id = v_user_id and settings.follow_up_at is not null
        and (p_workspace_id is null or settings.workspace_id = p_workspace_id)
      union all
      select settings.follow_up_at from public.user_tma_settings as settings
      where settings.user_id = v_user_id and settings.follow_up_at is not null
        and (p_workspace_id is null or settings.workspace_id = p_workspace_id)
    ) as due);
end $$;

ALTER FUNCTION public.count_follow_ups(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: count_threads(uuid, jsonb, uuid, boolean); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.count_threads(p_workspace_id uuid, p_filter jsonb DEFAULT '{}'::jsonb, p_view_id uuid DEFAULT NULL::uuid, p_exact boolean DEFAULT true) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_count bigint;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  execute 'select count(*) from (' || private.threads_found('thread.id', p_workspace_id, p_filter, p_view_id, '')
    || case when p_exact then '' else ' limit 5001' end || ') as found'
    into v_count;
  return jsonb_build_object('count', case when p_exact then v_count else least(v_count, 5000) end,
    'is_exact', coalesce(p_exact, false) or v_count <= 5000);
end $$;

ALTER FUNCTION public.count_threads(p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_exact boolean) OWNER TO postgres;

--
-- Name: create_candidate(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.create_candidate(p_workspace_id uuid, p_fields jsonb) RETURNS public.tma_candidates
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_fields jsonb;
  v_candidate public.tma_candidates;
  v_constraint text;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  v_fields := private.checked_fields(p_fields, array['name', 'email', 'phone', 'tags', 'status_tags', 'source']);
  if num_nonnulls(v_fields ->> 'name', v_fields ->> 'email', v_fields ->> 'phone') = 0 then
    perform private.raise_error(400, 'invalid_value', '{"field": "name"}', 'Give a name, an e-mail or a phone number.');
  end if;
  v_candidate := jsonb_populate_record(null::public.tma_candidates, v_fields);
  insert into public.tma_candidates (workspace_id, name, email, phone, tags, status_tags, source, created_by)
  values (p_workspace_id, v_candidate.name, v_candidate.email, v_candidate.phone, coalesce(v_candidate.tags, '{}'),
    coalesce(v_candidate.status_tags, '{}'), coalesce(v_candidate.source, 'manual'), (select auth.uid()))
  returning * into v_candidate;
  return v_candidate;
exception when unique_violation or check_violation then
  get stacked diagnostics v_constraint = constraint_name;
  perform private.refuse_candidate(v_constraint, p_workspace_id, v_fields);
end $$;

ALTER FUNCTION public.create_candidate(p_workspace_id uuid, p_fields jsonb) OWNER TO postgres;

--
-- Name: create_chat(uuid, text, text, uuid[]); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.create_chat(p_workspace_id uuid, p_kind text, p_title text DEFAULT NULL::text, p_member_ids uuid[] DEFAULT '{}'::uuid[]) RETURNS public.chats
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_others uuid[];
  v_key text;
  v_chat public.chats;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member'], 'workspace_not_found',
    jsonb_build_object('workspace_id', p_workspace_id));
  v_others := array_remove(coalesce(p_member_ids, '{}'), v_user_id);
  if p_kind is null or p_kind not in ('direct', 'group', 'channel') then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'kind', 'allowed', array['direct', 'group', 'channel']), 'Use one that is allowed.');
  elsif p_kind <> 'direct' and length(btrim(coalesce(p_title, ''))) not between 1 and 200 then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'title'),
      'Give it a title of 1 to 200 characters.');
  elsif p_kind = 'direct' and cardinality(v_others) <> 1 then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'member_ids'),
      'A direct chat is with one other person: name that one.');
  end if;
  if p_kind = 'direct' then
    v_key := least(v_user_id, v_others[1]) || ':' || greatest(v_user_id, v_others[1]);
    p_title := null;
  end if;
  insert into public.chats as chat (workspace_id, kind, title, direct_key, created_by)
  values (p_workspace_id, p_kind, btrim(p_title), v_key, v_user_id)
  on conflict (workspace_id, direct_key) where direct_key is not null do update set direct_key = chat.direct_key
  returning * into v_chat;
  perform private.add_to_chat(v_chat, array[v_user_id], case p_kind when 'direct' then 'member' else 'owner' end);
  perform private.add_to_chat(v_chat, v_others, 'member');
  return v_chat;
end $$;

ALTER FUNCTION public.create_chat(p_workspace_id uuid, p_kind text, p_title text, p_member_ids uuid[]) OWNER TO postgres;

--
-- Name: create_contact(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.create_contact(p_workspace_id uuid, p_fields jsonb) RETURNS public.contacts
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_fields jsonb;
  v_contact public.contacts;
  v_constraint text;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  v_fields := private.checked_fields(p_fields,
    array['name', 'email', 'phone', 'lead_status', 'tags', 'status_tags', 'source', 'assigned_to']);
  if num_nonnulls(v_fields ->> 'name', v_fields ->> 'email', v_fields ->> 'phone') = 0 then
    perform private.raise_error(400, 'invalid_value', '{"field": "name"}', 'Give a name, an e-mail or a phone number.');
  end if;
  v_contact := jsonb_populate_record(null::public.contacts, v_fields);
  insert into public.contacts (workspace_id, name, email, phone, lead_status, tags, status_tags, source, assigned_to,
    created_by)
  values (p_workspace_id, v_contact.name, v_contact.email, v_contact.phone, coalesce(v_contact.lead_status, 'new'),
    coalesce(v_contact.tags, '{}'), coalesce(v_contact.status_tags, '{}'), coalesce(v_contact.source, 'manual'),
    v_contact.assigned_to, (select auth.uid()))
  returning * into v_contact;
  return v_contact;
exception when unique_violation or foreign_key_violation then
  get stacked diagnostics v_constraint = constraint_name;
  perform private.refuse_contact(v_constraint, p_workspace_id, v_fields);
end $$;

ALTER FUNCTION public.create_contact(p_workspace_id uuid, p_fields jsonb) OWNER TO postgres;

--
-- Name: leads; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.leads (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    contact_id uuid,
    client_id uuid,
    project_id uuid,
    user_id uuid,
    score integer DEFAULT 0 NOT NULL,
    status text DEFAULT 'new'::text NOT NULL,
    control text DEFAULT 'automation'::text NOT NULL,
    taken_by uuid,
    taken_at timestamp with time zone,
    replied_at timestamp with time zone,
    reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT leads_control_check CHECK ((control = ANY (ARRAY['automation'::text, 'human'::text]))),
    CONSTRAINT leads_status_check CHECK ((status = ANY (ARRAY['new'::text, 'pending'::text, 'queued'::text, 'contacted'::text, 'engaged'::text, 'qualified'::text, 'lost'::text]))),
    CONSTRAINT leads_taken_by_check CHECK (((taken_by IS NULL) OR (control = 'human'::text)))
)
WITH (fillfactor='70');

ALTER TABLE public.leads OWNER TO postgres;

--
-- Name: create_leads(uuid, uuid[], jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.create_leads(p_workspace_id uuid, p_contact_ids uuid[], p_fields jsonb DEFAULT '{}'::jsonb) RETURNS SETOF public.leads
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
#variable_conflict use_column
declare
  v_missing uuid;
  v_new public.leads;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  perform private.check_lead_fields(p_workspace_id, p_fields, array['client_id', 'project_id', 'user_id', 'score']);
  if coalesce(cardinality(p_contact_ids), 0) not between 1 and 1000 then
    perform private.raise_error(400, 'too_many_ids',
      jsonb_build_object('field', 'contact_ids', 'count', coalesce(cardinality(p_contact_ids), 0), 'limit', 1000),
      'Name 1 to 1,000 contacts at once.');
  end if;
  select asked.id into v_missing from unnest(p_contact_ids) as asked (id)
  where not exists (
    select from public.contacts as contact
    where contact.workspace_id = p_workspace_id and contact.id = asked.id and contact.deleted_at is null)
  limit 1;
  if v_missing is not null then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', v_missing),
      'Check the id; it may belong to another workspace.');
  end if;
  v_new := jsonb_populate_record(null::public.leads, p_fields);
  -- One at a time for each contact, so that a second click makes no second lead.
  perform 1 from public.contacts as contact where contact.id = any (p_contact_ids) order by contact.id for no key update;
  return query
  with made as (
    insert into public.leads (workspace_id, contact_id, client_id, project_id, user_id, score)
    select p_workspace_id, asked.id, v_new.client_id, v_new.project_id, v_new.user_id, coalesce(v_new.score, 0)
    from (select distinct given.id from unnest(p_contact_ids) as given (id)) as asked
    where not exists (
      select from public.leads as lead
      where lead.workspace_id = p_workspace_id and lead.contact_id = asked.id
        and lead.project_id is not distinct from v_new.project_id and lead.status not in ('qualified', 'lost'))
    returning *
  )
  select * from made;
end $$;

ALTER FUNCTION public.create_leads(p_workspace_id uuid, p_contact_ids uuid[], p_fields jsonb) OWNER TO postgres;

--
-- Name: create_saved_view(uuid, text, jsonb, boolean, boolean); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.create_saved_view(p_workspace_id uuid, p_name text, p_filters jsonb DEFAULT '{}'::jsonb, p_is_default boolean DEFAULT false, p_is_shared boolean DEFAULT false) RETURNS public.wa_saved_views
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_view public.wa_saved_views;
begin
  perform private.require_role(p_workspace_id,
    case when p_is_shared then array['owner', 'admin'] else array['owner', 'admin', 'member'] end,
    'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  perform private.check_view(p_name, p_filters);
  if p_is_default then
    update public.wa_saved_views as view set is_default = false
    where view.workspace_id = p_workspace_id and view.user_id = v_user_id and view.is_default;
  end if;
  insert into public.wa_saved_views (workspace_id, user_id, name, filters, is_default, is_shared)
  values (p_workspace_id, v_user_id, btrim(p_name), p_filters, coalesce(p_is_default, false),
    coalesce(p_is_shared, false))
  returning * into v_view;
  return v_view;
exception when unique_violation then
  perform private.raise_error(409, 'view_name_taken', jsonb_build_object('name', p_name), 'Choose another name.');
end $$;

ALTER FUNCTION public.create_saved_view(p_workspace_id uuid, p_name text, p_filters jsonb, p_is_default boolean, p_is_shared boolean) OWNER TO postgres;

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
-- Name: delete_candidate(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.delete_candidate(p_candidate_id uuid) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform private.require_role(
    (select candidate.workspace_id from public.tma_candidates as candidate where candidate.id = p_candidate_id),
    array['owner', 'admin', 'member'], 'candidate_not_found', jsonb_build_object('candidate_id', p_candidate_id));
  delete from public.tma_candidates as candidate where candidate.id = p_candidate_id;
  return p_candidate_id;
end $$;

ALTER FUNCTION public.delete_candidate(p_candidate_id uuid) OWNER TO postgres;

--
-- Name: delete_canned_response(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.delete_canned_response(p_response_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id constant uuid := (
    select response.workspace_id from public.canned_responses as response where response.id = p_response_id);
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'canned_response_not_found',
    jsonb_build_object('response_id', p_response_id));
  delete from public.canned_responses as response where response.id = p_response_id;
end $$;

ALTER FUNCTION public.delete_canned_response(p_response_id uuid) OWNER TO postgres;

--
-- Name: delete_contact(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.delete_contact(p_contact_id uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id constant uuid := (
    select contact.workspace_id from public.contacts as contact
    where contact.id = p_contact_id and contact.deleted_at is null);
  v_threads uuid[];
  v_counts jsonb;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  perform pg_advisory_xact_lock(hashtextextended(v_workspace_id::text, 256));
  perform 1 from public.contacts as contact
  where contact.id = p_contact_id and contact.deleted_at is null for update;
  if not found then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', p_contact_id),
      'The contact was deleted meanwhile.');
  end if;
  v_threads := array(
    select thread.id from public.wa_threads as thread
    where thread.workspace_id = v_workspace_id and thread.contact_id = p_contact_id order by thread.id for update);
  perform private.withdraw_threads(v_threads);
  v_counts := jsonb_build_object(
    'contacts', 1,
    'notes', (select count(*) from public.contact_notes as note
      where note.workspace_id = v_workspace_id and note.contact_id = p_contact_id),
    'conversations', cardinality(v_threads),
    'messages', (select count(*) from public.wa_messages as message where message.thread_id = any (v_threads)),
    'call_logs', (select count(*) from public.contact_call_logs as log
      where log.workspace_id = v_workspace_id and log.contact_id = p_contact_id),
    'leads', (select count(*) from public.leads as lead
      where lead.workspace_id = v_workspace_id and lead.contact_id = p_contact_id),
    -- The caller's own: whether a colleague has any is nobody's business.
    'my_settings', (select count(*) from public.user_contact_settings as settings
      where settings.contact_id = p_contact_id and settings.user_id = (select auth.uid())));
  delete from public.contacts as contact where contact.id = p_contact_id;
  return v_counts;
end $$;

ALTER FUNCTION public.delete_contact(p_contact_id uuid) OWNER TO postgres;

--
-- Name: delete_contact_note(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.delete_contact_note(p_note_id uuid) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_note public.contact_notes;
begin
  select note.* into v_note from public.contact_notes as note where note.id = p_note_id;
  perform private.require_role(v_note.workspace_id,
    case when v_note.author_id = (select auth.uid()) then array['owner', 'admin', 'member']
      else array['owner', 'admin'] end,
    'note_not_found', jsonb_build_object('note_id', p_note_id));
  delete from public.contact_notes as note where note.id = p_note_id;
  return p_note_id;
end $$;

ALTER FUNCTION public.delete_contact_note(p_note_id uuid) OWNER TO postgres;

--
-- Name: delete_message(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.delete_message(p_message_id uuid) RETURNS public.chat_messages
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_message public.chat_messages := private.lock_own_message(p_message_id, true);
begin
  if v_message.deleted_at is not null then
    return v_message;
  end if;
  -- It no longer counts as unread for those who haven't come to it.
  update public.chat_members as member
  set unread_deleted_count = member.unread_deleted_count + 1,
    unread_mention_count = member.unread_mention_count - (member.user_id = any (v_message.mentions))::integer
  where member.chat_id = v_message.chat_id and member.last_read_seq < v_message.seq;
  update public.chats as chat
  set last_rev = chat.last_rev + 1,
    last_message_preview = case when chat.last_seq <> v_message.seq then chat.last_message_preview end
  where chat.id = v_message.chat_id
  returning last_rev into v_message.rev;
  update public.chat_messages as message
  set body = null, attachments = '[]', mentions = '{}', rev = v_message.rev, deleted_at = clock_timestamp()
  where message.id = p_message_id
  returning * into v_message;
  return v_message;
end $$;

ALTER FUNCTION public.delete_message(p_message_id uuid) OWNER TO postgres;

--
-- Name: delete_saved_view(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.delete_saved_view(p_view_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_view public.wa_saved_views := private.lock_view(p_view_id);
begin
  delete from public.wa_saved_views as view where view.id = v_view.id;
end $$;

ALTER FUNCTION public.delete_saved_view(p_view_id uuid) OWNER TO postgres;

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
-- Name: dismiss_contact_duplicate(uuid, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.dismiss_contact_duplicate(p_contact_id uuid, p_duplicate_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id uuid := (
    select contact.workspace_id from public.contacts as contact
    where contact.id = p_contact_id and contact.deleted_at is null);
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  if p_contact_id = p_duplicate_id then
    perform private.raise_error(400, 'invalid_value', '{"field": "duplicate_id"}', 'Name two contacts.');
  end if;
  insert into public.contact_duplicates as known (workspace_id, contact_id, duplicate_id, reason, dismissed_at)
  select v_workspace_id, least(p_contact_id, contact.id), greatest(p_contact_id, contact.id),
    'Somebody said that they are two people.', now()
  from public.contacts as contact
  where contact.id = p_duplicate_id and contact.workspace_id = v_workspace_id and contact.deleted_at is null
  on conflict on constraint contact_duplicates_pkey
    do update set dismissed_at = coalesce(known.dismissed_at, excluded.dismissed_at);
  if not found then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', p_duplicate_id),
      'Check the ids; both contacts have to be of one workspace.');
  end if;
end $$;

ALTER FUNCTION public.dismiss_contact_duplicate(p_contact_id uuid, p_duplicate_id uuid) OWNER TO postgres;

--
-- Name: edit_message(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.edit_message(p_message_id uuid, p_body text) RETURNS public.chat_messages
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_message public.chat_messages := private.lock_own_message(p_message_id, false);
begin
  perform private.require_message_text(p_body, v_message.attachments <> '[]');
  if v_message.deleted_at is not null then
    perform private.raise_error(409, 'message_deleted', jsonb_build_object('message_id', p_message_id),
      'Write a new message.');
  elsif v_message.body is not distinct from nullif(p_body, '') then
    return v_message;
  end if;
  update public.chats as chat
  set last_rev = chat.last_rev + 1,
    last_message_preview = case chat.last_seq when v_message.seq then left(nullif(p_body, ''), 120)
      else chat.last_message_preview end
  where chat.id = v_message.chat_id
  returning last_rev into v_message.rev;
  update public.chat_messages as message
  set body = nullif(p_body, ''), rev = v_message.rev, edited_at = clock_timestamp() where message.id = p_message_id
  returning * into v_message;
  return v_message;
end $$;

ALTER FUNCTION public.edit_message(p_message_id uuid, p_body text) OWNER TO postgres;

--
-- Name: enqueue_outbox(uuid, text, text[], jsonb[], text[], uuid, uuid[], integer, timestamp with time zone, boolean, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.enqueue_outbox(p_workspace_id uuid, p_channel text, p_recipients text[], p_payloads jsonb[], p_idempotency_keys text[], p_connection_id uuid DEFAULT NULL::uuid, p_thread_ids uuid[] DEFAULT NULL::uuid[], p_priority integer DEFAULT 0, p_scheduled_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_automated boolean DEFAULT false, p_max_attempts integer DEFAULT 5) RETURNS uuid[]
    LANGUAGE plpgsql
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_ids uuid[];
  v_count integer;
  v_conflict text;
begin
  if cardinality(p_recipients) is distinct from cardinality(p_payloads)
    or cardinality(p_recipients) is distinct from cardinality(p_idempotency_keys)
    or (p_thread_ids is not null and cardinality(p_recipients) is distinct from cardinality(p_thread_ids))
    or p_priority is null or p_priority not between -100 and 100
    or p_max_attempts is null or p_max_attempts not between 1 and 100
  then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('fields', jsonb_build_array(
      'p_recipients', 'p_payloads', 'p_idempotency_keys', 'p_thread_ids', 'p_priority', 'p_max_attempts')),
      'Give arrays of one length, a priority of -100 to 100, and 1 to 100 attempts.');
  end if;

  -- A key that is there already keeps its message; a key twice in one call is the first of them.
  v_ids := array(select gen_random_uuid() from generate_series(1, cardinality(p_recipients)));
  insert into public.outbox_messages (id, workspace_id, channel, connection_id, thread_id, recipient, payload,
    idempotency_key, automated, priority, max_attempts, scheduled_at)
  select given.id, p_workspace_id, p_channel, p_connection_id, given.thread_id, given.recipient, given.payload,
    given.idempotency_key, p_automated, p_priority, p_max_attempts, coalesce(p_scheduled_at, now())
  from unnest(v_ids, p_recipients, p_payloads, p_idempotency_keys, p_thread_ids)
    as given (id, recipient, payload, idempotency_key, thread_id)
  on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing;
  get diagnostics v_count = row_count;
  if v_count = cardinality(v_ids) then
    return v_ids;
  end if;

  select array_agg(outbox.id order by given.place),
    min(given.idempotency_key) filter (where outbox.payload <> given.payload or outbox.recipient <> given.recipient
      or outbox.channel <> p_channel or outbox.connection_id is distinct from p_connection_id
      or outbox.thread_id is distinct from given.thread_id)
  into v_ids, v_conflict
  from unnest(p_recipients, p_payloads, p_idempotency_keys, p_thread_ids) with ordinality
    as given (recipient, payload, idempotency_key, thread_id, place)
  join public.outbox_messages as outbox
    on outbox.workspace_id = p_workspace_id and outbox.idempotency_key = given.idempotency_key;
  if v_conflict is not null then
    perform private.raise_error(409, 'idempotency_conflict', jsonb_build_object('idempotency_key', v_conflict),
      'Use a new key for a new message.');
  end if;
  return coalesce(v_ids, '{}');
end $$;

ALTER FUNCTION public.enqueue_outbox(p_workspace_id uuid, p_channel text, p_recipients text[], p_payloads jsonb[], p_idempotency_keys text[], p_connection_id uuid, p_thread_ids uuid[], p_priority integer, p_scheduled_at timestamp with time zone, p_automated boolean, p_max_attempts integer) OWNER TO postgres;

--
-- Name: export_queue(uuid, date, date, uuid, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.export_queue(p_workspace_id uuid, p_from date DEFAULT NULL::date, p_until date DEFAULT NULL::date, p_user_id uuid DEFAULT NULL::uuid, p_after text DEFAULT NULL::text, p_limit integer DEFAULT 5000) RETURNS json
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  -- - = + @, tab and line ends.
  v_formula constant integer[] := array[45, 61, 43, 64, 9, 13, 10];
  v_after_day date := coalesce(p_from, '-infinity');
  v_after_id uuid := '00000000-0000-0000-0000-000000000000';
  v_page record;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if not coalesce(p_limit between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Ask for 1 to 10,000 rows at once.');
  elsif p_after is not null then
    if p_after !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
      perform private.raise_error(400, 'invalid_value', '{"field": "after"}', 'Send the cursor of the page before.');
    end if;
    v_after_day := split_part(p_after, ':', 1)::date;
    v_after_id := split_part(p_after, ':', 2)::uuid;
  end if;
  with page as materialized (
    select queued.* from public.whatsapp_message_queue as queued
    where queued.workspace_id = p_workspace_id and queued.queue_day >= v_after_day
      and (p_after is null or (queued.queue_day, queued.id) > (v_after_day, v_after_id))
      and queued.queue_day <= coalesce(p_until, 'infinity')
      and (p_user_id is null or queued.user_id = p_user_id)
    order by queued.queue_day, queued.id
    limit p_limit
  ), cell as (
    select page.*, coalesce(contact.name, '') as name, coalesce(contact.email, '') as email,
      coalesce(contact.phone, '') as phone, coalesce(client.name, '') as client, coalesce(project.name, '') as project,
      coalesce(profile.email, '') as who, coalesce(page.last_error, page.reason, '') as why,
      coalesce(page.body, page.template ->> 'name', '') as message, lead.score, lead.status as lead_status, lead.control,
      coalesce(date_trunc('second', page.scheduled_for at time zone 'UTC') || 'Z', '') as due_at,
      coalesce(date_trunc('second', page.sent_at at time zone 'UTC') || 'Z', '') as left_at
    from page
    join public.leads as lead on lead.id = page.lead_id
    left join public.contacts as contact on contact.id = lead.contact_id
    left join public.clients as client on client.id = page.client_id
    left join public.projects as project on project.id = lead.project_id
    left join public.profiles as profile on profile.id = page.user_id
  ), line as (
    select cell.queue_day, cell.id, concat_ws(',', cell.queue_day, cell.status, cell.step, cell.id, cell.lead_id,
      '"' || case when ascii(cell.name) = any (v_formula) then '''' else '' end || replace(cell.name, '"', '""') || '"',
      '"' || case when ascii(cell.email) = any (v_formula) then '''' else '' end || replace(cell.email, '"', '""') || '"',
      cell.phone,
      '"' || case when ascii(cell.client) = any (v_formula) then '''' else '' end || replace(cell.client, '"', '""') || '"',
      '"' || case when ascii(cell.project) = any (v_formula) then '''' else '' end || replace(cell.project, '"', '""') || '"',
      cell.score, cell.lead_status, cell.control,
      '"' || case when ascii(cell.who) = any (v_formula) then '''' else '' end || replace(cell.who, '"', '""') || '"',
      cell.due_at, cell.left_at, cell.attempts,
      '"' || case when ascii(cell.why) = any (v_formula) then '''' else '' end || replace(cell.why, '"', '""') || '"',
      '"' || case when ascii(cell.message) = any (v_formula) then '''' else '' end || replace(cell.message, '"', '""') || '"') || E'\r\n' as text
    from cell
  )
  select (select count(*) from page) as rows,
    (select page.queue_day || ':' || page.id from page order by page.queue_day desc, page.id desc limit 1) as next,
    (select coalesce(string_agg(line.text, '' order by line.queue_day, line.id), '') from line) as csv
  into v_page;
  return json_build_object(
    'csv', case when p_after is null then 'queue_day,status,step,queue_id,lead_id,name,email,phone,client,project,score,'
      || E'lead_status,control,user,scheduled_for,sent_at,attempts,reason,message\r\n' else '' end || v_page.csv,
    'rows', v_page.rows, 'next', case when v_page.rows = p_limit then v_page.next end);
end $_$;

ALTER FUNCTION public.export_queue(p_workspace_id uuid, p_from date, p_until date, p_user_id uuid, p_after text, p_limit integer) OWNER TO postgres;

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
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_custom_plan'
    AS $_$
#variable_conflict use_column
declare
  v_held uuid[];
  v_settled uuid[];
  v_queued uuid[];
  v_connection_ids uuid[];
  v_scopes text[];
  v_reasons text[];
begin
  if exists (
    select 1 from jsonb_to_recordset(p_failures) as failure (action text, scope text)
    where failure.action is null
      or failure.action not in ('retry', 'release', 'pause_connection', 'fail', 'dead', 'unknown', 'cancel')
  ) then
    perform private.raise_error(400, 'invalid_value',
      '{"field": "action", "allowed": ["retry", "release", "pause_connection", "fail", "dead", "unknown", "cancel"]}',
      'Use one of the allowed actions.');
  end if;
  select lease.ids into v_held from private.outbox_leases as lease where lease.token = p_token for update;

  select array_agg(outbox.connection_id), array_agg(failure.scope), array_agg(failure.error_text)
  into v_connection_ids, v_scopes, v_reasons
  from jsonb_to_recordset(p_failures) as failure (id uuid, action text, error_text text, scope text)
  join unnest(v_held) as held (id) on held.id = failure.id
  join public.outbox_messages as outbox on outbox.id = failure.id and outbox.status = 'queued'
  where failure.action = 'retry' and failure.scope in ('number', 'account', 'app');
  if v_connection_ids is not null then
    perform private.pause_outbox_lanes(v_connection_ids, v_scopes, v_reasons);
  end if;

  with failure as materialized (
    select failure.*,
      -- Not the message's fault: it costs no attempt, and the message keeps its time.
      failure.action in ('release', 'pause_connection')
        or (failure.action = 'retry' and failure.scope in ('number', 'account', 'app')) is true as blameless
    from jsonb_to_recordset(p_failures) as failure
      (id uuid, action text, error_code text, error_text text, delay_seconds double precision, scope text)
    join unnest(v_held) as held (id) on held.id = failure.id
    order by failure.id
  ), settled as (
    update public.outbox_messages as outbox
    set status = case
        when failure.blameless then 'queued'
        when failure.action = 'retry' and outbox.attempts + 1 < outbox.max_attempts then 'queued'
        when failure.action in ('retry', 'dead') then 'dead'
        when failure.action = 'fail' then 'failed'
        when failure.action = 'cancel' then 'cancelled'
        else 'unknown'
      end,
      attempts = outbox.attempts + (not failure.blameless)::integer,
      lease_token = p_token,
      scheduled_at = case
        when (failure.action = 'retry' and not failure.blameless)
          or (failure.action = 'release' and failure.delay_seconds is not null)
          then clock_timestamp() + make_interval(secs => greatest(coalesce(failure.delay_seconds, 0), 0))
        else outbox.scheduled_at
      end,
      settled_at = case when failure.action in ('fail', 'dead', 'cancel') or (failure.action = 'retry'
        and not failure.blameless and outbox.attempts + 1 >= outbox.max_attempts) then clock_timestamp() end,
      error_code = failure.error_code, error_text = left(failure.error_text, 2000)
    from failure
    where outbox.id = failure.id and outbox.status = 'queued'
    returning outbox.id, outbox.status, outbox.connection_id, failure.action, failure.error_code, failure.error_text
  ), paused as (
    update public.wa_phone_numbers as connection
    set status = 'paused', status_reason = pausing.reason
    from (
      select settled.connection_id, min(left(settled.error_text, 500)) as reason
      from settled where settled.action = 'pause_connection' group by settled.connection_id
    ) as pausing
    where connection.id = pausing.connection_id and connection.status = 'active'
  ), shown as (
    update public.wa_messages as message
    set status = case when settled.status = 'unknown' then 'unknown' else 'failed' end,
      error_code = case when settled.error_code ~ '^[0-9]{1,9}$' then settled.error_code::integer end,
      error_text = left(settled.error_text, 2000)
    from settled
    where message.outbox_id = settled.id and settled.status in ('failed', 'dead', 'unknown')
      and message.status_rank < private.wa_status_rank('sent')
  )
  select array_agg(settled.id), array_agg(settled.id) filter (where settled.status = 'queued')
  into v_settled, v_queued from settled;

  perform private.return_outbox(v_queued) where v_queued is not null;
  perform private.note_outbox_problems(v_settled) where cardinality(v_settled) > coalesce(cardinality(v_queued), 0);
  perform private.leave_outbox_lines(array_agg(outbox.line_id), array_agg(outbox.sequence), true)
  from jsonb_to_recordset(p_failures) as failure (id uuid)
  join unnest(v_held) as held (id) on held.id = failure.id
  join public.outbox_messages as outbox on outbox.id = failure.id and outbox.status <> 'queued';
  perform private.follow_lead_messages(v_settled) where v_settled is not null;

  return query
  select failure.id, private.outbox_report_outcome(p_token, failure.id = any (v_held), outbox)
  from jsonb_to_recordset(p_failures) as failure (id uuid)
  left join public.outbox_messages as outbox on outbox.id = failure.id;
  perform private.shrink_outbox_lease(p_token, array_agg(failure.id))
  from jsonb_to_recordset(p_failures) as failure (id uuid);
end $_$;

ALTER FUNCTION public.fail_outbox(p_token bigint, p_failures jsonb) OWNER TO postgres;

--
-- Name: find_outbox_message(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.find_outbox_message(p_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_found jsonb;
begin
  select to_jsonb(outbox) - 'line_id' || jsonb_build_object(
    'status', case when lease.token is not null and outbox.status = 'queued' then 'processing' else outbox.status end,
    'attempts', outbox.attempts + (lease.token is not null and outbox.status = 'queued')::integer,
    'worker', lease.worker, 'lease_expires_at', lease.expires_at,
    'paused_until', case when lane.paused_until > now() then lane.paused_until end,
    'waits_for', (
      select other.id from private.outbox_lines as line
      join public.outbox_messages as other
        on other.line_id = line.line_id and other.sequence = line.head and other.thread_id = outbox.thread_id
      where line.line_id = outbox.line_id and outbox.status = 'queued' and outbox.scheduled_at <= now()
        and line.head <> outbox.sequence limit 1))
  into v_found
  from public.outbox_messages as outbox
  left join private.outbox_leases as lease on outbox.id = any (lease.ids)
  left join private.outbox_lanes as lane
    on lane.workspace_id = outbox.workspace_id and lane.connection_id is not distinct from outbox.connection_id
      and lane.channel = outbox.channel
  where outbox.id = p_id;
  if v_found is null then
    select archive.message || jsonb_build_object('archived_at', archive.archived_at) into v_found
    from private.outbox_archive as archive where archive.id = p_id;
  end if;
  if v_found is null then
    perform private.raise_error(404, 'outbox_message_not_found', jsonb_build_object('id', p_id),
      'Check the id; purged messages are gone.');
  end if;
  return v_found;
end $$;

ALTER FUNCTION public.find_outbox_message(p_id uuid) OWNER TO postgres;

--
-- Name: find_workspace(text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.find_workspace(p_ref text) RETURNS public.workspaces
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  return private.find_workspace(p_ref);
end $$;

ALTER FUNCTION public.find_workspace(p_ref text) OWNER TO postgres;

--
-- Name: get_account_tokens(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_account_tokens(p_workspace_id uuid) RETURNS TABLE(waba_id text, access_token_ciphertext text, asked_at timestamp with time zone)
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select distinct on (connection.waba_id) connection.waba_id, private.connection_secret(connection.id), now()
  from public.wa_phone_numbers as connection
  join private.wa_connection_secrets as secret on secret.connection_id = connection.id
  where connection.workspace_id = p_workspace_id and connection.deleted_at is null and connection.status = 'active'
  order by connection.waba_id, connection.created_at desc, connection.id
$$;

ALTER FUNCTION public.get_account_tokens(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: get_badge(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_badge() RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
begin
  return private.badge_of(v_user_id);
end $$;

ALTER FUNCTION public.get_badge() OWNER TO postgres;

--
-- Name: get_call_logs(uuid[], integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_call_logs(p_contact_ids uuid[], p_limit integer DEFAULT 20) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  if not private.is_service() then
    perform private.require_user();
  end if;
  if cardinality(p_contact_ids) > 500 then
    perform private.raise_error(400, 'too_many_ids',
      jsonb_build_object('field', 'contact_ids', 'count', cardinality(p_contact_ids), 'limit', 500),
      'Ask for at most 500 contacts at once.');
  elsif not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 calls of each contact.');
  end if;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('contact_id', asked.contact_id, 'calls', asked.calls)
      order by asked.place), '[]'::jsonb)
    from (
      select input.contact_id, input.place, (
        select coalesce(jsonb_agg(to_jsonb(latest) order by latest.called_at desc, latest.id desc), '[]'::jsonb)
        from (
          select log.* from public.contact_call_logs as log
          join public.contacts as contact on contact.id = input.contact_id and contact.workspace_id = log.workspace_id
          where log.contact_id = input.contact_id
          order by log.called_at desc, log.id desc
          limit p_limit
        ) as latest) as calls
      from (
        select given.contact_id, min(given.place) as place
        from unnest(p_contact_ids) with ordinality as given (contact_id, place)
        where given.contact_id is not null
        group by given.contact_id
      ) as input
    ) as asked);
end $$;

ALTER FUNCTION public.get_call_logs(p_contact_ids uuid[], p_limit integer) OWNER TO postgres;

--
-- Name: get_candidate(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_candidate(p_candidate_id uuid) RETURNS private.my_candidate
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_candidate private.my_candidate;
begin
  perform private.require_user();
  select candidate.id, candidate.workspace_id, candidate.name, candidate.email, candidate.phone, candidate.status_tags,
    candidate.tags, candidate.source, candidate.created_by, candidate.created_at, candidate.updated_at, settings.status,
    settings.follow_up_at, settings.follow_up_note
  into v_candidate
  from public.tma_candidates as candidate
  left join public.user_tma_settings as settings
    on settings.user_id = (select auth.uid()) and settings.tma_id = candidate.id
  where candidate.id = p_candidate_id;
  if not found then
    perform private.raise_error(404, 'candidate_not_found', jsonb_build_object('candidate_id', p_candidate_id),
      'Check the id; it may belong to another workspace.');
  end if;
  return v_candidate;
end $$;

ALTER FUNCTION public.get_candidate(p_candidate_id uuid) OWNER TO postgres;

--
-- Name: get_chat_changes(uuid, bigint, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_chat_changes(p_chat_id uuid, p_after_rev bigint, p_limit integer DEFAULT 200) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
  v_latest bigint;
  v_latest_rev bigint;
  v_messages public.chat_messages[];
begin
  if p_after_rev is null or p_after_rev < 0 or p_limit is null or p_limit not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('fields', array['after_rev', 'limit'], 'allowed', '1 to 1000'),
      'Name the last rev you have seen, 0 for none, and a limit of 1 to 1000.');
  end if;
  select chat.last_seq, chat.last_rev into v_latest, v_latest_rev from public.chats as chat
  where chat.id = v_member.chat_id;
  select array_agg(message order by message.rev) into v_messages from (
    select message.* from public.chat_messages as message
    where message.chat_id = p_chat_id and message.workspace_id = v_member.workspace_id and message.rev > p_after_rev
    order by message.rev limit p_limit
  ) as message;
  return jsonb_build_object(
    'messages', private.messages_as_json(p_chat_id, v_messages),
    'has_more', coalesce(cardinality(v_messages), 0) = p_limit,
    'latest_seq', v_latest, 'latest_rev', v_latest_rev);
end $$;

ALTER FUNCTION public.get_chat_changes(p_chat_id uuid, p_after_rev bigint, p_limit integer) OWNER TO postgres;

--
-- Name: get_chat_messages(uuid, bigint, bigint, bigint, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_chat_messages(p_chat_id uuid, p_before_seq bigint DEFAULT NULL::bigint, p_after_seq bigint DEFAULT NULL::bigint, p_around_seq bigint DEFAULT NULL::bigint, p_limit integer DEFAULT 50) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
  v_first bigint;
  v_last bigint;
  v_latest bigint;
  v_latest_rev bigint;
  v_messages public.chat_messages[];
begin
  if num_nonnulls(p_before_seq, p_after_seq, p_around_seq) > 1 or p_limit is null or p_limit not between 1 and 200 then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('fields', array['before_seq', 'after_seq', 'around_seq', 'limit'], 'allowed', '1 to 200'),
      'Name one place to read from, and a limit of 1 to 200.');
  end if;
  select chat.last_seq, chat.last_rev into v_latest, v_latest_rev from public.chats as chat
  where chat.id = v_member.chat_id;
  -- Numbers have no gaps, so a page is a range of them, wherever it lies.
  if p_after_seq is not null then
    v_first := greatest(p_after_seq, 0) + 1;
    v_last := least(v_first + p_limit - 1, v_latest);
  else
    v_last := least(coalesce(p_before_seq - 1, p_around_seq + p_limit / 2, v_latest), v_latest);
    v_first := greatest(v_last - p_limit + 1, 1);
  end if;
  select array_agg(message order by message.seq desc) into v_messages from public.chat_messages as message
  where message.chat_id = p_chat_id and message.seq between v_first and v_last;
  return jsonb_build_object(
    'messages', private.messages_as_json(p_chat_id, v_messages),
    'has_more', case when p_after_seq is null then v_first > 1 and v_last > 0 else v_last < v_latest end,
    'has_newer', v_last < v_latest,
    'latest_seq', v_latest, 'latest_rev', v_latest_rev);
end $$;

ALTER FUNCTION public.get_chat_messages(p_chat_id uuid, p_before_seq bigint, p_after_seq bigint, p_around_seq bigint, p_limit integer) OWNER TO postgres;

--
-- Name: get_connection_token(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_connection_token(p_connection_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_token jsonb;
begin
  select jsonb_build_object('phone_number_id', connection.phone_number_id,
    'access_token_ciphertext', private.connection_secret(connection.id))
  into v_token from public.wa_phone_numbers as connection
  where connection.id = p_connection_id and connection.deleted_at is null;
  if v_token is null then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('connection_id', p_connection_id),
      'Connect the number again.');
  end if;
  return v_token;
end $$;

ALTER FUNCTION public.get_connection_token(p_connection_id uuid) OWNER TO postgres;

--
-- Name: get_contact(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_contact(p_contact_id uuid) RETURNS private.my_contact
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_contact private.my_contact;
begin
  perform private.require_user();
  select contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, contact.lead_status,
    contact.status_tags, contact.tags, contact.source, contact.marketing_opted_out, contact.assigned_to,
    contact.created_by, contact.created_at, contact.updated_at, settings.status, settings.follow_up_at,
    settings.follow_up_note
  into v_contact
  from public.contacts as contact
  left join public.user_contact_settings as settings
    on settings.user_id = (select auth.uid()) and settings.contact_id = contact.id
  where contact.id = p_contact_id;
  if not found then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', p_contact_id),
      'Check the id; it may belong to another workspace.');
  end if;
  return v_contact;
end $$;

ALTER FUNCTION public.get_contact(p_contact_id uuid) OWNER TO postgres;

--
-- Name: get_inbox_counts(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_inbox_counts(p_workspace_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id constant uuid := (select auth.uid());
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  return (
    select jsonb_build_object(
      'open', coalesce(sum(tally.threads) filter (where tally.status = 'open'), 0),
      'pending', coalesce(sum(tally.threads) filter (where tally.status = 'pending'), 0),
      'snoozed', coalesce(sum(tally.threads) filter (where tally.status = 'snoozed'), 0),
      'closed', coalesce(sum(tally.threads) filter (where tally.status = 'closed'), 0))
    from (
      select thread.status, count(*) as threads from public.wa_threads as thread
      where thread.workspace_id = p_workspace_id group by thread.status
    ) as tally
  ) || jsonb_build_object(
    'mine', (
      select count(*) from public.wa_threads as thread
      where thread.workspace_id = p_workspace_id and thread.assignee_id = v_user_id and thread.status = 'open'),
    'unread', (
      select count(*) from public.wa_threads as thread
      left join public.wa_thread_reads as mine
        on mine.thread_id = thread.id and mine.connection_id = thread.connection_id
          and mine.workspace_id = thread.workspace_id and mine.user_id = v_user_id
      where thread.workspace_id = p_workspace_id and thread.has_unread
        and thread.inbound_count > coalesce(mine.read_count, 0)
    ) + (
      select count(*) from public.wa_thread_reads as mine
      join public.wa_threads as thread on thread.id = mine.thread_id
      where mine.workspace_id = p_workspace_id and mine.user_id = v_user_id and mine.is_marked_unread
        and not (thread.has_unread and thread.inbound_count > mine.read_count)),
    'waiting', (
      select count(*) from public.wa_threads as thread
      where thread.workspace_id = p_workspace_id and thread.waiting_since is not null),
    'breached', (
      with late as materialized (
        select private.late_before(settings, true) as for_first, private.late_before(settings, false) as for_next
        from public.inbox_settings as settings where settings.workspace_id = p_workspace_id
      )
      select count(*) from late join public.wa_threads as thread
        on thread.waiting_since < case when thread.first_response_seconds is null then late.for_first else late.for_next end
      where thread.workspace_id = p_workspace_id));
end $$;

ALTER FUNCTION public.get_inbox_counts(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: get_latest_seq(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_latest_seq(p_chat_id uuid) RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  return (select chat.last_seq from public.chats as chat where chat.id = v_member.chat_id);
end $$;

ALTER FUNCTION public.get_latest_seq(p_chat_id uuid) OWNER TO postgres;

--
-- Name: get_outbox_stats(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_outbox_stats(p_workspace_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  with lane as materialized (
    select lane.lane_id, lane.workspace_id, lane.channel, lane.connection_id, lane.paused_until, lane.pause_reason,
      coalesce(connection.status, 'active') as connection_status
    from private.outbox_lanes as lane
    left join public.wa_phone_numbers as connection on connection.id = lane.connection_id
    where p_workspace_id is null or lane.workspace_id = p_workspace_id
  ), ready as (
    select ready.lane_id, count(*) filter (where ready.run_at <= now()) as due,
      count(*) filter (where ready.run_at > now()) as scheduled,
      extract(epoch from now() - min(ready.run_at)) as oldest_seconds
    from private.outbox_ready as ready group by ready.lane_id
  ), waiting as (
    select waiting.lane_id, count(*) as waiting from private.outbox_waiting as waiting group by waiting.lane_id
  ), depth as (
    select lane.*, coalesce(ready.due, 0) as due, coalesce(ready.scheduled, 0) as scheduled,
      coalesce(waiting.waiting, 0) as waiting, greatest(ready.oldest_seconds, 0) as oldest_seconds
    from lane left join ready on ready.lane_id = lane.lane_id left join waiting on waiting.lane_id = lane.lane_id
  ), problem as (
    select problem.status, coalesce(problem.error_code, '') as error_code, count(*) as count
    from private.outbox_problems as problem
    where p_workspace_id is null or problem.workspace_id = p_workspace_id
    group by 1, 2
  )
  select jsonb_build_object(
    'due', coalesce(sum(depth.due), 0), 'scheduled', coalesce(sum(depth.scheduled), 0),
    'waiting', coalesce(sum(depth.waiting), 0),
    'oldest_due_seconds', coalesce(max(depth.oldest_seconds) filter (where depth.due > 0), 0),
    'processing', (
      select count(*) from private.outbox_leases as lease cross join unnest(lease.ids) as held (id)
      where p_workspace_id is null or exists (
        select 1 from public.outbox_messages as outbox
        where outbox.id = held.id and outbox.workspace_id = p_workspace_id)),
    'lanes', coalesce(jsonb_agg(jsonb_build_object(
      'workspace_id', depth.workspace_id, 'channel', depth.channel, 'connection_id', depth.connection_id,
      'due', depth.due, 'scheduled', depth.scheduled, 'waiting', depth.waiting,
      'oldest_due_seconds', case when depth.due > 0 then depth.oldest_seconds else 0 end,
      'connection_status', depth.connection_status,
      'paused_until', case when depth.paused_until > now() then depth.paused_until end,
      'pause_reason', case when depth.paused_until > now() then depth.pause_reason end)
      order by depth.due desc, depth.lane_id)
      filter (where depth.due + depth.scheduled + depth.waiting > 0 or depth.paused_until > now()), '[]'::jsonb),
    'problems', (
      select coalesce(jsonb_agg(to_jsonb(problem) order by problem.count desc, problem.status, problem.error_code),
        '[]'::jsonb) from problem))
  from depth
$$;

ALTER FUNCTION public.get_outbox_stats(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: get_outbox_wait(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_outbox_wait() RETURNS SETOF double precision
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  with recursive class (lane_id, rank, run_at) as (
    (select ready.lane_id, ready.rank, ready.run_at from private.outbox_ready as ready
     order by ready.lane_id, ready.rank, ready.run_at limit 1)
    union all
    select following.* from class cross join lateral (
      select ready.lane_id, ready.rank, ready.run_at from private.outbox_ready as ready
      where (ready.lane_id, ready.rank) > (class.lane_id, class.rank)
      order by ready.lane_id, ready.rank, ready.run_at limit 1) as following
  )
  select min(greatest(
    lane.next_at_microseconds::double precision / 1000000 - extract(epoch from clock_timestamp()), 0))
  from class
  join private.outbox_lanes as lane on lane.lane_id = class.lane_id
  left join public.wa_phone_numbers as connection on connection.id = lane.connection_id
  where class.run_at <= clock_timestamp() and lane.paused_until <= clock_timestamp()
    and (lane.connection_id is null or (connection.status = 'active' and connection.deleted_at is null))
  having count(*) > 0
$$;

ALTER FUNCTION public.get_outbox_wait() OWNER TO postgres;

--
-- Name: get_queue_status(uuid, date); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_queue_status(p_workspace_id uuid, p_day date DEFAULT NULL::date) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_day date;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  v_day := coalesce(p_day, private.local_day(private.queue_timezone(p_workspace_id, (select auth.uid()))));
  return jsonb_build_object('day', v_day, 'at', now(),
    'users', (
      select coalesce(jsonb_agg(to_jsonb(line) order by line.name, line.user_id), '[]')
      from (
        select person.user_id, coalesce(profile.full_name, profile.email, person.user_id::text) as name,
          coalesce(settings.daily_capacity, 0) as capacity, coalesce(settings.paused, false) as paused,
          coalesce(queue.queued, 0) as queued, coalesce(queue.sending, 0) as sending, coalesce(queue.sent, 0) as sent,
          coalesce(queue.failed, 0) as failed, coalesce(queue.cancelled, 0) as cancelled,
          coalesce(metrics.taken, 0) as taken, coalesce(metrics.replied, 0) as replied, metrics.first_sent_at,
          metrics.last_sent_at
        from (
          select settings.user_id from public.user_queue_settings as settings
          where settings.workspace_id = p_workspace_id
          union
          select metrics.user_id from public.queue_performance_metrics as metrics
          where metrics.workspace_id = p_workspace_id and metrics.day = v_day
        ) as person
        left join public.profiles as profile on profile.id = person.user_id
        left join public.user_queue_settings as settings
          on settings.workspace_id = p_workspace_id and settings.user_id = person.user_id
        left join public.queue_performance_metrics as metrics
          on metrics.workspace_id = p_workspace_id and metrics.user_id = person.user_id and metrics.day = v_day
        left join (
          select message.user_id, count(*) filter (where message.status = 'queued') as queued,
            count(*) filter (where message.status = 'sending') as sending,
            count(*) filter (where message.status = 'sent') as sent,
            count(*) filter (where message.status = 'failed') as failed,
            count(*) filter (where message.status = 'cancelled') as cancelled
          from public.whatsapp_message_queue as message
          where message.workspace_id = p_workspace_id and message.queue_day = v_day
          group by message.user_id
        ) as queue on queue.user_id = person.user_id
      ) as line),
    'problems', (
      select coalesce(jsonb_object_agg(counted.last_error, counted.count), '{}')
      from (
        select message.last_error, count(*) from public.whatsapp_message_queue as message
        where message.workspace_id = p_workspace_id and message.queue_day = v_day and message.status = 'failed'
          and message.last_error is not null
        group by message.last_error order by count(*) desc limit 10
      ) as counted));
end $$;

ALTER FUNCTION public.get_queue_status(p_workspace_id uuid, p_day date) OWNER TO postgres;

--
-- Name: get_thread(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_thread(p_thread_id uuid) RETURNS private.inbox_thread
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_found public.wa_threads;
  v_thread private.inbox_thread;
begin
  select thread.* into v_found from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_found.workspace_id, array['owner', 'admin', 'member', 'viewer'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  select shown.* into v_thread from private.threads_shown(array[v_found], 'last_message_at') as shown;
  return v_thread;
end $$;

ALTER FUNCTION public.get_thread(p_thread_id uuid) OWNER TO postgres;

--
-- Name: get_unread_count(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_unread_count(p_chat_id uuid) RETURNS bigint
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  return (
    select chat.last_seq - v_member.last_read_seq - v_member.unread_deleted_count from public.chats as chat
    where chat.id = p_chat_id);
end $$;

ALTER FUNCTION public.get_unread_count(p_chat_id uuid) OWNER TO postgres;

--
-- Name: get_unread_counts(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_unread_counts(p_workspace_id uuid DEFAULT NULL::uuid) RETURNS TABLE(chat_id uuid, unread_count bigint, mention_count integer)
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
  select member.chat_id, chat.last_seq - member.last_read_seq - member.unread_deleted_count,
    member.unread_mention_count
  from public.chat_members as member join public.chats as chat on chat.id = member.chat_id
  where member.user_id = (select private.require_user())
    and (p_workspace_id is null or member.workspace_id = p_workspace_id)
    and chat.last_seq - member.last_read_seq - member.unread_deleted_count > 0
$$;

ALTER FUNCTION public.get_unread_counts(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: get_workspace_overview(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.get_workspace_overview(p_workspace_id uuid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace public.workspaces;
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  v_workspace := private.find_workspace(p_workspace_id::text);
  return jsonb_build_object(
    'workspace', to_jsonb(v_workspace),
    'members', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'user_id', member.user_id, 'email', profile.email, 'full_name', profile.full_name, 'role', member.role,
        'since', member.created_at) order by member.created_at, member.user_id), '[]')
      from public.workspace_memberships as member join public.profiles as profile on profile.id = member.user_id
      where member.workspace_id = v_workspace.id),
    'entitlements', (
      select coalesce(jsonb_agg(to_jsonb(entitlement) - 'value' order by entitlement.key), '[]')
      from public.workspace_entitlements as entitlement where entitlement.workspace_id = v_workspace.id),
    'tokens', (
      select to_jsonb(account) from public.workspace_token_balance as account
      where account.workspace_id = v_workspace.id),
    'connections', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', connection.id, 'phone_number_id', connection.phone_number_id,
        'display_phone_number', connection.display_phone_number, 'status', connection.status,
        'status_reason', connection.status_reason, 'quality', connection.quality)
        order by connection.phone_number_id, connection.id), '[]')
      from public.wa_phone_numbers as connection
      where connection.workspace_id = v_workspace.id and connection.deleted_at is null),
    'queue', public.get_outbox_stats(v_workspace.id),
    'recent_audit', (
      select coalesce(jsonb_agg(to_jsonb(recent) order by recent.id desc), '[]')
      from (
        select entry.* from public.owner_audit_log as entry where entry.workspace_id = v_workspace.id
        order by entry.id desc limit 20) as recent));
end $$;

ALTER FUNCTION public.get_workspace_overview(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: workspace_token_grants; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspace_token_grants (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    amount bigint NOT NULL,
    remaining bigint NOT NULL,
    priority smallint DEFAULT 50 NOT NULL,
    effective_at timestamp with time zone DEFAULT now() NOT NULL,
    expires_at timestamp with time zone,
    status text DEFAULT 'open'::text NOT NULL,
    reason text,
    reference text,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workspace_token_grants_amount_check CHECK ((amount > 0)),
    CONSTRAINT workspace_token_grants_expires_at_check CHECK ((expires_at > effective_at)),
    CONSTRAINT workspace_token_grants_priority_check CHECK (((priority >= 0) AND (priority <= 100))),
    CONSTRAINT workspace_token_grants_remaining_check CHECK (((remaining >= 0) AND (remaining <= amount))),
    CONSTRAINT workspace_token_grants_status_check CHECK ((status = ANY (ARRAY['scheduled'::text, 'open'::text, 'used'::text, 'expired'::text])))
);

ALTER TABLE public.workspace_token_grants OWNER TO postgres;

--
-- Name: grant_workspace_tokens(uuid, bigint, text, text, timestamp with time zone, integer, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.grant_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text DEFAULT NULL::text, p_expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_priority integer DEFAULT 50, p_effective_at timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS public.workspace_token_grants
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_reference text := nullif(btrim(p_reference), '');
  v_effective_at timestamptz := greatest(p_effective_at, now());
  v_account public.workspace_token_balance;
  v_grant public.workspace_token_grants;
begin
  perform private.require_operator(array['owner', 'ops']);
  perform private.check_tokens(p_amount, p_reason);
  if p_amount < 0 or coalesce(p_priority, -1) not between 0 and 100 or p_expires_at <= v_effective_at then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["amount", "priority", "expires_at"]}',
      'Grant 1 or more, with a priority from 0, spent first, to 100, that ends after it begins and after now.');
  end if;
  v_account := private.lock_token_balance(p_workspace_id);
  select earlier.* into v_grant from public.workspace_token_grants as earlier
  where earlier.workspace_id = p_workspace_id and earlier.reference = v_reference;
  if found then
    perform private.refuse_reference(v_reference, p_amount, v_grant.amount);
    return v_grant;
  end if;
  insert into public.workspace_token_grants
    (workspace_id, amount, remaining, priority, effective_at, expires_at, status, reason, reference, created_by)
  values (p_workspace_id, p_amount, p_amount, p_priority, v_effective_at, p_expires_at,
    case when v_effective_at > now() then 'scheduled' else 'open' end, btrim(p_reason), v_reference,
    (select auth.uid()))
  returning * into v_grant;
  if v_grant.status = 'open' then
    perform private.post_tokens(p_workspace_id, p_amount, v_grant.reason, 'grant', v_grant.id::text,
      p_granted => p_amount);
  end if;
  perform private.audit('owner.tokens.' || case v_grant.status when 'open' then 'granted' else 'grant_scheduled' end,
    p_workspace_id, jsonb_build_object('balance', v_account.balance),
    jsonb_build_object('balance', (private.plan_token_balance(p_workspace_id)).balance, 'delta', p_amount,
      'grant_id', v_grant.id, 'reference', v_reference, 'priority', p_priority, 'effective_at', v_effective_at,
      'expires_at', p_expires_at),
    v_grant.reason);
  return v_grant;
end $$;

ALTER FUNCTION public.grant_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_expires_at timestamp with time zone, p_priority integer, p_effective_at timestamp with time zone) OWNER TO postgres;

--
-- Name: import_candidates(uuid, jsonb, boolean, boolean); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.import_candidates(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean DEFAULT true, p_update boolean DEFAULT true) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
  v_user_id constant uuid := (select auth.uid());
  v_outcomes jsonb;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  perform private.check_import(p_rows);

  with input as materialized (
    select * from private.import_rows(p_rows)
  ), aimed as materialized (
    select input.place, input.label, input.name, input.email, input.phone, input.tags, input.status_tags, input.repeats,
      input.problems || case when input.status_tags <@ array['A', 'B', 'C'] or input.status_tags is null
        then '{}'::text[] else array['status_tags: none of A, B, C'] end as problems,
      known.by_email, known.by_phone, coalesce(known.by_email, known.by_phone) as candidate_id,
      first_value(input.place) over same as first_place, first_value(input.label) over same as first_label
    from input
    cross join lateral (
      select
        (select candidate.id from public.tma_candidates as candidate
         where lower(candidate.email) = input.email
           and candidate.workspace_id is not distinct from p_workspace_id) as by_email,
        (select candidate.id from public.tma_candidates as candidate
         where candidate.phone = input.phone
           and candidate.workspace_id is not distinct from p_workspace_id) as by_phone
      offset 0
    ) as known
    window same as (
      partition by coalesce(known.by_email, known.by_phone)
      order by input.problems = '{}' and input.repeats is null desc, input.place)
  ), decided as materialized (
    select aimed.*, gen_random_uuid() as new_id,
      case
        when aimed.problems <> '{}' or aimed.by_email <> aimed.by_phone then 'invalid'
        when aimed.repeats is not null or (candidate.id is not null and aimed.first_place < aimed.place) then 'skipped'
        when candidate.id is null then 'created'
        when p_update and (
          coalesce(aimed.name, candidate.name) is distinct from candidate.name
          or coalesce(aimed.email, lower(candidate.email)) is distinct from lower(candidate.email)
          or coalesce(aimed.phone, candidate.phone) is distinct from candidate.phone
          or not candidate.tags @> coalesce(aimed.tags, '{}')
          or not candidate.status_tags @> coalesce(aimed.status_tags, '{}')) then 'updated'
        else 'skipped'
      end as outcome
    from aimed
    left join public.tma_candidates as candidate on candidate.id = aimed.candidate_id
  ), created as (
    insert into public.tma_candidates (id, workspace_id, name, email, phone, tags, status_tags, source, created_by)
    select decided.new_id, p_workspace_id, decided.name, decided.email, decided.phone, coalesce(decided.tags, '{}'),
      coalesce(decided.status_tags, '{}'), 'import', v_user_id
    from decided
    where decided.outcome = 'created' and not p_dry_run
    order by decided.place
  ), updated as (
    update public.tma_candidates as candidate
    set name = coalesce(decided.name, candidate.name), email = coalesce(decided.email, candidate.email),
      phone = coalesce(decided.phone, candidate.phone),
      tags = array(select distinct tag from unnest(candidate.tags || decided.tags) as tag order by tag),
      status_tags = array(
        select distinct tag from unnest(candidate.status_tags || decided.status_tags) as tag order by tag)
    from decided
    where decided.outcome = 'updated' and candidate.id = decided.candidate_id and not p_dry_run
  )
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
    'outcome', decided.outcome,
    'id', case decided.outcome when 'created' then case when not p_dry_run then decided.new_id end
      when 'invalid' then null else decided.candidate_id end,
    'problems', case
      when decided.problems <> '{}' then to_jsonb(decided.problems)
      when decided.outcome = 'invalid' then jsonb_build_array('its e-mail is one candidate''s and its phone another''s: '
        || decided.by_email || ', ' || decided.by_phone)
      when decided.repeats is not null then jsonb_build_array('it repeats row ' || decided.repeats)
      when decided.outcome = 'skipped' and decided.first_place < decided.place
        then jsonb_build_array('it is the candidate of row ' || decided.first_label)
      when decided.outcome = 'skipped' then jsonb_build_array(
        case when p_update then 'nothing to change' else 'it exists already' end)
    end)) order by decided.place)
  into v_outcomes
  from decided;
  return coalesce(v_outcomes, '[]'::jsonb);
-- Somebody made or changed one of them at the same time.
exception when unique_violation then
  perform private.raise_error(503, 'try_again', '{}',
    'Somebody changed the same candidates meanwhile; send the rows again.');
end $$;

ALTER FUNCTION public.import_candidates(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean) OWNER TO postgres;

--
-- Name: import_contacts(uuid, jsonb, boolean, boolean); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.import_contacts(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean DEFAULT true, p_update boolean DEFAULT true) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
  v_user_id constant uuid := (select auth.uid());
  v_outcomes jsonb;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  perform private.check_import(p_rows);

  with input as materialized (
    select * from private.import_rows(p_rows)
  ), matched as materialized (
    select input.place, input.label, input.name, input.lead_status, input.tags, input.status_tags, input.problems,
      input.repeats,
      -- What leads to a contact by a detour isn't what the contact goes by now.
      case when known.by_email is not null or known.by_merged is null then input.email end as email,
      case when known.by_phone is not null or known.by_identity is null then input.phone end as phone,
      coalesce(known.by_email, known.by_merged) as email_match, coalesce(known.by_phone, known.by_identity) as phone_match
    from input
    cross join lateral (
      select
        (select contact.id from public.contacts as contact
         where lower(contact.email) = input.email and contact.workspace_id is not distinct from p_workspace_id
           and contact.deleted_at is null) as by_email,
        (select contact.merged_into from public.contacts as contact
         where lower(contact.email) = input.email and contact.workspace_id is not distinct from p_workspace_id
           and contact.merged_into is not null limit 1) as by_merged,
        (select contact.id from public.contacts as contact
         where contact.phone = input.phone and contact.workspace_id is not distinct from p_workspace_id
           and contact.deleted_at is null) as by_phone,
        (select identity.contact_id from public.contact_identities as identity
         where identity.workspace_id = p_workspace_id and identity.kind = 'wa_id' and identity.scope = ''
           and identity.value = substr(input.phone, 2)) as by_identity
      offset 0
    ) as known
  ), aimed as materialized (
    select matched.*, coalesce(matched.email_match, matched.phone_match) as contact_id,
      first_value(matched.place) over same as first_place, first_value(matched.label) over same as first_label
    from matched
    window same as (
      partition by coalesce(matched.email_match, matched.phone_match)
      order by matched.problems = '{}' and matched.repeats is null desc, matched.place)
  ), decided as materialized (
    select aimed.*, gen_random_uuid() as new_id,
      case
        when aimed.problems <> '{}' or aimed.email_match <> aimed.phone_match then 'invalid'
        when aimed.repeats is not null or (contact.id is not null and aimed.first_place < aimed.place) then 'skipped'
        when contact.id is null then 'created'
        when p_update and (
          coalesce(aimed.name, contact.name) is distinct from contact.name
          or coalesce(aimed.email, lower(contact.email)) is distinct from lower(contact.email)
          or coalesce(aimed.phone, contact.phone) is distinct from contact.phone
          or coalesce(aimed.lead_status, contact.lead_status) <> contact.lead_status
          or not contact.tags @> coalesce(aimed.tags, '{}')
          or not contact.status_tags @> coalesce(aimed.status_tags, '{}')) then 'updated'
        else 'skipped'
      end as outcome
    from aimed
    left join public.contacts as contact on contact.id = aimed.contact_id
  ), created as (
    insert into public.contacts (id, workspace_id, name, email, phone, lead_status, tags, status_tags, source, created_by)
    select decided.new_id, p_workspace_id, decided.name, decided.email, decided.phone,
      coalesce(decided.lead_status, 'new'), coalesce(decided.tags, '{}'), coalesce(decided.status_tags, '{}'), 'import',
      v_user_id
    from decided
    where decided.outcome = 'created' and not p_dry_run
    order by decided.place
  ), updated as (
    update public.contacts as contact
    set name = coalesce(decided.name, contact.name), email = coalesce(decided.email, contact.email),
      phone = coalesce(decided.phone, contact.phone), lead_status = coalesce(decided.lead_status, contact.lead_status),
      tags = array(select distinct tag from unnest(contact.tags || decided.tags) as tag order by tag),
      status_tags = array(select distinct tag from unnest(contact.status_tags || decided.status_tags) as tag order by tag)
    from decided
    where decided.outcome = 'updated' and contact.id = decided.contact_id and not p_dry_run
  ), reported as (
    insert into public.contact_duplicates (workspace_id, contact_id, duplicate_id, reason)
    select distinct p_workspace_id, least(decided.email_match, decided.phone_match),
      greatest(decided.email_match, decided.phone_match),
      'An imported row has the e-mail of one and the phone of the other.'
    from decided
    where decided.email_match <> decided.phone_match and decided.problems = '{}' and not p_dry_run
    on conflict do nothing
  )
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
    'outcome', decided.outcome,
    'id', case decided.outcome when 'created' then case when not p_dry_run then decided.new_id end
      when 'invalid' then null else decided.contact_id end,
    'problems', case
      when decided.problems <> '{}' then to_jsonb(decided.problems)
      when decided.outcome = 'invalid' then jsonb_build_array('its e-mail is one contact''s and its phone another''s: '
        || decided.email_match || ', ' || decided.phone_match)
      when decided.repeats is not null then jsonb_build_array('it repeats row ' || decided.repeats)
      when decided.outcome = 'skipped' and decided.first_place < decided.place
        then jsonb_build_array('it is the contact of row ' || decided.first_label)
      when decided.outcome = 'skipped' then jsonb_build_array(
        case when p_update then 'nothing to change' else 'it exists already' end)
    end)) order by decided.place)
  into v_outcomes
  from decided;
  return coalesce(v_outcomes, '[]'::jsonb);
-- Somebody made or changed one of them at the same time.
exception when unique_violation then
  perform private.raise_error(503, 'try_again', '{}',
    'Somebody changed the same contacts meanwhile; send the rows again.');
end $$;

ALTER FUNCTION public.import_contacts(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean) OWNER TO postgres;

--
-- Name: ingest_whatsapp_events(jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.ingest_whatsapp_events(p_events jsonb) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ordinals integer[];
  v_outcomes text[];
  v_event_ids bigint[];
  v_reasons text[];
  v_records private.whatsapp_record[];
  v_orphans integer[];
  v_orphan_ids bigint[];
  v_failed jsonb;
begin
  if jsonb_typeof(p_events) is distinct from 'array' then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_events"}', 'Send an array of events.');
  end if;

  -- Shared among webhooks, against connecting the number: either this sees the connection, or connecting sees this.
  perform pg_advisory_xact_lock_shared(address.key)
  from (
    select hashtextextended(address.name, 1) as key
    from (
      select distinct coalesce(item.phone_number_id, 'waba:' || coalesce(item.waba_id, '')) as name
      from jsonb_to_recordset(p_events) as item (phone_number_id text, waba_id text)
    ) as address
    order by key
  ) as address;

  with input as materialized (
    select item.event_key, item.kind, item.phone_number_id, item.waba_id, item.reason, item.raw,
      item.ordinality::integer as ordinal
    from rows from (jsonb_to_recordset(p_events) as (
      event_key text, kind text, phone_number_id text, waba_id text, reason text, raw jsonb)) with ordinality as item
  ), routed as materialized (
    select route.*,
      -- Numbered before they are written: so what is written is told apart from what was there, also within the call.
      case when route.workspace_id is not null then nextval('public.meta_webhook_events_id_seq') end as id
    from (
      select input.*, connection.workspace_id, connection.id as connection_id, connection.waba_id as scope
      from input
      left join public.wa_phone_numbers as connection
        on connection.phone_number_id = input.phone_number_id
          and connection.deleted_at is null and connection.status <> 'inactive'
      where input.phone_number_id is not null
      union all
      -- Account and template events name the business account only: they are for everybody with a number of it. A
      -- message for no number in particular is an orphan.
      select input.*, account.workspace_id, null, input.waba_id
      from input
      left join lateral (
        select distinct connection.workspace_id from public.wa_phone_numbers as connection
        where connection.waba_id = input.waba_id and connection.deleted_at is null and connection.status <> 'inactive'
          and input.kind in ('template', 'account', 'number', 'error', 'other', 'malformed')
      ) as account on true
      where input.phone_number_id is null
    ) as route
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
  select array_agg(routed.ordinal order by routed.ordinal), array_agg(recorded.id order by routed.ordinal),
    array_agg(routed.reason order by routed.ordinal),
    array_agg(
      case
        when routed.id is null then 'orphan'
        when recorded.id is null then 'deduped'
        when routed.kind = 'malformed' then 'set_aside'
        else 'recorded'
      end order by routed.ordinal),
    array_agg(row(routed.ordinal, recorded.id, routed.workspace_id, routed.connection_id, routed.scope
      )::private.whatsapp_record order by routed.ordinal)
      filter (where recorded.id is not null and routed.kind not in ('other', 'error', 'malformed')),
    array_agg(routed.ordinal order by routed.ordinal) filter (where routed.id is null)
  into v_ordinals, v_event_ids, v_reasons, v_outcomes, v_records, v_orphans
  from routed left join recorded on recorded.id = routed.id;

  if v_orphans is not null or cardinality(v_ordinals) > jsonb_array_length(p_events) then
    v_orphan_ids := private.keep_whatsapp_orphans(p_events, v_orphans);
    -- One entry per item, which may be for several workspaces. In the order of the alphabet what was deduped here gives
    -- way to what was recorded there.
    select array_agg(entry.event_id order by entry.ordinal), array_agg(entry.reason order by entry.ordinal),
      array_agg(entry.outcome order by entry.ordinal)
    into v_event_ids, v_reasons, v_outcomes
    from (
      select entry.ordinal, coalesce(min(entry.event_id), min(orphan.id)) as event_id, min(entry.reason) as reason,
        max(entry.outcome) as outcome
      from unnest(v_ordinals, v_event_ids, v_reasons, v_outcomes) as entry (ordinal, event_id, reason, outcome)
      left join unnest(v_orphans, v_orphan_ids) as orphan (ordinal, id) on orphan.ordinal = entry.ordinal
      group by entry.ordinal
    ) as entry;
  end if;

  if v_records is not null then
    v_failed := private.apply_or_set_aside_whatsapp_events(p_events, v_records);
  end if;
  if v_failed is not null then
    update public.meta_webhook_events as event set status = 'set_aside', error = failed.problem
    from jsonb_each_text(v_failed) as failed (event_id, problem)
    where event.id = failed.event_id::bigint;
    select array_agg(coalesce(failed.problem, entry.reason) order by entry.ordinality),
      array_agg(case when failed.problem is null then entry.outcome else 'set_aside' end order by entry.ordinality)
    into v_reasons, v_outcomes
    from unnest(v_event_ids, v_reasons, v_outcomes) with ordinality as entry (event_id, reason, outcome)
    cross join lateral (
      select case when entry.outcome = 'recorded' then v_failed ->> entry.event_id::text end as problem
    ) as failed;
  end if;
  return jsonb_build_object(
    'outcomes', coalesce(to_jsonb(v_outcomes), '[]'), 'event_ids', coalesce(to_jsonb(v_event_ids), '[]'),
    'reasons', coalesce(to_jsonb(v_reasons), '[]'));
end $$;

ALTER FUNCTION public.ingest_whatsapp_events(p_events jsonb) OWNER TO postgres;

--
-- Name: invite_member(uuid, text, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.invite_member(p_workspace_id uuid, p_email text, p_role text DEFAULT 'member'::text, p_expires_in_seconds integer DEFAULT 604800) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_email constant text := lower(btrim(p_email));
  v_token constant text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  v_invitation public.workspace_invitations;
begin
  -- Only owners make owners.
  perform private.require_role(p_workspace_id,
    case p_role when 'owner' then array['owner'] else array['owner', 'admin'] end, 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if not coalesce(v_email ~ '^[^@[:space:]]+@[^@[:space:]]+$' and length(v_email) <= 320, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "email"}', 'Give one e-mail address.');
  elsif p_role is null or p_role not in ('owner', 'admin', 'member', 'viewer') then
    perform private.raise_error(400, 'invalid_value',
      '{"field": "role", "allowed": ["owner", "admin", "member", "viewer"]}', 'Choose one of the allowed roles.');
  elsif not coalesce(p_expires_in_seconds between 60 and 2592000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "expires_in_seconds", "allowed": "60 to 2592000"}',
      'Let it be good for a minute to thirty days.');
  end if;
  if exists (
    select from public.workspace_memberships as member
    join auth.users as account on account.id = member.user_id
    where member.workspace_id = p_workspace_id and lower(account.email) = v_email)
  then
    perform private.raise_error(409, 'already_member', jsonb_build_object('email', v_email),
      'Change their role instead.');
  end if;
  -- One that has run out makes room.
  update public.workspace_invitations as invitation set revoked_at = now()
  where invitation.workspace_id = p_workspace_id and invitation.email = v_email and invitation.accepted_at is null
    and invitation.revoked_at is null and invitation.expires_at <= now();
  insert into public.workspace_invitations (workspace_id, email, role, token_hash, invited_by, expires_at)
  values (p_workspace_id, v_email, p_role, private.invitation_token_hash(v_token), (select auth.uid()),
    now() + make_interval(secs => p_expires_in_seconds))
  returning * into v_invitation;
  return to_jsonb(v_invitation) - 'token_hash' || jsonb_build_object('token', v_token);
exception when unique_violation then
  perform private.raise_error(409, 'invitation_open', jsonb_build_object('email', v_email),
    'Revoke the open invitation first; its token can''t be shown again.');
end $_$;

ALTER FUNCTION public.invite_member(p_workspace_id uuid, p_email text, p_role text, p_expires_in_seconds integer) OWNER TO postgres;

--
-- Name: join_chat(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.join_chat(p_chat_id uuid) RETURNS public.chat_members
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_chat public.chats;
  v_member public.chat_members;
begin
  select chat.* into v_chat from public.chats as chat where chat.id = p_chat_id and chat.kind = 'channel';
  perform private.require_role(v_chat.workspace_id, array['owner', 'admin', 'member'], 'chat_not_found',
    jsonb_build_object('chat_id', p_chat_id));
  perform private.add_to_chat(v_chat, array[v_user_id], 'member');
  select member.* into v_member from public.chat_members as member
  where member.chat_id = p_chat_id and member.user_id = v_user_id;
  return v_member;
end $$;

ALTER FUNCTION public.join_chat(p_chat_id uuid) OWNER TO postgres;

--
-- Name: keep_inbox(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.keep_inbox(p_limit integer DEFAULT 500) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_woken integer;
  v_assigned integer;
  v_breached integer;
  v_answered integer;
begin
  if not coalesce(p_limit between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Ask for 1 to 10,000 at once.');
  end if;
  with due as (
    select thread.id from public.wa_threads as thread where thread.snoozed_until <= now()
    order by thread.snoozed_until limit p_limit for no key update skip locked
  )
  update public.wa_threads as thread
  set status = case thread.status when 'snoozed' then 'open' else thread.status end, snoozed_until = null
  from due where thread.id = due.id;
  get diagnostics v_woken = row_count;

  select coalesce(sum(private.assign_waiting_threads(settings.workspace_id, p_limit)), 0) into v_assigned
  from public.inbox_settings as settings
  join public.workspaces as workspace on workspace.id = settings.workspace_id and workspace.status = 'active'
  where settings.assignment_policy <> 'manual';

  insert into public.wa_thread_breaches (thread_id, connection_id, workspace_id, waiting_since, kind, target_seconds,
    assignee_id)
  select late.id, late.connection_id, late.workspace_id, late.waiting_since, late.kind, late.target_seconds,
    late.assignee_id
  from (
    select settings.*, private.late_before(settings, true) as for_first, private.late_before(settings, false) as for_next
    from public.inbox_settings as settings
    where num_nonnulls(settings.first_response_target_seconds, settings.next_response_target_seconds) > 0
    -- Evaluated once a workspace, not for each thread.
    offset 0
  ) as settings
  cross join lateral (
    select thread.*,
      case when thread.first_response_seconds is null then 'first_response' else 'next_response' end as kind,
      case when thread.first_response_seconds is null then settings.first_response_target_seconds
        else settings.next_response_target_seconds end as target_seconds
    from public.wa_threads as thread
    where thread.workspace_id = settings.workspace_id
      and thread.waiting_since < greatest(settings.for_first, settings.for_next)
      and thread.waiting_since < case when thread.first_response_seconds is null then settings.for_first
        else settings.for_next end
  ) as late
  where not exists (
    select from public.wa_thread_breaches as known
    where known.thread_id = late.id and known.connection_id = late.connection_id
      and known.workspace_id = late.workspace_id and known.waiting_since = late.waiting_since)
  limit p_limit
  on conflict on constraint wa_thread_breaches_pkey do nothing;
  get diagnostics v_breached = row_count;

  update public.wa_thread_breaches as breach set answered_at = now()
  from public.wa_threads as thread
  where breach.answered_at is null and thread.id = breach.thread_id
    and thread.waiting_since is distinct from breach.waiting_since;
  get diagnostics v_answered = row_count;
  return jsonb_build_object(
    'woken', v_woken, 'assigned', v_assigned, 'breached', v_breached, 'answered', v_answered);
end $$;

ALTER FUNCTION public.keep_inbox(p_limit integer) OWNER TO postgres;

--
-- Name: leave_chat(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.leave_chat(p_chat_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  -- The chat first, as in sending, which may be about to count a mention of the one who leaves.
  perform 1 from public.chats as chat where chat.id = p_chat_id for no key update;
  delete from public.chat_members as member where member.chat_id = p_chat_id and member.user_id = v_member.user_id;
end $$;

ALTER FUNCTION public.leave_chat(p_chat_id uuid) OWNER TO postgres;

--
-- Name: list_candidates(uuid, text, text[], text[], text, text, text, boolean, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_candidates(p_workspace_id uuid, p_search text DEFAULT NULL::text, p_status_tags text[] DEFAULT NULL::text[], p_tags text[] DEFAULT NULL::text[], p_my_status text DEFAULT NULL::text, p_follow_up text DEFAULT NULL::text, p_sort text DEFAULT 'created_at'::text, p_descending boolean DEFAULT NULL::boolean, p_after text DEFAULT NULL::text, p_limit integer DEFAULT 50) RETURNS SETOF private.my_candidate
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
declare
  v_range record := private.follow_up_range(coalesce(p_follow_up, 'any'));
begin
  perform private.check_page(p_sort, p_after, p_limit);
  perform private.check_my_status(p_my_status, array['A', 'B', 'C', 'none']);
  return query
  select candidate.id, candidate.workspace_id, candidate.name, candidate.email, candidate.phone, candidate.status_tags,
    candidate.tags, candidate.source, candidate.created_by, candidate.created_at, candidate.updated_at, settings.status,
    settings.follow_up_at, settings.follow_up_note,
    candidate.id || ':' || case p_sort when 'name' then lower(coalesce(candidate.name, ''))
      else (extract(epoch from candidate.created_at) * 1000000)::bigint::text end
  from private.page_of_candidates(p_workspace_id,
    jsonb_strip_nulls(jsonb_build_object('search', p_search, 'status_tags', p_status_tags, 'tags', p_tags)),
    case when p_follow_up is not null or p_my_status <> 'none' then array(
      select marked.tma_id from public.user_tma_settings as marked
      where marked.user_id = (select auth.uid())
        and (p_my_status is null or marked.status is not distinct from nullif(p_my_status, 'none'))
        and (p_follow_up is null or (marked.follow_up_at >= v_range.p_from and marked.follow_up_at < v_range.p_to))) end,
    case when p_my_status = 'none' then array(
      select marked.tma_id from public.user_tma_settings as marked
      where marked.user_id = (select auth.uid()) and marked.status is not null) end,
    p_sort, coalesce(p_descending, p_sort = 'created_at'), p_after, p_limit) with ordinality as candidate
  left join public.user_tma_settings as settings
    on settings.user_id = (select auth.uid()) and settings.tma_id = candidate.id
  order by candidate.ordinality;
end $$;

ALTER FUNCTION public.list_candidates(p_workspace_id uuid, p_search text, p_status_tags text[], p_tags text[], p_my_status text, p_follow_up text, p_sort text, p_descending boolean, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: list_chats(uuid, integer, timestamp with time zone, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_chats(p_workspace_id uuid DEFAULT NULL::uuid, p_limit integer DEFAULT 200, p_before timestamp with time zone DEFAULT NULL::timestamp with time zone, p_before_id uuid DEFAULT NULL::uuid) RETURNS TABLE(id uuid, workspace_id uuid, kind text, title text, created_at timestamp with time zone, last_seq bigint, last_rev bigint, last_message_at timestamp with time zone, last_message_sender_id uuid, last_message_preview text, active_at timestamp with time zone, role text, last_delivered_seq bigint, last_read_seq bigint, muted_until timestamp with time zone, unread_count bigint, mention_count integer, other_member_ids uuid[])
    LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
  with page as (
    select chat.*, coalesce(chat.last_message_at, chat.created_at) as active_at, member.role, member.user_id,
      member.last_delivered_seq, member.last_read_seq, member.muted_until, member.unread_deleted_count,
      member.unread_mention_count
    from public.chat_members as member join public.chats as chat on chat.id = member.chat_id
    where member.user_id = (select private.require_user())
      and (p_workspace_id is null or member.workspace_id = p_workspace_id)
      and (p_before is null or (coalesce(chat.last_message_at, chat.created_at), chat.id)
        < (p_before, coalesce(p_before_id, '00000000-0000-0000-0000-000000000000'::uuid)))
    order by active_at desc, chat.id desc
    limit least(greatest(p_limit, 1), 1000)
  )
  select page.id, page.workspace_id, page.kind, page.title, page.created_at, page.last_seq, page.last_rev,
    page.last_message_at, page.last_message_sender_id, page.last_message_preview, page.active_at, page.role,
    page.last_delivered_seq, page.last_read_seq, page.muted_until,
    page.last_seq - page.last_read_seq - page.unread_deleted_count, page.unread_mention_count,
    (array_remove(page.first_member_ids, page.user_id))[1 : 3]
  from page
  order by page.active_at desc, page.id desc
$$;

ALTER FUNCTION public.list_chats(p_workspace_id uuid, p_limit integer, p_before timestamp with time zone, p_before_id uuid) OWNER TO postgres;

--
-- Name: list_contact_duplicates(uuid, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_contact_duplicates(p_workspace_id uuid, p_limit integer DEFAULT 50) RETURNS TABLE(contact_id uuid, duplicate_id uuid, name text, duplicate_name text, reason text)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
#variable_conflict use_column
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if not coalesce(p_limit between 1 and 1000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 1000"}',
      'Ask for 1 to 1,000 at once.');
  end if;
  return query
  select pair.contact_id, pair.duplicate_id, contact.name, duplicate.name, min(pair.reason)
  from (
    (select known.contact_id, known.duplicate_id, known.reason from public.contact_duplicates as known
     where known.workspace_id = p_workspace_id and known.dismissed_at is null limit p_limit)
    union all
    -- Each beside the one before: a group of n gives n - 1 pairs, read in the order of the index until there are enough.
    (select least(named.id, named.previous_id), greatest(named.id, named.previous_id), 'They have the same name.'
     from (
       select contact.id, lower(coalesce(contact.name, '')) as name,
         lag(contact.id) over alphabet as previous_id, lag(lower(coalesce(contact.name, ''))) over alphabet as previous_name
       from public.contacts as contact
       where contact.workspace_id = p_workspace_id and contact.deleted_at is null
       window alphabet as (order by lower(coalesce(contact.name, '')), contact.id)
     ) as named
     where named.name = named.previous_name and named.name <> ''
       and not private.are_two_people(p_workspace_id, named.id, named.previous_id) limit p_limit)
    union all
    (select least(contact.id, other.id), greatest(contact.id, other.id), 'Their numbers are two forms of one.'
     from public.contacts as contact
     cross join lateral unnest(private.whatsapp_number_forms(substr(contact.phone, 2))) as form (value)
     join public.contacts as other
       on other.workspace_id = p_workspace_id and other.phone = '+' || form.value and other.deleted_at is null
         and other.id <> contact.id
     where contact.workspace_id = p_workspace_id and contact.deleted_at is null
       and contact.phone ~ '^\+5[245]' and not private.are_two_people(p_workspace_id, contact.id, other.id)
     limit p_limit)
  ) as pair
  join public.contacts as contact on contact.id = pair.contact_id and contact.deleted_at is null
  join public.contacts as duplicate on duplicate.id = pair.duplicate_id and duplicate.deleted_at is null
  group by pair.contact_id, pair.duplicate_id, contact.name, duplicate.name
  order by contact.name nulls last, pair.contact_id, pair.duplicate_id
  limit p_limit;
end $$;

ALTER FUNCTION public.list_contact_duplicates(p_workspace_id uuid, p_limit integer) OWNER TO postgres;

--
-- Name: list_contact_timeline(uuid, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_contact_timeline(p_contact_id uuid, p_after text DEFAULT NULL::text, p_limit integer DEFAULT 50) RETURNS SETOF private.timeline_item
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $_$
declare
  v_workspace_id uuid;
  v_before_at timestamptz := 'infinity';
  v_before_id text := '';
begin
  if not private.is_service() then
    perform private.require_user();
  end if;
  select contact.workspace_id into v_workspace_id from public.contacts as contact where contact.id = p_contact_id;
  if v_workspace_id is null then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', p_contact_id),
      'Check the id; it may belong to another workspace.');
  elsif not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 at once.');
  end if;
  if p_after is not null then
    if p_after !~ '^[0-9a-f-]{1,36}:-?[0-9]{1,17}$' then
      perform private.raise_error(400, 'invalid_value', '{"field": "after"}', 'Send the cursor of the page before.');
    end if;
    v_before_id := split_part(p_after, ':', 1);
    v_before_at := private.cursor_time(split_part(p_after, ':', 2));
  end if;
  return query
  select item.kind, item.id, item.occurred_at, item.actor_id, item.body, item.detail,
    item.id || ':' || private.time_cursor(item.occurred_at)
  from (
    (select 'note' as kind, note.id::text as id, note.created_at as occurred_at, note.author_id as actor_id, note.body,
       '{}'::jsonb as detail
     from public.contact_notes as note
     where note.workspace_id = v_workspace_id and note.contact_id = p_contact_id and note.created_at <= v_before_at
       and (note.created_at < v_before_at or note.id::text collate "C" < v_before_id)
     order by note.created_at desc, note.id::text collate "C" desc limit p_limit)
    union all
    (select 'call', log.id::text, log.called_at, log.user_id, log.note,
       jsonb_build_object('outcome', log.outcome, 'duration_seconds', log.duration_seconds)
     from public.contact_call_logs as log
     where log.workspace_id = v_workspace_id and log.contact_id = p_contact_id and log.called_at <= v_before_at
       and (log.called_at < v_before_at or log.id::text collate "C" < v_before_id)
     order by log.called_at desc, log.id::text collate "C" desc limit p_limit)
    union all
    (select event.kind, event.id::text, event.occurred_at, event.actor_id, null, event.detail
     from public.contact_events as event
     where event.workspace_id = v_workspace_id and event.contact_id = p_contact_id and event.occurred_at <= v_before_at
       and (event.occurred_at < v_before_at or event.id::text collate "C" < v_before_id)
     order by event.occurred_at desc, event.id::text collate "C" desc limit p_limit)
    union all
    select 'message', message.id::text, message.occurred_at, message.sent_by, message.body,
      jsonb_build_object('direction', message.direction, 'type', message.type, 'status', message.status,
        'thread_id', message.thread_id)
    from public.wa_threads as thread
    cross join lateral (
      select message.* from public.wa_messages as message
      where message.thread_id = thread.id and message.connection_id = thread.connection_id
        and message.workspace_id = thread.workspace_id and message.occurred_at <= v_before_at
        and (message.occurred_at < v_before_at or message.id::text collate "C" < v_before_id)
      -- Messages of one second are in the order of their ids here, which is the order in which they came.
      order by message.occurred_at desc, message.id::text collate "C" desc limit p_limit
    ) as message
    where thread.workspace_id = v_workspace_id and thread.contact_id = p_contact_id
  ) as item
  order by item.occurred_at desc, item.id collate "C" desc
  limit p_limit;
end $_$;

ALTER FUNCTION public.list_contact_timeline(p_contact_id uuid, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: list_contacts(uuid, text, text[], text[], uuid, text, text, text, boolean, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_contacts(p_workspace_id uuid, p_search text DEFAULT NULL::text, p_lead_statuses text[] DEFAULT NULL::text[], p_tags text[] DEFAULT NULL::text[], p_assigned_to uuid DEFAULT NULL::uuid, p_my_status text DEFAULT NULL::text, p_follow_up text DEFAULT NULL::text, p_sort text DEFAULT 'created_at'::text, p_descending boolean DEFAULT NULL::boolean, p_after text DEFAULT NULL::text, p_limit integer DEFAULT 50) RETURNS SETOF private.my_contact
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    AS $_$
declare
  v_descending constant boolean := coalesce(p_descending, p_sort = 'created_at');
  v_patterns text[];
  v_after_at timestamptz := 'infinity';
  v_after_id uuid := '00000000-0000-0000-0000-000000000000';
  v_after_name text;
  v_range record;
begin
  -- The commonest are known to be good without a call.
  if p_sort is distinct from 'created_at' or p_limit is distinct from 50
    or p_after !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:[0-9]{1,17}$'
  then
    perform private.check_page(p_sort, p_after, p_limit);
  end if;
  if p_after is not null then
    v_after_id := left(p_after, 36)::uuid;
    v_after_name := substr(p_after, 38);
    v_after_at := case when p_sort = 'created_at'
      then timestamptz 'epoch' + v_after_name::bigint * interval '1 microsecond' end;
  end if;

  if p_sort = 'created_at' and v_descending
    and num_nonnulls(p_search, p_lead_statuses, p_tags, p_assigned_to, p_my_status, p_follow_up) = 0
  then
    return query
    select contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, contact.lead_status,
      contact.status_tags, contact.tags, contact.source, contact.marketing_opted_out, contact.assigned_to,
      contact.created_by, contact.created_at, contact.updated_at, settings.status, settings.follow_up_at,
      settings.follow_up_note,
      contact.id || ':' || (extract(epoch from contact.created_at) * 1000000)::bigint
    from public.contacts as contact
    left join public.user_contact_settings as settings
      on settings.user_id = (select auth.uid()) and settings.contact_id = contact.id
    where contact.workspace_id = p_workspace_id and contact.deleted_at is null
      and (contact.created_at, contact.id) < (v_after_at, v_after_id)
    order by contact.created_at desc, contact.id desc
    limit p_limit;
  elsif p_follow_up is not null or p_my_status <> 'none' then
    perform private.check_my_status(p_my_status, array['hot', 'working', 'follow_up', 'none']);
    -- What the caller has marked is little: it is read first, and whatever else is asked is asked of that.
    v_range := private.follow_up_range(coalesce(p_follow_up, 'any'));
    v_patterns := private.search_patterns(coalesce(p_search, ''));
    return query
    select contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, contact.lead_status,
      contact.status_tags, contact.tags, contact.source, contact.marketing_opted_out, contact.assigned_to,
      contact.created_by, contact.created_at, contact.updated_at, settings.status, settings.follow_up_at,
      settings.follow_up_note,
      contact.id || ':' || case p_sort when 'name' then contact.sort_name
        else (extract(epoch from contact.created_at) * 1000000)::bigint::text end
    from public.user_contact_settings as settings
    join (
      select person.*, lower(coalesce(person.name, '')) as sort_name from public.contacts as person
    ) as contact on contact.id = settings.contact_id
    where settings.user_id = (select auth.uid()) and settings.workspace_id = p_workspace_id
      and contact.deleted_at is null
      and (p_my_status is null or settings.status is not distinct from nullif(p_my_status, 'none'))
      and (p_follow_up is null or (settings.follow_up_at >= v_range.p_from and settings.follow_up_at < v_range.p_to))
      and contact.search_text like all (v_patterns)
      and (p_lead_statuses is null or contact.lead_status = any (p_lead_statuses))
      and (p_tags is null or contact.tags @> p_tags)
      and (p_assigned_to is null or contact.assigned_to = p_assigned_to)
      and (p_after is null or case
        when p_sort = 'name' and v_descending then (contact.sort_name, contact.id) < (v_after_name, v_after_id)
        when p_sort = 'name' then (contact.sort_name, contact.id) > (v_after_name, v_after_id)
        when v_descending then (contact.created_at, contact.id) < (v_after_at, v_after_id)
        else (contact.created_at, contact.id) > (v_after_at, v_after_id) end)
    order by
      case when p_sort = 'name' and v_descending then contact.sort_name end desc,
      case when p_sort = 'name' and not v_descending then contact.sort_name end,
      case when p_sort = 'created_at' and v_descending then contact.created_at end desc,
      case when p_sort = 'created_at' and not v_descending then contact.created_at end,
      case when v_descending then contact.id end desc, case when not v_descending then contact.id end
    limit p_limit;
  else
    return query
    select contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, contact.lead_status,
      contact.status_tags, contact.tags, contact.source, contact.marketing_opted_out, contact.assigned_to,
      contact.created_by, contact.created_at, contact.updated_at, settings.status, settings.follow_up_at,
      settings.follow_up_note,
      contact.id || ':' || case p_sort when 'name' then lower(coalesce(contact.name, ''))
        else (extract(epoch from contact.created_at) * 1000000)::bigint::text end
    from private.page_of_contacts(p_workspace_id,
      jsonb_strip_nulls(jsonb_build_object('search', p_search, 'lead_statuses', p_lead_statuses, 'tags', p_tags,
        'assigned_to', p_assigned_to)),
      case when p_my_status = 'none' then array(
        select marked.contact_id from public.user_contact_settings as marked
        where marked.user_id = (select auth.uid()) and marked.status is not null) end,
      p_sort, v_descending, p_after, p_limit) with ordinality as contact
    left join public.user_contact_settings as settings
      on settings.user_id = (select auth.uid()) and settings.contact_id = contact.id
    order by contact.ordinality;
  end if;
  -- Row security shows strangers nothing; asked for only where there is nothing, this costs no page anything.
  if not found then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  end if;
end $_$;

ALTER FUNCTION public.list_contacts(p_workspace_id uuid, p_search text, p_lead_statuses text[], p_tags text[], p_assigned_to uuid, p_my_status text, p_follow_up text, p_sort text, p_descending boolean, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: list_follow_ups(uuid, text, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_follow_ups(p_workspace_id uuid DEFAULT NULL::uuid, p_due text DEFAULT 'any'::text, p_after text DEFAULT NULL::text, p_limit integer DEFAULT 50) RETURNS SETOF private.follow_up
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    AS $_$
declare
  v_user_id constant uuid := private.require_user();
  v_range record := private.follow_up_range(p_due);
  v_midnight constant timestamptz := (private.follow_up_range('upcoming')).p_from;
  v_after_at timestamptz := '-infinity';
  v_after_id uuid := '00000000-0000-0000-0000-000000000000';
begin
  if not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 at once.');
  end if;
  if p_after is not null then
    if p_after !~ '^[0-9a-f-]{36}:-?[0-9]{1,17}$' or not pg_input_is_valid(left(p_after, 36), 'uuid') then
      perform private.raise_error(400, 'invalid_value', '{"field": "after"}', 'Send the cursor of the page before.');
    end if;
    v_after_id := left(p_after, 36)::uuid;
    v_after_at := private.cursor_time(substr(p_after, 38));
  end if;
  return query
  select found.kind, found.id, found.workspace_id, coalesce(contact.name, candidate.name),
    coalesce(contact.email, candidate.email), coalesce(contact.phone, candidate.phone), found.status,
    found.follow_up_at, found.follow_up_note,
    case when found.follow_up_at < now() then 'overdue' when found.follow_up_at < v_midnight then 'today'
      else 'upcoming' end,
    found.id || ':' || private.time_cursor(found.follow_up_at)
  from (
    (select 'contact' as kind, settings.contact_id as id, settings.workspace_id, settings.status, settings.follow_up_at,
       settings.follow_up_note
     from public.user_contact_settings as settings
     where settings.user_id = v_user_id and (p_workspace_id is null or settings.workspace_id = p_workspace_id)
       and settings.follow_up_at >= v_range.p_from and settings.follow_up_at < v_range.p_to
       and (settings.follow_up_at, settings.contact_id) > (v_after_at, v_after_id)
     order by settings.follow_up_at, settings.contact_id limit p_limit)
    union all
    (select 'candidate', settings.tma_id, settings.workspace_id, settings.status, settings.follow_up_at,
       settings.follow_up_note
     from public.user_tma_settings as settings
     where settings.user_id = v_user_id and (p_workspace_id is null or settings.workspace_id = p_workspace_id)
       and settings.follow_up_at >= v_range.p_from and settings.follow_up_at < v_range.p_to
       and (settings.follow_up_at, settings.tma_id) > (v_after_at, v_after_id)
     order by settings.follow_up_at, settings.tma_id limit p_limit)
  ) as found
  left join public.contacts as contact on found.kind = 'contact' and contact.id = found.id
  left join public.tma_candidates as candidate on found.kind = 'candidate' and candidate.id = found.id
  order by found.follow_up_at, found.id
  limit p_limit;
end $_$;

ALTER FUNCTION public.list_follow_ups(p_workspace_id uuid, p_due text, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: list_members(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_members(p_workspace_id uuid) RETURNS TABLE(user_id uuid, role text, email text, full_name text, created_at timestamp with time zone)
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
#variable_conflict use_column
begin
  if not private.is_service() then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  end if;
  return query
  select member.user_id, member.role, profile.email, profile.full_name, member.created_at
  from public.workspace_memberships as member join public.profiles as profile on profile.id = member.user_id
  where member.workspace_id = p_workspace_id
  order by array_position(array['owner', 'admin', 'member', 'viewer'], member.role), lower(profile.email), member.user_id;
end $$;

ALTER FUNCTION public.list_members(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: list_operators(); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_operators() RETURNS TABLE(user_id uuid, email text, role text, active boolean, is_operator boolean, created_at timestamp with time zone, updated_at timestamp with time zone)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
#variable_conflict use_column
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  return query
  select coalesce(operator.user_id, admin.user_id), coalesce(operator.email, account.email::text), operator.role,
    coalesce(operator.active, false),
    operator.active is true and admin.user_id is not null and lower(operator.email) = lower(account.email),
    coalesce(operator.created_at, admin.created_at), operator.updated_at
  from public.owner_members as operator
  full join public.platform_admins as admin on admin.user_id = operator.user_id
  left join auth.users as account on account.id = coalesce(operator.user_id, admin.user_id)
  order by 2;
end $$;

ALTER FUNCTION public.list_operators() OWNER TO postgres;

--
-- Name: list_outbox(text, uuid, uuid, integer, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_outbox(p_status text, p_workspace_id uuid DEFAULT NULL::uuid, p_connection_id uuid DEFAULT NULL::uuid, p_limit integer DEFAULT 50, p_before timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS SETOF public.outbox_messages
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
#variable_conflict use_column
begin
  if p_status is null or p_status not in ('queued', 'processing', 'failed', 'dead', 'unknown')
    or p_limit is null or p_limit not between 1 and 1000
  then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["p_status", "p_limit"],
      "allowed": ["queued", "processing", "failed", "dead", "unknown"]}',
      'Use one of the allowed statuses, and a limit of 1 to 1000.');
  end if;
  if p_status = 'processing' then
    return query
    select shown.* from private.outbox_leases as lease
    cross join unnest(lease.ids) as held (id)
    join public.outbox_messages as outbox on outbox.id = held.id and outbox.status = 'queued'
    cross join jsonb_populate_record(outbox, '{"status": "processing"}') as shown
    where outbox.workspace_id = coalesce(p_workspace_id, outbox.workspace_id)
      and (p_connection_id is null or outbox.connection_id = p_connection_id)
    order by outbox.scheduled_at desc, outbox.sequence desc limit p_limit;
  elsif p_status = 'queued' then
    return query
    select outbox.*
    from (
      select ready.id, ready.lane_id from private.outbox_ready as ready
      union all select waiting.id, waiting.lane_id from private.outbox_waiting as waiting
    ) as found
    join private.outbox_lanes as lane on lane.lane_id = found.lane_id
    join public.outbox_messages as outbox on outbox.id = found.id and outbox.status = 'queued'
    where (p_workspace_id is null or lane.workspace_id = p_workspace_id)
      and (p_connection_id is null or lane.connection_id = p_connection_id)
      and (p_before is null or outbox.scheduled_at < p_before)
    order by outbox.scheduled_at desc, outbox.sequence desc limit p_limit;
  else
    return query
    select outbox.* from private.outbox_problems as problem
    join public.outbox_messages as outbox on outbox.id = problem.id and outbox.status = problem.status
    where problem.status = p_status and (p_workspace_id is null or problem.workspace_id = p_workspace_id)
      and (p_connection_id is null or outbox.connection_id = p_connection_id)
      and (p_before is null or problem.settled_at < p_before)
    order by problem.settled_at desc, problem.id desc limit p_limit;
  end if;
end $$;

ALTER FUNCTION public.list_outbox(p_status text, p_workspace_id uuid, p_connection_id uuid, p_limit integer, p_before timestamp with time zone) OWNER TO postgres;

--
-- Name: list_saved_views(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_saved_views(p_workspace_id uuid) RETURNS SETOF public.wa_saved_views
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  return query
  select view.* from public.wa_saved_views as view
  where view.workspace_id = p_workspace_id and (view.user_id = (select auth.uid()) or view.is_shared)
  order by view.is_shared, lower(view.name), view.id;
end $$;

ALTER FUNCTION public.list_saved_views(p_workspace_id uuid) OWNER TO postgres;

--
-- Name: list_templates(uuid, text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_templates(p_workspace_id uuid, p_status text DEFAULT NULL::text, p_search text DEFAULT NULL::text) RETURNS SETOF private.listed_template
    LANGUAGE plpgsql STABLE
    SET search_path TO ''
    AS $$
begin
  return query
  select template.id, template.workspace_id, template.waba_id, template.template_id, template.name, template.language,
    template.status, template.category, template.quality, template.rejected_reason,
    private.template_components(template.components), private.template_variables(template.components),
    template.updated_at
  from public.wa_templates as template
  where template.workspace_id = p_workspace_id
    and case when p_status is null then template.status is distinct from 'DELETED' else template.status = p_status end
    and (p_search is null or strpos(lower(template.name), lower(p_search)) > 0)
  order by template.name, template.language, template.id;
end $$;

ALTER FUNCTION public.list_templates(p_workspace_id uuid, p_status text, p_search text) OWNER TO postgres;

--
-- Name: list_threads(uuid, jsonb, uuid, text, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_threads(p_workspace_id uuid, p_filter jsonb DEFAULT '{}'::jsonb, p_view_id uuid DEFAULT NULL::uuid, p_sort text DEFAULT 'last_message_at'::text, p_after text DEFAULT NULL::text, p_limit integer DEFAULT 50) RETURNS SETOF private.inbox_thread
    LANGUAGE plpgsql STABLE SECURITY DEFINER ROWS 50
    SET search_path TO ''
    SET work_mem TO '32MB'
    AS $_$
declare
  v_user_id constant uuid := (select auth.uid());
  v_order text;
  v_page text;
  v_after text := substr(p_after, 38);
  v_threads public.wa_threads[];
begin
  if v_user_id is null or not exists (
    select from public.workspace_memberships as membership
    where membership.user_id = v_user_id and membership.workspace_id = p_workspace_id)
  then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  end if;
  if p_sort is null or p_sort not in ('last_message_at', 'waiting_since', 'first_response_seconds') then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'sort', 'value', left(p_sort, 50),
        'allowed', array['last_message_at', 'waiting_since', 'first_response_seconds']),
      'Sort by one of the allowed fields.');
  elsif not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 at once.');
  elsif p_after !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:-?[0-9]{1,17}$' then
    perform private.raise_error(400, 'invalid_value', '{"field": "after"}',
      'Send the cursor of the page before, with the same sorting.');
  end if;

  if p_sort = 'first_response_seconds' then
    v_order := ' order by thread.first_response_seconds desc, thread.id desc';
    v_page := ' and thread.first_response_seconds is not null' || coalesce(
      ' and (thread.first_response_seconds, thread.id) < (' || v_after || ', ' || quote_literal(left(p_after, 36))
      || '::uuid)', '');
  elsif p_sort = 'waiting_since' then
    v_order := ' order by thread.waiting_since, thread.id';
    v_page := ' and thread.waiting_since is not null' || coalesce(
      ' and (thread.waiting_since, thread.id) > (' || quote_literal(private.cursor_time(v_after)::text)
      || '::timestamptz, ' || quote_literal(left(p_after, 36)) || '::uuid)', '');
  else
    -- The hour first, because the indexes that give the order are by the hour.
    v_order := ' order by thread.last_message_hour desc, thread.last_message_at desc, thread.id desc';
    v_page := ' and thread.last_message_hour is not null' || coalesce(
      ' and (thread.last_message_hour, thread.last_message_at, thread.id) < (date_bin(''1 hour'', $1, '
      || quote_literal('2000-01-01 00:00:00+00') || '::timestamptz), $1, ' || quote_literal(left(p_after, 36))
      || '::uuid)', '');
  end if;
  v_page := private.threads_found('thread.*', p_workspace_id, p_filter, p_view_id, v_page || v_order || ' limit ' || p_limit);
  execute 'select array(select row(thread.*)::public.wa_threads from (' || v_page || ') as thread' || v_order
      || ' limit ' || p_limit || ')'
    into v_threads
    using case when p_sort = 'last_message_at' and p_after is not null then private.cursor_time(v_after) end;
  return query select shown.* from private.threads_shown(v_threads, p_sort) as shown;
end $_$;

ALTER FUNCTION public.list_threads(p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_sort text, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: list_workspaces(text, text, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.list_workspaces(p_search text DEFAULT NULL::text, p_status text DEFAULT NULL::text, p_after_slug text DEFAULT NULL::text, p_limit integer DEFAULT 50) RETURNS TABLE(id uuid, slug text, name text, status text, created_at timestamp with time zone, member_count bigint, connection_count bigint, token_balance bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
#variable_conflict use_column
declare
  v_pattern text := '%' || replace(replace(replace(btrim(p_search), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  if p_limit is null or p_limit not between 1 and 1000 or coalesce(p_status, 'active') not in ('active', 'suspended')
  then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["limit", "status"]}',
      'Ask for 1 to 1000, active or suspended ones.');
  end if;
  return query
  select workspace.id, workspace.slug, workspace.name, workspace.status, workspace.created_at,
    (select count(*) from public.workspace_memberships as member where member.workspace_id = workspace.id),
    (select count(*) from public.wa_phone_numbers as connection
     where connection.workspace_id = workspace.id and connection.deleted_at is null and connection.status <> 'inactive'),
    coalesce((
      select account.balance from public.workspace_token_balance as account
      where account.workspace_id = workspace.id), 0)
  from public.workspaces as workspace
  where (p_status is null or workspace.status = p_status)
    and (p_after_slug is null or workspace.slug > p_after_slug)
    and (nullif(btrim(p_search), '') is null or workspace.slug ilike v_pattern or workspace.name ilike v_pattern
      or workspace.id::text = lower(btrim(p_search)))
  order by workspace.slug
  limit p_limit;
end $$;

ALTER FUNCTION public.list_workspaces(p_search text, p_status text, p_after_slug text, p_limit integer) OWNER TO postgres;

--
-- Name: contact_call_logs; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contact_call_logs (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    user_id uuid,
    outcome text NOT NULL,
    duration_seconds integer DEFAULT 0 NOT NULL,
    note text,
    called_at timestamp with time zone DEFAULT now() NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT contact_call_logs_duration_seconds_check CHECK (((duration_seconds >= 0) AND (duration_seconds <= 86400))),
    CONSTRAINT contact_call_logs_note_check CHECK (((length(note) >= 1) AND (length(note) <= 10000))),
    CONSTRAINT contact_call_logs_outcome_check CHECK ((outcome = ANY (ARRAY['answered'::text, 'no_answer'::text, 'busy'::text, 'voicemail'::text, 'callback_requested'::text, 'wrong_number'::text, 'failed'::text])))
);

ALTER TABLE public.contact_call_logs OWNER TO postgres;

--
-- Name: log_call(uuid, text, integer, text, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.log_call(p_contact_id uuid, p_outcome text, p_duration_seconds integer DEFAULT 0, p_note text DEFAULT NULL::text, p_called_at timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS public.contact_call_logs
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id constant uuid := (
    select contact.workspace_id from public.contacts as contact
    where contact.id = p_contact_id and contact.deleted_at is null);
  v_outcomes constant text[] :=
    array['answered', 'no_answer', 'busy', 'voicemail', 'callback_requested', 'wrong_number', 'failed'];
  v_log public.contact_call_logs;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  if not coalesce(p_outcome = any (v_outcomes), false) then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'outcome', 'value', left(p_outcome, 50), 'allowed', v_outcomes),
      'Use one of the allowed outcomes.');
  elsif not coalesce(p_duration_seconds between 0 and 86400, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "duration_seconds", "allowed": "0 to 86400"}',
      'Give the duration in seconds, at most a day.');
  elsif length(p_note) > 10000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "note"}', 'Write at most 10,000 characters.');
  end if;
  insert into public.contact_call_logs (workspace_id, contact_id, user_id, outcome, duration_seconds, note, called_at)
  values (v_workspace_id, p_contact_id, (select auth.uid()), p_outcome, p_duration_seconds, nullif(btrim(p_note), ''),
    coalesce(p_called_at, now()))
  returning * into v_log;
  return v_log;
end $$;

ALTER FUNCTION public.log_call(p_contact_id uuid, p_outcome text, p_duration_seconds integer, p_note text, p_called_at timestamp with time zone) OWNER TO postgres;

--
-- Name: maintain_outbox(interval); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.maintain_outbox(p_archive_after interval DEFAULT '30 days'::interval) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_archived integer;
  v_lines integer;
  v_counters integer;
begin
  perform private.end_outbox_leases();
  with finished as (
    select outbox.id from public.outbox_messages as outbox
    where outbox.created_at < now() - p_archive_after
      and (outbox.status in ('sent', 'cancelled') or (outbox.status in ('failed', 'dead')))
      and coalesce(outbox.settled_at, outbox.created_at) < now() - p_archive_after
    limit 1000
    for update skip locked
  ), moved as (
    delete from public.outbox_messages as outbox using finished where outbox.id = finished.id returning outbox.*
  )
  insert into private.outbox_archive (id, workspace_id, status, settled_at, message)
  select moved.id, moved.workspace_id, moved.status, moved.settled_at, to_jsonb(moved) - 'line_id' from moved
  -- Of notifications nothing is kept: who was told what isn't a record of anything.
  where moved.channel <> 'web_push'
  on conflict (id) do nothing;
  get diagnostics v_archived = row_count;

  with idle as (
    select line.line_id from private.outbox_lines as line
    where line.head is null and line.next_at < clock_timestamp() limit 50000 for update skip locked
  )
  delete from private.outbox_lines as line using idle where line.line_id = idle.line_id;
  get diagnostics v_lines = row_count;

  with ended as (
    select counter.key from public.rate_limit_counters as counter
    where counter.resets_at < clock_timestamp() limit 10000 for update skip locked
  )
  delete from public.rate_limit_counters as counter using ended where counter.key = ended.key;
  get diagnostics v_counters = row_count;
  return jsonb_build_object('archived', v_archived, 'lines', v_lines, 'counters', v_counters);
end $$;

ALTER FUNCTION public.maintain_outbox(p_archive_after interval) OWNER TO postgres;

--
-- Name: mark_messages_as_delivered(uuid, bigint); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.mark_messages_as_delivered(p_chat_id uuid, p_up_to_seq bigint DEFAULT NULL::bigint) RETURNS public.chat_members
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  return private.move_cursors(v_member, p_up_to_seq, false);
end $$;

ALTER FUNCTION public.mark_messages_as_delivered(p_chat_id uuid, p_up_to_seq bigint) OWNER TO postgres;

--
-- Name: mark_messages_as_read(uuid, bigint); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.mark_messages_as_read(p_chat_id uuid, p_up_to_seq bigint DEFAULT NULL::bigint) RETURNS public.chat_members
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  return private.move_cursors(v_member, p_up_to_seq, true);
end $$;

ALTER FUNCTION public.mark_messages_as_read(p_chat_id uuid, p_up_to_seq bigint) OWNER TO postgres;

--
-- Name: mark_thread_read(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.mark_thread_read(p_thread_id uuid) RETURNS bigint
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_thread public.wa_threads;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_thread.workspace_id, array['owner', 'admin', 'member', 'viewer'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  insert into public.wa_thread_reads as mine (thread_id, connection_id, workspace_id, user_id, read_count)
  values (v_thread.id, v_thread.connection_id, v_thread.workspace_id, v_user_id, v_thread.inbound_count)
  on conflict on constraint wa_thread_reads_pkey do update
    set read_count = greatest(mine.read_count, excluded.read_count), is_marked_unread = false
  where mine.read_count < excluded.read_count or mine.is_marked_unread;
  return v_thread.inbound_count;
end $$;

ALTER FUNCTION public.mark_thread_read(p_thread_id uuid) OWNER TO postgres;

--
-- Name: mark_thread_unread(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.mark_thread_unread(p_thread_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id uuid := private.require_user();
  v_thread public.wa_threads;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_thread.workspace_id, array['owner', 'admin', 'member', 'viewer'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  insert into public.wa_thread_reads as mine (thread_id, connection_id, workspace_id, user_id, read_count,
    is_marked_unread)
  values (v_thread.id, v_thread.connection_id, v_thread.workspace_id, v_user_id, 0, true)
  on conflict on constraint wa_thread_reads_pkey do update set is_marked_unread = true where not mine.is_marked_unread;
end $$;

ALTER FUNCTION public.mark_thread_unread(p_thread_id uuid) OWNER TO postgres;

--
-- Name: merge_contacts(uuid, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.merge_contacts(p_contact_id uuid, p_duplicate_id uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_contact public.contacts;
  v_duplicate public.contacts;
  v_thread record;
  v_counts jsonb := '{}';
  v_count bigint;
begin
  select contact.* into v_contact from public.contacts as contact
  where contact.id = p_contact_id and contact.deleted_at is null;
  perform private.require_role(v_contact.workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  perform pg_advisory_xact_lock(hashtextextended(v_contact.workspace_id::text, 256));
  perform 1 from public.contacts as contact where contact.id in (p_contact_id, p_duplicate_id)
  order by contact.id for update;
  select contact.* into v_contact from public.contacts as contact
  where contact.id = p_contact_id and contact.deleted_at is null;
  select contact.* into v_duplicate from public.contacts as contact
  where contact.id = p_duplicate_id and contact.workspace_id = v_contact.workspace_id and contact.deleted_at is null;
  if v_contact.id is null or v_duplicate.id is null then
    perform private.raise_error(404, 'contact_not_found',
      jsonb_build_object('contact_id', case when v_contact.id is null then p_contact_id else p_duplicate_id end),
      'Check the ids; both contacts have to be of one workspace.');
  elsif p_contact_id = p_duplicate_id then
    perform private.raise_error(400, 'invalid_value', '{"field": "duplicate_id"}', 'Name two contacts.');
  end if;

  -- Conversations: one of the same number is joined, another moves as it is.
  perform 1 from public.wa_threads as thread
  where thread.workspace_id = v_contact.workspace_id and thread.contact_id in (p_contact_id, p_duplicate_id)
  order by thread.id for update;
  for v_thread in
    select thread.id, own.id as own_id from public.wa_threads as thread
    left join public.wa_threads as own on own.workspace_id = thread.workspace_id and own.contact_id = p_contact_id
      and own.connection_id = thread.connection_id
    where thread.workspace_id = v_contact.workspace_id and thread.contact_id = p_duplicate_id
    order by thread.id
  loop
    if v_thread.own_id is null then
      update public.wa_threads as thread set contact_id = p_contact_id where thread.id = v_thread.id;
    else
      perform private.merge_threads(v_thread.id, v_thread.own_id);
    end if;
    v_counts := v_counts || jsonb_build_object('conversations', coalesce((v_counts ->> 'conversations')::integer, 0) + 1);
  end loop;
  update public.wa_messages as message set sender_contact_id = p_contact_id
  where message.workspace_id = v_contact.workspace_id and message.sender_contact_id = p_duplicate_id;

  update public.contact_notes as note set contact_id = p_contact_id
  where note.workspace_id = v_contact.workspace_id and note.contact_id = p_duplicate_id;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('notes', v_count);
  update public.contact_call_logs as log set contact_id = p_contact_id
  where log.workspace_id = v_contact.workspace_id and log.contact_id = p_duplicate_id;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('call_logs', v_count);
  update public.leads as lead set contact_id = p_contact_id
  where lead.workspace_id = v_contact.workspace_id and lead.contact_id = p_duplicate_id;
  get diagnostics v_count = row_count;
  v_counts := v_counts || jsonb_build_object('leads', v_count);
  update public.contact_events as event set contact_id = p_contact_id
  where event.workspace_id = v_contact.workspace_id and event.contact_id = p_duplicate_id;
  update public.contacts as contact set merged_into = p_contact_id
  where contact.workspace_id = v_contact.workspace_id and contact.merged_into = p_duplicate_id;

  -- Whoever has settings for both keeps their status for the survivor, the earlier follow-up and both notes.
  insert into public.user_contact_settings as kept
    (user_id, contact_id, workspace_id, status, follow_up_at, follow_up_note)
  select settings.user_id, p_contact_id, settings.workspace_id, settings.status, settings.follow_up_at,
    settings.follow_up_note
  from public.user_contact_settings as settings
  where settings.workspace_id = v_contact.workspace_id and settings.contact_id = p_duplicate_id
  on conflict (user_id, contact_id) do update
    set status = coalesce(kept.status, excluded.status),
      follow_up_at = least(kept.follow_up_at, excluded.follow_up_at),
      follow_up_note = left(concat_ws(E'\n', kept.follow_up_note, nullif(excluded.follow_up_note, kept.follow_up_note)),
        2000);
  delete from public.user_contact_settings as settings
  where settings.workspace_id = v_contact.workspace_id and settings.contact_id = p_duplicate_id;

  -- WhatsApp goes on finding the person, by the duplicate's number too. Dated back, so that replies go on leaving to the
  -- number in use, or else to the survivor's.
  update public.contact_identities as identity set contact_id = p_contact_id
  where identity.workspace_id = v_contact.workspace_id and identity.contact_id = p_duplicate_id;
  insert into public.contact_identities (workspace_id, contact_id, kind, value, created_at)
  select v_contact.workspace_id, p_contact_id, 'wa_id', substr(number.phone, 2), number.created_at
  from (values
    (v_contact.phone, timestamptz '1970-01-01T00:00:01Z'), (v_duplicate.phone, timestamptz '1970-01-01T00:00:00Z')
  ) as number (phone, created_at)
  where num_nonnulls(v_contact.phone, v_duplicate.phone) = 2
  on conflict on constraint contact_identities_value_key do nothing;

  delete from public.contact_duplicates as known
  where known.workspace_id = v_contact.workspace_id
    and (known.contact_id, known.duplicate_id)
      = (least(p_contact_id, p_duplicate_id), greatest(p_contact_id, p_duplicate_id));
  insert into public.contact_duplicates (workspace_id, contact_id, duplicate_id, reason)
  select known.workspace_id, least(p_contact_id, third.id), greatest(p_contact_id, third.id), known.reason
  from public.contact_duplicates as known
  cross join lateral (
    select case known.contact_id when p_duplicate_id then known.duplicate_id else known.contact_id end as id) as third
  where known.workspace_id = v_contact.workspace_id and p_duplicate_id in (known.contact_id, known.duplicate_id)
  on conflict do nothing;
  delete from public.contact_duplicates as known
  where known.workspace_id = v_contact.workspace_id and p_duplicate_id in (known.contact_id, known.duplicate_id);

  -- The duplicate makes room for its e-mail and number, and keeps what it was.
  update public.contacts as contact set deleted_at = now(), merged_into = p_contact_id where contact.id = p_duplicate_id;
  update public.contacts as contact
  set name = coalesce(contact.name, v_duplicate.name), email = coalesce(contact.email, v_duplicate.email),
    phone = coalesce(contact.phone, v_duplicate.phone),
    tags = array(select distinct tag from unnest(contact.tags || v_duplicate.tags) as tag order by tag),
    status_tags = array(
      select distinct tag from unnest(contact.status_tags || v_duplicate.status_tags) as tag order by tag),
    assigned_to = coalesce(contact.assigned_to, v_duplicate.assigned_to),
    marketing_opted_out = case
      when v_duplicate.marketing_preference_at > coalesce(contact.marketing_preference_at, '-infinity')
        then v_duplicate.marketing_opted_out else contact.marketing_opted_out end,
    marketing_preference_at = greatest(contact.marketing_preference_at, v_duplicate.marketing_preference_at),
    created_at = least(contact.created_at, v_duplicate.created_at)
  where contact.id = p_contact_id
  returning contact.* into v_contact;
  insert into public.contact_events (workspace_id, contact_id, kind, actor_id, detail)
  values (v_contact.workspace_id, p_contact_id, 'merged',
    (select profile.id from public.profiles as profile where profile.id = (select auth.uid())),
    jsonb_build_object('duplicate', to_jsonb(v_duplicate) - 'search_text'));
  return jsonb_build_object('contact', to_jsonb(v_contact), 'moved', v_counts);
end $$;

ALTER FUNCTION public.merge_contacts(p_contact_id uuid, p_duplicate_id uuid) OWNER TO postgres;

--
-- Name: mute_chat(uuid, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.mute_chat(p_chat_id uuid, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone) RETURNS public.chat_members
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  update public.chat_members as member set muted_until = p_until
  where member.chat_id = p_chat_id and member.user_id = v_member.user_id
  returning * into v_member;
  return v_member;
end $$;

ALTER FUNCTION public.mute_chat(p_chat_id uuid, p_until timestamp with time zone) OWNER TO postgres;

--
-- Name: open_thread(uuid, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.open_thread(p_contact_id uuid, p_connection_id uuid) RETURNS public.wa_threads
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_contact public.contacts;
  v_connection public.wa_phone_numbers;
  v_thread public.wa_threads;
begin
  select contact.* into v_contact from public.contacts as contact
  where contact.id = p_contact_id and contact.deleted_at is null;
  perform private.require_role(v_contact.workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  select connection.* into v_connection from public.wa_phone_numbers as connection
  where connection.id = p_connection_id and connection.workspace_id = v_contact.workspace_id
    and connection.deleted_at is null;
  if not found then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('connection_id', p_connection_id),
      'Name a number of the contact''s workspace.');
  elsif v_connection.status <> 'active' then
    perform private.raise_error(409, 'connection_inactive',
      jsonb_build_object('connection_id', v_connection.id, 'status', v_connection.status,
        'reason', v_connection.status_reason), 'Reactivate the connection, then repeat the request.');
  end if;
  insert into public.wa_threads (workspace_id, connection_id, contact_id, status, last_message_at)
  values (v_contact.workspace_id, v_connection.id, v_contact.id, 'pending', now())
  on conflict on constraint wa_threads_connection_id_contact_id_key do nothing;
  select thread.* into v_thread from public.wa_threads as thread
  where thread.workspace_id = v_contact.workspace_id and thread.connection_id = v_connection.id
    and thread.contact_id = v_contact.id;
  return v_thread;
end $$;

ALTER FUNCTION public.open_thread(p_contact_id uuid, p_connection_id uuid) OWNER TO postgres;

--
-- Name: open_thread_chat(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.open_thread_chat(p_thread_id uuid) RETURNS public.chats
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  return private.thread_chat(p_thread_id);
end $$;

ALTER FUNCTION public.open_thread_chat(p_thread_id uuid) OWNER TO postgres;

--
-- Name: pause_connection(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.pause_connection(p_connection_id uuid, p_reason text DEFAULT 'Paused by a person.'::text) RETURNS public.wa_phone_numbers
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_connection public.wa_phone_numbers;
begin
  update public.wa_phone_numbers as connection set status = 'paused', status_reason = left(p_reason, 500)
  where connection.id = p_connection_id and connection.deleted_at is null and connection.status <> 'inactive'
  returning * into v_connection;
  if not found then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('connection_id', p_connection_id),
      'Check the id; only a connected number can be paused.');
  end if;
  return v_connection;
end $$;

ALTER FUNCTION public.pause_connection(p_connection_id uuid, p_reason text) OWNER TO postgres;

--
-- Name: prepare_media_upload(uuid, text, bigint); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.prepare_media_upload(p_thread_id uuid, p_mime_type text, p_bytes bigint) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id constant uuid := (select thread.workspace_id from public.wa_threads as thread where thread.id = p_thread_id);
  v_mime_type constant text := lower(btrim(split_part(p_mime_type, ';', 1)));
  v_limit record;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  select known.* into v_limit from private.media_limits() as known where v_mime_type = any (known.mime_types);
  if not found then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'mime_type', 'allowed', (
        select jsonb_agg(mime_type.name) from private.media_limits() as known, unnest(known.mime_types) as mime_type (name))),
      'Send a kind of file that WhatsApp takes.');
  elsif not coalesce(p_bytes between 1 and v_limit.max_bytes, false) then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'bytes', 'kind', v_limit.kind, 'limit', v_limit.max_bytes),
      'Send a smaller file, which isn''t empty, or a link to it.');
  end if;
  return jsonb_build_object('kind', v_limit.kind, 'connection_id', (public.resolve_connection_for_thread(p_thread_id)).id);
end $$;

ALTER FUNCTION public.prepare_media_upload(p_thread_id uuid, p_mime_type text, p_bytes bigint) OWNER TO postgres;

--
-- Name: prepare_pushes(uuid[]); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.prepare_pushes(p_ids uuid[]) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ids uuid[];
  v_payloads jsonb[];
  v_answer jsonb;
begin
  select array_agg(outbox.id), array_agg(outbox.payload) into v_ids, v_payloads
  from public.outbox_messages as outbox where outbox.id = any (p_ids) and outbox.channel = 'web_push';

  with wanted as materialized (
    select found.* from private.wanted_chat_pushes(v_ids, v_payloads) as found
    union all select found.* from private.wanted_thread_pushes(v_ids, v_payloads) as found
    union all select found.* from private.wanted_follow_up_pushes(v_ids, v_payloads) as found
  ), spread as (
    insert into public.outbox_messages (workspace_id, channel, recipient, payload, idempotency_key)
    select event.workspace_id, 'web_push', device.id::text,
      event.payload || jsonb_strip_nulls(jsonb_build_object(
        'user_id', wanted.user_id, 'subscription_id', device.id, 'thread_id', wanted.push -> 'thread_id')),
      'push:' || device.id || ':' || (wanted.push ->> 'tag') || ':' || wanted.marker
    from wanted
    join public.outbox_messages as event on event.id = wanted.id and not event.payload ? 'subscription_id'
    join public.push_subscriptions as device on device.user_id = wanted.user_id
    where wanted.quiet_seconds is null
    order by event.workspace_id, device.id
    on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing
  ), badge as materialized (
    select person.user_id, private.badge_of(person.user_id) as count
    from (
      select distinct wanted.user_id from wanted
      join unnest(v_ids, v_payloads) as asked (id, payload)
        on asked.id = wanted.id and asked.payload ? 'subscription_id'
    ) as person
  )
  select jsonb_agg(jsonb_build_object(
    'id', asked.id,
    'outcome', case
      when wanted.user_id is null then 'unwanted'
      when wanted.quiet_seconds is not null and wanted.push ->> 'kind' = 'follow_up' then 'quiet'
      when wanted.quiet_seconds is not null then 'unwanted'
      when not asked.payload ? 'subscription_id' then 'spread'
      when device.id is null then 'unwanted'
      else 'ready'
    end,
    'delay_seconds', wanted.quiet_seconds,
    'push', jsonb_strip_nulls(wanted.push || jsonb_build_object('badge', badge.count)),
    'device', to_jsonb(device)))
  into v_answer
  from unnest(v_ids, v_payloads) as asked (id, payload)
  left join lateral (
    select found.* from wanted as found where found.id = asked.id order by found.quiet_seconds nulls first limit 1
  ) as wanted on true
  -- A device that has changed hands since isn't told what its former user was to be told.
  left join public.push_subscriptions as device
    on device.id = (asked.payload ->> 'subscription_id')::uuid and device.user_id = wanted.user_id
  left join badge on badge.user_id = wanted.user_id;
  return coalesce(v_answer, '[]');
end $$;

ALTER FUNCTION public.prepare_pushes(p_ids uuid[]) OWNER TO postgres;

--
-- Name: prepare_queue(uuid, date, integer, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.prepare_queue(p_workspace_id uuid, p_day date DEFAULT NULL::date, p_limit integer DEFAULT NULL::integer, p_user_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET enable_bitmapscan TO 'off'
    SET enable_hashjoin TO 'off'
    SET enable_mergejoin TO 'off'
    AS $$
declare
  v_settings public.user_queue_settings := private.require_queue(p_workspace_id, p_user_id);
  v_user_id constant uuid := v_settings.user_id;
  v_zone constant text := private.queue_timezone(p_workspace_id, v_user_id);
  v_today date;
  v_day date;
  v_opens_at timestamptz;
  v_room integer;
  v_carried integer;
  v_followed integer := 0;
  v_prepared integer := 0;
  v_page record;
  v_ids uuid[] := '{}';
  v_refused jsonb := '[]';
  v_score integer := 2147483647;
  v_created_at timestamptz := '-infinity';
  v_id uuid := '00000000-0000-0000-0000-000000000000';
begin
  if p_limit is not null and p_limit not between 1 and 10000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Prepare 1 to 10,000 leads at once.');
  end if;
  -- One at a time in a workspace: a second click, tab or colleague sees what the first has queued.
  perform pg_advisory_xact_lock(hashtextextended(p_workspace_id::text, 512));
  select settings.* into v_settings from public.user_queue_settings as settings
  where settings.workspace_id = p_workspace_id and settings.user_id = v_user_id
  for no key update;
  v_today := private.local_day(v_zone, clock_timestamp());
  v_day := coalesce(p_day, v_today + 1);
  if v_day not between v_today and v_today + 31 then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'day', 'value', v_day, 'allowed', v_today || ' to ' || (v_today + 31)),
      'Prepare today or a day of the next month, in the time zone of the queue.');
  elsif jsonb_array_length(v_settings.steps) = 0 then
    perform private.raise_error(409, 'queue_message_missing', jsonb_build_object('user_id', v_user_id),
      'Set the steps of the queue first: what automation writes.');
  end if;
  v_opens_at := private.local_moment(v_zone, v_day, v_settings.sends_from);

  v_room := least(coalesce(p_limit, 10000), v_settings.daily_capacity - (
    select count(*) from public.whatsapp_message_queue as message
    where message.workspace_id = p_workspace_id and message.queue_day = v_day and message.user_id = v_user_id
      and message.status <> 'cancelled'));
  v_room := greatest(v_room, 0);

  -- What a day before today left over comes first, then what was promised to those who haven't replied.
  with carried as (
    update public.whatsapp_message_queue as message
    set queue_day = v_day, scheduled_for = v_opens_at, reason = 'Left over from ' || message.queue_day || '.'
    where message.id = any (array(
      select older.id from public.whatsapp_message_queue as older
      where older.workspace_id = p_workspace_id and older.user_id = v_user_id and older.status = 'queued'
        and older.queue_day < v_today
      order by older.queue_day, older.priority desc, older.id limit v_room)) and message.status = 'queued'
    returning message.id
  )
  select count(*) into v_carried from carried;
  v_room := v_room - v_carried;

  with due as materialized (
    select run.id, run.lead_id, run.client_id, run.step + 1 as step, lead.score,
      v_settings.steps -> run.step as content, case
        when contact.id is null or contact.deleted_at is not null then 'contact_missing'
        when contact.marketing_opted_out then 'opted_out'
        when contact.phone is null and not exists (
          select from public.contact_identities as identity
          where identity.workspace_id = p_workspace_id and identity.contact_id = contact.id) then 'recipient_missing'
        when exists (
          select from public.whatsapp_message_queue as message
          where message.lead_id = lead.id and message.status in ('queued', 'sending')) then 'already_queued'
      end as refusal
    from (
      select waiting.* from public.lead_processing_queue as waiting
      where waiting.workspace_id = p_workspace_id and waiting.user_id = v_user_id and waiting.status = 'waiting'
        and waiting.next_on <= v_day
      order by waiting.next_on, waiting.id limit v_room
    ) as run
    join public.leads as lead on lead.id = run.lead_id and lead.control = 'automation'
    left join public.contacts as contact
      on contact.workspace_id = lead.workspace_id and contact.id = lead.contact_id
  ), ended as (
    update public.lead_processing_queue as run set status = 'completed', next_on = null, reason = 'No step is left.'
    from due where run.id = due.id and due.content is null
  ), continued as (
    update public.lead_processing_queue as run
    set status = 'queued', next_on = null, reason = 'No reply to step ' || run.step || '.'
    from due where run.id = due.id and due.content is not null and due.refusal is null and run.status = 'waiting'
    returning due.*
  ), queued as (
    insert into public.whatsapp_message_queue (workspace_id, lead_id, user_id, client_id, queue_day, step, priority,
      body, template, scheduled_for, reason)
    select p_workspace_id, continued.lead_id, v_user_id, continued.client_id, v_day, continued.step,
      least(greatest(continued.score, -100), 100), continued.content ->> 'body', continued.content -> 'template',
      v_opens_at, 'Follow-up for ' || v_day || '.'
    from continued
    on conflict (lead_id) where status in ('queued', 'sending') do nothing
    returning id
  )
  select (select count(*) from queued),
    (select coalesce(jsonb_agg(jsonb_build_object('lead_id', due.lead_id, 'reason', due.refusal)), '[]')
     from due where due.refusal is not null and due.content is not null)
  into v_followed, v_refused;
  v_room := v_room - v_followed;

  while cardinality(v_ids) < v_room loop
    with candidate as materialized (
      select mine.* from (
        select lead.id, lead.score, lead.created_at, lead.contact_id from public.leads as lead
        where lead.workspace_id = p_workspace_id and lead.user_id = v_user_id and lead.control = 'automation'
          and lead.status in ('new', 'pending') and lead.score <= v_score
          and (lead.score < v_score or (lead.created_at, lead.id) > (v_created_at, v_id))
        order by lead.score desc, lead.created_at, lead.id limit v_room + 100
      ) as mine
      union all
      select free.* from (
        select lead.id, lead.score, lead.created_at, lead.contact_id from public.leads as lead
        where lead.workspace_id = p_workspace_id and lead.user_id is null and v_settings.takes_unassigned
          and lead.control = 'automation' and lead.status in ('new', 'pending') and lead.score <= v_score
          and (lead.score < v_score or (lead.created_at, lead.id) > (v_created_at, v_id))
        order by lead.score desc, lead.created_at, lead.id limit v_room + 100
      ) as free
      order by 2 desc, 3, 1 limit v_room + 100
    ), judged as materialized (
      select candidate.*,
        row_number() over (order by candidate.score desc, candidate.created_at, candidate.id) as place,
        case
          when contact.id is null or contact.deleted_at is not null then 'contact_missing'
          when contact.marketing_opted_out then 'opted_out'
          when contact.phone is null and not exists (
            select from public.contact_identities as identity
            where identity.workspace_id = p_workspace_id and identity.contact_id = contact.id) then 'recipient_missing'
          when exists (
            select from public.whatsapp_message_queue as message
            where message.lead_id = candidate.id and message.status in ('queued', 'sending')) then 'already_queued'
        end as refusal
      from candidate
      left join public.contacts as contact
        on contact.workspace_id = p_workspace_id and contact.id = candidate.contact_id
    ), counted as materialized (
      select judged.*, count(*) filter (where judged.refusal is null) over (order by judged.place) as good
      from judged
    ), seen as (
      -- Nothing behind the last one that fits.
      select counted.* from counted
      where counted.good <= v_room - cardinality(v_ids) and (counted.refusal is null
        or counted.good < v_room - cardinality(v_ids))
    )
    select array_agg(seen.id) filter (where seen.refusal is null) as good,
      jsonb_agg(jsonb_build_object('lead_id', seen.id, 'reason', seen.refusal) order by seen.place)
        filter (where seen.refusal is not null) as refused,
      (array_agg(seen.score order by seen.place desc))[1] as score,
      (array_agg(seen.created_at order by seen.place desc))[1] as created_at,
      (array_agg(seen.id order by seen.place desc))[1] as id
    into v_page from seen;
    exit when v_page.id is null;
    v_ids := v_ids || coalesce(v_page.good, '{}');
    v_refused := v_refused || coalesce(v_page.refused, '[]');
    v_score := v_page.score;
    v_created_at := v_page.created_at;
    v_id := v_page.id;
  end loop;

  -- Whoever was taken or replied meanwhile isn't queued.
  with queued as (
    update public.leads as lead
    set status = 'queued', user_id = v_user_id, reason = 'Prepared for ' || v_day || '.', updated_at = now()
    where lead.workspace_id = p_workspace_id and lead.id = any (v_ids) and lead.control = 'automation'
      and lead.status in ('new', 'pending')
    returning lead.id, lead.client_id, lead.project_id, lead.score
  ), run as (
    insert into public.lead_processing_queue (workspace_id, lead_id, user_id, client_id, project_id)
    -- Where more than one step is to come.
    select p_workspace_id, queued.id, v_user_id, queued.client_id, queued.project_id from queued
    where jsonb_array_length(v_settings.steps) > 1
    -- Somebody has set back a lead whose run was going on: it begins anew.
    on conflict (lead_id) where status in ('queued', 'waiting') do update
      set status = 'queued', step = 1, next_on = null, user_id = excluded.user_id, reason = 'Begun anew.'
  ), message as (
    insert into public.whatsapp_message_queue (workspace_id, lead_id, user_id, client_id, queue_day, priority, body,
      template, scheduled_for, reason)
    select p_workspace_id, queued.id, v_user_id, queued.client_id, v_day, least(greatest(queued.score, -100), 100),
      v_settings.steps #>> '{0,body}', v_settings.steps #> '{0,template}', v_opens_at, 'Prepared for ' || v_day || '.'
    from queued
    on conflict (lead_id) where status in ('queued', 'sending') do nothing
    returning id
  )
  select count(*) into v_prepared from message;

  return jsonb_build_object(
    'user_id', v_user_id, 'day', v_day, 'timezone', v_zone, 'opens_at', v_opens_at,
    'capacity', v_settings.daily_capacity, 'prepared', v_prepared, 'follow_ups', v_followed, 'carried_over', v_carried,
    'room_left', v_settings.daily_capacity - (
      select count(*) from public.whatsapp_message_queue as message
      where message.workspace_id = p_workspace_id and message.queue_day = v_day and message.user_id = v_user_id
        and message.status <> 'cancelled'),
    'refused', jsonb_array_length(v_refused),
    'refusals', (
      select coalesce(jsonb_agg(entry.value order by entry.place), '[]')
      from jsonb_array_elements(v_refused) with ordinality as entry (value, place) where entry.place <= 1000));
end $$;

ALTER FUNCTION public.prepare_queue(p_workspace_id uuid, p_day date, p_limit integer, p_user_id uuid) OWNER TO postgres;

--
-- Name: preview_template_send(uuid, uuid, jsonb, uuid, jsonb, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.preview_template_send(p_workspace_id uuid, p_template_id uuid, p_filter jsonb DEFAULT '{}'::jsonb, p_view_id uuid DEFAULT NULL::uuid, p_variables jsonb DEFAULT '{}'::jsonb, p_limit integer DEFAULT 1000) RETURNS jsonb
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_template public.wa_templates;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  v_template := private.bulk_template(p_workspace_id, p_template_id, p_variables, p_limit);
  return (
    select jsonb_build_object(
      'threads', count(*), 'sendable', count(*) filter (where found.reason is null), 'category', v_template.category,
      'skipped', coalesce((
        select jsonb_object_agg(skipped.reason, skipped.threads)
        from (
          select one.reason, count(*) as threads from unnest(array_agg(found.reason)) as one (reason)
          where one.reason is not null group by one.reason
        ) as skipped), '{}'),
      'samples', coalesce(jsonb_agg(jsonb_build_object('thread_id', found.thread_id, 'contact_name', found.contact_name,
          'body', private.template_text(v_template, found.variables)))
        filter (where found.reason is null and found.sample <= 3), '[]'))
    from (
      select recipient.*, row_number() over (partition by recipient.reason) as sample
      from private.template_recipients(
        p_workspace_id, v_template, p_filter, p_view_id, p_variables, p_limit) as recipient
    ) as found);
end $$;

ALTER FUNCTION public.preview_template_send(p_workspace_id uuid, p_template_id uuid, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) OWNER TO postgres;

--
-- Name: purge_outbox(text, interval, uuid, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.purge_outbox(p_status text, p_older_than interval DEFAULT '00:00:00'::interval, p_workspace_id uuid DEFAULT NULL::uuid, p_limit integer DEFAULT 1000) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_count integer;
begin
  if p_status is null or p_status not in ('failed', 'dead', 'unknown') or p_limit is null
    or p_limit not between 1 and 10000
  then
    perform private.raise_error(400, 'invalid_value',
      '{"fields": ["p_status", "p_limit"], "allowed": ["failed", "dead", "unknown"]}',
      'Purge one of the allowed statuses, 1 to 10000 messages at once.');
  end if;
  with chosen as (
    select problem.id from private.outbox_problems as problem
    where problem.status = p_status and problem.settled_at <= now() - p_older_than
      and (p_workspace_id is null or problem.workspace_id = p_workspace_id)
    order by problem.settled_at limit p_limit
  )
  delete from public.outbox_messages as outbox using chosen
  where outbox.id = chosen.id and outbox.status = p_status;
  get diagnostics v_count = row_count;
  return v_count;
end $$;

ALTER FUNCTION public.purge_outbox(p_status text, p_older_than interval, p_workspace_id uuid, p_limit integer) OWNER TO postgres;

--
-- Name: react_to_whatsapp_message(uuid, text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.react_to_whatsapp_message(p_message_id uuid, p_emoji text, p_idempotency_key text) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_target public.wa_messages := private.whatsapp_target(p_message_id);
  v_queued record;
begin
  if length(p_emoji) > 20 or p_emoji ~ '[[:alnum:][:space:]]{2}' then
    perform private.raise_error(400, 'invalid_value', '{"field": "emoji"}',
      'React with one emoji, or with none to take the reaction back.');
  end if;
  v_queued := private.queue_whatsapp(v_target.thread_id, jsonb_build_object('type', 'reaction', 'reaction',
    jsonb_build_object('message_id', v_target.wa_message_id, 'emoji', coalesce(p_emoji, ''))), p_idempotency_key, true);
  if v_queued.is_new then
    -- Shown at once. Meta's own id of it will be known to nobody.
    insert into public.wa_message_changes (connection_id, wa_message_id, kind, target_id, direction, actor, body,
      occurred_at)
    values (v_target.connection_id, 'outbox:' || (v_queued.outbox).id, 'reaction', v_target.wa_message_id, 'out',
      'business', nullif(p_emoji, ''), now());
    perform private.refresh_whatsapp_messages(array[p_message_id]);
  end if;
  return (v_queued.outbox).id;
end $$;

ALTER FUNCTION public.react_to_whatsapp_message(p_message_id uuid, p_emoji text, p_idempotency_key text) OWNER TO postgres;

--
-- Name: record_push_results(jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.record_push_results(p_results jsonb) RETURNS void
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  delete from public.push_subscriptions as device
  using jsonb_to_recordset(p_results) as result (subscription_id uuid, endpoint text, outcome text)
  -- Not a subscription that took its place meanwhile.
  where device.id = result.subscription_id and device.endpoint = result.endpoint and result.outcome = 'gone';
  update public.push_subscriptions as device
  set failure_count = case result.outcome when 'sent' then 0 else device.failure_count + 1 end,
    last_error = left(result.error, 500)
  from jsonb_to_recordset(p_results) as result (subscription_id uuid, endpoint text, outcome text, error text)
  where device.id = result.subscription_id and device.endpoint = result.endpoint
    and result.outcome in ('sent', 'failed');
end $$;

ALTER FUNCTION public.record_push_results(p_results jsonb) OWNER TO postgres;

--
-- Name: release_lead(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.release_lead(p_lead_id uuid, p_reason text DEFAULT NULL::text) RETURNS public.leads
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_user_id constant uuid := private.require_user();
  v_lead public.leads;
begin
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id;
  perform private.require_role(v_lead.workspace_id, array['owner', 'admin', 'member'], 'lead_not_found',
    jsonb_build_object('lead_id', p_lead_id));
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id for no key update;
  if v_lead.control = 'automation' then
    perform private.raise_error(409, 'lead_not_taken', jsonb_build_object('lead_id', p_lead_id),
      'Automation has it already.');
  elsif v_lead.taken_by <> v_user_id and not exists (
    select from public.workspace_memberships as membership
    where (membership.workspace_id, membership.user_id) = (v_lead.workspace_id, v_user_id)
      and membership.role in ('owner', 'admin')
  ) then
    perform private.raise_error(409, 'lead_taken',
      jsonb_build_object('lead_id', p_lead_id, 'taken_by', v_lead.taken_by, 'taken_at', v_lead.taken_at),
      'Ask whoever has the lead, an owner or an admin to give it back.');
  end if;
  update public.leads as lead
  set control = 'automation', taken_by = null, taken_at = null,
    -- Who is done with stays so: automation prepares only what is new or pending.
    status = case when lead.status in ('qualified', 'lost') then lead.status else 'pending' end,
    reason = coalesce(left(nullif(btrim(p_reason), ''), 500), 'Given back.')
  where lead.id = p_lead_id
  returning * into v_lead;
  return v_lead;
end $$;

ALTER FUNCTION public.release_lead(p_lead_id uuid, p_reason text) OWNER TO postgres;

--
-- Name: release_lost_claims(text, bigint[]); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.release_lost_claims(p_worker text, p_held_tokens bigint[]) RETURNS integer
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_ids uuid[];
begin
  with lost as (
    delete from private.outbox_leases as lease
    where lease.worker = p_worker and lease.token <> all (coalesce(p_held_tokens, '{}'))
      and lease.expires_at > clock_timestamp()
    returning lease.ids
  )
  select array_agg(lost_id.id) into v_ids from lost cross join unnest(lost.ids) as lost_id (id);
  perform private.return_outbox(v_ids) where v_ids is not null;
  return coalesce(cardinality(v_ids), 0);
end $$;

ALTER FUNCTION public.release_lost_claims(p_worker text, p_held_tokens bigint[]) OWNER TO postgres;

--
-- Name: release_token_reservation(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.release_token_reservation(p_reservation_id uuid) RETURNS public.workspace_token_reservations
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform private.require_operator(array['owner', 'ops']);
  return private.end_reservation(p_reservation_id, 0);
end $$;

ALTER FUNCTION public.release_token_reservation(p_reservation_id uuid) OWNER TO postgres;

--
-- Name: remove_chat_member(uuid, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.remove_chat_member(p_chat_id uuid, p_user_id uuid) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
begin
  if v_member.role <> 'owner' then
    perform private.raise_error(403, 'role_required', jsonb_build_object('role', v_member.role, 'needs', array['owner']),
      'Ask an owner of the chat.');
  end if;
  perform 1 from public.chats as chat where chat.id = p_chat_id for no key update;
  delete from public.chat_members as member where member.chat_id = p_chat_id and member.user_id = p_user_id;
  if not found then
    perform private.raise_error(400, 'reference_not_found',
      jsonb_build_object('field', 'user_id', 'ids', array[p_user_id]), 'Name a member of the chat.');
  end if;
end $$;

ALTER FUNCTION public.remove_chat_member(p_chat_id uuid, p_user_id uuid) OWNER TO postgres;

--
-- Name: remove_member(uuid, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.remove_member(p_workspace_id uuid, p_user_id uuid) RETURNS public.workspace_memberships
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_is_service boolean := private.is_service();
  v_member public.workspace_memberships;
begin
  -- Everybody may leave; an owner or admin removes others.
  perform private.require_role(p_workspace_id,
    case when p_user_id = (select auth.uid()) then array['owner', 'admin', 'member', 'viewer']
      else array['owner', 'admin'] end,
    'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id
  for update;
  if not found then
    perform private.raise_error(404, 'member_not_found',
      jsonb_build_object('workspace_id', p_workspace_id, 'user_id', p_user_id), 'Check the id of the user.');
  elsif not v_is_service and v_member.role = 'owner'
    and p_workspace_id not in (select private.my_workspace_ids_as('owner')) then
    perform private.raise_error(403, 'role_required', '{"needs": ["owner"]}', 'Ask an owner of the workspace.');
  end if;
  delete from public.workspace_memberships as member
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id;
  return v_member;
end $$;

ALTER FUNCTION public.remove_member(p_workspace_id uuid, p_user_id uuid) OWNER TO postgres;

--
-- Name: remove_operator(text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.remove_operator(p_email text) RETURNS public.owner_members
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_operator public.owner_members;
begin
  perform private.require_operator(array['owner']);
  update public.owner_members as operator set active = false
  where operator.user_id = (
    select known.user_id from public.owner_members as known
    left join auth.users as account on account.id = known.user_id
    where lower(btrim(p_email)) in (lower(known.email), lower(account.email))
    order by lower(known.email) = lower(btrim(p_email)) desc limit 1)
  returning * into v_operator;
  if not found then
    perform private.raise_error(404, 'operator_not_found', jsonb_build_object('email', left(p_email, 320)),
      'Check the e-mail; `qero ops owners list` shows them.');
  end if;
  delete from public.platform_admins as admin where admin.user_id = v_operator.user_id;
  return v_operator;
end $$;

ALTER FUNCTION public.remove_operator(p_email text) OWNER TO postgres;

--
-- Name: remove_push_subscription(text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.remove_push_subscription(p_endpoint text) RETURNS boolean
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform private.require_user();
  delete from public.push_subscriptions as subscription
  where subscription.endpoint = p_endpoint and subscription.user_id = (select auth.uid());
  return found;
end $$;

ALTER FUNCTION public.remove_push_subscription(p_endpoint text) OWNER TO postgres;

--
-- Name: render_canned_response(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.render_canned_response(p_thread_id uuid, p_shortcut text) RETURNS text
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_thread public.wa_threads;
  v_contact public.contacts;
  v_body text;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_thread.workspace_id, array['owner', 'admin', 'member', 'viewer'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  select response.body into v_body from public.canned_responses as response
  where response.workspace_id = v_thread.workspace_id and response.shortcut = p_shortcut;
  if v_body is null then
    perform private.raise_error(404, 'canned_response_not_found', jsonb_build_object('shortcut', left(p_shortcut, 100)),
      'Check the shortcut; the workspace''s canned responses have others.');
  end if;
  select contact.* into v_contact from public.contacts as contact where contact.id = v_thread.contact_id;
  v_body := private.filled_text(v_body, v_contact);
  if v_body is null then
    perform private.raise_error(400, 'invalid_value', '{"field": "contact"}',
      'The contact lacks something that the answer names: fill it in, or write the answer by hand.');
  elsif length(v_body) > 4096 then
    perform private.raise_error(400, 'body_too_long',
      jsonb_build_object('field', 'body', 'length', length(v_body), 'limit', 4096),
      'Shorten the answer; WhatsApp takes at most 4096 characters.');
  end if;
  return v_body;
end $$;

ALTER FUNCTION public.render_canned_response(p_thread_id uuid, p_shortcut text) OWNER TO postgres;

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
      'recorded', count(*) filter (where item.outcome = 'recorded'),
      'deduped', count(*) filter (where item.outcome = 'deduped'),
      'set_aside', count(*) filter (where item.outcome = 'set_aside'),
      'orphan', count(*) filter (where item.outcome = 'orphan'))
    from jsonb_array_elements_text(v_answer -> 'outcomes') as item (outcome));
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
-- Name: reschedule_follow_up(uuid, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.reschedule_follow_up(p_id uuid, p_at timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform private.require_user();
  if not coalesce(p_at >= '1970-01-01T00:00:00Z' and p_at < '3000-01-01T00:00:00Z', false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "at"}', 'Give the time at which it is due.');
  end if;
  return private.move_follow_up(p_id, p_at, false);
end $$;

ALTER FUNCTION public.reschedule_follow_up(p_id uuid, p_at timestamp with time zone) OWNER TO postgres;

--
-- Name: reserve_workspace_tokens(uuid, bigint, text, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.reserve_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text DEFAULT NULL::text, p_seconds integer DEFAULT 900) RETURNS public.workspace_token_reservations
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_reference text := nullif(btrim(p_reference), '');
  v_account public.workspace_token_balance;
  v_reservation public.workspace_token_reservations;
begin
  perform private.require_operator(array['owner', 'ops']);
  perform private.check_tokens(p_amount, p_reason);
  if p_amount < 0 or coalesce(p_seconds, 0) not between 1 and 604800 then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["amount", "seconds"]}',
      'Reserve 1 or more, for 1 to 604800 seconds.');
  end if;
  v_account := private.lock_token_balance(p_workspace_id);
  select earlier.* into v_reservation from public.workspace_token_reservations as earlier
  where earlier.workspace_id = p_workspace_id and earlier.reference = v_reference;
  if found then
    perform private.refuse_reference(v_reference, p_amount, v_reservation.amount);
    return v_reservation;
  end if;
  perform private.refuse_amount(v_account, p_amount);
  insert into public.workspace_token_reservations (workspace_id, amount, reason, reference, expires_at, created_by)
  values (p_workspace_id, p_amount, btrim(p_reason), v_reference, now() + make_interval(secs => p_seconds),
    (select auth.uid()))
  returning * into v_reservation;
  update public.workspace_token_balance as account
  set reserved = account.reserved + p_amount, next_due_at = least(account.next_due_at, v_reservation.expires_at)
  where account.workspace_id = p_workspace_id;
  return v_reservation;
end $$;

ALTER FUNCTION public.reserve_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_seconds integer) OWNER TO postgres;

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
-- Name: resume_connection(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.resume_connection(p_connection_id uuid) RETURNS public.wa_phone_numbers
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_connection public.wa_phone_numbers;
begin
  update public.wa_phone_numbers as connection set status = 'active', status_reason = null
  where connection.id = p_connection_id and connection.deleted_at is null and connection.status <> 'inactive'
  returning * into v_connection;
  if not found then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('connection_id', p_connection_id),
      'Check the id; a number that was disconnected has to be connected again.');
  end if;
  update private.outbox_lanes as lane set paused_until = '-infinity', pause_count = 0, pause_reason = null
  where lane.connection_id = p_connection_id;
  perform private.wake_outbox_workers();
  return v_connection;
end $$;

ALTER FUNCTION public.resume_connection(p_connection_id uuid) OWNER TO postgres;

--
-- Name: retry_outbox(uuid[], integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.retry_outbox(p_ids uuid[], p_spread_seconds integer DEFAULT 0) RETURNS TABLE(id uuid, outcome text)
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
#variable_conflict use_column
declare
  v_ids uuid[];
begin
  if p_spread_seconds is null or p_spread_seconds not between 0 and 86400 then
    perform private.raise_error(400, 'invalid_value', '{"field": "p_spread_seconds", "allowed": "0 to 86400"}',
      'Spread a retry over at most a day.');
  end if;
  with chosen as materialized (
    select outbox.id, (row_number() over (order by outbox.sequence) - 1)::double precision / count(*) over () as place
    from public.outbox_messages as outbox
    where outbox.id in (select asked.id from unnest(p_ids) as asked (id))
      and outbox.status in ('failed', 'dead', 'unknown', 'cancelled')
  ), locked as materialized (
    select outbox.id, chosen.place from public.outbox_messages as outbox join chosen on chosen.id = outbox.id
    where outbox.status in ('failed', 'dead', 'unknown', 'cancelled')
    order by outbox.id for no key update of outbox
  ), again as (
    update public.outbox_messages as outbox
    set status = 'queued', attempts = 0, settled_at = null, provider_message_id = null, lease_token = null,
      scheduled_at = clock_timestamp() + make_interval(secs => p_spread_seconds * locked.place)
    from locked where outbox.id = locked.id
    returning outbox.id
  ), forgotten as (
    delete from private.outbox_problems as problem using again where problem.id = again.id
  ), shown as (
    update public.wa_messages as message set status = 'pending', wa_message_id = null, error_code = null, error_text = null
    from again where message.outbox_id = again.id
  )
  select array_agg(again.id) into v_ids from again;
  if v_ids is not null then
    perform private.queue_outbox(v_ids);
    perform private.wake_outbox_workers();
    perform private.follow_lead_messages(v_ids);
  end if;
  return query
  select asked.id, coalesce(outbox.status, 'not_found')
  from unnest(p_ids) as asked (id) left join public.outbox_messages as outbox on outbox.id = asked.id;
end $$;

ALTER FUNCTION public.retry_outbox(p_ids uuid[], p_spread_seconds integer) OWNER TO postgres;

--
-- Name: revoke_invitation(uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.revoke_invitation(p_invitation_id uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_invitation public.workspace_invitations;
begin
  select invitation.* into v_invitation from public.workspace_invitations as invitation
  where invitation.id = p_invitation_id for no key update;
  perform private.require_role(v_invitation.workspace_id, array['owner', 'admin'], 'invitation_not_found',
    jsonb_build_object('invitation_id', p_invitation_id));
  if v_invitation.accepted_at is not null then
    perform private.raise_error(409, 'invitation_used', jsonb_build_object('invitation_id', p_invitation_id),
      'It was accepted; remove the member instead.');
  end if;
  update public.workspace_invitations as invitation set revoked_at = coalesce(invitation.revoked_at, now())
  where invitation.id = p_invitation_id
  returning * into v_invitation;
  return to_jsonb(v_invitation) - 'token_hash';
end $$;

ALTER FUNCTION public.revoke_invitation(p_invitation_id uuid) OWNER TO postgres;

--
-- Name: canned_responses; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.canned_responses (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    shortcut text NOT NULL,
    body text NOT NULL,
    created_by uuid,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT canned_responses_body_check CHECK (((length(btrim(body)) >= 1) AND (length(btrim(body)) <= 4096))),
    CONSTRAINT canned_responses_shortcut_check CHECK ((shortcut ~ '^[a-z0-9][a-z0-9_-]{0,49}$'::text))
);

ALTER TABLE public.canned_responses OWNER TO postgres;

--
-- Name: save_canned_response(uuid, text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.save_canned_response(p_workspace_id uuid, p_shortcut text, p_body text) RETURNS public.canned_responses
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_response public.canned_responses;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if p_shortcut is null or p_shortcut !~ '^[a-z0-9][a-z0-9_-]{0,49}$' then
    perform private.raise_error(400, 'invalid_value', '{"field": "shortcut"}',
      'Use 1 to 50 lower-case letters, digits, dashes and underscores.');
  elsif not coalesce(length(btrim(p_body)) between 1 and 4096, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "body"}', 'Write 1 to 4096 characters.');
  end if;
  insert into public.canned_responses as response (workspace_id, shortcut, body, created_by)
  values (p_workspace_id, p_shortcut, p_body, (select auth.uid()))
  on conflict on constraint canned_responses_workspace_id_shortcut_key do update set body = excluded.body
  returning * into v_response;
  return v_response;
end $_$;

ALTER FUNCTION public.save_canned_response(p_workspace_id uuid, p_shortcut text, p_body text) OWNER TO postgres;

--
-- Name: push_subscriptions; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.push_subscriptions (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    user_id uuid NOT NULL,
    endpoint text NOT NULL,
    p256dh text NOT NULL,
    auth text NOT NULL,
    user_agent text,
    failure_count integer DEFAULT 0 NOT NULL,
    last_error text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT push_subscriptions_auth_check CHECK ((auth ~ '^[A-Za-z0-9_-]{22}$'::text)),
    CONSTRAINT push_subscriptions_endpoint_check CHECK (((endpoint ~ '^https?://[!-~]+$'::text) AND (length(endpoint) <= 2000))),
    CONSTRAINT push_subscriptions_failure_count_check CHECK ((failure_count >= 0)),
    CONSTRAINT push_subscriptions_last_error_check CHECK ((length(last_error) <= 500)),
    CONSTRAINT push_subscriptions_p256dh_check CHECK ((p256dh ~ '^B[A-Za-z0-9_-]{86}$'::text)),
    CONSTRAINT push_subscriptions_user_agent_check CHECK ((length(user_agent) <= 500))
);

ALTER TABLE public.push_subscriptions OWNER TO postgres;

--
-- Name: save_push_subscription(text, text, text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.save_push_subscription(p_endpoint text, p_p256dh text, p_auth text, p_user_agent text DEFAULT NULL::text) RETURNS public.push_subscriptions
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_user_id uuid := private.require_user();
  v_p256dh text := translate(rtrim(p_p256dh, '='), '+/', '-_');
  v_auth text := translate(rtrim(p_auth, '='), '+/', '-_');
  v_subscription public.push_subscriptions;
begin
  if not private.is_push_endpoint(p_endpoint) then
    perform private.raise_error(400, 'push_endpoint_invalid', '{"field": "endpoint"}',
      'Send the endpoint that the browser''s PushManager gave: an https address of a push service on the internet.');
  elsif (v_p256dh ~ '^B[A-Za-z0-9_-]{86}$') is not true then
    perform private.raise_error(400, 'invalid_value', '{"field": "p256dh"}',
      'Send the key p256dh of the browser''s subscription: base64 of 65 bytes.');
  elsif (v_auth ~ '^[A-Za-z0-9_-]{22}$') is not true then
    perform private.raise_error(400, 'invalid_value', '{"field": "auth"}',
      'Send the key auth of the browser''s subscription: base64 of 16 bytes.');
  end if;
  insert into public.push_subscriptions as subscription (user_id, endpoint, p256dh, auth, user_agent)
  values (v_user_id, p_endpoint, v_p256dh, v_auth, left(p_user_agent, 500))
  -- Whoever is signed in on the device has it now.
  on conflict on constraint push_subscriptions_endpoint_key do update
    set user_id = v_user_id, p256dh = v_p256dh, auth = v_auth, failure_count = 0, last_error = null,
      user_agent = coalesce(excluded.user_agent, subscription.user_agent)
  returning * into v_subscription;
  delete from public.push_subscriptions as subscription
  where subscription.id in (
    select other.id from public.push_subscriptions as other where other.user_id = v_user_id
    order by other.updated_at desc, other.id offset 20);
  perform private.schedule_follow_up_pushes(v_user_id);
  return v_subscription;
end $_$;

ALTER FUNCTION public.save_push_subscription(p_endpoint text, p_p256dh text, p_auth text, p_user_agent text) OWNER TO postgres;

--
-- Name: seal_audit_log(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.seal_audit_log(p_limit integer DEFAULT 10000) RETURNS TABLE(number bigint, last_id bigint, row_count bigint, hash text, sealed_at timestamp with time zone)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET lock_timeout TO '1s'
    AS $$
#variable_conflict use_column
declare
  v_head private.audit_seals;
  v_last_id bigint;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_limit is null or p_limit not between 1 and 10000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Seal 1 to 10000 rows at once.');
  end if;
  -- Waits for those who are writing: whatever id was given out before is then to be seen, or never will be. One seals
  -- at a time.
  lock table public.owner_audit_log in share row exclusive mode;
  select seal.* into v_head from private.audit_seals as seal order by seal.number desc limit 1;
  select max(unsealed.id) into v_last_id
  from (
    select entry.id from public.owner_audit_log as entry where entry.id > coalesce(v_head.last_id, 0)
    order by entry.id limit p_limit) as unsealed;
  if v_last_id is not null then
    insert into private.audit_seals (number, last_id, row_count, hash)
    select coalesce(v_head.number, 0) + 1, v_last_id, sealed.row_count, sealed.hash
    from private.audit_seal_hash(v_head.hash, coalesce(v_head.last_id, 0), v_last_id) as sealed;
  end if;
  return query select seal.* from private.audit_seals as seal order by seal.number desc limit 1;
end $$;

ALTER FUNCTION public.seal_audit_log(p_limit integer) OWNER TO postgres;

--
-- Name: owner_audit_log; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.owner_audit_log (
    id bigint NOT NULL,
    occurred_at timestamp with time zone DEFAULT clock_timestamp() NOT NULL,
    action text NOT NULL,
    actor_id uuid DEFAULT auth.uid(),
    actor_email text DEFAULT ((NULLIF(current_setting('request.jwt.claims'::text, true), ''::text))::jsonb ->> 'email'::text),
    actor_role text DEFAULT 
CASE current_setting('role'::text)
    WHEN 'none'::text THEN (SESSION_USER)::text
    ELSE current_setting('role'::text)
END,
    workspace_id uuid,
    before jsonb,
    after jsonb,
    reason text,
    request_id text DEFAULT "left"(((NULLIF(current_setting('request.headers'::text, true), ''::text))::jsonb ->> 'x-request-id'::text), 200),
    CONSTRAINT owner_audit_log_action_check CHECK ((action ~~ 'owner._%._%'::text))
);

ALTER TABLE public.owner_audit_log OWNER TO postgres;

--
-- Name: search_audit_log(uuid, text, text, timestamp with time zone, timestamp with time zone, text, bigint, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.search_audit_log(p_workspace_id uuid DEFAULT NULL::uuid, p_action text DEFAULT NULL::text, p_actor text DEFAULT NULL::text, p_since timestamp with time zone DEFAULT NULL::timestamp with time zone, p_until timestamp with time zone DEFAULT NULL::timestamp with time zone, p_search text DEFAULT NULL::text, p_before_id bigint DEFAULT NULL::bigint, p_limit integer DEFAULT 50) RETURNS SETOF public.owner_audit_log
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    SET plan_cache_mode TO 'force_custom_plan'
    AS $$
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  if p_limit is null or p_limit not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 1000"}',
      'Ask for 1 to 1000 rows at once.');
  end if;
  return query
  select entry.* from public.owner_audit_log as entry
  where (p_workspace_id is null or entry.workspace_id = p_workspace_id)
    and (p_action is null or entry.action = p_action or starts_with(entry.action, p_action || '.'))
    and (p_actor is null or lower(entry.actor_email) = lower(p_actor) or entry.actor_id::text = lower(p_actor)
      or entry.actor_id is null and entry.actor_role = p_actor)
    and (p_since is null or entry.occurred_at >= p_since) and (p_until is null or entry.occurred_at < p_until)
    and (p_search is null
      or strpos(lower(concat_ws(' ', entry.reason, entry.before, entry.after)), lower(p_search)) > 0)
    and (p_before_id is null or entry.id < p_before_id)
  order by entry.id desc
  limit p_limit;
end $$;

ALTER FUNCTION public.search_audit_log(p_workspace_id uuid, p_action text, p_actor text, p_since timestamp with time zone, p_until timestamp with time zone, p_search text, p_before_id bigint, p_limit integer) OWNER TO postgres;

--
-- Name: search_messages(uuid, text, uuid, text, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.search_messages(p_workspace_id uuid, p_query text, p_thread_id uuid DEFAULT NULL::uuid, p_after text DEFAULT NULL::text, p_limit integer DEFAULT 50) RETURNS SETOF private.found_message
    LANGUAGE plpgsql SECURITY DEFINER ROWS 50
    SET search_path TO ''
    SET plan_cache_mode TO 'force_generic_plan'
    SET work_mem TO '32MB'
    AS $_$
declare
  v_query tsquery;
  v_ids uuid[];
begin
  if not exists (
    select from public.workspace_memberships as membership
    where membership.user_id = (select auth.uid()) and membership.workspace_id = p_workspace_id)
  then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  end if;
  if not coalesce(length(btrim(p_query)) between 1 and 500, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "query"}', 'Search for 1 to 500 characters.');
  elsif not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 at once.');
  elsif p_after !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:-?[0-9]{1,17}$' then
    perform private.raise_error(400, 'invalid_value', '{"field": "after"}', 'Send the cursor of the page before.');
  end if;
  v_query := private.search_query(p_workspace_id, p_query);
  v_ids := private.newest_messages_found(p_workspace_id, v_query, p_thread_id,
    case when p_after is not null then private.cursor_time(substr(p_after, 38)) end, left(p_after, 36)::uuid, p_limit);
  return query
  select message.id, message.workspace_id, message.thread_id, thread.contact_id, contact.name, message.direction,
    message.type,
    ts_headline(('pg_catalog.' || coalesce(message.search_language, 'simple'))::regconfig, message.body, v_query,
      'StartSel=«, StopSel=», MaxWords=30, MinWords=10'),
    message.occurred_at, message.id || ':' || (extract(epoch from message.occurred_at) * 1000000)::bigint
  from unnest(v_ids) with ordinality as found (id, place)
  join public.wa_messages as message on message.id = found.id
  join public.wa_threads as thread on thread.id = message.thread_id
  left join public.contacts as contact on contact.id = thread.contact_id
  order by found.place;
end $_$;

ALTER FUNCTION public.search_messages(p_workspace_id uuid, p_query text, p_thread_id uuid, p_after text, p_limit integer) OWNER TO postgres;

--
-- Name: send_message(uuid, text, text, jsonb, uuid[], bigint); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.send_message(p_chat_id uuid, p_body text, p_client_generated_id text, p_attachments jsonb DEFAULT '[]'::jsonb, p_mentions uuid[] DEFAULT '{}'::uuid[], p_reply_to bigint DEFAULT NULL::bigint) RETURNS public.chat_messages
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
begin
  return private.append_message(v_member, p_body, p_client_generated_id, p_attachments, p_mentions, p_reply_to);
end $$;

ALTER FUNCTION public.send_message(p_chat_id uuid, p_body text, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint) OWNER TO postgres;

--
-- Name: send_messages(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.send_messages(p_chat_id uuid, p_messages jsonb) RETURNS SETOF public.chat_messages
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
  v_item record;
begin
  if p_messages is null or jsonb_typeof(p_messages) <> 'array' or jsonb_array_length(p_messages) > 100 then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'messages'),
      'Give an array of at most 100 messages.');
  end if;
  for v_item in
    select item.* from jsonb_to_recordset(p_messages) as item (
      body text, client_generated_id text, attachments jsonb, mentions uuid[], reply_to bigint)
  loop
    return next private.append_message(v_member, v_item.body, v_item.client_generated_id, v_item.attachments,
      v_item.mentions, v_item.reply_to);
  end loop;
end $$;

ALTER FUNCTION public.send_messages(p_chat_id uuid, p_messages jsonb) OWNER TO postgres;

--
-- Name: send_template_to_threads(uuid, uuid, text, jsonb, uuid, jsonb, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.send_template_to_threads(p_workspace_id uuid, p_template_id uuid, p_idempotency_key text, p_filter jsonb DEFAULT '{}'::jsonb, p_view_id uuid DEFAULT NULL::uuid, p_variables jsonb DEFAULT '{}'::jsonb, p_limit integer DEFAULT 1000) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_template public.wa_templates;
  v_user_id constant uuid := (select auth.uid());
  v_threads uuid[];
  v_connections uuid[];
  v_recipients text[];
  v_variables jsonb[];
  v_skipped jsonb;
  v_queued integer;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if not coalesce(length(p_idempotency_key) between 1 and 150, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "idempotency_key"}',
      'Give each sending its own key of 1 to 150 characters, and repeat it when you repeat the request.');
  end if;
  v_template := private.bulk_template(p_workspace_id, p_template_id, p_variables, p_limit);
  select array_agg(found.thread_id order by found.thread_id) filter (where found.reason is null),
    array_agg(found.connection_id order by found.thread_id) filter (where found.reason is null),
    array_agg(found.recipient order by found.thread_id) filter (where found.reason is null),
    array_agg(found.variables order by found.thread_id) filter (where found.reason is null),
    coalesce((
      select jsonb_object_agg(skipped.reason, skipped.threads)
      from (
        select one.reason, count(*) as threads from unnest(array_agg(found.reason)) as one (reason)
        where one.reason is not null group by one.reason
      ) as skipped), '{}')
  into v_threads, v_connections, v_recipients, v_variables, v_skipped
  from private.template_recipients(p_workspace_id, v_template, p_filter, p_view_id, p_variables, p_limit) as found;

  perform 1 from public.wa_threads as thread where thread.id = any (v_threads) order by thread.id for no key update;
  with given as materialized (
    select given.*, private.template_payload(v_template, given.variables) as payload
    from unnest(v_threads, v_connections, v_recipients, v_variables)
      as given (thread_id, connection_id, recipient, variables)
  ), queued as (
    insert into public.outbox_messages (workspace_id, channel, connection_id, thread_id, recipient, payload,
      idempotency_key, priority, created_by)
    select p_workspace_id, 'whatsapp', given.connection_id, given.thread_id, given.recipient, given.payload,
      -- Behind whatever people write.
      p_idempotency_key || ':' || given.thread_id, -10, v_user_id
    from given order by given.thread_id
    on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing
    returning id, thread_id, connection_id, payload
  ), shown as (
    insert into public.wa_messages (workspace_id, connection_id, thread_id, direction, type, body, content, status,
      sent_by, outbox_id, occurred_at)
    select p_workspace_id, queued.connection_id, queued.thread_id, 'out', 'template',
      private.template_text(v_template, given.variables), queued.payload, 'pending', v_user_id, queued.id, now()
    from queued join given on given.thread_id = queued.thread_id
    returning thread_id, body
  )
  -- Nobody is answered by it.
  update public.wa_threads as thread set last_message_at = now(), last_message_body = left(shown.body, 200)
  from shown where thread.id = shown.thread_id;
  get diagnostics v_queued = row_count;
  return jsonb_build_object('queued', v_queued, 'repeated', coalesce(cardinality(v_threads), 0) - v_queued,
    'skipped', v_skipped);
end $$;

ALTER FUNCTION public.send_template_to_threads(p_workspace_id uuid, p_template_id uuid, p_idempotency_key text, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) OWNER TO postgres;

--
-- Name: send_whatsapp_content(uuid, text, jsonb, text, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.send_whatsapp_content(p_thread_id uuid, p_kind text, p_content jsonb, p_idempotency_key text, p_quoted_id uuid DEFAULT NULL::uuid) RETURNS public.wa_messages
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id constant uuid := (select thread.workspace_id from public.wa_threads as thread where thread.id = p_thread_id);
  v_kinds constant text[] :=
    array['image', 'video', 'audio', 'document', 'sticker', 'location', 'contacts', 'interactive'];
  v_wrong text;
  v_queued record;
  v_message public.wa_messages;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  if p_kind is null or p_kind <> all (v_kinds) then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'kind', 'allowed', v_kinds),
      'Use one that is allowed.');
  end if;
  v_wrong := private.wrong_content(p_kind, p_content);
  if v_wrong is not null then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', rtrim('content.' || left(v_wrong, 100), '.'), 'kind', p_kind),
      'A file has either an id or a link; buttons are at most 3, rows of a list 10; docs/inbox.md has what WhatsApp takes.');
  end if;
  v_queued := private.queue_whatsapp(p_thread_id, jsonb_build_object('type', p_kind, p_kind, p_content)
    || private.quoting(p_thread_id, p_quoted_id), p_idempotency_key, true);
  if v_queued.is_new then
    return private.show_whatsapp_reply(v_queued.outbox, p_kind, coalesce(p_content ->> 'caption',
      p_content #>> '{body,text}', p_content #>> '{0,name,formatted_name}', p_content ->> 'name',
      p_content ->> 'address', p_content ->> 'filename'));
  end if;
  select message.* into v_message from public.wa_messages as message where message.outbox_id = (v_queued.outbox).id;
  return v_message;
end $$;

ALTER FUNCTION public.send_whatsapp_content(p_thread_id uuid, p_kind text, p_content jsonb, p_idempotency_key text, p_quoted_id uuid) OWNER TO postgres;

--
-- Name: send_whatsapp_read_receipt(uuid, boolean); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.send_whatsapp_read_receipt(p_message_id uuid, p_typing boolean DEFAULT false) RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_target public.wa_messages := private.whatsapp_target(p_message_id);
begin
  if v_target.direction <> 'in' then
    perform private.raise_error(400, 'invalid_value', '{"field": "message_id"}', 'Name a message of the customer''s.');
  end if;
  -- The message itself is the key: telling it twice tells nothing new.
  return ((private.queue_whatsapp(v_target.thread_id,
    jsonb_build_object('status', 'read', 'message_id', v_target.wa_message_id)
      || case when p_typing then '{"typing_indicator": {"type": "text"}}'::jsonb else '{}' end,
    case when p_typing then 'typing:' else 'read:' end || p_message_id, true)).outbox).id;
end $$;

ALTER FUNCTION public.send_whatsapp_read_receipt(p_message_id uuid, p_typing boolean) OWNER TO postgres;

--
-- Name: send_whatsapp_template(uuid, uuid, jsonb, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.send_whatsapp_template(p_thread_id uuid, p_template_id uuid, p_variables jsonb, p_idempotency_key text) RETURNS public.wa_messages
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_thread public.wa_threads;
  v_template public.wa_templates;
  v_contact public.contacts;
  v_variables jsonb := coalesce(p_variables, '{}');
  v_queued record;
  v_message public.wa_messages;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_thread.workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  v_template := private.sendable_template(v_thread.workspace_id, p_template_id);
  if v_template.waba_id <> (
    select connection.waba_id from public.wa_phone_numbers as connection where connection.id = v_thread.connection_id)
  then
    perform private.raise_error(404, 'template_not_found', jsonb_build_object('template_id', p_template_id),
      'Send a template of the business account that the thread''s number belongs to.');
  end if;
  select contact.* into v_contact from public.contacts as contact where contact.id = v_thread.contact_id;
  if v_template.category = 'MARKETING' and v_contact.marketing_opted_out then
    perform private.raise_error(409, 'recipient_opted_out', jsonb_build_object('contact_id', v_contact.id),
      'Send no marketing to them; a utility template may be sent.');
  end if;
  v_variables := private.filled_variables(v_variables, v_contact);
  perform private.check_template_variables(v_template, coalesce(v_variables, '{}'));
  v_queued := private.queue_whatsapp(
    p_thread_id, private.template_payload(v_template, v_variables), p_idempotency_key, false);
  if v_queued.is_new then
    return private.show_whatsapp_reply(v_queued.outbox, 'template', private.template_text(v_template, v_variables));
  end if;
  select message.* into v_message from public.wa_messages as message where message.outbox_id = (v_queued.outbox).id;
  return v_message;
end $$;

ALTER FUNCTION public.send_whatsapp_template(p_thread_id uuid, p_template_id uuid, p_variables jsonb, p_idempotency_key text) OWNER TO postgres;

--
-- Name: send_whatsapp_text(uuid, text, text, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text, p_quoted_id uuid DEFAULT NULL::uuid) RETURNS public.wa_messages
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id uuid;
  v_queued record;
  v_message public.wa_messages;
begin
  select thread.workspace_id into v_workspace_id from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));

  if p_body is null or p_body !~ '[^[:space:]]' then
    perform private.raise_error(400, 'body_required', '{"field": "body"}', 'Send at least one visible character.');
  elsif length(p_body) > 4096 then
    perform private.raise_error(400, 'body_too_long',
      jsonb_build_object('field', 'body', 'length', length(p_body), 'limit', 4096),
      'Split the text; WhatsApp takes at most 4096 characters.');
  end if;
  v_queued := private.queue_whatsapp(p_thread_id,
    jsonb_build_object('type', 'text', 'text', jsonb_build_object('body', p_body))
      || private.quoting(p_thread_id, p_quoted_id), p_idempotency_key, true);
  if v_queued.is_new then
    return private.show_whatsapp_reply(v_queued.outbox, 'text', p_body);
  end if;
  select message.* into v_message from public.wa_messages as message where message.outbox_id = (v_queued.outbox).id;
  return v_message;
end $$;

ALTER FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text, p_quoted_id uuid) OWNER TO postgres;

--
-- Name: set_connection_language(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_connection_language(p_connection_id uuid, p_language text) RETURNS public.wa_phone_numbers
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id constant uuid := (
    select connection.workspace_id from public.wa_phone_numbers as connection
    where connection.id = p_connection_id and connection.deleted_at is null);
  v_connection public.wa_phone_numbers;
begin
  if v_workspace_id is null
    or not (private.is_service() or v_workspace_id in (select private.my_workspace_ids()))
  then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('connection_id', p_connection_id),
      'Check the id; it may belong to another workspace.');
  end if;
  perform private.require_role(v_workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', v_workspace_id));
  if p_language is null or not private.is_search_language(p_language) then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'language', 'allowed', array(
        select configuration.cfgname from pg_catalog.pg_ts_config as configuration
        where configuration.cfgnamespace = 'pg_catalog'::regnamespace order by 1)),
      'Choose one of the languages that Postgres knows, or simple.');
  end if;
  update public.wa_phone_numbers as connection
  set search_languages = array_remove(connection.search_languages, p_language) || p_language
  where connection.id = p_connection_id
  returning * into v_connection;
  return v_connection;
end $$;

ALTER FUNCTION public.set_connection_language(p_connection_id uuid, p_language text) OWNER TO postgres;

--
-- Name: user_contact_settings; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.user_contact_settings (
    user_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    status text,
    follow_up_at timestamp with time zone,
    follow_up_note text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT user_contact_settings_follow_up_at_check CHECK (((follow_up_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (follow_up_at < '3000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT user_contact_settings_follow_up_note_check CHECK (((length(follow_up_note) >= 1) AND (length(follow_up_note) <= 2000))),
    CONSTRAINT user_contact_settings_status_check CHECK ((status = ANY (ARRAY['hot'::text, 'working'::text, 'follow_up'::text])))
);

ALTER TABLE public.user_contact_settings OWNER TO postgres;

--
-- Name: set_contact_settings(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_contact_settings(p_contact_id uuid, p_patch jsonb) RETURNS public.user_contact_settings
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_user_id constant uuid := private.require_user();
  v_workspace_id constant uuid := (
    select contact.workspace_id from public.contacts as contact where contact.id = p_contact_id);
  v_patch jsonb;
  v_row public.user_contact_settings;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  v_patch := private.checked_settings(p_patch, array['hot', 'working', 'follow_up']);
  insert into public.user_contact_settings as settings
    (user_id, contact_id, workspace_id, status, follow_up_at, follow_up_note)
  values (v_user_id, p_contact_id, v_workspace_id, v_patch ->> 'status', (v_patch ->> 'follow_up_at')::timestamptz,
    v_patch ->> 'follow_up_note')
  on conflict (user_id, contact_id) do update
    set status = case when v_patch ? 'status' then excluded.status else settings.status end,
      follow_up_at = case when v_patch ? 'follow_up_at' then excluded.follow_up_at else settings.follow_up_at end,
      follow_up_note = case when v_patch ? 'follow_up_note' then excluded.follow_up_note else settings.follow_up_note end
  returning settings.* into v_row;
  return v_row;
end $$;

ALTER FUNCTION public.set_contact_settings(p_contact_id uuid, p_patch jsonb) OWNER TO postgres;

--
-- Name: set_inbox_settings(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_inbox_settings(p_workspace_id uuid, p_patch jsonb) RETURNS public.inbox_settings
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_allowed constant text[] := array['assignment_policy', 'assignment_limit', 'assignee_ids',
    'first_response_target_seconds', 'next_response_target_seconds', 'business_hours', 'timezone'];
  v_wrong text;
  v_assignees uuid[];
  v_settings public.inbox_settings;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  select min(given.key) filter (where given.key <> all (v_allowed)) into v_wrong from jsonb_each(p_patch) as given;
  if v_wrong is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_wrong, 100), 'allowed', v_allowed), 'Use the fields that are allowed.');
  end if;
  select min(given.key) into v_wrong from jsonb_each(p_patch) as given
  where not coalesce(case given.key
    when 'assignment_policy' then given.value <@ '["manual", "round_robin", "by_load"]'
      and jsonb_typeof(given.value) = 'string'
    when 'business_hours' then given.value = 'null' or private.is_business_hours(given.value)
    when 'timezone' then jsonb_typeof(given.value) = 'string' and length(given.value #>> '{}') <= 100
      and private.is_timezone(given.value #>> '{}')
    when 'assignee_ids' then jsonb_typeof(given.value) = 'array' and not exists (
      select from jsonb_array_elements(case jsonb_typeof(given.value) when 'array' then given.value end) as member
      where not coalesce(pg_input_is_valid(member.value #>> '{}', 'uuid'), false))
    else given.value = 'null'
      or (pg_input_is_valid(given.value #>> '{}', 'integer') and (given.value #>> '{}')::integer
        between 1 and case given.key when 'assignment_limit' then 100000 else 31536000 end)
  end, false);
  if v_wrong is not null then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', v_wrong),
      'A policy is manual, round_robin or by_load; assignees are ids; limits and seconds are whole numbers from 1, or null; '
      'business hours don''t overlap and make an hour a week at least; a time zone is a name like Europe/Berlin.');
  end if;
  v_assignees := array(select value::uuid from jsonb_array_elements_text(p_patch -> 'assignee_ids'));
  if exists (
    select from unnest(v_assignees) as given (id) where not exists (
      select from public.workspace_memberships as member
      where member.workspace_id = p_workspace_id and member.user_id = given.id and member.role <> 'viewer'))
  then
    perform private.raise_error(400, 'reference_not_found', '{"field": "assignee_ids"}',
      'Name members of the workspace who aren''t viewers.');
  end if;

  insert into public.inbox_settings as settings (workspace_id) values (p_workspace_id)
  on conflict (workspace_id) do nothing;
  update public.inbox_settings as settings
  set assignment_policy = coalesce(p_patch ->> 'assignment_policy', settings.assignment_policy),
    assignment_limit = case when p_patch ? 'assignment_limit' then (p_patch ->> 'assignment_limit')::integer
      else settings.assignment_limit end,
    first_response_target_seconds = case when p_patch ? 'first_response_target_seconds'
      then (p_patch ->> 'first_response_target_seconds')::integer else settings.first_response_target_seconds end,
    next_response_target_seconds = case when p_patch ? 'next_response_target_seconds'
      then (p_patch ->> 'next_response_target_seconds')::integer else settings.next_response_target_seconds end,
    business_hours = case when p_patch ? 'business_hours' then nullif(p_patch -> 'business_hours', 'null')
      else settings.business_hours end,
    timezone = coalesce(p_patch ->> 'timezone', settings.timezone)
  where settings.workspace_id = p_workspace_id
  returning * into v_settings;
  if p_patch ? 'assignee_ids' then
    delete from public.inbox_assignees as assignee
    where assignee.workspace_id = p_workspace_id and assignee.user_id <> all (v_assignees);
    insert into public.inbox_assignees (workspace_id, user_id)
    select distinct p_workspace_id, given.id from unnest(v_assignees) as given (id)
    on conflict on constraint inbox_assignees_pkey do nothing;
  end if;
  return v_settings;
end $$;

ALTER FUNCTION public.set_inbox_settings(p_workspace_id uuid, p_patch jsonb) OWNER TO postgres;

--
-- Name: set_member_role(uuid, uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_member_role(p_workspace_id uuid, p_user_id uuid, p_role text) RETURNS public.workspace_memberships
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_is_service boolean := private.is_service();
  v_member public.workspace_memberships;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if p_role is null or p_role not in ('owner', 'admin', 'member', 'viewer') then
    perform private.raise_error(400, 'invalid_value',
      '{"field": "role", "allowed": ["owner", "admin", "member", "viewer"]}', 'Choose one of the allowed roles.');
  end if;
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id
  for no key update;
  if not found then
    perform private.raise_error(404, 'member_not_found',
      jsonb_build_object('workspace_id', p_workspace_id, 'user_id', p_user_id), 'Check the id of the user.');
  end if;
  -- An admin neither makes owners nor unmakes them.
  if not v_is_service and 'owner' in (p_role, v_member.role) and p_role <> v_member.role
    and p_workspace_id not in (select private.my_workspace_ids_as('owner')) then
    perform private.raise_error(403, 'role_required', '{"needs": ["owner"]}', 'Ask an owner of the workspace.');
  end if;
  update public.workspace_memberships as member set role = p_role
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id and member.role <> p_role
  returning * into v_member;
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id;
  return v_member;
end $$;

ALTER FUNCTION public.set_member_role(p_workspace_id uuid, p_user_id uuid, p_role text) OWNER TO postgres;

--
-- Name: notification_settings; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.notification_settings (
    user_id uuid NOT NULL,
    notify_chats text DEFAULT 'all'::text NOT NULL,
    notify_inbound text DEFAULT 'mine'::text NOT NULL,
    notify_assignments boolean DEFAULT true NOT NULL,
    notify_follow_ups boolean DEFAULT true NOT NULL,
    quiet_from time without time zone,
    quiet_until time without time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT notification_settings_notify_chats_check CHECK ((notify_chats = ANY (ARRAY['all'::text, 'mentions'::text, 'none'::text]))),
    CONSTRAINT notification_settings_notify_inbound_check CHECK ((notify_inbound = ANY (ARRAY['all'::text, 'mine'::text, 'none'::text]))),
    CONSTRAINT notification_settings_quiet_hours_check CHECK (((num_nulls(quiet_from, quiet_until) = ANY (ARRAY[0, 2])) AND ((quiet_from <> quiet_until) IS NOT FALSE)))
);

ALTER TABLE public.notification_settings OWNER TO postgres;

--
-- Name: set_notification_settings(jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_notification_settings(p_patch jsonb DEFAULT '{}'::jsonb) RETURNS public.notification_settings
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $_$
declare
  v_allowed constant text[] := array[
    'notify_chats', 'notify_inbound', 'notify_assignments', 'notify_follow_ups', 'quiet_from', 'quiet_until'];
  v_user_id uuid := private.require_user();
  v_field text;
  v_settings public.notification_settings;
begin
  if jsonb_typeof(p_patch) is distinct from 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "patch"}', 'Send an object of settings by name.');
  end if;
  select given.key into v_field from jsonb_object_keys(p_patch) as given (key) where given.key <> all (v_allowed) limit 1;
  if v_field is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_field, 100), 'allowed', v_allowed), 'Use the fields that are allowed.');
  end if;
  select given.field into v_field from jsonb_each(p_patch) as given (field, value)
  where case
    when given.field = 'notify_chats' then given.value #>> '{}' in ('all', 'mentions', 'none')
    when given.field = 'notify_inbound' then given.value #>> '{}' in ('all', 'mine', 'none')
    when given.field in ('quiet_from', 'quiet_until') then given.value = 'null'
      or given.value #>> '{}' ~ '^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$'
    else jsonb_typeof(given.value) = 'boolean'
  end is not true limit 1;
  if v_field is not null then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', v_field),
      'notify_chats is all, mentions or none; notify_inbound is all, mine or none; quiet hours are times like 22:00.');
  end if;

  insert into public.notification_settings (user_id) values (v_user_id) on conflict (user_id) do nothing;
  update public.notification_settings as settings
  set notify_chats = coalesce(p_patch ->> 'notify_chats', settings.notify_chats),
    notify_inbound = coalesce(p_patch ->> 'notify_inbound', settings.notify_inbound),
    notify_assignments = coalesce((p_patch ->> 'notify_assignments')::boolean, settings.notify_assignments),
    notify_follow_ups = coalesce((p_patch ->> 'notify_follow_ups')::boolean, settings.notify_follow_ups),
    quiet_from = case when p_patch ? 'quiet_from' then (p_patch ->> 'quiet_from')::time else settings.quiet_from end,
    quiet_until = case when p_patch ? 'quiet_until' then (p_patch ->> 'quiet_until')::time else settings.quiet_until end
  where settings.user_id = v_user_id and p_patch <> '{}';
  select settings.* into v_settings from public.notification_settings as settings where settings.user_id = v_user_id;
  return v_settings;
exception when check_violation then
  perform private.raise_error(400, 'invalid_value', '{"fields": ["quiet_from", "quiet_until"]}',
    'Give both ends of the quiet hours, at different times, or null for both.');
end $_$;

ALTER FUNCTION public.set_notification_settings(p_patch jsonb) OWNER TO postgres;

--
-- Name: set_queue_settings(uuid, jsonb, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_queue_settings(p_workspace_id uuid, p_patch jsonb DEFAULT '{}'::jsonb, p_user_id uuid DEFAULT NULL::uuid) RETURNS public.user_queue_settings
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_settings public.user_queue_settings := private.require_queue(p_workspace_id, p_user_id);
begin
  perform private.check_queue_settings(p_patch);
  if p_patch = '{}' then
    return v_settings;
  end if;
  select settings.* into v_settings from public.user_queue_settings as settings
  where settings.workspace_id = p_workspace_id and settings.user_id = v_settings.user_id
  for no key update;
  v_settings := jsonb_populate_record(v_settings, p_patch);
  if v_settings.sends_from >= v_settings.sends_until then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'sends_until', 'value', v_settings.sends_until, 'allowed', 'after sends_from'),
      'Let the hours end after they begin.');
  end if;
  update public.user_queue_settings as settings
  set daily_capacity = v_settings.daily_capacity, batch_size = v_settings.batch_size, timezone = v_settings.timezone,
    sends_from = v_settings.sends_from, sends_until = v_settings.sends_until, paused = v_settings.paused,
    takes_unassigned = v_settings.takes_unassigned, connection_id = v_settings.connection_id, steps = v_settings.steps
  where settings.workspace_id = p_workspace_id and settings.user_id = v_settings.user_id
  returning * into v_settings;
  return v_settings;
exception when foreign_key_violation then
  perform private.raise_error(400, 'reference_not_found', '{"field": "connection_id"}',
    'Use a number that is connected to this workspace.');
end $$;

ALTER FUNCTION public.set_queue_settings(p_workspace_id uuid, p_patch jsonb, p_user_id uuid) OWNER TO postgres;

--
-- Name: user_tma_settings; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.user_tma_settings (
    user_id uuid NOT NULL,
    tma_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    status text,
    follow_up_at timestamp with time zone,
    follow_up_note text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT user_tma_settings_follow_up_at_check CHECK (((follow_up_at >= '1970-01-01 00:00:00+00'::timestamp with time zone) AND (follow_up_at < '3000-01-01 00:00:00+00'::timestamp with time zone))),
    CONSTRAINT user_tma_settings_follow_up_note_check CHECK (((length(follow_up_note) >= 1) AND (length(follow_up_note) <= 2000))),
    CONSTRAINT user_tma_settings_status_check CHECK ((status = ANY (ARRAY['A'::text, 'B'::text, 'C'::text])))
);

ALTER TABLE public.user_tma_settings OWNER TO postgres;

--
-- Name: set_tma_settings(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_tma_settings(p_candidate_id uuid, p_patch jsonb) RETURNS public.user_tma_settings
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_user_id constant uuid := private.require_user();
  v_workspace_id constant uuid := (
    select candidate.workspace_id from public.tma_candidates as candidate where candidate.id = p_candidate_id);
  v_patch jsonb;
  v_row public.user_tma_settings;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'candidate_not_found',
    jsonb_build_object('candidate_id', p_candidate_id));
  v_patch := private.checked_settings(p_patch, array['A', 'B', 'C']);
  insert into public.user_tma_settings as settings
    (user_id, tma_id, workspace_id, status, follow_up_at, follow_up_note)
  values (v_user_id, p_candidate_id, v_workspace_id, v_patch ->> 'status', (v_patch ->> 'follow_up_at')::timestamptz,
    v_patch ->> 'follow_up_note')
  on conflict (user_id, tma_id) do update
    set status = case when v_patch ? 'status' then excluded.status else settings.status end,
      follow_up_at = case when v_patch ? 'follow_up_at' then excluded.follow_up_at else settings.follow_up_at end,
      follow_up_note = case when v_patch ? 'follow_up_note' then excluded.follow_up_note else settings.follow_up_note end
  returning settings.* into v_row;
  return v_row;
end $$;

ALTER FUNCTION public.set_tma_settings(p_candidate_id uuid, p_patch jsonb) OWNER TO postgres;

--
-- Name: set_token_alerts(uuid, bigint[]); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_token_alerts(p_workspace_id uuid, p_levels bigint[]) RETURNS public.workspace_token_balance
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_before bigint[];
  v_account public.workspace_token_balance;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_levels is null or cardinality(p_levels) > 20 or 0 > any (p_levels) or array_position(p_levels, null) > 0 then
    perform private.raise_error(400, 'invalid_value', '{"field": "levels"}', 'Give at most 20 levels of 0 or more.');
  end if;
  v_before := (private.lock_token_balance(p_workspace_id)).alert_levels;
  update public.workspace_token_balance as account
  set alert_levels = array(select distinct level from unnest(p_levels) as level order by level desc)
  where account.workspace_id = p_workspace_id
  returning account.* into v_account;
  if v_account.alert_levels <> v_before then
    perform private.audit('owner.tokens.alerts_set', p_workspace_id, jsonb_build_object('levels', v_before),
      jsonb_build_object('levels', v_account.alert_levels), null);
  end if;
  return v_account;
end $$;

ALTER FUNCTION public.set_token_alerts(p_workspace_id uuid, p_levels bigint[]) OWNER TO postgres;

--
-- Name: set_typing(uuid, boolean); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_typing(p_chat_id uuid, p_typing boolean DEFAULT true) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
begin
  perform private.tell_chat(p_chat_id, 'typing',
    jsonb_build_object('user_id', v_member.user_id, 'typing', coalesce(p_typing, true)));
end $$;

ALTER FUNCTION public.set_typing(p_chat_id uuid, p_typing boolean) OWNER TO postgres;

--
-- Name: set_workspace_entitlement(text, text, boolean, timestamp with time zone, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_workspace_entitlement(p_slug text, p_key text, p_enabled boolean, p_expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_reason text DEFAULT NULL::text) RETURNS public.workspace_entitlements
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform private.require_operator(array['owner', 'ops']);
  return private.write_entitlement((private.find_workspace(p_slug)).id, p_key, p_enabled, null, p_expires_at, p_reason);
end $$;

ALTER FUNCTION public.set_workspace_entitlement(p_slug text, p_key text, p_enabled boolean, p_expires_at timestamp with time zone, p_reason text) OWNER TO postgres;

--
-- Name: set_workspace_entitlement_payload(uuid, text, boolean, jsonb, timestamp with time zone, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_workspace_entitlement_payload(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone DEFAULT NULL::timestamp with time zone, p_reason text DEFAULT NULL::text) RETURNS public.workspace_entitlements
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform private.require_operator(array['owner', 'ops']);
  return private.write_entitlement((private.find_workspace(p_workspace_id::text)).id, p_key, p_enabled,
    case when jsonb_typeof(p_payload) = 'null' then '{}' else coalesce(p_payload, '{}') end, p_expires_at, p_reason);
end $$;

ALTER FUNCTION public.set_workspace_entitlement_payload(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone, p_reason text) OWNER TO postgres;

--
-- Name: set_workspace_status(uuid, text, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.set_workspace_status(p_workspace_id uuid, p_status text, p_reason text DEFAULT NULL::text) RETURNS public.workspaces
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id uuid;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_status is null or p_status not in ('active', 'suspended') or length(p_reason) > 500 then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["status", "reason"]}',
      'A workspace is active or suspended, for a reason of at most 500 characters.');
  end if;
  v_workspace_id := (private.find_workspace(p_workspace_id::text)).id;
  perform set_config('qero.reason', coalesce(btrim(p_reason), ''), true);
  update public.workspaces as workspace set status = p_status
  where workspace.id = v_workspace_id and workspace.status <> p_status;
  perform set_config('qero.reason', '', true);
  return private.find_workspace(p_workspace_id::text);
end $$;

ALTER FUNCTION public.set_workspace_status(p_workspace_id uuid, p_status text, p_reason text) OWNER TO postgres;

--
-- Name: settle_due_tokens(integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.settle_due_tokens(p_limit integer DEFAULT 100) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_workspace_id uuid;
  v_count integer := 0;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_limit is null or p_limit not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 1000"}',
      'Settle 1 to 1000 workspaces at once.');
  end if;
  for v_workspace_id in
    select account.workspace_id from public.workspace_token_balance as account
    where account.next_due_at <= now()
    order by account.next_due_at limit p_limit for no key update skip locked
  loop
    perform private.lock_token_balance(v_workspace_id);
    v_count := v_count + 1;
  end loop;
  return v_count;
end $$;

ALTER FUNCTION public.settle_due_tokens(p_limit integer) OWNER TO postgres;

--
-- Name: settle_token_reservation(uuid, bigint); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.settle_token_reservation(p_reservation_id uuid, p_amount bigint) RETURNS public.workspace_token_reservations
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
begin
  perform private.require_operator(array['owner', 'ops']);
  perform private.check_tokens(p_amount, 'settled');
  return private.end_reservation(p_reservation_id, p_amount);
end $$;

ALTER FUNCTION public.settle_token_reservation(p_reservation_id uuid, p_amount bigint) OWNER TO postgres;

--
-- Name: snooze_follow_up(uuid, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.snooze_follow_up(p_id uuid, p_seconds integer) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
begin
  perform private.require_user();
  if not coalesce(p_seconds between 1 and 31622400, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "seconds", "allowed": "1 to 31622400"}',
      'Snooze for a second to a year.');
  end if;
  return private.move_follow_up(p_id, now() + make_interval(secs => p_seconds), false);
end $$;

ALTER FUNCTION public.snooze_follow_up(p_id uuid, p_seconds integer) OWNER TO postgres;

--
-- Name: start_automation(uuid, integer, boolean, uuid); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.start_automation(p_workspace_id uuid, p_batch integer DEFAULT NULL::integer, p_dry_run boolean DEFAULT false, p_user_id uuid DEFAULT NULL::uuid) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_settings public.user_queue_settings := private.require_queue(p_workspace_id, p_user_id);
  v_zone constant text := private.queue_timezone(p_workspace_id, v_settings.user_id);
  v_dry constant boolean := coalesce(p_dry_run, false);
  v_batch constant integer := coalesce(p_batch, v_settings.batch_size);
  v_now constant timestamptz := clock_timestamp();
  v_today constant date := private.local_day(v_zone, v_now);
  v_opens_at constant timestamptz := private.local_moment(v_zone, v_today, v_settings.sends_from);
  v_closes_at constant timestamptz := private.local_moment(v_zone, v_today, v_settings.sends_until);
  v_waits_for text;
  v_ids uuid[] := '{}';
  v_started integer := 0;
  v_cancelled integer := 0;
  v_failed uuid[];
  v_problems jsonb := '{}';
begin
  if v_batch not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "batch", "allowed": "1 to 1000"}',
      'Start 1 to 1,000 messages at once.');
  end if;
  v_waits_for := case
    when v_settings.paused then 'resume'
    when v_now < v_opens_at or v_now >= v_closes_at then 'sending_hours'
    when not exists (
      select from public.wa_phone_numbers as connection
      where connection.id = coalesce(v_settings.connection_id, private.first_connection(p_workspace_id))
        and connection.status = 'active' and connection.deleted_at is null) then 'connection'
  end;
  if v_waits_for is null and not v_dry then
    perform pg_advisory_xact_lock(hashtextextended(p_workspace_id::text, 512));
  end if;
  if v_waits_for is null or v_dry then
    v_ids := array(
      select message.id from public.whatsapp_message_queue as message
      where message.workspace_id = p_workspace_id and message.user_id = v_settings.user_id
        and message.queue_day = v_today and message.status = 'queued'
      order by message.priority desc, message.scheduled_for, message.id
      limit case when v_dry then 10000 else v_batch end);
  end if;

  if v_dry then
    select coalesce(sum(counted.count) filter (where counted.problem is null), 0),
      coalesce(sum(counted.count) filter (where counted.problem = 'not_automated'), 0),
      coalesce(jsonb_object_agg(counted.problem, counted.count) filter (where counted.problem is not null), '{}')
    into v_started, v_cancelled, v_problems
    from (
      select message.problem, count(*) from private.sendable_messages(v_settings, v_ids) as message
      group by message.problem
    ) as counted;
    v_failed := array_fill(null::uuid, array[cardinality(v_ids) - v_started - v_cancelled]);
  elsif v_ids <> '{}' then
    -- A conversation that automation begins asks nobody for an answer.
    insert into public.wa_threads (workspace_id, connection_id, contact_id, status)
    select distinct p_workspace_id, message.connection_id, message.contact_id, 'closed'
    from private.sendable_messages(v_settings, v_ids) as message
    where message.problem is null and message.thread_id is null
    order by 2, 3
    on conflict do nothing;
    perform 1 from public.wa_threads as thread
    where thread.id = any (array(
      select message.thread_id from private.sendable_messages(v_settings, v_ids) as message
      where message.problem is null))
    order by thread.id
    for no key update;
    perform 1 from public.whatsapp_message_queue as message
    where message.id = any (v_ids) order by message.id for no key update;

    -- Whoever has replied until here is out; whoever replies from here on cancels what is written now.
    with message as materialized (
      select message.*, gen_random_uuid() as outbox_id, array_position(v_ids, message.id) as place
      from private.sendable_messages(v_settings, v_ids) as message
      where message.problem is not null or message.thread_id is not null
    ), written as (
      insert into public.outbox_messages (id, workspace_id, channel, connection_id, thread_id, recipient, payload,
        idempotency_key, automated)
      select message.outbox_id, p_workspace_id, 'whatsapp', message.connection_id, message.thread_id,
        message.recipient, message.payload, 'queue:' || message.id, true
      from message where message.problem is null
      order by message.place
      on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing
      returning outbox_messages.id
    ), shown as (
      insert into public.wa_messages (workspace_id, connection_id, thread_id, direction, type, body, content, status,
        outbox_id, occurred_at)
      select p_workspace_id, message.connection_id, message.thread_id, 'out', message.payload ->> 'type', message.body,
        message.payload, 'pending', message.outbox_id, now()
      from message join written on written.id = message.outbox_id
      order by message.place
    ), moved as (
      update public.wa_threads as thread
      set last_message_at = greatest(thread.last_message_at, now()),
        last_message_body = left(coalesce(message.body, message.payload #>> '{template,name}'), 200)
      from message join written on written.id = message.outbox_id
      where thread.id = message.thread_id
    ), settled as (
      update public.whatsapp_message_queue as queued
      set status = case
          when message.problem is null then 'sending'
          when message.problem = 'not_automated' then 'cancelled'
          else 'failed'
        end,
        outbox_id = case when message.problem is null then message.outbox_id end, last_error = message.problem,
        reason = case when message.problem is null then 'In the outbox.' else 'It couldn''t be sent.' end,
        updated_at = now()
      from message left join written on written.id = message.outbox_id
      where queued.id = message.id and (message.problem is not null or written.id is not null)
      returning queued.id, queued.status, queued.last_error
    )
    select count(*) filter (where settled.status = 'sending'), count(*) filter (where settled.status = 'cancelled'),
      array_agg(settled.id) filter (where settled.status = 'failed'),
      (select coalesce(jsonb_object_agg(counted.last_error, counted.count), '{}')
       from (
         select settled.last_error, count(*) from settled where settled.last_error is not null
         group by settled.last_error
       ) as counted)
    into v_started, v_cancelled, v_failed, v_problems
    from settled;
    perform private.advance_leads(v_failed) where v_failed is not null;
  end if;

  return jsonb_build_object(
    'user_id', v_settings.user_id, 'day', v_today, 'dry_run', v_dry, 'waits_for', v_waits_for,
    'opens_at', case
      when v_waits_for = 'sending_hours' and v_now < v_opens_at then v_opens_at
      when v_waits_for = 'sending_hours' then private.local_moment(v_zone, v_today + 1, v_settings.sends_from)
    end,
    'started', v_started, 'failed', coalesce(cardinality(v_failed), 0), 'cancelled', v_cancelled,
    'problems', v_problems,
    'left', (
      select count(*) from public.whatsapp_message_queue as message
      where message.workspace_id = p_workspace_id and message.user_id = v_settings.user_id
        and message.queue_day = v_today and message.status = 'queued'));
end $$;

ALTER FUNCTION public.start_automation(p_workspace_id uuid, p_batch integer, p_dry_run boolean, p_user_id uuid) OWNER TO postgres;

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
-- Name: status(public.chat_messages); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.status(p_message public.chat_messages) RETURNS text
    LANGUAGE sql STABLE
    SET search_path TO ''
    AS $$
  select case
    when p_message.seq <= min(member.last_read_seq) then 'read'
    when p_message.seq <= min(member.last_delivered_seq) then 'delivered'
    else 'sent'
  end
  from public.chat_members as member
  where member.chat_id = p_message.chat_id and member.user_id is distinct from p_message.sender_id
$$;

ALTER FUNCTION public.status(p_message public.chat_messages) OWNER TO postgres;

--
-- Name: sync_templates(uuid, text, jsonb, timestamp with time zone); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.sync_templates(p_workspace_id uuid, p_waba_id text, p_templates jsonb, p_asked_at timestamp with time zone) RETURNS jsonb
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
declare
  v_synced integer;
  v_gone integer;
begin
  insert into public.wa_templates as template (workspace_id, waba_id, template_id, name, language, status, category,
    quality, rejected_reason, components, status_changed_at, category_changed_at, quality_changed_at,
    components_changed_at)
  select distinct on (given.id) p_workspace_id, p_waba_id, given.id, given.name, given.language, given.status, given.category,
    given.quality_score ->> 'score', nullif(given.rejected_reason, 'NONE'), given.components, p_asked_at, p_asked_at,
    p_asked_at, p_asked_at
  from jsonb_to_recordset(p_templates) as given (
    id text, name text, language text, status text, category text, quality_score jsonb, rejected_reason text,
    components jsonb)
  order by given.id
  on conflict on constraint wa_templates_template_id_key do update
  -- A webhook that came meanwhile is newer than the list.
  set name = excluded.name, language = excluded.language,
    status = case when p_asked_at >= coalesce(template.status_changed_at, '-infinity')
      then excluded.status else template.status end,
    rejected_reason = case when p_asked_at >= coalesce(template.status_changed_at, '-infinity')
      then excluded.rejected_reason else template.rejected_reason end,
    category = case when p_asked_at >= coalesce(template.category_changed_at, '-infinity')
      then excluded.category else template.category end,
    quality = case when p_asked_at >= coalesce(template.quality_changed_at, '-infinity')
      then excluded.quality else template.quality end,
    components = case when p_asked_at >= coalesce(template.components_changed_at, '-infinity')
      then excluded.components else template.components end,
    status_changed_at = greatest(template.status_changed_at, p_asked_at),
    category_changed_at = greatest(template.category_changed_at, p_asked_at),
    quality_changed_at = greatest(template.quality_changed_at, p_asked_at),
    components_changed_at = greatest(template.components_changed_at, p_asked_at);
  get diagnostics v_synced = row_count;
  update public.wa_templates as template set status = 'DELETED', status_changed_at = p_asked_at
  where template.workspace_id = p_workspace_id and template.waba_id = p_waba_id
    and template.status is distinct from 'DELETED' and coalesce(template.status_changed_at, '-infinity') < p_asked_at
    and not exists (
      select from jsonb_to_recordset(p_templates) as given (id text) where given.id = template.template_id);
  get diagnostics v_gone = row_count;
  return jsonb_build_object('synced', v_synced, 'gone', v_gone);
exception when foreign_key_violation then
  perform private.raise_error(404, 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id),
    'Check the workspace''s id.');
end $$;

ALTER FUNCTION public.sync_templates(p_workspace_id uuid, p_waba_id text, p_templates jsonb, p_asked_at timestamp with time zone) OWNER TO postgres;

--
-- Name: take_lead(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.take_lead(p_lead_id uuid, p_reason text DEFAULT NULL::text) RETURNS jsonb
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    SET enable_seqscan TO 'off'
    SET plan_cache_mode TO 'force_generic_plan'
    AS $$
declare
  v_user_id constant uuid := private.require_user();
  v_reason constant text := coalesce(left(nullif(btrim(p_reason), ''), 500), 'A person took over.');
  v_lead public.leads;
  v_lead_ids uuid[];
  v_outbox_ids uuid[];
  v_open uuid[];
begin
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id;
  perform private.require_role(v_lead.workspace_id, array['owner', 'admin', 'member'], 'lead_not_found',
    jsonb_build_object('lead_id', p_lead_id));
  perform pg_advisory_xact_lock_shared(hashtextextended(v_lead.workspace_id::text, 512));
  -- The contact's other leads too: one person is talking to them now.
  v_lead_ids := array(
    select p_lead_id
    union
    select lead.id from public.leads as lead
    where lead.workspace_id = v_lead.workspace_id and lead.contact_id = v_lead.contact_id
      and lead.control = 'automation');
  v_outbox_ids := private.lock_automation(v_lead_ids);
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id for no key update;
  if v_lead.taken_by <> v_user_id then
    perform private.raise_error(409, 'lead_taken',
      jsonb_build_object('lead_id', p_lead_id, 'taken_by', v_lead.taken_by, 'taken_at', v_lead.taken_at, 'name', (
        select coalesce(profile.full_name, profile.email) from public.profiles as profile
        where profile.id = v_lead.taken_by)),
      'Ask whoever has the lead to give it back.');
  end if;
  v_open := array(
    select message.id from public.whatsapp_message_queue as message
    where message.lead_id = any (v_lead_ids) and message.status in ('queued', 'sending'));
  perform private.end_automation(v_lead_ids, v_outbox_ids, v_reason, v_user_id);
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id;
  return jsonb_build_object('lead', to_jsonb(v_lead),
    'cancelled', (
      select count(*) from public.whatsapp_message_queue as message
      where message.id = any (v_open) and message.status = 'cancelled'),
    'handed_over', (
      select coalesce(jsonb_agg(jsonb_build_object('queue_id', message.id, 'outbox_id', message.outbox_id,
        'status', message.status) order by message.id), '[]')
      from public.whatsapp_message_queue as message
      where message.id = any (v_open) and message.status <> 'cancelled'));
end $$;

ALTER FUNCTION public.take_lead(p_lead_id uuid, p_reason text) OWNER TO postgres;

--
-- Name: take_rate_limit_slot(text, integer, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.take_rate_limit_slot(p_key text, p_cap integer, p_window_seconds integer) RETURNS TABLE(allowed boolean, remaining integer, resets_at timestamp with time zone)
    LANGUAGE plpgsql
    SET search_path TO ''
    AS $$
#variable_conflict use_column
begin
  if coalesce(p_key, '') = '' or length(p_key) > 300 or p_cap is null or p_cap < 1 or p_window_seconds is null
    or p_window_seconds not between 1 and 31536000
  then
    perform private.raise_error(400, 'invalid_value',
      '{"fields": ["p_key", "p_cap", "p_window_seconds"]}',
      'Give a key of 1 to 300 characters, a cap of at least 1 and a window of 1 second to a year.');
  end if;
  -- The row's lock decides: the clock is read once it is held.
  return query
  insert into public.rate_limit_counters as counter (key, used, resets_at)
  values (p_key, 1, clock_timestamp() + make_interval(secs => p_window_seconds))
  on conflict (key) do update
    set used = case when counter.resets_at <= clock_timestamp() then 1 else least(counter.used, p_cap) + 1 end,
      resets_at = case when counter.resets_at <= clock_timestamp()
        then clock_timestamp() + make_interval(secs => p_window_seconds) else counter.resets_at end
  returning counter.used <= p_cap, greatest(p_cap - counter.used, 0), counter.resets_at;
end $$;

ALTER FUNCTION public.take_rate_limit_slot(p_key text, p_cap integer, p_window_seconds integer) OWNER TO postgres;

--
-- Name: update_candidate(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.update_candidate(p_candidate_id uuid, p_patch jsonb) RETURNS public.tma_candidates
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_fields jsonb;
  v_candidate public.tma_candidates;
  v_constraint text;
begin
  perform private.require_role(
    (select candidate.workspace_id from public.tma_candidates as candidate where candidate.id = p_candidate_id),
    array['owner', 'admin', 'member'], 'candidate_not_found', jsonb_build_object('candidate_id', p_candidate_id));
  v_fields := private.checked_fields(p_patch, array['name', 'email', 'phone', 'tags', 'status_tags', 'source']);
  select candidate.* into v_candidate from public.tma_candidates as candidate where candidate.id = p_candidate_id
  for no key update;
  v_candidate := jsonb_populate_record(v_candidate, v_fields);
  update public.tma_candidates as candidate
  set name = v_candidate.name, email = v_candidate.email, phone = v_candidate.phone, tags = v_candidate.tags,
    status_tags = v_candidate.status_tags, source = v_candidate.source
  where candidate.id = p_candidate_id
  returning * into v_candidate;
  if not found then
    perform private.raise_error(404, 'candidate_not_found', jsonb_build_object('candidate_id', p_candidate_id),
      'The candidate was deleted meanwhile.');
  end if;
  return v_candidate;
exception when unique_violation or check_violation then
  get stacked diagnostics v_constraint = constraint_name;
  perform private.refuse_candidate(v_constraint, v_candidate.workspace_id, v_fields);
end $$;

ALTER FUNCTION public.update_candidate(p_candidate_id uuid, p_patch jsonb) OWNER TO postgres;

--
-- Name: update_contact(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.update_contact(p_contact_id uuid, p_patch jsonb) RETURNS public.contacts
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_fields jsonb;
  v_contact public.contacts;
  v_constraint text;
begin
  perform private.require_role(
    (select contact.workspace_id from public.contacts as contact
     where contact.id = p_contact_id and contact.deleted_at is null),
    array['owner', 'admin', 'member'], 'contact_not_found', jsonb_build_object('contact_id', p_contact_id));
  v_fields := private.checked_fields(p_patch,
    array['name', 'email', 'phone', 'lead_status', 'tags', 'status_tags', 'source', 'assigned_to']);
  select contact.* into v_contact from public.contacts as contact
  where contact.id = p_contact_id and contact.deleted_at is null
  for no key update;
  v_contact := jsonb_populate_record(v_contact, v_fields);
  update public.contacts as contact
  set name = v_contact.name, email = v_contact.email, phone = v_contact.phone, lead_status = v_contact.lead_status,
    tags = v_contact.tags, status_tags = v_contact.status_tags, source = v_contact.source,
    assigned_to = v_contact.assigned_to
  where contact.id = p_contact_id and contact.deleted_at is null
  returning * into v_contact;
  if not found then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', p_contact_id),
      'The contact was deleted meanwhile.');
  end if;
  return v_contact;
exception when unique_violation or foreign_key_violation then
  get stacked diagnostics v_constraint = constraint_name;
  perform private.refuse_contact(v_constraint, v_contact.workspace_id, v_fields);
end $$;

ALTER FUNCTION public.update_contact(p_contact_id uuid, p_patch jsonb) OWNER TO postgres;

--
-- Name: update_contact_note(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.update_contact_note(p_note_id uuid, p_body text) RETURNS public.contact_notes
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_note public.contact_notes;
begin
  perform private.require_role(
    -- Somebody else's note is edited by nobody.
    (select note.workspace_id from public.contact_notes as note
     where note.id = p_note_id and (note.author_id = (select auth.uid()) or private.is_service())),
    array['owner', 'admin', 'member'], 'note_not_found', jsonb_build_object('note_id', p_note_id));
  if not coalesce(length(btrim(p_body)) between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "body"}', 'Write 1 to 10,000 characters.');
  end if;
  update public.contact_notes as note set body = btrim(p_body) where note.id = p_note_id returning * into v_note;
  return v_note;
end $$;

ALTER FUNCTION public.update_contact_note(p_note_id uuid, p_body text) OWNER TO postgres;

--
-- Name: update_contact_status(uuid, text); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.update_contact_status(p_contact_id uuid, p_lead_status text) RETURNS public.contacts
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_contact public.contacts;
begin
  perform private.require_role(
    (select contact.workspace_id from public.contacts as contact
     where contact.id = p_contact_id and contact.deleted_at is null),
    array['owner', 'admin', 'member'], 'contact_not_found', jsonb_build_object('contact_id', p_contact_id));
  perform private.checked_fields(jsonb_build_object('lead_status', p_lead_status), array['lead_status']);
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
-- Name: update_lead(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.update_lead(p_lead_id uuid, p_patch jsonb) RETURNS public.leads
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_lead public.leads;
  v_outbox_ids uuid[];
begin
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id;
  perform private.require_role(v_lead.workspace_id, array['owner', 'admin', 'member'], 'lead_not_found',
    jsonb_build_object('lead_id', p_lead_id));
  perform private.check_lead_fields(v_lead.workspace_id, p_patch,
    array['status', 'client_id', 'project_id', 'user_id', 'score']);
  -- Who is talked to, or is done with, gets nothing from automation any more.
  if p_patch ->> 'status' in ('engaged', 'qualified', 'lost') and v_lead.control = 'automation' then
    perform pg_advisory_xact_lock_shared(hashtextextended(v_lead.workspace_id::text, 512));
    v_outbox_ids := private.lock_automation(array[p_lead_id]);
    perform private.end_automation(array[p_lead_id], v_outbox_ids, 'Its status was set.', (select auth.uid()));
  end if;
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id for no key update;
  v_lead := jsonb_populate_record(v_lead, p_patch);
  update public.leads as lead
  set status = v_lead.status, client_id = v_lead.client_id, project_id = v_lead.project_id, user_id = v_lead.user_id,
    score = v_lead.score, reason = case when p_patch ? 'status' then 'Set by a person.' else lead.reason end
  where lead.id = p_lead_id
  returning * into v_lead;
  return v_lead;
end $$;

ALTER FUNCTION public.update_lead(p_lead_id uuid, p_patch jsonb) OWNER TO postgres;

--
-- Name: update_saved_view(uuid, jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.update_saved_view(p_view_id uuid, p_patch jsonb) RETURNS public.wa_saved_views
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_view public.wa_saved_views := private.lock_view(p_view_id);
  v_unknown constant text := (
    select min(given.key) from jsonb_object_keys(p_patch) as given (key)
    where given.key not in ('name', 'filters', 'is_default', 'is_shared'));
begin
  if v_unknown is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_unknown, 100), 'allowed', array['name', 'filters', 'is_default', 'is_shared']),
      'Use the fields that are allowed.');
  elsif exists (
    select from jsonb_each(p_patch) as given
    where given.key in ('is_default', 'is_shared') and jsonb_typeof(given.value) <> 'boolean')
  then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["is_default", "is_shared"]}', 'Say true or false.');
  end if;
  v_view.name := btrim(case when p_patch ? 'name' then p_patch ->> 'name' else v_view.name end);
  v_view.filters := case when p_patch ? 'filters' then p_patch -> 'filters' else v_view.filters end;
  perform private.check_view(v_view.name, v_view.filters);
  if (p_patch ->> 'is_shared')::boolean then
    perform private.require_role(v_view.workspace_id, array['owner', 'admin'], 'view_not_found',
      jsonb_build_object('view_id', p_view_id));
  end if;
  if (p_patch ->> 'is_default')::boolean then
    update public.wa_saved_views as view set is_default = false
    where view.workspace_id = v_view.workspace_id and view.user_id = v_view.user_id and view.is_default
      and view.id <> p_view_id;
  end if;
  update public.wa_saved_views as view
  set name = v_view.name, filters = v_view.filters,
    is_default = coalesce((p_patch ->> 'is_default')::boolean, view.is_default),
    is_shared = coalesce((p_patch ->> 'is_shared')::boolean, view.is_shared)
  where view.id = p_view_id
  returning * into v_view;
  return v_view;
exception when unique_violation then
  perform private.raise_error(409, 'view_name_taken', jsonb_build_object('name', p_patch ->> 'name'),
    'Choose another name.');
end $$;

ALTER FUNCTION public.update_saved_view(p_view_id uuid, p_patch jsonb) OWNER TO postgres;

--
-- Name: update_threads(uuid[], jsonb); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.update_threads(p_thread_ids uuid[], p_patch jsonb) RETURNS SETOF public.wa_threads
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $_$
declare
  v_workspace_id constant uuid := (
    select thread.workspace_id from public.wa_threads as thread where thread.id = p_thread_ids[1]);
  v_ids constant uuid[] := array(select distinct given.id from unnest(p_thread_ids) as given (id) order by given.id);
  v_allowed constant text[] := array['status', 'snoozed_until', 'assignee_id', 'priority', 'tags', 'add_tags', 'remove_tags'];
  v_wrong text;
  v_missing uuid;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_ids[1]));
  if cardinality(v_ids) > 500 then
    perform private.raise_error(400, 'too_many_ids', '{"field": "thread_ids", "limit": 500}', 'Name at most 500 at once.');
  end if;
  select min(given.key) filter (where given.key <> all (v_allowed)) into v_wrong from jsonb_each(p_patch) as given;
  if v_wrong is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_wrong, 100), 'allowed', v_allowed), 'Use the fields that are allowed.');
  end if;
  select min(given.key) into v_wrong from jsonb_each(p_patch) as given
  where not coalesce(case given.key
    when 'status' then given.value <@ '["open", "pending", "snoozed", "closed"]' and jsonb_typeof(given.value) = 'string'
      and (given.value = '"snoozed"') = (p_patch ->> 'snoozed_until' is not null)
    when 'snoozed_until' then p_patch ->> 'status' = 'snoozed' and pg_input_is_valid(given.value #>> '{}', 'timestamptz')
      and (given.value #>> '{}')::timestamptz between now() and now() + interval '10 years'
    when 'assignee_id' then given.value = 'null' or pg_input_is_valid(given.value #>> '{}', 'uuid')
    when 'priority' then given.value <@ '["low", "normal", "high", "urgent"]' and jsonb_typeof(given.value) = 'string'
    else jsonb_typeof(given.value) = 'array' and jsonb_array_length(given.value) <= 50
      and not jsonb_path_exists(given.value, '$[*] ? (@.type() != "string" || @ == "" || @ like_regex "^.{101}" flag "s")')
  end, false);
  if v_wrong is not null then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', v_wrong),
      'Snoozing needs a moment ahead, tags are texts of 1 to 100 characters, at most 50.');
  elsif p_patch ->> 'assignee_id' is not null and not exists (
    select from public.workspace_memberships as member
    where member.workspace_id = v_workspace_id and member.user_id = (p_patch ->> 'assignee_id')::uuid
      and member.role <> 'viewer')
  then
    perform private.raise_error(400, 'reference_not_found',
      jsonb_build_object('field', 'assignee_id', 'id', p_patch ->> 'assignee_id'),
      'Name a member of the workspace who isn''t a viewer.');
  end if;

  perform 1 from public.wa_threads as thread
  where thread.id = any (v_ids) and thread.workspace_id = v_workspace_id order by thread.id for no key update;
  select min(given.id::text)::uuid into v_missing from unnest(v_ids) as given (id)
  where not exists (
    select from public.wa_threads as thread where thread.id = given.id and thread.workspace_id = v_workspace_id);
  if v_missing is not null then
    perform private.raise_error(404, 'thread_not_found', jsonb_build_object('thread_id', v_missing),
      'Check the ids; all threads have to be of one workspace.');
  end if;
  return query
  update public.wa_threads as thread
  set status = coalesce(p_patch ->> 'status', thread.status),
    snoozed_until = case when p_patch ? 'status' then (p_patch ->> 'snoozed_until')::timestamptz
      else thread.snoozed_until end,
    assignee_id = case when p_patch ? 'assignee_id' then (p_patch ->> 'assignee_id')::uuid else thread.assignee_id end,
    priority = coalesce(p_patch ->> 'priority', thread.priority),
    tags = case when p_patch ?| array['tags', 'add_tags', 'remove_tags'] then array(
        select distinct tag.value from (
          select jsonb_array_elements_text(p_patch -> 'tags') as value
          union all select unnest(thread.tags) where not p_patch ? 'tags'
          union all select jsonb_array_elements_text(p_patch -> 'add_tags')
        ) as tag
        where not coalesce(p_patch -> 'remove_tags' ? tag.value, false)
        order by 1)
      else thread.tags end,
    -- Who closes a conversation says that nothing in it needs an answer; the next one begins anew.
    unread_count = case p_patch ->> 'status' when 'closed' then 0 else thread.unread_count end,
    waiting_since = case when p_patch ->> 'status' = 'closed' then null else thread.waiting_since end,
    answered_at = case when p_patch ->> 'status' = 'closed' then greatest(thread.answered_at, thread.last_inbound_at)
      else thread.answered_at end
  where thread.id = any (v_ids)
  returning thread.*;
end $_$;

ALTER FUNCTION public.update_threads(p_thread_ids uuid[], p_patch jsonb) OWNER TO postgres;

--
-- Name: use_entitlement(uuid, text, bigint); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.use_entitlement(p_workspace_id uuid, p_key text, p_amount bigint DEFAULT 1) RETURNS TABLE(granted boolean, reason text, "limit" bigint, usage bigint)
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path TO ''
    AS $$
declare
  v_state record;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_value', '{"field": "amount"}', 'Use 1 or more.');
  end if;
  -- One after the other, so that two who come at once don't share what is left for one.
  perform 1 from public.workspace_entitlements as entitlement
  where entitlement.workspace_id = p_workspace_id and entitlement.key = btrim(p_key) for no key update;
  select state.* into v_state
  from private.entitlement_state((private.find_workspace(p_workspace_id::text)).id, p_key, p_amount) as state;
  if v_state.granted then
    insert into public.workspace_entitlement_usage as used (workspace_id, key, period_start, used)
    values (p_workspace_id, btrim(p_key), v_state.period_start, p_amount)
    on conflict on constraint workspace_entitlement_usage_pkey do update set used = used.used + excluded.used
    returning used.used into v_state.usage;
  end if;
  return query select v_state.granted, v_state.reason, v_state."limit", v_state.usage;
end $$;

ALTER FUNCTION public.use_entitlement(p_workspace_id uuid, p_key text, p_amount bigint) OWNER TO postgres;

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
-- Name: verify_audit_log(bigint, integer); Type: FUNCTION; Schema: public; Owner: postgres
--

CREATE FUNCTION public.verify_audit_log(p_after_number bigint DEFAULT 0, p_limit integer DEFAULT 10) RETURNS TABLE(number bigint, last_id bigint, row_count bigint, hash text, sealed_at timestamp with time zone, intact boolean, unsealed_count bigint)
    LANGUAGE plpgsql STABLE SECURITY DEFINER
    SET search_path TO ''
    AS $$
#variable_conflict use_column
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  if p_after_number is null or p_limit is null or p_limit not between 1 and 100 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 100"}',
      'Verify 1 to 100 seals at once.');
  end if;
  return query
  select seal.number, seal.last_id, seal.row_count, seal.hash, seal.sealed_at,
    (seal.hash, seal.row_count) = (actual.hash, actual.row_count) and seal.number = coalesce(previous.number, 0) + 1,
    (select count(*) from public.owner_audit_log as entry
     where entry.id > (select max(newest.last_id) from private.audit_seals as newest))
  from private.audit_seals as seal
  left join lateral (
    select earlier.* from private.audit_seals as earlier where earlier.number < seal.number
    order by earlier.number desc limit 1) as previous on true
  cross join lateral private.audit_seal_hash(previous.hash, coalesce(previous.last_id, 0), seal.last_id) as actual
  where seal.number > p_after_number
  order by seal.number
  limit p_limit;
end $$;

ALTER FUNCTION public.verify_audit_log(p_after_number bigint, p_limit integer) OWNER TO postgres;

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
    'personal_rows', private.personal_rows()
  )
$$;

ALTER FUNCTION public.whoami() OWNER TO postgres;

--
-- Name: audit_seals; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.audit_seals (
    number bigint NOT NULL,
    last_id bigint NOT NULL,
    row_count bigint NOT NULL,
    hash text NOT NULL,
    sealed_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT audit_seals_hash_check CHECK ((hash ~ '^[0-9a-f]{64}$'::text))
);

ALTER TABLE private.audit_seals OWNER TO postgres;

--
-- Name: chat_backlog; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.chat_backlog (
    chat_id uuid NOT NULL,
    message_count bigint NOT NULL,
    numbered_count bigint DEFAULT 0 NOT NULL
);

ALTER TABLE private.chat_backlog OWNER TO postgres;

--
-- Name: migration_rejects; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.migration_rejects (
    id bigint NOT NULL,
    source text NOT NULL,
    reason text NOT NULL,
    contents jsonb NOT NULL,
    rejected_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE private.migration_rejects OWNER TO postgres;

--
-- Name: migration_rejects_id_seq; Type: SEQUENCE; Schema: private; Owner: postgres
--

ALTER TABLE private.migration_rejects ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME private.migration_rejects_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: outbox_archive; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.outbox_archive (
    id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    status text NOT NULL,
    settled_at timestamp with time zone,
    archived_at timestamp with time zone DEFAULT now() NOT NULL,
    message jsonb NOT NULL
);

ALTER TABLE private.outbox_archive OWNER TO postgres;

--
-- Name: outbox_lanes; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.outbox_lanes (
    lane_id integer NOT NULL,
    workspace_id uuid NOT NULL,
    channel text NOT NULL,
    connection_id uuid,
    next_at_microseconds bigint DEFAULT 0 NOT NULL,
    paused_until timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL,
    pause_count integer DEFAULT 0 NOT NULL,
    pause_reason text
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='200');

ALTER TABLE private.outbox_lanes OWNER TO postgres;

--
-- Name: outbox_lanes_lane_id_seq; Type: SEQUENCE; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_lanes ALTER COLUMN lane_id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME private.outbox_lanes_lane_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: outbox_leases; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.outbox_leases (
    token bigint NOT NULL,
    worker text NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    claimed_at timestamp with time zone DEFAULT now() NOT NULL,
    ids uuid[] NOT NULL
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0', autovacuum_vacuum_threshold='500');

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
-- Name: outbox_lines; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.outbox_lines (
    line_id bigint NOT NULL,
    head bigint,
    has_waiting boolean DEFAULT false NOT NULL,
    next_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
)
WITH (fillfactor='60', autovacuum_vacuum_scale_factor='0.05', autovacuum_vacuum_cost_delay='0');

ALTER TABLE private.outbox_lines OWNER TO postgres;

--
-- Name: outbox_problems; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.outbox_problems (
    id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    status text NOT NULL,
    error_code text,
    settled_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT outbox_problems_status_check CHECK ((status = ANY (ARRAY['failed'::text, 'dead'::text, 'unknown'::text])))
);

ALTER TABLE private.outbox_problems OWNER TO postgres;

--
-- Name: outbox_ready; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.outbox_ready (
    lane_id integer NOT NULL,
    rank smallint NOT NULL,
    run_at timestamp with time zone NOT NULL,
    sequence bigint NOT NULL,
    id uuid NOT NULL,
    line_id bigint,
    joins boolean DEFAULT false NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

ALTER TABLE private.outbox_ready OWNER TO postgres;

--
-- Name: outbox_turn; Type: SEQUENCE; Schema: private; Owner: postgres
--

CREATE SEQUENCE private.outbox_turn
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE private.outbox_turn OWNER TO postgres;

--
-- Name: outbox_waiting; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.outbox_waiting (
    line_id bigint NOT NULL,
    place bigint NOT NULL,
    lane_id integer NOT NULL,
    rank smallint NOT NULL,
    run_at timestamp with time zone NOT NULL,
    sequence bigint NOT NULL,
    id uuid NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='1000', autovacuum_vacuum_cost_delay='0');

ALTER TABLE private.outbox_waiting OWNER TO postgres;

--
-- Name: outbox_waiting_place_seq; Type: SEQUENCE; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_waiting ALTER COLUMN place ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME private.outbox_waiting_place_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: outbox_woken; Type: SEQUENCE; Schema: private; Owner: postgres
--

CREATE SEQUENCE private.outbox_woken
    START WITH 0
    INCREMENT BY 1
    MINVALUE 0
    NO MAXVALUE
    CACHE 1;

ALTER SEQUENCE private.outbox_woken OWNER TO postgres;

--
-- Name: push_allowed_origins; Type: TABLE; Schema: private; Owner: postgres
--

CREATE TABLE private.push_allowed_origins (
    origin text NOT NULL,
    CONSTRAINT push_allowed_origins_origin_check CHECK ((origin ~ '^https?://[^/[:space:]]+$'::text))
);

ALTER TABLE private.push_allowed_origins OWNER TO postgres;

--
-- Name: wa_thread_reads; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_thread_reads (
    thread_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    read_count bigint NOT NULL,
    is_marked_unread boolean DEFAULT false NOT NULL
)
WITH (fillfactor='70');

ALTER TABLE public.wa_thread_reads OWNER TO postgres;

--
-- Name: thread_unread; Type: VIEW; Schema: private; Owner: postgres
--

CREATE VIEW private.thread_unread WITH (security_invoker='true') AS
 SELECT thread.id AS thread_id,
    thread.workspace_id,
    thread.assignee_id,
    membership.user_id,
    (GREATEST(LEAST((thread.unread_count)::bigint, (thread.inbound_count - COALESCE(mine.read_count, (0)::bigint))), ((mine.is_marked_unread)::integer)::bigint, (0)::bigint))::integer AS unread_count
   FROM ((public.wa_threads thread
     JOIN public.workspace_memberships membership ON ((membership.workspace_id = thread.workspace_id)))
     LEFT JOIN public.wa_thread_reads mine ON (((mine.thread_id = thread.id) AND (mine.connection_id = thread.connection_id) AND (mine.workspace_id = thread.workspace_id) AND (mine.user_id = membership.user_id))));

ALTER VIEW private.thread_unread OWNER TO postgres;

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
-- Name: clients; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.clients (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT clients_name_check CHECK (((length(name) >= 1) AND (length(name) <= 300)))
);

ALTER TABLE public.clients OWNER TO postgres;

--
-- Name: contact_duplicates; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contact_duplicates (
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    duplicate_id uuid NOT NULL,
    reason text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    dismissed_at timestamp with time zone,
    CONSTRAINT contact_duplicates_order_check CHECK ((contact_id < duplicate_id)),
    CONSTRAINT contact_duplicates_reason_check CHECK (((length(reason) >= 1) AND (length(reason) <= 300)))
);

ALTER TABLE public.contact_duplicates OWNER TO postgres;

--
-- Name: contact_events; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.contact_events (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    contact_id uuid NOT NULL,
    kind text NOT NULL,
    actor_id uuid,
    detail jsonb DEFAULT '{}'::jsonb NOT NULL,
    occurred_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT contact_events_kind_check CHECK ((kind = ANY (ARRAY['lead_status_changed'::text, 'merged'::text, 'lead_taken'::text, 'lead_released'::text])))
);

ALTER TABLE public.contact_events OWNER TO postgres;

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
-- Name: conversations; Type: VIEW; Schema: public; Owner: postgres
--

CREATE VIEW public.conversations WITH (security_invoker='true') AS
 SELECT id,
    workspace_id,
    contact_id,
    'whatsapp'::text AS channel,
    connection_id,
    status,
    assignee_id,
    tags,
    unread_count,
    last_message_body,
    last_message_at,
    last_inbound_at,
    created_at
   FROM public.wa_threads thread
  WHERE (contact_id IS NOT NULL);

ALTER VIEW public.conversations OWNER TO postgres;

--
-- Name: inbox_assignees; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.inbox_assignees (
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    last_assigned_at timestamp with time zone DEFAULT '-infinity'::timestamp with time zone NOT NULL
);

ALTER TABLE public.inbox_assignees OWNER TO postgres;

--
-- Name: lead_processing_queue; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.lead_processing_queue (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    lead_id uuid NOT NULL,
    user_id uuid,
    client_id uuid,
    project_id uuid,
    step integer DEFAULT 1 NOT NULL,
    status text DEFAULT 'queued'::text NOT NULL,
    reason text,
    next_on date,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT lead_processing_queue_next_on_check CHECK (((next_on IS NOT NULL) OR (status <> 'waiting'::text))),
    CONSTRAINT lead_processing_queue_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'waiting'::text, 'completed'::text, 'failed'::text, 'cancelled'::text]))),
    CONSTRAINT lead_processing_queue_step_check CHECK (((step >= 1) AND (step <= 10)))
)
WITH (fillfactor='70');

ALTER TABLE public.lead_processing_queue OWNER TO postgres;

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
-- Name: owner_audit_log_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.owner_audit_log ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.owner_audit_log_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: platform_admins; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.platform_admins (
    user_id uuid NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.platform_admins OWNER TO postgres;

--
-- Name: projects; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.projects (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    client_id uuid,
    name text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT projects_name_check CHECK (((length(name) >= 1) AND (length(name) <= 300)))
);

ALTER TABLE public.projects OWNER TO postgres;

--
-- Name: queue_ledger; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.queue_ledger (
    id bigint NOT NULL,
    workspace_id uuid NOT NULL,
    lead_id uuid NOT NULL,
    queue text NOT NULL,
    queue_id uuid,
    user_id uuid,
    day date,
    from_status text,
    to_status text,
    action text,
    actor_id uuid,
    reason text,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT queue_ledger_queue_check CHECK ((queue = ANY (ARRAY['leads'::text, 'whatsapp_message_queue'::text, 'lead_processing_queue'::text])))
);

ALTER TABLE public.queue_ledger OWNER TO postgres;

--
-- Name: queue_ledger_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.queue_ledger ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.queue_ledger_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: queue_performance_metrics; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.queue_performance_metrics (
    workspace_id uuid NOT NULL,
    user_id uuid NOT NULL,
    day date NOT NULL,
    prepared integer DEFAULT 0 NOT NULL,
    sent integer DEFAULT 0 NOT NULL,
    failed integer DEFAULT 0 NOT NULL,
    cancelled integer DEFAULT 0 NOT NULL,
    taken integer DEFAULT 0 NOT NULL,
    replied integer DEFAULT 0 NOT NULL,
    first_sent_at timestamp with time zone,
    last_sent_at timestamp with time zone,
    updated_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.queue_performance_metrics OWNER TO postgres;

--
-- Name: rate_limit_counters; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.rate_limit_counters (
    key text NOT NULL,
    used integer NOT NULL,
    resets_at timestamp with time zone NOT NULL,
    CONSTRAINT rate_limit_counters_key_check CHECK (((length(key) >= 1) AND (length(key) <= 300)))
)
WITH (fillfactor='50', autovacuum_vacuum_scale_factor='0.01', autovacuum_vacuum_threshold='200');

ALTER TABLE public.rate_limit_counters OWNER TO postgres;

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
-- Name: wa_thread_breaches; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.wa_thread_breaches (
    thread_id uuid NOT NULL,
    connection_id uuid NOT NULL,
    workspace_id uuid NOT NULL,
    waiting_since timestamp with time zone NOT NULL,
    kind text NOT NULL,
    target_seconds integer NOT NULL,
    assignee_id uuid,
    answered_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT wa_thread_breaches_kind_check CHECK ((kind = ANY (ARRAY['first_response'::text, 'next_response'::text])))
);

ALTER TABLE public.wa_thread_breaches OWNER TO postgres;

--
-- Name: whatsapp_message_queue; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.whatsapp_message_queue (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    lead_id uuid NOT NULL,
    user_id uuid,
    client_id uuid,
    queue_day date,
    step integer DEFAULT 1 NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    body text,
    template jsonb,
    status text DEFAULT 'queued'::text NOT NULL,
    reason text,
    attempts integer DEFAULT 0 NOT NULL,
    last_error text,
    outbox_id uuid,
    scheduled_for timestamp with time zone DEFAULT now(),
    sent_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT whatsapp_message_queue_body_check CHECK (((length(body) >= 1) AND (length(body) <= 4096))),
    CONSTRAINT whatsapp_message_queue_content_check CHECK (((num_nonnulls(body, template) = 1) OR (status <> ALL (ARRAY['queued'::text, 'sending'::text])))),
    CONSTRAINT whatsapp_message_queue_queue_day_check CHECK ((((queue_day IS NOT NULL) AND (scheduled_for IS NOT NULL)) OR (status <> 'queued'::text))),
    CONSTRAINT whatsapp_message_queue_status_check CHECK ((status = ANY (ARRAY['queued'::text, 'sending'::text, 'sent'::text, 'failed'::text, 'cancelled'::text]))),
    CONSTRAINT whatsapp_message_queue_step_check CHECK (((step >= 1) AND (step <= 10)))
)
WITH (fillfactor='70');

ALTER TABLE public.whatsapp_message_queue OWNER TO postgres;

--
-- Name: workspace_entitlement_usage; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspace_entitlement_usage (
    workspace_id uuid NOT NULL,
    key text NOT NULL,
    period_start timestamp with time zone NOT NULL,
    used bigint DEFAULT 0 NOT NULL,
    CONSTRAINT workspace_entitlement_usage_used_check CHECK ((used >= 0))
);

ALTER TABLE public.workspace_entitlement_usage OWNER TO postgres;

--
-- Name: workspace_invitations; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspace_invitations (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    workspace_id uuid NOT NULL,
    email text NOT NULL,
    role text NOT NULL,
    token_hash text NOT NULL,
    invited_by uuid,
    accepted_by uuid,
    expires_at timestamp with time zone NOT NULL,
    accepted_at timestamp with time zone,
    revoked_at timestamp with time zone,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    CONSTRAINT workspace_invitations_email_check CHECK (((email = lower(btrim(email))) AND (email ~~ '_%@_%'::text))),
    CONSTRAINT workspace_invitations_role_check CHECK ((role = ANY (ARRAY['owner'::text, 'admin'::text, 'member'::text, 'viewer'::text])))
);

ALTER TABLE public.workspace_invitations OWNER TO postgres;

--
-- Name: workspace_token_alerts; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.workspace_token_alerts (
    workspace_id uuid NOT NULL,
    id bigint NOT NULL,
    level bigint NOT NULL,
    balance bigint NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);

ALTER TABLE public.workspace_token_alerts OWNER TO postgres;

--
-- Name: workspace_token_alerts_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_token_alerts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.workspace_token_alerts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: workspace_token_ledger_id_seq; Type: SEQUENCE; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_token_ledger ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.workspace_token_ledger_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);

--
-- Name: audit_seals audit_seals_last_id_key; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.audit_seals
    ADD CONSTRAINT audit_seals_last_id_key UNIQUE (last_id);

--
-- Name: audit_seals audit_seals_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.audit_seals
    ADD CONSTRAINT audit_seals_pkey PRIMARY KEY (number);

--
-- Name: chat_backlog chat_backlog_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.chat_backlog
    ADD CONSTRAINT chat_backlog_pkey PRIMARY KEY (chat_id);

--
-- Name: migration_rejects migration_rejects_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.migration_rejects
    ADD CONSTRAINT migration_rejects_pkey PRIMARY KEY (id);

--
-- Name: outbox_archive outbox_archive_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_archive
    ADD CONSTRAINT outbox_archive_pkey PRIMARY KEY (id);

--
-- Name: outbox_lanes outbox_lanes_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_lanes
    ADD CONSTRAINT outbox_lanes_pkey PRIMARY KEY (lane_id);

--
-- Name: outbox_lanes outbox_lanes_sender_key; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_lanes
    ADD CONSTRAINT outbox_lanes_sender_key UNIQUE NULLS NOT DISTINCT (workspace_id, connection_id, channel);

--
-- Name: outbox_leases outbox_leases_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_leases
    ADD CONSTRAINT outbox_leases_pkey PRIMARY KEY (token);

--
-- Name: outbox_lines outbox_lines_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_lines
    ADD CONSTRAINT outbox_lines_pkey PRIMARY KEY (line_id);

--
-- Name: outbox_problems outbox_problems_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_problems
    ADD CONSTRAINT outbox_problems_pkey PRIMARY KEY (id, workspace_id);

--
-- Name: outbox_ready outbox_ready_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_ready
    ADD CONSTRAINT outbox_ready_pkey PRIMARY KEY (lane_id, rank, run_at, sequence);

--
-- Name: outbox_waiting outbox_waiting_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_waiting
    ADD CONSTRAINT outbox_waiting_pkey PRIMARY KEY (line_id, place);

--
-- Name: push_allowed_origins push_allowed_origins_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.push_allowed_origins
    ADD CONSTRAINT push_allowed_origins_pkey PRIMARY KEY (origin);

--
-- Name: wa_connection_secrets wa_connection_secrets_pkey; Type: CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.wa_connection_secrets
    ADD CONSTRAINT wa_connection_secrets_pkey PRIMARY KEY (connection_id);

--
-- Name: canned_responses canned_responses_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.canned_responses
    ADD CONSTRAINT canned_responses_pkey PRIMARY KEY (id);

--
-- Name: canned_responses canned_responses_workspace_id_shortcut_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.canned_responses
    ADD CONSTRAINT canned_responses_workspace_id_shortcut_key UNIQUE (workspace_id, shortcut);

--
-- Name: chat_members chat_members_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chat_members
    ADD CONSTRAINT chat_members_pkey PRIMARY KEY (chat_id, user_id);

--
-- Name: chat_messages chat_messages_chat_id_seq_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_chat_id_seq_key UNIQUE (chat_id, seq);

--
-- Name: chat_messages chat_messages_client_generated_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_client_generated_id_key UNIQUE (sender_id, client_generated_id, chat_id);

--
-- Name: chat_messages chat_messages_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_pkey PRIMARY KEY (id);

--
-- Name: chats chats_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chats
    ADD CONSTRAINT chats_pkey PRIMARY KEY (id);

--
-- Name: chats chats_workspace_id_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chats
    ADD CONSTRAINT chats_workspace_id_id_key UNIQUE (workspace_id, id);

--
-- Name: clients clients_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_pkey PRIMARY KEY (id);

--
-- Name: clients clients_workspace_id_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_workspace_id_id_key UNIQUE (workspace_id, id);

--
-- Name: contact_call_logs contact_call_logs_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_call_logs
    ADD CONSTRAINT contact_call_logs_pkey PRIMARY KEY (id);

--
-- Name: contact_duplicates contact_duplicates_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_duplicates
    ADD CONSTRAINT contact_duplicates_pkey PRIMARY KEY (workspace_id, contact_id, duplicate_id);

--
-- Name: contact_events contact_events_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_events
    ADD CONSTRAINT contact_events_pkey PRIMARY KEY (id);

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
-- Name: contact_notes contact_notes_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_notes
    ADD CONSTRAINT contact_notes_pkey PRIMARY KEY (id);

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
-- Name: inbox_assignees inbox_assignees_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.inbox_assignees
    ADD CONSTRAINT inbox_assignees_pkey PRIMARY KEY (workspace_id, user_id);

--
-- Name: inbox_settings inbox_settings_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.inbox_settings
    ADD CONSTRAINT inbox_settings_pkey PRIMARY KEY (workspace_id);

--
-- Name: lead_processing_queue lead_processing_queue_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.lead_processing_queue
    ADD CONSTRAINT lead_processing_queue_pkey PRIMARY KEY (id);

--
-- Name: leads leads_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_pkey PRIMARY KEY (id);

--
-- Name: leads leads_workspace_id_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_workspace_id_id_key UNIQUE (workspace_id, id);

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
-- Name: notification_settings notification_settings_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.notification_settings
    ADD CONSTRAINT notification_settings_pkey PRIMARY KEY (user_id);

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
-- Name: owner_audit_log owner_audit_log_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.owner_audit_log
    ADD CONSTRAINT owner_audit_log_pkey PRIMARY KEY (id);

--
-- Name: owner_members owner_members_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.owner_members
    ADD CONSTRAINT owner_members_pkey PRIMARY KEY (user_id);

--
-- Name: platform_admins platform_admins_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.platform_admins
    ADD CONSTRAINT platform_admins_pkey PRIMARY KEY (user_id);

--
-- Name: profiles profiles_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.profiles
    ADD CONSTRAINT profiles_pkey PRIMARY KEY (id);

--
-- Name: projects projects_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_pkey PRIMARY KEY (id);

--
-- Name: projects projects_workspace_id_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_workspace_id_id_key UNIQUE (workspace_id, id);

--
-- Name: push_subscriptions push_subscriptions_endpoint_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.push_subscriptions
    ADD CONSTRAINT push_subscriptions_endpoint_key UNIQUE (endpoint);

--
-- Name: push_subscriptions push_subscriptions_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.push_subscriptions
    ADD CONSTRAINT push_subscriptions_pkey PRIMARY KEY (id);

--
-- Name: queue_ledger queue_ledger_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.queue_ledger
    ADD CONSTRAINT queue_ledger_pkey PRIMARY KEY (id);

--
-- Name: queue_performance_metrics queue_performance_metrics_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.queue_performance_metrics
    ADD CONSTRAINT queue_performance_metrics_pkey PRIMARY KEY (workspace_id, user_id, day);

--
-- Name: rate_limit_counters rate_limit_counters_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.rate_limit_counters
    ADD CONSTRAINT rate_limit_counters_pkey PRIMARY KEY (key);

--
-- Name: tma_candidates tma_candidates_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.tma_candidates
    ADD CONSTRAINT tma_candidates_pkey PRIMARY KEY (id);

--
-- Name: tma_candidates tma_candidates_workspace_id_id_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.tma_candidates
    ADD CONSTRAINT tma_candidates_workspace_id_id_key UNIQUE (workspace_id, id);

--
-- Name: user_contact_settings user_contact_settings_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_contact_settings
    ADD CONSTRAINT user_contact_settings_pkey PRIMARY KEY (user_id, contact_id);

--
-- Name: user_queue_settings user_queue_settings_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_queue_settings
    ADD CONSTRAINT user_queue_settings_pkey PRIMARY KEY (workspace_id, user_id);

--
-- Name: user_tma_settings user_tma_settings_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_tma_settings
    ADD CONSTRAINT user_tma_settings_pkey PRIMARY KEY (user_id, tma_id);

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
-- Name: wa_saved_views wa_saved_views_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_saved_views
    ADD CONSTRAINT wa_saved_views_pkey PRIMARY KEY (id);

--
-- Name: wa_saved_views wa_saved_views_workspace_id_user_id_name_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_saved_views
    ADD CONSTRAINT wa_saved_views_workspace_id_user_id_name_key UNIQUE (workspace_id, user_id, name);

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
-- Name: wa_thread_breaches wa_thread_breaches_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_thread_breaches
    ADD CONSTRAINT wa_thread_breaches_pkey PRIMARY KEY (thread_id, connection_id, workspace_id, waiting_since);

--
-- Name: wa_thread_reads wa_thread_reads_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_thread_reads
    ADD CONSTRAINT wa_thread_reads_pkey PRIMARY KEY (thread_id, connection_id, workspace_id, user_id);

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
-- Name: whatsapp_message_queue whatsapp_message_queue_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.whatsapp_message_queue
    ADD CONSTRAINT whatsapp_message_queue_pkey PRIMARY KEY (id);

--
-- Name: workspace_entitlement_usage workspace_entitlement_usage_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_entitlement_usage
    ADD CONSTRAINT workspace_entitlement_usage_pkey PRIMARY KEY (workspace_id, key, period_start);

--
-- Name: workspace_entitlements workspace_entitlements_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_entitlements
    ADD CONSTRAINT workspace_entitlements_pkey PRIMARY KEY (workspace_id, key);

--
-- Name: workspace_invitations workspace_invitations_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_invitations
    ADD CONSTRAINT workspace_invitations_pkey PRIMARY KEY (id);

--
-- Name: workspace_invitations workspace_invitations_token_hash_key; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_invitations
    ADD CONSTRAINT workspace_invitations_token_hash_key UNIQUE (token_hash);

--
-- Name: workspace_memberships workspace_memberships_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_memberships
    ADD CONSTRAINT workspace_memberships_pkey PRIMARY KEY (workspace_id, user_id);

--
-- Name: workspace_token_alerts workspace_token_alerts_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_alerts
    ADD CONSTRAINT workspace_token_alerts_pkey PRIMARY KEY (workspace_id, id);

--
-- Name: workspace_token_balance workspace_token_balance_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_balance
    ADD CONSTRAINT workspace_token_balance_pkey PRIMARY KEY (workspace_id);

--
-- Name: workspace_token_grants workspace_token_grants_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_grants
    ADD CONSTRAINT workspace_token_grants_pkey PRIMARY KEY (id);

--
-- Name: workspace_token_ledger workspace_token_ledger_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_ledger
    ADD CONSTRAINT workspace_token_ledger_pkey PRIMARY KEY (workspace_id, id);

--
-- Name: workspace_token_reservations workspace_token_reservations_pkey; Type: CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_reservations
    ADD CONSTRAINT workspace_token_reservations_pkey PRIMARY KEY (id);

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
-- Name: outbox_archive_workspace_id_idx; Type: INDEX; Schema: private; Owner: postgres
--

CREATE INDEX outbox_archive_workspace_id_idx ON private.outbox_archive USING btree (workspace_id, settled_at);

--
-- Name: outbox_leases_expires_at_idx; Type: INDEX; Schema: private; Owner: postgres
--

CREATE INDEX outbox_leases_expires_at_idx ON private.outbox_leases USING btree (expires_at);

--
-- Name: outbox_problems_settled_at_idx; Type: INDEX; Schema: private; Owner: postgres
--

CREATE INDEX outbox_problems_settled_at_idx ON private.outbox_problems USING btree (settled_at DESC, id DESC);

--
-- Name: outbox_problems_workspace_id_settled_at_idx; Type: INDEX; Schema: private; Owner: postgres
--

CREATE INDEX outbox_problems_workspace_id_settled_at_idx ON private.outbox_problems USING btree (workspace_id, settled_at DESC, id DESC);

--
-- Name: wa_connection_secrets_meta_user_id_idx; Type: INDEX; Schema: private; Owner: postgres
--

CREATE INDEX wa_connection_secrets_meta_user_id_idx ON private.wa_connection_secrets USING btree (meta_user_id) WHERE (meta_user_id IS NOT NULL);

--
-- Name: canned_responses_created_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX canned_responses_created_by_idx ON public.canned_responses USING btree (created_by) WHERE (created_by IS NOT NULL);

--
-- Name: chat_members_user_id_workspace_id_chat_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX chat_members_user_id_workspace_id_chat_id_idx ON public.chat_members USING btree (user_id, workspace_id, chat_id);

--
-- Name: chat_members_workspace_id_chat_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX chat_members_workspace_id_chat_id_idx ON public.chat_members USING btree (workspace_id, chat_id);

--
-- Name: chat_messages_chat_id_workspace_id_rev_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX chat_messages_chat_id_workspace_id_rev_idx ON public.chat_messages USING btree (chat_id, workspace_id, rev);

--
-- Name: chat_messages_counted_chat_id_seq_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX chat_messages_counted_chat_id_seq_idx ON public.chat_messages USING btree (chat_id, seq) WHERE ((deleted_at IS NOT NULL) OR (mentions <> '{}'::uuid[]));

--
-- Name: chats_created_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX chats_created_by_idx ON public.chats USING btree (created_by) WHERE (created_by IS NOT NULL);

--
-- Name: chats_thread_id_connection_id_workspace_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX chats_thread_id_connection_id_workspace_id_idx ON public.chats USING btree (thread_id, connection_id, workspace_id) WHERE (thread_id IS NOT NULL);

--
-- Name: chats_workspace_id_direct_key_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX chats_workspace_id_direct_key_idx ON public.chats USING btree (workspace_id, direct_key) WHERE (direct_key IS NOT NULL);

--
-- Name: contact_call_logs_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_call_logs_user_id_idx ON public.contact_call_logs USING btree (user_id) WHERE (user_id IS NOT NULL);

--
-- Name: contact_call_logs_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_call_logs_workspace_id_contact_id_idx ON public.contact_call_logs USING btree (workspace_id, contact_id, called_at DESC, id DESC);

--
-- Name: contact_duplicates_workspace_id_duplicate_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_duplicates_workspace_id_duplicate_id_idx ON public.contact_duplicates USING btree (workspace_id, duplicate_id);

--
-- Name: contact_events_actor_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_events_actor_id_idx ON public.contact_events USING btree (actor_id) WHERE (actor_id IS NOT NULL);

--
-- Name: contact_events_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_events_workspace_id_contact_id_idx ON public.contact_events USING btree (workspace_id, contact_id, occurred_at DESC, id DESC);

--
-- Name: contact_identities_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_identities_workspace_id_contact_id_idx ON public.contact_identities USING btree (workspace_id, contact_id);

--
-- Name: contact_notes_author_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_notes_author_id_idx ON public.contact_notes USING btree (author_id) WHERE (author_id IS NOT NULL);

--
-- Name: contact_notes_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contact_notes_workspace_id_contact_id_idx ON public.contact_notes USING btree (workspace_id, contact_id, created_at DESC, id DESC);

--
-- Name: contacts_created_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_created_by_idx ON public.contacts USING btree (created_by) WHERE (created_by IS NOT NULL);

--
-- Name: contacts_email_workspace_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX contacts_email_workspace_id_idx ON public.contacts USING btree (lower(email), workspace_id) WHERE ((deleted_at IS NULL) AND (email IS NOT NULL));

--
-- Name: contacts_merged_email_workspace_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_merged_email_workspace_id_idx ON public.contacts USING btree (lower(email), workspace_id) WHERE ((merged_into IS NOT NULL) AND (email IS NOT NULL));

--
-- Name: contacts_phone_workspace_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX contacts_phone_workspace_id_idx ON public.contacts USING btree (phone, workspace_id) WHERE ((deleted_at IS NULL) AND (phone IS NOT NULL));

--
-- Name: contacts_search_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_search_idx ON public.contacts USING gin (workspace_id, search_text extensions.gin_trgm_ops, tags) WHERE (deleted_at IS NULL);

--
-- Name: contacts_workspace_id_assigned_to_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_workspace_id_assigned_to_idx ON public.contacts USING btree (workspace_id, assigned_to) WHERE (assigned_to IS NOT NULL);

--
-- Name: contacts_workspace_id_created_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_workspace_id_created_at_idx ON public.contacts USING btree (workspace_id, created_at DESC, id DESC) WHERE (deleted_at IS NULL);

--
-- Name: contacts_workspace_id_merged_into_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_workspace_id_merged_into_idx ON public.contacts USING btree (workspace_id, merged_into) WHERE (merged_into IS NOT NULL);

--
-- Name: contacts_workspace_id_name_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX contacts_workspace_id_name_idx ON public.contacts USING btree (workspace_id, lower(COALESCE(name, ''::text)), id) WHERE (deleted_at IS NULL);

--
-- Name: inbox_settings_assignment_policy_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX inbox_settings_assignment_policy_idx ON public.inbox_settings USING btree (assignment_policy) WHERE (assignment_policy <> 'manual'::text);

--
-- Name: lead_processing_queue_open_lead_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX lead_processing_queue_open_lead_id_idx ON public.lead_processing_queue USING btree (lead_id) WHERE (status = ANY (ARRAY['queued'::text, 'waiting'::text]));

--
-- Name: lead_processing_queue_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX lead_processing_queue_user_id_idx ON public.lead_processing_queue USING btree (user_id) WHERE (user_id IS NOT NULL);

--
-- Name: lead_processing_queue_waiting_workspace_id_user_id_next_on_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX lead_processing_queue_waiting_workspace_id_user_id_next_on_idx ON public.lead_processing_queue USING btree (workspace_id, user_id, next_on) WHERE (status = 'waiting'::text);

--
-- Name: lead_processing_queue_workspace_id_client_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX lead_processing_queue_workspace_id_client_id_idx ON public.lead_processing_queue USING btree (workspace_id, client_id) WHERE (client_id IS NOT NULL);

--
-- Name: lead_processing_queue_workspace_id_lead_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX lead_processing_queue_workspace_id_lead_id_idx ON public.lead_processing_queue USING btree (workspace_id, lead_id);

--
-- Name: lead_processing_queue_workspace_id_project_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX lead_processing_queue_workspace_id_project_id_idx ON public.lead_processing_queue USING btree (workspace_id, project_id) WHERE (project_id IS NOT NULL);

--
-- Name: leads_automated_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX leads_automated_contact_id_idx ON public.leads USING btree (contact_id) WHERE ((control = 'automation'::text) AND (contact_id IS NOT NULL));

--
-- Name: leads_eligible_workspace_id_user_id_score_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX leads_eligible_workspace_id_user_id_score_idx ON public.leads USING btree (workspace_id, user_id, score DESC, created_at, id) WHERE ((control = 'automation'::text) AND (status = ANY (ARRAY['new'::text, 'pending'::text])));

--
-- Name: leads_taken_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX leads_taken_by_idx ON public.leads USING btree (taken_by) WHERE (taken_by IS NOT NULL);

--
-- Name: leads_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX leads_user_id_idx ON public.leads USING btree (user_id) WHERE (user_id IS NOT NULL);

--
-- Name: leads_workspace_id_client_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX leads_workspace_id_client_id_idx ON public.leads USING btree (workspace_id, client_id) WHERE (client_id IS NOT NULL);

--
-- Name: leads_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX leads_workspace_id_contact_id_idx ON public.leads USING btree (workspace_id, contact_id);

--
-- Name: leads_workspace_id_project_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX leads_workspace_id_project_id_idx ON public.leads USING btree (workspace_id, project_id) WHERE (project_id IS NOT NULL);

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
-- Name: outbox_messages_automated_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_automated_idx ON public.outbox_messages USING btree (thread_id) WHERE automated;

--
-- Name: outbox_messages_created_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_created_at_idx ON public.outbox_messages USING brin (created_at);

--
-- Name: outbox_messages_created_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_created_by_idx ON public.outbox_messages USING btree (created_by) WHERE (created_by IS NOT NULL);

--
-- Name: outbox_messages_thread_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_thread_id_idx ON public.outbox_messages USING btree (thread_id, connection_id, workspace_id) WHERE (thread_id IS NOT NULL);

--
-- Name: outbox_messages_workspace_id_connection_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX outbox_messages_workspace_id_connection_id_idx ON public.outbox_messages USING btree (workspace_id, connection_id);

--
-- Name: owner_audit_log_actor_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX owner_audit_log_actor_id_idx ON public.owner_audit_log USING btree (actor_id, id) WHERE (actor_id IS NOT NULL);

--
-- Name: owner_audit_log_occurred_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX owner_audit_log_occurred_at_idx ON public.owner_audit_log USING brin (occurred_at);

--
-- Name: owner_audit_log_workspace_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX owner_audit_log_workspace_id_idx ON public.owner_audit_log USING btree (workspace_id, id);

--
-- Name: projects_workspace_id_client_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX projects_workspace_id_client_id_idx ON public.projects USING btree (workspace_id, client_id);

--
-- Name: push_subscriptions_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX push_subscriptions_user_id_idx ON public.push_subscriptions USING btree (user_id);

--
-- Name: queue_ledger_workspace_id_lead_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX queue_ledger_workspace_id_lead_id_idx ON public.queue_ledger USING btree (workspace_id, lead_id, id);

--
-- Name: queue_performance_metrics_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX queue_performance_metrics_user_id_idx ON public.queue_performance_metrics USING btree (user_id);

--
-- Name: tma_candidates_created_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX tma_candidates_created_by_idx ON public.tma_candidates USING btree (created_by) WHERE (created_by IS NOT NULL);

--
-- Name: tma_candidates_email_workspace_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX tma_candidates_email_workspace_id_idx ON public.tma_candidates USING btree (lower(email), workspace_id) WHERE (email IS NOT NULL);

--
-- Name: tma_candidates_phone_workspace_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX tma_candidates_phone_workspace_id_idx ON public.tma_candidates USING btree (phone, workspace_id) WHERE (phone IS NOT NULL);

--
-- Name: tma_candidates_workspace_id_created_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX tma_candidates_workspace_id_created_at_idx ON public.tma_candidates USING btree (workspace_id, created_at DESC, id DESC);

--
-- Name: tma_candidates_workspace_id_name_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX tma_candidates_workspace_id_name_idx ON public.tma_candidates USING btree (workspace_id, lower(COALESCE(name, ''::text)), id);

--
-- Name: tma_candidates_workspace_id_search_text_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX tma_candidates_workspace_id_search_text_idx ON public.tma_candidates USING gin (workspace_id, search_text extensions.gin_trgm_ops);

--
-- Name: user_contact_settings_user_id_follow_up_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX user_contact_settings_user_id_follow_up_at_idx ON public.user_contact_settings USING btree (user_id, follow_up_at, contact_id) WHERE (follow_up_at IS NOT NULL);

--
-- Name: user_contact_settings_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX user_contact_settings_workspace_id_contact_id_idx ON public.user_contact_settings USING btree (workspace_id, contact_id);

--
-- Name: user_queue_settings_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX user_queue_settings_user_id_idx ON public.user_queue_settings USING btree (user_id);

--
-- Name: user_queue_settings_workspace_id_connection_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX user_queue_settings_workspace_id_connection_id_idx ON public.user_queue_settings USING btree (workspace_id, connection_id) WHERE (connection_id IS NOT NULL);

--
-- Name: user_tma_settings_user_id_follow_up_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX user_tma_settings_user_id_follow_up_at_idx ON public.user_tma_settings USING btree (user_id, follow_up_at, tma_id) WHERE (follow_up_at IS NOT NULL);

--
-- Name: user_tma_settings_workspace_id_tma_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX user_tma_settings_workspace_id_tma_id_idx ON public.user_tma_settings USING btree (workspace_id, tma_id);

--
-- Name: wa_message_changes_target_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_message_changes_target_id_idx ON public.wa_message_changes USING btree (connection_id, target_id);

--
-- Name: wa_messages_outbox_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX wa_messages_outbox_id_idx ON public.wa_messages USING btree (outbox_id, workspace_id) WHERE (outbox_id IS NOT NULL);

--
-- Name: wa_messages_search_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_messages_search_idx ON public.wa_messages USING gin (workspace_id, private.search_vector(search_language, body)) WHERE (body IS NOT NULL);

--
-- Name: wa_messages_sent_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_messages_sent_by_idx ON public.wa_messages USING btree (sent_by) WHERE (sent_by IS NOT NULL);

--
-- Name: wa_messages_thread_id_occurred_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_messages_thread_id_occurred_at_idx ON public.wa_messages USING btree (thread_id, connection_id, workspace_id, occurred_at DESC, sequence DESC);

--
-- Name: wa_messages_workspace_id_occurred_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_messages_workspace_id_occurred_at_idx ON public.wa_messages USING btree (workspace_id, occurred_at DESC) WHERE (body IS NOT NULL);

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
-- Name: wa_saved_views_default_workspace_id_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX wa_saved_views_default_workspace_id_user_id_idx ON public.wa_saved_views USING btree (workspace_id, user_id) WHERE is_default;

--
-- Name: wa_saved_views_user_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_saved_views_user_idx ON public.wa_saved_views USING btree (user_id);

--
-- Name: wa_saved_views_workspace_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_saved_views_workspace_idx ON public.wa_saved_views USING btree (workspace_id);

--
-- Name: wa_thread_breaches_assignee_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_thread_breaches_assignee_id_idx ON public.wa_thread_breaches USING btree (assignee_id) WHERE (assignee_id IS NOT NULL);

--
-- Name: wa_thread_breaches_open_thread_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_thread_breaches_open_thread_id_idx ON public.wa_thread_breaches USING btree (thread_id) WHERE (answered_at IS NULL);

--
-- Name: wa_thread_breaches_workspace_id_created_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_thread_breaches_workspace_id_created_at_idx ON public.wa_thread_breaches USING btree (workspace_id, created_at DESC);

--
-- Name: wa_thread_reads_marked_workspace_id_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_thread_reads_marked_workspace_id_user_id_idx ON public.wa_thread_reads USING btree (workspace_id, user_id) WHERE is_marked_unread;

--
-- Name: wa_thread_reads_workspace_id_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_thread_reads_workspace_id_user_id_idx ON public.wa_thread_reads USING btree (workspace_id, user_id);

--
-- Name: wa_threads_connection_id_group_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX wa_threads_connection_id_group_id_idx ON public.wa_threads USING btree (connection_id, group_id) WHERE (group_id IS NOT NULL);

--
-- Name: wa_threads_snoozed_until_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_snoozed_until_idx ON public.wa_threads USING btree (snoozed_until) WHERE (snoozed_until IS NOT NULL);

--
-- Name: wa_threads_unread_workspace_id_last_message_hour_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_unread_workspace_id_last_message_hour_idx ON public.wa_threads USING btree (workspace_id, last_message_hour DESC) WHERE has_unread;

--
-- Name: wa_threads_workspace_id_assignee_id_status_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_assignee_id_status_idx ON public.wa_threads USING btree (workspace_id, assignee_id, status, last_message_hour DESC) WHERE (assignee_id IS NOT NULL);

--
-- Name: wa_threads_workspace_id_contact_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_contact_id_idx ON public.wa_threads USING btree (workspace_id, contact_id);

--
-- Name: wa_threads_workspace_id_last_message_hour_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_last_message_hour_idx ON public.wa_threads USING btree (workspace_id, last_message_hour DESC);

--
-- Name: wa_threads_workspace_id_status_last_message_hour_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_status_last_message_hour_idx ON public.wa_threads USING btree (workspace_id, status, last_message_hour DESC);

--
-- Name: wa_threads_workspace_id_tags_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_tags_idx ON public.wa_threads USING gin (workspace_id, tags) WHERE (tags <> '{}'::text[]);

--
-- Name: wa_threads_workspace_id_waiting_since_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX wa_threads_workspace_id_waiting_since_idx ON public.wa_threads USING btree (workspace_id, waiting_since) WHERE (waiting_since IS NOT NULL);

--
-- Name: whatsapp_message_queue_open_lead_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX whatsapp_message_queue_open_lead_id_idx ON public.whatsapp_message_queue USING btree (lead_id) WHERE (status = ANY (ARRAY['queued'::text, 'sending'::text]));

--
-- Name: whatsapp_message_queue_outbox_id_workspace_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX whatsapp_message_queue_outbox_id_workspace_id_idx ON public.whatsapp_message_queue USING btree (outbox_id, workspace_id) WHERE (outbox_id IS NOT NULL);

--
-- Name: whatsapp_message_queue_queued_user_id_queue_day_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX whatsapp_message_queue_queued_user_id_queue_day_idx ON public.whatsapp_message_queue USING btree (workspace_id, user_id, queue_day) WHERE (status = 'queued'::text);

--
-- Name: whatsapp_message_queue_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX whatsapp_message_queue_user_id_idx ON public.whatsapp_message_queue USING btree (user_id) WHERE (user_id IS NOT NULL);

--
-- Name: whatsapp_message_queue_workspace_id_client_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX whatsapp_message_queue_workspace_id_client_id_idx ON public.whatsapp_message_queue USING btree (workspace_id, client_id) WHERE (client_id IS NOT NULL);

--
-- Name: whatsapp_message_queue_workspace_id_lead_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX whatsapp_message_queue_workspace_id_lead_id_idx ON public.whatsapp_message_queue USING btree (workspace_id, lead_id);

--
-- Name: whatsapp_message_queue_workspace_id_queue_day_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX whatsapp_message_queue_workspace_id_queue_day_idx ON public.whatsapp_message_queue USING btree (workspace_id, queue_day, id);

--
-- Name: workspace_entitlements_granted_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_entitlements_granted_by_idx ON public.workspace_entitlements USING btree (granted_by) WHERE (granted_by IS NOT NULL);

--
-- Name: workspace_invitations_accepted_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_invitations_accepted_by_idx ON public.workspace_invitations USING btree (accepted_by) WHERE (accepted_by IS NOT NULL);

--
-- Name: workspace_invitations_invited_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_invitations_invited_by_idx ON public.workspace_invitations USING btree (invited_by) WHERE (invited_by IS NOT NULL);

--
-- Name: workspace_invitations_open_workspace_id_email_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX workspace_invitations_open_workspace_id_email_idx ON public.workspace_invitations USING btree (workspace_id, email) WHERE ((accepted_at IS NULL) AND (revoked_at IS NULL));

--
-- Name: workspace_invitations_workspace_id_created_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_invitations_workspace_id_created_at_idx ON public.workspace_invitations USING btree (workspace_id, created_at DESC);

--
-- Name: workspace_memberships_user_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_memberships_user_id_idx ON public.workspace_memberships USING btree (user_id) INCLUDE (workspace_id, role);

--
-- Name: workspace_token_balance_next_due_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_token_balance_next_due_at_idx ON public.workspace_token_balance USING btree (next_due_at) WHERE (next_due_at IS NOT NULL);

--
-- Name: workspace_token_grants_created_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_token_grants_created_by_idx ON public.workspace_token_grants USING btree (created_by) WHERE (created_by IS NOT NULL);

--
-- Name: workspace_token_grants_reference_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX workspace_token_grants_reference_idx ON public.workspace_token_grants USING btree (workspace_id, reference) WHERE (reference IS NOT NULL);

--
-- Name: workspace_token_grants_spendable_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_token_grants_spendable_idx ON public.workspace_token_grants USING btree (workspace_id, priority, expires_at) WHERE (status = ANY (ARRAY['scheduled'::text, 'open'::text]));

--
-- Name: workspace_token_grants_workspace_id_created_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_token_grants_workspace_id_created_at_idx ON public.workspace_token_grants USING btree (workspace_id, created_at DESC);

--
-- Name: workspace_token_ledger_request_reference_id_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX workspace_token_ledger_request_reference_id_idx ON public.workspace_token_ledger USING btree (workspace_id, reference_id) WHERE ((reference_type = 'request'::text) AND (reference_id IS NOT NULL));

--
-- Name: workspace_token_reservations_created_by_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_token_reservations_created_by_idx ON public.workspace_token_reservations USING btree (created_by) WHERE (created_by IS NOT NULL);

--
-- Name: workspace_token_reservations_open_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_token_reservations_open_idx ON public.workspace_token_reservations USING btree (workspace_id, expires_at) WHERE (status = 'open'::text);

--
-- Name: workspace_token_reservations_reference_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE UNIQUE INDEX workspace_token_reservations_reference_idx ON public.workspace_token_reservations USING btree (workspace_id, reference) WHERE (reference IS NOT NULL);

--
-- Name: workspace_token_reservations_workspace_id_created_at_idx; Type: INDEX; Schema: public; Owner: postgres
--

CREATE INDEX workspace_token_reservations_workspace_id_created_at_idx ON public.workspace_token_reservations USING btree (workspace_id, created_at DESC);

--
-- Name: wa_messages_search_stats; Type: STATISTICS; Schema: public; Owner: postgres
--

CREATE STATISTICS public.wa_messages_search_stats ON private.search_vector(search_language, body) FROM public.wa_messages;

ALTER STATISTICS public.wa_messages_search_stats OWNER TO postgres;

--
-- Name: audit_seals audit_seals_refuse_change; Type: TRIGGER; Schema: private; Owner: postgres
--

CREATE TRIGGER audit_seals_refuse_change BEFORE DELETE OR UPDATE OR TRUNCATE ON private.audit_seals FOR EACH STATEMENT EXECUTE FUNCTION private.refuse_change();

ALTER TABLE private.audit_seals ENABLE ALWAYS TRIGGER audit_seals_refuse_change;

--
-- Name: outbox_lanes outbox_lanes_delete_messages; Type: TRIGGER; Schema: private; Owner: postgres
--

CREATE TRIGGER outbox_lanes_delete_messages AFTER DELETE ON private.outbox_lanes FOR EACH ROW EXECUTE FUNCTION private.delete_outbox_lane();

--
-- Name: outbox_lanes outbox_lanes_hold_suspended; Type: TRIGGER; Schema: private; Owner: postgres
--

CREATE TRIGGER outbox_lanes_hold_suspended BEFORE INSERT OR UPDATE OF paused_until ON private.outbox_lanes FOR EACH ROW EXECUTE FUNCTION private.hold_suspended_lane();

--
-- Name: wa_connection_secrets wa_connection_secrets_forget_on_delete; Type: TRIGGER; Schema: private; Owner: postgres
--

CREATE TRIGGER wa_connection_secrets_forget_on_delete AFTER DELETE ON private.wa_connection_secrets FOR EACH ROW WHEN ((old.vault_secret_id IS NOT NULL)) EXECUTE FUNCTION private.forget_vault_secret();

--
-- Name: wa_connection_secrets wa_connection_secrets_forget_on_update; Type: TRIGGER; Schema: private; Owner: postgres
--

CREATE TRIGGER wa_connection_secrets_forget_on_update AFTER UPDATE OF vault_secret_id ON private.wa_connection_secrets FOR EACH ROW WHEN (((old.vault_secret_id IS DISTINCT FROM new.vault_secret_id) AND (old.vault_secret_id IS NOT NULL))) EXECUTE FUNCTION private.forget_vault_secret();

--
-- Name: canned_responses canned_responses_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER canned_responses_set_updated_at BEFORE UPDATE ON public.canned_responses FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: chat_members chat_members_after_leaving_chat; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER chat_members_after_leaving_chat AFTER DELETE ON public.chat_members FOR EACH ROW EXECUTE FUNCTION private.after_leaving_chat();

--
-- Name: chat_members chat_members_keep_first_members_delete; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER chat_members_keep_first_members_delete AFTER DELETE ON public.chat_members REFERENCING OLD TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION private.keep_first_members();

--
-- Name: chat_members chat_members_keep_first_members_insert; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER chat_members_keep_first_members_insert AFTER INSERT ON public.chat_members REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION private.keep_first_members();

--
-- Name: chat_messages chat_messages_assign_message_seq; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER chat_messages_assign_message_seq BEFORE INSERT ON public.chat_messages FOR EACH ROW WHEN ((new.seq IS NULL)) EXECUTE FUNCTION private.assign_message_seq();

--
-- Name: chat_messages chat_messages_broadcast_insert; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER chat_messages_broadcast_insert AFTER INSERT ON public.chat_messages FOR EACH ROW EXECUTE FUNCTION private.broadcast_message();

--
-- Name: chat_messages chat_messages_broadcast_update; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER chat_messages_broadcast_update AFTER UPDATE OF rev ON public.chat_messages FOR EACH ROW WHEN (((old.seq IS NOT NULL) AND (new.rev > old.rev))) EXECUTE FUNCTION private.broadcast_message();

--
-- Name: chat_messages chat_messages_notify; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER chat_messages_notify AFTER INSERT ON public.chat_messages REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION private.notify_of_chat_messages();

--
-- Name: clients clients_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER clients_set_updated_at BEFORE UPDATE ON public.clients FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: contact_notes contact_notes_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER contact_notes_set_updated_at BEFORE UPDATE ON public.contact_notes FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: contacts contacts_record_lead_status; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER contacts_record_lead_status AFTER UPDATE OF lead_status ON public.contacts FOR EACH ROW WHEN ((old.lead_status IS DISTINCT FROM new.lead_status)) EXECUTE FUNCTION private.record_lead_status();

--
-- Name: contacts contacts_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER contacts_set_updated_at BEFORE UPDATE ON public.contacts FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: inbox_settings inbox_settings_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER inbox_settings_set_updated_at BEFORE UPDATE ON public.inbox_settings FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: lead_processing_queue lead_processing_queue_record_updated; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER lead_processing_queue_record_updated AFTER UPDATE ON public.lead_processing_queue REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.record_run_transitions();

--
-- Name: lead_processing_queue lead_processing_queue_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER lead_processing_queue_set_updated_at BEFORE UPDATE ON public.lead_processing_queue FOR EACH ROW WHEN ((new.updated_at = old.updated_at)) EXECUTE FUNCTION private.set_updated_at();

--
-- Name: leads leads_record_updated; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER leads_record_updated AFTER UPDATE ON public.leads REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.record_lead_transitions();

--
-- Name: leads leads_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER leads_set_updated_at BEFORE UPDATE ON public.leads FOR EACH ROW WHEN ((new.updated_at = old.updated_at)) EXECUTE FUNCTION private.set_updated_at();

--
-- Name: notification_settings notification_settings_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER notification_settings_set_updated_at BEFORE UPDATE ON public.notification_settings FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: outbox_messages outbox_messages_queue_inserted; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER outbox_messages_queue_inserted AFTER INSERT ON public.outbox_messages REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION private.queue_inserted_outbox();

--
-- Name: owner_audit_log owner_audit_log_refuse_change; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER owner_audit_log_refuse_change BEFORE DELETE OR UPDATE OR TRUNCATE ON public.owner_audit_log FOR EACH STATEMENT EXECUTE FUNCTION private.refuse_change();

ALTER TABLE public.owner_audit_log ENABLE ALWAYS TRIGGER owner_audit_log_refuse_change;

--
-- Name: owner_members owner_members_audit; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER owner_members_audit AFTER INSERT OR DELETE OR UPDATE ON public.owner_members FOR EACH ROW EXECUTE FUNCTION private.audit_row('user_id', 'email', 'role', 'active');

--
-- Name: owner_members owner_members_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER owner_members_set_updated_at BEFORE UPDATE ON public.owner_members FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: platform_admins platform_admins_audit; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER platform_admins_audit AFTER INSERT OR DELETE OR UPDATE ON public.platform_admins FOR EACH ROW EXECUTE FUNCTION private.audit_row('user_id');

--
-- Name: profiles profiles_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER profiles_set_updated_at BEFORE UPDATE ON public.profiles FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: projects projects_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER projects_set_updated_at BEFORE UPDATE ON public.projects FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: push_subscriptions push_subscriptions_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER push_subscriptions_set_updated_at BEFORE UPDATE ON public.push_subscriptions FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: queue_ledger queue_ledger_count_inserted; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER queue_ledger_count_inserted AFTER INSERT ON public.queue_ledger REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.count_queue_transitions();

--
-- Name: queue_ledger queue_ledger_refuse_change; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER queue_ledger_refuse_change BEFORE UPDATE OR TRUNCATE ON public.queue_ledger FOR EACH STATEMENT EXECUTE FUNCTION private.refuse_change();

ALTER TABLE public.queue_ledger ENABLE ALWAYS TRIGGER queue_ledger_refuse_change;

--
-- Name: queue_ledger queue_ledger_refuse_removal; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER queue_ledger_refuse_removal BEFORE DELETE ON public.queue_ledger FOR EACH ROW EXECUTE FUNCTION private.refuse_ledger_removal();

ALTER TABLE public.queue_ledger ENABLE ALWAYS TRIGGER queue_ledger_refuse_removal;

--
-- Name: queue_performance_metrics queue_performance_metrics_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER queue_performance_metrics_set_updated_at BEFORE UPDATE ON public.queue_performance_metrics FOR EACH ROW WHEN ((new.updated_at = old.updated_at)) EXECUTE FUNCTION private.set_updated_at();

--
-- Name: tma_candidates tma_candidates_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER tma_candidates_set_updated_at BEFORE UPDATE ON public.tma_candidates FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: user_contact_settings user_contact_settings_notify; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER user_contact_settings_notify AFTER INSERT OR UPDATE OF follow_up_at ON public.user_contact_settings FOR EACH ROW WHEN ((new.follow_up_at IS NOT NULL)) EXECUTE FUNCTION private.notify_of_follow_up();

--
-- Name: user_contact_settings user_contact_settings_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER user_contact_settings_set_updated_at BEFORE UPDATE ON public.user_contact_settings FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: user_queue_settings user_queue_settings_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER user_queue_settings_set_updated_at BEFORE UPDATE ON public.user_queue_settings FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: user_tma_settings user_tma_settings_notify; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER user_tma_settings_notify AFTER INSERT OR UPDATE OF follow_up_at ON public.user_tma_settings FOR EACH ROW WHEN ((new.follow_up_at IS NOT NULL)) EXECUTE FUNCTION private.notify_of_follow_up();

--
-- Name: user_tma_settings user_tma_settings_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER user_tma_settings_set_updated_at BEFORE UPDATE ON public.user_tma_settings FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_messages wa_messages_notify; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_messages_notify AFTER INSERT ON public.wa_messages REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION private.notify_of_inbound_messages();

--
-- Name: wa_messages wa_messages_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_messages_set_updated_at BEFORE UPDATE ON public.wa_messages FOR EACH ROW WHEN ((new.updated_at = old.updated_at)) EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_phone_numbers wa_phone_numbers_audit; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_phone_numbers_audit AFTER INSERT OR DELETE OR UPDATE OF phone_number_id, waba_id, display_phone_number, status, status_reason, deleted_at ON public.wa_phone_numbers FOR EACH ROW EXECUTE FUNCTION private.audit_row('id', 'phone_number_id', 'waba_id', 'display_phone_number', 'status', 'status_reason', 'deleted_at');

--
-- Name: wa_phone_numbers wa_phone_numbers_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_phone_numbers_set_updated_at BEFORE UPDATE ON public.wa_phone_numbers FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_saved_views wa_saved_views_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_saved_views_set_updated_at BEFORE UPDATE ON public.wa_saved_views FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_templates wa_templates_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_templates_set_updated_at BEFORE UPDATE ON public.wa_templates FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: wa_threads wa_threads_notify_assignee; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_threads_notify_assignee AFTER UPDATE OF assignee_id ON public.wa_threads FOR EACH ROW WHEN (((new.assignee_id IS NOT NULL) AND (new.assignee_id IS DISTINCT FROM old.assignee_id))) EXECUTE FUNCTION private.notify_of_assignment();

--
-- Name: wa_threads wa_threads_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER wa_threads_set_updated_at BEFORE UPDATE ON public.wa_threads FOR EACH ROW WHEN ((new.updated_at = old.updated_at)) EXECUTE FUNCTION private.set_updated_at();

--
-- Name: whatsapp_message_queue whatsapp_message_queue_record_inserted; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER whatsapp_message_queue_record_inserted AFTER INSERT ON public.whatsapp_message_queue REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.record_message_transitions();

--
-- Name: whatsapp_message_queue whatsapp_message_queue_record_updated; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER whatsapp_message_queue_record_updated AFTER UPDATE ON public.whatsapp_message_queue REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION private.record_message_transitions();

--
-- Name: whatsapp_message_queue whatsapp_message_queue_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER whatsapp_message_queue_set_updated_at BEFORE UPDATE ON public.whatsapp_message_queue FOR EACH ROW WHEN ((new.updated_at = old.updated_at)) EXECUTE FUNCTION private.set_updated_at();

--
-- Name: workspace_entitlements workspace_entitlements_audit; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_entitlements_audit AFTER INSERT OR DELETE OR UPDATE ON public.workspace_entitlements FOR EACH ROW EXECUTE FUNCTION private.audit_row('key', 'enabled', 'payload', 'expires_at', 'reason', 'granted_by');

--
-- Name: workspace_entitlements workspace_entitlements_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_entitlements_set_updated_at BEFORE UPDATE ON public.workspace_entitlements FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: workspace_memberships workspace_memberships_audit; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_memberships_audit AFTER INSERT OR DELETE OR UPDATE ON public.workspace_memberships FOR EACH ROW EXECUTE FUNCTION private.audit_row('user_id', 'role');

--
-- Name: workspace_memberships workspace_memberships_keep_an_owner; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE CONSTRAINT TRIGGER workspace_memberships_keep_an_owner AFTER DELETE OR UPDATE ON public.workspace_memberships DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN ((old.role = 'owner'::text)) EXECUTE FUNCTION private.keep_an_owner();

--
-- Name: workspace_memberships workspace_memberships_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_memberships_set_updated_at BEFORE UPDATE ON public.workspace_memberships FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: workspace_token_balance workspace_token_balance_delete_ledger; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_token_balance_delete_ledger AFTER DELETE ON public.workspace_token_balance FOR EACH ROW EXECUTE FUNCTION private.delete_token_ledger();

--
-- Name: workspace_token_balance workspace_token_balance_refuse_truncate; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_token_balance_refuse_truncate BEFORE TRUNCATE ON public.workspace_token_balance FOR EACH STATEMENT EXECUTE FUNCTION private.refuse_change();

ALTER TABLE public.workspace_token_balance ENABLE ALWAYS TRIGGER workspace_token_balance_refuse_truncate;

--
-- Name: workspace_token_ledger workspace_token_ledger_refuse_change; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_token_ledger_refuse_change BEFORE UPDATE OR TRUNCATE ON public.workspace_token_ledger FOR EACH STATEMENT EXECUTE FUNCTION private.refuse_change();

ALTER TABLE public.workspace_token_ledger ENABLE ALWAYS TRIGGER workspace_token_ledger_refuse_change;

--
-- Name: workspace_token_ledger workspace_token_ledger_refuse_removal; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspace_token_ledger_refuse_removal BEFORE DELETE ON public.workspace_token_ledger FOR EACH ROW EXECUTE FUNCTION private.refuse_removal();

ALTER TABLE public.workspace_token_ledger ENABLE ALWAYS TRIGGER workspace_token_ledger_refuse_removal;

--
-- Name: workspaces workspaces_apply_status; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspaces_apply_status AFTER UPDATE OF status ON public.workspaces FOR EACH ROW WHEN ((old.status <> new.status)) EXECUTE FUNCTION private.apply_workspace_status();

--
-- Name: workspaces workspaces_audit; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspaces_audit AFTER INSERT OR DELETE OR UPDATE ON public.workspaces FOR EACH ROW EXECUTE FUNCTION private.audit_row('id', 'slug', 'name', 'status');

--
-- Name: workspaces workspaces_delete_webhook_events; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspaces_delete_webhook_events AFTER DELETE ON public.workspaces FOR EACH ROW EXECUTE FUNCTION private.delete_webhook_events();

--
-- Name: workspaces workspaces_set_updated_at; Type: TRIGGER; Schema: public; Owner: postgres
--

CREATE TRIGGER workspaces_set_updated_at BEFORE UPDATE ON public.workspaces FOR EACH ROW EXECUTE FUNCTION private.set_updated_at();

--
-- Name: chat_backlog chat_backlog_chat_id_fkey; Type: FK CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.chat_backlog
    ADD CONSTRAINT chat_backlog_chat_id_fkey FOREIGN KEY (chat_id) REFERENCES public.chats(id) ON DELETE CASCADE;

--
-- Name: outbox_archive outbox_archive_workspace_id_fkey; Type: FK CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_archive
    ADD CONSTRAINT outbox_archive_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: outbox_lanes outbox_lanes_workspace_id_connection_id_fkey; Type: FK CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_lanes
    ADD CONSTRAINT outbox_lanes_workspace_id_connection_id_fkey FOREIGN KEY (workspace_id, connection_id) REFERENCES public.wa_phone_numbers(workspace_id, id) ON DELETE CASCADE;

--
-- Name: outbox_lanes outbox_lanes_workspace_id_fkey; Type: FK CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_lanes
    ADD CONSTRAINT outbox_lanes_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: outbox_problems outbox_problems_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.outbox_problems
    ADD CONSTRAINT outbox_problems_id_workspace_id_fkey FOREIGN KEY (id, workspace_id) REFERENCES public.outbox_messages(id, workspace_id) ON DELETE CASCADE;

--
-- Name: wa_connection_secrets wa_connection_secrets_connection_id_fkey; Type: FK CONSTRAINT; Schema: private; Owner: postgres
--

ALTER TABLE ONLY private.wa_connection_secrets
    ADD CONSTRAINT wa_connection_secrets_connection_id_fkey FOREIGN KEY (connection_id) REFERENCES public.wa_phone_numbers(id) ON DELETE CASCADE;

--
-- Name: canned_responses canned_responses_created_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.canned_responses
    ADD CONSTRAINT canned_responses_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: canned_responses canned_responses_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.canned_responses
    ADD CONSTRAINT canned_responses_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: chat_members chat_members_user_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chat_members
    ADD CONSTRAINT chat_members_user_id_workspace_id_fkey FOREIGN KEY (user_id, workspace_id) REFERENCES public.workspace_memberships(user_id, workspace_id) ON DELETE CASCADE;

--
-- Name: chat_members chat_members_workspace_id_chat_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chat_members
    ADD CONSTRAINT chat_members_workspace_id_chat_id_fkey FOREIGN KEY (workspace_id, chat_id) REFERENCES public.chats(workspace_id, id) ON DELETE CASCADE;

--
-- Name: chat_messages chat_messages_chat_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_chat_id_workspace_id_fkey FOREIGN KEY (chat_id, workspace_id) REFERENCES public.chats(id, workspace_id) ON DELETE CASCADE;

--
-- Name: chat_messages chat_messages_sender_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chat_messages
    ADD CONSTRAINT chat_messages_sender_id_fkey FOREIGN KEY (sender_id) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: chats chats_created_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chats
    ADD CONSTRAINT chats_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: chats chats_thread_id_connection_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chats
    ADD CONSTRAINT chats_thread_id_connection_id_workspace_id_fkey FOREIGN KEY (thread_id, connection_id, workspace_id) REFERENCES public.wa_threads(id, connection_id, workspace_id) ON DELETE CASCADE;

--
-- Name: chats chats_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.chats
    ADD CONSTRAINT chats_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: clients clients_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.clients
    ADD CONSTRAINT clients_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: contact_call_logs contact_call_logs_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_call_logs
    ADD CONSTRAINT contact_call_logs_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: contact_call_logs contact_call_logs_workspace_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_call_logs
    ADD CONSTRAINT contact_call_logs_workspace_id_contact_id_fkey FOREIGN KEY (workspace_id, contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

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
-- Name: contact_events contact_events_actor_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_events
    ADD CONSTRAINT contact_events_actor_id_fkey FOREIGN KEY (actor_id) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: contact_events contact_events_workspace_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_events
    ADD CONSTRAINT contact_events_workspace_id_contact_id_fkey FOREIGN KEY (workspace_id, contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

--
-- Name: contact_identities contact_identities_workspace_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_identities
    ADD CONSTRAINT contact_identities_workspace_id_contact_id_fkey FOREIGN KEY (workspace_id, contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

--
-- Name: contact_notes contact_notes_author_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_notes
    ADD CONSTRAINT contact_notes_author_id_fkey FOREIGN KEY (author_id) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: contact_notes contact_notes_workspace_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contact_notes
    ADD CONSTRAINT contact_notes_workspace_id_contact_id_fkey FOREIGN KEY (workspace_id, contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

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
-- Name: contacts contacts_workspace_id_merged_into_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_workspace_id_merged_into_fkey FOREIGN KEY (workspace_id, merged_into) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

--
-- Name: inbox_assignees inbox_assignees_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.inbox_assignees
    ADD CONSTRAINT inbox_assignees_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.inbox_settings(workspace_id) ON DELETE CASCADE;

--
-- Name: inbox_assignees inbox_assignees_workspace_id_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.inbox_assignees
    ADD CONSTRAINT inbox_assignees_workspace_id_user_id_fkey FOREIGN KEY (workspace_id, user_id) REFERENCES public.workspace_memberships(workspace_id, user_id) ON DELETE CASCADE;

--
-- Name: inbox_settings inbox_settings_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.inbox_settings
    ADD CONSTRAINT inbox_settings_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: lead_processing_queue lead_processing_queue_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.lead_processing_queue
    ADD CONSTRAINT lead_processing_queue_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE SET NULL;

--
-- Name: lead_processing_queue lead_processing_queue_workspace_id_client_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.lead_processing_queue
    ADD CONSTRAINT lead_processing_queue_workspace_id_client_id_fkey FOREIGN KEY (workspace_id, client_id) REFERENCES public.clients(workspace_id, id) ON DELETE SET NULL (client_id);

--
-- Name: lead_processing_queue lead_processing_queue_workspace_id_lead_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.lead_processing_queue
    ADD CONSTRAINT lead_processing_queue_workspace_id_lead_id_fkey FOREIGN KEY (workspace_id, lead_id) REFERENCES public.leads(workspace_id, id) ON DELETE CASCADE;

--
-- Name: lead_processing_queue lead_processing_queue_workspace_id_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.lead_processing_queue
    ADD CONSTRAINT lead_processing_queue_workspace_id_project_id_fkey FOREIGN KEY (workspace_id, project_id) REFERENCES public.projects(workspace_id, id) ON DELETE SET NULL (project_id);

--
-- Name: leads leads_taken_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_taken_by_fkey FOREIGN KEY (taken_by) REFERENCES auth.users(id) ON DELETE SET NULL;

--
-- Name: leads leads_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE SET NULL;

--
-- Name: leads leads_workspace_id_client_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_workspace_id_client_id_fkey FOREIGN KEY (workspace_id, client_id) REFERENCES public.clients(workspace_id, id) ON DELETE SET NULL (client_id);

--
-- Name: leads leads_workspace_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_workspace_id_contact_id_fkey FOREIGN KEY (workspace_id, contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

--
-- Name: leads leads_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: leads leads_workspace_id_project_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.leads
    ADD CONSTRAINT leads_workspace_id_project_id_fkey FOREIGN KEY (workspace_id, project_id) REFERENCES public.projects(workspace_id, id) ON DELETE SET NULL (project_id);

--
-- Name: meta_signup_states meta_signup_states_workspace_id_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.meta_signup_states
    ADD CONSTRAINT meta_signup_states_workspace_id_user_id_fkey FOREIGN KEY (workspace_id, user_id) REFERENCES public.workspace_memberships(workspace_id, user_id) ON DELETE CASCADE;

--
-- Name: notification_settings notification_settings_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.notification_settings
    ADD CONSTRAINT notification_settings_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

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
-- Name: owner_members owner_members_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.owner_members
    ADD CONSTRAINT owner_members_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

--
-- Name: platform_admins platform_admins_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.platform_admins
    ADD CONSTRAINT platform_admins_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

--
-- Name: profiles profiles_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.profiles
    ADD CONSTRAINT profiles_id_fkey FOREIGN KEY (id) REFERENCES auth.users(id) ON DELETE CASCADE;

--
-- Name: projects projects_workspace_id_client_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_workspace_id_client_id_fkey FOREIGN KEY (workspace_id, client_id) REFERENCES public.clients(workspace_id, id) ON DELETE SET NULL (client_id);

--
-- Name: projects projects_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.projects
    ADD CONSTRAINT projects_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: push_subscriptions push_subscriptions_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.push_subscriptions
    ADD CONSTRAINT push_subscriptions_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

--
-- Name: queue_ledger queue_ledger_workspace_id_lead_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.queue_ledger
    ADD CONSTRAINT queue_ledger_workspace_id_lead_id_fkey FOREIGN KEY (workspace_id, lead_id) REFERENCES public.leads(workspace_id, id) ON DELETE CASCADE;

--
-- Name: queue_performance_metrics queue_performance_metrics_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.queue_performance_metrics
    ADD CONSTRAINT queue_performance_metrics_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE;

--
-- Name: queue_performance_metrics queue_performance_metrics_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.queue_performance_metrics
    ADD CONSTRAINT queue_performance_metrics_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: tma_candidates tma_candidates_created_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.tma_candidates
    ADD CONSTRAINT tma_candidates_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: tma_candidates tma_candidates_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.tma_candidates
    ADD CONSTRAINT tma_candidates_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: user_contact_settings user_contact_settings_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_contact_settings
    ADD CONSTRAINT user_contact_settings_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

--
-- Name: user_contact_settings user_contact_settings_workspace_id_contact_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_contact_settings
    ADD CONSTRAINT user_contact_settings_workspace_id_contact_id_fkey FOREIGN KEY (workspace_id, contact_id) REFERENCES public.contacts(workspace_id, id) ON DELETE CASCADE;

--
-- Name: user_queue_settings user_queue_settings_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_queue_settings
    ADD CONSTRAINT user_queue_settings_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE;

--
-- Name: user_queue_settings user_queue_settings_workspace_id_connection_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_queue_settings
    ADD CONSTRAINT user_queue_settings_workspace_id_connection_id_fkey FOREIGN KEY (workspace_id, connection_id) REFERENCES public.wa_phone_numbers(workspace_id, id) ON DELETE SET NULL (connection_id);

--
-- Name: user_queue_settings user_queue_settings_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_queue_settings
    ADD CONSTRAINT user_queue_settings_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: user_tma_settings user_tma_settings_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_tma_settings
    ADD CONSTRAINT user_tma_settings_user_id_fkey FOREIGN KEY (user_id) REFERENCES public.profiles(id) ON DELETE CASCADE;

--
-- Name: user_tma_settings user_tma_settings_workspace_id_tma_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.user_tma_settings
    ADD CONSTRAINT user_tma_settings_workspace_id_tma_id_fkey FOREIGN KEY (workspace_id, tma_id) REFERENCES public.tma_candidates(workspace_id, id) ON DELETE CASCADE;

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
-- Name: wa_saved_views wa_saved_views_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_saved_views
    ADD CONSTRAINT wa_saved_views_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE CASCADE;

--
-- Name: wa_saved_views wa_saved_views_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_saved_views
    ADD CONSTRAINT wa_saved_views_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: wa_templates wa_templates_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_templates
    ADD CONSTRAINT wa_templates_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: wa_thread_breaches wa_thread_breaches_assignee_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_thread_breaches
    ADD CONSTRAINT wa_thread_breaches_assignee_id_fkey FOREIGN KEY (assignee_id) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: wa_thread_breaches wa_thread_breaches_thread_id_connection_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_thread_breaches
    ADD CONSTRAINT wa_thread_breaches_thread_id_connection_id_workspace_id_fkey FOREIGN KEY (thread_id, connection_id, workspace_id) REFERENCES public.wa_threads(id, connection_id, workspace_id) ON DELETE CASCADE;

--
-- Name: wa_thread_reads wa_thread_reads_thread_id_connection_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_thread_reads
    ADD CONSTRAINT wa_thread_reads_thread_id_connection_id_workspace_id_fkey FOREIGN KEY (thread_id, connection_id, workspace_id) REFERENCES public.wa_threads(id, connection_id, workspace_id) ON DELETE CASCADE;

--
-- Name: wa_thread_reads wa_thread_reads_workspace_id_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.wa_thread_reads
    ADD CONSTRAINT wa_thread_reads_workspace_id_user_id_fkey FOREIGN KEY (workspace_id, user_id) REFERENCES public.workspace_memberships(workspace_id, user_id) ON DELETE CASCADE;

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
-- Name: whatsapp_message_queue whatsapp_message_queue_outbox_id_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.whatsapp_message_queue
    ADD CONSTRAINT whatsapp_message_queue_outbox_id_workspace_id_fkey FOREIGN KEY (outbox_id, workspace_id) REFERENCES public.outbox_messages(id, workspace_id) ON DELETE SET NULL (outbox_id);

--
-- Name: whatsapp_message_queue whatsapp_message_queue_user_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.whatsapp_message_queue
    ADD CONSTRAINT whatsapp_message_queue_user_id_fkey FOREIGN KEY (user_id) REFERENCES auth.users(id) ON DELETE SET NULL;

--
-- Name: whatsapp_message_queue whatsapp_message_queue_workspace_id_client_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.whatsapp_message_queue
    ADD CONSTRAINT whatsapp_message_queue_workspace_id_client_id_fkey FOREIGN KEY (workspace_id, client_id) REFERENCES public.clients(workspace_id, id) ON DELETE SET NULL (client_id);

--
-- Name: whatsapp_message_queue whatsapp_message_queue_workspace_id_lead_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.whatsapp_message_queue
    ADD CONSTRAINT whatsapp_message_queue_workspace_id_lead_id_fkey FOREIGN KEY (workspace_id, lead_id) REFERENCES public.leads(workspace_id, id) ON DELETE CASCADE;

--
-- Name: workspace_entitlement_usage workspace_entitlement_usage_workspace_id_key_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_entitlement_usage
    ADD CONSTRAINT workspace_entitlement_usage_workspace_id_key_fkey FOREIGN KEY (workspace_id, key) REFERENCES public.workspace_entitlements(workspace_id, key) ON DELETE CASCADE;

--
-- Name: workspace_entitlements workspace_entitlements_granted_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_entitlements
    ADD CONSTRAINT workspace_entitlements_granted_by_fkey FOREIGN KEY (granted_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: workspace_entitlements workspace_entitlements_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_entitlements
    ADD CONSTRAINT workspace_entitlements_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: workspace_invitations workspace_invitations_accepted_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_invitations
    ADD CONSTRAINT workspace_invitations_accepted_by_fkey FOREIGN KEY (accepted_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: workspace_invitations workspace_invitations_invited_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_invitations
    ADD CONSTRAINT workspace_invitations_invited_by_fkey FOREIGN KEY (invited_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: workspace_invitations workspace_invitations_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_invitations
    ADD CONSTRAINT workspace_invitations_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

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
-- Name: workspace_token_alerts workspace_token_alerts_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_alerts
    ADD CONSTRAINT workspace_token_alerts_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspace_token_balance(workspace_id) ON DELETE CASCADE;

--
-- Name: workspace_token_balance workspace_token_balance_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_balance
    ADD CONSTRAINT workspace_token_balance_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspaces(id) ON DELETE CASCADE;

--
-- Name: workspace_token_grants workspace_token_grants_created_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_grants
    ADD CONSTRAINT workspace_token_grants_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: workspace_token_grants workspace_token_grants_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_grants
    ADD CONSTRAINT workspace_token_grants_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspace_token_balance(workspace_id) ON DELETE CASCADE;

--
-- Name: workspace_token_reservations workspace_token_reservations_created_by_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_reservations
    ADD CONSTRAINT workspace_token_reservations_created_by_fkey FOREIGN KEY (created_by) REFERENCES public.profiles(id) ON DELETE SET NULL;

--
-- Name: workspace_token_reservations workspace_token_reservations_workspace_id_fkey; Type: FK CONSTRAINT; Schema: public; Owner: postgres
--

ALTER TABLE ONLY public.workspace_token_reservations
    ADD CONSTRAINT workspace_token_reservations_workspace_id_fkey FOREIGN KEY (workspace_id) REFERENCES public.workspace_token_balance(workspace_id) ON DELETE CASCADE;

--
-- Name: audit_seals; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.audit_seals ENABLE ROW LEVEL SECURITY;

--
-- Name: audit_seals audit_seals_select_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY audit_seals_select_service ON private.audit_seals FOR SELECT TO service_role USING (true);

--
-- Name: chat_backlog; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.chat_backlog ENABLE ROW LEVEL SECURITY;

--
-- Name: chat_backlog chat_backlog_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY chat_backlog_all_service ON private.chat_backlog TO service_role USING (true) WITH CHECK (true);

--
-- Name: migration_rejects; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.migration_rejects ENABLE ROW LEVEL SECURITY;

--
-- Name: migration_rejects migration_rejects_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY migration_rejects_all_service ON private.migration_rejects TO service_role USING (true) WITH CHECK (true);

--
-- Name: outbox_archive; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_archive ENABLE ROW LEVEL SECURITY;

--
-- Name: outbox_archive outbox_archive_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY outbox_archive_all_service ON private.outbox_archive TO service_role USING (true) WITH CHECK (true);

--
-- Name: outbox_lanes; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_lanes ENABLE ROW LEVEL SECURITY;

--
-- Name: outbox_lanes outbox_lanes_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY outbox_lanes_all_service ON private.outbox_lanes TO service_role USING (true) WITH CHECK (true);

--
-- Name: outbox_leases; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_leases ENABLE ROW LEVEL SECURITY;

--
-- Name: outbox_leases outbox_leases_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY outbox_leases_all_service ON private.outbox_leases TO service_role USING (true) WITH CHECK (true);

--
-- Name: outbox_lines; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_lines ENABLE ROW LEVEL SECURITY;

--
-- Name: outbox_lines outbox_lines_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY outbox_lines_all_service ON private.outbox_lines TO service_role USING (true) WITH CHECK (true);

--
-- Name: outbox_problems; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_problems ENABLE ROW LEVEL SECURITY;

--
-- Name: outbox_problems outbox_problems_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY outbox_problems_all_service ON private.outbox_problems TO service_role USING (true) WITH CHECK (true);

--
-- Name: outbox_ready; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_ready ENABLE ROW LEVEL SECURITY;

--
-- Name: outbox_ready outbox_ready_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY outbox_ready_all_service ON private.outbox_ready TO service_role USING (true) WITH CHECK (true);

--
-- Name: outbox_waiting; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.outbox_waiting ENABLE ROW LEVEL SECURITY;

--
-- Name: outbox_waiting outbox_waiting_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY outbox_waiting_all_service ON private.outbox_waiting TO service_role USING (true) WITH CHECK (true);

--
-- Name: push_allowed_origins; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.push_allowed_origins ENABLE ROW LEVEL SECURITY;

--
-- Name: push_allowed_origins push_allowed_origins_select_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY push_allowed_origins_select_service ON private.push_allowed_origins FOR SELECT TO service_role USING (true);

--
-- Name: wa_connection_secrets; Type: ROW SECURITY; Schema: private; Owner: postgres
--

ALTER TABLE private.wa_connection_secrets ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_connection_secrets wa_connection_secrets_all_service; Type: POLICY; Schema: private; Owner: postgres
--

CREATE POLICY wa_connection_secrets_all_service ON private.wa_connection_secrets TO service_role USING (true) WITH CHECK (true);

--
-- Name: canned_responses; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.canned_responses ENABLE ROW LEVEL SECURITY;

--
-- Name: canned_responses canned_responses_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY canned_responses_select_member ON public.canned_responses FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: chat_members; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.chat_members ENABLE ROW LEVEL SECURITY;

--
-- Name: chat_members chat_members_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY chat_members_select_member ON public.chat_members FOR SELECT TO authenticated USING ((chat_id = ANY (ARRAY( SELECT private.my_chat_ids() AS my_chat_ids))));

--
-- Name: chat_messages; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.chat_messages ENABLE ROW LEVEL SECURITY;

--
-- Name: chat_messages chat_messages_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY chat_messages_select_member ON public.chat_messages FOR SELECT TO authenticated USING ((chat_id = ANY (ARRAY( SELECT private.my_chat_ids() AS my_chat_ids))));

--
-- Name: chats; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.chats ENABLE ROW LEVEL SECURITY;

--
-- Name: chats chats_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY chats_select_member ON public.chats FOR SELECT TO authenticated USING ((id = ANY (ARRAY( SELECT private.my_chat_ids() AS my_chat_ids))));

--
-- Name: clients; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.clients ENABLE ROW LEVEL SECURITY;

--
-- Name: clients clients_insert_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY clients_insert_member ON public.clients FOR INSERT TO authenticated WITH CHECK ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as))));

--
-- Name: clients clients_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY clients_select_member ON public.clients FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: contact_call_logs; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.contact_call_logs ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_call_logs contact_call_logs_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY contact_call_logs_select_member ON public.contact_call_logs FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: contact_duplicates; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.contact_duplicates ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_duplicates contact_duplicates_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY contact_duplicates_select_member ON public.contact_duplicates FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: contact_events; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.contact_events ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_events contact_events_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY contact_events_select_member ON public.contact_events FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: contact_identities; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.contact_identities ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_identities contact_identities_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY contact_identities_select_member ON public.contact_identities FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: contact_notes; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.contact_notes ENABLE ROW LEVEL SECURITY;

--
-- Name: contact_notes contact_notes_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY contact_notes_select_member ON public.contact_notes FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

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
-- Name: inbox_assignees; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.inbox_assignees ENABLE ROW LEVEL SECURITY;

--
-- Name: inbox_assignees inbox_assignees_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY inbox_assignees_select_member ON public.inbox_assignees FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: inbox_settings; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.inbox_settings ENABLE ROW LEVEL SECURITY;

--
-- Name: inbox_settings inbox_settings_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY inbox_settings_select_member ON public.inbox_settings FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: lead_processing_queue; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.lead_processing_queue ENABLE ROW LEVEL SECURITY;

--
-- Name: lead_processing_queue lead_processing_queue_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY lead_processing_queue_select_member ON public.lead_processing_queue FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: leads; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.leads ENABLE ROW LEVEL SECURITY;

--
-- Name: leads leads_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY leads_select_member ON public.leads FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

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
-- Name: notification_settings; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.notification_settings ENABLE ROW LEVEL SECURITY;

--
-- Name: notification_settings notification_settings_insert_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY notification_settings_insert_self ON public.notification_settings FOR INSERT TO authenticated WITH CHECK ((user_id = ( SELECT auth.uid() AS uid)));

--
-- Name: notification_settings notification_settings_select_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY notification_settings_select_self ON public.notification_settings FOR SELECT TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid)));

--
-- Name: notification_settings notification_settings_update_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY notification_settings_update_self ON public.notification_settings FOR UPDATE TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid))) WITH CHECK ((user_id = ( SELECT auth.uid() AS uid)));

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

CREATE POLICY outbox_messages_select_member ON public.outbox_messages FOR SELECT TO authenticated USING (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))) AND (channel <> 'web_push'::text)));

--
-- Name: owner_audit_log; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.owner_audit_log ENABLE ROW LEVEL SECURITY;

--
-- Name: owner_audit_log owner_audit_log_select_service; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY owner_audit_log_select_service ON public.owner_audit_log FOR SELECT TO service_role USING (true);

--
-- Name: owner_members; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.owner_members ENABLE ROW LEVEL SECURITY;

--
-- Name: owner_members owner_members_select_service; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY owner_members_select_service ON public.owner_members FOR SELECT TO service_role USING (true);

--
-- Name: platform_admins; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.platform_admins ENABLE ROW LEVEL SECURITY;

--
-- Name: platform_admins platform_admins_select_service; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY platform_admins_select_service ON public.platform_admins FOR SELECT TO service_role USING (true);

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
-- Name: projects; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.projects ENABLE ROW LEVEL SECURITY;

--
-- Name: projects projects_insert_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY projects_insert_member ON public.projects FOR INSERT TO authenticated WITH CHECK ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as))));

--
-- Name: projects projects_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY projects_select_member ON public.projects FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: push_subscriptions; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.push_subscriptions ENABLE ROW LEVEL SECURITY;

--
-- Name: push_subscriptions push_subscriptions_delete_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY push_subscriptions_delete_self ON public.push_subscriptions FOR DELETE TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid)));

--
-- Name: push_subscriptions push_subscriptions_select_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY push_subscriptions_select_self ON public.push_subscriptions FOR SELECT TO authenticated USING ((user_id = ( SELECT auth.uid() AS uid)));

--
-- Name: queue_ledger; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.queue_ledger ENABLE ROW LEVEL SECURITY;

--
-- Name: queue_ledger queue_ledger_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY queue_ledger_select_member ON public.queue_ledger FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: queue_performance_metrics; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.queue_performance_metrics ENABLE ROW LEVEL SECURITY;

--
-- Name: queue_performance_metrics queue_performance_metrics_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY queue_performance_metrics_select_member ON public.queue_performance_metrics FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: rate_limit_counters; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.rate_limit_counters ENABLE ROW LEVEL SECURITY;

--
-- Name: rate_limit_counters rate_limit_counters_all_service; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY rate_limit_counters_all_service ON public.rate_limit_counters TO service_role USING (true) WITH CHECK (true);

--
-- Name: tma_candidates; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.tma_candidates ENABLE ROW LEVEL SECURITY;

--
-- Name: tma_candidates tma_candidates_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY tma_candidates_select_member ON public.tma_candidates FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: user_contact_settings; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.user_contact_settings ENABLE ROW LEVEL SECURITY;

--
-- Name: user_contact_settings user_contact_settings_insert_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY user_contact_settings_insert_self ON public.user_contact_settings FOR INSERT TO authenticated WITH CHECK (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as)))));

--
-- Name: user_contact_settings user_contact_settings_select_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY user_contact_settings_select_self ON public.user_contact_settings FOR SELECT TO authenticated USING (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids)))));

--
-- Name: user_contact_settings user_contact_settings_update_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY user_contact_settings_update_self ON public.user_contact_settings FOR UPDATE TO authenticated USING (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as))))) WITH CHECK (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as)))));

--
-- Name: user_queue_settings; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.user_queue_settings ENABLE ROW LEVEL SECURITY;

--
-- Name: user_queue_settings user_queue_settings_select_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY user_queue_settings_select_self ON public.user_queue_settings FOR SELECT TO authenticated USING (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids)))));

--
-- Name: user_tma_settings; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.user_tma_settings ENABLE ROW LEVEL SECURITY;

--
-- Name: user_tma_settings user_tma_settings_insert_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY user_tma_settings_insert_self ON public.user_tma_settings FOR INSERT TO authenticated WITH CHECK (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as)))));

--
-- Name: user_tma_settings user_tma_settings_select_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY user_tma_settings_select_self ON public.user_tma_settings FOR SELECT TO authenticated USING (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids)))));

--
-- Name: user_tma_settings user_tma_settings_update_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY user_tma_settings_update_self ON public.user_tma_settings FOR UPDATE TO authenticated USING (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as))))) WITH CHECK (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as)))));

--
-- Name: wa_saved_views users_access_own_saved_views; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY users_access_own_saved_views ON public.wa_saved_views TO authenticated USING (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))))) WITH CHECK (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text, 'member'::text]) AS my_workspace_ids_as)))));

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
-- Name: wa_saved_views; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_saved_views ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_templates; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_templates ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_templates wa_templates_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_templates_select_member ON public.wa_templates FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: wa_thread_breaches; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_thread_breaches ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_thread_breaches wa_thread_breaches_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_thread_breaches_select_member ON public.wa_thread_breaches FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: wa_thread_reads; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_thread_reads ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_thread_reads wa_thread_reads_select_self; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_thread_reads_select_self ON public.wa_thread_reads FOR SELECT TO authenticated USING (((user_id = ( SELECT auth.uid() AS uid)) AND (workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids)))));

--
-- Name: wa_threads; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.wa_threads ENABLE ROW LEVEL SECURITY;

--
-- Name: wa_threads wa_threads_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY wa_threads_select_member ON public.wa_threads FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: whatsapp_message_queue; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.whatsapp_message_queue ENABLE ROW LEVEL SECURITY;

--
-- Name: whatsapp_message_queue whatsapp_message_queue_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY whatsapp_message_queue_select_member ON public.whatsapp_message_queue FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: workspace_entitlement_usage; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_entitlement_usage ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_entitlement_usage workspace_entitlement_usage_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_entitlement_usage_select_member ON public.workspace_entitlement_usage FOR SELECT TO authenticated USING (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))) OR ( SELECT private.is_operator() AS is_operator)));

--
-- Name: workspace_entitlements; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_entitlements ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_entitlements workspace_entitlements_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_entitlements_select_member ON public.workspace_entitlements FOR SELECT TO authenticated USING (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))) OR ( SELECT private.is_operator() AS is_operator)));

--
-- Name: workspace_invitations; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_invitations ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_invitations workspace_invitations_select_admin; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_invitations_select_admin ON public.workspace_invitations FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids_as(VARIADIC ARRAY['owner'::text, 'admin'::text]) AS my_workspace_ids_as))));

--
-- Name: workspace_memberships; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_memberships ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_memberships workspace_memberships_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_memberships_select_member ON public.workspace_memberships FOR SELECT TO authenticated USING ((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))));

--
-- Name: workspace_token_alerts; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_token_alerts ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_token_alerts workspace_token_alerts_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_token_alerts_select_member ON public.workspace_token_alerts FOR SELECT TO authenticated USING (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))) OR ( SELECT private.is_operator() AS is_operator)));

--
-- Name: workspace_token_balance; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_token_balance ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_token_balance workspace_token_balance_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_token_balance_select_member ON public.workspace_token_balance FOR SELECT TO authenticated USING (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))) OR ( SELECT private.is_operator() AS is_operator)));

--
-- Name: workspace_token_grants; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_token_grants ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_token_grants workspace_token_grants_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_token_grants_select_member ON public.workspace_token_grants FOR SELECT TO authenticated USING (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))) OR ( SELECT private.is_operator() AS is_operator)));

--
-- Name: workspace_token_ledger; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_token_ledger ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_token_ledger workspace_token_ledger_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_token_ledger_select_member ON public.workspace_token_ledger FOR SELECT TO authenticated USING (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))) OR ( SELECT private.is_operator() AS is_operator)));

--
-- Name: workspace_token_reservations; Type: ROW SECURITY; Schema: public; Owner: postgres
--

ALTER TABLE public.workspace_token_reservations ENABLE ROW LEVEL SECURITY;

--
-- Name: workspace_token_reservations workspace_token_reservations_select_member; Type: POLICY; Schema: public; Owner: postgres
--

CREATE POLICY workspace_token_reservations_select_member ON public.workspace_token_reservations FOR SELECT TO authenticated USING (((workspace_id = ANY (ARRAY( SELECT private.my_workspace_ids() AS my_workspace_ids))) OR ( SELECT private.is_operator() AS is_operator)));

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
-- Name: TABLE chats; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.chats TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.chats TO service_role;

--
-- Name: FUNCTION add_to_chat(p_chat public.chats, p_user_ids uuid[], p_role text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.add_to_chat(p_chat public.chats, p_user_ids uuid[], p_role text) FROM PUBLIC;

--
-- Name: FUNCTION advance_leads(p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.advance_leads(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.advance_leads(p_ids uuid[]) TO service_role;

--
-- Name: FUNCTION after_leaving_chat(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.after_leaving_chat() FROM PUBLIC;

--
-- Name: TABLE chat_members; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.chat_members TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.chat_members TO service_role;

--
-- Name: TABLE chat_messages; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.chat_messages TO authenticated;
GRANT SELECT,INSERT ON TABLE public.chat_messages TO service_role;

--
-- Name: FUNCTION append_message(p_member public.chat_members, p_body text, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.append_message(p_member public.chat_members, p_body text, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint) FROM PUBLIC;

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
-- Name: FUNCTION apply_workspace_status(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.apply_workspace_status() FROM PUBLIC;

--
-- Name: FUNCTION are_two_people(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.are_two_people(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION assign_message_seq(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.assign_message_seq() FROM PUBLIC;

--
-- Name: FUNCTION assign_waiting_threads(p_workspace_id uuid, p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.assign_waiting_threads(p_workspace_id uuid, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION private.assign_waiting_threads(p_workspace_id uuid, p_limit integer) TO service_role;

--
-- Name: FUNCTION audit(p_action text, p_workspace_id uuid, p_before jsonb, p_after jsonb, p_reason text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.audit(p_action text, p_workspace_id uuid, p_before jsonb, p_after jsonb, p_reason text) FROM PUBLIC;

--
-- Name: FUNCTION audit_row(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.audit_row() FROM PUBLIC;

--
-- Name: FUNCTION audit_seal_hash(p_previous_hash text, p_after_id bigint, p_last_id bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.audit_seal_hash(p_previous_hash text, p_after_id bigint, p_last_id bigint) FROM PUBLIC;

--
-- Name: FUNCTION automated_leads(p_contact_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.automated_leads(p_contact_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.automated_leads(p_contact_ids uuid[]) TO service_role;

--
-- Name: FUNCTION badge_of(p_user_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.badge_of(p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION private.badge_of(p_user_id uuid) TO service_role;

--
-- Name: FUNCTION begin_takeover(p_thread_id uuid, OUT p_lead_ids uuid[], OUT p_outbox_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.begin_takeover(p_thread_id uuid, OUT p_lead_ids uuid[], OUT p_outbox_ids uuid[]) FROM PUBLIC;

--
-- Name: FUNCTION broadcast_message(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.broadcast_message() FROM PUBLIC;

--
-- Name: TABLE wa_templates; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_templates TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_templates TO service_role;

--
-- Name: FUNCTION bulk_template(p_workspace_id uuid, p_template_id uuid, p_variables jsonb, p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.bulk_template(p_workspace_id uuid, p_template_id uuid, p_variables jsonb, p_limit integer) FROM PUBLIC;

--
-- Name: FUNCTION business_moment(p_from timestamp with time zone, p_seconds integer, p_hours jsonb, p_timezone text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.business_moment(p_from timestamp with time zone, p_seconds integer, p_hours jsonb, p_timezone text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.business_moment(p_from timestamp with time zone, p_seconds integer, p_hours jsonb, p_timezone text) TO service_role;

--
-- Name: FUNCTION caller_role(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.caller_role() FROM PUBLIC;

--
-- Name: FUNCTION cancel_automated_outbox(p_thread_ids uuid[], p_reason text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) TO service_role;

--
-- Name: FUNCTION cancel_ended_automation(p_outbox_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.cancel_ended_automation(p_outbox_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.cancel_ended_automation(p_outbox_ids uuid[]) TO service_role;

--
-- Name: FUNCTION cancel_queued_outbox(p_ids uuid[], p_reason text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.cancel_queued_outbox(p_ids uuid[], p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.cancel_queued_outbox(p_ids uuid[], p_reason text) TO service_role;

--
-- Name: FUNCTION check_entitlement_payload(p_payload jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.check_entitlement_payload(p_payload jsonb) FROM PUBLIC;

--
-- Name: FUNCTION check_import(p_rows jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.check_import(p_rows jsonb) FROM PUBLIC;

--
-- Name: FUNCTION check_lead_fields(p_workspace_id uuid, p_fields jsonb, p_allowed text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.check_lead_fields(p_workspace_id uuid, p_fields jsonb, p_allowed text[]) FROM PUBLIC;

--
-- Name: FUNCTION check_my_status(p_my_status text, p_allowed text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.check_my_status(p_my_status text, p_allowed text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.check_my_status(p_my_status text, p_allowed text[]) TO authenticated;

--
-- Name: FUNCTION check_page(p_sort text, p_after text, p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.check_page(p_sort text, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION private.check_page(p_sort text, p_after text, p_limit integer) TO authenticated;

--
-- Name: FUNCTION check_queue_settings(p_patch jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.check_queue_settings(p_patch jsonb) FROM PUBLIC;

--
-- Name: FUNCTION check_template_variables(p_template public.wa_templates, p_variables jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.check_template_variables(p_template public.wa_templates, p_variables jsonb) FROM PUBLIC;

--
-- Name: FUNCTION check_tokens(p_amount bigint, p_reason text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.check_tokens(p_amount bigint, p_reason text) FROM PUBLIC;

--
-- Name: FUNCTION check_view(p_name text, p_filters jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.check_view(p_name text, p_filters jsonb) FROM PUBLIC;

--
-- Name: FUNCTION checked_fields(p_fields jsonb, p_allowed text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.checked_fields(p_fields jsonb, p_allowed text[]) FROM PUBLIC;

--
-- Name: FUNCTION checked_settings(p_patch jsonb, p_statuses text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.checked_settings(p_patch jsonb, p_statuses text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.checked_settings(p_patch jsonb, p_statuses text[]) TO authenticated;

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
-- Name: FUNCTION count_mentions(p_message public.chat_messages); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.count_mentions(p_message public.chat_messages) FROM PUBLIC;

--
-- Name: FUNCTION count_of_contacts(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_exact boolean); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.count_of_contacts(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_exact boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION private.count_of_contacts(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_exact boolean) TO authenticated;

--
-- Name: FUNCTION count_queue_transitions(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.count_queue_transitions() FROM PUBLIC;

--
-- Name: FUNCTION cursor_time(p_cursor text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.cursor_time(p_cursor text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.cursor_time(p_cursor text) TO authenticated;
GRANT ALL ON FUNCTION private.cursor_time(p_cursor text) TO service_role;

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
-- Name: FUNCTION delete_outbox_lane(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.delete_outbox_lane() FROM PUBLIC;

--
-- Name: FUNCTION delete_token_ledger(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.delete_token_ledger() FROM PUBLIC;

--
-- Name: FUNCTION delete_webhook_events(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.delete_webhook_events() FROM PUBLIC;

--
-- Name: FUNCTION end_automation(p_lead_ids uuid[], p_outbox_ids uuid[], p_reason text, p_taken_by uuid, p_replied_at timestamp with time zone); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.end_automation(p_lead_ids uuid[], p_outbox_ids uuid[], p_reason text, p_taken_by uuid, p_replied_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION private.end_automation(p_lead_ids uuid[], p_outbox_ids uuid[], p_reason text, p_taken_by uuid, p_replied_at timestamp with time zone) TO service_role;

--
-- Name: FUNCTION end_outbox_leases(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.end_outbox_leases() FROM PUBLIC;
GRANT ALL ON FUNCTION private.end_outbox_leases() TO service_role;

--
-- Name: TABLE workspace_token_reservations; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspace_token_reservations TO authenticated;
GRANT SELECT ON TABLE public.workspace_token_reservations TO service_role;

--
-- Name: FUNCTION end_reservation(p_reservation_id uuid, p_amount bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.end_reservation(p_reservation_id uuid, p_amount bigint) FROM PUBLIC;

--
-- Name: FUNCTION ended_grant_tokens(p_workspace_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.ended_grant_tokens(p_workspace_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION ensure_outbox_lane(p_workspace_id uuid, p_connection_id uuid, p_channel text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.ensure_outbox_lane(p_workspace_id uuid, p_connection_id uuid, p_channel text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.ensure_outbox_lane(p_workspace_id uuid, p_connection_id uuid, p_channel text) TO service_role;

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
-- Name: FUNCTION entitlement_state(p_workspace_id uuid, p_key text, p_amount bigint, OUT granted boolean, OUT reason text, OUT "limit" bigint, OUT usage bigint, OUT period_start timestamp with time zone); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.entitlement_state(p_workspace_id uuid, p_key text, p_amount bigint, OUT granted boolean, OUT reason text, OUT "limit" bigint, OUT usage bigint, OUT period_start timestamp with time zone) FROM PUBLIC;

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
-- Name: FUNCTION filled_text(p_text text, p_contact public.contacts); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.filled_text(p_text text, p_contact public.contacts) FROM PUBLIC;

--
-- Name: FUNCTION filled_variables(p_variables jsonb, p_contact public.contacts); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.filled_variables(p_variables jsonb, p_contact public.contacts) FROM PUBLIC;

--
-- Name: TABLE workspaces; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspaces TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.workspaces TO service_role;

--
-- Name: FUNCTION find_workspace(p_ref text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.find_workspace(p_ref text) FROM PUBLIC;

--
-- Name: FUNCTION first_connection(p_workspace_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.first_connection(p_workspace_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION first_message_id(p_seconds bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.first_message_id(p_seconds bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION private.first_message_id(p_seconds bigint) TO service_role;

--
-- Name: FUNCTION first_response_seconds(p_thread_id uuid, p_connection_id uuid, p_workspace_id uuid, p_waiting_since timestamp with time zone, p_counted integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.first_response_seconds(p_thread_id uuid, p_connection_id uuid, p_workspace_id uuid, p_waiting_since timestamp with time zone, p_counted integer) FROM PUBLIC;
GRANT ALL ON FUNCTION private.first_response_seconds(p_thread_id uuid, p_connection_id uuid, p_workspace_id uuid, p_waiting_since timestamp with time zone, p_counted integer) TO service_role;

--
-- Name: FUNCTION follow_deduction(p_workspace_id uuid, p_delta bigint, p_balance bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.follow_deduction(p_workspace_id uuid, p_delta bigint, p_balance bigint) FROM PUBLIC;

--
-- Name: FUNCTION follow_lead_messages(p_outbox_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.follow_lead_messages(p_outbox_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.follow_lead_messages(p_outbox_ids uuid[]) TO service_role;

--
-- Name: FUNCTION follow_up_range(p_due text, OUT p_from timestamp with time zone, OUT p_to timestamp with time zone); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.follow_up_range(p_due text, OUT p_from timestamp with time zone, OUT p_to timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION private.follow_up_range(p_due text, OUT p_from timestamp with time zone, OUT p_to timestamp with time zone) TO authenticated;

--
-- Name: FUNCTION forget_vault_secret(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.forget_vault_secret() FROM PUBLIC;

--
-- Name: FUNCTION has_vault(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.has_vault() FROM PUBLIC;

--
-- Name: FUNCTION hold_back_outbox(p_ids uuid[], p_error_codes integer[], p_error_texts text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.hold_back_outbox(p_ids uuid[], p_error_codes integer[], p_error_texts text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.hold_back_outbox(p_ids uuid[], p_error_codes integer[], p_error_texts text[]) TO service_role;

--
-- Name: FUNCTION hold_suspended_lane(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.hold_suspended_lane() FROM PUBLIC;

--
-- Name: FUNCTION import_rows(p_rows jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.import_rows(p_rows jsonb) FROM PUBLIC;

--
-- Name: FUNCTION invitation_token_hash(p_token text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.invitation_token_hash(p_token text) FROM PUBLIC;

--
-- Name: FUNCTION is_business_hours(p_hours jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.is_business_hours(p_hours jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION private.is_business_hours(p_hours jsonb) TO service_role;

--
-- Name: FUNCTION is_my_chat_topic(p_topic text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.is_my_chat_topic(p_topic text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.is_my_chat_topic(p_topic text) TO authenticated;

--
-- Name: FUNCTION is_operator(p_roles text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.is_operator(p_roles text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.is_operator(p_roles text[]) TO authenticated;
GRANT ALL ON FUNCTION private.is_operator(p_roles text[]) TO service_role;

--
-- Name: FUNCTION is_push_endpoint(p_endpoint text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.is_push_endpoint(p_endpoint text) FROM PUBLIC;

--
-- Name: FUNCTION is_search_language(p_language text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.is_search_language(p_language text) FROM PUBLIC;

--
-- Name: FUNCTION is_service(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.is_service() FROM PUBLIC;
GRANT ALL ON FUNCTION private.is_service() TO authenticated;
GRANT ALL ON FUNCTION private.is_service() TO service_role;

--
-- Name: FUNCTION is_text(p_value jsonb, p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.is_text(p_value jsonb, p_limit integer) FROM PUBLIC;

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
-- Name: FUNCTION keep_first_members(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.keep_first_members() FROM PUBLIC;

--
-- Name: FUNCTION keep_whatsapp_orphans(p_events jsonb, p_ordinals integer[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.keep_whatsapp_orphans(p_events jsonb, p_ordinals integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.keep_whatsapp_orphans(p_events jsonb, p_ordinals integer[]) TO service_role;

--
-- Name: TABLE inbox_settings; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.inbox_settings TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.inbox_settings TO service_role;

--
-- Name: FUNCTION late_before(p_settings public.inbox_settings, p_is_first boolean); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.late_before(p_settings public.inbox_settings, p_is_first boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION private.late_before(p_settings public.inbox_settings, p_is_first boolean) TO service_role;

--
-- Name: FUNCTION lead_outbox(p_lead_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lead_outbox(p_lead_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lead_outbox(p_lead_ids uuid[]) TO service_role;

--
-- Name: FUNCTION lead_threads(p_lead_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lead_threads(p_lead_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lead_threads(p_lead_ids uuid[]) TO service_role;

--
-- Name: FUNCTION leave_outbox_lines(p_line_ids bigint[], p_heads bigint[], p_counts boolean); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.leave_outbox_lines(p_line_ids bigint[], p_heads bigint[], p_counts boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION private.leave_outbox_lines(p_line_ids bigint[], p_heads bigint[], p_counts boolean) TO service_role;

--
-- Name: FUNCTION local_day(p_timezone text, p_at timestamp with time zone); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.local_day(p_timezone text, p_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION private.local_day(p_timezone text, p_at timestamp with time zone) TO service_role;

--
-- Name: FUNCTION local_moment(p_timezone text, p_day date, p_time time without time zone); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.local_moment(p_timezone text, p_day date, p_time time without time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION private.local_moment(p_timezone text, p_day date, p_time time without time zone) TO service_role;

--
-- Name: FUNCTION lock_automation(p_lead_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_automation(p_lead_ids uuid[]) FROM PUBLIC;

--
-- Name: FUNCTION lock_own_message(p_message_id uuid, p_for_all_owners boolean); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_own_message(p_message_id uuid, p_for_all_owners boolean) FROM PUBLIC;

--
-- Name: TABLE workspace_token_balance; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspace_token_balance TO authenticated;
GRANT SELECT ON TABLE public.workspace_token_balance TO service_role;

--
-- Name: FUNCTION lock_token_balance(p_workspace_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_token_balance(p_workspace_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION lock_unsettled_outbox(p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_unsettled_outbox(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_unsettled_outbox(p_ids uuid[]) TO service_role;

--
-- Name: FUNCTION wrong_view_filter(p_filters jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wrong_view_filter(p_filters jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION private.wrong_view_filter(p_filters jsonb) TO authenticated;
GRANT ALL ON FUNCTION private.wrong_view_filter(p_filters jsonb) TO service_role;

--
-- Name: TABLE wa_saved_views; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,DELETE ON TABLE public.wa_saved_views TO authenticated;

--
-- Name: COLUMN wa_saved_views.id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(id) ON TABLE public.wa_saved_views TO authenticated;

--
-- Name: COLUMN wa_saved_views.workspace_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(workspace_id) ON TABLE public.wa_saved_views TO authenticated;

--
-- Name: COLUMN wa_saved_views.user_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(user_id) ON TABLE public.wa_saved_views TO authenticated;

--
-- Name: COLUMN wa_saved_views.name; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(name),UPDATE(name) ON TABLE public.wa_saved_views TO authenticated;

--
-- Name: COLUMN wa_saved_views.filters; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(filters),UPDATE(filters) ON TABLE public.wa_saved_views TO authenticated;

--
-- Name: FUNCTION lock_view(p_view_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_view(p_view_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION lock_whatsapp_message_ids(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_whatsapp_message_ids(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_whatsapp_message_ids(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION lock_whatsapp_outbox(p_items private.whatsapp_item[], p_lead_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_whatsapp_outbox(p_items private.whatsapp_item[], p_lead_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_whatsapp_outbox(p_items private.whatsapp_item[], p_lead_ids uuid[]) TO service_role;

--
-- Name: FUNCTION lock_whatsapp_people(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_whatsapp_people(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_whatsapp_people(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION lock_whatsapp_threads(p_items private.whatsapp_item[], p_lead_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.lock_whatsapp_threads(p_items private.whatsapp_item[], p_lead_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.lock_whatsapp_threads(p_items private.whatsapp_item[], p_lead_ids uuid[]) TO service_role;

--
-- Name: FUNCTION media_limits(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.media_limits() FROM PUBLIC;

--
-- Name: FUNCTION merge_threads(p_from uuid, p_into uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.merge_threads(p_from uuid, p_into uuid) FROM PUBLIC;

--
-- Name: FUNCTION messages_as_json(p_chat_id uuid, p_messages public.chat_messages[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.messages_as_json(p_chat_id uuid, p_messages public.chat_messages[]) FROM PUBLIC;

--
-- Name: FUNCTION mirror_auth_user(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.mirror_auth_user() FROM PUBLIC;

--
-- Name: FUNCTION move_cursors(p_member public.chat_members, p_up_to_seq bigint, p_read boolean); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.move_cursors(p_member public.chat_members, p_up_to_seq bigint, p_read boolean) FROM PUBLIC;

--
-- Name: FUNCTION move_follow_up(p_id uuid, p_at timestamp with time zone, p_is_done boolean); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.move_follow_up(p_id uuid, p_at timestamp with time zone, p_is_done boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION private.move_follow_up(p_id uuid, p_at timestamp with time zone, p_is_done boolean) TO authenticated;

--
-- Name: FUNCTION move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_first_inbound_at timestamp with time zone[], p_inbound_at timestamp with time zone[], p_answered_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_first_inbound_at timestamp with time zone[], p_inbound_at timestamp with time zone[], p_answered_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.move_whatsapp_threads(p_thread_ids uuid[], p_latest_at timestamp with time zone[], p_bodies text[], p_first_inbound_at timestamp with time zone[], p_inbound_at timestamp with time zone[], p_answered_at timestamp with time zone[], p_replied_at timestamp with time zone[], p_unread_counts integer[]) TO service_role;

--
-- Name: FUNCTION my_chat_ids(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.my_chat_ids() FROM PUBLIC;
GRANT ALL ON FUNCTION private.my_chat_ids() TO authenticated;
GRANT ALL ON FUNCTION private.my_chat_ids() TO service_role;

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
-- Name: FUNCTION name_of(p_profile public.profiles); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.name_of(p_profile public.profiles) FROM PUBLIC;
GRANT ALL ON FUNCTION private.name_of(p_profile public.profiles) TO service_role;

--
-- Name: FUNCTION newest_messages_found(p_workspace_id uuid, p_query tsquery, p_thread_id uuid, p_until timestamp with time zone, p_until_id uuid, p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.newest_messages_found(p_workspace_id uuid, p_query tsquery, p_thread_id uuid, p_until timestamp with time zone, p_until_id uuid, p_limit integer) FROM PUBLIC;

--
-- Name: FUNCTION normal_email(p_email text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.normal_email(p_email text) FROM PUBLIC;

--
-- Name: FUNCTION normal_phone(p_phone text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.normal_phone(p_phone text) FROM PUBLIC;

--
-- Name: FUNCTION note_outbox_problems(p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.note_outbox_problems(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.note_outbox_problems(p_ids uuid[]) TO service_role;

--
-- Name: FUNCTION notify_of_assignment(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.notify_of_assignment() FROM PUBLIC;

--
-- Name: FUNCTION notify_of_chat_messages(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.notify_of_chat_messages() FROM PUBLIC;

--
-- Name: FUNCTION notify_of_follow_up(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.notify_of_follow_up() FROM PUBLIC;

--
-- Name: FUNCTION notify_of_inbound_messages(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.notify_of_inbound_messages() FROM PUBLIC;

--
-- Name: FUNCTION number_chat_batch(p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.number_chat_batch(p_limit integer) FROM PUBLIC;

--
-- Name: PROCEDURE number_chat_messages(IN p_batch_size integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON PROCEDURE private.number_chat_messages(IN p_batch_size integer) FROM PUBLIC;

--
-- Name: FUNCTION outbox_pace(OUT p_step interval, OUT p_lead interval); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.outbox_pace(OUT p_step interval, OUT p_lead interval) FROM PUBLIC;
GRANT ALL ON FUNCTION private.outbox_pace(OUT p_step interval, OUT p_lead interval) TO service_role;

--
-- Name: TABLE outbox_messages; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.outbox_messages TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.outbox_messages TO service_role;

--
-- Name: FUNCTION outbox_report_outcome(p_token bigint, p_held boolean, p_outbox public.outbox_messages); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.outbox_report_outcome(p_token bigint, p_held boolean, p_outbox public.outbox_messages) FROM PUBLIC;
GRANT ALL ON FUNCTION private.outbox_report_outcome(p_token bigint, p_held boolean, p_outbox public.outbox_messages) TO service_role;

--
-- Name: FUNCTION outbox_turn(p_served integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.outbox_turn(p_served integer) FROM PUBLIC;
GRANT ALL ON FUNCTION private.outbox_turn(p_served integer) TO service_role;

--
-- Name: TABLE tma_candidates; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.tma_candidates TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.tma_candidates TO service_role;

--
-- Name: FUNCTION page_of_candidates(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.page_of_candidates(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION private.page_of_candidates(p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer) TO authenticated;

--
-- Name: FUNCTION page_of_contacts(p_workspace_id uuid, p_filter jsonb, p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.page_of_contacts(p_workspace_id uuid, p_filter jsonb, p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION private.page_of_contacts(p_workspace_id uuid, p_filter jsonb, p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer) TO authenticated;

--
-- Name: FUNCTION pause_outbox_lanes(p_connection_ids uuid[], p_scopes text[], p_reasons text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.pause_outbox_lanes(p_connection_ids uuid[], p_scopes text[], p_reasons text[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.pause_outbox_lanes(p_connection_ids uuid[], p_scopes text[], p_reasons text[]) TO service_role;

--
-- Name: FUNCTION people_conditions(p_filter jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.people_conditions(p_filter jsonb) FROM PUBLIC;

--
-- Name: FUNCTION people_page(p_sort text, p_descending boolean, p_after text, p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.people_page(p_sort text, p_descending boolean, p_after text, p_limit integer) FROM PUBLIC;

--
-- Name: FUNCTION personal_rows(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.personal_rows() FROM PUBLIC;
GRANT ALL ON FUNCTION private.personal_rows() TO authenticated;
GRANT ALL ON FUNCTION private.personal_rows() TO service_role;

--
-- Name: FUNCTION plan_token_balance(p_workspace_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.plan_token_balance(p_workspace_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION post_tokens(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference_type text, p_reference_id text, p_granted bigint, p_released bigint, p_by_time boolean); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.post_tokens(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference_type text, p_reference_id text, p_granted bigint, p_released bigint, p_by_time boolean) FROM PUBLIC;

--
-- Name: FUNCTION push_bucket(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.push_bucket() FROM PUBLIC;

--
-- Name: FUNCTION push_due(p_bucket bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.push_due(p_bucket bigint) FROM PUBLIC;

--
-- Name: FUNCTION put_back_leads(p_outbox_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.put_back_leads(p_outbox_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.put_back_leads(p_outbox_ids uuid[]) TO service_role;

--
-- Name: FUNCTION queue_inserted_outbox(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.queue_inserted_outbox() FROM PUBLIC;

--
-- Name: FUNCTION queue_outbox(p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.queue_outbox(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.queue_outbox(p_ids uuid[]) TO service_role;

--
-- Name: FUNCTION queue_references(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.queue_references() FROM PUBLIC;

--
-- Name: FUNCTION queue_rules(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.queue_rules() FROM PUBLIC;

--
-- Name: FUNCTION queue_steps_problem(p_steps jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.queue_steps_problem(p_steps jsonb) FROM PUBLIC;

--
-- Name: FUNCTION queue_timezone(p_workspace_id uuid, p_user_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.queue_timezone(p_workspace_id uuid, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION private.queue_timezone(p_workspace_id uuid, p_user_id uuid) TO service_role;

--
-- Name: FUNCTION queue_whatsapp(p_thread_id uuid, p_payload jsonb, p_idempotency_key text, p_needs_window boolean, OUT outbox public.outbox_messages, OUT is_new boolean); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.queue_whatsapp(p_thread_id uuid, p_payload jsonb, p_idempotency_key text, p_needs_window boolean, OUT outbox public.outbox_messages, OUT is_new boolean) FROM PUBLIC;

--
-- Name: FUNCTION quiet_seconds(p_from time without time zone, p_until time without time zone, p_timezone text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.quiet_seconds(p_from time without time zone, p_until time without time zone, p_timezone text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.quiet_seconds(p_from time without time zone, p_until time without time zone, p_timezone text) TO service_role;

--
-- Name: FUNCTION quoting(p_thread_id uuid, p_message_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.quoting(p_thread_id uuid, p_message_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION raise_error(p_status integer, p_code text, p_detail jsonb, p_hint text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.raise_error(p_status integer, p_code text, p_detail jsonb, p_hint text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.raise_error(p_status integer, p_code text, p_detail jsonb, p_hint text) TO authenticated;
GRANT ALL ON FUNCTION private.raise_error(p_status integer, p_code text, p_detail jsonb, p_hint text) TO service_role;

--
-- Name: FUNCTION record_lead_status(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.record_lead_status() FROM PUBLIC;

--
-- Name: FUNCTION record_lead_transitions(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.record_lead_transitions() FROM PUBLIC;

--
-- Name: FUNCTION record_message_transitions(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.record_message_transitions() FROM PUBLIC;

--
-- Name: FUNCTION record_run_transitions(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.record_run_transitions() FROM PUBLIC;

--
-- Name: FUNCTION refresh_whatsapp_messages(p_message_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refresh_whatsapp_messages(p_message_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.refresh_whatsapp_messages(p_message_ids uuid[]) TO service_role;

--
-- Name: FUNCTION refuse_amount(p_account public.workspace_token_balance, p_amount bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refuse_amount(p_account public.workspace_token_balance, p_amount bigint) FROM PUBLIC;

--
-- Name: FUNCTION refuse_candidate(p_constraint text, p_workspace_id uuid, p_fields jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refuse_candidate(p_constraint text, p_workspace_id uuid, p_fields jsonb) FROM PUBLIC;

--
-- Name: FUNCTION refuse_change(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refuse_change() FROM PUBLIC;

--
-- Name: FUNCTION refuse_contact(p_constraint text, p_workspace_id uuid, p_fields jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refuse_contact(p_constraint text, p_workspace_id uuid, p_fields jsonb) FROM PUBLIC;

--
-- Name: FUNCTION refuse_ledger_removal(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refuse_ledger_removal() FROM PUBLIC;

--
-- Name: FUNCTION refuse_reference(p_reference text, p_amount bigint, p_first_amount bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refuse_reference(p_reference text, p_amount bigint, p_first_amount bigint) FROM PUBLIC;

--
-- Name: FUNCTION refuse_removal(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.refuse_removal() FROM PUBLIC;

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
-- Name: FUNCTION require_chat_member(p_chat_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.require_chat_member(p_chat_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION require_chat_writer(p_chat_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.require_chat_writer(p_chat_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION require_message_parts(p_chat_id uuid, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.require_message_parts(p_chat_id uuid, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint) FROM PUBLIC;

--
-- Name: FUNCTION require_message_text(p_body text, p_has_attachments boolean); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.require_message_text(p_body text, p_has_attachments boolean) FROM PUBLIC;

--
-- Name: FUNCTION require_operator(p_roles text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.require_operator(p_roles text[]) FROM PUBLIC;

--
-- Name: TABLE user_queue_settings; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.user_queue_settings TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.user_queue_settings TO service_role;

--
-- Name: FUNCTION require_queue(p_workspace_id uuid, p_user_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.require_queue(p_workspace_id uuid, p_user_id uuid) FROM PUBLIC;

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
-- Name: FUNCTION return_outbox(p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.return_outbox(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.return_outbox(p_ids uuid[]) TO service_role;

--
-- Name: FUNCTION schedule_follow_up_pushes(p_user_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.schedule_follow_up_pushes(p_user_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION search_patterns(p_search text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.search_patterns(p_search text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.search_patterns(p_search text) TO authenticated;

--
-- Name: FUNCTION search_query(p_workspace_id uuid, p_text text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.search_query(p_workspace_id uuid, p_text text) FROM PUBLIC;

--
-- Name: FUNCTION search_vector(p_language text, p_text text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.search_vector(p_language text, p_text text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.search_vector(p_language text, p_text text) TO authenticated;
GRANT ALL ON FUNCTION private.search_vector(p_language text, p_text text) TO service_role;

--
-- Name: FUNCTION sendable_messages(p_settings public.user_queue_settings, p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.sendable_messages(p_settings public.user_queue_settings, p_ids uuid[]) FROM PUBLIC;

--
-- Name: FUNCTION sendable_template(p_workspace_id uuid, p_template_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.sendable_template(p_workspace_id uuid, p_template_id uuid) FROM PUBLIC;

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
-- Name: FUNCTION show_sent_outbox(p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.show_sent_outbox(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.show_sent_outbox(p_ids uuid[]) TO service_role;

--
-- Name: TABLE wa_messages; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_messages TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_messages TO service_role;

--
-- Name: FUNCTION show_whatsapp_reply(p_outbox public.outbox_messages, p_type text, p_body text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.show_whatsapp_reply(p_outbox public.outbox_messages, p_type text, p_body text) FROM PUBLIC;

--
-- Name: FUNCTION shrink_outbox_lease(p_token bigint, p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.shrink_outbox_lease(p_token bigint, p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.shrink_outbox_lease(p_token bigint, p_ids uuid[]) TO service_role;

--
-- Name: FUNCTION signup_state_hash(p_state text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.signup_state_hash(p_state text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.signup_state_hash(p_state text) TO service_role;

--
-- Name: FUNCTION spend_token_grants(p_workspace_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.spend_token_grants(p_workspace_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION stop_threads(p_thread_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.stop_threads(p_thread_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.stop_threads(p_thread_ids uuid[]) TO service_role;

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
-- Name: FUNCTION stray_key(p_value jsonb, p_allowed text[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.stray_key(p_value jsonb, p_allowed text[]) FROM PUBLIC;

--
-- Name: FUNCTION suggest_templates(p_connection public.wa_phone_numbers); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.suggest_templates(p_connection public.wa_phone_numbers) FROM PUBLIC;

--
-- Name: FUNCTION tell_chat(p_chat_id uuid, p_event text, p_payload jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.tell_chat(p_chat_id uuid, p_event text, p_payload jsonb) FROM PUBLIC;

--
-- Name: FUNCTION template_components(p_components jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.template_components(p_components jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION private.template_components(p_components jsonb) TO authenticated;
GRANT ALL ON FUNCTION private.template_components(p_components jsonb) TO service_role;

--
-- Name: FUNCTION template_parts(p_wanted jsonb, p_variables jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.template_parts(p_wanted jsonb, p_variables jsonb) FROM PUBLIC;

--
-- Name: FUNCTION template_payload(p_template public.wa_templates, p_variables jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.template_payload(p_template public.wa_templates, p_variables jsonb) FROM PUBLIC;

--
-- Name: FUNCTION template_places(p_text text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.template_places(p_text text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.template_places(p_text text) TO authenticated;
GRANT ALL ON FUNCTION private.template_places(p_text text) TO service_role;

--
-- Name: FUNCTION template_problems(p_wanted jsonb, p_variables jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.template_problems(p_wanted jsonb, p_variables jsonb) FROM PUBLIC;

--
-- Name: FUNCTION template_recipients(p_workspace_id uuid, p_template public.wa_templates, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.template_recipients(p_workspace_id uuid, p_template public.wa_templates, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) FROM PUBLIC;

--
-- Name: FUNCTION template_text(p_template public.wa_templates, p_variables jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.template_text(p_template public.wa_templates, p_variables jsonb) FROM PUBLIC;

--
-- Name: FUNCTION template_value(p_given jsonb, p_place text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.template_value(p_given jsonb, p_place text) FROM PUBLIC;

--
-- Name: FUNCTION template_variables(p_components jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.template_variables(p_components jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION private.template_variables(p_components jsonb) TO authenticated;
GRANT ALL ON FUNCTION private.template_variables(p_components jsonb) TO service_role;

--
-- Name: FUNCTION thread_alternatives(p_workspace_id uuid, p_filter jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.thread_alternatives(p_workspace_id uuid, p_filter jsonb) FROM PUBLIC;

--
-- Name: FUNCTION thread_chat(p_thread_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.thread_chat(p_thread_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION thread_conditions(p_workspace_id uuid, p_filter jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.thread_conditions(p_workspace_id uuid, p_filter jsonb) FROM PUBLIC;

--
-- Name: FUNCTION threads_found(p_columns text, p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_page text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.threads_found(p_columns text, p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_page text) FROM PUBLIC;

--
-- Name: TABLE wa_threads; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_threads TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_threads TO service_role;

--
-- Name: FUNCTION threads_shown(p_threads public.wa_threads[], p_sort text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.threads_shown(p_threads public.wa_threads[], p_sort text) FROM PUBLIC;

--
-- Name: FUNCTION time_cursor(p_at timestamp with time zone); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.time_cursor(p_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION private.time_cursor(p_at timestamp with time zone) TO authenticated;
GRANT ALL ON FUNCTION private.time_cursor(p_at timestamp with time zone) TO service_role;

--
-- Name: FUNCTION view_filter(p_workspace_id uuid, p_view_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.view_filter(p_workspace_id uuid, p_view_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION wa_status_rank(p_status text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wa_status_rank(p_status text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.wa_status_rank(p_status text) TO service_role;

--
-- Name: FUNCTION wake_outbox_workers(); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wake_outbox_workers() FROM PUBLIC;
GRANT ALL ON FUNCTION private.wake_outbox_workers() TO service_role;

--
-- Name: FUNCTION wanted_chat_pushes(p_ids uuid[], p_payloads jsonb[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wanted_chat_pushes(p_ids uuid[], p_payloads jsonb[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.wanted_chat_pushes(p_ids uuid[], p_payloads jsonb[]) TO service_role;

--
-- Name: FUNCTION wanted_follow_up_pushes(p_ids uuid[], p_payloads jsonb[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wanted_follow_up_pushes(p_ids uuid[], p_payloads jsonb[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.wanted_follow_up_pushes(p_ids uuid[], p_payloads jsonb[]) TO service_role;

--
-- Name: FUNCTION wanted_thread_pushes(p_ids uuid[], p_payloads jsonb[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wanted_thread_pushes(p_ids uuid[], p_payloads jsonb[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.wanted_thread_pushes(p_ids uuid[], p_payloads jsonb[]) TO service_role;

--
-- Name: FUNCTION whatsapp_error_scope(p_code integer); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.whatsapp_error_scope(p_code integer) FROM PUBLIC;
GRANT ALL ON FUNCTION private.whatsapp_error_scope(p_code integer) TO service_role;

--
-- Name: FUNCTION whatsapp_items(p_events jsonb, p_records private.whatsapp_record[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.whatsapp_items(p_events jsonb, p_records private.whatsapp_record[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.whatsapp_items(p_events jsonb, p_records private.whatsapp_record[]) TO service_role;

--
-- Name: FUNCTION whatsapp_leads(p_items private.whatsapp_item[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.whatsapp_leads(p_items private.whatsapp_item[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.whatsapp_leads(p_items private.whatsapp_item[]) TO service_role;

--
-- Name: FUNCTION whatsapp_number_forms(p_wa_id text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.whatsapp_number_forms(p_wa_id text) FROM PUBLIC;
GRANT ALL ON FUNCTION private.whatsapp_number_forms(p_wa_id text) TO service_role;

--
-- Name: FUNCTION whatsapp_recipient(p_contact_id uuid, p_connection public.wa_phone_numbers); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.whatsapp_recipient(p_contact_id uuid, p_connection public.wa_phone_numbers) FROM PUBLIC;

--
-- Name: FUNCTION whatsapp_target(p_message_id uuid); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.whatsapp_target(p_message_id uuid) FROM PUBLIC;

--
-- Name: FUNCTION withdraw_outbox(p_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.withdraw_outbox(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION private.withdraw_outbox(p_ids uuid[]) TO service_role;

--
-- Name: FUNCTION withdraw_threads(p_thread_ids uuid[]); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.withdraw_threads(p_thread_ids uuid[]) FROM PUBLIC;

--
-- Name: TABLE workspace_entitlements; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspace_entitlements TO authenticated;
GRANT SELECT ON TABLE public.workspace_entitlements TO service_role;

--
-- Name: FUNCTION write_entitlement(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone, p_reason text); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.write_entitlement(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone, p_reason text) FROM PUBLIC;

--
-- Name: FUNCTION wrong_content(p_kind text, p_content jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wrong_content(p_kind text, p_content jsonb) FROM PUBLIC;

--
-- Name: FUNCTION wrong_interactive(p_value jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wrong_interactive(p_value jsonb) FROM PUBLIC;

--
-- Name: FUNCTION wrong_media(p_kind text, p_media jsonb); Type: ACL; Schema: private; Owner: postgres
--

REVOKE ALL ON FUNCTION private.wrong_media(p_kind text, p_media jsonb) FROM PUBLIC;

--
-- Name: TABLE workspace_memberships; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspace_memberships TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.workspace_memberships TO service_role;

--
-- Name: FUNCTION accept_invitation(p_token text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.accept_invitation(p_token text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.accept_invitation(p_token text) TO authenticated;

--
-- Name: FUNCTION add_chat_members(p_chat_id uuid, p_user_ids uuid[]); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.add_chat_members(p_chat_id uuid, p_user_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.add_chat_members(p_chat_id uuid, p_user_ids uuid[]) TO authenticated;

--
-- Name: TABLE contact_notes; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.contact_notes TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contact_notes TO service_role;

--
-- Name: FUNCTION add_contact_note(p_contact_id uuid, p_body text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.add_contact_note(p_contact_id uuid, p_body text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.add_contact_note(p_contact_id uuid, p_body text) TO authenticated;
GRANT ALL ON FUNCTION public.add_contact_note(p_contact_id uuid, p_body text) TO service_role;

--
-- Name: TABLE owner_members; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.owner_members TO service_role;

--
-- Name: FUNCTION add_operator(p_email text, p_role text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.add_operator(p_email text, p_role text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.add_operator(p_email text, p_role text) TO authenticated;
GRANT ALL ON FUNCTION public.add_operator(p_email text, p_role text) TO service_role;

--
-- Name: FUNCTION add_thread_note(p_thread_id uuid, p_body text, p_client_generated_id text, p_mentions uuid[]); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.add_thread_note(p_thread_id uuid, p_body text, p_client_generated_id text, p_mentions uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.add_thread_note(p_thread_id uuid, p_body text, p_client_generated_id text, p_mentions uuid[]) TO authenticated;

--
-- Name: TABLE workspace_token_ledger; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspace_token_ledger TO authenticated;
GRANT SELECT ON TABLE public.workspace_token_ledger TO service_role;

--
-- Name: FUNCTION apply_workspace_token_delta(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.apply_workspace_token_delta(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.apply_workspace_token_delta(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference text) TO authenticated;
GRANT ALL ON FUNCTION public.apply_workspace_token_delta(p_workspace_id uuid, p_delta bigint, p_reason text, p_reference text) TO service_role;

--
-- Name: FUNCTION assign_leads(p_workspace_id uuid, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.assign_leads(p_workspace_id uuid, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.assign_leads(p_workspace_id uuid, p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.assign_leads(p_workspace_id uuid, p_limit integer) TO service_role;

--
-- Name: FUNCTION audit_queue(); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.audit_queue() FROM PUBLIC;
GRANT ALL ON FUNCTION public.audit_queue() TO service_role;

--
-- Name: FUNCTION cancel_outbox(p_ids uuid[], p_reason text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.cancel_outbox(p_ids uuid[], p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.cancel_outbox(p_ids uuid[], p_reason text) TO service_role;

--
-- Name: FUNCTION check_entitlement(p_workspace_id uuid, p_key text, p_amount bigint); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.check_entitlement(p_workspace_id uuid, p_key text, p_amount bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.check_entitlement(p_workspace_id uuid, p_key text, p_amount bigint) TO authenticated;
GRANT ALL ON FUNCTION public.check_entitlement(p_workspace_id uuid, p_key text, p_amount bigint) TO service_role;

--
-- Name: FUNCTION check_token_balances(); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.check_token_balances() FROM PUBLIC;
GRANT ALL ON FUNCTION public.check_token_balances() TO authenticated;
GRANT ALL ON FUNCTION public.check_token_balances() TO service_role;

--
-- Name: FUNCTION claim_outbox(p_limit integer, p_worker text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.claim_outbox(p_limit integer, p_worker text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.claim_outbox(p_limit integer, p_worker text) TO service_role;

--
-- Name: FUNCTION complete_follow_up(p_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.complete_follow_up(p_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.complete_follow_up(p_id uuid) TO authenticated;

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
-- Name: FUNCTION count_contacts(p_workspace_id uuid, p_search text, p_lead_statuses text[], p_tags text[], p_assigned_to uuid, p_my_status text, p_follow_up text, p_exact boolean); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.count_contacts(p_workspace_id uuid, p_search text, p_lead_statuses text[], p_tags text[], p_assigned_to uuid, p_my_status text, p_follow_up text, p_exact boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.count_contacts(p_workspace_id uuid, p_search text, p_lead_statuses text[], p_tags text[], p_assigned_to uuid, p_my_status text, p_follow_up text, p_exact boolean) TO authenticated;

--
-- Name: FUNCTION count_follow_ups(p_workspace_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.count_follow_ups(p_workspace_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.count_follow_ups(p_workspace_id uuid) TO authenticated;

--
-- Name: FUNCTION count_threads(p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_exact boolean); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.count_threads(p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_exact boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.count_threads(p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_exact boolean) TO authenticated;

--
-- Name: FUNCTION create_candidate(p_workspace_id uuid, p_fields jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.create_candidate(p_workspace_id uuid, p_fields jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.create_candidate(p_workspace_id uuid, p_fields jsonb) TO authenticated;
GRANT ALL ON FUNCTION public.create_candidate(p_workspace_id uuid, p_fields jsonb) TO service_role;

--
-- Name: FUNCTION create_chat(p_workspace_id uuid, p_kind text, p_title text, p_member_ids uuid[]); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.create_chat(p_workspace_id uuid, p_kind text, p_title text, p_member_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.create_chat(p_workspace_id uuid, p_kind text, p_title text, p_member_ids uuid[]) TO authenticated;

--
-- Name: FUNCTION create_contact(p_workspace_id uuid, p_fields jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.create_contact(p_workspace_id uuid, p_fields jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.create_contact(p_workspace_id uuid, p_fields jsonb) TO authenticated;
GRANT ALL ON FUNCTION public.create_contact(p_workspace_id uuid, p_fields jsonb) TO service_role;

--
-- Name: TABLE leads; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.leads TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.leads TO service_role;

--
-- Name: FUNCTION create_leads(p_workspace_id uuid, p_contact_ids uuid[], p_fields jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.create_leads(p_workspace_id uuid, p_contact_ids uuid[], p_fields jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.create_leads(p_workspace_id uuid, p_contact_ids uuid[], p_fields jsonb) TO authenticated;
GRANT ALL ON FUNCTION public.create_leads(p_workspace_id uuid, p_contact_ids uuid[], p_fields jsonb) TO service_role;

--
-- Name: FUNCTION create_saved_view(p_workspace_id uuid, p_name text, p_filters jsonb, p_is_default boolean, p_is_shared boolean); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.create_saved_view(p_workspace_id uuid, p_name text, p_filters jsonb, p_is_default boolean, p_is_shared boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.create_saved_view(p_workspace_id uuid, p_name text, p_filters jsonb, p_is_default boolean, p_is_shared boolean) TO authenticated;

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
-- Name: FUNCTION delete_candidate(p_candidate_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.delete_candidate(p_candidate_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_candidate(p_candidate_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.delete_candidate(p_candidate_id uuid) TO service_role;

--
-- Name: FUNCTION delete_canned_response(p_response_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.delete_canned_response(p_response_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_canned_response(p_response_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.delete_canned_response(p_response_id uuid) TO service_role;

--
-- Name: FUNCTION delete_contact(p_contact_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.delete_contact(p_contact_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_contact(p_contact_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.delete_contact(p_contact_id uuid) TO service_role;

--
-- Name: FUNCTION delete_contact_note(p_note_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.delete_contact_note(p_note_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_contact_note(p_note_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.delete_contact_note(p_note_id uuid) TO service_role;

--
-- Name: FUNCTION delete_message(p_message_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.delete_message(p_message_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_message(p_message_id uuid) TO authenticated;

--
-- Name: FUNCTION delete_saved_view(p_view_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.delete_saved_view(p_view_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.delete_saved_view(p_view_id uuid) TO authenticated;

--
-- Name: FUNCTION disconnect_wa_phone_number(p_connection_id uuid, p_reason text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.disconnect_wa_phone_number(p_connection_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.disconnect_wa_phone_number(p_connection_id uuid, p_reason text) TO service_role;
GRANT ALL ON FUNCTION public.disconnect_wa_phone_number(p_connection_id uuid, p_reason text) TO authenticated;

--
-- Name: FUNCTION dismiss_contact_duplicate(p_contact_id uuid, p_duplicate_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.dismiss_contact_duplicate(p_contact_id uuid, p_duplicate_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.dismiss_contact_duplicate(p_contact_id uuid, p_duplicate_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.dismiss_contact_duplicate(p_contact_id uuid, p_duplicate_id uuid) TO service_role;

--
-- Name: FUNCTION edit_message(p_message_id uuid, p_body text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.edit_message(p_message_id uuid, p_body text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.edit_message(p_message_id uuid, p_body text) TO authenticated;

--
-- Name: FUNCTION enqueue_outbox(p_workspace_id uuid, p_channel text, p_recipients text[], p_payloads jsonb[], p_idempotency_keys text[], p_connection_id uuid, p_thread_ids uuid[], p_priority integer, p_scheduled_at timestamp with time zone, p_automated boolean, p_max_attempts integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.enqueue_outbox(p_workspace_id uuid, p_channel text, p_recipients text[], p_payloads jsonb[], p_idempotency_keys text[], p_connection_id uuid, p_thread_ids uuid[], p_priority integer, p_scheduled_at timestamp with time zone, p_automated boolean, p_max_attempts integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.enqueue_outbox(p_workspace_id uuid, p_channel text, p_recipients text[], p_payloads jsonb[], p_idempotency_keys text[], p_connection_id uuid, p_thread_ids uuid[], p_priority integer, p_scheduled_at timestamp with time zone, p_automated boolean, p_max_attempts integer) TO service_role;

--
-- Name: FUNCTION export_queue(p_workspace_id uuid, p_from date, p_until date, p_user_id uuid, p_after text, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.export_queue(p_workspace_id uuid, p_from date, p_until date, p_user_id uuid, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.export_queue(p_workspace_id uuid, p_from date, p_until date, p_user_id uuid, p_after text, p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.export_queue(p_workspace_id uuid, p_from date, p_until date, p_user_id uuid, p_after text, p_limit integer) TO service_role;

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
-- Name: FUNCTION find_outbox_message(p_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.find_outbox_message(p_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_outbox_message(p_id uuid) TO service_role;

--
-- Name: FUNCTION find_workspace(p_ref text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.find_workspace(p_ref text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.find_workspace(p_ref text) TO authenticated;
GRANT ALL ON FUNCTION public.find_workspace(p_ref text) TO service_role;

--
-- Name: FUNCTION get_account_tokens(p_workspace_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_account_tokens(p_workspace_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_account_tokens(p_workspace_id uuid) TO service_role;

--
-- Name: FUNCTION get_badge(); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_badge() FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_badge() TO authenticated;

--
-- Name: FUNCTION get_call_logs(p_contact_ids uuid[], p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_call_logs(p_contact_ids uuid[], p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_call_logs(p_contact_ids uuid[], p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.get_call_logs(p_contact_ids uuid[], p_limit integer) TO service_role;

--
-- Name: FUNCTION get_candidate(p_candidate_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_candidate(p_candidate_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_candidate(p_candidate_id uuid) TO authenticated;

--
-- Name: FUNCTION get_chat_changes(p_chat_id uuid, p_after_rev bigint, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_chat_changes(p_chat_id uuid, p_after_rev bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_chat_changes(p_chat_id uuid, p_after_rev bigint, p_limit integer) TO authenticated;

--
-- Name: FUNCTION get_chat_messages(p_chat_id uuid, p_before_seq bigint, p_after_seq bigint, p_around_seq bigint, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_chat_messages(p_chat_id uuid, p_before_seq bigint, p_after_seq bigint, p_around_seq bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_chat_messages(p_chat_id uuid, p_before_seq bigint, p_after_seq bigint, p_around_seq bigint, p_limit integer) TO authenticated;

--
-- Name: FUNCTION get_connection_token(p_connection_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_connection_token(p_connection_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_connection_token(p_connection_id uuid) TO service_role;

--
-- Name: FUNCTION get_contact(p_contact_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_contact(p_contact_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_contact(p_contact_id uuid) TO authenticated;

--
-- Name: FUNCTION get_inbox_counts(p_workspace_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_inbox_counts(p_workspace_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_inbox_counts(p_workspace_id uuid) TO authenticated;

--
-- Name: FUNCTION get_latest_seq(p_chat_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_latest_seq(p_chat_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_latest_seq(p_chat_id uuid) TO authenticated;

--
-- Name: FUNCTION get_outbox_stats(p_workspace_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_outbox_stats(p_workspace_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_outbox_stats(p_workspace_id uuid) TO service_role;

--
-- Name: FUNCTION get_outbox_wait(); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_outbox_wait() FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_outbox_wait() TO service_role;

--
-- Name: FUNCTION get_queue_status(p_workspace_id uuid, p_day date); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_queue_status(p_workspace_id uuid, p_day date) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_queue_status(p_workspace_id uuid, p_day date) TO authenticated;
GRANT ALL ON FUNCTION public.get_queue_status(p_workspace_id uuid, p_day date) TO service_role;

--
-- Name: FUNCTION get_thread(p_thread_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_thread(p_thread_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_thread(p_thread_id uuid) TO authenticated;

--
-- Name: FUNCTION get_unread_count(p_chat_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_unread_count(p_chat_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_unread_count(p_chat_id uuid) TO authenticated;

--
-- Name: FUNCTION get_unread_counts(p_workspace_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_unread_counts(p_workspace_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_unread_counts(p_workspace_id uuid) TO authenticated;

--
-- Name: FUNCTION get_workspace_overview(p_workspace_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.get_workspace_overview(p_workspace_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.get_workspace_overview(p_workspace_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.get_workspace_overview(p_workspace_id uuid) TO service_role;

--
-- Name: TABLE workspace_token_grants; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspace_token_grants TO authenticated;
GRANT SELECT ON TABLE public.workspace_token_grants TO service_role;

--
-- Name: FUNCTION grant_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_expires_at timestamp with time zone, p_priority integer, p_effective_at timestamp with time zone); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.grant_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_expires_at timestamp with time zone, p_priority integer, p_effective_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.grant_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_expires_at timestamp with time zone, p_priority integer, p_effective_at timestamp with time zone) TO authenticated;
GRANT ALL ON FUNCTION public.grant_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_expires_at timestamp with time zone, p_priority integer, p_effective_at timestamp with time zone) TO service_role;

--
-- Name: FUNCTION import_candidates(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.import_candidates(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.import_candidates(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean) TO authenticated;
GRANT ALL ON FUNCTION public.import_candidates(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean) TO service_role;

--
-- Name: FUNCTION import_contacts(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.import_contacts(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.import_contacts(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean) TO authenticated;
GRANT ALL ON FUNCTION public.import_contacts(p_workspace_id uuid, p_rows jsonb, p_dry_run boolean, p_update boolean) TO service_role;

--
-- Name: FUNCTION ingest_whatsapp_events(p_events jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.ingest_whatsapp_events(p_events jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.ingest_whatsapp_events(p_events jsonb) TO service_role;

--
-- Name: FUNCTION invite_member(p_workspace_id uuid, p_email text, p_role text, p_expires_in_seconds integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.invite_member(p_workspace_id uuid, p_email text, p_role text, p_expires_in_seconds integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.invite_member(p_workspace_id uuid, p_email text, p_role text, p_expires_in_seconds integer) TO authenticated;
GRANT ALL ON FUNCTION public.invite_member(p_workspace_id uuid, p_email text, p_role text, p_expires_in_seconds integer) TO service_role;

--
-- Name: FUNCTION join_chat(p_chat_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.join_chat(p_chat_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.join_chat(p_chat_id uuid) TO authenticated;

--
-- Name: FUNCTION keep_inbox(p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.keep_inbox(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.keep_inbox(p_limit integer) TO service_role;

--
-- Name: FUNCTION leave_chat(p_chat_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.leave_chat(p_chat_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.leave_chat(p_chat_id uuid) TO authenticated;

--
-- Name: FUNCTION list_candidates(p_workspace_id uuid, p_search text, p_status_tags text[], p_tags text[], p_my_status text, p_follow_up text, p_sort text, p_descending boolean, p_after text, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_candidates(p_workspace_id uuid, p_search text, p_status_tags text[], p_tags text[], p_my_status text, p_follow_up text, p_sort text, p_descending boolean, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_candidates(p_workspace_id uuid, p_search text, p_status_tags text[], p_tags text[], p_my_status text, p_follow_up text, p_sort text, p_descending boolean, p_after text, p_limit integer) TO authenticated;

--
-- Name: FUNCTION list_chats(p_workspace_id uuid, p_limit integer, p_before timestamp with time zone, p_before_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_chats(p_workspace_id uuid, p_limit integer, p_before timestamp with time zone, p_before_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_chats(p_workspace_id uuid, p_limit integer, p_before timestamp with time zone, p_before_id uuid) TO authenticated;

--
-- Name: FUNCTION list_contact_duplicates(p_workspace_id uuid, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_contact_duplicates(p_workspace_id uuid, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_contact_duplicates(p_workspace_id uuid, p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.list_contact_duplicates(p_workspace_id uuid, p_limit integer) TO service_role;

--
-- Name: FUNCTION list_contact_timeline(p_contact_id uuid, p_after text, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_contact_timeline(p_contact_id uuid, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_contact_timeline(p_contact_id uuid, p_after text, p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.list_contact_timeline(p_contact_id uuid, p_after text, p_limit integer) TO service_role;

--
-- Name: FUNCTION list_contacts(p_workspace_id uuid, p_search text, p_lead_statuses text[], p_tags text[], p_assigned_to uuid, p_my_status text, p_follow_up text, p_sort text, p_descending boolean, p_after text, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_contacts(p_workspace_id uuid, p_search text, p_lead_statuses text[], p_tags text[], p_assigned_to uuid, p_my_status text, p_follow_up text, p_sort text, p_descending boolean, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_contacts(p_workspace_id uuid, p_search text, p_lead_statuses text[], p_tags text[], p_assigned_to uuid, p_my_status text, p_follow_up text, p_sort text, p_descending boolean, p_after text, p_limit integer) TO authenticated;

--
-- Name: FUNCTION list_follow_ups(p_workspace_id uuid, p_due text, p_after text, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_follow_ups(p_workspace_id uuid, p_due text, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_follow_ups(p_workspace_id uuid, p_due text, p_after text, p_limit integer) TO authenticated;

--
-- Name: FUNCTION list_members(p_workspace_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_members(p_workspace_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_members(p_workspace_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.list_members(p_workspace_id uuid) TO service_role;

--
-- Name: FUNCTION list_operators(); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_operators() FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_operators() TO authenticated;
GRANT ALL ON FUNCTION public.list_operators() TO service_role;

--
-- Name: FUNCTION list_outbox(p_status text, p_workspace_id uuid, p_connection_id uuid, p_limit integer, p_before timestamp with time zone); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_outbox(p_status text, p_workspace_id uuid, p_connection_id uuid, p_limit integer, p_before timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_outbox(p_status text, p_workspace_id uuid, p_connection_id uuid, p_limit integer, p_before timestamp with time zone) TO service_role;

--
-- Name: FUNCTION list_saved_views(p_workspace_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_saved_views(p_workspace_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_saved_views(p_workspace_id uuid) TO authenticated;

--
-- Name: FUNCTION list_templates(p_workspace_id uuid, p_status text, p_search text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_templates(p_workspace_id uuid, p_status text, p_search text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_templates(p_workspace_id uuid, p_status text, p_search text) TO authenticated;
GRANT ALL ON FUNCTION public.list_templates(p_workspace_id uuid, p_status text, p_search text) TO service_role;

--
-- Name: FUNCTION list_threads(p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_sort text, p_after text, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_threads(p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_sort text, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_threads(p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_sort text, p_after text, p_limit integer) TO authenticated;

--
-- Name: FUNCTION list_workspaces(p_search text, p_status text, p_after_slug text, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.list_workspaces(p_search text, p_status text, p_after_slug text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.list_workspaces(p_search text, p_status text, p_after_slug text, p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.list_workspaces(p_search text, p_status text, p_after_slug text, p_limit integer) TO service_role;

--
-- Name: TABLE contact_call_logs; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.contact_call_logs TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contact_call_logs TO service_role;

--
-- Name: FUNCTION log_call(p_contact_id uuid, p_outcome text, p_duration_seconds integer, p_note text, p_called_at timestamp with time zone); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.log_call(p_contact_id uuid, p_outcome text, p_duration_seconds integer, p_note text, p_called_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.log_call(p_contact_id uuid, p_outcome text, p_duration_seconds integer, p_note text, p_called_at timestamp with time zone) TO authenticated;
GRANT ALL ON FUNCTION public.log_call(p_contact_id uuid, p_outcome text, p_duration_seconds integer, p_note text, p_called_at timestamp with time zone) TO service_role;

--
-- Name: FUNCTION maintain_outbox(p_archive_after interval); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.maintain_outbox(p_archive_after interval) FROM PUBLIC;
GRANT ALL ON FUNCTION public.maintain_outbox(p_archive_after interval) TO service_role;

--
-- Name: FUNCTION mark_messages_as_delivered(p_chat_id uuid, p_up_to_seq bigint); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.mark_messages_as_delivered(p_chat_id uuid, p_up_to_seq bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.mark_messages_as_delivered(p_chat_id uuid, p_up_to_seq bigint) TO authenticated;

--
-- Name: FUNCTION mark_messages_as_read(p_chat_id uuid, p_up_to_seq bigint); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.mark_messages_as_read(p_chat_id uuid, p_up_to_seq bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.mark_messages_as_read(p_chat_id uuid, p_up_to_seq bigint) TO authenticated;

--
-- Name: FUNCTION mark_thread_read(p_thread_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.mark_thread_read(p_thread_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.mark_thread_read(p_thread_id uuid) TO authenticated;

--
-- Name: FUNCTION mark_thread_unread(p_thread_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.mark_thread_unread(p_thread_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.mark_thread_unread(p_thread_id uuid) TO authenticated;

--
-- Name: FUNCTION merge_contacts(p_contact_id uuid, p_duplicate_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.merge_contacts(p_contact_id uuid, p_duplicate_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.merge_contacts(p_contact_id uuid, p_duplicate_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.merge_contacts(p_contact_id uuid, p_duplicate_id uuid) TO service_role;

--
-- Name: FUNCTION mute_chat(p_chat_id uuid, p_until timestamp with time zone); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.mute_chat(p_chat_id uuid, p_until timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.mute_chat(p_chat_id uuid, p_until timestamp with time zone) TO authenticated;

--
-- Name: FUNCTION open_thread(p_contact_id uuid, p_connection_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.open_thread(p_contact_id uuid, p_connection_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.open_thread(p_contact_id uuid, p_connection_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.open_thread(p_contact_id uuid, p_connection_id uuid) TO service_role;

--
-- Name: FUNCTION open_thread_chat(p_thread_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.open_thread_chat(p_thread_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.open_thread_chat(p_thread_id uuid) TO authenticated;

--
-- Name: FUNCTION pause_connection(p_connection_id uuid, p_reason text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.pause_connection(p_connection_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.pause_connection(p_connection_id uuid, p_reason text) TO service_role;

--
-- Name: FUNCTION prepare_media_upload(p_thread_id uuid, p_mime_type text, p_bytes bigint); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.prepare_media_upload(p_thread_id uuid, p_mime_type text, p_bytes bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prepare_media_upload(p_thread_id uuid, p_mime_type text, p_bytes bigint) TO authenticated;
GRANT ALL ON FUNCTION public.prepare_media_upload(p_thread_id uuid, p_mime_type text, p_bytes bigint) TO service_role;

--
-- Name: FUNCTION prepare_pushes(p_ids uuid[]); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.prepare_pushes(p_ids uuid[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prepare_pushes(p_ids uuid[]) TO service_role;

--
-- Name: FUNCTION prepare_queue(p_workspace_id uuid, p_day date, p_limit integer, p_user_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.prepare_queue(p_workspace_id uuid, p_day date, p_limit integer, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.prepare_queue(p_workspace_id uuid, p_day date, p_limit integer, p_user_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.prepare_queue(p_workspace_id uuid, p_day date, p_limit integer, p_user_id uuid) TO service_role;

--
-- Name: FUNCTION preview_template_send(p_workspace_id uuid, p_template_id uuid, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.preview_template_send(p_workspace_id uuid, p_template_id uuid, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.preview_template_send(p_workspace_id uuid, p_template_id uuid, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.preview_template_send(p_workspace_id uuid, p_template_id uuid, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) TO service_role;

--
-- Name: FUNCTION purge_outbox(p_status text, p_older_than interval, p_workspace_id uuid, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.purge_outbox(p_status text, p_older_than interval, p_workspace_id uuid, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.purge_outbox(p_status text, p_older_than interval, p_workspace_id uuid, p_limit integer) TO service_role;

--
-- Name: FUNCTION react_to_whatsapp_message(p_message_id uuid, p_emoji text, p_idempotency_key text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.react_to_whatsapp_message(p_message_id uuid, p_emoji text, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.react_to_whatsapp_message(p_message_id uuid, p_emoji text, p_idempotency_key text) TO authenticated;
GRANT ALL ON FUNCTION public.react_to_whatsapp_message(p_message_id uuid, p_emoji text, p_idempotency_key text) TO service_role;

--
-- Name: FUNCTION record_push_results(p_results jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.record_push_results(p_results jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.record_push_results(p_results jsonb) TO service_role;

--
-- Name: FUNCTION release_lead(p_lead_id uuid, p_reason text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.release_lead(p_lead_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.release_lead(p_lead_id uuid, p_reason text) TO authenticated;

--
-- Name: FUNCTION release_lost_claims(p_worker text, p_held_tokens bigint[]); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.release_lost_claims(p_worker text, p_held_tokens bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.release_lost_claims(p_worker text, p_held_tokens bigint[]) TO service_role;

--
-- Name: FUNCTION release_token_reservation(p_reservation_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.release_token_reservation(p_reservation_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.release_token_reservation(p_reservation_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.release_token_reservation(p_reservation_id uuid) TO service_role;

--
-- Name: FUNCTION remove_chat_member(p_chat_id uuid, p_user_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.remove_chat_member(p_chat_id uuid, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.remove_chat_member(p_chat_id uuid, p_user_id uuid) TO authenticated;

--
-- Name: FUNCTION remove_member(p_workspace_id uuid, p_user_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.remove_member(p_workspace_id uuid, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.remove_member(p_workspace_id uuid, p_user_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.remove_member(p_workspace_id uuid, p_user_id uuid) TO service_role;

--
-- Name: FUNCTION remove_operator(p_email text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.remove_operator(p_email text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.remove_operator(p_email text) TO authenticated;
GRANT ALL ON FUNCTION public.remove_operator(p_email text) TO service_role;

--
-- Name: FUNCTION remove_push_subscription(p_endpoint text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.remove_push_subscription(p_endpoint text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.remove_push_subscription(p_endpoint text) TO authenticated;

--
-- Name: FUNCTION render_canned_response(p_thread_id uuid, p_shortcut text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.render_canned_response(p_thread_id uuid, p_shortcut text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.render_canned_response(p_thread_id uuid, p_shortcut text) TO authenticated;
GRANT ALL ON FUNCTION public.render_canned_response(p_thread_id uuid, p_shortcut text) TO service_role;

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
-- Name: FUNCTION reschedule_follow_up(p_id uuid, p_at timestamp with time zone); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.reschedule_follow_up(p_id uuid, p_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.reschedule_follow_up(p_id uuid, p_at timestamp with time zone) TO authenticated;

--
-- Name: FUNCTION reserve_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_seconds integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.reserve_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_seconds integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.reserve_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_seconds integer) TO authenticated;
GRANT ALL ON FUNCTION public.reserve_workspace_tokens(p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text, p_seconds integer) TO service_role;

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
-- Name: FUNCTION resume_connection(p_connection_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.resume_connection(p_connection_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.resume_connection(p_connection_id uuid) TO service_role;

--
-- Name: FUNCTION retry_outbox(p_ids uuid[], p_spread_seconds integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.retry_outbox(p_ids uuid[], p_spread_seconds integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.retry_outbox(p_ids uuid[], p_spread_seconds integer) TO service_role;

--
-- Name: FUNCTION revoke_invitation(p_invitation_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.revoke_invitation(p_invitation_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.revoke_invitation(p_invitation_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.revoke_invitation(p_invitation_id uuid) TO service_role;

--
-- Name: TABLE canned_responses; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.canned_responses TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.canned_responses TO service_role;

--
-- Name: FUNCTION save_canned_response(p_workspace_id uuid, p_shortcut text, p_body text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.save_canned_response(p_workspace_id uuid, p_shortcut text, p_body text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.save_canned_response(p_workspace_id uuid, p_shortcut text, p_body text) TO authenticated;
GRANT ALL ON FUNCTION public.save_canned_response(p_workspace_id uuid, p_shortcut text, p_body text) TO service_role;

--
-- Name: TABLE push_subscriptions; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,DELETE ON TABLE public.push_subscriptions TO authenticated;
GRANT SELECT,DELETE,UPDATE ON TABLE public.push_subscriptions TO service_role;

--
-- Name: FUNCTION save_push_subscription(p_endpoint text, p_p256dh text, p_auth text, p_user_agent text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.save_push_subscription(p_endpoint text, p_p256dh text, p_auth text, p_user_agent text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.save_push_subscription(p_endpoint text, p_p256dh text, p_auth text, p_user_agent text) TO authenticated;

--
-- Name: FUNCTION seal_audit_log(p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.seal_audit_log(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.seal_audit_log(p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.seal_audit_log(p_limit integer) TO service_role;

--
-- Name: TABLE owner_audit_log; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.owner_audit_log TO service_role;

--
-- Name: FUNCTION search_audit_log(p_workspace_id uuid, p_action text, p_actor text, p_since timestamp with time zone, p_until timestamp with time zone, p_search text, p_before_id bigint, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.search_audit_log(p_workspace_id uuid, p_action text, p_actor text, p_since timestamp with time zone, p_until timestamp with time zone, p_search text, p_before_id bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.search_audit_log(p_workspace_id uuid, p_action text, p_actor text, p_since timestamp with time zone, p_until timestamp with time zone, p_search text, p_before_id bigint, p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.search_audit_log(p_workspace_id uuid, p_action text, p_actor text, p_since timestamp with time zone, p_until timestamp with time zone, p_search text, p_before_id bigint, p_limit integer) TO service_role;

--
-- Name: FUNCTION search_messages(p_workspace_id uuid, p_query text, p_thread_id uuid, p_after text, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.search_messages(p_workspace_id uuid, p_query text, p_thread_id uuid, p_after text, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.search_messages(p_workspace_id uuid, p_query text, p_thread_id uuid, p_after text, p_limit integer) TO authenticated;

--
-- Name: FUNCTION send_message(p_chat_id uuid, p_body text, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.send_message(p_chat_id uuid, p_body text, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.send_message(p_chat_id uuid, p_body text, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint) TO authenticated;

--
-- Name: FUNCTION send_messages(p_chat_id uuid, p_messages jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.send_messages(p_chat_id uuid, p_messages jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.send_messages(p_chat_id uuid, p_messages jsonb) TO authenticated;

--
-- Name: FUNCTION send_template_to_threads(p_workspace_id uuid, p_template_id uuid, p_idempotency_key text, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.send_template_to_threads(p_workspace_id uuid, p_template_id uuid, p_idempotency_key text, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.send_template_to_threads(p_workspace_id uuid, p_template_id uuid, p_idempotency_key text, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.send_template_to_threads(p_workspace_id uuid, p_template_id uuid, p_idempotency_key text, p_filter jsonb, p_view_id uuid, p_variables jsonb, p_limit integer) TO service_role;

--
-- Name: FUNCTION send_whatsapp_content(p_thread_id uuid, p_kind text, p_content jsonb, p_idempotency_key text, p_quoted_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.send_whatsapp_content(p_thread_id uuid, p_kind text, p_content jsonb, p_idempotency_key text, p_quoted_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.send_whatsapp_content(p_thread_id uuid, p_kind text, p_content jsonb, p_idempotency_key text, p_quoted_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.send_whatsapp_content(p_thread_id uuid, p_kind text, p_content jsonb, p_idempotency_key text, p_quoted_id uuid) TO service_role;

--
-- Name: FUNCTION send_whatsapp_read_receipt(p_message_id uuid, p_typing boolean); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.send_whatsapp_read_receipt(p_message_id uuid, p_typing boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.send_whatsapp_read_receipt(p_message_id uuid, p_typing boolean) TO authenticated;
GRANT ALL ON FUNCTION public.send_whatsapp_read_receipt(p_message_id uuid, p_typing boolean) TO service_role;

--
-- Name: FUNCTION send_whatsapp_template(p_thread_id uuid, p_template_id uuid, p_variables jsonb, p_idempotency_key text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.send_whatsapp_template(p_thread_id uuid, p_template_id uuid, p_variables jsonb, p_idempotency_key text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.send_whatsapp_template(p_thread_id uuid, p_template_id uuid, p_variables jsonb, p_idempotency_key text) TO authenticated;
GRANT ALL ON FUNCTION public.send_whatsapp_template(p_thread_id uuid, p_template_id uuid, p_variables jsonb, p_idempotency_key text) TO service_role;

--
-- Name: FUNCTION send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text, p_quoted_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text, p_quoted_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text, p_quoted_id uuid) TO service_role;
GRANT ALL ON FUNCTION public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text, p_quoted_id uuid) TO authenticated;

--
-- Name: FUNCTION set_connection_language(p_connection_id uuid, p_language text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_connection_language(p_connection_id uuid, p_language text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_connection_language(p_connection_id uuid, p_language text) TO authenticated;
GRANT ALL ON FUNCTION public.set_connection_language(p_connection_id uuid, p_language text) TO service_role;

--
-- Name: TABLE user_contact_settings; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.user_contact_settings TO authenticated;

--
-- Name: COLUMN user_contact_settings.user_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(user_id) ON TABLE public.user_contact_settings TO authenticated;

--
-- Name: COLUMN user_contact_settings.contact_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(contact_id) ON TABLE public.user_contact_settings TO authenticated;

--
-- Name: COLUMN user_contact_settings.workspace_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(workspace_id) ON TABLE public.user_contact_settings TO authenticated;

--
-- Name: COLUMN user_contact_settings.status; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(status),UPDATE(status) ON TABLE public.user_contact_settings TO authenticated;

--
-- Name: COLUMN user_contact_settings.follow_up_at; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(follow_up_at),UPDATE(follow_up_at) ON TABLE public.user_contact_settings TO authenticated;

--
-- Name: COLUMN user_contact_settings.follow_up_note; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(follow_up_note),UPDATE(follow_up_note) ON TABLE public.user_contact_settings TO authenticated;

--
-- Name: FUNCTION set_contact_settings(p_contact_id uuid, p_patch jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_contact_settings(p_contact_id uuid, p_patch jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_contact_settings(p_contact_id uuid, p_patch jsonb) TO authenticated;

--
-- Name: FUNCTION set_inbox_settings(p_workspace_id uuid, p_patch jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_inbox_settings(p_workspace_id uuid, p_patch jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_inbox_settings(p_workspace_id uuid, p_patch jsonb) TO authenticated;
GRANT ALL ON FUNCTION public.set_inbox_settings(p_workspace_id uuid, p_patch jsonb) TO service_role;

--
-- Name: FUNCTION set_member_role(p_workspace_id uuid, p_user_id uuid, p_role text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_member_role(p_workspace_id uuid, p_user_id uuid, p_role text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_member_role(p_workspace_id uuid, p_user_id uuid, p_role text) TO authenticated;
GRANT ALL ON FUNCTION public.set_member_role(p_workspace_id uuid, p_user_id uuid, p_role text) TO service_role;

--
-- Name: TABLE notification_settings; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.notification_settings TO authenticated;
GRANT SELECT ON TABLE public.notification_settings TO service_role;

--
-- Name: COLUMN notification_settings.user_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(user_id) ON TABLE public.notification_settings TO authenticated;

--
-- Name: COLUMN notification_settings.notify_chats; Type: ACL; Schema: public; Owner: postgres
--

GRANT UPDATE(notify_chats) ON TABLE public.notification_settings TO authenticated;

--
-- Name: COLUMN notification_settings.notify_inbound; Type: ACL; Schema: public; Owner: postgres
--

GRANT UPDATE(notify_inbound) ON TABLE public.notification_settings TO authenticated;

--
-- Name: COLUMN notification_settings.notify_assignments; Type: ACL; Schema: public; Owner: postgres
--

GRANT UPDATE(notify_assignments) ON TABLE public.notification_settings TO authenticated;

--
-- Name: COLUMN notification_settings.notify_follow_ups; Type: ACL; Schema: public; Owner: postgres
--

GRANT UPDATE(notify_follow_ups) ON TABLE public.notification_settings TO authenticated;

--
-- Name: COLUMN notification_settings.quiet_from; Type: ACL; Schema: public; Owner: postgres
--

GRANT UPDATE(quiet_from) ON TABLE public.notification_settings TO authenticated;

--
-- Name: COLUMN notification_settings.quiet_until; Type: ACL; Schema: public; Owner: postgres
--

GRANT UPDATE(quiet_until) ON TABLE public.notification_settings TO authenticated;

--
-- Name: FUNCTION set_notification_settings(p_patch jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_notification_settings(p_patch jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_notification_settings(p_patch jsonb) TO authenticated;

--
-- Name: FUNCTION set_queue_settings(p_workspace_id uuid, p_patch jsonb, p_user_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_queue_settings(p_workspace_id uuid, p_patch jsonb, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_queue_settings(p_workspace_id uuid, p_patch jsonb, p_user_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.set_queue_settings(p_workspace_id uuid, p_patch jsonb, p_user_id uuid) TO service_role;

--
-- Name: TABLE user_tma_settings; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.user_tma_settings TO authenticated;

--
-- Name: COLUMN user_tma_settings.user_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(user_id) ON TABLE public.user_tma_settings TO authenticated;

--
-- Name: COLUMN user_tma_settings.tma_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(tma_id) ON TABLE public.user_tma_settings TO authenticated;

--
-- Name: COLUMN user_tma_settings.workspace_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(workspace_id) ON TABLE public.user_tma_settings TO authenticated;

--
-- Name: COLUMN user_tma_settings.status; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(status),UPDATE(status) ON TABLE public.user_tma_settings TO authenticated;

--
-- Name: COLUMN user_tma_settings.follow_up_at; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(follow_up_at),UPDATE(follow_up_at) ON TABLE public.user_tma_settings TO authenticated;

--
-- Name: COLUMN user_tma_settings.follow_up_note; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(follow_up_note),UPDATE(follow_up_note) ON TABLE public.user_tma_settings TO authenticated;

--
-- Name: FUNCTION set_tma_settings(p_candidate_id uuid, p_patch jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_tma_settings(p_candidate_id uuid, p_patch jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_tma_settings(p_candidate_id uuid, p_patch jsonb) TO authenticated;

--
-- Name: FUNCTION set_token_alerts(p_workspace_id uuid, p_levels bigint[]); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_token_alerts(p_workspace_id uuid, p_levels bigint[]) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_token_alerts(p_workspace_id uuid, p_levels bigint[]) TO authenticated;
GRANT ALL ON FUNCTION public.set_token_alerts(p_workspace_id uuid, p_levels bigint[]) TO service_role;

--
-- Name: FUNCTION set_typing(p_chat_id uuid, p_typing boolean); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_typing(p_chat_id uuid, p_typing boolean) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_typing(p_chat_id uuid, p_typing boolean) TO authenticated;

--
-- Name: FUNCTION set_workspace_entitlement(p_slug text, p_key text, p_enabled boolean, p_expires_at timestamp with time zone, p_reason text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_workspace_entitlement(p_slug text, p_key text, p_enabled boolean, p_expires_at timestamp with time zone, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_workspace_entitlement(p_slug text, p_key text, p_enabled boolean, p_expires_at timestamp with time zone, p_reason text) TO authenticated;
GRANT ALL ON FUNCTION public.set_workspace_entitlement(p_slug text, p_key text, p_enabled boolean, p_expires_at timestamp with time zone, p_reason text) TO service_role;

--
-- Name: FUNCTION set_workspace_entitlement_payload(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone, p_reason text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_workspace_entitlement_payload(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_workspace_entitlement_payload(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone, p_reason text) TO authenticated;
GRANT ALL ON FUNCTION public.set_workspace_entitlement_payload(p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamp with time zone, p_reason text) TO service_role;

--
-- Name: FUNCTION set_workspace_status(p_workspace_id uuid, p_status text, p_reason text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.set_workspace_status(p_workspace_id uuid, p_status text, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.set_workspace_status(p_workspace_id uuid, p_status text, p_reason text) TO authenticated;
GRANT ALL ON FUNCTION public.set_workspace_status(p_workspace_id uuid, p_status text, p_reason text) TO service_role;

--
-- Name: FUNCTION settle_due_tokens(p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.settle_due_tokens(p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.settle_due_tokens(p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.settle_due_tokens(p_limit integer) TO service_role;

--
-- Name: FUNCTION settle_token_reservation(p_reservation_id uuid, p_amount bigint); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.settle_token_reservation(p_reservation_id uuid, p_amount bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.settle_token_reservation(p_reservation_id uuid, p_amount bigint) TO authenticated;
GRANT ALL ON FUNCTION public.settle_token_reservation(p_reservation_id uuid, p_amount bigint) TO service_role;

--
-- Name: FUNCTION snooze_follow_up(p_id uuid, p_seconds integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.snooze_follow_up(p_id uuid, p_seconds integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.snooze_follow_up(p_id uuid, p_seconds integer) TO authenticated;

--
-- Name: FUNCTION start_automation(p_workspace_id uuid, p_batch integer, p_dry_run boolean, p_user_id uuid); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.start_automation(p_workspace_id uuid, p_batch integer, p_dry_run boolean, p_user_id uuid) FROM PUBLIC;
GRANT ALL ON FUNCTION public.start_automation(p_workspace_id uuid, p_batch integer, p_dry_run boolean, p_user_id uuid) TO authenticated;
GRANT ALL ON FUNCTION public.start_automation(p_workspace_id uuid, p_batch integer, p_dry_run boolean, p_user_id uuid) TO service_role;

--
-- Name: FUNCTION start_meta_signup(p_workspace_id uuid, p_redirect_uri text, OUT state text, OUT expires_at timestamp with time zone); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.start_meta_signup(p_workspace_id uuid, p_redirect_uri text, OUT state text, OUT expires_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.start_meta_signup(p_workspace_id uuid, p_redirect_uri text, OUT state text, OUT expires_at timestamp with time zone) TO authenticated;

--
-- Name: FUNCTION status(p_message public.chat_messages); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.status(p_message public.chat_messages) FROM PUBLIC;
GRANT ALL ON FUNCTION public.status(p_message public.chat_messages) TO authenticated;
GRANT ALL ON FUNCTION public.status(p_message public.chat_messages) TO service_role;

--
-- Name: FUNCTION sync_templates(p_workspace_id uuid, p_waba_id text, p_templates jsonb, p_asked_at timestamp with time zone); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.sync_templates(p_workspace_id uuid, p_waba_id text, p_templates jsonb, p_asked_at timestamp with time zone) FROM PUBLIC;
GRANT ALL ON FUNCTION public.sync_templates(p_workspace_id uuid, p_waba_id text, p_templates jsonb, p_asked_at timestamp with time zone) TO service_role;

--
-- Name: FUNCTION take_lead(p_lead_id uuid, p_reason text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.take_lead(p_lead_id uuid, p_reason text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.take_lead(p_lead_id uuid, p_reason text) TO authenticated;

--
-- Name: FUNCTION take_rate_limit_slot(p_key text, p_cap integer, p_window_seconds integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.take_rate_limit_slot(p_key text, p_cap integer, p_window_seconds integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.take_rate_limit_slot(p_key text, p_cap integer, p_window_seconds integer) TO service_role;

--
-- Name: FUNCTION update_candidate(p_candidate_id uuid, p_patch jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.update_candidate(p_candidate_id uuid, p_patch jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_candidate(p_candidate_id uuid, p_patch jsonb) TO authenticated;
GRANT ALL ON FUNCTION public.update_candidate(p_candidate_id uuid, p_patch jsonb) TO service_role;

--
-- Name: FUNCTION update_contact(p_contact_id uuid, p_patch jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.update_contact(p_contact_id uuid, p_patch jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_contact(p_contact_id uuid, p_patch jsonb) TO authenticated;
GRANT ALL ON FUNCTION public.update_contact(p_contact_id uuid, p_patch jsonb) TO service_role;

--
-- Name: FUNCTION update_contact_note(p_note_id uuid, p_body text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.update_contact_note(p_note_id uuid, p_body text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_contact_note(p_note_id uuid, p_body text) TO authenticated;
GRANT ALL ON FUNCTION public.update_contact_note(p_note_id uuid, p_body text) TO service_role;

--
-- Name: FUNCTION update_contact_status(p_contact_id uuid, p_lead_status text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.update_contact_status(p_contact_id uuid, p_lead_status text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_contact_status(p_contact_id uuid, p_lead_status text) TO authenticated;
GRANT ALL ON FUNCTION public.update_contact_status(p_contact_id uuid, p_lead_status text) TO service_role;

--
-- Name: FUNCTION update_lead(p_lead_id uuid, p_patch jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.update_lead(p_lead_id uuid, p_patch jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_lead(p_lead_id uuid, p_patch jsonb) TO authenticated;
GRANT ALL ON FUNCTION public.update_lead(p_lead_id uuid, p_patch jsonb) TO service_role;

--
-- Name: FUNCTION update_saved_view(p_view_id uuid, p_patch jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.update_saved_view(p_view_id uuid, p_patch jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_saved_view(p_view_id uuid, p_patch jsonb) TO authenticated;

--
-- Name: FUNCTION update_threads(p_thread_ids uuid[], p_patch jsonb); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.update_threads(p_thread_ids uuid[], p_patch jsonb) FROM PUBLIC;
GRANT ALL ON FUNCTION public.update_threads(p_thread_ids uuid[], p_patch jsonb) TO authenticated;
GRANT ALL ON FUNCTION public.update_threads(p_thread_ids uuid[], p_patch jsonb) TO service_role;

--
-- Name: FUNCTION use_entitlement(p_workspace_id uuid, p_key text, p_amount bigint); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.use_entitlement(p_workspace_id uuid, p_key text, p_amount bigint) FROM PUBLIC;
GRANT ALL ON FUNCTION public.use_entitlement(p_workspace_id uuid, p_key text, p_amount bigint) TO authenticated;
GRANT ALL ON FUNCTION public.use_entitlement(p_workspace_id uuid, p_key text, p_amount bigint) TO service_role;

--
-- Name: FUNCTION use_meta_signup_state(p_state text, p_user_id uuid, OUT workspace_id uuid, OUT redirect_uri text); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.use_meta_signup_state(p_state text, p_user_id uuid, OUT workspace_id uuid, OUT redirect_uri text) FROM PUBLIC;
GRANT ALL ON FUNCTION public.use_meta_signup_state(p_state text, p_user_id uuid, OUT workspace_id uuid, OUT redirect_uri text) TO service_role;

--
-- Name: FUNCTION verify_audit_log(p_after_number bigint, p_limit integer); Type: ACL; Schema: public; Owner: postgres
--

REVOKE ALL ON FUNCTION public.verify_audit_log(p_after_number bigint, p_limit integer) FROM PUBLIC;
GRANT ALL ON FUNCTION public.verify_audit_log(p_after_number bigint, p_limit integer) TO authenticated;
GRANT ALL ON FUNCTION public.verify_audit_log(p_after_number bigint, p_limit integer) TO service_role;

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
-- Name: TABLE migration_rejects; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.migration_rejects TO service_role;

--
-- Name: TABLE outbox_archive; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.outbox_archive TO service_role;

--
-- Name: TABLE outbox_lanes; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.outbox_lanes TO service_role;

--
-- Name: TABLE outbox_leases; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.outbox_leases TO service_role;

--
-- Name: TABLE outbox_lines; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.outbox_lines TO service_role;

--
-- Name: TABLE outbox_problems; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.outbox_problems TO service_role;

--
-- Name: TABLE outbox_ready; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.outbox_ready TO service_role;

--
-- Name: TABLE outbox_waiting; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.outbox_waiting TO service_role;

--
-- Name: TABLE push_allowed_origins; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT ON TABLE private.push_allowed_origins TO service_role;

--
-- Name: TABLE wa_thread_reads; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_thread_reads TO authenticated;

--
-- Name: TABLE wa_connection_secrets; Type: ACL; Schema: private; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE private.wa_connection_secrets TO service_role;

--
-- Name: TABLE clients; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.clients TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.clients TO service_role;

--
-- Name: COLUMN clients.workspace_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(workspace_id) ON TABLE public.clients TO authenticated;

--
-- Name: COLUMN clients.name; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(name) ON TABLE public.clients TO authenticated;

--
-- Name: TABLE contact_duplicates; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.contact_duplicates TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contact_duplicates TO service_role;

--
-- Name: TABLE contact_events; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.contact_events TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contact_events TO service_role;

--
-- Name: TABLE contact_identities; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.contact_identities TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.contact_identities TO service_role;

--
-- Name: TABLE conversations; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.conversations TO authenticated;
GRANT SELECT ON TABLE public.conversations TO service_role;

--
-- Name: TABLE inbox_assignees; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.inbox_assignees TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.inbox_assignees TO service_role;

--
-- Name: TABLE lead_processing_queue; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.lead_processing_queue TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.lead_processing_queue TO service_role;

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
-- Name: TABLE platform_admins; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.platform_admins TO service_role;

--
-- Name: TABLE projects; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.projects TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.projects TO service_role;

--
-- Name: COLUMN projects.workspace_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(workspace_id) ON TABLE public.projects TO authenticated;

--
-- Name: COLUMN projects.client_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(client_id) ON TABLE public.projects TO authenticated;

--
-- Name: COLUMN projects.name; Type: ACL; Schema: public; Owner: postgres
--

GRANT INSERT(name) ON TABLE public.projects TO authenticated;

--
-- Name: TABLE queue_ledger; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.queue_ledger TO authenticated;
GRANT SELECT ON TABLE public.queue_ledger TO service_role;

--
-- Name: TABLE queue_performance_metrics; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.queue_performance_metrics TO authenticated;
GRANT SELECT ON TABLE public.queue_performance_metrics TO service_role;

--
-- Name: TABLE rate_limit_counters; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.rate_limit_counters TO service_role;

--
-- Name: TABLE wa_message_changes; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_message_changes TO service_role;

--
-- Name: TABLE wa_message_statuses; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_message_statuses TO service_role;

--
-- Name: TABLE wa_thread_breaches; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.wa_thread_breaches TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.wa_thread_breaches TO service_role;

--
-- Name: TABLE whatsapp_message_queue; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.whatsapp_message_queue TO authenticated;
GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.whatsapp_message_queue TO service_role;

--
-- Name: TABLE workspace_entitlement_usage; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspace_entitlement_usage TO authenticated;
GRANT SELECT ON TABLE public.workspace_entitlement_usage TO service_role;

--
-- Name: TABLE workspace_invitations; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT,INSERT,DELETE,UPDATE ON TABLE public.workspace_invitations TO service_role;

--
-- Name: COLUMN workspace_invitations.id; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(id) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: COLUMN workspace_invitations.workspace_id; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(workspace_id) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: COLUMN workspace_invitations.email; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(email) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: COLUMN workspace_invitations.role; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(role) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: COLUMN workspace_invitations.invited_by; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(invited_by) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: COLUMN workspace_invitations.accepted_by; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(accepted_by) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: COLUMN workspace_invitations.expires_at; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(expires_at) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: COLUMN workspace_invitations.accepted_at; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(accepted_at) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: COLUMN workspace_invitations.revoked_at; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(revoked_at) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: COLUMN workspace_invitations.created_at; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT(created_at) ON TABLE public.workspace_invitations TO authenticated;

--
-- Name: TABLE workspace_token_alerts; Type: ACL; Schema: public; Owner: postgres
--

GRANT SELECT ON TABLE public.workspace_token_alerts TO authenticated;
GRANT SELECT ON TABLE public.workspace_token_alerts TO service_role;

--
-- PostgreSQL database dump complete
--
