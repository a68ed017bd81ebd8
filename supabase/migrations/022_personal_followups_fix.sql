-- Purpose:   personal status and follow-ups, one row for each user and contact or candidate; moves what older databases
--            kept in shared columns to every member who saw it.
-- Needs:     001_core_identity, 002_crm.
-- Used by:   qero.services.contacts, candidates, follow_ups.
-- Raises:    PT401 not_authenticated · PT403 role_required · PT404 contact_not_found, candidate_not_found,
--            follow_up_not_found · PT400 field_unknown, invalid_value.
-- Roll back: drop the functions below, then tables user_contact_settings and user_tma_settings, which loses everybody's
--            settings: back up first. What was shared before still stands in the columns legacy_status,
--            legacy_follow_up_at and legacy_follow_up_note; rename them back.

set lock_timeout = '5s';
set statement_timeout = '10min';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
-- Column by column, because tables of an older shape may stand there already: what they lack is added.
create table if not exists public.user_contact_settings (
  user_id uuid not null,
  contact_id uuid not null,
  constraint user_contact_settings_pkey primary key (user_id, contact_id)
);
alter table public.user_contact_settings
  add column if not exists workspace_id uuid,
  add column if not exists status text,
  add column if not exists follow_up_at timestamptz,
  add column if not exists follow_up_note text,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();
comment on table public.user_contact_settings is
  'What one user marked a contact with, for themselves: nobody else ever reads or writes it, not even an admin.';

create table if not exists public.user_tma_settings (
  user_id uuid not null,
  tma_id uuid not null,
  constraint user_tma_settings_pkey primary key (user_id, tma_id)
);
alter table public.user_tma_settings
  add column if not exists workspace_id uuid,
  add column if not exists status text,
  add column if not exists follow_up_at timestamptz,
  add column if not exists follow_up_note text,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();
comment on table public.user_tma_settings is
  'What one user marked a candidate with, for themselves: nobody else ever reads or writes it, not even an admin.';

do $$
begin
  -- Settings from before they knew their workspace have that of what they are about.
  update public.user_contact_settings as setting set workspace_id = contact.workspace_id
  from public.contacts as contact where setting.workspace_id is null and contact.id = setting.contact_id;
  update public.user_tma_settings as setting set workspace_id = candidate.workspace_id
  from public.tma_candidates as candidate where setting.workspace_id is null and candidate.id = setting.tma_id;
  perform private.ensure_constraint(rule.of_table, rule.name, rule.definition) from (values
    ('public.user_contact_settings'::regclass, 'user_contact_settings_pkey', 'primary key (user_id, contact_id)'),
    ('public.user_contact_settings', 'user_contact_settings_user_id_fkey',
      'foreign key (user_id) references public.profiles (id) on delete cascade'),
    ('public.user_contact_settings', 'user_contact_settings_workspace_id_contact_id_fkey',
      'foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade'),
    ('public.user_contact_settings', 'user_contact_settings_status_check',
      $check$check (status in ('hot', 'working', 'follow_up'))$check$),
    ('public.user_contact_settings', 'user_contact_settings_follow_up_at_check', $check$check (
      follow_up_at >= '1970-01-01T00:00:00Z' and follow_up_at < '3000-01-01T00:00:00Z')$check$),
    ('public.user_contact_settings', 'user_contact_settings_follow_up_note_check',
      'check (length(follow_up_note) between 1 and 2000)'),
    ('public.user_tma_settings', 'user_tma_settings_pkey', 'primary key (user_id, tma_id)'),
    ('public.user_tma_settings', 'user_tma_settings_user_id_fkey',
      'foreign key (user_id) references public.profiles (id) on delete cascade'),
    ('public.user_tma_settings', 'user_tma_settings_workspace_id_tma_id_fkey',
      'foreign key (workspace_id, tma_id) references public.tma_candidates (workspace_id, id) on delete cascade'),
    ('public.user_tma_settings', 'user_tma_settings_status_check', $check$check (status in ('A', 'B', 'C'))$check$),
    ('public.user_tma_settings', 'user_tma_settings_follow_up_at_check', $check$check (
      follow_up_at >= '1970-01-01T00:00:00Z' and follow_up_at < '3000-01-01T00:00:00Z')$check$),
    ('public.user_tma_settings', 'user_tma_settings_follow_up_note_check',
      'check (length(follow_up_note) between 1 and 2000)')
  ) as rule (of_table, name, definition);
  perform private.ensure_not_null('public.user_contact_settings', 'workspace_id');
  perform private.ensure_not_null('public.user_tma_settings', 'workspace_id');
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
create index if not exists user_contact_settings_workspace_id_contact_id_idx
  on public.user_contact_settings (workspace_id, contact_id);
create index if not exists user_contact_settings_user_id_follow_up_at_idx
  on public.user_contact_settings (user_id, follow_up_at, contact_id) where follow_up_at is not null;
create index if not exists user_tma_settings_workspace_id_tma_id_idx
  on public.user_tma_settings (workspace_id, tma_id);
create index if not exists user_tma_settings_user_id_follow_up_at_idx
  on public.user_tma_settings (user_id, follow_up_at, tma_id) where follow_up_at is not null;

------------------------------------------------------------------------------------------------------------------------
-- What was shared becomes everybody's own
------------------------------------------------------------------------------------------------------------------------
-- The shared columns of older databases: each member of the workspace keeps what they saw, unless they have settings of
-- their own by now. A value that isn't one of the set is kept in migration_rejects. The columns are renamed; a later
-- migration drops them.
do $$
declare
  v_table text;
  v_settings text;
  v_key text;
  v_statuses text[];
  v_columns text[];
  v_column text;
  v_rejected bigint;
begin
  for v_table, v_settings, v_key, v_statuses in values
    ('contacts', 'user_contact_settings', 'contact_id', array['hot', 'working', 'follow_up']),
    ('tma_candidates', 'user_tma_settings', 'tma_id', array['A', 'B', 'C'])
  loop
    v_columns := array(
      select attribute.attname::text from pg_attribute as attribute
      where attribute.attrelid = format('public.%I', v_table)::regclass and not attribute.attisdropped
        and attribute.attname in ('status', 'follow_up_at', 'follow_up_note'));
    continue when v_columns = '{}';

    -- A time without a zone was UTC. What can't be read as a time is set aside as well.
    perform set_config('timezone', 'UTC', true);
    execute format($sql$
      create temporary table shared_settings on commit drop as
      select older.id, older.workspace_id, older.status, older.given_at, older.follow_up_note,
        case when private.is_valid(older.given_at, 'timestamptz')
            and older.given_at::timestamptz >= timestamptz '1970-01-01T00:00:00Z'
            and older.given_at::timestamptz < timestamptz '3000-01-01T00:00:00Z'
          then older.given_at::timestamptz end as follow_up_at
      from (
        select contact.id, contact.workspace_id, %2$s as status, %3$s as given_at, %4$s as follow_up_note
        from public.%1$I as contact
      ) as older
      where num_nonnulls(older.status, older.given_at, older.follow_up_note) > 0
    $sql$, v_table,
      case when 'status' = any (v_columns) then 'nullif(contact.status::text, '''')' else 'null::text' end,
      case when 'follow_up_at' = any (v_columns) then 'nullif(contact.follow_up_at::text, '''')' else 'null::text' end,
      case when 'follow_up_note' = any (v_columns) then 'nullif(contact.follow_up_note::text, '''')' else 'null::text' end);

    insert into private.migration_rejects (source, reason, contents)
    select 'public.' || v_table, misfit.reason,
      jsonb_build_object('id', older.id, 'workspace_id', older.workspace_id, misfit.field, misfit.value)
    from shared_settings as older
    cross join lateral (values
      ('status', 'personal status unknown', older.status, older.status <> all (v_statuses)),
      ('follow_up_at', 'follow-up not a time', older.given_at, older.follow_up_at is null),
      ('follow_up_note', 'follow-up note too long', older.follow_up_note, length(older.follow_up_note) > 2000)
    ) as misfit (field, reason, value, is_misfit)
    where misfit.value is not null and misfit.is_misfit;
    get diagnostics v_rejected = row_count;

    execute format($sql$
      insert into public.%1$I (user_id, %2$I, workspace_id, status, follow_up_at, follow_up_note)
      select membership.user_id, older.id, older.workspace_id,
        case when older.status = any ($1) then older.status end, older.follow_up_at, left(older.follow_up_note, 2000)
      from shared_settings as older
      join public.workspace_memberships as membership on membership.workspace_id = older.workspace_id
      where older.status = any ($1) or older.follow_up_at is not null or older.follow_up_note is not null
      on conflict do nothing
    $sql$, v_settings, v_key) using v_statuses;
    drop table shared_settings;

    foreach v_column in array v_columns loop
      -- Nobody fills it any more.
      execute format('alter table public.%I alter column %I drop not null', v_table, v_column);
      execute format('alter table public.%I alter column %I drop default', v_table, v_column);
      execute format('alter table public.%I rename column %I to %I', v_table, v_column, 'legacy_' || v_column);
    end loop;
    if v_rejected > 0 then
      raise warning '% shared values of public.% fit no personal setting; they are in private.migration_rejects',
        v_rejected, v_table;
    end if;
  end loop;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.user_contact_settings enable row level security;
alter table public.user_tma_settings enable row level security;

drop policy if exists user_contact_settings_select_self on public.user_contact_settings;
create policy user_contact_settings_select_self on public.user_contact_settings for select to authenticated
  using (user_id = (select auth.uid()) and workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists user_contact_settings_insert_self on public.user_contact_settings;
create policy user_contact_settings_insert_self on public.user_contact_settings for insert to authenticated
  with check (
    user_id = (select auth.uid())
    and workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member'))));
drop policy if exists user_contact_settings_update_self on public.user_contact_settings;
create policy user_contact_settings_update_self on public.user_contact_settings for update to authenticated
  using (
    user_id = (select auth.uid())
    and workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member'))))
  with check (
    user_id = (select auth.uid())
    and workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member'))));

drop policy if exists user_tma_settings_select_self on public.user_tma_settings;
create policy user_tma_settings_select_self on public.user_tma_settings for select to authenticated
  using (user_id = (select auth.uid()) and workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists user_tma_settings_insert_self on public.user_tma_settings;
create policy user_tma_settings_insert_self on public.user_tma_settings for insert to authenticated
  with check (
    user_id = (select auth.uid())
    and workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member'))));
drop policy if exists user_tma_settings_update_self on public.user_tma_settings;
create policy user_tma_settings_update_self on public.user_tma_settings for update to authenticated
  using (
    user_id = (select auth.uid())
    and workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member'))))
  with check (
    user_id = (select auth.uid())
    and workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member'))));

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
-- The service has no business here: what it needs of follow-ups, to remind people, it gets from functions.
revoke all on table public.user_contact_settings, public.user_tma_settings
  from public, anon, authenticated, service_role;
grant select on table public.user_contact_settings, public.user_tma_settings to authenticated;
grant insert (user_id, contact_id, workspace_id, status, follow_up_at, follow_up_note),
  update (status, follow_up_at, follow_up_note)
  on table public.user_contact_settings to authenticated;
grant insert (user_id, tma_id, workspace_id, status, follow_up_at, follow_up_note),
  update (status, follow_up_at, follow_up_note)
  on table public.user_tma_settings to authenticated;

------------------------------------------------------------------------------------------------------------------------
-- Functions: settings
------------------------------------------------------------------------------------------------------------------------
create or replace function private.personal_rows() returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
begin
  if private.is_service() then
    return '{}'::jsonb;
  end if;
  return jsonb_build_object(
    'user_contact_settings', (select count(*) from public.user_contact_settings),
    'user_tma_settings', (select count(*) from public.user_tma_settings));
end $$;

-- The named keys of a patch, checked.
create or replace function private.checked_settings(p_patch jsonb, p_statuses text[]) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_allowed constant text[] := array['status', 'follow_up_at', 'follow_up_note'];
  v_unknown text;
begin
  if jsonb_typeof(p_patch) is distinct from 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "patch"}', 'Send an object of settings by name.');
  end if;
  select key into v_unknown from jsonb_object_keys(p_patch) as key where key <> all (v_allowed) limit 1;
  if v_unknown is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_unknown, 100), 'allowed', v_allowed), 'Use the fields that are allowed.');
  end if;
  if p_patch ->> 'status' <> all (p_statuses) then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'status', 'value', left(p_patch ->> 'status', 50), 'allowed', p_statuses),
      'Use one of the allowed statuses, or null for none.');
  end if;
  if p_patch ->> 'follow_up_at' is not null and not coalesce(
    case when private.is_valid(p_patch ->> 'follow_up_at', 'timestamptz')
      then (p_patch ->> 'follow_up_at')::timestamptz >= '1970-01-01T00:00:00Z'
        and (p_patch ->> 'follow_up_at')::timestamptz < '3000-01-01T00:00:00Z' end, false)
  then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'follow_up_at', 'value', left(p_patch ->> 'follow_up_at', 50)),
      'Give a time with its zone, or null for none.');
  end if;
  if length(p_patch ->> 'follow_up_note') > 2000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "follow_up_note", "limit": 2000}',
      'Write at most 2,000 characters.');
  end if;
  return p_patch || case when p_patch ? 'follow_up_note'
    then jsonb_build_object('follow_up_note', nullif(btrim(p_patch ->> 'follow_up_note'), '')) else '{}' end;
end $$;

create or replace function public.set_contact_settings(p_contact_id uuid, p_patch jsonb)
returns public.user_contact_settings
language plpgsql security invoker set search_path = '' as $$
declare
  v_user_id constant uuid := private.require_user();
  v_workspace_id constant uuid := (
    select contact.workspace_id from public.contacts as contact where contact.id = p_contact_id);
  v_patch jsonb;
  v_row public.user_contact_settings;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  v_patch := private.checked_settings(p_patch, array['hot', 'working', 'follow_up']);
  insert into public.user_contact_settings as settings
    (user_id, contact_id, workspace_id, status, follow_up_at, follow_up_note)
  values (v_user_id, p_contact_id, v_workspace_id, v_patch ->> 'status', (v_patch ->> 'follow_up_at')::timestamptz,
    v_patch ->> 'follow_up_note')
  on conflict (user_id, contact_id) do update
    set status = case when v_patch ? 'status' then excluded.status else settings.status end,
      follow_up_at = case when v_patch ? 'follow_up_at' then excluded.follow_up_at else settings.follow_up_at end,
      follow_up_note = case when v_patch ? 'follow_up_note' then excluded.follow_up_note else settings.follow_up_note end
  returning settings.* into v_row;
  return v_row;
end $$;
comment on function public.set_contact_settings(uuid, jsonb) is
  'Changes the named keys of the caller''s own settings for exactly one contact; the contact itself stays untouched.';

create or replace function public.set_tma_settings(p_candidate_id uuid, p_patch jsonb) returns public.user_tma_settings
language plpgsql security invoker set search_path = '' as $$
declare
  v_user_id constant uuid := private.require_user();
  v_workspace_id constant uuid := (
    select candidate.workspace_id from public.tma_candidates as candidate where candidate.id = p_candidate_id);
  v_patch jsonb;
  v_row public.user_tma_settings;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'candidate_not_found',
    jsonb_build_object('candidate_id', p_candidate_id));
  v_patch := private.checked_settings(p_patch, array['A', 'B', 'C']);
  insert into public.user_tma_settings as settings
    (user_id, tma_id, workspace_id, status, follow_up_at, follow_up_note)
  values (v_user_id, p_candidate_id, v_workspace_id, v_patch ->> 'status', (v_patch ->> 'follow_up_at')::timestamptz,
    v_patch ->> 'follow_up_note')
  on conflict (user_id, tma_id) do update
    set status = case when v_patch ? 'status' then excluded.status else settings.status end,
      follow_up_at = case when v_patch ? 'follow_up_at' then excluded.follow_up_at else settings.follow_up_at end,
      follow_up_note = case when v_patch ? 'follow_up_note' then excluded.follow_up_note else settings.follow_up_note end
  returning settings.* into v_row;
  return v_row;
end $$;
comment on function public.set_tma_settings(uuid, jsonb) is
  'Changes the named keys of the caller''s own settings for exactly one candidate; the candidate itself stays untouched.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: follow-ups
------------------------------------------------------------------------------------------------------------------------
-- What is due in a bucket, in the caller's own time zone: overdue until now, today from now until midnight, upcoming
-- after that; due is overdue or today.
create or replace function private.follow_up_range(p_due text, out p_from timestamptz, out p_to timestamptz)
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_zone constant text := coalesce(
    (select profile.timezone from public.profiles as profile where profile.id = (select auth.uid())), 'UTC');
  v_midnight constant timestamptz := ((now() at time zone v_zone)::date + 1)::timestamp at time zone v_zone;
begin
  case p_due
    when 'overdue' then p_from := '-infinity'; p_to := now();
    when 'today' then p_from := now(); p_to := v_midnight;
    when 'due' then p_from := '-infinity'; p_to := v_midnight;
    when 'upcoming' then p_from := v_midnight; p_to := 'infinity';
    when 'any' then p_from := '-infinity'; p_to := 'infinity';
    else
      perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'due', 'value', left(p_due, 50),
        'allowed', array['overdue', 'today', 'due', 'upcoming', 'any']), 'Use one of the allowed values.');
  end case;
end $$;

do $$
begin
  if to_regtype('private.follow_up') is null then
    create type private.follow_up as (
      kind text, id uuid, workspace_id uuid, name text, email text, phone text, status text, follow_up_at timestamptz,
      follow_up_note text, bucket text, cursor text
    );
  end if;
end $$;

-- One list over both, the most urgent first. Row security shows nobody but the caller their own.
create or replace function public.list_follow_ups(
  p_workspace_id uuid default null, p_due text default 'any', p_after text default null, p_limit integer default 50
) returns setof private.follow_up
language plpgsql stable security invoker set search_path = ''
set plan_cache_mode = force_generic_plan as $$
declare
  v_user_id constant uuid := private.require_user();
  v_range record := private.follow_up_range(p_due);
  v_midnight constant timestamptz := (private.follow_up_range('upcoming')).p_from;
  v_after_at timestamptz := '-infinity';
  v_after_id uuid := '00000000-0000-0000-0000-000000000000';
begin
  if not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 at once.');
  end if;
  if p_after is not null then
    if p_after !~ '^[0-9a-f-]{36}:-?[0-9]{1,17}$' or not private.is_valid(left(p_after, 36), 'uuid') then
      perform private.raise_error(400, 'invalid_value', '{"field": "after"}', 'Send the cursor of the page before.');
    end if;
    v_after_id := left(p_after, 36)::uuid;
    v_after_at := private.cursor_time(substr(p_after, 38));
  end if;
  return query
  select found.kind, found.id, found.workspace_id, coalesce(contact.name, candidate.name),
    coalesce(contact.email, candidate.email), coalesce(contact.phone, candidate.phone), found.status,
    found.follow_up_at, found.follow_up_note,
    case when found.follow_up_at < now() then 'overdue' when found.follow_up_at < v_midnight then 'today'
      else 'upcoming' end,
    found.id || ':' || private.time_cursor(found.follow_up_at)
  from (
    (select 'contact' as kind, settings.contact_id as id, settings.workspace_id, settings.status, settings.follow_up_at,
       settings.follow_up_note
     from public.user_contact_settings as settings
     where settings.user_id = v_user_id and (p_workspace_id is null or settings.workspace_id = p_workspace_id)
       and settings.follow_up_at >= v_range.p_from and settings.follow_up_at < v_range.p_to
       and (settings.follow_up_at, settings.contact_id) > (v_after_at, v_after_id)
     order by settings.follow_up_at, settings.contact_id limit p_limit)
    union all
    (select 'candidate', settings.tma_id, settings.workspace_id, settings.status, settings.follow_up_at,
       settings.follow_up_note
     from public.user_tma_settings as settings
     where settings.user_id = v_user_id and (p_workspace_id is null or settings.workspace_id = p_workspace_id)
       and settings.follow_up_at >= v_range.p_from and settings.follow_up_at < v_range.p_to
       and (settings.follow_up_at, settings.tma_id) > (v_after_at, v_after_id)
     order by settings.follow_up_at, settings.tma_id limit p_limit)
  ) as found
  left join public.contacts as contact on found.kind = 'contact' and contact.id = found.id
  left join public.tma_candidates as candidate on found.kind = 'candidate' and candidate.id = found.id
  order by found.follow_up_at, found.id
  limit p_limit;
end $$;
comment on function public.list_follow_ups(uuid, text, text, integer) is
  'The caller''s own follow-ups over contacts and candidates, the most urgent first; a page ends with the cursor for the next.';

create or replace function public.count_follow_ups(p_workspace_id uuid default null) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_user_id constant uuid := private.require_user();
  v_midnight constant timestamptz := (private.follow_up_range('upcoming')).p_from;
begin
  return (
    select jsonb_build_object(
      'overdue', count(*) filter (where due.follow_up_at < now()),
      'today', count(*) filter (where due.follow_up_at >= now() and due.follow_up_at < v_midnight),
      'upcoming', count(*) filter (where due.follow_up_at >= v_midnight))
    from (
      select settings.follow_up_at from public.user_contact_settings as settings
      where settings.user_id = v_user_id and settings.follow_up_at is not null
        and (p_workspace_id is null or settings.workspace_id = p_workspace_id)
      union all
      select settings.follow_up_at from public.user_tma_settings as settings
      where settings.user_id = v_user_id and settings.follow_up_at is not null
        and (p_workspace_id is null or settings.workspace_id = p_workspace_id)
    ) as due);
end $$;
comment on function public.count_follow_ups(uuid) is
  'How many follow-ups the caller has overdue, later today and upcoming, for a badge.';

-- Moves or ends the one follow-up that there is: p_id is a contact's or a candidate's. The personal status stays.
create or replace function private.move_follow_up(p_id uuid, p_at timestamptz, p_is_done boolean) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
  v_user_id constant uuid := private.require_user();
  v_moved jsonb;
begin
  update public.user_contact_settings as settings
  set follow_up_at = p_at, follow_up_note = case when p_is_done then null else settings.follow_up_note end
  where settings.user_id = v_user_id and settings.contact_id = p_id and settings.follow_up_at is not null
  returning to_jsonb(settings) || jsonb_build_object('kind', 'contact', 'id', settings.contact_id) into v_moved;
  if not found then
    update public.user_tma_settings as settings
    set follow_up_at = p_at, follow_up_note = case when p_is_done then null else settings.follow_up_note end
    where settings.user_id = v_user_id and settings.tma_id = p_id and settings.follow_up_at is not null
    returning to_jsonb(settings) || jsonb_build_object('kind', 'candidate', 'id', settings.tma_id) into v_moved;
  end if;
  if not found then
    perform private.raise_error(404, 'follow_up_not_found', jsonb_build_object('id', p_id),
      'Schedule a follow-up for this contact or candidate first.');
  end if;
  return v_moved;
end $$;

create or replace function public.complete_follow_up(p_id uuid) returns jsonb
language sql security invoker set search_path = '' as $$
  select private.move_follow_up(p_id, null, true)
$$;
comment on function public.complete_follow_up(uuid) is
  'Clears the caller''s follow-up for one contact or candidate, with its note; the personal status stays as it is.';

create or replace function public.reschedule_follow_up(p_id uuid, p_at timestamptz) returns jsonb
language plpgsql security invoker set search_path = '' as $$
begin
  perform private.require_user();
  if not coalesce(p_at >= '1970-01-01T00:00:00Z' and p_at < '3000-01-01T00:00:00Z', false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "at"}', 'Give the time at which it is due.');
  end if;
  return private.move_follow_up(p_id, p_at, false);
end $$;
comment on function public.reschedule_follow_up(uuid, timestamptz) is
  'Moves the caller''s follow-up for one contact or candidate to another time; note and status stay.';

create or replace function public.snooze_follow_up(p_id uuid, p_seconds integer) returns jsonb
language plpgsql security invoker set search_path = '' as $$
begin
  perform private.require_user();
  if not coalesce(p_seconds between 1 and 31622400, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "seconds", "allowed": "1 to 31622400"}',
      'Snooze for a second to a year.');
  end if;
  return private.move_follow_up(p_id, now() + make_interval(secs => p_seconds), false);
end $$;
comment on function public.snooze_follow_up(uuid, integer) is
  'Makes the caller''s follow-up for one contact or candidate due so many seconds from now; note and status stay.';

-- A time as it stands in a cursor, whatever the session's settings are, and back.
create or replace function private.time_cursor(p_at timestamptz) returns text
language sql immutable parallel safe set search_path = '' as $$
  select ((extract(epoch from p_at) * 1000000)::bigint)::text
$$;
create or replace function private.cursor_time(p_cursor text) returns timestamptz
language sql immutable parallel safe set search_path = '' as $$
  select timestamptz 'epoch' + p_cursor::bigint * interval '1 microsecond'
$$;

revoke all on function
  private.personal_rows(), private.checked_settings(jsonb, text[]), private.follow_up_range(text),
  private.move_follow_up(uuid, timestamptz, boolean), private.time_cursor(timestamptz), private.cursor_time(text),
  public.set_contact_settings(uuid, jsonb), public.set_tma_settings(uuid, jsonb),
  public.list_follow_ups(uuid, text, text, integer), public.count_follow_ups(uuid), public.complete_follow_up(uuid),
  public.reschedule_follow_up(uuid, timestamptz), public.snooze_follow_up(uuid, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  private.personal_rows(), private.checked_settings(jsonb, text[]), private.follow_up_range(text),
  private.move_follow_up(uuid, timestamptz, boolean), private.time_cursor(timestamptz), private.cursor_time(text),
  public.set_contact_settings(uuid, jsonb), public.set_tma_settings(uuid, jsonb),
  public.list_follow_ups(uuid, text, text, integer), public.count_follow_ups(uuid), public.complete_follow_up(uuid),
  public.reschedule_follow_up(uuid, timestamptz), public.snooze_follow_up(uuid, integer)
  to authenticated;
grant execute on function private.personal_rows(), private.time_cursor(timestamptz), private.cursor_time(text)
  to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger user_contact_settings_set_updated_at before update on public.user_contact_settings
  for each row execute function private.set_updated_at();
create or replace trigger user_tma_settings_set_updated_at before update on public.user_tma_settings
  for each row execute function private.set_updated_at();

notify pgrst, 'reload schema';
