-- Purpose:   contacts, the identities by which WhatsApp knows them, and pairs that turned out to be one person.
-- Needs:     001_core_identity.
-- Used by:   wa_core and everything that shows a person; qero.services.contacts.
-- Raises:    PT404 contact_not_found · PT403 role_required · PT400 lead_status_invalid.
-- Roll back: drop table contact_identities, contacts cascade. Loses every contact: back up first.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.contacts (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null references public.workspaces (id) on delete cascade,
  name text,
  email text,
  phone text,
  lead_status text not null default 'new',
  status_tags text[] not null default '{}',
  tags text[] not null default '{}',
  source text not null default 'manual',
  marketing_opted_out boolean not null default false,
  marketing_preference_at timestamptz,
  assigned_to uuid,
  created_by uuid references public.profiles (id) on delete set null,
  deleted_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint contacts_workspace_id_id_key unique (workspace_id, id),
  -- Only a member can be in charge, and whoever leaves the workspace no longer is.
  constraint contacts_workspace_id_assigned_to_fkey foreign key (workspace_id, assigned_to)
    references public.workspace_memberships (workspace_id, user_id) on delete set null (assigned_to),
  constraint contacts_name_check check (length(name) between 1 and 300),
  constraint contacts_email_check check (length(email) <= 320 and email ~ '^[^@[:space:]]+@[^@[:space:]]+$'),
  constraint contacts_phone_check check (phone ~ '^\+[1-9][0-9]{6,14}$'),
  constraint contacts_lead_status_check check (
    lead_status in ('new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost')
  )
);

comment on column public.contacts.marketing_opted_out is
  'Whether the person has told Meta that they want no marketing messages from this business.';

create table if not exists public.contact_identities (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null,
  contact_id uuid not null,
  kind text not null,
  scope text not null default '',
  value text not null,
  created_at timestamptz not null default now(),
  constraint contact_identities_workspace_id_contact_id_fkey
    foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade,
  constraint contact_identities_value_key unique (workspace_id, kind, scope, value),
  constraint contact_identities_kind_check check (kind in ('wa_id', 'bsuid')),
  constraint contact_identities_value_check check (length(value) between 1 and 256)
);
comment on column public.contact_identities.scope is
  'Empty for wa_id; for a business-scoped user id the WhatsApp business account it belongs to.';

create table if not exists public.contact_duplicates (
  workspace_id uuid not null,
  contact_id uuid not null,
  duplicate_id uuid not null,
  reason text not null,
  created_at timestamptz not null default now(),
  constraint contact_duplicates_pkey primary key (workspace_id, contact_id, duplicate_id),
  constraint contact_duplicates_workspace_id_contact_id_fkey
    foreign key (workspace_id, contact_id) references public.contacts (workspace_id, id) on delete cascade,
  constraint contact_duplicates_workspace_id_duplicate_id_fkey
    foreign key (workspace_id, duplicate_id) references public.contacts (workspace_id, id) on delete cascade,
  -- One row a pair.
  constraint contact_duplicates_order_check check (contact_id < duplicate_id),
  constraint contact_duplicates_reason_check check (length(reason) between 1 and 300)
);
comment on table public.contact_duplicates is
  'Contacts that turned out to be one person. They are reported, never merged by themselves.';

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
create unique index if not exists contacts_workspace_id_email_idx
  on public.contacts (workspace_id, lower(email)) where deleted_at is null and email is not null;
create unique index if not exists contacts_workspace_id_phone_idx
  on public.contacts (workspace_id, phone) where deleted_at is null and phone is not null;
create index if not exists contacts_workspace_id_created_at_idx
  on public.contacts (workspace_id, created_at desc, id desc) where deleted_at is null;
create index if not exists contacts_workspace_id_assigned_to_idx
  on public.contacts (workspace_id, assigned_to) where assigned_to is not null;
create index if not exists contacts_created_by_idx on public.contacts (created_by) where created_by is not null;
create index if not exists contact_duplicates_workspace_id_duplicate_id_idx
  on public.contact_duplicates (workspace_id, duplicate_id);
create index if not exists contact_identities_workspace_id_contact_id_idx
  on public.contact_identities (workspace_id, contact_id);

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.contacts enable row level security;
alter table public.contact_identities enable row level security;
alter table public.contact_duplicates enable row level security;

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

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.contacts, public.contact_identities, public.contact_duplicates
  from public, anon, authenticated, service_role;
grant select on table public.contacts, public.contact_identities, public.contact_duplicates to authenticated;
grant insert (workspace_id, name, email, phone, lead_status, tags, source, assigned_to, created_by)
  on table public.contacts to authenticated;
grant select, insert, update, delete
  on table public.contacts, public.contact_identities, public.contact_duplicates to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions
------------------------------------------------------------------------------------------------------------------------
-- Definer: members have no update on contacts, so that a status can only ever change for one named contact.
create or replace function public.update_contact_status(p_contact_id uuid, p_lead_status text)
returns public.contacts
language plpgsql security definer set search_path = '' as $$
declare
  v_allowed constant text[] := array['new', 'pending', 'queued', 'contacted', 'engaged', 'qualified', 'lost'];
  v_contact public.contacts;
begin
  perform private.require_role(
    (select contact.workspace_id from public.contacts as contact
     where contact.id = p_contact_id and contact.deleted_at is null),
    array['owner', 'admin', 'member'], 'contact_not_found', jsonb_build_object('contact_id', p_contact_id));
  if p_lead_status is null or not p_lead_status = any (v_allowed) then
    perform private.raise_error(400, 'lead_status_invalid',
      jsonb_build_object('field', 'lead_status', 'value', left(p_lead_status, 50), 'allowed', v_allowed),
      'Use one of the allowed lead statuses.');
  end if;
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

revoke all on function public.update_contact_status(uuid, text) from public, anon, authenticated, service_role;
grant execute on function public.update_contact_status(uuid, text) to authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger contacts_set_updated_at before update on public.contacts
  for each row execute function private.set_updated_at();

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
