"""The pictures of the documents: what they show is looked at first. `--screenshots` takes them anew into docs/."""

import struct
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from scripts.stack.router import ROOT
from tests.pages.conftest import Open
from tests.pages.playground import PATH, Playground

WIDTH = 1280


def taken(page: Page, name: str, height: int, request: pytest.FixtureRequest, folder: Path) -> None:
    """Takes a picture from the top of what is seen, and holds it against the one in docs/ by its size."""
    kept = ROOT / "docs" / name
    path = kept if request.config.getoption("--screenshots") else folder / name
    page.screenshot(path=path, clip={"x": 0, "y": 0, "width": WIDTH, "height": height}, animations="disabled")
    assert struct.unpack(">II", path.read_bytes()[16:24]) == (WIDTH, height)
    assert path.read_bytes()[:24] == kept.read_bytes()[:24], "run this test with --screenshots"


def test_of_a_window_show_what_is_in_it_what_is_not_and_why(
    open_page: Open, api: httpx.Client, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    playground = Playground(open_page(PATH, width=WIDTH, height=1300), api)
    context_id = playground.load_sample()
    playground.view(context_id, budget=2000, message=12)
    page = playground.page
    message = page.get_by_role("region", name="Message 12")
    for text in ("The task is lost: message 8", "Keep it: keepRequest", "The next unit needs 122 more"):
        expect(page.get_by_text(text)).to_be_in_viewport()
    expect(message.get_by_text("there are 2,996 tokens, and the budget is 2,000")).to_be_in_viewport()
    expect(message.get_by_role("button", name="clearToolResults=500")).to_be_in_viewport()
    expect(page.locator(".ribbon .chosen")).to_be_in_viewport()

    taken(page, "playground.png", 1260, request, tmp_path)


def test_of_the_past_show_where_the_prompt_cache_was_lost(
    open_page: Open, api: httpx.Client, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    playground = Playground(open_page(PATH, width=WIDTH, height=800, color_scheme="dark"), api)
    playground.load_sample()
    page = playground.page
    page.get_by_role("link", name="Sample: how it went on").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("with a compaction")
    page.get_by_label("Format").select_option("anthropic")
    section = playground.section("What each model call was sent")
    expect(section.locator(".sawtooth")).to_be_visible()
    expect(page.locator(".badge")).to_have_text("in force")
    section.scroll_into_view_if_needed()
    page.evaluate("(section) => section.scrollIntoView()", section.element_handle())
    expect(section.get_by_text("and lost")).to_be_in_viewport()
    expect(page.get_by_text("The next is due in")).to_be_in_viewport()

    taken(page, "playground-past.png", 700, request, tmp_path)
