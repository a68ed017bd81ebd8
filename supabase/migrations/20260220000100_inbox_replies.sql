-- Purpose:   replies other than text: files, places, contact cards, buttons, lists and links, reactions, read receipts; canned
--            responses.
-- Needs:     20260128231758_m1_reliability, which queues them, and 20260131000000_wa_inbound, which shows reactions.
-- Used by:   qero.services.threads, media, canned_responses.
-- Raises:    PT404 thread_not_found, message_not_found, canned_response_not_found, workspace_not_found
--            · PT403 role_required · PT400 invalid_value, body_too_long · PT409 connection_not_found,
--            workspace_suspended, and what private.queue_whatsapp raises.
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
-- Whether a value is a text that isn't empty and has at most so many characters.
create or replace function private.is_text(p_value jsonb, p_limit integer) returns boolean
language plpgsql immutable security invoker set search_path = '' as $$
begin
  return coalesce(jsonb_typeof(p_value) = 'string' and length(btrim(p_value #>> '{}', E' \t\r\n')) > 0
    and length(p_value #>> '{}') <= p_limit, false);
end $$;

-- The first key of an object, by name, that isn't among those allowed; empty when it isn't an object; else null.
create or replace function private.stray_key(p_value jsonb, p_allowed text[]) returns text
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if jsonb_typeof(p_value) is distinct from 'object' then
    return '';
  end if;
  return (select min(given.key) from jsonb_object_keys(p_value) as given (key) where given.key <> all (p_allowed));
end $$;

-- What Meta would refuse of a file, as a path into it; null when nothing.
create or replace function private.wrong_media(p_kind text, p_media jsonb) returns text
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_stray constant text := private.stray_key(p_media, array['id', 'link']
    || case when p_kind in ('image', 'video', 'document') then array['caption'] else '{}' end
    || case p_kind when 'document' then array['filename'] when 'audio' then array['voice'] else '{}' end);
begin
  return case
    when v_stray is not null then v_stray
    when (p_media ? 'id') = (p_media ? 'link') then 'id'
    when p_media ? 'id' and not private.is_text(p_media -> 'id', 240) then 'id'
    when p_media ? 'link' and not (private.is_text(p_media -> 'link', 2000)
      and p_media ->> 'link' ~ '^https?://[^[:space:]]+$') then 'link'
    when p_media ? 'caption' and not private.is_text(p_media -> 'caption', 1024) then 'caption'
    when p_media ? 'filename' and not private.is_text(p_media -> 'filename', 240) then 'filename'
    when p_media ? 'voice' and jsonb_typeof(p_media -> 'voice') <> 'boolean' then 'voice'
  end;
end $$;

-- What Meta would refuse of buttons, a list, a link or a request for the customer's place, as a path; null when nothing.
create or replace function private.wrong_interactive(p_value jsonb) returns text
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_type constant text := p_value ->> 'type';
  v_header constant text := p_value #>> '{header,type}';
  v_action constant jsonb := p_value -> 'action';
  v_stray text := private.stray_key(p_value, array['type', 'body', 'action']
    || case v_type when 'location_request_message' then '{}' else array['header', 'footer'] end);
  v_is_right boolean;
begin
  if v_stray is not null then
    return v_stray;
  elsif v_type is null or v_type not in ('button', 'list', 'cta_url', 'location_request_message') then
    return 'type';
  elsif private.stray_key(p_value -> 'body', array['text']) is not null
    or not private.is_text(p_value #> '{body,text}', case v_type when 'list' then 4096 else 1024 end)
  then
    return 'body';
  elsif p_value ? 'footer' and (private.stray_key(p_value -> 'footer', array['text']) is not null
    or not private.is_text(p_value #> '{footer,text}', 60))
  then
    return 'footer';
  elsif p_value ? 'header' and not coalesce(private.stray_key(p_value -> 'header', array['type', v_header]) is null
    and case
      when v_header = 'text' then private.is_text(p_value #> '{header,text}', 60)
      when v_type <> 'list' and v_header in ('image', 'video', 'document')
        then private.wrong_media(v_header, p_value -> 'header' -> v_header) is null
    end, false)
  then
    return 'header';
  end if;
  v_is_right := case v_type
    when 'button' then private.stray_key(v_action, array['buttons']) is null and (
      select count(*) between 1 and 3 and count(distinct button.value #> '{reply,id}') = count(*)
        and count(distinct button.value #> '{reply,title}') = count(*)
        and bool_and(private.stray_key(button.value, array['type', 'reply']) is null
          and button.value -> 'type' = '"reply"'
          and private.stray_key(button.value -> 'reply', array['id', 'title']) is null
          and private.is_text(button.value #> '{reply,id}', 256) and private.is_text(button.value #> '{reply,title}', 20))
      from jsonb_path_query(v_action, '$.buttons[*]') as button (value))
    when 'list' then private.stray_key(v_action, array['button', 'sections']) is null
      and private.is_text(v_action -> 'button', 20) and (
        -- Several sections need titles to be told apart.
        select count(*) between 1 and 10 and bool_and(private.stray_key(section.value, array['title', 'rows']) is null
          and jsonb_path_exists(section.value, '$.rows[*]')
          and (private.is_text(section.value -> 'title', 24)
            or (not section.value ? 'title' and not jsonb_path_exists(v_action, '$.sections[1]'))))
        from jsonb_path_query(v_action, '$.sections[*]') as section (value)
      ) and (
        select count(*) between 1 and 10 and count(distinct choice.value -> 'id') = count(*)
          and bool_and(private.stray_key(choice.value, array['id', 'title', 'description']) is null
            and private.is_text(choice.value -> 'id', 200) and private.is_text(choice.value -> 'title', 24)
            and (not choice.value ? 'description' or private.is_text(choice.value -> 'description', 72)))
        from jsonb_path_query(v_action, '$.sections[*].rows[*]') as choice (value))
    when 'cta_url' then private.stray_key(v_action, array['name', 'parameters']) is null
      and v_action -> 'name' = '"cta_url"'
      and private.stray_key(v_action -> 'parameters', array['display_text', 'url']) is null
      and private.is_text(v_action #> '{parameters,display_text}', 20)
      and private.is_text(v_action #> '{parameters,url}', 2000)
      and v_action #>> '{parameters,url}' ~ '^https?://[^[:space:]]+$'
    else v_action = '{"name": "send_location"}'
  end;
  return case when not coalesce(v_is_right, false) then 'action' end;
end $$;

-- What Meta would refuse of a reply's content, as a path into it; null when nothing.
create or replace function private.wrong_content(p_kind text, p_content jsonb) returns text
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_stray text;
begin
  if p_kind = 'interactive' then
    return private.wrong_interactive(p_content);
  elsif p_kind = 'location' then
    v_stray := private.stray_key(p_content, array['latitude', 'longitude', 'name', 'address']);
    return case
      when v_stray is not null then v_stray
      when not coalesce(jsonb_typeof(p_content -> 'latitude') = 'number'
        and (p_content ->> 'latitude')::numeric between -90 and 90, false) then 'latitude'
      when not coalesce(jsonb_typeof(p_content -> 'longitude') = 'number'
        and (p_content ->> 'longitude')::numeric between -180 and 180, false) then 'longitude'
      when p_content ? 'name' and not private.is_text(p_content -> 'name', 1000) then 'name'
      when p_content ? 'address' and not private.is_text(p_content -> 'address', 1000) then 'address'
    end;
  elsif p_kind = 'contacts' then
    return case when jsonb_typeof(p_content) is distinct from 'array' or not (
      select count(*) between 1 and 50 and bool_and(
        private.stray_key(card.value,
          array['name', 'phones', 'emails', 'org', 'urls', 'addresses', 'birthday']) is null
        and private.stray_key(card.value -> 'name', array['formatted_name', 'first_name', 'last_name', 'middle_name',
          'prefix', 'suffix']) is null
        and private.is_text(card.value #> '{name,formatted_name}', 300)
        -- Meta wants a part of the name beside the whole.
        and (private.is_text(card.value #> '{name,first_name}', 300) or private.is_text(card.value #> '{name,last_name}', 300))
        and not exists (
          select from jsonb_path_query(card.value, '$.phones[*]') as phone (value)
          where private.stray_key(phone.value, array['phone', 'type', 'wa_id']) is not null
            or not private.is_text(phone.value -> 'phone', 40))
        and not exists (
          select from jsonb_path_query(card.value, '$.emails[*]') as email (value)
          where private.stray_key(email.value, array['email', 'type']) is not null
            or not private.is_text(email.value -> 'email', 320)))
      from jsonb_array_elements(case jsonb_typeof(p_content) when 'array' then p_content else '[]' end) as card
    ) then 'contacts' end;
  end if;
  return private.wrong_media(p_kind, p_content);
end $$;

-- Definer, all of these: members write neither messages nor the outbox directly.
create or replace function public.send_whatsapp_content(
  p_thread_id uuid, p_kind text, p_content jsonb, p_idempotency_key text, p_quoted_id uuid default null
) returns public.wa_messages
language plpgsql security definer set search_path = '' as $$
declare
  v_workspace_id constant uuid := (select thread.workspace_id from public.wa_threads as thread where thread.id = p_thread_id);
  v_kinds constant text[] :=
    array['image', 'video', 'audio', 'document', 'sticker', 'location', 'contacts', 'interactive'];
  v_wrong text;
  v_queued record;
  v_message public.wa_messages;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  if p_kind is null or p_kind <> all (v_kinds) then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'kind', 'allowed', v_kinds),
      'Use one that is allowed.');
  end if;
  v_wrong := private.wrong_content(p_kind, p_content);
  if v_wrong is not null then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', rtrim('content.' || left(v_wrong, 100), '.'), 'kind', p_kind),
      'A file has either an id or a link; buttons are at most 3, rows of a list 10; docs/inbox.md has what WhatsApp takes.');
  end if;
  v_queued := private.queue_whatsapp(p_thread_id, jsonb_build_object('type', p_kind, p_kind, p_content)
    || private.quoting(p_thread_id, p_quoted_id), p_idempotency_key, true);
  if v_queued.is_new then
    return private.show_whatsapp_reply(v_queued.outbox, p_kind, coalesce(p_content ->> 'caption',
      p_content #>> '{body,text}', p_content #>> '{0,name,formatted_name}', p_content ->> 'name',
      p_content ->> 'address', p_content ->> 'filename'));
  end if;
  select message.* into v_message from public.wa_messages as message where message.outbox_id = (v_queued.outbox).id;
  return v_message;
end $$;
comment on function public.send_whatsapp_content(uuid, text, jsonb, text, uuid) is
  'Queues a file, a place, contact cards, buttons, a list or a link by the thread''s own number, within 24 hours of the '
  'customer''s last message; the content is in the shape of Meta''s request.';

-- What WhatsApp takes: what a file is sent as, and how large it may be. WebP is for stickers alone: as a picture WhatsApp
-- doesn't take it.
create or replace function private.media_limits()
returns table (kind text, max_bytes bigint, mime_types text[])
language sql immutable security invoker set search_path = '' as $$
  values
    ('image', 5 * 1048576::bigint, array['image/jpeg', 'image/png']),
    ('video', 16 * 1048576::bigint, array['video/mp4', 'video/3gpp']),
    ('audio', 16 * 1048576::bigint, array['audio/aac', 'audio/amr', 'audio/mpeg', 'audio/mp4', 'audio/ogg']),
    ('sticker', 500 * 1024::bigint, array['image/webp']),
    ('document', 100 * 1048576::bigint, array['text/plain', 'application/pdf', 'application/msword',
      'application/vnd.ms-excel', 'application/vnd.ms-powerpoint',
      'application/vnd.openxmlformats-officedocument.wordprocessingml.document',
      'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
      'application/vnd.openxmlformats-officedocument.presentationml.presentation'])
$$;

-- Whether a WebP file moves: its header has a flag for it.
create or replace function private.is_animated_webp(p_beginning bytea) returns boolean
language plpgsql immutable security invoker set search_path = '' as $$
begin
  return coalesce(length(p_beginning) > 20 and substr(p_beginning, 1, 4) = 'RIFF' and substr(p_beginning, 9, 8) = 'WEBPVP8X'
    and get_bit(p_beginning, 20 * 8 + 1) = 1, false);
end $$;

create or replace function public.prepare_media_upload(
  p_thread_id uuid, p_mime_type text, p_bytes bigint, p_beginning bytea default null
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_workspace_id constant uuid := (select thread.workspace_id from public.wa_threads as thread where thread.id = p_thread_id);
  v_mime_type constant text := lower(btrim(split_part(p_mime_type, ';', 1)));
  v_limit record;
begin
  perform private.require_role(v_workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  select known.* into v_limit from private.media_limits() as known where v_mime_type = any (known.mime_types);
  if not found then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'mime_type', 'allowed', (
        select jsonb_agg(mime_type.name) from private.media_limits() as known, unnest(known.mime_types) as mime_type (name))),
      'Send a kind of file that WhatsApp takes.');
  elsif v_limit.kind = 'sticker' and not private.is_animated_webp(p_beginning) then
    v_limit.max_bytes := 100 * 1024;
  end if;
  if not coalesce(p_bytes between 1 and v_limit.max_bytes, false) then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'bytes', 'kind', v_limit.kind, 'limit', v_limit.max_bytes),
      'Send a smaller file, which isn''t empty, or a link to it.');
  end if;
  return jsonb_build_object('kind', v_limit.kind,
    -- Of sound in OGG only OPUS is taken, and only when the type says so.
    'mime_type', case v_mime_type when 'audio/ogg' then 'audio/ogg; codecs=opus' else v_mime_type end,
    'connection_id', (public.resolve_connection_for_thread(p_thread_id)).id);
end $$;
comment on function public.prepare_media_upload(uuid, text, bigint, bytea) is
  'What a file is sent as in a thread and by which number, when the caller may send it and WhatsApp takes it; of a sticker '
  'the first 32 bytes tell whether it moves, and may be larger.';

create or replace function public.get_connection_token(p_connection_id uuid) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_token jsonb;
begin
  select jsonb_build_object('phone_number_id', connection.phone_number_id,
    'access_token_ciphertext', private.connection_secret(connection.id))
  into v_token from public.wa_phone_numbers as connection
  where connection.id = p_connection_id and connection.deleted_at is null;
  if v_token is null then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('connection_id', p_connection_id),
      'Connect the number again.');
  end if;
  return v_token;
end $$;
comment on function public.get_connection_token(uuid) is 'A number and its encrypted token.';

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
  private.is_text(jsonb, integer), private.stray_key(jsonb, text[]), private.wrong_media(text, jsonb),
  private.wrong_interactive(jsonb), private.wrong_content(text, jsonb),
  public.send_whatsapp_content(uuid, text, jsonb, text, uuid), private.media_limits(), private.is_animated_webp(bytea),
  public.prepare_media_upload(uuid, text, bigint, bytea), public.get_connection_token(uuid), private.whatsapp_target(uuid),
  public.react_to_whatsapp_message(uuid, text, text), public.send_whatsapp_read_receipt(uuid, boolean),
  public.save_canned_response(uuid, text, text), public.delete_canned_response(uuid),
  private.filled_text(text, public.contacts), public.render_canned_response(uuid, text)
  from public, anon, authenticated, service_role;
grant execute on function public.get_connection_token(uuid) to service_role;
grant execute on function
  public.prepare_media_upload(uuid, text, bigint, bytea), public.send_whatsapp_content(uuid, text, jsonb, text, uuid),
  public.react_to_whatsapp_message(uuid, text, text),
  public.send_whatsapp_read_receipt(uuid, boolean), public.save_canned_response(uuid, text, text),
  public.delete_canned_response(uuid), public.render_canned_response(uuid, text)
  to authenticated, service_role;

------------------------------------------------------------------------------------------------------------------------
-- Triggers
------------------------------------------------------------------------------------------------------------------------
create or replace trigger canned_responses_set_updated_at before update on public.canned_responses
  for each row execute function private.set_updated_at();

notify pgrst, 'reload schema';
