"""The vendors' own types, held against examples: all of an example is read, to the innermost member."""

from copy import deepcopy
from typing import Any

import pytest

from tests.formats.examples import EXAMPLES, PNG
from tests.formats.vendors import wrong

NATIVES = ("anthropic", "gemini", "openai-chat", "openai-responses")

DEEP = [
    ("openai-chat", ["messages", 1, "content", 1, "image_url"]),
    ("openai-chat", ["messages", 2, "tool_calls", 0, "function"]),
    ("openai-chat", ["messages", 4, "content", 0]),
    ("openai-responses", ["input", 0, "content", 0]),
    ("openai-responses", ["input", 3]),
    ("openai-responses", ["input", 7, "output", 0]),
    ("anthropic", ["system", 0]),
    ("anthropic", ["messages", 1, "content", 0]),
    ("anthropic", ["messages", 5, "content", 0, "content", 1, "source"]),
    ("gemini", ["systemInstruction", "parts", 0]),
    ("gemini", ["contents", 2, "parts", 1, "functionResponse"]),
]


@pytest.mark.parametrize("name", EXAMPLES)
def test_nothing_is_wrong_with_the_example(name: str) -> None:
    assert wrong(name, EXAMPLES[name]) == []


@pytest.mark.parametrize("name", NATIVES)
def test_nothing_stands_beside_the_members_of_a_request(name: str) -> None:
    assert wrong(name, {**EXAMPLES[name], "x": 1}) == ["data: may have no x"]


@pytest.mark.parametrize(("name", "path"), DEEP)
def test_an_unknown_member_is_found_at_any_depth(name: str, path: list[Any]) -> None:
    data = deepcopy(EXAMPLES[name])
    holder = data
    for step in path:
        holder = holder[step]
    holder["zzz"] = 1

    assert any("zzz" in flaw for flaw in wrong(name, data))


@pytest.mark.parametrize(("name", "path"), DEEP)
def test_a_member_that_is_wrong_is_found_at_any_depth(name: str, path: list[Any]) -> None:
    data = deepcopy(EXAMPLES[name])
    holder = data
    for step in path:
        holder = holder[step]
    holder.update(dict.fromkeys(holder, 5))

    assert wrong(name, data)


def test_bytes_are_base64() -> None:
    contents = [{"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": f"data:,{PNG}"}}]}]

    assert len(wrong("gemini", {"contents": contents})) == 1


def test_names_are_spelt_as_in_json() -> None:
    contents = [{"role": "user", "parts": [{"inline_data": {"mime_type": "image/png", "data": PNG}}]}]

    assert wrong("gemini", {"contents": contents}) == ["data.contents[0]: has names that are not JSON's"]


def test_instructions_and_system_are_texts() -> None:
    assert wrong("openai-responses", {"instructions": 5, "input": []}) == ["data.instructions: is no text"]
    assert wrong("anthropic", {"system": "x", "messages": []}) == []
