"""What generateContent refuses."""

from typing import Any

from tests.formats.breaches.edits import GONE, Before, Case
from tests.formats.examples import PLACEHOLDER, PNG

TEXT = {"text": "x"}
USER = {"role": "user", "parts": [TEXT]}
MODEL = {"role": "model", "parts": [TEXT]}
CALL = {"functionCall": {"name": "f", "args": {}}}
RESPONSE = {"functionResponse": {"name": "f", "response": {}}}


def contents(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "parts": list(parts)}


CASES: list[Case] = [
    ("data: may have no model", ("model", "x")),
    ("data: has no contents", ("contents", GONE)),
    ("data.systemInstruction.parts[0].text: is empty", ("systemInstruction.parts.0.text", "")),
    ("data.systemInstruction.parts: is an empty list", ("systemInstruction.parts", [])),
    ("data.systemInstruction.parts[0]: may have no inlineData", ("systemInstruction.parts.0.inlineData", {})),
    ("data.contents[0].role: is not user or model", ("contents.0.role", "assistant")),
    ("data.contents[0]: has no role", ("contents.0.role", GONE)),
    ("data.contents[0]: may have no id", ("contents.0.id", "x")),
    ("data.contents[0].parts: is an empty list", ("contents.0.parts", [])),
    ("data.contents[0].parts[0]: holds 0 things", ("contents.0.parts.0", {})),
    ("data.contents[0].parts[1]: holds 2 things", ("contents.0.parts.1.text", "x")),
    ("data.contents[0].parts[0]: is an empty text", ("contents.0.parts.0.text", "")),
    ("data.contents[6].parts[1]: is an empty text", ("contents.6.parts.1", {"text": ""})),
    ("data.contents[0].parts[0].text: is no text", ("contents.0.parts.0.text", None)),
    ("data.contents[0].parts[0]: may have no type", ("contents.0.parts.0.type", "text")),
    ("data.contents[0].parts[0]: has a cache mark", ("contents.0.parts.0.cache_control", {})),
    ("data.contents[0].parts[1].inlineData: has no mimeType", ("contents.0.parts.1.inlineData.mimeType", GONE)),
    (
        "data.contents[0].parts[1].inlineData.data: is no bare base64",
        ("contents.0.parts.1.inlineData.data", f"data:image/png;base64,{PNG}"),
    ),
    ("data.contents[3].parts[0].fileData.fileUri: is empty", ("contents.3.parts.0.fileData.fileUri", "")),
    (
        "data.contents[4].parts[0].functionCall.name: does not fit [A-Za-z_][A-Za-z0-9_.:-]{0,63}",
        ("contents.4.parts.0.functionCall.name", "1st"),
    ),
    (
        "data.contents[5].parts[0].functionResponse.name: does not fit [A-Za-z_][A-Za-z0-9_.:-]{0,63}",
        ("contents.5.parts.0.functionResponse.name", "x" * 65),
    ),
    ("data.contents[4].parts[0].functionCall.args: is no object", ("contents.4.parts.0.functionCall.args", "{}")),
    (
        "data.contents[5].parts[0].functionResponse.response: is no object",
        ("contents.5.parts.0.functionResponse.response", "x"),
    ),
    (
        "data.contents[5].parts[0].functionResponse.response.output: is no number of JSON",
        ("contents.5.parts.0.functionResponse.response.output", float("nan")),
    ),
    (
        "data.contents[5].parts[0].functionResponse.parts[0]: has none of inlineData, fileData",
        ("contents.5.parts.0.functionResponse.parts", [{"text": "x"}]),
    ),
    ("data.contents[0]: opens with the model", ("contents.0", Before(MODEL))),
    ("data.contents[1]: has the role of the content before it", ("contents.1", Before(USER))),
    ("data.contents[7]: has the role of the content before it", ("contents.7", Before(MODEL))),
    ("data.contents[4]: has the role of the content before it", ("contents.4", Before(USER))),
    (
        "data.contents[4].parts[0]: is a call of the user's",
        ("contents.4.role", "user"),
        ("contents.3", Before(MODEL)),
        ("contents.4", GONE),
    ),
    ("data.contents[5].parts[0]: is a response of the model's", ("contents.5.role", "model"), ("contents.6", GONE)),
    ("data.contents[2]: has responses beside other parts", ("contents.2.parts.2", Before(TEXT))),
    ("data.contents[1]: has 2 calls and 1 responses", ("contents.2.parts.1", GONE)),
    ("data.contents[4]: has 1 calls and 0 responses", ("contents.5", USER)),
    ("data.contents[4]: has 1 calls and 0 responses", ("contents.6", GONE), ("contents.5", GONE)),
    ("data.contents[4]: has 1 calls and 2 responses", ("contents.5.parts.0", Before(RESPONSE))),
    ("data.contents[6]: answers no calls of the content before it", ("contents.6", contents(RESPONSE))),
    (
        "data.contents[5]: answers with other names or ids than the calls have",
        ("contents.5.parts.0.functionResponse.name", "f"),
    ),
    (
        "data.contents[5]: answers with other names or ids than the calls have",
        ("contents.5.parts.0.functionResponse.id", "call_3"),
    ),
    (
        "data.contents[2]: answers with other names or ids than the calls have",
        ("contents.2.parts.0.functionResponse.id", "call_9"),
    ),
    (
        "data.contents[4].parts[0]: is the first call of its step without a signature",
        ("contents.4.parts.0.thoughtSignature", GONE),
    ),
    ("data.contents[4].parts[0].thoughtSignature: is empty", ("contents.4.parts.0.thoughtSignature", "")),
    (
        "data.contents[1].parts[3]: is a parallel call with a signature",
        ("contents.1.parts.3.thoughtSignature", PLACEHOLDER),
    ),
    (
        "data.contents[1].parts[1]: has a placeholder for a signature and is no call",
        ("contents.1.parts.1.thoughtSignature", PLACEHOLDER),
    ),
]
