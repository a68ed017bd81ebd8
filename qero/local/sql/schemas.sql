-- Purpose: schemas and extensions around public, the empty Realtime publication, PostgREST's reload triggers.
-- Run by:  supabase_admin, after roles.sql; safe to run again.
--
-- Leaves new objects in public without grants to the API roles, as new hosted projects do; default_grants.sql
-- switches to the older automatic grants.

-- schemas ---------------------------------------------------------------------------------------------------

grant usage on schema public to postgres, anon, authenticated, service_role;

create schema if not exists extensions authorization postgres;
grant usage on schema extensions to anon, authenticated, service_role;
grant all on schema extensions to dashboard_user;

create schema if not exists realtime;
grant usage on schema realtime to postgres, anon, authenticated, service_role;
grant all on schema realtime to supabase_realtime_admin;

-- extensions ------------------------------------------------------------------------------------------------

do $$
declare
  v_extension text;
begin
  for v_extension in
    select name from pg_catalog.pg_available_extensions
     where name in ('pgcrypto', 'uuid-ossp')
        -- Creatable anywhere, but every query of its view fails unless the server preloads it.
        or (name = 'pg_stat_statements'
            and current_setting('shared_preload_libraries') ~ '\mpg_stat_statements\M')
  loop
    execute format('create extension if not exists %I with schema extensions', v_extension);
  end loop;
end $$;

grant all on all tables in schema extensions to postgres with grant option;
grant all on all routines in schema extensions to postgres with grant option;
grant all on all sequences in schema extensions to postgres with grant option;

-- realtime --------------------------------------------------------------------------------------------------

do $$ begin
  if not exists (select from pg_catalog.pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
end $$;
alter publication supabase_realtime owner to postgres;

-- PostgREST's schema cache ----------------------------------------------------------------------------------

create or replace function extensions.pgrst_ddl_watch() returns event_trigger
language plpgsql set search_path = '' as $$
begin
  if exists (
    select from pg_catalog.pg_event_trigger_ddl_commands() as command
     where command.schema_name is distinct from 'pg_temp'
       and (command.command_tag ~ '^(CREATE|ALTER) (SCHEMA|(FOREIGN )?TABLE|(MATERIALIZED )?VIEW|FUNCTION|TYPE)$'
            or command.command_tag in ('CREATE TABLE AS', 'SELECT INTO', 'CREATE TRIGGER', 'CREATE RULE',
                                       'COMMENT'))
  ) then
    notify pgrst, 'reload schema';
  end if;
end $$;

create or replace function extensions.pgrst_drop_watch() returns event_trigger
language plpgsql set search_path = '' as $$
begin
  if exists (
    select from pg_catalog.pg_event_trigger_dropped_objects() as dropped
     where not dropped.is_temporary
       and dropped.object_type in ('schema', 'table', 'foreign table', 'view', 'materialized view', 'function',
                                   'trigger', 'type', 'rule')
  ) then
    notify pgrst, 'reload schema';
  end if;
end $$;

drop event trigger if exists pgrst_ddl_watch;
create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
drop event trigger if exists pgrst_drop_watch;
create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_drop_watch();
