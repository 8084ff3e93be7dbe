"""Each rule of the judge can be broken: an example breaks none, and the least change of it breaks one alone."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest

from tests.formats.breaches.edits import GONE, Before, Edit, edited
from tests.formats.examples import EXAMPLES
from tests.formats.histories import JUNK
from tests.formats.rules.values import data_url, is_visible, media_data, object_text


def broken(name: str, data: dict[str, Any], *, natives: bool = False) -> list[str]:
    judge = import_module(f"tests.formats.rules.{name.replace('-', '_')}")
    found: list[str] = judge.broken(data, natives=natives)
    return found


def cases() -> Iterator[Any]:
    for name in EXAMPLES:
        for complaint, *changes in import_module(f"tests.formats.breaches.{name.replace('-', '_')}").CASES:
            yield pytest.param(name, complaint, changes, id=f"{name} {complaint} {changes[0][0]}")


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_breaks_no_rule(name: str) -> None:
    assert broken(name, EXAMPLES[name]) == []
    assert broken(name, EXAMPLES[name], natives=True) == []


@pytest.mark.parametrize(("name", "complaint", "changes"), list(cases()))
def test_the_change_breaks_one_rule(name: str, complaint: str, changes: list[Edit]) -> None:
    assert broken(name, edited(EXAMPLES[name], *changes)) == [complaint]


def places(value: Any, path: str = "") -> Iterator[str]:
    """The path of each member and item within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in items:
        yield f"{path}{step}"
        yield from places(each, f"{path}{step}.")


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("natives", [True, False])
def test_whatever_stands_wherever_is_judged(name: str, natives: bool) -> None:
    """A window that is wrong in a way of its own is a complaint, and no error of the judge's."""
    for path in places(EXAMPLES[name]):
        for junk in (*JUNK, GONE, {"type": "unheard_of"}, {"role": "assistant", "content": []}):
            assert isinstance(broken(name, edited(EXAMPLES[name], (path, junk)), natives=natives), list)


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_window_without_messages_is_let_pass(name: str) -> None:
    member = {"openai-responses": "input", "gemini": "contents"}.get(name, "messages")

    assert broken(name, {member: []}) == []


def system(text: str = "x") -> dict[str, Any]:
    return {"role": "system", "content": text}


SERVER_TOOL = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}}
TEXT = {"type": "text", "text": "x"}
THINKING = {"type": "thinking", "thinking": "x", "signature": "x"}

# What a provider gave itself may be as it is, and what of that may not.
NATIVES: list[tuple[str, list[str], list[Edit]]] = [
    ("openai-chat", [], [("messages.10.annotations", []), ("messages.10.refusal", None)]),
    ("openai-chat", [], [("messages.10", {"role": "assistant", "content": None, "audio": {"id": "audio_1"}})]),
    ("openai-chat", [], [("messages.6.tool_calls.0", {"id": "call_1", "type": "custom", "custom": {"name": "f"}})]),
    ("openai-responses", [], [("input.2", {"type": "web_search_call", "id": "ws_1", "status": "completed"})]),
    ("openai-responses", [], [("input.5", Before({"role": "assistant", "content": "x"}))]),
    ("openai-responses", [], [("input.1", GONE)]),
    (
        "openai-responses",
        ["data.input[2]: has a cache mark"],
        [("input.2", {"type": "web_search_call", "prompt_cache_breakpoint": {}})],
    ),
    ("anthropic", [], [("messages.1.content.1", SERVER_TOOL), ("messages.1.content.2.caller", {"type": "direct"})]),
    ("anthropic", [], [("messages.1.content.3", Before(TEXT)), ("messages.1.content.3", Before(THINKING))]),
    ("anthropic", ["data.messages[0]: may have no id"], [("messages.0.id", "x")]),
    ("anthropic", ["data.messages[1].content[1]: has a cache mark"], [("messages.1.content.1.cache_control", {})]),
    (
        "anthropic",
        ["data.messages[1].content[1]: has a cache mark"],
        [("messages.1.content.1", {**SERVER_TOOL, "cache_control": {}})],
    ),
    ("anthropic", [], [("messages.4", Before(system()))]),
    ("anthropic", [], [("messages.6", system())]),
    ("anthropic", ["data.messages[4].content: has no visible character"], [("messages.4", Before(system("")))]),
    ("anthropic", ["data.messages[0]: is a system message behind no user turn"], [("messages.0", system())]),
    (
        "anthropic",
        ["data.messages[7]: is a system message behind no user turn"],
        [("messages.7", Before(system()))],
    ),
    (
        "anthropic",
        ["data.messages[3]: is a system message before no assistant turn"],
        [("messages.3", Before(system()))],
    ),
    ("gemini", [], [("contents.6.parts.0", {"executableCode": {"code": "1"}}), ("contents.6.parts.0.x", 1)]),
    ("gemini", ["data.contents[6].parts[1]: holds 0 things"], [("contents.6.parts.1", {"thoughtSignature": "c2ln"})]),
    ("ai-sdk", [], [("messages.3.content.0", Before({"type": "tool-approval-response", "approvalId": "x"}))]),
    ("ai-sdk", [], [("messages.4", Before(system()))]),
    ("ai-sdk", [], [("messages.0.content.0", {"type": "image", "image": "https://example.com/a.png"})]),
]


@pytest.mark.parametrize(("name", "complaints", "changes"), NATIVES)
def test_natives_keep_what_is_their_own(name: str, complaints: list[str], changes: list[Edit]) -> None:
    assert broken(name, edited(EXAMPLES[name], *changes), natives=True) == complaints
    assert broken(name, edited(EXAMPLES[name], *changes)) != []


UNSEEN = ["", " ", "\n\t", "\u00a0", "\u200b\u2060\ufeff", "\u2800", "\u3164\uffa0", "\ufe0f", "\u00ad"]
DATA_URLS = ["data:,x", "data:image/png;base64,", "data:image/png;base64,***", "data:image/png,eA=="]


@pytest.mark.parametrize("text", UNSEEN)
def test_nothing_is_to_be_seen(text: str) -> None:
    assert not is_visible(text)


@pytest.mark.parametrize("text", [".", "é", "❤\ufe0f", " x ", "\u0301", "日", "😀"])
def test_something_is_to_be_seen(text: str) -> None:
    assert is_visible(text)


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("{}", None),
        (' {"a": "\\ud800\\u0000"} ', None),
        ('{"a": ' + "9" * 5_000 + "}", None),
        ("", "is no JSON text that can be read"),
        ("{} x", "is no JSON text that can be read"),
        ('{"a": -Infinity}', "is no JSON text that can be read"),
        ('{"a":' + "[" * 5_000 + "]" * 5_000 + "}", "is no JSON text that can be read"),
        ("[]", "is no JSON text of an object"),
    ],
)
def test_arguments_are_the_text_of_an_object(text: str, flaw: str | None) -> None:
    assert object_text(text) == flaw


@pytest.mark.parametrize("url", DATA_URLS)
def test_malformed_data_urls_are_found(url: str) -> None:
    assert data_url(url)
    assert media_data(url)
