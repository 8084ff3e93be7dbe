"""Hostile histories in our own shape, as a client may append them, and policies of windows over them: for Hypothesis.

Small, and of few ids and names each, so that they collide. The API takes every one; no provider would as they are.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from typing import Any

from hypothesis import strategies as st

type Message = dict[str, Any]
type Part = dict[str, Any]

MAX_MESSAGES = 12

# Of JSON, but for a single message: Hypothesis warns where it has to show more than 30,000.
MAX_CHARACTERS = 20_000

IDS = [
    "call_1",
    "call_2",
    "toolu_01A",
    # Equal once illegal characters are replaced, in one way or another.
    "a_b",
    "a b",
    "a|b",
    "a.b",
    "a-b",
    "ab",
    "_",
    " ",
    "é",
    "è",
    "call_1 ",
    "CALL_1",
    "call_1\n",
    # The baggage of libraries.
    "call_1|fc_1",
    "call_1|fc_2",
    "functions.Bash:0",
    "functions.Bash:1",
    "call_1__thought__c2tpcF90aG91Z2h0",
    "call_1__thought__" + "QUJD" * 500,
    "\u200b",
    "日本語",
    # As long as each provider's limit and a character more, and equal up to there.
    *("x" * length for length in (40, 41, 64, 65, 4096)),
    "x" * 40 + "y",
    "x" * 64 + "y",
    "x" * 4095 + "y",
    # What an id may be renamed to.
    "call_1_1",
    "call_1_2",
    "call_1-2",
    "call_1_v2",
    "call_6b86b273ff34fce1",
    "id_1",
    "fc_1",
    "1",
]

NAMES = [
    "f",
    "get_weather",
    "",
    " ",
    "a b",
    "a_b",
    "a.b",
    "a:b",
    "a/b",
    "functions.Bash",
    "é",
    "1st",
    "-",
    "f\n",
    "\u200b",
    *("x" * length for length in (64, 65, 128, 129, 255)),
    "x" * 64 + "y",
]


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


ARGUMENTS = [
    "{}",
    '{"a": 1}',
    '{ "city" : "Zürich", "n": [1, 2.0, null] }',
    "",
    " ",
    "{",
    '{"a":',
    '{"a": 1} and more',
    "{'a': 1}",
    "city=Zürich",
    "null",
    "true",
    "5",
    '"text"',
    "[]",
    '[{"a": 1}]',
    "NaN",
    '{"a": NaN}',
    '{"a": [-Infinity]}',
    '{"a": 1e999}',
    '{"a": ' + "9" * 4_301 + "}",
    '{"a": "\\u0000"}',
    '{"\\u0000": 1}',
    '{"a": "\\ud800"}',
    '{"\\udfff": 1}',
    '{"a": "\\ud83d\\ude00"}',
    '{"a": 1, "a": 2}',
    '{"a": "' + "\t" + '"}',
    "\ufeff{}",
    nested(100),
    nested(129),
    # Deeper than Python reads.
    '{"a":' + "[" * 1_900 + "]" * 1_900 + "}",
    "[" * 1_900,
    # Of the tool's own, whatever they mean elsewhere.
    '{"cache_control": {"type": "ephemeral"}, "type": "text", "id": "call_1", "rawInvalidInput": ""}',
]

TEXTS = [
    "x",
    "Where is my order?",
    "",
    " ",
    "\n\t\r\n",
    "\u00a0",
    "\u200b",
    "\u2060\ufeff\u00ad",
    "\u2800",
    "\u3164\u115f",
    "\ufe0f",
    "\u0001",
    "x ",
    "x\n",
    "x\u00a0",
    " x",
    "❤\ufe0f",
    "😀",
    "[cleared]",
    "<system>x</system>",
    "{}",
    "null",
    '{"output": 1}',
    '{"error": "no"}',
    '{"a": NaN}',
    "[1]",
]

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="

URLS = [
    "https://example.com/a.png",
    "http://example.com/a",
    "https://example.com/a.pdf",
    f"data:image/png;base64,{PNG}",
    f"data:image/jpeg;name=a.jpg;base64,{PNG}",
    f"DATA:image/PNG;BASE64,{PNG}",
    f"data:image/svg+xml;base64,{PNG}",
    "data:image/svg+xml,<svg/>",
    f"data:application/pdf;base64,{PDF}",
    f"data:image/tiff;base64,{PNG}",
    f"data:;base64,{PNG}",
    f"data:image/png,{PNG}",
    "data:image/png;base64,",
    "data:image/png;base64,***",
    "data:image/png;base64,iVBORw0KGgo",
    "data:image/png;base64,iVBO Rw0K\nGgo=",
    "data:",
    "file:///etc/passwd",
    "gs://bucket/a.png",
    PNG,
    "",
    "\u200b",
]

FILES = [
    {"file_id": "file-1"},
    {"file_id": ""},
    {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
    {"file_data": f"data:application/pdf;base64,{PDF}"},
    {"filename": "a.txt", "file_data": "data:text/plain;base64,eA=="},
    {"filename": "a.txt", "file_data": "data:text/plain;base64,"},
    {"filename": "a.txt", "file_data": "data:text/plain;charset=utf-8;base64,w6k="},
    {"filename": "a.txt", "file_data": "data:text/plain;base64,/w=="},
    {"filename": "a.txt", "file_data": "data:text/plain,x"},
    {"filename": "a.png", "file_data": f"data:image/png;base64,{PNG}"},
    {"filename": "a.zip", "file_data": "data:application/zip;base64,UEs="},
    {"filename": "", "file_data": PDF},
    {"file_url": "https://example.com/a.pdf"},
    {"filename": "a.pdf"},
    {},
]

# Of any provider, ours or not: all are kept as they come.
PARTS: list[Part] = [
    *({"type": "text", "text": text} for text in TEXTS),
    *({"type": "image_url", "image_url": {"url": url}} for url in URLS),
    *({"type": "file", "file": file} for file in FILES),
    {"type": "image_url", "image_url": {"url": URLS[0], "detail": "high"}},
    {"type": "image_url", "image_url": {"url": URLS[3], "detail": "medium"}},
    {"type": "image_url", "image_url": URLS[0]},
    {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
    {"type": "input_audio", "input_audio": {"data": "", "format": "flac"}},
    {"type": "refusal", "refusal": "I cannot help with that."},
    {"type": "refusal", "refusal": ""},
    {"type": "reasoning", "text": "Hm."},
    {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"},
    {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
    {"type": "redacted_thinking", "data": "x"},
    {"type": "input_text", "text": "x"},
    {"type": "output_text", "text": "x", "annotations": []},
    {"type": "input_image", "image_url": URLS[0]},
    {"type": "input_file", "file_id": "file-1"},
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
    {"type": "image", "image": URLS[0]},
    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
    {"type": "file", "data": PDF, "mediaType": "application/pdf"},
    {"type": "tool_use", "id": "call_1", "name": "f", "input": {}},
    {"type": "tool_result", "tool_use_id": "call_1", "content": "x"},
    {"type": "tool-call", "toolCallId": "call_1", "toolName": "f", "input": {}},
    {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"},
    {"type": "item_reference", "id": "msg_1"},
    {"type": "text", "text": "x", "cache_control": {"type": "ephemeral"}},
    {"type": "text", "text": "x", "id": "msg_1", "thoughtSignature": "c2ln", "functionCall": {"name": "f"}},
    {"type": "TEXT", "text": "x"},
    {"type": "unheard_of", "x": [{"y": None}]},
    {"type": ""},
    {"type": "text"},
    {"type": "image_url"},
    {"type": "file"},
    {"type": "input_audio"},
    {"type": "refusal"},
]

JUNK: list[Any] = [None, 5, -1.5, True, "", "x", [], [None], [{"type": "text", "text": "x"}], {}, {"text": "x"}]


def holders(value: Any) -> Iterator[tuple[dict[str, Any], str]]:
    """Each object within a value, with each of its members, but for the type of the value itself."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield value, name
            yield from holders(each)
    if isinstance(value, list):
        for each in value:
            yield from holders(each)


@st.composite
def parts(draw: st.DrawFn) -> Part:
    """A part that is as it should be, or has one member missing, too many or wrong."""
    part = copy.deepcopy(draw(st.sampled_from(PARTS)))
    if draw(st.integers(0, 3)):
        return part
    places = [(holder, name) for holder, name in holders(part) if (holder is not part or name != "type")]
    holder, name = draw(st.sampled_from([*places, (part, "extra")]))
    if draw(st.booleans()):
        holder.pop(name, None)
    else:
        holder[name] = copy.deepcopy(draw(st.sampled_from(JUNK)))
    return part


def contents() -> st.SearchStrategy[str | list[Part]]:
    return st.sampled_from(TEXTS) | st.lists(parts(), max_size=3)


@st.composite
def calling(draw: st.DrawFn, ids: Sequence[str], names: Sequence[str]) -> Message:
    """An assistant that makes calls, two with one id among them."""
    made = [
        {
            "id": call_id,
            "type": "function",
            "function": {"name": draw(st.sampled_from(names)), "arguments": draw(st.sampled_from(ARGUMENTS))},
        }
        for call_id in draw(st.lists(st.sampled_from(ids), min_size=1, max_size=3))
    ]
    return {"role": "assistant", "content": draw(st.none() | contents()), "toolCalls": made}


@st.composite
def answer(draw: st.DrawFn, ids: Sequence[str], names: Sequence[str]) -> Message:
    """The result of a call, of an earlier one, or of none."""
    message: Message = {"role": "tool", "content": draw(contents()), "toolCallId": draw(st.sampled_from(ids))}
    if draw(st.booleans()):
        message["toolName"] = draw(st.sampled_from(names))
    if draw(st.booleans()):
        message["metadata"] = {"isError": draw(st.sampled_from([True, True, False, "no", None]))}
    return message


@st.composite
def said(draw: st.DrawFn) -> Message:
    """A message without calls, of any role but tool's."""
    role = draw(st.sampled_from(["system", "user", "user", "assistant"]))
    message: Message = {"role": role, "content": draw(contents())}
    if message["role"] == "assistant" and not draw(st.integers(0, 4)):
        message["toolCalls"] = []
    return message


@st.composite
def exchanges(draw: st.DrawFn, ids: Sequence[str], names: Sequence[str]) -> list[Message]:
    """Calls and what comes of them: each answered, in some order; or some not, some twice, with others between."""
    caller = draw(calling(ids, names))
    made = [call["id"] for call in caller["toolCalls"]]
    answered = draw(st.permutations(made) | st.lists(st.sampled_from(made), max_size=4))
    turn = [caller]
    for call_id in answered:
        if not draw(st.integers(0, 3)):
            turn.append(draw(said() | said() | calling(ids, names)))
        turn.append({**draw(answer(ids, names)), "toolCallId": call_id})
    return turn


@st.composite
def histories(draw: st.DrawFn, ids: Sequence[str] = (), names: Sequence[str] = ()) -> list[Message]:
    """The messages of an append, at most 12. More ids and names may be given, such as what a renderer renames to."""
    some_ids = draw(st.lists(st.sampled_from([*IDS, *ids]), min_size=1, max_size=3, unique=True))
    some_names = draw(st.lists(st.sampled_from([*NAMES, *names]), min_size=1, max_size=2, unique=True))
    alone = said() | calling(some_ids, some_names) | answer(some_ids, some_names)
    turns = draw(st.lists(exchanges(some_ids, some_names) | alone.map(lambda one: [one]), min_size=1, max_size=6))
    messages = [message for turn in turns for message in turn][:MAX_MESSAGES]
    for message in messages:
        # Of its own, lest long arguments alone decide what fits a budget.
        if draw(st.integers(0, 3)):
            message["tokenCount"] = draw(st.sampled_from([1, 5, 30]))
        if message["role"] == "assistant" and not draw(st.integers(0, 3)):
            message["model"] = "a-model"
            message["metadata"] = {"id": "msg_1", "cache_control": {"type": "ephemeral"}}
    while len(messages) > 1 and len(json.dumps(messages, ensure_ascii=False)) > MAX_CHARACTERS:
        messages.pop()
    return messages


def budgets_and_policies() -> st.SearchStrategy[dict[str, str]]:
    """The parameters of a window, as a query string has them."""
    flags = st.sampled_from(["true", "false"])
    return st.fixed_dictionaries(
        {"budget": st.integers(1, 200).map(str)},
        optional={
            "keepPreamble": flags,
            "keepRequest": flags,
            "startOn": st.sampled_from(["any", "user"]),
            "step": st.integers(0, 100).map(str),
            "clearToolResults": st.integers(0, 60).map(str) | st.just("off"),
        },
    )
