import { pushSupport, saveSubscription, subscribe, unsubscribe } from "./push.js";

const $ = (id) => document.getElementById(id);
const config = await (await fetch("config.json")).json();
const client = supabase.createClient(config.url, config.publishableKey);
const registration = await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" });

let me = null;
let names = new Map();
let current = null; // the chat on the screen: { id, rev, messages, channel }

function notice(text) {
  $("notice").textContent = text ?? "";
  $("notice").hidden = !text;
}

// What an action throws is shown; each of qero's errors says in its hint what to do.
const reporting = (action) => async (event) => {
  event?.preventDefault?.();
  notice(null);
  try {
    await action(event);
  } catch (error) {
    notice(error.hint || error.message);
  }
};

async function call(name, given) {
  const { data, error } = await client.rpc(name, given);
  if (error) throw error;
  return data;
}

async function start() {
  const { data } = await client.auth.getSession();
  me = data.session?.user ?? null;
  $("sign-in").hidden = me !== null;
  $("main").hidden = $("leave").hidden = me === null;
  $("notify").hidden = true;
  if (!me) return;
  await client.realtime.setAuth(data.session.access_token);
  await offerNotifications();
  await showChats();
  const asked = new URLSearchParams(location.search).get("chat");
  if (asked) await openChat(asked);
}

async function offerNotifications() {
  const support = pushSupport();
  if (!support.supported) return notice(support.remedy);
  const subscribed = Notification.permission === "granted" && (await registration.pushManager.getSubscription());
  if (subscribed) await saveSubscription(client, registration, config.vapidPublicKey);
  $("notify").hidden = Boolean(subscribed);
}

async function showChats() {
  const chats = await call("list_chats", { p_limit: 50 });
  const people = [...new Set(chats.flatMap((chat) => chat.other_member_ids))];
  const { data } = await client.from("profiles").select("id, full_name, email").in("id", people);
  names = new Map((data ?? []).map((person) => [person.id, person.full_name || person.email]));
  $("chats").replaceChildren(
    ...chats.map((chat) => {
      const button = document.createElement("button");
      button.textContent = chat.title ?? chat.other_member_ids.map((id) => names.get(id)).join(", ");
      button.onclick = reporting(() => openChat(chat.id));
      if (chat.id === current?.id) button.setAttribute("aria-current", "true");
      const unread = document.createElement("span");
      unread.className = "unread";
      unread.textContent = chat.unread_count || "";
      button.append(unread);
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
  await navigator.setAppBadge?.(await call("get_badge")).catch(() => {});
}

async function openChat(id) {
  if (current) await client.removeChannel(current.channel);
  const chat = { id, rev: 0, messages: new Map(), channel: null };
  current = chat;
  chat.channel = client
    .channel(`chat:${id}`, { config: { private: true } })
    // A gap in the revs is news that got lost; after a join, what was written meanwhile is fetched too.
    .on("broadcast", { event: "message" }, ({ payload }) =>
      payload.rev > chat.rev + 1 ? reporting(() => catchUp(chat))() : merge(chat, [payload]),
    )
    .subscribe((state) => state === "SUBSCRIBED" && reporting(() => catchUp(chat))());
  const page = await call("get_chat_messages", { p_chat_id: id });
  chat.rev = Math.max(chat.rev, page.latest_rev);
  merge(chat, page.messages);
  $("write").hidden = false;
  await showChats();
}

async function catchUp(chat) {
  const changes = await call("get_chat_changes", { p_chat_id: chat.id, p_after_rev: chat.rev });
  merge(chat, changes.messages);
  if (changes.has_more) await catchUp(chat);
}

function merge(chat, messages) {
  for (const message of messages) {
    if ((chat.messages.get(message.seq)?.rev ?? 0) < message.rev) chat.messages.set(message.seq, message);
    chat.rev = Math.max(chat.rev, message.rev);
  }
  if (chat !== current) return;
  const shown = [...chat.messages.values()].sort((a, b) => a.seq - b.seq);
  $("messages").replaceChildren(...shown.map(line));
  $("messages").lastElementChild?.scrollIntoView({ block: "nearest" });
  if (document.visibilityState === "visible") reporting(() => markRead(chat))();
}

async function markRead(chat) {
  await call("mark_messages_as_read", { p_chat_id: chat.id });
  // What has been read here needn't be shown elsewhere on this device.
  for (const notification of await registration.getNotifications({ tag: `chat:${chat.id}` })) notification.close();
  await showChats();
}

function line(message) {
  const item = document.createElement("li");
  item.className = message.sender_id === me.id ? "mine" : "";
  const who = document.createElement("span");
  who.className = "who";
  who.textContent = message.sender_id === me.id ? "You" : (names.get(message.sender_id) ?? "");
  item.append(who, message.deleted_at ? "Deleted" : (message.body ?? "A file"));
  return item;
}

$("sign-in").onsubmit = reporting(async (event) => {
  const { email, password } = Object.fromEntries(new FormData(event.target));
  const { error } = await client.auth.signInWithPassword({ email, password });
  if (error) throw error;
  await start();
});

$("leave").onclick = reporting(async () => {
  await unsubscribe(client, registration);
  await client.auth.signOut();
  location.assign("./");
});

$("notify").onclick = reporting(async () => {
  const subscribed = await subscribe(client, await navigator.serviceWorker.ready, config.vapidPublicKey);
  $("notify").hidden = subscribed;
  if (!subscribed) notice("Notifications stay off. The browser's settings for this page turn them on.");
});

$("write").onsubmit = reporting(async (event) => {
  const body = new FormData(event.target).get("body");
  const message = await call("send_message", {
    p_chat_id: current.id,
    p_body: body,
    p_client_generated_id: crypto.randomUUID(),
  });
  event.target.reset();
  merge(current, [message]);
});

client.auth.onAuthStateChange((event, session) => {
  // Long-lived channels go on with the new token.
  if (event === "TOKEN_REFRESHED" && session) client.realtime.setAuth(session.access_token);
});
navigator.serviceWorker.addEventListener("message", ({ data }) => data.open && reporting(() => openChat(data.open))());
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible" && current) reporting(() => catchUp(current))();
});

await reporting(start)();
