-- Purpose:   numbers messages and changes, and everything that members do in their chats. Messages that stood before get
--            theirs afterwards, by private.number_chat_messages, while writers go on.
-- Needs:     20251210000100_migration_01_add_seq_and_status.
-- Used by:   qero.services.chats; qero.chat.
-- Raises:    PT404 chat_not_found, message_not_found, workspace_not_found · PT403 role_required, not_your_message
--            · PT409 message_deleted, chat_is_direct, already_exists · PT400 body_required, body_too_long,
--            invalid_value, reference_not_found.
-- Roll back: drop the functions and triggers below; numbers and cursors stay as they are. Messages sent meanwhile have
--            no number: run this file again.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Numbering
------------------------------------------------------------------------------------------------------------------------
-- For rows that are inserted without a number: by the service, or by what wrote here before there were numbers. The chat's
-- row is locked first, here as in send_message, so numbers follow the order of the commits.
create or replace function private.assign_message_seq() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_existing_id uuid;
begin
  new.created_at := coalesce(new.created_at, clock_timestamp());
  update public.chats as chat
  set last_seq = chat.last_seq + 1, last_rev = chat.last_rev + 1, last_message_at = new.created_at,
    last_message_sender_id = new.sender_id, last_message_preview = left(new.body, 120)
  where chat.id = new.chat_id
  returning coalesce(new.workspace_id, chat.workspace_id), chat.last_seq, chat.last_rev
  into new.workspace_id, new.seq, new.rev;
  -- An error, because skipping the row or leaving it to `on conflict` would hide that it is there, or burn its number.
  select message.id into v_existing_id from public.chat_messages as message
  where message.sender_id = new.sender_id and message.client_generated_id = new.client_generated_id
    and message.chat_id = new.chat_id;
  if found then
    perform private.raise_error(409, 'already_exists',
      jsonb_build_object('client_generated_id', new.client_generated_id, 'id', v_existing_id),
      'Read the message that the detail names.');
  end if;
  update public.chat_members as member
  set last_delivered_seq = new.seq, last_read_seq = new.seq, unread_deleted_count = 0, unread_mention_count = 0
  where member.chat_id = new.chat_id and member.user_id = new.sender_id;
  perform private.count_mentions(new);
  return new;
end $$;

create or replace function private.count_mentions(p_message public.chat_messages) returns void
language sql security invoker set search_path = '' as $$
  update public.chat_members as member set unread_mention_count = member.unread_mention_count + 1
  where member.chat_id = p_message.chat_id and member.user_id = any (p_message.mentions)
    and member.user_id is distinct from p_message.sender_id
$$;

-- Messages from before the numbers get the first ones of their chat. How many they are is found out chat by chat: by
-- whoever first writes in it, or by private.number_chat_messages, under the lock on the chat's row that numbering takes
-- anyway. The trigger that does it is there only until every chat has been counted.
create or replace function private.reserve_numbers() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_count bigint;
begin
  if not exists (
    select from private.chat_backlog as backlog where backlog.chat_id = new.id and backlog.next_seq is null
  ) then
    return new;
  end if;
  select count(*) into v_count from public.chat_messages as message
  where message.chat_id = new.id and message.seq is null;
  if v_count = 0 then
    delete from private.chat_backlog as backlog where backlog.chat_id = new.id;
    return new;
  end if;
  update private.chat_backlog as backlog set next_seq = old.last_seq + 1 where backlog.chat_id = new.id;
  -- What stood before counts as read: nobody finds thousands of unread messages.
  update public.chat_members as member
  set last_delivered_seq = old.last_seq + v_count, last_read_seq = old.last_seq + v_count
  where member.chat_id = new.id and member.last_read_seq = old.last_seq;
  new.last_seq := new.last_seq + v_count;
  new.last_rev := new.last_rev + v_count;
  return new;
end $$;

do $$
begin
  if not exists (
    select 1 from pg_trigger
    where tgrelid = 'public.chat_messages'::regclass and tgname = 'chat_messages_assign_message_seq'
  ) then
    insert into private.chat_backlog (chat_id) select chat.id from public.chats as chat on conflict do nothing;
    -- From here on nobody writes a message until the triggers are there: that takes a moment, however many there are.
    lock table public.chat_messages, public.chats in share row exclusive mode;
    insert into private.chat_backlog (chat_id) select chat.id from public.chats as chat
    where not exists (select from private.chat_backlog as backlog where backlog.chat_id = chat.id);
    create trigger chat_messages_assign_message_seq before insert on public.chat_messages
      for each row when (new.seq is null) execute function private.assign_message_seq();
    if exists (select from private.chat_backlog) then
      create or replace trigger chats_reserve_numbers before update of last_seq, last_rev on public.chats
        for each row execute function private.reserve_numbers();
    end if;
  end if;
  if not exists (select from private.chat_backlog) then
    perform private.ensure_not_null('public.chat_messages', 'workspace_id', 'seq', 'rev');
  end if;
end $$;

create or replace function private.reserve_next_chat(p_after uuid) returns uuid
language plpgsql security invoker set search_path = '' as $$
declare
  v_chat_id uuid;
  v_newest public.chat_messages;
begin
  select backlog.chat_id into v_chat_id from private.chat_backlog as backlog
  where backlog.chat_id > p_after and backlog.next_seq is null order by backlog.chat_id limit 1;
  select message.* into v_newest from public.chat_messages as message where message.chat_id = v_chat_id
  order by message.created_at desc, message.id desc limit 1;
  -- The trigger counts. Somebody may have written meanwhile, and then the newest is theirs.
  update public.chats as chat
  set last_seq = chat.last_seq, last_message_at = coalesce(chat.last_message_at, v_newest.created_at),
    last_message_sender_id = case when chat.last_message_at is null then v_newest.sender_id
      else chat.last_message_sender_id end,
    last_message_preview = case when chat.last_message_at is null then left(v_newest.body, 120)
      else chat.last_message_preview end
  where chat.id = v_chat_id;
  return v_chat_id;
end $$;
comment on function private.reserve_next_chat(uuid) is
  'Reserves the numbers of one chat''s older messages; returns the chat, and null when none is left beyond p_after.';

-- Several may run at once: each takes a chat that no other has.
create or replace function private.number_chat_batch(p_limit integer) returns bigint
language plpgsql security invoker set search_path = '' as $$
declare
  v_backlog private.chat_backlog;
  v_count bigint;
begin
  select backlog.* into v_backlog from private.chat_backlog as backlog
  where backlog.next_seq is not null order by backlog.chat_id limit 1 for update skip locked;
  if not found then
    return 0;
  end if;
  with batch as (
    select message.id, row_number() over (order by message.created_at, message.id) - 1 as position
    from public.chat_messages as message
    where message.chat_id = v_backlog.chat_id and message.seq is null
    order by message.created_at, message.id limit p_limit
  )
  update public.chat_messages as message
  set seq = v_backlog.next_seq + batch.position,
    -- One that was edited before its turn has its rev already.
    rev = coalesce(message.rev, v_backlog.next_seq + batch.position),
    workspace_id = coalesce(message.workspace_id, chat.workspace_id)
  from batch cross join public.chats as chat
  where message.id = batch.id and chat.id = v_backlog.chat_id;
  get diagnostics v_count = row_count;
  if v_count < p_limit then
    delete from private.chat_backlog where chat_id = v_backlog.chat_id;
  else
    update private.chat_backlog set next_seq = next_seq + v_count where chat_id = v_backlog.chat_id;
  end if;
  return v_count + 1;
end $$;
comment on function private.number_chat_batch(integer) is
  'Numbers the next messages of one chat, by time and id; returns one more than how many, and 0 when none waits.';

-- A procedure that commits can't pin its search_path: everything here is named in full.
create or replace procedure private.number_chat_messages(p_batch_size integer default 5000)
language plpgsql as $$
declare
  v_chat_id uuid := '00000000-0000-0000-0000-000000000000';
begin
  loop
    v_chat_id := private.reserve_next_chat(v_chat_id);
    exit when v_chat_id is null;
    commit;
  end loop;
  -- What looking for a chat has locked: two who come here with that would each wait for the other.
  commit;
  if not exists (select from private.chat_backlog where next_seq is null) and exists (
    select from pg_catalog.pg_trigger
    where tgrelid operator(pg_catalog.=) 'public.chats'::pg_catalog.regclass
      and tgname operator(pg_catalog.=) 'chats_reserve_numbers'
  ) then
    -- The table before the trigger, so that two who come here wait one for the other.
    lock table public.chats in access exclusive mode;
    drop trigger if exists chats_reserve_numbers on public.chats;
    commit;
  end if;
  loop
    exit when private.number_chat_batch(p_batch_size) operator(pg_catalog.=) 0;
    commit;
  end loop;
  -- Where others are at work, they finish it.
  if not exists (select from private.chat_backlog) then
    perform private.ensure_not_null('public.chat_messages', 'workspace_id', 'seq', 'rev');
  end if;
end $$;
comment on procedure private.number_chat_messages(integer) is
  'Numbers what stood before, in batches that are committed. Resumable; call it after the push, outside a transaction, as '
  'often as you like, and then private.validate_constraints.';

------------------------------------------------------------------------------------------------------------------------
-- Who is asking, and what they write
------------------------------------------------------------------------------------------------------------------------
-- A chat that the caller isn't in looks like one that doesn't exist.
create or replace function private.require_chat_member(p_chat_id uuid) returns public.chat_members
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
  v_member public.chat_members;
begin
  select member.* into v_member from public.chat_members as member
  where member.chat_id = p_chat_id and member.user_id = v_user_id;
  if not found then
    perform private.raise_error(404, 'chat_not_found', jsonb_build_object('chat_id', p_chat_id),
      'Check the id; only chats you are a member of can be named.');
  end if;
  return v_member;
end $$;

create or replace function private.require_chat_writer(p_chat_id uuid) returns public.chat_members
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  perform private.require_role(v_member.workspace_id, array['owner', 'admin', 'member'], 'chat_not_found',
    jsonb_build_object('chat_id', p_chat_id));
  return v_member;
end $$;

create or replace function private.require_message_text(p_body text, p_has_attachments boolean) returns void
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if not p_has_attachments and coalesce(p_body, '') !~ '\S' then
    perform private.raise_error(400, 'body_required', jsonb_build_object('field', 'body'),
      'Write something, or attach something.');
  elsif length(p_body) > 8000 then
    perform private.raise_error(400, 'body_too_long',
      jsonb_build_object('field', 'body', 'length', length(p_body), 'limit', 8000), 'Send it in several messages.');
  end if;
end $$;

-- For everything beside messages that those who are there should see at once; it isn't kept.
create or replace function private.tell_chat(p_chat_id uuid, p_event text, p_payload jsonb) returns void
language sql security invoker set search_path = '' as $$
  select realtime.send(p_payload, p_event, 'chat:' || p_chat_id, true)
$$;

-- What is wrong with a message, apart from its text.
create or replace function private.require_message_parts(
  p_chat_id uuid, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[], p_reply_to bigint
) returns void
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_unknown uuid[];
  v_latest bigint;
begin
  if coalesce(length(p_client_generated_id), 0) not between 1 and 100 then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'client_generated_id'),
      'Name each message by an id of your own of 1 to 100 characters; a uuid is fine.');
  end if;
  if p_attachments <> '[]' and (
    jsonb_typeof(p_attachments) <> 'array' or length(p_attachments::text) > 20000
    or jsonb_array_length(p_attachments) > 10
    or exists (
      select 1 from jsonb_array_elements(p_attachments) as attachment
      where (jsonb_typeof(attachment.value) = 'object' and jsonb_typeof(attachment.value -> 'ref') = 'string'
        and length(attachment.value ->> 'ref') between 1 and 2000) is not true)
  ) then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'attachments'),
      'Give up to 10 objects, each with a "ref" of 1 to 2000 characters, and 20,000 characters in all.');
  end if;
  if p_mentions <> '{}' then
    select array_agg(mention.user_id) into v_unknown from unnest(p_mentions) as mention (user_id)
    where not exists (
      select 1 from public.chat_members as member
      where member.chat_id = p_chat_id and member.user_id = mention.user_id);
    if v_unknown is not null or cardinality(p_mentions) > 50 then
      perform private.raise_error(400, 'reference_not_found',
        jsonb_build_object('field', 'mentions', 'ids', v_unknown), 'Mention at most 50 people, all in the chat.');
    end if;
  end if;
  if p_reply_to is not null then
    -- Numbers have no gaps and never go away, so this needs neither a look at the message nor a lock.
    select chat.last_seq into v_latest from public.chats as chat where chat.id = p_chat_id;
    if p_reply_to not between 1 and v_latest then
      perform private.raise_error(400, 'reference_not_found',
        jsonb_build_object('field', 'reply_to', 'latest_seq', v_latest),
        'Reply to a message by its number in this chat.');
    end if;
  end if;
end $$;

create or replace function private.append_message(
  p_member public.chat_members, p_body text, p_client_generated_id text, p_attachments jsonb, p_mentions uuid[],
  p_reply_to bigint
) returns public.chat_messages
language plpgsql security invoker set search_path = '' as $$
declare
  v_message public.chat_messages;
begin
  p_attachments := coalesce(p_attachments, '[]');
  p_mentions := coalesce(p_mentions, '{}');
  perform private.require_message_text(p_body, p_attachments <> '[]');
  -- A plain text pays for nothing more.
  if p_attachments <> '[]' or p_mentions <> '{}' or p_reply_to is not null
    or coalesce(length(p_client_generated_id), 0) not between 1 and 100 then
    perform private.require_message_parts(p_member.chat_id, p_client_generated_id, p_attachments, p_mentions,
      p_reply_to);
    p_mentions := array(select distinct mention from unnest(p_mentions) as mention);
  end if;
  -- The lock on the chat's row comes as late as can be, and everything under it is one statement. Whoever waits for it
  -- gets the number after this one, once this one is committed.
  with counted as (
    update public.chats as chat
    set last_seq = chat.last_seq + 1, last_rev = chat.last_rev + 1,
      -- Taken under the lock, so that times follow the numbers.
      last_message_at = clock_timestamp(), last_message_sender_id = p_member.user_id,
      last_message_preview = left(nullif(p_body, ''), 120)
    where chat.id = p_member.chat_id
    returning chat.last_seq, chat.last_rev, chat.last_message_at
  ), message as (
    insert into public.chat_messages (workspace_id, chat_id, sender_id, client_generated_id, body, attachments,
      mentions, reply_to, created_at, seq, rev)
    select p_member.workspace_id, p_member.chat_id, p_member.user_id, p_client_generated_id, nullif(p_body, ''),
      p_attachments, p_mentions, p_reply_to, counted.last_message_at, counted.last_seq, counted.last_rev
    from counted
    on conflict (sender_id, client_generated_id, chat_id) do nothing
    returning *
  ), cursors as (
    -- Whoever writes has read what stands above.
    update public.chat_members as member
    set last_delivered_seq = message.seq, last_read_seq = message.seq, unread_deleted_count = 0,
      unread_mention_count = 0
    from message where member.chat_id = message.chat_id and member.user_id = message.sender_id
  )
  select message.* into v_message from message;
  if not found then
    -- A repetition: the number goes back before anybody has seen it, and the first message is the answer.
    update public.chats as chat
    set last_seq = chat.last_seq - 1, last_rev = chat.last_rev - 1, last_message_at = latest.created_at,
      last_message_sender_id = latest.sender_id, last_message_preview = left(latest.body, 120)
    from public.chat_messages as latest
    where chat.id = p_member.chat_id and latest.chat_id = chat.id and latest.seq = chat.last_seq - 1;
    select message.* into v_message from public.chat_messages as message
    where message.sender_id = p_member.user_id and message.client_generated_id = p_client_generated_id
      and message.chat_id = p_member.chat_id;
  elsif p_mentions <> '{}' then
    perform private.count_mentions(v_message);
  end if;
  return v_message;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Chats and their members
------------------------------------------------------------------------------------------------------------------------
create or replace function private.add_to_chat(p_chat public.chats, p_user_ids uuid[], p_role text) returns void
language plpgsql security invoker set search_path = '' as $$
declare
  v_unknown uuid[];
begin
  select array_agg(wanted.user_id) into v_unknown from unnest(p_user_ids) as wanted (user_id)
  where not exists (
    select 1 from public.workspace_memberships as membership
    where membership.workspace_id = p_chat.workspace_id and membership.user_id = wanted.user_id);
  if v_unknown is not null or cardinality(p_user_ids) > 1000 then
    perform private.raise_error(400, 'reference_not_found',
      jsonb_build_object('field', 'member_ids', 'ids', v_unknown),
      'Name at most 1,000 people at once, all of them members of the workspace.');
  end if;
  -- Whoever comes in sees everything, and has nothing of it to read.
  insert into public.chat_members (workspace_id, chat_id, user_id, role, last_delivered_seq, last_read_seq)
  select distinct p_chat.workspace_id, p_chat.id, wanted.user_id, p_role, p_chat.last_seq, p_chat.last_seq
  from unnest(p_user_ids) as wanted (user_id)
  on conflict (chat_id, user_id) do nothing;
end $$;

-- Somebody comes in by themselves. Where everybody had left, or nobody has been yet, they become the owner.
create or replace function private.enter_chat(p_chat public.chats, p_user_id uuid) returns void
language plpgsql security invoker set search_path = '' as $$
begin
  perform private.add_to_chat(p_chat, array[p_user_id], case
    when p_chat.kind = 'direct' or exists (
      select from public.chat_members as member where member.chat_id = p_chat.id and member.role = 'owner')
    then 'member' else 'owner' end);
end $$;

create or replace function public.create_chat(
  p_workspace_id uuid, p_kind text, p_title text default null, p_member_ids uuid[] default '{}'
) returns public.chats
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
  v_others uuid[];
  v_key text;
  v_chat public.chats;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin', 'member'], 'workspace_not_found',
    jsonb_build_object('workspace_id', p_workspace_id));
  v_others := array_remove(coalesce(p_member_ids, '{}'), v_user_id);
  if p_kind is null or p_kind not in ('direct', 'group', 'channel') then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'kind', 'allowed', array['direct', 'group', 'channel']), 'Use one that is allowed.');
  elsif p_kind <> 'direct' and length(btrim(coalesce(p_title, ''))) not between 1 and 200 then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'title'),
      'Give it a title of 1 to 200 characters.');
  elsif p_kind = 'direct' and cardinality(v_others) <> 1 then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'member_ids'),
      'A direct chat is with one other person: name that one.');
  end if;
  if p_kind = 'direct' then
    v_key := least(v_user_id, v_others[1]) || ':' || greatest(v_user_id, v_others[1]);
    p_title := null;
  end if;
  insert into public.chats as chat (workspace_id, kind, title, direct_key, created_by)
  values (p_workspace_id, p_kind, btrim(p_title), v_key, v_user_id)
  on conflict (workspace_id, direct_key) where direct_key is not null do update set direct_key = chat.direct_key
  returning * into v_chat;
  perform private.enter_chat(v_chat, v_user_id);
  perform private.add_to_chat(v_chat, v_others, 'member');
  return v_chat;
end $$;
comment on function public.create_chat(uuid, text, text, uuid[]) is
  'Opens a chat with the caller in it; for a pair of people there is one direct chat, which is returned again.';

create or replace function public.add_chat_members(p_chat_id uuid, p_user_ids uuid[]) returns setof public.chat_members
language plpgsql security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
  v_chat public.chats;
begin
  select chat.* into v_chat from public.chats as chat where chat.id = v_member.chat_id;
  if v_chat.kind = 'direct' then
    perform private.raise_error(409, 'chat_is_direct', jsonb_build_object('chat_id', p_chat_id),
      'Make a group for more people.');
  end if;
  perform private.add_to_chat(v_chat, coalesce(p_user_ids, '{}'), 'member');
  return query select member.* from public.chat_members as member where member.chat_id = p_chat_id
    order by member.joined_at, member.user_id;
end $$;
comment on function public.add_chat_members(uuid, uuid[]) is 'Adds colleagues to a group or channel; returns all members.';

create or replace function public.join_chat(p_chat_id uuid) returns public.chat_members
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
  v_chat public.chats;
  v_member public.chat_members;
begin
  select chat.* into v_chat from public.chats as chat where chat.id = p_chat_id and chat.kind = 'channel';
  perform private.require_role(v_chat.workspace_id, array['owner', 'admin', 'member'], 'chat_not_found',
    jsonb_build_object('chat_id', p_chat_id));
  perform private.enter_chat(v_chat, v_user_id);
  select member.* into v_member from public.chat_members as member
  where member.chat_id = p_chat_id and member.user_id = v_user_id;
  return v_member;
end $$;
comment on function public.join_chat(uuid) is 'Makes the caller a member of a channel of their workspace. Repeatable.';

create or replace function public.leave_chat(p_chat_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  -- The chat first, as in sending, which may be about to count a mention of the one who leaves.
  perform 1 from public.chats as chat where chat.id = p_chat_id for no key update;
  delete from public.chat_members as member where member.chat_id = p_chat_id and member.user_id = v_member.user_id;
end $$;
comment on function public.leave_chat(uuid) is 'Ends the caller''s membership; what they wrote stays.';

create or replace function public.remove_chat_member(p_chat_id uuid, p_user_id uuid) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
begin
  if v_member.role <> 'owner' then
    perform private.raise_error(403, 'role_required', jsonb_build_object('role', v_member.role, 'needs', array['owner']),
      'Ask an owner of the chat.');
  end if;
  perform 1 from public.chats as chat where chat.id = p_chat_id for no key update;
  delete from public.chat_members as member where member.chat_id = p_chat_id and member.user_id = p_user_id;
  if not found then
    perform private.raise_error(400, 'reference_not_found',
      jsonb_build_object('field', 'user_id', 'ids', array[p_user_id]), 'Name a member of the chat.');
  end if;
end $$;
comment on function public.remove_chat_member(uuid, uuid) is 'Ends somebody''s membership, by an owner of the chat.';

create or replace function public.mute_chat(p_chat_id uuid, p_until timestamptz default null)
returns public.chat_members
language plpgsql security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  update public.chat_members as member set muted_until = p_until
  where member.chat_id = p_chat_id and member.user_id = v_member.user_id
  returning * into v_member;
  return v_member;
end $$;
comment on function public.mute_chat(uuid, timestamptz) is
  'Notifies the caller of nothing in the chat until then; null ends it. Counts go on.';

create or replace function private.keep_first_members() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.chats as chat
  set first_member_ids = array(
    select member.user_id from public.chat_members as member where member.chat_id = chat.id
    order by member.joined_at, member.user_id limit 4)
  where chat.id in (select distinct changed.chat_id from changed);
  return null;
end $$;

create or replace trigger chat_members_keep_first_members_insert after insert on public.chat_members
  referencing new table as changed for each statement execute function private.keep_first_members();
create or replace trigger chat_members_keep_first_members_delete after delete on public.chat_members
  referencing old table as changed for each statement execute function private.keep_first_members();

-- A chat never stays without an owner, and those who are there learn that somebody left.
create or replace function private.after_leaving_chat() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if not exists (select 1 from public.chats as chat where chat.id = old.chat_id) then
    return null;  -- the whole chat is going
  end if;
  if old.role = 'owner' and not exists (
    select 1 from public.chat_members as member where member.chat_id = old.chat_id and member.role = 'owner'
  ) then
    update public.chat_members as member set role = 'owner'
    where member.chat_id = old.chat_id and member.user_id = (
      select next.user_id from public.chat_members as next where next.chat_id = old.chat_id
      order by next.joined_at, next.user_id limit 1);
  end if;
  perform private.tell_chat(old.chat_id, 'member_left', jsonb_build_object('user_id', old.user_id));
  return null;
end $$;

create or replace trigger chat_members_after_leaving_chat after delete on public.chat_members
  for each row execute function private.after_leaving_chat();

------------------------------------------------------------------------------------------------------------------------
-- Writing
------------------------------------------------------------------------------------------------------------------------
create or replace function public.send_message(
  p_chat_id uuid, p_body text, p_client_generated_id text, p_attachments jsonb default '[]',
  p_mentions uuid[] default '{}', p_reply_to bigint default null
) returns public.chat_messages
language plpgsql security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
begin
  return private.append_message(v_member, p_body, p_client_generated_id, p_attachments, p_mentions, p_reply_to);
end $$;
comment on function public.send_message(uuid, text, text, jsonb, uuid[], bigint) is
  'Writes a message and gives it the next number; repeating a client_generated_id returns the first message.';

create or replace function public.send_messages(p_chat_id uuid, p_messages jsonb) returns setof public.chat_messages
language plpgsql security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
  v_item record;
begin
  if p_messages is null or jsonb_typeof(p_messages) <> 'array' or jsonb_array_length(p_messages) > 100 then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'messages'),
      'Give an array of at most 100 messages.');
  end if;
  for v_item in
    select item.* from jsonb_to_recordset(p_messages) as item (
      body text, client_generated_id text, attachments jsonb, mentions uuid[], reply_to bigint)
  loop
    return next private.append_message(v_member, v_item.body, v_item.client_generated_id, v_item.attachments,
      v_item.mentions, v_item.reply_to);
  end loop;
end $$;
comment on function public.send_messages(uuid, jsonb) is
  'Writes messages in the order given, all of them or, if one is refused, none.';

create or replace function private.lock_own_message(p_message_id uuid, p_for_all_owners boolean)
returns public.chat_messages
language plpgsql security invoker set search_path = '' as $$
declare
  v_user_id uuid := private.require_user();
  v_message public.chat_messages;
  v_member public.chat_members;
begin
  select message.* into v_message from public.chat_messages as message
  join public.chat_members as member on member.chat_id = message.chat_id and member.user_id = v_user_id
  where message.id = p_message_id;
  if not found then
    perform private.raise_error(404, 'message_not_found', jsonb_build_object('message_id', p_message_id),
      'Check the id; only messages of your chats can be named.');
  end if;
  v_member := private.require_chat_writer(v_message.chat_id);
  if v_message.sender_id is distinct from v_user_id and not (p_for_all_owners and v_member.role = 'owner') then
    perform private.raise_error(403, 'not_your_message', jsonb_build_object('message_id', p_message_id),
      'Only who wrote a message changes it; owners of the chat may delete it.');
  end if;
  -- The chat first, as in sending: changes of one chat happen one after the other.
  perform 1 from public.chats as chat where chat.id = v_message.chat_id for no key update;
  select message.* into v_message from public.chat_messages as message where message.id = p_message_id for update;
  return v_message;
end $$;

create or replace function public.edit_message(p_message_id uuid, p_body text) returns public.chat_messages
language plpgsql security definer set search_path = '' as $$
declare
  v_message public.chat_messages := private.lock_own_message(p_message_id, false);
begin
  perform private.require_message_text(p_body, v_message.attachments <> '[]');
  if v_message.deleted_at is not null then
    perform private.raise_error(409, 'message_deleted', jsonb_build_object('message_id', p_message_id),
      'Write a new message.');
  elsif v_message.body is not distinct from nullif(p_body, '') then
    return v_message;
  end if;
  update public.chats as chat
  set last_rev = chat.last_rev + 1,
    last_message_preview = case chat.last_seq when v_message.seq then left(nullif(p_body, ''), 120)
      else chat.last_message_preview end
  where chat.id = v_message.chat_id
  returning last_rev into v_message.rev;
  update public.chat_messages as message
  set body = nullif(p_body, ''), rev = v_message.rev, edited_at = clock_timestamp() where message.id = p_message_id
  returning * into v_message;
  return v_message;
end $$;
comment on function public.edit_message(uuid, text) is
  'Gives one''s own message another text; it keeps its number. The same text again changes nothing.';

create or replace function public.delete_message(p_message_id uuid) returns public.chat_messages
language plpgsql security definer set search_path = '' as $$
declare
  v_message public.chat_messages := private.lock_own_message(p_message_id, true);
begin
  if v_message.deleted_at is not null then
    return v_message;
  end if;
  -- It no longer counts as unread for those who haven't come to it.
  update public.chat_members as member
  set unread_deleted_count = member.unread_deleted_count + 1,
    unread_mention_count = member.unread_mention_count - (member.user_id = any (v_message.mentions))::integer
  where member.chat_id = v_message.chat_id and member.last_read_seq < v_message.seq;
  update public.chats as chat
  set last_rev = chat.last_rev + 1,
    last_message_preview = case when chat.last_seq <> v_message.seq then chat.last_message_preview end
  where chat.id = v_message.chat_id
  returning last_rev into v_message.rev;
  update public.chat_messages as message
  set body = null, attachments = '[]', mentions = '{}', rev = v_message.rev, deleted_at = clock_timestamp()
  where message.id = p_message_id
  returning * into v_message;
  return v_message;
end $$;
comment on function public.delete_message(uuid) is
  'Takes a message''s content away, by its sender or an owner of the chat; it keeps its number. Repeatable.';

create or replace function public.set_typing(p_chat_id uuid, p_typing boolean default true) returns void
language plpgsql security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_writer(p_chat_id);
begin
  perform private.tell_chat(p_chat_id, 'typing',
    jsonb_build_object('user_id', v_member.user_id, 'typing', coalesce(p_typing, true)));
end $$;
comment on function public.set_typing(uuid, boolean) is
  'Tells those who are there that the caller is typing, or no longer. Nothing is kept.';

------------------------------------------------------------------------------------------------------------------------
-- Cursors
------------------------------------------------------------------------------------------------------------------------
-- Forward only, and never beyond what is there. Nothing is counted unless something unread was deleted or mentions the
-- member, and then only such messages are.
create or replace function private.move_cursors(p_member public.chat_members, p_up_to_seq bigint, p_read boolean)
returns public.chat_members
language plpgsql security invoker set search_path = '' as $$
declare
  v_last_seq bigint;
  v_seq bigint;
  v_deleted_count integer := 0;
  v_mention_count integer := 0;
begin
  -- Locked before anything is counted: whoever sends or deletes meanwhile counts after this.
  select member.* into p_member from public.chat_members as member
  where member.chat_id = p_member.chat_id and member.user_id = p_member.user_id for no key update;
  select chat.last_seq into v_last_seq from public.chats as chat where chat.id = p_member.chat_id;
  v_seq := least(coalesce(p_up_to_seq, v_last_seq), v_last_seq);
  if v_seq <= p_member.last_read_seq or (not p_read and v_seq <= p_member.last_delivered_seq) then
    return p_member;
  end if;
  if not p_read then
    update public.chat_members as member set last_delivered_seq = v_seq
    where member.chat_id = p_member.chat_id and member.user_id = p_member.user_id
    returning * into p_member;
  else
    if v_seq < v_last_seq and p_member.unread_deleted_count + p_member.unread_mention_count > 0 then
      select count(*) filter (where message.deleted_at is not null),
        count(*) filter (where p_member.user_id = any (message.mentions))
      into v_deleted_count, v_mention_count
      from public.chat_messages as message
      where message.chat_id = p_member.chat_id and message.seq > v_seq and message.seq <= v_last_seq
        and (message.deleted_at is not null or message.mentions <> '{}');
    end if;
    update public.chat_members as member
    set last_read_seq = v_seq, last_delivered_seq = greatest(member.last_delivered_seq, v_seq),
      unread_deleted_count = v_deleted_count, unread_mention_count = v_mention_count
    where member.chat_id = p_member.chat_id and member.user_id = p_member.user_id
    returning * into p_member;
  end if;
  perform private.tell_chat(p_member.chat_id, 'receipt', jsonb_build_object('user_id', p_member.user_id,
    'last_delivered_seq', p_member.last_delivered_seq, 'last_read_seq', p_member.last_read_seq));
  return p_member;
end $$;

create or replace function public.mark_messages_as_delivered(p_chat_id uuid, p_up_to_seq bigint default null)
returns public.chat_members
language plpgsql security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  return private.move_cursors(v_member, p_up_to_seq, false);
end $$;
comment on function public.mark_messages_as_delivered(uuid, bigint) is
  'Moves the caller''s delivery cursor up to a number, or to the newest; never backwards.';

create or replace function public.mark_messages_as_read(p_chat_id uuid, p_up_to_seq bigint default null)
returns public.chat_members
language plpgsql security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  return private.move_cursors(v_member, p_up_to_seq, true);
end $$;
comment on function public.mark_messages_as_read(uuid, bigint) is
  'Moves the caller''s read cursor, and delivery with it, up to a number, or to the newest; never backwards.';

create or replace function public.get_unread_count(p_chat_id uuid) returns bigint
language plpgsql stable security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  return (
    select chat.last_seq - v_member.last_read_seq - v_member.unread_deleted_count from public.chats as chat
    where chat.id = p_chat_id);
end $$;
comment on function public.get_unread_count(uuid) is 'How many messages of others the caller hasn''t read in a chat.';

create or replace function public.get_unread_counts(p_workspace_id uuid default null)
returns table (chat_id uuid, unread_count bigint, mention_count integer)
language sql stable security definer set search_path = '' as $$
  select member.chat_id, chat.last_seq - member.last_read_seq - member.unread_deleted_count,
    member.unread_mention_count
  from public.chat_members as member join public.chats as chat on chat.id = member.chat_id
  where member.user_id = (select private.require_user())
    and (p_workspace_id is null or member.workspace_id = p_workspace_id)
    and chat.last_seq - member.last_read_seq - member.unread_deleted_count > 0
$$;
comment on function public.get_unread_counts(uuid) is 'The caller''s chats with something unread, and how much.';

create or replace function public.get_latest_seq(p_chat_id uuid) returns bigint
language plpgsql stable security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
begin
  return (select chat.last_seq from public.chats as chat where chat.id = v_member.chat_id);
end $$;
comment on function public.get_latest_seq(uuid) is 'The number of the newest message of a chat; 0 when there is none.';

------------------------------------------------------------------------------------------------------------------------
-- Reading
------------------------------------------------------------------------------------------------------------------------
-- For tables read through the API: `select=*,status`. RPCs say it along, from cursors that are read once.
create or replace function public.status(p_message public.chat_messages) returns text
language sql stable security invoker set search_path = '' as $$
  select case
    when p_message.seq <= min(member.last_read_seq) then 'read'
    when p_message.seq <= min(member.last_delivered_seq) then 'delivered'
    else 'sent'
  end
  from public.chat_members as member
  where member.chat_id = p_message.chat_id and member.user_id is distinct from p_message.sender_id
$$;
comment on function public.status(public.chat_messages) is
  'How far the slowest other member is: sent, delivered or read. A computed field of chat_messages.';

-- Messages as JSON in the order given, each with its status. The slowest member is another one only for messages of that member's own.
create or replace function private.messages_as_json(p_chat_id uuid, p_messages public.chat_messages[]) returns jsonb
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_delivered_by uuid[];
  v_delivered bigint[];
  v_read_by uuid[];
  v_read bigint[];
begin
  select array_agg(slow.user_id), array_agg(slow.last_delivered_seq) into v_delivered_by, v_delivered
  from (
    select member.user_id, member.last_delivered_seq from public.chat_members as member
    where member.chat_id = p_chat_id order by member.last_delivered_seq, member.user_id limit 2
  ) as slow;
  select array_agg(slow.user_id), array_agg(slow.last_read_seq) into v_read_by, v_read
  from (
    select member.user_id, member.last_read_seq from public.chat_members as member
    where member.chat_id = p_chat_id order by member.last_read_seq, member.user_id limit 2
  ) as slow;
  return (
    select coalesce(jsonb_agg(to_jsonb(message) || jsonb_build_object('status', case
      when message.seq <= v_read[case when v_read_by[1] = message.sender_id then 2 else 1 end] then 'read'
      when message.seq <= v_delivered[case when v_delivered_by[1] = message.sender_id then 2 else 1 end]
        then 'delivered'
      else 'sent' end)), '[]')
    from unnest(p_messages) as message);
end $$;

create or replace function public.get_chat_messages(
  p_chat_id uuid, p_before_seq bigint default null, p_after_seq bigint default null, p_around_seq bigint default null,
  p_limit integer default 50
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
  v_first bigint;
  v_last bigint;
  v_latest bigint;
  v_latest_rev bigint;
  v_messages public.chat_messages[];
begin
  if num_nonnulls(p_before_seq, p_after_seq, p_around_seq) > 1 or p_limit is null or p_limit not between 1 and 200 then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('fields', array['before_seq', 'after_seq', 'around_seq', 'limit'], 'allowed', '1 to 200'),
      'Name one place to read from, and a limit of 1 to 200.');
  end if;
  select chat.last_seq, chat.last_rev into v_latest, v_latest_rev from public.chats as chat
  where chat.id = v_member.chat_id;
  -- Numbers have no gaps, so a page is a range of them, wherever it lies.
  if p_after_seq is not null then
    v_first := greatest(p_after_seq, 0) + 1;
    v_last := least(v_first + p_limit - 1, v_latest);
  else
    v_last := least(coalesce(p_before_seq - 1, p_around_seq + p_limit / 2, v_latest), v_latest);
    v_first := greatest(v_last - p_limit + 1, 1);
  end if;
  select array_agg(message order by message.seq desc) into v_messages from public.chat_messages as message
  where message.chat_id = p_chat_id and message.seq between v_first and v_last;
  return jsonb_build_object(
    'messages', private.messages_as_json(p_chat_id, v_messages),
    'has_more', case when p_after_seq is null then v_first > 1 and v_last > 0 else v_last < v_latest end,
    'has_newer', v_last < v_latest,
    'latest_seq', v_latest, 'latest_rev', v_latest_rev);
end $$;
comment on function public.get_chat_messages(uuid, bigint, bigint, bigint, integer) is
  'A page of a chat''s messages, newest first: the latest, or those before, after or around a number.';

create or replace function public.get_chat_changes(p_chat_id uuid, p_after_rev bigint, p_limit integer default 200)
returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_member public.chat_members := private.require_chat_member(p_chat_id);
  v_latest bigint;
  v_latest_rev bigint;
  v_messages public.chat_messages[];
begin
  if p_after_rev is null or p_after_rev < 0 or p_limit is null or p_limit not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('fields', array['after_rev', 'limit'], 'allowed', '1 to 1000'),
      'Name the last rev you have seen, 0 for none, and a limit of 1 to 1000.');
  end if;
  select chat.last_seq, chat.last_rev into v_latest, v_latest_rev from public.chats as chat
  where chat.id = v_member.chat_id;
  select array_agg(message order by message.rev) into v_messages from (
    select message.* from public.chat_messages as message
    where message.chat_id = p_chat_id and message.workspace_id = v_member.workspace_id and message.rev > p_after_rev
    order by message.rev limit p_limit
  ) as message;
  return jsonb_build_object(
    'messages', private.messages_as_json(p_chat_id, v_messages),
    'has_more', coalesce(cardinality(v_messages), 0) = p_limit,
    'latest_seq', v_latest, 'latest_rev', v_latest_rev);
end $$;
comment on function public.get_chat_changes(uuid, bigint, integer) is
  'Messages that were sent, edited or deleted after a rev, each in its present form, in the order of their revs.';

create or replace function public.list_chats(
  p_workspace_id uuid default null, p_limit integer default 200, p_before timestamptz default null,
  p_before_id uuid default null
) returns table (
  id uuid, workspace_id uuid, kind text, title text, created_at timestamptz, last_seq bigint, last_rev bigint,
  last_message_at timestamptz, last_message_sender_id uuid, last_message_preview text, active_at timestamptz,
  role text, last_delivered_seq bigint, last_read_seq bigint, muted_until timestamptz, unread_count bigint,
  mention_count integer, other_member_ids uuid[]
)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
declare
  v_user_id constant uuid := private.require_user();
begin
  if not coalesce(p_limit between 1 and 1000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 1000"}',
      'Ask for 1 to 1,000 chats.');
  end if;
  return query
  with page as (
    select chat.*, coalesce(chat.last_message_at, chat.created_at) as active_at, member.role, member.user_id,
      member.last_delivered_seq, member.last_read_seq, member.muted_until, member.unread_deleted_count,
      member.unread_mention_count
    from public.chat_members as member join public.chats as chat on chat.id = member.chat_id
    where member.user_id = v_user_id
      and (p_workspace_id is null or member.workspace_id = p_workspace_id)
      and (p_before is null or (coalesce(chat.last_message_at, chat.created_at), chat.id)
        < (p_before, coalesce(p_before_id, '00000000-0000-0000-0000-000000000000'::uuid)))
    order by active_at desc, chat.id desc
    limit p_limit
  )
  select page.id, page.workspace_id, page.kind, page.title, page.created_at, page.last_seq, page.last_rev,
    page.last_message_at, page.last_message_sender_id, page.last_message_preview, page.active_at, page.role,
    page.last_delivered_seq, page.last_read_seq, page.muted_until,
    page.last_seq - page.last_read_seq - page.unread_deleted_count, page.unread_mention_count,
    (array_remove(page.first_member_ids, page.user_id))[1 : 3]
  from page
  order by page.active_at desc, page.id desc;
end $$;
comment on function public.list_chats(uuid, integer, timestamptz, uuid) is
  'The caller''s chats, newest activity first, each with its last message, unread and mention counts and up to '
  'three other members.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
-- Chats are people's: the service isn't a member of any and uses the tables.
revoke all on function
  private.assign_message_seq(), private.count_mentions(public.chat_messages), private.reserve_numbers(),
  private.reserve_next_chat(uuid), private.number_chat_batch(integer),
  private.require_chat_member(uuid), private.require_chat_writer(uuid), private.require_message_text(text, boolean),
  private.require_message_parts(uuid, text, jsonb, uuid[], bigint), private.tell_chat(uuid, text, jsonb),
  private.append_message(public.chat_members, text, text, jsonb, uuid[], bigint),
  private.add_to_chat(public.chats, uuid[], text), private.enter_chat(public.chats, uuid),
  private.after_leaving_chat(), private.keep_first_members(),
  private.lock_own_message(uuid, boolean), private.move_cursors(public.chat_members, bigint, boolean),
  private.messages_as_json(uuid, public.chat_messages[]),
  public.create_chat(uuid, text, text, uuid[]), public.add_chat_members(uuid, uuid[]), public.join_chat(uuid),
  public.leave_chat(uuid), public.remove_chat_member(uuid, uuid), public.mute_chat(uuid, timestamptz),
  public.send_message(uuid, text, text, jsonb, uuid[], bigint), public.send_messages(uuid, jsonb),
  public.edit_message(uuid, text), public.delete_message(uuid), public.set_typing(uuid, boolean),
  public.mark_messages_as_delivered(uuid, bigint), public.mark_messages_as_read(uuid, bigint),
  public.get_unread_count(uuid), public.get_unread_counts(uuid), public.get_latest_seq(uuid),
  public.status(public.chat_messages),
  public.get_chat_messages(uuid, bigint, bigint, bigint, integer), public.get_chat_changes(uuid, bigint, integer),
  public.list_chats(uuid, integer, timestamptz, uuid)
  from public, anon, authenticated, service_role;
revoke all on procedure private.number_chat_messages(integer) from public, anon, authenticated, service_role;
grant execute on function
  public.create_chat(uuid, text, text, uuid[]), public.add_chat_members(uuid, uuid[]), public.join_chat(uuid),
  public.leave_chat(uuid), public.remove_chat_member(uuid, uuid), public.mute_chat(uuid, timestamptz),
  public.send_message(uuid, text, text, jsonb, uuid[], bigint), public.send_messages(uuid, jsonb),
  public.edit_message(uuid, text), public.delete_message(uuid), public.set_typing(uuid, boolean),
  public.mark_messages_as_delivered(uuid, bigint), public.mark_messages_as_read(uuid, bigint),
  public.get_unread_count(uuid), public.get_unread_counts(uuid), public.get_latest_seq(uuid),
  public.get_chat_messages(uuid, bigint, bigint, bigint, integer), public.get_chat_changes(uuid, bigint, integer),
  public.list_chats(uuid, integer, timestamptz, uuid)
  to authenticated;
grant execute on function public.status(public.chat_messages) to authenticated, service_role;

notify pgrst, 'reload schema';
