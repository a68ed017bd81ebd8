"""The example's page in a browser, with a local stack behind it and a push service that is a stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from qero.local.asgi import listen
from qero.local.toolchain import ensure_tools
from tests.browser.chromium import Chromium, ensure_chromium
from tests.browser.devtools import Browser
from tests.phones import Phones
from tests.support import World

EXAMPLE = Path(__file__).parents[2] / "examples" / "pwa"


@pytest.fixture(scope="session")
def chromium() -> Chromium:
    return ensure_chromium()


@pytest.fixture
async def browser(chromium: Chromium, tmp_path: Path) -> AsyncIterator[Browser]:
    async with Browser.launch(chromium, tmp_path / "profile") as browser:
        yield browser


@pytest.fixture
async def site(world: World, phones: Phones) -> AsyncIterator[str]:
    """Where the example is served, as `npm install` and config.json leave it."""

    async def config(_: web.Request) -> web.Response:
        settings = world.settings
        return web.json_response(
            {
                "url": settings.require("supabase_url"),
                "publishableKey": settings.require("publishable_key"),
                "vapidPublicKey": phones.public_key,
            }
        )

    async def index(_: web.Request) -> web.FileResponse:
        return web.FileResponse(EXAMPLE / "index.html")

    app = web.Application()
    app.router.add_get("/", index)
    app.router.add_get("/config.json", config)
    app.router.add_static("/node_modules", ensure_tools().node_modules)
    app.router.add_static("/", EXAMPLE)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    with listen() as listener:
        await web.SockSite(runner, listener).start()
        yield f"http://localhost:{listener.getsockname()[1]}"
        await runner.cleanup()
