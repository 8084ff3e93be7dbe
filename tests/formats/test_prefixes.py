"""Windows with one opening begin alike in every format, block by block: a provider's prompt cache holds.

The earlier window's blocks are what the later one's begin with, up to the first call that nothing had answered, and up
to the last turn where that may still grow: what comes behind either can change both.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.formats.history import NO_RESULT
from lib.runs import CLEARED, Candidate
from lib.windows import Window
from tests.formats.examples import EXAMPLES
from tests.formats.histories import Message, histories
from tests.formats.windowed import FORMATS, candidates, given_back, render, turns, window

CUSTOM = {"name": "f", "input": "x"}
SEARCH = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}

# A role and what it says: one text, one call, one result, one other part.
type Block = tuple[str, str]

# Where a format has what a window begins with, and the rest.
SYSTEMS = {"openai-responses": "instructions", "anthropic": "system", "gemini": "systemInstruction", "ai-sdk": "system"}

# Members of a message or an item that stand for its role, or for its text.
PLAIN = ("role", "content", "parts", "tool_calls")


def blocks(name: str, data: dict[str, Any]) -> list[Block]:
    """What a window says, as one list of blocks, wherever one turn ends and another of its role begins."""
    found: list[Block] = [("system", _text(part)) for part in _said(data.get(SYSTEMS.get(name, "")))]
    for turn in turns(name, data):
        role = turn.get("role") or turn["type"]
        beside = {member: value for member, value in turn.items() if member not in PLAIN}
        said = _said(turn.get("content", turn.get("parts")))
        # A result of chat's has its call's id beside its content; an item of responses may be all beside.
        found += [(role, _text({**part, **beside})) for part in said]
        if beside and not said:
            found.append((role, _text(beside)))
        found += [(role, _text(call)) for call in turn.get("tool_calls") or ()]
    return found


def _said(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, dict):  # Gemini's system instruction
        content = content["parts"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _text(part: dict[str, Any]) -> str:
    return json.dumps(part, sort_keys=True, ensure_ascii=False)


def settled(name: str, found: Sequence[Block]) -> list[Block]:
    """The blocks that no later message can change."""
    answered = list(takewhile(lambda block: NO_RESULT not in block[1], found))
    last = found[-1][0] if found else ""
    # Anthropic's last turn loses the white space at its end; texts of the system alone are one text, which may grow.
    if len(answered) == len(found) and (name == "anthropic" or last == "system"):
        while answered and answered[-1][0] == last:
            answered.pop()
    return answered


def ids(name: str, data: dict[str, Any]) -> list[str]:
    """The ids of a window's calls, in order."""
    said = turns(name, data)
    if name == "openai-chat":
        return [call["id"] for turn in said for call in turn.get("tool_calls") or ()]
    if name == "openai-responses":
        return [item["call_id"] for item in said if item.get("type") == "function_call"]
    parts = [part for turn in said for part in _said(turn.get("content", turn.get("parts")))]
    if name == "anthropic":
        return [part["id"] for part in parts if part["type"] == "tool_use"]
    if name == "gemini":
        return [part["functionCall"].get("id", "") for part in parts if "functionCall" in part]
    return [part["toolCallId"] for part in parts if part["type"] == "tool-call"]


def summary(role: str) -> Candidate:
    text = json.dumps([role, "What was said before.", None, False, None])
    return Candidate(0, True, 1, False, None, None, None, 1, None, text, None)


def heads(rows: Sequence[Candidate], opening: int) -> Iterator[list[Candidate]]:
    """The heads that a window with this opening may have: none, the first messages, a summary, the request."""
    before = [row for row in rows if row.version < opening]
    preamble = list(takewhile(lambda row: json.loads(row.json or "")[0] == "system", before))
    request = [row for row in before if row.is_user][-1:]
    yield []
    if preamble or request:
        yield [*preamble, *[row for row in request if row not in preamble]]
    if before:
        yield from ([*preamble, summary(role), *request] for role in ("user", "assistant", "system"))


def growing(rows: Sequence[Candidate], name: str) -> Iterator[list[Window]]:
    """For each opening and head the windows of each version from then on."""
    for opening in rows:
        if opening.call_version is None:
            for head in heads(rows, opening.version):
                yield [
                    window(rows[:version], name, opening.version, head)
                    for version in range(opening.version, len(rows) + 1)
                ]


def cleared(rows: Sequence[Candidate], versions: Sequence[int]) -> list[Candidate]:
    """The rows, of which the results of these versions are cleared; between two edges it is always the same ones."""
    return [
        row._replace(json=json.dumps(["tool", CLEARED, None, json.loads(row.json or "")[3], None]))
        if row.call_version and row.version in versions
        else row
        for row in rows
    ]


def check(rows: Sequence[Candidate], name: str) -> None:
    for versions in growing(rows, name):
        datas = [render(shown)[0] for shown in versions]
        latest = blocks(name, datas[-1])
        for data in datas:
            kept = settled(name, blocks(name, data))
            assert latest[: len(kept)] == kept
            made = ids(name, data)
            assert ids(name, datas[-1])[: len(made)] == made


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=60, deadline=None)
@given(messages=histories(), versions=st.lists(st.integers(1, 12), max_size=3))
def test_a_later_window_begins_as_those_before_it(name: str, messages: list[Message], versions: list[int]) -> None:
    check(cleared(candidates(messages), versions), name)


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=50, deadline=None)
@given(messages=histories())
def test_so_does_one_of_what_the_format_gave(name: str, messages: list[Message]) -> None:
    rows = candidates(messages)
    data, _ = render(window(rows, name, 1))
    if given := turns(name, data):
        check(given_back(name, given), name)


# What else a format has, where it may break what stands around it. Not the call of a computer: as no screenshot can be
# made up, it is in no window before it is answered.
ODD: dict[str, list[dict[str, Any]]] = {
    "openai-chat": [
        {"role": "assistant", "content": "x", "refusal": None, "reasoning_content": "Hm.", "annotations": []},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "a", "type": "custom", "custom": CUSTOM}]},
        {"role": "tool", "tool_call_id": "a", "content": "x"},
    ],
    "openai-responses": [
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "reasoning", "id": "rs_2", "summary": []},
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
        {"type": "shell_call", "call_id": "a", "action": {"commands": ["ls"]}},
        {"type": "shell_call_output", "call_id": "a", "output": []},
    ],
    "anthropic": [
        {"role": "system", "content": "Be brief."},
        {"role": "system", "content": [{"type": "text", "text": "Be brief. "}]},
        {"role": "assistant", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]},
        {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}, {"type": "text", "text": "x "}]},
        {"role": "assistant", "content": [{"type": "text", "text": "x"}, SEARCH]},
        {"role": "assistant", "content": [{"type": "web_search_tool_result", "tool_use_id": "s", "content": []}]},
        {"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}}]},
    ],
    "gemini": [
        {"role": "model", "parts": [{"functionCall": {"name": "f", "id": "a"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "id": "a", "response": {}}}]},
        {"role": "model", "parts": [{"executableCode": {"code": "1"}}, {"text": ""}]},
        {"role": "model", "parts": []},
    ],
    "ai-sdk": [
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": [{"type": "reasoning", "text": "Hm."}]},
        {"role": "assistant", "content": []},
    ],
}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_so_does_one_of_turns_of_the_formats_own_in_any_order(name: str, data: st.DataObject) -> None:
    pool = [*turns(name, EXAMPLES[name]), *ODD[name]]
    given_turns = data.draw(st.lists(st.sampled_from(pool), min_size=1, max_size=8))
    versions = data.draw(st.lists(st.integers(1, 12), max_size=3))
    check(cleared(given_back(name, given_turns), versions), name)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("versions", [[], range(1, 20)])
def test_so_does_one_of_a_history_with_all_that_the_format_has(name: str, versions: Sequence[int]) -> None:
    check(cleared(given_back(name, turns(name, EXAMPLES[name])), versions), name)


def turn(call_id: str) -> list[Message]:
    call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    return [
        {"role": "assistant", "toolCalls": [call]},
        {"role": "tool", "toolCallId": call_id, "content": "x"},
    ]


@pytest.mark.parametrize("call_id", ["call_1", "call|1", "x" * 65])
def test_a_name_for_an_id_says_nothing_of_where_its_call_stands(call_id: str) -> None:
    """A later use of an id is named by its version: another opening, before it, changes nothing."""
    rows = candidates([*turn(call_id), *turn(call_id), *turn(call_id), *turn(call_id)])
    whole, second, third = (ids("anthropic", render(window(rows, "anthropic", first))[0]) for first in (1, 3, 5))

    assert len(set(whole)) == 4
    assert whole[2:] == second[1:]
    assert whole[3:] == third[1:]
    assert whole[0] == second[0] == third[0]


@pytest.mark.parametrize("name", FORMATS)
def test_ids_that_the_format_takes_are_what_they_were(name: str) -> None:
    rows = candidates([*turn("call_1"), *turn("call_2"), *turn("call_3")])

    assert [ids(name, render(window(rows, name, first))[0]) for first in (1, 3, 5)] == [
        ["call_1", "call_2", "call_3"],
        ["call_2", "call_3"],
        ["call_3"],
    ]
