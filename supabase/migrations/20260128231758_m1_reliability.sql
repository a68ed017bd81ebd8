-- Purpose:   the outbox: what leaves the system, how workers take it, and how each message ends; durable rate limits.
-- Needs:     20260122000000_wa_core, 20260123090000_wa_connection_id_routing; where automation writes or is written over,
--            20260215000000_lead_automation.
-- Used by:   qero.services.threads, outbox, rate_limits; the worker; `qero outbox`, `qero connections`.
-- Raises:    PT404 thread_not_found, message_not_found, outbox_message_not_found · PT403 role_required · PT400 body_required, body_too_long,
--            recipient_missing, invalid_value · PT409 window_closed, idempotency_conflict, lease_lost,
--            connection_not_found, connection_inactive.
-- Roll back: drop the functions and the trigger, then rate_limit_counters and the outbox_* tables of private. Dropping
--            outbox_messages too loses queued messages: drain or export them first.
--
-- outbox_messages is wide: written once when a message is queued and once when it is settled, in place, because nothing
-- that changes then is indexed. What changes often is narrow:
--   lanes    one row per sender of a workspace: the unit of fairness and of the rate limit;
--   ready    one row per message that may leave once it is due; a claim deletes it;
--   leases   one row per claimed batch;
--   lines    one row per thread, or per recipient of a number: its head may leave, the others wait their turn;
--   waiting  messages behind the head of their line;
--   problems messages that failed, died or whose outcome isn't known.
-- A queued message is in exactly one of ready, waiting and leases. Rows of ready whose message isn't queued any more
-- are dropped when they are claimed.
--
-- Locks are taken in this order: leases, lanes, outbox_messages by id, lines by line_id, then ready and waiting.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.outbox_messages (
  id uuid primary key default gen_random_uuid(),
  sequence bigint generated always as identity,
  workspace_id uuid not null,
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
  created_by uuid,
  created_at timestamptz not null default now(),
  settled_at timestamptz,
  -- A message stands in line behind what goes to the same thread, or else to the same recipient of the same number.
  line_id bigint generated always as (
    case
      when thread_id is not null then uuid_hash_extended(thread_id, 0)
      when channel = 'whatsapp' then hashtextextended(recipient, uuid_hash_extended(connection_id, 1))
    end) stored
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- A table of an older shape that stands there already is brought to this one. Each column on its own, because it may
-- have some of them; what can't be attributed is never sent.
do $$
declare
  v_column record;
  v_name text;
begin
  if exists (
    select 1 from pg_attribute
    where attrelid = 'public.outbox_messages'::regclass and attname = 'line_id' and not attisdropped
  ) then
    return;
  end if;

  for v_name in
    select older.conname from pg_constraint as older
    where older.conrelid = 'public.outbox_messages'::regclass and older.contype in ('c', 'f')
  loop
    execute format('alter table public.outbox_messages drop constraint %I', v_name);
  end loop;
  for v_name in
    select older.attname from pg_attribute as older
    where older.attrelid = 'public.outbox_messages'::regclass and older.attnum > 0 and older.attnotnull
      and not older.attisdropped and older.attidentity = '' and older.attname not in ('id', 'sequence')
  loop
    execute format('alter table public.outbox_messages alter column %I drop not null', v_name);
  end loop;
  drop index if exists public.outbox_messages_queued_idx, public.outbox_messages_unsettled_thread_id_idx,
    public.outbox_messages_lease_token_idx;
  drop table if exists private.outbox_leases;
  drop function if exists public.claim_outbox(integer, text);

  alter table public.outbox_messages
    add column if not exists sequence bigint generated always as identity,
    add column if not exists workspace_id uuid, add column if not exists channel text,
    add column if not exists connection_id uuid, add column if not exists thread_id uuid,
    add column if not exists recipient text, add column if not exists payload jsonb,
    add column if not exists idempotency_key text, add column if not exists automated boolean,
    add column if not exists status text, add column if not exists priority smallint,
    add column if not exists attempts integer, add column if not exists max_attempts integer,
    add column if not exists scheduled_at timestamptz, add column if not exists lease_token bigint,
    add column if not exists provider_message_id text, add column if not exists error_code text,
    add column if not exists error_text text, add column if not exists created_by uuid,
    add column if not exists created_at timestamptz, add column if not exists settled_at timestamptz;

  -- Threads from before there were several numbers learn theirs now, where there is no doubt.
  perform private.attribute_thread(thread.id) from public.wa_threads as thread
  where thread.connection_id is null and exists (
    select 1 from public.outbox_messages as outbox where outbox.thread_id = thread.id);
  -- A thread says which workspace and number a message belongs to; a number that is the workspace's own does too.
  update public.outbox_messages as outbox
  set workspace_id = thread.workspace_id, connection_id = thread.connection_id
  from public.wa_threads as thread
  where thread.id = outbox.thread_id and coalesce(outbox.workspace_id, thread.workspace_id) = thread.workspace_id;
  update public.outbox_messages as outbox set workspace_id = connection.workspace_id
  from public.wa_phone_numbers as connection
  where connection.id = outbox.connection_id and outbox.workspace_id is null;
  update public.outbox_messages as outbox set thread_id = null
  where outbox.thread_id is not null and not exists (
    select 1 from public.wa_threads as thread
    where (thread.id, thread.connection_id, thread.workspace_id)
      = (outbox.thread_id, outbox.connection_id, outbox.workspace_id));
  update public.outbox_messages as outbox set connection_id = null
  where outbox.connection_id is not null and not exists (
    select 1 from public.wa_phone_numbers as connection
    where (connection.id, connection.workspace_id) = (outbox.connection_id, outbox.workspace_id));
  update public.outbox_messages as outbox set created_by = null
  where outbox.created_by is not null and not exists (
    select 1 from public.profiles as profile where profile.id = outbox.created_by);

  with lost as (
    delete from public.outbox_messages as outbox
    where not exists (select 1 from public.workspaces as workspace where workspace.id = outbox.workspace_id)
    returning outbox.*
  )
  insert into private.migration_rejects (source, reason, contents)
  select 'public.outbox_messages', 'no workspace', to_jsonb(lost) || '{"status": "dead"}' from lost;

  update public.outbox_messages as outbox
  set status = case
      when older.status in ('sent', 'failed', 'dead', 'cancelled', 'unknown') then older.status
      when older.status in ('done', 'delivered', 'completed', 'accepted') then 'sent'
      when older.status = 'canceled' then 'cancelled'
      -- It was in a worker's hands and may have left.
      when older.status in ('processing', 'sending', 'claimed', 'leased', 'in_flight') then 'unknown'
      when older.recipient is null or older.payload is null or (older.connection_id is null
        and older.channel is distinct from 'web_push') then 'dead'
      when older.status in ('queued', 'pending', 'scheduled', 'retry') then 'queued'
      else 'dead'
    end,
    error_code = case
      when older.status in ('queued', 'pending', 'scheduled', 'retry') and (older.recipient is null
        or older.payload is null or (older.connection_id is null and older.channel is distinct from 'web_push'))
        then 'not_attributable'
      else older.error_code
    end,
    channel = case when older.channel = 'web_push' then 'web_push' else 'whatsapp' end,
    recipient = coalesce(older.recipient, ''), payload = coalesce(older.payload, '{}'::jsonb),
    idempotency_key = coalesce(nullif(left(older.idempotency_key, 150), '') || case
        when older.place = 1 and length(older.idempotency_key) <= 150 then '' else ':' || older.id end,
      'older:' || older.id),
    automated = coalesce(older.automated, false), priority = coalesce(older.priority, 0),
    attempts = coalesce(older.attempts, 0), max_attempts = coalesce(older.max_attempts, 5),
    scheduled_at = coalesce(older.scheduled_at, older.created_at, now()),
    created_at = coalesce(older.created_at, now())
  from (
    select message.*, row_number() over (
      partition by message.workspace_id, message.idempotency_key order by message.created_at, message.id) as place
    from public.outbox_messages as message
  ) as older
  where outbox.id = older.id;

  for v_column in
    select wanted.* from (values
      ('id', 'gen_random_uuid()'), ('workspace_id', null), ('channel', null), ('recipient', null), ('payload', null),
      ('idempotency_key', null), ('automated', 'false'), ('status', '''queued'''), ('priority', '0'),
      ('attempts', '0'), ('max_attempts', '5'), ('scheduled_at', 'now()'), ('created_at', 'now()')
    ) as wanted (name, default_value)
  loop
    execute format('alter table public.outbox_messages alter column %I set not null', v_column.name);
    if v_column.default_value is not null then
      execute format('alter table public.outbox_messages alter column %I set default %s', v_column.name,
        v_column.default_value);
    end if;
  end loop;
  alter table public.outbox_messages
    alter column priority type smallint using least(greatest(priority, -100), 100)::smallint,
    add column line_id bigint generated always as (
      case
        when thread_id is not null then uuid_hash_extended(thread_id, 0)
        when channel = 'whatsapp' then hashtextextended(recipient, uuid_hash_extended(connection_id, 1))
      end) stored,
    set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
end $$;

do $$
declare
  v_name text;
  v_definition text;
begin
  for v_name, v_definition in values
    ('outbox_messages_workspace_id_idempotency_key_key', 'unique (workspace_id, idempotency_key)'),
    ('outbox_messages_id_workspace_id_key', 'unique (id, workspace_id)'),
    -- One key says all of it: a thread's messages leave by the thread's own number.
    ('outbox_messages_thread_id_connection_id_workspace_id_fkey', 'foreign key (thread_id, connection_id, workspace_id)
      references public.wa_threads (id, connection_id, workspace_id) on delete cascade'),
    ('outbox_messages_created_by_fkey', 'foreign key (created_by) references public.profiles (id) on delete set null'),
    ('outbox_messages_thread_id_check', 'check (thread_id is null or connection_id is not null)'),
    ('outbox_messages_channel_check', $check$check (channel in ('whatsapp', 'web_push'))$check$),
    ('outbox_messages_whatsapp_check',
      $check$check (
      channel <> 'whatsapp' or connection_id is not null or status not in ('queued', 'processing'))$check$),
    ('outbox_messages_status_check', $check$check (
      status in ('queued', 'processing', 'sent', 'failed', 'dead', 'cancelled', 'unknown'))$check$),
    ('outbox_messages_idempotency_key_check', 'check (length(idempotency_key) between 1 and 200)')
  loop
    if not exists (
      select 1 from pg_constraint
      where conrelid = 'public.outbox_messages'::regclass and conname = v_name
    ) then
      execute format('alter table public.outbox_messages add constraint %I %s', v_name, v_definition);
    end if;
  end loop;
  if not exists (
    select 1 from pg_constraint
    where conrelid = 'public.wa_messages'::regclass and conname = 'wa_messages_outbox_id_workspace_id_fkey'
  ) then
    alter table public.wa_messages add constraint wa_messages_outbox_id_workspace_id_fkey
      foreign key (outbox_id, workspace_id) references public.outbox_messages (id, workspace_id)
      on delete set null (outbox_id);
  end if;
end $$;
comment on column public.outbox_messages.status is
  'queued until it is settled, also while a worker has it in hand: find_outbox_message knows which.';
comment on column public.outbox_messages.idempotency_key is
  'Repeating a request with its key returns the first message instead of sending a second one.';
comment on column public.outbox_messages.automated is
  'Queued by automation, not by a person: cancelled when the customer replies before it has left.';
comment on column public.outbox_messages.scheduled_at is
  'Not before; a retry, a pace or a stagger moves it. Its row in ready has the same time.';
comment on column public.outbox_messages.lease_token is
  'The lease under which it was last settled or put back, so that a repeated report gets its first answer.';
comment on column public.outbox_messages.sequence is 'Order of enqueuing.';

create table if not exists private.outbox_lanes (
  lane_id integer generated always as identity primary key,
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  channel text not null,
  connection_id uuid,
  next_at_microseconds bigint not null default 0,
  paused_until timestamptz not null default '-infinity',
  pause_count integer not null default 0,
  pause_reason text,
  constraint outbox_lanes_sender_key unique nulls not distinct (workspace_id, connection_id, channel),
  constraint outbox_lanes_workspace_id_connection_id_fkey
    foreign key (workspace_id, connection_id) references public.wa_phone_numbers (workspace_id, id) on delete cascade
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);
comment on column private.outbox_lanes.workspace_id is
  'Its messages rely on the references of their lane: checked once a statement instead of twice a row.';
comment on table private.outbox_lanes is
  'Who sends: a number, or a workspace''s channel without numbers. Claims go round them and hold each to its rate.';
comment on column private.outbox_lanes.next_at_microseconds is
  'When the number may send its next message (GCRA''s theoretical arrival time), in microseconds since 1970.';
comment on column private.outbox_lanes.pause_count is 'Pauses in a row that the provider asked for; each is longer.';

create table if not exists private.outbox_ready (
  lane_id integer not null,
  rank smallint not null,
  run_at timestamptz not null,
  sequence bigint not null,
  id uuid not null,
  line_id bigint,
  joins boolean not null default false,
  constraint outbox_ready_pkey primary key (lane_id, rank, run_at, sequence)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table private.outbox_ready is 'What may leave once it is due; highest priority first, which is lowest rank.';
comment on column private.outbox_ready.joins is
  'It joins its line when it is due: put off for so long that it would hold up what follows, it has no place yet.';

create table if not exists private.outbox_lines (
  line_id bigint primary key,
  head bigint,
  has_waiting boolean not null default false,
  next_at timestamptz not null default '-infinity'
) with (fillfactor = 60, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);
comment on table private.outbox_lines is
  'Threads, and recipients, that something is queued to or left for just now.';
comment on column private.outbox_lines.head is 'The sequence of the one message that may leave or is leaving.';
comment on column private.outbox_lines.next_at is
  'GCRA''s theoretical arrival time for the recipient: one message in 6 seconds, 45 at once.';

create table if not exists private.outbox_waiting (
  line_id bigint not null,
  place bigint generated always as identity,
  lane_id integer not null,
  rank smallint not null,
  run_at timestamptz not null,
  sequence bigint not null,
  id uuid not null,
  constraint outbox_waiting_pkey primary key (line_id, place)
) with (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_cost_delay = 0);
comment on table private.outbox_waiting is 'Messages behind the head of their line, in the order in which they joined.';

create table if not exists private.outbox_leases (
  token bigint generated always as identity primary key,
  worker text not null,
  expires_at timestamptz not null,
  claimed_at timestamptz not null default now(),
  ids uuid[] not null
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);
comment on table private.outbox_leases is
  'One row per claimed batch, with what isn''t settled of it. A batch whose lease has gone can''t be settled.';

create table if not exists private.outbox_problems (
  id uuid not null,
  workspace_id uuid not null,
  status text not null,
  error_code text,
  settled_at timestamptz not null default now(),
  constraint outbox_problems_pkey primary key (id, workspace_id),
  constraint outbox_problems_id_workspace_id_fkey
    foreign key (id, workspace_id) references public.outbox_messages (id, workspace_id) on delete cascade,
  constraint outbox_problems_status_check check (status in ('failed', 'dead', 'unknown'))
);
comment on table private.outbox_problems is
  'Messages that failed, died or whose outcome isn''t known, so that finding them needs no index on a status.';

create table if not exists private.outbox_archive (
  id uuid primary key,
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  status text not null,
  settled_at timestamptz,
  archived_at timestamptz not null default now(),
  message jsonb not null
);
comment on table private.outbox_archive is 'Finished messages, moved out of the way; their keys may be used again.';

create table if not exists public.rate_limit_counters (key text primary key);
alter table public.rate_limit_counters
  add column if not exists used integer,
  add column if not exists resets_at timestamptz,
  set (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 200);
do $$
begin
  perform private.ensure_constraint('public.rate_limit_counters', 'rate_limit_counters_key_check',
    'check (length(key) between 1 and 300)');
  perform private.ensure_not_null('public.rate_limit_counters', 'used', 'resets_at');
end $$;
comment on table public.rate_limit_counters is 'What has been taken of each limit in its present window.';

-- Sequences, because they change without a lock that lasts until commit.
create sequence if not exists private.outbox_turn as bigint minvalue 0 start 0;
comment on sequence private.outbox_turn is 'The lane that was served last: the next claim goes on behind it.';
create sequence if not exists private.outbox_woken as bigint minvalue 0 start 0;
comment on sequence private.outbox_woken is 'When workers were last woken, in milliseconds since 1970.';

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
-- None on anything that settling a message changes: then it stays where it is and no index has to learn of it.
create index if not exists outbox_messages_workspace_id_connection_id_idx
  on public.outbox_messages (workspace_id, connection_id);
create index if not exists outbox_messages_automated_idx
  on public.outbox_messages (thread_id) where automated;
create index if not exists outbox_messages_thread_id_idx
  on public.outbox_messages (thread_id, connection_id, workspace_id) where thread_id is not null;
create index if not exists outbox_messages_created_by_idx
  on public.outbox_messages (created_by) where created_by is not null;
create index if not exists outbox_messages_created_at_idx on public.outbox_messages using brin (created_at);
create index if not exists outbox_leases_expires_at_idx on private.outbox_leases (expires_at);
create index if not exists outbox_problems_settled_at_idx on private.outbox_problems (settled_at desc, id desc);
create index if not exists outbox_problems_workspace_id_settled_at_idx
  on private.outbox_problems (workspace_id, settled_at desc, id desc);
create index if not exists outbox_archive_workspace_id_idx on private.outbox_archive (workspace_id, settled_at);

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.outbox_messages enable row level security;
alter table private.outbox_lanes enable row level security;
alter table private.outbox_ready enable row level security;
alter table private.outbox_lines enable row level security;
alter table private.outbox_waiting enable row level security;
alter table private.outbox_leases enable row level security;
alter table private.outbox_problems enable row level security;
alter table private.outbox_archive enable row level security;
alter table public.rate_limit_counters enable row level security;

-- Notifications say who is reminded of what, and who reads which chat: nobody's business but the service's.
drop policy if exists outbox_messages_select_member on public.outbox_messages;
create policy outbox_messages_select_member on public.outbox_messages for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) and channel <> 'web_push');

-- Only the service reaches these; the policies say so in words, for people and for the advisor.
drop policy if exists outbox_lanes_all_service on private.outbox_lanes;
create policy outbox_lanes_all_service on private.outbox_lanes for all to service_role using (true) with check (true);
drop policy if exists outbox_ready_all_service on private.outbox_ready;
create policy outbox_ready_all_service on private.outbox_ready for all to service_role using (true) with check (true);
drop policy if exists outbox_lines_all_service on private.outbox_lines;
create policy outbox_lines_all_service on private.outbox_lines for all to service_role using (true) with check (true);
drop policy if exists outbox_waiting_all_service on private.outbox_waiting;
create policy outbox_waiting_all_service on private.outbox_waiting for all to service_role
  using (true) with check (true);
drop policy if exists outbox_leases_all_service on private.outbox_leases;
create policy outbox_leases_all_service on private.outbox_leases for all to service_role
  using (true) with check (true);
drop policy if exists outbox_problems_all_service on private.outbox_problems;
create policy outbox_problems_all_service on private.outbox_problems for all to service_role
  using (true) with check (true);
drop policy if exists outbox_archive_all_service on private.outbox_archive;
create policy outbox_archive_all_service on private.outbox_archive for all to service_role
  using (true) with check (true);
drop policy if exists rate_limit_counters_all_service on public.rate_limit_counters;
create policy rate_limit_counters_all_service on public.rate_limit_counters for all to service_role
  using (true) with check (true);

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.outbox_messages, private.outbox_lanes, private.outbox_ready, private.outbox_lines,
  private.outbox_waiting, private.outbox_leases, private.outbox_problems, private.outbox_archive,
  public.rate_limit_counters
  from public, anon, authenticated, service_role;
grant select on table public.outbox_messages to authenticated;
grant select, insert, update, delete on table public.outbox_messages, private.outbox_lanes, private.outbox_ready,
  private.outbox_lines, private.outbox_waiting, private.outbox_leases, private.outbox_problems, private.outbox_archive,
  public.rate_limit_counters
  to service_role;
-- Older projects grant new sequences to the API roles; writing an identity column needs no grant on its sequence.
revoke all on sequence public.outbox_messages_sequence_seq, private.outbox_leases_token_seq,
  private.outbox_lanes_lane_id_seq, private.outbox_waiting_place_seq,
  private.outbox_turn, private.outbox_woken
  from public, anon, authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions: the queue
------------------------------------------------------------------------------------------------------------------------
-- Definer, so that nobody needs a grant on the sequences.
create or replace function private.outbox_turn(p_served integer default null) returns integer
language sql security definer set search_path = '' as $$
  select case
    when p_served is null then (select last_value from private.outbox_turn)
    else setval('private.outbox_turn', p_served)
  end::integer
$$;

-- Tells workers that listen, at most every 20 ms: a notification holds up every commit for a moment. One that is left
-- out, or whose transaction ends late, is made up for by the workers' own looking.
create or replace function private.wake_outbox_workers() returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_now bigint := extract(epoch from clock_timestamp()) * 1000;
begin
  if v_now - (select last_value from private.outbox_woken) not between 0 and 19 then
    perform setval('private.outbox_woken', v_now);
    perform pg_notify('qero_outbox', '');
  end if;
end $$;

-- The lane of a sender, made when there is none. Its references stand for those of the messages, so it is held until
-- they are written: a workspace or number that is being deleted takes them along.
create or replace function private.ensure_outbox_lane(p_workspace_id uuid, p_connection_id uuid, p_channel text)
returns integer
language plpgsql security invoker set search_path = '' as $$
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

-- One message in 6 seconds to one recipient, 45 at once: how far ahead of the clock a line may be.
create or replace function private.outbox_pace(out p_step interval, out p_lead interval)
language sql immutable security invoker set search_path = '' as $$
  select interval '6 s', interval '264 s'
$$;

-- Puts queued messages where they belong: into ready when nothing stands before them, behind their line's head else.
-- Which of two transactions comes first in a line is decided by the line's row.
create or replace function private.queue_outbox(p_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
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

-- Lets go of the heads of lines, each named by its sequence, and lets the next ones through. p_counts: whether the
-- recipient may have got it, which counts for the pace.
create or replace function private.leave_outbox_lines(p_line_ids bigint[], p_heads bigint[], p_counts boolean)
returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
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
  ), paced as materialized (
    -- Whoever has the row settles or cancels the message and waits for its line: then its time doesn't matter.
    select outbox.id from public.outbox_messages as outbox join line on line.id = outbox.id
    where line.paced_at > line.run_at
    for no key update of outbox skip locked
  ), ready as (
    insert into private.outbox_ready (lane_id, rank, run_at, sequence, id, line_id)
    select line.lane_id, line.rank, case when paced.id is null then line.run_at else line.paced_at end, line.sequence,
      line.id, line.line_id
    from line left join paced on paced.id = line.id
  )
  update public.outbox_messages as outbox set scheduled_at = line.paced_at
  from line join paced on paced.id = line.id where outbox.id = line.id;
end $$;

-- Puts messages that a lease held, or that a pace put off, back into ready at their scheduled time. They keep their
-- place in their line unless that time is more than an hour away: then what follows goes first.
create or replace function private.return_outbox(p_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
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

create or replace function private.queue_inserted_outbox() returns trigger
language plpgsql security invoker set search_path = '' as $$
declare
  v_ids uuid[] := array(select inserted.id from inserted);
begin
  if v_ids <> '{}' then
    perform private.queue_outbox(v_ids);
    perform private.wake_outbox_workers();
  end if;
  return null;
end $$;

-- A lane goes with its workspace or number, and takes its messages along.
create or replace function private.delete_outbox_lane() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
  with ready as (
    delete from private.outbox_ready as ready where ready.lane_id = old.lane_id returning ready.line_id
  ), waiting as (
    delete from private.outbox_waiting as waiting where waiting.lane_id = old.lane_id returning waiting.line_id
  ), message as (
    delete from public.outbox_messages as outbox
    where outbox.workspace_id = old.workspace_id and outbox.channel = old.channel
      and (outbox.connection_id = old.connection_id or (outbox.connection_id is null and old.connection_id is null))
    returning outbox.line_id
  )
  delete from private.outbox_lines as line
  where line.line_id in (
    select ready.line_id from ready
    union select waiting.line_id from waiting
    union select message.line_id from message);
  return null;
end $$;

-- Takes queued messages, whose rows the caller has locked, out of ready and waiting, so that nobody can claim them;
-- returns those it got. The others are in a worker's hands. Ready comes first, as in a claim, and again once the lines
-- are ours, because a message may have moved there from waiting meanwhile.
create or replace function private.withdraw_outbox(p_ids uuid[]) returns uuid[]
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_ids uuid[] := '{}';
  v_found uuid[];
begin
  for v_round in 1..2 loop
    with message as materialized (
      select outbox.id, outbox.sequence, -outbox.priority as rank, outbox.scheduled_at, lane.lane_id
      from public.outbox_messages as outbox
      join private.outbox_lanes as lane
        on lane.workspace_id = outbox.workspace_id and lane.channel = outbox.channel
          and lane.connection_id is not distinct from outbox.connection_id
      where outbox.id = any (p_ids) and outbox.id <> all (v_ids)
    ), gone as (
      delete from private.outbox_ready as ready using message
      where ready.lane_id = message.lane_id and ready.rank = message.rank and ready.run_at = message.scheduled_at
        and ready.sequence = message.sequence
      returning ready.id
    )
    select array_agg(gone.id) into v_found from gone;
    v_ids := v_ids || coalesce(v_found, '{}');
    exit when v_round = 2;

    perform 1 from private.outbox_lines as line
    where line.line_id in (select outbox.line_id from public.outbox_messages as outbox where outbox.id = any (p_ids))
    order by line.line_id for no key update;
    with gone as (
      delete from private.outbox_waiting as waiting using public.outbox_messages as outbox
      where outbox.id = any (p_ids) and waiting.line_id = outbox.line_id and waiting.id = outbox.id
      returning waiting.id
    )
    select array_agg(gone.id) into v_found from gone;
    v_ids := v_ids || coalesce(v_found, '{}');
  end loop;
  return v_ids;
end $$;

-- Notes what ended badly where it can be found.
create or replace function private.note_outbox_problems(p_ids uuid[]) returns void
language sql security invoker set search_path = '' as $$
  insert into private.outbox_problems (id, workspace_id, status, error_code, settled_at)
  select outbox.id, outbox.workspace_id, outbox.status, outbox.error_code, clock_timestamp()
  from public.outbox_messages as outbox
  where outbox.id = any (p_ids) and outbox.status in ('failed', 'dead', 'unknown')
  order by outbox.id
  on conflict on constraint outbox_problems_pkey do update
    set status = excluded.status, error_code = excluded.error_code
$$;

-- A pause that the provider asked for: of one number, of every number of its business account, or of all. Pauses in a
-- row get longer, and what was in flight together counts as one.
create or replace function private.pause_outbox_lanes(p_connection_ids uuid[], p_scopes text[], p_reasons text[])
returns void
language plpgsql security invoker set search_path = '' as $$
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

-- A worker died or stalled with these in hand. They may have left, so they are never sent again blindly: a status with
-- the opaque id settles them, or a person decides. Notifications, and read receipts, which carry a status, are sent
-- again: one shown twice replaces itself, and what was read stays read.
create or replace function private.end_outbox_leases() returns void
language plpgsql security invoker set search_path = '' as $$
declare
  v_ids uuid[];
  v_again uuid[];
  v_left_lines bigint[];
  v_left_heads bigint[];
begin
  with ended as (
    delete from private.outbox_leases as lease
    where lease.token in (
      select stale.token from private.outbox_leases as stale
      where stale.expires_at <= clock_timestamp() for update skip locked)
    returning lease.ids
  ), held as materialized (
    select outbox.id, outbox.channel = 'web_push' or outbox.payload ? 'status' as is_repeatable
    from (select distinct unnest(ended.ids) as id from ended) as held
    join public.outbox_messages as outbox on outbox.id = held.id
    order by outbox.id
  ), settled as (
    update public.outbox_messages as outbox
    set status = case
        when not held.is_repeatable then 'unknown'
        when outbox.attempts + 1 < outbox.max_attempts then 'queued'
        else 'dead'
      end,
      attempts = outbox.attempts + 1, lease_token = null, error_code = 'lease_expired',
      error_text = 'The worker stopped answering while this message was in its hands.',
      settled_at = case
        when held.is_repeatable and outbox.attempts + 1 >= outbox.max_attempts then clock_timestamp()
      end
    from held where outbox.id = held.id and outbox.status = 'queued'
    returning outbox.id, outbox.status, outbox.line_id, outbox.sequence
  ), shown as (
    update public.wa_messages as message set status = 'unknown'
    from settled where message.outbox_id = settled.id and settled.status = 'unknown' and message.status = 'pending'
  )
  select array_agg(settled.id), array_agg(settled.id) filter (where settled.status = 'queued'),
    array_agg(settled.line_id) filter (where settled.status <> 'queued'),
    array_agg(settled.sequence) filter (where settled.status <> 'queued')
  into v_ids, v_again, v_left_lines, v_left_heads from settled;
  if v_ids is null then
    return;
  end if;
  perform private.note_outbox_problems(v_ids);
  perform private.leave_outbox_lines(v_left_lines, v_left_heads, true);
  perform private.follow_lead_messages(v_ids);
  perform private.return_outbox(v_again) where v_again is not null;
end $$;

create or replace function public.claim_outbox(p_limit integer, p_worker text)
returns table (
  lease_token bigint, lease_expires_at timestamptz, id uuid, workspace_id uuid, channel text, connection_id uuid,
  thread_id uuid, recipient text, payload jsonb, attempts integer, max_attempts integer, phone_number_id text,
  access_token_ciphertext text, send_after_seconds double precision, pace_seconds double precision
)
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set join_collapse_limit = 1 set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
  v_lease_seconds constant integer := 60;
  v_class_count constant integer := 10;
  -- How far ahead of its pace a number's messages are handed out; the worker waits until each one's moment.
  v_ahead constant bigint := 400000;
  -- A second of the pace is a little longer than one of the clock, so that delays on the way don't exceed the limit.
  v_second constant bigint := 1015000;
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
        select class.*, coalesce(used.count, 0) as used,
          class.room - coalesce(sum(used.count) over (partition by class.lane_id), 0)::bigint as room_left
        from class
        left join (
          select taken.lane_id, taken.rank, count(*) from taken group by taken.lane_id, taken.rank
        ) as used on used.lane_id = class.lane_id and used.rank = class.rank
      ), more as (
        select remaining.* from remaining
        where remaining.room_left >= 1 and remaining.used >= least(remaining.room, remaining.share)
      )
      select batch.*, next.*
      from (
        select array_agg(taken.id) filter (where not taken.joins) as ids,
          array_agg(taken.lane_id) filter (where not taken.joins) as lane_ids,
          array_agg(taken.line_id) filter (where not taken.joins) as line_ids,
          array_agg(taken.sequence) filter (where not taken.joins) as sequences,
          array_agg(taken.id) filter (where taken.joins) as joining
        from (select taken.* from taken order by taken.rank, taken.run_at, taken.sequence) as taken
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
comment on function public.claim_outbox(integer, text) is
  'Leases up to p_limit due messages to a worker for 60 seconds: lanes in turn, each within its rate, order kept in each line.';

-- What became of a report on messages that it didn't settle: their state where the report is a repetition or a status
-- was faster; lease_lost where they are in other hands, or in nobody's.
create or replace function private.outbox_report_outcome(p_token bigint, p_held boolean, p_outbox public.outbox_messages)
returns text
language sql stable security invoker set search_path = '' as $$
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

-- Takes settled messages off their lease; the lease ends with the last.
create or replace function private.shrink_outbox_lease(p_token bigint, p_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
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

-- What the team sees of messages that were sent; statuses that came before the answer take effect now.
create or replace function private.show_sent_outbox(p_ids uuid[]) returns void
language sql security invoker set search_path = '' set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
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

create or replace function public.complete_outbox(p_token bigint, p_results jsonb)
returns table (id uuid, outcome text)
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
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
comment on function public.complete_outbox(bigint, jsonb) is
  'Settles sent messages of a leased batch; a lease that has ended changes nothing and is answered lease_lost.';

create or replace function public.fail_outbox(p_token bigint, p_failures jsonb)
returns table (id uuid, outcome text)
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
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
end $$;
comment on function public.fail_outbox(bigint, jsonb) is
  'Settles what wasn''t sent of a leased batch by action: retry, release, pause_connection, fail, dead, unknown, or cancel for what is no longer wanted; a retry of scope number, account or app pauses the numbers concerned.';

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

-- Only the worker knows which answers to its claims never arrived, and that it sent nothing of those.
create or replace function public.release_lost_claims(p_worker text, p_held_tokens bigint[]) returns integer
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.release_lost_claims(text, bigint[]) is
  'Puts back what a worker was given in answers that never reached it: its leases other than those it names.';

-- For a worker that is to send everything that is due: what a number's pace holds back isn't claimed yet.
create or replace function public.get_outbox_wait() returns setof double precision
language sql stable security invoker set search_path = '' as $$
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
comment on function public.get_outbox_wait() is
  'Seconds until the next due message may leave by the pace of its number; no row when nothing that may leave is due.';

-- Queues whatever is said in a thread, after everything that can forbid it has been asked, the 24-hour window first of all;
-- the caller has checked the role. is_new says whether it is the first request with its key.
create or replace function private.queue_whatsapp(
  p_thread_id uuid, p_payload jsonb, p_idempotency_key text, p_needs_window boolean,
  out outbox public.outbox_messages, out is_new boolean
)
language plpgsql security invoker set search_path = '' as $$
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
    -- From before there were several numbers; its own may have been connected since the last push.
    if v_thread.connection_id is null then
      perform private.attribute_thread(p_thread_id);
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

-- Whom a contact's messages go to: as WhatsApp knows them.
create or replace function private.whatsapp_recipient(p_contact_id uuid, p_connection public.wa_phone_numbers)
returns text
language sql stable security invoker set search_path = '' as $$
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

-- What may be sent when free text may not: a few names, and 20260220000200_wa_templates lists all of them.
create or replace function private.suggest_templates(p_connection public.wa_phone_numbers) returns jsonb
language sql stable security invoker set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('id', known.id, 'name', known.name, 'language', known.language)), '[]')
  from (
    select template.id, template.name, template.language from public.wa_templates as template
    where template.workspace_id = (p_connection).workspace_id and template.waba_id = (p_connection).waba_id
      and template.status = 'APPROVED'
    order by template.name, template.language
    limit 5
  ) as known
$$;

-- Shows a queued reply in its thread, which is answered now.
create or replace function private.show_whatsapp_reply(p_outbox public.outbox_messages, p_type text, p_body text)
returns public.wa_messages
language plpgsql security invoker set search_path = '' as $$
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
    -- The customer may have written while this waited for the thread.
    last_message_body = case when thread.last_message_at > now() then thread.last_message_body else left(p_body, 200) end,
    unread_count = 0, waiting_since = null,
    answered_at = greatest(thread.answered_at, thread.last_inbound_at),
    first_response_seconds = coalesce(thread.first_response_seconds,
      extract(epoch from now() - thread.waiting_since)::integer)
  where thread.id = p_outbox.thread_id;
  return v_message;
end $$;

-- What makes a reply the answer to one message of its thread, as part of the body of Meta's request.
create or replace function private.quoting(p_thread_id uuid, p_message_id uuid) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
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

-- Definer: members write neither messages nor the outbox directly; this checks role, window and connection first.
create or replace function public.send_whatsapp_text(
  p_thread_id uuid, p_body text, p_idempotency_key text, p_quoted_id uuid default null
) returns public.wa_messages
language plpgsql security definer set search_path = '' as $$
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
comment on function public.send_whatsapp_text(uuid, text, text, uuid) is
  'Queues a text reply by the thread''s own number, within 24 hours of the customer''s last message; repeating the key returns the first message.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: looking after the queue
------------------------------------------------------------------------------------------------------------------------
create or replace function public.enqueue_outbox(
  p_workspace_id uuid, p_channel text, p_recipients text[], p_payloads jsonb[], p_idempotency_keys text[],
  p_connection_id uuid default null, p_thread_ids uuid[] default null, p_priority integer default 0,
  p_scheduled_at timestamptz default null, p_automated boolean default false, p_max_attempts integer default 5
) returns uuid[]
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
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
comment on function public.enqueue_outbox(uuid, text, text[], jsonb[], text[], uuid, uuid[], integer, timestamptz, boolean, integer) is
  'Queues messages of one sender and returns their ids in the order given; a repeated key returns its first message.';

create or replace function public.cancel_outbox(p_ids uuid[], p_reason text default 'Cancelled.')
returns table (id uuid, outcome text)
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.cancel_outbox(uuid[], text) is
  'Cancels messages that wait; one in a worker''s hands is answered processing, one that is settled its status.';

create or replace function private.cancel_queued_outbox(p_ids uuid[], p_reason text) returns uuid[]
language plpgsql security invoker set search_path = '' as $$
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

-- Automation stops where the customer replies or a person takes over: what it has queued for these threads doesn't
-- leave any more. What a worker has in hand may.
create or replace function private.cancel_automated_outbox(p_thread_ids uuid[], p_reason text) returns void
language plpgsql security invoker set search_path = '' as $$
declare
  v_ids uuid[] := array(
    select outbox.id from public.outbox_messages as outbox
    where outbox.thread_id = any (p_thread_ids) and outbox.automated and outbox.status = 'queued');
begin
  if v_ids <> '{}' then
    perform private.cancel_queued_outbox(v_ids, p_reason);
  end if;
end $$;

-- What statuses prove about sends. Outbox rows are locked before their messages and by id, as every report of a worker
-- locks them: a status often comes while its send is being reported. Sent ones may fail by it.
create or replace function private.lock_open_outbox(p_ids uuid[]) returns void
language plpgsql security invoker set search_path = '' as $$
begin
  perform 1 from public.outbox_messages as outbox
  where outbox.id = any (p_ids) and outbox.status in ('unknown', 'queued', 'processing', 'sent')
  order by outbox.id
  for no key update;
end $$;

-- Settles sends whose outcome a status has shown: one that was never answered, one that waits for a retry, and one that
-- a worker still has in hand: should the worker die or misjudge the send, nobody asks for this status again. A failure
-- also overrides an acceptance, and if it isn't the message's own, holds back what would meet the same.
create or replace function private.settle_outbox_from_statuses(
  p_ids uuid[], p_provider_message_ids text[], p_failed boolean[], p_error_codes integer[], p_error_texts text[]
) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_custom_plan as $$
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

-- How far the cause of a failed status reaches: connection (pause it until somebody mends it), number, account and app
-- (a pause), recipient; null: the message alone.
create or replace function private.whatsapp_error_scope(p_code integer) returns text
language sql immutable security invoker set search_path = '' as $$
  select case
    when p_code in (0, 3, 10, 190, 131005, 33, 131037, 131045, 133006, 133010, 368, 131031, 131042, 131048, 131064)
      or p_code between 200 and 299 then 'connection'
    when p_code = 130429 then 'number'
    when p_code = 80007 then 'account'
    when p_code = 4 then 'app'
    when p_code = 131056 then 'recipient'
  end
$$;

-- Errors that Meta reports by webhook only, after it accepted the message: the same classes as in its answers. Numbers
-- pause before the outbox's rows are locked, as in the reports of workers.
create or replace function private.pause_for_statuses(p_ids uuid[], p_error_codes integer[], p_error_texts text[])
returns void
language sql security invoker set search_path = '' as $$
  select private.pause_outbox_lanes(array_agg(outbox.connection_id),
    array_agg(private.whatsapp_error_scope(failure.error_code)),
    array_agg(concat_ws(': ', failure.error_code, failure.error_text)))
  from unnest(p_ids, p_error_codes, p_error_texts) as failure (id, error_code, error_text)
  join public.outbox_messages as outbox on outbox.id = failure.id
  where private.whatsapp_error_scope(failure.error_code) in ('number', 'account', 'app')
  having count(*) > 0
$$;

-- What else would meet the same: a number that somebody has to mend, a recipient who has had too much.
create or replace function private.hold_back_outbox(p_ids uuid[], p_error_codes integer[], p_error_texts text[])
returns void
language sql security invoker set search_path = '' as $$
  update public.wa_phone_numbers as connection set status = 'paused',
    status_reason = left(concat_ws(': ', failure.error_code, failure.error_text), 500)
  from unnest(p_ids, p_error_codes, p_error_texts) as failure (id, error_code, error_text)
  join public.outbox_messages as outbox on outbox.id = failure.id
  where private.whatsapp_error_scope(failure.error_code) = 'connection' and connection.id = outbox.connection_id
    and connection.status = 'active';
  -- As if the recipient's burst were used up, and a little more.
  update private.outbox_lines as line
  set next_at = greatest(line.next_at, clock_timestamp() + (private.outbox_pace()).p_lead + interval '16 s')
  from public.outbox_messages as outbox
  join unnest(p_ids, p_error_codes) as failure (id, error_code) on failure.id = outbox.id
  where private.whatsapp_error_scope(failure.error_code) = 'recipient' and line.line_id = outbox.line_id;
$$;

create or replace function public.find_outbox_message(p_id uuid) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
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
comment on function public.find_outbox_message(uuid) is
  'One message with where it stands: processing while a worker has it, behind which message it waits, until when its lane is paused.';

-- p_before and p_before_id are of the last message of the page before: its scheduled_at where it is queued or
-- processing, else its settled_at, which says here of each since when it is known to have ended badly.
create or replace function public.list_outbox(
  p_status text, p_workspace_id uuid default null, p_connection_id uuid default null, p_limit integer default 50,
  p_before timestamptz default null, p_before_id uuid default null
) returns setof public.outbox_messages
language plpgsql stable security invoker set search_path = '' as $$
#variable_conflict use_column
declare
  v_before_id constant uuid := coalesce(p_before_id, '00000000-0000-0000-0000-000000000000');
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
      and (p_before is null or (outbox.scheduled_at, outbox.id) < (p_before, v_before_id))
    order by outbox.scheduled_at desc, outbox.id desc limit p_limit;
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
      and (p_before is null or (outbox.scheduled_at, outbox.id) < (p_before, v_before_id))
    order by outbox.scheduled_at desc, outbox.id desc limit p_limit;
  else
    return query
    select shown.* from private.outbox_problems as problem
    -- One by one, until there are enough.
    cross join lateral (
      select message from public.outbox_messages as message
      where message.id = problem.id and message.status = problem.status
        and (p_connection_id is null or message.connection_id = p_connection_id)
      offset 0) as outbox
    cross join jsonb_populate_record(
      outbox.message, jsonb_build_object('settled_at', problem.settled_at)) as shown
    where problem.status = p_status and (p_workspace_id is null or problem.workspace_id = p_workspace_id)
      and (p_before is null or (problem.settled_at, problem.id) < (p_before, v_before_id))
    order by problem.settled_at desc, problem.id desc limit p_limit;
  end if;
end $$;
comment on function public.list_outbox(text, uuid, uuid, integer, timestamptz, uuid) is
  'Messages that are queued, in a worker''s hands, or ended badly; the latest first.';

create or replace function public.retry_outbox(p_ids uuid[], p_spread_seconds integer default 0)
returns table (id uuid, outcome text)
language plpgsql security invoker set search_path = '' as $$
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
      -- What an older database held for no number in particular can't leave by any.
      and (outbox.connection_id is not null or outbox.channel <> 'whatsapp')
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
  select asked.id, case
      when outbox.id is null then 'not_found'
      when outbox.channel = 'whatsapp' and outbox.connection_id is null and outbox.status <> 'sent'
        then 'not_attributable'
      else outbox.status
    end
  from unnest(p_ids) as asked (id) left join public.outbox_messages as outbox on outbox.id = asked.id;
end $$;
comment on function public.retry_outbox(uuid[], integer) is
  'Queues settled messages again, spread over so many seconds. One whose outcome is unknown may reach the customer twice: name it only when a person has decided so.';

create or replace function public.purge_outbox(
  p_status text, p_older_than interval default interval '0', p_workspace_id uuid default null,
  p_limit integer default 1000
) returns integer
language plpgsql security invoker set search_path = '' as $$
declare
  v_ids uuid[];
begin
  if p_status is null or p_status not in ('failed', 'dead', 'unknown') or p_limit is null
    or p_limit not between 1 and 10000
  then
    perform private.raise_error(400, 'invalid_value',
      '{"fields": ["p_status", "p_limit"], "allowed": ["failed", "dead", "unknown"]}',
      'Purge one of the allowed statuses, 1 to 10000 messages at once.');
  end if;
  v_ids := array(
    select outbox.id from public.outbox_messages as outbox
    where outbox.id = any (array(
        select problem.id from private.outbox_problems as problem
        where problem.status = p_status and problem.settled_at <= now() - p_older_than
          and (p_workspace_id is null or problem.workspace_id = p_workspace_id)
        order by problem.settled_at limit p_limit))
      and outbox.status = p_status
    order by outbox.id
    for update);
  perform private.give_up_lead_messages(v_ids) where p_status = 'unknown';
  delete from public.outbox_messages as outbox where outbox.id = any (v_ids);
  return cardinality(v_ids);
end $$;
comment on function public.purge_outbox(text, interval, uuid, integer) is
  'Deletes messages that ended badly, the oldest first; returns how many. What the team saw of them stays.';

-- Planned for what is asked: a workspace pays for none of the others.
create or replace function public.get_outbox_stats(p_workspace_id uuid default null) returns jsonb
language plpgsql stable security invoker set search_path = '' set plan_cache_mode = force_custom_plan as $$
begin
  return (
    with lane as materialized (
      select lane.lane_id, lane.workspace_id, lane.channel, lane.connection_id, lane.paused_until, lane.pause_reason,
        coalesce(connection.status, 'active') as connection_status
      from private.outbox_lanes as lane
      left join public.wa_phone_numbers as connection on connection.id = lane.connection_id
      where p_workspace_id is null or lane.workspace_id = p_workspace_id
    ), waiting as (
      select waiting.lane_id, count(*) as waiting from private.outbox_waiting as waiting
      where waiting.lane_id in (select lane.lane_id from lane) group by waiting.lane_id
    ), depth as (
      select lane.*, ready.due, ready.scheduled, coalesce(waiting.waiting, 0) as waiting,
        greatest(ready.oldest_seconds, 0) as oldest_seconds
      from lane
      cross join lateral (
        select count(*) filter (where ready.run_at <= now()) as due,
          count(*) filter (where ready.run_at > now()) as scheduled,
          extract(epoch from now() - min(ready.run_at)) as oldest_seconds
        from private.outbox_ready as ready where ready.lane_id = lane.lane_id) as ready
      left join waiting on waiting.lane_id = lane.lane_id
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
    from depth);
end $$;
comment on function public.get_outbox_stats(uuid) is
  'Depth, age of the oldest due message, what is in workers'' hands, per lane too; and what ended badly, by code.';

create or replace function public.pause_connection(p_connection_id uuid, p_reason text default 'Paused by a person.')
returns public.wa_phone_numbers
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.pause_connection(uuid, text) is
  'Holds back everything queued for a number until it is resumed; it still receives.';

create or replace function public.resume_connection(p_connection_id uuid) returns public.wa_phone_numbers
language plpgsql security invoker set search_path = '' as $$
declare
  v_connection public.wa_phone_numbers;
begin
  -- Lanes first, as in a worker's report.
  update private.outbox_lanes as lane set paused_until = '-infinity', pause_count = 0, pause_reason = null
  where lane.connection_id = p_connection_id;
  update public.wa_phone_numbers as connection set status = 'active', status_reason = null
  where connection.id = p_connection_id and connection.deleted_at is null and connection.status <> 'inactive'
  returning * into v_connection;
  if not found then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('connection_id', p_connection_id),
      'Check the id; a number that was disconnected has to be connected again.');
  end if;
  perform private.wake_outbox_workers();
  return v_connection;
end $$;
comment on function public.resume_connection(uuid) is
  'Lets a paused number send again, at once; also ends a pause that the provider asked for.';

-- Some of what nobody asks for any more, a bounded amount each time.
create or replace function public.maintain_outbox(p_archive_after interval default interval '30 days')
returns jsonb
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.maintain_outbox(interval) is
  'Archives finished messages and clears idle lines and ended rate limits, a bounded amount each time; workers call it.';

create or replace function public.take_rate_limit_slot(p_key text, p_cap integer, p_window_seconds integer)
returns table (allowed boolean, remaining integer, resets_at timestamptz)
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.take_rate_limit_slot(text, integer, integer) is
  'Takes one of p_cap slots of the key''s present window and says how many remain and when the window ends.';

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
-- Whoever queues a message queues it: there is no second step to forget.
create or replace trigger outbox_messages_queue_inserted after insert on public.outbox_messages
  referencing new table as inserted for each statement execute function private.queue_inserted_outbox();
create or replace trigger outbox_lanes_delete_messages after delete on private.outbox_lanes
  for each row execute function private.delete_outbox_lane();

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.outbox_turn(integer), private.wake_outbox_workers(), private.ensure_outbox_lane(uuid, uuid, text),
  private.outbox_pace(), private.queue_outbox(uuid[]), private.leave_outbox_lines(bigint[], bigint[], boolean),
  private.return_outbox(uuid[]), private.queue_inserted_outbox(), private.delete_outbox_lane(),
  private.queue_whatsapp(uuid, jsonb, text, boolean), private.whatsapp_recipient(uuid, public.wa_phone_numbers),
  private.suggest_templates(public.wa_phone_numbers),
  private.show_whatsapp_reply(public.outbox_messages, text, text), private.quoting(uuid, uuid),
  private.withdraw_outbox(uuid[]), private.note_outbox_problems(uuid[]),
  private.pause_outbox_lanes(uuid[], text[], text[]), private.end_outbox_leases(),
  public.claim_outbox(integer, text), private.outbox_report_outcome(bigint, boolean, public.outbox_messages),
  private.shrink_outbox_lease(bigint, uuid[]), private.show_sent_outbox(uuid[]),
  public.complete_outbox(bigint, jsonb), public.fail_outbox(bigint, jsonb), public.extend_lease(bigint, integer),
  public.release_lost_claims(text, bigint[]), public.get_outbox_wait(), public.send_whatsapp_text(uuid, text, text, uuid),
  public.enqueue_outbox(uuid, text, text[], jsonb[], text[], uuid, uuid[], integer, timestamptz, boolean, integer),
  public.cancel_outbox(uuid[], text), private.cancel_queued_outbox(uuid[], text),
  private.cancel_automated_outbox(uuid[], text), private.lock_open_outbox(uuid[]),
  private.settle_outbox_from_statuses(uuid[], text[], boolean[], integer[], text[]),
  private.pause_for_statuses(uuid[], integer[], text[]), private.hold_back_outbox(uuid[], integer[], text[]),
  private.whatsapp_error_scope(integer),
  public.find_outbox_message(uuid), public.list_outbox(text, uuid, uuid, integer, timestamptz, uuid),
  public.retry_outbox(uuid[], integer), public.purge_outbox(text, interval, uuid, integer),
  public.get_outbox_stats(uuid), public.pause_connection(uuid, text), public.resume_connection(uuid),
  public.maintain_outbox(interval), public.take_rate_limit_slot(text, integer, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  private.outbox_turn(integer), private.wake_outbox_workers(), private.ensure_outbox_lane(uuid, uuid, text),
  private.outbox_pace(), private.queue_outbox(uuid[]), private.leave_outbox_lines(bigint[], bigint[], boolean),
  private.return_outbox(uuid[]), private.withdraw_outbox(uuid[]), private.note_outbox_problems(uuid[]),
  private.pause_outbox_lanes(uuid[], text[], text[]), private.end_outbox_leases(),
  public.claim_outbox(integer, text), private.outbox_report_outcome(bigint, boolean, public.outbox_messages),
  private.shrink_outbox_lease(bigint, uuid[]), private.show_sent_outbox(uuid[]),
  public.complete_outbox(bigint, jsonb), public.fail_outbox(bigint, jsonb), public.extend_lease(bigint, integer),
  public.release_lost_claims(text, bigint[]), public.get_outbox_wait(), public.send_whatsapp_text(uuid, text, text, uuid),
  public.enqueue_outbox(uuid, text, text[], jsonb[], text[], uuid, uuid[], integer, timestamptz, boolean, integer),
  public.cancel_outbox(uuid[], text), private.cancel_queued_outbox(uuid[], text),
  private.cancel_automated_outbox(uuid[], text), private.lock_open_outbox(uuid[]),
  private.settle_outbox_from_statuses(uuid[], text[], boolean[], integer[], text[]),
  private.pause_for_statuses(uuid[], integer[], text[]), private.hold_back_outbox(uuid[], integer[], text[]),
  private.whatsapp_error_scope(integer),
  public.find_outbox_message(uuid), public.list_outbox(text, uuid, uuid, integer, timestamptz, uuid),
  public.retry_outbox(uuid[], integer), public.purge_outbox(text, interval, uuid, integer),
  public.get_outbox_stats(uuid), public.pause_connection(uuid, text), public.resume_connection(uuid),
  public.maintain_outbox(interval), public.take_rate_limit_slot(text, integer, integer)
  to service_role;
grant execute on function public.send_whatsapp_text(uuid, text, text, uuid) to authenticated;

------------------------------------------------------------------------------------------------------------------------
-- What an older table held
------------------------------------------------------------------------------------------------------------------------
select private.queue_outbox(array_agg(outbox.id)) from public.outbox_messages as outbox
where outbox.status = 'queued'
  and not exists (select 1 from private.outbox_ready as ready where ready.id = outbox.id)
  and not exists (select 1 from private.outbox_waiting as waiting where waiting.id = outbox.id)
  and not exists (select 1 from private.outbox_leases as lease where outbox.id = any (lease.ids))
having count(*) > 0;
select private.note_outbox_problems(array_agg(outbox.id)) from public.outbox_messages as outbox
where outbox.status in ('failed', 'dead', 'unknown')
  and not exists (select 1 from private.outbox_problems as problem where problem.id = outbox.id)
having count(*) > 0;

notify pgrst, 'reload schema';
