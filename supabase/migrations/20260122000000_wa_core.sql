-- Purpose:   WhatsApp connections (phone numbers), threads, messages with what changed them, statuses that came early,
--            templates, and raw webhook events.
-- Needs:     001_core_identity, 002_crm.
-- Used by:   the routing and reliability migrations; qero.services.connections, threads, events.
-- Raises:    nothing itself.
-- Roll back: drop the tables below. Loses every conversation: back up first.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Status rank: a message's status only moves up
------------------------------------------------------------------------------------------------------------------------
-- A failure ranks below delivered, so that proof of delivery wins whatever the order; error_code stays beside it.
-- The column status_rank says the same without a call for each row: keep them alike.
create or replace function private.wa_status_rank(p_status text) returns integer
language sql immutable parallel safe set search_path = '' as $$
  select array_position(
    array['pending', 'cancelled', 'unknown', 'sent', 'failed', 'delivered', 'read', 'played'], p_status)
$$;
revoke all on function private.wa_status_rank(text) from public, anon, authenticated, service_role;
grant execute on function private.wa_status_rank(text) to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Search: what a message is found by
------------------------------------------------------------------------------------------------------------------------
-- Immutable although a configuration could be changed: those of Postgres itself never are. Languages are kept by name,
-- because pg_upgrade refuses columns of regconfig. What is longer than a message can be would fail as a whole. Its cost
-- keeps Postgres from asking each of many messages where the index knows.
create or replace function private.search_vector(p_language text, p_text text) returns tsvector
language plpgsql immutable parallel safe cost 1000 set search_path = '' as $$
begin
  return to_tsvector(('pg_catalog.' || coalesce(p_language, 'simple'))::regconfig, left(p_text, 50000));
end $$;

create or replace function private.is_search_language(p_language text) returns boolean
language sql stable parallel safe set search_path = '' as $$
  select exists (
    select from pg_ts_config as configuration
    where configuration.cfgname = p_language and configuration.cfgnamespace = 'pg_catalog'::regnamespace)
$$;
revoke all on function private.search_vector(text, text), private.is_search_language(text)
  from public, anon, authenticated, service_role;
-- Whoever writes a message writes its index.
grant execute on function private.search_vector(text, text) to authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
-- Column by column, because tables of an older shape may stand there already: what they lack is added.
create table if not exists public.wa_phone_numbers (id uuid primary key default gen_random_uuid());
alter table public.wa_phone_numbers
  add column if not exists workspace_id uuid,
  add column if not exists waba_id text,
  add column if not exists phone_number_id text,
  add column if not exists display_phone_number text,
  add column if not exists verified_name text,
  add column if not exists status text not null default 'active',
  add column if not exists status_reason text,
  add column if not exists messages_per_second integer not null default 80,
  add column if not exists quality text,
  add column if not exists messaging_limit text,
  add column if not exists quality_changed_at timestamptz,
  add column if not exists name_changed_at timestamptz,
  add column if not exists account_changed_at timestamptz,
  add column if not exists history_status text,
  add column if not exists history_progress smallint,
  add column if not exists search_languages text[] not null default '{simple}',
  add column if not exists deleted_at timestamptz,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();
comment on column public.wa_phone_numbers.quality is 'What Meta last said about the number''s quality, in Meta''s words.';
comment on column public.wa_phone_numbers.messaging_limit is
  'How many people Meta lets the business write to first within 24 hours, in Meta''s words.';
comment on column public.wa_phone_numbers.account_changed_at is
  'When Meta sent the account event that last changed the status: an older one that comes later changes nothing.';
comment on column public.wa_phone_numbers.search_languages is
  'What its messages are indexed in: the last is the present one, in those before it older messages are.';
comment on column public.wa_phone_numbers.history_status is
  'Of the messages that a phone shares from before it was connected; declined when its owner didn''t want to.';
comment on table public.wa_phone_numbers is
  'Connections: the WhatsApp numbers of a workspace. The access token is elsewhere, out of every member''s reach.';

create table if not exists private.wa_connection_secrets (connection_id uuid primary key);
alter table private.wa_connection_secrets
  add column if not exists access_token_ciphertext text,
  add column if not exists vault_secret_id uuid,
  add column if not exists meta_user_id text,
  add column if not exists updated_at timestamptz not null default now();
comment on table private.wa_connection_secrets is
  'Access tokens, encrypted by the application with a key that the database never sees.';
comment on column private.wa_connection_secrets.vault_secret_id is
  'Where the database has Supabase Vault, the ciphertext is in there, under this id, and not here.';
comment on column private.wa_connection_secrets.meta_user_id is
  'Whose grant at Meta the token is: when that user withdraws it, the connection ends.';

create table if not exists public.wa_threads (id uuid primary key default gen_random_uuid());
alter table public.wa_threads
  add column if not exists workspace_id uuid,
  add column if not exists connection_id uuid,
  add column if not exists contact_id uuid,
  add column if not exists group_id text,
  add column if not exists status text not null default 'open',
  add column if not exists assignee_id uuid,
  add column if not exists tags text[] not null default '{}',
  add column if not exists priority text not null default 'normal',
  add column if not exists snoozed_until timestamptz,
  add column if not exists last_inbound_at timestamptz,
  add column if not exists last_message_at timestamptz,
  add column if not exists last_message_body text,
  add column if not exists unread_count integer not null default 0,
  add column if not exists inbound_count bigint not null default 0,
  add column if not exists waiting_since timestamptz,
  add column if not exists answered_at timestamptz,
  add column if not exists first_waiting_since timestamptz,
  add column if not exists first_response_seconds integer,
  add column if not exists automation_stopped_at timestamptz,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now(),
  set (fillfactor = 70);
-- What is computed or counted, in one statement for each table, because one with rows is rewritten for it.
do $$
begin
  -- Where threads stood before: of what is unread in them, nobody has seen anything.
  if not exists (
    select from pg_attribute
    where attrelid = 'public.wa_threads'::regclass and attname = 'has_unread' and not attisdropped)
  then
    update public.wa_threads as thread set inbound_count = thread.unread_count
    where thread.inbound_count < thread.unread_count;
  end if;
  alter table public.wa_threads
    add column if not exists last_message_hour timestamptz generated always as (
      date_bin('1 hour', last_message_at, timestamptz '2000-01-01 00:00:00+00')) stored,
    add column if not exists has_unread boolean generated always as (unread_count > 0) stored;
end $$;
comment on column public.wa_threads.last_inbound_at is
  'When the customer last wrote or called; free text may be sent for 24 hours from here.';
comment on column public.wa_threads.unread_count is 'What came since the team last answered.';
comment on column public.wa_threads.has_unread is 'So that an index tells, and is written only when it changes.';
comment on column public.wa_threads.inbound_count is
  'How many messages ever came. How many of them somebody has seen is in wa_thread_reads: unread is a subtraction.';
comment on column public.wa_threads.waiting_since is
  'The earliest message that came after answered_at; null while nobody waits.';
comment on column public.wa_threads.answered_at is
  'What came up to here has been answered, or needs no answer because the conversation was closed.';
comment on column public.wa_threads.first_waiting_since is
  'When the customer began the present conversation: what the first answer took counts from here.';
comment on column public.wa_threads.first_response_seconds is
  'How long the customer waited for the first answer of the present conversation, which closing ends.';
comment on column public.wa_threads.automation_stopped_at is
  'When the customer last replied, or somebody wrote from the phone: automation that began before this is over.';

create table if not exists public.wa_messages (id uuid primary key);
alter table public.wa_messages
  -- Version 7: it begins with the time, so that new rows stand together in the index instead of all over it.
  alter column id set default encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
    placing substring(int8send((extract(epoch from clock_timestamp()) * 1000)::bigint) from 3) from 1 for 6),
    52, 1), 53, 1), 'hex')::uuid,
  add column if not exists workspace_id uuid,
  add column if not exists connection_id uuid,
  add column if not exists thread_id uuid,
  add column if not exists direction text,
  add column if not exists wa_message_id text,
  add column if not exists type text,
  add column if not exists body text,
  add column if not exists content jsonb not null default '{}'::jsonb,
  add column if not exists status text,
  add column if not exists error_code integer,
  add column if not exists error_text text,
  add column if not exists sent_by uuid,
  add column if not exists outbox_id uuid,
  add column if not exists source text not null default 'live',
  add column if not exists is_placeholder boolean not null default false,
  add column if not exists search_language text,
  add column if not exists sender_contact_id uuid,
  add column if not exists context jsonb,
  add column if not exists pricing jsonb,
  add column if not exists reactions jsonb,
  add column if not exists edited_at timestamptz,
  add column if not exists revoked_at timestamptz,
  add column if not exists occurred_at timestamptz,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now(),
  -- Room for each message on a page to be updated at once: statuses come for what was sent together, and an update that
  -- stays on its page writes no index.
  set (fillfactor = 60);
do $$
begin
  alter table public.wa_messages
    add column if not exists sequence bigint generated always as identity,
    add column if not exists status_rank integer generated always as (array_position(
      array['pending', 'cancelled', 'unknown', 'sent', 'failed', 'delivered', 'read', 'played'], status)) stored;
end $$;
comment on column public.wa_messages.sequence is
  'Order of arrival, which decides between messages of the same second: Meta''s times are whole seconds.';
comment on column public.wa_messages.source is
  'live: received by webhook or sent from here; phone: written in the WhatsApp app; history: from before the connection.';
comment on column public.wa_messages.is_placeholder is
  'Meta couldn''t show it yet, or the call is still going on: the content comes later under the same id.';
comment on column public.wa_messages.search_language is
  'The configuration it is indexed in, its number''s when it came; null is simple.';
comment on column public.wa_messages.sender_contact_id is 'Who wrote, in a group; elsewhere it is the thread''s contact.';
comment on column public.wa_messages.context is
  'What it came with beside its content: the message it answers, whether it was forwarded, the ad it came from, errors.';
comment on column public.wa_messages.pricing is 'What Meta said with the furthest status about pricing, unread.';
comment on column public.wa_messages.reactions is
  'Who reacts with what: {"customer" | "business" | a participant''s id: {"emoji": text, "at": timestamp}}.';

create table if not exists public.wa_message_changes (
  connection_id uuid not null,
  wa_message_id text not null,
  constraint wa_message_changes_pkey primary key (connection_id, wa_message_id)
);
alter table public.wa_message_changes
  add column if not exists kind text,
  add column if not exists target_id text,
  add column if not exists direction text,
  add column if not exists actor text,
  add column if not exists type text,
  add column if not exists body text,
  add column if not exists content jsonb,
  add column if not exists occurred_at timestamptz,
  add column if not exists created_at timestamptz not null default now();
comment on table public.wa_message_changes is
  'Reactions, edits and revocations of messages. What a message shows follows from all of them, whatever their order.';
comment on column public.wa_message_changes.target_id is 'Meta''s id of the message; it may come later, or never.';

create table if not exists public.wa_message_statuses (
  connection_id uuid not null,
  wa_message_id text not null,
  status text not null,
  constraint wa_message_statuses_pkey primary key (connection_id, wa_message_id, status)
);
alter table public.wa_message_statuses
  add column if not exists error_code integer,
  add column if not exists error_text text,
  add column if not exists pricing jsonb,
  add column if not exists occurred_at timestamptz,
  add column if not exists created_at timestamptz not null default now();
comment on table public.wa_message_statuses is
  'Statuses whose message isn''t stored yet; they are applied, and removed, when it is.';

create table if not exists public.wa_templates (id uuid primary key default gen_random_uuid());
alter table public.wa_templates
  add column if not exists workspace_id uuid,
  add column if not exists waba_id text,
  add column if not exists template_id text,
  add column if not exists name text,
  add column if not exists language text,
  add column if not exists status text,
  add column if not exists category text,
  add column if not exists quality text,
  add column if not exists rejected_reason text,
  add column if not exists components jsonb,
  add column if not exists status_changed_at timestamptz,
  add column if not exists category_changed_at timestamptz,
  add column if not exists quality_changed_at timestamptz,
  add column if not exists components_changed_at timestamptz,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();
comment on table public.wa_templates is
  'Message templates as Meta last described them: status, category and quality in Meta''s words.';

create table if not exists public.meta_webhook_events (
  -- No foreign key, which would be checked for each item against the one row that all items of a workspace share; the
  -- number that an item came for belongs to the workspace, and a trigger removes the events of one that goes.
  workspace_id uuid not null,
  event_key text not null,
  constraint meta_webhook_events_pkey primary key (workspace_id, event_key)
);
alter table public.meta_webhook_events
  add column if not exists phone_number_id text,
  add column if not exists kind text,
  add column if not exists raw jsonb,
  add column if not exists status text,
  add column if not exists attempts integer not null default 1,
  add column if not exists error text,
  add column if not exists received_at timestamptz not null default now();
do $$
begin
  alter table public.meta_webhook_events add column if not exists id bigint generated by default as identity;
end $$;
comment on column public.meta_webhook_events.raw is
  'The item as Meta sent it, in the smallest entry of a webhook body: a wrong belief about its meaning can be repaired.';
comment on column public.meta_webhook_events.status is
  'applied: took effect; kept: has no effect here; set_aside: could not be used, and the error says why.';

create table if not exists public.orphan_webhook_events (id bigint generated always as identity primary key);
alter table public.orphan_webhook_events
  add column if not exists phone_number_id text,
  add column if not exists event_key text,
  add column if not exists kind text,
  add column if not exists event jsonb,
  add column if not exists hits integer not null default 1,
  add column if not exists received_at timestamptz not null default now(),
  add column if not exists processed_at timestamptz;
comment on table public.orphan_webhook_events is
  'Webhook items for numbers that no workspace has connected; connecting the number replays them.';
comment on column public.orphan_webhook_events.event is
  'The item as parsed, with the item as Meta sent it under "raw".';
comment on column public.orphan_webhook_events.phone_number_id is
  'Meta''s phone number id, or waba:<id> for items that only name a business account.';

do $$
begin
  perform private.ensure_constraint(rule.of_table, rule.name, rule.definition) from (values
    ('public.wa_phone_numbers'::regclass, 'wa_phone_numbers_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('public.wa_phone_numbers', 'wa_phone_numbers_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('public.wa_phone_numbers', 'wa_phone_numbers_status_check',
      $check$check (status in ('active', 'inactive', 'paused'))$check$),
    ('public.wa_phone_numbers', 'wa_phone_numbers_phone_number_id_check',
      $check$check (phone_number_id ~ '^[0-9]{1,32}$')$check$),
    ('public.wa_phone_numbers', 'wa_phone_numbers_waba_id_check', $check$check (waba_id ~ '^[0-9]{1,32}$')$check$),
    ('public.wa_phone_numbers', 'wa_phone_numbers_messages_per_second_check',
      'check (messages_per_second between 1 and 10000)'),
    ('public.wa_phone_numbers', 'wa_phone_numbers_history_status_check',
      $check$check (history_status in ('syncing', 'complete', 'declined'))$check$),
    ('private.wa_connection_secrets', 'wa_connection_secrets_connection_id_fkey',
      'foreign key (connection_id) references public.wa_phone_numbers (id) on delete cascade'),
    ('private.wa_connection_secrets', 'wa_connection_secrets_one_place_check',
      'check (num_nonnulls(access_token_ciphertext, vault_secret_id) = 1)'),
    ('private.wa_connection_secrets', 'wa_connection_secrets_meta_user_id_check',
      $check$check (meta_user_id ~ '^[0-9]{1,32}$')$check$),
    ('public.wa_threads', 'wa_threads_connection_id_contact_id_key',
      'unique (workspace_id, connection_id, contact_id)'),
    ('public.wa_threads', 'wa_threads_id_connection_id_workspace_id_key',
      'unique (id, connection_id, workspace_id)'),
    ('public.wa_threads', 'wa_threads_workspace_id_connection_id_fkey', 'foreign key (workspace_id, connection_id)
      references public.wa_phone_numbers (workspace_id, id) on delete cascade'),
    ('public.wa_threads', 'wa_threads_workspace_id_contact_id_fkey',
      'foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade'),
    -- Only a member can be in charge, and whoever leaves the workspace no longer is.
    ('public.wa_threads', 'wa_threads_workspace_id_assignee_id_fkey', 'foreign key (workspace_id, assignee_id)
      references public.workspace_memberships (workspace_id, user_id) on delete set null (assignee_id)'),
    -- With one person, or with a group: what a person writes in a group isn't theirs alone to be answered.
    ('public.wa_threads', 'wa_threads_counterpart_check', 'check (num_nonnulls(contact_id, group_id) = 1)'),
    ('public.wa_threads', 'wa_threads_status_check',
      $check$check (status in ('open', 'pending', 'snoozed', 'closed'))$check$),
    ('public.wa_threads', 'wa_threads_priority_check',
      $check$check (priority in ('low', 'normal', 'high', 'urgent'))$check$),
    ('public.wa_threads', 'wa_threads_unread_count_check', 'check (unread_count >= 0)'),
    ('public.wa_messages', 'wa_messages_connection_id_wa_message_id_key', 'unique (connection_id, wa_message_id)'),
    -- One key says all of it: the message's thread, number and workspace belong together.
    ('public.wa_messages', 'wa_messages_thread_id_connection_id_workspace_id_fkey',
      'foreign key (thread_id, connection_id, workspace_id)
        references public.wa_threads (id, connection_id, workspace_id) on delete cascade'),
    ('public.wa_messages', 'wa_messages_sent_by_fkey',
      'foreign key (sent_by) references public.profiles (id) on delete set null'),
    ('public.wa_messages', 'wa_messages_workspace_id_sender_contact_id_fkey',
      'foreign key (workspace_id, sender_contact_id)
        references public.contacts (workspace_id, id) on delete set null (sender_contact_id)'),
    ('public.wa_messages', 'wa_messages_source_check', $check$check (source in ('live', 'phone', 'history'))$check$),
    ('public.wa_messages', 'wa_messages_direction_check', $check$check (direction in ('in', 'out'))$check$),
    ('public.wa_messages', 'wa_messages_status_check', $check$check (
      (direction = 'in' and status is null)
      or (direction = 'out'
        and status in ('pending', 'cancelled', 'unknown', 'sent', 'failed', 'delivered', 'read', 'played')))$check$),
    ('public.wa_message_changes', 'wa_message_changes_pkey', 'primary key (connection_id, wa_message_id)'),
    ('public.wa_message_changes', 'wa_message_changes_connection_id_fkey',
      'foreign key (connection_id) references public.wa_phone_numbers (id) on delete cascade'),
    ('public.wa_message_changes', 'wa_message_changes_kind_check',
      $check$check (kind in ('reaction', 'edit', 'revoke'))$check$),
    ('public.wa_message_changes', 'wa_message_changes_direction_check',
      $check$check (direction in ('in', 'out'))$check$),
    ('public.wa_message_statuses', 'wa_message_statuses_pkey', 'primary key (connection_id, wa_message_id, status)'),
    ('public.wa_message_statuses', 'wa_message_statuses_connection_id_fkey',
      'foreign key (connection_id) references public.wa_phone_numbers (id) on delete cascade'),
    ('public.wa_message_statuses', 'wa_message_statuses_status_check',
      'check (private.wa_status_rank(status) is not null)'),
    ('public.wa_templates', 'wa_templates_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('public.wa_templates', 'wa_templates_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('public.wa_templates', 'wa_templates_template_id_key', 'unique (workspace_id, waba_id, template_id)'),
    ('public.meta_webhook_events', 'meta_webhook_events_pkey', 'primary key (workspace_id, event_key)'),
    ('public.meta_webhook_events', 'meta_webhook_events_kind_check', $check$check (
      kind in ('message', 'echo', 'history', 'reaction', 'edit', 'revoke', 'status', 'call', 'identity', 'preference',
        'address_book', 'history_sync', 'template', 'account', 'number', 'error', 'other', 'malformed'))$check$),
    ('public.meta_webhook_events', 'meta_webhook_events_status_check',
      $check$check (status in ('applied', 'kept', 'set_aside'))$check$),
    ('public.meta_webhook_events', 'meta_webhook_events_event_key_check',
      'check (length(event_key) between 1 and 512)'),
    ('public.orphan_webhook_events', 'orphan_webhook_events_phone_number_id_event_key_key',
      'unique (phone_number_id, event_key)')
  ) as rule (of_table, name, definition);
  perform private.ensure_not_null('public.wa_phone_numbers', 'workspace_id', 'waba_id', 'phone_number_id');
  perform private.ensure_not_null('public.wa_message_changes', 'kind', 'target_id', 'direction', 'actor', 'occurred_at');
  perform private.ensure_not_null('public.wa_message_statuses', 'occurred_at');
  perform private.ensure_not_null('public.wa_templates', 'workspace_id', 'waba_id', 'template_id');
  perform private.ensure_not_null('public.meta_webhook_events', 'kind', 'raw', 'status');
  perform private.ensure_not_null('public.orphan_webhook_events', 'phone_number_id', 'event_key', 'kind', 'event');
  -- Where conversations from before stand, private.attribute_conversations comes first.
  if not exists (select from public.wa_threads) then
    perform private.ensure_not_null('public.wa_threads', 'workspace_id', 'connection_id');
  end if;
  if not exists (select from public.wa_messages) then
    perform private.ensure_not_null('public.wa_messages', 'workspace_id', 'connection_id', 'thread_id', 'direction',
      'type', 'occurred_at');
  end if;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
-- While a number is connected somewhere it can't be connected a second time, in any workspace.
create unique index if not exists wa_phone_numbers_phone_number_id_idx
  on public.wa_phone_numbers (phone_number_id) where deleted_at is null and status <> 'inactive';
create index if not exists wa_phone_numbers_waba_id_idx on public.wa_phone_numbers (waba_id);
create index if not exists wa_connection_secrets_meta_user_id_idx
  on private.wa_connection_secrets (meta_user_id) where meta_user_id is not null;
-- By the hour, which most messages don't change: then no index has to be written for them. Order by last_message_hour,
-- last_message_at, id: what one hour holds is sorted quickly.
create index if not exists wa_threads_workspace_id_last_message_hour_idx
  on public.wa_threads (workspace_id, last_message_hour desc);
create unique index if not exists wa_threads_connection_id_group_id_idx
  on public.wa_threads (connection_id, group_id) where group_id is not null;
create index if not exists wa_threads_workspace_id_contact_id_idx on public.wa_threads (workspace_id, contact_id);
create index if not exists wa_threads_workspace_id_status_last_message_hour_idx
  on public.wa_threads (workspace_id, status, last_message_hour desc);
create index if not exists wa_threads_workspace_id_assignee_id_status_idx
  on public.wa_threads (workspace_id, assignee_id, status, last_message_hour desc) where assignee_id is not null;
-- Partial, so that a conversation that asks nothing of anybody isn't in them.
create index if not exists wa_threads_unread_workspace_id_last_message_hour_idx
  on public.wa_threads (workspace_id, last_message_hour desc) where has_unread;
-- Whoever has answered thousands of conversations isn't asked for them when what is new of theirs is counted.
create index if not exists wa_threads_unread_assignee_id_idx
  on public.wa_threads (assignee_id) where has_unread and assignee_id is not null;
create index if not exists wa_threads_workspace_id_waiting_since_idx
  on public.wa_threads (workspace_id, waiting_since) where waiting_since is not null;
create index if not exists wa_threads_snoozed_until_idx
  on public.wa_threads (snoozed_until) where snoozed_until is not null;
create index if not exists wa_threads_workspace_id_tags_idx
  on public.wa_threads using gin (workspace_id, tags) where tags <> '{}';
create index if not exists wa_messages_thread_id_occurred_at_idx
  on public.wa_messages (thread_id, connection_id, workspace_id, occurred_at desc, sequence desc);
create unique index if not exists wa_messages_outbox_id_idx
  on public.wa_messages (outbox_id, workspace_id) where outbox_id is not null;
create index if not exists wa_messages_workspace_id_sender_contact_id_idx
  on public.wa_messages (workspace_id, sender_contact_id) where sender_contact_id is not null;
create index if not exists wa_messages_search_idx
  on public.wa_messages using gin (workspace_id, private.search_vector(search_language, body)) where body is not null;
-- So that a search for a common word reads the newest messages instead of all that hold it.
create index if not exists wa_messages_workspace_id_occurred_at_idx
  on public.wa_messages (workspace_id, occurred_at desc) where body is not null;
-- How common a word is: Postgres doesn't take it from a partial index, and would look through whole conversations for a
-- rare one.
create statistics if not exists public.wa_messages_search_stats
  on (private.search_vector(search_language, body)) from public.wa_messages;
-- A thread is of one workspace: without knowing that, Postgres 15 expects one message of a thread, and sorts all there are.
create statistics if not exists public.wa_messages_thread_stats (dependencies)
  on workspace_id, thread_id from public.wa_messages;
create index if not exists wa_message_changes_target_id_idx
  on public.wa_message_changes (connection_id, target_id);
create index if not exists wa_messages_sent_by_idx on public.wa_messages (sent_by) where sent_by is not null;
-- Numbered and dated as they come, so that a block range index, which costs nothing to keep, finds one by its number and
-- those of a day.
create index if not exists meta_webhook_events_id_received_at_idx
  on public.meta_webhook_events using brin (id, received_at);
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
alter table public.wa_message_changes enable row level security;
alter table public.wa_message_statuses enable row level security;
alter table public.wa_templates enable row level security;
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

drop policy if exists wa_templates_select_member on public.wa_templates;
create policy wa_templates_select_member on public.wa_templates for select to authenticated
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
drop policy if exists wa_message_changes_all_service on public.wa_message_changes;
create policy wa_message_changes_all_service on public.wa_message_changes for all to service_role
  using (true) with check (true);
drop policy if exists orphan_webhook_events_all_service on public.orphan_webhook_events;
create policy orphan_webhook_events_all_service on public.orphan_webhook_events for all to service_role
  using (true) with check (true);

------------------------------------------------------------------------------------------------------------------------
-- Grants
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.wa_phone_numbers, private.wa_connection_secrets, public.wa_threads, public.wa_messages,
  public.wa_message_changes, public.wa_message_statuses, public.wa_templates, public.meta_webhook_events,
  public.orphan_webhook_events
  from public, anon, authenticated, service_role;
grant select on table public.wa_phone_numbers, public.wa_threads, public.wa_messages, public.wa_templates,
  public.meta_webhook_events
  to authenticated;
grant select, insert, update, delete on table public.wa_phone_numbers, private.wa_connection_secrets, public.wa_threads,
  public.wa_messages, public.wa_message_changes, public.wa_message_statuses, public.wa_templates,
  public.meta_webhook_events, public.orphan_webhook_events
  to service_role;
-- Older projects grant new sequences to the API roles; writing an identity column needs no grant on its sequence.
revoke all on sequence public.wa_messages_sequence_seq, public.meta_webhook_events_id_seq,
  public.orphan_webhook_events_id_seq
  from public, anon, authenticated, service_role;
grant usage on sequence public.meta_webhook_events_id_seq to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Secrets of connections
------------------------------------------------------------------------------------------------------------------------
-- What comes here is encrypted already; the Vault wraps it once more, with a key that no dump holds. Definer, because
-- the migrations' owner reaches the Vault on every project and the service on some only. Whatever names the Vault is
-- executed as text: where it is missing, these functions have to work all the same.
create or replace function private.has_vault() returns boolean
language plpgsql stable security invoker set search_path = '' as $$
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

create or replace function private.store_connection_secret(
  p_connection_id uuid, p_ciphertext text, p_meta_user_id text default null
) returns void
language plpgsql security definer set search_path = '' as $$
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
end $$;
comment on function private.store_connection_secret(uuid, text, text) is
  'Keeps a connection''s encrypted token, in the Vault where there is one, and forgets the one before.';

create or replace function private.connection_secret(p_connection_id uuid) returns text
language plpgsql stable security definer set search_path = '' as $$
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
end $$;
comment on function private.connection_secret(uuid) is
  'A connection''s encrypted token, from wherever it is kept; null when there is none.';

create or replace function private.forget_vault_secret() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if private.has_vault() then
    execute 'delete from vault.secrets where id = $1' using old.vault_secret_id;
  end if;
  return null;
end $$;

revoke all on function
  private.has_vault(), private.store_connection_secret(uuid, text, text), private.connection_secret(uuid),
  private.forget_vault_secret()
  from public, anon, authenticated, service_role;
grant execute on function private.store_connection_secret(uuid, text, text), private.connection_secret(uuid)
  to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
-- However a secret goes, with its connection or its workspace too, nothing of it stays in the Vault.
create or replace trigger wa_connection_secrets_forget_on_delete after delete on private.wa_connection_secrets
  for each row when (old.vault_secret_id is not null) execute function private.forget_vault_secret();
create or replace trigger wa_connection_secrets_forget_on_update
  after update of vault_secret_id on private.wa_connection_secrets
  for each row when (old.vault_secret_id is distinct from new.vault_secret_id and old.vault_secret_id is not null)
  execute function private.forget_vault_secret();
create or replace trigger wa_phone_numbers_set_updated_at before update on public.wa_phone_numbers
  for each row execute function private.set_updated_at();
create or replace trigger wa_threads_set_updated_at before update on public.wa_threads
  for each row when (new.updated_at = old.updated_at) execute function private.set_updated_at();
-- Definer: whoever may delete a workspace needs no right to its raw events.
create or replace function private.delete_webhook_events() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.meta_webhook_events as event where event.workspace_id = old.id;
  return null;
end $$;
revoke all on function private.delete_webhook_events() from public, anon, authenticated, service_role;
create or replace trigger workspaces_delete_webhook_events after delete on public.workspaces
  for each row execute function private.delete_webhook_events();

create or replace trigger wa_templates_set_updated_at before update on public.wa_templates
  for each row execute function private.set_updated_at();
create or replace trigger wa_messages_set_updated_at before update on public.wa_messages
  for each row when (new.updated_at = old.updated_at) execute function private.set_updated_at();

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
