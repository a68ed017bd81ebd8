-- Purpose:   the ops console: who operates it, what workspaces are entitled to, their tokens, and the audit log.
-- Needs:     001_core_identity, 20251210000100_migration_01_add_seq_and_status, auth.users.
-- Used by:   20260120_fix_entitlements_value_column, 20260121200000_fix_ambiguous_column_refs and
--            20260205100000_ops_oversight; qero.services.operators, entitlements, tokens, audit; `qero ops`.
-- Raises:    PT403 operator_required, role_required · PT404 account_not_found, operator_not_found, workspace_not_found,
--            member_not_found · PT400 invalid_value · PT409 append_only.
-- Roll back: drop the functions, triggers and tables below. Loses balances, entitlements and the audit log: export the
--            ledger and the log first (`qero ops tokens ledger`, `qero ops audit export`), and back up.
--
-- Nobody writes these tables but checked functions: the service reads them, and so do members what is their
-- workspace's. What stands there of an older shape is brought to this one, each column and constraint on its own.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.owner_members (user_id uuid primary key);
create table if not exists public.platform_admins (user_id uuid primary key);
create table if not exists public.owner_audit_log (id bigint generated always as identity primary key);
create table if not exists public.workspace_entitlements (
  workspace_id uuid not null,
  key text not null,
  enabled boolean not null default false,
  payload jsonb not null default '{}'::jsonb,
  primary key (workspace_id, key)
);
create table if not exists public.workspace_entitlement_usage (
  workspace_id uuid not null,
  key text not null,
  period_start timestamptz not null,
  primary key (workspace_id, key, period_start)
);
create table if not exists public.workspace_token_balance (workspace_id uuid primary key);
create table if not exists public.workspace_token_ledger (
  workspace_id uuid not null,
  id bigint generated always as identity,
  primary key (workspace_id, id)
);
create table if not exists public.workspace_token_grants (id uuid primary key default gen_random_uuid());
create table if not exists public.workspace_token_reservations (id uuid primary key default gen_random_uuid());
create table if not exists public.workspace_token_alerts (
  workspace_id uuid not null,
  id bigint generated always as identity,
  primary key (workspace_id, id)
);

-- An older table's own rules would stand in the way; the ones that hold here are added below.
do $$
declare
  v_table regclass;
  v_name text;
begin
  foreach v_table in array array[
    'public.owner_members', 'public.platform_admins', 'public.owner_audit_log', 'public.workspace_entitlements',
    'public.workspace_entitlement_usage', 'public.workspace_token_balance', 'public.workspace_token_ledger',
    'public.workspace_token_grants', 'public.workspace_token_reservations', 'public.workspace_token_alerts'
  ]::regclass[] loop
    for v_name in
      select older.conname from pg_constraint as older
      where older.conrelid = v_table and older.contype in ('c', 'f')
    loop
      execute format('alter table %s drop constraint %I', v_table, v_name);
    end loop;
    for v_name in select policy.polname from pg_policy as policy where policy.polrelid = v_table loop
      execute format('drop policy %I on %s', v_name, v_table);
    end loop;
  end loop;
  -- Each row gets an id of its own here, which takes a rewrite where there was none.
  foreach v_table in array array['public.workspace_token_grants', 'public.workspace_token_reservations']::regclass[] loop
    execute format('alter table %s add column if not exists id uuid default gen_random_uuid()', v_table);
  end loop;
  -- The numbers of these say the order. Others' ids stay beside them.
  foreach v_table in array
    array['public.owner_audit_log', 'public.workspace_token_ledger', 'public.workspace_token_alerts']::regclass[]
  loop
    if exists (
      select from pg_attribute as older
      where older.attrelid = v_table and older.attname = 'id' and older.atttypid not in (
        'bigint'::regtype, 'integer'::regtype, 'smallint'::regtype)
    ) then
      execute format('alter table %s rename column id to legacy_id', v_table);
    end if;
    execute format('alter table %s add column if not exists id bigint generated always as identity', v_table);
    if exists (
      select from pg_attribute as older
      where older.attrelid = v_table and older.attname = 'id' and older.attidentity = ''
    ) then
      execute format('alter table %s alter column id drop default, alter column id type bigint', v_table);
      v_name := pg_get_serial_sequence(v_table::text, 'id');
      if v_name is not null then
        execute format('drop sequence %s', v_name);
      end if;
      execute format('alter table %s alter column id set not null, alter column id add generated always as identity',
        v_table);
      execute format('select setval(pg_get_serial_sequence(%L, ''id''), coalesce(max(id), 0) + 1, false) from %s',
        v_table, v_table);
    end if;
  end loop;
end $$;

alter table public.owner_members
  add column if not exists email text,
  add column if not exists role text default 'owner',
  add column if not exists active boolean default true,
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now();
update public.owner_members as operator set email = profile.email
from public.profiles as profile
where profile.id = operator.user_id and operator.email is null;
-- Whom nobody can tell is no operator.
update public.owner_members as operator
set email = coalesce(operator.email, ''), role = coalesce(operator.role, 'viewer'),
  active = coalesce(operator.active, false), created_at = coalesce(operator.created_at, now()),
  updated_at = coalesce(operator.updated_at, now())
where num_nulls(operator.email, operator.role, operator.active, operator.created_at, operator.updated_at) > 0;
comment on table public.owner_members is
  'Operators of the platform. One counts only while active, with the account''s own e-mail, and in platform_admins too.';

alter table public.platform_admins add column if not exists created_at timestamptz not null default now();

alter table public.owner_audit_log
  add column if not exists occurred_at timestamptz default now(),
  add column if not exists action text,
  add column if not exists actor_id uuid,
  add column if not exists actor_email text,
  add column if not exists actor_role text,
  add column if not exists workspace_id uuid,
  add column if not exists before jsonb,
  add column if not exists after jsonb,
  add column if not exists reason text,
  add column if not exists request_id text;
-- Who it is, is known to every statement: nobody has to say it, and it costs no look-up.
alter table public.owner_audit_log
  alter column actor_id set default auth.uid(),
  alter column actor_email set default nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email',
  alter column actor_role set default
    case current_setting('role') when 'none' then session_user::text else current_setting('role') end,
  alter column request_id set default
    left(nullif(current_setting('request.headers', true), '')::jsonb ->> 'x-request-id', 200);
comment on table public.owner_audit_log is
  'What operators did, and what changed about members and connections. Never changed, and outlives the workspace.';
comment on column public.owner_audit_log.actor_role is
  'As what the actor came: authenticated, service_role, or the database role of a direct connection.';

alter table public.workspace_entitlements
  add column if not exists expires_at timestamptz,
  add column if not exists reason text,
  add column if not exists granted_by uuid,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();
comment on table public.workspace_entitlements is 'What a workspace may use, and within which limits.';
comment on column public.workspace_entitlements.granted_by is
  'The operator who set it last; null when the service or the database did.';

alter table public.workspace_entitlement_usage add column if not exists used bigint not null default 0;
comment on column public.workspace_entitlement_usage.period_start is
  'Of the day, month or year in UTC that the entitlement''s limit is for; -infinity where it is for good.';

alter table public.workspace_token_balance
  add column if not exists balance bigint default 0,
  add column if not exists reserved bigint not null default 0,
  add column if not exists granted bigint not null default 0,
  add column if not exists has_grants boolean not null default false,
  add column if not exists alert_levels bigint[] not null default '{}',
  add column if not exists next_due_at timestamptz,
  set (fillfactor = 50);
update public.workspace_token_balance as account set balance = 0 where account.balance is null;
comment on table public.workspace_token_balance is 'The sum of a workspace''s ledger, changed in the same statement.';
comment on column public.workspace_token_balance.reserved is 'The part of the balance that reservations hold.';
comment on column public.workspace_token_balance.granted is
  'The part of the balance that open grants with an expiry or a priority make up; the rest is spent last.';
comment on column public.workspace_token_balance.has_grants is 'Whether a deduction has to look for grants to spend.';
comment on column public.workspace_token_balance.next_due_at is
  'When the next grant begins or ends, or the next reservation runs out; the first to touch the balance then does it.';
comment on column public.workspace_token_balance.alert_levels is
  'A deduction that takes the balance from above one of these to it or below leaves a row in workspace_token_alerts.';

alter table public.workspace_token_ledger
  add column if not exists delta bigint,
  add column if not exists balance_after bigint,
  add column if not exists reason text,
  add column if not exists reference_type text default 'request',
  add column if not exists reference_id text,
  add column if not exists actor_id uuid,
  add column if not exists created_at timestamptz default now();
alter table public.workspace_token_ledger alter column actor_id set default auth.uid();
comment on column public.workspace_token_ledger.reference_type is
  'request: the caller''s own reference; grant, reservation: the row it came from; opening: found at an upgrade.';

alter table public.workspace_token_grants
  add column if not exists workspace_id uuid,
  add column if not exists amount bigint,
  add column if not exists remaining bigint,
  add column if not exists priority smallint default 50,
  add column if not exists effective_at timestamptz not null default now(),
  add column if not exists expires_at timestamptz,
  add column if not exists status text not null default 'open',
  add column if not exists reason text,
  add column if not exists reference text,
  add column if not exists created_by uuid,
  add column if not exists created_at timestamptz not null default now();
comment on table public.workspace_token_grants is
  'Tokens that expire, begin later or are to be spent before others: the lowest priority first, then what ends first.';

alter table public.workspace_token_reservations
  add column if not exists workspace_id uuid,
  add column if not exists amount bigint,
  add column if not exists settled_amount bigint,
  add column if not exists status text not null default 'open',
  add column if not exists reason text,
  add column if not exists reference text,
  add column if not exists expires_at timestamptz,
  add column if not exists created_by uuid,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists ended_at timestamptz;
comment on table public.workspace_token_reservations is
  'Tokens held for work that is going on; one that nobody settles or releases lets go of them when it expires.';

alter table public.workspace_token_alerts
  add column if not exists level bigint,
  add column if not exists balance bigint,
  add column if not exists created_at timestamptz not null default now();
comment on table public.workspace_token_alerts is
  'The balance fell to a level: one row each time it comes from above it.';

-- What the columns of tables that were made here are already. A column that is unknown here may have been needed by
-- whoever made the table; nobody fills it any more.
do $$
declare
  v_wanted record;
  v_tables text[] := '{}';
  v_columns text[] := '{value}';  -- which the next migration converts
  v_is_type boolean;
  v_is_required boolean;
  v_table text;
  v_column text;
begin
  for v_wanted in select * from (values
    ('owner_members', 'email', 'text', null), ('owner_members', 'role', 'text', $d$'owner'$d$),
    ('owner_members', 'active', 'boolean', 'true'), ('owner_members', 'created_at', 'timestamptz', 'now()'),
    ('owner_members', 'updated_at', 'timestamptz', 'now()'), ('platform_admins', 'created_at', 'timestamptz', 'now()'),
    ('owner_audit_log', 'occurred_at', 'timestamptz', 'clock_timestamp()'), ('owner_audit_log', 'action', 'text', null),
    ('workspace_entitlements', 'created_at', 'timestamptz', 'now()'),
    ('workspace_entitlements', 'updated_at', 'timestamptz', 'now()'),
    ('workspace_entitlement_usage', 'used', 'bigint', '0'), ('workspace_token_balance', 'balance', 'bigint', '0'),
    ('workspace_token_balance', 'reserved', 'bigint', '0'), ('workspace_token_balance', 'granted', 'bigint', '0'),
    ('workspace_token_balance', 'has_grants', 'boolean', 'false'),
    ('workspace_token_balance', 'alert_levels', 'bigint[]', $d$'{}'::bigint[]$d$),
    ('workspace_token_ledger', 'delta', 'bigint', null), ('workspace_token_ledger', 'balance_after', 'bigint', null),
    ('workspace_token_ledger', 'reference_type', 'text', $d$'request'$d$),
    ('workspace_token_ledger', 'created_at', 'timestamptz', 'now()'),
    ('workspace_token_grants', 'workspace_id', 'uuid', null), ('workspace_token_grants', 'amount', 'bigint', null),
    ('workspace_token_grants', 'remaining', 'bigint', null), ('workspace_token_grants', 'priority', 'smallint', '50'),
    ('workspace_token_grants', 'effective_at', 'timestamptz', 'now()'),
    ('workspace_token_grants', 'status', 'text', $d$'open'$d$),
    ('workspace_token_grants', 'created_at', 'timestamptz', 'now()'),
    ('workspace_token_reservations', 'workspace_id', 'uuid', null),
    ('workspace_token_reservations', 'amount', 'bigint', null),
    ('workspace_token_reservations', 'status', 'text', $d$'open'$d$),
    ('workspace_token_reservations', 'expires_at', 'timestamptz', null),
    ('workspace_token_reservations', 'created_at', 'timestamptz', 'now()'),
    ('workspace_token_alerts', 'level', 'bigint', null), ('workspace_token_alerts', 'balance', 'bigint', null),
    ('workspace_token_alerts', 'created_at', 'timestamptz', 'now()')
  ) as wanted (table_name, column_name, type_name, default_value) loop
    select older.atttypid = v_wanted.type_name::regtype, older.attnotnull into v_is_type, v_is_required
    from pg_attribute as older
    where older.attrelid = format('public.%I', v_wanted.table_name)::regclass
      and older.attname = v_wanted.column_name;
    if not v_is_type then
      execute format('alter table public.%I alter column %I type %s using %2$I::%3$s', v_wanted.table_name,
        v_wanted.column_name, v_wanted.type_name);
    end if;
    if v_wanted.default_value is not null then
      execute format('alter table public.%I alter column %I set default %s', v_wanted.table_name,
        v_wanted.column_name, v_wanted.default_value);
    end if;
    if not v_is_required then
      execute format('alter table public.%I alter column %I set not null', v_wanted.table_name, v_wanted.column_name);
    end if;
    v_tables := v_tables || v_wanted.table_name;
    v_columns := v_columns || v_wanted.column_name;
  end loop;

  for v_table, v_column in
    select relation.relname, older.attname
    from pg_attribute as older join pg_class as relation on relation.oid = older.attrelid
    where relation.relnamespace = 'public'::regnamespace and relation.relname = any (v_tables)
      and older.attnum > 0 and older.attnotnull and not older.atthasdef and not older.attisdropped and older.attidentity = ''
      and older.attname <> all (v_columns) and not exists (
        select from pg_index
        where pg_index.indrelid = older.attrelid and pg_index.indisprimary and older.attnum = any (pg_index.indkey))
  loop
    execute format('alter table public.%I alter column %I drop not null', v_table, v_column);
  end loop;
end $$;

do $$
declare
  v_table text;
  v_columns text;
  v_name text;
  v_ending text;
  v_definition text;
begin
  -- Keys of older tables: the same columns may have another name, and other columns are no key here.
  for v_table, v_columns in values
    ('owner_members', 'user_id'), ('platform_admins', 'user_id'), ('owner_audit_log', 'id'),
    ('workspace_entitlements', 'workspace_id, key'), ('workspace_entitlement_usage', 'workspace_id, key, period_start'),
    ('workspace_token_balance', 'workspace_id'), ('workspace_token_ledger', 'workspace_id, id'),
    ('workspace_token_grants', 'id'), ('workspace_token_reservations', 'id'),
    ('workspace_token_alerts', 'workspace_id, id')
  loop
    select key.conname into v_name from pg_constraint as key
    where key.conrelid = format('public.%I', v_table)::regclass and key.contype = 'p';
    if v_name = v_table || '_pkey' and pg_get_constraintdef((
      select key.oid from pg_constraint as key
      where key.conrelid = format('public.%I', v_table)::regclass and key.conname = v_name
    )) = format('PRIMARY KEY (%s)', v_columns) then
      continue;
    elsif v_name is not null then
      execute format('alter table public.%I drop constraint %I', v_table, v_name);
    end if;
    execute format('alter table public.%I add constraint %I primary key (%s)', v_table, v_table || '_pkey', v_columns);
  end loop;

  for v_table, v_ending, v_definition in values
    ('owner_members', 'user_id_fkey', 'foreign key (user_id) references public.profiles (id) on delete cascade'),
    ('owner_members', 'role_check', $d$check (role in ('owner', 'ops', 'viewer'))$d$),
    ('platform_admins', 'user_id_fkey', 'foreign key (user_id) references public.profiles (id) on delete cascade'),
    ('owner_audit_log', 'action_check', $d$check (action like 'owner._%._%')$d$),
    ('workspace_entitlements', 'workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('workspace_entitlements', 'granted_by_fkey',
      'foreign key (granted_by) references public.profiles (id) on delete set null'),
    ('workspace_entitlements', 'key_check', 'check (key = btrim(key) and length(key) between 1 and 100)'),
    ('workspace_entitlement_usage', 'workspace_id_key_fkey',
      'foreign key (workspace_id, key) references public.workspace_entitlements (workspace_id, key) on delete cascade'),
    ('workspace_entitlement_usage', 'used_check', 'check (used >= 0)'),
    ('workspace_token_balance', 'workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('workspace_token_balance', 'balance_check', 'check (balance >= 0)'),
    ('workspace_token_balance', 'reserved_check', 'check (reserved between 0 and balance)'),
    ('workspace_token_balance', 'granted_check', 'check (granted between 0 and balance)'),
    ('workspace_token_ledger', 'delta_check', 'check (delta <> 0)'),
    ('workspace_token_ledger', 'balance_after_check', 'check (balance_after >= 0)'),
    ('workspace_token_ledger', 'reference_type_check',
      $d$check (reference_type in ('request', 'grant', 'reservation', 'opening'))$d$),
    ('workspace_token_grants', 'workspace_id_fkey',
      'foreign key (workspace_id) references public.workspace_token_balance (workspace_id) on delete cascade'),
    ('workspace_token_grants', 'created_by_fkey',
      'foreign key (created_by) references public.profiles (id) on delete set null'),
    ('workspace_token_grants', 'amount_check', 'check (amount > 0)'),
    ('workspace_token_grants', 'remaining_check', 'check (remaining between 0 and amount)'),
    ('workspace_token_grants', 'priority_check', 'check (priority between 0 and 100)'),
    ('workspace_token_grants', 'expires_at_check', 'check (expires_at > effective_at)'),
    ('workspace_token_grants', 'status_check', $d$check (status in ('scheduled', 'open', 'used', 'expired'))$d$),
    ('workspace_token_reservations', 'workspace_id_fkey',
      'foreign key (workspace_id) references public.workspace_token_balance (workspace_id) on delete cascade'),
    ('workspace_token_reservations', 'created_by_fkey',
      'foreign key (created_by) references public.profiles (id) on delete set null'),
    ('workspace_token_reservations', 'amount_check', 'check (amount > 0)'),
    ('workspace_token_reservations', 'settled_amount_check', 'check (settled_amount between 0 and amount)'),
    ('workspace_token_reservations', 'status_check',
      $d$check (status in ('open', 'settled', 'released', 'expired'))$d$),
    ('workspace_token_alerts', 'workspace_id_fkey',
      'foreign key (workspace_id) references public.workspace_token_balance (workspace_id) on delete cascade')
  loop
    execute format('alter table public.%I add constraint %I %s', v_table, v_table || '_' || v_ending, v_definition);
  end loop;
end $$;

-- Ledgers of older shapes: a balance that its ledger doesn't explain gets the row that does.
insert into public.workspace_token_balance (workspace_id)
select distinct entry.workspace_id from public.workspace_token_ledger as entry
join public.workspaces as workspace on workspace.id = entry.workspace_id
on conflict do nothing;
insert into public.workspace_token_ledger (workspace_id, delta, balance_after, reason, reference_type)
select account.workspace_id, account.balance - coalesce(ledger.sum, 0), account.balance, 'Opening balance', 'opening'
from public.workspace_token_balance as account
left join (
  select entry.workspace_id, sum(entry.delta)::bigint as sum from public.workspace_token_ledger as entry
  group by entry.workspace_id
) as ledger on ledger.workspace_id = account.workspace_id
where account.balance <> coalesce(ledger.sum, 0);

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
create index if not exists owner_audit_log_workspace_id_idx on public.owner_audit_log (workspace_id, id);
create index if not exists owner_audit_log_actor_id_idx
  on public.owner_audit_log (actor_id, id) where actor_id is not null;
create index if not exists owner_audit_log_occurred_at_idx on public.owner_audit_log using brin (occurred_at);
create index if not exists workspace_entitlements_granted_by_idx
  on public.workspace_entitlements (granted_by) where granted_by is not null;
-- A caller's reference counts once. Those of grants, which may end in several steps, and of reservations are rows that
-- say themselves whether they were counted.
create unique index if not exists workspace_token_ledger_request_reference_id_idx
  on public.workspace_token_ledger (workspace_id, reference_id)
  where reference_type = 'request' and reference_id is not null;
create unique index if not exists workspace_token_grants_reference_idx
  on public.workspace_token_grants (workspace_id, reference) where reference is not null;
create index if not exists workspace_token_grants_spendable_idx
  on public.workspace_token_grants (workspace_id, priority, expires_at) where status in ('scheduled', 'open');
create index if not exists workspace_token_grants_workspace_id_created_at_idx
  on public.workspace_token_grants (workspace_id, created_at desc);
create index if not exists workspace_token_grants_created_by_idx
  on public.workspace_token_grants (created_by) where created_by is not null;
create unique index if not exists workspace_token_reservations_reference_idx
  on public.workspace_token_reservations (workspace_id, reference) where reference is not null;
create index if not exists workspace_token_reservations_open_idx
  on public.workspace_token_reservations (workspace_id, expires_at) where status = 'open';
create index if not exists workspace_token_reservations_workspace_id_created_at_idx
  on public.workspace_token_reservations (workspace_id, created_at desc);
create index if not exists workspace_token_reservations_created_by_idx
  on public.workspace_token_reservations (created_by) where created_by is not null;
create index if not exists workspace_token_balance_next_due_at_idx
  on public.workspace_token_balance (next_due_at) where next_due_at is not null;

------------------------------------------------------------------------------------------------------------------------
-- Who is asking
------------------------------------------------------------------------------------------------------------------------
-- The role that the caller acts as. Inside a function with its owner's rights current_user is that owner, and the role
-- that PostgREST or anybody else set is still the one in this setting.
create or replace function private.caller_role() returns text
language plpgsql stable set search_path = '' as $$
begin
  return case current_setting('role') when 'none' then session_user::text else current_setting('role') end;
end $$;

-- Definer: nobody reaches the tables that say who operates.
create or replace function private.is_operator(p_roles text[] default array['owner', 'ops', 'viewer']) returns boolean
language sql stable security definer set search_path = '' as $$
  select exists (
    select 1 from public.owner_members as operator
    join public.platform_admins as admin on admin.user_id = operator.user_id
    join auth.users as account on account.id = operator.user_id
    where operator.user_id = (select auth.uid()) and operator.active and operator.role = any (p_roles)
      and lower(operator.email) = lower(account.email))
$$;

-- The service, the owner of the database on a direct connection, or an operator with one of the roles.
create or replace function private.require_operator(p_roles text[]) returns void
language plpgsql stable security definer set search_path = '' as $$
declare
  v_role name := private.caller_role();
begin
  if v_role = 'service_role' then
    return;
  elsif v_role = 'authenticated' then
    perform private.require_user();
    if private.is_operator(p_roles) then
      return;
    end if;
  elsif pg_has_role(v_role, current_user, 'member') then  -- a definer function's user is the owner of the tables
    return;
  end if;
  perform private.raise_error(403, 'operator_required', jsonb_build_object('needs', p_roles),
    'Ask an operator of the platform; `qero ops owners add` makes one, as the service: without QERO_ACCESS_TOKEN set.');
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.owner_members enable row level security;
alter table public.platform_admins enable row level security;
alter table public.owner_audit_log enable row level security;
alter table public.workspace_entitlements enable row level security;
alter table public.workspace_entitlement_usage enable row level security;
alter table public.workspace_token_balance enable row level security;
alter table public.workspace_token_ledger enable row level security;
alter table public.workspace_token_grants enable row level security;
alter table public.workspace_token_reservations enable row level security;
alter table public.workspace_token_alerts enable row level security;

-- Only the service reads these; the policies say so in words, for people and for the advisor.
create policy owner_members_select_service on public.owner_members for select to service_role using (true);
create policy platform_admins_select_service on public.platform_admins for select to service_role using (true);
create policy owner_audit_log_select_service on public.owner_audit_log for select to service_role using (true);

-- Members see their own workspace's, operators every one's.
create policy workspace_entitlements_select_member on public.workspace_entitlements for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) or (select private.is_operator()));
create policy workspace_entitlement_usage_select_member on public.workspace_entitlement_usage
  for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) or (select private.is_operator()));
create policy workspace_token_balance_select_member on public.workspace_token_balance for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) or (select private.is_operator()));
create policy workspace_token_ledger_select_member on public.workspace_token_ledger for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) or (select private.is_operator()));
create policy workspace_token_grants_select_member on public.workspace_token_grants for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) or (select private.is_operator()));
create policy workspace_token_reservations_select_member on public.workspace_token_reservations
  for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) or (select private.is_operator()));
create policy workspace_token_alerts_select_member on public.workspace_token_alerts for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) or (select private.is_operator()));

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.owner_members, public.platform_admins, public.owner_audit_log,
  public.workspace_entitlements, public.workspace_entitlement_usage, public.workspace_token_balance,
  public.workspace_token_ledger, public.workspace_token_grants, public.workspace_token_reservations,
  public.workspace_token_alerts
  from public, anon, authenticated, service_role;
grant select on table public.workspace_entitlements, public.workspace_entitlement_usage,
  public.workspace_token_balance, public.workspace_token_ledger, public.workspace_token_grants,
  public.workspace_token_reservations, public.workspace_token_alerts
  to authenticated, service_role;
grant select on table public.owner_members, public.platform_admins, public.owner_audit_log to service_role;
revoke all on sequence public.owner_audit_log_id_seq, public.workspace_token_ledger_id_seq,
  public.workspace_token_alerts_id_seq
  from public, anon, authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Append-only
------------------------------------------------------------------------------------------------------------------------
-- A workspace that is deleted takes its ledger along; nothing else removes a row of it.
create or replace function private.refuse_removal() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
  if exists (select 1 from public.workspaces as workspace where workspace.id = old.workspace_id) then
    perform private.raise_error(409, 'append_only', jsonb_build_object('table', tg_table_name),
      'Rows of this table are never changed or removed; add a correcting row instead.');
  end if;
  return old;
end $$;

create or replace trigger owner_audit_log_refuse_change before update or delete or truncate on public.owner_audit_log
  for each statement execute function private.refuse_change();
create or replace trigger workspace_token_ledger_refuse_change before update or truncate
  on public.workspace_token_ledger for each statement execute function private.refuse_change();
create or replace trigger workspace_token_ledger_refuse_removal before delete on public.workspace_token_ledger
  for each row execute function private.refuse_removal();
create or replace trigger workspace_token_balance_refuse_truncate before truncate on public.workspace_token_balance
  for each statement execute function private.refuse_change();
-- Not even a session that replays a replica's changes gets past these.
alter table public.workspace_token_balance enable always trigger workspace_token_balance_refuse_truncate;
alter table public.owner_audit_log enable always trigger owner_audit_log_refuse_change;
alter table public.workspace_token_ledger enable always trigger workspace_token_ledger_refuse_change;
alter table public.workspace_token_ledger enable always trigger workspace_token_ledger_refuse_removal;

-- No foreign key, which would be checked for each row against the one balance that all rows of a workspace share: what
-- writes the ledger has just changed that balance.
create or replace function private.delete_token_ledger() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  delete from public.workspace_token_ledger as entry where entry.workspace_id = old.workspace_id;
  return null;
end $$;
create or replace trigger workspace_token_balance_delete_ledger after delete on public.workspace_token_balance
  for each row execute function private.delete_token_ledger();

create or replace trigger owner_members_set_updated_at before update on public.owner_members
  for each row execute function private.set_updated_at();
create or replace trigger workspace_entitlements_set_updated_at before update on public.workspace_entitlements
  for each row execute function private.set_updated_at();

------------------------------------------------------------------------------------------------------------------------
-- Audit
------------------------------------------------------------------------------------------------------------------------
create or replace function private.audit(
  p_action text, p_workspace_id uuid, p_before jsonb, p_after jsonb, p_reason text
) returns void
language sql security definer set search_path = '' as $$
  insert into public.owner_audit_log (action, workspace_id, before, after, reason)
  values (p_action, p_workspace_id, p_before, p_after, p_reason)
$$;

-- Writes down who changed a row of a table, whatever the way. Of a row it keeps the columns that the trigger names; a
-- change of other columns alone leaves no trace. What goes with its workspace is told by the workspace's own row.
create or replace function private.audit_row() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_old jsonb;
  v_new jsonb;
  v_row jsonb;
  v_workspace_id uuid;
  v_action text;
begin
  if tg_op <> 'INSERT' then
    select jsonb_object_agg(part.key, part.value) into v_old
    from jsonb_each(to_jsonb(old)) as part where part.key = any (tg_argv);
  end if;
  if tg_op <> 'DELETE' then
    select jsonb_object_agg(part.key, part.value) into v_new
    from jsonb_each(to_jsonb(new)) as part where part.key = any (tg_argv);
  end if;
  if v_old is not distinct from v_new then
    return null;
  end if;
  v_row := case when tg_op = 'DELETE' then to_jsonb(old) else to_jsonb(new) end;
  v_workspace_id := (case tg_table_name when 'workspaces' then v_row ->> 'id' else v_row ->> 'workspace_id' end)::uuid;
  if tg_op = 'DELETE' and tg_table_name <> 'workspaces' and v_workspace_id is not null
    and not exists (select 1 from public.workspaces as workspace where workspace.id = v_workspace_id) then
    return null;
  end if;

  v_action := case tg_table_name
    when 'workspaces' then 'owner.workspace.' || case tg_op
      when 'INSERT' then 'created'
      when 'DELETE' then 'deleted'
      else case
        when v_old ->> 'status' = v_new ->> 'status' then 'updated'
        when v_new ->> 'status' = 'active' then 'activated'
        else v_new ->> 'status' end end
    when 'workspace_memberships' then 'owner.member.' || case tg_op
      when 'INSERT' then 'added' when 'DELETE' then 'removed' else 'role_changed' end
    when 'workspace_entitlements' then 'owner.entitlement.' || case
      when tg_op = 'DELETE' then 'removed'
      when tg_op = 'UPDATE' and v_old ->> 'enabled' = v_new ->> 'enabled' then 'updated'
      when (v_new ->> 'enabled')::boolean then 'enabled'
      else 'disabled' end
    when 'owner_members' then 'owner.operator.' || case
      when tg_op = 'INSERT' then 'added'
      when tg_op = 'DELETE' then 'removed'
      when v_old ->> 'active' = v_new ->> 'active' then 'updated'
      when (v_new ->> 'active')::boolean then 'reactivated'
      else 'deactivated' end
    when 'platform_admins' then 'owner.admin.' || case tg_op when 'INSERT' then 'added' else 'removed' end
    when 'wa_phone_numbers' then 'owner.connection.' || case
      when tg_op = 'INSERT' then 'connected'
      when tg_op = 'DELETE' or v_old ->> 'deleted_at' is null and v_new ->> 'deleted_at' is not null then 'deleted'
      when v_old ->> 'status' = v_new ->> 'status' then 'updated'
      when v_new ->> 'status' = 'paused' then 'paused'
      when v_new ->> 'status' = 'inactive' then 'disconnected'
      when v_old ->> 'status' = 'paused' then 'resumed'
      else 'connected' end
  end;
  perform private.audit(v_action, v_workspace_id, v_old, v_new,
    coalesce(nullif(current_setting('qero.reason', true), ''), v_row ->> 'reason', v_row ->> 'status_reason'));
  return null;
end $$;

create or replace trigger workspaces_audit after insert or update or delete on public.workspaces
  for each row execute function private.audit_row('id', 'slug', 'name', 'status');
create or replace trigger workspace_memberships_audit after insert or update or delete on public.workspace_memberships
  for each row execute function private.audit_row('user_id', 'role');
create or replace trigger workspace_entitlements_audit after insert or update or delete
  on public.workspace_entitlements
  for each row execute function private.audit_row('key', 'enabled', 'payload', 'expires_at', 'reason', 'granted_by');
create or replace trigger owner_members_audit after insert or update or delete on public.owner_members
  for each row execute function private.audit_row('user_id', 'email', 'role', 'active');
create or replace trigger platform_admins_audit after insert or update or delete on public.platform_admins
  for each row execute function private.audit_row('user_id');

------------------------------------------------------------------------------------------------------------------------
-- Functions: operators
------------------------------------------------------------------------------------------------------------------------
create or replace function public.add_operator(p_email text, p_role text default 'owner') returns public.owner_members
language plpgsql security definer set search_path = '' as $$
declare
  v_account_id uuid;
  v_account_email text;
  v_operator public.owner_members;
begin
  perform private.require_operator(array['owner']);
  if p_role is null or p_role not in ('owner', 'ops', 'viewer') then
    perform private.raise_error(400, 'invalid_value', '{"field": "role", "allowed": ["owner", "ops", "viewer"]}',
      'Choose one of the allowed roles.');
  end if;
  -- Of two accounts with the same e-mail, which single sign-on allows, none is guessed.
  select min(account.id::text)::uuid, min(account.email) into v_account_id, v_account_email
  from auth.users as account
  where lower(account.email) = lower(btrim(p_email))
  having count(*) = 1;
  if not found then
    perform private.raise_error(404, 'account_not_found', jsonb_build_object('email', left(p_email, 320)),
      'Check the e-mail; an operator needs an account of their own first.');
  end if;
  insert into public.owner_members as operator (user_id, email, role) values (v_account_id, v_account_email, p_role)
  on conflict (user_id) do update set email = excluded.email, role = excluded.role, active = true
  returning * into v_operator;
  insert into public.platform_admins (user_id) values (v_account_id) on conflict do nothing;
  return v_operator;
end $$;
comment on function public.add_operator(text, text) is
  'Makes the account with this e-mail an operator, or again an active one: in both of the tables that say so.';

create or replace function public.remove_operator(p_email text) returns public.owner_members
language plpgsql security definer set search_path = '' as $$
declare
  v_operator public.owner_members;
begin
  perform private.require_operator(array['owner']);
  update public.owner_members as operator set active = false
  where operator.user_id = (
    select known.user_id from public.owner_members as known
    left join auth.users as account on account.id = known.user_id
    where lower(btrim(p_email)) in (lower(known.email), lower(account.email))
    order by lower(known.email) = lower(btrim(p_email)) desc limit 1)
  returning * into v_operator;
  if not found then
    perform private.raise_error(404, 'operator_not_found', jsonb_build_object('email', left(p_email, 320)),
      'Check the e-mail; `qero ops owners list` shows them.');
  end if;
  delete from public.platform_admins as admin where admin.user_id = v_operator.user_id;
  return v_operator;
end $$;
comment on function public.remove_operator(text) is
  'Ends what an operator may do; the row stays, inactive. Doing it again changes nothing.';

create or replace function public.list_operators()
returns table (
  user_id uuid, email text, role text, active boolean, is_operator boolean, created_at timestamptz,
  updated_at timestamptz
)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
begin
  perform private.require_operator(array['owner', 'ops', 'viewer']);
  return query
  select coalesce(operator.user_id, admin.user_id), coalesce(operator.email, account.email::text), operator.role,
    coalesce(operator.active, false),
    operator.active is true and admin.user_id is not null and lower(operator.email) = lower(account.email),
    coalesce(operator.created_at, admin.created_at), operator.updated_at
  from public.owner_members as operator
  full join public.platform_admins as admin on admin.user_id = operator.user_id
  left join auth.users as account on account.id = coalesce(operator.user_id, admin.user_id)
  order by 2;
end $$;
comment on function public.list_operators() is
  'Everybody in either table of operators, and whether all of it holds: active, the account''s e-mail, both tables.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: members
------------------------------------------------------------------------------------------------------------------------
create or replace function public.set_member_role(p_workspace_id uuid, p_user_id uuid, p_role text)
returns public.workspace_memberships
language plpgsql security definer set search_path = '' as $$
declare
  v_is_service boolean := private.is_service();
  v_member public.workspace_memberships;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if p_role is null or p_role not in ('owner', 'admin', 'member', 'viewer') then
    perform private.raise_error(400, 'invalid_value',
      '{"field": "role", "allowed": ["owner", "admin", "member", "viewer"]}', 'Choose one of the allowed roles.');
  end if;
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id
  for no key update;
  if not found then
    perform private.raise_error(404, 'member_not_found',
      jsonb_build_object('workspace_id', p_workspace_id, 'user_id', p_user_id), 'Check the id of the user.');
  end if;
  -- An admin neither makes owners nor unmakes them.
  if not v_is_service and 'owner' in (p_role, v_member.role) and p_role <> v_member.role
    and p_workspace_id not in (select private.my_workspace_ids_as('owner')) then
    perform private.raise_error(403, 'role_required', '{"needs": ["owner"]}', 'Ask an owner of the workspace.');
  end if;
  update public.workspace_memberships as member set role = p_role
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id and member.role <> p_role
  returning * into v_member;
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id;
  return v_member;
end $$;
comment on function public.set_member_role(uuid, uuid, text) is
  'Gives a member another role. Only owners make or unmake owners, and one always remains.';

create or replace function public.remove_member(p_workspace_id uuid, p_user_id uuid)
returns public.workspace_memberships
language plpgsql security definer set search_path = '' as $$
declare
  v_is_service boolean := private.is_service();
  v_member public.workspace_memberships;
begin
  -- Everybody may leave; an owner or admin removes others.
  perform private.require_role(p_workspace_id,
    case when p_user_id = (select auth.uid()) then array['owner', 'admin', 'member', 'viewer']
      else array['owner', 'admin'] end,
    'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id
  for update;
  if not found then
    perform private.raise_error(404, 'member_not_found',
      jsonb_build_object('workspace_id', p_workspace_id, 'user_id', p_user_id), 'Check the id of the user.');
  elsif not v_is_service and v_member.role = 'owner' and v_member.user_id <> (select auth.uid())
    and p_workspace_id not in (select private.my_workspace_ids_as('owner')) then
    perform private.raise_error(403, 'role_required', '{"needs": ["owner"]}', 'Ask an owner of the workspace.');
  end if;
  -- Their chats first, as in sending, which may be about to count a mention of the one who leaves.
  perform 1 from public.chats as chat
  where chat.id in (
    select member.chat_id from public.chat_members as member
    where member.workspace_id = p_workspace_id and member.user_id = p_user_id)
  order by chat.id
  for no key update;
  delete from public.workspace_memberships as member
  where member.workspace_id = p_workspace_id and member.user_id = p_user_id;
  return v_member;
end $$;
comment on function public.remove_member(uuid, uuid) is
  'Takes a member out of a workspace, or lets the caller leave it. The last owner stays.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.caller_role(), private.is_operator(text[]), private.require_operator(text[]), private.refuse_removal(),
  private.delete_token_ledger(),
  private.audit(text, uuid, jsonb, jsonb, text), private.audit_row(),
  public.add_operator(text, text), public.remove_operator(text), public.list_operators(),
  public.set_member_role(uuid, uuid, text), public.remove_member(uuid, uuid)
  from public, anon, authenticated, service_role;
-- Policies ask it.
grant execute on function private.is_operator(text[]) to authenticated, service_role;
grant execute on function
  public.add_operator(text, text), public.remove_operator(text), public.list_operators(),
  public.set_member_role(uuid, uuid, text), public.remove_member(uuid, uuid)
  to authenticated, service_role;

notify pgrst, 'reload schema';
