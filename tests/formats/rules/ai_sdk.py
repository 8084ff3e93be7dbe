"""What Vercel's AI SDK refuses in version 5, 6 or 7: roles, parts, outputs, and calls without results."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.formats.rules.shapes import (
    MARKS,
    Check,
    anything,
    block,
    free_object,
    listed,
    members,
    string,
    tagged,
    text_or_list,
)
from tests.formats.rules.values import matching, media_data, unsendable


def _options(place: str, value: Any, natives: bool) -> Iterator[str]:
    """Members of each provider's own, which are natives' by nature: a signature, an item's id."""
    if not isinstance(value, dict) or not all(isinstance(each, dict) for each in value.values()):
        yield f"{place}: is no object of objects"
    elif any(MARKS & each.keys() for each in value.values()):
        yield f"{place}: has a cache mark"


_EXTRA = {"providerOptions": _options}
_TEXT = block("text", {"text": string()}, _EXTRA)
_FILE = block(
    "file",
    {"data": string(media_data), "mediaType": string(matching(r"[a-zA-Z0-9_.+-]+/[a-zA-Z0-9_.+*-]+"))},
    {"filename": string(), **_EXTRA},
)
_REASONING = block("reasoning", {"text": string()}, _EXTRA)
_CALL = block(
    "tool-call",
    {"toolCallId": string(), "toolName": string(), "input": free_object},
    _EXTRA,
)

# Media have no form that all three versions take.
_OUTPUT = tagged(
    "type",
    {
        **block("text", {"value": string()}, _EXTRA),
        **block("error-text", {"value": string()}, _EXTRA),
        **block("json", {"value": anything}, _EXTRA),
        **block("error-json", {"value": anything}, _EXTRA),
        **block("content", {"value": listed(tagged("type", _TEXT))}),
    },
)
_RESULT = block("tool-result", {"toolCallId": string(), "toolName": string(), "output": _OUTPUT}, _EXTRA)


def _message(content: Check) -> Check:
    return members({"role": string(), "content": content}, _EXTRA)


def _parts(*kinds: dict[str, Check]) -> Check:
    return listed(tagged("type", {name: check for kind in kinds for name, check in kind.items()}))


_ROLES = {
    "user": _message(text_or_list(string(), _parts(_TEXT, _FILE))),
    "assistant": _message(text_or_list(string(), _parts(_TEXT, _REASONING, _FILE, _CALL))),
    "tool": _message(_parts(_RESULT)),
}

# Version 7 refuses system messages among the others, so they stand only where a native was one.
_OURS = tagged("role", _ROLES, closed=True)
_NATIVE = tagged("role", {**_ROLES, "system": _message(string())}, closed=True)


def broken(data: dict[str, Any], *, natives: bool = False) -> list[str]:
    """Every rule that data breaks, as a sentence with its place."""
    check = members({"messages": listed(_NATIVE if natives else _OURS, empty=True)}, {"system": string()}, closed=True)
    return [*unsendable(data), *check("data", data, natives)] or [*_answers(data)]


def _answers(data: dict[str, Any]) -> Iterator[str]:
    """Each call has one result of its tool's name, before any message of another role."""
    made, left = list[tuple[str, str]](), Counter[str]()
    for number, message in enumerate([*data["messages"], {"role": "user", "content": ""}]):
        if message["role"] != "tool":
            yield from (f"data.messages[{number - 1}]: nothing has answered {each!r}" for each in left.elements())
            made = list(_calls(message))
            left = Counter(call_id for call_id, _ in made)
            continue
        for at, part in enumerate(message["content"]):
            if part["type"] != "tool-result":
                continue
            place, call_id = f"data.messages[{number}].content[{at}]", part["toolCallId"]
            if call_id not in left:
                yield f"{place}: answers no call of the message before"
            elif not left[call_id]:
                yield f"{place}: answers a call again"
            elif (call_id, part["toolName"]) not in made:
                yield f"{place}: has another name than its call"
            left[call_id] = max(0, left[call_id] - 1)


def _calls(message: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(message["content"], list):
        for part in message["content"]:
            # What the provider runs itself has its result beside it, among the assistant's parts.
            if part["type"] == "tool-call" and not part.get("providerExecuted"):
                yield part["toolCallId"], part["toolName"]
