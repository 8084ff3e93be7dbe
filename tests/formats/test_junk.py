"""What no provider ever gave: a member of a turn is missing or is something else. It is refused, or can be rendered."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from pydantic import ValidationError

from lib import errors
from tests.formats.breaches.edits import GONE, edited
from tests.formats.examples import EXAMPLES
from tests.formats.histories import JUNK, Message, histories
from tests.formats.rules import ai_sdk, anthropic, gemini, openai_chat, openai_responses
from tests.formats.windowed import FORMATS, TURNS, candidates, given_back, render, turns, window

RULES = {
    "openai-chat": openai_chat.broken,
    "openai-responses": openai_responses.broken,
    "anthropic": anthropic.broken,
    "gemini": gemini.broken,
    "ai-sdk": ai_sdk.broken,
}


def places(value: Any, path: str) -> Iterator[str]:
    """The path of each member and item within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in items:
        yield f"{path}.{step}"
        yield from places(each, f"{path}.{step}")


@pytest.mark.parametrize("name", FORMATS)
def test_is_refused_or_can_be_rendered_and_for_other_providers_rightly(name: str) -> None:
    taken = 0
    for path in places(turns(name, EXAMPLES[name]), TURNS.get(name, "messages")):
        for junk in (*JUNK, GONE):
            given = turns(name, edited(EXAMPLES[name], (path, junk)))
            try:
                rows = {other: given_back(name, given, other) for other in FORMATS}
            except (ValidationError, errors.InvalidBody):
                continue
            taken += 1
            for other in FORMATS:
                data, _ = render(window(rows[other], other, 1))
                assert other == name or RULES[other](data) == []
    assert taken


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=100, deadline=None)
@drawn(messages=histories())
def test_what_a_window_sends_is_none_and_comes_back_as_it_is(name: str, messages: list[Message]) -> None:
    """A window, appended as that provider would be sent it, needs no repair any more."""
    data, _ = render(window(candidates(messages), name, 1))
    if sent := turns(name, data):
        again, rendered = render(window(given_back(name, sent), name, 1))

        assert turns(name, again) == sent
        assert rendered.figures["repairs"] == []
