"""What Vercel's AI SDK refuses."""

from tests.formats.breaches.edits import GONE, Before, Case
from tests.formats.examples import IMAGE_URL

USER = {"role": "user", "content": "x"}
SYSTEM = {"role": "system", "content": "x"}
TEXT = {"type": "text", "text": "x"}
IMAGE = {"type": "image", "image": IMAGE_URL}
RESULT = {
    "type": "tool-result",
    "toolCallId": "call_1",
    "toolName": "get_order",
    "output": {"type": "json", "value": 1},
}
CACHED = {"anthropic": {"cacheControl": {"type": "ephemeral"}}}

CASES: list[Case] = [
    ("data: may have no instructions", ("instructions", "x")),
    ("data.system: is no text", ("system", [TEXT])),
    ("data.messages[0]: may not be 'system'", ("messages.0", Before(SYSTEM))),
    ("data.messages[0]: has no content", ("messages.0.content", GONE)),
    ("data.messages[0]: may have no id", ("messages.0.id", "x")),
    ("data.messages[0].content: is an empty list", ("messages.0.content", [])),
    ("data.messages[7].content: is neither text nor list", ("messages.7.content", None)),
    ("data.messages[0].content[0].text: is no text", ("messages.0.content.0.text", None)),
    ("data.messages[0].content[0]: may have no cacheTtl", ("messages.0.content.0.cacheTtl", "x")),
    (
        "data.messages[0].content[0].providerOptions: has a cache mark",
        ("messages.0.content.0.providerOptions", CACHED),
    ),
    (
        "data.messages[0].providerOptions: is no object of objects",
        ("messages.0.providerOptions", {"openai": "x"}),
    ),
    ("data.messages[0].content[0]: may not be 'image'", ("messages.0.content.0", IMAGE)),
    ("data.messages[1].content[1]: may not be 'image'", ("messages.1.content.1", IMAGE)),
    ("data.messages[0].content[1]: has no mediaType", ("messages.0.content.1.mediaType", GONE)),
    (
        "data.messages[0].content[1].data: is no http(s) URL, data URL or base64",
        ("messages.0.content.1.data", "a.png"),
    ),
    ("data.messages[0].content[1].data: is no text", ("messages.0.content.1.data", {"type": "url", "url": IMAGE_URL})),
    ("data.messages[1].content[2]: has no input", ("messages.1.content.2.input", GONE)),
    ("data.messages[1].content[2]: may have no args", ("messages.1.content.2.args", {})),
    ("data.messages[1].content[2].input: is no object", ("messages.1.content.2.input", "{}")),
    ("data.messages[3].content[0].output: has no type", ("messages.3.content.0.output", "shipped")),
    ("data.messages[3].content[0].output: may not be 'media'", ("messages.3.content.0.output.type", "media")),
    ("data.messages[3].content[0].output.value: is no text", ("messages.3.content.0.output.value", {})),
    ("data.messages[6].content[0].output.value[0]: may not be 'image'", ("messages.6.content.0.output.value.0", IMAGE)),
    ("data.messages[6].content[0].output.value: is an empty list", ("messages.6.content.0.output.value", [])),
    ("data.messages[6].content: is no list", ("messages.6.content", "lost")),
    ("data.messages[6].content[0]: may not be 'text'", ("messages.6.content.0", TEXT)),
    ("data.messages[2]: nothing has answered 'call_1'", ("messages.3", GONE)),
    ("data.messages[2]: nothing has answered 'call_1'", ("messages.3", USER)),
    (
        "data.messages[5]: nothing has answered 'call_1'",
        ("messages.7", GONE),
        ("messages.6", GONE),
    ),
    ("data.messages[6].content[0]: has another name than its call", ("messages.6.content.0.toolName", "f")),
    ("data.messages[3].content[1]: answers a call again", ("messages.3.content.1", Before(RESULT))),
    (
        "data.messages[5].content[0]: answers no call of the message before",
        ("messages.5", Before({"role": "tool", "content": [RESULT]})),
    ),
]
