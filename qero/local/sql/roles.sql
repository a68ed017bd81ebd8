-- Purpose: the roles of a hosted project, with their attributes, memberships and settings.
-- Run by:  supabase_admin (superuser), first; safe to run again. Sets no passwords: the caller does.
--
-- Differs from hosted: its authenticator preloads safeupdate, which refuses UPDATE and DELETE without WHERE.
-- Postgres builds from package registries don't carry that module. The gateway refuses such requests in its
-- place; inside a function the statement succeeds here.
-- And on Postgres 15 CREATEROLE lets postgres alter or join the supabase_* roles, which hosted reserves.

-- roles -----------------------------------------------------------------------------------------------------

do $$
declare
  v_role record;
begin
  for v_role in
    select * from (values
      ('postgres',                'nosuperuser login inherit createdb createrole replication bypassrls'),
      ('anon',                    'nologin inherit'),
      ('authenticated',           'nologin inherit'),
      ('service_role',            'nologin inherit bypassrls'),
      ('authenticator',           'login noinherit'),
      ('supabase_auth_admin',     'login noinherit createrole'),
      ('supabase_storage_admin',  'login noinherit createrole'),
      ('supabase_realtime_admin', 'nologin noinherit'),
      -- Owns nothing here; dumps of hosted projects grant to it.
      ('dashboard_user',          'nologin createdb createrole replication')
    ) as wanted (name, attributes)
  loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role.name) then
      execute format('create role %I', v_role.name);
    end if;
    execute format('alter role %I with %s', v_role.name, v_role.attributes);
  end loop;
end $$;

-- memberships -----------------------------------------------------------------------------------------------

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated, service_role, authenticator to postgres with admin option;
grant authenticator to supabase_storage_admin;
grant pg_monitor, pg_read_all_data, pg_signal_backend to postgres;

-- settings --------------------------------------------------------------------------------------------------

alter role supabase_admin set search_path = "$user", public, auth, extensions;
alter role postgres set search_path = "$user", public, extensions;
alter role supabase_auth_admin set search_path = auth;
alter role supabase_storage_admin set search_path = storage;

alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';
alter role authenticator set lock_timeout = '8s';
alter role supabase_auth_admin set idle_in_transaction_session_timeout = '60s';

-- Hosted lets postgres configure PostgREST by `alter role authenticator set pgrst.…`.
grant set on parameter pgrst.db_schemas, pgrst.db_pre_request, pgrst.db_max_rows, pgrst.db_aggregates_enabled
  to postgres;

-- ownership of the database ---------------------------------------------------------------------------------

-- Schema public belongs to pg_database_owner, so this makes postgres its owner too.
do $$ begin
  execute format('alter database %I owner to postgres', current_database());
  execute format('grant all on database %I to dashboard_user', current_database());
end $$;
