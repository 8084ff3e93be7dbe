"""Swagger UI on the service's own description: it works under the policy of its page, and keeps nothing."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page

from tests.pages.conftest import Open

# Rules of axe that Swagger UI 5.35 breaks: light greys, buttons within buttons, h4 behind h2, text outside of main.
SWAGGERS = {"color-contrast", "nested-interactive", "heading-order", "region"}

KEY = "a-key-that-is-typed-in"


def tried(page: Page, operation: str) -> Locator:
    """An operation that is opened and may be executed."""
    block = page.locator(f"#operations-{operation}")
    if "#" not in page.url:  # which says what is open
        block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    return block


def execute(block: Locator) -> str:
    """The status that an operation is answered with."""
    block.get_by_role("button", name="Execute", exact=True).click()
    return block.locator(".live-responses-table .response-col_status").last.inner_text()


@pytest.mark.parametrize("path", ["/docs/try", "/docs/try/"])
def test_an_operation_is_tried_out(open_page: Open, path: str) -> None:
    page = open_page(path)

    assert execute(tried(page, "Health-getHealth")).startswith("200")


def test_a_body_is_sent_from_its_example(open_page: Open) -> None:
    page = open_page("/docs/try")
    block = tried(page, "Contexts-createContext")
    block.locator("textarea.body-param__text").fill('{"name": "<img src=x onerror=alert(1)>"}')

    assert execute(block).startswith("201")
    assert "<img" in block.locator(".live-responses-table .response-col_description").last.inner_text()


def test_a_key_is_sent_and_gone_when_the_page_is_left(open_page: Open) -> None:
    page = open_page("/docs/try")
    page.get_by_role("button", name="Authorize", exact=True).click()
    page.locator(".modal-ux input").fill(KEY)
    page.locator(".modal-ux").get_by_role("button", name="Apply credentials").click()
    page.locator(".modal-ux").get_by_role("button", name="Close", exact=True).click()
    block = tried(page, "Contexts-listContexts")
    with page.expect_request("**/api/v1/contexts**") as sent:
        assert execute(block).startswith("200")
    assert sent.value.headers["authorization"] == f"Bearer {KEY}"

    page.reload()
    block = tried(page, "Contexts-listContexts")
    with page.expect_request("**/api/v1/contexts**") as sent:
        assert execute(block).startswith("200")
    assert "authorization" not in sent.value.headers
    assert page.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_has_no_faults_but_those_of_swagger_ui(
    open_page: Open, axe: Callable[[Page], list[str]], color_scheme: str
) -> None:
    page = open_page("/docs/try", color_scheme=color_scheme)
    page.locator("#operations-Health-getHealth").wait_for()

    assert {fault.partition(":")[0] for fault in axe(page)} <= SWAGGERS


def test_leads_back_to_the_reference(open_page: Open) -> None:
    page = open_page("/docs/try")
    page.get_by_role("link", name="API reference").click()

    assert page.get_by_role("heading", level=1).inner_text() == "API reference"


def test_without_javascript_says_where_the_reference_is(open_page: Open) -> None:
    page = open_page("/docs/try", java_script_enabled=False)

    assert page.get_by_role("link", name="The API reference").get_attribute("href") == "/docs"
