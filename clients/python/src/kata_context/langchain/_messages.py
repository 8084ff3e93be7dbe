"""Messages of LangChain as the service stores them, and back."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
    message_to_dict,
    messages_from_dict,
)
from pydantic_core import to_jsonable_python

from kata_context import types

ROLES: dict[type[BaseMessage], types.Role] = {
    HumanMessage: "user",
    AIMessage: "assistant",
    SystemMessage: "system",
    ToolMessage: "tool",
}

# What JSON or PostgreSQL has no form for: U+0000 and halves of surrogate pairs.
UNFIT = re.compile("[\0\ud800-\udfff]")

NO_RESULT = "There is no result: the run ended before the tool did."


def to_kata(message: BaseMessage, **more: str) -> types.NewMessage:
    """A message as the service takes it: what windows need, and in its metadata what that does not say, and more.

    What JSON cannot say becomes what comes nearest: artifacts of other types are named by their type alone.
    """
    data: dict[str, Any] = _json(message_to_dict(message)["data"])
    role = next((role for kind, role in ROLES.items() if isinstance(message, kind)), "user")
    if isinstance(message, ChatMessage) and message.role in {"user", "assistant", "system"}:
        role = cast("types.Role", message.role)
    stored: dict[str, Any] = {"role": role, "content": _content(data["content"])}
    if isinstance(message, AIMessage):
        model = data["response_metadata"].get("model_name") or data["response_metadata"].get("model")
        if isinstance(model, str):
            stored["model"] = model[:255]
        calls = [*data["tool_calls"], *data["invalid_tool_calls"]]
        stored["toolCalls"] = [_call(call) for call in calls] or None
    elif isinstance(message, ToolMessage):
        stored["toolCallId"] = message.tool_call_id or "none"
        stored["toolName"] = data["name"][:255] if data["name"] else None
    said = _said(stored)
    unsaid = {name: value for name, value in data.items() if name not in said or said[name] != value}
    stored["metadata"] = {"langchain": {"type": message.type, "data": unsaid, **more}}
    return cast("types.NewMessage", stored)


def from_kata(stored: Mapping[str, Any]) -> BaseMessage:
    """The message that was stored: an equal one, or what comes nearest to what is not of LangChain, as a summary."""
    its, said = stored["metadata"].get("langchain"), _said(stored)
    try:
        ai = its["type"] in {"ai", "AIMessageChunk"}
        data = {**(said if ai else {"content": said["content"]}), **its["data"]}
        if stored.get("cleared"):
            data["content"] = said["content"]
        return messages_from_dict([{"type": its["type"], "data": data}])[0]
    except (KeyError, TypeError, ValueError):
        kind = next(kind for kind, role in ROLES.items() if role == stored["role"])
        also = {"tool_call_id": stored["toolCallId"], "name": stored["toolName"]} if kind is ToolMessage else {}
        return kind(**said, **also, id=stored["id"])


def _said(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What of a message's data is said without its metadata."""
    said: dict[str, Any] = {"content": "" if stored["content"] is None else stored["content"]}
    if stored["role"] == "assistant":
        said |= {"tool_calls": [], "invalid_tool_calls": []}
        for call in stored.get("toolCalls") or ():
            name, text = call["function"]["name"], call["function"]["arguments"]
            try:
                args = json.loads(text)
            except ValueError:
                args = None
            if isinstance(args, dict):
                said["tool_calls"].append({"type": "tool_call", "id": call["id"], "name": name, "args": args})
            else:
                invalid = {"type": "invalid_tool_call", "id": call["id"], "name": name, "args": text, "error": None}
                said["invalid_tool_calls"].append(invalid)
    return said


def _call(call: Mapping[str, Any]) -> types.ToolCall:
    args = call["args"] if isinstance(call["args"], str) else json.dumps(call["args"], ensure_ascii=False)
    function: types.Function = {"name": (call["name"] or "none")[:255], "arguments": args}
    return {"id": call["id"] or "none", "type": "function", "function": function}


def _content(content: str | list[Any]) -> str | list[Any]:
    """Content of which each part has a type."""
    if isinstance(content, str):
        return content
    return [
        part
        if isinstance(part, dict) and isinstance(part.get("type"), str)
        else {"type": "text", "text": part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)}
        for part in content
    ]


def _json(value: Any) -> Any:
    """A value, or what in JSON comes nearest to it: the same for equal ones in every process."""
    if isinstance(value, str):
        return UNFIT.sub("\ufffd", value)
    if value is None or isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_json(str(name)): _json(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_json(member) for member in value]
    name = f"<{type(value).__qualname__}>"
    return _json(to_jsonable_python(value, bytes_mode="base64", serialize_unknown=False, fallback=lambda _: name))


def identity(message: BaseMessage) -> tuple[str | None, str]:
    """A message's id, as it is stored, and what tells whether it was edited: whether a model would read another."""
    its = [message.type, message.name, message.content, message.additional_kwargs]
    its += [getattr(message, name, None) for name in ("tool_calls", "invalid_tool_calls", "tool_call_id")]
    return _json(message.id), sha256(json.dumps(_json(its), sort_keys=True).encode()).hexdigest()[:16]


def answered(messages: Iterable[BaseMessage]) -> list[AnyMessage]:
    """What providers accept: each call with its result directly behind it, be it one that says that there is none."""
    units: list[list[BaseMessage]] = []
    awaited: dict[str | None, list[tuple[list[BaseMessage], int]]] = {}  # the places of results, by the ids of calls
    for message in messages:
        if isinstance(message, ToolMessage):
            if places := awaited.get(message.tool_call_id):
                unit, place = places.pop(0)
                unit[place] = message
            continue
        calls = [*message.tool_calls, *message.invalid_tool_calls] if isinstance(message, AIMessage) else []
        none = [ToolMessage(NO_RESULT, tool_call_id=it["id"] or "", name=it["name"], status="error") for it in calls]
        units.append([message, *none])
        awaited |= {each.tool_call_id: [] for each in none}
        for place, each in enumerate(none, 1):
            awaited[each.tool_call_id].append((units[-1], place))
    return cast("list[AnyMessage]", [message for unit in units for message in unit])
