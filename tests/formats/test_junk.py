"""What no provider ever gave: a member of a turn is missing or is something else. It is refused, or can be rendered."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from lib import errors, jsontext
from lib.batches import Batch
from lib.formats import conversion
from lib.models import ProviderAppend
from tests.formats.breaches.edits import GONE, edited
from tests.formats.examples import EXAMPLES
from tests.formats.histories import JUNK
from tests.formats.rules import ai_sdk, anthropic, gemini, openai_chat, openai_responses
from tests.formats.windowed import FORMATS, candidates, render, window

RULES = {
    "openai-chat": openai_chat.broken,
    "openai-responses": openai_responses.broken,
    "anthropic": anthropic.broken,
    "gemini": gemini.broken,
    "ai-sdk": ai_sdk.broken,
}

MEMBERS = {"openai-responses": "input", "gemini": "contents"}


def places(value: Any, path: str) -> Iterator[str]:
    """The path of each member and item within a value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, each in items:
        yield f"{path}.{step}"
        yield from places(each, f"{path}.{step}")


def parsed(name: str, turns: Any) -> Batch | None:
    """What an append of turns stores; None where it is refused."""
    text = json.dumps({"format": name, "messages": turns})
    try:
        return conversion.parse(ProviderAppend.model_validate(jsontext.parse(text)), text)
    except (ValidationError, errors.InvalidBody):
        return None


@pytest.mark.parametrize("name", FORMATS)
def test_is_refused_or_can_be_rendered_and_for_other_providers_rightly(name: str) -> None:
    member = MEMBERS.get(name, "messages")
    taken = 0
    for path in places(EXAMPLES[name][member], member):
        for junk in (*JUNK, GONE):
            batch = parsed(name, edited(EXAMPLES[name], (path, junk))[member])
            if batch is None:
                continue
            taken += 1
            messages = json.loads(batch.body)["messages"]
            natives = [message.pop("native") for message in messages]
            given = [(name, json.dumps(native)) if native else None for native in natives]
            for other in FORMATS:
                data, _ = render(window(candidates(messages, given, other), other, 1))
                assert other == name or RULES[other](data) == []
    assert taken
