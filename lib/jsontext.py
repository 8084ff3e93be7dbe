"""JSON text to Python objects, refusing what could not be stored and come back equal.

Messages are stored from the request's own text, so PostgreSQL and Python must read the same thing in it: a
repeated key, a NUL, half a surrogate pair, NaN, a number beyond a double, or nesting without end gets a
MalformedJson or an InvalidBody that names the place, and never an error from the database. Whatever the text, this
takes memory in proportion to it, and no step holds the interpreter for long: a large text belongs in a thread.
"""

import hashlib
import json
import math
import re
from collections.abc import Collection, Sequence
from typing import Any

from lib import errors
from lib.errors import MAX_PLACES, Place

# serde_json's default; deeper text makes Python's and PostgreSQL's parsers run out of stack, each at its own depth.
MAX_DEPTH = 128

# Objects and arrays: each costs Python 60 to 230 bytes, where its text has two. A batch of 1,000 has a few thousand.
MAX_CONTAINERS = 200_000

# Characters of the longest number that is a double to its last digit (2**-1074 has 1,074 decimals), and some more.
_MAX_NUMBER = 1_100

# Of the largest integer that is a double.
MAX_DIGITS = 308

# Only a text with one of these can hold a number beyond a double, whose largest has 309 digits. Two searches, each from
# where one may start, because neither may hold the interpreter for long.
_EXPONENT = re.compile(r"(?<=[0-9])[eE]")
_LONG_NUMBER = re.compile(r"(?<![0-9])[0-9]{309}")

# A zero that jsonb can store: its numeric ends at 16,383 decimals, and takes exponents for them.
_ZERO = re.compile(r"-?0(?:\.0*)?(?:[eE][+-]?0*[0-9]{1,4})?")

# Characters: a client's keys can be megabytes long, and stand in pointers.
MAX_POINTER = 1_000

_TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{},]')

# From the start of a JSON text up to the first escape of U+0000 or of half a surrogate pair.
_SOUND = re.compile(r"(?:[^\\]++|\\[^u]|\\u(?!0000|[dD][89a-fA-F])|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F])*+")


class _Repeated(dict[str, Any]):
    """An object in which a key occurs twice."""


def parse(text: str) -> Any:
    """The value that text holds.

    Raises MalformedJson where text is not JSON (RFC 8259), InvalidBody where it holds what cannot be kept:
    a repeated key, U+0000, a lone surrogate, NaN or Infinity, a number beyond a double (1.8e308), more than
    MAX_DEPTH levels, or more than MAX_CONTAINERS objects and arrays.
    """
    if _containers(text) > MAX_CONTAINERS:
        raise errors.InvalidBody(f"the body has more than {MAX_CONTAINERS:,} objects and arrays")
    flaws = False

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal flaws
        value = dict(items)
        if len(value) == len(items):
            return value
        flaws = True
        return _Repeated(value)

    def number(digits: str) -> float:
        nonlocal flaws
        value = float(digits)
        if math.isfinite(value) and len(digits) <= _MAX_NUMBER and (value or _ZERO.fullmatch(digits)):
            return value
        flaws = True
        return math.inf

    def integer(digits: str) -> float:
        # One with more digits than the largest double is beyond it; int() would refuse 4,301 of them.
        return number(digits) if len(digits) >= 309 else int(digits)

    # Python's own readers of numbers are several times faster than a function here.
    suspect = _EXPONENT.search(text) is not None or _LONG_NUMBER.search(text) is not None
    try:
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=number,
            parse_float=number if suspect else None,
            parse_int=integer if suspect else None,
        )
    except json.JSONDecodeError as error:
        raise errors.MalformedJson(f"the body is not JSON: line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise errors.InvalidBody(places=[Place(_deep_pointer(text), _TOO_DEEP)]) from None

    sound = _SOUND.match(text)
    if flaws or _too_deep(value) or (sound and sound.end() < len(text)):
        raise errors.InvalidBody(places=_flaws(value))
    return value


def _containers(text: str) -> int:
    """How many objects and arrays are in text, at most."""
    if (count := text.count("{") + text.count("[")) <= MAX_CONTAINERS:
        return count
    # Most of them may stand in strings, such as a file of JSON that a tool has read.
    outside = "".join(text.replace(r"\\", "").replace(r"\"", "").split('"')[::2])
    return outside.count("{") + outside.count("[")


def fingerprint(text: str, members: Collection[str] = (), *, without: Collection[str] = (), place: str = "") -> bytes:
    """The SHA-256 of a JSON text that parse takes: of these members of its object, or of all of it but those without.

    Behind place, where that is given: the same text at another place has another.

    The same however the text is spaced and its keys are ordered; numbers count by their digits, as they are stored.
    """
    value = json.loads(text, parse_float=_exact_float, parse_int=_exact_int)
    if without:
        value = {name: member for name, member in value.items() if name not in without}
    if members:
        present = [value[name] for name in members if value.get(name) is not None]
        # What the one member that was there before any other has always had.
        value = present if len(present) > 1 else present[0]
    return hashlib.sha256((place + json.dumps(value, sort_keys=True, separators=(",", ":"))).encode()).digest()


def _exact_float(digits: str) -> float | str:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError("beyond a double")
    # No string that parse takes has a NUL, so none can be taken for a number.
    return value if repr(value) == digits else f"\0{digits}"


def _exact_int(digits: str) -> int | str:
    # A sign, or 10**308, has one more.
    if len(digits) > MAX_DIGITS and not math.isfinite(float(digits)):
        raise ValueError("beyond a double")
    return f"\0{digits}" if digits == "-0" else int(digits)


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


_exact = json.JSONDecoder(parse_float=_exact_float, parse_int=_exact_int, parse_constant=_no_number).decode
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_NUMBER = re.compile(r'"\\u0000([^"]*)"')


def read(text: str) -> Any:
    """The value of a JSON text, from which write makes a text with the same digits in its numbers.

    Raises ValueError where it is no JSON or has a number beyond a double. What else parse refuses it does not look for.
    """
    return _exact(text)


def write(value: Any) -> str:
    """The JSON text of what was made of values of read."""
    text = _compact(value)
    return _NUMBER.sub(r"\1", text) if r"\u0000" in text else text


_SPACE = re.compile(r"[ \t\n\r]*")
_scan = json.JSONDecoder().raw_decode


def split(text: str) -> dict[str | int, str]:
    """The texts, to the letter, of what the object or the array in a JSON text has, by key or index."""
    pieces: dict[str | int, str] = {}
    at = _skip(text, 0)
    keyed = text[at] == "{"
    at = _skip(text, at + 1)
    while text[at] not in "]}":
        key: str | int = len(pieces)
        if keyed:
            key, at = _scan(text, at)
            at = _skip(text, _skip(text, at) + 1)
        _, end = _scan(text, at)
        pieces[key] = text[at:end]
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return pieces


def _skip(text: str, at: int) -> int:
    space = _SPACE.match(text, at)
    return space.end() if space else at


def pointer(path: Sequence[str | int]) -> str:
    """The JSON Pointer (RFC 6901) of a path of keys and indexes, up to MAX_POINTER characters of it."""
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in path)[:MAX_POINTER]


_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"


def _flaws(root: Any) -> list[Place]:
    """What cannot be kept in root, in the order of the text: the first MAX_PLACES of it."""
    places: list[Place] = []
    path: list[str | int] = []

    def look(value: Any) -> None:
        if detail := _flaw(value, len(path)):
            places.append(Place(pointer(path), detail))
        if not isinstance(value, dict | list) or len(path) >= MAX_DEPTH:
            return
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            if len(places) == MAX_PLACES:
                return
            path.append(key)
            look(item)
            path.pop()

    look(root)
    return places


def _flaw(value: Any, depth: int) -> str | None:
    if isinstance(value, str):
        return _text_flaw(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "not a number within the range of a double"
    if isinstance(value, dict | list) and depth >= MAX_DEPTH:
        return _TOO_DEEP
    if isinstance(value, _Repeated):
        return "a key occurs more than once"
    if isinstance(value, dict) and any(_text_flaw(key) for key in value):
        return "a key holds U+0000 or a lone surrogate"
    return None


def _text_flaw(text: str) -> str | None:
    if "\0" in text:
        return "holds U+0000, which PostgreSQL cannot store"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds a lone surrogate, which is not Unicode text"
    return None


def _deep_pointer(text: str) -> str:
    """The pointer to the first value in text below MAX_DEPTH levels, for text too deep to be parsed."""
    tokens = _TOKEN.finditer(text)
    path: list[str | int] = []
    key = ""
    while len(path) <= MAX_DEPTH:
        mark = next(tokens)[0]
        if mark[0] == '"':
            key = json.loads(mark)
        elif mark in "[{":
            if path and isinstance(path[-1], str):
                path[-1] = key
            path.append(0 if mark == "[" else "")
        elif mark in "]}":
            path.pop()
        elif isinstance(path[-1], int):
            path[-1] += 1
    return pointer(path[:-1])


def _too_deep(value: Any) -> bool:
    """Whether value has containers below MAX_DEPTH; much faster than a look at every path."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(MAX_DEPTH):
        level = [
            child
            for node in level
            for child in (node.values() if isinstance(node, dict) else node)
            if isinstance(child, dict | list)
        ]
    return bool(level)
