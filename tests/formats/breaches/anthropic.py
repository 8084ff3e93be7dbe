"""What the Messages API refuses."""

from typing import Any

from tests.formats.breaches.edits import GONE, Before, Case
from tests.formats.examples import IMAGE_URL, PNG

TEXT = {"type": "text", "text": "x"}
IMAGE = {"type": "image", "source": {"type": "url", "url": IMAGE_URL}}
IMAGE_PART = {"type": "image_url", "image_url": {"url": IMAGE_URL}}
THINKING = {"type": "thinking", "thinking": "x", "signature": "x"}
TOOL_USE = {"type": "tool_use", "id": "call_9", "name": "f", "input": {}}
MARK = {"type": "ephemeral"}


def user(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def assistant(*content: dict[str, Any]) -> dict[str, Any]:
    return {"role": "assistant", "content": list(content)}


def result(call_id: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": call_id}


CASES: list[Case] = [
    ("data: may have no model", ("model", "x")),
    ("data.system: has no visible character", ("system", "\u3164")),
    ("data.system: is an empty list", ("system", [])),
    ("data.system[0]: may not be 'image'", ("system.0", IMAGE)),
    ("data.system[0]: has a cache mark", ("system.0.cache_control", MARK)),
    ("data.messages[3]: may not be 'system'", ("messages.3.role", "system")),
    ("data.messages[3]: may not be 'tool'", ("messages.3.role", "tool")),
    ("data.messages[3]: may have no id", ("messages.3.id", "x")),
    ("data.messages[3]: has a cache mark", ("messages.3.cache_control", MARK)),
    ("data.messages[3].content: has no visible character", ("messages.3.content", " \u2800\u200b\n")),
    ("data.messages[3].content: is an empty list", ("messages.3.content", [])),
    ("data.messages[3].content: is neither text nor list", ("messages.3.content", None)),
    ("data.messages[0].content[0].text: has no visible character", ("messages.0.content.0.text", "")),
    ("data.messages[0].content[0]: may not be 'image_url'", ("messages.0.content.0", IMAGE_PART)),
    ("data.messages[0].content[0]: may not be 'tool_use'", ("messages.0.content.0", TOOL_USE)),
    ("data.messages[1].content[1]: may not be 'image'", ("messages.1.content.1", IMAGE)),
    ("data.messages[1].content[1]: may not be 'tool_result'", ("messages.1.content.1", result("call_1"))),
    (
        "data.messages[0].content[1].source.media_type: is not image/jpeg or image/png or image/gif or image/webp",
        ("messages.0.content.1.source.media_type", "image/svg+xml"),
    ),
    (
        "data.messages[0].content[1].source.data: is no bare base64",
        ("messages.0.content.1.source.data", f"data:image/png;base64,{PNG}"),
    ),
    (
        "data.messages[0].content[2].source.media_type: is not application/pdf",
        ("messages.0.content.2.source.media_type", "text/plain"),
    ),
    (
        "data.messages[0].content[3].source.data: has no visible character",
        ("messages.0.content.3.source.data", ""),
    ),
    (
        "data.messages[5].content[0].content[1].source.url: is no http(s) URL",
        ("messages.5.content.0.content.1.source.url", "data:image/png,x"),
    ),
    ("data.messages[5].content[0].content: is an empty list", ("messages.5.content.0.content", [])),
    ("data.messages[5].content[0].content: has no visible character", ("messages.5.content.0.content", "")),
    (
        "data.messages[5].content[0].content[0].text: has no visible character",
        ("messages.5.content.0.content.0.text", "\t"),
    ),
    (
        "data.messages[5].content[0].content[0]: has a cache mark",
        ("messages.5.content.0.content.0.cache_control", MARK),
    ),
    ("data.messages[2].content[0]: is an error without content", ("messages.2.content.0.content", GONE)),
    ("data.messages[2].content[0]: is an error with more than text", ("messages.2.content.0.content", [IMAGE])),
    ("data.messages[2].content[0].is_error: is not true or false", ("messages.2.content.0.is_error", "yes")),
    ("data.messages[4].content[0].id: does not fit [a-zA-Z0-9_-]{1,64}", ("messages.4.content.0.id", "a|b")),
    (
        "data.messages[5].content[0].tool_use_id: does not fit [a-zA-Z0-9_-]{1,64}",
        ("messages.5.content.0.tool_use_id", "x" * 65),
    ),
    ("data.messages[4].content[0].name: does not fit [a-zA-Z0-9_-]{1,128}", ("messages.4.content.0.name", "a.b")),
    ("data.messages[4].content[0].input: is no object", ("messages.4.content.0.input", "{}")),
    ("data.messages[4].content[0].input.a: is no number of JSON", ("messages.4.content.0.input.a", float("inf"))),
    (
        "data.messages[4].content[0].input: a member's name has half a surrogate pair",
        ("messages.4.content.0.input", {"\udfff": 1}),
    ),
    (
        "data.messages[4].content[0].id: is that of an earlier call",
        ("messages.4.content.0.id", "call_1"),
        ("messages.5.content.0.tool_use_id", "call_1"),
    ),
    ("data.messages[0]: opens with the assistant", ("messages.0", Before(assistant(TEXT)))),
    ("data.messages[1].content[3]: the next turn does not answer it", ("messages.2.content.0", GONE)),
    (
        "data.messages[6].content[0]: the next turn does not answer it",
        ("messages.6", assistant(TOOL_USE)),
    ),
    ("data.messages[2].content[2]: answers a call again", ("messages.2.content.2", result("call_1"))),
    (
        "data.messages[7].content[0]: answers no call of the turn before",
        ("messages.7", Before(user(result("call_3")))),
    ),
    (
        "data.messages[2].content[2]: is a result behind other blocks of its turn",
        ("messages.2.content.1", Before(TEXT)),
    ),
    (
        "data.messages[3].content[0]: is a result behind other blocks of its turn",
        ("messages.3", user(result("call_1"))),
        ("messages.2.content.1", GONE),
    ),
    ("data.messages[1].content[3]: stands behind a call of its turn", ("messages.1.content.3", Before(TEXT))),
    ("data.messages[2].content[0]: stands behind a call of its turn", ("messages.2", Before(assistant(TEXT)))),
    ("data.messages[1].content[0].signature: is empty", ("messages.1.content.0.signature", "")),
    ("data.messages[1].content[0]: has no signature", ("messages.1.content.0.signature", GONE)),
    (
        "data.messages[6].content[1]: is thinking at the end of its message",
        ("messages.6", assistant(TEXT, THINKING)),
    ),
    (
        "data.messages[4].content[0]: does not begin the last turn of calls with its thinking",
        ("messages.4.content.0", Before(THINKING)),
        ("messages.4.content.0", Before(TEXT)),
    ),
    ("data.messages[6]: ends the request with whitespace", ("messages.6.content", "x\n")),
    ("data.messages[6].content[0]: ends the request with whitespace", ("messages.6.content", [{**TEXT, "text": "x "}])),
]
