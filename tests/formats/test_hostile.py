"""Windows of hostile histories are what each provider takes: by its rules, and by its own types."""

import pytest
from hypothesis import given, settings

from tests.formats import vendors
from tests.formats.histories import Message, histories
from tests.formats.rules import ai_sdk, anthropic, gemini, openai_chat, openai_responses
from tests.formats.windowed import EXAMPLES, FORMATS, candidates, render, windows

RULES = {
    "openai-chat": openai_chat.broken,
    "openai-responses": openai_responses.broken,
    "anthropic": anthropic.broken,
    "gemini": gemini.broken,
    "ai-sdk": ai_sdk.broken,
}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=2 * EXAMPLES, deadline=None)
@given(messages=histories())
def test_a_window_is_taken_whatever_the_history(name: str, messages: list[Message]) -> None:
    rows = candidates(messages)
    for shown in windows(rows, name):
        data, _ = render(shown)
        assert RULES[name](data) == []
        assert vendors.wrong(name, data) == []
