"""JSON text to Python objects, refusing what could not be stored and come back equal.

Messages are stored from the request's own text, so PostgreSQL and Python must read the same thing in it: a
repeated key, a NUL, half a surrogate pair, NaN, a number beyond a double, or nesting without end gets a
MalformedJson or an InvalidBody that names the place, and never an error from the database.
"""

import hashlib
import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from lib import errors
from lib.errors import Place

# serde_json's default; deeper text makes Python's and PostgreSQL's parsers run out of stack, each at its own depth.
MAX_DEPTH = 128

# Integers with more digits than the largest double (1.8e308) are out of range; Python would refuse 4,301 of them.
_MAX_DIGITS = 309

# Characters of the longest number that is a double to its last digit (2**-1074 has 1,074 decimals), and some more.
_MAX_NUMBER = 1_100

# What becomes 0.0 all the same is beyond a double; PostgreSQL's numeric takes no exponent below -16383.
_NOT_ZERO = re.compile(r"-?0?\.?0*[1-9]")

# Places that one problem document names.
MAX_PLACES = 20

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{},]')

# Only a text with one of these can hold U+0000 or a lone surrogate.
_SUSPECT_ESCAPE = re.compile(r"\\u(?:0000|[dD][89abAB-F])")


class _Repeated(dict[str, Any]):
    """An object in which a key occurs twice."""


def parse(text: str) -> Any:
    """The value that text holds.

    Raises MalformedJson where text is not JSON (RFC 8259), InvalidBody where it holds what cannot be kept:
    a repeated key, U+0000, a lone surrogate, NaN or Infinity, a number beyond a double (1.8e308), or more than
    MAX_DEPTH levels.
    """
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
        if math.isfinite(value) and len(digits) <= _MAX_NUMBER and (value or not _NOT_ZERO.match(digits)):
            return value
        flaws = True
        return math.inf

    def integer(digits: str) -> float:
        return number(digits) if len(digits) >= _MAX_DIGITS else int(digits)

    try:
        value = json.loads(text, object_pairs_hook=pairs, parse_float=number, parse_int=integer, parse_constant=number)
    except json.JSONDecodeError as error:
        raise errors.MalformedJson(f"the body is not JSON: line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise errors.InvalidBody(places=[Place(_deep_pointer(text), _TOO_DEEP)]) from None

    if flaws or _too_deep(value) or (_SUSPECT_ESCAPE.search(text) and _has_bad_text(value)):
        raise errors.InvalidBody(places=[*islice(_places(value), MAX_PLACES)])
    return value


def fingerprint(value: Any) -> bytes:
    """The SHA-256 of a parsed value; the same however its text was spaced and its keys were ordered."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).digest()


def pointer(path: tuple[str | int, ...]) -> str:
    """The JSON Pointer (RFC 6901) of a path of keys and indexes."""
    return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in path)


_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"


def _places(root: Any) -> Iterator[Place]:
    """All that cannot be kept in root, in the order of the text."""
    stack: list[tuple[tuple[str | int, ...], Any]] = [((), root)]
    while stack:
        path, value = stack.pop()
        if detail := _flaw(value, len(path)):
            yield Place(pointer(path), detail)
        if isinstance(value, dict | list) and len(path) < MAX_DEPTH:
            items = value.items() if isinstance(value, dict) else enumerate(value)
            stack.extend([((*path, key), item) for key, item in items][::-1])


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


_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


def _has_bad_text(value: Any) -> bool:
    """Whether a string in value holds U+0000 or a lone surrogate; in C, and so much faster than a look at every one."""
    text = json.dumps(value, ensure_ascii=False)
    return _NUL.search(text) is not None or _text_flaw(text) is not None


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
    return pointer(tuple(path[:-1]))


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
