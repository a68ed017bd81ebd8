-- Purpose:   WhatsApp connections (phone numbers), threads, messages, statuses that came early, and raw webhook events.
-- Needs:     001_core_identity, 002_crm.
-- Used by:   the routing and reliability migrations; qero.services.whatsapp, webhooks, connections.
-- Raises:    nothing itself.
-- Roll back: drop the tables below. Loses every conversation: back up first.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Status rank: a message's status only moves up
------------------------------------------------------------------------------------------------------------------------
-- A failure ranks below delivered, so that proof of delivery wins whatever the order; error_code stays beside it.
create or replace function private.wa_status_rank(p_status text) returns smallint
language sql immutable parallel safe set search_path = '' as $$
  select (case p_status
    when 'pending' then 0 when 'cancelled' then 3 when 'unknown' then 5 when 'sent' then 10 when 'failed' then 15
    when 'delivered' then 20 when 'read' then 30 when 'played' then 40
  end)::smallint
$$;
revoke all on function private.wa_status_rank(text) from public, anon, authenticated, service_role;
grant execute on function private.wa_status_rank(text) to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.wa_phone_numbers (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  waba_id text not null,
  phone_number_id text not null,
  display_phone_number text,
  verified_name text,
  status text not null default 'active',
  status_reason text,
  messages_per_second integer not null default 80,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint wa_phone_numbers_workspace_id_id_key unique (workspace_id, id),
  constraint wa_phone_numbers_status_check check (status in ('active', 'inactive', 'paused')),
  constraint wa_phone_numbers_phone_number_id_check check (phone_number_id ~ '^[0-9]{1,32}$'),
  constraint wa_phone_numbers_waba_id_check check (waba_id ~ '^[0-9]{1,32}$'),
  constraint wa_phone_numbers_messages_per_second_check check (messages_per_second between 1 and 10000)
);
comment on table public.wa_phone_numbers is
  'Connections: the WhatsApp numbers of a workspace. The access token is elsewhere, out of every member''s reach.';

create table if not exists private.wa_connection_secrets (
  connection_id uuid primary key references public.wa_phone_numbers (id) on delete cascade,
  access_token_ciphertext text not null,
  updated_at timestamptz not null default now()
);
comment on table private.wa_connection_secrets is
  'Access tokens, encrypted by the application with a key that the database never sees.';

create table if not exists public.wa_threads (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null,
  connection_id uuid not null,
  contact_id uuid not null,
  status text not null default 'open',
  assignee_id uuid,
  tags text[] not null default '{}',
  snoozed_until timestamptz,
  last_inbound_at timestamptz,
  last_message_at timestamptz,
  last_message_body text,
  unread_count integer not null default 0,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint wa_threads_workspace_id_id_key unique (workspace_id, id),
  constraint wa_threads_connection_id_contact_id_key unique (connection_id, contact_id),
  constraint wa_threads_id_connection_id_workspace_id_key unique (id, connection_id, workspace_id),
  constraint wa_threads_workspace_id_connection_id_fkey
    foreign key (workspace_id, connection_id) references public.wa_phone_numbers (workspace_id, id) on delete cascade,
  constraint wa_threads_workspace_id_contact_id_fkey
    foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade,
  -- Only a member can be in charge, and whoever leaves the workspace no longer is.
  constraint wa_threads_workspace_id_assignee_id_fkey foreign key (workspace_id, assignee_id)
    references public.workspace_memberships (workspace_id, user_id) on delete set null (assignee_id),
  constraint wa_threads_status_check check (status in ('open', 'pending', 'snoozed', 'closed')),
  constraint wa_threads_unread_count_check check (unread_count >= 0)
) with (fillfactor = 80);
comment on column public.wa_threads.last_inbound_at is
  'When the customer last wrote; free text may be sent for 24 hours from here.';

create table if not exists public.wa_messages (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null,
  connection_id uuid not null,
  thread_id uuid not null,
  sequence bigint generated always as identity,
  direction text not null,
  wa_message_id text,
  type text not null,
  body text,
  content jsonb not null default '{}'::jsonb,
  status text,
  status_rank smallint generated always as (private.wa_status_rank(status)) stored,
  error_code integer,
  error_text text,
  sent_by uuid references public.profiles (id) on delete set null,
  outbox_id uuid,
  occurred_at timestamptz not null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint wa_messages_connection_id_wa_message_id_key unique (connection_id, wa_message_id),
  -- One key says all of it: the message's thread, number and workspace belong together.
  constraint wa_messages_thread_id_connection_id_workspace_id_fkey
    foreign key (thread_id, connection_id, workspace_id)
    references public.wa_threads (id, connection_id, workspace_id) on delete cascade,
  constraint wa_messages_direction_check check (direction in ('in', 'out')),
  constraint wa_messages_status_check check (
    (direction = 'in' and status is null)
    or (direction = 'out'
      and status in ('pending', 'cancelled', 'unknown', 'sent', 'failed', 'delivered', 'read', 'played'))
  )
) with (fillfactor = 85);

comment on column public.wa_messages.sequence is
  'Order of arrival, which decides between messages of the same second: Meta''s times are whole seconds.';

create table if not exists public.wa_message_statuses (
  connection_id uuid not null references public.wa_phone_numbers (id) on delete cascade,
  wa_message_id text not null,
  status text not null,
  error_code integer,
  error_text text,
  occurred_at timestamptz not null,
  created_at timestamptz not null default now(),
  constraint wa_message_statuses_pkey primary key (connection_id, wa_message_id, status),
  constraint wa_message_statuses_status_check check (private.wa_status_rank(status) is not null)
);
comment on table public.wa_message_statuses is
  'Statuses whose message isn''t stored yet; they are applied, and removed, when it is.';

create table if not exists public.meta_webhook_events (
  id bigint generated always as identity primary key,
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  connection_id uuid,
  event_key text not null,
  kind text not null,
  event jsonb not null,
  status text not null,
  attempts integer not null default 1,
  error text,
  received_at timestamptz not null default now(),
  constraint meta_webhook_events_workspace_id_event_key_key unique (workspace_id, event_key),
  constraint meta_webhook_events_workspace_id_connection_id_fkey
    foreign key (workspace_id, connection_id) references public.wa_phone_numbers (workspace_id, id) on delete cascade,
  constraint meta_webhook_events_kind_check check (kind in ('message', 'status', 'other', 'malformed')),
  constraint meta_webhook_events_status_check check (status in ('applied', 'kept', 'set_aside')),
  constraint meta_webhook_events_event_key_check check (length(event_key) between 1 and 512)
);
comment on column public.meta_webhook_events.event is
  'The item as parsed, with the item as Meta sent it under "raw": a wrong belief about its meaning can be repaired.';

create table if not exists public.orphan_webhook_events (
  id bigint generated always as identity primary key,
  phone_number_id text not null,
  event_key text not null,
  kind text not null,
  event jsonb not null,
  hits integer not null default 1,
  received_at timestamptz not null default now(),
  processed_at timestamptz,
  constraint orphan_webhook_events_phone_number_id_event_key_key unique (phone_number_id, event_key)
);
comment on table public.orphan_webhook_events is
  'Webhook items for numbers that no workspace has connected; connecting the number replays them.';
comment on column public.orphan_webhook_events.phone_number_id is
  'Meta''s phone number id, or waba:<id> for items that only name a business account.';

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
-- While a number is connected somewhere it can't be connected a second time, in any workspace.
create unique index if not exists wa_phone_numbers_phone_number_id_idx
  on public.wa_phone_numbers (phone_number_id) where deleted_at is null and status <> 'inactive';
create index if not exists wa_phone_numbers_waba_id_idx on public.wa_phone_numbers (waba_id);
create index if not exists wa_threads_workspace_id_last_message_at_idx
  on public.wa_threads (workspace_id, last_message_at desc, id desc);
create index if not exists wa_threads_workspace_id_connection_id_idx on public.wa_threads (workspace_id, connection_id);
create index if not exists wa_threads_workspace_id_contact_id_idx on public.wa_threads (workspace_id, contact_id);
create index if not exists wa_threads_workspace_id_assignee_id_idx
  on public.wa_threads (workspace_id, assignee_id) where assignee_id is not null;
create index if not exists wa_messages_thread_id_occurred_at_idx
  on public.wa_messages (thread_id, connection_id, workspace_id, occurred_at desc, sequence desc);
create unique index if not exists wa_messages_outbox_id_idx
  on public.wa_messages (outbox_id, workspace_id) where outbox_id is not null;
create index if not exists wa_messages_sent_by_idx on public.wa_messages (sent_by) where sent_by is not null;
create index if not exists meta_webhook_events_workspace_id_connection_id_idx
  on public.meta_webhook_events (workspace_id, connection_id);
create index if not exists meta_webhook_events_set_aside_idx
  on public.meta_webhook_events (workspace_id, id) where status = 'set_aside';
create index if not exists orphan_webhook_events_unprocessed_idx
  on public.orphan_webhook_events (phone_number_id, id) where processed_at is null;

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.wa_phone_numbers enable row level security;
alter table private.wa_connection_secrets enable row level security;
alter table public.wa_threads enable row level security;
alter table public.wa_messages enable row level security;
alter table public.wa_message_statuses enable row level security;
alter table public.meta_webhook_events enable row level security;
alter table public.orphan_webhook_events enable row level security;

drop policy if exists wa_phone_numbers_select_member on public.wa_phone_numbers;
create policy wa_phone_numbers_select_member on public.wa_phone_numbers for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

drop policy if exists wa_threads_select_member on public.wa_threads;
create policy wa_threads_select_member on public.wa_threads for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

drop policy if exists wa_messages_select_member on public.wa_messages;
create policy wa_messages_select_member on public.wa_messages for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

drop policy if exists meta_webhook_events_select_admin on public.meta_webhook_events;
create policy meta_webhook_events_select_admin on public.meta_webhook_events for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin'))));

-- Only the service reaches these; the policies say so in words, for people and for the advisor.
drop policy if exists wa_connection_secrets_all_service on private.wa_connection_secrets;
create policy wa_connection_secrets_all_service on private.wa_connection_secrets for all to service_role
  using (true) with check (true);
drop policy if exists wa_message_statuses_all_service on public.wa_message_statuses;
create policy wa_message_statuses_all_service on public.wa_message_statuses for all to service_role
  using (true) with check (true);
drop policy if exists orphan_webhook_events_all_service on public.orphan_webhook_events;
create policy orphan_webhook_events_all_service on public.orphan_webhook_events for all to service_role
  using (true) with check (true);

------------------------------------------------------------------------------------------------------------------------
-- Grants
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.wa_phone_numbers, private.wa_connection_secrets, public.wa_threads, public.wa_messages,
  public.wa_message_statuses, public.meta_webhook_events, public.orphan_webhook_events
  from public, anon, authenticated, service_role;
grant select on table public.wa_phone_numbers, public.wa_threads, public.wa_messages, public.meta_webhook_events
  to authenticated;
grant select, insert, update, delete on table public.wa_phone_numbers, private.wa_connection_secrets, public.wa_threads,
  public.wa_messages, public.wa_message_statuses, public.meta_webhook_events, public.orphan_webhook_events
  to service_role;
-- Older projects grant new sequences to the API roles; writing an identity column needs no grant on its sequence.
revoke all on sequence public.wa_messages_sequence_seq, public.meta_webhook_events_id_seq,
  public.orphan_webhook_events_id_seq
  from public, anon, authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger wa_phone_numbers_set_updated_at before update on public.wa_phone_numbers
  for each row execute function private.set_updated_at();
create or replace trigger wa_threads_set_updated_at before update on public.wa_threads
  for each row execute function private.set_updated_at();
create or replace trigger wa_messages_set_updated_at before update on public.wa_messages
  for each row execute function private.set_updated_at();

------------------------------------------------------------------------------------------------------------------------
-- Realtime
------------------------------------------------------------------------------------------------------------------------
do $$
declare
  v_table text;
begin
  foreach v_table in array array['wa_threads', 'wa_messages'] loop
    if not exists (
      select 1 from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = v_table
    ) then
      execute format('alter publication supabase_realtime add table public.%I', v_table);
    end if;
  end loop;
end $$;

notify pgrst, 'reload schema';
