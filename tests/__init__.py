"""Tests against a real Postgres, PostgREST, auth server and realtime, through the official clients."""
