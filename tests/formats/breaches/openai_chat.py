"""What Chat Completions refuses."""

from typing import Any

from tests.formats.breaches.edits import GONE, Before, Case
from tests.formats.examples import PDF

TEXT = {"type": "text", "text": "x"}
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
CUSTOM = {"id": "call_9", "type": "custom", "custom": {"name": "f", "input": "x"}}


def answer(call_id: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "x"}


CASES: list[Case] = [
    ("data: may have no model", ("model", "x")),
    ("data: has no messages", ("messages", GONE)),
    ("data.messages[1].content[0].text: has half a surrogate pair", ("messages.1.content.0.text", "\ud800")),
    ("data.messages[0]: may not be 'function'", ("messages.0.role", "function")),
    ("data.messages[0]: may have no id", ("messages.0.id", "x")),
    ("data.messages[0].content: is neither text nor list", ("messages.0.content", None)),
    ("data.messages[1].content: is an empty list", ("messages.1.content", [])),
    ("data.messages[1].content[0]: has a cache mark", ("messages.1.content.0.cache_control", {"type": "ephemeral"})),
    ("data.messages[1].content[0].text: is no text", ("messages.1.content.0.text", 5)),
    ("data.messages[1].content[0]: has no type", ("messages.1.content.0.type", GONE)),
    ("data.messages[1].content[0]: may not be 'input_text'", ("messages.1.content.0.type", "input_text")),
    (
        "data.messages[1].content[1].image_url.url: is no http(s) URL or data URL of an image",
        ("messages.1.content.1.image_url.url", f"data:application/pdf;base64,{PDF}"),
    ),
    (
        "data.messages[1].content[1].image_url.detail: is not auto or low or high or original",
        ("messages.1.content.1.image_url.detail", "medium"),
    ),
    ("data.messages[1].content[1].image_url: is no object", ("messages.1.content.1.image_url", "https://x")),
    ("data.messages[1].content[2].file: has none of file_id, file_data", ("messages.1.content.2.file", {})),
    ("data.messages[1].content[2].file: has no filename", ("messages.1.content.2.file.filename", GONE)),
    (
        "data.messages[1].content[2].file.file_data: is no data URL of base64",
        ("messages.1.content.2.file.file_data", PDF),
    ),
    (
        "data.messages[1].content[3].input_audio.format: is not wav or mp3",
        ("messages.1.content.3.input_audio.format", "flac"),
    ),
    (
        "data.messages[1].content[3].input_audio.data: is no bare base64",
        ("messages.1.content.3.input_audio.data", "data:x"),
    ),
    ("data.messages[0].content[0]: may not be 'image_url'", ("messages.0.content", [IMAGE])),
    ("data.messages[4].content[0]: may not be 'image_url'", ("messages.4.content", [IMAGE])),
    ("data.messages[8].content[0]: may not be 'image_url'", ("messages.8.content", [IMAGE])),
    (r"data.messages[5].name: does not fit [^\s<|\\/>]+", ("messages.5.name", "a b")),
    ("data.messages[3]: may have no name", ("messages.3.name", "get_order")),
    ("data.messages[10]: may have no reasoning_content", ("messages.10.reasoning_content", "x")),
    ("data.messages[10]: has neither content nor tool_calls", ("messages.10.content", None)),
    ("data.messages[10]: has neither content nor tool_calls", ("messages.10.content", GONE)),
    ("data.messages[10].tool_calls: is an empty list", ("messages.10.tool_calls", [])),
    ("data.messages[8].content: has a refusal beside other parts", ("messages.8.content.1", Before(TEXT))),
    ("data.messages[6].tool_calls[0].id: has not 1 to 40 characters", ("messages.6.tool_calls.0.id", "x" * 41)),
    ("data.messages[7].tool_call_id: has not 1 to 40 characters", ("messages.7.tool_call_id", "")),
    (
        "data.messages[6].tool_calls[0].function.name: does not fit [a-zA-Z0-9_-]{1,64}",
        ("messages.6.tool_calls.0.function.name", "get.order"),
    ),
    (
        "data.messages[6].tool_calls[0].function.arguments: is no JSON text that can be read",
        ("messages.6.tool_calls.0.function.arguments", '{"a": NaN}'),
    ),
    (
        "data.messages[6].tool_calls[0].function.arguments: is no JSON text of an object",
        ("messages.6.tool_calls.0.function.arguments", "[]"),
    ),
    ("data.messages[6].tool_calls[0]: may not be 'custom'", ("messages.6.tool_calls.0", CUSTOM)),
    (
        "data.messages[2].tool_calls: two calls have one id",
        ("messages.2.tool_calls.1.id", "call_1"),
        ("messages.3", GONE),
    ),
    ("data.messages[2]: nothing answers 'call_1'", ("messages.4", GONE)),
    ("data.messages[6]: nothing answers 'call_1'", ("messages.7", {"role": "user", "content": "x"})),
    (
        "data.messages[6]: nothing answers 'call_1'",
        *[(f"messages.{number}", GONE) for number in (10, 9, 8, 7)],
    ),
    ("data.messages[5]: answers a call again", ("messages.5", answer("call_1"))),
    ("data.messages[9]: answers no call of the message before it", ("messages.9", answer("call_1"))),
]
