-- Purpose:   contacts, the identities by which WhatsApp knows them, pairs that turned out to be one person, what the team
--            notes about them, calls, and TMA candidates.
-- Needs:     001_core_identity; the extensions pg_trgm and btree_gin, which every Supabase project offers.
-- Used by:   wa_core and everything that shows a person; qero.services.contacts, notes, call_logs, candidates.
-- Raises:    PT404 contact_not_found, candidate_not_found, note_not_found · PT403 role_required · PT409 contact_exists,
--            candidate_exists · PT400 lead_status_invalid, field_unknown, invalid_value, too_many_ids.
-- Roll back: drop table contact_events, contact_call_logs, contact_notes, tma_candidates, contact_duplicates,
--            contact_identities, contacts cascade. Loses every contact: back up first.

set lock_timeout = '5s';
set statement_timeout = '10min';

------------------------------------------------------------------------------------------------------------------------
-- Extensions
------------------------------------------------------------------------------------------------------------------------
-- For the one index that finds contacts of one workspace by any part of name, e-mail or phone, and by tag.
create extension if not exists pg_trgm with schema extensions;
create extension if not exists btree_gin with schema extensions;

------------------------------------------------------------------------------------------------------------------------
-- Forms of what people type
------------------------------------------------------------------------------------------------------------------------
-- A phone number without what people write between the digits. What makes it E.164 is checked by the tables.
create or replace function private.normal_phone(p_phone text) returns text
language sql immutable parallel safe set search_path = '' as $$
  select nullif(regexp_replace(regexp_replace(p_phone, '[[:space:]().\-/]', '', 'g'), '^00', '+'), '')
$$;

create or replace function private.normal_email(p_email text) returns text
language sql immutable parallel safe set search_path = '' as $$
  select nullif(lower(btrim(p_email)), '')
$$;

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
-- Column by column, because tables of an older shape may stand there already: what they lack is added.
create table if not exists public.contacts (id uuid primary key default gen_random_uuid());
alter table public.contacts
  add column if not exists workspace_id uuid,
  add column if not exists name text,
  add column if not exists email text,
  add column if not exists phone text,
  add column if not exists lead_status text default 'new',
  add column if not exists status_tags text[] default '{}',
  add column if not exists tags text[] default '{}',
  add column if not exists source text default 'manual',
  add column if not exists marketing_opted_out boolean not null default false,
  add column if not exists marketing_preference_at timestamptz,
  add column if not exists assigned_to uuid,
  add column if not exists created_by uuid,
  add column if not exists merged_into uuid,
  add column if not exists deleted_at timestamptz,
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now();

create table if not exists public.tma_candidates (id uuid primary key default gen_random_uuid());
alter table public.tma_candidates
  add column if not exists workspace_id uuid,
  add column if not exists name text,
  add column if not exists email text,
  add column if not exists phone text,
  add column if not exists status_tags text[] default '{}',
  add column if not exists tags text[] default '{}',
  add column if not exists source text default 'manual',
  add column if not exists created_by uuid,
  add column if not exists created_at timestamptz default now(),
  add column if not exists updated_at timestamptz default now();

-- Brings rows of an older table to what the constraints below ask. What can't stay where it was is kept in
-- migration_rejects. A new table has none.
do $$
declare
  v_table text;
  v_key text;
  v_name text;
  v_ours constant text[] := array['id', 'workspace_id', 'name', 'email', 'phone', 'lead_status', 'status_tags', 'tags',
    'source', 'marketing_opted_out', 'marketing_preference_at', 'assigned_to', 'created_by', 'merged_into', 'deleted_at',
    'created_at', 'updated_at', 'search_text'];
begin
  foreach v_table in array array['contacts', 'tma_candidates'] loop
    continue when exists (
      select from pg_attribute
      where attrelid = format('public.%I', v_table)::regclass and attname = 'search_text' and not attisdropped);

    -- Its rules about our columns give way to ours.
    for v_name in
      select older.conname from pg_constraint as older
      where older.conrelid = format('public.%I', v_table)::regclass and older.contype in ('c', 'f')
        and v_ours @> array(
          select attribute.attname::text from pg_attribute as attribute
          where attribute.attrelid = older.conrelid and attribute.attnum = any (older.conkey))
    loop
      execute format('alter table public.%I drop constraint %I', v_table, v_name);
    end loop;
    -- Nobody fills columns that only the older table has.
    for v_name in
      select attribute.attname from pg_attribute as attribute
      where attribute.attrelid = format('public.%I', v_table)::regclass and attribute.attnum > 0 and attribute.attnotnull
        and not attribute.attisdropped and not attribute.atthasdef and attribute.attname <> all (v_ours)
    loop
      execute format('alter table public.%I alter column %I drop not null', v_table, v_name);
    end loop;

    execute format($sql$
      with lost as (
        delete from public.%1$I as older
        where not exists (select from public.workspaces as workspace where workspace.id = older.workspace_id)
        returning older.*
      )
      insert into private.migration_rejects (source, reason, contents)
      select 'public.%1$s', 'no workspace', to_jsonb(lost) from lost
    $sql$, v_table);
    foreach v_key in array array['email', 'phone'] loop
      execute format($sql$
        with misfit as (
          select other.id, other.contents,
            case when other.normal ~ %3$L then %2$L || ' taken' else %2$L || ' malformed' end as reason
          from (
            select older.id, older.normal, to_jsonb(older) - 'normal' as contents,
              row_number() over (partition by older.workspace_id, older.normal order by older.created_at, older.id) as place
            from (
              select contact.*, private.normal_%2$s(contact.%2$I) as normal from public.%1$I as contact
            ) as older
            where older.normal is not null
          ) as other
          where other.normal !~ %3$L or length(other.normal) > 320 or other.place > 1
        ), emptied as (
          update public.%1$I as older set %2$I = null from misfit where older.id = misfit.id
        )
        insert into private.migration_rejects (source, reason, contents)
        select 'public.%1$s', misfit.reason, misfit.contents from misfit
      $sql$, v_table, v_key,
        case v_key when 'email' then '^[^@[:space:]]+@[^@[:space:]]+$' else '^\+[1-9][0-9]{6,14}$' end);
    end loop;
    execute format($sql$
      update public.%1$I as older
      set name = nullif(left(btrim(older.name), 300), ''), email = private.normal_email(older.email),
        phone = private.normal_phone(older.phone), status_tags = coalesce(older.status_tags, '{}'),
        tags = array_remove(coalesce(older.tags, '{}'), null), source = coalesce(older.source, 'manual'),
        created_by = (select profile.id from public.profiles as profile where profile.id = older.created_by),
        created_at = coalesce(older.created_at, now()), updated_at = coalesce(older.updated_at, now())
    $sql$, v_table);
    if v_table = 'contacts' then
      with misfit as (
        select older.id, to_jsonb(older) as contents from public.contacts as older
        where older.lead_status not in ('new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost')
      ), emptied as (
        update public.contacts as older set lead_status = null from misfit where older.id = misfit.id
      )
      insert into private.migration_rejects (source, reason, contents)
      select 'public.contacts', 'lead_status unknown', misfit.contents from misfit;
      update public.contacts as older set lead_status = 'new' where older.lead_status is null;
      update public.contacts as older set assigned_to = null
      where older.assigned_to is not null and not exists (
        select from public.workspace_memberships as membership
        where (membership.workspace_id, membership.user_id) = (older.workspace_id, older.assigned_to));
    else
      with misfit as (
        select older.id, to_jsonb(older) as contents from public.tma_candidates as older
        where not older.status_tags <@ array['A', 'B', 'C']
      ), emptied as (
        update public.tma_candidates as older
        set status_tags = array(select tag from unnest(older.status_tags) as tag where tag in ('A', 'B', 'C'))
        from misfit where older.id = misfit.id
      )
      insert into private.migration_rejects (source, reason, contents)
      select 'public.tma_candidates', 'status_tags unknown', misfit.contents from misfit;
    end if;
  end loop;

  for v_table, v_name, v_key in values
    ('contacts', 'workspace_id', null), ('contacts', 'lead_status', '''new'''), ('contacts', 'status_tags', '''{}'''),
    ('contacts', 'tags', '''{}'''), ('contacts', 'source', '''manual'''), ('contacts', 'created_at', 'now()'),
    ('contacts', 'updated_at', 'now()'), ('tma_candidates', 'workspace_id', null),
    ('tma_candidates', 'status_tags', '''{}'''), ('tma_candidates', 'tags', '''{}'''),
    ('tma_candidates', 'source', '''manual'''), ('tma_candidates', 'created_at', 'now()'),
    ('tma_candidates', 'updated_at', 'now()')
  loop
    execute format('alter table public.%I alter column %I set not null', v_table, v_name);
    if v_key is not null then
      execute format('alter table public.%I alter column %I set default %s', v_table, v_name, v_key);
    end if;
  end loop;
  foreach v_table in array array['contacts', 'tma_candidates'] loop
    execute format($sql$
      alter table public.%I add column if not exists search_text text generated always as (
        lower(coalesce(name, '') || ' ' || coalesce(email, '') || ' ' || coalesce(phone, ''))) stored
    $sql$, v_table);
  end loop;
end $$;
comment on column public.contacts.marketing_opted_out is
  'Whether the person has told Meta that they want no marketing messages from this business.';
comment on column public.contacts.status_tags is
  'Shared ratings of the lead''s quality. Nothing personal, and nothing about follow-ups, ever touches them.';
comment on column public.contacts.merged_into is
  'The contact that this one turned out to be. It stays, deleted, so that its e-mail still leads to the person.';
comment on column public.contacts.search_text is 'Name, e-mail and phone in lower case: what a search looks through.';
comment on table public.tma_candidates is 'Candidates of a workspace, with the ratings the team shares.';

create table if not exists public.contact_identities (id uuid primary key default gen_random_uuid());
alter table public.contact_identities
  add column if not exists workspace_id uuid,
  add column if not exists contact_id uuid,
  add column if not exists kind text,
  add column if not exists scope text not null default '',
  add column if not exists value text,
  add column if not exists created_at timestamptz not null default now();
comment on column public.contact_identities.scope is
  'Empty for wa_id; for a business-scoped user id the WhatsApp business account it belongs to.';

create table if not exists public.contact_duplicates (
  workspace_id uuid not null,
  contact_id uuid not null,
  duplicate_id uuid not null,
  constraint contact_duplicates_pkey primary key (workspace_id, contact_id, duplicate_id)
);
alter table public.contact_duplicates
  add column if not exists reason text,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists dismissed_at timestamptz;
comment on table public.contact_duplicates is
  'Contacts that turned out to be one person. They are reported, never merged by themselves.';
comment on column public.contact_duplicates.dismissed_at is
  'When somebody said that they are two people; the pair isn''t listed after that, whatever speaks for it.';

create table if not exists public.contact_notes (id uuid primary key default gen_random_uuid());
alter table public.contact_notes
  add column if not exists workspace_id uuid,
  add column if not exists contact_id uuid,
  add column if not exists author_id uuid,
  add column if not exists body text,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();

create table if not exists public.contact_call_logs (id uuid primary key default gen_random_uuid());
alter table public.contact_call_logs
  add column if not exists workspace_id uuid,
  add column if not exists contact_id uuid,
  add column if not exists user_id uuid,
  add column if not exists outcome text,
  add column if not exists duration_seconds integer not null default 0,
  add column if not exists note text,
  add column if not exists called_at timestamptz not null default now(),
  add column if not exists created_at timestamptz not null default now();

create table if not exists public.contact_events (id uuid primary key default gen_random_uuid());
alter table public.contact_events
  add column if not exists workspace_id uuid,
  add column if not exists contact_id uuid,
  add column if not exists kind text,
  add column if not exists actor_id uuid,
  add column if not exists detail jsonb not null default '{}'::jsonb,
  add column if not exists occurred_at timestamptz not null default now();
comment on table public.contact_events is
  'What was done to a contact, for its timeline: changes of lead status, merges, and takeovers. Nothing personal.';

do $$
declare
  v_table text;
  v_name text;
  v_definition text;
begin
  for v_table, v_name, v_definition in values
    ('contacts', 'contacts_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('contacts', 'contacts_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    -- Only a member can be in charge, and whoever leaves the workspace no longer is.
    ('contacts', 'contacts_workspace_id_assigned_to_fkey', 'foreign key (workspace_id, assigned_to)
      references public.workspace_memberships (workspace_id, user_id) on delete set null (assigned_to)'),
    ('contacts', 'contacts_created_by_fkey',
      'foreign key (created_by) references public.profiles (id) on delete set null'),
    ('contacts', 'contacts_workspace_id_merged_into_fkey', 'foreign key (workspace_id, merged_into)
      references public.contacts (workspace_id, id) on delete cascade'),
    ('contacts', 'contacts_name_check', 'check (length(name) between 1 and 300)'),
    ('contacts', 'contacts_email_check',
      $check$check (length(email) <= 320 and email ~ '^[^@[:space:]]+@[^@[:space:]]+$')$check$),
    ('contacts', 'contacts_phone_check', $check$check (phone ~ '^\+[1-9][0-9]{6,14}$')$check$),
    ('contacts', 'contacts_lead_status_check', $check$check (
      lead_status in ('new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost'))$check$),
    ('contacts', 'contacts_merged_into_check',
      'check (merged_into is null or (merged_into <> id and deleted_at is not null))'),
    ('contact_identities', 'contact_identities_workspace_id_contact_id_fkey',
      'foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade'),
    ('contact_identities', 'contact_identities_value_key', 'unique (workspace_id, kind, scope, value)'),
    ('contact_identities', 'contact_identities_kind_check', $check$check (kind in ('wa_id', 'bsuid'))$check$),
    ('contact_identities', 'contact_identities_value_check', 'check (length(value) between 1 and 256)'),
    ('contact_duplicates', 'contact_duplicates_pkey', 'primary key (workspace_id, contact_id, duplicate_id)'),
    ('contact_duplicates', 'contact_duplicates_workspace_id_contact_id_fkey',
      'foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade'),
    ('contact_duplicates', 'contact_duplicates_workspace_id_duplicate_id_fkey',
      'foreign key (workspace_id, duplicate_id) references public.contacts (workspace_id, id) on delete cascade'),
    -- One row a pair.
    ('contact_duplicates', 'contact_duplicates_order_check', 'check (contact_id < duplicate_id)'),
    ('contact_duplicates', 'contact_duplicates_reason_check', 'check (length(reason) between 1 and 300)'),
    ('contact_notes', 'contact_notes_workspace_id_contact_id_fkey',
      'foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade'),
    ('contact_notes', 'contact_notes_author_id_fkey',
      'foreign key (author_id) references public.profiles (id) on delete set null'),
    ('contact_notes', 'contact_notes_body_check', 'check (length(body) between 1 and 10000)'),
    ('contact_call_logs', 'contact_call_logs_workspace_id_contact_id_fkey',
      'foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade'),
    ('contact_call_logs', 'contact_call_logs_user_id_fkey',
      'foreign key (user_id) references public.profiles (id) on delete set null'),
    ('contact_call_logs', 'contact_call_logs_outcome_check', $check$check (
      outcome in ('answered', 'no_answer', 'busy', 'voicemail', 'callback_requested', 'wrong_number', 'failed'))$check$),
    ('contact_call_logs', 'contact_call_logs_duration_seconds_check', 'check (duration_seconds between 0 and 86400)'),
    ('contact_call_logs', 'contact_call_logs_note_check', 'check (length(note) between 1 and 10000)'),
    ('contact_events', 'contact_events_workspace_id_contact_id_fkey',
      'foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade'),
    ('contact_events', 'contact_events_actor_id_fkey',
      'foreign key (actor_id) references public.profiles (id) on delete set null'),
    ('contact_events', 'contact_events_kind_check', $check$check (
      kind in ('lead_status_changed', 'merged', 'lead_taken', 'lead_released'))$check$),
    ('tma_candidates', 'tma_candidates_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('tma_candidates', 'tma_candidates_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('tma_candidates', 'tma_candidates_created_by_fkey',
      'foreign key (created_by) references public.profiles (id) on delete set null'),
    ('tma_candidates', 'tma_candidates_name_check', 'check (length(name) between 1 and 300)'),
    ('tma_candidates', 'tma_candidates_email_check',
      $check$check (length(email) <= 320 and email ~ '^[^@[:space:]]+@[^@[:space:]]+$')$check$),
    ('tma_candidates', 'tma_candidates_phone_check', $check$check (phone ~ '^\+[1-9][0-9]{6,14}$')$check$),
    ('tma_candidates', 'tma_candidates_status_tags_check', $check$check (status_tags <@ array['A', 'B', 'C'])$check$)
  loop
    perform private.ensure_constraint(format('public.%I', v_table)::regclass, v_name, v_definition);
  end loop;
  perform private.ensure_not_null('public.contact_identities', 'workspace_id', 'contact_id', 'kind', 'value');
  perform private.ensure_not_null('public.contact_duplicates', 'reason');
  perform private.ensure_not_null('public.contact_notes', 'workspace_id', 'contact_id', 'body');
  perform private.ensure_not_null('public.contact_call_logs', 'workspace_id', 'contact_id', 'outcome');
  perform private.ensure_not_null('public.contact_events', 'workspace_id', 'contact_id', 'kind');
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
-- What is looked for first, so that a query can ask for an index of these and no other: while a new table has no
-- statistics, the planner takes any index that begins with the workspace for as good.
create unique index if not exists contacts_email_workspace_id_idx
  on public.contacts (lower(email), workspace_id) where deleted_at is null and email is not null;
create unique index if not exists contacts_phone_workspace_id_idx
  on public.contacts (phone, workspace_id) where deleted_at is null and phone is not null;
create index if not exists contacts_merged_email_workspace_id_idx
  on public.contacts (lower(email), workspace_id) where merged_into is not null and email is not null;
create index if not exists contacts_workspace_id_merged_into_idx
  on public.contacts (workspace_id, merged_into) where merged_into is not null;
create index if not exists contacts_workspace_id_created_at_idx
  on public.contacts (workspace_id, created_at desc, id desc) where deleted_at is null;
create index if not exists contacts_workspace_id_name_idx
  on public.contacts (workspace_id, lower(coalesce(name, '')), id) where deleted_at is null;
create index if not exists contacts_workspace_id_assigned_to_idx
  on public.contacts (workspace_id, assigned_to) where assigned_to is not null;
create index if not exists contacts_created_by_idx on public.contacts (created_by) where created_by is not null;
create index if not exists contact_duplicates_workspace_id_duplicate_id_idx
  on public.contact_duplicates (workspace_id, duplicate_id);
create index if not exists contact_identities_workspace_id_contact_id_idx
  on public.contact_identities (workspace_id, contact_id);
create index if not exists contact_notes_workspace_id_contact_id_idx
  on public.contact_notes (workspace_id, contact_id, created_at desc, id desc);
create index if not exists contact_notes_author_id_idx on public.contact_notes (author_id) where author_id is not null;
create index if not exists contact_call_logs_workspace_id_contact_id_idx
  on public.contact_call_logs (workspace_id, contact_id, called_at desc, id desc);
create index if not exists contact_call_logs_user_id_idx
  on public.contact_call_logs (user_id) where user_id is not null;
create index if not exists contact_events_workspace_id_contact_id_idx
  on public.contact_events (workspace_id, contact_id, occurred_at desc, id desc);
create index if not exists contact_events_actor_id_idx on public.contact_events (actor_id) where actor_id is not null;
create unique index if not exists tma_candidates_email_workspace_id_idx
  on public.tma_candidates (lower(email), workspace_id) where email is not null;
create unique index if not exists tma_candidates_phone_workspace_id_idx
  on public.tma_candidates (phone, workspace_id) where phone is not null;
create index if not exists tma_candidates_workspace_id_created_at_idx
  on public.tma_candidates (workspace_id, created_at desc, id desc);
create index if not exists tma_candidates_workspace_id_name_idx
  on public.tma_candidates (workspace_id, lower(coalesce(name, '')), id);
create index if not exists tma_candidates_created_by_idx
  on public.tma_candidates (created_by) where created_by is not null;
-- The extensions are wherever the project has put them.
do $$
declare
  v_trigrams text := (
    select class.opcnamespace::regnamespace || '.gin_trgm_ops' from pg_opclass as class
    join pg_extension as extension on extension.extname = 'pg_trgm' and extension.extnamespace = class.opcnamespace
    where class.opcname = 'gin_trgm_ops');
begin
  execute format('create index if not exists contacts_search_idx on public.contacts
    using gin (workspace_id, search_text %s, tags) where deleted_at is null', v_trigrams);
  execute format('create index if not exists tma_candidates_workspace_id_search_text_idx on public.tma_candidates
    using gin (workspace_id, search_text %s)', v_trigrams);
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.contacts enable row level security;
alter table public.contact_identities enable row level security;
alter table public.contact_duplicates enable row level security;
alter table public.contact_notes enable row level security;
alter table public.contact_call_logs enable row level security;
alter table public.contact_events enable row level security;
alter table public.tma_candidates enable row level security;

drop policy if exists contacts_select_member on public.contacts;
create policy contacts_select_member on public.contacts for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())) and deleted_at is null);

drop policy if exists contacts_insert_member on public.contacts;
create policy contacts_insert_member on public.contacts for insert to authenticated
  with check (
    workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin', 'member')))
    and created_by = (select auth.uid())
  );

drop policy if exists contact_identities_select_member on public.contact_identities;
create policy contact_identities_select_member on public.contact_identities for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

drop policy if exists contact_duplicates_select_member on public.contact_duplicates;
create policy contact_duplicates_select_member on public.contact_duplicates for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

drop policy if exists contact_notes_select_member on public.contact_notes;
create policy contact_notes_select_member on public.contact_notes for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

drop policy if exists contact_call_logs_select_member on public.contact_call_logs;
create policy contact_call_logs_select_member on public.contact_call_logs for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

drop policy if exists contact_events_select_member on public.contact_events;
create policy contact_events_select_member on public.contact_events for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

drop policy if exists tma_candidates_select_member on public.tma_candidates;
create policy tma_candidates_select_member on public.tma_candidates for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.contacts, public.contact_identities, public.contact_duplicates, public.contact_notes,
  public.contact_call_logs, public.contact_events, public.tma_candidates
  from public, anon, authenticated, service_role;
grant select on table public.contacts, public.contact_identities, public.contact_duplicates, public.contact_notes,
  public.contact_call_logs, public.contact_events, public.tma_candidates
  to authenticated;
grant insert (workspace_id, name, email, phone, lead_status, tags, source, assigned_to, created_by)
  on table public.contacts to authenticated;
grant select, insert, update, delete
  on table public.contacts, public.contact_identities, public.contact_duplicates, public.contact_notes,
  public.contact_call_logs, public.contact_events, public.tma_candidates
  to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions: contacts. Definer, because members write no contacts but through them: each names one.
------------------------------------------------------------------------------------------------------------------------
-- The named fields in their normal form. A key that isn't allowed is refused, so that a mistyped one changes nothing.
create or replace function private.checked_fields(p_fields jsonb, p_allowed text[]) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_lead_statuses constant text[] := array['new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost'];
  v_field text;
  v_value jsonb;
  v_text text;
  v_checked jsonb := '{}';
begin
  if jsonb_typeof(p_fields) is distinct from 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "fields"}', 'Send an object of fields by name.');
  end if;
  for v_field, v_value in select * from jsonb_each(p_fields) loop
    if not v_field = any (p_allowed) then
      perform private.raise_error(400, 'field_unknown',
        jsonb_build_object('field', left(v_field, 100), 'allowed', p_allowed), 'Use the fields that are allowed.');
    end if;
    v_text := p_fields ->> v_field;
    if v_field in ('tags', 'status_tags') then
      if jsonb_typeof(v_value) is distinct from 'array' or jsonb_array_length(v_value) > 50 or exists (
        select from jsonb_array_elements(v_value) as tag
        where jsonb_typeof(tag.value) <> 'string' or length(tag.value #>> '{}') not between 1 and 100)
      then
        perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', v_field),
          'Send at most 50 tags, each a text of 1 to 100 characters.');
      end if;
    elsif v_field = 'lead_status' then
      if not coalesce(v_text = any (v_lead_statuses), false) then
        perform private.raise_error(400, 'lead_status_invalid',
          jsonb_build_object('field', 'lead_status', 'value', left(v_text, 50), 'allowed', v_lead_statuses),
          'Use one of the allowed lead statuses.');
      end if;
    elsif v_value <> 'null'::jsonb then
      v_text := case v_field when 'email' then private.normal_email(v_text) when 'phone' then private.normal_phone(v_text)
        else btrim(v_text) end;
      if jsonb_typeof(v_value) <> 'string'
        or (v_field = 'name' and length(v_text) not between 1 and 300)
        or (v_field = 'email' and not coalesce(
          length(v_text) <= 320 and v_text ~ '^[^@[:space:]]+@[^@[:space:]]+$', false))
        or (v_field = 'phone' and not coalesce(v_text ~ '^\+[1-9][0-9]{6,14}$', false))
        or (v_field = 'source' and length(v_text) not between 1 and 100)
        or (v_field = 'assigned_to' and not private.is_valid(v_text, 'uuid'))
      then
        perform private.raise_error(400, 'invalid_value',
          jsonb_build_object('field', v_field, 'value', left(v_text, 100)),
          case v_field
            when 'name' then 'Give a name of 1 to 300 characters.'
            when 'email' then 'Give an e-mail address.'
            when 'phone' then 'Give the phone number with its country, as +491701234567.'
            when 'assigned_to' then 'Give the id of a member.'
            else 'Give a text of 1 to 100 characters.' end);
      end if;
      v_value := to_jsonb(v_text);
    elsif v_field = 'source' then
      perform private.raise_error(400, 'invalid_value', '{"field": "source"}', 'Give a text of 1 to 100 characters.');
    end if;
    v_checked := v_checked || jsonb_build_object(v_field, v_value);
  end loop;
  return v_checked;
end $$;

-- What a contact or candidate is made from. A person without any of these couldn't be told from another.
create or replace function private.checked_person(p_fields jsonb, p_allowed text[]) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_fields constant jsonb := private.checked_fields(p_fields, p_allowed);
begin
  if num_nonnulls(v_fields ->> 'name', v_fields ->> 'email', v_fields ->> 'phone') = 0 then
    perform private.raise_error(400, 'invalid_value', '{"field": "name"}', 'Give a name, an e-mail or a phone number.');
  end if;
  return v_fields;
end $$;

create or replace function private.refuse_contact(p_constraint text, p_workspace_id uuid, p_fields jsonb) returns void
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_field constant text := case p_constraint when 'contacts_email_workspace_id_idx' then 'email' else 'phone' end;
begin
  if p_constraint = 'contacts_workspace_id_assigned_to_fkey' then
    perform private.raise_error(400, 'invalid_value', '{"field": "assigned_to"}', 'Only a member can be in charge.');
  end if;
  perform private.raise_error(409, 'contact_exists',
    jsonb_build_object('field', v_field, 'contact_id', (
      select contact.id from public.contacts as contact
      where contact.workspace_id = p_workspace_id and contact.deleted_at is null
        and ((v_field = 'email' and lower(contact.email) = p_fields ->> 'email')
          or (v_field = 'phone' and contact.phone = p_fields ->> 'phone')))),
    'Use the contact that the detail names, or merge the two.');
end $$;

create or replace function public.create_contact(p_workspace_id uuid, p_fields jsonb) returns public.contacts
language plpgsql security definer set search_path = '' as $$
declare
  v_fields jsonb;
  v_contact public.contacts;
  v_constraint text;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  v_fields := private.checked_person(p_fields,
    array['name', 'email', 'phone', 'lead_status', 'tags', 'status_tags', 'source', 'assigned_to']);
  v_contact := jsonb_populate_record(null::public.contacts, v_fields);
  insert into public.contacts (workspace_id, name, email, phone, lead_status, tags, status_tags, source, assigned_to,
    created_by)
  values (p_workspace_id, v_contact.name, v_contact.email, v_contact.phone, coalesce(v_contact.lead_status, 'new'),
    coalesce(v_contact.tags, '{}'), coalesce(v_contact.status_tags, '{}'), coalesce(v_contact.source, 'manual'),
    v_contact.assigned_to, (select auth.uid()))
  returning * into v_contact;
  return v_contact;
exception when unique_violation or foreign_key_violation then
  get stacked diagnostics v_constraint = constraint_name;
  perform private.refuse_contact(v_constraint, p_workspace_id, v_fields);
end $$;
comment on function public.create_contact(uuid, jsonb) is
  'Creates a contact from the named fields; e-mail or phone of another live contact is refused with its id.';

create or replace function public.update_contact(p_contact_id uuid, p_patch jsonb) returns public.contacts
language plpgsql security definer set search_path = '' as $$
declare
  v_fields jsonb;
  v_contact public.contacts;
  v_constraint text;
begin
  perform private.require_role(
    (select contact.workspace_id from public.contacts as contact
     where contact.id = p_contact_id and contact.deleted_at is null),
    array['owner', 'admin', 'member'], 'contact_not_found', jsonb_build_object('contact_id', p_contact_id));
  v_fields := private.checked_fields(p_patch,
    array['name', 'email', 'phone', 'lead_status', 'tags', 'status_tags', 'source', 'assigned_to']);
  select contact.* into v_contact from public.contacts as contact
  where contact.id = p_contact_id and contact.deleted_at is null
  for no key update;
  v_contact := jsonb_populate_record(v_contact, v_fields);
  update public.contacts as contact
  set name = v_contact.name, email = v_contact.email, phone = v_contact.phone, lead_status = v_contact.lead_status,
    tags = v_contact.tags, status_tags = v_contact.status_tags, source = v_contact.source,
    assigned_to = v_contact.assigned_to
  where contact.id = p_contact_id and contact.deleted_at is null
  returning * into v_contact;
  if not found then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', p_contact_id),
      'The contact was deleted meanwhile.');
  end if;
  return v_contact;
exception when unique_violation or foreign_key_violation then
  get stacked diagnostics v_constraint = constraint_name;
  perform private.refuse_contact(v_constraint, v_contact.workspace_id, v_fields);
end $$;
comment on function public.update_contact(uuid, jsonb) is
  'Changes the named fields of exactly one contact and returns it; an unknown field is refused, null empties one.';

create or replace function public.update_contact_status(p_contact_id uuid, p_lead_status text)
returns public.contacts
language plpgsql security definer set search_path = '' as $$
declare
  v_contact public.contacts;
begin
  perform private.require_role(
    (select contact.workspace_id from public.contacts as contact
     where contact.id = p_contact_id and contact.deleted_at is null),
    array['owner', 'admin', 'member'], 'contact_not_found', jsonb_build_object('contact_id', p_contact_id));
  perform private.checked_fields(jsonb_build_object('lead_status', p_lead_status), array['lead_status']);
  update public.contacts as contact set lead_status = p_lead_status
  where contact.id = p_contact_id and contact.deleted_at is null
  returning * into v_contact;
  if not found then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', p_contact_id),
      'The contact was deleted meanwhile.');
  end if;
  return v_contact;
end $$;
comment on function public.update_contact_status(uuid, text) is
  'Sets the lead status of exactly one contact and returns it; no other column or row changes.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: candidates
------------------------------------------------------------------------------------------------------------------------
create or replace function private.refuse_candidate(p_constraint text, p_workspace_id uuid, p_fields jsonb) returns void
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_field constant text := case p_constraint when 'tma_candidates_email_workspace_id_idx' then 'email' else 'phone' end;
begin
  if p_constraint = 'tma_candidates_status_tags_check' then
    perform private.raise_error(400, 'invalid_value', '{"field": "status_tags", "allowed": ["A", "B", "C"]}',
      'Rate with A, B or C.');
  end if;
  perform private.raise_error(409, 'candidate_exists',
    jsonb_build_object('field', v_field, 'candidate_id', (
      select candidate.id from public.tma_candidates as candidate
      where candidate.workspace_id = p_workspace_id
        and ((v_field = 'email' and lower(candidate.email) = p_fields ->> 'email')
          or (v_field = 'phone' and candidate.phone = p_fields ->> 'phone')))),
    'Use the candidate that the detail names.');
end $$;

create or replace function public.create_candidate(p_workspace_id uuid, p_fields jsonb) returns public.tma_candidates
language plpgsql security definer set search_path = '' as $$
declare
  v_fields jsonb;
  v_candidate public.tma_candidates;
  v_constraint text;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  v_fields := private.checked_person(p_fields, array['name', 'email', 'phone', 'tags', 'status_tags', 'source']);
  v_candidate := jsonb_populate_record(null::public.tma_candidates, v_fields);
  insert into public.tma_candidates (workspace_id, name, email, phone, tags, status_tags, source, created_by)
  values (p_workspace_id, v_candidate.name, v_candidate.email, v_candidate.phone, coalesce(v_candidate.tags, '{}'),
    coalesce(v_candidate.status_tags, '{}'), coalesce(v_candidate.source, 'manual'), (select auth.uid()))
  returning * into v_candidate;
  return v_candidate;
exception when unique_violation or check_violation then
  get stacked diagnostics v_constraint = constraint_name;
  perform private.refuse_candidate(v_constraint, p_workspace_id, v_fields);
end $$;
comment on function public.create_candidate(uuid, jsonb) is
  'Creates a candidate from the named fields; e-mail or phone of another one is refused with its id.';

create or replace function public.update_candidate(p_candidate_id uuid, p_patch jsonb) returns public.tma_candidates
language plpgsql security definer set search_path = '' as $$
declare
  v_fields jsonb;
  v_candidate public.tma_candidates;
  v_constraint text;
begin
  perform private.require_role(
    (select candidate.workspace_id from public.tma_candidates as candidate where candidate.id = p_candidate_id),
    array['owner', 'admin', 'member'], 'candidate_not_found', jsonb_build_object('candidate_id', p_candidate_id));
  v_fields := private.checked_fields(p_patch, array['name', 'email', 'phone', 'tags', 'status_tags', 'source']);
  select candidate.* into v_candidate from public.tma_candidates as candidate where candidate.id = p_candidate_id
  for no key update;
  v_candidate := jsonb_populate_record(v_candidate, v_fields);
  update public.tma_candidates as candidate
  set name = v_candidate.name, email = v_candidate.email, phone = v_candidate.phone, tags = v_candidate.tags,
    status_tags = v_candidate.status_tags, source = v_candidate.source
  where candidate.id = p_candidate_id
  returning * into v_candidate;
  if not found then
    perform private.raise_error(404, 'candidate_not_found', jsonb_build_object('candidate_id', p_candidate_id),
      'The candidate was deleted meanwhile.');
  end if;
  return v_candidate;
exception when unique_violation or check_violation then
  get stacked diagnostics v_constraint = constraint_name;
  perform private.refuse_candidate(v_constraint, v_candidate.workspace_id, v_fields);
end $$;
comment on function public.update_candidate(uuid, jsonb) is
  'Changes the named fields of exactly one candidate and returns it; an unknown field is refused, null empties one.';

create or replace function public.delete_candidate(p_candidate_id uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
begin
  perform private.require_role(
    (select candidate.workspace_id from public.tma_candidates as candidate where candidate.id = p_candidate_id),
    array['owner', 'admin', 'member'], 'candidate_not_found', jsonb_build_object('candidate_id', p_candidate_id));
  delete from public.tma_candidates as candidate where candidate.id = p_candidate_id;
  return p_candidate_id;
end $$;
comment on function public.delete_candidate(uuid) is 'Deletes exactly one candidate, with everybody''s settings for them.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: notes
------------------------------------------------------------------------------------------------------------------------
create or replace function public.add_contact_note(p_contact_id uuid, p_body text) returns public.contact_notes
language plpgsql security definer set search_path = '' as $$
declare
  v_workspace_id constant uuid := (
    select contact.workspace_id from public.contacts as contact
    where contact.id = p_contact_id and contact.deleted_at is null);
  v_note public.contact_notes;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  if not coalesce(length(btrim(p_body)) between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "body"}', 'Write 1 to 10,000 characters.');
  end if;
  insert into public.contact_notes (workspace_id, contact_id, author_id, body)
  values (v_workspace_id, p_contact_id, (select auth.uid()), btrim(p_body))
  returning * into v_note;
  return v_note;
end $$;
comment on function public.add_contact_note(uuid, text) is 'Adds a note that the team sees to a contact.';

create or replace function public.update_contact_note(p_note_id uuid, p_body text) returns public.contact_notes
language plpgsql security definer set search_path = '' as $$
declare
  v_note public.contact_notes;
begin
  perform private.require_role(
    -- Somebody else's note is edited by nobody.
    (select note.workspace_id from public.contact_notes as note
     where note.id = p_note_id and (note.author_id = (select auth.uid()) or private.is_service())),
    array['owner', 'admin', 'member'], 'note_not_found', jsonb_build_object('note_id', p_note_id));
  if not coalesce(length(btrim(p_body)) between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "body"}', 'Write 1 to 10,000 characters.');
  end if;
  update public.contact_notes as note set body = btrim(p_body) where note.id = p_note_id returning * into v_note;
  return v_note;
end $$;
comment on function public.update_contact_note(uuid, text) is 'Changes the caller''s own note.';

create or replace function public.delete_contact_note(p_note_id uuid) returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  v_note public.contact_notes;
begin
  select note.* into v_note from public.contact_notes as note where note.id = p_note_id;
  perform private.require_role(v_note.workspace_id,
    case when v_note.author_id = (select auth.uid()) then array['owner', 'admin', 'member']
      else array['owner', 'admin'] end,
    'note_not_found', jsonb_build_object('note_id', p_note_id));
  delete from public.contact_notes as note where note.id = p_note_id;
  return p_note_id;
end $$;
comment on function public.delete_contact_note(uuid) is 'Deletes a note: its author may, and owners and admins.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: calls
------------------------------------------------------------------------------------------------------------------------
create or replace function public.log_call(
  p_contact_id uuid, p_outcome text, p_duration_seconds integer default 0, p_note text default null,
  p_called_at timestamptz default null
) returns public.contact_call_logs
language plpgsql security definer set search_path = '' as $$
declare
  v_workspace_id constant uuid := (
    select contact.workspace_id from public.contacts as contact
    where contact.id = p_contact_id and contact.deleted_at is null);
  v_outcomes constant text[] :=
    array['answered', 'no_answer', 'busy', 'voicemail', 'callback_requested', 'wrong_number', 'failed'];
  v_log public.contact_call_logs;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  if not coalesce(p_outcome = any (v_outcomes), false) then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'outcome', 'value', left(p_outcome, 50), 'allowed', v_outcomes),
      'Use one of the allowed outcomes.');
  elsif not coalesce(p_duration_seconds between 0 and 86400, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "duration_seconds", "allowed": "0 to 86400"}',
      'Give the duration in seconds, at most a day.');
  elsif length(p_note) > 10000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "note"}', 'Write at most 10,000 characters.');
  elsif p_called_at not between now() - interval '100 years' and now() + interval '1 day' then
    perform private.raise_error(400, 'invalid_value', '{"field": "called_at"}',
      'Give the moment of the call, in the last 100 years.');
  end if;
  insert into public.contact_call_logs (workspace_id, contact_id, user_id, outcome, duration_seconds, note, called_at)
  values (v_workspace_id, p_contact_id, (select auth.uid()), p_outcome, p_duration_seconds, nullif(btrim(p_note), ''),
    coalesce(p_called_at, now()))
  returning * into v_log;
  return v_log;
end $$;
comment on function public.log_call(uuid, text, integer, text, timestamptz) is 'Logs one call with a contact.';

-- One value, not rows: the API cuts rows off at its maximum. What isn't there and what isn't yours have no calls.
create or replace function public.get_call_logs(p_contact_ids uuid[], p_limit integer default 20) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
begin
  if not private.is_service() then
    perform private.require_user();
  end if;
  if cardinality(p_contact_ids) > 500 then
    perform private.raise_error(400, 'too_many_ids',
      jsonb_build_object('field', 'contact_ids', 'count', cardinality(p_contact_ids), 'limit', 500),
      'Ask for at most 500 contacts at once.');
  elsif not coalesce(p_limit between 1 and 200, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 200"}',
      'Ask for 1 to 200 calls of each contact.');
  end if;
  return (
    select coalesce(jsonb_agg(jsonb_build_object('contact_id', asked.contact_id, 'calls', asked.calls)
      order by asked.place), '[]'::jsonb)
    from (
      select input.contact_id, input.place, (
        select coalesce(jsonb_agg(to_jsonb(latest) order by latest.called_at desc, latest.id desc), '[]'::jsonb)
        from (
          select log.* from public.contact_call_logs as log
          join public.contacts as contact on contact.id = input.contact_id and contact.workspace_id = log.workspace_id
          where log.contact_id = input.contact_id
          order by log.called_at desc, log.id desc
          limit p_limit
        ) as latest) as calls
      from (
        select given.contact_id, min(given.place) as place
        from unnest(p_contact_ids) with ordinality as given (contact_id, place)
        where given.contact_id is not null
        group by given.contact_id
      ) as input
    ) as asked);
end $$;
comment on function public.get_call_logs(uuid[], integer) is
  'The latest calls of at most 500 contacts, one entry for each id in the order given, repeated ids once.';

revoke all on function
  private.normal_phone(text), private.normal_email(text), private.checked_fields(jsonb, text[]),
  private.checked_person(jsonb, text[]), private.refuse_contact(text, uuid, jsonb),
  private.refuse_candidate(text, uuid, jsonb),
  public.create_contact(uuid, jsonb), public.update_contact(uuid, jsonb), public.update_contact_status(uuid, text),
  public.create_candidate(uuid, jsonb), public.update_candidate(uuid, jsonb), public.delete_candidate(uuid),
  public.add_contact_note(uuid, text), public.update_contact_note(uuid, text), public.delete_contact_note(uuid),
  public.log_call(uuid, text, integer, text, timestamptz), public.get_call_logs(uuid[], integer)
  from public, anon, authenticated, service_role;
grant execute on function
  public.create_contact(uuid, jsonb), public.update_contact(uuid, jsonb), public.update_contact_status(uuid, text),
  public.create_candidate(uuid, jsonb), public.update_candidate(uuid, jsonb), public.delete_candidate(uuid),
  public.add_contact_note(uuid, text), public.update_contact_note(uuid, text), public.delete_contact_note(uuid),
  public.log_call(uuid, text, integer, text, timestamptz), public.get_call_logs(uuid[], integer)
  to authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger contacts_set_updated_at before update on public.contacts
  for each row execute function private.set_updated_at();

-- What a member inserts by table is held to what create_contact asks; functions have checked what they write. Definer,
-- because nobody calls what checks the fields.
create or replace function private.check_new_contact() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  return jsonb_populate_record(new, private.checked_person(
    jsonb_strip_nulls(jsonb_build_object('name', new.name, 'email', new.email, 'phone', new.phone,
      'lead_status', new.lead_status, 'tags', new.tags, 'source', new.source)),
    array['name', 'email', 'phone', 'lead_status', 'tags', 'source']));
end $$;
revoke all on function private.check_new_contact() from public, anon, authenticated, service_role;
create or replace trigger contacts_check_new_contact before insert on public.contacts
  for each row when (current_user = 'authenticated') execute function private.check_new_contact();

create or replace trigger contact_notes_set_updated_at before update on public.contact_notes
  for each row execute function private.set_updated_at();
create or replace trigger tma_candidates_set_updated_at before update on public.tma_candidates
  for each row execute function private.set_updated_at();

-- However the status changes. Definer: nobody writes events. Webhooks never set this column, so it costs them nothing.
create or replace function private.record_lead_status() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into public.contact_events (workspace_id, contact_id, kind, actor_id, detail)
  values (new.workspace_id, new.id, 'lead_status_changed',
    (select profile.id from public.profiles as profile where profile.id = (select auth.uid())),
    jsonb_build_object('from', old.lead_status, 'to', new.lead_status));
  return null;
end $$;
revoke all on function private.record_lead_status() from public, anon, authenticated, service_role;
create or replace trigger contacts_record_lead_status after update of lead_status on public.contacts
  for each row when (old.lead_status is distinct from new.lead_status) execute function private.record_lead_status();

------------------------------------------------------------------------------------------------------------------------
-- Realtime
------------------------------------------------------------------------------------------------------------------------
do $$
begin
  if not exists (
    select 1 from pg_publication_tables
    where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = 'contacts'
  ) then
    alter publication supabase_realtime add table public.contacts;
  end if;
end $$;

notify pgrst, 'reload schema';
