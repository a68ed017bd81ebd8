// The service worker: shows what is pushed, and opens what a tap on it means.

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));

self.addEventListener("push", (event) => event.waitUntil(show(read(event.data))));

// Something is shown for every push, whatever it holds: browsers end subscriptions that are silent.
function read(data) {
  try {
    return { title: "qero", ...data.json() };
  } catch {
    return { title: "qero", body: "You have news." };
  }
}

async function show(push) {
  await self.registration.showNotification(push.title, {
    body: push.body,
    // The latest of a chat or thread takes the place of the one before, and is heard again.
    tag: push.tag,
    renotify: Boolean(push.tag),
    icon: "icon-192.png",
    data: push,
  });
  if (navigator.setAppBadge) await setBadge(push.badge ?? 0);
}

async function setBadge(count) {
  try {
    await navigator.setAppBadge(count);
  } catch {
    // No icon to show it on.
  }
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data ?? {}));
});

async function open({ chat_id: chatId }) {
  const [page] = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  if (!page) return self.clients.openWindow(chatId ? `./?chat=${chatId}` : "./");
  page.postMessage({ open: chatId });
  return page.focus();
}
