"""Windows in providers' formats, held against the vendors' own types: every field is read, and no member is unknown.

The types of OpenAI and Anthropic are TypedDicts, of which pydantic would let pass any member that it does not know, and
read an Iterable only when somebody asks for its items. So they are made anew here: with lists, and closed.
"""

import functools
import json
import operator
from collections.abc import Callable, Iterator
from functools import cache, partial
from types import GenericAlias, UnionType
from typing import Annotated, Any, Literal, Required, Union, get_args, get_origin, get_type_hints

import anthropic.types
import openai.types.chat
import openai.types.responses
from google.genai import types as google
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict, is_typeddict

# What JSON has. Files and models beside these are for callers in Python, and left out.
_PLAIN = {str, int, float, bool, object, type(None)}
_PYTHONS = object()

_CLOSED = ConfigDict(extra="forbid", strict=True)


def _closed(hint: Any, made: dict[Any, Any]) -> Any:
    """The same type with lists for whatever can be iterated, and with no members but its own."""
    origin, args = get_origin(hint), get_args(hint)
    if is_typeddict(hint):
        if hint not in made:
            made[hint] = hint
            made[hint] = _members(hint, made)
        return made[hint]
    if origin in {Union, UnionType}:
        kinds = [kind for arg in args if (kind := _closed(arg, made)) is not _PYTHONS]
        return functools.reduce(operator.or_, kinds) if kinds else _PYTHONS
    if origin is Annotated:
        return _closed(args[0], made)
    if origin in {None, Literal}:
        return hint if origin or hint in _PLAIN else _PYTHONS
    item = _closed(args[-1], made)
    if item is _PYTHONS:
        return _PYTHONS
    return GenericAlias(dict, (str, item)) if origin is dict else GenericAlias(list, item)


def _members(hint: Any, made: dict[Any, Any]) -> Any:
    members = {}
    for name, member in get_type_hints(hint, include_extras=True).items():
        required = get_origin(member) is Required
        inner = _closed(get_args(member)[0] if required else member, made)
        members[name] = Required[inner] if required else inner
    new: Any = TypedDict  # with members that are known only now, which mypy cannot see
    typed = new(hint.__name__, members, total=hint.__total__)
    typed.__pydantic_config__ = _CLOSED
    return typed


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    kinds = {
        "chat message": openai.types.chat.ChatCompletionMessageParam,
        "item": openai.types.responses.ResponseInputItemParam,
        "message": anthropic.types.MessageParam,
        "text": anthropic.types.TextBlockParam,
    }
    return TypeAdapter(_closed(kinds[name], {}))


def _said(place: str, read: Callable[[], Any]) -> Iterator[str]:
    """What is wrong with a value by the type that fits it best: of a union's, that with the fewest flaws."""
    try:
        read()
    except ValidationError as error:
        # The names of a union's types stand in the place; an error that says it is another type tells nothing.
        by_type: dict[tuple[Any, ...], list[str]] = {}
        other = set[tuple[Any, ...]]()
        for flaw in error.errors(include_url=False, include_context=False):
            kinds = tuple(part for part in flaw["loc"] if isinstance(part, str) and part[:1].isupper())
            where = ".".join(str(part) for part in flaw["loc"] if "[" not in str(part))
            by_type.setdefault(kinds, []).append(f"{where}: {flaw['msg']}")
            if flaw["type"] == "literal_error" and flaw["loc"][-1] in {"type", "role"}:
                other.add(kinds)
        best = min(by_type, key=lambda kinds: (kinds in other, -len(kinds), len(by_type[kinds])))
        yield from (f"{place}: {flaw}" for flaw in by_type[best])


def _alone(data: dict[str, Any], *known: str) -> Iterator[str]:
    yield from (f"data: may have no {name}" for name in data if name not in known)


def _each(name: str, member: str, data: dict[str, Any]) -> Iterator[str]:
    for number, value in enumerate(data[member]):
        yield from _said(f"data.{member}[{number}]", partial(_adapter(name).validate_python, value))


def _chat(data: dict[str, Any]) -> Iterator[str]:
    yield from _alone(data, "messages")
    yield from _each("chat message", "messages", data)


# What the types require and the API does not.
_LEFT_OUT: dict[Any, dict[str, Any]] = {
    "output_text": {"annotations": []},
    "input_image": {"detail": "auto"},
    "reasoning": {"id": "rs_1"},
    "said": {"id": "msg_1", "status": "completed", "type": "message"},
}


def _completed(value: Any) -> Any:
    """An item with what may be left out of it and its parts."""
    if isinstance(value, list):
        return [_completed(each) for each in value]
    if not isinstance(value, dict):
        return value
    parted = value.get("role") == "assistant" and isinstance(value.get("content"), list)
    left_out = _LEFT_OUT.get("said" if parted else value.get("type"), {})
    return {**left_out, **{name: _completed(each) for name, each in value.items()}}


def _responses(data: dict[str, Any]) -> Iterator[str]:
    yield from _alone(data, "instructions", "input")
    if not isinstance(data.get("instructions", ""), str):
        yield "data.instructions: is no text"
    yield from _each("item", "input", {"input": _completed(data["input"])})


def _anthropic(data: dict[str, Any]) -> Iterator[str]:
    yield from _alone(data, "system", "messages")
    if not isinstance(data.get("system", ""), str):
        yield from _each("text", "system", data)
    yield from _each("message", "messages", data)


def _names(value: Any) -> Any:
    """The names of members, at every depth, and nothing else."""
    if isinstance(value, dict):
        return {name: _names(each) for name, each in value.items()}
    return [_names(each) for each in value] if isinstance(value, list) else None


def _content(place: str, value: Any) -> Iterator[str]:
    """The model takes names in Python's spelling too, and gives them back in JSON's."""
    found: list[google.Content] = []
    text = json.dumps(value)
    yield from _said(place, lambda: found.append(google.Content.model_validate_json(text, strict=True)))
    for content in found:
        given = json.loads(content.model_dump_json(by_alias=True, exclude_unset=True))
        if _names(given) != _names(value):
            yield f"{place}: has names that are not JSON's"


def _gemini(data: dict[str, Any]) -> Iterator[str]:
    yield from _alone(data, "systemInstruction", "contents")
    if "systemInstruction" in data:
        yield from _content("data.systemInstruction", data["systemInstruction"])
    for number, value in enumerate(data["contents"]):
        yield from _content(f"data.contents[{number}]", value)


_FORMATS = {"openai-chat": _chat, "openai-responses": _responses, "anthropic": _anthropic, "gemini": _gemini}


def wrong(name: str, data: dict[str, Any]) -> list[str]:
    """Whatever of data is not of the vendor's types, with its place, by the format's name; ai-sdk has none here."""
    return [] if name == "ai-sdk" else list(_FORMATS[name](data))
