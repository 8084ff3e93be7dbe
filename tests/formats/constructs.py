"""What each provider gives and takes: every construct of theirs, each in a conversation that the provider accepts."""

from typing import Any

from tests.formats.examples import EXAMPLES, IMAGE_URL, PDF, PNG

type Native = dict[str, Any]

ASKED = {"role": "user", "content": "Where is my order?"}
ASKED_GEMINI = {"role": "user", "parts": [{"text": "Where is my order?"}]}


# --- Chat


def chat_call(call_id: str, arguments: str = "{}", **members: Any) -> Native:
    return {"id": call_id, "type": "function", "function": {"name": "get_order", "arguments": arguments}, **members}


def chat_result(call_id: str, content: Any = "shipped", **members: Any) -> Native:
    return {"role": "tool", "tool_call_id": call_id, "content": content, **members}


def chat_parts(*parts: Native) -> list[Native]:
    return [{"role": "user", "content": list(parts)}]


def chat_said(**members: Any) -> list[Native]:
    return [ASKED, {"role": "assistant", **members}]


CUSTOM = {"id": "call_1", "type": "custom", "custom": {"name": "shell", "input": "ls -l"}}

CHAT: dict[str, list[Native]] = {
    "a refusal beside a text": chat_said(content="I would rather not.", refusal="I cannot."),
    "a refusal as a part": chat_said(content=[{"type": "refusal", "refusal": "I cannot."}]),
    "annotations": chat_said(
        content="See there.", annotations=[{"type": "url_citation", "url_citation": {"url": IMAGE_URL, "title": "A"}}]
    ),
    "audio": chat_said(content=None, audio={"id": "audio_1"}),
    "a name": [{**ASKED, "name": "ann"}, {"role": "assistant", "name": "bot", "content": "Soon."}],
    "a developer": [{"role": "developer", "content": "Be brief."}, ASKED],
    "a developer in parts": [{"role": "developer", "content": [{"type": "text", "text": "Be brief."}]}, ASKED],
    "a developer later": [ASKED, {"role": "developer", "name": "ops", "content": "Be brief."}],
    "system messages anywhere": [ASKED, {"role": "system", "content": "Be brief."}, ASKED],
    "a file by its id": chat_parts({"type": "file", "file": {"file_id": "file-1"}}),
    "a file by its content": chat_parts(
        {"type": "file", "file": {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}}
    ),
    "audio of the user": chat_parts({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "mp3"}}),
    "images": chat_parts(
        {"type": "text", "text": "Which?"},
        {"type": "image_url", "image_url": {"url": IMAGE_URL}},
        {"type": "image_url", "image_url": {"url": IMAGE_URL, "detail": "auto"}},
        {"type": "image_url", "image_url": {"url": f"data:image/webp;base64,{PNG}", "detail": "high"}},
    ),
    "a text in one part": chat_parts({"type": "text", "text": "Where?"}),
    "an empty text": [{"role": "user", "content": ""}, {"role": "assistant", "content": ""}],
    "a custom tool": [
        *chat_said(content=None, tool_calls=[CUSTOM, chat_call("call_2")]),
        chat_result("call_1", "a.txt"),
        chat_result("call_2"),
    ],
    "calls without content": [
        ASKED,
        {"role": "assistant", "tool_calls": [chat_call("call_1", '{"number":\n 1042 }')]},
        chat_result("call_1", [{"type": "text", "text": "lost"}, {"type": "text", "text": "or not"}]),
    ],
    "calls beside a text": [
        *chat_said(content="", refusal=None, tool_calls=[chat_call("call_1", '{"a": 1.0}')], function_call=None),
        chat_result("call_1", "", name="get_order"),
    ],
    "one id in two turns": [
        *chat_said(content=None, tool_calls=[chat_call("call_1")]),
        chat_result("call_1"),
        *chat_said(content=None, tool_calls=[chat_call("call_1")]),
        chat_result("call_1"),
    ],
    "unknown members": [
        {**ASKED, "unheard_of": {"a": None}},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "Hm.", "unheard_of": [1]}],
            "unheard_of": 5,
            "tool_calls": [chat_call("call_1", unheard_of=True)],
        },
        chat_result("call_1", [{"type": "text", "text": "x", "unheard_of": 1}], unheard_of=[]),
        {"role": "user", "content": [{"type": "unheard_of", "unheard_of": {}}]},
        {"role": "system", "content": "x", "unheard_of": 1},
    ],
}


# --- Responses


def item_call(call_id: str, **members: Any) -> Native:
    return {"type": "function_call", "call_id": call_id, "name": "get_order", "arguments": "{}", **members}


def item_output(call_id: str, output: Any = "shipped", **members: Any) -> Native:
    return {"type": "function_call_output", "call_id": call_id, "output": output, **members}


def reasoning(number: int, **members: Any) -> Native:
    return {"type": "reasoning", "id": f"rs_{number}", "summary": [], "encrypted_content": "gAAA", **members}


def message(number: int, *parts: Native, **members: Any) -> Native:
    content = list(parts) or [{"type": "output_text", "text": "Soon.", "annotations": [], "logprobs": []}]
    given = {"type": "message", "id": f"msg_{number}", "role": "assistant", "status": "completed", "content": content}
    return {**given, **members}


def item_said(*parts: Native) -> list[Native]:
    return [{"role": "user", "content": list(parts)}]


SUMMARY = [{"type": "summary_text", "text": "It asks for an order."}, {"type": "summary_text", "text": "So I look."}]
CITATION = {"type": "url_citation", "url": IMAGE_URL, "title": "A", "start_index": 0, "end_index": 3}

RESPONSES: dict[str, list[Native]] = {
    "reasoning before a text": [ASKED, reasoning(1, summary=SUMMARY), message(1)],
    "reasoning before a call": [ASKED, reasoning(1), item_call("call_1", id="fc_1"), item_output("call_1")],
    "reasoning in its own words": [
        ASKED,
        reasoning(1, content=[{"type": "reasoning_text", "text": "Hm."}], status="completed"),
        message(1),
    ],
    "reasoning between calls": [
        ASKED,
        reasoning(1),
        item_call("call_1", id="fc_1", status="completed"),
        reasoning(2, summary=SUMMARY),
        item_call("call_2", id="fc_2", namespace="shop"),
        item_output("call_1"),
        item_output("call_2"),
        reasoning(3),
        message(1),
    ],
    "ids without reasoning": [ASKED, message(1), item_call("call_1", id="fc_1"), item_output("call_1")],
    "phase": [
        ASKED,
        message(1, phase="commentary"),
        item_call("call_1"),
        item_output("call_1", status="completed"),
        message(2, phase="final_answer"),
        message(3, phase=None),
    ],
    "annotations": [ASKED, message(1, {"type": "output_text", "text": "See there.", "annotations": [CITATION]})],
    "a refusal": [ASKED, message(1, {"type": "refusal", "refusal": "I cannot."})],
    "a text alone": [ASKED, {"role": "assistant", "content": "Soon."}, {"role": "assistant", "content": ""}],
    "a custom tool": [
        ASKED,
        {"type": "custom_tool_call", "id": "ctc_1", "call_id": "call_1", "name": "shell", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "call_1", "output": "a.txt"},
    ],
    "parts of outputs": [
        ASKED,
        item_call("call_1"),
        item_call("call_2"),
        item_output(
            "call_1",
            [
                {"type": "input_text", "text": "a map"},
                {"type": "input_image", "image_url": IMAGE_URL, "detail": "low"},
                {"type": "input_file", "file_id": "file-1"},
            ],
        ),
        item_output("call_2", "", id="fco_1"),
    ],
    "tools of the provider's": [
        ASKED,
        reasoning(1),
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"type": "code_interpreter_call", "id": "ci_1", "code": "1", "container_id": "c", "outputs": None},
        {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": None},
        {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["x"]},
        message(1),
    ],
    "a computer": [
        ASKED,
        {"type": "computer_call", "id": "cu_1", "call_id": "call_1", "action": {"type": "click", "x": 1, "y": 2}},
        {
            "type": "computer_call_output",
            "call_id": "call_1",
            "output": {"type": "computer_screenshot", "image_url": IMAGE_URL},
        },
    ],
    "a shell": [
        ASKED,
        {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "action": {"commands": ["ls"]}},
        {
            "type": "shell_call_output",
            "call_id": "call_1",
            "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}],
        },
        {"type": "apply_patch_call", "call_id": "call_2", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "call_2", "status": "failed", "output": "no such file"},
    ],
    "an approval": [
        ASKED,
        {"type": "mcp_approval_request", "id": "mcpr_1", "name": "f", "arguments": "{}", "server_label": "s"},
        {"type": "mcp_approval_response", "approval_request_id": "mcpr_1", "approve": True},
        {"type": "mcp_call", "id": "mcp_1", "name": "f", "arguments": "{}", "server_label": "s", "output": None},
        message(1),
    ],
    "a compaction": [ASKED, {"type": "compaction", "id": "cmp_1", "encrypted_content": "gAAA"}, ASKED],
    "media": item_said(
        {"type": "input_text", "text": "Which?"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "original"},
        {"type": "input_image", "image_url": IMAGE_URL},
        {"type": "input_image", "file_id": "file-1", "detail": "auto"},
        {"type": "input_file", "file_id": "file-1"},
        {"type": "input_file", "file_url": "https://example.com/a.pdf", "filename": "a.pdf"},
        {"type": "input_file", "filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"},
    ),
    "developers and system messages": [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "type": "message", "content": "x"},
        {"role": "system", "content": [{"type": "input_text", "text": "Be kind."}]},
        {"role": "developer", "type": "message", "content": [{"type": "input_text", "text": "Be brief."}]},
    ],
    "unknown members": [
        {**ASKED, "unheard_of": 1},
        reasoning(1, unheard_of=1),
        message(1, {"type": "output_text", "text": "x", "unheard_of": 1}, {"type": "unheard_of"}, unheard_of={}),
        item_call("call_1", unheard_of=[None]),
        item_output("call_1", [{"type": "input_text", "text": "x", "unheard_of": 1}], unheard_of=2),
        {"role": "user", "content": [{"type": "unheard_of", "unheard_of": {}}]},
        {"type": "unheard_of", "unheard_of": 1},
    ],
}


# --- Anthropic


def tool_use(call_id: str, **members: Any) -> Native:
    return {"type": "tool_use", "id": call_id, "name": "get_order", "input": {"number": 1042}, **members}


def tool_result(call_id: str, *parts: Native, **members: Any) -> Native:
    content = {"content": list(parts)} if parts else {}
    return {"type": "tool_result", "tool_use_id": call_id, **content, **members}


def source(kind: str, **members: Any) -> Native:
    return {"source": {"type": kind, **members}}


def blocks(*given: Native) -> list[Native]:
    return [ASKED, {"role": "assistant", "content": list(given)}]


def heard(*given: Native) -> Native:
    return {"role": "user", "content": list(given)}


TEXT = {"type": "text", "text": "I look."}
THINKING = {"type": "thinking", "thinking": "Hm.", "signature": "c2ln"}
REDACTED = {"type": "redacted_thinking", "data": "EmwK"}
IMAGE = {"type": "image", **source("base64", media_type="image/png", data=PNG)}
SEARCH = {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "x"}}
FOUND = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [{"type": "web_search_result", "url": IMAGE_URL, "title": "A", "encrypted_content": "EqgfCio"}],
}
QUOTE = {"type": "web_search_result_location", "url": IMAGE_URL, "cited_text": "x", "encrypted_index": "Eo8B"}

ANTHROPIC: dict[str, list[Native]] = {
    "thinking": [*blocks(THINKING, TEXT), ASKED],
    "thinking without words": [*blocks({**THINKING, "thinking": ""}, TEXT), ASKED],
    "thinking before a call": [*blocks(THINKING, TEXT, tool_use("call_1")), heard(tool_result("call_1", TEXT))],
    "redacted thinking": [*blocks(THINKING, REDACTED, REDACTED, TEXT), ASKED],
    "thinking between": [
        *blocks(THINKING, TEXT, SEARCH, FOUND, THINKING, TEXT, tool_use("call_1")),
        heard(tool_result("call_1", TEXT)),
    ],
    "thinking behind a call": [
        *blocks(THINKING, tool_use("call_1"), THINKING, TEXT, tool_use("call_2")),
        heard(tool_result("call_1", TEXT), tool_result("call_2", TEXT)),
    ],
    "citations": [*blocks({**TEXT, "citations": [QUOTE]}, {**TEXT, "citations": None}), ASKED],
    "tools of the provider's": [*blocks(TEXT, SEARCH, FOUND, {**TEXT, "citations": [QUOTE]}), ASKED],
    "a tool of the provider's that failed": [
        *blocks(
            SEARCH,
            {**FOUND, "content": {"type": "web_search_tool_result_error", "error_code": "unavailable"}},
            TEXT,
        ),
        ASKED,
    ],
    "code that the provider runs": [
        *blocks(
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "bash_code_execution", "input": {"command": "ls"}},
            {
                "type": "bash_code_execution_tool_result",
                "tool_use_id": "srvtoolu_1",
                "content": {"type": "bash_code_execution_result", "stdout": "a", "stderr": "", "return_code": 0},
            },
            {"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "f", "server_name": "s", "input": {}},
            {"type": "mcp_tool_result", "tool_use_id": "mcptoolu_1", "is_error": False, "content": [TEXT]},
            {"type": "container_upload", "file_id": "file_1"},
        ),
        ASKED,
    ],
    "a search that goes on": blocks(TEXT, SEARCH),
    "a text alone": [ASKED, {"role": "assistant", "content": "I look."}],
    "texts in a row": [*blocks(TEXT, TEXT), heard(TEXT, {**TEXT, "text": "x"})],
    "images": [
        heard(
            TEXT,
            IMAGE,
            {"type": "image", **source("url", url=IMAGE_URL)},
            {"type": "image", **source("file", file_id="file_1")},
        )
    ],
    "documents": [
        heard(
            {"type": "document", **source("base64", media_type="application/pdf", data=PDF), "title": "A"},
            {"type": "document", **source("text", media_type="text/plain", data="x"), "context": "c"},
            {"type": "document", **source("url", url="https://example.com/a.pdf"), "citations": {"enabled": True}},
            {"type": "document", **source("file", file_id="file_1"), "title": None},
            {"type": "document", **source("content", content=[TEXT, IMAGE])},
            {
                "type": "search_result",
                "source": IMAGE_URL,
                "title": "A",
                "content": [TEXT],
                "citations": {"enabled": True},
            },
        )
    ],
    "results": [
        *blocks(*(tool_use(f"call_{number}") for number in range(9))),
        heard(
            tool_result("call_0"),
            tool_result("call_1", TEXT, IMAGE),
            tool_result("call_2", TEXT, TEXT, is_error=True),
            tool_result("call_3", content="shipped"),
            tool_result("call_4", content="gone", is_error=True),
            tool_result("call_5", content="shipped", is_error=False),
            tool_result("call_6", {"type": "document", **source("text", media_type="text/plain", data="x")}),
            tool_result("call_7", {"type": "tool_reference", "tool_name": "f"}),
            tool_result("call_8", TEXT),
            TEXT,
            IMAGE,
        ),
    ],
    "results in another order": [
        *blocks(tool_use("call_1"), tool_use("call_2")),
        heard(tool_result("call_2", TEXT), tool_result("call_1", TEXT)),
        heard(TEXT),
    ],
    "a later system message": [
        ASKED,
        {"role": "system", "content": "Be brief."},
        {"role": "assistant", "content": "I look."},
        ASKED,
        {"role": "system", "content": [{"type": "text", "text": "Be kind."}]},
    ],
    "unknown members": [
        *blocks(
            {**THINKING, "unheard_of": 1},
            {"type": "unheard_of", "unheard_of": {"a": None}},
            {**TEXT, "unheard_of": 1},
            tool_use("call_1", caller={"type": "direct"}),
        ),
        heard(
            tool_result("call_1", {**TEXT, "unheard_of": 1}, {"type": "unheard_of"}, unheard_of=1),
            {**TEXT, "unheard_of": 1},
            {**IMAGE, "unheard_of": 1},
            {"type": "unheard_of", "unheard_of": [1]},
        ),
    ],
}


# --- Gemini


def model(*parts: Native) -> list[Native]:
    return [ASKED_GEMINI, {"role": "model", "parts": list(parts)}]


def user(*parts: Native) -> Native:
    return {"role": "user", "parts": list(parts)}


def function_call(name: str = "f", *, signature: str | None = None, **members: Any) -> Native:
    signed = {"thoughtSignature": signature} if signature else {}
    return {"functionCall": {"name": name, "args": {"number": 1042}, **members}, **signed}


def response(name: str = "f", given: Any = None, **members: Any) -> Native:
    return {"functionResponse": {"name": name, "response": {} if given is None else given, **members}}


INLINE = {"inlineData": {"mimeType": "image/png", "data": PNG}}

GEMINI: dict[str, list[Native]] = {
    "signatures on texts": model({"text": "Soon.", "thoughtSignature": "c2ln"}),
    "signatures on an empty text": model({"text": "Soon."}, {"text": "", "thoughtSignature": "c2ln"}),
    "thoughts": model(
        {"text": "Hm.", "thought": True, "thoughtSignature": "c2ln"}, {"text": "Soon.", "thought": False}
    ),
    "calls": [
        *model({"text": "Hm.", "thought": True}, function_call(signature="c2ln", id="a"), function_call(id="b")),
        user(response(id="a"), response(id="b")),
    ],
    "calls without ids": [
        *model(function_call(signature="c2ln"), function_call("g"), function_call()),
        user(response(given={"output": "x"}), response("g"), response()),
    ],
    "calls without arguments": [
        *model({"functionCall": {"name": "f"}, "thoughtSignature": "c2ln"}),
        user(response()),
    ],
    "calls in two steps": [
        *model(function_call(signature="c2ln")),
        user(response()),
        {"role": "model", "parts": [function_call(signature="ZGll")]},
        user(response()),
        {"role": "model", "parts": [{"text": "Soon."}]},
    ],
    "forms of responses": [
        *model(*(function_call(id=str(number), signature=None if number else "c2ln") for number in range(9))),
        user(
            response(id="0", given={"output": "x"}),
            response(id="1", given={"output": {"a": 1}}),
            response(id="2", given={"error": "gone"}),
            response(id="3", given={"error": {"code": 5}}),
            response(id="4", given={"result": "x"}),
            response(id="5", given={"a": 1, "b": None}),
            response(id="6", given={"output": "x", "error": "y"}),
            response(id="7", given={"output": ""}, parts=[INLINE]),
            response(id="8", given={}, willContinue=False, scheduling="SILENT"),
        ),
    ],
    "media": [
        user(
            {"text": "Which?"},
            INLINE,
            {"inlineData": {"mimeType": "application/pdf", "data": PDF, "displayName": "a.pdf"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "UklGRg=="}},
            {"inlineData": {"mimeType": "video/mp4", "data": PNG}, "videoMetadata": {"fps": 1}},
            {"fileData": {"fileUri": "gs://bucket/a.pdf", "mimeType": "application/pdf"}},
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
            {"fileData": {"fileUri": IMAGE_URL, "mimeType": "image/png"}},
        )
    ],
    "media behind responses": [
        *model(function_call(signature="c2ln")),
        user(response()),
        user(INLINE, {"text": "Here."}),
    ],
    "media of the model's": model(INLINE, {**INLINE, "thoughtSignature": "c2ln"}, {"text": "A map."}),
    "code that the provider runs": model(
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"text": "It is 1."},
    ),
    "a text in two parts": [user({"text": "Where"}, {"text": " is it?"})],
    "unknown members": [
        user({"text": "x", "unheardOf": 1}, {"unheardOf": {"a": 1}}),
        {
            "role": "model",
            "parts": [
                {"text": "x", "unheardOf": 1},
                {"unheardOf": {"a": 1}},
                function_call(signature="c2ln", unheardOf=1),
            ],
        },
        user(response(unheardOf=1)),
    ],
}


# --- The AI SDK


def tool_call(call_id: str, **members: Any) -> Native:
    return {"type": "tool-call", "toolCallId": call_id, "toolName": "get_order", "input": {"number": 1042}, **members}


def outcome(call_id: str, kind: str, *value: Any, **members: Any) -> Native:
    output = {"type": kind, **({"value": value[0]} if value else {})}
    part = {"type": "tool-result", "toolCallId": call_id, "toolName": "get_order", "output": output, **members}
    return {"role": "tool", "content": [part]}


SIGNED = {"anthropic": {"signature": "c2ln"}}

AI_SDK: dict[str, list[Native]] = {
    "reasoning": blocks(
        {"type": "reasoning", "text": "Hm.", "providerOptions": SIGNED},
        {"type": "reasoning", "text": "", "providerOptions": {"anthropic": {"redactedData": "EmwK"}}},
        {
            "type": "reasoning",
            "text": "",
            "providerOptions": {"openai": {"itemId": "rs_1", "reasoningEncryptedContent": "gAAA"}},
        },
        {"type": "text", "text": "Soon.", "providerOptions": {"google": {"thoughtSignature": "c2ln"}}},
    ),
    "files": [
        heard(
            TEXT,
            {"type": "file", "data": PDF, "mediaType": "application/pdf", "filename": "a.pdf"},
            {"type": "file", "data": IMAGE_URL, "mediaType": "image/png"},
            {"type": "file", "data": f"data:image/png;base64,{PNG}", "mediaType": "image/png"},
            {"type": "file", "data": "UklGRg==", "mediaType": "audio/wav"},
            {"type": "image", "image": IMAGE_URL, "mediaType": "image/*"},
            {"type": "image", "image": PNG},
        ),
        {"role": "assistant", "content": [{"type": "file", "data": PNG, "mediaType": "image/png"}]},
    ],
    "outputs": [
        *blocks(*(tool_call(f"call_{number}") for number in range(7))),
        outcome("call_0", "text", "shipped"),
        outcome("call_1", "error-text", "gone"),
        outcome("call_2", "json", {"a": [1.5, None]}),
        outcome("call_3", "json", None),
        outcome("call_4", "error-json", {"code": 5}),
        outcome("call_5", "content", [TEXT, {"type": "media", "data": PNG, "mediaType": "image/png"}]),
        outcome("call_6", "execution-denied"),
    ],
    "outputs of one message": [
        *blocks(tool_call("call_1"), tool_call("call_2")),
        {
            "role": "tool",
            "content": [
                outcome("call_2", "text", "")["content"][0],
                outcome("call_1", "content", [TEXT])["content"][0],
            ],
        },
    ],
    "tools of the provider's": [
        *blocks(
            tool_call("srvtoolu_1", providerExecuted=True),
            outcome("srvtoolu_1", "json", [{"url": IMAGE_URL}])["content"][0],
            TEXT,
            tool_call("call_1", providerExecuted=False, providerOptions={"google": {"thoughtSignature": "c2ln"}}),
        ),
        outcome("call_1", "text", "x"),
    ],
    "a text alone": [ASKED, {"role": "assistant", "content": "I look."}],
    "a text in one part": [heard(TEXT), {"role": "assistant", "content": [TEXT]}],
    "options of messages": [
        {**ASKED, "providerOptions": {"openai": {"user": "ann"}}},
        {"role": "assistant", "content": "Soon.", "providerOptions": {"openai": {"phase": "final_answer"}}},
    ],
    "unknown members": [
        {**ASKED, "unheardOf": 1},
        {
            "role": "assistant",
            "content": [{**TEXT, "unheardOf": 1}, {"type": "unheard-of"}, tool_call("call_1", unheardOf=1)],
            "unheardOf": 1,
        },
        {**outcome("call_1", "text", "x", unheardOf=1), "unheardOf": 1},
    ],
}

CONSTRUCTS = {
    "openai-chat": CHAT,
    "openai-responses": RESPONSES,
    "anthropic": ANTHROPIC,
    "gemini": GEMINI,
    "ai-sdk": AI_SDK,
}

MEMBERS = {"openai-responses": "input", "gemini": "contents"}

for _name, _cases in CONSTRUCTS.items():
    _cases["a conversation"] = EXAMPLES[_name][MEMBERS.get(_name, "messages")]

# A result is moved to its call even where that is not needed, as in Responses.
RESPONSES["a conversation"] = [item for item in RESPONSES["a conversation"] if item.get("content") != "Hurry."]
