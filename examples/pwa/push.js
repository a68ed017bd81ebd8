// Web push in a page: whether this browser can, and subscribing it for the user who is signed in.

// What has to happen before this browser can be notified; `supported` when nothing has to.
// iPhones and iPads take iOS 16.4, and an app that was added to the home screen; an iPad may say that it is a Mac.
export function pushSupport() {
  const agent = navigator.userAgent;
  const isPad = agent.includes("Macintosh") && navigator.maxTouchPoints > 1;
  const version = agent.match(/(?:iPhone|iPad|iPod).* OS (\d+)[_.](\d+)/);
  const installed = matchMedia("(display-mode: standalone)").matches || navigator.standalone === true;
  if (version && (Number(version[1]) < 16 || (Number(version[1]) === 16 && Number(version[2]) < 4))) {
    return { supported: false, reason: "ios_too_old", remedy: "Update to iOS 16.4 or newer." };
  }
  if ((version || isPad) && !installed) {
    const remedy = "Tap Share, then Add to Home Screen, and open the app from there.";
    return { supported: false, reason: "ios_not_installed", remedy };
  }
  if (!("serviceWorker" in navigator && "PushManager" in window && "Notification" in window)) {
    return { supported: false, reason: "unsupported", remedy: "Use a browser that knows web push." };
  }
  if (Notification.permission === "denied") {
    const remedy = "Allow notifications for this page in the browser's settings.";
    return { supported: false, reason: "denied", remedy };
  }
  return { supported: true, reason: "supported", remedy: null };
}

// Asks for permission, so call it from a tap. False when the person declines.
export async function subscribe(supabase, registration, vapidPublicKey) {
  if ((await Notification.requestPermission()) !== "granted") return false;
  await saveSubscription(supabase, registration, vapidPublicKey);
  return true;
}

// Also at every start: browsers renew subscriptions by themselves, and the device may have a new user.
export async function saveSubscription(supabase, registration, vapidPublicKey) {
  const key = bytes(vapidPublicKey);
  let subscription = await registration.pushManager.getSubscription();
  if (subscription && !sameKey(subscription.options.applicationServerKey, key)) {
    await subscription.unsubscribe();
    subscription = null;
  }
  subscription ??= await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  const { endpoint, keys } = subscription.toJSON();
  const { error } = await supabase.rpc("save_push_subscription", {
    p_endpoint: endpoint,
    p_p256dh: keys.p256dh,
    p_auth: keys.auth,
    p_user_agent: navigator.userAgent,
  });
  if (error) throw new Error(error.hint || error.message);
}

// Before signing out: the next person at this device isn't told what this one would have been.
export async function unsubscribe(supabase, registration) {
  const subscription = await registration.pushManager.getSubscription();
  if (!subscription) return;
  await supabase.rpc("remove_push_subscription", { p_endpoint: subscription.endpoint });
  await subscription.unsubscribe();
}

function bytes(base64url) {
  const text = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function sameKey(buffer, key) {
  const other = new Uint8Array(buffer ?? []);
  return other.length === key.length && other.every((byte, index) => byte === key[index]);
}
