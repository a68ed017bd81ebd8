-- Purpose:   invitations to a workspace, by e-mail and with a role, and the list of its members.
-- Needs:     001_core_identity.
-- Used by:   qero.services.invitations, workspaces.
-- Raises:    PT404 workspace_not_found, invitation_not_found · PT403 role_required, email_not_verified,
--            invitation_for_another · PT400 invalid_value · PT409 invitation_open, already_member, invitation_expired,
--            invitation_revoked, invitation_used, workspace_suspended.
-- Roll back: drop the functions below and public.workspace_invitations. Loses open invitations.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.workspace_invitations (id uuid primary key default gen_random_uuid());
alter table public.workspace_invitations
  add column if not exists workspace_id uuid,
  add column if not exists email text,
  add column if not exists role text,
  add column if not exists token_hash text,
  add column if not exists invited_by uuid,
  add column if not exists accepted_by uuid,
  add column if not exists expires_at timestamptz,
  add column if not exists accepted_at timestamptz,
  add column if not exists revoked_at timestamptz,
  add column if not exists created_at timestamptz not null default now();
do $$
begin
  perform private.ensure_constraint('public.workspace_invitations', rule.name, rule.definition) from (values
    ('workspace_invitations_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('workspace_invitations_invited_by_fkey',
      'foreign key (invited_by) references public.profiles (id) on delete set null'),
    ('workspace_invitations_accepted_by_fkey',
      'foreign key (accepted_by) references public.profiles (id) on delete set null'),
    ('workspace_invitations_token_hash_key', 'unique (token_hash)'),
    ('workspace_invitations_email_check', $check$check (email = lower(btrim(email)) and email like '_%@_%')$check$),
    ('workspace_invitations_role_check', $check$check (role in ('owner', 'admin', 'member', 'viewer'))$check$)
  ) as rule (name, definition);
  perform private.ensure_not_null('public.workspace_invitations', 'workspace_id', 'email', 'role', 'token_hash',
    'expires_at');
end $$;
comment on column public.workspace_invitations.token_hash is
  'The token itself is shown once, to whoever invites, and kept nowhere.';

-- One open invitation for each address.
create unique index if not exists workspace_invitations_open_workspace_id_email_idx
  on public.workspace_invitations (workspace_id, email) where accepted_at is null and revoked_at is null;
create index if not exists workspace_invitations_workspace_id_created_at_idx
  on public.workspace_invitations (workspace_id, created_at desc);
create index if not exists workspace_invitations_invited_by_idx
  on public.workspace_invitations (invited_by) where invited_by is not null;
create index if not exists workspace_invitations_accepted_by_idx
  on public.workspace_invitations (accepted_by) where accepted_by is not null;

alter table public.workspace_invitations enable row level security;
drop policy if exists workspace_invitations_select_admin on public.workspace_invitations;
create policy workspace_invitations_select_admin on public.workspace_invitations for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids_as('owner', 'admin'))));

revoke all on table public.workspace_invitations from public, anon, authenticated, service_role;
-- Everything but the hash.
grant select (id, workspace_id, email, role, invited_by, accepted_by, expires_at, accepted_at, revoked_at, created_at)
  on table public.workspace_invitations to authenticated;
grant select, insert, update, delete on table public.workspace_invitations to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions
------------------------------------------------------------------------------------------------------------------------
-- Definer, all of these: nobody writes invitations or memberships directly.
create or replace function public.invite_member(
  p_workspace_id uuid, p_email text, p_role text default 'member', p_expires_in_seconds integer default 604800
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_email constant text := lower(btrim(p_email));
  v_token constant text := replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '');
  v_invitation public.workspace_invitations;
begin
  -- Only owners make owners.
  perform private.require_role(p_workspace_id,
    case p_role when 'owner' then array['owner'] else array['owner', 'admin'] end, 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if not coalesce(v_email ~ '^[^@[:space:]]+@[^@[:space:]]+$' and length(v_email) <= 320, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "email"}', 'Give one e-mail address.');
  elsif p_role is null or p_role not in ('owner', 'admin', 'member', 'viewer') then
    perform private.raise_error(400, 'invalid_value',
      '{"field": "role", "allowed": ["owner", "admin", "member", "viewer"]}', 'Choose one of the allowed roles.');
  elsif not coalesce(p_expires_in_seconds between 60 and 2592000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "expires_in_seconds", "allowed": "60 to 2592000"}',
      'Let it be good for a minute to thirty days.');
  end if;
  if exists (
    select from public.workspace_memberships as member
    join auth.users as account on account.id = member.user_id
    where member.workspace_id = p_workspace_id and lower(account.email) = v_email)
  then
    perform private.raise_error(409, 'already_member', jsonb_build_object('email', v_email),
      'Change their role instead.');
  end if;
  -- One that has run out makes room.
  update public.workspace_invitations as invitation set revoked_at = now()
  where invitation.workspace_id = p_workspace_id and invitation.email = v_email and invitation.accepted_at is null
    and invitation.revoked_at is null and invitation.expires_at <= now();
  insert into public.workspace_invitations (workspace_id, email, role, token_hash, invited_by, expires_at)
  values (p_workspace_id, v_email, p_role, private.token_hash(v_token), (select auth.uid()),
    now() + make_interval(secs => p_expires_in_seconds))
  returning * into v_invitation;
  return to_jsonb(v_invitation) - 'token_hash' || jsonb_build_object('token', v_token);
exception when unique_violation then
  perform private.raise_error(409, 'invitation_open', jsonb_build_object('email', v_email),
    'Revoke the open invitation first; its token can''t be shown again.');
end $$;
comment on function public.invite_member(uuid, text, text, integer) is
  'Invites an address to a workspace; the answer holds the token that accepts it, which is shown only here.';

create or replace function public.revoke_invitation(p_invitation_id uuid) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_invitation public.workspace_invitations;
begin
  select invitation.* into v_invitation from public.workspace_invitations as invitation
  where invitation.id = p_invitation_id for no key update;
  perform private.require_role(v_invitation.workspace_id, array['owner', 'admin'], 'invitation_not_found',
    jsonb_build_object('invitation_id', p_invitation_id));
  if v_invitation.accepted_at is not null then
    perform private.raise_error(409, 'invitation_used', jsonb_build_object('invitation_id', p_invitation_id),
      'It was accepted; remove the member instead.');
  end if;
  update public.workspace_invitations as invitation set revoked_at = coalesce(invitation.revoked_at, now())
  where invitation.id = p_invitation_id
  returning * into v_invitation;
  return to_jsonb(v_invitation) - 'token_hash';
end $$;
comment on function public.revoke_invitation(uuid) is
  'Takes an invitation back: its token accepts nothing any more. Doing it again changes nothing.';

create or replace function public.accept_invitation(p_token text) returns public.workspace_memberships
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
  v_email text;
  v_is_verified boolean;
  v_invitation public.workspace_invitations;
  v_member public.workspace_memberships;
begin
  -- Of two requests with one token the second waits here, and finds it used.
  select invitation.* into v_invitation from public.workspace_invitations as invitation
  where invitation.token_hash = private.token_hash(p_token) for no key update;
  if not found then
    perform private.raise_error(404, 'invitation_not_found', '{"field": "token"}',
      'Check the link, or ask for another invitation.');
  end if;
  select lower(account.email), account.email_confirmed_at is not null into v_email, v_is_verified
  from auth.users as account where account.id = v_user_id;
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = v_invitation.workspace_id and member.user_id = v_user_id;
  if v_email is distinct from v_invitation.email then
    perform private.raise_error(403, 'invitation_for_another', '{"field": "token"}',
      'Sign in with the address that was invited.');
  elsif not v_is_verified then
    perform private.raise_error(403, 'email_not_verified', '{"field": "email"}',
      'Confirm the address by the link that was sent to it, then accept again.');
  elsif v_invitation.accepted_at is not null then
    -- Whoever repeats the request that let them in gets its answer.
    if v_invitation.accepted_by = v_user_id and v_member.user_id is not null then
      return v_member;
    end if;
    perform private.raise_error(409, 'invitation_used', jsonb_build_object('invitation_id', v_invitation.id),
      'Ask for another invitation.');
  elsif v_invitation.revoked_at is not null then
    perform private.raise_error(409, 'invitation_revoked', jsonb_build_object('invitation_id', v_invitation.id),
      'Ask for another invitation.');
  elsif v_invitation.expires_at <= now() then
    perform private.raise_error(409, 'invitation_expired',
      jsonb_build_object('invitation_id', v_invitation.id, 'expired_at', v_invitation.expires_at),
      'Ask for another invitation.');
  elsif exists (
    select from public.workspaces as workspace
    where workspace.id = v_invitation.workspace_id and workspace.status = 'suspended')
  then
    perform private.raise_error(409, 'workspace_suspended',
      jsonb_build_object('workspace_id', v_invitation.workspace_id),
      'Ask the operators of the platform; until they activate it again, nobody joins.');
  end if;
  -- Whoever got in by another way meanwhile stays what they are.
  insert into public.workspace_memberships (workspace_id, user_id, role)
  values (v_invitation.workspace_id, v_user_id, v_invitation.role)
  on conflict on constraint workspace_memberships_pkey do nothing;
  update public.workspace_invitations as invitation set accepted_at = now(), accepted_by = v_user_id
  where invitation.id = v_invitation.id;
  select member.* into v_member from public.workspace_memberships as member
  where member.workspace_id = v_invitation.workspace_id and member.user_id = v_user_id;
  return v_member;
end $$;
comment on function public.accept_invitation(text) is
  'Makes the caller a member by the token of an invitation to their own, confirmed e-mail address; once.';

create or replace function public.list_members(p_workspace_id uuid)
returns table (user_id uuid, role text, email text, full_name text, created_at timestamptz)
language plpgsql stable security invoker set search_path = '' as $$
#variable_conflict use_column
begin
  if not private.is_service() then
    perform private.require_role(p_workspace_id, array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
      jsonb_build_object('workspace', p_workspace_id));
  end if;
  return query
  select member.user_id, member.role, profile.email, profile.full_name, member.created_at
  from public.workspace_memberships as member join public.profiles as profile on profile.id = member.user_id
  where member.workspace_id = p_workspace_id
  order by array_position(array['owner', 'admin', 'member', 'viewer'], member.role), lower(profile.email), member.user_id;
end $$;
comment on function public.list_members(uuid) is 'Who is in a workspace, as what: owners first.';

revoke all on function
  public.invite_member(uuid, text, text, integer), public.revoke_invitation(uuid),
  public.accept_invitation(text), public.list_members(uuid)
  from public, anon, authenticated, service_role;
grant execute on function
  public.invite_member(uuid, text, text, integer), public.revoke_invitation(uuid), public.list_members(uuid)
  to authenticated, service_role;
grant execute on function public.accept_invitation(text) to authenticated;

notify pgrst, 'reload schema';
