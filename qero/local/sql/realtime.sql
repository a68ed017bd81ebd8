-- Schema `realtime`: broadcast from the database, channel policies, and what the local realtime server asks for.
--
-- Needs:   roles anon, authenticated, service_role, postgres, supabase_realtime_admin; run as a superuser.
-- Used by: migrations (policies on realtime.messages, realtime.send, realtime.broadcast_changes),
--          qero.local.realtime (the publication, realtime.channel_policies, realtime.visible_rows).
-- Raises:  42501 when anyone but a superuser changes realtime.messages beyond its policies.
-- Repeats: safe to run again.
-- Undo:    drop event trigger realtime_messages_ddl, realtime_messages_drop; drop publication
--          supabase_realtime_messages_publication; drop schema realtime cascade; drop role realtime_messages_owner.

create schema if not exists realtime;
grant usage on schema realtime to postgres, anon, authenticated, service_role;
grant all on schema realtime to supabase_realtime_admin;


-- == Tables ==========================================================================================

-- Hosted partitions this table by day and drops partitions. One plain table, from which the server deletes,
-- can't run out of partitions while the server is away, and writing to it is no different.
create table if not exists realtime.messages (
  topic text not null,
  extension text not null,
  payload jsonb,
  event text,
  private boolean default false,
  updated_at timestamp not null default timezone('utc', now()),
  inserted_at timestamp not null default timezone('utc', now()),
  id uuid not null default gen_random_uuid(),
  constraint messages_pkey primary key (id, inserted_at)
);
create index if not exists messages_inserted_at_topic_index on realtime.messages (inserted_at desc, topic);
alter table realtime.messages enable row level security;


-- == Ownership and grants ============================================================================

-- On hosted an extension lets `postgres` write policies on a table it doesn't own. Plain Postgres only lets
-- owners do that, so the table belongs to a role of its own that `postgres` is a member of; the event
-- triggers below take back everything else that ownership brings.
do $$
begin
  if not exists (select from pg_catalog.pg_roles where rolname = 'realtime_messages_owner') then
    create role realtime_messages_owner nologin noinherit;
  end if;
end $$;
grant realtime_messages_owner to postgres;
alter table realtime.messages owner to realtime_messages_owner;

revoke all on realtime.messages from realtime_messages_owner;
grant select, insert, update on realtime.messages
  to realtime_messages_owner, postgres, anon, authenticated, service_role;
grant all on realtime.messages to supabase_realtime_admin;

create or replace function realtime.refuse_messages_ddl()
returns event_trigger
language plpgsql set search_path = '' as $$
declare
  -- Looked up in the catalogue: a cast to regclass needs USAGE on the schema, which not every role has.
  v_messages constant oid := (
    select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname = 'realtime' and c.relname = 'messages');
  v_refused boolean;
begin
  if (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) then
    return;
  end if;
  if tg_event = 'sql_drop' then
    v_refused := exists (
      select from pg_catalog.pg_event_trigger_dropped_objects() d
       where d.object_type <> 'policy'
         and (d.schema_name = 'realtime' or d.address_names[1:2] = array['realtime', 'messages']));
  else
    v_refused := exists (
      select from pg_catalog.pg_event_trigger_ddl_commands() c
       where case c.classid
               when 'pg_catalog.pg_class'::regclass then c.objid = v_messages or exists (
                 select from pg_catalog.pg_index i where i.indexrelid = c.objid and i.indrelid = v_messages)
               when 'pg_catalog.pg_trigger'::regclass then exists (
                 select from pg_catalog.pg_trigger t where t.oid = c.objid and t.tgrelid = v_messages)
               when 'pg_catalog.pg_rewrite'::regclass then exists (
                 select from pg_catalog.pg_rewrite r where r.oid = c.objid and r.ev_class = v_messages)
               else false
             end);
  end if;
  if v_refused then
    raise exception using errcode = '42501', message = 'must be owner of table messages',
      hint = 'On hosted projects realtime.messages takes policies and nothing else.';
  end if;
end $$;
revoke all on function realtime.refuse_messages_ddl() from public;

drop event trigger if exists realtime_messages_ddl;
create event trigger realtime_messages_ddl on ddl_command_end execute function realtime.refuse_messages_ddl();
drop event trigger if exists realtime_messages_drop;
create event trigger realtime_messages_drop on sql_drop execute function realtime.refuse_messages_ddl();


-- == Functions for migrations ========================================================================

create or replace function realtime.topic()
returns text
language sql stable set search_path = '' as $$
  select nullif(current_setting('realtime.topic', true), '');
$$;

-- A failure must not undo the write that wanted to tell about it: it becomes a warning, as on hosted.
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void
language plpgsql set search_path = '' as $$
declare
  v_id constant uuid := gen_random_uuid();
begin
  perform set_config('realtime.topic', topic, true);
  insert into realtime.messages (id, topic, extension, payload, event, private)
  values (
    v_id, topic, 'broadcast',
    case when payload ? 'id' then payload else jsonb_set(payload, '{id}', to_jsonb(v_id)) end,
    event, private);
exception when others then
  raise warning 'WarnSendingBroadcastMessage: %', sqlerrm;
end $$;

create or replace function realtime.broadcast_changes(
  topic_name text, event_name text, operation text, table_name text, table_schema text,
  new record, old record, level text default 'ROW')
returns void
language plpgsql set search_path = '' as $$
begin
  if level = 'STATEMENT' then
    raise exception 'function can only be triggered for each row, not for each statement';
  end if;
  if operation not in ('INSERT', 'UPDATE', 'DELETE') then
    raise exception 'Unexpected operation type: %', operation;
  end if;
  perform realtime.send(
    jsonb_build_object(
      'operation', operation, 'schema', table_schema, 'table', table_name, 'record', new, 'old_record', old),
    event_name, topic_name);
end $$;

alter function realtime.topic() owner to supabase_realtime_admin;
alter function realtime.send(jsonb, text, text, boolean) owner to supabase_realtime_admin;
alter function realtime.broadcast_changes(text, text, text, text, text, record, record, text)
  owner to supabase_realtime_admin;
grant execute on function
  realtime.topic(),
  realtime.send(jsonb, text, text, boolean),
  realtime.broadcast_changes(text, text, text, text, text, record, record, text)
  to postgres, anon, authenticated, service_role;


-- == Functions for the server ========================================================================

-- None of these pins search_path: they run policies, whose functions must see the session's own.

-- Be the bearer of these claims for the rest of the (sub)transaction.
create or replace function realtime.become(p_claims text, p_topic text default '')
returns void
language plpgsql as $$
declare
  v_claims constant jsonb := p_claims::jsonb;
begin
  perform set_config('realtime.topic', p_topic, true),
          set_config('request.headers', '{}', true),
          set_config('request.jwt.claims', p_claims, true),
          set_config('request.jwt.claim.sub', coalesce(v_claims ->> 'sub', ''), true),
          set_config('request.jwt.claim.role', coalesce(v_claims ->> 'role', ''), true),
          set_config('role', coalesce(v_claims ->> 'role', ''), true);
end $$;

-- What the policies on realtime.messages let the bearer do with a private channel, per extension.
-- Every probe row is rolled back here, whatever the caller does with the transaction.
create or replace function realtime.channel_policies(p_topic text, p_claims text)
returns table (probed_extension text, may_read boolean, may_write boolean)
language plpgsql as $$
declare
  v_id uuid;
begin
  foreach probed_extension in array array['broadcast', 'presence'] loop
    may_read := false;
    begin
      v_id := gen_random_uuid();
      insert into realtime.messages (id, topic, extension) values (v_id, p_topic, probed_extension);
      perform realtime.become(p_claims, p_topic);
      may_read := exists (select from realtime.messages m where m.id = v_id);
      raise exception using errcode = 'QR001';
    exception
      when sqlstate 'QR001' then null;
      when others then raise warning 'read policy for topic %: %', p_topic, sqlerrm;
    end;
    may_write := false;
    begin
      perform realtime.become(p_claims, p_topic);
      insert into realtime.messages (topic, extension) values (p_topic, probed_extension);
      may_write := true;
      raise exception using errcode = 'QR001';
    exception
      when sqlstate 'QR001' or insufficient_privilege then null;
      when others then raise warning 'write policy for topic %: %', p_topic, sqlerrm;
    end;
    return next;
  end loop;
end $$;

-- Which rows each reader may see now. `p_query` takes an array of keys as $1 and returns the zero-based
-- positions of those it finds. A policy that fails for one row hides that row from that reader, no more.
create or replace function realtime.visible_rows(p_query text, p_keys jsonb, p_readers text[])
returns table (reader integer, item integer)
language plpgsql as $$
begin
  for v_reader in 0 .. cardinality(p_readers) - 1 loop
    reader := v_reader;
    begin
      perform realtime.become(p_readers[v_reader + 1]);
    exception when others then
      raise warning 'a reader of changes: %', sqlerrm;
      continue;
    end;
    begin
      for item in execute p_query using p_keys loop
        return next;
      end loop;
    exception when others then
      for v_position in 0 .. jsonb_array_length(p_keys) - 1 loop
        begin
          for item in execute p_query using jsonb_build_array(p_keys -> v_position) loop
            item := v_position;
            return next;
          end loop;
        exception when others then
          raise warning 'policy of a subscribed table: %', sqlerrm;
        end;
      end loop;
    end;
    perform set_config('role', 'none', true);
  end loop;
end $$;

revoke all on function
  realtime.become(text, text),
  realtime.channel_policies(text, text),
  realtime.visible_rows(text, jsonb, text[])
  from public;


-- == Realtime ========================================================================================

-- Inserts only, so that deleting old messages costs the capture nothing.
do $$
begin
  if not exists (
    select from pg_catalog.pg_publication where pubname = 'supabase_realtime_messages_publication') then
    create publication supabase_realtime_messages_publication
      for table realtime.messages with (publish = 'insert');
  end if;
end $$;
