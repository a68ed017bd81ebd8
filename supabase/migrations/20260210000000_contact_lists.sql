-- Purpose:   reading contacts and candidates with the caller's own settings: found, filtered, ordered, paged and counted
--            in one statement.
-- Needs:     002_crm, 022_personal_followups_fix.
-- Used by:   qero.services.contacts, candidates.
-- Raises:    PT401 not_authenticated · PT404 workspace_not_found, contact_not_found, candidate_not_found
--            · PT400 invalid_value.
-- Roll back: drop the functions and types below; no data is lost.
--
-- What is personal is always read under row security. So is what is shared, but for pages that a search or another filter
-- finds: row security would keep it from using its index, so a definer function reads them, which checks the membership
-- first. The pages that are asked for most are static statements, planned once a connection.

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
-- What every name, e-mail or phone has to match for a search: each of its words somewhere. A text that can only be a phone
-- number is one word, without its country's sign or a leading zero.
create or replace function private.search_patterns(p_search text) returns text[]
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_search constant text := lower(btrim(p_search));
begin
  if v_search ~ '^[+0-9(][0-9 ()./-]*$' and v_search ~ '[0-9]' then
    return array['%' || ltrim(regexp_replace(v_search, '[^0-9]', '', 'g'), '0') || '%'];
  end if;
  return array(
    select '%' || replace(replace(replace(word.value, '\', '\\'), '%', '\%'), '_', '\_') || '%'
    from regexp_split_to_table(v_search, '\s+') as word (value) where word.value <> '');
end $$;

-- The conditions of a filter as SQL.
create or replace function private.people_conditions(p_filter jsonb) returns text
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_conditions text := '';
  v_pattern text;
begin
  if p_filter ? 'search' then
    foreach v_pattern in array private.search_patterns(p_filter ->> 'search') loop
      v_conditions := v_conditions || ' and person.search_text like ' || quote_literal(v_pattern);
    end loop;
  end if;
  if p_filter ? 'lead_statuses' then
    v_conditions := v_conditions || ' and person.lead_status = any ('
      || quote_literal(array(select jsonb_array_elements_text(p_filter -> 'lead_statuses'))::text) || ')';
  end if;
  if p_filter ? 'tags' then
    v_conditions := v_conditions || ' and person.tags @> '
      || quote_literal(array(select jsonb_array_elements_text(p_filter -> 'tags'))::text);
  end if;
  if p_filter ? 'status_tags' then
    v_conditions := v_conditions || ' and person.status_tags @> '
      || quote_literal(array(select jsonb_array_elements_text(p_filter -> 'status_tags'))::text);
  end if;
  if p_filter ? 'assigned_to' then
    v_conditions := v_conditions || ' and person.assigned_to = ' || quote_literal(p_filter ->> 'assigned_to');
  end if;
  return v_conditions;
end $$;

create or replace function private.check_page(p_sort text, p_after text, p_limit integer) returns void
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if p_sort is null or p_sort not in ('created_at', 'name') then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'sort', 'value', left(p_sort, 50), 'allowed', array['created_at', 'name']),
      'Sort by one of the allowed fields.');
  elsif not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 at once.');
  elsif p_after is not null and (not private.is_valid(left(p_after, 36), 'uuid') or substr(p_after, 37, 1) <> ':'
    or (p_sort = 'created_at' and substr(p_after, 38) !~ '^-?[0-9]{1,17}$'))
  then
    perform private.raise_error(400, 'invalid_value', '{"field": "after"}',
      'Send the cursor of the page before, with the same sorting.');
  end if;
end $$;

-- What comes after a cursor, in an order, as SQL.
create or replace function private.people_page(p_sort text, p_descending boolean, p_after text, p_limit integer)
returns text
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_key constant text := case p_sort when 'name' then 'lower(coalesce(person.name, ''''))' else 'person.created_at' end;
  v_direction constant text := case when p_descending then ' desc' else '' end;
begin
  return case when p_after is null then '' else
      ' and (' || v_key || ', person.id) ' || case when p_descending then '<' else '>' end || ' ('
      || case p_sort when 'name' then quote_literal(substr(p_after, 38))
        else quote_literal(private.cursor_time(substr(p_after, 38))::text) || '::timestamptz' end
      || ', ' || quote_literal(left(p_after, 36)) || '::uuid)' end
    || ' order by ' || v_key || v_direction || ', person.id' || v_direction || ' limit ' || p_limit;
end $$;

-- Definer, all three: row security would keep a filter from using its index. Whoever isn't a member is told so first.
create or replace function private.page_of_contacts(
  p_workspace_id uuid, p_filter jsonb, p_without uuid[], p_sort text, p_descending boolean, p_after text, p_limit integer
) returns setof public.contacts
language plpgsql stable security definer set search_path = '' rows 50 as $$
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  return query execute 'select person.* from public.contacts as person where person.workspace_id = $1'
    || ' and person.deleted_at is null' || case when p_without is null then '' else ' and person.id <> all ($2)' end
    || private.people_conditions(p_filter) || private.people_page(p_sort, p_descending, p_after, p_limit)
    using p_workspace_id, p_without;
end $$;

create or replace function private.page_of_candidates(
  p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_sort text, p_descending boolean, p_after text,
  p_limit integer
) returns setof public.tma_candidates
language plpgsql stable security definer set search_path = '' rows 50 as $$
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  return query execute 'select person.* from public.tma_candidates as person where person.workspace_id = $1'
    || case when p_only is null then '' else ' and person.id = any ($2)' end
    || case when p_without is null then '' else ' and person.id <> all ($3)' end
    || private.people_conditions(p_filter) || private.people_page(p_sort, p_descending, p_after, p_limit)
    using p_workspace_id, p_only, p_without;
end $$;

-- Up to 5,000 are counted whatever is asked. Beyond that an estimate is made of the first 1,000 rows by id: ids are random,
-- so how far these reach into all ids says how many rows there are, and how many of them match is the filter's share. The
-- planner's estimate would do as well, if it weren't made of other workspaces' rows too.
create or replace function private.count_of_contacts(
  p_workspace_id uuid, p_filter jsonb, p_only uuid[], p_without uuid[], p_exact boolean
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_matches constant text := 'person.deleted_at is null'
    || case when p_only is null then '' else ' and person.id = any ($2)' end
    || case when p_without is null then '' else ' and person.id <> all ($3)' end
    || private.people_conditions(p_filter);
  v_count bigint;
  v_estimate bigint;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  execute 'select count(*) from (select 1 from public.contacts as person where person.workspace_id = $1 and '
    || v_matches || case when p_exact then '' else ' limit 5001' end || ') as found'
    into v_count using p_workspace_id, p_only, p_without;
  if p_exact or v_count <= 5000 then
    return jsonb_build_object('count', v_count, 'is_exact', true);
  end if;
  execute 'select count(*) filter (where ' || v_matches || ') * 281474976710656.0'
    ' / greatest(max((''x'' || left(replace(person.id::text, ''-'', ''''), 12))::bit(48)::bigint), 1)'
    ' from (select * from public.contacts as first where first.workspace_id = $1 order by first.id limit 1000) as person'
    into v_estimate using p_workspace_id, p_only, p_without;
  return jsonb_build_object('count', greatest(v_count, v_estimate), 'is_exact', false);
end $$;

create or replace function private.check_my_status(p_my_status text, p_allowed text[]) returns void
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if p_my_status <> all (p_allowed) then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'my_status', 'value', left(p_my_status, 50), 'allowed', p_allowed),
      'Use one of the allowed statuses.');
  end if;
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
language plpgsql stable security invoker set search_path = ''
set plan_cache_mode = force_generic_plan as $$
declare
  v_descending constant boolean := coalesce(p_descending, p_sort = 'created_at');
  v_patterns text[];
  v_after_at timestamptz := 'infinity';
  v_after_id uuid := '00000000-0000-0000-0000-000000000000';
  v_after_name text;
  v_range record;
begin
  -- The commonest are known to be good without a call.
  if p_sort is distinct from 'created_at' or p_limit is distinct from 50
    or p_after !~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:[0-9]{1,17}$'
  then
    perform private.check_page(p_sort, p_after, p_limit);
  end if;
  if p_after is not null then
    v_after_id := left(p_after, 36)::uuid;
    v_after_name := substr(p_after, 38);
    v_after_at := case when p_sort = 'created_at'
      then timestamptz 'epoch' + v_after_name::bigint * interval '1 microsecond' end;
  end if;

  if p_sort = 'created_at' and v_descending
    and num_nonnulls(p_search, p_lead_statuses, p_tags, p_assigned_to, p_my_status, p_follow_up) = 0
  then
    return query
    select contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, contact.lead_status,
      contact.status_tags, contact.tags, contact.source, contact.marketing_opted_out, contact.assigned_to,
      contact.created_by, contact.created_at, contact.updated_at, settings.status, settings.follow_up_at,
      settings.follow_up_note,
      contact.id || ':' || (extract(epoch from contact.created_at) * 1000000)::bigint
    from public.contacts as contact
    left join public.user_contact_settings as settings
      on settings.user_id = (select auth.uid()) and settings.contact_id = contact.id
    where contact.workspace_id = p_workspace_id and contact.deleted_at is null
      and (contact.created_at, contact.id) < (v_after_at, v_after_id)
    order by contact.created_at desc, contact.id desc
    limit p_limit;
  elsif p_follow_up is not null or p_my_status <> 'none' then
    perform private.check_my_status(p_my_status, array['hot', 'working', 'follow_up', 'none']);
    -- What the caller has marked is little: it is read first, and whatever else is asked is asked of that.
    v_range := private.follow_up_range(coalesce(p_follow_up, 'any'));
    v_patterns := private.search_patterns(coalesce(p_search, ''));
    return query
    select contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, contact.lead_status,
      contact.status_tags, contact.tags, contact.source, contact.marketing_opted_out, contact.assigned_to,
      contact.created_by, contact.created_at, contact.updated_at, settings.status, settings.follow_up_at,
      settings.follow_up_note,
      contact.id || ':' || case p_sort when 'name' then contact.sort_name
        else (extract(epoch from contact.created_at) * 1000000)::bigint::text end
    from public.user_contact_settings as settings
    join (
      select person.*, lower(coalesce(person.name, '')) as sort_name from public.contacts as person
    ) as contact on contact.id = settings.contact_id
    where settings.user_id = (select auth.uid()) and settings.workspace_id = p_workspace_id
      and contact.deleted_at is null
      and (p_my_status is null or settings.status is not distinct from nullif(p_my_status, 'none'))
      and (p_follow_up is null or (settings.follow_up_at >= v_range.p_from and settings.follow_up_at < v_range.p_to))
      and contact.search_text like all (v_patterns)
      and (p_lead_statuses is null or contact.lead_status = any (p_lead_statuses))
      and (p_tags is null or contact.tags @> p_tags)
      and (p_assigned_to is null or contact.assigned_to = p_assigned_to)
      and (p_after is null or case
        when p_sort = 'name' and v_descending then (contact.sort_name, contact.id) < (v_after_name, v_after_id)
        when p_sort = 'name' then (contact.sort_name, contact.id) > (v_after_name, v_after_id)
        when v_descending then (contact.created_at, contact.id) < (v_after_at, v_after_id)
        else (contact.created_at, contact.id) > (v_after_at, v_after_id) end)
    order by
      case when p_sort = 'name' and v_descending then contact.sort_name end desc,
      case when p_sort = 'name' and not v_descending then contact.sort_name end,
      case when p_sort = 'created_at' and v_descending then contact.created_at end desc,
      case when p_sort = 'created_at' and not v_descending then contact.created_at end,
      case when v_descending then contact.id end desc, case when not v_descending then contact.id end
    limit p_limit;
  else
    return query
    select contact.id, contact.workspace_id, contact.name, contact.email, contact.phone, contact.lead_status,
      contact.status_tags, contact.tags, contact.source, contact.marketing_opted_out, contact.assigned_to,
      contact.created_by, contact.created_at, contact.updated_at, settings.status, settings.follow_up_at,
      settings.follow_up_note,
      contact.id || ':' || case p_sort when 'name' then lower(coalesce(contact.name, ''))
        else (extract(epoch from contact.created_at) * 1000000)::bigint::text end
    from private.page_of_contacts(p_workspace_id,
      jsonb_strip_nulls(jsonb_build_object('search', p_search, 'lead_statuses', p_lead_statuses, 'tags', p_tags,
        'assigned_to', p_assigned_to)),
      case when p_my_status = 'none' then array(
        select marked.contact_id from public.user_contact_settings as marked
        where marked.user_id = (select auth.uid()) and marked.status is not null) end,
      p_sort, v_descending, p_after, p_limit) with ordinality as contact
    left join public.user_contact_settings as settings
      on settings.user_id = (select auth.uid()) and settings.contact_id = contact.id
    order by contact.ordinality;
  end if;
  -- Row security shows strangers nothing; asked for only where there is nothing, this costs no page anything.
  if not found then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  end if;
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
declare
  v_range record := private.follow_up_range(coalesce(p_follow_up, 'any'));
begin
  perform private.check_my_status(p_my_status, array['hot', 'working', 'follow_up', 'none']);
  return private.count_of_contacts(p_workspace_id,
    jsonb_strip_nulls(jsonb_build_object('search', p_search, 'lead_statuses', p_lead_statuses, 'tags', p_tags,
      'assigned_to', p_assigned_to)),
    case when p_follow_up is not null or p_my_status <> 'none' then array(
      select marked.contact_id from public.user_contact_settings as marked
      where marked.user_id = (select auth.uid())
        and (p_my_status is null or marked.status is not distinct from nullif(p_my_status, 'none'))
        and (p_follow_up is null or (marked.follow_up_at >= v_range.p_from and marked.follow_up_at < v_range.p_to))) end,
    case when p_my_status = 'none' then array(
      select marked.contact_id from public.user_contact_settings as marked
      where marked.user_id = (select auth.uid()) and marked.status is not null) end,
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
declare
  v_range record := private.follow_up_range(coalesce(p_follow_up, 'any'));
begin
  perform private.check_page(p_sort, p_after, p_limit);
  perform private.check_my_status(p_my_status, array['A', 'B', 'C', 'none']);
  return query
  select candidate.id, candidate.workspace_id, candidate.name, candidate.email, candidate.phone, candidate.status_tags,
    candidate.tags, candidate.source, candidate.created_by, candidate.created_at, candidate.updated_at, settings.status,
    settings.follow_up_at, settings.follow_up_note,
    candidate.id || ':' || case p_sort when 'name' then lower(coalesce(candidate.name, ''))
      else (extract(epoch from candidate.created_at) * 1000000)::bigint::text end
  from private.page_of_candidates(p_workspace_id,
    jsonb_strip_nulls(jsonb_build_object('search', p_search, 'status_tags', p_status_tags, 'tags', p_tags)),
    case when p_follow_up is not null or p_my_status <> 'none' then array(
      select marked.tma_id from public.user_tma_settings as marked
      where marked.user_id = (select auth.uid())
        and (p_my_status is null or marked.status is not distinct from nullif(p_my_status, 'none'))
        and (p_follow_up is null or (marked.follow_up_at >= v_range.p_from and marked.follow_up_at < v_range.p_to))) end,
    case when p_my_status = 'none' then array(
      select marked.tma_id from public.user_tma_settings as marked
      where marked.user_id = (select auth.uid()) and marked.status is not null) end,
    p_sort, coalesce(p_descending, p_sort = 'created_at'), p_after, p_limit) with ordinality as candidate
  left join public.user_tma_settings as settings
    on settings.user_id = (select auth.uid()) and settings.tma_id = candidate.id
  order by candidate.ordinality;
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
  private.people_conditions(jsonb), private.people_page(text, boolean, text, integer),
  private.search_patterns(text), private.check_page(text, text, integer), private.check_my_status(text, text[]),
  private.page_of_contacts(uuid, jsonb, uuid[], text, boolean, text, integer),
  private.page_of_candidates(uuid, jsonb, uuid[], uuid[], text, boolean, text, integer),
  private.count_of_contacts(uuid, jsonb, uuid[], uuid[], boolean),
  public.list_contacts(uuid, text, text[], text[], uuid, text, text, text, boolean, text, integer),
  public.count_contacts(uuid, text, text[], text[], uuid, text, text, boolean), public.get_contact(uuid),
  public.list_candidates(uuid, text, text[], text[], text, text, text, boolean, text, integer),
  public.get_candidate(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  private.search_patterns(text), private.check_page(text, text, integer), private.check_my_status(text, text[]),
  private.page_of_contacts(uuid, jsonb, uuid[], text, boolean, text, integer),
  private.page_of_candidates(uuid, jsonb, uuid[], uuid[], text, boolean, text, integer),
  private.count_of_contacts(uuid, jsonb, uuid[], uuid[], boolean),
  public.list_contacts(uuid, text, text[], text[], uuid, text, text, text, boolean, text, integer),
  public.count_contacts(uuid, text, text[], text[], uuid, text, text, boolean), public.get_contact(uuid),
  public.list_candidates(uuid, text, text[], text[], text, text, text, boolean, text, integer),
  public.get_candidate(uuid)
  to authenticated;

notify pgrst, 'reload schema';
