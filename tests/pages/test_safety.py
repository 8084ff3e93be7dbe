"""What a message, a link or a paste brings cannot take the page over, and a key goes nowhere but to the service."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
import pytest
from playwright.sync_api import Page, Request, expect

from scripts.stack.router import ROOT
from tests.pages.conftest import Open
from tests.pages.playground import PATH, Playground

KEY = "a-key-that-nobody-else-has"

MARKUP = '<img src=x onerror="hacked=1"><script>hacked=1</script><style>*{display:none}</style>'

# Each reaches another part of the page; \u202e turns text around, and \ud800 stands alone.
TEXTS = [
    MARKUP,
    "</pre></section>" + MARKUP,
    "javascript:hacked=1",
    "\u202egnp.exe\u2066\u2028\u2029\x7f\x1b[31m",
    '{"type": "img", "props": {"src": "x"}, "constructor": null}',
    "${hacked=1} {{hacked=1}} `",
    "__proto__",
]


@pytest.fixture(scope="module")
def keyed_url(database_url: str) -> Iterator[str]:
    """A server that wants KEY, a process of its own as it is set up for its life."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    environment = {**os.environ, "DATABASE_URL": database_url, "API_KEYS": KEY, "PORT": str(port)}
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "scripts.dev"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as server:
        try:
            for _ in range(200):
                try:
                    httpx.get(f"{url}/api/health")
                    break
                except httpx.TransportError:
                    assert server.poll() is None
                    time.sleep(0.1)
            yield url
        finally:
            server.terminate()


class TestAKey:
    def test_typed_in_goes_to_the_service_and_nowhere_else(self, open_page: Open, keyed_url: str) -> None:
        page = open_page(PATH, origin=keyed_url)
        expect(page.get_by_text("wants a key")).to_be_visible()
        sent: list[Request] = []
        page.on("request", lambda request: sent.append(request))  # noqa: PLW0108 - Playwright marks what it is given
        page.get_by_label("Key").fill(KEY)
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("button", name="Load the sample").click()
        page.get_by_role("listbox").wait_for()
        page.get_by_role("link", name="Sample: how it went on").click()
        expect(page.locator(".sawtooth")).to_be_visible()

        assert {request.headers.get("authorization") for request in sent if "/api/" in request.url} == {f"Bearer {KEY}"}
        assert not any(KEY in request.url or KEY in (request.post_data or "") for request in sent)
        assert self.kept(page) == []
        assert page.get_by_label("Key").input_value() == ""
        for language in ("curl", "Python", "TypeScript"):
            page.get_by_label("Ask for this window with").select_option(language)
            expect(page.get_by_label(f"The request in {language}")).to_contain_text("KATA_CONTEXT_API_KEY")

        page.reload()
        expect(page.get_by_text("wants a key")).to_be_visible()
        assert page.get_by_label("Key").input_value() == ""

    def test_that_is_wrong_is_refused_and_can_be_typed_again(self, open_page: Open, keyed_url: str) -> None:
        page = open_page(PATH, origin=keyed_url)
        for key in ("wrong", "ключ", KEY):
            page.get_by_label("Key").fill(key)
            page.get_by_role("button", name="Use it").click()
            if key != KEY:
                expect(page.locator(".problem")).to_be_visible()

        expect(page.locator(".problem")).to_have_count(0)

    @staticmethod
    def kept(page: Page) -> list[str]:
        """Where the key is found, but for the field that it was typed into."""
        places: dict[str, Any] = page.evaluate(
            """async () => ({
              address: location.href, state: JSON.stringify(history.state), cookie: document.cookie,
              local: JSON.stringify(localStorage), session: JSON.stringify(sessionStorage),
              databases: JSON.stringify(await indexedDB.databases()), caches: JSON.stringify(await caches.keys()),
              globals: Object.keys(window).map((name) => String(window[name])).join(),
              markup: document.documentElement.outerHTML, name: window.name,
            })"""
        )
        return [place for place, text in places.items() if KEY in text]


class TestHostileContent:
    def test_is_text(self, open_page: Open, api: httpx.Client) -> None:
        metadata = {"__proto__": MARKUP, MARKUP: [MARKUP], "deep": json.loads("[" * 50 + "]" * 50)}
        body = {"name": MARKUP, "externalId": f"{MARKUP}{time.time_ns()}", "metadata": metadata}
        context_id = api.post("/api/v1/contexts", json=body).json()["data"]["id"]
        call = {"id": MARKUP, "type": "function", "function": {"name": MARKUP, "arguments": MARKUP}}
        part = {"type": MARKUP, "constructor": None, "props": {"onerror": "hacked=1"}, "__v": 1.0, "n": [1e-7]}
        messages: list[dict[str, Any]] = [{"role": "user", "content": text} for text in TEXTS]
        messages += [
            {"role": "user", "content": [part, {"type": "text", "text": MARKUP}], "metadata": metadata},
            {"role": "assistant", "content": MARKUP, "toolCalls": [call], "model": MARKUP},
            {"role": "tool", "toolCallId": MARKUP, "toolName": MARKUP, "content": MARKUP},
            {"role": "user", "content": "x" * 1_000_000},
        ]
        stored = api.post(f"/api/v1/contexts/{context_id}/messages", json={"messages": messages})
        assert stored.status_code == 201, stored.text
        compaction = {"throughVersion": 3, "summary": MARKUP}
        assert api.post(f"/api/v1/contexts/{context_id}/compactions", json=compaction).status_code == 201
        api.post(f"/api/v1/contexts/{context_id}/forks", json={"name": MARKUP})
        playground = Playground(open_page(PATH), api)
        page = playground.page

        for version in range(1, len(messages) + 1):
            playground.view(context_id, budget=300_000, format="gemini", message=version)
            expect(page.get_by_role("region", name=f"Message {version}:")).to_be_visible()
        for summary in page.locator("summary").all():
            summary.click()

        expect(page.get_by_role("heading", level=1)).to_have_text(MARKUP)
        expect(page.get_by_label("Summary of compaction 1")).to_have_text(MARKUP)
        expect(page.get_by_label("Content of the message")).to_have_text("x" * 8000)
        assert page.locator("img, style, body script, iframe, object").count() == 0
        assert page.evaluate("window.hacked") is None

    def test_is_cut_behind_8000_characters_until_somebody_wants_all(self, open_page: Open, api: httpx.Client) -> None:
        context_id = api.post("/api/v1/contexts", json={}).json()["data"]["id"]
        texts = ["x" * 8000, "y" * 8001]
        messages = [{"role": "user", "content": text} for text in texts]
        api.post(f"/api/v1/contexts/{context_id}/messages", json={"messages": messages})
        playground = Playground(open_page(PATH), api)
        content = playground.page.get_by_label("Content of the message")
        everything = playground.page.get_by_role("button", name="Show all")

        playground.view(context_id, message=1)
        expect(content).to_have_text(texts[0])
        expect(everything).to_have_count(0)
        playground.view(context_id, message=2)
        expect(content).to_have_text("y" * 8000)
        everything.click()
        expect(content).to_have_text(texts[1])
        expect(content).to_be_focused()

    def test_of_a_link_is_refused_by_the_service_and_shown_as_text(self, open_page: Open, api: httpx.Client) -> None:
        context_id = api.post("/api/v1/contexts", json={}).json()["data"]["id"]
        hostile = ["../../health", "%", "%ff", MARKUP, "javascript:hacked=1", "a" * 3000, "\u202e", "__proto__"]
        page = open_page(PATH)
        for text in hostile:
            page.evaluate("(text) => { location.hash = '#context=' + encodeURIComponent(text); }", text)
            expect(page.get_by_role("alert")).to_be_visible()
            for name in ("budget", "at", "step", "format", "message"):
                page.evaluate(
                    "([id, name, text]) => { location.hash = `#context=${id}&${name}=${encodeURIComponent(text)}`; }",
                    [context_id, name, text],
                )
                expect(page.get_by_role("heading", name="The thread")).to_be_visible()
        page.goto(f"{PATH}#context=%E0%A4%A&context=%&budget=%00&=&&&at")
        expect(page.get_by_role("alert")).to_be_visible()

        assert page.evaluate("window.hacked") is None
        assert page.locator("img").count() == 0


class TestAPaste:
    CALL = '{"number": 1042}'
    PASTES: ClassVar[dict[str, Any]] = {
        "openai-chat": [
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "content": None, "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "find", "arguments": CALL}}]},
            {"role": "tool", "tool_call_id": "c1", "content": "shipped"},
        ],
        "openai-responses": {"instructions": "Be brief.", "input": [
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Where is it?"}]},
            {"type": "function_call", "call_id": "c1", "name": "find", "arguments": CALL},
            {"type": "function_call_output", "call_id": "c1", "output": "shipped"},
        ]},
        "anthropic": {"system": [{"type": "text", "text": "Be brief."}], "messages": [
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "find", "input": {"number": 1042}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": "shipped"}]},
        ]},
        "gemini": {"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": [
            {"role": "user", "parts": [{"text": "Where is it?"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "find", "args": {"number": 1042}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "find", "response": {"output": "shipped"}}}]},
        ]},
        "ai-sdk": {"system": "Be brief.", "messages": [
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "content": [
                {"type": "tool-call", "toolCallId": "c1", "toolName": "find", "input": {"number": 1042}}]},
            {"role": "tool", "content": [{"type": "tool-result", "toolCallId": "c1", "toolName": "find",
                                          "output": {"type": "text", "value": "shipped"}}]},
        ]},
        "kata": [
            {"role": "user", "content": "Where is it?"},
            {"role": "assistant", "content": None, "toolCalls": [
                {"id": "c1", "type": "function", "function": {"name": "find", "arguments": CALL}}]},
            {"role": "tool", "toolCallId": "c1", "content": "shipped"},
        ],
    }  # fmt: skip

    @pytest.mark.parametrize("name", PASTES)
    def test_of_each_format_is_told_by_its_members_and_shown(
        self, open_page: Open, api: httpx.Client, name: str
    ) -> None:
        pasted = self.PASTES[name]
        page = open_page(PATH)

        self.paste(page, json.dumps(pasted))

        page.get_by_role("listbox").wait_for()
        context_id = page.url.partition("context=")[2][:36]
        stored = api.get(f"/api/v1/contexts/{context_id}/messages").json()["data"]
        system = isinstance(pasted, dict)
        assert [message["role"] for message in stored] == ["system"] * system + ["user", "assistant", "tool"]
        assert stored[-2]["toolCalls"][0]["function"]["name"] == "find"
        assert page.get_by_role("listbox").get_by_role("option").count() == len(stored)

    def test_from_a_file_of_lines_and_more_than_an_append_takes_is_stored_whole(
        self, open_page: Open, api: httpx.Client
    ) -> None:
        page = open_page(PATH)

        lines = "\n".join(json.dumps({"role": "user", "content": f"{n}"}) for n in range(2500)).encode()
        page.get_by_label("a file of it").set_input_files(
            {"name": "thread.jsonl", "mimeType": "text/plain", "buffer": lines}
        )
        page.get_by_role("button", name="Store it").click()

        page.get_by_role("listbox").wait_for()
        context = api.get(f"/api/v1/contexts/{page.url.partition('context=')[2][:36]}").json()["data"]
        assert context["latestVersion"] == 2500

    def test_is_stored_to_the_digit(self, open_page: Open, api: httpx.Client) -> None:
        """JavaScript would round the first number and write the others in another way."""
        page = open_page(PATH)
        numbers = '{"id": 1234567890123456789, "price": 1.0, "small": 1e-7}'
        text = f'[{{"role": "user", "content": "Count.", "metadata": {numbers}}}]'
        page.get_by_label("Format").select_option("kata")

        self.paste(page, text)

        page.locator(".row").click()
        expect(page.get_by_label("Metadata of the message")).to_contain_text("1234567890123456789")
        page.get_by_text("The members of the request").click()
        expect(page.get_by_label("The members of the request")).to_contain_text("1234567890123456789")
        context_id = page.url.partition("context=")[2][:36]
        stored = api.get(f"/api/v1/contexts/{context_id}/messages").text
        assert '"id":1234567890123456789' in stored.replace(" ", "")
        assert "1.0" in stored

    @pytest.mark.parametrize(
        ("pasted", "part"),
        [
            ({"system": "Be brief.", "messages": [{"role": "user", "content": "Hi"}]}, {"type": "text", "text": "Hi"}),
            (
                [{"role": "user", "content": [
                    {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}]}],
                {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
            ),
        ],
    )  # fmt: skip
    def test_of_anthropic_without_any_tool_comes_back_whole(
        self, open_page: Open, api: httpx.Client, pasted: Any, part: dict[str, Any]
    ) -> None:
        page = open_page(PATH)

        self.paste(page, json.dumps(pasted))

        page.get_by_role("listbox").wait_for()
        path = f"/api/v1/contexts/{page.url.partition('context=')[2][:36]}/window"
        window = api.get(path, params={"budget": 1000, "format": "anthropic"}).json()
        assert window["data"]["messages"][0]["content"] in ([part], part.get("text"))
        assert window["repairs"] == []

    @pytest.mark.parametrize(
        "text", ["{", "3", '"text"', "[]", "[1]", "{}", "null", '{"messages": []}', "[[]]", '{"system": {"parts": 5}}']
    )
    def test_of_what_is_no_transcript_says_so_and_stores_nothing(
        self, open_page: Open, api: httpx.Client, text: str
    ) -> None:
        page = open_page(PATH)
        newest = api.get("/api/v1/contexts", params={"limit": 1}).json()["data"]

        self.paste(page, text)

        expect(page.get_by_text("This is no")).to_be_visible()
        assert api.get("/api/v1/contexts", params={"limit": 1}).json()["data"] == newest

    def test_that_the_service_refuses_in_the_middle_leaves_nothing_behind(
        self, open_page: Open, api: httpx.Client
    ) -> None:
        page = open_page(PATH)
        newest = api.get("/api/v1/contexts", params={"limit": 1}).json()["data"]
        messages: list[dict[str, Any]] = [{"role": "user", "content": f"{n}"} for n in range(1500)]

        self.paste(page, json.dumps([*messages, {"role": "nobody", "content": "x"}]))

        expect(page.get_by_text("/messages/500/role")).to_contain_text("counted from message 1,001 on")
        assert api.get("/api/v1/contexts", params={"limit": 1}).json()["data"] == newest

    @staticmethod
    def paste(page: Page, text: str) -> None:
        page.get_by_label("A list of messages as JSON").fill(text)
        page.get_by_role("button", name="Store it").click()
