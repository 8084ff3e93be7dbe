"""python -m scripts.drawing: the drawing in docs/ is what it draws, of windows that the service would send."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import httpx
import pytest

from scripts import drawing, load, replay

MAX_BYTES = 60_000

QUERIES: dict[drawing.Policy, dict[str, Any]] = {
    drawing.SLIDING: {},
    drawing.STEPPED: {"keepPreamble": "true", "keepRequest": "true", "step": 1000, "clearToolResults": 1000},
}


@pytest.fixture(scope="module")
def stored(api: httpx.Client) -> str:
    """The path of a context that holds the history which is drawn."""
    path: str = api.post("/api/v1/contexts", json={}).headers["location"]
    transcripts = [transcript.messages for transcript in load.transcripts(replay.TRANSCRIPTS)]
    for place, messages in enumerate(transcripts):
        for body in load.batches([message for message in messages if place == 0 or message["role"] != "system"]):
            answer = api.post(f"{path}/messages", json=json.loads(body))
            assert answer.status_code == 201, answer.text
    return path


class TestDrawing:
    def test_is_what_the_command_draws(self) -> None:
        assert drawing.FILE.read_text() == drawing.draw()

    def test_is_small_and_has_a_title_and_a_description_and_no_script(self) -> None:
        text = Path(drawing.FILE).read_text()
        names = [element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()]

        assert len(text.encode()) <= MAX_BYTES
        assert names[:3] == ["svg", "title", "desc"]
        assert set(names) == {"svg", "title", "desc", "style", "rect", "text", "path"}

    @pytest.mark.parametrize("policy", QUERIES, ids=["sliding", "stepped"])
    def test_shows_the_windows_that_the_service_sends(
        self, api: httpx.Client, stored: str, policy: drawing.Policy
    ) -> None:
        thread = drawing.history()
        drawn = drawing.windows(thread, policy)

        for call, window in zip(thread.calls, drawn, strict=True):
            query = {"budget": drawing.BUDGET, "at": call, **QUERIES[policy]}
            answer = api.get(f"{stored}/window", params=query).json()
            sent = [(message["version"], message["tokenCount"]) for message in answer["data"]]
            assert sent == [(message.version, message.tokens) for message in window], call
            assert answer["clearedCount"] == sum(message.cleared for message in window)
