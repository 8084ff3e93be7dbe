"""A conversation in each provider's shape that it takes: with calls, results, media, reasoning and errors."""

from typing import Any

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQ="
IMAGE_URL = "https://example.com/a.png"
PLACEHOLDER = "skip_thought_signature_validator"


def _chat_call(call_id: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "get_order", "arguments": '{"number": 1042}'}}


CHAT: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You answer for a shop."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where are my orders?"},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
                {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}},
                {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}},
            ],
        },
        {"role": "assistant", "content": "I look.", "tool_calls": [_chat_call("call_1"), _chat_call("call_2")]},
        {"role": "tool", "tool_call_id": "call_2", "content": "shipped"},
        {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "lost"}]},
        {"role": "user", "name": "ann", "content": "Look again."},
        {"role": "assistant", "content": None, "tool_calls": [_chat_call("call_1")]},
        {"role": "tool", "tool_call_id": "call_1", "content": ""},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot say."}]},
        {"role": "developer", "content": "Be brief."},
        {"role": "assistant", "content": "It is lost."},
    ]
}


def _item(kind: str, call_id: str, **members: Any) -> dict[str, Any]:
    return {"type": kind, "call_id": call_id, **members}


def _function_call(call_id: str, **members: Any) -> dict[str, Any]:
    return _item("function_call", call_id, name="get_order", arguments='{"number": 1042}', **members)


RESPONSES: dict[str, Any] = {
    "instructions": "You answer for a shop.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Where are my orders?"},
                {"type": "input_image", "image_url": IMAGE_URL},
                {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
            ],
        },
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"role": "assistant", "id": "msg_1", "content": [{"type": "output_text", "text": "I look."}]},
        _function_call("call_1", id="fc_1"),
        _function_call("call_2"),
        _item("function_call_output", "call_2", output="shipped"),
        {"role": "user", "content": "Hurry."},
        _item("function_call_output", "call_1", output=[{"type": "input_text", "text": "lost"}]),
        {"type": "reasoning", "summary": [], "encrypted_content": "gBBB"},
        _function_call("call_1"),
        _item("function_call_output", "call_1", output=""),
        _item("custom_tool_call", "call_3", name="shell", input="ls"),
        _item("custom_tool_call_output", "call_3", output="a.txt"),
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "assistant", "phase": "final_answer", "content": "It is lost."},
    ],
}


def _tool_use(call_id: str) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": "get_order", "input": {"cache_control": "a tool's own"}}


ANTHROPIC: dict[str, Any] = {
    "system": [{"type": "text", "text": "You answer for a shop."}],
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where are my orders?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "x"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"},
                {"type": "text", "text": "I look."},
                _tool_use("call_1"),
                _tool_use("call_2"),
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_2", "content": "gone", "is_error": True},
                {"type": "tool_result", "tool_use_id": "call_1"},
                {"type": "text", "text": "Hurry."},
            ],
        },
        {"role": "user", "content": "Please."},
        {"role": "assistant", "content": [_tool_use("call_3")]},
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "call_3",
                    "content": [
                        {"type": "text", "text": "a map"},
                        {"type": "image", "source": {"type": "url", "url": IMAGE_URL}},
                    ],
                },
            ],
        },
        {"role": "assistant", "content": "It is lost."},
    ],
}


def _function(kind: str, call_id: str | None, **members: Any) -> dict[str, Any]:
    return {kind: {"name": "get_order", **({"id": call_id} if call_id else {}), **members}}


GEMINI: dict[str, Any] = {
    "systemInstruction": {"parts": [{"text": "You answer for a shop."}]},
    "contents": [
        {
            "role": "user",
            "parts": [{"text": "Where are my orders?"}, {"inlineData": {"mimeType": "image/png", "data": PNG}}],
        },
        {
            "role": "model",
            "parts": [
                {"text": "Hm.", "thought": True},
                {"text": "I look."},
                {**_function("functionCall", "call_1", args={"number": 1042}), "thoughtSignature": "c2ln"},
                _function("functionCall", "call_2", args={}),
            ],
        },
        {
            "role": "user",
            "parts": [
                _function("functionResponse", "call_1", response={"output": "shipped"}),
                _function("functionResponse", "call_2", response={"error": "gone"}),
            ],
        },
        {"role": "user", "parts": [{"fileData": {"fileUri": "gs://bucket/a.pdf", "mimeType": "application/pdf"}}]},
        {"role": "model", "parts": [{**_function("functionCall", None, args={}), "thoughtSignature": PLACEHOLDER}]},
        {"role": "user", "parts": [_function("functionResponse", None, response={})]},
        {"role": "model", "parts": [{"text": "It is lost."}, {"text": "", "thoughtSignature": "c2ln"}]},
    ],
}


def _tool_call(call_id: str) -> dict[str, Any]:
    return {"type": "tool-call", "toolCallId": call_id, "toolName": "get_order", "input": {"number": 1042}}


def _tool_result(call_id: str, kind: str, value: Any) -> dict[str, Any]:
    output = {"type": kind, "value": value}
    return {"type": "tool-result", "toolCallId": call_id, "toolName": "get_order", "output": output}


AI_SDK: dict[str, Any] = {
    "system": "You answer for a shop.",
    "messages": [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Where are my orders?"},
                {"type": "file", "data": IMAGE_URL, "mediaType": "image/png", "filename": "a.png"},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "reasoning", "text": "Hm.", "providerOptions": {"anthropic": {"signature": "c2ln"}}},
                {"type": "text", "text": "I look."},
                _tool_call("call_1"),
                _tool_call("call_2"),
            ],
        },
        {"role": "tool", "content": [_tool_result("call_2", "json", None)]},
        {"role": "tool", "content": [_tool_result("call_1", "error-text", "gone")]},
        {"role": "user", "content": "Look again."},
        {"role": "assistant", "content": [_tool_call("call_1")]},
        {"role": "tool", "content": [_tool_result("call_1", "content", [{"type": "text", "text": "lost"}])]},
        {"role": "assistant", "content": "It is lost."},
    ],
}

EXAMPLES = {
    "openai-chat": CHAT,
    "openai-responses": RESPONSES,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "ai-sdk": AI_SDK,
}
