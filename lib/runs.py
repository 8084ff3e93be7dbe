"""Which messages a run holds: the rule of windows, on as much of a history as can matter. Pure.

A run is the newest messages, as many whole units as a budget takes; a unit is a message that is no tool message and the
tool messages directly behind it. Must never choose by anything but the history: what is chosen is the same for every
reader, and between two edges each run is the one before and the new messages.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

# What stands in place of the content of a tool message that is cleared, and its tokens by o200k_base; a test holds it.
CLEARED = "[cleared]"
CLEARED_TOKENS = 4

# Messages of a unit, at most: those behind an opening that lies further back answer nothing.
MAX_UNIT = 1001


class Candidate(NamedTuple):
    """A message that may be in a window: what the choice looks at, and its JSON text.

    call_version is the version of the call that a tool message answers, 0 where there is none; None for any other
    message. json is None where the message is not read: because bytes end before it, or it is cleared for certain; so
    is cleared_json, the text of a message that is cleared, for one that is not. A named tuple, because windows are read
    in bulk, in the order of the statement's columns.
    """

    version: int
    head: bool
    token_count: int
    is_user: bool
    call_version: int | None
    call_ids: Sequence[str] | None
    tool_call_id: str | None
    bytes: int
    cleared_bytes: int | None
    json: str | None
    cleared_json: str | None

    @property
    def cleared_tokens(self) -> int:
        """What the message takes where it is cleared."""
        return min(self.token_count, CLEARED_TOKENS)


class Limits(NamedTuple):
    """What a run may take, and how it is chosen; all but bytes are tokens, None for clear is no clearing."""

    budget: int
    step: int
    clear: int | None
    start_on_user: bool
    bytes: int

    def clamped(self, budget: int, size: int) -> "Limits":
        """The same within a budget of tokens and a size of bytes: half of the budget is the longest step."""
        step = max(0, min(self.step, budget // 2))
        clear = None if self.clear is None else max(0, min(self.clear, budget - step))
        return Limits(budget, step, clear, self.start_on_user, size)


@dataclass(frozen=True, slots=True)
class Run:
    """The messages of a run, oldest first, and how it came about.

    first is the version that it opens with. edge is how many tokens may compete until the opening moves; None where
    bytes have cut the run.
    """

    first: int
    limits: Limits
    edge: int | None
    messages: Sequence[Candidate] = ()
    cleared: frozenset[int] = field(default_factory=frozenset)

    def tokens(self, message: Candidate) -> int:
        """What one of its messages takes."""
        return message.cleared_tokens if message.version in self.cleared else message.token_count

    def bytes(self, message: Candidate) -> int:
        """The bytes of one of its messages."""
        return (message.cleared_bytes or 0) if message.version in self.cleared else message.bytes

    @property
    def used(self) -> int:
        """The tokens of its messages."""
        return sum(map(self.tokens, self.messages))


class _Opening(NamedTuple):
    """A unit that a run can open with, and what the run then takes: tokens now and at the next edge, and bytes."""

    place: int
    now: int
    then: int
    bytes: int


def choose(candidates: Sequence[Candidate], version: int, competing: int, limits: Limits, *, whole: bool) -> Run:
    """The run of a history up to version, from its newest messages, oldest first.

    competing is the tokens of all messages that compete for the run. whole says that candidates hold every message that
    tokens let in; else bytes have ended them before.
    """
    budget, step = limits.budget, limits.step
    # A stepped run is the run that the next edge will have: edges are a step apart, from the budget on.
    ahead = -(competing - budget) % step if step and competing > budget else 0
    edge = max(competing + ahead, budget)
    clearing = limits.clear is not None and competing > budget
    cleared_up_to = edge - step - (limits.clear or 0) if clearing else -1
    openings, cleared = _openings(candidates, competing, cleared_up_to)
    if not openings or len(candidates) - openings[0].place > MAX_UNIT:
        return Run(version + 1, limits, edge)

    fitting = 0
    while fitting < len(openings) and max(openings[fitting].now, openings[fitting].then + ahead) <= budget:
        fitting += 1
    cut = fitting == len(openings) and not whole
    behind = openings[fitting - 1].then if fitting else 0
    # A unit longer than a step, cut off by the edge alone, stays as long as it fits: it is what was just read.
    if fitting < len(openings) and openings[fitting].now <= budget and openings[fitting].then - behind > step:
        fitting += 1
    # Never nothing: where not even the newest unit fits, it comes alone.
    fitting = max(fitting, 1)
    while fitting > 1 and openings[fitting - 1].bytes > limits.bytes:
        fitting -= 1
        cut = True
    opening = openings[fitting - 1]
    if limits.start_on_user:
        later = (other for other in reversed(openings[:fitting]) if opening.now - other.now <= budget // 4)
        opening = next((other for other in later if candidates[other.place].is_user), opening)

    first = candidates[opening.place].version
    # No answer without its call.
    messages = [
        message
        for message in candidates[opening.place :]
        if message.call_version is None or message.call_version >= first
    ]
    return Run(first, limits, None if cut else edge, messages, cleared.intersection(m.version for m in messages))


def _openings(
    candidates: Sequence[Candidate], competing: int, cleared_up_to: int
) -> tuple[list[_Opening], frozenset[int]]:
    """The openings among candidates, newest first, and the versions that are cleared where the run holds them.

    A tool message is cleared where the tokens that compete up to it and with it are no more than cleared_up_to. The
    newest unit never is now; at the next edge it may no longer be the newest.
    """
    openings: list[_Opening] = []
    cleared: list[int] = []
    behind = now = then = size = 0
    for index in range(len(candidates) - 1, -1, -1):
        message = candidates[index]
        tokens = message.token_count
        is_cleared = message.call_version is not None and competing - behind <= cleared_up_to
        behind += tokens
        then += message.cleared_tokens if is_cleared else tokens
        if is_cleared and openings:
            cleared.append(message.version)
            now += message.cleared_tokens
            size += message.cleared_bytes or 0
        else:
            now += tokens
            size += message.bytes
        if message.call_version is None:
            openings.append(_Opening(index, now, then, size))
    return openings, frozenset(cleared)
