"""Databases as they stood before: of an older qero, of another application, or half made by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

BASE: LiteralString = """
insert into auth.users (id, email)
  select ('00000000-0000-0000-0000-00000000000' || number)::uuid, number || '@example.com'
  from generate_series(1, 3) as number;
create table public.workspaces (
  id uuid primary key default gen_random_uuid(), slug text not null, name text not null,
  status text not null default 'active', created_at timestamptz not null default now(),
  updated_at timestamptz not null default now());
insert into public.workspaces (id, slug, name) values ('10000000-0000-0000-0000-000000000000', 'acme', 'Acme');
"""


@dataclass(frozen=True)
class Shape:
    """How a database stood.

    Attributes:
        sql: makes it.
        writes: what goes on being written while it is upgraded; it has to work before, meanwhile and after.
        kept: counts that have to be the same afterwards.
        mended: something is another than the migrations take it for, or is too much, so that a person has to decide.
    """

    sql: LiteralString
    writes: LiteralString | None = None
    kept: LiteralString | None = None
    mended: bool = False


SHAPES: dict[str, Shape] = {
    "nothing but people and workspaces": Shape(BASE, kept="select count(*) from public.workspaces"),
    "entitlements with a value that may not be null": Shape(
        BASE
        + """
        create table public.workspace_entitlements (
          workspace_id uuid not null references public.workspaces (id), key text not null, value jsonb not null,
          primary key (workspace_id, key));
        insert into public.workspace_entitlements
        select id, key, value::jsonb from public.workspaces, (values
          ('yes', 'true'), ('no', 'false'), ('object', '{"limit": 3}'), ('number', '5'), ('list', '[1]')
        ) as t (key, value);
        create function public.set_workspace_entitlement(p_slug text, p_key text, p_enabled boolean)
        returns table (workspace_id uuid, balance bigint) language plpgsql as $$ begin return; end $$;
        create function public.apply_workspace_token_delta(p_workspace uuid, p_delta bigint, p_reason text,
          p_reference text)
        returns table (workspace_id uuid, balance bigint) language plpgsql as $$ begin return; end $$;
        """,
        kept="select count(*) from public.workspace_entitlements",
    ),
    "entitlements with a value of text": Shape(
        BASE
        + """
        create table public.workspace_entitlements (
          workspace_id uuid not null, key text not null, value text not null, primary key (workspace_id, key));
        insert into public.workspace_entitlements select id, 'plan', 'gold' from public.workspaces;
        """,
        kept='select count(*) from public.workspace_entitlements where payload = \'{"value": "gold"}\'',
    ),
    "contacts and candidates with a shared status": Shape(
        BASE
        + """
        create table public.contacts (
          id uuid primary key default gen_random_uuid(), workspace_id uuid references public.workspaces (id),
          name text, email text, phone text, lead_status text, status_tags text[],
          status text default 'working', follow_up_at timestamp, follow_up_note text,
          created_at timestamptz default now());
        create table public.tma_candidates (
          id uuid primary key default gen_random_uuid(), workspace_id uuid references public.workspaces (id),
          name text, status_tags text[], status text, follow_up_at timestamptz, follow_up_note text);
        insert into public.contacts (workspace_id, name, status) select id, 'Ada', 'hot' from public.workspaces;
        insert into public.contacts (workspace_id, name, status) select id, 'Bob', 'odd' from public.workspaces;
        insert into public.tma_candidates (workspace_id, name, status) select id, 'Cy', 'A' from public.workspaces;
        """,
        writes="insert into public.contacts (workspace_id, name) select id, 'Meanwhile' from public.workspaces",
        kept="select count(*) from public.contacts where name in ('Ada', 'Bob')",
    ),
    "chats whose messages have no numbers": Shape(
        BASE
        + """
        create table public.chats (
          id uuid primary key default gen_random_uuid(),
          workspace_id uuid not null references public.workspaces (id) on delete cascade,
          created_at timestamptz not null default now());
        create table public.chat_messages (
          id uuid primary key default gen_random_uuid(), chat_id uuid not null, sender_id uuid, body text,
          created_at timestamptz not null default now());
        insert into public.chats (workspace_id) select id from public.workspaces, generate_series(1, 3);
        insert into public.chat_messages (chat_id, body)
          select id, 'Message ' || number from public.chats, generate_series(1, 100) as number;
        """,
        writes="insert into public.chat_messages (chat_id, body) select id, 'Meanwhile' from public.chats",
        kept="select count(*) from public.chat_messages where body like 'Message %%'",
    ),
    "an outbox of an older shape": Shape(
        BASE
        + """
        create table public.outbox_messages (
          id uuid primary key default gen_random_uuid(), workspace_id uuid, recipient text, payload jsonb,
          status text not null default 'pending', created_at timestamptz not null default now());
        insert into public.outbox_messages (workspace_id, recipient, payload, status)
        select id, '+49170', '{}', stood from public.workspaces, unnest(array['pending', 'sent', 'odd']) as stood;
        """,
        kept="select count(*) from public.outbox_messages where status <> 'queued'",
    ),
    "a lead queue without references": Shape(
        BASE
        + """
        create table public.contacts (
          id uuid primary key default gen_random_uuid(), workspace_id uuid, name text, created_at timestamptz);
        insert into public.contacts (workspace_id, name) select id, 'Ada' from public.workspaces;
        create table public.clients (id uuid primary key default gen_random_uuid(), workspace_id uuid, name text);
        create table public.leads (
          id uuid primary key default gen_random_uuid(), workspace_id uuid, contact_id uuid, client_id uuid,
          user_id uuid, status varchar(30) default 'new', score integer default 0);
        create table public.user_queue_settings (workspace_id uuid, user_id uuid, daily_capacity integer);
        create table public.whatsapp_message_queue (
          id uuid primary key default gen_random_uuid(), workspace_id uuid, lead_id uuid, user_id uuid, client_id uuid,
          body text, status text, queue_day date, created_at timestamptz default now());
        create table public.lead_processing_queue (
          id uuid primary key default gen_random_uuid(), lead_id uuid, user_id uuid, status text);
        create table public.queue_performance_metrics (workspace_id uuid, user_id uuid, day date, sent integer);
        insert into public.clients (workspace_id, name) select id, 'Engines Ltd' from public.workspaces;
        insert into public.leads (workspace_id, contact_id, client_id, user_id, status)
        select contact.workspace_id, contact.id, client.id, '00000000-0000-0000-0000-000000000001', status
        from public.contacts as contact, public.clients as client,
          unnest(array['new', 'contacted', 'booked']) as status;
        insert into public.leads (workspace_id, contact_id, user_id)
        select id, gen_random_uuid(), gen_random_uuid() from public.workspaces;
        insert into public.leads (score) values (3);
        insert into public.user_queue_settings select id, '00000000-0000-0000-0000-000000000001', 20
        from public.workspaces;
        insert into public.whatsapp_message_queue (workspace_id, lead_id, user_id, body, status, queue_day)
        select workspace_id, id, user_id, 'Hi', 'delivered', '2026-01-01' from public.leads where status = 'contacted';
        insert into public.whatsapp_message_queue (lead_id, body, status) values (gen_random_uuid(), 'Hi', 'queued');
        insert into public.lead_processing_queue (lead_id, status) select id, 'waiting' from public.leads;
        insert into public.queue_performance_metrics (workspace_id, user_id, day, sent)
        select id, '00000000-0000-0000-0000-000000000001', '2026-01-01', 3 from public.workspaces;
        """,
        writes="insert into public.leads (workspace_id, contact_id) select workspace_id, id from public.contacts",
        kept="select count(*) from public.leads join public.contacts on contacts.id = leads.contact_id",
    ),
    "conversations from before there were several numbers": Shape(
        BASE
        + """
        create table public.contacts (
          id uuid primary key default gen_random_uuid(), workspace_id uuid, name text, created_at timestamptz);
        create table public.wa_phone_numbers (
          id uuid primary key default gen_random_uuid(), workspace_id uuid not null, waba_id text not null,
          phone_number_id text not null, created_at timestamptz not null default now());
        create table public.wa_threads (
          id uuid primary key default gen_random_uuid(), workspace_id uuid not null, contact_id uuid,
          status text not null default 'open', created_at timestamptz not null default now());
        create table public.wa_messages (
          id uuid primary key default gen_random_uuid(), workspace_id uuid not null, thread_id uuid not null,
          direction text not null, wa_message_id text, body text, status text,
          created_at timestamptz not null default now());
        insert into public.contacts (workspace_id, name) select id, 'Ada ' || n
          from public.workspaces, generate_series(1, 20) as n;
        insert into public.wa_phone_numbers (workspace_id, waba_id, phone_number_id) select id, '1', '11'
          from public.workspaces;
        insert into public.wa_threads (workspace_id, contact_id) select workspace_id, id from public.contacts;
        insert into public.wa_messages (workspace_id, thread_id, direction, wa_message_id, body)
          select workspace_id, id, 'in', 'wamid.' || id || n, 'Hello'
          from public.wa_threads, generate_series(1, 10) as n;
        """,
        writes="update public.wa_threads set status = 'open'",
        kept="select count(*) from public.wa_messages join public.wa_phone_numbers as number "
        "on number.id = connection_id where phone_number_id = '11' and occurred_at = wa_messages.created_at",
    ),
    "tables half made by hand": Shape(
        """
        create schema private;
        create table public.profiles (id uuid primary key references auth.users (id) on delete cascade, email text);
        create table public.workspaces (id uuid primary key default gen_random_uuid(), slug text, name text);
        create table public.workspace_memberships (workspace_id uuid, user_id uuid, role text);
        create table public.wa_phone_numbers (id uuid primary key default gen_random_uuid(), workspace_id uuid);
        create table public.wa_threads (id uuid primary key default gen_random_uuid(), workspace_id uuid);
        create table public.user_contact_settings (user_id uuid, contact_id uuid);
        create table public.push_subscriptions (id uuid primary key default gen_random_uuid(), endpoint text);
        create table public.wa_saved_views (id uuid primary key default gen_random_uuid(), workspace_id uuid);
        alter table public.workspaces enable row level security;
        create policy anyone on public.workspaces for all to public using (true);
        grant all on public.workspaces to anon;
        insert into public.workspaces (slug, name) values ('acme', 'Acme');
        """,
        kept="select count(*) from public.workspaces",
        mended=True,
    ),
}
