"""OpenAI's responses: `{"instructions"?, "input": [items]}`.

Rules, in the order in which they are enforced: call_ids of 1 to 64 characters, each once in a turn; system texts that a
window begins with are instructions; no cache marks, no null where none may be, no media that nobody takes; legal names;
arguments that are JSON objects; no message without content; reasoning only with its encrypted content and in front of
what it led to, else without it and without the ids of its turn's items; an item's id begins as its type's do, and once;
an assistant says texts alone; every call has an output behind it, made up where there is none, and nothing of the
assistant's between the two; an assistant's media come in a user message behind the results.
"""

import re
from collections.abc import Iterator
from typing import Any

from lib import jsontext
from lib.formats.history import NO_RESULT, Call, History, Message
from lib.formats.parts import Media, Refusal, faithful, linked
from lib.formats.reading import Node, Parsed, Piece, content, pieces_of, reasoning, unknown

# The items of one turn of the assistant are one message of ours: reasoning cannot be parted from what it led to.
JOINS = True

_ID = re.compile(r".{1,64}", re.DOTALL)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}", re.ASCII)

# What a client answers with an item of its own, and what that is called.
OUTPUTS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
    "computer_call": "computer_call_output",
    "shell_call": "shell_call_output",
    "apply_patch_call": "apply_patch_call_output",
}

# Calls whose outputs are a text or parts of an input.
READABLE = ("function_call", "custom_tool_call")

# What an item's id begins with.
IDS = {
    "message": "msg",
    "function_call": "fc",
    "function_call_output": "fc",
    "reasoning": "rs",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctc",
}

# Members that may be null. OpenAI's SDK writes others as null that were absent, which the API refuses.
NULLABLE = frozenset({"phase", "encrypted_content", "output", "error", "code", "outputs", "result"})

DETAILS = ("auto", "low", "high", "original")

PARTS = ("input_text", "input_image", "input_file")


def render(history: History) -> dict[str, Any]:
    """The members of a request."""
    history.rename(_ID, whole=False)
    instructions: list[str] = []
    items: list[dict[str, Any]] = []
    seen: set[str] = set()
    order = history.in_order()
    for message, following in zip(order, [*order, None][1:], strict=True):
        if isinstance(message, Call):
            items += _output(history, message, seen)
            continue
        moved: list[dict[str, Any]] = []
        if message.native is not None:
            goes_on = isinstance(following, Message) and following.role == "assistant" and bool(following.native)
            items += _given(history, message, seen, goes_on=goes_on)
        elif message.role == "system" and not items:
            instructions += [part["text"] for part in _inputs(history, message) if part["text"]]
        elif message.role == "assistant":
            items += _turn(history, message, moved)
        else:
            items += _said(history, message)
        for call in message.results:
            if not call.in_place:
                items += _output(history, call, seen)
        if moved:
            items.append({"role": "user", "content": moved})
    head = {"instructions": "\n\n".join(instructions)} if instructions else {}
    return {**head, "input": items}


def _said(history: History, message: Message) -> list[dict[str, Any]]:
    said = message.content if isinstance(message.content, str) else _inputs(history, message)
    if said == []:
        history.repair(message, "empty_dropped", "a message without content")
        return []
    return [{"role": message.role, "content": said}]


def _inputs(history: History, message: Message) -> list[dict[str, Any]]:
    """The content as parts of an input."""
    parts: list[dict[str, Any]] = []
    for piece in history.pieces(message):
        if isinstance(piece, str):
            parts.append({"type": "input_text", "text": piece})
        elif isinstance(piece, Refusal):
            history.repair(message, "part_to_text", "a refusal")
            parts.append({"type": "input_text", "text": piece.text})
        elif message.role == "system" or not (part := _input(history, message, piece)):
            history.dropped(message, piece.kind)
        else:
            parts.append(part)
    return parts


def _input(history: History, message: Message, media: Media) -> dict[str, Any] | None:
    if media.kind == "image":
        detail = history.detail(message, media, DETAILS)
        return {"type": "input_image", "image_url": media.link} | ({"detail": detail} if detail else {})
    if media.kind == "audio":
        return None
    if media.file_id:
        return {"type": "input_file", "file_id": media.file_id}
    if media.url:
        return {"type": "input_file", "file_url": media.url}
    return {"type": "input_file", "filename": media.name or "file", "file_data": media.data_url}


def _turn(history: History, message: Message, moved: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """An assistant's message: an item for each text and each call."""
    items: list[dict[str, Any]] = []
    for piece in history.pieces(message):
        if isinstance(piece, Media):
            if part := _input(history, message, piece):
                history.repair(message, "part_moved", f"{piece.kind}, into a user message behind it")
                moved.append(part)
            else:
                history.dropped(message, piece.kind)
            continue
        if isinstance(piece, Refusal):
            history.repair(message, "part_to_text", "a refusal")
        text = piece if isinstance(piece, str) else piece.text
        if text or not message.calls:
            items.append({"role": "assistant", "content": text})
    for call, made in zip(message.calls, message.tool_calls or (), strict=True):
        call.kind = "function_call"
        name = history.name(message, made["function"]["name"], _NAME)
        arguments = history.arguments_text(message, made["function"]["arguments"])
        items.append({"type": "function_call", "call_id": call.sent, "name": name, "arguments": arguments})
    if not items and not moved:
        history.repair(message, "empty_dropped", "a message without content")
    return items


def _given(history: History, message: Message, seen: set[str], *, goes_on: bool) -> list[dict[str, Any]]:
    """The items that this format gave, but for what no model of it takes; goes_on where the turn does behind them."""
    items: list[dict[str, Any]] = message.native
    history.unmarked(message, items)
    for item in items:
        _without_nulls(history, message, item)
        parts = item.get("content")
        if isinstance(parts, list) and item.get("type", "message") == "message":
            item["content"] = _sendable(history, message, parts)
    calls = iter(message.calls)
    for item in items:
        if (kind := item.get("type")) in OUTPUTS:
            call = next(calls)
            item["call_id"] = call.sent
            # A screenshot cannot be made up.
            if kind != "computer_call" or (call.result and call.result.native):
                call.kind = kind
            if "name" in item:
                item["name"] = history.name(message, item["name"], _NAME)
            if kind == "function_call":
                item["arguments"] = history.arguments_text(message, item["arguments"])
    answered = {call.sent for call in message.calls if call.kind}
    kept = [item for item in items if item.get("type") not in OUTPUTS or item["call_id"] in answered]
    for _ in range(len(items) - len(kept)):
        history.dropped(message, "computer_call")
    said = [item for item in kept if item.get("content") != [] or item.get("type", "message") != "message"]
    for _ in range(len(kept) - len(said)):
        history.repair(message, "empty_dropped", "a message without content")
    return _reasoned(history, message, said, seen, goes_on=goes_on)


def _without_nulls(history: History, message: Message, item: dict[str, Any]) -> None:
    """Takes members out that are null and may not be, and what OpenAI's SDK has parsed."""
    history.without(message, item, [name for name, value in item.items() if value is None and name not in NULLABLE])
    history.without(message, item, ["parsed", "parsed_arguments"])


def _sendable(history: History, message: Message, parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parts as they may be sent: without cache marks, and without media that nobody takes."""
    sent = []
    history.unmarked(message, parts)
    for part in parts:
        _without_nulls(history, message, part)
        piece = _piece(Node(part)) if part["type"] in PARTS and not part.get("file_id") else ""
        if isinstance(piece, Media) and part["type"] == "input_image" and piece.kind == "file":
            history.repair(message, "part_moved", "a PDF in an input_image, into an input_file")
            sent.append({"type": "input_file", "filename": piece.name or "file", "file_data": piece.data_url})
        elif isinstance(piece, Media) and not faithful(piece, part.get("image_url") or part.get("file_data")):
            sent.append(_input(history, message, piece) or part)
        elif isinstance(piece, str | Media):
            sent.append(part)
        else:
            history.dropped(message, part["type"])
    return sent


def _reasoned(
    history: History, message: Message, items: list[dict[str, Any]], seen: set[str], *, goes_on: bool
) -> list[dict[str, Any]]:
    """Items with reasoning where it may stand, and with ids where the reasoning in front of them is there."""
    spoken = max((place for place, item in enumerate(items) if item.get("type") != "reasoning"), default=-1)
    kept: list[dict[str, Any]] = []
    lost = False
    for place, item in enumerate(items):
        if item.get("type") == "reasoning":
            led = place < spoken or goes_on
            lost = not item.get("encrypted_content") or not led or item.get("id") in seen
            if lost:
                why = "without encrypted_content, without what it led to, or sent before"
                history.repair(message, "reasoning_dropped", f"reasoning {why}")
                continue
        _identify(history, message, item, seen, lost=lost)
        kept.append(item)
    return kept


def _identify(history: History, message: Message, item: dict[str, Any], seen: set[str], *, lost: bool = False) -> None:
    """Takes an item's id away where it is illegal or used again, or where reasoning that led to the item is lost."""
    kind = item.get("type", "message")
    if "id" not in item:
        return
    if not isinstance(item["id"], str) or not item["id"].startswith(IDS.get(kind, "")) or item["id"] in seen:
        why = "is not legal, or is used again"
    elif lost:
        why = "belongs to reasoning that is not sent"
    else:
        seen.add(item["id"])
        return
    history.repair(message, "member_dropped", f"the id of an item of type {kind}, which {why}")
    del item["id"]


def _output(history: History, call: Call, seen: set[str]) -> list[dict[str, Any]]:
    """The item of a call's result; none where the call is not sent."""
    result = call.result
    if not call.kind:
        return []
    if result is None:
        return [_made(call, NO_RESULT, failed=True)]
    if result.failed and call.kind in READABLE:
        history.repair(result, "member_dropped", "that the call failed")
    if result.native is None:
        texts = result.content if isinstance(result.content, str) else _inputs(history, result)
        return [_made(call, texts or "", failed=result.failed)]
    item: dict[str, Any] = result.native[0]
    if item["type"] != OUTPUTS[call.kind]:
        output = item.get("output")
        return [_made(call, output if isinstance(output, str) else jsontext.write(output), failed=result.failed)]
    _without_nulls(history, result, item)
    history.unmarked(result, [item])
    if isinstance(item["output"], list) and call.kind in READABLE:
        if not (output := _sendable(history, result, item["output"])):
            history.repair(result, "empty_dropped", "a list without parts")
        item["output"] = output or ""
    item["call_id"] = call.sent
    _identify(history, result, item, seen)
    return [item]


def _made(call: Call, output: str | list[dict[str, Any]], *, failed: bool) -> dict[str, Any]:
    """An output of our own making, as the kind of its call has it."""
    item: dict[str, Any] = {"type": OUTPUTS[call.kind], "call_id": call.sent, "output": output}
    if call.kind in {"shell_call", "apply_patch_call"} and not isinstance(output, str):
        output = "\n".join(part["text"] for part in output if part["type"] == "input_text")
    if call.kind == "shell_call":
        outcome = {"type": "exit", "exit_code": int(failed)}
        return {**item, "output": [{"stdout": output, "stderr": "", "outcome": outcome}]}
    if call.kind == "apply_patch_call":
        return {**item, "output": output, "status": "failed" if failed else "completed"}
    return item


def parse(node: Node) -> Iterator[Parsed]:
    """What an item is in ours. Raises Wrong."""
    given = node.get("type")
    kind = given.text() if given else "message"
    parsed = Parsed("assistant")
    if kind == "message":
        yield _message(node)
        return
    if kind == "item_reference":
        raise node.wrong("is not taken: send the item that it refers to")
    if kind in OUTPUTS:
        _call(parsed, node, kind)
    elif kind in OUTPUTS.values():
        parsed.role = "tool"
        parsed.tool_call_id = node.need("call_id").call_id()
        output = node.need("output")
        parsed.content = _content_of(output, kind)
        status = node.get("status")
        parsed.failed = kind == "apply_patch_call_output" and status is not None and status.value == "failed"
    elif kind == "reasoning":
        summary = node.need("summary").items() + (node.get("content") or Node([])).items()
        parsed.content = [reasoning("\n\n".join(part.need("text").text() for part in summary))]
        for name in ("id", "encrypted_content"):
            if member := node.get(name):
                member.text()
    else:
        # What a client answers to them, an approval for one, stays in the turn as well, lest the two be parted.
        parsed.content = [unknown(kind)]
    if parsed.role != "tool" or _equal(parsed) != node.value:
        parsed.native = f"[{node.json}]"
    yield parsed


def _content_of(output: Node, kind: str) -> str | list[dict[str, Any]]:
    """What a result says: texts and media, a screenshot, or else its JSON text."""
    if isinstance(output.value, str) or kind in {OUTPUTS[each] for each in READABLE}:
        return content(pieces_of(output, _piece), plain=not isinstance(output.value, list))
    if kind == "computer_call_output":
        return content([linked("image", output.object().get("image_url")) or unknown("computer_screenshot")])
    return output.json


def _message(node: Node) -> Parsed:
    role = node.need("role").one_of("developer", "system", "user", "assistant")
    said = node.need("content")
    read = _output_piece if role == "assistant" else _piece
    parsed = Parsed("system" if role == "developer" else role)
    parsed.content = content(pieces_of(said, read), plain=isinstance(said.value, str) or role == "assistant")
    # A system message of ours that a window begins with would be instructions.
    if parsed.role in {"assistant", "system"} or _equal(parsed) != node.value:
        parsed.native = f"[{node.json}]"
    return parsed


def _piece(node: Node) -> Piece:
    kind = node.need("type").text()
    if kind == "input_text":
        return node.need("text").text()
    if kind in {"output_text", "refusal"}:
        raise node.need("type").wrong(f"must not be {kind} outside a message of the assistant")
    value = node.value
    if kind == "input_image":
        detail = value.get("detail")
        found = linked("image", value.get("image_url"), detail=detail if isinstance(detail, str) else "")
        return found or unknown(kind)
    if kind == "input_file":
        name = value.get("filename")
        if (file_id := value.get("file_id")) and isinstance(file_id, str):
            return Media("file", file_id=file_id)
        link = value.get("file_data") or value.get("file_url")
        return linked("file", link, name=name if isinstance(name, str) else "") or unknown(kind)
    return unknown(kind)


def _output_piece(node: Node) -> Piece:
    kind = node.need("type").value
    if kind in PARTS:
        raise node.need("type").wrong("must be output_text or refusal in a message of the assistant")
    if kind == "output_text":
        return node.need("text").text()
    return Refusal(node.need("refusal").text()) if kind == "refusal" else _piece(node)


def _call(parsed: Parsed, node: Node, kind: str) -> None:
    call_id = node.need("call_id").call_id()
    if kind == "function_call":
        parsed.call(call_id, node.need("name").name(), node.need("arguments").text())
    elif kind == "custom_tool_call":
        parsed.call(call_id, node.need("name").name(), jsontext.write({"input": node.need("input").text()}))
    else:
        hidden = {"type", "id", "call_id", "status"}
        action = {name: value for name, value in node.object().items() if name not in hidden}
        parsed.call(call_id, kind, jsontext.write(action))


def _equal(parsed: Parsed) -> dict[str, Any] | None:
    """What this format makes of a message that is no assistant's."""
    message = Message(0, parsed.role, parsed.content)
    if parsed.role == "tool":
        call_id = parsed.tool_call_id or ""
        return _output(History(), Call(call_id, call_id, message, kind="function_call"), set())[0]
    return next(iter(_said(History(), message)), None)
