"""Edits of a conversation: by a path such as messages.0.content, a value that stands there from then on."""

from copy import deepcopy
from typing import Any, NamedTuple

type Edit = tuple[str, Any]
type Case = tuple[str, *tuple[Edit, ...]]


class Before(NamedTuple):
    """In place of a value: put in before the item at the path, or at the end of the list."""

    value: Any


class Gone:
    """In place of a value: the member or item at the path is taken out."""


GONE = Gone()


def edited(data: dict[str, Any], *edits: Edit) -> dict[str, Any]:
    """A copy of data with these edits."""
    data = deepcopy(data)
    for path, value in edits:
        *steps, last = (int(step) if step.isdecimal() else step for step in path.split("."))
        holder: Any = data
        for step in steps:
            holder = holder[step]
        if isinstance(value, Gone):
            del holder[last]
        elif isinstance(value, Before):
            holder.insert(last, deepcopy(value.value))
        else:
            holder[last] = deepcopy(value)
    return data
