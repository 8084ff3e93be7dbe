"""What a provider gave or was sent, on its way into messages of ours: values with their places, and what comes of them.

Pure. Must name the place of what is wrong in what the client sent.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lib import jsontext
from lib.errors import Place
from lib.formats.parts import Media, Refusal
from lib.models import MAX_CALL_ID_LENGTH, MAX_NAME_LENGTH


class Wrong(Exception):
    """something in a provider's message is not as the provider has it"""

    def __init__(self, place: Place) -> None:
        super().__init__(place.detail)
        self.place = place


@dataclass(slots=True)
class Node:
    """A value of a body that jsontext.parse has taken, where it stands, and its text where somebody asks for it."""

    value: Any
    key: str | int = ""
    parent: "Node | None" = None
    _text: str | None = None
    _pieces: dict[str | int, str] | None = None

    @property
    def json(self) -> str:
        """Its JSON text, to the letter."""
        if self._text is None and self.parent is not None:
            self._text = self.parent.pieces[self.key]
        return self._text or ""

    @property
    def pieces(self) -> dict[str | int, str]:
        """The JSON texts of what it has, by key or index."""
        if self._pieces is None:
            self._pieces = jsontext.split(self.json)
        return self._pieces

    def wrong(self, detail: str) -> Wrong:
        """That it is wrong, and why."""
        path: list[str | int] = []
        node: Node | None = self
        while node:
            path.insert(0, node.key)
            node = node.parent
        return Wrong(Place(jsontext.pointer(path), detail))

    def get(self, name: str) -> "Node | None":
        """A member of the object that it is; None where that is absent or null."""
        value = self.object().get(name)
        return None if value is None else Node(value, name, self)

    def member(self, name: str) -> "Node":
        """A member of the object that it is, null or absent as it may be."""
        return Node(self.object().get(name), name, self)

    def need(self, name: str) -> "Node":
        """A member of the object that it is. Raises Wrong where there is none."""
        found = self.get(name)
        if found is None:
            raise self.member(name).wrong("is required")
        return found

    def object(self) -> Mapping[str, Any]:
        """It as an object. Raises Wrong."""
        if not isinstance(self.value, dict):
            raise self.wrong("must be an object")
        return self.value

    def items(self) -> list["Node"]:
        """The elements of the list that it is. Raises Wrong."""
        if not isinstance(self.value, list):
            raise self.wrong("must be a list")
        return [Node(value, place, self) for place, value in enumerate(self.value)]

    def text(self, *, most: int | None = None, least: int = 0) -> str:
        """It as a text. Raises Wrong, also where it is shorter than least or longer than most characters."""
        if not isinstance(self.value, str):
            raise self.wrong("must be a string")
        if len(self.value) < least:
            raise self.wrong("must not be empty")
        if most is not None and len(self.value) > most:
            raise self.wrong(f"must have at most {most:,} characters")
        return self.value

    def one_of(self, *names: str) -> str:
        """It as one of these texts. Raises Wrong."""
        if self.value not in names:
            raise self.wrong(f"must be one of {', '.join(names)}")
        return str(self.value)

    def name(self) -> str:
        """It as the name of a tool. Raises Wrong."""
        return self.text(most=MAX_NAME_LENGTH)

    def call_id(self) -> str:
        """It as the id of a call. Raises Wrong."""
        return self.text(most=MAX_CALL_ID_LENGTH, least=1)

    def with_only(self, name: str, elements: Sequence["Node"]) -> str:
        """Its JSON text with only these elements in the list that its member name is."""
        members = {**self.pieces, name: f"[{','.join([element.json for element in elements])}]"}
        return f"{{{','.join(f'{json.dumps(key, ensure_ascii=False)}:{text}' for key, text in members.items())}}}"


@dataclass(slots=True)
class Parsed:
    """A message of ours that came of one of a provider's, or of several.

    native is the text of what the format is to give back; None where what it makes of the message is equal anyway.
    sources are the places of the provider's messages in the request, from 0.
    """

    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    tool_call_id: str | None = None
    tool_name: str | None = None
    failed: bool = False
    native: str | None = None
    sources: list[int] = field(default_factory=list)

    def call(self, call_id: str, name: str, arguments: str) -> None:
        """Adds a call."""
        function = {"name": name, "arguments": arguments}
        self.tool_calls.append({"id": call_id, "type": "function", "function": function})

    def members(self) -> dict[str, Any]:
        """Its members as an append in our own format has them, without what is absent, native and metadata."""
        given = {
            "content": self.content,
            "toolCalls": self.tool_calls or None,
            "toolCallId": self.tool_call_id,
            "toolName": self.tool_name,
        }
        return {"role": self.role} | {name: value for name, value in given.items() if value is not None}


def joined(run: Sequence[Parsed]) -> Parsed:
    """One message of what one role says in a row, each with a native that is a list; a single one as it is."""
    if len(run) == 1:
        return run[0]
    parts = [part for parsed in run for part in _parts(parsed.content)]
    calls = [call for parsed in run for call in parsed.tool_calls]
    return Parsed(
        run[0].role,
        parts if parts or not calls else None,
        calls,
        native=f"[{','.join([(parsed.native or '')[1:-1] for parsed in run])}]",
        sources=[place for parsed in run for place in parsed.sources],
    )


type Piece = str | Media | Refusal | dict[str, Any]


def content(pieces: Sequence[Piece], *, plain: bool = True) -> str | list[dict[str, Any]]:
    """The content that pieces are; a single text by itself, if it is to be plain."""
    if plain and len(pieces) == 1 and isinstance(pieces[0], str):
        return pieces[0]
    return [_part(piece) for piece in pieces]


def _parts(said: str | list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    return [_part(said)] if isinstance(said, str) else said or []


def _part(piece: Piece) -> dict[str, Any]:
    if isinstance(piece, str):
        return {"type": "text", "text": piece}
    if isinstance(piece, Refusal):
        return {"type": "refusal", "refusal": piece.text}
    return piece.part if isinstance(piece, Media) else piece


def reasoning(text: str) -> dict[str, Any]:
    """What a model thought, as a part of ours; without text where that is hidden."""
    return {"type": "reasoning", "text": text}


def unknown(kind: str) -> dict[str, Any]:
    """What stands in our content for a part that only its own format knows; the part itself is in native."""
    return {"type": kind}


def pieces_of(node: Node, read: Callable[[Node], Piece]) -> list[Piece]:
    """The pieces of a content that is a text or a list of parts."""
    if not isinstance(node.value, str | list):
        raise node.wrong("must be a string or a list")
    return [node.value] if isinstance(node.value, str) else [read(part) for part in node.items()]
