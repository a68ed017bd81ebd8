-- Purpose:   what belongs to a contact: conversations and timeline, deleting with all of it, duplicates and merging.
-- Needs:     002_crm, 022_personal_followups_fix, 20250129000000_queue_fks_and_ledger, 20260122000000_wa_core,
--            20260128231758_m1_reliability, 20260131000000_wa_inbound.
-- Used by:   qero.services.contacts.
-- Raises:    PT404 contact_not_found, workspace_not_found · PT403 role_required · PT400 invalid_value.
-- Roll back: drop the functions, the view and the type below; no data is lost. Merges can't be undone.
--
-- Locks are taken in the order that receiving takes them in: people (advisory) · contacts · threads · outbox · messages.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Conversations
------------------------------------------------------------------------------------------------------------------------
create or replace view public.conversations with (security_invoker = true) as
select thread.id, thread.workspace_id, thread.contact_id, 'whatsapp'::text as channel, thread.connection_id,
  thread.status, thread.assignee_id, thread.tags, thread.unread_count, thread.last_message_body, thread.last_message_at,
  thread.last_inbound_at, thread.created_at
from public.wa_threads as thread
where thread.contact_id is not null;
comment on view public.conversations is 'Threads with one person, whatever their channel.';
revoke all on table public.conversations from public, anon, authenticated, service_role;
grant select on table public.conversations to authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Timeline
------------------------------------------------------------------------------------------------------------------------
do $$
begin
  if to_regtype('private.timeline_item') is null then
    create type private.timeline_item as (
      kind text, id text, occurred_at timestamptz, actor_id uuid, body text, detail jsonb, cursor text
    );
  end if;
end $$;

-- Of each kind a page is read by its index, whatever its depth. Nothing personal is in it.
create or replace function public.list_contact_timeline(
  p_contact_id uuid, p_after text default null, p_limit integer default 50
) returns setof private.timeline_item
-- Most conversations are short, and Postgres would read all of a long one into a bitmap, and sort it.
language plpgsql stable security invoker set search_path = '' set enable_bitmapscan = off as $$
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
      -- Read by the index in its order and never sorted, however few the planner expects: what happened at the same
      -- moment as the last comes along, and is put in the order of the ids, which is the order in which it came, below.
      order by message.occurred_at desc fetch first (p_limit) rows with ties
    ) as message
    where thread.workspace_id = v_workspace_id and thread.contact_id = p_contact_id
  ) as item
  order by item.occurred_at desc, item.id collate "C" desc
  limit p_limit;
end $$;
comment on function public.list_contact_timeline(uuid, text, integer) is
  'What happened with a contact, the latest first: messages, notes, calls, changes of status, merges and takeovers.';

------------------------------------------------------------------------------------------------------------------------
-- Deleting
------------------------------------------------------------------------------------------------------------------------
-- Takes queued messages of threads out of the queue; what a worker has in hand leaves all the same.
create or replace function private.withdraw_threads(p_thread_ids uuid[]) returns uuid[]
language sql security invoker set search_path = '' as $$
  select private.withdraw_outbox(array(
    select outbox.id from public.outbox_messages as outbox
    where outbox.thread_id = any (p_thread_ids) and outbox.status = 'queued'
    order by outbox.id for update))
$$;

-- Definer: members delete contacts only so. The identities go too, so whoever writes again becomes a new contact.
create or replace function public.delete_contact(p_contact_id uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
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
comment on function public.delete_contact(uuid) is
  'Deletes a contact with its notes, conversations, call logs, identities and everybody''s settings; says how many of each, of settings only the caller''s.';

------------------------------------------------------------------------------------------------------------------------
-- Duplicates
------------------------------------------------------------------------------------------------------------------------
create or replace function private.are_two_people(p_workspace_id uuid, p_contact_id uuid, p_other_id uuid)
returns boolean
language plpgsql stable security invoker set search_path = '' as $$
begin
  return exists (
    select 1 from public.contact_duplicates as known
    where known.workspace_id = p_workspace_id and known.contact_id = least(p_contact_id, p_other_id)
      and known.duplicate_id = greatest(p_contact_id, p_other_id) and known.dismissed_at is not null);
end $$;

-- What was reported, who has the same name, and whose numbers are forms of one number. Definer, because row security would
-- have every contact read for the names.
create or replace function public.list_contact_duplicates(p_workspace_id uuid, p_limit integer default 50)
returns table (contact_id uuid, duplicate_id uuid, name text, duplicate_name text, reason text)
language plpgsql stable security definer set search_path = '' as $$
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
comment on function public.list_contact_duplicates(uuid, integer) is
  'Pairs of contacts that are likely one person, with the reason; nothing is merged by itself.';

-- Definer: members can't write what was reported.
create or replace function public.dismiss_contact_duplicate(p_contact_id uuid, p_duplicate_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
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
comment on function public.dismiss_contact_duplicate(uuid, uuid) is
  'Says that two contacts are two people: the pair is listed no more.';

------------------------------------------------------------------------------------------------------------------------
-- Merging
------------------------------------------------------------------------------------------------------------------------
-- Moves what stands in one thread to another of the same number, and removes the emptied one.
create or replace function private.merge_threads(p_from uuid, p_into uuid) returns void
language plpgsql security invoker set search_path = '' as $$
declare
  -- Of the two states and priorities, the one that asks more of the team.
  v_statuses constant text[] := array['open', 'pending', 'snoozed', 'closed'];
  v_priorities constant text[] := array['urgent', 'high', 'normal', 'low'];
  v_waiting uuid[] := private.withdraw_threads(array[p_from]);
begin
  update public.outbox_messages as outbox set thread_id = p_into where outbox.thread_id = p_from;
  -- They join the line of their new thread.
  perform private.queue_outbox(v_waiting) where v_waiting <> '{}';
  update public.wa_messages as message set thread_id = p_into where message.thread_id = p_from;
  update public.wa_threads as thread
  set status = v_statuses[least(array_position(v_statuses, thread.status), array_position(v_statuses, old.status))],
    snoozed_until = case when not array['open', 'pending'] && array[thread.status, old.status]
      then least(thread.snoozed_until, old.snoozed_until) end,
    priority = v_priorities[
      least(array_position(v_priorities, thread.priority), array_position(v_priorities, old.priority))],
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

-- Definer: it moves what members can't write, and everybody's own settings, of which the caller learns nothing.
create or replace function public.merge_contacts(p_contact_id uuid, p_duplicate_id uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
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
comment on function public.merge_contacts(uuid, uuid) is
  'Makes two contacts one: everything of the second moves to the first, what the first lacks is taken over, and the second stays only as a trace.';

revoke all on function
  public.list_contact_timeline(uuid, text, integer), private.withdraw_threads(uuid[]), public.delete_contact(uuid),
  private.are_two_people(uuid, uuid, uuid), public.list_contact_duplicates(uuid, integer),
  public.dismiss_contact_duplicate(uuid, uuid), private.merge_threads(uuid, uuid), public.merge_contacts(uuid, uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.list_contact_timeline(uuid, text, integer), public.delete_contact(uuid),
  public.list_contact_duplicates(uuid, integer), public.dismiss_contact_duplicate(uuid, uuid),
  public.merge_contacts(uuid, uuid)
  to authenticated, service_role;

notify pgrst, 'reload schema';
