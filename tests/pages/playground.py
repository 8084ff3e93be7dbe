"""The playground as a user has it: what is done on it and what it shows, for the tests beside this."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import httpx
from playwright.sync_api import Locator, Page

PATH = "/playground"

# Seconds until the page must show what the service has said; it does within a tenth of one.
PATIENCE = 20.0

# Scrolls the list from its top to its end and reads the rows that are in the DOM on the way.
ROWS = """
async () => {
  const list = document.querySelector("[role=listbox]");
  const found = {};
  for (let top = 0; ; top += list.clientHeight) {
    list.scrollTop = top;
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
    for (const row of list.querySelectorAll("[role=option]"))
      found[row.querySelector(".version").textContent] = row.querySelector(".where").textContent;
    if (top + list.clientHeight >= list.scrollHeight) return found;
  }
}
"""


class Playground:
    """The page, on the service that the client is of."""

    def __init__(self, page: Page, api: httpx.Client) -> None:
        self.page = page
        self.api = api

    def view(self, context: str, **query: Any) -> None:
        """Goes where a link would lead: to a context, with parameters of its window."""
        fragment = urlencode({"context": context, **{name: _text(value) for name, value in query.items()}})
        # The address is written a moment after what is shown, so it may be this one although something else is shown.
        follow = "(fragment) => { location.hash = fragment; dispatchEvent(new HashChangeEvent('hashchange')); }"
        self.page.evaluate(follow, fragment)
        self.page.get_by_role("listbox").wait_for()

    def window(self, context: str, **query: Any) -> dict[str, Any]:
        """What the API answers for the same."""
        answer = self.api.get(
            f"/api/v1/contexts/{context}/window", params={name: _text(value) for name, value in query.items()}
        )
        assert answer.status_code == 200, answer.text
        window: dict[str, Any] = answer.json()
        return window

    def rows(self) -> dict[int, str]:
        """What each row of the list says of where its message stands, by version."""
        return {int(version): where for version, where in self.page.evaluate(ROWS).items()}

    def figures(self) -> str:
        """The sum of tokens that the page shows."""
        return self.page.locator(".figures strong").inner_text()

    def section(self, title: str) -> Locator:
        """The section with this title."""
        return self.page.locator("section").filter(has=self.page.get_by_role("heading", name=title))

    def load_sample(self) -> str:
        """Takes the sample with one click, and answers with the context's id."""
        self.page.get_by_role("button", name="Load the sample").click()
        self.page.get_by_role("listbox").wait_for()
        return self.page.url.partition("context=")[2][:36]


def shown(window: dict[str, Any], latest: int) -> dict[int, str]:
    """Of each version up to the latest whether a window holds it: `in`, `in, cleared`, or `out`."""
    held = {message["version"]: message for message in window["data"] if message["version"] is not None}
    return {
        version: "out" if version not in held else "in, cleared" if held[version].get("cleared") else "in"
        for version in range(1, latest + 1)
    }


def read(rows: dict[int, str]) -> dict[int, str]:
    """The same of the rows of a list, which say in which part, or why not, besides."""
    short = {"in": "in", "in, preamble": "in", "in, request": "in", "in, cleared": "in, cleared"}
    return {version: short.get(where, "out") for version, where in rows.items()}


def until[T](look: Callable[[], T], expected: T) -> T:
    """What look sees once it is what is expected, or what it still sees after PATIENCE."""
    end = time.monotonic() + PATIENCE
    while (seen := look()) != expected and time.monotonic() < end:
        time.sleep(0.05)
    return seen


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
