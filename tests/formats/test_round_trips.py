"""What a provider gave comes back to it equal, and what is ours from each provider that has a form for it."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.formats.constructs import ASKED, CONSTRUCTS, INLINE, MEMBERS, Native, chat_call, chat_result, function_call
from tests.formats.examples import IMAGE_URL, PDF, PNG
from tests.formats.test_hostile import RULES
from tests.formats.windowed import FORMATS, appended, candidates, render, stored, window

# Messages that one role says in a row are one for these.
MERGING = {"anthropic": "content", "gemini": "parts", "ai-sdk": "content"}

CASES = [
    pytest.param(name, given, id=f"{name}: {what}") for name in CONSTRUCTS for what, given in CONSTRUCTS[name].items()
]


def blocks(name: str, messages: Sequence[Native]) -> Iterator[Any]:
    """What messages say, block by block, each with the members of its message: however they are merged."""
    member = MERGING.get(name, "")
    for message in messages:
        if member not in message:
            yield message
            continue
        rest = {key: value for key, value in message.items() if key != member}
        content = message[member]
        if isinstance(content, str):
            # Anthropic's own short form, which it reads as a block; the others have none that is one and the same.
            content = [{"type": "text", "text": content} if name == "anthropic" else content]
        yield from ((rest, block) for block in content)


def returned(name: str, messages: Sequence[Native] | str) -> tuple[list[Native], list[Any]]:
    """The messages of a window of what was appended, and the repairs."""
    data, rendered = render(window(stored(appended(name, messages), name, name), name, 1))
    assert RULES[name](data, natives=True) == []
    return data[MEMBERS.get(name, "messages")], rendered.figures["repairs"]


@pytest.mark.parametrize(("name", "given"), CASES)
def test_what_a_provider_gave_goes_back_equal(name: str, given: list[Native]) -> None:
    messages, repairs = returned(name, given)

    assert list(blocks(name, messages)) == list(blocks(name, given))
    assert repairs == []


@pytest.mark.parametrize(("name", "given"), CASES)
def test_each_message_goes_back_equal_by_itself(name: str, given: list[Native]) -> None:
    """Behind what a provider wants in front, and before results that stand in; or else it is said what is wrong."""
    for message in given:
        rows = stored(appended(name, [message]), name, name)
        data, rendered = render(window(rows, name, 1))
        messages = data[MEMBERS.get(name, "messages")]
        codes = {repair["code"] for repair in rendered.figures["repairs"]}
        if codes <= {"call_answered", "user_added"}:
            whole, own = list(blocks(name, messages)), list(blocks(name, [message]))
            places = range(len(whole) - len(own) + 1)
            assert any(whole[place : place + len(own)] == own for place in places)
        else:
            assert codes & {"result_dropped", "reasoning_dropped", "message_moved", "part_dropped"}


class Digits(str):
    """A number as it is written."""

    __slots__ = ()


def to_the_letter(text: str) -> Any:
    """The value of a JSON text with its numbers as they are written, and the order of its members."""
    return json.loads(text, parse_int=Digits, parse_float=Digits, object_pairs_hook=lambda pairs: ("object", *pairs))


NUMBERS = '{"z":1.0,"b":[1e2,-0,1E+2,0.10],"a":12345678901234567890,"0":0.1234567890123456789012345,"é":-0.0e-0}'
WRITTEN = {
    "openai-chat": '[{"content":"x","role":"user","unheard_of":@},{"tool_calls":[{"type":"function","unheard_of":@,'
    '"id":"a","function":{"arguments":"{\\"n\\": 1.0}","name":"f"}}],"role":"assistant","unheard_of":@},'
    '{"role":"tool","unheard_of":@,"tool_call_id":"a","content":"x"}]',
    "openai-responses": '[{"content":"x","role":"user","unheard_of":@},{"unheard_of":@,"type":"function_call",'
    '"name":"f","call_id":"a","arguments":"{\\"n\\": 1.0}"},{"unheard_of":@,"type":"function_call_output",'
    '"call_id":"a","output":"x"}]',
    "anthropic": '[{"role":"user","content":[{"text":"x","type":"text","unheard_of":@}]},{"role":"assistant",'
    '"content":[{"unheard_of":@,"type":"tool_use","input":@,"name":"f","id":"a"}]},{"role":"user","content":['
    '{"unheard_of":@,"type":"tool_result","tool_use_id":"a","content":[{"text":"x","type":"text","unheard_of":@}]}]}]',
    "gemini": '[{"role":"user","parts":[{"unheardOf":@,"text":"x"}]},{"role":"model","parts":[{"thoughtSignature":'
    '"c2ln","functionCall":{"args":@,"id":"a","name":"f"}}]},{"role":"user","parts":[{"functionResponse":'
    '{"id":"a","response":@,"name":"f"}}]}]',
    "ai-sdk": '[{"role":"user","content":[{"text":"x","type":"text","unheardOf":@}]},{"role":"assistant",'
    '"content":[{"input":@,"type":"tool-call","toolName":"f","toolCallId":"a"}]},{"role":"tool","content":'
    '[{"output":{"value":@,"type":"json"},"toolName":"f","type":"tool-result","toolCallId":"a"}]}]',
}


@pytest.mark.parametrize("name", FORMATS)
def test_numbers_and_the_order_of_members_go_back_to_the_letter(name: str) -> None:
    given = WRITTEN[name].replace("@", NUMBERS)
    _, rendered = render(window(stored(appended(name, given), name, name), name, 1))
    member = MEMBERS.get(name, "messages")

    assert to_the_letter(rendered.data) == ("object", (member, to_the_letter(given)))
    assert rendered.figures["repairs"] == []


MARK = {"cache_control": {"type": "ephemeral"}}
OPTION = {"providerOptions": {"anthropic": {"cacheControl": {"type": "ephemeral"}}}}
MARKED: dict[str, list[Native]] = {
    "openai-chat": [
        {**ASKED, **MARK},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "x", **MARK}],
            "tool_calls": [{**chat_call("call_1"), **MARK}],
        },
        {**chat_result("call_1"), **MARK},
    ],
    "openai-responses": [
        {"role": "user", "content": [{"type": "input_text", "text": "x", **MARK}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "x", **MARK}]},
        {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}", **MARK},
        {"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text", "text": "x", **MARK}]},
    ],
    "anthropic": [
        {"role": "user", "content": [{"type": "text", "text": "x", **MARK}]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": MARK, **MARK}]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "a",
                    "content": [{"type": "text", "text": "x", **MARK}],
                    **MARK,
                },
            ],
        },
    ],
    "ai-sdk": [
        {"role": "user", "content": [{"type": "text", "text": "x", **OPTION}], **OPTION},
        {
            "role": "assistant",
            "content": [{"type": "tool-call", "toolCallId": "a", "toolName": "f", "input": MARK, **OPTION}],
        },
        {
            "role": "tool",
            "content": [
                {
                    "type": "tool-result",
                    "toolCallId": "a",
                    "toolName": "f",
                    "output": {"type": "content", "value": [{"type": "text", "text": "x", **OPTION}]},
                    **OPTION,
                }
            ],
            **OPTION,
        },
    ],
}


@pytest.mark.parametrize("name", MARKED)
def test_cache_marks_are_of_a_request(name: str) -> None:
    """Each is left out and said, and arguments of a tool's own are none."""
    messages, repairs = returned(name, MARKED[name])
    marks = json.dumps(MARKED[name]).count("ephemeral") - json.dumps(messages).count("ephemeral")

    assert {repair["code"] for repair in repairs} == {"cache_mark_dropped"}
    assert len(repairs) == marks
    assert json.dumps(messages).count("ephemeral") == (name in {"anthropic", "ai-sdk"})


# --- Ours


def part(kind: str, value: Any) -> dict[str, Any]:
    return {"type": kind, kind: value}


def asked(*parts: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"role": "user", "content": [part("text", "Which?"), *parts]}]


def called(content: Any, **members: Any) -> list[dict[str, Any]]:
    """Two calls of one turn, and their results, the first of them with this content."""
    made = [chat_call("call_1", '{"number": 1042}'), chat_call("call_2")]
    return [
        {"role": "user", "content": "Where are my orders?"},
        {"role": "assistant", "content": "I look.", "toolCalls": made},
        {"role": "tool", "toolCallId": "call_1", "content": content, **members},
        {"role": "tool", "toolCallId": "call_2", "content": "shipped"},
        {"role": "assistant", "content": "They are shipped."},
    ]


FAILED = {"metadata": {"isError": True}}
DATA_URL = f"data:application/pdf;base64,{PDF}"

# What is ours, and the formats that have a form for it.
OURS: dict[str, tuple[list[dict[str, Any]], tuple[str, ...]]] = {
    "texts": ([{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello, you."}], FORMATS),
    "texts in parts": (asked(part("text", "This?")), FORMATS),
    "an image by its URL": (asked(part("image_url", {"url": IMAGE_URL})), FORMATS),
    "an image by its content": (asked(part("image_url", {"url": f"data:image/png;base64,{PNG}"})), FORMATS),
    "the detail of an image": (
        asked(part("image_url", {"url": IMAGE_URL, "detail": "low"})),
        ("openai-chat", "openai-responses"),
    ),
    "a file by its content": (
        asked(part("file", {"filename": "a.pdf", "file_data": DATA_URL})),
        ("openai-chat", "openai-responses", "anthropic", "ai-sdk"),
    ),
    "a file without a name": (asked(part("file", {"file_data": DATA_URL})), ("anthropic", "gemini", "ai-sdk")),
    "a file of text": (
        asked(part("file", {"filename": "a.txt", "file_data": "data:text/plain;base64,w6k="})),
        ("openai-chat", "openai-responses", "anthropic", "ai-sdk"),
    ),
    "a file by its URL": (
        asked(part("file", {"file_url": "https://example.com/a.pdf"})),
        ("openai-responses", "anthropic", "gemini", "ai-sdk"),
    ),
    "a file by OpenAI's id": (asked(part("file", {"file_id": "file-1"})), ("openai-chat", "openai-responses")),
    "a sound": (
        asked(part("input_audio", {"data": "UklGRg==", "format": "wav"})),
        ("openai-chat", "gemini", "ai-sdk"),
    ),
    "calls and results": (called("lost"), FORMATS),
    "calls without a text": (
        [{**message, "content": None} if "toolCalls" in message else message for message in called("lost")],
        FORMATS,
    ),
    "a failed result": (called("gone", **FAILED), ("anthropic", "gemini", "ai-sdk")),
    "an image in a result": (
        called([part("text", "a map"), part("image_url", {"url": IMAGE_URL})]),
        ("openai-responses", "anthropic"),
    ),
    "a refusal": (
        [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [part("refusal", "I cannot.")]},
        ],
        ("openai-chat",),
    ),
    "a later system message": (
        [{"role": "user", "content": "Hello"}, {"role": "system", "content": "Be brief."}],
        ("openai-chat", "openai-responses"),
    ),
}


def meant(message: dict[str, Any]) -> dict[str, Any]:
    """What a message of ours says, however it is put."""
    content = message.get("content") or []
    calls = message.get("toolCalls") or []
    return {
        "role": message["role"],
        "content": [part("text", content)] if isinstance(content, str) else content,
        "calls": [(call["id"], call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls],
        "answers": message.get("toolCallId"),
        "failed": (message.get("metadata") or {}).get("isError", False),
    }


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("what", OURS)
def test_what_is_ours_comes_back_from_each_format_that_has_a_form_for_it(what: str, name: str) -> None:
    ours, formats = OURS[what]
    data, rendered = render(window(candidates(ours), name, 1))
    batch = appended(name, data[MEMBERS.get(name, "messages")])
    returned = [meant(message) for message in json.loads(batch.body)["messages"]]

    assert (returned == [meant(message) for message in ours]) == (name in formats)
    if name in formats:
        assert rendered.figures["repairs"] == ([] if name != "gemini" else unsigned(ours))


def unsigned(ours: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Gemini's own repair, of each turn that calls and is not its own."""
    detail = "the call of get_order has no signature"
    versions = [version for version, message in enumerate(ours, 1) if message.get("toolCalls")]
    return [{"version": version, "code": "signature_skipped", "detail": detail} for version in versions]


def test_media_of_a_model_are_gone_where_another_has_no_place_for_them() -> None:
    """An image that Gemini made is a user's in the other formats, behind what the model said."""
    given = [{"role": "user", "parts": [{"text": "Draw."}]}, {"role": "model", "parts": [INLINE, {"text": "Here."}]}]
    batch = appended("gemini", given)
    data, rendered = render(window(stored(batch, "gemini", "anthropic"), "anthropic", 1))

    assert [message["role"] for message in data["messages"]] == ["user", "assistant", "user"]
    assert [repair["code"] for repair in rendered.figures["repairs"]] == ["part_moved"]


def test_a_signature_is_for_its_maker_alone() -> None:
    given = [{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": [function_call(signature="c2ln")]}]
    batch = appended("gemini", given)

    for name in FORMATS:
        data, _ = render(window(stored(batch, "gemini", name), name, 1))
        assert ("c2ln" in json.dumps(data)) == (name == "gemini")
