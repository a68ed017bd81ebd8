-- Purpose:   saved views of the inbox: a filter with a name, one user's own, which an owner or admin may share.
-- Needs:     001_core_identity.
-- Used by:   20260220000000_inbox, which applies them; qero.services.saved_views.
-- Raises:    PT404 view_not_found, workspace_not_found · PT403 role_required · PT400 invalid_value, field_unknown
--            · PT409 view_name_taken, workspace_suspended.
-- Roll back: drop table public.wa_saved_views cascade, then the functions below. Loses every saved view.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- What a view may hold
------------------------------------------------------------------------------------------------------------------------
-- The key of what is wrong with it, or null, so that the table's check and the functions can't differ. In plpgsql, which
-- keeps its plan: every list asks it.
create or replace function private.wrong_view_filter(p_filters jsonb) returns text
language plpgsql immutable security invoker set search_path = '' as $$
begin
  return case when jsonb_typeof(p_filters) is distinct from 'object' then 'filters' else (
    select min(filter.key) from jsonb_each(p_filters) as filter
    where case filter.key
      when 'status' then not coalesce(
        case jsonb_typeof(filter.value)
          when 'array' then filter.value <> '[]' and filter.value <@ '["open", "pending", "snoozed", "closed"]'
          when 'string' then filter.value <@ '["open", "pending", "snoozed", "closed"]'
        end, false)
      when 'assignee' then not coalesce(jsonb_typeof(filter.value) = 'string' and (
        filter.value #>> '{}' in ('me', 'unassigned') or private.is_valid(filter.value #>> '{}', 'uuid')), false)
      when 'tag' then not coalesce(
        case jsonb_typeof(filter.value)
          when 'array' then filter.value <> '[]' and not jsonb_path_exists(filter.value, '$[*] ? (@.type() != "string")')
          when 'string' then length(filter.value #>> '{}') between 1 and 100
        end, false)
      when 'q' then not coalesce(
        jsonb_typeof(filter.value) = 'string' and length(btrim(filter.value #>> '{}')) between 1 and 500, false)
      else true
    end) end;
end $$;
revoke all on function private.wrong_view_filter(jsonb) from public, anon, authenticated, service_role;
-- Whoever writes a row is subject to its check.
grant execute on function private.wrong_view_filter(jsonb) to authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Table
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.wa_saved_views (id uuid primary key default gen_random_uuid());
alter table public.wa_saved_views
  add column if not exists workspace_id uuid,
  add column if not exists user_id uuid,
  add column if not exists name text,
  add column if not exists filters jsonb not null default '{}'::jsonb,
  add column if not exists is_default boolean not null default false,
  add column if not exists is_shared boolean not null default false,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now(),
  alter column user_id set default auth.uid();
do $$
begin
  perform private.ensure_constraint('public.wa_saved_views', rule.name, rule.definition) from (values
    ('wa_saved_views_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('wa_saved_views_user_id_fkey', 'foreign key (user_id) references auth.users (id) on delete cascade'),
    ('wa_saved_views_workspace_id_user_id_name_key', 'unique (workspace_id, user_id, name)'),
    ('wa_saved_views_name_check', 'check (name = btrim(name) and length(name) between 1 and 100)'),
    ('wa_saved_views_filters_check', 'check (private.wrong_view_filter(filters) is null)')
  ) as rule (name, definition);
  perform private.ensure_not_null('public.wa_saved_views', 'workspace_id', 'user_id', 'name');
end $$;
comment on column public.wa_saved_views.filters is
  'Any of status, assignee, tag and q, as the list of threads takes them.';
comment on column public.wa_saved_views.is_default is
  'What its user''s inbox opens with; a shared one, that of everybody who has none of their own.';
comment on column public.wa_saved_views.is_shared is 'Shown to the whole workspace; only owners and admins set it.';

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
create index if not exists wa_saved_views_user_idx on public.wa_saved_views (user_id);
create index if not exists wa_saved_views_workspace_idx on public.wa_saved_views (workspace_id);
create unique index if not exists wa_saved_views_default_workspace_id_user_id_idx
  on public.wa_saved_views (workspace_id, user_id) where is_default;

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.wa_saved_views enable row level security;
drop policy if exists users_access_own_saved_views on public.wa_saved_views;
create policy users_access_own_saved_views on public.wa_saved_views for all to authenticated
  using (user_id = (select auth.uid()) and workspace_id = any (array(select private.my_workspace_ids())))
  with check (user_id = (select auth.uid())
    and workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member'))));
-- As the functions have it: what is shared is an owner's or admin's to change, and a viewer removes nothing.
drop policy if exists wa_saved_views_update_sharer on public.wa_saved_views;
create policy wa_saved_views_update_sharer on public.wa_saved_views as restrictive for update to authenticated
  using (not is_shared or workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin'))))
  with check (not is_shared or workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin'))));
drop policy if exists wa_saved_views_delete_writer on public.wa_saved_views;
create policy wa_saved_views_delete_writer on public.wa_saved_views as restrictive for delete to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin')))
    or (not is_shared and workspace_id = any (array(select private.my_workspace_ids_as('member')))));

------------------------------------------------------------------------------------------------------------------------
-- Grants
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.wa_saved_views from public, anon, authenticated, service_role;
-- Sharing is for the functions, which know the role. Nobody brings an id: one that is taken would be refused, whoever has it.
grant select, delete, insert (workspace_id, user_id, name, filters), update (name, filters)
  on table public.wa_saved_views to authenticated;

------------------------------------------------------------------------------------------------------------------------
-- Functions
------------------------------------------------------------------------------------------------------------------------
create or replace function private.check_view(p_name text, p_filters jsonb) returns void
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_wrong constant text := private.wrong_view_filter(p_filters);
begin
  if not coalesce(length(btrim(p_name)) between 1 and 100, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "name"}', 'Give the view a name of 1 to 100 characters.');
  elsif v_wrong in ('filters', 'status', 'assignee', 'tag', 'q') then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', v_wrong),
      'A status is open, pending, snoozed or closed; an assignee me, unassigned or an id; tag and q are text.');
  elsif v_wrong is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_wrong, 100), 'allowed', array['status', 'assignee', 'tag', 'q']),
      'Use the filters that are allowed.');
  end if;
end $$;

-- Definer: beside one's own it shows what others share, which row security keeps from everybody but its user.
create or replace function public.list_saved_views(p_workspace_id uuid) returns setof public.wa_saved_views
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  return query
  select view.* from public.wa_saved_views as view
  where view.workspace_id = p_workspace_id and (view.user_id = (select auth.uid()) or view.is_shared)
  order by view.is_shared, lower(view.name), view.id;
end $$;
comment on function public.list_saved_views(uuid) is 'The caller''s saved views of a workspace, then what others share.';

create or replace function public.create_saved_view(
  p_workspace_id uuid, p_name text, p_filters jsonb default '{}', p_is_default boolean default false,
  p_is_shared boolean default false
) returns public.wa_saved_views
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
  v_view public.wa_saved_views;
begin
  perform private.require_role(p_workspace_id,
    case when p_is_shared then array['owner', 'admin'] else array['owner', 'admin', 'member'] end,
    'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  perform private.check_view(p_name, p_filters);
  if p_is_default then
    update public.wa_saved_views as view set is_default = false
    where view.workspace_id = p_workspace_id and view.user_id = v_user_id and view.is_default;
  end if;
  insert into public.wa_saved_views (workspace_id, user_id, name, filters, is_default, is_shared)
  values (p_workspace_id, v_user_id, btrim(p_name), p_filters, coalesce(p_is_default, false),
    coalesce(p_is_shared, false))
  returning * into v_view;
  return v_view;
exception when unique_violation then
  perform private.raise_error(409, 'view_name_taken', jsonb_build_object('name', p_name), 'Choose another name.');
end $$;
comment on function public.create_saved_view(uuid, text, jsonb, boolean, boolean) is
  'Keeps a filter under a name, for the caller alone unless an owner or admin shares it.';

-- A view that the caller may change: one's own, or for owners and admins a shared one. Others look missing.
create or replace function private.lock_view(p_view_id uuid) returns public.wa_saved_views
language plpgsql security invoker set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
  v_view public.wa_saved_views;
begin
  select view.* into v_view from public.wa_saved_views as view
  where view.id = p_view_id and (view.user_id = v_user_id
    or (view.is_shared and view.workspace_id in (select private.my_workspace_ids_as('owner', 'admin'))))
  for no key update;
  perform private.require_role(v_view.workspace_id,
    case when v_view.is_shared then array['owner', 'admin'] else array['owner', 'admin', 'member'] end,
    'view_not_found', jsonb_build_object('view_id', p_view_id));
  return v_view;
end $$;

create or replace function public.update_saved_view(p_view_id uuid, p_patch jsonb) returns public.wa_saved_views
language plpgsql security definer set search_path = '' as $$
declare
  v_view public.wa_saved_views := private.lock_view(p_view_id);
  v_unknown constant text := (
    select min(given.key) from jsonb_object_keys(p_patch) as given (key)
    where given.key not in ('name', 'filters', 'is_default', 'is_shared'));
begin
  if v_unknown is not null then
    perform private.raise_error(400, 'field_unknown',
      jsonb_build_object('field', left(v_unknown, 100), 'allowed', array['name', 'filters', 'is_default', 'is_shared']),
      'Use the fields that are allowed.');
  elsif exists (
    select from jsonb_each(p_patch) as given
    where given.key in ('is_default', 'is_shared') and jsonb_typeof(given.value) <> 'boolean')
  then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["is_default", "is_shared"]}', 'Say true or false.');
  end if;
  v_view.name := btrim(case when p_patch ? 'name' then p_patch ->> 'name' else v_view.name end);
  v_view.filters := case when p_patch ? 'filters' then p_patch -> 'filters' else v_view.filters end;
  perform private.check_view(v_view.name, v_view.filters);
  if (p_patch ->> 'is_shared')::boolean then
    perform private.require_role(v_view.workspace_id, array['owner', 'admin'], 'view_not_found',
      jsonb_build_object('view_id', p_view_id));
  end if;
  if (p_patch ->> 'is_default')::boolean then
    update public.wa_saved_views as view set is_default = false
    where view.workspace_id = v_view.workspace_id and view.user_id = v_view.user_id and view.is_default
      and view.id <> p_view_id;
  end if;
  update public.wa_saved_views as view
  set name = v_view.name, filters = v_view.filters,
    is_default = coalesce((p_patch ->> 'is_default')::boolean, view.is_default),
    is_shared = coalesce((p_patch ->> 'is_shared')::boolean, view.is_shared)
  where view.id = p_view_id
  returning * into v_view;
  return v_view;
exception when unique_violation then
  perform private.raise_error(409, 'view_name_taken', jsonb_build_object('name', p_patch ->> 'name'),
    'Choose another name.');
end $$;
comment on function public.update_saved_view(uuid, jsonb) is
  'Changes name, filters, is_default or is_shared of the caller''s view, or as owner or admin of a shared one.';

create or replace function public.delete_saved_view(p_view_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_view public.wa_saved_views := private.lock_view(p_view_id);
begin
  delete from public.wa_saved_views as view where view.id = v_view.id;
end $$;
comment on function public.delete_saved_view(uuid) is 'Removes the caller''s view, or as owner or admin a shared one.';

revoke all on function
  private.check_view(text, jsonb), private.lock_view(uuid), public.list_saved_views(uuid),
  public.create_saved_view(uuid, text, jsonb, boolean, boolean), public.update_saved_view(uuid, jsonb),
  public.delete_saved_view(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.list_saved_views(uuid), public.create_saved_view(uuid, text, jsonb, boolean, boolean),
  public.update_saved_view(uuid, jsonb), public.delete_saved_view(uuid)
  to authenticated;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger wa_saved_views_set_updated_at before update on public.wa_saved_views
  for each row execute function private.set_updated_at();

notify pgrst, 'reload schema';
