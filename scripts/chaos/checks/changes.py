"""What PostgreSQL holds of policies and compactions, against what was sent, acknowledged and refused, and the rule."""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from scripts.chaos import rule
from scripts.chaos.checks.stored import Row, Stored
from scripts.chaos.clients import BAD_REQUEST
from scripts.chaos.log import Check, Compaction, Context, Log, Refusal, is_summary_as_sent, payload_id

# Seconds from the time that a change has in its row until others see it, at most.
UNSEEN = 2.0

MEMBERS = ("budget", "keepPreamble", "keepRequest", "startOn", "step", "clearToolResults", "compactionDue")


def check_changes(log: Log, stored: Stored) -> list[Check]:
    """Holds policies, compactions and undoings against the log, and compactions against the rule."""
    return [
        _numbers(stored),
        _made(log, stored),
        _undone(log, stored),
        _based_on(stored),
        _reach(stored),
        _refusals(log, stored),
        _policies(log, stored),
        _revisions(log, stored),
    ]


def _numbers(stored: Stored) -> Check:
    check = Check("compactions have no gaps in their numbers, and each is later than the one before")
    for context_id, context in stored.contexts.items():
        made = stored.ruled(context_id)
        numbers = [compaction.number for compaction in made]
        counted = numbers == list(range(1, context["compaction_count"] + 1))
        check.expect(counted, f"{context_id}: {numbers}, counted {context['compaction_count']}")
        for before, behind in pairwise(made):
            later = before.made < behind.made and before.made_at <= behind.made_at
            check.expect(later, f"{context_id}: {before} and {behind}")
    return check


def _made(log: Log, stored: Stored) -> Check:
    check = Check("each compaction is stored once and as sent, each acknowledged one with what was answered, no other")
    rows = {(row["contextId"], row["number"]): row for rows in stored.made.values() for row in rows}
    times = Counter(payload_id(row) for row in rows.values())
    for row in rows.values():
        right = times[payload_id(row)] == 1 and is_summary_as_sent(row, log)
        check.expect(right, f"{row['contextId']} {row['number']}, stored {times[payload_id(row)]} times: {row}")
    for compaction in log.compactions:
        if compaction.acknowledged:
            answered = {name: value for name, value in compaction.stored.items() if name != "undoneAt"}
            row = rows.get((compaction.context.id, answered["number"]), {})
            same = {name: row.get(name) for name in answered} == answered
            check.expect(same, f"{compaction.context.id} {answered['number']}: {row}")
        elif not compaction.complete:
            check.expect(not times[payload_id(compaction.body)], f"{compaction.body} was never sent whole")
    for payload in log.unwanted:
        check.expect(not times[payload], f"{payload} was sent with another's key")
    return check


def _undone(log: Log, stored: Stored) -> Check:
    check = Check("each acknowledged undoing is stored with the time that was answered, and nothing else is undone")
    for context in log.contexts:
        rows = {row["number"]: row for row in stored.made[context.id]}
        asked = {undo.number for undo in context.undos}
        for number, row in rows.items():
            allowed = row["undone"] is None or number in asked
            check.expect(allowed, f"{context.id} {number} is undone, and nobody asked for it")
        for undo in context.undos:
            if undo.acknowledged:
                row = rows.get(undo.number, {})
                check.expect(row.get("undoneAt") == undo.undone_at, f"{context.id} {undo.number}: {undo}, {row}")
    return check


def _based_on(stored: Stored) -> Check:
    check = Check("each compaction is based on the one that was in force when it was made, and on the expected one")
    for context_id in stored.contexts:
        shared, made = stored.shared(context_id), stored.ruled(context_id)
        for row, compaction in zip(stored.made[context_id], made[shared:], strict=False):
            found = _bases(made[: compaction.number - 1], compaction, shared)
            check.expect(row["basedOn"] in found, f"{context_id}: {row}, in force {found}")
    return check


def _bases(before: Sequence[rule.Compaction], compaction: rule.Compaction, shared: int) -> set[int]:
    """What may have been in force when a compaction was made: ancestors undo theirs without a look at their forks."""
    undone = [one.undone for one in before[:shared] if one.undone]
    found = set()
    for moment in (compaction.made, *(time for time in undone if 0 <= compaction.made - time < UNSEEN)):
        seen = [replace(one, undone=None) if (one.undone or 0) >= moment else one for one in before[:shared]]
        in_force = rule.in_force([*seen, *before[shared:]], compaction.made_at, compaction.made)
        found.add(in_force.number if in_force else 0)
    return found


def _reach(stored: Stored) -> Check:
    check = Check("each compaction reaches the end of a unit whose calls are all answered, behind the preamble")
    for context_id in stored.contexts:
        for compaction in stored.ruled(context_id)[stored.shared(context_id) :]:
            history = stored.history(context_id)[: compaction.made_at]
            check.expect(rule.can_reach(history, compaction.through), f"{context_id}: {compaction}")
    return check


# --- Refusals


def _refusals(log: Log, stored: Stored) -> Check:
    check = Check("compactions are refused only for versions that they cannot reach, or where another was in force")
    for refusal in log.refusals:
        context_id = refusal.sent.context.id
        true = _unreachable if refusal.problem["status"] == BAD_REQUEST else _conflicting
        sent = refusal.sent.body
        check.expect(true(refusal, stored), f"{context_id} from {refusal.least}: {sent} {refusal.problem}")
    return check


def _unreachable(refusal: Refusal[Compaction], stored: Stored) -> bool:
    """Whether there was a version of the context at which it was true, and one at which what is named was nearest."""
    history = stored.history(refusal.sent.context.id)
    through = refusal.sent.body["throughVersion"]
    [wrong] = refusal.problem["errors"]
    named = [int(version) for version in re.findall(r"[0-9]+", wrong["detail"])]
    states = range(refusal.least, len(history) + 1)
    return (
        wrong["pointer"] == "/throughVersion"
        and any(not rule.can_reach(history[:version], through) for version in states)
        and any(rule.nearest(history[:version], through) == named for version in states)
    )


def _conflicting(refusal: Refusal[Compaction], stored: Stored) -> bool:
    """Whether another than the expected number was in force meanwhile, and the one that is named."""
    made = stored.ruled(refusal.sent.context.id)
    latest = len(stored.history(refusal.sent.context.id))
    since = refusal.began - UNSEEN
    events = [time for one in made for time in (one.made, one.undone) if time and since < time <= refusal.answered]
    standing = [rule.in_force(made, latest, moment) for moment in (since, *events)]
    numbers = {one.number if one else 0 for one in standing}
    return (
        refusal.problem["code"] == "compaction_conflict"
        and refusal.problem["currentNumber"] in numbers
        and numbers != {refusal.sent.body["expectedNumber"]}
    )


# --- Policies


@dataclass(frozen=True, slots=True)
class Attempt:
    """A request that sets members of a policy, None where it removes one: from when on, and when it had, if known."""

    members: dict[str, Any]
    began: float
    acknowledged: float | None


def _attempts(context: Context) -> Iterator[Attempt]:
    """All that has or may have changed a policy, its creation first."""
    yield Attempt({**dict.fromkeys(MEMBERS), **context.stored["policy"]}, 0, 0)
    for patch in context.patches:
        members = dict.fromkeys(MEMBERS) if patch.policy is None else patch.policy
        for number, began in enumerate(patch.began, 1):
            yield Attempt(members, began, patch.acknowledged if number == len(patch.began) else None)


def _wrong_policy(policy: dict[str, Any], context: Context, since: float = math.inf, until: float = math.inf) -> str:
    """What is in a policy that a context cannot have had between two times; empty where all of it can.

    Each member is as the last acknowledged patch of it left it, or as one that was not answered would.
    """
    setting: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in _attempts(context):
        for name in attempt.members:
            setting[name].append(attempt)
    for name, attempts in setting.items():
        latest = max(each.began for each in attempts if each.acknowledged is not None and each.acknowledged <= since)
        open_or_last = [each for each in attempts if each.acknowledged is None or each.acknowledged >= latest]
        values = [attempt.members[name] for attempt in open_or_last if attempt.began <= until]
        if policy.get(name) not in values:
            return f"{name} is {policy.get(name)}, not of {values}"
    return "" if None not in policy.values() and set(policy) <= set(MEMBERS) else f"{policy}"


def _policies(log: Log, stored: Stored) -> Check:
    check = Check(
        "each member of a policy is what the last patch of it says that was acknowledged, or one that was not, and a "
        "fork's at first what its parent's was"
    )
    for context in log.contexts:
        if context.id:
            wrong = _wrong_policy(stored.contexts[context.id]["policy"], context)
            check.expect(not wrong, f"{context.id}: {wrong}")
        if context.id and context.parent and "policy" not in context.body:
            began, answered = context.began[0], context.acknowledged or math.inf
            wrong = _wrong_policy(context.stored["policy"], context.parent, began, answered)
            check.expect(not wrong, f"{context.id}, a fork of {context.parent.id}: {wrong}")
    return check


def _revisions(log: Log, stored: Stored) -> Check:
    check = Check("each policy set, compaction made and compaction undone has moved the revision")
    for context in log.contexts:
        if context.id:
            rows: list[Row] = stored.made[context.id]
            patches = sum(patch.acknowledged is not None for patch in context.patches)
            moved = patches + len(rows) + sum(row["undone"] is not None for row in rows)
            revision = stored.contexts[context.id]["revision"]
            check.expect(revision >= moved, f"{context.id}: revision {revision} after {moved} changes")
    return check
