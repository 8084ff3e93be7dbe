"""What `make chaos` asks of windows, and what it holds them against: themselves when they are read, the rule later."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from scripts.chaos import rule
from scripts.chaos.log import Log, Message, is_as_sent, payload_id

# Few of each, so that the same window is asked for again.
BUDGETS = (60, 300, 1000, 4000, 12_000)
STEPS = (0, 40, 300, 100_000)
KEPT = (0, 100, 1500)
THRESHOLDS = (0.3, 0.8, 1)

# The part of members that are null: removed from a policy, turned off by a parameter.
NULLS = 0.2

# The members that have "off", in a query string.
CAN_BE_OFF = {"clearToolResults", "compactionDue"}

# Members of a policy as an answer shows them that nothing clamps.
NOT_CLAMPED = {"budget": None, "keepPreamble": False, "keepRequest": False, "startOn": "any"}

ETAG = re.compile(r'"([0-9]+)(?:\.([0-9]+)000)?"', re.ASCII)


def members(chance: random.Random, share: float) -> dict[str, Any]:
    """Members of a policy, a share of them all, some null."""
    every = {
        "budget": chance.choice(BUDGETS),
        "keepPreamble": chance.random() < 0.7,
        "keepRequest": chance.random() < 0.7,
        "startOn": chance.choice(("any", "user")),
        "step": chance.choice(STEPS),
        "clearToolResults": {"keepTokens": chance.choice(KEPT)},
        "compactionDue": {"threshold": chance.choice(THRESHOLDS), "keepTokens": chance.choice(KEPT)},
    }
    given = {name: value for name, value in every.items() if chance.random() < share}
    return {name: None if chance.random() < NULLS else value for name, value in given.items()}


@dataclass(frozen=True, slots=True)
class Question:
    """What a window is asked for: members of a policy as parameters, whether the stored one is set aside, at when."""

    overrides: Mapping[str, Any]
    bare: bool = False
    at: int | None = None

    @classmethod
    def of(cls, chance: random.Random, *, at: int | None = None) -> "Question":
        """Some question that has a budget."""
        given = members(chance, 0.5)
        overrides = {name: value for name, value in given.items() if value is not None or name in CAN_BE_OFF}
        return cls({**overrides, "budget": chance.choice(BUDGETS)}, bare=chance.random() < 0.5, at=at)

    @property
    def query(self) -> str:
        """The query string."""
        named = {name: _parameter(value) for name, value in self.overrides.items()}
        if self.bare:
            named["policy"] = "none"
        if self.at is not None:
            named["at"] = str(self.at)
        return urlencode(named)

    def policy(self, stored: Mapping[str, Any]) -> dict[str, Any]:
        """What counts, where the context has that policy."""
        counts = {**({} if self.bare else stored), **self.overrides}
        return {name: value for name, value in counts.items() if value is not None}


def _parameter(value: Any) -> str:
    match value:
        case None:
            return "off"
        case {"threshold": threshold, "keepTokens": tokens}:
            return f"{threshold},{tokens}"
        case {"keepTokens": tokens}:
            return str(tokens)
        case bool():
            return json.dumps(value)
    return str(value)


# --- Against the rule


def said(window: Mapping[str, Any]) -> dict[str, Any]:
    """What a window is, without its contents: what `expected` must be equal to."""
    places = [(each["version"], each.get("compactionNumber"), "cleared" in each) for each in window["data"]]
    return {**window, "data": places, "policy": {name: window["policy"][name] for name in NOT_CLAMPED}}


def expected(
    history: Sequence[rule.Message], policy: Mapping[str, Any], compaction: rule.Compaction | None
) -> dict[str, Any]:
    """What the window of a history must be, by the rule."""
    window = rule.window(history, policy, compaction)
    through = compaction.through if compaction else 0
    covered = max(window.preamble, through)
    uncovered_request = window.request is not None and window.request > covered
    places: list[tuple[int | None, int | None, bool]] = [(n, None, False) for n in range(1, window.preamble + 1)]
    places += [(None, compaction.number, False)] if compaction else []
    places += [(window.request, None, False)] if window.request else []
    places += [(version, None, version in window.cleared) for version in window.run]
    return {
        "data": places,
        "budget": policy["budget"],
        "usedTokens": window.used,
        "overBudget": window.used > policy["budget"],
        "totalTokens": sum(message.tokens for message in history),
        "firstVersion": window.run[0] if window.run else None,
        "lastVersion": window.run[-1] if window.run else None,
        "droppedCount": len(history) - covered - len(window.run) - uncovered_request,
        "preambleCount": window.preamble,
        "requestVersion": window.request,
        "compaction": {"number": compaction.number, "throughVersion": through} if compaction else None,
        "clearedCount": len(window.cleared),
        "tokensToEdge": window.to_edge,
        "pendingCalls": rule.pending(history, window.run),
        "compactionDue": rule.due(history, policy, compaction),
        "policy": {name: policy.get(name, absent) for name, absent in NOT_CLAMPED.items()},
    }


def difference(found: Mapping[str, Any], right: Mapping[str, Any]) -> str:
    """Where what a window is differs from what it must be; empty where it does not."""
    wrong = [name for name in {**right, **found} if name not in right or found.get(name) != right[name]]
    return "; ".join(f"{name} is {found.get(name)} and not {right.get(name)}" for name in wrong)


# --- As it is read


@dataclass(frozen=True, slots=True)
class Parts:
    """A window's messages: the preamble, the summary and the request where they are in the head, and the run."""

    preamble: Sequence[Message]
    summary: Message | None
    request: Message | None
    run: Sequence[Message] = field(default_factory=list)

    @classmethod
    def of(cls, window: Mapping[str, Any]) -> "Parts":
        """The parts that the figures say it has."""
        count = window["preambleCount"]
        preamble, rest = window["data"][:count], [*window["data"][count:]]
        summary = rest.pop(0) if window["compaction"] and rest else None
        request = rest.pop(0) if window["requestVersion"] and rest else None
        return cls(preamble, summary, request, rest)


def wrong_window(window: Mapping[str, Any], etag: str, question: Question, least: int, log: Log) -> str:
    """What is wrong with a window, whatever its moment; least is a version that the context had reached before."""
    tag = ETAG.fullmatch(etag)
    if not tag or int(tag[1]) < least:
        return f"ETag {etag}, although version {least} was acknowledged"
    parts = Parts.of(window)
    return (
        _wrong_head(window, parts)
        or _wrong_run(window, parts, int(tag[1]))
        or _wrong_figures(window, parts, int(tag[1]), question)
        or wrong_content([*parts.preamble, *([parts.request] if parts.request else []), *parts.run], log)
        or _wrong_summary(parts.summary, log)
    )


def _wrong_head(window: Mapping[str, Any], parts: Parts) -> str:
    preamble = [(message["version"], message["role"]) for message in parts.preamble]
    if preamble != [(version, "system") for version in range(1, window["preambleCount"] + 1)]:
        return f"a preamble of {preamble}"
    number = window["compaction"] and window["compaction"]["number"]
    if number != (parts.summary and parts.summary.get("compactionNumber")):
        return f"a summary of {parts.summary}"
    request = parts.request and (parts.request["version"], parts.request["role"])
    right = window["requestVersion"] and (window["requestVersion"], "user")
    return "" if request == right else f"a request of {request}"


def _wrong_run(window: Mapping[str, Any], parts: Parts, version: int) -> str:
    versions = [message["version"] for message in parts.run]
    head = [message["version"] for message in (*parts.preamble, parts.request) if message]
    if None in versions or versions != sorted({*versions} - {*head}) or versions[-1:] > [version]:
        return f"a run of versions {versions} behind {head} at version {version}"
    if versions and (
        versions[0] <= max(_covered(window), window["requestVersion"] or 0) or parts.run[0]["role"] == "tool"
    ):
        return f"a run that opens with version {versions[0]}"
    newest: dict[str, int] = {}
    calls: list[tuple[int, str]] = []
    answered: set[tuple[int, str]] = set()
    for message in parts.run:
        made = [(message["version"], call["id"]) for call in message["toolCalls"] or ()]
        calls += made
        newest.update((call_id, version) for version, call_id in made)
        if message["role"] == "tool":
            if message["toolCallId"] not in newest:
                return f"the call of version {message['version']} is missing"
            answered.add((newest[message["toolCallId"]], message["toolCallId"]))
    pending = [call_id for version, call_id in calls if (version, call_id) not in answered]
    return "" if window["pendingCalls"] == pending else f"pendingCalls {window['pendingCalls']} and not {pending}"


def _covered(window: Mapping[str, Any]) -> int:
    covered: int = max(window["preambleCount"], (window["compaction"] or {"throughVersion": 0})["throughVersion"])
    return covered


def _wrong_figures(window: Mapping[str, Any], parts: Parts, version: int, question: Question) -> str:
    used = sum(message["tokenCount"] for message in window["data"])
    covered = _covered(window)
    uncovered_request = parts.request is not None and parts.request["version"] > covered
    right = {
        "budget": question.overrides.get("budget", window["budget"]),
        "usedTokens": used,
        "overBudget": used > window["budget"],
        "firstVersion": parts.run[0]["version"] if parts.run else None,
        "lastVersion": parts.run[-1]["version"] if parts.run else None,
        "droppedCount": version - covered - len(parts.run) - uncovered_request,
        "clearedCount": sum("cleared" in message for message in parts.run),
    }
    wrong = {name: window[name] for name in right if window[name] != right[name]}
    if wrong:
        return f"figures {wrong} that are not those of {right}"
    asked = {name: value for name, value in question.policy({}).items() if name in NOT_CLAMPED}
    if any(window["policy"][name] != value for name, value in asked.items()):
        return f"policy {window['policy']} although {asked} was asked for"
    if window["overBudget"] and any(message["role"] != "tool" for message in parts.run[1:]):
        return "over the budget with more than one unit"
    return ""


def wrong_content(messages: Sequence[Message], log: Log) -> str:
    """What is not as it was sent, of stored messages or those of a window."""
    for message in messages:
        sent = log.sent.get(payload_id(message))
        is_right = _is_cleared if "cleared" in message else is_as_sent
        if sent is None or not is_right(message, sent):
            return f"version {message['version']} is not as sent"
    return ""


def _is_cleared(message: Message, sent: Message) -> bool:
    whole = {**message, "content": sent["content"], "tokenCount": sent.get("tokenCount", message["tokenCount"])}
    shown = (message["role"], message["content"], message["tokenCount"], message["cleared"])
    return shown == ("tool", rule.CLEARED, min(whole["tokenCount"], rule.CLEARED_TOKENS), True) and is_as_sent(
        whole, sent
    )


def _wrong_summary(summary: Message | None, log: Log) -> str:
    if summary is None:
        return ""
    made = log.summaries.get(payload_id(summary))
    sent = made.body if made else {}
    right = made and {
        "id": None,
        "contextId": made.context.id,
        "version": None,
        "role": sent.get("role", "user"),
        "content": sent["summary"],
        "toolCalls": None,
        "toolCallId": None,
        "metadata": sent["metadata"],
        "tokenCount": sent.get("tokenCount", summary["tokenCount"]),
    }
    return "" if right and {name: summary[name] for name in right} == right else f"a summary of {summary}"
