"""OpenAI's chat completions: `{"messages": […]}`. Also what compatible servers take.

Rules, in the order in which they are enforced: ids of at most 40 characters, each once in a message; no members of
compatible servers, no media that nobody takes, no cache marks; system, assistant and tool messages of texts alone; a
refusal by itself; legal names; arguments that are JSON objects; no empty lists, no null without calls; every call
answered directly behind its message, once, without an error flag; media of assistants and tools in a user message
behind the results.
"""

import re
from collections.abc import Iterator
from typing import Any

from lib import jsontext
from lib.formats.history import NO_RESULT, History, Message
from lib.formats.parts import Media, Refusal, faithful, media
from lib.formats.reading import Node, Parsed, Piece, content, pieces_of, unknown

_ID = re.compile(r".{1,40}", re.DOTALL)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_USER_NAME = re.compile(r"[^\s<|\\/>]+")

# Members of compatible servers, which OpenAI's own refuses.
COMPATIBLE = (
    "reasoning_content",
    "reasoning_details",
    "reasoning",
    "thinking_blocks",
    "images",
    "extra_content",
    "provider_specific_fields",
    # Of streams, and of what OpenAI's SDK has parsed.
    "index",
    "parsed",
    "parsed_arguments",
)

DETAILS = ("auto", "low", "high")

TEXT_ALONE = ("system", "assistant", "tool")
MEDIA = ("image_url", "input_audio", "file")


def render(history: History) -> dict[str, Any]:
    """The members of a request."""
    history.rename(_ID, whole=False)
    sent: list[dict[str, Any]] = []
    for message in history.gathered():
        moved: list[dict[str, Any]] = []
        said = _said(history, message, moved) if message.native is None else _given(history, message)
        if said is not None:
            sent.append(said)
        for call in message.results:
            result = call.result or Message(0, "tool", NO_RESULT)
            sent.append({**_result(history, result, moved), "tool_call_id": call.sent})
        if moved:
            sent.append({"role": "user", "content": moved})
    return {"messages": sent}


def _said(history: History, message: Message, moved: list[dict[str, Any]]) -> dict[str, Any] | None:
    said: dict[str, Any] = {"role": message.role}
    parts, refusals = _parts(history, message, moved)
    if parts and refusals:
        said["refusal"] = refusals
    elif refusals:
        parts = [{"type": "refusal", "refusal": refusals}]
    if message.calls:
        said["content"] = parts or None
        said["tool_calls"] = [
            {
                "id": call.sent,
                "type": "function",
                "function": {
                    "name": history.name(message, made["function"]["name"], _NAME),
                    "arguments": history.arguments_text(message, made["function"]["arguments"]),
                },
            }
            for call, made in zip(message.calls, message.tool_calls or (), strict=True)
        ]
    elif parts == []:
        if not moved:
            history.repair(message, "empty_dropped", "a message without content")
        return None
    else:
        said["content"] = parts
    return said


def _parts(history: History, message: Message, moved: list[dict[str, Any]]) -> tuple[str | list[dict[str, Any]], str]:
    """The content as texts and what the role may have beside; the texts of its refusals apart."""
    if isinstance(message.content, str):
        return message.content, ""
    parts: list[dict[str, Any]] = []
    refusals: list[str] = []
    for piece in history.pieces(message):
        if isinstance(piece, str):
            parts.append({"type": "text", "text": piece})
        elif isinstance(piece, Refusal) and message.role == "assistant":
            refusals.append(piece.text)
        elif isinstance(piece, Refusal):
            history.repair(message, "part_to_text", "a refusal")
            parts.append({"type": "text", "text": piece.text})
        elif (piece.kind == "file" and piece.url) or message.role == "system":
            history.dropped(message, piece.kind)
        elif message.role == "user":
            parts.append(_medium(history, message, piece))
        else:
            history.repair(message, "part_moved", f"{piece.kind}, into a user message behind it")
            moved.append(_medium(history, message, piece))
    return parts, "\n".join(refusals)


def _medium(history: History, message: Message, piece: Media) -> dict[str, Any]:
    name = piece.name or ("file" if piece.kind == "file" and piece.data else "")
    return piece._replace(name=name, detail=history.detail(message, piece, DETAILS)).part


def _given(history: History, message: Message) -> dict[str, Any] | None:
    """What this format gave, but for what no model of it takes."""
    said: dict[str, Any] = message.native
    name = said.get("name", "_")
    if name is None or (message.role == "user" and not _USER_NAME.fullmatch(name)):
        history.without(message, said, ["name"])
    calls = said.get("tool_calls") or []
    if not calls:
        history.without(message, said, ["tool_calls"])
    _cleaned(history, message, said)
    if isinstance(said.get("content"), list):
        _refused(history, message, said)
    for call, made in zip(message.calls, calls, strict=True):
        made["id"] = call.sent
        _cleaned(history, message, made)
        # Compatible servers leave it out.
        kind = made["type"] = made.get("type") or "function"
        function = made[kind]
        history.without(message, function, COMPATIBLE)
        function["name"] = history.name(message, function["name"], _NAME)
        if kind == "function":
            function["arguments"] = history.arguments_text(message, function["arguments"])
    if said.get("content") or calls:
        if said.get("content") == []:
            said["content"] = None
            history.repair(message, "empty_dropped", "a list without parts")
        return said
    if message.role == "assistant" and said.get("refusal"):
        said["content"] = [{"type": "refusal", "refusal": said.pop("refusal")}]
        history.repair(message, "part_moved", "a refusal, into the content")
        return said
    if said.get("content") == "" or said.get("audio"):
        return said
    history.repair(message, "empty_dropped", "a message without content")
    return None


def _refused(history: History, message: Message, said: dict[str, Any]) -> None:
    """Makes refusals among a content's parts one that stands by itself, or else the member."""
    refusals = [part["refusal"] for part in said["content"] if part["type"] == "refusal"]
    if not refusals or len(said["content"]) == 1:
        return
    history.repair(message, "part_moved", "a refusal beside other parts, out of the content")
    said["content"] = [part for part in said["content"] if part["type"] != "refusal"]
    said["refusal"] = "\n".join([*refusals, said.get("refusal") or ""]).rstrip("\n")


def _cleaned(history: History, message: Message, said: dict[str, Any]) -> None:
    """Takes out members of compatible servers, and cache marks."""
    history.without(message, said, COMPATIBLE)
    parts = said.get("content")
    if isinstance(parts, list):
        said["content"] = [sent for part in parts if (sent := _sendable(history, message, part))]
    history.unmarked(message, [said, *(parts if isinstance(parts, list) else ())])


def _sendable(history: History, message: Message, part: dict[str, Any]) -> dict[str, Any] | None:
    """A part as it may be sent; None where it is media that nobody takes."""
    if part["type"] not in MEDIA:
        return part
    if not (found := media(part)):
        history.dropped(message, part["type"])
        return None
    if part["type"] == "image_url" and found.kind == "file":
        history.repair(message, "part_moved", "a PDF under image_url, into a file")
        return _medium(history, message, found)
    given = part[part["type"]]
    link = given if isinstance(given, str) else given.get("url") or given.get("file_data")
    if found.kind != "audio" and not faithful(found, link):
        return _medium(history, message, found)
    if part["type"] == "image_url" and isinstance(given, dict) and given.get("detail", "auto") not in DETAILS:
        history.without(message, part["image_url"], ["detail"])
    return part


def _result(history: History, result: Message, moved: list[dict[str, Any]]) -> dict[str, Any]:
    if result.failed:
        history.repair(result, "member_dropped", "that the call failed")
    if result.native is not None:
        _cleaned(history, result, result.native)
        return {**result.native, "content": result.native["content"] or ""}
    parts, _ = _parts(history, result, moved)
    return {"role": "tool", "content": parts or ""}


def parse(node: Node) -> Iterator[Parsed]:
    """What a message is in ours. Raises Wrong."""
    role = node.need("role").one_of("developer", "system", "user", "assistant", "tool")
    said = node.get("content")
    pieces = pieces_of(said, _said_piece if role == "assistant" else _piece) if said else []
    plain = said is not None and isinstance(said.value, str)
    parsed = Parsed("system" if role == "developer" else role)
    if role == "assistant":
        if refusal := node.get("refusal"):
            pieces.append(Refusal(refusal.text()))
        if node.get("function_call"):
            raise node.need("function_call").wrong("is not taken: send tool_calls")
        calls = node.get("tool_calls")
        for made in calls.items() if calls else ():
            _call(parsed, made)
    else:
        node.need("content")
    if role == "user" and (name := node.get("name")):
        name.text()
    if role == "tool":
        parsed.tool_call_id = node.need("tool_call_id").call_id()
        parsed.tool_name = name.name() if (name := node.get("name")) else None
    parsed.content = content(pieces, plain=plain) if pieces or not parsed.tool_calls else None
    # What may not stand where it stands was never this format's.
    natural = parsed.role not in TEXT_ALONE or not any(isinstance(piece, Media) for piece in pieces)
    if natural and (role == "assistant" or _equal(parsed) != node.value):
        parsed.native = node.json
    yield parsed


def _piece(node: Node) -> Piece:
    kind = node.need("type").text()
    if kind == "text":
        return node.need("text").text()
    if kind == "refusal":
        raise node.need("type").wrong("must be a refusal of the assistant")
    return media(node.value) or unknown(kind)


def _said_piece(node: Node) -> Piece:
    if node.need("type").value == "refusal":
        return Refusal(node.need("refusal").text())
    return _piece(node)


def _call(parsed: Parsed, node: Node) -> None:
    kind = (node.get("type") or Node("function")).one_of("function", "custom")
    function = node.need(kind)
    name = function.need("name").name()
    if kind == "custom":
        arguments = jsontext.write({"input": function.need("input").text()})
    else:
        arguments = function.need("arguments").text()
    parsed.call(node.need("id").call_id(), name, arguments)


def _equal(parsed: Parsed) -> dict[str, Any] | None:
    """What this format makes of a message that is no assistant's."""
    message = Message(0, parsed.role, parsed.content)
    if parsed.role == "tool":
        return {**_result(History(), message, []), "tool_call_id": parsed.tool_call_id}
    return _said(History(), message, [])
