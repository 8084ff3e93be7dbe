"""What single values must be: texts that can be seen, URLs, base64, names and ids, arguments, JSON that can be sent.

A rule takes a text and answers what is wrong with it, or None.
"""

import base64
import binascii
import json
import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from typing import Any

type Rule = Callable[[str], str | None]

# Nothing to be seen, whatever their category says: Hangul fillers, joiners, variation selectors, the empty Braille
# pattern, the null notehead, and what is set aside for more of the kind.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u2800\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U0001d159"
    "\U000e0000-\U000e0fff]"
)
# Separators, control and format characters, surrogates.
_UNSEEN = {"Zs", "Zl", "Zp", "Cc", "Cf", "Cs"}

_SURROGATE = re.compile("[\ud800-\udfff]")
_WEB_URL = re.compile(r"https?://[^\s]+")
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)(?:;[\w.+-]+=[\w.+-]+)*;base64,(.*)", re.ASCII | re.DOTALL)


def is_visible(text: str) -> bool:
    """Whether any character can be seen."""
    return any(unicodedata.category(each) not in _UNSEEN and not _BLANK.match(each) for each in text)


def visible(text: str) -> str | None:
    return None if is_visible(text) else "has no visible character"


def filled(text: str) -> str | None:
    return None if text else "is empty"


def matching(pattern: str) -> Rule:
    """A rule for texts that a pattern fits, from end to end."""
    compiled = re.compile(pattern)
    return lambda text: None if compiled.fullmatch(text) else f"does not fit {pattern}"


def length(least: int, most: int) -> Rule:
    """A rule for texts of so many characters."""
    return lambda text: None if least <= len(text) <= most else f"has not {least} to {most} characters"


def bare_base64(text: str) -> str | None:
    try:
        return None if base64.b64decode(text, validate=True) else "is empty"
    except (binascii.Error, ValueError):
        return "is no bare base64"


def web_url(text: str) -> str | None:
    return None if _WEB_URL.fullmatch(text) else "is no http(s) URL"


def data_url(text: str) -> str | None:
    found = _DATA_URL.fullmatch(text)
    return None if found and not bare_base64(found[2]) else "is no data URL of base64"


def image_url(text: str) -> str | None:
    if not web_url(text):
        return None
    return (
        None if text.startswith("data:image/") and not data_url(text) else "is no http(s) URL or data URL of an image"
    )


def media_data(text: str) -> str | None:
    if not web_url(text) or not data_url(text) or not bare_base64(text):
        return None
    return "is no http(s) URL, data URL or base64"


def _no_number(constant: str) -> None:
    raise ValueError(constant)


def object_text(text: str) -> str | None:
    """JSON as RFC 8259 has it: Python's own NaN and Infinity are none, and integers may be longer than its own."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_int=str)
    except (ValueError, RecursionError):
        return "is no JSON text that can be read"
    return None if isinstance(value, dict) else "is no JSON text of an object"


def unsendable(data: Any, place: str = "data") -> Iterator[str]:
    """What no JSON text in UTF-8 can hold, at any depth: halves of surrogate pairs, NaN and Infinity."""
    waiting = [(place, data)]
    while waiting:
        place, value = waiting.pop()
        if isinstance(value, dict):
            waiting += ((f"{place}.{name}", each) for name, each in value.items())
            if any(_SURROGATE.search(name) for name in value):
                yield f"{place}: a member's name has half a surrogate pair"
        elif isinstance(value, list):
            waiting += ((f"{place}[{number}]", each) for number, each in enumerate(value))
        elif isinstance(value, str) and _SURROGATE.search(value):
            yield f"{place}: has half a surrogate pair"
        elif isinstance(value, float) and not math.isfinite(value):
            yield f"{place}: is no number of JSON"
