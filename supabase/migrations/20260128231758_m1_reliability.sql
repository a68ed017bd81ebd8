-- Purpose:   webhook ingestion, the outbox, and the RPCs that move one message all the way in and out.
-- Needs:     20260122000000_wa_core, 20260123090000_wa_connection_id_routing.
-- Used by:   qero.services.webhooks, whatsapp, outbox, connections; the worker.
-- Raises:    PT404 thread_not_found, workspace_not_found · PT403 role_required · PT400 body_required, body_too_long,
--            recipient_missing, invalid_value · PT409 window_closed, idempotency_conflict, lease_lost,
--            phone_number_taken, connection_not_found, connection_inactive.
-- Roll back: drop the functions, then outbox_messages and private.outbox_leases. Loses queued messages: drain or
--            export them first.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.outbox_messages (
  id uuid primary key default gen_random_uuid(),
  sequence bigint generated always as identity,
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  channel text not null,
  connection_id uuid,
  thread_id uuid,
  recipient text not null,
  payload jsonb not null,
  idempotency_key text not null,
  status text not null default 'queued',
  priority smallint not null default 0,
  attempts integer not null default 0,
  max_attempts integer not null default 5,
  scheduled_at timestamptz not null default now(),
  lease_token bigint,
  provider_message_id text,
  error_code text,
  error_text text,
  created_by uuid references public.profiles (id) on delete set null,
  created_at timestamptz not null default now(),
  settled_at timestamptz,
  constraint outbox_messages_workspace_id_idempotency_key_key unique (workspace_id, idempotency_key),
  constraint outbox_messages_workspace_id_connection_id_fkey
    foreign key (workspace_id, connection_id) references public.wa_phone_numbers (workspace_id, id) on delete cascade,
  constraint outbox_messages_id_workspace_id_key unique (id, workspace_id),
  -- One key says all of it: a thread's messages leave by the thread's own number.
  constraint outbox_messages_thread_id_connection_id_workspace_id_fkey
    foreign key (thread_id, connection_id, workspace_id)
    references public.wa_threads (id, connection_id, workspace_id) on delete cascade,
  constraint outbox_messages_thread_id_check check (thread_id is null or connection_id is not null),
  constraint outbox_messages_channel_check check (channel in ('whatsapp', 'web_push')),
  constraint outbox_messages_whatsapp_check check (channel <> 'whatsapp' or connection_id is not null),
  constraint outbox_messages_status_check check (
    status in ('queued', 'processing', 'sent', 'failed', 'dead', 'cancelled', 'unknown')
  ),
  constraint outbox_messages_processing_check check (status <> 'processing' or lease_token is not null),
  constraint outbox_messages_idempotency_key_check check (length(idempotency_key) between 1 and 200)
) with (fillfactor = 75);
comment on column public.outbox_messages.idempotency_key is
  'Repeating a request with its key returns the first message instead of sending a second one.';
comment on column public.outbox_messages.lease_token is
  'The lease it was last handed out under; kept when it is settled, so that a repeated report gets its first answer.';
comment on column public.outbox_messages.sequence is 'Order of enqueuing; messages of one thread leave in this order.';

create table if not exists private.outbox_leases (
  token bigint generated always as identity primary key,
  worker text not null,
  expires_at timestamptz not null,
  claimed_at timestamptz not null default now()
);
comment on table private.outbox_leases is 'One row per claimed batch. A batch whose lease has ended can''t be settled.';

do $$
begin
  if not exists (
    select 1 from pg_constraint
    where conrelid = 'public.wa_messages'::regclass and conname = 'wa_messages_outbox_id_workspace_id_fkey'
  ) then
    alter table public.wa_messages add constraint wa_messages_outbox_id_workspace_id_fkey
      foreign key (outbox_id, workspace_id) references public.outbox_messages (id, workspace_id)
      on delete set null (outbox_id);
  end if;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
create index if not exists outbox_messages_queued_idx
  on public.outbox_messages (priority desc, scheduled_at, sequence) where status = 'queued';
create index if not exists outbox_messages_unsettled_thread_id_idx
  on public.outbox_messages (thread_id, sequence) where status in ('queued', 'processing');
create index if not exists outbox_messages_lease_token_idx
  on public.outbox_messages (lease_token) where status = 'processing';
create index if not exists outbox_messages_workspace_id_connection_id_idx
  on public.outbox_messages (workspace_id, connection_id);
create index if not exists outbox_messages_thread_id_idx
  on public.outbox_messages (thread_id, connection_id, workspace_id) where thread_id is not null;
create index if not exists outbox_messages_created_by_idx
  on public.outbox_messages (created_by) where created_by is not null;

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.outbox_messages enable row level security;
alter table private.outbox_leases enable row level security;

drop policy if exists outbox_messages_select_member on public.outbox_messages;
create policy outbox_messages_select_member on public.outbox_messages for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

drop policy if exists outbox_leases_all_service on private.outbox_leases;
create policy outbox_leases_all_service on private.outbox_leases for all to service_role
  using (true) with check (true);

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.outbox_messages, private.outbox_leases from public, anon, authenticated, service_role;
grant select on table public.outbox_messages to authenticated;
grant select, insert, update, delete on table public.outbox_messages, private.outbox_leases to service_role;
-- Older projects grant new sequences to the API roles; writing an identity column needs no grant on its sequence.
revoke all on sequence public.outbox_messages_sequence_seq, private.outbox_leases_token_seq
  from public, anon, authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions: WhatsApp in
------------------------------------------------------------------------------------------------------------------------
-- The contact that a WhatsApp sender is known to be. Two index look-ups, so that the planner never has to choose.
create or replace function private.whatsapp_sender(
  p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text
) returns uuid
language sql stable security invoker set search_path = '' as $$
  select coalesce(
    (select identity.contact_id from public.contact_identities as identity
     where identity.workspace_id = p_workspace_id and identity.kind = 'wa_id' and identity.scope = ''
       and identity.value = p_wa_id),
    (select identity.contact_id from public.contact_identities as identity
     where identity.workspace_id = p_workspace_id and identity.kind = 'bsuid' and identity.scope = p_waba_id
       and identity.value = p_user_id))
$$;

-- Finds or makes the contact behind a sender, and records every identity the sender is known by. Old identities stay.
-- When two identities of one sender belong to two contacts, the wa_id decides and nothing is merged.
create or replace function private.ensure_whatsapp_contact(
  p_workspace_id uuid, p_waba_id text, p_wa_id text, p_user_id text, p_name text
) returns uuid
language plpgsql security invoker set search_path = '' as $$
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
end $$;

-- Keeps two transactions from making one person twice. Every identity that isn't known yet is locked, not every sender:
-- the same person may come with a phone number here and a business-scoped id there. All locks are taken before anything
-- is written and in one order, so that no two transactions can wait for each other; 256 a workspace at most, so that
-- a large batch can't use up the server's lock table.
create or replace function private.lock_new_whatsapp_senders(p_event_ids bigint[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Applies recorded events, set by set. One statement can fail for one item's sake: the caller then applies the items
-- one by one and sets the bad one aside.
create or replace function private.apply_whatsapp_events(p_event_ids bigint[]) returns void
language plpgsql security invoker set search_path = '' as $$
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

create or replace function private.apply_whatsapp_statuses(p_event_ids bigint[]) returns void
language plpgsql security invoker set search_path = '' as $$
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
end $$;

-- Answers with one value, not with rows: the API cuts rows off at its maximum.
create or replace function public.ingest_whatsapp_events(p_events jsonb) returns jsonb
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.ingest_whatsapp_events(jsonb) is
  'Records each webhook item once and applies it, a whole batch in one transaction; answers per item: recorded, deduped, orphan, or set_aside with a reason.';

-- What arrived for a number before it was known takes effect, in the order it arrived; so does what arrived for its
-- business account, once that belongs to one workspace only.
create or replace function private.replay_whatsapp_orphans(p_phone_number_id text, p_waba_id text) returns void
language plpgsql security invoker set search_path = '' as $$
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

------------------------------------------------------------------------------------------------------------------------
-- Functions: WhatsApp out
------------------------------------------------------------------------------------------------------------------------
-- Definer: members write neither messages nor the outbox directly; this checks role, window and connection first.
create or replace function public.send_whatsapp_text(p_thread_id uuid, p_body text, p_idempotency_key text)
returns public.wa_messages
language plpgsql security definer set search_path = '' as $$
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
comment on function public.send_whatsapp_text(uuid, text, text) is
  'Queues a text reply by the thread''s own number, within 24 hours of the customer''s last message; repeating the key returns the first message.';

create or replace function public.claim_outbox(p_limit integer, p_worker text)
returns table (
  lease_token bigint, lease_expires_at timestamptz, id uuid, workspace_id uuid, channel text, connection_id uuid,
  thread_id uuid, recipient text, payload jsonb, attempts integer, max_attempts integer, phone_number_id text,
  access_token_ciphertext text
)
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.claim_outbox(integer, text) is
  'Leases up to p_limit due messages to a worker for 60 seconds, in order within each thread.';

create or replace function public.complete_outbox(p_token bigint, p_results jsonb)
returns table (id uuid, outcome text)
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.complete_outbox(bigint, jsonb) is
  'Settles sent messages of a leased batch; a lease that has ended changes nothing and is answered lease_lost.';

create or replace function public.fail_outbox(p_token bigint, p_failures jsonb)
returns table (id uuid, outcome text)
language plpgsql security invoker set search_path = '' as $$
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
end $$;
comment on function public.fail_outbox(bigint, jsonb) is
  'Settles failed messages of a leased batch by action: retry, release, pause_connection, fail, dead or unknown.';

create or replace function private.end_lease_when_empty(p_token bigint) returns void
language sql security invoker set search_path = '' as $$
  delete from private.outbox_leases as lease
  where lease.token = p_token
    and not exists (
      select 1 from public.outbox_messages as outbox
      where outbox.lease_token = p_token and outbox.status = 'processing')
$$;

create or replace function public.extend_lease(p_token bigint, p_seconds integer) returns timestamptz
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.extend_lease(bigint, integer) is 'Keeps a leased batch for p_seconds from now.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.whatsapp_sender(uuid, text, text, text), private.ensure_whatsapp_contact(uuid, text, text, text, text),
  private.lock_new_whatsapp_senders(bigint[]), private.apply_whatsapp_events(bigint[]),
  private.apply_whatsapp_statuses(bigint[]), private.replay_whatsapp_orphans(text, text),
  private.end_lease_when_empty(bigint),
  public.ingest_whatsapp_events(jsonb), public.connect_wa_phone_number(uuid, text, text, text, text, text),
  public.send_whatsapp_text(uuid, text, text), public.claim_outbox(integer, text),
  public.complete_outbox(bigint, jsonb), public.fail_outbox(bigint, jsonb), public.extend_lease(bigint, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  private.whatsapp_sender(uuid, text, text, text), private.ensure_whatsapp_contact(uuid, text, text, text, text),
  private.lock_new_whatsapp_senders(bigint[]), private.apply_whatsapp_events(bigint[]),
  private.apply_whatsapp_statuses(bigint[]), private.replay_whatsapp_orphans(text, text),
  private.end_lease_when_empty(bigint),
  public.ingest_whatsapp_events(jsonb), public.connect_wa_phone_number(uuid, text, text, text, text, text),
  public.send_whatsapp_text(uuid, text, text), public.claim_outbox(integer, text),
  public.complete_outbox(bigint, jsonb), public.fail_outbox(bigint, jsonb), public.extend_lease(bigint, integer)
  to service_role;
grant execute on function public.send_whatsapp_text(uuid, text, text) to authenticated;

notify pgrst, 'reload schema';
