"""Windows of hostile histories are what the AI SDK itself takes, in all of its versions."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.formats.ai_sdk_node import Checker
from tests.formats.histories import Message, histories
from tests.formats.natives import natives
from tests.formats.test_natives import taken
from tests.formats.windowed import EXAMPLES, candidates, render, stored, windows

HOSTILE = settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))


@HOSTILE
@given(messages=histories())
def test_of_our_own_messages_are_taken(checker: Checker, messages: list[Message]) -> None:
    for shown in windows(candidates(messages), "ai-sdk"):
        data, _ = render(shown)
        assert checker.refused(data) == {}


@HOSTILE
@given(data=st.data())
def test_of_what_other_providers_gave_are_taken(checker: Checker, data: st.DataObject) -> None:
    came = data.draw(st.sampled_from(["openai-chat", "openai-responses", "anthropic", "gemini"]))
    if batch := taken(came, data.draw(natives(came))):
        for shown in windows(stored(batch, came, "ai-sdk"), "ai-sdk"):
            sent, _ = render(shown)
            assert checker.refused(sent) == {}
