"""What generateContent refuses: roles and their order, parts, calls and responses, names, signatures of calls."""

from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from tests.formats.rules.shapes import Check, flag, forms, free_object, listed, members, one_of, string
from tests.formats.rules.values import bare_base64, filled, matching, unsendable

# What stands in where a signature is not known.
PLACEHOLDER = "skip_thought_signature_validator"

_INLINE = members({"mimeType": string(matching(r"[a-zA-Z0-9_.+-]+/[a-zA-Z0-9_.+-]+")), "data": string(bare_base64)})
_FILE = members({"fileUri": string(filled)}, {"mimeType": string(filled)})
_MEDIA = {"inlineData": _INLINE, "fileData": _FILE}
_NAME = string(matching(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}"))
_CALL = members({"name": _NAME}, {"args": free_object, "id": string(filled)})
_RESPONSE = members(
    {"name": _NAME, "response": free_object},
    {
        "id": string(filled),
        "parts": listed(forms(inlineData=members({"inlineData": _INLINE}), fileData=members({"fileData": _FILE}))),
    },
)

_KINDS: dict[str, Check] = {"text": string(), **_MEDIA, "functionCall": _CALL, "functionResponse": _RESPONSE}
_PART = members({}, {**_KINDS, "thought": flag, "thoughtSignature": string(filled)})
_CONTENT = members({"role": one_of("user", "model"), "parts": listed(_PART)}, closed=True)
_SYSTEM = members({"parts": listed(members({"text": string(filled)}))}, closed=True)
_DATA = members({"contents": listed(_CONTENT, empty=True)}, {"systemInstruction": _SYSTEM}, closed=True)

type Content = dict[str, Any]


def broken(data: dict[str, Any], *, natives: bool = False) -> list[str]:
    """Every rule that data breaks, as a sentence with its place."""
    if natives:
        data = _present(data)
    return [*unsendable(data), *_DATA("data", data, natives)] or [
        *_parts(data, natives),
        *_order(data["contents"]),
        *_answers(data["contents"]),
        *_signatures(data["contents"], natives),
    ]


def _having(content: Content, kind: str) -> list[dict[str, Any]]:
    return [part[kind] for part in content["parts"] if kind in part]


def _parts(data: dict[str, Any], natives: bool) -> Iterator[str]:
    """A part holds one thing, says something, and has its role; responses have a content of their own."""
    for number, content in enumerate(data["contents"]):
        answers = len(_having(content, "functionResponse"))
        if 0 < answers < len(content["parts"]):
            yield f"data.contents[{number}]: has responses beside other parts"
        for at, part in enumerate(content["parts"]):
            place = f"data.contents[{number}].parts[{at}]"
            held = sum(kind in part for kind in _KINDS)
            if held > 1 or not (held or (natives and part.keys() - {"thought", "thoughtSignature"})):
                yield f"{place}: holds {held} things"
            # What a model gave may be a signature alone, at the end of its text.
            if part.get("text") == "" and not part.get("thoughtSignature"):
                yield f"{place}: is an empty text"
            if "functionCall" in part and content["role"] != "model":
                yield f"{place}: is a call of the user's"
            if "functionResponse" in part and content["role"] != "user":
                yield f"{place}: is a response of the model's"


def _order(contents: list[Content]) -> Iterator[str]:
    """The user opens; neighbours of one role are one content, but for responses, which stand alone."""
    if contents and contents[0]["role"] == "model":
        yield "data.contents[0]: opens with the model"
    for number, (before, content) in enumerate(pairwise(contents), 1):
        answers = sum(bool(_having(each, "functionResponse")) for each in (before, content))
        if before["role"] == content["role"] and not answers:
            yield f"data.contents[{number}]: has the role of the content before it"


def _answers(contents: list[Content]) -> Iterator[str]:
    """The content behind calls has as many responses, of the same names and ids."""
    nothing: Content = {"parts": []}
    for number, (before, content) in enumerate(pairwise([nothing, *contents, nothing])):
        calls, responses = _having(before, "functionCall"), _having(content, "functionResponse")
        if responses and not calls:
            yield f"data.contents[{number}]: answers no calls of the content before it"
        elif len(calls) != len(responses):
            yield f"data.contents[{number - 1}]: has {len(calls)} calls and {len(responses)} responses"
        elif _marks(calls) != _marks(responses):
            yield f"data.contents[{number}]: answers with other names or ids than the calls have"


def _marks(each: list[dict[str, Any]]) -> Counter[tuple[str, str | None]]:
    return Counter((one["name"], one.get("id")) for one in each)


def _present(value: Any) -> Any:
    """A value without the members that are null, which Google's JSON takes for absent and its SDK writes."""
    if isinstance(value, dict):
        return {name: _present(each) for name, each in value.items() if each is not None}
    return [_present(each) for each in value] if isinstance(value, list) else value


def _signatures(contents: list[Content], natives: bool) -> Iterator[str]:
    """The first call of each step has one, those beside it have none, and only calls have the placeholder."""
    for number, content in enumerate(contents):
        called = False
        for at, part in enumerate(content["parts"]):
            place, signature = f"data.contents[{number}].parts[{at}]", part.get("thoughtSignature")
            if "functionCall" not in part:
                if signature == PLACEHOLDER:
                    yield f"{place}: has a placeholder for a signature and is no call"
                continue
            if not called and not signature:
                yield f"{place}: is the first call of its step without a signature"
            if called and signature and not natives:
                yield f"{place}: is a parallel call with a signature"
            called = True
