"""Which members an object may have, and what they hold: a check is put together from checks of its parts.

A check takes a place, a value and whether natives are let pass, and yields what is wrong. A member or a block that is
not listed is wrong unless natives are let pass; cache marks are wrong even then, because render sends none.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tests.formats.rules.values import Rule

type Check = Callable[[str, Any, bool], Iterator[str]]

MARKS = {"cache_control", "prompt_cache_breakpoint", "cacheControl", "cachePoint"}


def anything(place: str, value: Any, natives: bool) -> Iterator[str]:
    yield from ()


def flag(place: str, value: Any, natives: bool) -> Iterator[str]:
    if not isinstance(value, bool):
        yield f"{place}: is not true or false"


def free_object(place: str, value: Any, natives: bool) -> Iterator[str]:
    if not isinstance(value, dict):
        yield f"{place}: is no object"


def free_list(place: str, value: Any, natives: bool) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{place}: is no list"


def string(*rules: Rule) -> Check:
    """A text that keeps all of these rules."""

    def check(place: str, value: Any, natives: bool) -> Iterator[str]:
        if not isinstance(value, str):
            yield f"{place}: is no text"
            return
        yield from (f"{place}: {flaw}" for rule in rules if (flaw := rule(value)))

    return check


def one_of(*values: str) -> Check:
    """One of these texts."""

    def check(place: str, value: Any, natives: bool) -> Iterator[str]:
        if value not in values:
            yield f"{place}: is not {' or '.join(values)}"

    return check


def nullable(inner: Check) -> Check:
    """null, or what another check takes."""

    def check(place: str, value: Any, natives: bool) -> Iterator[str]:
        if value is not None:
            yield from inner(place, value, natives)

    return check


def listed(item: Check, *, empty: bool = False) -> Check:
    """A list of items."""

    def check(place: str, value: Any, natives: bool) -> Iterator[str]:
        if not isinstance(value, list):
            yield f"{place}: is no list"
            return
        if not value and not empty:
            yield f"{place}: is an empty list"
        for number, each in enumerate(value):
            yield from item(f"{place}[{number}]", each, natives)

    return check


def text_or_list(text: Check, items: Check) -> Check:
    """A text, or a list."""

    def check(place: str, value: Any, natives: bool) -> Iterator[str]:
        if not isinstance(value, (str, list)):
            yield f"{place}: is neither text nor list"
            return
        yield from (text if isinstance(value, str) else items)(place, value, natives)

    return check


def members(
    required: Mapping[str, Check], optional: Mapping[str, Check] | None = None, *, closed: bool = False
) -> Check:
    """An object with these members; a closed one has no others, even of natives."""
    known = {**required, **(optional or {})}

    def check(place: str, value: Any, natives: bool) -> Iterator[str]:
        if not isinstance(value, dict):
            yield f"{place}: is no object"
            return
        yield from (f"{place}: has no {name}" for name in required if name not in value)
        for name, each in value.items():
            if name in known:
                yield from known[name](f"{place}.{name}", each, natives)
            elif name in MARKS:
                yield f"{place}: has a cache mark"
            elif closed or not natives:
                yield f"{place}: may have no {name}"

    return check


def forms(**by_member: Check) -> Check:
    """An object in one of several forms, each known by a member of its own."""

    def check(place: str, value: Any, natives: bool) -> Iterator[str]:
        found = [form for name, form in by_member.items() if isinstance(value, dict) and name in value]
        if found:
            yield from found[0](place, value, natives)
        else:
            yield f"{place}: has none of {', '.join(by_member)}"

    return check


def tagged(tag: str, kinds: Mapping[str, Check], *, closed: bool = False) -> Check:
    """An object whose tag says which of several kinds it is; natives have kinds of their own, unless closed."""

    def check(place: str, value: Any, natives: bool) -> Iterator[str]:
        kind = value.get(tag) if isinstance(value, dict) else None
        if not isinstance(kind, str):
            yield f"{place}: has no {tag}"
        elif kind in kinds:
            yield from kinds[kind](place, value, natives)
        elif closed or not natives:
            yield f"{place}: may not be {kind!r}"
        elif MARKS & value.keys():
            yield f"{place}: has a cache mark"

    return check


def block(kind: str, required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> dict[str, Check]:
    """One entry of a tagged object's kinds, by its type."""
    return {kind: members({"type": one_of(kind), **required}, optional)}
