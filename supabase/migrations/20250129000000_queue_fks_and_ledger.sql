-- Purpose:   leads and the queues that work on them, every reference a foreign key, and the ledger of every transition;
--            brings older queue tables to this shape.
-- Needs:     001_core_identity, 002_crm.
-- Used by:   20260215000000_lead_automation; qero.services.leads, lead_queue; `qero queue audit`.
-- Raises:    PT409 append_only.
-- Roll back: drop table queue_ledger, queue_performance_metrics, lead_processing_queue, whatsapp_message_queue,
--            user_queue_settings, leads, projects, clients cascade. Loses every lead: back up first.
--
-- What an older table holds and can't stay where it was is in private.migration_rejects, whole: rows whose workspace or
-- lead is gone, references into nowhere, and statuses outside their check. Nothing of it is sent by surprise: what was on
-- its way counts as failed, and a lead whose status means nothing waits for a person.

set lock_timeout = '5s';
set statement_timeout = '10min';

------------------------------------------------------------------------------------------------------------------------
-- Time: a user's day
------------------------------------------------------------------------------------------------------------------------
create or replace function private.local_day(p_timezone text, p_at timestamptz default now()) returns date
language sql stable parallel safe set search_path = '' as $$
  select (p_at at time zone p_timezone)::date
$$;

-- Where summer time begins, a time of the clock that doesn't exist is the moment an hour later; where it ends, one that
-- exists twice is the second.
create or replace function private.local_moment(p_timezone text, p_day date, p_time time) returns timestamptz
language sql stable parallel safe set search_path = '' as $$
  select (p_day + p_time) at time zone p_timezone
$$;

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
-- Column by column, because tables of an older shape may stand there already: what they lack is added.
create table if not exists public.clients (id uuid primary key default gen_random_uuid());
alter table public.clients
  add column if not exists workspace_id uuid,
  add column if not exists name text,
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now();

create table if not exists public.projects (id uuid primary key default gen_random_uuid());
alter table public.projects
  add column if not exists workspace_id uuid,
  add column if not exists client_id uuid,
  add column if not exists name text,
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now();

create table if not exists public.leads (id uuid primary key default gen_random_uuid());
alter table public.leads
  add column if not exists workspace_id uuid,
  add column if not exists contact_id uuid,
  add column if not exists client_id uuid,
  add column if not exists project_id uuid,
  add column if not exists user_id uuid,
  add column if not exists score integer default 0,
  add column if not exists status text default 'new',
  add column if not exists control text default 'automation',
  add column if not exists taken_by uuid,
  add column if not exists taken_at timestamptz,
  add column if not exists replied_at timestamptz,
  add column if not exists reason text,
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now(),
  set (fillfactor = 70);

create table if not exists public.user_queue_settings (workspace_id uuid, user_id uuid);
alter table public.user_queue_settings
  add column if not exists daily_capacity integer default 50,
  add column if not exists batch_size integer default 100,
  add column if not exists timezone text,
  add column if not exists sends_from time default '09:00',
  add column if not exists sends_until time default '18:00',
  add column if not exists paused boolean default false,
  add column if not exists takes_unassigned boolean default true,
  add column if not exists connection_id uuid,
  add column if not exists steps jsonb default '[]',
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now();

create table if not exists public.whatsapp_message_queue (id uuid primary key default gen_random_uuid());
alter table public.whatsapp_message_queue
  add column if not exists workspace_id uuid,
  add column if not exists lead_id uuid,
  add column if not exists user_id uuid,
  add column if not exists client_id uuid,
  add column if not exists queue_day date,
  add column if not exists step integer default 1,
  add column if not exists priority integer default 0,
  add column if not exists body text,
  add column if not exists template jsonb,
  add column if not exists status text default 'queued',
  add column if not exists reason text,
  add column if not exists attempts integer default 0,
  add column if not exists last_error text,
  add column if not exists outbox_id uuid,
  add column if not exists scheduled_for timestamptz default now(),
  add column if not exists sent_at timestamptz,
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now(),
  set (fillfactor = 70);

create table if not exists public.lead_processing_queue (id uuid primary key default gen_random_uuid());
alter table public.lead_processing_queue
  add column if not exists workspace_id uuid,
  add column if not exists lead_id uuid,
  add column if not exists user_id uuid,
  add column if not exists client_id uuid,
  add column if not exists project_id uuid,
  add column if not exists step integer default 1,
  add column if not exists status text default 'queued',
  add column if not exists reason text,
  add column if not exists next_on date,
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now(),
  set (fillfactor = 70);

create table if not exists public.queue_performance_metrics (workspace_id uuid, user_id uuid, day date);
alter table public.queue_performance_metrics
  add column if not exists day date,
  add column if not exists prepared integer default 0,
  add column if not exists sent integer default 0,
  add column if not exists failed integer default 0,
  add column if not exists cancelled integer default 0,
  add column if not exists taken integer default 0,
  add column if not exists replied integer default 0,
  add column if not exists first_sent_at timestamptz,
  add column if not exists last_sent_at timestamptz,
  add column if not exists updated_at timestamptz default now();

create table if not exists public.queue_ledger (id bigint generated always as identity primary key);
alter table public.queue_ledger
  add column if not exists workspace_id uuid,
  add column if not exists lead_id uuid,
  add column if not exists queue text,
  add column if not exists queue_id uuid,
  add column if not exists user_id uuid,
  add column if not exists day date,
  add column if not exists from_status text,
  add column if not exists to_status text,
  add column if not exists action text,
  add column if not exists actor_id uuid,
  add column if not exists reason text,
  add column if not exists created_at timestamptz default now();

comment on column public.leads.status is
  'How far the lead is in its pipeline. Neither the contact''s lead_status, which the team shares, nor anybody''s own.';
comment on column public.leads.control is
  'Who writes to the lead: automation, or a person. In human hands without taken_by, it waits for whoever takes it.';
comment on column public.leads.user_id is 'Whose queue the lead is in; nobody''s yet, it goes to who has room for it.';
comment on column public.leads.reason is 'Why it was last changed; the ledger keeps it with each transition.';
comment on column public.user_queue_settings.timezone is 'Of the user''s days and hours; null is the profile''s.';
comment on column public.user_queue_settings.steps is
  'What automation writes, one after the other: {"body"} or {"template"}, and "after_days" without a reply.';
comment on column public.user_queue_settings.connection_id is
  'The number to write by; null is the one the contact last wrote to, or else the workspace''s first.';
comment on column public.whatsapp_message_queue.queue_day is 'The user''s day it is for, and whose capacity it takes.';
comment on column public.whatsapp_message_queue.status is
  'sending from the moment it is in the outbox; then what becomes of it there. An outcome nobody knows stays sending.';
comment on table public.lead_processing_queue is
  'A lead''s way through several steps: one run at a time, ended by a reply, a takeover, a failure or its last step.';
comment on column public.lead_processing_queue.next_on is 'While it waits for a reply: the day of the next step.';
comment on table public.queue_performance_metrics is
  'What became of each user''s queue of each day, counted from the ledger''s transitions as they happen.';
comment on column public.queue_ledger.queue_id is 'The row of whatsapp_message_queue, lead_processing_queue or leads.';
comment on column public.queue_ledger.user_id is 'For whom it counts in the metrics, and, with day, on which day.';
comment on column public.queue_ledger.actor_id is 'Who did it; null is automation, a worker or the service.';

------------------------------------------------------------------------------------------------------------------------
-- What must hold, in one list: the migration makes it so, the audit compares
------------------------------------------------------------------------------------------------------------------------
-- What the tables refer to. References to connections and the outbox come with 20260215000000_lead_automation.
create or replace function private.queue_references()
returns table (
  table_name text, constraint_name text, columns text[], target text, target_columns text[], on_delete text
)
language sql immutable security invoker set search_path = '' as $$
  values
    ('clients', 'clients_workspace_id_fkey', array['workspace_id'], 'public.workspaces', array['id'], 'cascade'),
    ('projects', 'projects_workspace_id_fkey', array['workspace_id'], 'public.workspaces', array['id'], 'cascade'),
    ('projects', 'projects_workspace_id_client_id_fkey', array['workspace_id', 'client_id'], 'public.clients',
      array['workspace_id', 'id'], 'set null (client_id)'),
    ('leads', 'leads_workspace_id_fkey', array['workspace_id'], 'public.workspaces', array['id'], 'cascade'),
    ('leads', 'leads_workspace_id_contact_id_fkey', array['workspace_id', 'contact_id'], 'public.contacts',
      array['workspace_id', 'id'], 'cascade'),
    ('leads', 'leads_workspace_id_client_id_fkey', array['workspace_id', 'client_id'], 'public.clients',
      array['workspace_id', 'id'], 'set null (client_id)'),
    ('leads', 'leads_workspace_id_project_id_fkey', array['workspace_id', 'project_id'], 'public.projects',
      array['workspace_id', 'id'], 'set null (project_id)'),
    ('leads', 'leads_user_id_fkey', array['user_id'], 'auth.users', array['id'], 'set null'),
    ('leads', 'leads_taken_by_fkey', array['taken_by'], 'auth.users', array['id'], 'set null'),
    ('user_queue_settings', 'user_queue_settings_workspace_id_fkey', array['workspace_id'], 'public.workspaces',
      array['id'], 'cascade'),
    ('user_queue_settings', 'user_queue_settings_user_id_fkey', array['user_id'], 'auth.users', array['id'], 'cascade'),
    ('whatsapp_message_queue', 'whatsapp_message_queue_workspace_id_lead_id_fkey', array['workspace_id', 'lead_id'],
      'public.leads', array['workspace_id', 'id'], 'cascade'),
    ('whatsapp_message_queue', 'whatsapp_message_queue_workspace_id_client_id_fkey',
      array['workspace_id', 'client_id'], 'public.clients', array['workspace_id', 'id'], 'set null (client_id)'),
    ('whatsapp_message_queue', 'whatsapp_message_queue_user_id_fkey', array['user_id'], 'auth.users', array['id'],
      'set null'),
    ('lead_processing_queue', 'lead_processing_queue_workspace_id_lead_id_fkey', array['workspace_id', 'lead_id'],
      'public.leads', array['workspace_id', 'id'], 'cascade'),
    ('lead_processing_queue', 'lead_processing_queue_workspace_id_client_id_fkey',
      array['workspace_id', 'client_id'], 'public.clients', array['workspace_id', 'id'], 'set null (client_id)'),
    ('lead_processing_queue', 'lead_processing_queue_workspace_id_project_id_fkey',
      array['workspace_id', 'project_id'], 'public.projects', array['workspace_id', 'id'], 'set null (project_id)'),
    ('lead_processing_queue', 'lead_processing_queue_user_id_fkey', array['user_id'], 'auth.users', array['id'],
      'set null'),
    ('queue_performance_metrics', 'queue_performance_metrics_workspace_id_fkey', array['workspace_id'],
      'public.workspaces', array['id'], 'cascade'),
    ('queue_performance_metrics', 'queue_performance_metrics_user_id_fkey', array['user_id'], 'auth.users',
      array['id'], 'cascade'),
    ('queue_ledger', 'queue_ledger_workspace_id_lead_id_fkey', array['workspace_id', 'lead_id'], 'public.leads',
      array['workspace_id', 'id'], 'cascade')
$$;

create or replace function private.queue_rules()
returns table (table_name text, constraint_name text, definition text)
language sql immutable security invoker set search_path = '' as $$
  values
    ('clients', 'clients_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('clients', 'clients_name_check', 'check (length(name) between 1 and 300)'),
    ('projects', 'projects_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('projects', 'projects_name_check', 'check (length(name) between 1 and 300)'),
    ('leads', 'leads_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('leads', 'leads_status_check', $check$check (
      status in ('new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost'))$check$),
    ('leads', 'leads_control_check', $check$check (control in ('automation', 'human'))$check$),
    ('leads', 'leads_taken_by_check', $check$check (taken_by is null or control = 'human')$check$),
    ('user_queue_settings', 'user_queue_settings_pkey', 'primary key (workspace_id, user_id)'),
    ('user_queue_settings', 'user_queue_settings_daily_capacity_check', 'check (daily_capacity between 0 and 10000)'),
    ('user_queue_settings', 'user_queue_settings_batch_size_check', 'check (batch_size between 1 and 1000)'),
    ('user_queue_settings', 'user_queue_settings_timezone_check',
      'check (length(timezone) <= 100 and private.is_timezone(timezone))'),
    ('user_queue_settings', 'user_queue_settings_window_check', 'check (sends_from < sends_until)'),
    ('user_queue_settings', 'user_queue_settings_steps_check', $check$check (
      jsonb_typeof(steps) = 'array' and jsonb_array_length(steps) <= 10)$check$),
    ('whatsapp_message_queue', 'whatsapp_message_queue_status_check', $check$check (
      status in ('queued', 'sending', 'sent', 'failed', 'cancelled'))$check$),
    -- What is still to be sent says what, for whom and when; older rows that have ended may not.
    ('whatsapp_message_queue', 'whatsapp_message_queue_content_check', $check$check (
      num_nonnulls(body, template) = 1 or status not in ('queued', 'sending'))$check$),
    ('whatsapp_message_queue', 'whatsapp_message_queue_queue_day_check', $check$check (
      (queue_day is not null and scheduled_for is not null) or status <> 'queued')$check$),
    ('whatsapp_message_queue', 'whatsapp_message_queue_body_check', 'check (length(body) between 1 and 4096)'),
    ('whatsapp_message_queue', 'whatsapp_message_queue_step_check', 'check (step between 1 and 10)'),
    ('lead_processing_queue', 'lead_processing_queue_status_check', $check$check (
      status in ('queued', 'waiting', 'completed', 'failed', 'cancelled'))$check$),
    ('lead_processing_queue', 'lead_processing_queue_next_on_check', $check$check (
      next_on is not null or status <> 'waiting')$check$),
    ('lead_processing_queue', 'lead_processing_queue_step_check', 'check (step between 1 and 10)'),
    ('queue_performance_metrics', 'queue_performance_metrics_pkey', 'primary key (workspace_id, user_id, day)'),
    ('queue_ledger', 'queue_ledger_queue_check', $check$check (
      queue in ('leads', 'whatsapp_message_queue', 'lead_processing_queue'))$check$)
$$;

------------------------------------------------------------------------------------------------------------------------
-- What an older database holds
------------------------------------------------------------------------------------------------------------------------
-- Once, before the constraints: where the ledger has its reference, this was done before.
do $$
declare
  v_tables constant text[] := array['clients', 'projects', 'leads', 'user_queue_settings', 'whatsapp_message_queue',
    'lead_processing_queue', 'queue_performance_metrics', 'queue_ledger'];
  v_table text;
  v_name text;
  v_reference record;
  v_column text;
  v_default text;
  v_before bigint;
begin
  if exists (
    select from pg_constraint
    where conrelid = 'public.queue_ledger'::regclass and conname = 'queue_ledger_workspace_id_lead_id_fkey'
  ) then
    return;
  end if;
  select count(*) into v_before from private.migration_rejects;

  foreach v_table in array v_tables loop
    -- Its rules give way to ours; keys stay. Nobody fills columns that only the older table has.
    for v_name in
      select older.conname from pg_constraint as older
      where older.conrelid = format('public.%I', v_table)::regclass
        and (older.contype in ('c', 'f')
          -- These two have a key of their own kind.
          or (older.contype in ('p', 'u') and v_table in ('user_queue_settings', 'queue_performance_metrics')))
    loop
      execute format('alter table public.%I drop constraint %I', v_table, v_name);
    end loop;
    for v_name in
      select attribute.attname from pg_attribute as attribute
      where attribute.attrelid = format('public.%I', v_table)::regclass and attribute.attnum > 0
        and attribute.attnotnull and not attribute.attisdropped and not attribute.atthasdef
        and attribute.attidentity = '' and not exists (
          select from pg_index where indrelid = attribute.attrelid and indisprimary and attribute.attnum = any (indkey))
    loop
      execute format('alter table public.%I alter column %I drop not null', v_table, v_name);
    end loop;
    -- A status of another type would know no other values.
    for v_name in
      select attribute.attname from pg_attribute as attribute
      where attribute.attrelid = format('public.%I', v_table)::regclass and attribute.attname in ('status', 'control')
        and attribute.atttypid <> 'text'::regtype and not attribute.attisdropped
    loop
      execute format('alter table public.%1$I alter column %2$I drop default,
        alter column %2$I type text using %2$I::text', v_table, v_name);
    end loop;
  end loop;

  -- Rows from before there were workspaces belong to that of what they name.
  update public.projects as older set workspace_id = client.workspace_id
  from public.clients as client where older.workspace_id is null and client.id = older.client_id;
  update public.leads as older set workspace_id = coalesce(
    (select contact.workspace_id from public.contacts as contact where contact.id = older.contact_id),
    (select client.workspace_id from public.clients as client where client.id = older.client_id))
  where older.workspace_id is null;
  foreach v_table in array array['whatsapp_message_queue', 'lead_processing_queue', 'queue_ledger'] loop
    execute format('update public.%I as older set workspace_id = lead.workspace_id
      from public.leads as lead where older.workspace_id is null and lead.id = older.lead_id', v_table);
  end loop;

  -- Without these a row means nothing: it is set aside whole. Parents before children.
  for v_table, v_column, v_name in values
    ('clients', 'workspace_id', 'public.workspaces'), ('projects', 'workspace_id', 'public.workspaces'),
    ('leads', 'workspace_id', 'public.workspaces'), ('user_queue_settings', 'workspace_id', 'public.workspaces'),
    ('user_queue_settings', 'user_id', 'auth.users'), ('whatsapp_message_queue', 'workspace_id', 'public.workspaces'),
    ('whatsapp_message_queue', 'lead_id', 'public.leads'), ('lead_processing_queue', 'workspace_id', 'public.workspaces'),
    ('lead_processing_queue', 'lead_id', 'public.leads'),
    ('queue_performance_metrics', 'workspace_id', 'public.workspaces'),
    ('queue_performance_metrics', 'user_id', 'auth.users'), ('queue_ledger', 'workspace_id', 'public.workspaces'),
    ('queue_ledger', 'lead_id', 'public.leads')
  loop
    execute format($sql$
      with lost as (
        delete from public.%1$I as older
        where not exists (select from %3$s as target where target.id = older.%2$I %4$s)
        returning older.*
      )
      insert into private.migration_rejects (source, reason, contents)
      select 'public.%1$s', '%2$s names nothing', to_jsonb(lost) from lost
    $sql$, v_table, v_column, v_name,
      case when v_name = 'public.leads' then 'and target.workspace_id = older.workspace_id' else '' end);
  end loop;
  with lost as (
    delete from public.queue_performance_metrics as older where older.day is null returning older.*
  )
  insert into private.migration_rejects (source, reason, contents)
  select 'public.queue_performance_metrics', 'no day', to_jsonb(lost) from lost;

  -- One row a key: the latest stays.
  for v_table, v_column in values
    ('user_queue_settings', 'workspace_id, user_id'), ('queue_performance_metrics', 'workspace_id, user_id, day')
  loop
    execute format($sql$
      with lost as (
        delete from public.%1$I as older
        using (
          select same.ctid as tid, row_number() over (partition by %2$s order by same.updated_at desc nulls last) as place
          from public.%1$I as same
        ) as twin
        where older.ctid = twin.tid and twin.place > 1
        returning older.*
      )
      insert into private.migration_rejects (source, reason, contents)
      select 'public.%1$s', 'one of several', to_jsonb(lost) from lost
    $sql$, v_table, v_column);
  end loop;

  -- A reference that may be missing is emptied; what it said is set aside.
  for v_reference in
    select reference.*, reference.columns[cardinality(reference.columns)] as column_name
    from private.queue_references() as reference
    where reference.on_delete like 'set null%' or reference.constraint_name = 'leads_workspace_id_contact_id_fkey'
  loop
    execute format($sql$
      with dangling as (
        select older.ctid as tid, to_jsonb(older) as contents from public.%1$I as older
        where older.%2$I is not null
          and not exists (select from %3$s as target where target.id = older.%2$I %4$s)
      ), emptied as (
        update public.%1$I as older set %2$I = null from dangling where older.ctid = dangling.tid
      )
      insert into private.migration_rejects (source, reason, contents)
      select 'public.%1$s', '%2$s names nothing', dangling.contents from dangling
    $sql$, v_reference.table_name, v_reference.column_name, v_reference.target,
      case when v_reference.target like 'public.%' then 'and target.workspace_id = older.workspace_id' else '' end);
  end loop;

  -- Statuses outside the check. A lead whose status means nothing is left to a person; what an older system had in hand
  -- may have been sent.
  with misfit as (
    select older.id, to_jsonb(older) as contents from public.leads as older
    where older.status not in ('new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost')
  ), mended as (
    update public.leads as older
    set status = 'pending', control = 'human', reason = 'Its status was ' || left(older.status, 100) || '.'
    from misfit where older.id = misfit.id
  )
  insert into private.migration_rejects (source, reason, contents)
  select 'public.leads', 'status unknown', misfit.contents from misfit;
  with misfit as (
    select older.id, to_jsonb(older) as contents from public.whatsapp_message_queue as older
    where older.status not in ('queued', 'sending', 'sent', 'failed', 'cancelled') or older.status is null
  ), mended as (
    update public.whatsapp_message_queue as older
    set status = case
        when older.status in ('delivered', 'read', 'done', 'completed', 'success') then 'sent'
        when older.status in ('processing', 'in_progress', 'error') then 'failed'
        else 'cancelled'
      end,
      reason = 'Its status was ' || coalesce(left(older.status, 100), 'none') || '.'
    from misfit where older.id = misfit.id
  )
  insert into private.migration_rejects (source, reason, contents)
  select 'public.whatsapp_message_queue', 'status unknown', misfit.contents from misfit;
  with misfit as (
    select older.id, to_jsonb(older) as contents from public.whatsapp_message_queue as older
    where older.status = 'sending' and older.outbox_id is null
      or older.status in ('queued', 'sending')
        and (num_nonnulls(older.body, older.template) <> 1 or older.queue_day is null or older.user_id is null)
      or older.status in ('queued', 'sending') and exists (
        select from public.whatsapp_message_queue as other
        where other.lead_id = older.lead_id and other.status in ('queued', 'sending')
          and (other.created_at, other.id) < (older.created_at, older.id))
  ), mended as (
    update public.whatsapp_message_queue as older
    set status = case older.status when 'sending' then 'failed' else 'cancelled' end,
      reason = 'It couldn''t be sent as it stood.'
    from misfit where older.id = misfit.id
  )
  insert into private.migration_rejects (source, reason, contents)
  select 'public.whatsapp_message_queue', 'not to be sent', misfit.contents from misfit;
  with misfit as (
    select older.id, to_jsonb(older) as contents from public.lead_processing_queue as older
    where older.status in ('completed', 'failed', 'cancelled') is not true
      and (older.status = 'waiting' and older.next_on is not null and not exists (
        select from public.lead_processing_queue as other
        where other.lead_id = older.lead_id and other.id <> older.id and other.status in ('queued', 'waiting')))
        is not true
  ), mended as (
    update public.lead_processing_queue as older
    set status = case when older.status in ('done', 'success', 'sent') then 'completed' else 'cancelled' end,
      next_on = null, reason = 'Its status was ' || coalesce(left(older.status, 100), 'none') || '.'
    from misfit where older.id = misfit.id
  )
  insert into private.migration_rejects (source, reason, contents)
  select 'public.lead_processing_queue', 'not to be continued', misfit.contents from misfit;
  -- A lead that no message stands for any more waits for the next day that is prepared.
  update public.leads as older set status = 'pending', reason = 'Nothing of it was queued.'
  where older.status = 'queued' and not exists (
    select from public.whatsapp_message_queue as message
    where message.lead_id = older.id and message.status in ('queued', 'sending'));

  with misfit as (
    select older.ctid as tid, to_jsonb(older) as contents from public.user_queue_settings as older
    where older.daily_capacity not between 0 and 10000 or older.batch_size not between 1 and 1000
      or older.sends_from >= older.sends_until or not private.is_timezone(older.timezone)
      or jsonb_typeof(older.steps) <> 'array'
  ), mended as (
    update public.user_queue_settings as older
    set daily_capacity = least(greatest(older.daily_capacity, 0), 10000),
      batch_size = least(greatest(older.batch_size, 1), 1000), sends_from = '09:00', sends_until = '18:00',
      timezone = case when private.is_timezone(older.timezone) then older.timezone end, steps = '[]', paused = true
    from misfit where older.ctid = misfit.tid
  )
  insert into private.migration_rejects (source, reason, contents)
  select 'public.user_queue_settings', 'a value out of bounds', misfit.contents from misfit;
  update public.leads as older set control = 'human'
  where older.control not in ('automation', 'human') or older.taken_by is not null;
  update public.clients as older set name = left(coalesce(nullif(btrim(older.name), ''), 'Client ' || older.id), 300);
  update public.projects as older set name = left(coalesce(nullif(btrim(older.name), ''), 'Project ' || older.id), 300);
  update public.whatsapp_message_queue as older
  set body = nullif(left(older.body, 4096), ''), step = least(greatest(coalesce(older.step, 1), 1), 10);
  update public.lead_processing_queue as older set step = least(greatest(coalesce(older.step, 1), 1), 10);
  update public.queue_ledger as older set queue = 'leads'
  where older.queue not in ('leads', 'whatsapp_message_queue', 'lead_processing_queue') or older.queue is null;

  -- Columns that are always there.
  for v_table, v_column, v_default in values
    ('clients', 'workspace_id', null), ('clients', 'name', null), ('clients', 'created_at', 'now()'),
    ('clients', 'updated_at', 'now()'), ('projects', 'workspace_id', null), ('projects', 'name', null),
    ('projects', 'created_at', 'now()'), ('projects', 'updated_at', 'now()'), ('leads', 'workspace_id', null),
    ('leads', 'score', '0'), ('leads', 'status', '''new'''), ('leads', 'control', '''automation'''),
    ('leads', 'created_at', 'now()'), ('leads', 'updated_at', 'now()'),
    ('user_queue_settings', 'workspace_id', null), ('user_queue_settings', 'user_id', null),
    ('user_queue_settings', 'daily_capacity', '50'), ('user_queue_settings', 'batch_size', '100'),
    ('user_queue_settings', 'sends_from', '''09:00'''), ('user_queue_settings', 'sends_until', '''18:00'''),
    ('user_queue_settings', 'paused', 'false'), ('user_queue_settings', 'takes_unassigned', 'true'),
    ('user_queue_settings', 'steps', '''[]'''), ('user_queue_settings', 'created_at', 'now()'),
    ('user_queue_settings', 'updated_at', 'now()'), ('whatsapp_message_queue', 'workspace_id', null),
    ('whatsapp_message_queue', 'lead_id', null), ('whatsapp_message_queue', 'step', '1'),
    ('whatsapp_message_queue', 'priority', '0'), ('whatsapp_message_queue', 'status', '''queued'''),
    ('whatsapp_message_queue', 'attempts', '0'), ('whatsapp_message_queue', 'created_at', 'now()'),
    ('whatsapp_message_queue', 'updated_at', 'now()'), ('lead_processing_queue', 'workspace_id', null),
    ('lead_processing_queue', 'lead_id', null), ('lead_processing_queue', 'step', '1'),
    ('lead_processing_queue', 'status', '''queued'''), ('lead_processing_queue', 'created_at', 'now()'),
    ('lead_processing_queue', 'updated_at', 'now()'), ('queue_performance_metrics', 'workspace_id', null),
    ('queue_performance_metrics', 'user_id', null), ('queue_performance_metrics', 'day', null),
    ('queue_performance_metrics', 'prepared', '0'), ('queue_performance_metrics', 'sent', '0'),
    ('queue_performance_metrics', 'failed', '0'), ('queue_performance_metrics', 'cancelled', '0'),
    ('queue_performance_metrics', 'taken', '0'), ('queue_performance_metrics', 'replied', '0'),
    ('queue_performance_metrics', 'updated_at', 'now()'), ('queue_ledger', 'workspace_id', null),
    ('queue_ledger', 'lead_id', null), ('queue_ledger', 'queue', null), ('queue_ledger', 'created_at', 'now()')
  loop
    if v_default is not null then
      execute format('update public.%1$I set %2$I = %3$s where %2$I is null', v_table, v_column, v_default);
      execute format('alter table public.%I alter column %I set default %s', v_table, v_column, v_default);
    end if;
    execute format('alter table public.%I alter column %I set not null', v_table, v_column);
  end loop;

  select count(*) - v_before into v_before from private.migration_rejects;
  if v_before > 0 then
    raise warning '% rows of older queue tables couldn''t stay as they were; they are in private.migration_rejects',
      v_before;
  end if;
end $$;

do $$
declare
  v_rule record;
begin
  -- Keys before the references to them.
  for v_rule in
    select rule.table_name, rule.constraint_name, rule.definition
    from private.queue_rules() with ordinality as rule (table_name, constraint_name, definition, place)
    union all
    select reference.table_name, reference.constraint_name, format('foreign key (%s) references %s (%s) on delete %s',
      array_to_string(reference.columns, ', '), reference.target, array_to_string(reference.target_columns, ', '),
      reference.on_delete)
    from private.queue_references() as reference
  loop
    if not exists (
      select from pg_constraint
      where conrelid = format('public.%I', v_rule.table_name)::regclass and conname = v_rule.constraint_name
    ) then
      execute format('alter table public.%I add constraint %I %s', v_rule.table_name, v_rule.constraint_name,
        v_rule.definition);
    end if;
  end loop;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
create index if not exists projects_workspace_id_client_id_idx on public.projects (workspace_id, client_id);
create index if not exists leads_workspace_id_contact_id_idx on public.leads (workspace_id, contact_id);
create index if not exists leads_workspace_id_client_id_idx
  on public.leads (workspace_id, client_id) where client_id is not null;
create index if not exists leads_workspace_id_project_id_idx
  on public.leads (workspace_id, project_id) where project_id is not null;
create index if not exists leads_user_id_idx on public.leads (user_id) where user_id is not null;
create index if not exists leads_taken_by_idx on public.leads (taken_by) where taken_by is not null;
-- What may be prepared, the best first, of one user or of nobody yet. That somebody is missing gives an index no order,
-- so those have one of their own.
create index if not exists leads_eligible_workspace_id_user_id_score_idx
  on public.leads (workspace_id, user_id, score desc, created_at, id)
  where control = 'automation' and status in ('new', 'pending') and user_id is not null;
create index if not exists leads_free_workspace_id_score_idx
  on public.leads (workspace_id, score desc, created_at, id)
  where control = 'automation' and status in ('new', 'pending') and user_id is null;
create index if not exists user_queue_settings_workspace_id_connection_id_idx
  on public.user_queue_settings (workspace_id, connection_id) where connection_id is not null;
create unique index if not exists whatsapp_message_queue_outbox_id_workspace_id_idx
  on public.whatsapp_message_queue (outbox_id, workspace_id) where outbox_id is not null;
-- Asked of everybody who writes: is automation writing to them?
create index if not exists leads_automated_contact_id_idx
  on public.leads (contact_id) where control = 'automation' and contact_id is not null;
create index if not exists user_queue_settings_user_id_idx on public.user_queue_settings (user_id);
-- A lead is queued once.
create unique index if not exists whatsapp_message_queue_open_lead_id_idx
  on public.whatsapp_message_queue (lead_id) where status in ('queued', 'sending');
create index if not exists whatsapp_message_queue_workspace_id_lead_id_idx
  on public.whatsapp_message_queue (workspace_id, lead_id);
create index if not exists whatsapp_message_queue_workspace_id_client_id_idx
  on public.whatsapp_message_queue (workspace_id, client_id) where client_id is not null;
create index if not exists whatsapp_message_queue_user_id_idx
  on public.whatsapp_message_queue (user_id) where user_id is not null;
create index if not exists whatsapp_message_queue_workspace_id_queue_day_idx
  on public.whatsapp_message_queue (workspace_id, queue_day, id);
create index if not exists whatsapp_message_queue_queued_user_id_queue_day_idx
  on public.whatsapp_message_queue (workspace_id, user_id, queue_day) where status = 'queued';
create unique index if not exists lead_processing_queue_open_lead_id_idx
  on public.lead_processing_queue (lead_id) where status in ('queued', 'waiting');
create index if not exists lead_processing_queue_workspace_id_lead_id_idx
  on public.lead_processing_queue (workspace_id, lead_id);
create index if not exists lead_processing_queue_workspace_id_client_id_idx
  on public.lead_processing_queue (workspace_id, client_id) where client_id is not null;
create index if not exists lead_processing_queue_workspace_id_project_id_idx
  on public.lead_processing_queue (workspace_id, project_id) where project_id is not null;
create index if not exists lead_processing_queue_user_id_idx
  on public.lead_processing_queue (user_id) where user_id is not null;
create index if not exists lead_processing_queue_waiting_workspace_id_user_id_next_on_idx
  on public.lead_processing_queue (workspace_id, user_id, next_on) where status = 'waiting';
create index if not exists queue_performance_metrics_user_id_idx on public.queue_performance_metrics (user_id);
create index if not exists queue_ledger_workspace_id_lead_id_idx on public.queue_ledger (workspace_id, lead_id, id);

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.clients enable row level security;
alter table public.projects enable row level security;
alter table public.leads enable row level security;
alter table public.user_queue_settings enable row level security;
alter table public.whatsapp_message_queue enable row level security;
alter table public.lead_processing_queue enable row level security;
alter table public.queue_performance_metrics enable row level security;
alter table public.queue_ledger enable row level security;

drop policy if exists clients_select_member on public.clients;
create policy clients_select_member on public.clients for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists clients_insert_member on public.clients;
create policy clients_insert_member on public.clients for insert to authenticated
  with check (workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member'))));
drop policy if exists projects_insert_member on public.projects;
create policy projects_insert_member on public.projects for insert to authenticated
  with check (workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member'))));
drop policy if exists projects_select_member on public.projects;
create policy projects_select_member on public.projects for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists leads_select_member on public.leads;
create policy leads_select_member on public.leads for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists user_queue_settings_select_self on public.user_queue_settings;
create policy user_queue_settings_select_self on public.user_queue_settings for select to authenticated
  using (user_id = (select auth.uid()) and workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists whatsapp_message_queue_select_member on public.whatsapp_message_queue;
create policy whatsapp_message_queue_select_member on public.whatsapp_message_queue for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists lead_processing_queue_select_member on public.lead_processing_queue;
create policy lead_processing_queue_select_member on public.lead_processing_queue for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists queue_performance_metrics_select_member on public.queue_performance_metrics;
create policy queue_performance_metrics_select_member on public.queue_performance_metrics for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));
drop policy if exists queue_ledger_select_member on public.queue_ledger;
create policy queue_ledger_select_member on public.queue_ledger for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.clients, public.projects, public.leads, public.user_queue_settings,
  public.whatsapp_message_queue, public.lead_processing_queue, public.queue_performance_metrics, public.queue_ledger
  from public, anon, authenticated, service_role;
grant select on table public.clients, public.projects, public.leads, public.user_queue_settings,
  public.whatsapp_message_queue, public.lead_processing_queue, public.queue_performance_metrics, public.queue_ledger
  to authenticated;
grant insert (workspace_id, name) on table public.clients to authenticated;
grant insert (workspace_id, client_id, name) on table public.projects to authenticated;
grant select, insert, update, delete on table public.clients, public.projects, public.leads,
  public.user_queue_settings, public.whatsapp_message_queue, public.lead_processing_queue
  to service_role;
-- Written by triggers only.
grant select on table public.queue_performance_metrics, public.queue_ledger to service_role;
revoke all on sequence public.queue_ledger_id_seq from public, anon, authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- The ledger
------------------------------------------------------------------------------------------------------------------------
create or replace function private.queue_timezone(p_workspace_id uuid, p_user_id uuid) returns text
language sql stable security invoker set search_path = '' as $$
  select coalesce(
    (select settings.timezone from public.user_queue_settings as settings
     where settings.workspace_id = p_workspace_id and settings.user_id = p_user_id),
    (select profile.timezone from public.profiles as profile where profile.id = p_user_id),
    'UTC')
$$;

-- However a status changes, and set by set. Definer, all of these: nobody writes the ledger or the metrics. Without nested
-- loops, because a plan that was made for one changed row serves ten thousand badly.
create or replace function private.record_message_transitions() returns trigger
language plpgsql security definer set search_path = ''
set enable_nestloop = off set enable_hashjoin = on set plan_cache_mode = force_generic_plan as $$
begin
  if tg_op = 'INSERT' then
    insert into public.queue_ledger (workspace_id, lead_id, queue, queue_id, user_id, day, to_status, action, actor_id,
      reason)
    select new_row.workspace_id, new_row.lead_id, 'whatsapp_message_queue', new_row.id, new_row.user_id,
      new_row.queue_day, new_row.status, 'prepared', (select auth.uid()), new_row.reason
    from new_rows as new_row;
  else
    insert into public.queue_ledger (workspace_id, lead_id, queue, queue_id, user_id, day, from_status, to_status,
      action, actor_id, reason)
    select new_row.workspace_id, new_row.lead_id, 'whatsapp_message_queue', new_row.id, new_row.user_id,
      new_row.queue_day, old_row.status, new_row.status,
      case new_row.status when 'sending' then case old_row.status when 'queued' then 'started' else 'retried' end
        when 'queued' then 'put_back' else new_row.status end,
      (select auth.uid()), coalesce(new_row.last_error, new_row.reason)
    from new_rows as new_row join old_rows as old_row on old_row.id = new_row.id
    where new_row.status <> old_row.status;
  end if;
  return null;
end $$;

create or replace function private.record_run_transitions() returns trigger
language plpgsql security definer set search_path = ''
set enable_nestloop = off set enable_hashjoin = on set plan_cache_mode = force_generic_plan as $$
begin
  insert into public.queue_ledger (workspace_id, lead_id, queue, queue_id, user_id, from_status, to_status, action,
    actor_id, reason)
  select new_row.workspace_id, new_row.lead_id, 'lead_processing_queue', new_row.id, new_row.user_id, old_row.status,
    new_row.status, case new_row.status when 'queued' then 'prepared' else new_row.status end, (select auth.uid()),
    new_row.reason
  from new_rows as new_row join old_rows as old_row on old_row.id = new_row.id
  where new_row.status <> old_row.status;
  return null;
end $$;

-- A takeover counts for whoever took the lead, a reply for whose queue the lead is in, on their present day.
create or replace function private.record_lead_transitions() returns trigger
language plpgsql security definer set search_path = ''
set enable_nestloop = off set enable_hashjoin = on set plan_cache_mode = force_generic_plan as $$
begin
  with entry as materialized (
    select new_row.*, old_row.status as from_status,
      case
        when new_row.taken_by <> coalesce(old_row.taken_by, '00000000-0000-0000-0000-000000000000') then 'taken'
        when new_row.control = 'automation' and old_row.control = 'human' then 'released'
        when new_row.control = 'human' and old_row.control = 'automation' then
          case when new_row.replied_at is distinct from old_row.replied_at then 'replied' else 'left_to_people' end
        when new_row.status = old_row.status then 'assigned'
        when new_row.status = 'queued' then 'prepared'
        when new_row.status = 'contacted' then 'contacted'
        when old_row.status = 'queued' and new_row.status = 'pending' then 'put_back'
        else 'status_changed'
      end as action
    from new_rows as new_row join old_rows as old_row on old_row.id = new_row.id
    where (new_row.status, new_row.control, new_row.taken_by, new_row.user_id)
      is distinct from (old_row.status, old_row.control, old_row.taken_by, old_row.user_id)
  ), shown as (
    insert into public.contact_events (workspace_id, contact_id, kind, actor_id, detail)
    select entry.workspace_id, entry.contact_id, 'lead_' || entry.action,
      (select profile.id from public.profiles as profile where profile.id = (select auth.uid())),
      jsonb_strip_nulls(jsonb_build_object('lead_id', entry.id, 'taken_by', entry.taken_by, 'reason', entry.reason))
    from entry where entry.action in ('taken', 'released') and entry.contact_id is not null
  )
  insert into public.queue_ledger (workspace_id, lead_id, queue, queue_id, user_id, day, from_status, to_status, action,
    actor_id, reason)
  select entry.workspace_id, entry.id, 'leads', entry.id, counted.user_id,
    case when entry.action in ('taken', 'replied')
      then private.local_day(private.queue_timezone(entry.workspace_id, counted.user_id)) end,
    entry.from_status, entry.status, entry.action, (select auth.uid()), entry.reason
  from entry
  cross join lateral (
    select case entry.action when 'taken' then entry.taken_by else entry.user_id end as user_id) as counted;
  return null;
end $$;

-- The row of a user's day is the last thing that a transaction locks, several of them in one order. What changes nothing
-- there locks nothing.
create or replace function private.count_queue_transitions() returns trigger
language plpgsql security definer set search_path = ''
set plan_cache_mode = force_generic_plan as $$
begin
  insert into public.queue_performance_metrics as metrics
    (workspace_id, user_id, day, prepared, sent, failed, cancelled, taken, replied, first_sent_at, last_sent_at)
  select counted.workspace_id, counted.user_id, counted.day, counted.prepared, counted.sent, counted.failed,
    counted.cancelled, counted.taken, counted.replied, counted.sent_at, counted.sent_at
  from (
    select entry.workspace_id, entry.user_id, entry.day,
      count(*) filter (where entry.is_message and entry.from_status is null) as prepared,
      count(*) filter (where entry.is_message and entry.to_status = 'sent')
        - count(*) filter (where entry.is_message and entry.from_status = 'sent') as sent,
      count(*) filter (where entry.is_message and entry.to_status = 'failed')
        - count(*) filter (where entry.is_message and entry.from_status = 'failed') as failed,
      count(*) filter (where entry.is_message and entry.to_status = 'cancelled')
        - count(*) filter (where entry.is_message and entry.from_status = 'cancelled') as cancelled,
      count(*) filter (where entry.action = 'taken') as taken,
      count(*) filter (where entry.action = 'replied') as replied,
      max(entry.created_at) filter (where entry.is_message and entry.to_status = 'sent') as sent_at
    from (
      select ledger.*, ledger.queue = 'whatsapp_message_queue' as is_message from new_rows as ledger
      where ledger.user_id is not null and ledger.day is not null
    ) as entry
    group by entry.workspace_id, entry.user_id, entry.day
    order by entry.workspace_id, entry.user_id, entry.day
  ) as counted
  where (counted.prepared, counted.sent, counted.failed, counted.cancelled, counted.taken, counted.replied)
    <> (0, 0, 0, 0, 0, 0)
    -- Counted for people who are still there.
    and exists (select from auth.users as account where account.id = counted.user_id)
  on conflict on constraint queue_performance_metrics_pkey do update
    set prepared = metrics.prepared + excluded.prepared, sent = metrics.sent + excluded.sent,
      failed = metrics.failed + excluded.failed, cancelled = metrics.cancelled + excluded.cancelled,
      taken = metrics.taken + excluded.taken, replied = metrics.replied + excluded.replied,
      first_sent_at = least(metrics.first_sent_at, excluded.first_sent_at),
      last_sent_at = greatest(metrics.last_sent_at, excluded.last_sent_at), updated_at = now();
  return null;
end $$;

-- A lead's ledger goes with the lead, and nothing else removes a row of it.
create or replace function private.refuse_ledger_removal() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if exists (select from public.leads as lead where lead.id = old.lead_id) then
    perform private.raise_error(409, 'append_only', jsonb_build_object('table', tg_table_name),
      'Rows of this table are never changed or removed; add a correcting row instead.');
  end if;
  return old;
end $$;

revoke all on function
  private.local_day(text, timestamptz), private.local_moment(text, date, time), private.queue_references(),
  private.queue_rules(), private.queue_timezone(uuid, uuid), private.record_message_transitions(),
  private.record_run_transitions(), private.record_lead_transitions(), private.count_queue_transitions(),
  private.refuse_ledger_removal()
  from public, anon, authenticated, service_role;
grant execute on function
  private.local_day(text, timestamptz), private.local_moment(text, date, time), private.queue_timezone(uuid, uuid)
  to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger clients_set_updated_at before update on public.clients
  for each row execute function private.set_updated_at();
create or replace trigger projects_set_updated_at before update on public.projects
  for each row execute function private.set_updated_at();
create or replace trigger user_queue_settings_set_updated_at before update on public.user_queue_settings
  for each row execute function private.set_updated_at();
-- Where a statement sets the column itself, the trigger costs nothing.
create or replace trigger leads_set_updated_at before update on public.leads
  for each row when (new.updated_at = old.updated_at) execute function private.set_updated_at();
create or replace trigger whatsapp_message_queue_set_updated_at before update on public.whatsapp_message_queue
  for each row when (new.updated_at = old.updated_at) execute function private.set_updated_at();
create or replace trigger lead_processing_queue_set_updated_at before update on public.lead_processing_queue
  for each row when (new.updated_at = old.updated_at) execute function private.set_updated_at();
create or replace trigger queue_performance_metrics_set_updated_at before update on public.queue_performance_metrics
  for each row when (new.updated_at = old.updated_at) execute function private.set_updated_at();

create or replace trigger whatsapp_message_queue_record_inserted after insert on public.whatsapp_message_queue
  referencing new table as new_rows for each statement execute function private.record_message_transitions();
create or replace trigger whatsapp_message_queue_record_updated after update on public.whatsapp_message_queue
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.record_message_transitions();
create or replace trigger lead_processing_queue_record_updated after update on public.lead_processing_queue
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.record_run_transitions();
create or replace trigger leads_record_updated after update on public.leads
  referencing old table as old_rows new table as new_rows
  for each statement execute function private.record_lead_transitions();
create or replace trigger queue_ledger_count_inserted after insert on public.queue_ledger
  referencing new table as new_rows for each statement execute function private.count_queue_transitions();
create or replace trigger queue_ledger_refuse_change before update or truncate on public.queue_ledger
  for each statement execute function private.refuse_change();
create or replace trigger queue_ledger_refuse_removal before delete on public.queue_ledger
  for each row execute function private.refuse_ledger_removal();
alter table public.queue_ledger enable always trigger queue_ledger_refuse_change;
alter table public.queue_ledger enable always trigger queue_ledger_refuse_removal;

notify pgrst, 'reload schema';
