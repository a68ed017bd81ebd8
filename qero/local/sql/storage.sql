-- Purpose: enough of schema storage for migrations that create buckets and policies. No file server reads it.
-- Run by:  supabase_admin, after auth.sql; safe to run again.
--
-- Differs from hosted: the tables belong to postgres instead of supabase_storage_admin. Hosted lets postgres
-- create policies on them through an extension of the server; elsewhere only an owner can.

create schema if not exists storage;
grant usage on schema storage to postgres, anon, authenticated, service_role;
grant all on schema storage to supabase_storage_admin, dashboard_user;

-- tables ----------------------------------------------------------------------------------------------------

create table if not exists storage.buckets (
  id                 text primary key,
  name               text not null,
  owner              uuid,
  created_at         timestamptz default now(),
  updated_at         timestamptz default now(),
  public             boolean default false,
  avif_autodetection boolean default false,
  file_size_limit    bigint,
  allowed_mime_types text[],
  owner_id           text
);

create table if not exists storage.objects (
  id               uuid primary key default gen_random_uuid(),
  bucket_id        text constraint "objects_bucketId_fkey" references storage.buckets (id),
  name             text,
  owner            uuid,
  created_at       timestamptz default now(),
  updated_at       timestamptz default now(),
  last_accessed_at timestamptz default now(),
  metadata         jsonb,
  path_tokens      text[] generated always as (string_to_array(name, '/')) stored,
  version          text,
  owner_id         text,
  user_metadata    jsonb
);

create unique index if not exists bname on storage.buckets (name);
create unique index if not exists bucketid_objname on storage.objects (bucket_id, name);

-- functions policies call -----------------------------------------------------------------------------------

-- 'a/b/c.png' → {a,b}
create or replace function storage.foldername(name text) returns text[] language sql immutable as $$
  select trim_array(string_to_array(name, '/'), 1)
$$;

-- 'a/b/c.png' → c.png
create or replace function storage.filename(name text) returns text language sql immutable as $$
  select split_part(name, '/', -1)
$$;

-- 'a/b/c.png' → png
create or replace function storage.extension(name text) returns text language sql immutable as $$
  select split_part(split_part(name, '/', -1), '.', -1)
$$;

-- ownership, row security, grants ---------------------------------------------------------------------------

alter table storage.buckets owner to postgres;
alter table storage.objects owner to postgres;
alter table storage.buckets enable row level security;
alter table storage.objects enable row level security;
grant all on storage.buckets, storage.objects to supabase_storage_admin, anon, authenticated, service_role;
alter function storage.foldername(text) owner to supabase_storage_admin;
alter function storage.filename(text) owner to supabase_storage_admin;
alter function storage.extension(text) owner to supabase_storage_admin;
