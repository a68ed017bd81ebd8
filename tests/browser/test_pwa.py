"""The example in a real browser: signs in, shows a message live, subscribes, and shows what is pushed to it."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from qero import Chats
from qero.local.push import StandInDevice
from tests.browser.devtools import Browser, Page
from tests.phones import Phones
from tests.support import PASSWORD, World

# Subscribing asks the vendor's push service, which isn't here: the browser is given a device of the stand-in's instead.
SUBSCRIPTION = """
PushManager.prototype.getSubscription = async function () { return globalThis.subscription ?? null };
PushManager.prototype.subscribe = async function (options) {
  globalThis.asked = options;
  globalThis.subscription = {
    endpoint: %(endpoint)s,
    options: { applicationServerKey: options.applicationServerKey.buffer },
    toJSON: () => ({ endpoint: %(endpoint)s, keys: { p256dh: %(p256dh)s, auth: %(auth)s } }),
    unsubscribe: async () => { globalThis.subscription = null; return true },
  };
  return globalThis.subscription;
};
"""


@pytest.fixture
async def chat_id(world: World) -> UUID:
    workspace = await world.workspace(owner="olga", bob="member")
    bob = await world.user("bob")
    return (
        await Chats((await world.user("olga")).client).create(workspace.id, "group", "Sales", member_ids=[bob.id])
    ).id


async def signed_in(browser: Browser, site: str, email: str, device: StandInDevice | None = None) -> Page:
    """A page on which that person has signed in by hand."""
    await browser.command("Browser.grantPermissions", origin=site, permissions=["notifications"])
    page = await browser.page()
    if device is not None:
        given = {name: json.dumps(getattr(device, name)) for name in ("endpoint", "p256dh", "auth")}
        await page.command("Page.addScriptToEvaluateOnNewDocument", source=SUBSCRIPTION % given)
    await page.open(site)
    await page.until("document.querySelector('#sign-in') && !document.querySelector('#sign-in').hidden")
    await page.run(
        f"""
        document.querySelector('[name=email]').value = {json.dumps(email)};
        document.querySelector('[name=password]').value = {json.dumps(PASSWORD)};
        document.querySelector('#sign-in button').click();
        """
    )
    await page.until("document.querySelectorAll('#chats button').length > 0")
    return page


async def test_a_message_from_python_is_on_the_page_within_two_seconds(
    browser: Browser, site: str, world: World, chat_id: UUID
) -> None:
    page = await signed_in(browser, site, (await world.user("bob")).email)
    await page.run("document.querySelector('#chats button').click()")
    await page.until("!document.querySelector('#write').hidden")
    olgas = Chats((await world.user("olga")).client)
    await olgas.send(chat_id, "Two left.")
    await page.until("document.querySelector('#messages').innerText.includes('Two left.')")

    # The channel is joined by now: this one comes live.
    await olgas.send(chat_id, "One left.")
    await page.until("document.querySelector('#messages').innerText.includes('One left.')", seconds=2)

    await page.run(
        """
        document.querySelector('#write [name=body]').value = 'I take it';
        document.querySelector('#write button').click();
        """
    )
    await page.until("document.querySelector('#messages .mine')?.innerText.includes('I take it')")
    assert [message.body for message in (await olgas.messages(chat_id)).messages] == [
        "I take it", "One left.", "Two left.",
    ]  # fmt: skip
    await page.until("document.querySelector('#chats .unread').innerText === ''")
    assert page.problems == []


async def test_a_message_becomes_a_notification_of_the_browser(
    browser: Browser, site: str, phones: Phones, world: World, chat_id: UUID
) -> None:
    """All the way: subscribe by a tap, outbox, worker, push service, service worker, notification, tap."""
    device = phones.service.subscribe(phones.public_key)
    bob = await world.user("bob")
    page = await signed_in(browser, site, bob.email, device)
    assert await page.run("navigator.serviceWorker.ready.then(ready => ready.active.scriptURL)") == f"{site}/sw.js"
    await page.run("document.querySelector('#notify').click()")
    await page.until("document.querySelector('#notify').hidden")
    assert await page.run("globalThis.asked.userVisibleOnly") is True
    [saved] = await (await phones.devices("bob")).list()
    assert saved.endpoint == device.endpoint
    assert "Chrome" in (saved.user_agent or "")

    await Chats((await world.user("olga")).client).send(chat_id, "The price is 12.")
    await phones.deliver()
    [received] = phones.service.received
    await page.command(
        "ServiceWorker.deliverPushMessage",
        origin=site, registrationId=page.registrations[-1], data=json.dumps(received.push),
    )  # fmt: skip

    shown = await page.until(
        """
        navigator.serviceWorker.ready.then(ready => ready.getNotifications()).then(all => all.length
          && all.map(({title, body, tag, data}) => ({title, body, tag, data})))
        """
    )
    assert shown == [
        {
            "title": "Sales",
            "body": "Olga: The price is 12.",
            "tag": f"chat:{chat_id}",
            "data": received.push,
        }
    ]
    assert received.push["badge"] == 1

    await page.run("document.querySelector('#chats button').click()")
    await page.until(
        "navigator.serviceWorker.ready.then(ready => ready.getNotifications()).then(all => all.length === 0)"
    )
    assert page.problems == []


async def test_a_push_that_cant_be_read_shows_something_all_the_same(
    browser: Browser, site: str, world: World, chat_id: UUID
) -> None:
    page = await signed_in(browser, site, (await world.user("bob")).email)
    await page.run("navigator.serviceWorker.ready.then(() => true)")

    await page.command(
        "ServiceWorker.deliverPushMessage", origin=site, registrationId=page.registrations[-1], data="not JSON"
    )

    body = await page.until(
        "navigator.serviceWorker.ready.then(ready => ready.getNotifications()).then(all => all[0]?.body)"
    )
    assert body == "You have news."


@pytest.mark.parametrize(
    ("agent", "reason"),
    [
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 16_3 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", "ios_too_old"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 16_4 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
         "ios_not_installed"),
    ],
)  # fmt: skip
async def test_an_iphone_is_told_what_it_takes(browser: Browser, site: str, agent: str, reason: str) -> None:
    page = await browser.page()
    await page.command("Emulation.setUserAgentOverride", userAgent=agent)
    await page.open(site)
    await page.until("!document.querySelector('#sign-in')?.hidden")

    support = await page.run("import('./push.js').then(push => push.pushSupport())")

    assert (support["supported"], support["reason"]) == (False, reason)
    assert support["remedy"].endswith(".")
