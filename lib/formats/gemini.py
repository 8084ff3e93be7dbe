"""Google's generateContent: `{"systemInstruction"?, "contents": [{role, parts}]}`.

Rules, in the order in which they are enforced: no empty parts; system texts that a window begins with are
systemInstruction, later ones a user's text in place; legal names; arguments that are objects; the first call of each
step has its signature, or the documented placeholder; the first content is a user's; ids on both a call and its
response, or on neither; a content with calls is followed by one of their responses alone, each once, and by what else
there is in one behind; contents of one role are one, but for responses.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lib.formats.history import CONTINUED, NO_DETAILS, NO_RESULT, Call, History, Message, operators, shown
from lib.formats.parts import AUDIO_TYPES, Media, Refusal, encoded, linked, media_type_of
from lib.formats.reading import Node, Parsed, Piece, content, reasoning, unknown

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}", re.ASCII)

# What Google documents for a call whose signature is not known; the model thinks worse for it.
SKIPPED = "skip_thought_signature_validator"

# What a part has one of.
DATA = ("text", "inlineData", "fileData", "functionCall", "functionResponse")

# What stands beside it.
BESIDE = ("thought", "thoughtSignature")

_GOOGLES = re.compile(r"https?://([a-z]+\.)*(googleapis\.com|youtube\.com|youtu\.be)/", re.IGNORECASE)

_SNAKE = re.compile(r"[a-z]+_")

type Part = dict[str, Any]


@dataclass(slots=True)
class Content:
    """What one role says in a row; responses stand by themselves."""

    role: str
    parts: list[Part]
    responses: bool = False


def render(history: History) -> dict[str, Any]:
    """The members of a request."""
    system: list[Part] = []
    contents: list[Content] = []
    for message in history.gathered():
        if message.role == "assistant":
            said = _said(history, message)
            if said and not contents:
                _add(contents, Content("user", [{"text": CONTINUED}]))
                history.repair(message, "user_added", "in front of the model")
            _add(contents, Content("model", said))
            moved: list[Part] = []
            _add(
                contents, Content("user", [_response(history, call, moved) for call in message.results], responses=True)
            )
            _add(contents, Content("user", moved))
        elif message.role == "user":
            _add(contents, Content("user", _parts(history, message)))
        elif parts := _parts(history, message):
            if not contents:
                system += parts
                continue
            history.repair(message, "role_changed", "a later system message, to user")
            text = operators("\n\n".join(part["text"] for part in parts))
            _add(contents, Content("user", [{"text": text}]))
    head = {"systemInstruction": {"parts": system}} if system else {}
    return {**head, "contents": [{"role": content.role, "parts": content.parts} for content in contents]}


def _add(contents: list[Content], content: Content) -> None:
    last = contents[-1] if contents else None
    if not content.parts:
        return
    if last and last.role == content.role and last.responses == content.responses:
        last.parts += content.parts
    else:
        contents.append(content)


def _parts(history: History, message: Message) -> list[Part]:
    """What a message says, as parts that are not empty."""
    if message.native is not None:
        parts = _filled(history, message, message.native.get("parts") or [])
    else:
        parts = []
        for piece in history.pieces(message):
            if isinstance(piece, Media):
                parts += _medium(history, message, piece)
                continue
            if isinstance(piece, Refusal):
                history.repair(message, "part_to_text", "a refusal")
            if text := piece if isinstance(piece, str) else piece.text:
                parts.append({"text": text})
            else:
                history.repair(message, "empty_dropped", "an empty text")
    if not parts and not message.calls and message.role != "tool":
        history.repair(message, "empty_dropped", "a message without content")
    return parts


def _filled(history: History, message: Message, given: list[Part]) -> list[Part]:
    """Parts that this format gave, without those that are empty."""
    parts = [part for part in given if any(part[name] not in ("", None) for name in part if name != "thought")]
    for _ in range(len(given) - len(parts)):
        history.repair(message, "empty_dropped", "an empty part")
    for part in parts:
        if not any(value is not None for name, value in part.items() if name not in BESIDE):
            part["text"] = ""
            history.repair(message, "part_to_text", "a signature of no part, to an empty text's")
    return parts


def _medium(history: History, message: Message, media: Media) -> list[Part]:
    if message.role == "system" or media.file_id:
        history.dropped(message, media.kind)
        return []
    history.detail(message, media)
    if media.data:
        return [{"inlineData": {"mimeType": media.media_type, "data": media.data}}]
    media_type = media_type_of(media)
    return [{"fileData": {"fileUri": media.url} | ({"mimeType": media_type} if media_type else {})}]


def _said(history: History, message: Message) -> list[Part]:
    """What the model says and calls."""
    parts = _parts(history, message)
    if message.native is None:
        for call, made in zip(message.calls, message.tool_calls or (), strict=True):
            name = history.name(message, made["function"]["name"], _NAME)
            given = history.arguments(message, made["function"]["arguments"])
            call.name, call.kind = name, call.sent
            parts.append({"functionCall": {"id": call.sent, "name": name, "args": given}})
    else:
        calls = iter(message.calls)
        for part in parts:
            if made_call := part.get("functionCall"):
                call = next(calls)
                made_call["name"] = call.name = history.name(message, made_call["name"], _NAME)
                call.kind = made_call.get("id") or ""
    first = next((part for part in parts if part.get("functionCall")), None)
    if first and not first.get("thoughtSignature"):
        first["thoughtSignature"] = SKIPPED
        history.repair(message, "signature_skipped", f"the call of {first['functionCall']['name']} has no signature")
    return parts


def _response(history: History, call: Call, moved: list[Part]) -> Part:
    """The part that answers a call; moved gets the media of its result."""
    given: Part = {}
    if call.result is None:
        given["response"] = {"error": NO_RESULT}
    elif call.result.native is not None:
        part = call.result.native["parts"][0]
        given = part["functionResponse"]
        if given.pop("id", None) and not call.kind:
            history.repair(call.result, "member_dropped", "the id of a response to a call without one")
        if given["name"] != call.name:
            history.repair(call.result, "name_changed", f"{shown(given['name'])} is not its call's: {call.name}")
    else:
        result = call.result
        parts = _parts(history, result) if result.content else []
        for part in parts:
            if "text" not in part:
                history.repair(result, "part_moved", "media of a result, behind the results")
                moved.append(part)
        text = "\n".join(part["text"] for part in parts if "text" in part)
        given["response"] = {"error": text or NO_DETAILS} if result.failed else {"output": text}
    identified = {"id": call.kind} if call.kind else {}
    return {"functionResponse": {**identified, **given, "name": call.name}}


def parse(node: Node) -> Iterator[Parsed]:
    """What a content is in ours: each response by itself, in its place. Raises Wrong."""
    role = node.need("role").one_of("user", "model")
    counts: dict[str, int] = {}
    given = node.get("parts")
    parts = given.items() if given else []
    if role == "model":
        if answer := next((found for part in parts if (found := part.get("functionResponse"))), None):
            raise answer.wrong("must not be a functionResponse here")
        parsed = Parsed("assistant", native=node.json)
        pieces = [piece for part in parts if (piece := _piece(part, parsed, counts)) is not None]
        parsed.content = content(pieces) if pieces or not parsed.tool_calls else None
        yield parsed
        return
    others: list[Node] = []
    for part in parts:
        if "functionResponse" not in part.object():
            others.append(part)
            continue
        if others:
            yield _others(others, node)
            others = []
        yield _answer(part, node, counts)
    if others or not parts:
        yield _others(others, node)


def _others(parts: Sequence[Node], node: Node) -> Parsed:
    parsed = Parsed("user")
    pieces = [piece for part in parts if (piece := _piece(part, parsed, {})) is not None]
    parsed.content = content(pieces, plain=len(parts) < 2)
    message = Message(0, "user", parsed.content)
    made = {"role": "user", "parts": _parts(History(), message)}
    if made != {**node.value, "parts": [part.value for part in parts]}:
        parsed.native = node.with_only("parts", parts)
    return parsed


def _answer(part: Node, node: Node, counts: dict[str, int]) -> Parsed:
    given = part.need("functionResponse")
    name, response = given.need("name").name(), given.need("response")
    keys = list(response.object())
    said = response.get(keys[0]) if keys in (["output"], ["error"], ["result"]) else None
    text = said.value if said and isinstance(said.value, str) else (said or response).json
    others = [_medium_of(each) for each in nested.items()] if (nested := given.get("parts")) else []
    told = content([text, *others])
    call_id = _call_id(given, name, counts)
    parsed = Parsed("tool", told, tool_call_id=call_id, tool_name=name, failed=keys == ["error"])
    call = Call(call_id, call_id, Message(0, "tool", told, failed=parsed.failed), kind=call_id, name=name)
    if _response(History(), call, []) != part.value:
        parsed.native = node.with_only("parts", [part])
    return parsed


def _call_id(node: Node, name: str, counts: dict[str, int]) -> str:
    """The id of a call or a response; where it has none the name and the how manieth of it in its content."""
    if given := node.get("id"):
        return given.call_id()
    counts[name] = counts.get(name, 0) + 1
    return f"{name}:{counts[name]}"


def _piece(node: Node, parsed: Parsed, counts: dict[str, int]) -> Piece | None:
    """What a part is in ours; None for a call, which the message gets."""
    given = node.object()
    if snake := next((name for name in given if _SNAKE.match(name)), None):
        raise node.wrong(f"has {snake}: members must be in camelCase, as the API has them")
    if len([name for name in DATA if given.get(name) is not None]) > 1:
        raise node.wrong(f"must have one of {', '.join(DATA)}")
    if signature := node.get("thoughtSignature"):
        signature.text()
    if made := node.get("functionCall"):
        if parsed.role != "assistant":
            raise made.wrong("must not be a functionCall here")
        name = made.need("name").name()
        args = made.get("args")
        if args:
            args.object()
        parsed.call(_call_id(made, name, counts), name, args.json if args else "{}")
        return None
    if text := node.get("text"):
        thought = node.get("thought")
        return reasoning(text.text()) if thought and thought.value is True else text.text()
    return _medium_of(node)


def _medium_of(node: Node) -> Piece:
    """The image, the file or the sound that a part is; of others only what they are called."""
    if data := node.get("inlineData"):
        return _inline(data) or unknown("inlineData")
    if file := node.get("fileData"):
        media_type = (file.get("mimeType") or Node("")).text()
        uri = file.need("fileUri").text()
        # What only Google can read, or what nobody else has a form for.
        if _GOOGLES.match(uri) or not (kind := _kind(media_type or media_type_of(Media("file", url=uri)))):
            return unknown("fileData")
        return linked(kind, uri) or unknown("fileData")
    return unknown(next((name for name, value in node.object().items() if isinstance(value, dict)), "empty"))


def _kind(media_type: str) -> Literal["image", "file"] | None:
    if media_type.startswith("image/"):
        return "image"
    return "file" if media_type.startswith(("application/", "text/")) else None


def _inline(data: Node) -> Media | None:
    media_type, text = data.need("mimeType").text(), data.need("data").text(least=1)
    sound = media_type.partition(";")[0]
    if sound in AUDIO_TYPES.values():
        found = encoded("file", sound, text)
        return found and found._replace(kind="audio")
    kind = _kind(media_type)
    return kind and encoded(kind, media_type, text)
