"""With 10,000 messages only what is seen is in the DOM, and the page says how long it took."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from tests.pages.conftest import Open
from tests.pages.playground import PATH, Playground, shown

MESSAGES = 10_000

# Elements: a few hundred segments of the ribbon, 20 rows, a chart of 100 calls and its table.
MOST_ELEMENTS = 3000

# Moves the slider as fast as the page follows, and measures from each input to the figures of its answer.
MOVES = """
async () => {
  const slider = document.querySelector("#budget");
  const figures = () => document.querySelector(".figures strong").textContent;
  const took = [];
  for (let budget = 8000; budget < 28000; budget += 500) {
    const start = performance.now();
    slider.value = budget;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    while (!figures().includes(`of ${budget.toLocaleString("en")} `)) {
      await new Promise(requestAnimationFrame);
      if (performance.now() - start > 20000) throw new Error(`${budget} tokens are asked for, and ${figures()} shown`);
    }
    took.push(performance.now() - start);
  }
  return took.sort((one, other) => one - other);
}
"""

STORM = """
async () => {
  const slider = document.querySelector("#budget");
  for (let budget = 27100; budget <= 27500; budget++) {
    slider.value = budget;
    slider.dispatchEvent(new Event("input", { bubbles: true }));
    if (budget % 10 === 0) await new Promise(requestAnimationFrame);
  }
}
"""


@pytest.fixture(scope="module")
def large_id(api: httpx.Client) -> str:
    """A context with MESSAGES messages: questions, calls, results and answers."""
    context_id: str = api.post("/api/v1/contexts", json={"name": "large"}).json()["data"]["id"]
    for start in range(0, MESSAGES, 1000):
        messages = []
        for n in range(start, start + 1000, 4):
            call = {"id": f"c{n}", "type": "function", "function": {"name": "find", "arguments": "{}"}}
            messages += [
                {"role": "user", "content": f"Where is order {n}?", "tokenCount": 12},
                {"role": "assistant", "content": None, "toolCalls": [call], "tokenCount": 9},
                {"role": "tool", "toolCallId": f"c{n}", "content": "shipped " * 30, "tokenCount": 60 + n % 97},
                {"role": "assistant", "content": "It has been shipped.", "tokenCount": 5},
            ]
        answer = api.post(f"/api/v1/contexts/{context_id}/messages", json={"messages": messages})
        assert answer.status_code == 201, answer.text
    return context_id


def test_ten_thousand_messages(
    open_page: Open, api: httpx.Client, large_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    playground = Playground(open_page(f"{PATH}#context={large_id}&budget=8000"), api)
    page = playground.page
    page.get_by_role("listbox").get_by_role("option").first.wait_for()
    first = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    rows = page.evaluate("performance.now()")
    expect(page.get_by_text("not loaded")).to_have_count(0)
    expect(page.locator(".sawtooth")).to_be_visible()

    took = page.evaluate(MOVES)

    # More than a browser writes into the address in a row.
    page.evaluate(STORM)
    expect(page.locator(".figures strong")).to_have_text(re.compile("of 27,500 tokens"))
    expect(page).to_have_url(re.compile("budget=27500"))

    elements = page.evaluate("document.querySelectorAll('*').length")
    assert elements < MOST_ELEMENTS
    expect(page.get_by_role("listbox").get_by_role("option").first).to_have_attribute("aria-setsize", f"{MESSAGES}")
    window = playground.window(large_id, budget=27500)
    states = shown(window, MESSAGES)
    where = dict(
        page.get_by_role("listbox")
        .get_by_role("option")
        .evaluate_all("(rows) => rows.map((row) => [row.querySelector('.version').textContent, row.className])")
    )
    assert where
    assert {int(version): "in" if " in" in name else "out" for version, name in where.items()} == {
        int(version): states[int(version)] for version in where
    }
    with capsys.disabled():
        print(  # noqa: T201 - a figure for the one who runs it, and no test
            f"\n{MESSAGES:,} messages: first paint after {first:.0f} ms, first rows {rows:.0f} ms, "
            f"slider to window {took[len(took) // 2]:.0f} ms (median), {took[-1]:.0f} ms (slowest of {len(took)}), "
            f"{elements:,} elements"
        )
