"""Which messages a run holds: the rule of windows, on as much of a history as can matter. Pure.

A run is the newest messages, as many whole units as a budget takes; a unit is a message that is no tool message and the
tool messages directly behind it. Must never choose by anything but the history: what is chosen is the same for every
reader, and between two edges each run is the one before and the new messages.
"""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
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


class Run(NamedTuple):
    """The messages of a run, oldest first, what they take, and how it came about.

    first is the version that it opens with; left_out the versions behind first of answers without their calls; cleared
    the versions that are; used and bytes what its messages take together. edge is how many tokens may compete until the
    opening moves; None where bytes have cut the run.
    """

    first: int
    limits: Limits
    edge: int | None
    messages: Sequence[Candidate] = ()
    left_out: Sequence[int] = ()
    cleared: frozenset[int] = frozenset()
    used: int = 0
    bytes: int = 0


def choose(candidates: Sequence[Candidate], version: int, competing: int, limits: Limits, *, whole: bool) -> Run:
    """The run of a history up to version, from its newest messages, oldest first.

    competing is the tokens of all messages that compete for the run. whole says that candidates hold every message that
    tokens let in; else bytes have ended them before.
    """
    budget, step = limits.budget, limits.step
    # A stepped run is the run that the next edge will have: edges are a step apart, from the budget on.
    ahead = -(competing - budget) % step if step and competing > budget else 0
    edge = max(competing + ahead, budget)

    # All lists here are newest first: what each message takes, and the sums of that from the newest on.
    calls = [message.call_version for message in reversed(candidates)]
    tokens = [message.token_count for message in reversed(candidates)]
    sizes = [message.bytes for message in reversed(candidates)]
    openings = [place for place, call in enumerate(calls) if call is None]
    if not openings or openings[0] >= MAX_UNIT:
        return Run(version + 1, limits, edge)
    now = then = list(accumulate(tokens))
    cleared: set[int] = set()
    if limits.clear is not None and competing > budget:
        # Clearable are tool messages up to and with which no more tokens compete than these.
        most = edge - step - limits.clear
        behind = accumulate(tokens, initial=0)
        shrunk = [message.cleared_tokens for message in reversed(candidates)]
        clearable = {
            place
            for place, (call, newer) in enumerate(zip(calls, behind, strict=False))
            if call is not None and competing - newer <= most
        }
        then = list(accumulate(shrunk[place] if place in clearable else count for place, count in enumerate(tokens)))
        # The newest unit never is cleared now; at the next edge it may no longer be the newest.
        cleared = {place for place in clearable if place > openings[0]}
        for place in cleared:
            tokens[place], sizes[place] = shrunk[place], candidates[-1 - place].cleared_bytes or 0
        now = list(accumulate(tokens))
    size = list(accumulate(sizes))

    fitting = min(
        bisect_right(openings, budget, key=now.__getitem__),
        bisect_right(openings, budget - ahead, key=then.__getitem__),
    )
    cut = fitting == len(openings) and not whole
    held = then[openings[fitting - 1]] if fitting else 0
    # A unit longer than a step, cut off by the edge alone, stays as long as it fits: it is what was just read.
    if fitting < len(openings) and now[openings[fitting]] <= budget and then[openings[fitting]] - held > step:
        fitting += 1
    # Never nothing: where not even the newest unit fits, it comes alone.
    fitting = max(fitting, 1)
    while fitting > 1 and size[openings[fitting - 1]] > limits.bytes:
        fitting -= 1
        cut = True
    opening = openings[fitting - 1]
    if limits.start_on_user:
        later = (place for place in reversed(openings[:fitting]) if now[opening] - now[place] <= budget // 4)
        opening = next((place for place in later if candidates[-1 - place].is_user), opening)

    first = candidates[-1 - opening].version
    # No answer without its call.
    lost = {place for place in range(opening) if (call := calls[place]) is not None and call < first}
    return Run(
        first=first,
        limits=limits,
        edge=None if cut else edge,
        messages=[candidates[-1 - place] for place in range(opening, -1, -1) if place not in lost]
        if lost
        else candidates[-1 - opening :],
        left_out=[candidates[-1 - place].version for place in sorted(lost, reverse=True)],
        cleared=frozenset(candidates[-1 - place].version for place in cleared - lost if place <= opening),
        used=now[opening] - sum(tokens[place] for place in lost),
        bytes=size[opening] - sum(sizes[place] for place in lost),
    )
