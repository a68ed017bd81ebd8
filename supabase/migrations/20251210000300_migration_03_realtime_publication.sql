-- Purpose:   shows chats live: every change of a message is broadcast to its chat's private topic, `chat:<uuid>`, and the
--            tables are published for clients that watch tables.
-- Needs:     20251210000200_migration_02_triggers_and_functions; realtime.send, realtime.topic, realtime.messages.
-- Used by:   qero.chat; any client of Supabase's realtime.
-- Raises:    nothing.
-- Roll back: drop the trigger, the functions and the policies below, and take the tables out of the publication. Nothing
--            is lost: whoever asks get_chat_changes learns the same.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Broadcast
------------------------------------------------------------------------------------------------------------------------
-- Definer: whoever may write a message needs no right to the broadcasts. realtime.send turns a failure into a warning, so
-- sending never fails for it; whoever listens notices by the revs.
create or replace function private.broadcast_message() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform realtime.send(to_jsonb(new), 'message', 'chat:' || new.chat_id, true);
  return null;
end $$;
revoke all on function private.broadcast_message() from public, anon, authenticated, service_role;

create or replace trigger chat_messages_broadcast_insert after insert on public.chat_messages
  for each row execute function private.broadcast_message();
-- What was there before gets its number silently.
create or replace trigger chat_messages_broadcast_update after update of rev on public.chat_messages
  for each row when (old.seq is not null and new.rev > old.rev) execute function private.broadcast_message();

------------------------------------------------------------------------------------------------------------------------
-- Who may listen
------------------------------------------------------------------------------------------------------------------------
-- Asked once, when a channel is joined. Strict, so that no other spelling of a topic is a second way in. Definer, because
-- it is asked by policies of a table that isn't ours.
create or replace function private.is_my_chat_topic(p_topic text) returns boolean
language sql stable security definer set search_path = '' as $$
  select case when p_topic ~ '^chat:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' then exists (
    select 1 from public.chat_members as member
    where member.chat_id = substr(p_topic, 6)::uuid and member.user_id = (select auth.uid())
  ) else false end
$$;
revoke all on function private.is_my_chat_topic(text) from public, anon, authenticated, service_role;
grant execute on function private.is_my_chat_topic(text) to authenticated;

drop policy if exists qero_chat_select_member on realtime.messages;
create policy qero_chat_select_member on realtime.messages for select to authenticated
  using (extension in ('broadcast', 'presence') and (select private.is_my_chat_topic((select realtime.topic()))));
-- Presence only: what is broadcast comes from the database, so nobody can pretend that somebody else has written.
drop policy if exists qero_chat_insert_member on realtime.messages;
create policy qero_chat_insert_member on realtime.messages for insert to authenticated
  with check (extension = 'presence' and (select private.is_my_chat_topic((select realtime.topic()))));

------------------------------------------------------------------------------------------------------------------------
-- Realtime
------------------------------------------------------------------------------------------------------------------------
-- Not chat_members: deletions reach everybody who watches a table, with the primary key, and here that is who left what.
do $$
declare
  v_table text;
begin
  foreach v_table in array array['chats', 'chat_messages'] loop
    if not exists (
      select 1 from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = v_table
    ) then
      execute format('alter publication supabase_realtime add table public.%I', v_table);
    end if;
  end loop;
end $$;

notify pgrst, 'reload schema';
