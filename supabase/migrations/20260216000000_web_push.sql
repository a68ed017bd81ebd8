-- Purpose:   web push: devices, what each person wants to be told and when, and notifications of chat messages, mentions,
--            assignments, due follow-ups and customers' messages, through the outbox.
-- Needs:     001_core_identity, 022_personal_followups_fix, 20251210000200_migration_02_triggers_and_functions,
--            20260122000000_wa_core, 20260128231758_m1_reliability; when called, 20260220000000_inbox.
-- Used by:   qero.services.devices, notifications, pushes; the worker; `qero push`.
-- Raises:    PT401 not_authenticated · PT400 push_endpoint_invalid, invalid_value, field_unknown.
-- Roll back: drop the triggers and functions below, then push_subscriptions, notification_settings and
--            private.push_allowed_origins. Devices have to subscribe again; cancel what is queued for web_push first.
--
-- A notification goes through the outbox twice, both times as references without content:
--   1. an event: one row, written in the transaction that causes it and due a few seconds later, when those who are
--      reading have read. Whatever happens in one chat, or comes in to one workspace, within these seconds shares it.
--   2. a row for each device of those who are to know. What it says is looked up when it is sent, and whether it is
--      still wanted with it, so a retry after an hour tells nobody what they know.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.push_subscriptions (id uuid primary key default gen_random_uuid());
alter table public.push_subscriptions
  add column if not exists user_id uuid,
  add column if not exists endpoint text,
  add column if not exists p256dh text,
  add column if not exists auth text,
  add column if not exists user_agent text,
  add column if not exists failure_count integer not null default 0,
  add column if not exists last_error text,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();
do $$
begin
  perform private.ensure_constraint('public.push_subscriptions', rule.name, rule.definition) from (values
    ('push_subscriptions_user_id_fkey', 'foreign key (user_id) references public.profiles (id) on delete cascade'),
    ('push_subscriptions_endpoint_key', 'unique (endpoint)'),
    ('push_subscriptions_endpoint_check', $check$check (
      endpoint ~ '^https?://[!-~]+$' and length(endpoint) <= 2000)$check$),
    ('push_subscriptions_p256dh_check', $check$check (p256dh ~ '^B[A-Za-z0-9_-]{86}$')$check$),
    ('push_subscriptions_auth_check', $check$check (auth ~ '^[A-Za-z0-9_-]{22}$')$check$),
    ('push_subscriptions_user_agent_check', 'check (length(user_agent) <= 500)'),
    ('push_subscriptions_last_error_check', 'check (length(last_error) <= 500)'),
    ('push_subscriptions_failure_count_check', 'check (failure_count >= 0)')
  ) as rule (name, definition);
  perform private.ensure_not_null('public.push_subscriptions', 'user_id', 'endpoint', 'p256dh', 'auth');
end $$;
comment on table public.push_subscriptions is
  'Devices that a person is notified on: what the browser''s PushManager answered, its keys without padding.';
comment on column public.push_subscriptions.failure_count is 'Refusals in a row that weren''t for good.';

create table if not exists public.notification_settings (user_id uuid primary key);
alter table public.notification_settings
  add column if not exists notify_chats text not null default 'all',
  add column if not exists notify_inbound text not null default 'mine',
  add column if not exists notify_assignments boolean not null default true,
  add column if not exists notify_follow_ups boolean not null default true,
  add column if not exists quiet_from time,
  add column if not exists quiet_until time,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();
do $$
begin
  perform private.ensure_constraint('public.notification_settings', rule.name, rule.definition) from (values
    ('notification_settings_user_id_fkey', 'foreign key (user_id) references public.profiles (id) on delete cascade'),
    ('notification_settings_notify_chats_check', $check$check (notify_chats in ('all', 'mentions', 'none'))$check$),
    ('notification_settings_notify_inbound_check', $check$check (notify_inbound in ('all', 'mine', 'none'))$check$),
    ('notification_settings_quiet_hours_check', 'check (
      num_nulls(quiet_from, quiet_until) in (0, 2) and (quiet_from <> quiet_until) is not false)')
  ) as rule (name, definition);
end $$;
comment on column public.notification_settings.notify_inbound is
  'Customers'' messages: mine are those in threads that are assigned to the person, or to nobody while they may answer.';
comment on column public.notification_settings.quiet_from is
  'Quiet hours by the clock of the person''s time zone; they may pass midnight. Follow-ups wait for their end.';

create table if not exists private.push_allowed_origins (
  origin text primary key,
  constraint push_allowed_origins_origin_check check (origin ~ '^https?://[^/[:space:]]+$')
);
comment on table private.push_allowed_origins is
  'For tests and development: push services that aren''t on the internet, `http://127.0.0.1:8099` for instance. Empty in '
  'production. Workers need the same in QERO_PUSH_ALLOWED_ORIGINS.';

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
create index if not exists push_subscriptions_user_id_idx on public.push_subscriptions (user_id);

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.push_subscriptions enable row level security;
alter table public.notification_settings enable row level security;
alter table private.push_allowed_origins enable row level security;

drop policy if exists push_subscriptions_select_self on public.push_subscriptions;
create policy push_subscriptions_select_self on public.push_subscriptions for select to authenticated
  using (user_id = (select auth.uid()));
drop policy if exists push_subscriptions_delete_self on public.push_subscriptions;
create policy push_subscriptions_delete_self on public.push_subscriptions for delete to authenticated
  using (user_id = (select auth.uid()));

drop policy if exists notification_settings_select_self on public.notification_settings;
create policy notification_settings_select_self on public.notification_settings for select to authenticated
  using (user_id = (select auth.uid()));
drop policy if exists notification_settings_insert_self on public.notification_settings;
create policy notification_settings_insert_self on public.notification_settings for insert to authenticated
  with check (user_id = (select auth.uid()));
drop policy if exists notification_settings_update_self on public.notification_settings;
create policy notification_settings_update_self on public.notification_settings for update to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));

-- Only the service reaches it; the policy says so in words, for people and for the advisor.
drop policy if exists push_allowed_origins_select_service on private.push_allowed_origins;
create policy push_allowed_origins_select_service on private.push_allowed_origins for select to service_role
  using (true);

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.push_subscriptions, public.notification_settings, private.push_allowed_origins
  from public, anon, authenticated, service_role;
grant select, delete on table public.push_subscriptions to authenticated;
grant select, update, delete on table public.push_subscriptions to service_role;
grant select on table public.notification_settings to authenticated, service_role;
grant insert (user_id),
  update (notify_chats, notify_inbound, notify_assignments, notify_follow_ups, quiet_from, quiet_until)
  on table public.notification_settings to authenticated;
grant select on table private.push_allowed_origins to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions: devices and settings
------------------------------------------------------------------------------------------------------------------------
-- An address that workers may be sent to: https to a public name. What the name leads to is checked by the worker, when
-- it connects.
create or replace function private.is_push_endpoint(p_endpoint text) returns boolean
language sql stable security invoker set search_path = '' as $$
  select coalesce(
    length(p_endpoint) <= 2000 and p_endpoint ~ '^https?://[!-~]+$' and (
      (p_endpoint ~ '^https://([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,63}(:443)?/'
        and p_endpoint !~ '^https://[^/:]*\.(local|localhost|internal|intranet|lan|home|corp|private|test|example|invalid|onion|arpa)[:/]')
      or exists (
        select 1 from private.push_allowed_origins as allowed where starts_with(p_endpoint, allowed.origin || '/'))),
    false)
$$;

create or replace function public.save_push_subscription(
  p_endpoint text, p_p256dh text, p_auth text, p_user_agent text default null
) returns public.push_subscriptions
language plpgsql security definer set search_path = '' as $$
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
end $$;
comment on function public.save_push_subscription(text, text, text, text) is
  'Notifies the caller on a device from now on, and nobody else who had it before. Repeatable; the 20 latest are kept.';

create or replace function public.remove_push_subscription(p_endpoint text) returns boolean
language plpgsql security invoker set search_path = '' as $$
begin
  perform private.require_user();
  delete from public.push_subscriptions as subscription
  where subscription.endpoint = p_endpoint and subscription.user_id = (select auth.uid());
  return found;
end $$;
comment on function public.remove_push_subscription(text) is
  'Notifies the caller on a device no longer; false when it wasn''t theirs. Repeatable.';

create or replace function public.set_notification_settings(p_patch jsonb default '{}')
returns public.notification_settings
language plpgsql security invoker set search_path = '' as $$
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
end $$;
comment on function public.set_notification_settings(jsonb) is
  'Changes the named keys of what the caller wants to be notified of, and returns all of it.';

-- What the app's icon shows: unread messages in chats that aren't muted, and in the person's threads; follow-ups due.
-- Definer: follow-ups are nobody's business but their user's.
create or replace function private.badge_of(p_user_id uuid) returns bigint
language plpgsql stable security definer set search_path = '' as $$
begin
  return
    (select coalesce(sum(greatest(chat.last_seq - member.last_read_seq - member.unread_deleted_count, 0)), 0)::bigint
     from public.chat_members as member join public.chats as chat on chat.id = member.chat_id
     where member.user_id = p_user_id and coalesce(member.muted_until, '-infinity') <= now())
    + (select coalesce(sum(mine.unread_count), 0)
       from (
         select thread.id from public.wa_threads as thread where thread.assignee_id = p_user_id and thread.has_unread
         union
         select marked.thread_id from public.workspace_memberships as membership
         join public.wa_thread_reads as marked
           on marked.workspace_id = membership.workspace_id and marked.user_id = membership.user_id
         where membership.user_id = p_user_id and marked.is_marked_unread
       ) as news
       -- One by one: joined, all that the person was ever assigned would be read.
       cross join lateral (
         select unread.unread_count from private.thread_unread as unread
         where unread.thread_id = news.id and unread.user_id = p_user_id and unread.assignee_id = p_user_id
         offset 0) as mine)
    + (select count(*) from public.user_contact_settings as settings
       where settings.user_id = p_user_id and settings.follow_up_at <= now())
    + (select count(*) from public.user_tma_settings as settings
       where settings.user_id = p_user_id and settings.follow_up_at <= now());
end $$;

create or replace function public.get_badge() returns bigint
language plpgsql stable security definer set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
begin
  return private.badge_of(v_user_id);
end $$;
comment on function public.get_badge() is
  'What the app''s icon shows for the caller: unread chat messages, unread messages of customers in their threads, and '
  'follow-ups that are due. Notifications carry the same.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: what causes notifications
------------------------------------------------------------------------------------------------------------------------
-- Three seconds' worth of events share one row, which is due two seconds after them: longer than it takes to commit
-- what has found the row there and written none of its own.
create or replace function private.push_bucket() returns bigint
language plpgsql volatile security invoker set search_path = '' as $$
begin
  return floor(extract(epoch from clock_timestamp()) / 3)::bigint;
end $$;
create or replace function private.push_due(p_bucket bigint) returns timestamptz
language sql immutable security invoker set search_path = '' as $$
  select to_timestamp((p_bucket + 1) * 3 + 2)
$$;

-- Definer, here and below: whoever writes a message needs no right to the outbox. One statement, which for all chats but
-- those with a device to tell ends at an index.
create or replace function private.notify_of_chat_messages() returns trigger
language plpgsql security definer set search_path = '' as $$
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

create or replace function private.notify_of_inbound_messages() returns trigger
language plpgsql security definer set search_path = '' as $$
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

create or replace function private.notify_of_assignment() returns trigger
language plpgsql security definer set search_path = '' as $$
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

-- Follow-ups that become due at the same moment share one row. It doesn't say what they are about: that is found at
-- that moment, if they are still due then.
create or replace function private.notify_of_follow_up() returns trigger
language plpgsql security definer set search_path = '' as $$
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

-- For somebody who has a device only now.
create or replace function private.schedule_follow_up_pushes(p_user_id uuid) returns void
language sql security invoker set search_path = '' as $$
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

------------------------------------------------------------------------------------------------------------------------
-- Functions: who is told what
------------------------------------------------------------------------------------------------------------------------
-- Seconds until somebody's quiet hours end; null when it isn't quiet.
create or replace function private.quiet_seconds(p_from time, p_until time, p_timezone text) returns double precision
language sql stable security invoker set search_path = '' as $$
  select extract(epoch from
    (clock.local::date + p_until + case when clock.local::time >= p_until then interval '1 day' else '0' end)
      at time zone p_timezone - clock_timestamp())
  from (select clock_timestamp() at time zone p_timezone as local) as clock
  where case
    when p_from < p_until then clock.local::time >= p_from and clock.local::time < p_until
    else clock.local::time >= p_from or clock.local::time < p_until
  end
$$;

do $$
begin
  if to_regtype('private.wanted_push') is null then
    -- What somebody is to be told of an outbox row; `marker` tells one piece of news from the next.
    create type private.wanted_push as (
      id uuid, user_id uuid, marker text, push jsonb, quiet_seconds double precision
    );
  end if;
end $$;

-- Members who have something unread of others, no older than the event, and want to know. The latest is shown.
create or replace function private.wanted_chat_pushes(p_ids uuid[], p_payloads jsonb[])
returns setof private.wanted_push
language plpgsql stable security invoker set search_path = '' as $$
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

create or replace function private.name_of(p_profile public.profiles) returns text
language sql immutable security invoker set search_path = '' as $$
  select left(coalesce(nullif(p_profile.full_name, ''), p_profile.email, 'Somebody'), 100)
$$;

-- The first id that a message of wa_messages can have at a time.
create or replace function private.first_message_id(p_seconds bigint) returns uuid
language sql immutable security invoker set search_path = '' as $$
  select (lpad(to_hex(p_seconds * 1000), 12, '0') || '70008000000000000000')::uuid
$$;

-- A customer's message that nobody has read, for those whose thread it is; and a thread that is still somebody's. An
-- event looks back a little further than its three seconds, for what was committed late; whoever has been told is told
-- once. Definer: what people have read is nobody's business but theirs.
create or replace function private.wanted_thread_pushes(p_ids uuid[], p_payloads jsonb[])
returns setof private.wanted_push
language plpgsql stable security definer set search_path = '' as $$
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
  -- One by one: joined, all conversations of the workspace would be read.
  cross join lateral (
    select unread.unread_count from private.thread_unread as unread
    where unread.thread_id = thread.id and unread.user_id = membership.user_id
    offset 0) as mine
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

-- Definer: the service has no right to what people have planned for themselves, and learns only what it is to show them.
create or replace function private.wanted_follow_up_pushes(p_ids uuid[], p_payloads jsonb[])
returns setof private.wanted_push
language plpgsql stable security definer set search_path = '' as $$
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

-- For a worker that has claimed these. Events become a row for each device; rows for devices get their address, their
-- keys and what they say. Quiet hours put off follow-ups, and make what can be seen later unwanted.
create or replace function public.prepare_pushes(p_ids uuid[]) returns jsonb
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.prepare_pushes(uuid[]) is
  'For claimed notifications, what is to be done with each: ready (to which device, saying what), spread (an event, which '
  'is a row for each device now), quiet (until later), or unwanted.';

create or replace function public.record_push_results(p_results jsonb) returns void
language plpgsql security invoker set search_path = '' as $$
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
comment on function public.record_push_results(jsonb) is
  'Notes what push services said of devices: sent, failed, or gone, which removes exactly that subscription.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.is_push_endpoint(text), public.save_push_subscription(text, text, text, text),
  public.remove_push_subscription(text), public.set_notification_settings(jsonb), private.badge_of(uuid),
  public.get_badge(), private.push_bucket(), private.push_due(bigint), private.notify_of_chat_messages(),
  private.notify_of_inbound_messages(), private.notify_of_assignment(), private.notify_of_follow_up(),
  private.schedule_follow_up_pushes(uuid), private.quiet_seconds(time, time, text),
  private.wanted_chat_pushes(uuid[], jsonb[]), private.name_of(public.profiles), private.first_message_id(bigint),
  private.wanted_thread_pushes(uuid[], jsonb[]), private.wanted_follow_up_pushes(uuid[], jsonb[]),
  public.prepare_pushes(uuid[]), public.record_push_results(jsonb)
  from public, anon, authenticated, service_role;
grant execute on function
  public.save_push_subscription(text, text, text, text), public.remove_push_subscription(text),
  public.set_notification_settings(jsonb), public.get_badge()
  to authenticated;
grant execute on function
  private.badge_of(uuid), private.quiet_seconds(time, time, text), private.wanted_chat_pushes(uuid[], jsonb[]),
  private.name_of(public.profiles), private.first_message_id(bigint),
  private.wanted_thread_pushes(uuid[], jsonb[]), private.wanted_follow_up_pushes(uuid[], jsonb[]),
  public.prepare_pushes(uuid[]), public.record_push_results(jsonb)
  to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger push_subscriptions_set_updated_at before update on public.push_subscriptions
  for each row execute function private.set_updated_at();
create or replace trigger notification_settings_set_updated_at before update on public.notification_settings
  for each row execute function private.set_updated_at();

create or replace trigger chat_messages_notify after insert on public.chat_messages
  referencing new table as inserted for each statement execute function private.notify_of_chat_messages();
create or replace trigger wa_messages_notify after insert on public.wa_messages
  referencing new table as inserted for each statement execute function private.notify_of_inbound_messages();
create or replace trigger wa_threads_notify_assignee after update of assignee_id on public.wa_threads
  for each row when (new.assignee_id is not null and new.assignee_id is distinct from old.assignee_id)
  execute function private.notify_of_assignment();
create or replace trigger user_contact_settings_notify after insert or update of follow_up_at
  on public.user_contact_settings
  for each row when (new.follow_up_at is not null) execute function private.notify_of_follow_up();
create or replace trigger user_tma_settings_notify after insert or update of follow_up_at on public.user_tma_settings
  for each row when (new.follow_up_at is not null) execute function private.notify_of_follow_up();

notify pgrst, 'reload schema';
