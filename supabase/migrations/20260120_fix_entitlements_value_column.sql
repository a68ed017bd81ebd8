-- Purpose:   turns what older databases kept in workspace_entitlements.value into enabled and payload.
-- Needs:     20260118000000_ops_console.
-- Used by:   20260121200000_fix_ambiguous_column_refs.
-- Raises:    nothing itself.
-- Roll back: nothing to do: value keeps what it held, as jsonb. Make it `not null` again only for code that writes it.
--
-- value was NOT NULL and of any type. A boolean says whether the entitlement is enabled, an object is its payload where
-- it has none yet, and any other value goes into the payload as {"value": …}. Without a column enabled every row was
-- a grant, unless its value was false or null. Afterwards value is jsonb, nullable, `{}` by default, and never read.

set lock_timeout = '5s';
set statement_timeout = '60s';

do $$
declare
  v_table constant regclass := 'public.workspace_entitlements';
  v_value pg_attribute;
  v_is_converted boolean;
  v_has_enabled boolean;
begin
  select older.* into v_value from pg_attribute as older
  where older.attrelid = v_table and older.attname = 'value' and not older.attisdropped;
  v_has_enabled := exists (
    select from pg_attribute where attrelid = v_table and attname = 'enabled' and not attisdropped);
  v_is_converted := v_has_enabled and (v_value is null or not v_value.attnotnull and v_value.atttypid = 'jsonb'::regtype
    and exists (
      select from pg_attrdef
      where adrelid = v_table and adnum = v_value.attnum and pg_get_expr(adbin, adrelid) = '''{}''::jsonb')
    and exists (select from pg_attribute where attrelid = v_table and attname = 'payload' and not attisdropped));

  alter table public.workspace_entitlements
    add column if not exists enabled boolean,
    add column if not exists payload jsonb,
    add column if not exists value jsonb default '{}'::jsonb;
  if not v_is_converted then
    alter table public.workspace_entitlements
      alter column value drop not null,
      alter column value drop default,
      alter column payload type jsonb using to_jsonb(payload);
    alter table public.workspace_entitlements alter column value type jsonb using to_jsonb(value);

    update public.workspace_entitlements as entitlement
    set enabled = case
        when jsonb_typeof(entitlement.value) = 'boolean' then entitlement.value::boolean
        when v_has_enabled then coalesce(entitlement.enabled, false)
        else coalesce(jsonb_typeof(entitlement.value) <> 'null', false)
      end,
      payload = case
        when coalesce(entitlement.payload, 'null') not in ('{}', 'null') then case jsonb_typeof(entitlement.payload)
          when 'object' then entitlement.payload else jsonb_build_object('value', entitlement.payload) end
        when jsonb_typeof(entitlement.value) = 'object' then entitlement.value
        when jsonb_typeof(entitlement.value) in ('string', 'number', 'array') then
          jsonb_build_object('value', entitlement.value)
        else '{}'
      end;
  end if;

  alter table public.workspace_entitlements
    alter column value set default '{}'::jsonb,
    alter column enabled set default false, alter column enabled set not null,
    alter column payload set default '{}'::jsonb, alter column payload set not null;
  -- Named for what it checks, and added last, because older payloads had to be brought into this form first.
  if not exists (
    select from pg_constraint where conrelid = v_table and conname = 'workspace_entitlements_payload_check'
  ) then
    alter table public.workspace_entitlements add constraint workspace_entitlements_payload_check
      check (jsonb_typeof(payload) = 'object');
  end if;
end $$;
comment on column public.workspace_entitlements.value is
  'What older versions read. Kept for them as it was, and never read here: enabled and payload say it all.';
