-- Purpose:   team chat: chats, their members with one pair of cursors each, and messages with a number (`seq`) and a
--            change number (`rev`) per chat. Existing tables get what they lack; their messages are numbered later.
-- Needs:     001_core_identity.
-- Used by:   20251210000200_migration_02_triggers_and_functions, 20251210000300_migration_03_realtime_publication;
--            qero.services.chats.
-- Raises:    nothing.
-- Roll back: drop table chat_messages, chat_members, chats, private.chat_backlog cascade. Loses every chat: back up
--            first. Where the tables were there before, drop the columns instead: those lose numbers and cursors only.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Tables
------------------------------------------------------------------------------------------------------------------------
-- Every column beyond the ones that any chat has is added on its own, so that a table that stood before ends up alike.
create table if not exists public.chats (
  id uuid primary key default gen_random_uuid(),
  workspace_id uuid not null,
  created_at timestamptz not null default now()
);
alter table public.chats
  add column if not exists kind text not null default 'group',
  add column if not exists title text,
  add column if not exists direct_key text,
  add column if not exists created_by uuid,
  add column if not exists last_seq bigint not null default 0,
  add column if not exists last_rev bigint not null default 0,
  add column if not exists last_message_at timestamptz,
  add column if not exists last_message_sender_id uuid,
  add column if not exists last_message_preview text,
  add column if not exists first_member_ids uuid[] not null default '{}',
  add column if not exists thread_id uuid,
  add column if not exists connection_id uuid;
comment on column public.chats.thread_id is
  'Of the channel that holds the notes about a thread; 20260220000000_inbox makes it a reference.';
comment on column public.chats.last_seq is 'The number of the newest message; the next one gets the next number.';
comment on column public.chats.last_rev is 'The number of the latest change: of a message sent, edited or deleted.';
comment on column public.chats.direct_key is 'The two people of a direct chat; there is one such chat for each pair.';
comment on column public.chats.last_message_preview is
  'What the newest message begins with; null when it is deleted or has no text.';
comment on column public.chats.first_member_ids is
  'The four members who have been there longest, kept by a trigger, so that a list of chats looks nobody up.';

create table if not exists public.chat_members (
  chat_id uuid not null,
  user_id uuid not null,
  constraint chat_members_pkey primary key (chat_id, user_id)
);
alter table public.chat_members
  add column if not exists workspace_id uuid,
  add column if not exists role text not null default 'member',
  add column if not exists last_delivered_seq bigint not null default 0,
  add column if not exists last_read_seq bigint not null default 0,
  add column if not exists unread_deleted_count integer not null default 0,
  add column if not exists unread_mention_count integer not null default 0,
  add column if not exists muted_until timestamptz,
  add column if not exists joined_at timestamptz not null default now();
comment on column public.chat_members.unread_deleted_count is
  'Deleted messages after last_read_seq, so that unread messages are a subtraction and nothing is counted.';
comment on column public.chat_members.unread_mention_count is 'Messages after last_read_seq that mention the member.';

create table if not exists public.chat_messages (
  id uuid primary key default gen_random_uuid(),
  chat_id uuid not null,
  sender_id uuid,
  body text,
  created_at timestamptz not null default now()
);
alter table public.chat_messages
  add column if not exists workspace_id uuid,
  add column if not exists seq bigint,
  add column if not exists rev bigint,
  add column if not exists client_generated_id text,
  add column if not exists attachments jsonb not null default '[]',
  add column if not exists mentions uuid[] not null default '{}',
  add column if not exists reply_to bigint,
  add column if not exists edited_at timestamptz,
  add column if not exists deleted_at timestamptz;
comment on column public.chat_messages.seq is 'Its number in its chat: gap-free, in the order of the commits.';
comment on column public.chat_messages.rev is 'The number of its latest change among all changes of its chat.';
comment on column public.chat_messages.reply_to is
  'The number of the message that it answers. Numbers have no gaps, so any smaller one is a message of the chat.';
comment on column public.chat_messages.attachments is
  'References to what is stored elsewhere: an array of {"ref", "name", "content_type", "size_bytes"}.';

-- Which chats have messages from before the numbers, and how far private.number_chat_messages has come.
create table if not exists private.chat_backlog (
  chat_id uuid primary key,
  message_count bigint not null,
  numbered_count bigint not null default 0
);
comment on table private.chat_backlog is
  'Chats whose oldest messages wait for their numbers, 1 to message_count, which are reserved for them.';

-- Room for new versions of rows that change with every message, on the same page and without touching an index.
alter table public.chats set (fillfactor = 70);
alter table public.chat_members set (fillfactor = 70);

-- Members are few beside messages, so theirs are filled at once; messages are while they are numbered.
update public.chat_members as member set workspace_id = chat.workspace_id
from public.chats as chat where chat.id = member.chat_id and member.workspace_id is null;

update public.chats as chat
set first_member_ids = array(
  select member.user_id from public.chat_members as member where member.chat_id = chat.id
  order by member.joined_at, member.user_id limit 4)
where chat.first_member_ids = '{}';

do $$
declare
  v_table text;
  v_name text;
  v_definition text;
  v_has_rows boolean;
begin
  for v_table, v_name, v_definition in values
    ('chats', 'chats_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('chats', 'chats_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('chats', 'chats_created_by_fkey', 'foreign key (created_by) references public.profiles (id) on delete set null'),
    ('chats', 'chats_kind_check', 'check (kind in (''direct'', ''group'', ''channel''))'),
    ('chats', 'chats_title_check', 'check (length(title) between 1 and 200)'),
    ('chats', 'chats_direct_key_check', 'check ((kind = ''direct'') = (direct_key is not null))'),
    ('chats', 'chats_last_seq_check', 'check (last_seq >= 0 and last_rev >= last_seq)'),
    ('chat_members', 'chat_members_workspace_id_chat_id_fkey',
      'foreign key (workspace_id, chat_id) references public.chats (workspace_id, id) on delete cascade'),
    -- Who leaves the workspace leaves its chats.
    ('chat_members', 'chat_members_user_id_workspace_id_fkey',
      'foreign key (user_id, workspace_id) references public.workspace_memberships (user_id, workspace_id)
       on delete cascade'),
    ('chat_members', 'chat_members_role_check', 'check (role in (''owner'', ''member''))'),
    ('chat_members', 'chat_members_cursors_check',
      'check (last_read_seq >= 0 and last_delivered_seq >= last_read_seq)'),
    ('chat_members', 'chat_members_counts_check', 'check (unread_deleted_count >= 0 and unread_mention_count >= 0)'),
    ('chat_messages', 'chat_messages_chat_id_seq_key', 'unique (chat_id, seq)'),
    -- In this order, so that it also serves the reference to the sender.
    ('chat_messages', 'chat_messages_client_generated_id_key', 'unique (sender_id, client_generated_id, chat_id)'),
    ('chat_messages', 'chat_messages_chat_id_workspace_id_fkey',
      'foreign key (chat_id, workspace_id) references public.chats (id, workspace_id) on delete cascade'),
    ('chat_messages', 'chat_messages_sender_id_fkey',
      'foreign key (sender_id) references public.profiles (id) on delete set null'),
    ('chat_messages', 'chat_messages_body_check', 'check (length(body) between 1 and 8000)'),
    ('chat_messages', 'chat_messages_client_generated_id_check', 'check (length(client_generated_id) between 1 and 100)'),
    ('chat_messages', 'chat_messages_attachments_check',
      'check (case jsonb_typeof(attachments) when ''array'' then jsonb_array_length(attachments) <= 10 else false end)'),
    ('chat_messages', 'chat_messages_mentions_check', 'check (cardinality(mentions) <= 50)'),
    ('chat_messages', 'chat_messages_seq_check', 'check (seq > 0 and rev >= seq)'),
    ('chat_messages', 'chat_messages_reply_to_check', 'check (reply_to > 0 and reply_to < seq)'),
    ('chat_backlog', 'chat_backlog_chat_id_fkey',
      'foreign key (chat_id) references public.chats (id) on delete cascade')
  loop
    v_table := case v_table when 'chat_backlog' then 'private.' else 'public.' end || v_table;
    continue when exists (
      select 1 from pg_constraint where conrelid = v_table::regclass and conname = v_name);
    execute format('select exists (select 1 from %s)', v_table) into v_has_rows;
    -- What breaks a rule from before it was one is reported by private.number_chat_messages, which validates.
    execute format('alter table %s add constraint %I %s%s', v_table, v_name, v_definition,
      case when v_has_rows and v_definition not like 'unique%' then ' not valid' else '' end);
  end loop;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Indexes
------------------------------------------------------------------------------------------------------------------------
-- What moves with every message, cursors and the last_ columns, is in none of them.
create unique index if not exists chats_workspace_id_direct_key_idx
  on public.chats (workspace_id, direct_key) where direct_key is not null;
create unique index if not exists chats_thread_id_connection_id_workspace_id_idx
  on public.chats (thread_id, connection_id, workspace_id) where thread_id is not null;
create index if not exists chats_created_by_idx on public.chats (created_by) where created_by is not null;
-- Answers "which chats am I in" by itself, and serves the reference to the membership.
create index if not exists chat_members_user_id_workspace_id_chat_id_idx
  on public.chat_members (user_id, workspace_id, chat_id);
create index if not exists chat_members_workspace_id_chat_id_idx on public.chat_members (workspace_id, chat_id);
-- What changed after a rev; with the workspace it serves the reference to the chat as well.
create index if not exists chat_messages_chat_id_workspace_id_rev_idx
  on public.chat_messages (chat_id, workspace_id, rev);
-- The few messages that count for something when a cursor stops among unread ones.
create index if not exists chat_messages_counted_chat_id_seq_idx
  on public.chat_messages (chat_id, seq) where deleted_at is not null or mentions <> '{}';

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
alter table public.chats enable row level security;
alter table public.chat_members enable row level security;
alter table public.chat_messages enable row level security;
alter table private.chat_backlog enable row level security;

-- Definer, because a policy on chat_members that read chat_members would recurse (42P17).
create or replace function private.my_chat_ids() returns setof uuid
language plpgsql stable security definer set search_path = '' as $$
begin
  return query select member.chat_id from public.chat_members as member where member.user_id = (select auth.uid());
end $$;
revoke all on function private.my_chat_ids() from public, anon, authenticated, service_role;
grant execute on function private.my_chat_ids() to authenticated, service_role;

drop policy if exists chats_select_member on public.chats;
create policy chats_select_member on public.chats for select to authenticated
  using (id = any (array(select private.my_chat_ids())));
drop policy if exists chat_members_select_member on public.chat_members;
create policy chat_members_select_member on public.chat_members for select to authenticated
  using (chat_id = any (array(select private.my_chat_ids())));
drop policy if exists chat_messages_select_member on public.chat_messages;
create policy chat_messages_select_member on public.chat_messages for select to authenticated
  using (chat_id = any (array(select private.my_chat_ids())));
drop policy if exists chat_backlog_all_service on private.chat_backlog;
create policy chat_backlog_all_service on private.chat_backlog for all to service_role using (true) with check (true);

------------------------------------------------------------------------------------------------------------------------
-- Grants on tables
------------------------------------------------------------------------------------------------------------------------
revoke all on table public.chats, public.chat_members, public.chat_messages, private.chat_backlog
  from public, anon, authenticated, service_role;
grant select on table public.chats, public.chat_members, public.chat_messages to authenticated;
grant select, insert, update, delete on table public.chats, public.chat_members to service_role;
-- Messages keep their place: not even the service removes or renumbers one.
grant select, insert on table public.chat_messages to service_role;

notify pgrst, 'reload schema';
