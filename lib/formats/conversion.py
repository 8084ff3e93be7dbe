"""Both directions: the members of a provider's request from a window, the body of an append from what a provider gave.

Pure. Imports the module of the format that is asked for, and no other.
"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any, NamedTuple, Protocol, cast

from lib import errors, jsontext
from lib.batches import Batch
from lib.errors import MAX_PLACES, Place
from lib.formats.history import History
from lib.formats.reading import Node, Parsed, Wrong, joined
from lib.models import MAX_BATCH, MAX_BODY_BYTES, MAX_PAGE_BYTES, NewMessage, ProviderAppend
from lib.windows import Window

# The newest of a window's repairs are listed; their count says how many there are.
MAX_REPAIRS = 1000

# Characters of what is kept of an append as it was given: results of one turn keep the turn's own members each.
MAX_NATIVES = 2 * MAX_BODY_BYTES


class Module(Protocol):
    """What a format's module has."""

    def render(self, history: History) -> dict[str, Any]:
        """The members of a request; notes in the history what had to be repaired."""

    def parse(self, node: Node) -> Iterator[Parsed]:
        """What a message, a content or an item of the provider's is in ours. Raises reading.Wrong."""


def _module(name: str) -> Module:
    return cast("Module", import_module(f"lib.formats.{name.replace('-', '_')}"))


class Rendered(NamedTuple):
    """The JSON text of the members to put into a request, and what stands beside: the repairs."""

    data: str
    figures: dict[str, Any]


def render(window: Window) -> Rendered:
    """See lib.formats."""
    history = History(window.messages, window.left_out)
    data = jsontext.write(_module(window.format).render(history))
    # By version, as the messages are; a summary stands in front.
    repairs = sorted(history.repairs, key=lambda repair: repair.version or 0)
    listed = [repair._asdict() for repair in repairs[-MAX_REPAIRS:]]
    return Rendered(data, {"repairs": listed, "repairCount": len(repairs)})


def parse(append: ProviderAppend, text: str) -> Batch:
    """See lib.formats."""
    pieces = jsontext.split(text)
    if append.token_counts is not None and len(append.token_counts) != len(append.messages):
        raise errors.InvalidBody(places=[Place("/tokenCounts", "must have one for each of messages")])
    batch = _parsed(append, Node(append.messages, "messages", _text=pieces["messages"]))
    metadata = "{}" if append.metadata is None else pieces["metadata"]
    if len(metadata) * len(batch) > MAX_BODY_BYTES:
        raise errors.PayloadTooLarge("the metadata, which every message gets, is too large for so many messages")
    bodies = [_body(append, parsed, metadata) for parsed in batch]
    patch = "" if append.context_metadata is None else f',"contextMetadata":{pieces["contextMetadata"]}'
    return Batch(
        body=f'{{"messages":[{",".join(bodies)}]{patch}}}',
        messages=[NewMessage.model_validate(parsed.members()) for parsed in batch],
        native_bytes=sum(len((parsed.native or "").encode()) for parsed in batch),
        sources=[parsed.sources for parsed in batch],
        given=append.token_counts,
    )


def _body(append: ProviderAppend, parsed: Parsed, metadata: str) -> str:
    """The JSON text of a message. Raises PayloadTooLarge where no page could have it with what was given."""
    members = parsed.members()
    if append.model is not None and parsed.role == "assistant":
        members["model"] = append.model
    if parsed.failed and "isError" not in (append.metadata or {}):
        metadata = f'{{"isError":true{"," if append.metadata else ""}{metadata.lstrip()[1:]}'
    body = f'{jsontext.write(members)[:-1]},"metadata":{metadata},"native":{parsed.native or "null"}}}'
    if len(body.encode()) > MAX_PAGE_BYTES:
        raise errors.PayloadTooLarge(
            f"a message would be larger than {MAX_PAGE_BYTES:,} bytes, with what is kept of it as it was given"
        )
    return body


def _parsed(append: ProviderAppend, messages: Node) -> list[Parsed]:
    module = _module(append.format)
    joins = getattr(module, "JOINS", False)
    runs: list[list[Parsed]] = []
    places: list[Place] = []
    kept = 0
    for place, node in enumerate(messages.items()):
        try:
            for parsed in module.parse(node):
                parsed.sources.append(place)
                kept += len(parsed.native or "")
                if joins and runs and runs[-1][0].role == parsed.role == "assistant":
                    runs[-1].append(parsed)
                else:
                    runs.append([parsed])
                if len(runs) > MAX_BATCH or kept > MAX_NATIVES:
                    break
        except Wrong as wrong:
            places.append(wrong.place)
        if kept > MAX_NATIVES:
            raise errors.PayloadTooLarge("a turn's own members, which each of its results keeps, are too large")
        if len(runs) > MAX_BATCH:
            places.append(Place("/messages", f"are more than {MAX_BATCH:,} messages: each result is one of its own"))
        if len(runs) > MAX_BATCH or len(places) == MAX_PLACES:
            break
    if places:
        raise errors.InvalidBody(places=places)
    return [joined(run) for run in runs]
