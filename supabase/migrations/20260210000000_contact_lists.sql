-- Purpose:   reading contacts and candidates with the caller's own settings: found, filtered, ordered, paged and counted
--            in one statement.
-- Needs:     002_crm, 022_personal_followups_fix.
-- Used by:   qero.services.contacts, candidates.
-- Raises:    PT401 not_authenticated · PT404 workspace_not_found, contact_not_found, candidate_not_found
--            · PT400 invalid_value.
-- Roll back: drop the functions and types below; no data is lost.
--
-- What is shared is read by definer functions that check the membership first, because row security keeps a search from
-- using its index. What is personal is read under row security, always.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Types
------------------------------------------------------------------------------------------------------------------------
do $$
begin
  if to_regtype('private.my_contact') is null then
    create type private.my_contact as (
      id uuid, workspace_id uuid, name text, email text, phone text, lead_status text, status_tags text[], tags text[],
      source text, marketing_opted_out boolean, assigned_to uuid, created_by uuid, created_at timestamptz,
      updated_at timestamptz, my_status text, follow_up_at timestamptz, follow_up_note text, cursor text
    );
  end if;
  if to_regtype('private.my_candidate') is null then
    create type private.my_candidate as (
      id uuid, workspace_id uuid, name text, email text, phone text, status_tags text[], tags text[], source text,
      created_by uuid, created_at timestamptz, updated_at timestamptz, my_status text, follow_up_at timestamptz,
      follow_up_note text, cursor text
    );
  end if;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Functions: queries
------------------------------------------------------------------------------------------------------------------------
-- The conditions of a filter as SQL. Every word has to occur somewhere in name, e-mail or phone; a text that can only be
-- a phone number is one word, without its country's sign or a leading zero.
create or replace function private.people_conditions(p_filter jsonb) returns text
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_search constant text := lower(btrim(p_filter ->> 'search'));
  v_digits constant text := regexp_replace(v_search, '[^0-9]', '', 'g');
  v_conditions text := '';
  v_word text;
begin
  foreach v_word in array case
    when v_search ~ '^[+0-9(][0-9 ()./-]*$' and length(v_digits) > 0 then array[ltrim(v_digits, '0')]
    else coalesce(regexp_split_to_array(v_search, '\s+'), '{}') end
  loop
    v_conditions := v_conditions || format(' and person.search_text like %L',
      '%' || replace(replace(replace(v_word, '\', '\\'), '%', '\%'), '_', '\_') || '%');
  end loop;
  -- What isn't asked for is null, and so is its condition.
  return v_conditions
    || coalesce(' and person.lead_status = any (' || quote_literal((
      select array_agg(value) from jsonb_array_elements_text(p_filter -> 'lead_statuses') as value)::text) || ')', '')
    || coalesce(' and person.tags @> ' || quote_literal((
      select array_agg(value) from jsonb_array_elements_text(p_filter -> 'tags') as value)::text), '')
    || coalesce(' and person.status_tags @> ' || quote_literal((
      select array_agg(value) from jsonb_array_elements_text(p_filter -> 'status_tags') as value)::text), '')
    || coalesce(' and person.assigned_to = ' || quote_literal(p_filter ->> 'assigned_to'), '');
end $$;

-- A page as SQL, for the workspace $1, the ids $2 only, without the ids $3.
create or replace function private.people_query(
  p_select text, p_table text, p_filter jsonb, p_only uuid[], p_without uuid[]
) returns text
language sql immutable security invoker set search_path = '' as $$
  select format('select %s from public.%I as person where person.workspace_id = $1', p_select, p_table)
    || case p_table when 'contacts' then ' and person.deleted_at is null' else '' end
    || case when p_only is null then '' else ' and person.id = any ($2)' end
    || case when p_without is null then '' else ' and person.id <> all ($3)' end
    || private.people_conditions(p_filter)
$$;

-- What comes after a cursor, in an order, as SQL.
create or replace function private.people_page(p_sort text, p_descending boolean, p_after text, p_limit integer)
returns text
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_key constant text := case p_sort when 'created_at' then 'person.created_at'
    when 'name' then 'lower(coalesce(person.name, ''''))' end;
  v_descending constant boolean := coalesce(p_descending, p_sort = 'created_at');
  v_direction constant text := case when v_descending then ' desc' else '' end;
  v_after text := '';
begin
  if v_key is null then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'sort', 'value', left(p_sort, 50), 'allowed', array['created_at', 'name']),
      'Sort by one of the allowed fields.');
  elsif not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 at once.');
  end if;
  if p_after is not null then
    if p_after !~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}:'
      or (p_sort = 'created_at' and substr(p_after, 38) !~ '^-?[0-9]{1,17}$')
    then
      perform private.raise_error(400, 'invalid_value', '{"field": "after"}',
        'Send the cursor of the page before, with the same sorting.');
    end if;
    v_after := format(' and (%s, person.id) %s (%L%s, %L::uuid)', v_key, case when v_descending then '<' else '>' end,
      case p_sort when 'created_at' then private.cursor_time(substr(p_after, 38))::text else substr(p_after, 38) end,
      case p_sort when 'created_at' then '::timestamptz' else '::text' end, left(p_after, 36));
  end if;
  return v_after || format(' order by %s%s, person.id%s limit %s', v_key, v_direction, v_direction, p_limit);
end $$;

-- Definer, each: row security would keep a search from using its index. The membership is checked before anything else.
create or replace function private.page_of_contacts(
  p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_sort text, p_descending boolean, p_after text,
  p_limit integer
) returns setof public.contacts
language plpgsql stable security definer set search_path = '' rows 50 as $$
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  return query execute private.people_query('person.*', 'contacts', p_filter, p_only, p_without)
    || private.people_page(p_sort, p_descending, p_after, p_limit)
    using p_workspace_id, p_only, p_without;
end $$;

create or replace function private.page_of_candidates(
  p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_sort text, p_descending boolean, p_after text,
  p_limit integer
) returns setof public.tma_candidates
language plpgsql stable security definer set search_path = '' rows 50 as $$
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  return query execute private.people_query('person.*', 'tma_candidates', p_filter, p_only, p_without)
    || private.people_page(p_sort, p_descending, p_after, p_limit)
    using p_workspace_id, p_only, p_without;
end $$;

-- Up to 5,000 are counted whatever is asked; beyond that an estimate is the planner's, for this workspace alone.
create or replace function private.count_of_contacts(
  p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_exact boolean
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_query text;
  v_count bigint;
  v_plan jsonb;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  v_query := private.people_query('1', 'contacts', p_filter, p_only, p_without);
  execute format('select count(*) from (%s%s) as found', v_query, case when p_exact then '' else ' limit 5001' end)
    into v_count using p_workspace_id, p_only, p_without;
  if not p_exact and v_count > 5000 then
    execute 'explain (format json) ' || v_query into v_plan using p_workspace_id, p_only, p_without;
    return jsonb_build_object(
      'count', greatest(v_count, (v_plan -> 0 -> 'Plan' ->> 'Plan Rows')::bigint), 'is_exact', false);
  end if;
  return jsonb_build_object('count', v_count, 'is_exact', true);
end $$;

-- The ids that the caller has marked so, under row security; null asks for nothing personal.
create or replace function private.my_contact_ids(p_my_status text, p_follow_up text) returns uuid[]
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_range record;
begin
  if p_my_status not in ('hot', 'working', 'follow_up', 'none') then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'my_status',
      'value', left(p_my_status, 50), 'allowed', array['hot', 'working', 'follow_up', 'none']),
      'Use one of the allowed statuses.');
  end if;
  if p_follow_up is null and coalesce(p_my_status, 'none') = 'none' then
    return null;
  end if;
  v_range := private.follow_up_range(coalesce(p_follow_up, 'any'));
  return array(
    select settings.contact_id from public.user_contact_settings as settings
    where (p_my_status is null or p_my_status = 'none' or settings.status = p_my_status)
      and (p_follow_up is null or (settings.follow_up_at >= v_range.p_from and settings.follow_up_at < v_range.p_to)));
end $$;

create or replace function private.my_candidate_ids(p_my_status text, p_follow_up text) returns uuid[]
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_range record;
begin
  if p_my_status not in ('A', 'B', 'C', 'none') then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'my_status',
      'value', left(p_my_status, 50), 'allowed', array['A', 'B', 'C', 'none']), 'Use one of the allowed statuses.');
  end if;
  if p_follow_up is null and coalesce(p_my_status, 'none') = 'none' then
    return null;
  end if;
  v_range := private.follow_up_range(coalesce(p_follow_up, 'any'));
  return array(
    select settings.tma_id from public.user_tma_settings as settings
    where (p_my_status is null or p_my_status = 'none' or settings.status = p_my_status)
      and (p_follow_up is null or (settings.follow_up_at >= v_range.p_from and settings.follow_up_at < v_range.p_to)));
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Functions: contacts
------------------------------------------------------------------------------------------------------------------------
create or replace function public.list_contacts(
  p_workspace_id uuid, p_search text default null, p_lead_statuses text[] default null, p_tags text[] default null,
  p_assigned_to uuid default null, p_my_status text default null, p_follow_up text default null,
  p_sort text default 'created_at', p_descending boolean default null, p_after text default null,
  p_limit integer default 50
) returns setof private.my_contact
language plpgsql stable security invoker set search_path = '' as $$
begin
  perform private.require_user();
  return query
  select page.id, page.workspace_id, page.name, page.email, page.phone, page.lead_status, page.status_tags, page.tags,
    page.source, page.marketing_opted_out, page.assigned_to, page.created_by, page.created_at, page.updated_at,
    settings.status, settings.follow_up_at, settings.follow_up_note,
    page.id || ':' || case p_sort when 'name' then lower(coalesce(page.name, ''))
      else private.time_cursor(page.created_at) end
  from private.page_of_contacts(p_workspace_id,
    jsonb_strip_nulls(jsonb_build_object('search', p_search, 'lead_statuses', p_lead_statuses, 'tags', p_tags,
      'assigned_to', p_assigned_to)),
    private.my_contact_ids(p_my_status, p_follow_up),
    case when p_my_status = 'none' then array(
      select marked.contact_id from public.user_contact_settings as marked where marked.status is not null) end,
    p_sort, p_descending, p_after, p_limit) with ordinality as page
  left join public.user_contact_settings as settings
    on settings.user_id = (select auth.uid()) and settings.contact_id = page.id
  order by page.ordinality;
end $$;
comment on function public.list_contacts(
  uuid, text, text[], text[], uuid, text, text, text, boolean, text, integer) is
  'A page of contacts with the caller''s own settings; each row has the cursor that the page behind it begins with.';

create or replace function public.count_contacts(
  p_workspace_id uuid, p_search text default null, p_lead_statuses text[] default null, p_tags text[] default null,
  p_assigned_to uuid default null, p_my_status text default null, p_follow_up text default null,
  p_exact boolean default true
) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
begin
  perform private.require_user();
  return private.count_of_contacts(p_workspace_id,
    jsonb_strip_nulls(jsonb_build_object('search', p_search, 'lead_statuses', p_lead_statuses, 'tags', p_tags,
      'assigned_to', p_assigned_to)),
    private.my_contact_ids(p_my_status, p_follow_up),
    case when p_my_status = 'none' then array(
      select marked.contact_id from public.user_contact_settings as marked where marked.status is not null) end,
    coalesce(p_exact, true));
end $$;
comment on function public.count_contacts(uuid, text, text[], text[], uuid, text, text, boolean) is
  'How many contacts a filter finds, exactly or, where there are more than 5,000, estimated.';

create or replace function public.get_contact(p_contact_id uuid) returns private.my_contact
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_contact private.my_contact;
begin
  perform private.require_user();
  select contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, contact.lead_status,
    contact.status_tags, contact.tags, contact.source, contact.marketing_opted_out, contact.assigned_to,
    contact.created_by, contact.created_at, contact.updated_at, settings.status, settings.follow_up_at,
    settings.follow_up_note
  into v_contact
  from public.contacts as contact
  left join public.user_contact_settings as settings
    on settings.user_id = (select auth.uid()) and settings.contact_id = contact.id
  where contact.id = p_contact_id;
  if not found then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', p_contact_id),
      'Check the id; it may belong to another workspace.');
  end if;
  return v_contact;
end $$;
comment on function public.get_contact(uuid) is 'One contact with the caller''s own settings, as lists show it.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: candidates
------------------------------------------------------------------------------------------------------------------------
create or replace function public.list_candidates(
  p_workspace_id uuid, p_search text default null, p_status_tags text[] default null, p_tags text[] default null,
  p_my_status text default null, p_follow_up text default null, p_sort text default 'created_at',
  p_descending boolean default null, p_after text default null, p_limit integer default 50
) returns setof private.my_candidate
language plpgsql stable security invoker set search_path = '' as $$
begin
  perform private.require_user();
  return query
  select page.id, page.workspace_id, page.name, page.email, page.phone, page.status_tags, page.tags, page.source,
    page.created_by, page.created_at, page.updated_at, settings.status, settings.follow_up_at, settings.follow_up_note,
    page.id || ':' || case p_sort when 'name' then lower(coalesce(page.name, ''))
      else private.time_cursor(page.created_at) end
  from private.page_of_candidates(p_workspace_id,
    jsonb_strip_nulls(jsonb_build_object('search', p_search, 'status_tags', p_status_tags, 'tags', p_tags)),
    private.my_candidate_ids(p_my_status, p_follow_up),
    case when p_my_status = 'none' then array(
      select marked.tma_id from public.user_tma_settings as marked where marked.status is not null) end,
    p_sort, p_descending, p_after, p_limit) with ordinality as page
  left join public.user_tma_settings as settings
    on settings.user_id = (select auth.uid()) and settings.tma_id = page.id
  order by page.ordinality;
end $$;
comment on function public.list_candidates(
  uuid, text, text[], text[], text, text, text, boolean, text, integer) is
  'A page of candidates with the caller''s own settings; each row has the cursor that the page behind it begins with.';

create or replace function public.get_candidate(p_candidate_id uuid) returns private.my_candidate
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_candidate private.my_candidate;
begin
  perform private.require_user();
  select candidate.id, candidate.workspace_id, candidate.name, candidate.email, candidate.phone, candidate.status_tags,
    candidate.tags, candidate.source, candidate.created_by, candidate.created_at, candidate.updated_at, settings.status,
    settings.follow_up_at, settings.follow_up_note
  into v_candidate
  from public.tma_candidates as candidate
  left join public.user_tma_settings as settings
    on settings.user_id = (select auth.uid()) and settings.tma_id = candidate.id
  where candidate.id = p_candidate_id;
  if not found then
    perform private.raise_error(404, 'candidate_not_found', jsonb_build_object('candidate_id', p_candidate_id),
      'Check the id; it may belong to another workspace.');
  end if;
  return v_candidate;
end $$;
comment on function public.get_candidate(uuid) is 'One candidate with the caller''s own settings, as lists show them.';

revoke all on function
  private.people_conditions(jsonb), private.people_query(text, text, jsonb, uuid[], uuid[]),
  private.people_page(text, boolean, text, integer),
  private.page_of_contacts(uuid, jsonb, uuid[], uuid[], text, boolean, text, integer),
  private.page_of_candidates(uuid, jsonb, uuid[], uuid[], text, boolean, text, integer),
  private.count_of_contacts(uuid, jsonb, uuid[], uuid[], boolean), private.my_contact_ids(text, text),
  private.my_candidate_ids(text, text),
  public.list_contacts(uuid, text, text[], text[], uuid, text, text, text, boolean, text, integer),
  public.count_contacts(uuid, text, text[], text[], uuid, text, text, boolean), public.get_contact(uuid),
  public.list_candidates(uuid, text, text[], text[], text, text, text, boolean, text, integer),
  public.get_candidate(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  private.page_of_contacts(uuid, jsonb, uuid[], uuid[], text, boolean, text, integer),
  private.page_of_candidates(uuid, jsonb, uuid[], uuid[], text, boolean, text, integer),
  private.count_of_contacts(uuid, jsonb, uuid[], uuid[], boolean), private.my_contact_ids(text, text),
  private.my_candidate_ids(text, text),
  public.list_contacts(uuid, text, text[], text[], uuid, text, text, text, boolean, text, integer),
  public.count_contacts(uuid, text, text[], text[], uuid, text, text, boolean), public.get_contact(uuid),
  public.list_candidates(uuid, text, text[], text[], text, text, text, boolean, text, integer),
  public.get_candidate(uuid)
  to authenticated;

notify pgrst, 'reload schema';
