"""Forty transcripts of a real agent in every format: what the provider takes, and repaired no more than it needs.

Their shapes are real: the order of roles, calls and results, the tokens of each message, and which ids were used again,
in 11 of them; texts are made up. A budget decides where a window opens, so every opening is every budget.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest

from lib.runs import CLEARED, Candidate
from lib.windows import Window
from tests.formats import vendors
from tests.formats.histories import Message
from tests.formats.rules import ai_sdk, anthropic, gemini, openai_chat, openai_responses
from tests.formats.windowed import FORMATS, candidates, render, windows

SHAPES = json.loads((Path(__file__).parent.parent / "data" / "transcript-shapes.json").read_text())

RULES = {
    "openai-chat": openai_chat.broken,
    "openai-responses": openai_responses.broken,
    "anthropic": anthropic.broken,
    "gemini": gemini.broken,
    "ai-sdk": ai_sdk.broken,
}

WORDS = ("flight", "Zürich", "I can help", "12:30", '"seat"', "\n", "€", "reservation", "日本", "confirmed.")
TOOLS = ("get_reservation_details", "search_direct_flight", "think", "calculate", "transfer_to_human_agents")

# Each so many calls have a text beside them, as 20 of the 254 have.
SPOKEN = 12


def text(tokens: int) -> str:
    return " ".join(islice(cycle(WORDS), tokens))


def stored_id(name: str) -> str:
    """An id as OpenAI makes them, of 29 characters; the same for the same name."""
    return f"call_{hashlib.sha256(name.encode()).hexdigest()[:24]}"


def transcript(shape: Sequence[Any]) -> Iterator[Message]:
    """The messages of a transcript; the roles of those without calls follow from those before."""
    last = ""
    for place, (tokens, *rest) in enumerate(shape):
        ids, answered = rest or ([], None)
        if answered:
            last = "tool"
            yield {"role": last, "toolCallId": stored_id(answered), "toolName": TOOLS[0], "content": text(tokens)}
        elif ids:
            last = "assistant"
            calls = [{"id": stored_id(each), "type": "function", "function": function(place, tokens)} for each in ids]
            yield {"role": last, "content": None if place % SPOKEN else text(5), "toolCalls": calls}
        else:
            last = "system" if not last else "user" if last in {"system", "assistant"} else "assistant"
            yield {"role": last, "content": text(tokens)}


def function(place: int, tokens: int) -> dict[str, str]:
    return {"name": TOOLS[place % len(TOOLS)], "arguments": json.dumps({"query": text(tokens)}, ensure_ascii=False)}


TRANSCRIPTS = [list(transcript(shape)) for shape in SHAPES]


def said(shown: Window) -> list[tuple[Candidate, list[Any]]]:
    return [(row, json.loads(row.json or "")) for row in shown.messages]


def reused(shown: Window) -> list[int]:
    """The versions of calls whose id a call before them in the window has."""
    made = [(row.version, call_id) for row in shown.messages for call_id in row.call_ids or ()]
    ids = [call_id for _, call_id in made]
    return [version for place, (version, call_id) in enumerate(made) if call_id in ids[:place]]


def expected(name: str, shown: Window) -> Counter[tuple[int | None, str]]:
    """The repairs that a format needs of a window, and no others."""
    found: Counter[tuple[int | None, str]] = Counter()
    if name not in {"anthropic", "gemini"}:
        return found
    spoken = [row.version for row, (role, *_) in said(shown) if role != "system"]
    roles = [role for _, (role, *_) in said(shown) if role != "system"]
    if roles[0] == "assistant":
        found[spoken[0], "user_added"] += 1
    if name == "anthropic":
        found.update((version, "id_changed") for version in reused(shown))
    else:
        found.update((row.version, "signature_skipped") for row in shown.messages if row.call_ids)
    return found


def ids(data: Any) -> list[str]:
    """The ids of a request's calls, wherever they stand."""
    if isinstance(data, list):
        return [each for item in data for each in ids(item)]
    if not isinstance(data, dict):
        return []
    kind = data.get("type")
    if kind in {"function_call", "tool_use", "tool-call", "function"}:
        return [data.get("call_id") or data.get("id") or data["toolCallId"]]
    return [data["functionCall"]["id"]] if "functionCall" in data else ids(list(data.values()))


def test_eleven_use_an_id_again() -> None:
    rows = [candidates(messages) for messages in TRANSCRIPTS]

    assert len(rows) == 40
    assert len([each for each in rows if reused(Window(each, {}, len(each), 0))]) == 11


@pytest.mark.parametrize("name", FORMATS)
def test_every_window_is_taken_and_repaired_no_more_than_it_needs(name: str) -> None:
    for messages in TRANSCRIPTS:
        for shown in windows(candidates(messages), name):
            data, rendered = render(shown)
            assert RULES[name](data) == []
            repairs = rendered.figures["repairs"]
            assert Counter((repair["version"], repair["code"]) for repair in repairs) == expected(name, shown)
            made = [call_id for row in shown.messages for call_id in row.call_ids or ()]
            if name == "anthropic":
                assert len(set(ids(data))) == len(made)
            else:
                assert ids(data) == made


@pytest.mark.parametrize("name", FORMATS)
def test_every_window_is_of_the_vendors_types(name: str) -> None:
    """Of each transcript the whole, with results as they are and cleared, and a window of every second."""
    for messages in TRANSCRIPTS:
        rows = candidates(messages)
        cleared = [
            row._replace(json=json.dumps(["tool", CLEARED, None, False, None])) if row.tool_call_id else row
            for row in rows
        ]
        for shown in [*islice(windows(rows, name), 0, None, 2), next(windows(cleared, name))]:
            data, _ = render(shown)
            assert vendors.wrong(name, data) == []
            assert RULES[name](data) == []
