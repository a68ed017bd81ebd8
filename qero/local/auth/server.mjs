// The auth half of @supabase/lite, served alone and made to answer as GoTrue does.
//
// Environment:
//   QERO_NODE_MODULES  folder that holds @supabase/lite, postgres and what they depend on
//   AUTH_DSN           Postgres as supabase_auth_admin; the tables exist already, this program never runs DDL
//   PORT               served on 127.0.0.1 only, under /auth/v1
//   ISSUER             the stack's public address + /auth/v1, the tokens' `iss`
//   JWT_SECRET         signs tokens (HS256)
//   JWT_EXPIRY         their lifetime in seconds; 3600 if unset
//
// Prints "ready" once it listens; mails are printed after it, never sent. Ends on SIGTERM or when stdin closes:
// whoever starts it keeps a pipe open there, so that it never outlives them. API keys are the gateway's affair.

import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const { AUTH_DSN, ISSUER, JWT_EXPIRY = '3600', JWT_SECRET, PORT, QERO_NODE_MODULES } = process.env;
for (const [name, value] of Object.entries({ AUTH_DSN, ISSUER, JWT_SECRET, PORT, QERO_NODE_MODULES })) {
  if (!value) throw new Error(`environment variable ${name} is missing`);
}

process.stdin.resume().on('end', () => process.exit(0)).on('error', () => process.exit(0));
process.on('SIGTERM', () => process.exit(0));

// lite reads this while it loads.
process.env.LITE_TELEMETRY = '0';
const load = (file) => import(pathToFileURL(join(QERO_NODE_MODULES, file)).href);
const { App } = await load('@supabase/lite/dist/index.js');
const { createPostgresConnection } = await load('@supabase/lite/dist/db/postgres/PostgresConnection.js');
const { serve } = await load('@hono/node-server/dist/index.mjs');

// lite serialises JSON before it binds it; serialising again would store a JSON string instead of an object.
const json = (oid) => ({
  to: oid,
  from: [oid],
  serialize: (value) => (typeof value === 'string' ? value : JSON.stringify(value)),
  parse: JSON.parse,
});

const connection = createPostgresConnection({
  url: AUTH_DSN,
  postgresOptions: {
    // The default waits up to 20 s before it reconnects after a restart of Postgres.
    backoff: () => 0.2,
    types: {
      json: json(114),
      jsonb: json(3802),
      // Postgres writes `2026-01-31 12:00:00+00` (the session is in UTC); clients insist on RFC 3339.
      timestamptz: {
        to: 1184,
        from: [1184],
        serialize: (value) => value,
        parse: (text) => text.replace(' ', 'T').replace(/\+00$/, 'Z'),
      },
    },
  },
});
const sql = connection.driver;

const app = new App({
  connection,
  api: { enabled: false },
  storage: { enabled: false },
  auth: {
    enabled: true,
    jwt_secret: JWT_SECRET,
    jwt_expiry: Number(JWT_EXPIRY),
    site_url: new URL(ISSUER).origin,
    additional_redirect_urls: ['http://localhost:**', 'http://127.0.0.1:**'],
    email: { enable_signup: true, enable_confirmations: false, double_confirm_changes: false },
  },
});

const error = (status, error_code, msg) => Response.json({ code: status, error_code, msg }, { status });

const claimsOf = (token) => JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString());

function sign(claims) {
  const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const content = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode(claims)}`;
  return `${content}.${createHmac('sha256', JWT_SECRET).update(content).digest('base64url')}`;
}

// lite's tokens carry sub, role, aud, email and session_id; GoTrue's carry the rest of the user too.
// Null for a banned user, whom lite lets in.
async function completed(token) {
  const claims = claimsOf(token);
  const [user] = await sql`
    select coalesce(u.phone, '') as phone, u.is_anonymous, u.banned_until > now() as banned,
           u.raw_app_meta_data as app_metadata, u.raw_user_meta_data as user_metadata,
           floor(extract(epoch from s.created_at))::integer as signed_in_at
      from auth.users u
      join auth.sessions s on s.user_id = u.id
     where s.id = ${claims.session_id}`;
  if (user === undefined || user.banned) return null;
  const { banned, signed_in_at, ...about } = user;
  return sign({
    iss: ISSUER,
    ...claims,
    ...about,
    aal: 'aal1',
    // lite doesn't record the method; a password is by far the likeliest here.
    amr: [{ method: 'password', timestamp: signed_in_at }],
  });
}

async function isBanned(request) {
  try {
    const { sub } = claimsOf(request.headers.get('authorization') ?? '');
    const [user] = await sql`select from auth.users where id = ${sub} and banned_until > now()`;
    return user !== undefined;
  } catch {
    return false; // not a user's token: lite decides what to say
  }
}

async function handle(request) {
  const { pathname } = new URL(request.url);
  if (!pathname.startsWith('/auth/v1/')) return error(404, 'not_found', 'Not found');
  // Clients send an old token along when they ask for a new one; the answer decides there.
  if (pathname !== '/auth/v1/token' && (await isBanned(request))) {
    return error(403, 'user_banned', 'User is banned');
  }

  const response = await app.fetch(request);
  // Most often a failing trigger on auth.users; lite has printed the cause.
  if (response.status === 500) return error(500, 'unexpected_failure', 'Database error saving the user');

  // Tokens leave in a JSON body, or in the fragment a mail's link redirects to.
  const headers = new Headers(response.headers);
  const [target, fragment] = (headers.get('location') ?? '').split('#');
  const inLink = new URLSearchParams(fragment);
  const isJson = headers.get('content-type')?.includes('application/json');
  const body = isJson ? await response.clone().json() : Object.fromEntries(inLink);
  if (!body?.access_token) return response;

  const access_token = await completed(body.access_token);
  if (access_token === null) return error(400, 'user_banned', 'User is banned');
  headers.delete('content-length');
  if (isJson) return Response.json({ ...body, access_token }, { status: response.status, headers });
  inLink.set('access_token', access_token);
  headers.set('location', `${target}#${inLink}`);
  return new Response(null, { status: response.status, headers });
}

serve({ fetch: handle, hostname: '127.0.0.1', port: Number(PORT) }, () => console.log('ready'));
