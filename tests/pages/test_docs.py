"""The API reference in a browser: nobody is shut out, and nothing but the page and its style sheet is asked for."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page

from tests.pages.conftest import Open

# What is folded away is looked at too.
OPEN = "document.querySelectorAll('details').forEach((details) => { details.open = true; })"

at_every_width = pytest.mark.parametrize("width", [1280, 768, 320])
in_light_and_dark = pytest.mark.parametrize("color_scheme", ["light", "dark"])


@at_every_width
@in_light_and_dark
def test_axe_finds_nothing(open_page: Open, axe: Callable[[Page], list[str]], width: int, color_scheme: str) -> None:
    page = open_page("/docs", width=width, color_scheme=color_scheme)
    page.evaluate(OPEN)

    assert axe(page) == []


@at_every_width
def test_only_tables_are_wider_than_the_screen(open_page: Open, width: int) -> None:
    page = open_page("/docs", width=width)
    page.evaluate(OPEN)

    assert page.evaluate("document.documentElement.scrollWidth") == width
    found = page.locator("main :is(pre, p, h3, h4)")
    assert found.evaluate_all("(all) => all.filter((each) => each.scrollWidth > each.clientWidth).length") == 0


def test_needs_no_javascript_and_little_more_than_a_style_sheet(open_page: Open) -> None:
    page = open_page("/docs", java_script_enabled=False)
    asked: set[str] = set()
    page.on("request", lambda request: asked.add(urlsplit(request.url).path))
    page.reload()

    assert page.get_by_role("heading", level=1).inner_text() == "API reference"
    assert asked - {"/docs/icon.svg"} == {"/docs", "/docs/docs.css"}


def test_leads_from_the_contents_to_an_operation(open_page: Open) -> None:
    page = open_page("/docs")

    page.get_by_role("navigation", name="Operations and schemas").get_by_role("link", name="GET getWindow").click()

    assert page.url.endswith("/docs#getWindow")
    assert 0 <= page.locator("#getWindow h3").evaluate("(each) => each.getBoundingClientRect().top") < 100


def test_is_walked_with_the_keyboard_alone(open_page: Open) -> None:
    page = open_page("/docs", width=320)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")

    assert page.url.endswith("#start")
    table = page.get_by_role("group", name="Parameters of getWindow")
    table.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("(table) => table.scrollLeft > 0", arg=table.element_handle())


def test_prints_every_example(open_page: Open) -> None:
    page = open_page("/docs")
    page.emulate_media(media="print")

    heights: list[Any] = page.evaluate("[...document.querySelectorAll('details pre')].map((each) => each.clientHeight)")
    assert all(heights)
    assert page.get_by_role("navigation").all() == []
