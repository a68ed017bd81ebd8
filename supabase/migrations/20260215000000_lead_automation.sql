-- Purpose:   the lead queue at work: preparing a user's day, turning it into outbox messages, following what becomes of
--            them, takeovers by a person, leaving automation on a reply, export, summary and audit.
-- Needs:     20250129000000_queue_fks_and_ledger, 20260128231758_m1_reliability, 20260131000000_wa_inbound.
-- Used by:   qero.services.leads, lead_queue; `qero queue`; the outbox, receiving and replying call what is private here.
-- Raises:    PT404 workspace_not_found, lead_not_found, contact_not_found, member_not_found · PT403 role_required
--            · PT409 workspace_suspended, lead_taken, lead_not_taken, queue_message_missing · PT400 invalid_value,
--            field_unknown, lead_status_invalid, reference_not_found, too_many_ids.
-- Roll back: drop the functions below, and whatsapp_message_queue_outbox_id_workspace_id_fkey and
--            user_queue_settings_workspace_id_connection_id_fkey; no data is lost, and nothing is prepared or sent
--            until they are back.
--
-- Locks are taken in this order, each kind sorted: the workspace's automation (advisory: preparing and starting alone,
-- takeovers together) · threads · the outbox's own · queued messages, leads and runs · metrics. Whoever settles a message
-- holds its outbox row before it touches what is here, so whoever holds that row has the rest of it to themselves.
-- Preparing comes by runs before leads, and so waits for neither.

set lock_timeout = '5s';
set statement_timeout = '60s';

------------------------------------------------------------------------------------------------------------------------
-- References to what comes after the tables
------------------------------------------------------------------------------------------------------------------------
do $$
begin
  -- What an older database refers to and isn't there is set aside.
  with dangling as (
    select settings.ctid as tid, to_jsonb(settings) as contents from public.user_queue_settings as settings
    where settings.connection_id is not null and not exists (
      select from public.wa_phone_numbers as connection
      where (connection.workspace_id, connection.id) = (settings.workspace_id, settings.connection_id))
  ), emptied as (
    update public.user_queue_settings as settings set connection_id = null from dangling
    where settings.ctid = dangling.tid
  )
  insert into private.migration_rejects (source, reason, contents)
  select 'public.user_queue_settings', 'connection_id names nothing', dangling.contents from dangling;
  with dangling as (
    select message.id, to_jsonb(message) as contents from public.whatsapp_message_queue as message
    where message.outbox_id is not null and not exists (
      select from public.outbox_messages as outbox
      where (outbox.id, outbox.workspace_id) = (message.outbox_id, message.workspace_id))
  ), emptied as (
    update public.whatsapp_message_queue as message
    set outbox_id = null, status = case message.status when 'sending' then 'failed' else message.status end,
      reason = 'Its message of the outbox is gone.'
    from dangling where message.id = dangling.id
  )
  insert into private.migration_rejects (source, reason, contents)
  select 'public.whatsapp_message_queue', 'outbox_id names nothing', dangling.contents from dangling;

  if not exists (
    select from pg_constraint where conname = 'user_queue_settings_workspace_id_connection_id_fkey'
  ) then
    alter table public.user_queue_settings add constraint user_queue_settings_workspace_id_connection_id_fkey
      foreign key (workspace_id, connection_id) references public.wa_phone_numbers (workspace_id, id)
      on delete set null (connection_id);
  end if;
  if not exists (
    select from pg_constraint where conname = 'whatsapp_message_queue_outbox_id_workspace_id_fkey'
  ) then
    alter table public.whatsapp_message_queue add constraint whatsapp_message_queue_outbox_id_workspace_id_fkey
      foreign key (outbox_id, workspace_id) references public.outbox_messages (id, workspace_id)
      on delete set null (outbox_id);
  end if;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Functions: whose queue, and how it is set up
------------------------------------------------------------------------------------------------------------------------
-- The settings of the caller's queue, or for owners, admins and the service of a named member's; made when there are none.
create or replace function private.require_queue(p_workspace_id uuid, p_user_id uuid)
returns public.user_queue_settings
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id constant uuid := coalesce(p_user_id, (select auth.uid()));
  v_settings public.user_queue_settings;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    case when v_user_id = (select auth.uid()) then array['owner', 'admin', 'member'] else array['owner', 'admin'] end,
    'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  if v_user_id is null then
    perform private.raise_error(400, 'invalid_value', '{"field": "user_id"}', 'Say whose queue it is.');
  end if;
  select settings.* into v_settings from public.user_queue_settings as settings
  where settings.workspace_id = p_workspace_id and settings.user_id = v_user_id;
  if not exists (
    select from public.workspace_memberships as membership
    where membership.workspace_id = p_workspace_id and membership.user_id = v_user_id and membership.role <> 'viewer'
  ) then
    perform private.raise_error(404, 'member_not_found', jsonb_build_object('user_id', v_user_id),
      'Only members who may write have a queue.');
  end if;
  if v_settings.user_id is null then
    insert into public.user_queue_settings (workspace_id, user_id) values (p_workspace_id, v_user_id)
    on conflict on constraint user_queue_settings_pkey do nothing;
    select settings.* into v_settings from public.user_queue_settings as settings
    where settings.workspace_id = p_workspace_id and settings.user_id = v_user_id;
  end if;
  return v_settings;
end $$;

create or replace function private.check_queue_settings(p_patch jsonb) returns void
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_allowed constant text[] := array['daily_capacity', 'batch_size', 'timezone', 'sends_from', 'sends_until', 'paused',
    'takes_unassigned', 'connection_id', 'steps'];
  v_field text;
  v_value jsonb;
  v_text text;
  v_expected text;
begin
  if jsonb_typeof(p_patch) is distinct from 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "patch"}', 'Send an object of fields by name.');
  end if;
  for v_field, v_value in select * from jsonb_each(p_patch) loop
    v_text := p_patch ->> v_field;
    v_expected := case v_field
      when 'daily_capacity' then case when not coalesce(
        v_text ~ '^[0-9]{1,5}$' and v_text::integer <= 10000, false) then '0 to 10000' end
      when 'batch_size' then case when not coalesce(
        v_text ~ '^[0-9]{1,4}$' and v_text::integer between 1 and 1000, false) then '1 to 1000' end
      when 'timezone' then case when v_text is not null and (length(v_text) > 100 or not private.is_timezone(v_text))
        then 'a zone like Europe/Berlin' end
      when 'sends_from' then case when v_text is null or not private.is_valid(v_text, 'time')
        then 'a time like 09:00' end
      when 'sends_until' then case when v_text is null or not private.is_valid(v_text, 'time')
        then 'a time like 18:00' end
      when 'paused' then case when jsonb_typeof(v_value) <> 'boolean' then 'true or false' end
      when 'takes_unassigned' then case when jsonb_typeof(v_value) <> 'boolean' then 'true or false' end
      when 'connection_id' then case when v_text is not null and not private.is_valid(v_text, 'uuid')
        then 'the id of a connection' end
      when 'steps' then private.queue_steps_problem(v_value)
      else 'unknown'
    end;
    if v_expected = 'unknown' then
      perform private.raise_error(400, 'field_unknown',
        jsonb_build_object('field', left(v_field, 100), 'allowed', v_allowed), 'Use the fields that are allowed.');
    elsif v_expected is not null then
      perform private.raise_error(400, 'invalid_value',
        jsonb_build_object('field', v_field, 'value', left(v_text, 100), 'allowed', v_expected),
        'Correct the field that the detail names.');
    end if;
  end loop;
end $$;

-- What is wrong with the steps, or null.
create or replace function private.queue_steps_problem(p_steps jsonb) returns text
language sql immutable security invoker set search_path = '' as $$
  select case
    when jsonb_typeof(p_steps) is distinct from 'array' or jsonb_array_length(p_steps) > 10 then 'at most 10 steps'
    else (
      select min('step ' || step.place || ': ' || problem.text)
      from jsonb_array_elements(p_steps) with ordinality as step (value, place)
      cross join lateral (
        select case
          when jsonb_typeof(step.value) <> 'object' then 'an object'
          when (step.value ? 'body') = (step.value ? 'template') then 'either body or template'
          when step.value ? 'body' and not coalesce(jsonb_typeof(step.value -> 'body') = 'string'
            and step.value ->> 'body' ~ '[^[:space:]]' and length(step.value ->> 'body') <= 4096, false)
            then 'a body of 1 to 4096 characters'
          when step.value ? 'template' and not coalesce(
            jsonb_typeof(step.value #> '{template,name}') = 'string'
            and jsonb_typeof(step.value #> '{template,language,code}') = 'string', false)
            then 'a template with name and language.code, as Meta documents it'
          when step.place > 1 and not coalesce(step.value ->> 'after_days' ~ '^[0-9]{1,3}$'
            and (step.value ->> 'after_days')::integer between 1 and 365, false) then 'after_days of 1 to 365'
        end as text) as problem
      where problem.text is not null)
  end
$$;

create or replace function public.set_queue_settings(
  p_workspace_id uuid, p_patch jsonb default '{}', p_user_id uuid default null
) returns public.user_queue_settings
language plpgsql security definer set search_path = '' as $$
declare
  v_settings public.user_queue_settings := private.require_queue(p_workspace_id, p_user_id);
begin
  perform private.check_queue_settings(p_patch);
  if p_patch = '{}' then
    return v_settings;
  end if;
  select settings.* into v_settings from public.user_queue_settings as settings
  where settings.workspace_id = p_workspace_id and settings.user_id = v_settings.user_id
  for no key update;
  v_settings := jsonb_populate_record(v_settings, p_patch);
  if v_settings.sends_from >= v_settings.sends_until then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'sends_until', 'value', v_settings.sends_until, 'allowed', 'after sends_from'),
      'Let the hours end after they begin.');
  end if;
  update public.user_queue_settings as settings
  set daily_capacity = v_settings.daily_capacity, batch_size = v_settings.batch_size, timezone = v_settings.timezone,
    sends_from = v_settings.sends_from, sends_until = v_settings.sends_until, paused = v_settings.paused,
    takes_unassigned = v_settings.takes_unassigned, connection_id = v_settings.connection_id, steps = v_settings.steps
  where settings.workspace_id = p_workspace_id and settings.user_id = v_settings.user_id
  returning * into v_settings;
  return v_settings;
exception when foreign_key_violation then
  perform private.raise_error(400, 'reference_not_found', '{"field": "connection_id"}',
    'Use a number that is connected to this workspace.');
end $$;
comment on function public.set_queue_settings(uuid, jsonb, uuid) is
  'Changes the named settings of a queue and returns them all: one''s own, or as owner or admin a member''s.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: leads
------------------------------------------------------------------------------------------------------------------------
create or replace function private.check_lead_fields(p_workspace_id uuid, p_fields jsonb, p_allowed text[]) returns void
language plpgsql stable security invoker set search_path = '' as $$
declare
  -- Only preparing a day queues a lead.
  v_statuses constant text[] := array['new', 'pending', 'contacted', 'engaged', 'qualified', 'lost'];
  v_field text;
  v_text text;
begin
  if jsonb_typeof(p_fields) is distinct from 'object' then
    perform private.raise_error(400, 'invalid_value', '{"field": "fields"}', 'Send an object of fields by name.');
  end if;
  for v_field in select * from jsonb_object_keys(p_fields) loop
    v_text := p_fields ->> v_field;
    if not v_field = any (p_allowed) then
      perform private.raise_error(400, 'field_unknown',
        jsonb_build_object('field', left(v_field, 100), 'allowed', p_allowed), 'Use the fields that are allowed.');
    elsif v_field = 'status' then
      if not coalesce(v_text = any (v_statuses), false) then
        perform private.raise_error(400, 'lead_status_invalid',
          jsonb_build_object('field', 'status', 'value', left(v_text, 50), 'allowed', v_statuses),
          'Use one of the allowed lead statuses.');
      end if;
    elsif v_field = 'score' then
      if not coalesce(v_text ~ '^-?[0-9]{1,9}$', false) then
        perform private.raise_error(400, 'invalid_value',
          jsonb_build_object('field', 'score', 'value', left(v_text, 50), 'allowed', 'a whole number'),
          'Give the score as a whole number.');
      end if;
    elsif v_text is not null then
      if not private.is_valid(v_text, 'uuid') then
        perform private.raise_error(400, 'invalid_value',
          jsonb_build_object('field', v_field, 'value', left(v_text, 100), 'allowed', 'an id'), 'Give an id.');
      elsif not (case v_field
        when 'client_id' then exists (
          select from public.clients as client where (client.workspace_id, client.id) = (p_workspace_id, v_text::uuid))
        when 'project_id' then exists (
          select from public.projects as project
          where (project.workspace_id, project.id) = (p_workspace_id, v_text::uuid))
        else exists (
          select from public.workspace_memberships as membership
          where (membership.workspace_id, membership.user_id) = (p_workspace_id, v_text::uuid)
            and membership.role <> 'viewer')
        end)
      then
        perform private.raise_error(400, 'reference_not_found',
          jsonb_build_object('field', v_field, 'value', v_text), 'Check the id that the detail names.');
      end if;
    end if;
  end loop;
end $$;

create or replace function public.create_leads(p_workspace_id uuid, p_contact_ids uuid[], p_fields jsonb default '{}')
returns setof public.leads
language plpgsql security definer set search_path = '' as $$
#variable_conflict use_column
declare
  v_missing uuid;
  v_new public.leads;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  perform private.check_lead_fields(p_workspace_id, p_fields, array['client_id', 'project_id', 'user_id', 'score']);
  if coalesce(cardinality(p_contact_ids), 0) not between 1 and 1000 then
    perform private.raise_error(400, 'too_many_ids',
      jsonb_build_object('field', 'contact_ids', 'count', coalesce(cardinality(p_contact_ids), 0), 'limit', 1000),
      'Name 1 to 1,000 contacts at once.');
  end if;
  select asked.id into v_missing from unnest(p_contact_ids) as asked (id)
  where not exists (
    select from public.contacts as contact
    where contact.workspace_id = p_workspace_id and contact.id = asked.id and contact.deleted_at is null)
  limit 1;
  if v_missing is not null then
    perform private.raise_error(404, 'contact_not_found', jsonb_build_object('contact_id', v_missing),
      'Check the id; it may belong to another workspace.');
  end if;
  v_new := jsonb_populate_record(null::public.leads, p_fields);
  -- One at a time for each contact, so that a second click makes no second lead.
  perform 1 from public.contacts as contact where contact.id = any (p_contact_ids) order by contact.id for no key update;
  return query
  with made as (
    insert into public.leads (workspace_id, contact_id, client_id, project_id, user_id, score)
    select p_workspace_id, asked.id, v_new.client_id, v_new.project_id, v_new.user_id, coalesce(v_new.score, 0)
    from (select distinct given.id from unnest(p_contact_ids) as given (id)) as asked
    where not exists (
      select from public.leads as lead
      where lead.workspace_id = p_workspace_id and lead.contact_id = asked.id
        and lead.project_id is not distinct from v_new.project_id and lead.status not in ('qualified', 'lost'))
    returning *
  )
  select * from made;
end $$;
comment on function public.create_leads(uuid, uuid[], jsonb) is
  'Makes a lead of each contact that isn''t an open one of the same project yet; returns the new ones.';

create or replace function public.update_lead(p_lead_id uuid, p_patch jsonb) returns public.leads
language plpgsql security definer set search_path = '' as $$
declare
  v_lead public.leads;
  v_outbox_ids uuid[];
begin
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id;
  perform private.require_role(v_lead.workspace_id, array['owner', 'admin', 'member'], 'lead_not_found',
    jsonb_build_object('lead_id', p_lead_id));
  perform private.check_lead_fields(v_lead.workspace_id, p_patch,
    array['status', 'client_id', 'project_id', 'user_id', 'score']);
  -- Who is talked to, or is done with, gets nothing from automation any more.
  if p_patch ->> 'status' in ('engaged', 'qualified', 'lost') and v_lead.control = 'automation' then
    perform pg_advisory_xact_lock_shared(hashtextextended(v_lead.workspace_id::text, 512));
    v_outbox_ids := private.lock_automation(array[p_lead_id]);
    perform private.end_automation(array[p_lead_id], v_outbox_ids, 'Its status was set.', (select auth.uid()));
  end if;
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id for no key update;
  v_lead := jsonb_populate_record(v_lead, p_patch);
  update public.leads as lead
  set status = v_lead.status, client_id = v_lead.client_id, project_id = v_lead.project_id, user_id = v_lead.user_id,
    score = v_lead.score, reason = case when p_patch ? 'status' then 'Set by a person.' else lead.reason end
  where lead.id = p_lead_id
  returning * into v_lead;
  return v_lead;
end $$;
comment on function public.update_lead(uuid, jsonb) is
  'Changes the named fields of exactly one lead and returns it; engaged, qualified and lost end its automation.';

create or replace function public.assign_leads(p_workspace_id uuid, p_limit integer default 1000) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off set enable_mergejoin = off as $$
declare
  v_assigned jsonb;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin'], 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id));
  if not coalesce(p_limit between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Assign 1 to 10,000 leads at once.');
  end if;
  perform pg_advisory_xact_lock(hashtextextended(p_workspace_id::text, 512));
  with taker as materialized (
    -- Whoever takes leads has room for as many as they can write to in a day, less those that wait for them already.
    select settings.user_id, settings.daily_capacity - (
      select count(*) from (
        select from public.leads as lead
        where lead.workspace_id = p_workspace_id and lead.user_id = settings.user_id and lead.control = 'automation'
          and lead.status in ('new', 'pending')
        limit settings.daily_capacity) as waiting) as room
    from public.user_queue_settings as settings
    join public.workspace_memberships as membership
      on membership.workspace_id = settings.workspace_id and membership.user_id = settings.user_id
        and membership.role <> 'viewer'
    where settings.workspace_id = p_workspace_id and settings.takes_unassigned and not settings.paused
  ), lead as materialized (
    select best.id, best.score, best.created_at, contact.assigned_to
    from (
      select lead.* from public.leads as lead
      where lead.workspace_id = p_workspace_id and lead.user_id is null and lead.control = 'automation'
        and lead.status in ('new', 'pending')
      order by lead.score desc, lead.created_at, lead.id
      limit p_limit
    ) as best
    left join public.contacts as contact
      on contact.workspace_id = best.workspace_id and contact.id = best.contact_id
  ), own as (
    -- Whoever looks after the contact comes first.
    select lead.id, taker.user_id from lead join taker on taker.user_id = lead.assigned_to
  ), slot as (
    select taker.user_id, row_number() over (order by turn.number, taker.user_id) as place
    from taker
    cross join lateral generate_series(1, least(p_limit, taker.room - (
      select count(*) from own where own.user_id = taker.user_id))) as turn (number)
  ), rest as (
    select lead.id, row_number() over (order by lead.score desc, lead.created_at, lead.id) as place
    from lead where not exists (select from own where own.id = lead.id)
  ), decided as materialized (
    select own.id, own.user_id from own
    union all
    select rest.id, slot.user_id from rest join slot on slot.place = rest.place
  ), locked as materialized (
    select lead.id, decided.user_id from public.leads as lead join decided on decided.id = lead.id
    where lead.user_id is null
    order by lead.id for no key update of lead
  ), assigned as (
    update public.leads as lead set user_id = locked.user_id, reason = 'Assigned in turn.'
    from locked where lead.id = locked.id
    returning locked.user_id
  )
  select coalesce(jsonb_object_agg(counted.user_id, counted.count), '{}') into v_assigned
  from (select assigned.user_id, count(*) from assigned group by assigned.user_id) as counted;
  return v_assigned;
end $$;
comment on function public.assign_leads(uuid, integer) is
  'Gives leads that are nobody''s to members who take such: to the contact''s own first, then in turns, the best first, within everybody''s capacity; returns how many went to whom.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: preparing a day
------------------------------------------------------------------------------------------------------------------------
-- Definer: members write no queue. It waits for nobody who has a row just now, because a customer replies or somebody
-- changes a lead: that lead is for another day.
create or replace function public.prepare_queue(
  p_workspace_id uuid, p_day date default null, p_limit integer default null, p_user_id uuid default null
) returns jsonb
language plpgsql security definer set search_path = ''
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
  v_settings public.user_queue_settings := private.require_queue(p_workspace_id, p_user_id);
  v_user_id constant uuid := v_settings.user_id;
  v_zone constant text := private.queue_timezone(p_workspace_id, v_user_id);
  v_today date;
  v_day date;
  v_opens_at timestamptz;
  v_room integer;
  v_carried integer;
  v_followed integer := 0;
  v_prepared integer := 0;
  v_page record;
  v_ids uuid[] := '{}';
  v_refused jsonb := '[]';
  v_score integer := 2147483647;
  v_created_at timestamptz := '-infinity';
  v_id uuid := '00000000-0000-0000-0000-000000000000';
begin
  if p_limit is not null and p_limit not between 1 and 10000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Prepare 1 to 10,000 leads at once.');
  end if;
  -- One at a time in a workspace: a second click, tab or colleague sees what the first has queued.
  perform pg_advisory_xact_lock(hashtextextended(p_workspace_id::text, 512));
  select settings.* into v_settings from public.user_queue_settings as settings
  where settings.workspace_id = p_workspace_id and settings.user_id = v_user_id
  for no key update;
  v_today := private.local_day(v_zone, clock_timestamp());
  v_day := coalesce(p_day, v_today + 1);
  if v_day not between v_today and v_today + 31 then
    perform private.raise_error(400, 'invalid_value',
      jsonb_build_object('field', 'day', 'value', v_day, 'allowed', v_today || ' to ' || (v_today + 31)),
      'Prepare today or a day of the next month, in the time zone of the queue.');
  elsif jsonb_array_length(v_settings.steps) = 0 then
    perform private.raise_error(409, 'queue_message_missing', jsonb_build_object('user_id', v_user_id),
      'Set the steps of the queue first: what automation writes.');
  end if;
  v_opens_at := private.local_moment(v_zone, v_day, v_settings.sends_from);

  v_room := least(coalesce(p_limit, 10000), v_settings.daily_capacity - (
    select count(*) from public.whatsapp_message_queue as message
    where message.workspace_id = p_workspace_id and message.queue_day = v_day and message.user_id = v_user_id
      and message.status <> 'cancelled'));
  v_room := greatest(v_room, 0);

  -- What a day before today left over comes first, then what was promised to those who haven't replied.
  with carried as (
    update public.whatsapp_message_queue as message
    set queue_day = v_day, scheduled_for = v_opens_at, reason = 'Left over from ' || message.queue_day || '.'
    where message.id = any (array(
      select older.id from public.whatsapp_message_queue as older
      where older.workspace_id = p_workspace_id and older.user_id = v_user_id and older.status = 'queued'
        and older.queue_day < v_today
      order by older.queue_day, older.priority desc, older.id limit v_room
      for no key update skip locked))
    returning message.id
  )
  select count(*) into v_carried from carried;
  v_room := v_room - v_carried;

  -- Whoever can't be written to any more leaves automation's steps, and its room to the next.
  while v_followed < v_room loop
    with run as materialized (
      select waiting.* from public.lead_processing_queue as waiting
      where waiting.workspace_id = p_workspace_id and waiting.user_id = v_user_id and waiting.status = 'waiting'
        and waiting.next_on <= v_day and not exists (
          select from public.whatsapp_message_queue as message
          where message.lead_id = waiting.lead_id and message.status in ('queued', 'sending'))
      order by waiting.next_on, waiting.id limit v_room - v_followed
      for no key update skip locked
    ), due as materialized (
      select run.id, run.lead_id, run.client_id, run.step + 1 as step, lead.score,
        v_settings.steps -> run.step as content, case
          when lead.control <> 'automation' then 'not_automated'
          when contact.id is null or contact.deleted_at is not null then 'contact_missing'
          when contact.marketing_opted_out then 'opted_out'
          when contact.phone is null and not exists (
            select from public.contact_identities as identity
            where identity.workspace_id = p_workspace_id and identity.contact_id = contact.id) then 'recipient_missing'
        end as refusal
      from run
      join public.leads as lead on lead.id = run.lead_id
      left join public.contacts as contact
        on contact.workspace_id = lead.workspace_id and contact.id = lead.contact_id
    ), ended as (
      update public.lead_processing_queue as run
      set status = case when due.content is null then 'completed' else 'cancelled' end, next_on = null,
        reason = case when due.content is null then 'No step is left.' else due.refusal end
      from due where run.id = due.id and (due.content is null or due.refusal is not null)
    ), continued as (
      update public.lead_processing_queue as run
      set status = 'queued', next_on = null, reason = 'No reply to step ' || run.step || '.'
      from due where run.id = due.id and due.content is not null and due.refusal is null
      returning due.*
    ), queued as (
      insert into public.whatsapp_message_queue (workspace_id, lead_id, user_id, client_id, queue_day, step, priority,
        body, template, scheduled_for, reason)
      select p_workspace_id, continued.lead_id, v_user_id, continued.client_id, v_day, continued.step,
        least(greatest(continued.score, -100), 100), continued.content ->> 'body', continued.content -> 'template',
        v_opens_at, 'Follow-up for ' || v_day || '.'
      from continued
      on conflict (lead_id) where status in ('queued', 'sending') do nothing
      returning id
    )
    select (select count(*) from due) as found, (select count(*) from queued) as queued,
      (select coalesce(jsonb_agg(jsonb_build_object('lead_id', due.lead_id, 'reason', due.refusal)), '[]')
       from due where due.refusal is not null and due.content is not null) as refused
    into v_page;
    exit when v_page.found = 0;
    v_followed := v_followed + v_page.queued;
    v_refused := v_refused || v_page.refused;
  end loop;
  v_room := v_room - v_followed;

  while cardinality(v_ids) < v_room loop
    with candidate as materialized (
      select mine.* from (
        select lead.id, lead.score, lead.created_at, lead.contact_id from public.leads as lead
        where lead.workspace_id = p_workspace_id and lead.user_id = v_user_id and lead.control = 'automation'
          and lead.status in ('new', 'pending') and lead.score <= v_score
          and (lead.score < v_score or (lead.created_at, lead.id) > (v_created_at, v_id))
        order by lead.score desc, lead.created_at, lead.id limit v_room + 100
      ) as mine
      union all
      select free.* from (
        select lead.id, lead.score, lead.created_at, lead.contact_id from public.leads as lead
        where lead.workspace_id = p_workspace_id and lead.user_id is null and v_settings.takes_unassigned
          and lead.control = 'automation' and lead.status in ('new', 'pending') and lead.score <= v_score
          and (lead.score < v_score or (lead.created_at, lead.id) > (v_created_at, v_id))
        order by lead.score desc, lead.created_at, lead.id limit v_room + 100
      ) as free
      order by 2 desc, 3, 1 limit v_room + 100
    ), judged as materialized (
      select candidate.*,
        row_number() over (order by candidate.score desc, candidate.created_at, candidate.id) as place,
        case
          when contact.id is null or contact.deleted_at is not null then 'contact_missing'
          when contact.marketing_opted_out then 'opted_out'
          when contact.phone is null and not exists (
            select from public.contact_identities as identity
            where identity.workspace_id = p_workspace_id and identity.contact_id = contact.id) then 'recipient_missing'
          when exists (
            select from public.whatsapp_message_queue as message
            where message.lead_id = candidate.id and message.status in ('queued', 'sending')) then 'already_queued'
        end as refusal
      from candidate
      left join public.contacts as contact
        on contact.workspace_id = p_workspace_id and contact.id = candidate.contact_id
    ), counted as materialized (
      select judged.*, count(*) filter (where judged.refusal is null) over (order by judged.place) as good
      from judged
    ), seen as (
      -- Nothing behind the last one that fits.
      select counted.* from counted
      where counted.good <= v_room - cardinality(v_ids) and (counted.refusal is null
        or counted.good < v_room - cardinality(v_ids))
    )
    select array_agg(seen.id) filter (where seen.refusal is null) as good,
      jsonb_agg(jsonb_build_object('lead_id', seen.id, 'reason', seen.refusal) order by seen.place)
        filter (where seen.refusal is not null) as refused,
      (array_agg(seen.score order by seen.place desc))[1] as score,
      (array_agg(seen.created_at order by seen.place desc))[1] as created_at,
      (array_agg(seen.id order by seen.place desc))[1] as id
    into v_page from seen;
    exit when v_page.id is null;
    v_ids := v_ids || coalesce(v_page.good, '{}');
    v_refused := v_refused || coalesce(v_page.refused, '[]');
    v_score := v_page.score;
    v_created_at := v_page.created_at;
    v_id := v_page.id;
  end loop;

  -- Whoever was taken or replied meanwhile, or is about to, isn't queued.
  with free as materialized (
    select lead.ctid as place from public.leads as lead
    where lead.workspace_id = p_workspace_id and lead.id = any (v_ids) and lead.control = 'automation'
      and lead.status in ('new', 'pending')
    for no key update skip locked
  ), queued as (
    update public.leads as lead
    set status = 'queued', user_id = v_user_id, reason = 'Prepared for ' || v_day || '.', updated_at = now()
    -- Locked, they stay in their places.
    where lead.ctid = any (array(select free.place from free))
    returning lead.id, lead.client_id, lead.project_id, lead.score
  ), run as (
    insert into public.lead_processing_queue (workspace_id, lead_id, user_id, client_id, project_id)
    -- Where more than one step is to come.
    select p_workspace_id, queued.id, v_user_id, queued.client_id, queued.project_id from queued
    where jsonb_array_length(v_settings.steps) > 1
    -- Somebody has set back a lead whose run was going on: it begins anew.
    on conflict (lead_id) where status in ('queued', 'waiting') do update
      set status = 'queued', step = 1, next_on = null, user_id = excluded.user_id, reason = 'Begun anew.'
  ), message as (
    insert into public.whatsapp_message_queue (workspace_id, lead_id, user_id, client_id, queue_day, priority, body,
      template, scheduled_for, reason)
    select p_workspace_id, queued.id, v_user_id, queued.client_id, v_day, least(greatest(queued.score, -100), 100),
      v_settings.steps #>> '{0,body}', v_settings.steps #> '{0,template}', v_opens_at, 'Prepared for ' || v_day || '.'
    from queued
    on conflict (lead_id) where status in ('queued', 'sending') do nothing
    returning id
  )
  select count(*) into v_prepared from message;

  return jsonb_build_object(
    'user_id', v_user_id, 'day', v_day, 'timezone', v_zone, 'opens_at', v_opens_at,
    'capacity', v_settings.daily_capacity, 'prepared', v_prepared, 'follow_ups', v_followed, 'carried_over', v_carried,
    'room_left', v_settings.daily_capacity - (
      select count(*) from public.whatsapp_message_queue as message
      where message.workspace_id = p_workspace_id and message.queue_day = v_day and message.user_id = v_user_id
        and message.status <> 'cancelled'),
    'refused', jsonb_array_length(v_refused),
    'refusals', (
      select coalesce(jsonb_agg(entry.value order by entry.place), '[]')
      from jsonb_array_elements(v_refused) with ordinality as entry (value, place) where entry.place <= 1000));
end $$;
comment on function public.prepare_queue(uuid, date, integer, uuid) is
  'Queues a user''s day, tomorrow in their time zone unless given: what was left over, follow-ups that are due, then the best leads, within their capacity; says why each other was refused.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: into the outbox
------------------------------------------------------------------------------------------------------------------------
create or replace function private.first_connection(p_workspace_id uuid) returns uuid
language sql stable security invoker set search_path = '' as $$
  select number.id from public.wa_phone_numbers as number
  where number.workspace_id = p_workspace_id and number.status = 'active' and number.deleted_at is null
  order by number.created_at, number.id limit 1
$$;

-- Queued messages as they would be sent now, and what stands in the way of each.
create or replace function private.sendable_messages(p_settings public.user_queue_settings, p_ids uuid[])
returns table (
  id uuid, contact_id uuid, connection_id uuid, thread_id uuid, recipient text, body text, payload jsonb, problem text
)
language sql stable security invoker set search_path = ''
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
  select message.id, contact.id, connection.id, thread.id, person.recipient, message.body,
    case when message.body is null then jsonb_build_object('type', 'template', 'template', message.template)
      else jsonb_build_object('type', 'text', 'text', jsonb_build_object('body', message.body)) end,
    case
      when lead.control <> 'automation' then 'not_automated'
      when contact.id is null or contact.deleted_at is not null then 'contact_missing'
      when contact.marketing_opted_out then 'opted_out'
      when person.recipient is null then 'recipient_missing'
      when message.body is not null and coalesce(thread.last_inbound_at, '-infinity') <= now() - interval '24 hours'
        then 'window_closed'
    end
  from public.whatsapp_message_queue as message
  join public.leads as lead on lead.id = message.lead_id
  left join public.contacts as contact
    on contact.workspace_id = lead.workspace_id and contact.id = lead.contact_id
  left join public.wa_phone_numbers as connection
    on connection.id = coalesce(p_settings.connection_id,
      (select latest.connection_id from public.wa_threads as latest
       join public.wa_phone_numbers as number on number.id = latest.connection_id
       where latest.workspace_id = lead.workspace_id and latest.contact_id = lead.contact_id
         and number.status = 'active' and number.deleted_at is null
       order by latest.last_message_at desc nulls last, latest.id limit 1),
      private.first_connection(p_settings.workspace_id))
  left join public.wa_threads as thread
    on thread.workspace_id = lead.workspace_id and thread.connection_id = connection.id
      and thread.contact_id = lead.contact_id
  cross join lateral (
    select coalesce(
      (select '+' || identity.value from public.contact_identities as identity
       where identity.workspace_id = lead.workspace_id and identity.contact_id = contact.id
         and identity.kind = 'wa_id' order by identity.created_at desc, identity.id limit 1),
      contact.phone,
      (select identity.value from public.contact_identities as identity
       where identity.workspace_id = lead.workspace_id and identity.contact_id = contact.id
         and identity.kind = 'bsuid' and identity.scope = connection.waba_id
       order by identity.created_at desc, identity.id limit 1)) as recipient
  ) as person
  where message.id = any (p_ids) and message.status = 'queued'
$$;

-- Definer: members write neither queue nor outbox.
create or replace function public.start_automation(
  p_workspace_id uuid, p_batch integer default null, p_dry_run boolean default false, p_user_id uuid default null
) returns jsonb
language plpgsql security definer set search_path = '' set enable_seqscan = off set enable_mergejoin = off as $$
declare
  v_settings public.user_queue_settings := private.require_queue(p_workspace_id, p_user_id);
  v_zone constant text := private.queue_timezone(p_workspace_id, v_settings.user_id);
  v_dry constant boolean := coalesce(p_dry_run, false);
  v_batch constant integer := coalesce(p_batch, v_settings.batch_size);
  v_now constant timestamptz := clock_timestamp();
  v_today constant date := private.local_day(v_zone, v_now);
  v_opens_at constant timestamptz := private.local_moment(v_zone, v_today, v_settings.sends_from);
  v_closes_at constant timestamptz := private.local_moment(v_zone, v_today, v_settings.sends_until);
  v_waits_for text;
  v_ids uuid[] := '{}';
  v_put_off uuid[] := '{}';
  v_started integer := 0;
  v_cancelled integer := 0;
  v_failed uuid[];
  v_problems jsonb := '{}';
begin
  if v_batch not between 1 and 1000 then
    perform private.raise_error(400, 'invalid_value', '{"field": "batch", "allowed": "1 to 1000"}',
      'Start 1 to 1,000 messages at once.');
  end if;
  v_waits_for := case
    when v_settings.paused then 'resume'
    when v_now < v_opens_at or v_now >= v_closes_at then 'sending_hours'
    when not exists (
      select from public.wa_phone_numbers as connection
      where connection.id = coalesce(v_settings.connection_id, private.first_connection(p_workspace_id))
        and connection.status = 'active' and connection.deleted_at is null) then 'connection'
  end;
  if v_waits_for is null and not v_dry then
    perform pg_advisory_xact_lock(hashtextextended(p_workspace_id::text, 512));
  end if;
  if v_waits_for is null or v_dry then
    -- Somebody may be a lead of several projects, and of several users: one message a day is enough.
    select coalesce(array_agg(judged.id order by judged.place) filter (where not judged.is_put_off), '{}'),
      coalesce(array_agg(judged.id) filter (where judged.is_put_off), '{}')
    into v_ids, v_put_off
    from (
      select due.id, due.place, due.is_written_to or row_number() over (
        partition by due.contact_id, due.is_written_to order by due.place) > 1 as is_put_off
      from (
        select mine.id, mine.place, coalesce(lead.contact_id, lead.id) as contact_id, exists (
          select from public.leads as other
          join public.whatsapp_message_queue as message
            on message.workspace_id = p_workspace_id and message.lead_id = other.id
          where other.workspace_id = p_workspace_id and other.contact_id = lead.contact_id and other.id <> lead.id
            and message.queue_day = v_today and message.status in ('sending', 'sent')) as is_written_to
        from (
          select message.id, message.lead_id, row_number() over () as place
          from (
            select queued.id, queued.lead_id from public.whatsapp_message_queue as queued
            where queued.workspace_id = p_workspace_id and queued.user_id = v_settings.user_id
              and queued.queue_day = v_today and queued.status = 'queued' and queued.scheduled_for < v_closes_at
            order by queued.priority desc, queued.scheduled_for, queued.id
            limit case when v_dry then 10000 else v_batch end
          ) as message
        ) as mine
        join public.leads as lead on lead.id = mine.lead_id
      ) as due
    ) as judged;
  end if;

  if v_dry then
    select coalesce(sum(counted.count) filter (where counted.problem is null), 0),
      coalesce(sum(counted.count) filter (where counted.problem = 'not_automated'), 0),
      coalesce(jsonb_object_agg(counted.problem, counted.count) filter (where counted.problem is not null), '{}')
    into v_started, v_cancelled, v_problems
    from (
      select message.problem, count(*) from private.sendable_messages(v_settings, v_ids) as message
      group by message.problem
    ) as counted;
    v_failed := array_fill(null::uuid, array[cardinality(v_ids) - v_started - v_cancelled]);
  elsif v_ids || v_put_off <> '{}' then
    -- A conversation that automation begins asks nobody for an answer.
    insert into public.wa_threads (workspace_id, connection_id, contact_id, status)
    select distinct p_workspace_id, message.connection_id, message.contact_id, 'closed'
    from private.sendable_messages(v_settings, v_ids) as message
    where message.problem is null and message.thread_id is null
    order by 2, 3
    on conflict do nothing;
    perform 1 from public.wa_threads as thread
    where thread.id = any (array(
      select message.thread_id from private.sendable_messages(v_settings, v_ids) as message
      where message.problem is null))
    order by thread.id
    for no key update;
    perform 1 from public.whatsapp_message_queue as message
    where message.id = any (v_ids || v_put_off) order by message.id for no key update;
    update public.whatsapp_message_queue as message
    set queue_day = v_today + 1, scheduled_for = private.local_moment(v_zone, v_today + 1, v_settings.sends_from),
      reason = 'Put off: another lead of the same contact is written to today.', updated_at = now()
    where message.id = any (v_put_off) and message.status = 'queued';

    -- Whoever has replied until here is out; whoever replies from here on cancels what is written now.
    with message as materialized (
      select message.*, gen_random_uuid() as outbox_id, array_position(v_ids, message.id) as place
      from private.sendable_messages(v_settings, v_ids) as message
      where message.problem is not null or message.thread_id is not null
    ), written as (
      insert into public.outbox_messages (id, workspace_id, channel, connection_id, thread_id, recipient, payload,
        idempotency_key, automated)
      select message.outbox_id, p_workspace_id, 'whatsapp', message.connection_id, message.thread_id,
        message.recipient, message.payload, 'queue:' || message.id, true
      from message where message.problem is null
      order by message.place
      on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing
      returning outbox_messages.id
    ), shown as (
      insert into public.wa_messages (workspace_id, connection_id, thread_id, direction, type, body, content, status,
        search_language, outbox_id, occurred_at)
      select p_workspace_id, message.connection_id, message.thread_id, 'out', message.payload ->> 'type', message.body,
        message.payload, 'pending',
        (select nullif(connection.search_languages[cardinality(connection.search_languages)], 'simple')
         from public.wa_phone_numbers as connection where connection.id = message.connection_id),
        message.outbox_id, now()
      from message join written on written.id = message.outbox_id
      order by message.place
    ), moved as (
      update public.wa_threads as thread
      set last_message_at = greatest(thread.last_message_at, now()),
        last_message_body = case when thread.last_message_at > now() then thread.last_message_body
          else left(coalesce(message.body, message.payload #>> '{template,name}'), 200) end
      from message join written on written.id = message.outbox_id
      where thread.id = message.thread_id
    ), settled as (
      update public.whatsapp_message_queue as queued
      set status = case
          when message.problem is null then 'sending'
          when message.problem = 'not_automated' then 'cancelled'
          else 'failed'
        end,
        outbox_id = case when message.problem is null then message.outbox_id end, last_error = message.problem,
        reason = case when message.problem is null then 'In the outbox.' else 'It couldn''t be sent.' end,
        updated_at = now()
      from message left join written on written.id = message.outbox_id
      where queued.id = message.id and (message.problem is not null or written.id is not null)
      returning queued.id, queued.status, queued.last_error
    )
    select count(*) filter (where settled.status = 'sending'), count(*) filter (where settled.status = 'cancelled'),
      array_agg(settled.id) filter (where settled.status = 'failed'),
      (select coalesce(jsonb_object_agg(counted.last_error, counted.count), '{}')
       from (
         select settled.last_error, count(*) from settled where settled.last_error is not null
         group by settled.last_error
       ) as counted)
    into v_started, v_cancelled, v_failed, v_problems
    from settled;
    perform private.advance_leads(v_failed) where v_failed is not null;
  end if;

  return jsonb_build_object(
    'user_id', v_settings.user_id, 'day', v_today, 'dry_run', v_dry, 'waits_for', v_waits_for,
    'opens_at', case
      when v_waits_for = 'sending_hours' and v_now < v_opens_at then v_opens_at
      when v_waits_for = 'sending_hours' then private.local_moment(v_zone, v_today + 1, v_settings.sends_from)
    end,
    'started', v_started, 'failed', coalesce(cardinality(v_failed), 0), 'cancelled', v_cancelled,
    'put_off', cardinality(v_put_off), 'problems', v_problems,
    'left', (
      select count(*) from public.whatsapp_message_queue as message
      where message.workspace_id = p_workspace_id and message.user_id = v_settings.user_id
        and message.queue_day = v_today and message.status = 'queued' and message.scheduled_for < v_closes_at));
end $$;
comment on function public.start_automation(uuid, integer, boolean, uuid) is
  'Turns a batch of a user''s due messages into outbox messages, within their sending hours and one a day for each contact; says how many, what failed and why, what is put off or left, and what it waits for.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: following the outbox
------------------------------------------------------------------------------------------------------------------------
-- What messages that were just sent, or failed, mean for their leads: the next step after its days, or none; what failed
-- is left to a person.
create or replace function private.advance_leads(p_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
  perform 1 from public.leads as lead
  where lead.id = any (array(
    select message.lead_id from public.whatsapp_message_queue as message where message.id = any (p_ids)))
  order by lead.id
  for no key update;
  update public.leads as lead
  set status = case
      when message.status = 'sent' and lead.status in ('new', 'pending', 'queued') then 'contacted'
      when message.status = 'failed' and message.step = 1 and lead.status in ('queued', 'contacted') then 'pending'
      else lead.status
    end,
    control = case when message.status = 'failed' then 'human' else lead.control end,
    reason = coalesce(message.last_error, 'Step ' || message.step || ' was sent.'), updated_at = now()
  from public.whatsapp_message_queue as message
  where message.id = any (p_ids) and lead.id = message.lead_id and lead.control = 'automation';
  update public.lead_processing_queue as run
  set step = message.step,
    status = case when message.status = 'failed' then 'failed' when next.days is null then 'completed' else 'waiting' end,
    next_on = case when message.status = 'sent' then private.local_day(
      private.queue_timezone(message.workspace_id, message.user_id), message.sent_at) + next.days end,
    reason = coalesce(message.last_error, 'Step ' || message.step || ' was sent.'), updated_at = now()
  from public.whatsapp_message_queue as message
  left join public.user_queue_settings as settings
    on settings.workspace_id = message.workspace_id and settings.user_id = message.user_id
  cross join lateral (
    select (settings.steps -> message.step ->> 'after_days')::integer as days) as next
  where message.id = any (p_ids) and run.lead_id = message.lead_id and run.status in ('queued', 'waiting');
end $$;

-- Queued messages whose outbox messages have moved: they and their leads follow, in the transaction that moved those. An
-- outcome that nobody knows stays sending until it is known.
create or replace function private.follow_lead_messages(p_outbox_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_settled uuid[];
begin
  with outcome as materialized (
    select message.id, message.lead_id, message.status as from_status, outbox.attempts, outbox.settled_at,
      case
        when outbox.status in ('failed', 'dead') or (outbox.status = 'sent' and shown.status = 'failed') then 'failed'
        when outbox.status in ('sent', 'cancelled') then outbox.status
        else 'sending'
      end as status,
      case
        when outbox.status = 'unknown' then 'outcome_unknown'
        when outbox.status = 'sent' and shown.status = 'failed' then concat_ws(': ', shown.error_code, shown.error_text)
        when outbox.status = 'sent' then ''
        else concat_ws(': ', outbox.error_code, outbox.error_text)
      end as error
    from public.whatsapp_message_queue as message
    join public.outbox_messages as outbox
      on outbox.id = message.outbox_id and outbox.workspace_id = message.workspace_id
    left join public.wa_messages as shown
      on shown.outbox_id = outbox.id and shown.workspace_id = outbox.workspace_id
    where message.outbox_id = any (p_outbox_ids)
    order by message.id
    for no key update of message
  ), moved as (
    update public.whatsapp_message_queue as message
    set status = outcome.status, attempts = outcome.attempts, last_error = nullif(left(outcome.error, 2000), ''),
      sent_at = case when outcome.status = 'sent' then coalesce(message.sent_at, outcome.settled_at, now()) end,
      updated_at = now()
    from outcome
    where message.id = outcome.id
      and (message.status, message.attempts, coalesce(message.last_error, ''))
        <> (outcome.status, outcome.attempts, left(outcome.error, 2000))
      -- Tried again though the lead has been queued anew: it shows when it is sent.
      and (outcome.status <> 'sending' or outcome.from_status = 'sending' or not exists (
        select from public.whatsapp_message_queue as other
        where other.lead_id = outcome.lead_id and other.status in ('queued', 'sending')))
    returning message.id, message.status
  )
  select array_agg(moved.id) into v_settled from moved where moved.status in ('sent', 'failed');
  perform private.advance_leads(v_settled) where v_settled is not null;
end $$;

-- Messages of the outbox are about to be deleted, which the caller has locked: what nobody knows the outcome of by now
-- failed for the queue, whose lead is left to a person.
create or replace function private.give_up_lead_messages(p_outbox_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_failed uuid[];
begin
  with given_up as (
    update public.whatsapp_message_queue as message
    set status = 'failed', reason = 'Its message of the outbox is gone.', updated_at = now()
    from (
      select sending.id from public.whatsapp_message_queue as sending
      where sending.outbox_id = any (p_outbox_ids) and sending.status = 'sending'
      order by sending.id for no key update
    ) as locked
    where message.id = locked.id
    returning message.id
  )
  select array_agg(given_up.id) into v_failed from given_up;
  perform private.advance_leads(v_failed) where v_failed is not null;
end $$;

-- Cancelled by a person who looks after the outbox: the leads wait for the next day that is prepared.
create or replace function private.put_back_leads(p_outbox_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_lead_ids uuid[] := array(
    select message.lead_id from public.whatsapp_message_queue as message
    where message.outbox_id = any (p_outbox_ids) and message.status = 'cancelled');
begin
  if v_lead_ids = '{}' then
    return;
  end if;
  perform 1 from public.leads as lead where lead.id = any (v_lead_ids) order by lead.id for no key update;
  update public.leads as lead set status = 'pending', reason = 'Its message was cancelled.'
  where lead.id = any (v_lead_ids) and lead.status = 'queued' and lead.control = 'automation';
  update public.lead_processing_queue as run set status = 'cancelled', reason = 'Its message was cancelled.'
  where run.lead_id = any (v_lead_ids) and run.status = 'queued';
end $$;

-- What comes back to the outbox after a reply or a takeover isn't tried again: automation is over there.
create or replace function private.cancel_ended_automation(p_outbox_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_ids uuid[] := array(
    select outbox.id from public.outbox_messages as outbox
    join public.wa_threads as thread on thread.id = outbox.thread_id
    where outbox.id = any (p_outbox_ids) and outbox.automated and outbox.status = 'queued'
      and thread.automation_stopped_at >= outbox.created_at);
begin
  if v_ids <> '{}' then
    perform private.cancel_queued_outbox(v_ids, 'The conversation went on without it.');
  end if;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Functions: leaving automation
------------------------------------------------------------------------------------------------------------------------
-- Leads of people who have just written, called, or been written to from the phone: nothing where there are none, which
-- one look into an index tells.
create or replace function private.automated_leads(p_contact_ids uuid[]) returns uuid[]
language plpgsql stable security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
  return array(
    select lead.id from public.leads as lead
    where lead.contact_id = any (p_contact_ids) and lead.control = 'automation' order by lead.id);
end $$;

-- Where the contacts of leads are talked to.
create or replace function private.lead_threads(p_lead_ids uuid[]) returns uuid[]
language plpgsql stable security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
  return array(
    select thread.id from public.leads as lead
    join public.wa_threads as thread on thread.workspace_id = lead.workspace_id and thread.contact_id = lead.contact_id
    where lead.id = any (p_lead_ids));
end $$;

-- What automation has in the outbox for leads, and for their contacts wherever they are talked to.
create or replace function private.lead_outbox(p_lead_ids uuid[]) returns uuid[]
language plpgsql stable security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
  return array(
    select message.outbox_id from public.whatsapp_message_queue as message
    where message.lead_id = any (p_lead_ids) and message.status = 'sending' and message.outbox_id is not null
    union
    select outbox.id from public.outbox_messages as outbox
    where outbox.thread_id = any (private.lead_threads(p_lead_ids)) and outbox.automated and outbox.status = 'queued');
end $$;

-- Locks what automation has in the outbox for leads; returns it. Their threads are locked first; what a worker has in
-- hand and puts back later knows by them that it is over.
create or replace function private.lock_automation(p_lead_ids uuid[]) returns uuid[]
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_ids uuid[];
begin
  perform private.stop_threads(private.lead_threads(p_lead_ids));
  v_ids := private.lead_outbox(p_lead_ids);
  perform private.lock_open_outbox(v_ids) where v_ids <> '{}';
  return v_ids;
end $$;

create or replace function private.stop_threads(p_thread_ids uuid[]) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
  update public.wa_threads as thread
  set automation_stopped_at = greatest(thread.automation_stopped_at, clock_timestamp()), updated_at = now()
  from (
    select found.id from public.wa_threads as found where found.id = any (p_thread_ids)
    order by found.id for no key update
  ) as locked
  where thread.id = locked.id;
end $$;

-- Cancels what lock_automation has locked and what is queued for leads, and hands them to a person, or to whoever will take them.
create or replace function private.end_automation(
  p_lead_ids uuid[], p_outbox_ids uuid[], p_reason text, p_taken_by uuid, p_replied_at timestamptz default null
) returns void
language plpgsql security invoker set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
begin
  if p_outbox_ids <> '{}' then
    perform private.cancel_queued_outbox(p_outbox_ids, p_reason);
  end if;
  -- Before the leads, as whoever starts or settles messages does.
  perform 1 from public.whatsapp_message_queue as message
  where message.lead_id = any (p_lead_ids) and message.status = 'queued' order by message.id for no key update;
  perform 1 from public.leads as lead where lead.id = any (p_lead_ids) order by lead.id for no key update;
  update public.leads as lead
  set control = 'human', status = case when lead.status in ('qualified', 'lost') then lead.status else 'engaged' end,
    taken_by = p_taken_by, taken_at = case when p_taken_by is not null then clock_timestamp() end,
    replied_at = coalesce(p_replied_at, lead.replied_at), reason = p_reason
  where lead.id = any (p_lead_ids) and lead.taken_by is null and (lead.control = 'automation' or p_taken_by is not null);
  if exists (
    select from public.whatsapp_message_queue as message
    where message.lead_id = any (p_lead_ids) and message.status = 'queued'
  ) then
    update public.whatsapp_message_queue as message set status = 'cancelled', reason = p_reason, updated_at = now()
    where message.lead_id = any (p_lead_ids) and message.status = 'queued';
  end if;
  if exists (
    select from public.lead_processing_queue as run
    where run.lead_id = any (p_lead_ids) and run.status in ('queued', 'waiting')
  ) then
    update public.lead_processing_queue as run
    set status = 'cancelled', next_on = null, reason = p_reason, updated_at = now()
    where run.lead_id = any (p_lead_ids) and run.status in ('queued', 'waiting');
  end if;
end $$;

-- Whoever writes to a lead by hand takes it, and every other lead of that contact. To be called before anything is
-- locked; end_automation follows once the message is written.
create or replace function private.begin_takeover(p_thread_id uuid, out p_lead_ids uuid[], out p_outbox_ids uuid[])
language plpgsql security invoker set search_path = '' as $$
declare
  v_thread public.wa_threads;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  p_lead_ids := private.automated_leads(array[v_thread.contact_id]);
  if p_lead_ids <> '{}' then
    perform pg_advisory_xact_lock_shared(hashtextextended(v_thread.workspace_id::text, 512));
    p_outbox_ids := private.lock_automation(p_lead_ids);
  end if;
end $$;

create or replace function public.take_lead(p_lead_id uuid, p_reason text default null) returns jsonb
language plpgsql security definer set search_path = ''
set enable_seqscan = off set plan_cache_mode = force_generic_plan as $$
declare
  v_user_id constant uuid := private.require_user();
  v_reason constant text := coalesce(left(nullif(btrim(p_reason), ''), 500), 'A person took over.');
  v_lead public.leads;
  v_lead_ids uuid[];
  v_outbox_ids uuid[];
  v_open uuid[];
begin
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id;
  perform private.require_role(v_lead.workspace_id, array['owner', 'admin', 'member'], 'lead_not_found',
    jsonb_build_object('lead_id', p_lead_id));
  perform pg_advisory_xact_lock_shared(hashtextextended(v_lead.workspace_id::text, 512));
  -- The contact's other leads too: one person is talking to them now.
  v_lead_ids := array(
    select p_lead_id
    union
    select lead.id from public.leads as lead
    where lead.workspace_id = v_lead.workspace_id and lead.contact_id = v_lead.contact_id
      and lead.control = 'automation');
  v_outbox_ids := private.lock_automation(v_lead_ids);
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id for no key update;
  if v_lead.taken_by <> v_user_id then
    perform private.raise_error(409, 'lead_taken',
      jsonb_build_object('lead_id', p_lead_id, 'taken_by', v_lead.taken_by, 'taken_at', v_lead.taken_at, 'name', (
        select coalesce(profile.full_name, profile.email) from public.profiles as profile
        where profile.id = v_lead.taken_by)),
      'Ask whoever has the lead to give it back.');
  end if;
  v_open := array(
    select message.id from public.whatsapp_message_queue as message
    where message.lead_id = any (v_lead_ids) and message.status in ('queued', 'sending'));
  perform private.end_automation(v_lead_ids, v_outbox_ids, v_reason, v_user_id);
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id;
  return jsonb_build_object('lead', to_jsonb(v_lead),
    'cancelled', (
      select count(*) from public.whatsapp_message_queue as message
      where message.id = any (v_open) and message.status = 'cancelled'),
    'handed_over', (
      select coalesce(jsonb_agg(jsonb_build_object('queue_id', message.id, 'outbox_id', message.outbox_id,
        'status', message.status) order by message.id), '[]')
      from public.whatsapp_message_queue as message
      where message.id = any (v_open) and message.status <> 'cancelled'));
end $$;
comment on function public.take_lead(uuid, text) is
  'Hands a lead, and every other lead of the same contact, from automation to the caller: what is queued is cancelled, what a worker has in hand is reported.';

create or replace function public.release_lead(p_lead_id uuid, p_reason text default null) returns public.leads
language plpgsql security definer set search_path = '' as $$
declare
  v_user_id constant uuid := private.require_user();
  v_lead public.leads;
begin
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id;
  perform private.require_role(v_lead.workspace_id, array['owner', 'admin', 'member'], 'lead_not_found',
    jsonb_build_object('lead_id', p_lead_id));
  select lead.* into v_lead from public.leads as lead where lead.id = p_lead_id for no key update;
  if v_lead.control = 'automation' then
    perform private.raise_error(409, 'lead_not_taken', jsonb_build_object('lead_id', p_lead_id),
      'Automation has it already.');
  elsif v_lead.taken_by <> v_user_id and not exists (
    select from public.workspace_memberships as membership
    where (membership.workspace_id, membership.user_id) = (v_lead.workspace_id, v_user_id)
      and membership.role in ('owner', 'admin')
  ) then
    perform private.raise_error(409, 'lead_taken',
      jsonb_build_object('lead_id', p_lead_id, 'taken_by', v_lead.taken_by, 'taken_at', v_lead.taken_at),
      'Ask whoever has the lead, an owner or an admin to give it back.');
  end if;
  update public.leads as lead
  set control = 'automation', taken_by = null, taken_at = null,
    -- Who is done with stays so: automation prepares only what is new or pending.
    status = case when lead.status in ('qualified', 'lost') then lead.status else 'pending' end,
    reason = coalesce(left(nullif(btrim(p_reason), ''), 500), 'Given back.')
  where lead.id = p_lead_id
  returning * into v_lead;
  return v_lead;
end $$;
comment on function public.release_lead(uuid, text) is
  'Gives a lead back to automation, which begins anew with it: whoever took it may, and owners and admins.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: looking on
------------------------------------------------------------------------------------------------------------------------
-- A page of the queue as CSV. Text is always quoted; what a spreadsheet would take for a formula gets an apostrophe in
-- front. A phone number is a plus and digits only, which its check says. Definer: it asks for the membership once, not of
-- each of five tables.
create or replace function public.export_queue(
  p_workspace_id uuid, p_from date default null, p_until date default null, p_user_id uuid default null,
  p_after text default null, p_limit integer default 5000
) returns json
language plpgsql stable security definer set search_path = '' as $$
declare
  -- - = + @, tab and line ends.
  v_formula constant integer[] := array[45, 61, 43, 64, 9, 13, 10];
  v_after_day date := coalesce(p_from, '-infinity');
  v_after_id uuid := '00000000-0000-0000-0000-000000000000';
  v_page record;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if not coalesce(p_limit between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Ask for 1 to 10,000 rows at once.');
  elsif p_after is not null then
    if p_after !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then
      perform private.raise_error(400, 'invalid_value', '{"field": "after"}', 'Send the cursor of the page before.');
    end if;
    v_after_day := split_part(p_after, ':', 1)::date;
    v_after_id := split_part(p_after, ':', 2)::uuid;
  end if;
  with page as materialized (
    select queued.* from public.whatsapp_message_queue as queued
    where queued.workspace_id = p_workspace_id and queued.queue_day >= v_after_day
      and (p_after is null or (queued.queue_day, queued.id) > (v_after_day, v_after_id))
      and queued.queue_day <= coalesce(p_until, 'infinity')
      and (p_user_id is null or queued.user_id = p_user_id)
    order by queued.queue_day, queued.id
    limit p_limit
  ), cell as (
    select page.*, coalesce(contact.name, '') as name, coalesce(contact.email, '') as email,
      coalesce(contact.phone, '') as phone, coalesce(client.name, '') as client, coalesce(project.name, '') as project,
      coalesce(profile.email, '') as who, coalesce(page.last_error, page.reason, '') as why,
      coalesce(page.body, page.template ->> 'name', '') as message, lead.score, lead.status as lead_status, lead.control,
      coalesce(date_trunc('second', page.scheduled_for at time zone 'UTC') || 'Z', '') as due_at,
      coalesce(date_trunc('second', page.sent_at at time zone 'UTC') || 'Z', '') as left_at
    from page
    join public.leads as lead on lead.id = page.lead_id
    left join public.contacts as contact on contact.id = lead.contact_id
    left join public.clients as client on client.id = page.client_id
    left join public.projects as project on project.id = lead.project_id
    left join public.profiles as profile on profile.id = page.user_id
  ), line as (
    select cell.queue_day, cell.id, concat_ws(',', cell.queue_day, cell.status, cell.step, cell.id, cell.lead_id,
      '"' || case when ascii(cell.name) = any (v_formula) then '''' else '' end || replace(cell.name, '"', '""') || '"',
      '"' || case when ascii(cell.email) = any (v_formula) then '''' else '' end || replace(cell.email, '"', '""') || '"',
      cell.phone,
      '"' || case when ascii(cell.client) = any (v_formula) then '''' else '' end || replace(cell.client, '"', '""') || '"',
      '"' || case when ascii(cell.project) = any (v_formula) then '''' else '' end || replace(cell.project, '"', '""') || '"',
      cell.score, cell.lead_status, cell.control,
      '"' || case when ascii(cell.who) = any (v_formula) then '''' else '' end || replace(cell.who, '"', '""') || '"',
      cell.due_at, cell.left_at, cell.attempts,
      '"' || case when ascii(cell.why) = any (v_formula) then '''' else '' end || replace(cell.why, '"', '""') || '"',
      '"' || case when ascii(cell.message) = any (v_formula) then '''' else '' end || replace(cell.message, '"', '""') || '"') || E'\r\n' as text
    from cell
  )
  select (select count(*) from page) as rows,
    (select page.queue_day || ':' || page.id from page order by page.queue_day desc, page.id desc limit 1) as next,
    (select coalesce(string_agg(line.text, '' order by line.queue_day, line.id), '') from line) as csv
  into v_page;
  return json_build_object(
    'csv', case when p_after is null then 'queue_day,status,step,queue_id,lead_id,name,email,phone,client,project,score,'
      || E'lead_status,control,user,scheduled_for,sent_at,attempts,reason,message\r\n' else '' end || v_page.csv,
    'rows', v_page.rows, 'next', case when v_page.rows = p_limit then v_page.next end);
end $$;
comment on function public.export_queue(uuid, date, date, uuid, text, integer) is
  'A page of the queue with its leads as CSV, by day; the first one begins with the header, and next leads to the one behind it.';

create or replace function public.get_queue_status(p_workspace_id uuid, p_day date default null) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_day date;
begin
  perform private.require_role(
    (select workspace.id from public.workspaces as workspace where workspace.id = p_workspace_id),
    array['owner', 'admin', 'member', 'viewer'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  v_day := coalesce(p_day, private.local_day(private.queue_timezone(p_workspace_id, (select auth.uid()))));
  return jsonb_build_object('day', v_day, 'at', now(),
    'users', (
      select coalesce(jsonb_agg(to_jsonb(line) order by line.name, line.user_id), '[]')
      from (
        select person.user_id, coalesce(profile.full_name, profile.email, person.user_id::text) as name,
          coalesce(settings.daily_capacity, 0) as capacity, coalesce(settings.paused, false) as paused,
          coalesce(queue.queued, 0) as queued, coalesce(queue.sending, 0) as sending, coalesce(queue.sent, 0) as sent,
          coalesce(queue.failed, 0) as failed, coalesce(queue.cancelled, 0) as cancelled,
          coalesce(metrics.taken, 0) as taken, coalesce(metrics.replied, 0) as replied, metrics.first_sent_at,
          metrics.last_sent_at
        from (
          select settings.user_id from public.user_queue_settings as settings
          where settings.workspace_id = p_workspace_id
          union
          select metrics.user_id from public.queue_performance_metrics as metrics
          where metrics.workspace_id = p_workspace_id and metrics.day = v_day
        ) as person
        left join public.profiles as profile on profile.id = person.user_id
        left join public.user_queue_settings as settings
          on settings.workspace_id = p_workspace_id and settings.user_id = person.user_id
        left join public.queue_performance_metrics as metrics
          on metrics.workspace_id = p_workspace_id and metrics.user_id = person.user_id and metrics.day = v_day
        left join (
          select message.user_id, count(*) filter (where message.status = 'queued') as queued,
            count(*) filter (where message.status = 'sending') as sending,
            count(*) filter (where message.status = 'sent') as sent,
            count(*) filter (where message.status = 'failed') as failed,
            count(*) filter (where message.status = 'cancelled') as cancelled
          from public.whatsapp_message_queue as message
          where message.workspace_id = p_workspace_id and message.queue_day = v_day
          group by message.user_id
        ) as queue on queue.user_id = person.user_id
      ) as line),
    'problems', (
      select coalesce(jsonb_object_agg(counted.last_error, counted.count), '{}')
      from (
        select message.last_error, count(*) from public.whatsapp_message_queue as message
        where message.workspace_id = p_workspace_id and message.queue_day = v_day and message.status = 'failed'
          and message.last_error is not null
        group by message.last_error order by count(*) desc limit 10
      ) as counted));
end $$;
comment on function public.get_queue_status(uuid, date) is
  'How a day of the queue stands, for each user: today in the caller''s time zone unless given.';

-- Only the service may execute it; definer, because accounts are out of the service's reach.
create or replace function public.audit_queue()
returns table (kind text, table_name text, name text, rows bigint, remedy text)
language plpgsql stable security definer set search_path = '' as $$
#variable_conflict use_column
declare
  v_reference record;
  v_rule record;
  v_valid boolean;
  v_rows bigint;
begin
  for v_reference in
    select reference.* from private.queue_references() as reference
    union all
    select later.* from (values
      ('user_queue_settings', 'user_queue_settings_workspace_id_connection_id_fkey',
        array['workspace_id', 'connection_id'], 'public.wa_phone_numbers', array['workspace_id', 'id'], ''),
      ('whatsapp_message_queue', 'whatsapp_message_queue_outbox_id_workspace_id_fkey',
        array['workspace_id', 'outbox_id'], 'public.outbox_messages', array['workspace_id', 'id'], '')
    ) as later
  loop
    select key.convalidated into v_valid from pg_catalog.pg_constraint as key
    where key.conrelid = format('public.%I', v_reference.table_name)::regclass
      and key.conname = v_reference.constraint_name;
    if v_valid is not true then
      return query select case when v_valid is null then 'missing constraint' else 'constraint not valid' end,
        v_reference.table_name, v_reference.constraint_name, null::bigint,
        case when v_valid is null then 'Add it again, as 20250129000000_queue_fks_and_ledger does.'
          else format('alter table public.%I validate constraint %I;', v_reference.table_name,
            v_reference.constraint_name) end;
    end if;
    execute format('select count(*) from public.%I as here where %s and not exists (select from %s as target where %s)',
      v_reference.table_name,
      (select string_agg(format('here.%I is not null', part.name), ' and ')
       from unnest(v_reference.columns) as part (name)),
      v_reference.target,
      (select string_agg(format('target.%I = here.%I', pair.there, pair.here), ' and ')
       from unnest(v_reference.columns, v_reference.target_columns) as pair (here, there)))
    into v_rows;
    if v_rows > 0 then
      return query select 'orphans', v_reference.table_name,
        v_reference.columns[cardinality(v_reference.columns)], v_rows,
        format('%s has no such row: empty the column or remove the rows.', v_reference.target);
    end if;
  end loop;
  for v_rule in select rule.* from private.queue_rules() as rule loop
    select key.convalidated into v_valid from pg_catalog.pg_constraint as key
    where key.conrelid = format('public.%I', v_rule.table_name)::regclass and key.conname = v_rule.constraint_name;
    if v_valid is not true then
      v_rows := null;
      if v_rule.definition like 'check%' then
        execute format('select count(*) from public.%I where not %s', v_rule.table_name, substr(v_rule.definition, 6))
        into v_rows;
      end if;
      return query select case when v_valid is null then 'missing constraint' else 'constraint not valid' end,
        v_rule.table_name, v_rule.constraint_name, v_rows,
        'Mend the rows that break it, then add or validate it, as 20250129000000_queue_fks_and_ledger does.';
    end if;
  end loop;
  return query
  select 'inconsistent', 'leads', 'queued without a message', count(*), 'Set their status to pending.'
  from public.leads as lead
  where lead.status = 'queued' and not exists (
    select from public.whatsapp_message_queue as message
    where message.lead_id = lead.id and message.status in ('queued', 'sending'))
  having count(*) > 0;
  return query
  select 'inconsistent', 'whatsapp_message_queue', 'sending without an outbox message', count(*),
    'Set their status to failed; whether they left can''t be known.'
  from public.whatsapp_message_queue as message
  where message.status = 'sending' and message.outbox_id is null
  having count(*) > 0;
  return query
  select 'set aside', substr(reject.source, 8), reject.reason, count(*),
    'They are in private.migration_rejects, as they stood.'
  from private.migration_rejects as reject
  where reject.source in ('public.clients', 'public.projects', 'public.leads', 'public.user_queue_settings',
    'public.whatsapp_message_queue', 'public.lead_processing_queue', 'public.queue_performance_metrics',
    'public.queue_ledger')
  group by reject.source, reject.reason
  order by 2, 3;
end $$;
comment on function public.audit_queue() is
  'Every constraint that the queue''s tables lack, every row that refers to nothing, and what migrations have set aside.';

revoke all on function
  private.require_queue(uuid, uuid), private.check_queue_settings(jsonb), private.queue_steps_problem(jsonb),
  public.set_queue_settings(uuid, jsonb, uuid), private.check_lead_fields(uuid, jsonb, text[]),
  public.create_leads(uuid, uuid[], jsonb), public.update_lead(uuid, jsonb), public.assign_leads(uuid, integer),
  public.prepare_queue(uuid, date, integer, uuid), private.first_connection(uuid),
  private.sendable_messages(public.user_queue_settings, uuid[]),
  public.start_automation(uuid, integer, boolean, uuid), private.advance_leads(uuid[]),
  private.follow_lead_messages(uuid[]), private.give_up_lead_messages(uuid[]), private.put_back_leads(uuid[]),
  private.cancel_ended_automation(uuid[]), private.automated_leads(uuid[]), private.lead_threads(uuid[]),
  private.lead_outbox(uuid[]), private.lock_automation(uuid[]), private.stop_threads(uuid[]),
  private.end_automation(uuid[], uuid[], text, uuid, timestamptz),
  private.begin_takeover(uuid),
  public.take_lead(uuid, text), public.release_lead(uuid, text),
  public.export_queue(uuid, date, date, uuid, text, integer), public.get_queue_status(uuid, date), public.audit_queue()
  from public, anon, authenticated, service_role;
grant execute on function
  public.set_queue_settings(uuid, jsonb, uuid), public.create_leads(uuid, uuid[], jsonb),
  public.update_lead(uuid, jsonb), public.assign_leads(uuid, integer),
  public.prepare_queue(uuid, date, integer, uuid), public.start_automation(uuid, integer, boolean, uuid),
  public.export_queue(uuid, date, date, uuid, text, integer), public.get_queue_status(uuid, date)
  to authenticated, service_role;
grant execute on function public.take_lead(uuid, text), public.release_lead(uuid, text) to authenticated;
-- What the outbox and receiving call, as the service.
grant execute on function
  private.advance_leads(uuid[]), private.follow_lead_messages(uuid[]), private.give_up_lead_messages(uuid[]),
  private.put_back_leads(uuid[]), private.cancel_ended_automation(uuid[]), private.automated_leads(uuid[]),
  private.lead_threads(uuid[]), private.lead_outbox(uuid[]), private.stop_threads(uuid[]),
  private.end_automation(uuid[], uuid[], text, uuid, timestamptz), public.audit_queue()
  to service_role;

notify pgrst, 'reload schema';
