-- Purpose:   WhatsApp in: each webhook item is recorded once and takes effect once, a whole batch in one call.
-- Needs:     20260122000000_wa_core, 20260128231758_m1_reliability; where an account event ends a connection,
--            20260201000000_meta_signup; where a reply ends automation, 20260215000000_lead_automation.
-- Used by:   qero.services.webhooks, events; connecting a number.
-- Raises:    PT400 invalid_value · PT409 connection_not_found.
-- Roll back: drop the functions and types below; no data is lost, and nothing is received until they are back.
--
-- The effect of a set of items doesn't depend on their order. Where two of them meet, a rule decides that gives the same
-- answer either way: the furthest status, the latest edit, the latest reaction of each person, content over placeholder.
--
-- Locks are always taken in this order, each kind sorted, so that webhooks that overlap can't wait for each other:
-- addresses (shared) · events · ids of messages (advisory) · people (advisory) · contacts · threads · outbox · messages.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Types
------------------------------------------------------------------------------------------------------------------------
-- Neither is stored anywhere: where an item of the call is recorded, and an item with all that is known about it.
do $$
begin
  if to_regtype('private.whatsapp_record') is null then
    create type private.whatsapp_record as (
      ordinal integer, event_id bigint, workspace_id uuid, connection_id uuid, waba_id text
    );
  end if;
  if to_regtype('private.whatsapp_item') is null then
    create type private.whatsapp_item as (
      ordinal integer, event_id bigint, workspace_id uuid, connection_id uuid, waba_id text,
      -- What it says.
      kind text, direction text, occurred_at timestamptz, wa_message_id text, target_id text, wa_id text, user_id text,
      new_wa_id text, new_user_id text, group_id text, profile_name text, type text, body text, content jsonb,
      context jsonb, is_placeholder boolean, status text, error_code integer, error_text text, outbox_id uuid, pricing jsonb,
      -- What it is about, as far as that is known here: the sender, the thread, and the message where it already is one.
      contact_id uuid, thread_id uuid, message_id uuid,
      -- Whether every identity of the sender is recorded, and a name if one is given.
      is_known boolean
    );
  end if;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Functions: people
------------------------------------------------------------------------------------------------------------------------
-- The forms in which WhatsApp may write one phone number: with and without Brazil's ninth digit, Mexico's 1 and
-- Argentina's 9. The given form comes first.
create or replace function private.whatsapp_number_forms(p_wa_id text) returns text[]
language sql immutable parallel safe set search_path = '' as $$
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
$$;

create or replace function private.report_duplicate_contacts(
  p_workspace_id uuid, p_contact_id uuid, p_other_id uuid, p_reason text
) returns void
language sql security invoker set search_path = '' as $$
  insert into public.contact_duplicates (workspace_id, contact_id, duplicate_id, reason)
  select p_workspace_id, least(p_contact_id, p_other_id), greatest(p_contact_id, p_other_id), p_reason
  where p_contact_id <> p_other_id
  on conflict on constraint contact_duplicates_pkey do nothing
$$;

-- Finds or makes the contact behind a sender, and records every identity the sender is known by. Old identities stay.
-- When they belong to several contacts, the WhatsApp id decides, the pair is reported and nothing is merged.
create or replace function private.ensure_whatsapp_contact(
  p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text, p_source text default 'whatsapp'
) returns uuid
language plpgsql security invoker set search_path = '' as $$
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
end $$;

-- Keeps two transactions from making one person twice, and from waiting for each other over people. What is said about
-- people, templates and connections is rare: it has its workspace's people to itself. Whoever makes new people shares
-- them, and locks every identity that isn't known yet, not every sender: the same person may come with a phone number here
-- and a business-scoped id there, and with either form of a number. 256 locks a workspace at most, so that a large batch
-- can't use up the server's lock table.
create or replace function private.lock_whatsapp_people(p_items private.whatsapp_item[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

------------------------------------------------------------------------------------------------------------------------
-- Functions: applying items
------------------------------------------------------------------------------------------------------------------------
-- Reads the recorded items of a call and finds what they are about. Look-ups by index only, so that the planner never has
-- to choose; and not in the language of SQL, whose plans aren't kept from one call to the next.
create or replace function private.whatsapp_items(p_events jsonb, p_records private.whatsapp_record[])
returns private.whatsapp_item[]
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_items private.whatsapp_item[];
begin
  select array_agg(row(
    record.ordinal, record.event_id, record.workspace_id, record.connection_id, record.waba_id,
    item.kind, item.direction, item.occurred_at, item.wa_message_id, item.target_id, item.wa_id, item.user_id,
    item.new_wa_id, item.new_user_id, item.group_id, item.profile_name, item.type, item.body, item.content,
    item.context, coalesce(item.is_placeholder, false), item.status, item.error_code, item.error_text,
    -- A send whose outcome isn't known here has something to learn from a status; so has each whose status is a failure.
    case when message.is_unsettled or item.status = 'failed' then item.outbox_id end, item.pricing,
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

-- Something about a message can be on its way here while the message itself is on its way in another transaction. Both
-- take the slot of the message's id, so that one of them sees the other: whoever stores a message shares the slot, and
-- whoever has to wait for one holds it alone.
create or replace function private.lock_whatsapp_message_ids(p_items private.whatsapp_item[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Makes the contacts, identities and threads that the items need and that aren't there yet. The people are locked.
create or replace function private.ensure_whatsapp_threads(p_events jsonb, p_records private.whatsapp_record[])
returns void
language plpgsql security invoker set search_path = '' as $$
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

-- How long a customer waited for the first answer, now that something written from the phone has come to light. It may be
-- older than the answer that was counted.
create or replace function private.first_response_seconds(
  p_thread_id uuid, p_connection_id uuid, p_workspace_id uuid, p_waiting_since timestamptz, p_counted integer
) returns integer
language plpgsql stable security invoker set search_path = '' as $$
begin
  return least(p_counted, (
    select extract(epoch from min(message.occurred_at) - p_waiting_since)::integer from public.wa_messages as message
    where message.thread_id = p_thread_id and message.connection_id = p_connection_id
      and message.workspace_id = p_workspace_id and message.direction = 'out' and message.source = 'phone'
      and message.occurred_at > p_waiting_since));
end $$;

-- Moves threads on: one element of each array per thread.
create or replace function private.move_whatsapp_threads(
  p_thread_ids uuid[], p_latest_at timestamptz[], p_bodies text[], p_first_inbound_at timestamptz[],
  p_inbound_at timestamptz[], p_answered_at timestamptz[], p_replied_at timestamptz[], p_unread_counts integer[]
) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Stores messages and moves their threads on. The threads are locked.
create or replace function private.store_whatsapp_messages(p_items private.whatsapp_item[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Messages that were there already: the content comes for a placeholder, what came with the history comes live, and cards
-- that a person shares at once come one by one under one id.
create or replace function private.complete_whatsapp_messages(p_items private.whatsapp_item[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Moves messages to their furthest status; what has no message yet waits for it. The outbox rows are locked.
create or replace function private.apply_whatsapp_statuses(p_items private.whatsapp_item[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Shows messages as all their reactions, edits and revocations together leave them. Threads and messages are locked.
create or replace function private.refresh_whatsapp_messages(p_message_ids uuid[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- A person's number or id has changed: the contact is known by the new one too, and by the old one for ever.
create or replace function private.apply_whatsapp_identity(p_item private.whatsapp_item) returns void
language plpgsql security invoker set search_path = '' as $$
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
end $$;

-- What Meta says about a business account or one of its numbers. An older event that comes later changes nothing.
create or replace function private.apply_whatsapp_account_event(p_item private.whatsapp_item) returns void
language plpgsql security invoker set search_path = '' as $$
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

create or replace function private.apply_whatsapp_template_event(p_item private.whatsapp_item) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Everything that is neither a message nor a change of one: rare, so one by one, in the order in which it happened.
create or replace function private.apply_other_whatsapp_items(p_items private.whatsapp_item[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Applies recorded items, set by set. A statement can fail for one item's sake: the caller then applies the items one by
-- one and sets the bad one aside.
create or replace function private.apply_whatsapp_events(p_events jsonb, p_records private.whatsapp_record[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Locks what waits in the outbox and is about to be settled by a status, or cancelled by a reply, all of it in one order;
-- numbers that a status shows to be throttled pause first, because a worker's report pauses before it settles. Answers
-- the threads in which something is to be cancelled. These threads are locked.
create or replace function private.lock_whatsapp_outbox(p_items private.whatsapp_item[], p_lead_ids uuid[])
returns uuid[]
language plpgsql security invoker set search_path = '' as $$
declare
  v_ids uuid[];
  v_failed boolean;
  v_automated uuid[];
  v_threads uuid[];
begin
  select coalesce(array_agg(item.outbox_id), '{}'), bool_or(item.status = 'failed' and item.error_code is not null)
  into v_ids, v_failed
  from unnest(p_items) as item where item.kind = 'status' and item.outbox_id is not null;
  select array_agg(outbox.id), array_agg(distinct outbox.thread_id) into v_automated, v_threads
  from public.outbox_messages as outbox
  where outbox.thread_id = any (array(
      select item.thread_id from unnest(p_items) as item where item.kind in ('message', 'echo', 'call')))
    and outbox.automated and outbox.status = 'queued';
  if p_lead_ids <> '{}' then
    v_ids := v_ids || private.lead_outbox(p_lead_ids);
  end if;
  if v_failed then
    perform private.pause_for_statuses(array_agg(item.outbox_id), array_agg(item.error_code),
      array_agg(item.error_text))
    from unnest(p_items) as item
    join public.wa_messages as message on message.id = item.message_id and message.outbox_id = item.outbox_id
    where item.kind = 'status' and item.status = 'failed' and item.error_code is not null;
  end if;
  if v_automated is not null or v_ids <> '{}' then
    perform private.lock_open_outbox(v_ids || v_automated);
  end if;
  return v_threads;
end $$;

-- With all threads of people whom automation has as leads: it is over in each of them.
create or replace function private.lock_whatsapp_threads(p_items private.whatsapp_item[], p_lead_ids uuid[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Leads of those who have just written or called, or were written to from the phone, that automation writes to.
create or replace function private.whatsapp_leads(p_items private.whatsapp_item[]) returns uuid[]
language plpgsql stable security invoker set search_path = '' as $$
begin
  return private.automated_leads(array(
    select item.contact_id from unnest(p_items) as item
    where item.kind in ('message', 'echo', 'call') and item.group_id is null and item.contact_id is not null));
end $$;

-- Applies items together or, where that fails, one by one; answers which could not be applied and why, by event id.
create or replace function private.apply_or_set_aside_whatsapp_events(
  p_events jsonb, p_records private.whatsapp_record[]
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
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

------------------------------------------------------------------------------------------------------------------------
-- Functions: receiving
------------------------------------------------------------------------------------------------------------------------
-- Keeps what is for nobody here; answers the ids it is kept under, in the order of the ordinals.
create or replace function private.keep_whatsapp_orphans(p_events jsonb, p_ordinals integer[]) returns bigint[]
language plpgsql security invoker set search_path = '' as $$
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

-- Answers with one value, not with rows: the API cuts rows off at its maximum. And with a list per field, not an object
-- per item: those take a fifth of the time that recording does.
create or replace function public.ingest_whatsapp_events(p_events jsonb) returns jsonb
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.ingest_whatsapp_events(jsonb) is
  'Records each webhook item once and applies it, a whole batch in one transaction; answers a list per field, an element per item: outcomes (recorded, deduped, orphan, set_aside), event_ids, reasons.';

-- What arrived for a number before it was known takes effect, in the order it arrived; so does what arrived for its
-- business account. Answers as receiving it does. The caller has locked both addresses.
create or replace function private.replay_whatsapp_orphans(p_phone_number_id text, p_waba_id text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
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

-- Applies recorded events again, as a newer reading of them says: those that were set aside, and those that had no
-- effect. Each takes effect on its own; one that fails stays set aside with its new reason.
create or replace function public.replay_whatsapp_events(p_events jsonb) returns jsonb
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.replay_whatsapp_events(jsonb) is
  'Applies recorded webhook events again as they are read now; answers per event: applied, kept, or set_aside with a reason.';

create or replace function public.replay_orphan_events(p_phone_number_id text) returns jsonb
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.replay_orphan_events(text) is
  'Applies what waits for a number that is connected by now, or for a business account as waba:<id>; answers how many items had which outcome.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: looking back
------------------------------------------------------------------------------------------------------------------------
-- Planned anew with each call: how much "since" is decides whether the index or the whole table is read.
create or replace function public.webhook_event_stats(
  p_workspace_id uuid default null, p_since timestamptz default null
) returns jsonb
language plpgsql stable security invoker set search_path = '' set plan_cache_mode = 'force_custom_plan' as $$
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
comment on function public.webhook_event_stats(uuid, timestamptz) is
  'How many webhook events came, by day, kind and status, how many are set aside, and for which numbers orphans wait.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.whatsapp_number_forms(text),
  private.report_duplicate_contacts(uuid, uuid, uuid, text),
  private.ensure_whatsapp_contact(uuid, text, text, text, text, text),
  private.lock_whatsapp_people(private.whatsapp_item[]),
  private.whatsapp_items(jsonb, private.whatsapp_record[]),
  private.lock_whatsapp_message_ids(private.whatsapp_item[]),
  private.ensure_whatsapp_threads(jsonb, private.whatsapp_record[]), private.store_whatsapp_messages(private.whatsapp_item[]),
  private.complete_whatsapp_messages(private.whatsapp_item[]),
  private.first_response_seconds(uuid, uuid, uuid, timestamptz, integer),
  private.move_whatsapp_threads(
    uuid[], timestamptz[], text[], timestamptz[], timestamptz[], timestamptz[], timestamptz[], integer[]),
  private.apply_whatsapp_statuses(private.whatsapp_item[]),
  private.apply_other_whatsapp_items(private.whatsapp_item[]), private.apply_whatsapp_events(jsonb, private.whatsapp_record[]),
  private.lock_whatsapp_threads(private.whatsapp_item[], uuid[]),
  private.lock_whatsapp_outbox(private.whatsapp_item[], uuid[]), private.whatsapp_leads(private.whatsapp_item[]),
  private.apply_or_set_aside_whatsapp_events(jsonb, private.whatsapp_record[]),
  private.keep_whatsapp_orphans(jsonb, integer[]),
  private.refresh_whatsapp_messages(uuid[]),
  private.apply_whatsapp_identity(private.whatsapp_item),
  private.apply_whatsapp_account_event(private.whatsapp_item),
  private.apply_whatsapp_template_event(private.whatsapp_item), private.replay_whatsapp_orphans(text, text),
  public.ingest_whatsapp_events(jsonb), public.replay_whatsapp_events(jsonb), public.replay_orphan_events(text),
  public.webhook_event_stats(uuid, timestamptz)
  from public, anon, authenticated, service_role;
grant execute on function
  private.whatsapp_number_forms(text),
  private.report_duplicate_contacts(uuid, uuid, uuid, text),
  private.ensure_whatsapp_contact(uuid, text, text, text, text, text),
  private.lock_whatsapp_people(private.whatsapp_item[]),
  private.whatsapp_items(jsonb, private.whatsapp_record[]),
  private.lock_whatsapp_message_ids(private.whatsapp_item[]),
  private.ensure_whatsapp_threads(jsonb, private.whatsapp_record[]), private.store_whatsapp_messages(private.whatsapp_item[]),
  private.complete_whatsapp_messages(private.whatsapp_item[]),
  private.first_response_seconds(uuid, uuid, uuid, timestamptz, integer),
  private.move_whatsapp_threads(
    uuid[], timestamptz[], text[], timestamptz[], timestamptz[], timestamptz[], timestamptz[], integer[]),
  private.apply_whatsapp_statuses(private.whatsapp_item[]),
  private.apply_other_whatsapp_items(private.whatsapp_item[]), private.apply_whatsapp_events(jsonb, private.whatsapp_record[]),
  private.lock_whatsapp_threads(private.whatsapp_item[], uuid[]),
  private.lock_whatsapp_outbox(private.whatsapp_item[], uuid[]), private.whatsapp_leads(private.whatsapp_item[]),
  private.apply_or_set_aside_whatsapp_events(jsonb, private.whatsapp_record[]),
  private.keep_whatsapp_orphans(jsonb, integer[]),
  private.refresh_whatsapp_messages(uuid[]),
  private.apply_whatsapp_identity(private.whatsapp_item),
  private.apply_whatsapp_account_event(private.whatsapp_item),
  private.apply_whatsapp_template_event(private.whatsapp_item), private.replay_whatsapp_orphans(text, text),
  public.ingest_whatsapp_events(jsonb), public.replay_whatsapp_events(jsonb), public.replay_orphan_events(text),
  public.webhook_event_stats(uuid, timestamptz)
  to service_role;

notify pgrst, 'reload schema';
