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
-- Tables that stand already are locked at once, messages first as by whoever writes one: nobody then waits for another
-- who waits for this.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['public.chat_messages', 'public.chats', 'public.chat_members'] loop
    if to_regclass(v_table) is not null then
      execute format('lock table %s in access exclusive mode', v_table);
    end if;
  end loop;
end $$;

-- Every column beyond the ones that any chat has is added on its own, so that a table that stood before ends up alike.
create table if not exists public.chats (id uuid primary key default gen_random_uuid());
alter table public.chats
  add column if not exists workspace_id uuid,
  add column if not exists created_at timestamptz not null default now(),
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

create table if not exists public.chat_messages (id uuid primary key default gen_random_uuid());
alter table public.chat_messages
  add column if not exists chat_id uuid,
  add column if not exists sender_id uuid,
  add column if not exists body text,
  add column if not exists created_at timestamptz not null default now(),
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
create table if not exists private.chat_backlog (chat_id uuid primary key);
alter table private.chat_backlog add column if not exists next_seq bigint;
comment on table private.chat_backlog is 'Chats that may have messages from before there were numbers.';
comment on column private.chat_backlog.next_seq is
  'The number that the next of them gets; null until they are counted, and as many numbers reserved for them.';

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
where chat.first_member_ids = '{}' and exists (
  select from public.chat_members as member where member.chat_id = chat.id);

do $$
begin
  perform private.ensure_constraint(rule.of_table, rule.name, rule.definition) from (values
    ('public.chats'::regclass, 'chats_workspace_id_id_key', 'unique (workspace_id, id)'),
    ('public.chats', 'chats_workspace_id_fkey',
      'foreign key (workspace_id) references public.workspaces (id) on delete cascade'),
    ('public.chats', 'chats_created_by_fkey',
      'foreign key (created_by) references public.profiles (id) on delete set null'),
    ('public.chats', 'chats_kind_check', 'check (kind in (''direct'', ''group'', ''channel''))'),
    ('public.chats', 'chats_title_check', 'check (length(title) between 1 and 200)'),
    ('public.chats', 'chats_direct_key_check', 'check ((kind = ''direct'') = (direct_key is not null))'),
    ('public.chats', 'chats_last_seq_check', 'check (last_seq >= 0 and last_rev >= last_seq)'),
    ('public.chat_members', 'chat_members_pkey', 'primary key (chat_id, user_id)'),
    ('public.chat_members', 'chat_members_workspace_id_chat_id_fkey',
      'foreign key (workspace_id, chat_id) references public.chats (workspace_id, id) on delete cascade'),
    -- Who leaves the workspace leaves its chats.
    ('public.chat_members', 'chat_members_user_id_workspace_id_fkey',
      'foreign key (user_id, workspace_id) references public.workspace_memberships (user_id, workspace_id)
       on delete cascade'),
    ('public.chat_members', 'chat_members_role_check', 'check (role in (''owner'', ''member''))'),
    ('public.chat_members', 'chat_members_cursors_check',
      'check (last_read_seq >= 0 and last_delivered_seq >= last_read_seq)'),
    ('public.chat_members', 'chat_members_counts_check',
      'check (unread_deleted_count >= 0 and unread_mention_count >= 0)'),
    ('public.chat_messages', 'chat_messages_chat_id_seq_key', 'unique (chat_id, seq)'),
    -- In this order, so that it also serves the reference to the sender.
    ('public.chat_messages', 'chat_messages_client_generated_id_key',
      'unique (sender_id, client_generated_id, chat_id)'),
    ('public.chat_messages', 'chat_messages_chat_id_workspace_id_fkey',
      'foreign key (chat_id, workspace_id) references public.chats (id, workspace_id) on delete cascade'),
    ('public.chat_messages', 'chat_messages_sender_id_fkey',
      'foreign key (sender_id) references public.profiles (id) on delete set null'),
    ('public.chat_messages', 'chat_messages_body_check', 'check (length(body) between 1 and 8000)'),
    ('public.chat_messages', 'chat_messages_client_generated_id_check',
      'check (length(client_generated_id) between 1 and 100)'),
    ('public.chat_messages', 'chat_messages_attachments_check',
      'check (case jsonb_typeof(attachments) when ''array'' then jsonb_array_length(attachments) <= 10 else false
        end)'),
    ('public.chat_messages', 'chat_messages_mentions_check', 'check (cardinality(mentions) <= 50)'),
    ('public.chat_messages', 'chat_messages_seq_check', 'check (seq > 0 and rev >= seq)'),
    ('public.chat_messages', 'chat_messages_reply_to_check', 'check (reply_to > 0 and reply_to < seq)'),
    ('private.chat_backlog', 'chat_backlog_chat_id_fkey',
      'foreign key (chat_id) references public.chats (id) on delete cascade')
  ) as rule (of_table, name, definition);
  perform private.ensure_not_null('public.chats', 'workspace_id');
  perform private.ensure_not_null('public.chat_members', 'workspace_id');
  perform private.ensure_not_null('public.chat_messages', 'chat_id');
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
