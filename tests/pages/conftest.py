"""A real browser, Debian's Chromium, on the pages that the server of the tests serves.

Every page that a test opens is watched: what its Content-Security-Policy refuses, a request to another origin and an
error of a script fail the test. Nothing turns the policy off.
"""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from scripts import vendor
from tests.pages import chromium

# Milliseconds that an expectation waits: two cores run a database, a server and a browser beside each other.
TIMEOUT = 20_000

# Before any script of the page, so that nothing is missed.
WATCH = """
window.refused = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.refused.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample} ${event.sourceFile}`));
"""


# Not for the session: as long as it is there, an event loop runs in this thread, and no other test could run one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as playwright:
        # Its sandbox refuses to run as root.
        browser = playwright.chromium.launch(executable_path=chromium.program(), chromium_sandbox=os.geteuid() != 0)
        yield browser
        browser.close()


type Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, url: str) -> Iterator[Open]:
    """Opens a path in a browser that nobody has used, `width` pixels wide, and in `color_scheme` dark or light.

    The server is that of the tests, unless `origin` names another.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def watch(page: Page, origin: str) -> None:
        page.on("pageerror", lambda error: faults.append(f"error: {error}"))
        # What the service refuses, or a test cuts off, the page shows, and the browser says so in the console as well.
        page.on("console", lambda text: faults.append(text.text) if _bad(text.type, text.text) else None)
        page.on("request", lambda request: faults.append(request.url) if _foreign(request.url, origin) else None)

    def open_page(path: str, *, origin: str = url, width: int = 1280, height: int = 900, **options: Any) -> Page:
        context = browser.new_context(base_url=origin, viewport={"width": width, "height": height}, **options)
        contexts.append(context)
        context.set_default_timeout(TIMEOUT)
        context.add_init_script(WATCH)
        context.on("page", lambda page: watch(page, origin))
        page = context.new_page()
        page.goto(path)
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            faults += page.evaluate("window.refused")
        context.close()
    assert not faults


def _bad(kind: str, text: str) -> bool:
    return kind in {"error", "warning"} and not text.startswith("Failed to load resource: ")


def _foreign(address: str, origin: str) -> bool:
    return urlsplit(address)[:2] != urlsplit(origin)[:2] and not address.startswith(("data:", "blob:"))


@pytest.fixture(scope="session")
def axe() -> Callable[[Page], list[str]]:
    """The faults of accessibility that axe finds in a page: its rules for WCAG 2.2 AA, and its best practices."""
    [source] = vendor.contents(vendor.AXE).values()

    def axe(page: Page) -> list[str]:
        page.evaluate(source.decode())
        found = page.evaluate("async () => (await axe.run(document)).violations")
        return [f"{fault['id']}: {json.dumps([node['html'][:200] for node in fault['nodes']])}" for fault in found]

    return axe
