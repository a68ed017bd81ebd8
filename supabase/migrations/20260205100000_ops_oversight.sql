-- Purpose:   what operators look at and do beside entitlements and tokens: workspaces, suspension, the audit log, its
--            chain of seals, and the audit of connections.
-- Needs:     20260118000000_ops_console, 20260121200000_fix_ambiguous_column_refs, 20260122000000_wa_core,
--            20260128231758_m1_reliability.
-- Used by:   qero.services.operators, audit, tokens; `qero ops workspaces`, `qero ops audit`, `qero ops tokens check`.
-- Raises:    PT403 operator_required · PT404 workspace_not_found · PT400 invalid_value · PT409 append_only.
-- Roll back: drop the functions and triggers, then private.audit_seals: the log stays, and what the seals prove is lost.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists private.audit_seals (
  number bigint primary key,
  last_id bigint not null,
  row_count bigint not null,
  hash text not null,
  sealed_at timestamptz not null default now(),
  constraint audit_seals_last_id_key unique (last_id),
  constraint audit_seals_hash_check check (hash ~ '^[0-9a-f]{64}$')
);
comment on table private.audit_seals is
  'Each seals the rows of the audit log since the one before, with that one''s hash: whoever changes a sealed row breaks it.';

alter table private.audit_seals enable row level security;
drop policy if exists audit_seals_select_service on private.audit_seals;
create policy audit_seals_select_service on private.audit_seals for select to service_role using (true);
revoke all on table private.audit_seals from public, anon, authenticated, service_role;

create or replace trigger audit_seals_refuse_change before update or delete or truncate on private.audit_seals
  for each statement execute function private.refuse_change();
alter table private.audit_seals enable always trigger audit_seals_refuse_change;

------------------------------------------------------------------------------------------------------------------------
-- Audit of connections
------------------------------------------------------------------------------------------------------------------------
create or replace trigger wa_phone_numbers_audit
  after insert or delete or update of phone_number_id, waba_id, display_phone_number, status, status_reason, deleted_at
  on public.wa_phone_numbers
  for each row execute function private.audit_row(
    'id', 'phone_number_id', 'waba_id', 'display_phone_number', 'status', 'status_reason', 'deleted_at');

------------------------------------------------------------------------------------------------------------------------
-- Workspaces
------------------------------------------------------------------------------------------------------------------------
create or replace function public.find_workspace(p_ref text) returns public.workspaces
language plpgsql stable security definer set search_path = '' as $$
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  return private.find_workspace(p_ref);
end $$;
comment on function public.find_workspace(text) is 'For operators: the workspace with this slug or uuid, whoever is in it.';

create or replace function public.list_workspaces(
  p_search text default null, p_status text default null, p_after_slug text default null, p_limit integer default 50
)
returns table (
  id uuid, slug text, name text, status text, created_at timestamptz, member_count bigint, connection_count bigint,
  token_balance bigint
)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
declare
  v_pattern text := '%' || replace(replace(replace(btrim(p_search), '\', '\\'), '%', '\%'), '_', '\_') || '%';
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  if p_limit is null or p_limit not between 1 and 1000 or coalesce(p_status, 'active') not in ('active', 'suspended')
  then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["limit", "status"]}',
      'Ask for 1 to 1000, active or suspended ones.');
  end if;
  return query
  select workspace.id, workspace.slug, workspace.name, workspace.status, workspace.created_at,
    (select count(*) from public.workspace_memberships as member where member.workspace_id = workspace.id),
    (select count(*) from public.wa_phone_numbers as connection
     where connection.workspace_id = workspace.id and connection.deleted_at is null and connection.status <> 'inactive'),
    coalesce((
      select account.balance from public.workspace_token_balance as account
      where account.workspace_id = workspace.id), 0)
  from public.workspaces as workspace
  where (p_status is null or workspace.status = p_status)
    and (p_after_slug is null or workspace.slug > p_after_slug)
    and (nullif(btrim(p_search), '') is null or workspace.slug ilike v_pattern or workspace.name ilike v_pattern
      or workspace.id::text = lower(btrim(p_search)))
  order by workspace.slug
  limit p_limit;
end $$;
comment on function public.list_workspaces(text, text, text, integer) is
  'For operators: workspaces by slug, after the given one; a search looks into slug, name and id.';

create or replace function public.get_workspace_overview(p_workspace_id uuid) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_workspace public.workspaces;
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  v_workspace := private.find_workspace(p_workspace_id::text);
  return jsonb_build_object(
    'workspace', to_jsonb(v_workspace),
    'members', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'user_id', member.user_id, 'email', profile.email, 'full_name', profile.full_name, 'role', member.role,
        'since', member.created_at) order by member.created_at, member.user_id), '[]')
      from public.workspace_memberships as member join public.profiles as profile on profile.id = member.user_id
      where member.workspace_id = v_workspace.id),
    'entitlements', (
      select coalesce(jsonb_agg(to_jsonb(entitlement) - 'value' order by entitlement.key), '[]')
      from public.workspace_entitlements as entitlement where entitlement.workspace_id = v_workspace.id),
    'tokens', (
      select to_jsonb(account) from public.workspace_token_balance as account
      where account.workspace_id = v_workspace.id),
    'connections', (
      select coalesce(jsonb_agg(jsonb_build_object(
        'id', connection.id, 'phone_number_id', connection.phone_number_id,
        'display_phone_number', connection.display_phone_number, 'status', connection.status,
        'status_reason', connection.status_reason, 'quality', connection.quality)
        order by connection.phone_number_id, connection.id), '[]')
      from public.wa_phone_numbers as connection
      where connection.workspace_id = v_workspace.id and connection.deleted_at is null),
    'queue', public.get_outbox_stats(v_workspace.id),
    'recent_audit', (
      select coalesce(jsonb_agg(to_jsonb(recent) order by recent.id desc), '[]')
      from (
        select entry.* from public.owner_audit_log as entry where entry.workspace_id = v_workspace.id
        order by entry.id desc limit 20) as recent));
end $$;
comment on function public.get_workspace_overview(uuid) is
  'For operators: a workspace''s members, entitlements, balance, connections, what is queued, and its latest audit.';

create or replace function public.set_workspace_status(p_workspace_id uuid, p_status text, p_reason text default null)
returns public.workspaces
language plpgsql security definer set search_path = '' as $$
declare
  v_workspace_id uuid;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_status is null or p_status not in ('active', 'suspended') or length(p_reason) > 500 then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["status", "reason"]}',
      'A workspace is active or suspended, for a reason of at most 500 characters.');
  end if;
  v_workspace_id := (private.find_workspace(p_workspace_id::text)).id;
  perform set_config('qero.reason', coalesce(btrim(p_reason), ''), true);
  update public.workspaces as workspace set status = p_status
  where workspace.id = v_workspace_id and workspace.status <> p_status;
  perform set_config('qero.reason', '', true);
  return private.find_workspace(p_workspace_id::text);
end $$;
comment on function public.set_workspace_status(uuid, text, text) is
  'Suspends a workspace, or ends that: while it lasts its members only read, nothing is sent, and it is entitled to nothing.';

-- What is queued waits for the end of the suspension, whoever tries to resume a number meanwhile.
create or replace function private.hold_suspended_lane() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (
    select 1 from public.workspaces as workspace
    where workspace.id = new.workspace_id and workspace.status = 'suspended'
  ) then
    new.paused_until := timestamptz '3000-01-01 00:00:00+00';
    new.pause_reason := 'workspace_suspended';
  end if;
  return new;
end $$;
create or replace trigger outbox_lanes_hold_suspended before insert or update of paused_until on private.outbox_lanes
  for each row execute function private.hold_suspended_lane();

create or replace function private.apply_workspace_status() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.status = 'suspended' then
    update private.outbox_lanes as lane set paused_until = lane.paused_until where lane.workspace_id = new.id;
  else
    update private.outbox_lanes as lane set paused_until = '-infinity', pause_count = 0, pause_reason = null
    where lane.workspace_id = new.id and lane.pause_reason = 'workspace_suspended';
    perform private.wake_outbox_workers();
  end if;
  return null;
end $$;
create or replace trigger workspaces_apply_status after update of status on public.workspaces
  for each row when (old.status <> new.status) execute function private.apply_workspace_status();

------------------------------------------------------------------------------------------------------------------------
-- The audit log
------------------------------------------------------------------------------------------------------------------------
create or replace function public.search_audit_log(
  p_workspace_id uuid default null, p_action text default null, p_actor text default null,
  p_since timestamptz default null, p_until timestamptz default null, p_search text default null,
  p_before_id bigint default null, p_limit integer default 50
) returns setof public.owner_audit_log
language plpgsql stable security definer set search_path = '' set plan_cache_mode = force_custom_plan as $$
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  if p_limit is null or p_limit not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 1000"}',
      'Ask for 1 to 1000 rows at once.');
  end if;
  return query
  select entry.* from public.owner_audit_log as entry
  where (p_workspace_id is null or entry.workspace_id = p_workspace_id)
    and (p_action is null or entry.action = p_action or starts_with(entry.action, p_action || '.'))
    and (p_actor is null or lower(entry.actor_email) = lower(p_actor) or entry.actor_id::text = lower(p_actor)
      or entry.actor_id is null and entry.actor_role = p_actor)
    and (p_since is null or entry.occurred_at >= p_since) and (p_until is null or entry.occurred_at < p_until)
    and (p_search is null
      or strpos(lower(concat_ws(' ', entry.reason, entry.before, entry.after)), lower(p_search)) > 0)
    and (p_before_id is null or entry.id < p_before_id)
  order by entry.id desc
  limit p_limit;
end $$;
comment on function public.search_audit_log(uuid, text, text, timestamptz, timestamptz, text, bigint, integer) is
  'The audit log, newest first, before the given id: by workspace, action or its beginning, actor, time, and words.';

-- Says the same of a row for good: columns that come later don't change it, nor does a session's time zone.
create or replace function private.audit_seal_hash(p_previous_hash text, p_after_id bigint, p_last_id bigint)
returns table (hash text, row_count bigint)
language sql stable security invoker set search_path = '' set timezone = 'UTC' set datestyle = 'ISO' as $$
  select encode(sha256(convert_to(coalesce(p_previous_hash, '') || coalesce(string_agg(
      jsonb_build_array(entry.id, entry.occurred_at, entry.action, entry.actor_id, entry.actor_email, entry.actor_role,
        entry.workspace_id, entry.before, entry.after, entry.reason, entry.request_id)::text,
      E'\n' order by entry.id), ''), 'UTF8')), 'hex'), count(*)
  from public.owner_audit_log as entry where entry.id > p_after_id and entry.id <= p_last_id
$$;

create or replace function public.seal_audit_log(p_limit integer default 10000)
returns table (number bigint, last_id bigint, row_count bigint, hash text, sealed_at timestamptz)
language plpgsql security definer set search_path = '' set lock_timeout = '1s' as $$
#variable_conflict use_column
declare
  v_head private.audit_seals;
  v_last_id bigint;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_limit is null or p_limit not between 1 and 10000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Seal 1 to 10000 rows at once.');
  end if;
  -- Waits for those who are writing: whatever id was given out before is then to be seen, or never will be. One seals
  -- at a time.
  lock table public.owner_audit_log in share row exclusive mode;
  select seal.* into v_head from private.audit_seals as seal order by seal.number desc limit 1;
  select max(unsealed.id) into v_last_id
  from (
    select entry.id from public.owner_audit_log as entry where entry.id > coalesce(v_head.last_id, 0)
    order by entry.id limit p_limit) as unsealed;
  if v_last_id is not null then
    insert into private.audit_seals (number, last_id, row_count, hash)
    select coalesce(v_head.number, 0) + 1, v_last_id, sealed.row_count, sealed.hash
    from private.audit_seal_hash(v_head.hash, coalesce(v_head.last_id, 0), v_last_id) as sealed;
  end if;
  return query select seal.* from private.audit_seals as seal order by seal.number desc limit 1;
end $$;
comment on function public.seal_audit_log(integer) is
  'Seals what came into the audit log since the last seal, in its order, and returns the newest seal.';

create or replace function public.verify_audit_log(p_after_number bigint default 0, p_limit integer default 10)
returns table (
  number bigint, last_id bigint, row_count bigint, hash text, sealed_at timestamptz, intact boolean,
  unsealed_count bigint
)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  if p_after_number is null or p_limit is null or p_limit not between 1 and 100 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 100"}',
      'Verify 1 to 100 seals at once.');
  end if;
  return query
  select seal.number, seal.last_id, seal.row_count, seal.hash, seal.sealed_at,
    (seal.hash, seal.row_count) = (actual.hash, actual.row_count) and seal.number = coalesce(previous.number, 0) + 1,
    (select count(*) from public.owner_audit_log as entry
     where entry.id > (select max(newest.last_id) from private.audit_seals as newest))
  from private.audit_seals as seal
  left join lateral (
    select earlier.* from private.audit_seals as earlier where earlier.number < seal.number
    order by earlier.number desc limit 1) as previous on true
  cross join lateral private.audit_seal_hash(previous.hash, coalesce(previous.last_id, 0), seal.last_id) as actual
  where seal.number > p_after_number
  order by seal.number
  limit p_limit;
end $$;
comment on function public.verify_audit_log(bigint, integer) is
  'Seals in order, after the given one, each with whether the rows it covers are what they were, and how many have none yet.';

create or replace function public.check_token_balances()
returns table (workspace_id uuid, balance bigint, ledger_sum bigint)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  return query
  select account.workspace_id, account.balance, coalesce(ledger.sum, 0)::bigint
  from public.workspace_token_balance as account
  left join (
    select entry.workspace_id, sum(entry.delta) as sum from public.workspace_token_ledger as entry group by 1
  ) as ledger on ledger.workspace_id = account.workspace_id
  where account.balance <> coalesce(ledger.sum, 0);
end $$;
comment on function public.check_token_balances() is
  'Workspaces whose balance isn''t the sum of their ledger. There are none.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  public.find_workspace(text), public.list_workspaces(text, text, text, integer), public.get_workspace_overview(uuid),
  public.set_workspace_status(uuid, text, text), private.hold_suspended_lane(), private.apply_workspace_status(),
  public.search_audit_log(uuid, text, text, timestamptz, timestamptz, text, bigint, integer),
  private.audit_seal_hash(text, bigint, bigint), public.seal_audit_log(integer),
  public.verify_audit_log(bigint, integer), public.check_token_balances()
  from public, anon, authenticated, service_role;
grant execute on function
  public.find_workspace(text), public.list_workspaces(text, text, text, integer), public.get_workspace_overview(uuid),
  public.set_workspace_status(uuid, text, text),
  public.search_audit_log(uuid, text, text, timestamptz, timestamptz, text, bigint, integer),
  public.seal_audit_log(integer), public.verify_audit_log(bigint, integer), public.check_token_balances()
  to authenticated, service_role;

notify pgrst, 'reload schema';
