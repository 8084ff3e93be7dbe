"""Anthropic's messages: `{"system"?, "messages": [{role, content}]}`.

Rules, in the order in which they are enforced: ids of at most 64 legal characters, each once in the request; no cache
marks; images of four types; no text without a visible character, no empty content; system texts that a window begins
with are `system`, later ones of ours a user's text in place; legal names; thinking with its signature; arguments that
are objects; the first turn is a user's; a turn with calls is followed by their results first, each once, and by what
else there is behind them; a failed result says something, in text alone; one turn of a role after the other; calls of
the provider's tools with what came of them; no thinking last; what an assistant says in front of its calls; later
system messages behind a user's turn alone; the last assistant's text ends without white space.
"""

import binascii
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lib.formats.history import CONTINUED, NO_DETAILS, NO_RESULT, Call, History, Message, operators, shown
from lib.formats.parts import Media, Refusal, encoded, linked, visible
from lib.formats.reading import Node, Parsed, Piece, content, pieces_of, reasoning, unknown

_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}", re.ASCII)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}", re.ASCII)

THINKING = frozenset({"thinking", "redacted_thinking"})
# What the provider's own tools do in an assistant's turn, and what comes of it.
SERVER_USES = frozenset({"server_tool_use", "mcp_tool_use"})

type Block = dict[str, Any]


@dataclass(slots=True)
class Turn:
    """What one role says in a row: blocks, of which a text by itself is a content that is a string; and whose it is."""

    role: str
    blocks: list[Block | str]
    message: Message


def render(history: History) -> dict[str, Any]:
    """The members of a request."""
    history.rename(_ID, whole=True)
    system: list[Block] = []
    turns: list[Turn] = []
    for message in history.gathered():
        if message.role == "system" and not turns:
            system += map(_block, _texts(history, message, _blocks(history, message)))
            if message.native is not None:
                history.repair(message, "message_moved", "a system message that the window begins with, to system")
        elif message.role == "assistant":
            moved: list[Block | str] = []
            said = _said(history, message, moved)
            if said and (not turns or (message.calls and _joins_without_thinking(turns[-1], said))):
                _add(turns, Turn("user", [CONTINUED], message))
                history.repair(message, "user_added", "in front of the assistant")
            _add(turns, Turn("assistant", said, message))
            results: list[Block | str] = [_result(history, call, moved) for call in message.results]
            _add(turns, Turn("user", results + moved, message))
        elif message.role == "system" and message.native is None:
            _add(turns, _operators(history, message, _blocks(history, message)))
        else:
            _add(turns, Turn(message.role, _blocks(history, message), message))
    turns = _finished(history, turns)
    if turns and turns[-1].role == "assistant":
        _trim(history, turns[-1])
    head = {"system": system if len(system) > 1 else system[0]["text"]} if system else {}
    return {**head, "messages": [{"role": turn.role, "content": _content(turn.blocks)} for turn in turns]}


def _add(turns: list[Turn], turn: Turn) -> None:
    if not turn.blocks:
        return
    if turns and turns[-1].role == turn.role:
        turns[-1].blocks += turn.blocks
        turns[-1].message = turn.message
    else:
        turns.append(turn)


def _finished(history: History, given: Sequence[Turn]) -> list[Turn]:
    """The turns with what depends on those beside them: system behind a user, and in front of the assistant or last."""
    turns: list[Turn] = []
    for turn, following in zip(given, [*given, None][1:], strict=True):
        if turn.role == "assistant":
            turn.blocks = _ordered(history, turn.message, _led(history, turn, last=following is None))
        misplaced = turn.role == "system" and (
            not turns or turns[-1].role != "user" or (following is not None and following.role != "assistant")
        )
        _add(turns, _operators(history, turn.message, turn.blocks) if misplaced else turn)
    return turns


def _led(history: History, turn: Turn, *, last: bool) -> list[Block | str]:
    """What an assistant says in a row: what its provider's tools did with what came of it, no thinking at its end."""
    blocks = [block for block in turn.blocks if isinstance(block, dict)]
    uses = {block["id"] for block in blocks if block["type"] in SERVER_USES}
    answered = {block.get("tool_use_id") for block in blocks if block["type"].endswith("_tool_result")}
    kept: list[Block | str] = []
    for block in turn.blocks:
        kind = "" if isinstance(block, str) else block["type"]
        if isinstance(block, dict) and (
            (kind in SERVER_USES and not last and block["id"] not in answered)
            or (kind.endswith("_tool_result") and block.get("tool_use_id") not in uses)
        ):
            history.repair(turn.message, "part_dropped", f"{shown(kind)}: only one of a call and its result is there")
        else:
            kept.append(block)
    while kept and _thinks(kept[-1:]):
        kept.pop()
        history.repair(turn.message, "reasoning_dropped", "thinking that leads to nothing")
    return kept


def _joins_without_thinking(turn: Turn, said: Sequence[Block | str]) -> bool:
    """Whether calls with thinking would be in one turn with what came before, which does not begin with thinking."""
    return turn.role == "assistant" and _thinks(said) and not _thinks(turn.blocks)


def _thinks(blocks: Sequence[Block | str]) -> bool:
    """Whether what an assistant says begins with thinking."""
    return isinstance(first := blocks[0], dict) and first["type"] in THINKING


def _operators(history: History, message: Message, blocks: Sequence[Block | str]) -> Turn:
    """What the operator says later as a user's turn."""
    if blocks:
        history.repair(message, "role_changed", "a later system message, to user")
    texts = [block if isinstance(block, str) else block["text"] for block in _texts(history, message, blocks)]
    return Turn("user", [operators("\n\n".join(texts))] if texts else [], message)


def _texts(history: History, message: Message, blocks: Sequence[Block | str]) -> list[Block | str]:
    """Those of a system message's blocks that may stand where other models' system messages do."""
    texts = [block for block in blocks if isinstance(block, str) or block["type"] == "text"]
    for _ in range(len(blocks) - len(texts)):
        history.repair(message, "part_dropped", "a part of a system message that is no text")
    return texts


def _trim(history: History, turn: Turn) -> None:
    last = turn.blocks[-1]
    text = last if isinstance(last, str) else last.get("text")
    if isinstance(text, str) and text != text.rstrip():
        turn.blocks[-1] = text.rstrip() if isinstance(last, str) else {**last, "text": text.rstrip()}
        history.repair(turn.message, "text_trimmed", "white space at the end of the last assistant message")


def _content(blocks: Sequence[Block | str]) -> str | list[Block]:
    if len(blocks) == 1 and isinstance(blocks[0], str):
        return blocks[0]
    return [_block(block) for block in blocks]


def _block(block: Block | str) -> Block:
    return {"type": "text", "text": block} if isinstance(block, str) else block


def _said(history: History, message: Message, moved: list[Block | str]) -> list[Block | str]:
    """What an assistant says and calls; moved gets what it may not say."""
    if message.native is not None:
        return _given(history, message)
    said: list[Block | str] = []
    for block in _blocks(history, message):
        if isinstance(block, str) or block["type"] == "text":
            said.append(block)
        else:
            history.repair(message, "part_moved", f"{block['type']}, into a user message behind it")
            moved.append(block)
    for call, made in zip(message.calls, message.tool_calls or (), strict=True):
        name = history.name(message, made["function"]["name"], _NAME)
        given = history.arguments(message, made["function"]["arguments"])
        said.append({"type": "tool_use", "id": call.sent, "name": name, "input": given})
    return said


def _given(history: History, message: Message) -> list[Block | str]:
    """What this format gave as an assistant's turn, but for what no model of it takes."""
    blocks = _blocks(history, message)
    calls = iter(message.calls)
    kept: list[Block | str] = []
    for block in blocks:
        kind = "" if isinstance(block, str) else block["type"]
        if kind == "tool_use" and isinstance(block, dict):
            block["id"] = next(calls).sent
            block["name"] = history.name(message, block["name"], _NAME)
        if kind == "thinking" and isinstance(block, dict) and not block.get("signature"):
            history.repair(message, "reasoning_dropped", "thinking without a signature")
        else:
            kept.append(block)
    return kept


def _ordered(history: History, message: Message, blocks: Sequence[Block | str]) -> list[Block | str]:
    """An assistant's blocks with texts in front of the calls that they stand behind, but never across other blocks."""
    ordered: list[Block | str] = []
    calls: list[Block | str] = []
    for block in blocks:
        kind = "text" if isinstance(block, str) else block["type"]
        if kind == "tool_use":
            calls.append(block)
            continue
        if kind != "text":
            ordered += calls
            calls = []
        elif calls:
            history.repair(message, "part_moved", "a text behind a call, in front of the calls")
        ordered.append(block)
    return ordered + calls


def _result(history: History, call: Call, moved: list[Block | str]) -> Block:
    """The block that answers a call; moved gets what a failed result may not have."""
    block: Block = {"type": "tool_result", "tool_use_id": call.sent}
    if call.result is None:
        return {**block, "content": NO_RESULT}
    result = call.result
    if result.native is not None:
        given = result.native["content"][0]
        history.unmarked(result, [given])
        block = {**given, "tool_use_id": call.sent}
    elif result.failed:
        block["is_error"] = True
    # One that says nothing has no content, and nothing is lost.
    blocks = _blocks(history, result) if result.content or result.native is not None else []
    if block.get("is_error"):
        others = [each for each in blocks if isinstance(each, dict) and each["type"] != "text"]
        for _ in others:
            history.repair(result, "part_moved", "out of a failed result, behind the results")
        moved += others
        blocks = [each for each in blocks if isinstance(each, str) or each["type"] == "text"]
        if not blocks:
            history.repair(result, "call_answered", f"a failed result without a text: {NO_DETAILS}")
            blocks = [NO_DETAILS]
    block.pop("content", None)
    return {**block, "content": _content(blocks)} if blocks else block


def _blocks(history: History, message: Message) -> list[Block | str]:
    """The content of a message, of a result's block: what is visible, and what this format has a form for."""
    blocks: list[Block | str] = []
    if message.native is not None:
        said = message.native["content"]
        if message.role == "tool":
            said = [] if said[0].get("content") is None else said[0]["content"]
        history.unmarked(message, [] if isinstance(said, str) else said)
        blocks = [said] if isinstance(said, str) else said
        blocks = [sent for block in blocks if (sent := _sendable(history, message, block)) is not None]
    else:
        for piece in history.pieces(message):
            if isinstance(piece, str):
                blocks.append(piece if isinstance(message.content, str) else _block(piece))
            elif isinstance(piece, Refusal):
                history.repair(message, "part_to_text", "a refusal")
                blocks.append(_block(piece.text))
            elif message.role == "system" or not (block := _medium(piece)):
                history.dropped(message, piece.kind)
            else:
                blocks.append(block)
                history.detail(message, piece)
    seen = [block for block in blocks if _visible(block)]
    for _ in range(len(blocks) - len(seen)):
        history.repair(message, "empty_dropped", "a text that shows nothing")
    if not blocks and not message.calls and message.role != "tool":
        history.repair(message, "empty_dropped", "a message without content")
    return seen


def _visible(block: Block | str) -> bool:
    if isinstance(block, str):
        return visible(block)
    return block["type"] != "text" or visible(block["text"])


def _sendable(history: History, message: Message, block: Block | str) -> Block | str | None:
    """A block as it may be sent; None where it is an image or a document that no model takes."""
    if isinstance(block, str) or block["type"] not in {"image", "document"}:
        return block
    source = block["source"]
    kind, found = source.get("type"), _read(block)
    if kind == "base64" and found and found.media_type == "application/pdf" and block["type"] == "image":
        history.repair(message, "part_moved", "a PDF in an image, into a document")
        return {**block, "type": "document"}
    if kind == "base64":
        taken = found is not None and (found.kind == "image" or found.media_type == "application/pdf")
    else:
        taken = kind != "text" or visible(str(source.get("data")))
    if not taken:
        history.repair(message, "part_dropped", f"{block['type']} of a type that is not taken, or empty")
    if taken and found and kind == "base64":
        # Of the same content, as every reader takes it.
        return {**block, "source": {**source, "media_type": found.media_type, "data": found.data}}
    return block if taken else None


def _medium(media: Media) -> Block | None:
    kind = "image" if media.kind == "image" else "document"
    title = {"title": media.name} if media.name else {}
    if media.kind == "audio":
        return None
    if media.url:
        return {"type": kind, "source": {"type": "url", "url": media.url}, **title}
    if media.kind == "image" or media.media_type == "application/pdf":
        source = {"type": "base64", "media_type": media.media_type, "data": media.data}
        return {"type": kind, "source": source, **title}
    if media.media_type.startswith("text/"):
        try:
            text = binascii.a2b_base64(media.data).decode()
        except ValueError:
            return None
        if visible(text):
            return {"type": kind, "source": {"type": "text", "media_type": "text/plain", "data": text}, **title}
    return None


def _read(block: Block) -> Media | None:
    """The image or the document that a block is; None of a file that only this provider has."""
    source, name = block["source"], block.get("title")
    name = name if isinstance(name, str) else ""
    kind: Literal["image", "file"] = "image" if block["type"] == "image" else "file"
    match source.get("type"):
        case "base64":
            return encoded(kind, source.get("media_type"), source.get("data"), name=name)
        case "url":
            return linked(kind, source.get("url"), name=name)
        case "text" if isinstance(source.get("data"), str):
            data = binascii.b2a_base64(source["data"].encode(), newline=False).decode()
            return encoded(kind, "text/plain", data, name=name)
    return None


def parse(node: Node) -> Iterator[Parsed]:
    """What a turn is in ours: each result by itself, in its place. Raises Wrong."""
    role = node.need("role").one_of("user", "assistant", "system")
    said = node.need("content")
    if isinstance(said.value, str):
        yield _parsed(Parsed(role, said.value), node, [])
        return
    blocks = said.items()
    if role == "assistant":
        parsed = Parsed(role)
        pieces = [piece for block in blocks if (piece := _piece(block, parsed)) is not None]
        parsed.content = content(pieces) if pieces or not parsed.tool_calls else None
        natural = not any(isinstance(piece, Media) for piece in pieces)
        parsed.native = node.json if natural else None
        yield parsed
        return
    others: list[Node] = []
    for block in blocks:
        if role != "user" or block.need("type").value != "tool_result":
            others.append(block)
            continue
        if others:
            yield _parsed(_others(role, others), node, others)
            others = []
        yield _parsed(_answer(block), node, [block])
    if others or not blocks:
        yield _parsed(_others(role, others), node, others)


def _parsed(parsed: Parsed, node: Node, blocks: list[Node]) -> Parsed:
    """A message with its native JSON, of a turn that has these blocks of it, where that is not what would be made."""
    history, message = History(), Message(0, parsed.role, parsed.content, failed=parsed.failed)
    if parsed.role == "tool":
        call_id = parsed.tool_call_id or ""
        equal = [_result(history, Call(call_id, call_id, message), [])] == [block.value for block in blocks]
    elif parsed.role != "user":
        # A later system message of ours would be made a user's.
        equal = False
    else:
        made = {"role": parsed.role, "content": _content(_blocks(history, message))}
        given = node.value["content"]
        equal = made == {
            **node.value,
            "content": given if isinstance(given, str) else [block.value for block in blocks],
        }
    if not equal or history.repairs:
        parsed.native = node.with_only("content", blocks) if blocks else node.json
    return parsed


def _others(role: str, blocks: Sequence[Node]) -> Parsed:
    parsed = Parsed(role)
    pieces = [piece for block in blocks if (piece := _piece(block, parsed)) is not None]
    parsed.content = content(pieces, plain=False)
    return parsed


def _answer(block: Node) -> Parsed:
    parsed = Parsed("tool", tool_call_id=block.need("tool_use_id").call_id())
    said = block.get("content")
    pieces = pieces_of(said, lambda part: _piece(part, Parsed("user")) or "") if said else [""]
    parsed.content = content(pieces, plain=not said or isinstance(said.value, str))
    if (failed := block.get("is_error")) and not isinstance(failed.value, bool):
        raise failed.wrong("must be true or false")
    parsed.failed = failed is not None and failed.value
    return parsed


def _piece(node: Node, parsed: Parsed) -> Piece | None:
    """What a block is in ours; None for a call, which the message gets."""
    kind = node.need("type").text()
    match kind:
        case "text":
            return node.need("text").text()
        case "image" | "document":
            node.need("source").need("type").text()
            return _read(node.value) or unknown(kind)
        case "thinking" if parsed.role == "assistant":
            if signature := node.get("signature"):
                signature.text()
            return reasoning(node.need("thinking").text())
        case "redacted_thinking" if parsed.role == "assistant":
            node.need("data").text()
            return reasoning("")
        case "tool_use" if parsed.role == "assistant":
            given = node.need("input")
            given.object()
            parsed.call(node.need("id").call_id(), node.need("name").name(), given.json)
            return None
        case "tool_use" | "tool_result" | "thinking" | "redacted_thinking":
            raise node.need("type").wrong(f"must not be {kind} here")
    if kind in SERVER_USES:
        node.need("id").text()
    elif answered := node.get("tool_use_id"):
        answered.text()
    return unknown(kind)
