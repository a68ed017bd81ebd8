-- Purpose:   importing contacts and candidates: a batch of rows in one statement, with an outcome for each.
-- Needs:     002_crm, 20260210000100_contact_history (merged contacts lead to their survivor).
-- Used by:   qero.services.contacts, candidates; `qero contacts import`.
-- Raises:    PT404 workspace_not_found · PT403 role_required · PT400 invalid_value, too_many_rows · PT503 try_again.
-- Roll back: drop the functions below; no data is lost.
--
-- A table may grow a thousandfold before anybody counts it anew, so the functions that write don't leave to the statistics
-- how each row is looked up: no sequential scans, no joins of whole tables, and "is not distinct from", which leaves the
-- planner none but the index that begins with e-mail or phone.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Functions
------------------------------------------------------------------------------------------------------------------------
create or replace function private.check_import(p_rows jsonb) returns void
language plpgsql stable security invoker set search_path = '' as $$
begin
  if jsonb_typeof(p_rows) is distinct from 'array' then
    perform private.raise_error(400, 'invalid_value', '{"field": "rows"}', 'Send an array of rows.');
  elsif jsonb_array_length(p_rows) > 5000 then
    perform private.raise_error(400, 'too_many_rows',
      jsonb_build_object('field', 'rows', 'count', jsonb_array_length(p_rows), 'limit', 5000),
      'Send at most 5,000 rows at once.');
  end if;
end $$;

-- The rows in their normal form, what is wrong with each, and which earlier one it repeats: the first counts.
create or replace function private.import_rows(p_rows jsonb)
returns table (
  place integer, label integer, name text, email text, phone text, lead_status text, tags text[], status_tags text[],
  problems text[], repeats integer
)
language sql stable security invoker set search_path = '' as $$
  with given as materialized (
    select item.ordinality::integer as place, coalesce(item."row", item.ordinality::integer) as label,
      nullif(btrim(item.name), '') as name, nullif(lower(btrim(item.email)), '') as email,
      -- Most numbers are in their normal form already.
      case when item.phone ~ '^\+[1-9][0-9]{6,14}$' then item.phone else private.normal_phone(item.phone) end as phone,
      nullif(btrim(item.lead_status), '') as lead_status,
      case when jsonb_typeof(item.tags) = 'array' then array(select jsonb_array_elements_text(item.tags)) end as tags,
      case when jsonb_typeof(item.status_tags) = 'array'
        then array(select jsonb_array_elements_text(item.status_tags)) end as status_tags
    from rows from (jsonb_to_recordset(p_rows) as (
      "row" integer, name text, email text, phone text, lead_status text, tags jsonb, status_tags jsonb))
      with ordinality as item
  ), checked as materialized (
    select given.*, array_remove(array[
      -- By a name alone it couldn't be found again, and repeating the import would double it.
      case when num_nonnulls(given.email, given.phone) = 0 then 'it has neither e-mail nor phone' end,
      case when length(given.name) > 300 then 'name: longer than 300 characters' end,
      case when length(given.email) > 320 or given.email !~ '^[^@[:space:]]+@[^@[:space:]]+$'
        then 'email: no e-mail address' end,
      case when given.phone !~ '^\+[1-9][0-9]{6,14}$' then 'phone: no number with its country, as +491701234567' end,
      case when given.lead_status not in ('new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost')
        then 'lead_status: none of new, pending, queued, contacted, engaged, qualified, lost' end,
      case when cardinality(given.tags) > 50 or exists (
        select from unnest(given.tags) as tag where length(tag) between 1 and 100 is not true)
        then 'tags: more than 50, or one that hasn''t 1 to 100 characters' end,
      case when cardinality(given.status_tags) > 50 or exists (
        select from unnest(given.status_tags) as tag where length(tag) between 1 and 100 is not true)
        then 'status_tags: more than 50, or one that hasn''t 1 to 100 characters' end
    ], null) as problems
    from given
  )
  select checked.place, checked.label, checked.name, checked.email, checked.phone, checked.lead_status, checked.tags,
    checked.status_tags, checked.problems,
    case
      when checked.problems <> '{}' then null
      when checked.email is not null and first_value(checked.place) over email_twins < checked.place
        then first_value(checked.label) over email_twins
      when checked.phone is not null and first_value(checked.place) over phone_twins < checked.place
        then first_value(checked.label) over phone_twins
    end
  from checked
  window
    email_twins as (partition by checked.email, checked.problems = '{}' order by checked.place),
    phone_twins as (partition by checked.phone, checked.problems = '{}' order by checked.place)
$$;

create or replace function public.import_contacts(
  p_workspace_id uuid, p_rows jsonb, p_dry_run boolean default true, p_update boolean default true
) returns jsonb
language plpgsql security definer set search_path = ''
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_user_id constant uuid := (select auth.uid());
  v_outcomes jsonb;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  perform private.check_import(p_rows);

  with input as materialized (
    select * from private.import_rows(p_rows)
  ), matched as materialized (
    select input.place, input.label, input.name, input.lead_status, input.tags, input.status_tags, input.problems,
      input.repeats,
      -- What leads to a contact by a detour isn't what the contact goes by now.
      case when known.by_email is not null or known.by_merged is null then input.email end as email,
      case when known.by_phone is not null or known.by_identity is null then input.phone end as phone,
      coalesce(known.by_email, known.by_merged) as email_match, coalesce(known.by_phone, known.by_identity) as phone_match
    from input
    cross join lateral (
      select
        (select contact.id from public.contacts as contact
         where lower(contact.email) = input.email and contact.workspace_id is not distinct from p_workspace_id
           and contact.deleted_at is null) as by_email,
        (select contact.merged_into from public.contacts as contact
         where lower(contact.email) = input.email and contact.workspace_id is not distinct from p_workspace_id
           and contact.merged_into is not null limit 1) as by_merged,
        (select contact.id from public.contacts as contact
         where contact.phone = input.phone and contact.workspace_id is not distinct from p_workspace_id
           and contact.deleted_at is null) as by_phone,
        (select identity.contact_id from public.contact_identities as identity
         where identity.workspace_id = p_workspace_id and identity.kind = 'wa_id' and identity.scope = ''
           and identity.value = substr(input.phone, 2)) as by_identity
      offset 0
    ) as known
  ), aimed as materialized (
    select matched.*, coalesce(matched.email_match, matched.phone_match) as contact_id,
      first_value(matched.place) over same as first_place, first_value(matched.label) over same as first_label
    from matched
    window same as (
      partition by coalesce(matched.email_match, matched.phone_match)
      order by matched.problems = '{}' and matched.repeats is null desc, matched.place)
  ), decided as materialized (
    select aimed.*, gen_random_uuid() as new_id,
      case
        when aimed.problems <> '{}' or aimed.email_match <> aimed.phone_match then 'invalid'
        when aimed.repeats is not null or (contact.id is not null and aimed.first_place < aimed.place) then 'skipped'
        when contact.id is null then 'created'
        when p_update and (
          coalesce(aimed.name, contact.name) is distinct from contact.name
          or coalesce(aimed.email, lower(contact.email)) is distinct from lower(contact.email)
          or coalesce(aimed.phone, contact.phone) is distinct from contact.phone
          or coalesce(aimed.lead_status, contact.lead_status) <> contact.lead_status
          or not contact.tags @> coalesce(aimed.tags, '{}')
          or not contact.status_tags @> coalesce(aimed.status_tags, '{}')) then 'updated'
        else 'skipped'
      end as outcome
    from aimed
    left join public.contacts as contact on contact.id = aimed.contact_id
  ), created as (
    insert into public.contacts (id, workspace_id, name, email, phone, lead_status, tags, status_tags, source, created_by)
    select decided.new_id, p_workspace_id, decided.name, decided.email, decided.phone,
      coalesce(decided.lead_status, 'new'), coalesce(decided.tags, '{}'), coalesce(decided.status_tags, '{}'), 'import',
      v_user_id
    from decided
    where decided.outcome = 'created' and not p_dry_run
    order by decided.place
  ), updated as (
    update public.contacts as contact
    set name = coalesce(decided.name, contact.name), email = coalesce(decided.email, contact.email),
      phone = coalesce(decided.phone, contact.phone), lead_status = coalesce(decided.lead_status, contact.lead_status),
      tags = array(select distinct tag from unnest(contact.tags || decided.tags) as tag order by tag),
      status_tags = array(select distinct tag from unnest(contact.status_tags || decided.status_tags) as tag order by tag)
    from decided
    where decided.outcome = 'updated' and contact.id = decided.contact_id and not p_dry_run
  ), reported as (
    insert into public.contact_duplicates (workspace_id, contact_id, duplicate_id, reason)
    select distinct p_workspace_id, least(decided.email_match, decided.phone_match),
      greatest(decided.email_match, decided.phone_match),
      'An imported row has the e-mail of one and the phone of the other.'
    from decided
    where decided.email_match <> decided.phone_match and decided.problems = '{}' and not p_dry_run
    on conflict do nothing
  )
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
    'outcome', decided.outcome,
    'id', case decided.outcome when 'created' then case when not p_dry_run then decided.new_id end
      when 'invalid' then null else decided.contact_id end,
    'problems', case
      when decided.problems <> '{}' then to_jsonb(decided.problems)
      when decided.outcome = 'invalid' then jsonb_build_array('its e-mail is one contact''s and its phone another''s: '
        || decided.email_match || ', ' || decided.phone_match)
      when decided.repeats is not null then jsonb_build_array('it repeats row ' || decided.repeats)
      when decided.outcome = 'skipped' and decided.first_place < decided.place
        then jsonb_build_array('it is the contact of row ' || decided.first_label)
      when decided.outcome = 'skipped' then jsonb_build_array(
        case when p_update then 'nothing to change' else 'it exists already' end)
    end)) order by decided.place)
  into v_outcomes
  from decided;
  return coalesce(v_outcomes, '[]'::jsonb);
-- Somebody made or changed one of them at the same time.
exception when unique_violation then
  perform private.raise_error(503, 'try_again', '{}',
    'Somebody changed the same contacts meanwhile; send the rows again.');
end $$;
comment on function public.import_contacts(uuid, jsonb, boolean, boolean) is
  'Creates or updates at most 5,000 contacts by e-mail or phone; answers for each row created, updated, skipped or invalid, with the reasons. Writes nothing unless told so.';

create or replace function public.import_candidates(
  p_workspace_id uuid, p_rows jsonb, p_dry_run boolean default true, p_update boolean default true
) returns jsonb
language plpgsql security definer set search_path = ''
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_user_id constant uuid := (select auth.uid());
  v_outcomes jsonb;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  perform private.check_import(p_rows);

  with input as materialized (
    select * from private.import_rows(p_rows)
  ), aimed as materialized (
    select input.place, input.label, input.name, input.email, input.phone, input.tags, input.status_tags, input.repeats,
      input.problems || case when input.status_tags <@ array['A', 'B', 'C'] or input.status_tags is null
        then '{}'::text[] else array['status_tags: none of A, B, C'] end as problems,
      known.by_email, known.by_phone, coalesce(known.by_email, known.by_phone) as candidate_id,
      first_value(input.place) over same as first_place, first_value(input.label) over same as first_label
    from input
    cross join lateral (
      select
        (select candidate.id from public.tma_candidates as candidate
         where lower(candidate.email) = input.email
           and candidate.workspace_id is not distinct from p_workspace_id) as by_email,
        (select candidate.id from public.tma_candidates as candidate
         where candidate.phone = input.phone
           and candidate.workspace_id is not distinct from p_workspace_id) as by_phone
      offset 0
    ) as known
    window same as (
      partition by coalesce(known.by_email, known.by_phone)
      order by input.problems = '{}' and input.repeats is null desc, input.place)
  ), decided as materialized (
    select aimed.*, gen_random_uuid() as new_id,
      case
        when aimed.problems <> '{}' or aimed.by_email <> aimed.by_phone then 'invalid'
        when aimed.repeats is not null or (candidate.id is not null and aimed.first_place < aimed.place) then 'skipped'
        when candidate.id is null then 'created'
        when p_update and (
          coalesce(aimed.name, candidate.name) is distinct from candidate.name
          or coalesce(aimed.email, lower(candidate.email)) is distinct from lower(candidate.email)
          or coalesce(aimed.phone, candidate.phone) is distinct from candidate.phone
          or not candidate.tags @> coalesce(aimed.tags, '{}')
          or not candidate.status_tags @> coalesce(aimed.status_tags, '{}')) then 'updated'
        else 'skipped'
      end as outcome
    from aimed
    left join public.tma_candidates as candidate on candidate.id = aimed.candidate_id
  ), created as (
    insert into public.tma_candidates (id, workspace_id, name, email, phone, tags, status_tags, source, created_by)
    select decided.new_id, p_workspace_id, decided.name, decided.email, decided.phone, coalesce(decided.tags, '{}'),
      coalesce(decided.status_tags, '{}'), 'import', v_user_id
    from decided
    where decided.outcome = 'created' and not p_dry_run
    order by decided.place
  ), updated as (
    update public.tma_candidates as candidate
    set name = coalesce(decided.name, candidate.name), email = coalesce(decided.email, candidate.email),
      phone = coalesce(decided.phone, candidate.phone),
      tags = array(select distinct tag from unnest(candidate.tags || decided.tags) as tag order by tag),
      status_tags = array(
        select distinct tag from unnest(candidate.status_tags || decided.status_tags) as tag order by tag)
    from decided
    where decided.outcome = 'updated' and candidate.id = decided.candidate_id and not p_dry_run
  )
  select jsonb_agg(jsonb_strip_nulls(jsonb_build_object(
    'outcome', decided.outcome,
    'id', case decided.outcome when 'created' then case when not p_dry_run then decided.new_id end
      when 'invalid' then null else decided.candidate_id end,
    'problems', case
      when decided.problems <> '{}' then to_jsonb(decided.problems)
      when decided.outcome = 'invalid' then jsonb_build_array('its e-mail is one candidate''s and its phone another''s: '
        || decided.by_email || ', ' || decided.by_phone)
      when decided.repeats is not null then jsonb_build_array('it repeats row ' || decided.repeats)
      when decided.outcome = 'skipped' and decided.first_place < decided.place
        then jsonb_build_array('it is the candidate of row ' || decided.first_label)
      when decided.outcome = 'skipped' then jsonb_build_array(
        case when p_update then 'nothing to change' else 'it exists already' end)
    end)) order by decided.place)
  into v_outcomes
  from decided;
  return coalesce(v_outcomes, '[]'::jsonb);
-- Somebody made or changed one of them at the same time.
exception when unique_violation then
  perform private.raise_error(503, 'try_again', '{}',
    'Somebody changed the same candidates meanwhile; send the rows again.');
end $$;
comment on function public.import_candidates(uuid, jsonb, boolean, boolean) is
  'Creates or updates at most 5,000 candidates by e-mail or phone; answers for each row as import_contacts does.';

revoke all on function
  private.check_import(jsonb), private.import_rows(jsonb), public.import_contacts(uuid, jsonb, boolean, boolean),
  public.import_candidates(uuid, jsonb, boolean, boolean)
  from public, anon, authenticated, service_role;
grant execute on function
  public.import_contacts(uuid, jsonb, boolean, boolean), public.import_candidates(uuid, jsonb, boolean, boolean)
  to authenticated, service_role;

notify pgrst, 'reload schema';
