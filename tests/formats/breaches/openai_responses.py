"""What Responses refuses."""

from typing import Any

from tests.formats.breaches.edits import GONE, Before, Case
from tests.formats.examples import IMAGE_URL, PDF

USER = {"role": "user", "content": "x"}
SAID = {"role": "assistant", "content": "x"}
TEXT = {"type": "text", "text": "x"}
REASONING = {"type": "reasoning", "summary": [], "encrypted_content": "x"}


def output(call_id: str) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": call_id, "output": "x"}


CASES: list[Case] = [
    ("data: may have no model", ("model", "x")),
    ("data.instructions: is no text", ("instructions", None)),
    ("data.input[0]: may not be 'tool'", ("input.0.role", "tool")),
    ("data.input[0].content: is an empty list", ("input.0.content", [])),
    ("data.input[0].content[0]: may not be 'text'", ("input.0.content.0", TEXT)),
    ("data.input[0].content[0]: may not be 'output_text'", ("input.0.content.0.type", "output_text")),
    ("data.input[0].content[0]: may have no extra", ("input.0.content.0.extra", None)),
    ("data.input[0].content[0]: has a cache mark", ("input.0.content.0.prompt_cache_breakpoint", {})),
    ("data.input[0].content[1].image_url: is no text", ("input.0.content.1.image_url", {"url": IMAGE_URL})),
    ("data.input[0].content[1]: has none of image_url, file_id", ("input.0.content.1.image_url", GONE)),
    ("data.input[0].content[2]: has no filename", ("input.0.content.2.filename", GONE)),
    ("data.input[0].content[2].file_data: is no data URL of base64", ("input.0.content.2.file_data", PDF)),
    ("data.input[2].content[0]: may not be 'input_text'", ("input.2.content.0.type", "input_text")),
    ("data.input[2].content[0].annotations: is no list", ("input.2.content.0.annotations", None)),
    ("data.input[7].output[0]: may not be 'output_text'", ("input.7.output.0.type", "output_text")),
    ("data.input[7].output: is an empty list", ("input.7.output", [])),
    ("data.input[14].phase: is not commentary or final_answer", ("input.14.phase", "last")),
    ("data.input[14]: may not be 'item_reference'", ("input.14", {"type": "item_reference", "id": "x"})),
    ("data.input[13]: may have no id", ("input.13.id", "msg_9")),
    ("data.input[13]: may have no metadata", ("input.13.metadata", {})),
    ("data.input[9].call_id: has not 1 to 64 characters", ("input.9.call_id", "x" * 65)),
    ("data.input[9].name: does not fit [a-zA-Z0-9_-]{1,128}", ("input.9.name", "")),
    ("data.input[9].arguments: is no JSON text that can be read", ("input.9.arguments", "")),
    ("data.input[9].arguments: is no JSON text of an object", ("input.9.arguments", "null")),
    ("data.input[8]: answers no call before it", ("input.8", Before(output("call_1")))),
    ("data.input[13]: answers no call before it", ("input.13", output("call_9"))),
    ("data.input[4]: nothing answers it", ("input.5", GONE)),
    (
        "data.input[14]: nothing answers it",
        ("input.14", {"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"}),
    ),
    (
        "data.input[4]: has the call_id of a call that is not answered yet",
        ("input.4.call_id", "call_1"),
        ("input.5", GONE),
    ),
    ("data.input[8]: is reasoning without encrypted_content", ("input.8.encrypted_content", None)),
    ("data.input[8]: is reasoning without what it led to", ("input.9", Before(USER))),
    ("data.input[15]: is reasoning without what it led to", ("input.15", Before(REASONING))),
    ("data.input[1]: has its id without its reasoning", ("input.1", GONE), ("input.2.id", GONE)),
    ("data.input[2]: has its id without its reasoning", ("input.1", GONE), ("input.1.id", GONE)),
    ("data.input[3].id: does not begin with fc", ("input.3.id", "call_1")),
    ("data.input[2].id: does not begin with msg", ("input.2.id", "fc_2")),
    ("data.input[1].id: does not begin with rs", ("input.1.id", "msg_2")),
    ("data.input[12].id: does not begin with ctc", ("input.12.id", "fc_2")),
    ("data.input[4].id: occurs twice", ("input.4.id", "fc_1")),
    ("data.input[4]: is text behind calls of its turn", ("input.4", Before(SAID))),
]
