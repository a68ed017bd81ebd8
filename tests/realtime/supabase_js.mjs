// One program that uses @supabase/supabase-js as an application would. Prints a JSON line for each step:
// {"step": …, "seen": …}, or {"step": …, "failed": …} and goes on.
//
// Environment: NODE_MODULES, SUPABASE_URL, SUPABASE_KEY, EMAIL, PASSWORD, WORKSPACE_ID, FOREIGN_WORKSPACE_ID.

import { createRequire } from 'node:module';
import { join } from 'node:path';

const env = process.env;
const { createClient } = createRequire(join(env.NODE_MODULES, 'x.js'))('@supabase/supabase-js');
const supabase = createClient(env.SUPABASE_URL, env.SUPABASE_KEY);
const STEP_MILLISECONDS = 10_000;

const within = (what, promise) => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: nothing within ${STEP_MILLISECONDS} ms`)), STEP_MILLISECONDS);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
};

async function step(name, run) {
  let outcome;
  try {
    outcome = { seen: await within(name, run()) };
  } catch (error) {
    outcome = { failed: error?.stack ?? String(error) };
  }
  console.log(JSON.stringify({ step: name, ...outcome }));
}

const shape = ({ data, error, status }) => ({ data, error, status });
const authError = ({ error }) => error && { name: error.name, status: error.status, code: error.code };

// Subscribe, and wait until the channel is settled; where changes were asked for, until they flow.
function join_(channel, { changes = false } = {}) {
  return new Promise((resolve) => {
    const states = [];
    if (changes) channel.on('system', {}, (message) => message.extension === 'postgres_changes' && resolve(states));
    channel.subscribe((state, error) => {
      states.push({ state, error: error?.message ?? null });
      if (!changes || state !== 'SUBSCRIBED') resolve(states);
    });
  });
}

const first = (listen) => new Promise((resolve) => listen(resolve));
const contact = (name, more) => ({ workspace_id: env.WORKSPACE_ID, name, created_by: me, ...more });
let me;

await step('wrong password', async () =>
  authError(await supabase.auth.signInWithPassword({ email: env.EMAIL, password: 'wrong' })),
);

await step('sign in', async () => {
  const { data, error } = await supabase.auth.signInWithPassword({ email: env.EMAIL, password: env.PASSWORD });
  if (error) throw error;
  me = data.user.id;
  const user = await supabase.auth.getUser();
  const claims = await supabase.auth.getClaims();
  return { email: data.user.email, verified: user.data.user?.id === me, role: claims.data?.claims.role };
});

await step('select', async () => shape(await supabase.from('workspaces').select('id')));

await step('count', async () => {
  const { count, status } = await supabase.from('workspaces').select('*', { count: 'exact', head: true });
  return { count, status };
});

await step('rpc', async () => {
  const { data, error } = await supabase.rpc('whoami');
  if (error) throw error;
  return { email: data.email, database_role: data.database_role };
});

await step('rpc refused', async () =>
  shape(await supabase.rpc('resolve_workspace', { p_ref: env.FOREIGN_WORKSPACE_ID })),
);

await step('insert', async () =>
  shape(await supabase.from('contacts').insert(contact('Ada', { tags: ['vip'] })).select('name, tags').single()),
);

await step('insert refused', async () => shape(await supabase.from('contacts').insert(contact('Eve', { phone: '1' }))));

await step('insert elsewhere', async () => {
  const { error, status } = await supabase
    .from('contacts')
    .insert(contact('Eve', { workspace_id: env.FOREIGN_WORKSPACE_ID }));
  return { code: error.code, status };
});

await step('update without filter', async () => shape(await supabase.from('profiles').update({ full_name: 'X' })));

await step('changes', async () => {
  const channel = supabase.channel('changes');
  const arrived = first((heard) =>
    channel.on(
      'postgres_changes',
      { event: 'INSERT', schema: 'public', table: 'contacts', filter: 'name=eq.Grace' },
      heard,
    ),
  );
  await join_(channel, { changes: true });
  const { error } = await supabase.from('contacts').insert(contact('Grace'));
  if (error) throw error;
  const { eventType, errors, new: record } = await arrived;
  return { eventType, errors, name: record.name };
});

await step('broadcast', async () => {
  const channel = supabase.channel('room', { config: { broadcast: { self: true, ack: true } } });
  const arrived = first((heard) => channel.on('broadcast', { event: 'typing' }, heard));
  await join_(channel);
  const acknowledged = await channel.send({ type: 'broadcast', event: 'typing', payload: { text: 'æøå' } });
  return { acknowledged, payload: (await arrived).payload };
});

await step('presence', async () => {
  const channel = supabase.channel('lobby', { config: { presence: { key: 'me' } } });
  const arrived = first((heard) => channel.on('presence', { event: 'join' }, heard));
  await join_(channel);
  const tracked = await channel.track({ mood: 'calm' });
  const { key, newPresences } = await arrived;
  return { tracked, key, mood: newPresences[0].mood, present: Object.keys(channel.presenceState()) };
});

await step('private channel', async () => {
  const channel = supabase.channel('secret', { config: { private: true } });
  const [{ state, error }] = await join_(channel);
  await supabase.removeChannel(channel);
  return { state, error };
});

await step('refused table', async () => {
  const channel = supabase.channel('refused');
  channel.on('postgres_changes', { event: '*', schema: 'public', table: 'wa_phone_numbers' }, () => {});
  const message = await new Promise((resolve) => {
    channel.on('system', {}, resolve);
    channel.subscribe();
  });
  return { status: message.status, extension: message.extension };
});

await step('update user', async () => {
  const { data, error } = await supabase.auth.updateUser({ data: { theme: 'dark' } });
  if (error) throw error;
  return data.user.user_metadata.theme;
});

let old;
await step('refresh', async () => {
  old = (await supabase.auth.getSession()).data.session;
  const { data, error } = await supabase.auth.refreshSession();
  if (error) throw error;
  return {
    same_user: data.user.id === me,
    new_refresh_token: data.session.refresh_token !== old.refresh_token,
    still_reads: (await supabase.from('workspaces').select('id')).data?.length,
  };
});

await step('sign out', async () => {
  const session = (await supabase.auth.getSession()).data.session;
  const { error } = await supabase.auth.signOut();
  if (error) throw error;
  const reading = await supabase.from('workspaces').select('id');
  const again = await supabase.auth.refreshSession({ refresh_token: session.refresh_token });
  return { reading: { code: reading.error?.code, status: reading.status }, refreshing_fails: again.error !== null };
});

await supabase.removeAllChannels();
console.log(JSON.stringify({ step: 'end', seen: true }));
process.exit(0);
