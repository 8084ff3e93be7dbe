"""What Responses refuses: items and their parts, calls and outputs, reasoning parted from what it led to, item ids."""

from collections.abc import Iterator
from typing import Any

from tests.formats.rules.shapes import (
    Check,
    block,
    forms,
    free_list,
    listed,
    members,
    nullable,
    one_of,
    string,
    tagged,
    text_or_list,
)
from tests.formats.rules.values import data_url, filled, image_url, length, matching, object_text, unsendable, web_url

_STATUS = {"status": one_of("in_progress", "completed", "incomplete")}
_DETAIL = {"detail": one_of("auto", "low", "high", "original")}

_INPUT = {
    **block("input_text", {"text": string()}),
    "input_image": forms(
        image_url=members({"type": string(), "image_url": string(image_url)}, _DETAIL),
        file_id=members({"type": string(), "file_id": string(filled)}, _DETAIL),
    ),
    "input_file": forms(
        file_id=members({"type": string(), "file_id": string(filled)}),
        file_url=members({"type": string(), "file_url": string(web_url)}),
        file_data=members({"type": string(), "filename": string(), "file_data": string(data_url)}),
    ),
}
_SAID = {
    **block("output_text", {"text": string()}, {"annotations": free_list, "logprobs": free_list}),
    **block("refusal", {"refusal": string()}),
}


def _content(parts: dict[str, Check]) -> Check:
    return text_or_list(string(), listed(tagged("type", parts)))


_HEARD = members({"role": string(), "content": _content(_INPUT)}, {"type": one_of("message")})
_ROLES = {
    "user": _HEARD,
    "system": _HEARD,
    "developer": _HEARD,
    "assistant": members(
        {"role": string(), "content": _content(_SAID)},
        {
            "type": one_of("message"),
            "id": string(),
            "phase": nullable(one_of("commentary", "final_answer")),
            **_STATUS,
        },
    ),
}

_CALL_ID = {"call_id": string(length(1, 64))}
_NAME = {"name": string(matching(r"[a-zA-Z0-9_-]{1,128}"))}
_ANSWER = {**_CALL_ID, "output": _content(_INPUT)}
_ITEMS = {
    "message": tagged("role", _ROLES, closed=True),
    **block("function_call", {**_CALL_ID, **_NAME, "arguments": string(object_text)}, {"id": string(), **_STATUS}),
    **block("function_call_output", _ANSWER, {"id": string(), **_STATUS}),
    **block("custom_tool_call", {**_CALL_ID, **_NAME, "input": string()}, {"id": string()}),
    **block("custom_tool_call_output", _ANSWER, {"id": string()}),
    **block(
        "reasoning",
        {"summary": listed(tagged("type", block("summary_text", {"text": string()})), empty=True)},
        {
            "id": string(),
            "encrypted_content": nullable(string()),
            "content": listed(tagged("type", block("reasoning_text", {"text": string()})), empty=True),
            **_STATUS,
        },
    ),
}

_CALLS = {"function_call", "custom_tool_call"}
_OUTPUTS = {"function_call_output": "function_call", "custom_tool_call_output": "custom_tool_call"}
_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fc",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctc",
}


def _kind(item: Any) -> Any:
    return item.get("type", "message") if isinstance(item, dict) else None


def _item(place: str, value: Any, natives: bool) -> Iterator[str]:
    """A message needs no type."""
    if _kind(value) == "message":
        yield from _ITEMS["message"](place, value, natives)
    else:
        yield from tagged("type", _ITEMS)(place, value, natives)


_DATA = members({"input": listed(_item, empty=True)}, {"instructions": string()}, closed=True)


def broken(data: dict[str, Any], *, natives: bool = False) -> list[str]:
    """Every rule that data breaks, as a sentence with its place."""
    return [*unsendable(data), *_DATA("data", data, natives)] or [
        *_answers(data),
        *_reasoning(data, natives),
        *_ids(data),
        *([] if natives else _order(data)),
    ]


def _answers(data: dict[str, Any]) -> Iterator[str]:
    """Each output has an earlier call and each call an output, whatever stands between; no id is used before."""
    waiting = dict[str, tuple[str, str]]()
    for number, item in enumerate(data["input"]):
        place, kind = f"data.input[{number}]", _kind(item)
        if kind in _CALLS:
            if item["call_id"] in waiting:
                yield f"{place}: has the call_id of a call that is not answered yet"
            waiting[item["call_id"]] = kind, place
        elif kind in _OUTPUTS and waiting.pop(item["call_id"], ("",))[0] != _OUTPUTS[kind]:
            yield f"{place}: answers no call before it"
    yield from (f"{place}: nothing answers it" for _, place in waiting.values())


def _is_models(item: Any) -> bool:
    """Whether the model said it, natives among them."""
    return item.get("role") == "assistant" if _kind(item) == "message" else _kind(item) not in _OUTPUTS


def _reasoning(data: dict[str, Any], natives: bool) -> Iterator[str]:
    """What it led to comes next; and what has the id of an item that a model gave comes behind its reasoning.

    Of natives it is let pass that there was none, as most models take the item back so, or several in a row.
    """
    reasoned = False
    items = data["input"]
    for number, item in enumerate(items):
        place = f"data.input[{number}]"
        if not _is_models(item):
            reasoned = False
        elif _kind(item) == "reasoning":
            reasoned = True
            if not item.get("encrypted_content"):
                yield f"{place}: is reasoning without encrypted_content"
            following = items[number + 1] if number + 1 < len(items) else {"role": "user"}
            if not _is_models(following) or (_kind(following) == "reasoning" and not natives):
                yield f"{place}: is reasoning without what it led to"
        elif _kind(item) in _PREFIXES and "id" in item and not (reasoned or natives):
            yield f"{place}: has its id without its reasoning"


def _ids(data: dict[str, Any]) -> Iterator[str]:
    seen = set[str]()
    for number, item in enumerate(data["input"]):
        if "id" not in item:
            continue
        place, item_id = f"data.input[{number}].id", str(item["id"])
        prefix = _PREFIXES.get(_kind(item), "")
        if not item_id.startswith(prefix):
            yield f"{place}: does not begin with {prefix}"
        if item_id in seen:
            yield f"{place}: occurs twice"
        seen.add(item_id)


def _order(data: dict[str, Any]) -> Iterator[str]:
    """Text before calls within a turn."""
    called = False
    for number, item in enumerate(data["input"]):
        called = _is_models(item) and (called or _kind(item) in _CALLS)
        if called and _kind(item) == "message":
            yield f"data.input[{number}]: is text behind calls of its turn"
