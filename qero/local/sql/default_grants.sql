-- Purpose: the older default of hosted projects: whatever postgres or supabase_admin creates in public is
--          granted to the API roles at once. Newer projects don't have it; migrations must be right under both.
-- Run by:  supabase_admin, after storage.sql and before any migration, only where that default is wanted;
--          safe to run again.

alter default privileges for role postgres, supabase_admin in schema public
  grant all on tables to postgres, anon, authenticated, service_role;
alter default privileges for role postgres, supabase_admin in schema public
  grant all on functions to postgres, anon, authenticated, service_role;
alter default privileges for role postgres, supabase_admin in schema public
  grant all on sequences to postgres, anon, authenticated, service_role;
