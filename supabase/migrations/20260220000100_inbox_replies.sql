-- Purpose:   replies other than text: media, reactions and read receipts; canned responses.
-- Needs:     20260128231758_m1_reliability, which queues them, and 20260131000000_wa_inbound, which shows reactions.
-- Used by:   qero.services.threads, canned_responses.
-- Raises:    PT404 thread_not_found, message_not_found, canned_response_not_found, workspace_not_found
--            · PT403 role_required · PT400 invalid_value, body_too_long · PT409 workspace_suspended, and what
--            private.queue_whatsapp raises.
-- Roll back: drop the functions below and public.canned_responses. Loses the canned responses.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
create table if not exists public.canned_responses (id uuid primary key default gen_random_uuid());
alter table public.canned_responses
  add column if not exists workspace_id uuid,
  add column if not exists shortcut text,
  add column if not exists body text,
  add column if not exists created_by uuid,
  add column if not exists created_at timestamptz not null default now(),
  add column if not exists updated_at timestamptz not null default now();
do $$
begin
  perform private.ensure_constraint('public.canned_responses', rule.name, rule.definition) from (values
    ('canned_responses_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('canned_responses_created_by_fkey', 'foreign key (created_by) references public.profiles (id) on delete set null'),
    ('canned_responses_workspace_id_shortcut_key', 'unique (workspace_id, shortcut)'),
    ('canned_responses_shortcut_check', $check$check (shortcut ~ '^[a-z0-9][a-z0-9_-]{0,49}$')$check$),
    ('canned_responses_body_check', 'check (length(btrim(body)) between 1 and 4096)')
  ) as rule (name, definition);
  perform private.ensure_not_null('public.canned_responses', 'workspace_id', 'shortcut', 'body');
end $$;
comment on table public.canned_responses is 'Answers that a team gives often, each called by its shortcut.';
comment on column public.canned_responses.body is
  'With {contact.name}, {contact.first_name}, {contact.email} and {contact.phone} where those are to stand.';

create index if not exists canned_responses_created_by_idx
  on public.canned_responses (created_by) where created_by is not null;

alter table public.canned_responses enable row level security;
drop policy if exists canned_responses_select_member on public.canned_responses;
create policy canned_responses_select_member on public.canned_responses for select to authenticated
  using (workspace_id = any (array(select private.my_workspace_ids())));

revoke all on table public.canned_responses from public, anon, authenticated, service_role;
grant select on table public.canned_responses to authenticated;
grant select, insert, update, delete on table public.canned_responses to service_role;

------------------------------------------------------------------------------------------------------------------------
-- Functions: replies
------------------------------------------------------------------------------------------------------------------------
-- Definer, all of these: members write neither messages nor the outbox directly.
create or replace function public.send_whatsapp_media(
  p_thread_id uuid, p_kind text, p_media jsonb, p_idempotency_key text
) returns public.wa_messages
language plpgsql security definer set search_path = '' as $$
declare
  v_workspace_id constant uuid := (select thread.workspace_id from public.wa_threads as thread where thread.id = p_thread_id);
  v_allowed constant text[] := array['id', 'link']
    || case when p_kind in ('image', 'video', 'document') then array['caption'] else '{}' end
    || case when p_kind = 'document' then array['filename'] else '{}' end;
  v_queued record;
  v_message public.wa_messages;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  if p_kind is null or p_kind not in ('image', 'video', 'audio', 'document', 'sticker') then
    perform private.raise_error(400, 'invalid_value',
      '{"field": "kind", "allowed": ["image", "video", "audio", "document", "sticker"]}', 'Use one that is allowed.');
  elsif jsonb_typeof(p_media) is distinct from 'object' or (p_media ? 'id') = (p_media ? 'link')
    or exists (
      select from jsonb_each(p_media) as given
      where not coalesce(given.key = any (v_allowed) and jsonb_typeof(given.value) = 'string'
        and length(given.value #>> '{}') between 1 and case given.key when 'link' then 2000 when 'caption' then 1024
          else 240 end
        and (given.key <> 'link' or given.value #>> '{}' ~ '^https?://[^[:space:]]+$'), false))
  then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'media', 'allowed', v_allowed),
      'Give either the id of an uploaded file or a link to one; a caption has at most 1024 characters.');
  end if;
  v_queued := private.queue_whatsapp(
    p_thread_id, jsonb_build_object('type', p_kind, p_kind, p_media), p_idempotency_key, true);
  if v_queued.is_new then
    return private.show_whatsapp_reply(v_queued.outbox, p_kind,
      coalesce(p_media ->> 'caption', p_media ->> 'filename'));
  end if;
  select message.* into v_message from public.wa_messages as message where message.outbox_id = (v_queued.outbox).id;
  return v_message;
end $$;
comment on function public.send_whatsapp_media(uuid, text, jsonb, text) is
  'Queues a picture, video, sound, file or sticker by the thread''s own number, within 24 hours of the customer''s last message.';

-- The message of a thread that a reply is about, as Meta knows it.
create or replace function private.whatsapp_target(p_message_id uuid) returns public.wa_messages
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_message public.wa_messages;
begin
  select message.* into v_message from public.wa_messages as message where message.id = p_message_id;
  perform private.require_role(v_message.workspace_id, array['owner', 'admin', 'member'], 'message_not_found',
    jsonb_build_object('message_id', p_message_id));
  if v_message.wa_message_id is null then
    perform private.raise_error(404, 'message_not_found', jsonb_build_object('message_id', p_message_id),
      'Name a message that has been received or sent; this one hasn''t left yet.');
  end if;
  return v_message;
end $$;

create or replace function public.react_to_whatsapp_message(p_message_id uuid, p_emoji text, p_idempotency_key text)
returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  v_target public.wa_messages := private.whatsapp_target(p_message_id);
  v_queued record;
begin
  if length(p_emoji) > 20 or p_emoji ~ '[[:alnum:][:space:]]{2}' then
    perform private.raise_error(400, 'invalid_value', '{"field": "emoji"}',
      'React with one emoji, or with none to take the reaction back.');
  end if;
  v_queued := private.queue_whatsapp(v_target.thread_id, jsonb_build_object('type', 'reaction', 'reaction',
    jsonb_build_object('message_id', v_target.wa_message_id, 'emoji', coalesce(p_emoji, ''))), p_idempotency_key, true);
  if v_queued.is_new then
    -- Shown at once. Meta's own id of it will be known to nobody.
    insert into public.wa_message_changes (connection_id, wa_message_id, kind, target_id, direction, actor, body,
      occurred_at)
    values (v_target.connection_id, 'outbox:' || (v_queued.outbox).id, 'reaction', v_target.wa_message_id, 'out',
      'business', nullif(p_emoji, ''), now());
    perform private.refresh_whatsapp_messages(array[p_message_id]);
  end if;
  return (v_queued.outbox).id;
end $$;
comment on function public.react_to_whatsapp_message(uuid, text, text) is
  'Queues a reaction to a message, or takes it back with an empty emoji; returns the id in the outbox.';

create or replace function public.send_whatsapp_read_receipt(p_message_id uuid, p_typing boolean default false)
returns uuid
language plpgsql security definer set search_path = '' as $$
declare
  v_target public.wa_messages := private.whatsapp_target(p_message_id);
begin
  if v_target.direction <> 'in' then
    perform private.raise_error(400, 'invalid_value', '{"field": "message_id"}', 'Name a message of the customer''s.');
  end if;
  -- The message itself is the key: telling it twice tells nothing new.
  return ((private.queue_whatsapp(v_target.thread_id,
    jsonb_build_object('status', 'read', 'message_id', v_target.wa_message_id)
      || case when p_typing then '{"typing_indicator": {"type": "text"}}'::jsonb else '{}' end,
    case when p_typing then 'typing:' else 'read:' end || p_message_id, true)).outbox).id;
end $$;
comment on function public.send_whatsapp_read_receipt(uuid, boolean) is
  'Queues that a customer''s message, and what came before it, has been read, or that somebody is answering; idempotent.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: canned responses
------------------------------------------------------------------------------------------------------------------------
create or replace function public.save_canned_response(p_workspace_id uuid, p_shortcut text, p_body text)
returns public.canned_responses
language plpgsql security definer set search_path = '' as $$
declare
  v_response public.canned_responses;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if p_shortcut is null or p_shortcut !~ '^[a-z0-9][a-z0-9_-]{0,49}$' then
    perform private.raise_error(400, 'invalid_value', '{"field": "shortcut"}',
      'Use 1 to 50 lower-case letters, digits, dashes and underscores.');
  elsif not coalesce(length(btrim(p_body)) between 1 and 4096, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "body"}', 'Write 1 to 4096 characters.');
  end if;
  insert into public.canned_responses as response (workspace_id, shortcut, body, created_by)
  values (p_workspace_id, p_shortcut, p_body, (select auth.uid()))
  on conflict on constraint canned_responses_workspace_id_shortcut_key do update set body = excluded.body
  returning * into v_response;
  return v_response;
end $$;
comment on function public.save_canned_response(uuid, text, text) is
  'Keeps an answer under a shortcut, in place of the one before.';

create or replace function public.delete_canned_response(p_response_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_workspace_id constant uuid := (
    select response.workspace_id from public.canned_responses as response where response.id = p_response_id);
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'canned_response_not_found',
    jsonb_build_object('response_id', p_response_id));
  delete from public.canned_responses as response where response.id = p_response_id;
end $$;
comment on function public.delete_canned_response(uuid) is 'Removes a canned response.';

-- What stands in braces, for one contact; null where the contact has nothing of the kind.
create or replace function private.filled_text(p_text text, p_contact public.contacts) returns text
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_value record;
begin
  for v_value in
    select * from (values
      ('{contact.name}', p_contact.name),
      ('{contact.first_name}', split_part(btrim(p_contact.name), ' ', 1)),
      ('{contact.email}', p_contact.email),
      ('{contact.phone}', p_contact.phone)
    ) as known (place, value)
    where strpos(p_text, known.place) > 0
  loop
    p_text := replace(p_text, v_value.place, nullif(v_value.value, ''));
  end loop;
  return p_text;
end $$;

create or replace function public.render_canned_response(p_thread_id uuid, p_shortcut text) returns text
language plpgsql stable security definer set search_path = '' as $$
declare
  v_thread public.wa_threads;
  v_contact public.contacts;
  v_body text;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_thread.workspace_id, array['owner', 'admin', 'member', 'viewer'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  select response.body into v_body from public.canned_responses as response
  where response.workspace_id = v_thread.workspace_id and response.shortcut = p_shortcut;
  if v_body is null then
    perform private.raise_error(404, 'canned_response_not_found', jsonb_build_object('shortcut', left(p_shortcut, 100)),
      'Check the shortcut; the workspace''s canned responses have others.');
  end if;
  select contact.* into v_contact from public.contacts as contact where contact.id = v_thread.contact_id;
  v_body := private.filled_text(v_body, v_contact);
  if v_body is null then
    perform private.raise_error(400, 'invalid_value', '{"field": "contact"}',
      'The contact lacks something that the answer names: fill it in, or write the answer by hand.');
  elsif length(v_body) > 4096 then
    perform private.raise_error(400, 'body_too_long',
      jsonb_build_object('field', 'body', 'length', length(v_body), 'limit', 4096),
      'Shorten the answer; WhatsApp takes at most 4096 characters.');
  end if;
  return v_body;
end $$;
comment on function public.render_canned_response(uuid, text) is
  'A canned response as it would be sent in a thread, with what is known of the contact.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  public.send_whatsapp_media(uuid, text, jsonb, text), private.whatsapp_target(uuid),
  public.react_to_whatsapp_message(uuid, text, text), public.send_whatsapp_read_receipt(uuid, boolean),
  public.save_canned_response(uuid, text, text), public.delete_canned_response(uuid),
  private.filled_text(text, public.contacts), public.render_canned_response(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function
  public.send_whatsapp_media(uuid, text, jsonb, text), public.react_to_whatsapp_message(uuid, text, text),
  public.send_whatsapp_read_receipt(uuid, boolean), public.save_canned_response(uuid, text, text),
  public.delete_canned_response(uuid), public.render_canned_response(uuid, text)
  to authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger canned_responses_set_updated_at before update on public.canned_responses
  for each row execute function private.set_updated_at();

notify pgrst, 'reload schema';
