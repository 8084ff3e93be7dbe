"""A window's messages on their way into any format: each call with its results, ids and names, and what was repaired.

Pure. Must make of a message what it and those before it say, so that windows with one opening agree as far as both go.
"""

import hashlib
import re
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from lib import jsontext
from lib.formats import parts
from lib.formats.parts import Media, Refusal
from lib.models import TEXT_PARTS
from lib.runs import Candidate

# What answers a call that nothing has answered, and what stands in for a result that failed without a word.
NO_RESULT = "No result was recorded for this call."
NO_DETAILS = "The call failed without details."

# What a user says where a format wants one in front.
CONTINUED = "(conversation continues)"

# Where a provider is to cache what stands before: Anthropic's mark, and OpenAI's.
CACHE_MARKS = ("cache_control", "prompt_cache_breakpoint")

# Of an id or a name in a repair's detail, in characters; ids may have 4,096.
SHOWN = 80

type Code = Literal[
    "call_answered",
    "part_moved",
    "member_dropped",
    "text_trimmed",
    "result_dropped",
    "result_moved",
    "message_moved",
    "id_changed",
    "name_changed",
    "arguments_wrapped",
    "empty_dropped",
    "part_dropped",
    "part_to_text",
    "reasoning_dropped",
    "role_changed",
    "user_added",
    "signature_skipped",
    "cache_mark_dropped",
]

_ILLEGAL = re.compile(r"[^a-zA-Z0-9_-]")


class Repair(NamedTuple):
    """What was changed so that a provider takes a window: of which message, a code, and what in words.

    version is None of what is no stored message: a summary.
    """

    version: int | None
    code: Code
    detail: str


@dataclass(slots=True)
class Call:
    """A call of an assistant message: its id as it was stored and as it is sent, and its result once there is one.

    in_place says that its result may stay where it stands. kind is what the format calls it, where it has several
    kinds; name the tool's name as it is sent.
    """

    id: str
    sent: str
    result: "Message | None" = None
    in_place: bool = False
    kind: str = ""
    name: str = ""


@dataclass(slots=True)
class Message:
    """A message: as it was normalised, or as this very format gave it.

    calls are those that it makes, in their order; results are they as they were answered, one behind the other, those
    without an answer last.
    """

    version: int
    role: str
    content: str | list[dict[str, Any]] | None = None
    tool_calls: list[dict[str, Any]] | None = None
    failed: bool = False
    native: Any = None
    calls: list[Call] = field(default_factory=list)
    results: list[Call] = field(default_factory=list)


class History:
    """What a format renders, and the list of repairs.

    messages are all but the results, which are with their calls.
    """

    def __init__(self, sources: Sequence[Candidate] = (), left_out: Sequence[int] = ()) -> None:
        """left_out are versions of results in the window's range that are not in it, for want of their calls."""
        self.repairs = [Repair(version, "result_dropped", "its call is not in the window") for version in left_out]
        self.messages: list[Message] = []
        self._order: list[Message | Call] = []
        self._moved: list[tuple[Message, int]] = []
        self._moved_across: list[tuple[Message, int]] = []
        spoken = 0
        waiting: dict[tuple[int | None, str | None], deque[Call]] = {}
        callers: dict[int, Message] = {}
        values = jsontext.read(f"[{','.join([source.json or '' for source in sources])}]")
        for source, value in zip(sources, values, strict=True):
            message = Message(source.version, *value)
            if message.role != "tool":
                self.messages.append(message)
                self._order.append(message)
                spoken = message.version if _speaks(message, source) else spoken
                for call_id in source.call_ids or ():
                    call = Call(call_id, call_id)
                    message.calls.append(call)
                    waiting.setdefault((source.version, call_id), deque()).append(call)
                    callers[source.version] = message
                continue
            call_version = source.call_version or 0
            calls = waiting.get((call_version, source.tool_call_id))
            # The first counts: the window before had no other yet.
            if not calls:
                self.repair(message, "result_dropped", "its call has a result already")
                continue
            call = calls.popleft()
            call.result = message
            callers[call_version].results.append(call)
            if self.messages[-1].version != call_version:
                self._moved.append((message, call_version))
            if spoken <= call_version:
                self._order.append(call)
                call.in_place = True
            else:
                self._moved_across.append((message, call_version))
        for message in callers.values():
            for call in message.calls:
                if call.result is None:
                    message.results.append(call)
                    self.repair(message, "call_answered", f"{shown(call.id)} has no result: {NO_RESULT}")

    def gathered(self) -> list[Message]:
        """The messages, each to be followed by its results: those that stood further behind are moved, and noted."""
        self._note(self._moved)
        return self.messages

    def in_order(self) -> list[Message | Call]:
        """The messages, and each call where its result stands, if the assistant says nothing between but other calls.

        Else the result is to follow its message, and noted as moved.
        """
        self._note(self._moved_across)
        return self._order

    def _note(self, moved: Sequence[tuple[Message, int]]) -> None:
        for message, call_version in moved:
            self.repair(message, "result_moved", f"to its call, message {call_version}")

    def repair(self, message: Message, code: Code, detail: str) -> None:
        """Notes a repair of a message."""
        self.repairs.append(Repair(message.version or None, code, detail))

    def rename(self, legal: re.Pattern[str], *, whole: bool) -> None:
        """Gives each call an id that is legal, and that no call before it has: in the whole request, or in its message.

        The first use of an id keeps it; what others become depends on the id, the call's version and its place alone.
        """
        used: set[str] = set()
        taken: set[str] = set()
        for message in self.messages:
            if not message.calls:
                continue
            used, taken = (used, taken) if whole else (set(), set())
            for place, call in enumerate(message.calls):
                if call.id in used or call.id in taken:
                    call.sent = _other(call.id, f"{message.version}/{place}", taken)
                    self.repair(message, "id_changed", f"{shown(call.id)} is used again: {call.sent}")
                elif not legal.fullmatch(call.id):
                    call.sent = _other(call.id, "", taken)
                    self.repair(message, "id_changed", f"{shown(call.id)} is not legal here: {call.sent}")
                used.add(call.id)
                taken.add(call.sent)

    def name(self, message: Message, name: str, legal: re.Pattern[str]) -> str:
        """A tool's name, made legal where it is not: a function of it alone."""
        if legal.fullmatch(name):
            return name
        sent = _other(name, "", ())
        self.repair(message, "name_changed", f"{shown(name)} is not legal here: {sent}")
        return sent

    def arguments(self, message: Message, text: str) -> dict[str, Any]:
        """The object that a call's arguments are, or one that wraps what is none."""
        if (value := parts.arguments(text)) is not None:
            return value
        return self._wrapped(message, text)

    def arguments_text(self, message: Message, text: str) -> str:
        """A call's arguments as they stand, or the text of an object that wraps what is none."""
        if parts.arguments(text) is not None:
            return text
        return jsontext.write(self._wrapped(message, text))

    def _wrapped(self, message: Message, text: str) -> dict[str, Any]:
        if not text.strip():
            self.repair(message, "arguments_wrapped", "a call without arguments: {}")
            return {}
        self.repair(message, "arguments_wrapped", f"arguments that are no JSON object, in {parts.RAW_ARGUMENTS}")
        return {parts.RAW_ARGUMENTS: text}

    def pieces(self, message: Message) -> Iterator[str | Media | Refusal]:
        """What a message says: its texts, media and refusals, in order. What no other provider takes is left out."""
        if isinstance(message.content, str):
            # Beside calls an empty text says as little as none.
            if message.content or not message.calls:
                yield message.content
            return
        for part in message.content or ():
            kind = part["type"]
            member = TEXT_PARTS.get(kind)
            text = member and part.get(member)
            if kind == "reasoning":
                self.repair(message, "reasoning_dropped", "a part of type reasoning")
            elif isinstance(text, str):
                yield Refusal(text) if kind == "refusal" else text
            elif found := parts.media(part):
                yield found
            else:
                self.dropped(message, kind)

    def detail(self, message: Message, media: Media, known: Collection[str] = ()) -> str:
        """The detail of an image, where it is one of those that the format knows; else none."""
        if media.detail and media.detail not in known:
            self.repair(message, "member_dropped", "detail of an image")
            return ""
        return media.detail

    def dropped(self, message: Message, kind: str) -> None:
        """Notes that a part is left out."""
        self.repair(message, "part_dropped", f"a part of type {shown(kind)}")

    def without(self, message: Message, said: dict[str, Any], names: Iterable[str]) -> None:
        """Takes members out that the provider refuses."""
        for name in names:
            if name in said:
                del said[name]
                self.repair(message, "member_dropped", name)

    def unmarked(self, message: Message, blocks: Sequence[Any]) -> None:
        """Takes cache marks out of blocks that a provider gave or was sent."""
        for block in blocks:
            for mark in CACHE_MARKS if isinstance(block, dict) else ():
                if mark in block:
                    del block[mark]
                    self.repair(message, "cache_mark_dropped", mark)


def _speaks(message: Message, source: Candidate) -> bool:
    """Whether the assistant says more in a message than calls, as a format has it that keeps results in place."""
    if message.role != "assistant":
        return False
    if isinstance(message.native, list):
        return any(item.get("type", "message") == "message" for item in message.native)
    return bool(message.content) or not source.call_ids


def shown(text: str) -> str:
    """A text of a client's in a repair's detail, cut off where it is long."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def operators(text: str) -> str:
    """A text of the operator's where only a user's may stand."""
    return f"<system>\n{text}\n</system>"


def _other(text: str, salt: str, taken: Sequence[str] | set[str]) -> str:
    """A legal id or name for text, at most 38 characters: readable, and another for each text and salt."""
    stem, tries = _ILLEGAL.sub("_", text)[:20], 0
    stem = stem if stem[:1].isalpha() else f"_{stem}"
    while True:
        digest = hashlib.sha256(f"{text}\0{salt}\0{tries}".encode()).hexdigest()[:16]
        if (sent := f"{stem}_{digest}") not in taken:
            return sent
        tries += 1
