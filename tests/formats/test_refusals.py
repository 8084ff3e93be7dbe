"""What no provider gives is refused when it is appended, with its place in what was sent."""

import json
from typing import Any

import pytest

from lib import formats, jsontext
from lib.batches import Batch
from lib.errors import MAX_PLACES, InvalidBody, PayloadTooLarge
from lib.models import MAX_BATCH, MAX_BODY_BYTES, MAX_PAGE_BYTES, ProviderAppend
from tests.formats.constructs import (
    ASKED,
    TEXT,
    Native,
    chat_call,
    heard,
    item_call,
    message,
    model,
    tool_call,
    tool_result,
    tool_use,
    user,
)
from tests.formats.examples import IMAGE_URL


def chat(**members: Any) -> Native:
    return {"role": "assistant", "content": "x", **members}


REFUSED: list[tuple[str, Native, str, str]] = [
    ("openai-chat", {"content": "x"}, "/role", "is required"),
    (
        "openai-chat",
        {"role": "model", "content": "x"},
        "/role",
        "must be one of developer, system, user, assistant, tool",
    ),
    ("openai-chat", {"role": "user"}, "/content", "is required"),
    ("openai-chat", {"role": "user", "content": 5}, "/content", "must be a string or a list"),
    (
        "openai-chat",
        {"role": "user", "content": [{"type": "refusal", "refusal": "No."}]},
        "/content/0/type",
        "must be a refusal of the assistant",
    ),
    (
        "openai-responses",
        {"role": "user", "content": [{"type": "output_text", "text": "x"}]},
        "/content/0/type",
        "must not be output_text outside a message of the assistant",
    ),
    (
        "anthropic",
        {"role": "user", "content": [{"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}]},
        "/content/0/type",
        "must not be thinking here",
    ),
    (
        "gemini",
        {"role": "model", "parts": [{"functionResponse": {"name": "f", "response": {}}}]},
        "/parts/0/functionResponse",
        "must not be a functionResponse here",
    ),
    (
        "ai-sdk",
        {"role": "user", "content": [{"type": "reasoning", "text": "Hm."}]},
        "/content/0/type",
        "must not be reasoning in a message of the user",
    ),
    ("openai-chat", {"role": "user", "content": ["x"]}, "/content/0", "must be an object"),
    ("openai-chat", {"role": "user", "content": [{"type": "text"}]}, "/content/0/text", "is required"),
    ("openai-chat", {"role": "tool", "content": "x"}, "/tool_call_id", "is required"),
    ("openai-chat", {"role": "tool", "content": "x", "tool_call_id": ""}, "/tool_call_id", "must not be empty"),
    (
        "openai-chat",
        {"role": "tool", "content": "x", "tool_call_id": "x" * 4097},
        "/tool_call_id",
        "must have at most 4,096 characters",
    ),
    ("openai-chat", {**ASKED, "name": 5}, "/name", "must be a string"),
    ("openai-chat", chat(tool_calls={}), "/tool_calls", "must be a list"),
    ("openai-chat", chat(tool_calls=[{"id": "a"}]), "/tool_calls/0/function", "is required"),
    (
        "openai-chat",
        chat(tool_calls=[{**chat_call("a"), "type": "other"}]),
        "/tool_calls/0/type",
        "must be one of function, custom",
    ),
    ("openai-chat", chat(function_call={}), "/function_call", "is not taken: send tool_calls"),
    ("openai-responses", {"type": 5}, "/type", "must be a string"),
    (
        "openai-responses",
        {"type": "item_reference", "id": "msg_1"},
        "",
        "is not taken: send the item that it refers to",
    ),
    ("openai-responses", item_call("a", arguments={}), "/arguments", "must be a string"),
    (
        "openai-responses",
        message(1, {"type": "input_text", "text": "x"}),
        "/content/0/type",
        "must be output_text or refusal in a message of the assistant",
    ),
    ("openai-responses", {"type": "reasoning", "summary": [{}]}, "/summary/0/text", "is required"),
    ("anthropic", heard(tool_use("a")), "/content/0/type", "must not be tool_use here"),
    (
        "anthropic",
        {"role": "assistant", "content": [tool_result("a")]},
        "/content/0/type",
        "must not be tool_result here",
    ),
    (
        "anthropic",
        {"role": "assistant", "content": [tool_use("a", input="{}")]},
        "/content/0/input",
        "must be an object",
    ),
    ("anthropic", heard({"type": "image", "source": IMAGE_URL}), "/content/0/source", "must be an object"),
    (
        "gemini",
        user({"inline_data": {}}),
        "/parts/0",
        "has inline_data: members must be in camelCase, as the API has them",
    ),
    (
        "gemini",
        user({"text": "x", "inlineData": {}}),
        "/parts/0",
        "must have one of text, inlineData, fileData, functionCall, functionResponse",
    ),
    ("gemini", user({"functionCall": {"name": "f"}}), "/parts/0/functionCall", "must not be a functionCall here"),
    ("gemini", model({"functionCall": {}})[1], "/parts/0/functionCall/name", "is required"),
    ("gemini", {"role": "system", "parts": []}, "/role", "must be one of user, model"),
    ("ai-sdk", {"role": "tool", "content": []}, "/content", "must not be empty"),
    (
        "ai-sdk",
        {"role": "tool", "content": [{"type": "tool-approval-response"}]},
        "/content/0/type",
        "must be tool-result: append the result of a tool whose call was approved",
    ),
    (
        "ai-sdk",
        {"role": "assistant", "content": [{"type": "image", "image": IMAGE_URL}]},
        "/content/0/type",
        "must be file in a message of the assistant",
    ),
    (
        "ai-sdk",
        {"role": "assistant", "content": [{"type": "tool-call", "toolCallId": "a", "toolName": "f"}]},
        "/content/0/input",
        "is required",
    ),
]


def parsed(name: str, messages: list[Any], **members: Any) -> Batch:
    text = json.dumps({"format": name, "messages": messages, **members})
    return formats.parse(ProviderAppend.model_validate(jsontext.parse(text)), text)


@pytest.mark.parametrize(("name", "given", "pointer", "detail"), REFUSED)
def test_the_place_is_named(name: str, given: Native, pointer: str, detail: str) -> None:
    role = "model" if name == "gemini" else "assistant"
    first = {"role": role, "parts": [{"text": "x"}]} if name == "gemini" else {"role": role, "content": "x"}
    with pytest.raises(InvalidBody) as refused:
        parsed(name, [first, given])

    assert [(place.pointer, place.detail) for place in refused.value.places] == [(f"/messages/1{pointer}", detail)]


def test_a_turns_own_members_are_not_kept_for_each_of_its_results_without_end() -> None:
    result = {"type": "tool_result", "tool_use_id": "a", "content": "x", "more": 1}
    turn = {"role": "user", "more": "x" * 100_000, "content": [result] * 100}

    with pytest.raises(PayloadTooLarge):
        parsed("anthropic", [turn])


def test_all_places_are_named_up_to_a_number() -> None:
    with pytest.raises(InvalidBody) as refused:
        parsed("anthropic", [{"role": "user"}] * (MAX_PLACES + 1))

    pointers = [place.pointer for place in refused.value.places]
    assert pointers == [f"/messages/{place}/content" for place in range(MAX_PLACES)]


def test_results_are_messages_of_their_own() -> None:
    results = [tool_result(f"call_{number}", TEXT) for number in range(MAX_BATCH + 1)]
    with pytest.raises(InvalidBody) as refused:
        parsed("anthropic", [heard(*results)])

    assert [place.pointer for place in refused.value.places] == ["/messages"]


def test_token_counts_are_of_each_message_that_was_sent() -> None:
    assert parsed("anthropic", [ASKED, ASKED], tokenCounts=[1, 2]).given == [1, 2]
    with pytest.raises(InvalidBody) as refused:
        parsed("anthropic", [ASKED, ASKED], tokenCounts=[1])

    assert [place.pointer for place in refused.value.places] == ["/tokenCounts"]


def test_what_no_page_could_have_is_too_large() -> None:
    with pytest.raises(PayloadTooLarge):
        parsed("anthropic", [ASKED] * 100, metadata={"a": "x" * (MAX_BODY_BYTES // 100)})
    with pytest.raises(PayloadTooLarge):
        parsed("anthropic", [{"role": "assistant", "content": "x" * (MAX_PAGE_BYTES // 2)}])


def test_the_model_is_the_assistants_and_metadata_everybodys() -> None:
    given = [
        {"role": "assistant", "content": [tool_call("a")]},
        {
            "role": "tool",
            "content": [
                {
                    "type": "tool-result",
                    "toolCallId": "a",
                    "toolName": "f",
                    "output": {"type": "error-text", "value": "gone"},
                }
            ],
        },
    ]

    def stored(**members: Any) -> list[tuple[Any, Any]]:
        batch = parsed("ai-sdk", given, **members)
        return [(each.get("model"), each["metadata"]) for each in json.loads(batch.body)["messages"]]

    assert stored(model="m") == [("m", {}), (None, {"isError": True})]
    assert stored(metadata={"a": 1}) == [(None, {"a": 1}), (None, {"isError": True, "a": 1})]
    assert stored(metadata={"isError": False}) == [(None, {"isError": False})] * 2


def test_the_contexts_metadata_goes_with_the_messages() -> None:
    batch = parsed("anthropic", [ASKED], contextMetadata={"a": 1.0})

    assert json.loads(batch.body)["contextMetadata"] == {"a": 1.0}
