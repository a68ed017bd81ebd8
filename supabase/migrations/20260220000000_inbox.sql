-- Purpose:   the inbox: threads found, filtered, ordered, paged and counted, what each user has seen of them, what is done
--            with them, who is in charge, how long customers wait, and notes among colleagues.
-- Needs:     20260122000000_wa_core, 20260130000000_wa_saved_views, 20260210000000_contact_lists; for notes,
--            20251210000200_migration_02_triggers_and_functions.
-- Used by:   qero.services.inbox, connections, upkeep; the worker.
-- Raises:    PT404 workspace_not_found, thread_not_found, view_not_found, connection_not_found · PT403 role_required
--            · PT400 invalid_value, field_unknown, reference_not_found, too_many_ids · PT409 workspace_suspended.
-- Roll back: drop the functions, the view, types and tables below, and the reference of chats. Loses settings of
--            inboxes, who has seen what, and the record of missed targets.
--
-- Every list and every count, of a view or by hand, is made from private.thread_conditions: they can't differ.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Types
------------------------------------------------------------------------------------------------------------------------
do $$
begin
  if to_regtype('private.inbox_thread') is null then
    create type private.inbox_thread as (
      id uuid, workspace_id uuid, connection_id uuid, contact_id uuid, group_id text, contact_name text,
      contact_phone text, status text, assignee_id uuid, tags text[], priority text, snoozed_until timestamptz,
      last_inbound_at timestamptz, last_message_at timestamptz, last_message_body text, unread_count integer,
      my_unread_count integer, waiting_since timestamptz, answer_due_at timestamptz, first_response_seconds integer,
      created_at timestamptz, cursor text
    );
  end if;
  if to_regtype('private.found_message') is null then
    create type private.found_message as (
      id uuid, workspace_id uuid, thread_id uuid, contact_id uuid, contact_name text, direction text, type text,
      excerpt text, occurred_at timestamptz, cursor text
    );
  end if;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
-- Hours of a week: [{"day": 1, "opens": "09:00", "closes": "17:00"}, …], day 1 being Monday; none may overlap, and a week
-- has an hour at least.
create or replace function private.is_business_hours(p_hours jsonb) returns boolean
language plpgsql immutable security invoker set search_path = '' as $$
begin
  return coalesce(jsonb_typeof(p_hours) = 'array' and jsonb_array_length(p_hours) <= 50 and (
    select bool_and(coalesce(jsonb_typeof(given.value) = 'object' and given.value - '{day, opens, closes}'::text[] = '{}'
      and given.value -> 'day' <@ '[1, 2, 3, 4, 5, 6, 7]' and jsonb_typeof(given.value -> 'day') = 'number'
      and given.value ->> 'opens' ~ '^[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$'
      and given.value ->> 'closes' ~ '^[0-2][0-9]:[0-5][0-9](:[0-5][0-9])?$'
      and private.is_valid(given.value ->> 'opens', 'time') and private.is_valid(given.value ->> 'closes', 'time'),
      false))
    from jsonb_array_elements(case jsonb_typeof(p_hours) when 'array' then p_hours end) as given)
    and (
      select bool_and(opening.closes > opening.opens and opening.opens >= coalesce(opening.closed_before, '00:00'))
        and sum(opening.closes - opening.opens) >= interval '1 hour'
      from (
        select hours.*, lag(hours.closes) over (partition by hours.day order by hours.opens) as closed_before
        from jsonb_to_recordset(p_hours) as hours (day integer, opens time, closes time)
      ) as opening), false);
end $$;
revoke all on function private.is_business_hours(jsonb) from public, anon, authenticated, service_role;
-- Whoever writes a row is subject to its check.
grant execute on function private.is_business_hours(jsonb) to service_role;

create table if not exists public.inbox_settings (workspace_id uuid primary key);
alter table public.inbox_settings
  add column if not exists assignment_policy text not null default 'manual',
  add column if not exists assignment_limit integer,
  add column if not exists first_response_target_seconds integer,
  add column if not exists next_response_target_seconds integer,
  add column if not exists business_hours jsonb,
  add column if not exists timezone text not null default 'UTC',
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();
comment on table public.inbox_settings is 'How a workspace shares out its conversations, and how soon it means to answer.';
comment on column public.inbox_settings.assignment_limit is
  'How many open conversations somebody may have before nothing more is assigned to them.';

comment on column public.inbox_settings.business_hours is
  'Targets count these hours of the week alone; null is always: [{"day": 1 (Monday) to 7, "opens": time, "closes": time}].';
comment on column public.inbox_settings.timezone is 'Of the business hours.';

create table if not exists public.inbox_assignees (
  workspace_id uuid not null,
  user_id uuid not null,
  constraint inbox_assignees_pkey primary key (workspace_id, user_id)
);
alter table public.inbox_assignees
  add column if not exists last_assigned_at timestamptz not null default '-infinity';
comment on table public.inbox_assignees is 'Who takes part in the assignment of conversations.';
comment on column public.inbox_assignees.last_assigned_at is 'Whose turn is longest ago comes next.';

create table if not exists public.wa_thread_reads (
  thread_id uuid not null,
  connection_id uuid not null,
  workspace_id uuid not null,
  user_id uuid not null,
  constraint wa_thread_reads_pkey primary key (thread_id, connection_id, workspace_id, user_id)
);
alter table public.wa_thread_reads
  add column if not exists read_count bigint,
  add column if not exists is_marked_unread boolean not null default false,
  set (fillfactor = 70);
comment on table public.wa_thread_reads is 'How far each user has seen each thread.';
comment on column public.wa_thread_reads.read_count is
  'How many of the thread''s inbound messages they have seen: what is unread is a subtraction, whatever its number.';

comment on column public.wa_thread_reads.is_marked_unread is
  'They have seen it and want to come back to it: unread for them alone, until they look at it again.';

create table if not exists public.wa_thread_breaches (
  thread_id uuid not null,
  connection_id uuid not null,
  workspace_id uuid not null,
  waiting_since timestamptz not null,
  constraint wa_thread_breaches_pkey primary key (thread_id, connection_id, workspace_id, waiting_since)
);
alter table public.wa_thread_breaches
  add column if not exists kind text,
  add column if not exists target_seconds integer,
  add column if not exists assignee_id uuid,
  add column if not exists answered_at timestamptz,
  add column if not exists created_at timestamptz not null default now();
comment on table public.wa_thread_breaches is 'Customers who waited longer than the target: one row for each time.';
comment on column public.wa_thread_breaches.assignee_id is 'Who was in charge when the target was missed.';
comment on column public.wa_thread_breaches.answered_at is 'When the wait was found to be over.';

do $$
begin
  perform private.ensure_constraint(rule.of_table, rule.name, rule.definition) from (values
    ('public.inbox_settings'::regclass, 'inbox_settings_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('public.inbox_settings', 'inbox_settings_assignment_policy_check',
      $check$check (assignment_policy in ('manual', 'round_robin', 'by_load'))$check$),
    ('public.inbox_settings', 'inbox_settings_assignment_limit_check',
      'check (assignment_limit between 1 and 100000)'),
    ('public.inbox_settings', 'inbox_settings_first_response_target_seconds_check',
      'check (first_response_target_seconds between 1 and 31536000)'),
    ('public.inbox_settings', 'inbox_settings_next_response_target_seconds_check',
      'check (next_response_target_seconds between 1 and 31536000)'),
    ('public.inbox_settings', 'inbox_settings_business_hours_check',
      'check (business_hours is null or private.is_business_hours(business_hours))'),
    ('public.inbox_settings', 'inbox_settings_timezone_check',
      'check (length(timezone) <= 100 and private.is_timezone(timezone))'),
    ('public.inbox_assignees', 'inbox_assignees_workspace_id_fkey',
      'foreign key (workspace_id) references public.inbox_settings (workspace_id) on delete cascade'),
    ('public.inbox_assignees', 'inbox_assignees_workspace_id_user_id_fkey', 'foreign key (workspace_id, user_id)
      references public.workspace_memberships (workspace_id, user_id) on delete cascade'),
    ('public.wa_thread_reads', 'wa_thread_reads_thread_id_connection_id_workspace_id_fkey',
      'foreign key (thread_id, connection_id, workspace_id)
        references public.wa_threads (id, connection_id, workspace_id) on delete cascade'),
    ('public.wa_thread_reads', 'wa_thread_reads_workspace_id_user_id_fkey', 'foreign key (workspace_id, user_id)
      references public.workspace_memberships (workspace_id, user_id) on delete cascade'),
    ('public.wa_thread_breaches', 'wa_thread_breaches_thread_id_connection_id_workspace_id_fkey',
      'foreign key (thread_id, connection_id, workspace_id)
        references public.wa_threads (id, connection_id, workspace_id) on delete cascade'),
    ('public.wa_thread_breaches', 'wa_thread_breaches_assignee_id_fkey',
      'foreign key (assignee_id) references public.profiles (id) on delete set null'),
    ('public.wa_thread_breaches', 'wa_thread_breaches_kind_check',
      $check$check (kind in ('first_response', 'next_response'))$check$),
    -- The notes of a thread are a channel of the team's chat.
    ('public.chats', 'chats_thread_id_connection_id_workspace_id_fkey',
      'foreign key (thread_id, connection_id, workspace_id)
        references public.wa_threads (id, connection_id, workspace_id) on delete cascade')
  ) as rule (of_table, name, definition);
  perform private.ensure_not_null('public.wa_thread_reads', 'read_count');
  perform private.ensure_not_null('public.wa_thread_breaches', 'kind', 'target_seconds');
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
create index if not exists inbox_settings_assignment_policy_idx
  on public.inbox_settings (assignment_policy) where assignment_policy <> 'manual';
create index if not exists wa_thread_reads_workspace_id_user_id_idx on public.wa_thread_reads (workspace_id, user_id);
create index if not exists wa_thread_reads_marked_workspace_id_user_id_idx
  on public.wa_thread_reads (workspace_id, user_id) where is_marked_unread;
create index if not exists wa_thread_breaches_workspace_id_created_at_idx
  on public.wa_thread_breaches (workspace_id, created_at desc);
create index if not exists wa_thread_breaches_open_thread_id_idx
  on public.wa_thread_breaches (thread_id) where answered_at is null;
create index if not exists wa_thread_breaches_assignee_id_idx
  on public.wa_thread_breaches (assignee_id) where assignee_id is not null;

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.inbox_settings enable row level security;
alter table public.inbox_assignees enable row level security;
alter table public.wa_thread_reads enable row level security;
alter table public.wa_thread_breaches enable row level security;

drop policy if exists inbox_settings_select_member on public.inbox_settings;
create policy inbox_settings_select_member on public.inbox_settings for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists inbox_assignees_select_member on public.inbox_assignees;
create policy inbox_assignees_select_member on public.inbox_assignees for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists wa_thread_reads_select_self on public.wa_thread_reads;
create policy wa_thread_reads_select_self on public.wa_thread_reads for select to authenticated
  using (user_id = (select auth.uid()) and workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists wa_thread_breaches_select_member on public.wa_thread_breaches;
create policy wa_thread_breaches_select_member on public.wa_thread_breaches for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.inbox_settings, public.inbox_assignees, public.wa_thread_reads, public.wa_thread_breaches
  from public, anon, authenticated, service_role;
grant select on table public.inbox_settings, public.inbox_assignees, public.wa_thread_reads, public.wa_thread_breaches
  to authenticated;
grant select, insert, update, delete on table public.inbox_settings, public.inbox_assignees, public.wa_thread_breaches
  to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Business hours
------------------------------------------------------------------------------------------------------------------------
-- The moment so many seconds of business hours after another one, or before it where they are negative. Whole weeks are
-- skipped; what remains is found in the openings of the week around.
create or replace function private.business_moment(p_from timestamptz, p_seconds integer, p_hours jsonb, p_timezone text)
returns timestamptz
language plpgsql stable security invoker set search_path = '' as $$
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

------------------------------------------------------------------------------------------------------------------------
-- Unread
------------------------------------------------------------------------------------------------------------------------
-- What each member hasn't seen of each thread. A view, because it costs nothing where it is used: a function would be
-- called for each row.
create or replace view private.thread_unread with (security_invoker = true) as
select thread.id as thread_id, thread.workspace_id, thread.assignee_id, membership.user_id,
  greatest(least(thread.unread_count, thread.inbound_count - coalesce(mine.read_count, 0)),
    mine.is_marked_unread::integer, 0)::integer as unread_count
from public.wa_threads as thread
join public.workspace_memberships as membership on membership.workspace_id = thread.workspace_id
left join public.wa_thread_reads as mine
  on mine.thread_id = thread.id and mine.connection_id = thread.connection_id
    and mine.workspace_id = thread.workspace_id and mine.user_id = membership.user_id;
comment on view private.thread_unread is
  'How many messages of each thread each member hasn''t seen: what came since the team''s answer and they looked.';
revoke all on table private.thread_unread from public, anon, authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions: from a filter to a query
------------------------------------------------------------------------------------------------------------------------
-- What a search means in the languages that the workspace's numbers are, or were, searched in.
create or replace function private.search_query(p_workspace_id uuid, p_text text) returns tsquery
language plpgsql stable security invoker set search_path = '' as $$
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

-- Whoever has waited since before this moment waits too long: for the first answer of a conversation, or for a later one.
create or replace function private.late_before(p_settings public.inbox_settings, p_is_first boolean) returns timestamptz
language plpgsql stable security invoker set search_path = '' as $$
begin
  return private.business_moment(now(), -case when p_is_first then p_settings.first_response_target_seconds
    else p_settings.next_response_target_seconds end, p_settings.business_hours, p_settings.timezone);
end $$;

-- Which threads a filter means, as SQL about "thread" for the calling user. Everything in it is checked, and quoted.
create or replace function private.thread_conditions(p_workspace_id uuid, p_filter jsonb) returns text
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_user_id constant text := quote_nullable(auth.uid()) || '::uuid';
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
        then not coalesce(private.is_valid(filter.value #>> '{}', 'uuid'), false)
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
end $$;

-- What a filter means in one of two ways: a thread is found by one of its messages or by its contact, and is unread because
-- of what came or because its user said so. Each is a condition of its own, because no index serves both.
create or replace function private.thread_alternatives(p_workspace_id uuid, p_filter jsonb) returns text[]
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_user_id constant text := quote_nullable(auth.uid()) || '::uuid';
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

-- Threads as lists and details show them, in the order given. Static, so that it is planned once a connection.
create or replace function private.threads_shown(p_threads public.wa_threads[], p_sort text)
returns setof private.inbox_thread
language plpgsql stable security invoker set search_path = '' set plan_cache_mode = force_generic_plan rows 50 as $$
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

-- A view's filter, for whoever may see the view.
create or replace function private.view_filter(p_workspace_id uuid, p_view_id uuid) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
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

-- A view narrows what is asked by hand: both hold.
create or replace function private.threads_found(
  p_columns text, p_workspace_id uuid, p_filter jsonb, p_view_id uuid, p_page text
) returns text
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_filters jsonb[] := array[coalesce(p_filter, '{}')];
  v_filter jsonb;
  v_conditions text;
  v_alternatives text[] := array[''];
  v_alternative text;
  v_query text;
begin
  if p_view_id is not null then
    v_filters := v_filters || private.view_filter(p_workspace_id, p_view_id);
  end if;
  foreach v_filter in array v_filters loop
    v_conditions := coalesce(v_conditions || ' and ', '') || private.thread_conditions(p_workspace_id, v_filter);
    if v_filter ?| '{unread, q}' then
      v_alternatives := array(
        select one.condition || other.condition
        from unnest(v_alternatives) as one (condition),
          unnest(private.thread_alternatives(p_workspace_id, v_filter)) as other (condition));
    end if;
  end loop;
  foreach v_alternative in array v_alternatives loop
    v_query := coalesce(v_query || ' union ', '') || '(select ' || p_columns || ' from public.wa_threads as thread where '
      || v_conditions || v_alternative || p_page || ')';
  end loop;
  return v_query;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Functions: lists, counts, search
------------------------------------------------------------------------------------------------------------------------
-- Definer, as all of these: row security would keep anything that isn't leakproof from using its index. The membership is
-- asked first. With memory for a common word's messages one by one: remembered by the page, all of a page's are looked at
-- again.
create or replace function public.list_threads(
  p_workspace_id uuid, p_filter jsonb default '{}', p_view_id uuid default null, p_sort text default 'last_message_at',
  p_after text default null, p_limit integer default 50
) returns setof private.inbox_thread
language plpgsql stable security definer set search_path = '' set work_mem = '32MB' rows 50 as $$
declare
  v_order text;
  v_page text;
  v_after text := substr(p_after, 38);
  v_threads public.wa_threads[];
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
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
end $$;
comment on function public.list_threads(uuid, jsonb, uuid, text, text, integer) is
  'A page of a workspace''s threads, by a filter, a saved view or both, with what the caller hasn''t seen of each.';

create or replace function public.get_thread(p_thread_id uuid) returns private.inbox_thread
language plpgsql stable security definer set search_path = '' as $$
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
comment on function public.get_thread(uuid) is 'One thread, as lists show it.';

-- More than 5,000 are only counted when it has to be exact.
create or replace function public.count_threads(
  p_workspace_id uuid, p_filter jsonb default '{}', p_view_id uuid default null, p_exact boolean default true
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
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
comment on function public.count_threads(uuid, jsonb, uuid, boolean) is
  'How many threads a filter, a saved view or both mean; unless exact, at most 5,000 are counted.';

-- What stands beside an inbox's filters. Each number comes from an index that holds no more than it counts.
create or replace function public.get_inbox_counts(p_workspace_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
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
comment on function public.get_inbox_counts(uuid) is
  'How many threads are open, pending, snoozed, closed, open and the caller''s, unread by the caller, waiting and overdue.';

-- The newest messages that hold what is searched for. Two ways lead to them: walking back from the newest message until a
-- page is full, and looking up in the index of words all there are, whenever they were written. The planner knows how many
-- that should be. Walking comes first, for a fifth of what looking up takes: a word that is rare on the whole may be
-- frequent of late. It goes on where it should be the shorter way, for no longer than it should take: a word that was
-- common once may not be any more. Volatile, because Postgres plans for nothing else.
create or replace function private.newest_messages_found(
  p_workspace_id uuid, p_query tsquery, p_thread_id uuid, p_until timestamptz, p_until_id uuid, p_limit integer
) returns uuid[]
language plpgsql volatile security invoker set search_path = '' as $$
declare
  -- To walk past a message costs as much as to look so many up: what it is found by has to be made again.
  v_lookups constant integer := 4;
  v_of_workspace constant text := ' from public.wa_messages as message'
    || ' where message.workspace_id = ' || quote_literal(p_workspace_id) || '::uuid and message.body is not null'
    || coalesce(' and message.thread_id = ' || quote_literal(p_thread_id) || '::uuid', '');
  v_holds constant text := ' private.search_vector(message.search_language, message.body) @@ '
    || quote_literal(p_query) || '::tsquery';
  v_before constant text := ' and message.occurred_at <= $1 and (message.occurred_at, message.id) < ($1, $2)';
  v_newest constant text := ' order by message.occurred_at desc, message.id desc';
  v_until timestamptz := coalesce(p_until, 'infinity');
  v_until_id uuid := coalesce(p_until_id, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
  v_plan jsonb;
  v_expected double precision;
  -- In messages to walk past.
  v_looking_up double precision := 0;
  v_needed double precision;
  v_left double precision := 0;
  v_step double precision := 12 * p_limit;
  v_ids uuid[];
  v_page uuid[] := '{}';
begin
  if p_thread_id is null then
    execute 'explain (format json) select' || v_of_workspace || ' and' || v_holds into v_plan;
    v_expected := (v_plan #>> '{0,Plan,Plan Rows}')::double precision;
    v_looking_up := v_expected / v_lookups;
  end if;
  if v_looking_up / 5 > p_limit then
    v_left := v_looking_up / 5;
  end if;
  while v_left > 0 and v_until > '-infinity' loop
    v_step := least(v_step, v_left);
    -- In the order of the index, so that nothing is sorted before it is read, and reading ends with the page.
    execute 'select array(select message.id from (select message.*' || v_of_workspace || v_before || v_newest
        || ' limit $3) as message where' || v_holds || v_newest || ' limit ' || p_limit - cardinality(v_page) || ')'
      into v_ids using v_until, v_until_id, v_step::bigint;
    v_page := v_page || v_ids;
    if cardinality(v_page) = p_limit then
      return v_page;
    end if;
    execute 'select message.occurred_at, message.id' || v_of_workspace || v_before || v_newest || ' offset $3 limit 1'
      into v_until, v_until_id using v_until, v_until_id, v_step::bigint - 1;
    v_until := coalesce(v_until, '-infinity');
    v_left := v_left - v_step;
    v_step := v_step * 8;
    if v_left <= 0 and v_needed is null then
      execute 'explain (format json) select' || v_of_workspace into v_plan;
      -- More than the average, because matches never lie evenly.
      v_needed := 1.3 * p_limit * (v_plan #>> '{0,Plan,Plan Rows}')::double precision / v_expected;
      v_left := case when v_needed < 0.85 * v_looking_up then v_needed - v_looking_up / 5 else 0 end;
    end if;
  end loop;
  if v_until > '-infinity' then
    -- The limit stands apart: Postgres would walk for it.
    execute 'select array(select message.id from (select message.id, message.occurred_at' || v_of_workspace || v_before
        || ' and' || v_holds || ' offset 0) as message' || v_newest || ' limit ' || p_limit - cardinality(v_page) || ')'
      into v_ids using v_until, v_until_id;
    v_page := v_page || v_ids;
  end if;
  return v_page;
end $$;

create or replace function public.search_messages(
  p_workspace_id uuid, p_query text, p_thread_id uuid default null, p_after text default null, p_limit integer default 50
) returns setof private.found_message
language plpgsql volatile security definer
set search_path = '' set plan_cache_mode = force_generic_plan set work_mem = '32MB' rows 50 as $$
declare
  v_query tsquery;
  v_ids uuid[];
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
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
end $$;
comment on function public.search_messages(uuid, text, uuid, text, integer) is
  'Messages that hold all words of a query, the newest first, with an excerpt; "quotes", or and - work as on the web.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: what is done with threads
------------------------------------------------------------------------------------------------------------------------
create or replace function public.update_threads(p_thread_ids uuid[], p_patch jsonb) returns setof public.wa_threads
language plpgsql security definer set search_path = '' as $$
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
    when 'snoozed_until' then p_patch ->> 'status' = 'snoozed' and private.is_valid(given.value #>> '{}', 'timestamptz')
      and (given.value #>> '{}')::timestamptz between now() and now() + interval '10 years'
    when 'assignee_id' then given.value = 'null' or private.is_valid(given.value #>> '{}', 'uuid')
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
end $$;
comment on function public.update_threads(uuid[], jsonb) is
  'Changes status, assignee, priority or tags of up to 500 threads of one workspace, all of them or none.';

-- Only the caller's own cursor moves, and never backwards.
create or replace function public.mark_thread_read(p_thread_id uuid) returns bigint
language plpgsql security definer set search_path = '' as $$
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
comment on function public.mark_thread_read(uuid) is
  'The caller has seen everything in a thread; returns how many messages that are. Colleagues see no difference.';

create or replace function public.mark_thread_unread(p_thread_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
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
comment on function public.mark_thread_unread(uuid) is
  'The thread is unread for the caller, until they mark it read. Colleagues see no difference.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: settings
------------------------------------------------------------------------------------------------------------------------
create or replace function public.set_inbox_settings(p_workspace_id uuid, p_patch jsonb) returns public.inbox_settings
language plpgsql security definer set search_path = '' as $$
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
      where not coalesce(private.is_valid(member.value #>> '{}', 'uuid'), false))
    else given.value = 'null'
      or (private.is_valid(given.value #>> '{}', 'integer') and (given.value #>> '{}')::integer
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
comment on function public.set_inbox_settings(uuid, jsonb) is
  'How a workspace assigns conversations, to whom, and how soon it means to answer; only keys that are present change.';

create or replace function public.set_connection_language(p_connection_id uuid, p_language text)
returns public.wa_phone_numbers
language plpgsql security definer set search_path = '' as $$
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
comment on function public.set_connection_language(uuid, text) is
  'The language in which messages of a number are indexed from now on; those before are found as they were.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: upkeep
------------------------------------------------------------------------------------------------------------------------
-- Gives the conversations that wait and have nobody to whose turn it is, the longest wait first. One at a time for a
-- workspace, whose settings row says so.
create or replace function private.assign_waiting_threads(p_workspace_id uuid, p_limit integer) returns integer
language plpgsql security invoker set search_path = '' as $$
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

create or replace function public.keep_inbox(p_limit integer default 500) returns jsonb
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
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
    -- Evaluated once a workspace, not for each thread; and each workspace asked for by itself.
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
    offset 0
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
comment on function public.keep_inbox(integer) is
  'Opens what was snoozed until now, assigns what waits, and notes which targets were missed; says how many of each.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: notes
------------------------------------------------------------------------------------------------------------------------
create or replace function private.thread_chat(p_thread_id uuid) returns public.chats
language plpgsql security invoker set search_path = '' as $$
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
  perform private.enter_chat(v_chat, v_user_id);
  return v_chat;
end $$;

-- Definer, both: members write no chats.
create or replace function public.open_thread_chat(p_thread_id uuid) returns public.chats
language plpgsql security definer set search_path = '' as $$
begin
  return private.thread_chat(p_thread_id);
end $$;
comment on function public.open_thread_chat(uuid) is
  'The channel with the notes of a thread, made when there is none; the caller is in it.';

create or replace function public.add_thread_note(
  p_thread_id uuid, p_body text, p_client_generated_id text, p_mentions uuid[] default '{}'
) returns public.chat_messages
language plpgsql security definer set search_path = '' as $$
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
comment on function public.add_thread_note(uuid, text, text, uuid[]) is
  'Writes a note about a thread that only colleagues see; repeating a client_generated_id returns the first.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.business_moment(timestamptz, integer, jsonb, text), private.late_before(public.inbox_settings, boolean),
  private.search_query(uuid, text), private.thread_conditions(uuid, jsonb), private.thread_alternatives(uuid, jsonb),
  private.threads_shown(public.wa_threads[], text), private.view_filter(uuid, uuid), private.threads_found(text, uuid, jsonb, uuid, text),
  public.list_threads(uuid, jsonb, uuid, text, text, integer), public.get_thread(uuid),
  public.count_threads(uuid, jsonb, uuid, boolean), public.get_inbox_counts(uuid),
  private.newest_messages_found(uuid, tsquery, uuid, timestamptz, uuid, integer),
  public.search_messages(uuid, text, uuid, text, integer), public.update_threads(uuid[], jsonb),
  public.mark_thread_read(uuid), public.mark_thread_unread(uuid), public.set_inbox_settings(uuid, jsonb),
  public.set_connection_language(uuid, text),
  private.assign_waiting_threads(uuid, integer), public.keep_inbox(integer), private.thread_chat(uuid),
  public.open_thread_chat(uuid), public.add_thread_note(uuid, text, text, uuid[])
  from public, anon, authenticated, service_role;
grant execute on function
  public.list_threads(uuid, jsonb, uuid, text, text, integer), public.get_thread(uuid),
  public.count_threads(uuid, jsonb, uuid, boolean), public.get_inbox_counts(uuid),
  public.search_messages(uuid, text, uuid, text, integer), public.mark_thread_read(uuid), public.mark_thread_unread(uuid),
  public.open_thread_chat(uuid), public.add_thread_note(uuid, text, text, uuid[])
  to authenticated;
grant execute on function
  public.update_threads(uuid[], jsonb), public.set_inbox_settings(uuid, jsonb),
  public.set_connection_language(uuid, text)
  to authenticated, service_role;
grant execute on function private.business_moment(timestamptz, integer, jsonb, text),
  private.late_before(public.inbox_settings, boolean), private.assign_waiting_threads(uuid, integer),
  public.keep_inbox(integer) to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger inbox_settings_set_updated_at before update on public.inbox_settings
  for each row execute function private.set_updated_at();

notify pgrst, 'reload schema';
