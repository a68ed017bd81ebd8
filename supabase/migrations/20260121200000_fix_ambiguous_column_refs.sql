-- Purpose:   what sets, checks and uses entitlements, and what moves tokens.
-- Needs:     20260118000000_ops_console, 20260120_fix_entitlements_value_column.
-- Used by:   20260205100000_ops_oversight; qero.services.entitlements, tokens; `qero ops entitlements`, `tokens`.
-- Raises:    PT403 operator_required · PT404 workspace_not_found, reservation_not_found · PT400 invalid_value
--            · PT402 insufficient_tokens · PT409 reference_conflict, reservation_ended.
-- Roll back: drop the functions below; balances, the ledger and entitlements stay.
--
-- Functions of these names that stand there already are dropped first, whatever they take: those whose outputs had the
-- names of columns (42702) can't be replaced, and one beside another would be an overload.
--
-- Whoever changes a balance holds its row until the end of the transaction, so one comes after the other, and the rows
-- of a workspace's ledger have the order of their ids.

set lock_timeout = '5s';
set statement_timeout = '60s';

do $$
declare
  v_function regprocedure;
begin
  for v_function in
    select older.oid::regprocedure from pg_proc as older
    where older.pronamespace = 'public'::regnamespace
      and older.proname in ('set_workspace_entitlement', 'set_workspace_entitlement_payload', 'check_entitlement',
        'use_entitlement', 'apply_workspace_token_delta', 'grant_workspace_tokens', 'reserve_workspace_tokens',
        'settle_token_reservation', 'release_token_reservation', 'set_token_alerts', 'settle_due_tokens')
  loop
    execute format('drop function %s', v_function);
  end loop;
end $$;

-- A limit of an older database that isn't a number, as "unlimited", or a period that is none, would stop every check:
-- without them there is no limit. The rows are set aside as they stood.
with judged as (
  select entitlement.workspace_id, entitlement.key, to_jsonb(entitlement) as contents,
    case
      when entitlement.payload ->> 'limit' is null then true
      when jsonb_typeof(entitlement.payload -> 'limit') = 'number'
        then (entitlement.payload ->> 'limit')::numeric between 0 and 9007199254740991
      -- One in quotes can be read.
      else entitlement.payload ->> 'limit' ~ '^[0-9]{1,15}$'
    end and coalesce(rtrim(lower(entitlement.payload ->> 'period'), 's') in (
      'minute', 'hour', 'day', 'week', 'month', 'quarter', 'year'), true) as is_readable
  from public.workspace_entitlements as entitlement
), cleared as (
  update public.workspace_entitlements as entitlement set payload = entitlement.payload - array['limit', 'period']
  from judged
  where not judged.is_readable and (entitlement.workspace_id, entitlement.key) = (judged.workspace_id, judged.key)
  returning judged.contents
)
insert into private.migration_rejects (source, reason, contents)
select 'public.workspace_entitlements', 'a limit or period that nobody can read', cleared.contents from cleared;

------------------------------------------------------------------------------------------------------------------------
-- Entitlements
------------------------------------------------------------------------------------------------------------------------
-- For operators, who see every workspace: the one with this slug or uuid.
create or replace function private.find_workspace(p_ref text) returns public.workspaces
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_workspace public.workspaces;
begin
  if p_ref ~* '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then
    select workspace.* into v_workspace from public.workspaces as workspace where workspace.id = p_ref::uuid;
  else
    select workspace.* into v_workspace from public.workspaces as workspace where workspace.slug = p_ref;
  end if;
  if v_workspace.id is null then
    perform private.raise_error(404, 'workspace_not_found', jsonb_build_object('workspace', left(p_ref, 100)),
      'Check the slug or id.');
  end if;
  return v_workspace;
end $$;

-- A limit that nobody could read would be none: it is refused here, not ignored later.
create or replace function private.check_entitlement_payload(p_payload jsonb) returns void
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if jsonb_typeof(p_payload) <> 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "payload"}', 'Send a JSON object, or none.');
  elsif jsonb_typeof(p_payload -> 'limit') not in ('number', 'null')
    or jsonb_typeof(p_payload -> 'limit') = 'number'
      and (p_payload ->> 'limit')::numeric not between 0 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_value', '{"field": "payload.limit"}',
      'A limit is a number from 0 to 9007199254740991; leave it out where there is none.');
  elsif coalesce(p_payload ->> 'period', 'day') not in ('day', 'month', 'year') then
    perform private.raise_error(400, 'invalid_value',
      '{"field": "payload.period", "allowed": ["day", "month", "year"]}',
      'A limit is for a day, a month or a year in UTC; leave the period out where it is for good.');
  end if;
end $$;

-- Null for p_payload leaves the payload as it is. Nothing is written where nothing would change.
create or replace function private.write_entitlement(
  p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamptz, p_reason text
) returns public.workspace_entitlements
language plpgsql security invoker set search_path = '' as $$
declare
  v_operator_id uuid := (select auth.uid());
  v_reason text := nullif(btrim(p_reason), '');
  v_entitlement public.workspace_entitlements;
begin
  if coalesce(length(btrim(p_key)), 0) not between 1 and 100 or p_enabled is null or length(v_reason) > 500 then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["key", "enabled", "reason"]}',
      'A key has 1 to 100 characters, enabled is true or false, and a reason has at most 500 characters.');
  end if;
  perform private.check_entitlement_payload(coalesce(p_payload, '{}'));
  insert into public.workspace_entitlements as entitlement
    (workspace_id, key, enabled, payload, expires_at, reason, granted_by)
  values (p_workspace_id, btrim(p_key), p_enabled, coalesce(p_payload, '{}'), p_expires_at, v_reason, v_operator_id)
  on conflict (workspace_id, key) do update
    set enabled = excluded.enabled, payload = coalesce(p_payload, entitlement.payload),
      expires_at = excluded.expires_at, reason = excluded.reason, granted_by = excluded.granted_by
    where (entitlement.enabled, entitlement.payload, entitlement.expires_at, entitlement.reason, entitlement.granted_by)
      is distinct from
      (excluded.enabled, coalesce(p_payload, entitlement.payload), excluded.expires_at, excluded.reason,
        excluded.granted_by);
  select entitlement.* into v_entitlement from public.workspace_entitlements as entitlement
  where entitlement.workspace_id = p_workspace_id and entitlement.key = btrim(p_key);
  return v_entitlement;
end $$;

create function public.set_workspace_entitlement(
  p_slug text, p_key text, p_enabled boolean, p_expires_at timestamptz default null, p_reason text default null
) returns public.workspace_entitlements
language plpgsql security definer set search_path = '' as $$
begin
  perform private.require_operator(array['owner', 'ops']);
  return private.write_entitlement((private.find_workspace(p_slug)).id, p_key, p_enabled, null, p_expires_at, p_reason);
end $$;
comment on function public.set_workspace_entitlement(text, text, boolean, timestamptz, text) is
  'Enables or disables an entitlement of the workspace with this slug or uuid; its payload stays as it is.';

create function public.set_workspace_entitlement_payload(
  p_workspace_id uuid, p_key text, p_enabled boolean, p_payload jsonb, p_expires_at timestamptz default null,
  p_reason text default null
) returns public.workspace_entitlements
language plpgsql security definer set search_path = '' as $$
begin
  perform private.require_operator(array['owner', 'ops']);
  return private.write_entitlement((private.find_workspace(p_workspace_id::text)).id, p_key, p_enabled,
    case when jsonb_typeof(p_payload) = 'null' then '{}' else coalesce(p_payload, '{}') end, p_expires_at, p_reason);
end $$;
comment on function public.set_workspace_entitlement_payload(uuid, text, boolean, jsonb, timestamptz, text) is
  'Sets an entitlement with its payload; none is {}. In it, limit and period bound what use_entitlement counts.';

-- What check_entitlement says, without asking who wants to know.
create or replace function private.entitlement_state(
  p_workspace_id uuid, p_key text, p_amount bigint, out granted boolean, out reason text, out "limit" bigint,
  out usage bigint, out period_start timestamptz
)
language plpgsql stable security invoker set search_path = '' as $$
#variable_conflict use_variable
declare
  v_entitlement public.workspace_entitlements;
  v_status text;
begin
  select workspace.status into v_status from public.workspaces as workspace where workspace.id = p_workspace_id;
  select entitlement.* into v_entitlement from public.workspace_entitlements as entitlement
  where entitlement.workspace_id = p_workspace_id and entitlement.key = btrim(p_key);
  if v_entitlement.key is not null then
    period_start := coalesce(
      date_trunc(v_entitlement.payload ->> 'period', now(), 'UTC'), timestamptz '-infinity');
    select used.used into usage from public.workspace_entitlement_usage as used
    where used.workspace_id = p_workspace_id and used.key = v_entitlement.key and used.period_start = period_start;
    "limit" := floor((v_entitlement.payload ->> 'limit')::numeric);
  end if;
  usage := coalesce(usage, 0);
  reason := case
    when v_status = 'suspended' then 'workspace_suspended'
    when v_entitlement.key is null then 'not_entitled'
    when not v_entitlement.enabled then 'disabled'
    when v_entitlement.expires_at <= now() then 'expired'
    when usage + p_amount > "limit" then 'limit_reached'
    else 'granted' end;
  granted := reason = 'granted';
end $$;

create function public.check_entitlement(p_workspace_id uuid, p_key text, p_amount bigint default 1)
returns table (granted boolean, reason text, "limit" bigint, usage bigint)
language plpgsql stable security definer set search_path = '' as $$
begin
  if private.caller_role() = 'authenticated' and not private.is_operator() then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  else
    perform private.require_operator(array['owner', 'ops', 'viewer']);
  end if;
  if p_amount is null or p_amount not between 0 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_value', '{"field": "amount"}', 'Ask for 0 or more.');
  end if;
  return query
  select state.granted, state.reason, state."limit", state.usage
  from private.entitlement_state((private.find_workspace(p_workspace_id::text)).id, p_key, p_amount) as state;
end $$;
comment on function public.check_entitlement(uuid, text, bigint) is
  'Whether a workspace may use so much more of something now, why, its limit in this period, and what it has used.';

create function public.use_entitlement(p_workspace_id uuid, p_key text, p_amount bigint default 1)
returns table (granted boolean, reason text, "limit" bigint, usage bigint)
language plpgsql security definer set search_path = '' as $$
declare
  v_state record;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_amount is null or p_amount not between 1 and 9007199254740991 then
    perform private.raise_error(400, 'invalid_value', '{"field": "amount"}', 'Use 1 or more.');
  end if;
  -- One after the other, so that two who come at once don't share what is left for one.
  perform 1 from public.workspace_entitlements as entitlement
  where entitlement.workspace_id = p_workspace_id and entitlement.key = btrim(p_key) for no key update;
  select state.* into v_state
  from private.entitlement_state((private.find_workspace(p_workspace_id::text)).id, p_key, p_amount) as state;
  if v_state.granted then
    insert into public.workspace_entitlement_usage as used (workspace_id, key, period_start, used)
    values (p_workspace_id, btrim(p_key), v_state.period_start, p_amount)
    on conflict on constraint workspace_entitlement_usage_pkey do update set used = used.used + excluded.used
    returning used.used into v_state.usage;
  end if;
  return query select v_state.granted, v_state.reason, v_state."limit", v_state.usage;
end $$;
comment on function public.use_entitlement(uuid, text, bigint) is
  'Counts so much use of something if the workspace may; says so as check_entitlement does, with the usage after it.';

------------------------------------------------------------------------------------------------------------------------
-- Tokens: the ledger
------------------------------------------------------------------------------------------------------------------------
-- Moves a balance that the caller has locked, and has looked that it can be moved; writes the ledger's row. What time
-- does has no actor: it is only done by whoever happens to come next.
create or replace function private.post_tokens(
  p_workspace_id uuid, p_delta bigint, p_reason text, p_reference_type text, p_reference_id text,
  p_granted bigint default 0, p_released bigint default 0, p_by_time boolean default false
) returns void
language plpgsql security invoker set search_path = '' as $$
declare
  v_account public.workspace_token_balance;
begin
  update public.workspace_token_balance as account
  set balance = account.balance + p_delta, reserved = account.reserved - p_released,
    granted = greatest(account.granted + p_granted + least(p_delta, 0), 0)
  where account.workspace_id = p_workspace_id
  returning account.* into v_account;
  insert into public.workspace_token_ledger
    (workspace_id, delta, balance_after, reason, reference_type, reference_id, actor_id)
  values (p_workspace_id, p_delta, v_account.balance, p_reason, p_reference_type, p_reference_id,
    case when not p_by_time then (select auth.uid()) end);
  if p_delta < 0 then
    perform private.follow_deduction(p_workspace_id, p_delta, v_account.balance);
  end if;
end $$;

-- After a deduction from a balance that has grants, or levels to tell about: which grants it was taken from, and which
-- levels it went past.
create or replace function private.follow_deduction(p_workspace_id uuid, p_delta bigint, p_balance bigint) returns void
language plpgsql security invoker set search_path = '' as $$
begin
  perform private.spend_token_grants(p_workspace_id);
  insert into public.workspace_token_alerts (workspace_id, level, balance)
  select p_workspace_id, level, p_balance
  from public.workspace_token_balance as account cross join unnest(account.alert_levels) as level
  where account.workspace_id = p_workspace_id and level >= p_balance and level < p_balance - p_delta;
end $$;

-- The balance says how much of open grants is left, the grants which. This takes the difference from them: from those
-- that have ended already and were only held by reservations, then by priority, then from what ends first.
create or replace function private.spend_token_grants(p_workspace_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
  with account as (
    select known.granted from public.workspace_token_balance as known where known.workspace_id = p_workspace_id
  ), open as (
    select token_grant.id, token_grant.remaining,
      sum(token_grant.remaining) over () - (select account.granted from account) as excess,
      sum(token_grant.remaining) over (
        order by coalesce(token_grant.expires_at <= now(), false) desc, token_grant.priority, token_grant.expires_at,
          token_grant.created_at, token_grant.id) - token_grant.remaining as before
    from public.workspace_token_grants as token_grant
    where token_grant.workspace_id = p_workspace_id and token_grant.status = 'open'
  )
  update public.workspace_token_grants as token_grant
  set remaining = open.remaining - least(open.remaining, open.excess - open.before),
    status = case when open.remaining <= open.excess - open.before then 'used' else 'open' end
  from open where open.id = token_grant.id and open.excess > open.before;
  update public.workspace_token_balance as account set has_grants = false
  where account.workspace_id = p_workspace_id and account.granted = 0 and not exists (
    select 1 from public.workspace_token_grants as token_grant
    where token_grant.workspace_id = p_workspace_id and token_grant.status in ('open', 'scheduled'));
end $$;

-- How much of grants that have ended is still in the balance and may go: what reservations hold, they hold of these
-- first, and it stays until they end.
create or replace function private.ended_grant_tokens(p_workspace_id uuid) returns bigint
language sql stable security invoker set search_path = '' as $$
  select coalesce(sum(token_grant.remaining), 0)::bigint - (
    select account.reserved from public.workspace_token_balance as account
    where account.workspace_id = p_workspace_id)
  from public.workspace_token_grants as token_grant
  where token_grant.workspace_id = p_workspace_id and token_grant.status = 'open' and token_grant.expires_at <= now()
$$;

-- Locks a workspace's balance, making its row on first use, and does what has become due: grants begin and end, and
-- reservations that nobody settled let go.
create or replace function private.lock_token_balance(p_workspace_id uuid) returns public.workspace_token_balance
language plpgsql security invoker set search_path = '' as $$
declare
  v_account public.workspace_token_balance;
  v_due record;
  v_released bigint;
  v_amount bigint;
begin
  insert into public.workspace_token_balance (workspace_id)
  values ((private.find_workspace(p_workspace_id::text)).id)
  on conflict do nothing;
  select account.* into v_account from public.workspace_token_balance as account
  where account.workspace_id = p_workspace_id for no key update;
  if v_account.next_due_at is null or v_account.next_due_at > now() then
    return v_account;
  end if;

  with ended as (
    update public.workspace_token_reservations as reservation set status = 'expired', ended_at = now()
    where reservation.workspace_id = p_workspace_id and reservation.status = 'open' and reservation.expires_at <= now()
    returning reservation.amount
  )
  select coalesce(sum(ended.amount), 0) into v_released from ended;
  update public.workspace_token_balance as account set reserved = account.reserved - v_released
  where account.workspace_id = p_workspace_id and v_released > 0;

  for v_due in
    update public.workspace_token_grants as token_grant set status = 'open'
    where token_grant.workspace_id = p_workspace_id and token_grant.status = 'scheduled'
      and token_grant.effective_at <= now()
    returning token_grant.*
  loop
    perform private.post_tokens(p_workspace_id, v_due.amount, v_due.reason, 'grant', v_due.id::text,
      p_granted => v_due.amount, p_by_time => true);
  end loop;

  v_amount := private.ended_grant_tokens(p_workspace_id);
  for v_due in
    select token_grant.id, token_grant.remaining from public.workspace_token_grants as token_grant
    where token_grant.workspace_id = p_workspace_id and token_grant.status = 'open' and token_grant.expires_at <= now()
    order by token_grant.expires_at, token_grant.id
  loop
    exit when v_amount <= 0;
    update public.workspace_token_grants as token_grant
    set remaining = token_grant.remaining - least(v_due.remaining, v_amount),
      status = case when v_due.remaining <= v_amount then 'expired' else 'open' end
    where token_grant.id = v_due.id;
    perform private.post_tokens(p_workspace_id, -least(v_due.remaining, v_amount), 'Expired', 'grant', v_due.id::text,
      p_by_time => true);
    v_amount := v_amount - v_due.remaining;
  end loop;
  return private.plan_token_balance(p_workspace_id);
end $$;

-- Notes when there will be something to do next.
create or replace function private.plan_token_balance(p_workspace_id uuid) returns public.workspace_token_balance
language plpgsql security invoker set search_path = '' as $$
declare
  v_account public.workspace_token_balance;
begin
  update public.workspace_token_balance as account
  set next_due_at = (
      select min(due.at) from (
        select case token_grant.status when 'scheduled' then token_grant.effective_at else token_grant.expires_at end
        from public.workspace_token_grants as token_grant
        where token_grant.workspace_id = p_workspace_id and token_grant.status in ('scheduled', 'open')
          and (token_grant.status = 'scheduled' or token_grant.expires_at > now())
        union all
        select reservation.expires_at from public.workspace_token_reservations as reservation
        where reservation.workspace_id = p_workspace_id and reservation.status = 'open'
        union all
        select now() where private.ended_grant_tokens(p_workspace_id) > 0
      ) as due (at)),
    has_grants = exists (
      select 1 from public.workspace_token_grants as token_grant
      where token_grant.workspace_id = p_workspace_id and token_grant.status in ('scheduled', 'open'))
  where account.workspace_id = p_workspace_id
  returning account.* into v_account;
  return v_account;
end $$;

create or replace function private.check_tokens(p_amount bigint, p_reason text) returns void
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if p_amount is null or p_amount = 0 or abs(p_amount) > 1000000000000000
    or coalesce(length(btrim(p_reason)), 0) not between 1 and 500 then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["amount", "reason"]}',
      'Move 1 to 1000000000000000 tokens, with a reason of 1 to 500 characters.');
  end if;
end $$;

create or replace function private.refuse_reference(p_reference text, p_amount bigint, p_first_amount bigint)
returns void
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if p_amount <> p_first_amount then
    perform private.raise_error(409, 'reference_conflict',
      jsonb_build_object('reference', p_reference, 'amount', p_amount, 'first_amount', p_first_amount),
      'Use a new reference for something new; repeat one only with the same amount.');
  end if;
end $$;

create or replace function private.refuse_amount(p_account public.workspace_token_balance, p_amount bigint)
returns void
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if p_account.balance - p_account.reserved < p_amount then
    perform private.raise_error(402, 'insufficient_tokens',
      jsonb_build_object('balance', p_account.balance, 'reserved', p_account.reserved, 'needed', p_amount),
      'Grant tokens first, or ask for fewer.');
  end if;
end $$;

-- The only one that runs often, so that it asks and does everything by itself, in one statement where nothing special is
-- the matter: every call of another function with a search_path of its own costs about as much as writing a row.
create function public.apply_workspace_token_delta(
  p_workspace_id uuid, p_delta bigint, p_reason text, p_reference text default null
) returns public.workspace_token_ledger
language plpgsql security definer set search_path = '' as $$
declare
  v_reference text := nullif(btrim(p_reference), '');
  v_reason text := btrim(p_reason);
  v_entry public.workspace_token_ledger;
  v_account public.workspace_token_balance;
  v_has_moved boolean;
  v_has_more boolean;
begin
  if current_setting('role') <> 'service_role' then
    perform private.require_operator(array['owner', 'ops']);
  end if;
  if p_delta is null or p_delta = 0 or abs(p_delta) > 1000000000000000
    or coalesce(length(v_reason), 0) not between 1 and 500 then
    perform private.check_tokens(p_delta, p_reason);
  end if;
  loop
    with moved as (
      update public.workspace_token_balance as account
      set balance = account.balance + p_delta, granted = greatest(account.granted + least(p_delta, 0), 0)
      where account.workspace_id = p_workspace_id and account.balance + p_delta >= account.reserved
        and (account.next_due_at is null or account.next_due_at > now())
      returning account.balance, account.has_grants or account.alert_levels <> '{}' as has_more
    ), entry as (
      insert into public.workspace_token_ledger (workspace_id, delta, balance_after, reason, reference_id)
      select p_workspace_id, p_delta, moved.balance, v_reason, v_reference from moved
      on conflict do nothing
      returning *
    ), audited as (
      insert into public.owner_audit_log (action, workspace_id, before, after, reason)
      select case when p_delta > 0 then 'owner.tokens.granted' else 'owner.tokens.deducted' end, p_workspace_id,
        jsonb_build_object('balance', entry.balance_after - p_delta),
        jsonb_build_object('balance', entry.balance_after, 'delta', p_delta, 'ledger_id', entry.id,
          'reference', v_reference),
        v_reason
      from entry
    )
    select true, moved.has_more, entry.workspace_id, entry.id, entry.delta, entry.balance_after, entry.reason,
      entry.reference_type, entry.reference_id, entry.actor_id, entry.created_at
    into v_has_moved, v_has_more, v_entry.workspace_id, v_entry.id, v_entry.delta, v_entry.balance_after,
      v_entry.reason, v_entry.reference_type, v_entry.reference_id, v_entry.actor_id, v_entry.created_at
    from moved left join entry on true;
    if v_entry.id is not null then
      if v_has_more and p_delta < 0 then
        perform private.follow_deduction(p_workspace_id, p_delta, v_entry.balance_after);
      end if;
      return v_entry;
    end if;

    -- The reference is in the ledger already: as if the balance had never moved.
    if v_has_moved then
      update public.workspace_token_balance as account
      set balance = account.balance - p_delta,
        granted = (
          select coalesce(sum(token_grant.remaining), 0) from public.workspace_token_grants as token_grant
          where token_grant.workspace_id = p_workspace_id and token_grant.status = 'open')
      where account.workspace_id = p_workspace_id;
    end if;
    v_account := private.lock_token_balance(p_workspace_id);
    select earlier.workspace_id, earlier.id, earlier.delta, earlier.balance_after, earlier.reason,
      earlier.reference_type, earlier.reference_id, earlier.actor_id, earlier.created_at
    into v_entry.workspace_id, v_entry.id, v_entry.delta, v_entry.balance_after, v_entry.reason,
      v_entry.reference_type, v_entry.reference_id, v_entry.actor_id, v_entry.created_at
    from public.workspace_token_ledger as earlier
    where earlier.workspace_id = p_workspace_id and earlier.reference_type = 'request'
      and earlier.reference_id = v_reference;
    if found then
      perform private.refuse_reference(v_reference, p_delta, v_entry.delta);
      return v_entry;
    end if;
    perform private.refuse_amount(v_account, -p_delta);
  end loop;
end $$;
comment on function public.apply_workspace_token_delta(uuid, bigint, text, text) is
  'Grants or deducts tokens. A reference counts once: repeated, it returns the first row of the ledger.';

------------------------------------------------------------------------------------------------------------------------
-- Tokens: grants that end, begin later or go first
------------------------------------------------------------------------------------------------------------------------
create function public.grant_workspace_tokens(
  p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text default null,
  p_expires_at timestamptz default null, p_priority integer default 50, p_effective_at timestamptz default null
) returns public.workspace_token_grants
language plpgsql security definer set search_path = '' as $$
declare
  v_reference text := nullif(btrim(p_reference), '');
  v_effective_at timestamptz := greatest(p_effective_at, now());
  v_account public.workspace_token_balance;
  v_grant public.workspace_token_grants;
begin
  perform private.require_operator(array['owner', 'ops']);
  perform private.check_tokens(p_amount, p_reason);
  if p_amount < 0 or coalesce(p_priority, -1) not between 0 and 100 or p_expires_at <= v_effective_at then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["amount", "priority", "expires_at"]}',
      'Grant 1 or more, with a priority from 0, spent first, to 100, that ends after it begins and after now.');
  end if;
  v_account := private.lock_token_balance(p_workspace_id);
  select earlier.* into v_grant from public.workspace_token_grants as earlier
  where earlier.workspace_id = p_workspace_id and earlier.reference = v_reference;
  if found then
    perform private.refuse_reference(v_reference, p_amount, v_grant.amount);
    return v_grant;
  end if;
  insert into public.workspace_token_grants
    (workspace_id, amount, remaining, priority, effective_at, expires_at, status, reason, reference, created_by)
  values (p_workspace_id, p_amount, p_amount, p_priority, v_effective_at, p_expires_at,
    case when v_effective_at > now() then 'scheduled' else 'open' end, btrim(p_reason), v_reference,
    (select auth.uid()))
  returning * into v_grant;
  if v_grant.status = 'open' then
    perform private.post_tokens(p_workspace_id, p_amount, v_grant.reason, 'grant', v_grant.id::text,
      p_granted => p_amount);
  end if;
  perform private.audit('owner.tokens.' || case v_grant.status when 'open' then 'granted' else 'grant_scheduled' end,
    p_workspace_id, jsonb_build_object('balance', v_account.balance),
    jsonb_build_object('balance', (private.plan_token_balance(p_workspace_id)).balance, 'delta', p_amount,
      'grant_id', v_grant.id, 'reference', v_reference, 'priority', p_priority, 'effective_at', v_effective_at,
      'expires_at', p_expires_at),
    v_grant.reason);
  return v_grant;
end $$;
comment on function public.grant_workspace_tokens(uuid, bigint, text, text, timestamptz, integer, timestamptz) is
  'Grants tokens that end, begin later or are spent before others. A reference counts once, as for deltas.';

create function public.settle_due_tokens(p_limit integer default 100) returns integer
language plpgsql security definer set search_path = '' as $$
declare
  v_workspace_id uuid;
  v_count integer := 0;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_limit is null or p_limit not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 1000"}',
      'Settle 1 to 1000 workspaces at once.');
  end if;
  for v_workspace_id in
    select account.workspace_id from public.workspace_token_balance as account
    where account.next_due_at <= now()
    order by account.next_due_at limit p_limit for no key update skip locked
  loop
    perform private.lock_token_balance(v_workspace_id);
    v_count := v_count + 1;
  end loop;
  return v_count;
end $$;
comment on function public.settle_due_tokens(integer) is
  'Begins and ends grants, and frees what reservations that ran out held, of workspaces that nothing else touched.';

create function public.set_token_alerts(p_workspace_id uuid, p_levels bigint[])
returns public.workspace_token_balance
language plpgsql security definer set search_path = '' as $$
declare
  v_before bigint[];
  v_account public.workspace_token_balance;
begin
  perform private.require_operator(array['owner', 'ops']);
  if p_levels is null or cardinality(p_levels) > 20 or 0 > any (p_levels) or array_position(p_levels, null) > 0 then
    perform private.raise_error(400, 'invalid_value', '{"field": "levels"}', 'Give at most 20 levels of 0 or more.');
  end if;
  v_before := (private.lock_token_balance(p_workspace_id)).alert_levels;
  update public.workspace_token_balance as account
  set alert_levels = array(select distinct level from unnest(p_levels) as level order by level desc)
  where account.workspace_id = p_workspace_id
  returning account.* into v_account;
  if v_account.alert_levels <> v_before then
    perform private.audit('owner.tokens.alerts_set', p_workspace_id, jsonb_build_object('levels', v_before),
      jsonb_build_object('levels', v_account.alert_levels), null);
  end if;
  return v_account;
end $$;
comment on function public.set_token_alerts(uuid, bigint[]) is
  'At which balances a deduction leaves a row in workspace_token_alerts: once each time the balance falls to one.';

------------------------------------------------------------------------------------------------------------------------
-- Tokens: reservations
------------------------------------------------------------------------------------------------------------------------
create function public.reserve_workspace_tokens(
  p_workspace_id uuid, p_amount bigint, p_reason text, p_reference text default null, p_seconds integer default 900
) returns public.workspace_token_reservations
language plpgsql security definer set search_path = '' as $$
declare
  v_reference text := nullif(btrim(p_reference), '');
  v_account public.workspace_token_balance;
  v_reservation public.workspace_token_reservations;
begin
  perform private.require_operator(array['owner', 'ops']);
  perform private.check_tokens(p_amount, p_reason);
  if p_amount < 0 or coalesce(p_seconds, 0) not between 1 and 604800 then
    perform private.raise_error(400, 'invalid_value', '{"fields": ["amount", "seconds"]}',
      'Reserve 1 or more, for 1 to 604800 seconds.');
  end if;
  v_account := private.lock_token_balance(p_workspace_id);
  select earlier.* into v_reservation from public.workspace_token_reservations as earlier
  where earlier.workspace_id = p_workspace_id and earlier.reference = v_reference;
  if found then
    perform private.refuse_reference(v_reference, p_amount, v_reservation.amount);
    return v_reservation;
  end if;
  perform private.refuse_amount(v_account, p_amount);
  insert into public.workspace_token_reservations (workspace_id, amount, reason, reference, expires_at, created_by)
  values (p_workspace_id, p_amount, btrim(p_reason), v_reference, now() + make_interval(secs => p_seconds),
    (select auth.uid()))
  returning * into v_reservation;
  update public.workspace_token_balance as account
  set reserved = account.reserved + p_amount, next_due_at = least(account.next_due_at, v_reservation.expires_at)
  where account.workspace_id = p_workspace_id;
  return v_reservation;
end $$;
comment on function public.reserve_workspace_tokens(uuid, bigint, text, text, integer) is
  'Holds tokens for work that costs them, until it is settled or released, or the time is up. A reference counts once.';

-- Ends a reservation, as used so far: with 0 it is released. Repeated, it says what it said first.
create or replace function private.end_reservation(p_reservation_id uuid, p_amount bigint)
returns public.workspace_token_reservations
language plpgsql security invoker set search_path = '' as $$
declare
  v_status text := case when p_amount = 0 then 'released' else 'settled' end;
  v_reservation public.workspace_token_reservations;
begin
  select reservation.* into v_reservation from public.workspace_token_reservations as reservation
  where reservation.id = p_reservation_id;
  if not found then
    perform private.raise_error(404, 'reservation_not_found', jsonb_build_object('reservation_id', p_reservation_id),
      'Check the id of the reservation.');
  elsif p_amount not between 0 and v_reservation.amount then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'amount', 'reserved', v_reservation.amount),
      'Settle at least 1 and at most what was reserved; deduct what goes beyond it by itself.');
  end if;
  perform private.lock_token_balance(v_reservation.workspace_id);
  update public.workspace_token_reservations as reservation
  set status = v_status, settled_amount = p_amount, ended_at = now()
  where reservation.id = p_reservation_id and reservation.status = 'open'
  returning * into v_reservation;
  if not found then
    select reservation.* into v_reservation from public.workspace_token_reservations as reservation
    where reservation.id = p_reservation_id;
    if v_reservation.status = 'expired' and p_amount = 0
      or (v_reservation.status, v_reservation.settled_amount) = (v_status, p_amount) then
      return v_reservation;
    end if;
    perform private.raise_error(409, 'reservation_ended',
      jsonb_build_object('reservation_id', p_reservation_id, 'status', v_reservation.status,
        'settled_amount', v_reservation.settled_amount),
      'Deduct what the work cost by itself, with a reference of its own.');
  end if;
  if p_amount > 0 then
    perform private.post_tokens(v_reservation.workspace_id, -p_amount, v_reservation.reason, 'reservation',
      p_reservation_id::text, p_released => v_reservation.amount);
  else
    update public.workspace_token_balance as account set reserved = account.reserved - v_reservation.amount
    where account.workspace_id = v_reservation.workspace_id;
  end if;
  -- What the reservation held of a grant that has ended meanwhile ends now.
  perform private.plan_token_balance(v_reservation.workspace_id);
  perform private.lock_token_balance(v_reservation.workspace_id);
  return v_reservation;
end $$;

create function public.settle_token_reservation(p_reservation_id uuid, p_amount bigint)
returns public.workspace_token_reservations
language plpgsql security definer set search_path = '' as $$
begin
  perform private.require_operator(array['owner', 'ops']);
  perform private.check_tokens(p_amount, 'settled');
  return private.end_reservation(p_reservation_id, p_amount);
end $$;
comment on function public.settle_token_reservation(uuid, bigint) is
  'Deducts what the work cost, at most what was reserved, and frees the rest. Repeatable with the same amount.';

create function public.release_token_reservation(p_reservation_id uuid) returns public.workspace_token_reservations
language plpgsql security definer set search_path = '' as $$
begin
  perform private.require_operator(array['owner', 'ops']);
  return private.end_reservation(p_reservation_id, 0);
end $$;
comment on function public.release_token_reservation(uuid) is
  'Frees what was reserved: the work cost nothing. Repeatable.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.find_workspace(text), private.check_entitlement_payload(jsonb),
  private.write_entitlement(uuid, text, boolean, jsonb, timestamptz, text),
  private.entitlement_state(uuid, text, bigint),
  private.post_tokens(uuid, bigint, text, text, text, bigint, bigint, boolean), private.spend_token_grants(uuid),
  private.follow_deduction(uuid, bigint, bigint), private.ended_grant_tokens(uuid), private.lock_token_balance(uuid),
  private.plan_token_balance(uuid), private.check_tokens(bigint, text), private.refuse_reference(text, bigint, bigint),
  private.refuse_amount(public.workspace_token_balance, bigint), private.end_reservation(uuid, bigint),
  public.set_workspace_entitlement(text, text, boolean, timestamptz, text),
  public.set_workspace_entitlement_payload(uuid, text, boolean, jsonb, timestamptz, text),
  public.check_entitlement(uuid, text, bigint), public.use_entitlement(uuid, text, bigint),
  public.apply_workspace_token_delta(uuid, bigint, text, text),
  public.grant_workspace_tokens(uuid, bigint, text, text, timestamptz, integer, timestamptz),
  public.settle_due_tokens(integer), public.set_token_alerts(uuid, bigint[]),
  public.reserve_workspace_tokens(uuid, bigint, text, text, integer),
  public.settle_token_reservation(uuid, bigint), public.release_token_reservation(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.set_workspace_entitlement(text, text, boolean, timestamptz, text),
  public.set_workspace_entitlement_payload(uuid, text, boolean, jsonb, timestamptz, text),
  public.check_entitlement(uuid, text, bigint), public.use_entitlement(uuid, text, bigint),
  public.apply_workspace_token_delta(uuid, bigint, text, text),
  public.grant_workspace_tokens(uuid, bigint, text, text, timestamptz, integer, timestamptz),
  public.settle_due_tokens(integer), public.set_token_alerts(uuid, bigint[]),
  public.reserve_workspace_tokens(uuid, bigint, text, text, integer),
  public.settle_token_reservation(uuid, bigint), public.release_token_reservation(uuid)
  to authenticated, service_role;

notify pgrst, 'reload schema';
