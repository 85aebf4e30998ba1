"""A real browser for the tests: Debian's chromium, driven by playwright."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = os.environ.get("PGQ_TEST_CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
POSSIBLE = bool(Path(CHROMIUM).exists() and importlib.util.find_spec("playwright"))
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}

# What is wider than the window, when the page itself can be scrolled sideways.
TOO_WIDE = """() => {
    const page = document.scrollingElement;
    if (page.scrollWidth <= window.innerWidth) return [];
    return [...document.querySelectorAll("body *")]
        .filter(part => part.getBoundingClientRect().right > window.innerWidth + 1)
        .map(part => part.tagName + "." + part.className).slice(0, 10);
}"""


@contextmanager
def browser() -> Iterator[Any]:
    """The browser, for as long as the block lasts."""
    from playwright.sync_api import sync_playwright

    # Playwright's loop runs in this thread; the ORM is only used between its calls.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "1"
    try:
        with sync_playwright() as playwright:
            made = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
            yield made
            made.close()
    finally:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]
        if before is not None:
            os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = before


class Tab:
    """A page that notes what must not happen: errors in the console, requests to elsewhere."""

    def __init__(self, browser: Any, site: str, *, state: Any = None, **looks: Any) -> None:
        self.site = site
        self.complaints: list[str] = []
        self.context = browser.new_context(
            base_url=site, storage_state=state, viewport=looks.pop("viewport", DESK), **looks
        )
        self.context.set_default_timeout(10_000)
        self.context.on("request", self._request)
        self.context.on("console", self._console)
        self.context.on("weberror", lambda error: self.complaints.append(f"error: {error.error}"))
        self.context.on("response", self._response)
        self.page = self.context.new_page()

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.site, "data:")):
            self.complaints.append(f"request to {request.url}")

    def _console(self, message: Any) -> None:
        where = message.location["url"]
        if message.type in ("error", "warning") and not where.endswith("/favicon.ico"):
            self.complaints.append(f"console: {message.text}")

    def _response(self, response: Any) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")

    def go(self, address: str) -> str:
        """Open an address of the site; the text of its content."""
        self.page.goto(address)
        return self.text

    def follow(self, locator: Any) -> str:
        """Click, and wait until the next page has loaded; the text of its content."""
        with self.page.expect_navigation():
            locator.click()
        return self.text

    def button(self, name: str) -> Any:
        """A button with exactly this on it."""
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def text(self) -> str:
        """What can be read in the content, in small letters: the admin's style changes case."""
        return str(self.page.locator("#content").inner_text()).lower()

    @property
    def too_wide(self) -> list[str]:
        """What makes the page scroll sideways."""
        found: list[str] = self.page.evaluate(TOO_WIDE)
        return found

    def picture(self, name: str) -> None:
        """A picture of the whole page, where PGQ_TEST_PICTURES says."""
        folder = os.environ.get("PGQ_TEST_PICTURES")
        if folder:
            self.page.screenshot(path=f"{folder}/{name}.png", full_page=True)

    def close(self) -> None:
        """Close it, and fail if there was anything to complain of."""
        self.context.close()
        assert not self.complaints, "\n".join(self.complaints)
