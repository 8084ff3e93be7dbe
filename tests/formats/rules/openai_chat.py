"""What Chat Completions refuses: roles and their parts, calls answered directly behind their message, ids and names."""

from collections.abc import Iterator
from typing import Any

from tests.formats.rules.shapes import (
    Check,
    block,
    forms,
    listed,
    members,
    nullable,
    one_of,
    string,
    tagged,
    text_or_list,
)
from tests.formats.rules.values import (
    bare_base64,
    data_url,
    filled,
    image_url,
    length,
    matching,
    object_text,
    unsendable,
)

_TEXT = block("text", {"text": string()})
_USER = {
    **_TEXT,
    **block(
        "image_url",
        {"image_url": members({"url": string(image_url)}, {"detail": one_of("auto", "low", "high", "original")})},
    ),
    **block("input_audio", {"input_audio": members({"data": string(bare_base64), "format": one_of("wav", "mp3")})}),
    **block(
        "file",
        {
            "file": forms(
                file_id=members({"file_id": string(filled)}),
                file_data=members({"filename": string(), "file_data": string(data_url)}),
            )
        },
    ),
}
_ASSISTANT = {**_TEXT, **block("refusal", {"refusal": string()})}

_ID = string(length(1, 40))
_NAME = string(matching(r"[a-zA-Z0-9_-]{1,64}"))
_CALLS = block("function", {"id": _ID, "function": members({"name": _NAME, "arguments": string(object_text)})})


def _content(parts: dict[str, Check]) -> Check:
    return text_or_list(string(), listed(tagged("type", parts)))


_INSTRUCTIONS = members({"role": string(), "content": _content(_TEXT)}, {"name": string()})
_ROLES = {
    "developer": _INSTRUCTIONS,
    "system": _INSTRUCTIONS,
    "user": members({"role": string(), "content": _content(_USER)}, {"name": string(matching(r"[^\s<|\\/>]+"))}),
    "assistant": members(
        {"role": string()},
        {
            "content": nullable(_content(_ASSISTANT)),
            "refusal": nullable(string()),
            "tool_calls": listed(tagged("type", _CALLS)),
            "name": string(),
        },
    ),
    "tool": members({"role": string(), "content": _content(_TEXT), "tool_call_id": _ID}),
}

_DATA = members({"messages": listed(tagged("role", _ROLES, closed=True), empty=True)}, closed=True)


def broken(data: dict[str, Any], *, natives: bool = False) -> list[str]:
    """Every rule that data breaks, as a sentence with its place."""
    return [*unsendable(data), *_DATA("data", data, natives)] or [*_contents(data), *_answers(data)]


def _contents(data: dict[str, Any]) -> Iterator[str]:
    for number, message in enumerate(data["messages"]):
        if message["role"] != "assistant":
            continue
        content = message.get("content")
        # Only of natives it is let pass that an answer was spoken.
        if content is None and not message.keys() & {"tool_calls", "audio"}:
            yield f"data.messages[{number}]: has neither content nor tool_calls"
        kinds = [part["type"] for part in content] if isinstance(content, list) else []
        if "refusal" in kinds and len(kinds) > 1:
            yield f"data.messages[{number}].content: has a refusal beside other parts"


def _answers(data: dict[str, Any]) -> Iterator[str]:
    """Directly after the caller one tool message for each id, in any order; ids are unique within a turn."""
    caller, made, left = "", set[str](), set[str]()
    for number, message in enumerate(data["messages"]):
        place = f"data.messages[{number}]"
        if message["role"] == "tool":
            call_id = message["tool_call_id"]
            if call_id not in made:
                yield f"{place}: answers no call of the message before it"
            elif call_id not in left:
                yield f"{place}: answers a call again"
            left.discard(call_id)
            continue
        yield from (f"{caller}: nothing answers {call_id!r}" for call_id in sorted(left))
        ids = [call["id"] for call in message.get("tool_calls", []) if isinstance(call.get("id"), str)]
        caller, made, left = place, set(ids), set(ids)
        if len(made) < len(ids):
            yield f"{place}.tool_calls: two calls have one id"
    yield from (f"{caller}: nothing answers {call_id!r}" for call_id in sorted(left))
