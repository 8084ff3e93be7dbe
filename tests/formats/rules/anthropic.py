"""What the Messages API refuses: turns after merging, calls and results, invisible text, thinking out of place, ids."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

from tests.formats.rules.shapes import (
    Check,
    block,
    flag,
    free_list,
    free_object,
    listed,
    members,
    nullable,
    one_of,
    string,
    tagged,
    text_or_list,
)
from tests.formats.rules.values import bare_base64, filled, matching, unsendable, visible, web_url

_SEEN = string(visible)
_BYTES = {"data": string(bare_base64)}


def _tagged(*kinds: dict[str, Check]) -> Check:
    return tagged("type", {name: check for kind in kinds for name, check in kind.items()})


_TEXT = block("text", {"text": _SEEN}, {"citations": nullable(free_list)})
_URL = block("url", {"url": string(web_url)})
_FILE = block("file", {"file_id": string(filled)})
_IMAGE_TYPE = {"media_type": one_of("image/jpeg", "image/png", "image/gif", "image/webp")}
_IMAGE = block("image", {"source": _tagged(block("base64", {**_IMAGE_TYPE, **_BYTES}), _URL, _FILE)})
_PDF = block("base64", {"media_type": one_of("application/pdf"), **_BYTES})
_PLAIN = block("text", {"media_type": one_of("text/plain"), "data": _SEEN})
_DOCUMENT = block(
    "document",
    {"source": _tagged(_PDF, _PLAIN, _URL, _FILE)},
    {"title": nullable(string()), "context": nullable(string()), "citations": nullable(free_object)},
)
_TOLD = listed(_tagged(_TEXT, _IMAGE, _DOCUMENT))
_ID = string(matching(r"[a-zA-Z0-9_-]{1,64}"))
_RESULT = block("tool_result", {"tool_use_id": _ID}, {"content": text_or_list(_SEEN, _TOLD), "is_error": flag})
_CALL = block("tool_use", {"id": _ID, "name": string(matching(r"[a-zA-Z0-9_-]{1,128}")), "input": free_object})
_THINKING = block("thinking", {"thinking": string(), "signature": string(filled)})
_REDACTED = block("redacted_thinking", {"data": string(filled)})


def _message(*blocks: dict[str, Check]) -> Check:
    return members({"role": string(), "content": text_or_list(_SEEN, listed(_tagged(*blocks)))}, closed=True)


_ROLES = {
    "user": _message(_TEXT, _IMAGE, _DOCUMENT, _RESULT),
    "assistant": _message(_THINKING, _REDACTED, _TEXT, _CALL),
}
_SYSTEM = text_or_list(_SEEN, listed(_tagged(_TEXT)))

# A later system message is for some models alone, so it stands only where a native was one.
_OURS = tagged("role", _ROLES, closed=True)
_NATIVE = tagged("role", {**_ROLES, "system": _message(_TEXT)}, closed=True)

_THOUGHTS = {"thinking", "redacted_thinking"}


class Block(NamedTuple):
    """A block of a turn: its place, its type, and itself."""

    place: str
    kind: str
    value: dict[str, Any]


def broken(data: dict[str, Any], *, natives: bool = False) -> list[str]:
    """Every rule that data breaks, as a sentence with its place."""
    message = _NATIVE if natives else _OURS
    check = members({"messages": listed(message, empty=True)}, {"system": _SYSTEM}, closed=True)
    return [*unsendable(data), *check("data", data, natives)] or [
        *_opening(data),
        *_answers(data),
        *_ids(data),
        *_errors(data),
        *_behind_calls(data, natives),
        *_thinking(data, natives),
        *_systems(data),
        *_prefill(data),
    ]


def _blocks(number: int, message: dict[str, Any]) -> list[Block]:
    place, content = f"data.messages[{number}]", message["content"]
    if isinstance(content, str):
        return [Block(place, "text", {"type": "text", "text": content})]
    return [Block(f"{place}.content[{at}]", each["type"], each) for at, each in enumerate(content)]


def _turns(data: dict[str, Any]) -> list[tuple[str, list[Block]]]:
    """Roles and blocks as the API sees them: neighbours of one role are one turn."""
    numbered = enumerate(data["messages"])
    return [
        (role, [each for number, message in messages for each in _blocks(number, message)])
        for role, messages in groupby(numbered, lambda item: item[1]["role"])
    ]


def _opening(data: dict[str, Any]) -> Iterator[str]:
    if data["messages"] and data["messages"][0]["role"] == "assistant":
        yield "data.messages[0]: opens with the assistant"


def _answers(data: dict[str, Any]) -> Iterator[str]:
    """The turn after calls is the user's, and begins with one result for each, in any order."""
    made = dict[str, str]()
    for role, blocks in _turns(data):
        left = dict(made)
        others = False
        for place, kind, value in blocks:
            if role != "user" or kind != "tool_result":
                others = True
                continue
            if others:
                yield f"{place}: is a result behind other blocks of its turn"
            if value["tool_use_id"] not in made:
                yield f"{place}: answers no call of the turn before"
            elif not left.pop(value["tool_use_id"], None):
                yield f"{place}: answers a call again"
        yield from (f"{place}: the next turn does not answer it" for place in left.values())
        made = {value["id"]: place for place, kind, value in blocks if role == "assistant" and kind == "tool_use"}
    yield from (f"{place}: the next turn does not answer it" for place in made.values())


def _ids(data: dict[str, Any]) -> Iterator[str]:
    """Ids of calls are unique in the whole request."""
    seen = set[str]()
    for _, blocks in _turns(data):
        for place, kind, value in blocks:
            if kind == "tool_use":
                if value["id"] in seen:
                    yield f"{place}.id: is that of an earlier call"
                seen.add(value["id"])


def _errors(data: dict[str, Any]) -> Iterator[str]:
    """An error has content, and no other than text."""
    for _, blocks in _turns(data):
        for place, kind, value in blocks:
            if kind != "tool_result" or not value.get("is_error"):
                continue
            content = value.get("content")
            if content is None:
                yield f"{place}: is an error without content"
            elif isinstance(content, list) and any(each["type"] != "text" for each in content):
                yield f"{place}: is an error with more than text"


def _behind_calls(data: dict[str, Any], natives: bool) -> Iterator[str]:
    """Calls come last in a turn; only what a model gave has thinking between a call and what follows."""
    for _, blocks in _turns(data):
        called = False
        for place, kind, _ in blocks:
            if kind == "tool_use":
                called = True
            elif called and natives and (kind in _THOUGHTS or kind not in {"text", "image", "document"}):
                called = False
            elif called:
                yield f"{place}: stands behind a call of its turn"


def _thinking(data: dict[str, Any], natives: bool) -> Iterator[str]:
    for number, message in enumerate(data["messages"]):
        last = _blocks(number, message)[-1]
        if last.kind in _THOUGHTS:
            yield f"{last.place}: is thinking at the end of its message"
    # Where thinking has a budget. Of a turn without any nothing can be said: it may be another provider's. What a model
    # gave stands as it gave it.
    calling = [blocks for _, blocks in _turns(data) if any(each.kind == "tool_use" for each in blocks)]
    for blocks in [] if natives else calling[-1:]:
        if blocks[0].kind not in _THOUGHTS and any(each.kind in _THOUGHTS for each in blocks):
            yield f"{blocks[0].place}: does not begin the last turn of calls with its thinking"


def _systems(data: dict[str, Any]) -> Iterator[str]:
    """Behind a user turn that is not waited for with results, and before an assistant turn or at the end."""
    turns = _turns(data)
    for number, (role, blocks) in enumerate(turns):
        if role != "system":
            continue
        if not number or turns[number - 1][0] != "user":
            yield f"{blocks[0].place}: is a system message behind no user turn"
        if number + 1 < len(turns) and turns[number + 1][0] != "assistant":
            yield f"{blocks[0].place}: is a system message before no assistant turn"


def _prefill(data: dict[str, Any]) -> Iterator[str]:
    """The assistant may come last, but not with whitespace at its end."""
    if data["messages"] and data["messages"][-1]["role"] == "assistant":
        last = _turns(data)[-1][1][-1]
        text = last.value.get("text", "")
        if last.kind == "text" and text != text.rstrip():
            yield f"{last.place}: ends the request with whitespace"
