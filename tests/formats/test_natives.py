"""Whatever is appended in a provider's format is refused, with its place, or makes windows that each provider takes."""

import json
from itertools import permutations
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lib.batches import Batch
from lib.errors import InvalidBody
from tests.formats import vendors
from tests.formats.natives import broken, calls, natives
from tests.formats.test_hostile import RULES
from tests.formats.windowed import EXAMPLES, FORMATS, appended, render, stored, windows

HOSTILE = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


def exists(pointer: str, value: Any) -> bool:
    """Whether a pointer is to something in value, or to a member that an object or a list has not."""
    *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    for step in steps:
        value = value[int(step)] if isinstance(value, list) else value[step]
    return isinstance(value, dict) or (isinstance(value, list) and int(last) < len(value))


def taken(name: str, messages: list[Any]) -> Batch | None:
    """What is stored; None where that is refused, with places in what was sent."""
    try:
        return appended(name, messages)
    except InvalidBody as error:
        refused = error
    except ValidationError:
        # Of what is no list of objects, before any format looks at it.
        return None
    assert refused.places
    for place in refused.places:
        assert exists(place.pointer, {"messages": messages}), place
    return None


def made(batch: Batch) -> int:
    return sum(len(message.get("toolCalls") or ()) for message in json.loads(batch.body)["messages"])


@pytest.mark.parametrize("name", FORMATS)
@HOSTILE
@given(data=st.data())
def test_what_was_appended_is_taken_by_its_own_provider(name: str, data: st.DataObject) -> None:
    messages = data.draw(natives(name))
    if (batch := taken(name, messages)) is None:
        return

    assert made(batch) == calls(name, messages)
    for shown in windows(stored(batch, name, name), name):
        assert RULES[name](render(shown)[0], natives=True) == []


@pytest.mark.parametrize(("came", "name"), [*permutations(FORMATS, 2)])
@HOSTILE
@given(data=st.data())
def test_what_was_appended_is_taken_by_every_other_provider(came: str, name: str, data: st.DataObject) -> None:
    if (batch := taken(came, data.draw(natives(came) | broken(came)))) is None:
        return

    for shown in windows(stored(batch, came, name), name):
        sent, _ = render(shown)
        assert RULES[name](sent) == []
        assert vendors.wrong(name, sent) == []


@pytest.mark.parametrize("name", FORMATS)
@HOSTILE
@given(data=st.data())
def test_whatever_is_wrong_is_refused_or_rendered(name: str, data: st.DataObject) -> None:
    messages = data.draw(broken(name))
    if (batch := taken(name, messages)) is None:
        return

    assert made(batch) == calls(name, messages)
    for shown in windows(stored(batch, name, name), name):
        assert render(shown)[0]
