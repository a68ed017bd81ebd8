-- Purpose:   keeps the planner's estimates from members: they are made of everybody's rows, whatever row security says,
--            and `Prefer: count=planned` would hand them out.
-- Needs:     every migration that makes a table which members may read.
-- Used by:   PostgREST, when a request asks for a planned or estimated count, or for a plan.
-- Raises:    estimate_refused (400).
-- Roll back: drop the policies named <table>_select_unestimated and the function. No data is lost.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- Functions
------------------------------------------------------------------------------------------------------------------------
-- Said to be immutable, so that the planner asks while it plans and puts the answer in place of the question: a plan that
-- is run knows nothing of it, and costs nothing. Only explaining is planning for its own sake; whoever does so by SQL, and
-- not through the API, may.
create or replace function private.is_no_estimate() returns boolean
language plpgsql immutable parallel safe security invoker set search_path = '' as $$
begin
  if current_setting('request.path', true) <> '' and current_query() ~* '^\s*explain\M' then
    perform private.raise_error(400, 'estimate_refused', '{}',
      'Ask for count=exact, or for no count: estimates are made of rows that the caller may not see.');
  end if;
  return true;
end $$;
comment on function private.is_no_estimate() is
  'True, unless a request wants to know how many rows the planner expects: that is refused.';
revoke all on function private.is_no_estimate() from public, anon, authenticated, service_role;
grant execute on function private.is_no_estimate() to authenticated;

------------------------------------------------------------------------------------------------------------------------
-- Row security
------------------------------------------------------------------------------------------------------------------------
-- For every table that members read, so that none is forgotten; a later migration that makes one brings its policy along.
do $$
declare
  v_table name;
begin
  for v_table in
    select distinct policy.tablename from pg_catalog.pg_policies as policy
    where policy.schemaname = 'public' and policy.permissive = 'PERMISSIVE' and policy.cmd in ('SELECT', 'ALL')
      and 'authenticated' = any (policy.roles)
    order by policy.tablename
  loop
    execute format('drop policy if exists %I on public.%I', v_table || '_select_unestimated', v_table);
    execute format('create policy %I on public.%I as restrictive for select to authenticated'
      ' using (private.is_no_estimate())', v_table || '_select_unestimated', v_table);
  end loop;
end $$;

notify pgrst, 'reload schema';
