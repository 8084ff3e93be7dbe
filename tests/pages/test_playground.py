"""The playground shows what the service decided, and why, in a real browser."""

import hashlib
import itertools
import json
import random
import re
import subprocess
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from scripts.stack.router import ROOT
from tests.pages.conftest import Open
from tests.pages.playground import PATH, Playground, read, shown, until

SETTINGS = 50

# Some are over limits on purpose: the service brings them within.
MEMBERS: dict[str, list[Any]] = {
    "budget": [1, 40, 300, 700, 1500, 2000, 2600, 3200, 5000, 9000],
    "keepPreamble": [True, False],
    "keepRequest": [True, False],
    "startOn": ["any", "user"],
    "step": [0, 1, 90, 500, 100_000],
    "clearToolResults": ["off", 1, 200, 1000],
    "compactionDue": ["off", "0.5,300"],
    "policy": ["none"],
}


@pytest.fixture
def playground(open_page: Open, api: httpx.Client) -> Playground:
    return Playground(open_page(PATH), api)


def post(api: httpx.Client, path: str, body: Any) -> Any:
    answer = api.post(f"/api/v1/contexts{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json()["data"]


def called(*names: str) -> dict[str, Any]:
    calls = [{"id": name, "type": "function", "function": {"name": "find", "arguments": "{}"}} for name in names]
    return {"role": "assistant", "content": None, "toolCalls": calls, "tokenCount": 20}


def answered(name: str, tokens: int = 50) -> dict[str, Any]:
    return {"role": "tool", "toolCallId": name, "content": "found", "tokenCount": tokens}


@pytest.fixture(scope="session")
def odd_id(api: httpx.Client) -> str:
    """A history as agents break it off: answers far from their calls, without any, ids used twice, much at the end."""
    context_id: str = post(api, "", {"name": "odd"})["id"]
    messages = [
        {"role": "system", "content": "Be brief.", "tokenCount": 30},
        {"role": "system", "content": "And kind.", "tokenCount": 30},
        {"role": "user", "content": "Begin.", "tokenCount": 10},
        called("a", "b"),
        {"role": "user", "content": "While you look …", "tokenCount": 400},
        answered("a", 300),
        answered("b", 700),
        answered("nobody"),
        called("a"),
        answered("a", 900),
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "Go on.", "tokenCount": 80},
        *[message for n in range(6) for message in (called(f"c{n}"), answered(f"c{n}", 150 + 40 * n))],
        called("open"),
        answered("c0"),
        answered("nobody again"),
    ]
    post(api, f"/{context_id}/messages", {"messages": messages})
    return context_id


class TestTheSample:
    def test_is_there_in_one_click_with_a_fork_and_a_compaction(
        self, playground: Playground, api: httpx.Client
    ) -> None:
        context_id = playground.load_sample()

        context = api.get(f"/api/v1/contexts/{context_id}").json()["data"]
        [fork] = api.get(f"/api/v1/contexts/{context_id}/forks").json()["data"]
        [compaction] = api.get(f"/api/v1/contexts/{fork['id']}/compactions").json()["data"]
        assert (context["latestVersion"], fork["latestVersion"], fork["forkVersion"]) == (30, 36, 30)
        assert compaction["throughVersion"] == 22

    def test_that_has_changed_has_another_external_id(self) -> None:
        """A database has the one before under its id, and its keys stand for that."""
        digests = {"playground-sample-1": "519fd1b81955e323460fec4169119ec49a188fddc0b7d2da80d2c6d6e4a51ecf"}
        content = (ROOT / "public/playground/sample.json").read_bytes()

        assert digests[json.loads(content)["context"]["externalId"]] == hashlib.sha256(content).hexdigest()

    @pytest.mark.parametrize("lost", range(5))
    def test_is_made_whole_and_once_by_the_next_click_whichever_answer_was_lost(
        self, playground: Playground, api: httpx.Client, lost: int
    ) -> None:
        page = playground.page
        api.delete(f"/api/v1/contexts/{playground.load_sample()}")
        page.get_by_role("button", name="All contexts").click()
        writes: list[str] = []

        def cut(route: Route) -> None:
            if route.request.method == "POST":
                writes.append(route.request.url)
                if len(writes) == lost + 1:
                    route.fetch()  # the service has stored it
                    route.abort()
                    return
            route.continue_()

        page.route("**/api/**", cut)
        page.get_by_role("button", name="Load the sample").click()
        expect(page.get_by_text("Failed to fetch")).to_be_visible()
        page.unroute_all()

        context_id = playground.load_sample()

        [fork] = api.get(f"/api/v1/contexts/{context_id}/forks").json()["data"]
        assert api.get(f"/api/v1/contexts/{context_id}").json()["data"]["latestVersion"] == 30
        assert fork["latestVersion"] == 36
        assert len(api.get(f"/api/v1/contexts/{fork['id']}/compactions").json()["data"]) == 1

    def test_is_not_made_twice(self, playground: Playground, api: httpx.Client) -> None:
        context_id = playground.load_sample()
        playground.page.get_by_role("button", name="All contexts").click()

        assert playground.load_sample() == context_id
        assert api.get(f"/api/v1/contexts/{context_id}").json()["data"]["latestVersion"] == 30

    def test_says_why_message_12_is_not_in_a_window_of_2000_tokens_and_what_keeps_the_task(
        self, playground: Playground
    ) -> None:
        """The four steps of docs/playground.md, in their order."""
        context_id = playground.load_sample()
        page = playground.page
        figures = page.locator(".figures")
        findings = page.get_by_role("list", name="Findings")
        expect(figures).to_contain_text("1,826 of 2,000 tokens, 12 of 30 messages")
        expect(findings).to_contain_text("The task is lost: message 8, the newest user message")

        page.get_by_role("button", name="Keep it: keepRequest").click()

        expected = playground.window(context_id, budget=2000, keepRequest=True)
        assert expected["requestVersion"] == 8
        assert until(lambda: playground.rows()[8], "in, request") == "in, request"
        expect(findings).not_to_contain_text("The task is lost")

        playground.rows()
        page.get_by_role("listbox").evaluate("(list) => { list.scrollTop = 0; }")
        page.locator("#message-8").click()
        page.get_by_role("listbox").evaluate("(list) => { list.scrollTop = 300; }")
        page.locator("#message-12").click()
        message = page.get_by_role("region", name="Message 12")
        expect(message).to_contain_text("Not in this window")
        expect(message).to_contain_text(
            "to the newest message there are 2,996 tokens, and the request leaves 1,985 of the 2,000"
        )
        expect(message).to_contain_text("clearToolResults=500")

        section = playground.section("What each model call was sent")
        expect(section).to_contain_text("lost 8 times")
        page.get_by_role("button", name="Move on at once").click()
        expect(section).to_contain_text("lost 6 times")


class TestWindows:
    def test_shown_are_those_of_the_api_at_random_settings(self, playground: Playground, odd_id: str) -> None:
        sample = playground.load_sample()
        [fork] = playground.api.get(f"/api/v1/contexts/{sample}/forks").json()["data"]
        latest = {sample: 30, fork["id"]: 36, odd_id: 27}
        chance = random.Random(11)
        for _ in range(SETTINGS):
            context_id = chance.choice(list(latest))
            names = chance.sample(list(MEMBERS), chance.randint(1, 5))
            query = {"budget": 2000} | {name: chance.choice(MEMBERS[name]) for name in names}
            if chance.random() < 0.5:
                query["at"] = chance.randint(1, latest[context_id])
            window = playground.window(context_id, **query)
            expected = shown(window, latest[context_id])

            playground.view(context_id, **query)

            figures = f"{window['usedTokens']:,} of {window['budget']:,} token{'s' * (window['budget'] != 1)}"
            assert until(playground.figures, figures) == figures, query
            assert until(lambda: read(playground.rows()), expected) == expected, query

    def test_say_of_an_answer_without_its_call_where_that_is(self, playground: Playground, odd_id: str) -> None:
        playground.view(odd_id, budget=400)

        expected: tuple[str, ...] = ("its call 13 is out", "no call")
        assert until(lambda: tuple(playground.rows()[version] for version in (26, 27)), expected) == expected

    def test_are_asked_for_by_the_slider(self, playground: Playground) -> None:
        context_id = playground.load_sample()
        slider = playground.page.get_by_role("slider", name="Budget")

        slider.fill("3000")

        used = playground.window(context_id, budget=3000)["usedTokens"]
        expect(playground.page.locator(".figures strong")).to_have_text(f"{used:,} of 3,000 tokens")
        assert (
            slider.get_attribute("aria-valuetext")
            == f"3,000 tokens, {len(playground.window(context_id, budget=3000)['data'])} of 30 messages"
        )

    def test_of_a_setting_that_the_service_refuses_say_why(self, playground: Playground) -> None:
        playground.load_sample()
        step = playground.page.get_by_label("step")

        step.fill("a lot")
        step.press("Enter")

        expect(playground.page.get_by_role("alert")).to_contain_text("step")
        step.fill("100")
        step.press("Enter")
        expect(playground.page.get_by_role("alert")).to_have_count(0)

    def test_of_a_provider_are_its_request_with_the_repairs(self, playground: Playground, odd_id: str) -> None:
        playground.view(odd_id, budget=9000, format="anthropic")
        expected = playground.window(odd_id, budget=9000, format="anthropic")
        section = playground.section("The request as the provider gets it")
        section.get_by_text("The members of the request").click()
        while (more := section.get_by_role("button", name="Show all")).count():
            more.click()

        assert json.loads(section.get_by_label("The members of the request").inner_text()) == expected["data"]
        assert expected["repairCount"]
        for repair in expected["repairs"]:
            expect(section.locator(".cards")).to_contain_text(f"{repair['code']}, {repair['detail']}")

    @pytest.mark.parametrize("member", ["keepPreamble", "keepRequest", "step", "startOn"])
    def test_of_the_stored_policy_are_what_a_view_without_one_shows(
        self, playground: Playground, api: httpx.Client, odd_id: str, member: str
    ) -> None:
        value = {"keepPreamble": True, "keepRequest": True, "step": 300, "startOn": "user"}[member]
        fork = post(api, f"/{odd_id}/forks", {"policy": {"budget": 1500, member: value}})["id"]

        playground.view(fork)

        expected = shown(playground.window(fork), 27)
        assert until(lambda: read(playground.rows()), expected) == expected


class TestRemedies:
    def test_bring_the_message_in(self, playground: Playground, odd_id: str) -> None:
        """Each button, pressed: the message is in the window that the API then answers with."""
        page = playground.page
        for version in (1, 3, 12, 14, 20):
            query: dict[str, Any] = {"budget": 900, "step": 300, "startOn": "user"}
            playground.view(odd_id, **query, message=version)
            message = page.get_by_role("region", name=f"Message {version}:")
            expect(message).to_contain_text("Not in this window")
            buttons = message.locator(".remedies button")
            expect(buttons.first).to_be_visible()
            for words in buttons.all_inner_texts():
                playground.view(odd_id, **query, message=version)
                message.get_by_role("button", name=words, exact=True).click()
                expect(message).to_contain_text("In this window")

    def test_name_a_budget_that_does_and_not_a_token_too_many(self, playground: Playground, odd_id: str) -> None:
        """At that budget the message is in, and at one token less it is not, whatever else the policy says."""
        page = playground.page
        chance = random.Random(12)
        for _ in range(12):
            names = ["keepPreamble", "keepRequest", "startOn", "step", "clearToolResults"]
            query = {name: chance.choice(MEMBERS[name]) for name in chance.sample(names, 3)} | {"budget": 700}
            out = [
                version for version, place in shown(playground.window(odd_id, **query), 27).items() if place == "out"
            ]
            version = chance.choice(out)
            playground.view(odd_id, **query, message=version)
            message = page.get_by_role("region", name=f"Message {version}:")
            expect(message.locator(".remedies").or_(message.get_by_text("None of the changes"))).to_be_visible()
            button = message.get_by_role("button", name="a budget of")
            budgets = range(701, 9000, 97)
            if button.count():
                budget = int(re.sub(r"\D", "", button.inner_text()))
                budgets = range(budget - 1, budget + 1)
            held = [shown(playground.window(odd_id, **query | {"budget": b}), 27)[version] != "out" for b in budgets]
            assert held == ([False, True] if button.count() else [False] * len(budgets)), (query, version)

    def test_that_cannot_be_asked_for_are_not_taken_for_none(self, playground: Playground, odd_id: str) -> None:
        page = playground.page
        page.route("**/window?*include=figures*", lambda route: route.abort())
        playground.view(odd_id, budget=900, message=1)
        message = page.get_by_role("region", name="Message 1:")
        expect(message.get_by_role("alert")).to_be_visible()
        page.unroute_all()

        message.get_by_role("button", name="Try again").click()

        expect(message.get_by_role("button", name="a budget of")).to_be_visible()

    @pytest.mark.parametrize("query", [{}, {"step": 200}, {"startOn": "user"}, {"clearToolResults": 100}])
    def test_of_the_slider_bring_the_next_unit_in_and_not_a_token_before(
        self, playground: Playground, odd_id: str, query: dict[str, Any]
    ) -> None:
        playground.view(odd_id, budget=800, **query)
        before = playground.window(odd_id, budget=800, **query)["firstVersion"]
        button = playground.page.get_by_role("button", name="The next unit needs")
        expect(button).to_be_visible()
        more = int(re.sub(r"\D", "", button.inner_text()))

        button.click()

        expect(playground.page.locator(".figures strong")).to_have_text(re.compile(f"of {800 + more:,} tokens"))
        assert playground.window(odd_id, budget=800 + more, **query)["firstVersion"] < before
        assert playground.window(odd_id, budget=800 + more - 1, **query)["firstVersion"] >= before


class TestThePast:
    def test_each_call_is_shown_with_what_it_was_sent_and_whether_the_cache_was_kept(
        self, playground: Playground, odd_id: str
    ) -> None:
        """Kept is what a provider would find: the window before, whole, at the beginning of this one."""
        sample = playground.load_sample()
        queries = [
            {"budget": 2000},
            {"budget": 2000, "step": 600},
            {"budget": 2600, "keepRequest": True},
            {"budget": 2200, "clearToolResults": 300, "step": 400},
        ]
        section = playground.section("What each model call was sent")

        def told() -> list[list[str]]:
            texts: list[list[str]] = section.locator("tbody tr").evaluate_all(
                "(rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText.trim()))"
            )
            return texts

        def seen() -> list[tuple[str, str, bool, bool]]:
            return [(row[0], row[1], row[3] == "first", row[3].startswith("kept")) for row in told()]

        for context_id, query in itertools.product((sample, odd_id), queries):
            playground.view(context_id, **query)
            expect(section.locator(".stale")).to_have_count(0)
            if not section.locator("details[open]").count():
                section.get_by_text("As a table").click()
            before: list[Any] | None = None
            expected = []
            for version in [int(row[0]) for row in told()]:
                window = playground.window(context_id, **query, at=version)
                kept = before is not None and window["data"][: len(before)] == before
                expected.append((f"{version}", f"{window['usedTokens']:,}", before is None, kept))
                before = window["data"]
            assert until(seen, expected) == expected, (context_id, query)

    def test_a_version_is_chosen_with_the_slider_and_shown_as_it_was(self, playground: Playground) -> None:
        context_id = playground.load_sample()

        playground.page.get_by_role("slider", name="Version").fill("17")

        expected = shown(playground.window(context_id, budget=2000, at=17), 30)
        assert until(lambda: read(playground.rows()), expected) == expected
        assert playground.rows()[18] == "later"

    def test_a_time_will_do(self, playground: Playground, api: httpx.Client) -> None:
        context_id = post(api, "", {"policy": {"budget": 500}})["id"]
        [first] = post(api, f"/{context_id}/messages", {"messages": [{"role": "user", "content": "One."}]})
        post(api, f"/{context_id}/messages", {"messages": [{"role": "user", "content": "Two."}]})

        playground.view(context_id, at=first["createdAt"])

        expect(playground.page.locator(".figures")).to_contain_text("1 of 1 message")
        assert playground.page.get_by_role("slider", name="Version").input_value() == "1"

    def test_of_nothing_has_no_calls(self, playground: Playground) -> None:
        context_id = playground.load_sample()

        playground.view(context_id, budget=2000, at=0)

        expect(playground.section("What each model call was sent")).to_contain_text("No call so far")

    def test_is_no_reason_to_miss_what_others_append(self, playground: Playground, api: httpx.Client) -> None:
        context_id = post(api, "", {"policy": {"budget": 500}})["id"]
        post(api, f"/{context_id}/messages", {"messages": [{"role": "user", "content": "One.", "tokenCount": 400}]})
        playground.view(context_id)
        expect(playground.page.locator(".row")).to_have_count(1)

        post(api, f"/{context_id}/messages", {"messages": [{"role": "user", "content": "Two.", "tokenCount": 300}]})
        playground.view(context_id, budget=499)

        expect(playground.page.locator(".row")).to_have_count(2)
        assert until(lambda: read(playground.rows()), {1: "out", 2: "in"}) == {1: "out", 2: "in"}
        expect(playground.page.get_by_text("The task is lost")).to_have_count(0)


class TestForksAndCompactions:
    def test_a_fork_is_found_from_its_parent_and_back(self, playground: Playground) -> None:
        sample = playground.load_sample()
        page = playground.page

        page.get_by_role("link", name="Sample: how it went on").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sample: how it went on, with a compaction")
        expect(page.locator(".tree")).to_contain_text("from message 30, 36 messages")

        page.get_by_role("link", name="Sample: an agent in the middle").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Sample: an agent in the middle of its work")
        assert sample in page.url

    @pytest.mark.parametrize("due", ["1,300", "0.00001,1"])
    def test_a_threshold_that_json_writes_in_its_own_way_is_a_number(
        self, playground: Playground, api: httpx.Client, odd_id: str, due: str
    ) -> None:
        threshold, keep = due.split(",")
        policy = {"budget": 9000, "compactionDue": {"threshold": float(threshold), "keepTokens": int(keep)}}
        fork = post(api, f"/{odd_id}/forks", {"policy": policy})["id"]
        for context_id, query in ((odd_id, {"budget": 9000, "compactionDue": due}), (fork, {})):
            playground.view(context_id, **query)
            expect(playground.section("Compactions")).to_contain_text(re.compile("is due"))

    def test_the_forks_of_a_fork_are_listed_when_they_are_asked_for(
        self, playground: Playground, api: httpx.Client
    ) -> None:
        root = post(api, "", {"name": "root"})["id"]
        post(api, f"/{root}/messages", {"messages": [{"role": "user", "content": "One."}]})
        child = post(api, f"/{root}/forks", {"name": "child"})["id"]
        post(api, f"/{child}/forks", {"name": "grandchild"})
        playground.view(root)

        playground.page.get_by_role("button", name="its forks (of child)").click()

        expect(playground.page.get_by_role("link", name="grandchild")).to_be_visible()
        playground.page.get_by_role("button", name="its forks (of grandchild)").click()
        expect(playground.page.get_by_text("it has none")).to_be_visible()

    def test_a_compaction_in_force_says_what_it_covers_and_when_the_next_is_due(
        self, playground: Playground, api: httpx.Client
    ) -> None:
        sample = playground.load_sample()
        [fork] = api.get(f"/api/v1/contexts/{sample}/forks").json()["data"]
        copy = post(api, f"/{fork['id']}/forks", {})["id"]
        playground.view(copy, budget=4000, keepPreamble=True, compactionDue="0.9,400")
        section = playground.section("Compactions")

        expect(section).to_contain_text("in force")
        expect(section).to_contain_text(re.compile(r"The next is due in [\d,]+ tokens"))
        left = int(re.sub(r"\D", "", re.search(r"due in ([\d,]+)", section.inner_text())[1]))  # type: ignore[index] # it was just found
        assert playground.rows()[12] == "in the summary"

        due = {"budget": 4000, "keepPreamble": True, "compactionDue": "0.9,400"}
        post(api, f"/{copy}/messages", {"messages": [{"role": "user", "content": "?", "tokenCount": left - 1}]})
        assert playground.window(copy, **due)["compactionDue"] is None
        post(api, f"/{copy}/messages", {"messages": [{"role": "user", "content": "!", "tokenCount": 1}]})
        assert playground.window(copy, **due)["compactionDue"] is not None
        playground.page.get_by_role("button", name="Read again").click()
        expect(section).to_contain_text("One is due now")


class TestKeyboard:
    def test_alone_leads_from_the_sample_to_why_a_message_is_out(self, playground: Playground) -> None:
        page = playground.page
        expect(page.get_by_role("button", name="Load the sample")).to_be_visible()

        self.tab_to(page, "Load the sample")
        page.keyboard.press("Enter")
        page.get_by_role("listbox").wait_for()
        self.tab_to(page, "Budget")
        page.keyboard.press("PageUp")
        expect(page.locator(".figures strong")).to_have_text("2,122 of 2,122 tokens")
        page.keyboard.press("PageDown")
        expect(page.locator(".figures strong")).to_have_text(re.compile("of 2,121 tokens"))
        self.tab_to(page, "Messages, oldest first")
        page.keyboard.press("Home")
        for _ in range(11):
            page.keyboard.press("ArrowDown")

        expect(page.get_by_role("region", name="Message 12")).to_contain_text("Not in this window")
        self.tab_to(page, "Keep it: keepRequest", backwards=True)
        page.keyboard.press("Enter")
        expect(page.locator("#window-title")).to_be_focused()
        self.tab_to(page, "Messages, oldest first")
        active = page.evaluate("document.activeElement.getAttribute('aria-activedescendant')")
        assert active == "message-12"
        assert page.locator(f"#{active}").get_attribute("aria-selected") == "true"

    @staticmethod
    def tab_to(page: Page, name: str, *, backwards: bool = False) -> None:
        for _ in range(60):
            page.keyboard.press("Shift+Tab" if backwards else "Tab")
            label = page.evaluate(
                "(({ activeElement: at }) => at.ariaLabel || at.labels?.[0]?.innerText || at.innerText)(document)"
            )
            if name in (label or ""):
                return
        pytest.fail(f"no Tab leads to {name}")


def everything(page: Page) -> None:
    """Opens all that can be opened."""
    for summary in page.locator("summary").all():
        summary.click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 320])
class TestEveryWidth:
    def test_is_free_of_faults_of_accessibility_and_needs_no_scrolling_aside(
        self, open_page: Open, api: httpx.Client, axe: Callable[[Page], list[str]], width: int, scheme: str
    ) -> None:
        playground = Playground(open_page(PATH, width=width, color_scheme=scheme), api)
        page = playground.page
        expect(page.get_by_role("heading", name="Open a context")).to_be_visible()
        self.assert_sound(page, axe, width)

        context_id = playground.load_sample()
        playground.view(context_id, budget=2000, clearToolResults=500, message=12)
        expect(page.get_by_role("region", name="Message 12")).to_be_visible()
        expect(page.locator(".sawtooth")).to_be_visible()
        everything(page)
        self.assert_sound(page, axe, width)

        page.get_by_role("link", name="Sample: how it went on").click()
        expect(page.locator(".badge")).to_be_visible()
        playground.view(page.url.partition("context=")[2][:36], step="x", format="gemini", message=3)
        expect(page.get_by_role("alert")).to_be_visible()
        self.assert_sound(page, axe, width)

    @staticmethod
    def assert_sound(page: Page, axe: Callable[[Page], list[str]], width: int) -> None:
        assert axe(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width


class TestSnippets:
    def test_of_curl_answers_with_the_window_that_is_shown(self, playground: Playground, odd_id: str) -> None:
        query = {"budget": 1200, "keepRequest": True, "compactionDue": "0.5,300", "format": "gemini"}
        playground.view(odd_id, **query)
        command = playground.page.get_by_label("The request in curl").inner_text()

        printed = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout

        assert json.loads(printed) == playground.window(odd_id, **query)


class TestLinks:
    def test_by_an_external_id_or_an_id_in_capitals_lead_there_and_back(
        self, playground: Playground, api: httpx.Client
    ) -> None:
        page = playground.page
        name = f"ticket-{random.randrange(10**9)}"
        context_id = post(api, "", {"externalId": name})["id"]
        for text in (name, context_id.upper(), context_id):
            page.get_by_label("Context id or externalId").fill(text)
            page.get_by_role("button", name="Open").click()
            expect(page.get_by_role("heading", level=1)).to_have_text(name)
            expect(page).to_have_url(re.compile(context_id))

            page.go_back()

            expect(page.get_by_role("heading", name="Open a context")).to_be_visible()

    def test_to_another_context_leave_the_settings_of_this_one_behind(self, playground: Playground) -> None:
        sample = playground.load_sample()
        playground.view(sample, budget=2000, step=7, policy="none", keepRequest=True, message=3, at=20)
        page = playground.page
        page.get_by_role("button", name="All contexts").click()

        page.get_by_role("link", name="Sample: how it went on").first.click()

        expect(page.get_by_role("heading", level=1)).to_contain_text("with a compaction")
        assert page.url.partition("#")[2] == page.url.partition("#")[2].partition("&")[0]

    def test_hold_the_view(self, playground: Playground, open_page: Open, api: httpx.Client) -> None:
        context_id = playground.load_sample()
        query = {"budget": 2500, "step": 300, "at": 28, "message": 9, "format": "anthropic"}
        playground.view(context_id, **query)
        shown_here = playground.page.url

        other = Playground(open_page(f"{PATH}#{shown_here.partition('#')[2]}"), api)

        del query["message"]
        used = playground.window(context_id, **query)["usedTokens"]
        expect(other.page.locator(".figures strong")).to_have_text(f"{used:,} of 2,500 tokens")
        expect(other.page.get_by_role("region", name="Message 9")).to_be_visible()
        expect(other.page.get_by_label("Format")).to_have_value("anthropic")
