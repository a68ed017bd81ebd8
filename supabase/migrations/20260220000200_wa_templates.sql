-- Purpose:   message templates: as Meta has them, sent with their variables checked, to one thread or to all that a filter
--            means; and threads that the business begins.
-- Needs:     20260220000000_inbox, 20260220000100_inbox_replies, 20260201000000_meta_signup.
-- Used by:   qero.services.templates.
-- Raises:    PT404 thread_not_found, template_not_found, contact_not_found, workspace_not_found · PT403 role_required
--            · PT400 invalid_value, template_variables_invalid, field_unknown · PT409 template_not_approved,
--            recipient_opted_out, connection_not_found, connection_inactive, workspace_suspended, and what
--            private.queue_whatsapp raises.
-- Roll back: drop the functions and the type below; no data is lost.

set lock_timeout = '5s';
set statement_timeout = '60s';

do $$
begin
  if to_regtype('private.listed_template') is null then
    create type private.listed_template as (
      id uuid, workspace_id uuid, waba_id text, template_id text, name text, language text, status text, category text,
      quality text, rejected_reason text, components jsonb, variables jsonb, updated_at timestamptz
    );
  end if;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Functions: what a template holds
------------------------------------------------------------------------------------------------------------------------
-- The components as Meta's API names them; its webhooks have other names for the same.
create or replace function private.template_components(p_components jsonb) returns jsonb
language sql immutable security invoker set search_path = '' as $$
  select case jsonb_typeof(p_components)
    when 'array' then p_components
    when 'object' then (
      select coalesce(jsonb_agg(part.component order by part.place), '[]')
      from (values
        (1, case when p_components ? 'message_template_title' then jsonb_build_object('type', 'HEADER', 'format', 'TEXT',
          'text', p_components -> 'message_template_title') end),
        (2, jsonb_build_object('type', 'BODY', 'text', coalesce(p_components ->> 'message_template_element', ''))),
        (3, case when p_components ? 'message_template_footer' then jsonb_build_object('type', 'FOOTER',
          'text', p_components -> 'message_template_footer') end),
        (4, case when jsonb_typeof(p_components -> 'message_template_buttons') = 'array' then jsonb_build_object(
          'type', 'BUTTONS', 'buttons', (
            select jsonb_agg(jsonb_build_object('type', button.value -> 'message_template_button_type',
              'text', button.value -> 'message_template_button_text', 'url', button.value -> 'message_template_button_url'))
            from jsonb_array_elements(p_components -> 'message_template_buttons') as button)) end)
      ) as part (place, component)
      where part.component is not null)
    else '[]'
  end
$$;

-- The names in double braces, in the order in which they first stand there.
create or replace function private.template_places(p_text text) returns text[]
language sql immutable security invoker set search_path = '' as $$
  select coalesce(array_agg(place.name order by place.first), '{}')
  from (
    select found.name[1] as name, min(found.place) as first
    from regexp_matches(p_text, '\{\{\s*(\w+)\s*\}\}', 'g') with ordinality as found (name, place)
    group by found.name[1]
  ) as place
$$;

-- What has to be given to send it: {"header": …, "body": ["1", "2"], "buttons": {"0": "url"}, "carousel": [one of these for
-- each card]}. A header that is a file says which kind.
create or replace function private.template_variables(p_components jsonb) returns jsonb
language sql immutable security invoker set search_path = '' as $$
  select coalesce(jsonb_object_agg(lower(part.kind), part.places), '{}')
  from (
    select component.value ->> 'type' as kind, case
        when component.value ->> 'type' = 'HEADER' and component.value ->> 'format' <> 'TEXT'
          then to_jsonb(lower(component.value ->> 'format'))
        when component.value ->> 'type' = 'BUTTONS' then (
          select jsonb_object_agg(button.ordinality - 1, case when button.value ->> 'type' = 'COPY_CODE'
            then 'copy_code' else 'url' end)
          from jsonb_array_elements(component.value -> 'buttons') with ordinality as button
          where button.value ->> 'type' in ('COPY_CODE', 'OTP')
            or (button.value ->> 'type' = 'URL' and button.value ->> 'url' like '%{{%'))
        when component.value ->> 'type' = 'CAROUSEL' then (
          select jsonb_agg(private.template_variables(card.value -> 'components') order by card.ordinality)
          from jsonb_array_elements(component.value -> 'cards') with ordinality as card)
        else nullif(to_jsonb(private.template_places(component.value ->> 'text')), '[]')
      end as places
    from jsonb_array_elements(private.template_components(p_components)) as component
    where component.value ->> 'type' in ('HEADER', 'BODY', 'BUTTONS', 'CAROUSEL')
  ) as part
  where part.places is not null
$$;

-- The value of a place: by its name, or in a list by its number.
create or replace function private.template_value(p_given jsonb, p_place text) returns text
language sql immutable security invoker set search_path = '' as $$
  select case
    when jsonb_typeof(p_given) = 'object' then p_given ->> p_place
    when jsonb_typeof(p_given) = 'array' and p_place ~ '^[1-9][0-9]?$' then p_given ->> (p_place::integer - 1)
  end
$$;

-- What is wrong with the variables of a template, or of one of its cards.
create or replace function private.template_problems(p_wanted jsonb, p_variables jsonb) returns setof text
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if jsonb_typeof(p_variables) is distinct from 'object' then
    return query select 'values are missing';
    return;
  end if;
  return query
  select problem.text
  from (
    -- Parts that aren't there, or of another shape.
    select given.key || ' isn''t part of it' as text from jsonb_each(p_variables) as given where not p_wanted ? given.key
    union all
    select part.name || ' is missing' from jsonb_object_keys(p_wanted) as part (name) where not p_variables ? part.name
    union all
    select 'header needs the id of an uploaded ' || (p_wanted ->> 'header') || ' or a link to one'
    where jsonb_typeof(p_wanted -> 'header') = 'string' and p_variables ? 'header' and not coalesce(
      (p_variables -> 'header' ? 'id') <> (p_variables -> 'header' ? 'link'), false)
    union all
    -- Values: none may be missing, and Meta takes no line breaks.
    select part.name || ' ' || place.name || ' is missing, or holds a line break, a tab or five spaces'
    from (values ('header'), ('body')) as part (name)
    cross join lateral jsonb_array_elements_text(
      case jsonb_typeof(p_wanted -> part.name) when 'array' then p_wanted -> part.name else '[]' end) as place (name)
    where p_variables ? part.name
      and not coalesce(private.template_value(p_variables -> part.name, place.name) !~ '[\n\r\t]|     |^$', false)
    union all
    select part.name || ' has more values than places' from (values ('header'), ('body')) as part (name)
    where jsonb_typeof(p_wanted -> part.name) = 'array' and p_variables ? part.name
      and case jsonb_typeof(p_variables -> part.name)
        when 'array' then jsonb_array_length(p_variables -> part.name)
        when 'object' then (select count(*) from jsonb_object_keys(p_variables -> part.name))
      end > jsonb_array_length(p_wanted -> part.name)
    union all
    select 'buttons ' || button.name || ' is missing'
    from jsonb_object_keys(coalesce(p_wanted -> 'buttons', '{}')) as button (name)
    where p_variables ? 'buttons' and coalesce(p_variables -> 'buttons' ->> button.name, '') = ''
    union all
    select 'carousel ' || card.ordinality || ': ' || inside.text
    from jsonb_array_elements(p_wanted -> 'carousel') with ordinality as card
    cross join lateral private.template_problems(
      card.value, p_variables -> 'carousel' -> (card.ordinality - 1)::integer) as inside (text)
    where p_variables ? 'carousel'
    union all
    select 'carousel has more values than cards'
    where p_wanted ? 'carousel' and jsonb_path_exists(p_variables, '$.carousel[$cards]',
      jsonb_build_object('cards', jsonb_array_length(p_wanted -> 'carousel')))
  ) as problem;
end $$;

-- Raises unless the variables are exactly those of the template.
create or replace function private.check_template_variables(p_template public.wa_templates, p_variables jsonb)
returns void
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_wanted constant jsonb := private.template_variables(p_template.components);
  v_problems jsonb;
begin
  if exists (
    select from jsonb_array_elements(private.template_components(p_template.components)) as component
    where component.value ->> 'type' not in ('HEADER', 'BODY', 'FOOTER', 'BUTTONS', 'CAROUSEL'))
  then
    perform private.raise_error(400, 'invalid_value', jsonb_build_object('field', 'template_id'),
      'Templates with offers can''t be sent from here; send them through the outbox.');
  end if;
  select jsonb_agg(problem.text order by problem.text) into v_problems
  from private.template_problems(v_wanted, p_variables) as problem (text);
  if v_problems is not null then
    perform private.raise_error(400, 'template_variables_invalid',
      jsonb_build_object('problems', v_problems, 'variables', v_wanted),
      'Give a value for each place that the template has, and no other.');
  end if;
end $$;

-- The components of Meta's request, of a template or of one of its cards; null when there are none.
create or replace function private.template_parts(p_wanted jsonb, p_variables jsonb) returns jsonb
language sql immutable security invoker set search_path = '' as $$
  with component as (
    select 1 as place, jsonb_build_object('type', 'header', 'parameters', jsonb_build_array(jsonb_build_object(
      'type', p_wanted ->> 'header', p_wanted ->> 'header', p_variables -> 'header'))) as value
    where jsonb_typeof(p_wanted -> 'header') = 'string'
    union all
    select 2, jsonb_build_object('type', part.name, 'parameters', (
      select jsonb_agg(jsonb_build_object('type', 'text', 'text',
          private.template_value(p_variables -> part.name, place.value))
        || case when place.value ~ '^[0-9]+$' then '{}'::jsonb
          else jsonb_build_object('parameter_name', place.value) end order by place.ordinality)
      from jsonb_array_elements_text(p_wanted -> part.name) with ordinality as place))
    from (values ('header'), ('body')) as part (name)
    where jsonb_typeof(p_wanted -> part.name) = 'array'
    union all
    select 3, jsonb_build_object('type', 'button', 'sub_type', button.value, 'index', button.key,
      'parameters', jsonb_build_array(case button.value
        when 'copy_code' then jsonb_build_object('type', 'coupon_code', 'coupon_code', p_variables -> 'buttons' -> button.key)
        else jsonb_build_object('type', 'text', 'text', p_variables -> 'buttons' -> button.key) end))
    from jsonb_each_text(coalesce(p_wanted -> 'buttons', '{}')) as button
    union all
    select 4, jsonb_build_object('type', 'carousel', 'cards', (
      select jsonb_agg(jsonb_build_object('card_index', card.ordinality - 1, 'components', coalesce(
        private.template_parts(card.value, p_variables -> 'carousel' -> (card.ordinality - 1)::integer), '[]'))
        order by card.ordinality)
      from jsonb_array_elements(p_wanted -> 'carousel') with ordinality as card))
    where p_wanted ? 'carousel'
  )
  select jsonb_agg(component.value order by component.place, component.value ->> 'type' desc, component.value ->> 'index')
  from component
$$;

-- The body of Meta's request, from variables that have been checked.
create or replace function private.template_payload(p_template public.wa_templates, p_variables jsonb) returns jsonb
language sql immutable security invoker set search_path = '' as $$
  select jsonb_build_object('type', 'template', 'template', jsonb_strip_nulls(jsonb_build_object(
    'name', p_template.name, 'language', jsonb_build_object('code', p_template.language),
    'components', private.template_parts(private.template_variables(p_template.components), p_variables))))
$$;

-- What the customer reads, for the team's eyes.
create or replace function private.template_text(p_template public.wa_templates, p_variables jsonb) returns text
language plpgsql immutable security invoker set search_path = '' as $$
declare
  v_text text := (
    select component.value ->> 'text'
    from jsonb_array_elements(private.template_components(p_template.components)) as component
    where component.value ->> 'type' = 'BODY' limit 1);
  v_place text;
begin
  foreach v_place in array private.template_places(v_text) loop
    v_text := regexp_replace(v_text, '\{\{\s*' || v_place || '\s*\}\}',
      replace(private.template_value(p_variables -> 'body', v_place), '\', '\\'), 'g');
  end loop;
  return v_text;
end $$;

-- Variables with what is known of one contact; null where something that they name isn't.
create or replace function private.filled_variables(p_variables jsonb, p_contact public.contacts) returns jsonb
language plpgsql immutable security invoker set search_path = '' as $$
begin
  if strpos(p_variables::text, '{contact.') = 0 then
    return p_variables;
  end if;
  -- As they stand inside of JSON.
  p_contact.name := substr(to_jsonb(regexp_replace(btrim(p_contact.name), '\s+', ' ', 'g'))::text, 2);
  p_contact.name := left(p_contact.name, -1);
  p_contact.email := left(substr(to_jsonb(p_contact.email)::text, 2), -1);
  return private.filled_text(p_variables::text, p_contact)::jsonb;
end $$;

------------------------------------------------------------------------------------------------------------------------
-- Functions: Meta's list
------------------------------------------------------------------------------------------------------------------------
create or replace function public.get_account_tokens(p_workspace_id uuid)
returns table (waba_id text, access_token_ciphertext text, asked_at timestamptz)
language sql stable security invoker set search_path = '' as $$
  select distinct on (connection.waba_id) connection.waba_id, private.connection_secret(connection.id), now()
  from public.wa_phone_numbers as connection
  left join private.wa_connection_secrets as secret on secret.connection_id = connection.id
  where connection.workspace_id = p_workspace_id and connection.deleted_at is null and connection.status = 'active'
  order by connection.waba_id, secret.connection_id is null, connection.created_at desc, connection.id
$$;
comment on function public.get_account_tokens(uuid) is
  'The business accounts of a workspace''s active numbers, each with one encrypted token that reads it, if there is one.';

create or replace function public.sync_templates(
  p_workspace_id uuid, p_waba_id text, p_templates jsonb, p_asked_at timestamptz
) returns jsonb
language plpgsql security invoker set search_path = '' as $$
declare
  v_synced integer;
  v_gone integer;
begin
  insert into public.wa_templates as template (workspace_id, waba_id, template_id, name, language, status, category,
    quality, rejected_reason, components, status_changed_at, category_changed_at, quality_changed_at,
    components_changed_at)
  select distinct on (given.id) p_workspace_id, p_waba_id, given.id, given.name, given.language, given.status, given.category,
    given.quality_score ->> 'score', nullif(given.rejected_reason, 'NONE'), given.components, p_asked_at, p_asked_at,
    p_asked_at, p_asked_at
  from jsonb_to_recordset(p_templates) as given (
    id text, name text, language text, status text, category text, quality_score jsonb, rejected_reason text,
    components jsonb)
  order by given.id
  on conflict on constraint wa_templates_template_id_key do update
  -- A webhook that came meanwhile is newer than the list.
  set name = excluded.name, language = excluded.language,
    status = case when p_asked_at >= coalesce(template.status_changed_at, '-infinity')
      then excluded.status else template.status end,
    rejected_reason = case when p_asked_at >= coalesce(template.status_changed_at, '-infinity')
      then excluded.rejected_reason else template.rejected_reason end,
    category = case when p_asked_at >= coalesce(template.category_changed_at, '-infinity')
      then excluded.category else template.category end,
    quality = case when p_asked_at >= coalesce(template.quality_changed_at, '-infinity')
      then excluded.quality else template.quality end,
    components = case when p_asked_at >= coalesce(template.components_changed_at, '-infinity')
      then excluded.components else template.components end,
    status_changed_at = greatest(template.status_changed_at, p_asked_at),
    category_changed_at = greatest(template.category_changed_at, p_asked_at),
    quality_changed_at = greatest(template.quality_changed_at, p_asked_at),
    components_changed_at = greatest(template.components_changed_at, p_asked_at);
  get diagnostics v_synced = row_count;
  update public.wa_templates as template set status = 'DELETED', status_changed_at = p_asked_at
  where template.workspace_id = p_workspace_id and template.waba_id = p_waba_id
    and template.status is distinct from 'DELETED' and coalesce(template.status_changed_at, '-infinity') < p_asked_at
    and not exists (
      select from jsonb_to_recordset(p_templates) as given (id text) where given.id = template.template_id);
  get diagnostics v_gone = row_count;
  return jsonb_build_object('synced', v_synced, 'gone', v_gone);
exception when foreign_key_violation then
  perform private.raise_error(404, 'workspace_not_found', jsonb_build_object('workspace', p_workspace_id),
    'Check the workspace''s id.');
end $$;
comment on function public.sync_templates(uuid, text, jsonb, timestamptz) is
  'Stores the whole list of templates that Meta gave for a business account; those that aren''t on it any more are deleted.';

create or replace function public.list_templates(
  p_workspace_id uuid, p_status text default null, p_search text default null
) returns setof private.listed_template
language plpgsql stable security invoker set search_path = '' as $$
begin
  return query
  select template.id, template.workspace_id, template.waba_id, template.template_id, template.name, template.language,
    template.status, template.category, template.quality, template.rejected_reason,
    private.template_components(template.components), private.template_variables(template.components),
    template.updated_at
  from public.wa_templates as template
  where template.workspace_id = p_workspace_id
    and case when p_status is null then template.status is distinct from 'DELETED' else template.status = p_status end
    and (p_search is null or strpos(lower(template.name), lower(p_search)) > 0)
  order by template.name, template.language, template.id;
end $$;
comment on function public.list_templates(uuid, text, text) is
  'A workspace''s templates with the variables that each needs and the category that Meta charges for.';

------------------------------------------------------------------------------------------------------------------------
-- Functions: sending
------------------------------------------------------------------------------------------------------------------------
-- A template of the workspace that may be sent now; another looks missing.
create or replace function private.sendable_template(p_workspace_id uuid, p_template_id uuid) returns public.wa_templates
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_template public.wa_templates;
begin
  select template.* into v_template from public.wa_templates as template
  where template.workspace_id = p_workspace_id and template.id = p_template_id;
  if not found then
    perform private.raise_error(404, 'template_not_found', jsonb_build_object('template_id', p_template_id),
      'Check the id, or sync the templates.');
  elsif v_template.status is distinct from 'APPROVED' or v_template.components is null then
    perform private.raise_error(409, 'template_not_approved',
      jsonb_build_object('template_id', p_template_id, 'status', v_template.status, 'reason', v_template.rejected_reason),
      'Send one that Meta has approved, or sync the templates if it has meanwhile.');
  end if;
  return v_template;
end $$;

-- Definer, as the other replies. A template needs no open window: it opens a conversation.
create or replace function public.send_whatsapp_template(
  p_thread_id uuid, p_template_id uuid, p_variables jsonb, p_idempotency_key text
) returns public.wa_messages
language plpgsql security definer set search_path = '' as $$
declare
  v_thread public.wa_threads;
  v_template public.wa_templates;
  v_contact public.contacts;
  v_variables jsonb := coalesce(p_variables, '{}');
  v_queued record;
  v_message public.wa_messages;
begin
  select thread.* into v_thread from public.wa_threads as thread where thread.id = p_thread_id;
  perform private.require_role(v_thread.workspace_id, array['owner', 'admin', 'member'], 'thread_not_found',
    jsonb_build_object('thread_id', p_thread_id));
  v_template := private.sendable_template(v_thread.workspace_id, p_template_id);
  if v_template.waba_id <> (
    select connection.waba_id from public.wa_phone_numbers as connection where connection.id = v_thread.connection_id)
  then
    perform private.raise_error(404, 'template_not_found', jsonb_build_object('template_id', p_template_id),
      'Send a template of the business account that the thread''s number belongs to.');
  end if;
  select contact.* into v_contact from public.contacts as contact where contact.id = v_thread.contact_id;
  if v_template.category = 'MARKETING' and v_contact.marketing_opted_out then
    perform private.raise_error(409, 'recipient_opted_out', jsonb_build_object('contact_id', v_contact.id),
      'Send no marketing to them; a utility template may be sent.');
  end if;
  v_variables := private.filled_variables(v_variables, v_contact);
  perform private.check_template_variables(v_template, coalesce(v_variables, '{}'));
  v_queued := private.queue_whatsapp(
    p_thread_id, private.template_payload(v_template, v_variables), p_idempotency_key, false);
  if v_queued.is_new then
    return private.show_whatsapp_reply(v_queued.outbox, 'template', private.template_text(v_template, v_variables));
  end if;
  select message.* into v_message from public.wa_messages as message where message.outbox_id = (v_queued.outbox).id;
  return v_message;
end $$;
comment on function public.send_whatsapp_template(uuid, uuid, jsonb, text) is
  'Queues an approved template by the thread''s own number, whatever its window, with its variables checked.';

create or replace function public.open_thread(p_contact_id uuid, p_connection_id uuid) returns public.wa_threads
language plpgsql security definer set search_path = '' as $$
declare
  v_contact public.contacts;
  v_connection public.wa_phone_numbers;
  v_thread public.wa_threads;
begin
  select contact.* into v_contact from public.contacts as contact
  where contact.id = p_contact_id and contact.deleted_at is null;
  perform private.require_role(v_contact.workspace_id, array['owner', 'admin', 'member'], 'contact_not_found',
    jsonb_build_object('contact_id', p_contact_id));
  select connection.* into v_connection from public.wa_phone_numbers as connection
  where connection.id = p_connection_id and connection.workspace_id = v_contact.workspace_id
    and connection.deleted_at is null;
  if not found then
    perform private.raise_error(409, 'connection_not_found', jsonb_build_object('connection_id', p_connection_id),
      'Name a number of the contact''s workspace.');
  elsif v_connection.status <> 'active' then
    perform private.raise_error(409, 'connection_inactive',
      jsonb_build_object('connection_id', v_connection.id, 'status', v_connection.status,
        'reason', v_connection.status_reason), 'Reactivate the connection, then repeat the request.');
  end if;
  insert into public.wa_threads (workspace_id, connection_id, contact_id, status, last_message_at)
  values (v_contact.workspace_id, v_connection.id, v_contact.id, 'pending', now())
  on conflict on constraint wa_threads_connection_id_contact_id_key do nothing;
  select thread.* into v_thread from public.wa_threads as thread
  where thread.workspace_id = v_contact.workspace_id and thread.connection_id = v_connection.id
    and thread.contact_id = v_contact.id;
  return v_thread;
end $$;
comment on function public.open_thread(uuid, uuid) is
  'The thread of a contact with a number, made when there is none: what is sent first in it is a template.';

-- Whom a template would go to, and why not to others: the one query behind the preview and the sending.
create or replace function private.template_recipients(
  p_workspace_id uuid, p_template public.wa_templates, p_filter jsonb, p_view_id uuid, p_variables jsonb,
  p_limit integer
) returns table (
  thread_id uuid, connection_id uuid, contact_name text, recipient text, variables jsonb, reason text
)
language plpgsql stable security invoker set search_path = '' as $$
#variable_conflict use_column
declare
  v_page constant text := ' order by thread.last_message_hour desc, thread.last_message_at desc, thread.id desc limit '
    || p_limit;
begin
  return query execute 'select found.id, found.connection_id, found.name, found.recipient, found.variables, case
      when found.contact_id is null then ''group''
      when found.waba_id is distinct from ($2).waba_id then ''other_account''
      when found.connection_status is null then ''connection_not_found''
      when found.connection_status <> ''active'' then ''connection_inactive''
      when ($2).category = ''MARKETING'' and found.marketing_opted_out then ''opted_out''
      when found.recipient is null then ''recipient_missing''
      when found.variables is null then ''variable_missing''
    end
    from (
      select thread.id, thread.connection_id, thread.contact_id, contact.name, contact.marketing_opted_out,
        connection.waba_id, case when connection.deleted_at is null then connection.status end as connection_status,
        private.whatsapp_recipient(thread.contact_id, connection) as recipient,
        private.filled_variables($1, contact) as variables
      from (select thread.* from (' || private.threads_found('thread.*', p_workspace_id, p_filter, p_view_id, v_page)
        || ') as thread' || v_page || ') as thread
      join public.wa_phone_numbers as connection on connection.id = thread.connection_id
      left join public.contacts as contact on contact.id = thread.contact_id
    ) as found'
    using p_variables, p_template;
end $$;

create or replace function public.preview_template_send(
  p_workspace_id uuid, p_template_id uuid, p_filter jsonb default '{}', p_view_id uuid default null,
  p_variables jsonb default '{}', p_limit integer default 1000
) returns jsonb
language plpgsql stable security definer set search_path = '' as $$
declare
  v_template public.wa_templates;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  v_template := private.bulk_template(p_workspace_id, p_template_id, p_variables, p_limit);
  return (
    select jsonb_build_object(
      'threads', count(*), 'sendable', count(*) filter (where found.reason is null), 'category', v_template.category,
      'skipped', coalesce((
        select jsonb_object_agg(skipped.reason, skipped.threads)
        from (
          select one.reason, count(*) as threads from unnest(array_agg(found.reason)) as one (reason)
          where one.reason is not null group by one.reason
        ) as skipped), '{}'),
      'samples', coalesce(jsonb_agg(jsonb_build_object('thread_id', found.thread_id, 'contact_name', found.contact_name,
          'body', private.template_text(v_template, found.variables)))
        filter (where found.reason is null and found.sample <= 3), '[]'))
    from (
      select recipient.*, row_number() over (partition by recipient.reason) as sample
      from private.template_recipients(
        p_workspace_id, v_template, p_filter, p_view_id, p_variables, p_limit) as recipient
    ) as found);
end $$;
comment on function public.preview_template_send(uuid, uuid, jsonb, uuid, jsonb, integer) is
  'What send_template_to_threads would do: how many get it, how many don''t and why, the category, and three samples.';

create or replace function private.bulk_template(
  p_workspace_id uuid, p_template_id uuid, p_variables jsonb, p_limit integer
) returns public.wa_templates
language plpgsql stable security invoker set search_path = '' as $$
declare
  v_template public.wa_templates := private.sendable_template(p_workspace_id, p_template_id);
begin
  if not coalesce(p_limit between 1 and 10000, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "limit", "allowed": "1 to 10000"}',
      'Send to 1 to 10,000 threads at once.');
  end if;
  perform private.check_template_variables(v_template, coalesce(p_variables, '{}'));
  return v_template;
end $$;

create or replace function public.send_template_to_threads(
  p_workspace_id uuid, p_template_id uuid, p_idempotency_key text, p_filter jsonb default '{}',
  p_view_id uuid default null, p_variables jsonb default '{}', p_limit integer default 1000
) returns jsonb
language plpgsql security definer set search_path = '' as $$
declare
  v_template public.wa_templates;
  v_user_id constant uuid := (select auth.uid());
  v_threads uuid[];
  v_connections uuid[];
  v_recipients text[];
  v_variables jsonb[];
  v_skipped jsonb;
  v_queued integer;
begin
  perform private.require_role(p_workspace_id, array['owner', 'admin'], 'workspace_not_found',
    jsonb_build_object('workspace', p_workspace_id));
  if not coalesce(length(p_idempotency_key) between 1 and 150, false) then
    perform private.raise_error(400, 'invalid_value', '{"field": "idempotency_key"}',
      'Give each sending its own key of 1 to 150 characters, and repeat it when you repeat the request.');
  end if;
  v_template := private.bulk_template(p_workspace_id, p_template_id, p_variables, p_limit);
  select array_agg(found.thread_id order by found.thread_id) filter (where found.reason is null),
    array_agg(found.connection_id order by found.thread_id) filter (where found.reason is null),
    array_agg(found.recipient order by found.thread_id) filter (where found.reason is null),
    array_agg(found.variables order by found.thread_id) filter (where found.reason is null),
    coalesce((
      select jsonb_object_agg(skipped.reason, skipped.threads)
      from (
        select one.reason, count(*) as threads from unnest(array_agg(found.reason)) as one (reason)
        where one.reason is not null group by one.reason
      ) as skipped), '{}')
  into v_threads, v_connections, v_recipients, v_variables, v_skipped
  from private.template_recipients(p_workspace_id, v_template, p_filter, p_view_id, p_variables, p_limit) as found;

  perform 1 from public.wa_threads as thread where thread.id = any (v_threads) order by thread.id for no key update;
  with given as materialized (
    select given.*, private.template_payload(v_template, given.variables) as payload
    from unnest(v_threads, v_connections, v_recipients, v_variables)
      as given (thread_id, connection_id, recipient, variables)
  ), queued as (
    insert into public.outbox_messages (workspace_id, channel, connection_id, thread_id, recipient, payload,
      idempotency_key, priority, created_by)
    select p_workspace_id, 'whatsapp', given.connection_id, given.thread_id, given.recipient, given.payload,
      -- Behind whatever people write.
      p_idempotency_key || ':' || given.thread_id, -10, v_user_id
    from given order by given.thread_id
    on conflict on constraint outbox_messages_workspace_id_idempotency_key_key do nothing
    returning id, thread_id, connection_id, payload
  ), shown as (
    insert into public.wa_messages (workspace_id, connection_id, thread_id, direction, type, body, content, status,
      search_language, sent_by, outbox_id, occurred_at)
    select p_workspace_id, queued.connection_id, queued.thread_id, 'out', 'template',
      private.template_text(v_template, given.variables), queued.payload, 'pending',
      (select nullif(connection.search_languages[cardinality(connection.search_languages)], 'simple')
       from public.wa_phone_numbers as connection where connection.id = queued.connection_id),
      v_user_id, queued.id, now()
    from queued join given on given.thread_id = queued.thread_id
    returning thread_id, body
  )
  -- Nobody is answered by it.
  update public.wa_threads as thread
  set last_message_at = greatest(thread.last_message_at, now()),
    -- Somebody may have written while this waited for the thread.
    last_message_body = case when thread.last_message_at > now() then thread.last_message_body
      else left(shown.body, 200) end
  from shown where thread.id = shown.thread_id;
  get diagnostics v_queued = row_count;
  return jsonb_build_object('queued', v_queued, 'repeated', coalesce(cardinality(v_threads), 0) - v_queued,
    'skipped', v_skipped);
end $$;
comment on function public.send_template_to_threads(uuid, uuid, text, jsonb, uuid, jsonb, integer) is
  'Queues a template to every thread that a filter, a saved view or both mean, each once for a key; says how many got it.';

------------------------------------------------------------------------------------------------------------------------
-- Grants on functions
------------------------------------------------------------------------------------------------------------------------
revoke all on function
  private.template_components(jsonb), private.template_places(text), private.template_variables(jsonb),
  private.template_value(jsonb, text), private.template_problems(jsonb, jsonb),
  private.check_template_variables(public.wa_templates, jsonb), private.template_parts(jsonb, jsonb),
  private.template_payload(public.wa_templates, jsonb), private.template_text(public.wa_templates, jsonb),
  private.filled_variables(jsonb, public.contacts), public.get_account_tokens(uuid),
  public.sync_templates(uuid, text, jsonb, timestamptz), public.list_templates(uuid, text, text),
  private.sendable_template(uuid, uuid), public.send_whatsapp_template(uuid, uuid, jsonb, text),
  public.open_thread(uuid, uuid),
  private.template_recipients(uuid, public.wa_templates, jsonb, uuid, jsonb, integer),
  public.preview_template_send(uuid, uuid, jsonb, uuid, jsonb, integer),
  private.bulk_template(uuid, uuid, jsonb, integer),
  public.send_template_to_threads(uuid, uuid, text, jsonb, uuid, jsonb, integer)
  from public, anon, authenticated, service_role;
grant execute on function
  private.template_components(jsonb), private.template_places(text), private.template_variables(jsonb),
  public.list_templates(uuid, text, text), public.send_whatsapp_template(uuid, uuid, jsonb, text),
  public.open_thread(uuid, uuid), public.preview_template_send(uuid, uuid, jsonb, uuid, jsonb, integer),
  public.send_template_to_threads(uuid, uuid, text, jsonb, uuid, jsonb, integer)
  to authenticated, service_role;
grant execute on function public.get_account_tokens(uuid), public.sync_templates(uuid, text, jsonb, timestamptz)
  to service_role;

notify pgrst, 'reload schema';
