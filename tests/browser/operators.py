"""The operator's page as it is served, and people who look at it with an installed Chromium."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from tests.awaiting import awaited, free_port
from tests.browser.chromium import find
from tests.unit.page.world import TOKEN, World
from worker.intake import RawMessage, Stored
from worker.sources.http.server import HttpSource

DESK, PHONE = 1280, 390
GRAVE = ("serious", "critical")
SHOTS = os.environ.get("PAGE_SHOTS")
"""A folder for a picture of each page that is looked at."""


@cache
def axe() -> str:
    """The script that judges whether everybody can use a page."""
    return resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")


class Served:
    """A world whose page is served on a port of its own."""

    def __init__(self, world: World) -> None:
        self.world = world
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        serve = world.settings.serve.model_copy(update={"host": "127.0.0.1", "port": port})
        source = HttpSource(world.settings.model_copy(update={"serve": serve}))
        source.page = world.app
        run = partial(source.run, _refuse, lambda _ahead=0: True, world.stop)
        self._thread = threading.Thread(target=run, name="served", daemon=True)

    def __enter__(self) -> Served:
        self._thread.start()
        import httpx

        def listens() -> bool:
            try:
                return httpx.get(f"{self.url}/livez", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        awaited(listens, "the page is served", limit=20)
        return self

    def __exit__(self, *_: object) -> None:
        self.world.stop.set()
        self._thread.join(20)


def _refuse(_messages: Sequence[RawMessage], *, strict: bool = False) -> Sequence[Stored]:
    raise AssertionError("nothing is sent to this one")


@contextmanager
def started() -> Iterator[Browser]:
    """The browser that is installed."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        yield browser
        browser.close()


def launched(playwright: Playwright) -> Browser:
    """Chromium, without a sandbox for root, who cannot have one."""
    rooted = ["--no-sandbox"] if os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=find(), args=rooted)


class Person:
    """Somebody with a window of a size and a colour scheme."""

    def __init__(self, browser: Browser, served: Served, **options: Any) -> None:
        width = options.pop("width", DESK)
        self.context: BrowserContext = browser.new_context(
            base_url=served.url,
            viewport={"width": width, "height": 900},
            color_scheme=options.pop("scheme", "light"),
            reduced_motion="reduce",
            **options,
        )
        self.page: Page = self.context.new_page()
        self.errors: list[str] = []
        self.page.on("console", self._note)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("requestfailed", self._note_failure)

    def _note_failure(self, request: Request) -> None:
        """What the browser itself gave up because the page was left is no error."""
        if request.failure != "net::ERR_ABORTED":
            self.errors.append(f"{request.url}: {request.failure}")

    def log_in(self, token: str = TOKEN) -> Person:
        """By the keyboard alone."""
        self.page.goto("/")
        expect(self.page.get_by_label("Token")).to_be_focused()
        self.page.keyboard.type(token)
        self.page.keyboard.press("Tab")
        self.page.keyboard.type("Ada")
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/")
        return self

    def faults(self) -> list[str]:
        """What keeps people from using the page as it is now."""
        self.page.evaluate(axe())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{one['id']}: {one['help']}: {[node['html'][:120] for node in one['nodes'][:3]]}"
            for one in found["violations"]
            if one["impact"] in GRAVE
        ]

    def shot(self, name: str) -> None:
        """Keep a picture where pictures are wanted."""
        if SHOTS:
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)

    def sticks_out(self) -> bool:
        """Whether the page is wider than the window."""
        return bool(self.page.evaluate("document.documentElement.scrollWidth > innerWidth"))

    def close(self) -> None:
        """Leave."""
        self.context.close()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(message.text)
