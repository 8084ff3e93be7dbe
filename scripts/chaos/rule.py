"""The rule of windows and compactions, as plain as it can be said: what the API's answers are held against.

A definition and no implementation: it reads all of a history. Must not use lib/, of which it is the judge. Versions are
counted from 1, so history[version - 1] is a message; for a window of the past, a history is given up to there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import accumulate
from typing import Any

CLEARED = "[cleared]"
CLEARED_TOKENS = 4
MAX_PREAMBLE = 16

# Versions before a tool message among which its call is, and messages of a unit.
CALL_REACH = 1000
MAX_UNIT = 1 + CALL_REACH

# Versions to both sides of one that a compaction cannot reach among which those are that it can.
NEAR = 1000

# A compaction is due where it saves this part of the budget at least.
LEAST_SAVED = 10


@dataclass(frozen=True, slots=True)
class Message:
    """What the rule looks at: calls are the ids of those that it makes, answers the id of the one that it answers.

    call is the version of the call that a tool message answers; None where there is none, and for other messages.
    """

    version: int
    role: str
    tokens: int
    calls: tuple[str, ...] = ()
    answers: str | None = None
    call: int | None = None


@dataclass(frozen=True, slots=True)
class Compaction:
    """A summary of so many tokens; made and undone are times in seconds, and made_at the latest version then."""

    number: int
    through: int
    made_at: int
    tokens: int
    made: float
    undone: float | None


@dataclass(frozen=True, slots=True)
class Window:
    """The versions of the head, without the summary, and of the run; those of the run that are cleared; tokens.

    to_edge is how many tokens may come until the run moves on.
    """

    preamble: int
    request: int | None
    run: Sequence[int]
    cleared: frozenset[int]
    used: int
    to_edge: int


def history(stored: Sequence[Mapping[str, Any]]) -> list[Message]:
    """The messages of a context from version 1 on, by their members as the API has them.

    The call that a tool message answers is the newest before it, among the 1,000 versions before, with its id.
    """
    messages: list[Message] = []
    newest: dict[str, int] = {}
    for version, message in enumerate(stored, 1):
        calls = tuple(call["id"] for call in message["toolCalls"] or ())
        answers = message["toolCallId"]
        call = newest.get(answers)
        if call is not None and call < version - CALL_REACH:
            call = None
        messages.append(Message(version, message["role"], message["tokenCount"], calls, answers, call))
        newest.update((call_id, version) for call_id in calls)
    return messages


def preamble_of(messages: Sequence[Message]) -> int:
    """How many system messages a history begins with, 16 at most."""
    count = 0
    while count < min(len(messages), MAX_PREAMBLE) and messages[count].role == "system":
        count += 1
    return count


# --- Windows


def window(messages: Sequence[Message], policy: Mapping[str, Any], compaction: Compaction | None) -> Window:
    """The window of a history under a policy that has a budget, and the compaction in force."""
    budget: int = policy["budget"]
    through, summary = (compaction.through, compaction.tokens) if compaction else (0, 0)
    preamble = preamble_of(messages) if policy.get("keepPreamble") else 0
    base = max(preamble, through)
    spent = sum(message.tokens for message in messages[:preamble]) + summary

    def chosen(left: int) -> tuple[int, list[int], frozenset[int], int, int]:
        opening, cleared, to_edge = _choose(messages[base:], left, policy)
        first = base + opening + 1
        # A window holds no answer without its call.
        kept = [m for m in messages[first - 1 :] if m.role != "tool" or (m.call is not None and m.call >= first)]
        versions = frozenset(base + 1 + index for index in cleared) & {message.version for message in kept}
        used = sum(min(m.tokens, CLEARED_TOKENS) if m.version in versions else m.tokens for m in kept)
        return first, [message.version for message in kept], versions, used, to_edge

    first, run, cleared, used, to_edge = chosen(budget - spent)
    asked = (message for message in reversed(messages) if message.role == "user") if policy.get("keepRequest") else ()
    request = next(iter(asked), None)
    in_head = None
    if request is not None and preamble < request.version < first:
        left = budget - spent - request.tokens
        again = chosen(left)
        if again[3] <= left and again[0] > request.version:
            in_head = request.version
            spent += request.tokens
        if in_head or again[0] <= request.version:
            # In the second case the run that was chosen anew holds the request.
            first, run, cleared, used, to_edge = again
    return Window(preamble, in_head, run, cleared, spent + used, to_edge)


def _choose(run: Sequence[Message], budget: int, policy: Mapping[str, Any]) -> tuple[int, set[int], int]:
    """The index at which the run opens, and those that are cleared, of all that competes; tokens until it moves on."""
    openings = [index for index, message in enumerate(run) if message.role != "tool"]
    ends = list(accumulate(message.tokens for message in run))
    total = ends[-1] if ends else 0
    step = max(0, min(policy.get("step") or 0, budget // 2))

    # A stepped window is the window that the next edge will have: edges are a step apart, from the budget on.
    ahead = 0 if total <= budget or step == 0 else -(total - budget) % step
    edge = max(total + ahead, budget)

    if not openings or len(run) - openings[-1] > MAX_UNIT:
        return len(run), set(), edge - total  # tool messages that far behind any opening answer nothing
    newest = openings[-1]
    cleared: set[int] = set()
    if policy.get("clearToolResults") and total > budget:
        keep = max(0, min(policy["clearToolResults"]["keepTokens"], budget - step))
        cleared = {i for i, m in enumerate(run) if m.role == "tool" and ends[i] <= edge - step - keep}

    def tail(spared: int) -> list[int]:
        """At index i the tokens of run[i:], with what is cleared but for indexes from spared on."""
        costs = [min(m.tokens, CLEARED_TOKENS) if i in cleared and i < spared else m.tokens for i, m in enumerate(run)]
        return [*reversed(list(accumulate(reversed(costs)))), 0]

    # The newest unit is never cleared now; at the next edge it may no longer be the newest.
    now, then = tail(newest), tail(len(run))

    opening = next((i for i in openings if now[i] <= budget and then[i] + ahead <= budget), None)
    end = len(run) if opening is None else opening
    before = max((i for i in openings if i < end), default=None)
    if before is not None and now[before] <= budget and then[before] - then[end] > step:
        # A unit longer than a step, cut off by the edge alone, stays as long as it fits: it is what was just read.
        opening = before
    if opening is None:
        opening = newest  # never nothing
    elif policy.get("startOn") == "user":
        later = (i for i in openings if i >= opening and run[i].role == "user" and now[opening] - now[i] <= budget // 4)
        opening = next(later, opening)
    return opening, {index for index in cleared if opening <= index < newest}, edge - total


def pending(messages: Sequence[Message], run: Sequence[int]) -> list[str]:
    """The ids of the calls in a run that no message of the history answers, in order."""
    answered = {(message.call, message.answers) for message in messages if message.role == "tool"}
    calls = ((version, call_id) for version in run for call_id in messages[version - 1].calls)
    return [call_id for version, call_id in calls if (version, call_id) not in answered]


# --- Compactions


def in_force(compactions: Sequence[Compaction], version: int, moment: float | None = None) -> Compaction | None:
    """The compaction in force in windows at a version, of those made and not undone at a moment; now where absent."""
    standing = [
        made
        for made in compactions
        if (made.undone is None if moment is None else made.made <= moment and not _undone(made, moment))
        and made.made_at <= version
        and made.through <= version
    ]
    return max(standing, key=lambda made: (made.through, made.number), default=None)


def _undone(compaction: Compaction, moment: float) -> bool:
    return compaction.undone is not None and compaction.undone <= moment


def seen_by_fork(compactions: Sequence[Compaction], version: int, moment: float) -> list[Compaction]:
    """The compactions of its parent that a fork at a version sees that is made at a moment: those made by then."""
    return [made for made in compactions if made.made_at <= version and made.made <= moment]


def can_reach(messages: Sequence[Message], through: int) -> bool:
    """Whether a compaction can reach a version: behind the preamble, the end of a unit whose calls are all answered."""
    if not preamble_of(messages) < through <= len(messages):
        return False
    if through < len(messages) and messages[through].role == "tool":
        return False
    openings = (m for m in reversed(messages[max(0, through - MAX_UNIT) : through]) if m.role != "tool")
    opening = next(openings, None)
    if opening is None:
        return False
    answers = {message.answers for message in messages[opening.version : through] if message.call == opening.version}
    return answers.issuperset(opening.calls)


def nearest(messages: Sequence[Message], through: int) -> list[int]:
    """The versions nearest to one that a compaction cannot reach, before and behind it, that it can reach."""
    refused = min(through, len(messages))
    before = (version for version in range(refused, max(0, refused - NEAR), -1) if can_reach(messages, version))
    behind = (version for version in range(refused + 1, refused + NEAR + 1) if can_reach(messages, version))
    return list(_first_of(before, behind))


def _first_of(*ranges: Iterator[int]) -> Iterator[int]:
    for versions in ranges:
        yield from (version for version in (next(versions, None),) if version is not None)


def due(messages: Sequence[Message], policy: Mapping[str, Any], compaction: Compaction | None) -> dict[str, int] | None:
    """compactionDue of a window: the version to reach, and the messages and tokens that a summary is for."""
    asked, budget = policy.get("compactionDue"), policy["budget"]
    preamble = preamble_of(messages) if policy.get("keepPreamble") else 0
    base = max(preamble, compaction.through if compaction else 0)
    ends = [0, *accumulate(message.tokens for message in messages)]
    spent = ends[preamble] + (compaction.tokens if compaction else 0) + ends[-1] - ends[base]
    if not asked or spent <= Decimal(str(asked["threshold"])) * budget:
        return None
    keep = min(asked["keepTokens"], budget)
    # The last version of a unit, but for the newest.
    boundaries = [message.version - 1 for message in messages if message.role != "tool"]
    enough = (version for version in boundaries if version and ends[-1] - ends[version] <= keep)
    # No newest unit is looked for behind 1,001 tool messages in a row.
    newest = boundaries[-1] if boundaries and len(messages) - boundaries[-1] <= MAX_UNIT else 0
    boundary = next(enough, newest)
    reached = (version for version in range(boundary, max(0, boundary - NEAR), -1) if can_reach(messages, version))
    through = next(reached, 0)
    tokens = ends[through] - ends[base]
    if through <= base or tokens * LEAST_SAVED < budget:
        return None
    return {"throughVersion": through, "messages": through - base, "tokens": tokens}
