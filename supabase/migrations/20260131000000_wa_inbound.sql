-- Purpose:   WhatsApp in: each webhook item is recorded once and takes effect once, a whole batch in one call.
-- Needs:     20260122000000_wa_core, 20260128231758_m1_reliability.
-- Used by:   qero.services.webhooks; connecting a number.
-- Raises:    PT400 invalid_value.
-- Roll back: drop the functions below; no data is lost, and nothing is received until they are back.

set lock_timeout = '5s';
set statement_timeout = '60s';

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
  perform private.lock_unsettled_outbox(array(
    select (event.event ->> 'opaque_id')::uuid from public.meta_webhook_events as event
    where event.id = any (p_event_ids) and event.kind = 'status'
      and event.event ->> 'opaque_id' ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$'));

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

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.whatsapp_sender(uuid, text, text, text), private.ensure_whatsapp_contact(uuid, text, text, text, text),
  private.lock_new_whatsapp_senders(bigint[]), private.apply_whatsapp_events(bigint[]),
  private.apply_whatsapp_statuses(bigint[]), private.replay_whatsapp_orphans(text, text),
  public.ingest_whatsapp_events(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function
  private.whatsapp_sender(uuid, text, text, text), private.ensure_whatsapp_contact(uuid, text, text, text, text),
  private.lock_new_whatsapp_senders(bigint[]), private.apply_whatsapp_events(bigint[]),
  private.apply_whatsapp_statuses(bigint[]), private.replay_whatsapp_orphans(text, text),
  public.ingest_whatsapp_events(jsonb)
  to service_role;

notify pgrst, 'reload schema';
