"""What a provider gave, or was sent, and would not take back: what is sent instead, and what is said of it."""

import json
from typing import Any

import pytest

from lib import formats
from tests.formats import vendors
from tests.formats.constructs import (
    ASKED,
    ASKED_GEMINI,
    IMAGE,
    MEMBERS,
    TEXT,
    Native,
    chat_call,
    chat_result,
    function_call,
    heard,
    item_call,
    item_output,
    message,
    model,
    reasoning,
    response,
    source,
    tool_call,
    tool_result,
    tool_use,
    user,
)
from tests.formats.examples import IMAGE_URL, PDF, PLACEHOLDER, PNG
from tests.formats.rules import anthropic
from tests.formats.test_hostile import RULES
from tests.formats.windowed import FORMATS, appended, candidates, render, stored, window, windows

PDF_URL = f"data:application/pdf;base64,{PDF}"
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
SCREENSHOT = {"type": "computer_screenshot", "image_url": IMAGE_URL}


def chat(**members: Any) -> Native:
    return {"role": "assistant", **members}


def claude(*blocks: Native) -> Native:
    return {"role": "assistant", "content": list(blocks)}


def signed(part: Native, signature: str) -> Native:
    return {**part, "thoughtSignature": signature}


# The format, what was given, what is sent, and the codes of what is said.
# The same five bytes, as mail breaks it and nobody pads it, of a type by another name; and as all read it.
LOOSE, STRICT = "data:image/jpg;base64,aGVs\nbG8", "data:image/jpeg;base64,aGVsbG8="

REPAIRS: dict[str, tuple[str, list[Native], list[Native], list[str]]] = {
    "a user's name that is not legal": (
        "openai-chat",
        [{**ASKED, "name": "Ann B."}],
        [ASKED],
        ["member_dropped"],
    ),
    "a picture whose base64 has a line's end and no padding": (
        "openai-chat",
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": LOOSE}}]}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": STRICT}}]}],
        [],
    ),
    "such a picture in an item": (
        "openai-responses",
        [{"role": "user", "content": [{"type": "input_image", "image_url": LOOSE}]}],
        [{"role": "user", "content": [{"type": "input_image", "image_url": STRICT}]}],
        [],
    ),
    "a response of another name than its call": (
        "gemini",
        [
            {"role": "user", "parts": [{"text": "x"}]},
            {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "f"}, "thoughtSignature": "c2ln"}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "a", "name": "g", "response": {"x": 1}}}]},
        ],
        [
            {"role": "user", "parts": [{"text": "x"}]},
            {"role": "model", "parts": [{"functionCall": {"id": "a", "name": "f"}, "thoughtSignature": "c2ln"}]},
            {"role": "user", "parts": [{"functionResponse": {"id": "a", "name": "f", "response": {"x": 1}}}]},
        ],
        ["name_changed"],
    ),
    "no calls in a list": (
        "openai-chat",
        [chat(content="x", tool_calls=[]), chat(content="y", tool_calls=None)],
        [chat(content="x"), chat(content="y")],
        ["member_dropped", "member_dropped"],
    ),
    "members of compatible servers": (
        "openai-chat",
        [chat(content="x", reasoning_content="Hm.", thinking_blocks=[])],
        [chat(content="x")],
        ["member_dropped", "member_dropped"],
    ),
    "a call without a type": (
        "openai-chat",
        [chat(tool_calls=[{**chat_call("call_1"), "type": None}]), chat_result("call_1")],
        [chat(tool_calls=[chat_call("call_1")]), chat_result("call_1")],
        [],
    ),
    "no parts beside calls": (
        "openai-chat",
        [chat(content=[], tool_calls=[chat_call("call_1", "")]), chat_result("call_1", [])],
        [chat(content=None, tool_calls=[chat_call("call_1")]), chat_result("call_1", "")],
        ["arguments_wrapped", "empty_dropped"],
    ),
    "a refusal by itself": (
        "openai-chat",
        [chat(content=None, refusal="No.")],
        [chat(content=[{"type": "refusal", "refusal": "No."}])],
        ["part_moved"],
    ),
    "a refusal beside other parts": (
        "openai-chat",
        [chat(content=[{"type": "text", "text": "Hm."}, {"type": "refusal", "refusal": "No."}], refusal=None)],
        [chat(content=[{"type": "text", "text": "Hm."}], refusal="No.")],
        ["part_moved"],
    ),
    "an assistant that says nothing": ("openai-chat", [ASKED, chat(content=None)], [ASKED], ["empty_dropped"]),
    "media that nobody takes": (
        "openai-chat",
        [
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "gs://bucket/a"}},
                    {"type": "image_url", "image_url": {"url": PDF_URL}},
                    {"type": "image_url", "image_url": {"url": IMAGE_URL}},
                ],
            }
        ],
        [
            heard(
                {"type": "file", "file": {"filename": "file", "file_data": PDF_URL}},
                {"type": "image_url", "image_url": {"url": IMAGE_URL}},
            )
        ],
        ["part_dropped", "part_moved"],
    ),
    "members that are null": (
        "openai-responses",
        [ASKED, item_call("call_1", status=None), item_output("call_1", id=None)],
        [ASKED, item_call("call_1"), item_output("call_1")],
        ["member_dropped", "member_dropped"],
    ),
    "reasoning without what it led to": (
        "openai-responses",
        [ASKED, reasoning(1, encrypted_content=None), message(1, phase=None), reasoning(2)],
        [ASKED, {name: value for name, value in message(1, phase=None).items() if name != "id"}],
        ["reasoning_dropped", "member_dropped", "reasoning_dropped"],
    ),
    "an id used again": (
        "openai-responses",
        [ASKED, message(1), ASKED, message(1, status="incomplete"), ASKED, message(2, id="x")],
        [
            ASKED,
            message(1),
            ASKED,
            *[{**message(1, status="incomplete"), "id": None}],
            ASKED,
            {**message(2), "id": None},
        ],
        ["member_dropped", "member_dropped"],
    ),
    "a message without parts": (
        "openai-responses",
        [ASKED, {**message(1), "content": []}],
        [ASKED],
        ["empty_dropped"],
    ),
    "media in items that nobody takes": (
        "openai-responses",
        [
            {
                "role": "user",
                "content": [
                    {"type": "input_image", "image_url": PDF_URL},
                    {"type": "input_image", "image_url": "gs://bucket/a"},
                    {"type": "input_file", "file_id": ""},
                ],
            },
            item_call("call_1"),
            item_output("call_1", [{"type": "input_image", "image_url": "gs://bucket/a"}]),
        ],
        [
            {"role": "user", "content": [{"type": "input_file", "filename": "file", "file_data": PDF_URL}]},
            item_call("call_1"),
            item_output("call_1", ""),
        ],
        ["part_moved", "part_dropped", "part_dropped", "part_dropped", "empty_dropped"],
    ),
    "a screenshot that was never taken": (
        "openai-responses",
        [ASKED, {"type": "computer_call", "call_id": "call_1", "action": {"type": "screenshot"}}],
        [ASKED],
        ["call_answered", "part_dropped"],
    ),
    "outputs of another kind than their calls": (
        "openai-responses",
        [
            {"type": "shell_call", "call_id": "call_1", "action": {"commands": ["ls"]}},
            {"type": "apply_patch_call", "call_id": "call_2", "operation": {"type": "delete_file", "path": "a"}},
            item_call("call_3"),
            item_output("call_1", [{"type": "input_text", "text": "a"}]),
            item_output("call_2", [{"type": "input_text", "text": "b"}]),
            {"type": "computer_call_output", "call_id": "call_3", "output": SCREENSHOT},
        ],
        [
            {"type": "shell_call", "call_id": "call_1", "action": {"commands": ["ls"]}},
            {"type": "apply_patch_call", "call_id": "call_2", "operation": {"type": "delete_file", "path": "a"}},
            item_call("call_3"),
            {
                "type": "shell_call_output",
                "call_id": "call_1",
                "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
            },
            {"type": "apply_patch_call_output", "call_id": "call_2", "status": "completed", "output": "b"},
            item_output("call_3", json.dumps(SCREENSHOT, separators=(",", ":"))),
        ],
        [],
    ),
    "thinking that leads to nothing": (
        "anthropic",
        [ASKED, claude(TEXT, THINKING), ASKED],
        [ASKED, claude(TEXT), ASKED],
        ["reasoning_dropped"],
    ),
    "thinking without a signature": (
        "anthropic",
        [ASKED, claude({**THINKING, "signature": ""}, TEXT), ASKED],
        [ASKED, claude(TEXT), ASKED],
        ["reasoning_dropped"],
    ),
    "a search that came to nothing": (
        "anthropic",
        [ASKED, claude(TEXT, {"type": "server_tool_use", "id": "srvtoolu_1", "name": "f", "input": {}}), ASKED],
        [ASKED, claude(TEXT), ASKED],
        ["part_dropped"],
    ),
    "texts behind calls": (
        "anthropic",
        [
            ASKED,
            claude(tool_use("a"), TEXT, THINKING, tool_use("b"), {**TEXT, "text": "x"}),
            heard(tool_result("a", TEXT), tool_result("b", TEXT)),
        ],
        [
            ASKED,
            claude(TEXT, tool_use("a"), THINKING, {**TEXT, "text": "x"}, tool_use("b")),
            heard(tool_result("a", TEXT), tool_result("b", TEXT)),
        ],
        ["part_moved", "part_moved"],
    ),
    "media that are not taken": (
        "anthropic",
        [
            heard(
                TEXT,
                {"type": "image", **source("base64", media_type="application/pdf", data=PDF)},
                {"type": "image", **source("base64", media_type="image/tiff", data=PNG)},
                {"type": "document", **source("base64", media_type="text/plain", data="eA==")},
                {"type": "document", **source("text", media_type="text/plain", data=" ")},
            )
        ],
        [heard(TEXT, {"type": "document", **source("base64", media_type="application/pdf", data=PDF)})],
        ["part_moved", "part_dropped", "part_dropped", "part_dropped"],
    ),
    "texts in front of results": (
        "anthropic",
        [ASKED, claude(tool_use("a")), heard(TEXT, tool_result("a", TEXT))],
        [ASKED, claude(tool_use("a")), heard(tool_result("a", TEXT), TEXT)],
        ["result_moved"],
    ),
    "an error with more than text": (
        "anthropic",
        [ASKED, claude(tool_use("a")), heard(tool_result("a", IMAGE, is_error=True))],
        [
            ASKED,
            claude(tool_use("a")),
            heard(
                tool_result("a", is_error=True, content="The call failed without details."),
                IMAGE,
            ),
        ],
        ["part_moved", "call_answered"],
    ),
    "system messages where they may not stand": (
        "anthropic",
        [{"role": "system", "content": [TEXT, IMAGE]}, claude(TEXT), {"role": "system", "content": [TEXT, IMAGE]}],
        [
            {"role": "user", "content": "(conversation continues)"},
            claude(TEXT),
            {"role": "user", "content": f"<system>\n{TEXT['text']}\n</system>"},
        ],
        ["part_dropped", "message_moved", "user_added", "role_changed", "part_dropped"],
    ),
    "white space at the end": (
        "anthropic",
        [ASKED, claude({**TEXT, "text": "x \n"})],
        [ASKED, claude({**TEXT, "text": "x"})],
        ["text_trimmed"],
    ),
    "empty parts": (
        "gemini",
        [user({"text": "x"}, {"text": ""}, {}), {"role": "model", "parts": [{"text": "", "thought": True}]}],
        [user({"text": "x"})],
        ["empty_dropped"] * 4,
    ),
    "a signature that no part has": (
        "gemini",
        model({"text": "x"}, {"thoughtSignature": "c2ln"}),
        model({"text": "x"}, {"text": "", "thoughtSignature": "c2ln"}),
        ["part_to_text"],
    ),
    "a call without a signature": (
        "gemini",
        [*model(function_call()), user(response(id="f:1"))],
        [*model(signed(function_call(), PLACEHOLDER)), user(response())],
        ["signature_skipped", "member_dropped"],
    ),
    "texts in front of responses": (
        "gemini",
        [*model(signed(function_call(), "c2ln")), user({"text": "x"}, response())],
        [*model(signed(function_call(), "c2ln")), user(response()), user({"text": "x"})],
        ["result_moved"],
    ),
    "a window that opens with the model": (
        "gemini",
        [{"role": "model", "parts": [{"text": "x"}]}],
        [user({"text": "(conversation continues)"}), {"role": "model", "parts": [{"text": "x"}]}],
        ["user_added"],
    ),
    "a content without parts": ("gemini", [ASKED_GEMINI, {"role": "model"}], [ASKED_GEMINI], ["empty_dropped"]),
    "a message without content": (
        "ai-sdk",
        [ASKED, {"role": "assistant", "content": []}],
        [ASKED],
        ["empty_dropped"],
    ),
    "later system messages": (
        "ai-sdk",
        [ASKED, {"role": "system", "content": "Be brief.", "providerOptions": {"x": {"cachePoint": {}}}}],
        [ASKED, {"role": "user", "content": "<system>\nBe brief.\n</system>"}],
        ["cache_mark_dropped", "role_changed"],
    ),
    "a call without a result": (
        "ai-sdk",
        [ASKED, {"role": "assistant", "content": [tool_call("a")]}],
        [
            ASKED,
            {"role": "assistant", "content": [tool_call("a")]},
            {
                "role": "tool",
                "content": [
                    {
                        "type": "tool-result",
                        "toolCallId": "a",
                        "toolName": "get_order",
                        "output": {"type": "error-text", "value": "No result was recorded for this call."},
                    }
                ],
            },
        ],
        ["call_answered"],
    ),
}


def without_nulls(messages: list[Native]) -> list[Native]:
    """Without the ids that the table above shows as taken away."""
    return [{key: value for key, value in each.items() if key != "id" or value is not None} for each in messages]


@pytest.mark.parametrize("what", REPAIRS)
def test_what_would_not_be_taken_is_repaired_and_said(what: str) -> None:
    name, given, sent, codes = REPAIRS[what]
    data, rendered = render(window(stored(appended(name, given), name, name), name, 1))

    assert data[MEMBERS.get(name, "messages")] == without_nulls(sent)
    assert [repair["code"] for repair in rendered.figures["repairs"]] == codes


def test_a_system_message_that_a_window_begins_with_is_the_requests() -> None:
    batch = appended("anthropic", [{"role": "system", "content": [TEXT]}])
    data, _ = render(window(stored(batch, "anthropic", "ai-sdk"), "ai-sdk", 1))
    assert data == {"system": "I look.", "messages": []}

    given = {"role": "system", "content": "x", "providerOptions": {"openai": {"a": 1}}}
    data, _ = render(window(stored(appended("ai-sdk", [given]), "ai-sdk", "ai-sdk"), "ai-sdk", 1))
    assert data == {"system": "x", "messages": []}


def test_a_refusal_beside_a_text_of_ours_is_chats_member() -> None:
    parts = [{"type": "text", "text": "Hm."}, {"type": "refusal", "refusal": "No."}]
    data, _ = render(window(candidates([{"role": "assistant", "content": parts}]), "openai-chat", 1))

    assert data["messages"] == [chat(content=parts[:1], refusal="No.")]


def test_what_an_assistant_of_ours_says_is_text_in_responses() -> None:
    parts = [{"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}]
    data, rendered = render(window(candidates([{"role": "assistant", "content": parts}]), "openai-responses", 1))

    assert data == {"input": []}
    assert [repair["code"] for repair in rendered.figures["repairs"]] == ["part_dropped", "empty_dropped"]


def test_the_package_renders_without_its_modules_being_named() -> None:
    shown = window(candidates([{"role": "user", "content": "x"}]), "anthropic", 1)

    assert anthropic.broken(json.loads(formats.render(shown).data)) == []


def ours(content: Any, role: str = "user", **members: Any) -> Native:
    return {"role": role, "content": content, **members}


NOT_TEXT = {"type": "file", "file": {"filename": "a.txt", "file_data": "data:text/plain;base64,/w=="}}
IMAGE_PART = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
REFUSAL = {"type": "refusal", "refusal": "No."}
MISPLACED = [
    ours([REFUSAL], "system"),
    ours([REFUSAL, NOT_TEXT]),
    ours([IMAGE_PART], "assistant"),
    ours([], "system"),
    ours([{"type": "text", "text": " "}, IMAGE_PART], "system"),
    ours(
        [{"type": "text", "text": ""}],
        "assistant",
        toolCalls=[chat_call("call_1", '{"a": 1e999}'), chat_call("call_2", '{"a": 1.0}')],
    ),
]


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_ours_and_stands_where_it_may_not_is_taken_all_the_same(name: str) -> None:
    for shown in windows(candidates(MISPLACED), name):
        data, _ = render(shown)
        assert RULES[name](data) == []
        assert vendors.wrong(name, data) == []


@pytest.mark.parametrize("name", ["anthropic", "openai-chat"])
def test_an_id_that_is_another_ones_new_name_is_not_taken_twice(name: str) -> None:
    long = "x " * 30

    def sent(*ids: str) -> list[str]:
        calls = [chat_call(call_id) for call_id in ids]
        data, _ = render(window(candidates([ours("x"), ours(None, "assistant", toolCalls=calls)]), name, 1))
        said = data["messages"][1]
        return [call["id"] for call in said.get("tool_calls") or said["content"]]

    [renamed] = sent(long)
    ids = sent(renamed, long)
    assert ids[0] == renamed
    assert len({*ids}) == 2


def test_a_file_of_version_7_of_the_sdk_goes_back_to_it_and_to_no_other() -> None:
    given = [
        {"role": "user", "content": [{"type": "file", "data": {"type": "url", "url": IMAGE_URL}, "mediaType": "a/b"}]}
    ]
    batch = appended("ai-sdk", given)
    data, _ = render(window(stored(batch, "ai-sdk", "ai-sdk"), "ai-sdk", 1))
    assert data == {"messages": given}

    data, rendered = render(window(stored(batch, "ai-sdk", "anthropic"), "anthropic", 1))
    assert data == {"messages": []}
    assert [repair["code"] for repair in rendered.figures["repairs"]] == ["part_dropped", "empty_dropped"]
