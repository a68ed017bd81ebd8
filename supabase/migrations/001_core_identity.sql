-- Purpose:   profiles, workspaces and memberships, and the private helpers every policy and RPC builds on.
-- Needs:     auth.users, auth.uid(), auth.role().
-- Used by:   every later migration; qero.services.workspaces; qero.clients.identity.
-- Raises:    PT401 not_authenticated · PT403 role_required · PT404 workspace_not_found · PT409 slug_taken, last_owner,
--            workspace_suspended, append_only · PT400 slug_invalid, invalid_value.
-- Roll back: drop schema private cascade; drop table workspace_memberships, workspaces, profiles cascade; drop trigger
--            profiles_mirror_auth_users on auth.users. Loses every workspace: back up first.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Schema private: helpers and definer code, never exposed through the API
------------------------------------------------------------------------------------------------------------------------
create schema if not exists private;
revoke all on schema private from public, anon, authenticated, service_role;
-- Policies and invoker functions run as the caller, so the caller needs to reach the helpers they call.
grant usage on schema private to authenticated, service_role;

create or replace function private.raise_error(
  p_status integer, p_code text, p_detail jsonb default '{}'::jsonb, p_hint text default null
) returns void
language plpgsql set search_path = '' as $$
begin
  raise exception using
    errcode = 'PT' || p_status, message = p_code, detail = p_detail::text, hint = coalesce(p_hint, '');
end $$;
comment on function private.raise_error(integer, text, jsonb, text) is
  'Raises SQLSTATE PT<status>, which PostgREST turns into that HTTP status; the code is the message.';

-- Of what is shown once, to whoever holds it, only this is kept.
create or replace function private.token_hash(p_token text) returns text
language sql immutable security invoker set search_path = '' as $$
  select encode(sha256(convert_to(p_token, 'UTF8')), 'hex')
$$;

create or replace function private.set_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end $$;

create or replace function private.refuse_change() returns trigger
language plpgsql set search_path = '' as $$
begin
  perform private.raise_error(409, 'append_only', jsonb_build_object('table', tg_table_name),
    'Rows of this table are never changed or removed; add a correcting row instead.');
  return null;
end $$;

-- UTC or a region's zone that Postgres knows. It would take offsets and abbreviations too, which don't follow summer
-- time and which other programs don't know. Asking like this, because pg_timezone_names reads every zone's file;
-- immutable, so that a check may call it.
create or replace function private.is_timezone(p_name text) returns boolean
language plpgsql immutable set search_path = '' as $$
begin
  perform timestamptz 'epoch' at time zone p_name;
  return p_name ~ '^(UTC|[A-Z][A-Za-z]+(/[A-Z][A-Za-z_-]+)+|Etc/GMT[+-][0-9]{1,2})$';
exception when invalid_parameter_value then
  return false;
end $$;

-- What pg_input_is_valid says from Postgres 16 on, for the types that callers send as text.
create or replace function private.is_valid(p_text text, p_type text) returns boolean
language plpgsql stable strict security invoker set search_path = '' as $$
begin
  case p_type
    when 'uuid' then perform p_text::uuid;
    when 'timestamptz' then perform p_text::timestamptz;
    when 'time' then perform p_text::time;
    when 'integer' then perform p_text::integer;
  end case;
  return true;
exception when data_exception then
  return false;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Tables that stood before
------------------------------------------------------------------------------------------------------------------------
-- A table may stand there already, in an older shape or half made by hand, and `create table if not exists` repairs
-- nothing: migrations add each column on its own, and by these each rule. A key that a table has already stays.
create or replace function private.ensure_constraint(p_table regclass, p_name text, p_definition text) returns void
language plpgsql security invoker set search_path = '' as $$
declare
  v_has_rows boolean;
begin
  if exists (
    select from pg_constraint as standing
    where standing.conrelid = p_table
      and (standing.conname = p_name or (standing.contype = 'p' and p_definition like 'primary key%'))
  ) then
    return;
  end if;
  execute format('select exists (select from %s)', p_table) into v_has_rows;
  -- Rows from before the rule don't stop the push, nor are they read under the lock: validate_constraints does it.
  execute format('alter table %s add constraint %I %s%s', p_table, p_name, p_definition,
    case when v_has_rows and p_definition ~ '^(check|foreign)' then ' not valid' else '' end);
end $$;

-- On a table with rows it is a check at first, for the same reason; validate_constraints then makes it the columns' own.
create or replace function private.ensure_not_null(p_table regclass, variadic p_columns text[]) returns void
language plpgsql security invoker set search_path = '' as $$
declare
  v_name constant text := (select relation.relname || '_present_check' from pg_class as relation where oid = p_table);
  v_lacking constant text[] := array(
    select attribute.attname::text from pg_attribute as attribute
    where attribute.attrelid = p_table and attribute.attname = any (p_columns) and not attribute.attnotnull
    order by attribute.attnum);
  v_has_rows boolean;
begin
  if v_lacking = '{}' then
    return;
  end if;
  -- Before anything is read: two who had both read would wait for each other.
  execute format('lock table %s in access exclusive mode', p_table);
  execute format('select exists (select from %s)', p_table) into v_has_rows;
  if v_has_rows then
    execute format('alter table %s drop constraint if exists %I', p_table, v_name);
    execute format('alter table %s add constraint %I check (%s) not valid', p_table, v_name,
      (select string_agg(format('%I is not null', lacking), ' and ') from unnest(v_lacking) as lacking));
  else
    execute format('alter table %s %s', p_table,
      (select string_agg(format('alter column %I set not null', lacking), ', ') from unnest(v_lacking) as lacking));
  end if;
end $$;

-- A procedure that commits can't pin its search_path: everything here is named in full.
create or replace procedure private.validate_constraints()
language plpgsql as $$
declare
  v_constraint record;
begin
  for v_constraint in
    select conrelid::pg_catalog.regclass as relation, conname from pg_catalog.pg_constraint
    where not convalidated and connamespace operator(pg_catalog.=) any (array[
      'public', 'private']::pg_catalog.regnamespace[])
    order by conrelid, conname
  loop
    begin
      execute pg_catalog.format('alter table %s validate constraint %I', v_constraint.relation, v_constraint.conname);
    exception when check_violation or foreign_key_violation then
      raise warning '%: rows from before break %: correct them, then call this again', v_constraint.relation,
        v_constraint.conname;
    end;
    commit;
  end loop;
  -- Saying "not null" reads no table where a check has proved it.
  for v_constraint in
    select standing.conrelid::pg_catalog.regclass as relation, standing.conname, (
        select pg_catalog.string_agg(pg_catalog.format('alter column %I set not null', attribute.attname), ', ')
        from pg_catalog.pg_attribute as attribute
        where attribute.attrelid operator(pg_catalog.=) standing.conrelid
          and attribute.attnum operator(pg_catalog.=) any (standing.conkey)) as changes
    from pg_catalog.pg_constraint as standing
    where standing.convalidated and pg_catalog.right(standing.conname, 14) operator(pg_catalog.=) '_present_check'
      and standing.connamespace operator(pg_catalog.=) any (array['public', 'private']::pg_catalog.regnamespace[])
  loop
    execute pg_catalog.format('alter table %s %s', v_constraint.relation, v_constraint.changes);
    execute pg_catalog.format('alter table %s drop constraint %I', v_constraint.relation, v_constraint.conname);
    commit;
  end loop;
end $$;
comment on procedure private.validate_constraints() is
  'Reads what stood before against the rules that came later, while writers go on. Repeatable; call it after the push, '
  'outside a transaction.';
revoke all on function private.ensure_constraint(regclass, text, text), private.ensure_not_null(regclass, text[])
  from public, anon, authenticated, service_role;
revoke all on procedure private.validate_constraints() from public, anon, authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.profiles (id uuid primary key);
alter table public.profiles
  add column if not exists email text,
  add column if not exists full_name text,
  add column if not exists timezone text not null default 'UTC',
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();

create table if not exists public.workspaces (id uuid primary key default gen_random_uuid());
alter table public.workspaces
  add column if not exists slug text,
  add column if not exists name text,
  add column if not exists status text not null default 'active',
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();

create table if not exists public.workspace_memberships (
  workspace_id uuid not null,
  user_id uuid not null,
  constraint workspace_memberships_pkey primary key (workspace_id, user_id)
);
alter table public.workspace_memberships
  add column if not exists role text,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();

create table if not exists private.migration_rejects (
  id bigint generated always as identity primary key,
  source text not null,
  reason text not null,
  contents jsonb not null,
  rejected_at timestamptz not null default now()
);
comment on table private.migration_rejects is 'Rows that a migration couldn''t keep where they were, as they stood there.';

do $$
begin
  perform private.ensure_constraint(rule.of_table, rule.name, rule.definition) from (values
    ('public.profiles'::regclass, 'profiles_pkey', 'primary key (id)'),
    ('public.profiles', 'profiles_id_fkey', 'foreign key (id) references auth.users (id) on delete cascade'),
    ('public.profiles', 'profiles_full_name_check', 'check (length(full_name) <= 200)'),
    ('public.profiles', 'profiles_timezone_check',
      'check (length(timezone) <= 100 and private.is_timezone(timezone))'),
    ('public.workspaces', 'workspaces_pkey', 'primary key (id)'),
    ('public.workspaces', 'workspaces_slug_key', 'unique (slug)'),
    ('public.workspaces', 'workspaces_slug_check', $check$check (
      slug ~ '^[a-z][a-z0-9-]{1,62}$'
      and slug !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$')$check$),
    ('public.workspaces', 'workspaces_name_check', 'check (length(btrim(name)) between 1 and 200)'),
    ('public.workspaces', 'workspaces_status_check', $check$check (status in ('active', 'suspended'))$check$),
    ('public.workspace_memberships', 'workspace_memberships_pkey', 'primary key (workspace_id, user_id)'),
    ('public.workspace_memberships', 'workspace_memberships_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('public.workspace_memberships', 'workspace_memberships_user_id_fkey',
      'foreign key (user_id) references public.profiles (id) on delete cascade'),
    ('public.workspace_memberships', 'workspace_memberships_role_check',
      $check$check (role in ('owner', 'admin', 'member', 'viewer'))$check$)
  ) as rule (of_table, name, definition);
  perform private.ensure_not_null('public.workspaces', 'slug', 'name');
  perform private.ensure_not_null('public.workspace_memberships', 'role');
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
-- Answers "which workspaces am I in, as what" from the index alone: every policy asks it once per statement.
create index if not exists workspace_memberships_user_id_idx
  on public.workspace_memberships (user_id) include (workspace_id, role);

------------------------------------------------------------------------------------------------------------------------
-- Who is asking
------------------------------------------------------------------------------------------------------------------------
-- Asked by nearly every call, so in plpgsql, and without "select" around auth.uid(): plpgsql evaluates such an expression
-- by itself, where everything else takes an executor.
create or replace function private.is_service() returns boolean
language plpgsql stable set search_path = '' as $$
begin
  return coalesce(auth.role() = 'service_role', false);
end $$;

create or replace function private.require_user() returns uuid
language plpgsql stable set search_path = '' as $$
declare
  v_user_id constant uuid := auth.uid();
begin
  if v_user_id is null then
    perform private.raise_error(401, 'not_authenticated', '{}', 'Send the access token of a signed-in user.');
  end if;
  return v_user_id;
end $$;

-- Definer, because a policy on workspace_memberships that read workspace_memberships would recurse (42P17). In plpgsql,
-- because every statement asks it, and what is in the language of SQL is planned anew for each.
create or replace function private.my_workspace_ids() returns setof uuid
language plpgsql stable security definer set search_path = '' rows 10 as $$
begin
  return query
  select membership.workspace_id from public.workspace_memberships as membership
  where membership.user_id = (select auth.uid());
end $$;

-- Where the caller may act as one of the roles: in a suspended workspace everybody only reads.
create or replace function private.my_workspace_ids_as(variadic p_roles text[]) returns setof uuid
language plpgsql stable security definer set search_path = '' rows 10 as $$
begin
  return query
  select membership.workspace_id from public.workspace_memberships as membership
  join public.workspaces as workspace on workspace.id = membership.workspace_id
  where membership.user_id = (select auth.uid()) and membership.role = any (p_roles) and workspace.status = 'active';
end $$;

-- For definer RPCs: the caller may act in the workspace with one of the roles, or is the service. A workspace the
-- caller isn't in gives p_missing_code, so that it looks the same as a row that doesn't exist. What viewers may not do
-- is writing, which nobody does in a suspended workspace.
create or replace function private.require_role(
  p_workspace_id uuid, p_roles text[], p_missing_code text, p_detail jsonb
) returns void
language plpgsql stable security definer set search_path = '' as $$
declare
  v_role text;
  v_status text;
begin
  -- What is so nearly always comes first: every list asks this.
  select membership.role, workspace.status into v_role, v_status
  from public.workspace_memberships as membership
  join public.workspaces as workspace on workspace.id = membership.workspace_id
  where membership.workspace_id = p_workspace_id and membership.user_id = (select auth.uid());
  if v_role = any (p_roles) and (v_status = 'active' or 'viewer' = any (p_roles)) then
    return;
  elsif not private.is_service() then
    perform private.require_user();
  elsif p_workspace_id is not null then
    return;
  end if;
  if v_role is null then
    perform private.raise_error(404, p_missing_code, p_detail, 'Check the id; it may belong to another workspace.');
  elsif not v_role = any (p_roles) then
    perform private.raise_error(403, 'role_required', jsonb_build_object('role', v_role, 'needs', p_roles),
      'Ask an owner or admin of the workspace.');
  else
    perform private.raise_error(409, 'workspace_suspended', jsonb_build_object('workspace_id', p_workspace_id),
      'Ask the operators of the platform; until they activate it again, everything can be read.');
  end if;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.profiles enable row level security;
alter table public.workspaces enable row level security;
alter table public.workspace_memberships enable row level security;
alter table private.migration_rejects enable row level security;

-- A colleague's name and address are needed wherever a list shows who did something.
drop policy if exists profiles_select_colleague on public.profiles;
create policy profiles_select_colleague on public.profiles for select to authenticated
  using (
    id = (select auth.uid())
    or id in (
      select membership.user_id from public.workspace_memberships as membership
      where membership.workspace_id = any (array(select private.my_workspace_ids()))
    )
  );

drop policy if exists profiles_update_self on public.profiles;
create policy profiles_update_self on public.profiles for update to authenticated
  using (id = (select auth.uid())) with check (id = (select auth.uid()));

drop policy if exists workspaces_select_member on public.workspaces;
create policy workspaces_select_member on public.workspaces for select to authenticated
  using (id = any (array(select private.my_workspace_ids())));

drop policy if exists workspace_memberships_select_member on public.workspace_memberships;
create policy workspace_memberships_select_member on public.workspace_memberships for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

-- Only the service reaches it; the policy says so in words, for people and for the advisor.
drop policy if exists migration_rejects_all_service on private.migration_rejects;
create policy migration_rejects_all_service on private.migration_rejects for all to service_role
  using (true) with check (true);

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.profiles, public.workspaces, public.workspace_memberships, private.migration_rejects
  from public, anon, authenticated, service_role;
grant select on table public.profiles, public.workspaces, public.workspace_memberships to authenticated;
grant update (full_name, timezone) on table public.profiles to authenticated;
grant select, insert, update, delete on table public.profiles, public.workspaces, public.workspace_memberships,
  private.migration_rejects
  to service_role;
-- Older projects grant new sequences to the API roles; writing an identity column needs no grant on its sequence.
revoke all on sequence private.migration_rejects_id_seq from public, anon, authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions
------------------------------------------------------------------------------------------------------------------------
create or replace function public.resolve_workspace(p_ref text) returns uuid
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_id uuid;
begin
  if not private.is_service() then
    perform private.require_user();
  end if;
  if p_ref ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
    select workspace.id into v_id from public.workspaces as workspace where workspace.id = p_ref::uuid;
  else
    select workspace.id into v_id from public.workspaces as workspace where workspace.slug = p_ref;
  end if;
  if v_id is null then
    perform private.raise_error(404, 'workspace_not_found', jsonb_build_object('workspace', left(p_ref, 100)),
      'Check the slug or id; only workspaces you belong to can be named.');
  end if;
  return v_id;
end $$;
comment on function public.resolve_workspace(text) is
  'The id of the workspace with this slug or uuid; one the caller isn''t in looks like a missing one.';

create or replace function public.create_workspace(p_slug text, p_name text) returns public.workspaces
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
  v_workspace public.workspaces;
begin
  insert into public.workspaces (slug, name) values (p_slug, btrim(p_name)) returning * into v_workspace;
  insert into public.workspace_memberships (workspace_id, user_id, role) values (v_workspace.id, v_user_id, 'owner');
  return v_workspace;
exception
  when unique_violation then
    perform private.raise_error(409, 'slug_taken', jsonb_build_object('slug', p_slug), 'Choose another slug.');
  when check_violation or not_null_violation then
    if p_slug is null
      or p_slug !~ '^[a-z][a-z0-9-]{1,62}$'
      or p_slug ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
      perform private.raise_error(400, 'slug_invalid', jsonb_build_object('field', 'slug'),
        'Use 2 to 63 lower-case letters, digits and dashes, starting with a letter, not shaped like a uuid.');
    end if;
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'name'),
      'Give the workspace a name of 1 to 200 characters.');
end $$;
comment on function public.create_workspace(text, text) is 'Creates a workspace; the caller becomes its owner.';

-- 022_personal_followups_fix counts them, where the tables are.
create or replace function private.personal_rows() returns jsonb
language sql stable security invoker set search_path = '' as $$
  select '{}'::jsonb
$$;

create or replace function public.whoami() returns jsonb
language sql stable security invoker set search_path = '' as $$
  select jsonb_build_object(
    'user_id', (select auth.uid()),
    'email', (select profile.email from public.profiles as profile where profile.id = (select auth.uid())),
    'role', (select auth.role()),
    'database_role', current_user,
    'workspaces', coalesce((
      select jsonb_agg(
        jsonb_build_object('id', workspace.id, 'slug', workspace.slug, 'role', membership.role)
        order by workspace.slug)
      from public.workspace_memberships as membership
      join public.workspaces as workspace on workspace.id = membership.workspace_id
      where membership.user_id = (select auth.uid())), '[]'::jsonb),
    'personal_rows', private.personal_rows()
  )
$$;
comment on function public.whoami() is 'Who the API takes the caller for, and what it sees: for support.';

revoke all on function
  private.raise_error(integer, text, jsonb, text), private.token_hash(text), private.set_updated_at(),
  private.refuse_change(),
  private.is_timezone(text), private.is_valid(text, text), private.is_service(), private.require_user(),
  private.my_workspace_ids(), private.my_workspace_ids_as(text[]), private.require_role(uuid, text[], text, jsonb),
  private.personal_rows(), public.resolve_workspace(text), public.create_workspace(text, text), public.whoami()
  from public, anon, authenticated, service_role;
grant execute on function
  private.raise_error(integer, text, jsonb, text), private.is_timezone(text), private.is_valid(text, text),
  private.is_service(), private.require_user(), private.my_workspace_ids(), private.my_workspace_ids_as(text[]),
  private.require_role(uuid, text[], text, jsonb), private.personal_rows(), public.resolve_workspace(text),
  public.whoami()
  to authenticated, service_role;
grant execute on function public.create_workspace(text, text) to authenticated;
grant execute on function private.token_hash(text) to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger profiles_set_updated_at before update on public.profiles
  for each row execute function private.set_updated_at();
create or replace trigger workspaces_set_updated_at before update on public.workspaces
  for each row execute function private.set_updated_at();
create or replace trigger workspace_memberships_set_updated_at before update on public.workspace_memberships
  for each row execute function private.set_updated_at();

-- Definer: the auth server writes auth.users with a role that has no rights in public.
create or replace function private.mirror_auth_user() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_full_name text := left(coalesce(new.raw_user_meta_data ->> 'full_name', new.raw_user_meta_data ->> 'name'), 200);
  v_timezone text := new.raw_user_meta_data ->> 'timezone';
begin
  -- Nobody's sign-up fails for a zone that Postgres doesn't know.
  if length(v_timezone) > 100 or not private.is_timezone(v_timezone) then
    v_timezone := null;
  end if;
  insert into public.profiles as profile (id, email, full_name, timezone)
  values (new.id, new.email, v_full_name, coalesce(v_timezone, 'UTC'))
  on conflict (id) do update
    set email = excluded.email, full_name = coalesce(v_full_name, profile.full_name),
      timezone = coalesce(v_timezone, profile.timezone)
    where (profile.email, profile.full_name, profile.timezone) is distinct from
      (excluded.email, coalesce(v_full_name, profile.full_name), coalesce(v_timezone, profile.timezone));
  return null;
end $$;
revoke all on function private.mirror_auth_user() from public, anon, authenticated, service_role;

create or replace trigger profiles_mirror_auth_users
  after insert or update of email, raw_user_meta_data on auth.users
  for each row execute function private.mirror_auth_user();

insert into public.profiles (id, email, full_name)
select id, email, left(coalesce(raw_user_meta_data ->> 'full_name', raw_user_meta_data ->> 'name'), 200)
from auth.users
on conflict (id) do nothing;

-- A deferred check, so that handing ownership over may pass through a moment without an owner within one transaction.
-- It locks the workspace row: two owners leaving at once would otherwise each see the other still there.
create or replace function private.keep_an_owner() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform 1 from public.workspaces as workspace where workspace.id = old.workspace_id for no key update;
  if not found then
    return null;  -- the whole workspace is going
  end if;
  if not exists (
    select 1 from public.workspace_memberships as membership
    where membership.workspace_id = old.workspace_id and membership.role = 'owner'
  ) then
    perform private.raise_error(409, 'last_owner', jsonb_build_object('workspace_id', old.workspace_id),
      'Make someone else an owner first.');
  end if;
  return null;
end $$;
revoke all on function private.keep_an_owner() from public, anon, authenticated, service_role;

drop trigger if exists workspace_memberships_keep_an_owner on public.workspace_memberships;
create constraint trigger workspace_memberships_keep_an_owner
  after update or delete on public.workspace_memberships
  deferrable initially deferred
  for each row when (old.role = 'owner') execute function private.keep_an_owner();

notify pgrst, 'reload schema';
