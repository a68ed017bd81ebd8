"""A browser without a window, told what to do by its debugging protocol."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.browser.chromium import Chromium

START_SECONDS = 60
PATIENCE_SECONDS = 30

Event = dict[str, Any]


class Failed(Exception):
    """The browser refuses a command, or a script throws."""


class Browser:
    """One connection to a browser, over which every page of it is reached."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._listeners: list[Callable[[Event], None]] = []

    @classmethod
    @asynccontextmanager
    async def launch(cls, chromium: Chromium, profile: Path) -> AsyncIterator[Browser]:
        process = await asyncio.create_subprocess_exec(
            *chromium.command, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--no-first-run", "--disable-background-networking", "--remote-debugging-port=0",
            f"--user-data-dir={profile}", "--window-size=900,640", "about:blank",
            env=chromium.environment, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stderr is not None
            said: list[str] = []
            async with asyncio.timeout(START_SECONDS):
                while not (line := (await process.stderr.readline()).decode()).startswith("DevTools listening on "):
                    assert line, f"the browser ended: {''.join(said)}"
                    said.append(line)
            silence = asyncio.create_task(process.stderr.read())
            url = line.removeprefix("DevTools listening on ").strip()
            async with connect(url, max_size=None, proxy=None) as connection:
                browser = cls(connection)
                listening = asyncio.create_task(browser._listen())
                try:
                    yield browser
                finally:
                    listening.cancel()
            silence.cancel()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def page(self) -> Page:
        """A new, empty page."""
        target = await self.command("Target.createTarget", url="about:blank")
        session = await self.command("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        page = Page(self, session["sessionId"])
        for domain in ("Page", "Runtime", "ServiceWorker", "Log"):
            await page.command(f"{domain}.enable")
        return page

    async def command(self, method: str, session_id: str | None = None, /, **parameters: Any) -> Any:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._connection.send(json.dumps(message | ({"sessionId": session_id} if session_id else {})))
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await answer

    def listen(self, hear: Callable[[Event], None]) -> None:
        self._listeners.append(hear)

    async def _listen(self) -> None:
        async for text in self._connection:
            message = json.loads(text)
            if "id" not in message:
                for hear in self._listeners:
                    hear(message)
                continue
            answer = self._answers.pop(message["id"])
            if answer.done():
                continue
            if "error" in message:
                answer.set_exception(Failed(message["error"]["message"]))
            else:
                answer.set_result(message["result"])


class Page:
    """A tab, and the service workers that it registers."""

    def __init__(self, browser: Browser, session_id: str) -> None:
        self._browser = browser
        self._session_id = session_id
        self.registrations: list[str] = []
        self.problems: list[str] = []
        """What scripts threw, and what the browser complained of."""
        browser.listen(self._hear)

    def _hear(self, event: Event) -> None:
        if event.get("sessionId") != self._session_id:
            return
        given = event["params"]
        if event["method"] == "ServiceWorker.workerRegistrationUpdated":
            self.registrations += [found["registrationId"] for found in given["registrations"]]
        elif event["method"] == "Runtime.exceptionThrown":
            self.problems.append(json.dumps(given["exceptionDetails"]))
        elif event["method"] == "Log.entryAdded" and given["entry"]["level"] == "error":
            self.problems.append(f"{given['entry']['text']} {given['entry'].get('url', '')}")

    async def command(self, method: str, /, **parameters: Any) -> Any:
        return await self._browser.command(method, self._session_id, **parameters)

    async def open(self, url: str) -> None:
        await self.command("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of an expression; promises are awaited."""
        answer = await self.command(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise Failed(json.dumps(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def until(self, script: str, *, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait until an expression is true of the page, whatever it navigates to meanwhile; its value."""
        value = None
        try:
            async with asyncio.timeout(seconds):
                while not value:
                    with contextlib.suppress(Failed):
                        value = await self.run(script)
                    await asyncio.sleep(0.02)
        except TimeoutError:
            shown = await self.run("document.body.innerText")
            raise AssertionError(f"never true: {script}\n{shown}\n{self.problems}") from None
        return value

    async def screenshot(self) -> bytes:
        return base64.b64decode((await self.command("Page.captureScreenshot", format="png"))["data"])
