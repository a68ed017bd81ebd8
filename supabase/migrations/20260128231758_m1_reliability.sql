-- Purpose:   the outbox: what leaves the system, how workers take it, and how each message ends.
-- Needs:     20260122000000_wa_core, 20260123090000_wa_connection_id_routing.
-- Used by:   qero.services.threads, outbox; the worker.
-- Raises:    PT404 thread_not_found · PT403 role_required · PT400 body_required, body_too_long, recipient_missing,
--            invalid_value · PT409 window_closed, idempotency_conflict, lease_lost, connection_not_found,
--            connection_inactive.
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
  automated boolean not null default false,
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
comment on column public.outbox_messages.automated is
  'Queued by automation, not by a person: cancelled when the customer replies before it has left.';
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
-- Functions
------------------------------------------------------------------------------------------------------------------------
-- What statuses prove about sends. Outbox rows are locked before their messages and by id, as every report of a worker
-- locks them: a status often comes while its send is being reported.
create or replace function private.lock_unsettled_outbox(p_ids uuid[]) returns void
language plpgsql security invoker set search_path = '' as $$
begin
  perform 1 from public.outbox_messages as outbox
  where outbox.id = any (p_ids) and outbox.status in ('unknown', 'queued', 'processing')
  order by outbox.id
  for no key update;
end $$;

-- Settles sends whose outcome a status has shown: one that was never answered, one that waits for a retry, and one that
-- a worker still has in hand: should the worker die or misjudge the send, nobody asks for this status again.
create or replace function private.settle_outbox_from_statuses(
  p_ids uuid[], p_provider_message_ids text[], p_failed boolean[], p_error_codes integer[], p_error_texts text[]
) returns void
language plpgsql security invoker set search_path = '' as $$
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

-- Automation stops where the customer replies or a person takes over: what it has queued for these threads doesn't
-- leave any more. What a worker has in hand may.
create or replace function private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) returns void
language plpgsql security invoker set search_path = '' as $$
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
  private.end_lease_when_empty(bigint),
  private.lock_unsettled_outbox(uuid[]), private.cancel_automated_outbox(uuid[], text),
  private.settle_outbox_from_statuses(uuid[], text[], boolean[], integer[], text[]),
  public.send_whatsapp_text(uuid, text, text), public.claim_outbox(integer, text),
  public.complete_outbox(bigint, jsonb), public.fail_outbox(bigint, jsonb), public.extend_lease(bigint, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  private.end_lease_when_empty(bigint),
  private.lock_unsettled_outbox(uuid[]), private.cancel_automated_outbox(uuid[], text),
  private.settle_outbox_from_statuses(uuid[], text[], boolean[], integer[], text[]),
  public.send_whatsapp_text(uuid, text, text), public.claim_outbox(integer, text),
  public.complete_outbox(bigint, jsonb), public.fail_outbox(bigint, jsonb), public.extend_lease(bigint, integer)
  to service_role;
grant execute on function public.send_whatsapp_text(uuid, text, text) to authenticated;

notify pgrst, 'reload schema';
