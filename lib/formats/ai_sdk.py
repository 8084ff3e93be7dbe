"""The AI SDK's model messages: `{"system"?, "messages": ModelMessage[]}`, as its versions 5, 6 and 7 all take them.

Rules, in the order in which they are enforced: system texts that a window begins with are `system`, later ones a user's
text in place; no cache marks; images of ours are files, and every file of ours has a media type; arguments that are
objects; no message without content; the calls of a message are answered in the tool message behind it, each once, under
its name; a result of ours is a text, a failed one an error's, and media of results come in a user message behind.
"""

from collections.abc import Iterator
from typing import Any, Literal

from lib import jsontext
from lib.formats.history import NO_RESULT, Call, History, Message, operators, shown
from lib.formats.parts import AUDIO_TYPES, Media, Refusal, encoded, linked, media_type_of
from lib.formats.reading import Node, Parsed, Piece, content, reasoning, unknown

# What cache marks are in providerOptions: Anthropic's, and Bedrock's.
CACHE_MARKS = ("cacheControl", "cache_control", "cachePoint")

type Part = dict[str, Any]


def render(history: History) -> dict[str, Any]:
    """The members of a request."""
    system: list[str] = []
    messages: list[dict[str, Any]] = []
    for message in history.gathered():
        moved: list[Part] = []
        if message.role == "system":
            if text := _system(history, message):
                if not messages:
                    system.append(text)
                else:
                    history.repair(message, "role_changed", "a later system message, to user")
                    messages.append({"role": "user", "content": operators(text)})
            continue
        said = _said(history, message) if message.native is None else _given(history, message)
        if said is not None:
            messages.append(said)
        if message.results:
            messages.append(_results(history, message, moved))
        if moved:
            messages.append({"role": "user", "content": moved})
    head = {"system": "\n\n".join(system)} if system else {}
    return {**head, "messages": messages}


def _system(history: History, message: Message) -> str:
    if message.native is not None:
        _unmarked(history, message, message.native)
        text: str = message.native["content"]
        return text
    return "\n\n".join(part["text"] for part in _parts(history, message) if part["text"])


def _said(history: History, message: Message) -> dict[str, Any] | None:
    if isinstance(message.content, str) and not message.calls:
        return {"role": message.role, "content": message.content}
    parts = _parts(history, message)
    for call, made in zip(message.calls, message.tool_calls or (), strict=True):
        call.name = made["function"]["name"]
        given = history.arguments(message, made["function"]["arguments"])
        parts.append({"type": "tool-call", "toolCallId": call.sent, "toolName": call.name, "input": given})
    if parts:
        return {"role": message.role, "content": parts}
    history.repair(message, "empty_dropped", "a message without content")
    return None


def _parts(history: History, message: Message) -> list[Part]:
    """What a message says, as parts."""
    parts: list[Part] = []
    for piece in history.pieces(message):
        if isinstance(piece, Refusal):
            history.repair(message, "part_to_text", "a refusal")
        if not isinstance(piece, Media):
            parts.append({"type": "text", "text": piece if isinstance(piece, str) else piece.text})
        elif message.role == "system" or piece.file_id:
            history.dropped(message, piece.kind)
        else:
            parts.append(_file(piece))
            history.detail(message, piece)
    return parts


def _file(media: Media) -> Part:
    media_type = media_type_of(media) or ("image/*" if media.kind == "image" else "application/octet-stream")
    name = {"filename": media.name} if media.name else {}
    return {"type": "file", "data": media.link, "mediaType": media_type, **name}


def _given(history: History, message: Message) -> dict[str, Any] | None:
    """What this format gave, but for what not all of its versions take."""
    said: dict[str, Any] = message.native
    parts = said["content"]
    _unmarked(history, message, said)
    if isinstance(parts, str):
        return said
    calls = iter(message.calls)
    for part in parts:
        _unmarked(history, message, part)
        if _is_call(part):
            next(calls).name = part["toolName"]
            if not isinstance(given := part["input"], dict):
                text = given if isinstance(given, str) else jsontext.write(given)
                part["input"] = history.arguments(message, text)
    if parts:
        return said
    history.repair(message, "empty_dropped", "a message without content")
    return None


def _unmarked(history: History, message: Message, said: dict[str, Any]) -> None:
    options = said.get("providerOptions")
    for option in options.values() if isinstance(options, dict) else ():
        for name in CACHE_MARKS:
            if isinstance(option, dict) and name in option:
                del option[name]
                history.repair(message, "cache_mark_dropped", f"{name} in providerOptions")


def _is_call(part: Part) -> bool:
    """Whether a part calls a tool of the client's; the provider answers its own itself."""
    return part.get("type") == "tool-call" and part.get("providerExecuted") is not True


def _results(history: History, message: Message, moved: list[Part]) -> dict[str, Any]:
    """The tool message that answers a message's calls; moved gets the media of its results."""
    said: dict[str, Any] = {"role": "tool"}
    parts = []
    for call in message.results:
        if call.result and call.result.native is not None:
            said |= call.result.native
            _unmarked(history, call.result, said)
        parts.append(_result(history, call, moved))
    return {**said, "content": parts}


def _result(history: History, call: Call, moved: list[Part]) -> Part:
    result = call.result
    if result and result.native is not None:
        part: Part = result.native["content"][0]
        output = part["output"]
        value = output.get("value")
        for each in [part, output, *(value if output["type"] == "content" else ())]:
            _unmarked(history, result, each)
        if part["toolName"] != call.name:
            history.repair(result, "name_changed", f"{shown(part['toolName'])} is not its call's: {shown(call.name)}")
            part["toolName"] = call.name
        return part
    text = NO_RESULT
    if result:
        texts = []
        for part in _parts(history, result):
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                history.repair(result, "part_moved", "media of a result, behind the results")
                moved.append(part)
        text = "\n".join(texts)
    output = {"type": "error-text" if result is None or result.failed else "text", "value": text}
    return {"type": "tool-result", "toolCallId": call.sent, "toolName": call.name, "output": output}


def parse(node: Node) -> Iterator[Parsed]:
    """What a model message is in ours: each result by itself. Raises Wrong."""
    role = node.need("role").one_of("system", "user", "assistant", "tool")
    said = node.need("content")
    if role == "tool":
        for part in said.items():
            yield _answer(part, node)
        if not said.value:
            raise said.wrong("must not be empty")
        return
    parsed = Parsed(role)
    if isinstance(said.value, str) or role == "system":
        parsed.content = said.text()
    else:
        pieces = [piece for part in said.items() if (piece := _piece(part, parsed)) is not None]
        parsed.content = content(pieces, plain=role == "assistant") if pieces or not parsed.tool_calls else None
    made = {"role": role, "content": parsed.content}
    if role != "system":
        made = _said(History(), Message(0, role, parsed.content)) or {}
    if role == "assistant" or made != node.value:
        parsed.native = node.json
    yield parsed


def _piece(node: Node, parsed: Parsed) -> Piece | None:
    """What a part is in ours; None for a call, which the message gets."""
    kind = node.need("type").text()
    match kind:
        case "text":
            return node.need("text").text()
        case "reasoning" if parsed.role == "assistant":
            return reasoning(node.need("text").text())
        case "image" if parsed.role == "user":
            return _media(node.get("image"), "image", node) or unknown("image file")
        case "file":
            node.need("mediaType").text()
            return _media(node.get("data"), "file", node) or unknown("other file")
        case "image":
            raise node.need("type").wrong("must be file in a message of the assistant")
        case "tool-call" if parsed.role == "assistant" and _is_call(node.value):
            given = node.member("input")
            if "input" not in node.value:
                raise given.wrong("is required")
            parsed.call(node.need("toolCallId").call_id(), node.need("toolName").name(), given.json)
            return None
    if parsed.role == "user" and kind in {"reasoning", "tool-call", "tool-result"}:
        raise node.need("type").wrong(f"must not be {kind} in a message of the user")
    return unknown(kind)


def _media(data: Node | None, kind: Literal["image", "file"], node: Node) -> Media | None:
    media_type, name = node.value.get("mediaType"), node.value.get("filename")
    name = name if isinstance(name, str) else ""
    if not data or not isinstance(data.value, str):
        return None
    if media_type in AUDIO_TYPES.values():
        link = linked("file", data.value, name=name) or encoded("file", media_type, data.value, name=name)
        return link and link._replace(kind="audio") if link and link.data else None
    if isinstance(media_type, str) and media_type.startswith("image/"):
        kind = "image"
    return linked(kind, data.value, name=name) or encoded(kind, media_type, data.value, name=name)


def _answer(part: Node, node: Node) -> Parsed:
    if (given := part.need("type")).value != "tool-result":
        raise given.wrong("must be tool-result: append the result of a tool whose call was approved")
    name, call_id, output = part.need("toolName").name(), part.need("toolCallId").call_id(), part.need("output")
    kind = output.need("type").text()
    if kind == "content":
        said = content([_output_piece(each) for each in output.need("value").items()], plain=False)
    elif kind in {"text", "error-text"}:
        said = output.need("value").text()
    elif kind in {"json", "error-json"}:
        said = output.member("value").json if "value" in output.value else ""
    else:
        said = jsontext.write({"type": kind})
    failed = kind in {"error-text", "error-json", "execution-denied"}
    parsed = Parsed("tool", said, tool_call_id=call_id, tool_name=name, failed=failed)
    call = Call(call_id, call_id, Message(0, "tool", said, failed=failed), name=name)
    if {"role": "tool", "content": [_result(History(), call, [])]} != {**node.value, "content": [part.value]}:
        parsed.native = node.with_only("content", [part])
    return parsed


def _output_piece(node: Node) -> Piece:
    kind = node.need("type").text()
    if kind == "text":
        return node.need("text").text()
    media_type, data = node.value.get("mediaType"), node.value.get("data")
    is_image = kind == "image-data" or (isinstance(media_type, str) and media_type.startswith("image/"))
    return encoded("image" if is_image else "file", media_type, data) or unknown(kind)
