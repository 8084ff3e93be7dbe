"""Appends in providers' formats that are refused: what is wrong is pointed at, in what was sent."""

from typing import Any

import httpx
import pytest

from tests.formats.windowed import FORMATS

CONTEXTS = "/api/v1/contexts"


def post(api: httpx.Client, context_id: str, name: str, sent: Any) -> httpx.Response:
    return api.post(f"{CONTEXTS}/{context_id}/messages", json={"format": name, "messages": sent})


def pointers(refused: httpx.Response) -> list[str]:
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_body"), refused.text
    return [place["pointer"] for place in refused.json()["errors"]]


def latest(api: httpx.Client, context_id: str) -> int:
    version: int = api.get(f"{CONTEXTS}/{context_id}").json()["data"]["latestVersion"]
    return version


def user(name: str) -> dict[str, Any]:
    """A user's turn in a format."""
    return {"role": "user", "parts": [{"text": "x"}]} if name == "gemini" else {"role": "user", "content": "x"}


def call(**members: Any) -> dict[str, Any]:
    made = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}, **members}
    return {"role": "assistant", "tool_calls": [made]}


def blocks(role: str, *given: Any) -> dict[str, Any]:
    return {"role": role, "content": list(given)}


def parts(role: str, *given: Any) -> dict[str, Any]:
    return {"role": role, "parts": list(given)}


LONG_ID = "x" * 4097
LONG_NAME = "x" * 256
ITEM = {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}
USE = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
MADE = {"type": "tool-call", "toolCallId": "a", "toolName": "f", "input": {}}
RESULT = {"type": "tool-result", "toolCallId": "a", "toolName": "f", "output": {"type": "text", "value": "x"}}


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in names}


# Of each format a turn that it does not have, and the place behind /messages/1.
BAD: dict[str, list[tuple[Any, str]]] = {
    "openai-chat": [
        ({}, "/role"),
        ({"role": "function", "content": "x"}, "/role"),
        ({"role": 5, "content": "x"}, "/role"),
        ({"role": "user"}, "/content"),
        ({"role": "system", "content": None}, "/content"),
        ({"role": "user", "content": 5}, "/content"),
        ({"role": "user", "content": {}}, "/content"),
        (blocks("user", 5), "/content/0"),
        (blocks("user", {}), "/content/0/type"),
        (blocks("user", {"type": 5}), "/content/0/type"),
        (blocks("user", {"type": "text"}), "/content/0/text"),
        (blocks("user", {"type": "text", "text": "x"}, {"type": "text", "text": 5}), "/content/1/text"),
        (blocks("assistant", {"type": "refusal"}), "/content/0/refusal"),
        ({"role": "user", "content": "x", "name": 5}, "/name"),
        ({"role": "tool", "content": "x"}, "/tool_call_id"),
        ({"role": "tool", "content": "x", "tool_call_id": ""}, "/tool_call_id"),
        ({"role": "tool", "content": "x", "tool_call_id": LONG_ID}, "/tool_call_id"),
        ({"role": "tool", "content": "x", "tool_call_id": 5}, "/tool_call_id"),
        ({"role": "tool", "tool_call_id": "a"}, "/content"),
        ({"role": "tool", "content": "x", "tool_call_id": "a", "name": LONG_NAME}, "/name"),
        ({"role": "assistant", "content": "x", "refusal": 5}, "/refusal"),
        ({"role": "assistant", "tool_calls": 5}, "/tool_calls"),
        ({"role": "assistant", "tool_calls": [5]}, "/tool_calls/0"),
        ({"role": "assistant", "function_call": {"name": "f"}}, "/function_call"),
        (call(id=None), "/tool_calls/0/id"),
        (call(id=""), "/tool_calls/0/id"),
        (call(id=LONG_ID), "/tool_calls/0/id"),
        (call(type="unheard_of"), "/tool_calls/0/type"),
        (call(type="custom"), "/tool_calls/0/custom"),
        (call(type="custom", custom={"name": "f"}), "/tool_calls/0/custom/input"),
        (call(function=None), "/tool_calls/0/function"),
        (call(function={"name": "f"}), "/tool_calls/0/function/arguments"),
        (call(function={"name": "f", "arguments": {}}), "/tool_calls/0/function/arguments"),
        (call(function={"arguments": "{}"}), "/tool_calls/0/function/name"),
        (call(function={"name": LONG_NAME, "arguments": "{}"}), "/tool_calls/0/function/name"),
    ],
    "openai-responses": [
        ({}, "/role"),
        ({"type": 5}, "/type"),
        ({"role": "tool", "content": "x"}, "/role"),
        ({"role": "user"}, "/content"),
        ({"role": "user", "content": 5}, "/content"),
        (blocks("user", {"type": "input_text"}), "/content/0/text"),
        (blocks("assistant", {"type": "input_text", "text": "x"}), "/content/0/type"),
        (blocks("assistant", {"type": "output_text", "text": 5}), "/content/0/text"),
        ({"type": "item_reference", "id": "msg_1"}, ""),
        ({"type": "reasoning"}, "/summary"),
        ({"type": "reasoning", "summary": [{}]}, "/summary/0/text"),
        ({"type": "reasoning", "summary": [], "id": 5}, "/id"),
        (without(ITEM, "call_id"), "/call_id"),
        ({**ITEM, "call_id": ""}, "/call_id"),
        ({**ITEM, "call_id": LONG_ID}, "/call_id"),
        (without(ITEM, "name"), "/name"),
        ({**ITEM, "name": LONG_NAME}, "/name"),
        (without(ITEM, "arguments"), "/arguments"),
        ({**ITEM, "arguments": {}}, "/arguments"),
        ({"type": "custom_tool_call", "call_id": "a", "name": "f"}, "/input"),
        ({"type": "function_call_output", "output": "x"}, "/call_id"),
        ({"type": "function_call_output", "call_id": "a"}, "/output"),
        ({"type": "function_call_output", "call_id": "a", "output": [{"type": "input_text"}]}, "/output/0/text"),
    ],
    "anthropic": [
        ({}, "/role"),
        ({"role": "tool", "content": "x"}, "/role"),
        ({"role": "user"}, "/content"),
        ({"role": "user", "content": 5}, "/content"),
        ({"role": "assistant", "content": None}, "/content"),
        (blocks("user", "x"), "/content/0"),
        (blocks("user", {}), "/content/0/type"),
        (blocks("user", {"type": "text"}), "/content/0/text"),
        (blocks("user", {"type": "text", "text": "x"}, {"type": "image"}), "/content/1/source"),
        (blocks("user", {"type": "document", "source": "x"}), "/content/0/source"),
        (blocks("assistant", {"type": "thinking", "signature": "x"}), "/content/0/thinking"),
        (blocks("assistant", {"type": "redacted_thinking"}), "/content/0/data"),
        (blocks("user", USE), "/content/0/type"),
        (blocks("assistant", {"type": "tool_result", "tool_use_id": "a"}), "/content/0/type"),
        (blocks("assistant", without(USE, "id")), "/content/0/id"),
        (blocks("assistant", {**USE, "id": ""}), "/content/0/id"),
        (blocks("assistant", {**USE, "id": LONG_ID}), "/content/0/id"),
        (blocks("assistant", without(USE, "name")), "/content/0/name"),
        (blocks("assistant", {**USE, "name": LONG_NAME}), "/content/0/name"),
        (blocks("assistant", without(USE, "input")), "/content/0/input"),
        (blocks("assistant", {**USE, "input": "{}"}), "/content/0/input"),
        (blocks("user", {"type": "tool_result"}), "/content/0/tool_use_id"),
        (blocks("user", {"type": "tool_result", "tool_use_id": ""}), "/content/0/tool_use_id"),
        (blocks("user", {"type": "tool_result", "tool_use_id": "a", "content": 5}), "/content/0/content"),
        (blocks("user", {"type": "tool_result", "tool_use_id": "a", "content": [USE]}), "/content/0/content/0/type"),
    ],
    "gemini": [
        ({}, "/role"),
        ({"role": "assistant", "parts": []}, "/role"),
        ({"role": "user", "parts": 5}, "/parts"),
        (parts("user", "x"), "/parts/0"),
        (parts("user", {"text": 5}), "/parts/0/text"),
        (parts("user", {"inline_data": {}}), "/parts/0"),
        (parts("model", {"text": "x"}, {"text": "x", "functionCall": {"name": "f"}}), "/parts/1"),
        (parts("user", {"functionCall": {"name": "f"}}), "/parts/0/functionCall"),
        (parts("model", {"functionCall": {}}), "/parts/0/functionCall/name"),
        (parts("model", {"functionCall": {"name": LONG_NAME}}), "/parts/0/functionCall/name"),
        (parts("model", {"functionCall": {"name": "f", "args": "{}"}}), "/parts/0/functionCall/args"),
        (parts("model", {"functionCall": {"name": "f", "id": LONG_ID}}), "/parts/0/functionCall/id"),
        (parts("user", {"functionResponse": {"response": {}}}), "/parts/0/functionResponse/name"),
        (parts("user", {"functionResponse": {"name": "f"}}), "/parts/0/functionResponse/response"),
        (parts("user", {"functionResponse": {"name": "f", "response": "x"}}), "/parts/0/functionResponse/response"),
        (parts("user", {"inlineData": {"data": "eA=="}}), "/parts/0/inlineData/mimeType"),
        (parts("user", {"inlineData": {"mimeType": "image/png"}}), "/parts/0/inlineData/data"),
        (parts("user", {"fileData": {}}), "/parts/0/fileData/fileUri"),
    ],
    "ai-sdk": [
        ({}, "/role"),
        ({"role": "data", "content": "x"}, "/role"),
        ({"role": "user"}, "/content"),
        ({"role": "user", "parts": [{"type": "text", "text": "A message of the page."}]}, "/content"),
        ({"role": "assistant", "content": None}, "/content"),
        ({"role": "system", "content": [{"type": "text", "text": "x"}]}, "/content"),
        (blocks("user", 5), "/content/0"),
        (blocks("user", {}), "/content/0/type"),
        (blocks("user", {"type": "text"}), "/content/0/text"),
        (blocks("assistant", {"type": "reasoning"}), "/content/0/text"),
        (blocks("assistant", {"type": "image", "image": "https://example.com/a.png"}), "/content/0/type"),
        (blocks("assistant", without(MADE, "toolCallId")), "/content/0/toolCallId"),
        (blocks("assistant", {**MADE, "toolCallId": ""}), "/content/0/toolCallId"),
        (blocks("assistant", without(MADE, "toolName")), "/content/0/toolName"),
        (blocks("assistant", {**MADE, "toolName": LONG_NAME}), "/content/0/toolName"),
        (blocks("assistant", without(MADE, "input")), "/content/0/input"),
        ({"role": "tool", "content": "x"}, "/content"),
        ({"role": "tool", "content": []}, "/content"),
        (blocks("tool", {"type": "text", "text": "x"}), "/content/0/type"),
        (blocks("tool", without(RESULT, "toolCallId")), "/content/0/toolCallId"),
        (blocks("tool", without(RESULT, "toolName")), "/content/0/toolName"),
        (blocks("tool", without(RESULT, "output")), "/content/0/output"),
        (blocks("tool", {**RESULT, "output": "a bare value"}), "/content/0/output"),
        (blocks("tool", {**RESULT, "output": {"value": "x"}}), "/content/0/output/type"),
        (blocks("tool", {**RESULT, "output": {"type": "text"}}), "/content/0/output/value"),
        (blocks("tool", {**RESULT, "output": {"type": "content", "value": "x"}}), "/content/0/output/value"),
    ],
}


class TestBadInput:
    @pytest.mark.parametrize("name", FORMATS)
    def test_is_pointed_at_in_what_was_sent(self, api: httpx.Client, context_id: str, name: str) -> None:
        for turn, place in BAD[name]:
            refused = post(api, context_id, name, [user(name), turn, user(name)])

            assert pointers(refused) == [f"/messages/1{place}"], turn
            assert refused.json()["errors"][0]["detail"]
        assert latest(api, context_id) == 0

    @pytest.mark.parametrize("name", FORMATS)
    def test_is_said_of_each_turn(self, api: httpx.Client, context_id: str, name: str) -> None:
        refused = post(api, context_id, name, [{}, user(name), {}])

        assert pointers(refused) == ["/messages/0/role", "/messages/2/role"]

    def test_without_end_is_said_of_so_many_turns_alone(self, api: httpx.Client, context_id: str) -> None:
        refused = post(api, context_id, "anthropic", [{}] * 5000)

        assert 1 < len(pointers(refused)) <= 20
